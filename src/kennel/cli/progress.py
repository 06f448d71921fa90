"""Progress on stderr: a bar, count, rate and time left. Where it is not a terminal, a line a minute
and a closing one.
"""

from __future__ import annotations

import sys
import time

REDRAW_EVERY_S = 0.1
LINE_EVERY_S = 60.0
BAR = 20  # characters


class Counter:
    """Counts items as they are done: `counter.tick()` for each, `counter.close()` at the end.

    The clock starts with the first item: what was prepared before it does not slow the rate.

    Args:
        total: how many there will be; 0 where nobody knows.
        what: plural noun, such as "photos read".
        kept: how many an earlier run left: they count, but not in the rate.
    """

    def __init__(self, total: int, what: str, *, kept: int = 0) -> None:
        self.total, self.what, self.kept = total, what, kept
        self.done = kept
        self._started_s = self._drawn_s = time.monotonic()
        self._live = sys.stderr.isatty()

    def tick(self, _: object = None) -> None:
        """One more is done."""
        self.reach(self.done + 1)

    def reach(self, done: int) -> None:
        """So many are done."""
        now = time.monotonic()
        if self.done == self.kept:
            self._started_s = now
        self.done = done
        if now - self._drawn_s < (REDRAW_EVERY_S if self._live else LINE_EVERY_S):
            return
        self._drawn_s = now
        rate = (self.done - self.kept) / max(now - self._started_s, REDRAW_EVERY_S)
        bar, of, left = "", "", ""
        if self.total:
            share = min(self.done / self.total, 1.0)
            bar = f"[{'=' * int(BAR * share):<{BAR}}] "
            of = f"/{self.total}"
            left = f", {_duration(max(self.total - self.done, 0) / max(rate, 1e-9))} left"
        said = f"{bar}{self.done}{of} {self.what}, {rate:.0f}/s{left}"
        sys.stderr.write(f"\r{said}\x1b[K" if self._live else f"{said}\n")
        sys.stderr.flush()

    def close(self) -> None:
        """Says how many there were, and how fast."""
        took_s = time.monotonic() - self._started_s
        rate = (self.done - self.kept) / max(took_s, 1e-3)
        start, end = ("\r", "\x1b[K\n") if self._live else ("", "\n")
        kept = f", after {self.kept} of an earlier run" if self.kept else ""
        sys.stderr.write(
            f"{start}{self.done - self.kept} {self.what} in {took_s:.1f} s "
            f"({rate:.0f}/s){kept}{end}"
        )


def _duration(seconds: float) -> str:
    """In seconds, or as h:mm:ss from two minutes on."""
    whole = round(seconds)
    if whole < 120:
        return f"{whole} s"
    return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"
