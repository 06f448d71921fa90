"""Colours of a batch, changed for each photo by its own amount, by the formulas of torchvision.

N photos, H x W pixels. All: UInt8[N, 3, H, W] -> UInt8[N, 3, H, W], `amount` Float32[N].
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from kennel.learn.resample import placed, rounded

LUMA = (0.2989, 0.587, 0.114)


def brightness(photos: Tensor, amount: Tensor) -> Tensor:
    """0 is black, 1 changes nothing."""
    return rounded(photos.float() * _each(amount))


def contrast(photos: Tensor, amount: Tensor) -> Tensor:
    """0 is the mean grey, 1 changes nothing."""
    return _away(photos, _grey(photos).mean((1, 2, 3), keepdim=True), amount)


def saturation(photos: Tensor, amount: Tensor) -> Tensor:
    """0 is grey, 1 changes nothing."""
    return _away(photos, _grey(photos), amount)


def sharpness(photos: Tensor, amount: Tensor) -> Tensor:
    """0 is blurred, 1 changes nothing. The border stays."""
    kernel = torch.ones(3, 1, 3, 3, device=photos.device)
    kernel[:, :, 1, 1] = 5
    blurred = photos.float()
    blurred[:, :, 1:-1, 1:-1] = F.conv2d(blurred, kernel / 13, groups=3).round()
    return _away(photos, blurred, amount)


def posterise(photos: Tensor, amount: Tensor) -> Tensor:
    """Keeps the highest `amount` bits, 0..8."""
    lost = (8 - amount).to(torch.uint8)
    return (photos >> _each(lost)) << _each(lost)


def solarise(photos: Tensor, amount: Tensor) -> Tensor:
    """Inverts what is as bright as `amount`, 0..1, or brighter."""
    return torch.where(photos >= _each(amount * 255), 255 - photos, photos)


def stretch(photos: Tensor) -> Tensor:
    """Each channel from its darkest and brightest value to 0..255."""
    values = photos.float()
    low, high = values.amin((2, 3), keepdim=True), values.amax((2, 3), keepdim=True)
    spread = high - low
    return torch.where(spread > 0, rounded((values - low) * 255 / spread.clamp(min=1)), photos)


def equalise(photos: Tensor) -> Tensor:
    """Each channel's histogram as flat as a look-up table makes it."""
    flat = photos.flatten(2).long()
    counts = torch.zeros(*flat.shape[:2], 256, dtype=torch.long, device=photos.device)
    counts.scatter_add_(2, flat, torch.ones_like(flat))
    # As Pillow does it: the pixels of the brightest value do not count.
    brightest = counts.ne(0).int().mul(torch.arange(256, device=photos.device)).amax(2)
    last = counts.gather(2, brightest.long()[..., None])
    step = torch.div(flat.shape[2] - last, 255, rounding_mode="floor")
    before = counts.cumsum(2) - counts
    table = torch.div(
        before + torch.div(step, 2, rounding_mode="floor"), step.clamp(min=1), rounding_mode="floor"
    ).clamp(0, 255)
    equal = table.gather(2, flat).to(torch.uint8).view_as(photos)
    return torch.where(step[..., None] > 0, equal, photos)


def _away(photos: Tensor, other: Tensor, amount: Tensor) -> Tensor:
    """From `other` at 0 through the photos at 1 and beyond."""
    share = _each(amount)
    return rounded(photos * share + other * (1 - share))


def _grey(photos: Tensor) -> Tensor:  # -> Float32[N, 1, H, W]
    share = placed(np.array(LUMA, np.float32), photos)[:, None, None]
    return (photos.float() * share).sum(1, keepdim=True).floor()


def _each(amount: Tensor) -> Tensor:
    return amount[:, None, None, None]
