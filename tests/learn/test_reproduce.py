"""A run repeated from its own record: the same bits, or a refusal, or the reasons why not."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from omegaconf import DictConfig, OmegaConf
from pictures import NO_LOGGER, TINY, draw_dataset, train_with

from kennel.bundle import Bundle, file_sha256
from kennel.cli import main
from kennel.dataset import Dataset
from kennel.errors import RunError, UsageError
from kennel.learn.configure import with_settings
from kennel.learn.reproduce import differences, run_to_repeat, settings_again
from kennel.run import BEST_WEIGHTS, CONFIG_YAML, Run, read_run, write_run

pytestmark = pytest.mark.slow


@pytest.fixture
def copy(tiny_run: Run, tmp_path: Path) -> Run:
    """The tiny run in a folder where it may be changed."""
    shutil.copytree(tiny_run.path, tmp_path / "copy")
    return read_run(tmp_path / "copy")


def again(run: Run, *words: str) -> DictConfig:
    """The settings that a repeated run would have."""
    found: list[DictConfig] = []
    with_settings(words, found.append, instead=settings_again(run))
    return found[0]


@pytest.mark.parametrize("kind", ["tiny_run", "frozen_run"])
def test_a_repeated_run_has_the_same_bits(
    kind: str,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run: Run = request.getfixturevalue(kind)
    out = tmp_path / "again"
    words = ["--from-run", str(run.path), f"paths.output_dir={out}"]
    assert main(["train", *words, "--json"]) == 0
    said = capsys.readouterr()
    document = json.loads(said.out)
    assert document["same_weights"] is True
    assert document["from_run"] == run.run_id
    assert "bits may differ: setting" not in said.err
    repeated = read_run(out)
    assert repeated.weights_sha256 == run.weights_sha256
    assert (out / BEST_WEIGHTS).read_bytes() == (run.path / BEST_WEIGHTS).read_bytes()
    assert repeated.overrides == (f"paths.output_dir={out}",)
    assert (repeated.seed, repeated.dataset_id) == (run.seed, run.dataset_id)
    # As written: the new folder's name is the time, which goes on between the two.
    then, now = (OmegaConf.to_container(again(each), resolve=False) for each in (run, repeated))
    assert now == then


def test_a_repeated_run_goes_into_a_new_folder_and_leaves_the_old_one_alone(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = [*TINY, "trainer.max_epochs=1", f"data.csv={dataset.csv}", "paths.output_dir=runs/x"]
    train_with(words)
    before = {path: path.read_bytes() for path in Path("runs/x").rglob("*") if path.is_file()}
    assert main(["train", "--from-run", "runs/x"]) == 0
    assert {p: p.read_bytes() for p in Path("runs/x").rglob("*") if p.is_file()} == before
    [new] = [path for path in Path("runs").iterdir() if path.name != "x"]
    assert (new / "tensorboard").is_dir()  # the loggers moved too
    assert file_sha256(new / BEST_WEIGHTS) == file_sha256(Path("runs/x") / BEST_WEIGHTS)
    assert "runs/x" not in (new / CONFIG_YAML).read_text(encoding="utf-8")
    with pytest.raises(RunError, match="already holds a run"):
        train_with(["paths.output_dir=runs/x", *TINY, f"data.csv={dataset.csv}"])


def test_a_run_on_photos_it_indexed_itself_is_repeated_on_that_index(
    dataset: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos = tmp_path / "photos"
    draw_dataset(tmp_path)
    out = tmp_path / "own"
    words = [*TINY, *NO_LOGGER, "trainer.max_epochs=1", f"data.photos={photos}"]
    run = train_with([*words, f"paths.output_dir={out}"])
    moved = out.rename(tmp_path / "moved")  # its index with it
    again_to = f"paths.output_dir={tmp_path / 'again'}"
    assert main(["train", "--from-run", str(moved), again_to, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["same_weights"], document["dataset_id"]) == (True, run.dataset_id)


def test_a_bundle_carries_what_its_run_wrote_down(
    bundle: Bundle, tiny_run: Run, dataset: Dataset
) -> None:
    lineage = bundle.lineage
    assert lineage.weights_sha256 == tiny_run.weights_sha256
    assert lineage.weights_sha256 == file_sha256(tiny_run.path / BEST_WEIGHTS)
    assert lineage.config_sha256 == tiny_run.config_sha256
    assert lineage.counts == dataset.counts
    assert lineage.trained_utc == tiny_run.created_utc
    assert lineage.duration_s == tiny_run.duration_s
    assert (lineage.data_source, lineage.data_licence) == (None, None)


# What differs now


def test_one_other_setting_is_named_and_taken(tiny_run: Run, tmp_path: Path) -> None:
    settings = again(tiny_run, "seed=1", "optimizer.lr=0.5", f"paths.output_dir={tmp_path}")
    assert (settings.seed, settings.optimizer.lr) == (1, 0.5)
    reasons = differences(tiny_run, tiny_run, settings)
    assert "setting seed was 0, and is 1" in reasons
    assert any(reason.startswith("setting optimizer.lr was ") for reason in reasons)
    assert sum(reason.startswith("setting") for reason in reasons) == 2


def test_other_code_libraries_and_hardware_are_named(tiny_run: Run) -> None:
    settings = again(tiny_run)
    clean = replace(tiny_run, git_commit="a" * 40, dirty=False)
    assert differences(clean, clean, settings) == ()
    now = replace(
        clean,
        git_commit="b" * 40,
        dirty=True,
        versions={**clean.versions, "torch": "9.9", "new": "1"},
        hardware={**clean.hardware, "torch_threads": "64", "gpu": "a graphics processor"},
    )
    cuda = again(tiny_run, "trainer.accelerator=auto")
    torch = clean.versions["torch"]
    threads = clean.hardware["torch_threads"]
    assert differences(clean, now, cuda)[1:] == (
        "commit aaaaaaaaaaaa then, bbbbbbbbbbbb now",
        "the code has uncommitted changes now",
        f"torch {torch} then, 9.9 now",
        "new none then, 1 now",
        "hardware: gpu none then, a graphics processor now",
        f"hardware: torch_threads {threads} then, 64 now",
        "CUDA adds in no fixed order, unless trainer.deterministic=true",
    )
    dirty = replace(clean, dirty=True)
    assert differences(dirty, clean, settings) == (
        "the code had uncommitted changes then, which no commit holds",
    )
    unknown = replace(clean, git_commit=None, dirty=None)
    assert differences(unknown, clean, settings) == (
        "the commit that it was trained at is not known",
    )


def test_a_run_that_was_gone_on_with_is_repeated_in_one_piece(copy: Run) -> None:
    config = copy.path / CONFIG_YAML
    text = config.read_text(encoding="utf-8").replace("ckpt_path: null", "ckpt_path: last")
    config.write_text(text, encoding="utf-8")
    resumed = replace(copy, config_sha256=file_sha256(config))
    settings = again(resumed)
    assert settings.ckpt_path is None
    assert f"{copy.path} was gone on with from a checkpoint" in differences(
        resumed, resumed, settings
    )


# What is refused


def refused(run: Path | str, *words: str, capsys: pytest.CaptureFixture[str], code: int) -> str:
    assert main(["train", "--from-run", str(run), *words]) == code
    said = capsys.readouterr()
    assert said.out == ""
    assert "fix: " in said.err
    return said.err


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("data.batch=8", "data.batch"),
        ("data.batch_size=many", "setting data.batch_size"),
        ("+recipe.freeze=true", "setting recipe.freeze"),
        ("model.depth=[1]", "model.depth"),
        ("optimizer=sgd", "optimizer=sgd chooses a group"),
        ("+experiment=quick", "experiment=quick chooses a group"),
        ("~schedule", "~schedule chooses a group"),
        ("ckpt_path=last", "ckpt_path=last goes on"),
    ],
)
def test_a_wrong_word_is_refused_with_its_full_path(
    tiny_run: Run, tmp_path: Path, word: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    words = (f"paths.output_dir={out}", word)
    assert said in refused(tiny_run.path, *words, capsys=capsys, code=2)
    assert not out.exists()


def test_other_photos_are_refused_and_the_same_ones_elsewhere_are_taken(
    dataset: Dataset, tiny_run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = f"paths.output_dir={tmp_path / 'out'}"
    other = draw_dataset(tmp_path / "other")
    removed = tmp_path / "other" / "photos" / "train" / "Boxer" / "0.png"
    same = other.dataset_id
    assert same == dataset.dataset_id
    removed.unlink()
    changed = tmp_path / "changed.csv"
    assert main(["index", str(tmp_path / "other" / "photos"), "--to", str(changed)]) == 0
    capsys.readouterr()
    said = refused(tiny_run.path, out, f"data.csv={changed}", capsys=capsys, code=1)
    assert "is not the index that" in said
    assert dataset.dataset_id[:16] in said
    assert not (tmp_path / "out").exists()


def test_a_lost_index_is_refused_with_the_setting_that_names_it(
    copy: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_run(replace(copy, dataset_csv=str(tmp_path / "gone.csv")))
    said = refused(copy.path, f"paths.output_dir={tmp_path / 'out'}", capsys=capsys, code=1)
    assert "gone.csv, is not on this machine" in said
    assert "data.csv=" in said


def test_the_folder_of_the_old_run_is_refused(
    copy: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    said = refused(copy.path, f"paths.output_dir={copy.path}", capsys=capsys, code=1)
    assert "already holds a run" in said


def test_a_bundle_is_refused_with_the_run_to_name(
    bundle: Bundle, capsys: pytest.CaptureFixture[str]
) -> None:
    said = refused(bundle.path, capsys=capsys, code=2)
    assert "is a bundle" in said
    assert f"kennel train --from-run runs/{bundle.lineage.run_id}" in said


def test_a_record_that_was_changed_lost_or_damaged_is_refused(copy: Run, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="is not a run"):
        run_to_repeat(tmp_path)
    config = copy.path / CONFIG_YAML
    config.write_text(config.read_text(encoding="utf-8") + "# more\n", encoding="utf-8")
    with pytest.raises(RunError, match="was changed after the run"):
        run_to_repeat(copy.path)
    for damaged in ("{", "- 1", "seed: 0", "paths: 3\ndata: {}"):
        config.write_text(damaged, encoding="utf-8")
        with pytest.raises(RunError, match="cannot be read"):
            settings_again(copy)
    config.unlink()
    with pytest.raises(RunError, match="does not exist"):
        run_to_repeat(copy.path)


def test_a_record_with_a_key_that_kennel_does_not_have_is_refused_by_its_path(copy: Run) -> None:
    config = OmegaConf.load(copy.path / CONFIG_YAML)
    config.recipe.froze = True
    OmegaConf.save(config, copy.path / CONFIG_YAML)
    with pytest.raises(UsageError, match=r"setting recipe\.froze"):
        again(copy)


def test_settings_of_a_repeated_run_are_shown_without_running_it(
    tiny_run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "--from-run", str(tiny_run.path), "--cfg", "job", "seed=5"]) == 0
    shown = OmegaConf.create(capsys.readouterr().out)
    assert isinstance(shown, DictConfig)
    assert shown.seed == 5
    assert shown.model.dims == [4, 8]
    assert shown.data.csv == tiny_run.dataset_csv
