"""Lists: LPUSH to RPOPLPUSH, all that never wait.

Owns: the list commands without blocking, and the pieces that ``lists_blocking`` shares (``pop_many``, ``move``, the
reader of LEFT and RIGHT).  A list is a ``collections.deque``: both ends are constant, the middle
is reached from the nearer end 64 elements at a time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

from replicad.command import command
from replicad.commands.arguments import INT64_MIN, integer, numbered_keys, pop_arguments
from replicad.errors import INDEX_OUT_OF_RANGE, MUST_BE_POSITIVE, NO_SUCH_KEY, SYNTAX, ReplyError, err, wrong_arity
from replicad.notifications import LIST, report
from replicad.resp import NULL_ARRAY, OK
from replicad.trash import LARGE

if TYPE_CHECKING:
    from replicad.keyspace import Database
    from replicad.session import Client

List = deque[bytes]

#: Beyond this distance from both ends a range is read by rotating the list there and back: a block of 64 elements moves
#: in the time in which two or three elements are skipped.
FAR = 4096

_RANK_ZERO = err(
    "RANK can't be zero: use 1 to start from the first match, 2 from the second ... or use negative to start from the "
    "end of the list"
)


# -- adding


@command(b"RPUSH", arity=-3, flags="write denyoom fast", keys=(1, 1, 1), group="list", since="1.0.0")
def rpush(client: Client, argv: list[bytes]) -> int:
    """Appends elements to the tail of a list and returns its length; makes the list when there is none.

    RPUSH key element [element ...]
    """
    db = client.db
    key = argv[1]
    value = db.writable(key, deque)
    if value is None:
        value = deque(argv[2:])
        db.put(key, value)
    else:
        if len(argv) == 3:
            value.append(argv[2])
        else:
            value.extend(argv[2:])
        db.touched(key)
    server = client.server
    server.dirty += len(argv) - 2
    if server.notifying:
        server.notify(LIST, b"rpush", key, db.index)
    return len(value)


@command(b"LPUSH", arity=-3, flags="write denyoom fast", keys=(1, 1, 1), group="list", since="1.0.0")
def lpush(client: Client, argv: list[bytes]) -> int:
    """Puts elements, one after another, in front of a list and returns its length; makes the list when there is none.

    LPUSH key element [element ...]
    """
    db = client.db
    key = argv[1]
    value = db.writable(key, deque)
    if value is None:
        value = deque(argv[:1:-1])
        db.put(key, value)
    else:
        if len(argv) == 3:
            value.appendleft(argv[2])
        else:
            value.extendleft(argv[2:])
        db.touched(key)
    server = client.server
    server.dirty += len(argv) - 2
    if server.notifying:
        server.notify(LIST, b"lpush", key, db.index)
    return len(value)


@command(b"RPUSHX", arity=-3, flags="write denyoom fast", keys=(1, 1, 1), group="list", since="2.2.0")
def rpushx(client: Client, argv: list[bytes]) -> int:
    """Appends elements to a list that exists; returns its length, 0 when there is none.

    RPUSHX key element [element ...]
    """
    value = client.db.writable(argv[1], deque)
    if value is None:
        return 0
    value.extend(argv[2:])
    client.db.touched(argv[1])
    client.server.dirty += len(argv) - 2
    report(client, LIST, b"rpush", argv[1])
    return len(value)


@command(b"LPUSHX", arity=-3, flags="write denyoom fast", keys=(1, 1, 1), group="list", since="2.2.0")
def lpushx(client: Client, argv: list[bytes]) -> int:
    """Puts elements in front of a list that exists; returns its length, 0 when there is none.

    LPUSHX key element [element ...]
    """
    value = client.db.writable(argv[1], deque)
    if value is None:
        return 0
    value.extendleft(argv[2:])
    client.db.touched(argv[1])
    client.server.dirty += len(argv) - 2
    report(client, LIST, b"lpush", argv[1])
    return len(value)


@command(b"LINSERT", arity=5, flags="write denyoom", keys=(1, 1, 1), group="list", since="2.2.0")
def linsert(client: Client, argv: list[bytes]) -> int:
    """Puts an element before or after the first one equal to the pivot; -1 when there is no such one, 0 without a list.

    LINSERT key (BEFORE | AFTER) pivot element
    """
    where = argv[2].upper()
    if where not in (b"BEFORE", b"AFTER"):
        raise SYNTAX
    value = client.db.writable(argv[1], deque)
    if value is None:
        return 0
    try:
        index = value.index(argv[3])
    except ValueError:
        return -1
    value.insert(index + (where == b"AFTER"), argv[4])
    client.db.touched(argv[1])
    client.server.dirty += 1
    report(client, LIST, b"linsert", argv[1])
    return len(value)


# -- taking


def _pop(client: Client, argv: list[bytes], left: bool) -> Any:
    """LPOP and RPOP."""
    db = client.db
    key = argv[1]
    if len(argv) == 2:
        value = db.writable(key, deque)
        if value is None:
            return None
        element = value.popleft() if left else value.pop()
        server = client.server
        server.dirty += 1
        if server.notifying:
            server.notify(LIST, b"lpop" if left else b"rpop", key, db.index)
        db.touched_or_empty(key, value)
        return element
    if len(argv) > 3:
        raise wrong_arity(b"lpop" if left else b"rpop")
    count = integer(argv[2], MUST_BE_POSITIVE)
    if count < 0:
        raise MUST_BE_POSITIVE
    value = db.writable(key, deque)
    if value is None:
        return NULL_ARRAY
    if not count:
        return ()
    return pop_many(client, db, key, value, left, count)


@command(b"LPOP", arity=-2, flags="write fast", keys=(1, 1, 1), group="list", since="1.0.0")
def lpop(client: Client, argv: list[bytes]) -> Any:
    """Takes the first element, or the first so many, out of a list.

    LPOP key [count]
    """
    return _pop(client, argv, True)


@command(b"RPOP", arity=-2, flags="write fast", keys=(1, 1, 1), group="list", since="1.0.0")
def rpop(client: Client, argv: list[bytes]) -> Any:
    """Takes the last element, or the last so many, out of a list.

    RPOP key [count]
    """
    return _pop(client, argv, False)


def pop_many(client: Client, db: Database, key: bytes, value: List, left: bool, count: int) -> tuple[bytes, ...]:
    """Take up to ``count`` (> 0) elements out of the list ``value`` at ``key``, in the order of popping."""
    if count >= len(value):
        taken = tuple(value) if left else tuple(reversed(value))
        report(client, LIST, b"lpop" if left else b"rpop", key)
        db.delete(key)
    else:
        pop = value.popleft if left else value.pop
        taken = tuple([pop() for _ in range(count)])
        report(client, LIST, b"lpop" if left else b"rpop", key)
        db.touched(key)
    client.server.dirty += len(taken)
    return taken


def side(word: bytes) -> bool:
    """True for LEFT, False for RIGHT, in any letter case; anything else is a syntax error."""
    word = word.upper()
    if word == b"LEFT":
        return True
    if word == b"RIGHT":
        return False
    raise SYNTAX


def pop_first(client: Client, keys: list[bytes], left: bool, count: int) -> Any:
    """Pop from the first of ``keys`` that holds a list: [key, elements], or None when there is none."""
    db = client.db
    for key in keys:
        value = db.writable(key, deque)
        if value is not None:
            taken = pop_many(client, db, key, value, left, count)
            client.server.propagation.replace(b"LPOP" if left else b"RPOP", key, b"%d" % len(taken))
            return [key, taken]
    return None


@command(
    b"LMPOP",
    arity=-4,
    flags="write movablekeys",
    find_keys=lambda argv: numbered_keys(argv, 1),
    group="list",
    since="7.0.0",
)
def lmpop(client: Client, argv: list[bytes]) -> Any:
    """Takes elements out of the first list that is there.

    LMPOP numkeys key [key ...] (LEFT | RIGHT) [COUNT count]
    """
    keys, left, count = pop_arguments(argv, 1, b"LEFT", b"RIGHT")
    return pop_first(client, keys, left, count) or NULL_ARRAY


# -- moving


def move(client: Client, db: Database, source: bytes, target: bytes, from_left: bool, to_left: bool) -> bytes | None:
    """Move one element between lists (perhaps the same); None when there is no source.  Raises WRONG_TYPE."""
    value = db.writable(source, deque)
    if value is None:
        return None
    other = db.writable(target, deque)
    element: bytes = value.popleft() if from_left else value.pop()
    if other is None:
        db.put(target, deque((element,)))
    else:
        if to_left:
            other.appendleft(element)
        else:
            other.append(element)
        db.touched(target)
    report(client, LIST, b"lpush" if to_left else b"rpush", target)
    report(client, LIST, b"lpop" if from_left else b"rpop", source)
    db.touched_or_empty(source, value)
    client.server.dirty += 1
    return element


@command(b"LMOVE", arity=5, flags="write denyoom", keys=(1, 2, 1), group="list", since="6.2.0")
def lmove(client: Client, argv: list[bytes]) -> bytes | None:
    """Moves the first or last element of one list to the head or tail of another, and returns it.

    LMOVE source destination (LEFT | RIGHT) (LEFT | RIGHT)
    """
    return move(client, client.db, argv[1], argv[2], side(argv[3]), side(argv[4]))


@command(b"RPOPLPUSH", arity=3, flags="write denyoom", keys=(1, 2, 1), group="list", since="1.2.0")
def rpoplpush(client: Client, argv: list[bytes]) -> bytes | None:
    """Moves the last element of one list to the head of another, and returns it.

    RPOPLPUSH source destination
    """
    return move(client, client.db, argv[1], argv[2], False, True)


# -- reading


@command(b"LLEN", arity=2, flags="readonly fast", keys=(1, 1, 1), group="list", since="1.0.0")
def llen(client: Client, argv: list[bytes]) -> int:
    """Returns the length of a list.

    LLEN key
    """
    return len(client.db.read(argv[1], deque) or ())


def between(value: List, start: int, stop: int) -> tuple[bytes, ...]:
    """The elements from ``start`` up to (not with) ``stop``, read from the nearer end."""
    size = len(value)
    if start <= FAR:
        return tuple(islice(value, start, stop))
    if size - stop <= FAR:
        return tuple(islice(reversed(value), size - stop, size - start))[::-1]
    value.rotate(-start)
    found = tuple(islice(value, stop - start))
    value.rotate(start)
    return found


def _bounds(start: int, stop: int, size: int) -> tuple[int, int]:
    """A range as clients give it (both ends included, negative from the end) as a half-open one; empty is (0, 0)."""
    if start < 0:
        start = max(start + size, 0)
    if stop < 0:
        stop += size
    stop = min(stop + 1, size)
    return (start, stop) if start < stop else (0, 0)


@command(b"LRANGE", arity=4, flags="readonly", keys=(1, 1, 1), group="list", since="1.0.0")
def lrange(client: Client, argv: list[bytes]) -> tuple[bytes, ...]:
    """Returns the elements from one index to another, both included; negative ones count from the end.

    LRANGE key start stop
    """
    start = integer(argv[2])
    stop = integer(argv[3])
    value = client.db.read(argv[1], deque)
    if value is None:
        return ()
    return between(value, *_bounds(start, stop, len(value)))


@command(b"LINDEX", arity=3, flags="readonly", keys=(1, 1, 1), group="list", since="1.0.0")
def lindex(client: Client, argv: list[bytes]) -> bytes | None:
    """Returns the element at an index; a negative one counts from the end.

    LINDEX key index
    """
    value = client.db.read(argv[1], deque)
    if value is None:
        return None
    index = integer(argv[2])
    return value[index] if -len(value) <= index < len(value) else None


def _positions(value: List, element: bytes, backwards: bool, limit: int) -> Iterator[int]:
    """Where ``element`` stands among the first ``limit`` elements of the walk, in the order of the walk."""
    last = len(value) - 1
    walk = islice(reversed(value) if backwards else value, limit)
    for index, other in enumerate(walk):
        if other == element:
            yield last - index if backwards else index


@command(b"LPOS", arity=-3, flags="readonly", keys=(1, 1, 1), group="list", since="6.0.6")
def lpos(client: Client, argv: list[bytes]) -> Any:
    """Returns where an element stands in a list.

    LPOS key element [RANK rank] [COUNT num-matches] [MAXLEN len]
    """
    rank, count, limit = 1, None, 0
    for position in range(3, len(argv), 2):
        option = argv[position].upper()
        if position + 1 >= len(argv):
            raise SYNTAX
        text = argv[position + 1]
        if option == b"RANK":
            rank = integer(text)
            if not rank:
                raise _RANK_ZERO
        elif option == b"COUNT":
            count = _not_negative(text, err("COUNT can't be negative"))
        elif option == b"MAXLEN":
            limit = _not_negative(text, err("MAXLEN can't be negative"))
        else:
            raise SYNTAX
    value = client.db.read(argv[1], deque)
    if value is None:
        return None if count is None else ()
    size = min(limit or len(value), len(value))
    if rank == INT64_MIN:
        rank = -1  # its negation overflows in Redis, and every match is one
    if rank == 1 and (count is None or count == 1):  # the usual question, answered in C
        try:
            index = value.index(argv[2], 0, size)
        except ValueError:
            return None if count is None else ()
        return index if count is None else [index]
    matches = islice(_positions(value, argv[2], rank < 0, size), abs(rank) - 1, None)
    if count is None:
        return next(matches, None)
    return list(islice(matches, count) if count else matches)


def _not_negative(text: bytes, error: ReplyError) -> int:
    number = integer(text, error)
    if number < 0:
        raise error
    return number


# -- changing


@command(b"LSET", arity=4, flags="write denyoom", keys=(1, 1, 1), group="list", since="1.0.0")
def lset(client: Client, argv: list[bytes]) -> bytes:
    """Replaces the element at an index.

    LSET key index element
    """
    value = client.db.writable(argv[1], deque)
    if value is None:
        raise NO_SUCH_KEY
    index = integer(argv[2])
    if not -len(value) <= index < len(value):
        raise INDEX_OUT_OF_RANGE
    value[index] = argv[3]
    client.db.touched(argv[1])
    client.server.dirty += 1
    report(client, LIST, b"lset", argv[1])
    return OK


@command(b"LREM", arity=4, flags="write", keys=(1, 1, 1), group="list", since="1.0.0")
def lrem(client: Client, argv: list[bytes]) -> int:
    """Removes elements equal to the given one: the first so many, the last so many (negative), or all (0).

    LREM key count element
    """
    count = integer(argv[2])
    value = client.db.writable(argv[1], deque)
    if value is None:
        return 0
    removed = value.count(argv[3])
    if not removed:
        return 0
    if count < 0:
        value.reverse()
    if count and abs(count) < removed:
        removed = abs(count)
    _remove_first(value, argv[3], removed)
    if count < 0:
        value.reverse()
    report(client, LIST, b"lrem", argv[1])
    client.db.touched_or_empty(argv[1], value)
    client.server.dirty += removed
    return removed


def _remove_first(value: List, element: bytes, count: int) -> None:
    """Remove the first ``count`` elements equal to ``element``; there are so many."""
    if count <= 4:  # a walk in C takes 3 ms for a million elements, one in Python 25
        for _ in range(count):
            value.remove(element)
        return
    kept = []
    walked = 0
    for other in value:
        walked += 1
        if other != element:
            kept.append(other)
        else:
            count -= 1
            if not count:
                break
    for _ in range(walked):
        value.popleft()
    value.extendleft(reversed(kept))


@command(b"LTRIM", arity=4, flags="write", keys=(1, 1, 1), group="list", since="1.0.0")
def ltrim(client: Client, argv: list[bytes]) -> bytes:
    """Keeps the elements from one index to another, both included, and removes the others.

    LTRIM key start stop
    """
    start = integer(argv[2])
    stop = integer(argv[3])
    db = client.db
    key = argv[1]
    value = db.writable(key, deque)
    if value is None:
        return OK
    size = len(value)
    start, stop = _bounds(start, stop, size)
    removed = size - (stop - start)
    report(client, LIST, b"ltrim", key)
    if start == stop:
        db.delete(key)
    elif stop - start < removed:  # the smaller part moves; a large remainder is freed in slices
        db.put_keeping(key, deque(between(value, start, stop)))
        if size > LARGE:
            db.trash.throw(value)
    else:
        for _ in range(start):
            value.popleft()
        for _ in range(size - stop):
            value.pop()
        db.touched(key)  # also when nothing went: Redis breaks a WATCH then
    client.server.dirty += removed
    return OK
