"""`kennel init DIR`: a project of one's own around Kennel: git, DVC, conf/ with an experiment, a
Makefile, containers and workflows, a README that says what to type. Nothing is installed or
downloaded, no photo is copied or moved.
"""

from __future__ import annotations

import argparse
import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kennel.project.begin import Begun, Photos

EXAMPLE = """kennel init dogs --photos ~/pictures/dogs     photos stay where they are
  kennel init dogs                              without photos: Kennel draws some"""
COLUMN = 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dir", metavar="DIR", type=Path, help="a new folder, or an empty one")
    parser.add_argument(
        "--photos",
        metavar="DIR",
        type=Path,
        help="your photos, a folder a label; params.yaml then names them by their path",
    )
    parser.add_argument(
        "--kennel",
        metavar="WHICH",
        help="the Kennel that the project installs: a wheel, a checkout, or kennel-ml==VERSION "
        "(default: this one, from where it came)",
    )
    parser.add_argument(
        "--without",
        choices=["workflows"],
        action="append",
        default=[],
        help="leave .github out, where the project will not lie on GitHub",
    )


def run(args: argparse.Namespace) -> int:
    from kennel.project.begin import begin
    from kennel.project.place import refuse_taken

    refuse_taken(args.dir)  # before the photos are counted
    photos, counts = _photos(args.photos)
    begun = begin(args.dir, photos=photos, named=args.kennel, without=args.without)
    if args.json:
        print(json.dumps(_document(begun, photos, counts), ensure_ascii=False))
    else:
        print("\n".join(_lines(args.dir, begun, photos, counts)))
    return 0


def _photos(folder: Path | None) -> tuple[Photos | None, dict[str, int]]:
    """A folder of photos as it was named, links and all, and how many it has of each label."""
    if folder is None:
        return None, {}
    from collections import Counter

    from kennel.folders import find_photos
    from kennel.project.begin import Photos
    from kennel.project.place import named_path

    found = find_photos(folder)
    path = named_path(folder)
    counts = Counter(photo.label for photo in found.photos)
    return Photos(path, path / found.photos[0].path), dict(sorted(counts.items()))


def _document(begun: Begun, photos: Photos | None, counts: dict[str, int]) -> dict[str, object]:
    return {
        "dir": str(begun.folder),
        "files": begun.files,
        "kennel": begun.kennel,
        "photos": str(photos.folder) if photos else None,
        "counts": counts,
        "branch": begun.branch,
        "commit": begun.commit,
        "notes": begun.notes,
    }


def _lines(named: Path, begun: Begun, photos: Photos | None, counts: dict[str, int]) -> list[str]:
    lines = [
        f"{'project':<{COLUMN}}{named}, {len(begun.files)} files",
        f"{'kennel':<{COLUMN}}{begun.kennel.partition(' --hash')[0]}",
        f"{'photos':<{COLUMN}}"
        + (
            f"{photos.folder}: {sum(counts.values()):,} of {len(counts)} labels, where they are"
            if photos
            else "none: Kennel draws some; your own are named in params.yaml"
        ),
    ]
    if begun.branch is not None:
        lines.append(
            f"{'git':<{COLUMN}}{begun.branch}, "
            + (f"commit {begun.commit}" if begun.commit else "no commit yet")
        )
    lines += [f"{'note':<{COLUMN}}{note}" for note in begun.notes]
    here = begun.folder == Path.cwd()
    goes = "" if here else f"cd {shlex.quote(str(named))} && "
    lines.append(f"next: {goes}make setup; README.md says the rest")
    return lines
