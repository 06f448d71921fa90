"""A photo with its answer under it."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw

from kennel.annotate import BAR, MARGIN, NARROWEST_PANEL, PHOTO_HEIGHT, WIDEST_PHOTO, annotate
from kennel.look import ACCENT, INK, LINE, PAPER, rgb

TOP = [("Beagle", 0.75), ("Golden_Retriever", 0.2), ("Boxer", 0.05), ("Poodle", 0.0)]


def photo_of(width: int, height: int) -> Image.Image:
    """Left half red, right half blue, so that bending and covering show."""
    photo = Image.new("RGB", (width, height), (200, 0, 0))
    ImageDraw.Draw(photo).rectangle((width // 2, 0, width, height), fill=(0, 0, 200))
    return photo


def annotated(
    photo: Image.Image | None = None,
    *,
    top: list[tuple[str, float]] | None = None,
    known: bool = True,
    bundle_id: str = "b1",
) -> np.ndarray:  # UInt8[H, W, 3]
    photo = photo or photo_of(600, 480)
    return np.asarray(annotate(photo, top=top or TOP, known=known, bundle_id=bundle_id))


def panel(picture: np.ndarray) -> np.ndarray:
    return picture[PHOTO_HEIGHT:]


def has(pixels: np.ndarray, colour: str) -> np.ndarray:  # UInt8[H, W, 3] -> Bool[H, W]
    found: np.ndarray = (pixels == rgb(colour)).all(axis=-1)
    return found


def bars(picture: np.ndarray) -> list[float]:
    """The filled share of each bar, from top to bottom."""
    filled, track = has(panel(picture), ACCENT), has(panel(picture), LINE)
    rows = np.nonzero((filled | track).sum(axis=1) > 200)[0]
    middles = [
        int(run[len(run) // 2]) for run in np.split(rows, np.nonzero(np.diff(rows) > 1)[0] + 1)
    ]
    return [filled[row].sum() / (filled[row].sum() + track[row].sum()) for row in middles]


def title_box(picture: np.ndarray) -> tuple[int, int, int]:
    """Left edge, top and bottom of the ink in the title's place."""
    rows, columns = np.nonzero(has(panel(picture)[: MARGIN + 36], INK))
    return int(columns.min()), int(rows.min()), int(rows.max())


def test_the_photo_is_whole_and_the_panel_is_under_it() -> None:
    photo = photo_of(600, 480)
    picture = annotated(photo)
    np.testing.assert_array_equal(picture[:PHOTO_HEIGHT], np.asarray(photo))
    assert len(picture) > PHOTO_HEIGHT + 100
    assert has(panel(picture), PAPER).mean() > 0.8


@pytest.mark.parametrize(("width", "height"), [(60, 48), (300, 240), (3000, 2400)])
def test_photos_of_any_size_become_480_high_and_are_not_stretched(width: int, height: int) -> None:
    picture = annotated(photo_of(width, height))
    assert picture.shape[1] == 600
    left, right = picture[:PHOTO_HEIGHT, 290], picture[:PHOTO_HEIGHT, 310]
    assert (left[:, 0] > 190).all()
    assert (left[:, 2] < 10).all()
    assert (right[:, 2] > 190).all()
    assert (right[:, 0] < 10).all()


def test_a_narrow_photo_stands_in_the_middle_of_the_paper() -> None:
    picture = annotated(photo_of(60, 480))
    assert picture.shape[1] == NARROWEST_PANEL
    is_paper = has(picture[:PHOTO_HEIGHT], PAPER)
    assert is_paper[:, :150].all()
    assert is_paper[:, 210:].all()
    assert not is_paper[:, 150:210].any()


def test_a_wide_photo_keeps_its_width() -> None:
    assert annotated(photo_of(2000, 480)).shape[1] == 2000


@pytest.mark.parametrize(("width", "height"), [(1, 9000), (30000, 10), (1, 1)])
def test_photos_of_extreme_shape_give_a_picture_of_bounded_size(width: int, height: int) -> None:
    picture = annotated(Image.new("RGB", (width, height)))
    assert NARROWEST_PANEL <= picture.shape[1] <= WIDEST_PHOTO
    assert picture.shape[0] <= PHOTO_HEIGHT + 400


def test_the_photo_given_is_not_changed() -> None:
    photo = photo_of(600, 480)
    before = photo.tobytes()
    annotated(photo)
    assert photo.tobytes() == before


def test_bars_are_as_long_as_the_probabilities_of_the_first_three() -> None:
    assert bars(annotated()) == pytest.approx([0.75, 0.2, 0.05], abs=0.02)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_fewer_answers_give_fewer_bars(count: int) -> None:
    assert len(bars(annotated(top=TOP[:count]))) == count


def test_the_first_bar_is_the_thick_one() -> None:
    column = has(panel(annotated()), ACCENT)[:, MARGIN + BAR]
    runs = np.diff(np.flatnonzero(np.diff(np.concatenate([[False], column, [False]]))))[::2]
    assert runs[0] == BAR > 2 * max(runs[1:])


def test_not_known_stands_in_the_place_and_size_of_the_answer_without_a_number() -> None:
    known, unknown = annotated(top=[("Not one I know", 0.9), *TOP[1:3]]), annotated(known=False)
    assert known.shape == unknown.shape
    assert title_box(known) == title_box(unknown)
    np.testing.assert_array_equal(panel(known)[: MARGIN + 36], panel(unknown)[: MARGIN + 36])
    assert not has(panel(unknown), ACCENT).any()
    assert not has(panel(unknown), LINE).any()


def test_not_known_names_the_nearest_label_and_no_other() -> None:
    beagle = annotated(known=False)
    boxer = annotated(top=[("Boxer", 0.75), *TOP[1:]], known=False)
    others = annotated(top=[TOP[0], ("Poodle", 0.1), ("Pug", 0.1)], known=False)
    assert (beagle != boxer).any()
    np.testing.assert_array_equal(beagle, others)


def test_not_known_shows_no_probability() -> None:
    likely, unlikely = [("Beagle", 0.99), *TOP[1:]], [("Beagle", 0.4), *TOP[1:]]
    np.testing.assert_array_equal(
        annotated(top=likely, known=False), annotated(top=unlikely, known=False)
    )


def test_underscores_are_read_as_spaces() -> None:
    np.testing.assert_array_equal(
        annotated(top=[("Golden_Retriever", 0.5)]), annotated(top=[("Golden Retriever", 0.5)])
    )


def test_every_picture_names_its_bundle() -> None:
    for known in (True, False):
        one, other = annotated(known=known), annotated(known=known, bundle_id="b2")
        rows = np.nonzero((one != other).any(axis=(1, 2)))[0]
        assert len(rows)
        assert rows.min() > len(one) - MARGIN - 14


def test_a_probability_is_written_with_one_decimal() -> None:
    def number(probability: float) -> np.ndarray:
        return panel(annotated(top=[("Beagle", probability)]))[:, -MARGIN - 80 :]

    np.testing.assert_array_equal(number(0.4998), number(0.5002))
    assert (number(0.5) != number(0.501)).any()


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize(
    "label",
    ["West_Highland_White_Terrier_of_the_Northern_Isles", "x" * 200, "many short words " * 30],
)
@pytest.mark.parametrize("width", [60, 600])
def test_long_names_stay_inside_the_margins(label: str, known: bool, width: int) -> None:
    picture = annotated(photo_of(width, 480), top=[(label, 0.6), (label, 0.4)], known=known)
    is_paper = has(panel(picture), PAPER)
    assert is_paper[:, : MARGIN - 3].all()
    assert is_paper[:, -MARGIN + 3 :].all()
    assert is_paper[-MARGIN + 8 :].all()


def test_a_name_of_several_words_wraps_and_makes_the_panel_higher() -> None:
    long = "Nova_Scotia_Duck_Tolling_Retriever_of_the_old_kind"
    wrapped = annotated(photo_of(60, 480), top=[(long, 0.6)])
    assert len(wrapped) > len(annotated(photo_of(60, 480), top=[("Pug", 0.6)]))
    assert len(bars(wrapped)) == 1
    inked = has(panel(wrapped)[: MARGIN + 100], INK).any(axis=1)
    lines = np.flatnonzero(np.diff(inked.astype(int)) == 1)
    assert len(lines) >= 3  # two lines of the name, and the number


@pytest.mark.parametrize(
    "label", ["Großer Münsterländer", "собака", "犬", "כלב", "🐕", "a\nb", "\udc80", "", "\u0301"]
)
def test_a_name_in_any_script_can_be_drawn(label: str) -> None:
    for known in (True, False):
        picture = annotated(top=[(label, 0.6), (label, 0.4)], known=known)
        assert has(panel(picture)[: MARGIN + 36], INK).any()


def test_no_answer_at_all_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="top is empty"):
        annotate(photo_of(60, 48), top=[], known=True, bundle_id="b1")
