"""The two functions that stand in the templates: the reaper ends what is overdue and nothing else,
and the brake shuts the service off.
"""

from __future__ import annotations

import importlib.util
import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any

import boto3
import pytest
from conftest import APP
from moto import mock_aws

NOW = datetime.now(UTC)
IMAGE = "ami-12c6146b"  # one that moto knows


def load(name: str) -> ModuleType:
    """As Lambda does: the file alone, under another name, beside nothing of ours."""
    path = APP / "functions" / f"{name}.py"
    spec = importlib.util.spec_from_file_location("index", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(autouse=True)
def _account(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "any")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "any")
    monkeypatch.setenv("MOST_HOURS", "24")


@pytest.fixture
def ec2() -> Iterator[Any]:
    with mock_aws():
        yield boto3.client("ec2")


def rent(ec2: Any, **tags: str) -> str:
    [one] = rent_several(ec2, 1, **tags)
    return one


def rent_several(ec2: Any, count: int, **tags: str) -> set[str]:
    told = [
        {
            "ResourceType": "instance",
            "Tags": [{"Key": key.replace("_", "-"), "Value": each} for key, each in tags.items()],
        }
    ]
    made = ec2.run_instances(
        ImageId=IMAGE, MinCount=count, MaxCount=count, TagSpecifications=told if tags else []
    )
    return {each["InstanceId"] for each in made["Instances"]}


def at(hours: float) -> str:
    return f"{NOW + timedelta(hours=hours):%Y-%m-%dT%H:%M:%SZ}"


def living(ec2: Any) -> set[str]:
    pages = ec2.describe_instances()["Reservations"]
    every = [each for page in pages for each in page["Instances"]]
    return {each["InstanceId"] for each in every if each["State"]["Name"] == "running"}


def test_only_what_is_past_its_time_is_ended(ec2: Any) -> None:
    late = rent(ec2, kennel_runner="kennel-1-1", kennel_until=at(-0.1))
    young = rent(ec2, kennel_runner="kennel-2-1", kennel_until=at(1))
    other = rent(ec2, kennel_until=at(-5))  # somebody else's, who uses that word too
    plain = rent(ec2)
    assert set(load("reaper").handler({}, None)) == {late}
    assert living(ec2) == {young, other, plain}


def test_a_runner_that_does_not_say_until_when_is_ended(ec2: Any) -> None:
    silent = rent(ec2, kennel_runner="kennel-1-1")
    strange = rent(ec2, kennel_runner="kennel-2-1", kennel_until="tomorrow")
    assert set(load("reaper").handler({}, None)) == {silent, strange}
    assert living(ec2) == set()


def test_a_stopped_runner_is_ended_too(ec2: Any) -> None:
    """Its disk goes on costing."""
    late = rent(ec2, kennel_runner="kennel-1-1", kennel_until=at(-1))
    ec2.stop_instances(InstanceIds=[late])
    assert set(load("reaper").handler({}, None)) == {late}


def test_no_runner_is_older_than_the_most_hours_whatever_it_says() -> None:
    """Who can tag can say any time."""
    overdue = load("reaper").overdue
    tags = [{"Key": "kennel-until", "Value": at(1000)}]

    def why(hours: float) -> str | None:
        return overdue({"LaunchTime": NOW - timedelta(hours=hours), "Tags": tags}, NOW, 24.0)

    assert why(23.9) is None
    assert why(24.1) is None  # its own limit may be a moment late
    assert why(24.2) == "it runs for more than 24 hours"


def test_all_of_many_are_found(ec2: Any) -> None:
    late = rent_several(ec2, 30, kennel_runner="kennel-1-1", kennel_until=at(-1))
    assert set(load("reaper").handler({}, None)) == late


def test_one_that_cannot_be_ended_keeps_no_other_alive_and_is_not_kept_quiet(ec2: Any) -> None:
    held = rent(ec2, kennel_runner="kennel-1-1", kennel_until=at(-1))
    ec2.modify_instance_attribute(InstanceId=held, DisableApiTermination={"Value": True})
    late = rent(ec2, kennel_runner="kennel-2-1", kennel_until=at(-1))
    with pytest.raises(RuntimeError, match=held):
        load("reaper").handler({}, None)
    assert late not in living(ec2)
    assert held in living(ec2)


def test_nothing_to_do_is_no_failure(ec2: Any) -> None:
    assert load("reaper").handler({}, None) == {}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[str, str, Any]]]:
    """What Lambda was asked: method, path, body. It answers on the loopback."""
    found: list[tuple[str, str, Any]] = []

    class Lambda(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            found.append((self.command, self.path, json.loads(body)))
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Lambda) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
        yield found
        server.shutdown()
        thread.join()


def test_the_brake_takes_all_that_may_run_at_once(
    asked: list[tuple[str, str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("FUNCTION", "kennel-serve")
    load("brake").handler({"alarmData": {"alarmName": "kennel-serve-requests"}}, None)
    path = "/2017-10-31/functions/kennel-serve/concurrency"
    assert asked == [("PUT", path, {"ReservedConcurrentExecutions": 0})]
    assert "kennel-serve-requests" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["reaper", "brake"])
def test_a_function_fits_into_a_template(name: str) -> None:
    assert len((APP / "functions" / f"{name}.py").read_text(encoding="utf-8")) <= 4096


def test_every_function_is_one_that_is_tried_here() -> None:
    found = {path.stem for path in Path(APP / "functions").glob("*.py")}
    assert found == {"reaper", "brake"}
