"""What kennel-train must do: the whole way, from photos to an answer, with a read-only root."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

from kennel.cloud.rehearsal.container import Image, Mount, run

LONGEST_S = 900.0
WAY = """
set -eu
kennel sample photos --labels 3 --per-label 12
kennel index photos --to data/dataset.csv
kennel train experiment=quick data.csv=data/dataset.csv paths.output_dir=runs/first
kennel export runs/first --to bundles/first
kennel predict bundles/first photos/Beagle/beagle_0001.jpg --json > answer.json
git --version
"""


def check(image: Image, *, scratch: Path, say: Callable[[str, str], None]) -> None:
    work, shared = scratch / "work", scratch / "shared"
    for folder in (work, shared):
        folder.mkdir()
        os.chown(folder, 1000, 1000)
    mounts = [Mount(work, "/work", read_only=False), Mount(shared, "/dev/shm", read_only=False)]  # noqa: S108
    how = {"log": scratch / "train.log", "mounts": mounts, "scratch_bytes": 2**30}
    began = time.monotonic()
    code, said = run(image, commands=[["sh", "-c", WAY]], timeout_s=LONGEST_S, **how)
    assert code == 0, f"it ended with {code}: {said[-3000:]}"
    [answer] = json.loads((work / "answer.json").read_text())
    assert answer["label"], answer
    owners = {path.stat().st_uid for path in work.rglob("*")}
    assert owners == {1000}, f"files belong to {owners}"
    took = time.monotonic() - began
    say("train", f"draws, indexes, trains, exports, answers in {took:.0f} s: {answer['label']}")
    say("train", "under a read-only root; what it writes into /work belongs to the image's user")
