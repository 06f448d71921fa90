"""The emulated AWS: its process, how Kennel is pointed at it, and what it says of a function."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from kennel.cloud import CloudError
from kennel.cloud.rehearsal.door import Url
from kennel.cloud.rehearsal.sandbox import Configuration
from kennel.errors import need

STOP_S = 5.0  # what its process has to end by itself
ACCOUNT = "123456789012"
ALIAS = "live"
START_S = 60.0


@dataclass
class Emulator:
    """AWS on this machine.

    Attributes:
        function: whose URL the door is.
        heard: file with who asked what. settings: an empty file, instead of a person's own.
        ours, moto: types of CloudFormation that are played, and by whom.
        keys: access key -> secret, of users that were made here.
    """

    address: str
    region: str
    function: str
    process: subprocess.Popen[bytes]
    log: Path
    heard: Path
    settings: Path
    ours: frozenset[str]
    moto: frozenset[str]
    keys: dict[str, str] = field(default_factory=dict)
    users: dict[str, str] = field(default_factory=dict)

    def client(self, service: str) -> Any:
        return _client(self.address, self.region, service)

    def environment(self, user: str = "") -> dict[str, str]:
        """What points a process at it, and at nothing else of AWS; signed in as that user."""
        key = next((key for key, name in self.users.items() if name == user), "rehearsal")
        return {
            "AWS_ENDPOINT_URL": self.address,
            "AWS_ACCESS_KEY_ID": key,
            "AWS_SECRET_ACCESS_KEY": self.keys.get(key, "rehearsal"),
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": str(self.settings),
            "AWS_SHARED_CREDENTIALS_FILE": str(self.settings),
            "AWS_MAX_ATTEMPTS": "2",
        }

    def user(self, name: str, policy: Mapping[str, Any]) -> tuple[str, str]:
        """Makes a user with that policy. Returns: access key and secret."""
        iam = self.client("iam")
        iam.create_user(UserName=name)
        iam.put_user_policy(UserName=name, PolicyName="own", PolicyDocument=json.dumps(policy))
        found = iam.create_access_key(UserName=name)["AccessKey"]
        key, secret = str(found["AccessKeyId"]), str(found["SecretAccessKey"])
        self.keys[key], self.users[key] = secret, name
        return key, secret

    def forget_user(self, name: str) -> None:
        """Removes what `user` made."""
        iam = self.client("iam")
        for key in [key for key, user in self.users.items() if user == name]:
            iam.delete_access_key(UserName=name, AccessKeyId=key)
            del self.users[key], self.keys[key]
        iam.delete_user_policy(UserName=name, PolicyName="own")
        iam.delete_user(UserName=name)

    # ---- what the door asks

    def secrets(self) -> Mapping[str, str]:
        return self.keys

    def who(self, access_key: str) -> tuple[str, list[Mapping[str, Any]]]:
        name, iam = self.users[access_key], self.client("iam")
        arn = iam.get_user(UserName=name)["User"]["Arn"]
        names = iam.list_user_policies(UserName=name)["PolicyNames"]
        found = [iam.get_user_policy(UserName=name, PolicyName=each) for each in names]
        return arn, [_document(each["PolicyDocument"]) for each in found]

    def url(self) -> Url | None:
        aws = self.client("lambda")
        missing = aws.exceptions.ResourceNotFoundException
        try:
            told = aws.get_function_url_config(FunctionName=self.function, Qualifier=ALIAS)
            found = aws.get_function(FunctionName=self.function, Qualifier=ALIAS)
        except missing:
            return None
        try:
            policy = json.loads(
                aws.get_policy(FunctionName=self.function, Qualifier=ALIAS)["Policy"]
            )
        except missing:
            policy = None
        arn = f"{told['FunctionArn'].removesuffix(f':{ALIAS}')}:{ALIAS}"  # moto knows no qualifier
        reserved = aws.get_function_concurrency(FunctionName=self.function)
        most = reserved.get("ReservedConcurrentExecutions")
        return Url(
            auth=told["AuthType"],
            arn=arn,
            policy=policy,
            concurrency=None if most is None else int(most),
            configuration=_configuration(found, arn, self.region),
        )

    # ---- where a function's words go

    def hand_on(self, how: Configuration, lines: list[str]) -> None:
        """Writes what a function said into its log group, and makes that where it is missing, as
        Lambda does: this is how a group comes back that was deleted too early."""
        logs, group = self.client("logs"), f"/aws/lambda/{how.name}"
        stream = f"[{how.version}]rehearsal"
        there = logs.exceptions.ResourceAlreadyExistsException
        with suppress(there):
            logs.create_log_group(logGroupName=group)
        with suppress(there):
            logs.create_log_stream(logGroupName=group, logStreamName=stream)
        now = int(time.time() * 1000)
        events = [{"timestamp": now, "message": line} for line in lines]
        logs.put_log_events(logGroupName=group, logStreamName=stream, logEvents=events)


@cache
def _client(address: str, region: str, service: str) -> Any:
    return need("boto3", extra="rehearse").client(
        service,
        endpoint_url=address,
        region_name=region,
        aws_access_key_id="rehearsal",
        aws_secret_access_key="rehearsal",  # noqa: S106 - of nothing
    )


def _document(said: Any) -> Mapping[str, Any]:
    found: Mapping[str, Any] = json.loads(said) if isinstance(said, str) else said
    return found


def _configuration(found: dict[str, Any], arn: str, region: str) -> Configuration:
    told = found["Configuration"]
    digest = str(found.get("Code", {}).get("ImageUri", "")).rpartition("@")[2]
    return Configuration(
        name=told["FunctionName"],
        arn=arn,
        version=told["Version"],
        digest=digest,
        region=region,
        memory_mb=int(told["MemorySize"]),
        timeout_s=float(told["Timeout"]),
        environment=tuple(sorted(told.get("Environment", {}).get("Variables", {}).items())),
    )


@contextmanager
def emulated(folder: Path, *, door: str, region: str, function: str) -> Iterator[Emulator]:
    """AWS, in memory, while the block runs.

    Args:
        folder: for its log.
        door: address that a function URL is to have.
    Raises:
        MissingExtraError: moto is not installed. CloudError: it does not start.
    """
    for module in ("moto", "flask", "flask_cors", "boto3"):
        need(module, extra="rehearse")
    log, heard = folder / "aws.log", folder / "heard"
    settings = folder / "no-settings"
    settings.touch()
    with log.open("wb") as file:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "kennel.cloud.rehearsal.aws"),
                *("--door", door, "--heard", str(heard)),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=file,
            process_group=0,
        )
    try:
        assert process.stdout is not None
        first = process.stdout.readline()
        if not first:
            raise CloudError(
                f"moto's server did not start: {log.read_text(errors='replace')[-500:]}",
                fix="pip install 'kennel-ml[rehearse]'",
            )
        said = json.loads(first)
        yield Emulator(
            said["address"],
            region,
            function,
            process,
            log,
            heard,
            settings,
            frozenset(said["ours"]),
            frozenset(said["moto"]),
        )
    finally:
        assert process.stdin is not None
        process.stdin.close()  # which ends it
        try:
            process.wait(timeout=STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
