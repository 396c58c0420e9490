"""Sorted sets, member by member: ZADD to ZSCAN.

Owns: adding, removing and asking for single members, random members, and the shapes of replies with scores that the other
sorted-set modules share.  Does not own ranges (``zset_ranges``), pops (``zset_pops``), unions (``zset_store``), nor the
order of the members (``values.SortedSet``).

A score of minus zero is stored as zero: Redis does so in its compact form, which is the one that most sorted sets have.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from replicad.command import TABLE, command
from replicad.commands.arguments import number
from replicad.commands.sampling import MOST_REPEATED, sample_arguments
from replicad.commands.scanning import scan_collection, scan_cursor
from replicad.errors import OUT_OF_RANGE, SYNTAX, err, wrong_arity
from replicad.notifications import ZSET
from replicad.resp import NULL_ARRAY, format_double
from replicad.values import SortedSet

if TYPE_CHECKING:
    from replicad.session import Client

Pairs = list[tuple[bytes, float]]

_XX_NX = err("XX and NX options at the same time are not compatible")
_GT_LT_NX = err("GT, LT, and/or NX options at the same time are not compatible")
_ONE_INCR = err("INCR option supports a single increment-element pair")
_NAN = err("resulting score is not a number (NaN)")


def score_reply(client: Client, score: float) -> Any:
    """A score as a reply: text in RESP2, a double in RESP3."""
    return format_double(score) if client.resp == 2 else score


def pairs_reply(client: Client, pairs: Pairs, with_scores: bool) -> Any:
    """Members, or members and scores: one flat array in RESP2, an array of pairs in RESP3."""
    if not with_scores:
        return tuple([member for member, _ in pairs])
    if client.resp == 2:
        return tuple([text for member, score in pairs for text in (member, b"%.17g" % score)])  # as format_double
    return [[member, score] for member, score in pairs]


# -- adding


@command(b"ZADD", arity=-4, flags="write denyoom fast", keys=(1, 1, 1), group="sorted-set", since="1.2.0")
def zadd(client: Client, argv: list[bytes]) -> Any:
    """Adds members with their scores, or moves them to other scores; makes the sorted set when there is none.

    ZADD key [NX | XX] [GT | LT] [CH] [INCR] score member [score member ...]
    """
    if len(argv) != 4:
        return _zadd(client, argv)
    text = argv[2]
    score = float(text) if text.isdigit() and len(text) < 16 else _plain_score(text)
    db = client.db
    key, member = argv[1], argv[3]
    value = db.writable(key, SortedSet)
    old: float | None = None
    if value is None:
        db.put(key, SortedSet.from_scores({member: score}))
    else:
        old = value.scores.get(member)
        if old == score:
            return 0
        value.set(member, score)
        db.touched(key)
    server = client.server
    server.dirty += 1
    if server.notifying:
        server.notify(ZSET, b"zadd", key, db.index)
    return 1 if old is None else 0


def _plain_score(text: bytes) -> float:
    """The score of ``ZADD key score member``; an option in its place leaves half a pair."""
    if text.upper() in _OPTIONS:
        raise SYNTAX
    return number(text) + 0.0


_OPTIONS = frozenset([b"NX", b"XX", b"GT", b"LT", b"CH", b"INCR"])


def _zadd(client: Client, argv: list[bytes]) -> Any:
    """ZADD with options or several members."""
    at, size = 2, len(argv)
    options = set()
    while at < size and (word := argv[at].upper()) in _OPTIONS:
        options.add(word)
        at += 1
    if at == size or (size - at) % 2:
        raise SYNTAX
    only_new, only_old = b"NX" in options, b"XX" in options
    if only_new and only_old:
        raise _XX_NX
    greater, less = b"GT" in options, b"LT" in options
    if greater + less + only_new > 1:
        raise _GT_LT_NX
    if b"INCR" in options:
        if size - at > 2:
            raise _ONE_INCR
        return _increment(client, argv[1], number(argv[at]), argv[at + 1], only_new, only_old, greater, less)
    scores = [number(text) + 0.0 for text in argv[at::2]]
    db = client.db
    key = argv[1]
    value = db.writable(key, SortedSet)
    fresh = value is None
    if value is None:
        if only_old:
            return 0
        value = SortedSet()
    added = changed = 0
    known = value.scores
    for member, score in zip(argv[at + 1 :: 2], scores, strict=True):
        old = known.get(member)
        if old is None:
            if only_old:
                continue
            added += 1
        elif only_new or score == old or (greater and score <= old) or (less and score >= old):
            continue
        else:
            changed += 1
        value.set(member, score)
    if added or changed:
        if fresh:
            db.put(key, value)
        else:
            db.touched(key)
        server = client.server
        server.dirty += added + changed
        if server.notifying:
            server.notify(ZSET, b"zadd", key, db.index)
    return added + changed if b"CH" in options else added


def _increment(
    client: Client,
    key: bytes,
    by: float,
    member: bytes,
    only_new: bool = False,
    only_old: bool = False,
    greater: bool = False,
    less: bool = False,
) -> Any:
    """Add ``by`` to a score: the new score, or None when the conditions forbid it."""
    db = client.db
    value = db.writable(key, SortedSet)
    old = None if value is None else value.scores.get(member)
    if old is None:
        if only_old:
            return None
        score = by
    else:
        if only_new:
            return None
        score = old + by
        if score != score:
            raise _NAN
        if (greater and score <= old) or (less and score >= old):
            return None
    if value is None:
        db.put(key, SortedSet.from_scores({member: score + 0.0}))
    elif score != old:
        value.set(member, score + 0.0)
        db.touched(key)
    else:
        return score_reply(client, score)
    server = client.server
    server.dirty += 1
    if server.notifying:
        server.notify(ZSET, b"zincr", key, db.index)
    return score_reply(client, score)


@command(b"ZINCRBY", arity=4, flags="write denyoom fast", keys=(1, 1, 1), group="sorted-set", since="1.2.0")
def zincrby(client: Client, argv: list[bytes]) -> Any:
    """Adds a number to the score of a member, which starts at zero, and returns the new score.

    ZINCRBY key increment member
    """
    if argv[2].isalpha() and argv[2].upper() in _OPTIONS:
        raise SYNTAX  # Redis reads it as ZADD with INCR
    return _increment(client, argv[1], number(argv[2]), argv[3])


@command(b"ZREM", arity=-3, flags="write fast", keys=(1, 1, 1), group="sorted-set", since="1.2.0")
def zrem(client: Client, argv: list[bytes]) -> int:
    """Removes members and returns how many of them were there; a sorted set without members is gone.

    ZREM key member [member ...]
    """
    db = client.db
    value = db.writable(argv[1], SortedSet)
    if value is None:
        return 0
    removed = 0
    for member in argv[2:]:
        removed += value.remove(member)
    if removed:
        server = client.server
        server.dirty += removed
        if server.notifying:
            server.notify(ZSET, b"zrem", argv[1], db.index)
        db.touched_or_empty(argv[1], value)
    return removed


# -- asking


@command(b"ZSCORE", arity=3, flags="readonly fast", keys=(1, 1, 1), group="sorted-set", since="1.2.0")
def zscore(client: Client, argv: list[bytes]) -> Any:
    """Returns the score of a member.

    ZSCORE key member
    """
    value = client.db.read(argv[1], SortedSet)
    score = None if value is None else value.scores.get(argv[2])
    return None if score is None else format_double(score) if client.resp == 2 else score


@command(b"ZMSCORE", arity=-3, flags="readonly fast", keys=(1, 1, 1), group="sorted-set", since="6.2.0")
def zmscore(client: Client, argv: list[bytes]) -> Any:
    """Returns the scores of several members, null for each that is not there.

    ZMSCORE key member [member ...]
    """
    value = client.db.read(argv[1], SortedSet)
    if value is None:
        return [None] * (len(argv) - 2)
    get = value.scores.get
    scores = [get(member) for member in argv[2:]]
    return [None if score is None else score_reply(client, score) for score in scores]


@command(b"ZCARD", arity=2, flags="readonly fast", keys=(1, 1, 1), group="sorted-set", since="1.2.0")
def zcard(client: Client, argv: list[bytes]) -> int:
    """Returns the number of members.

    ZCARD key
    """
    value = client.db.read(argv[1], SortedSet)
    return 0 if value is None else len(value.scores)


def _rank(client: Client, argv: list[bytes], reverse: bool) -> Any:
    """ZRANK and ZREVRANK; WITHSCORE is a word of Redis 7.2."""
    with_score = len(argv) == 4
    if with_score and argv[3].upper() != b"WITHSCORE":
        raise wrong_arity(argv[0].lower())
    value = client.db.read(argv[1], SortedSet)
    rank = None if value is None else value.rank(argv[2])
    if value is None or rank is None:
        return NULL_ARRAY if with_score else None
    if reverse:
        rank = len(value) - 1 - rank
    return [rank, score_reply(client, value.scores[argv[2]])] if with_score else rank


@command(b"ZRANK", arity=3, flags="readonly fast", keys=(1, 1, 1), group="sorted-set", since="2.0.0")
def zrank(client: Client, argv: list[bytes]) -> Any:
    """Returns the place of a member, counted from 0 at the lowest score.

    ZRANK key member [WITHSCORE]
    """
    return _rank(client, argv, False)


@command(b"ZREVRANK", arity=3, flags="readonly fast", keys=(1, 1, 1), group="sorted-set", since="2.0.0")
def zrevrank(client: Client, argv: list[bytes]) -> Any:
    """Returns the place of a member, counted from 0 at the highest score.

    ZREVRANK key member [WITHSCORE]
    """
    return _rank(client, argv, True)


# COMMAND INFO tells Redis 7.0's arity; the word of 7.2 is understood all the same.
TABLE[b"ZRANK"].most = TABLE[b"ZREVRANK"].most = 4


# -- random members and scans


@command(b"ZRANDMEMBER", arity=-2, flags="readonly", keys=(1, 1, 1), group="sorted-set", since="6.2.0")
def zrandmember(client: Client, argv: list[bytes]) -> Any:
    """Returns members chosen at random: one, up to count different ones, or exactly -count that may repeat.

    ZRANDMEMBER key [count [WITHSCORES]]
    """
    db = client.db
    if len(argv) == 2:
        value = db.read(argv[1], SortedSet)
        return None if value is None else _at(value)(random.randrange(len(value)))[0]
    count, with_scores = sample_arguments(argv, b"WITHSCORES")
    value = db.read(argv[1], SortedSet)
    if value is None or not count:
        return ()
    size = len(value)
    at = _at(value)
    if count < 0:
        if -count > MOST_REPEATED:
            raise OUT_OF_RANGE
        pairs = [at(random.randrange(size)) for _ in range(-count)]
    elif count >= size:
        pairs = list(value)
    else:
        pairs = [at(rank) for rank in random.sample(range(size), count)]
    return pairs_reply(client, pairs, with_scores)


def _at(value: SortedSet) -> Callable[[int], tuple[bytes, float]]:
    """The function from a rank to (member, score)."""
    cut = value.slice
    return lambda rank: cut(rank, rank + 1)[0]


@command(b"ZSCAN", arity=-3, flags="readonly", keys=(1, 1, 1), group="sorted-set", since="2.8.0")
def zscan(client: Client, argv: list[bytes]) -> Any:
    """Walks over the members and scores of a sorted set in steps.

    ZSCAN key cursor [MATCH pattern] [COUNT count]
    """
    cursor = scan_cursor(argv[2])
    value = client.db.read(argv[1], SortedSet)
    if value is None:
        return [b"0", ()]
    scores = value.scores
    following, members = scan_collection(client, scores, cursor, argv)
    if len(members) == len(scores):  # a small set comes in the order of its scores, as from Redis
        members = [member for member, _ in value]
    return [following, tuple([text for member in members for text in (member, format_double(scores[member]))])]
