"""Words after the verb -> settings: Hydra's groups, overrides, multirun and completion, with
Kennel's errors.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException, OverrideParseException
from hydra.types import RunMode
from omegaconf import DictConfig, open_dict
from omegaconf.errors import OmegaConfBaseException

from kennel.errors import UsageError
from kennel.learn.settings import check_settings

USER_CONFIGS = Path("conf")
# Hydra's, but for --experimental-rerun, which would unpickle a file, and those that name another
# program's configuration. Asked here, because argparse takes any beginning of an option's name.
OPTIONS = {
    *("--multirun", "-m", "--run", "-r", "--cfg", "-c", "--resolve", "--package", "-p"),
    *("--config-dir", "-cd", "--info", "-i", "--shell-completion", "-sc", "--hydra-help"),
}


def with_settings(
    words: Sequence[str], task: Callable[[DictConfig], Any], *, config: str = "train"
) -> None:
    """Composes the settings that `words` ask for and calls `task` with them; several times for
    `--multirun`.

    A folder ./conf is searched for groups as if `--config-dir conf` stood there.

    Args:
        words: Hydra's own: overrides, -m, --cfg, --config-dir, --info, -sc.
        task: gets kennel.learn.settings.TrainSettings, checked.
    Raises:
        UsageError: a word, key, type or configuration that does not exist.
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
    original = sys.argv
    failed: list[BaseException] = []

    def job(composed: DictConfig) -> None:
        # Hydra prints a line of its own for a job that raises: it is told nothing, and what was
        # raised is raised below.
        if not failed:
            try:
                carry_out(composed)
            except BaseException as error:
                failed.append(error)

    def carry_out(composed: DictConfig) -> None:
        settings = check_settings(composed)
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

    main = hydra.main(config_path="pkg://kennel.configs", config_name=config, version_base="1.3")(
        job
    )
    with _argv([f"kennel {config}", *words]), _full_errors():
        try:
            main()
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
