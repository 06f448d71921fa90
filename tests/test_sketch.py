"""Sketches: what is kept of a photo, what adds up, and what is refused."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from kennel import impression, sketch
from kennel.errors import KennelError
from kennel.impression import answered, look
from kennel.sketch import Reference, Sketch, scores

LABELS = ("Beagle", "Boxer", "Poodle")
SIDE = 32


def values(*, width: int, height: int, pixels: np.ndarray, **rest: Any) -> dict[str, float]:
    """All figures of one photo."""
    return answered(look(width=width, height=height, pixels=pixels), **rest)


def photo(seed: int, *, light: float = 1.0) -> dict[str, float]:
    """The figures of a photo of random colours."""
    rng = np.random.default_rng(seed)
    pixels = (rng.integers(0, 256, (SIDE, SIDE, 3)) * light).astype(np.uint8)
    features = rng.standard_normal(16).astype(np.float32)
    return values(
        width=500,
        height=375,
        pixels=pixels,
        features=features,
        probability=float(rng.uniform(0.3, 1)),
        score=float(rng.normal()),
        known=bool(rng.random() < 0.95),
    )


def reference(*, bundle: str = "first-0a1b2c3d", n: int = 60, start: int = 0) -> Reference:
    return Reference.of(
        [photo(start + seed) for seed in range(n)],
        [LABELS[seed % 3] for seed in range(n)],
        bundle=bundle,
        labels=LABELS,
    )


@pytest.fixture(scope="module")
def known() -> Reference:
    return reference()


def test_figures_say_what_a_photo_is_like() -> None:
    flat = np.full((SIDE, SIDE, 3), (255, 0, 0), np.uint8)
    said = values(
        width=4000,
        height=3000,
        pixels=flat,
        features=None,
        probability=0.5,
        score=None,
        known=True,
    )
    expected = {
        "megapixels": 12.0,
        "aspect": 4 / 3,
        "brightness": 0.299,
        "contrast": 0.0,
        "sharpness": 0.0,
        "saturation": 1.0,
        "confidence": 0.5,
    }
    assert said == pytest.approx(expected, abs=2e-7)


def test_sharper_pixels_are_sharper_and_darker_ones_darker() -> None:
    rough = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3)).astype(np.uint8)
    smooth = np.repeat(np.repeat(rough[::4, ::4], 4, axis=0), 4, axis=1)

    def of(pixels: np.ndarray) -> dict[str, float]:
        given = {"features": None, "probability": 1.0, "score": None, "known": True}
        return values(width=SIDE, height=SIDE, pixels=pixels, **given)

    assert of(rough)["sharpness"] > 1.5 * of(smooth)["sharpness"]
    assert of(rough // 2)["brightness"] == pytest.approx(of(rough)["brightness"] / 2, abs=0.01)
    assert of(rough[:1, :1])["sharpness"] < 1e-6  # no neighbours


def test_photos_of_one_size_have_no_equal_figures() -> None:
    sizes = {photo(seed)["megapixels"] for seed in range(200)}
    assert len(sizes) == 200
    assert max(sizes) - min(sizes) < 2e-7


def test_figures_of_a_photo_take_less_than_a_millisecond() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (224, 224, 3)).astype(np.uint8)
    features = np.ones(1280, np.float32)
    took = []
    for _ in range(50):
        start = time.perf_counter()
        values(
            width=500,
            height=375,
            pixels=pixels,
            features=features,
            probability=0.9,
            score=1.0,
            known=True,
        )
        took.append(time.perf_counter() - start)
    assert min(took) < 0.001


def test_directions_are_unit_vectors_that_never_change() -> None:
    vectors = impression.directions(1280, 0)
    assert vectors.shape == (impression.PROJECTIONS, 1280)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1.0, abs=1e-6)
    assert np.abs(vectors @ vectors.T - np.eye(len(vectors))).max() < 0.15
    # Golden: references in bundles were laid on these.
    assert "".join("+" if x > 0 else "-" for x in vectors[0, :16]) == "-++-+++++---+--+"
    assert not np.array_equal(vectors, impression.directions(1280, 1))


def test_a_reference_holds_as_many_photos_in_each_bin(known: Reference) -> None:
    for name, counts in known.counts.items():
        assert sum(counts) == known.n == 60
        if name != sketch.KNOWN:
            assert len(counts) == sketch.BINS
            assert max(counts) - min(counts) <= 2
    assert known.labels == dict.fromkeys(LABELS, 20)
    assert known.counts[sketch.KNOWN][0] == sum(photo(seed)["known"] == 0 for seed in range(60))


@pytest.mark.parametrize("n", [1, 2, 3, 9])
def test_few_photos_make_a_reference_of_fewer_bins(n: int) -> None:
    few = reference(n=n)
    for counts in few.counts.values():
        assert 2 <= len(counts) <= 3
        assert sum(counts) == n


def test_a_reference_counts_itself_as_a_sketch_would(known: Reference) -> None:
    own = Sketch(known)
    for seed in range(60):
        own.add(photo(seed), LABELS[seed % 3])
    assert {name: tuple(counts) for name, counts in own.counts.items()} == known.counts
    assert own.labels == known.labels


def test_merged_sketches_count_what_one_would_have(known: Reference) -> None:
    one, first, second = Sketch(known), Sketch(known), Sketch(known)
    for seed in range(100, 140):
        one.add(photo(seed), LABELS[seed % 3])
        (first if seed % 4 else second).add(photo(seed), LABELS[seed % 3])
    first.merge(second)
    assert first.to_dict() == one.to_dict()
    assert second.n == 10
    first.merge(Sketch(known))
    assert first.to_dict() == one.to_dict()


def test_sketches_and_references_come_back_from_json(known: Reference) -> None:
    seen = Sketch(known)
    seen.add(photo(1), "Boxer")
    again = Reference.from_dict(json.loads(json.dumps(known.to_dict())))
    assert again == known
    assert again.digest == known.digest
    back = Sketch.from_dict(json.loads(json.dumps(seen.to_dict())), again)
    assert back.to_dict() == seen.to_dict()
    empty = Sketch.from_dict(Sketch(known).to_dict(), known)
    assert (empty.n, scores(known, empty)) == (0, {})


def test_a_sketch_says_nothing_of_one_photo(known: Reference) -> None:
    seen = Sketch(known)
    before = len(json.dumps(seen.to_dict()))
    for seed in range(300):
        seen.add(photo(seed), "Boxer")
    document = json.dumps(seen.to_dict())
    assert len(document) < before + 400  # counts with more digits, and nothing else
    assert "." not in document  # no figure of any photo


def test_sketches_of_another_reference_are_not_added(known: Reference) -> None:
    other = Sketch(reference(bundle="second-4e5f6a7b"))
    with pytest.raises(KennelError, match="second-4e5f6a7b") as refusal:
        Sketch(known).merge(other)
    assert "--bundle" in refusal.value.fix
    with pytest.raises(KennelError, match="counted beside bundle 'second-4e5f6a7b'"):
        Sketch.from_dict(other.to_dict(), known)
    again = Sketch(reference(start=1000))
    with pytest.raises(KennelError, match="another export of it"):
        Sketch(known).merge(again)


def test_a_photo_without_a_figure_or_of_no_label_is_not_half_counted(known: Reference) -> None:
    seen = Sketch(known)
    partial = {name: x for name, x in photo(1).items() if name != "score"}
    for figures, label in ((partial, "Boxer"), (photo(1), "Dingo")):
        with pytest.raises(KeyError):
            seen.add(figures, label)
    assert seen.to_dict() == Sketch(known).to_dict()


def test_scores_are_small_for_like_photos_and_large_for_dark_ones(known: Reference) -> None:
    like, dark = Sketch(known), Sketch(known)
    for seed in range(500, 1100):
        like.add(photo(seed), LABELS[seed % 3])
        dark.add(photo(seed, light=0.5), LABELS[seed % 3])
    assert set(scores(known, like)) == {*known.edges, "labels"}
    assert max(scores(known, like).values()) < 0.5  # some 9 * (1 / 600 + 1 / 60) = 0.17 is chance
    assert scores(known, dark)["brightness"] > 3
    assert scores(known, dark)["confidence"] == scores(known, like)["confidence"]


def test_scores_are_cheap_enough_for_each_scrape(known: Reference) -> None:
    seen = Sketch(known)
    seen.add(photo(1), "Boxer")
    scores(known, seen)
    start = time.perf_counter()
    for _ in range(20):
        scores(known, seen)
    assert (time.perf_counter() - start) / 20 < 0.01


def test_psi_is_that_of_the_books() -> None:
    seen, expected = np.array([30, 70]), np.array([50, 50])
    q = np.array([30.5, 70.5]) / 101
    by_hand = sum((q[i] - 0.5) * np.log(q[i] / 0.5) for i in range(2))
    assert float(sketch.psi(seen, expected)) == pytest.approx(by_hand)
    assert float(sketch.psi(np.array([0, 10]), np.array([0, 10]))) < np.inf


HOSTILE: dict[str, Callable[[dict[str, Any]], object]] = {
    "counts of text": lambda d: d["counts"].__setitem__("brightness", "many"),
    "a count under 0": lambda d: d["counts"]["brightness"].__setitem__(0, -1),
    "counts that do not add up": lambda d: d["counts"]["brightness"].__setitem__(0, 7),
    "a count that is a yes": lambda d: d["labels"].__setitem__("Boxer", True),
    "a count beyond reason": lambda d: d.update(n=2**70),
    "a fraction of a photo": lambda d: d.update(n=1.5),
    "another schema": lambda d: d.update(schema_version=2),
    "a figure that is missing": lambda d: d["counts"].pop("brightness"),
    "a thousand figures": lambda d: d["counts"].update({f"f{i}": [1, 0] for i in range(1000)}),
    "a figure with terminal codes": lambda d: d["counts"].update({"\x1b[2J": [1, 0]}),
    "a label that is not there": lambda d: d["labels"].update(Dingo=0),
    "other photos by label": lambda d: d["labels"].update(Boxer=2),
}


@pytest.mark.parametrize("damage", HOSTILE.values(), ids=HOSTILE)
def test_documents_that_are_no_sketch_are_refused_in_words(
    known: Reference, damage: Callable[[dict[str, Any]], object]
) -> None:
    seen = Sketch(known)
    seen.add(photo(1), "Boxer")
    document = json.loads(json.dumps(seen.to_dict()))
    damage(document)
    with pytest.raises(KennelError, match="not a sketch that kennel wrote") as refusal:
        Sketch.from_dict(document, known)
    assert refusal.value.fix
    assert refusal.value.message.isprintable()


@pytest.mark.parametrize("document", [None, [], {}, "sketch", 3, {"n": {"n": {}}}])
def test_what_is_not_even_shaped_like_one_is_refused(known: Reference, document: object) -> None:
    with pytest.raises(KennelError, match="not a sketch"):
        Sketch.from_dict(document, known)
    with pytest.raises(KennelError, match="not a reference"):
        Reference.from_dict(document)


UNSOUND: dict[str, Callable[[dict[str, Any]], object]] = {
    "no photos": lambda d: d.update(n=0),
    "edges that descend": lambda d: d["edges"]["brightness"].reverse(),
    "an edge twice": lambda d: d["edges"]["score"].__setitem__(1, d["edges"]["score"][0]),
    "an edge that is no number": lambda d: d["edges"]["score"].__setitem__(0, float("nan")),
    "an edge too few": lambda d: d["edges"]["score"].pop(),
    "no labels": lambda d: d.update(labels={}),
    "edges of another figure": lambda d: d["edges"].update(other=[0.5]),
    "a figure called labels": lambda d: (
        d["edges"].update(labels=[0.5]),
        d["counts"].update(labels=[30, 30]),
    ),
    "an endless name": lambda d: d["labels"].update({"x" * 300: 0}),
}


@pytest.mark.parametrize("damage", UNSOUND.values(), ids=UNSOUND)
def test_documents_that_are_no_reference_are_refused_in_words(
    known: Reference, damage: Callable[[dict[str, Any]], object]
) -> None:
    document = copy.deepcopy(json.loads(json.dumps(known.to_dict())))
    damage(document)
    with pytest.raises(KennelError, match="not a reference that kennel wrote"):
        Reference.from_dict(document)


def test_figures_that_are_not_finite_make_no_reference() -> None:
    with pytest.raises(ValueError, match="brightness is not finite"):
        Reference.of(
            [photo(0) | {"brightness": float("nan")}], ["Boxer"], bundle="b", labels=LABELS
        )


def test_importing_it_loads_numpy_and_nothing_heavier() -> None:
    code = (
        "import sys, kennel.sketch;"
        "print(sorted({'PIL', 'onnxruntime', 'torch', 'matplotlib', 'jinja2'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
