"""The commands about when keys expire.

Owns: EXPIRE and its three variants, TTL and its three, PERSIST.  Does not own deadlines (``keyspace``) nor the deletion of
keys whose time has come (``server``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from replicad.command import command
from replicad.commands.arguments import INT64_MAX, INT64_MIN, integer
from replicad.errors import c_string, clean, err
from replicad.notifications import GENERIC, report

if TYPE_CHECKING:
    from replicad.session import Client

_ONE = (1, 1, 1)


def _conditions(argv: list[bytes]) -> set[bytes]:
    words: set[bytes] = set()
    for arg in argv[3:]:
        word = arg.upper()
        if word not in (b"NX", b"XX", b"GT", b"LT"):
            raise err(clean(b"Unsupported option " + c_string(arg)))
        words.add(word)
    if b"NX" in words and len(words) > 1:
        raise err("NX and XX, GT or LT options at the same time are not compatible")
    if b"GT" in words and b"LT" in words:
        raise err("GT and LT options at the same time are not compatible")
    return words


def _expire(client: Client, argv: list[bytes], name: bytes, factor: int, relative: bool) -> int:
    """The four commands: ``factor`` is the number of milliseconds of the unit, ``relative`` counts from now."""
    words = _conditions(argv)
    at_ms = integer(argv[2])
    server, db, key = client.server, client.db, argv[1]
    now_ms = server.clock.now_ms
    at_ms *= factor
    if not INT64_MIN <= at_ms <= INT64_MAX:
        raise err(b"invalid expire time in '%b' command" % name)
    if relative:
        at_ms += now_ms
        if at_ms > INT64_MAX:
            raise err(b"invalid expire time in '%b' command" % name)
    if db.peek(key) is None:
        return 0
    if words:
        old = db.deadline(key)
        if (
            (b"NX" in words and old is not None)
            or (b"XX" in words and old is None)
            or (b"GT" in words and (old is None or at_ms <= old))
            or (b"LT" in words and old is not None and at_ms >= old)
        ):
            return 0
    server.dirty += 1
    if at_ms <= now_ms and db.expire is not None and not client.is_master:
        db.delete(key)
        server.propagation.replace(b"UNLINK" if server.settings["lazyfree-lazy-expire"] else b"DEL", key)
        return 1
    db.set_deadline(key, at_ms)
    report(client, GENERIC, b"expire", key)
    if relative or factor != 1:
        server.propagation.replace(b"PEXPIREAT", key, b"%d" % at_ms, *argv[3:])
    return 1


@command(b"EXPIRE", -3, "write fast", _ONE, group="generic", since="1.0.0")
def expire(client: Client, argv: list[bytes]) -> int:
    """Lets a key expire after some seconds.

    EXPIRE key seconds [NX | XX | GT | LT]
    """
    return _expire(client, argv, b"expire", 1000, True)


@command(b"PEXPIRE", -3, "write fast", _ONE, group="generic", since="2.6.0")
def pexpire(client: Client, argv: list[bytes]) -> int:
    """Lets a key expire after some milliseconds.

    PEXPIRE key milliseconds [NX | XX | GT | LT]
    """
    return _expire(client, argv, b"pexpire", 1, True)


@command(b"EXPIREAT", -3, "write fast", _ONE, group="generic", since="1.2.0")
def expireat(client: Client, argv: list[bytes]) -> int:
    """Lets a key expire at a Unix time in seconds.

    EXPIREAT key unix-time-seconds [NX | XX | GT | LT]
    """
    return _expire(client, argv, b"expireat", 1000, False)


@command(b"PEXPIREAT", -3, "write fast", _ONE, group="generic", since="2.6.0")
def pexpireat(client: Client, argv: list[bytes]) -> int:
    """Lets a key expire at a Unix time in milliseconds.

    PEXPIREAT key unix-time-milliseconds [NX | XX | GT | LT]
    """
    return _expire(client, argv, b"pexpireat", 1, False)


def _deadline(client: Client, key: bytes) -> int:
    """When ``key`` expires, in Unix milliseconds; -1 when never, -2 when it does not exist."""
    if client.db.look(key) is None:
        return -2
    at_ms = client.db.deadline(key)
    return -1 if at_ms is None else at_ms


@command(b"TTL", 2, "readonly fast", _ONE, group="generic", since="1.0.0")
def ttl(client: Client, argv: list[bytes]) -> int:
    """Returns how many seconds a key has left, rounded; -1 when it does not expire, -2 when it does not exist.

    TTL key
    """
    at_ms = _deadline(client, argv[1])
    return at_ms if at_ms < 0 else (max(at_ms - client.server.clock.now_ms, 0) + 500) // 1000


@command(b"PTTL", 2, "readonly fast", _ONE, group="generic", since="2.6.0")
def pttl(client: Client, argv: list[bytes]) -> int:
    """Returns how many milliseconds a key has left; -1 when it does not expire, -2 when it does not exist.

    PTTL key
    """
    at_ms = _deadline(client, argv[1])
    return at_ms if at_ms < 0 else max(at_ms - client.server.clock.now_ms, 0)


@command(b"EXPIRETIME", 2, "readonly fast", _ONE, group="generic", since="7.0.0")
def expiretime(client: Client, argv: list[bytes]) -> int:
    """Returns the Unix time in seconds at which a key expires; -1 when never, -2 when it does not exist.

    EXPIRETIME key
    """
    at_ms = _deadline(client, argv[1])
    return at_ms if at_ms < 0 else (at_ms + 500) // 1000


@command(b"PEXPIRETIME", 2, "readonly fast", _ONE, group="generic", since="7.0.0")
def pexpiretime(client: Client, argv: list[bytes]) -> int:
    """Returns the Unix time in milliseconds at which a key expires; -1 when never, -2 when it does not exist.

    PEXPIRETIME key
    """
    return _deadline(client, argv[1])


@command(b"PERSIST", 2, "write fast", _ONE, group="generic", since="2.2.0")
def persist(client: Client, argv: list[bytes]) -> int:
    """Lets a key live for ever; returns whether it had an expiry.

    PERSIST key
    """
    db, key = client.db, argv[1]
    if db.peek(key) is None or db.deadline(key) is None:
        return 0
    db.set_deadline(key, None)
    client.server.dirty += 1
    report(client, GENERIC, b"persist", key)
    return 1
