"""What holds something: buckets and uploads that never ended, images, logs, keys."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from kennel.cloud import CloudError, asking, buckets, client
from kennel.cloud.sweeping.scope import Leftover, Scope, priced

BUCKET, UPLOAD = "AWS::S3::Bucket", "AWS::S3::MultipartUpload"
REPOSITORY, LOGS, KEY = "AWS::ECR::Repository", "AWS::Logs::LogGroup", "AWS::KMS::Key"
BOOTSTRAP = "cdk-"  # of names that `cdk bootstrap` gives; ours only with our tag
DELETION_DAYS = 7  # the least that KMS takes
GB = 1e9


def find(scope: Scope) -> Iterator[Leftover]:
    yield from _buckets(scope)
    yield from _repositories(scope)
    yield from _logs(scope)
    yield from _keys(scope)


def _buckets(scope: Scope) -> Iterator[Leftover]:
    with asking("s3:ListAllMyBuckets", fixes={}):
        names = [each["Name"] for each in client("s3").list_buckets()["Buckets"]]
    for name in names:
        if not name.startswith((scope.prefix, BOOTSTRAP)) and not scope.named(BUCKET, name):
            continue
        tags = buckets.tags(name)
        if tags is None or not scope.wears(tags):
            continue
        if not scope.orphan(name):
            for key, upload in buckets.abandoned(name, scope.now):
                yield Leftover(UPLOAD, f"{name}/{key}", upload, words="begun, and never ended")
            continue
        held = buckets.contents(name)
        if held is None:
            continue
        cost = priced(BUCKET, gb=held.size_bytes / GB)
        yield Leftover(
            BUCKET,
            name,
            f"arn:aws:s3:::{name}",
            words=str(held),
            usd=cost.usd,
            price=cost.words,
            stays=f"it holds data: kennel cloud destroy --with-data {name}"
            if held.versions
            else "",
        )


def _repositories(scope: Scope) -> Iterator[Leftover]:
    ecr = client("ecr")
    with asking("ecr:DescribeRepositories", fixes={}):
        pages = ecr.get_paginator("describe_repositories").paginate()
        found = [each for page in pages for each in page["repositories"]]
    for each in found:
        name, arn = each["repositoryName"], each["repositoryArn"]
        if not name.startswith((scope.prefix, BOOTSTRAP)) or not scope.orphan(name, arn):
            continue
        with asking(f"ecr:ListTagsForResource {name}", fixes={}):
            tags = ecr.list_tags_for_resource(resourceArn=arn)["tags"]
        if not scope.wears(tags):
            continue
        with asking(f"ecr:DescribeImages {name}", fixes={}):
            pages = ecr.get_paginator("describe_images").paginate(repositoryName=name)
            sizes = [i.get("imageSizeInBytes", 0) for page in pages for i in page["imageDetails"]]
        cost = priced(REPOSITORY, gb=sum(sizes) / GB)
        words = f"{len(sizes)} images, {sum(sizes) / GB:.2f} GB"
        yield Leftover(REPOSITORY, name, arn, words, cost.usd, cost.words)


def _logs(scope: Scope) -> Iterator[Leftover]:
    aws = client("logs")
    with asking("logs:DescribeLogGroups", fixes={}):
        pages = aws.get_paginator("describe_log_groups")
        prefix = f"/aws/lambda/{scope.prefix}"
        found = [g for page in pages.paginate(logGroupNamePrefix=prefix) for g in page["logGroups"]]
    for each in found:
        name, arn = each["logGroupName"], each["arn"].removesuffix(":*")
        if not scope.orphan(name, arn):
            continue
        if not scope.named(LOGS, name):
            with asking(f"logs:ListTagsForResource {name}", fixes={}):
                if not scope.wears(aws.list_tags_for_resource(resourceArn=arn)["tags"]):
                    continue
        size = each.get("storedBytes", 0)
        days = each.get("retentionInDays")
        words = f"{size / GB:.3f} GB, kept {f'{days} days' if days else 'for ever'}"
        cost = priced(LOGS, gb=size / GB)
        yield Leftover(LOGS, name, arn, words, cost.usd, cost.words)


def _keys(scope: Scope) -> Iterator[Leftover]:
    kms = client("kms")
    with asking("kms:ListKeys", fixes={}):
        pages = kms.get_paginator("list_keys").paginate()
        ids = [each["KeyId"] for page in pages for each in page["Keys"]]
    for key in ids:
        if not scope.orphan(key):
            continue
        try:
            with asking(f"kms:ListResourceTags {key}", fixes={}):
                if not scope.wears(kms.list_resource_tags(KeyId=key)["Tags"]):
                    continue
        except CloudError as error:
            if "Denied" in error.code:
                continue  # of somebody who lets nobody look at it
            raise
        with asking(f"kms:DescribeKey {key}", fixes={}):
            told = kms.describe_key(KeyId=key)["KeyMetadata"]
        if told["KeyState"] == "PendingDeletion":
            gone = told.get("DeletionDate")
            words = f"in deletion{f', gone on {gone:%Y-%m-%d}' if gone else ''}; it costs nothing"
            yield Leftover(KEY, key, told["Arn"], words, 0.0, stays="it goes by itself", going=True)
        else:
            cost = priced(KEY)
            yield Leftover(KEY, key, told["Arn"], told["KeyState"], cost.usd, cost.words)


def emptied(each: Leftover) -> Leftover:
    """A bucket that may be removed, since nothing is in it any more."""
    if each.kind != BUCKET:
        return each
    buckets.empty(each.name)
    return replace(each, stays="")


def _without_bucket(each: Leftover) -> None:
    for key, upload, _ in buckets.unfinished(each.name):
        buckets.abort(each.name, key, upload)
    buckets.remove(each.name)  # S3 itself refuses where anything was put into it meanwhile


def _without_upload(each: Leftover) -> None:
    bucket, _, key = each.name.partition("/")
    buckets.abort(bucket, key, each.arn)


def _without_repository(each: Leftover) -> None:
    with asking(f"ecr:DeleteRepository {each.name}", fixes={}):
        client("ecr").delete_repository(repositoryName=each.name, force=True)


def _without_logs(each: Leftover) -> None:
    with asking(f"logs:DeleteLogGroup {each.name}", fixes={}):
        client("logs").delete_log_group(logGroupName=each.name)


def _without_key(each: Leftover) -> None:
    with asking(f"kms:ScheduleKeyDeletion {each.name}", fixes={}):
        client("kms").schedule_key_deletion(KeyId=each.name, PendingWindowInDays=DELETION_DAYS)


REMOVERS: dict[str, Callable[[Leftover], None]] = {
    UPLOAD: _without_upload,
    BUCKET: _without_bucket,
    REPOSITORY: _without_repository,
    LOGS: _without_logs,
    KEY: _without_key,
}
