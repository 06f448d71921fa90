"""Learning-rate schedules, stepped once an optimiser step.

A schedule is anything that can be called with `optimizer` and `total_steps` and gives a torch
scheduler; torch's own OneCycleLR is one.
"""

from __future__ import annotations

import math

import lightning as L
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, OneCycleLR

from kennel.errors import UsageError


def warmup_cosine(
    optimizer: Optimizer, total_steps: int, *, warmup: float = 0.1, floor: float = 0.01
) -> LambdaLR:
    """Linear warm-up, then half a cosine.

    Args:
        optimizer: whose learning rates are the peaks.
        total_steps: of the whole run, >= 1.
        warmup: share of the steps spent warming up, 0 <= warmup < 1.
        floor: what is left of the peak at the end, 0..1.
    Raises:
        ValueError: warmup or floor out of range.
    Source: I. Loshchilov, F. Hutter, "SGDR", ICLR 2017; warm-up as in P. Goyal et al.,
        arXiv:1706.02677.
    """
    if not (0 <= warmup < 1 and 0 <= floor <= 1):
        raise ValueError(f"warmup {warmup} must lie in [0, 1) and floor {floor} in [0, 1]")
    warm = round(total_steps * warmup)

    def factor(step: int) -> float:
        if step < warm:
            return (step + 1) / (warm + 1)
        done = min((step - warm) / max(total_steps - warm, 1), 1.0)
        return floor + (1 - floor) * (1 + math.cos(math.pi * done)) / 2

    return LambdaLR(optimizer, factor)


def flat_cosine(
    optimizer: Optimizer,
    total_steps: int,
    *,
    warmup: float = 0.0,
    fall: float = 0.28,
    floor: float = 0.0,
) -> LambdaLR:
    """The full learning rate, then half a cosine over the last share of the steps.

    Args:
        optimizer, total_steps: see warmup_cosine.
        warmup: share of the steps that rise to it in a line before, 0 <= warmup <= 1 - fall.
        fall: share of the steps that fall, 0 < fall <= 1.
        floor: what is left at the end, 0..1.
    Raises:
        ValueError: warmup, fall or floor out of range.
    Source: M. Grankin, "Ranger-Mish-ImageWoof-5" and fastai's `fit_flat_cos`, 2019.
    """
    if not (0 < fall <= 1 and 0 <= warmup <= 1 - fall and 0 <= floor <= 1):
        raise ValueError(
            f"warmup {warmup} must lie in [0, 1 - fall], fall {fall} in (0, 1] and floor {floor} "
            "in [0, 1]"
        )
    warm, falling = round(total_steps * warmup), max(round(total_steps * fall), 1)

    def factor(step: int) -> float:
        if step < warm:
            return (step + 1) / (warm + 1)
        done = min(max(step - (total_steps - falling), 0) / falling, 1.0)
        return floor + (1 - floor) * (1 + math.cos(math.pi * done)) / 2

    return LambdaLR(optimizer, factor)


def one_cycle(
    optimizer: Optimizer,
    total_steps: int,
    *,
    warmup: float = 0.3,
    start: float = 0.04,
    floor: float = 0.0001,
) -> OneCycleLR:
    """torch's OneCycleLR with the optimiser's learning rates, a group each, as the peaks.

    Args:
        optimizer, total_steps: see warmup_cosine.
        warmup: share of the steps before the peak, 0 < warmup < 1.
        start: first learning rate as a share of the peak, 0 < start.
        floor: last learning rate as a share of the first, 0 < floor.
    Raises:
        ValueError: warmup, start or floor out of range.
    Source: L. N. Smith, N. Topin, "Super-Convergence", arXiv:1708.07120.
    """
    if not (0 < warmup < 1 and start > 0 and floor > 0):
        raise ValueError(
            f"warmup {warmup} must lie in (0, 1), start {start} and floor {floor} above 0"
        )
    steps = total_steps + 1  # Lightning steps it once more after the last batch
    return OneCycleLR(
        optimizer,
        max_lr=[group["lr"] for group in optimizer.param_groups],
        total_steps=steps,
        pct_start=max(warmup, 1.5 / steps),  # torch divides by zero where step 0 is the peak
        div_factor=1 / start,
        final_div_factor=1 / floor,
    )


def total_steps(trainer: L.Trainer, steps_per_epoch: int) -> int:
    """Optimiser steps of the whole run, >= 1.

    Computed here rather than asked of Lightning: `estimated_stepping_batches` builds the loaders,
    and loses the state that a resumed loader had.

    Args:
        steps_per_epoch: batches of one epoch in one process, before any limit.
    Raises:
        UsageError: the run has no end.
    """
    epochs, most = trainer.max_epochs, trainer.max_steps
    steps = None if epochs in (None, -1) else _an_epoch(trainer, steps_per_epoch) * epochs
    if most >= 0:
        steps = most if steps is None else min(steps, most)
    if steps is None:
        raise UsageError(
            f"the run has no end: trainer.max_epochs is {epochs} and trainer.max_steps {most}.",
            fix="trainer.max_epochs=10",
        )
    return max(steps, 1)


def total_epochs(trainer: L.Trainer, steps_per_epoch: int) -> int:
    """Epochs of the whole run, >= 1, of which the last may be cut short. See total_steps."""
    steps = total_steps(trainer, steps_per_epoch)
    return -(-steps // max(_an_epoch(trainer, steps_per_epoch), 1))


def _an_epoch(trainer: L.Trainer, steps_per_epoch: int) -> int:
    """Optimiser steps of one epoch."""
    limit = trainer.limit_train_batches  # fast_dev_run and overfit_batches have set it too
    batches = (
        min(steps_per_epoch, limit) if isinstance(limit, int) else int(steps_per_epoch * limit)
    )
    return int(-(-batches // trainer.accumulate_grad_batches))
