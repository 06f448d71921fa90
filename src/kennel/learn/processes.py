"""Several processes of one run: who started them, what each has a share of, and what all of them
must know alike.
"""

from __future__ import annotations

import fcntl
import logging
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch.distributed as distributed_of_torch
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from omegaconf import DictConfig, open_dict

from kennel.errors import RunError, UsageError
from kennel.launched import Launch, launched

log = logging.getLogger(__name__)
distributed: Any = distributed_of_torch  # which does not name its stores for type checkers
AGREEING_S = 300.0  # that processes get to find each other
FOLDER, READ = "kennel/output_dir", "kennel/read"


IN_RAY = "KENNEL_RAY_WORKER"  # set in the workers of a run on Ray


def is_worker() -> bool:
    """Whether this process is one of a run's workers on Ray."""
    return IN_RAY in os.environ


def are_many() -> bool:
    """Whether other processes prepare the same run at the same time."""
    return is_worker() or launched() is not None


def take_place(settings: DictConfig) -> None:
    """Makes settings those of one of the processes that torchrun or SLURM started: devices and
    machines are as many as there are, the run's folder is the first one's.

    Raises:
        UsageError: the settings are for one process, or for processes that are started otherwise.
        RunError: the processes do not find each other.
    """
    try:
        launch = launched()
    except (ValueError, KeyError, ZeroDivisionError) as error:
        raise RunError(
            f"the environment of torchrun or SLURM does not say how many processes there are: "
            f"{error}.",
            fix="as many processes on each machine: srun --ntasks-per-node=N",
        ) from error
    if launch is None:
        return
    strategy = str(settings.trainer.get("strategy", "auto"))
    if launch.processes > 1 and not strategy.startswith("ddp"):
        raise UsageError(
            f"{launch.by} started {launch.processes} processes, and trainer.strategy is "
            f"{strategy}: each would train the same run.",
            fix="kennel train trainer=ddp"
            + ("; or trainer=ray, without torchrun" if strategy == "ray" else ""),
        )
    with open_dict(settings):
        if strategy.startswith("ddp"):
            settings.trainer.devices, settings.trainer.num_nodes = launch.here, launch.machines
        if launch.processes > 1:
            settings.paths.output_dir = _of_the_first(launch, settings.paths.output_dir)


def plugins(node: Any) -> list[Any]:
    """The trainer's plugins, and one under SLURM, whose own way to go on is past `ckpt_path`."""
    found = list(node or [])
    launch = launched()
    if launch is not None and launch.by == "srun" and launch.processes > 1:
        found.append(SLURMEnvironment(auto_requeue=False))
    return found


def _of_the_first(launch: Launch, mine: str) -> str:
    """What the first process says, which may have begun in another second than the others."""
    try:
        store = _store(launch)
        if launch.process == 0:
            store.set(FOLDER, mine)
        agreed: str = store.get(FOLDER).decode()
        # Who keeps the store waits until all have read.
        if store.add(READ, 1) == launch.processes:
            store.set(f"{READ}/all", "yes")
        store.wait([f"{READ}/all"], timedelta(seconds=AGREEING_S))
    except (RuntimeError, OSError) as error:
        raise RunError(
            f"process {launch.process} of {launch.processes} does not find the others: "
            f"{str(error).splitlines()[0]}.",
            fix="see that all were started and that MASTER_ADDR can be reached from each machine",
        ) from error
    return agreed


def _store(launch: Launch) -> Any:
    wait = timedelta(seconds=AGREEING_S)
    if launch.by == "torchrun":
        address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
        agents = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
        if agents:  # torchrun keeps one; after a restart it remembers
            kept: Any = distributed.TCPStore(address, port, is_master=False, timeout=wait)
            again = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
            return distributed.PrefixStore(f"kennel-{again}", kept)
        port += 1
    else:
        slurm = SLURMEnvironment(auto_requeue=False)
        address, port = slurm.main_address, slurm.main_port + 1  # the next is Lightning's
    return distributed.TCPStore(
        address, port, is_master=launch.process == 0, timeout=wait, wait_for_workers=False
    )


@contextmanager
def in_turn(folder: Path) -> Iterator[None]:
    """One process of this machine after the other is in the block: photos are decoded once."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        except OSError:  # a file system without locks: two do the same work
            log.debug("%s cannot be locked", folder)
        yield
    finally:
        os.close(descriptor)


def batch_of_each(settings: DictConfig, processes: int) -> int:
    """Photos of a batch in one of the processes.

    Raises:
        UsageError: `data.share_batch`, and the batch cannot be shared evenly.
    """
    batch: int = settings.data.batch_size
    if not settings.data.share_batch:
        return batch
    if batch % processes:
        fitting = max(batch // processes, 1) * processes
        raise UsageError(
            f"data.batch_size={batch} cannot be shared by {processes} processes evenly.",
            fix=f"data.batch_size={fitting}, or another number of processes",
        )
    return batch // processes


def rate_factor(settings: DictConfig, processes: int) -> float:
    """What the learning rate is multiplied by, where several processes make the batch larger.

    Source: linear, P. Goyal et al., arXiv:1706.02677, for SGD; square root, S. Malladi et al.,
        arXiv:2205.10287, for Adam and its like.
    """
    if settings.data.share_batch:
        return 1.0
    return {"none": 1.0, "sqrt": math.sqrt(processes), "linear": float(processes)}[
        settings.recipe.scale_lr
    ]


def say_batch(settings: DictConfig, processes: int) -> None:
    """Says what a step of several processes is."""
    if processes == 1:
        return
    each, factor = batch_of_each(settings, processes), rate_factor(settings, processes)
    rate = settings.optimizer.get("lr")
    why = (
        "data.share_batch=true"
        if settings.data.share_batch
        else (f"recipe.scale_lr={settings.recipe.scale_lr}")
    )
    said = "" if rate is None else f"; learning rate {rate:g}"
    if rate is not None and factor != 1:
        said += f" x {factor:.3g} = {rate * factor:.4g}"
    over = settings.trainer.get("accumulate_grad_batches") or 1
    steps = f" x {over} batches a step" if over > 1 else ""
    log.warning(
        "%d processes x %d photos%s = %d a step%s (%s)",
        *(processes, each, steps, processes * each * over, said, why),
    )


def refuse_what_one_does(settings: DictConfig, processes: int, *, validation_photos: int) -> None:
    """Refuses what several processes cannot do together.

    Raises:
        UsageError: such settings.
    """
    if processes == 1:
        return
    if settings.recipe.frozen:
        raise UsageError(
            f"recipe.frozen=true fits a head on all features at once, and {processes} processes "
            "have a share of them each.",
            fix="trainer=default: it takes seconds",
        )
    if validation_photos < processes:
        raise UsageError(
            f"{processes} processes share {validation_photos} validation photos: some would have "
            "none.",
            fix=f"at most {validation_photos} processes (trainer.devices)",
        )
