#!/usr/bin/env python3
"""Stands in for the AWS Lambda Web Adapter where its image cannot be pulled: less, same contract.

It lies where the adapter lies, /opt/extensions/lambda-adapter, and is started by the same service:
it registers as an extension, waits until the application is ready (AWS_LWA_READINESS_CHECK_PATH at
AWS_LWA_PORT, with a status of AWS_LWA_READINESS_CHECK_HEALTHY_STATUS), then asks for events of a
function URL, sends each to the application by HTTP, and hands back what that said.
"""

from __future__ import annotations

import base64
import http.client
import json
import os
import threading
import time
from typing import Any

SERVICE = os.environ.get("AWS_LAMBDA_RUNTIME_API", "")
PORT = int(os.environ.get("AWS_LWA_PORT", "8080"))
READY = os.environ.get("AWS_LWA_READINESS_CHECK_PATH", "/")
HEALTHY = os.environ.get("AWS_LWA_READINESS_CHECK_HEALTHY_STATUS", "100-499")
RUNTIME = "/2018-06-01/runtime/invocation"
EXTENSION = "/2020-01-01/extension"
EVERY_S = 0.01
# What belongs to a connection is not handed on.
HOP = {"connection", "content-length", "host", "keep-alive", "transfer-encoding"}


def ask(
    where: str,
    method: str,
    path: str,
    body: bytes | None = None,
    headers: dict[str, str] | None = None,
) -> tuple[int, dict[str, str], bytes]:
    """One request; header names come back in lower case."""
    connection = http.client.HTTPConnection(where)
    try:
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        said = {name.lower(): value for name, value in answer.getheaders()}
        return answer.status, said, answer.read()
    finally:
        connection.close()


def healthy(status: int) -> bool:
    for part in HEALTHY.split(","):
        low, _, high = part.partition("-")
        if int(low) <= status <= int(high or low):
            return True
    return False


def wait_until_ready() -> None:
    while True:
        try:
            if healthy(ask(f"127.0.0.1:{PORT}", "GET", READY)[0]):
                return
        except (OSError, http.client.HTTPException):
            pass  # it does not listen yet
        time.sleep(EVERY_S)


def answered(event: dict[str, Any]) -> dict[str, Any]:
    """What the application says to an event of a function URL, as the service wants it."""
    asked = event["requestContext"]["http"]
    body = event.get("body") or ""
    content = base64.b64decode(body) if event.get("isBase64Encoded") else body.encode()
    headers = {name: value for name, value in event["headers"].items() if name.lower() not in HOP}
    headers["x-amzn-request-context"] = json.dumps(event["requestContext"])
    query = event.get("rawQueryString")
    path = event["rawPath"] + (f"?{query}" if query else "")
    status, said, content = ask(f"127.0.0.1:{PORT}", asked["method"], path, content, headers)
    kept = {name: value for name, value in said.items() if name not in HOP}
    return {
        "statusCode": status,
        "headers": kept,
        "body": base64.b64encode(content).decode(),
        "isBase64Encoded": True,
    }


def main() -> None:
    if not SERVICE:
        return  # not started by the service
    name = {"lambda-extension-name": "lambda-adapter", "content-type": "application/json"}
    _, said, _ = ask(SERVICE, "POST", f"{EXTENSION}/register", b'{"events": []}', name)
    identity = {"lambda-extension-identifier": said["lambda-extension-identifier"]}
    # No event is asked for: this only says that the extension is there.
    asking = (SERVICE, "GET", f"{EXTENSION}/event/next", None, identity)
    threading.Thread(target=ask, args=asking, daemon=True).start()
    wait_until_ready()
    while True:
        _, said, event = ask(SERVICE, "GET", f"{RUNTIME}/next")
        reply = json.dumps(answered(json.loads(event))).encode()
        number = said["lambda-runtime-aws-request-id"]
        ask(SERVICE, "POST", f"{RUNTIME}/{number}/response", reply)


if __name__ == "__main__":
    main()
