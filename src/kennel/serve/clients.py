"""Who may ask, and how often."""

from __future__ import annotations

import hashlib
import hmac
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence

from kennel.serve.problems import ProblemError

MOST_CLIENTS = 10_000  # remembered; who has not asked for longest is forgotten first


class Keys:
    """The API keys that open the server, of which it knows the hashes alone.

    Args:
        hashes: sha256 of each, in hex; none lets everybody in.
    """

    def __init__(self, hashes: Sequence[str]) -> None:
        self._hashes = tuple(hashes)

    def __bool__(self) -> bool:
        return bool(self._hashes)

    def check(self, headers: Mapping[bytes, bytes]) -> str | None:
        """The hash of the key that a request brought, or None where none is needed.

        Raises:
            ProblemError: 401, none or a wrong one.
        """
        if not self._hashes:
            return None
        kind, _, given = headers.get(b"authorization", b"").partition(b" ")
        if kind.lower() != b"bearer":
            given = headers.get(b"x-api-key", b"")
        found = hashlib.sha256(given.strip()).hexdigest()
        # Every hash is compared, whichever fits: the time says nothing.
        if given and sum(hmac.compare_digest(found, each) for each in self._hashes):
            return found
        said = "This key is not known here." if given else "This server asks for a key."
        raise ProblemError(
            401,
            said,
            fix="send Authorization: Bearer KEY",
            headers={"www-authenticate": 'Bearer realm="kennel"'},
        )


class Rate:
    """A bucket a client, which fills with time: requests above the rate wait outside.

    Args:
        rate: requests a second; 0 lets all through.
        burst: that may come at once.
        clock: seconds that never go back.
    """

    def __init__(
        self, rate: float, burst: int, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._rate, self._burst, self._clock = rate, float(burst), clock
        self._clients: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def check(self, client: str) -> None:
        """Raises:
        ProblemError: 429, this client asked too often.
        """
        if not self._rate:
            return
        now = self._clock()
        left, then = self._clients.pop(client, (self._burst, now))
        left = min(self._burst, left + (now - then) * self._rate)
        self._clients[client] = (left - 1 if left >= 1 else left, now)
        if len(self._clients) > MOST_CLIENTS:
            self._clients.popitem(last=False)
        if left < 1:
            seconds = max(1, math.ceil((1 - left) / self._rate))
            raise ProblemError(
                429,
                f"More than {self._rate:g} requests a second come from you.",
                fix=f"ask again in {seconds} s",
                headers={"retry-after": str(seconds)},
            )
