"""Progressive resizing: early epochs see smaller crops, which cost less, and the last ones see what
validation sees.

Source: FastAI's entry to DAWNBench, 2018; M. Tan, Q. Le, "EfficientNetV2", arXiv:2104.00298.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from kennel.errors import UsageError
from kennel.learn.augment import Augmentation, RandomResizedCrop
from kennel.learn.models import Network
from kennel.learn.settings import ProgressiveSettings


@dataclass(frozen=True)
class Sides:
    """The side of training crops by epoch: of nothing else, so that a resumed run sees the same.

    Attributes:
        settings: how they grow.
        size: side that the network is made for, in pixels.
    """

    settings: ProgressiveSettings
    size: int

    def at(self, epoch: int, epochs: int) -> int:
        """Pixels in one epoch, 0 <= epoch, of `epochs` in all, >= 1. The last has the full side."""
        growing = min(round(self.settings.until * epochs), epochs - 1)
        if epoch >= growing:
            return self.size
        start, step = self.settings.start, self.settings.multiple
        share = start + (1 - start) * epoch / growing
        return min(max(round(self.size * share / step), 1) * step, self.size)

    def refuse(self, network: Network, augment: Sequence[Augmentation], *, frozen: bool) -> None:
        """Raises UsageError where crops cannot grow: nothing crops at random, photos go through
        the backbone once, or the network takes photos of one size alone.
        """
        if frozen:
            raise UsageError(
                "data.progressive is set, and recipe.frozen puts whole photos through the "
                "backbone, once.",
                fix="data.progressive=null, or experiment=finetune",
            )
        if not any(isinstance(part, RandomResizedCrop) for part in augment):
            raise UsageError(
                "data.progressive is set, and nothing in data.augment crops at random.",
                fix="data.progressive=null, or data=default, which has a RandomResizedCrop",
            )
        smallest = self.at(0, 10**6)
        trains = network.training
        try:
            with torch.inference_mode():
                network.eval()(torch.zeros(1, 3, smallest, smallest))
        except (AssertionError, RuntimeError) as error:
            reason = str(error).splitlines()[0].rstrip(".")
            raise UsageError(
                f"data.progressive begins with photos of {smallest} px, which the network does "
                f"not take: {reason}.",
                fix="data.progressive=null",
            ) from error
        finally:
            network.train(trains)
