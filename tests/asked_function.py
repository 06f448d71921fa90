"""A function for tests of the door: an HTTP server, slow, large or dead when it is asked to be."""

from __future__ import annotations

import json
import os
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        size = int(self.headers.get("content-length") or 0)
        body = self.rfile.read(size)
        if path == "/slow":
            time.sleep(30)
        if path == "/die":
            os._exit(3)
        said = json.dumps(
            {
                "method": self.command,
                "path": self.path,
                "bytes": list(body[:16]),
                "size": len(body),
                "pid": os.getpid(),
                "clock": time.monotonic(),
                "context": json.loads(self.headers.get("x-amzn-request-context") or "{}"),
                "memory": os.environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE"),
                "user_agent": self.headers.get("user-agent"),
                "may_write": os.access(".", os.W_OK) and os.geteuid() != 0,
            }
        ).encode()
        if path == "/large":
            said = bytes(5_000_000)  # more than 6 MB as base64
        self.send_response(418 if path == "/teapot" else 200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(said)))
        self.send_header("set-cookie", "a=1")
        self.end_headers()
        self.wfile.write(said)

    def do_POST(self) -> None:
        self.do_GET()

    def log_message(self, *_: object) -> None:
        print("asked", self.path, flush=True)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        Path(sys.argv[1]).touch()
    print("it begins", flush=True)
    ThreadingHTTPServer(("127.0.0.1", int(os.environ["AWS_LWA_PORT"])), Handler).serve_forever()
