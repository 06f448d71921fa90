"""Copies of a picture are found whatever was done to it, and look-alikes are none."""

from __future__ import annotations

import io
import tracemalloc
from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageEnhance, ImageOps

from kennel import copies
from kennel.copies import (
    SAME,
    SIDE,
    Copy,
    candidates,
    clusters,
    find_copies,
    shows_something,
    sketch,
)
from kennel.sample.breeds import BREEDS
from kennel.sample.portrait import draw_portrait

Change = Callable[[Image.Image], Image.Image]


def again(image: Image.Image, quality: int) -> Image.Image:
    """Saved as a JPEG and opened."""
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return Image.open(file).convert("RGB")


def cut(image: Image.Image, left: float, top: float, right: float, bottom: float) -> Image.Image:
    """Without these shares of its sides."""
    w, h = image.size
    return image.crop(
        (round(left * w), round(top * h), w - round(right * w), h - round(bottom * h))
    )


def scaled(image: Image.Image, by: float) -> Image.Image:
    return image.resize(
        (round(image.width * by), round(image.height * by)), Image.Resampling.BICUBIC
    )


CHANGES: dict[str, Change] = {
    "smaller": lambda image: scaled(image, 0.4),
    "larger": lambda image: scaled(image, 1.7),
    "squashed": lambda image: image.resize((224, 224)),
    "saved again badly": lambda image: again(image, 20),
    "cut all round": lambda image: cut(image, 0.03, 0.03, 0.03, 0.03),
    "cut left": lambda image: cut(image, 0.1, 0, 0, 0),
    "cut in a corner": lambda image: cut(image, 0, 0.08, 0.08, 0),
    "mirrored": ImageOps.mirror,
    "brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.3),
    "darker": lambda image: ImageEnhance.Brightness(image).enhance(0.6),
    "more contrast": lambda image: ImageEnhance.Contrast(image).enhance(1.4),
    "grey": lambda image: image.convert("L").convert("RGB"),
    "all at once": lambda image: again(
        scaled(
            ImageEnhance.Brightness(cut(ImageOps.mirror(image), 0.05, 0, 0, 0.05)).enhance(0.8), 0.6
        ),
        50,
    ),
}


@pytest.fixture(scope="module")
def pictures() -> list[Image.Image]:
    """Four drawings of each of ten breeds: look-alikes, and no copies."""
    rng = np.random.default_rng(7)
    return [draw_portrait(breed, rng) for breed in BREEDS[:10] for _ in range(4)]


@pytest.fixture(scope="module")
def sketches(pictures: list[Image.Image]) -> np.ndarray:
    return sketched(pictures)


def sketched(pictures: Sequence[Image.Image]) -> np.ndarray:
    return np.stack([sketch(picture) for picture in pictures])


def test_a_sketch_is_small_and_grey(pictures: list[Image.Image]) -> None:
    drawn = sketch(pictures[0])
    assert (drawn.dtype, drawn.shape) == (np.uint8, (SIDE, SIDE))


def test_lookalikes_are_no_copies(sketches: np.ndarray) -> None:
    assert find_copies(sketches) == []


@pytest.mark.parametrize("name", CHANGES)
def test_a_changed_copy_is_found_and_nothing_else(
    name: str, pictures: list[Image.Image], sketches: np.ndarray
) -> None:
    n = len(pictures)
    changed = sketched([CHANGES[name](picture) for picture in pictures])
    found = find_copies(np.concatenate([sketches, changed]))
    assert [(copy.first, copy.second) for copy in found] == [(at, at + n) for at in range(n)]
    assert all(SAME <= copy.similarity <= 1 for copy in found)
    assert {copy.mirrored for copy in found} == {name in ("mirrored", "all at once")}


def test_more_copies_than_candidates_are_kept_still_hang_together(
    pictures: list[Image.Image], sketches: np.ndarray
) -> None:
    many = [again(pictures[0], 30 + at) for at in range(5 * candidates.BEST)]
    found = find_copies(np.concatenate([sketches, sketched(many)]))
    groups = clusters(len(sketches) + len(many), [(c.first, c.second) for c in found])
    assert {groups[at] for at in range(len(sketches), len(groups))} == {0}
    assert groups[: len(sketches)] == list(range(len(sketches)))


def test_the_result_does_not_depend_on_the_blocks_of_the_work(
    pictures: list[Image.Image], sketches: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = np.concatenate([sketches, sketched([CHANGES["cut left"](p) for p in pictures])])
    whole = find_copies(both)
    for name, value in (("_ROWS", 7), ("_COLUMNS", 11), ("_CROWDED", 3)):
        monkeypatch.setattr(candidates, name, value)
    monkeypatch.setattr(copies, "PAIRS", 5)
    parts = find_copies(both)
    assert [(c.first, c.second) for c in parts] == [(c.first, c.second) for c in whole]
    assert [c.similarity for c in parts] == pytest.approx([c.similarity for c in whole], abs=1e-4)


def test_pictures_of_one_colour_have_no_copies() -> None:
    plain = [Image.new("RGB", (80, 60), (grey, grey, grey)) for grey in (10, 10, 200)]
    assert not shows_something(sketched(plain)).any()
    assert find_copies(sketched(plain)) == []


def test_a_blank_photo_among_others_changes_nothing(sketches: np.ndarray) -> None:
    twice = np.concatenate([sketches, sketches])
    blank = np.full_like(sketches[:1], 90)
    blank[:, :8, 8:16] = sketches[0, 24:32, 24:32] // 8 + 80  # a stain
    assert not shows_something(blank).any()
    expected = [(copy.first, copy.second) for copy in find_copies(twice)]
    found = find_copies(np.concatenate([blank, twice, blank]))
    assert [(copy.first - 1, copy.second - 1) for copy in found] == expected


def test_lookalikes_by_the_hundred_do_not_fill_the_memory(sketches: np.ndarray) -> None:
    noise = np.random.default_rng(1).integers(-9, 10, (700, SIDE, SIDE))
    alike = np.clip(sketches[0] + noise, 0, 255).astype(np.uint8)
    tracemalloc.start()
    # Without the look at each pair, which takes as much memory as there are cores.
    found = candidates.candidate_pairs(alike, shows_something(alike), lambda _: None)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    pairs = zip(found["whole"].tolist(), found["part"].tolist(), strict=True)
    assert set(clusters(len(alike), pairs)) == {0}
    assert peak < 100e6  # 55 MB; with the pairs of all windows at once it is 150 MB


def test_few_sketches_are_no_trouble(sketches: np.ndarray) -> None:
    assert find_copies(sketches[:0]) == []
    assert find_copies(sketches[:1]) == []
    [copy] = find_copies(sketches[[0, 0]])
    assert copy == Copy(0, 1, copy.similarity, mirrored=False)
    assert copy.similarity == pytest.approx(1, abs=1e-3)


def test_progress_only_grows_and_ends_at_one(sketches: np.ndarray) -> None:
    shares: list[float] = []
    find_copies(np.concatenate([sketches, sketches]), on_share=shares.append)
    assert shares[-1] == 1
    assert all(before <= after for before, after in pairwise(shares))


@given(st.lists(st.tuples(st.integers(0, 11), st.integers(0, 11)), max_size=20))
def test_clusters_are_what_pairs_join(pairs: list[tuple[int, int]]) -> None:
    found = clusters(12, pairs)
    reach = {at: {at} for at in range(12)}
    for _ in range(12):
        for one, other in pairs:
            both = reach[one] | reach[other]
            reach[one] = reach[other] = both
            for item in both:
                reach[item] = reach[item] | both
    assert found == [min(reach[at]) for at in range(12)]
