"""How many photos a batch may hold on this machine: by training steps that are taken, on a copy."""

from __future__ import annotations

import gc
import logging
import resource
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning as L
import psutil
import torch
from lightning.pytorch.utilities.memory import is_oom_error
from lightning.pytorch.utilities.seed import isolate_rng
from omegaconf import DictConfig, OmegaConf, open_dict

from kennel.errors import KennelError, RunError, UsageError
from kennel.learn.learner import Learner
from kennel.learn.parts import trainer_of
from kennel.machine import give_back_freed_memory
from kennel.run import CONFIG_YAML

log = logging.getLogger(__name__)
SHARE = 0.8  # of the memory that is free, for a processor; what else it does varies
SMALL, LARGE = 8, 32  # batches whose memory is measured there
CGROUP = Path("/sys/fs/cgroup")

# Settings and their trainer -> photos and a learner on a copy of the network.
Lesson = Callable[[DictConfig, L.Trainer], tuple[Any, Learner]]


@dataclass(frozen=True)
class Trial:
    """Two steps of training by the settings of a run, which leave nothing behind.

    Attributes:
        settings: of the run.
        lesson: makes photos and learner anew each time.
    """

    settings: DictConfig
    lesson: Lesson

    def steps(self, batch_size: int) -> None:
        """Takes them. Random numbers go on afterwards where they were."""
        tried = self.settings.copy()
        with open_dict(tried):
            tried.callbacks, tried.logger = {}, {}
            tried.recipe.fit_head_first = False  # costs time, and no memory that stays
            tried.data.batch_size, tried.data.num_workers = batch_size, 0
            for key, value in (
                *(("auto_batch", False), ("max_epochs", 2), ("max_steps", 2)),
                *(("limit_train_batches", 1), ("limit_val_batches", 0), ("profiler", None)),
                *(("fast_dev_run", False), ("overfit_batches", 0.0)),
                *(("accumulate_grad_batches", 1), ("num_sanity_val_steps", 0)),
            ):
                tried.trainer[key] = value
        try:
            with isolate_rng():
                trainer = trainer_of(tried)
                data, learner = self.lesson(tried, trainer)
                trainer.fit(learner, datamodule=data)
        except SystemExit as left:  # how Lightning leaves on Ctrl-C
            raise KeyboardInterrupt from left

    def fits(self, batch_size: int) -> bool:
        """Whether there is memory for them."""
        try:
            self.steps(batch_size)
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
            release(error)
            return False
        release()
        return True

    def peak_bytes(self, batch_size: int) -> int:
        """The most memory that this process had while it took them."""
        process, done = psutil.Process(), threading.Event()
        most = 0

        def look() -> None:
            nonlocal most
            while not done.wait(0.001):
                most = max(most, process.memory_info().rss)

        watcher = threading.Thread(target=look, daemon=True)
        watcher.start()
        try:
            self.steps(batch_size)
        finally:
            done.set()
            watcher.join()
        return most


def choose_batch(trial: Trial, trainer: L.Trainer, *, most: int) -> int:
    """The largest batch for which there is memory, for `trainer.auto_batch`.

    Args:
        most: photos of the train split, >= 1.
    Raises:
        UsageError: on several devices.
        RunError: there is not even memory for one photo.
    """
    if trainer.world_size > 1:
        raise UsageError(
            f"trainer.auto_batch looks for the batch of one device, and this run has "
            f"{trainer.world_size}.",
            fix="find it with trainer.devices=1 trainer.strategy=auto, then name data.batch_size",
        )
    if trainer.strategy.root_device.type == "cpu":
        found, how = largest_by_memory(trial, left=memory_left(), most=most)
    else:
        found, how = largest_by_trying(trial.fits, most=most), "by trying"
    if not found:
        raise RunError(
            "there is no memory for a batch of even one photo.",
            fix="a smaller model.image.size, or a smaller model",
        )
    log.warning("trainer.auto_batch found data.batch_size=%d, %s", found, how)
    return found


def largest_by_trying(fits: Callable[[int], bool], *, most: int) -> int:
    """The largest n <= most that fits, to an eighth of it; 0 where 1 does not.

    Doubles from SMALL while n fits, then halves what lies between.
    """
    good, n = 0, min(SMALL, most)
    while fits(n):
        good = n
        if n == most:
            return n
        n = min(2 * n, most)
    bad = n
    while bad - good > max(1, good // 8):
        n = (good + bad) // 2
        if fits(n):
            good = n
        else:
            bad = n
    return good


def largest_by_memory(trial: Trial, *, left: int, most: int) -> tuple[int, str]:
    """The largest n <= most for whose steps `left` bytes suffice, and how that was found: two
    batches are measured, and memory grows by photos in a line.
    """
    small, large = min(SMALL, most), min(LARGE, most)
    try:
        trial.steps(small)  # what is loaded and kept at the first time is no matter of photos
        before = psutil.Process().memory_info().rss
        low, high = trial.peak_bytes(small), trial.peak_bytes(large)
    except (RuntimeError, MemoryError) as error:
        if not out_of_memory(error):
            raise
        release(error)
        return largest_by_trying(trial.fits, most=large), "by trying"
    finally:
        release()
    each = (high - low) / max(large - small, 1)
    room = before + SHARE * left - high
    n = most if each <= 0 and room >= 0 else int(large + room / max(each, 1))
    how = (
        f"at {each / 2**20:.1f} MiB a photo and {SHARE:.0%} of the {left / 2**30:.1f} GiB "
        "that are free"
    )
    return max(min(n, most), 0), how


def memory_left() -> int:
    """Bytes that this process may still take: of the machine, of its container, of its limit."""
    process = psutil.Process()
    left = [int(psutil.virtual_memory().available)]
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit != resource.RLIM_INFINITY:
        left.append(limit - int(process.memory_info().vms))
    try:
        allowed = (CGROUP / "memory.max").read_text(encoding="ascii").strip()
        taken = (CGROUP / "memory.current").read_text(encoding="ascii").strip()
        if allowed != "max":
            left.append(int(allowed) - int(taken))
    except (OSError, ValueError):
        pass
    return max(min(left), 0)


def out_of_memory(error: BaseException) -> bool:
    """Whether the device or the processor had no memory left.

    oneDNN, by which a processor convolves, does not say why it "could not create a primitive";
    under a limit of memory it is this.
    """
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)) or is_oom_error(error):
        return True
    return isinstance(error, RuntimeError) and str(error).startswith("could not create a primitive")


def release(error: BaseException | None = None) -> None:
    """Gives back what the steps took; those that failed still hold it in their frames."""
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__
    gc.collect()
    give_back_freed_memory()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def batch_that_fits(error: BaseException, trial: Trial | None, batch_size: int) -> RunError:
    """The error of a run that had no memory left, which names a batch for which there was.

    Args:
        error: what torch raised.
        trial: None where the run has no batches.
        batch_size: for which there was none.
    """
    said = (str(error).splitlines() or [type(error).__name__])[0]
    release(error)
    if trial is None:
        return RunError(
            f"there was not enough memory: {said}", fix="fewer photos, or a machine with more"
        )
    what = f"there was not enough memory for data.batch_size={batch_size}: {said}"
    n = batch_size // 2
    try:
        while n and not trial.fits(n):
            n //= 2
    except KennelError as refused:
        return RunError(
            what, fix=f"a smaller data.batch_size (the trial of {n}: {refused.message})"
        )
    if not n:
        return RunError(what, fix="a smaller model.image.size, or a smaller model")
    return RunError(what, fix=f"data.batch_size={n}, which was tried and fits")


def take_batch_of(checkpoint: Path | None, settings: DictConfig) -> None:
    """A run that goes on keeps the batch that was found when it began."""
    if checkpoint is None or not settings.trainer.get("auto_batch"):
        return
    written = checkpoint.resolve().parent.parent / CONFIG_YAML
    if written.is_file():
        found = OmegaConf.select(OmegaConf.load(written), "data.batch_size")
        set_batch(settings, found)


def set_batch(settings: DictConfig, batch_size: int) -> None:
    """Writes the batch that was found into the settings, where it stands for itself."""
    with open_dict(settings):
        settings.data.batch_size, settings.trainer.auto_batch = batch_size, False
