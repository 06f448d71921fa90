"""What runs is told: since when, until when, for how much, and who knows of it."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from github_server import Github
from rented import NAME, Cloud, Rent

from kennel.cli import main
from kennel.cloud.standing import standing

pytestmark = pytest.mark.slow  # a server of AWS's


def test_a_machine_is_told_with_its_cost_so_far(cloud: Cloud, rent: Rent) -> None:
    rented = rent()
    [machine] = cloud.machines(NAME)
    later = machine["LaunchTime"].timestamp() + 90 * 60
    [told] = standing(now=lambda: later)
    assert (told.name, told.instance_id) == (NAME, rented.instance_id)
    assert (told.instance_type, told.market) == ("g4dn.xlarge", "on-demand")
    assert told.usd_so_far == pytest.approx(1.5 * 0.526, abs=1e-4)
    assert told.until == told.limit == rented.until
    assert told.registered == ""  # nobody was asked


def test_nothing_runs_where_nothing_runs(cloud: Cloud, rent: Rent) -> None:
    assert standing() == ()
    rent()
    assert standing("kennel-778-1") == ()


def test_a_machine_without_a_limit_is_shown_as_what_it_is(
    cloud: Cloud, rent: Rent, capsys: pytest.CaptureFixture[str]
) -> None:
    rent()
    cloud.client("scheduler").delete_schedule(Name=NAME)
    assert main(["cloud", "runner", "status"]) == 0
    assert "limit     NONE: nothing ends it from outside but a sweep" in capsys.readouterr().out


@pytest.mark.usefixtures("workflow")
@pytest.mark.parametrize(
    ("busy", "online", "registered"),
    [(False, True, "waits"), (True, True, "works"), (False, False, "offline")],
)
def test_what_github_says_of_it_is_told(
    *,
    busy: bool,
    online: bool,
    registered: str,
    hub: Github,
    rent: Rent,
    capsys: pytest.CaptureFixture[str],
) -> None:
    rent()
    hub.runners[0].update(status="online" if online else "offline", busy=busy)
    assert main(["cloud", "runner", "status", "--json"]) == 0
    [told] = json.loads(capsys.readouterr().out)
    assert told["registered"] == registered
    hub.runners.clear()
    assert main(["cloud", "runner", "status", "--name", NAME]) == 0
    out = capsys.readouterr().out
    assert "at GitHub gone" in out
    assert f"since     {datetime.now(UTC):%Y-%m-%d}" in out
