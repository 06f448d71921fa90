"""What is behind the page, without Gradio: answers, why, many photos, zips, cards, examples."""

from __future__ import annotations

import io
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from awkward import awkward_photos, broken_photos
from bundles import CALIBRATION, PREPROCESS, entry, tiny_bundle
from PIL import Image

from kennel.bundle import Bundle, Conformal, Preprocess, SplitFigures, write_bundle
from kennel.errors import PhotoError, UsageError
from kennel.evaluate import classify_files
from kennel.infer import Answer, OnnxClassifier
from kennel.outputs import Outputs
from kennel.ui import words
from kennel.ui.answers import MOST_PHOTO_BYTES, Answers, Said, document
from kennel.ui.card import MOST_BYTES, card, harmless
from kennel.ui.examples import drawn_examples, examples_in
from kennel.ui.why import LEAST_SCALE, overlay, shares, spans, why

HOSTILE = "<img src=x onerror=alert(1)>${alert(2)}{{alert 3}}`\\"


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return tiny_bundle(tmp_path / "tiny")


def png(colour: str | tuple[int, int, int]) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (20, 20), colour).save(file, "PNG")
    return file.getvalue()


# answers


def test_every_awkward_photo_is_answered_as_predict_answers_it(
    bundle: Bundle, tmp_path: Path
) -> None:
    files = list(awkward_photos(tmp_path / "awkward").values())
    classifier = OnnxClassifier(bundle)
    ask = Answers(bundle)
    for path, outputs in classify_files(classifier, files, bundle.preprocess, batch_size=1):
        assert isinstance(outputs, Outputs)
        assert ask(path, top=3).answer == classifier.answer(outputs, top=3), path.name
        assert ask(path.read_bytes(), top=3).answer == ask(path, top=3).answer


def test_a_photo_that_cannot_be_read_is_refused_without_naming_where_it_lies(
    bundle: Bundle, tmp_path: Path
) -> None:
    ask = Answers(bundle)
    for name, path in broken_photos(tmp_path / "broken").items():
        with pytest.raises(PhotoError) as refused:
            ask(path)
        assert str(tmp_path) not in refused.value.message, name
        assert refused.value.message.startswith("the photo "), name


def test_a_photo_beyond_the_limit_is_refused_before_it_is_read_whole(
    bundle: Bundle, tmp_path: Path
) -> None:
    with (tmp_path / "long.jpg").open("wb") as file:
        file.truncate(MOST_PHOTO_BYTES + 1)
    with pytest.raises(PhotoError, match="more than 64 MiB"):
        Answers(bundle)(tmp_path / "long.jpg")


def test_an_answer_as_data_says_what_the_contract_says(bundle: Bundle) -> None:
    ticks = iter((1.0, 1.0125))
    ask = Answers(bundle, clock_s=lambda: next(ticks))
    assert document(ask(png("red"), top=2), bundle) == {
        "label": "red",
        "probability": pytest.approx(1 / (1 + 2 * np.exp(-4.0))),
        "known": True,
        "top": [
            {"label": "red", "probability": pytest.approx(1 / (1 + 2 * np.exp(-4.0)))},
            {"label": "green", "probability": pytest.approx(1 / (np.exp(4.0) + 2))},
        ],
        "bundle": "tiny-0a1b2c3d",
        "took_ms": 12.5,
    }


# words


def said(*, known: bool = True, label: str = "red", among: tuple[str, ...] | None = None) -> Said:
    return Said(Answer(label, 0.876, known, ((label, 0.876), ("blue", 0.1)), among), took_ms=12.3)


def test_a_known_photo_has_bars_with_one_decimal_the_time_and_the_bundle(bundle: Bundle) -> None:
    page = words.answer(said(), bundle)
    assert "<h2>red</h2>" in page
    assert "width:87.60%" in page
    assert "87.6\N{NO-BREAK SPACE}%" in page
    assert "12 ms, bundle tiny-0a1b2c3d" in page


def test_a_photo_that_is_not_known_names_the_nearest_label_as_a_hint_without_a_number(
    bundle: Bundle,
) -> None:
    page = words.answer(said(known=False), bundle)
    assert "<h2>Not one I know</h2>" in page
    assert "<strong>red</strong>: a hint, not an answer" in page
    assert "k-bars" not in page
    assert "87.6" not in page


def test_the_prediction_set_is_named_where_the_bundle_promises_one(bundle: Bundle) -> None:
    answer = said(among=("red", "blue"))
    assert "sure" not in words.answer(answer, bundle)
    promising = replace(bundle, conformal=Conformal(0.95, 0.1, "validation", 30))
    assert "95% sure: red or blue" in words.answer(answer, promising)


def test_labels_of_a_stranger_are_text_for_html_and_for_gradios_templates(bundle: Bundle) -> None:
    page = words.answer(said(label=HOSTILE), bundle)
    assert "<img" not in page
    assert not any(mark in page for mark in "$`{}\\")
    assert "&lt;img src=x onerror=alert(1)&gt;&#36;&#123;alert(2)&#125;" in page


def test_the_head_says_how_good_it_is_with_interval_and_n(bundle: Bundle) -> None:
    assert "Nobody measured yet" in words.head(bundle)
    figures = SplitFigures(251, 0.976, (0.949, 0.989), 0.9, (0.8, 1.0), 0.1, (0.0, 0.2))
    head = words.head(replace(bundle, metrics={"test": figures})).replace("\N{NO-BREAK SPACE}", " ")
    assert "Right on 97.6 % of 251 test photos (94.9 % to 98.9 %)" in head
    many = replace(bundle, labels=tuple(f"breed_{n}" for n in range(120)))
    assert "breed 11 and 108 more" in words.head(many)


# why


@dataclass(frozen=True)
class MeanColour:
    """Logits are eight times the mean red, green and blue; counts what it was asked."""

    labels: tuple[str, ...] = ("red", "green", "blue")

    def outputs(self, batch: np.ndarray) -> Outputs:
        return Outputs((8 * batch.mean(axis=(2, 3))).astype(np.float32))


def halves(side: int = 64) -> np.ndarray:
    """Left half red, right half blue."""
    pixels = np.zeros((side, side, 3), np.uint8)
    pixels[:, : side // 2, 0] = pixels[:, side // 2 :, 2] = 255
    return pixels


@pytest.mark.parametrize("windows", [1, 7, 13])
@pytest.mark.parametrize("side", [1, 8, 64, 224])
def test_windows_reach_over_the_whole_side_and_none_is_empty(side: int, windows: int) -> None:
    covered = np.zeros(side, int)
    for span in spans(side, windows):
        assert span.stop > span.start
        covered[span] += 1
    assert covered.min() >= 1


@pytest.mark.parametrize("windows", [3, 7, 13])
def test_the_half_that_speaks_for_a_label_is_found_and_the_other_speaks_against(
    windows: int,
) -> None:
    spec = replace(PREPROCESS, size=64)
    found = why(MeanColour(), halves(), spec, label="red", temperature=2.0, windows=windows)
    half = (windows + 1) // 2
    cells = shares(found.falls)
    assert (cells[:, :half] > 0).all()
    assert (cells[:, half:] < 0).all()
    other = why(MeanColour(), halves(), spec, label="blue", temperature=2.0, windows=windows)
    assert np.allclose(other.falls, found.falls[:, ::-1], atol=1e-5)


def test_what_hiding_does_is_what_the_model_says_of_the_hidden_photo() -> None:
    spec, pixels = replace(PREPROCESS, size=64), halves()
    found = why(MeanColour(), pixels, spec, label="red", temperature=2.0, windows=7)
    hidden = pixels.copy()
    rows, columns = spans(64, 7)[2], spans(64, 7)[1]
    hidden[rows, columns] = 128
    again = why(MeanColour(), hidden, spec, label="red", temperature=2.0, windows=1)
    assert found.hidden[2, 1] == pytest.approx(again.probability, abs=1e-6)


@pytest.mark.parametrize("rule", ["crop", "letterbox", "squash"])
def test_why_is_drawn_over_what_the_model_saw_whatever_the_resize_rule(
    rule: str, bundle: Bundle, tmp_path: Path
) -> None:
    spec = Preprocess(64, (0.0,) * 3, (1.0,) * 3, resize=rule, filter="bilinear", crop=1.0)  # type: ignore[arg-type]
    wide = np.zeros((60, 180, 3), np.uint8)
    wide[:, :90, 0] = wide[:, 90:, 2] = 255
    Image.fromarray(wide).save(tmp_path / "wide.png")
    ask = Answers(bundle)
    ask.bundle = replace(bundle, preprocess=spec)
    pixels = ask.seen(tmp_path / "wide.png")
    found = why(MeanColour(), pixels, spec, label="red", temperature=1.0, windows=7)
    picture = np.asarray(overlay(found)).astype(int)
    assert picture.shape[0] == picture.shape[1] >= 448
    middle = picture.shape[0] // 2
    red, blue = picture[middle, middle // 4], picture[middle, -middle // 4]
    assert red[0] > red[2] + 40  # orange over the red half
    assert blue[2] > blue[0] + 40
    if rule == "letterbox":  # hiding a grey bar under grey changes nothing
        assert abs(found.falls[0]).max() < 1e-3


def test_a_photo_in_which_no_part_matters_stays_pale(bundle: Bundle) -> None:
    grey = np.full((64, 64, 3), 120, np.uint8)
    spec = replace(PREPROCESS, size=64)
    found = why(MeanColour(), grey, spec, label="red", temperature=1.0, windows=7)
    assert abs(found.falls).max() < LEAST_SCALE
    assert "No part alone matters much" in words.reasons(found, bundle)
    assert np.asarray(overlay(found)).std(axis=2).max() < 2


def test_progress_counts_every_window_and_the_time_is_said(bundle: Bundle) -> None:
    told: list[tuple[int, int]] = []
    ticks = iter((0.0, 2.5))
    found = why(
        MeanColour(),
        halves(),
        replace(PREPROCESS, size=64),
        label="red",
        temperature=1.0,
        windows=7,
        on_window=lambda done, total: told.append((done, total)),
        clock_s=lambda: next(ticks),
    )
    assert told[-1] == (49, 49)
    assert "49 parts, one after another, hidden under grey: 2.5 s" in words.reasons(found, bundle)


def test_a_large_input_is_asked_in_batches_that_fit_into_memory() -> None:
    sizes: list[int] = []

    class Counting(MeanColour):
        def outputs(self, batch: np.ndarray) -> Outputs:
            sizes.append(batch.size)
            return super().outputs(batch)

    pixels = np.zeros((2048, 2048, 3), np.uint8)
    why(Counting(), pixels, replace(PREPROCESS, size=2048), label="red", temperature=1.0, windows=2)
    assert max(sizes) <= 3 * 2048 * 2048


# cards


def with_card(bundle: Bundle, text: str) -> Bundle:
    path = bundle.path / "README.md"
    path.write_text(text, encoding="utf-8")
    changed = replace(bundle, files={**bundle.files, "README.md": entry(path)})
    write_bundle(changed)
    return changed


def test_the_card_is_shown_without_its_front_matter(bundle: Bundle) -> None:
    text = "---\nlicense: mit\n---\n# Dogs\n\n| a | b |\n|---|---|\n| 1 | 2 |\n"
    assert card(with_card(bundle, text)) == "# Dogs\n\n| a | b |\n|---|---|\n| 1 | 2 |\n"


@pytest.mark.parametrize(
    "attack",
    [
        "<script>alert(1)</script>",
        "<img src=https://elsewhere/x.png>",
        "![x](https://elsewhere/x.png)",
        "\\![x](https://elsewhere/x.png)",
        "![a][b]\n\n[b]: https://elsewhere/x.png",
        "[click](javascript:alert(1))",
        "\\\\[click](javascript:alert(1))",
        "$$\\href{javascript:alert(1)}{x}$$",
        "<https://elsewhere>",
    ],
)
def test_the_card_of_a_stranger_has_no_tag_no_picture_no_link_and_no_formula(attack: str) -> None:
    markdown_it = pytest.importorskip("markdown_it")
    page = markdown_it.MarkdownIt("gfm-like", {"linkify": False}).render(harmless(attack))
    assert not any(f"<{tag}" in page for tag in ("script", "img", "a ", "a>"))
    assert not any(mark in harmless(attack) for mark in "<![]$")


def test_a_changed_card_is_refused_and_a_missing_one_is_made_up_for(bundle: Bundle) -> None:
    assert "brings no model card" in card(bundle)
    assert "3 labels: red, green, blue" in card(bundle)
    long = with_card(bundle, "x" * (MOST_BYTES + 5))
    assert card(long).endswith("(cut off here)")
    (bundle.path / "README.md").write_text("changed", encoding="utf-8")
    with pytest.raises(Exception, match="is not the file that was exported"):
        card(long)


# examples


def test_examples_are_spread_over_the_folder_and_can_be_read(photos: Path, tmp_path: Path) -> None:
    chosen = examples_in(photos)
    assert len(chosen) == 8
    assert {path.parent.name for path in chosen} == {"red", "green", "blue"}
    broken_photos(tmp_path / "broken")
    for folder in (tmp_path / "broken", tmp_path / "none"):
        with pytest.raises(UsageError, match="--examples"):
            examples_in(folder)


def test_dogs_are_drawn_only_where_the_bundle_learned_from_drawings(
    bundle: Bundle, tmp_path: Path
) -> None:
    assert drawn_examples(bundle, tmp_path / "a") == []
    labels = ("Beagle", "Boxer", "Bulldog")
    source = "pictures that kennel sample drew"
    dogs = replace(bundle, labels=labels)
    assert drawn_examples(dogs, tmp_path / "b") == []
    drawn = replace(dogs, lineage=replace(dogs.lineage, data_source=source))
    paths = drawn_examples(drawn, tmp_path / "c")
    assert sorted(path.parent.name for path in paths) == sorted(labels)


def test_calibration_of_the_bundle_is_what_the_bars_show(bundle: Bundle) -> None:
    plain = tiny_bundle(bundle.path.parent / "plain", calibration=None)
    warm = Answers(bundle)(png("red")).answer.probability
    cold = Answers(plain)(png("red")).answer.probability
    assert CALIBRATION.temperature == 2.0
    assert warm < cold
