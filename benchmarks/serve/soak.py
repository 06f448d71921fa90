"""Minutes at full load while bundles are exchanged and workers are killed: answers lost.

    python benchmarks/serve/soak.py BUNDLE --minutes 10 --work DIR

Every --every seconds one thing happens, in turn: SIGHUP with another copy of the bundle; SIGKILL of
a worker; SIGHUP with a bundle of which a byte has changed, which must not be taken and is put right
again. A request that a worker had begun when it was killed cannot be answered by anybody: those are
counted apart from what is lost at any other time, which must be none.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from photos import labels_of, make_photos
from servers import HERE, Setup, pinned, serving, tree, used

from kennel.machine import hardware

AFTER_KILL_S = 0.5  # a connection that ends so soon after a kill is that worker's
DEEDS = ("reload", "kill", "bad reload")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--every", type=float, default=5.0, help="seconds between two deeds")
    parser.add_argument("--deeds", nargs="+", choices=DEEDS, default=list(DEEDS))
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--size", choices=["500x375", "12MP"], default="500x375")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--server-cores", default="", help="as taskset has them; all by default")
    parser.add_argument("--client-cores", default="")
    parser.add_argument("--port", type=int, default=18070)
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir(), "kennel-serve"))
    parser.add_argument("--to", type=Path, default=Path("soak.json"))
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    photos = make_photos(args.work)
    photos = {args.size: photos[args.size]}
    labels = labels_of(args.bundle, photos)[args.size]
    bundles = Bundles(args.bundle, args.work / "soak")
    setup = Setup(
        bundle=bundles.current,
        rival_python=Path(sys.executable),
        workers=args.workers,
        cores=args.server_cores,
        port=args.port,
        log=args.work / "soak.log",
    )
    plan = {
        "port": args.port,
        "photos": list(map(str, photos[args.size])),
        "labels": labels,
        "connections": args.connections,
        "seconds": 60 * args.minutes,
    }
    words = [sys.executable, str(HERE / "load.py"), json.dumps(plan)]
    setup.log.unlink(missing_ok=True)
    with serving("kennel", setup) as server:
        before = used(server.pid)
        client = subprocess.Popen(
            [*pinned(args.client_cores), *words], stdout=subprocess.PIPE, text=True
        )
        time.sleep(2.0)
        done = soak(server.pid, args, bundles, until=time.time() + 60 * args.minutes - 1.0)
        seen = json.loads(client.communicate()[0])
        after = used(server.pid)
        served = bundle_of(args.port)
    report(seen, done, args, {"before": before, "after": after, "bundle": served})


def soak(
    server: int, args: argparse.Namespace, bundles: Bundles, *, until: float
) -> list[dict[str, Any]]:
    """Does one thing after another; what was done, and when."""
    done: list[dict[str, Any]] = []
    chance = random.Random(0)  # noqa: S311
    number = 0
    while time.time() + args.every < until:
        deed = args.deeds[number % len(args.deeds)]
        number += 1
        at = time.time()
        if deed == "kill":
            workers = tree(server)[1:]
            killed = chance.choice(workers)
            os.kill(killed, signal.SIGKILL)
            done.append({"deed": deed, "at": at, "pid": killed, "workers": len(workers)})
        else:
            bundles.take("bad" if deed == "bad reload" else "ab"[number % 2])
            os.kill(server, signal.SIGHUP)
            done.append({"deed": deed, "at": at})
        time.sleep(args.every)
        if deed == "bad reload":
            bundles.take("a")  # who is killed next starts from what lies there
    return done


class Bundles:
    """Two copies of a bundle, and a damaged one, of which `current` names one."""

    def __init__(self, bundle: Path, folder: Path) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        for name in ("a", "b", "bad"):
            shutil.copytree(bundle, folder / name, ignore=shutil.ignore_patterns("report*"))
        model = folder / "bad" / "model.onnx"
        content = bytearray(model.read_bytes())
        content[len(content) // 2] ^= 1
        model.write_bytes(content)
        self.folder, self.current = folder, folder / "current"
        self.take("a")

    def take(self, name: str) -> None:
        """Lets `current` name another, at once."""
        link = self.folder / "next"
        link.unlink(missing_ok=True)
        link.symlink_to(name)
        link.replace(self.current)


def bundle_of(port: int) -> str:
    asked = HTTPConnection("127.0.0.1", port, timeout=10)
    asked.request("GET", "/bundle")
    said = json.loads(asked.getresponse().read())
    return str(said.get("bundle_id", said.get("bundle")))


def report(
    seen: dict[str, Any], done: list[dict[str, Any]], args: argparse.Namespace, end: dict[str, Any]
) -> None:
    kills = [each["at"] for each in done if each["deed"] == "kill"]
    with_kill = sum(any(0 <= at - k <= AFTER_KILL_S for k in kills) for at in seen["lost_at"])
    took = sorted(seen.pop("took_s"))
    found = {
        "minutes": args.minutes,
        "connections": args.connections,
        "workers": args.workers,
        "size": args.size,
        "answers": seen["answers"],
        "rate": seen["answers"] / seen["seconds"],
        "other_label": seen["other_label"],
        "lost_with_a_killed_worker": with_kill,
        "lost_otherwise": seen["lost"] - with_kill,
        "refused": seen["refused"],
        "busy": seen["busy"],
        "unanswered": seen["unanswered"],
        "p50_ms": 1000 * took[len(took) // 2],
        "p99_ms": 1000 * took[int(len(took) * 0.99)],
        "most_ms": 1000 * took[-1],
        "kills": len(kills),
        "reloads": sum(each["deed"] == "reload" for each in done),
        "bad_reloads": sum(each["deed"] == "bad reload" for each in done),
        "pss_mib_before": end["before"].pss_mib,
        "pss_mib_after": end["after"].pss_mib,
        "processes_after": end["after"].processes,
        "bundle": end["bundle"],
    }
    for name, value in found.items():
        print(f"{name:<27}{value:.1f}" if isinstance(value, float) else f"{name:<27}{value}")
    for words, times in list(seen["refusals"].items())[:5]:
        print(f"refused {times} times: {words!r}")
    print(", ".join(f"{k} {v}" for k, v in hardware().items()))
    args.to.write_text(json.dumps({**found, "done": done, "machine": hardware()}, indent=1))


if __name__ == "__main__":
    main()
