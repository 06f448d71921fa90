"""A small project whose whole line is there: photos, index, run, bundle, registry."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path

from bundles import PREPROCESS, coloured_photos, tiny_bundle

from kennel.bundle import Backbone, Bundle, SplitFigures, file_sha256, read_bundle, write_bundle
from kennel.dataset import Dataset
from kennel.index import index_photos
from kennel.run import BEST_WEIGHTS, CONFIG_YAML, Run, write_run

FIGURES = SplitFigures(
    n=40,
    top1=0.9,
    top1_interval=(0.769, 0.96),
    macro_f1=0.88,
    macro_f1_interval=(0.75, 0.96),
    log_loss=0.3,
    log_loss_interval=(0.2, 0.4),
)


@dataclass(frozen=True)
class Line:
    """The project's folder and what lies in it."""

    project: Path
    dataset: Dataset
    run: Run
    bundle: Bundle


def git(folder: Path, *words: str) -> str:
    """What git says, with an author of its own."""
    who = ("-c", "user.name=A", "-c", "user.email=a@example.com")
    done = subprocess.run(
        ["git", "-C", str(folder), *who, *words], check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def write_line(project: Path, *, commit: str | None = None) -> Line:
    """Photos, their index, a run on it and its bundle, whose checksums all match."""
    photos = coloured_photos(project / "photos")
    dataset = index_photos(
        photos, to=project / "data" / "dataset.csv", fractions=(0.5, 0.25, 0.25)
    ).dataset
    home = project / "runs" / "first"
    (home / BEST_WEIGHTS).parent.mkdir(parents=True)
    (home / BEST_WEIGHTS).write_bytes(b"weights")
    (home / CONFIG_YAML).write_text("seed: 7\n", encoding="utf-8")
    run = Run(
        run_id="first",
        status="done",
        git_commit=commit,
        dirty=False if commit else None,
        dataset_id=dataset.dataset_id,
        dataset_csv=str(dataset.csv),
        labels=dataset.labels,
        preprocess=PREPROCESS,
        backbone=Backbone("resnet18", "random", "https://example.org", "Apache-2.0"),
        seed=7,
        metrics={"validation/top1": 0.875},
        best_checkpoint=BEST_WEIGHTS,
        best_epoch=3,
        duration_s=12.5,
        images_per_s=80.25,
        hardware={"cpu": "a processor"},
        versions={"torch": "2.13.0"},
        created_utc="2026-11-23T08:00:00Z",
        config_sha256=file_sha256(home / CONFIG_YAML),
        weights_sha256=file_sha256(home / BEST_WEIGHTS),
        overrides=("experiment=quick", "seed=7"),
        path=home,
    )
    write_run(run)
    drawn = tiny_bundle(
        project / "bundles" / "first",
        labels=("blue", "green", "red"),
        metrics={"test": FIGURES},
        dataset_csv=str(dataset.csv),
        dataset_id=dataset.dataset_id,
    )
    lineage = replace(
        drawn.lineage,
        run_id="first",
        git_commit=commit,
        seed=7,
        config_sha256=run.config_sha256,
        weights_sha256=run.weights_sha256,
        overrides=run.overrides,
        trained_utc=run.created_utc,
        duration_s=run.duration_s,
        counts=dataset.counts,
    )
    write_bundle(replace(drawn, lineage=lineage))
    return Line(project, dataset, run, read_bundle(drawn.path))


def write_registry(folder: Path, *bundle_ids: str) -> Path:
    """A registry to which these were promoted, one after the other."""
    (folder / "history").mkdir(parents=True)
    for number, bundle_id in enumerate(bundle_ids, start=1):
        entry = {"bundle_id": bundle_id, "created_utc": f"2026-12-0{number}T08:00:00Z"}
        file = folder / "history" / f"{number:06}.json"
        file.write_text(json.dumps(entry), encoding="utf-8")
    return folder
