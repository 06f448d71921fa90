"""What the emulated function URL refuses and answers, with a function of real processes."""

from __future__ import annotations

import http.client
import json
import os
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from kennel.cloud.rehearsal.door import Door, Url, opened
from kennel.cloud.rehearsal.events import Reply
from kennel.cloud.rehearsal.function import Function
from kennel.cloud.rehearsal.sandbox import Configuration, Runnable

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self").exists(), reason="looks into /proc"),
]
SCRIPT = Path(__file__).parents[1] / "asked_function.py"
DIGEST = f"sha256:{'1' * 64}"
ARN = "arn:aws:lambda:us-east-1:123456789012:function:asked:live"
WHO = "arn:aws:iam::123456789012:user/anna"
KEY, SECRET = "AKIAANNA", "anna's"
BOTH = ("lambda:InvokeFunctionUrl", "lambda:InvokeFunction")
CONFIGURATION = Configuration("asked", ARN, "1", DIGEST, "us-east-1", memory_mb=512, timeout_s=5)


def allows(*actions: str, principal: Any = None) -> dict[str, Any]:
    statements = []
    for action in actions:
        condition: dict[str, Any] = (
            {"StringEquals": {"lambda:FunctionUrlAuthType": "AWS_IAM"}}
            if action == BOTH[0]
            else {"Bool": {"lambda:InvokedViaFunctionUrl": "true"}}
        )
        statements.append(
            {
                "Effect": "Allow",
                "Principal": principal or {"AWS": WHO},
                "Action": action,
                "Resource": ARN,
                "Condition": condition,
            }
        )
    return {"Version": "2012-10-17", "Statement": statements}


@dataclass
class Aws:
    """AWS as the door asks it, with answers that a test sets."""

    region: str = "us-east-1"
    said: Url = field(
        default_factory=lambda: Url("AWS_IAM", ARN, allows(*BOTH), None, CONFIGURATION)
    )
    own: list[Mapping[str, Any]] = field(default_factory=list)

    def url(self) -> Url | None:
        return self.said

    def secrets(self) -> Mapping[str, str]:
        return {KEY: SECRET}

    def who(self, access_key: str) -> tuple[str, list[Mapping[str, Any]]]:
        assert access_key == KEY
        return WHO, self.own


@dataclass
class Place:
    """A door with AWS behind it."""

    door: Door
    aws: Aws

    def set(self, **changes: Any) -> None:
        self.aws.said = replace(self.aws.said, **changes)

    def ask(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        *,
        secret: str | None = SECRET,
        sent: bytes | None = None,
        kind: str = "",
    ) -> Reply:
        headers = {"content-type": kind} if kind else {}
        if secret is not None:
            made = AWSRequest(method, f"{self.door.address}{path}", data=body, headers=headers)
            SigV4Auth(Credentials(KEY, secret), "lambda", "us-east-1").add_auth(made)
            headers = dict(made.headers.items())
        host, port = self.door.server.server_address[:2]
        connection = http.client.HTTPConnection(str(host), int(port), timeout=60)
        try:
            connection.request(method, path, body if sent is None else sent, headers)
            got = connection.getresponse()
            return Reply(got.status, {n.lower(): v for n, v in got.getheaders()}, got.read())
        finally:
            connection.close()


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    heard: list[str] = []
    runnable = Runnable(DIGEST, (sys.executable, str(SCRIPT)), {})
    function = Function(
        {DIGEST: runnable}, tmp_path / "sandboxes", hand_on=lambda _, lines: heard.extend(lines)
    )
    with opened(function) as door:
        door.cloud = aws = Aws()
        yield Place(door, aws)
    assert not function._all


def test_a_signed_request_is_answered_and_the_function_sees_who_signed(place: Place) -> None:
    said = place.ask("POST", "/a/b%20c?x=1&y=%2F", b"\xff\xd8\x00", kind="image/jpeg")
    assert said.status == 200, said
    told = json.loads(said.body)
    assert told["path"] == "/a/b%20c?x=1&y=%2F"
    assert told["bytes"] == [255, 216, 0]
    assert told["context"]["authorizer"]["iam"]["userArn"] == WHO
    assert told["context"]["accountId"] == "123456789012"
    assert told["memory"] == "512"
    assert said.headers["set-cookie"] == "a=1"
    assert place.ask("GET", "/teapot").status == 418


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"secret": None}, "Forbidden"),
        ({"secret": "another"}, "does not match"),
        ({"body": b"one", "sent": b"two"}, "does not match"),
    ],
    ids=["unsigned", "signed by another", "changed on its way"],
)
def test_nobody_else_comes_in(place: Place, how: dict[str, Any], words: str) -> None:
    said = place.ask("POST", "/", **how)
    assert said.status == 403
    assert words in json.loads(said.body)["Message"]
    assert not place.door.function.cold_starts


@pytest.mark.parametrize("one", BOTH)
def test_with_one_of_two_permissions_it_answers_403(place: Place, one: str) -> None:
    place.set(policy=allows(one))
    assert place.ask("GET", "/").status == 403
    place.set(policy=allows(*BOTH))
    assert place.ask("GET", "/").status == 200


@pytest.mark.parametrize("one", BOTH)
def test_a_public_url_needs_both_permissions_too(place: Place, one: str) -> None:
    whole = json.loads(json.dumps(allows(*BOTH, principal="*")).replace('"AWS_IAM"', '"NONE"'))
    half = {**whole, "Statement": [each for each in whole["Statement"] if each["Action"] == one]}
    place.set(auth="NONE", policy=half)
    assert place.ask("GET", "/", secret=None).status == 403
    place.set(policy=whole)
    said = place.ask("GET", "/", secret=None)
    assert said.status == 200
    assert json.loads(said.body)["context"]["accountId"] == "anonymous"


def test_a_permission_for_the_whole_account_leaves_it_to_the_caller_s_own(place: Place) -> None:
    place.set(policy=allows(*BOTH, principal={"AWS": "arn:aws:iam::123456789012:root"}))
    assert place.ask("GET", "/").status == 403
    place.aws.own = [
        {"Statement": [{"Effect": "Allow", "Action": "lambda:Invoke*", "Resource": "*"}]}
    ]
    assert place.ask("GET", "/").status == 200
    place.aws.own.append({"Statement": {"Effect": "Deny", "Action": BOTH[1], "Resource": "*"}})
    assert place.ask("GET", "/").status == 403


def test_six_megabytes_are_too_much_either_way(place: Place) -> None:
    fits = bytes(4_500_000)
    told = place.ask("POST", "/", fits, kind="image/jpeg")
    assert json.loads(told.body)["size"] == len(fits)
    assert place.ask("POST", "/", bytes(4_800_000), kind="image/jpeg").status == 413
    assert place.ask("POST", "/", bytes(9_000_000), kind="image/jpeg").status == 413
    large = place.ask("GET", "/large")
    assert large.status == 502
    assert place.ask("GET", "/").status == 200


def test_what_takes_too_long_is_answered_502_and_its_sandbox_ends(place: Place) -> None:
    place.set(configuration=replace(CONFIGURATION, timeout_s=1.0))
    before = json.loads(place.ask("GET", "/").body)["pid"]
    began = time.monotonic()
    said = place.ask("GET", "/slow")
    assert said.status == 502
    assert said.body == b"Internal Server Error"
    assert time.monotonic() - began < 10
    assert not alive(before)
    assert json.loads(place.ask("GET", "/").body)["pid"] != before


def test_a_function_that_dies_is_answered_502_and_begun_again(place: Place) -> None:
    place.set(configuration=replace(CONFIGURATION, timeout_s=2.0))
    assert place.ask("GET", "/die").status == 502
    assert place.ask("GET", "/").status == 200


def test_more_at_once_than_is_reserved_are_answered_429(place: Place) -> None:
    place.set(configuration=replace(CONFIGURATION, timeout_s=2.0), concurrency=2)
    with ThreadPoolExecutor(3) as pool:
        found = [pool.submit(place.ask, "GET", "/slow") for _ in range(3)]
    assert sorted(each.result().status for each in found) == [429, 502, 502]
    place.set(concurrency=0)  # what a brake does
    said = place.ask("GET", "/")
    assert said.status == 429
    assert json.loads(said.body)["message"] == "Rate Exceeded."


def test_a_sandbox_is_kept_frozen_between_requests_and_another_version_gets_another(
    place: Place,
) -> None:
    first = json.loads(place.ask("GET", "/").body)["pid"]
    assert frozen(first)
    assert json.loads(place.ask("GET", "/").body)["pid"] == first
    place.set(configuration=replace(CONFIGURATION, version="2"))
    assert json.loads(place.ask("GET", "/").body)["pid"] != first
    assert not alive(first)
    assert [each.version for each in place.door.function.cold_starts] == ["1", "2"]


def test_closing_the_door_ends_a_sandbox_that_still_answers(tmp_path: Path) -> None:
    runnable = Runnable(DIGEST, (sys.executable, str(SCRIPT)), {})
    function = Function({DIGEST: runnable}, tmp_path / "sandboxes")
    with opened(function) as door:
        door.cloud = Aws()
        place = Place(door, door.cloud)
        pid = json.loads(place.ask("GET", "/").body)["pid"]

        def hang() -> None:
            with suppress(ConnectionError, http.client.HTTPException):
                place.ask("GET", "/slow")

        thread = threading.Thread(target=hang, daemon=True)
        thread.start()
        time.sleep(0.3)
        assert alive(pid)
    assert not alive(pid)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return state(pid) != "Z"


def state(pid: int) -> str:
    """R, S, T, Z, ...; "" where there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return ""


def frozen(pid: int, *, within_s: float = 5.0) -> bool:
    until = time.monotonic() + within_s
    while state(pid) != "T" and time.monotonic() < until:
        time.sleep(0.01)
    return state(pid) == "T"
