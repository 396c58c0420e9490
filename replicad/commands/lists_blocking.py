"""The list commands that wait: BLPOP, BRPOP, BLMOVE, BRPOPLPUSH, BLMPOP.

Owns: what each does at once, and what it does when one of its keys appears later (``attempt``).  Does not own the queue of
waiting clients (``blocking``).  A key that appears with another type does not end the waiting.

In the stream each of them is the command that does not wait: LPOP, RPOP, LMOVE, RPOPLPUSH.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from replicad.command import command
from replicad.commands.arguments import numbered_keys, pop_arguments, timeout_ms
from replicad.commands.lists import List, move, pop_first, pop_many, side
from replicad.notifications import LIST
from replicad.resp import BLOCKED

if TYPE_CHECKING:
    from replicad.session import Client


def _pop(client: Client, argv: list[bytes], left: bool) -> Any:
    """BLPOP and BRPOP."""
    timeout = timeout_ms(argv[-1], client.server.clock.now_ms)
    db = client.db
    keys = argv[1:-1]
    for key in keys:
        value = db.writable(key, deque)
        if value is not None:
            return _pop_one(client, key, value, left)

    def attempt(key: bytes) -> Any:
        value = client.db.peek(key)
        return _pop_one(client, key, value, left) if type(value) is deque else BLOCKED

    return client.block(keys, timeout, attempt)


def _pop_one(client: Client, key: bytes, value: List, left: bool) -> tuple[bytes, bytes]:
    element = value.popleft() if left else value.pop()
    server, db = client.server, client.db
    if server.notifying:
        server.notify(LIST, b"lpop" if left else b"rpop", key, db.index)
    db.touched_or_empty(key, value)
    server.dirty += 1
    server.propagation.replace(b"LPOP" if left else b"RPOP", key)
    return key, element


@command(b"BLPOP", arity=-3, flags="write noscript blocking", keys=(1, -2, 1), group="list", since="2.0.0")
def blpop(client: Client, argv: list[bytes]) -> Any:
    """Takes the first element of the first list that is there, and waits for one when there is none.

    BLPOP key [key ...] timeout
    """
    return _pop(client, argv, True)


@command(b"BRPOP", arity=-3, flags="write noscript blocking", keys=(1, -2, 1), group="list", since="2.0.0")
def brpop(client: Client, argv: list[bytes]) -> Any:
    """Takes the last element of the first list that is there, and waits for one when there is none.

    BRPOP key [key ...] timeout
    """
    return _pop(client, argv, False)


@command(b"BLMOVE", arity=6, flags="write denyoom noscript blocking", keys=(1, 2, 1), group="list", since="6.2.0")
def blmove(client: Client, argv: list[bytes]) -> Any:
    """Moves an element from one list to another as LMOVE does, and waits for the source when it is missing.

    BLMOVE source destination (LEFT | RIGHT) (LEFT | RIGHT) timeout
    """
    from_left, to_left = side(argv[3]), side(argv[4])
    # served later the directions are written in lower case, as Redis 7.0 does it
    later = [b"LMOVE", argv[1], argv[2], argv[3].lower(), argv[4].lower()]
    return _move(client, argv, from_left, to_left, [b"LMOVE", *argv[1:5]], later)


@command(b"BRPOPLPUSH", arity=4, flags="write denyoom noscript blocking", keys=(1, 2, 1), group="list", since="2.2.0")
def brpoplpush(client: Client, argv: list[bytes]) -> Any:
    """Moves the last element of one list to the head of another, and waits for the source when it is missing.

    BRPOPLPUSH source destination timeout
    """
    command = [b"RPOPLPUSH", argv[1], argv[2]]
    return _move(client, argv, False, True, command, command)


def _move(client: Client, argv: list[bytes], from_left: bool, to_left: bool, now: list[bytes], later: list[bytes]) -> Any:
    """BLMOVE and BRPOPLPUSH; ``now`` and ``later`` are propagated when it happens at once or after waiting."""
    timeout = timeout_ms(argv[-1], client.server.clock.now_ms)
    source, target = argv[1], argv[2]
    propagation = client.server.propagation
    element = move(client, client.db, source, target, from_left, to_left)
    if element is not None:
        propagation.replace(*now)
        return element
    if client.in_exec or client.is_master:
        return None  # a null bulk string here, a null array after waiting

    def attempt(key: bytes) -> Any:
        db = client.db  # perhaps another object than before: a replica that loads a new dataset exchanges them
        if type(db.peek(key)) is not deque:
            return BLOCKED
        element = move(client, db, source, target, from_left, to_left)
        propagation.replace(*later)
        return element

    return client.block([source], timeout, attempt)


@command(
    b"BLMPOP",
    arity=-5,
    flags="write blocking movablekeys",
    find_keys=lambda argv: numbered_keys(argv, 2),
    group="list",
    since="7.0.0",
)
def blmpop(client: Client, argv: list[bytes]) -> Any:
    """Takes elements out of the first list that is there, and waits for one when there is none.

    BLMPOP timeout numkeys key [key ...] (LEFT | RIGHT) [COUNT count]
    """
    keys, left, count = pop_arguments(argv, 2, b"LEFT", b"RIGHT")
    timeout = timeout_ms(argv[1], client.server.clock.now_ms)
    found = pop_first(client, keys, left, count)
    if found is not None:
        return found

    def attempt(key: bytes) -> Any:
        db = client.db
        value = db.peek(key)
        if type(value) is not deque:
            return BLOCKED
        taken = pop_many(client, db, key, value, left, count)
        client.server.propagation.replace(b"LPOP" if left else b"RPOP", key, b"%d" % len(taken))
        return [key, taken]

    return client.block(keys, timeout, attempt)
