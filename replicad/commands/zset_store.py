"""Unions, intersections and differences of sorted sets and sets: ZUNION, ZINTER, ZDIFF and their STORE forms.

Owns: WEIGHTS, AGGREGATE, and how scores are combined.  A set takes part as a sorted set whose scores are all 1.

The sum of doubles depends on the order of the terms, so the inputs are taken in Redis's order: the smallest first.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

from replicad.command import command
from replicad.commands.arguments import integer, number, numbered_keys
from replicad.commands.zsets import pairs_reply
from replicad.errors import SYNTAX, WRONG_TYPE, err
from replicad.notifications import ZSET
from replicad.values import SortedSet

if TYPE_CHECKING:
    from replicad.session import Client

Scores = dict[bytes, float]
Source = tuple[Scores | set[bytes], float]

_NOT_A_WEIGHT = err("weight value is not a float")
_LIMIT = err("LIMIT can't be negative")

UNION, INTER, DIFF, COUNT = range(4)


def _store_keys(argv: list[bytes]) -> list[int]:
    """The positions of the keys of the STORE forms."""
    return [1, *numbered_keys(argv, 2)]


class _Request:
    """The arguments of one of these commands, read and checked."""

    __slots__ = ("aggregate", "limit", "sources", "with_scores")

    def __init__(self, client: Client, argv: list[bytes], at: int, operation: int) -> None:
        numkeys = integer(argv[at])
        if numkeys < 1:
            raise err(b"at least 1 input key is needed for '%b' command" % argv[0].lower())
        if numkeys > len(argv) - at - 1:
            raise SYNTAX
        rest = at + 1 + numkeys
        values = [_input(client, key) for key in argv[at + 1 : rest]]
        weights = [1.0] * numkeys
        self.aggregate = b"SUM"
        self.limit = 0
        self.with_scores = False
        combines = operation in (UNION, INTER)
        i, size = rest, len(argv)
        while i < size:
            word = argv[i].upper()
            if combines and word == b"WEIGHTS" and size - i > numkeys:
                weights = [number(text, _NOT_A_WEIGHT) for text in argv[i + 1 : i + 1 + numkeys]]
                i += numkeys + 1
            elif combines and word == b"AGGREGATE" and size - i > 1:
                self.aggregate = argv[i + 1].upper()
                if self.aggregate not in (b"SUM", b"MIN", b"MAX"):
                    raise SYNTAX
                i += 2
            elif operation != COUNT and at == 1 and word == b"WITHSCORES":
                self.with_scores = True
                i += 1
            elif operation == COUNT and word == b"LIMIT" and size - i > 1:
                self.limit = integer(argv[i + 1], _LIMIT)
                if self.limit < 0:
                    raise _LIMIT
                i += 2
            else:
                raise SYNTAX
        self.sources: list[Source] = list(zip(values, weights, strict=True))
        if operation != DIFF:
            self.sources.sort(key=lambda source: len(source[0]))


def _input(client: Client, key: bytes) -> Scores | set[bytes]:
    """The scores of a sorted set, the members of a set, or nothing."""
    value = client.db.get(key)
    if type(value) is SortedSet:
        return value.scores
    if type(value) is set:
        return value
    if value is None:
        return {}
    raise WRONG_TYPE


def _items(source: Source) -> Iterable[tuple[bytes, float]]:
    """(member, weighted score); what is no number (infinity times zero) counts as zero."""
    members, weight = source
    if type(members) is set:
        return dict.fromkeys(members, weight).items()
    if weight == 1.0:
        return members.items()  # type: ignore[union-attr]
    return [
        (member, product if (product := weight * score) == product else 0.0)
        for member, score in members.items()  # type: ignore[union-attr]
    ]


def _combine(aggregate: bytes, one: float, other: float) -> float:
    if aggregate == b"SUM":
        total = one + other
        return total if total == total else 0.0
    if aggregate == b"MIN":
        return other if other < one else one
    return other if other > one else one


def _union(request: _Request) -> Scores:
    result: Scores = {}
    aggregate = request.aggregate
    for source in request.sources:
        if not result:
            result = dict(_items(source))
            continue
        get = result.get
        for member, score in _items(source):
            old = get(member)
            result[member] = score if old is None else _combine(aggregate, old, score)
    return result


def _common(first: Scores | set[bytes], others: list[Source]) -> Iterable[bytes]:
    for member in first:
        for members, _ in others:
            if member not in members:
                break
        else:
            yield member


def _inter(request: _Request) -> Scores:
    first, *others = request.sources
    result: Scores = {}
    aggregate = request.aggregate
    scores = dict(_items(first))
    for member in _common(first[0], others):
        score = scores[member]
        for members, weight in others:
            value = weight if type(members) is set else weight * members[member]  # type: ignore[index]
            score = _combine(aggregate, score, value)
        result[member] = score
    return result


def _diff(request: _Request) -> Scores:
    (first, _), *others = request.sources
    result: Scores = dict.fromkeys(first, 1.0) if type(first) is set else dict(first)  # type: ignore[arg-type]
    for members, _ in others:
        if len(members) < len(result):
            for member in members:
                result.pop(member, None)
        else:
            result = {member: score for member, score in result.items() if member not in members}
        if not result:
            break
    return result


_OPERATIONS = {UNION: _union, INTER: _inter, DIFF: _diff}
_EVENTS = {UNION: b"zunionstore", INTER: b"zinterstore", DIFF: b"zdiffstore"}


def _reply(client: Client, argv: list[bytes], operation: int) -> Any:
    """ZUNION, ZINTER and ZDIFF."""
    request = _Request(client, argv, 1, operation)
    result = SortedSet.from_scores(_OPERATIONS[operation](request))
    return pairs_reply(client, list(result), request.with_scores)


def _store(client: Client, argv: list[bytes], operation: int) -> int:
    """ZUNIONSTORE, ZINTERSTORE and ZDIFFSTORE."""
    result = _OPERATIONS[operation](_Request(client, argv, 2, operation))
    db = client.db
    if result:
        for member, score in result.items():
            if score == 0.0:
                result[member] = 0.0  # minus zero is not stored
        db.put(argv[1], SortedSet.from_scores(result))
        server = client.server
        server.dirty += 1
        if server.notifying:
            server.notify(ZSET, _EVENTS[operation], argv[1], db.index)
    elif db.drop(argv[1]):
        client.server.dirty += 1
    return len(result)


_reading = partial(
    command, flags="readonly movablekeys", group="sorted-set", find_keys=lambda argv: numbered_keys(argv, 1)
)
_storing = partial(
    command, flags="write denyoom movablekeys", group="sorted-set", keys=(1, 1, 1), find_keys=_store_keys
)


@_reading(b"ZUNION", arity=-3, since="6.2.0")
def zunion(client: Client, argv: list[bytes]) -> Any:
    """Returns the members that are in any of the sorted sets.

    ZUNION numkeys key [key ...] [WEIGHTS weight [weight ...]] [AGGREGATE <SUM | MIN | MAX>] [WITHSCORES]
    """
    return _reply(client, argv, UNION)


@_reading(b"ZINTER", arity=-3, since="6.2.0")
def zinter(client: Client, argv: list[bytes]) -> Any:
    """Returns the members that are in all of the sorted sets.

    ZINTER numkeys key [key ...] [WEIGHTS weight [weight ...]] [AGGREGATE <SUM | MIN | MAX>] [WITHSCORES]
    """
    return _reply(client, argv, INTER)


@_reading(b"ZDIFF", arity=-3, since="6.2.0")
def zdiff(client: Client, argv: list[bytes]) -> Any:
    """Returns the members of the first sorted set that are in none of the others.

    ZDIFF numkeys key [key ...] [WITHSCORES]
    """
    return _reply(client, argv, DIFF)


@_reading(b"ZINTERCARD", arity=-3, since="7.0.0")
def zintercard(client: Client, argv: list[bytes]) -> int:
    """Returns how many members are in all of the sorted sets; counts up to LIMIT of them.

    ZINTERCARD numkeys key [key ...] [LIMIT limit]
    """
    request = _Request(client, argv, 1, COUNT)
    (first, _), *others = request.sources
    count = 0
    for _ in _common(first, others):
        count += 1
        if count == request.limit:
            break
    return count


@_storing(b"ZUNIONSTORE", arity=-4, since="2.0.0")
def zunionstore(client: Client, argv: list[bytes]) -> int:
    """Stores the union of sorted sets and returns how many members it has.

    ZUNIONSTORE destination numkeys key [key ...] [WEIGHTS weight [weight ...]] [AGGREGATE <SUM | MIN | MAX>]
    """
    return _store(client, argv, UNION)


@_storing(b"ZINTERSTORE", arity=-4, since="2.0.0")
def zinterstore(client: Client, argv: list[bytes]) -> int:
    """Stores the intersection of sorted sets and returns how many members it has.

    ZINTERSTORE destination numkeys key [key ...] [WEIGHTS weight [weight ...]] [AGGREGATE <SUM | MIN | MAX>]
    """
    return _store(client, argv, INTER)


@_storing(b"ZDIFFSTORE", arity=-4, since="6.2.0")
def zdiffstore(client: Client, argv: list[bytes]) -> int:
    """Stores the difference of sorted sets and returns how many members it has.

    ZDIFFSTORE destination numkeys key [key ...]
    """
    return _store(client, argv, DIFF)
