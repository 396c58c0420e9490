"""Looking at a running server: SLOWLOG, MONITOR, MEMORY.

Owns: the commands and the estimate of MEMORY USAGE.  Does not own the slow log and the list of monitors (``observe``).
"""

from __future__ import annotations

import gc
from collections import deque
from itertools import islice
from sys import getsizeof
from typing import Any

from replicad.command import Argv, command
from replicad.commands.arguments import integer
from replicad.commands.help import help_of
from replicad.errors import SYNTAX, clean, err, unknown_subcommand
from replicad.expiring_hash import ExpiringHash
from replicad.resp import OK, Verbatim
from replicad.session import Client
from replicad.values import SortedSet, Stream

_ADMIN = "admin noscript loading stale"
_COUNT = err("count should be greater than or equal to -1")


# -- SLOWLOG


@command(b"SLOWLOG", -2, group="server", since="2.2.12")
def slowlog(client: Client, argv: Argv) -> Any:
    """Commands about the slow log."""
    raise unknown_subcommand(b"SLOWLOG", argv[1])


@command(b"SLOWLOG|GET", -2, "admin loading stale", group="server", since="2.2.12")
def slowlog_get(client: Client, argv: Argv) -> Any:
    """Returns the newest entries: number, Unix time, microseconds, arguments, client address and name.

    SLOWLOG GET [count]
    """
    if len(argv) > 3:
        raise err(b"unknown subcommand or wrong number of arguments for '%b'. Try SLOWLOG HELP." % clean(argv[1]))
    count = 10
    if len(argv) == 3:
        count = integer(argv[2], _COUNT)
        if count < -1:
            raise _COUNT
    return client.server.slowlog.get(count)


@command(b"SLOWLOG|LEN", 2, "admin loading stale", group="server", since="2.2.12")
def slowlog_len(client: Client, argv: Argv) -> int:
    """Returns the number of entries.

    SLOWLOG LEN
    """
    return len(client.server.slowlog)


@command(b"SLOWLOG|RESET", 2, "admin loading stale", group="server", since="2.2.12")
def slowlog_reset(client: Client, argv: Argv) -> Any:
    """Forgets all entries.

    SLOWLOG RESET
    """
    client.server.slowlog.reset()
    return OK


@command(b"SLOWLOG|HELP", 2, "loading stale", group="server", since="6.2.0")
def slowlog_help(client: Client, argv: Argv) -> Any:
    """Lists the subcommands.

    SLOWLOG HELP
    """
    return help_of(b"SLOWLOG")


@command(b"MONITOR", 1, _ADMIN, group="server")
def monitor(client: Client, argv: Argv) -> Any:
    """Shows every command that the server executes, until the connection ends.

    MONITOR
    """
    if client.in_exec:
        raise err("MONITOR isn't allowed for DENY BLOCKING client")
    if client.replica is None and not client.is_master:
        client.server.monitors.add(client)
    return OK


# -- MEMORY


@command(b"MEMORY", -2, group="server", since="4.0.0")
def memory(client: Client, argv: Argv) -> Any:
    """Commands about memory."""
    raise unknown_subcommand(b"MEMORY", argv[1])


def _mean_size(elements: Any, samples: int) -> float:
    total = count = 0
    for element in islice(elements, samples or None):
        count += 1
        parts = element if type(element) is tuple else (element,)
        total += sum(map(getsizeof, parts))
    return total / count if count else 0.0


def memory_of(value: Any, samples: int = 5) -> int:
    """About how many bytes of this process ``value`` takes; ``samples`` of its elements are measured (0: all)."""
    kind = type(value)
    if kind is bytes:
        return getsizeof(value)
    if kind is dict or kind is ExpiringHash:
        deadlines = 0 if kind is dict else 200 * len(value.deadlines)
        return int(getsizeof(value) + len(value) * _mean_size(value.items(), samples)) + deadlines
    if kind is SortedSet:
        # a dict for the scores and a list of (score, member) beside it
        scores = value.scores
        return int(2 * getsizeof(scores) + len(scores) * (_mean_size(scores.items(), samples) + 56))
    if kind is Stream:
        elements = (tuple(fields) for _, fields in value)
        return int(getsizeof(value) + len(value) * (_mean_size(elements, samples) + 120))
    if kind in (set, deque):
        return int(getsizeof(value) + len(value) * _mean_size(value, samples))
    return getsizeof(value) + len(getattr(value, "payload", b""))


@command(b"MEMORY|USAGE", -3, "readonly", (2, 2, 1), group="server", since="4.0.0")
def memory_usage(client: Client, argv: Argv) -> int | None:
    """Returns about how many bytes a key and its value take in this process.

    MEMORY USAGE key [SAMPLES count]
    """
    samples = 5
    i = 3
    while i < len(argv):
        if argv[i].lower() != b"samples" or i + 1 >= len(argv):
            raise SYNTAX
        samples = integer(argv[i + 1])
        if samples < 0:
            raise SYNTAX
        i += 2
    value = client.db.peek(argv[2])
    if value is None:
        return None
    deadline = 0 if client.db.deadline(argv[2]) is None else 200
    return getsizeof(argv[2]) + memory_of(value, samples) + 100 + deadline


@command(b"MEMORY|STATS", 2, group="server", since="4.0.0")
def memory_stats(client: Client, argv: Argv) -> dict[bytes, Any]:
    """Returns where the memory goes, as far as the server can tell.

    MEMORY STATS
    """
    server = client.server
    used = server.memory()
    keys = sum(map(len, server.databases))
    stats: dict[bytes, Any] = {
        b"peak.allocated": max(server.peak_memory, used),
        b"total.allocated": used,
        b"startup.allocated": 0,
        b"replication.backlog": server.history.histlen,
        b"clients.slaves": sum(one.connection.queued for one in server.clients.values() if one.replica is not None),
        b"clients.normal": sum(one.connection.queued for one in server.clients.values() if one.replica is None),
        b"cluster.links": 0,
        b"aof.buffer": 0,
        b"lua.caches": 0,
        b"functions.caches": 0,
    }
    for db in server.databases:
        if len(db):
            stats[b"db.%d" % db.index] = {
                b"overhead.hashtable.main": sum(map(getsizeof, db.shards)),
                b"overhead.hashtable.expires": 200 * db.deadlines.count,
                b"overhead.hashtable.slot-to-keys": 0,
            }
    stats |= {
        b"overhead.total": 0,
        b"keys.count": keys,
        b"keys.bytes-per-key": used // keys if keys else 0,
        b"dataset.bytes": used,
        b"dataset.percentage": 100.0,
        b"peak.percentage": 100.0 * used / max(server.peak_memory, used, 1),
        b"allocator.allocated": used,
        b"allocator.active": used,
        b"allocator.resident": used,
        b"allocator-fragmentation.ratio": 1.0,
        b"allocator-fragmentation.bytes": 0,
        b"allocator-rss.ratio": 1.0,
        b"allocator-rss.bytes": 0,
        b"rss-overhead.ratio": 1.0,
        b"rss-overhead.bytes": 0,
        b"fragmentation": 1.0,
        b"fragmentation.bytes": 0,
    }
    return stats


@command(b"MEMORY|DOCTOR", 2, group="server", since="4.0.0")
def memory_doctor(client: Client, argv: Argv) -> Verbatim:
    """Says what it thinks of the use of memory.

    MEMORY DOCTOR
    """
    server = client.server
    used, peak = server.memory(), server.peak_memory
    found = []
    if peak > 1.5 * used:
        found.append("The process once held more than one and a half times the memory it holds now.")
    waiting = sum(one.connection.queued for one in server.clients.values())
    if waiting > 64 << 20:
        found.append(f"{waiting} bytes of replies wait for clients that do not read them.")
    return Verbatim(("\n".join(found) or "No memory problem was found.").encode() + b"\n")


@command(b"MEMORY|PURGE", 2, group="server", since="4.0.0")
def memory_purge(client: Client, argv: Argv) -> Any:
    """Collects what short-lived garbage there is.

    MEMORY PURGE
    """
    gc.collect(0)  # a full collection would stop everybody for its length
    return OK


@command(b"MEMORY|MALLOC-STATS", 2, group="server", since="4.0.0")
def memory_malloc_stats(client: Client, argv: Argv) -> Verbatim:
    """Returns statistics of the allocator, which Python does not offer.

    MEMORY MALLOC-STATS
    """
    return Verbatim(b"Stats not supported for the current allocator")


@command(b"MEMORY|HELP", 2, "loading stale", group="server", since="4.0.0")
def memory_help(client: Client, argv: Argv) -> Any:
    """Lists the subcommands.

    MEMORY HELP
    """
    return help_of(b"MEMORY")
