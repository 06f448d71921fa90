"""A report that lies in a bundle, read back: its answers, and its page once more.

A report is no part of what the bundle's checksums cover, so a stranger may have written it: what is
shown of this machine's files are photos of the index that the bundle was made from, and strangers
in folders that the user named.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from kennel.bundle import Bundle
from kennel.dataset import Dataset
from kennel.errors import BundleError, MissingExtraError, need
from kennel.measured import REPORT, REPORT_JSON
from kennel.report.answers import Answered, read_answers
from kennel.report.page import render
from kennel.untrusted import opened

MOST_BYTES = 256 * 2**20  # of report.json, and of answers.csv
MOST_DRAWN = 1000  # strangers of a kind that are drawn again
NOWHERE = Path("/dev/null/no photo")


def read_report(bundle: Bundle) -> dict[str, Any]:
    """report.json of a bundle's own photos.

    Raises:
        BundleError: there is none, or one of something else.
    """
    measure = f"measure it: kennel evaluate {bundle.path}"
    try:
        said: Any = json.loads(_content(bundle, REPORT_JSON, fix=measure))
        of = (said["bundle_id"], said["dataset_id"])
        if said["labels"] != list(bundle.labels):
            raise ValueError("its labels are not those of the bundle")
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise _not_ours(bundle, error) from error
    if of != (bundle.bundle_id, bundle.lineage.dataset_id):
        raise BundleError(
            f"{bundle.path / REPORT / REPORT_JSON} is of another bundle, or of other photos.",
            fix=measure,
        )
    report: dict[str, Any] = said
    return report


def answers_of(bundle: Bundle, said: Mapping[str, Any]) -> dict[str, list[Answered]] | None:
    """Every answer behind a report, by split; None where it was written without them.

    Args:
        said: report.json.
    Raises:
        BundleError: the answers are of another evaluation, or damaged.
    """
    if "answers" not in said:
        return None
    again = f"measure it again: kennel evaluate {bundle.path}"
    try:
        name, sha256 = str(said["answers"]["file"]), said["answers"]["sha256"]
        if "/" in name or name.startswith("."):
            raise ValueError("answers.file is no plain name")
        content = _content(bundle, name, fix=again)
        if hashlib.sha256(content).hexdigest() != sha256:
            raise ValueError(f"the sha256 of {name} is not the one that {REPORT_JSON} names")
        return read_answers(content, said["labels"])
    except (ValueError, TypeError, KeyError) as error:
        raise _not_ours(bundle, error) from error


def page_again(
    bundle: Bundle,
    *,
    dataset: Dataset | None,
    strangers: Sequence[Path],
    on_hidden: Callable[[str], None] | None = None,
) -> str:
    """The page that `kennel evaluate` wrote, from what it wrote beside it. Nothing is measured.

    Args:
        dataset: the index that the bundle was made from; None where it is not at hand: then the
            page has no photos.
        strangers: folders whose photos may be shown where the report names them.
        on_hidden: called with each folder that the report names and that may not be shown.
    Raises:
        BundleError: there is no report, or it is not one that Kennel wrote.
        MissingExtraError: the page cannot be made.
    """
    jinja2 = need("jinja2", extra="train")
    said = read_report(bundle)
    answers = answers_of(bundle, said)
    files = {photo.path: dataset.file(photo) for photo in dataset.photos} if dataset else {}
    folders = {folder.resolve() for folder in strangers}
    hidden: set[str] = set()

    def stranger(source: str, name: str) -> Path:
        folder = Path(source).resolve()
        path = folder / name
        if any(path.resolve().is_relative_to(each) for each in folders):
            return path
        if on_hidden is not None and source not in hidden:
            on_hidden(source)
        hidden.add(source)
        return NOWHERE

    try:
        _check_drawn(said)
        return render(
            said,
            answers if answers is not None else _mistakes(said),
            file=lambda path: files.get(path, NOWHERE),
            stranger=stranger,
            preprocess=bundle.preprocess,
        )
    except MissingExtraError:
        raise
    except (LookupError, TypeError, ValueError, AttributeError, jinja2.TemplateError) as error:
        raise _not_ours(bundle, error) from error


def _mistakes(said: Mapping[str, Any]) -> dict[str, list[Answered]]:
    """The photos that report.json names itself: those answered wrong."""
    number = {label: at for at, label in enumerate(said["labels"])}
    return {
        split: [
            Answered(
                row["path"],
                number[row["label"]],
                number[row["answer"]],
                row["probability"],
                row["probability_of_label"],
                row["known"],
                loss=0.0,
            )
            for row in part["mistakes"]
        ]
        for split, part in said["splits"].items()
    }


def _check_drawn(said: Mapping[str, Any]) -> None:
    for group in said["strangers"]["groups"] if said["strangers"] else ():
        if group["seed"] is not None and not 0 < group["n"] <= MOST_DRAWN:
            raise ValueError(f"{group['n']} strangers are said to be drawn")


def _content(bundle: Bundle, name: str, *, fix: str) -> bytes:
    with opened(bundle.path, f"{REPORT}/{name}", fix=fix) as file:
        content = file.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise BundleError(
            f"{bundle.path / REPORT / name} has more than {MOST_BYTES} bytes.", fix=fix
        )
    return content


def _not_ours(bundle: Bundle, error: Exception) -> BundleError:
    return BundleError(
        f"{bundle.path / REPORT} does not hold a report as kennel evaluate writes it: "
        f"{type(error).__name__}: {error}.",
        fix=f"measure it again: kennel evaluate {bundle.path}",
    )
