"""Photos are answered in turn, and slow ones hold up nobody."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from kennel.serve.lanes import GoneError, Lanes
from kennel.serve.problems import ProblemError


def run(lanes: Lanes, work: Callable[[Lanes], Coroutine[Any, Any, None]]) -> None:
    try:
        asyncio.run(asyncio.wait_for(work(lanes), 20))
    finally:
        lanes.close()


def test_a_full_queue_says_when_to_come_again_and_takes_nothing() -> None:
    free = threading.Event()

    async def work(lanes: Lanes) -> None:
        held = [asyncio.create_task(lanes.run(free.wait, quick=True)) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(ProblemError) as refusal:
            await lanes.run(lambda: None, quick=True)
        assert refusal.value.status == 503
        assert int(refusal.value.headers["retry-after"]) >= 1
        free.set()
        await asyncio.gather(*held)
        assert lanes.waiting == 0
        assert (await lanes.run(lambda: 7, quick=True))[0] == 7

    run(Lanes(queue=2), work)


def test_a_slow_photo_holds_up_no_quick_one() -> None:
    free = threading.Event()

    async def work(lanes: Lanes) -> None:
        slow = asyncio.create_task(lanes.run(free.wait, quick=False))
        await asyncio.sleep(0)
        assert (await lanes.run(lambda: 7, quick=True))[0] == 7
        assert not slow.done()
        free.set()
        await slow

    run(Lanes(queue=4), work)


def test_slow_photos_do_not_fill_the_queue() -> None:
    free = threading.Event()

    async def work(lanes: Lanes) -> None:
        slow = [asyncio.create_task(lanes.run(free.wait, quick=False)) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(ProblemError):
            await lanes.run(lambda: None, quick=False)
        assert (await lanes.run(lambda: 7, quick=True))[0] == 7
        free.set()
        await asyncio.gather(*slow)

    run(Lanes(queue=16), work)


def test_who_left_is_not_answered() -> None:
    done: list[int] = []

    async def work(lanes: Lanes) -> None:
        with pytest.raises(GoneError):
            await lanes.run(lambda: done.append(1), quick=True, gone=lambda: True)
        assert lanes.waiting == 0

    run(Lanes(queue=4), work)
    assert not done


def test_a_fault_gives_its_place_back() -> None:
    async def work(lanes: Lanes) -> None:
        for _ in range(3):
            with pytest.raises(ZeroDivisionError):
                await lanes.run(lambda: 1 // 0, quick=True)
        assert lanes.waiting == 0

    run(Lanes(queue=1), work)
