"""A run again, from its own record: which settings, on which photos, and why bits may differ."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError  # type: ignore[import-untyped]

from kennel.bundle import BUNDLE_JSON, file_sha256, read_bundle
from kennel.dataset import Dataset
from kennel.errors import DatasetError, RunError, UsageError
from kennel.run import BEST_WEIGHTS, CONFIG_YAML, RUN_JSON, Run, read_run

log = logging.getLogger(__name__)
NEW_FOLDER = "runs/${now:%Y-%m-%d_%H-%M-%S}"  # as configs/paths/default.yaml has it
OWN_FOLDER = "${paths.output_dir}"
# Nodes whose strings may name the run's own folder: written out, config.yaml has it many times.
IN_OWN_FOLDER = ("trainer", "callbacks", "logger")
# What does not change numbers: where things lie, and the checkpoint that a run went on from.
NOT_COMPARED = ("paths", "ckpt_path", "data.csv", "data.photos", "data.sample")
HARDWARE = ("cpu", "gpu", "cores", "torch_threads", "system")


def run_to_repeat(path: Path) -> Run:
    """The run in the folder `path`.

    Raises:
        UsageError: a bundle lies there, which holds no settings.
        RunError: no run lies there, or its record was changed.
    """
    if (path / BUNDLE_JSON).is_file() and not (path / RUN_JSON).is_file():
        run_id = read_bundle(path).lineage.run_id
        raise UsageError(
            f"{path} is a bundle: it knows the sha256 of its run's settings, and not the settings.",
            fix=f"name the run that it was exported from: kennel train --from-run runs/{run_id}",
        )
    run = read_run(path)
    config = path / CONFIG_YAML
    if not config.is_file():
        raise RunError(
            f"{config} does not exist, so nobody knows with which settings {path} ran.",
            fix="copy the whole folder of the run, or name the settings: kennel train key=value",
        )
    if run.config_sha256 not in (None, file_sha256(config)):
        raise RunError(
            f"{config} was changed after the run: its sha256 is not the one in {RUN_JSON}.",
            fix="put it back as it was; what is to differ is named after --from-run: key=value",
        )
    return run


def settings_again(run: Run) -> dict[str, Any]:
    """The settings of a run, for another one: with a folder of its own, from the first step on, and
    on the index that the run was trained on.

    Raises:
        RunError: its config.yaml cannot be read.
    """
    try:
        config = OmegaConf.load(run.path / CONFIG_YAML)
        settings: Any = OmegaConf.to_container(config)
        before = settings["paths"]["output_dir"]
        data = settings["data"]
        settings["paths"]["output_dir"] = NEW_FOLDER
        data["csv"], data["photos"] = str(_index_of(run)), None
    except (OSError, OmegaConfBaseException, YAMLError, KeyError, TypeError) as error:
        raise RunError(
            f"{run.path / CONFIG_YAML} cannot be read: {type(error).__name__}.",
            fix="name the settings: kennel train key=value",
        ) from error
    for name in IN_OWN_FOLDER:
        settings[name] = _moved(settings.get(name), str(before))
    if _went_on(run, settings):
        settings["ckpt_path"] = None
    return {name: value for name, value in settings.items() if name != "hydra"}


def refuse_checkpoint(run: Run, settings: DictConfig) -> None:
    """Raises UsageError where a checkpoint is named that the run did not begin with."""
    if settings.ckpt_path not in (None, settings_again(run).get("ckpt_path")):
        raise UsageError(
            f"--from-run begins anew, and ckpt_path={settings.ckpt_path} goes on.",
            fix="leave one of them out; to go on with a run, name its folder and its settings: "
            f"kennel train ckpt_path=last paths.output_dir={run.path}",
        )


def refuse_lost_index(run: Run, settings: DictConfig) -> None:
    """Raises DatasetError where the index that the run was trained on is not to be found."""
    csv = settings.data.csv
    if csv is not None and not Path(csv).is_file():
        raise DatasetError(
            f"the index that {run.path} was trained on, {csv}, is not on this machine.",
            fix="name where it is now: data.csv=data/dataset.csv",
        )


def refuse_unlike_photos(run: Run, dataset: Dataset) -> None:
    """Raises DatasetError where the dataset is not the one that the run was trained on."""
    if dataset.dataset_id != run.dataset_id:
        raise DatasetError(
            f"{dataset.csv} is not the index that {run.path} was trained on: its dataset_id is "
            f"{dataset.dataset_id[:16]}, not {run.dataset_id[:16]}.",
            fix="name the index as it was then: data.csv=PATH; or train on this one without "
            "--from-run",
        )


def say_differences(then: Run, now: Run, settings: DictConfig) -> None:
    """Logs each reason why the weights of the two may differ in their bits."""
    for reason in differences(then, now, settings):
        log.warning("bits may differ: %s", reason)


def differences(then: Run, now: Run, settings: DictConfig) -> tuple[str, ...]:
    """Why the weights of a run that is repeated may differ in their bits: settings, code, libraries
    and hardware that are not what they were.

    Args:
        settings: of the run `now`.
    """
    return (
        *_settings(then, settings),
        *_code(then, now),
        *_named("", then.versions, now.versions, tuple({**then.versions, **now.versions})),
        *_named("hardware: ", then.hardware, now.hardware, HARDWARE),
        *_inexact(now, settings),
    )


def same_weights(then: Run, now: Run) -> bool | None:
    """Whether both have the same best weights, bit for bit; None where one of them has none."""
    files = [run.path / BEST_WEIGHTS for run in (then, now)]
    if not all(file.is_file() for file in files):
        return None
    return file_sha256(files[0]) == file_sha256(files[1])


def _index_of(run: Run) -> Path:
    """Where the run's index is: as the run says, or in its folder if that was moved."""
    said, beside = Path(run.dataset_csv), run.path / Path(run.dataset_csv).name
    return beside.resolve() if not said.is_file() and beside.is_file() else said


def _moved(node: Any, before: str) -> Any:
    """The node with `before`, the run's folder, as an interpolation in all of its strings."""
    if isinstance(node, dict):
        return {key: _moved(value, before) for key, value in node.items()}
    if isinstance(node, list):
        return [_moved(value, before) for value in node]
    if isinstance(node, str) and (node == before or node.startswith(f"{before}/")):
        return OWN_FOLDER + node[len(before) :]
    return node


def _went_on(run: Run, settings: dict[str, Any]) -> bool:
    """Whether the run went on from a checkpoint of its own."""
    path = settings.get("ckpt_path")
    if path is None:
        return False
    return path == "last" or Path(path).resolve().is_relative_to(run.path.resolve())


def _settings(then: Run, settings: DictConfig) -> Iterator[str]:
    before: Any = settings_again(then)
    after: Any = OmegaConf.to_container(settings)
    for path, old, new in _changes(before, after):
        yield f"setting {path} was {old}, and is {new}"
    config: Any = OmegaConf.to_container(OmegaConf.load(then.path / CONFIG_YAML))
    if _went_on(then, config):
        yield f"{then.path} was gone on with from a checkpoint"


def _changes(before: Any, after: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    if path in NOT_COMPARED:
        return
    if isinstance(before, dict) and isinstance(after, dict):
        for key in {**before, **after}:
            inner = f"{path}.{key}" if path else str(key)
            yield from _changes(before.get(key), after.get(key), inner)
    elif before != after:
        yield path, before, after


def _code(then: Run, now: Run) -> Iterator[str]:
    if then.git_commit is None:
        yield "the commit that it was trained at is not known"
    elif then.git_commit != now.git_commit:
        yield f"commit {then.git_commit[:12]} then, {(now.git_commit or 'none')[:12]} now"
    if then.dirty:
        yield "the code had uncommitted changes then, which no commit holds"
    if now.dirty:
        yield "the code has uncommitted changes now"


def _named(
    kind: str, then: dict[str, str], now: dict[str, str], names: tuple[str, ...]
) -> Iterator[str]:
    for name in names:
        if then.get(name) != now.get(name):
            yield f"{kind}{name} {then.get(name, 'none')} then, {now.get(name, 'none')} now"


def _inexact(now: Run, settings: DictConfig) -> Iterator[str]:
    trainer = settings.trainer
    on_gpu = "gpu" in now.hardware and trainer.get("accelerator") != "cpu"
    if on_gpu and not trainer.get("deterministic"):
        yield "CUDA adds in no fixed order, unless trainer.deterministic=true"
