"""The wire between tests and a chromium: the DevTools protocol through two pipes. Stdlib alone."""

from __future__ import annotations

import itertools
import json
import os
import select
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome") or ""
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--mute-audio",
    "--no-default-browser-check",
    "--no-first-run",
    "--remote-debugging-pipe",
)
PATIENCE_S = 30.0  # for a step, on a machine that does other things


class Wire:
    """Sends commands, and hands events to who listens to their session."""

    def __init__(self, into: int, out_of: int) -> None:
        self._into, self._out_of = into, out_of
        self._rest = b""
        self._numbers = itertools.count(1)
        self._replies: dict[int, dict[str, Any]] = {}
        self.listeners: dict[str, Callable[[str, dict[str, Any]], None]] = {}

    def call(self, method: str, *, session: str | None = None, **params: Any) -> dict[str, Any]:
        """What the browser answers to a command.

        Raises:
            RuntimeError: it refuses it. TimeoutError: it says nothing.
        """
        number = self.send(method, session=session, **params)
        until = time.monotonic() + PATIENCE_S
        while number not in self._replies:
            self._read(until - time.monotonic(), method)
        said = self._replies.pop(number)
        if "error" in said:
            raise RuntimeError(f"{method}: {said['error']['message']}")
        result: dict[str, Any] = said["result"]
        return result

    def send(self, method: str, *, session: str | None = None, **params: Any) -> int:
        """Sends a command and does not wait for the answer."""
        number = next(self._numbers)
        command: dict[str, Any] = {"id": number, "method": method, "params": params}
        if session is not None:
            command["sessionId"] = session
        data = json.dumps(command).encode() + b"\0"
        while data:
            data = data[os.write(self._into, data) :]
        return number

    def _read(self, timeout_s: float, waiting_for: str) -> None:
        if timeout_s <= 0 or not select.select([self._out_of], [], [], timeout_s)[0]:
            raise TimeoutError(f"the browser says nothing to {waiting_for}")
        data = os.read(self._out_of, 1 << 20)
        if not data:
            raise BrokenPipeError("the browser has ended")
        *messages, self._rest = (self._rest + data).split(b"\0")
        for message in map(json.loads, messages):
            if "id" in message:
                self._replies[message["id"]] = message
            elif message.get("sessionId") in self.listeners:
                self.listeners[message["sessionId"]](message["method"], message["params"])


@contextmanager
def wired(folder: Path) -> Iterator[Wire]:
    """A chromium while the block runs, its profile in `folder`, which must exist."""
    read_in, write_in = os.pipe()  # the browser reads commands from descriptor 3
    read_out, write_out = os.pipe()  # and writes to 4
    # bash, as other shells know no descriptors above 9.
    wiring = f'exec "$@" 3<&{read_in} 4>&{write_out}'
    own = [*FLAGS, f"--user-data-dir={folder}", "about:blank"]
    process = subprocess.Popen(
        ["bash", "-c", wiring, "bash", CHROMIUM, *own],
        pass_fds=(read_in, write_out),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    os.close(read_in)
    os.close(write_out)
    wire = Wire(write_in, read_out)
    try:
        yield wire
    finally:
        try:
            wire.call("Browser.close")
            process.wait(timeout=10)
        except (OSError, TimeoutError, subprocess.TimeoutExpired):
            os.killpg(process.pid, signal.SIGKILL)  # its own group, of this process alone
            process.wait()
        os.close(write_in)
        os.close(read_out)
