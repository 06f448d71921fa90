"""`kennel sign BUNDLE`: who made it, in a signature beside the model: a key pair, no network."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

EXAMPLE = "kennel sign bundles/<id> --new-key keys; later: --key keys/private.pem"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "bundle", metavar="BUNDLE", type=Path, help="folder that kennel export wrote"
    )
    key = parser.add_mutually_exclusive_group(required=True)
    key.add_argument(
        "--key",
        metavar="PEM",
        type=Path,
        help="private key, elliptic (P-256, P-384, P-521); where it is encrypted, the environment "
        "variable KENNEL_KEY_PASSWORD has its password",
    )
    key.add_argument(
        "--new-key",
        metavar="DIR",
        type=Path,
        help="make a key pair in that folder, private.pem and public.pem, and sign with it",
    )


def run(args: argparse.Namespace) -> int:
    from kennel.bundle import read_bundle
    from kennel.signing import PUBLIC_KEY, new_key_pair, sign_bundle

    read_bundle(args.bundle)  # before a key is made for it
    private, public = (
        new_key_pair(args.new_key)
        if args.new_key is not None
        else (args.key, args.key.with_name(PUBLIC_KEY))
    )
    signature = sign_bundle(
        args.bundle, private_key=private, password=os.environ.get("KENNEL_KEY_PASSWORD")
    )
    if args.json:
        print(json.dumps({"bundle": str(args.bundle), "signature": str(signature)}))
        return 0
    if args.new_key is not None:
        print(f"{'secret':<12}{private}: it alone can sign; keep it out of git and of the bundle")
        print(f"{'public':<12}{public}: for who checks")
    print(f"{'signature':<12}{signature}")
    print(f"next: kennel verify {args.bundle} --key {public}")
    return 0
