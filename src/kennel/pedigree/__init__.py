"""Where a model comes from and where it went: photos, index, commit, settings, run, bundles,
figures, registry.

`pedigree_of` follows the line through what the files say; `kennel.pedigree.proof` asks whether it
is true. Whatever is no longer at hand is left out, and never an error.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kennel.bundle import BUNDLE_JSON, Bundle, read_bundle
from kennel.dataset import Dataset, read_index
from kennel.errors import BundleError, DatasetError, MissingExtraError, RunError, UsageError
from kennel.folders import Origin, origin_of
from kennel.measured import evaluation_of
from kennel.pedigree.dvc import Pointer, pointers_to
from kennel.run import RUN_JSON, Run, read_run

RUNS, BUNDLES = "runs", "bundles"
HISTORY = "history"  # in a registry: one file an entry, 000001.json and so on


@dataclass(frozen=True)
class PhotosStep:
    """The photos, and the index that the run was trained on.

    Attributes:
        folder: where they lie; None where the index is not at hand.
        here: whether the index at `csv` is the one that the run was trained on.
        counts: photos by split; None where nothing says it.
        dvc: checksums that DVC keeps of the photos and of the index.
    """

    csv: str
    dataset_id: str
    here: bool
    folder: Path | None
    counts: dict[str, int] | None
    origin: Origin
    dvc: tuple[Pointer, ...]


@dataclass(frozen=True)
class CodeStep:
    """What was run on them."""

    git_commit: str | None
    dirty: bool | None
    config_sha256: str | None
    overrides: tuple[str, ...]
    seed: int
    backbone: str
    versions: dict[str, str]
    hardware: dict[str, str]


@dataclass(frozen=True)
class RunStep:
    """`path` is None where its folder is not at hand; `status` then is, too."""

    run_id: str
    path: Path | None
    status: str | None
    trained_utc: str | None
    duration_s: float | None
    from_run: str | None


@dataclass(frozen=True)
class FiguresStep:
    """Headline of one split, as it stands in the bundle; `interval` is of `top1`, 95 %."""

    split: str
    n: int
    top1: float
    interval: tuple[float, float]


@dataclass(frozen=True)
class Deployment:
    """An entry of a registry that names a bundle.

    Attributes:
        registry: the folder.
        entry: number of its newest entry that names the bundle.
        champion: whether no later entry names another bundle.
        since_utc: of the entry, where it says so.
    """

    registry: Path
    entry: int
    champion: bool
    since_utc: str | None


@dataclass(frozen=True)
class BundleStep:
    """A bundle that came of the run. `report`: report.json of its own photos, if it has one."""

    bundle_id: str
    path: Path
    created_utc: str
    files: int
    figures: tuple[FiguresStep, ...]
    report: Path | None
    deployments: tuple[Deployment, ...]


@dataclass(frozen=True)
class Pedigree:
    """The whole line. `bundles`: the one that was asked for, or all of the run that are found."""

    photos: PhotosStep
    code: CodeStep
    run: RunStep
    bundles: tuple[BundleStep, ...]


def pedigree_of(
    of: Run | Bundle, *, project: Path, registry: Path | None = None, data: Path | None = None
) -> Pedigree:
    """Follows the line from the photos to the registry. Reads small files only, and the index.

    Args:
        project: folder in which runs/ and bundles/ are looked for, besides that of `of`.
        registry: folder of a registry; it need not be there.
        data: the index, where it lies elsewhere now.
    """
    said = of if isinstance(of, Run) else of.lineage
    run = of if isinstance(of, Run) else run_of(of, project=project)
    bundles = (of,) if isinstance(of, Bundle) else bundles_of(of, project=project)
    return Pedigree(
        photos=_photos(of, data),
        code=CodeStep(
            git_commit=said.git_commit,
            dirty=said.dirty,
            config_sha256=said.config_sha256,
            overrides=said.overrides,
            seed=said.seed,
            backbone=f"{said.backbone.name}, {said.backbone.licence}",
            versions=said.versions,
            hardware=said.hardware,
        ),
        run=RunStep(
            run_id=said.run_id,
            path=run.path if run else None,
            status=run.status if run else None,
            trained_utc=said.created_utc if isinstance(said, Run) else said.trained_utc,
            duration_s=said.duration_s,
            from_run=said.from_run,
        ),
        bundles=tuple(_bundle(bundle, registry) for bundle in bundles),
    )


def run_of(bundle: Bundle, *, project: Path) -> Run | None:
    """The run that a bundle was exported from, by its name: in the runs/ beside the bundle's
    folder, or of the project.
    """
    for home in dict.fromkeys((bundle.path.resolve().parent.parent, project.resolve())):
        folder = home / RUNS / bundle.lineage.run_id
        if (folder / RUN_JSON).is_file():
            try:
                return read_run(folder)
            except RunError:
                continue
    return None


def bundles_of(run: Run, *, project: Path) -> list[Bundle]:
    """Bundles of a run in the bundles/ beside its folder and of the project; damaged ones are not
    shown.
    """
    found: dict[Path, Bundle] = {}
    for home in dict.fromkeys((run.path.resolve().parent.parent, project.resolve())):
        for document in sorted((home / BUNDLES).glob(f"*/{BUNDLE_JSON}")):
            try:
                bundle = read_bundle(document.parent)
            except BundleError:
                continue
            lineage = bundle.lineage
            ours = lineage.run_id == run.run_id and lineage.dataset_id == run.dataset_id
            if ours and lineage.weights_sha256 in (None, run.weights_sha256):
                found.setdefault(bundle.path.resolve(), bundle)
    return list(found.values())


def read_either(path: Path) -> Run | Bundle:
    """The bundle or the run in a folder.

    Raises:
        UsageError: it is neither. BundleError, RunError: it is damaged.
    """
    if (path / BUNDLE_JSON).is_file():
        return read_bundle(path)
    if (path / RUN_JSON).is_file():
        return read_run(path)
    raise UsageError(
        f"{path} is neither a run nor a bundle: it has no {RUN_JSON} and no {BUNDLE_JSON}.",
        fix="name a folder such as runs/<id> or bundles/<id>",
    )


def _photos(of: Run | Bundle, data: Path | None) -> PhotosStep:
    said = of if isinstance(of, Run) else of.lineage
    csv = data or Path(said.dataset_csv)
    index = _index(csv, said.dataset_id)
    folder = _photos_dir(index) if index is not None else None
    counts = {} if isinstance(said, Run) else said.counts
    if index is not None:
        counts = index.counts
    origin = origin_of(folder) if folder is not None else Origin()
    if not isinstance(said, Run):  # what was so at the export counts
        origin = Origin(
            source=said.data_source or origin.source, licence=said.data_licence or origin.licence
        )
    at_hand = [folder] if folder is not None else []
    at_hand += [csv] if index is not None else []
    return PhotosStep(
        csv=str(csv),
        dataset_id=said.dataset_id,
        here=index is not None,
        folder=folder,
        counts={split: sum(of_label.values()) for split, of_label in counts.items()} or None,
        origin=origin,
        dvc=tuple(_pointers(at_hand)),
    )


def _index(csv: Path, dataset_id: str) -> Dataset | None:
    """The index, if it is there and still the one that the run was trained on."""
    try:
        index = read_index(csv)
    except DatasetError:
        return None
    return index if index.dataset_id == dataset_id else None


def _photos_dir(index: Dataset) -> Path | None:
    """Where an index's photos are: named relative to it, or to the working directory."""
    for folder in (index.csv.parent.resolve() / index.photos_dir, index.photos_dir):
        if folder.is_dir():
            return folder.resolve()
    return None


def _pointers(paths: Iterable[Path]) -> Iterator[Pointer]:
    try:
        for path in paths:
            yield from pointers_to(path)
    except MissingExtraError:  # a pedigree without them is one all the same
        return


def _bundle(bundle: Bundle, registry: Path | None) -> BundleStep:
    evaluation = evaluation_of(bundle)
    return BundleStep(
        bundle_id=bundle.bundle_id,
        path=bundle.path,
        created_utc=bundle.lineage.created_utc,
        files=len(bundle.files),
        figures=tuple(
            FiguresStep(split, f.n, f.top1, f.top1_interval) for split, f in bundle.metrics.items()
        ),
        report=evaluation.path if evaluation else None,
        deployments=tuple(_deployments(bundle.bundle_id, registry)),
    )


def _deployments(bundle_id: str, registry: Path | None) -> Iterator[Deployment]:
    """The newest entry of a registry that names the bundle. What is no entry is passed over."""
    if registry is None:
        return
    entries: list[tuple[int, dict[str, Any]]] = []
    for file in sorted((registry / HISTORY).glob("*.json")):
        try:
            document = json.loads(file.read_text(encoding="utf-8"))
            named = isinstance(document, dict) and isinstance(document.get("bundle_id"), str)
            if named:
                entries.append((int(file.stem), document))
        except (OSError, ValueError, RecursionError):
            continue
    entries.sort(key=lambda entry: entry[0])
    ours = [entry for entry in entries if entry[1]["bundle_id"] == bundle_id]
    if ours:
        number, document = ours[-1]
        since = [v for k, v in document.items() if k.endswith("utc") and isinstance(v, str)]
        yield Deployment(
            registry=registry,
            entry=number,
            champion=entries[-1][1]["bundle_id"] == bundle_id,
            since_utc=since[0] if since else None,
        )
