"""One machine of whatever there is: what is certainly refused gives way to the next."""

from __future__ import annotations

import itertools

import pytest
from github_server import Github
from rented import NAME, Cloud, Rent

from kennel.cloud import CloudError
from kennel.cloud.offers import Kind, kinds_named, most_named, offers, subnets_named
from kennel.errors import UsageError

SMALL, LARGE = Kind("g4dn.xlarge", 0.526), Kind("g5.xlarge", 1.006)


@pytest.fixture
def zones(cloud: Cloud) -> tuple[str, ...]:
    """Subnets in two zones."""
    found = cloud.client("ec2").describe_subnets()["Subnets"]
    return tuple(each["SubnetId"] for each in found[:2])


def asked(cloud: Cloud) -> list[str]:
    """Which machines EC2 was asked for, in order."""
    return [
        " ".join(
            [
                each["InstanceType"][0],
                (each.get("InstanceMarketOptions.MarketType") or ["on-demand"])[0],
                (each.get("SubnetId") or [""])[0],
            ]
        ).strip()
        for each in cloud.asked
        if each["Action"] == ["RunInstances"]
    ]


@pytest.mark.slow
def test_spot_gives_way_over_types_and_zones_to_on_demand(
    cloud: Cloud, zones: tuple[str, ...], rent: Rent
) -> None:
    one, two = zones
    cloud.scarce = {"spot": "InsufficientInstanceCapacity", one: "Unsupported"}
    said: list[str] = []
    rented = rent(kinds=(SMALL, LARGE), subnets=zones, market="spot-first", say=said.append)
    assert asked(cloud) == [
        f"g4dn.xlarge spot {one}",
        f"g4dn.xlarge spot {two}",
        f"g5.xlarge spot {one}",
        f"g5.xlarge spot {two}",
        f"g4dn.xlarge on-demand {one}",
        f"g4dn.xlarge on-demand {two}",
    ]
    [machine] = cloud.machines(NAME)
    assert machine["SubnetId"] == two
    assert (rented.instance_type, rented.market) == ("g4dn.xlarge", "on-demand")
    assert rented.usd_at_most == 2.1  # 4 hours at 0.526
    assert [each.rpartition(": ")[2] for each in said if ", spot" in each] == [
        "none there now (InsufficientInstanceCapacity)"
    ] * 4
    assert said[-1] == f"g4dn.xlarge, on-demand, {two}: {rented.instance_id}"


@pytest.mark.slow
def test_a_quota_is_of_the_account_and_no_other_zone_is_asked(
    cloud: Cloud, zones: tuple[str, ...], rent: Rent
) -> None:
    cloud.scarce = {"g4dn.xlarge": "VcpuLimitExceeded"}
    rented = rent(kinds=(SMALL, LARGE), subnets=zones)
    assert asked(cloud) == [f"g4dn.xlarge on-demand {zones[0]}", f"g5.xlarge on-demand {zones[0]}"]
    assert rented.instance_type == "g5.xlarge"


@pytest.mark.slow
def test_where_all_is_refused_each_is_named_and_nothing_is_left(cloud: Cloud, rent: Rent) -> None:
    cloud.code = "InsufficientInstanceCapacity"
    with pytest.raises(CloudError) as error:
        rent(kinds=(SMALL, LARGE), market="spot-first")
    for kind, market in itertools.product((SMALL, LARGE), ("spot", "on-demand")):
        assert f"{kind.name}, {market}: InsufficientInstanceCapacity" in error.value.message
    assert cloud.limits() == {}
    assert cloud.machines() == []


@pytest.mark.slow
@pytest.mark.parametrize("code", ["UnauthorizedOperation", "InvalidSubnetID.NotFound"])
def test_what_every_other_would_meet_too_is_asked_once(code: str, cloud: Cloud, rent: Rent) -> None:
    cloud.code = code
    with pytest.raises(CloudError, match=code):
        rent(kinds=(SMALL, LARGE), market="spot-first")
    assert len(asked(cloud)) == 1
    assert cloud.limits() == {}


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["drop-after", "fail-after"])
def test_a_machine_that_was_made_and_not_answered_is_found_by_its_tag(
    fault: str, cloud: Cloud, rent: Rent
) -> None:
    cloud.faults = [fault]
    waited: list[float] = []
    rented = rent(kinds=(SMALL, LARGE), market="spot-first", sleep=waited.append)
    assert asked(cloud) == ["g4dn.xlarge spot"]  # and nothing besides
    assert [each["InstanceId"] for each in cloud.machines()] == [rented.instance_id]
    assert waited == []


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["drop-before", "fail-before"])
def test_where_nothing_is_found_the_same_request_is_made_again_and_no_other(
    fault: str, cloud: Cloud, rent: Rent
) -> None:
    cloud.faults = [fault, fault]
    waited: list[float] = []
    rented = rent(kinds=(SMALL, LARGE), market="spot-first", sleep=waited.append)
    assert asked(cloud) == ["g4dn.xlarge spot"] * 3
    tokens = {each["ClientToken"][0] for each in cloud.asked if "ClientToken" in each}
    assert len(tokens) == 1
    assert [each["InstanceId"] for each in cloud.machines()] == [rented.instance_id]
    assert len(waited) == 2


@pytest.mark.slow
def test_a_request_that_is_repeated_unseen_makes_no_second_machine(
    cloud: Cloud, rent: Rent
) -> None:
    # EC2 shows a machine a while after it made it: the search by tag finds nothing.
    cloud.faults = ["drop-after"]
    cloud.unseen = True
    rented = rent(sleep=lambda _: None)
    cloud.unseen = False
    assert [each["InstanceId"] for each in cloud.machines()] == [rented.instance_id]


@pytest.mark.slow
def test_a_machine_that_stays_in_doubt_keeps_its_limit(cloud: Cloud, rent: Rent) -> None:
    cloud.faults = ["drop-before"] * 4
    with pytest.raises(CloudError, match="does not answer"):
        rent(sleep=lambda _: None)
    assert list(cloud.limits()) == [NAME]


@pytest.mark.slow
def test_a_doubt_is_not_forgotten_when_the_next_are_refused(cloud: Cloud, rent: Rent) -> None:
    cloud.faults = ["fail-before"]
    cloud.scarce = {"g4dn.xlarge": "Unsupported", "g5.xlarge": "Unsupported"}
    with pytest.raises(CloudError):
        rent(kinds=(SMALL, LARGE), sleep=lambda _: None)
    assert asked(cloud) == ["g4dn.xlarge on-demand", "g4dn.xlarge on-demand", "g5.xlarge on-demand"]
    assert list(cloud.limits()) == [NAME]  # it finds what comes late, or nothing, and goes


@pytest.mark.slow
def test_the_next_start_of_a_name_is_another_request(cloud: Cloud, hub: Github, rent: Rent) -> None:
    first = rent()
    hub.runners.clear()
    cloud.client("ec2").terminate_instances(InstanceIds=[first.instance_id])
    cloud.client("scheduler").delete_schedule(Name=NAME)
    second = rent(hours=2)  # with one token EC2 would refuse it, or name the machine that is gone
    assert second.instance_id != first.instance_id


def test_types_are_read_with_their_prices_and_none_without() -> None:
    assert kinds_named("g4dn.xlarge, g5.xlarge=1.01 g4dn.xlarge") == (
        Kind("g4dn.xlarge", 0.526),
        Kind("g5.xlarge", 1.01),
    )
    with pytest.raises(UsageError) as error:
        kinds_named("p5.48xlarge")
    assert "p5.48xlarge=" in error.value.fix


@pytest.mark.parametrize(
    "words", ["", "g4dn.xlarge=free", "g4dn.xlarge=nan", "g4dn.xlarge=-1", "g4dn", "$(id)"]
)
def test_what_is_no_type_is_refused(words: str) -> None:
    with pytest.raises(UsageError):
        kinds_named(words)


@pytest.mark.parametrize("words", ["subnet-", "vpc-12345678", "subnet-1a2b3c4d;id"])
def test_what_is_no_subnet_is_refused(words: str) -> None:
    with pytest.raises(UsageError):
        subnets_named(words)


@pytest.mark.parametrize("word", ["", "0", "inf", "1000", "one"])
def test_what_is_no_bound_is_refused(word: str) -> None:
    with pytest.raises(UsageError):
        most_named(word)


@pytest.mark.parametrize("market", ["spot", "on-demand", "spot-first"])
def test_no_type_is_dearer_than_may_be_paid_on_any_market(market: str) -> None:
    with pytest.raises(UsageError) as error:
        offers((SMALL, LARGE), (), market, most_usd=1.0)
    assert "g5.xlarge costs 1.006 $" in error.value.message


def test_each_offer_has_a_token_of_its_own_and_each_start_others() -> None:
    found = list(offers((SMALL, LARGE), ("subnet-1", "subnet-2"), "spot-first", most_usd=2))
    tokens = {each.token(secret) for each in found for secret in ("a", "b")}
    assert len(tokens) == 2 * len(found) == 16
    assert all(len(token) == 64 for token in tokens)  # EC2 takes no more
