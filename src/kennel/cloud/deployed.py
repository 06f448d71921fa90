"""What stands of a deployment: whose account, what its stacks say, what answers."""

from __future__ import annotations

from dataclasses import dataclass

from kennel.cloud import asking, client
from kennel.cloud.deployment import Deployment
from kennel.cloud.stacks import state_of

DIGEST, BUNDLE = "ImageDigest", "BundleId"  # parameters of the service
OUT_FUNCTION, OUT_URL, OUT_REPOSITORY = "FunctionName", "FunctionUrl", "RepositoryUri"


@dataclass(frozen=True)
class Deployed:
    """What stands.

    Attributes:
        done: stacks that were changed. digest, bundle: of what answers.
        version: of the function. checked: whether it was asked, and answered as the bundle does.
    """

    done: tuple[str, ...]
    outputs: dict[str, str]
    digest: str = ""
    bundle: str = ""
    version: int = 0
    url: str = ""
    checked: bool = False


def account() -> str:
    """Whose account it is.

    Raises:
        CloudError: there are no credentials, or they are good no more.
    """
    fixes = {
        "ExpiredToken": "sign in again: aws sso login",
        "ExpiredTokenException": "sign in again: aws sso login",
        "InvalidClientTokenId": "the key is not known: see AWS_PROFILE and AWS_ACCESS_KEY_ID",
        "SignatureDoesNotMatch": "the secret does not belong to the key, or the clock is wrong",
    }
    with asking("sts:GetCallerIdentity", fixes=fixes):
        return str(client("sts").get_caller_identity()["Account"])


def outputs(deployment: Deployment, room: str) -> dict[str, str]:
    """What the stack of that room says of itself; nothing where it is not there."""
    stack = deployment.stack(room)
    return dict(state_of(stack.name).outputs or {}) if stack else {}


def repository(deployment: Deployment) -> str:
    """URI of the repository of images; "" where it is not there yet."""
    return outputs(deployment, "images").get(OUT_REPOSITORY, "")
