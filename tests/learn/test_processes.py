"""Several processes of one run: they share photos, and none comes out otherwise than with one."""

from __future__ import annotations

import math
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from pictures import TINY, train_with
from test_resume import QUIET, STOP, assert_same, last

from kennel.dataset import Dataset
from kennel.errors import RunError, UsageError
from kennel.learn.learner import Learner
from kennel.learn.order import Shares, Shuffled
from kennel.learn.processes import batch_of_each, rate_factor
from kennel.learn.resume import refuse_other_lesson, settings_of_numbers
from kennel.run import Run, read_run

pytestmark = pytest.mark.slow
HERE = Path(__file__).parent
NOISE = 1e-3  # relative, of a loss: sums in another order, over eight steps; seen: below 1e-6


def words(dataset: Dataset, *more: str) -> list[str]:
    return [*TINY, *QUIET, "logger=csv", f"data.csv={dataset.csv}", *more]


def started(command: list[str], *asked: str, cwd: Path, **env: str) -> Any:
    here = os.environ.get("PYTHONPATH", "")
    own = {**os.environ, "PYTHONPATH": f"{here}:{HERE}:{HERE.parent}", **env}
    return subprocess.run(
        [*command, "train", *asked],
        cwd=cwd,
        env=own,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


KENNEL = [sys.executable, "-m", "kennel"]
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "-m", "kennel"]


@pytest.fixture(scope="module")
def pair(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Two processes that Lightning started, four photos in each."""
    home = tmp_path_factory.mktemp("pair")
    asked = words(dataset, "trainer=ddp", "data.batch_size=4", "paths.output_dir=run")
    done = started(KENNEL, *asked, "trainer.accelerator=cpu", cwd=home)
    assert done.returncode == 0, done.stderr
    assert "2 processes x 4 photos = 8 a step; learning rate 0.001 x 1.41 = 0.001414" in done.stderr
    assert "best weights to export" not in done.stderr  # which the second has none of
    return read_run(home / "run")


# What each has a share of


@pytest.mark.parametrize(("n", "processes"), [(9, 2), (10, 3), (3, 3), (7, 1)])
def test_validation_photos_come_once_each_whatever_their_number(n: int, processes: int) -> None:
    shares = [list(Shares(n, processes=processes, process=at)) for at in range(processes)]
    assert sorted(photo for share in shares for photo in share) == list(range(n))
    assert [len(Shares(n, processes=processes, process=at)) for at in range(processes)] == [
        len(share) for share in shares
    ]


def test_a_shared_batch_is_of_the_same_photos_however_many_share_it() -> None:
    def batches(processes: int, batch: int) -> list[set[tuple[int, int]]]:
        shares = [
            list(Shuffled(24, seed=5, epoch=lambda: 1, processes=processes, process=at))
            for at in range(processes)
        ]
        each = batch // processes
        return [
            {photo for share in shares for photo in share[at : at + each]}
            for at in range(0, 24 // processes, each)
        ]

    alone = batches(1, 8)
    assert batches(2, 8) == batches(4, 8) == batches(8, 8) == alone


def test_a_batch_that_cannot_be_shared_evenly_is_refused(dataset: Dataset) -> None:
    from omegaconf import OmegaConf

    settings = OmegaConf.create({"data": {"batch_size": 32, "share_batch": True}})
    assert batch_of_each(settings, 4) == 8
    with pytest.raises(UsageError, match="32 cannot be shared by 3") as raised:
        batch_of_each(settings, 3)
    assert "data.batch_size=30" in raised.value.fix
    settings.data.share_batch = False
    assert batch_of_each(settings, 3) == 32


@pytest.mark.parametrize(
    ("scale", "shared", "factor"),
    [("sqrt", False, 2.0), ("linear", False, 4.0), ("none", False, 1.0), ("linear", True, 1.0)],
)
def test_the_learning_rate_follows_a_larger_batch_as_it_is_told(
    scale: str, shared: bool, factor: float
) -> None:
    from omegaconf import OmegaConf

    settings = OmegaConf.create({"data": {"share_batch": shared}, "recipe": {"scale_lr": scale}})
    assert rate_factor(settings, 4) == factor
    assert rate_factor(settings, 1) == 1.0


def test_another_rule_for_the_learning_rate_is_refused(dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"recipe\.scale_lr is cubic"):
        train_with(words(dataset, "recipe.scale_lr=cubic", f"paths.output_dir={tmp_path / 'r'}"))


# Who starts them


def test_torchrun_gives_what_lightnings_own_processes_give(
    pair: Run, dataset: Dataset, tmp_path: Path
) -> None:
    """And in one folder, though each process began at a time of its own; one of them prints."""
    asked = words(dataset, "trainer=ddp", "data.batch_size=4")
    done = started(TORCHRUN, *asked, "trainer.accelerator=cpu", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (folder,) = (tmp_path / "runs").iterdir()
    assert done.stdout.count("next: kennel export") == 1
    assert done.stderr.count("2 processes x 4 photos") == 1
    run = read_run(folder)
    assert_same(run, pair)
    assert run.hardware["processes"] == "2"


def test_torchrun_without_ddp_is_refused_and_says_it_once(dataset: Dataset, tmp_path: Path) -> None:
    done = started(TORCHRUN, *words(dataset), cwd=tmp_path)
    assert done.returncode == 1  # torchrun's own
    assert done.stderr.count("error: torchrun started 2 processes, and trainer.strategy is") == 1
    assert "fix: kennel train trainer=ddp" in done.stderr
    assert not (tmp_path / "runs").exists()


def test_slurm_gives_what_lightnings_own_processes_give(
    pair: Run, dataset: Dataset, tmp_path: Path
) -> None:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    asked = words(dataset, "trainer=ddp", "data.batch_size=4", "trainer.accelerator=cpu")
    here = os.environ.get("PYTHONPATH", "")
    tasks = [
        subprocess.Popen(
            [*KENNEL, "train", *asked],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={
                **os.environ,
                "PYTHONPATH": f"{here}:{HERE}:{HERE.parent}",
                "SLURM_JOB_NAME": "kennel",
                "SLURM_JOB_ID": "7",
                "SLURM_STEP_ID": "0",
                "SLURM_NTASKS": "2",
                "SLURM_NTASKS_PER_NODE": "2",
                "SLURM_NNODES": "1",
                "SLURM_NODEID": "0",
                "SLURM_NODELIST": "127.0.0.1",
                "SLURM_PROCID": str(number),
                "SLURM_LOCALID": str(number),
                "MASTER_ADDR": "127.0.0.1",
                "MASTER_PORT": str(port),
            },
        )
        for number in range(2)
    ]
    said = [task.communicate(timeout=600) for task in tasks]
    assert [task.returncode for task in tasks] == [0, 0], said
    (folder,) = (tmp_path / "runs").iterdir()
    assert_same(read_run(folder), pair)
    assert (said[1][0], said[1][1]) == ("", "")


# What comes out


def test_a_shared_batch_gives_what_one_process_gives(dataset: Dataset, tmp_path: Path) -> None:
    """Nine validation photos are five and four: a photo that came twice would show. Of 27 training
    photos 24 are taken: the last, smaller batch is another one where it is shared.
    """
    three = "trainer.limit_train_batches=3"
    alone = train_with(words(dataset, three, f"paths.output_dir={tmp_path / 'alone'}"))
    shared = words(
        dataset, three, "trainer=ddp", "trainer.accelerator=cpu", "data.share_batch=true"
    )
    done = started(KENNEL, *shared, "paths.output_dir=shared", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "2 processes x 4 photos = 8 a step; learning rate 0.001 (data.share_batch" in done.stderr
    run = read_run(tmp_path / "shared")
    figures = ("validation/loss", "validation/top1")
    for name in figures:
        assert run.metrics[name] == pytest.approx(alone.metrics[name], rel=NOISE)
    ours, theirs = last(run.path), last(alone.path)
    assert ours["global_step"] == theirs["global_step"]
    assert ours["lr_schedulers"] == theirs["lr_schedulers"]
    for name, tensor in ours["state_dict"].items():
        assert torch.allclose(tensor, theirs["state_dict"][name], rtol=NOISE, atol=1e-4), name


def test_a_run_goes_on_with_another_number_of_processes(dataset: Dataset, tmp_path: Path) -> None:
    """In the middle of an epoch, with the photos that would have come."""
    three = "trainer.limit_train_batches=3"
    two = words(dataset, three, "trainer=ddp", "trainer.accelerator=cpu", "data.share_batch=true")
    stopped = started(KENNEL, *two, "paths.output_dir=run", STOP % 2, cwd=tmp_path)
    assert stopped.returncode == 143, stopped.stderr
    assert last(tmp_path / "run")["global_step"] == 2
    one = words(dataset, three, "data.share_batch=true", f"paths.output_dir={tmp_path / 'run'}")
    run = train_with([*one, "ckpt_path=last"])
    whole = train_with(words(dataset, three, f"paths.output_dir={tmp_path / 'whole'}"))
    assert last(run.path)["global_step"] == last(whole.path)["global_step"]
    name = "validation/loss"
    assert run.metrics[name] == pytest.approx(whole.metrics[name], rel=NOISE)


def numbers(processes: int, batch: int, **more: Any) -> dict[str, Any]:
    from omegaconf import OmegaConf

    settings = OmegaConf.create({"data": {"batch_size": batch}, "seed": 0})
    return (
        settings_of_numbers(
            settings,
            processes=processes,
            photos_a_batch=batch * processes,
            batches_an_epoch=4,
        )
        | more
    )


@pytest.mark.parametrize(
    ("between", "now", "refused"),
    [
        (False, numbers(2, 8), "photos_a_batch=8"),  # in an epoch of other steps
        (True, numbers(2, 8), None),  # between two epochs
        (False, numbers(2, 4), None),  # the same photos a step
        (False, numbers(1, 4), "data.batch_size=8"),
        (False, numbers(2, 4, batches_an_epoch=3), "batches_an_epoch=4"),
    ],
)
def test_an_epoch_goes_on_only_with_the_photos_that_it_was_begun_with(
    between: bool, now: dict[str, Any], refused: str | None, tmp_path: Path
) -> None:
    state = {"Checkpoints": {"settings": numbers(1, 8), "between": between}}
    path = tmp_path / "a.ckpt"
    torch.save({"callbacks": state}, path)
    if refused is None:
        refuse_other_lesson(path, now)
        return
    with pytest.raises(RunError) as raised:
        refuse_other_lesson(path, now)
    assert refused in raised.value.message


def test_the_learning_rate_follows_the_processes_of_a_run_that_goes_on() -> None:
    four = object.__new__(Learner)
    torch.nn.Module.__init__(four)
    four.rate_factor = 2.0
    checkpoint: dict[str, Any] = {
        "rate_factor": math.sqrt(2),
        "optimizer_states": [{"param_groups": [{"lr": 0.5, "initial_lr": 1.0, "eps": 1e-8}]}],
        "lr_schedulers": [{"base_lrs": [1.0], "_last_lr": [0.5], "last_epoch": 3}],
    }
    four.on_load_checkpoint(checkpoint)
    (group,) = checkpoint["optimizer_states"][0]["param_groups"]
    by = pytest.approx(math.sqrt(2))
    assert (2 * group["lr"], group["initial_lr"], group["eps"]) == (by, by, 1e-8)
    assert checkpoint["lr_schedulers"][0]["base_lrs"] == [by]
    assert checkpoint["lr_schedulers"][0]["last_epoch"] == 3


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("experiment=quick", "model=efficientnet_lite0"), "recipe.frozen=true fits a head"),
        (("trainer.devices=10",), "10 processes share 9 validation photos"),
    ],
)
def test_what_several_processes_cannot_do_is_refused_before_there_are_any(
    more: tuple[str, ...], said: str, dataset: Dataset, tmp_path: Path
) -> None:
    asked = [*words(dataset, "trainer=ddp", "trainer.accelerator=cpu"), *more]
    if "experiment=quick" in more:
        asked = [word for word in asked if not word.startswith("model.d")]
    with pytest.raises(UsageError, match=said):
        train_with([*asked, f"paths.output_dir={tmp_path / 'run'}"])
    assert not (tmp_path / "run").exists()
