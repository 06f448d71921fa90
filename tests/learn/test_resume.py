"""A run cannot be lost: it goes on from wherever it stopped, and ends as if it had not."""

from __future__ import annotations

import csv
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from pictures import FROZEN, TINY, cached, train_with
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from kennel.dataset import Dataset
from kennel.errors import RunError, Stopped, UsageError
from kennel.run import BEST_WEIGHTS, CHECKPOINT, Run, checkpoints_of, read_run

pytestmark = pytest.mark.slow

CLOCK = ("images_per_s", "wait", "hardware")  # of figures that no run repeats
MIX = "data.mix={_target_: torchvision.transforms.v2.MixUp, _partial_: true}"
QUIET = ("callbacks.graph=null", "callbacks.pictures=null")
STOP = "+callbacks.stop={_target_: pictures.Stopping, after: %d}"


def words(dataset: Dataset, out: Path, *more: str) -> list[str]:
    return [*TINY, *QUIET, MIX, f"data.csv={dataset.csv}", f"paths.output_dir={out}", *more]


def stopped_after(steps: int, asked: list[str]) -> Stopped:
    with pytest.raises(Stopped) as raised:
        train_with([*asked, "ckpt_path=last", STOP % steps])
    return raised.value


def last(run: Path) -> dict[str, Any]:
    checkpoint: dict[str, Any] = torch.load(checkpoints_of(run)[0], weights_only=True)
    return checkpoint


def rows(run: Path) -> list[dict[str, str]]:
    with (run / "metrics.csv").open(encoding="utf-8", newline="") as file:
        return [
            {k: v for k, v in row.items() if not any(word in k for word in CLOCK)}
            for row in csv.DictReader(file)
        ]


def curves(run: Path) -> dict[str, list[tuple[int, float]]]:
    events = EventAccumulator(str(run / "tensorboard"))
    events.Reload()
    return {
        tag: [(each.step, each.value) for each in events.Scalars(tag)]
        for tag in events.Tags()["scalars"]
        if not any(word in tag for word in CLOCK)
    }


def assert_same(a: Run, b: Run) -> None:
    """All that two runs leave behind, but what depends on the clock."""
    assert (a.path / BEST_WEIGHTS).read_bytes() == (b.path / BEST_WEIGHTS).read_bytes()
    ours, theirs = last(a.path), last(b.path)
    for name in ("state_dict", "optimizer_states"):
        assert str(ours[name]) == str(theirs[name])
    assert ours["state_dict"].keys() == theirs["state_dict"].keys()
    assert all(torch.equal(v, theirs["state_dict"][k]) for k, v in ours["state_dict"].items())
    assert (ours["lr_schedulers"], ours["loops"]) == (theirs["lr_schedulers"], theirs["loops"])
    kept = [
        {k: v for k, v in run.metrics.items() if not any(word in k for word in CLOCK)}
        for run in (a, b)
    ]
    assert kept[0] == kept[1]
    assert (a.best_epoch, a.weights_sha256) == (b.best_epoch, b.weights_sha256)
    if (a.path / "metrics.csv").exists():
        assert rows(a.path) == rows(b.path)
    if (a.path / "tensorboard").exists():
        assert curves(a.path) == curves(b.path)


# Bit for bit


@pytest.mark.parametrize(
    ("more", "stops"),
    [
        ((), (2, 3, 4, 6)),
        (("data.num_workers=2", "logger=csv"), (1, 5)),
        (("trainer.accumulate_grad_batches=3", "trainer.max_epochs=3", "logger=csv"), (1, 3)),
        (("trainer.max_steps=7", "trainer.max_epochs=-1", "logger=csv"), (3, 4)),
        (("trainer.limit_train_batches=3", "logger=csv"), (2, 4)),
        (("+trainer.val_check_interval=0.5", "logger=csv"), (1, 2, 5)),
        (("debug=overfit", "trainer.max_epochs=3", "logger=csv"), (2, 4)),
    ],
    ids=["plain", "readers", "accumulated", "max steps", "limited", "validated between", "overfit"],
)
def test_a_run_that_stops_between_two_steps_ends_as_if_it_had_not(
    more: tuple[str, ...], stops: tuple[int, ...], dataset: Dataset, tmp_path: Path
) -> None:
    whole = train_with(words(dataset, tmp_path / "whole", *more))
    asked = words(dataset, tmp_path / "run", *more)
    for steps in stops:
        stop = stopped_after(steps, asked)
        assert stop.exit_code == 143
        assert checkpoints_of(tmp_path / "run")[0].name in stop.message
        assert read_run(tmp_path / "run").status == "stopped"
    assert_same(train_with([*asked, "ckpt_path=last"]), whole)


def test_frozen_features_go_on_with_the_memory_of_l_bfgs(
    dataset: Dataset, cache: Path, tmp_path: Path
) -> None:
    def asked(name: str) -> list[str]:
        here = [f"paths.output_dir={tmp_path / name}", f"paths.cache_dir={cache}", "logger=csv"]
        return [*FROZEN, *QUIET, f"data.csv={dataset.csv}", *here, "trainer.max_epochs=4"]

    whole = train_with(asked("whole"))
    for steps in (1, 3):
        stopped_after(steps, asked("run"))
    run = train_with([*asked("run"), "ckpt_path=last"])
    assert_same(run, whole)


def test_early_stopping_is_remembered(dataset: Dataset, tmp_path: Path) -> None:
    soon = ("callbacks=early_stopping", "callbacks.early_stopping.patience=1", *QUIET)
    asked = words(
        *(dataset, tmp_path / "run", *soon, "trainer.max_epochs=20", "logger=none"),
        "+callbacks.early_stopping.min_delta=9",  # nothing is ever better
    )
    run = train_with(asked)
    assert train_with([*asked, "ckpt_path=last"]).weights_sha256 == run.weights_sha256
    assert last(run.path)["global_step"] == 4 * 2


def test_time_and_speed_are_those_of_all_parts(dataset: Dataset, tmp_path: Path) -> None:
    asked = words(dataset, tmp_path / "run", "logger=none")
    stopped_after(5, asked)
    first = read_run(tmp_path / "run")
    second = train_with([*asked, "ckpt_path=last"])
    assert second.duration_s > first.duration_s
    state = last(second.path)["callbacks"]["Speed"]
    assert state["images"] == 2 * 27
    assert second.images_per_s == pytest.approx(54 / (state["busy_s"] + state["wait_s"]), rel=0.2)


# Which checkpoint


@pytest.fixture(scope="module")
def halted(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with two checkpoints, of steps 4 and 6."""
    out = tmp_path_factory.mktemp("halted") / "run"
    stopped_after(6, words(dataset, out, "logger=none"))
    assert [CHECKPOINT.fullmatch(path.name)[2] for path in checkpoints_of(out)] == [  # type: ignore[index]
        *("000006", "000004")
    ]
    return out


def copied(halted: Path, to: Path) -> Path:
    return Path(shutil.copytree(halted, to))


@pytest.mark.parametrize("damage", ["torn", "altered", "missing"])
def test_a_checkpoint_that_is_not_whole_is_named_and_the_one_before_is_taken(
    damage: str,
    halted: Path,
    dataset: Dataset,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    out = copied(halted, tmp_path / "run")
    newest, before = checkpoints_of(out)
    whole = newest.read_bytes()
    if damage == "torn":
        newest.write_bytes(whole[: len(whole) // 2])
    elif damage == "altered":
        newest.write_bytes(whole[:2000] + bytes([whole[2000] ^ 1]) + whole[2001:])
    else:
        newest.unlink()
    run = train_with(words(dataset, out, "logger=none", "ckpt_path=last"))
    assert (f"{newest} is torn or was changed" in caplog.text) == (damage != "missing")
    assert_same(run, train_with(words(dataset, tmp_path / "whole", "logger=none")))
    assert len(checkpoints_of(out)) == 2
    assert before not in checkpoints_of(out)[:1]


def test_none_good_is_refused_and_nothing_is_started(
    halted: Path, dataset: Dataset, tmp_path: Path
) -> None:
    out = copied(halted, tmp_path / "run")
    for path in checkpoints_of(out):
        path.write_bytes(b"")
    before = sorted((path, path.stat().st_mtime_ns) for path in out.rglob("*"))
    with pytest.raises(RunError, match=r"none of the checkpoints .* is good") as raised:
        train_with(words(dataset, out, "ckpt_path=last"))
    assert "another" in raised.value.fix
    assert sorted((path, path.stat().st_mtime_ns) for path in out.rglob("*")) == before


def test_the_one_name_that_checkpoints_had_before_still_goes_on(
    halted: Path, dataset: Dataset, tmp_path: Path
) -> None:
    out = copied(halted, tmp_path / "run")
    newest, before = checkpoints_of(out)
    before.unlink()
    newest.rename(out / "checkpoints" / "last.ckpt")
    run = train_with(words(dataset, out, "logger=none", "ckpt_path=last"))
    assert last(run.path)["global_step"] == 8


def test_a_named_checkpoint_that_was_changed_is_refused(
    halted: Path, dataset: Dataset, tmp_path: Path
) -> None:
    out = copied(halted, tmp_path / "run")
    newest = checkpoints_of(out)[0]
    newest.write_bytes(newest.read_bytes()[:-1] + b"x")
    with pytest.raises(RunError, match="torn or was changed"):
        train_with(words(dataset, tmp_path / "b", f"ckpt_path={newest}"))
    assert not (tmp_path / "b").exists()


def test_parts_that_a_kill_left_are_taken_away(
    halted: Path, dataset: Dataset, tmp_path: Path
) -> None:
    out = copied(halted, tmp_path / "run")
    (out / "checkpoints" / ".epoch001-step000007.ckpt.abcdef01.part").write_bytes(b"half")
    train_with(words(dataset, out, "logger=none", "ckpt_path=last"))
    assert not list(out.rglob("*.part"))


# With other settings


@pytest.mark.parametrize(
    "other",
    ["optimizer=sgd", "schedule=one_cycle", "data.batch_size=4", "seed=1"],
)
def test_settings_that_the_checkpoint_does_not_fit_are_refused(
    other: str, halted: Path, dataset: Dataset, tmp_path: Path
) -> None:
    out = copied(halted, tmp_path / "run")
    with pytest.raises(RunError, match=f"written with {other.partition('=')[0]}"):
        train_with(words(dataset, out, "ckpt_path=last", other))


def test_other_settings_are_named_and_the_run_goes_on(
    halted: Path, dataset: Dataset, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    out = copied(halted, tmp_path / "run")
    more = ("trainer.max_epochs=3", "optimizer.lr=0.0002", "data.num_workers=2")
    run = train_with(words(dataset, out, "logger=none", "ckpt_path=last", *more))
    assert run.status == "done"
    assert "setting trainer.max_epochs was 2, and is 3" in caplog.text
    assert "setting optimizer.lr was 0.001, and is 0.0002" in caplog.text
    assert "num_workers" not in caplog.text


@pytest.mark.parametrize(
    "wrong",
    [
        "callbacks.checkpoints.every_minutes=-1",
        "callbacks.checkpoints.every_minutes=soon",
        "+callbacks.checkpoints.often=1",
        "callbacks.interruption.every_s=0",
        "callbacks.interruption.watch=ftp://host/notice",
    ],
)
def test_settings_that_cannot_be_are_refused(wrong: str, dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"callbacks\.(checkpoints|interruption)"):
        train_with(words(dataset, tmp_path / "run", wrong))


# Processes that are told to stop, killed, or find no room


def started(dataset: Dataset, out: Path, *more: str, **how: Any) -> subprocess.Popen[str]:
    # A process each quarter of a second between two steps, and for longer than any test.
    long = ("trainer.max_epochs=100000", "logger=csv", "ckpt_path=last")
    asked = words(dataset, out, *long, "callbacks.checkpoints.every_minutes=0.004", *more)
    return subprocess.Popen(
        [sys.executable, "-m", "kennel", "train", *asked],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=out.parent,
        env=dict(os.environ),  # a fork that runs `preexec_fn` would be measured by coverage
        **how,
    )


@pytest.fixture
def running(dataset: Dataset, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A run that has a checkpoint."""
    process = started(dataset, tmp_path / "run")
    try:
        until(process, lambda: bool(checkpoints_of(tmp_path / "run")))
        yield process
    finally:
        process.kill()
        process.wait()


def until(process: subprocess.Popen[str], there: Any) -> None:
    until_s = time.monotonic() + 120
    while not there():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < until_s
        time.sleep(0.01)


def test_sigterm_ends_the_step_keeps_a_checkpoint_and_leaves_with_143(
    running: subprocess.Popen[str], dataset: Dataset, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    running.send_signal(signal.SIGTERM)
    said, complained = running.communicate(timeout=60)
    assert running.returncode == 143, complained
    assert said == ""
    newest = checkpoints_of(out)[0]
    assert f"stopped (SIGTERM): {newest} is kept" in complained
    assert f"next: kennel train ckpt_path=last paths.output_dir={out}" in complained
    assert "Traceback" not in complained
    assert read_run(out).status == "stopped"
    assert not list(out.rglob("*.part"))
    steps = last(out)["global_step"]
    assert int(rows(out)[-1]["step"]) <= steps
    epochs = steps // 4 + 1
    asked = words(dataset, out, "logger=csv", "ckpt_path=last", f"trainer.max_epochs={epochs}")
    assert train_with(asked).status == "done"
    assert last(out)["global_step"] == 4 * epochs
    of_steps = [row["step"] for row in rows(out) if row["train/loss_step"]]
    assert of_steps == [str(step) for step in range(4 * epochs)]


def test_sigkill_within_a_save_leaves_a_run_that_goes_on(
    running: subprocess.Popen[str], dataset: Dataset, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    while not list((out / "checkpoints").glob("*.part")):
        pass
    running.kill()
    running.wait()
    assert read_run(out).status == "running"  # as it was left
    epochs = int(CHECKPOINT.fullmatch(checkpoints_of(out)[0].name)[1]) + 1  # type: ignore[index]
    asked = words(dataset, out, "logger=csv", "ckpt_path=last", f"trainer.max_epochs={epochs}")
    run = train_with(asked)
    assert run.status == "done"
    assert not list(out.rglob("*.part"))
    of_steps = [row["step"] for row in rows(out) if row["train/loss_step"]]
    assert of_steps == [str(step) for step in range(4 * epochs)]


@pytest.mark.usefixtures("unmeasured")
def test_a_full_disk_is_said_and_the_last_good_checkpoint_stays_whole(
    halted: Path, dataset: Dataset, tmp_path: Path
) -> None:
    """A limit of the file size stands in for the disk: writes fail in the middle of a file."""
    out = copied(halted, tmp_path / "run")
    kept = checkpoints_of(out)
    limit = kept[0].stat().st_size // 2

    def little_room() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    process = started(dataset, out, "trainer.max_epochs=2", "logger=none", preexec_fn=little_room)
    _, complained = process.communicate(timeout=120)
    assert process.returncode == 1, complained
    assert (
        f"the checkpoint cannot be written to {out / 'checkpoints'}: File too large" in complained
    )
    assert f"the last good one is {kept[0]}" in complained
    assert "fix: free space there, then go on with the run: kennel train" in complained
    assert "Traceback" not in complained
    assert checkpoints_of(out) == kept
    assert not list(out.rglob("*.part"))
    assert read_run(out).status == "failed"
    run = train_with(words(dataset, out, "logger=none", "ckpt_path=last"))
    assert_same(run, train_with(words(dataset, tmp_path / "whole", "logger=none")))


def test_two_processes_stop_after_the_same_step_and_go_on(
    dataset: Dataset, cache: Path, tmp_path: Path
) -> None:
    def asked(name: str, *more: str) -> list[str]:
        ddp = ("trainer=ddp", "trainer.devices=2", "logger=csv", "data.batch_size=4")
        everything = (*words(dataset, tmp_path / name), *ddp, *cached(cache), *more)
        return [sys.executable, "-m", "kennel", "train", *everything]

    home = Path(__file__).parent
    env = {**os.environ, "PYTHONPATH": f"{os.environ.get('PYTHONPATH', '')}:{home}:{home.parent}"}
    codes = []
    for words_of_it in (
        asked("whole"),
        asked("run", STOP % 3),
        asked("run", "ckpt_path=last", STOP % 6),
        asked("run", "ckpt_path=last"),
    ):
        done = subprocess.run(
            words_of_it,
            cwd=tmp_path,
            env=env,
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )
        codes.append(done.returncode)
        assert "Traceback" not in done.stderr, done.stderr
    assert codes == [0, 143, 143, 0]
    assert_same(read_run(tmp_path / "run"), read_run(tmp_path / "whole"))
