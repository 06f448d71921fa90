"""What a cluster cannot do is said before anything runs on it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from kennel.beyond.cluster import Cluster, Node, joined, look
from kennel.errors import MissingExtraError, RunError, UsageError
from kennel.machine import versions


class Answering(Cluster):
    """A cluster of one node that answers what it is told to."""

    def __init__(self, answer: Callable[[Any], Any]) -> None:
        super().__init__(SimpleNamespace(), "10.0.0.1:6379")
        self.answer = answer

    def nodes(self) -> list[Node]:
        return [Node("a", "10.0.0.2:4000", 4.0, 1.0), Node("b", "10.0.0.3:4000", 2.0, 0.0)]

    def on_each_node(self, function: Callable[..., Any], *given: Any) -> dict[Node, Any]:
        return {node: self.answer(function(*given)) for node in self.nodes()[:1]}


def same(answer: Any) -> Any:
    return answer


@pytest.mark.parametrize(
    ("cpus", "gpus", "room"),
    [(1, 0, 6), (2, 0, 3), (3, 0, 1), (1, 0.25, 4), (1, 1, 1), (0.5, 0, 12)],
)
def test_room_is_counted_by_node(cpus: float, gpus: float, room: int) -> None:
    assert Answering(same).room(cpus=cpus, gpus=gpus) == room


def test_a_cluster_that_is_too_small_is_refused_by_what_it_has() -> None:
    with pytest.raises(RunError) as raised:
        Answering(same).refuse_without_room(4, cpus=2, gpus=0)
    assert (
        "has room for 3 workers of 2 CPUs and 0 GPUs, and 4 are asked for" in raised.value.message
    )
    assert "10.0.0.3:4000 2 CPUs 0 GPUs" in raised.value.message


def test_a_node_with_other_packages_is_named_with_both_versions() -> None:
    def older(answer: Any) -> Any:
        return {**answer[0], "numpy": "1.0"}, answer[1]

    here = versions(["numpy"])["numpy"]
    with pytest.raises(RunError) as raised:
        Answering(older).refuse_unlike(["numpy"], paths={})
    assert f"node 10.0.0.2:4000 has other versions than this one: numpy 1.0 (here {here})" in (
        raised.value.message
    )


def test_a_node_without_the_folder_or_the_photos_is_named(tmp_path: Path) -> None:
    photo = tmp_path / "a.jpg"
    with pytest.raises(RunError, match=r"does not see the study's folder, .*studies"):
        Answering(same).refuse_unlike([], paths={"the study's folder": tmp_path / "studies"})
    with pytest.raises(RunError, match=r"does not have the photo .*a\.jpg"):
        Answering(same).refuse_unlike([], paths={"work": tmp_path}, files=[photo])
    photo.touch()
    Answering(same).refuse_unlike(["numpy"], paths={"work": tmp_path}, files=[photo])


def test_a_look_says_what_is_missing(tmp_path: Path) -> None:
    assert look(["numpy"], [str(tmp_path), "/no/such"]) == (versions(["numpy"]), ["/no/such"])


def fake_ray(monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    fake = ModuleType("ray")
    fake.__version__ = version  # type: ignore[attr-defined]
    fake.is_initialized = lambda: False  # type: ignore[attr-defined]

    def init(**_: Any) -> None:
        raise ConnectionError("Could not read '/x' from GCS.\nDid it start?")

    fake.init = init  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "ray", fake)


def test_without_ray_the_line_that_brings_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises((MissingExtraError, ImportError)) as raised, joined():
        pass
    assert "kennel-ml[ray]" in getattr(raised.value, "fix", "")


@pytest.mark.parametrize("version", ["2.9.3", "3.0.0"])
def test_another_ray_than_the_known_is_refused(
    version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_ray(monkeypatch, version)
    with pytest.raises(RunError, match=version), joined():
        pass


def test_where_no_cluster_answers_the_address_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_ray(monkeypatch, "2.60.0")
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.9:6379")
    with (
        pytest.raises(RunError, match=r"10\.0\.0\.9:6379 cannot be joined: Could not read"),
        joined(),
    ):
        pass


def test_rays_client_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_ray(monkeypatch, "2.60.0")
    monkeypatch.setenv("RAY_ADDRESS", "ray://head:10001")
    with pytest.raises(UsageError, match="client"), joined():
        pass
