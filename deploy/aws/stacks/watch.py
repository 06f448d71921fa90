"""What is looked at while the service runs, who is told, and what shuts it off."""

from __future__ import annotations

import json

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_sns as sns

from names import Names
from policies import PYTHON, allow, document, role, service_trust, source, write_logs

SLOW = 0.5  # of the time limit


def watch(stack: cdk.Stack, names: Names) -> None:
    """Alarms and a dashboard; the brake where anybody may call."""
    chosen = names.settings.service
    told = [_topic(stack, names, chosen.alarm_email)] if chosen.alarm_email else []
    alarm(stack, names.function, "Errors", "Errors", "Sum", at=1, actions=told, minutes=5)
    alarm(stack, names.function, "Throttles", "Throttles", "Sum", at=1, actions=told, minutes=5)
    slow_ms = round(chosen.timeout_s * 1000 * SLOW)
    alarm(stack, names.function, "Slow", "Duration", "p99", at=slow_ms, actions=told, minutes=5)
    if chosen.requests_per_minute:
        # Before the alarm, which may act only on what lets it.
        acts = [*told, _brake(stack, names)] if chosen.public else told
        most = chosen.requests_per_minute
        alarm(
            stack,
            names.function,
            "Requests",
            "Invocations",
            "Sum",
            at=most + 1,
            actions=acts,
            minutes=1,
        )
    _dashboard(stack, names)


def alarm(
    stack: cdk.Stack,
    function: str,
    what: str,
    metric: str,
    statistic: str,
    *,
    at: float,
    actions: list[str],
    minutes: int,
) -> None:
    """An alarm on what Lambda counts of that function; silence is no alarm."""
    extended = statistic.startswith("p")
    cloudwatch.CfnAlarm(
        stack,
        what,
        alarm_name=f"{function}-{what.lower()}",
        alarm_description=f"{metric} of {function}, {statistic} of {minutes} min",
        namespace="AWS/Lambda",
        metric_name=metric,
        dimensions=[{"name": "FunctionName", "value": function}],
        statistic=None if extended else statistic,
        extended_statistic=statistic if extended else None,
        period=minutes * 60,
        evaluation_periods=1,
        threshold=at,
        comparison_operator="GreaterThanOrEqualToThreshold",
        treat_missing_data="notBreaching",
        alarm_actions=actions or None,
    )


def _topic(stack: cdk.Stack, names: Names, email: str) -> str:
    topic = sns.CfnTopic(
        stack,
        "Alarms",
        topic_name=names.of("alarms"),
        subscription=[{"protocol": "email", "endpoint": email}],
    )
    alarms = {
        "Sid": "Alarms",
        "Effect": "Allow",
        "Principal": {"Service": "cloudwatch.amazonaws.com"},
        "Action": "sns:Publish",
        "Resource": topic.ref,
        "Condition": {"StringEquals": {"aws:SourceAccount": cdk.Aws.ACCOUNT_ID}},
    }
    tls = {
        "Sid": "TlsOnly",
        "Effect": "Deny",
        "Principal": "*",
        "Action": "sns:Publish",
        "Resource": topic.ref,
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    sns.CfnTopicPolicy(
        stack, "AlarmsPolicy", topics=[topic.ref], policy_document=document(alarms, tls)
    )
    return topic.ref


def _brake(stack: cdk.Stack, names: Names) -> str:
    """Lambda itself knows no rate. An alarm does, by the minute, and this is what it sets going."""
    group = logs.CfnLogGroup(
        stack, "BrakeLogs", log_group_name=names.log_group("brake"), retention_in_days=30
    )
    group.apply_removal_policy(cdk.RemovalPolicy.DESTROY)
    acts_as = role(
        stack,
        "BrakeRole",
        name=names.of("brake"),
        description="What shuts the service off may do: that, and write its log",
        trust=service_trust("lambda.amazonaws.com"),
        may=[
            allow("lambda:PutFunctionConcurrency", [names.function_arn]),
            write_logs(names.arn("logs", f"log-group:{names.log_group('brake')}")),
        ],
        boundary=names.boundary_arn,
    )
    brake = lambda_.CfnFunction(
        stack,
        "Brake",
        function_name=names.of("brake"),
        description="Shuts the service off when more is asked of it than was allowed",
        runtime=PYTHON,
        handler="index.handler",
        code={"zipFile": source("brake")},
        role=acts_as.attr_arn,
        memory_size=128,
        timeout=30,
        environment={"variables": {"FUNCTION": names.function}},
        logging_config={"logGroup": group.ref},
    )
    lambda_.CfnPermission(
        stack,
        "MayBrake",
        function_name=brake.ref,
        action="lambda:InvokeFunction",
        principal="lambda.alarms.cloudwatch.amazonaws.com",
        source_account=cdk.Aws.ACCOUNT_ID,
        source_arn=names.arn("cloudwatch", f"alarm:{names.of('serve-requests')}"),
    )
    return brake.attr_arn


def _dashboard(stack: cdk.Stack, names: Names) -> None:
    """One of the three that cost nothing."""
    rows = [
        ("requests", [("Invocations", "Sum"), ("Errors", "Sum"), ("Throttles", "Sum")]),
        ("how long, ms", [("Duration", "p50"), ("Duration", "p99"), ("Duration", "Maximum")]),
        ("at once", [("ConcurrentExecutions", "Maximum")]),
    ]
    widgets = [
        {
            "type": "metric",
            "width": 8,
            "height": 6,
            "x": 8 * column,
            "y": 0,
            "properties": {
                "title": title,
                "region": names.settings.region,
                "period": 60,
                "metrics": [
                    ["AWS/Lambda", metric, "FunctionName", names.function, {"stat": statistic}]
                    for metric, statistic in metrics
                ],
            },
        }
        for column, (title, metrics) in enumerate(rows)
    ]
    cloudwatch.CfnDashboard(
        stack,
        "Dashboard",
        dashboard_name=names.of("serve"),
        dashboard_body=json.dumps({"widgets": widgets}, sort_keys=True),
    )
