"""What a run shows of itself while it goes on: speed, progress, pictures."""

from __future__ import annotations

import fcntl
import logging
import os
import pty
import re
import struct
import sys
import termios
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import Callback
from pictures import CPU, NO_LOGGER, TINY, cached, column, train_with
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from kennel.annotate import sheet
from kennel.bundle import Preprocess
from kennel.dataset import Dataset
from kennel.errors import UsageError
from kennel.learn.photos import PhotoData
from kennel.learn.watch.mistakes import MOST_LABELS, matrix, worst
from kennel.learn.watch.progress import _line, _time
from kennel.learn.watch.speed import Speed, remedy
from kennel.run import Run

pytestmark = pytest.mark.slow
SHOWS = [word for word in (*TINY, *NO_LOGGER) if word != "callbacks.progress=null"]


def events_of(run: Run) -> EventAccumulator:
    events = EventAccumulator(str(run.path / "tensorboard"), size_guidance={"images": 0})
    events.Reload()
    return events


# speed


def timed(monkeypatch: pytest.MonkeyPatch, *times: float) -> tuple[Speed, Any, Any, dict[str, Any]]:
    """A Speed whose clock shows these times, with what it logs."""
    logged: dict[str, list[float]] = {}
    clock = iter(times)
    monkeypatch.setattr("kennel.learn.watch.speed.time.monotonic", lambda: next(clock))
    module: Any = SimpleNamespace(
        device=torch.device("cpu"),
        log=lambda name, value, **_: logged.setdefault(name, []).append(value),
    )
    trainer: Any = SimpleNamespace(
        world_size=2,
        is_last_batch=False,
        _logger_connector=SimpleNamespace(should_update_logs=True),
    )
    return Speed(), trainer, module, logged


def test_speed_counts_photos_and_their_time_without_validation(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert Speed().images_per_s == 0.0
    # A step of 3 s after waiting 1 s; validation of 100 s; a step of 2 s after waiting 2 s.
    speed, trainer, module, logged = timed(monkeypatch, 0.0, 1.0, 4.0, 104.0, 106.0, 108.0)
    speed.on_train_epoch_start(trainer, module)
    for last in (False, True):
        trainer.is_last_batch = last
        speed.on_train_batch_start(trainer, module, None, 0)
        speed.on_train_batch_end(trainer, module, None, (torch.zeros(3, 1), None), 0)
        if not last:
            speed.on_validation_end(trainer, module)
    assert speed.images == 12
    assert logged == {
        "train/step_wait_share": [1 / 4, 2 / 4],
        "train/images_per_s": [12 / 8],
        "train/wait_share": [3 / 8],
    }
    assert speed.images_per_s == 12 / 8


def test_the_wait_share_of_each_logged_step_is_in_the_figures(tiny_run: Run) -> None:
    shares = column(tiny_run, "train/step_wait_share")
    assert len(shares) == 8  # 4 steps an epoch
    assert all(0 < share < 1 for share in shares)
    assert len(column(tiny_run, "train/wait_share")) == 2


def test_the_start_of_the_readers_is_no_starving(monkeypatch: pytest.MonkeyPatch) -> None:
    # The first photo takes 60 s to come, each of ten more 0.1 s before a step of 0.9 s.
    times = [0.0, 60.0, 61.0]
    for _ in range(10):
        times += [times[-1] + 0.1, times[-1] + 1.0]
    speed, trainer, module, _ = timed(monkeypatch, *times)
    speed.on_train_epoch_start(trainer, module)
    for _ in range(11):
        speed.on_train_batch_start(trainer, module, None, 0)
        speed.on_train_batch_end(trainer, module, None, (torch.zeros(3, 1), None), 0)
    assert speed.waited_share == pytest.approx(1 / 11)


def test_a_run_that_starved_says_so_and_what_helps(
    dataset: Dataset, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    words = (*TINY, *NO_LOGGER, f"data.csv={dataset.csv}", "trainer.max_epochs=3")
    with caplog.at_level(logging.WARNING, logger="kennel"):
        train_with(
            [*words, f"paths.output_dir={tmp_path / 'a'}", "callbacks.speed.starved_share=1"]
        )
        assert "waited" not in caplog.text
        train_with(
            [*words, f"paths.output_dir={tmp_path / 'b'}", "callbacks.speed.starved_share=0"]
        )
    [line] = [r.getMessage() for r in caplog.records if "waited" in r.getMessage()]
    assert re.fullmatch(r"training waited for photos \d+ % of its time; try data\.cache=.*", line)


def test_what_is_said_to_help_is_what_is_not_done_yet(dataset: Dataset, cache: Path) -> None:
    def data(**more: Any) -> PhotoData:
        preprocess = Preprocess(size=32, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
        return PhotoData(dataset, preprocess, batch_size=4, **more)

    plain = data(num_workers=2)
    assert "data.cache" in (remedy(plain, on_accelerator=True, cores=8) or "")
    plain.training.rows.shelf = object()  # type: ignore[assignment]
    assert "data.num_workers=8" in (remedy(plain, on_accelerator=True, cores=8) or "")
    assert remedy(plain, on_accelerator=True, cores=2) is None  # nothing to make cheaper
    assert remedy(plain, on_accelerator=False, cores=8) is None  # readers would take its cores


# progress


@contextmanager
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], str]]:
    """A terminal of 80 columns as stderr; calling it gives what was written."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    stream = os.fdopen(theirs, "w", encoding="utf-8")
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("kennel.learn.watch.progress.REDRAW_EVERY_S", 0.0)

    def read() -> str:
        stream.flush()
        return os.read(ours, 1 << 20).decode()

    yield read
    monkeypatch.undo()
    stream.close()
    os.close(ours)


def test_progress_on_a_terminal_is_one_line_of_its_width(
    dataset: Dataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    with terminal(monkeypatch) as read:
        train_with([*SHOWS, f"data.csv={dataset.csv}", f"paths.output_dir={tmp_path / 'run'}"])
        text = read()
    lines = [part.removesuffix("\x1b[K") for part in re.split(r"[\r\n]+", text)]
    assert max(len(line) for line in lines) <= 79
    steps = [line for line in lines if "step" in line]
    assert len(steps) == 8
    assert re.fullmatch(r"epoch 2/2, step 3/4, \d+ images/s, loss \d+\.\d{3}, \d+ s left", steps[6])
    kept = re.findall(r"(epoch \d/2[^\r\x1b]*validation top1[^\r\x1b]*)\r?\n", text)
    assert len(kept) == 2
    assert kept[1].rstrip().endswith("0 s left")
    assert capfd.readouterr().out == ""


def test_progress_in_a_pipe_is_a_line_an_epoch_without_control_characters(
    dataset: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train_with([*SHOWS, f"data.csv={dataset.csv}", f"paths.output_dir={tmp_path / 'run'}"])
    out, err = capsys.readouterr()
    assert out == ""
    lines = [line for line in err.splitlines() if line.startswith("epoch")]
    assert [line.partition(",")[0] for line in lines] == ["epoch 1/2", "epoch 2/2"]
    assert all(c.isprintable() or c == "\n" for c in err)
    assert max(len(line) for line in lines) <= 80


def test_the_longest_line_of_an_epoch_fits_80_columns() -> None:
    facts = ["epoch 100/100", "12345 images/s", "loss 10.123", "validation top1 0.123"]
    assert len(_line([*facts, f"{_time(99 * 3600)} left"])) < 80
    assert _time(9.4) == "9 s"
    assert _time(245) == "4:05 min"
    assert _time(7620) == "2:07 h"


# pictures


def test_tensorboard_has_all_that_watching_promises(tiny_run: Run) -> None:
    events = events_of(tiny_run)
    tags = events.Tags()
    assert set(tags["images"]) == {"train/photos", "validation/confusion", "validation/mistakes"}
    scalars = set(tags["scalars"])
    assert {"lr-AdamW/head", "lr-AdamW/backbone", "train/step_wait_share"} <= scalars
    assert {"hardware/cpu_percent", "hardware/memory_of_run_gib"} <= scalars
    assert [e.step for e in events.Scalars("lr-AdamW/head")] == list(range(8))
    assert [e.step for e in events.Images("validation/confusion")] == [8]  # when it is over
    assert tags["graph"]


def test_mistakes_are_shown_every_few_epochs_and_at_the_last(
    dataset: Dataset, cache: Path, tmp_path: Path
) -> None:
    words = [*TINY, *cached(cache), f"data.csv={dataset.csv}", f"paths.output_dir={tmp_path / 'r'}"]
    words += ["logger=tensorboard", "trainer.max_epochs=5", "callbacks.mistakes.every_epochs=2"]
    run = train_with(words)
    steps = [e.step for e in events_of(run).Images("validation/confusion")]
    assert steps == [8, 16, 20]


def test_frozen_runs_show_photos_too(frozen_run: Run) -> None:
    images = set(events_of(frozen_run).Tags()["images"])
    assert {"train/photos", "validation/confusion"} <= images


def test_a_photo_that_is_gone_loses_a_picture_and_no_run(
    dataset: Dataset, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    words = [*TINY, f"data.csv={dataset.csv}", f"paths.output_dir={tmp_path / 'run'}"]
    words += ["logger=tensorboard", "trainer.max_epochs=1", "+callbacks.gone={_target_: "]
    words[-1] += "test_watch.Losing}"
    with caplog.at_level(logging.WARNING, logger="kennel"):
        run = train_with(words)
    assert run.status == "done"
    assert "the wrong validation photos are not shown" in caplog.text
    assert "validation/confusion" in events_of(run).Tags()["images"]


class Losing(Callback):
    """Photos are gone once validation is over."""

    def on_validation_end(self, trainer: Any, module: Any) -> None:
        rows = trainer.datamodule.validation.rows
        rows.dataset = SimpleNamespace(file=lambda _: Path("gone.png"), csv=Path("gone.csv"))


def test_the_worst_photos_are_wrong_ones_by_loss() -> None:
    truth, answer = np.array([0, 1, 2, 0, 1]), np.array([1, 1, 0, 2, 0])
    loss = np.array([2.0, 9.0, 3.0, 1.0, 2.5], np.float32)  # the second is right, and unsure
    assert worst(truth, answer, loss, most=3) == [2, 4, 0]
    assert worst(truth, truth, loss, most=3) == []


def test_a_matrix_of_a_thousand_labels_shows_those_with_most_mistakes() -> None:
    labels = [f"label {at}" for at in range(1000)]
    truth = np.arange(1000).repeat(5)
    answer = truth.copy()
    answer[:50] = 999
    picture = matrix(truth, answer, labels)
    assert picture.dtype == np.uint8
    assert picture.shape[2] == 3
    assert max(picture.shape) < 4000
    assert MOST_LABELS < 100


def test_a_sheet_has_all_photos_at_one_size_whatever_their_shape() -> None:
    photos = [Image.new("RGB", size, "#123456") for size in ((32, 32), (300, 20), (20, 300))] * 2
    picture = sheet("6 of 9 are wrong", photos, [("Ein sehr langer Name" * 9, "ß 🐕")] * 6)
    assert picture.width == 24 + 4 * (224 + 24)
    pixels = np.asarray(picture)
    assert (pixels == (0x12, 0x34, 0x56)).all(2).sum() >= 2 * 224 * 224


@pytest.mark.parametrize(
    ("word", "path"),
    [
        ("callbacks.mistakes.every_epochs=-1", "callbacks.mistakes"),
        ("callbacks.mistakes.photos=0", "callbacks.mistakes"),
        ("callbacks.mistakes.photos=many", "callbacks.mistakes.photos"),
        ("callbacks.hardware.every_s=0.1", "callbacks.hardware"),
        ("callbacks.hardware.every_s=often", "callbacks.hardware.every_s"),
        ("+callbacks.hardware.evry_s=3", "callbacks.hardware.evry_s"),
        ("+callbacks.speed.share=1", "callbacks.speed.share"),
    ],
)
def test_a_setting_of_watching_that_cannot_be_is_refused_with_its_path(
    word: str, path: str, dataset: Dataset, tmp_path: Path
) -> None:
    with pytest.raises(UsageError) as error:
        train_with([*CPU, f"data.csv={dataset.csv}", f"paths.output_dir={tmp_path / 'r'}", word])
    assert f"setting {path}" in error.value.message
    assert list(tmp_path.iterdir()) == []
