"""A run's folder: `run.json`, typed, read and written. Standard library only, so that `kennel
show` needs no torch.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from kennel.bundle import Backbone, Preprocess, build, write_json
from kennel.errors import RunError

RUN_JSON = "run.json"
CONFIG_YAML = "config.yaml"
BEST_WEIGHTS = "checkpoints/best.safetensors"
CHECKPOINTS = "checkpoints"
# A checkpoint's name says what is in it: finished epochs, steps, and 16 digits of its sha256.
CHECKPOINT = re.compile(r"epoch(\d{3,})-step(\d{6,})-([0-9a-f]{16})\.ckpt")
FORMER_CHECKPOINT = "last.ckpt"  # the one name that runs had before


@dataclass(frozen=True)
class Run:
    """`run.json`.

    Attributes:
        status: running, done, stopped (Ctrl-C, SIGTERM, a notice), pruned (by a
            study) or failed.
        metrics: of the best epoch, on train and validation photos, by name such as
            "validation/top1".
        best_checkpoint: weights of that epoch, relative to the run's folder; None before the first
            validation.
        duration_s: from the first look at the photos to the last epoch; where the run was gone on
            with, without what was done twice or waited for in between.
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


def checkpoints_of(run: Path) -> list[Path]:
    """Checkpoints in the folder of a run, the last step first; whether they are whole is not
    looked at.
    """
    folder = run / CHECKPOINTS
    if not folder.is_dir():
        return []
    named = [(CHECKPOINT.fullmatch(path.name), path) for path in folder.iterdir()]
    ours = [(int(m[1]), int(m[2]), path.stat().st_mtime, path) for m, path in named if m]
    former = folder / FORMER_CHECKPOINT
    newest_first = [path for *_, path in sorted(ours, reverse=True)]
    return [*newest_first, *([former] if former.is_file() else [])]


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
