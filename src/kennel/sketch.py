"""What photos were like, in counts: no photo, no name, nothing that leads back to one.

A bundle carries the `Reference` of its validation photos; who answers photos keeps a `Sketch` of
those it saw: how many fell between which edges. Sketches of the same reference add up, so several
processes or machines make one. `kennel.drift` compares the two. NumPy only.

B bins.
"""

from __future__ import annotations

import hashlib
import json
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np
import numpy.typing as npt

from kennel.errors import BundleError, KennelError
from kennel.impression import KNOWN
from kennel.typed import build, quoted

if TYPE_CHECKING:
    from pathlib import Path

    from kennel.bundle import Bundle

__all__ = [
    "BINS",
    "KNOWN",
    "LABELS",
    "SKETCH_JSON",
    "Reference",
    "Sketch",
    "psi",
    "read_reference",
    "scores",
    "spacings",
]

SKETCH_JSON = "sketch.json"  # of a bundle: its Reference
BINS = 10  # of a figure: more find no smaller shifts, see docs/decisions/0025-drift.md
LEAST_IN_A_BIN = 5  # reference photos
MOST_FIGURES = 64
MOST_BINS = 256
MOST_LABELS = 100_000
MOST_LETTERS = 255  # of a name
MOST_BYTES = 16 * 2**20  # of sketch.json
MOST_COUNTED = 2**53  # what JSON of any language can say exactly

LABELS = "labels"  # which label was answered
EDGES_OF_KNOWN = (0.5,)

Kind = TypeVar("Kind")


@dataclass(frozen=True)
class Reference:
    """What validation photos of a bundle were like.

    Attributes:
        bundle: its bundle_id.
        n: photos, >= 1.
        edges: by figure, ascending: a figure of x falls into the bin after all edges <= x. But for
            KNOWN they are figures of the photos themselves.
        counts: by figure, photos in each bin, one more than edges.
        labels: photos by the label that was answered, all labels of the bundle in its order.
        seed: of the directions on which features are laid.
        split: which photos they are.
    """

    bundle: str
    n: int
    edges: dict[str, tuple[float, ...]]
    counts: dict[str, tuple[int, ...]]
    labels: dict[str, int]
    seed: int = 0
    split: str = "validation"
    schema_version: Literal[1] = 1

    def __post_init__(self) -> None:
        _check_counts(self.n, self.counts, self.labels)
        if self.n < 1:
            raise ValueError("n is 0; a reference has photos")
        if not self.labels:
            raise ValueError("labels is empty")
        if set(self.edges) != set(self.counts):
            raise ValueError("edges and counts have other figures")
        for name, edges in self.edges.items():
            if len(edges) + 1 != len(self.counts[name]):
                raise ValueError(f"edges.{name} has {len(edges)} for {len(self.counts[name])} bins")
            if any(low >= high for low, high in pairwise(edges)):
                raise ValueError(f"edges.{name} do not ascend")

    @classmethod
    def of(
        cls,
        photos: Iterable[Mapping[str, float]],
        given: Iterable[str],
        *,
        bundle: str,
        labels: Sequence[str],
        seed: int = 0,
    ) -> Reference:
        """From what `answered` gave of each photo, and the label each was answered with.

        Raises:
            ValueError: no photos, or figures that are not finite.
        """
        rows, labelled = list(photos), list(given)
        if not rows or len(rows) != len(labelled):
            raise ValueError(f"{len(rows)} photos and {len(labelled)} labels make no reference")
        edges, counts = {}, {}
        for name in rows[0]:
            ordered = sorted(row[name] for row in rows)
            if not np.isfinite(ordered).all():
                raise ValueError(f"{name} is not finite for every photo")
            edges[name] = EDGES_OF_KNOWN if name == KNOWN else _edges(ordered)
            upto = [0, *(bisect_left(ordered, edge) for edge in edges[name]), len(rows)]
            counts[name] = tuple(b - a for a, b in pairwise(upto))
        tally = dict.fromkeys(labels, 0)
        for label in labelled:
            tally[label] += 1
        return cls(bundle, len(rows), edges, counts, tally, seed)

    @cached_property
    def digest(self) -> str:
        """16 digits by which a sketch says whose it is."""
        return hashlib.sha256(json.dumps(self.to_dict(), sort_keys=True).encode()).hexdigest()[:16]

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)

    @classmethod
    def from_dict(cls, document: object) -> Reference:
        """Raises:
        KennelError: the document is none.
        """
        return _read(cls, document, "a reference")


@dataclass(frozen=True)
class _Counted:
    """A sketch as JSON has it."""

    bundle: str
    reference: str
    n: int
    counts: dict[str, tuple[int, ...]]
    labels: dict[str, int]
    schema_version: Literal[1] = 1

    def __post_init__(self) -> None:
        _check_counts(self.n, self.counts, self.labels)


@dataclass(eq=False)
class Sketch:
    """Counts of the photos that were answered. Some microseconds a photo and a few KB, however
    many there were. Not for two threads at once: one each, and `merge`.

    Attributes:
        reference: whose edges it counts between.
        n: photos.
        counts: by figure, photos in each bin.
        labels: photos by the label that was answered.
    """

    reference: Reference
    n: int = 0
    counts: dict[str, list[int]] = field(default_factory=dict)
    labels: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.counts:
            self.counts = {name: [0] * len(bins) for name, bins in self.reference.counts.items()}
        self.labels = dict.fromkeys(self.reference.labels, 0) | self.labels

    def add(self, photo: Mapping[str, float], label: str) -> None:
        """Counts a photo.

        Args:
            photo: what `answered` gave.
            label: that was answered, known or not.
        Raises:
            KeyError: a figure of the reference is missing, or no such label; nothing was counted.
        """
        edges = self.reference.edges
        bins = [(self.counts[name], bisect_right(edges[name], photo[name])) for name in edges]
        self.labels[label] = self.labels[label] + 1
        for counts, number in bins:
            counts[number] += 1
        self.n += 1

    def merge(self, other: Sketch) -> None:
        """Adds what another counted.

        Raises:
            KennelError: it counts beside another reference.
        """
        if other.reference.digest != self.reference.digest:
            raise _other_reference(other.reference.bundle, other.reference.digest, self.reference)
        for name, counts in self.counts.items():
            counts[:] = [a + b for a, b in zip(counts, other.counts[name], strict=True)]
        for label, count in other.labels.items():
            self.labels[label] += count
        self.n += other.n

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(
            _Counted(
                bundle=self.reference.bundle,
                reference=self.reference.digest,
                n=self.n,
                counts={name: tuple(counts) for name, counts in self.counts.items()},
                labels=dict(self.labels),
            )
        )

    @classmethod
    def from_dict(cls, document: object, reference: Reference) -> Sketch:
        """Raises:
        KennelError: the document is no sketch, or was counted beside another reference.
        """
        read = _read(_Counted, document, "a sketch")
        if read.reference != reference.digest:
            raise _other_reference(read.bundle, read.reference, reference)
        bins = {name: len(counts) for name, counts in reference.counts.items()}
        if {name: len(counts) for name, counts in read.counts.items()} != bins:
            raise _no("a sketch", "its figures or bins are not those of its reference")
        if set(read.labels) != set(reference.labels):
            raise _no("a sketch", "its labels are not those of its reference")
        counts = {name: list(read.counts[name]) for name in reference.counts}
        return cls(reference, read.n, counts, read.labels)


def read_reference(bundle: Bundle) -> Reference | None:
    """What the validation photos of a bundle were like; None where an older kennel exported it.

    Raises:
        BundleError: the file is not the one exported, or no reference of this bundle.
    """
    if SKETCH_JSON not in bundle.files:
        return None
    where = bundle.path / SKETCH_JSON
    if bundle.files[SKETCH_JSON].bytes > MOST_BYTES:
        raise _no_reference(where, f"it has more than {MOST_BYTES} bytes")
    try:
        reference = Reference.from_dict(json.loads(bundle.read(SKETCH_JSON)))
    except (ValueError, RecursionError) as error:
        raise _no_reference(where, str(error)) from error
    except BundleError:
        raise
    except KennelError as error:
        raise _no_reference(where, error.message) from error
    if reference.bundle != bundle.bundle_id or tuple(reference.labels) != bundle.labels:
        raise _no_reference(where, "it is of another bundle")
    return reference


def scores(reference: Reference, sketch: Sketch) -> dict[str, float]:
    """The population stability index of each figure, LABELS among them; none before a photo came.

    0 is no difference. Without any drift it is about (bins - 1) (1 / n seen + 1 / n reference), so
    that the habit of calling 0.25 a drift says little: `kennel.drift` knows from where on it does.
    """
    if not sketch.n:
        return {}
    found = {
        name: float(psi(np.array(sketch.counts[name]), spacings(counts)))
        for name, counts in reference.counts.items()
    }
    seen = [sketch.labels[label] for label in reference.labels]
    found[LABELS] = float(psi(np.array(seen), np.array(list(reference.labels.values())) + 0.5))
    return found


def spacings(counts: Sequence[int]) -> npt.NDArray[np.int64]:
    """How many gaps between the reference's ordered figures each bin spans: N photos have N + 1,
    and each of them is as likely to hold a new photo. Int[B] -> Int64[B].
    """
    spans = np.array(counts, np.int64)
    spans[0] += 1  # edges belong to the bin above, so the gap under the first is the lowest bin's
    return spans


def psi(seen: npt.NDArray[np.integer], expected: npt.NDArray[np.number]) -> npt.NDArray[np.float64]:
    """Population stability index: the sum of (q - p) ln(q / p) over the bins.

    Args:
        seen: Int[..., B], counts, to each of which a half is added: none is ever empty.
        expected: [..., B], > 0 where they are not all 0, in any unit.
    Returns:
        Float64[...]
    """
    q = (seen + 0.5) / (seen.sum(axis=-1, keepdims=True) + 0.5 * seen.shape[-1])
    p = np.maximum(expected / expected.sum(axis=-1, keepdims=True), 1e-9)
    return np.asarray(((q - p) * np.log(q / p)).sum(axis=-1), np.float64)


def _edges(ordered: Sequence[float]) -> tuple[float, ...]:
    """Figures of photos themselves, between which about as many lie each time."""
    n = len(ordered)
    bins = min(BINS, max(2, (n + 1) // LEAST_IN_A_BIN))
    ranks = {max(1, round(step * (n + 1) / bins)) for step in range(1, bins)}
    return tuple(sorted({ordered[min(rank, n) - 1] for rank in ranks}))


def _check_counts(n: int, counts: Mapping[str, Sequence[int]], labels: Mapping[str, int]) -> None:
    if not 0 <= n <= MOST_COUNTED:
        raise ValueError(f"n is {n}; 0 to {MOST_COUNTED} are read")
    if len(counts) > MOST_FIGURES or len(labels) > MOST_LABELS:
        raise ValueError(f"it has {len(counts)} figures and {len(labels)} labels")
    if LABELS in counts:
        raise ValueError(f"a figure is called {LABELS}")
    for name in (*counts, *labels):
        if not 0 < len(name) <= MOST_LETTERS or not name.isprintable():
            raise ValueError(f"{quoted(name)} is no name")
    for name, bins in (*counts.items(), (LABELS, tuple(labels.values()))):
        if not (name == LABELS or 2 <= len(bins) <= MOST_BINS):
            raise ValueError(f"counts.{name} has {len(bins)} bins")
        if any(count < 0 for count in bins):
            raise ValueError(f"{name} has a count under 0")
        if sum(bins) != n:
            raise ValueError(f"{name} counts {sum(bins)} photos, not the {n} that n says")


def _read(kind: type[Kind], document: object, what: str) -> Kind:
    try:
        read: Kind = build(kind, document)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise _no(what, str(error)) from error
    return read


def _no(what: str, reason: str) -> KennelError:
    return KennelError(
        f"this is not {what} that kennel wrote: {reason}.",
        fix="fetch it again from the server, or export the bundle again",
    )


def _no_reference(where: Path, reason: str) -> BundleError:
    return BundleError(
        f"{where} cannot be used: {reason.rstrip('.')}.",
        fix="export the run again, into a new folder: kennel export RUN --to DIR",
    )


def _other_reference(bundle: str, digest: str, own: Reference) -> KennelError:
    which = "another export of it" if bundle == own.bundle else f"bundle {quoted(bundle)}"
    return KennelError(
        f"the sketch was counted beside {which} ({quoted(digest)}), and not beside "
        f"{own.bundle} ({own.digest}).",
        fix="name the bundle that answered those photos: kennel drift ... --bundle BUNDLE",
    )
