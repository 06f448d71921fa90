"""Photo files hashed and measured by the workers of a cluster, for an audit."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from kennel.audit.measures import Read, read_file
from kennel.beyond.cluster import Cluster
from kennel.errors import RunError

PACKAGES = ("ray", "numpy", "pillow")
FILES = 128  # that a worker reads before it answers
AHEAD = 2  # answers a core that may wait
WAIT_S = 600.0  # for room in a full cluster
SOME = 3  # photos that every node must have


def measured(
    cluster: Cluster, files: Sequence[Path], *, say: Callable[[str], None]
) -> Iterator[Read]:
    """What `kennel.audit.measures.read_file` gives of each file, in order.

    Only a few answers a core ever wait. What a lost node was reading is read again by another.

    Args:
        files: every node sees them at the same place.
        say: told where the cluster is full.
    Raises:
        RunError: the cluster has no room, or its workers cannot go on.
    """
    ray = cluster.ray
    cluster.refuse_without_room(1, cpus=1, gpus=0)
    cluster.wait_for_room(cpus=1, say=say, most_s=WAIT_S)
    remote = ray.remote(num_cpus=1, max_retries=-1)(read_files)
    cores = max(int(sum(node.cpus for node in cluster.nodes())), 1)
    waiting: deque[Any] = deque()
    try:
        for start in range(0, len(files), FILES):
            waiting.append(remote.remote(list(files[start : start + FILES])))
            if len(waiting) > AHEAD * cores:
                yield from ray.get(waiting.popleft())
        while waiting:
            yield from ray.get(waiting.popleft())
    except ray.exceptions.RayError as error:
        last = (str(error).strip().splitlines() or [type(error).__name__])[-1]
        raise RunError(
            f"the workers cannot go on: {last.rstrip('.')}.", fix="type the same again"
        ) from error


def read_files(files: Sequence[Path]) -> list[Read]:
    """What is noted of some files."""
    return [read_file(file) for file in files]
