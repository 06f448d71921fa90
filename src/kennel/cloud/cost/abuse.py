"""What an hour costs at most when somebody means harm.

An instance is billed while it works, so that as many as may run at once, all hour, are the end of
it, however they are asked. Besides, Lambda takes at most ten requests a second for each instance
that may run, which bounds requests, log lines and answers; each answer is taken to be the largest
file that the server hands out.

Source: https://docs.aws.amazon.com/lambda/latest/dg/lambda-concurrency.html
"""

from __future__ import annotations

from dataclasses import dataclass

from kennel.cloud.cost.answers import GB, logged, running
from kennel.cloud.cost.functions import Function
from kennel.cloud.cost.lines import Sum, line, times
from kennel.cloud.cost.measured import Measured
from kennel.prices import Book

REQUESTS_A_SECOND = 10  # for each instance that may run at once
HOUR_S = 3600


@dataclass(frozen=True)
class Worst:
    """An hour of abuse.

    Attributes:
        open_to: "anybody", "roles of this account", or "nobody" where it has no address.
        at_once: how many run at the same time. bounded: by a setting, not by the account alone.
        hour: what such an hour costs by whom it is open to.
        one_request_usd: the longest request there can be: it runs into the timeout.
    """

    function: str
    open_to: str
    at_once: int
    bounded: bool
    hour: Sum
    one_request_usd: float

    @property
    def from_outside_usd(self) -> float:
        """An hour by somebody without any right in the account: nothing, where it is not open.
        A request that is not signed is refused by AWS and billed to nobody.
        """
        return self.hour.usd if self.open_to == "anybody" else 0.0


def worst(function: Function, measured: Measured, book: Book) -> Worst:
    """The worst hour of a function."""
    at_once = function.at_once
    kept_ready = min(function.ready, at_once)
    requests = float(REQUESTS_A_SECOND * HOUR_S * at_once)
    lines = [
        *times([running(function, HOUR_S, book, ready=True)], kept_ready).lines,
        *times([running(function, HOUR_S, book, ready=False)], at_once - kept_ready).lines,
        line(book["lambda-request"], requests, "requests", resource=function.name),
        *logged(function, requests, measured, book),
        line(
            book["egress-gb"],
            requests * measured.largest_answer_bytes / GB,
            "answers",
            resource=function.name,
        ),
    ]
    whom = {"NONE": "anybody", "AWS_IAM": "roles of this account"}.get(function.url, "nobody")
    longest = running(function, function.timeout_s, book, ready=False).usd
    return Worst(
        function.name,
        whom,
        at_once,
        function.reserved is not None,
        Sum(tuple(each for each in lines if each.quantity)),
        longest + book["lambda-request"].usd,
    )
