"""What the machine does while a run goes on: processor, memory, disk, network, NVIDIA devices."""

from __future__ import annotations

import csv
import io
import queue
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning as L
import psutil
from lightning.pytorch.callbacks import Callback

from kennel.learn.watch.boards import log_figures
from kennel.learn.watch.nvidia import Devices, uuids_of
from kennel.machine import utc_now
from kennel.writing import replacing

GIB, MB = 2**30, 10**6
LEAST_S = 0.5  # rates over less say nothing

Sample = dict[str, float]


@dataclass(eq=False)
class Hardware(Callback):
    """Samples the machine in a thread of its own, and writes what it sees.

    Every sample is a line of the file at `path` (units in the column names; a run that is gone on
    with goes on with the file) and goes to the loggers as `hardware/...`, by the training thread:
    loggers are not made for two. Only the first process of a run looks, at its own machine.

    Attributes:
        path: of the CSV file.
        every_s: seconds between two samples, 0.5 or more.
    """

    path: str
    every_s: float = 5.0

    def __post_init__(self) -> None:
        self._watch: Watch | None = None
        if not self.every_s >= LEAST_S:
            raise ValueError(f"every_s is {self.every_s}; it must be {LEAST_S} or more")

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if not trainer.is_global_zero:
            return
        strategy: Any = trainer.strategy
        used = getattr(strategy, "parallel_devices", None) or [pl_module.device]
        self._watch = Watch(
            Machine(Devices(uuids_of(used))),
            Table(Path(self.path)),
            every_s=self.every_s,
            step=lambda: trainer.global_step,
        )
        self._watch.start()

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        self._hand_on(trainer)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if self._watch is not None:
            self._watch.stop()
            self._hand_on(trainer)
            self._watch = None

    def on_exception(self, *_: Any) -> None:
        if self._watch is not None:
            self._watch.stop()
            self._watch = None

    def _hand_on(self, trainer: L.Trainer) -> None:
        if self._watch is not None:
            for sample in self._watch.taken():
                named = {f"hardware/{name}": value for name, value in sample.items()}
                log_figures(trainer, named, step=trainer.global_step)


class Machine:
    """What this machine and this run, with the processes that it started, use right now."""

    def __init__(self, devices: Devices) -> None:
        self._devices = devices
        self._run = psutil.Process()
        self._before_s, self._before = 0.0, dict[str, int]()

    def begin(self) -> None:
        """What the first sample compares with. Asked in its thread: psutil keeps account by it."""
        self._before_s, self._before = time.monotonic(), _counters()
        psutil.cpu_percent(percpu=True)

    def sample(self) -> Sample:
        """Figures by name, unit last. Rates are means since the sample before."""
        now_s, now = time.monotonic(), _counters()
        seconds = max(now_s - self._before_s, 1e-3)
        every = psutil.cpu_percent(percpu=True)
        cores = {at: every[at] for at in self._cores() if at < len(every)}
        found = {"cpu_percent": round(sum(cores.values()) / max(len(cores), 1), 1)}
        found |= {f"core_{at}_percent": share for at, share in cores.items()}
        found["memory_used_gib"] = round(psutil.virtual_memory().used / GIB, 3)
        found["memory_of_run_gib"] = round(self._resident() / GIB, 3)
        for name, value in now.items():
            before = self._before.get(name, value)
            found[f"{name}_mb_per_s"] = round(max(value - before, 0) / MB / seconds, 3)
        self._before_s, self._before = now_s, now
        return found | self._devices.read()

    def close(self) -> None:
        """Lets go of the devices."""
        self._devices.close()

    def _cores(self) -> list[int]:
        """Those that the run may use, where the system says so."""
        if hasattr(self._run, "cpu_affinity"):
            return sorted(self._run.cpu_affinity())
        return list(range(psutil.cpu_count() or 1))

    def _resident(self) -> int:
        """Resident bytes of the run's processes; pages that they share count in each."""
        total = 0
        for process in [self._run, *self._run.children(recursive=True)]:
            with suppress(psutil.Error):  # it ended since
                total += process.memory_info().rss
        return total


def _counters() -> dict[str, int]:
    """Bytes since the machine started: of all disks, and of all networks but the machine's own."""
    found: dict[str, int] = {}
    with suppress(OSError, RuntimeError):  # a container may hide its disks
        if disks := psutil.disk_io_counters():
            found |= {"disk_read": disks.read_bytes, "disk_written": disks.write_bytes}
    with suppress(OSError):
        nets = [
            net for name, net in psutil.net_io_counters(pernic=True).items() if name[:2] != "lo"
        ]
        found["network_received"] = sum(net.bytes_recv for net in nets)
        found["network_sent"] = sum(net.bytes_sent for net in nets)
    return found


class Table:
    """A CSV file to which whole lines are added.

    A file that is there is gone on with: a line that was cut short is dropped, and columns that it
    lacks are added to it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._columns: list[str] = []

    def add(self, row: dict[str, Any]) -> None:
        """Adds one line, in a single write."""
        if not set(row) <= set(self._columns):
            self._widen([*row])
        with self._path.open("a", encoding="utf-8", newline="") as file:
            file.write(_line([row.get(name, "") for name in self._columns]))

    def _widen(self, columns: list[str]) -> None:
        earlier: list[dict[str, Any]] = []
        if self._path.is_file():
            whole = self._path.read_text(encoding="utf-8").rpartition("\n")[0]
            reader = csv.DictReader(io.StringIO(whole))
            earlier = list(reader)
            self._columns = list(reader.fieldnames or [])
        self._columns += [name for name in columns if name not in self._columns]
        with replacing(self._path) as file:
            file.write(_line(self._columns))
            for row in earlier:
                file.write(_line([row.get(name) or "" for name in self._columns]))


def _line(values: list[Any]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(values)
    return text.getvalue()


class Watch:
    """A thread that takes a sample every so many seconds, and a last one when it is stopped."""

    def __init__(
        self, machine: Machine, table: Table, *, every_s: float, step: Callable[[], int]
    ) -> None:
        self._machine, self._table = machine, table
        self._every_s, self._step = every_s, step
        self._taken: queue.SimpleQueue[Sample] = queue.SimpleQueue()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, name="kennel-hardware", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread; what it saw last is there to be taken."""
        self._over.set()
        self._thread.join()
        self._machine.close()

    def taken(self) -> list[Sample]:
        """Samples that nobody has taken yet."""
        found = []
        with suppress(queue.Empty):
            while True:
                found.append(self._taken.get_nowait())
        return found

    def _look(self) -> None:
        self._machine.begin()
        last_s = time.monotonic()
        over, taken = False, 0
        while not over:
            over = self._over.wait(self._every_s)
            if over and taken and time.monotonic() - last_s < LEAST_S:
                return
            last_s = time.monotonic()
            try:
                sample = self._machine.sample()
            except (psutil.Error, OSError, RuntimeError):  # what it cannot see now, it may later
                continue
            taken += 1
            self._taken.put(sample)
            with suppress(OSError):  # a full disk must not end here what may end well elsewhere
                self._table.add({"time_utc": utc_now(), "step": self._step(), **sample})
