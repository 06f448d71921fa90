"""Where photos are answered: never on the event loop, in turn, and no more than may wait.

A worker answers with two threads. Ordinary photos go through the first, one after the other: on a
processor, two at once or several in a batch are no faster. The few that take long (`kennel.serve.
sniff`) go through the second, which gives way to everything else, so that nobody waits for them.
"""

from __future__ import annotations

import asyncio
import math
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

from kennel.serve import problems

T = TypeVar("T")

NICE = 10  # of the second thread
SLOW_SHARE = 8  # of the queue, one in so many may be slow photos


class GoneError(Exception):
    """The client left before its turn: nothing was computed."""


class Lanes:
    """The two threads of a worker, and who waits for them.

    Args:
        queue: photos that may wait or be under way, >= 1.
    """

    def __init__(self, *, queue: int) -> None:
        self.queue = queue
        self.waiting = 0
        self._slow_waiting = 0
        self._mean_s = 0.02  # that a photo takes, of late
        self._quick = ThreadPoolExecutor(1, thread_name_prefix="answers")
        self._slow = ThreadPoolExecutor(1, thread_name_prefix="slow", initializer=_give_way)
        self._aside = ThreadPoolExecutor(1, thread_name_prefix="aside", initializer=_give_way)

    async def run(
        self,
        work: Callable[[], T],
        *,
        quick: bool,
        gone: Callable[[], bool] = lambda: False,
    ) -> tuple[T, float]:
        """What `work` returns, done in a thread in its turn, and the seconds it waited for that.

        Args:
            gone: says whether nobody waits for it any more.
        Raises:
            ProblemError: 503, the queue is full.
            GoneError: see `gone`.
        """
        if self.waiting >= self.queue or (not quick and self._slow_waiting >= self._most_slow):
            raise problems.busy(max(1, math.ceil(self.waiting * self._mean_s)))
        self.waiting += 1
        self._slow_waiting += not quick
        came = time.perf_counter()

        def turn() -> tuple[T, float, float]:
            began = time.perf_counter()
            if gone():
                raise GoneError
            return work(), began - came, time.perf_counter() - began

        lane = self._quick if quick else self._slow
        try:
            done, waited, took = await asyncio.get_running_loop().run_in_executor(lane, turn)
        finally:
            self.waiting -= 1
            self._slow_waiting -= not quick
        self._mean_s += 0.05 * (took - self._mean_s)
        return done, waited

    async def aside(self, work: Callable[[], T]) -> T:
        """What `work` returns, in a thread of its own: for what is no photo and may take long, and
        must not wait behind photos that do.
        """
        return await asyncio.get_running_loop().run_in_executor(self._aside, work)

    def close(self) -> None:
        self._quick.shutdown(wait=False, cancel_futures=True)
        self._slow.shutdown(wait=False, cancel_futures=True)
        self._aside.shutdown(wait=False, cancel_futures=True)

    @property
    def _most_slow(self) -> int:
        return max(2, self.queue // SLOW_SHARE)


def _give_way() -> None:
    if hasattr(os, "setpriority"):  # of this thread alone, on Linux
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)
