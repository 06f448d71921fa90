"""AWS on this machine, for tests that rent: moto's server, and before its EC2 a door that can
refuse, wait, or let through and not answer, as the real one does.
"""

from __future__ import annotations

import json
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import boto3
from storage import s3_server

from kennel.cloud.runner import Rented

REGION = "us-east-1"
NAME = "kennel-777-1"
Rent = Callable[..., Rented]  # see the fixture of that name
ENDER = "arn:aws:iam::123456789012:role/kennel-runner-ender"
ERROR = (
    "<Response><Errors><Error><Code>{code}</Code><Message>{message}</Message></Error></Errors>"
    "<RequestID>1</RequestID></Response>"
)

NONE = b"<DescribeInstancesResponse><reservationSet/></DescribeInstancesResponse>"


@cache
def client_of(address: str, service: str) -> Any:
    return boto3.client(
        service,
        endpoint_url=address,
        region_name=REGION,
        aws_access_key_id="any",
        aws_secret_access_key="any",
    )


@dataclass
class Cloud:
    """AWS, and how it behaves.

    Attributes:
        address: of all services. door: of EC2, where RunInstances can be held up.
        code: with which RunInstances is refused; "" lets it through.
        scarce: types, markets or subnets -> the code with which they are refused.
        faults: of the next requests for a machine, in order: "" none; "drop-before" and
            "drop-after" close the connection before or after it was made; "fail-before" and
            "fail-after" say 500.
        unseen: a search for machines finds none, as just after one was made.
        hold: "before" waits before the machine is made, "after" makes it and says nothing.
        held: is set when a request waits.
        made: client token -> what was asked with it, and what was answered.
    """

    address: str
    door: str = ""
    code: str = ""
    message: str = ""
    scarce: dict[str, str] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    made: dict[str, tuple[dict[str, list[str]], tuple[int, bytes]]] = field(default_factory=dict)
    unseen: bool = False
    hold: str = ""
    held: threading.Event = field(default_factory=threading.Event)
    go_on: threading.Event = field(default_factory=threading.Event)
    asked: list[dict[str, list[str]]] = field(default_factory=list)

    def client(self, service: str) -> Any:
        return client_of(self.address, service)

    def environment(self) -> dict[str, str]:
        """What a workflow has after it took its role, and its variables."""
        return {
            "AWS_ENDPOINT_URL": self.address,
            "AWS_ENDPOINT_URL_EC2": self.door or self.address,
            "AWS_ACCESS_KEY_ID": "any",
            "AWS_SECRET_ACCESS_KEY": "any",
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_MAX_ATTEMPTS": "1",
        }

    def machines(self, name: str | None = None) -> list[dict[str, Any]]:
        """Runners' machines that cost money."""
        pages = self.client("ec2").describe_instances()["Reservations"]
        found = [each for page in pages for each in page["Instances"]]
        return [
            each
            for each in found
            if each["State"]["Name"] in ("pending", "running")
            and any(
                tag["Key"] == "kennel-runner" and name in (None, tag["Value"])
                for tag in each.get("Tags", ())
            )
        ]

    def limits(self) -> dict[str, dict[str, Any]]:
        """Schedules by name."""
        scheduler = self.client("scheduler")
        names = [each["Name"] for each in scheduler.list_schedules()["Schedules"]]
        return {name: scheduler.get_schedule(Name=name) for name in names}

    def fire(self, name: str) -> list[str]:
        """Does what the Scheduler would at that limit's time, as AWS documents it: SSM runs
        AWS-TerminateEC2Instance on each machine that has the tag. moto keeps schedules and fires
        none.

        Returns:
            ids of the machines that were ended.
        """
        target = self.limits()[name]["Target"]
        assert target["Arn"] == "arn:aws:scheduler:::aws-sdk:ssm:startAutomationExecution"
        assert target["RoleArn"] == ENDER
        told = json.loads(target["Input"])
        assert told["DocumentName"] == "AWS-TerminateEC2Instance"
        assert told["TargetParameterName"] == "InstanceId"
        filters = [{"Name": each["Key"], "Values": each["Values"]} for each in told["Targets"]]
        filters.append({"Name": "instance-state-name", "Values": ["pending", "running"]})
        pages = self.client("ec2").describe_instances(Filters=filters)["Reservations"]
        found = [each["InstanceId"] for page in pages for each in page["Instances"]]
        if found:
            self.client("ec2").terminate_instances(InstanceIds=found)
        self.client("scheduler").delete_schedule(Name=name)
        return found

    def fires_at(self, name: str) -> datetime:
        limit = self.limits()[name]
        assert limit["ScheduleExpressionTimezone"] == "UTC"
        assert limit["ActionAfterCompletion"] == "DELETE"
        found = datetime.strptime(limit["ScheduleExpression"], "at(%Y-%m-%dT%H:%M:%S)")
        return found.replace(tzinfo=UTC)


@contextmanager
def rented_cloud(folder: Path) -> Iterator[Cloud]:
    """AWS with a launch template `kennel-runner`, until the block ends."""
    with s3_server(folder) as address:
        cloud = Cloud(address)
        ec2 = cloud.client("ec2")
        image = ec2.describe_images()["Images"][0]["ImageId"]
        ec2.create_launch_template(
            LaunchTemplateName="kennel-runner", LaunchTemplateData={"ImageId": image}
        )
        with ThreadingHTTPServer(("127.0.0.1", 0), _door(cloud)) as server:
            cloud.door = f"http://127.0.0.1:{server.server_address[1]}"
            thread = threading.Thread(target=server.serve_forever, daemon=True)
            thread.start()
            try:
                yield cloud
            finally:
                cloud.go_on.set()
                server.shutdown()
                thread.join()


def refused(cloud: Cloud, told: dict[str, list[str]]) -> str:
    """The code with which a request for a machine is refused; "" where there is one."""
    market = (told.get("InstanceMarketOptions.MarketType") or ["on-demand"])[0]
    kind, subnet = told["InstanceType"][0], (told.get("SubnetId") or [""])[0]
    found = [cloud.scarce.get(each) for each in (f"{kind} {market}", kind, market, subnet)]
    return cloud.code or next(filter(None, found), "")


def _door(cloud: Cloud) -> type[BaseHTTPRequestHandler]:
    class Door(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            told = parse_qs(body.decode())
            cloud.asked.append(told)
            if told.get("Action") == ["RunInstances"]:
                self._rent(told, body)
            elif cloud.unseen and told.get("Action") == ["DescribeInstances"]:
                self._say(200, NONE)
            else:
                self._say(*self._through(body))

        def _rent(self, told: dict[str, list[str]], body: bytes) -> None:
            fault = cloud.faults.pop(0) if cloud.faults else ""
            if cloud.hold == "before":
                self._wait()
            elif fault == "drop-before":
                self.close_connection = True
            elif fault == "fail-before":
                self._refuse("InternalError")
            elif code := refused(cloud, told):
                self._refuse(code)
            else:
                answer = self._once(told, body)
                if cloud.hold == "after":
                    self._wait()
                elif fault == "drop-after":
                    self.close_connection = True
                elif fault == "fail-after":
                    self._refuse("InternalError")
                else:
                    self._say(*answer)

        def _refuse(self, code: str) -> None:
            status = 500 if code.startswith(("Internal", "Insufficient")) else 400
            self._say(status, ERROR.format(code=code, message=cloud.message).encode())

        def _once(self, told: dict[str, list[str]], body: bytes) -> tuple[int, bytes]:
            """As EC2 does, and moto does not: of one client token there is one machine."""
            [token] = told["ClientToken"]
            if token not in cloud.made:
                cloud.made[token] = (told, self._through(body))
            before, answer = cloud.made[token]
            if before != told:
                text = ERROR.format(code="IdempotentParameterMismatch", message=cloud.message)
                return 400, text.encode()
            return answer

        def _through(self, body: bytes) -> tuple[int, bytes]:
            kept = ("Authorization", "Content-Type", "X-Amz-Date", "X-Amz-Content-Sha256")
            headers = {name: self.headers[name] for name in kept if self.headers[name]}
            request = urllib.request.Request(cloud.address, body, headers)
            try:
                with urllib.request.urlopen(request, timeout=60) as answer:
                    return answer.status, answer.read()
            except urllib.error.HTTPError as error:
                return error.code, error.read()

        def _wait(self) -> None:
            cloud.held.set()
            cloud.go_on.wait(60)
            self.close_connection = True

        def _say(self, status: int, content: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "text/xml")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            pass

    return Door
