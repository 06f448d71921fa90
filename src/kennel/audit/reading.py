"""Many files at once, their results in order, in bounded memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from kennel.machine import usable_cores

Result = TypeVar("Result")
_AHEAD = 8  # files a thread may be ahead of the one that is waited for


def read_all(read: Callable[[Path], Result], files: Iterable[Path]) -> Iterator[Result]:
    """`read` of each file, in order, in as many threads as there are cores.

    Pillow decodes and hashlib hashes without Python's lock. Neither all results nor all tasks ever
    wait in memory.
    """
    cores = usable_cores()
    pool = ThreadPoolExecutor(cores)
    waiting: deque[Future[Result]] = deque()
    try:
        for file in files:
            waiting.append(pool.submit(read, file))
            if len(waiting) > _AHEAD * cores:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)  # on Ctrl-C the rest is not waited for
