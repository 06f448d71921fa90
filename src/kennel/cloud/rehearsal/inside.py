"""The first steps of a container, in namespaces of its own: `unshare ... python inside.py '{...}'`.

Mounts the image's root read-only, /tmp as the one place to write, a /proc and a bare /dev; becomes
the image's user, without a privilege; then is the image's command, as process 1. With several
commands it stays process 1 and starts each, as the service of AWS Lambda does.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

DEVICES = ("full", "null", "random", "urandom", "zero")
NO_NEW_PRIVILEGES = 38  # prctl(2)


def main(said: str) -> None:
    container = json.loads(said)
    furnish(Path(container["root"]), container["mounts"], container["scratch_bytes"])
    os.chroot(container["root"])
    os.chdir(container["workdir"])
    os.setgroups([])
    os.setgid(container["gid"])
    os.setuid(container["uid"])
    ctypes.CDLL(None).prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    first, *more = container["commands"]
    if not more:
        os.execvpe(first[0], first, container["environment"])  # noqa: S606
    watch(container["commands"], container["environment"])


def furnish(root: Path, mounts: list[dict[str, Any]], scratch_bytes: int) -> None:
    mount("--make-rprivate", "/")
    mount("--bind", root, root)
    mount("-o", "remount,bind,ro,nosuid", root)
    mount("-t", "proc", "-o", "nosuid,nodev,noexec", "proc", root / "proc")
    mount("-t", "tmpfs", "-o", f"nosuid,nodev,mode=1777,size={scratch_bytes}", "tmp", root / "tmp")
    mount("-t", "tmpfs", "-o", "nosuid,mode=755,size=64k", "dev", root / "dev")
    for name in DEVICES:
        (root / "dev" / name).touch()
        mount("--bind", Path("/dev") / name, root / "dev" / name)
    for each in mounts:
        target = root / each["target"].lstrip("/")
        if target.is_relative_to(root / "dev"):
            target.mkdir()
        mount("--bind", each["source"], target)
        if each["read_only"]:
            mount("-o", "remount,bind,ro", target)


def mount(*words: object) -> None:
    subprocess.run(["mount", *map(str, words)], check=True)


def watch(commands: list[list[str]], environment: dict[str, str]) -> None:
    """Ends with the last command, and ends all with SIGTERM."""
    running = [subprocess.Popen(words, env=environment) for words in commands]

    def stop(*_: object) -> None:
        for each in running:
            each.terminate()

    signal.signal(signal.SIGTERM, stop)
    sys.exit(running[-1].wait())


if __name__ == "__main__":
    main(sys.argv[1])
