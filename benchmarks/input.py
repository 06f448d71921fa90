"""Images a second and core, from files to training batches: plain torchvision, LitData, Kennel.

    taskset -c 1 python benchmarks/input.py --rival-python VENV/bin/python

The same photos (benchmarks/input_photos.py), batches of 32 at 224 pixels, random crops and flips;
one core, one thread, no worker processes but the one that LitData writes chunks with. Loaders take
turns (benchmarks/input_loaders.py), each turn in a process of its own; files lie in the page cache.
LitData lives in an environment with litdata, torch, torchvision and pillow in Kennel's versions.

uint8     decoded pixels on the processor: all that is left to do where an accelerator varies and
          normalises. Kennel and LitData deliver 280 x 280 to crop from, the plain loader 224 x 224
float32   varied and normalised on the processor
cold      from the files through an empty cache to the batches of one epoch (LitData: the chunks)
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import kennel
from kennel.machine import hardware, usable_cores, versions

from input_photos import draw  # isort: skip

LOADERS = Path(__file__).with_name("input_loaders.py")
SIDE = 280  # what Kennel keeps of a photo for a model of 224, and LitData is given to keep
SOURCES = {"500 x 375": ((500, 375), 512, 1024), "4000 x 3000": ((4000, 3000), 16, 256)}
TURNS = (
    "plain, uint8",
    "plain, float32",
    "litdata, uint8",
    "litdata tuned, uint8",
    "litdata tuned, float32",
    "litdata, JPEG, float32",
    "kennel, cold",
    "kennel, uint8",
    "kennel, float32",
)
ONCE = ("litdata, tensors", "litdata, JPEGs")


def main() -> None:
    args = _arguments()
    loaders = [name for name in (*ONCE, *TURNS) if args.rival_python or "litdata" not in name]
    used: dict[str, str] = {}
    with tempfile.TemporaryDirectory(dir=args.work) as work:
        for source, (size, pictures, photos) in SOURCES.items():
            if source.partition(" ")[0] not in args.sources:
                continue
            scaled = max(64, int(photos * args.share)), max(8, int(pictures * args.share))
            folder = Path(work, source.partition(" ")[0])
            mean = draw(
                sorted(args.photos.glob("*/*.jpg")),
                folder / "photos",
                size=size,
                pictures=scaled[1],
                photos=scaled[0],
            )
            print(f"{source}: {scaled[0]} files of {mean / 1e6:.2f} MB, ", end="")
            print(f"{scaled[1]} pictures, enlarged, with grain\n", flush=True)
            rates = _race(loaders, folder, args, used)
            print(_table(rates), flush=True)
    machine = {**hardware(), "cores used": str(usable_cores())}
    machine |= versions(("numpy", "torchvision")) | used
    print(", ".join(f"{name} {value}" for name, value in machine.items()))


def _race(
    loaders: Sequence[str], folder: Path, args: argparse.Namespace, used: dict[str, str]
) -> dict[str, list[float]]:
    rates: dict[str, list[float]] = defaultdict(list)
    for turn in range(args.rounds):
        for loader in loaders:
            if turn and loader in ONCE:
                continue
            result = _measure(loader, folder, args)
            rates[loader].append(result["images"] / result["seconds"])
            used |= result["versions"]
    return rates


def _measure(loader: str, folder: Path, args: argparse.Namespace) -> dict[str, Any]:
    python = args.rival_python if loader.startswith("litdata") else sys.executable
    words = [folder / "photos", folder, args.seconds, SIDE]
    done = subprocess.run(
        [str(python), str(LOADERS), loader, *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(Path(kennel.__file__).parents[1])},
    )
    if done.returncode:
        sys.exit(f"{loader}\n{done.stderr[-2000:]}")
    document: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return document


def _table(rates: dict[str, list[float]]) -> str:
    medians = {loader: statistics.median(each) for loader, each in rates.items()}
    head = ["loader", "images/s", "lowest to highest", "rounds", "times the plain loader"]
    lines = ["| " + " | ".join(head) + " |", "|---" + "|---:" * (len(head) - 1) + "|"]
    for loader, median in medians.items():
        kind = "uint8" if loader.endswith("uint8") else "float32"
        times = median / medians[f"plain, {kind}"]
        each = rates[loader]
        cells = [loader, f"{median:.0f}", f"{min(each):.0f} to {max(each):.0f}", str(len(each))]
        lines.append("| " + " | ".join([*cells, f"{times:.1f}"]) + " |")
    return "\n".join(lines) + "\n"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    known = os.environ.get("KENNEL_PHOTOS")
    parser.add_argument("--photos", type=Path, default=Path(known, "dogs10") if known else None)
    parser.add_argument("--rival-python", type=Path, help="of an environment with litdata")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0, help="of one turn of a loader")
    parser.add_argument("--sources", nargs="+", default=["500", "4000"], help="widths of photos")
    parser.add_argument("--share", type=float, default=1.0, help="of the files; less to try it out")
    parser.add_argument("--work", type=Path, help="where 1 GB of photos, chunks and cache fits")
    args = parser.parse_args()
    if args.photos is None:
        parser.error("name photos to enlarge: --photos DIR, or KENNEL_PHOTOS")
    return args


if __name__ == "__main__":
    main()
