"""`kennel sample DIR`: a practice set of dog portraits, drawn: nothing need be downloaded."""

from __future__ import annotations

import argparse
import json
import shlex
import time
from pathlib import Path

EXAMPLE = "kennel sample photos --per-label 60"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "dir", metavar="DIR", type=Path, help="new or empty folder; gets a subfolder for each breed"
    )
    parser.add_argument(
        "--labels", type=int, default=10, metavar="N", help="breeds, 2..10 (default: 10)"
    )
    parser.add_argument(
        "--per-label",
        type=int,
        default=60,
        metavar="N",
        help="pictures of each breed, 1..10000 (default: 60)",
    )
    parser.add_argument(
        "--seed", type=int, default=0, metavar="N", help="same seed, same pictures (default: 0)"
    )


def run(args: argparse.Namespace) -> int:
    from kennel.cli.progress import Counter
    from kennel.sample import draw_sample

    counter = Counter(args.labels * args.per_label, "pictures drawn")
    started_s = time.monotonic()
    paths = draw_sample(
        args.dir,
        labels=args.labels,
        per_label=args.per_label,
        seed=args.seed,
        on_photo=counter.tick,
    )
    seconds = time.monotonic() - started_s
    counter.close()
    if args.json:
        result = {
            "dir": str(args.dir),
            "labels": sorted({path.parent.name for path in paths}),
            "photos": len(paths),
            "seed": args.seed,
            "seconds": round(seconds, 3),
        }
        print(json.dumps(result, ensure_ascii=False))
        return 0
    print(f"pictures  {len(paths)} drawings, {args.per_label} of each of {args.labels} breeds")
    print(f"folder    {args.dir}")
    print(f"seed      {args.seed}")
    print(f"took      {seconds:.1f} s")
    print(f"next: kennel index {shlex.quote(str(args.dir))}")
    return 0
