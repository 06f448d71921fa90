"""Photos, bundles and the registry: one bucket, for DVC and for who is champion."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_s3 as s3
from constructs import Construct

from names import Names
from policies import acknowledge

UNFINISHED_DAYS = 7


class Storage(cdk.Stack):
    """A bucket that nobody outside can see, by TLS alone, whose old versions can be had back."""

    def __init__(self, scope: Construct, stack_id: str, *, names: Names, **words) -> None:
        super().__init__(scope, stack_id, **words)
        chosen = names.settings.storage
        bucket = s3.CfnBucket(
            self,
            "Data",
            bucket_name=names.bucket,
            bucket_encryption={
                "serverSideEncryptionConfiguration": [
                    {
                        "serverSideEncryptionByDefault": {"sseAlgorithm": "AES256"},
                        "bucketKeyEnabled": True,
                    }
                ]
            },
            versioning_configuration={"status": "Enabled"},
            public_access_block_configuration={
                "blockPublicAcls": True,
                "blockPublicPolicy": True,
                "ignorePublicAcls": True,
                "restrictPublicBuckets": True,
            },
            ownership_controls={"rules": [{"objectOwnership": "BucketOwnerEnforced"}]},
            lifecycle_configuration={
                "rules": [
                    {
                        "id": "unfinished-uploads",
                        "status": "Enabled",
                        "abortIncompleteMultipartUpload": {"daysAfterInitiation": UNFINISHED_DAYS},
                    },
                    {
                        "id": "old-versions",
                        "status": "Enabled",
                        "noncurrentVersionExpiration": {"noncurrentDays": chosen.old_versions_days},
                        "expiredObjectDeleteMarker": True,
                    },
                ]
            },
        )
        acknowledge(
            bucket,
            "S1",
            "A log of every access is a second bucket that only grows. CloudTrail can write one.",
        )
        # What a person gave is never deleted unless that was asked for. CloudFormation deletes no
        # bucket that holds anything; `kennel cloud destroy --with-data` empties it first.
        keep = chosen.on_delete == "keep"
        bucket.apply_removal_policy(cdk.RemovalPolicy.RETAIN if keep else cdk.RemovalPolicy.DESTROY)
        tls = s3.CfnBucketPolicy(
            self,
            "TlsOnly",
            bucket=bucket.ref,
            policy_document={
                "Version": "2012-10-17",
                "Statement": [
                    _refused("TlsOnly", bucket, {"Bool": {"aws:SecureTransport": "false"}}),
                    _refused("NoOldTls", bucket, {"NumericLessThan": {"s3:TlsVersion": "1.2"}}),
                ],
            },
        )
        tls.apply_removal_policy(cdk.RemovalPolicy.RETAIN if keep else cdk.RemovalPolicy.DESTROY)
        cdk.CfnOutput(self, "DataBucket", value=bucket.ref)
        registry = names.settings.identity.registry_prefix
        cdk.CfnOutput(self, "RegistryUri", value=f"s3://{bucket.ref}/{registry}")
        data = names.settings.identity.data_prefix
        cdk.CfnOutput(self, "DataUri", value=f"s3://{bucket.ref}/{data}", description="for DVC")


def _refused(sid: str, bucket: s3.CfnBucket, condition: dict) -> dict:
    return {
        "Sid": sid,
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": [bucket.attr_arn, f"{bucket.attr_arn}/*"],
        "Condition": condition,
    }
