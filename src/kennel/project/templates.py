"""Which files a project begins with: this repository's own, and those that only projects have.

An installed Kennel has the repository's files beside this one, where the build put them
(tools/wheel.py); a checkout has them at its root. The list of them stands in pyproject.toml.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from kennel.errors import KennelError

HERE = Path(__file__).parent
SHIPPED = HERE / "repository"  # in a wheel
CHECKOUT = HERE.parents[2]  # in a checkout
OWN = HERE / "own"  # what only projects have
WORKFLOWS = ".github"


@dataclass(frozen=True)
class Template:
    """A file. `path` is relative to the project; `shared` whether it is the repository's too."""

    path: str
    file: Path
    shared: bool


def checkout() -> Path | None:
    """The checkout that this Kennel is run from; None where it was installed."""
    return CHECKOUT if not SHIPPED.is_dir() and (CHECKOUT / "pyproject.toml").is_file() else None


def templates() -> tuple[Template, ...]:
    """The files of a project, sorted by path.

    Raises:
        KennelError: they were not installed with Kennel.
    """
    root = checkout()
    found = list(_in_folder(OWN, shared=False))
    if root is not None:
        for name in _listed(root / "pyproject.toml"):
            path = root / name
            if path.is_dir():
                found += (_renamed(each, name) for each in _in_folder(path, shared=True))
            else:
                found.append(Template(name, path, shared=True))
    elif SHIPPED.is_dir():
        found += _in_folder(SHIPPED, shared=True)
    else:
        raise KennelError(
            f"this Kennel has no files for a project: {SHIPPED} is missing.",
            fix="pip install --force-reinstall --no-deps kennel-ml",
        )
    return tuple(sorted(found, key=lambda each: each.path))


def _listed(pyproject: Path) -> list[str]:
    """Files and folders of the repository that projects get."""
    told = tomllib.loads(pyproject.read_text(encoding="utf-8"))
    listed: list[str] = told["tool"]["hatch"]["build"]["hooks"]["custom"]["project-files"]
    return listed


def _in_folder(folder: Path, *, shared: bool) -> Iterator[Template]:
    for file in sorted(folder.rglob("*")):
        if file.is_file() and "__pycache__" not in file.parts:
            yield Template(file.relative_to(folder).as_posix(), file, shared)


def _renamed(each: Template, below: str) -> Template:
    return Template(f"{below}/{each.path}", each.file, each.shared)
