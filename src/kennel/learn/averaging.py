"""The moving average of a network's weights, which answers better than the weights of one step.

Lightning's own WeightAveraging was not taken: see docs/decisions/0018.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


def warmed_up(decay: float, step: int) -> float:
    """The decay at one step: lower in the first ones, so that short runs forget how they began.

    Args:
        decay: what it becomes, in [0, 1).
        step: optimiser steps taken before this one, >= 0.
    Source: ExponentialMovingAverage of TensorFlow, `num_updates`.
    """
    return min(decay, (1 + step) / (10 + step))


@torch.no_grad()
def follow(average: nn.Module, network: nn.Module, decay: float) -> None:
    """average = decay * average + (1 - decay) * network, in place; counters are copied.

    Args:
        average: a copy of the network.
        decay: in [0, 1).
    """
    ours: list[Tensor] = []
    theirs: list[Tensor] = []
    for mine, its in zip(_tensors(average), _tensors(network), strict=True):
        if mine.is_floating_point():
            ours.append(mine)
            theirs.append(its)
        else:
            mine.copy_(its)
    torch._foreach_lerp_(ours, theirs, 1 - decay)


def _tensors(module: nn.Module) -> list[Tensor]:
    return [*module.parameters(), *module.buffers()]
