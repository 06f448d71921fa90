"""What is refused is said with its mend, and leaves nothing that costs."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from github_server import REPOSITORY, Github
from rented import NAME, Cloud, Rent

from kennel.cloud import CloudError
from kennel.cloud.runner import MOST_HOURS
from kennel.errors import UsageError
from kennel.github import GithubError

pytestmark = pytest.mark.slow  # a server of AWS's


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


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"hours": 0.0}, "KENNEL_RUNNER_HOURS"),
        ({"hours": float("nan")}, "KENNEL_RUNNER_HOURS"),
        ({"hours": MOST_HOURS + 1}, "KENNEL_RUNNER_HOURS"),
        ({"market": "reserved"}, "KENNEL_RUNNER_MARKET"),
        ({"name": "kennel; rm"}, "--name"),
        ({"most_usd": 0.5}, "KENNEL_RUNNER_MOST_USD=0.526"),
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
