"""Schedules and rules: what happens by itself, later. moto keeps them and fires none."""

from __future__ import annotations

from kennel.cloud.rehearsal.aws.kinds import Kind, Made, Place, Properties, gone, tags_of

SCHEDULE = (
    "Description", "ScheduleExpression", "ScheduleExpressionTimezone", "FlexibleTimeWindow",
    "State", "Target", "GroupName",
)  # fmt: skip
RULE = ("Description", "EventBusName", "EventPattern", "ScheduleExpression", "State")


def _pairs(told: Properties) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags_of(told).items()]


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
    found = place.client("scheduler").create_schedule_group(Name=name, Tags=_pairs(told))
    return Made(name, {"Arn": found["ScheduleGroupArn"]})


def _group_deleted(made: Made, told: Properties, place: Place) -> None:
    with gone(place.client("scheduler"), "ResourceNotFoundException") as scheduler:
        scheduler.delete_schedule_group(Name=made.identity)


def _rule(name: str, told: Properties, place: Place) -> Made:
    events = place.client("events")
    words = {key: told[key] for key in RULE if key in told}
    arn = events.put_rule(Name=name, Tags=_pairs(told), **words)["RuleArn"]
    if targets := told.get("Targets"):
        events.put_targets(Rule=name, Targets=targets)
    return Made(name, {"Arn": arn})


def _rule_changed(made: Made, told: Properties, place: Place) -> Made:
    _rule_deleted(made, told, place)
    return _rule(made.identity, told, place)


def _rule_deleted(made: Made, told: Properties, place: Place) -> None:
    with gone(place.client("events"), "ResourceNotFoundException") as events:
        found = events.list_targets_by_rule(Rule=made.identity)["Targets"]
        if found:
            events.remove_targets(Rule=made.identity, Ids=[each["Id"] for each in found])
        events.delete_rule(Name=made.identity)


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
        "AWS::Events::Rule",
        _rule,
        _rule_deleted,
        _rule_changed,
        name="Name",
        known=frozenset({*RULE, "Name", "Targets", "Tags"}),
    ),
)
