"""Words after the verb -> settings: Hydra's groups, overrides, multirun and completion, with
Kennel's errors.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException, OverrideParseException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

import kennel.configs
from kennel.errors import UsageError
from kennel.learn.settings import check_settings

USER_CONFIGS = Path("conf")
PACKAGE = "pkg://kennel.configs"
CONFIGS = Path(kennel.configs.__file__).parent
# Hydra's, but for --experimental-rerun, which would unpickle a file, and those that name another
# program's configuration. Asked here, because argparse takes any beginning of an option's name.
OPTIONS = {
    *("--multirun", "-m", "--run", "-r", "--cfg", "-c", "--resolve", "--package", "-p"),
    *("--config-dir", "-cd", "--info", "-i", "--shell-completion", "-sc", "--hydra-help"),
}


def with_settings(
    words: Sequence[str],
    task: Callable[[DictConfig], Any],
    *,
    config: str = "train",
    instead: Mapping[str, Any] | None = None,
    check: Callable[[DictConfig], DictConfig] = check_settings,
) -> None:
    """Composes the settings that `words` ask for and calls `task` with them; several times for
    `--multirun`.

    A folder ./conf is searched for groups as if `--config-dir conf` stood there. What
    `--cfg job` shows of settings with configurations of the user's is then checked.

    Args:
        words: Hydra's own: overrides, -m, --cfg, --config-dir, --info, -sc.
        task: gets kennel.learn.settings.TrainSettings, checked.
        check: gives the composed settings their types, or refuses them.
        instead: settings that stand in the place of the configuration and its groups.
    Raises:
        UsageError: a word, key, type or configuration that does not exist; or a configuration of
            the user's with the name of one of Kennel's, which would be taken in its place.
    """
    words = list(words)
    for word in words:
        if word.startswith("-") and word.partition("=")[0] not in OPTIONS:
            raise UsageError(
                f"there is no option {word}.",
                fix=f"kennel {config} --help; settings are written as key=value",
            )
    if USER_CONFIGS.is_dir() and not any(w.startswith(("--config-dir", "-cd")) for w in words):
        words += ["--config-dir", str(USER_CONFIGS)]
    _refuse_hidden(words, config)
    original = sys.argv
    failed: list[BaseException] = []

    def quietly(work: Callable[[DictConfig], Any]) -> Callable[[DictConfig], None]:
        # Hydra prints a line of its own for a job that raises: it is told nothing, and what was
        # raised is raised below.
        def job(composed: DictConfig) -> None:
            if not failed:
                try:
                    work(composed)
                except BaseException as error:
                    failed.append(error)

        return job

    def carry_out(composed: DictConfig) -> None:
        settings = check(composed)
        state = HydraConfig.get()
        with open_dict(settings):
            if state.mode == RunMode.MULTIRUN:
                if "ddp" in str(settings.trainer.get("strategy", "")):
                    raise UsageError(
                        "-m starts runs in this process, and ddp starts this process again.",
                        fix="one run a command, or trainer.devices=1 trainer=default",
                    )
                settings.paths.output_dir = state.runtime.output_dir
        # Lightning starts the other processes of a DDP run with the words of this one: they need
        # the same folder.
        sys.argv = [*original, f"paths.output_dir={settings.paths.output_dir}"]
        task(settings)

    if instead is not None:
        _refuse_groups(words, config)
    with (
        _place_of(config, instead) as place,
        _argv([f"kennel {config}", *words]),
        _full_errors(),
    ):
        main = hydra.main(config_path=place, config_name=config, version_base="1.3")
        try:
            main(quietly(carry_out))()
            if _shows_own_job(words):
                sys.argv = [sys.argv[0], *_without_showing(words)]
                main(quietly(check))()
        except OverrideParseException as error:
            raise UsageError(
                f"{error.override!r} cannot be read as key=value.",
                fix="put a value with = , { } or [ ] in it into quotes: 'data.csv=\"a=b.csv\"'",
            ) from error
        except ValueError as error:  # a group that is given a number, and the like
            raise UsageError(
                f"{' '.join(words)}: {_in_words(error)}",
                fix=f"kennel {config} --info defaults shows the groups",
            ) from error
        except (HydraException, OmegaConfBaseException) as error:
            raise UsageError(
                _in_words(error), fix=f"kennel {config} --cfg job shows every setting"
            ) from error
    if failed:
        raise failed[0]


def overrides_of_job() -> tuple[str, ...]:
    """The words of the job that is carried out which are settings."""
    return tuple(HydraConfig.get().overrides.task)


def _refuse_hidden(words: Sequence[str], config: str) -> None:
    """Hydra takes the first file of a name, and looks into the package first: a user's file of the
    same name would not be read, and nobody told.
    """
    for folder in _values_of(words, "--config-dir", "-cd"):
        for own in sorted(Path(folder).glob("**/*.yaml")):
            name = own.relative_to(folder)
            if (CONFIGS / name).is_file():
                raise UsageError(
                    f"{own} has the name of a configuration of Kennel's, which would be taken.",
                    fix=f"mv {own} {own.with_stem(f'my_{own.stem}')}, then kennel {config} with "
                    f"that name; the file may begin with 'defaults: [{own.stem}]'",
                )


def _values_of(words: Sequence[str], *options: str) -> list[str]:
    """What is given to an option, as `--option value` or `--option=value`."""
    return [
        word.partition("=")[2] or following
        for word, following in pairwise([*words, ""])
        if word.partition("=")[0] in options
    ]


def _shows_own_job(words: Sequence[str]) -> bool:
    """Kennel's own configurations need no check, and so no torch."""
    return (
        bool(_values_of(words, "--config-dir", "-cd"))
        and _values_of(words, "--cfg", "-c") == ["job"]
        and not {"-m", "--multirun"} & {*words}
    )


def _without_showing(words: Sequence[str]) -> list[str]:
    """The same words, but for those that say what to show of the settings."""
    kept: list[str] = []
    skip = False
    for word in words:
        name, given, _ = word.partition("=")
        if not skip and name not in {"--cfg", "-c", "--package", "-p", "--resolve"}:
            kept.append(word)
        skip = not skip and not given and name in {"--cfg", "-c", "--package", "-p"}
    return kept


def _refuse_groups(words: Sequence[str], config: str) -> None:
    """A group would be laid over the whole settings, or under them, and mix with them."""
    groups = {each.name for each in CONFIGS.iterdir() if each.is_dir()}
    for word in words:
        name = re.split("[=@]", word.lstrip("+~"), maxsplit=1)[0]
        if name.partition("/")[0] in groups:
            raise UsageError(
                f"{word} chooses a group, and the settings are those of a run already.",
                fix=f"name single settings ({name}.KEY=VALUE; --cfg job shows them), or choose "
                "groups without --from-run",
            )


@contextmanager
def _place_of(config: str, instead: Mapping[str, Any] | None) -> Iterator[str]:
    """Where Hydra finds the configuration: the package, or a folder with `instead` alone."""
    if instead is None:
        yield PACKAGE
        return
    whole = {
        "defaults": [{"hydra": "default"}, "_self_"],
        "hydra": {"searchpath": [PACKAGE]},
        **instead,
    }
    with TemporaryDirectory(prefix="kennel-") as folder:
        OmegaConf.save(OmegaConf.create(whole), Path(folder) / f"{config}.yaml")
        yield folder


def _in_words(error: Exception) -> str:
    """Hydra's message on one line, its advice for programmers left out."""
    causes = [error] + ([error.__cause__] if error.__cause__ is not None else [])
    lines = [line.strip() for e in causes for line in str(e).splitlines()]
    unwanted = (
        "full_key",
        "object_type",
        "Set the env",
        "To append to",
        "Config search path",
        "provider=",
    )
    kept = [line.rstrip(".:") for line in lines if line and not line.startswith(unwanted)]
    text = "; ".join(dict.fromkeys(kept))
    return re.sub(r"(Available options in '[^']*'); ", r"\1: ", text) + "."


@contextmanager
def _argv(words: list[str]) -> Iterator[None]:
    before, sys.argv = sys.argv, words
    try:
        yield
    finally:
        sys.argv = before


@contextmanager
def _full_errors() -> Iterator[None]:
    """Hydra raises what it would else print and leave on."""
    before = os.environ.get("HYDRA_FULL_ERROR")
    os.environ["HYDRA_FULL_ERROR"] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["HYDRA_FULL_ERROR"]
        else:
            os.environ["HYDRA_FULL_ERROR"] = before
