"""Sets: SADD to SSCAN.

Owns: the set commands.  A set is a Python ``set`` of bytes; its order means nothing.  Redis keeps small sets of integers
sorted, and people see that: such a set comes back sorted here too (``ordered``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from replicad.command import command
from replicad.commands.arguments import integer, is_integer, numbered_keys
from replicad.commands.sampling import indexes, joined, left, pick, pick_again, pick_many, sample_arguments, take
from replicad.commands.scanning import scan_collection, scan_cursor
from replicad.errors import MUST_BE_POSITIVE, SYNTAX, err
from replicad.notifications import SET, report

if TYPE_CHECKING:
    from replicad.session import Client

Members = set[bytes]

_NUMKEYS = err("numkeys should be greater than 0")
_TOO_MANY_KEYS = err("Number of keys can't be greater than number of args")
_LIMIT = err("LIMIT can't be negative")


def ordered(client: Client, members: Members) -> tuple[bytes, ...]:
    """The members: sorted when they are few integers (set-max-intset-entries), else in any order."""
    if len(members) > client.server.settings["set-max-intset-entries"]:
        return tuple(members)
    for member in members:
        if not is_integer(member):
            return tuple(members)
    return tuple(sorted(members, key=int))


def _reply(client: Client, members: Members) -> Any:
    """A set as a reply; ``members`` may change later."""
    return ordered(client, members) if client.resp == 2 else frozenset(members)


# -- members


@command(b"SADD", arity=-3, flags="write denyoom fast", keys=(1, 1, 1), group="set", since="1.0.0")
def sadd(client: Client, argv: list[bytes]) -> int:
    """Adds members to a set and returns how many of them are new; makes the set when there is none.

    SADD key member [member ...]
    """
    db = client.db
    key = argv[1]
    value = db.writable(key, set)
    if value is None:
        value = set(argv[2:])
        added = len(value)
        db.put(key, value)
    else:
        if indexes:
            joined(value, {member for member in argv[2:] if member not in value})
        before = len(value)
        if len(argv) == 3:
            value.add(argv[2])
        else:
            value.update(argv[2:])
        added = len(value) - before
        if not added:
            return 0
        db.touched(key)
    server = client.server
    server.dirty += added
    if server.notifying:
        server.notify(SET, b"sadd", key, db.index)
    return added


@command(b"SREM", arity=-3, flags="write fast", keys=(1, 1, 1), group="set", since="1.0.0")
def srem(client: Client, argv: list[bytes]) -> int:
    """Removes members and returns how many of them were there; a set without members is gone.

    SREM key member [member ...]
    """
    db = client.db
    value = db.writable(argv[1], set)
    if value is None:
        return 0
    removed = value.intersection(argv[2:])
    if removed:
        if indexes:
            left(value, removed)
        value -= removed
        server = client.server
        server.dirty += len(removed)
        if server.notifying:
            server.notify(SET, b"srem", argv[1], db.index)
        db.touched_or_empty(argv[1], value)
    return len(removed)


@command(b"SMOVE", arity=4, flags="write fast", keys=(1, 2, 1), group="set", since="1.0.0")
def smove(client: Client, argv: list[bytes]) -> int:
    """Moves a member from one set to another; returns 0 when it was not in the first.

    SMOVE source destination member
    """
    db = client.db
    source, target, member = argv[1], argv[2], argv[3]
    value = db.writable(source, set)
    if value is None:
        return 0
    other = db.writable(target, set)
    if value is other:
        return 1 if member in value else 0
    if member not in value:
        return 0
    value.discard(member)
    if indexes:
        left(value, (member,))
    report(client, SET, b"srem", source)
    db.touched_or_empty(source, value)
    client.server.dirty += 1
    if other is None:
        db.put(target, {member})
    elif member not in other:
        other.add(member)
        if indexes:
            joined(other, (member,))
        db.touched(target)
    else:
        return 1
    client.server.dirty += 1
    report(client, SET, b"sadd", target)
    return 1


@command(b"SISMEMBER", arity=3, flags="readonly fast", keys=(1, 1, 1), group="set", since="1.0.0")
def sismember(client: Client, argv: list[bytes]) -> int:
    """Tells whether a member is in a set: 1 or 0.

    SISMEMBER key member
    """
    value = client.db.read(argv[1], set)
    return 1 if value is not None and argv[2] in value else 0


@command(b"SMISMEMBER", arity=-3, flags="readonly fast", keys=(1, 1, 1), group="set", since="6.2.0")
def smismember(client: Client, argv: list[bytes]) -> list[int]:
    """Tells for each of several members whether it is in a set: 1 or 0.

    SMISMEMBER key member [member ...]
    """
    value = client.db.read(argv[1], set) or ()
    return [1 if member in value else 0 for member in argv[2:]]


@command(b"SCARD", arity=2, flags="readonly fast", keys=(1, 1, 1), group="set", since="1.0.0")
def scard(client: Client, argv: list[bytes]) -> int:
    """Returns the number of members.

    SCARD key
    """
    return len(client.db.read(argv[1], set) or ())


@command(b"SMEMBERS", arity=2, flags="readonly", keys=(1, 1, 1), group="set", since="1.0.0")
def smembers(client: Client, argv: list[bytes]) -> Any:
    """Returns all members.

    SMEMBERS key
    """
    return _reply(client, client.db.read(argv[1], set) or set())


@command(b"SSCAN", arity=-3, flags="readonly", keys=(1, 1, 1), group="set", since="2.8.0")
def sscan(client: Client, argv: list[bytes]) -> Any:
    """Walks over the members of a set in steps.

    SSCAN key cursor [MATCH pattern] [COUNT count]
    """
    cursor = scan_cursor(argv[2])
    value = client.db.read(argv[1], set)
    if value is None:
        return [b"0", ()]
    following, members = scan_collection(client, value, cursor, argv)
    return [following, ordered(client, set(members)) if following == b"0" else tuple(members)]


# -- chance


@command(b"SPOP", arity=-2, flags="write fast", keys=(1, 1, 1), group="set", since="1.0.0")
def spop(client: Client, argv: list[bytes]) -> Any:
    """Takes one member, or up to count members, out of a set at random.

    SPOP key [count]
    """
    db = client.db
    key = argv[1]
    server = client.server
    if len(argv) == 2:
        value = db.writable(key, set)
        if value is None:
            return None
        if len(value) == 1:
            (member,) = value
            report(client, SET, b"spop", key)
            db.delete(key)
        else:
            (member,) = take(value, 1, server.clock.now_ms, db.trash)
            report(client, SET, b"spop", key)
            db.touched(key)
        server.dirty += 1
        server.propagation.replace(b"SREM", key, member)
        return member
    if len(argv) > 3:
        raise SYNTAX
    count = integer(argv[2], MUST_BE_POSITIVE)
    if count < 0:
        raise MUST_BE_POSITIVE
    value = db.writable(key, set)
    if value is None or not count:
        return _reply(client, set())
    if count >= len(value):
        reply = _reply(client, value)
        db.stats.hits += 1  # Redis reads the whole set with SUNION
        server.dirty += len(value)
        report(client, SET, b"spop", key)
        db.delete(key)
        server.propagation.replace(b"DEL", key)
        return reply
    taken = take(value, count, server.clock.now_ms, db.trash)
    report(client, SET, b"spop", key)
    db.touched(key)
    server.dirty += count
    propagation = server.propagation
    if propagation.active:
        for member in taken:
            propagation.replace(b"SREM", key, member)
    return _reply(client, set(taken))


@command(b"SRANDMEMBER", arity=-2, flags="readonly", keys=(1, 1, 1), group="set", since="1.0.0")
def srandmember(client: Client, argv: list[bytes]) -> Any:
    """Returns members chosen at random: one, up to count different ones, or exactly -count that may repeat.

    SRANDMEMBER key [count]
    """
    db = client.db
    now_ms = client.server.clock.now_ms
    if len(argv) == 2:
        value = db.read(argv[1], set)
        return None if value is None else pick(value, now_ms, db.trash)
    count, _ = sample_arguments(argv)
    value = db.read(argv[1], set)
    if value is None or not count:
        return ()
    if count < 0:
        return tuple(pick_again(value, -count, now_ms, db.trash))
    if count >= len(value):
        return ordered(client, value)
    return tuple(pick_many(value, count, now_ms, db.trash))


# -- algebra


def _read_all(client: Client, keys: list[bytes]) -> list[Members | None]:
    """The sets at ``keys``, None for missing ones.  Every key is looked at, so WRONG_TYPE wins over an empty result."""
    read = client.db.read
    return [read(key, set) for key in keys]


def _intersection(client: Client, keys: list[bytes]) -> Members:
    sets = _read_all(client, keys)
    found = [value for value in sets if value is not None]
    if len(found) < len(sets):
        return set()
    found.sort(key=len)
    return found[0].intersection(*found[1:])


def _union(client: Client, keys: list[bytes]) -> Members:
    return set().union(*(value for value in _read_all(client, keys) if value is not None))


def _difference(client: Client, keys: list[bytes]) -> Members:
    first, *others = _read_all(client, keys)
    if first is None:
        return set()
    return first.difference(*(value for value in others if value is not None))


def _store(client: Client, key: bytes, members: Members, event: bytes) -> int:
    """Put a result at ``key``, or delete that when the result is empty; returns the number of members."""
    if members:
        client.db.put(key, members)
        client.server.dirty += 1
        report(client, SET, event, key)
    elif client.db.drop(key):
        client.server.dirty += 1
    return len(members)


@command(b"SINTER", arity=-2, flags="readonly", keys=(1, -1, 1), group="set", since="1.0.0")
def sinter(client: Client, argv: list[bytes]) -> Any:
    """Returns the members that all of the sets have.

    SINTER key [key ...]
    """
    return _reply(client, _intersection(client, argv[1:]))


@command(b"SUNION", arity=-2, flags="readonly", keys=(1, -1, 1), group="set", since="1.0.0")
def sunion(client: Client, argv: list[bytes]) -> Any:
    """Returns the members that at least one of the sets has.

    SUNION key [key ...]
    """
    return _reply(client, _union(client, argv[1:]))


@command(b"SDIFF", arity=-2, flags="readonly", keys=(1, -1, 1), group="set", since="1.0.0")
def sdiff(client: Client, argv: list[bytes]) -> Any:
    """Returns the members of the first set that none of the others has.

    SDIFF key [key ...]
    """
    return _reply(client, _difference(client, argv[1:]))


@command(b"SINTERSTORE", arity=-3, flags="write denyoom", keys=(1, -1, 1), group="set", since="1.0.0")
def sinterstore(client: Client, argv: list[bytes]) -> int:
    """Stores the members that all of the sets have, and returns their number.

    SINTERSTORE destination key [key ...]
    """
    return _store(client, argv[1], _intersection(client, argv[2:]), b"sinterstore")


@command(b"SUNIONSTORE", arity=-3, flags="write denyoom", keys=(1, -1, 1), group="set", since="1.0.0")
def sunionstore(client: Client, argv: list[bytes]) -> int:
    """Stores the members that at least one of the sets has, and returns their number.

    SUNIONSTORE destination key [key ...]
    """
    return _store(client, argv[1], _union(client, argv[2:]), b"sunionstore")


@command(b"SDIFFSTORE", arity=-3, flags="write denyoom", keys=(1, -1, 1), group="set", since="1.0.0")
def sdiffstore(client: Client, argv: list[bytes]) -> int:
    """Stores the members of the first set that none of the others has, and returns their number.

    SDIFFSTORE destination key [key ...]
    """
    return _store(client, argv[1], _difference(client, argv[2:]), b"sdiffstore")


@command(
    b"SINTERCARD",
    arity=-3,
    flags="readonly movablekeys",
    find_keys=lambda argv: numbered_keys(argv, 1),
    group="set",
    since="7.0.0",
)
def sintercard(client: Client, argv: list[bytes]) -> int:
    """Returns how many members all of the sets have in common, counting up to a limit.

    SINTERCARD numkeys key [key ...] [LIMIT limit]
    """
    numkeys = integer(argv[1], _NUMKEYS)
    if numkeys <= 0:
        raise _NUMKEYS
    if numkeys > len(argv) - 2:
        raise _TOO_MANY_KEYS
    limit = 0
    for position in range(2 + numkeys, len(argv), 2):
        if argv[position].upper() != b"LIMIT" or position + 1 >= len(argv):
            raise SYNTAX
        limit = integer(argv[position + 1], _LIMIT)
        if limit < 0:
            raise _LIMIT
    keys = argv[2 : 2 + numkeys]
    if not limit:
        return len(_intersection(client, keys))
    sets = _read_all(client, keys)
    found = sorted((value for value in sets if value is not None), key=len)
    if len(found) < len(sets):
        return 0
    smallest, others = found[0], found[1:]
    count = 0
    for member in smallest:
        for other in others:
            if member not in other:
                break
        else:
            count += 1
            if count == limit:
                break
    return count
