"""The longest time that a client waits while the server does something large: replicad beside a real redis-server.

``python -m benchmarks.latency`` (or ``python benchmarks/latency.py``) prints Markdown. A second process asks about once
a millisecond (``benchmarks.probe``) while the thing happens; the first row, where nothing happens, is what the machine
itself adds. The second table holds the CPU time that the server's main thread used during such a wait: what other
processes do is not in it, but neither is waiting for a disk. Every row has fresh servers. ``--quick`` is a smaller run,
``--only idle,bgsave`` picks rows, ``--keys N`` sets the size of the dataset, ``--rounds N`` how often each row is
measured (the median of the longest waits counts), ``--ours`` leaves the real server out.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import socket
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

if not __package__:
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.compare import Row, Table, full_sync, running, say
from benchmarks.measure import Probe, fill
from tests.support.servers import Node, find_redis_server, redis_version, wait_until

#: What a row must reach.
GOAL = "<= 20 ms"

_BATCH = 500
Action = Callable[[], object]


def command(*words: bytes) -> bytes:
    """One command as it is sent."""
    return b"*%d\r\n" % len(words) + b"".join([b"$%d\r\n%b\r\n" % (len(word), word) for word in words])


def send(node: Node, commands: Iterable[bytes], count: int) -> None:
    """Send ``count`` commands whose replies are one line each, and read all the replies; fails on an error reply."""
    with socket.create_connection(("127.0.0.1", node.port), 120) as server:
        problems: list[str] = []

        def read() -> None:
            left = count
            while left > 0:
                try:
                    data = server.recv(262144)
                except OSError as error:
                    problems.append(str(error))
                    return
                if not data or b"-" in data:
                    problems.append(repr(data[:200]))
                    with contextlib.suppress(OSError):
                        server.shutdown(socket.SHUT_RDWR)
                    return
                left -= data.count(b"\n")

        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        batch: list[bytes] = []
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # the reader knows why
            for text in commands:
                batch.append(text)
                if len(batch) == _BATCH:
                    server.sendall(b"".join(batch))
                    batch.clear()
            server.sendall(b"".join(batch))
        reader.join(300)
        if problems or reader.is_alive():
            raise AssertionError(f"{node.name} did not answer: {problems}")


# What is measured: each prepares a server and returns what is to happen, which ends when the work is done.


def idle(_node: Node, _keys: int) -> Action:
    """Nothing happens for two seconds."""
    return lambda: time.sleep(2)


def bgsave(node: Node, keys: int) -> Action:
    """A snapshot in the background, its fork included."""
    fill(node, keys)

    def action() -> None:
        node.call("BGSAVE")
        wait_until(lambda: node.info("persistence")["rdb_bgsave_in_progress"] == "0", 300, "BGSAVE")

    return action


def expiry(node: Node, keys: int) -> Action:
    """Half the keys expire at the same instant."""
    count = keys // 2
    at_ms = int(time.time() * 1000) + 3_600_000
    send(node, (command(b"SET", b"e:%d" % n, b"value", b"PXAT", b"%d" % at_ms) for n in range(count)), count)
    now_ms = int(time.time() * 1000)
    # their time is set again, nearer, because how long the first writing takes is not known
    at_ms = now_ms + max(6000, keys // 50)
    send(node, (command(b"PEXPIREAT", b"e:%d" % n, b"%d" % at_ms) for n in range(count)), count)

    def action() -> None:
        time.sleep(max(0.0, at_ms / 1000 - time.time() - 0.5))
        wait_until(lambda: node.call("DBSIZE") == 0, 300, "all keys expired", every=0.1)

    return action


def deletion(*head: bytes, scored: bool = False, fields: bool = False) -> Callable[[Node, int], Action]:
    """DEL of a collection that ``head`` fills, a hundred members at a time."""

    def prepare(node: Node, keys: int) -> Action:
        def fillers() -> Iterator[bytes]:
            for start in range(0, keys, 100):
                words: list[bytes] = []
                for number in range(start, start + 100):
                    if scored:
                        words.append(b"%d" % (number * 7919 % keys))
                    words.append(b"member:%d" % number)
                    if fields:
                        words.append(b"value")
                yield command(*head, *words)

        send(node, fillers(), -(-keys // 100))

        def action() -> None:
            node.call("DEL", head[1])
            time.sleep(2)  # what was deleted is freed by and by

        return action

    return prepare


def flushall(node: Node, keys: int) -> Action:
    """FLUSHALL."""
    fill(node, keys)

    def action() -> None:
        node.call("FLUSHALL")
        time.sleep(2)

    return action


def small_hashes(node: Node, keys: int) -> Action:
    """A million small hashes are written: containers, which the collector of cycles looks at."""
    return lambda: send(
        node, (command(b"HSET", b"h:%d" % n, b"a", b"1", b"b", b"2", b"c", b"3") for n in range(keys)), keys
    )


def small_zsets(node: Node, keys: int) -> Action:
    """The same with sorted sets, which are made of objects of their own."""
    return lambda: send(node, (command(b"ZADD", b"z:%d" % n, b"1", b"a", b"2", b"b") for n in range(keys)), keys)


PREPARATIONS: dict[str, tuple[str, Callable[[Node, int], Action]]] = {
    "idle": ("nothing", idle),
    "bgsave": ("BGSAVE of {keys} keys", bgsave),
    "expiry": ("half of {keys} keys expire at once", expiry),
    "set": ("DEL of a set of {keys} members", deletion(b"SADD", b"set")),
    "hash": ("DEL of a hash of {keys} fields", deletion(b"HSET", b"hash", fields=True)),
    "zset": ("DEL of a sorted set of {keys} members", deletion(b"ZADD", b"zset", scored=True)),
    "list": ("DEL of a list of {keys} elements", deletion(b"RPUSH", b"list")),
    "flushall": ("FLUSHALL of {keys} keys", flushall),
    "hashes": ("writing {keys} small hashes", small_hashes),
    "zsets": ("writing {keys} small sorted sets", small_zsets),
}
#: The two sides of a full synchronisation; the other side is a redis-server.
SIDES = {
    "master": "full synchronisation of {keys} keys, on the master",
    "replica": "full synchronisation of {keys} keys, on the replica (swapdb)",
}


def longest_wait(name: str, kind: str, keys: int) -> tuple[float, float]:
    """Measure one row on one kind of server: the longest wait and the most CPU time during one, in milliseconds."""
    if name in PREPARATIONS:
        with running(kind) as (node,):
            action = PREPARATIONS[name][1](node, keys)
            with Probe(node) as probe:
                action()
            return probe.max_ms, probe.cpu_ms
    kinds = (kind, "real") if name == "master" else ("real", kind)
    with running(*kinds, **{"repl-diskless-load": "swapdb"}) as (master, replica):
        fill(master, keys)
        # an instance that is synchronised for the first time has nothing to serve yet
        replica.call("SET", "key", "value")
        with Probe(master if name == "master" else replica) as probe:
            full_sync(master, replica)
            time.sleep(1)
        if replica.call("DBSIZE") != keys:
            raise AssertionError(f"{replica.name} did not receive the dataset\n{replica.log()[-3000:]}")
        return probe.max_ms, probe.cpu_ms


def heading(keys: int, rounds: int, kinds: list[str], arguments: list[str]) -> str:
    """What was measured, on what."""
    version = ".".join(map(str, redis_version(find_redis_server()))) if "real" in kinds else ""
    return (
        f"`{' '.join(['python -m benchmarks.latency', *arguments])}`: replicad on {platform.python_implementation()} "
        f"{platform.python_version()}{f' against redis-server {version}' if version else ''}, {os.cpu_count()} cores, "
        f"{platform.system()} {platform.machine()}, {keys:,} keys, medians of {rounds}. The server, its children, its peer "
        "and the client that asks share the cores.\n"
    )


def main(arguments: list[str]) -> int:
    """Parse the command line, measure, print; returns the exit status."""
    names = [*PREPARATIONS, *SIDES]
    parser = argparse.ArgumentParser(prog="python -m benchmarks.latency", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="one round, 100,000 keys")
    parser.add_argument("--only", default=",".join(names), help=f"rows to measure, of {','.join(names)}")
    parser.add_argument("--keys", type=int, help="size of the dataset")
    parser.add_argument("--rounds", type=int, help="how often each row is measured")
    parser.add_argument("--ours", action="store_true", help="without the real server")
    options = parser.parse_args(arguments)
    keys = options.keys or (100_000 if options.quick else 1_000_000)
    rounds = options.rounds or (1 if options.quick else 3)
    chosen = [name.strip() for name in options.only.split(",")]
    unknown = sorted(set(chosen) - set(names))
    if unknown:
        parser.error(f"no such row: {', '.join(unknown)}")
    kinds = ["ours"] if options.ours else ["real", "ours"]
    print(heading(keys, rounds, kinds, arguments))
    waits = Table("Longest wait of a client that asks once a millisecond", "Less is better.")
    cpu = Table("Most CPU time that the server used during one wait", "Less is better.")
    failed = False
    for name in names:
        if name not in chosen:
            continue
        found = {"real": (0.0, 0.0), "ours": (0.0, 0.0)}
        try:
            for kind in kinds:
                rows = [longest_wait(name, kind, keys) for _ in range(rounds)]
                found[kind] = statistics.median(row[0] for row in rows), statistics.median(row[1] for row in rows)
                say(f"{name}: {kind} {found[kind][0]:.1f} ms, CPU {found[kind][1]:.1f} ms")
        except AssertionError as error:
            say(f"{name} failed: {error}")
            failed = True
            continue
        text = PREPARATIONS[name][0] if name in PREPARATIONS else SIDES[name]
        text = text.format(keys=f"{keys:,}")
        waits.rows.append(Row(text, found["real"][0], found["ours"][0], "ms"))
        cpu.rows.append(Row(text, found["real"][1], found["ours"][1], "ms", GOAL))
    print(waits.markdown())
    print(cpu.markdown(), flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
