"""What a run shows of itself while it goes on."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from kennel.learn.watch.speed import Speed

pytestmark = pytest.mark.slow


def test_speed_counts_photos_and_their_time_without_validation(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    speed = Speed()
    assert speed.images_per_s == 0.0
    logged: dict[str, float] = {}
    module: Any = SimpleNamespace(
        device=torch.device("cpu"), log=lambda name, value, **_: logged.update({name: value})
    )
    # A step of 3 s after waiting 1 s; validation of 100 s; a step of 3 s after waiting 1 s.
    times = iter([0.0, 1.0, 4.0, 104.0, 105.0, 108.0])
    monkeypatch.setattr("kennel.learn.watch.speed.time.monotonic", lambda: next(times))
    trainer: Any = SimpleNamespace(world_size=2, is_last_batch=False)
    speed.on_train_epoch_start(trainer, module)
    for last in (False, True):
        trainer.is_last_batch = last
        speed.on_train_batch_start(trainer, module, None, 0)
        speed.on_train_batch_end(trainer, module, None, (torch.zeros(3, 1), None), 0)
        if not last:
            speed.on_validation_end(trainer, module)
    assert speed.images == 12
    assert logged == {"train/images_per_s": 12 / 8, "train/wait_share": 2 / 8}
    assert speed.images_per_s == 12 / 8
