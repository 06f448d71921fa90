"""What a random split of a set with copies reports, what an honest one does, and what is true.

    python benchmarks/honest_split.py --work /tmp/honest
    python benchmarks/honest_split.py --work /tmp/honest --recipe scratch --seeds 2

The same recipe is trained on two splits of the same files: `random` shuffles the files of every
label into train, validation and test folders, as is usual; `honest` is `kennel index`, which keeps
copies together. Each model is measured on its own test split and on all photos of another set, none
of which it has seen. Sets are KENNEL_PHOTOS/kaggle10 and KENNEL_PHOTOS/dogs10 unless named; the
seed counts for split and training alike. Runs that --work holds already are not trained again.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from kennel.bundle import read_bundle
from kennel.dataset import Dataset, Photo, read_dataset
from kennel.evaluate import evaluate_split
from kennel.infer import OnnxClassifier
from kennel.machine import hardware, versions
from kennel.metrics import wilson

SHARES = {"train": 0.7, "validation": 0.1, "test": 0.2}
RECIPES = {
    "quick": ["experiment=quick"],
    "finetune": ["experiment=finetune"],
    # 0.40 million parameters from random weights, some 80 s a run and core.
    "scratch": [
        "experiment=scratch",
        "model.image.size=64",
        "model.depths=[1,1,2,1]",
        "model.dims=[16,32,64,128]",
        "trainer.max_epochs=80",
    ],
}
Count = tuple[int, int]  # right, of how many


@dataclass(frozen=True)
class Measured:
    """One model. `pictures` counts each picture of the test split once, `new` those that no
    training file shows; `seen` is the share of test files whose picture stands in training too.
    """

    split: str
    seed: int
    files: Count
    pictures: Count
    new: Count
    unseen: Count
    seen: float


def main() -> None:
    args = _arguments()
    work: Path = args.work
    indexed = read_dataset(_honest(args.photos, work, 0))
    pictures = {photo.sha256: photo.group for photo in indexed.photos}
    unseen = _all_test(args.unseen, work)
    print(f"{args.photos}: {len(indexed.photos)} readable files, ", end="")
    print(f"{len(pictures)} of them distinct, {len(set(pictures.values()))} pictures")
    print(f"{args.unseen}: {len(unseen.photos)} photos, none of them seen")
    print(f"recipe: {' '.join(RECIPES[args.recipe] + args.override)}\n", flush=True)
    rows = []
    for seed in range(args.seeds):
        for split, make in (("random", _random), ("honest", _honest)):
            csv = make(args.photos, work, seed)
            bundle = _train(csv, work / f"{args.recipe}-{split}-{seed}", args, seed)
            dataset = read_dataset(csv)
            rows.append(_measure(bundle, dataset, unseen, pictures, split=split, seed=seed))
            print(_line(rows[-1]), file=sys.stderr, flush=True)
    print(_labels(dataset, unseen))
    print(_table(rows, args.unseen.name))
    libraries = ("torch", "timm", "lightning", "onnxruntime", "numpy", "pillow")
    machine = {**hardware(), **versions(libraries)}
    print(", ".join(f"{name} {value}" for name, value in machine.items()))


def _random(photos: Path, work: Path, seed: int) -> Path:
    """Links in split folders; every label's files shuffled."""
    folder, csv = work / f"random-{seed}", work / f"random-{seed}.csv"
    if csv.is_file():
        return csv
    rng = random.Random(seed)  # noqa: S311 - not for secrets
    for label in sorted(path for path in photos.iterdir() if path.is_dir()):
        files = sorted(label.iterdir())
        rng.shuffle(files)
        cuts = np.cumsum([round(share * len(files)) for share in SHARES.values()])[:2]
        for split, some in zip(SHARES, np.split(np.arange(len(files)), cuts), strict=True):
            home = folder / split / label.name
            home.mkdir(parents=True, exist_ok=True)
            for index in some:
                link = home / files[index].name
                link.unlink(missing_ok=True)
                link.symlink_to(files[index].resolve())
    _kennel("index", str(folder), "--to", str(csv))
    return csv


def _honest(photos: Path, work: Path, seed: int) -> Path:
    csv = work / f"honest-{seed}.csv"
    if not csv.is_file():
        _kennel("index", str(photos), "--to", str(csv), "--seed", str(seed))
    return csv


def _all_test(photos: Path, work: Path) -> Dataset:
    csv = work / "unseen.csv"
    if not csv.is_file():
        _kennel("index", str(photos), "--to", str(csv))
    found = read_dataset(csv)
    return replace(found, photos=tuple(replace(photo, split="test") for photo in found.photos))


def _train(csv: Path, run: Path, args: argparse.Namespace, seed: int) -> Path:
    bundle = run.with_name(f"{run.name}-bundle")
    if not bundle.is_dir():
        words = [*RECIPES[args.recipe], *args.override, f"data.csv={csv}", f"seed={seed}"]
        words += [f"paths.output_dir={run}", f"paths.cache_dir={args.work / 'cache'}"]
        quiet = ["ckpt_path=last", "logger=none", "callbacks.pictures=null", "callbacks.graph=null"]
        _kennel("train", *words, *quiet)
        _kennel("export", str(run), "--to", str(bundle))
    return bundle


def _measure(
    folder: Path,
    dataset: Dataset,
    unseen: Dataset,
    pictures: dict[str, str],  # sha256 -> the group of files that show its picture
    *,
    split: str,
    seed: int,
) -> Measured:
    bundle = read_bundle(folder)
    classifier = OnnxClassifier(bundle)

    def right(of: Dataset) -> dict[str, bool]:
        report = evaluate_split(classifier, of, "test", bundle.preprocess)
        hits = report.logits.argmax(axis=1) == report.truth
        return dict(zip(report.paths, hits.tolist(), strict=True))

    def picture(photo: Photo) -> str:
        return pictures.get(photo.sha256, photo.sha256)

    own, others = right(dataset), right(unseen)
    tested = [photo for photo in dataset.split("test") if photo.path in own]
    trained = {picture(photo) for photo in dataset.split("train")}
    first = {picture(photo): photo for photo in reversed(tested)}  # files of a picture answer alike
    once = [own[photo.path] for photo in first.values()]
    new = [own[photo.path] for name, photo in first.items() if name not in trained]
    return Measured(
        split,
        seed,
        files=(sum(own.values()), len(own)),
        pictures=(sum(once), len(once)),
        new=(sum(new), len(new)),
        unseen=(sum(others.values()), len(others)),
        seen=sum(picture(photo) in trained for photo in tested) / len(tested),
    )


def _table(rows: Sequence[Measured], unseen: str) -> str:
    head = ["split", "seed", "test files", "their picture is in training", "top1 by files"]
    head += [
        "pictures",
        "top1 by pictures",
        "top1 by pictures not in training",
        f"top1 on {unseen}",
    ]
    lines = ["| " + " | ".join(head) + " |", "|---" + "|---:" * (len(head) - 1) + "|"]
    for split in ("random", "honest"):
        some = [row for row in rows if row.split == split]
        lines += [_line(row) for row in some]
        cells = [
            f"**{split}**",
            f"mean of {len(some)}",
            f"{statistics.mean(row.files[1] for row in some):.0f}",
            _range([row.seen for row in some]),
            _range([_rate(row.files) for row in some]),
            f"{statistics.mean(row.pictures[1] for row in some):.0f}",
            _range([_rate(row.pictures) for row in some]),
            _pooled([row.new for row in some]),
            _range([_rate(row.unseen) for row in some]),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _line(row: Measured) -> str:
    cells = [row.split, str(row.seed), str(row.files[1]), f"{row.seen:.3f}", _interval(row.files)]
    cells += [str(row.pictures[1]), _interval(row.pictures), _interval(row.new)]
    return "| " + " | ".join([*cells, _interval(row.unseen)]) + " |"


def _rate(count: Count) -> float:
    return count[0] / count[1] if count[1] else float("nan")


def _interval(count: Count) -> str:
    if not count[1]:
        return "no photo"
    low, high = wilson(*count)
    return f"{_rate(count):.3f} [{low:.3f}, {high:.3f}], n {count[1]}"


def _range(values: Sequence[float]) -> str:
    return f"{statistics.mean(values):.3f} ({min(values):.3f} to {max(values):.3f})"


def _pooled(counts: Sequence[Count]) -> str:
    right, n = sum(count[0] for count in counts), sum(count[1] for count in counts)
    return f"{right / n:.3f}, n {n} over all seeds" if n else "no photo"


def _labels(dataset: Dataset, unseen: Dataset) -> str:
    shared = [label for label in unseen.labels if label in dataset.labels]
    return (
        f"labels, matched by name: {', '.join(shared)} "
        f"({len(shared)} of {len(dataset.labels)} and {len(unseen.labels)})\n"
    )


def _kennel(*words: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "kennel", *words], capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"kennel {' '.join(words)}\n{done.stderr}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    known = os.environ.get("KENNEL_PHOTOS")
    parser.add_argument("--photos", type=Path, default=Path(known, "kaggle10") if known else None)
    parser.add_argument("--unseen", type=Path, default=Path(known, "dogs10") if known else None)
    parser.add_argument("--work", type=Path, required=True, help="folder for splits and runs")
    parser.add_argument("--recipe", choices=RECIPES, default="quick")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("override", nargs="*", help="settings of kennel train, key=value")
    args = parser.parse_args()
    if args.photos is None or args.unseen is None:
        parser.error("name both sets: --photos DIR --unseen DIR, or KENNEL_PHOTOS")
    args.work.mkdir(parents=True, exist_ok=True)
    args.work = args.work.resolve()
    return args


if __name__ == "__main__":
    main()
