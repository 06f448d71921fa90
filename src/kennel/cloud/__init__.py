"""Machines that are rented, and given back. The only room that knows boto3 by EC2, KMS and the
Scheduler; nothing is asked before a function is called, and no key is kept anywhere.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from kennel.errors import KennelError, need

CONNECT_S, READ_S = 10, 60
CERTAIN = "Insufficient"  # of capacity: EC2 answers 500, and has made nothing


class CloudError(KennelError):
    """The cloud refuses, or cannot be reached.

    Args:
        code: AWS's name for it; "" where nobody answered.
        unsure: what was asked for may have happened all the same: nobody answered, or AWS says
            that it failed and not that it refused.
    """

    def __init__(self, message: str, *, fix: str, code: str = "", unsure: bool = False) -> None:
        super().__init__(message, fix=fix)
        self.code, self.unsure = code, unsure


def client(service: str) -> Any:
    """A client as the environment says: AWS_REGION, AWS_PROFILE, AWS_ENDPOINT_URL.

    Raises:
        MissingExtraError: boto3 is not installed.
        CloudError: no region is set.
    """
    own = sorted((name, value) for name, value in os.environ.items() if name.startswith("AWS_"))
    return _client(service, tuple(own))


@cache  # of one environment: each takes a third of a second to make
def _client(service: str, _environment: tuple[tuple[str, str], ...]) -> Any:
    boto3, config = need("boto3", extra="aws"), need("botocore.config", extra="aws")
    session = boto3.session.Session()
    if not session.region_name:
        raise CloudError("no region is set.", fix="such as AWS_REGION=eu-central-1")
    limits = config.Config(connect_timeout=CONNECT_S, read_timeout=READ_S)
    return session.client(service, config=limits)


@contextmanager
def asking(what: str, *, fixes: dict[str, str]) -> Iterator[None]:
    """Says in words what boto3 raises.

    Args:
        what: was asked for, as in "AWS refuses WHAT".
        fixes: AWS's name of an error -> what to do now.
    Raises:
        CloudError: instead of boto3's own.
    """
    exceptions: Any = need("botocore.exceptions", extra="aws")
    try:
        yield
    except exceptions.ClientError as error:
        told = error.response.get("Error", {})
        code, words = str(told.get("Code", "")), str(told.get("Message", "")).rstrip(". ")
        status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") or 0)
        denied = f"the role needs the right to do it: {what}"
        general = {"AccessDeniedException": denied, "UnauthorizedOperation": denied}
        raise CloudError(
            f"AWS refuses {what}: {code}{f', {words}' if words else ''}.",
            fix={**general, **fixes}.get(code, "see the settings, the region and the role"),
            code=code,
            unsure=status >= 500 and not code.startswith(CERTAIN),
        ) from error
    except (exceptions.NoCredentialsError, exceptions.PartialCredentialsError) as error:
        raise CloudError(
            "there are no credentials for AWS.",
            fix="in a workflow: `id-token: write` and aws-actions/configure-aws-credentials; at "
            "home: aws sso login",
            code="NoCredentials",
        ) from error
    except exceptions.BotoCoreError as error:
        raise CloudError(
            f"AWS does not answer {what}: {str(error).rstrip('.')}.",
            fix="see the network, AWS_REGION and AWS_ENDPOINT_URL",
            unsure=True,
        ) from error
