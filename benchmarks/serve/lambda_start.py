"""Cold starts of the serve process as AWS Lambda would have them: from nothing to the first answer.

    python benchmarks/serve/lambda_start.py bundles/<id> --photo photo.jpg [--starts 20]

Each start is one sandbox of the rehearsal (`kennel.cloud.rehearsal`): the serve image's entry point
and the Web Adapter's stand-in beside the Runtime API, in the limits of a function. Timed from the
processes' start to the answer for one photo, and what the server read until then: `rchar` counts
bytes by read(2), `read_bytes` those that came from a disk, of mapped files as well. The page cache
is dropped before each start where this may (root); else that is said.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from kennel.bundle import read_bundle
from kennel.cloud.rehearsal.dockerfile import read_settings
from kennel.cloud.rehearsal.events import reply_of, url_event
from kennel.cloud.rehearsal.sandbox import Configuration, Runnable, Sandbox, begin
from kennel.machine import hardware, versions

ROOT = Path(__file__).resolve().parents[2]
DROP = Path("/proc/sys/vm/drop_caches")
ARN = "arn:aws:lambda:us-east-1:000000000000:function:kennel:live"
DIGEST = f"sha256:{'0' * 64}"
LONGEST_S = 60.0
RESAMPLES = 10_000


@dataclass(frozen=True)
class Start:
    """One start.

    Attributes:
        asks_s: until it asks for an event. answers_s: until a photo is answered.
        rchar, read_bytes: of all its processes, until then.
    """

    asks_s: float
    answers_s: float
    rchar: int
    read_bytes: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--photo", type=Path, required=True, help="a JPEG that is asked")
    parser.add_argument("--starts", type=int, default=20)
    parser.add_argument("--memory", type=int, default=2048, help="MB of the function")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    bundle = read_bundle(args.bundle)
    told = read_settings(ROOT / "docker" / "serve.Dockerfile")
    what = Runnable(DIGEST, told.entry, told.environment, bundle=bundle.path.resolve())
    workers = (("KENNEL_SERVE_WORKERS", "1"),)
    how = Configuration(
        "kennel", ARN, "1", DIGEST, "us-east-1", args.memory, LONGEST_S, environment=workers
    )
    photo = args.photo.read_bytes()
    dropped, starts = may_drop(), []
    with tempfile.TemporaryDirectory(prefix="cold-start-") as scratch:
        for number in range(args.starts):
            if dropped:
                drop()
            starts.append(once(what, how, Path(scratch) / f"{number}", photo))
            print(f"{number + 1}: {starts[-1].answers_s:.2f} s", file=sys.stderr, flush=True)
    told_of = {
        "bundle": bundle.bundle_id,
        "n": len(starts),
        "memory_mb": args.memory,
        "page_cache": "dropped before each start" if dropped else "as it was",
        "hardware": hardware(),
        "versions": versions(["onnxruntime", "numpy", "uvicorn"]),
        "starts": [asdict(each) for each in starts],
    }
    print(json.dumps(told_of, indent=2) if args.json else "\n".join(table(starts, told_of)))


def once(what: Runnable, how: Configuration, folder: Path, photo: bytes) -> Start:
    sandbox = begin(what, how, folder)
    try:
        if not sandbox.ready(LONGEST_S):
            raise SystemExit(f"it did not begin: {sandbox.said()}")
        event = url_event("POST", "/predict", headers={"content-type": "image/jpeg"}, body=photo)
        said = reply_of(sandbox.invoke(event, timeout_s=LONGEST_S))
        took = time.monotonic() - sandbox.began
        rchar, read_bytes = read_until_now(sandbox)
        if said.status != 200:
            raise SystemExit(f"it answers {said.status}: {said.body[:200]!r}")
        return Start(sandbox.init_s, took, rchar, read_bytes)
    finally:
        sandbox.end()


def read_until_now(sandbox: Sandbox) -> tuple[int, int]:
    """Of the entry point and its workers; the adapter's stand-in is not the image's."""
    rchar = read_bytes = 0
    for pid in family(sandbox.processes[0].pid):
        pairs = Path(f"/proc/{pid}/io").read_text(encoding="ascii").splitlines()
        found = dict(line.split(": ") for line in pairs)
        rchar += int(found["rchar"])
        read_bytes += int(found["read_bytes"])
    return rchar, read_bytes


def family(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    return [pid, *(each for child in children for each in family(int(child)))]


def may_drop() -> bool:
    return os.access(DROP, os.W_OK) and os.geteuid() == 0


def drop() -> None:
    os.sync()
    DROP.write_text("3\n", encoding="ascii")


def interval(values: list[float]) -> tuple[float, float]:
    """95 % of the median, by the bootstrap."""
    rng = np.random.default_rng(0)
    drawn = np.median(rng.choice(values, size=(RESAMPLES, len(values))), axis=1)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return float(low), float(high)


def table(starts: list[Start], told: dict[str, object]) -> list[str]:
    rows = [
        f"{told['bundle']}, n {told['n']}, {told['memory_mb']} MB; page cache {told['page_cache']}"
    ]
    for name, words in (("asks_s", "asks for an event, s"), ("answers_s", "first answer, s")):
        values = [float(getattr(each, name)) for each in starts]
        low, high = interval(values)
        rows.append(
            f"{words:<24}{statistics.median(values):>8.2f}  [{low:.2f}, {high:.2f}]  "
            f"least {min(values):.2f}, most {max(values):.2f}"
        )
    for name, words in (("rchar", "read(2), MB"), ("read_bytes", "from the disk, MB")):
        values = [getattr(each, name) / 1e6 for each in starts]
        rows.append(f"{words:<24}{statistics.median(values):>8.1f}  most {max(values):.1f}")
    return rows


if __name__ == "__main__":
    main()
