"""The model card of a bundle that may come from a stranger: its words, and nothing that acts."""

from __future__ import annotations

import re

from kennel.bundle import Bundle
from kennel.card import CARD
from kennel.images import describe
from kennel.look import in_words

MOST_BYTES = 256 << 10
_FRONT_MATTER = re.compile(r"\A---\n.*?\n---\n", re.DOTALL)
# By character references, which Markdown takes for text wherever they stand: no tag, no picture
# (each would be asked for by the browser, from whom it pleases), no link but a bare address.
_HARMLESS = {"<": "&lt;", "!": "&#33;", "[": "&#91;", "]": "&#93;", "$": "&#36;"}
_MARKS = re.compile(r"\\?([<!\[\]$])")  # with the backslash that a careful card puts before one
_PICTURE = re.compile(r"!\[([^\]\n]*)\]\([^)\n]*\)")


def card(bundle: Bundle) -> str:
    """The card as Markdown that shows text, tables, headings and bare addresses only.

    A bundle without one says of itself what stands in bundle.json.

    Raises:
        BundleError: the card is not the one that was exported.
    """
    if CARD not in bundle.files:
        return harmless(_facts(bundle))
    content = bundle.read(CARD)
    text = content[:MOST_BYTES].decode(errors="replace").replace("\r\n", "\n")
    more = "\n\n(cut off here)" if len(content) > MOST_BYTES else ""
    return harmless(_FRONT_MATTER.sub("", text)) + more


def harmless(markdown: str) -> str:
    """Markdown without tags, pictures, formulas, and links under other words; their words stay."""
    text = _PICTURE.sub(r"(picture: \1)", markdown)
    return _MARKS.sub(lambda found: _HARMLESS[found[1]], text)


def _facts(bundle: Bundle) -> str:
    labels = ", ".join(in_words(label) for label in bundle.labels)
    return (
        f"# {in_words(bundle.bundle_id)}\n\nThis bundle brings no model card. Its bundle.json "
        f"says:\n\n- {len(bundle.labels)} labels: {labels}\n"
        f"- what it sees: {describe(bundle.preprocess)}\n"
        f"- exported {bundle.lineage.created_utc} from run {bundle.lineage.run_id}\n"
    )
