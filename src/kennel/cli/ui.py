"""`kennel ui BUNDLE`: the bundle in the browser: one photo, many, why, and the model card."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import NoReturn

from kennel.errors import Stopped

EXAMPLE = "kennel ui bundles/<id> --examples photos"
HERE = ("127.0.0.1", "::1", "localhost")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "bundle",
        metavar="BUNDLE",
        type=Path,
        help="folder that kennel export wrote, or a folder of such: the last one in it",
    )
    parser.add_argument(
        "--port",
        metavar="N",
        type=int,
        default=7860,
        help="to listen on; 0 takes any that is free (default: %(default)s)",
    )
    parser.add_argument(
        "--host",
        metavar="ADDRESS",
        default="127.0.0.1",
        help="to listen on; 0.0.0.0 lets others in (default: %(default)s)",
    )
    parser.add_argument(
        "--examples", metavar="DIR", type=Path, help="folder with photos to try, shown to visitors"
    )
    parser.add_argument(
        "--require-signature",
        metavar="PEM",
        type=Path,
        help="public key; refuse a bundle that its owner did not sign as it is",
    )


def run(args: argparse.Namespace) -> int:
    from kennel.bundle import read_bundle
    from kennel.named import bundle_named, made_elsewhere
    from kennel.ui.examples import examples_in
    from kennel.ui.launching import served

    path = bundle_named(args.bundle)
    if args.require_signature is None:
        bundle = read_bundle(path)
    else:
        from kennel.signing import require_signature

        bundle = require_signature(path, public_key=args.require_signature)
    examples = () if args.examples is None else tuple(examples_in(args.examples))
    signal.signal(signal.SIGTERM, _stop)
    with served(bundle, host=args.host, port=args.port, examples=examples) as url:
        if args.json:
            print(json.dumps({"url": url, "bundle": bundle.bundle_id}), flush=True)
        else:
            print(f"bundle      {bundle.bundle_id}\naddress     {url}", flush=True)
            sys.stderr.write("stop it with Ctrl-C\n")
        if other := made_elsewhere(bundle):
            sys.stderr.write(f"note: {other}\n")
        if args.host not in HERE:
            sys.stderr.write("note: everybody who reaches this machine can use it\n")
        threading.Event().wait()
    return 0


def _stop(signum: int, _: FrameType | None) -> NoReturn:
    raise Stopped(signal.Signals(signum).name, signum)
