"""The one preprocessing: what comes out, how near to exact arithmetic, and what is refused."""

from __future__ import annotations

import io
import itertools
import math
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from awkward import awkward_photos, broken_photos
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageFile, ImageOps

from kennel.bundle import Preprocess
from kennel.errors import PhotoError
from kennel.images import (
    MAX_PIXELS,
    PHOTO_SUFFIXES,
    NotAPhotoError,
    PhotoTooLargeError,
    describe,
    fit,
    full_size,
    kept_share,
    normalise,
    open_photo,
    read_photo,
    working_short_side,
)
from kennel.looking import Looking

FILL = (128, 30, 200)
RULES, FILTERS = ("crop", "letterbox", "squash"), ("bilinear", "bicubic", "lanczos")
PLAIN = Preprocess(size=224, mean=(0, 0, 0), std=(1, 1, 1), fill=FILL)  # gives pixels / 255
IMAGENET = Preprocess(size=224, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))

HUGE = (("crop", "bilinear"), ("crop", "bicubic"), ("crop", "lanczos"), ("squash", "bicubic"))

# Pillow says so on stderr when the EXIF of a photo is damaged; the photo is read all the same.
pytestmark = pytest.mark.filterwarnings("ignore:Corrupt EXIF data:UserWarning")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return awkward_photos(tmp_path_factory.mktemp("awkward"))


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return broken_photos(tmp_path_factory.mktemp("broken"))


@pytest.mark.parametrize(("rule", "kernel"), list(itertools.product(RULES, FILTERS)))
def test_awkward_photos_lie_within_one_255th_of_float64(
    photos: dict[str, Path], rule: str, kernel: str
) -> None:
    preprocess = replace(PLAIN, resize=rule, filter=kernel)
    off = {}
    for name, path in photos.items():
        if name.startswith("exif_") or (name.startswith("huge") and (rule, kernel) not in HUGE):
            continue  # the same arithmetic as in their neighbours, and slow
        exact = _reference(_upright_pixels(path), preprocess)
        ours = read_photo(path, preprocess).transpose(1, 2, 0)
        off[name] = float(np.abs(ours - exact / 255).max())
    assert max(off.values()) <= 1 / 255, {n: d * 255 for n, d in off.items() if d > 1 / 255}


def test_photo_larger_than_needed_is_decoded_scaled_and_others_whole(
    photos: dict[str, Path],
) -> None:
    at_least = working_short_side(PLAIN)
    assert open_photo(photos["huge.jpg"], at_least=at_least).size == (1824, 1368)
    assert open_photo(photos["huge_turned.jpg"], at_least=at_least).size == (1368, 1820)
    assert open_photo(photos["huge_turned.jpg"]).size == (2736, 3640)
    assert open_photo(photos["exif_1.jpg"], at_least=at_least).size == (96, 70)


@pytest.mark.parametrize(("width", "at_least", "found"), [(96, 12, 12), (96, 13, 24), (97, 12, 97)])
def test_scaled_decoding_keeps_what_was_asked_and_never_ends_within_a_pixel(
    width: int, at_least: int, found: int
) -> None:
    image = open_photo(_jpeg(Image.new("RGB", (width, 2 * width))), at_least=at_least)
    assert image.size == (found, 2 * found)


def test_bytes_and_path_give_equal_arrays(photos: dict[str, Path]) -> None:
    preprocess = replace(IMAGENET, size=32)
    for path in photos.values():
        np.testing.assert_array_equal(
            read_photo(path, preprocess), read_photo(path.read_bytes(), preprocess)
        )


def test_reading_is_opening_fitting_and_normalising(photos: dict[str, Path]) -> None:
    for name in ("huge_turned.jpg", "alpha.png", "grey_16.png"):
        image = open_photo(photos[name], at_least=working_short_side(PLAIN), fill=FILL)
        expected = normalise(fit(image, PLAIN), PLAIN)
        np.testing.assert_array_equal(read_photo(photos[name], PLAIN), expected)


def test_a_photo_that_is_looked_at_is_read_as_any_other_and_its_full_size_is_known(
    photos: dict[str, Path],
) -> None:
    looking = Looking(PLAIN)
    for path in photos.values():
        np.testing.assert_array_equal(looking.read(path), read_photo(path, PLAIN))
        width, height = open_photo(path).size
        smaller = open_photo(path, at_least=working_short_side(PLAIN))
        assert full_size(smaller) == full_size(open_photo(path)) == (width, height), path
        figures = looking.took(path).figures
        assert figures["megapixels"] == pytest.approx(width * height / 1e6)
        assert figures["aspect"] == pytest.approx(width / height)


@pytest.mark.parametrize("kind", ["png", "tif", "jpg"])
@pytest.mark.parametrize("orientation", range(2, 9))
def test_turned_photo_equals_the_upright_one(
    photos: dict[str, Path], kind: str, orientation: int
) -> None:
    upright = np.asarray(open_photo(photos[f"exif_1.{kind}"])).astype(int)
    turned = np.asarray(open_photo(photos[f"exif_{orientation}.{kind}"])).astype(int)
    assert turned.shape == upright.shape
    # A JPEG's blocks fall elsewhere when it is turned.
    assert np.abs(turned - upright).mean() <= (3 if kind == "jpg" else 0)


def test_opened_photo_cannot_be_turned_twice(photos: dict[str, Path]) -> None:
    image = open_photo(photos["exif_6.jpg"])
    assert (image.mode, len(image.getexif())) == ("RGB", 0)
    assert image.info.keys() == {"full_size"}


def test_the_full_size_of_a_photo_is_known_though_it_was_decoded_at_a_part(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (1600, 800)).save(tmp_path / "a.jpg", exif=exif)
    image = open_photo(tmp_path / "a.jpg", at_least=100)
    assert image.size == (100, 200)
    assert full_size(image) == (800, 1600)


def test_transparency_shows_the_fill_colour(photos: dict[str, Path]) -> None:
    assert np.all(np.asarray(open_photo(photos["clear_colour.png"], fill=FILL)) == FILL)
    for name in ("alpha.png", "alpha.webp", "grey_alpha.png", "palette_alpha.png"):
        image = np.asarray(open_photo(photos[name], fill=FILL)).reshape(-1, 3)
        assert np.any(np.all(image == FILL, axis=1)), name


def test_sixteen_bit_grey_is_scaled_not_clipped(photos: dict[str, Path]) -> None:
    for name in ("grey_16.png", "grey_16.tif", "grey_32.tif"):
        grey = np.asarray(open_photo(photos[name]))[..., 0].ravel().astype(float)
        exact = np.linspace(0, 65535, grey.size) / 257
        assert np.abs(grey - exact).max() <= 0.51, name


def test_animation_gives_its_first_frame(photos: dict[str, Path]) -> None:
    scene = np.asarray(open_photo(photos["exif_1.png"]))
    np.testing.assert_array_equal(np.asarray(open_photo(photos["animated.webp"])), scene)
    first = np.asarray(open_photo(photos["animated.gif"])).astype(int)
    assert np.abs(first - scene).mean() < 12  # 256 colours


def test_adobe_inverted_cmyk_is_not_a_negative(photos: dict[str, Path]) -> None:
    scene = np.asarray(open_photo(photos["exif_1.png"])).astype(int)
    for name in ("cmyk_adobe.jpg", "cmyk.tif"):
        assert np.abs(np.asarray(open_photo(photos[name])).astype(int) - scene).mean() < 6, name


@given(
    width=st.integers(1, 300),
    height=st.integers(1, 300),
    size=st.integers(1, 64),
    rule=st.sampled_from(RULES),
    kernel=st.sampled_from(FILTERS),
    crop=st.floats(0.01, 1),
    seed=st.integers(0, 99),
)
@settings(max_examples=100, deadline=None)
def test_any_photo_gives_a_finite_input_within_range(
    *, width: int, height: int, size: int, rule: str, kernel: str, crop: float, seed: int
) -> None:
    preprocess = replace(IMAGENET, size=size, resize=rule, filter=kernel, crop=crop)
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    array = normalise(fit(Image.fromarray(noise), preprocess), preprocess)
    mean, std = np.array(IMAGENET.mean)[:, None, None], np.array(IMAGENET.std)[:, None, None]
    assert (array.shape, array.dtype) == ((3, size, size), np.float32)
    assert array.flags.c_contiguous
    assert np.isfinite(array).all()
    assert (array >= (0 - mean) / std - 1e-6).all()
    assert (array <= (1 - mean) / std + 1e-6).all()
    assert 0 < kept_share(width, height, preprocess) <= 1 + 1e-12


@given(
    width=st.integers(1, 300),
    height=st.integers(1, 300),
    size=st.integers(1, 64),
    rule=st.sampled_from(RULES),
    kernel=st.sampled_from(FILTERS),
    colour=st.tuples(*[st.integers(0, 255)] * 3),
)
@settings(max_examples=60, deadline=None)
def test_one_colour_stays_one_colour_between_bars_of_fill(
    *, width: int, height: int, size: int, rule: str, kernel: str, colour: tuple[int, int, int]
) -> None:
    preprocess = replace(PLAIN, size=size, resize=rule, filter=kernel)
    pixels = fit(Image.new("RGB", (width, height), colour), preprocess)
    expected = np.full((size, size, 3), colour)
    if rule == "letterbox":
        across = max(1, math.floor(size * width / max(width, height) + 0.5))
        down = max(1, math.floor(size * height / max(width, height) + 0.5))
        x, y = (size - across) // 2, (size - down) // 2
        expected[:] = FILL
        expected[y : y + down, x : x + across] = colour
    np.testing.assert_array_equal(pixels, expected)


def test_photo_of_the_right_size_passes_unchanged() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)
    for rule, kernel in itertools.product(RULES, FILTERS):
        preprocess = replace(PLAIN, size=40, crop=1.0, resize=rule, filter=kernel)
        np.testing.assert_array_equal(fit(Image.fromarray(noise), preprocess), noise)


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak memory from /proc")
@pytest.mark.parametrize("size", [(60_000, 1), (1, 60_000)])
def test_sliver_needs_little_memory(size: tuple[int, int]) -> None:
    image = Image.new("RGB", size)
    preprocesses = [replace(PLAIN, resize=rule) for rule in RULES]
    fit(image, PLAIN)
    Path("/proc/self/clear_refs").write_text("5")  # forgets the peak so far
    before = _peak_mib()
    for preprocess in preprocesses:
        fit(image, preprocess)
    assert _peak_mib() - before < 16


def test_normalising_is_exact_and_keeps_leading_axes() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (2, 5, 7, 9, 3), np.uint8)
    exact = (pixels / 255 - np.array(IMAGENET.mean)) / np.array(IMAGENET.std)
    array = normalise(pixels, IMAGENET)
    assert (array.dtype, array.flags.c_contiguous) == (np.float32, True)
    np.testing.assert_array_equal(array, np.moveaxis(exact, -1, -3).astype(np.float32))


@pytest.mark.parametrize("pixels", [np.zeros((4, 4, 3)), np.zeros((4, 4, 4), np.uint8)])
def test_normalising_refuses_other_arrays(pixels: NDArray[np.generic]) -> None:
    with pytest.raises(ValueError, match="UInt8"):
        normalise(pixels, PLAIN)  # type: ignore[arg-type]


def test_fitting_refuses_other_modes() -> None:
    with pytest.raises(ValueError, match="RGBA"):
        fit(Image.new("RGBA", (4, 4)), PLAIN)


def test_every_broken_file_is_refused_by_name_in_words(broken: dict[str, Path]) -> None:
    for path in broken.values():
        with pytest.raises(PhotoError) as refusal:
            read_photo(path, PLAIN)
        assert str(path) in refusal.value.message
        assert refusal.value.fix
        assert "<_io" not in refusal.value.message, refusal.value.message


@pytest.mark.parametrize(
    ("name", "kind", "words"),
    [
        ("text.jpg", NotAPhotoError, "is not a photo"),
        ("page.png", NotAPhotoError, "is not a photo"),
        ("heic.heic", PhotoError, "cannot be decoded"),
        ("empty.jpg", PhotoError, "is empty"),
        ("missing.jpg", PhotoError, "does not exist"),
        ("folder.jpg", PhotoError, "is a folder"),
        ("cut_off.jpeg", PhotoError, "cut off"),
        ("cut_off.png", PhotoError, "cut off"),
        ("float.tif", PhotoError, "fractions"),
        ("grey_32_deep.tif", PhotoError, "1000000"),
        ("bomb.png", PhotoTooLargeError, "12000 x 12000"),
        ("bomb.jpg", PhotoTooLargeError, "65000 x 65000"),
        ("long.png", PhotoTooLargeError, "90000000"),
    ],
)
def test_refusal_says_what_is_wrong(
    broken: dict[str, Path], name: str, kind: type[PhotoError], words: str
) -> None:
    with pytest.raises(kind, match=words):
        open_photo(broken[name])


def test_a_heic_photo_is_read_upright_where_its_library_is_present(tmp_path: Path) -> None:
    heif = pytest.importorskip("pillow_heif")
    picture = Image.new("RGB", (64, 48), (200, 30, 30))
    picture.paste((20, 30, 220), (0, 0, 32, 24))  # a blue corner: upper left
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees: the corner belongs to the upper right
    heif.from_pillow(picture).save(tmp_path / "a.heic", quality=-1, exif=exif.tobytes())
    seen = open_photo(tmp_path / "a.heic")
    assert (seen.size, seen.mode) == ((48, 64), "RGB")
    blue = np.asarray(seen)[..., 2]
    assert blue[4, 44] > 200
    assert blue[4, 4] < 60
    with pytest.raises(PhotoTooLargeError):
        open_photo(tmp_path / "a.heic", max_pixels=64 * 48 - 1)


def test_a_heic_photo_names_the_library_that_is_missing(
    monkeypatch: pytest.MonkeyPatch, broken: dict[str, Path]
) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(NotAPhotoError, match="pillow_heif is not installed") as refusal:
        open_photo(broken["heic.heic"])
    assert "kennel-ml[heic]" in refusal.value.fix


def test_only_formats_that_are_asked_for_are_read(photos: dict[str, Path]) -> None:
    path = photos["exif_1.jpg"]
    assert open_photo(path, formats=("JPEG", "PNG")).size == open_photo(path).size
    with pytest.raises(NotAPhotoError, match="those of PNG or GIF"):
        open_photo(path, formats=("PNG", "GIF"))


def test_bytes_without_a_name_are_called_the_photo(broken: dict[str, Path]) -> None:
    with pytest.raises(PhotoError, match=r"^the photo is empty"):
        open_photo(b"")
    with pytest.raises(PhotoTooLargeError, match=r"^the photo is 12000 x 12000 pixels"):
        open_photo(broken["bomb.png"].read_bytes())


def test_limit_counts_pixels_before_decoding(photos: dict[str, Path]) -> None:
    pixels = 96 * 70
    open_photo(photos["exif_1.jpg"], max_pixels=pixels)
    with pytest.raises(PhotoTooLargeError):
        open_photo(photos["exif_1.jpg"], max_pixels=pixels - 1)
    assert MAX_PIXELS >= 50_000_000  # a phone's own photos are read


def test_nothing_of_pillow_or_the_warnings_is_changed(broken: dict[str, Path]) -> None:
    before = (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        filters = list(warnings.filters)
        for path in broken.values():
            with pytest.raises(PhotoError):
                open_photo(path)
        assert filters == list(warnings.filters)
    assert not any(issubclass(w.category, Image.DecompressionBombWarning) for w in seen)
    assert before == (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES)
    assert not ImageFile.LOAD_TRUNCATED_IMAGES


@given(
    name=st.sampled_from(["exif_6.jpg", "palette_alpha.png", "animated.gif", "alpha.webp"])
    | st.sampled_from(["tiff_lzw.tif", "bmp.bmp", "ycck_adobe.jpg", "exif_8.tif"]),
    flips=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=6),
    kept=st.floats(0.2, 1),
)
@settings(max_examples=100, deadline=None)
@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
def test_damaged_bytes_give_a_photo_or_a_refusal_never_another_error(
    photos: dict[str, Path], name: str, flips: list[tuple[float, int]], kept: float
) -> None:
    data = bytearray(photos[name].read_bytes())
    for at, value in flips:
        data[int(at * at * (len(data) - 1))] = value  # headers are hit most
    try:
        array = read_photo(bytes(data[: int(kept * len(data))]), replace(PLAIN, size=8))
    except PhotoError as refusal:
        assert refusal.fix  # noqa: PT017 - some damage is harmless
    else:
        assert array.shape == (3, 8, 8)


def test_kept_share_is_what_the_crop_leaves() -> None:
    assert kept_share(400, 200, replace(PLAIN, crop=1.0)) == pytest.approx(0.5)
    assert kept_share(500, 375, PLAIN) == pytest.approx(0.75 * 0.875**2)
    assert kept_share(400, 200, replace(PLAIN, resize="letterbox")) == 1.0
    assert kept_share(400, 200, replace(PLAIN, resize="squash")) == 1.0


def test_description_names_every_step_in_one_line() -> None:
    assert describe(IMAGENET) == (
        "upright, RGB, transparency over rgb(128, 128, 128), short side to 256 (bicubic, "
        "antialiased), centre 224 x 224, 0..1, mean 0.485, 0.456, 0.406, std 0.229, 0.224, 0.225, "
        "float32 NCHW"
    )
    assert "bars of rgb(128, 30, 200)" in describe(replace(PLAIN, resize="letterbox"))
    assert "bent to 224 x 224 (lanczos" in describe(
        replace(PLAIN, resize="squash", filter="lanczos")
    )


def test_suffixes_are_lower_case_and_sorted() -> None:
    assert list(PHOTO_SUFFIXES) == sorted(s.lower() for s in PHOTO_SUFFIXES)
    assert {".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tiff"} <= set(PHOTO_SUFFIXES)


# The reference: whole decode, then one weighted sum an output row and column, all in float64.


def _upright_pixels(path: Path) -> NDArray[np.generic]:
    """[h, w, 3] of 0..255, by Pillow and float64, rounded to 8 bits as an RGB picture is."""
    with Image.open(path) as opened:
        image = ImageOps.exif_transpose(opened)
    if image.mode in ("I", "I;16"):
        grey = np.asarray(image).astype(np.float64) / 65535 * 255
        return np.rint(np.repeat(grey[..., None], 3, axis=2))
    if not image.has_transparency_data:
        return np.asarray(image.convert("RGB"))
    rgba = np.asarray(image.convert("RGBA")).astype(np.float64)
    alpha = rgba[..., 3:] / 255
    return np.rint(rgba[..., :3] * alpha + np.array(FILL) * (1 - alpha))


def _reference(pixels: NDArray[np.generic], preprocess: Preprocess) -> NDArray[np.float64]:
    (height, width), size = pixels.shape[:2], preprocess.size
    if preprocess.resize == "squash":
        return _convolved(pixels, (0, width), (0, height), (size, size), preprocess.filter)
    if preprocess.resize == "crop":
        half = min(width, height) * size / math.floor(size / preprocess.crop + 0.5) / 2
        across, down = (width / 2 - half, width / 2 + half), (height / 2 - half, height / 2 + half)
        return _convolved(pixels, across, down, (size, size), preprocess.filter)
    long = max(width, height)
    inner = tuple(max(1, math.floor(size * side / long + 0.5)) for side in (width, height))
    x, y = (size - inner[0]) // 2, (size - inner[1]) // 2
    out = np.full((size, size, 3), FILL, np.float64)
    out[y : y + inner[1], x : x + inner[0]] = _convolved(
        pixels, (0, width), (0, height), inner, preprocess.filter
    )
    return out


def _convolved(
    pixels: NDArray[np.generic],
    across: tuple[float, float],
    down: tuple[float, float],
    size: tuple[int, int],
    kernel: str,
) -> NDArray[np.float64]:
    if pixels.shape[0] > size[1]:  # the cheaper pass first; in float64 the order does not matter
        narrow = _along_rows(pixels, down, size[1], kernel)
        wide = _along_rows(narrow.swapaxes(0, 1), across, size[0], kernel).swapaxes(0, 1)
        return np.clip(wide, 0, 255)
    narrow = _along_rows(pixels.swapaxes(0, 1), across, size[0], kernel).swapaxes(0, 1)
    return np.clip(_along_rows(narrow, down, size[1], kernel), 0, 255)


def _along_rows(
    pixels: NDArray[np.generic], span: tuple[float, float], size: int, kernel: str
) -> NDArray[np.float64]:
    support = {"bilinear": 1, "bicubic": 2, "lanczos": 3}[kernel]
    scale = (span[1] - span[0]) / size
    widened = max(scale, 1.0)
    out = np.empty((size, *pixels.shape[1:]))
    for row in range(size):
        centre = span[0] + (row + 0.5) * scale
        first = max(int(centre - support * widened + 0.5), 0)
        last = min(int(centre + support * widened + 0.5), len(pixels))
        weights = _kernel(kernel, (np.arange(first, last) + 0.5 - centre) / widened)
        out[row] = np.tensordot(weights / weights.sum(), pixels[first:last], axes=1)
    return out


def _kernel(name: str, x: NDArray[np.float64]) -> NDArray[np.float64]:
    if name == "lanczos":
        return np.where(np.abs(x) < 3, np.sinc(x) * np.sinc(x / 3), 0)
    x = np.abs(x)
    if name == "bilinear":
        return np.maximum(1 - x, 0)
    near, far = 1.5 * x**3 - 2.5 * x**2 + 1, -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return np.where(x < 1, near, np.where(x < 2, far, 0))


def _jpeg(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG")
    return file.getvalue()


def _peak_mib() -> float:
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024
