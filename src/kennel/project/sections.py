"""A file of this repository -> the same file in a project of one's own. Four rules, no others:

1. What stands between `# <kennel>` and `# </kennel>` is for Kennel's own development: left out.
2. What stands between `# <project>` and `# </project>` is for a project: each of its lines begins
   with `#| `, which is taken away. So it is a comment here.
3. What stands between `# <drawn>` and `# </drawn>` is left out where a project has photos, and
   <photos> where Kennel draws some.

4. In a page, a link to a file that the project does not have is its text alone.

The lines of the marks themselves are left out. `//` may stand for `#`, and in a page an HTML
comment; there a line, such as a row of a table, may end in `<!-- kennel -->` instead. In lines of
rule 2, and in files that only projects have, `@name@` is replaced by what a project calls so.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import PurePosixPath

SECTIONS = ("kennel", "project", "drawn", "photos")
MARK = re.compile(r"\s*(?:#|//|<!--) <(/?)([a-z]+)>(?: -->)?\s*")
ROW = "<!-- kennel -->"  # ends a line of a page, such as a table's, which is for Kennel alone
COMMENTED = re.compile(r"(\s*)(?:#|//)\| ?(.*)", re.DOTALL)
LINK = re.compile(r"\[([^\]]+)\]\((?![a-z]+:|#)([^)\s#]+)[^)\s]*\)")
PLACE = re.compile(r"@([a-z_]+)@")


def for_a_project(text: str, *, leave_out: Collection[str], values: Mapping[str, str]) -> str:
    """What a file of this repository is in a project.

    Args:
        text: the file.
        leave_out: sections that go: "kennel", and "drawn" or "photos".
        values: what stands for `@name@`.
    Raises:
        ValueError: a mark that opens nothing, closes nothing, or is unknown; a line of a section
            <project> that is no comment; a name without a value.
    """
    return "".join(_lines(text, leave_out, values))


def with_links(text: str, *, page: str, there: Collection[str]) -> str:
    """A page whose links lead somewhere.

    Args:
        page: its path in the project.
        there: paths of the project's files.
    """
    folders = {str(above) for path in there for above in PurePosixPath(path).parents}

    def link(found: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(page), found[2]))
        return found[0] if target in folders or target in there else found[1]

    return LINK.sub(link, text)


def filled_in(text: str, values: Mapping[str, str]) -> str:
    """A text with a value for each `@name@` in it.

    Raises:
        ValueError: a name without a value.
    """

    def value(found: re.Match[str]) -> str:
        if found[1] not in values:
            raise ValueError(f"{found[0]} has no value; there are {', '.join(sorted(values))}")
        return values[found[1]]

    return PLACE.sub(value, text)


def _lines(text: str, leave_out: Collection[str], values: Mapping[str, str]) -> Iterator[str]:
    inside: str | None = None
    for number, line in enumerate(text.splitlines(keepends=True), start=1):
        mark = MARK.fullmatch(line)
        if mark:
            inside = _section(mark, inside, number)
        elif inside == "project":
            commented = COMMENTED.fullmatch(line)
            if not commented:
                raise ValueError(f"line {number} of a section <project> does not begin with #|")
            yield filled_in(commented[1] + commented[2], values)
        elif inside not in leave_out and not line.rstrip().endswith(ROW):
            yield line
    if inside is not None:
        raise ValueError(f"<{inside}> is not closed")


def _section(mark: re.Match[str], inside: str | None, number: int) -> str | None:
    """Where a line stands after a mark."""
    closing, name = mark[1] == "/", mark[2]
    if name not in SECTIONS:
        raise ValueError(f"line {number}: there is no section <{name}>")
    if inside != (name if closing else None):
        raise ValueError(f"line {number}: {mark[0].strip()} within {inside and f'<{inside}>'}")
    return None if closing else name
