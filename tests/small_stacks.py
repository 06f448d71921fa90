"""A deployment as `make synth` writes one, small: a bucket, a repository, a function."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

NAME, REGION, ACCOUNT = "kennel", "us-east-1", "123456789012"
BUCKET = f"{NAME}-data-{ACCOUNT}-{REGION}"
TAG = {"Key": "kennel:deployment", "Value": NAME}
TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"Service": "lambda.amazonaws.com"},
            "Action": "sts:AssumeRole",
        }
    ],
}


def storage() -> dict[str, Any]:
    name = {"Fn::Join": ["", [f"{NAME}-data-", {"Ref": "AWS::AccountId"}, f"-{REGION}"]]}
    return {
        "Resources": {
            "Data": {
                "Type": "AWS::S3::Bucket",
                "DeletionPolicy": "Retain",
                "UpdateReplacePolicy": "Retain",
                "Properties": {
                    "BucketName": name,
                    "VersioningConfiguration": {"Status": "Enabled"},
                    "Tags": [TAG],
                },
            }
        },
        "Outputs": {"DataBucket": {"Value": {"Ref": "Data"}}},
    }


def images() -> dict[str, Any]:
    return {
        "Resources": {
            "Serve": {
                "Type": "AWS::ECR::Repository",
                "Properties": {
                    "RepositoryName": f"{NAME}-serve",
                    "ImageTagMutability": "IMMUTABLE",
                    "EmptyOnDelete": True,
                    "Tags": [TAG],
                },
            }
        },
        "Outputs": {"RepositoryUri": {"Value": {"Fn::GetAtt": ["Serve", "RepositoryUri"]}}},
    }


def service(*, memory_mb: int = 2048) -> dict[str, Any]:
    registry = {"Fn::Join": ["", [{"Ref": "AWS::AccountId"}, f".dkr.ecr.{REGION}.amazonaws.com"]]}
    image = {"Fn::Join": ["", [registry, f"/{NAME}-serve@", {"Ref": "ImageDigest"}]]}
    made_of = [{"Ref": "BundleId"}, {"Ref": "ImageDigest"}, str(memory_mb)]
    return {
        "Parameters": {"ImageDigest": {"Type": "String"}, "BundleId": {"Type": "String"}},
        "Resources": {
            "Logs": {
                "Type": "AWS::Logs::LogGroup",
                "Properties": {
                    "LogGroupName": f"/aws/lambda/{NAME}-serve",
                    "RetentionInDays": 14,
                    "Tags": [TAG],
                },
            },
            "Role": {
                "Type": "AWS::IAM::Role",
                "Properties": {
                    "RoleName": f"{NAME}-serve",
                    "AssumeRolePolicyDocument": TRUST,
                    "Tags": [TAG],
                },
            },
            "Serve": {
                "Type": "AWS::Lambda::Function",
                "DependsOn": ["Logs"],
                "Properties": {
                    "FunctionName": f"{NAME}-serve",
                    "PackageType": "Image",
                    "Code": {"ImageUri": image},
                    "MemorySize": memory_mb,
                    "Timeout": 30,
                    "Role": {"Fn::GetAtt": ["Role", "Arn"]},
                    "Environment": {"Variables": {"KENNEL_BUNDLE": {"Ref": "BundleId"}}},
                    "Tags": [TAG],
                },
            },
            "Version": {
                "Type": "AWS::Lambda::Version",
                "UpdateReplacePolicy": "Retain",
                "Properties": {
                    "FunctionName": {"Ref": "Serve"},
                    "Description": {"Fn::Join": [" ", made_of]},
                },
            },
            "Live": {
                "Type": "AWS::Lambda::Alias",
                "Properties": {
                    "Name": "live",
                    "FunctionName": {"Ref": "Serve"},
                    "FunctionVersion": {"Fn::GetAtt": ["Version", "Version"]},
                },
            },
            "Url": {
                "Type": "AWS::Lambda::Url",
                "DependsOn": ["Live"],
                "Properties": {
                    "TargetFunctionArn": {"Fn::GetAtt": ["Serve", "Arn"]},
                    "Qualifier": "live",
                    "AuthType": "AWS_IAM",
                },
            },
        },
        "Outputs": {
            "FunctionName": {"Value": {"Ref": "Serve"}},
            "FunctionUrl": {"Value": {"Fn::GetAtt": ["Url", "FunctionUrl"]}},
        },
    }


def identity() -> dict[str, Any]:
    """With the role that CloudFormation takes to change the service."""
    return {
        "Resources": {
            "ServiceRole": {
                "Type": "AWS::IAM::Role",
                "Properties": {
                    "RoleName": f"{NAME}-deploy-service",
                    "AssumeRolePolicyDocument": TRUST,
                    "Tags": [TAG],
                },
            }
        },
        "Outputs": {"ServiceRoleArn": {"Value": {"Fn::GetAtt": ["ServiceRole", "Arn"]}}},
    }


DEPENDS = {"storage": [], "images": [], "service": ["images"]}


def write_stacks(folder: Path, **rooms: dict[str, Any]) -> Path:
    """Writes all three, or other templates for some of them; the folder."""
    templates = {"storage": storage(), "images": images(), "service": service(), **rooms}
    folder.mkdir(parents=True, exist_ok=True)
    stacks = []
    for room, template in templates.items():
        file = f"{NAME}-{room}.template.json"
        (folder / file).write_text(json.dumps(template), encoding="utf-8")
        stacks.append(
            {
                "room": room,
                "name": f"{NAME}-{room}",
                "template": file,
                "depends_on": DEPENDS.get(room, []),
            }
        )
    document = {
        "schema_version": 1,
        "name": NAME,
        "region": REGION,
        "tag": {"key": TAG["Key"], "value": NAME},
        "settings": {"service": {"concurrency": 5}, "runner": {"types": ["g4dn.xlarge"]}},
        "stacks": stacks,
    }
    (folder / "deployment.json").write_text(json.dumps(document), encoding="utf-8")
    return folder
