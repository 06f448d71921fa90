"""Photos and answers in S3, or in what speaks like it: list, read, write. `AWS_ENDPOINT_URL` says
where, as for every client. boto3 is loaded when something is first asked.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from queue import Empty, Full, Queue
from typing import Any

from kennel.errors import KennelError, PhotoError, UsageError, need

SCHEME = "s3://"
NAME = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
CONNECT_S, READ_S, TRIES = 10, 60, 5
CONNECTIONS = 32
LISTERS = 8  # prefixes that are listed at once
PAGES_AHEAD = 16  # of a thousand names; what a lister holds until it is asked
# What is the fault of one object alone: the others can be read all the same.
OF_THE_OBJECT = ("NoSuchKey", "404", "InvalidObjectState", "NoSuchVersion")

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


class BucketError(KennelError):
    """A bucket cannot be listed, read or written."""


@dataclass(frozen=True)
class Address:
    """s3://bucket/key, or the beginning of such: a prefix.

    Attributes:
        bucket: its name. key: of an object, or what keys begin with; "" for the whole bucket.
    """

    bucket: str
    key: str

    def __str__(self) -> str:
        return f"{SCHEME}{self.bucket}/{self.key}".rstrip("/")

    @property
    def folder(self) -> str:
        """The key with a stroke behind it: what all keys below it begin with."""
        return f"{self.key.rstrip('/')}/" if self.key.strip("/") else ""


def is_address(text: str) -> bool:
    """Whether it names something in a bucket."""
    return text.startswith(SCHEME)


def address_of(text: str) -> Address:
    """What it names.

    Raises:
        UsageError: it is no such address.
    """
    bucket, _, key = text.removeprefix(SCHEME).partition("/")
    if not is_address(text) or not NAME.fullmatch(bucket):
        raise UsageError(
            f"{text} is not the address of a bucket.", fix="such as s3://bucket/prefix"
        )
    return Address(bucket, key)


def read_object(address: Address) -> bytes:
    """The bytes of an object.

    Raises:
        PhotoError: there is none, or it is in an archive.
        BucketError: the server cannot be reached, or refuses.
    """
    with _asking(address):
        body = client().get_object(Bucket=address.bucket, Key=address.key)["Body"]
        with body:
            content: bytes = body.read()
    return content


def write_object(address: Address, content: bytes) -> None:
    """Writes an object: whole, or not at all.

    Raises:
        BucketError: the server cannot be reached, or refuses.
    """
    with _asking(address):
        client().put_object(Bucket=address.bucket, Key=address.key, Body=content)


def look_at(address: Address) -> None:
    """Asks for one name below a prefix.

    Raises:
        BucketError: the server cannot be reached, or refuses.
    """
    with _asking(address):
        client().list_objects_v2(Bucket=address.bucket, Prefix=address.folder, MaxKeys=1)


def keys_below(address: Address) -> Iterator[str]:
    """All keys below a prefix, sorted as the server sorts them, by their bytes.

    Its folders are listed side by side, some ahead of what is asked for: never more than
    LISTERS * PAGES_AHEAD pages of a thousand names wait.

    Raises:
        BucketError: the server cannot be reached, or refuses.
    """
    entries: list[tuple[str, bool]] = []  # key or folder, and whether it is a folder
    for page in _pages(address, address.folder, delimiter="/"):
        entries += [(each["Key"], False) for each in page.get("Contents", ())]
        entries += [(each["Prefix"], True) for each in page.get("CommonPrefixes", ())]
    entries.sort(key=lambda entry: entry[0].encode())
    ahead: dict[str, _Lister] = {}
    folders = iter([key for key, is_folder in entries if is_folder])
    try:
        for key, is_folder in entries:
            if not is_folder:
                yield key
                continue
            while len(ahead) < LISTERS and (folder := next(folders, None)) is not None:
                ahead[folder] = _Lister(address, folder)
            yield from ahead[key]
            del ahead[key]
    finally:
        for lister in ahead.values():
            lister.leave()


class _Lister:
    """Lists one folder in a thread of its own, a few pages ahead of who goes through them."""

    def __init__(self, address: Address, folder: str) -> None:
        self._address, self._folder = address, folder
        self._pages: Queue[list[str] | Exception | None] = Queue(PAGES_AHEAD)
        self._left = threading.Event()
        threading.Thread(target=self._list, name="kennel-keys", daemon=True).start()

    def __iter__(self) -> Iterator[str]:
        while (page := self._pages.get()) is not None:
            if isinstance(page, Exception):
                raise page
            yield from page

    def leave(self) -> None:
        """Ends the thread, whatever it still has."""
        self._left.set()
        try:
            while True:
                self._pages.get_nowait()
        except Empty:
            pass

    def _list(self) -> None:
        try:
            for page in _pages(self._address, self._folder):
                if not self._put([each["Key"] for each in page.get("Contents", ())]):
                    return
            self._put(None)
        except Exception as error:  # raised where the keys are asked for
            self._put(error)

    def _put(self, page: list[str] | Exception | None) -> bool:
        while not self._left.is_set():
            try:
                self._pages.put(page, timeout=0.2)
            except Full:
                continue
            return True
        return False


def _pages(address: Address, folder: str, *, delimiter: str = "") -> Iterator[dict[str, Any]]:
    with _asking(address):
        pages = client().get_paginator("list_objects_v2")
        yield from pages.paginate(Bucket=address.bucket, Prefix=folder, Delimiter=delimiter)


@cache
def client() -> Any:
    """The client of this process; safe for threads.

    Raises:
        MissingExtraError: boto3 is not installed.
    """
    boto3: Any = need("boto3", extra="aws")
    config: Any = need("botocore.config", extra="aws")
    return boto3.session.Session().client(
        "s3",
        config=config.Config(
            connect_timeout=CONNECT_S,
            read_timeout=READ_S,
            max_pool_connections=CONNECTIONS,
            retries={"mode": "standard", "max_attempts": TRIES},
        ),
    )


@contextmanager
def _asking(address: Address) -> Iterator[None]:
    """Says in words what boto3 raises."""
    exceptions: Any = need("botocore.exceptions", extra="aws")
    try:
        yield
    except exceptions.ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", ""))
        if code in OF_THE_OBJECT:
            what = "does not exist" if code != "InvalidObjectState" else "is in an archive"
            raise PhotoError(f"{address} {what}.", fix="check the address") from error
        raise BucketError(
            f"{address}: the server answers {code or 'with an error'}.",
            fix=FIXES.get(code, "see the bucket, the prefix and the credentials"),
        ) from error
    except (exceptions.NoCredentialsError, exceptions.PartialCredentialsError) as error:
        raise BucketError(
            f"there are no credentials for {address}.",
            fix="set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE; or run "
            "aws configure",
        ) from error
    except (exceptions.BotoCoreError, exceptions.HTTPClientError) as error:
        raise BucketError(
            f"{address} cannot be reached: {str(error).rstrip('.')}.",
            fix="see the network, AWS_ENDPOINT_URL and AWS_REGION",
        ) from error
