"""What kennel-serve and kennel-ui must do as containers, and kennel-serve as a Lambda function."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kennel.cloud.rehearsal import runtime
from kennel.cloud.rehearsal.container import Container, Image, Mount, inside, start, states

LONGEST_S = 60.0
STOP_S = 10.0  # what `docker stop` gives
LAMBDA_USER = (993, 990)  # nobody's in the image, as AWS has it
NOT_THERE = ("torch", "pip", "setuptools", "onnx", "gradio")
COMPILERS = ("gcc", "cc", "clang", "c++", "make", "ld")
Say = Callable[[str, str], None]


def check_serve(
    image: Image, *, bundle: Path, photo: Path, expected: dict[str, Any], scratch: Path, say: Say
) -> None:
    what_is_in_it(image, bundle=bundle, say=say)
    baked_in(image, photo=photo, expected=expected, scratch=scratch, say=say)
    mounted(image, bundle=bundle, photo=photo, expected=expected, scratch=scratch, say=say)
    as_a_function(image, photo=photo, expected=expected, scratch=scratch, say=say)


def what_is_in_it(image: Image, *, bundle: Path, say: Say) -> None:
    site = next((image.root / "opt/kennel/lib").glob("python3*/site-packages"))
    system = [image.root / part for part in ("usr/lib", "usr/local/lib")]
    found = [
        name for name in NOT_THERE for at in (site, *_libraries(system)) if (at / name).exists()
    ]
    folders = [image.root / part for part in ("usr/bin", "usr/local/bin", "opt/kennel/bin")]
    found += [name for name in COMPILERS for at in folders if (at / name).exists()]
    assert not found, f"the image has {', '.join(found)}"
    told = json.loads((bundle / "bundle.json").read_text())["bundle_id"]
    assert image.labels["kennel.bundle_id"] == told, image.labels
    assert image.config["User"] == "1000:1000", image.config["User"]
    secret = [path for path in ("etc/pip.conf", "etc/ca.pem") if (image.root / path).exists()]
    assert not secret, f"a build's secrets are in the image: {secret}"
    special = [path for path in _files(image.root) if path.stat().st_mode & 0o6000]
    assert not special, f"files that give privileges: {special}"
    say("serve", "has no torch, no pip, no compiler, no file that gives privileges")
    labels = {
        name: image.labels[f"org.opencontainers.image.{name}"] for name in ("version", "revision")
    }
    assert labels["version"], "its label of the version is empty"
    say(
        "serve",
        f"labels: bundle {told}, version {labels['version']}, revision {labels['revision']}",
    )


def baked_in(
    image: Image, *, photo: Path, expected: dict[str, Any], scratch: Path, say: Say
) -> None:
    """The bundle in the image, as it is started by itself: `docker run kennel-serve`."""
    port = free_port()
    settings = {"KENNEL_SERVE_PORT": str(port), "KENNEL_SERVE_WORKERS": "1"}
    container = start(image, log=scratch / "baked.log", environment=settings)
    try:
        took = until_ready(container, port)
        say(
            "serve",
            f"ready {took:.2f} s after its start: user 1000, read-only root, process 1, one worker",
        )
        same(answer(port, photo), expected)
        say(
            "serve",
            f"answers as kennel predict does: {expected['label']} {expected['probability']}",
        )
        assert inside(container, image.health, image=image) == 0, container.said()
        say("serve", "its health check passes")
        assert (
            inside(
                container,
                ["sh", "-c", "! touch /work/x && ! touch /opt/x && ! touch /etc/x"],
                image=image,
            )
            == 0
        )
        left = inside(container, ["sh", "-c", 'test -z "$(ls -A /tmp)"'], image=image)
        assert left == 0, "it wrote something into /tmp"
        say("serve", "wrote nothing, and could not have")
        inside(container, ["sh", "-c", "sleep 0.2 &"], image=image)
        until = time.monotonic() + LONGEST_S
        time.sleep(0.4)
        while "Z" in states(container).values():
            assert time.monotonic() < until, f"zombies: {states(container)}"
            time.sleep(0.05)
        say("serve", "buries processes whose parent died")
        code, took = container.stop(timeout_s=STOP_S)
        assert code == 0, f"SIGTERM ended it with {code}: {container.said()}"
        say("serve", f"SIGTERM ended it with 0 after {took:.2f} s")
    finally:
        container.kill()


def mounted(
    image: Image, *, bundle: Path, photo: Path, expected: dict[str, Any], scratch: Path, say: Say
) -> None:
    """A folder of bundles, mounted, and one of them named."""
    bundles = scratch / "bundles"
    (bundles / "one").mkdir(parents=True)
    port = free_port()
    settings = {"KENNEL_SERVE_PORT": str(port), "KENNEL_SERVE_WORKERS": "2"}
    mounts = [Mount(bundles, "/bundles"), Mount(bundle, "/bundles/one")]
    container = start(
        image,
        log=scratch / "mounted.log",
        arguments=["/bundles/one"],
        environment=settings,
        mounts=mounts,
    )
    try:
        took = until_ready(container, port)
        same(answer(port, photo), expected)
        say(
            "serve",
            f"answers the same from a mounted bundle, ready after {took:.2f} s with two workers",
        )
        code, took = container.stop(timeout_s=STOP_S)
        assert code == 0, f"SIGTERM ended it with {code}: {container.said()}"
    finally:
        container.kill()
    # No server, no health; and a container that is told to stop while it still starts does.
    failed = start(image, log=scratch / "ill.log", commands=[image.health], environment=settings)
    assert failed.process.wait(LONGEST_S) != 0, "its health check passes where nothing answers"
    early = start(image, log=scratch / "early.log", environment=settings)
    until_heard(early)
    code, took = early.stop(timeout_s=STOP_S)
    assert code in (0, 128 + signal.SIGTERM), f"{code}: {early.said()}"
    say(
        "serve",
        f"SIGTERM while it starts ended it with {code} after {took:.2f} s; no server, no health",
    )


def as_a_function(
    image: Image, *, photo: Path, expected: dict[str, Any], scratch: Path, say: Say
) -> None:
    """As AWS Lambda runs it: another user, extensions beside it, events by its Runtime API."""
    extensions = sorted((image.root / "opt/extensions").iterdir())
    assert extensions, "there is no adapter in /opt/extensions"
    port = free_port()  # the machine's ports are shared here; in Lambda it is the image's own 8080
    assert image.environment["AWS_LWA_PORT"] == image.environment["KENNEL_SERVE_PORT"] == "8080"
    with runtime.service() as service:
        settings = {
            "AWS_LAMBDA_RUNTIME_API": service.address,
            "AWS_LAMBDA_FUNCTION_NAME": "kennel",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "2048",
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/kennel",
            "AWS_LAMBDA_LOG_STREAM_NAME": "1",
            "AWS_LWA_PORT": str(port),
            "KENNEL_SERVE_PORT": str(port),
            "KENNEL_SERVE_WORKERS": "1",
        }
        entry = [*image.words("Entrypoint"), *image.words("Cmd")]
        commands = [[f"/opt/extensions/{path.name}"] for path in extensions] + [entry]
        began = time.monotonic()
        container = start(
            image,
            log=scratch / "lambda.log",
            commands=commands,
            environment=settings,
            user=LAMBDA_USER,
        )
        try:
            assert service.asked.wait(LONGEST_S), f"it never asked for an event: {container.said()}"
            cold = time.monotonic() - began
            asked: dict[str, Any] = {"timeout_s": LONGEST_S}
            content = photo.read_bytes()
            first = service.request(
                "POST", "/predict", query="top=3", body=content, kind="image/jpeg", **asked
            )
            assert first.status == 200, first
            same(json.loads(first.body), expected)
            page = service.request("GET", "/", **asked)
            assert page.status == 200, page
            assert page.headers["content-type"].startswith("text/html"), page.headers
            refused = service.request("POST", "/predict", body=b"text", kind="text/plain", **asked)
            assert refused.status == 415, refused
            assert service.extensions == ["lambda-adapter"], service.extensions
            assert not service.errors, service.errors
            say(
                "lambda",
                f"asks for an event {cold:.2f} s after its start; answers as kennel predict does",
            )
            container.stop(timeout_s=STOP_S)
        finally:
            container.kill()


def check_ui(
    image: Image, *, bundle: Path, photo: Path, expected: dict[str, Any], scratch: Path, say: Say
) -> None:
    port = free_port()
    entry = [*image.words("Entrypoint"), *image.words("Cmd")]
    words = [str(port) if word == "7860" else word for word in entry]
    container = start(image, log=scratch / "ui.log", commands=[words])
    try:
        took = until_ready(container, port, path="/")
        said = ask(port, "GET", "/gradio_api/info")
        assert said[0] == 200, said
        assert "/predict" in json.loads(said[1])["named_endpoints"], said
        say("ui", f"ready {took:.2f} s after its start, and offers /predict for {bundle.name}")
        code, took = container.stop(timeout_s=STOP_S)
        say("ui", f"SIGTERM ended it with {code} after {took:.2f} s")
    finally:
        container.kill()


def same(said: dict[str, Any], expected: dict[str, Any]) -> None:
    """The same answer; probabilities to a millionth, as libraries of other versions may round."""
    for name in ("label", "known", "bundle"):
        assert said[name] == expected[name], (
            f"{name} is {said[name]}, kennel predict says {expected[name]}"
        )
    difference = abs(said["probability"] - expected["probability"])
    assert difference < 1e-6, (
        f"the probability is {said['probability']}, not {expected['probability']}"
    )


def answer(port: int, photo: Path) -> dict[str, Any]:
    status, body = ask(port, "POST", "/predict", photo.read_bytes(), {"content-type": "image/jpeg"})
    assert status == 200, body
    said: dict[str, Any] = json.loads(body)
    return said


def ask(
    port: int,
    method: str,
    path: str,
    body: bytes | None = None,
    headers: dict[str, str] | None = None,
) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=LONGEST_S)
    try:
        connection.request(method, path, body, headers or {})
        reply = connection.getresponse()
        return reply.status, reply.read()
    finally:
        connection.close()


def until_ready(container: Container, port: int, *, path: str = "/ready") -> float:
    """Seconds from its start."""
    while time.monotonic() < container.began + LONGEST_S:
        assert container.process.poll() is None, f"it ended: {container.said()}"
        try:
            if ask(port, "GET", path)[0] == 200:
                return time.monotonic() - container.began
        except (OSError, http.client.HTTPException):
            pass
        time.sleep(0.01)
    raise AssertionError(f"it was not ready after {LONGEST_S:.0f} s: {container.said()}")


def until_heard(container: Container) -> None:
    """Until its process 1 is Kennel and has a handler for SIGTERM."""
    until = time.monotonic() + LONGEST_S
    while time.monotonic() < until:
        assert container.process.poll() is None, f"it ended: {container.said()}"
        status = Path(f"/proc/{container.first}/status").read_text().splitlines()
        [caught] = [line.split()[1] for line in status if line.startswith("SigCgt:")]
        if int(caught, 16) >> (signal.SIGTERM - 1) & 1:
            return
        time.sleep(0.001)
    raise AssertionError("SIGTERM is not heard")


def free_port() -> int:
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        return int(door.getsockname()[1])


def _libraries(folders: list[Path]) -> list[Path]:
    found = [path for folder in folders for path in folder.glob("python3*")]
    return found + [path / part for path in found for part in ("site-packages", "dist-packages")]


def _files(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if path.is_file() and not path.is_symlink()]
