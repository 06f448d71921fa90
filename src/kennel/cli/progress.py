"""Progress on stderr: count, rate and time left; one closing line where it is not a terminal."""

from __future__ import annotations

import sys
import time

REDRAW_EVERY_S = 0.1


class Counter:
    """Counts items as they are done: `counter.tick()` for each, `counter.close()` at the end.

    The clock starts with the first item: what was prepared before it does not slow the rate.

    Args:
        total: how many there will be; 0 where nobody knows.
        what: plural noun, such as "photos read".
    """

    def __init__(self, total: int, what: str) -> None:
        self.total, self.what = total, what
        self.done = 0
        self._started_s = self._drawn_s = time.monotonic()
        self._live = sys.stderr.isatty()

    def tick(self, _: object = None) -> None:
        """One more is done."""
        self.reach(self.done + 1)

    def reach(self, done: int) -> None:
        """So many are done."""
        now = time.monotonic()
        if not self.done:
            self._started_s = now
        self.done = done
        if self._live and now - self._drawn_s >= REDRAW_EVERY_S:
            self._drawn_s = now
            rate = self.done / max(now - self._started_s, REDRAW_EVERY_S)
            of, left = "", ""
            if self.total:
                of = f"/{self.total}"
                left = f", {max(self.total - self.done, 0) / rate:.0f} s left"
            sys.stderr.write(f"\r{self.done}{of} {self.what}, {rate:.0f}/s{left}\x1b[K")
            sys.stderr.flush()

    def close(self) -> None:
        """Says how many there were, and how fast."""
        took_s = time.monotonic() - self._started_s
        rate = self.done / max(took_s, 1e-3)
        start, end = ("\r", "\x1b[K\n") if self._live else ("", "\n")
        sys.stderr.write(f"{start}{self.done} {self.what} in {took_s:.1f} s ({rate:.0f}/s){end}")
