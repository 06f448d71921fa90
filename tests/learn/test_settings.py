"""Words after the verb: what they may say, and how a wrong one is answered."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from omegaconf import DictConfig, OmegaConf

from kennel.errors import UsageError
from kennel.learn.configure import with_settings
from kennel.learn.settings import RecipeSettings, check_settings, is_own


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory of one's own: ./conf is looked for there."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def settings_of(*words: str) -> DictConfig:
    composed: list[DictConfig] = []
    with_settings(words, composed.append)
    return composed[0]


@pytest.mark.parametrize(
    ("word", "path"),
    [
        ("data.batch=8", "data.batch"),
        ("data.batch_size=many", "data.batch_size"),
        ("+data.batchsize=8", "data.batchsize"),
        ("recipe.frozen=maybe", "recipe.frozen"),
        ("+recipe.freeze=true", "recipe.freeze"),
        ("seed=first", "seed"),
        ("seed=-1", "seed is -1"),
        ("data.batch_size=0", "data.batch_size is 0"),
        ("recipe.label_smoothing=1.0", "recipe.label_smoothing is 1.0"),
        ("recipe.backbone_lr=0", "recipe.backbone_lr is 0"),
        ("recipe.l2=-1", "recipe.l2 is -1"),
        ("recipe.diverged_after=-1", "recipe.diverged_after is -1"),
        ("recipe.compile=perhaps", "recipe.compile"),
        ("trainer.auto_batch=perhaps", "trainer.auto_batch is perhaps"),
        ("+sead=1", "sead"),
        ("model=resnet", "resnet"),
        ("experiment=slow", "slow"),
    ],
)
def test_a_wrong_word_is_refused_with_its_path(word: str, path: str) -> None:
    with pytest.raises(UsageError) as raised:
        settings_of(word)
    assert path in raised.value.message
    assert "\n" not in raised.value.message
    assert raised.value.exit_code == 2


@pytest.mark.parametrize("word", ["trainer.auto_batch=true", "recipe.compile=true"])
def test_what_would_do_nothing_for_frozen_features_is_refused(word: str) -> None:
    with pytest.raises(UsageError, match=word.partition("=")[0]):
        settings_of("experiment=quick", word)


def test_settings_are_typed() -> None:
    settings = settings_of("recipe.l2=1", "paths.output_dir=here")
    recipe = OmegaConf.to_object(settings.recipe)
    assert isinstance(recipe, RecipeSettings)
    assert recipe.l2 == 1.0
    assert settings.callbacks.best_weights.path == "here/checkpoints/best.safetensors"


def test_composing_writes_nothing(folder: Path) -> None:
    settings_of("experiment=quick")
    assert list(folder.iterdir()) == []


def test_experiments_of_ones_own_are_found_in_conf(folder: Path) -> None:
    mine = folder / "conf" / "experiment" / "mine.yaml"
    mine.parent.mkdir(parents=True)
    mine.write_text("# @package _global_\nseed: 41\n", encoding="utf-8")
    assert settings_of("experiment=mine").seed == 41


def test_several_runs_get_a_folder_each(folder: Path) -> None:
    composed: list[DictConfig] = []
    with_settings(["-m", "seed=1,2", "paths.output_dir=runs/study"], composed.append)
    assert [settings.seed for settings in composed] == [1, 2]
    folders = [Path(settings.paths.output_dir) for settings in composed]
    assert [path.relative_to(folder) for path in folders] == [
        Path("runs/study/0"),
        Path("runs/study/1"),
    ]


def test_of_several_runs_the_first_failure_is_raised() -> None:
    seen: list[int] = []

    def fail(settings: Any) -> None:
        seen.append(settings.seed)
        raise UsageError(f"seed {settings.seed}", fix="none")

    with pytest.raises(UsageError, match="seed 1"):
        with_settings(["-m", "seed=1,2,3", "paths.output_dir=runs"], fail)
    assert seen == [1]


def test_a_target_that_is_not_there_is_refused_in_words() -> None:
    with pytest.raises(UsageError, match=r"kennel\.learn\.models\.Nope"):
        is_own(OmegaConf.create({"_target_": "kennel.learn.models.Nope"}))


def test_checking_leaves_good_settings_as_they_are() -> None:
    settings = settings_of("experiment=finetune", "paths.output_dir=x")
    assert check_settings(settings) == settings
