"""A study with two processes, one of them killed, beside the same without pruning.

    python benchmarks/tuning.py --csv data/dataset.csv --work DIR --trials 20

The space is the shipped one with its smaller shapes, at 64 px and for nine epochs. When six trials
are over, one process is killed with SIGKILL in the middle of a trial.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import optuna

from kennel.learn.tuning.storage import WORKER
from kennel.machine import hardware, versions

WORDS = (
    *("model.image.size=64", "trainer.max_epochs=9", "tune.workers=2", "tune.best=null"),
    *("space.model.depths.choices=[[2,2,6,2],[1,1,3,1]]", "callbacks.hardware=null"),
    "callbacks.mistakes=null",
)
KILLED_AFTER = 6  # trials


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--csv", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--pruners", nargs="+", default=["hyperband", "none"])
    args = parser.parse_args()
    for name in args.pruners:
        found, wall_s, cpu_s, killed = _study(name, args)
        print(
            f"{name}: {found['done']} done, {found['pruned']} pruned, {found['lost']} lost of "
            f"{killed} killed processes, {found['failed']} failed; {found['monitor']} "
            f"{found['figure']:.4f} (trial {found['best_trial']}); {wall_s:.0f} s, {cpu_s:.0f} s "
            "of processor time",
            flush=True,
        )
    print({**hardware(), **versions(("torch", "optuna", "numpy"))})


def _study(name: str, args: argparse.Namespace) -> tuple[dict[str, Any], float, float, int]:
    folder = args.work / name
    command = [
        *(sys.executable, "-m", "kennel", "tune", *WORDS, f"data.csv={args.csv}", "--json"),
        *(f"pruner={name}", f"tune.name={name}", f"tune.folder={args.work}"),
        *(f"tune.n_trials={args.trials}", f"paths.cache_dir={args.work / 'cache'}"),
    ]
    before, began_s, killed = _cpu_s(), time.perf_counter(), 0
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    while process.poll() is None:
        time.sleep(0.1)
        if not killed and name != "none" and _finished(folder) >= KILLED_AFTER:
            killed = _kill_one_at_work(name, args.work)
    assert process.stdout is not None
    said: dict[str, Any] = json.loads(process.stdout.read())
    return said, time.perf_counter() - began_s, _cpu_s() - before, killed


def _kill_one_at_work(name: str, work: Path) -> int:
    """Kills a process that is in the middle of a trial; 0 where none is just now."""
    study = optuna.load_study(study_name=name, storage=f"sqlite:///{work / f'{name}.db'}")
    for trial in study.get_trials(states=(optuna.trial.TrialState.RUNNING,)):
        if trial.intermediate_values and WORKER in trial.user_attrs:
            os.kill(int(trial.user_attrs[WORKER].split("-")[-2]), signal.SIGKILL)
            return 1
    return 0


def _finished(folder: Path) -> int:
    runs = [json.loads(path.read_text()) for path in folder.glob("trials/*/run.json")]
    return sum(run["status"] in ("done", "pruned") for run in runs)


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
