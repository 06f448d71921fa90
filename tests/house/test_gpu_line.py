"""A job whose machine is taken away goes on on the next, and ends as one that was not."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch

from kennel.cli import main

pytestmark = pytest.mark.slow  # trains
ROOT = Path(__file__).parents[2]
BEGINS = "has no checkpoint yet: starting"
SETTINGS = (
    *("data.csv=data/dataset.csv", "trainer.accelerator=cpu", "data.num_workers=0"),
    *("model=mambaout", "model.dims=[8,16,24,32]", "model.depths=[1,1,1,1]"),
    *("model.image.size=32", "data.batch_size=8", "trainer.max_epochs=6", "logger=none"),
    *("callbacks.progress=null", "callbacks.summary=null", "callbacks.graph=null"),
    "callbacks.interruption.every_s=0.05",
)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an index, as a job has it when `make repro` is done."""
    folder = tmp_path_factory.mktemp("project")
    assert main(["sample", str(folder / "photos"), "--labels", "2", "--per-label", "12"]) == 0
    words = ["index", str(folder / "photos"), "--to", str(folder / "data" / "dataset.csv")]
    assert main(words) == 0
    return folder


def machine(folder: Path, photos: Path) -> Path:
    """A machine as it comes: the photos, and nothing of any run."""
    shutil.copytree(photos / "data", folder / "data")
    (folder / "photos").symlink_to(photos / "photos")
    return folder


def work(folder: Path, *, taken: bool, what: str = "train") -> tuple[int, str, str]:
    """`make gpu`'s line there; its exit code, what it told the workflow, and what it said."""
    output, notice = folder / "output", folder / "notice"
    output.touch()
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith("GITHUB_")},
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT / "src"),
        "WHAT": what,
        "KENNEL_NOTICE": str(notice),
        "GITHUB_RUN_ID": "777",
        "GITHUB_OUTPUT": str(output),
    }
    over = threading.Event()

    def take() -> None:  # in the middle: some epochs are done
        while taken and not over.is_set():
            if any(folder.glob("runs/gpu-777/checkpoints/epoch002-*.ckpt")):
                notice.touch()
                return
            time.sleep(0.01)

    watcher = threading.Thread(target=take)
    watcher.start()
    try:
        done = subprocess.run(
            ["sh", str(ROOT / "tools" / "gpu"), *SETTINGS],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        over.set()
        watcher.join()
    return done.returncode, output.read_text(encoding="utf-8"), done.stderr


def weights(folder: Path) -> dict[str, torch.Tensor]:
    last = sorted((folder / "runs" / "gpu-777" / "checkpoints").glob("epoch*.ckpt"))[-1]
    assert last.name.startswith("epoch006-")
    found: dict[str, torch.Tensor] = torch.load(last, weights_only=True)["state_dict"]
    return found


def test_a_run_that_is_taken_away_ends_elsewhere_with_the_weights_of_one_that_was_not(
    photos: Path, tmp_path: Path
) -> None:
    first, second, uncut = (tmp_path / name for name in ("first", "second", "uncut"))
    code, told, said = work(machine(first, photos), taken=True)
    assert (code, told) == (0, "taken=true\n"), said
    assert BEGINS in said
    machine(second, photos)
    shutil.copytree(first / "runs", second / "runs")  # the artifact `left`
    code, told, said = work(second, taken=False)
    assert (code, told) == (0, ""), said
    assert BEGINS not in said  # it goes on, and does not do it all again
    assert work(machine(uncut, photos), taken=False)[:2] == (0, "")
    best = "runs/gpu-777/checkpoints/best.safetensors"
    assert (second / best).read_bytes() == (uncut / best).read_bytes()
    own, other = weights(second), weights(uncut)
    assert own.keys() == other.keys()
    assert all(torch.equal(own[name], other[name]) for name in own)


def test_a_run_that_fails_is_not_queued_again(photos: Path, tmp_path: Path) -> None:
    folder = machine(tmp_path / "one", photos)
    (folder / "data" / "dataset.csv").unlink()
    code, told, _ = work(folder, taken=False)
    assert code not in (0, 143)
    assert told == ""


def test_a_job_of_no_such_kind_is_refused(photos: Path, tmp_path: Path) -> None:
    assert work(machine(tmp_path / "one", photos), taken=False, what="rm")[:2] == (2, "")
