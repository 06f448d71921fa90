"""What mutated uploads and hostile requests do to `kennel serve`, a good client beside them.

    python benchmarks/serve_fuzz.py [--n 2000] [--seed 0] [--workers 1] [--bundle bundles/<id>]

Prints the statuses, the longest that the good client waited (idle, and meanwhile), and the most
memory that the server's processes ever held. Exit 1 when a status is one that must not be.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from beside import GoodClient
from bundles import tiny_bundle
from hostile_uploads import RED, attacks, mutants
from running import Running, start

from kennel.awkward import saved

ALLOWED = {200, 400, 413, 415, 422, 503}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--connections", type=int, default=4)
    parser.add_argument("--bundle", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        standing = Path(folder, "standing")
        standing.mkdir()
        bundle = args.bundle or tiny_bundle(Path(folder, "tiny")).path
        running = start(
            bundle,
            "--workers",
            str(args.workers),
            cwd=standing,
            environment={"KENNEL_SERVE_LOG": "none", "KENNEL_SERVE_HEADER_SECONDS": "2"},
        )
        try:
            bad = _run(running, args)
        finally:
            running.stop()
        left = list(standing.iterdir())
        print(f"files written       {len(left)}")
    return 1 if bad or left else 0


def _run(running: Running, args: argparse.Namespace) -> bool:
    photo = saved(RED, "JPEG")
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, ", end="")
    print(f"load {os.getloadavg()[0]:.1f}; {args.workers} worker, {args.connections} connections")
    with GoodClient(running, photo) as idle:
        time.sleep(3)
    print(f"memory before       {_peak_mib(running):.0f} MiB")
    uploads = mutants(args.seed, args.n)
    began = time.perf_counter()
    with (
        GoodClient(running, photo) as beside,
        ThreadPoolExecutor(args.connections) as senders,
    ):
        statuses = Counter(
            senders.map(lambda each: running.ask("POST", "/predict", *each).status, uploads)
        )
    seconds = time.perf_counter() - began
    print(f"{args.n} mutants        {seconds:.1f} s, {dict(sorted(statuses.items()))}")
    print(f"memory, most        {_peak_mib(running):.0f} MiB")
    ended, worst = {}, []
    hurt = GoodClient(running, photo)
    for attack in attacks():
        with GoodClient(running, photo) as one:
            ended[attack.name] = attack.run(running)[-1].status
        hurt.waits_s += one.waits_s
        hurt.statuses |= one.statuses
        hurt.failed += one.failed
        worst.append((one.longest_s, attack.name))
    print(f"{len(ended)} attacks          {dict(sorted(Counter(ended.values()).items()))}")
    print(f"memory, most        {_peak_mib(running):.0f} MiB")
    for name, client in (("idle", idle), ("mutants", beside), ("attacks", hurt)):
        waits = sorted(client.waits_s)
        print(
            f"good client, {name:8s}n {len(waits)}, p50 {1000 * waits[len(waits) // 2]:.1f} ms, "
            f"p99 {1000 * waits[int(0.99 * len(waits))]:.1f} ms, "
            f"longest {1000 * waits[-1]:.1f} ms, "
            f"statuses {client.statuses}, failed {len(client.failed)}"
        )
    print("longest waits       ", end="")
    print(", ".join(f"{1000 * wait:.0f} ms {name}" for wait, name in sorted(worst)[:-6:-1]))
    refused = {attack.name for attack in attacks() if ended[attack.name] not in attack.status}
    for name in sorted(refused):
        print(f"not as expected: {name}: {ended[name]}")
    return bool(set(statuses) - ALLOWED or refused or beside.failed or hurt.failed)


def _peak_mib(running: Running) -> float:
    """The most that each process ever held, together."""
    kib = 0
    for pid in running.processes():
        status = Path(f"/proc/{pid}/status").read_text("ascii")
        kib += int(status.split("VmHWM:")[1].split()[0])
    return kib / 1024


if __name__ == "__main__":
    sys.exit(main())
