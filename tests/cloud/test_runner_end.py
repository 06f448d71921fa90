"""A machine ends: told to, at its limit, by a sweep; whoever was killed before."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from github_server import Github
from rented import NAME, Cloud, Rent

from kennel.cli import main
from kennel.cloud.runner import MOST_HOURS, stop, sweep

pytestmark = pytest.mark.slow  # a server of AWS's


@pytest.mark.parametrize("hold", ["before", "after"])
def test_a_job_that_is_killed_while_it_asks_for_the_machine_leaves_none_past_its_limit(
    hold: str, cloud: Cloud, env: dict[str, str]
) -> None:
    cloud.hold = hold
    words = [sys.executable, "-m", "kennel", "cloud", "runner", "start"]
    with subprocess.Popen(words, env=env, stderr=subprocess.DEVNULL) as job:
        assert cloud.held.wait(60)
        job.send_signal(signal.SIGKILL)
    made = cloud.machines(NAME)
    assert len(made) == (hold == "after")
    # The limit was there before the machine, so it finds what the job could not name.
    assert cloud.fire(NAME) == [each["InstanceId"] for each in made]
    assert cloud.machines() == []


def test_stopping_after_a_killed_start_needs_nothing_of_it(
    cloud: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, env: dict[str, str]
) -> None:
    cloud.hold = "after"
    words = [sys.executable, "-m", "kennel", "cloud", "runner", "start"]
    with subprocess.Popen(words, env=env, stderr=subprocess.DEVNULL) as job:
        assert cloud.held.wait(60)
        job.send_signal(signal.SIGKILL)
    for name in ("GITHUB_RUN_ID", "GITHUB_RUN_ATTEMPT", "GITHUB_REPOSITORY", "GITHUB_API_URL"):
        monkeypatch.setenv(name, env[name])
    assert not (tmp_path / "output").exists()  # the step that died told nobody its machine
    assert main(["cloud", "runner", "stop"]) == 0
    assert cloud.machines() == []
    assert cloud.limits() == {}


def test_stopping_twice_is_stopping_once(cloud: Cloud, rent: Rent) -> None:
    rented = rent()
    [ended] = stop(NAME)
    assert ended.instance_id == rented.instance_id
    assert cloud.machines() == []
    assert cloud.limits() == {}
    assert stop(NAME) == ()


def test_a_stop_that_sees_no_machine_leaves_the_limit_that_may(cloud: Cloud, rent: Rent) -> None:
    rented = rent()
    cloud.client("ec2").create_tags(
        Resources=[rented.instance_id], Tags=[{"Key": "kennel-runner", "Value": "not-yet-seen"}]
    )
    assert stop(NAME) == ()
    assert list(cloud.limits()) == [NAME]


def test_a_stop_ends_no_machine_of_another_run(cloud: Cloud, rent: Rent) -> None:
    other = rent(name="kennel-777-2")
    assert stop(NAME) == ()
    assert [each["InstanceId"] for each in cloud.machines()] == [other.instance_id]


def test_a_stop_is_done_even_where_github_refuses(
    cloud: Cloud,
    hub: Github,
    capsys: pytest.CaptureFixture[str],
    rent: Rent,
    workflow: dict[str, str],
) -> None:
    rent()
    hub.installed = False
    assert main(["cloud", "runner", "stop", "--json"]) == 0
    out, err = capsys.readouterr()
    [ended] = json.loads(out)
    assert ended["name"] == NAME
    assert "note: GitHub may list kennel-777-1 for a day" in err
    assert cloud.machines() == []


def test_a_stopped_runner_is_gone_from_githubs_list(
    cloud: Cloud, hub: Github, rent: Rent, workflow: dict[str, str]
) -> None:
    rent()
    assert [each["name"] for each in hub.runners] == [NAME]
    assert main(["cloud", "runner", "stop"]) == 0
    assert hub.runners == []


def test_a_sweep_ends_what_is_past_its_time_and_nothing_else(cloud: Cloud, rent: Rent) -> None:
    short = rent(name="kennel-1-1", hours=1)
    rent(name="kennel-2-1", hours=4)
    in_two_hours = datetime.now(UTC).timestamp() + 2 * 3600
    assert sweep() == ()
    [ended] = sweep(now=lambda: in_two_hours)
    assert ended.instance_id == short.instance_id
    assert "was to be gone at" in ended.why
    assert len(cloud.machines()) == 1


@pytest.mark.parametrize("until", ["", "tomorrow", "9999-99-99T00:00:00Z"])
def test_a_sweep_ends_a_runner_that_does_not_say_until_when(
    until: str, cloud: Cloud, rent: Rent
) -> None:
    rented = rent()
    tag = {"Key": "kennel-until", "Value": until}
    cloud.client("ec2").create_tags(Resources=[rented.instance_id], Tags=[tag])
    [ended] = sweep()
    assert ended.why == "its tag does not say until when"


def test_a_tag_that_was_moved_does_not_keep_a_machine(cloud: Cloud, rent: Rent) -> None:
    rented = rent()
    tag = {"Key": "kennel-until", "Value": "2099-01-01T00:00:00Z"}
    cloud.client("ec2").create_tags(Resources=[rented.instance_id], Tags=[tag])
    later = datetime.now(UTC).timestamp() + (MOST_HOURS + 1) * 3600
    [ended] = sweep(now=lambda: later)
    assert ended.why == "it runs for more than 24 hours"


def test_a_sweep_looks_at_no_machine_that_is_not_a_runners(cloud: Cloud) -> None:
    ec2 = cloud.client("ec2")
    image = ec2.describe_images()["Images"][0]["ImageId"]
    made = ec2.run_instances(ImageId=image, MinCount=1, MaxCount=1)
    other = made["Instances"][0]["InstanceId"]
    later = datetime.now(UTC).timestamp() + 1000 * 3600
    assert sweep(now=lambda: later) == ()
    state = ec2.describe_instances(InstanceIds=[other])["Reservations"][0]["Instances"][0]["State"]
    assert state["Name"] == "running"
    ec2.terminate_instances(InstanceIds=[other])
