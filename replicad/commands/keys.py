"""The commands on keys whatever they hold, and on whole databases.

Owns: deleting, renaming, copying, moving and walking keys, FLUSHALL, FLUSHDB, SWAPDB, DBSIZE.  Does not own expiry
(``expiry``), OBJECT, DUMP and RESTORE (``objects``), nor SELECT (``connection``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from replicad.command import command
from replicad.commands.arguments import integer
from replicad.commands.scanning import scan_cursor, scan_options
from replicad.errors import DB_OUT_OF_RANGE, NO_SUCH_KEY, SAME_OBJECT, SYNTAX, err
from replicad.glob import matching
from replicad.notifications import GENERIC, report
from replicad.resp import OK, Simple
from replicad.values import copy_value, type_name

if TYPE_CHECKING:
    from replicad.keyspace import Database
    from replicad.session import Client

_ONE, _TWO, _ALL = (1, 1, 1), (1, 2, 1), (1, -1, 1)
_INT_MIN, _INT_MAX = -(1 << 31), (1 << 31) - 1
_NOT_AN_INT = err(f"value is out of range, value must between {_INT_MIN} and {_INT_MAX}")


def _database(client: Client, text: bytes) -> Database:
    """The database with the number ``text``."""
    index = integer(text)
    if not _INT_MIN <= index <= _INT_MAX:
        raise _NOT_AN_INT
    if not 0 <= index < len(client.server.databases):
        raise DB_OUT_OF_RANGE
    return client.server.databases[index]


def _delete(client: Client, argv: list[bytes]) -> int:
    delete = client.db.delete
    count = 0
    for i in range(1, len(argv)):
        if delete(argv[i]):
            count += 1
    client.server.dirty += count
    return count


@command(b"DEL", -2, "write", _ALL, group="generic", since="1.0.0")
def del_(client: Client, argv: list[bytes]) -> int:
    """Deletes keys and returns how many existed.

    DEL key [key ...]
    """
    return _delete(client, argv)


@command(b"UNLINK", -2, "write fast", _ALL, group="generic", since="4.0.0")
def unlink(client: Client, argv: list[bytes]) -> int:
    """Deletes keys and returns how many existed; memory is always given back later, here as with DEL.

    UNLINK key [key ...]
    """
    return _delete(client, argv)


@command(b"EXISTS", -2, "readonly fast", _ALL, group="generic", since="1.0.0")
def exists(client: Client, argv: list[bytes]) -> int:
    """Returns how many of the keys exist; one that is named twice counts twice.

    EXISTS key [key ...]
    """
    look = client.db.look
    return sum([look(key) is not None for key in argv[1:]])


@command(b"TOUCH", -2, "readonly fast", _ALL, group="generic", since="3.2.1")
def touch(client: Client, argv: list[bytes]) -> int:
    """Counts as an access to the keys; returns how many exist.

    TOUCH key [key ...]
    """
    get = client.db.get
    return sum([get(key) is not None for key in argv[1:]])


@command(b"TYPE", 2, "readonly fast", _ONE, group="generic", since="1.0.0")
def type_(client: Client, argv: list[bytes]) -> Simple:
    """Returns the type of the value under a key: string, list, set, zset, hash, stream, or none.

    TYPE key
    """
    value = client.db.look(argv[1])
    return Simple(b"none" if value is None else type_name(value))


def _rename(client: Client, argv: list[bytes], only_new: bool) -> bool:
    db, source, target = client.db, argv[1], argv[2]
    if db.peek(source) is None:
        raise NO_SUCH_KEY
    if source == target:
        return not only_new
    if db.peek(target) is not None:
        if only_new:
            return False
        db.remove(target)  # to Redis what is stored under the name from now on is a new key
    value, at_ms = db.take(source)
    db.put_with_deadline(target, value, at_ms)
    client.server.dirty += 1
    report(client, GENERIC, b"rename_from", source)
    report(client, GENERIC, b"rename_to", target)
    return True


@command(b"RENAME", 3, "write", _TWO, group="generic", since="1.0.0")
def rename(client: Client, argv: list[bytes]) -> Any:
    """Gives a key another name and overwrites what was there; its expiry goes with it.

    RENAME key newkey
    """
    _rename(client, argv, False)
    return OK


@command(b"RENAMENX", 3, "write fast", _TWO, group="generic", since="1.0.0")
def renamenx(client: Client, argv: list[bytes]) -> int:
    """Gives a key another name unless that exists; returns whether it did.

    RENAMENX key newkey
    """
    return int(_rename(client, argv, True))


@command(b"MOVE", 3, "write fast", _ONE, group="generic", since="1.0.0")
def move(client: Client, argv: list[bytes]) -> int:
    """Moves a key to another database unless it exists there; returns whether it did.

    MOVE key db
    """
    db, key = client.db, argv[1]
    target = _database(client, argv[2])
    if target is db:
        raise SAME_OBJECT
    if db.peek(key) is None or target.peek(key) is not None:
        return 0
    value, at_ms = db.take(key)
    target.put_with_deadline(key, value, at_ms)
    server = client.server
    server.dirty += 1
    if server.notifying:
        server.notify(GENERIC, b"move_from", key, db.index)
        server.notify(GENERIC, b"move_to", key, target.index)
    return 1


@command(b"COPY", -3, "write denyoom", _TWO, group="generic", since="6.2.0")
def copy(client: Client, argv: list[bytes]) -> int:
    """Copies the value and the expiry of a key to another key; returns whether it did.

    COPY source destination [DB destination-db] [REPLACE]
    """
    db, source, target = client.db, argv[1], argv[2]
    target_db = db
    replace = False
    i = 3
    while i < len(argv):
        option = argv[i].upper()
        if option == b"REPLACE":
            replace = True
        elif option == b"DB" and i + 1 < len(argv):
            i += 1
            target_db = _database(client, argv[i])
        else:
            raise SYNTAX
        i += 1
    if target_db is db and source == target:
        raise SAME_OBJECT
    value = db.get(source)
    if value is None or (target_db.peek(target) is not None and not replace):
        return 0
    value, at_ms = copy_value(value), db.deadline(source)
    target_db.remove(target)  # as in RENAME
    target_db.put_with_deadline(target, value, at_ms)
    server = client.server
    server.dirty += 1
    if server.notifying:
        server.notify(GENERIC, b"copy_to", target, target_db.index)
    return 1


@command(b"RANDOMKEY", 1, "readonly", group="generic", since="1.0.0")
def randomkey(client: Client, argv: list[bytes]) -> bytes | None:
    """Returns a key chosen at random, null when there is none.

    RANDOMKEY
    """
    return client.db.random_key()


@command(b"KEYS", 2, "readonly", group="generic", since="1.0.0", categories="dangerous")
def keys(client: Client, argv: list[bytes]) -> tuple[bytes, ...]:
    """Returns all keys that match a pattern; everybody waits while the database is walked, so SCAN is the better choice.

    KEYS pattern
    """
    pattern = argv[1]
    if pattern == b"*":
        return tuple(client.db.keys())
    return tuple(matching(pattern, client.db.keys()))


@command(b"SCAN", -2, "readonly", group="generic", since="2.8.0")
def scan(client: Client, argv: list[bytes]) -> list[Any]:
    """Returns some keys and the cursor for the next step; a key that is there all the time is returned at least once.

    SCAN cursor [MATCH pattern] [COUNT count] [TYPE type]
    """
    cursor = scan_cursor(argv[1])
    pattern, count, kind = scan_options(argv, 2, typed=True)
    db = client.db
    cursor, found = db.scan(cursor, count)
    if pattern is not None:
        found = matching(pattern, found)
    if kind is not None:
        db.stats.hits += len(found)  # each look at a type counts
        found = [key for key in found if type_name(db.peek(key)).lower() == kind]
    return [b"%d" % cursor, tuple(found)]


# -- whole databases


@command(b"DBSIZE", 1, "readonly fast", group="server", since="1.0.0", categories="keyspace")
def dbsize(client: Client, argv: list[bytes]) -> int:
    """Returns the number of keys in the database.

    DBSIZE
    """
    return len(client.db)


def _check_flush_options(argv: list[bytes]) -> None:
    # Memory is given back in slices either way, so that both words mean the same.
    if len(argv) > 2 or (len(argv) == 2 and argv[1].upper() not in (b"ASYNC", b"SYNC")):
        raise SYNTAX


@command(b"FLUSHDB", -1, "write", group="server", since="1.0.0", categories="keyspace dangerous")
def flushdb(client: Client, argv: list[bytes]) -> Any:
    """Deletes all keys of the database.

    FLUSHDB [ASYNC | SYNC]
    """
    _check_flush_options(argv)
    count = client.db.flush()
    client.server.tracking.flushed()
    client.server.dirty += count
    if not count:  # replicas are told all the same: they may hold keys that this server has lost
        client.server.propagation.also(client.db.index, *argv)
    return OK


@command(b"FLUSHALL", -1, "write", group="server", since="1.0.0", categories="keyspace dangerous")
def flushall(client: Client, argv: list[bytes]) -> Any:
    """Deletes all keys of all databases.

    FLUSHALL [ASYNC | SYNC]
    """
    _check_flush_options(argv)
    # One more than there were keys: an empty dataset is flushed on the replicas too.
    server = client.server
    server.dirty += server.flush_all() + 1
    if server.settings["save"]:
        server.saver.schedule()  # Redis stores the empty dataset at once; here a child does, a moment later
    return OK


@command(b"SWAPDB", 3, "write fast", group="server", since="4.0.0", categories="keyspace dangerous")
def swapdb(client: Client, argv: list[bytes]) -> Any:
    """Exchanges the contents of two databases at once, for all clients.

    SWAPDB index1 index2
    """
    server = client.server
    numbers = []
    for argument, error in zip(argv[1:], (err("invalid first DB index"), err("invalid second DB index")), strict=True):
        number = integer(argument, error)
        if not _INT_MIN <= number <= _INT_MAX:
            raise error
        numbers.append(number)
    if not all(0 <= number < len(server.databases) for number in numbers):
        raise DB_OUT_OF_RANGE
    server.dirty += 1
    first, second = (server.databases[number] for number in numbers)
    if first is second:
        return OK
    first.swap(second)
    for (index, key), clients in server.watched.items():
        if index in numbers and (key in first or key in second):
            for watcher in clients:
                watcher.watch_broken = True
    server.blocking.rekey(first.index, second.index)
    return OK
