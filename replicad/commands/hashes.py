"""Hashes: HSET to HSCAN.

Owns: the hash commands.  A hash is a ``dict`` of bytes, so fields come back in the order in which they were set, as from
Redis's small hashes.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any

from replicad.command import command
from replicad.commands.arguments import INT64_MAX, INT64_MIN, integer, long_double_sum
from replicad.commands.hash_expiry import propagate_deadlines
from replicad.commands.sampling import indexes, joined, left, pick, pick_again, pick_many, sample_arguments
from replicad.commands.scanning import scan_collection, scan_cursor
from replicad.errors import NAN_RESULT, NOT_FLOAT, OVERFLOW, ReplyError, err, wrong_arity
from replicad.expiring_hash import ExpiringHash
from replicad.notifications import HASH
from replicad.resp import OK

if TYPE_CHECKING:
    from replicad.session import Client

_NOT_INTEGER = err("hash value is not an integer")
_NOT_FLOAT = err("hash value is not a float")
_INFINITE = err("value is NaN or Infinity")


# -- writing


@command(b"HSET", arity=-4, flags="write denyoom fast", keys=(1, 1, 1), group="hash", since="2.0.0")
def hset(client: Client, argv: list[bytes]) -> int:
    """Sets fields of a hash and returns how many of them are new; makes the hash when there is none.

    HSET key field value [field value ...]
    """
    db = client.db
    key = argv[1]
    if len(argv) == 4:
        value = db.writable(key, dict)
        field = argv[2]
        if value is None:
            db.put(key, {field: argv[3]})
            new = 1
        else:
            new = 0 if field in value else 1
            value[field] = argv[3]
            if indexes and new:
                joined(value, (field,))
            db.touched(key)
        server = client.server
        server.dirty += 1
        if server.notifying:
            server.notify(HASH, b"hset", key, db.index)
        return new
    if len(argv) % 2:
        raise wrong_arity(b"hset")
    return _set_many(client, argv)


@command(b"HMSET", arity=-4, flags="write denyoom fast", keys=(1, 1, 1), group="hash", since="2.0.0")
def hmset(client: Client, argv: list[bytes]) -> bytes:
    """Sets fields of a hash, as HSET does, and answers OK.

    HMSET key field value [field value ...]
    """
    if len(argv) % 2:
        raise wrong_arity(b"hmset")
    _set_many(client, argv)
    return OK


def _set_many(client: Client, argv: list[bytes]) -> int:
    """Set the pairs from ``argv[2]`` on; returns the number of new fields."""
    db = client.db
    key = argv[1]
    fields = argv[2::2]
    value = db.writable(key, dict)
    if value is None:
        value = dict(zip(fields, argv[3::2], strict=True))
        db.put(key, value)
        new = len(value)
    else:
        if indexes:
            joined(value, [field for field in dict.fromkeys(fields) if field not in value])
        before = len(value)
        value.update(zip(fields, argv[3::2], strict=True))
        new = len(value) - before
        db.touched(key)
    server = client.server
    server.dirty += len(fields)
    if server.notifying:
        server.notify(HASH, b"hset", key, db.index)
    return new


@command(b"HSETNX", arity=4, flags="write denyoom fast", keys=(1, 1, 1), group="hash", since="2.0.0")
def hsetnx(client: Client, argv: list[bytes]) -> int:
    """Sets a field that is not there yet; returns 1 when it did, else 0.

    HSETNX key field value
    """
    db = client.db
    value = db.writable(argv[1], dict)
    if value is not None and argv[2] in value:
        return 0
    _store(client, argv[1], value, argv[2], argv[3], b"hset")
    return 1


def _store(
    client: Client, key: bytes, value: dict[bytes, bytes] | None, field: bytes, content: bytes, event: bytes
) -> None:
    """Set one field of the hash ``value``, or of a new one when that is None, and report ``event``.

    The field keeps its deadline: what calls this changes contents, or adds a field that was not there.
    """
    server, db = client.server, client.db
    if value is None:
        db.put(key, {field: content})
    else:
        if indexes and field not in value:
            joined(value, (field,))
        if type(value) is ExpiringHash:
            value.keep(field, content)
        else:
            value[field] = content
        db.touched(key)
    server.dirty += 1
    if server.notifying:
        server.notify(HASH, event, key, db.index)


@command(b"HDEL", arity=-3, flags="write fast", keys=(1, 1, 1), group="hash", since="2.0.0")
def hdel(client: Client, argv: list[bytes]) -> int:
    """Removes fields and returns how many of them were there; a hash without fields is gone.

    HDEL key field [field ...]
    """
    db = client.db
    value = db.writable(argv[1], dict)
    if value is None:
        return 0
    removed = [field for field in argv[2:] if value.pop(field, None) is not None]
    if removed:
        if indexes:
            left(value, removed)
        server = client.server
        server.dirty += len(removed)
        if server.notifying:
            server.notify(HASH, b"hdel", argv[1], db.index)
        db.touched_or_empty(argv[1], value)
    return len(removed)


@command(b"HINCRBY", arity=4, flags="write denyoom fast", keys=(1, 1, 1), group="hash", since="2.0.0")
def hincrby(client: Client, argv: list[bytes]) -> int:
    """Adds an integer to a field, which counts as 0 when missing; returns the sum.

    HINCRBY key field increment
    """
    increment = integer(argv[3])
    value = client.db.writable(argv[1], dict)
    old = value.get(argv[2]) if value is not None else None
    total = increment if old is None else integer(old, _NOT_INTEGER) + increment
    if not INT64_MIN <= total <= INT64_MAX:
        raise OVERFLOW
    _store(client, argv[1], value, argv[2], b"%d" % total, b"hincrby")
    return total


@command(b"HINCRBYFLOAT", arity=4, flags="write denyoom fast", keys=(1, 1, 1), group="hash", since="2.6.0")
def hincrbyfloat(client: Client, argv: list[bytes]) -> bytes:
    """Adds a number to a field, which counts as 0 when missing; returns the sum.

    HINCRBYFLOAT key field increment
    """
    try:
        total = long_double_sum(b"0", argv[3])
    except ReplyError as error:
        error.release()
        raise _INFINITE if error is NAN_RESULT else error from None
    value = client.db.writable(argv[1], dict)
    old = value.get(argv[2]) if value is not None else None
    if old is not None:
        try:
            total = long_double_sum(old, argv[3])
        except ReplyError as error:
            error.release()
            raise _NOT_FLOAT if error is NOT_FLOAT else error from None
    _store(client, argv[1], value, argv[2], total, b"hincrbyfloat")
    client.server.propagation.replace(b"HSET", argv[1], argv[2], total)
    if type(value) is ExpiringHash:
        propagate_deadlines(client, argv[1], value, argv[2:3])
    return total


# -- reading


@command(b"HGET", arity=3, flags="readonly fast", keys=(1, 1, 1), group="hash", since="2.0.0")
def hget(client: Client, argv: list[bytes]) -> bytes | None:
    """Returns the value of a field.

    HGET key field
    """
    value = client.db.read(argv[1], dict)
    return None if value is None else value.get(argv[2])


@command(b"HMGET", arity=-3, flags="readonly fast", keys=(1, 1, 1), group="hash", since="2.0.0")
def hmget(client: Client, argv: list[bytes]) -> list[bytes | None]:
    """Returns the values of fields, null for those that are not there.

    HMGET key field [field ...]
    """
    value = client.db.read(argv[1], dict)
    if value is None:
        return [None] * (len(argv) - 2)
    return list(map(value.get, argv[2:]))


@command(b"HGETALL", arity=2, flags="readonly", keys=(1, 1, 1), group="hash", since="2.0.0")
def hgetall(client: Client, argv: list[bytes]) -> Any:
    """Returns all fields and values.

    HGETALL key
    """
    value = client.db.read(argv[1], dict)
    if client.resp == 3:
        return dict(value or ())
    return tuple(chain.from_iterable(value.items())) if value is not None else ()


@command(b"HKEYS", arity=2, flags="readonly", keys=(1, 1, 1), group="hash", since="2.0.0")
def hkeys(client: Client, argv: list[bytes]) -> tuple[bytes, ...]:
    """Returns all fields.

    HKEYS key
    """
    return tuple(client.db.read(argv[1], dict) or ())


@command(b"HVALS", arity=2, flags="readonly", keys=(1, 1, 1), group="hash", since="2.0.0")
def hvals(client: Client, argv: list[bytes]) -> tuple[bytes, ...]:
    """Returns all values.

    HVALS key
    """
    value = client.db.read(argv[1], dict)
    return tuple(value.values()) if value is not None else ()


@command(b"HLEN", arity=2, flags="readonly fast", keys=(1, 1, 1), group="hash", since="2.0.0")
def hlen(client: Client, argv: list[bytes]) -> int:
    """Returns the number of fields.

    HLEN key
    """
    return len(client.db.read(argv[1], dict) or ())


@command(b"HEXISTS", arity=3, flags="readonly fast", keys=(1, 1, 1), group="hash", since="2.0.0")
def hexists(client: Client, argv: list[bytes]) -> int:
    """Tells whether a field is there: 1 or 0.

    HEXISTS key field
    """
    value = client.db.read(argv[1], dict)
    return 1 if value is not None and argv[2] in value else 0


@command(b"HSTRLEN", arity=3, flags="readonly fast", keys=(1, 1, 1), group="hash", since="3.2.0")
def hstrlen(client: Client, argv: list[bytes]) -> int:
    """Returns the length of a field's value in bytes, 0 when it is not there.

    HSTRLEN key field
    """
    value = client.db.read(argv[1], dict)
    return len(value.get(argv[2], b"")) if value is not None else 0


@command(b"HRANDFIELD", arity=-2, flags="readonly", keys=(1, 1, 1), group="hash", since="6.2.0")
def hrandfield(client: Client, argv: list[bytes]) -> Any:
    """Returns fields chosen at random: one, up to count different ones, or exactly -count that may repeat.

    HRANDFIELD key [count [WITHVALUES]]
    """
    db = client.db
    now_ms = client.server.clock.now_ms
    if len(argv) == 2:
        value = db.read(argv[1], dict)
        return None if value is None else pick(value, now_ms, db.trash)
    count, with_values = sample_arguments(argv, b"WITHVALUES")
    value = db.read(argv[1], dict)
    if value is None or not count:
        return ()
    if count < 0:
        fields = pick_again(value, -count, now_ms, db.trash)
    elif count >= len(value):
        fields = list(value)
    else:
        fields = pick_many(value, count, now_ms, db.trash)
    if not with_values:
        return tuple(fields)
    if client.resp == 3:
        return [(field, value[field]) for field in fields]
    return tuple([item for field in fields for item in (field, value[field])])


@command(b"HSCAN", arity=-3, flags="readonly", keys=(1, 1, 1), group="hash", since="2.8.0")
def hscan(client: Client, argv: list[bytes]) -> Any:
    """Walks over the fields and values of a hash in steps.

    HSCAN key cursor [MATCH pattern] [COUNT count] [NOVALUES]
    """
    cursor = scan_cursor(argv[2])
    value = client.db.read(argv[1], dict)
    if value is None:
        return [b"0", ()]
    if len(argv) % 2 == 0 and (at := _no_values(argv)):
        following, fields = scan_collection(client, value, cursor, argv[:at] + argv[at + 1 :])
        return [following, tuple(fields)]
    following, fields = scan_collection(client, value, cursor, argv)
    return [following, tuple([item for field in fields for item in (field, value[field])])]


def _no_values(argv: list[bytes]) -> int:
    """Where NOVALUES (Redis 7.4) stands among the options, 0 when it does not."""
    i = 3
    while i < len(argv):
        if argv[i].upper() == b"NOVALUES":
            return i
        i += 2
    return 0
