"""What holds for every stack, whatever is chosen."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER
from conftest import APP, Written, changed, listed, plain, statements

from settings import Settings
from synth import synthesise

MOST_BYTES = 51_200
# Where a resource may be everything: AWS lets nobody ask these of one thing. And a key's own policy
# speaks of that key alone.
OF_ALL = {
    "ec2:DescribeInstances",
    "ec2:DescribeInstanceStatus",
    "tag:GetResources",
    "ecr:GetAuthorizationToken",
    "cloudwatch:DescribeAlarms",
    "logs:DescribeLogGroups",
}


def test_nothing_is_fetched_and_nothing_must_have_been_bootstrapped(each_variant: Written) -> None:
    names = {path.name for path in each_variant.folder.iterdir()}
    listed_names = {each["template"] for each in each_variant.deployment["stacks"]}
    assert names == {"deployment.json", *listed_names}
    for name in names:
        text = (each_variant.folder / name).read_text(encoding="utf-8")
        assert len(text.encode()) < MOST_BYTES
        for word in ("cdk-bootstrap", "hnb659fds", "cdk-assets", "CDKMetadata", "aws:cdk", "S3Key"):
            assert word not in text, (name, word)


def test_no_stack_holds_another(each_variant: Written) -> None:
    for template in each_variant.templates.values():
        text = json.dumps(template)
        assert "Fn::ImportValue" not in text
        assert not any("Export" in each for each in template.get("Outputs", {}).values())


def test_each_stack_comes_after_what_it_needs(each_variant: Written) -> None:
    told = each_variant.deployment
    seen: set[str] = set()
    for each in told["stacks"]:
        assert set(each["depends_on"]) <= seen, each["room"]
        seen.add(each["room"])
    assert seen == {"storage", "images", "identity", "service", "runner", "budget"}
    assert told["schema_version"] == 1
    assert told["tag"] == {"key": "kennel:deployment", "value": told["name"]}
    assert told["settings"] == each_variant.settings.model_dump(mode="json")


def test_everything_that_can_wear_the_tag_wears_it(each_variant: Written) -> None:
    """What can, says AWS's own schema of each type."""
    wanted = {"Key": "kennel:deployment", "Value": each_variant.settings.name}
    without, bare = [], 0
    for template in each_variant.templates.values():
        for name, each in template["Resources"].items():
            tagging = schema(each["Type"]).get("tagging", {})
            if not tagging.get("taggable", False):
                bare += 1
                continue
            tags = each["Properties"].get(tagging["tagProperty"].rpartition("/")[2], [])
            if isinstance(tags, dict):
                tags = [{"Key": key, "Value": value} for key, value in tags.items()]
            if wanted not in tags:
                without.append(f"{name} {each['Type']}")
    assert without == []
    assert bare  # aliases, permissions: the schema does say of some that they cannot


def schema(kind: str) -> dict[str, Any]:
    return PROVIDER_SCHEMA_MANAGER.get_resource_schema("us-east-1", kind).schema


def test_a_machine_and_its_template_wear_the_tag_too(each_variant: Written) -> None:
    """They have their tags in a place of their own, which no schema names."""
    wanted = [{"Key": "kennel:deployment", "Value": each_variant.settings.name}]
    template = each_variant.one("runner", "AWS::EC2::LaunchTemplate")
    assert template["TagSpecifications"] == [{"ResourceType": "launch-template", "Tags": wanted}]
    born = template["LaunchTemplateData"]["TagSpecifications"]
    assert {each["ResourceType"]: each["Tags"] for each in born} == {
        "instance": wanted,
        "volume": wanted,
        "network-interface": wanted,
    }


def test_no_policy_allows_an_action_with_a_star(each_variant: Written) -> None:
    seen = 0
    for template in each_variant.templates.values():
        for name, _, each in statements(template):
            if each["Effect"] == "Deny":
                continue  # it takes, and gives nothing
            assert "NotAction" not in each, name
            assert "NotResource" not in each, name
            assert not [action for action in listed(each["Action"]) if "*" in action], name
            seen += 1
    assert seen > 5


def test_a_resource_is_everything_only_where_aws_asks_for_all_or_none(
    each_variant: Written,
) -> None:
    for template in each_variant.templates.values():
        for name, kind, each in statements(template):
            everything = "*" in listed(each.get("Resource", []))
            if everything and each["Effect"] == "Allow" and kind != "AWS::KMS::Key":
                assert set(listed(each["Action"])) <= OF_ALL, name


def test_no_role_has_a_policy_of_aws(each_variant: Written) -> None:
    """Those grant more than is needed, and change by themselves."""
    for template in each_variant.templates.values():
        assert "ManagedPolicyArns" not in json.dumps(template)


def test_only_services_and_github_are_trusted(each_variant: Written) -> None:
    for room, template in each_variant.templates.items():
        for name, each in template["Resources"].items():
            if each["Type"] != "AWS::IAM::Role":
                continue
            [trust] = each["Properties"]["AssumeRolePolicyDocument"]["Statement"]
            [(kind, who)] = trust["Principal"].items()
            assert kind in ("Service", "Federated"), name
            if kind == "Service" and who != "lambda.amazonaws.com":
                # Else somebody could have that service take our role from another account.
                same = trust["Condition"]["StringEquals"]["aws:SourceAccount"]
                assert plain(same) == "<AWS::AccountId>", (room, name)


def test_only_what_a_person_gave_outlives_its_stack(each_variant: Written) -> None:
    kept = {
        (room, each["Type"])
        for room, template in each_variant.templates.items()
        for each in template["Resources"].values()
        if each.get("DeletionPolicy", "Delete") != "Delete"
    }
    photos = {("storage", "AWS::S3::Bucket"), ("storage", "AWS::S3::BucketPolicy")}
    assert kept == (photos if each_variant.settings.storage.on_delete == "keep" else set())


def test_every_function_has_a_log_that_ends_and_goes_with_it(each_variant: Written) -> None:
    for template in each_variant.templates.values():
        groups = {
            name: each
            for name, each in template["Resources"].items()
            if each["Type"] == "AWS::Logs::LogGroup"
        }
        functions = [
            each["Properties"]
            for each in template["Resources"].values()
            if each["Type"] == "AWS::Lambda::Function"
        ]
        assert {each["LoggingConfig"]["LogGroup"]["Ref"] for each in functions} == set(groups)
        for group in groups.values():
            assert group["Properties"]["RetentionInDays"] <= 731
            assert group["DeletionPolicy"] == "Delete"
        # None may make a group itself: it would come again after the stack is gone.
        assert "logs:CreateLogGroup" not in json.dumps(functions)


def test_every_function_is_bounded(each_variant: Written) -> None:
    for template in each_variant.templates.values():
        for each in template["Resources"].values():
            if each["Type"] == "AWS::Lambda::Function":
                assert each["Properties"]["Timeout"] <= 120
                assert each["Properties"]["MemorySize"] <= 10_240


def test_names_of_two_deployments_do_not_meet(written: Any) -> None:
    def names(variant: str) -> set[str]:
        text = json.dumps(written(variant).templates)
        return set(re.findall(r'"\w*Name": "([a-z][\w/-]+)"', text)) - {"live", "may"}

    assert len(names("github")) > 10
    assert names("github") & names("other") == set()


def test_the_same_settings_give_the_same_bytes(written: Any, tmp_path: Path) -> None:
    """By another process, in another folder."""
    there = written("default").folder
    done = subprocess.run(
        [sys.executable, "-R", str(APP / "synth.py"), "--to", str(tmp_path / "again")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == f"{tmp_path / 'again'}\n"
    again = {path.name: path.read_bytes() for path in (tmp_path / "again").iterdir()}
    assert again == {path.name: path.read_bytes() for path in there.iterdir()}
    assert "the budget tells nobody" in done.stderr
    assert "there is no role for GitHub" in done.stderr


def test_a_folder_that_was_there_is_replaced_whole(tmp_path: Path) -> None:
    out = tmp_path / "out"
    for name in ("kennel", "kittens"):
        synthesise(Settings.model_validate(changed({"name": name})), out)
    assert len(list(out.iterdir())) == 7
    assert {path.name.partition("-")[0] for path in out.glob("*.template.json")} == {"kittens"}


def test_no_folder_is_taken_that_is_somebody_elses(tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(b"a")
    with pytest.raises(FileExistsError):
        synthesise(Settings.model_validate(changed({})), tmp_path)
    assert (tmp_path / "photo.jpg").exists()
