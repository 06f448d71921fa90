"""Training crops that grow with the epochs, while validation sees what every door sees."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.callbacks import Callback
from pictures import CPU, TINY, column, train_with
from safetensors.torch import load_file

from kennel.dataset import Dataset
from kennel.errors import UsageError
from kennel.learn.progressive import Sides
from kennel.learn.settings import ProgressiveSettings
from kennel.run import BEST_WEIGHTS, Run

pytestmark = pytest.mark.slow

GROWING = "data.progressive={start: 0.5, until: 0.6, multiple: 8}"


class Measuring(Callback):
    """Keeps the side of every batch, of training and of validation."""

    last: Measuring

    def __init__(self) -> None:
        Measuring.last = self
        self.trained: list[tuple[int, int]] = []
        self.validated: set[int] = set()

    def on_train_batch_start(self, trainer: Any, module: Any, batch: Any, _: int) -> None:
        self.trained.append((trainer.current_epoch, batch[0].shape[3]))
        assert batch[0].shape[2] == batch[0].shape[3]

    def on_validation_batch_start(self, trainer: Any, module: Any, batch: Any, *_: Any) -> None:
        self.validated.add(batch[0].shape[3])


MEASURING = "+callbacks.measuring={_target_: test_progressive.Measuring}"


def run_of(dataset: Dataset, out: Path, *more: str) -> Run:
    return train_with(
        [*TINY, "logger=csv", f"data.csv={dataset.csv}", f"paths.output_dir={out}", *more]
    )


def sides(size: int, epochs: int, **settings: Any) -> list[int]:
    growth = Sides(ProgressiveSettings(**settings), size)
    return [growth.at(epoch, epochs) for epoch in range(epochs)]


def test_sides_grow_in_multiples_and_end_with_the_full_one() -> None:
    assert sides(224, 10, start=0.5, until=0.6) == [128, 128, 160, 160, 192, 192, *[224] * 4]
    assert sides(224, 4, start=0.57, until=1.0) == [128, 160, 192, 224]
    assert sides(250, 4, start=0.5, until=0.5, multiple=50) == [100, 200, 250, 250]


@pytest.mark.parametrize("epochs", [1, 2, 3, 40])
@pytest.mark.parametrize("until", [0.01, 0.5, 1.0])
def test_the_last_epoch_always_has_the_full_side(epochs: int, until: float) -> None:
    assert sides(224, epochs, until=until)[-1] == 224


def test_a_side_is_never_larger_than_the_full_one_nor_empty() -> None:
    assert sides(24, 3, start=0.5, until=1.0, multiple=32) == [24, 24, 24]
    assert sides(96, 3, start=0.01, until=1.0, multiple=8)[0] == 8


def test_a_run_trains_on_growing_crops_and_validates_in_full(
    dataset: Dataset, tmp_path: Path
) -> None:
    run_of(dataset, tmp_path / "run", GROWING, MEASURING, "trainer.max_epochs=5")
    seen = Measuring.last
    assert sorted(set(seen.trained)) == [(0, 16), (1, 24), (2, 24), (3, 32), (4, 32)]
    assert seen.validated == {32}


def test_the_number_of_epochs_may_come_from_the_number_of_steps(
    dataset: Dataset, tmp_path: Path
) -> None:
    more = ("trainer.max_epochs=-1", "trainer.max_steps=12")  # 3 epochs of 27 photos by 8
    run_of(dataset, tmp_path / "run", GROWING, MEASURING, *more)
    assert sorted(set(Measuring.last.trained)) == [(0, 16), (1, 24), (2, 32)]


def test_a_run_that_goes_on_sees_the_same_crops(dataset: Dataset, tmp_path: Path) -> None:
    more = (GROWING, "trainer.max_epochs=4")
    whole = run_of(dataset, tmp_path / "whole", *more)
    stop = "+callbacks.stop={_target_: pictures.Interrupting, epoch: 1}"
    with pytest.raises(KeyboardInterrupt):
        run_of(dataset, tmp_path / "parts", *more, stop)
    parts = run_of(dataset, tmp_path / "parts", *more, "ckpt_path=last")
    ours, theirs = (load_file(run.path / BEST_WEIGHTS) for run in (whole, parts))
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert column(whole, "train/loss_step") == column(parts, "train/loss_step")


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        (("data=plain", GROWING), "nothing in data.augment crops at random"),
        (("data.progressive={start: 0}",), r"data\.progressive\.start is 0"),
        (("data.progressive={until: 1.5}",), r"data\.progressive\.until is 1.5"),
        (("data.progressive={multiple: 0}",), r"data\.progressive\.multiple is 0"),
        (("data.progressive={end: 1}",), r"data\.progressive\.end"),
    ],
)
def test_what_cannot_grow_is_refused(
    more: tuple[str, ...], reason: str, dataset: Dataset, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=reason):
        run_of(dataset, tmp_path / "run", *more)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        (("experiment=quick", "data=default"), "recipe.frozen"),
        (
            ("model=timm", "model.name=vit_tiny_patch16_224", "model.pretrained=false"),
            "begins with photos of 128 px, which the network does not take",
        ),
    ],
)
def test_a_network_or_recipe_that_sees_one_size_alone_is_refused(
    more: tuple[str, ...], reason: str, dataset: Dataset, tmp_path: Path
) -> None:
    words = [*CPU, *more, "data.progressive={start: 0.5}", f"data.csv={dataset.csv}"]
    with pytest.raises(UsageError, match=reason):
        train_with([*words, f"paths.output_dir={tmp_path / 'run'}"])
