"""How long an answer takes, measured: what a bill of Lambda's depends on.

Lambda gives a function a share of a processor by its memory, a whole one at 1,769 MB, and Kennel
answers one photo in one thread. So milliseconds of a core are divided by that share, and more than
one whole core makes nothing faster. Waiting is not divided. What Lambda's own cores are worth
beside the one that was measured is not known from here.

Source: https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html
"""

from __future__ import annotations

import math
from dataclasses import dataclass

WHOLE_CORE_MB = 1769


@dataclass(frozen=True)
class Work:
    """One kind of request, as it was measured.

    Attributes:
        name: what is sent, in words.
        core_ms: milliseconds of one whole core, > 0.
        answer_bytes: that go out.
        need_mb: memory that the process takes with it; 0 where nobody measured it.
    """

    name: str
    core_ms: float
    answer_bytes: int = 1024
    need_mb: int = 0

    def duration_ms(self, memory_mb: int) -> float:
        """How long it takes in a function of that memory, by the model above."""
        return self.core_ms / min(1.0, memory_mb / WHOLE_CORE_MB)

    def billed_ms(self, memory_mb: int) -> int:
        """What Lambda bills: whole milliseconds, begun ones too."""
        return math.ceil(round(self.duration_ms(memory_mb), 6))


@dataclass(frozen=True)
class Measured:
    """Where the milliseconds come from. The first of `works` is what a deployment is priced by.

    Attributes:
        source: in words: which program, which hardware, n.
        log_bytes: a request leaves in the log, Lambda's own three lines with it.
        largest_answer_bytes: of all that the server hands out to somebody who asks.
    """

    works: tuple[Work, ...]
    source: str
    log_bytes: int = 700
    largest_answer_bytes: int = 100_000
