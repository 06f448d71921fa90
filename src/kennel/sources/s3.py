"""A registry in S3, or in what speaks like it: `AWS_ENDPOINT_URL` says where, as for every client.

Each file is written with its sha256, which the server compares with what arrived; a file of the
history is written only where none is (`If-None-Match: *`), which the server decides.
"""

from __future__ import annotations

import base64
import hashlib
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kennel.errors import UsageError, need
from kennel.registry import RegistryError
from kennel.writing import file_sha256

SCHEME = "s3://"
BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
PIECE_BYTES = 1 << 20
MOST_BYTES = 5 * 10**9  # of one PutObject
CONNECT_S, READ_S = 10, 60
TRIES = 5  # where two conditional writes were at work on one name at once
WAIT_S = 0.2
ABSENT = ("404", "NoSuchKey", "NotFound")
TAKEN = ("412", "PreconditionFailed")
BUSY = ("409", "ConditionalRequestConflict")

FIXES = {
    "NoSuchBucket": "see how the bucket is written, or make it: aws s3 mb s3://BUCKET",
    "AccessDenied": "the credentials need s3:ListBucket on the bucket, s3:GetObject and "
    "s3:PutObject below the prefix",
    "403": "the credentials need s3:ListBucket on the bucket, s3:GetObject and s3:PutObject below "
    "the prefix",
    "InvalidAccessKeyId": "see AWS_ACCESS_KEY_ID, or the profile that AWS_PROFILE names",
    "SignatureDoesNotMatch": "see AWS_SECRET_ACCESS_KEY, or the profile that AWS_PROFILE names",
    "ExpiredToken": "sign in again: aws sso login",
    "PermanentRedirect": "the bucket is in another region: set AWS_REGION",
    "NotImplemented": "use a store that knows If-None-Match, as Amazon S3, MinIO and Ceph do",
}


class S3Store:
    """A registry below a prefix of a bucket. Nothing is asked before the first method is called.

    Args:
        address: s3://bucket or s3://bucket/prefix.
    Raises:
        UsageError: it is no such address.
        MissingExtraError: boto3 is not installed.
    """

    def __init__(self, address: str) -> None:
        bucket, _, prefix = address.removeprefix(SCHEME).partition("/")
        if not address.startswith(SCHEME) or not BUCKET.fullmatch(bucket):
            raise UsageError(
                f"{address} is not the address of a bucket.", fix="such as s3://bucket/registry"
            )
        self._bucket = bucket
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        need("boto3", extra="data")
        self._made: Any = None

    @property
    def address(self) -> str:
        return f"{SCHEME}{self._bucket}/{self._prefix}".rstrip("/")

    def names(self, folder: str) -> list[str]:
        start = f"{self._prefix}{folder}/"
        with self._asking(folder):
            pages = self._client().get_paginator("list_objects_v2")
            found = [
                each["Key"].removeprefix(self._prefix)
                for page in pages.paginate(Bucket=self._bucket, Prefix=start, Delimiter="/")
                for each in page.get("Contents", ())
            ]
        return sorted(found)

    def read(self, name: str) -> bytes | None:
        with self._asking(name):
            body = self._body(name)
            if body is None:
                return None
            with body:
                content: bytes = body.read()
                return content

    def create(self, name: str, content: bytes) -> bool:
        digest = base64.b64encode(hashlib.sha256(content).digest()).decode()
        for attempt in range(TRIES):
            try:
                with self._asking(name):
                    self._client().put_object(
                        Bucket=self._bucket,
                        Key=self._key(name),
                        Body=content,
                        ChecksumAlgorithm="SHA256",
                        ChecksumSHA256=digest,
                        IfNoneMatch="*",
                    )
                return True
            except _AnsweredError as error:
                if error.code in TAKEN:
                    return False
                if error.code not in BUSY or attempt == TRIES - 1:
                    raise
                time.sleep(WAIT_S * 2**attempt)
        raise AssertionError  # the last try returns or raises

    def put(self, place: str, files: Mapping[str, Path], sha256: Mapping[str, str]) -> None:
        for name, source in files.items():
            key = f"{place}/{name}"
            if source.stat().st_size > MOST_BYTES:
                raise RegistryError(
                    f"{source} has more than 5 GB, which S3 does not take in one piece with its "
                    "sha256.",
                    fix="promote it into a folder: --registry DIR",
                )
            if self._recorded(key) == sha256[name]:
                continue  # of an upload that was interrupted, or of the same bundle
            if file_sha256(source) != sha256[name]:  # not every server compares what arrives
                raise RegistryError(
                    f"{source} changed while it was copied.",
                    fix="see that nobody writes to the bundle, and try again",
                )
            with self._asking(key), source.open("rb") as file:
                self._client().put_object(
                    Bucket=self._bucket,
                    Key=self._key(key),
                    Body=file,
                    ChecksumAlgorithm="SHA256",
                    ChecksumSHA256=base64.b64encode(bytes.fromhex(sha256[name])).decode(),
                )
            if (self._recorded(key) or self.digest(key)) != sha256[name]:
                raise RegistryError(
                    f"{self.address}/{key} is not what was sent. The champion is who it was.",
                    fix="see that nobody writes to the bundle, and try again",
                )

    def digest(self, name: str) -> str | None:
        with self._asking(name):
            body = self._body(name)
            if body is None:
                return None
            digest = hashlib.sha256()
            with body:
                for piece in body.iter_chunks(PIECE_BYTES):
                    digest.update(piece)
        return digest.hexdigest()

    def fetch(self, name: str, to: Path, *, most_bytes: int) -> None:
        with self._asking(name):
            body = self._body(name)
            if body is None:
                raise RegistryError(
                    f"{self.address}/{name} is missing.",
                    fix="put it back from a copy; kennel promote --verify looks at all",
                )
            left = most_bytes + 1
            with body, to.open("wb") as target:
                while left > 0 and (piece := body.read(min(PIECE_BYTES, left))):
                    target.write(piece)
                    left -= len(piece)

    def folder(self, place: str) -> Path | None:
        return None

    def _client(self) -> Any:
        if self._made is None:
            boto3, config = need("boto3", extra="data"), need("botocore.config", extra="data")
            self._made = boto3.session.Session().client(
                "s3",
                config=config.Config(connect_timeout=CONNECT_S, read_timeout=READ_S),
            )
        return self._made

    def _key(self, name: str) -> str:
        return f"{self._prefix}{name}"

    def _body(self, name: str) -> Any:
        """The bytes of a file as a stream; None where there is none."""
        try:
            with self._asking(name):
                return self._client().get_object(Bucket=self._bucket, Key=self._key(name))["Body"]
        except _AnsweredError as error:
            if error.code in ABSENT:
                return None
            raise

    def _recorded(self, name: str) -> str | None:
        """sha256 of a file as the server compared it; None where it has none."""
        try:
            with self._asking(name):
                answer = self._client().head_object(
                    Bucket=self._bucket, Key=self._key(name), ChecksumMode="ENABLED"
                )
        except _AnsweredError as error:
            if error.code in ABSENT:
                return None
            raise
        recorded = answer.get("ChecksumSHA256")
        return base64.b64decode(recorded).hex() if recorded else None

    @contextmanager
    def _asking(self, name: str) -> Iterator[None]:
        """Says in words what boto3 raises."""
        exceptions: Any = need("botocore.exceptions", extra="data")
        where = f"{self.address}/{name}"
        try:
            yield
        except exceptions.ClientError as error:
            code = str(error.response.get("Error", {}).get("Code", ""))
            raise _AnsweredError(
                code,
                f"{where}: the server answers {code or 'with an error'}.",
                fix=FIXES.get(code, "see the bucket, the prefix and the credentials"),
            ) from error
        except (exceptions.NoCredentialsError, exceptions.PartialCredentialsError) as error:
            raise RegistryError(
                f"there are no credentials for {self.address}.",
                fix="set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE; or run "
                "aws configure",
            ) from error
        except exceptions.BotoCoreError as error:
            raise RegistryError(
                f"{where} cannot be reached: {str(error).rstrip('.')}.",
                fix="see the network, AWS_ENDPOINT_URL and AWS_REGION",
            ) from error


class _AnsweredError(RegistryError):
    """The server answered, and with an error. `code` is S3's name for it."""

    def __init__(self, code: str, message: str, *, fix: str) -> None:
        super().__init__(message, fix=fix)
        self.code = code
