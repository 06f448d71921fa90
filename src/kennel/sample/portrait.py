"""One practice photo: scene, dog, light, object in front and camera put together.

H x W pixels of the picture.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from PIL import Image, ImageChops, ImageFilter

from kennel.sample.breeds import Breed
from kennel.sample.coat import paint_coat
from kennel.sample.dog import Dog, meet
from kennel.sample.face import draw_face
from kennel.sample.fur import Float, combed, enlarged, noise, strands
from kennel.sample.objects import draw_object
from kennel.sample.painting import Layer, Light, Painting, Pose, lit
from kennel.sample.scene import draw_scene

OBJECT_SHARE = 0.42
WHITE_LIGHT = np.ones((3, 1, 1), np.float32)


def draw_portrait(breed: Breed, rng: np.random.Generator) -> Image.Image:
    """Draws one dog of the breed: a picture of 256..320 by 256..288 pixels, mode RGB."""
    size = int(rng.integers(256, 321)), int(rng.integers(256, 289))
    shape = (size[1], size[0])
    dog, pose, light = meet(breed, rng), _pose(size, rng), _light(rng)
    picture = draw_scene(shape, rng)
    painting = Painting(size, dog.coat.body or dog.coat.head)
    paint_coat(painting, pose, dog, rng)
    coat = _coat(painting, pose, dog, light, rng)
    _cast_shadow(picture, painting.coverage, light)
    _lay_over(picture, coat, WHITE_LIGHT)
    brightness = 0.72 * np.asarray(light.lamp, np.float32) + np.asarray(light.ambient, np.float32)
    brightness = np.minimum(brightness, 1.15)[:, None, None]
    _lay_over(picture, draw_face(size, pose, dog, light, rng), brightness)
    if rng.random() < OBJECT_SHARE:
        _lay_over(picture, draw_object(size, pose, rng), brightness)
    return _camera(picture, rng)


def _pose(size: tuple[int, int], rng: np.random.Generator) -> Pose:
    width, height = size
    radius = 0.27 * min(width, height) * float(rng.uniform(0.66, 1.2))
    centre = (
        width * float(np.clip(rng.normal(0.5, 0.06), 0.34, 0.66)),
        height * float(np.clip(rng.normal(0.46, 0.04), 0.37, 0.56)),
    )
    return Pose(
        centre=centre,
        radius=radius,
        yaw=float(np.clip(rng.normal(0.0, 0.34), -0.68, 0.68)),
        pitch=float(np.clip(rng.normal(0.1, 0.12), -0.18, 0.36)),
        roll=float(np.clip(rng.normal(0.0, 0.13), -0.36, 0.36)),
        side=1.0 if rng.random() < 0.5 else -1.0,
    )


def _light(rng: np.random.Generator) -> Light:
    towards = np.array([rng.uniform(-0.85, 0.85), rng.uniform(-0.9, -0.25), rng.uniform(0.6, 1.1)])
    towards /= np.linalg.norm(towards)
    warm = float(rng.normal(0.0, 0.07))
    strength, ambient = float(rng.uniform(0.6, 0.88)), float(rng.uniform(0.26, 0.42))
    return Light(
        towards=(float(towards[0]), float(towards[1]), float(towards[2])),
        lamp=(strength * (1 + warm), strength, strength * (1 - warm)),
        ambient=(ambient * (1 - 0.5 * warm), ambient, ambient * (1 + 0.6 * warm)),
    )


def _coat(
    painting: Painting, pose: Pose, dog: Dog, light: Light, rng: np.random.Generator
) -> Layer | None:
    """The painted dog with hair and light."""
    box = painting.coverage.getbbox()
    if box is None:
        return None
    left, top = max(0, box[0] - 6) // 2 * 2, max(0, box[1] - 6) // 2 * 2
    right, bottom = min(painting.size[0], box[2] + 6), min(painting.size[1], box[3] + 6)
    shape = (bottom - top, right - left)
    pose = replace(pose, centre=(pose.centre[0] - left, pose.centre[1] - top))
    pixels = painting.colour.crop((left, top, right, bottom))
    pixels.putalpha(painting.coverage.crop((left, top, right, bottom)))
    relief = painting.relief[top // 2 : (bottom + 1) // 2, left // 2 : (right + 1) // 2]

    along = _lie_of_hair(shape, pose, dog, rng)
    hair = strands(rng, along, steps=round(2 + 4 * dog.hair), grain=1.0 + 1.1 * dog.hair)
    planes = combed(pixels, along, hair * ((0.6 + 2.6 * dog.hair) * pose.radius / 75))
    tone = 1.0 + (0.035 + 0.075 * dog.hair + 0.05 * dog.curl) * hair
    tone += 0.05 * noise(rng, shape, 0.35 * pose.radius)
    if dog.coat.brindle:
        dark = np.clip((165.0 - planes[1]) / 50.0, 0, 1)  # white markings carry no stripes
        tone *= 1.0 - dog.coat.brindle * _stripes(shape, pose, rng) * dark
    brightness, shine = lit(np.ascontiguousarray(relief), light, shape)
    gloss = shine * (15.0 - 8.0 * dog.hair) * (1.0 + 0.5 * hair)
    cover = planes[3] * np.float32(1 / 255)
    colour = planes[:3]
    colour *= tone
    colour *= brightness
    for channel in range(3):
        colour[channel] += gloss * np.float32(light.lamp[channel])
    colour *= cover
    return Layer(colour, cover, left, top)


def _lie_of_hair(
    shape: tuple[int, int], pose: Pose, dog: Dog, rng: np.random.Generator
) -> tuple[Float, Float]:
    """Which way hair grows: away from the nose, down with its weight, round in curls."""
    x0, y0 = pose.spot(0.0, 0.1, 0.6)
    half = ((shape[0] + 1) // 2, (shape[1] + 1) // 2)
    y = (np.arange(half[0], dtype=np.float32)[:, None] * 2 - y0) / pose.radius
    x = (np.arange(half[1], dtype=np.float32)[None, :] * 2 - x0) / pose.radius
    far = np.sqrt(x * x + y * y) + 0.15
    turn = noise(rng, half, pose.radius * (0.09 if dog.curl else 0.22))
    weight = 0.35 + 0.7 * dog.hair
    wild = 0.22 + 3.0 * dog.curl
    angle = np.arctan2(y / far + weight * np.minimum(far, 1.4), x / far) + wild * turn
    return enlarged(np.cos(angle), shape), enlarged(np.sin(angle), shape)


def _stripes(shape: tuple[int, int], pose: Pose, rng: np.random.Generator) -> Float:
    """Brindle: dark, broken, slanting stripes, Float32[H, W] in 0..1."""
    x0, y0 = pose.centre
    y = (np.arange(shape[0], dtype=np.float32)[:, None] - y0) / pose.radius
    x = (np.arange(shape[1], dtype=np.float32)[None, :] - x0) / pose.radius
    bend = noise(rng, shape, 0.3 * pose.radius)
    broken = np.clip(noise(rng, shape, 0.16 * pose.radius) + 0.7, 0, 1)
    stripes: Float = np.clip(np.sin((y + 0.4 * np.abs(x)) * 19 + 1.6 * bend), 0, 1) * broken
    return stripes


def _cast_shadow(picture: Float, coverage: Image.Image, light: Light) -> None:
    """Darkens the scene behind the dog, away from the lamp."""
    cell = 10
    small = coverage.resize((coverage.width // cell, coverage.height // cell), Image.Resampling.BOX)
    away = ImageChops.offset(small, round(-1.4 * light.towards[0]), 1)
    away.paste(0, (0, 0, away.width, 1))
    share = np.asarray(away, np.float32) * np.float32(0.3 / 255)
    picture *= 1.0 - np.clip(enlarged(share, (coverage.height, coverage.width)), 0, 0.3)


def _lay_over(picture: Float, layer: Layer | None, brightness: Float) -> None:
    """Puts a layer on the picture (Float32[3, H, W]); brightness: Float32[3, 1, 1]."""
    if layer is None:
        return
    height, width = layer.cover.shape
    part = picture[:, layer.top : layer.top + height, layer.left : layer.left + width]
    part *= 1.0 - layer.cover
    part += layer.colour * brightness


def _camera(picture: Float, rng: np.random.Generator) -> Image.Image:
    """Exposure, white balance, contrast, falling off, blur and sensor noise."""
    height, width = picture.shape[1:]
    exposure = float(np.exp(rng.normal(0.0, 0.13)))
    warm = float(rng.normal(0.0, 0.045))
    contrast = float(rng.normal(1.03, 0.08))
    grain = float(rng.uniform(0.6, 4.2))
    blur = float(rng.uniform(0.3, 1.5)) if rng.random() < 0.35 else 0.0
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    x = np.linspace(-1, 1, width, dtype=np.float32)[None, :]
    falling = 1.0 - float(rng.uniform(0.0, 0.22)) * np.minimum((x * x + y * y) * 0.5, 1.0)
    falling *= exposure * contrast
    speckle = rng.standard_normal((height, width), dtype=np.float32) * grain
    speckle -= 118.0 * (contrast - 1.0)
    planes = []
    for channel, gain in enumerate((1 + warm, 1.0, 1 - warm)):
        developed = picture[channel] * (falling * np.float32(gain)) + speckle
        developed -= np.maximum(developed - 190.0, 0.0) * 0.45  # highlights keep their drawing
        planes.append(Image.fromarray(np.clip(developed, 0, 255).astype(np.uint8)))
    image = Image.merge("RGB", planes)
    return image.filter(ImageFilter.GaussianBlur(blur)) if blur else image
