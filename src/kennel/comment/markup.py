"""Markdown as GitHub reads it, in which words of a stranger can do nothing.

Neither a backslash nor an entity keeps GitHub from calling a person named after an `@`, from
linking `#1`, or from making a link of an address: that is done after Markdown was read. Only inside
of code it is not. So words that could mean anything stand in code, and only plain ones as they are.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable, Sequence

LONGEST = 60  # characters of a name or value that are shown
# Letters and figures of any script, one blank, hyphen or apostrophe between them. No such word is a
# link, a mention, an HTML tag, or anything to Markdown.
PLAIN = re.compile(r"[^\W_]+(?:[ '’-][^\W_]+)*")
# But these are linked: GH-1 and other prefixes with a number, and what may be a commit.
LINKED = re.compile(r"[^\W_]-\d|\b(?=\w*\d)[0-9a-f]{7,40}\b", re.IGNORECASE)


def words(said: str) -> str:
    """A stranger's words on one line: as they are where they are plain, else as code."""
    shown = shortened(visible(said))
    return shown if PLAIN.fullmatch(shown) and not LINKED.search(shown) else code(said)


def code(said: str) -> str:
    """A stranger's words as code on one line, whatever they hold."""
    shown = shortened(visible(said))
    if not shown:
        return "(empty)"
    fence = "`" * (max((len(run) for run in re.findall("`+", shown)), default=0) + 1)
    pad = " " if shown[0] in "` " or shown[-1] in "` " else ""
    return f"{fence}{pad}{shown}{pad}{fence}"


def visible(said: str) -> str:
    """The words on one line, with what cannot be seen, or turns what is seen around, spelled."""
    told = (
        f"\\u{ord(letter):04x}"
        if unicodedata.category(letter) in ("Cc", "Cf", "Cs", "Co", "Cn")
        else letter
        for letter in " ".join(said.split())
    )
    return "".join(told)


def shortened(said: str) -> str:
    return said if len(said) <= LONGEST else said[: LONGEST - 1].rstrip() + "…"


def table(
    head: Sequence[str], rows: Iterable[Sequence[str]], *, right: Collection[int] = ()
) -> str:
    """A table.

    Args:
        head: of each column; "" where it speaks for itself.
        rows: as many cells each.
        right: columns of numbers, counted from 0.
    """
    rule = ["---:" if at in right else "---" for at in range(len(head))]
    lines = [_row(head), _row(rule), *(_row(cells) for cells in rows)]
    return "\n".join(lines)


def folded(title: str, body: str) -> str:
    """Words that are seen when asked for. `title` has no stranger's words in it."""
    return f"<details><summary>{title}</summary>\n\n{body}\n\n</details>"


def _row(cells: Sequence[str]) -> str:
    # A backslash before a pipe would escape the backslash that escapes the pipe; the blank is not a
    # letter that cannot be seen, as who passes this text on may take those out.
    safe = (re.sub(r"\\(?=\|)", r"\\ ", each) for each in cells)
    return "| " + " | ".join(each.replace("|", "\\|") for each in safe) + " |"
