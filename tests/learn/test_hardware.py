"""What the machine does while a run goes on: sampled, written whole, and over when the run is."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import TensorBoardLogger
from pictures import NO_LOGGER, TINY, train_with

from kennel.dataset import Dataset
from kennel.learn.watch.hardware import Machine, Table
from kennel.learn.watch.nvidia import Devices
from kennel.run import Run

pytestmark = pytest.mark.slow
COMPILER = shutil.which("cc") or shutil.which("gcc")

# Two devices with the calls that nvidia-ml-py makes. The second has no power meter; neither knows
# the newer call for temperatures.
NVML = r"""
#include <string.h>
typedef struct { unsigned gpu, memory; } Utilisation;
typedef struct { unsigned long long total, free, used; } Memory;
static int one = 1, two = 2;
int nvmlInitWithFlags(unsigned flags) { return 0; }
int nvmlShutdown(void) { return 0; }
int nvmlDeviceGetHandleByUUID(const char *uuid, void **device) {
  if (!strcmp(uuid, "GPU-one")) { *device = &one; return 0; }
  if (!strcmp(uuid, "GPU-two")) { *device = &two; return 0; }
  return 6;
}
int nvmlDeviceGetUtilizationRates(void *device, Utilisation *found) {
  found->gpu = *(int *)device == 1 ? 87 : 3; found->memory = 40; return 0;
}
int nvmlDeviceGetMemoryInfo(void *device, Memory *found) {
  found->total = 80ull << 30; found->used = 12ull << 30; found->free = 68ull << 30; return 0;
}
int nvmlDeviceGetPowerUsage(void *device, unsigned *milliwatts) {
  *milliwatts = 312500; return *(int *)device == 1 ? 0 : 3;
}
int nvmlDeviceGetTemperature(void *device, int sensor, unsigned *celsius) {
  *celsius = 61; return 0;
}
"""


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def watching() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "kennel-hardware"]


def test_hardware_csv_has_every_core_memory_disk_and_network(tiny_run: Run) -> None:
    import psutil

    rows = rows_of(tiny_run.path / "hardware.csv")
    assert rows
    cores = psutil.Process().cpu_affinity()
    wanted = {"time_utc", "step", "cpu_percent", "memory_used_gib", "memory_of_run_gib"}
    wanted |= {f"core_{core}_percent" for core in cores}
    wanted |= {"network_received_mb_per_s", "network_sent_mb_per_s"}
    if psutil.disk_io_counters():
        wanted |= {"disk_read_mb_per_s", "disk_written_mb_per_s"}
    assert set(rows[-1]) == wanted  # and nothing of NVIDIA's, on a machine or a run without
    assert 0 < float(rows[-1]["cpu_percent"]) <= 100
    assert 0.1 < float(rows[-1]["memory_of_run_gib"]) < 64
    assert int(rows[-1]["step"]) == 8


def test_a_busy_core_is_seen_and_so_is_what_is_written(tmp_path: Path) -> None:
    machine = Machine(Devices([]))
    machine.begin()
    until = time.process_time() + 0.3
    while time.process_time() < until:
        pass
    found = machine.sample()
    assert max(v for k, v in found.items() if k.startswith("core_")) > 20
    assert found["memory_of_run_gib"] < found["memory_used_gib"] + 64


def test_a_sample_costs_less_than_a_hundredth_of_a_core() -> None:
    machine = Machine(Devices([]))
    machine.begin()
    before_s = time.thread_time()
    for _ in range(10):
        machine.sample()
    assert (time.thread_time() - before_s) / 10 < 0.01 * 5.0  # one every 5 s


@pytest.mark.parametrize("ends", ["well", "by an error", "by Ctrl-C"])
def test_nobody_watches_when_the_run_is_over(ends: str, dataset: Dataset, tmp_path: Path) -> None:
    words = [*TINY, *NO_LOGGER, f"data.csv={dataset.csv}", f"paths.output_dir={tmp_path / 'run'}"]
    if ends == "well":
        train_with(words)
    elif ends == "by an error":
        with pytest.raises(ZeroDivisionError):
            train_with([*words, "+callbacks.fail={_target_: test_hardware.Failing}"])
    else:
        with pytest.raises(KeyboardInterrupt):
            train_with([*words, "+callbacks.stop={_target_: pictures.Interrupting, epoch: 1}"])
    assert watching() == []
    assert rows_of(tmp_path / "run" / "hardware.csv")  # the last sample of each


class Failing(Callback):
    """Breaks in the second epoch, while the machine is watched."""

    def on_train_epoch_start(self, trainer: Any, module: Any) -> None:
        if trainer.current_epoch == 1:
            assert watching() == ["kennel-hardware"]
            raise ZeroDivisionError


class Asking(TensorBoardLogger):
    """Notes which threads log."""

    threads: set[str]

    def log_metrics(self, metrics: Any, step: int | None = None) -> None:
        Asking.threads.add(threading.current_thread().name)
        if any(name.startswith("hardware/") for name in metrics):
            Asking.threads.add("hardware too")
        super().log_metrics(metrics, step)


def test_loggers_hear_of_samples_in_the_thread_that_trains(
    dataset: Dataset, tmp_path: Path
) -> None:
    Asking.threads = set()
    asking = "{asking: {_target_: test_hardware.Asking, save_dir: " + str(tmp_path / "tb") + "}}"
    words = [*TINY, "logger=none", f"+logger={asking}", f"data.csv={dataset.csv}"]
    train_with([*words, f"paths.output_dir={tmp_path / 'run'}"])
    assert Asking.threads == {"MainThread", "hardware too"}


def test_a_resumed_run_goes_on_with_its_table(dataset: Dataset, tmp_path: Path) -> None:
    words = [*TINY, *NO_LOGGER, f"data.csv={dataset.csv}", f"paths.output_dir={tmp_path / 'run'}"]
    train_with(words)
    first = rows_of(tmp_path / "run" / "hardware.csv")
    train_with([*words, "ckpt_path=last", "trainer.max_epochs=3"])
    both = rows_of(tmp_path / "run" / "hardware.csv")
    assert both[: len(first)] == first
    assert len(both) > len(first)
    assert int(both[-1]["step"]) == 12


def test_a_table_drops_a_line_cut_short_and_takes_columns_of_another_machine(
    tmp_path: Path,
) -> None:
    path = tmp_path / "hardware.csv"
    path.write_text("time_utc,step,core_0_percent\na,1,20.0\nb,2,30.0\nc,3,4", encoding="utf-8")
    table = Table(path)
    table.add({"time_utc": "d", "step": 4, "core_0_percent": 50.0, "gpu_0_power_w": 99.5})
    table.add({"time_utc": "e", "step": 5, "core_0_percent": 60.0})
    assert path.read_text(encoding="utf-8").splitlines() == [
        "time_utc,step,core_0_percent,gpu_0_power_w",
        "a,1,20.0,",
        "b,2,30.0,",
        "d,4,50.0,99.5",
        "e,5,60.0,",
    ]


def test_without_an_nvidia_driver_there_is_nothing_to_say(capfd: Any) -> None:
    devices = Devices(["GPU-nobody"])
    assert devices.read() == {}
    devices.close()
    devices.close()
    assert capfd.readouterr() == ("", "")


@pytest.mark.skipif(COMPILER is None, reason="no C compiler to build a driver library with")
def test_nvidia_devices_are_read_through_the_drivers_own_library(tmp_path: Path) -> None:
    (tmp_path / "nvml.c").write_text(NVML, encoding="utf-8")
    library = tmp_path / "libnvidia-ml.so.1"
    subprocess.run(
        [str(COMPILER), "-shared", "-fPIC", "-o", str(library), str(tmp_path / "nvml.c")],
        check=True,
    )
    script = f"""
import json, pathlib
import kennel.learn
from kennel.learn.watch.hardware import Machine, Table, Watch
from kennel.learn.watch.nvidia import Devices
path = pathlib.Path({str(tmp_path / "hardware.csv")!r})
watch = Watch(Machine(Devices(["GPU-one", "GPU-two"])), Table(path), every_s=60, step=lambda: 7)
watch.start()
watch.stop()
devices = Devices(["GPU-one", "GPU-missing"])
print(json.dumps([watch.taken()[0], devices.read()]))
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "LD_LIBRARY_PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    sample, some = json.loads(done.stdout)
    assert {k: v for k, v in sample.items() if k.startswith("gpu_")} == {
        "gpu_0_utilisation_percent": 87.0,
        "gpu_0_memory_gib": 12.0,
        "gpu_0_power_w": 312.5,
        "gpu_0_temperature_c": 61.0,
        "gpu_1_utilisation_percent": 3.0,
        "gpu_1_memory_gib": 12.0,
        "gpu_1_temperature_c": 61.0,
    }
    assert {name[:5] for name in some} == {"gpu_0"}
    [row] = rows_of(tmp_path / "hardware.csv")
    assert (row["gpu_0_power_w"], row["step"]) == ("312.5", "7")
