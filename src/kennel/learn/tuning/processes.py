"""Several processes at one study, started and looked after by one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence

from kennel.errors import RunError
from kennel.learn.tuning import storage
from kennel.learn.tuning.work import Plan, give_back

CHILD = "KENNEL_TUNE_WORKER"  # set in processes that a study starts: their number, from 1
POLL_S, LEAVING_S = 0.2, 60.0  # between two looks; that a process gets to end its step


def supervise(plan: Plan, words: Sequence[str], say: Callable[[str], None]) -> None:
    """Keeps as many processes at work as were asked for, until the study has its trials.

    Raises:
        RunError: a process failed, and why stands above it.
    """
    own = [word for word in words if not word.startswith(("tune.workers=", "tune.resume="))]
    command = [sys.executable, "-m", "kennel", "tune", *own, "tune.workers=1", "tune.resume=true"]
    started, killed, failed = 0, 0, 0
    children: list[subprocess.Popen[bytes]] = []

    def start() -> None:
        nonlocal started
        started += 1
        environment = {**os.environ, CHILD: str(started)}
        children.append(subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL))

    try:
        for _ in range(plan.tune.workers):
            start()
        while children:
            time.sleep(POLL_S)
            for child in [each for each in children if each.poll() is not None]:
                children.remove(child)
                if child.returncode < 0:
                    killed += 1
                    name = signal.Signals(-child.returncode).name
                    say(f"a process of the study was ended by {name}")
                    give_back(plan)
                elif child.returncode:
                    failed += 1
            with storage.failing_in_words(plan.url):
                wanted = storage.is_wanted(plan.study, n_trials=plan.tune.n_trials)
                short = plan.tune.workers - failed - len(children)
                if killed <= plan.tune.retries * plan.tune.workers and short > 0 and wanted:
                    start()
    except BaseException:
        for child in children:
            child.terminate()  # SIGTERM: who was started in the background ignores Ctrl-C
        until = time.monotonic() + LEAVING_S
        for child in children:
            try:
                child.wait(max(until - time.monotonic(), 0.1))
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        raise
    with storage.failing_in_words(plan.url):
        if storage.is_wanted(plan.study, n_trials=plan.tune.n_trials):
            raise RunError(
                f"{failed + killed} processes of the study failed before it was over.",
                fix="what they said stands above; go on with tune.resume=true",
            )
