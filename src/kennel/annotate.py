"""Photos with their answers under them, for `kennel predict --to` and for runs that show where they
are wrong. Pillow only; lengths in pixels.
"""

from __future__ import annotations

import unicodedata
from bisect import bisect_left
from collections.abc import Callable, Sequence
from functools import lru_cache, partial

from PIL import Image, ImageDraw, ImageFont

from kennel.look import ACCENT, INK, LINE, PAPER, QUIET_INK, in_words

NOT_KNOWN = "Not one I know"
PHOTO_HEIGHT = 480
WIDEST_PHOTO = 2400  # wider than five to one a photo keeps its shape and becomes less high
NARROWEST_PANEL = 360
WIDEST_COLUMN = 640  # of words and bars: under a panorama label and number stay together
SHOWN = 3  # answers, the first in large
CELL, SHEET_COLUMNS = 224, 4  # of a sheet

MARGIN = 24
LARGE, MIDDLE, SMALL, SMALLEST = 36, 22, 18, 14  # type
LARGE_AT_LEAST = 24
MOST_LINES = 3
BAR, THIN_BAR = 16, 4
BAR_ROW, ROW = 40, 48
GAP = 8

# Pillow's own font has the letters of ASCII alone; these know more, where the machine has them.
WIDER_FONTS = (
    "DejaVuSans.ttf",
    "NotoSans-Regular.ttf",
    "NotoSansCJK-Regular.ttc",
    "Arial Unicode.ttf",
    "arial.ttf",
)

_Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
_FontOfSize = Callable[[int], _Font]


def annotate(
    photo: Image.Image, *, top: Sequence[tuple[str, float]], known: bool, bundle_id: str
) -> Image.Image:
    """A photo on paper, 480 pixels high and never stretched, above a panel with its answer.

    Where the answer is known: the label in large, its probability as a bar, the next two smaller.
    Where it is not, "Not one I know" stands in the same place and size, and below it the nearest
    label as a hint without a number. The panel is as high for both.

    Args:
        photo: upright, mode RGB, as `kennel.images.open_photo` gives it; it is not changed.
        top: labels and probabilities (0..1), best first; three are shown.
        known: whether the photo is of a label that the model knows.
        bundle_id: of the bundle that gave the answer.
    Returns:
        A picture of mode RGB.
    Raises:
        ValueError: top is empty.
    """
    if not top:
        raise ValueError("top is empty; it must name at least one label")
    photo = _scaled(photo)
    width = max(photo.width, NARROWEST_PANEL)
    column = min(width - 2 * MARGIN, WIDEST_COLUMN)
    title, size = _set(in_words(top[0][0]) if known else NOT_KNOWN, column)
    rest = top[1:SHOWN]
    title_end = photo.height + MARGIN + LARGE + _leading(size) * (len(title) - 1)
    rest_start = title_end + BAR_ROW
    height = rest_start + ROW * len(rest) + MARGIN + MARGIN

    picture = Image.new("RGB", (width, height), PAPER)
    picture.paste(photo, ((width - photo.width) // 2, 0))
    panel = _Panel(picture, column)
    for index, line in enumerate(reversed(title)):
        panel.write(line, title_end - GAP - _leading(size) * index, size=size)
    if known:
        panel.bar(top[0][1], rest_start - GAP, thickness=BAR, right=_percent_room())
        panel.write_right(_percent(top[0][1]), rest_start - GAP, size=MIDDLE)
        for index, (label, probability) in enumerate(rest):
            end = rest_start + ROW * (index + 1)
            panel.bar(probability, end - GAP, thickness=THIN_BAR)
            base = end - 2 * GAP - THIN_BAR
            panel.write_right(_percent(probability), base, size=SMALL, colour=QUIET_INK)
            panel.write(in_words(label), base, size=SMALL, right=_percent_room())
    else:
        hint = f"nearest: {in_words(top[0][0])}"
        panel.write(hint, rest_start - GAP - 1, size=SMALL, colour=QUIET_INK)
    panel.write(f"bundle {bundle_id}", height - MARGIN, size=SMALLEST, colour=QUIET_INK)
    return picture


def sheet(
    title: str, photos: Sequence[Image.Image], words: Sequence[tuple[str, str]]
) -> Image.Image:
    """Photos side by side on paper, of one height and never stretched, with two lines under each.

    Args:
        photos: at least one, mode RGB.
        words: as many: under each photo the first line in ink, the second quieter.
    Returns:
        A picture of mode RGB.
    """
    photos = [_fitted(photo) for photo in photos]
    columns = min(len(photos), SHEET_COLUMNS)
    rows = -(-len(photos) // columns)
    head = MARGIN + MIDDLE + MARGIN
    row = CELL + 2 * _leading(SMALL) + MARGIN
    width = max(MARGIN + columns * (CELL + MARGIN), 2 * CELL)
    picture = Image.new("RGB", (width, head + rows * row), PAPER)
    _Panel(picture, width - 2 * MARGIN).write(title, MARGIN + MIDDLE, size=MIDDLE)
    draw = ImageDraw.Draw(picture)
    for at, (photo, lines) in enumerate(zip(photos, words, strict=True)):
        left, top = MARGIN + at % columns * (CELL + MARGIN), head + at // columns * row
        picture.paste(photo, (left + (CELL - photo.width) // 2, top + CELL - photo.height))
        for line, (text, colour) in enumerate(zip(lines, (INK, QUIET_INK), strict=True)):
            font_of, said = _font_for(text)
            font, base = font_of(SMALLEST), top + CELL + GAP + SMALLEST + line * _leading(SMALL)
            draw.text((left, base), _cut(said, CELL, font), fill=colour, font=font, anchor="ls")
    return picture


class _Panel:
    """Writes and draws in one column of a picture; `y` is the base line, or a bar's lower edge."""

    def __init__(self, picture: Image.Image, column: int) -> None:
        self._picture = picture
        self._draw = ImageDraw.Draw(picture)
        self._column = column

    def write(self, words: str, y: int, *, size: int, colour: str = INK, right: int = 0) -> None:
        """`right` is room left free beside the words, which shrink and then end in dots to fit."""
        font_of, words = _font_for(words)
        room = self._column - right
        while size > SMALLEST and font_of(size).getlength(words) > room:
            size -= 1
        words = _cut(words, room, font_of(size))
        self._draw.text((MARGIN, y), words, fill=colour, font=font_of(size), anchor="ls")

    def write_right(self, words: str, y: int, *, size: int, colour: str = INK) -> None:
        font = _own_font(size)
        self._draw.text((MARGIN + self._column, y), words, fill=colour, font=font, anchor="rs")

    def bar(self, share: float, y: int, *, thickness: int, right: int = 0) -> None:
        """A bar of which `share` (0..1) is filled, on a quiet track."""
        width = self._column - right
        track = Image.new("L", (4 * width, 4 * thickness))
        ImageDraw.Draw(track).rounded_rectangle(
            (0, 0, 4 * width - 1, 4 * thickness - 1), radius=2 * thickness, fill=255
        )
        track = track.resize((width, thickness), Image.Resampling.LANCZOS)
        at = (MARGIN, y - thickness)
        self._picture.paste(LINE, (*at, at[0] + width, y), track)
        filled = round(width * share)
        if filled:
            part = track.crop((0, 0, filled, thickness))
            self._picture.paste(ACCENT, (*at, at[0] + filled, y), part)


def _scaled(photo: Image.Image) -> Image.Image:
    scale = min(PHOTO_HEIGHT / photo.height, WIDEST_PHOTO / photo.width)
    size = max(1, round(photo.width * scale)), max(1, round(photo.height * scale))
    return photo.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)


def _fitted(photo: Image.Image) -> Image.Image:
    scale = CELL / max(photo.size)
    size = max(1, round(photo.width * scale)), max(1, round(photo.height * scale))
    return photo.resize(size, Image.Resampling.LANCZOS)


def _percent(probability: float) -> str:
    return f"{100 * probability:.1f} %"


def _percent_room() -> int:
    return round(_own_font(MIDDLE).getlength(_percent(1))) + 2 * GAP


def _leading(size: int) -> int:
    return round(1.2 * size)


def _set(words: str, room: int) -> tuple[list[str], int]:
    """Lines and size of a title: one line while that keeps it large, then up to three."""
    font_of, words = _font_for(words)
    sizes = range(LARGE, LARGE_AT_LEAST - 1, -2)
    for most in range(1, MOST_LINES + 1):
        for size in sizes:
            lines = _lines(words, room, font_of(size))
            if len(lines) <= most and all(font_of(size).getlength(line) <= room for line in lines):
                return lines, size
    # A word wider than the panel, or a very long name.
    size = sizes[-1]
    lines = _lines(words, room, font_of(size))
    kept = [*lines[: MOST_LINES - 1], " ".join(lines[MOST_LINES - 1 :])]
    return [_cut(line, room, font_of(size)) for line in kept if line], size


def _lines(words: str, room: int, font: _Font) -> list[str]:
    lines: list[str] = []
    for word in words.split():
        if lines and font.getlength(f"{lines[-1]} {word}") <= room:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines


def _cut(words: str, room: int, font: _Font) -> str:
    if font.getlength(words) <= room:
        return words

    def too_wide(kept: int) -> bool:
        return font.getlength(f"{words[:kept]}...") > room

    kept = bisect_left(range(len(words)), True, key=too_wide)
    return f"{words[: max(kept - 1, 0)].rstrip()}..."


def _font_for(words: str) -> tuple[_FontOfSize, str]:
    """A font that has the letters of `words`, and the words as they can be set in it.

    Where no font at hand has them, accents are dropped; what is missing then shows as a box.
    """
    words = " ".join(words.encode(errors="replace").decode().split()) or "?"
    if _has_letters(_own_font(SMALL), words):
        return _own_font, words
    for name in WIDER_FONTS:
        font_of = partial(_found_font, name)
        if _has_letters(font_of(SMALL), words):
            return font_of, words
    plain = unicodedata.normalize("NFKD", words)
    return _own_font, "".join(c for c in plain if not unicodedata.combining(c))


@lru_cache
def _own_font(size: int) -> _Font:
    return ImageFont.load_default(size=size)


@lru_cache
def _found_font(name: str, size: int) -> _Font:
    """A font of the machine, or Pillow's own where there is none of that name."""
    try:
        return ImageFont.truetype(name, size)
    except OSError:
        return _own_font(size)


def _has_letters(font: _Font, words: str) -> bool:
    missing = bytes(font.getmask("\U0010fffd"))
    return all(bytes(font.getmask(c)) != missing for c in words if not c.isspace())
