"""One impatient client in a process of its own: PING and GET in turn, about a thousand times a second.

``python -m benchmarks.probe PORT`` prints ``ready`` when it is connected and, at the end of its standard input, one
line of JSON: the number of requests and the longest and 99.9 percentile waiting time in milliseconds. It is a process
so that the work of the benchmark itself does not count as the server's.
"""

from __future__ import annotations

import json
import select
import socket
import sys
import time

PING = b"*1\r\n$4\r\nPING\r\n"
GET = b"*2\r\n$3\r\nGET\r\n$16\r\nkey:000000000001\r\n"


def run(port: int) -> None:
    """Probe the server until standard input ends, then print the result."""
    server = socket.create_connection(("127.0.0.1", port), 60)
    server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    print("ready", flush=True)
    waits: list[float] = []
    turn = 0
    while not select.select([sys.stdin], [], [], 0.001)[0]:
        turn += 1
        started = time.perf_counter()
        server.sendall(PING if turn % 2 else GET)
        reply = server.recv(4096)
        while reply and not reply.endswith(b"\r\n"):
            reply += server.recv(4096)
        if not reply:
            raise SystemExit("the server closed the connection")
        waits.append((time.perf_counter() - started) * 1000)
    waits.sort()
    print(
        json.dumps({"requests": len(waits), "max_ms": waits[-1], "p999_ms": waits[len(waits) * 999 // 1000]}),
        flush=True,
    )


if __name__ == "__main__":
    run(int(sys.argv[1]))
