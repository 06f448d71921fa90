"""The page of an audit: one HTML file that needs nothing else, with photos side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from kennel.audit.document import Audit
from kennel.audit.findings import Finding
from kennel.audit.kinds import KINDS, SEVERITIES, Severity
from kennel.audit.measures import LOOKED_AT
from kennel.page import render as render_page
from kennel.page import thumbnail

TEMPLATE = "audit/page.html.j2"
# Photos shown of a kind, by severity; some 7 KB each. The page stays under 4 MB.
MOST_PHOTOS: dict[Severity, int] = {"error": 48, "warning": 30, "note": 12}
MOST_SIDE_BY_SIDE = 4  # of one finding
ONE_IS_ENOUGH = ("wrong_label",)  # the other files are copies of the first
MOST_FINDINGS_WITHOUT_PHOTOS = 40


@dataclass(frozen=True)
class Shown:
    """A photo on the page. `src` is a data URI, or "" where it cannot be shown."""

    path: str
    label: str
    split: str
    src: str
    size: str
    fate: str  # "", "kept" or "removed"


@dataclass(frozen=True)
class Row:
    """A finding on the page."""

    detail: str
    photos: tuple[Shown, ...]
    more: int  # of its files that are not shown


@dataclass(frozen=True)
class Section:
    """A kind of finding on the page."""

    name: str
    severity: Severity
    title: str
    means: str
    to_do: str
    count: int
    files: int
    rows: tuple[Row, ...]
    more: int  # findings that are not shown
    wall: bool  # one photo a finding


def render(audit: Audit) -> str:
    """The page. Names of files and labels are data there, whatever they hold."""
    return render_page(TEMPLATE, _values(audit))


def _values(audit: Audit) -> dict[str, Any]:
    camera = _Camera(audit)
    sections = [_section(audit, camera, *kind) for kind in audit.kinds()]
    readable = sum(map(len, audit.pictures.rows.values()))
    exact, near = readable - audit.pictures.contents, audit.pictures.contents - audit.distinct
    parts = (audit.distinct, exact, near, audit.files - readable)
    return {
        "audit": audit,
        "name": audit.subject.photos_dir.name,
        "sections": sections,
        "severities": SEVERITIES,
        "number": {s: sum(f.severity == s for f in audit.findings) for s in SEVERITIES},
        "readable": readable,
        "exact": exact,
        "near": near,
        "distinct": audit.pictures.contents,
        "shares": [n / audit.files for n in parts],
        "random_leak": bool(audit.of_kind("random_leak")),
        "index": audit.subject.index,
        "looked_at": LOOKED_AT,
    }


def _section(
    audit: Audit, camera: _Camera, name: str, severity: Severity, some: Sequence[Finding]
) -> Section:
    kind = KINDS[name]
    rows: list[Row] = []
    room = MOST_PHOTOS[severity]
    for finding in some:
        paths = finding.paths[: 1 if name in ONE_IS_ENOUGH else MOST_SIDE_BY_SIDE]
        if len(paths) > room or (not paths and len(rows) >= MOST_FINDINGS_WITHOUT_PHOTOS):
            break
        room -= len(paths)
        shown = tuple(camera.take(path, finding) for path in paths)
        rows.append(Row(finding.detail, shown, len(finding.paths) - len(paths)))
    return Section(
        name,
        severity,
        kind.title,
        kind.means,
        kind.to_do,
        count=len(some),
        files=len({path for finding in some for path in finding.paths}),
        rows=tuple(rows),
        more=len(some) - len(rows),
        wall=name in ONE_IS_ENOUGH or all(len(finding.paths) == 1 for finding in some),
    )


class _Camera:
    """Takes thumbnails, each picture once."""

    def __init__(self, audit: Audit) -> None:
        self._audit = audit
        self._places = {photo.path: at for at, photo in enumerate(audit.subject.photos)}
        self._taken: dict[str, str] = {}

    def take(self, path: str, finding: Finding) -> Shown:
        """A photo as the page shows it."""
        at = self._places.get(path)
        if at is None:
            return Shown(path, "", "", "", "", "")
        subject, measures = self._audit.subject, self._audit.measures
        photo, key = subject.photos[at], measures.sha256[at]
        width, height = (int(side) for side in measures.size[at])
        if width and key not in self._taken:
            self._taken[key] = thumbnail(subject.file(photo).read_bytes)
        removed = self._audit.removed.get(path)
        fate = "" if not self._audit.removed else "removed" if removed else "kept"
        if not removed and (len(finding.paths) == 1 or finding.kind in ONE_IS_ENOUGH):
            fate = ""
        size = f"{width} x {height}" if width else ""
        return Shown(path, photo.label, photo.split, self._taken.get(key, ""), size, fate)
