"""Augmentation of batches: by the photo's seed alone, and the pictures that torchvision makes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as tv

from kennel.learn import colour
from kennel.learn.augment import (
    Augmentation,
    ColorJitter,
    Draw,
    RandomErasing,
    RandomHorizontalFlip,
    RandomResizedCrop,
    vary_all,
)
from kennel.learn.randaugment import CHANGES, RandAugment
from kennel.learn.resample import resize_boxes, resize_boxes_at_once

pytestmark = pytest.mark.slow

GREY = (128, 128, 128)
ALL: list[Augmentation] = [
    RandomResizedCrop(scale=[0.2, 1.0]),
    RandomHorizontalFlip(),
    RandAugment(num_ops=3, magnitude=20),
    ColorJitter(0.3, 0.3, 0.3),
    RandomErasing(),
]


def draw_of(n: int, *, size: int = 32, sizes: tuple[int, int] = (40, 30)) -> Draw:
    return Draw(np.arange(n) * 7919, np.tile(sizes, (n, 1)), size, GREY)


def soft_photos(n: int, side: int = 40) -> Tensor:  # UInt8[N, 3, side, side]
    coarse = torch.rand(n, 3, 5, 5, generator=torch.Generator().manual_seed(1))
    photos: Tensor = torch.nn.functional.interpolate(coarse, (side, side), mode="bilinear") * 255
    return photos.to(torch.uint8)


# by the photo's seed alone


def test_what_happens_to_a_photo_does_not_depend_on_its_batch() -> None:
    photos, draw = soft_photos(12), draw_of(12)
    together = vary_all(ALL, photos, draw)
    assert (together.dtype, tuple(together.shape)) == (torch.uint8, (12, 3, 32, 32))
    for index in range(12):
        alone = Draw(draw.seeds[[index]], draw.sizes[[index]], draw.size, draw.fill)
        torch.testing.assert_close(
            vary_all(ALL, photos[[index]], alone)[0], together[index], atol=1, rtol=0
        )


def test_numbers_go_to_the_photos_device_and_nothing_comes_back() -> None:
    # On "meta" a tensor has a shape and no numbers: whoever asked for one, as `if` and `.item()`
    # do, would make an accelerator wait; whoever mixed devices would fail.
    seen = vary_all(ALL, soft_photos(12).to("meta"), draw_of(12))
    assert (seen.device.type, seen.dtype, tuple(seen.shape)) == (
        "meta",
        torch.uint8,
        (12, 3, 32, 32),
    )


def test_no_random_number_of_torch_or_numpy_is_drawn() -> None:
    before, numpys = torch.get_rng_state(), np.random.get_state()[1].copy()  # type: ignore[index]
    first = vary_all(ALL, soft_photos(4), draw_of(4))
    torch.manual_seed(5)
    torch.testing.assert_close(vary_all(ALL, soft_photos(4), draw_of(4)), first, atol=0, rtol=0)
    torch.set_rng_state(before)
    assert (np.random.get_state()[1] == numpys).all()  # type: ignore[index]


def test_the_photos_that_came_are_left_as_they_were() -> None:
    photos = soft_photos(8)
    kept = photos.clone()
    vary_all(ALL, photos, draw_of(8))
    assert torch.equal(photos, kept)


def test_numbers_are_even_and_streams_have_nothing_in_common() -> None:
    draw = Draw(np.arange(2000), np.ones((2000, 2)), 32, GREY)
    drawn = draw.uniform(5)
    assert drawn.min() >= 0
    assert drawn.max() < 1
    counts = np.histogram(drawn, bins=20, range=(0, 1))[0]
    assert ((counts - 500) ** 2 / 500).sum() < 43.8  # chi-square, 19 degrees, p 0.001
    other = Draw(draw.seeds, draw.sizes, 32, GREY, stream=1).uniform(5)
    columns = np.corrcoef(np.concatenate([drawn, other], axis=1).T) - np.eye(10)
    assert np.abs(columns).max() < 0.09  # four standard errors
    assert np.abs(np.corrcoef(drawn[:-1, 0], drawn[1:, 0])[0, 1]) < 0.09  # neighbouring seeds


def test_the_same_seed_draws_the_same_numbers_in_every_version() -> None:
    draw = Draw(np.array([0, 1, 2**62 - 1]), np.ones((3, 2)), 32, GREY, stream=2)
    golden = [
        [0.7452831114441784, 0.4415357142799784],
        [0.5775539327040754, 0.10167136786467856],
        [0.7333091744088315, 0.5665808543165599],
    ]
    np.testing.assert_allclose(draw.uniform(2), golden, rtol=1e-12)


# crops


def test_crops_have_the_shapes_and_places_that_torchvision_draws() -> None:
    n, width, height = 4000, 400, 300
    draw = Draw(np.arange(n), np.tile((width, height), (n, 1)), 32, GREY)
    crop = RandomResizedCrop(scale=[0.35, 1.0])
    ours = crop.boxes(draw) * [width, height, width, height]
    picture = torch.empty(3, height, width)
    torch.manual_seed(0)
    drawn = [v2.RandomResizedCrop(32, scale=(0.35, 1.0)).make_params([picture]) for _ in range(n)]
    theirs = np.array(
        [[p["left"], p["top"], p["left"] + p["width"], p["top"] + p["height"]] for p in drawn]
    )
    for function in (
        lambda b: (b[:, 2] - b[:, 0]) * (b[:, 3] - b[:, 1]) / (width * height),
        lambda b: np.log((b[:, 2] - b[:, 0]) / (b[:, 3] - b[:, 1])),
        lambda b: b[:, 0] / width,
        lambda b: b[:, 3] / height,
    ):
        mine, other = function(ours), function(theirs)
        error = np.sqrt(mine.var() / n + other.var() / n)
        assert abs(mine.mean() - other.mean()) < 4 * error + 2e-3  # torchvision rounds to pixels
        assert mine.std() == pytest.approx(other.std(), rel=0.05)
    assert ours.min() >= 0
    assert (ours <= np.array([width, height, width, height]) + 1e-9).all()


@pytest.mark.parametrize(("width", "height"), [(300, 100), (100, 300), (200, 200)])
def test_a_crop_of_the_squashed_photo_is_the_crop_of_the_photo(width: int, height: int) -> None:
    coarse = torch.rand(1, 3, 6, 6, generator=torch.Generator().manual_seed(2)) * 255
    photo = torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic")
    photo = photo.clamp(0, 255).to(torch.uint8)
    squashed = tv.resize(photo, [80, 80])
    crop, draw = RandomResizedCrop(scale=[0.2, 1.0]), draw_of(30, size=64, sizes=(width, height))
    seen = crop.vary(squashed.expand(30, -1, -1, -1), draw)
    for box, ours in zip(crop.boxes(draw) * [width, height, width, height], seen, strict=True):
        left, top, right, bottom = (round(edge) for edge in box)
        theirs = tv.resized_crop(photo[0], top, left, bottom - top, right - left, [64, 64])
        difference = (ours.int() - theirs.int()).abs().float()
        assert difference.mean() < 4  # half a pixel of 80 at either edge
        moved = (ours.int() - theirs.flip(2).int()).abs().float()
        assert moved.mean() > 3 * difference.mean()


def test_a_photo_too_long_for_any_crop_gives_its_middle() -> None:
    draw = Draw(np.arange(5), np.tile((1000, 10), (5, 1)), 32, GREY)
    boxes = RandomResizedCrop(scale=[0.9, 1.0]).boxes(draw) * [1000, 10, 1000, 10]
    np.testing.assert_allclose(boxes, np.tile([500 - 20 / 3, 0, 500 + 20 / 3, 10], (5, 1)))


def test_a_crop_shows_what_lies_in_its_box() -> None:
    # Red grows to the right, green downwards: a crop's edges can be read from its colours.
    ramp = torch.arange(128, dtype=torch.uint8)
    photo = torch.stack(
        [ramp.expand(128, 128), ramp[:, None].expand(128, 128), ramp.expand(128, 128)]
    )
    draw = draw_of(20, sizes=(128, 64))
    crop = RandomResizedCrop(scale=[0.3, 0.6])
    seen = crop.vary(photo.expand(20, 3, 128, 128), draw).float()
    boxes = crop.boxes(draw) * 128
    found = torch.stack(
        [
            seen[:, 0, :, 0].mean(1),
            seen[:, 1, 0].mean(1),
            seen[:, 0, :, -1].mean(1),
            seen[:, 1, -1].mean(1),
        ],
        1,
    ).numpy()
    np.testing.assert_allclose(found, boxes, atol=4)  # half a pixel seen is two of the photo's
    width, height = boxes[:, 2] - boxes[:, 0], (boxes[:, 3] - boxes[:, 1]) / 2
    assert (width / height).max() <= 4 / 3 + 1e-9
    assert (width / height).min() >= 3 / 4 - 1e-9


@pytest.mark.parametrize("size", [24, 40, 70])
def test_resizing_a_batch_at_once_is_resizing_photo_by_photo(size: int) -> None:
    generator = np.random.default_rng(0)
    photos = torch.from_numpy(generator.integers(0, 256, (9, 3, 50, 50), dtype=np.uint8))
    low = generator.integers(0, 20, (9, 2))
    boxes = np.concatenate([low, low + generator.integers(1, 31, (9, 2))], axis=1)
    by_photo = resize_boxes(photos, boxes, size).int()
    difference = (resize_boxes_at_once(photos, boxes, size).int() - by_photo).abs()
    assert difference.max() <= 2  # noise is the worst there is
    assert difference.float().mean() < 0.02


def test_flips_are_of_half_the_photos_and_exact() -> None:
    photos = soft_photos(1).expand(400, -1, -1, -1)
    seen = RandomHorizontalFlip().vary(photos, draw_of(400))
    same = (seen == photos).flatten(1).all(1)
    assert torch.equal(seen[~same], photos[~same].flip(3))
    assert 160 < int(same.sum()) < 240
    assert torch.equal(RandomHorizontalFlip(p=0).vary(photos, draw_of(400)), photos)


# colours


@pytest.mark.parametrize(
    ("ours", "theirs", "amounts"),
    [
        (colour.brightness, tv.adjust_brightness, [0.0, 0.4, 1.0, 1.8]),
        (colour.contrast, tv.adjust_contrast, [0.0, 0.4, 1.0, 1.8]),
        (colour.saturation, tv.adjust_saturation, [0.0, 0.4, 1.0, 1.8]),
        (colour.sharpness, tv.adjust_sharpness, [0.0, 0.4, 1.0, 1.8]),
        (colour.posterise, lambda p, a: tv.posterize(p, int(a)), [4, 5, 7, 8]),
        (colour.solarise, lambda p, a: tv.solarize(p, a * 255), [0.0, 0.3, 0.8, 1.0]),
    ],
)
def test_colours_change_as_torchvision_changes_them_each_photo_by_its_amount(
    ours: Callable[..., Tensor], theirs: Callable[..., Tensor], amounts: list[float]
) -> None:
    photos = soft_photos(len(amounts))
    seen = ours(photos, torch.tensor(amounts, dtype=torch.float32))
    for photo, amount, changed in zip(photos, amounts, seen, strict=True):
        torch.testing.assert_close(changed, theirs(photo, amount), atol=1, rtol=0)


@pytest.mark.parametrize(
    ("ours", "theirs"), [(colour.stretch, tv.autocontrast), (colour.equalise, tv.equalize)]
)
def test_histograms_change_as_torchvision_changes_them(
    ours: Callable[[Tensor], Tensor], theirs: Callable[[Tensor], Tensor]
) -> None:
    photos = torch.cat([soft_photos(3), torch.full((1, 3, 40, 40), 7, dtype=torch.uint8)])
    photos[0] = photos[0] // 3 + 40
    for photo, changed in zip(photos, ours(photos), strict=True):
        torch.testing.assert_close(changed, theirs(photo), atol=1, rtol=0)


def test_jitter_stays_within_its_bounds() -> None:
    photos = torch.full((300, 3, 4, 4), 100, dtype=torch.uint8)
    seen = ColorJitter(brightness=0.2).vary(photos, draw_of(300))[:, 0, 0, 0].float()
    assert 80 <= seen.min() < 84
    assert 116 < seen.max() <= 120
    assert torch.equal(ColorJitter().vary(photos, draw_of(300)), photos)


# RandAugment and erasing


def one_change(name: str, photos: Tensor, *, magnitude: int, sign: float = 1.0) -> Tensor:
    chosen = np.full(len(photos), CHANGES.index(name))
    part = RandAugment(num_ops=1, magnitude=magnitude)
    signs = np.full(len(photos), sign)
    return part.change(photos, chosen, signs, draw_of(len(photos), size=photos.shape[3]))


@pytest.mark.parametrize("sign", [-1.0, 1.0])
@pytest.mark.parametrize(
    ("name", "most"),
    [
        ("shear_x", {"shear": [float(np.degrees(np.arctan(0.3))), 0.0], "center": [20.0, 20.0]}),
        ("translate_x", {"translate": [150 / 331 * 40, 0.0]}),
        ("translate_y", {"translate": [0.0, 150 / 331 * 40]}),
        ("rotate", {"angle": 30.0}),
    ],
)
def test_moves_are_those_of_torchvision_or_their_mirror_image(
    name: str, most: dict[str, Any], sign: float
) -> None:
    photos = soft_photos(2)
    asked: dict[str, Any] = {"angle": 0.0, "translate": [0, 0], "scale": 1.0, "shear": [0.0, 0.0]}
    mine = one_change(name, photos, magnitude=30, sign=sign).float()
    differences = []
    for turn in (1, -1):
        turned = {
            k: [turn * v for v in value] if k in ("shear", "translate") else turn * value
            for k, value in most.items()
            if k != "center"
        }
        theirs = tv.affine(
            photos,
            **{**asked, **turned},
            interpolation=v2.InterpolationMode.BILINEAR,
            fill=list(GREY),
        )
        differences.append(float((mine - theirs.float()).abs().mean()))
    assert min(differences) < 3 < max(differences)


def test_a_move_brings_in_the_fill_and_no_magnitude_moves_nothing() -> None:
    photos = torch.full((1, 3, 40, 40), 250, dtype=torch.uint8)
    moved = one_change("translate_x", photos, magnitude=30)
    assert set(moved.unique().tolist()) == {128, 250}
    share = float((moved == 128).float().mean())
    assert share == pytest.approx(150 / 331, abs=1 / 40)
    photos = soft_photos(2)
    for name in CHANGES:
        if name not in ("stretch", "equalise"):
            close = one_change(name, photos, magnitude=0)
            torch.testing.assert_close(close, photos, atol=1, rtol=0)


def test_every_change_is_drawn_and_changes_its_photo() -> None:
    photos = soft_photos(1).expand(len(CHANGES), -1, -1, -1)
    chosen = np.arange(len(CHANGES))
    part, draw = RandAugment(magnitude=25), draw_of(len(CHANGES), size=40)
    seen = part.change(photos, chosen, np.ones(len(CHANGES)), draw)
    changed = (seen != photos).flatten(1).any(1)
    assert [name for name, some in zip(CHANGES, changed, strict=True) if not some] == ["identity"]
    many = draw_of(2000).uniform(1)[:, 0] * len(CHANGES)
    assert set(many.astype(int)) == set(range(len(CHANGES)))
    assert len({row.numpy().tobytes() for row in seen}) == len(CHANGES)


def test_erasing_paints_a_rectangle_of_the_asked_size_over_half_the_photos() -> None:
    photos = torch.zeros(400, 3, 64, 64, dtype=torch.uint8)
    seen = RandomErasing(scale=[0.1, 0.2], value=[9, 8, 7]).vary(photos, draw_of(400))
    painted = seen.flatten(1).any(1)
    assert 160 < int(painted.sum()) < 240
    share = (seen[painted][:, 0] == 9).float().mean((1, 2))
    assert 0.08 < share.min() < 0.12
    assert 0.18 < share.max() < 0.22
    assert seen[painted].amax((0, 2, 3)).tolist() == [9, 8, 7]


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: RandomResizedCrop(scale=[0.0, 1.0]), "scale is [0.0, 1.0]"),
        (lambda: RandomResizedCrop(scale=[0.5, 1.5]), "up to 1"),
        (lambda: RandomResizedCrop(ratio=[2.0, 1.0]), "ratio is [2.0, 1.0]"),
        (lambda: RandomResizedCrop(scale=[0.5]), "scale is [0.5]"),
        (lambda: RandomHorizontalFlip(p=1.5), "p is 1.5"),
        (lambda: ColorJitter(contrast=-0.1), "contrast is -0.1"),
        (lambda: RandAugment(magnitude=31), "magnitude is 31"),
        (lambda: RandAugment(num_ops=-1), "num_ops is -1"),
        (lambda: RandomErasing(value=[1, 2]), "value is [1, 2]"),
    ],
)
def test_what_cannot_be_is_refused_with_its_value(make: Callable[[], Any], said: str) -> None:
    with pytest.raises(ValueError, match=said.replace("[", r"\[")):
        make()
