"""What acts by itself: functions, alarms, topics, rules; and the dashboards that show them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from kennel.cloud import CloudError, asking, client
from kennel.cloud.sweeping.scope import Leftover, Scope, priced

FUNCTION, ALARM = "AWS::Lambda::Function", "AWS::CloudWatch::Alarm"
DASHBOARD, TOPIC, RULE = "AWS::CloudWatch::Dashboard", "AWS::SNS::Topic", "AWS::Events::Rule"
GONE = ("ResourceNotFoundException", "ResourceNotFound", "NotFound", "DashboardNotFoundError")


def find(scope: Scope) -> Iterator[Leftover]:
    yield from _functions(scope)
    yield from _alarms(scope)
    yield from _dashboards(scope)
    yield from _topics(scope)
    yield from _rules(scope)


def _functions(scope: Scope) -> Iterator[Leftover]:
    aws = client("lambda")
    with asking("lambda:ListFunctions", fixes={}):
        pages = aws.get_paginator("list_functions").paginate()
        found = [each for page in pages for each in page["Functions"]]
    for each in found:
        name, arn = each["FunctionName"], each["FunctionArn"]
        if not name.startswith(scope.prefix) or not scope.orphan(name, arn):
            continue
        with asking(f"lambda:ListTags {name}", fixes={}):
            tags = aws.list_tags(Resource=arn)["Tags"]
        if scope.wears(tags):
            yield _left(FUNCTION, name, arn)


def _alarms(scope: Scope) -> Iterator[Leftover]:
    aws = client("cloudwatch")
    with asking("cloudwatch:DescribeAlarms", fixes={}):
        pages = aws.get_paginator("describe_alarms").paginate(AlarmNamePrefix=scope.prefix)
        found = [each for page in pages for each in page["MetricAlarms"]]
    for each in found:
        name, arn = each["AlarmName"], each["AlarmArn"]
        if not scope.orphan(name, arn):
            continue
        with asking(f"cloudwatch:ListTagsForResource {name}", fixes={}):
            tags = aws.list_tags_for_resource(ResourceARN=arn)["Tags"]
        if scope.wears(tags):
            cost = priced(ALARM, {"MetricName": "one"})
            yield Leftover(ALARM, name, arn, usd=cost.usd, price=cost.words)


def _dashboards(scope: Scope) -> Iterator[Leftover]:
    """A dashboard has no tags: it must have the very name that the template gives."""
    with asking("cloudwatch:ListDashboards", fixes={}):
        pages = client("cloudwatch").get_paginator("list_dashboards")
        for page in pages.paginate(DashboardNamePrefix=scope.prefix):
            for each in page["DashboardEntries"]:
                name = each["DashboardName"]
                if scope.named(DASHBOARD, name) and scope.orphan(name, each["DashboardArn"]):
                    yield _left(DASHBOARD, name, each["DashboardArn"])


def _topics(scope: Scope) -> Iterator[Leftover]:
    aws = client("sns")
    with asking("sns:ListTopics", fixes={}):
        pages = aws.get_paginator("list_topics").paginate()
        found = [each["TopicArn"] for page in pages for each in page["Topics"]]
    for arn in found:
        if not arn.rpartition(":")[2].startswith(scope.prefix) or not scope.orphan(arn):
            continue
        with asking(f"sns:ListTagsForResource {arn}", fixes={}):
            tags = aws.list_tags_for_resource(ResourceArn=arn)["Tags"]
        if scope.wears(tags):
            yield _left(TOPIC, arn.rpartition(":")[2], arn)


def _rules(scope: Scope) -> Iterator[Leftover]:
    aws = client("events")
    with asking("events:ListRules", fixes={}):
        pages = aws.get_paginator("list_rules").paginate(NamePrefix=scope.prefix)
        found = [each for page in pages for each in page["Rules"]]
    for each in found:
        if not scope.orphan(each["Name"], each["Arn"]):
            continue
        with asking(f"events:ListTagsForResource {each['Name']}", fixes={}):
            tags = aws.list_tags_for_resource(ResourceARN=each["Arn"])["Tags"]
        if scope.wears(tags):
            yield _left(RULE, each["Name"], each["Arn"])


def _left(kind: str, name: str, arn: str) -> Leftover:
    cost = priced(kind)
    return Leftover(kind, name, arn, usd=cost.usd, price=cost.words)


def _without_rule(each: Leftover) -> None:
    aws = client("events")
    with asking(f"events:DeleteRule {each.name}", fixes={}):
        targets = aws.list_targets_by_rule(Rule=each.name)["Targets"]
        if targets:
            aws.remove_targets(Rule=each.name, Ids=[target["Id"] for target in targets])
        aws.delete_rule(Name=each.name)


def _by(
    service: str, method: str, **words: Callable[[Leftover], Any]
) -> Callable[[Leftover], None]:
    def remove(each: Leftover) -> None:
        try:
            with asking(f"{service}:{method} {each.name}", fixes={}):
                getattr(client(service), method)(**{key: of(each) for key, of in words.items()})
        except CloudError as error:
            if error.code not in GONE:
                raise

    return remove


REMOVERS: dict[str, Callable[[Leftover], None]] = {
    RULE: _without_rule,
    FUNCTION: _by("lambda", "delete_function", FunctionName=lambda e: e.name),
    ALARM: _by("cloudwatch", "delete_alarms", AlarmNames=lambda e: [e.name]),
    DASHBOARD: _by("cloudwatch", "delete_dashboards", DashboardNames=lambda e: [e.name]),
    TOPIC: _by("sns", "delete_topic", TopicArn=lambda e: e.arn),
}
