"""All that a comment says, before it is written down: verdict, figures, changes, cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from kennel.bundle import BUNDLE_JSON, Bundle, ParityRow, read_bundle
from kennel.comment.changes import Photos, Settings, photos_changed, settings_changed
from kennel.comment.pairs import Pairs, pairs_of
from kennel.comment.side import Side
from kennel.compare.subject import same_model
from kennel.errors import BundleError
from kennel.formats import FILES, formats_in
from kennel.pedigree import BUNDLES
from kennel.prices import Price
from kennel.registry.entry import MARGIN

SCHEMA_VERSION = 1
JUDGING = "test"
PAIRED = ("test", "validation")  # not train: both have learned those photos

Word = Literal["better", "worse", "not shown to differ", "not comparable", "nothing to compare"]


@dataclass(frozen=True)
class Verdict:
    """Of the second, on test photos; `why` in words where it is not comparable."""

    word: Word
    why: str = ""
    not_worse: bool | None = None


@dataclass(frozen=True)
class Cost:
    """What the training of one side took, and what answers need.

    Attributes:
        usd: at the price that was named, where the hardware is the one it was named for.
        bytes: of each format, by name; `total_bytes` of all files.
        answers_per_s: photos measured a second, reading included, on `hardware`.
    """

    duration_s: float | None
    images_per_s: float | None
    usd: float | None
    trained_on: dict[str, str]
    bytes: dict[str, int]
    total_bytes: int | None
    answers_per_s: float | None
    measured_on: dict[str, str]


@dataclass(frozen=True)
class Comment:
    """`first` is what `second` is compared with; None where nothing was named.

    Attributes:
        pairs: by split; or, in words, why there is no paired test.
        opened: bundles at hand that were measured on the same test photos, this one among them.
    """

    first: Side | None
    second: Side
    verdict: Verdict
    pairs: dict[str, Pairs | str]
    settings: Settings | None
    photos: Photos | None
    cost: tuple[Cost | None, Cost]
    price: Price | None
    opened: tuple[str, ...]
    remarks: tuple[str, ...]


def comment_on(second: Side, first: Side | None, *, price: Price | None, project: Path) -> Comment:
    """Puts together what is said of the second.

    Args:
        price: of an hour of the machine that trained the second.
        project: folder whose bundles/ are counted among those that opened the test photos.
    """
    pairs: dict[str, Pairs | str] = {}
    if first is not None:
        pairs = {split: pairs_of(first, second, split) for split in PAIRED}
    return Comment(
        first,
        second,
        _verdict(first, second, pairs.get(JUDGING)),
        pairs,
        None if first is None else settings_changed(first, second),
        None if first is None else photos_changed(first, second),
        (_cost_of_first(first, second, price), _cost(second, price)),
        price,
        _opened(second, first, project),
        tuple(_remarks(first, second)),
    )


def document(comment: Comment, *, markdown: str) -> dict[str, Any]:
    """The same as JSON."""
    first, second = comment.first, comment.second
    return {
        "schema_version": SCHEMA_VERSION,
        "verdict": asdict(comment.verdict),
        "margin": MARGIN,
        "this": _side(second, comment.cost[1]),
        "against": None if first is None else _side(first, comment.cost[0]),
        "paired": {
            split: {"why_not": pairs} if isinstance(pairs, str) else _pairs(pairs)
            for split, pairs in comment.pairs.items()
        },
        "settings": None if comment.settings is None else asdict(comment.settings),
        "dataset": None if comment.photos is None else asdict(comment.photos),
        "price": None if comment.price is None else asdict(comment.price),
        "test_opened_for": list(comment.opened),
        "remarks": list(comment.remarks),
        "markdown": markdown,
    }


def parity_of(side: Side) -> Sequence[ParityRow]:
    return side.bundle.parity if side.bundle is not None else ()


def _verdict(first: Side | None, second: Side, pairs: Pairs | str | None) -> Verdict:
    if first is None or pairs is None:
        return Verdict("nothing to compare", "no other bundle was named: --against BUNDLE")
    if isinstance(pairs, str):
        return Verdict("not comparable", pairs)
    # Only bundles have answers, and so pairs.
    if first.bundle and second.bundle and same_model(first.bundle, second.bundle):
        return Verdict("not shown to differ", "both are one model", True)
    return Verdict(pairs.comparison.verdict, "", pairs.comparison.not_worse(MARGIN))


def _cost_of_first(first: Side | None, second: Side, price: Price | None) -> Cost | None:
    if first is None:
        return None
    alike = first.said.hardware == second.said.hardware
    return _cost(first, price if alike else None)


def _cost(side: Side, price: Price | None) -> Cost:
    bundle, evaluation, duration_s = side.bundle, side.evaluation, side.said.duration_s
    measured = side.figures.get(JUDGING)
    sizes = {}
    if bundle is not None:
        for name in formats_in(bundle):
            sizes[name] = sum(bundle.files[file].bytes for file in FILES[name])
    return Cost(
        duration_s=duration_s,
        images_per_s=side.run.images_per_s or None if side.run is not None else None,
        usd=None if price is None or duration_s is None else price.usd_per_hour * duration_s / 3600,
        trained_on=side.said.hardware,
        bytes=sizes,
        total_bytes=None if bundle is None else sum(e.bytes for e in bundle.files.values()),
        answers_per_s=measured.images_per_s if measured is not None else None,
        measured_on=evaluation.hardware if evaluation is not None else {},
    )


def _opened(second: Side, first: Side | None, project: Path) -> tuple[str, ...]:
    """Bundles beside this one and of the project that were measured on its test photos; none where
    itself was not.
    """
    if JUDGING not in second.figures:
        return ()
    found = {
        side.name
        for side in (second, first)
        if side is not None
        and JUDGING in side.figures
        and side.said.dataset_id == second.said.dataset_id
    }
    homes = [project.resolve() / BUNDLES]
    homes += [] if second.bundle is None else [second.bundle.path.resolve().parent]
    for home in dict.fromkeys(homes):
        for path in sorted(home.glob(f"*/{BUNDLE_JSON}")):
            try:
                bundle = read_bundle(path.parent)
            except BundleError:
                continue
            if bundle.lineage.dataset_id == second.said.dataset_id and JUDGING in bundle.metrics:
                found.add(bundle.bundle_id)
    return tuple(sorted(found))


def _remarks(first: Side | None, second: Side) -> list[str]:
    """What weakens the figures, in words of our own."""
    said = []
    unversioned = [side for side in (second, first) if side and side.said.git_commit is None]
    if unversioned:
        which = "Neither was" if len(unversioned) == 2 else "One of both was not"
        if first is None:
            which = "This was not"
        said.append(f"{which} trained in a git repository: its code is not known.")
    for side in (second, first):
        if side is None:
            continue
        which = "This" if side is second else "The other"
        if side.said.dirty:
            said.append(f"{which} was trained with uncommitted changes: its commit is not all.")
        if side.bundle is not None and side.evaluation is None:
            said.append(
                f"{which} has no report of its own photos; its figures are those that "
                f"{BUNDLE_JSON} keeps."
            )
        if side.bundle is not None and JUDGING not in side.figures:
            said.append(f"{which} was not measured on test photos.")
        if side.bundle is not None and _contradicted(side.bundle, side):
            said.append(f"{which} has a report with other figures than its {BUNDLE_JSON}.")
    if first is not None and first.said.seed != second.said.seed:
        said.append("The seeds differ: part of any difference is the draw of the seed.")
    elif first is not None:
        said.append(
            "One seed each: how much another seed would change either is not known from here."
        )
    one, other = (side.evaluation if side else None for side in (first, second))
    if one and other and (one.versions, one.hardware) != (other.versions, other.hardware):
        said.append(
            "The two were measured with other versions or on other hardware; the last digits of a "
            "probability may differ by that, and times cannot be compared."
        )
    return said


def _contradicted(bundle: Bundle, side: Side) -> bool:
    return any(
        split in bundle.metrics
        and (of.n, of.top1) != (bundle.metrics[split].n, bundle.metrics[split].top1)
        for split, of in side.figures.items()
    )


def _side(side: Side, cost: Cost | None) -> dict[str, Any]:
    return {
        "name": side.name,
        "kind": "run" if side.bundle is None else "bundle",
        "path": str(side.run.path if side.bundle is None and side.run else _path(side)),
        "labels": list(side.labels),
        "run_id": side.said.run_id,
        "git_commit": side.said.git_commit,
        "dirty": side.said.dirty,
        "dataset_id": side.said.dataset_id,
        "seed": side.said.seed,
        "config_sha256": side.said.config_sha256,
        "versions": side.said.versions,
        "measured": None
        if side.evaluation is None
        else {
            "created_utc": side.evaluation.created_utc,
            "seed": side.evaluation.seed,
            "versions": side.evaluation.versions,
        },
        "metrics": side.run.metrics if side.bundle is None and side.run else None,
        "figures": {split: asdict(of) for split, of in side.figures.items()},
        "parity": [asdict(row) for row in parity_of(side)],
        "cost": None if cost is None else asdict(cost),
    }


def _path(side: Side) -> Path:
    return side.bundle.path if side.bundle is not None else Path()


def _pairs(pairs: Pairs) -> dict[str, Any]:
    """With the names that compare.json has."""
    comparison = pairs.comparison
    return {
        "n": comparison.test.n,
        "verdict": comparison.verdict,
        "p": comparison.test.p,
        "only_against": comparison.test.only_a,
        "only_this": comparison.test.only_b,
        "figures": {
            name: {
                "against": each.first,
                "this": each.second,
                "difference": each.difference,
                "interval": list(each.interval),
            }
            for name, each in comparison.figures.items()
        },
        "seed": comparison.seed,
        "resamples": comparison.resamples,
        "left_out": [asdict(each) for each in pairs.left_out],
        "labels": [
            {
                "label": each.label,
                "n": each.test.n,
                "against": each.first,
                "this": each.second,
                "difference": each.test.difference,
                "interval": list(each.test.difference_interval),
                "only_against": each.test.only_a,
                "only_this": each.test.only_b,
            }
            for each in pairs.labels
        ],
    }
