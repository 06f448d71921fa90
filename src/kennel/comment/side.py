"""A run or a bundle as a comment tells of it: figures, answers, settings, photos."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kennel.bundle import Bundle, Lineage
from kennel.dataset import read_index
from kennel.errors import BundleError, DatasetError, MissingExtraError, need
from kennel.intervals import wilson
from kennel.measured import Evaluation, Measured, evaluation_of
from kennel.pedigree import run_of
from kennel.report.again import answers_of, read_report
from kennel.report.answers import Answered
from kennel.run import CONFIG_YAML, Run

MOST_SETTINGS = 5000
MOST_CONFIG_BYTES = 2**20
# What differs between two machines and says nothing of the model.
PLACES = re.compile(r"(paths\..*|data\.csv|data\.photos|ckpt_path)")
SECRET = re.compile(r"(^|[._])(password|passwd|secret|token|api_?key|credentials?)($|[._])", re.I)
SIGNED_IN = re.compile(r"(?<=://)[^/@\s]+@")
HIDDEN = "(not shown)"


@dataclass(frozen=True)
class Side:
    """One of the two that a comment compares.

    Attributes:
        name: bundle_id, or run_id of a run.
        bundle: None of a run.
        run: None where its folder is not at hand.
        evaluation: None where none of its own photos lies in the bundle.
        figures: by split. Of a run they are the trainer's, of its best epoch.
        answers: every photo's, by split; empty where `why_no_answers` says why.
        counts: photos by split and label; empty where nobody wrote them down.
        settings: the whole configuration by key; None where `why_no_settings` says why.
    """

    name: str
    labels: tuple[str, ...]
    said: Run | Lineage
    bundle: Bundle | None
    run: Run | None
    evaluation: Evaluation | None
    figures: dict[str, Measured]
    answers: dict[str, list[Answered]]
    why_no_answers: str
    counts: dict[str, dict[str, int]]
    settings: dict[str, str] | None
    why_no_settings: str


def side_of(of: Run | Bundle, *, project: Path) -> Side:
    """Reads what there is. Whatever is not at hand is left out, with the reason.

    Args:
        project: folder in whose runs/ a bundle's run is looked for, besides beside the bundle.
    """
    said = of if isinstance(of, Run) else of.lineage
    run = of if isinstance(of, Run) else run_of(of, project=project)
    counts = _counts(said)
    settings, why_no_settings = _settings(run, said.config_sha256)
    if isinstance(of, Run):
        return Side(
            of.run_id,
            of.labels,
            said,
            None,
            of,
            None,
            _figures_of_run(of, counts),
            {},
            "it is a run; kennel export makes a bundle of it, kennel evaluate measures that",
            counts,
            settings,
            why_no_settings,
        )
    evaluation = evaluation_of(of)
    answers, why_no_answers = _answers(of, evaluation)
    return Side(
        of.bundle_id,
        of.labels,
        said,
        of,
        run,
        evaluation,
        evaluation.splits if evaluation else _figures_of_bundle(of),
        answers,
        why_no_answers,
        counts,
        settings,
        why_no_settings,
    )


def _answers(
    bundle: Bundle, evaluation: Evaluation | None
) -> tuple[dict[str, list[Answered]], str]:
    if evaluation is None:
        return {}, "it has no report of its own photos; kennel evaluate writes one"
    try:
        answers = answers_of(bundle, read_report(bundle))
    except BundleError:  # whose words may be those of a stranger
        return {}, "those beside its report are not what kennel evaluate wrote with it"
    if answers is None:
        return {}, "its report is of an older Kennel; kennel evaluate writes them"
    return answers, ""


def _figures_of_bundle(bundle: Bundle) -> dict[str, Measured]:
    return {
        split: Measured(
            n=f.n,
            top1=f.top1,
            top1_interval=f.top1_interval,
            macro_f1=f.macro_f1,
            macro_f1_interval=f.macro_f1_interval,
            log_loss=f.log_loss,
            log_loss_interval=f.log_loss_interval,
        )
        for split, f in bundle.metrics.items()
    }


def _figures_of_run(run: Run, counts: dict[str, dict[str, int]]) -> dict[str, Measured]:
    """Validation alone: on train photos a trainer measures varied ones, while it still learns."""
    top1, n = run.metrics.get("validation/top1"), sum(counts.get("validation", {}).values())
    if top1 is None or not n or not 0 <= top1 <= 1:
        return {}
    interval = wilson(round(top1 * n), n)
    loss = run.metrics.get("validation/loss")
    return {"validation": Measured(n=n, top1=top1, top1_interval=interval, log_loss=loss)}


def _counts(said: Run | Lineage) -> dict[str, dict[str, int]]:
    if isinstance(said, Lineage) and said.counts:
        return said.counts
    try:
        index = read_index(Path(said.dataset_csv))
    except DatasetError:
        return {}
    return index.counts if index.dataset_id == said.dataset_id else {}


def _settings(run: Run | None, sha256: str | None) -> tuple[dict[str, str] | None, str]:
    """The run's config.yaml, if it is the one that the run was trained with."""
    if run is None:
        return None, "its run is not at hand"
    path = run.path / CONFIG_YAML
    try:
        yaml: Any = need("yaml", extra="train")
        with path.open("rb") as file:
            content = file.read(MOST_CONFIG_BYTES + 1)
        if len(content) > MOST_CONFIG_BYTES or sha256 is None:
            return None, f"its {CONFIG_YAML} is not what a run writes"
        if hashlib.sha256(content).hexdigest() != sha256:
            return None, f"its {CONFIG_YAML} was changed since"
        # A list of lists of lists by names would be short here and endless when written out.
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(content)):
            return None, f"its {CONFIG_YAML} is not what a run writes"
        document = yaml.safe_load(content)
        settings = dict(_flat("", document))
    except MissingExtraError as error:
        return None, error.message.rstrip(".")
    except (OSError, ValueError, RecursionError, yaml.YAMLError):
        return None, f"its {CONFIG_YAML} cannot be read"
    places = document.get("paths", {}) if isinstance(document, dict) else {}
    home = places.get("output_dir") if isinstance(places, dict) else None
    home = home if isinstance(home, str) and home else None
    return {
        key: public(key, value.replace(home, "RUN") if home else value)
        for key, value in settings.items()
        if not PLACES.fullmatch(key)
    }, ""


def _flat(at: str, value: Any) -> Iterator[tuple[str, str]]:
    """Keys with dots and their values in JSON; a list is one value.

    Raises:
        ValueError: more than a configuration has.
    """
    left, n = [(at, value)], 0
    while left:
        key, value = left.pop()
        if isinstance(value, dict) and value:
            left += [(f"{key}.{name}" if key else str(name), each) for name, each in value.items()]
        elif key:
            yield key, json.dumps(value, ensure_ascii=False, default=str)
        n += 1
        if n > MOST_SETTINGS:
            raise ValueError(f"more than {MOST_SETTINGS} settings")


def public(key: str, value: str) -> str:
    """A value as a comment may have it, which everybody reads: no password, no user of an
    address.
    """
    if SECRET.search(key) and value not in ("null", '""', ""):
        return HIDDEN
    return SIGNED_IN.sub(f"{HIDDEN}@", value)
