"""Bad input, one by one: refused with the right status, nothing is written, nobody waits for it."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from beside import GoodClient
from hostile_uploads import RED, Attack, attacks, half_closed, mutants
from running import Running, everything, head, replies

from kennel.awkward import saved

Serve = Callable[..., Running]
JPEG = saved(RED, "JPEG")
# A quarter of a second is promised; the machine that tests may be doing something else meanwhile.
LONGEST_WAIT_S = 4 * 0.25


def standing(server: Running) -> Path:
    return Path(f"/proc/{server.process.pid}/cwd").readlink()


def holds(server: Running) -> list[str]:
    """Files on disk that the server has open for writing."""
    found = []
    for pid in server.processes():
        for number in Path(f"/proc/{pid}/fd").iterdir():
            try:
                target = str(number.readlink())
                flags = Path(f"/proc/{pid}/fdinfo/{number.name}").read_text("ascii")
            except FileNotFoundError:
                continue
            writes = int(flags.split("flags:")[1].split()[0], 8) & (os.O_WRONLY | os.O_RDWR)
            if writes and target.startswith("/") and not target.startswith("/dev/"):
                found.append(target)
    return found


in_proc = pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs Linux's /proc")


@in_proc
@pytest.mark.parametrize("attack", attacks(), ids=lambda attack: attack.name)
def test_bad_input_is_refused_and_nobody_waits_for_it(
    server: Running, attack: Attack, record_property: Callable[[str, object], None]
) -> None:
    server.predict(JPEG)
    with GoodClient(server, JPEG) as good:
        time.sleep(0.02)
        answered = attack.run(server)
        time.sleep(0.02)
    record_property("longest_wait_ms", round(1000 * good.longest_s, 1))
    assert answered, "nothing was answered"
    assert answered[-1].status in attack.status, answered[-1]
    for reply in answered:
        assert reply.status < 500 or reply.status == 503
        if reply.status >= 400 and reply.body:
            assert reply.headers["content-type"] == "application/problem+json"
            assert {"type", "title", "status", "detail", "fix"} <= reply.json.keys()
    assert good.statuses == {200}
    assert not good.failed
    assert good.longest_s < LONGEST_WAIT_S
    assert list(standing(server).iterdir()) == []  # it is where temporary files would go, too
    assert holds(server) == []


def test_who_shuts_his_side_breaks_nothing(server: Running) -> None:
    half_closed(server)
    assert server.predict(JPEG).status == 200


def test_answers_of_pipelined_requests_come_in_order_even_after_a_large_body(
    server: Running,
) -> None:
    large = head("POST", "/predict", "content-type: image/jpeg", "content-length: 200000")
    stream = large + bytes(200_000) + head("GET", "/live", "connection: close")
    parts = stream[:200_050], stream[200_050:-10], stream[-10:]
    answered = replies(server.raw(*parts, pause_s=0.1))
    assert [reply.status for reply in answered] == [415, 200]


def test_connections_that_say_nothing_make_room_for_a_good_client(serve: Serve) -> None:
    running = serve(connections="20")
    silent = [running.connect() for _ in range(60)]
    for line in silent[::2]:
        line.sendall(b"POST /predict HT")
    assert running.predict(JPEG).status == 200
    for line in silent:
        line.close()


def test_where_all_connections_wait_for_answers_the_next_is_told_so(serve: Serve) -> None:
    """Slow bodies make room as well; who waits for an answer is never cut off."""
    running = serve(connections="4")
    declared = head("POST", "/predict", "content-type: image/jpeg", "content-length: 1000")
    slow = [running.connect() for _ in range(12)]
    for line in slow:
        line.sendall(declared + JPEG[:10])
    assert running.predict(JPEG).status == 200
    for line in slow:
        line.close()


@in_proc
def test_who_never_reads_is_cut_off(serve: Serve) -> None:
    running = serve(body_seconds="1")

    def sockets() -> int:
        found = 0
        for file in Path(f"/proc/{running.process.pid}/fd").iterdir():
            with suppress(FileNotFoundError):  # closed since it was listed
                found += str(file.readlink()).startswith("socket:")
        return found

    before = sockets()
    with socket.socket() as line:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        line.connect(("127.0.0.1", running.port))
        line.settimeout(0.5)
        with suppress(TimeoutError, ConnectionError):
            for _ in range(2000):
                line.sendall(head("GET", "/page.js") * 50)
        until = time.monotonic() + 15
        while sockets() > before and time.monotonic() < until:
            time.sleep(0.1)
        assert sockets() == before
    assert running.predict(JPEG).status == 200


def test_an_idle_connection_is_closed(serve: Serve) -> None:
    running = serve(keepalive_seconds="1", header_seconds="1")
    with running.connect(timeout_s=10) as line:
        line.sendall(head("GET", "/live"))
        assert replies(everything(line))[0].status == 200  # and then it hangs up
    with running.connect(timeout_s=10) as line:
        assert everything(line) == b""


def test_mutated_uploads_are_answered_or_refused(server: Running) -> None:
    with GoodClient(server, JPEG) as good:
        statuses = {
            server.ask("POST", "/predict", body, headers).status
            for body, headers in mutants(seed=7, n=150)
        }
    assert statuses <= {200, 400, 413, 415, 422, 503}
    assert {200, 400, 422} <= statuses
    assert good.statuses == {200}
    assert good.longest_s < LONGEST_WAIT_S
