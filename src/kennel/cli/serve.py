"""`kennel serve BUNDLE`: the HTTP service and its page, without torch."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

from kennel.errors import MissingExtraError

EXAMPLE = "kennel serve bundles/<id> --port 8080"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "bundle",
        metavar="BUNDLE",
        type=Path,
        help="folder that kennel export wrote, or a folder of such: the last one in it",
    )
    parser.add_argument("--host", help="address to listen at (default: 127.0.0.1, this machine)")
    parser.add_argument("--port", metavar="N", type=int, help="default: 8080; 0 takes a free one")
    parser.add_argument("--workers", metavar="N", type=int, help="processes (default: one a core)")
    parser.add_argument(
        "--reload",
        action="store_true",
        default=None,
        help="let POST /-/reload exchange the bundle; SIGHUP always does",
    )
    parser.add_argument(
        "--require-signature",
        metavar="PEM",
        type=Path,
        help="public key; refuse a bundle that its owner did not sign as it is",
    )
    parser.epilog = (
        f"{parser.epilog}\n\n"
        "KENNEL_SERVE_BYTES, _PIXELS, _QUEUE, _KEYS, _RATE and more: docs/guide/serve.md"
    )


def run(args: argparse.Namespace) -> int:
    # Before NumPy is loaded: its threads would stand in each other's way, and cost time to start.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    try:
        from kennel.serve.settings import from_environment
        from kennel.serve.workers import Answering, serve
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("kennel"):
            raise
        raise MissingExtraError(
            f"this needs {error.name}, which is not installed.",
            fix="pip install 'kennel-ml[serve]'",
        ) from error
    settings = from_environment(
        host=args.host, port=args.port, workers=args.workers, reload=args.reload
    )

    def announce(answering: Answering, host: str, port: int) -> None:
        url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
        if args.json:
            said = {"url": url, "bundle": answering.bundle_id, "workers": settings.workers}
            if answering.note:
                said["note"] = answering.note
            print(json.dumps(said, ensure_ascii=False), flush=True)
            return
        processes = "1 worker" if settings.workers == 1 else f"{settings.workers} workers"
        sys.stderr.write(f"{answering.bundle_id} answers at {url} ({processes}); Ctrl-C stops it\n")
        if answering.note:
            sys.stderr.write(f"note: {answering.note}\n")
        sys.stderr.flush()

    return serve(
        args.bundle, settings=settings, announce=announce, public_key=args.require_signature
    )
