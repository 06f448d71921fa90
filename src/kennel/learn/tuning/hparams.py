"""What TensorBoard's HPARAMS view reads: parameters and figure of each trial."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import hparams


def write_hparams(
    folder: Path, values: Mapping[str, Any], monitor: str, figure: float | None
) -> None:
    """Writes one trial's session into `folder`, of its own.

    Args:
        values: parameters by path; what is no scalar is shown as JSON.
        monitor: name of the figure; None: the trial gave none, and nothing is written.
    """
    if figure is None:
        return
    shown = {
        path: value if isinstance(value, (bool, int, float, str)) else json.dumps(value)
        for path, value in values.items()
    }
    writer: Any = SummaryWriter(str(folder))
    try:
        for summary in hparams(shown, {monitor: figure}):  # type: ignore[no-untyped-call]
            writer.file_writer.add_summary(summary)
        writer.add_scalar(monitor, figure)
    finally:
        writer.close()
