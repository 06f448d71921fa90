"""Which Kennel a project pins: the one that makes it, or the one that is named."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from urllib.parse import unquote, urlsplit

import kennel
from kennel.errors import UsageError
from kennel.project.templates import checkout
from kennel.writing import file_sha256

NAME = "kennel-ml"
WHEELS = "wheels"  # in a project: a Kennel that lies in no index
BUILT = re.compile(r"kennel_ml-([^-]+?)(?:-py3-none-any\.whl|\.tar\.gz)")
PINNED = re.compile(r"kennel[-_.]ml(?:\[[a-z,]*\])?\s*==\s*([^\s;,*]+)", re.IGNORECASE)
COMMIT = re.compile(r"git\+https://\S+@[0-9a-f]{40}")


@dataclass(frozen=True)
class Requirement:
    """A Kennel.

    Attributes:
        line: as requirements files have it.
        file: a wheel or sdist that the project keeps a copy of in wheels/; or None.
        note: what does not hold elsewhere than here; or None.
    """

    line: str
    file: Path | None = None
    note: str | None = None


def requirement(named: str | None) -> Requirement:
    """The Kennel that a project pins.

    Args:
        named: a wheel, an sdist or a checkout, as a path; "kennel-ml==VERSION"; a git address with
            a commit; or None, the Kennel that is running.
    Raises:
        UsageError: it is none of these, or not of this version, which the lock belongs to.
    """
    if named is None:
        return _of_this()
    path = Path(named).expanduser()
    if path.is_dir():
        return _of_checkout(path)
    if path.is_file():
        return _of_file(path)
    if COMMIT.fullmatch(named):
        return Requirement(f"{NAME} @ {named}")
    pinned = PINNED.fullmatch(named.strip())
    if pinned:
        _refuse_another_version(pinned[1], named)
        return Requirement(f"{NAME}=={pinned[1]}")
    raise UsageError(
        f"--kennel {named!r} is no file, no folder and no pinned version.",
        fix=f"a wheel, a checkout, {NAME}=={kennel.__version__}, or git+https://...@COMMIT",
    )


def _of_this() -> Requirement:
    """The Kennel that is running, from where it came (PEP 610 says so of what came from a file)."""
    root = checkout()
    if root is not None:
        return _of_checkout(root)
    came = _came_from()
    if came is not None and came.is_file() and BUILT.fullmatch(came.name):
        return _of_file(came)
    if came is not None and (came / "pyproject.toml").is_file():
        return _of_checkout(came)
    return Requirement(f"{NAME}=={kennel.__version__}")


def _came_from() -> Path | None:
    """The file or folder on this machine that pip or uv installed this Kennel from."""
    try:
        installed: Distribution = distribution(NAME)
        told = json.loads(installed.read_text("direct_url.json") or "{}")
        address = urlsplit(told.get("url", ""))
    except (PackageNotFoundError, ValueError, AttributeError):
        return None
    return Path(unquote(address.path)) if address.scheme == "file" else None


def _of_checkout(path: Path) -> Requirement:
    told = path / "pyproject.toml"
    if not told.is_file() or f'name = "{NAME}"' not in told.read_text(encoding="utf-8"):
        raise UsageError(
            f"{path} is no checkout of Kennel.",
            fix="name its root, or a wheel that was built of it: pip wheel --no-deps CHECKOUT",
        )
    return Requirement(
        f"-e {path.resolve().as_uri()}",
        note=f"kennel.txt names the checkout {path.resolve()}, which only this machine has; "
        "kennel init --kennel WHEEL makes a project for all",
    )


def _of_file(path: Path) -> Requirement:
    built = BUILT.fullmatch(path.name)
    if not built:
        raise UsageError(
            f"{path} is no wheel and no sdist of Kennel, by its name.",
            fix="kennel_ml-VERSION-py3-none-any.whl: pip wheel --no-deps CHECKOUT",
        )
    _refuse_another_version(built[1], str(path))
    return Requirement(f"./{WHEELS}/{path.name} --hash=sha256:{file_sha256(path)}", file=path)


def _refuse_another_version(version: str, named: str) -> None:
    if version != kennel.__version__:
        raise UsageError(
            f"--kennel {named} is Kennel {version}; this is {kennel.__version__}, and so is the "
            "lock that the project gets.",
            fix=f"install that Kennel, then its own kennel init; or {NAME}=={kennel.__version__}",
        )
