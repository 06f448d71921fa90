"""What a run that fails says: when a loss counts as diverged, and what is left that is good."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.callbacks import Callback
from pictures import NO_LOGGER, TINY, train_with

from kennel.dataset import Dataset
from kennel.errors import RunError
from kennel.learn.divergence import FAR_ABOVE, LossWatch
from kennel.run import BEST_WEIGHTS, LAST_CHECKPOINT, read_run

pytestmark = pytest.mark.slow
FAR = 2 * FAR_ABOVE * math.log(10)


def faults(values: list[float], *, patience: int = 5, every: int = 1) -> list[int]:
    """Steps at which a watch of ten labels finds fault."""
    watch = LossWatch(10, patience=patience)
    steps = range(0, len(values) * every, every)
    return [step for step, v in zip(steps, values, strict=True) if watch.fault(v, step)]


def test_a_loss_far_above_guessing_for_long_has_diverged() -> None:
    assert faults([FAR] * 8) == [5, 6, 7]
    assert faults([FAR] * 4, every=4) == [8, 12]  # as on a device that is asked now and then


def test_a_high_start_a_peak_and_a_loss_of_guessing_have_not() -> None:
    assert faults([FAR] * 5 + [2.0] + [FAR] * 5) == []
    assert faults([math.log(10)] * 50) == []
    assert faults([FAR] * 50, patience=0) == []


def test_no_number_is_a_fault_at_once_whatever_the_patience() -> None:
    assert faults([1.0, math.nan, math.inf], patience=0) == [1, 2]


class Spoiling(Callback):
    """Multiplies the head's weights at the beginning of epoch 1."""

    def __init__(self, by: float) -> None:
        self.by = by

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        if trainer.current_epoch == 1:
            with torch.no_grad():
                pl_module.network.head.weight.mul_(self.by)


@pytest.mark.parametrize(
    ("by", "more", "said"),
    [
        ("1e6", ("recipe.diverged_after=3",), r"the loss diverged: .* epoch 1, step 7"),
        ("nan", (), r"the loss became nan in epoch 1, step 4"),
    ],
)
def test_the_message_names_the_weights_and_the_checkpoint_that_are_good(
    by: str, more: tuple[str, ...], said: str, dataset: Dataset, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    spoil = f"+callbacks.spoil={{_target_: test_divergence.Spoiling, by: {by}}}"
    words = [*TINY, *NO_LOGGER, f"data.csv={dataset.csv}", f"paths.output_dir={out}", spoil, *more]
    with pytest.raises(RunError, match=said) as raised:
        train_with([*words, "trainer.max_epochs=3"])
    assert f"the best weights, of epoch 0, are {out / BEST_WEIGHTS}" in raised.value.fix
    assert f"the last good checkpoint is {out / LAST_CHECKPOINT}" in raised.value.fix
    assert torch.load(out / LAST_CHECKPOINT, weights_only=True)["global_step"] == 4
    assert read_run(out).status == "failed"


def test_a_run_that_fails_in_its_first_epoch_names_no_checkpoint(
    dataset: Dataset, tmp_path: Path
) -> None:
    words = [*TINY, *NO_LOGGER, f"data.csv={dataset.csv}", f"paths.output_dir={tmp_path / 'run'}"]
    with pytest.raises(RunError, match="nan") as raised:
        train_with([*words, "optimizer.lr=1e30"])
    assert "no epoch was completed" in raised.value.fix
