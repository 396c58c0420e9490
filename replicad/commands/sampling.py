"""Random members of sets and hashes, without a copy for each question.

Owns: ``pick``, ``pick_many`` and ``take`` for SPOP, SRANDMEMBER and HRANDFIELD, the index that makes them cheap on large
collections, and the arguments of these commands.  Does not own replies or propagation.  Called by ``sets``, ``hashes`` and
``zsets`` (a sorted set finds its n-th member itself); the server's clock calls ``sweep``.

A Python set or dict cannot be asked for its n-th member: walking there costs 10 ms in a set of a million.  Up to
``SMALL`` members the walk is cheap (a few microseconds) and exact.  A larger collection gets an index when the first random
member is asked for: a list of its members, and the set of those members of the list that have left the collection since
(``gone``).  A new member is appended to the list, or taken out of ``gone``; so each member stands in the list exactly once
and a uniform choice over the list, repeated while it hits one that is gone, is a uniform choice over the collection.
Building costs one pass (26 ms for a million members), 8 bytes a member, and only for collections that are asked.

Whoever changes a collection in place tells the index: ``if indexes: joined(value, members)`` and ``left``.  Most servers
never have an index, so the test is all they pay.  An index whose numbers do not add up is built anew.

Rejected: ``set.pop`` (constant time, but always the same member for the same set within one process, and no use for
dicts), a pool of samples (members that came after the pool was filled are never chosen), an own set type in place of
``set`` (slower in everything else), and the position of a rotating iterator (any change of size ends it).
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from itertools import islice
from typing import Any

from replicad.commands.arguments import INT64_MAX, INT64_MIN, integer
from replicad.errors import OUT_OF_RANGE, SYNTAX, err
from replicad.trash import LARGE, Trash

#: Up to this many members a collection is walked, above it gets an index.
SMALL = 512
#: All indexes together hold at most this many members; the one that rested longest goes first.
MOST_INDEXED = 8_000_000
#: More members than these, with repetitions, are not handed out in one reply: Redis tries, whatever the time and memory.
MOST_REPEATED = 1_000_000
#: An index that nobody asked for so long is dropped.
REST_MS = 30_000

_COUNT_RANGE = err(f"value is out of range, value must between {-INT64_MAX} and {INT64_MAX}")

Collection = set[bytes] | dict[bytes, bytes]


class Index:
    """The members of one large collection in a list; see the module docstring."""

    __slots__ = ("collection", "gone", "members", "used_ms")

    def __init__(self, collection: Collection) -> None:
        self.collection = collection
        self.members: list[bytes] = list(collection)
        self.gone: set[bytes] = set()
        self.used_ms = 0

    @property
    def sound(self) -> bool:
        """Whether the list fits the collection, and is not mostly about members that are gone."""
        count = len(self.members)
        return count - len(self.gone) == len(self.collection) and 2 * len(self.gone) <= count + SMALL

    def pick(self) -> bytes:
        """A member that stays where it is."""
        while True:
            position = int(random.random() * len(self.members))
            member = self.members[position]
            if member not in self.gone:
                return member
            self._drop(position)

    def take(self) -> bytes:
        """A member that leaves the list; the caller removes it from the collection."""
        while True:
            position = int(random.random() * len(self.members))
            member = self.members[position]
            self.members[position] = self.members[-1]
            self.members.pop()
            if member not in self.gone:
                return member
            self.gone.discard(member)

    def _drop(self, position: int) -> None:
        self.gone.discard(self.members[position])
        self.members[position] = self.members[-1]
        self.members.pop()


#: The indexes by ``id`` of their collection, which they keep alive; the one used last stands last.
indexes: dict[int, Index] = {}


def sample_arguments(argv: list[bytes], more: bytes | None = None) -> tuple[int, bool]:
    """``count [MORE]`` of SRANDMEMBER, HRANDFIELD and ZRANDMEMBER, from ``argv[2]`` on, as (count, whether MORE is given).

    A negative count allows repetitions.  ``more`` is the word, in upper case, that asks for values or scores too.
    """
    if more is None and len(argv) > 3:
        raise SYNTAX
    count = integer(argv[2])
    if count == INT64_MIN:
        raise _COUNT_RANGE
    if len(argv) > 3:
        if len(argv) > 4 or argv[3].upper() != more:
            raise SYNTAX
        if abs(count) > INT64_MAX // 2:
            raise OUT_OF_RANGE
    return count, len(argv) > 3


def joined(collection: Collection, members: Iterable[bytes]) -> None:
    """``members``, each once and none of them a member before, were added to ``collection``."""
    index = indexes.get(id(collection))
    if index is not None:
        gone = index.gone
        for member in members:
            if member in gone:
                gone.discard(member)
            else:
                index.members.append(member)


def left(collection: Collection, members: Iterable[bytes]) -> None:
    """``members``, each once, were removed from ``collection``."""
    index = indexes.get(id(collection))
    if index is not None:
        index.gone.update(members)


def pick(collection: Collection, now_ms: int, trash: Trash) -> bytes:
    """One member of the (not empty) collection, each with the same probability."""
    if len(collection) <= SMALL:
        return _walk(collection)
    return _index(collection, now_ms, trash).pick()


def pick_again(collection: Collection, count: int, now_ms: int, trash: Trash) -> list[bytes]:
    """``count`` members, each chosen from all of them: the same one may come several times.

    Raises OUT_OF_RANGE for more than ``MOST_REPEATED``.
    """
    if count > MOST_REPEATED:
        raise OUT_OF_RANGE
    if len(collection) <= SMALL:
        return random.choices(list(collection), k=count)
    index = _index(collection, now_ms, trash)
    return [index.pick() for _ in range(count)]


def pick_many(collection: Collection, count: int, now_ms: int, trash: Trash) -> list[bytes]:
    """``count`` different members; ``count`` is smaller than the collection."""
    if len(collection) <= SMALL or 3 * count > len(collection):
        return random.sample(list(collection), count)
    index = _index(collection, now_ms, trash)
    chosen: dict[bytes, None] = {}
    while len(chosen) < count:
        chosen[index.pick()] = None
    return list(chosen)


def take(collection: set[bytes], count: int, now_ms: int, trash: Trash) -> list[bytes]:
    """Remove ``count`` members of the set, fewer than all, chosen at random; returns them."""
    if len(collection) <= SMALL:
        members = [_walk(collection)] if count == 1 else random.sample(list(collection), count)
    else:
        index = _index(collection, now_ms, trash)
        members = [index.take() for _ in range(count)]
    collection.difference_update(members)
    return members


def sweep(now_ms: int, trash: Trash) -> None:
    """Drop the indexes of dead and of resting collections; called every few seconds."""
    for index in list(indexes.values()):
        if not index.collection or now_ms - index.used_ms > REST_MS:
            _forget(index, trash)


def _walk(collection: Collection) -> bytes:
    return next(islice(collection, int(random.random() * len(collection)), None))


def _index(collection: Collection, now_ms: int, trash: Trash) -> Index:
    index = indexes.pop(id(collection), None)
    if index is None or not index.sound:
        if index is not None:
            _discard(index, trash)
        sweep(now_ms, trash)
        index = Index(collection)
        room = MOST_INDEXED - len(index.members)
        while indexes and sum(len(other.members) for other in indexes.values()) > room:
            _forget(next(iter(indexes.values())), trash)
    index.used_ms = now_ms
    indexes[id(collection)] = index
    return index


def _forget(index: Index, trash: Trash) -> None:
    del indexes[id(index.collection)]
    _discard(index, trash)


def _discard(index: Index, trash: Trash) -> None:
    dead: Any
    for dead in (index.members, index.gone):
        if len(dead) > LARGE:
            trash.throw(dead)
