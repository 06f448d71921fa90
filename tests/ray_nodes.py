"""A Ray cluster of several nodes on this machine, one of which can be lost."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent


class Nodes:
    """A head without room for workers, and two nodes with room for one each."""

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster

        small = {"include_dashboard": False, "object_store_memory": 80 * 2**20}
        self.cluster: Any = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **small})
        self.small, self.workers = small, []
        self.make_whole()

    @property
    def address(self) -> str:
        return str(self.cluster.address)

    def make_whole(self) -> None:
        while len(self.workers) < 2:
            self.workers.append(self.cluster.add_node(num_cpus=1, **self.small))

    def lose_one(self) -> None:
        """As when its machine is taken away: nobody there has time for anything."""
        self.cluster.remove_node(self.workers.pop(), allow_graceful=False)


@contextmanager
def nodes_here(**environ: str) -> Iterator[Nodes]:
    """Such a cluster, whose nodes have `environ` besides; all its processes end with the block."""
    before = dict(os.environ)
    source = str(HERE.parent / "src")
    os.environ["PYTHONPATH"] = f"{source}:{HERE}:{os.environ.get('PYTHONPATH', '')}"
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_niceness": "0", **environ}
    os.environ.pop("COVERAGE_PROCESS_CONFIG", None)  # nodes are killed in the middle of writing
    nodes = Nodes()
    try:
        yield nodes
    finally:
        nodes.cluster.shutdown()
        for name in set(os.environ) - set(before):
            del os.environ[name]
        os.environ |= before
