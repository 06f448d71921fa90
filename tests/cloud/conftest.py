"""AWS and GitHub on this machine, and a wish for a runner's machine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from deployed_place import Place
from emulated_aws import Aws, emulated_aws, stand_in_engine
from github_server import REPOSITORY, Github, github_server
from rented import ENDER, NAME, Cloud, Rent, rented_cloud
from small_stacks import REGION, write_stacks

from kennel.cloud.machine import Wish
from kennel.cloud.offers import Kind
from kennel.cloud.runner import Rented, start
from kennel.github import Api


@pytest.fixture(scope="session")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    with rented_cloud(tmp_path_factory.mktemp("aws")) as cloud:
        yield cloud


@pytest.fixture(scope="session")
def key(aws: Cloud) -> str:
    """The App's key, in KMS."""
    made = aws.client("kms").create_key(KeySpec="RSA_2048", KeyUsage="SIGN_VERIFY")
    return str(made["KeyMetadata"]["KeyId"])


@pytest.fixture
def cloud(aws: Cloud, key: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    """AWS with nothing in it, as a workflow's environment names it."""
    for name in [name for name in os.environ if name.startswith(("AWS_", "GITHUB_", "KENNEL_"))]:
        monkeypatch.delenv(name)
    for name, value in aws.environment().items():
        monkeypatch.setenv(name, value)
    aws.code = aws.message = aws.hold = ""
    aws.unseen = False
    aws.scarce.clear()
    aws.faults.clear()
    aws.made.clear()
    aws.held.clear()
    aws.go_on.clear()
    aws.asked.clear()
    for each in aws.machines():
        aws.client("ec2").terminate_instances(InstanceIds=[each["InstanceId"]])
    for name in aws.limits():
        aws.client("scheduler").delete_schedule(Name=name)
    yield aws
    aws.go_on.set()


@pytest.fixture
def hub(cloud: Cloud, key: str) -> Iterator[Github]:
    """GitHub, which knows the public half of the App's key."""
    der = cloud.client("kms").get_public_key(KeyId=key)["PublicKey"]
    public = serialization.load_der_public_key(der)
    assert isinstance(public, rsa.RSAPublicKey)

    def own(message: bytes, signature: bytes) -> bool:
        try:
            public.verify(signature, message, padding.PKCS1v15(), hashes.SHA256())
        except InvalidSignature:
            return False
        return True

    with github_server() as server:
        server.verify = own
        yield server


@pytest.fixture
def api(hub: Github) -> Api:
    return Api(REPOSITORY, token="", address=hub.address)


@pytest.fixture
def wish(key: str) -> Wish:
    return Wish(
        name=NAME,
        template="kennel-runner",
        kinds=(Kind("g4dn.xlarge", 0.526),),
        market="on-demand",
        hours=4,
        ender=ENDER,
        app_id="12345",
        app_key=key,
    )


@pytest.fixture
def rent(wish: Wish, api: Api) -> Rent:
    """`start`, of the wish with what is changed in it; `now`, `sleep` and `say` are handed on."""

    def starting(**changed: Any) -> Rented:
        clock = {name: changed.pop(name) for name in ("now", "sleep", "say") if name in changed}
        return start(replace(wish, **changed), api, **clock)

    return starting


@pytest.fixture
def workflow(env: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """A workflow's environment, as this process has it."""
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    return env


@pytest.fixture
def env(cloud: Cloud, hub: Github, key: str, tmp_path: Path) -> dict[str, str]:
    """What a workflow's job has."""
    return {
        **os.environ,
        **cloud.environment(),
        "GITHUB_REPOSITORY": REPOSITORY,
        "GITHUB_API_URL": hub.address,
        "GITHUB_RUN_ID": "777",
        "GITHUB_RUN_ATTEMPT": "1",
        "GITHUB_OUTPUT": str(tmp_path / "output"),
        "KENNEL_RUNNER_TEMPLATE": "kennel-runner",
        "KENNEL_RUNNER_ENDER": ENDER,
        "KENNEL_APP_ID": "12345",
        "KENNEL_APP_KEY": key,
    }


@pytest.fixture(scope="session")
def emulator() -> Iterator[Aws]:
    with emulated_aws() as aws:
        yield aws


@pytest.fixture
def place(emulator: Aws, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    """An AWS with nothing in it, templates, a bundle, and an image of it."""
    for name in [name for name in os.environ if name.startswith(("AWS_", "GITHUB_"))]:
        monkeypatch.delenv(name)
    emulator.reset()
    engine = stand_in_engine(tmp_path / "engine")
    for name, value in {**emulator.environment(), **engine.environment()}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_REGION", REGION)
    monkeypatch.setattr("kennel.cloud.stacks.POLL_S", 0.01)
    here = Place(tmp_path, write_stacks(tmp_path / "templates"), emulator, engine)
    here.use("tiny-first")
    yield here
    emulator.go_on.set()
