"""A Ray cluster, joined for a while: which nodes it has, and whether they can do what is asked."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kennel.errors import RunError, UsageError, need
from kennel.machine import usable_cores, versions

ADDRESS = "RAY_ADDRESS"
KNOWN = (2, 60)  # the version of Ray that this was written for and tested with
STORE_BYTES = 256 * 2**20  # of shared memory, of a cluster of this machine alone
PROBE_S = 120.0  # that a node gets to answer; its first answer imports libraries
QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1",  # who asked for no GPU sees none
    "RAY_TRAIN_V2_ENABLED": "1",
    "RAY_worker_niceness": "0",  # of a cluster started here: what works there is this very command
}


@dataclass(frozen=True)
class Node:
    """One node of a cluster: usually a machine, in Kubernetes a pod."""

    id: str
    name: str
    cpus: float
    gpus: float

    def fits(self, cpus: float, gpus: float) -> int:
        """How many workers that take so much it has room for, when nobody else is there."""
        by = [
            int(has / asked + 1e-6)
            for has, asked in ((self.cpus, cpus), (self.gpus, gpus))
            if asked
        ]
        return min(by, default=0)


@contextmanager
def joined() -> Iterator[Cluster]:
    """Joins the cluster at RAY_ADDRESS, or starts one of this machine alone, until the block ends.

    Raises:
        MissingExtraError: Ray is not installed.
        RunError: no cluster answers there, or one of another version.
    """
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    ray: Any = need("ray", extra="ray")
    if _version(ray.__version__) < KNOWN or _version(ray.__version__)[0] != KNOWN[0]:
        raise RunError(
            f"Ray {ray.__version__} is installed, and Kennel was made for {KNOWN[0]}.{KNOWN[1]} "
            "or a later one of that kind.",
            fix="pip install -U 'kennel-ml[ray]'",
        )
    address = os.environ.get(ADDRESS, "")
    if address.startswith("ray://"):
        raise UsageError(
            f"{ADDRESS} is {address}: Ray's client hands on neither files nor signals.",
            fix="run kennel on a node of the cluster: ray job submit -- kennel ...; or "
            f"{ADDRESS}=auto there",
        )
    if ray.is_initialized():  # whoever joined before leaves it too
        yield Cluster(ray, address or "this machine")
        return
    where: dict[str, Any] = (
        {"address": address}
        if address
        else {
            "address": "local",
            "num_cpus": usable_cores(),
            "include_dashboard": False,
            "object_store_memory": STORE_BYTES,
        }
    )
    try:
        with _signals_as_they_are():
            ray.init(**where, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        said = next((line for line in str(error).splitlines() if line.strip()), "no reason given")
        other = "version mismatch" in str(error).lower()
        raise RunError(
            f"the Ray cluster at {address or 'this machine'} cannot be joined: {said.rstrip('.')}.",
            fix="the same Python and the same ray on all nodes and here: pip install "
            f"ray=={ray.__version__}"
            if other
            else f"ray status there; or unset {ADDRESS}, for this machine alone",
        ) from error
    try:
        yield Cluster(ray, address or "this machine")
    finally:
        ray.shutdown()


@contextmanager
def _signals_as_they_are() -> Iterator[None]:
    """Puts handlers back: Ray takes SIGTERM, and would end this process with addresses."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            if handler is not None:
                signal.signal(number, handler)


class Cluster:
    """A cluster that is joined. See `joined`.

    Attributes:
        ray: the library. address: where it was found, for messages.
    """

    def __init__(self, ray: Any, address: str) -> None:
        self.ray, self.address = ray, address

    def nodes(self) -> list[Node]:
        """Nodes that live, by name."""
        found = [
            Node(
                each["NodeID"],
                f"{each['NodeManagerHostname']}:{each['NodeManagerPort']}",
                each["Resources"].get("CPU", 0.0),
                each["Resources"].get("GPU", 0.0),
            )
            for each in self.ray.nodes()
            if each["Alive"]
        ]
        return sorted(found, key=lambda node: node.name)

    def room(self, *, cpus: float, gpus: float) -> int:
        """How many workers that take so much fit into the whole cluster."""
        return sum(node.fits(cpus, gpus) for node in self.nodes())

    def refuse_without_room(self, workers: int, *, cpus: float, gpus: float) -> None:
        """Raises RunError where the whole cluster is too small, whoever else is there."""
        fit = self.room(cpus=cpus, gpus=gpus)
        if fit >= workers:
            return
        has = ", ".join(f"{n.name} {n.cpus:g} CPUs {n.gpus:g} GPUs" for n in self.nodes())
        raise RunError(
            f"the cluster at {self.address} has room for {fit} workers of {cpus:g} CPUs and "
            f"{gpus:g} GPUs, and {workers} are asked for ({has or 'no node'}).",
            fix="fewer workers, or less for each; or a larger cluster",
        )

    def is_busy(self, workers: int, *, cpus: float, gpus: float) -> bool:
        """Whether others hold so much that not all workers find room now."""
        free = self.ray.available_resources()
        return bool(
            free.get("CPU", 0.0) < workers * cpus - 1e-6
            or free.get("GPU", 0.0) < workers * gpus - 1e-6
        )

    def wait_for_room(self, *, cpus: float, say: Callable[[str], None], most_s: float) -> None:
        """Waits until one worker finds room beside what others hold.

        Args:
            say: told once that it is waited for.
        Raises:
            RunError: none was free within `most_s`.
        """
        began_s, told = time.monotonic(), False
        while self.is_busy(1, cpus=cpus, gpus=0):
            if not told:
                say(f"the cluster at {self.address} is full; waiting for {cpus:g} CPUs")
                told = True
            if time.monotonic() - began_s > most_s:
                raise RunError(
                    f"the cluster at {self.address} had no {cpus:g} CPUs free for {most_s:g} s.",
                    fix="wait for what runs there (ray status), or use a larger cluster",
                )
            time.sleep(0.5)

    def on_each_node(self, function: Callable[..., Any], *given: Any) -> dict[Node, Any]:
        """Calls `function`, which every node can import, once on each node.

        Raises:
            RunError: a node cannot import it, or does not answer.
        """
        strategies: Any = need("ray.util.scheduling_strategies", extra="ray")
        remote = self.ray.remote(num_cpus=0, max_retries=0)(function)
        asked = {}
        for node in self.nodes():
            pinned = strategies.NodeAffinitySchedulingStrategy(node_id=node.id, soft=False)
            asked[node] = remote.options(scheduling_strategy=pinned).remote(*given)
        answers = {}
        for node, reference in asked.items():
            try:
                answers[node] = self.ray.get(reference, timeout=PROBE_S)
            except self.ray.exceptions.GetTimeoutError as error:
                raise RunError(
                    f"node {node.name} did not answer within {PROBE_S:g} s.", fix="ray status"
                ) from error
            except self.ray.exceptions.RayError as error:
                last = (str(error).strip().splitlines() or [type(error).__name__])[-1]
                raise RunError(
                    f"node {node.name} cannot do Kennel's work: {last.rstrip('.')}.",
                    fix="the same kennel-ml, with its extras train and ray, on every node",
                ) from error
        return answers

    def refuse_unlike(
        self, packages: Sequence[str], *, paths: Mapping[str, Path], files: Sequence[Path] = ()
    ) -> None:
        """Refuses a cluster whose nodes have other packages than this process, or not its files.

        Args:
            packages: distributions that must have the same version, besides Python and Kennel.
            paths: folders that each node must see at the same place, by what they are.
            files: of photos, likewise.
        Raises:
            RunError: such a node.
        """
        here = versions(packages)
        wanted = [str(path) for path in (*paths.values(), *files)]
        for node, (there, missing) in self.on_each_node(look, list(packages), wanted).items():
            differ = [
                f"{name} {there.get(name, 'not there')} (here {here.get(name, 'not there')})"
                for name in {**here, **there}
                if there.get(name) != here.get(name)
            ]
            if differ:
                raise RunError(
                    f"node {node.name} has other versions than this one: {', '.join(differ)}.",
                    fix="one environment, or one image, for all nodes",
                )
            gone = [name for name, path in paths.items() if str(path) in missing]
            if gone:
                path = paths[gone[0]]
                raise RunError(
                    f"node {node.name} does not see {gone[0]}, {path}.",
                    fix="a folder that all nodes share at the same place, such as NFS or EFS",
                )
            photos = [str(file) for file in files if str(file) in missing]
            if photos:
                raise RunError(
                    f"node {node.name} does not have the photo {photos[0]}.",
                    fix="photos at the same place on every node: a shared folder, or copies",
                )


def look(packages: list[str], paths: list[str]) -> tuple[dict[str, str], list[str]]:
    """What a node has: versions, and which of those paths it does not see."""
    return versions(packages), [path for path in paths if not os.path.exists(path)]  # noqa: PTH110


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".")[:2] if part.isdigit())
