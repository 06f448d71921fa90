"""Starting, stopping, exchanging the bundle, dying: with one worker and with two."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from beside import GoodClient
from bundles import tiny_bundle
from hostile_uploads import RED, png_of
from prometheus_text import metrics
from running import Running, everything, head, popen, replies

from kennel.awkward import saved

Serve = Callable[..., Running]
JPEG = saved(RED, "JPEG")
POST = head("POST", "/predict", "content-type: image/jpeg", f"content-length: {len(JPEG)}")
both = pytest.mark.parametrize("workers", ["1", "2"])


@contextmanager
def crowd(server: Running, n: int = 4) -> Iterator[list[GoodClient]]:
    clients = [GoodClient(server, JPEG) for _ in range(n)]
    for client in clients:
        client.__enter__()
    try:
        yield clients
    finally:
        for client in clients:
            client.__exit__(None, None, None)


def bundle_of(server: Running) -> str:
    return str(server.predict(JPEG).json["bundle"])


def until(what: Callable[[], bool], *, within_s: float = 30.0) -> None:
    end = time.monotonic() + within_s
    while not what():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)


@both
def test_sigterm_finishes_what_was_begun_and_ends_with_0(serve: Serve, workers: str) -> None:
    running = serve("--workers", workers)
    with running.connect() as line, running.connect() as idle:
        line.sendall(POST + JPEG[:100])
        time.sleep(0.3)
        running.process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        assert running.process.poll() is None
        line.sendall(JPEG[100:])
        (reply,) = replies(everything(line))
        assert reply.status == 200
        assert reply.headers["connection"] == "close"
        assert everything(idle) == b""
    assert running.process.wait(20) == 0
    with pytest.raises(ConnectionError):
        running.connect()


@both
def test_ctrl_c_ends_with_130(serve: Serve, workers: str) -> None:
    running = serve("--workers", workers)
    os.killpg(running.process.pid, signal.SIGINT)  # as a terminal sends it: to all of them
    assert running.process.wait(20) == 130
    assert "stopped" in " ".join(running.lines)


def test_who_does_not_finish_in_time_is_not_waited_for(serve: Serve) -> None:
    running = serve(grace_seconds="1")
    with running.connect() as line:
        line.sendall(POST)
        time.sleep(0.2)
        began = time.monotonic()
        assert running.stop() == 0
        assert time.monotonic() - began < 10


@both
def test_sighup_exchanges_the_bundle_without_a_lost_request(
    serve: Serve, own_bundle: Path, workers: str
) -> None:
    running = serve("--workers", workers, bundle=own_bundle)
    with crowd(running) as clients:
        time.sleep(0.3)
        for bundle_id in ("tiny-second", "tiny-third"):
            tiny_bundle(own_bundle, bundle_id=bundle_id)
            running.process.send_signal(signal.SIGHUP)
            seen = 0
            end = time.monotonic() + 30
            while seen < 20 and time.monotonic() < end:  # of every worker
                seen = seen + 1 if bundle_of(running) == bundle_id else 0
            assert seen == 20
    for client in clients:
        assert client.statuses == {200}
        assert not client.failed


@both
def test_a_bad_bundle_is_refused_and_the_old_one_answers_on(
    serve: Serve, own_bundle: Path, workers: str
) -> None:
    running = serve("--workers", workers, "--reload", bundle=own_bundle)
    whole = (own_bundle / "model.onnx").read_bytes()
    card = (own_bundle / "bundle.json").read_text("utf-8")
    with GoodClient(running, JPEG) as client:
        for spoil in (
            lambda: (own_bundle / "model.onnx").write_bytes(whole[:-1] + b"x"),  # another checksum
            lambda: (own_bundle / "model.onnx").write_bytes(whole[:100]),
            (own_bundle / "model.onnx").unlink,
            lambda: (own_bundle / "bundle.json").write_text("{", "utf-8"),
        ):
            spoil()
            reply = running.ask("POST", "/-/reload")
            assert reply.status == 409
            assert reply.headers["content-type"] == "application/problem+json"
            assert reply.json["detail"].startswith("The old bundle answers on")
            running.process.send_signal(signal.SIGHUP)
            (own_bundle / "model.onnx").write_bytes(whole)
            (own_bundle / "bundle.json").write_text(card, "utf-8")
    assert client.statuses == {200}
    assert running.log("reload refused")["fix"]
    tiny_bundle(own_bundle, bundle_id="tiny-better")
    assert running.ask("POST", "/-/reload").json == {
        "bundle": "tiny-better",
        "before": "tiny-0a1b2c3d",
    }
    until(lambda: all(bundle_of(running) == "tiny-better" for _ in range(10)))


@both
def test_each_worker_exchanges_the_bundle_once_when_one_is_asked(
    serve: Serve, own_bundle: Path, workers: str
) -> None:
    running = serve("--workers", workers, "--reload", bundle=own_bundle)

    def done() -> float:
        found = metrics(running.ask("GET", "/metrics").body.decode())
        return found["kennel_reloads_total"]['kennel_reloads_total{result="done"}']

    for asked in (1, 2):
        assert running.ask("POST", "/-/reload").status == 200
        until(lambda asked=asked: done() == asked * int(workers))  # type: ignore[misc]
    time.sleep(0.5)  # nothing comes after
    assert done() == 2 * int(workers)


def test_reloading_over_http_is_off_unless_asked_for(server: Running) -> None:
    reply = server.ask("POST", "/-/reload")
    assert reply.status == 404
    assert "--reload" in reply.json["fix"]


@pytest.mark.parametrize("bad", ["damaged", "missing", "no bundle"])
@both
def test_a_bad_bundle_does_not_start_and_says_why(
    own_bundle: Path, tmp_path: Path, workers: str, bad: str
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    if bad == "damaged":
        (own_bundle / "model.onnx").write_bytes(b"damaged")
    path = {"missing": tmp_path / "nowhere", "no bundle": empty}.get(bad, own_bundle)
    process = popen(path, "--workers", workers, cwd=tmp_path)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert out == ""
    assert err.startswith("error: ")
    assert "\nfix: " in err
    assert "Traceback" not in err


def test_a_port_that_is_taken_is_named(bundle_path: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        process = popen(bundle_path, "--port", port, cwd=tmp_path)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert port in err
    assert "fix: stop what listens there" in err


def test_a_missing_library_is_named_with_the_line_that_brings_it(
    bundle_path: Path, tmp_path: Path
) -> None:
    (tmp_path / "uvicorn.py").write_text(
        "raise ModuleNotFoundError('no', name='uvicorn')\n", "utf-8"
    )
    path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    process = popen(bundle_path, cwd=tmp_path, environment={"PYTHONPATH": path})
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "uvicorn" in err
    assert "pip install 'kennel-ml[serve]'" in err


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("QUEU", "5", "QUEUE?"),
        ("PORT", "eighty", "whole number"),
        ("QUEUE", "0", "from 1"),
        ("RATE", "nan", "RATE"),
        ("RELOAD", "perhaps", "1 or 0"),
        ("LOG", "loud", "json, text or none"),
        ("KEYS", "a-secret-by-mistake", "sha256sum"),
        ("KEYS_FILE", "/nowhere", "KEYS_FILE"),
    ],
)
def test_a_wrong_setting_does_not_start_and_says_which(
    bundle_path: Path, tmp_path: Path, name: str, value: str, words: str
) -> None:
    process = popen(bundle_path, cwd=tmp_path, environment={f"KENNEL_SERVE_{name}": value})
    _, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert words in err
    assert "a-secret-by-mistake" not in err


def lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def workers_of(running: Running) -> list[int]:
    return running.processes()[1:]


def test_a_killed_worker_is_started_again_and_who_waited_is_served(serve: Serve) -> None:
    running = serve("--workers", "2")
    before = workers_of(running)
    assert len(before) == 2
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    assert running.predict(JPEG).status == 200  # waits in the backlog
    until(lambda: len(workers_of(running)) == 2 and not set(workers_of(running)) & set(before))
    assert running.log("worker ended")["worker"] in (0, 1)


def test_counters_add_up_over_workers_and_never_fall(serve: Serve) -> None:
    running = serve("--workers", "2")
    seen, sent = 0.0, 0

    def counted() -> float:
        text = running.ask("GET", "/metrics").body.decode()
        return sum(metrics(text)["kennel_answers_total"].values())

    for turn in range(60):
        assert running.predict(JPEG).status == 200
        sent += 1
        now = counted()
        assert now >= seen
        seen = now
        if turn in (20, 40):
            time.sleep(0.6)  # what is not yet told to the others dies with a worker
            os.kill(workers_of(running)[0], signal.SIGKILL)
    time.sleep(0.6)
    assert counted() == sent


def test_workers_whose_watchman_dies_end_by_themselves(serve: Serve) -> None:
    running = serve("--workers", "2")
    workers = workers_of(running)
    running.process.kill()
    running.process.wait(10)
    until(lambda: not any(lives(pid) for pid in workers))
    with pytest.raises(ConnectionError):
        running.connect()


def test_a_worker_that_cannot_load_says_why_in_the_log(serve: Serve, own_bundle: Path) -> None:
    """The bundle was replaced by a bad one; the other worker answers on with the old one."""
    running = serve("--workers", "2", bundle=own_bundle)
    whole = (own_bundle / "model.onnx").read_bytes()
    (own_bundle / "model.onnx").write_bytes(b"damaged")
    os.kill(workers_of(running)[0], signal.SIGKILL)

    def told() -> bool:
        rows = [json.loads(line) for line in running.lines if line.startswith("{")]
        return any(row["event"] == "worker ended" and row.get("error") for row in rows)

    until(told)
    assert running.predict(JPEG).status == 200
    (own_bundle / "model.onnx").write_bytes(whole)
    until(lambda: running.ask("GET", "/live").status == 200 and len(workers_of(running)) == 2)


def test_slow_photos_hold_up_neither_others_nor_the_end(serve: Serve) -> None:
    running = serve(grace_seconds="20")
    slow = png_of(8000, 7900)
    threads = [
        threading.Thread(target=_ignoring, args=(running, slow), daemon=True) for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    time.sleep(0.3)
    assert running.ask("GET", "/v2/health/ready").status == 200  # loaded when first asked for
    assert running.predict(JPEG).took_s < 1
    assert running.stop() == 0


def _ignoring(running: Running, photo: bytes) -> None:
    with suppress(OSError):
        running.predict(photo)


def test_a_full_queue_says_when_to_come_again(serve: Serve) -> None:
    running = serve(queue="1")
    slow = png_of(8000, 7900)
    thread = threading.Thread(target=_ignoring, args=(running, slow), daemon=True)
    thread.start()
    time.sleep(0.2)
    reply = running.predict(JPEG)
    thread.join(60)
    assert reply.status == 503
    assert int(reply.headers["retry-after"]) >= 1
    assert running.predict(JPEG).status == 200


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("strace") is None, reason="there is no strace on this machine")
@pytest.mark.usefixtures("unmeasured")
def test_no_file_is_written_whatever_is_sent(bundle_path: Path, tmp_path: Path) -> None:
    """As the kernel sees it: no open for writing, no folder, no new name."""
    from hostile_uploads import attacks

    trace = tmp_path / "trace"
    (tmp_path / "standing").mkdir()
    calls = "open,openat,creat,mkdir,mkdirat,rename,renameat,renameat2,link,linkat,symlink,mknod"
    words = ["strace", "-f", "-qq", "-o", str(trace), "-e", f"trace={calls}"]
    words += [sys.executable, "-m", "kennel", "serve", str(bundle_path), "--port", "0", "--json"]
    environment = {
        **os.environ,
        "PYTHONDONTWRITEBYTECODE": "1",
        "TMPDIR": str(tmp_path / "standing"),
        "KENNEL_SERVE_HEADER_SECONDS": "2",
        "KENNEL_SERVE_BODY_SECONDS": "3",
    }
    process = subprocess.Popen(
        [*words, "--workers", "1"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=tmp_path / "standing",
        env=environment,
    )
    assert process.stdout is not None
    said = json.loads(process.stdout.readline())
    running = Running(process, int(said["url"].rpartition(":")[2]), said)
    for attack in attacks():
        attack.run(running)
    running.ask("GET", "/openapi.json")
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text("ascii")
    for pid in children.split():
        os.kill(int(pid), signal.SIGTERM)
    process.wait(60)
    writes = [
        line
        for line in trace.read_text("utf-8", "replace").splitlines()
        if ("O_WRONLY" in line or "O_RDWR" in line or "O_CREAT" in line or "open" not in line)
        and "= -1" not in line
        and '"/dev/' not in line
        and "resumed" not in line
        and "+++" not in line
        and "---" not in line
    ]
    assert writes == []
