"""What the function answers, and what it refuses."""

from __future__ import annotations

import http.client
import json
import statistics
import struct
import time
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from kennel.cloud.rehearsal.events import Reply
from kennel.cloud.rehearsal.expected import expect
from kennel.cloud.rehearsal.runtime import MOST_BYTES
from kennel.cloud.rehearsal.stage import SENT, Stage, policy_of

SHORT_S = 1.0  # the function's time, where a request has to run out of it
AT_ONCE = 2  # requests, where one has to be too many
COLD = 3  # starts that are timed


def answers(stage: Stage) -> str:
    """Every photo through the function, beside `kennel predict`: the same to the last bit."""
    compared = same_answers(stage, 0)
    page = stage.ask("GET", "/")
    expect(page.status == 200, f"the page answers {page.status}")
    kind = page.headers.get("content-type", "")
    expect(kind.startswith("text/html"), f"the page is {kind or 'of no type'}")
    return f"{compared} photos: the same bits as kennel predict; the page is there"


def same_answers(stage: Stage, which: int) -> int:
    compared = 0
    for photo, expected in zip(stage.photos, stage.predicted(stage.bundles[which]), strict=True):
        said = stage.ask("POST", "/predict", photo.read_bytes(), kind=SENT[photo.suffix])
        expect(said.status == 200, f"{photo.name}: {said.status} {_start(said)}")
        answer = json.loads(said.body)
        for name in ("label", "probability", "known", "bundle"):
            expect(
                answer[name] == expected[name],
                f"{photo.name}: {name} is {answer[name]}, and kennel predict says {expected[name]}",
            )
        compared += 1
    return compared


def _start(said: Reply) -> str:
    return said.body[:200].decode(errors="replace")


def permissions(stage: Stage) -> str:
    """Who may come in: with both rights, signed, and nobody else."""
    url = stage.emulator.url()
    if url is not None and url.auth == "NONE":
        said = stage.ask("GET", "/live", role=None)
        expect(said.status == 200, f"it is public, and nobody is answered {said.status}")
        return "public, by the settings: unsigned is answered"
    for words, role in (("nobody", None), ("who has no right", "data")):
        said = stage.ask("GET", "/live", role=role)
        expect(said.status == 403, f"{words} is answered {said.status}")
    iam, whole = (
        stage.emulator.client("iam"),
        policy_of("caller", stage.deployment, stage.emulator.function),
    )
    for one in whole["Statement"][0]["Action"]:
        half = {**whole, "Statement": [{**whole["Statement"][0], "Action": [one]}]}
        iam.put_user_policy(UserName="caller", PolicyName="own", PolicyDocument=json.dumps(half))
        said = stage.ask("GET", "/live")
        expect(said.status == 403, f"with {one} alone it answers {said.status}")
    iam.put_user_policy(UserName="caller", PolicyName="own", PolicyDocument=json.dumps(whole))
    wrong = _tampered(stage)
    expect(wrong.status == 403, f"a request that was changed on its way is answered {wrong.status}")
    expect(stage.ask("GET", "/live").status == 200, "with both rights it does not answer")
    return "unsigned, changed on its way, with one right of two: 403; with both: answered"


def _tampered(stage: Stage) -> Reply:
    """A request with the signature of another body."""
    signed = stage.signed("POST", "/predict", b"one", {"Content-Type": "image/jpeg"}, "caller")
    url = urlsplit(stage.door.address)
    connection = http.client.HTTPConnection(str(url.hostname), url.port, timeout=60)
    try:
        connection.request("POST", "/predict", b"two", signed)
        got = connection.getresponse()
        return Reply(got.status, {}, got.read())
    finally:
        connection.close()


def uploads(stage: Stage) -> str:
    """What must be refused is, each with its own status, and the next photo is answered."""
    jpeg = next(each for each in stage.photos if each.suffix == ".jpg").read_bytes()
    cases = (
        ("no photo", b"", "image/jpeg", {400}),
        ("text", b"not a photo", "text/plain", {415}),
        ("half a photo", jpeg[: len(jpeg) // 3], "image/jpeg", {422}),
        ("144 megapixels in a few bytes", _bomb(12_000), "image/png", {413}),
        ("noise", bytes(range(256)) * 40, "image/jpeg", {415, 422}),
        ("7 MB", b"\xff\xd8" + bytes(7_000_000), "image/jpeg", {413}),
    )
    for words, body, kind, expected in cases:
        said = stage.ask("POST", "/predict", body, kind=kind)
        expect(said.status in expected, f"{words} is answered {said.status} {_start(said)}")
    largest = int(MOST_BYTES * 3 / 4) - 4096
    said = stage.ask("POST", "/predict", jpeg + bytes(largest - len(jpeg)), kind="image/jpeg")
    expect(said.status == 200, f"{largest / 1e6:.2f} MB are answered {said.status} {_start(said)}")
    expect(stage.ask("GET", "/ready").status == 200, "it is not ready after them")
    return f"{len(cases)} uploads refused in the 4xx; {largest / 1e6:.1f} MB taken, 7 MB are not"


def _bomb(side: int) -> bytes:
    """A black picture of side x side pixels, in a few kilobytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    row = b"\0" + bytes((side + 7) // 8)
    head = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    pixels = zlib.compress(row * side, 9)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    )


@contextmanager
def shortened(stage: Stage) -> Iterator[None]:
    """A function that hangs, with a second to answer and two requests at once."""
    aws, name = stage.emulator.client("lambda"), stage.emulator.function
    before = aws.get_function_concurrency(FunctionName=name).get("ReservedConcurrentExecutions")
    whole = stage.emulator.url

    def short() -> Any:
        url = whole()
        if url is None:
            return None
        return replace(url, configuration=replace(url.configuration, timeout_s=SHORT_S))

    stage.function.rest()
    aws.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=AT_ONCE)
    stage.emulator.url, stage.function.stalled = short, True  # type: ignore[method-assign]
    try:
        yield
    finally:
        stage.emulator.url, stage.function.stalled = whole, False  # type: ignore[method-assign]
        if before is None:
            aws.delete_function_concurrency(FunctionName=name)
        else:
            aws.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=before)


def hanging(stage: Stage) -> str:
    """Requests that find no answer in time, and one too many at once."""
    with shortened(stage), ThreadPoolExecutor(AT_ONCE + 1) as pool:
        every = [pool.submit(stage.ask, "GET", "/live") for _ in range(AT_ONCE + 1)]
        found = sorted(each.result().status for each in every)
    expect(found == [429, *[502] * AT_ONCE], f"{AT_ONCE + 1} at once are answered {found}")
    expect(stage.ask("GET", "/live").status == 200, "it does not answer after that")
    return f"hangs: 502 after its time (shortened to {SHORT_S:g} s); one over the concurrency: 429"


def cold(stage: Stage) -> str:
    """Starts of a sandbox, from the request to its answer."""
    jpeg = next(each for each in stage.photos if each.suffix == ".jpg").read_bytes()
    took = []
    for _ in range(COLD):
        stage.function.rest()
        began = time.monotonic()
        said = stage.ask("POST", "/predict", jpeg, kind="image/jpeg")
        took.append(time.monotonic() - began)
        expect(said.status == 200, f"a cold start is answered {said.status}")
    began = time.monotonic()
    stage.ask("POST", "/predict", jpeg, kind="image/jpeg")
    warm = time.monotonic() - began
    stage.kept["cold_s"], stage.kept["warm_s"] = [round(each, 3) for each in took], round(warm, 4)
    return f"median of {COLD} cold {statistics.median(took):.2f} s, warm {warm * 1000:.0f} ms"
