"""Which process of a run this is, by what torchrun and SLURM say."""

from __future__ import annotations

import pytest

from kennel.launched import Launch, launched, process_number

TORCHRUN = {
    "TORCHELASTIC_RUN_ID": "none",
    "WORLD_SIZE": "8",
    "LOCAL_WORLD_SIZE": "4",
    "RANK": "5",
    "LOCAL_RANK": "1",
}
SLURM = {
    "SLURM_JOB_NAME": "kennel",
    "SLURM_STEP_ID": "0",
    "SLURM_PROCID": "3",
    "SLURM_LOCALID": "1",
    "SLURM_NTASKS": "4",
    "SLURM_NNODES": "2",
}


def test_torchrun_says_how_many_processes_there_are() -> None:
    assert launched(TORCHRUN) == Launch("torchrun", processes=8, process=5, here=4, machines=2)


def test_slurm_says_it_too() -> None:
    assert launched(SLURM) == Launch("srun", processes=4, process=3, here=2, machines=2)


def test_who_types_in_an_allocation_of_slurms_started_nothing_by_it() -> None:
    assert launched({**SLURM, "SLURM_JOB_NAME": "interactive"}) is None
    assert launched({key: v for key, v in SLURM.items() if key != "SLURM_STEP_ID"}) is None


def test_machines_with_unlike_numbers_of_processes_are_no_launch() -> None:
    with pytest.raises(ValueError, match="5 processes on 2 machines"):
        launched({**SLURM, "SLURM_NTASKS": "5"})


@pytest.mark.parametrize(
    ("environment", "number"),
    [
        ({}, 0),
        ({"LOCAL_RANK": "1"}, 1),  # started by Lightning
        ({"RANK": "4", "LOCAL_RANK": "0"}, 4),  # first of the second machine
        (TORCHRUN, 5),
        (SLURM, 3),
        ({"SLURM_PROCID": "2"}, 0),  # an allocation in which a person types
        ({**SLURM, "SLURM_NTASKS": "no number"}, 0),
    ],
)
def test_one_process_is_the_first(environment: dict[str, str], number: int) -> None:
    assert process_number(environment) == number
