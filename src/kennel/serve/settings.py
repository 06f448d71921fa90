"""What the environment says of the server: `KENNEL_SERVE_*`, each checked, a wrong name refused."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from kennel.errors import UsageError
from kennel.machine import usable_cores

PREFIX = "KENNEL_SERVE_"
MIB = 2**20


@dataclass(frozen=True)
class Settings:
    """How a server behaves. A field `name` is read from `KENNEL_SERVE_NAME`.

    Attributes:
        host: address to listen at.
        port: 0 takes a free one.
        workers: processes, each with the model and a thread that answers.
        queue: photos that wait or are being answered in a worker; the next gets 503.
        bytes: of a request's body, at most.
        pixels: width times height of a photo, at most; looked at before it is decoded.
        header_seconds: for a request's line and headers to arrive.
        body_seconds: for its body.
        keepalive_seconds: that an idle connection stays open.
        grace_seconds: that requests have to finish when the server is stopped.
        connections: open at once in a worker; the next are closed.
        held_bytes: of bodies that a worker holds at once; beyond, 503.
        rate: requests a second that one client (by key, else by address) may send to /predict and
            /v2; 0 is no limit. `burst` of them may come at once.
        keys: sha256 of each API key, in hex, with commas between; none: no key is needed.
        keys_file: a file with one such a line, lines that begin with # left out.
        cors: origins whose pages may ask, with commas between, or *.
        reload: whether POST /-/reload swaps the bundle; SIGHUP always does.
        root_path: what a proxy puts before every path.
        proxies: addresses of proxies whose X-Forwarded-For is believed, with commas between, or *.
        log: json, text or none: a line a request on stderr.
    """

    host: str = "127.0.0.1"
    port: int = 8080
    workers: int = 0
    queue: int = 64
    bytes: int = 10 * MIB
    pixels: int = 64_000_000
    header_seconds: float = 10.0
    body_seconds: float = 30.0
    keepalive_seconds: float = 15.0
    grace_seconds: float = 30.0
    connections: int = 512
    held_bytes: int = 256 * MIB
    rate: float = 0.0
    burst: int = 20
    keys: tuple[str, ...] = ()
    keys_file: str = ""
    cors: tuple[str, ...] = ()
    reload: bool = False
    root_path: str = ""
    proxies: tuple[str, ...] = ()
    log: str = "json"

    def __post_init__(self) -> None:
        least = {"workers": 0, "port": 0, "rate": 0, "keepalive_seconds": 0, "grace_seconds": 0}
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, bool) or not isinstance(value, int | float):
                continue
            low = least.get(field.name, 1 if isinstance(value, int) else 0.001)
            if not low <= value < math.inf:
                raise _wrong(field.name, value, f"a number from {low}")
        if self.port > 65_535:
            raise _wrong("port", self.port, "a port, 0 to 65535")
        if self.log not in ("json", "text", "none"):
            raise _wrong("log", self.log, "json, text or none")
        for key in self.keys:
            if not re.fullmatch(r"[0-9a-f]{64}", key):
                # The value may be the key itself, written there by mistake: it is not repeated.
                raise UsageError(
                    f"{PREFIX}KEYS, or the file of keys, holds a word of {len(key)} letters that "
                    "is no sha256.",
                    fix="write each key's hash: printf %s KEY | sha256sum",
                )
        if self.root_path and not re.fullmatch(r"(/[\w.~-]+)+", self.root_path):
            raise _wrong("root_path", self.root_path, "a path such as /dogs")
        if self.workers == 0:
            object.__setattr__(self, "workers", usable_cores())


def from_environment(environ: Mapping[str, str] | None = None, **flags: Any) -> Settings:
    """The settings that the environment names; `flags` that are not None win.

    Raises:
        UsageError: a name that does not exist, a value of another kind, keys that cannot be read.
    """
    found: dict[str, Any] = {}
    kinds = {field.name: type(field.default) for field in fields(Settings)}
    for name, text in (os.environ if environ is None else environ).items():
        if not name.startswith(PREFIX):
            continue
        short = name.removeprefix(PREFIX).lower()
        if short not in kinds:
            near = get_close_matches(short, kinds, n=1)
            hint = f"{PREFIX}{near[0].upper()}?" if near else ", ".join(sorted(kinds)).upper()
            raise UsageError(f"{name} is no setting of the server.", fix=f"known: {hint}")
        found[short] = _READ[kinds[short]](short, text.strip())
    found.update({name: value for name, value in flags.items() if value is not None})
    settings = Settings(**found)
    if settings.keys_file:
        keys = (*settings.keys, *_keys_of(Path(settings.keys_file)))
        if not keys:
            raise UsageError(
                f"{settings.keys_file} holds no key.", fix="write a sha256 a line, or unset it"
            )
        settings = replace(settings, keys=keys)
    return settings


def _keys_of(path: Path) -> list[str]:
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"{PREFIX}KEYS_FILE: {path} cannot be read: {error}.", fix="check the path"
        ) from error
    words = (line.partition("#")[0].split() for line in lines)
    return [each[0].lower() for each in words if each]


def _number(kind: type[int] | type[float]) -> Callable[[str, str], float]:
    def read(name: str, text: str) -> float:
        try:
            return kind(text)
        except ValueError:
            words = "a whole number" if kind is int else "a number"
            raise _wrong(name, text, words) from None

    return read


def _switch(name: str, text: str) -> bool:
    known = {
        "1": True,
        "true": True,
        "yes": True,
        "0": False,
        "false": False,
        "no": False,
        "": False,
    }
    if text.lower() not in known:
        raise _wrong(name, text, "1 or 0")
    return known[text.lower()]


def _words(name: str, text: str) -> tuple[str, ...]:
    words = tuple(word.strip() for word in text.split(",") if word.strip())
    return tuple(word.lower() for word in words) if name == "keys" else words


_READ: dict[type, Callable[[str, str], Any]] = {
    int: _number(int),
    float: _number(float),
    bool: _switch,
    str: lambda name, text: text,
    tuple: _words,
}


def _wrong(name: str, value: object, known: str) -> UsageError:
    return UsageError(
        f"{PREFIX}{name.upper()} is {value!r}; it must be {known}.",
        fix=f"set it to {known}, or unset it",
    )
