"""What GitHub's workflows may: each from its own environment, and no more than it does."""

from __future__ import annotations

from typing import Any

import pytest
from conftest import Written, listed, plain

ROLES = {
    "data": ["data"],
    "train": ["gpu-work"],
    "runner": ["gpu", "gpu-stop"],
    "deploy": ["deploy"],
}


def rights(written: Written, role: str) -> list[dict[str, Any]]:
    name = f"{written.settings.name}-{role}"
    found = written.one("identity", "AWS::IAM::Role", RoleName=name)
    return found["Policies"][0]["PolicyDocument"]["Statement"]


def may(written: Written, role: str) -> dict[str, list[dict[str, Any]]]:
    """Action -> the statements that allow it."""
    found: dict[str, list[dict[str, Any]]] = {}
    for each in rights(written, role):
        for action in listed(each["Action"]):
            found.setdefault(action, []).append(each)
    return found


def test_without_a_repository_there_is_no_role_for_github(written: Any) -> None:
    kinds = {each["Type"] for each in written("default").resources("identity").values()}
    assert kinds == {"AWS::IAM::ManagedPolicy"}


@pytest.mark.parametrize("role", ROLES)
def test_a_role_trusts_one_repository_in_its_environments(written: Any, role: str) -> None:
    found = written("github").one("identity", "AWS::IAM::Role", RoleName=f"kennel-{role}")
    [trust] = found["AssumeRolePolicyDocument"]["Statement"]
    host = "token.actions.githubusercontent.com"
    assert trust["Action"] == "sts:AssumeRoleWithWebIdentity"
    assert plain(trust["Principal"]["Federated"]) == (
        f"arn:<AWS::Partition>:iam::<AWS::AccountId>:oidc-provider/{host}"
    )
    subjects = [f"repo:anna/dogs:environment:{each}" for each in ROLES[role]]
    assert trust["Condition"] == {
        "StringEquals": {f"{host}:aud": "sts.amazonaws.com", f"{host}:sub": subjects}
    }


def test_no_environment_has_two_roles() -> None:
    """Else who may train could deploy."""
    every = [each for environments in ROLES.values() for each in environments]
    assert len(every) == len(set(every))


def test_the_provider_is_made_once_in_an_account(written: Any) -> None:
    made = written("github").one("identity", "AWS::IAM::OIDCProvider")
    assert made["Url"] == "https://token.actions.githubusercontent.com"
    assert made["ClientIdList"] == ["sts.amazonaws.com"]
    assert written("other").resources("identity", "AWS::IAM::OIDCProvider") == {}


def test_data_is_read_and_training_adds_to_the_registry_alone(written: Any) -> None:
    read, train = (may(written("github"), each) for each in ("data", "train"))
    assert set(read) == {"s3:GetObject", "s3:ListBucket"}
    assert set(train) == {"s3:GetObject", "s3:ListBucket", "s3:PutObject"}
    [added] = train["s3:PutObject"]
    [below] = added["Resource"]
    assert plain(below).endswith("/registry/*")
    [looked] = read["s3:ListBucket"]
    prefixes = looked["Condition"]["StringLike"]["s3:prefix"]
    assert prefixes == ["dvc", "dvc/*", "registry", "registry/*"]


def test_training_may_take_as_long_as_its_machine_lives(written: Any) -> None:
    role = written("github").one("identity", "AWS::IAM::Role", RoleName="kennel-train")
    assert role["MaxSessionDuration"] == 12 * 3600  # as the workflow asks for it
    hours = {"data": 1, "runner": 1, "deploy": 2}
    for name, most in hours.items():
        other = written("github").one("identity", "AWS::IAM::Role", RoleName=f"kennel-{name}")
        assert other["MaxSessionDuration"] == most * 3600


def test_a_machine_is_rented_only_with_its_end(written: Any) -> None:
    renting = may(written("github"), "runner")["ec2:RunInstances"]
    [machine] = [
        each for each in renting if any(":instance/" in plain(one) for one in each["Resource"])
    ]
    condition = machine["Condition"]
    assert condition["StringLike"] == {"aws:RequestTag/kennel-runner": "kennel-*"}
    assert condition["Null"] == {"aws:RequestTag/kennel-until": "false"}
    types = written("github").settings.runner.types
    assert condition["StringEquals"]["ec2:InstanceType"] == types
    assert condition["StringEquals"]["ec2:MetadataHttpTokens"] == "required"
    [where] = [each for each in renting if any("subnet/" in plain(o) for o in each["Resource"])]
    assert where["Condition"] == {"StringEquals": {"aws:ResourceTag/kennel:deployment": "kennel"}}


def test_tags_are_given_at_birth_and_never_after(written: Any) -> None:
    """Else any machine of the account could be made one that may be ended."""
    [tagging] = may(written("github"), "runner")["ec2:CreateTags"]
    assert tagging["Condition"] == {"StringEquals": {"ec2:CreateAction": "RunInstances"}}


def test_only_runners_are_ended(written: Any) -> None:
    [ending] = may(written("github"), "runner")["ec2:TerminateInstances"]
    assert ending["Condition"] == {"Null": {"aws:ResourceTag/kennel-runner": "false"}}


def test_a_role_is_handed_on_only_to_whom_it_is_for(written: Any) -> None:
    for role, passed, to in (
        ("runner", "kennel-runner-ender", "scheduler.amazonaws.com"),
        ("deploy", "kennel-deploy-service", "cloudformation.amazonaws.com"),
    ):
        [handing] = may(written("github"), role)["iam:PassRole"]
        [which] = handing["Resource"]
        assert plain(which).endswith(f":role/{passed}")
        assert handing["Condition"] == {"StringEquals": {"iam:PassedToService": to}}


def test_only_the_apps_key_signs_and_only_where_there_is_one(written: Any) -> None:
    [signing] = may(written("github"), "runner")["kms:Sign"]
    condition = signing["Condition"]
    named = condition["ForAnyValue:StringEquals"]["kms:ResourceAliases"]
    alias = written("github").one("runner", "AWS::KMS::Alias")["AliasName"]
    assert named == alias == "alias/kennel-github-app"
    assert "kms:Sign" not in may(written("other"), "runner")


def test_deploying_changes_one_stack_by_the_hands_that_are_for_it(written: Any) -> None:
    found = may(written("github"), "deploy")
    [change] = found["cloudformation:CreateChangeSet"]
    hands = change["Condition"]["StringEquals"]["cloudformation:RoleArn"]
    assert plain(hands).endswith(":role/kennel-deploy-service")
    looking = "cloudformation:DescribeStacks"
    for action, told in found.items():
        if action.startswith("cloudformation:") and action != looking:
            resources = [plain(each) for one in told for each in one["Resource"]]
            assert all(":stack/kennel-service/" in each for each in resources), action
    # No other way round the hands.
    assert "cloudformation:UpdateStack" not in found
    assert "cloudformation:CreateStack" not in found
    changing = {each for each in found if each.startswith(("lambda:", "iam:"))}
    assert {each for each in changing if not each.startswith(("lambda:Get", "lambda:List"))} == {
        "iam:PassRole",
        "lambda:InvokeFunction",
        "lambda:InvokeFunctionUrl",
        "lambda:UpdateAlias",  # back to the version before, at once
    }


def test_who_deploys_may_ask_the_service_whether_it_answers(written: Any) -> None:
    found = may(written("github"), "deploy")
    for action in ("lambda:InvokeFunctionUrl", "lambda:InvokeFunction"):
        [asking] = found[action]
        [which] = asking["Resource"]
        assert plain(which).endswith(":function:kennel-serve:live")


def test_images_are_pushed_to_one_repository(written: Any) -> None:
    for action, told in may(written("github"), "deploy").items():
        if action.startswith("ecr:") and action != "ecr:GetAuthorizationToken":
            resources = [plain(each) for one in told for each in one["Resource"]]
            assert all(each.endswith(":repository/kennel-serve") for each in resources)
        assert "Delete" not in action or action == "cloudformation:DeleteChangeSet"


def test_who_changes_the_service_makes_no_role_beyond_the_boundary(written: Any) -> None:
    """It writes the template that makes them."""
    found = may(written("github"), "deploy-service")
    boundary = written("github").one("identity", "AWS::IAM::ManagedPolicy")
    for action in ("iam:CreateRole", "iam:PutRolePolicy", "iam:PutRolePermissionsBoundary"):
        [making] = found[action]
        within = making["Condition"]["StringEquals"]["iam:PermissionsBoundary"]
        assert plain(within).endswith(f":policy/{boundary['ManagedPolicyName']}")
    for action in ("iam:AttachRolePolicy", "iam:DeleteRolePermissionsBoundary", "iam:CreatePolicy"):
        assert action not in found
    for each in rights(written("github"), "deploy-service"):
        names = [plain(one) for one in each["Resource"]]
        if any(action.startswith("iam:") for action in each["Action"]):
            assert all(one.endswith((":role/kennel-serve", ":role/kennel-brake")) for one in names)


def test_the_boundary_holds_what_the_services_roles_may(written: Any) -> None:
    """A right beyond it would be none."""
    boundary = written("public").one("identity", "AWS::IAM::ManagedPolicy")["PolicyDocument"]
    most = {action for each in boundary["Statement"] for action in each["Action"]}
    granted = {
        action
        for role in written("public").resources("service", "AWS::IAM::Role").values()
        for each in role["Properties"]["Policies"][0]["PolicyDocument"]["Statement"]
        for action in each["Action"]
    }
    assert most == granted
