"""A rented machine does one job and is gone: told to, by itself, or at its limit outside."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from github_server import APP, REPOSITORY, Github, github_server
from rented import ENDER, Cloud, rented_cloud

from kennel.cli import main
from kennel.cloud import CloudError
from kennel.cloud.boot import MOST_BYTES, boot_script
from kennel.cloud.machine import Wish
from kennel.cloud.runner import MOST_HOURS, Rented, run_name, start, stop, sweep
from kennel.errors import KennelError, UsageError
from kennel.github import Api, GithubError
from kennel.github.runners import Software

pytestmark = pytest.mark.slow  # a server of AWS's, and processes that are killed
NAME = "kennel-777-1"
Rent = Callable[..., Rented]


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    with rented_cloud(tmp_path_factory.mktemp("aws")) as cloud:
        yield cloud


@pytest.fixture(scope="module")
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
        instance_type="g4dn.xlarge",
        market="on-demand",
        hours=4,
        ender=ENDER,
        app_id="12345",
        app_key=key,
    )


@pytest.fixture
def rent(wish: Wish, api: Api) -> Rent:
    """`start`, of the wish with what is changed in it; `now` and `sleep` are handed on."""

    def starting(**changed: Any) -> Rented:
        clock = {name: changed.pop(name) for name in ("now", "sleep") if name in changed}
        return start(replace(wish, **changed), api, **clock)

    return starting


@pytest.fixture
def workflow(env: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """A workflow's environment, as this process has it."""
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    return env


def told(cloud: Cloud) -> str:
    """What the machine was told to do, as EC2 got it."""
    [request] = [each for each in cloud.asked if each["Action"] == ["RunInstances"]]
    return base64.b64decode(request["UserData"][0]).decode()


# starting


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
    assert request["ClientToken"] == [NAME]


def test_spot_is_asked_for_once_and_not_persistently(cloud: Cloud, rent: Rent) -> None:
    rent(market="spot")
    [request] = [each for each in cloud.asked if each["Action"] == ["RunInstances"]]
    assert request["InstanceMarketOptions.MarketType"] == ["spot"]
    assert request["InstanceMarketOptions.SpotOptions.SpotInstanceType"] == ["one-time"]


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


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("InsufficientInstanceCapacity", "try later"),
        ("VcpuLimitExceeded", "a new account has 0"),
        ("MaxSpotInstanceCountExceeded", "a new account has 0"),
        ("UnauthorizedOperation", "the role needs the right"),
        ("InvalidLaunchTemplateName.NotFoundException", "KENNEL_RUNNER_TEMPLATE"),
        ("SomethingNew", "see the settings"),
    ],
)
def test_a_refused_machine_is_said_with_its_mend_and_leaves_nothing(
    code: str, says: str, cloud: Cloud, hub: Github, rent: Rent
) -> None:
    cloud.code, cloud.message = code, "We have no g4dn.xlarge."
    with pytest.raises(CloudError) as error:
        rent()
    assert code in error.value.message
    assert "We have no g4dn.xlarge" in error.value.message
    assert says in error.value.fix
    assert cloud.limits() == {}
    assert cloud.machines() == []
    assert hub.runners == []
    assert hub.revoked == 2


def test_a_machine_that_may_exist_unanswered_keeps_its_limit(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, rent: Rent
) -> None:
    monkeypatch.setattr("kennel.cloud.READ_S", 2)
    monkeypatch.setenv("AWS_CLIENT", "of this test")  # so that it is not an earlier one
    cloud.hold = "after"
    with pytest.raises(CloudError, match="does not answer"):
        rent()
    [machine] = cloud.machines(NAME)
    assert cloud.fire(NAME) == [machine["InstanceId"]]


def test_a_key_that_is_not_the_apps_is_said(cloud: Cloud, rent: Rent) -> None:
    other = cloud.client("kms").create_key(KeySpec="RSA_2048", KeyUsage="SIGN_VERIFY")
    with pytest.raises(GithubError) as error:
        rent(app_key=other["KeyMetadata"]["KeyId"])
    assert "KENNEL_APP_KEY" in error.value.fix
    assert cloud.limits() == {}
    assert cloud.asked == []


@pytest.mark.parametrize("app_key", ["alias/nobody", "1234abcd-0000-0000-0000-000000000000"])
def test_a_key_that_does_not_exist_is_said(app_key: str, cloud: Cloud, rent: Rent) -> None:
    with pytest.raises(CloudError) as error:
        rent(app_key=app_key)
    assert app_key in error.value.message
    assert "KENNEL_APP_KEY" in error.value.fix
    assert cloud.limits() == {}


def test_an_app_that_is_not_installed_is_said(hub: Github, rent: Rent) -> None:
    hub.installed = False
    with pytest.raises(GithubError) as error:
        rent()
    assert "installed on the repository" in error.value.fix


def test_a_runner_that_does_not_come_costs_no_more_than_ten_minutes(
    cloud: Cloud, hub: Github, rent: Rent
) -> None:
    hub.online = False
    clock = datetime.now(UTC).timestamp()
    waited: list[float] = []
    hub.now = lambda: clock + sum(waited)
    with pytest.raises(CloudError, match="did not come within 10 minutes") as error:
        rent(now=hub.now, sleep=waited.append)
    assert "network must let it out" in error.value.fix
    assert 600 <= sum(waited) <= 620
    assert cloud.machines() == []
    assert cloud.limits() == {}
    assert hub.runners == []


def test_a_machine_that_dies_at_once_is_said(cloud: Cloud, hub: Github, rent: Rent) -> None:
    hub.online = False

    def taken_away(_: float) -> None:
        found = [each["InstanceId"] for each in cloud.machines(NAME)]
        cloud.client("ec2").terminate_instances(InstanceIds=found)

    with pytest.raises(CloudError, match="is terminated before its runner came"):
        rent(sleep=taken_away)
    assert cloud.limits() == {}


def test_a_passing_fault_of_github_does_not_end_the_machine(
    cloud: Cloud, hub: Github, rent: Rent
) -> None:
    path = f"GET /repos/{REPOSITORY}/actions/runners/{hub.number + 1}"
    hub.refuse[path] = 502
    rented = rent(sleep=lambda _: hub.refuse.clear())
    assert [each["InstanceId"] for each in cloud.machines(NAME)] == [rented.instance_id]


def test_the_same_run_has_one_machine(cloud: Cloud, rent: Rent) -> None:
    rent()
    with pytest.raises(CloudError) as error:
        rent()
    assert "kennel cloud runner stop" in error.value.fix
    assert len(cloud.machines(NAME)) == 1
    assert list(cloud.limits()) == [NAME]


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"hours": 0.0}, "KENNEL_RUNNER_HOURS"),
        ({"hours": float("nan")}, "KENNEL_RUNNER_HOURS"),
        ({"hours": MOST_HOURS + 1}, "KENNEL_RUNNER_HOURS"),
        ({"market": "reserved"}, "KENNEL_RUNNER_MARKET"),
        ({"name": "kennel; rm"}, "--name"),
    ],
)
def test_a_wish_that_cannot_be_met_asks_nobody(
    changed: dict[str, object], says: str, cloud: Cloud, hub: Github, rent: Rent
) -> None:
    with pytest.raises(UsageError) as error:
        rent(**changed)  # type: ignore[arg-type]
    assert says in error.value.fix
    assert cloud.limits() == {}
    assert hub.asked == []


def test_what_a_machine_is_told_fits_or_is_refused() -> None:
    archive = Software("https://github.example/runner.tar.gz", "ab" * 32)
    long = boot_script(software=archive, config="A" * 15_500, minutes=10)
    assert len(long) <= MOST_BYTES
    noise = base64.b64encode(os.urandom(30_000)).decode()
    with pytest.raises(CloudError, match="EC2 takes 16384"):
        boot_script(software=archive, config=noise, minutes=10)


# killed


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


# stopping


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


# sweeping


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


# the verb


def test_the_verb_tells_the_next_job_the_label_and_the_log_does_not(
    cloud: Cloud,
    hub: Github,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    workflow: dict[str, str],
) -> None:
    assert main(["cloud", "runner", "start", "--hours", "1"]) == 0
    out, err = capsys.readouterr()
    label = (tmp_path / "output").read_text(encoding="utf-8").removeprefix("label=").strip()
    assert label in hub.invited[0]["labels"]
    assert label not in out + err
    assert out.splitlines()[-1] == "next: kennel cloud runner stop --name kennel-777-1"


@pytest.mark.parametrize(
    "missing",
    [
        "KENNEL_RUNNER_TEMPLATE",
        "KENNEL_RUNNER_ENDER",
        "KENNEL_APP_ID",
        "GITHUB_RUN_ID",
        "AWS_REGION",
    ],
)
def test_a_setting_that_is_missing_is_named(
    missing: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    workflow: dict[str, str],
) -> None:
    monkeypatch.delenv(missing)
    if missing == "AWS_REGION":
        monkeypatch.delenv("AWS_DEFAULT_REGION")
        monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    assert main(["cloud", "runner", "start"]) in (1, 2)
    err = capsys.readouterr().err
    assert missing in err
    assert "fix: " in err
    assert not (tmp_path / "output").exists()


def test_no_credentials_are_said_with_their_mend(
    cloud: Cloud,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    assert main(["cloud", "runner", "sweep"]) == 1
    assert "id-token: write" in capsys.readouterr().err


def test_names_follow_from_the_run() -> None:
    assert run_name("777", "2") == "kennel-777-2"
    with pytest.raises(KennelError):
        run_name("../..", "1")
