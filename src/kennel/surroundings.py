"""What stands around Kennel on a machine and is asked for by its commands: a container engine, a
remote of DVC's. Standard library only; nothing is started, and no network is asked.
"""

from __future__ import annotations

import configparser
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

ENGINES = ("docker", "podman")
WITHOUT = "the verbs run without one (make train, make serve), and make images-check builds images"
PATIENCE_S = 10.0


@dataclass(frozen=True)
class Seen:
    """One thing that was looked for. `fix` is None where it is there."""

    found: str
    fix: str | None = None


def container_engine() -> Seen:
    """The engine that `docker compose` and image builds need: whether it is there and answers."""
    name = next((each for each in ENGINES if shutil.which(each)), None)
    if name is None:
        return Seen("none: neither docker nor podman", f"install Docker or Podman; {WITHOUT}")
    refused, said = _asked(name, "info")
    if refused and "permission denied" in said.lower():
        return Seen(
            f"{name}, to which you may not speak",
            'sudo usermod -aG docker "$(id -un)", and log in again; or a rootless engine',
        )
    if refused:
        return Seen(
            f"{name}, whose engine does not answer",
            f"start it: sudo systemctl start docker, or Docker Desktop; {WITHOUT}",
        )
    if _asked(name, "compose", "version")[0]:
        return Seen(
            f"{name}, without its part compose",
            "install docker-compose-plugin, or podman-compose; docker build and run work",
        )
    return Seen(f"{name}, with compose")


def dvc_remote(folder: Path, *, own: Path | None = None) -> Seen | None:
    """Where the DVC project around a folder keeps its files; None where there is no project.

    Args:
        own: DVC's settings of this user, for all projects; by default where DVC has them.
    """
    home = next((each / ".dvc" for each in _up(folder) if (each / ".dvc").is_dir()), None)
    if home is None:
        return None
    config = configparser.ConfigParser(interpolation=None, strict=False)
    for path in (own or _own_settings(), home / "config", home / "config.local"):
        try:
            config.read(path, encoding="utf-8")
        except (configparser.Error, UnicodeDecodeError):
            return Seen(f"{path} cannot be read", "mend or remove it")
    remotes = [each for each in config.sections() if each.strip("'").startswith("remote ")]
    default = config.get("core", "remote", fallback=None)
    if default is None:
        kept = "no remote" if not remotes else "remotes, and none is the default"
        return Seen(
            f"{kept}: photos and bundles are on this machine alone",
            "dvc remote add --default store s3://BUCKET/PREFIX (docs/guide/data.md), or a folder "
            "on another disk",
        )
    for section in remotes:
        if section.strip("'") == f'remote "{default}"':
            return Seen(f"kept at {config.get(section, 'url', fallback='an address unknown')}")
    return Seen(
        f"the default remote {default} is described nowhere",
        f"dvc remote add --default {default} s3://BUCKET/PREFIX",
    )


def _own_settings() -> Path:
    named = os.environ.get("DVC_GLOBAL_CONFIG_DIR")
    if named:
        return Path(named) / "config"
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "dvc" / "config"


def _asked(*words: str) -> tuple[bool, str]:
    """Whether a command failed, and what it said."""
    try:
        done = subprocess.run(
            words, capture_output=True, text=True, timeout=PATIENCE_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return True, str(error)
    return done.returncode != 0, done.stderr + done.stdout


def _up(folder: Path) -> tuple[Path, ...]:
    here = folder.resolve()
    return (here, *here.parents)
