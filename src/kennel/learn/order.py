"""Which photo comes when, and with which random numbers: by seed, epoch and step alone.

A run that goes on in the middle of an epoch, with as many readers as it likes, sees what it would
have seen.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator

import torch
from torch.utils.data import DistributedSampler


def epoch_seed(seed: int, epoch: int) -> int:
    """Seed of one epoch, 0 <= epoch < 2**20, of a run with `seed`."""
    return (seed << 20) + epoch


def step_seed(seed: int, epoch: int, batch: int, *, process: int = 0) -> int:
    """Seed of what is drawn in one step, in one of the processes of a run, 0 <= it < 2**63."""
    text = f"{seed} {epoch} {batch} {process}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


class Shuffled(DistributedSampler[tuple[int, int]]):
    """Every photo once an epoch, as (index, seed of its augmentation); of several processes each
    has its share, and some photos come twice so that all have as many.

    Args:
        n: photos.
        seed: of the run.
        epoch: tells the number of the epoch that begins.
        first: tells how many photos of this process's share were seen before.
        processes: of the run, this one of them being `process`.
    """

    def __init__(
        self,
        n: int,
        *,
        seed: int,
        epoch: Callable[[], int],
        first: Callable[[], int] = lambda: 0,
        processes: int = 1,
        process: int = 0,
    ) -> None:
        # A DistributedSampler by name: Lightning puts one of its own around anything else, and
        # would shuffle what is shuffled.
        super().__init__(range(n), num_replicas=processes, rank=process)  # type: ignore[arg-type]
        self.n, self.run_seed, self.which_epoch, self.first = n, seed, epoch, first

    def __iter__(self) -> Iterator[tuple[int, int]]:
        generator = torch.Generator().manual_seed(epoch_seed(self.run_seed, self.which_epoch()))
        order = torch.randperm(self.n, generator=generator)
        seeds = torch.randint(2**62, (self.n,), generator=generator)
        pairs = list(zip(order.tolist(), seeds.tolist(), strict=True))
        whole = [pairs[at % self.n] for at in range(self.total_size)]
        yield from whole[self.rank :: self.num_replicas][self.first() :]
