"""What CloudFormation has in its hands for the service: what its resources need, and no more.

What each type needs to be made, changed and removed stands in AWS's own schema of it.
"""

from __future__ import annotations

from typing import Any

from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER
from test_identity import may

# Needed for properties that these stacks do not use, by type.
UNUSED = {
    "AWS::IAM::Role": "iam:AttachRolePolicy iam:DeleteRolePermissionsBoundary iam:DetachRolePolicy",
    "AWS::Lambda::Alias": """codedeploy:CreateDeployment codedeploy:GetDeployment
        codedeploy:GetDeploymentConfig codedeploy:GetDeploymentGroup codedeploy:StopDeployment""",
    "AWS::Lambda::Function": """ec2:DescribeNetworkInterfaces ec2:DescribeSecurityGroups
        ec2:DescribeSubnets ec2:DescribeVpcs elasticfilesystem:DescribeMountTargets
        kms:CreateGrant kms:Decrypt kms:DescribeKey kms:Encrypt kms:GenerateDataKey
        lambda:AssociateRuntimeAlias lambda:DeleteFunctionCodeSigningConfig
        lambda:GetCodeSigningConfig lambda:GetFunctionScalingConfig lambda:GetLayerVersion
        lambda:PassCapacityProvider lambda:PutFunctionCodeSigningConfig
        lambda:PutFunctionRecursionConfig lambda:PutFunctionScalingConfig
        lambda:PutRuntimeManagementConfig s3:GetObject s3:GetObjectVersion s3files:ListMountTargets
        """,
    "AWS::Lambda::Version": """lambda:GetFunctionScalingConfig lambda:PutFunctionScalingConfig
        lambda:PutRuntimeManagementConfig""",
    "AWS::Logs::LogGroup": """firehose:TagDeliveryStream logs:AssociateKmsKey
        logs:CreateLogDelivery logs:DeleteDataProtectionPolicy logs:DeleteIndexPolicy
        logs:DeleteResourcePolicy logs:DescribeIndexPolicies logs:DescribeResourcePolicies
        logs:DisassociateKmsKey logs:GetDataProtectionPolicy logs:PutBearerTokenAuthentication
        logs:PutDataProtectionPolicy logs:PutIndexPolicy logs:PutLogGroupDeletionProtection
        logs:PutResourcePolicy s3:REST.PUT.OBJECT""",
    "AWS::SNS::Topic": """iam:GetRole iam:PassRole sns:GetDataProtectionPolicy
        sns:PutDataProtectionPolicy""",
}
# Of no type's schema: whoever makes a function of an image must be able to read the image.
IMAGE = {"ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer", "ecr:GetRepositoryPolicy"}


def needed(kind: str) -> set[str]:
    told = PROVIDER_SCHEMA_MANAGER.get_resource_schema("us-east-1", kind).schema
    steps = [each for step, each in told["handlers"].items() if step != "list"]
    steps.append(told.get("tagging", {}))
    return {action for each in steps for action in each.get("permissions", [])}


def kinds(written: Any) -> list[str]:
    return sorted({each["Type"] for each in written("public").resources("service").values()})


def test_nothing_is_missing(written: Any) -> None:
    granted = set(may(written("public"), "deploy-service"))
    missing = {
        kind: needed(kind) - granted - set(UNUSED.get(kind, "").split()) for kind in kinds(written)
    }
    assert {kind: each for kind, each in missing.items() if each} == {}


def test_nothing_is_granted_that_nothing_needs(written: Any) -> None:
    every = {action for kind in kinds(written) for action in needed(kind)}
    assert set(may(written("public"), "deploy-service")) - every == IMAGE


def test_what_is_left_out_is_needed_by_something_else() -> None:
    """A line of the list above that AWS's schema no longer has is old."""
    for kind, words in UNUSED.items():
        assert set(words.split()) <= needed(kind), kind
