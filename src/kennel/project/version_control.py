"""git around a project: a repository, and a first commit by whoever git knows."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

LONGEST_S = 120.0  # a hook or a signature of the user's may ask for something
# Variables that name another repository, as git's hooks have them.
ELSEWHERE = (
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_DIR",
    "GIT_INDEX_FILE",
    "GIT_NAMESPACE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_PREFIX",
    "GIT_WORK_TREE",
)


def has_git() -> bool:
    return shutil.which("git") is not None


def repository_around(folder: Path) -> Path | None:
    """The root of the git repository that a folder would lie in and be seen by; None for none."""
    above = next(each for each in (folder, *folder.parents) if each.is_dir())
    code, root = _git(above, "rev-parse", "--show-toplevel")
    if code != 0 or not root:
        return None
    ignored, _ = _git(above, "check-ignore", "-q", "--", str(folder))
    return None if ignored == 0 else Path(root)


def start(folder: Path) -> str | None:
    """Makes a repository with the branch main. What git says where it cannot; None when done."""
    for words in (["init", "-q"], ["symbolic-ref", "HEAD", "refs/heads/main"]):
        code, said = _git(folder, *words)
        if code != 0:
            return said
    return None


def knows_the_user(folder: Path) -> bool:
    """Whether git has a name and an address for a commit, and need not guess them."""
    asked = (("user.name", "GIT_AUTHOR_NAME"), ("user.email", "GIT_AUTHOR_EMAIL"))
    return all(
        os.environ.get(variable) or _git(folder, "config", key)[1] for key, variable in asked
    )


def commit(folder: Path, message: str) -> tuple[str | None, str]:
    """Commits everything in a folder: (the commit, "") or (None, what git says)."""
    # --force: what a user leaves out of all repositories is still part of this one's beginning.
    for words in (["add", "--force", "--", "."], ["commit", "-q", "-m", message]):
        code, said = _git(folder, *words)
        if code != 0:
            return None, said
    return _git(folder, "rev-parse", "--short", "HEAD")[1], ""


def _git(folder: Path, *words: str) -> tuple[int, str]:
    """How git ends, and the last line that it says."""
    command: Sequence[str] = ("git", *words)
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env={**{k: v for k, v in os.environ.items() if k not in ELSEWHERE}, "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
            timeout=LONGEST_S,
        )
    except subprocess.TimeoutExpired:
        return 124, f"git {words[0]} did not end within {LONGEST_S:.0f} s"
    except OSError as error:
        return 127, f"git: {error.strerror or error}"
    lines = os.fsdecode(done.stdout).strip().splitlines()
    return done.returncode, lines[-1] if lines else ""
