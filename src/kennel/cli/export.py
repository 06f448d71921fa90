"""`kennel export RUN`: the best weights as a bundle with an ONNX model, and other formats where
named; refused when one of them answers differently.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import get_args

from kennel.errors import need

EXAMPLE = "kennel export runs/<id> --formats onnx,safetensors"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from kennel.schema import RejectionMethod

    parser.add_argument(
        "run",
        metavar="RUN",
        type=Path,
        help="folder that kennel train wrote, or a folder of such: the last that is done",
    )
    parser.add_argument(
        "--to", metavar="DIR", type=Path, help="the bundle's folder (default: bundles/<id>)"
    )
    parser.add_argument(
        "--formats",
        metavar="NAMES",
        default="onnx",
        help="of onnx (always), safetensors (a folder for timm), torchscript, pt2 (torch.export), "
        "int8 (kept where it is faster here and as good)",
    )
    parser.add_argument(
        "--data",
        metavar="CSV",
        type=Path,
        help="the index it was trained on, where that lies elsewhere now",
    )
    parser.add_argument(
        "--refuse",
        metavar="SHARE",
        type=share,
        default=0.05,
        help='of photos of known labels that "not one I know" may refuse (default: %(default)s)',
    )
    parser.add_argument(
        "--reject-by",
        choices=get_args(RejectionMethod),
        help="the score that decides it (default: the best of them, measured by leaving labels "
        "out)",
    )
    parser.add_argument(
        "--coverage",
        metavar="SHARE",
        type=share,
        help="answers also name the labels of which one is the truth so often, such as 0.95",
    )


def share(word: str) -> float:
    """A number above 0 and below 1."""
    try:
        value = float(word)
    except ValueError:
        value = 0.0
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"{word!r} is not a share between 0 and 1, such as 0.05")
    return value


def run(args: argparse.Namespace) -> int:
    from kennel.formats import formats_in, formats_named
    from kennel.named import run_named
    from kennel.run import read_run

    formats = formats_named(args.formats)
    trained = read_run(run_named(args.run))
    if args.data is not None:
        trained = replace(trained, dataset_csv=str(args.data.resolve()))
    need("torch", extra="train")
    from kennel.cli.progress import Counter
    from kennel.learn.export import export

    sys.stderr.write(f"exporting to {', '.join(formats)} and comparing the answers\n")
    answered = Counter(0, "photos answered")
    compared = Counter(0, "photos compared")
    bundle = export(
        trained,
        to=args.to,
        formats=formats,
        refuse=args.refuse,
        method=args.reject_by,
        coverage=args.coverage,
        on_photo=answered.tick,
        on_compared=compared.tick,
    )
    answered.close()
    compared.close()
    if args.json:
        photos = bundle.parity_photos
        print(
            json.dumps(
                {
                    "bundle": str(bundle.path),
                    "bundle_id": bundle.bundle_id,
                    "formats": formats_in(bundle),
                    "parity": [asdict(row) for row in bundle.parity],
                    "parity_photos": asdict(photos) if photos else None,
                    "notes": bundle.notes,
                    "temperature": bundle.calibration.temperature if bundle.calibration else None,
                    "rejection": asdict(bundle.rejection) if bundle.rejection else None,
                    "conformal": asdict(bundle.conformal) if bundle.conformal else None,
                    "bytes": {name: entry.bytes for name, entry in bundle.files.items()},
                },
                ensure_ascii=False,
            )
        )
        return 0
    for row in bundle.parity:
        print(
            f"{'parity':<19}{row.format}: {row.photos} photos, largest difference "
            f"{row.max_abs_diff:.1e}, other labels {row.label_flips}"
        )
    for note in bundle.notes:
        print(f"{'note':<19}{note}")
    if bundle.rejection:
        print(f"{'not known':<19}{bundle.rejection.in_words()}")
    if bundle.conformal:
        print(f"{'among':<19}{bundle.conformal.in_words()}")
    for name, entry in bundle.files.items():
        print(f"{name:<19}{entry.bytes / 1e6:.2f} MB")
    print(f"{'bundle':<19}{bundle.path}")
    print(f"next: kennel evaluate {bundle.path}")
    return 0
