"""The stored types that are not plain Python, and what is common to all stored types.

A value in the keyspace is one of:

========== ==================================== ==============
Redis type Python type                          empty allowed
========== ==================================== ==============
string     ``bytes``                            yes
list       ``collections.deque`` of ``bytes``   no
set        ``set`` of ``bytes``                 no
hash       ``dict`` of ``bytes`` to ``bytes``   no
zset       :class:`SortedSet`                   no
stream     :class:`Stream`                      yes
module     :class:`ModuleValue`                 (opaque)
========== ==================================== ==============

Types are told apart with ``type(value) is dict`` and the like; nobody subclasses them, but for ``ExpiringHash``, a hash
whose fields have deadlines.  This module knows nothing of keys, expiry, clients or files.
"""

from __future__ import annotations

import sys
from bisect import bisect_left, insort
from collections import deque
from collections.abc import Iterable, Iterator
from math import inf, nextafter
from typing import Any

from sortedcontainers import SortedList

from .consumer_group import MAX_STREAM_ID, MIN_STREAM_ID, Consumer, Group, Pending, StreamId
from .stream_value import Fields, Stream

__all__ = [
    "MAX_STREAM_ID",
    "MIN_STREAM_ID",
    "TYPE_NAMES",
    "Consumer",
    "Entry",
    "Fields",
    "Group",
    "ModuleValue",
    "Pending",
    "SortedSet",
    "Stream",
    "StreamId",
    "Value",
    "copy_value",
    "memory_usage",
    "type_name",
]

#: Up to this many members the order of a sorted set is a plain list; inserting into it moves at most 2 KB.
_SMALL = 256


class SortedSet:
    """Members (bytes) with scores (float), ordered by score and then by member, as a Redis sorted set.

    ``scores`` maps member to score; read it freely, change it only through the methods.  The order is kept beside it:
    not at all until somebody asks for it while the set is small, as a sorted list up to 256 members, as a
    ``SortedList`` above.  A rank is a position counted from 0 at the lowest score.  Scores are never NaN: the caller
    refuses those.
    """

    __slots__ = ("_order", "scores")

    scores: dict[bytes, float]

    def __init__(self) -> None:
        self.scores = {}
        # None while nobody asked for the order, else a list or a SortedList of (score, member).
        self._order: Any = None

    @classmethod
    def from_pairs(cls, pairs: Iterable[tuple[bytes, float]]) -> SortedSet:
        """Build a set from (member, score) pairs in any order; the last score of a repeated member wins."""
        return cls.from_scores(dict(pairs))

    @classmethod
    def from_scores(cls, scores: dict[bytes, float]) -> SortedSet:
        """Build a set that takes over ``scores``; the caller must not use the dictionary again."""
        new = cls.__new__(cls)
        new.scores = scores
        new._order = None
        if len(scores) > _SMALL:
            new._build()
        return new

    def _build(self) -> Any:
        """Make the order from the scores and return it."""
        pairs = [(score, member) for member, score in self.scores.items()]
        pairs.sort()
        order: Any = pairs if len(pairs) <= _SMALL else SortedList(pairs)
        self._order = order
        return order

    @property
    def ordered(self) -> bool:
        """Whether the order is there; without it the set takes less memory."""
        return self._order is not None

    def set(self, member: bytes, score: float) -> None:
        """Insert ``member`` or move it to ``score``.  Does nothing when it has that score already."""
        scores = self.scores
        old = scores.get(member)
        if old is not None:
            if old == score:
                return
            order = self._order
            if order is not None:
                if type(order) is list:
                    del order[bisect_left(order, (old, member))]
                else:
                    order.remove((old, member))
        else:
            order = self._order
        scores[member] = score
        if order is None:
            if len(scores) > _SMALL:
                self._build()
        elif type(order) is list:
            insort(order, (score, member))
            if len(order) > _SMALL:
                self._order = SortedList(order)
        else:
            order.add((score, member))

    def remove(self, member: bytes) -> bool:
        """Remove ``member``; return whether it was there."""
        score = self.scores.pop(member, None)
        if score is None:
            return False
        order = self._order
        if order is not None:
            if type(order) is list:
                del order[bisect_left(order, (score, member))]
            else:
                order.remove((score, member))
        return True

    def score(self, member: bytes) -> float | None:
        """Return the score of ``member``, None when it is not in the set."""
        return self.scores.get(member)

    def __len__(self) -> int:
        return len(self.scores)

    def __contains__(self, member: object) -> bool:
        return member in self.scores

    def __iter__(self) -> Iterator[tuple[bytes, float]]:
        order = self._order
        if order is None:
            order = self._build()
        return ((member, score) for score, member in order)

    def items(self) -> Iterator[tuple[bytes, float]]:
        """Iterate over (member, score) from the lowest rank up."""
        return iter(self)

    def unordered(self) -> Iterator[tuple[bytes, float]]:
        """Iterate over (member, score) without making an order.

        If there is one it is from the highest rank down, which whoever builds an order of these pairs does fastest.
        """
        order = self._order
        if order is None:
            return iter(self.scores.items())
        return ((member, score) for score, member in reversed(order))

    def __eq__(self, other: object) -> bool:
        if type(other) is not SortedSet:
            return NotImplemented
        return self.scores == other.scores

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<SortedSet of {len(self.scores)}>"

    def rank(self, member: bytes) -> int | None:
        """Return the 0-based ascending rank of ``member``, None when it is not in the set."""
        score = self.scores.get(member)
        if score is None:
            return None
        order = self._order
        if order is None:
            order = self._build()
        if type(order) is list:
            return bisect_left(order, (score, member))
        found: int = order.bisect_left((score, member))
        return found

    def slice(self, start: int, stop: int) -> list[tuple[bytes, float]]:
        """Return (member, score) for the ranks ``start`` <= rank < ``stop``, both clamped to the set, ascending."""
        order = self._order
        if order is None:
            order = self._build()
        start = max(start, 0)
        if stop <= start:
            return []
        return [(member, score) for score, member in order[start:stop]]

    def slice_desc(self, start: int, stop: int) -> list[tuple[bytes, float]]:
        """Like :meth:`slice`, but ranks count from the highest score down and so does the result."""
        size = len(self.scores)
        found = self.slice(size - stop, size - max(start, 0))
        found.reverse()
        return found

    def bisect_score(self, score: float, right: bool) -> int:
        """Return how many members have a score below ``score`` (or equal to it too, when ``right``)."""
        order = self._order
        if order is None:
            order = self._build()
        if right:
            if score == inf:
                return len(order)
            score = nextafter(score, inf)
        if type(order) is list:
            return bisect_left(order, (score,))
        found: int = order.bisect_left((score,))
        return found

    def bisect_lex(self, member: bytes, right: bool) -> int:
        """Return how many members sort before ``member`` (or equal to it too, when ``right``).

        As BYLEX does, this takes for granted that all scores are equal; with other sets the result has no meaning.
        """
        order = self._order
        if order is None:
            order = self._build()
        if not order:
            return 0
        wanted = (order[0][0], member + b"\0" if right else member)
        if type(order) is list:
            return bisect_left(order, wanted)
        found: int = order.bisect_left(wanted)
        return found

    def pop_first(self, count: int) -> list[tuple[bytes, float]]:
        """Remove and return up to ``count`` members with the lowest scores, lowest first."""
        return self.remove_slice(0, count)

    def pop_last(self, count: int) -> list[tuple[bytes, float]]:
        """Remove and return up to ``count`` members with the highest scores, highest first."""
        size = len(self.scores)
        found = self.remove_slice(max(size - count, 0), size)
        found.reverse()
        return found

    def remove_slice(self, start: int, stop: int) -> list[tuple[bytes, float]]:
        """Remove the ranks ``start`` <= rank < ``stop`` and return them as (member, score), ascending."""
        found = self.slice(start, stop)
        if found:
            start = max(start, 0)
            del self._order[start : start + len(found)]
            scores = self.scores
            for member, _ in found:
                del scores[member]
        return found

    def parts(self) -> list[Any]:
        """Empty the set and return the containers it was made of, for whoever frees them in slices."""
        scores, order = self.scores, self._order
        self.scores, self._order = {}, None
        return [scores] if order is None else [scores, order]

    def copy(self) -> SortedSet:
        """Return an independent set with the same members."""
        new = SortedSet.__new__(SortedSet)
        new.scores = self.scores.copy()
        order = self._order
        new._order = None if order is None else order.copy()
        return new


_MODULE_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


class ModuleValue:
    """A value of a module type that this server does not have, kept as it was received.

    ``payload`` is the RDB form of the value without its type byte: module id, tagged items, end tag.
    """

    __slots__ = ("payload",)

    def __init__(self, payload: bytes) -> None:
        self.payload = payload

    @property
    def module_id(self) -> int:
        """The 64-bit id of the module type, which spells its name; 0 when the payload does not start with one."""
        # An RDB length; an id always needs the 64-bit form, because its first character sits in the top bits.
        return int.from_bytes(self.payload[1:9], "big") if self.payload[:1] == b"\x81" else 0

    @property
    def name(self) -> bytes:
        """The nine characters of the module type."""
        module_id = self.module_id
        return bytes(_MODULE_ALPHABET[module_id >> shift & 63] for shift in range(58, 9, -6))

    def __eq__(self, other: object) -> bool:
        if type(other) is not ModuleValue:
            return NotImplemented
        return self.payload == other.payload

    def __hash__(self) -> int:
        return hash(self.payload)

    def __repr__(self) -> str:
        return f"<ModuleValue {self.name.decode()} of {len(self.payload)} bytes>"


Value = bytes | deque[bytes] | set[bytes] | dict[bytes, bytes] | SortedSet | Stream | ModuleValue
#: (database index, key, value, Unix ms of expiry or None)
Entry = tuple[int, bytes, Value, int | None]

#: What TYPE answers, by Python type (module values: see :func:`type_name`).
TYPE_NAMES: dict[type, bytes] = {
    bytes: b"string",
    deque: b"list",
    set: b"set",
    dict: b"hash",
    SortedSet: b"zset",
    Stream: b"stream",
    ModuleValue: b"module",
}


def type_name(value: Any) -> bytes:
    """Return the word that TYPE answers for ``value``; for a module value that is the name of the module's type."""
    if type(value) is ModuleValue:
        return value.name
    return TYPE_NAMES[type(value)]


def copy_value(value: Any) -> Any:
    """Return a copy that later changes of ``value`` do not reach.  Immutable parts are shared."""
    kind = type(value)
    if kind is bytes or kind is ModuleValue:
        return value
    return value.copy()


def memory_usage(value: Any, samples: int = 5) -> int:
    """Estimate the bytes of memory behind ``value``, from ``samples`` of its elements (0 means all of them)."""
    size_of = sys.getsizeof
    kind = type(value)
    if kind is bytes:
        return size_of(value)
    if kind is ModuleValue:
        return size_of(value) + size_of(value.payload)
    if kind is deque or kind is set:
        return size_of(value) + _scaled((size_of(item) for item in value), len(value), samples)
    if isinstance(value, dict):
        return size_of(value) + _scaled((size_of(f) + size_of(v) for f, v in value.items()), len(value), samples)
    if kind is SortedSet:
        # Per member: the score object and, once the order was asked for, a pair and a place in the order.
        each = 24 + (0 if value._order is None else 56 + 8)
        sizes = (size_of(member) + each for member in value.scores)
        return size_of(value) + size_of(value.scores) + _scaled(sizes, len(value), samples)
    if kind is Stream:
        # Per entry: the id (a pair of two numbers), the tuple of fields, and a place for each in a list.
        sizes = (56 + 64 + 16 + size_of(fields) + sum(map(size_of, fields)) for _, fields in value)
        total: int = size_of(value) + 600 * value.node_count + _scaled(sizes, len(value), samples)
        for name, group in value.groups.items():
            total += size_of(name) + 1000 + 250 * len(group.pending) + 150 * len(group.consumers)
        return total
    raise TypeError(f"not a stored type: {kind.__name__}")


def _scaled(sizes: Iterable[int], count: int, samples: int) -> int:
    """Sum ``sizes``, or extrapolate from the first ``samples`` of them to ``count``."""
    if samples <= 0 or samples >= count:
        return sum(sizes)
    total = 0
    for _, size in zip(range(samples), sizes, strict=False):
        total += size
    return total * count // samples
