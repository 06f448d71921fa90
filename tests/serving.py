"""A real server on this machine that does all that servers do wrong, as it is told to."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class File:
    """A file and how it is served.

    Attributes:
        ranges: whether parts of it are given.
        heeds_if_range: whether a part is refused to who has the beginning of another file.
        length: what Content-Length says instead of the truth.
        chunked: sent without a length.
        shift: added to the start of every part that is given.
        cuts: one for each of the next answers: bytes after which the connection is cut.
        refusals: statuses of the next answers, with their headers.
        location: where every request is sent on to.
        hold: an answer waits for this after its first half, until it is set.
        then: becomes the content after the next answer.
    """

    content: bytes = b""
    etag: str | None = '"1"'
    modified: str | None = None
    ranges: bool = True
    heeds_if_range: bool = True
    length: int | None = None
    chunked: bool = False
    shift: int = 0
    cuts: list[int] = field(default_factory=list)
    refusals: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    location: str | None = None
    hold: threading.Event | None = None
    then: File | None = None


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files: dict[str, File] = {}
        self.asked: list[dict[str, str]] = []  # headers of each request, and its "path"
        self.scheme = "http"

    def url(self, path: str) -> str:
        return f"{self.scheme}://127.0.0.1:{self.server_port}{path}"

    def put(self, path: str, file: File) -> str:
        """Serves a file under a path; its address."""
        self.files[path] = file
        return self.url(path)

    def ranges(self) -> list[str | None]:
        """The Range header of each request so far."""
        return [each.get("Range") for each in self.asked]

    def handle_error(self, *_: object) -> None:
        """Clients that leave early are what this is about."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        self.close_connection = True
        self.server.asked.append({**dict(self.headers.items()), "path": self.path})
        file = self.server.files.get(self.path.partition("?")[0])
        if file is None:
            return self.say(404, {"Content-Length": "0"})
        if file.refusals:
            status, headers = file.refusals.pop(0)
            return self.say(status, {"Content-Length": "0", **headers})
        if file.location is not None:
            where = {"Location": file.location} if file.location else {}
            return self.say(302, {"Content-Length": "0", **where})
        if file.then is not None:
            self.server.files[self.path] = file.then
        return self.give(file)

    def give(self, file: File) -> None:
        start, total = self.start_of(file), len(file.content)
        marks = {"ETag": file.etag, "Last-Modified": file.modified}
        headers = {name: value for name, value in marks.items() if value is not None}
        if start is not None and start >= total:
            headers |= {"Content-Range": f"bytes */{total}", "Content-Length": "0"}
            return self.say(416, headers)
        if start is not None:
            start += file.shift
            headers["Content-Range"] = f"bytes {start}-{total - 1}/{file.length or total}"
        body = file.content[start or 0 :]
        if file.chunked:
            headers["Transfer-Encoding"] = "chunked"
            body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
        else:
            length = file.length - (start or 0) if file.length is not None else len(body)
            headers["Content-Length"] = str(length)
        self.say(200 if start is None else 206, headers)
        if file.hold is not None:
            half = len(body) // 2
            self.wfile.write(body[:half])
            file.hold.wait(timeout=30)
            body = body[half:]
        self.wfile.write(body[: file.cuts.pop(0)] if file.cuts else body)
        self.wfile.flush()
        self.connection.shutdown(socket.SHUT_RDWR)
        return None

    def start_of(self, file: File) -> int | None:
        """First byte of the part that is to be given; None for the whole file."""
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        condition = self.headers.get("If-Range")
        if not asked or not file.ranges:
            return None
        if file.heeds_if_range and condition not in (None, file.etag, file.modified):
            return None
        return int(asked[1])

    def say(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Connection", "close")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serving(server: Server | None = None) -> Iterator[Server]:
    """A server while the block runs."""
    server = server or Server()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
