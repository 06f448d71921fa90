"""Seconds from typing a command to its end, medians, commands interleaved.

python benchmarks/cold_start.py bundles/first photo.jpg [--rounds 9]
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time

from kennel.machine import hardware, versions


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle")
    parser.add_argument("photo")
    parser.add_argument("--rounds", type=int, default=9)
    args = parser.parse_args()
    commands = {
        "--help": ["--help"],
        "train --help": ["train", "--help"],
        "predict": ["predict", args.bundle, args.photo],
    }
    took_s: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(args.rounds):
        for name, words in commands.items():
            started_s = time.perf_counter()
            subprocess.run(
                [sys.executable, "-m", "kennel", *words], check=True, stdout=subprocess.DEVNULL
            )
            took_s[name].append(time.perf_counter() - started_s)
    for name, seconds in took_s.items():
        print(f"kennel {name:<14}{statistics.median(seconds):6.3f} s  best {min(seconds):.3f}")
    print(", ".join(f"{k} {v}" for k, v in {**hardware(), **versions(("onnxruntime",))}.items()))


if __name__ == "__main__":
    main()
