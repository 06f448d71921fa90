"""A container without an engine: an image's files and settings, run in namespaces of their own.

Stricter than what engines do by default: the root cannot be written, there is no privilege and no
shared memory. The network is this machine's.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
NAMESPACES = ("--mount", "--pid", "--fork", "--ipc", "--uts", "--kill-child")


@dataclass(frozen=True)
class Image:
    """What is built.

    Attributes:
        root: its files, mounted.
        config: the image's own: `Entrypoint`, `Cmd`, `Env`, `User`, `Labels`, `Healthcheck`, ...
    """

    root: Path
    config: Mapping[str, object]

    def words(self, name: str) -> list[str]:
        found = self.config.get(name) or []
        return [str(word) for word in found] if isinstance(found, list) else []

    @property
    def environment(self) -> dict[str, str]:
        return dict(line.split("=", 1) for line in self.words("Env"))

    @property
    def labels(self) -> dict[str, str]:
        found = self.config.get("Labels") or {}
        return (
            {str(name): str(said) for name, said in found.items()}
            if isinstance(found, dict)
            else {}
        )

    @property
    def health(self) -> list[str]:
        """Words of its health check."""
        found = self.config.get("Healthcheck") or {}
        test = found.get("Test", []) if isinstance(found, dict) else []
        return [str(word) for word in test[1:]] if test[:1] == ["CMD"] else []


@dataclass(frozen=True)
class Mount:
    source: Path
    target: str
    read_only: bool = True


@dataclass
class Container:
    """A running one. `first` is the number that its process 1 has outside."""

    process: subprocess.Popen[bytes]
    log: Path
    first: int
    began: float = field(default_factory=time.monotonic)

    def said(self) -> str:
        return self.log.read_text(errors="replace")

    def stop(self, *, timeout_s: float) -> tuple[int, float]:
        """SIGTERM to its process 1, as engines do. Returns: how it ended, and after how long.

        Raises:
            subprocess.TimeoutExpired: it did not end; it is killed.
        """
        began = time.monotonic()
        os.kill(self.first, signal.SIGTERM)
        try:
            code = self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()
            raise
        return code, time.monotonic() - began

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()  # and with it, by --kill-child, all that is inside
            self.process.wait()


def start(
    image: Image,
    *,
    log: Path,
    arguments: Sequence[str] | None = None,
    commands: Sequence[Sequence[str]] | None = None,
    environment: Mapping[str, str] | None = None,
    mounts: Sequence[Mount] = (),
    user: tuple[int, int] | None = None,
    scratch_bytes: int = 64 * 2**20,
) -> Container:
    """Starts a container.

    Args:
        log: file for what it says.
        arguments: instead of the image's own words behind its entry point.
        commands: instead of entry point and arguments; several run beside each other.
        environment: besides the image's own.
        user: instead of the image's own.
    """
    own = [*image.words("Entrypoint"), *(image.words("Cmd") if arguments is None else arguments)]
    uid, gid = user or (int(part) for part in str(image.config["User"]).split(":"))
    said = {
        "root": str(image.root),
        "commands": [list(words) for words in (commands or [own])],
        "environment": {**image.environment, **(environment or {})},
        "workdir": image.config.get("WorkingDir") or "/",
        "uid": uid,
        "gid": gid,
        "mounts": [
            {"source": str(each.source), "target": each.target, "read_only": each.read_only}
            for each in mounts
        ],
        "scratch_bytes": scratch_bytes,
    }
    words = [
        "unshare",
        *NAMESPACES,
        sys.executable,
        "-I",
        str(HERE / "inside.py"),
        json.dumps(said),
    ]
    with log.open("wb") as file:
        began = time.monotonic()
        process = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=file, stderr=file, process_group=0
        )
    return Container(process, log, _first(process), began)


def run(image: Image, *, log: Path, timeout_s: float = 600.0, **how: object) -> tuple[int, str]:
    """Starts a container and waits for its end. Returns: how it ended, and what it said."""
    container = start(image, log=log, **how)  # type: ignore[arg-type]
    try:
        return container.process.wait(timeout_s), container.said()
    finally:
        container.kill()


def inside(container: Container, words: Sequence[str], *, image: Image) -> int:
    """Runs a command in a container that runs, as `docker exec` does. Returns: how it ended."""
    user, _, group = str(image.config["User"]).partition(":")
    enter = ["nsenter", "--target", str(container.first), "--mount", "--pid", "--ipc", "--uts"]
    enter += [f"--root=/proc/{container.first}/root", "--setuid", user, "--setgid", group]
    there = {**image.environment, **_environment_of(container.first)}
    with container.log.open("ab") as file:
        return subprocess.run(
            [*enter, *words], env=there, stdout=file, stderr=file, check=False
        ).returncode


def states(container: Container) -> dict[int, str]:
    """State of each process inside ("Z": a zombie), by its number there."""
    found, namespace = {}, Path(f"/proc/{container.first}/ns/pid").readlink()
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if (path / "ns" / "pid").readlink() == namespace:
                lines = (path / "status").read_text().splitlines()
                said = dict(line.split(":", 1) for line in lines)
                found[int(said["NSpid"].split()[-1])] = said["State"].split()[0]
        except OSError:
            continue  # it ended meanwhile
    return found


def _environment_of(pid: int) -> dict[str, str]:
    pairs = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    return dict(pair.decode().split("=", 1) for pair in pairs if b"=" in pair)


def _first(process: subprocess.Popen[bytes]) -> int:
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    while process.poll() is None:
        try:
            if found := children.read_text().split():
                return int(found[0])
        except OSError:
            break
        time.sleep(0.002)
    return process.pid  # it ended; what it said says why
