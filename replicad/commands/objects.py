"""OBJECT, DUMP and RESTORE: a value as Redis would hold it in memory and in a snapshot.

Owns: the answers about encodings, the DUMP payload on the wire.  Does not own the codec (``persistence.rdb``).

Redis keeps a compact form of a small collection and never turns it back once it has grown; values here have one form
only, so OBJECT ENCODING answers the form that Redis would choose for the value as it is now.  Accesses are recorded by
``eviction``: frequencies under an LFU policy, idle times under an LRU one, and under the others once somebody asks.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from replicad.command import command
from replicad.commands.arguments import INT64_MAX, integer, is_integer
from replicad.commands.help import help_of
from replicad.errors import BUSY_KEY, SYNTAX, err, unknown_subcommand
from replicad.expiring_hash import ExpiringHash
from replicad.notifications import GENERIC, report
from replicad.persistence.interfaces import DamagedSnapshot
from replicad.persistence.rdb import PayloadFooterError, dump_payload, load_payload
from replicad.resp import OK, Simple
from replicad.values import SortedSet, Stream

if TYPE_CHECKING:
    from collections.abc import Iterable

    from replicad.config import Settings
    from replicad.session import Client

_KEY = (2, 2, 1)
_SHARED = 2147483647  #: the reference count of the integers that Redis shares among values
_SWITCHED = "Please note that when switching between policies at runtime LRU and LFU data will take some time to adjust."
_NO_LFU = err(f"An LFU maxmemory policy is not selected, access frequency not tracked. {_SWITCHED}")
_LFU = err(f"An LFU maxmemory policy is selected, idle time not tracked. {_SWITCHED}")


def _fits(settings: Settings, prefix: str, size: int, items: Iterable[bytes]) -> bool:
    """Whether a collection is small enough for a listpack under the ``prefix-max-listpack-*`` directives."""
    longest = settings[f"{prefix}-max-listpack-value"]
    return size <= settings[f"{prefix}-max-listpack-entries"] and all(len(item) <= longest for item in items)


def encoding(settings: Settings, value: Any) -> bytes:
    """The name of the form in which Redis 7.0 would hold ``value``, and 7.4 a hash whose fields expire."""
    kind = type(value)
    if kind is bytes:
        return b"int" if len(value) <= 20 and is_integer(value) else b"embstr" if len(value) <= 44 else b"raw"
    if kind is deque:
        return b"quicklist"
    if kind is dict or kind is ExpiringHash:
        fits = _fits(settings, "hash", len(value), (text for pair in value.items() for text in pair))
        if fits:
            return b"listpack" if kind is dict else b"listpackex"
        return b"hashtable"
    if kind is set:
        fits = len(value) <= settings["set-max-intset-entries"] and all(map(is_integer, value))
        return b"intset" if fits else b"hashtable"
    if kind is SortedSet:
        return b"listpack" if _fits(settings, "zset", len(value), value.scores) else b"skiplist"
    return b"stream" if kind is Stream else b"raw"


def _look(client: Client, key: bytes) -> Any:
    """The value under a key; counted in keyspace_hits and keyspace_misses, but no use of the key and no event."""
    db = client.db
    value = db.peek(key)
    if value is None:
        db.stats.misses += 1
    else:
        db.stats.hits += 1
    return value


@command(b"OBJECT", -2, group="generic", since="2.2.3")
def object_(client: Client, argv: list[bytes]) -> Any:
    """Commands that look into how values are held."""
    raise unknown_subcommand(b"OBJECT", argv[1])


@command(b"OBJECT|ENCODING", 3, "readonly", _KEY, group="generic", since="2.2.3")
def object_encoding(client: Client, argv: list[bytes]) -> bytes | None:
    """Returns the form in which Redis would hold the value under a key.

    OBJECT ENCODING key
    """
    value = _look(client, argv[2])
    return None if value is None else encoding(client.server.settings, value)


@command(b"OBJECT|FREQ", 3, "readonly", _KEY, group="generic", since="4.0.0")
def object_freq(client: Client, argv: list[bytes]) -> int | None:
    """Returns how often a key was used lately, on a logarithmic scale; only under an LFU maxmemory-policy.

    OBJECT FREQ key
    """
    if _look(client, argv[2]) is None:
        return None
    eviction = client.server.eviction
    if not eviction.uses_lfu:
        raise _NO_LFU
    return eviction.frequency(client.db, argv[2])


@command(b"OBJECT|IDLETIME", 3, "readonly", _KEY, group="generic", since="2.2.3")
def object_idletime(client: Client, argv: list[bytes]) -> int | None:
    """Returns for how many seconds a key was not used; without an LRU policy counted from the first such question on.

    OBJECT IDLETIME key
    """
    if _look(client, argv[2]) is None:
        return None
    eviction = client.server.eviction
    if eviction.uses_lfu:
        raise _LFU
    return eviction.idle_seconds(client.db, argv[2])


@command(b"OBJECT|REFCOUNT", 3, "readonly", _KEY, group="generic", since="2.2.3")
def object_refcount(client: Client, argv: list[bytes]) -> int | None:
    """Returns the number of references Redis would hold to the value under a key.

    OBJECT REFCOUNT key
    """
    value = _look(client, argv[2])
    if value is None:
        return None
    small = type(value) is bytes and len(value) <= 4 and value.isdigit() and is_integer(value)
    return _SHARED if small else 1


@command(b"OBJECT|HELP", 2, "loading stale", group="generic", since="6.2.0")
def object_help(client: Client, argv: list[bytes]) -> list[Simple]:
    """Lists the subcommands.

    OBJECT HELP
    """
    return help_of(b"OBJECT")


@command(b"DUMP", 2, "readonly", (1, 1, 1), group="generic", since="2.6.0")
def dump(client: Client, argv: list[bytes]) -> bytes | None:
    """Returns the value under a key in the form that RESTORE reads.

    DUMP key
    """
    value = client.db.get(argv[1])
    return None if value is None else dump_payload(value)


@command(
    b"RESTORE-ASKING",
    -4,
    "write denyoom asking",
    (1, 1, 1),
    group="server",
    since="3.0.0",
    categories="keyspace dangerous",
)
def restore_asking(client: Client, argv: list[bytes]) -> Any:
    """Does what RESTORE does; cluster nodes use it to move keys.

    RESTORE-ASKING key ttl serialized-value [REPLACE] [ABSTTL] [IDLETIME seconds] [FREQ frequency]
    """
    return restore(client, argv)


@command(b"RESTORE", -4, "write denyoom", (1, 1, 1), group="generic", since="2.6.0", categories="dangerous")
def restore(client: Client, argv: list[bytes]) -> Any:
    """Stores a value that DUMP returned.

    RESTORE key ttl serialized-value [REPLACE] [ABSTTL] [IDLETIME seconds] [FREQ frequency]
    """
    replace, absolute, idle_seconds, frequency = _restore_options(argv)
    server, db, key = client.server, client.db, argv[1]
    if not replace and db.peek(key) is not None:
        raise BUSY_KEY
    ttl_ms = integer(argv[2])
    if ttl_ms < 0:
        raise err("Invalid TTL value, must be >= 0")
    try:
        value = load_payload(argv[3], not server.skip_checksums)
    except PayloadFooterError:
        raise err("DUMP payload version or checksum are wrong") from None
    except DamagedSnapshot:
        raise err("Bad data format") from None
    at_ms: int | None = None
    if ttl_ms:
        at_ms = ttl_ms if absolute else ttl_ms + server.clock.now_ms
        if at_ms > INT64_MAX:  # Redis does not look, so that the sum is a moment long ago
            at_ms -= 1 << 64
        if at_ms <= server.clock.now_ms and db.expire is not None and not client.is_master:
            if replace and db.drop(key):
                server.dirty += 1
                server.propagation.replace(b"UNLINK" if server.settings["lazyfree-lazy-server-del"] else b"DEL", key)
            return OK
    if replace:
        db.remove(key)  # to Redis the key is a new one
    db.put_with_deadline(key, value, at_ms)
    if idle_seconds is not None:
        server.eviction.set_idle_seconds(db, key, idle_seconds)
    elif frequency is not None:
        server.eviction.set_frequency(db, key, frequency)
    server.dirty += 1
    report(client, GENERIC, b"restore", key)
    if at_ms is not None and not absolute:
        server.propagation.replace(argv[0], key, b"%d" % at_ms, *argv[3:], b"ABSTTL")
    return OK


def _restore_options(argv: list[bytes]) -> tuple[bool, bool, int | None, int | None]:
    """(REPLACE given, ABSTTL given, seconds of IDLETIME, number of FREQ)."""
    replace = absolute = False
    idle_seconds: int | None = None
    frequency: int | None = None
    i = 4
    while i < len(argv):
        option = argv[i].upper()
        if option == b"REPLACE":
            replace = True
        elif option == b"ABSTTL":
            absolute = True
        elif option == b"IDLETIME" and i + 1 < len(argv) and frequency is None:
            i += 1
            idle_seconds = integer(argv[i])
            if idle_seconds < 0:
                raise err("Invalid IDLETIME value, must be >= 0")
        elif option == b"FREQ" and i + 1 < len(argv) and idle_seconds is None:
            i += 1
            frequency = integer(argv[i])
            if not 0 <= frequency <= 255:
                raise err("Invalid FREQ value, must be >= 0 and <= 255")
        else:
            raise SYNTAX
        i += 1
    return replace, absolute, idle_seconds, frequency
