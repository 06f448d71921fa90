"""Which process of a run this is, where another program started several: torchrun, SLURM.

Standard library only.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

INTERACTIVE = ("bash", "interactive")  # names of jobs in which a person types


@dataclass(frozen=True)
class Launch:
    """Processes that were started from outside.

    Attributes:
        by: "torchrun" or "srun".
        processes: of the run, on all machines. process: this one of them, from 0.
        here: processes on this machine.
        machines: that have `here` processes each.
    """

    by: str
    processes: int
    process: int
    here: int
    machines: int


def launched(environ: Mapping[str, str] = os.environ) -> Launch | None:
    """Who started this process, as one of several; None where nobody else did.

    Raises:
        ValueError: the environment says numbers that are none, or that do not fit each other.
    """
    if "TORCHELASTIC_RUN_ID" in environ:
        processes, here = int(environ["WORLD_SIZE"]), int(environ["LOCAL_WORLD_SIZE"])
        return _fitting(
            Launch("torchrun", processes, int(environ["RANK"]), here, processes // here)
        )
    name = environ.get("SLURM_JOB_NAME")
    if "SLURM_PROCID" in environ and "SLURM_STEP_ID" in environ and name not in INTERACTIVE:
        processes = int(environ.get("SLURM_NTASKS", "1"))
        machines = int(environ.get("SLURM_NNODES", environ.get("SLURM_JOB_NUM_NODES", "1")))
        here = processes // machines
        return _fitting(Launch("srun", processes, int(environ["SLURM_PROCID"]), here, machines))
    return None


def process_number(environ: Mapping[str, str] = os.environ) -> int:
    """This process's number in its run, from 0; of those that Lightning started by their machine
    alone, which is enough to know whether it is the first.
    """
    try:
        launch = launched(environ)
        if launch is not None:
            return launch.process
        return int(environ.get("RANK") or environ.get("LOCAL_RANK") or 0)
    except (ValueError, KeyError, ZeroDivisionError):
        return 0  # who reads the numbers for good says what is wrong with them


def _fitting(launch: Launch) -> Launch:
    if launch.here * launch.machines != launch.processes:
        raise ValueError(
            f"{launch.processes} processes on {launch.machines} machines, {launch.here} on this one"
        )
    return launch
