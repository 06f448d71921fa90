"""What TensorBoard's HPARAMS view reads: which parameters a study has, and each trial's."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tensorboard.plugins.hparams import api_pb2, summary
from torch.utils.tensorboard import SummaryWriter

from kennel.learn.tuning.space import Parameter, Space


def write_experiment(folder: Path, space: Space, monitor: str) -> None:
    """Says into `folder`, above those of the trials, which parameters and which figure there are:
    without it the view knows those alone that the first trial had.
    """
    said = summary.experiment_pb(
        hparam_infos=[
            api_pb2.HParamInfo(name=each.path, type=_kind(each)) for each in space.parameters
        ],
        metric_infos=[api_pb2.MetricInfo(name=api_pb2.MetricName(tag=monitor))],
    )
    _write(folder, [said], {})


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
    session = summary.session_start_pb(hparams=shown)
    _write(folder, [session, summary.session_end_pb(api_pb2.STATUS_SUCCESS)], {monitor: figure})


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


def _kind(each: Parameter) -> Any:
    if each.choices is None:
        return api_pb2.DATA_TYPE_FLOAT64
    shown = [_shown(choice) for choice in each.choices]
    if all(isinstance(choice, bool) for choice in shown):
        return api_pb2.DATA_TYPE_BOOL
    numbers = all(isinstance(c, (int, float)) and not isinstance(c, bool) for c in shown)
    return api_pb2.DATA_TYPE_FLOAT64 if numbers else api_pb2.DATA_TYPE_STRING
