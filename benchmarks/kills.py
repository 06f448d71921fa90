"""SIGKILLs at random moments: how many runs end with the weights of one that nobody killed.

`kennel train` beside plain Lightning with ModelCheckpoint (each epoch, `save_last`, and as often in
between): the same network, photos and time between checkpoints. A third of the runs is killed at a
random moment, a third while a file is being written, a third twice, the second time soon after the
first step that followed. Each is gone on with to its end.

    python benchmarks/kills.py --runs 60 --work /tmp/kills

Processes are forked from one that has loaded torch: its loading is no part of what is measured.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
import shutil
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
import kennel.learn  # noqa: F401 - before lightning, see torchvision_gate
from kennel.cli import main
from kennel.index import index_photos
from kennel.machine import hardware
from kennel.sample import draw_sample

EPOCHS, BATCH, SIDE, EVERY_S = 6, 8, 64, 0.3
MODEL = {"dims": [16, 32, 64, 96], "depths": [1, 1, 1, 1]}
CLOCK = ("images_per_s", "wait")  # of columns that no run repeats
MODES = ("random moment", "within a save", "twice within an epoch")


@dataclass
class Tally:
    """What came of the runs of one trainer."""

    runs: int = 0
    kills: int = 0
    killed: int = 0  # runs that were, at least once
    same_weights: int = 0
    same_best: int = 0
    same_metrics: int = 0
    unreadable: int = 0
    within_save: int = 0  # kills that left a part of a file
    within_epoch: int = 0  # second kills in the epoch of the first
    failed: int = 0
    lost_s: list[float] = field(default_factory=list)
    by_mode: dict[str, list[int]] = field(default_factory=dict)


def kennel_words(work: Path, out: Path) -> list[str]:
    return [
        *("train", f"data.csv={work / 'dataset.csv'}", f"paths.output_dir={out}"),
        *("ckpt_path=last", "trainer.accelerator=cpu", "data.num_workers=0", "model=mambaout"),
        *(f"model.dims={MODEL['dims']}", f"model.depths={MODEL['depths']}"),
        *(f"model.image.size={SIDE}", f"data.batch_size={BATCH}", f"paths.cache_dir={work}/cache"),
        *(f"trainer.max_epochs={EPOCHS}", f"callbacks.checkpoints.every_minutes={EVERY_S / 60}"),
        *("callbacks.progress=null", "callbacks.summary=null", "callbacks.graph=null"),
        "data.mix={_target_: torchvision.transforms.v2.MixUp, _partial_: true}",
    ]


def train_kennel(work: Path, out: Path) -> int:
    return main(kennel_words(work, out))


def train_plain(work: Path, out: Path) -> int:
    """What Lightning's documentation tells: seed_everything, save_last, ckpt_path."""
    import lightning as L
    import torch
    from lightning.pytorch.callbacks import ModelCheckpoint
    from lightning.pytorch.loggers import CSVLogger
    from torch.nn import functional as F
    from torch.utils.data import DataLoader, TensorDataset
    from torchvision.transforms import v2

    from kennel.bundle import Preprocess
    from kennel.dataset import read_dataset
    from kennel.images import read_photo
    from kennel.learn.models import MambaOut

    L.seed_everything(0, workers=True, verbose=False)
    dataset = read_dataset(work / "dataset.csv")
    seen = Preprocess(size=SIDE, mean=(0.5,) * 3, std=(0.25,) * 3, resize="squash")

    def photos(split: str) -> TensorDataset:
        kept = work / f"{split}.pt"
        if not kept.exists():
            every = dataset.split(split)
            x = torch.stack([torch.tensor(read_photo(dataset.file(p), seen)) for p in every])
            y = torch.tensor([dataset.labels.index(p.label) for p in every])
            torch.save([x, y], kept)
        return TensorDataset(*torch.load(kept, weights_only=True))

    augment = v2.Compose([v2.RandomResizedCrop(SIDE, (0.35, 1.0)), v2.RandomHorizontalFlip()])
    mix = v2.MixUp(num_classes=len(dataset.labels))

    class Plain(L.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.network = MambaOut(**MODEL).build(dataset.labels).network

        def training_step(self, batch: Any, _: int) -> Any:
            x, y = mix(torch.stack([augment(one) for one in batch[0]]), batch[1])
            loss = F.cross_entropy(self.network(x), y)
            self.log("train/loss", loss, on_step=True, on_epoch=True)
            return loss

        def validation_step(self, batch: Any, _: int) -> None:
            self.log("validation/loss", F.cross_entropy(self.network(batch[0]), batch[1]))

        def configure_optimizers(self) -> Any:
            return torch.optim.AdamW(self.parameters(), lr=1e-3)

    checkpoints = out / "checkpoints"
    callbacks = [
        ModelCheckpoint(checkpoints, monitor="validation/loss", save_last=True, filename="best"),
        ModelCheckpoint(
            checkpoints,
            filename="minutes",
            train_time_interval=timedelta(seconds=EVERY_S),
            save_last=True,
            enable_version_counter=False,
        ),
    ]
    trainer = L.Trainer(
        accelerator="cpu",
        max_epochs=EPOCHS,
        callbacks=callbacks,
        logger=CSVLogger(out, name="", version=""),
        default_root_dir=out,
        log_every_n_steps=1,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )
    train, held = photos("train"), photos("validation")
    last = checkpoints / "last.ckpt"
    trainer.fit(
        Plain(),
        DataLoader(train, BATCH, shuffle=True, drop_last=True),
        DataLoader(held, 64),
        ckpt_path=str(last) if last.exists() else None,
        weights_only=True if last.exists() else None,
    )
    trainer.save_checkpoint(out / "end.ckpt")
    return 0


def started(train: Callable[[Path, Path], int], work: Path, out: Path) -> int:
    """The id of a process that trains."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        out.mkdir(parents=True, exist_ok=True)
        said = os.open(work / f"{out.name}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(said, 1)
        os.dup2(said, 2)
        tempfile.tempdir = str(temporary(out))
        code = train(work, out)
    except BaseException as error:
        print("ended by", repr(error), file=sys.stderr)
    finally:
        sys.stderr.flush()
        os._exit(code)


def ended(child: int, *, within_s: float) -> int | None:
    """The exit code; None where the process goes on."""
    until_s = time.monotonic() + within_s
    while time.monotonic() < until_s:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.002)
    return None


def kill(child: int) -> None:
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def temporary(out: Path) -> Path:
    """Where Lightning writes before it moves: in memory, as /tmp is on many machines."""
    in_memory = Path("/dev/shm")  # noqa: S108
    place = in_memory if in_memory.is_dir() else Path(tempfile.gettempdir())
    folder = place / f"kills-{os.getuid()}-{out.name}"
    folder.mkdir(exist_ok=True)
    return folder


def parts(out: Path) -> set[str]:
    """Files that are being written."""
    checkpoints = out / "checkpoints"
    kept = checkpoints.glob("*.part") if checkpoints.is_dir() else []
    return {each.name for each in kept} | {each.name for each in temporary(out).iterdir()}


def wait_for_part(out: Path, child: int, sightings: int) -> bool:
    """Until a file is being written for the n-th time; False where the process ended."""
    seen: set[str] = set()
    while len(seen) < sightings:
        if os.waitpid(child, os.WNOHANG)[0]:
            return False
        seen |= parts(out)
    return True


def wait_for_step(out: Path, child: int, step: int) -> bool:
    """Until that step is in metrics.csv; False where the process ended."""
    while last_step(out) < step:
        if os.waitpid(child, os.WNOHANG)[0]:
            return False
        time.sleep(0.002)
    return True


def last_step(out: Path) -> int:
    """Of metrics.csv, as far as it is whole; -1 where there is none."""
    steps = [row["step"] for row in rows(out) if str(row.get("step")).isdigit()]
    return int(steps[-1]) if steps else -1


def newest_s(out: Path) -> float:
    """When the newest checkpoint was written; 0 where there is none."""
    kept = list((out / "checkpoints").glob("*.ckpt")) if out.is_dir() else []
    return max((path.stat().st_mtime for path in kept), default=0.0)


def unreadable(out: Path) -> list[Path]:
    import torch

    bad = []
    for path in sorted((out / "checkpoints").glob("*.ckpt")) if out.is_dir() else []:
        try:
            torch.load(path, weights_only=True)
        except Exception:
            bad.append(path)
    return bad


def weights(path: Path) -> dict[str, Any]:
    import torch

    state: dict[str, Any] = torch.load(path, weights_only=True)["state_dict"]
    return state


def same_tensors(a: dict[str, Any], b: dict[str, Any]) -> bool:
    import torch

    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def last_of(out: Path) -> Path:
    from kennel.run import checkpoints_of

    end = out / "end.ckpt"
    return end if end.exists() else checkpoints_of(out)[0]


def rows(out: Path) -> list[dict[str, str]]:
    if not (out / "metrics.csv").exists():
        return []
    with (out / "metrics.csv").open(encoding="utf-8", newline="") as file:
        return [
            {k: v for k, v in row.items() if not any(word in k for word in CLOCK)}
            for row in csv.DictReader(file)
        ]


def measure(
    name: str, train: Callable[[Path, Path], int], work: Path, *, runs: int, seed: int
) -> Tally:
    draw = random.Random(seed)  # noqa: S311
    tally = Tally()
    reference = work / f"{name}-whole"
    began_s = time.monotonic()
    assert ended(started(train, work, reference), within_s=300) == 0, "the whole run failed"
    whole_s = time.monotonic() - began_s
    again = work / f"{name}-again"
    assert ended(started(train, work, again), within_s=300) == 0, "the second whole run failed"
    steps = 1 + last_step(reference)
    expected, expected_rows = weights(last_of(reference)), rows(reference)
    repeats = same_tensors(expected, weights(last_of(again)))
    best = reference / "checkpoints" / "best.safetensors"
    for number in range(runs):
        out, mode = work / f"{name}-{number:03}", MODES[number % len(MODES)]
        tally.runs += 1
        epochs: list[int] = []
        first = draw.randrange(steps - 1)
        for kills in range(2 if mode == MODES[2] else 1):
            child, began = started(train, work, out), time.time()
            if mode == MODES[1]:
                alive = wait_for_part(out, child, draw.randint(1, 20))
                alive = alive and ended(child, within_s=draw.uniform(0, 0.015)) is None
            elif mode == MODES[2]:  # the second just after the first was made up for
                alive = wait_for_step(out, child, first + kills)
            else:
                alive = wait_for_step(out, child, draw.randrange(steps))
                alive = alive and ended(child, within_s=draw.uniform(0, whole_s / steps)) is None
            if not alive:
                continue
            kill(child)
            tally.kills += 1
            tally.within_save += bool(parts(out))
            epochs.append(last_step(out) // (steps // EPOCHS))
            tally.lost_s.append(time.time() - max(newest_s(out), began))
            bad = unreadable(out)
            tally.unreadable += len(bad)
            for path in bad:
                path.unlink()
        tally.killed += bool(epochs)
        tally.within_epoch += len(epochs) == 2 and epochs[0] == epochs[1]
        code = ended(started(train, work, out), within_s=300)
        shutil.rmtree(temporary(out))
        if code != 0:
            tally.failed += 1
            continue
        ours = weights(last_of(out))
        same = same_tensors(expected, ours)
        tally.same_weights += same
        at = tally.by_mode.setdefault(mode, [0, 0])
        at[0] += same
        at[1] += 1
        if best.exists():
            mine = out / "checkpoints" / "best.safetensors"
            tally.same_best += mine.read_bytes() == best.read_bytes()
        tally.same_metrics += rows(out) == expected_rows
        if same:
            shutil.rmtree(out, ignore_errors=True)
        print(name, number, mode, "same" if same else "OTHER", file=sys.stderr, flush=True)
    print(
        f"{name}: {tally.runs} runs of {whole_s:.1f} s (two that nobody kills are "
        f"{'the same' if repeats else 'not the same'}), {tally.kills} SIGKILLs of "
        f"{tally.killed} of them, "
        f"{tally.within_save} within a save, {tally.within_epoch} second ones within the epoch: "
        f"{tally.same_weights} ended with the same weights, {tally.same_best} with the same best "
        f"weights, {tally.same_metrics} with the same metrics.csv; {tally.unreadable} unreadable "
        f"checkpoints, {tally.failed} runs not gone on with; lost a kill, median "
        f"{statistics.median(tally.lost_s or [0]):.2f} s, most {max(tally.lost_s or [0]):.2f} s; "
        + "; ".join(f"{mode} {a} of {n}" for mode, (a, n) in tally.by_mode.items())
    )
    return tally


def run() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=60)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=["kennel", "plain"])
    asked = parser.parse_args()
    asked.work.mkdir(parents=True, exist_ok=True)
    if not (asked.work / "dataset.csv").exists():
        draw_sample(asked.work / "photos", labels=4, per_label=30, seed=0, on_photo=lambda _: None)
        index_photos(asked.work / "photos", to=asked.work / "dataset.csv")
    import lightning.pytorch  # noqa: F401 - loaded once, for all that is forked
    from torchvision.transforms import v2  # noqa: F401

    import kennel.learn.train  # noqa: F401

    for name, train in (("kennel", train_kennel), ("plain", train_plain)):
        if asked.only in (None, name):
            tally = measure(name, train, asked.work, runs=asked.runs, seed=asked.seed)
            (asked.work / f"{name}.json").write_text(json.dumps(vars(tally)), encoding="utf-8")
    print("machine:", hardware(), "load", os.getloadavg())


if __name__ == "__main__":
    run()
