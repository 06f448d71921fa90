"""What loggers that keep runs of their own need of ours: its settings, its end, and which of theirs
it is, so that a run that is gone on with goes on there too.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from omegaconf import OmegaConf

from kennel.run import CONFIG_YAML, Run
from kennel.writing import write_json

LOGGERS_JSON = "loggers.json"


@runtime_checkable
class TakesRuns(Protocol):
    """A logger that wants the run when it is done: its record and its weights."""

    def take(self, run: Run) -> None: ...


def hand_over(run: Run, loggers: Iterable[Any]) -> None:
    """Gives a finished run to those loggers that want it."""
    for logger in loggers:
        if isinstance(logger, TakesRuns):
            logger.take(run)


def known_as(folder: Path, logger: str) -> str | None:
    """The id that a logger gave to the run in `folder` when it was started; None where it did
    not.
    """
    return _ids(folder).get(logger)


def keep_id(folder: Path, logger: str, run_id: str) -> None:
    """Remembers the id that a logger gave to the run in `folder`."""
    ids = _ids(folder)
    if ids.get(logger) != run_id:
        write_json(folder / LOGGERS_JSON, {**ids, logger: run_id})


def settings_of(folder: Path) -> dict[str, Any]:
    """The run's settings, as its config.yaml has them."""
    found = OmegaConf.to_container(OmegaConf.load(folder / CONFIG_YAML))
    assert isinstance(found, dict)
    return {str(key): value for key, value in found.items()}


def flat(node: Any, at: str = "") -> dict[str, Any]:
    """Nested settings by their path, as they are written on the command line."""
    if isinstance(node, Mapping):
        pairs = [(str(key), value) for key, value in node.items()]
    elif isinstance(node, list):
        pairs = [(str(key), value) for key, value in enumerate(node)]
    else:
        return {at: node}
    found: dict[str, Any] = {}
    for key, value in pairs:
        found |= flat(value, f"{at}.{key}" if at else key)
    return found


def _ids(folder: Path) -> dict[str, str]:
    try:
        found = json.loads((folder / LOGGERS_JSON).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {k: v for k, v in found.items() if isinstance(v, str)} if type(found) is dict else {}
