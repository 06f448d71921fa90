"""What can befall a process that rents: killed at a request, or AWS or GitHub failing from one on.

Both are put where requests leave the process, so that they meet whatever flow runs in it.
"""

from __future__ import annotations

import os
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import botocore.httpsession
from botocore.awsrequest import AWSResponse
from botocore.exceptions import EndpointConnectionError, ReadTimeoutError

ALL = 10_000
SLOW_S = 240.0
BODY = b"<Response><Errors><Error><Code>InternalError</Code><Message/></Error></Errors></Response>"


@dataclass(frozen=True)
class Fault:
    """Of one process.

    Attributes:
        what: "" nothing; "killed" by SIGKILL; "refused" before the request is sent; "5xx" instead
            of sending; "unanswered" after it was done; "slow".
        whom: "aws", "github" or "both".
        share: of the requests that a whole run makes, at which it begins, in [0, 1).
        length: how many requests, ALL to the end.
    """

    what: str = ""
    whom: str = "both"
    share: float = 0.0
    length: int = ALL


class Raw:
    def stream(self, **_: Any) -> list[bytes]:
        return [BODY]


def befall(fault: Fault, *, requests: int, advance: Callable[[float], None]) -> None:
    """Puts the fault into this process.

    Args:
        requests: that a whole run makes.
        advance: moves the simulated clock, in seconds.
    """
    # A killed process may die before a request as well as after it was done: two places each.
    begin = int(fault.share * requests * (2 if fault.what == "killed" else 1))
    at = {"request": 0, "place": 0}

    def around(whom: str, send: Callable[[], Any], broken: Callable[[str], Any]) -> Any:
        hit = fault.whom in (whom, "both") and begin <= at["request"] < begin + fault.length
        at["request"] += fault.whom in (whom, "both")
        if fault.what == "killed":
            _die_at(at, begin)
            answer = send()
            _die_at(at, begin)
            return answer
        if not fault.what or not hit:
            return send()
        if fault.what == "slow":
            advance(SLOW_S)
            return send()
        if fault.what == "unanswered":
            send()
        return broken(fault.what)

    sending, opening = (
        botocore.httpsession.URLLib3Session.send,
        urllib.request.OpenerDirector.open,
    )

    def send(session: Any, request: Any) -> Any:
        def broken(what: str) -> AWSResponse:
            if what == "5xx":
                return AWSResponse(request.url, 500, {}, Raw())
            kind = EndpointConnectionError if what == "refused" else ReadTimeoutError
            raise kind(endpoint_url=request.url)

        return around("aws", lambda: sending(session, request), broken)

    def open_(opener: Any, request: Any, *words: Any, **more: Any) -> Any:
        def broken(what: str) -> Any:
            if what == "5xx":
                url = getattr(request, "full_url", str(request))
                raise urllib.error.HTTPError(url, 502, "Bad Gateway", None, None)  # type: ignore[arg-type]
            raise urllib.error.URLError("refused" if what == "refused" else "timed out")

        return around("github", lambda: opening(opener, request, *words, **more), broken)

    botocore.httpsession.URLLib3Session.send = send
    urllib.request.OpenerDirector.open = open_  # type: ignore[method-assign]


def _die_at(at: dict[str, int], place: int) -> None:
    if at["place"] == place:
        os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(60)
    at["place"] += 1
