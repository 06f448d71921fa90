"""`kennel verify BUNDLE --key PUBLIC`: whether a bundle is as the holder of a key signed it."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

EXAMPLE = "kennel verify bundles/<id> --key keys/public.pem"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("bundle", metavar="BUNDLE", type=Path, help="folder with a model.sig")
    parser.add_argument(
        "--key",
        metavar="PEM",
        type=Path,
        required=True,
        help="public key of who signed, from them and not from the bundle",
    )


def run(args: argparse.Namespace) -> int:
    from kennel.signing import require_signature

    bundle = require_signature(args.bundle, public_key=args.key)
    if args.json:
        files = {name: entry.sha256 for name, entry in bundle.files.items()}
        print(json.dumps({"bundle": bundle.bundle_id, "signed": True, "files": files}))
        return 0
    print(f"{'bundle':<12}{bundle.bundle_id}")
    print(f"{'signed':<12}as it is, with the private half of {args.key}")
    return 0
