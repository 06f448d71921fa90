"""Best weights, checkpoints and metrics.csv: what is kept, and that it is kept whole."""

from __future__ import annotations

import csv
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from kennel.errors import RunError, UsageError
from kennel.learn.best_weights import BestWeights, write_weights
from kennel.learn.checkpoints import WholeCheckpoints
from kennel.learn.metrics_csv import MetricsCsv
from kennel.learn.models import MambaOut, Network

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def network() -> Network:
    return MambaOut(dims=[4], depths=[1]).build(["a", "b"]).network


def after_epoch(best: BestWeights, network: Network, epoch: int, **figures: float) -> None:
    trainer: Any = SimpleNamespace(
        callback_metrics={k.replace("__", "/"): torch.tensor(v) for k, v in figures.items()},
        current_epoch=epoch,
        is_global_zero=True,
        callbacks=[best],
        default_root_dir=str(best.path.parent.parent),
    )
    module: Any = SimpleNamespace(answering=network)
    best.on_train_epoch_end(trainer, module)


def test_weights_of_the_best_epoch_are_kept(network: Network, tmp_path: Path) -> None:
    path = tmp_path / "best.safetensors"
    best = BestWeights(str(path))
    for epoch, loss in enumerate([0.7, 0.4, 0.5]):
        with torch.no_grad():
            network.head.bias.fill_(epoch)
        after_epoch(best, network, epoch, validation__loss=loss, train__loss=0.1)
    assert (best.epoch, best.best) == (1, pytest.approx(0.4))
    assert best.metrics == pytest.approx({"validation/loss": 0.4, "train/loss": 0.1})
    assert load_file(path)["body.head.fc.bias"].tolist() == [1.0, 1.0]


def test_the_highest_counts_where_mode_is_max(network: Network, tmp_path: Path) -> None:
    best = BestWeights(str(tmp_path / "w"), monitor="validation/top1", mode="max")
    for epoch, top1 in enumerate([0.5, 0.9, 0.9, 0.1]):
        after_epoch(best, network, epoch, validation__top1=top1)
    assert best.epoch == 1


def test_an_epoch_without_validation_changes_nothing(network: Network, tmp_path: Path) -> None:
    best = BestWeights(str(tmp_path / "w"))
    after_epoch(best, network, 0, train__loss=0.1)
    assert (best.epoch, list(tmp_path.iterdir())) == (None, [])


@pytest.mark.parametrize("loss", [float("nan"), float("inf")])
def test_a_figure_that_is_no_number_is_never_the_best(
    loss: float, network: Network, tmp_path: Path
) -> None:
    best = BestWeights(str(tmp_path / "w"))
    with pytest.raises(RunError, match=f"validation/loss became {loss} in epoch 3"):
        after_epoch(best, network, 3, validation__loss=loss)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("monitor", ["train/loss", "test/loss", "loss"])
def test_the_best_epoch_is_chosen_on_validation_photos_only(monitor: str) -> None:
    with pytest.raises(UsageError, match=monitor):
        BestWeights("w", monitor=monitor)


def test_what_was_best_before_is_remembered(network: Network, tmp_path: Path) -> None:
    before, after = BestWeights(str(tmp_path / "a")), BestWeights(str(tmp_path / "b"))
    after_epoch(before, network, 0, validation__loss=0.3)
    after.load_state_dict(before.state_dict())
    after_epoch(after, network, 1, validation__loss=0.4)
    assert (after.epoch, after.best) == (0, pytest.approx(0.3))
    assert not (tmp_path / "b").exists()


def test_weights_are_written_whole_or_not_at_all(
    network: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "best.safetensors"
    write_weights(network, path)
    whole = path.read_bytes()

    def cut(*_: Any, **__: Any) -> bytes:
        raise KeyboardInterrupt

    monkeypatch.setattr("kennel.learn.best_weights.save", cut)
    with pytest.raises(KeyboardInterrupt):
        write_weights(network, path)
    assert path.read_bytes() == whole
    assert list(tmp_path.iterdir()) == [path]


def test_checkpoints_are_written_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "last.ckpt"
    plugin = WholeCheckpoints()
    plugin.save_checkpoint({"epoch": 1}, path)

    def cut(_: Any, file: Any) -> None:
        file.write(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr("kennel.learn.checkpoints.torch.save", cut)
    with pytest.raises(KeyboardInterrupt):
        plugin.save_checkpoint({"epoch": 2}, path)
    assert torch.load(path, weights_only=True) == {"epoch": 1}
    assert list(tmp_path.iterdir()) == [path]


def rows(folder: Path) -> list[tuple[str, str]]:
    with (folder / "metrics.csv").open(encoding="utf-8", newline="") as file:
        return [(row["step"], row["loss"]) for row in csv.DictReader(file)]


def test_a_resumed_run_goes_on_with_metrics_csv_from_its_checkpoint(tmp_path: Path) -> None:
    first = MetricsCsv(str(tmp_path), name="", version="")
    for step in range(4):
        first.log_metrics({"loss": 1.0}, step)
    first.save()
    second = MetricsCsv(str(tmp_path), name="", version="")
    for step in (2, 3):  # steps 2 and 3 came after the last checkpoint, and are taken again
        second.log_metrics({"loss": 2.0}, step)
    second.save()
    assert rows(tmp_path) == [("0", "1.0"), ("1", "1.0"), ("2", "2.0"), ("3", "2.0")]


def test_a_row_that_was_cut_short_and_later_ones_are_left_out(tmp_path: Path) -> None:
    first = MetricsCsv(str(tmp_path), name="", version="")
    for step in range(3):
        first.log_metrics({"loss": 1.0}, step)
    first.save()
    with (tmp_path / "metrics.csv").open("a", encoding="utf-8") as file:
        file.write("0.5")
    second = MetricsCsv(str(tmp_path), name="", version="")
    second.go_on_from(2)
    assert rows(tmp_path) == [("0", "1.0"), ("1", "1.0")]  # before anything is logged
    second.log_metrics({"loss": 3.0, "top1": 1.0}, 2)
    second.save()
    assert rows(tmp_path) == [("0", "1.0"), ("1", "1.0"), ("2", "3.0")]


def test_weights_say_of_which_epoch_they_are_in_the_same_bytes_each_time(
    network: Network, tmp_path: Path
) -> None:
    files = [tmp_path / name for name in "abcdef"]
    for path in files:
        write_weights(network, path, about={"epoch": "3", "figures": "{}", "x": "y"})
    assert len({path.read_bytes() for path in files}) == 1
    assert load_file(files[0]).keys() == network.state_dict().keys()


def test_a_file_of_weights_ahead_of_the_checkpoint_is_recorded_as_what_it_is(
    network: Network, tmp_path: Path
) -> None:
    """A run was killed after it wrote them and before its next checkpoint."""
    path = tmp_path / "w"
    best = BestWeights(str(path))
    after_epoch(best, network, 0, validation__loss=0.5, train__loss=0.9)
    then = best.state_dict()
    with torch.no_grad():
        network.head.bias.fill_(7)
    after_epoch(best, network, 1, validation__loss=0.4, train__loss=0.8)
    again = BestWeights(str(path))
    again.load_state_dict(then)
    again.on_fit_start(None, None)  # type: ignore[arg-type]
    assert again.epoch == 0
    written = again.written()
    assert written is not None
    assert written[:2] == (1, {"validation/loss": pytest.approx(0.4)})
    after_epoch(again, network, 1, validation__loss=0.4, train__loss=0.8)
    assert again.written() == best.written()


@pytest.mark.parametrize("damage", ["removed", "changed"])
def test_best_weights_that_are_gone_are_said_and_the_best_to_come_is_kept(
    damage: str, network: Network, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "w"
    best = BestWeights(str(path))
    after_epoch(best, network, 0, validation__loss=0.1)
    if damage == "removed":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-1] + b"x")
    again = BestWeights(str(path))
    again.load_state_dict(best.state_dict())
    again.on_fit_start(None, None)  # type: ignore[arg-type]
    assert str(path) in caplog.text
    assert again.written() is None
    after_epoch(again, network, 1, validation__loss=0.4)
    assert again.epoch == 1
