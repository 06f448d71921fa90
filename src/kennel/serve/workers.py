"""The server as a whole: one process, or a watchman and as many workers as there are cores.

The workers share one listening socket, which the watchman keeps open: who connects while a worker
is started again waits, and is answered.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType
from typing import NoReturn

from kennel.errors import KennelError, Stopped, UsageError
from kennel.machine import usable_cores
from kennel.named import made_elsewhere
from kennel.serve.loaded import Loaded
from kennel.serve.logs import line
from kennel.serve.server import BACKLOG, Place, work
from kennel.serve.settings import Settings
from kennel.serve.tally import Slots

Announce = Callable[["Answering", str, int], None]  # what answers, host, port

_SIGNALS = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
SOON_S = 2.0  # a worker that ends sooner than this after its start is not started again at once
LONGEST_PAUSE_S = 5.0
EXTRA_GRACE_S = 5.0


@dataclass(frozen=True)
class Answering:
    """The bundle that workers answer with, as they loaded it.

    Attributes:
        note: which other version of Kennel exported it, in words; None where it was this one.
    """

    bundle_id: str
    note: str | None


def serve(
    path: Path, *, settings: Settings, announce: Announce, public_key: Path | None = None
) -> int:
    """Serves a bundle until SIGTERM, when all that was begun is finished.

    Args:
        path: of the bundle, or of a folder of bundles; read again at each reload.
        announce: called once all workers are ready.
        public_key: of who must have signed the bundle.
    Returns: 0.
    Raises:
        KennelError: the bundle or the address cannot be used.
        Stopped: Ctrl-C.
    """
    # Who asks for another bundle before a process can exchange it is heard when it can.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
    listener = listen(settings.host, settings.port)
    threads = max(1, usable_cores() // settings.workers)

    def load() -> Loaded:
        return Loaded(path, threads=threads, public_key=public_key)

    def ready(answering: Answering) -> None:
        host, port = listener.getsockname()[:2]
        announce(answering, host, port)

    slots = Slots(settings.workers)
    # A container's first process has duties: no signal is heard without a handler, which the model
    # would be loaded without, and it is parent to all whose own died. So it only watches.
    if settings.workers == 1 and os.getpid() != 1:
        ended_by = work(
            load,
            Place(settings, listener, slots),
            ready=lambda loaded: ready(_answering(loaded)),
        )
    else:
        ended_by = _Watchman(load, settings, listener, slots).watch(ready)
    if ended_by == signal.SIGINT:
        raise Stopped("Ctrl-C", signal.SIGINT)
    return 0


def _answering(loaded: Loaded) -> Answering:
    return Answering(loaded.bundle.bundle_id, made_elsewhere(loaded.bundle))


def listen(host: str, port: int) -> socket.socket:
    """A listening socket.

    Raises:
        UsageError: the address is taken, not this machine's, or not allowed.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as error:
        raise UsageError(
            f"cannot listen at {host}:{port}: {error.strerror or error}.",
            fix="stop what listens there, or name another --port (0 takes a free one)",
        ) from error
    listener.setblocking(False)
    return listener


@dataclass
class _Worker:
    pid: int
    started: float
    heard: int  # a pipe: what it says when it is ready, or why it is not
    pause_s: float = 0.0


class _Watchman:
    """Starts workers, and starts again who dies.

    Args:
        load: the bundle, in a worker.
    """

    def __init__(
        self,
        load: Callable[[], Loaded],
        settings: Settings,
        listener: socket.socket,
        slots: Slots,
    ) -> None:
        self._load, self._settings = load, settings
        self._listener, self._slots = listener, slots
        self._workers: dict[int, _Worker] = {}
        self._stopped_by = 0
        self._wake, self._woken = os.pipe()

    def watch(self, ready: Callable[[Answering], None]) -> int:
        """Until a signal says to stop. Returns: that signal."""
        os.set_blocking(self._woken, False)
        signal.set_wakeup_fd(self._woken, warn_on_full_buffer=False)
        for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
            signal.signal(signum, self._told)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        for number in range(self._settings.workers):
            self._start(number)
        answering = self._first_words()
        if answering is not None:
            ready(answering)
        while not self._stopped_by:
            self._sleep(1.0)
            self._start_dead_again()
            if os.getpid() == 1:
                self._bury_strangers()
        self._stop()
        return self._stopped_by

    def _told(self, signum: int, frame: FrameType | None) -> None:
        if signum in (signal.SIGTERM, signal.SIGINT):
            self._stopped_by = self._stopped_by or signum
        elif signum == signal.SIGHUP:
            for worker in self._workers.values():
                _send(worker.pid, signal.SIGHUP)

    def _start(self, number: int, *, pause_s: float = 0.0) -> None:
        heard, told = os.pipe()
        sys.stdout.flush()
        sys.stderr.flush()
        parent = os.getpid()
        # A signal in between would be taken as the watchman takes it, and be lost.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        pid = os.fork()
        if pid == 0:
            os.close(heard)
            self._be_worker(number, told, parent)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        os.close(told)
        self._workers[number] = _Worker(pid, time.monotonic(), heard, pause_s)

    def _be_worker(self, number: int, told: int, parent: int) -> NoReturn:
        code = 1
        try:
            signal.set_wakeup_fd(-1)
            for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):
                signal.signal(signum, signal.SIG_DFL)
            # SIGHUP stays blocked until it can reload.
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS - {signal.SIGHUP})
            for worker in self._workers.values():
                os.close(worker.heard)

            def ready(loaded: Loaded) -> None:
                _say(told, asdict(_answering(loaded)))

            place = Place(self._settings, self._listener, self._slots, number, parent)
            work(self._load, place, ready=ready)
            code = 0
        except KennelError as error:
            _say(told, {"error": error.message, "fix": error.fix})
        except BaseException as error:
            _say(told, {"error": f"a worker failed: {type(error).__name__}: {error}.", "fix": ""})
        finally:
            sys.stderr.flush()
            os._exit(code)

    def _first_words(self) -> Answering | None:
        """Waits until every worker is ready; the bundle they answer with, or None if told to stop.

        Raises:
            KennelError: a worker is not.
        """
        answering = None
        for worker in list(self._workers.values()):
            while not self._stopped_by and not select.select([worker.heard], [], [], 0.2)[0]:
                continue
            if self._stopped_by:
                return None
            said = json.loads(os.read(worker.heard, 65_536) or b'{"error": "a worker died."}')
            if "error" in said:
                self._stopped_by = signal.SIGTERM
                self._stop()
                raise KennelError(said["error"], fix=said.get("fix") or "run it again")
            answering = Answering(**said)
        return answering

    def _start_dead_again(self) -> None:
        for number, worker in list(self._workers.items()):
            if os.waitpid(worker.pid, os.WNOHANG)[0] == 0:
                continue
            why = _heard(worker.heard)
            os.close(worker.heard)
            del self._workers[number]  # so that the next one does not close its pipe again
            lived = time.monotonic() - worker.started
            pause_s = 0.0
            if lived < SOON_S:
                pause_s = min(LONGEST_PAUSE_S, 2 * worker.pause_s or 0.1)
            if self._settings.log != "none":
                said = line(
                    self._settings.log,
                    "worker ended",
                    worker=number,
                    after_s=round(lived, 1),
                    again_in_s=pause_s,
                    error=why.get("error"),
                    fix=why.get("fix"),
                )
                sys.stderr.write(f"{said}\n")
                sys.stderr.flush()
            if pause_s:
                self._sleep(pause_s)
            if self._stopped_by:
                return
            self._start(number, pause_s=pause_s)

    def _bury_strangers(self) -> None:
        """Whose parent died becomes a child of process 1, and stays until it is asked for."""
        own = {worker.pid for worker in self._workers.values()}
        look = os.WEXITED | os.WNOHANG | os.WNOWAIT  # a worker's end is left to be seen
        with contextlib.suppress(ChildProcessError):  # there are none
            while (dead := os.waitid(os.P_ALL, 0, look)) is not None and dead.si_pid not in own:
                os.waitpid(dead.si_pid, 0)

    def _stop(self) -> None:
        """Tells all to finish, and ends who has not in time."""
        self._listener.close()  # who comes now is not kept waiting for nothing
        for worker in self._workers.values():
            _send(worker.pid, signal.SIGTERM)
        until = time.monotonic() + self._settings.grace_seconds + EXTRA_GRACE_S
        left = {worker.pid for worker in self._workers.values()}
        while left:
            for pid in list(left):
                try:
                    ended = os.waitpid(pid, os.WNOHANG)[0] != 0
                except ChildProcessError:
                    ended = True
                if ended:
                    left.discard(pid)
            if time.monotonic() > until:
                for pid in left:
                    _send(pid, signal.SIGKILL)
            if left:
                self._sleep(0.05)

    def _sleep(self, seconds: float) -> None:
        """Until a signal comes, at most so long."""
        if select.select([self._wake], [], [], seconds)[0]:
            os.read(self._wake, 4096)


def _heard(pipe: int) -> dict[str, str]:
    """What a worker said that ended: why, if it came so far."""
    said: dict[str, str] = {}
    if select.select([pipe], [], [], 0)[0]:
        for words in os.read(pipe, 65_536).splitlines():
            said = json.loads(words)
    return said


def _say(pipe: int, what: dict[str, str]) -> None:
    os.write(pipe, json.dumps(what).encode() + b"\n")


def _send(pid: int, signum: int) -> None:
    try:
        os.kill(pid, signum)
    except ProcessLookupError:
        return
