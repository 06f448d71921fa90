"""How the page looks: Kennel's colours, light and dark, in the type of the system."""

from __future__ import annotations

import gradio as gr
from gradio.themes.utils import colors

from kennel.look import DARK_PAPER, INK, PAPER, mix
from kennel.page import DARK, LIGHT

# As dark as words on the accent need.
ON_ACCENT = "#FFFFFF"


def theme() -> gr.themes.Base:
    """Gradio's plainest theme, in Kennel's colours. No font is loaded from anywhere."""
    dress = gr.themes.Base(
        primary_hue=_hue(LIGHT["accent"], "chestnut"),
        secondary_hue=_hue(LIGHT["accent"], "chestnut"),
        neutral_hue=_hue(LIGHT["quiet"], "paper"),
        font=("system-ui", "sans-serif"),
        font_mono=("ui-monospace", "monospace"),
        radius_size=gr.themes.sizes.radius_md,
    )
    pairs = {
        "body_background_fill": ("paper", "paper"),
        "background_fill_primary": ("paper", "paper"),
        "background_fill_secondary": ("paper", "paper"),
        "block_background_fill": ("paper", "paper"),
        "input_background_fill": ("paper", "paper"),
        "input_placeholder_color": ("quiet", "quiet"),
        "body_text_color": ("ink", "ink"),
        "body_text_color_subdued": ("quiet", "quiet"),
        "block_label_text_color": ("quiet", "quiet"),
        "block_label_background_fill": ("paper", "paper"),
        "block_title_text_color": ("ink", "ink"),
        "block_info_text_color": ("quiet", "quiet"),
        "border_color_primary": ("line", "line"),
        "block_border_color": ("line", "line"),
        "input_border_color": ("line", "line"),
        "border_color_accent": ("accent", "accent"),
        "link_text_color": ("accent", "accent"),
        "link_text_color_hover": ("accent", "accent"),
        "slider_color": ("accent", "accent"),
        "loader_color": ("accent", "accent"),
        "table_text_color": ("ink", "ink"),
        "table_border_color": ("line", "line"),
        "table_even_background_fill": ("paper", "paper"),
        "table_odd_background_fill": ("paper", "paper"),
        "button_secondary_text_color": ("ink", "ink"),
        "button_secondary_text_color_hover": ("ink", "ink"),
    }
    values: dict[str, str] = {"color_accent": "*primary_500"}
    for name, (light, dark) in pairs.items():
        values |= {name: LIGHT[light], f"{name}_dark": DARK[dark]}
    buttons = {
        "button_primary_background_fill": LIGHT["accent"],
        "button_primary_background_fill_hover": mix(LIGHT["accent"], INK, 0.2),
        "button_primary_text_color": ON_ACCENT,
    }
    for name, value in buttons.items():
        values |= {name: value, f"{name}_dark": value}
    for name, share in (("fill", 0.04), ("fill_hover", 0.1)):
        key = f"button_secondary_background_{name}"
        values |= {
            key: mix(PAPER, INK, share),
            f"{key}_dark": mix(DARK_PAPER, DARK["ink"], 2 * share),
        }
    values |= {"block_shadow": "none", "block_label_shadow": "none", "block_border_width": "1px"}
    dress.set(**values)
    return dress


def css() -> str:
    """What the page's own parts need: the answer, its bars, the two pictures of "why"."""
    light = "; ".join(f"--k-{name}: {value}" for name, value in LIGHT.items())
    dark = "; ".join(f"--k-{name}: {value}" for name, value in DARK.items())
    return f":root {{ {light}; }}\n.dark {{ {dark}; }}\n{_CSS}"


def _hue(colour: str, name: str) -> colors.Color:
    """Gradio's eleven steps of a colour, from near paper to near ink."""
    lighter = [mix(colour, PAPER, share) for share in (0.95, 0.88, 0.75, 0.55, 0.25)]
    darker = [mix(colour, INK, share) for share in (0.15, 0.3, 0.5, 0.7, 0.85)]
    c50, c100, c200, c300, c400 = lighter
    c600, c700, c800, c900, c950 = darker
    return colors.Color(c50, c100, c200, c300, c400, colour, c600, c700, c800, c900, c950, name)


_CSS = """
.gradio-container { max-width: 1100px !important; margin: 0 auto !important;
  font-variant-numeric: tabular-nums; }
.k-head h1 { font-size: 28px; line-height: 1.2; margin: 8px 0; color: var(--k-ink); }
.k-head p, .k-answer p { max-width: 70ch; margin: 8px 0; line-height: 1.5; }
.k-quiet, .k-notes { color: var(--k-quiet); font-size: 14px; }
.k-answer { color: var(--k-ink); padding: 8px 0; overflow-wrap: anywhere; }
.k-answer h2 { font-size: 36px; line-height: 1.2; font-weight: 600; margin: 0 0 16px; }
.k-bars { list-style: none; margin: 0; padding: 0; }
.k-bars li { display: grid; grid-template-columns: 1fr auto; gap: 4px 16px; margin: 0 0 16px; }
.k-bars li:first-child { font-weight: 600; }
.k-track { grid-column: 1 / -1; height: 4px; background: var(--k-line); border-radius: 8px;
  overflow: hidden; }
.k-bars li:first-child .k-track { height: 16px; }
.k-fill { display: block; height: 100%; background: var(--k-accent); }
.k-pair { display: flex; flex-wrap: wrap; gap: 16px; margin: 16px 0; }
.k-pair figure { margin: 0; flex: 1 1 280px; max-width: 448px; }
.k-pair img { width: 100%; border-radius: 8px; display: block; }
.k-pair figcaption { color: var(--k-quiet); font-size: 14px; margin-top: 4px; }
.k-table td, .k-table th, .k-table span { font-family: var(--font) !important; }
.k-notes { margin: 8px 0 0; padding-left: 20px; list-style: disc; }
"""
