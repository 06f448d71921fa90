"""Studies: what a trial may see, what is lost when one is killed, and what comes of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
from lightning.pytorch.callbacks import Callback
from pictures import TINY, silent, train_with

from kennel.cli import main
from kennel.dataset import Dataset, read_dataset
from kennel.errors import DatasetError, KennelError, RunError, UsageError
from kennel.learn.configure import with_settings
from kennel.learn.tuning import storage
from kennel.learn.tuning.settings import check_study
from kennel.learn.tuning.study import Outcome, tune
from kennel.run import read_run

pytestmark = pytest.mark.slow
SPACE = "space={optimizer: {lr: {low: 1e-4, high: 1e-2, log: true}}}"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "conf" / "space").mkdir(parents=True)
    (tmp_path / "conf" / "space" / "rate.yaml").write_text(
        "optimizer: {lr: {low: 1.0e-4, high: 1.0e-2, log: true}}\n"
    )
    return tmp_path


def words(dataset: Dataset, *more: str) -> list[str]:
    return [
        *(word for word in TINY if not word.startswith("paths.")),
        *("logger=none", "space=rate", "sampler=random", "pruner=none", f"data.csv={dataset.csv}"),
        *("tune.n_trials=2", "trainer.max_epochs=1", *more),
    ]


def tuned(asked: list[str], say: Callable[[str], None] = lambda _: None) -> Outcome:
    found: list[Any] = []
    with_settings(
        asked,
        lambda settings: found.append(tune(settings, words=asked, count=silent, say=say)),
        config="tune",
        check=check_study,
    )
    return found[0]


def trials(outcome: Outcome) -> list[optuna.trial.FrozenTrial]:
    return optuna.load_study(study_name=outcome.name, storage=outcome.storage).trials


class LooksAtTest(Callback):
    """What no callback of a study may do."""

    def __init__(self, csv: str) -> None:
        self.csv = Path(csv)

    def on_train_start(self, *_: Any) -> None:
        read_dataset(self.csv).split("test")


def test_a_study_leaves_trials_figures_a_page_and_an_experiment(dataset: Dataset) -> None:
    lines: list[str] = []
    outcome = tuned(words(dataset), lines.append)
    assert (outcome.done, outcome.pruned, outcome.failed, outcome.lost) == (2, 0, 0, 0)
    assert len(lines) == 2
    run = read_run(outcome.best_run)
    assert run.metrics["validation/loss"] == outcome.figure
    assert f"optimizer.lr={outcome.values['optimizer.lr']}" in run.overrides
    page = outcome.page.read_text(encoding="utf-8")
    assert f"{outcome.figure:.4f}" in page
    assert "http" not in page.partition("</style>")[2]
    assert {each.name for each in outcome.folder.glob("*.png")} >= {
        *("history.png", "parallel_coordinates.png"),
    }
    kept = sorted(each.parent.name for each in outcome.folder.glob("trials/*/checkpoints"))
    assert kept == [f"{outcome.best_trial:04}"]


def test_the_best_is_an_experiment_that_gives_the_same_figure(
    dataset: Dataset, folder: Path
) -> None:
    outcome = tuned(words(dataset, "tune.monitor=validation/top1", "seed=3"))
    assert outcome.experiment == Path("conf/experiment/best.yaml")
    run = train_with(
        [
            *("experiment=best", f"data.csv={dataset.csv}", "logger=none"),
            *("paths.output_dir=again", "callbacks.progress=null", "callbacks.graph=null"),
        ]
    )
    assert run.metrics["validation/top1"] == outcome.figure
    assert run.weights_sha256 == read_run(outcome.best_run).weights_sha256


def test_an_experiment_of_the_users_own_is_not_written_over(dataset: Dataset, folder: Path) -> None:
    own = folder / "conf" / "experiment" / "best.yaml"
    own.parent.mkdir()
    own.write_text("# @package _global_\nseed: 5\n")
    outcome = tuned(words(dataset, "tune.n_trials=1"))
    assert own.read_text() == "# @package _global_\nseed: 5\n"
    assert outcome.experiment == Path("conf/experiment/best-study.yaml")


def test_opening_the_test_split_while_tuning_raises(dataset: Dataset) -> None:
    assert dataset.split("test")
    spy = f"+callbacks.spy={{_target_: {LooksAtTest.__module__}.LooksAtTest, csv: {dataset.csv}}}"
    with pytest.raises(RunError, match="sealed"):
        tuned(words(dataset, spy))
    assert read_dataset(dataset.csv).split("test")  # and nothing of it stays


def test_an_index_in_a_study_has_no_test_photo_at_all(dataset: Dataset) -> None:
    from kennel.dataset import sealing

    with sealing("test"):
        seen = read_dataset(dataset.csv)
        assert {photo.split for photo in seen.photos} == {"train", "validation"}
        with pytest.raises(DatasetError, match="sealed"):
            seen.split("test")


def test_a_study_goes_on_where_it_was_and_only_when_asked_to(dataset: Dataset) -> None:
    first = tuned(words(dataset))
    with pytest.raises(RunError, match=r"tune\.resume=true|already"):
        tuned(words(dataset))
    second = tuned(words(dataset, "tune.resume=true", "tune.n_trials=3"))
    assert [trial.number for trial in trials(second)] == [0, 1, 2]
    assert trials(second)[0].params == trials(first)[0].params
    assert len({trial.params["optimizer.lr"] for trial in trials(second)}) == 3


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ("space.optimizer.lr.high=0.1", "space.optimizer.lr.high"),
        ("data.batch_size=3", "data.batch_size"),
        ("tune.monitor=validation/top1", "tune.monitor"),
    ],
)
def test_a_study_made_for_something_else_is_refused_by_name(
    dataset: Dataset, changed: str, named: str
) -> None:
    tuned(words(dataset, "tune.n_trials=1"))
    with pytest.raises(RunError) as raised:
        tuned(words(dataset, "tune.resume=true", changed))
    assert named in raised.value.message


def test_a_choice_that_no_model_accepts_is_refused_before_the_first_trial(
    dataset: Dataset, folder: Path
) -> None:
    (folder / "conf" / "space" / "bad.yaml").write_text(
        "model: {head_fn: {choices: [default, no_such_head]}}\n"
    )
    with pytest.raises(UsageError, match=r"space\.model\.head_fn has 'no_such_head'"):
        tuned(words(dataset, "space=bad"))
    assert not (folder / "studies" / "study").exists()


def test_a_setting_that_does_not_exist_is_refused_before_the_first_trial(
    dataset: Dataset, folder: Path
) -> None:
    (folder / "conf" / "space" / "bad.yaml").write_text("optimizer: {rate: {low: 0, high: 1}}\n")
    with pytest.raises(UsageError, match=r"optimizer\.rate"):
        tuned(words(dataset, "space=bad"))


def test_a_device_that_is_not_there_is_refused_before_the_first_trial(
    dataset: Dataset, folder: Path
) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is one")
    with pytest.raises(RunError, match="trainer"):
        tuned(words(dataset, "trainer.accelerator=cuda"))
    assert not (folder / "studies" / "study").exists()


def test_a_storage_that_vanishes_is_said_and_what_is_done_stays(
    dataset: Dataset, folder: Path
) -> None:
    def vanish(_: str) -> None:
        (folder / "studies" / "study.db").unlink(missing_ok=True)

    with pytest.raises(RunError, match="gone"):
        tuned(words(dataset), vanish)
    assert read_run(folder / "studies/study/trials/0000").status == "done"


def test_a_journal_is_a_storage_too(dataset: Dataset, folder: Path) -> None:
    asked = words(dataset, "tune.storage=journal:studies/x.log", "tune.n_trials=1")
    assert tuned(asked).done == 1
    assert tuned([*asked, "tune.n_trials=2", "tune.resume=true"]).done == 2


@pytest.mark.parametrize("url", ["postgresql://someone:secret@127.0.0.1:1/x", "nothing://x", "x"])
def test_a_storage_that_cannot_be_reached_is_said_without_its_password(
    dataset: Dataset, url: str
) -> None:
    with pytest.raises(KennelError) as raised:
        tuned(words(dataset, f"tune.storage='{url}'"))
    assert "secret" not in raised.value.message
    assert "tune.storage" in raised.value.message or "storage" in raised.value.message


def test_folds_give_the_mean_of_their_figures(dataset: Dataset, folder: Path) -> None:
    photos = str(dataset.photos_dir / "train")
    assert main(["index", photos, "--to", "cross.csv", "--folds", "2"]) == 0
    folds = ",".join(sorted(str(path) for path in folder.glob("cross*.csv")))
    asked = [word for word in words(dataset, "tune.n_trials=1") if not word.startswith("data.csv")]
    outcome = tuned([*asked, f"tune.folds=[{folds}]"])
    figures = [
        read_run(outcome.folder / "trials" / "0000" / f"fold-{at}").metrics["validation/loss"]
        for at in (1, 2)
    ]
    assert outcome.figure == sum(figures) / 2


def test_rungs_are_climbed_and_the_last_one_counts(dataset: Dataset) -> None:
    rungs = "tune.rungs=[{model.image.size: 32}, {trainer.max_epochs: 2}]"
    outcome = tuned(words(dataset, "tune.n_trials=1", rungs))
    assert read_run(outcome.folder / "trials/0000/rung-1").preprocess.size == 32
    assert outcome.figure == read_run(outcome.best_run).metrics["validation/loss"]
    assert list(trials(outcome)[0].intermediate_values) == [1, 2]


def test_a_pruned_trial_is_a_run_that_says_so(dataset: Dataset) -> None:
    Path("conf/pruner").mkdir()
    Path("conf/pruner/never.yaml").write_text(
        "_target_: optuna.pruners.ThresholdPruner\nlower: 1.0e+9\nn_warmup_steps: 1\n"
    )
    with pytest.raises(RunError, match="2 pruned"):
        tuned(words(dataset, "pruner=never", "trainer.max_epochs=3"))
    run = read_run(Path("studies/study/trials/0000"))
    assert (run.status, run.best_checkpoint is None) == ("pruned", False)


def test_trial_after_trial_that_fails_ends_the_study_and_says_why(dataset: Dataset) -> None:
    with pytest.raises(RunError, match="the loss became"):
        tuned(words(dataset, "space.optimizer.lr.low=1e30", "space.optimizer.lr.high=1e31"))


def test_a_killed_process_loses_its_own_trial_alone(dataset: Dataset, folder: Path) -> None:
    asked = words(dataset, "tune.n_trials=3", "trainer.max_epochs=200")
    victim = start(asked)
    wait_for(
        lambda: (
            (folder / "studies/study/trials/0000/metrics.csv").exists()
            or (folder / "studies/study/trials/0000/run.json").exists()
        )
    )
    victim.send_signal(signal.SIGKILL)
    assert victim.wait() == -signal.SIGKILL
    lines: list[str] = []
    outcome = tuned(
        [*asked, "tune.resume=true", "trainer.max_epochs=200", "tune.n_trials=1"], lines.append
    )
    states = [trial.state.name for trial in trials(outcome)]
    assert states == ["FAIL", "COMPLETE"]
    assert trials(outcome)[0].params == trials(outcome)[1].params
    assert trials(outcome)[0].user_attrs[storage.WHY] == storage.LOST
    assert (outcome.done, outcome.lost) == (1, 1)
    assert "it is tried again" in lines[0]
    assert not list((outcome.folder / "workers").iterdir())


def test_several_processes_share_a_study_and_none_does_too_much(dataset: Dataset) -> None:
    asked = words(dataset, "tune.n_trials=5", "tune.workers=2")
    command = [sys.executable, "-m", "kennel", "tune", *asked, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["done"] == 5
    study = optuna.load_study(study_name="study", storage="sqlite:///studies/study.db")
    counted = [trial for trial in study.trials if storage.SURPLUS not in trial.user_attrs]
    assert [trial.state.name for trial in counted] == ["COMPLETE"] * 5


def test_the_one_too_many_of_those_begun_at_once_is_given_up() -> None:
    study = optuna.create_study()
    begun = [study.ask() for _ in range(4)]
    too_many = [storage.surplus(study, trial.number, n_trials=3) for trial in begun]
    assert too_many == [False, False, False, True]
    study.tell(begun[0], state=optuna.trial.TrialState.FAIL)  # it does not count
    assert not storage.surplus(study, 3, n_trials=3)


def test_sigterm_puts_the_trial_in_line_again(dataset: Dataset, folder: Path) -> None:
    process = start(words(dataset, "tune.n_trials=1", "trainer.max_epochs=100000"))
    wait_for((folder / "studies/study/trials/0000/run.json").exists)
    time.sleep(0.5)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) == 143
    study = optuna.load_study(study_name="study", storage="sqlite:///studies/study.db")
    assert [trial.state.name for trial in study.trials] == ["FAIL", "WAITING"]


def start(asked: list[str]) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "kennel", "tune", *asked]
    return subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def wait_for(happened: Callable[[], bool], *, seconds: float = 120) -> None:
    until = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < until
        time.sleep(0.02)
