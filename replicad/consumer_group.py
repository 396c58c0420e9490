"""The consumer groups of a stream: who got which entry and has not acknowledged it yet.

Owns: ``Group``, ``Consumer``, ``Pending``, and the type of stream ids.  Does not own the entries (``stream_value``).  Other
modules import the names from ``values``.
"""

from __future__ import annotations

from typing import Any

from sortedcontainers import SortedDict, SortedList

StreamId = tuple[int, int]

MAX_STREAM_ID: StreamId = (2**64 - 1, 2**64 - 1)
MIN_STREAM_ID: StreamId = (0, 0)


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


class _Records:
    """The pending entries of a dead group: ``pop`` frees one."""

    __slots__ = ("_pending",)

    def __init__(self, pending: Any) -> None:
        self._pending = pending

    def __len__(self) -> int:
        return len(self._pending)

    def pop(self) -> None:
        """Free one record."""
        self._pending.popitem()


class Group:
    """A consumer group.

    ``last_delivered`` is a stream id, ``entries_read`` the logical read counter or None when it is unknown, ``pending``
    an id-ordered mapping of ids to :class:`Pending` (a ``SortedDict``, so ``irange`` works), ``consumers`` maps names
    to :class:`Consumer`.  Who holds an entry is said by ``Pending.consumer``; an index of the ids by consumer is made
    when somebody asks for it first.  Fill ``pending`` directly only before that, later through the methods.
    """

    __slots__ = ("_held", "consumers", "entries_read", "last_delivered", "pending")

    def __init__(self, last_delivered: StreamId = MIN_STREAM_ID, entries_read: int | None = None) -> None:
        self.last_delivered = last_delivered
        self.entries_read = entries_read
        self.pending: Any = SortedDict()
        self.consumers: dict[bytes, Consumer] = {}
        # Consumer to a SortedList of the ids that it holds; None while nobody asked.
        self._held: dict[bytes, Any] | None = None

    def held_by(self, consumer: bytes) -> Any:
        """Return the ids that ``consumer`` holds, in order (a ``SortedList``, not to be changed, or an empty tuple)."""
        held = self._held
        if held is None:
            lists: dict[bytes, list[StreamId]] = {}
            for entry_id, item in self.pending.items():
                lists.setdefault(item.consumer, []).append(entry_id)
            held = self._held = {name: SortedList(ids) for name, ids in lists.items()}
        return held.get(consumer, ())

    def assign(self, entry_id: StreamId, consumer: bytes, delivery_time_ms: int, delivery_count: int) -> Pending:
        """Let ``consumer`` hold the entry, whoever held it before, and return its record."""
        pending, held = self.pending, self._held
        if held is None and not pending:
            held = self._held = {}
        item: Pending | None = pending.get(entry_id)
        if item is None:
            item = pending[entry_id] = Pending(consumer, delivery_time_ms, delivery_count)
        else:
            item.delivery_time_ms = delivery_time_ms
            item.delivery_count = delivery_count
            if item.consumer == consumer:
                return item
            if held is not None:
                held[item.consumer].remove(entry_id)
            item.consumer = consumer
        if held is not None:
            ids = held.get(consumer)
            if ids is None:
                ids = held[consumer] = SortedList()
            ids.add(entry_id)
        return item

    def release(self, entry_id: StreamId) -> bool:
        """Nobody holds the entry any more; return whether somebody did."""
        item = self.pending.pop(entry_id, None)
        if item is None:
            return False
        if self._held is not None:
            self._held[item.consumer].remove(entry_id)
        return True

    def remove_consumer(self, consumer: bytes) -> tuple[int, Group]:
        """Remove the consumer and all that it holds; return how many entries that were, and a group without a use that
        the caller may leave to the trash."""
        ids = self.held_by(consumer)
        count, kept = len(ids), len(self.pending) - len(ids)
        remains = Group()
        if kept < 4 * count:  # taking one out takes as long as moving some
            remains.pending = self.pending
            self.pending = SortedDict()
            if kept:
                self.pending.update([pair for pair in remains.pending.items() if pair[1].consumer != consumer])
        else:
            for entry_id in ids:
                del self.pending[entry_id]
        if self._held is not None:
            self._held.pop(consumer, None)
        self.consumers.pop(consumer, None)
        return count, remains

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
        ids: Any = pending
        if consumer is not None:
            ids = self.held_by(consumer)
            if not ids:
                return found
        for entry_id in ids.irange(start, end):
            found.append((entry_id, pending[entry_id]))
            if len(found) == count:
                break
        return found

    def __len__(self) -> int:
        """The number of pending entries."""
        return len(self.pending)

    def __bool__(self) -> bool:
        return True

    def parts(self) -> list[Any]:
        """What the group is made of, to be freed piece by piece; the group is of no use afterwards."""
        parts = [_Records(self.pending), *(self._held or {}).values()]
        self.pending = SortedDict()
        self._held = None
        return parts

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
