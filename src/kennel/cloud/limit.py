"""How long a rented machine may live: a limit that neither it nor GitHub can forget.

EventBridge Scheduler keeps it. It is made before the machine, so it cannot name its id; it names
the tag that the machine is born with, and AWS-TerminateEC2Instance ends whatever has that tag.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from kennel.cloud import CloudError, asking, client

TAG = "kennel-runner"  # of the machine: its name. The stack's roles may end nothing without it
UNTIL = "kennel-until"  # of the machine: when it must be gone, UTC
DOCUMENT = "AWS-TerminateEC2Instance"
TARGET = "arn:aws:scheduler:::aws-sdk:ssm:startAutomationExecution"
RETRIES, RETRY_S = 10, 3600
FIXES = {
    "ValidationException": "see KENNEL_RUNNER_ENDER: the ARN of a role that the Scheduler may take",
    "ConflictException": "that run has a runner already: kennel cloud runner stop --name NAME",
    "ServiceQuotaExceededException": "remove old schedules, or ask AWS for more",
}


def set_limit(name: str, *, until: datetime, role: str) -> None:
    """Ends every machine of that name at that time, whatever happens here meanwhile.

    Args:
        role: ARN of the role that the Scheduler takes to do it.
    Raises:
        CloudError: there is one of that name, or it may not be made.
    """
    with asking(f"scheduler:CreateSchedule {name}", fixes=FIXES):
        client("scheduler").create_schedule(
            Name=name,
            Description="Ends the runner of that name. Kennel made it before the runner.",
            ScheduleExpression=f"at({until.astimezone(UTC):%Y-%m-%dT%H:%M:%S})",
            ScheduleExpressionTimezone="UTC",
            FlexibleTimeWindow={"Mode": "OFF"},
            ActionAfterCompletion="DELETE",
            Target={
                "Arn": TARGET,
                "RoleArn": role,
                "Input": json.dumps(_ending(name)),
                "RetryPolicy": {
                    "MaximumRetryAttempts": RETRIES,
                    "MaximumEventAgeInSeconds": RETRY_S,
                },
            },
        )


def _ending(name: str) -> dict[str, Any]:
    """What SSM is told when the time has come."""
    return {
        "DocumentName": DOCUMENT,
        "TargetParameterName": "InstanceId",
        "Targets": [{"Key": f"tag:{TAG}", "Values": [name]}],
        "MaxConcurrency": "10",
        "MaxErrors": "10",
    }


def lift_limit(name: str) -> bool:
    """Removes the limit of a machine that is gone; False where there was none any more.

    Raises:
        CloudError: it may not be removed. It then fires and finds nothing.
    """
    try:
        with asking(f"scheduler:DeleteSchedule {name}", fixes={}):
            client("scheduler").delete_schedule(Name=name)
    except CloudError as error:
        if error.code != "ResourceNotFoundException":
            raise
        return False
    return True
