"""An image with this machine's Python, sh and pip and nothing else, in the place of a base image.

Made of files that lie here, so that a build needs neither an engine nor a registry.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pip

BUILDAH = ("buildah", "--storage-driver", "vfs")
# Of Python's own library: what no build needs.
UNUSED = ("test", "tests", "__pycache__", "*-packages", "idlelib", "tkinter", "lib2to3", "config-*")
NAME = "localhost/stand-in:latest"


def buildah(*words: str, store: Path) -> subprocess.CompletedProcess[str]:
    """buildah with a store of its own: no image of the machine's is seen or changed."""
    where = ("--root", str(store / "root"), "--runroot", str(store / "run"))
    return subprocess.run(
        [*BUILDAH, *where, *words],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "BUILDAH_ISOLATION": "chroot"},
    )


def why_not() -> str | None:
    """Why no image can be built here, or nothing."""
    if shutil.which("buildah") is None:
        return "there is no buildah here"
    if os.geteuid() != 0:
        return "buildah builds in a chroot as root alone"
    if not sys.platform.startswith("linux"):
        return "buildah builds on Linux alone"
    return None


def make(store: Path) -> None:
    """The image NAME, with `python` and `sh`, in a store."""
    tree = store / "tree"
    library = Path(sysconfig.get_path("stdlib", vars={"installed_base": sys.base_prefix}))
    program = Path(sys._base_executable).resolve()  # type: ignore[attr-defined]
    shell = Path("/bin/sh").resolve()
    skipped = shutil.ignore_patterns(*UNUSED)
    modules = [path for path in library.glob("lib-dynload/*.so") if "_tkinter" not in path.name]
    shutil.copytree(library, tree / library.relative_to("/"), ignore=skipped)
    shutil.copytree(
        Path(pip.__file__).parent,
        tree / library.relative_to("/") / "pip",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    for path in {program, shell, *libraries(program, shell, *modules)}:
        to = tree / path.relative_to("/")
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, to)
    for link, to in {"/usr/local/bin/python": program, "/bin/sh": shell}.items():
        here = tree / link.removeprefix("/")
        here.parent.mkdir(parents=True, exist_ok=True)
        if not here.exists():
            here.symlink_to(to)
    for folder in ("tmp", "etc", "proc", "dev", "sys", "root"):
        (tree / folder).mkdir(exist_ok=True)
    (tree / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\n", encoding="utf-8")
    (tree / "Dockerfile").write_text(
        "FROM scratch\nCOPY . /\nENV PATH=/usr/local/bin:/usr/bin:/bin\n"
    )
    done = buildah("bud", "--tag", NAME, str(tree), store=store)
    assert done.returncode == 0, done.stderr
    shutil.rmtree(tree)


def libraries(*programs: Path) -> set[Path]:
    """What a program is linked with, as the paths it looks for."""
    said = subprocess.run(
        ["ldd", *map(str, programs)], capture_output=True, text=True, check=False
    ).stdout
    return {Path(path) for path in re.findall(r"(?:=>|^)\s*(/\S+) \(0x", said, re.MULTILINE)}
