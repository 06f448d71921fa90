"""A run end to end: what it writes, what it promises of its numbers, and what it refuses."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from omegaconf import DictConfig, OmegaConf
from pictures import (
    CPU,
    NO_LOGGER,
    NOTICING,
    TINY,
    Noticing,
    cached,
    column,
    draw_photos,
    silent,
    train_with,
)
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from kennel.cli import main
from kennel.dataset import Dataset
from kennel.errors import KennelError, RunError, UsageError
from kennel.hold import MARK, Hold, holding, who_holds
from kennel.learn.settings import check_settings
from kennel.learn.train import train
from kennel.run import BEST_WEIGHTS, Run, checkpoints_of, read_run

pytestmark = pytest.mark.slow

CONTRACT = {
    *("run_id", "status", "git_commit", "dirty", "dataset_id", "seed", "metrics"),
    *("best_checkpoint", "duration_s", "images_per_s", "hardware", "versions"),
}


def words(dataset: Dataset, out: Path, *more: str) -> list[str]:
    return [*TINY, *NO_LOGGER, f"data.csv={dataset.csv}", f"paths.output_dir={out}", *more]


def same_weights(a: Run, b: Run) -> bool:
    ours, theirs = load_file(a.path / BEST_WEIGHTS), load_file(b.path / BEST_WEIGHTS)
    assert ours.keys() == theirs.keys()
    return all(torch.equal(ours[name], theirs[name]) for name in ours)


def same_figures(a: Run, b: Run) -> bool:
    kept = [
        {k: v for k, v in run.metrics.items() if "/loss" in k or "/top1" in k} for run in (a, b)
    ]
    return kept[0] == kept[1]


# What a run writes


def test_run_json_has_every_field_of_the_contract(tiny_run: Run, dataset: Dataset) -> None:
    document = json.loads((tiny_run.path / "run.json").read_text(encoding="utf-8"))
    assert set(document) >= CONTRACT
    assert document["status"] == "done"
    assert document["run_id"] == "tiny"
    assert document["dataset_id"] == dataset.dataset_id
    assert document["best_checkpoint"] == BEST_WEIGHTS
    assert {"torch", "timm", "lightning", "kennel", "python"} <= set(document["versions"])
    assert document["duration_s"] > 0
    assert document["images_per_s"] > 0
    assert {"validation/loss", "validation/top1", "train/loss"} <= set(document["metrics"])
    assert read_run(tiny_run.path) == replace(tiny_run, duration_s=document["duration_s"])


def test_metrics_of_the_run_are_those_of_its_best_epoch(tiny_run: Run) -> None:
    losses = column(tiny_run, "validation/loss")
    assert len(losses) == 2
    assert tiny_run.metrics["validation/loss"] == pytest.approx(min(losses))
    assert tiny_run.best_epoch == losses.index(min(losses))


def test_tensorboard_has_the_curves_and_the_pictures(tiny_run: Run) -> None:
    events = EventAccumulator(str(tiny_run.path / "tensorboard"))
    events.Reload()
    tags = events.Tags()
    assert {"train/loss_step", "train/loss_epoch", "validation/loss", "validation/top1"} <= set(
        tags["scalars"]
    )
    rates = [tag for tag in tags["scalars"] if tag.startswith("lr-")]
    assert rates
    assert all(len(events.Scalars(tag)) == 8 for tag in rates)  # 4 steps an epoch
    assert tags["images"]


def test_weights_and_checkpoint_can_be_read_without_unpickling_code(tiny_run: Run) -> None:
    assert load_file(tiny_run.path / BEST_WEIGHTS)
    checkpoint = torch.load(checkpoints_of(tiny_run.path)[0], weights_only=True)
    assert checkpoint["global_step"] == 8


def test_frozen_features_tell_three_colours_apart(frozen_run: Run) -> None:
    assert frozen_run.status == "done"
    assert frozen_run.metrics["validation/top1"] == 1.0
    assert "sha256 5793442" in frozen_run.backbone.weights


def test_training_needs_no_test_photo(tiny_run: Run, frozen_run: Run, dataset: Dataset) -> None:
    assert dataset.split("test")
    assert not any(dataset.file(photo).exists() for photo in dataset.split("test"))
    assert tiny_run.dataset_id == frozen_run.dataset_id == dataset.dataset_id


# Same settings, same numbers


def test_config_yaml_makes_the_same_run_again(tiny_run: Run, tmp_path: Path) -> None:
    settings = OmegaConf.load(tiny_run.path / "config.yaml")
    assert isinstance(settings, DictConfig)
    settings.paths.output_dir = str(tmp_path / "again")
    for where in (settings.logger.csv, settings.logger.tensorboard):
        where.save_dir = str(tmp_path / "again")
    settings.callbacks.best_weights.path = str(tmp_path / "again" / BEST_WEIGHTS)
    settings.callbacks.checkpoints.folder = str(tmp_path / "again" / "checkpoints")
    settings.callbacks.hardware.path = str(tmp_path / "again" / "hardware.csv")
    run = train(check_settings(settings), count=silent)
    assert run == replace(read_run(tmp_path / "again"), duration_s=run.duration_s)
    assert same_weights(run, tiny_run)
    assert same_figures(run, tiny_run)


def test_loggers_do_not_change_the_numbers_and_another_seed_does(
    tiny_run: Run, dataset: Dataset, tmp_path: Path
) -> None:
    assert same_weights(train_with(words(dataset, tmp_path / "a")), tiny_run)
    assert not same_weights(train_with(words(dataset, tmp_path / "b", "seed=1")), tiny_run)


@pytest.mark.parametrize("from_cache", [False, True])
def test_processes_that_read_photos_do_not_change_the_numbers(
    from_cache: bool, tiny_run: Run, dataset: Dataset, cache: Path, tmp_path: Path
) -> None:
    more = cached(cache) if from_cache else ()
    run = train_with(words(dataset, tmp_path / "workers", "data.num_workers=2", *more))
    assert same_weights(run, tiny_run)


def test_a_run_without_the_cache_gives_the_same_numbers_and_writes_none(
    tiny_run: Run, dataset: Dataset, tmp_path: Path
) -> None:
    unused = f"paths.cache_dir={tmp_path / 'cache'}"
    run = train_with(words(dataset, tmp_path / "files", "data.cache=null", unused))
    assert same_weights(run, tiny_run)
    assert same_figures(run, tiny_run)
    assert not (tmp_path / "cache").exists()


def test_a_damaged_cache_gives_the_same_numbers_and_is_made_again(
    tiny_run: Run, dataset: Dataset, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    train_with(words(dataset, tmp_path / "a", *cached(cache), "trainer.max_epochs=1"))
    kept = {path: path.read_bytes() for path in cache.rglob("*.rows")}
    assert len(kept) == 2  # validation and train
    for path, whole in kept.items():
        path.write_bytes(whole[:5000] + bytes([whole[5000] ^ 1]) + whole[5001:])
    assert same_weights(train_with(words(dataset, tmp_path / "b", *cached(cache))), tiny_run)
    assert not any(path.exists() for path in kept)
    train_with(words(dataset, tmp_path / "c", *cached(cache), "trainer.max_epochs=1"))
    assert {path: path.read_bytes() for path in cache.rglob("*.rows")} == kept


def test_progress_counts_the_photos_that_are_decoded(dataset: Dataset, tmp_path: Path) -> None:
    counted: list[tuple[int, str]] = []
    photos: list[Path] = []

    def count(total: int, what: str) -> Callable[[Path], None]:
        counted.append((total, what))
        return photos.append

    for name in ("a", "b"):
        more = (*cached(tmp_path / "cache"), "trainer.max_epochs=1")
        train_with(words(dataset, tmp_path / name, *more), count=count)
    assert counted == [(36, "photos decoded into the cache")]
    seen = [*dataset.split("validation"), *dataset.split("train")]
    assert photos == [dataset.file(photo) for photo in seen]


@pytest.mark.parametrize("debug", ["fdr", "limit", "overfit", "profiler"])
def test_every_debugging_run_comes_to_its_end_on_few_photos(
    debug: str, dataset: Dataset, tmp_path: Path
) -> None:
    words_of_it = [f"data.csv={dataset.csv}", f"paths.output_dir={tmp_path / debug}"]
    run = train_with([*TINY, "logger=csv", f"debug={debug}", *words_of_it])
    assert run.status == "done"
    assert (run.path / "fit-profile.txt").exists() == (debug == "profiler")


def test_fitting_the_head_first_starts_from_a_head_that_knows(
    frozen_run: Run, dataset: Dataset, cache: Path, tmp_path: Path
) -> None:
    run = train_with(
        [
            *CPU,
            *NO_LOGGER,
            "experiment=finetune",
            f"model.image.size={frozen_run.preprocess.size}",  # whose features are in the cache
            "optimizer.lr=1e-8",
            "trainer.max_epochs=1",
            "trainer.limit_train_batches=1",
            "data.batch_size=2",
            f"data.csv={dataset.csv}",
            f"paths.output_dir={tmp_path / 'run'}",
            f"paths.cache_dir={cache}",
        ]
    )
    assert run.status == "done"
    assert run.metrics["validation/top1"] == 1.0


# Going on


def test_a_stopped_run_goes_on_as_if_it_had_not_been_stopped(
    tiny_run: Run, dataset: Dataset, tmp_path: Path
) -> None:
    def go(*more: str) -> Run:
        here = [*TINY, f"data.csv={dataset.csv}", f"paths.output_dir={tmp_path / 'run'}"]
        return train_with([*here, "logger=csv", *more])

    with pytest.raises(KeyboardInterrupt):
        go("+callbacks.stop={_target_: pictures.Interrupting, epoch: 1}")
    stopped = read_run(tmp_path / "run")
    assert (stopped.status, stopped.best_epoch) == ("stopped", 0)
    assert torch.load(checkpoints_of(stopped.path)[0], weights_only=True)["global_step"] == 4
    assert load_file(stopped.path / BEST_WEIGHTS)
    run = go("ckpt_path=last")
    assert (run.status, run.best_epoch) == ("done", tiny_run.best_epoch)
    assert same_weights(run, tiny_run)
    assert same_figures(run, tiny_run)
    for name in ("train/loss_step", "validation/loss", "lr-AdamW/head"):
        assert column(run, name) == column(tiny_run, name)


def test_last_starts_where_there_is_no_checkpoint(dataset: Dataset, tmp_path: Path) -> None:
    more = ("ckpt_path=last", "trainer.max_epochs=1")
    run = train_with(words(dataset, tmp_path / "run", *more))
    assert run.status == "done"
    for checkpoint in checkpoints_of(run.path):  # as if it was killed in its first epoch
        checkpoint.unlink()
    assert train_with(words(dataset, tmp_path / "run", *more)).status == "done"


def test_ctrl_c_stops_with_130_and_whole_files_and_the_run_goes_on(
    dataset: Dataset, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    train = [sys.executable, "-m", "kennel", "train", *words(dataset, out)]
    process = subprocess.Popen(
        [*train, "trainer.max_epochs=10000"],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        until_s = time.monotonic() + 120
        while not checkpoints_of(out):
            assert process.poll() is None
            assert time.monotonic() < until_s
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        said, complained = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130, complained
    assert "Traceback" not in complained
    assert said == ""
    stopped = read_run(out)
    assert stopped.status == "stopped"
    assert stopped.best_checkpoint == BEST_WEIGHTS
    assert load_file(out / BEST_WEIGHTS)
    assert not list(out.rglob(".*.part"))
    steps = torch.load(checkpoints_of(out)[0], weights_only=True)["global_step"]
    more = ("ckpt_path=last", f"trainer.max_epochs={steps // 4 + 1}")
    assert train_with(words(dataset, out, *more)).status == "done"
    last = torch.load(checkpoints_of(out)[0], weights_only=True)
    assert last["global_step"] == (steps // 4 + 1) * 4  # to the end of the epoch it was in


# What goes wrong


def test_a_loss_that_is_no_number_is_said_in_words(dataset: Dataset, tmp_path: Path) -> None:
    out = tmp_path / "run"
    with pytest.raises(RunError, match=r"the loss became nan in epoch 0, step 1") as raised:
        train_with(words(dataset, out, "optimizer.lr=1e30"))
    assert "optimizer.lr" in raised.value.fix
    assert read_run(out).status == "failed"


def test_a_validation_loss_that_is_no_number_is_said_in_words(
    dataset: Dataset, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    with pytest.raises(RunError, match=r"validation/loss became (nan|inf) in epoch 0"):
        train_with(words(dataset, out, "optimizer.lr=1e30", "trainer.limit_train_batches=1"))
    assert read_run(out).status == "failed"
    assert read_run(out).best_checkpoint is None


@pytest.mark.parametrize(
    ("more", "value", "kind"),
    [
        (("model=timm", "~model.dims", "~model.depths", "model.name=resnet999"), "resnet999", 2),
        (("model.act_layer=gelo",), "gelo", 2),
        (("model.depths=[1,1,1]",), "model.depths 3", 2),
        (("recipe.frozen=true",), "mambaout has random weights", 2),
        (("recipe.fit_head_first=true",), "mambaout has random weights", 2),
        (("optimizer=lbfgs",), "LBFGS", 2),
        (("schedule.warmup=1.5",), "1.5", 2),
        (("schedule=one_cycle", "schedule.start=0"), "start 0", 2),
        (("optimizer._target_=torch.optim.Adamm",), "Adamm", 2),
        (("model._target_=kennel.learn.models.Mambo",), "kennel.learn.models.Mambo", 2),
        (("data.batch_size=0",), "data.batch_size is 0", 2),
        (("data.batch_size=many",), "data.batch_size", 2),
        (("recipe.label_smoothing=2",), "recipe.label_smoothing is 2", 2),
        (("model.image.resize=stretch",), "stretch", 2),
        (("callbacks.best_weights.monitor=train/loss",), "train/loss", 2),
        (("callbacks.best_weights.mode=least",), "least", 2),
        (("trainer.max_epochs=-1",), "max_epochs is -1", 2),
        (("ckpt_path=nowhere.ckpt",), "nowhere.ckpt", 1),
        (("data.photos=here",), "data.csv and data.photos", 2),
    ],
)
def test_a_refusal_names_the_value_and_leaves_no_folder(
    more: tuple[str, ...], value: str, kind: int, dataset: Dataset, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    asked = words(dataset, out)
    if more[0] == "model=timm":
        asked = [word for word in asked if not word.startswith("model")]
        more = (more[0], more[-1])
    with pytest.raises(KennelError) as refused:
        train_with([*asked, *more])
    assert value in refused.value.message
    assert refused.value.exit_code == kind
    assert refused.value.fix
    assert not out.exists()


def test_a_refusal_leaves_an_empty_folder_empty_and_a_full_one_as_it_was(
    dataset: Dataset, tmp_path: Path
) -> None:
    empty, full = tmp_path / "empty", tmp_path / "full"
    empty.mkdir()
    full.mkdir()
    (full / "note").write_text("mine", encoding="utf-8")
    for out in (empty, full):
        asked = [word for word in words(dataset, out) if "data.csv" not in word]
        with pytest.raises(UsageError, match="gelo"):
            train_with([*asked, f"data.photos={dataset.photos_dir}", "model.act_layer=gelo"])
    assert list(empty.iterdir()) == []
    assert (full / "note").read_text(encoding="utf-8") == "mine"


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_gpu_that_is_not_there_is_refused_before_any_photo_is_read(
    dataset: Dataset, tmp_path: Path
) -> None:
    asked = words(dataset, tmp_path / "run", f"data.csv={tmp_path / 'none.csv'}")
    with pytest.raises(RunError, match="CUDA"):
        train_with([*asked, "trainer.accelerator=cuda"])
    assert not (tmp_path / "run").exists()


def test_the_door_says_a_refusal_on_two_lines(
    dataset: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", *words(dataset, tmp_path / "run", "model.act_layer=gelo")]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.splitlines()[-2:] == [
        "error: model.act_layer is 'gelo', which timm does not have.",
        "fix: model.act_layer=gelu",
    ]


def test_an_output_dir_that_cannot_be_written_is_refused_first(
    dataset: Dataset, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("not a folder", encoding="utf-8")
    with pytest.raises(RunError, match=r"file/run cannot be written"):
        train_with(words(dataset, tmp_path / "file" / "run"))
    assert (tmp_path / "file").read_text(encoding="utf-8") == "not a folder"


def test_a_folder_with_a_run_is_not_written_over(tiny_run: Run, dataset: Dataset) -> None:
    before = (tiny_run.path / "run.json").read_bytes()
    with pytest.raises(RunError, match="already holds a run"):
        train_with(words(dataset, tiny_run.path))
    assert (tiny_run.path / "run.json").read_bytes() == before


def test_a_folder_where_a_run_is_going_on_is_refused_and_no_mark_outlives_its_run(
    tiny_run: Run, dataset: Dataset, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    out.mkdir()
    with holding(out):
        with pytest.raises(RunError, match="another process is at work"):
            train_with(words(dataset, out))
        assert [each.name for each in out.iterdir()] == [MARK]
    with pytest.raises(RunError, match="loss became nan"):
        train_with(words(dataset, out, "optimizer.lr=1e30"))
    assert [who_holds(run) for run in (tiny_run.path, out)] == [Hold.NONE, Hold.NONE]
    (out / MARK).touch()  # as a run leaves it that was killed
    again = train_with(words(dataset, out, "ckpt_path=last", "trainer.max_epochs=1"))
    assert (again.status, who_holds(out)) == ("done", Hold.NONE)


def test_a_checkpoint_from_elsewhere_does_not_write_over_a_run(
    tiny_run: Run, frozen_run: Run, dataset: Dataset
) -> None:
    other = checkpoints_of(tiny_run.path)[0]
    with pytest.raises(RunError, match="already holds a run"):
        train_with(words(dataset, frozen_run.path, f"ckpt_path={other}"))


def test_a_checkpoint_of_another_network_or_other_photos_is_refused(
    tiny_run: Run, dataset: Dataset, tmp_path: Path
) -> None:
    other = f"ckpt_path={checkpoints_of(tiny_run.path)[0]}"
    with pytest.raises(RunError, match=r"\.ckpt does not fit the network"):
        train_with(words(dataset, tmp_path / "a", other, "model.dims=[4,16]"))
    photos = draw_photos(tmp_path / "photos")
    (photos / "train" / "Beagle" / "0.png").unlink()
    asked = [word for word in words(dataset, tmp_path / "b", other) if "data.csv" not in word]
    with pytest.raises(RunError, match="other photos"):
        train_with([*asked, f"data.photos={photos}"])
    assert not (tmp_path / "a").exists()
    assert not (tmp_path / "b").exists()


def test_a_split_without_photos_is_refused(dataset: Dataset, tmp_path: Path) -> None:
    asked = [word for word in words(dataset, tmp_path / "run") if "data.csv" not in word]
    photos = dataset.photos_dir / "train"
    with pytest.raises(KennelError, match="no validation photo"):
        train_with([*asked, f"data.photos={photos}", "data.fractions=[1.0,0.0,0.0]"])
    assert not (tmp_path / "run").exists()


# Several processes


def test_two_processes_on_one_machine_make_one_run(
    dataset: Dataset, cache: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    more = ("trainer=ddp", "trainer.devices=2", "logger=csv", "data.batch_size=4", "--json")
    more += cached(cache)
    done = subprocess.run(
        [sys.executable, "-m", "kennel", "train", *words(dataset, out, *more)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["status"] == "done"
    run = read_run(out)
    assert run.status == "done"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run"]
    assert len(column(run, "train/loss_step")) == 2 * 4  # 27 photos, 14 a process, 4 at a time
    assert min(column(run, "lr-AdamW/head")) < 0.1 * max(column(run, "lr-AdamW/head"))


def test_what_is_planned_is_what_is_trained_in_a_trial_run(
    dataset: Dataset, tmp_path: Path
) -> None:
    train_with(words(dataset, tmp_path / "fdr", "debug=fdr", NOTICING))
    assert Noticing.last.steps == Noticing.last.planned == 1
    train_with(
        words(dataset, tmp_path / "overfit", "debug=overfit", "trainer.max_epochs=2", NOTICING)
    )
    assert Noticing.last.steps == Noticing.last.planned == 6


def test_a_wrong_fraction_of_photos_is_refused(dataset: Dataset, tmp_path: Path) -> None:
    asked = [word for word in words(dataset, tmp_path / "run") if "data.csv" not in word]
    with pytest.raises(UsageError, match=r"data\.fractions is \[0\.5, 0\.5\]"):
        train_with([*asked, f"data.photos={dataset.photos_dir}", "data.fractions=[0.5,0.5]"])
