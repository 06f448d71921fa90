"""How Kennel gets into a Space: by a line of requirements.txt, or as a wheel that lies in it."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from kennel.errors import KennelError, UsageError
from kennel.project.requirement import requirement

EDITABLE = "-e "


@dataclass(frozen=True)
class Kennel:
    """Either `line`, of requirements.txt, or `wheel`, a file; the other is None."""

    line: str | None = None
    wheel: Path | None = None


def which_kennel(named: str | None, *, scratch: Path) -> Kennel:
    """The Kennel that a Space runs.

    Args:
        named: a wheel, a checkout, "kennel-ml==VERSION", a git address with a commit; or None, the
            Kennel that is running.
        scratch: an empty folder, for the wheel of a checkout: no other machine has that.
    Raises:
        UsageError: it is none of these, or of another version.
        KennelError: the wheel cannot be built.
    """
    found = requirement(named)
    if found.file is not None:
        if found.file.suffix != ".whl":
            raise UsageError(
                f"{found.file} has to be built first, and a Space does not build.",
                fix=f"a wheel: pip wheel --no-deps {found.file}",
            )
        return Kennel(wheel=found.file)
    if found.line.startswith(EDITABLE):
        checkout = Path(unquote(urlsplit(found.line.removeprefix(EDITABLE)).path))
        return Kennel(wheel=_built(checkout, scratch))
    return Kennel(line=found.line)


def _built(checkout: Path, scratch: Path) -> Path:
    """The wheel of a checkout; the same bytes for the same files."""
    by_hand = f"uv build --wheel --out-dir dist {checkout}, and --kennel dist/kennel_ml-*.whl"
    if importlib.util.find_spec("hatchling") is None:
        raise KennelError(
            f"Kennel runs from the checkout {checkout}, which no Space has, and hatchling, which "
            "makes a wheel of it, is not installed.",
            fix=f"pip install hatchling; or {by_hand}",
        )
    words = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(scratch)]
    done = subprocess.run(words, cwd=checkout, capture_output=True, text=True, check=False)
    wheels = sorted(scratch.glob("*.whl"))
    if done.returncode or len(wheels) != 1:
        said = (done.stderr or done.stdout).strip().splitlines()[-1:] or ["nothing was said"]
        raise KennelError(f"no wheel can be made of {checkout}: {said[0]}", fix=by_hand)
    return wheels[0]
