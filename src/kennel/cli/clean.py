"""`kennel clean`: removes caches, downloads, interrupted writes and unfinished runs; says how much.

Never photos, indices, bundles, studies or finished runs; never what .dvc keeps; never through a
link. A run that is going on stays, with what it reads. A run that stopped and can be gone on with
stays too, unless --runs is given.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kennel.leftovers import Kept, Leftover

EXAMPLE = """kennel clean --dry-run     what would go, and how much
  kennel clean               caches, downloads, interrupted writes, runs without a checkpoint
  kennel clean --runs        and stopped runs that could be gone on with"""
COLUMN = 12
UNITS = ("bytes", "kB", "MB", "GB", "TB")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--runs",
        action="store_true",
        help="also unfinished runs that have a checkpoint (train ckpt_path=last goes on with them)",
    )
    parser.add_argument("--dry-run", action="store_true", help="only say what would be removed")


def run(args: argparse.Namespace) -> int:
    from kennel.leftovers import find_leftovers

    found, kept = find_leftovers(Path(), now_s=time.time())
    going = [each for each in found if args.runs or each.kind != "stopped run"]
    waiting = [each for each in found if each not in going]
    failed = [] if args.dry_run else _remove(going)
    gone = [each for each in going if each.path not in {path for path, _ in failed}]
    if args.json:
        print(json.dumps(_document(gone, waiting, kept, failed, dry_run=args.dry_run), indent=2))
    else:
        print("\n".join(_lines(gone, waiting, kept, dry_run=args.dry_run)))
    for path, reason in failed:
        sys.stderr.write(f"error: {path} cannot be removed: {reason}.\n")
    if failed:
        sys.stderr.write("fix: see that it is yours and not in use, then kennel clean\n")
    return 1 if failed else 0


def _remove(going: list[Leftover]) -> list[tuple[Path, str]]:
    """Removes them; what could not be removed, with the reason."""
    from kennel.errors import RunError
    from kennel.leftovers import remove

    failed = []
    for leftover in going:
        sys.stderr.write(f"removing {leftover.path}\n")
        try:
            remove(leftover)
        except RunError as error:
            failed.append((leftover.path, error.message.rstrip(".")))
        except OSError as error:
            failed.append((leftover.path, error.strerror or str(error)))
    return failed


def _document(
    gone: list[Leftover],
    waiting: list[Leftover],
    kept: list[Kept],
    failed: list[tuple[Path, str]],
    *,
    dry_run: bool,
) -> dict[str, object]:
    stay = [(each.path, f"{each.why}; --runs removes it", each.bytes) for each in waiting]
    stay += [(each.path, each.why, each.bytes) for each in kept]
    return {
        "dry_run": dry_run,
        "bytes": sum(each.bytes for each in gone),
        "files": sum(each.files for each in gone),
        "removed": [
            {
                "path": str(each.path),
                "kind": each.kind,
                "why": each.why,
                "bytes": each.bytes,
                "files": each.files,
            }
            for each in gone
        ],
        "kept": [{"path": str(path), "why": why, "bytes": size} for path, why, size in stay],
        "failed": [{"path": str(path), "why": why} for path, why in failed],
    }


def _lines(
    gone: list[Leftover], waiting: list[Leftover], kept: list[Kept], *, dry_run: bool
) -> list[str]:
    lines = [f"{each.kind:<{COLUMN}}{each.path}  {_size(each.bytes)}, {each.why}" for each in gone]
    lines += [f"{'kept':<{COLUMN}}{each.path}  {_size(each.bytes)}, {each.why}" for each in kept]
    lines += [
        f"{'kept':<{COLUMN}}{each.path}  {_size(each.bytes)}, {each.why}: "
        f"kennel train ckpt_path=last paths.output_dir={each.path} and its other settings"
        for each in waiting
    ]
    size = _size(sum(each.bytes for each in gone))
    files = sum(each.files for each in gone)
    done = "would remove" if dry_run else "removed"
    lines.append(
        f"{done} {size} in {files:,} {'file' if files == 1 else 'files'}"
        if gone
        else "there is nothing to remove"
    )
    if dry_run and gone:
        lines.append("next: kennel clean")
    elif waiting:
        lines.append("next: kennel clean --runs, if the stopped runs are not wanted")
    else:
        lines.append("next: kennel train experiment=quick")
    return lines


def _size(n: int) -> str:
    """312.4 MB, 1 byte: as people say it, in thousands."""
    if n == 1:
        return "1 byte"
    value, unit = float(n), 0
    while value >= 999.95 and unit < len(UNITS) - 1:
        value, unit = value / 1000, unit + 1
    return f"{value:.0f} {UNITS[0]}" if unit == 0 else f"{value:.1f} {UNITS[unit]}"
