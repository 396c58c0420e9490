"""How the cost of commands grows with the size of what they work on: replicad beside a real redis-server.

``python -m benchmarks.growth`` (or ``python benchmarks/growth.py``) prints Markdown: for each command the CPU time of the
server in microseconds at 10^3, 10^4, 10^5 and 10^6 elements. The commands go to both servers in pipelines on one connection,
so the figures hold the work of the command and little else. Scans are walked from their beginning and not in pipelines; the
figure is that of a mean step. What grows faster than the complexity that Redis documents is marked: the last column compares
the growth from the smallest to the largest size with what the class allows. Each size has a fresh server.
``--quick`` stops at 10^5, ``--only zset,list`` picks structures, ``--largest N`` sets the last size, ``--ours`` leaves the
real server out.
"""

from __future__ import annotations

import argparse
import random
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

if not __package__:
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import hiredis

from benchmarks.compare import number, running, say
from benchmarks.measure import cpu_seconds
from tests.support.servers import Node

Argv = Sequence[bytes | str | int | float]
#: Index of a repetition and the size: the commands that are one operation. They leave the structure as large as it was.
Operation = Callable[[int, int], list[Argv]]

SIZES = (1_000, 10_000, 100_000, 1_000_000)
#: So long, in seconds of CPU, or so many repetitions, is each figure measured.
_ENOUGH_SECONDS = 0.25
_MOST = 20_000
_BATCH = 200
#: Figures below this many microseconds are the cost of a command at all: growth begins above.
_FLOOR_US = 3.0
#: By how much an operation may cost more at a size a thousand times as large: caches miss more, trees are deeper.
CLASSES = {"1": 6.0, "log n": 7.0, "n": 1500.0}
_source = random.Random(1)


@dataclass(frozen=True)
class Row:
    """One operation and its complexity class.  ``scan``: the command is a scan, and its last argument the cursor."""

    name: str
    grows: str
    make: Operation
    scan: bool = False


def chosen(n: int) -> int:
    """Any element."""
    return _source.randrange(n)


def _fill_by(command: str, parts: Callable[[int], Argv]) -> Callable[[int], Iterator[Argv]]:
    """Commands that write elements 0 to n - 1 to the key ``k``, five hundred at once."""

    def fill(n: int) -> Iterator[Argv]:
        for start in range(0, n, 500):
            words: list[bytes | str | int | float] = [command, "k"]
            for i in range(start, min(start + 500, n)):
                words += parts(i)
            yield words

    return fill


def _streams(n: int) -> Iterator[Argv]:
    return (("XADD", "k", f"{i + 1}-1", "f", i) for i in range(n))


def _keys(n: int) -> Iterator[Argv]:
    return (("SET", f"key:{i}", "v") for i in range(n))


def _text(n: int) -> Iterator[Argv]:
    yield "SETRANGE", "k", n - 1, "x"


def _scores(n: int) -> Iterator[Argv]:
    yield from _fill_by("ZADD", lambda i: (i * 7919 % 1_000_003, f"m{i}"))(n)
    yield "ZADD", "few", *(word for i in range(10) for word in (i, f"m{i}"))


def _sets(n: int) -> Iterator[Argv]:
    yield from _fill_by("SADD", lambda i: (f"m{i}",))(n)
    yield "SADD", "few", *(f"m{i}" for i in range(10))


def _numbers(n: int) -> Iterator[Argv]:
    return _fill_by("SADD", lambda i: (i * 3,))(n)


STRUCTURES: dict[str, tuple[Callable[[int], Iterator[Argv]], list[Row]]] = {
    "zset": (
        _scores,
        [
            Row("ZADD, new score", "log n", lambda i, n: [("ZADD", "k", chosen(n), f"m{chosen(n)}")]),
            Row("ZADD and ZREM", "log n", lambda i, n: [("ZADD", "k", chosen(n), "new"), ("ZREM", "k", "new")]),
            Row("ZINCRBY", "log n", lambda i, n: [("ZINCRBY", "k", 1, f"m{chosen(n)}")]),
            Row("ZSCORE", "1", lambda i, n: [("ZSCORE", "k", f"m{chosen(n)}")]),
            Row("ZRANK", "log n", lambda i, n: [("ZRANK", "k", f"m{chosen(n)}")]),
            Row("ZRANGE, 10 in the middle", "log n", lambda i, n: [("ZRANGE", "k", n // 2, n // 2 + 9)]),
            Row("ZRANGEBYSCORE of 10", "log n", lambda i, n: [("ZRANGEBYSCORE", "k", chosen(n), "+inf", "LIMIT", 0, 10)]),
            Row("ZCOUNT of the half", "log n", lambda i, n: [("ZCOUNT", "k", 0, 500_000)]),
            Row("ZPOPMIN and ZADD", "log n", lambda i, n: [("ZPOPMIN", "k"), ("ZADD", "k", 1, f"p{i}")]),
            Row("ZRANDMEMBER 10", "1", lambda i, n: [("ZRANDMEMBER", "k", 10)]),
            Row("ZSCAN", "1", lambda i, n: [("ZSCAN", "k")], scan=True),
            Row("ZUNIONSTORE of 10", "1", lambda i, n: [("ZUNIONSTORE", "out", 1, "few")]),
            Row("ZINTERSTORE of 10 with all", "1", lambda i, n: [("ZINTERSTORE", "out", 2, "k", "few")]),
            Row("ZDIFF of 10 with all", "1", lambda i, n: [("ZDIFF", 2, "few", "k")]),
        ],
    ),
    "set": (
        _sets,
        [
            Row("SADD and SREM", "1", lambda i, n: [("SADD", "k", "new"), ("SREM", "k", "new")]),
            Row("SISMEMBER", "1", lambda i, n: [("SISMEMBER", "k", f"m{chosen(n)}")]),
            Row("SPOP and SADD", "1", lambda i, n: [("SPOP", "k"), ("SADD", "k", f"p{i}")]),
            Row("SRANDMEMBER", "1", lambda i, n: [("SRANDMEMBER", "k")]),
            Row("SRANDMEMBER 10", "1", lambda i, n: [("SRANDMEMBER", "k", 10)]),
            Row("SRANDMEMBER -10", "1", lambda i, n: [("SRANDMEMBER", "k", -10)]),
            Row("SSCAN", "1", lambda i, n: [("SSCAN", "k")], scan=True),
            Row("SINTER of all with 10", "1", lambda i, n: [("SINTER", "k", "few")]),
            Row("SINTERCARD", "1", lambda i, n: [("SINTERCARD", 2, "k", "few")]),
            Row("SDIFF of 10 with all", "1", lambda i, n: [("SDIFF", "few", "k")]),
            Row("SMISMEMBER of 3", "1", lambda i, n: [("SMISMEMBER", "k", "m1", "m2", "x")]),
        ],
    ),
    "ints": (
        _numbers,
        [
            Row("SADD and SREM", "1", lambda i, n: [("SADD", "k", 1), ("SREM", "k", 1)]),
            Row("SPOP and SADD", "1", lambda i, n: [("SPOP", "k"), ("SADD", "k", 3 * n + i)]),
            Row("OBJECT ENCODING", "1", lambda i, n: [("OBJECT", "ENCODING", "k")]),
        ],
    ),
    "list": (
        _fill_by("RPUSH", lambda i: (f"e{i}",)),
        [
            Row("RPUSH and LPOP", "1", lambda i, n: [("RPUSH", "k", "e"), ("LPOP", "k")]),
            Row("LRANGE, first 100", "1", lambda i, n: [("LRANGE", "k", 0, 99)]),
            Row("LINDEX in the middle", "n", lambda i, n: [("LINDEX", "k", n // 2)]),
            Row("LRANGE, 100 in the middle", "n", lambda i, n: [("LRANGE", "k", n // 2, n // 2 + 99)]),
            Row("LSET in the middle", "n", lambda i, n: [("LSET", "k", n // 2, "new")]),
            Row("LPOS in the middle", "n", lambda i, n: [("LPOS", "k", f"e{n // 2 + n // 4}")]),
            Row(
                "LINSERT and LREM in the middle",
                "n",
                lambda i, n: [("LINSERT", "k", "BEFORE", f"e{n // 2 + n // 4}", "in"), ("LREM", "k", 1, "in")],
            ),
            Row("LTRIM of one, RPUSH", "1", lambda i, n: [("LTRIM", "k", 1, -1), ("RPUSH", "k", "e")]),
            Row("LMOVE", "1", lambda i, n: [("LMOVE", "k", "k", "LEFT", "RIGHT")]),
        ],
    ),
    "hash": (
        _fill_by("HSET", lambda i: (f"f{i}", i)),
        [
            Row("HGET", "1", lambda i, n: [("HGET", "k", f"f{chosen(n)}")]),
            Row("HSET", "1", lambda i, n: [("HSET", "k", f"f{chosen(n)}", i)]),
            Row("HSET and HDEL", "1", lambda i, n: [("HSET", "k", "new", i), ("HDEL", "k", "new")]),
            Row("HINCRBY", "1", lambda i, n: [("HINCRBY", "k", f"f{chosen(n)}", 1)]),
            Row("HLEN", "1", lambda i, n: [("HLEN", "k")]),
            Row("HSCAN", "1", lambda i, n: [("HSCAN", "k")], scan=True),
            Row("HRANDFIELD 10", "1", lambda i, n: [("HRANDFIELD", "k", 10)]),
            Row("OBJECT ENCODING", "1", lambda i, n: [("OBJECT", "ENCODING", "k")]),
            Row("MEMORY USAGE", "1", lambda i, n: [("MEMORY", "USAGE", "k")]),
        ],
    ),
    "stream": (
        _streams,
        [
            Row(
                "XADD and XDEL of it",
                "1",
                lambda i, n: [("XADD", "k", f"{9 * n + i}-1", "f", "v"), ("XDEL", "k", f"{9 * n + i}-1")],
            ),
            Row("XADD MAXLEN", "1", lambda i, n: [("XADD", "k", "MAXLEN", "=", n, f"{99 * n + i}-1", "f", "v")]),
            Row("XRANGE, 10 in the middle", "log n", lambda i, n: [("XRANGE", "k", n // 2, "+", "COUNT", 10)]),
            Row("XREVRANGE, last 10", "1", lambda i, n: [("XREVRANGE", "k", "+", "-", "COUNT", 10)]),
            Row("XREAD, 10", "log n", lambda i, n: [("XREAD", "COUNT", 10, "STREAMS", "k", n // 2)]),
            Row("XLEN", "1", lambda i, n: [("XLEN", "k")]),
            Row("XDEL in the middle", "log n", lambda i, n: [("XDEL", "k", f"{n // 3 + i}-1")]),
            Row("XINFO STREAM", "1", lambda i, n: [("XINFO", "STREAM", "k")]),
        ],
    ),
    "geo": (
        _fill_by("GEOADD", lambda i: (_source.uniform(-180, 180), _source.uniform(-85, 85), f"p{i}")),
        [
            Row("GEOADD", "log n", lambda i, n: [("GEOADD", "k", _source.uniform(-180, 180), 10, f"p{chosen(n)}")]),
            Row("GEOPOS", "1", lambda i, n: [("GEOPOS", "k", f"p{chosen(n)}")]),
            Row("GEOSEARCH, 10 km", "log n", lambda i, n: [("GEOSEARCH", "k", "FROMLONLAT", 15, 37, "BYRADIUS", 10, "km")]),
            Row(
                "GEOSEARCH, 100 km at a border of boxes",
                "n",
                lambda i, n: [("GEOSEARCH", "k", "FROMLONLAT", 0.001, 0.001, "BYRADIUS", 100, "km")],
            ),
            Row(
                "GEOSEARCH, the nearest 5 of 5,000 km",
                "n",
                lambda i, n: [("GEOSEARCH", "k", "FROMLONLAT", 15, 37, "BYRADIUS", 5000, "km", "COUNT", 5, "ASC")],
            ),
        ],
    ),
    "string": (
        _text,
        [
            Row("GETRANGE of 10", "1", lambda i, n: [("GETRANGE", "k", n // 2, n // 2 + 9)]),
            Row("STRLEN", "1", lambda i, n: [("STRLEN", "k")]),
            Row("GETBIT", "1", lambda i, n: [("GETBIT", "k", n)]),
            Row("SETRANGE of 10", "1", lambda i, n: [("SETRANGE", "k", n // 2, "0123456789")]),
            Row("SETBIT", "1", lambda i, n: [("SETBIT", "k", n, i & 1)]),
            Row("BITCOUNT", "n", lambda i, n: [("BITCOUNT", "k")]),
        ],
    ),
    "keys": (
        _keys,
        [
            Row("GET", "1", lambda i, n: [("GET", f"key:{chosen(n)}")]),
            Row("SET", "1", lambda i, n: [("SET", f"key:{chosen(n)}", "w")]),
            Row("SET and DEL", "1", lambda i, n: [("SET", "new", "w"), ("DEL", "new")]),
            Row("EXPIRE", "1", lambda i, n: [("EXPIRE", f"key:{chosen(n)}", 10_000)]),
            Row("SCAN", "1", lambda i, n: [("SCAN",)], scan=True),
            Row("RANDOMKEY", "1", lambda i, n: [("RANDOMKEY",)]),
            Row("DBSIZE", "1", lambda i, n: [("DBSIZE",)]),
        ],
    ),
}  # fmt: skip


class Conversation:
    """A connection that sends in pipelines and refuses errors."""

    def __init__(self, node: Node) -> None:
        self._socket = socket.create_connection(("127.0.0.1", node.port), 300)
        self._reader = hiredis.Reader()

    def __enter__(self) -> Conversation:
        return self

    def __exit__(self, *_error: object) -> None:
        self._socket.close()

    def send(self, commands: list[Argv]) -> Any:
        """Send the commands and read their replies; returns the last one.  Fails on an error."""
        reply: Any = None
        self._socket.sendall(b"".join([hiredis.pack_command(tuple(argv)) for argv in commands]))
        for argv in commands:
            while (reply := self._reader.gets()) is False:
                data = self._socket.recv(1 << 20)
                if not data:
                    raise AssertionError(f"the server closed the connection at {argv[:6]}")
                self._reader.feed(data)
            if isinstance(reply, hiredis.ReplyError):
                raise AssertionError(f"{argv[:6]}: {reply}")
        return reply


def in_batches(commands: Iterator[Argv], size: int) -> Iterator[list[Argv]]:
    """Lists of so many commands."""
    batch: list[Argv] = []
    for argv in commands:
        batch.append(argv)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def measure(node: Node, server: Conversation, row: Row, n: int) -> float:
    """CPU microseconds of one operation."""
    done = 0
    batch = 1
    spent = 0.0
    deadline = time.monotonic() + 3
    while done < _MOST and spent < _ENOUGH_SECONDS and time.monotonic() < deadline:
        commands = [argv for i in range(done, done + batch) for argv in row.make(i, n)]
        before = cpu_seconds(node.pid)
        server.send(commands)
        spent += cpu_seconds(node.pid) - before
        done += batch
        batch = min(_BATCH, batch * 4)
    return spent / done * 1e6


def measure_scan(node: Node, server: Conversation, row: Row, n: int) -> float:
    """CPU microseconds of one step, from whole walks."""
    steps = 0
    command = row.make(0, n)[0]
    before = cpu_seconds(node.pid)
    while steps < 2000:
        cursor: bytes = b"0"
        while True:
            cursor = server.send([(*command, cursor)])[0]
            steps += 1
            if cursor == b"0":
                break
    return (cpu_seconds(node.pid) - before) / steps * 1e6


def figures(kind: str, structure: str, sizes: Sequence[int]) -> dict[str, list[float]]:
    """Of each operation on the structure the cost at each size."""
    fill, rows = STRUCTURES[structure]
    found: dict[str, list[float]] = {row.name: [] for row in rows}
    for n in sizes:
        say(f"{structure} of {n:,}: {kind}")
        with running(kind) as (node,), Conversation(node) as server:
            for batch in in_batches(fill(n), 20 if structure not in ("stream", "keys") else 1000):
                server.send(batch)
            for row in rows:
                found[row.name].append((measure_scan if row.scan else measure)(node, server, row, n))
    return found


def verdict(row: Row, costs: Sequence[float], sizes: Sequence[int]) -> str:
    """How the cost grew, marked when the class of the operation does not allow it."""
    growth = max(costs[-1], _FLOOR_US) / max(costs[0], _FLOOR_US)
    allowed = CLASSES[row.grows] if row.grows != "n" else 1.5 * sizes[-1] / sizes[0]
    return f"x{growth:.1f}" + (" **too much**" if growth > allowed else "")


def main(arguments: list[str]) -> int:
    """Parse the command line, measure, print; returns 1 when something grew too much here."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="up to 100,000 elements")
    parser.add_argument("--only", default=",".join(STRUCTURES), help=f"structures, of {','.join(STRUCTURES)}")
    parser.add_argument("--largest", type=int, default=0, help="the largest size")
    parser.add_argument("--ours", action="store_true", help="without the real server")
    options = parser.parse_args(arguments)
    largest = options.largest or (100_000 if options.quick else 1_000_000)
    sizes = [size for size in SIZES if size <= largest]
    names = [name.strip() for name in options.only.split(",")]
    if unknown := sorted(set(names) - set(STRUCTURES)):
        parser.error(f"no such structure: {', '.join(unknown)}")
    failed = False
    kinds = ["ours"] if options.ours else ["real", "ours"]
    titles = {"real": "redis-server", "ours": "replicad"}
    print("CPU microseconds of the server for one operation, by the number of elements (bytes for strings).\n")
    for name in names:
        found = {}
        for kind in kinds:
            found[kind] = figures(kind, name, sizes)
        print(f"### {name}\n")
        print("| | class | " + " | ".join(f"{titles[kind]} {size:,}" for kind in kinds for size in sizes) + " | growth |")
        print("|---|---|" + "--:|" * (len(kinds) * len(sizes)) + "---|")
        for row in STRUCTURES[name][1]:
            costs = [number(cost) for kind in kinds for cost in found[kind][row.name]]
            said = verdict(row, found["ours"][row.name], sizes)
            failed = failed or "too much" in said
            print(f"| {row.name} | {row.grows} | " + " | ".join(costs) + f" | {said} |")
        print(flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
