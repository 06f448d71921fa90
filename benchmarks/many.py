"""Time and peak memory of `kennel index` and `audit`, or of `kennel predict --table`, on very many
photos.

    python benchmarks/many.py --photos 100000 --work DIR
    python benchmarks/many.py --photos 100000 --work DIR --bundle BUNDLE

Photos are drawn: 120 x 90 JPEG, ten labels, every file another picture (smooth colours, some
shapes, grain), and one of a hundred a smaller copy of an earlier one, to be found. They stay in
DIR/photos for the next time.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from kennel.machine import hardware, usable_cores, versions

SIZE = (120, 90)
LABELS = 10
COPY_EVERY = 100
CHUNK = 500


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--photos", type=int, default=100_000)
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir(), "kennel-many"))
    parser.add_argument(
        "--labels", action="store_true", help="audit labels too: every photo through the backbone"
    )
    parser.add_argument("--bundle", type=Path, help="answer photos with it: 1,000, and all")
    args = parser.parse_args()
    folder = args.work / f"photos-{args.photos}"
    began = time.perf_counter()
    starts = range(0, args.photos, CHUNK)
    with ProcessPoolExecutor(usable_cores()) as pool:
        list(pool.map(_draw, starts, [args.photos] * len(starts), [folder] * len(starts)))
    print(f"drawn in {time.perf_counter() - began:.0f} s", flush=True)

    if args.bundle is not None:
        _predict(args.bundle, folder, args.photos, args.work)
        print({**hardware(), **versions(("numpy", "onnxruntime", "pillow", "pyarrow"))})
        return
    csv = args.work / "dataset.csv"
    csv.unlink(missing_ok=True)
    said = _measure("index", [str(folder), "--to", str(csv)])
    document = json.loads(said)
    print(f"index: {json.dumps(document)[:400]}", flush=True)
    words = [str(csv), "--to", str(args.work / "audit")]
    _measure("audit", words if args.labels else [*words, "--no-labels"])
    print({**hardware(), **versions(("numpy", "pillow"))})


def _predict(bundle: Path, folder: Path, photos: int, work: Path) -> None:
    """Answers 1,000 of the photos and all of them, into each kind of table."""
    names = [f"{folder / f'label_{n % LABELS}' / f'{n:06d}.jpg'}\n" for n in range(photos)]
    for many in (1000, photos):
        listed = work / f"list-{many}.txt"
        listed.write_text("".join(names[:many]), encoding="utf-8")
        for suffix in (".csv", ".jsonl", ".parquet"):
            table = work / f"answers-{many}{suffix}"
            words = [str(bundle), "--files-from", str(listed), "--table", str(table), "--overwrite"]
            said = _measure("predict", words)
            print(f"  {said.strip()}, {table.stat().st_size / 1e6:.1f} MB", flush=True)


def _measure(verb: str, words: list[str]) -> str:
    """Runs a verb, says its time and the most memory that it held, and gives what it printed."""
    began = time.perf_counter()
    done = subprocess.Popen(
        [sys.executable, "-m", "kennel", verb, *words, "--json"], stdout=subprocess.PIPE, text=True
    )
    assert done.stdout is not None
    said = done.stdout.read()
    _, status, used = os.wait4(done.pid, 0)
    done.returncode = os.waitstatus_to_exitcode(status)
    wall_s = time.perf_counter() - began
    cpu_s = used.ru_utime + used.ru_stime
    print(
        f"kennel {verb}: exit {done.returncode}, {wall_s:.0f} s, {cpu_s:.0f} s of processor time, "
        f"peak {used.ru_maxrss / 1024:.0f} MB",
        flush=True,
    )
    return said


def _draw(start: int, photos: int, folder: Path) -> None:
    for number in range(start, min(start + CHUNK, photos)):
        label = folder / f"label_{number % LABELS}"
        label.mkdir(parents=True, exist_ok=True)
        file = label / f"{number:06d}.jpg"
        if file.is_file():
            continue
        if number % COPY_EVERY == COPY_EVERY - 1:
            picture = _picture(number - LABELS).resize((108, 81), Image.Resampling.LANCZOS)
        else:
            picture = _picture(number)
        picture.save(file, quality=85)


def _picture(number: int) -> Image.Image:
    rng = np.random.default_rng(number)
    coarse = rng.integers(0, 256, (*rng.integers(3, 9, 2), 3), dtype=np.uint8)
    picture = Image.fromarray(coarse).resize(SIZE, Image.Resampling.BICUBIC)
    pen = ImageDraw.Draw(picture)
    for _ in range(rng.integers(3, 9)):
        x, y = rng.integers(0, SIZE[0]), rng.integers(0, SIZE[1])
        width, height = rng.integers(5, 50, 2)
        shape = pen.ellipse if rng.random() < 0.5 else pen.rectangle
        shape((x, y, x + width, y + height), fill=tuple(rng.integers(0, 256, 3).tolist()))
    pixels = np.asarray(picture, np.int16) + rng.integers(-6, 7, (SIZE[1], SIZE[0], 1))
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


if __name__ == "__main__":
    main()
