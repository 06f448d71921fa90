"""The moving average of weights: what it is, and that it is what is measured, kept and resumed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.callbacks import Callback
from pictures import FROZEN, TINY, column, train_with
from safetensors.torch import load_file
from torch import nn

from kennel.dataset import Dataset
from kennel.errors import RunError, UsageError
from kennel.images import read_photo
from kennel.learn.averaging import follow, warmed_up
from kennel.learn.trained import load_model
from kennel.run import BEST_WEIGHTS, Run, checkpoints_of

pytestmark = pytest.mark.slow

KEEPING = "+callbacks.keeping={_target_: test_averaging.KeepsWeights}"


class KeepsWeights(Callback):
    """Keeps the network's weights after each optimiser step, and as they were before the first."""

    last: KeepsWeights

    def __init__(self) -> None:
        KeepsWeights.last = self
        self.weights: list[dict[str, torch.Tensor]] = []

    def _keep(self, module: Any) -> None:
        self.weights.append({k: v.clone() for k, v in module.network.state_dict().items()})

    def on_train_start(self, trainer: Any, module: Any) -> None:
        self._keep(module)

    def on_train_batch_end(self, trainer: Any, module: Any, *_: Any) -> None:
        self._keep(module)


def run_of(dataset: Dataset, out: Path, *more: str) -> Run:
    return train_with(
        [*TINY, "logger=csv", f"data.csv={dataset.csv}", f"paths.output_dir={out}", *more]
    )


def test_the_decay_is_lower_in_the_first_steps_and_then_as_asked() -> None:
    assert warmed_up(0.99, 0) == pytest.approx(0.1)
    assert [warmed_up(0.99, t) for t in range(50)] == sorted(warmed_up(0.99, t) for t in range(50))
    assert warmed_up(0.99, 10_000) == 0.99
    assert warmed_up(0.05, 0) == 0.05


def test_floats_move_towards_the_network_and_counters_are_copied() -> None:
    average, network = nn.BatchNorm1d(2), nn.BatchNorm1d(2)
    network.weight.data.fill_(3.0)
    network.running_mean.fill_(8.0)
    network.num_batches_tracked.fill_(7)
    follow(average, network, 0.75)
    assert average.weight.tolist() == [1.5, 1.5]
    assert average.running_mean.tolist() == [2.0, 2.0]
    assert average.num_batches_tracked == 7
    assert network.weight.tolist() == [3.0, 3.0]


@pytest.mark.parametrize("accumulate", [1, 2])
def test_what_is_kept_is_the_average_over_the_optimiser_steps(
    accumulate: int, dataset: Dataset, tmp_path: Path
) -> None:
    run = run_of(
        dataset,
        tmp_path / "run",
        "recipe.ema=0.9",
        "trainer.max_epochs=1",
        f"trainer.accumulate_grad_batches={accumulate}",
        KEEPING,
    )
    first, *steps = KeepsWeights.last.weights
    assert len(steps) == 4
    expected = dict(first)
    for step, weights in enumerate(steps[accumulate - 1 :: accumulate]):
        decay = (1 + step) / (10 + step)
        for name, value in weights.items():
            if value.is_floating_point():
                expected[name] = decay * expected[name] + (1 - decay) * value
            else:
                expected[name] = value
    kept = load_file(run.path / BEST_WEIGHTS)
    assert kept.keys() == expected.keys()
    for name in kept:
        torch.testing.assert_close(kept[name], expected[name])
    name = "body.head.fc.weight" if "body.head.fc.weight" in kept else next(iter(kept))
    assert not torch.equal(kept[name], steps[-1][name])


def test_validation_measures_what_is_kept(dataset: Dataset, tmp_path: Path) -> None:
    run = run_of(dataset, tmp_path / "run", "recipe.ema=0.5", "optimizer.lr=1e-2")
    network = load_model(run).network.eval()
    photos = [read_photo(dataset.file(p), run.preprocess) for p in dataset.split("validation")]
    truth = [dataset.labels.index(p.label) for p in dataset.split("validation")]
    batch = torch.stack([torch.from_numpy(photo) for photo in photos])
    with torch.inference_mode():
        loss = nn.functional.cross_entropy(network(batch), torch.tensor(truth))
    assert run.metrics["validation/loss"] == pytest.approx(float(loss), abs=1e-5)


def test_a_run_that_goes_on_has_the_same_average(dataset: Dataset, tmp_path: Path) -> None:
    more = ("recipe.ema=0.97", "model.drop_rate=0.2")
    whole = run_of(dataset, tmp_path / "whole", *more)
    stop = "+callbacks.stop={_target_: pictures.Interrupting, epoch: 1}"
    with pytest.raises(KeyboardInterrupt):
        run_of(dataset, tmp_path / "parts", *more, stop)
    checkpoint = torch.load(checkpoints_of(tmp_path / "parts")[0], weights_only=True)
    assert any(name.startswith("average.") for name in checkpoint["state_dict"])
    parts = run_of(dataset, tmp_path / "parts", *more, "ckpt_path=last")
    ours, theirs = (load_file(run.path / BEST_WEIGHTS) for run in (whole, parts))
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert column(whole, "validation/loss") == column(parts, "validation/loss")


def test_the_average_changes_what_is_measured_and_not_what_is_trained(
    tiny_run: Run, dataset: Dataset, tmp_path: Path
) -> None:
    run = run_of(dataset, tmp_path / "run", "recipe.ema=0.9")
    assert column(run, "train/loss_step") == column(tiny_run, "train/loss_step")
    assert column(run, "validation/loss") != column(tiny_run, "validation/loss")


def test_statistics_that_are_kept_stay_those_of_the_weights(
    frozen_run: Run, dataset: Dataset, cache: Path, tmp_path: Path
) -> None:
    run = train_with(
        [
            *FROZEN[:-1],
            "experiment=finetune",
            "logger=none",
            "recipe.ema=0.9",
            "trainer.max_epochs=1",
            "trainer.limit_train_batches=2",
            "data.batch_size=2",
            f"data.csv={dataset.csv}",
            f"paths.output_dir={tmp_path / 'run'}",
            f"paths.cache_dir={cache}",
        ]
    )
    before, after = (load_file(each.path / BEST_WEIGHTS) for each in (frozen_run, run))
    same = [name for name in before if torch.equal(before[name], after[name])]
    assert {name for name in before if "running_" in name} <= set(same)
    assert len(same) < len(before)


def test_a_head_on_frozen_features_is_averaged_too(
    frozen_run: Run, dataset: Dataset, cache: Path, tmp_path: Path
) -> None:
    paths = [f"paths.output_dir={tmp_path / 'run'}", f"paths.cache_dir={cache}"]
    run = train_with([*FROZEN, "recipe.ema=0.5", f"data.csv={dataset.csv}", *paths])
    before, after = (load_file(each.path / BEST_WEIGHTS) for each in (frozen_run, run))
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed
    assert all("classifier" in name for name in changed)


def test_a_checkpoint_without_the_average_is_refused(
    tiny_run: Run, dataset: Dataset, tmp_path: Path
) -> None:
    with pytest.raises(RunError, match=r"does not fit the network of these settings"):
        run_of(
            dataset,
            tmp_path / "run",
            "recipe.ema=0.9",
            f"ckpt_path={checkpoints_of(tiny_run.path)[0]}",
        )


@pytest.mark.parametrize("value", ["1", "-0.1", "much"])
def test_a_decay_out_of_range_is_refused(value: str, dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"recipe\.ema"):
        run_of(dataset, tmp_path / "run", f"recipe.ema={value}")
