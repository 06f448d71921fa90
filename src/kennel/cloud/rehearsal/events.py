"""Events of a function URL, payload format 2.0, and what a function says to one.

Source: AWS Lambda Developer Guide, "Invoking Lambda function URLs".
"""

from __future__ import annotations

import base64
import binascii
import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

HOST = "abc.lambda-url.us-east-1.on.aws"
SOURCE_IP = "192.0.2.1"  # of documentation (RFC 5737)
TEXT = ("text/", "application/json", "application/javascript", "application/xml")


@dataclass(frozen=True)
class Reply:
    """What the function said to an event. Header names in small letters."""

    status: int
    headers: dict[str, str]
    body: bytes
    cookies: tuple[str, ...] = ()


def url_event(
    method: str,
    path: str,
    *,
    query: str = "",
    headers: Mapping[str, str],
    body: bytes = b"",
    host: str = HOST,
    caller: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """A request as the function sees it.

    Args:
        path: as it was sent, `%` and all.
        caller: who signed, as `requestContext.authorizer.iam` has it; None where nobody did.
    """
    began = datetime.now(UTC)
    lower = {
        "x-forwarded-for": SOURCE_IP,
        "x-forwarded-proto": "https",
        "x-forwarded-port": "443",
        **{name.lower(): value for name, value in headers.items()},
        "host": host,
    }
    context: dict[str, Any] = {
        "accountId": caller["accountId"] if caller else "anonymous",
        "apiId": host.partition(".")[0],
        "domainName": host,
        "domainPrefix": host.partition(".")[0],
        "http": {
            "method": method,
            "path": path,
            "protocol": "HTTP/1.1",
            "sourceIp": SOURCE_IP,
            "userAgent": lower.get("user-agent", ""),
        },
        "requestId": str(uuid.uuid4()),
        "routeKey": "$default",
        "stage": "$default",
        "time": f"{began:%d/%b/%Y:%H:%M:%S +0000}",
        "timeEpoch": int(began.timestamp() * 1000),
    }
    if caller:
        context["authorizer"] = {"iam": dict(caller)}
    event: dict[str, Any] = {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": query,
        "headers": lower,
        "requestContext": context,
        "isBase64Encoded": False,
    }
    if body:
        text = _as_text(body, lower.get("content-type", ""))
        event["body"] = base64.b64encode(body).decode() if text is None else text
        event["isBase64Encoded"] = text is None
    return event


def _as_text(body: bytes, kind: str) -> str | None:
    """A body of a kind that is text, as such; None for what has to be base64."""
    if not kind.lower().startswith(TEXT):
        return None
    try:
        return body.decode()
    except UnicodeDecodeError:
        return None


def reply_of(said: object) -> Reply:
    """What a function said, as a client gets it. Without a `statusCode` all of it is the body.

    Raises:
        ValueError: it is no answer to a request.
    """
    if not isinstance(said, dict) or "statusCode" not in said:
        return Reply(200, {"content-type": "application/json"}, json.dumps(said).encode())
    try:
        content = said.get("body") or ""
        body = (
            base64.b64decode(content, validate=True)
            if said.get("isBase64Encoded")
            else content.encode()
        )
        headers = {str(name).lower(): str(value) for name, value in said.get("headers", {}).items()}
        cookies = tuple(str(each) for each in said.get("cookies") or ())
        return Reply(int(said["statusCode"]), headers, body, cookies)
    except (AttributeError, TypeError, binascii.Error) as error:
        raise ValueError(f"that is no answer to a request: {error}") from error
