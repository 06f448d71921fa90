"""One run on several workers of a Ray cluster: `kennel train trainer=ray`.

Ray Train starts the workers and the process group, Lightning trains, and checkpoints are those of
any run. A lost worker ends the group; another group goes on from the newest good checkpoint.
"""

from __future__ import annotations

import logging
import os
import secrets
import shutil
import signal
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

from omegaconf import DictConfig, OmegaConf, open_dict

import kennel.errors
from kennel.beyond.cluster import Cluster, joined
from kennel.beyond.hearing import listening
from kennel.dataset import read_dataset
from kennel.errors import KennelError, RunError, Stopped, UsageError, need
from kennel.learn.ray_worker import Job, train_worker
from kennel.learn.settings import RaySettings, typed
from kennel.run import RUN_JSON, Run, checkpoints_of, read_run

log = logging.getLogger(__name__)
PACKAGES = ("torch", "torchvision", "timm", "lightning", "ray", "numpy", "pillow", "hydra-core")
POLL_S, LOST_S = 0.2, 20.0  # between looks; until a node that is gone is known to be
SOME_PHOTOS = 3  # of each split, that every node must have


def train_on_ray(
    settings: DictConfig, *, overrides: Sequence[str] = (), repeats: Run | None = None
) -> Run:
    """Carries out one run on workers of a cluster. See kennel.learn.train.train.

    Raises:
        KennelError: also where the cluster has no room, other packages, or not the photos.
    """
    options = cast(
        RaySettings,
        OmegaConf.to_object(typed(RaySettings, settings.trainer.get("ray"), at="trainer.ray.")),
    )
    workers = settings.trainer.devices
    if not isinstance(workers, int) or workers < 1:
        raise UsageError(
            f"setting trainer.devices is {workers}; with trainer=ray it must be the number of "
            "workers, 1 or more.",
            fix="trainer.devices=2",
        )
    _make_absolute(settings)
    out = Path(settings.paths.output_dir)
    new = not out.exists()
    out.parent.mkdir(parents=True, exist_ok=True)
    with joined() as cluster, listening(cluster, log.warning) as ear:
        _look_before(cluster, settings, workers, options)
        scratch = out.parent / f".{out.name}.ray-{secrets.token_hex(4)}"
        scratch.mkdir()
        try:
            _attempts(
                *(cluster, settings, workers, options),
                overrides=overrides,
                repeats=repeats,
                ear=ear,
                scratch=scratch,
            )
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
            if new:
                with suppress(OSError):  # there is something in it, or it was never made
                    out.rmdir()
    return read_run(out)


def _look_before(
    cluster: Cluster, settings: DictConfig, workers: int, options: RaySettings
) -> None:
    cluster.refuse_without_room(workers, cpus=options.cpus_per_worker, gpus=options.gpus_per_worker)
    out = Path(settings.paths.output_dir)
    paths = {"the working folder": Path.cwd(), "the folder of runs": out.parent}
    files: list[Path] = []
    if settings.data.csv is not None:
        dataset = read_dataset(Path(settings.data.csv))
        paths["the index"] = dataset.csv
        for split in ("train", "validation"):
            files += [dataset.file(photo) for photo in dataset.split(split)[:SOME_PHOTOS]]
    elif settings.data.photos is not None:
        paths["the photos"] = Path(settings.data.photos)
    cluster.refuse_unlike(PACKAGES, paths=paths, files=[file for file in files if file.exists()])


def _attempts(
    cluster: Cluster,
    settings: DictConfig,
    workers: int,
    options: RaySettings,
    *,
    overrides: Sequence[str],
    repeats: Run | None,
    ear: Any,
    scratch: Path,
) -> None:
    """Trains, and goes on after workers were lost, as often as is allowed."""
    out = Path(settings.paths.output_dir)
    for attempt in range(options.retries + 1):
        present = {node.id for node in cluster.nodes()}
        n = _workers_now(cluster, settings, workers, options, out)
        with open_dict(settings):
            settings.trainer.devices = n
            if attempt:
                settings.ckpt_path = "last"
        job = Job(
            OmegaConf.to_yaml(settings),
            str(Path.cwd()),
            tuple(overrides),
            repeats,
            str(scratch / "stop"),
        )
        began_s = time.monotonic()
        failure = _fit(cluster, job, n, options, ear=ear, storage=scratch / str(attempt))
        faults = cluster.ray.get(ear.take_faults.remote())
        if failure is None:
            return
        if faults and present <= {node.id for node in cluster.nodes()}:
            raise _first(faults)
        if not _is_loss(cluster, failure, present):
            raise _unforeseen(failure)
        newest = next(iter(checkpoints_of(out)), None)
        log.warning(
            "a worker was lost after %.0f s: going on from %s, attempt %d of %d",
            *(time.monotonic() - began_s, newest.name if newest else "the beginning"),
            *(attempt + 1, options.retries),
        )
    raise RunError(
        f"workers were lost {options.retries + 1} times.",
        fix=f"kennel train trainer=ray ckpt_path=last paths.output_dir={out} and its other "
        "settings; trainer.ray.retries says how often it is tried",
    )


def _workers_now(
    cluster: Cluster, settings: DictConfig, workers: int, options: RaySettings, out: Path
) -> int:
    """How many workers the next group has: as many as were asked for, once there is room; fewer,
    where a batch that is shared allows any number.
    """
    needs = {"cpus": options.cpus_per_worker, "gpus": options.gpus_per_worker}
    until, said = time.monotonic() + options.wait_s, False
    while True:
        room = cluster.room(**needs)
        if room >= workers:
            if cluster.is_busy(workers, **needs):
                log.warning("the cluster is busy: the run begins when %d workers fit", workers)
            return workers
        if settings.data.share_batch and room >= 1:
            batch = settings.data.batch_size
            fewer: int = max(n for n in range(1, room + 1) if batch % n == 0)
            log.warning("going on with %d workers instead of %d", fewer, workers)
            return fewer
        if time.monotonic() > until:
            raise RunError(
                f"the cluster has room for {room} of {workers} workers, and no more came within "
                f"{options.wait_s} s.",
                fix=f"kennel train trainer=ray ckpt_path=last paths.output_dir={out} when it has; "
                "data.share_batch=true goes on with fewer",
            )
        if not said:
            log.warning(
                "room for %d of %d workers: waiting %d s for more", room, workers, options.wait_s
            )
            said = True
        time.sleep(POLL_S)


def _fit(
    cluster: Cluster, job: Job, workers: int, options: RaySettings, *, ear: Any, storage: Path
) -> Exception | None:
    """One group of workers, from its start to its end; gives what went wrong.

    Raises:
        KeyboardInterrupt: this process was told to stop, and the workers did.
    """
    rays: Any = need("ray.train", extra="ray")
    torchs: Any = need("ray.train.torch", extra="ray")
    resources: dict[str, float] = {"CPU": options.cpus_per_worker}
    if options.gpus_per_worker:
        resources["GPU"] = options.gpus_per_worker
    trainer = torchs.TorchTrainer(
        train_worker,
        train_loop_config={"job": job, "ear": ear},
        scaling_config=rays.ScalingConfig(
            num_workers=workers,
            use_gpu=options.gpus_per_worker > 0,
            resources_per_worker=resources,
        ),
        run_config=rays.RunConfig(
            name=storage.name,
            storage_path=str(storage.parent),
            failure_config=rays.FailureConfig(max_failures=0, max_preemption_failures=0),
        ),
    )
    ended: list[Exception | None] = []
    over = threading.Event()  # Thread.join that a signal interrupts takes the thread for ended

    def fit() -> None:
        try:
            trainer.fit()
            ended.append(None)
        except Exception as error:
            ended.append(error)
        finally:
            over.set()

    # In a thread of its own: Ray would take Ctrl-C, and end the workers in the middle of a step.
    threading.Thread(target=fit, name="kennel-ray-train", daemon=True).start()
    told: BaseException | None = None
    while not over.is_set():
        try:
            over.wait(POLL_S)
        except KeyboardInterrupt as stop:
            if told is not None:
                raise
            told = stop
            Path(job.stop).touch()
    out = Path(OmegaConf.create(job.settings).paths.output_dir)
    done = (out / RUN_JSON).is_file() and read_run(out).status == "done"
    if told is not None and not done:
        raise _stopped(told, out)
    return ended[0]


def _stopped(told: BaseException, out: Path) -> BaseException:
    stop = told if isinstance(told, Stopped) else Stopped("Ctrl-C", signal.SIGINT)
    newest = next(iter(checkpoints_of(out)), None)
    if newest is not None:
        stop.message = f"{newest} is kept, and nothing was left half-written."
        stop.fix = f"kennel train ckpt_path=last paths.output_dir={out} and its other settings"
    return stop


def _is_loss(cluster: Cluster, failure: Exception, present: set[str]) -> bool:
    """Whether a worker was lost, rather than wrong."""
    from ray.exceptions import RayActorError, RayError
    from ray.train import TrainingFailedError

    causes: list[Any] = [failure, *getattr(failure, "worker_failures", {}).values()]
    if any(isinstance(each, (RayActorError, RayError)) for each in causes):
        return True
    if not isinstance(failure, TrainingFailedError):
        return False
    # Who is left in a group says only that a connection was closed; the cluster knows later.
    text = str(failure).lower()
    cut = any(
        word in text for word in ("connection", "peer", "gloo", "nccl", "timed out", "heartbeat")
    )
    until = time.monotonic() + (LOST_S if cut else 0.0)
    while True:
        if present - {node.id for node in cluster.nodes()}:
            return True
        if time.monotonic() > until:
            return cut
        time.sleep(POLL_S)


def _first(faults: Sequence[tuple[str, str, str]]) -> KennelError:
    """The error that a worker sent, as it was raised there."""
    kind, message, fix = faults[0]
    error: KennelError = getattr(kennel.errors, kind)(message, fix=fix)
    return error


def _unforeseen(failure: Exception) -> RunError:
    lines = [line.strip() for line in str(failure).splitlines() if line.strip()]
    if os.environ.get("KENNEL_DEBUG"):
        log.warning("%s", failure)
    return RunError(
        f"a worker failed: {(lines or [type(failure).__name__])[-1].rstrip('.')}.",
        fix="KENNEL_DEBUG=1 shows all of it; trainer=ddp trains on this machine alone",
    )


def _make_absolute(settings: DictConfig) -> None:
    """Paths that mean the same in every worker."""
    with open_dict(settings):
        for node, key in (
            *(
                (settings.paths, key)
                for key in ("output_dir", "data_dir", "cache_dir", "mlflow_dir")
            ),
            *((settings.data, key) for key in ("csv", "photos")),
        ):
            if node[key] is not None:
                node[key] = str(Path(node[key]).resolve())
        if settings.ckpt_path not in (None, "last"):
            settings.ckpt_path = str(Path(settings.ckpt_path).resolve())
