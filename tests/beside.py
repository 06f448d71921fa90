"""A good client on a connection of its own, and how long it waits while others do their worst."""

from __future__ import annotations

import http.client
import threading
import time
from dataclasses import dataclass, field
from types import TracebackType

from running import JPEG, Running


@dataclass
class GoodClient:
    """`with`: sends its photo again and again; `waits_s` and `statuses` say how that went."""

    server: Running
    photo: bytes
    pause_s: float = 0.005
    waits_s: list[float] = field(default_factory=list)
    statuses: set[int] = field(default_factory=set)
    failed: list[str] = field(default_factory=list)

    def __enter__(self) -> GoodClient:
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._ask, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join(60)

    @property
    def longest_s(self) -> float:
        return max(self.waits_s, default=0.0)

    def _ask(self) -> None:
        line = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=60)
        while not self._stop.is_set():
            began = time.perf_counter()
            try:
                line.request("POST", "/predict", self.photo, JPEG)
                got = line.getresponse()
                got.read()
            except (OSError, http.client.HTTPException) as error:
                self.failed.append(repr(error))
                line.close()
                continue
            self.waits_s.append(time.perf_counter() - began)
            self.statuses.add(got.status)
            self._stop.wait(self.pause_s)
        line.close()
