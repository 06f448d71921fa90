"""`kennel show RUN|BUNDLE`: its pedigree: photos, commit, configuration, figures, files."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from kennel.errors import UsageError

if TYPE_CHECKING:
    from kennel.bundle import Bundle, Lineage
    from kennel.run import Run

EXAMPLE = "kennel show bundles/<id>"
COLUMN = 14


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "path",
        metavar="RUN|BUNDLE",
        type=Path,
        help="a folder that kennel train or kennel export wrote",
    )


def run(args: argparse.Namespace) -> int:
    from kennel.bundle import BUNDLE_JSON, read_bundle
    from kennel.run import RUN_JSON, read_run

    shown: Bundle | Run
    if (args.path / BUNDLE_JSON).is_file():
        shown = read_bundle(args.path)
        for name in shown.files:
            shown.file(name)  # refuses a file that is not the one exported
        lines = _bundle_lines(shown)
    elif (args.path / RUN_JSON).is_file():
        shown = read_run(args.path)
        lines = _run_lines(shown)
    else:
        raise UsageError(
            f"{args.path} is neither a run nor a bundle: it has no {RUN_JSON} and no "
            f"{BUNDLE_JSON}.",
            fix="name a folder such as runs/<id> or bundles/<id>",
        )
    if args.json:
        print(json.dumps({**asdict(shown), "path": str(shown.path)}, ensure_ascii=False))
    else:
        print("\n".join(lines))
    return 0


def _bundle_lines(bundle: Bundle) -> list[str]:
    from kennel.images import describe

    lines = [
        _fact("bundle", bundle.bundle_id),
        _fact("labels", f"{len(bundle.labels)}: {', '.join(bundle.labels)}"),
        _fact("sees", describe(bundle.preprocess)),
    ]
    for split, f in bundle.metrics.items():
        low, high = f.top1_interval
        lines.append(
            _fact(
                split,
                f"top1 {f.top1:.3f} [{low:.3f}, {high:.3f}], macro F1 {f.macro_f1:.3f}, n {f.n}",
            )
        )
    if bundle.calibration:
        lines.append(
            _fact(
                "temperature", f"{bundle.calibration.temperature:.3f} on {bundle.calibration.split}"
            )
        )
    if bundle.rejection:
        lines.append(_fact("not known", bundle.rejection.in_words()))
    if bundle.conformal:
        lines.append(_fact("among", bundle.conformal.in_words()))
    for row in bundle.parity:
        lines.append(
            _fact(
                "parity",
                f"{row.format}: {row.max_abs_diff:.1e} on {row.photos} photos, "
                f"{row.label_flips} other labels",
            )
        )
    if bundle.parity_photos:
        p = bundle.parity_photos
        lines.append(
            _fact(
                "",
                f"on {p.validation} validation, {p.train} train and {p.awkward} awkward photos, "
                f"seed {p.seed}",
            )
        )
    lines += [_fact("note", note) for note in bundle.notes]
    lines += _pedigree(bundle.lineage)
    lines += [
        _fact("file", f"{name}  {e.bytes:,} bytes  sha256 {e.sha256[:16]}, matches")
        for name, e in bundle.files.items()
    ]
    return lines


def _run_lines(run: Run) -> list[str]:
    lines = [
        _fact("run", run.run_id),
        _fact("status", run.status),
        _fact("labels", f"{len(run.labels)}: {', '.join(run.labels)}"),
    ]
    lines += [_fact("", f"{name} {value:.4f}") for name, value in sorted(run.metrics.items())]
    lines.append(
        _fact(
            "best",
            f"epoch {run.best_epoch}, {run.best_checkpoint}"
            if run.best_checkpoint
            else "no weights yet",
        )
    )
    lines.append(_fact("took", f"{run.duration_s:.1f} s, {run.images_per_s:.1f} images/s"))
    lines += _pedigree(run)
    lines += [
        _fact("file", f"{path.relative_to(run.path)}  {path.stat().st_size:,} bytes")
        for path in sorted(run.path.rglob("*"))
        if path.is_file()
    ]
    return lines


def _pedigree(of: Run | Lineage) -> list[str]:
    backbone = of.backbone
    commit = of.git_commit or "not in a git repository"
    return [
        _fact("trained", f"run {of.run_id}, seed {of.seed}, {of.created_utc}"),
        _fact("commit", f"{commit}, with uncommitted changes" if of.dirty else commit),
        _fact("photos", f"{of.dataset_csv}, dataset {of.dataset_id[:16]}"),
        _fact(
            "backbone", f"{backbone.name}; weights: {backbone.weights}; licence {backbone.licence}"
        ),
        _fact("hardware", ", ".join(f"{k} {v}" for k, v in of.hardware.items())),
        _fact("versions", ", ".join(f"{k} {v}" for k, v in of.versions.items())),
    ]


def _fact(name: str, value: str) -> str:
    return f"{name:<{COLUMN}}{value}"
