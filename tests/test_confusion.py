"""The confusion matrix as a picture: what its words say, where its cells are, what is readable."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from kennel.confusion import (
    SMALLEST_TYPE,
    _Page,
    draw_confusion,
    finding,
    order_by_similarity,
    shade,
)
from kennel.evaluate import SplitReport
from kennel.folders import Skipped
from kennel.look import PAPER, contrast, rgb, text_on
from kennel.metrics import measure


def report_of(
    confusion: list[list[int]] | np.ndarray,
    labels: tuple[str, ...] | None = None,
    *,
    skipped: int = 0,
) -> SplitReport:
    """A report whose confusion matrix is the one given."""
    counts = np.asarray(confusion)
    cells = [(t, a) for t, a in np.argwhere(counts).tolist() for _ in range(counts[t, a])]
    truth = np.array([t for t, _ in cells], dtype=np.int64)
    logits = np.eye(len(counts), dtype=np.float32)[[a for _, a in cells]]
    return SplitReport(
        split="test",
        labels=labels or tuple(f"Label_{index}" for index in range(len(counts))),
        figures=measure(logits, truth, resamples=10),
        paths=tuple(f"{index}.png" for index in range(len(truth))),
        truth=truth,
        logits=logits,
        skipped=tuple(Skipped(f"{index}.jpg", "is empty") for index in range(skipped)),
        images_per_s=1.0,
    )


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, float, float, float]]:
    """(words, x, y, size) of all that is written on pages, while it is still drawn."""
    words: list[tuple[str, float, float, float]] = []
    write = _Page.write

    def recording(page: _Page, x: float, y: float, line: str, size: float, **how: Any) -> None:
        words.append((line, x, y, size))
        write(page, x, y, line, size, **how)

    monkeypatch.setattr(_Page, "write", recording)
    return words


def middle_of(picture: Path, colour: str) -> tuple[float, float]:
    """Mean column and row of the pixels that have exactly this colour."""
    pixels = np.asarray(Image.open(picture).convert("RGB"))
    rows, columns = np.nonzero((pixels == rgb(colour)).all(axis=-1))
    assert len(rows) > 5000, f"no cell is {colour}"
    return float(columns.mean()), float(rows.mean())


def test_rows_are_truth_columns_are_answers_and_cells_are_shaded_by_row_share(
    tmp_path: Path,
) -> None:
    picture = tmp_path / "c.png"
    # 2 of 8 Beagles answered as Boxer; no Boxer as Beagle.
    draw_confusion(report_of([[6, 2], [0, 5]], ("Beagle", "Boxer")), picture, bundle_id="b")
    right_beagle = middle_of(picture, shade(6 / 8))
    wrong_beagle = middle_of(picture, shade(2 / 8))
    right_boxer = middle_of(picture, shade(1.0))
    assert wrong_beagle[0] > right_beagle[0] + 50
    assert wrong_beagle[1] == pytest.approx(right_beagle[1], abs=5)
    assert right_boxer[0] == pytest.approx(wrong_beagle[0], abs=5)
    assert right_boxer[1] > wrong_beagle[1] + 50
    blank = round(right_beagle[0]), round(right_boxer[1])
    assert Image.open(picture).convert("RGB").getpixel(blank) == rgb(PAPER)


def test_labels_stand_beside_their_rows_and_under_their_columns(
    tmp_path: Path, written: list[tuple[str, float, float, float]]
) -> None:
    labels = ("Golden_Retriever", "Boxer", "Poodle")
    draw_confusion(
        report_of([[7, 0, 1], [0, 6, 0], [0, 0, 9]], labels), tmp_path / "c.png", bundle_id="b"
    )
    at = {words: (x, y) for words, x, y, _ in reversed(written)}  # cells come before row totals
    beside = [(words, y) for words, _, y, _ in written if words.replace(" ", "_") in labels]
    rows, columns = beside[0::2], beside[1::2]
    assert [words for words, _ in rows] == ["Golden Retriever", "Boxer", "Poodle"]
    assert [y for _, y in rows] == pytest.approx([at["7"][1], at["6"][1], at["9"][1]])
    under = [x for words, x, _, _ in written if words.replace(" ", "_") in labels][1::2]
    assert [words for words, _ in columns] == ["Golden Retriever", "Boxer", "Poodle"]
    assert under == pytest.approx([at["7"][0], at["6"][0], at["9"][0]])
    assert at["1"] == pytest.approx((at["9"][0], at["7"][1]))


def test_counts_are_written_and_zeros_left_blank(
    tmp_path: Path, written: list[tuple[str, float, float, float]]
) -> None:
    draw_confusion(report_of([[6, 2], [0, 1305]]), tmp_path / "c.png", bundle_id="b")
    words = [line for line, *_ in written]
    assert {"6", "2", "8"} <= set(words)  # 8 is the row's photos
    assert words.count("1,305") == 2
    assert "0" not in words


def test_title_says_the_finding_and_caption_the_split_n_interval_and_bundle(
    tmp_path: Path, written: list[tuple[str, float, float, float]]
) -> None:
    report = report_of([[6, 2], [0, 5]], ("Beagle", "Boxer"), skipped=2)
    draw_confusion(report, tmp_path / "c.png", bundle_id="20261123-ab12")
    words = " ".join(line for line, *_ in written)
    low, high = (f"{100 * end:.1f}" for end in report.figures.top1_interval)
    assert "Beagle is taken for Boxer in 2 of 8" in words
    assert (
        f"Test split, 13 photos: 84.6 % answered right, 95 % interval {low} to {high} %." in words
    )
    assert "2 photos could not be read." in words
    assert "Bundle 20261123-ab12." in words


def test_the_same_report_gives_the_same_bytes_whatever_matplotlibrc_says(tmp_path: Path) -> None:
    matplotlib = pytest.importorskip("matplotlib")
    report = report_of([[6, 2], [0, 5]])
    draw_confusion(report, tmp_path / "a.png", bundle_id="b")
    changed = {
        "axes.facecolor": "black",
        "figure.dpi": 50,
        "font.family": "serif",
        "font.size": 30,
        "lines.marker": "o",
        "savefig.bbox": "tight",
        "savefig.dpi": 40,
        "text.color": "red",
    }
    with matplotlib.rc_context(changed):
        draw_confusion(report, tmp_path / "b.png", bundle_id="b")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_the_picture_names_no_date_and_no_version(tmp_path: Path) -> None:
    draw_confusion(report_of([[1, 0], [0, 1]]), tmp_path / "c.png", bundle_id="b")
    with Image.open(tmp_path / "c.png") as picture:
        assert set(picture.info) <= {"dpi"}
        assert picture.info["dpi"] == pytest.approx((200, 200), abs=0.5)


def test_120_labels_are_all_written_large_enough_and_close_to_those_they_are_taken_for(
    tmp_path: Path, written: list[tuple[str, float, float, float]]
) -> None:
    confusion = 9 * np.eye(120, dtype=np.int64)
    confusion[3, 90] = confusion[90, 3] = 4
    labels = tuple(f"Breed_number_{index}" for index in range(120))
    draw_confusion(report_of(confusion, labels), tmp_path / "c.png", bundle_id="b")
    sizes = {words: size for words, _, _, size in written}
    words = [line for line, *_ in written]
    assert all(words.count(label.replace("_", " ")) == 2 for label in labels)
    assert min(sizes.values()) >= SMALLEST_TYPE
    assert words.count("9") == 120 + 118  # cells and row totals
    y = {line: y for line, _, y, _ in reversed(written)}  # the row label is written first
    pitch = abs(y["Breed number 0"] - y["Breed number 1"])
    assert abs(y["Breed number 3"] - y["Breed number 90"]) == pytest.approx(pitch)
    assert sizes["Breed number 3"] < pitch


def test_up_to_twenty_labels_stand_in_label_order(
    tmp_path: Path, written: list[tuple[str, float, float, float]]
) -> None:
    confusion = 3 * np.eye(20, dtype=np.int64)
    confusion[0, 19] = 2
    draw_confusion(report_of(confusion), tmp_path / "c.png", bundle_id="b")
    labels = [line for line, *_ in written if line.startswith("Label ") and "taken" not in line]
    assert labels[0::2] == [f"Label {index}" for index in range(20)]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "label", ["$x^$", "\\frac", "犬", "כלב", "", "A" * 300, "two\nlines"], ids=range(7)
)
def test_any_label_name_can_be_drawn(tmp_path: Path, label: str) -> None:
    draw_confusion(report_of([[1, 1], [0, 2]], (label, "Boxer")), tmp_path / "c.png", bundle_id="b")
    with Image.open(tmp_path / "c.png") as picture:
        assert max(picture.size) < 3000


def test_counts_are_readable_on_every_shade() -> None:
    grounds = [shade(index / 500) for index in range(1, 501)]
    assert min(contrast(text_on(ground), ground) for ground in grounds) >= 4.5


def test_a_larger_share_is_darker_and_the_smallest_still_shows() -> None:
    grounds = [contrast(shade(index / 50), PAPER) for index in range(51)]
    assert grounds == sorted(grounds)
    assert grounds[0] > 1.05


def test_the_finding_goes_by_share_of_the_photos_of_the_label() -> None:
    # 5 of 105 are more photos, 3 of 10 the larger share.
    confusion = np.array([[100, 5, 0], [0, 50, 0], [3, 0, 7]])
    labels = ("Beagle", "Boxer", "Toy_Poodle")
    assert finding(confusion, labels) == "Toy Poodle is taken for Beagle in 3 of 10"


def test_equal_shares_go_to_more_photos_then_to_label_order() -> None:
    labels = ("A", "B", "C")
    assert finding(np.array([[3, 1, 0], [2, 6, 0], [0, 0, 1]]), labels).startswith("B is taken")
    assert finding(np.array([[3, 1, 0], [0, 3, 1], [0, 0, 1]]), labels).startswith("A is taken")


def test_the_finding_of_a_faultless_split_says_so() -> None:
    assert finding(np.diag([3, 0, 2]), ("A", "B", "C")) == "Every photo is answered right"


def test_order_by_similarity_brings_together_what_is_confused_in_either_direction() -> None:
    confusion = 10 * np.eye(6, dtype=np.int64)
    confusion[0, 4] = 3
    confusion[2, 4] = 2
    confusion[5, 1] = 1
    order = order_by_similarity(confusion)
    assert sorted(order) == list(range(6))
    place = {label: index for index, label in enumerate(order)}
    assert abs(place[0] - place[4]) == 1
    assert abs(place[2] - place[4]) == 1
    assert abs(place[5] - place[1]) == 1


def test_order_by_similarity_turns_runs_so_that_the_pair_meets() -> None:
    confusion = 20 * np.eye(4, dtype=np.int64)
    confusion[0, 1] = confusion[2, 3] = 5
    confusion[0, 3] = 1  # 0 and 3 are at the outer ends of 0 1 and 2 3
    assert order_by_similarity(confusion) == [1, 0, 3, 2]


def test_order_by_similarity_keeps_the_order_of_labels_in_no_confusion() -> None:
    assert order_by_similarity(np.eye(30, dtype=np.int64)) == list(range(30))
