"""AWS Signature Version 4 of a request that came in, verified.

Source: AWS IAM User Guide, "Create a signed AWS API request". Standard library only, and written
from the other side than botocore, which signs: what both do alike they do by the document.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import quote, unquote

LONGEST = timedelta(minutes=5)
ALGORITHM = "AWS4-HMAC-SHA256"
HEAD = re.compile(
    rf"{ALGORITHM} Credential=([^/]+)/(\d{{8}})/([^/]+)/([^/]+)/aws4_request,\s*"
    r"SignedHeaders=([^,]+),\s*Signature=([0-9a-f]{64})"
)


class SignatureError(Exception):
    """Nobody signed, or not so that it counts. The message is what AWS says."""


@dataclass(frozen=True)
class Request:
    """As it came in. `path` and `query` as they were sent; header names in small letters."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes


def signer(
    request: Request,
    secrets: Mapping[str, str],
    *,
    service: str,
    region: str,
    now: datetime,
) -> str:
    """Who signed.

    Args:
        secrets: access key -> secret.
    Returns:
        the access key.
    Raises:
        SignatureError: nobody did, or the signature is not of this request, or too old.
    """
    said = request.headers.get("authorization")
    found = HEAD.fullmatch(said or "")
    if found is None:
        raise SignatureError("Forbidden" if not said else "The signature is incomplete.")
    key, day, signed_region, signed_service, names, signature = found.groups()
    if key not in secrets:
        raise SignatureError("The security token included in the request is invalid.")
    if (signed_region, signed_service) != (region, service):
        raise SignatureError(
            f"Credential should be scoped to a valid region and to service '{service}'."
        )
    stamp = _stamp(request.headers.get("x-amz-date", ""))
    if abs(now - stamp) > LONGEST or f"{stamp:%Y%m%d}" != day:
        raise SignatureError("Signature expired.")
    listed = names.split(";")
    if "host" not in listed or "x-amz-date" not in listed:
        raise SignatureError("'Host' and 'X-Amz-Date' must be signed.")
    scope = f"{day}/{region}/{service}/aws4_request"
    text = "\n".join(
        (ALGORITHM, f"{stamp:%Y%m%dT%H%M%SZ}", scope, _digest(_canonical(request, listed).encode()))
    )
    key_bytes = f"AWS4{secrets[key]}".encode()
    for part in (day, region, service, "aws4_request"):
        key_bytes = hmac.new(key_bytes, part.encode(), hashlib.sha256).digest()
    expected = hmac.new(key_bytes, text.encode(), hashlib.sha256).hexdigest()
    if not hmac.compare_digest(expected, signature):
        raise SignatureError(
            "The request signature we calculated does not match the signature you provided."
        )
    return key


def _stamp(said: str) -> datetime:
    try:
        return datetime.strptime(said, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError as error:
        raise SignatureError("Date must be in ISO-8601 'basic format'.") from error


def _canonical(request: Request, names: list[str]) -> str:
    pairs = sorted(
        (quote(unquote(name), safe="-_.~"), quote(unquote(value), safe="-_.~"))
        for name, _, value in (each.partition("=") for each in request.query.split("&") if each)
    )
    headers = "".join(
        f"{name}:{' '.join(request.headers.get(name, '').split())}\n" for name in names
    )
    return "\n".join(
        (
            request.method,
            quote(_normal(request.path), safe="/~"),
            "&".join(f"{name}={value}" for name, value in pairs),
            headers,
            ";".join(names),
            _digest(request.body),
        )
    )


def _normal(path: str) -> str:
    """Without empty and dotted parts, as every service but S3 has it."""
    kept: list[str] = []
    for part in path.split("/"):
        if part == "..":
            kept = kept[:-1]
        elif part not in ("", "."):
            kept.append(part)
    return f"/{'/'.join(kept)}{'/' if kept and path.endswith('/') else ''}"


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
