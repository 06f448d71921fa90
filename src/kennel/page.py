"""What all pages of Kennel have in common: one file without a network, its colours, its photos.

A page extends `page.html.j2`. Nothing is loaded and no script runs but the one whose hash stands in
the page's own policy. Names of files and labels are data there, whatever they hold.
"""

from __future__ import annotations

import base64
import hashlib
import io
import re
from collections.abc import Callable, Mapping
from importlib.resources import files
from typing import Any

import numpy as np
from PIL import Image

from kennel import look
from kennel.errors import PhotoError, need
from kennel.images import open_photo

HEIGHT, WIDEST = 150, 300  # pixels of a thumbnail
QUALITY = 72

LIGHT = {
    "paper": look.PAPER,
    "ink": look.INK,
    "quiet": look.QUIET_INK,
    "line": look.LINE,
    "accent": look.ACCENT,
    "good": look.GOOD,
    "doubtful": "#8A5A12",  # look.DOUBTFUL is 3.4:1 on paper, too little for words
    "bad": look.BAD,
    "one": look.OKABE_ITO[4],
    "two": look.OKABE_ITO[5],
}
DARK = {
    "paper": look.DARK_PAPER,
    "ink": look.DARK_INK,
    # The same hues, as far towards the ink as words need on the dark paper.
    "quiet": look.mix(look.DARK_PAPER, look.DARK_INK, 0.65),
    "line": look.mix(look.DARK_PAPER, look.DARK_INK, 0.16),
    "accent": look.mix(look.ACCENT, look.DARK_INK, 0.35),
    "good": look.mix(look.GOOD, look.DARK_INK, 0.4),
    "doubtful": look.mix(look.DOUBTFUL, look.DARK_INK, 0.2),
    "bad": look.mix(look.BAD, look.DARK_INK, 0.4),
    "one": look.OKABE_ITO[1],
    "two": look.OKABE_ITO[0],
}


def need_jinja() -> None:
    """Raises:
    MissingExtraError: no page can be made.
    """
    need("jinja2", extra="train")


def render(template: str, values: Mapping[str, Any], *, script: str = "") -> str:
    """A page.

    Args:
        template: below the package, such as "audit/page.html.j2"; it extends "page.html.j2".
        values: what the template shows.
        script: the one script that may run there.
    """
    jinja2 = need("jinja2", extra="train")
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_source),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {"breakable": _breakable, "whole_options": _whole_options}
    markup = need("markupsafe", extra="train").Markup
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    page: str = environment.get_template(template).render(
        **values,
        light=LIGHT,
        dark=DARK,
        height=HEIGHT,
        in_words=look.in_words,
        script=markup(script),
        scripts=markup(f"; script-src 'sha256-{digest}'") if script else "",
    )
    return page


def thumbnail(
    read: Callable[[], bytes], *, height: int = HEIGHT, widest: int = WIDEST, quality: int = QUALITY
) -> str:
    """A photo as a data URI, "" where it went away or can no longer be read."""
    try:
        image = open_photo(read(), at_least=height)
    except (OSError, PhotoError):
        return ""
    scale = min(height / image.height, widest / image.width)
    if scale < 1:
        size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
        image = image.resize(size, Image.Resampling.BICUBIC, reducing_gap=3.0)
    return data_uri(image, quality=quality)


def picture(pixels: np.ndarray, *, quality: int = QUALITY) -> str:  # UInt8[H, W, 3]
    """Pixels as a data URI."""
    return data_uri(Image.fromarray(pixels), quality=quality)


def data_uri(image: Image.Image, *, quality: int = QUALITY) -> str:
    """A picture of mode RGB as a data URI."""
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode("ascii")


def _source(name: str) -> str:
    return files("kennel").joinpath(name).read_text(encoding="utf-8")


def _breakable(path: str) -> Any:
    """A path that may break after a slash or an underscore; all else is escaped."""
    markup = need("markupsafe", extra="train")
    text: str = str(markup.escape(path))
    return markup.Markup(text.replace("/", "/<wbr>").replace("_", "_<wbr>"))


def _whole_options(text: str) -> Any:
    """Words in which no --option is broken; all else is escaped."""
    markup = need("markupsafe", extra="train")
    escaped = str(markup.escape(text))
    return markup.Markup(re.sub(r"(--[a-z]+)", r'<span class="whole">\1</span>', escaped))
