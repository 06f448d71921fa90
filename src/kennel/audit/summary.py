"""An audit in a dozen lines, for terminals of 80 columns."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Collection, Mapping
from pathlib import Path

from kennel.audit.document import PAGE, Audit
from kennel.audit.findings import Finding
from kennel.audit.kinds import KINDS
from kennel.audit.verify import Verified
from kennel.dataset import Dataset

COLUMN = 12  # where the facts begin
WIDE = 80
MOST_NAMED = 20  # files that are named one by one; --json names all


def found(audit: Audit, to: Path) -> list[str]:
    """How many files, pictures and findings, and where the page is."""
    readable = sum(map(len, audit.pictures.rows.values()))
    distinct = audit.pictures.contents
    exact, near = readable - distinct, distinct - audit.distinct
    lines = [
        _fact("files", f"{audit.files:,}, {_of(distinct, exact)} distinct"),
        _fact("pictures", f"{audit.distinct:,} ({exact:,} exact copies, {near:,} near copies)"),
    ]
    if audit.files > readable:
        lines.insert(1, _fact("unread", f"{audit.files - readable:,} that cannot be read"))
    if audit.labels.skipped:
        lines.append(_fact("labels", f"not checked: {audit.labels.skipped}"))
    else:
        agree = f"{audit.labels.agreement:.1%} of {audit.labels.n:,} photos"
        lines.append(_fact("labels", f"a classifier agrees with those of {agree}"))
        if audit.labels.left_out:
            few = ", ".join(audit.labels.left_out)
            lines.append(_fact("", f"too few pictures to check: {few}"))
    lines.append("")
    title = max([len(KINDS[name].title) for name, _, _ in audit.kinds()], default=0)
    for name, severity, some in audit.kinds():
        start = f"{severity:<8}{len(some):>6,}  {KINDS[name].title:<{title}}  "
        lines.append(start + _example(some[0], WIDE - len(start)))
    lines += ["" if audit.findings else "nothing found\n", _fact("page", str(to / PAGE))]
    return lines


def verdict(audit: Audit) -> list[str]:
    """Whether results would be wrong, and what to type next."""
    errors = [finding for finding in audit.findings if finding.severity == "error"]
    lines = [_fact("verdict", _judged(errors))]
    if audit.of_kind("random_leak"):
        share = f"{audit.leaking_share:.1%} of the test files of a random split"
        lines.append(_fact("", f"{share} would also be in train"))
    asked = audit.subject.asked
    if audit.removed:
        clean = asked.with_name("clean.csv") if audit.subject.index else Path("data/clean.csv")
        lines.append(_fact("removable", f"{len(audit.removed):,} files (no photo is touched)"))
        return [*lines, f"next: kennel audit {_word(asked)} --apply {_word(clean)}"]
    if audit.subject.index is None:
        return [*lines, f"next: kennel index {_word(asked)}"]
    return [*lines, _train(asked)]


def applied(removed: Mapping[str, str], written: Dataset, left: Collection[Finding]) -> list[str]:
    """What was written, why files were left out, and whether results would still be wrong."""
    lines = [_fact("removed", f"{len(removed):,} files (no photo was touched)")]
    for name, number in sorted(Counter(removed.values()).items()):
        title = KINDS[name].title.lower() if name in KINDS else "by decision"
        lines.append(_fact("", f"{number:,}: {title}"))
    lines.append(_fact("left", f"{len(written.photos):,} files of {len(written.labels):,} labels"))
    lines.append(_fact("wrote", f"{written.csv} {written.csv.with_suffix('.json')}"))
    if left:
        lines.append(_fact("verdict", f"{_judged(left)} with {written.csv}"))
    return [*lines, _train(written.csv)]


def verified(checked: Verified, dataset: Dataset) -> list[str]:
    """Which files are not what was indexed."""
    lines = [_fact("photos", f"{checked.n:,}, {checked.bytes / 1e6:,.1f} MB")]
    for name, paths, mark in (
        ("missing", checked.missing, "-"),
        ("changed", checked.changed, "!"),
        ("extra", checked.extra, "+"),
    ):
        if not paths:
            continue
        what = "photos lie there and are not in the index" if name == "extra" else "photos"
        lines.append(_fact(name, f"{len(paths):,} {what}"))
        lines += [f"  {mark} {path}" for path in paths[:MOST_NAMED]]
        if len(paths) > MOST_NAMED:
            lines.append(f"  and {len(paths) - MOST_NAMED:,} more (--json names all)")
    if checked.whole:
        lines.append(_fact("verdict", "every photo has the bytes that were indexed"))
        return [*lines, _train(dataset.csv)]
    wrong = len(checked.missing) + len(checked.changed)
    lines.append(_fact("verdict", f"{wrong:,} photos are not what was indexed"))
    again = f"kennel index {_word(dataset.photos_dir)} --to {_word(dataset.csv)}"
    return [*lines, f"next: bring them back (dvc checkout), or {again}"]


def _judged(errors: Collection[Finding]) -> str:
    if not errors:
        return "no finding makes results wrong"
    return f"results would be wrong: {len(errors):,} error{'s' if len(errors) > 1 else ''}"


def _of(number: int, copies: int) -> str:
    return f"{number:,}" if copies else "all"


def _example(finding: Finding, most: int) -> str:
    if finding.paths:
        path = finding.paths[0]  # its end is what tells paths apart
        return path if len(path) <= most else f"...{path[-(most - 3) :]}"
    return finding.detail if len(finding.detail) <= most else f"{finding.detail[: most - 3]}..."


def _train(csv: Path) -> str:
    return f"next: kennel train {shlex.quote(f'data.csv={csv}')}"


def _word(path: Path) -> str:
    return shlex.quote(str(path))


def _fact(name: str, value: str) -> str:
    return f"{name:<{COLUMN}}{value}"
