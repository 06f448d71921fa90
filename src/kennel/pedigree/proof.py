"""Every checksum of a pedigree that can be reached, computed again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from kennel.audit.verify import verify
from kennel.bundle import BUNDLE_JSON, Bundle, Lineage, file_sha256
from kennel.dataset import Dataset, read_dataset
from kennel.errors import BundleError, DatasetError, MissingExtraError
from kennel.folders import names
from kennel.machine import files_changed_since, has_commit
from kennel.measured import evaluation_of
from kennel.pedigree import run_of
from kennel.pedigree.dvc import md5_of, pointers_to
from kennel.run import BEST_WEIGHTS, CONFIG_YAML, Run

State = Literal["matches", "differs", "not reachable"]


@dataclass(frozen=True)
class Check:
    """One checksum: of what, whether it is what was written down, and in words."""

    name: str
    state: State
    said: str


def checks_of(
    of: Run | Bundle,
    *,
    project: Path,
    data: Path | None = None,
    on_found: Callable[[int], None] | None = None,
    on_photo: Callable[[Path], None] | None = None,
) -> Iterator[Check]:
    """Computes every checksum again that can be reached, one by one.

    Args:
        of: a bundle has passed the checksum of its own bundle.json when it was read.
        project: folder whose runs/ may hold the bundle's run, and whose repository its commit.
        data: the index, where it lies elsewhere now.
        on_found: called with how many photos will be read. on_photo: called after each.
    """
    run: Run | None
    said: Run | Lineage
    if isinstance(of, Bundle):
        said, run = of.lineage, run_of(of, project=project)
        yield Check(BUNDLE_JSON, "matches", "its own checksum")
        yield from _files(of)
        yield from _figures(of)
    else:
        said, run = of, of
    yield _recorded(CONFIG_YAML, said.config_sha256, run)
    yield _recorded(BEST_WEIGHTS, said.weights_sha256, run)
    yield from _code(of, project)
    yield from _photos(of, data, on_found=on_found, on_photo=on_photo)


def _files(bundle: Bundle) -> Iterator[Check]:
    for name, entry in bundle.files.items():
        try:
            bundle.file(name)
        except BundleError as error:
            yield Check(name, "differs", error.message)
        except OSError as error:
            yield Check(name, "differs", f"it cannot be read: {error.strerror}")
        else:
            yield Check(name, "matches", f"sha256 {entry.sha256[:16]}, {entry.bytes:,} bytes")


def _figures(bundle: Bundle) -> Iterator[Check]:
    """Whether the report beside the bundle says what bundle.json says."""
    evaluation = evaluation_of(bundle)
    if evaluation is None:
        return
    other = [
        split
        for split, f in evaluation.splits.items()
        if split in bundle.metrics
        and (f.n, f.top1) != (bundle.metrics[split].n, bundle.metrics[split].top1)
    ]
    shown = f"{evaluation.path.parent.name}/{evaluation.path.name}"
    yield (
        Check(shown, "differs", f"other figures of {names(other)} than {BUNDLE_JSON}")
        if other
        else Check(shown, "matches", f"the figures of {BUNDLE_JSON}")
    )


def _recorded(name: str, sha256: str | None, run: Run | None) -> Check:
    """A file of the run beside the sha256 that was written down of it."""
    if sha256 is None:
        return Check(name, "not reachable", "nobody wrote its sha256 down")
    if run is None:
        return Check(name, "not reachable", "the run's folder is not here")
    file = run.path / name
    try:
        found = file_sha256(file)
    except OSError:
        return Check(name, "differs", f"{file} is missing or cannot be read")
    if found != sha256:
        return Check(name, "differs", f"{file} has sha256 {found[:16]}, not {sha256[:16]}")
    return Check(name, "matches", f"{file}, sha256 {sha256[:16]}")


def _code(of: Run | Bundle, project: Path) -> Iterator[Check]:
    said = of if isinstance(of, Run) else of.lineage
    commit = said.git_commit
    if commit is None:
        yield Check("commit", "not reachable", "it was not trained in a git repository")
        return
    home = next((each for each in (of.path, project) if has_commit(each, commit)), None)
    if home is None:
        yield Check("commit", "not reachable", f"{commit[:12]} is in no repository here")
        return
    yield Check("commit", "matches", f"{commit[:12]} is in the repository")
    changed = files_changed_since(home, commit)
    if said.dirty:
        why = "it had uncommitted changes, which no commit holds"
        yield Check("code", "not reachable", why)
    elif changed is None:
        yield Check("code", "not reachable", "git does not say what is checked out")
    elif changed:
        why = f"{len(changed)} files are checked out otherwise ({names(changed, 3)})"
        yield Check("code", "not reachable", f"{why}: git checkout {commit[:12]}")
    else:
        yield Check("code", "matches", "what is checked out is that commit")


def _photos(
    of: Run | Bundle,
    data: Path | None,
    *,
    on_found: Callable[[int], None] | None,
    on_photo: Callable[[Path], None] | None,
) -> Iterator[Check]:
    said = of if isinstance(of, Run) else of.lineage
    csv = data or Path(said.dataset_csv)
    if not csv.is_file():
        yield Check("index", "not reachable", f"{csv} is not here: --data CSV names another place")
        yield Check("photos", "not reachable", "without their index nobody knows which they were")
        return
    found = file_sha256(csv)
    if found != said.dataset_id:
        why = f"{csv} has dataset_id {found[:16]}, not {said.dataset_id[:16]}"
        yield Check("index", "differs", why)
        yield Check("photos", "not reachable", "without their index nobody knows which they were")
        return
    yield Check("index", "matches", f"{csv}, dataset {found[:16]}")
    yield from _dvc(csv)
    try:
        dataset = read_dataset(csv)
    except DatasetError as error:
        yield Check("photos", "not reachable", error.message)
        return
    yield _bytes(dataset, on_found=on_found, on_photo=on_photo)
    yield from _dvc(dataset.photos_dir)


def _bytes(
    dataset: Dataset,
    *,
    on_found: Callable[[int], None] | None,
    on_photo: Callable[[Path], None] | None,
) -> Check:
    if on_found:
        on_found(len(dataset.photos))
    seen = verify(dataset, on_photo=on_photo)
    if seen.whole:
        said = f"{seen.n:,} in {dataset.photos_dir}, each with the sha256 that was indexed"
        return Check("photos", "matches", said)
    wrong = [f"{names(seen.changed, 3)} changed"] if seen.changed else []
    wrong += [f"{names(seen.missing, 3)} missing"] if seen.missing else []
    return Check("photos", "differs", f"of {seen.n:,} in {dataset.photos_dir}: {'; '.join(wrong)}")


def _dvc(path: Path) -> Iterator[Check]:
    try:
        pointers = pointers_to(path)
    except MissingExtraError as error:
        yield Check(f"dvc {path.name}", "not reachable", f"{error.message} {error.fix}")
        return
    for pointer in pointers:
        name, where = f"dvc {pointer.path.name}", f"{pointer.file.name} says {pointer.md5[:16]}"
        if not pointer.exact:
            yield Check(name, "not reachable", f"{where}, by the way of DVC 2: dvc status")
            continue
        try:
            found = md5_of(pointer.path)
        except OSError as error:
            yield Check(name, "not reachable", f"{error.filename}: {error.strerror}")
            continue
        if found is None:
            why = "by patterns in .dvcignore that only DVC reads: dvc status"
            yield Check(name, "not reachable", f"{where}, {why}")
        elif found != pointer.md5:
            yield Check(name, "differs", f"{where}, and it is {found[:16]}")
        else:
            yield Check(name, "matches", f"{pointer.file.name}, md5 {pointer.md5[:16]}")
