"""Where the serve image lies: a repository whose tags cannot be moved."""

from __future__ import annotations

import json

import aws_cdk as cdk
from aws_cdk import aws_ecr as ecr
from constructs import Construct

from names import Names


class Images(cdk.Stack):
    """One repository: scanned on push, tags immutable, old images go, emptied with the stack."""

    def __init__(self, scope: Construct, stack_id: str, *, names: Names, **words) -> None:
        super().__init__(scope, stack_id, **words)
        repository = ecr.CfnRepository(
            self,
            "Serve",
            repository_name=names.repository,
            image_scanning_configuration={"scanOnPush": True},
            image_tag_mutability="IMMUTABLE",
            encryption_configuration={"encryptionType": "AES256"},
            empty_on_delete=True,  # an image is built again; left behind it costs, unseen
            lifecycle_policy={
                "lifecyclePolicyText": json.dumps(
                    {"rules": [_untagged(1), _newest(2, names.settings.images.kept)]}
                )
            },
            # Else Lambda writes one by itself, when who deploys may do that.
            repository_policy_text={
                "Version": "2012-10-17",
                "Statement": [
                    {
                        "Sid": "Lambda",
                        "Effect": "Allow",
                        "Principal": {"Service": "lambda.amazonaws.com"},
                        "Action": ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"],
                        "Condition": {
                            "StringLike": {"aws:SourceArn": f"{names.function_arn}*"},
                            "StringEquals": {"aws:SourceAccount": cdk.Aws.ACCOUNT_ID},
                        },
                    }
                ],
            },
        )
        repository.apply_removal_policy(cdk.RemovalPolicy.DESTROY)
        cdk.CfnOutput(self, "RepositoryUri", value=repository.attr_repository_uri)
        cdk.CfnOutput(self, "RepositoryName", value=repository.ref)


def _untagged(priority: int) -> dict:
    return {
        "rulePriority": priority,
        "description": "what no tag names any more",
        "selection": {
            "tagStatus": "untagged",
            "countType": "sinceImagePushed",
            "countUnit": "days",
            "countNumber": 1,
        },
        "action": {"type": "expire"},
    }


def _newest(priority: int, kept: int) -> dict:
    return {
        "rulePriority": priority,
        "description": f"all but the newest {kept}",
        "selection": {
            "tagStatus": "any",
            "countType": "imageCountMoreThan",
            "countNumber": kept,
        },
        "action": {"type": "expire"},
    }
