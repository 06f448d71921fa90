"""The learning rate: its shape, and that it is stepped once an optimiser step."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from pictures import NOTICING, TINY, Noticing, column, train_with
from torch import nn

from kennel.dataset import Dataset
from kennel.errors import UsageError
from kennel.learn.schedule import flat_cosine, one_cycle, total_steps, warmup_cosine
from kennel.run import Run

pytestmark = pytest.mark.slow

PEAK = 0.5


def curve(schedule: Any, steps: int, **more: Any) -> list[float]:
    """The learning rate before each step, and the one that is left at the end."""
    optimizer = torch.optim.SGD(nn.Linear(2, 2).parameters(), lr=PEAK, momentum=0.9)
    scheduler = schedule(optimizer, steps, **more)
    rates = []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return [*rates, optimizer.param_groups[0]["lr"]]


def test_warm_up_rises_to_the_learning_rate_and_falls_to_the_floor() -> None:
    rates = curve(warmup_cosine, 20, warmup=0.25, floor=0.02)
    assert rates[:6] == pytest.approx([PEAK * i / 6 for i in range(1, 7)])
    assert max(rates) == rates[5] == pytest.approx(PEAK)
    assert rates[5:] == sorted(rates[5:], reverse=True)
    assert rates[-1] == pytest.approx(PEAK * 0.02)


def test_without_warm_up_the_first_step_has_the_learning_rate() -> None:
    assert curve(warmup_cosine, 4, warmup=0.0)[0] == pytest.approx(PEAK)


def test_flat_cosine_stays_at_the_learning_rate_and_falls_in_the_last_share() -> None:
    rates = curve(flat_cosine, 20, fall=0.25, floor=0.1)
    assert rates[:16] == pytest.approx([PEAK] * 16)
    assert rates[16] < PEAK
    assert rates[15:] == sorted(rates[15:], reverse=True)
    assert rates[-1] == pytest.approx(PEAK * 0.1)
    halfway = curve(flat_cosine, 20, fall=0.2)[18]
    assert halfway == pytest.approx(PEAK / 2)


def test_flat_cosine_can_warm_up() -> None:
    rates = curve(flat_cosine, 20, warmup=0.25, fall=0.25)
    assert rates[:6] == pytest.approx([PEAK * i / 6 for i in range(1, 7)])
    assert rates[5:16] == pytest.approx([PEAK] * 11)
    assert rates[-1] == 0.0


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_flat_cosine_takes_any_number_of_steps(steps: int) -> None:
    rates = curve(flat_cosine, steps)
    assert rates[0] == PEAK
    assert rates[-1] == 0.0


def test_one_cycle_rises_to_the_learning_rate_and_falls_to_the_floor() -> None:
    rates = curve(one_cycle, 20, warmup=0.3, start=0.1, floor=0.01)
    top = rates.index(max(rates))
    assert rates[0] == pytest.approx(PEAK * 0.1)
    assert max(rates) == pytest.approx(PEAK, rel=0.05)
    assert rates[: top + 1] == sorted(rates[: top + 1])
    assert rates[top:] == sorted(rates[top:], reverse=True)
    assert rates[-1] == pytest.approx(PEAK * 0.1 * 0.01)


@pytest.mark.parametrize("steps", [1, 2, 3, 7])
@pytest.mark.parametrize("warmup", [0.125, 0.25, 0.3, 0.5])
def test_one_cycle_takes_any_number_of_steps(steps: int, warmup: float) -> None:
    assert len(curve(one_cycle, steps, warmup=warmup)) == steps + 1


def test_each_group_keeps_its_share_of_the_learning_rate() -> None:
    layer = nn.Linear(2, 2)
    groups = [{"params": [layer.weight], "lr": 1.0}, {"params": [layer.bias], "lr": 0.2}]
    optimizer = torch.optim.AdamW(groups)
    scheduler = one_cycle(optimizer, 10)
    for _ in range(10):
        head, backbone = (group["lr"] for group in optimizer.param_groups)
        assert backbone == pytest.approx(0.2 * head)
        optimizer.step()
        scheduler.step()


@pytest.mark.parametrize(
    ("schedule", "wrong"),
    [
        (warmup_cosine, {"warmup": 1.0}),
        (warmup_cosine, {"floor": 2.0}),
        (flat_cosine, {"warmup": 0.8}),
        (flat_cosine, {"fall": 0.0}),
        (flat_cosine, {"floor": 1.5}),
        (one_cycle, {"warmup": 0.0}),
        (one_cycle, {"start": 0.0}),
        (one_cycle, {"floor": 0.0}),
    ],
)
def test_shares_out_of_range_are_refused(schedule: Any, wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(wrong))} {next(iter(wrong.values()))}"):
        curve(schedule, 4, **wrong)


# In a run


@pytest.mark.parametrize("name", ["warmup_cosine", "flat_cosine", "one_cycle"])
def test_the_schedule_is_stepped_once_an_optimiser_step(
    name: str, dataset: Dataset, tmp_path: Path
) -> None:
    run = train_with(
        [
            *TINY,
            "logger=csv",
            f"schedule={name}",
            "optimizer=sgd",
            f"optimizer.lr={PEAK / 1000}",
            "trainer.max_epochs=3",
            f"data.csv={dataset.csv}",
            f"paths.output_dir={tmp_path / 'run'}",
        ]
    )
    schedule = {
        "warmup_cosine": warmup_cosine,
        "flat_cosine": flat_cosine,
        "one_cycle": one_cycle,
    }[name]
    rates = [rate / 1000 for rate in curve(schedule, 12)[:-1]]  # 3 epochs of 27 photos by 8
    assert column(run, "lr-SGD/head") == pytest.approx(rates)


@pytest.mark.parametrize(
    ("more", "steps"),
    [
        ((), 2 * 4),  # 27 photos by 8: three batches and a ragged one
        (("data.batch_size=13",), 2 * 2),  # a last batch of one photo is left out
        (("data.batch_size=100",), 2 * 1),
        (("trainer.accumulate_grad_batches=3",), 2 * 2),
        (("trainer.limit_train_batches=3",), 2 * 3),
        (("trainer.limit_train_batches=0.5",), 2 * 2),
        (("trainer.limit_train_batches=1.0",), 2 * 4),
        (("trainer.limit_train_batches=3", "trainer.accumulate_grad_batches=2"), 2 * 2),
        (("trainer.max_steps=5",), 5),
        (("trainer.max_epochs=-1", "trainer.max_steps=5"), 5),
    ],
)
def test_as_many_steps_are_planned_as_are_taken(
    more: tuple[str, ...], steps: int, dataset: Dataset, tmp_path: Path
) -> None:
    out = f"paths.output_dir={tmp_path / 'run'}"
    train_with([*TINY, "logger=none", NOTICING, f"data.csv={dataset.csv}", out, *more])
    assert Noticing.last.planned == Noticing.last.steps == steps


def test_a_run_without_an_end_has_no_number_of_steps() -> None:
    trainer: Any = SimpleNamespace(
        limit_train_batches=1.0, max_epochs=-1, max_steps=-1, accumulate_grad_batches=1
    )
    with pytest.raises(UsageError, match=r"max_epochs is -1"):
        total_steps(trainer, 4)


def test_the_learning_rate_of_a_run_ends_near_the_floor(tiny_run: Run) -> None:
    rates = column(tiny_run, "lr-AdamW/head")
    assert max(rates) == pytest.approx(1e-3)
    assert rates[-1] < 0.1 * max(rates)
