"""The practice set: same seed, same pictures; nothing overwritten; no shortcut by colour."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import kennel
from kennel.cli import sample as verb
from kennel.errors import KennelError, UsageError
from kennel.sample import contact_sheet, draw_sample
from kennel.sample.breeds import BREEDS

# N pictures


def _bytes(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*.jpg"))
    }


def _arguments(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--json", action="store_true")
    verb.add_arguments(parser)
    return parser.parse_args(words)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three breeds, two pictures each, seed 5."""
    folder = tmp_path_factory.mktemp("sample") / "photos"
    draw_sample(folder, labels=3, per_label=2, seed=5)
    return folder


def test_a_folder_a_breed_with_named_jpegs(drawn: Path) -> None:
    assert sorted(_bytes(drawn)) == [
        "Beagle/beagle_0001.jpg",
        "Beagle/beagle_0002.jpg",
        "Boxer/boxer_0001.jpg",
        "Boxer/boxer_0002.jpg",
        "Bulldog/bulldog_0001.jpg",
        "Bulldog/bulldog_0002.jpg",
    ]
    for path in drawn.rglob("*.jpg"):
        with Image.open(path) as image:
            assert (image.format, image.mode) == ("JPEG", "RGB")
            assert 256 <= image.width <= 320
            assert 256 <= image.height <= 288


def test_sample_json_says_how_the_set_was_drawn(drawn: Path) -> None:
    assert json.loads((drawn / "sample.json").read_text(encoding="utf-8")) == {
        "seed": 5,
        "labels": 3,
        "per_label": 2,
        "kennel": kennel.__version__,
    }


def test_same_seed_gives_the_same_bytes(drawn: Path, tmp_path: Path) -> None:
    draw_sample(tmp_path / "again", labels=3, per_label=2, seed=5)
    assert _bytes(tmp_path / "again") == _bytes(drawn)


def test_more_labels_and_more_per_label_keep_the_earlier_pictures(
    drawn: Path, tmp_path: Path
) -> None:
    draw_sample(tmp_path / "more", labels=4, per_label=3, seed=5)
    more = _bytes(tmp_path / "more")
    assert len(more) == 12
    assert {name: more[name] for name in _bytes(drawn)} == _bytes(drawn)


def test_another_seed_gives_other_pictures(drawn: Path, tmp_path: Path) -> None:
    draw_sample(tmp_path / "other", labels=3, per_label=2, seed=6)
    other, before = _bytes(tmp_path / "other"), _bytes(drawn)
    assert not set(other.values()) & set(before.values())


def test_every_picture_of_a_set_is_distinct_and_told_of(tmp_path: Path) -> None:
    told: list[Path] = []
    paths = draw_sample(tmp_path / "photos", labels=10, per_label=1, on_photo=told.append)
    assert told == paths == sorted(paths)
    assert {path.parent.name for path in paths} == {breed.label for breed in BREEDS}
    assert len({path.read_bytes() for path in paths}) == 10


def test_drawing_again_brings_what_is_missing_and_leaves_the_rest(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    lost, kept, *_ = draw_sample(folder, labels=2, per_label=2)
    before, written_ns = _bytes(folder), kept.stat().st_mtime_ns
    lost.unlink()
    draw_sample(folder, labels=2, per_label=2)
    assert _bytes(folder) == before
    assert kept.stat().st_mtime_ns == written_ns


def test_an_interrupted_set_is_gone_on_with(tmp_path: Path) -> None:
    folder = tmp_path / "photos"

    def interrupt(_: Path) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        draw_sample(folder, labels=2, per_label=1, on_photo=interrupt)
    assert len(_bytes(folder)) == 1
    assert not list(folder.rglob("*.part"))
    draw_sample(folder, labels=2, per_label=1)
    assert len(_bytes(folder)) == 2


def test_a_folder_with_other_files_is_refused_and_left_alone(tmp_path: Path) -> None:
    mine = tmp_path / "photos" / "Beagle" / "beagle_0001.jpg"
    mine.parent.mkdir(parents=True)
    mine.write_bytes(b"mine")
    with pytest.raises(KennelError, match=r"beagle_0001\.jpg") as refused:
        draw_sample(tmp_path / "photos", labels=2, per_label=1)
    assert "kennel sample" in refused.value.fix
    assert [path for path in (tmp_path / "photos").rglob("*") if path.is_file()] == [mine]
    assert mine.read_bytes() == b"mine"


def test_a_sample_with_a_stranger_in_it_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    draw_sample(folder, labels=2, per_label=1)
    (folder / "Beagle" / "my own.jpg").write_bytes(b"mine")
    with pytest.raises(KennelError, match="my own"):
        draw_sample(folder, labels=2, per_label=1)


def test_a_sample_drawn_otherwise_is_refused_with_another_folder(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    draw_sample(folder, labels=2, per_label=1, seed=1)
    before = _bytes(folder)
    with pytest.raises(KennelError, match=r"seed 1.*asked for was seed 2") as refused:
        draw_sample(folder, labels=2, per_label=1, seed=2)
    assert str(tmp_path / "photos-2x1-seed2") in refused.value.fix
    assert _bytes(folder) == before


def test_an_empty_folder_and_hidden_files_are_welcome(tmp_path: Path) -> None:
    (tmp_path / ".DS_Store").write_bytes(b"")
    assert len(draw_sample(tmp_path, labels=2, per_label=1)) == 2


def test_an_unreadable_sample_json_is_refused(tmp_path: Path) -> None:
    (tmp_path / "sample.json").write_text("[", encoding="utf-8")
    with pytest.raises(KennelError, match="cannot be read"):
        draw_sample(tmp_path, labels=2, per_label=1)


def test_output_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(KennelError, match="cannot be written") as refused:
        draw_sample(tmp_path / "file" / "photos", labels=2, per_label=1)
    assert refused.value.exit_code == 1
    with pytest.raises(KennelError, match="not a folder"):
        draw_sample(tmp_path / "file", labels=2, per_label=1)


@pytest.mark.parametrize(
    ("labels", "per_label", "seed", "word"),
    [
        (1, 1, 0, "--labels is 1"),
        (11, 1, 0, "--labels is 11"),
        (2, 0, 0, "--per-label is 0"),
        (2, 10_001, 0, "--per-label is 10001"),
        (2, 1, -1, "--seed is -1"),
    ],
)
def test_a_number_out_of_range_is_wrong_usage(
    tmp_path: Path, labels: int, per_label: int, seed: int, word: str
) -> None:
    with pytest.raises(UsageError, match=word) as refused:
        draw_sample(tmp_path / "photos", labels=labels, per_label=per_label, seed=seed)
    assert refused.value.exit_code == 2
    assert not (tmp_path / "photos").exists()


def test_mean_colour_does_not_tell_the_breed(tmp_path: Path) -> None:
    paths = draw_sample(tmp_path / "photos", labels=10, per_label=10, seed=2)
    means = []
    for path in paths:
        with Image.open(path) as image:
            means.append(np.asarray(image.reduce(4), np.float64).mean(axis=(0, 1)))
    colours = np.array(means)  # Float64[N, 3]
    breeds = np.array([path.parent.name for path in paths])
    hits = 0
    for left_out in range(len(paths)):  # each picture judged by the means of all others
        rest = np.arange(len(paths)) != left_out
        names = sorted(set(breeds))
        centres = np.array([colours[rest & (breeds == name)].mean(axis=0) for name in names])
        nearest = np.linalg.norm(centres - colours[left_out], axis=1).argmin()
        hits += names[nearest] == breeds[left_out]
    assert hits / len(paths) < 0.35, f"mean colour tells {hits} of {len(paths)} breeds"


def test_contact_sheet_keeps_shapes_at_one_height(tmp_path: Path) -> None:
    paths = []
    for number, size in enumerate([(40, 20), (20, 40), (30, 30)]):
        paths.append(tmp_path / f"{number}.png")
        Image.new("RGB", size, (200, 0, 0)).save(paths[-1])
    sheet = contact_sheet(paths, columns=2, height=60)
    red = (np.asarray(sheet)[..., 1] < 60) & (np.asarray(sheet)[..., 0] > 150)  # Bool[H, W]
    first_row, second_row = red[: 60 + 6], red[60 + 6 :]
    assert first_row.sum() == 60 * (120 + 30)  # 2:1 and 1:2 pictures, 60 pixels high
    assert second_row.sum() == 60 * 60
    assert sheet.mode == "RGB"


def test_contact_sheet_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="0 pictures"):
        contact_sheet([])


def test_the_verb_says_how_many_where_and_what_next(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "my photos"
    assert verb.run(_arguments(str(folder), "--labels", "2", "--per-label", "1")) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("pictures  2 drawings")
    assert any(line.endswith(str(folder)) for line in lines)
    assert lines[-1] == f"next: kennel index '{folder}'"


def test_the_verb_prints_one_json_document(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = str(tmp_path / "photos")
    verb.run(_arguments(folder, "--labels", "2", "--per-label", "1", "--seed", "3", "--json"))
    result = json.loads(capsys.readouterr().out)
    assert result.pop("seconds") > 0
    assert result == {"dir": folder, "labels": ["Beagle", "Boxer"], "photos": 2, "seed": 3}
