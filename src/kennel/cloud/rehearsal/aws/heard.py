"""Who asked what of AWS: every request that reaches the emulator, whichever library sent it."""

from __future__ import annotations

import io
import re
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

CREDENTIAL = re.compile(r"Credential=([^/,\s]+)/\d{8}/([^/]+)/([^/]+)/aws4_request")
FORM = "application/x-www-form-urlencoded"


class Listening:
    """A WSGI application around another one, that writes a line `KEY SERVICE OPERATION` for each
    request that was signed.
    """

    def __init__(self, application: Any, to: Path) -> None:
        self.application, self.to = application, to
        self.lock = threading.Lock()

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        found = CREDENTIAL.search(environ.get("HTTP_AUTHORIZATION", ""))
        if found:
            key, _, service = found.groups()
            operation = self._operation(environ, service)
            with self.lock, self.to.open("a", encoding="utf-8") as file:
                file.write(f"{key} {service} {operation}\n")
        answer: Iterable[bytes] = self.application(environ, start)
        return answer

    def _operation(self, environ: dict[str, Any], service: str) -> str:
        if target := environ.get("HTTP_X_AMZ_TARGET"):
            return str(target).rpartition(".")[2]
        if str(environ.get("CONTENT_TYPE", "")).startswith(FORM):
            body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            environ["wsgi.input"] = io.BytesIO(body)
            if action := parse_qs(body.decode(errors="replace")).get("Action"):
                return str(action[0])
        return _by_path(environ, service) or f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}"


def _by_path(environ: dict[str, Any], service: str) -> str:
    """The operation of an API in which method and path say it."""
    from moto.core import routing
    from moto.core.request import Request
    from werkzeug.exceptions import HTTPException

    try:
        told = {key: said for key, said in environ.items() if key != "wsgi.input"}
        operation, _ = routing.get_service_router(service).match(Request(told))
    except (HTTPException, NotImplementedError, LookupError):
        return ""
    return str(operation.name)
