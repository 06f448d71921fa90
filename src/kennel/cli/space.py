"""`kennel space BUNDLE USER/NAME`: the bundle in the browser, as a Space of Hugging Face's Hub."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from kennel.errors import UsageError

if TYPE_CHECKING:
    from kennel.hub.contents import Contents
    from kennel.hub.remote import Pushed

EXAMPLE = """kennel space bundles/<id> anna/dogs --dry-run     shows the files, sends nothing
  kennel space bundles/<id> anna/dogs --examples photos
  kennel space bundles/<id> --to space && python space/app.py"""
COLUMN = 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "bundle",
        metavar="BUNDLE",
        type=Path,
        help="folder that kennel export wrote, or a folder of such: the last one in it",
    )
    parser.add_argument(
        "repo",
        metavar="USER/NAME",
        nargs="?",
        help="the Space: made where there is none, else changed, in one commit",
    )
    parser.add_argument(
        "--examples",
        metavar="DIR",
        type=Path,
        help="folder with photos to try; all visitors see them",
    )
    seen = parser.add_mutually_exclusive_group()
    seen.add_argument(
        "--private",
        action="store_const",
        const=True,
        dest="private",
        help="for you alone (default for a new Space: what was seen by all cannot be unseen; one "
        "that is there stays as it is)",
    )
    seen.add_argument(
        "--public",
        action="store_const",
        const=False,
        dest="private",
        help="for everybody: weights, labels, model card and examples too",
    )
    parser.add_argument(
        "--replace",
        action="store_true",
        help="also a Space with files that kennel space did not write: they go",
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="show the files with size and sha256; send nothing"
    )
    parser.add_argument(
        "--to",
        metavar="DIR",
        type=Path,
        help="write the files there and send nothing; python DIR/app.py serves as the Space would",
    )
    parser.add_argument(
        "--kennel",
        metavar="WHICH",
        help="the Kennel that runs there: a wheel, a checkout, or kennel-ml==VERSION (default: "
        "this one, from where it came)",
    )
    parser.add_argument(
        "--require-signature",
        metavar="PEM",
        type=Path,
        help="public key; refuse a bundle that its owner did not sign as it is",
    )


def run(args: argparse.Namespace) -> int:
    from kennel.hub.address import address
    from kennel.hub.folder import write_folder
    from kennel.hub.remote import push

    if args.repo is None and args.to is None and not args.dry_run:
        raise UsageError(
            "to which Space? No USER/NAME was given.",
            fix=f"kennel space {args.bundle} USER/NAME, or --to DIR, or --dry-run",
        )
    to = None if args.repo is None else address(args.repo)
    found = _contents(args)
    pushed = None
    if args.to is not None:
        if not args.dry_run:
            write_folder(found, args.to)
    elif not args.dry_run:
        assert to is not None
        pushed = push(found, to, private=args.private, replace=args.replace, say=_say)
    if args.json:
        print(json.dumps(_document(args, found, pushed), ensure_ascii=False))
    else:
        print("\n".join(_lines(args, found, pushed)))
    return 0


def _contents(args: argparse.Namespace) -> Contents:
    from kennel.bundle import read_bundle
    from kennel.hub.address import address
    from kennel.hub.contents import contents
    from kennel.hub.whereabouts import refuse_whereabouts
    from kennel.hub.which_kennel import which_kennel
    from kennel.named import bundle_named
    from kennel.ui.examples import examples_in

    path = bundle_named(args.bundle)
    if args.require_signature is None:
        bundle = read_bundle(path)
    else:
        from kennel.signing import require_signature

        bundle = require_signature(path, public_key=args.require_signature)
    examples = () if args.examples is None else tuple(examples_in(args.examples))
    refuse_whereabouts(examples)
    to = None if args.repo is None else address(args.repo)
    with TemporaryDirectory(prefix="kennel-space-") as scratch:
        kennel = which_kennel(args.kennel, scratch=Path(scratch))
        return contents(bundle, to=to, kennel=kennel, examples=examples)


def _say(step: str) -> None:
    sys.stderr.write(f"{step}\n")


def _document(
    args: argparse.Namespace, found: Contents, pushed: Pushed | None
) -> dict[str, object]:
    return {
        "bundle": found.bundle_id,
        "space": args.repo,
        "dir": None if args.to is None or args.dry_run else str(args.to),
        "kennel": found.kennel,
        "bytes": found.size,
        "files": [
            {"path": file.path, "bytes": file.size, "sha256": file.sha256} for file in found.files
        ],
        "url": pushed and pushed.url,
        "commit": pushed and pushed.commit,
        "private": pushed and pushed.private,
        "created": pushed and pushed.created,
        "sent": pushed and list(pushed.sent),
        "removed": pushed and list(pushed.removed),
    }


def _lines(args: argparse.Namespace, found: Contents, pushed: Pushed | None) -> list[str]:
    lines = [
        f"{'bundle':<{COLUMN}}{found.bundle_id}",
        f"{'kennel':<{COLUMN}}{found.kennel.partition(' --hash')[0]}",
    ]
    if args.dry_run:
        width = max(len(file.path) for file in found.files)
        lines += [
            f"  {file.path:<{width}}  {file.size:>12,}  {file.sha256}" for file in found.files
        ]
    lines.append(f"{'files':<{COLUMN}}{len(found.files)}, {found.size:,} bytes")
    if args.dry_run:
        lines.append(f"{'sent':<{COLUMN}}nothing: this was a dry run")
    elif pushed is None:
        lines.append(f"{'folder':<{COLUMN}}{args.to}")
        lines.append(f"next: python {args.to / 'app.py'}")
    else:
        lines += [
            f"{'sent':<{COLUMN}}{len(pushed.sent)} files; {len(pushed.removed)} removed",
            f"{'commit':<{COLUMN}}{pushed.commit}",
            f"{'seen by':<{COLUMN}}{'you alone' if pushed.private else 'everybody'}",
            f"{'address':<{COLUMN}}{pushed.url}",
        ]
    return lines
