"""Schedules, GitHub's identity provider: what a rented machine's end hangs on, and who may rent."""

from __future__ import annotations

from typing import Any

from kennel.cloud.rehearsal.aws.kinds import Kind, Made, Place, Properties, gone, tags_of

SCHEDULE = (
    "Description", "ScheduleExpression", "ScheduleExpressionTimezone", "FlexibleTimeWindow",
    "State", "Target", "GroupName",
)  # fmt: skip


def _schedule(name: str, told: Properties, place: Place) -> Made:
    words = {key: told[key] for key in SCHEDULE if key in told}
    arn = place.client("scheduler").create_schedule(Name=name, **words)["ScheduleArn"]
    return Made(name, {"Arn": arn})


def _schedule_changed(made: Made, told: Properties, place: Place) -> Made:
    words = {key: told[key] for key in SCHEDULE if key in told}
    arn = place.client("scheduler").update_schedule(Name=made.identity, **words)["ScheduleArn"]
    return Made(made.identity, {"Arn": arn})


def _schedule_deleted(made: Made, told: Properties, place: Place) -> None:
    with gone(place.client("scheduler"), "ResourceNotFoundException") as scheduler:
        group = {"GroupName": told["GroupName"]} if "GroupName" in told else {}
        scheduler.delete_schedule(Name=made.identity, **group)


def _group(name: str, told: Properties, place: Place) -> Made:
    tags = [{"Key": key, "Value": value} for key, value in tags_of(told).items()]
    arn = place.client("scheduler").create_schedule_group(Name=name, Tags=tags)["ScheduleGroupArn"]
    return Made(name, {"Arn": arn})


def _group_deleted(made: Made, told: Properties, place: Place) -> None:
    with gone(place.client("scheduler"), "ResourceNotFoundException") as scheduler:
        scheduler.delete_schedule_group(Name=made.identity)


def _provider(_: str, told: Properties, place: Place) -> Made:
    tags = [{"Key": key, "Value": value} for key, value in tags_of(told).items()]
    words: dict[str, Any] = {"ThumbprintList": told.get("ThumbprintList", [])}
    arn = place.client("iam").create_open_id_connect_provider(
        Url=told["Url"], ClientIDList=told.get("ClientIdList", []), Tags=tags, **words
    )["OpenIDConnectProviderArn"]
    return Made(arn, {"Arn": arn})


def _provider_deleted(made: Made, told: Properties, place: Place) -> None:
    with gone(place.client("iam"), "NoSuchEntity") as iam:
        iam.delete_open_id_connect_provider(OpenIDConnectProviderArn=made.identity)


KINDS = (
    Kind(
        "AWS::Scheduler::Schedule",
        _schedule,
        _schedule_deleted,
        _schedule_changed,
        name="Name",
        known=frozenset({*SCHEDULE, "Name"}),
    ),
    Kind(
        "AWS::Scheduler::ScheduleGroup",
        _group,
        _group_deleted,
        name="Name",
        known=frozenset({"Name", "Tags"}),
    ),
    Kind(
        "AWS::IAM::OIDCProvider",
        _provider,
        _provider_deleted,
        known=frozenset({"Url", "ClientIdList", "ThumbprintList", "Tags"}),
    ),
)
