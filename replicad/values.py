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

Types are told apart with ``type(value) is dict`` and the like; nobody subclasses them.  This module knows nothing of
keys, expiry, clients or files.
"""

from __future__ import annotations

import sys
from bisect import bisect_left, bisect_right, insort
from collections import deque
from collections.abc import Iterable, Iterator
from math import inf, nextafter
from typing import Any

from sortedcontainers import SortedDict, SortedList

StreamId = tuple[int, int]
Fields = tuple[bytes, ...]

MAX_STREAM_ID: StreamId = (2**64 - 1, 2**64 - 1)
MIN_STREAM_ID: StreamId = (0, 0)

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

    def copy(self) -> SortedSet:
        """Return an independent set with the same members."""
        new = SortedSet.__new__(SortedSet)
        new.scores = self.scores.copy()
        order = self._order
        new._order = None if order is None else order.copy()
        return new


class Pending:
    """One delivered and not yet acknowledged stream entry: to whom, when (Unix ms) and how many times."""

    __slots__ = ("consumer", "delivery_count", "delivery_time_ms")

    def __init__(self, consumer: bytes, delivery_time_ms: int, delivery_count: int) -> None:
        self.consumer = consumer
        self.delivery_time_ms = delivery_time_ms
        self.delivery_count = delivery_count

    def copy(self) -> Pending:
        """Return an independent copy."""
        return Pending(self.consumer, self.delivery_time_ms, self.delivery_count)

    def __eq__(self, other: object) -> bool:
        if type(other) is not Pending:
            return NotImplemented
        return (self.consumer, self.delivery_time_ms, self.delivery_count) == (
            other.consumer,
            other.delivery_time_ms,
            other.delivery_count,
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Pending({self.consumer!r}, {self.delivery_time_ms}, {self.delivery_count})"


class Consumer:
    """A consumer of a group: when it was last seen and last got entries (Unix ms, -1 for never)."""

    __slots__ = ("active_time_ms", "seen_time_ms")

    def __init__(self, seen_time_ms: int, active_time_ms: int = -1) -> None:
        self.seen_time_ms = seen_time_ms
        self.active_time_ms = active_time_ms

    def copy(self) -> Consumer:
        """Return an independent copy."""
        return Consumer(self.seen_time_ms, self.active_time_ms)

    def __eq__(self, other: object) -> bool:
        if type(other) is not Consumer:
            return NotImplemented
        return (self.seen_time_ms, self.active_time_ms) == (other.seen_time_ms, other.active_time_ms)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Consumer({self.seen_time_ms}, {self.active_time_ms})"


class Group:
    """A consumer group.

    ``last_delivered`` is a stream id, ``entries_read`` the logical read counter or None when it is unknown, ``pending``
    an id-ordered mapping of ids to :class:`Pending` (a ``SortedDict``, so ``irange`` works), ``consumers`` maps names
    to :class:`Consumer`.  Who holds an entry is said by ``Pending.consumer`` alone.
    """

    __slots__ = ("consumers", "entries_read", "last_delivered", "pending")

    def __init__(self, last_delivered: StreamId = MIN_STREAM_ID, entries_read: int | None = None) -> None:
        self.last_delivered = last_delivered
        self.entries_read = entries_read
        self.pending: Any = SortedDict()
        self.consumers: dict[bytes, Consumer] = {}

    def pending_range(
        self,
        start: StreamId = MIN_STREAM_ID,
        end: StreamId = MAX_STREAM_ID,
        consumer: bytes | None = None,
        count: int | None = None,
    ) -> list[tuple[StreamId, Pending]]:
        """Return up to ``count`` entries with ``start`` <= id <= ``end``, in order, of one consumer if named."""
        found: list[tuple[StreamId, Pending]] = []
        if count is not None and count <= 0:
            return found
        pending = self.pending
        for entry_id in pending.irange(start, end):
            item = pending[entry_id]
            if consumer is None or item.consumer == consumer:
                found.append((entry_id, item))
                if count is not None and len(found) >= count:
                    break
        return found

    def copy(self) -> Group:
        """Return an independent copy."""
        new = Group(self.last_delivered, self.entries_read)
        new.pending.update({entry_id: item.copy() for entry_id, item in self.pending.items()})
        new.consumers = {name: consumer.copy() for name, consumer in self.consumers.items()}
        return new

    def __eq__(self, other: object) -> bool:
        if type(other) is not Group:
            return NotImplemented
        return (
            self.last_delivered == other.last_delivered
            and self.entries_read == other.entries_read
            and dict(self.pending) == dict(other.pending)
            and self.consumers == other.consumers
        )

    __hash__ = None  # type: ignore[assignment]


class Stream:
    """A Redis stream: entries ordered by id, and consumer groups.

    An id is a tuple (milliseconds, sequence), an entry a flat tuple (field, value, field, value, ...).  Ids live in one
    ascending list and in a dictionary to the fields: appending and looking up cost nothing, ranges are found by
    bisection, and trimming at the old end only moves a mark until half of the list is stale.

    ``last_id`` is the greatest id ever added, ``max_deleted_id`` the greatest that XDEL removed, ``entries_added``
    counts all entries ever added, ``groups`` maps names to :class:`Group`.  The methods do not touch
    ``max_deleted_id``, and ``entries_added`` only grows in :meth:`append`.
    """

    __slots__ = ("_fields", "_head", "_ids", "entries_added", "groups", "last_id", "max_deleted_id")

    def __init__(self) -> None:
        self._ids: list[StreamId] = []
        self._head = 0
        self._fields: dict[StreamId, Fields] = {}
        self.last_id: StreamId = MIN_STREAM_ID
        self.max_deleted_id: StreamId = MIN_STREAM_ID
        self.entries_added = 0
        self.groups: dict[bytes, Group] = {}

    @property
    def first_id(self) -> StreamId:
        """The id of the oldest entry, (0, 0) when there is none."""
        return self._ids[self._head] if self._fields else MIN_STREAM_ID

    def __len__(self) -> int:
        return len(self._fields)

    def __contains__(self, entry_id: object) -> bool:
        return entry_id in self._fields

    def __iter__(self) -> Iterator[tuple[StreamId, Fields]]:
        """Iterate over (id, fields), oldest first.  The stream must not change meanwhile."""
        ids, fields = self._ids, self._fields
        for index in range(self._head, len(ids)):
            entry_id = ids[index]
            yield entry_id, fields[entry_id]

    def get(self, entry_id: StreamId) -> Fields | None:
        """Return the fields of an entry, None when it does not exist."""
        return self._fields.get(entry_id)

    def append(self, entry_id: StreamId, fields: Fields) -> None:
        """Add an entry; its id must be above ``last_id`` (ValueError otherwise)."""
        if entry_id <= self.last_id:
            raise ValueError("stream ids must grow")
        self._ids.append(entry_id)
        self._fields[entry_id] = fields
        self.last_id = entry_id
        self.entries_added += 1

    def delete(self, entry_id: StreamId) -> bool:
        """Remove one entry; return whether it was there."""
        if self._fields.pop(entry_id, None) is None:
            return False
        index = bisect_left(self._ids, entry_id, self._head)
        if index == self._head:
            self._advance(1)
        else:
            del self._ids[index]
        return True

    def trim_first(self, count: int) -> int:
        """Remove up to ``count`` of the oldest entries; return how many were removed."""
        count = min(count, len(self._fields))
        if count <= 0:
            return 0
        head, ids, fields = self._head, self._ids, self._fields
        for index in range(head, head + count):
            del fields[ids[index]]
        self._advance(count)
        return count

    def _advance(self, count: int) -> None:
        # The front of a list is expensive to delete one by one, so it is cut off when it is the larger part.
        self._head += count
        if self._head * 2 > len(self._ids):
            del self._ids[: self._head]
            self._head = 0

    def count_before(self, entry_id: StreamId, inclusive: bool = False) -> int:
        """Return how many entries have an id below ``entry_id`` (or equal to it too, when ``inclusive``)."""
        bisect = bisect_right if inclusive else bisect_left
        return bisect(self._ids, entry_id, self._head) - self._head

    def range(
        self,
        start: StreamId = MIN_STREAM_ID,
        end: StreamId = MAX_STREAM_ID,
        count: int | None = None,
        reverse: bool = False,
    ) -> list[tuple[StreamId, Fields]]:
        """Return up to ``count`` entries with ``start`` <= id <= ``end``, oldest first, newest first when
        ``reverse``."""
        ids, fields = self._ids, self._fields
        low = bisect_left(ids, start, self._head)
        high = bisect_right(ids, end, low)
        if count is not None and high - low > count:
            if reverse:
                low = high - max(count, 0)
            else:
                high = low + max(count, 0)
        found = [(entry_id, fields[entry_id]) for entry_id in ids[low:high]]
        if reverse:
            found.reverse()
        return found

    def copy(self) -> Stream:
        """Return an independent stream; the immutable entries are shared."""
        new = Stream()
        new._ids = self._ids[self._head :]
        new._fields = self._fields.copy()
        new.last_id = self.last_id
        new.max_deleted_id = self.max_deleted_id
        new.entries_added = self.entries_added
        new.groups = {name: group.copy() for name, group in self.groups.items()}
        return new

    def __eq__(self, other: object) -> bool:
        if type(other) is not Stream:
            return NotImplemented
        return (
            self._fields == other._fields
            and self.last_id == other.last_id
            and self.max_deleted_id == other.max_deleted_id
            and self.entries_added == other.entries_added
            and self.groups == other.groups
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<Stream of {len(self._fields)}, last id {self.last_id[0]}-{self.last_id[1]}>"


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
    if kind is dict:
        return size_of(value) + _scaled((size_of(f) + size_of(v) for f, v in value.items()), len(value), samples)
    if kind is SortedSet:
        # Per member: the score object and, once the order was asked for, a pair and a place in the order.
        each = 24 + (0 if value._order is None else 56 + 8)
        sizes = (size_of(member) + each for member in value.scores)
        return size_of(value) + size_of(value.scores) + _scaled(sizes, len(value), samples)
    if kind is Stream:
        # Per entry: the id (a pair of two numbers) and the tuple of fields.
        sizes = (56 + 64 + size_of(fields) + sum(map(size_of, fields)) for fields in value._fields.values())
        total = size_of(value) + size_of(value._ids) + size_of(value._fields) + _scaled(sizes, len(value), samples)
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
