"""What wears the tag and is of no kind that was asked for: named, and left to a person."""

from __future__ import annotations

from collections.abc import Iterator

from kennel.cloud import asking, client
from kennel.cloud.sweeping.scope import Leftover, Scope

# Services that were asked themselves. What the index says of them besides is gone already.
ASKED = {
    *("s3", "ecr", "logs", "kms", "lambda", "cloudwatch", "sns", "events", "ec2", "iam"),
    *("cloudformation", "budgets", "scheduler"),
}


def find(scope: Scope, known: set[str]) -> Iterator[Leftover]:
    tag = scope.deployment.tag
    filters = [{"Key": tag.key, "Values": [tag.value]}]
    with asking("tag:GetResources", fixes={}):
        pages = client("resourcegroupstaggingapi").get_paginator("get_resources")
        found = [
            each["ResourceARN"]
            for page in pages.paginate(TagFilters=filters)
            for each in page["ResourceTagMappingList"]
        ]
    for arn in sorted(set(found) - known):
        service = arn.split(":")[2]
        ids = (arn, arn.rpartition("/")[2], arn.rpartition(":")[2])
        if service not in ASKED and scope.orphan(*ids):
            yield Leftover(
                f"AWS::{service}",
                arn.rpartition(":")[2],
                arn,
                words="by AWS's index of tags, which may lag behind by hours",
                stays="of a kind that kennel does not remove: see it in the console",
            )
