"""The batch for which there is memory: found before a run, and named when a run had none left."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf
from pictures import NO_LOGGER, TINY, train_with
from safetensors.torch import load_file

from kennel.dataset import Dataset
from kennel.errors import RunError, UsageError
from kennel.learn.capacity import (
    SHARE,
    batch_that_fits,
    choose_batch,
    largest_by_memory,
    largest_by_trying,
    out_of_memory,
    take_batch_of,
)
from kennel.run import BEST_WEIGHTS

pytestmark = pytest.mark.slow
MIB = 2**20


class Machine:
    """A trial on a machine with memory for so many photos."""

    def __init__(self, holds: int, *, each: int = 0) -> None:
        self.holds, self.each = holds, each
        self.tried: list[int] = []

    def fits(self, n: int) -> bool:
        self.tried.append(n)
        return n <= self.holds

    def steps(self, n: int) -> None:
        if not self.fits(n):
            raise torch.OutOfMemoryError("CUDA out of memory.")

    def peak_bytes(self, n: int) -> int:
        self.steps(n)
        return 2**40 + n * self.each  # far above what the test itself takes


def test_the_ways_in_which_memory_is_out_are_known() -> None:
    said = "[enforce fail at alloc_cpu.cpp:1] DefaultCPUAllocator: can't allocate memory: 9 bytes."
    for error in (RuntimeError(said), RuntimeError("could not create a primitive"), MemoryError()):
        assert out_of_memory(error)
    assert not out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))


@pytest.mark.parametrize("holds", [1, 3, 7, 8, 9, 100, 137, 4096])
def test_trying_finds_the_largest_batch_to_an_eighth(holds: int) -> None:
    machine = Machine(holds)
    found = largest_by_trying(machine.fits, most=100_000)
    assert found <= holds < found + max(2, found // 4)
    assert len(machine.tried) < 24


def test_trying_stops_at_the_train_split_and_says_when_nothing_fits() -> None:
    machine = Machine(10_000)
    assert largest_by_trying(machine.fits, most=828) == 828
    assert max(machine.tried) == 828
    assert largest_by_trying(Machine(0).fits, most=828) == 0


def test_a_processor_is_asked_for_what_two_batches_take() -> None:
    machine: Any = Machine(10**9, each=10 * MIB)
    left = int((2**40 + 100 * 10 * MIB) / SHARE)  # for 100 photos, and some for what is there
    found, how = largest_by_memory(machine, left=left, most=828)
    assert 100 <= found <= 100 + 8 * 1024
    assert max(machine.tried) == 32
    assert "10.0 MiB a photo" in how
    assert largest_by_memory(machine, left=left, most=20)[0] == 20
    assert largest_by_memory(machine, left=0, most=828)[0] == 0


def test_a_processor_without_memory_for_the_measurement_is_tried() -> None:
    machine: Any = Machine(5, each=MIB)
    assert largest_by_memory(machine, left=2**50, most=828) == (5, "by trying")


def test_several_devices_and_no_memory_at_all_are_refused() -> None:
    device = SimpleNamespace(root_device=torch.device("cuda"))
    machine: Any = Machine(0)
    trainer: Any = SimpleNamespace(world_size=2, strategy=device)
    with pytest.raises(UsageError, match="has 2"):
        choose_batch(machine, trainer, most=9)
    trainer.world_size = 1
    with pytest.raises(RunError, match="even one photo"):
        choose_batch(machine, trainer, most=9)


@pytest.mark.parametrize(
    ("holds", "fix"), [(40, "data.batch_size=32, which was tried"), (0, "a smaller model")]
)
def test_a_run_without_memory_names_a_batch_that_was_tried(holds: int, fix: str) -> None:
    machine: Any = Machine(holds)
    error = batch_that_fits(torch.OutOfMemoryError("CUDA out of memory."), machine, 64)
    assert "data.batch_size=64" in error.message
    assert fix in error.fix


def words(dataset: Dataset, out: Path, *more: str) -> list[str]:
    asked = [*TINY, *NO_LOGGER, f"data.csv={dataset.csv}", f"paths.output_dir={out}"]
    return [*asked, *more]


def test_the_batch_is_written_down_and_the_search_changes_no_number(
    dataset: Dataset, tmp_path: Path
) -> None:
    auto = train_with(words(dataset, tmp_path / "auto", "trainer.auto_batch=true"))
    written = OmegaConf.load(auto.path / "config.yaml")
    n = len(dataset.split("train"))
    assert (written.data.batch_size, written.trainer.auto_batch) == (n, False)
    named = train_with(words(dataset, tmp_path / "named", f"data.batch_size={n}"))
    ours, theirs = (load_file(run.path / BEST_WEIGHTS) for run in (auto, named))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert sorted(p.name for p in auto.path.iterdir()) == sorted(
        p.name for p in named.path.iterdir()
    )


def test_a_run_that_goes_on_keeps_the_batch_that_was_found(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("data: {batch_size: 48}\n", encoding="utf-8")
    settings = OmegaConf.create({"data": {"batch_size": 32}, "trainer": {"auto_batch": True}})
    take_batch_of(tmp_path / "checkpoints" / "last.ckpt", settings)
    assert settings == {"data": {"batch_size": 48}, "trainer": {"auto_batch": False}}


LIMITED = """
import kennel.learn, resource, sys
import psutil
from lightning.pytorch.callbacks import Callback
import pictures
from kennel.errors import RunError

def limit(soft):
    resource.setrlimit(resource.RLIMIT_AS, (soft, resource.RLIM_INFINITY))

class Limit(Callback):
    def on_train_start(self, trainer, pl_module):
        limit(psutil.Process().memory_info().vms + {room})

    def on_exception(self, trainer, pl_module, exception):
        limit(resource.RLIM_INFINITY)

pictures.Limit = Limit
try:
    pictures.train_with({words!r})
except RunError as error:
    print(error.message)
    print(error.fix)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_AS holds on Linux alone")
def test_an_allocation_that_fails_is_recognised_and_a_smaller_batch_tried(
    dataset: Dataset, tmp_path: Path
) -> None:
    more = ("model.image.size=320", "model.dims=[24,32]", "data.batch_size=27")
    asked = words(dataset, tmp_path / "run", *more, "trainer.max_epochs=1")
    asked += ["+callbacks.limit={_target_: pictures.Limit}", "callbacks.graph=null"]
    script = LIMITED.format(room=400 * MIB, words=[*asked, "callbacks.pictures=null"])
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parent,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    message, fix = done.stdout.splitlines()[-2:]
    assert "not enough memory for data.batch_size=27" in message
    assert fix == "data.batch_size=13, which was tried and fits"
