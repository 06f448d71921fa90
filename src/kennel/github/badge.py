"""How much of the code the tests ran, as a picture on a branch of its own. No other service."""

from __future__ import annotations

import re
from pathlib import Path

from kennel.errors import UsageError
from kennel.github import Api, GithubError

BRANCH, FILE = "badges", "coverage.svg"
MOST_HEAD = 4096  # of the report, where its totals stand
COUNTS = ("lines-covered", "lines-valid", "branches-covered", "branches-valid")
# Good, doubtful and bad, as everywhere; the share is written besides.
STEPS = ((90.0, "#2F7D5B"), (75.0, "#9A6414"), (0.0, "#A33A3A"))
SVG = """\
<svg xmlns="http://www.w3.org/2000/svg" width="116" height="20" role="img" \
aria-label="coverage {words}">
  <title>coverage {words}: lines and branches that the tests ran</title>
  <rect width="116" height="20" rx="4" fill="#1F1B16"/>
  <path d="M66 0h46a4 4 0 0 1 4 4v12a4 4 0 0 1-4 4H66z" fill="{colour}"/>
  <g fill="#FAF7F2" font-family="system-ui,Verdana,sans-serif" font-size="11" text-anchor="middle">
    <text x="33" y="14">coverage</text>
    <text x="91" y="14">{words}</text>
  </g>
</svg>
"""


def covered(report: Path) -> float:
    """Share of lines and branches that ran, in per cent, of a coverage.xml.

    Raises:
        UsageError: it is no such report.
    """
    try:
        with report.open(encoding="utf-8") as file:
            head = file.read(MOST_HEAD)
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{report} cannot be read.", fix="write it: make test") from error
    root = re.search(r"<coverage\b[^>]*>", head)
    found = dict(re.findall(r'([a-z-]+)="(\d{1,9})"', root[0] if root else ""))
    if not all(name in found for name in COUNTS):
        raise UsageError(f"{report} has no totals of coverage.", fix="write it again: make test")
    lines, all_lines, branches, all_branches = (int(found[name]) for name in COUNTS)
    if not all_lines:
        raise UsageError(f"{report} is of no line of code.", fix="write it again: make test")
    return 100 * (lines + branches) / (all_lines + all_branches)


def badge(percent: float) -> str:
    """The picture, as SVG. The share is cut and not rounded: 99.97 is not 100."""
    colour = next(colour for least, colour in STEPS if percent >= least)
    return SVG.format(words=f"{int(percent * 10) / 10:.1f} %", colour=colour)


def put_badge(api: Api, picture: str, *, branch: str = BRANCH) -> str:
    """Makes that branch one commit that holds the picture alone.

    Returns:
        sha of the commit.
    """
    entry = {"path": FILE, "mode": "100644", "type": "blob", "content": picture}
    tree = api.of_repository("POST", "/git/trees", {"tree": [entry]})["sha"]
    message = {"message": "The badge of coverage", "tree": tree, "parents": []}
    commit = str(api.of_repository("POST", "/git/commits", message)["sha"])
    move = {"sha": commit, "force": True}
    try:
        api.of_repository("PATCH", f"/git/refs/heads/{branch}", move)
    except GithubError as error:
        if error.status not in (404, 422):  # there is no such branch yet
            raise
        new = {"ref": f"refs/heads/{branch}", "sha": commit}
        api.of_repository("POST", "/git/refs", new)
    return commit
