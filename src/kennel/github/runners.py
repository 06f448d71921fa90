"""A runner for one job, and the token that may ask for one.

GITHUB_TOKEN may not: runners are the repository's administration. An App's installation may; its
key signs one sentence that is good for nine minutes, and that buys a token for an hour, for one
repository and that one permission.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from kennel.github import Api, GithubError

BEFORE_S, VALID_S = 60, 540  # GitHub's clock may be behind; it takes ten minutes at most
ENCODED = re.compile(r"[A-Za-z0-9+/=_-]{1,14000}")
SHA256 = re.compile(r"[0-9a-f]{64}")
DOWNLOAD = re.compile(r"https://[A-Za-z0-9./_-]{1,300}\.tar\.gz")


@dataclass(frozen=True)
class Software:
    """The runner's own archive, as GitHub names it today."""

    url: str
    sha256: str


@dataclass(frozen=True)
class Invitation:
    """A runner that GitHub expects, once.

    Attributes:
        runner_id: GitHub's number of it.
        config: what the runner is started with; a secret until it has run its job.
    """

    runner_id: int
    config: str


@contextmanager
def administrator(
    api: Api, *, app_id: str, sign: Callable[[bytes], bytes], now_s: float
) -> Iterator[Api]:
    """GitHub, asked as the App may ask about this repository's runners. The token is revoked after.

    Args:
        sign: RSASSA-PKCS1-v1_5 with SHA-256 by the App's key, of the bytes it gets.
    Raises:
        GithubError: there is no such App, it is not installed, or the key is not its own.
    """
    signed = Api(api.repository, token=_sentence(app_id, sign, now_s), address=api.address)
    try:
        installation = signed.of_repository("GET", "/installation")["id"]
        wish = {
            "repositories": [api.repository.partition("/")[2]],
            "permissions": {"administration": "write"},
        }
        path = f"/app/installations/{int(installation)}/access_tokens"
        token = str(signed.ask("POST", path, wish)["token"])
    except GithubError as error:
        if error.status not in (401, 403, 404, 422):
            raise
        raise GithubError(
            f"the App {app_id} gets no token: {error.message}",
            fix="see KENNEL_APP_ID, that KENNEL_APP_KEY is that App's own key, and that it is "
            "installed on the repository with Administration: read and write",
            status=error.status,
        ) from error
    own = Api(api.repository, token=token, address=api.address)
    try:
        yield own
    finally:
        with suppress(GithubError):  # it ends within the hour
            own.ask("DELETE", "/installation/token")


def _sentence(app_id: str, sign: Callable[[bytes], bytes], now_s: float) -> str:
    """Who we are, as a JSON Web Token (RFC 7519)."""
    claims = {"iat": int(now_s) - BEFORE_S, "exp": int(now_s) + VALID_S, "iss": app_id}
    parts = ({"alg": "RS256", "typ": "JWT"}, claims)
    text = b".".join(_base64url(json.dumps(part).encode()) for part in parts)
    return (text + b"." + _base64url(sign(text))).decode()


def _base64url(content: bytes) -> bytes:
    return base64.urlsafe_b64encode(content).rstrip(b"=")


def invite(api: Api, name: str, *, labels: Sequence[str], group_id: int) -> Invitation:
    """A runner of that name that takes one job.

    Raises:
        GithubError: GitHub refuses, or answers what is no such thing.
    """
    wish = {
        "name": name,
        "runner_group_id": group_id,
        "labels": list(labels),
        "work_folder": "_work",
    }
    answer = api.of_repository("POST", "/actions/runners/generate-jitconfig", wish)
    try:
        invitation = Invitation(int(answer["runner"]["id"]), str(answer["encoded_jit_config"]))
        if not ENCODED.fullmatch(invitation.config):
            raise ValueError
    except (KeyError, TypeError, ValueError) as error:
        raise GithubError("GitHub's answer has no runner in it.", fix="try again") from error
    return invitation


def software(api: Api) -> Software:
    """The runner for Linux on x64, with the checksum that GitHub gives.

    Raises:
        GithubError: there is none, or without a checksum.
    """
    for each in api.of_repository("GET", "/actions/runners/downloads") or ():
        if each.get("os") == "linux" and each.get("architecture") == "x64":
            url, sha256 = str(each.get("download_url")), str(each.get("sha256_checksum"))
            if DOWNLOAD.fullmatch(url) and SHA256.fullmatch(sha256):
                return Software(url, sha256)
    raise GithubError(
        "GitHub names no runner for Linux on x64 with a checksum.", fix="try again later"
    )


def online(api: Api, runner_id: int) -> bool:
    """Whether that runner waits for its job, or works on it."""
    return bool(api.of_repository("GET", f"/actions/runners/{runner_id}")["status"] == "online")


def registration(api: Api, name: str) -> str:
    """How GitHub has that runner: "waits" for its job, "works", "offline", or "gone"."""
    for each in _named(api, name):
        if each.get("status") == "online":
            return "works" if each.get("busy") else "waits"
        return "offline"
    return "gone"


def uninvite(api: Api, name: str) -> int:
    """Removes runners of that name that wait for nothing any more; how many there were."""
    found = _named(api, name)
    for each in found:
        api.of_repository("DELETE", f"/actions/runners/{each['id']}")
    return len(found)


def _named(api: Api, name: str) -> list[Any]:
    listed = api.every(f"/actions/runners?name={name}", inside="runners")
    return [each for each in listed if each["name"] == name]
