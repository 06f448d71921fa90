"""What a person may who deploys for the first time: derived, and written as policies.

    python tools/policies/person.py --templates deploy/aws/cdk.out --to deploy/aws/person

Not AdministratorAccess: what the templates' resources and `kennel cloud` need, on what bears the
deployment's name where AWS can tell. A managed policy has 6,144 signs at most: there are several.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "src"), str(Path(__file__).parent)]
import needs  # noqa: E402
from asked import asked  # noqa: E402

MOST = 6_144
# Resources of a service by their names. What is not here, or is asked of all or none, is for "*".
NAMED = {
    "budgets": ["arn:aws:budgets::*:budget/{name}-*"],
    "cloudformation": ["arn:aws:cloudformation:{region}:*:stack/{name}-*/*"],
    "cloudwatch": [
        "arn:aws:cloudwatch:{region}:*:alarm:{name}-*",
        "arn:aws:cloudwatch::*:dashboard/{name}-*",
    ],
    "ecr": ["arn:aws:ecr:{region}:*:repository/{name}-*"],
    "events": ["arn:aws:events:{region}:*:rule/{name}-*"],
    "iam": [
        "arn:aws:iam::*:role/{name}-*",
        "arn:aws:iam::*:policy/{name}-*",
        "arn:aws:iam::*:oidc-provider/token.actions.githubusercontent.com",
    ],
    "lambda": ["arn:aws:lambda:{region}:*:function:{name}-*"],
    "logs": ["arn:aws:logs:{region}:*:log-group:/aws/lambda/{name}-*"],
    "s3": ["arn:aws:s3:::{name}-*"],
    "scheduler": ["arn:aws:scheduler:{region}:*:schedule/default/kennel-*"],
    "sns": ["arn:aws:sns:{region}:*:{name}-*"],
}
# Asked of everything in the account, or of what has no name of ours.
OF_ALL = {
    *("cloudwatch:ListDashboards", "ecr:GetAuthorizationToken", "events:ListRules"),
    *("iam:ListOpenIDConnectProviders", "iam:ListPolicies", "iam:ListRoles"),
    *("lambda:GetAccountSettings", "lambda:ListFunctions", "logs:DescribeLogGroups"),
    *("s3:ListAllMyBuckets", "scheduler:ListSchedules", "sns:ListTopics", "sns:Unsubscribe"),
    *("cloudwatch:DescribeAlarms", "ecr:DescribeRepositories"),
}
SPOT = "arn:aws:iam::*:role/aws-service-role/spot.amazonaws.com/AWSServiceRoleForEC2Spot"


def needed(rooms: Mapping[str, Mapping[str, Any]]) -> set[str]:
    """Rights of whoever makes, looks at and removes all stacks, and rents a machine at home."""
    cloud = ROOT / "src" / "kennel" / "cloud"
    files = [path for path in cloud.rglob("*.py") if "rehearsal" not in path.parts]
    found = needs.rights_of(asked(files)) | needs.PUSH
    for template in rooms.values():
        found |= needs.cloudformation_needs(template)
    return found


def statements(rights: set[str], *, name: str, region: str) -> list[dict[str, Any]]:
    """The rights, each on as little as AWS can tell apart."""
    found: list[dict[str, Any]] = []
    rest = set(rights)

    def put(chosen: set[str], resources: list[str], **conditions: Any) -> None:
        if own := sorted(chosen & rest):
            rest.difference_update(own)
            one: dict[str, Any] = {"Effect": "Allow", "Action": own, "Resource": resources}
            found.append({**one, "Condition": conditions} if conditions else one)

    services = ["lambda.amazonaws.com", "cloudformation.amazonaws.com", "scheduler.amazonaws.com"]
    put(
        {"iam:PassRole"},
        [f"arn:aws:iam::*:role/{name}-*"],
        StringEquals={"iam:PassedToService": services},
    )
    put({"iam:CreateServiceLinkedRole"}, [SPOT])
    put(
        {"ec2:TerminateInstances"},
        [f"arn:aws:ec2:{region}:*:instance/*"],
        Null={"aws:ResourceTag/kennel-runner": "false"},
    )
    put(
        {"kms:ScheduleKeyDeletion"}, ["*"], StringEquals={"aws:ResourceTag/kennel:deployment": name}
    )
    for service, resources in NAMED.items():
        own = {each for each in rest if each.startswith(f"{service}:")} - OF_ALL
        put(own, [each.format(name=name, region=region) for each in resources])
    put(
        {each for each in rest if each.startswith("ec2:") and "Describe" not in each},
        ["*"],
        StringEquals={"aws:RequestedRegion": region},
    )
    put(set(rest), ["*"])
    return found


def documents(parts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Policies within AWS's limit, of those statements in their order."""
    found: list[list[dict[str, Any]]] = [[]]
    for each in parts:
        if len(compact(document([*found[-1], each]))) > MOST:
            found.append([])
        found[-1].append(each)
    return [document(each) for each in found]


def document(parts: list[dict[str, Any]]) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": parts}


def compact(policy: Mapping[str, Any]) -> str:
    """As AWS counts it: without white space."""
    return json.dumps(policy, separators=(",", ":"))


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--templates", type=Path, required=True)
    parser.add_argument("--to", type=Path, required=True, help="a folder")
    given = parser.parse_args(words)
    told = json.loads((given.templates / "deployment.json").read_text(encoding="utf-8"))
    rights = needed(needs.templates(given.templates))
    parts = statements(rights, name=told["name"], region=told["region"])
    given.to.mkdir(parents=True, exist_ok=True)
    for number, each in enumerate(documents(parts), 1):
        path = given.to / f"policy-{number}.json"
        path.write_text(json.dumps(each, indent=2) + "\n", encoding="utf-8")
        print(f"{path}: {len(compact(each))} of {MOST} signs")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
