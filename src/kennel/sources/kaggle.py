"""The user's Kaggle account: where its token lies, and how it is shown to Kaggle."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from kennel.sources import FetchError
from kennel.sources.catalogue import Source

HOST = "https://www.kaggle.com"
ENDPOINT = "KAGGLE_API_ENDPOINT"  # another host than Kaggle's, as its own libraries have it


def at_endpoint(source: Source, environment: Mapping[str, str]) -> Source:
    """The source, at the host that the environment names instead of Kaggle's."""
    endpoint = environment.get(ENDPOINT, HOST).rstrip("/")
    return replace(source, url=source.url.replace(HOST, endpoint, 1))


def authorisation(environment: Mapping[str, str], home: Path) -> str:
    """Value of the Authorization header, from where Kaggle's own libraries look for the token.

    In this order: KAGGLE_API_TOKEN (the token, or a file with it), ~/.kaggle/access_token,
    KAGGLE_USERNAME and KAGGLE_KEY, kaggle.json in KAGGLE_CONFIG_DIR or ~/.kaggle.

    Raises:
        FetchError: there is none, or kaggle.json cannot be read.
    """
    folder = Path(environment.get("KAGGLE_CONFIG_DIR") or home / ".kaggle")
    given = environment.get("KAGGLE_API_TOKEN", "").strip()
    token = (_line_of(Path(given)) or given) if given else _line_of(folder / "access_token")
    if token:
        return f"Bearer {_one_line(token)}"
    name, key = environment.get("KAGGLE_USERNAME"), environment.get("KAGGLE_KEY")
    if not (name and key):
        name, key = _of_file(folder / "kaggle.json")
    pair = f"{_one_line(name)}:{_one_line(key)}".encode()
    return f"Basic {base64.b64encode(pair).decode('ascii')}"


def _of_file(path: Path) -> tuple[str, str]:
    fix = (
        "make a token at https://www.kaggle.com/settings and put it into KAGGLE_API_TOKEN, "
        f"or the kaggle.json that it gives to {path}"
    )
    if not path.is_file():
        raise FetchError("Kaggle wants to know who downloads, and no token was found.", fix=fix)
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        return str(document["username"]), str(document["key"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FetchError(f"{path} holds no username and key.", fix=fix) from error


def _line_of(path: Path) -> str:
    """What a file holds; nothing where there is none, as where the path is a token itself."""
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        return ""


def _one_line(value: str) -> str:
    """A header ends at its line's end: what follows would be another header."""
    line = "".join(value.split())
    if not line.isascii():
        raise FetchError("the Kaggle token has letters that no token has.", fix="copy it again")
    return line
