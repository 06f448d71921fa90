"""Progress on stderr: count, rate and time left. One closing line where stderr is not a
terminal.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")
REDRAW_EVERY_S = 0.1


def progress(items: Iterable[T], *, total: int, what: str) -> Iterator[T]:
    """Yields the items and tells how many went by.

    Args:
        items: what to go through.
        total: how many there will be, >= 0.
        what: plural noun, such as "photos drawn".
    """
    counter = Counter(total, what)
    for item in items:
        yield item
        counter.tick()
    counter.close()


class Counter:
    """The same for callbacks: `counter.tick()` once an item, `counter.close()` at the end."""

    def __init__(self, total: int, what: str) -> None:
        self.total, self.what = total, what
        self.done = 0
        self.started_s = self.drawn_s = time.monotonic()
        self.live = sys.stderr.isatty()

    def tick(self, _: object = None) -> None:
        self.done += 1
        now = time.monotonic()
        if self.live and now - self.drawn_s >= REDRAW_EVERY_S:
            self.drawn_s = now
            rate = self.done / max(now - self.started_s, 1e-9)
            left_s = max(self.total - self.done, 0) / rate
            sys.stderr.write(
                f"\r{self.done}/{self.total} {self.what}, {rate:.0f}/s, {left_s:.0f} s left\x1b[K"
            )
            sys.stderr.flush()

    def close(self) -> None:
        took_s = time.monotonic() - self.started_s
        rate = self.done / max(took_s, 1e-9)
        start, end = ("\r", "\x1b[K\n") if self.live else ("", "\n")
        sys.stderr.write(f"{start}{self.done} {self.what} in {took_s:.1f} s ({rate:.0f}/s){end}")
