"""`kennel hub push|pull`: a bundle as a model repository of Hugging Face's Hub, and back.

There it lies as timm has it, so that timm.create_model('hf-hub:USER/NAME', pretrained=True) loads
it. What comes from there is verified before anything is parsed; no pickle goes or comes.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kennel.hub.contents import Contents
    from kennel.hub.remote import Pushed

EXAMPLE = """kennel hub push bundles/<id> anna/dogs --dry-run     shows the files, sends nothing
  kennel hub push bundles/<id> anna/dogs
  kennel hub pull anna/dogs --revision v1"""
COLUMN = 10
BUNDLES = Path("bundles")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from kennel.cli import Parser

    ways = parser.add_subparsers(dest="way", required=True, parser_class=Parser, title="which way")
    push = ways.add_parser("push", help="a bundle to the Hub, in one commit", allow_abbrev=False)
    push.add_argument(
        "bundle",
        metavar="BUNDLE",
        type=Path,
        help="folder that kennel export wrote with --formats onnx,safetensors, or a folder of such",
    )
    push.add_argument(
        "repo", metavar="USER/NAME", help="made where there is none, else changed, in one commit"
    )
    seen = push.add_mutually_exclusive_group()
    seen.add_argument(
        "--private",
        action="store_const",
        const=True,
        dest="private",
        help="for you alone (default for a new one; one that is there stays as it is)",
    )
    seen.add_argument(
        "--public",
        action="store_const",
        const=False,
        dest="private",
        help="for everybody: weights, labels and model card",
    )
    push.add_argument(
        "--replace",
        action="store_true",
        help="also one with files that kennel hub push did not write: they go",
    )
    push.add_argument(
        "--dry-run", action="store_true", help="show the files with size and sha256; send nothing"
    )
    pull = ways.add_parser("pull", help="a bundle from the Hub, verified", allow_abbrev=False)
    pull.add_argument("repo", metavar="USER/NAME", help="that kennel hub push filled")
    pull.add_argument(
        "--to",
        metavar="DIR",
        type=Path,
        default=BUNDLES,
        help="folder of bundles; it gets a folder in it, of its id (default: bundles)",
    )
    pull.add_argument(
        "--revision",
        metavar="REV",
        default="main",
        help="branch, tag or commit (default: main; what it was then is told)",
    )
    for each in (push, pull):
        each.add_argument(
            "--require-signature",
            metavar="PEM",
            type=Path,
            help="public key; refuse a bundle that its owner did not sign as it is",
        )
        each.add_argument(
            "--json",
            action="store_true",
            default=argparse.SUPPRESS,  # or it would undo one that stands before
            help="print one JSON document and nothing else",
        )


def run(args: argparse.Namespace) -> int:
    return _push(args) if args.way == "push" else _pull(args)


def _push(args: argparse.Namespace) -> int:
    from kennel.bundle import read_bundle
    from kennel.hub.address import MODEL, address
    from kennel.hub.contents import model_contents
    from kennel.hub.remote import push
    from kennel.named import bundle_named

    to, path = address(args.repo, MODEL), bundle_named(args.bundle)
    if args.require_signature is None:
        bundle = read_bundle(path)
    else:
        from kennel.signing import require_signature

        bundle = require_signature(path, public_key=args.require_signature)
    found = model_contents(bundle)
    pushed = None
    if not args.dry_run:
        pushed = push(found, to, private=args.private, replace=args.replace, say=_say)
    if args.json:
        print(json.dumps(_document(args, found, pushed), ensure_ascii=False))
    else:
        print("\n".join(_lines(args, found, pushed)))
    return 0


def _pull(args: argparse.Namespace) -> int:
    from kennel.hub.address import MODEL, address
    from kennel.hub.pulling import pull

    pulled = pull(
        address(args.repo, MODEL),
        args.to,
        revision=args.revision,
        public_key=args.require_signature,
        say=_say,
    )
    path = pulled.bundle.path
    if args.json:
        told = {
            "bundle": pulled.bundle.bundle_id,
            "path": str(path),
            "commit": pulled.commit,
            "bytes": pulled.bytes,
        }
        print(json.dumps(told, ensure_ascii=False))
        return 0
    print(f"{'bundle':<{COLUMN}}{path}")
    print(f"{'commit':<{COLUMN}}{pulled.commit}")
    print(f"{'files':<{COLUMN}}{len(pulled.bundle.files) + 1}, {pulled.bytes:,} bytes, verified")
    print(f"next: kennel predict {path} PHOTO")
    return 0


def _say(step: str) -> None:
    sys.stderr.write(f"{step}\n")


def _document(
    args: argparse.Namespace, found: Contents, pushed: Pushed | None
) -> dict[str, object]:
    return {
        "bundle": found.bundle_id,
        "repo": args.repo,
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
    lines = [f"{'bundle':<{COLUMN}}{found.bundle_id}"]
    if args.dry_run:
        width = max(len(file.path) for file in found.files)
        lines += [
            f"  {file.path:<{width}}  {file.size:>12,}  {file.sha256}" for file in found.files
        ]
    lines.append(f"{'files':<{COLUMN}}{len(found.files)}, {found.size:,} bytes")
    if pushed is None:
        lines.append(f"{'sent':<{COLUMN}}nothing: this was a dry run")
        return lines
    return [
        *lines,
        f"{'sent':<{COLUMN}}{len(pushed.sent)} files; {len(pushed.removed)} removed",
        f"{'commit':<{COLUMN}}{pushed.commit}",
        f"{'seen by':<{COLUMN}}{'you alone' if pushed.private else 'everybody'}",
        f"{'address':<{COLUMN}}{pushed.url}",
        f"next: timm.create_model('hf-hub:{args.repo}', pretrained=True)",
    ]
