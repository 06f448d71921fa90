"""What TensorBoard's HPARAMS view reads: which parameters a study has, and each trial's."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tensorboard.plugins.hparams import summary_v2 as board
from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import hparams

from kennel.learn.tuning.space import Parameter, Space


def write_experiment(folder: Path, space: Space, monitor: str) -> None:
    """Says into `folder`, above those of the trials, which parameters and which figure there are:
    without it the view knows those alone that the first trial had.
    """
    parameters = [board.HParam(each.path, _domain(each)) for each in space.parameters]
    _write(folder, [board.hparams_config_pb(parameters, [board.Metric(monitor)])], {})


def write_hparams(
    folder: Path, values: Mapping[str, Any], monitor: str, figure: float | None
) -> None:
    """Writes one trial's session into `folder`, of its own.

    Args:
        values: parameters by path; what is no scalar is shown as JSON.
        figure: named `monitor`; None: the trial gave none, and nothing is written.
    """
    if figure is None:
        return
    shown = {path: _shown(value) for path, value in values.items()}
    _, begun, ended = hparams(shown, {monitor: figure})  # type: ignore[no-untyped-call]
    _write(folder, [begun, ended], {monitor: figure})


def _write(folder: Path, summaries: list[Any], scalars: Mapping[str, float]) -> None:
    writer: Any = SummaryWriter(str(folder))
    try:
        for each in summaries:
            writer.file_writer.add_summary(each)
        for name, value in scalars.items():
            writer.add_scalar(name, value)
    finally:
        writer.close()


def _shown(value: Any) -> bool | int | float | str:
    return value if isinstance(value, (bool, int, float, str)) else json.dumps(value)


def _domain(each: Parameter) -> Any:
    if each.choices is None:
        return board.RealInterval(float(each.low), float(each.high))
    shown = [_shown(choice) for choice in each.choices]
    alike = len({type(choice) for choice in shown}) == 1
    return board.Discrete(shown if alike else [str(choice) for choice in shown])
