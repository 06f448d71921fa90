"""`kennel predict` from S3, alone and with --engine ray on three nodes of this machine; one of them
may be killed in the middle.

    python benchmarks/beyond/predict.py --photos 100000 --bundle BUNDLE --work DIR
    python benchmarks/beyond/predict.py --photos 100000 --bundle BUNDLE --work DIR --lose

Photos are drawn as benchmarks/many.py draws them, each another picture. The server is moto's, on
the same cores: so what counts is the processor time of Kennel's own processes, workers among them.
Memory is the most that each process held (RSS, looked at twice a second), and the most of all
workers together.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
from pyarrow import parquet

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "benchmarks"), str(ROOT / "tests")]
from many import CHUNK, LABELS, _draw  # noqa: E402
from ray_nodes import nodes_here  # noqa: E402
from storage import bucket, s3_server  # noqa: E402

from kennel.machine import hardware, versions  # noqa: E402

LOOK_EVERY_S = 0.5
UPLOADS = 8


class Watch:
    """Processor time and memory of processes below this one whose command has one of `words`."""

    def __init__(self, words: tuple[str, ...]) -> None:
        self._words, self._over = words, threading.Event()
        self.cpu_s: dict[int, float] = {}
        self.peak: dict[str, int] = {}
        self.workers = 0
        self._before: dict[int, float] = {}
        self._look()
        self._before, self.cpu_s, self.peak, self.workers = dict(self.cpu_s), {}, {}, 0
        self._thread = threading.Thread(target=self._go, daemon=True)
        self._thread.start()

    def close(self) -> float:
        self._over.set()
        self._thread.join()
        return sum(s - self._before.get(pid, 0.0) for pid, s in self.cpu_s.items())

    def _go(self) -> None:
        while not self._over.wait(LOOK_EVERY_S):
            self._look()

    def _look(self) -> None:
        together = 0
        for process in psutil.process_iter():
            try:
                command = " ".join(process.cmdline()[:12])
                if not any(word in command for word in self._words):
                    continue
                times, memory = process.cpu_times(), process.memory_info().rss
            except psutil.Error:
                continue
            self.cpu_s[process.pid] = times.user + times.system
            name = next(word for word in self._words if word in command)
            self.peak[name] = max(self.peak.get(name, 0), memory)
            together += memory if name == "MapWorker" else 0
        self.workers = max(self.workers, together)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--photos", type=int, default=100_000)
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--lose", action="store_true", help="kill a node in the middle")
    args = parser.parse_args()
    access = {"AWS_ACCESS_KEY_ID": "any", "AWS_SECRET_ACCESS_KEY": "any"}
    os.environ |= {**access, "AWS_DEFAULT_REGION": "us-east-1", "AWS_REGION": "us-east-1"}
    folder = args.work / f"photos-{args.photos}"
    for start in range(0, args.photos, CHUNK):
        _draw(start, args.photos, folder)
    with s3_server(args.work) as address:
        os.environ["AWS_ENDPOINT_URL"] = address
        _upload(address, folder, args.photos)
        whole = args.work / "whole.parquet"
        words = [str(args.bundle), "s3://my-photos/photos"]
        alone = ["--table", str(whole), "--overwrite"]
        _measure("alone", [*words, *alone], args.photos, ("kennel predict",))
        for lose in (False, True) if args.lose else (False,):
            to = args.work / f"answers-{time.time_ns()}"
            with nodes_here() as nodes:
                os.environ["RAY_ADDRESS"] = nodes.address
                losing = threading.Thread(target=_lose, args=(nodes, to, args.photos), daemon=True)
                if lose:
                    losing.start()
                name = "three nodes, one lost" if lose else "three nodes"
                ours = ("kennel predict", "MapWorker", "raylet", "gcs_server", "ray::")
                _measure(name, [*words, "--engine", "ray", "--to", str(to)], args.photos, ours)
                del os.environ["RAY_ADDRESS"]
            same = parquet.read_table(to).equals(parquet.read_table(whole))
            print(f"  the same rows, to the bit: {same}", flush=True)
    packages = ("ray", "numpy", "pillow", "onnxruntime", "pyarrow", "boto3", "moto")
    print({**hardware(), **versions(packages)})


def _upload(address: str, folder: Path, photos: int) -> None:
    place = bucket(address)

    def put(n: int) -> None:
        name = f"label_{n % LABELS}/{n:06d}.jpg"
        place.put_object(Key=f"photos/{name}", Body=(folder / name).read_bytes())

    with ThreadPoolExecutor(UPLOADS) as pool:
        for _ in pool.map(put, range(photos)):
            pass


def _lose(nodes: Any, to: Path, photos: int) -> None:
    """Kills a node when a third of the photos is answered."""
    while True:
        files = list(to.glob("answers-*.parquet"))
        if sum(parquet.read_metadata(file).num_rows for file in files) >= photos / 3:
            nodes.lose_one()
            return
        time.sleep(0.1)


def _measure(name: str, words: list[str], photos: int, ours: tuple[str, ...]) -> None:
    watch, began = Watch(ours), time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "kennel", "predict", *words, "--json"],
        capture_output=True,
        text=True,
        check=False,
    )
    wall_s, cpu_s = time.perf_counter() - began, watch.close()
    peak = {process: f"{peak / 1e6:.0f} MB" for process, peak in watch.peak.items()}
    last = done.stderr.strip().splitlines()[-1:]
    print(
        f"{name}: exit {done.returncode}, {wall_s:.1f} s ({last}), "
        f"{cpu_s:.1f} s of processor time: {photos / cpu_s:.1f} photos a second and core; "
        f"peak {peak}, workers together {watch.workers / 1e6:.0f} MB\n"
        f"  {done.stdout.strip() or done.stderr.strip()}",
        flush=True,
    )


if __name__ == "__main__":
    main()
