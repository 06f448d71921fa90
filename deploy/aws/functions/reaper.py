"""Ends machines that are past their time, whether or not anybody at GitHub still knows of them."""

import os
from datetime import UTC, datetime, timedelta

import boto3

NAME, UNTIL = "kennel-runner", "kennel-until"


def handler(event, context):
    """Ends each machine with the tag `kennel-runner` that is past its `kennel-until`, has none that
    can be read, or is older than the most hours. Returns what was ended, and why.
    """
    ec2 = boto3.client("ec2")
    living = {
        "Name": "instance-state-name",
        "Values": ["pending", "running", "stopping", "stopped"],
    }
    pages = ec2.get_paginator("describe_instances").paginate(
        Filters=[{"Name": "tag-key", "Values": [NAME]}, living]
    )
    now = datetime.now(UTC)
    ended, failed = {}, {}
    for machine in (m for page in pages for r in page["Reservations"] for m in r["Instances"]):
        name = machine["InstanceId"]
        if why := overdue(machine, now, float(os.environ["MOST_HOURS"])):
            try:  # one that AWS does not end must not keep the others alive
                ec2.terminate_instances(InstanceIds=[name])
                ended[name] = why
            except Exception as error:
                failed[name] = str(error)
    print({"ended": ended, "failed": failed})
    if failed:
        raise RuntimeError(f"not ended: {failed}")
    return ended


def overdue(machine, now, most_hours):
    """Why it has to go; None while it may live."""
    if now - machine["LaunchTime"] > timedelta(hours=most_hours, minutes=10):
        return f"it runs for more than {most_hours:g} hours"
    tags = {tag["Key"]: tag["Value"] for tag in machine.get("Tags", [])}
    try:
        until = datetime.strptime(tags.get(UNTIL, ""), "%Y-%m-%dT%H:%M:%SZ")
    except ValueError:
        return "its tag does not say until when"
    if now > until.replace(tzinfo=UTC):
        return f"it was to be gone at {tags[UNTIL]}"
    return None
