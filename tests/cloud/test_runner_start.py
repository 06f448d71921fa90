"""A rented machine has its limit before it has itself, does one job, and no right in AWS."""

from __future__ import annotations

import base64
import os
import subprocess
from datetime import UTC, datetime, timedelta

import pytest
from github_server import APP, Github
from rented import NAME, Cloud, Rent

from kennel.cloud import CloudError
from kennel.cloud.boot import MOST_BYTES, boot_script
from kennel.github.runners import Software

pytestmark = pytest.mark.slow  # a server of AWS's


def told(cloud: Cloud) -> str:
    """What the machine was told to do, as EC2 got it."""
    [request] = [each for each in cloud.asked if each["Action"] == ["RunInstances"]]
    return base64.b64decode(request["UserData"][0]).decode()


def test_the_machine_has_a_limit_outside_itself_that_ends_it(cloud: Cloud, rent: Rent) -> None:
    before = datetime.now(UTC)
    rented = rent()
    assert [each["InstanceId"] for each in cloud.machines(NAME)] == [rented.instance_id]
    fires = cloud.fires_at(NAME)
    assert (
        timedelta(hours=4) - timedelta(minutes=1) < fires - before <= timedelta(hours=4, minutes=1)
    )
    assert rented.until == f"{fires:%Y-%m-%dT%H:%M:%SZ}"
    # The limit fires: the machine is gone, although nobody on it or at GitHub did anything.
    assert cloud.fire(NAME) == [rented.instance_id]
    assert cloud.machines() == []


def test_the_limit_ends_no_other_machine(cloud: Cloud, rent: Rent) -> None:
    other = rent(name="kennel-777-2")
    own = rent()
    assert cloud.fire(NAME) == [own.instance_id]
    assert [each["InstanceId"] for each in cloud.machines()] == [other.instance_id]


def test_the_machine_ends_itself_after_its_job_and_before_its_limit(
    cloud: Cloud, rent: Rent
) -> None:
    rent()
    [request] = [each for each in cloud.asked if each["Action"] == ["RunInstances"]]
    assert request["InstanceInitiatedShutdownBehavior"] == ["terminate"]
    script = told(cloud)
    done = subprocess.run(["bash", "-n"], input=script, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "trap 'shutdown -h now' EXIT" in script
    assert "shutdown -h +230\n" in script  # of 240 minutes


def test_the_machine_has_no_role_and_no_open_metadata(cloud: Cloud, rent: Rent) -> None:
    rent()
    [request] = [each for each in cloud.asked if each["Action"] == ["RunInstances"]]
    assert not [name for name in request if name.startswith("IamInstanceProfile")]
    assert not [name for name in request if name.startswith("KeyName")]
    assert request["MetadataOptions.HttpTokens"] == ["required"]
    assert request["MetadataOptions.HttpPutResponseHopLimit"] == ["1"]


def test_spot_is_asked_for_once_and_not_persistently(cloud: Cloud, rent: Rent) -> None:
    rent(market="spot")
    [request] = [each for each in cloud.asked if each["Action"] == ["RunInstances"]]
    assert request["InstanceMarketOptions.MarketType"] == ["spot"]
    assert request["InstanceMarketOptions.SpotOptions.SpotInstanceType"] == ["one-time"]
    assert request["InstanceMarketOptions.SpotOptions.MaxPrice"] == ["1.2500"]


def test_the_runner_takes_one_job_of_a_label_that_nobody_can_guess(
    cloud: Cloud, hub: Github, rent: Rent
) -> None:
    rented = rent()
    [invited] = hub.invited
    assert invited["name"] == NAME
    assert rented.label in invited["labels"]
    assert rented.label != rent(name="kennel-777-2").label
    assert len(rented.label.removeprefix(f"{NAME}-")) == 16
    first = base64.b64decode(
        next(a for a in cloud.asked if "UserData" in a)["UserData"][0]
    ).decode()
    assert "./run.sh --jitconfig '" in first
    assert f"{'ab' * 32}  runner.tar.gz" in first  # the checksum that GitHub names


def test_the_token_is_for_this_repository_and_is_given_back(
    cloud: Cloud, hub: Github, rent: Rent
) -> None:
    rent()  # the server refuses a token for more: see github_server.access_token
    assert hub.revoked == 1
    script = told(cloud)
    assert APP not in script


def test_the_same_run_has_one_machine(cloud: Cloud, rent: Rent) -> None:
    rent()
    with pytest.raises(CloudError) as error:
        rent()
    assert "kennel cloud runner stop" in error.value.fix
    assert len(cloud.machines(NAME)) == 1
    assert list(cloud.limits()) == [NAME]


def test_what_a_machine_is_told_fits_or_is_refused() -> None:
    archive = Software("https://github.example/runner.tar.gz", "ab" * 32)
    long = boot_script(software=archive, config="A" * 15_500, minutes=10)
    assert len(long) <= MOST_BYTES
    noise = base64.b64encode(os.urandom(30_000)).decode()
    with pytest.raises(CloudError, match="EC2 takes 16384"):
        boot_script(software=archive, config=noise, minutes=10)
