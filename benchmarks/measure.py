"""What the benchmark measures with: CPU time and memory of a process, filling a server, the latency probe.

Linux only: it reads ``/proc``. Nothing here knows which server it looks at.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

from tests.support.servers import PROJECT, Node

VALUE_SIZE = 64
_BATCH = 500
_OK = b"+OK\r\n"


def cpu_seconds(pid: int) -> float:
    """CPU time of a process (exact) and of its children that have ended (resolution 10 ms), in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    children = sum(int(field) for field in fields[13:15]) / os.sysconf("SC_CLK_TCK")
    threads = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return children + sum(int(thread.read_text().split()[0]) for thread in threads) / 1e9


def resident_bytes(pid: int) -> int:
    """Resident memory of a process."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise AssertionError(f"process {pid} has no VmRSS")


def set_commands(first: int, count: int, seed: int = 1) -> Iterator[bytes]:
    """Batches of ``SET key:000000000001 <64 random bytes>``; random, so that compression gains nothing."""
    source = random.Random(seed)
    for start in range(first, first + count, _BATCH):
        numbers = range(start, min(start + _BATCH, first + count))
        block = source.randbytes(VALUE_SIZE * len(numbers))
        yield b"".join(
            b"*3\r\n$3\r\nSET\r\n$16\r\nkey:%012d\r\n$%d\r\n%s\r\n"
            % (number, VALUE_SIZE, block[(number - start) * VALUE_SIZE : (number - start + 1) * VALUE_SIZE])
            for number in numbers
        )


def pump(port: int, batches: Iterator[bytes] | list[bytes], count: int) -> float:
    """Send prepared SETs as fast as the server takes them and read `count` times OK; returns the seconds."""
    with socket.create_connection(("127.0.0.1", port), 120) as server:
        server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        problems: list[str] = []

        def read() -> None:
            left = count * len(_OK)
            while left > 0:
                try:
                    data = server.recv(262144)
                except OSError as error:
                    problems.append(str(error))
                    return
                if not data or b"-" in data:
                    problems.append(repr(data[:200]))
                    server.shutdown(socket.SHUT_RDWR)
                    return
                left -= len(data)

        reader = threading.Thread(target=read, daemon=True)
        started = time.perf_counter()
        reader.start()
        for batch in batches:
            if problems:
                break
            with contextlib.suppress(BrokenPipeError):  # the reader knows why
                server.sendall(batch)
        reader.join()
        if problems:
            raise AssertionError(f"SET was not answered with OK: {problems[0]}")
        return time.perf_counter() - started


def fill(node: Node, keys: int) -> float:
    """Write `keys` keys with values of 64 bytes; returns the seconds."""
    seconds = pump(node.port, set_commands(0, keys), keys)
    found = node.call("DBSIZE")
    if found != keys:
        raise AssertionError(f"{node.name} holds {found} keys instead of {keys}")
    return seconds


class Probe:
    """A context manager around ``benchmarks.probe``; afterwards `max_ms` and `p999_ms` hold the waiting times, and `cpu_ms`
    the most CPU time that the server used during one of them."""

    def __init__(self, node: Node) -> None:
        self.max_ms = 0.0
        self.p999_ms = 0.0
        self.cpu_ms = 0.0
        self.requests = 0
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.probe", str(node.port), str(node.pid)],
            cwd=PROJECT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        assert self._process.stdout is not None
        if self._process.stdout.readline() != "ready\n":
            self._process.kill()
            raise AssertionError("the probe cannot connect")
        return self

    def __exit__(self, *_error: object) -> None:
        try:
            output, _unused = self._process.communicate(timeout=120)
        finally:
            self._process.kill()
            self._process.wait()
        result: dict[str, Any] = json.loads(output.splitlines()[-1]) if output.strip() else {}
        if not result:
            raise AssertionError("the probe lost its connection")
        self.max_ms, self.p999_ms, self.requests = result["max_ms"], result["p999_ms"], result["requests"]
        self.cpu_ms = result["cpu_ms"]
