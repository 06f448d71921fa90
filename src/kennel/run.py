"""A run's folder: `run.json`, typed, read and written. Standard library only, so that `kennel
show` needs no torch.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from kennel.bundle import Backbone, Preprocess, build, write_json
from kennel.errors import RunError

RUN_JSON = "run.json"
CONFIG_YAML = "config.yaml"
BEST_WEIGHTS = "checkpoints/best.safetensors"
LAST_CHECKPOINT = "checkpoints/last.ckpt"
CHECKPOINTS = "checkpoints"


@dataclass(frozen=True)
class Run:
    """`run.json`.

    Attributes:
        status: running, done, stopped (Ctrl-C), pruned (by a study) or failed.
        metrics: of the best epoch, on train and validation photos, by name such as
            "validation/top1".
        best_checkpoint: weights of that epoch, relative to the run's folder; None before the first
            validation.
        duration_s: from the first look at the photos to the last epoch; of the last part only
            where the run was gone on with.
        images_per_s: photos the optimiser saw, by the time it took; on frozen features photos
            extracted, by the time that took, and 0 where the cache had them all.
        config_sha256: of config.yaml. weights_sha256: of the best weights.
        overrides: the words of the command that are settings.
        from_run: run_id of the run that this one repeats.
        path: the folder it was read from; no part of the document.
    """

    run_id: str
    status: str
    git_commit: str | None
    dirty: bool | None
    dataset_id: str
    dataset_csv: str
    labels: tuple[str, ...]
    preprocess: Preprocess
    backbone: Backbone
    seed: int
    metrics: dict[str, float]
    best_checkpoint: str | None
    best_epoch: int | None
    duration_s: float
    images_per_s: float
    hardware: dict[str, str]
    versions: dict[str, str]
    created_utc: str
    config_sha256: str | None = None  # this and what follows: not in runs of the first days
    weights_sha256: str | None = None
    overrides: tuple[str, ...] = ()
    from_run: str | None = None
    path: Path = field(default=Path(), compare=False)


def write_run(run: Run) -> None:
    """Writes `run.json` into `run.path`."""
    document = asdict(run)
    del document["path"]
    write_json(run.path / RUN_JSON, document)


def read_run(path: Path) -> Run:
    """Reads the run in the folder `path`.

    Raises:
        RunError: no run there, or its run.json is damaged.
    """
    document = path / RUN_JSON
    if not document.is_file():
        raise RunError(
            f"{path} is not a run: it has no {RUN_JSON}.",
            fix="name a folder that kennel train wrote, such as runs/<id>",
        )
    try:
        values: Any = json.loads(document.read_text(encoding="utf-8"))
        run: Run = build(Run, {**values, "path": path})
    except (ValueError, TypeError, OverflowError, RecursionError, OSError) as error:
        raise RunError(f"{document} cannot be read: {error}.", fix="train it again") from error
    return run
