"""Hash fields that expire: HEXPIRE, HTTL, HPERSIST and their kin (Redis 7.4), HGETEX, HSETEX, HGETDEL (Redis 8).

Owns: these commands.  Does not own where the deadlines are kept (``expiring_hash``) nor the deletion of fields whose time
has come (``Database.live_fields`` when a command meets them, the clock otherwise).

What goes to the replicas is spelled with the oldest commands that carry it, with absolute times, and names only the fields
that changed: HDEL for fields whose deadline is in the past already, HPEXPIREAT and HPERSIST, and HSET with HPEXPIREAT behind
it in place of HSETEX.  So a replica of Redis 7.4 follows a master that is asked in the words of Redis 8.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from replicad.command import command
from replicad.commands.arguments import INT64_MAX, integer
from replicad.commands.sampling import indexes, joined, left
from replicad.errors import NOT_INTEGER, ReplyError, c_string, clean, err, wrong_arity
from replicad.expiring_hash import ExpiringHash
from replicad.notifications import HASH, report
from replicad.trash import LARGE

if TYPE_CHECKING:
    from replicad.keyspace import Database
    from replicad.session import Client

_ONE = (1, 1, 1)
#: The last millisecond that Redis accepts as a field's deadline: it keeps them in 46 bits.
LAST_MS = (1 << 46) - 1
NO_FIELD, NOT_MET, SET, DELETED = -2, 0, 1, 2
NO_DEADLINE = -1

_NO_FIELDS = err("Mandatory argument FIELDS is missing or not at the right position")
_MISMATCH = err("The `numfields` parameter must match the number of arguments")
_PARAMETER = err("Parameter `numFields` should be greater than 0")
_POSITIVE = err("Number of fields must be a positive integer")
_INVALID_COUNT = err("invalid number of fields")
_NEGATIVE = err("invalid expire time, must be >= 0")
_ONE_OR_PERSIST = err("Only one of EX, PX, EXAT, PXAT or PERSIST arguments can be specified")
_ONE_OR_KEEPTTL = err("Only one of EX, PX, EXAT, PXAT or KEEPTTL arguments can be specified")
_ONE_CONDITION = err("Only one of FXX or FNX arguments can be specified")
_CONDITIONS = frozenset([b"NX", b"XX", b"GT", b"LT"])
#: The options with a time: milliseconds of its unit, and whether it counts from now.
_TIMES = {b"EX": (1000, True), b"PX": (1, True), b"EXAT": (1000, False), b"PXAT": (1, False)}


# -- reading the arguments


def _named_fields(argv: list[bytes], at: int, bad_count: ReplyError) -> list[bytes]:
    """The fields of ``FIELDS numfields field ...``, which stands at ``argv[at]`` and is the rest of the command."""
    if at + 1 >= len(argv) or argv[at].upper() != b"FIELDS":
        raise _NO_FIELDS
    if integer(argv[at + 1], bad_count) < 1:
        raise bad_count
    fields = argv[at + 2 :]
    if int(argv[at + 1]) != len(fields):
        raise _MISMATCH
    return fields


def _absolute(client: Client, text: bytes, name: bytes, unit_ms: int, relative: bool) -> int:
    """A deadline in Unix milliseconds from the number in the command ``name``."""
    number = integer(text, NOT_INTEGER)
    if number < 0:
        raise _NEGATIVE
    at_ms = number * unit_ms + (client.server.clock.now_ms if relative else 0)
    if at_ms > LAST_MS:
        raise err(b"invalid expire time in '%b' command" % name)
    return at_ms


# -- changing


def _deadline(value: dict[bytes, bytes], field: bytes) -> int | None:
    return value.deadline(field) if type(value) is ExpiringHash else None


def _expiring(db: Database, key: bytes, value: dict[bytes, bytes]) -> ExpiringHash:
    """The hash under ``key`` in the form that has deadlines; the first one costs a copy."""
    if type(value) is ExpiringHash:
        return value
    changed = ExpiringHash(value)
    db.put_keeping(key, changed)
    if len(value) > LARGE:
        db.trash.throw(value)
    return changed


class _Expiry:
    """The deadline ``at_ms`` for fields of the hash ``value``: ``give`` it to each of them, then ``finish``.

    A field whose deadline is in the past is deleted, but on a replica: there the master deletes.
    """

    def __init__(self, client: Client, key: bytes, value: dict[bytes, bytes], at_ms: int) -> None:
        self.client = client
        self.key = key
        self.value = value
        self.at_ms = at_ms
        self.fields: list[bytes] = []
        now_ms = client.server.clock.now_ms
        self.past = at_ms <= now_ms and client.db.expire is not None and not client.is_master

    def give(self, field: bytes) -> None:
        """Set the deadline of a field that is there, or delete it."""
        self.fields.append(field)
        if self.past:
            self.value.pop(field)
        else:
            self.value = _expiring(self.client.db, self.key, self.value)
            self.value.set_deadline(field, self.at_ms)

    def finish(self) -> None:
        """Count, propagate and report what was done."""
        if not self.fields:
            return
        if self.past:
            _removed(self.client, self.key, self.value, self.fields)
            return
        client, key, fields = self.client, self.key, self.fields
        if type(self.value) is ExpiringHash:
            client.db.track_fields(key, self.value)
        client.server.dirty += len(fields)
        client.db.touched(key)
        report(client, HASH, b"hexpire", key)
        client.server.propagation.replace(b"HPEXPIREAT", key, b"%d" % self.at_ms, b"FIELDS", b"%d" % len(fields), *fields)


def _removed(client: Client, key: bytes, value: dict[bytes, bytes], fields: list[bytes]) -> None:
    """``fields``, which were there, have been removed by the command."""
    if indexes:
        left(value, fields)
    client.server.dirty += len(fields)
    client.server.propagation.replace(b"HDEL", key, *fields)
    report(client, HASH, b"hdel", key)
    client.db.touched_or_empty(key, value)


def _persist(client: Client, key: bytes, value: dict[bytes, bytes], fields: Iterable[bytes]) -> None:
    """Take the deadlines of ``fields`` away, all of which have one."""
    found = list(fields)
    if not found or type(value) is not ExpiringHash:
        return
    for field in found:
        value.persist(field)
    client.db.track_fields(key, value)
    client.server.dirty += len(found)
    client.db.touched(key)
    report(client, HASH, b"hpersist", key)
    client.server.propagation.replace(b"HPERSIST", key, b"FIELDS", b"%d" % len(found), *found)


def propagate_deadlines(client: Client, key: bytes, value: dict[bytes, bytes], fields: Iterable[bytes]) -> None:
    """Behind the HSET that stands for the running command: give ``fields`` their deadlines again, which HSET drops."""
    by_time: dict[int, list[bytes]] = {}
    for field in dict.fromkeys(fields):
        at_ms = _deadline(value, field)
        if at_ms is not None:
            by_time.setdefault(at_ms, []).append(field)
    for at_ms, found in by_time.items():
        client.server.propagation.replace(b"HPEXPIREAT", key, b"%d" % at_ms, b"FIELDS", b"%d" % len(found), *found)


# -- setting deadlines


def _met(condition: bytes, old_ms: int | None, at_ms: int) -> bool:
    """Whether the condition allows the new deadline; no deadline counts as one that never comes."""
    if condition == b"NX":
        return old_ms is None
    if condition == b"XX":
        return old_ms is not None
    if condition == b"GT":
        return old_ms is not None and at_ms > old_ms
    return old_ms is None or at_ms < old_ms


def _expire(client: Client, argv: list[bytes], name: bytes, unit_ms: int, relative: bool) -> list[int]:
    """The four commands that set deadlines."""
    key = argv[1]
    value = client.db.writable(key, dict)
    at_ms = _absolute(client, argv[2], name, unit_ms, relative)
    condition = argv[3].upper()
    conditional = condition in _CONDITIONS
    fields = _named_fields(argv, 4 if conditional else 3, _PARAMETER)
    if value is None:
        return [NO_FIELD] * len(fields)
    expiry = _Expiry(client, key, value, at_ms)
    replies = []
    for field in fields:
        if field not in expiry.value:
            replies.append(NO_FIELD)
        elif conditional and not _met(condition, _deadline(expiry.value, field), at_ms):
            replies.append(NOT_MET)
        else:
            expiry.give(field)
            replies.append(DELETED if expiry.past else SET)
    expiry.finish()
    return replies


@command(b"HEXPIRE", -6, "write fast", _ONE, group="hash", since="7.4.0")
def hexpire(client: Client, argv: list[bytes]) -> list[int]:
    """Lets fields of a hash expire after some seconds.

    HEXPIRE key seconds [NX | XX | GT | LT] FIELDS numfields field [field ...]
    """
    return _expire(client, argv, b"hexpire", 1000, True)


@command(b"HPEXPIRE", -6, "write fast", _ONE, group="hash", since="7.4.0")
def hpexpire(client: Client, argv: list[bytes]) -> list[int]:
    """Lets fields of a hash expire after some milliseconds.

    HPEXPIRE key milliseconds [NX | XX | GT | LT] FIELDS numfields field [field ...]
    """
    return _expire(client, argv, b"hpexpire", 1, True)


@command(b"HEXPIREAT", -6, "write fast", _ONE, group="hash", since="7.4.0")
def hexpireat(client: Client, argv: list[bytes]) -> list[int]:
    """Lets fields of a hash expire at a Unix time in seconds.

    HEXPIREAT key unix-time-seconds [NX | XX | GT | LT] FIELDS numfields field [field ...]
    """
    return _expire(client, argv, b"hexpireat", 1000, False)


@command(b"HPEXPIREAT", -6, "write fast", _ONE, group="hash", since="7.4.0")
def hpexpireat(client: Client, argv: list[bytes]) -> list[int]:
    """Lets fields of a hash expire at a Unix time in milliseconds.

    HPEXPIREAT key unix-time-milliseconds [NX | XX | GT | LT] FIELDS numfields field [field ...]
    """
    return _expire(client, argv, b"hpexpireat", 1, False)


@command(b"HPERSIST", -5, "write fast", _ONE, group="hash", since="7.4.0")
def hpersist(client: Client, argv: list[bytes]) -> list[int]:
    """Takes the deadlines of fields away, so that they stay for ever.

    HPERSIST key FIELDS numfields field [field ...]
    """
    key = argv[1]
    value = client.db.writable(key, dict)
    fields = _named_fields(argv, 2, _POSITIVE)
    if value is None:
        return [NO_FIELD] * len(fields)
    replies = []
    persisted: dict[bytes, None] = {}
    for field in fields:
        if field not in value:
            replies.append(NO_FIELD)
        elif field in persisted or _deadline(value, field) is None:
            replies.append(NO_DEADLINE)
        else:
            persisted[field] = None
            replies.append(SET)
    _persist(client, key, value, persisted)
    return replies


# -- asking for deadlines


def _deadlines(client: Client, argv: list[bytes], unit_ms: int, since_ms: int) -> list[int]:
    """The deadline of each field, counted from ``since_ms`` in units that are rounded up."""
    value = client.db.read(argv[1], dict)
    fields = _named_fields(argv, 2, _POSITIVE)
    if value is None:
        return [NO_FIELD] * len(fields)
    replies = []
    for field in fields:
        at_ms = _deadline(value, field)
        if at_ms is not None:
            replies.append((at_ms - since_ms + unit_ms - 1) // unit_ms)
        else:
            replies.append(NO_DEADLINE if field in value else NO_FIELD)
    return replies


@command(b"HTTL", -5, "readonly fast", _ONE, group="hash", since="7.4.0")
def httl(client: Client, argv: list[bytes]) -> list[int]:
    """Returns in how many seconds fields expire: -1 when never, -2 when they are not there.

    HTTL key FIELDS numfields field [field ...]
    """
    return _deadlines(client, argv, 1000, client.server.clock.now_ms)


@command(b"HPTTL", -5, "readonly fast", _ONE, group="hash", since="7.4.0")
def hpttl(client: Client, argv: list[bytes]) -> list[int]:
    """Returns in how many milliseconds fields expire: -1 when never, -2 when they are not there.

    HPTTL key FIELDS numfields field [field ...]
    """
    return _deadlines(client, argv, 1, client.server.clock.now_ms)


@command(b"HEXPIRETIME", -5, "readonly fast", _ONE, group="hash", since="7.4.0")
def hexpiretime(client: Client, argv: list[bytes]) -> list[int]:
    """Returns the Unix time in seconds at which fields expire: -1 when never, -2 when they are not there.

    HEXPIRETIME key FIELDS numfields field [field ...]
    """
    return _deadlines(client, argv, 1000, 0)


@command(b"HPEXPIRETIME", -5, "readonly fast", _ONE, group="hash", since="7.4.0")
def hpexpiretime(client: Client, argv: list[bytes]) -> list[int]:
    """Returns the Unix time in milliseconds at which fields expire: -1 when never, -2 when they are not there.

    HPEXPIRETIME key FIELDS numfields field [field ...]
    """
    return _deadlines(client, argv, 1, 0)


# -- Redis 8: values and deadlines in one command


@command(b"HGETDEL", -5, "write fast", _ONE, group="hash", since="8.0.0")
def hgetdel(client: Client, argv: list[bytes]) -> list[bytes | None]:
    """Returns the values of fields and removes the fields.

    HGETDEL key FIELDS numfields field [field ...]
    """
    key = argv[1]
    value = client.db.writable(key, dict)
    fields = _named_fields(argv, 2, _POSITIVE)
    if value is None:
        return [None] * len(fields)
    found: list[bytes | None] = []
    removed = []
    for field in fields:
        content = value.pop(field, None)
        found.append(content)
        if content is not None:
            removed.append(field)
    if removed:
        _removed(client, key, value, removed)
    return found


@command(b"HGETEX", -5, "write fast", _ONE, group="hash", since="8.0.0")
def hgetex(client: Client, argv: list[bytes]) -> list[bytes | None]:
    """Returns the values of fields, and sets or takes away their deadlines.

    HGETEX key [EX seconds | PX milliseconds | EXAT unix-time-seconds | PXAT unix-time-milliseconds | PERSIST]
    FIELDS numfields field [field ...]
    """
    key = argv[1]
    value = client.db.writable(key, dict)
    option = argv[2].upper()
    at_ms: int | None = None
    i = 2
    if option in _TIMES:
        at_ms = _absolute(client, argv[3], b"hgetex", *_TIMES[option])
        i = 4
    elif option == b"PERSIST":
        i = 3
    if i > 2 and argv[i].upper() in (*_TIMES, b"PERSIST"):
        raise _ONE_OR_PERSIST
    fields = _named_fields(argv, i, _POSITIVE)
    if value is None:
        return [None] * len(fields)
    found = [value.get(field) for field in fields]
    if at_ms is not None:
        expiry = _Expiry(client, key, value, at_ms)
        for field in dict.fromkeys(fields):
            if field in value:
                expiry.give(field)
        expiry.finish()
    elif option == b"PERSIST":
        _persist(client, key, value, [field for field in dict.fromkeys(fields) if _deadline(value, field) is not None])
    return found


class _Setting:
    """The options of HSETEX: ``condition`` (FNX, FXX or empty), ``keep`` (KEEPTTL), ``at_ms``, and where the pairs begin."""

    def __init__(self, client: Client, argv: list[bytes]) -> None:
        self.condition = b""
        self.keep = False
        self.at_ms: int | None = None
        i = 2
        while i < len(argv) and (option := argv[i].upper()) != b"FIELDS":
            if option in (b"FNX", b"FXX"):
                if self.condition:
                    raise _ONE_CONDITION
                self.condition = option
            elif option in _TIMES or option == b"KEEPTTL":
                if self.keep or self.at_ms is not None:
                    raise _ONE_OR_KEEPTTL
                self.keep = option == b"KEEPTTL"
                if not self.keep:
                    i += 1
                    if i == len(argv):
                        raise err("missing expire time")
                    self.at_ms = _absolute(client, argv[i], b"hsetex", *_TIMES[option])
            else:
                raise err(clean(b"unknown argument: " + c_string(argv[i])))
            i += 1
        if i + 1 >= len(argv):
            raise wrong_arity(b"hsetex")
        count = integer(argv[i + 1], _INVALID_COUNT)
        if not 1 <= count <= INT64_MAX // 2:
            raise _INVALID_COUNT
        self.start = i + 2
        if len(argv) - self.start != 2 * count:
            raise wrong_arity(b"hsetex")


@command(b"HSETEX", -6, "write denyoom fast", _ONE, group="hash", since="8.0.0")
def hsetex(client: Client, argv: list[bytes]) -> int:
    """Sets fields of a hash with a deadline; returns 1, or 0 when the condition does not hold and nothing is set.

    HSETEX key [FNX | FXX] [EX seconds | PX milliseconds | EXAT unix-time-seconds | PXAT unix-time-milliseconds | KEEPTTL]
    FIELDS numfields field value [field value ...]
    """
    db, key = client.db, argv[1]
    value = db.writable(key, dict)
    setting = _Setting(client, argv)
    pairs = dict(zip(argv[setting.start :: 2], argv[setting.start + 1 :: 2], strict=True))
    present = [field for field in pairs if value is not None and field in value]
    if (setting.condition == b"FNX" and present) or (setting.condition == b"FXX" and len(present) < len(pairs)):
        return 0
    expiry = None if setting.at_ms is None else _Expiry(client, key, value or {}, setting.at_ms)
    if expiry is not None and expiry.past:  # set and deleted at once: what is left of it is the deletion
        for field in present:
            expiry.give(field)
        expiry.finish()
        return 1
    if value is None:
        value = dict(pairs)
        db.put(key, value)
    else:
        if indexes:
            joined(value, [field for field in pairs if field not in value])
        if setting.keep and type(value) is ExpiringHash:
            for field, content in pairs.items():
                value.keep(field, content)
        else:
            value.update(pairs.items())
        db.touched(key)
    if setting.at_ms is not None:
        value = _expiring(db, key, value)
        for field in pairs:
            value.set_deadline(field, setting.at_ms)
        db.track_fields(key, value)
    client.server.dirty += len(pairs)
    report(client, HASH, b"hset", key)
    if setting.at_ms is not None:
        report(client, HASH, b"hexpire", key)
    client.server.propagation.replace(b"HSET", key, *argv[setting.start :])
    propagate_deadlines(client, key, value, pairs)
    return 1
