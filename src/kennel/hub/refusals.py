"""What the Hub says, in words: who may what, what is taken, when to come back."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kennel.errors import KennelError
from kennel.hub.address import Address

LOGIN = "log in again: hf auth login, with a token that may write; or set HF_TOKEN"
WHOLE = "A commit is taken whole or not at all."
HTTP = ("httpx", "httpx2", "httpcore")  # whichever the library talks by
AGAIN = "the same command again; files that have arrived are not sent twice"


@contextmanager
def in_words(to: Address, *, kept: str = WHOLE, again: str = AGAIN) -> Iterator[None]:
    """Raises what the Hub or the way to it refuses as a KennelError.

    Args:
        kept: what became of what was begun. again: what to do once more.
    """
    from huggingface_hub import errors

    try:
        yield
    except KennelError:
        raise
    except Exception as error:
        # What failed inside a thread of the library comes wrapped in its own errors.
        for each in _causes(error):
            if isinstance(each, errors.HfHubHTTPError):
                raise _refusal(each.response, each, to, kept, again) from error
            if isinstance(each, getattr(errors, "OIDCError", ())):
                raise KennelError(
                    f"trusted publishing has no token for {to.resource}: {_line(each)}",
                    fix="the job needs `permissions: id-token: write`; docs/guide/space.md",
                ) from error
            if isinstance(each, OSError) or _module(each) in HTTP:
                raise KennelError(
                    f"the Hub does not answer: {_line(each) or type(each).__name__}. {kept}",
                    fix=f"see that the network is there, then {again}",
                ) from error
        if isinstance(error, ValueError):
            raise KennelError(
                f"the Hub does not take this: {_line(error)}. {kept}",
                fix=f"{to.kind.verb} ... {to} --dry-run shows what would be sent",
            ) from error
        raise


def _module(error: BaseException) -> str:
    return type(error).__module__.partition(".")[0]


def _causes(error: BaseException) -> Iterator[BaseException]:
    at: BaseException | None = error
    while at is not None:
        yield at
        at = at.__cause__


def _refusal(response: Any, error: Exception, to: Address, kept: str, again: str) -> KennelError:
    status = int(response.status_code)
    said = str(response.headers.get("x-error-message", "")) or _line(error)
    if str(response.request.url).endswith("/oauth/token"):
        return KennelError(
            f"the Hub gives no token for {to.resource} to this workflow: {status}, {said}.",
            fix=f"add it to https://huggingface.co/{to.resource}/settings under Trusted "
            "Publishers: repository, branch and file of the workflow; docs/guide/space.md",
        )
    if status == 401:
        return KennelError(
            f"the Hub does not know this token: it has expired, was revoked, or is mistyped "
            f"({said}).",
            fix=LOGIN,
        )
    if status == 403:
        return KennelError(
            f"this token may not write to {to} ({said}). {kept}",
            fix=f"a token with the right to write to {to.owner}'s repositories: hf auth login",
        )
    if status == 404:
        return KennelError(
            f"the Hub has no {to.kind.words} {to} that this token may see.", fix=LOGIN
        )
    if status in (409, 412):
        return KennelError(
            f"{to} was changed by somebody else meanwhile ({said}). {kept}",
            fix=f"look at what they did, https://huggingface.co/{to.resource}/commits/main; then "
            "the same command again",
        )
    if status == 429:
        wait = _wait_s(response.headers)
        return KennelError(
            f"the Hub wants no more requests for now ({said}). {kept}",
            fix=f"wait {wait}, then {again}",
        )
    return KennelError(f"the Hub answers {status}: {said}. {kept}", fix=again)


def _wait_s(headers: Any) -> str:
    """From Retry-After, or from RateLimit, as `"api";r=0;t=55`."""
    after = str(headers.get("retry-after", ""))
    if not after.isdigit():
        found = re.search(r";t=(\d+)", str(headers.get("ratelimit", "")))
        after = found[1] if found else ""
    return f"{after} seconds" if after else "some minutes"


def _line(error: BaseException) -> str:
    """What an error says, as one line."""
    lines = [line.strip(" -.") for line in str(error).splitlines()]
    return ", ".join(line for line in lines if line)[:300]
