"""Loggers by choice: what each keeps, that a resumed run goes on there, that none calls home."""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pictures import TINY, cached, column, train_with

from kennel.dataset import Dataset
from kennel.errors import KennelError, MissingExtraError, RunError
from kennel.learn.watch.record import flat, keep_id, known_as
from kennel.run import Run

pytestmark = pytest.mark.slow


class Outside:
    """A port that stands for the world: whoever calls it is noted."""

    def __init__(self) -> None:
        self.calls = 0
        self._door = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self._door.getsockname()[1]}"
        self._thread = threading.Thread(target=self._note, daemon=True)
        self._thread.start()

    def _note(self) -> None:
        while True:
            try:
                call, _ = self._door.accept()
            except OSError:
                return
            self.calls += 1
            call.close()

    def close(self) -> None:
        self._door.shutdown(socket.SHUT_RDWR)
        self._door.close()
        self._thread.join()


@pytest.fixture(autouse=True)
def mlflow_is_told_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")  # MLflow sets it itself: set here, it is set back
    monkeypatch.delenv("MLFLOW_TRACKING_URI")


@pytest.fixture
def outside(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Outside]:
    """Nobody is known here, nothing lies in the home folder, and every way out is watched."""
    world = Outside()
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    for name in ("WANDB_API_KEY", "NETRC", "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, world.address)
    monkeypatch.setenv("WANDB_BASE_URL", world.address)
    monkeypatch.chdir(tmp_path)
    yield world
    world.close()


@pytest.fixture
def words(dataset: Dataset, cache: Path, tmp_path: Path) -> list[str]:
    place = [f"data.csv={dataset.csv}", f"paths.output_dir={tmp_path / 'run'}"]
    return [*TINY, *cached(cache), *place, f"paths.mlflow_dir={tmp_path / 'mlruns'}"]


def client_of(folder: Path) -> Any:
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    import mlflow

    mlflow.set_tracking_uri(f"sqlite:///{folder / 'mlruns' / 'mlflow.db'}")
    return mlflow.MlflowClient()


def runs_in(client: Any) -> list[Any]:
    [experiment] = [e for e in client.search_experiments() if e.name == "kennel"]
    found: list[Any] = client.search_runs([experiment.experiment_id])
    return found


def test_mlflow_keeps_settings_figures_pictures_record_and_a_model_that_answers(
    words: list[str], tmp_path: Path, outside: Outside
) -> None:
    run = train_with([*words, "logger=mlflow"])
    import mlflow  # not before the logger does, which tells it to call nobody

    client = client_of(tmp_path)
    [kept] = runs_in(client)
    assert (kept.info.status, kept.info.run_name) == ("FINISHED", "run")
    assert kept.data.params["data.batch_size"] == "8"
    assert kept.data.params["model.dims.1"] == "8"
    last = {"validation/top1", "train/loss_step", "lr-AdamW/head", "hardware/cpu_percent"}
    assert last <= set(kept.data.metrics)
    steps = [m.step for m in client.get_metric_history(kept.info.run_id, "train/loss_step")]
    assert steps == list(range(8))
    files = {file.path for file in client.list_artifacts(kept.info.run_id)}
    assert {"config.yaml", "run.json", "best.safetensors", "hardware.csv", "pictures"} <= files
    found = tmp_path / "mlruns" / "artifacts" / kept.info.run_id / "artifacts"
    assert json.loads((found / "run.json").read_text())["status"] == "done"
    pictures = {path.parent.name for path in (found / "pictures").rglob("*.png")}
    assert pictures == {"photos", "confusion", "mistakes"}

    [model] = mlflow.search_logged_models(
        experiment_ids=[kept.info.experiment_id], output_format="list"
    )
    loaded = mlflow.pyfunc.load_model(model.model_uri)
    assert json.loads(loaded.metadata.metadata["labels"]) == list(run.labels)
    signature = loaded.metadata.signature
    assert [tuple(each.shape) for each in signature.inputs.inputs] == [(-1, 3, 32, 32)]
    assert [each.name for each in signature.outputs.inputs] == ["logits"]
    photos = np.random.default_rng(1).normal(size=(3, 3, 32, 32)).astype(np.float32)
    np.testing.assert_allclose(
        loaded.predict(photos)["logits"], trained_answers(run, photos), atol=1e-4
    )
    assert not [path for path in (tmp_path / "mlruns").rglob("*") if path.suffix in (".pkl", ".pt")]
    assert outside.calls == 0
    assert list((tmp_path / "home").iterdir()) == []


def test_mlflow_is_told_where_every_client_of_its_own_looks(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = f"sqlite:///{tmp_path / 'elsewhere' / 'mlflow.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", elsewhere)
    train_with([*words, "logger=mlflow", "logger.mlflow.model=false"])
    assert (tmp_path / "elsewhere" / "mlflow.db").is_file()
    assert not (tmp_path / "mlruns").exists()
    config = (tmp_path / "run" / "config.yaml").read_text(encoding="utf-8")
    assert f"tracking_uri: {elsewhere}" in config


def trained_answers(run: Run, photos: np.ndarray) -> np.ndarray:
    from kennel.learn.trained import TrainedClassifier, load_model

    return TrainedClassifier(load_model(run), run.labels).outputs(photos).logits


def test_a_resumed_run_goes_on_in_the_same_mlflow_run(words: list[str], tmp_path: Path) -> None:
    train_with([*words, "logger=mlflow", "logger.mlflow.model=false"])
    words += ["logger.mlflow.model=false", "ckpt_path=last", "trainer.max_epochs=3"]
    train_with([*words, "logger=mlflow"])
    client = client_of(tmp_path)
    [kept] = runs_in(client)
    assert known_as(tmp_path / "run", "mlflow") == kept.info.run_id
    assert kept.info.status == "FINISHED"
    steps = [m.step for m in client.get_metric_history(kept.info.run_id, "train/loss_step")]
    assert steps == list(range(12))
    assert kept.data.params["trainer.max_epochs"] == "2"  # MLflow changes none


def test_a_run_that_mlflow_lost_begins_a_new_one_there(
    words: list[str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    train_with([*words, "logger=mlflow", "logger.mlflow.model=false"])
    keep_id(tmp_path / "run", "mlflow", "0" * 32)
    train_with([*words, "logger=mlflow", "ckpt_path=last", "trainer.max_epochs=3"])
    assert "does not know this run any more" in caplog.text
    assert len(runs_in(client_of(tmp_path))) == 2


def test_a_run_that_failed_says_so_in_mlflow(words: list[str], tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        train_with(
            [*words, "logger=mlflow", "+callbacks.stop={_target_: pictures.Interrupting, epoch: 1}"]
        )
    [kept] = runs_in(client_of(tmp_path))
    assert kept.info.status == "FAILED"


def test_an_mlflow_that_cannot_be_written_is_refused_before_anything_is_trained(
    words: list[str], tmp_path: Path
) -> None:
    (tmp_path / "mlruns").write_text("a file where the folder should be")
    with pytest.raises(RunError) as error:
        train_with([*words, "logger=mlflow"])
    assert "MLflow at sqlite:///" in error.value.message
    assert "logger" in error.value.fix
    assert not (tmp_path / "run").exists()


def test_wandb_works_without_network_key_or_prompt_and_keeps_to_the_runs_folder(
    words: list[str], tmp_path: Path, outside: Outside, capfd: pytest.CaptureFixture[str]
) -> None:
    run = train_with([*words, "logger=wandb"])
    [folder] = (run.path / "wandb").glob("offline-run-*")
    name = known_as(run.path, "wandb")
    log = folder / f"run-{name}.wandb"
    assert log.stat().st_size > 1000
    held = log.read_bytes()
    for word in (b"validation/top1", b"lr-AdamW/head", b"hardware/cpu_percent", b"batch_size"):
        assert word in held, word
    pictures = {path.parent.name for path in (folder / "files" / "media").rglob("*.png")}
    assert pictures == {"train", "validation"}
    train_with([*words, "logger=wandb", "ckpt_path=last", "trainer.max_epochs=3"])
    again = {path.name for path in (run.path / "wandb").glob("offline-run-*/*.wandb")}
    assert again == {log.name}  # one id, so one run there
    assert outside.calls == 0
    assert [p for p in (tmp_path / "home").rglob("*") if p.is_file()] == []
    out, err = capfd.readouterr()
    assert "wandb" not in out + err.replace(str(tmp_path), "")


def test_wandb_online_without_a_key_is_refused_with_what_to_do(
    words: list[str], outside: Outside
) -> None:
    with pytest.raises(RunError) as error:
        train_with([*words, "logger=wandb", "logger.wandb.offline=false"])
    assert "Weights & Biases" in error.value.message
    assert error.value.fix == "wandb login, or logger.wandb.offline=true"


def test_many_loggers_have_the_same_figures(words: list[str], tmp_path: Path) -> None:
    run = train_with([*words, "logger=many", "logger.mlflow.model=false"])
    client = client_of(tmp_path)
    [kept] = runs_in(client)
    losses = [m.value for m in client.get_metric_history(kept.info.run_id, "train/loss_step")]
    assert losses == pytest.approx(column(run, "train/loss_step"))
    assert list((run.path / "tensorboard").glob("events*"))
    assert list((run.path / "wandb").glob("offline-run-*"))


@pytest.mark.parametrize("logger", ["csv", "none"])
def test_what_shows_pictures_stays_still_where_nothing_can_hold_them(
    logger: str, words: list[str]
) -> None:
    run = train_with([*words, f"logger={logger}"])
    kept = {path.name for path in run.path.iterdir()}
    figures = {"metrics.csv"} if logger == "csv" else set()
    assert kept - figures == {"checkpoints", "config.yaml", "hardware.csv", "run.json"}


@pytest.mark.parametrize("name", ["mlflow", "wandb"])
def test_a_logger_whose_extra_is_missing_names_the_pip_line(
    name: str, words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingExtraError) as error:
        train_with([*words, f"logger={name}"])
    assert error.value.fix == f"pip install 'kennel-ml[{name}]'"
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["neptune", "aim", "comet"])
def test_loggers_that_are_not_offered_are_refused_with_those_that_are(
    name: str, words: list[str]
) -> None:
    with pytest.raises(KennelError) as error:
        train_with([*words, f"logger={name}"])
    assert "mlflow" in error.value.message


def test_ids_survive_a_damaged_file(tmp_path: Path) -> None:
    (tmp_path / "loggers.json").write_text("[1, 2", encoding="utf-8")
    assert known_as(tmp_path, "mlflow") is None
    keep_id(tmp_path, "mlflow", "one")
    keep_id(tmp_path, "wandb", "two")
    assert (known_as(tmp_path, "mlflow"), known_as(tmp_path, "wandb")) == ("one", "two")


def test_settings_are_named_as_on_the_command_line() -> None:
    nested = {"model": {"dims": [4, 8], "name": None}, "seed": 0}
    assert flat(nested) == {"model.dims.0": 4, "model.dims.1": 8, "model.name": None, "seed": 0}
