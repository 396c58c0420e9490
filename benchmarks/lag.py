"""How far a replica is behind its master while clients write at a fixed rate.

Each millisecond one connection writes a batch to the master; the last write of a batch is its number. As often, another
connection asks the replica for that number. A replica that shows batch k is behind by the age of batch k + 1, and not
behind when nobody has sent one yet. So a writer that is late itself does not count against the replica. Both
connections are served by one loop without threads.
"""

from __future__ import annotations

import select
import socket
import time
from dataclasses import dataclass

_NS = 1_000_000_000
_TICK_NS = 1_000_000
_ASK = b"*2\r\n$3\r\nGET\r\n$5\r\nbatch\r\n"
_OK = b"+OK\r\n"


@dataclass(frozen=True)
class Lag:
    """Milliseconds behind: the median, the 99th percentile, the most; and how many writes there were in a second."""

    median_ms: float
    p99_ms: float
    most_ms: float
    rate: float


def measure_lag(master_port: int, replica_port: int, rate: int, seconds: float) -> Lag:
    """Write for ``seconds`` at ``rate`` writes/s. Raises AssertionError when the master refuses or is too slow for it."""
    each = max(1, rate * _TICK_NS // _NS)
    block = b"".join(b"*3\r\n$3\r\nSET\r\n$8\r\nk:%06d\r\n$64\r\n%b\r\n" % (number, b"v" * 64) for number in range(each - 1))
    master, replica = (socket.create_connection(("127.0.0.1", port), 10) for port in (master_port, replica_port))
    for connection in (master, replica):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sent: list[int] = []
    lags: list[int] = []
    answer = b""
    answered = 0
    asked = False
    with master, replica:
        begin = now = time.perf_counter_ns()
        end = begin + int(seconds * _NS)
        while now < end:
            if now >= begin + len(sent) * _TICK_NS:
                number = b"%d" % len(sent)
                sent.append(now)
                master.sendall(block + b"*3\r\n$3\r\nSET\r\n$5\r\nbatch\r\n$%d\r\n%b\r\n" % (len(number), number))
                if not asked:
                    asked = True
                    replica.sendall(_ASK)
            wait = max(0, begin + len(sent) * _TICK_NS - time.perf_counter_ns())
            ready, _, _ = select.select((master, replica), (), (), wait / _NS)
            now = time.perf_counter_ns()
            if master in ready:
                answered += _answers(master.recv(65536))
            if replica in ready:
                answer += replica.recv(4096)
                if answer.count(b"\r\n") == (1 if answer == b"$-1\r\n" else 2):
                    shown = -1 if answer == b"$-1\r\n" else int(answer.split(b"\r\n")[1])
                    lags.append(now - sent[shown + 1] if shown + 1 < len(sent) else 0)
                    answer = b""
                    asked = False
    lags.sort()
    if not lags:
        raise AssertionError("the replica did not answer once")
    if answered < 0.95 * rate * seconds * len(_OK):
        raise AssertionError(f"the master took only {answered / len(_OK) / seconds:,.0f} writes a second")

    def at(part: float) -> float:
        return lags[min(len(lags) - 1, int(len(lags) * part))] / 1e6

    return Lag(at(0.5), at(0.99), lags[-1] / 1e6, answered / len(_OK) / seconds)


def _answers(data: bytes) -> int:
    """Count bytes of OKs. Raises AssertionError for anything else."""
    if not data or b"-" in data:
        raise AssertionError(f"SET was answered with {data[:200]!r}")
    return len(data)
