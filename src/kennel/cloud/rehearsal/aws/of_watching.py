"""Topics, alarms, dashboards, budgets: who is told what."""

from __future__ import annotations

import json
from typing import Any

from kennel.cloud.rehearsal.aws.kinds import Kind, Made, Place, Properties, gone, tags_of


def _pairs(told: Properties) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags_of(told).items()]


# ---- AWS::SNS


def _topic(name: str, told: Properties, place: Place) -> Made:
    sns = place.client("sns")
    attributes = {
        key: str(told[key])
        for key in ("DisplayName", "KmsMasterKeyId", "SignatureVersion")
        if key in told
    }
    arn = sns.create_topic(Name=name, Attributes=attributes, Tags=_pairs(told))["TopicArn"]
    for each in told.get("Subscription", ()):
        sns.subscribe(TopicArn=arn, Protocol=each["Protocol"], Endpoint=each["Endpoint"])
    return Made(arn, {"TopicArn": arn, "TopicName": name})


def _topic_deleted(made: Made, told: Properties, place: Place) -> None:
    sns = place.client("sns")
    for each in sns.list_subscriptions_by_topic(TopicArn=made.identity)["Subscriptions"]:
        sns.unsubscribe(SubscriptionArn=each["SubscriptionArn"])
    sns.delete_topic(TopicArn=made.identity)


def _topic_policy(_: str, told: Properties, place: Place) -> Made:
    for arn in told["Topics"]:
        place.client("sns").set_topic_attributes(
            TopicArn=arn, AttributeName="Policy", AttributeValue=json.dumps(told["PolicyDocument"])
        )
    return Made(told["Topics"][0])


def _subscription(_: str, told: Properties, place: Place) -> Made:
    found = place.client("sns").subscribe(
        TopicArn=told["TopicArn"], Protocol=told["Protocol"], Endpoint=told["Endpoint"]
    )
    return Made(found["SubscriptionArn"])


def _subscription_deleted(made: Made, told: Properties, place: Place) -> None:
    with gone(place.client("sns"), "NotFound", "NotFoundException") as sns:
        sns.unsubscribe(SubscriptionArn=made.identity)


# ---- AWS::CloudWatch


ALARM = (
    "AlarmDescription", "MetricName", "Namespace", "Statistic", "ExtendedStatistic",
    "ComparisonOperator", "Threshold", "Period", "EvaluationPeriods", "DatapointsToAlarm",
    "TreatMissingData", "Unit", "Dimensions", "AlarmActions", "OKActions",
    "InsufficientDataActions", "ActionsEnabled", "Metrics",
)  # fmt: skip
WHOLE = {"Period", "EvaluationPeriods", "DatapointsToAlarm"}


def _alarm(name: str, told: Properties, place: Place) -> Made:
    words: dict[str, Any] = {}
    for key in ALARM:
        if key in told:
            words[key] = int(told[key]) if key in WHOLE else told[key]
    if "Threshold" in words:
        words["Threshold"] = float(words["Threshold"])
    place.client("cloudwatch").put_metric_alarm(AlarmName=name, Tags=_pairs(told), **words)
    arn = f"arn:aws:cloudwatch:{place.region}:{place.account}:alarm:{name}"
    return Made(name, {"Arn": arn})


def _alarm_deleted(made: Made, told: Properties, place: Place) -> None:
    place.client("cloudwatch").delete_alarms(AlarmNames=[made.identity])


def _dashboard(name: str, told: Properties, place: Place) -> Made:
    body = told["DashboardBody"]
    json.loads(body)  # AWS refuses what is no JSON
    place.client("cloudwatch").put_dashboard(
        DashboardName=name, DashboardBody=body, Tags=_pairs(told)
    )
    return Made(name)


def _dashboard_deleted(made: Made, told: Properties, place: Place) -> None:
    place.client("cloudwatch").delete_dashboards(DashboardNames=[made.identity])


# ---- AWS::Budgets::Budget


def _budget(name: str, told: Properties, place: Place) -> Made:
    budget = {
        **{key: said for key, said in told["Budget"].items() if key != "BudgetLimit"},
        "BudgetName": told["Budget"].get("BudgetName", name),
    }
    if limit := told["Budget"].get("BudgetLimit"):
        budget["BudgetLimit"] = {"Amount": str(limit["Amount"]), "Unit": limit["Unit"]}
    place.client("budgets").create_budget(
        AccountId=place.account,
        Budget=budget,
        NotificationsWithSubscribers=[
            {
                "Notification": each["Notification"],
                "Subscribers": each["Subscribers"],
            }
            for each in told.get("NotificationsWithSubscribers", ())
        ],
        ResourceTags=_pairs({"Tags": told.get("ResourceTags", ())}),
    )
    return Made(budget["BudgetName"])


def _budget_changed(made: Made, told: Properties, place: Place) -> Made:
    _budget_deleted(made, told, place)
    return _budget(made.identity, told, place)


def _budget_deleted(made: Made, told: Properties, place: Place) -> None:
    with gone(place.client("budgets"), "NotFoundException") as budgets:
        budgets.delete_budget(AccountId=place.account, BudgetName=made.identity)


KINDS = (
    Kind(
        "AWS::SNS::Topic",
        _topic,
        _topic_deleted,
        name="TopicName",
        known=frozenset(
            [
                "TopicName",
                "DisplayName",
                "KmsMasterKeyId",
                "SignatureVersion",
                "Subscription",
                "Tags",
            ]
        ),
    ),
    Kind(
        "AWS::SNS::TopicPolicy",
        _topic_policy,
        change=lambda _, told, place: _topic_policy("", told, place),
        known=frozenset({"Topics", "PolicyDocument"}),
    ),
    Kind(
        "AWS::SNS::Subscription",
        _subscription,
        _subscription_deleted,
        known=frozenset({"TopicArn", "Protocol", "Endpoint"}),
    ),
    Kind(
        "AWS::CloudWatch::Alarm",
        _alarm,
        _alarm_deleted,
        lambda made, told, place: _alarm(made.identity, told, place),
        name="AlarmName",
        known=frozenset({*ALARM, "AlarmName", "Tags"}),
    ),
    Kind(
        "AWS::CloudWatch::Dashboard",
        _dashboard,
        _dashboard_deleted,
        lambda made, told, place: _dashboard(made.identity, told, place),
        name="DashboardName",
        known=frozenset({"DashboardName", "DashboardBody", "Tags"}),
    ),
    Kind(
        "AWS::Budgets::Budget",
        _budget,
        _budget_deleted,
        _budget_changed,
        known=frozenset({"Budget", "NotificationsWithSubscribers", "ResourceTags"}),
    ),
)
