"""Roles, policies, GitHub's identity provider, keys: who may do what."""

from __future__ import annotations

import json
from typing import Any

from kennel.cloud.rehearsal.aws.kinds import Kind, Made, Place, Properties, gone, tags_of

NONE = "NoSuchEntity"


def _pairs(told: Properties) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags_of(told).items()]


# ---- AWS::IAM::Role


def _role(name: str, told: Properties, place: Place) -> Made:
    more: dict[str, Any] = {}
    if boundary := told.get("PermissionsBoundary"):
        more["PermissionsBoundary"] = boundary
    if longest := told.get("MaxSessionDuration"):
        more["MaxSessionDuration"] = int(longest)
    found = place.client("iam").create_role(
        RoleName=name,
        Path=told.get("Path", "/"),
        Description=told.get("Description", ""),
        AssumeRolePolicyDocument=json.dumps(told["AssumeRolePolicyDocument"]),
        Tags=_pairs(told),
        **more,
    )["Role"]
    return _role_furnished(
        Made(name, {"Arn": found["Arn"], "RoleId": found["RoleId"]}), told, place
    )


def _role_changed(made: Made, told: Properties, place: Place) -> Made:
    iam, name = place.client("iam"), made.identity
    iam.update_assume_role_policy(
        RoleName=name, PolicyDocument=json.dumps(told["AssumeRolePolicyDocument"])
    )
    for each in iam.list_role_policies(RoleName=name)["PolicyNames"]:
        iam.delete_role_policy(RoleName=name, PolicyName=each)
    for each in iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]:
        iam.detach_role_policy(RoleName=name, PolicyArn=each["PolicyArn"])
    return _role_furnished(made, told, place)


def _role_furnished(made: Made, told: Properties, place: Place) -> Made:
    iam = place.client("iam")
    for each in told.get("Policies", ()):
        iam.put_role_policy(
            RoleName=made.identity,
            PolicyName=each["PolicyName"],
            PolicyDocument=json.dumps(each["PolicyDocument"]),
        )
    for arn in told.get("ManagedPolicyArns", ()):
        iam.attach_role_policy(RoleName=made.identity, PolicyArn=arn)
    return made


def _role_deleted(made: Made, told: Properties, place: Place) -> None:
    name = made.identity
    with gone(place.client("iam"), NONE) as iam:
        for each in iam.list_role_policies(RoleName=name)["PolicyNames"]:
            iam.delete_role_policy(RoleName=name, PolicyName=each)
        for each in iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]:
            iam.detach_role_policy(RoleName=name, PolicyArn=each["PolicyArn"])
        iam.delete_role(RoleName=name)


# ---- AWS::IAM::ManagedPolicy, AWS::IAM::Policy


def _policy(name: str, told: Properties, place: Place) -> Made:
    iam = place.client("iam")
    arn = iam.create_policy(
        PolicyName=name,
        Path=told.get("Path", "/"),
        Description=told.get("Description", ""),
        PolicyDocument=json.dumps(told["PolicyDocument"]),
    )["Policy"]["Arn"]
    for role in told.get("Roles", ()):
        iam.attach_role_policy(RoleName=role, PolicyArn=arn)
    return Made(arn, {"PolicyArn": arn})


def _policy_changed(made: Made, told: Properties, place: Place) -> Made:
    iam = place.client("iam")
    for each in iam.list_policy_versions(PolicyArn=made.identity)["Versions"]:
        if not each["IsDefaultVersion"]:
            iam.delete_policy_version(PolicyArn=made.identity, VersionId=each["VersionId"])
    iam.create_policy_version(
        PolicyArn=made.identity,
        PolicyDocument=json.dumps(told["PolicyDocument"]),
        SetAsDefault=True,
    )
    return made


def _policy_deleted(made: Made, told: Properties, place: Place) -> None:
    with gone(place.client("iam"), NONE) as iam:
        for role in iam.list_entities_for_policy(PolicyArn=made.identity)["PolicyRoles"]:
            iam.detach_role_policy(RoleName=role["RoleName"], PolicyArn=made.identity)
        for each in iam.list_policy_versions(PolicyArn=made.identity)["Versions"]:
            if not each["IsDefaultVersion"]:
                iam.delete_policy_version(PolicyArn=made.identity, VersionId=each["VersionId"])
        iam.delete_policy(PolicyArn=made.identity)


def _inline(name: str, told: Properties, place: Place) -> Made:
    for role in told["Roles"]:
        place.client("iam").put_role_policy(
            RoleName=role, PolicyName=name, PolicyDocument=json.dumps(told["PolicyDocument"])
        )
    return Made(name)


def _inline_deleted(made: Made, told: Properties, place: Place) -> None:
    for role in told["Roles"]:
        with gone(place.client("iam"), NONE) as iam:
            iam.delete_role_policy(RoleName=role, PolicyName=made.identity)


# ---- AWS::IAM::OIDCProvider


def _provider(_: str, told: Properties, place: Place) -> Made:
    arn = place.client("iam").create_open_id_connect_provider(
        Url=told["Url"],
        ClientIDList=told.get("ClientIdList", []),
        ThumbprintList=told.get("ThumbprintList", []),
        Tags=_pairs(told),
    )["OpenIDConnectProviderArn"]
    return Made(arn, {"Arn": arn})


def _provider_deleted(made: Made, told: Properties, place: Place) -> None:
    with gone(place.client("iam"), NONE) as iam:
        iam.delete_open_id_connect_provider(OpenIDConnectProviderArn=made.identity)


# ---- AWS::KMS


def _key(_: str, told: Properties, place: Place) -> Made:
    words = {
        name: told[name]
        for name in ("Description", "KeySpec", "KeyUsage", "Origin")
        if name in told
    }
    found = place.client("kms").create_key(
        Policy=json.dumps(told["KeyPolicy"]),
        Tags=[{"TagKey": key, "TagValue": value} for key, value in tags_of(told).items()],
        **words,
    )["KeyMetadata"]
    return Made(found["KeyId"], {"Arn": found["Arn"], "KeyId": found["KeyId"]})


def _key_changed(made: Made, told: Properties, place: Place) -> Made:
    place.client("kms").put_key_policy(
        KeyId=made.identity, PolicyName="default", Policy=json.dumps(told["KeyPolicy"])
    )
    return made


def _key_deleted(made: Made, told: Properties, place: Place) -> None:
    days = int(told.get("PendingWindowInDays", 30))
    with gone(place.client("kms"), "NotFoundException", "KMSInvalidStateException") as kms:
        kms.schedule_key_deletion(KeyId=made.identity, PendingWindowInDays=days)


def _alias(_: str, told: Properties, place: Place) -> Made:
    place.client("kms").create_alias(AliasName=told["AliasName"], TargetKeyId=told["TargetKeyId"])
    return Made(told["AliasName"])


def _alias_deleted(made: Made, told: Properties, place: Place) -> None:
    with gone(place.client("kms"), "NotFoundException") as kms:
        kms.delete_alias(AliasName=made.identity)


def _known(words: str) -> frozenset[str]:
    return frozenset(words.split())


KINDS = (
    Kind(
        "AWS::IAM::Role",
        _role,
        _role_deleted,
        _role_changed,
        name="RoleName",
        known=_known(
            "RoleName Path Description AssumeRolePolicyDocument Policies ManagedPolicyArns "
            "PermissionsBoundary MaxSessionDuration Tags"
        ),
    ),
    Kind(
        "AWS::IAM::ManagedPolicy",
        _policy,
        _policy_deleted,
        _policy_changed,
        name="ManagedPolicyName",
        known=_known("ManagedPolicyName Path Description PolicyDocument Roles"),
    ),
    Kind(
        "AWS::IAM::Policy",
        _inline,
        _inline_deleted,
        lambda made, told, place: _inline(made.identity, told, place),
        name="PolicyName",
        known=_known("PolicyName PolicyDocument Roles"),
    ),
    Kind(
        "AWS::IAM::OIDCProvider",
        _provider,
        _provider_deleted,
        known=_known("Url ClientIdList ThumbprintList Tags"),
    ),
    Kind(
        "AWS::KMS::Key",
        _key,
        _key_deleted,
        _key_changed,
        known=_known("Description KeySpec KeyUsage Origin KeyPolicy PendingWindowInDays Tags"),
    ),
    Kind("AWS::KMS::Alias", _alias, _alias_deleted, known=_known("AliasName TargetKeyId")),
)
