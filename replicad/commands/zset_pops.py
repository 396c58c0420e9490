"""Taking members from the ends of sorted sets, also waiting for them: ZPOPMIN, ZMPOP, BZPOPMIN and relatives.

Owns: the pops, and what a waiting client gets when one of its keys appears.  Does not own the queue of waiting clients
(``blocking``).  A key that appears with another type does not end the waiting.

In the stream all of them are ZPOPMIN and ZPOPMAX.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from replicad.command import command
from replicad.commands.arguments import integer, numbered_keys, pop_arguments, timeout_ms
from replicad.commands.zsets import Pairs, pairs_reply, score_reply
from replicad.errors import MUST_BE_POSITIVE, SYNTAX
from replicad.notifications import ZSET
from replicad.resp import BLOCKED, NULL_ARRAY
from replicad.values import SortedSet

if TYPE_CHECKING:
    from replicad.session import Client



def _pop(client: Client, key: bytes, value: SortedSet, lowest: bool, count: int) -> Pairs:
    """Remove up to ``count`` members from one end."""
    taken = value.pop_first(count) if lowest else value.pop_last(count)
    server, db = client.server, client.db
    server.dirty += len(taken)
    if server.notifying:
        server.notify(ZSET, b"zpopmin" if lowest else b"zpopmax", key, db.index)
    db.touched_or_empty(key, value)
    return taken


def _zpop(client: Client, argv: list[bytes], lowest: bool) -> Any:
    """ZPOPMIN and ZPOPMAX."""
    count = 1
    if len(argv) > 2:
        if len(argv) > 3:
            raise SYNTAX
        count = integer(argv[2], MUST_BE_POSITIVE)
        if count < 0:
            raise MUST_BE_POSITIVE
    value = client.db.writable(argv[1], SortedSet)
    if value is None or not count:
        return ()
    taken = _pop(client, argv[1], value, lowest, count)
    if len(argv) == 2 and client.resp == 3:
        return list(taken[0])
    return pairs_reply(client, taken, True)


@command(b"ZPOPMIN", arity=-2, flags="write fast", keys=(1, 1, 1), group="sorted-set", since="5.0.0")
def zpopmin(client: Client, argv: list[bytes]) -> Any:
    """Removes and returns the members with the lowest scores.

    ZPOPMIN key [count]
    """
    return _zpop(client, argv, True)


@command(b"ZPOPMAX", arity=-2, flags="write fast", keys=(1, 1, 1), group="sorted-set", since="5.0.0")
def zpopmax(client: Client, argv: list[bytes]) -> Any:
    """Removes and returns the members with the highest scores.

    ZPOPMAX key [count]
    """
    return _zpop(client, argv, False)


def _pop_counted(client: Client, key: bytes, value: SortedSet, lowest: bool, count: int) -> list[Any]:
    """The reply of ZMPOP and BZMPOP: the key, and pairs in both protocol versions."""
    taken = _pop(client, key, value, lowest, count)
    client.server.propagation.replace(b"ZPOPMIN" if lowest else b"ZPOPMAX", key, b"%d" % len(taken))
    return [key, [[member, score_reply(client, score)] for member, score in taken]]


def _pop_first(client: Client, keys: list[bytes], lowest: bool, count: int) -> Any:
    """Pop from the first of ``keys`` that holds a sorted set; None when there is none."""
    for key in keys:
        value = client.db.writable(key, SortedSet)
        if value is not None:
            return _pop_counted(client, key, value, lowest, count)
    return None


@command(
    b"ZMPOP",
    arity=-4,
    flags="write movablekeys",
    find_keys=lambda argv: numbered_keys(argv, 1),
    group="sorted-set",
    since="7.0.0",
)
def zmpop(client: Client, argv: list[bytes]) -> Any:
    """Removes and returns members from one end of the first sorted set that is there.

    ZMPOP numkeys key [key ...] <MIN | MAX> [COUNT count]
    """
    keys, lowest, count = pop_arguments(argv, 1, b"MIN", b"MAX")
    found = _pop_first(client, keys, lowest, count)
    return NULL_ARRAY if found is None else found


@command(
    b"BZMPOP",
    arity=-5,
    flags="write blocking movablekeys",
    find_keys=lambda argv: numbered_keys(argv, 2),
    group="sorted-set",
    since="7.0.0",
)
def bzmpop(client: Client, argv: list[bytes]) -> Any:
    """Does as ZMPOP, and waits when there is no sorted set.

    BZMPOP timeout numkeys key [key ...] <MIN | MAX> [COUNT count]
    """
    keys, lowest, count = pop_arguments(argv, 2, b"MIN", b"MAX")
    timeout = timeout_ms(argv[1], client.server.clock.now_ms)
    found = _pop_first(client, keys, lowest, count)
    if found is not None:
        return found

    def attempt(key: bytes) -> Any:
        value = client.db.peek(key)
        return _pop_counted(client, key, value, lowest, count) if type(value) is SortedSet else BLOCKED

    return client.block(keys, timeout, attempt)


def _pop_one(client: Client, key: bytes, value: SortedSet, lowest: bool) -> list[Any]:
    """The reply of BZPOPMIN and BZPOPMAX."""
    ((member, score),) = _pop(client, key, value, lowest, 1)
    client.server.propagation.replace(b"ZPOPMIN" if lowest else b"ZPOPMAX", key)
    return [key, member, score_reply(client, score)]


def _bzpop(client: Client, argv: list[bytes], lowest: bool) -> Any:
    """BZPOPMIN and BZPOPMAX."""
    timeout = timeout_ms(argv[-1], client.server.clock.now_ms)
    keys = argv[1:-1]
    for key in keys:
        value = client.db.writable(key, SortedSet)
        if value is not None:
            return _pop_one(client, key, value, lowest)

    def attempt(key: bytes) -> Any:
        value = client.db.peek(key)
        return _pop_one(client, key, value, lowest) if type(value) is SortedSet else BLOCKED

    return client.block(keys, timeout, attempt)


@command(b"BZPOPMIN", arity=-3, flags="write noscript blocking fast", keys=(1, -2, 1), group="sorted-set", since="5.0.0")
def bzpopmin(client: Client, argv: list[bytes]) -> Any:
    """Removes and returns the member with the lowest score of the first sorted set that is there, and waits for one.

    BZPOPMIN key [key ...] timeout
    """
    return _bzpop(client, argv, True)


@command(b"BZPOPMAX", arity=-3, flags="write noscript blocking fast", keys=(1, -2, 1), group="sorted-set", since="5.0.0")
def bzpopmax(client: Client, argv: list[bytes]) -> Any:
    """Removes and returns the member with the highest score of the first sorted set that is there, and waits for one.

    BZPOPMAX key [key ...] timeout
    """
    return _bzpop(client, argv, False)
