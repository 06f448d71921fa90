"""One worker: uvicorn with the counter in it, until it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import uvloop
from uvicorn.config import Config
from uvicorn.server import Server

from kennel.serve.counter import Counter
from kennel.serve.loaded import Loaded
from kennel.serve.logs import Log
from kennel.serve.protocol import careful
from kennel.serve.settings import Settings
from kennel.serve.tally import Slots

SWITCH_SECONDS = 0.001  # that a thread keeps Python for itself, while the event loop waits
BACKLOG = 2048


@dataclass(frozen=True)
class Place:
    """Where a worker works.

    Attributes:
        listener: bound already; clients wait in it until the model is there.
        slots: memory shared with the other workers, of which this is `worker`.
        parent: the process whose end ends this one.
    """

    settings: Settings
    listener: socket.socket
    slots: Slots
    worker: int = 0
    parent: int | None = None


def work(load: Callable[[], Loaded], place: Place, *, ready: Callable[[Loaded], None]) -> int:
    """Serves until SIGTERM or SIGINT; SIGHUP exchanges the bundle.

    Args:
        load: the bundle.
        ready: called before the first request is taken.
    Returns: the signal that ended it, or 0.
    Raises:
        KennelError: the bundle cannot be loaded.
    """
    sys.setswitchinterval(SWITCH_SECONDS)
    for name in ("uvicorn.error", "python_multipart.multipart"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)  # Kennel's log says it
    loaded = load()
    with (
        contextlib.closing(Log(place.settings.log, worker=place.worker)) as log,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        return runner.run(_serve(loaded, load, place, ready=ready, log=log))


class _Server(Server):
    """uvicorn's server, but for signals: what they mean is Kennel's to say."""

    ended_by = 0

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def _serve(
    loaded: Loaded,
    load: Callable[[], Loaded],
    place: Place,
    *,
    ready: Callable[[Loaded], None],
    log: Log,
) -> int:
    loop, settings, parent = asyncio.get_running_loop(), place.settings, place.parent
    echoes = 0  # of reloads that were asked for here: the watchman tells this worker, too

    def tell_others() -> None:
        nonlocal echoes
        if parent is not None:
            echoes += 1
            os.kill(parent, signal.SIGHUP)

    counter = Counter(
        loaded,
        load=load,
        settings=settings,
        log=log,
        slots=place.slots,
        worker=place.worker,
        tell_others=tell_others,
    )
    protocol = careful(
        header_seconds=settings.header_seconds,
        stall_seconds=settings.body_seconds,
        most_connections=settings.connections,
        refused=counter.refused,
    )
    server = _Server(
        Config(
            counter,
            http=protocol,
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=bool(settings.proxies),
            forwarded_allow_ips=list(settings.proxies) or None,
            timeout_keep_alive=max(1, round(settings.keepalive_seconds)),
            timeout_graceful_shutdown=max(1, round(settings.grace_seconds)),
            backlog=BACKLOG,
        )
    )

    def stop(signum: int) -> None:
        if server.should_exit and signum == signal.SIGINT:
            server.force_exit = True
        server.ended_by = server.ended_by or signum
        counter.stopping = server.should_exit = True

    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, stop, signum)
    reloads: set[asyncio.Task[object]] = set()

    def reload() -> None:
        nonlocal echoes
        if echoes:
            echoes -= 1
            return
        task: asyncio.Task[object] = loop.create_task(counter.reload())
        reloads.add(task)
        task.add_done_callback(reloads.discard)

    loop.add_signal_handler(signal.SIGHUP, reload)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})  # see kennel.serve.workers

    def watch_parent() -> None:
        if os.getppid() != parent:
            stop(signal.SIGTERM)
        loop.call_later(1.0, watch_parent)

    if parent is not None:
        watch_parent()
    ready(loaded)
    log.write("ready", bundle=loaded.bundle.bundle_id, pid=os.getpid())
    await server.serve(sockets=[place.listener])
    counter.counts.publish()
    counter.lanes.close()
    log.write("stopped", signal=signal.Signals(server.ended_by).name if server.ended_by else None)
    return server.ended_by
