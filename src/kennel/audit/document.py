"""What an audit found, as one value, and as findings.csv and findings.json."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from kennel.audit.findings import Finding, LabelCheck, Thresholds
from kennel.audit.kinds import DEFAULT_REMOVED, KINDS, SEVERITIES, Severity, worst
from kennel.audit.measures import LOOKED_AT, Measures
from kennel.audit.pictures import Pictures
from kennel.audit.subject import Subject
from kennel.bundle import ResizeRule, replacing, write_json
from kennel.splits import FRACTIONS

SCHEMA_VERSION = 1
FINDINGS_CSV, FINDINGS_JSON, PAGE = "findings.csv", "findings.json", "index.html"
COLUMNS = ("finding", "severity", "kind", "path", "label", "split", "detail", "remove")


@dataclass(frozen=True)
class Audit:
    """What an audit found.

    Attributes:
        findings: worst first.
        removed: files an index would do better without, and the kind that decides, by path.
        remove: kinds that files are removed for.
        resize: the rule that lost area is judged by; `size` pixels, `crop` of the short side.
        lost: photos that each rule cuts to less than the threshold.
        seed: of the folds behind wrong labels.
        versions: of the libraries that took part.
    """

    subject: Subject
    measures: Measures
    pictures: Pictures
    findings: tuple[Finding, ...]
    labels: LabelCheck
    removed: Mapping[str, str]
    remove: tuple[str, ...]
    thresholds: Thresholds
    resize: ResizeRule
    lost: Mapping[str, int]
    seed: int
    versions: Mapping[str, str]

    @property
    def files(self) -> int:
        """Files that were looked at, those that cannot even be listed included."""
        return len(self.subject.photos) + len(self.subject.left_out)

    @property
    def distinct(self) -> int:
        """Different pictures among the files that can be read."""
        return len(self.pictures.rows)

    @property
    def leaking_share(self) -> float:
        """Share of files that a random split of the files would put beside a copy in train."""
        return self.pictures.leaking_share(FRACTIONS[0])

    @property
    def wrong(self) -> bool:
        """Whether a finding makes results wrong."""
        return any(finding.severity == "error" for finding in self.findings)

    def of_kind(self, name: str) -> list[Finding]:
        """Findings of a kind, in order."""
        return [finding for finding in self.findings if finding.kind == name]

    def kinds(self) -> list[tuple[str, Severity, list[Finding]]]:
        """Kinds that were found, worst first, each with its worst severity and its findings."""
        found = []
        for name in KINDS:
            some = self.of_kind(name)
            severity = worst([finding.severity for finding in some])
            if severity is not None:
                found.append((name, severity, some))
        return sorted(found, key=lambda kind: SEVERITIES.index(kind[1]))


def in_words(findings: Sequence[Finding]) -> str:
    """How many findings and files those are."""
    files = {path for finding in findings for path in finding.paths}
    number = f"{len(findings):,}"
    return f"{number} ({len(files):,} files)" if len(files) != len(findings) and files else number


def document(audit: Audit) -> dict[str, Any]:
    """The findings as JSON has them; the same photos give the same document."""
    subject = audit.subject
    severities = Counter(finding.severity for finding in audit.findings)
    return {
        "schema_version": SCHEMA_VERSION,
        "asked": str(subject.asked),
        "photos_dir": str(subject.photos_dir),
        "dataset_id": subject.index.dataset_id if subject.index else None,
        "n": audit.files,
        "readable": sum(map(len, audit.pictures.rows.values())),
        "distinct_files": audit.pictures.contents,
        "distinct_pictures": audit.distinct,
        "random_split_leaks": round(audit.leaking_share, 4),
        "labels": list(subject.labels),
        "wrong": audit.wrong,
        "counts": {severity: severities[severity] for severity in SEVERITIES},
        "seed": audit.seed,
        "thresholds": asdict(audit.thresholds) | {"sharpness_short_side": LOOKED_AT},
        "resize": {"rule": audit.resize, "photos_cut_by_rule": dict(audit.lost)},
        "wrong_labels": {
            "checked": not audit.labels.skipped,
            "why_not": audit.labels.skipped or None,
            "n": audit.labels.n,
            "agreement": round(audit.labels.agreement, 4),
            "labels_left_out": list(audit.labels.left_out),
        },
        "remove": list(audit.remove),
        "versions": dict(audit.versions),
        "kinds": [_kind(audit, name, severity, some) for name, severity, some in audit.kinds()],
        "removed": [
            {"path": path, "because": kind} for path, kind in sorted(audit.removed.items())
        ],
    }


def write_documents(audit: Audit, folder: Path, page: str) -> None:
    """Writes findings.csv, index.html and findings.json, each whole or not at all; the last one
    last.
    """
    with replacing(folder / FINDINGS_CSV) as file:
        file.write(rows(audit))
    with replacing(folder / PAGE) as file:
        file.write(page)
    write_json(folder / FINDINGS_JSON, document(audit))


def rows(audit: Audit) -> str:
    """findings.csv: a row a finding and file. Rows of one finding share its number.

    `remove` says yes on the row that decides, and is empty elsewhere; a person may write yes or no
    on any.
    """
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(COLUMNS)
    by_path = {photo.path: photo for photo in audit.subject.photos}
    told: set[str] = set()
    for number, finding in enumerate(audit.findings, start=1):
        for path in finding.paths or ("",):
            photo = by_path.get(path)
            decides = audit.removed.get(path) == finding.kind and path not in told
            if decides:
                told.add(path)
            cells = (
                _inert(path, "./"),
                _inert(photo.label if photo else finding.label, "'"),
                photo.split if photo else "",
                _inert(finding.detail, "'"),
                "yes" if decides else "",
            )
            table.writerow((number, finding.severity, finding.kind, *cells))
    return text.getvalue()


def removable(kinds: Sequence[str]) -> str:
    """The kinds as the command line has them."""
    return "default" if tuple(kinds) == DEFAULT_REMOVED else ",".join(kinds)


def _kind(audit: Audit, name: str, severity: str, some: Sequence[Finding]) -> dict[str, Any]:
    kind = KINDS[name]
    return {
        "kind": name,
        "severity": severity,
        "title": kind.title,
        "means": kind.means,
        "what_to_do": kind.to_do,
        "count": len(some),
        "files": len({path for finding in some for path in finding.paths}),
        "findings": [
            {
                "severity": finding.severity,
                "paths": list(finding.paths),
                "detail": finding.detail,
                "label": finding.label or None,
                "removes": [path for path in finding.paths if audit.removed.get(path) == name],
            }
            for finding in some
        ],
    }


def _inert(cell: str, prefix: str) -> str:
    """Spreadsheets carry out cells that begin like a formula; such a one gets a prefix."""
    return prefix + cell if cell[:1] in ("=", "+", "-", "@", "\t") else cell
