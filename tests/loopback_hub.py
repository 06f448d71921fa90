"""The Hugging Face Hub as far as Spaces and models need it, on this machine, by its own rules.

It takes what `huggingface_hub` sends over real HTTP and refuses what the Hub would: a token it does
not know, settings of a Space that are none, a commit on another parent, a large file that never
arrived or arrived with other bytes, a deletion of what is not there. A commit is taken whole or not
at all. `faults` breaks one answer: a status, or a connection that is cut.

Source: https://huggingface.co/docs/hub/api, the client's `_commit_api.py` and `lfs.py`, and
https://github.com/git-lfs/git-lfs/blob/main/docs/api/batch.md
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import yaml

TOKEN, READER, EXPIRED = "hf_writer", "hf_reader", "hf_expired"
OWNER = "anna"
ATTRIBUTES = b"*.onnx filter=lfs diff=lfs merge=lfs -text\n"
BEGINS = (
    b"---\ntitle: Dogs\nsdk: gradio\n---\n\nCheck out the configuration reference at "
    b"https://huggingface.co/docs/hub/spaces-config-reference\n"
)
LARGE = {".onnx", ".safetensors", ".pt", ".pt2", ".zip", ".whl"}
MOST_REGULAR_BYTES = 10 << 20
COLOURS = {"red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray"}
PART_BYTES = 1 << 20  # of a file that comes in parts


@dataclass
class Repo:
    """A Space or a model: commits from first to last, with all files; `large` are those by LFS."""

    private: bool
    sdk: str | None = "gradio"
    commits: list[tuple[str, dict[str, bytes]]] = field(default_factory=list)
    large: set[str] = field(default_factory=set)

    @property
    def head(self) -> str:
        return self.commits[-1][0]

    @property
    def files(self) -> dict[str, bytes]:
        return self.commits[-1][1]

    def commit(self, files: dict[str, bytes]) -> str:
        said = f"{len(self.commits)} {sorted(files)}".encode()
        self.commits.append((hashlib.sha1(said).hexdigest(), files))
        return self.head


@dataclass
class Fault:
    """What becomes of the next request of a kind. Status 0 cuts the connection."""

    method: str
    path: str  # a pattern
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    times: int = 1


class Hub:
    """What it holds, and what it was asked."""

    def __init__(self) -> None:
        self.address = ""
        self.repos: dict[str, Repo] = {}
        self.objects: dict[str, bytes] = {}  # of large files, by sha256
        self.verified: set[str] = set()
        self.asked: list[tuple[str, str]] = []
        self.faults: list[Fault] = []
        self.publishers: dict[str, str] = {}  # of which workflow's identity a resource takes tokens
        self.issued: dict[str, str] = {}  # tokens for one resource
        self.in_parts = False
        self.lock = threading.Lock()

    def space(self, name: str, files: dict[str, bytes], *, sdk: str = "gradio") -> Repo:
        """A Space that is there already, public."""
        self.repos[name] = repo = Repo(private=False, sdk=sdk)
        repo.commit({".gitattributes": ATTRIBUTES, **files})
        return repo

    def model(self, name: str, files: dict[str, bytes]) -> Repo:
        """A model that is there already, public; large files of it are large."""
        self.repos[f"models/{name}"] = repo = Repo(private=False, sdk=None)
        repo.commit({".gitattributes": ATTRIBUTES, **files})
        repo.large = {p for p, c in files.items() if goes_large(p, c[:512], len(c))}
        return repo

    def count(self, method: str, pattern: str) -> int:
        return sum(m == method and re.search(pattern, p) is not None for m, p in self.asked)


class RefusalError(Exception):
    def __init__(self, status: int, said: str, code: str = "") -> None:
        super().__init__(said)
        self.status, self.said, self.code = status, said, code


def git_name(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def goes_large(path: str, sample: bytes, size: int) -> bool:
    try:
        sample.decode()
    except UnicodeDecodeError:
        return True
    return PurePosixPath(path).suffix in LARGE or size > MOST_REGULAR_BYTES


def key(kind: str | None, name: str) -> str:
    """Under which a repository is held: a Space by its name alone."""
    return name if (kind or "").startswith("spaces") else f"models/{name}"


def resource(name: str) -> str:
    """As addresses and tokens name it."""
    return name.removeprefix("models/") if name.startswith("models/") else f"spaces/{name}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self.answer()

    do_POST = do_PUT = do_HEAD = do_GET  # noqa: N815 - http.server calls them so

    def answer(self) -> None:
        self.target = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        with self.hub.lock:
            self.hub.asked.append((self.command, self.path))
            for fault in self.hub.faults:
                if fault.method == self.command and re.search(fault.path, self.path):
                    fault.times -= 1
                    if not fault.times:
                        self.hub.faults.remove(fault)
                    if not fault.status:
                        self.close_connection = True
                        self.connection.shutdown(socket.SHUT_RDWR)
                        return
                    self.send(fault.status, b"", {**fault.headers, "X-Error-Message": "planted"})
                    return
            try:
                status, content, headers = 200, *self.handle_one(unquote(self.target.path), body)
            except RefusalError as refusal:
                status = refusal.status
                content = json.dumps({"error": refusal.said, "errors": [{"message": refusal.said}]})
                headers = {"X-Error-Message": refusal.said}
                headers |= {"X-Error-Code": refusal.code} if refusal.code else {}
        if not isinstance(content, bytes):
            content = (content if isinstance(content, str) else json.dumps(content)).encode()
        self.send(status, content, headers)

    def send(self, status: int, content: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def handle_one(self, path: str, body: bytes) -> tuple[Any, dict[str, str]]:
        if found := re.fullmatch(r"/lfs/([0-9a-f]{64})(?:/(\d+))?", path):
            return self.large_file(found[1], found[2], body)
        if path == "/oauth/token":
            return self.exchange(json.loads(body)), {}
        if path == "/github":  # where GitHub hands out the identity of a job
            if self.headers.get("authorization") != "Bearer job":
                raise RefusalError(401, "not this job")
            audience = parse_qs(self.target.query)["audience"][0]
            return {"value": f"workflow deploy-space for {audience}"}, {}
        who = self.who()
        if path == "/api/validate-yaml":
            return self.settings_of(json.loads(body)["content"]), {}
        if path == "/api/repos/create":
            return self.create(who, json.loads(body)), {}
        if found := re.fullmatch(r"/api/(spaces|models)/([^/]+/[^/]+)(/.*)?", path):
            return self.of_repo(who, key(found[1], found[2]), found[3] or "", body), {}
        lfs = r"/(spaces/)?([^/]+/[^/]+)\.git/info/lfs/objects/batch"
        if found := re.fullmatch(lfs, path):
            self.may_write(who, key(found[1], found[2]))
            return self.batch(json.loads(body)), {}
        if found := re.fullmatch(r"/(spaces/)?([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            repo = self.repo(who, key(found[1], found[2]))
            commit, files = self.at(repo, found[3])
            if found[4] not in files:
                raise RefusalError(404, "Entry not found", "EntryNotFound")
            return files[found[4]], {"X-Repo-Commit": commit, "ETag": git_name(files[found[4]])}
        raise RefusalError(404, f"nothing is at {path}")

    # ---- who asks

    def who(self) -> str:
        token = self.headers.get("authorization", "").removeprefix("Bearer ")
        if token in ("", TOKEN, READER) or token in self.hub.issued:
            return token
        raise RefusalError(401, "Invalid credentials in Authorization header")

    def repo(self, who: str, name: str) -> Repo:
        repo = self.hub.repos.get(name)
        seen = who in (TOKEN, READER) or self.hub.issued.get(who) == resource(name)
        if repo is None or (repo.private and not seen):
            raise RefusalError(404, "Repository not found", "RepoNotFound")
        return repo

    def may_write(self, who: str, name: str) -> Repo:
        repo = self.repo(who, name)
        if who != TOKEN and self.hub.issued.get(who) != resource(name):
            raise RefusalError(403, "you need write access to this repository")
        return repo

    def exchange(self, wish: dict[str, str]) -> dict[str, Any]:
        assert wish["grant_type"] == "urn:ietf:params:oauth:grant-type:token-exchange"
        assert wish["subject_token_type"] == "urn:ietf:params:oauth:token-type:id_token"
        if self.hub.publishers.get(wish["resource"]) is None or (
            wish["subject_token"]
            != f"{self.hub.publishers[wish['resource']]} for {self.hub.address}"
        ):
            raise RefusalError(400, "invalid_grant")
        token = f"hf_jwt_{len(self.hub.issued)}"
        self.hub.issued[token] = wish["resource"]
        return {"access_token": token, "token_type": "bearer", "expires_in": 3600}

    # ---- Spaces

    def create(self, who: str, wish: dict[str, Any]) -> dict[str, str]:
        kind = wish.get("type") or "model"
        assert kind in ("space", "model")
        name = key(f"{kind}s", f"{wish['organization']}/{wish['name']}")
        if who != TOKEN or wish["organization"] != OWNER:
            raise RefusalError(403, f"you may not create repositories of {wish['organization']}")
        if name in self.hub.repos:
            raise RefusalError(409, f"You already created this {kind} repo")
        self.hub.repos[name] = repo = Repo(private=wish.get("visibility") == "private")
        repo.sdk = wish["sdk"] if kind == "space" else None
        page = {"README.md": BEGINS} if kind == "space" else {}
        repo.commit({".gitattributes": ATTRIBUTES, **page})
        return {"url": f"{self.hub.address}/{resource(name)}", "id": "0", "name": name}

    def settings_of(self, page: str) -> dict[str, list[Any]]:
        told = yaml.safe_load(page.split("---\n")[1])
        wrong = []
        if "library_name" in told:  # a model's card
            if not isinstance(told.get("model-index", []), list):
                raise RefusalError(400, '"model-index" must be a list')
            return {"errors": [], "warnings": []}
        if told.get("sdk") not in ("gradio", "docker", "static"):
            wrong.append('"sdk" must be one of [gradio, docker, static]')
        if len(told.get("short_description", "")) > 60:
            wrong.append('"short_description" must be at most 60 characters')
        if not {told[key] for key in ("colorFrom", "colorTo") if key in told} <= COLOURS:
            wrong.append('"colorFrom" is no colour')
        if not re.fullmatch(r"3\.\d+(\.\d+)?", str(told.get("python_version", "3.10"))):
            wrong.append('"python_version" is no version')
        if wrong:
            raise RefusalError(400, "; ".join(wrong))
        return {"errors": [], "warnings": []}

    def at(self, repo: Repo, revision: str) -> tuple[str, dict[str, bytes]]:
        found = [each for each in repo.commits if revision in ("main", each[0])]
        if not found:
            raise RefusalError(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return found[-1]

    def of_repo(self, who: str, name: str, below: str, body: bytes) -> Any:
        if below == "" or below.startswith("/revision/"):
            repo = self.repo(who, name)
            commit, held = self.at(repo, below.removeprefix("/revision/") or "main")
            files = [self.told(repo, path, held[path]) for path in held]
            told = {"id": name.removeprefix("models/"), "sha": commit, "private": repo.private}
            told |= {"sdk": repo.sdk} if repo.sdk else {}
            return {**told, "siblings": files}
        repo = self.may_write(who, name)
        if below == "/settings":
            if who != TOKEN:
                raise RefusalError(403, "this token may not change settings")
            wish = json.loads(body)
            repo.private = wish.get("visibility", "") == "private" or bool(wish.get("private"))
            return {"private": repo.private}
        if below == "/preupload/main":
            return {"files": [self.wish(repo, each) for each in json.loads(body)["files"]]}
        if below == "/commit/main":
            rows = [json.loads(row) for row in body.splitlines()]
            oid = self.commit(repo, rows)
            page = f"{self.hub.address}/{resource(name)}/commit/{oid}"
            return {"commitUrl": page, "commitOid": oid}
        raise RefusalError(404, f"nothing is at {below}")

    def told(self, repo: Repo, path: str, content: bytes) -> dict[str, Any]:
        sha256 = hashlib.sha256(content).hexdigest()
        if path not in repo.large:
            return {"rfilename": path, "size": len(content), "blobId": git_name(content)}
        pointer = f"oid sha256:{sha256}\nsize {len(content)}\n".encode()
        lfs = {"sha256": sha256, "size": len(content), "pointerSize": len(pointer)}
        known = {"rfilename": path, "size": len(content), "blobId": git_name(pointer)}
        return {**known, "lfs": lfs}

    def wish(self, repo: Repo, each: dict[str, Any]) -> dict[str, Any]:
        sample = base64.b64decode(each["sample"])
        large = goes_large(each["path"], sample, each["size"])
        return {
            "path": each["path"],
            "uploadMode": "lfs" if large else "regular",
            "shouldIgnore": False,
        }

    def commit(self, repo: Repo, rows: list[dict[str, Any]]) -> str:
        head, *changes = rows
        if head["value"].get("parentCommit") != repo.head:
            raise RefusalError(412, "A commit has happened since. Please refresh and try again.")
        files, large = dict(repo.files), set(repo.large)
        for row in changes:
            told = row["value"]
            path = told["path"]
            if row["key"] == "deletedFile":
                if files.pop(path, None) is None:
                    raise RefusalError(404, "A file with this name doesn't exist", "EntryNotFound")
                large.discard(path)
            elif row["key"] == "file":
                files[path] = base64.b64decode(told["content"])
                if goes_large(path, files[path][:512], len(files[path])):
                    raise RefusalError(400, f"{path} is large: it must be sent by LFS")
                large.discard(path)
            else:
                assert row["key"] == "lfsFile"
                content = self.hub.objects.get(told["oid"])
                if content is None or len(content) != told["size"]:
                    raise RefusalError(400, f"LFS object of {path} is missing")
                files[path] = content
                large.add(path)
        repo.large = large
        return repo.commit(files)

    # ---- large files

    def batch(self, wish: dict[str, Any]) -> dict[str, Any]:
        assert (wish["operation"], wish["hash_algo"]) == ("upload", "sha256")
        return {
            "transfer": "basic",
            "objects": [self.upload(each["oid"], each["size"]) for each in wish["objects"]],
        }

    def upload(self, oid: str, size: int) -> dict[str, Any]:
        if oid in self.hub.objects:
            return {"oid": oid, "size": size}
        place = f"{self.hub.address}/lfs/{oid}"
        upload: dict[str, Any] = {"href": place}
        if self.hub.in_parts and size > PART_BYTES:
            parts = range(1, -(-size // PART_BYTES) + 1)
            upload["header"] = {"chunk_size": str(PART_BYTES)}
            upload["header"] |= {str(part): f"{place}/{part}" for part in parts}
        verify = {"href": f"{place}?verify"}
        return {"oid": oid, "size": size, "actions": {"upload": upload, "verify": verify}}

    def large_file(self, oid: str, part: str | None, body: bytes) -> tuple[Any, dict[str, str]]:
        objects = self.hub.objects
        if self.command == "PUT" and part:
            objects[f"{oid}/{part}"] = body
            return {}, {"ETag": hashlib.md5(body).hexdigest()}
        if self.command == "PUT":
            self.keep(oid, body)
        elif self.target.query != "verify":  # all parts are there
            names = [f"{oid}/{each['partNumber']}" for each in json.loads(body)["parts"]]
            self.keep(oid, b"".join(objects.pop(name) for name in names))
        else:
            self.who()
            if len(objects.get(oid, b"")) != json.loads(body)["size"]:
                raise RefusalError(422, "size does not match")
            self.hub.verified.add(oid)
        return {}, {}

    def keep(self, oid: str, content: bytes) -> None:
        if hashlib.sha256(content).hexdigest() != oid:
            raise RefusalError(422, "sha256 does not match")
        self.hub.objects[oid] = content


@contextmanager
def loopback_hub() -> Iterator[Hub]:
    """The Hub, listening on a port that is free."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"hub": hub}))
    server.daemon_threads = True
    hub.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
