"""What the page sends of a photo: enough for the same answer, and no more."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import Page
from PIL import Image
from visitors import IN_A_BROWSER, heading, seen

pytestmark = IN_A_BROWSER


def noisy_photo(path: Path, *, width: int, height: int, orientation: int = 1) -> Path:
    """A JPEG too large to be sent as it is: its left half reddish, its right half bluish."""
    pixels = np.random.default_rng(0).integers(0, 80, (height, width, 3), dtype=np.uint8)
    pixels[:, : width // 2, 0] += 160
    pixels[:, width // 2 :, 2] += 160
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels).save(path, quality=95, exif=exif)
    return path


def as_sent(page: Page, photo: Path, preprocess: dict[str, Any]) -> dict[str, Any]:
    """What the page would send of a photo: its type, bytes, pixels, and two of its colours."""
    about = {"preprocess": preprocess, "limits": {"formats": ["JPEG", "PNG", "WebP", "GIF"]}}
    page.js(
        """(() => {
          const probe = document.createElement("input");
          Object.assign(probe, {type: "file", id: "probe"});
          document.body.append(probe);
        })()"""
    )
    page.choose("#probe", photo)
    said: dict[str, Any] = page.js(
        f"""(async () => {{
          const {{toSend}} = await import("./photo.js");
          const file = document.querySelector("#probe").files[0];
          const {{body, type, shrunk}} = await toSend(file, {json.dumps(about)});
          document.querySelector("#probe").remove();
          const found = {{type, bytes: body.size, untouched: body === file, shrunk}};
          const image = await createImageBitmap(body).catch(() => null);
          if (!image) return found;
          const canvas = document.createElement("canvas");
          canvas.width = image.width;
          canvas.height = image.height;
          const context = canvas.getContext("2d");
          context.drawImage(image, 0, 0);
          const at = (x, y) =>
            [...context.getImageData(x * image.width, y * image.height, 1, 1).data].slice(0, 3);
          return {{...found, width: image.width, height: image.height,
                   top: at(0.5, 0.1), bottom: at(0.5, 0.9), middle: at(0.5, 0.5)}};
        }})()"""
    )
    return said


def test_a_small_photo_is_sent_untouched(page: Page, photos: Path) -> None:
    photo = photos / "red" / "0.png"
    said = as_sent(page, photo, {"size": 224, "fill": [128, 128, 128]})
    assert said["untouched"]
    assert (said["type"], said["bytes"]) == ("image/png", photo.stat().st_size)


def test_a_large_photo_is_shrunk_upright_and_keeps_five_times_the_models_pixels(
    page: Page, tmp_path: Path
) -> None:
    photo = noisy_photo(tmp_path / "large.jpg", width=2400, height=1800, orientation=6)
    assert photo.stat().st_size > 1_500_000
    said = as_sent(page, photo, {"size": 224, "fill": [128, 128, 128]})
    assert (said["type"], said["untouched"]) == ("image/jpeg", False)
    assert (said["width"], said["height"]) == (1120, 1493)  # turned: the short side is 5 x 224
    assert said["bytes"] < min(4_000_000, photo.stat().st_size)
    red, _, blue = said["top"]  # its left half is on top once it is turned
    assert red > blue + 60
    red, _, blue = said["bottom"]
    assert blue > red + 60


def test_a_photo_that_has_no_pixels_to_spare_keeps_them(page: Page, tmp_path: Path) -> None:
    photo = noisy_photo(tmp_path / "large.jpg", width=1500, height=1100)
    assert photo.stat().st_size < 4_000_000
    wanted = {"size": 512, "fill": [128, 128, 128]}
    said = as_sent(page, photo, wanted)
    assert said["untouched"]
    pixels = np.random.default_rng(0).integers(0, 255, (1100, 1500, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "large.png")  # 5 MB: more than clouds let through
    said = as_sent(page, tmp_path / "large.png", wanted)
    assert (said["width"], said["height"], said["type"]) == (1500, 1100, "image/jpeg")
    assert said["bytes"] < 4_000_000


def test_what_is_transparent_gets_the_colour_that_the_bundle_names(
    page: Page, tmp_path: Path
) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (900, 1200, 4), dtype=np.uint8)
    pixels[300:600, 400:800, 3] = 0
    Image.fromarray(pixels).save(tmp_path / "holes.png")
    said = as_sent(page, tmp_path / "holes.png", {"size": 100, "fill": [10, 200, 30]})
    assert said["shrunk"]
    assert said["middle"] == pytest.approx([10, 200, 30], abs=6)


def test_what_the_browser_cannot_read_is_sent_as_it_is(page: Page, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (900, 1200, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "scan.tif")
    said = as_sent(page, tmp_path / "scan.tif", {"size": 8, "fill": [128, 128, 128]})
    assert (said["type"], said["untouched"]) == ("image/tiff", True)


def test_what_the_browser_reads_and_the_server_does_not_is_sent_as_jpeg(
    page: Page, tmp_path: Path
) -> None:
    Image.new("RGB", (30, 20), (0, 0, 255)).save(tmp_path / "small.bmp")
    said = as_sent(page, tmp_path / "small.bmp", {"size": 8, "fill": [128, 128, 128]})
    assert (said["type"], said["width"], said["height"]) == ("image/jpeg", 30, 20)
    page.choose("#file", tmp_path / "small.bmp")
    seen(page, 1)
    assert heading(page) == "blue"


def test_a_shrunk_photo_is_answered_and_says_so(page: Page, tmp_path: Path) -> None:
    Image.new("RGB", (2400, 1800), (255, 0, 0)).save(tmp_path / "plain.bmp")
    page.choose("#file", tmp_path / "plain.bmp")
    seen(page, 1)
    assert heading(page) == "red"
    assert "of 13 MB" in page.text("#answer .times")


def test_the_first_bytes_say_what_a_file_is(page: Page, photos: Path, tmp_path: Path) -> None:
    nameless = tmp_path / "photo"
    nameless.write_bytes((photos / "green" / "0.png").read_bytes())
    page.choose("#file", nameless)
    seen(page, 1)
    assert heading(page) == "green"
