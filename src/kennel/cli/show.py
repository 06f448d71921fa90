"""`kennel show RUN|BUNDLE|URL`: its pedigree: photos, commit, configuration, figures, files, and
where it is deployed; with --verify, whether that is so.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections import Counter as Tally
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kennel.errors import UsageError

if TYPE_CHECKING:
    from kennel.bundle import Bundle
    from kennel.pedigree import Pedigree
    from kennel.run import Run
    from kennel.served import Served

EXAMPLE = """kennel show bundles/<id>
  kennel show bundles/<id> --verify             every checksum that can be reached, again
  kennel show runs/<id> --graph --to line.svg   the line as a small graph
  kennel show http://127.0.0.1:8080             which bundle a server answers with"""
COLUMN = 14
REGISTRY = "KENNEL_REGISTRY"  # its folder; ./registry where nothing is said


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "path",
        metavar="RUN|BUNDLE|URL",
        help="a folder that kennel train or kennel export wrote, or a server",
    )
    parser.add_argument(
        "--verify",
        action="store_true",
        help="compute every checksum again that can be reached; 1 where one differs",
    )
    parser.add_argument("--graph", action="store_true", help="the line as a graph")
    parser.add_argument("--to", metavar="SVG", type=Path, help="draw the graph into this file")
    parser.add_argument(
        "--data",
        metavar="CSV",
        type=Path,
        help="the index it was trained on, where that lies elsewhere now",
    )


def run(args: argparse.Namespace) -> int:
    if "://" in args.path:
        return _show_server(args)
    args.path = Path(args.path)
    from kennel.bundle import Bundle
    from kennel.pedigree import pedigree_of, read_either

    shown = read_either(args.path)
    if args.verify:
        return _verify(shown, args)
    if isinstance(shown, Bundle):
        for name in shown.files:
            shown.file(name)  # refuses a file that is not the one exported
    registry = Path(os.environ.get(REGISTRY, "registry"))
    line = pedigree_of(shown, project=Path.cwd(), registry=registry, data=args.data)
    if args.to is not None:
        from kennel.pedigree.drawing import graph_of, write_svg

        write_svg(graph_of(line), args.to, title=f"Pedigree of {args.path.name}")
        sys.stderr.write(f"drawn: {args.to}\n")
    if args.json:
        document = {**asdict(shown), "path": shown.path, "pedigree": asdict(line)}
        print(json.dumps(document, ensure_ascii=False, default=str))
    elif args.graph:
        from kennel.pedigree.drawing import graph_of, lines_of

        print("\n".join(lines_of(graph_of(line))))
    else:
        print("\n".join(_lines(shown, line)))
    return 0


def _show_server(args: argparse.Namespace) -> int:
    from kennel.served import read_served

    if args.verify or args.graph or args.to is not None:
        raise UsageError(
            f"{args.path} is a server, which shows no files: no --verify, --graph or --to.",
            fix="name its bundle's folder",
        )
    served = read_served(args.path)
    copies = [str(path) for path in _copies(served.bundle_id)]
    if args.json:
        document = {**asdict(served), "url": args.path, "copies": copies}
        print(json.dumps(document, ensure_ascii=False, default=str))
        return 0
    said, backbone = served.lineage, served.backbone
    commit = said.git_commit or "not in a git repository"
    lines = [
        _fact("server", args.path),
        *_answering_lines(served),
        _fact("trained", f"run {said.run_id}, seed {said.seed}, {said.trained_utc or ''}"),
        _fact("commit", f"{commit}, with uncommitted changes" if said.dirty else commit),
        _fact("photos", f"dataset {said.dataset_id[:16]}"),
        _fact("backbone", f"{backbone.name}, {backbone.source}; licence {backbone.licence}"),
        _fact("copy here", ", ".join(copies) or "none in bundles/ or the registry"),
    ]
    print("\n".join(lines))
    return 0


def _copies(bundle_id: str) -> list[Path]:
    """Folders of this project whose bundle.json has that id."""
    from kennel.bundle import BUNDLE_JSON, read_bundle
    from kennel.errors import BundleError

    found = []
    registry = Path(os.environ.get(REGISTRY, "registry"))
    for above in (Path("bundles"), registry / "bundles"):
        for document in sorted(above.glob(f"*/{BUNDLE_JSON}")):
            try:
                if read_bundle(document.parent).bundle_id == bundle_id:
                    found.append(document.parent)
            except BundleError:
                continue
    return found


def _verify(shown: Run | Bundle, args: argparse.Namespace) -> int:
    from kennel.cli.progress import Counter
    from kennel.pedigree.proof import checks_of

    counters: list[Counter] = []
    checks = list(
        checks_of(
            shown,
            project=Path.cwd(),
            data=args.data,
            on_found=lambda n: counters.append(Counter(n, "photos read")),
            on_photo=lambda _: counters[-1].tick(),
        )
    )
    for counter in counters:
        counter.close()
    tally = Tally(check.state for check in checks)
    count = {state: tally[state] for state in ("matches", "differs", "not reachable")}
    if args.json:
        document: dict[str, Any] = {"path": str(shown.path), "count": count}
        print(json.dumps({**document, "checks": [asdict(check) for check in checks]}))
    else:
        wide = max(len(check.name) for check in checks)
        for check in checks:
            print(f"{check.state:<{COLUMN}} {check.name:<{wide}}  {check.said}")
        print(", ".join(f"{n} {state}" for state, n in count.items()))
    return 1 if count["differs"] else 0


def _lines(shown: Run | Bundle, line: Pedigree) -> list[str]:
    from kennel.bundle import Bundle

    if isinstance(shown, Bundle):
        return [*_bundle_lines(shown), *_pedigree(shown, line), *_files_of_bundle(shown)]
    return [*_run_lines(shown), *_pedigree(shown, line), *_files_of_run(shown)]


def _answering_lines(bundle: Bundle | Served) -> list[str]:
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
    return lines


def _bundle_lines(bundle: Bundle) -> list[str]:
    from kennel.bundle import BUNDLE_JSON, MODEL_SIG

    lines = _answering_lines(bundle)
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
    if (bundle.path / MODEL_SIG).exists():
        check = f"kennel verify {bundle.path} --key public.pem"
        lines.append(_fact("signature", f"{MODEL_SIG}, not checked here: {check}"))
    if beside := bundle.unlisted():
        lines.append(_fact("not read", f"{', '.join(beside)}: {BUNDLE_JSON} does not name them"))
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
    return lines


def _pedigree(shown: Run | Bundle, line: Pedigree) -> list[str]:
    from kennel.bundle import Bundle

    said = shown.lineage if isinstance(shown, Bundle) else shown
    photos, code, run = line.photos, line.code, line.run
    commit = code.git_commit or "not in a git repository"
    counts = ", ".join(f"{n:,} {split}" for split, n in (photos.counts or {}).items())
    took = f", {run.duration_s:.1f} s" if run.duration_s is not None else ""
    lines = [
        _fact("trained", f"run {run.run_id}, seed {code.seed}, {run.trained_utc or ''}{took}"),
        _fact("commit", f"{commit}, with uncommitted changes" if code.dirty else commit),
        _fact("settings", f"config.yaml, sha256 {(code.config_sha256 or 'not known')[:16]}"),
    ]
    if code.overrides:
        lines.append(_fact("", " ".join(code.overrides)))
    if run.from_run:
        lines.append(_fact("repeats", f"run {run.from_run}"))
    lines.append(_fact("photos", f"{photos.csv}, dataset {photos.dataset_id[:16]}"))
    lines += [_fact("", each) for each in (counts, photos.origin.source) if each]
    if photos.origin.licence:
        lines.append(_fact("", f"licence: {photos.origin.licence}"))
    lines += [_fact("dvc", f"{p.path.name}: md5 {p.md5}, {p.file.name}") for p in photos.dvc]
    backbone = said.backbone
    lines += [
        _fact(
            "backbone", f"{backbone.name}; weights: {backbone.weights}; licence {backbone.licence}"
        ),
        _fact("hardware", ", ".join(f"{k} {v}" for k, v in code.hardware.items())),
        _fact("versions", ", ".join(f"{k} {v}" for k, v in code.versions.items())),
    ]
    for bundle in line.bundles:
        if not isinstance(shown, Bundle):
            lines.append(_fact("bundle", f"{bundle.bundle_id}, {bundle.path}"))
        if bundle.report is not None:
            lines.append(_fact("report", str(bundle.report)))
        for each in bundle.deployments:
            what = "champion" if each.champion else "was champion"
            since = f", {each.since_utc}" if each.since_utc else ""
            lines.append(_fact("deployed", f"{what}, entry {each.entry} of {each.registry}{since}"))
    if not any(bundle.deployments for bundle in line.bundles):
        lines.append(_fact("deployed", "nowhere that is known here"))
    return lines


def _files_of_bundle(bundle: Bundle) -> list[str]:
    return [
        _fact("file", f"{name}  {e.bytes:,} bytes  sha256 {e.sha256[:16]}, matches")
        for name, e in bundle.files.items()
    ]


def _files_of_run(run: Run) -> list[str]:
    return [
        _fact("file", f"{path.relative_to(run.path)}  {path.stat().st_size:,} bytes")
        for path in sorted(run.path.rglob("*"))
        if path.is_file()
    ]


def _fact(name: str, value: str) -> str:
    return f"{name:<{COLUMN}}{value}"
