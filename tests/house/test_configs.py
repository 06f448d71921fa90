"""Every shipped configuration composes, is of the right kinds, and names things that exist."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hydra import compose, initialize_config_module
from omegaconf import DictConfig, ListConfig, OmegaConf

from kennel import configs
from kennel.cli import main
from kennel.errors import UsageError
from kennel.learn.configure import with_settings
from kennel.learn.settings import check_settings
from kennel.learn.tuning.settings import OWN, TuneSettings, check_study

CONFIGS = Path(configs.__file__).parent
ROOT = Path(__file__).parents[2]
GROUPS = sorted(path.name for path in CONFIGS.iterdir() if path.is_dir() and path.name[0] != "_")
OPTIONS = [(path.parent.name, path.stem) for path in sorted(CONFIGS.glob("*/*.yaml"))]


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def composed(*words: str, config: str = "train") -> DictConfig:
    with initialize_config_module("kennel.configs", version_base="1.3"):
        return compose(config, [*words, "paths.output_dir=out"])


def verb_of(group: str) -> str:
    """The configuration that a group belongs to."""
    return "tune" if group in OWN else "train"


def settings_of(*words: str) -> list[DictConfig]:
    """The settings that each job of `kennel train WORDS` gets."""
    found: list[DictConfig] = []
    with_settings(words, found.append)
    return found


def refused(*words: str) -> str:
    """What a user reads of the refusal of `kennel train WORDS`."""
    started: list[DictConfig] = []
    with pytest.raises(UsageError) as error:
        with_settings(words, started.append)
    assert started == []
    assert error.value.exit_code == 2
    assert "kennel train" in error.value.fix or "name the settings" in error.value.fix
    assert "\n" not in error.value.message
    return error.value.message


# composing


@pytest.mark.slow
@pytest.mark.parametrize(("group", "option"), OPTIONS)
def test_every_choice_composes_to_settings_of_the_right_kinds(group: str, option: str) -> None:
    verb = verb_of(group)
    config = composed(*([] if group == "hydra" else [f"{group}={option}"]), config=verb)
    # Every reference to another setting leads somewhere.
    OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    (check_study if verb == "tune" else check_settings)(config)


def test_every_group_has_a_line_in_the_yaml_of_its_verb() -> None:
    for verb in ("train", "tune"):
        lines = [name for line in defaults_of(CONFIGS / f"{verb}.yaml") for name in line]
        groups = {name for name in lines if not name.startswith("override ")}
        assert groups - {"_self_", "train"} == {each for each in GROUPS if verb_of(each) == verb}


def test_every_file_is_a_choice_of_its_group_or_the_base_of_one() -> None:
    assert {path.parent.parent for path in CONFIGS.glob("*/*")} == {CONFIGS}
    assert not [path for path in CONFIGS.rglob("*/*") if path.suffix not in (".yaml", ".pyc")]


def test_every_choice_that_is_no_default_is_named_where_users_look() -> None:
    pages = (ROOT / "README.md", ROOT / "docs" / "guide" / "train.md")
    told = "".join(page.read_text(encoding="utf-8") for page in pages)
    for group, option in OPTIONS:
        if group in ("hydra", "paths", "recipe", "tune"):
            assert option == "default"
            continue
        assert f"`{group}=`" in told, f"no line for {group}="
        assert f"`{option}`" in told, f"nothing names {group}={option}"
    text = (CONFIGS / "train.yaml").read_text(encoding="utf-8")
    for group, option in OPTIONS:
        if group in ("experiment", "debug"):
            [line] = [line for line in text.splitlines() if f"- {group}: null" in line]
            assert option in line


def defaults_of(path: Path) -> list[Any]:
    found = yaml.safe_load(path.read_text(encoding="utf-8"))["defaults"]
    return [line if isinstance(line, dict) else {line: None} for line in found]


def test_settings_and_their_kinds_agree_key_by_key() -> None:
    # The YAML shows every typed setting, with the default of its type; else `--cfg job` would hide
    # what can be set.
    from kennel.learn import settings

    shown = composed()
    kinds = {
        "data": settings.DataSettings,
        "data.sample": settings.SampleSettings,
        "data.cache": settings.CacheSettings,
        "recipe": settings.RecipeSettings,
        "paths": settings.PathsSettings,
        "": settings.TrainSettings,
    }
    for at, kind in kinds.items():
        node = OmegaConf.select(shown, at) if at else shown
        assert set(node) == set(kind.__dataclass_fields__), at
    shown = composed(config="tune")
    assert shown.tune == OmegaConf.structured(TuneSettings)


# kinds


@pytest.mark.parametrize(
    ("word", "path"),
    [
        ("sed=1", "sed"),
        ("+sed=1", "sed"),
        ("data.bach_size=8", "bach_size"),
        ("+data.bach_size=8", "data.bach_size"),
        ("+data.sample.breeds=3", "data.sample.breeds"),
        ("+data.cache.gib=3", "data.cache.gib"),
        ("+recipe.temperature=2", "recipe.temperature"),
        ("+paths.log_dir=x", "paths.log_dir"),
        ("trainer.max_epoch=3", "max_epoch"),
        ("optimizer.learning_rate=1", "learning_rate"),
        ("callbacks.best_weights.mnitor=x", "mnitor"),
        ("model.image.sise=64", "sise"),
    ],
)
def test_a_key_that_does_not_exist_is_refused_by_name(word: str, path: str) -> None:
    assert path in refused(word)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "path"),
    [
        (["+model.depth=3"], "model.depth"),
        (["+model.image.sise=64"], "model.image.sise"),
        (["model=mambaout", "+model.image.crop_share=1"], "model.image.crop_share"),
        (["model.image.size=large"], "model.image.size"),
        (["model.pretrained=perhaps"], "model.pretrained"),
        (["model=mambaout", "model.dims=[6,twelve]"], "model.dims[1]"),
        (["+data.augment.0.size=224"], "data.augment[0].size"),
        (["data.augment.0.scale=[0.5,most]"], "data.augment[0].scale[1]"),
        (["data.augment.0.scale=[0.5,1.5]"], "data.augment[0]"),
        (["+data.augment.1.p=2"], "data.augment[1]"),
        (["data=randaugment", "data.augment.2.magnitude=31"], "data.augment[2]"),
        (["data=randaugment", "data.augment.3.contrast=-1"], "data.augment[3]"),
    ],
)
def test_a_key_or_value_that_a_part_of_ours_cannot_have_is_refused_with_its_path(
    words: list[str], path: str
) -> None:
    assert f"setting {path}: " in refused(*words)


@pytest.mark.parametrize(
    ("word", "path"),
    [
        ("seed=many", "seed"),
        ("seed=1.5", "seed"),
        ("data.batch_size=many", "data.batch_size"),
        ("data.sample.labels=[1]", "data.sample.labels"),
        ("data.fractions=[0.7,most]", "data.fractions[1]"),
        ("data.cache.max_gib=much", "data.cache.max_gib"),
        ("data.cache.max_gib=-1", "data.cache.max_gib"),
        ("data.room=0.5", "data.room"),
        ("recipe.frozen=perhaps", "recipe.frozen"),
        ("recipe.l2=much", "recipe.l2"),
        ("data=3", "data"),
    ],
)
def test_a_value_of_the_wrong_kind_is_refused_with_its_path(word: str, path: str) -> None:
    assert path in refused(word)


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("model=resnet", "mambaout"),
        ("experiment=slow", "quick"),
        ("dta=plain", "dta"),
        ("seed", "seed"),
        ("data.csv=a=b=c", "a=b=c"),
        ("--no-such-option", "--no-such-option"),
    ],
)
def test_words_that_mean_nothing_are_refused_in_words(
    word: str, said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", word]) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert said in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    "word", ["--experimental-rerun", "--experimental-rerun=job.pickle", "--exp"]
)
def test_a_pickled_job_is_never_opened(word: str, own_folder: Path) -> None:
    (own_folder / "job.pickle").write_bytes(b"cos\nsystem\n(S'touch opened'\ntR.")
    assert f"no option {word}" in refused(word, "job.pickle")
    assert not (own_folder / "opened").exists()


# what users of Hydra know


def test_every_setting_is_shown_as_yaml_and_nothing_is_written(
    own_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "--cfg", "job", "seed=7", "paths.output_dir=out"]) == 0
    shown = yaml.safe_load(capsys.readouterr().out)
    assert shown == json.loads(json.dumps(OmegaConf.to_container(composed("seed=7"))))
    assert shown["seed"] == 7
    assert list(own_folder.iterdir()) == []


def test_a_group_can_be_shown_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--cfg", "job", "--package", "optimizer"]) == 0
    assert "AdamW" in capsys.readouterr().out


@pytest.mark.slow
def test_settings_of_ones_own_are_found_in_conf(own_folder: Path) -> None:
    mine = own_folder / "conf" / "experiment" / "mine.yaml"
    mine.parent.mkdir(parents=True)
    mine.write_text("# @package _global_\ndefaults:\n  - quick\nseed: 41\n")
    [settings] = settings_of("experiment=mine")
    assert settings.seed == 41
    assert settings.recipe.frozen is True  # of `quick`, which mine builds on


@pytest.mark.slow
def test_another_folder_of_settings_can_be_named(own_folder: Path) -> None:
    for folder, seed in (("conf", 1), ("other", 2)):
        (own_folder / folder / "experiment").mkdir(parents=True)
        (own_folder / folder / "experiment" / "mine.yaml").write_text(
            f"# @package _global_\nseed: {seed}\n"
        )
    for words in (["--config-dir", "other"], ["--config-dir=other"]):
        [settings] = settings_of("experiment=mine", *words)
        assert settings.seed == 2


@pytest.mark.parametrize("words", [(), ("--config-dir", "other"), ("--config-dir=other",)])
def test_a_file_of_ones_own_that_kennel_would_pass_over_is_refused(
    own_folder: Path, words: tuple[str, ...]
) -> None:
    place = own_folder / ("other" if words else "conf") / "experiment" / "quick.yaml"
    place.parent.mkdir(parents=True)
    place.write_text("# @package _global_\nseed: 41\n")
    said = refused("experiment=quick", *words)
    assert f"{place.relative_to(own_folder)} has the name of a configuration of Kennel's" in said


def test_settings_that_are_shown_and_would_be_refused_are_shown_and_refused(
    own_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = own_folder / "conf" / "experiment" / "mine.yaml"
    mine.parent.mkdir(parents=True)
    mine.write_text("# @package _global_\ndata:\n  batch_sise: 3\n")
    for words in (["--cfg", "job"], ["-c=job", "--package", "data"], ["--resolve", "-c", "job"]):
        assert main(["train", "experiment=mine", *words]) == 2
        shown = capsys.readouterr()
        assert "batch_sise: 3" in shown.out
        assert "batch_sise" in shown.err
        assert "Error executing job" not in shown.err


@pytest.mark.slow
def test_several_jobs_have_a_folder_each(own_folder: Path) -> None:
    jobs = settings_of("-m", "seed=5,6", "data=plain,mixup", "paths.output_dir=runs/s")
    assert [(job.seed, job.data.mix is None) for job in jobs] == [
        (5, True),
        (5, False),
        (6, True),
        (6, False),
    ]
    folders = [Path(job.paths.output_dir) for job in jobs]
    assert [f.absolute() for f in folders] == [own_folder / "runs" / "s" / str(n) for n in range(4)]
    for job, folder in zip(jobs, folders, strict=True):
        assert Path(job.callbacks.best_weights.path).parent.parent == folder
        assert Path(job.trainer.default_root_dir) == folder


@pytest.mark.slow
def test_the_first_job_that_fails_ends_several_and_says_why() -> None:
    tried = []

    def task(settings: DictConfig) -> None:
        tried.append(settings.seed)
        if settings.seed == 2:
            raise UsageError("two is no good.", fix="kennel train seed=3")

    with pytest.raises(UsageError, match=r"two is no good\."):
        with_settings(["-m", "seed=1,2,3"], task)
    assert tried == [1, 2]


@pytest.mark.slow
def test_settings_leave_the_process_as_it_was(
    own_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import os
    import sys

    monkeypatch.setattr(sys, "argv", ["kennel", "train", "seed=3"])
    before = dict(os.environ)
    settings_of("seed=3")
    assert (sys.argv, dict(os.environ)) == (["kennel", "train", "seed=3"], before)
    assert list(own_folder.iterdir()) == []


# what the names stand for


def parts_of(node: Any, at: str = "") -> Iterator[tuple[str, DictConfig]]:
    """The outermost nodes that name a `_target_`, with their paths."""
    if isinstance(node, DictConfig):
        if "_target_" in node:
            yield at, node
            return
        for key in node:
            yield from parts_of(node[key], f"{at}.{key}".lstrip("."))
    elif isinstance(node, ListConfig):
        for index in range(len(node)):
            yield from parts_of(node[index], f"{at}.{index}")


def test_parts_are_found_at_any_depth() -> None:
    found = dict(parts_of(composed("data=mixup", "debug=profiler")))
    assert set(found) >= {"model", "trainer", "optimizer", "schedule", "data.mix"}
    assert {"data.augment.0", "callbacks.best_weights", "logger.csv"} <= set(found)
    assert "trainer.profiler" not in found  # made together with the trainer


def make(at: str, node: DictConfig) -> Any:
    """Instantiates a part for real, and uses what is only half made."""
    import torch
    from hydra.utils import instantiate

    from kennel.learn.augment import Augmentation, Draw
    from kennel.learn.settings import is_own, read_own

    if at.startswith("data.augment."):
        part = read_own(node, at=at)
        assert isinstance(part, Augmentation)
        seeds, sizes = np.arange(2), np.array([[40, 30], [30, 40]])
        photos = torch.full((2, 3, 32, 32), 100, dtype=torch.uint8)
        return part.vary(photos, Draw(seeds, sizes, 32, (128, 128, 128))).shape
    if is_own(node):
        if str(node._target_).endswith(".Timm"):  # the only one that would ask the Hub
            node.pretrained = False
        if at.startswith("callbacks."):
            return read_own(node, at=at)
        return read_own(node, at=at).build(("a", "b", "c")).network.head.out_features
    if at == "trainer":
        return trainer_of(node)
    made = instantiate(node, _convert_="all")
    weight = torch.nn.Parameter(torch.zeros(3, 2))
    if at == "optimizer":
        return made([weight]).param_groups[0]["lr"]
    if at == "schedule":
        optimizer = torch.optim.SGD([weight], lr=1.0)
        return made(optimizer=optimizer, total_steps=10).get_last_lr()
    if at == "data.mix":
        photos, truth = made(num_classes=3)(torch.rand(4, 3, 8, 8), torch.tensor([0, 1, 2, 0]))
        assert truth.shape == (4, 3)
        return photos.shape
    return made


def trainer_of(node: DictConfig) -> Any:
    """A trainer on what this machine has; one that it cannot have is refused for that reason."""
    import torch
    from hydra.errors import InstantiationException
    from hydra.utils import instantiate

    here = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "auto": True,
        "cpu": True,
    }
    node.pop("auto_batch")  # which kennel.learn.capacity reads
    if here[node.accelerator]:
        devices = node.devices if node.get("strategy") != "ddp" else 1
        return instantiate(node, _convert_="all", devices=devices)
    with pytest.raises(InstantiationException, match=r"(?i)accelerator"):
        instantiate(node, _convert_="all")
    return instantiate(node, _convert_="all", accelerator="cpu", precision="32-true")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_every_name_in_every_configuration_is_made_for_real(own_folder: Path) -> None:
    made: dict[str, Any] = {}
    for group, option in OPTIONS:
        if group == "hydra":
            continue
        for at, part in parts_of(composed(f"{group}={option}", config=verb_of(group))):
            # Parts know only what they were told: the same words make the same part.
            node = OmegaConf.create(OmegaConf.to_container(part, resolve=True))
            words = f"{at}: {OmegaConf.to_yaml(node)}"
            if words in made:
                continue
            try:
                made[words] = make(at, node)
            except Exception as error:
                raise AssertionError(f"{group}={option}: {at} cannot be made: {error}") from error
            assert made[words] is not None
    targets = {target for words in made for target in re.findall("_target_: (.*)", words)}
    named = {
        line.split("_target_:")[1].strip()
        for path in CONFIGS.rglob("*.yaml")
        for line in path.read_text(encoding="utf-8").splitlines()
        if "_target_:" in line
    }
    assert targets == named


@pytest.mark.slow
def test_a_name_that_does_not_exist_cannot_be_made() -> None:
    node = composed("optimizer=adamw").optimizer
    node._target_ = "torch.optim.AdamX"
    with pytest.raises(Exception, match="AdamX"):
        make("optimizer", node)


@pytest.mark.slow
@pytest.mark.parametrize("model", ["efficientnet_lite0", "mambaout", "timm"])
def test_every_setting_of_a_network_has_a_reader(model: str) -> None:
    # Read means: another value gives another network in training, another preprocessing, another
    # pedigree, or a refusal.
    import torch

    from kennel.errors import KennelError
    from kennel.learn.settings import read_own

    other = {
        "name": "resnet10t" if model == "timm" else "efficientnet_lite0",
        "pretrained": False,
        "drop_rate": 0.5,
        "drop_path_rate": 0.5,
        "dims": [6, 12, 24, 48],
        "depths": [1, 1, 1, 1],
        "head_fn": "norm_mlp",
        "conv_ratio": 2.0,
        "act_layer": "relu",
        "size": 32,
        "resize": "squash",
        "filter": "lanczos",
        "crop": 0.5,
        "mean": [0.1, 0.2, 0.3],
        "std": [0.1, 0.2, 0.3],
    }

    def seen(node: DictConfig) -> Any:
        torch.manual_seed(0)
        try:
            made = read_own(node, at="model").build(("a", "b"))
        except KennelError as error:
            return error.message
        torch.manual_seed(1)
        with torch.no_grad():
            logits = made.network.train()(torch.rand(2, 3, 32, 32))
        return logits.tolist(), made.preprocess, made.backbone

    def node_with(**changes: Any) -> DictConfig:
        node = OmegaConf.create(
            OmegaConf.to_container(composed(f"model={model}").model, resolve=True)
        )
        if model == "timm":
            node.pretrained = False  # True would ask the Hub
        for key, value in changes.items():
            (node.image if key in node.image else node)[key] = value
        return node

    usual = seen(node_with())
    assert seen(node_with()) == usual  # what differs below differs for the setting
    node = node_with()
    keys = [key for key in node if key not in ("_target_", "image")] + list(node.image)
    for key in keys:
        if model == "timm" and key == "pretrained":
            continue
        if model == "mambaout" and key == "name":
            continue  # names the network in its pedigree
        assert seen(node_with(**{key: other[key]})) != usual, f"model.{key} is read by nobody"
