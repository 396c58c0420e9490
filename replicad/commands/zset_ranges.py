"""Ranges of sorted sets, by rank, by score and by member: ZRANGE and its older relatives, ZCOUNT, ZREMRANGEBY...

Owns: how the two ends of a range are written, and the options of ZRANGE.  Does not own the order itself
(``values.SortedSet``).  A range by member makes sense only when all scores are equal, as in Redis.

Each range becomes a pair of ranks ``low <= rank < high``, found by bisection; what follows is the same for all kinds.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from replicad.command import command
from replicad.commands.arguments import integer, number
from replicad.commands.zsets import Pairs, pairs_reply
from replicad.errors import SYNTAX, err
from replicad.notifications import ZSET, report
from replicad.values import SortedSet

if TYPE_CHECKING:
    from replicad.session import Client

_NOT_A_SCORE = err("min or max is not a float")
_NOT_A_MEMBER = err("min or max not valid string range item")
_LIMIT_BY_RANK = err("syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX")
_SCORES_BY_LEX = err("syntax error, WITHSCORES not supported in combination with BYLEX")

_DECIMAL = re.compile(rb"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[+-]?[0-9]+)?", re.IGNORECASE)
_BLANKS = b" \t\n\v\f\r"

# How the ends of a range are given; AUTO is ZRANGE before its options are read.
AUTO, RANK, SCORE, LEX = range(4)
_WALKED = 128  #: up to so many members Redis has a listpack, unless told otherwise

#: One end of a range: (rank, score or member; is it excluded).  The ends of all members are (None, False) below and
#: (None, True) above them.
End = tuple[Any, bool]


def _score(text: bytes) -> End:
    """An end of a range of scores: a number, excluded when a bracket ``(`` stands before it.

    C reads these more leniently than a score: blanks in front, nothing at all (zero), and what does not fit a double is
    infinite.
    """
    excluded = text[:1] == b"("
    body = text[1:] if excluded else text
    if body.isdigit():
        return float(body), excluded
    body = body.partition(b"\0")[0]
    if not body:
        return 0.0, excluded
    body = body.lstrip(_BLANKS)
    return (float(body) if _DECIMAL.fullmatch(body) else number(body, _NOT_A_SCORE)), excluded


def _lex(text: bytes) -> End:
    """An end of a range of members: ``[member``, ``(member``, ``-`` (below all) or ``+`` (above all)."""
    first = text[:1]
    if first == b"[":
        return text[1:], False
    if first == b"(":
        return text[1:], True
    if text == b"-":
        return None, False
    if text == b"+":
        return None, True
    raise _NOT_A_MEMBER


def _parse(kind: int, low: bytes, high: bytes) -> tuple[End, End]:
    """Both ends of a range."""
    if kind == RANK:
        return (integer(low), False), (integer(high), False)
    read = _score if kind == SCORE else _lex
    return read(low), read(high)


def _ranks(value: SortedSet, kind: int, low: End, high: End, reverse: bool = False) -> tuple[int, int]:
    """The range as ascending ranks ``low <= rank < high``; ``reverse`` matters for ranks only."""
    size = len(value)
    if kind == RANK:
        start, stop = low[0], high[0]
        if start < 0:
            start = max(start + size, 0)
        if stop < 0:
            stop += size
        stop = min(stop + 1, size)
        if start >= stop:
            return 0, 0
        return (size - stop, size - start) if reverse else (start, stop)
    if kind == SCORE:
        first, last = value.bisect_score(low[0], low[1]), value.bisect_score(high[0], not high[1])
    elif 1 < size <= _WALKED and value.slice(0, 1)[0][1] != value.slice(size - 1, size)[0][1]:
        return _lex_walk([member for member, _ in value.slice(0, size)], low, high, reverse)
    else:
        first, last = _lex_rank(value, low, False), _lex_rank(value, high, True)
    return (first, last) if first < last else (0, 0)


def _lex_walk(members: list[bytes], low: End, high: End, reverse: bool) -> tuple[int, int]:
    """The range in a small set whose scores differ, where members are not sorted.

    The result has no meaning, but ZREMRANGEBYLEX acts on it, and a replica must remove what its master removed.  So the
    members are walked as Redis walks a listpack: a start inside the range is looked for from one end, and the range goes
    on until a member leaves it.
    """

    def above(member: bytes) -> bool:
        return not low[1] if low[0] is None else member > low[0] or (member == low[0] and not low[1])

    def below(member: bytes) -> bool:
        return high[1] if high[0] is None else member < high[0] or (member == high[0] and not high[1])

    if not above(members[-1]) or not below(members[0]):
        return 0, 0
    starts, goes_on = (below, above) if reverse else (above, below)
    order = range(len(members) - 1, -1, -1) if reverse else range(len(members))
    first = next((place for place in order if starts(members[place])), None)
    if first is None or not goes_on(members[first]):
        return 0, 0
    step = order.step
    last = first
    while 0 <= last + step < len(members) and goes_on(members[last + step]):
        last += step
    return (last, first + 1) if reverse else (first, last + 1)


def _lex_rank(value: SortedSet, end: End, upper: bool) -> int:
    member, excluded = end
    if member is None:
        return len(value) if excluded else 0
    return value.bisect_lex(member, excluded != upper)


def _select(
    value: SortedSet, kind: int, low: End, high: End, reverse: bool, offset: int = 0, limit: int = -1
) -> Pairs:
    """The members of a range in the order asked for, from ``offset`` on and at most ``limit`` of them (-1: all)."""
    first, last = _ranks(value, kind, low, high, reverse)
    if offset or limit >= 0:
        rest = last - first - offset
        if offset < 0 or rest <= 0:
            return []
        take = rest if limit < 0 else min(limit, rest)
        if reverse:
            last -= offset
            first = last - take
        else:
            first += offset
            last = first + take
    found = value.slice(first, last)
    if reverse:
        found.reverse()
    return found


def _range(client: Client, argv: list[bytes], kind: int, reverse: bool, store: bool = False) -> Any:
    """All commands of the ZRANGE family; ``argv`` has the destination in front when ``store``."""
    at = 2 if store else 1
    auto = kind == AUTO
    with_scores = False
    offset, limit = 0, -1
    i, size = at + 3, len(argv)
    while i < size:
        word = argv[i].upper()
        if word == b"WITHSCORES" and not store:
            with_scores = True
        elif word == b"LIMIT" and i + 2 < size:
            offset, limit = integer(argv[i + 1]), integer(argv[i + 2])
            i += 2
        elif word == b"REV" and auto and not reverse:
            reverse = True
        elif word == b"BYSCORE" and auto and kind == AUTO:
            kind = SCORE
        elif word == b"BYLEX" and auto and kind == AUTO:
            kind = LEX
        else:
            raise SYNTAX
        i += 1
    if kind == AUTO:
        kind = RANK
    if limit != -1 and kind == RANK:
        raise _LIMIT_BY_RANK
    if with_scores and kind == LEX:
        raise _SCORES_BY_LEX
    if kind == RANK:
        offset = 0
    if reverse and kind != RANK:
        low, high = _parse(kind, argv[at + 2], argv[at + 1])
    else:
        low, high = _parse(kind, argv[at + 1], argv[at + 2])
    value = client.db.read(argv[at], SortedSet)
    found = [] if value is None else _select(value, kind, low, high, reverse, offset, limit)
    return _store(client, argv[1], found) if store else pairs_reply(client, found, with_scores)


def _store(client: Client, key: bytes, found: Pairs) -> int:
    """Make ``found`` the value of ``key``."""
    if found:
        client.db.put(key, SortedSet.from_pairs(found))
        report(client, ZSET, b"zrangestore", key)
        client.server.dirty += 1
    elif client.db.drop(key):
        client.server.dirty += 1
    return len(found)


@command(b"ZRANGE", arity=-4, flags="readonly", keys=(1, 1, 1), group="sorted-set", since="1.2.0")
def zrange(client: Client, argv: list[bytes]) -> Any:
    """Returns the members between two ranks, scores or members, from the lowest up or with REV from the highest down.

    ZRANGE key start stop [BYSCORE | BYLEX] [REV] [LIMIT offset count] [WITHSCORES]
    """
    with_scores = len(argv) == 5
    if len(argv) > 5 or (with_scores and argv[4].upper() != b"WITHSCORES"):
        return _range(client, argv, AUTO, False)
    start, stop = integer(argv[2]), integer(argv[3])
    value = client.db.read(argv[1], SortedSet)
    if value is None:
        return ()
    if start < 0:
        start += len(value)
    if stop < 0:
        stop += len(value)
    return pairs_reply(client, value.slice(start, stop + 1), with_scores)


@command(b"ZREVRANGE", arity=-4, flags="readonly", keys=(1, 1, 1), group="sorted-set", since="1.2.0")
def zrevrange(client: Client, argv: list[bytes]) -> Any:
    """Returns the members between two ranks, counted from the highest score down.

    ZREVRANGE key start stop [WITHSCORES]
    """
    return _range(client, argv, RANK, True)


@command(b"ZRANGEBYSCORE", arity=-4, flags="readonly", keys=(1, 1, 1), group="sorted-set", since="1.0.5")
def zrangebyscore(client: Client, argv: list[bytes]) -> Any:
    """Returns the members between two scores, lowest first.

    ZRANGEBYSCORE key min max [WITHSCORES] [LIMIT offset count]
    """
    return _range(client, argv, SCORE, False)


@command(b"ZREVRANGEBYSCORE", arity=-4, flags="readonly", keys=(1, 1, 1), group="sorted-set", since="2.2.0")
def zrevrangebyscore(client: Client, argv: list[bytes]) -> Any:
    """Returns the members between two scores, highest first.

    ZREVRANGEBYSCORE key max min [WITHSCORES] [LIMIT offset count]
    """
    return _range(client, argv, SCORE, True)


@command(b"ZRANGEBYLEX", arity=-4, flags="readonly", keys=(1, 1, 1), group="sorted-set", since="2.8.9")
def zrangebylex(client: Client, argv: list[bytes]) -> Any:
    """Returns the members between two members, in the order of their bytes, when all scores are equal.

    ZRANGEBYLEX key min max [LIMIT offset count]
    """
    return _range(client, argv, LEX, False)


@command(b"ZREVRANGEBYLEX", arity=-4, flags="readonly", keys=(1, 1, 1), group="sorted-set", since="2.8.9")
def zrevrangebylex(client: Client, argv: list[bytes]) -> Any:
    """Returns the members between two members, last first, when all scores are equal.

    ZREVRANGEBYLEX key max min [LIMIT offset count]
    """
    return _range(client, argv, LEX, True)


@command(b"ZRANGESTORE", arity=-5, flags="write denyoom", keys=(1, 2, 1), group="sorted-set", since="6.2.0")
def zrangestore(client: Client, argv: list[bytes]) -> Any:
    """Stores the members of a range, with their scores, in another key and returns how many they are.

    ZRANGESTORE dst src min max [BYSCORE | BYLEX] [REV] [LIMIT offset count]
    """
    return _range(client, argv, AUTO, False, store=True)


# -- counting


def _count(client: Client, argv: list[bytes], kind: int) -> int:
    low, high = _parse(kind, argv[2], argv[3])
    value = client.db.read(argv[1], SortedSet)
    if value is None:
        return 0
    first, last = _ranks(value, kind, low, high)
    return last - first


@command(b"ZCOUNT", arity=4, flags="readonly fast", keys=(1, 1, 1), group="sorted-set", since="2.0.0")
def zcount(client: Client, argv: list[bytes]) -> int:
    """Returns how many members have a score between two scores.

    ZCOUNT key min max
    """
    return _count(client, argv, SCORE)


@command(b"ZLEXCOUNT", arity=4, flags="readonly fast", keys=(1, 1, 1), group="sorted-set", since="2.8.9")
def zlexcount(client: Client, argv: list[bytes]) -> int:
    """Returns how many members lie between two members, when all scores are equal.

    ZLEXCOUNT key min max
    """
    return _count(client, argv, LEX)


# -- removing


def _remove(client: Client, argv: list[bytes], kind: int, event: bytes) -> int:
    low, high = _parse(kind, argv[2], argv[3])
    db = client.db
    value = db.writable(argv[1], SortedSet)
    if value is None:
        return 0
    first, last = _ranks(value, kind, low, high)
    removed = last - first
    if not removed:
        return 0
    report(client, ZSET, event, argv[1])
    if removed == len(value):
        db.delete(argv[1])  # which frees a large one in slices
    else:
        value.remove_slice(first, last)
        db.touched(argv[1])
    client.server.dirty += removed
    return removed


@command(b"ZREMRANGEBYRANK", arity=4, flags="write", keys=(1, 1, 1), group="sorted-set", since="2.0.0")
def zremrangebyrank(client: Client, argv: list[bytes]) -> int:
    """Removes the members between two ranks and returns how many they were.

    ZREMRANGEBYRANK key start stop
    """
    return _remove(client, argv, RANK, b"zremrangebyrank")


@command(b"ZREMRANGEBYSCORE", arity=4, flags="write", keys=(1, 1, 1), group="sorted-set", since="1.2.0")
def zremrangebyscore(client: Client, argv: list[bytes]) -> int:
    """Removes the members between two scores and returns how many they were.

    ZREMRANGEBYSCORE key min max
    """
    return _remove(client, argv, SCORE, b"zremrangebyscore")


@command(b"ZREMRANGEBYLEX", arity=4, flags="write", keys=(1, 1, 1), group="sorted-set", since="2.8.9")
def zremrangebylex(client: Client, argv: list[bytes]) -> int:
    """Removes the members between two members, when all scores are equal, and returns how many they were.

    ZREMRANGEBYLEX key min max
    """
    return _remove(client, argv, LEX, b"zremrangebylex")
