"""Who may ask, how often, and whose trace it is."""

from __future__ import annotations

import hashlib

import pytest

from kennel.serve.clients import MOST_CLIENTS, Keys, Rate
from kennel.serve.logs import trace
from kennel.serve.problems import ProblemError


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_burst_is_let_through_and_then_the_rate() -> None:
    clock = Clock()
    rate = Rate(2.0, 3, clock=clock)
    for _ in range(3):
        rate.check("anna")
    with pytest.raises(ProblemError) as refusal:
        rate.check("anna")
    assert refusal.value.status == 429
    assert refusal.value.headers["retry-after"] == "1"
    rate.check("ben")  # another client
    clock.now += 0.5
    rate.check("anna")
    with pytest.raises(ProblemError):
        rate.check("anna")


def test_who_is_refused_does_not_wait_longer_for_asking() -> None:
    clock = Clock()
    rate = Rate(1.0, 1, clock=clock)
    rate.check("anna")
    for _ in range(100):
        with pytest.raises(ProblemError):
            rate.check("anna")
    clock.now += 1.0
    rate.check("anna")


def test_countless_clients_take_no_memory() -> None:
    rate = Rate(1.0, 1, clock=Clock())
    for number in range(2 * MOST_CLIENTS):
        rate.check(str(number))
    assert len(rate._clients) == MOST_CLIENTS


@pytest.mark.parametrize(
    "header",
    [{b"authorization": b"Bearer one"}, {b"x-api-key": b"one"}, {b"authorization": b"bearer one "}],
)
def test_a_key_opens_by_its_hash(header: dict[bytes, bytes]) -> None:
    own = hashlib.sha256(b"one").hexdigest()
    assert Keys((hashlib.sha256(b"other").hexdigest(), own)).check(header) == own


@pytest.mark.parametrize(
    "header",
    [{}, {b"authorization": b"Bearer two"}, {b"authorization": b"Basic one"}, {b"x-api-key": b""}],
)
def test_no_key_and_a_wrong_one_are_refused(header: dict[bytes, bytes]) -> None:
    with pytest.raises(ProblemError) as refusal:
        Keys((hashlib.sha256(b"one").hexdigest(), hashlib.sha256(b"").hexdigest())).check(header)
    assert refusal.value.status == 401
    assert "www-authenticate" in refusal.value.headers
    assert "two" not in refusal.value.detail


def test_without_keys_everybody_comes_in() -> None:
    assert Keys(()).check({}) is None


def test_a_trace_is_taken_up_and_an_invalid_one_is_not() -> None:
    trace_id, span = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
    assert trace(f"00-{trace_id}-{span}-01") == (trace_id, span)
    assert trace(f"01-{trace_id}-{span}-01-more") == (trace_id, span)
    for wrong in (
        None,
        "",
        f"00-{trace_id.upper()}-{span}-01",
        f"00-{'0' * 32}-{span}-01",
        f"00-{trace_id}-{'0' * 16}-01",
        f"ff-{trace_id}-{span}-01",
        f"00-{trace_id}-{span}-01-more",
        f"00-{trace_id}-{span}",
        "00-x\r\n-y-z",
    ):
        found, parent = trace(wrong)
        assert found != trace_id
        assert len(found) == 32
        assert parent == ""
