"""`kennel export RUN`: the best weights as a bundle with an ONNX model; refused when it answers
differently.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict, replace
from pathlib import Path

from kennel.errors import need

EXAMPLE = "kennel export runs/<id>"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", type=Path, help="folder that kennel train wrote")
    parser.add_argument(
        "--to", metavar="DIR", type=Path, help="the bundle's folder (default: bundles/<id>)"
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
        choices=["energy", "max_logit", "knn", "knn_energy"],
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
    from kennel.run import read_run

    trained = read_run(args.run)
    if args.data is not None:
        trained = replace(trained, dataset_csv=str(args.data.resolve()))
    need("torch", extra="train")
    from kennel.cli.progress import Counter
    from kennel.learn.export import export

    sys.stderr.write("exporting to ONNX and comparing its answers\n")
    counter = Counter(0, "photos answered")
    bundle = export(
        trained,
        to=args.to,
        refuse=args.refuse,
        method=args.reject_by,
        coverage=args.coverage,
        on_photo=counter.tick,
    )
    counter.close()
    parity = bundle.parity[0]
    if args.json:
        print(
            json.dumps(
                {
                    "bundle": str(bundle.path),
                    "bundle_id": bundle.bundle_id,
                    "parity": {
                        "photos": parity.photos,
                        "max_abs_diff": parity.max_abs_diff,
                        "label_flips": parity.label_flips,
                    },
                    "temperature": bundle.calibration.temperature if bundle.calibration else None,
                    "rejection": asdict(bundle.rejection) if bundle.rejection else None,
                    "conformal": asdict(bundle.conformal) if bundle.conformal else None,
                    "bytes": {name: entry.bytes for name, entry in bundle.files.items()},
                }
            )
        )
        return 0
    print(
        f"{'parity':<12}{parity.photos} photos, largest difference {parity.max_abs_diff:.1e}, "
        f"other labels {parity.label_flips}"
    )
    if bundle.rejection:
        print(f"{'not known':<12}{bundle.rejection.in_words()}")
    if bundle.conformal:
        print(f"{'among':<12}{bundle.conformal.in_words()}")
    for name, entry in bundle.files.items():
        print(f"{name:<12}{entry.bytes / 1e6:.2f} MB")
    print(f"{'bundle':<12}{bundle.path}")
    print(f"next: kennel evaluate {bundle.path}")
    return 0
