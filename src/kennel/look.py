"""The one look of all that Kennel draws: its colours, and what keeps them readable. Stdlib only."""

from __future__ import annotations

PAPER = "#FAF7F2"
INK = "#1F1B16"
DARK_PAPER = "#171411"
DARK_INK = "#EDE6DC"
ACCENT = "#B4532A"  # chestnut, the only one
LINE = "#E4DCD0"
QUIET_INK = "#6B645B"  # for what stands beside a number: 5.5:1 on paper
GOOD = "#2F7D5B"
DOUBTFUL = "#B7791F"
BAD = "#A33A3A"

# Told apart with any common colour blindness.
# Source: M. Okabe and K. Ito, "Color Universal Design", 2008.
OKABE_ITO = (
    "#E69F00",
    "#56B4E9",
    "#009E73",
    "#F0E442",
    "#0072B2",
    "#D55E00",
    "#CC79A7",
    "#000000",
)

READABLE = 4.5  # least contrast of text on its ground, WCAG 2.2 level AA


def rgb(colour: str) -> tuple[int, int, int]:
    """Red, green and blue of "#RRGGBB", each 0..255."""
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def mix(ground: str, colour: str, share: float) -> str:
    """What shows when `share` (0..1) of `colour` lies on `ground`."""
    pairs = zip(rgb(ground), rgb(colour), strict=True)
    return "#" + "".join(f"{round(low + (high - low) * share):02X}" for low, high in pairs)


def contrast(one: str, other: str) -> float:
    """Contrast of two colours, 1 (none) to 21 (black on white).

    Source: WCAG 2.2, definitions of contrast ratio and relative luminance.
    """
    dark, light = sorted((_luminance(one), _luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def text_on(ground: str) -> str:
    """Colour of readable text on `ground`: ink or paper; black or white where neither is."""
    for colour in (INK, PAPER):
        if contrast(colour, ground) >= READABLE:
            return colour
    return max(("#000000", "#FFFFFF"), key=lambda colour: contrast(colour, ground))


def in_words(label: str) -> str:
    """A label as people read it: folders have underscores where words have spaces."""
    return " ".join(label.replace("_", " ").split())


def _luminance(colour: str) -> float:
    red, green, blue = (
        value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4
        for value in (channel / 255 for channel in rgb(colour))
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
