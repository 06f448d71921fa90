"""An S3 server on this machine, for tests that keep things in a bucket."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import boto3

BUCKET = "my-photos"


@contextmanager
def s3_server(folder: Path) -> Iterator[str]:
    """The address of an S3 server on this machine that has the bucket `my-photos`."""
    said = folder / "s3.log"
    with said.open("w", encoding="utf-8") as log:
        words = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"]
        with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as server:
            try:
                assert server.stdout is not None
                address = None
                for line in server.stdout:
                    log.write(line.decode())
                    if found := re.search(rb"http://127\.0\.0\.1:\d+", line):
                        address = found.group().decode()
                        break
                assert address is not None
                # What nobody reads fills the pipe after some thousand requests, and it waits.
                threading.Thread(target=server.stdout.read, daemon=True).start()
                bucket(address).create()
                yield address
            finally:
                server.kill()


def bucket(address: str):  # a class that boto3 makes at run time
    """The bucket of that server."""
    return boto3.resource(
        "s3",
        endpoint_url=address,
        region_name="us-east-1",
        aws_access_key_id="any",
        aws_secret_access_key="any",
    ).Bucket(BUCKET)
