"""What is answered when something is wrong: problem documents, and the one table of statuses.

Source: RFC 9457, Problem Details for HTTP APIs.
"""

from __future__ import annotations

import json
from http import HTTPStatus

from kennel.decoding import NotAPhotoError, PhotoTooLargeError
from kennel.errors import BundleError, KennelError, PhotoError

CONTENT_TYPE = b"application/problem+json"


class ProblemError(Exception):
    """A request is refused.

    Args:
        status: of HTTP.
        detail: what is wrong with this request, as a sentence.
        fix: what to do now.
        headers: that the answer needs besides, such as Retry-After.
    """

    def __init__(
        self, status: int, detail: str, *, fix: str, headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(detail)
        self.status, self.detail, self.fix = status, detail, fix
        self.headers = headers or {}

    def document(self) -> dict[str, object]:
        """The body of the answer. `fix` is Kennel's own member; the type says no more than the
        status does, hence about:blank.
        """
        return {
            "type": "about:blank",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
            "fix": self.fix,
        }

    def body(self) -> bytes:
        return json.dumps(self.document(), ensure_ascii=False).encode()


# The first that fits. Nothing that a client sent is ever a 500.
_STATUSES: tuple[tuple[type[KennelError], int], ...] = (
    (NotAPhotoError, 415),
    (PhotoTooLargeError, 413),
    (PhotoError, 422),
    (BundleError, 503),  # onnxruntime found no memory for this photo; others may still fit
)


def of(error: KennelError) -> ProblemError:
    """The problem that one of Kennel's refusals is over HTTP."""
    status = next((status for kind, status in _STATUSES if isinstance(error, kind)), 400)
    headers = {"retry-after": "1"} if status == 503 else None
    return ProblemError(status, error.message, fix=error.fix, headers=headers)


def busy(seconds: int) -> ProblemError:
    """More photos wait than are let in."""
    return ProblemError(
        503,
        "As many photos wait as this server lets in.",
        fix=f"ask again in {seconds} s",
        headers={"retry-after": str(seconds)},
    )
