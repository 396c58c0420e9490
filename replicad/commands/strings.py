"""The string commands: GET, SET and their relatives, counters, ranges.

Owns: the commands on values of type ``bytes``.  Does not own bitmaps and HyperLogLogs, which live in strings too.  SET and
GET are the hottest commands of all: their plain forms return before any option is looked at.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from replicad.command import command
from replicad.commands.arguments import INT64_MAX, INT64_MIN, expiry_ms, integer, long_double_sum
from replicad.commands.bitmaps import splice
from replicad.errors import OFFSET_OUT_OF_RANGE, OVERFLOW, STRING_TOO_LONG, SYNTAX, WRONG_TYPE, err, wrong_arity
from replicad.notifications import GENERIC, STRING, report
from replicad.resp import OK

if TYPE_CHECKING:
    from replicad.session import Client

_ONE = (1, 1, 1)
_TIMES = frozenset([b"EX", b"PX", b"EXAT", b"PXAT"])


@command(b"GET", 2, "readonly fast", _ONE, group="string", since="1.0.0")
def get(client: Client, argv: list[bytes]) -> bytes | None:
    """Returns the value of a string key.

    GET key
    """
    value = client.db.get(argv[1])
    if value is None or type(value) is bytes:
        return value
    raise WRONG_TYPE


@command(b"SET", -3, "write denyoom", _ONE, group="string", since="1.0.0")
def set_(client: Client, argv: list[bytes]) -> Any:
    """Stores a string under a key, whatever the key held, and forgets its expiry unless told otherwise.

    SET key value [NX | XX] [GET] [EX seconds | PX milliseconds | EXAT unix-time-seconds | PXAT unix-time-milliseconds |
    KEEPTTL]
    """
    if len(argv) == 3:
        if client.db.put(argv[1], argv[2]):
            report(client, STRING, b"set", argv[1])
        client.server.dirty += 1
        return OK
    return _set_with_options(client, argv)


def _set_with_options(client: Client, argv: list[bytes]) -> Any:
    key, value = argv[1], argv[2]
    condition = verb = b""
    wants_old = keep = False
    at_ms: int | None = None
    argument = b""
    i = 3
    while i < len(argv):
        option = argv[i].upper()
        if option in (b"NX", b"XX") and condition in (b"", option):
            condition = option
        elif option == b"GET":
            wants_old = True
        elif option == b"KEEPTTL" and not verb:
            keep = True
        elif option in _TIMES and not keep and verb in (b"", option) and i + 1 < len(argv):
            verb = option
            i += 1
            argument = argv[i]
        else:
            raise SYNTAX
        i += 1
    server, db = client.server, client.db
    if verb:
        at_ms = expiry_ms(verb, argument, server.clock.now_ms, b"set")
    old = db.read(key, bytes) if wants_old else db.peek(key) if condition else None
    if condition and (old is None) is (condition == b"XX"):
        return old if wants_old else None
    if keep and db.peek(key) is not None:
        db.put_keeping(key, value)
    else:
        db.put(key, value)
    server.dirty += 1
    if at_ms is not None:
        db.set_deadline(key, at_ms)
        server.propagation.replace(b"SET", key, value, b"PXAT", b"%d" % at_ms)
    elif wants_old:
        options = [option for option in argv[3:] if option.upper() != b"GET"]
        server.propagation.replace(argv[0], key, value, *options)
    if server.notifying:
        server.notify(STRING, b"set", key, db.index)
        if at_ms is not None:
            server.notify(GENERIC, b"expire", key, db.index)
    return old if wants_old else OK


@command(b"SETNX", 3, "write denyoom fast", _ONE, group="string", since="1.0.0")
def setnx(client: Client, argv: list[bytes]) -> int:
    """Stores a string under a key that does not exist.

    SETNX key value
    """
    if client.db.peek(argv[1]) is not None:
        return 0
    client.db.put(argv[1], argv[2])
    client.server.dirty += 1
    report(client, STRING, b"set", argv[1])
    return 1


def _set_expiring(client: Client, argv: list[bytes], verb: bytes, name: bytes) -> Any:
    server = client.server
    at_ms = expiry_ms(verb, argv[2], server.clock.now_ms, name)
    client.db.put_with_deadline(argv[1], argv[3], at_ms)
    server.dirty += 1
    server.propagation.replace(b"SET", argv[1], argv[3], b"PXAT", b"%d" % at_ms)
    report(client, STRING, b"set", argv[1])
    report(client, GENERIC, b"expire", argv[1])
    return OK


@command(b"SETEX", 4, "write denyoom", _ONE, group="string", since="2.0.0")
def setex(client: Client, argv: list[bytes]) -> Any:
    """Stores a string that expires after some seconds.

    SETEX key seconds value
    """
    return _set_expiring(client, argv, b"EX", b"setex")


@command(b"PSETEX", 4, "write denyoom", _ONE, group="string", since="2.6.0")
def psetex(client: Client, argv: list[bytes]) -> Any:
    """Stores a string that expires after some milliseconds.

    PSETEX key milliseconds value
    """
    return _set_expiring(client, argv, b"PX", b"psetex")


@command(b"GETSET", 3, "write denyoom fast", _ONE, group="string", since="1.0.0")
def getset(client: Client, argv: list[bytes]) -> bytes | None:
    """Stores a string and returns the one that was there before.

    GETSET key value
    """
    server, db = client.server, client.db
    old = db.read(argv[1], bytes)
    db.put(argv[1], argv[2])
    server.dirty += 1
    server.propagation.replace(b"SET", argv[1], argv[2])
    report(client, STRING, b"set", argv[1])
    return old


@command(b"GETDEL", 2, "write fast", _ONE, group="string", since="6.2.0")
def getdel(client: Client, argv: list[bytes]) -> bytes | None:
    """Returns a string and deletes its key.

    GETDEL key
    """
    server, db = client.server, client.db
    value = db.read(argv[1], bytes)
    if value is not None and db.delete(argv[1]):
        server.dirty += 1
        server.propagation.replace(b"UNLINK" if server.settings["lazyfree-lazy-user-del"] else b"DEL", argv[1])
    return value


@command(b"GETEX", -2, "write fast", _ONE, group="string", since="6.2.0")
def getex(client: Client, argv: list[bytes]) -> bytes | None:
    """Returns a string and changes when its key expires.

    GETEX key [EX seconds | PX milliseconds | EXAT unix-time-seconds | PXAT unix-time-milliseconds | PERSIST]
    """
    key = argv[1]
    verb = argument = b""
    i = 2
    while i < len(argv):
        option = argv[i].upper()
        if option == b"PERSIST" and verb in (b"", option):
            verb = option
        elif option in _TIMES and verb in (b"", option) and i + 1 < len(argv):
            verb = option
            i += 1
            argument = argv[i]
        else:
            raise SYNTAX
        i += 1
    server, db = client.server, client.db
    value = db.read(key, bytes)
    if value is None or not verb:
        return value
    if verb == b"PERSIST":
        if db.deadline(key) is not None:
            db.set_deadline(key, None)
            server.dirty += 1
            server.propagation.replace(b"PERSIST", key)
            report(client, GENERIC, b"persist", key)
        return value
    at_ms = expiry_ms(verb, argument, server.clock.now_ms, b"getex")
    server.dirty += 1
    if at_ms <= server.clock.now_ms and db.expire is not None and not client.is_master:
        db.delete(key)
        server.propagation.replace(b"UNLINK" if server.settings["lazyfree-lazy-expire"] else b"DEL", key)
    else:
        db.set_deadline(key, at_ms)
        server.propagation.replace(b"PEXPIREAT", key, b"%d" % at_ms)
        report(client, GENERIC, b"expire", key)
    return value


@command(b"MGET", -2, "readonly fast", (1, -1, 1), group="string", since="1.0.0")
def mget(client: Client, argv: list[bytes]) -> list[bytes | None]:
    """Returns the values of several keys; null for a key that is missing or holds no string.

    MGET key [key ...]
    """
    read = client.db.get
    return [value if type(value) is bytes else None for value in map(read, argv[1:])]


@command(b"MSET", -3, "write denyoom", (1, -1, 2), group="string", since="1.0.1")
def mset(client: Client, argv: list[bytes]) -> Any:
    """Stores several strings at once.

    MSET key value [key value ...]
    """
    if not len(argv) & 1:
        raise wrong_arity(b"mset")
    server = client.server
    if server.notifying:
        for i in range(1, len(argv), 2):
            client.db.put(argv[i], argv[i + 1])
            server.notify(STRING, b"set", argv[i], client.db.index)
    else:
        client.db.put_many(argv[1::2], argv[2::2])
    server.dirty += len(argv) >> 1
    return OK


@command(b"MSETNX", -3, "write denyoom", (1, -1, 2), group="string", since="1.0.1")
def msetnx(client: Client, argv: list[bytes]) -> int:
    """Stores several strings at once, unless one of the keys exists.

    MSETNX key value [key value ...]
    """
    if not len(argv) & 1:
        raise wrong_arity(b"msetnx")
    db = client.db
    for i in range(1, len(argv), 2):
        if db.peek(argv[i]) is not None:
            return 0
    for i in range(1, len(argv), 2):
        db.put(argv[i], argv[i + 1])
        report(client, STRING, b"set", argv[i])
    client.server.dirty += len(argv) >> 1
    return 1


def _count(client: Client, key: bytes, step: int) -> int:
    server, db = client.server, client.db
    total = db.add(key, step)
    if total is not None:  # nobody observes, so nobody is to be notified
        server.dirty += 1
        return total
    old = db.writable(key, bytes)
    if old is None:
        total = step
        db.put(key, b"%d" % step)
    else:
        total = integer(old) + step
        if not INT64_MIN <= total <= INT64_MAX:
            raise OVERFLOW
        db.put_keeping(key, b"%d" % total)
    server.dirty += 1
    if server.notifying:
        server.notify(STRING, b"incrby", key, db.index)
    return total


@command(b"INCR", 2, "write denyoom fast", _ONE, group="string", since="1.0.0")
def incr(client: Client, argv: list[bytes]) -> int:
    """Adds one to the integer in a string; a missing key counts as 0.

    INCR key
    """
    return _count(client, argv[1], 1)


@command(b"DECR", 2, "write denyoom fast", _ONE, group="string", since="1.0.0")
def decr(client: Client, argv: list[bytes]) -> int:
    """Takes one from the integer in a string; a missing key counts as 0.

    DECR key
    """
    return _count(client, argv[1], -1)


@command(b"INCRBY", 3, "write denyoom fast", _ONE, group="string", since="1.0.0")
def incrby(client: Client, argv: list[bytes]) -> int:
    """Adds to the integer in a string; a missing key counts as 0.

    INCRBY key increment
    """
    return _count(client, argv[1], integer(argv[2]))


@command(b"DECRBY", 3, "write denyoom fast", _ONE, group="string", since="1.0.0")
def decrby(client: Client, argv: list[bytes]) -> int:
    """Takes from the integer in a string; a missing key counts as 0.

    DECRBY key decrement
    """
    step = integer(argv[2])
    if step == INT64_MIN:
        raise err("decrement would overflow")
    return _count(client, argv[1], -step)


@command(b"INCRBYFLOAT", 3, "write denyoom fast", _ONE, group="string", since="2.6.0")
def incrbyfloat(client: Client, argv: list[bytes]) -> bytes:
    """Adds to the floating-point number in a string; a missing key counts as 0.

    INCRBYFLOAT key increment
    """
    server, db, key = client.server, client.db, argv[1]
    old = db.writable(key, bytes)
    total = long_double_sum(b"0" if old is None else old, argv[2])
    if old is None:
        db.put(key, total)
    else:
        db.put_keeping(key, total)
    server.dirty += 1
    server.propagation.replace(b"SET", key, total, b"KEEPTTL")
    report(client, STRING, b"incrbyfloat", key)
    return total


@command(b"APPEND", 3, "write denyoom fast", _ONE, group="string", since="2.0.0")
def append(client: Client, argv: list[bytes]) -> int:
    """Adds bytes to the end of a string; a missing key counts as empty.  Returns the new length.

    APPEND key value
    """
    server, db, key = client.server, client.db, argv[1]
    value = db.writable(key, bytes)
    if value is None:
        value = argv[2]
        db.put(key, value)
    else:
        if len(value) + len(argv[2]) > server.settings["proto-max-bulk-len"]:
            raise STRING_TOO_LONG
        value += argv[2]
        db.put_keeping(key, value)
    server.dirty += 1
    report(client, STRING, b"append", key)
    return len(value)


@command(b"STRLEN", 2, "readonly fast", _ONE, group="string", since="2.2.0")
def strlen(client: Client, argv: list[bytes]) -> int:
    """Returns the length of a string in bytes; 0 for a missing key.

    STRLEN key
    """
    value = client.db.read(argv[1], bytes)
    return 0 if value is None else len(value)


def _range(client: Client, argv: list[bytes]) -> bytes:
    first, last = integer(argv[2]), integer(argv[3])
    value = client.db.read(argv[1], bytes)
    if value is None or (first < 0 and last < 0 and first > last):
        return b""
    size = len(value)
    if first < 0:
        first = max(first + size, 0)
    if last < 0:
        last = max(last + size, 0)
    return value[first : last + 1]


@command(b"GETRANGE", 4, "readonly", _ONE, group="string", since="2.4.0")
def getrange(client: Client, argv: list[bytes]) -> bytes:
    """Returns the bytes of a string between two positions, both included; negative ones count from the end.

    GETRANGE key start end
    """
    return _range(client, argv)


@command(b"SUBSTR", 4, "readonly", _ONE, group="string", since="1.0.0")
def substr(client: Client, argv: list[bytes]) -> bytes:
    """Returns the bytes of a string between two positions, as GETRANGE does (its old name).

    SUBSTR key start end
    """
    return _range(client, argv)


@command(b"SETRANGE", 4, "write denyoom", _ONE, group="string", since="2.2.0")
def setrange(client: Client, argv: list[bytes]) -> int:
    """Overwrites a part of a string, which grows with zero bytes where needed.  Returns the new length.

    SETRANGE key offset value
    """
    server, db, key, patch = client.server, client.db, argv[1], argv[3]
    offset = integer(argv[2])
    if offset < 0:
        raise OFFSET_OUT_OF_RANGE
    old = db.writable(key, bytes)
    if not patch:
        return 0 if old is None else len(old)
    if offset + len(patch) > server.settings["proto-max-bulk-len"]:
        raise STRING_TOO_LONG
    if old is None:
        value = bytes(offset) + patch
        db.put(key, value)
    else:
        value = splice(old, offset, patch)
        db.put_keeping(key, value)
    server.dirty += 1
    report(client, STRING, b"setrange", key)
    return len(value)
