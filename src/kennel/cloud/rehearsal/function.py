"""A function as AWS keeps it running: as many sandboxes as its concurrency allows, no more."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from kennel.cloud.rehearsal.runtime import FunctionError, TimedOutError
from kennel.cloud.rehearsal.sandbox import INIT_S, Configuration, Runnable, Sandbox, begin

UNRESERVED = 10  # of a new account, for all functions together


class ThrottledError(Exception):
    """As many requests as may are being answered."""


@dataclass(frozen=True)
class ColdStart:
    """A sandbox that had to be begun for a request.

    Attributes:
        init_s: from its processes' start until it asked for an event.
        version: of the function.
        digest: of the image.
    """

    init_s: float
    version: str
    digest: str


@dataclass
class Function:
    """Sandboxes of one function, over its versions.

    Attributes:
        runnables: digest -> what it stands for.
        folder: for sandboxes.
        hand_on: what a sandbox said, line by line, goes there: configuration, lines.
        stalled: events are given to sandboxes that stay frozen, as to one that hangs.
    """

    runnables: Mapping[str, Runnable]
    folder: Path
    hand_on: Callable[[Configuration, list[str]], None] = lambda *_: None
    cold_starts: list[ColdStart] = field(default_factory=list)
    stalled: bool = False
    _all: list[Sandbox] = field(default_factory=list)
    _idle: list[Sandbox] = field(default_factory=list)
    _busy: int = 0
    _number: int = 0
    _ended: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def invoke(
        self, how: Configuration, event: dict[str, object], *, concurrency: int | None
    ) -> object:
        """Answers an event in a sandbox of that version, one that waits or a new one.

        Args:
            concurrency: reserved for the function; None where nothing is.
        Raises:
            ThrottledError, TimedOutError, FunctionError
        """
        most = UNRESERVED if concurrency is None else concurrency
        with self._lock:
            if self._busy >= most or self._ended:
                raise ThrottledError
            self._busy += 1
            sandbox = next((each for each in self._idle if each.configuration == how), None)
            if sandbox is not None:
                self._idle.remove(sandbox)
            old = [each for each in self._idle if each.configuration != how]
            self._idle = [each for each in self._idle if each.configuration == how]
        for each in old:
            self._end(each)
        try:
            sandbox = sandbox or self._begin(how)
            return self._ask(sandbox, event, how)
        finally:
            with self._lock:
                self._busy -= 1

    def end(self) -> None:
        """Ends all sandboxes, those that answer as well; nothing is begun after it."""
        with self._lock:
            self._ended = True
            every, self._idle = list(self._all), []
        for each in every:
            self._end(each)

    def rest(self) -> None:
        """Ends the sandboxes that wait, as AWS does after some minutes."""
        with self._lock:
            idle, self._idle = self._idle, []
        for each in idle:
            self._end(each)

    def _ask(self, sandbox: Sandbox, event: dict[str, object], how: Configuration) -> object:
        try:
            said = sandbox.invoke(event, timeout_s=how.timeout_s, stalled=self.stalled)
        except BaseException as error:
            if isinstance(error, TimedOutError):
                self.hand_on(how, [str(error)])
            self._end(sandbox)
            raise
        sandbox.freeze()
        self._tell(sandbox)
        with self._lock:
            kept = not self._ended
            if kept:
                self._idle.append(sandbox)
        if not kept:
            self._end(sandbox)
        return said

    def _begin(self, how: Configuration) -> Sandbox:
        what = self.runnables.get(how.digest)
        if what is None:
            raise FunctionError("Runtime.InvalidImage", f"there is no image {how.digest}")
        # AWS begins again, within the function's own time, where it takes longer than INIT_S.
        for limit_s in (INIT_S, how.timeout_s):
            with self._lock:
                self._number += 1
                number = self._number
            sandbox = begin(what, how, self.folder / f"{number:03}")
            with self._lock:
                self._all.append(sandbox)
                ended = self._ended
            if ended:
                self._end(sandbox)
                raise ThrottledError
            try:
                if sandbox.ready(limit_s):
                    start = ColdStart(sandbox.init_s, how.version, how.digest)
                    self.cold_starts.append(start)
                    return sandbox
            except BaseException:
                self._end(sandbox)
                raise
            said, alive = sandbox.said(), sandbox.alive()
            self._end(sandbox)
            if not alive:
                raise FunctionError("Runtime.ExitError", f"it ended while it began: {said[-2000:]}")
        raise TimedOutError(f"it was not ready after {INIT_S:g} and {how.timeout_s:g} seconds")

    def _end(self, sandbox: Sandbox) -> None:
        sandbox.end()
        with self._lock:
            if sandbox in self._all:
                self._all.remove(sandbox)
        self._tell(sandbox)

    def _tell(self, sandbox: Sandbox) -> None:
        lines = sandbox.new_lines()
        if lines:
            with suppress(Exception):  # a log that cannot be written ends no function
                self.hand_on(sandbox.configuration, lines)
