"""Which rights were used: what the emulator heard, as IAM names it, by who asked.

IAM's names are not always those of the API. Source: AWS Service Authorization Reference.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

CLOUDFORMATION = "cloudformation"  # what it asks for a stack; who deploys needs the right as well
OURS = "rehearsal"  # looks on, and is nobody of a deployment's
PREFIX = {"monitoring": "cloudwatch", "tagging": "tag", "email": "ses"}
S3 = {
    "HeadObject": "GetObject",
    "CopyObject": "PutObject",
    "UploadPart": "PutObject",
    "CreateMultipartUpload": "PutObject",
    "CompleteMultipartUpload": "PutObject",
    "DeleteObjects": "DeleteObject",
    "ListObjects": "ListBucket",
    "ListObjectsV2": "ListBucket",
    "HeadBucket": "ListBucket",
    "ListObjectVersions": "ListBucketVersions",
    "ListParts": "ListMultipartUploadParts",
    "ListMultipartUploads": "ListBucketMultipartUploads",
    "ListBuckets": "ListAllMyBuckets",
    "GetBucketLifecycleConfiguration": "GetLifecycleConfiguration",
    "PutBucketLifecycleConfiguration": "PutLifecycleConfiguration",
    "GetBucketEncryption": "GetEncryptionConfiguration",
    "PutBucketEncryption": "PutEncryptionConfiguration",
    "GetPublicAccessBlock": "GetBucketPublicAccessBlock",
    "PutPublicAccessBlock": "PutBucketPublicAccessBlock",
}
LAMBDA = {"Invoke": "InvokeFunction", "ListAliases": "ListAliases"}


def used(heard: Path, users: Mapping[str, str]) -> dict[str, list[str]]:
    """Rights by role, sorted.

    Args:
        heard: file with a line `KEY SERVICE OPERATION` a request.
        users: access key -> role.
    """
    found: dict[str, set[str]] = {}
    for line in heard.read_text(encoding="utf-8").splitlines():
        key, service, operation = line.split(" ", 2)
        role = users.get(key, key)
        if role != OURS:
            found.setdefault(role, set()).add(action(service, operation))
    return {role: sorted(found[role]) for role in sorted(found)}


def action(service: str, operation: str) -> str:
    """An operation as IAM names the right to it, such as s3:ListBucket."""
    names = {"s3": S3, "lambda": LAMBDA}.get(service, {})
    # Names of REST APIs may end with the version they are of.
    plain = operation.rstrip("0123456789") if service == "lambda" else operation
    return f"{PREFIX.get(service, service)}:{names.get(plain, plain)}"
