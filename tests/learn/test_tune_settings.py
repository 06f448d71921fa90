"""Words after `kennel tune`: what they may say, and how a wrong one is answered."""

from __future__ import annotations

from pathlib import Path

import pytest
from omegaconf import DictConfig

from kennel.errors import UsageError
from kennel.learn.configure import with_settings
from kennel.learn.tuning.settings import check_study, space_of, train_settings_of


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def settings_of(*words: str) -> DictConfig:
    composed: list[DictConfig] = []
    with_settings(words, composed.append, config="tune", check=check_study)
    return composed[0]


def test_the_shipped_space_covers_shape_learning_and_augmentation() -> None:
    settings = settings_of()
    assert {each.path for each in space_of(settings).parameters} >= {
        *("model.dims", "model.depths", "model.head_fn", "model.conv_ratio", "data.batch_size"),
        *("optimizer.lr", "optimizer.weight_decay", "data.augment.2.magnitude"),
    }
    assert settings.model._target_.endswith("MambaOut")
    assert "tune" not in train_settings_of(settings)


def test_one_end_of_a_range_can_be_named_on_the_command_line() -> None:
    space = space_of(settings_of("space.optimizer.lr.high=0.003"))
    assert {each.path: each.high for each in space.parameters}["optimizer.lr"] == 0.003


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("tune.n_trials=0",), "tune.n_trials is 0"),
        (("tune.workers=0",), "tune.workers is 0"),
        (("tune.n_trails=3",), "n_trails"),
        (("tune.n_trials=many",), "tune.n_trials"),
        (("tune.monitor=test/top1",), "tune.monitor is test/top1"),
        (("tune.keep=some",), "tune.keep is some"),
        (("tune.name=a/b",), "tune.name is a/b"),
        (("tune.folds=[one.csv]",), "tune.folds"),
        (("tune.folds=[a.csv,b.csv]", "tune.repeats=2"), "each say what a trial consists of"),
        (("tune.folds=[a.csv,b.csv]", "data.csv=c.csv"), "both given"),
        (("ckpt_path=last",), "a trial begins anew"),
        (("data.batch=8",), "data.batch"),
        (("space.optimizer.lr.low=much",), "space.optimizer.lr.low is 'much'"),
        (("space=none",), "none"),
        (("sampler=best",), "best"),
    ],
)
def test_a_wrong_word_is_refused_with_its_path(words: tuple[str, ...], said: str) -> None:
    with pytest.raises(UsageError) as raised:
        settings_of(*words)
    assert said in raised.value.message
    assert "\n" not in raised.value.message
    assert raised.value.exit_code == 2
