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
MOST_SAID = 400  # letters of what AWS, or a proxy before it, says
CERTAIN = "Insufficient"  # of capacity: EC2 answers 500, and has made nothing


SIGN_IN = "sign in again: aws sso login; in a workflow, run the job again"
EXPIRED = ("ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired")
DENIED = ("AccessDeniedException", "AccessDenied", "UnauthorizedOperation")
UNKNOWN = {
    **dict.fromkeys(
        ("InvalidClientTokenId", "UnrecognizedClientException", "AuthFailure"),
        "the key is not known, or the region is not enabled: see AWS_PROFILE, AWS_ACCESS_KEY_ID "
        "and AWS_REGION",
    ),
    **dict.fromkeys(
        ("SignatureDoesNotMatch", "InvalidSignatureException"),
        "the secret does not belong to the key, or this machine's clock is wrong",
    ),
}


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
    # boto3 itself reads AWS_DEFAULT_REGION alone; other tools of AWS read AWS_REGION first.
    region = os.environ.get("AWS_REGION") or None
    with asking(f"a client of {service}", fixes={}):
        session = boto3.session.Session(region_name=region)
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
    unreadable: Any = need("botocore.parsers", extra="aws").ResponseParserError
    try:
        yield
    except exceptions.ClientError as error:
        told = error.response.get("Error", {})
        code, words = str(told.get("Code", "")), _line(told.get("Message", ""))
        status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") or 0)
        denied = f"the role needs the right to do it: {what}"
        general = {**dict.fromkeys(DENIED, denied), **dict.fromkeys(EXPIRED, SIGN_IN), **UNKNOWN}
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
    except exceptions.ProfileNotFound as error:
        raise CloudError(
            f"{str(error).rstrip('.')}.",
            fix="see AWS_PROFILE; aws configure list-profiles",
            code="NoCredentials",
        ) from error
    except (
        exceptions.SSOError,  # a sign-in that has expired, or never was
        exceptions.TokenRetrievalError,
        exceptions.CredentialRetrievalError,
    ) as error:
        raise CloudError(
            f"the sign-in at AWS is good no more: {str(error).rstrip('.')}.",
            fix=SIGN_IN,
            code="ExpiredToken",
        ) from error
    except (exceptions.BotoCoreError, unreadable) as error:
        raise CloudError(
            f"AWS does not answer {what}: {_line(error)}.",
            fix="see the network, AWS_REGION and AWS_ENDPOINT_URL",
            unsure=True,
        ) from error


def _line(said: object) -> str:
    """What was said, on one line that can be read."""
    return " ".join(str(said).split())[:MOST_SAID].rstrip(". ")
