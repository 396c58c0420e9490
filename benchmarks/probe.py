"""One impatient client in a process of its own: PING and GET in turn, about a thousand times a second.

``python -m benchmarks.probe PORT PID`` prints ``ready`` when it is connected and, at the end of its standard input, one
line of JSON: the number of requests, the longest and 99.9 percentile waiting time, and the most CPU time that the main
thread of process PID used during one wait, in milliseconds. On a machine with other work the first says how long a
client waited, and the last how much of that was the server's own doing. It is a process so that the work of the
benchmark itself does not count as the server's.
"""

from __future__ import annotations

import json
import os
import select
import socket
import sys
import time

PING = b"*1\r\n$4\r\nPING\r\n"
GET = b"*2\r\n$3\r\nGET\r\n$16\r\nkey:000000000001\r\n"


def run(port: int, pid: int) -> None:
    """Probe the server until standard input ends, then print the result."""
    server = socket.create_connection(("127.0.0.1", port), 60)
    server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    print("ready", flush=True)
    waits: list[float] = []
    most_cpu = 0
    schedstat = open(f"/proc/{pid}/schedstat", "rb", buffering=0)
    turn = 0
    while not select.select([sys.stdin], [], [], 0.001)[0]:
        turn += 1
        cpu = int(os.pread(schedstat.fileno(), 100, 0).split()[0])
        started = time.perf_counter()
        server.sendall(PING if turn % 2 else GET)
        reply = server.recv(4096)
        while reply and not reply.endswith(b"\r\n"):
            reply += server.recv(4096)
        if not reply:
            raise SystemExit("the server closed the connection")
        waits.append((time.perf_counter() - started) * 1000)
        most_cpu = max(most_cpu, int(os.pread(schedstat.fileno(), 100, 0).split()[0]) - cpu)
    waits.sort()
    schedstat.close()
    result = {"requests": len(waits), "max_ms": waits[-1], "p999_ms": waits[len(waits) * 999 // 1000]}
    print(json.dumps({**result, "cpu_ms": most_cpu / 1e6}), flush=True)


if __name__ == "__main__":
    run(int(sys.argv[1]), int(sys.argv[2]))
