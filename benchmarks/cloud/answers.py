"""Milliseconds of a processor for one answer of the server: what a bill of Lambda's depends on.

    python benchmarks/cloud/answers.py BUNDLE [--to answers.json]
    kennel cloud cost --measured answers.json

`kennel serve` as a function runs it: one worker, one thread, log as JSON, one connection that asks,
waits and asks again. Counted is what the server's processes used of the processor, from the bytes
of the request to those of the answer, so that a busy machine does not count. Sent are JPEGs of
4000 x 3000, the same as the page shrinks them in the browser (the short side keeps five times the
model's input), and of 500 x 375. Kinds take turns, ROUNDS times; the median is told.

Beside them the tutorial's way of reading a 12-megapixel photo: all of it decoded, resized to
224 x 224 by Pillow, and the 4.8 ms that its network takes.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from http.client import HTTPConnection
from pathlib import Path

import numpy as np
from PIL import Image

from kennel.bundle import read_bundle
from kennel.machine import git_state, hardware, versions
from kennel.writing import replacing

sys.path.insert(0, str(Path(__file__).parents[1] / "serve"))
from photos import make_photos
from servers import Setup, pinned, stop, used, wait_ready

ROUNDS, ANSWERS, WARM = 7, 24, 4
QUALITY = 92  # the page's first, of which it takes less only above 4 MB
PAGE_TIMES = 5
NETWORK_MS = 4.8  # the tutorial's network of 0.23 M parameters in onnxruntime, one thread
DOCUMENTS = ("/openapi.json", "/bundle", "/metrics", "/v2")
LAMBDA_LINES = """\
START RequestId: 8f507cfc-xmpl-4697-b07a-ac58fc914c95 Version: 12
END RequestId: 8f507cfc-xmpl-4697-b07a-ac58fc914c95
REPORT RequestId: 8f507cfc-xmpl-4697-b07a-ac58fc914c95\tDuration: 62.25 ms\tBilled Duration: 63 ms\
\tMemory Size: 1769 MB\tMax Memory Used: 280 MB\t
"""  # what Lambda itself writes for each request
EVENT_BYTES = 26  # that the log counts for each line beside its text


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--port", type=int, default=18190)
    parser.add_argument("--cores", default="0", help="for the server, as taskset has them")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir(), "kennel-cloud"))
    parser.add_argument("--to", type=Path, default=Path("answers.json"))
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    bundle = read_bundle(args.bundle)
    made = {size: [p.read_bytes() for p in paths] for size, paths in make_photos(args.work).items()}
    side = PAGE_TIMES * bundle.preprocess.size
    kinds = {
        "12-megapixel photo, as it is": made["12MP"],
        "12-megapixel photo, shrunk by the page": [shrunk(photo, side) for photo in made["12MP"]],
        "500 x 375 photo": made["500x375"][: len(made["12MP"])],
    }
    rows, log_bytes, largest, reference = measure(args, kinds, made["12MP"])
    page = Path(__file__).parents[2] / "src" / "kennel" / "serve" / "page"
    document = {
        "schema_version": 1,
        "works": rows,
        "log_bytes": log_bytes,
        "lambda_log_bytes": sum(len(each) + EVENT_BYTES for each in LAMBDA_LINES.splitlines()),
        "largest_answer_bytes": max(largest, *(path.stat().st_size for path in page.iterdir())),
        "tutorial": {"reading_ms": round(reference, 2), "network_ms": NETWORK_MS},
        "n": ROUNDS * ANSWERS,
        "bundle": bundle.bundle_id,
        "backbone": bundle.lineage.backbone.name,
        "hardware": hardware(),
        "versions": versions(("onnxruntime", "numpy", "pillow", "uvicorn")),
        "commit": git_state(Path(__file__).parent)[0],
    }
    with replacing(args.to) as file:
        file.write(json.dumps(document, indent=1, ensure_ascii=False) + "\n")
    for row in rows:
        print(
            f"{row['name']:<40}{row['core_ms']:>7.1f} ms of a core "
            f"({row['core_ms_least']:.1f} to {row['core_ms_most']:.1f})"
            f"{row['photo_bytes']:>11,} bytes sent{row['need_mb']:>6} MB held"
        )
    print(f"{'the tutorial reads 12 megapixels in':<40}{reference:>7.1f} ms of a core")
    print(f"log {log_bytes} bytes a request; n {document['n']} each; {document['hardware']}")


def measure(
    args: argparse.Namespace, kinds: dict[str, list[bytes]], large: list[bytes]
) -> tuple[list[dict], int, int, float]:
    """A row a kind, bytes of log a request, the largest document, the tutorial's milliseconds."""
    log = args.work / "server.log"
    log.write_bytes(b"")
    words = [sys.executable, "-m", "kennel", "serve", str(args.bundle), "--workers", "1"]
    words += ["--host", "127.0.0.1", "--port", str(args.port)]
    spent: dict[str, list[float]] = {name: [] for name in kinds}
    held: dict[str, float] = {}
    sizes: dict[str, int] = {}
    tutorial: list[float] = []
    with log.open("ab") as out:
        server = subprocess.Popen(
            [*pinned(args.cores), *words],
            env={**os.environ, "KENNEL_SERVE_LOG": "json", "OMP_NUM_THREADS": "1"},
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    try:
        wait_ready("kennel", Setup(args.bundle, Path(sys.executable), port=args.port), server)
        begun_bytes, asked = log.stat().st_size, 0
        for number in range(ROUNDS + 1):
            for name, photos in kinds.items():
                connection = HTTPConnection("127.0.0.1", args.port, timeout=60)
                for n in range(WARM):
                    sizes[name] = answer(connection, photos[n % len(photos)])
                before = used(server.pid).cpu_s
                for n in range(ANSWERS):
                    answer(connection, photos[n % len(photos)])
                after = used(server.pid)
                asked += WARM + ANSWERS
                if number:
                    spent[name].append((after.cpu_s - before) / ANSWERS * 1000)
                held[name] = max(held.get(name, 0.0), after.pss_mib)
                connection.close()
            tutorial += [tutorial_ms(photo, args.cores) for photo in large[:3]] if number else []
        time.sleep(1.0)  # the log has a thread of its own
        own = (log.stat().st_size - begun_bytes) / asked
        largest = max(document(args.port, path) for path in DOCUMENTS)
    finally:
        stop(server)
    rows = [
        {
            "name": name,
            "core_ms": round(statistics.median(each), 2),
            "core_ms_least": round(min(each), 2),
            "core_ms_most": round(max(each), 2),
            "photo_bytes": round(statistics.median(map(len, kinds[name]))),
            "answer_bytes": sizes[name],
            "need_mb": round(held[name]),
        }
        for name, each in spent.items()
    ]
    return rows, round(own) + EVENT_BYTES, largest, statistics.median(tutorial)


def answer(connection: HTTPConnection, photo: bytes) -> int:
    """Asks once; the bytes of the answer, head and all."""
    connection.request("POST", "/predict", body=photo, headers={"Content-Type": "image/jpeg"})
    answered = connection.getresponse()
    body = answered.read()
    if answered.status != 200:
        raise SystemExit(f"{answered.status}: {body[:200]!r}")
    return len(body) + sum(len(k) + len(v) + 4 for k, v in answered.getheaders())


def document(port: int, path: str) -> int:
    """Bytes of what a path answers."""
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", path)
    size = len(connection.getresponse().read())
    connection.close()
    return size


def shrunk(photo: bytes, side: int) -> bytes:
    """As photo.js has it: the short side to `side`, as JPEG."""
    with Image.open(io.BytesIO(photo)) as opened:
        scale = side / min(opened.size)
        size = tuple(round(each * scale) for each in opened.size)
        small = opened.convert("RGB").resize(size, Image.Resampling.BICUBIC)
    out = io.BytesIO()
    small.save(out, "JPEG", quality=QUALITY)
    return out.getvalue()


def tutorial_ms(photo: bytes, cores: str) -> float:
    """Processor time of the tutorial's reading: whole, squashed to 224 x 224, normalised. On the
    server's core, which waits meanwhile.
    """
    if cores.isdecimal():
        os.sched_setaffinity(0, {int(cores)})
    begun = time.process_time()
    with Image.open(io.BytesIO(photo)) as opened:
        small = opened.convert("RGB").resize((224, 224), Image.Resampling.BILINEAR)
    array = np.asarray(small, np.float32).transpose(2, 0, 1) / 255
    (array - 0.5) / 0.25
    took_s = time.process_time() - begun
    os.sched_setaffinity(0, range(os.cpu_count() or 1))
    return took_s * 1000


if __name__ == "__main__":
    main()
