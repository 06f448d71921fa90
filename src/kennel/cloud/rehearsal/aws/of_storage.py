"""Buckets, repositories of images, log groups: what keeps bytes, and goes on costing for them."""

from __future__ import annotations

import json
from typing import Any

from kennel.cloud.rehearsal.aws.kinds import Kind, Made, Place, Properties, gone, tags_of
from kennel.cloud.rehearsal.permissions import Question, by_resource

# ---- AWS::S3::Bucket


def _bucket(name: str, told: Properties, place: Place) -> Made:
    s3 = place.client("s3")
    where: dict[str, Any] = (
        {}
        if place.region == "us-east-1"
        else {"CreateBucketConfiguration": {"LocationConstraint": place.region}}
    )
    s3.create_bucket(Bucket=name, **where)
    return _furnished(name, told, place)


def _bucket_changed(made: Made, told: Properties, place: Place) -> Made:
    return _furnished(made.identity, told, place)


def _furnished(name: str, told: Properties, place: Place) -> Made:
    s3 = place.client("s3")
    if versions := told.get("VersioningConfiguration"):
        s3.put_bucket_versioning(Bucket=name, VersioningConfiguration=versions)
    if encryption := told.get("BucketEncryption"):
        rules = [
            {
                "ApplyServerSideEncryptionByDefault": each["ServerSideEncryptionByDefault"],
                **(
                    {"BucketKeyEnabled": each["BucketKeyEnabled"]}
                    if "BucketKeyEnabled" in each
                    else {}
                ),
            }
            for each in encryption["ServerSideEncryptionConfiguration"]
        ]
        s3.put_bucket_encryption(Bucket=name, ServerSideEncryptionConfiguration={"Rules": rules})
    if block := told.get("PublicAccessBlockConfiguration"):
        s3.put_public_access_block(Bucket=name, PublicAccessBlockConfiguration=block)
    if ownership := told.get("OwnershipControls"):
        s3.put_bucket_ownership_controls(Bucket=name, OwnershipControls=ownership)
    if lifecycle := told.get("LifecycleConfiguration"):
        rules = [_rule(each) for each in lifecycle["Rules"]]
        s3.put_bucket_lifecycle_configuration(Bucket=name, LifecycleConfiguration={"Rules": rules})
    if tags := tags_of(told):
        pairs = [{"Key": key, "Value": value} for key, value in tags.items()]
        s3.put_bucket_tagging(Bucket=name, Tagging={"TagSet": pairs})
    domain = f"{name}.s3.amazonaws.com"
    return Made(
        name,
        {
            "Arn": f"arn:aws:s3:::{name}",
            "DomainName": domain,
            "RegionalDomainName": f"{name}.s3.{place.region}.amazonaws.com",
        },
    )


def _rule(told: dict[str, Any]) -> dict[str, Any]:
    """A lifecycle rule in the words of the API."""
    rule: dict[str, Any] = {
        "ID": told.get("Id", ""),
        "Status": told["Status"],
        "Filter": {"Prefix": told.get("Prefix", "")},
    }
    if days := told.get("ExpirationInDays"):
        rule["Expiration"] = {"Days": days}
    if told.get("ExpiredObjectDeleteMarker") is not None:
        rule["Expiration"] = {"ExpiredObjectDeleteMarker": told["ExpiredObjectDeleteMarker"]}
    if uploads := told.get("AbortIncompleteMultipartUpload"):
        rule["AbortIncompleteMultipartUpload"] = uploads
    if old := told.get("NoncurrentVersionExpiration"):
        rule["NoncurrentVersionExpiration"] = old
    if days := told.get("NoncurrentVersionExpirationInDays"):
        rule["NoncurrentVersionExpiration"] = {"NoncurrentDays": days}
    known = {
        "Id", "Status", "Prefix", "ExpirationInDays", "ExpiredObjectDeleteMarker",
        "AbortIncompleteMultipartUpload", "NoncurrentVersionExpiration",
        "NoncurrentVersionExpirationInDays", "Transitions", "NoncurrentVersionTransitions",
    }  # fmt: skip
    if unknown := sorted(told.keys() - known):
        raise ValueError(f"the rehearsal does not play {', '.join(unknown)} of a lifecycle rule")
    for name in ("Transitions", "NoncurrentVersionTransitions"):
        if name in told:
            rule[name] = [_transition(each) for each in told[name]]
    return rule


def _transition(told: dict[str, Any]) -> dict[str, Any]:
    renamed = {"TransitionInDays": "Days"}
    return {renamed.get(key, key): value for key, value in told.items()}


def _bucket_deleted(made: Made, told: Properties, place: Place) -> None:
    with gone(place.client("s3"), "NoSuchBucket") as s3:
        s3.delete_bucket(Bucket=made.identity)  # refused while something lies in it


def _bucket_policy(_: str, told: Properties, place: Place) -> Made:
    policy = json.dumps(told["PolicyDocument"])
    place.client("s3").put_bucket_policy(Bucket=told["Bucket"], Policy=policy)
    return Made(told["Bucket"])


def _bucket_policy_deleted(made: Made, told: Properties, place: Place) -> None:
    with gone(place.client("s3"), "NoSuchBucket") as s3:
        s3.delete_bucket_policy(Bucket=made.identity)


# ---- AWS::ECR::Repository


def _repository(name: str, told: Properties, place: Place) -> Made:
    ecr = place.client("ecr")
    more = {}
    if encryption := told.get("EncryptionConfiguration"):
        renamed = {"EncryptionType": "encryptionType", "KmsKey": "kmsKey"}
        more["encryptionConfiguration"] = {renamed[key]: said for key, said in encryption.items()}
    ecr.create_repository(
        repositoryName=name,
        tags=[{"Key": key, "Value": value} for key, value in tags_of(told).items()],
        **more,
    )
    return _repository_furnished(name, told, place)


def _repository_changed(made: Made, told: Properties, place: Place) -> Made:
    return _repository_furnished(made.identity, told, place)


def _repository_furnished(name: str, told: Properties, place: Place) -> Made:
    ecr = place.client("ecr")
    ecr.put_image_tag_mutability(
        repositoryName=name, imageTagMutability=told.get("ImageTagMutability", "MUTABLE")
    )
    scan = told.get("ImageScanningConfiguration", {}).get("ScanOnPush", False)
    ecr.put_image_scanning_configuration(
        repositoryName=name, imageScanningConfiguration={"scanOnPush": bool(_flag(scan))}
    )
    if policy := told.get("LifecyclePolicy"):
        ecr.put_lifecycle_policy(
            repositoryName=name, lifecyclePolicyText=policy["LifecyclePolicyText"]
        )
    if policy := told.get("RepositoryPolicyText"):
        text = policy if isinstance(policy, str) else json.dumps(policy)
        ecr.set_repository_policy(repositoryName=name, policyText=text)
    [found] = ecr.describe_repositories(repositoryNames=[name])["repositories"]
    return Made(name, {"Arn": found["repositoryArn"], "RepositoryUri": found["repositoryUri"]})


def _repository_deleted(made: Made, told: Properties, place: Place) -> None:
    with gone(place.client("ecr"), "RepositoryNotFoundException") as ecr:
        ecr.delete_repository(
            repositoryName=made.identity, force=bool(_flag(told.get("EmptyOnDelete", False)))
        )


def _flag(said: Any) -> bool:
    return str(said).lower() == "true"


# ---- AWS::Logs::LogGroup


def _log_group(name: str, told: Properties, place: Place) -> Made:
    logs = place.client("logs")
    logs.create_log_group(logGroupName=name, tags=tags_of(told))
    return _log_group_changed(Made(name), told, place)


def _log_group_changed(made: Made, told: Properties, place: Place) -> Made:
    logs = place.client("logs")
    if days := told.get("RetentionInDays"):
        logs.put_retention_policy(logGroupName=made.identity, retentionInDays=int(days))
    arn = f"arn:aws:logs:{place.region}:{place.account}:log-group:{made.identity}:*"
    return Made(made.identity, {"Arn": arn})


def _log_group_deleted(made: Made, told: Properties, place: Place) -> None:
    with gone(place.client("logs"), "ResourceNotFoundException") as logs:
        logs.delete_log_group(logGroupName=made.identity)


def _metric_filter(name: str, told: Properties, place: Place) -> Made:
    renamed = {
        "MetricName": "metricName", "MetricNamespace": "metricNamespace",
        "MetricValue": "metricValue", "DefaultValue": "defaultValue", "Unit": "unit",
        "Dimensions": "dimensions",
    }  # fmt: skip
    place.client("logs").put_metric_filter(
        logGroupName=told["LogGroupName"],
        filterName=name,
        filterPattern=told["FilterPattern"],
        metricTransformations=[
            {renamed[key]: said for key, said in each.items()}
            for each in told["MetricTransformations"]
        ],
    )
    return Made(name)


def _metric_filter_deleted(made: Made, told: Properties, place: Place) -> None:
    with gone(place.client("logs"), "ResourceNotFoundException") as logs:
        logs.delete_metric_filter(logGroupName=told["LogGroupName"], filterName=made.identity)


def teach_policies() -> None:
    """Makes a bucket's policy be read with its conditions, each request as one by TLS: loopback has
    none, and moto takes a statement for said whose condition is not met.
    """
    from moto.iam.access_control import PermissionResult
    from moto.s3 import models

    says = {True: PermissionResult.PERMITTED, False: PermissionResult.DENIED}
    by_tls = {"aws:securetransport": "true", "s3:tlsversion": "1.3"}

    def get_permission(self: Any, action: str, resource: str) -> Any:
        policy = json.loads(self.policy) if self.policy else None
        return says.get(
            by_resource(policy, Question("", action, resource, by_tls)),  # type: ignore[arg-type]
            PermissionResult.NEUTRAL,
        )

    models.FakeBucket.get_permission = get_permission  # type: ignore[method-assign]


KINDS = (
    Kind(
        "AWS::S3::Bucket",
        _bucket,
        _bucket_deleted,
        _bucket_changed,
        name="BucketName",
        known=frozenset(
            [
                "BucketName",
                "VersioningConfiguration",
                "BucketEncryption",
                "PublicAccessBlockConfiguration",
                "OwnershipControls",
                "LifecycleConfiguration",
                "Tags",
            ]
        ),
    ),
    Kind(
        "AWS::S3::BucketPolicy",
        _bucket_policy,
        _bucket_policy_deleted,
        lambda _, told, place: _bucket_policy("", told, place),
        known=frozenset({"Bucket", "PolicyDocument"}),
    ),
    Kind(
        "AWS::ECR::Repository",
        _repository,
        _repository_deleted,
        _repository_changed,
        name="RepositoryName",
        known=frozenset(
            [
                "RepositoryName",
                "EncryptionConfiguration",
                "ImageScanningConfiguration",
                "ImageTagMutability",
                "LifecyclePolicy",
                "RepositoryPolicyText",
                "EmptyOnDelete",
                "Tags",
            ]
        ),
    ),
    Kind(
        "AWS::Logs::LogGroup",
        _log_group,
        _log_group_deleted,
        _log_group_changed,
        name="LogGroupName",
        known=frozenset({"LogGroupName", "RetentionInDays", "Tags"}),
    ),
    Kind(
        "AWS::Logs::MetricFilter",
        _metric_filter,
        _metric_filter_deleted,
        lambda made, told, place: _metric_filter(made.identity, told, place),
        name="FilterName",
        known=frozenset({"FilterName", "FilterPattern", "LogGroupName", "MetricTransformations"}),
    ),
)
