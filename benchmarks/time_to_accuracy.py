"""Processor seconds until a recipe reaches what a plain recipe of the field reaches.

    python benchmarks/time_to_accuracy.py --csv data/dataset.csv --work DIR --seeds 0 1 2

Every run is a process of its own with an empty cache: imports, decoding and features count. What a
run's validation figure was after each epoch, and when, is kept in DIR/<recipe>-<seed>.json, and a
run that is there is not made again. `--test` exports and measures each run on the test split.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from kennel.machine import hardware, versions

PLAIN = (
    *("model=mambaout", "model.image.resize=squash", "data=plain", "schedule=one_cycle"),
    *("optimizer._target_=torch.optim.Adam", "optimizer.weight_decay=0", "trainer.max_epochs=20"),
)
RECIPES = {
    # The tutorial's: OneCycle from 1e-3 to 1e-2, the photo bent to 224 px, no augmentation. Its
    # author steps the schedule once an epoch and so never leaves its beginning; stepped as it is
    # meant, it does not learn. Hence "plain", the same at a tenth, which others are measured by.
    "hot": (*PLAIN, "optimizer.lr=1e-2", "schedule.start=0.1"),
    "plain": (*PLAIN, "optimizer.lr=1e-3"),
    "quick": ("experiment=quick",),
    "finetune": ("experiment=finetune",),
    "scratch": ("experiment=scratch",),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--csv", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--recipes", nargs="+", default=["plain", "quick", "scratch"])
    parser.add_argument("--test", action="store_true")
    parser.add_argument(
        "--also", nargs="+", default=[], help="settings of one more recipe, called 'also'"
    )
    args = parser.parse_args()
    recipes = {name: RECIPES[name] for name in args.recipes}
    if args.also:
        recipes["also"] = tuple(args.also)
    args.work.mkdir(parents=True, exist_ok=True)
    for seed in args.seeds:  # interleaved: a machine that slows down slows all of them
        for name, words in recipes.items():
            _run(name, words, seed, args)
    print({**hardware(), **versions(("torch", "timm", "numpy", "pillow"))})
    if "plain" in recipes:
        _compare(recipes, args)


def _run(name: str, words: tuple[str, ...], seed: int, args: argparse.Namespace) -> None:
    curve, out = args.work / f"{name}-{seed}.json", args.work / f"{name}-{seed}"
    done = args.work / f"{name}-{seed}-run.json"
    if not done.is_file():
        cache = args.work / f"cache-{name}-{seed}"
        command = [
            *(sys.executable, "-m", "kennel", "train", *words, f"seed={seed}", "--json"),
            *(f"data.csv={args.csv}", f"paths.output_dir={out}", f"paths.cache_dir={cache}"),
            f"+callbacks.clock={{_target_: clock.Clock, path: '{curve}'}}",
        ]
        path = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
        env = {**os.environ, "PYTHONPATH": path, "KENNEL_BENCH_BEGAN": str(time.time())}
        said = subprocess.run(command, env=env, stdout=subprocess.PIPE, check=True).stdout
        subprocess.run(["rm", "-rf", str(cache)], check=True)
        done.write_bytes(said)
    row = json.loads(done.read_text())
    last = json.loads(curve.read_text())[-1]
    print(
        f"{name} {seed}: validation top1 {row['metrics']['validation/top1']:.3f} in epoch "
        f"{row['best_epoch']}, {last['cpu_s']:.0f} s of processor time ({last['wall_s']:.0f} s), "
        f"{row['images_per_s']:.0f} images/s",
        flush=True,
    )
    if args.test:
        print(f"{name} {seed}: {_tested(out, args.csv)}", flush=True)


def _tested(out: Path, csv: Path) -> str:
    bundle = out.with_name(f"{out.name}-bundle")
    kennel = [sys.executable, "-m", "kennel"]
    if not (bundle / "report" / "report.json").is_file():
        for words in (
            ["export", str(out), "--to", str(bundle)],
            ["evaluate", str(bundle), "--no-robustness", "--data", str(csv)],
        ):
            subprocess.run([*kennel, *words], stdout=subprocess.DEVNULL, check=True)
    test = json.loads((bundle / "report" / "report.json").read_text())["splits"]["test"]
    low, high = test["top1_interval"]
    return f"test top1 {test['top1']:.3f} [{low:.3f}, {high:.3f}], n {test['n']}"


def _compare(recipes: dict[str, tuple[str, ...]], args: argparse.Namespace) -> None:
    """Medians over the seeds, beside the plain recipe."""

    def curve(name: str, seed: int) -> list[dict[str, float]]:
        rows: list[dict[str, float]] = json.loads((args.work / f"{name}-{seed}.json").read_text())
        return rows

    plain = {seed: curve("plain", seed) for seed in args.seeds}
    target = statistics.median(max(row["top1"] for row in rows) for rows in plain.values())
    budget = statistics.median(rows[-1]["cpu_s"] for rows in plain.values())
    reached = [
        next(r["cpu_s"] for r in rows if r["top1"] >= target - 1e-9)
        for rows in plain.values()
        if max(r["top1"] for r in rows) >= target - 1e-9
    ]
    alone = statistics.median(reached)
    print(
        f"target: validation top1 {target:.3f}, by plain after {alone:.0f} s ({budget:.0f} whole)"
    )
    for name in recipes:
        if name == "plain":
            continue
        first, within = [], []
        for seed in args.seeds:
            rows = curve(name, seed)
            first += [r["cpu_s"] for r in rows if r["top1"] >= target][:1]
            within += [max((r["top1"] for r in rows if r["cpu_s"] <= budget), default=0.0)]
        there = f"{statistics.median(first):.0f} s" if len(first) == len(args.seeds) else "never"
        share = f", 1/{alone / statistics.median(first):.1f}" if first else ""
        print(f"{name}: there after {there}{share}; best within {budget:.0f} s: {sorted(within)}")


if __name__ == "__main__":
    main()
