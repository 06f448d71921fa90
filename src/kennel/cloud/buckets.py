"""Buckets: what lies in them, how to empty one, whose it is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from kennel.cloud import CloudError, asking, client

A_PAGE = 1000  # versions that S3 lists and deletes at once
MOST_COUNTED = 20 * A_PAGE
ABANDONED = timedelta(days=1)  # an upload that began before is nobody's any more
NONE = ("NoSuchBucket", "404", "NotFound")


@dataclass(frozen=True)
class Contents:
    """What lies in a bucket.

    Attributes:
        versions: of files, and markers of deleted ones. more: whether there are more than counted.
        uploads: that were begun and never ended.
    """

    versions: int
    size_bytes: int
    more: bool
    uploads: int

    @property
    def empty(self) -> bool:
        return not self.versions and not self.uploads

    def __str__(self) -> str:
        if not self.versions:
            return f"{self.uploads} unfinished uploads" if self.uploads else "nothing"
        least = "more than " if self.more else ""
        return f"{least}{self.versions:,} versions of files, {self.size_bytes / 1e9:.2f} GB"


def contents(bucket: str) -> Contents | None:
    """What lies in it; None where there is no such bucket.

    Raises:
        CloudError: it may not be looked into.
    """
    count = size = 0
    more = False
    try:
        for page in _pages(bucket):
            rows = [*page.get("Versions", ()), *page.get("DeleteMarkers", ())]
            count += len(rows)
            size += sum(int(each.get("Size", 0)) for each in rows)
            if count >= MOST_COUNTED:
                more = True
                break
        uploads = sum(1 for _ in unfinished(bucket))
    except CloudError as error:
        if error.code in NONE:
            return None
        raise
    return Contents(count, size, more, uploads)


def empty(bucket: str) -> int:
    """Removes every version of every file, and every unfinished upload; how many there were.

    Raises:
        CloudError: some may not be removed. What was removed is gone.
    """
    count = 0
    s3 = client("s3")
    for page in _pages(bucket):
        rows = [*page.get("Versions", ()), *page.get("DeleteMarkers", ())]
        wanted = [{"Key": each["Key"], "VersionId": each["VersionId"]} for each in rows]
        if not wanted:
            continue
        with asking(f"s3:DeleteObjects {bucket}", fixes={}):
            answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": wanted, "Quiet": True})
        if failed := answer.get("Errors"):
            raise CloudError(
                f"{failed[0]['Key']} in {bucket} is not removed: {failed[0].get('Message', '')}",
                fix="the role needs s3:DeleteObjectVersion; or a lock holds it",
            )
        count += len(wanted)
    for key, upload, _ in unfinished(bucket):
        abort(bucket, key, upload)
        count += 1
    return count


def unfinished(bucket: str) -> Iterator[tuple[str, str, datetime]]:
    """Uploads that were begun and never ended: key, id, since when."""
    with asking(f"s3:ListBucketMultipartUploads {bucket}", fixes={}):
        pages = client("s3").get_paginator("list_multipart_uploads").paginate(Bucket=bucket)
        for page in pages:
            for each in page.get("Uploads", ()):
                yield each["Key"], each["UploadId"], each["Initiated"]


def abandoned(bucket: str, now: datetime) -> tuple[tuple[str, str], ...]:
    """Those of them that nobody goes on with: key, id."""
    return tuple(
        (key, upload)
        for key, upload, begun in unfinished(bucket)
        if now.astimezone(UTC) - begun.astimezone(UTC) > ABANDONED
    )


def abort(bucket: str, key: str, upload: str) -> None:
    """Ends an upload; its parts go."""
    with asking(f"s3:AbortMultipartUpload {bucket}", fixes={}):
        client("s3").abort_multipart_upload(Bucket=bucket, Key=key, UploadId=upload)


def tags(bucket: str) -> dict[str, str] | None:
    """What it wears; None where there is no such bucket of this account's."""
    try:
        with asking(f"s3:GetBucketTagging {bucket}", fixes={}):
            found = client("s3").get_bucket_tagging(Bucket=bucket)["TagSet"]
    except CloudError as error:
        if error.code == "NoSuchTagSet":
            return {}
        if error.code in NONE or "Denied" in error.code:
            return None
        raise
    return {each["Key"]: each["Value"] for each in found}


def remove(bucket: str) -> None:
    """Removes an empty bucket; one that is gone already stays gone."""
    try:
        with asking(f"s3:DeleteBucket {bucket}", fixes={"BucketNotEmpty": "--with-data"}):
            client("s3").delete_bucket(Bucket=bucket)
    except CloudError as error:
        if error.code not in NONE:
            raise


def _pages(bucket: str) -> Iterator[dict[str, Any]]:
    with asking(f"s3:ListBucketVersions {bucket}", fixes={}):
        yield from client("s3").get_paginator("list_object_versions").paginate(Bucket=bucket)
