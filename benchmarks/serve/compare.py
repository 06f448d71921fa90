"""Kennel's server beside LitServe, BentoML and plain FastAPI: one ONNX file, labels, photos, cores.

    KENNEL_PHOTOS=PHOTOS python benchmarks/serve/compare.py BUNDLE --work DIR

Rounds are interleaved: each starts every server once, and the raw loop, in an order that moves on
by one. A closed loop of 1, 16 and 64 connections sends JPEGs of 500 x 375 and of 12 megapixels;
meanwhile the health address is asked each 50 ms. Medians of the rounds, and the least and most.
Rivals live in an environment of their own, WORK/rivals, which is made where it is missing.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from photos import labels_of, make_photos
from servers import HEALTH, HERE, NAMES, Setup, Used, pinned, rivals, serving, used

from kennel.machine import hardware, versions

SAMPLE_S = 0.25
Row = dict[str, Any]


def main() -> None:
    args = arguments()
    photos = make_photos(args.work)
    labels = labels_of(args.bundle, photos)
    setup = Setup(
        bundle=args.bundle,
        rival_python=args.rival_python,
        workers=args.workers,
        cores=args.server_cores,
        port=args.port,
        read=args.read,
        log=args.work / "servers.log",
    )
    everybody = [*args.servers, "raw"]
    rows: list[Row] = []
    for number in range(args.rounds):
        turn = number % len(everybody)
        for name in everybody[turn:] + everybody[:turn]:
            if name == "raw":
                found = list(raw(setup, photos, args))
            else:
                found = list(measure(name, setup, photos, labels, args))
            rows += [{"round": number, "server": name, **row} for row in found]
            with args.to.open("w", encoding="utf-8") as file:
                json.dump(document(rows, args), file, indent=1)
        sys.stderr.write(f"round {number + 1} of {args.rounds} done\n")
    say(rows, everybody)
    print(f"\n{args.to}: every round")
    print(", ".join(f"{k} {v}" for k, v in document([], args)["machine"].items()))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundle", type=Path)
    parser.add_argument(
        "--rival-python", type=Path, help="default: WORK/rivals/bin/python, made where missing"
    )
    parser.add_argument("--servers", nargs="+", choices=NAMES, default=list(NAMES))
    parser.add_argument("--connections", type=int, nargs="+", default=[1, 16, 64])
    parser.add_argument("--sizes", nargs="+", default=["500x375", "12MP"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=6.0, help="of each load")
    parser.add_argument("--workers", type=int, default=1, help="processes of each server")
    parser.add_argument("--server-cores", default="0", help="as taskset has them")
    parser.add_argument("--client-cores", default="1")
    parser.add_argument(
        "--read",
        choices=["habit", "kennel"],
        default="habit",
        help="kennel: rivals read photos by kennel.images, too",
    )
    parser.add_argument("--port", type=int, default=18080)
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir(), "kennel-serve"))
    parser.add_argument("--to", type=Path, default=Path("serve.json"))
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    args.rival_python = args.rival_python or rivals(args.work / "rivals")
    return args


def measure(
    name: str,
    setup: Setup,
    photos: dict[str, list[Path]],
    labels: dict[str, list[str]],
    args: argparse.Namespace,
) -> Iterator[Row]:
    """Each load on one server, started for it."""
    with serving(name, setup) as server:
        # Once through the small photos: what is made at the first answer is not measured.
        load(setup, photos["500x375"], [], 1, seconds=1.0, args=args)
        idle = used(server.pid)
        for size in args.sizes:
            for connections in args.connections:
                before = used(server.pid)
                with watching(server.pid) as most, asking(name, setup, args) as health:
                    began = time.perf_counter()
                    seen = load(
                        setup,
                        photos[size],
                        labels[size],
                        connections,
                        seconds=args.seconds,
                        args=args,
                    )
                    wall_s = time.perf_counter() - began
                after = used(server.pid)
                took = sorted(seen.pop("took_s"))
                yield {
                    "size": size,
                    "connections": connections,
                    "rate": seen["answers"] / seen["seconds"],
                    "p50_ms": 1000 * quantile(took, 0.50),
                    "p99_ms": 1000 * quantile(took, 0.99),
                    **seen,
                    "n_times": len(took),
                    "health_p99_ms": quantile(sorted(health["took_ms"]), 0.99),
                    "health_most_ms": max(health["took_ms"], default=0.0),
                    "health_asked": len(health["took_ms"]),
                    "health_failed": health["failed"],
                    "idle_pss_mib": idle.pss_mib,
                    "load_pss_mib": most[0].pss_mib,
                    "load_rss_mib": most[0].rss_mib,
                    "processes": most[0].processes,
                    "server_cpu_share": (after.cpu_s - before.cpu_s) / wall_s,
                }


def raw(setup: Setup, photos: dict[str, list[Path]], args: argparse.Namespace) -> Iterator[Row]:
    """The loop without HTTP, in as many processes as a server has workers."""
    for size in args.sizes:
        words = [sys.executable, str(HERE / "raw.py"), str(setup.bundle), str(args.seconds)]
        running = [
            subprocess.Popen(
                [*pinned(setup.cores), *words, *map(str, photos[size])],
                stdout=subprocess.PIPE,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
            )
            for _ in range(setup.workers)
        ]
        said = [json.loads(each.communicate()[0]) for each in running]
        yield {
            "size": size,
            "connections": 0,
            "rate": sum(each["answers"] / each["seconds"] for each in said),
        }


def load(
    setup: Setup,
    photos: list[Path],
    labels: list[str],
    connections: int,
    *,
    seconds: float,
    args: argparse.Namespace,
) -> Row:
    """What a closed loop saw, from its own process on its own cores."""
    plan = {
        "port": setup.port,
        "photos": list(map(str, photos)),
        "labels": labels,
        "connections": connections,
        "seconds": seconds,
    }
    words = [sys.executable, str(HERE / "load.py"), json.dumps(plan)]
    done = subprocess.run([*pinned(args.client_cores), *words], stdout=subprocess.PIPE, check=True)
    seen: Row = json.loads(done.stdout)
    return seen


@contextmanager
def asking(name: str, setup: Setup, args: argparse.Namespace) -> Iterator[Row]:
    """Asks the server how it is meanwhile; what is yielded is filled at the end."""
    words = [sys.executable, str(HERE / "health.py"), str(setup.port), HEALTH[name]]
    asker = subprocess.Popen(
        [*pinned(args.client_cores), *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    said: Row = {"took_ms": [], "failed": 0}
    try:
        yield said
    finally:
        said.update(json.loads(asker.communicate(b"\n")[0] or b"{}"))


@contextmanager
def watching(pid: int) -> Iterator[list[Used]]:
    """The most memory that the server holds meanwhile."""
    most, over = [used(pid)], threading.Event()

    def look() -> None:
        while not over.wait(SAMPLE_S):
            most[0] = max(most[0], used(pid), key=lambda each: each.pss_mib)

    looking = threading.Thread(target=look)
    looking.start()
    try:
        yield most
    finally:
        over.set()
        looking.join()


def say(rows: list[Row], everybody: list[str]) -> None:
    """Tables of medians."""
    for size in dict.fromkeys(row["size"] for row in rows):
        print(f"\n{size}")
        print(
            f"{'server':<10}{'conn':>5}{'req/s':>9}{'least':>8}{'most':>8}{'p50 ms':>9}"
            f"{'p99 ms':>9}{'of raw':>8}{'health p99':>12}{'other':>7}{'bad':>5}"
            f"{'idle MiB':>10}{'load MiB':>10}"
        )
        here = [row for row in rows if row["size"] == size]
        of_raw = [row["rate"] for row in here if row["server"] == "raw"]
        for name in everybody:
            of = [row for row in here if row["server"] == name]
            for connections in dict.fromkeys(row["connections"] for row in of):
                mine = [row for row in of if row["connections"] == connections]
                print(f"{name:<10}{connections or '':>5}{in_words(mine, of_raw)}")


def in_words(rows: list[Row], of_raw: list[float]) -> str:
    """Medians of one server's rounds with one load."""

    def median(key: str) -> float:
        return statistics.median(row[key] for row in rows)

    rates = [row["rate"] for row in rows]
    line = f"{median('rate'):>9.1f}{min(rates):>8.1f}{max(rates):>8.1f}"
    if not rows[0]["connections"]:
        return line
    share = median("rate") / statistics.median(of_raw) if of_raw else float("nan")
    other = sum(row["other_label"] for row in rows) / max(1, sum(row["n_times"] for row in rows))
    bad = sum(row[key] for row in rows for key in ("busy", "refused", "lost", "unanswered"))
    return (
        f"{line}{median('p50_ms'):>9.1f}{median('p99_ms'):>9.1f}{share:>8.0%}"
        f"{median('health_p99_ms'):>12.1f}{other:>7.1%}{bad:>5}"
        f"{median('idle_pss_mib'):>10.0f}{median('load_pss_mib'):>10.0f}"
    )


def quantile(values: list[float], share: float) -> float:
    """Of sorted values: the smallest that is at least as large as this share of them."""
    if not values:
        return float("nan")
    return values[min(len(values) - 1, max(0, -int(-share * len(values) // 1) - 1))]


def document(rows: list[Row], args: argparse.Namespace) -> Row:
    """All that was seen, and on what."""
    script = (
        "import json; from importlib.metadata import version as v; "
        "print(json.dumps({n: v(n) for n in "
        "('litserve', 'bentoml', 'fastapi', 'uvicorn', 'onnxruntime', 'pillow', 'numpy')}))"
    )
    said = subprocess.run(
        [str(args.rival_python), "-c", script], capture_output=True, text=True, check=False
    )
    return {
        "settings": {key: str(value) for key, value in vars(args).items()},
        "machine": {
            **hardware(),
            **versions(("fastapi", "uvicorn", "onnxruntime", "pillow", "numpy")),
        },
        "rivals": json.loads(said.stdout or "{}"),
        "rows": rows,
    }


if __name__ == "__main__":
    main()
