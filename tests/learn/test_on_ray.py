"""Runs and studies on a Ray cluster of three nodes: the same as on one machine, and nothing is lost
with a node.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from pictures import TINY, train_with
from ray_nodes import Nodes, nodes_here
from test_processes import KENNEL, started
from test_resume import QUIET, assert_same, last, rows

from kennel.dataset import Dataset
from kennel.learn.tuning import storage
from kennel.run import checkpoints_of, read_run

pytest.importorskip("ray", reason="the extra ray is not installed")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.cluster,
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]
CPU = "trainer.accelerator=cpu"
LONG_S = 600  # that a machine with other work may take


@pytest.fixture(scope="module")
def cluster() -> Iterator[Nodes]:
    with nodes_here() as nodes:
        yield nodes


def address(nodes: Nodes) -> dict[str, str]:
    """What a command is told of where the cluster is."""
    return {"RAY_ADDRESS": nodes.address, "OMP_NUM_THREADS": "1"}


@pytest.fixture
def nodes(cluster: Nodes) -> Nodes:
    cluster.make_whole()
    return cluster


def words(dataset: Dataset, *more: str) -> list[str]:
    return [*TINY, *QUIET, "logger=csv", f"data.csv={dataset.csv}", *more]


def begun(nodes: Nodes, verb: str, *asked: str, cwd: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "kennel", verb, *asked],
        cwd=cwd,
        env={**os.environ, **address(nodes)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def until(process: subprocess.Popen[str], there: Callable[[], bool]) -> None:
    until_s = time.monotonic() + LONG_S
    while not there():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < until_s, "nothing happened"
        time.sleep(0.02)


# Training


def test_two_workers_give_what_two_processes_give(
    nodes: Nodes, dataset: Dataset, tmp_path: Path
) -> None:
    asked = words(dataset, "data.batch_size=4", CPU)
    there = ("trainer=ray", "paths.output_dir=there")
    done = started(KENNEL, *asked, *there, cwd=tmp_path, **address(nodes))
    assert done.returncode == 0, done.stderr
    assert "2 processes x 4 photos = 8 a step" in done.stderr
    assert done.stdout.count("next: kennel export") == 1
    here = started(KENNEL, *asked, "trainer=ddp", "paths.output_dir=here", cwd=tmp_path)
    assert here.returncode == 0, here.stderr
    assert_same(read_run(tmp_path / "there"), read_run(tmp_path / "here"))
    assert sorted(each.name for each in tmp_path.iterdir()) == ["here", "there"]


def test_a_run_goes_on_without_the_node_that_was_lost(
    nodes: Nodes, dataset: Dataset, tmp_path: Path
) -> None:
    epochs = 40
    lesson = words(dataset, "data.share_batch=true", f"trainer.max_epochs={epochs}")
    often = "callbacks.checkpoints.every_minutes=0.004"
    asked = (*lesson, CPU, often, "trainer=ray", "paths.output_dir=run")
    process = begun(nodes, "train", *asked, cwd=tmp_path)
    try:
        until(process, lambda: len(checkpoints_of(tmp_path / "run")) == 2)
        nodes.lose_one()
        said, complained = process.communicate(timeout=LONG_S)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 0, complained
    assert "a worker was lost after" in complained
    assert "going on with 1 workers instead of 2" in complained
    assert "next: kennel export" in said
    run = read_run(tmp_path / "run")
    assert (run.status, last(run.path)["global_step"]) == ("done", 4 * epochs)
    steps = [row["step"] for row in rows(run.path) if row["train/loss_step"]]
    assert steps == [str(step) for step in range(4 * epochs)]
    alone = train_with([*lesson, f"paths.output_dir={tmp_path / 'alone'}"])
    name = "validation/loss"
    assert run.metrics[name] == pytest.approx(alone.metrics[name], rel=0.05)


def test_sigterm_ends_the_step_of_all_workers(
    nodes: Nodes, dataset: Dataset, tmp_path: Path
) -> None:
    asked = words(dataset, CPU, "trainer=ray", "trainer.max_epochs=100000")
    process = begun(nodes, "train", *asked, "paths.output_dir=run", cwd=tmp_path)
    try:
        until(process, lambda: bool(checkpoints_of(tmp_path / "run")))
        process.send_signal(signal.SIGTERM)
        _, complained = process.communicate(timeout=LONG_S)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 143, complained
    newest = checkpoints_of(tmp_path / "run")[0]
    assert f"stopped (SIGTERM): {newest} is kept" in complained
    assert read_run(tmp_path / "run").status == "stopped"
    assert [each.name for each in tmp_path.iterdir()] == ["run"]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("trainer.devices=3",), "has room for 2 workers of 1 CPUs and 0 GPUs, and 3 are asked"),
        (("optimizer.lr=0.001", "+optimizer.rate=3"), "rate"),
    ],
    ids=["too small", "a worker's own refusal"],
)
def test_what_cannot_be_is_said_in_words(
    more: tuple[str, ...], said: str, nodes: Nodes, dataset: Dataset, tmp_path: Path
) -> None:
    asked = (*words(dataset), CPU, "trainer=ray", "paths.output_dir=run", *more)
    done = started(KENNEL, *asked, cwd=tmp_path, **address(nodes))
    assert done.returncode != 0
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


# Search


def study_words(dataset: Dataset, *more: str) -> list[str]:
    return [
        *(word for word in TINY if not word.startswith("paths.")),
        *("logger=none", "space=rate", "pruner=median", "sampler.n_startup_trials=2"),
        *(f"data.csv={dataset.csv}", "tune.best=null", "tune.storage=journal:study.log", *more),
    ]


def a_place(home: Path) -> Path:
    (home / "conf" / "space").mkdir(parents=True)
    (home / "conf" / "space" / "rate.yaml").write_text(
        "optimizer: {lr: {low: 1.0e-4, high: 1.0e-2, log: true}}\n"
    )
    return home


def trials(home: Path) -> list[optuna.trial.FrozenTrial]:
    kept = JournalStorage(JournalFileBackend(str(home / "study.log")))
    return optuna.load_study(study_name="study", storage=kept).trials


def test_the_same_study_has_the_same_trials_with_and_without_ray(
    nodes: Nodes, dataset: Dataset, tmp_path: Path
) -> None:
    found = []
    for name, more in (("here", ()), ("there", ("tune.launcher=ray",))):
        home = a_place(tmp_path / name)
        asked = study_words(dataset, "tune.n_trials=5", "trainer.max_epochs=3", *more)
        process = begun(nodes, "tune", *asked, cwd=home)
        _, complained = process.communicate(timeout=LONG_S)
        assert process.returncode == 0, complained
        assert "5/5" in complained
        assert (home / "studies" / "study" / "index.html").is_file()
        found.append([(t.state, t.params, t.value, t.intermediate_values) for t in trials(home)])
    assert found[0] == found[1]


def test_a_lost_node_loses_its_trial_alone_and_it_is_tried_again(
    nodes: Nodes, dataset: Dataset, tmp_path: Path
) -> None:
    home = a_place(tmp_path / "home")
    more = ("tune.launcher=ray", "tune.workers=2", "tune.n_trials=4", "trainer.max_epochs=60")
    process = begun(nodes, "tune", *study_words(dataset, *more, "pruner=none"), cwd=home)
    folders = [home / "studies" / "study" / "trials" / f"{at:04}" for at in range(2)]
    try:
        until(process, lambda: all((folder / "run.json").is_file() for folder in folders))
        nodes.lose_one()
        said, complained = process.communicate(timeout=LONG_S)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 0, complained
    assert "it is tried again" in complained
    assert "4 done" in said
    over = trials(home)
    lost = [trial for trial in over if trial.user_attrs.get(storage.WHY) == storage.LOST]
    assert len(lost) == 1
    again = [trial for trial in over if trial.params == lost[0].params]
    assert [trial.state.name for trial in again] == ["FAIL", "COMPLETE"]
    assert not list((home / "studies" / "study" / "workers").iterdir())


def test_sqlite_is_refused_where_trials_have_several_nodes(
    nodes: Nodes, dataset: Dataset, tmp_path: Path
) -> None:
    home = a_place(tmp_path / "home")
    asked = [word for word in study_words(dataset) if not word.startswith("tune.storage")]
    process = begun(nodes, "tune", *asked, "tune.launcher=ray", cwd=home)
    _, complained = process.communicate(timeout=LONG_S)
    assert process.returncode == 2, complained
    assert "SQLite, which is for one machine" in complained
    assert "fix: tune.storage=postgresql://" in complained
    assert not (home / "studies").exists()
