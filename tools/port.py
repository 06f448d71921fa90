#!/usr/bin/env python3
"""Ends with 1, in words, where somebody listens at the port that a verb is to take.

tools/port.py VERB DEFAULT [WORD ...]: the port is what the words name by --port, else the default.
"""

import socket
import sys

LAST = 65_535


def port_of(words: list[str], default: int) -> int:
    for word, following in zip(words, [*words[1:], ""], strict=False):
        if word == "--port" or word.startswith("--port="):
            said = word.partition("=")[2] or following
            return int(said) if said.isdecimal() else default
    return default


def taken(port: int) -> bool:
    with socket.socket() as door:
        door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            door.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


verb, port = sys.argv[1], port_of(sys.argv[3:], int(sys.argv[2]))
if port > LAST:
    sys.exit(f"error: {port} is no port.\nfix: name one up to {LAST}: make {verb} ARGS=--port=6016")
if taken(port):
    sys.stderr.write(
        f"error: port {port} is taken: something listens there already.\n"
        f'fix: stop that, or name another: make {verb} ARGS="--port {port + 10}"\n'
    )
    sys.exit(1)
