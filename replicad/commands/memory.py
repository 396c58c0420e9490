"""MEMORY: what keys, tables and buffers take.

Owns: the commands.  Does not own the figures (``usage``), the sizes of values (``memory``) nor maxmemory (``eviction``).
"""

from __future__ import annotations

import ctypes
import gc
from typing import Any

from replicad.command import Argv, command
from replicad.commands.arguments import integer
from replicad.commands.help import help_of
from replicad.errors import SYNTAX, unknown_subcommand
from replicad.keyspace import SHARD_MASK
from replicad.memory import DEADLINE, text_size, value_size
from replicad.resp import OK, Verbatim
from replicad.session import Client
from replicad.usage import measure

#: Below this there is nothing to say about the use of memory.
_LITTLE = 5 << 20
#: What MEMORY DOCTOR finds remarkable: the ratio of the peak and of the resident memory to what is in use, the bytes that
#: wait for one client, on the average.
_HIGH_PEAK, _HIGH_FRAGMENTATION, _LARGE_BUFFERS, _LARGE_REPLICA_BUFFERS = 1.5, 1.4, 200 << 10, 10 << 20

#: What glibc has to give free memory back; other C libraries have no such thing.
_trim: Any = getattr(ctypes.CDLL(None), "malloc_trim", None)


@command(b"MEMORY", -2, group="server", since="4.0.0")
def memory(client: Client, argv: Argv) -> Any:
    """Commands about memory."""
    raise unknown_subcommand(b"MEMORY", argv[1])


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
    db, key = client.db, argv[2]
    value = db.peek(key)
    if value is None:
        return None
    shard = db.shards[hash(key) & SHARD_MASK]
    place = shard.__sizeof__() // len(shard) + (0 if db.deadline(key) is None else DEADLINE)
    return text_size(len(key)) + value_size(value, samples) + place


@command(b"MEMORY|STATS", 2, group="server", since="4.0.0")
def memory_stats(client: Client, argv: Argv) -> dict[bytes, Any]:
    """Returns where the memory goes, as far as the server can tell.

    MEMORY STATS
    """
    usage = measure(client.server)
    stats: dict[bytes, Any] = {
        b"peak.allocated": usage.peak,
        b"total.allocated": usage.used,
        b"startup.allocated": usage.startup,
        b"replication.backlog": usage.backlog,
        b"clients.slaves": usage.clients_replicas,
        b"clients.normal": usage.clients_normal,
        b"cluster.links": 0,
        b"aof.buffer": 0,
        b"lua.caches": client.server.scripting.cached_bytes,
        b"functions.caches": client.server.libraries.memory,
    }
    for index, table, deadlines in usage.databases:
        stats[b"db.%d" % index] = {
            b"overhead.hashtable.main": table,
            b"overhead.hashtable.expires": deadlines,
            b"overhead.hashtable.slot-to-keys": 0,
        }
    fragmented = usage.resident - usage.used
    return stats | {
        b"overhead.total": usage.overhead,
        b"keys.count": usage.keys,
        b"keys.bytes-per-key": (usage.used - usage.startup) // usage.keys if usage.keys else 0,
        b"dataset.bytes": usage.dataset,
        b"dataset.percentage": usage.dataset_percentage,
        b"peak.percentage": usage.peak_percentage,
        b"allocator.allocated": usage.used,
        b"allocator.active": usage.used,
        b"allocator.resident": usage.resident,
        b"allocator-fragmentation.ratio": 1.0,
        b"allocator-fragmentation.bytes": 0,
        b"allocator-rss.ratio": usage.fragmentation,
        b"allocator-rss.bytes": fragmented,
        b"rss-overhead.ratio": 1.0,
        b"rss-overhead.bytes": 0,
        b"fragmentation": usage.fragmentation,
        b"fragmentation.bytes": fragmented,
    }


@command(b"MEMORY|DOCTOR", 2, group="server", since="4.0.0")
def memory_doctor(client: Client, argv: Argv) -> Verbatim:
    """Says what it thinks of the use of memory.

    MEMORY DOCTOR
    """
    server = client.server
    usage = measure(server)
    if usage.used - usage.startup < _LITTLE:
        return Verbatim(b"There is next to no data yet, so nothing can be said about the use of memory.\n")
    found = []
    if usage.peak > _HIGH_PEAK * usage.used:
        found.append(
            f"Peak: {usage.peak} bytes were in use at some time, {usage.used} are now. Python keeps what it has once "
            "asked for, so the process may stay large; new data will fill it."
        )
    own = usage.resident - server.eviction.baseline
    if own > _HIGH_FRAGMENTATION * usage.used and own - usage.used > _LITTLE:
        found.append(
            f"Fragmentation: the process holds {own} bytes for {usage.used} in use. MEMORY PURGE gives some back; a "
            "restart, or a failover to a replica, gives all."
        )
    replicas = len(server.replication.downstreams)
    clients = max(len(server.clients) - replicas, 1)
    if usage.clients_normal > _LARGE_BUFFERS * clients:
        found.append(
            f"Clients: {usage.clients_normal} bytes of replies wait for clients that do not read them. CLIENT LIST shows "
            "whose omem is large; the directive client-output-buffer-limit cuts such clients off."
        )
    if usage.clients_replicas > _LARGE_REPLICA_BUFFERS * max(replicas, 1):
        found.append(f"Replicas: {usage.clients_replicas} bytes wait for replicas that do not keep up.")
    if server.eviction.full:
        found.append("Limit: maxmemory is exceeded; the directive maxmemory-policy says what happens then.")
    return Verbatim(("\n".join(found) or "No memory problem was found.").encode() + b"\n")


@command(b"MEMORY|PURGE", 2, group="server", since="4.0.0")
def memory_purge(client: Client, argv: Argv) -> Any:
    """Gives memory that is free back to the system, as far as that goes quickly.

    MEMORY PURGE
    """
    gc.collect(0)  # a full collection would stop everybody for its length
    if _trim is not None:
        _trim(0)
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
