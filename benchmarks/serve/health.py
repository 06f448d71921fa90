"""Asks a health address each 50 ms on one connection until stdin ends; prints what it took, in ms.

A process of its own: what it measures is not delayed by the load that another one makes.
"""

from __future__ import annotations

import json
import select
import socket
import sys
import time
from itertools import count

from load import whole

EVERY_S = 0.05
LONGEST_S = 30.0


def main() -> None:
    port, path = int(sys.argv[1]), sys.argv[2]
    took_ms: list[float] = []
    failed = 0
    asked = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()
    connection: socket.socket | None = None
    began = time.perf_counter()
    for number in count(1):
        due = began + number * EVERY_S
        if select.select([sys.stdin], [], [], max(0.0, due - time.perf_counter()))[0]:
            break
        start = time.perf_counter()
        try:
            if connection is None:
                connection = socket.create_connection(("127.0.0.1", port), LONGEST_S)
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.sendall(asked)
            said = bytearray()
            while not whole(said):
                piece = connection.recv(65_536)
                if not piece:
                    raise OSError("the connection ended")
                said += piece
            if not said.startswith(b"HTTP/1.1 200"):
                raise OSError("not well")
        except OSError:
            failed += 1
            connection = None
        took_ms.append(1000 * (time.perf_counter() - start))
        # One that took long kept the next ones waiting: they are left out, as by a prober.
        began += max(0.0, time.perf_counter() - due - EVERY_S)
    print(json.dumps({"took_ms": took_ms, "failed": failed}))


if __name__ == "__main__":
    main()
