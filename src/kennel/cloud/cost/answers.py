"""What one answer of a function costs, and at which memory it is cheapest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kennel.cloud.cost.functions import FREE_TMP_MB, Function
from kennel.cloud.cost.lines import Line, Sum, line
from kennel.cloud.cost.measured import WHOLE_CORE_MB, Measured, Work
from kennel.prices import HOURS_A_MONTH, Book

GB = 1e9  # of logs and of what goes out: a little less than AWS counts by, so never too little
DAYS_A_MONTH = HOURS_A_MONTH / 24
FOR_EVER_DAYS = 365.0  # what a log without an end is priced by
SIZES_MB = (512, 768, 1024, 1280, 1536, WHOLE_CORE_MB, 2048, 3008)
ALIKE = 1.02  # prices closer than that are one price: milliseconds are billed whole


@dataclass(frozen=True)
class Size:
    """A function of one memory, answering one kind of request.

    Attributes:
        per_million: US dollars. enough: the memory holds the process, and the answer comes in time.
    """

    memory_mb: int
    duration_ms: float
    per_million: float
    enough: bool


def one_answer(function: Function, work: Work, measured: Measured, book: Book) -> Sum:
    """One request, answered by an instance that is there already."""
    duration_s = work.billed_ms(function.memory_mb) / 1000
    lines = [
        line(book["lambda-request"], 1, "request", resource=function.name),
        running(function, duration_s, book, ready=function.ready > 0),
        *_tmp(function, duration_s, book),
        *logged(function, 1, measured, book),
        line(book["egress-gb"], work.answer_bytes / GB, "answer", resource=function.name),
    ]
    return Sum(tuple(lines))


def running(function: Function, seconds: float, book: Book, *, ready: bool) -> Line:
    """An instance that works for that long."""
    kind = "lambda-provisioned-run-gb-s" if ready else "lambda-gb-s"
    price = book[kind + ("-arm64" if function.arm64 else "")]
    return line(price, seconds * function.gb, "time", resource=function.name)


def _tmp(function: Function, seconds: float, book: Book) -> list[Line]:
    more = (function.tmp_mb - FREE_TMP_MB) / 1024
    if more <= 0:
        return []
    return [line(book["lambda-tmp-gb-s"], seconds * more, "larger tmp", resource=function.name)]


def logged(function: Function, requests: float, measured: Measured, book: Book) -> list[Line]:
    """What requests leave in the log: taken in, and kept as long as the group says."""
    log_bytes = requests * (
        measured.log_bytes * function.own_log + measured.lambda_log_bytes * function.lambda_log
    )
    days = FOR_EVER_DAYS if function.log_days is None else function.log_days
    kept = log_bytes / GB * days / DAYS_A_MONTH
    return [
        line(book["logs-gb-taken-in"], log_bytes / GB, "log taken in", resource=function.name),
        line(book["logs-gb-month"], kept, f"log kept {days:g} days", resource=function.name),
    ]


def ready_all_month(function: Function, book: Book) -> list[Line]:
    """What a function costs that nobody asks: instances kept ready, snapshots, its schedules."""
    seconds = HOURS_A_MONTH * 3600
    lines = []
    if function.ready:
        price = book["lambda-provisioned-gb-s" + ("-arm64" if function.arm64 else "")]
        what = f"{function.ready} kept ready"
        quantity = function.ready * function.gb * seconds
        lines.append(line(price, quantity, what, resource=function.name))
    if function.snapshot:
        quantity = function.gb * seconds
        lines.append(
            line(
                book["lambda-snapshot-gb-s"],
                quantity,
                "a version's snapshot",
                resource=function.name,
            )
        )
    if function.runs:
        price = book["lambda-request"]
        lines.append(line(price, function.runs, "runs by schedule", resource=function.name))
        lines.append(running(function, function.runs * function.timeout_s, book, ready=False))
    return lines


def sizes(
    function: Function,
    work: Work,
    measured: Measured,
    book: Book,
    *,
    within_ms: float | None = None,
    memories: Sequence[int] = SIZES_MB,
) -> tuple[Size, ...]:
    """The same answer by functions of several memories.

    Args:
        within_ms: until when an answer must be there; None takes any.
    """
    return tuple(
        Size(
            memory,
            work.duration_ms(memory),
            one_answer(function.of_memory(memory), work, measured, book).usd * 1e6,
            memory >= work.need_mb and (within_ms is None or work.duration_ms(memory) <= within_ms),
        )
        for memory in memories
    )


def cheapest(found: Sequence[Size]) -> Size | None:
    """The cheapest that is enough; of those that cost the same, to 2 %, the fastest, and of the
    equally fast the smallest. None where none is enough.
    """
    enough = [each for each in found if each.enough]
    if not enough:
        return None
    least = min(each.per_million for each in enough)
    alike = [each for each in enough if each.per_million <= least * ALIKE]
    return min(alike, key=lambda each: (each.duration_ms, each.memory_mb))
