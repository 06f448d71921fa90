"""GitHub on this machine, for tests: as much of its REST API as Kennel asks, with its refusals."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

REPOSITORY = "somebody/dogs"
BOT = "github-actions[bot]"
WORKFLOW, APP = "token-of-the-workflow", "token-of-the-app"
A_PAGE = 30  # what GitHub gives where nobody says


@dataclass
class Github:
    """What is there, and what was asked.

    Attributes:
        verify: whether a signature is the App's: of the bytes, and the signature.
        online: whether runners that were invited have come.
        refuse: "METHOD /path" -> status that is answered instead.
    """

    address: str = ""
    comments: list[dict[str, Any]] = field(default_factory=list)
    pulls: list[dict[str, Any]] = field(default_factory=list)
    runners: list[dict[str, Any]] = field(default_factory=list)
    releases: list[dict[str, Any]] = field(default_factory=list)
    branches: dict[str, str] = field(default_factory=dict)
    trees: dict[str, Any] = field(default_factory=dict)
    commits: dict[str, Any] = field(default_factory=dict)
    invited: list[dict[str, Any]] = field(default_factory=list)
    revoked: int = 0
    verify: Callable[[bytes, bytes], bool] = lambda *_: False
    now: Callable[[], float] = time.time
    installed: bool = True
    online: bool = True
    refuse: dict[str, int] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    number: int = 100

    def next(self) -> int:
        self.number += 1
        return self.number


@contextmanager
def github_server() -> Iterator[Github]:
    """The server, until the block ends."""
    state = Github()

    class Handler(BaseHTTPRequestHandler):
        def handle_one(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(length)
            token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
            status, document = answer(state, self.command, self.path, token, body)
            content = b"" if document is None else json.dumps(document).encode()
            self.send_response(status)
            if status == 302:
                self.send_header("Location", document["location"])
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PATCH = do_DELETE = handle_one  # noqa: N815

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        state.address = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield state
        finally:
            server.shutdown()
            thread.join()


def answer(hub: Github, method: str, target: str, token: str, body: bytes) -> tuple[int, Any]:
    """Status and document."""
    parts = urlsplit(target)
    path, query = parts.path, parse_qs(parts.query)
    hub.asked.append(f"{method} {path}")
    if status := hub.refuse.get(f"{method} {path}"):
        return status, {"message": "refused by the test", "location": f"{hub.address}/elsewhere"}
    if path == "/app/installations/7/access_tokens":
        return access_token(hub, token, body)
    if path == "/installation/token" and method == "DELETE":
        hub.revoked += token == APP
        return 204, None
    if path == "/upload":
        return upload(hub, token, query, body)
    if not path.startswith(f"/repos/{REPOSITORY}/"):
        return 404, {"message": "Not Found"}
    path = path.removeprefix(f"/repos/{REPOSITORY}")
    document = json.loads(body) if body else None
    if path == "/installation":
        if not by_app(hub, token):
            return 401, {"message": "A JSON web token could not be decoded"}
        return (200, {"id": 7}) if hub.installed else (404, {"message": "Not Found"})
    if path.startswith("/actions/runners"):
        if token != APP:
            return 403, {"message": "Resource not accessible by integration"}
        return runners(hub, method, path, query, document)
    if token != WORKFLOW:
        return 401, {"message": "Bad credentials"}
    if path == "/pulls":
        [head] = query["head"]
        return page([p for p in hub.pulls if p["label"] == head and p["state"] == "open"], query)
    if path.startswith("/issues/"):
        return comments(hub, method, path, query, document)
    if path.startswith("/git/"):
        return git(hub, method, path, document)
    if path.startswith("/releases"):
        return releases(hub, method, path, query, document)
    return 404, {"message": "Not Found"}


def page(rows: list[Any], query: dict[str, list[str]], key: str | None = None) -> tuple[int, Any]:
    size, number = int(query.get("per_page", [A_PAGE])[0]), int(query.get("page", [1])[0])
    part = rows[size * (number - 1) : size * number]
    return 200, part if key is None else {"total_count": len(rows), key: part}


# ---- an App and its runners


def by_app(hub: Github, token: str) -> bool:
    """Whether that is a sentence of the App's that is good now (RFC 7519)."""
    try:
        head, claims, signature = (decoded(part) for part in token.split("."))
        signed = token.rpartition(".")[0].encode()
        told = json.loads(claims)
        timely = told["iat"] <= hub.now() < told["exp"] <= hub.now() + 600
        known = json.loads(head)["alg"] == "RS256" and told["iss"] == "12345"
        return known and timely and hub.verify(signed, signature)
    except (ValueError, KeyError):
        return False


def decoded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def access_token(hub: Github, token: str, body: bytes) -> tuple[int, Any]:
    if not by_app(hub, token):
        return 401, {"message": "A JSON web token could not be decoded"}
    least = {"repositories": ["dogs"], "permissions": {"administration": "write"}}
    if json.loads(body) != least:
        return 422, {"message": "more than is needed"}
    return 201, {"token": APP}


def runners(
    hub: Github, method: str, path: str, query: dict[str, list[str]], document: Any
) -> tuple[int, Any]:
    if path == "/actions/runners/downloads":
        url = "https://github.example/actions/runner/releases/actions-runner-linux-x64.tar.gz"
        linux = {"os": "linux", "architecture": "x64", "download_url": url}
        return 200, [{"os": "osx"}, {**linux, "sha256_checksum": "ab" * 32}]
    if path == "/actions/runners/generate-jitconfig":
        if "runner_group_id" not in document:
            return 422, {"message": "missing required key: runner_group_id"}
        if any(each["name"] == document["name"] for each in hub.runners):
            return 409, {"message": "Already exists"}
        runner = {"id": hub.next(), "name": document["name"]}
        hub.runners.append(runner)
        hub.invited.append(document)
        config = base64.b64encode(json.dumps(document).encode() * 20).decode()
        return 201, {"runner": runner, "encoded_jit_config": config}
    if path == "/actions/runners":
        named = query.get("name", [None])[0]
        return page([r for r in hub.runners if named in (None, r["name"])], query, "runners")
    number = int(path.rpartition("/")[2])
    found = [each for each in hub.runners if each["id"] == number]
    if not found:
        return 404, {"message": "Not Found"}
    if method == "DELETE":
        hub.runners.remove(found[0])
        return 204, None
    return 200, {**found[0], "status": "online" if hub.online else "offline"}


# ---- what the workflow's own token may


def comments(
    hub: Github, method: str, path: str, query: dict[str, list[str]], document: Any
) -> tuple[int, Any]:
    if method == "POST" and (of := re.fullmatch(r"/issues/(\d+)/comments", path)):
        if len(document["body"]) > 65_536:
            return 422, {"message": "Body is too long"}
        made = {"id": hub.next(), "issue": int(of[1]), "user": {"login": BOT}, **document}
        made["html_url"] = f"{hub.address}/pull/{of[1]}#issuecomment-{made['id']}"
        hub.comments.append(made)
        return 201, made
    if of := re.fullmatch(r"/issues/(\d+)/comments", path):
        return page([each for each in hub.comments if each["issue"] == int(of[1])], query)
    number = int(path.rpartition("/")[2])
    found = [each for each in hub.comments if each["id"] == number]
    if not found:
        return 404, {"message": "Not Found"}
    if method == "DELETE":
        hub.comments.remove(found[0])
        return 204, None
    found[0].update(document)
    return 200, found[0]


def git(hub: Github, method: str, path: str, document: Any) -> tuple[int, Any]:
    sha = hashlib.sha1(f"{path}{document}".encode()).hexdigest()
    if path == "/git/trees":
        hub.trees[sha] = document["tree"]
        return 201, {"sha": sha}
    if path == "/git/commits":
        if document["tree"] not in hub.trees:
            return 422, {"message": "Tree SHA does not exist"}
        hub.commits[sha] = document
        return 201, {"sha": sha}
    if path == "/git/refs" and method == "POST":
        hub.branches[document["ref"].removeprefix("refs/heads/")] = document["sha"]
        return 201, {}
    branch = path.removeprefix("/git/refs/heads/")
    if branch not in hub.branches:
        return 422, {"message": "Reference does not exist"}
    hub.branches[branch] = document["sha"]
    return 200, {}


def releases(
    hub: Github, method: str, path: str, query: dict[str, list[str]], document: Any
) -> tuple[int, Any]:
    if path == "/releases" and method == "GET":
        return page(hub.releases, query)
    if path == "/releases":
        number = hub.next()
        made = {"id": number, "assets": [], "upload_url": f"{hub.address}/upload{{?name,label}}"}
        hub.releases.append({**made, **document, "html_url": f"{hub.address}/releases/{number}"})
        return 201, hub.releases[-1]
    number = int(path.rpartition("/")[2])
    if path.startswith("/releases/assets/"):
        for release in hub.releases:
            release["assets"] = [each for each in release["assets"] if each["id"] != number]
        return 204, None
    [found] = [each for each in hub.releases if each["id"] == number]
    found.update(document)
    return 200, found


def upload(hub: Github, token: str, query: dict[str, list[str]], body: bytes) -> tuple[int, Any]:
    if token != WORKFLOW:
        return 401, {"message": "Bad credentials"}
    [release] = [each for each in hub.releases if each["draft"]]
    [name] = query["name"]
    if any(each["name"] == name for each in release["assets"]):
        return 422, {"message": "already_exists"}
    digest = f"sha256:{hashlib.sha256(body).hexdigest()}"
    release["assets"].append({"id": hub.next(), "name": name, "digest": digest})
    return 201, release["assets"][-1]
