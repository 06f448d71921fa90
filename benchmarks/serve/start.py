"""Seconds from starting a process to its first correct answer, starts alternating.

    python benchmarks/serve/start.py BUNDLE --work DIR [--starts 20]

Kennel's server, plain FastAPI with onnxruntime, LitServe and BentoML, with one worker each; beside
them `python -c "import onnxruntime"` from start to exit. A photo is sent again and again, on a new
connection each 5 ms, until the answer has the right label: whoever says "ready" too early gains
nothing. One start of each before anything is counted; then files and bytecode are in memory.
"""

from __future__ import annotations

import argparse
import json
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from load import request, whole
from photos import labels_of, make_photos
from servers import NAMES, Setup, pinned, rivals, start, stop, used

from kennel.machine import hardware, versions

LONGEST_S = 120.0
AGAIN_S = 0.005
IMPORT = "import onnxruntime"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--rival-python", type=Path)
    parser.add_argument("--servers", nargs="+", choices=NAMES, default=list(NAMES))
    parser.add_argument("--starts", type=int, default=20)
    parser.add_argument("--server-cores", default="0", help="as taskset has them")
    parser.add_argument("--port", type=int, default=18090)
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir(), "kennel-serve"))
    parser.add_argument("--to", type=Path, default=Path("start.json"))
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    photos = make_photos(args.work)
    small = {"500x375": photos["500x375"][:1]}
    label = labels_of(args.bundle, small)["500x375"][0]
    asked = request(small["500x375"][0].read_bytes(), "/predict")
    setup = Setup(
        bundle=args.bundle,
        rival_python=args.rival_python or rivals(args.work / "rivals"),
        cores=args.server_cores,
        log=args.work / "servers.log",
    )
    took_s: dict[str, list[float]] = {name: [] for name in (*args.servers, IMPORT)}
    pss_mib: dict[str, list[float]] = {name: [] for name in args.servers}
    for number in range(args.starts + 1):
        for place, name in enumerate(took_s):
            if name == IMPORT:
                seconds = import_s(setup)
            else:
                # A port of its own: the one before may still be closing.
                port = args.port + (number * len(took_s) + place) % 500
                seconds, mib = start_s(name, setup, port, asked, label)
                if number:
                    pss_mib[name].append(mib)
            if number:
                took_s[name].append(seconds)
        sys.stderr.write(f"start {number} of {args.starts}\n" if number else "warmed\n")
    base = statistics.median(took_s["plain"]) if "plain" in took_s else float("nan")
    print(f"{'':<22}{'median s':>9}{'least':>8}{'most':>8}{'of plain':>10}{'PSS MiB':>9}")
    for name, seconds in took_s.items():
        middle = statistics.median(seconds)
        mib = f"{statistics.median(pss_mib[name]):>9.0f}" if name in pss_mib else ""
        print(
            f"{name:<22}{middle:>9.3f}{min(seconds):>8.3f}{max(seconds):>8.3f}"
            f"{middle / base:>9.2f}x{mib}"
        )
    machine = {**hardware(), **versions(("onnxruntime", "fastapi", "uvicorn"))}
    args.to.write_text(json.dumps({"machine": machine, "took_s": took_s, "pss_mib": pss_mib}))
    print(", ".join(f"{k} {v}" for k, v in machine.items()), f"n {args.starts}", sep=", ")


def start_s(name: str, setup: Setup, port: int, asked: bytes, label: str) -> tuple[float, float]:
    """Seconds to the first correct answer, and MiB held then."""
    with setup.log.open("ab") as log:
        began = time.perf_counter()
        server = start(name, Setup(**{**vars(setup), "port": port}), log=log)
        try:
            while not correct(port, asked, label):
                if server.poll() is not None:
                    raise RuntimeError(f"{name} ended with {server.returncode}: see {setup.log}")
                if time.perf_counter() - began > LONGEST_S:
                    raise RuntimeError(f"{name} gave no right answer in {LONGEST_S:g} s")
                time.sleep(AGAIN_S)
            return time.perf_counter() - began, used(server.pid).pss_mib
        finally:
            stop(server)


def correct(port: int, asked: bytes, label: str) -> bool:
    """Whether a photo gets its label now."""
    answer = bytearray()
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), 30) as connection:
        connection.sendall(asked)
        while not whole(answer):
            piece = connection.recv(65_536)
            if not piece:
                return False
            answer += piece
        at = answer.find(b'"label"')
        return answer[9:12] == b"200" and f'"{label}"'.encode() in answer[at : at + 80]
    return False


def import_s(setup: Setup) -> float:
    """What no server with onnxruntime can be faster than."""
    began = time.perf_counter()
    subprocess.run([*pinned(setup.cores), sys.executable, "-c", IMPORT], check=True)
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
