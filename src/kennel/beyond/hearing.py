"""What workers of a cluster say, line by line, where the command was given."""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from typing import Any, TextIO, cast

from kennel.beyond.cluster import Cluster

POLL_S = 0.2  # between two looks


class Ear:
    """An actor that keeps lines until they are taken."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.faults: list[tuple[str, str, str]] = []

    def say(self, line: str) -> None:
        self.lines.append(line)

    def fail(self, kind: str, message: str, fix: str) -> None:
        """Keeps an error of Kennel's, which does not travel between processes by itself."""
        self.faults.append((kind, message, fix))

    def take(self) -> list[str]:
        lines, self.lines = self.lines, []
        return lines

    def take_faults(self) -> list[tuple[str, str, str]]:
        faults, self.faults = self.faults, []
        return faults


class Mouth:
    """A text stream that sends whole lines to an Ear."""

    encoding = "utf-8"

    def __init__(self, ear: Any) -> None:
        self.ear, self._begun = ear, ""

    def write(self, text: str) -> int:
        *whole, self._begun = (self._begun + text).split("\n")
        for line in whole:
            self.ear.say.remote(line)
        return len(text)

    def flush(self) -> None:
        """A line is sent when it is whole."""

    def isatty(self) -> bool:
        return False


@contextmanager
def listening(cluster: Cluster, say: Callable[[str], None]) -> Iterator[Any]:
    """An Ear on this node; `say` takes its lines until the block ends."""
    ray = cluster.ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    ear = ray.remote(num_cpus=0, max_restarts=0)(Ear).options(scheduling_strategy=here).remote()
    over = threading.Event()

    def listen() -> None:
        while True:
            last = over.wait(POLL_S)
            try:
                lines = ray.get(ear.take.remote())
            except ray.exceptions.RayError:  # the cluster is gone: others say why
                return
            for line in lines:
                say(line)
            if last:
                return

    thread = threading.Thread(target=listen, name="kennel-ear", daemon=True)
    thread.start()
    try:
        yield ear
    finally:
        over.set()
        thread.join(timeout=5)
        with suppress(ray.exceptions.RayError, RuntimeError):
            ray.kill(ear)


@contextmanager
def speaking(ear: Any, name: str = "kennel") -> Iterator[TextIO]:
    """What this process prints and logs under `name` goes to an Ear until the block ends."""
    mouth = cast(TextIO, Mouth(ear))
    handler = logging.StreamHandler(mouth)
    handler.setFormatter(logging.Formatter("%(message)s"))
    own = logging.getLogger(name)
    own.addHandler(handler)
    for library in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(library).setLevel(logging.ERROR)
    try:
        with (
            redirect_stdout(mouth),
            redirect_stderr(mouth),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")
            yield mouth
    finally:
        own.removeHandler(handler)
