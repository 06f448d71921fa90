"""What a workflow tells GitHub: one comment, a badge, a release; and the runners that it asks for.

The REST API and the standard library. Nothing is retried that writes.
"""

from __future__ import annotations

import http.client
import json
import re
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import urlsplit

from kennel import __version__
from kennel.errors import KennelError, UsageError
from kennel.typed import quoted

ADDRESS = "https://api.github.com"
VERSION = "2022-11-28"
REPOSITORY = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,38}/[A-Za-z0-9._-]{1,100}")
MOST_BYTES = 8 * 2**20  # of an answer
TIMEOUT_S = 30.0
A_PAGE = 100
MOST_PAGES = 50

FIXES = {
    401: "see that the token is whole and not past its hour",
    403: "the job's `permissions:`, or the App's, must allow it",
    404: "see the repository's name; what a token may not see, GitHub answers with 404 as well",
    422: "see the values that were sent",
}


class GithubError(KennelError):
    """GitHub cannot be reached, or refuses.

    Args:
        status: of its answer; 0 where there was none.
    """

    def __init__(self, message: str, *, fix: str, status: int = 0) -> None:
        super().__init__(message, fix=fix)
        self.status = status


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None  # a token goes to the host that it is for, and to no other


class Api:
    """GitHub, asked about one repository. Nothing is asked before the first method is called.

    Args:
        repository: "owner/name".
        token: of the workflow, or of an App; "" asks without.
        address: of the REST API; https, or a server on this machine.
    Raises:
        UsageError: no such name or address.
    """

    def __init__(
        self, repository: str, *, token: str, address: str = ADDRESS, timeout_s: float = TIMEOUT_S
    ) -> None:
        if not REPOSITORY.fullmatch(repository):
            raise UsageError(
                f"{quoted(repository)} is not the name of a repository.",
                fix="such as GITHUB_REPOSITORY=owner/name, as a workflow has it",
            )
        self._check(address)
        self.repository, self.address = repository, address.rstrip("/")
        self._token, self._timeout_s = token, timeout_s
        self._opener = urllib.request.build_opener(_NoRedirect)

    def ask(self, method: str, path: str, document: Any = None) -> Any:
        """One request; what JSON gave of the answer, None where it has no body.

        Args:
            path: below the API's address, such as /repos/owner/name/pulls.
        Raises:
            GithubError: nobody answers, or with a status that is no success.
        """
        body = None if document is None else json.dumps(document).encode()
        return self._sent(method, f"{self.address}{path}", body, "application/json")

    def of_repository(self, method: str, path: str, document: Any = None) -> Any:
        """The same below /repos/owner/name."""
        return self.ask(method, f"/repos/{self.repository}{path}", document)

    def every(self, path: str, *, inside: str | None = None) -> list[Any]:
        """All pages of a list below /repos/owner/name; `path` has its query already, or none.

        Args:
            inside: key of the list, where pages are objects.
        """
        found: list[Any] = []
        mark = "&" if "?" in path else "?"
        for page in range(1, MOST_PAGES + 1):
            answer = self.of_repository("GET", f"{path}{mark}per_page={A_PAGE}&page={page}")
            part = answer.get(inside) if inside and isinstance(answer, dict) else answer
            if not isinstance(part, list):
                raise GithubError(f"GitHub's {path} is no list.", fix="see GITHUB_API_URL")
            found += part
            if len(part) < A_PAGE:
                break
        return found

    def upload(self, address: str, content: bytes) -> Any:
        """A file, to an address that GitHub named."""
        self._check(address)
        return self._sent("POST", address, content, "application/octet-stream")

    def _check(self, address: str) -> None:
        parts = urlsplit(address)
        near = parts.hostname in ("127.0.0.1", "localhost", "::1")
        if parts.scheme != "https" and not (parts.scheme == "http" and near):
            raise UsageError(
                f"{quoted(address)} is no address that a token is sent to.",
                fix=f"such as GITHUB_API_URL={ADDRESS}",
            )

    def _sent(self, method: str, url: str, body: bytes | None, kind: str) -> Any:
        headers = {
            "Accept": "application/vnd.github+json",
            "User-Agent": f"kennel/{__version__}",
            "X-GitHub-Api-Version": VERSION,
        }
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        if body is not None:
            headers["Content-Type"] = kind
        request = urllib.request.Request(url, body, headers, method=method)  # noqa: S310 - _check
        asked = f"{method} {urlsplit(url).path}"
        try:
            with self._opener.open(request, timeout=self._timeout_s) as answer:
                content = answer.read(MOST_BYTES + 1)
        except urllib.error.HTTPError as error:
            with error:
                raise GithubError(
                    f"GitHub answers {error.code} to {asked}: {_said(error)}.",
                    fix=FIXES.get(error.code, "try again; https://www.githubstatus.com says more"),
                    status=error.code,
                ) from None
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", None) or error
            raise GithubError(
                f"{urlsplit(url).netloc} does not answer {asked}: {reason}.",
                fix="see the network and GITHUB_API_URL, and try again",
            ) from error
        if len(content) > MOST_BYTES:
            raise GithubError(f"GitHub's answer to {asked} is too long.", fix="see GITHUB_API_URL")
        try:
            return json.loads(content) if content.strip() else None
        except ValueError as error:
            raise GithubError(
                f"GitHub's answer to {asked} is no JSON.", fix="see GITHUB_API_URL"
            ) from error


def _said(error: urllib.error.HTTPError) -> str:
    """The message in a refusal, on one line."""
    try:
        document = json.loads(error.read(MOST_BYTES))
        words = str(document["message"])
        details = document.get("errors") or ()
        words += "".join(f"; {each}" for each in details if isinstance(each, str))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        words = error.reason
    return " ".join(words.split())[:300].rstrip(".")
