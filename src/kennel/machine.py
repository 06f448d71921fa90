"""What a figure was measured on and with: hardware, versions, commit. Standard library only."""

from __future__ import annotations

import contextlib
import math
import os
import platform
import re
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import kennel

_BUT_LOCKS = (":(top)", ":(top,exclude,glob)**/dvc.lock")
_DIFFER = ("diff", "--name-only", "--no-ext-diff")


def hardware() -> dict[str, str]:
    """Processor, usable cores, memory and system, in words."""
    return {
        "cpu": _cpu_name(),
        "cores": str(usable_cores()),
        "memory_gib": f"{_memory_bytes() / 2**30:.1f}",
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
    }


def versions(names: Sequence[str]) -> dict[str, str]:
    """Versions of Python, Kennel and those of the named distributions that are installed."""
    found = {"python": platform.python_version(), "kennel": kennel.__version__}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def usable_cores(*, cgroup: Path = Path("/sys/fs/cgroup")) -> int:
    """Cores this process may run on: containers and `taskset` allow fewer than the machine has.

    Args:
        cgroup: where a container sees its share of time, such as 1.5 cores (`docker run --cpus`):
            with more threads than that it would be stopped in the middle of each period.
    """
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:  # macOS
        return os.cpu_count() or 1
    try:
        quota, period = (cgroup / "cpu.max").read_text(encoding="utf-8").split()
        return cores if quota == "max" else max(1, min(cores, math.ceil(int(quota) / int(period))))
    except (OSError, ValueError, ZeroDivisionError):  # no container, or an older kind of cgroup
        return cores


def give_back_freed_memory() -> None:
    """Hands what was freed and kept to the system: 560 MiB of 1,140 after a training step that
    failed, all of the old model after a server exchanged it.
    """
    import ctypes

    with contextlib.suppress(OSError, AttributeError):  # another system than Linux with glibc
        ctypes.CDLL(None).malloc_trim(0)


def git_state(folder: Path) -> tuple[str | None, bool | None]:
    """Commit of the repository that `folder` lies in, and whether tracked files differ from it;
    None outside of one.

    dvc.lock does not count: `dvc repro` writes it while it works, and nobody by hand.
    """
    commit = _git(folder, "rev-parse", "HEAD")
    if commit is None:
        return None, None
    differs = _git(folder, "status", "--porcelain", "--untracked-files=no", "--", *_BUT_LOCKS)
    return commit, bool(differs)


def has_commit(folder: Path, commit: str) -> bool:
    """Whether the repository that `folder` lies in holds that commit."""
    whole = re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", commit)  # and never an option of git's
    return whole is not None and _git(folder, "cat-file", "-e", f"{commit}^{{commit}}") is not None


def files_changed_since(folder: Path, commit: str) -> tuple[str, ...] | None:
    """Tracked files of the repository that differ from a commit of it, but for dvc.lock; None
    where git does not say.
    """
    differ = _git(folder, "-c", "core.quotepath=off", *_DIFFER, commit, "--", *_BUT_LOCKS)
    return None if differ is None else tuple(differ.splitlines())


def utc_now() -> str:
    """Now, as 2026-11-23T08:30:00Z."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _git(folder: Path, *words: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *words],
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _cpu_name() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _memory_bytes() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return 0
