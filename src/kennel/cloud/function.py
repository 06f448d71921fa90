"""The function as it answers: which version its alias names, of which image, and what it says."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from kennel.cloud import CloudError, asking, client
from kennel.errors import need

ALIAS = "live"
CLOSE = 1e-3  # of probabilities: another processor rounds elsewhere, and no more than that
PATIENCE_S, PAUSE_S, TIMEOUT_S = 90.0, 3.0, 60.0
MOST_BYTES = 2**20  # of an answer
LATER = (429, 500, 502, 503, 504)  # while an image is unpacked for the first time
SEE = "see why: kennel cloud logs"


@dataclass(frozen=True)
class Version:
    """One published version.

    Attributes:
        number: as Lambda counts. digest: of its image, sha256:...
    """

    number: int
    digest: str


@dataclass(frozen=True)
class Check:
    """A photo, and what the bundle answers for it here.

    Attributes:
        photo: bytes of a JPEG. bundle: id of the bundle that answered.
    """

    photo: bytes
    label: str
    probability: float
    bundle: str


@dataclass(frozen=True)
class Answer:
    """What the function answered."""

    label: str
    probability: float
    bundle: str
    took_ms: float


def live(function: str) -> Version | None:
    """The version that answers; None where there is no such function or alias.

    Raises:
        CloudError: AWS refuses.
    """
    try:
        with asking(f"lambda:GetAlias {function}", fixes={}):
            found = client("lambda").get_alias(FunctionName=function, Name=ALIAS)
    except CloudError as error:
        if error.code == "ResourceNotFoundException":
            return None
        raise
    return version(function, int(found["FunctionVersion"]))


def version(function: str, number: int) -> Version:
    with asking(f"lambda:GetFunction {function}:{number}", fixes={}):
        code = client("lambda").get_function(FunctionName=function, Qualifier=str(number))["Code"]
    uri = str(code.get("ResolvedImageUri") or code.get("ImageUri") or "")
    return Version(number, uri.rpartition("@")[2] if "@" in uri else "")


def versions(function: str) -> tuple[Version, ...]:
    """All that are published, newest first."""
    with asking(f"lambda:ListVersionsByFunction {function}", fixes={}):
        pages = client("lambda").get_paginator("list_versions_by_function")
        numbers = [
            int(each["Version"])
            for page in pages.paginate(FunctionName=function)
            for each in page["Versions"]
            if each["Version"].isdigit()
        ]
    return tuple(version(function, number) for number in sorted(numbers, reverse=True))


def before(function: str, present: Version) -> Version | None:
    """The newest version before that one with another image."""
    return next(
        (
            each
            for each in versions(function)
            if each.number < present.number and each.digest not in ("", present.digest)
        ),
        None,
    )


def point(function: str, number: int) -> None:
    """Lets that version answer, from the next request on."""
    with asking(f"lambda:UpdateAlias {function}", fixes={}):
        client("lambda").update_alias(
            FunctionName=function, Name=ALIAS, FunctionVersion=str(number)
        )


def compare(
    url: str,
    check: Check,
    *,
    sleep: Callable[[float], None] = time.sleep,
    now: Callable[[], float] = time.monotonic,
) -> Answer:
    """Sends the photo, signed, and holds the answer beside the bundle's own.

    Raises:
        CloudError: it is not ready in time, or answers otherwise.
    """
    begun = now()
    while True:
        status, body = call(url, check.photo)
        if status not in LATER or now() - begun > PATIENCE_S:
            break
        sleep(PAUSE_S)
    if status != 200:
        raise CloudError(
            f"the function answers {status}: {_words(body)}.",
            fix="the role needs lambda:InvokeFunctionUrl and lambda:InvokeFunction of it"
            if status == 403
            else SEE,
        )
    try:
        said = json.loads(body)
        answer = Answer(
            str(said["label"]),
            float(said["probability"]),
            str(said["bundle"]),
            float(said["took_ms"]),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise CloudError(f"the function's answer is none: {_words(body)}.", fix=SEE) from error
    if answer.bundle != check.bundle:
        raise CloudError(
            f"the function answers with the bundle {answer.bundle}, not {check.bundle}.", fix=SEE
        )
    if answer.label != check.label or abs(answer.probability - check.probability) > CLOSE:
        raise CloudError(
            f"the function answers {answer.label} {answer.probability:.4f}; the bundle itself "
            f"{check.label} {check.probability:.4f}.",
            fix="another image has that name? make images, and deploy again",
        )
    return answer


def call(url: str, photo: bytes) -> tuple[int, bytes]:
    """POST /predict, signed by SigV4 with the credentials that are in use.

    Returns:
        status and body; 503 where nobody answered.
    """
    parts = urlsplit(url)
    near = parts.hostname in ("127.0.0.1", "localhost", "::1")
    if parts.scheme != "https" and not (parts.scheme == "http" and near):
        raise CloudError(f"{url!r} is no address that a signature is sent to.", fix=SEE)
    headers = {"Content-Type": "image/jpeg"}
    target = f"{url.rstrip('/')}/predict"
    signed = _signed(target, photo, headers)
    request = urllib.request.Request(target, photo, signed, method="POST")  # noqa: S310 - above
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:  # noqa: S310
            return int(answer.status), answer.read(MOST_BYTES)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read(MOST_BYTES)
    except OSError as error:
        return 503, str(getattr(error, "reason", None) or error).encode()


def _signed(target: str, photo: bytes, headers: dict[str, str]) -> dict[str, str]:
    boto3: Any = need("boto3", extra="aws")
    auth: Any = need("botocore.auth", extra="aws")
    requests: Any = need("botocore.awsrequest", extra="aws")
    session = boto3.session.Session()
    with asking("credentials", fixes={}):
        credentials = session.get_credentials()
    if credentials is None:
        raise CloudError("there are no credentials for AWS.", fix="aws sso login")
    made = requests.AWSRequest("POST", target, data=photo, headers=headers)
    auth.SigV4Auth(credentials.get_frozen_credentials(), "lambda", session.region_name).add_auth(
        made
    )
    return dict(made.headers.items())


def _words(body: bytes) -> str:
    text = " ".join(body.decode(errors="replace").split())
    return text[:200].rstrip(".") or "with nothing"
