"""One run: settings -> photos, network, lesson -> a folder with weights, figures and a pedigree."""

from __future__ import annotations

import logging
import shutil
import signal
import time
from collections.abc import Sequence
from contextlib import nullcontext
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import lightning as L
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.utilities import rank_zero_only
from omegaconf import DictConfig, OmegaConf

from kennel.bundle import file_sha256, replacing
from kennel.errors import RunError, Stopped, UsageError
from kennel.hold import holding
from kennel.learn.best_weights import BestWeights
from kennel.learn.capacity import (
    Trial,
    batch_that_fits,
    choose_batch,
    out_of_memory,
    set_batch,
    take_batch_of,
)
from kennel.learn.checkpoints import Checkpoints
from kennel.learn.features import FeatureData
from kennel.learn.interruption import leaving_on_sigterm
from kennel.learn.learner import Learner
from kennel.learn.lesson import lesson_of
from kennel.learn.memory import keep_freed_memory
from kennel.learn.models import Model
from kennel.learn.opening import Counting, PhotoCount, open_dataset
from kennel.learn.parts import made, trainer_of
from kennel.learn.photos import PhotoData
from kennel.learn.reproduce import refuse_unlike_photos, say_differences
from kennel.learn.resume import (
    checkpoint_to_resume,
    refuse_occupied,
    refuse_other_lesson,
    refuse_other_network,
    refuse_other_photos,
    settings_of_numbers,
)
from kennel.learn.watch.record import hand_over
from kennel.learn.watch.speed import Speed
from kennel.machine import git_state, hardware, utc_now, versions
from kennel.run import BEST_WEIGHTS, CONFIG_YAML, RUN_JSON, Run, read_run, write_run

log = logging.getLogger(__name__)
LIBRARIES = (
    *("torch", "torchvision", "timm", "lightning"),
    *("hydra-core", "onnxruntime", "numpy", "pillow"),
)


class HaltedError(Exception):
    """Raised by a callback that ends a run for a reason of its own.

    Attributes:
        status: what run.json then says.
    """

    def __init__(self, status: str) -> None:
        super().__init__(status)
        self.status = status


def train(
    settings: DictConfig,
    *,
    count: PhotoCount,
    overrides: Sequence[str] = (),
    repeats: Run | None = None,
    callbacks: Sequence[Callback] = (),
) -> Run:
    """Carries out one run.

    Args:
        settings: kennel.learn.settings.TrainSettings, checked.
        overrides: the words that asked for them, for the record.
        repeats: the run that this one repeats: on the same photos, or not at all.
        callbacks: besides those of the settings, after them.
        count: count(total, what) gives a function that is called once an item, for progress.
    Returns:
        the run, as in its run.json.
    Raises:
        KennelError: settings, photos or machine do not allow it; the folder then holds no new file.
        KeyboardInterrupt: Ctrl-C, SIGTERM or a notice; run.json then says "stopped" and the
            checkpoints are whole. Stopped where it is known how to go on.
    """
    out = Path(settings.paths.output_dir)
    first = not getattr(rank_zero_only, "rank", 0)  # of the processes of a DDP run
    resume = checkpoint_to_resume(settings.ckpt_path, out)
    if first:
        refuse_occupied(out, settings.ckpt_path)
    earlier = set(out.iterdir()) if out.is_dir() else None
    _make_folder(out)
    with leaving_on_sigterm(), holding(out) if first else nullcontext():
        return _carry_out(
            settings,
            out,
            earlier=earlier,
            first=first,
            resume=resume,
            count=count,
            overrides=overrides,
            repeats=repeats,
            callbacks=callbacks,
        )


def _carry_out(
    settings: DictConfig,
    out: Path,
    *,
    earlier: set[Path] | None,
    first: bool,
    resume: Path | None,
    count: PhotoCount,
    overrides: Sequence[str],
    repeats: Run | None,
    callbacks: Sequence[Callback],
) -> Run:
    """The run, in the folder `out`, which is there and in which nobody else works; `earlier` is
    what was in it, None where it is new.
    """
    started_s = time.monotonic()
    keep_freed_memory()
    L.seed_everything(settings.seed, workers=True, verbose=False)
    take_batch_of(resume, settings)
    try:
        trainer = trainer_of(settings, more=callbacks)
        dataset = open_dataset(settings, out, count)
        if repeats is not None:
            refuse_unlike_photos(repeats, dataset)
        if resume is not None:
            refuse_other_photos(resume, dataset)
            refuse_other_lesson(resume, settings)
        model: Model = made(settings.model, "model").build(dataset.labels)

        def copied(tried: DictConfig, trying: L.Trainer) -> tuple[Any, Learner]:
            copy = replace(model, network=deepcopy(model.network))
            return lesson_of(tried, trying, dataset, copy, count)

        trial = None if settings.recipe.frozen else Trial(settings, copied)
        if trial is not None and settings.trainer.get("auto_batch"):
            most = len(dataset.split("train"))
            set_batch(settings, choose_batch(trial, trainer, most=most))
        data, learner = lesson_of(settings, trainer, dataset, model, count)
        if resume is not None:
            refuse_other_network(resume, learner)
        if isinstance(data, PhotoData) and settings.data.cache is not None:
            counting = Counting(count, "photos decoded into the cache")
            data.prepare(
                cache_dir=Path(settings.paths.cache_dir),
                max_gib=settings.data.cache.max_gib,
                on_found=counting.found,
                on_photo=counting.photo,
            )
        if first:
            _write_config(settings, out)
    except BaseException:
        if first and not earlier:
            _take_away(out, keep_folder=earlier is not None)
        raise
    commit, dirty = git_state(Path.cwd())
    run = Run(
        run_id=out.resolve().name,
        status="running",
        git_commit=commit,
        dirty=dirty,
        dataset_id=dataset.dataset_id,
        dataset_csv=str(dataset.csv.resolve()),
        labels=dataset.labels,
        preprocess=model.preprocess,
        backbone=model.backbone,
        seed=settings.seed,
        metrics={},
        best_checkpoint=None,
        best_epoch=None,
        duration_s=0.0,
        images_per_s=0.0,
        hardware=_hardware(),
        versions=versions(LIBRARIES),
        created_utc=utc_now(),
        config_sha256=file_sha256(out / CONFIG_YAML) if first else None,
        overrides=tuple(overrides),
        from_run=repeats.run_id if repeats is not None else None,
        path=out,
    )
    if repeats is not None and first:
        say_differences(repeats, run, settings)
    keeper = _callback(trainer, Checkpoints)
    if keeper is not None:
        keeper.resumed_from, keeper.started_s = resume, started_s
        keeper.settings = settings_of_numbers(settings)
    before = resume.resolve().parent.parent if resume is not None else None
    parts = read_run(before) if before is not None and (before / RUN_JSON).is_file() else None
    return _fit(
        run,
        trainer,
        learner,
        data,
        resume=resume,
        started_s=started_s,
        earlier=parts,
        trial=trial,
        batch_size=settings.data.batch_size,
    )


def _callback(trainer: L.Trainer, kind: type[Any]) -> Any:
    return next((c for c in trainer.callbacks if isinstance(c, kind)), None)  # type: ignore[attr-defined]


def _fit(
    run: Run,
    trainer: L.Trainer,
    learner: Learner,
    data: Any,
    *,
    resume: Path | None,
    started_s: float,
    earlier: Run | None,
    trial: Trial | None,
    batch_size: int,
) -> Run:
    best, keeper = _callback(trainer, BestWeights), _callback(trainer, Checkpoints)
    speed = _callback(trainer, Speed)

    def images_per_s() -> float:
        if isinstance(data, FeatureData):  # which a run that goes on has in the cache
            return data.images_per_s or (earlier.images_per_s if earlier is not None else 0.0)
        return speed.images_per_s if speed is not None else 0.0

    def now(status: str) -> Run:
        written = best.written() if best is not None else None
        epoch, metrics, sha256 = written or (None, {}, None)
        passed_s = keeper.duration_s if keeper is not None else time.monotonic() - started_s
        return replace(
            run,
            status=status,
            metrics=metrics,
            best_checkpoint=BEST_WEIGHTS if written else None,
            best_epoch=epoch,
            duration_s=round(passed_s, 3),
            images_per_s=round(images_per_s(), 2),
            weights_sha256=sha256,
        )

    if trainer.is_global_zero:
        write_run(run)
    on_interrupt = signal.getsignal(signal.SIGINT)
    status = "failed"
    try:
        trainer.fit(
            learner, datamodule=data, ckpt_path=str(resume) if resume else None, weights_only=True
        )
        status = "done"
    except SystemExit as left:  # how Lightning leaves on Ctrl-C, with further ones ignored
        signal.signal(signal.SIGINT, on_interrupt)
        status = "stopped"
        raise (
            left.__context__ if isinstance(left.__context__, Stopped) else KeyboardInterrupt
        ) from None
    except (OSError, RuntimeError, MemoryError) as error:
        if keeper is not None and keeper.failed is not None:  # and loggers that failed after it
            raise keeper.failed from error
        if out_of_memory(error):
            learner.zero_grad()
            raise batch_that_fits(error, trial, batch_size) from error
        if type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
            raise RunError(
                f"torch.compile failed: {str(error).strip().splitlines()[0]}",
                fix="recipe.compile=false; recipe.compile_backend=inductor wants a C++ compiler on "
                "a processor, recipe.compile_backend=aot_eager wants none",
            ) from error
        raise
    except HaltedError as halted:
        status = halted.status
        raise
    except MisconfigurationException as error:
        raise UsageError(
            f"lightning refused the run: {str(error).splitlines()[0]}",
            fix="kennel train --cfg job shows every setting",
        ) from error
    finally:
        if trainer.is_global_zero:
            _record(now(status))
    done = now(status)
    if done.best_checkpoint is None:
        log.warning("no validation took place, so there are no best weights to export")
    if trainer.is_global_zero:
        hand_over(done, trainer.loggers)
    return done


def _record(run: Run) -> None:
    """Writes run.json; where the disk is full, what went wrong before is the thing to say."""
    try:
        write_run(run)
    except OSError as error:
        if run.status == "done":
            raise
        log.warning("%s cannot be written: %s", run.path / RUN_JSON, error.strerror)


def _make_folder(out: Path) -> None:
    new = not out.exists()
    try:
        out.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=out):
            pass
    except OSError as error:
        if new:
            shutil.rmtree(out, ignore_errors=True)
        raise RunError(
            f"{out} cannot be written: {error.strerror}.", fix="choose another paths.output_dir"
        ) from error


def _take_away(out: Path, *, keep_folder: bool) -> None:
    """Removes what the preparation of a run wrote into a folder that was empty or not there."""
    for each in out.iterdir():
        if each.is_dir():
            shutil.rmtree(each, ignore_errors=True)
        else:
            each.unlink(missing_ok=True)
    if not keep_folder:
        out.rmdir()


def _write_config(settings: DictConfig, out: Path) -> None:
    with replacing(out / CONFIG_YAML) as file:
        file.write(OmegaConf.to_yaml(settings, resolve=True))


def _hardware() -> dict[str, str]:
    found = hardware()
    if torch.cuda.is_available():
        found["gpu"] = torch.cuda.get_device_name()
    found["torch_threads"] = str(torch.get_num_threads())
    return found
