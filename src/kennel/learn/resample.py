"""Resampling photos of a batch, each in its own way: a box of each to one size, or each moved.

N photos, H x W pixels, S x S the size asked for.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

CUBIC = -0.5  # Pillow's and torch's antialiased bicubic


def resize_boxes(
    photos: Tensor, boxes: NDArray[np.int64], size: int
) -> Tensor:  # UInt8[N, 3, H, W], Int64[N, 4] -> UInt8[N, 3, S, S]
    """The box of each photo, brought to size x size: bicubic, antialiased.

    On the processor photo by photo, by torch's 8-bit kernel (0.25 ms a photo and core, where
    sampling the batch at once takes 1.3); on accelerators, which lack that kernel, as two matrix
    products for the whole batch. They differ by 1 here and there, on noise by 2.

    Args:
        boxes: left, top, right, bottom, within the photo and not empty.
    """
    if photos.device.type != "cpu":
        return resize_boxes_at_once(photos, boxes, size)
    pixels = photos.permute(0, 2, 3, 1).numpy()
    out = np.empty((len(pixels), 3, size, size), np.uint8)
    for at, (left, top, right, bottom) in enumerate(boxes):
        part = np.ascontiguousarray(pixels[at, top:bottom, left:right])
        batch = torch.from_numpy(part).permute(2, 0, 1)[None]
        out[at] = F.interpolate(batch, (size, size), mode="bicubic", antialias=True)[0].numpy()
    return torch.from_numpy(out)


def resize_boxes_at_once(photos: Tensor, boxes: NDArray[np.int64], size: int) -> Tensor:
    """`resize_boxes` as two matrix products, on any device."""
    edges = placed(boxes.astype(np.float32), photos)
    across = _weights(edges[:, 0], edges[:, 2], photos.shape[3], size)[:, None]
    down = _weights(edges[:, 1], edges[:, 3], photos.shape[2], size)[:, None]
    # The 8-bit kernel rounds and clips between its two passes: so does this.
    narrow = rounded(photos.float() @ across.transpose(2, 3))
    return rounded(down @ narrow.float())


def _weights(low: Tensor, high: Tensor, pixels: int, size: int) -> Tensor:
    """What each of `pixels` weighs in each of `size`, where low..high becomes 0..size.

    Float32[N], Float32[N] -> Float32[N, size, pixels].
    """
    low, high = low[:, None, None], high[:, None, None]
    scale = (high - low) / size
    centre = low + scale * (torch.arange(size, device=low.device)[:, None] + 0.5)
    pixel = torch.arange(pixels, device=low.device) + 0.5
    x = ((pixel - centre) / scale.clamp(min=1)).abs()
    near = ((CUBIC + 2) * x - (CUBIC + 3)) * x * x + 1
    far = (((x - 5) * x + 8) * x - 4) * CUBIC
    weight = torch.where(x < 1, near, torch.where(x < 2, far, torch.zeros_like(x)))
    weight = weight * ((pixel > low) & (pixel < high))
    return weight / weight.sum(2, keepdim=True)


def move(
    photos: Tensor, matrices: NDArray[np.float64], fill: tuple[int, int, int]
) -> Tensor:  # UInt8[N, 3, S, S], Float64[N, 2, 3] -> UInt8[N, 3, S, S]
    """Each photo moved, bilinear; `fill` comes in from outside.

    Args:
        matrices: from a point of the new picture to the point it comes from, both measured from the
            centre, in halves of the side, x to the right and y down.
    """
    shape = (len(photos), 3, photos.shape[2], photos.shape[3])
    theta = placed(matrices.astype(np.float32), photos)
    grid = F.affine_grid(theta, list(shape), align_corners=False)
    moved = F.grid_sample(photos.float(), grid, padding_mode="border", align_corners=False)
    inside = (grid.abs() <= 1).all(3)[:, None]
    colour = placed(np.array(fill, np.float32), photos)[None, :, None, None]
    return rounded(torch.where(inside, moved, colour))


def placed(values: NDArray[Any], photos: Tensor) -> Tensor:
    """Numbers of the processor where the photos are; no float64, which MPS has not.

    CUDA copies them aside at once: waiting for it would be waiting for the step before.
    """
    cuda = photos.device.type == "cuda"
    return torch.from_numpy(values).to(photos.device, non_blocking=cuda)


def rounded(values: Tensor) -> Tensor:  # Float32[...] -> UInt8[...]
    """To the nearest of 0..255."""
    return values.add(0.5).clamp_(0, 255).to(torch.uint8)
