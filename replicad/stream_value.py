"""The stored type of streams: entries ordered by id.

Owns: ``Stream``.  Does not own its consumer groups (``consumer_group``), what the commands do, nor files.  Other modules
import the name from ``values``.

The entries of a Redis stream lie in nodes of up to 4,096 bytes or 100 entries.  Ours do too, with the limits counted as
Redis counts them, for two reasons: nothing is linear in a long stream, and trimming with ``~``, which removes whole nodes
only, removes what a real server removes.  Rejected: one list of ids (XDEL and XTRIM move megabytes), and one tree of
entries (three times the memory).
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from sortedcontainers import SortedDict

from .consumer_group import MAX_STREAM_ID, MIN_STREAM_ID, Group, StreamId

Fields = tuple[bytes, ...]

#: The defaults of stream-node-max-bytes and stream-node-max-entries.
NODE_BYTES = 4096
NODE_ENTRIES = 100
_MOST_NODE_BYTES = 1 << 30
#: The number of nodes of the radix tree is computed from this many keys, and estimated above.
_TREE_SAMPLE = 200


class _Node:
    """Some neighbouring entries.  ``size`` is what they take in Redis but for the two counters, in bytes; ``deleted``
    counts the entries whose place is still taken there, ``last`` is the greatest id among all of them, ``shared`` are the
    field names of the first entry."""

    __slots__ = ("deleted", "fields", "ids", "key", "last", "shared", "size")

    def __init__(self, key: StreamId, shared: Fields) -> None:
        self.key = self.last = key
        self.shared = shared
        self.ids: list[StreamId] = []
        self.fields: list[Fields] = []
        self.deleted = 0
        self.size = 9 + _integer_size(len(shared)) + sum(map(_text_size, shared))

    def copy(self) -> _Node:
        new = _Node.__new__(_Node)
        new.key, new.last, new.shared, new.deleted, new.size = self.key, self.last, self.shared, self.deleted, self.size
        new.ids = self.ids.copy()
        new.fields = self.fields.copy()
        return new


class Remains:
    """Nodes that were cut off, to be freed in slices."""

    __slots__ = ("_nodes",)

    def __init__(self, nodes: list[_Node]) -> None:
        self._nodes = nodes

    def __len__(self) -> int:
        return len(self._nodes)

    def parts(self) -> list[Any]:
        """The lists that the nodes are made of."""
        nodes, self._nodes = self._nodes, []
        return [part for node in nodes for part in (node.fields, node.ids)]


def _integer_size(number: int) -> int:
    """The bytes of an integer in a listpack."""
    if 0 <= number < 128:
        return 2
    if -4096 <= number < 4096:
        return 3
    if -(1 << 15) <= number < 1 << 15:
        return 4
    if -(1 << 23) <= number < 1 << 23:
        return 5
    return 6 if -(1 << 31) <= number < 1 << 31 else 10


def _text_size(text: bytes) -> int:
    """The bytes of a string in a listpack; what looks like an integer is one."""
    size = len(text)
    if 0 < size <= 20 and 48 <= text[-1] < 58:
        digits = text[1:] if text[0] == 45 else text
        if digits.isdigit() and (digits[0] != 48 or size == 1):
            number = int(text)
            if -(1 << 63) <= number < 1 << 63:
                return _integer_size(number)
    if size < 64:
        return size + 2
    size += 2 if size < 4096 else 5
    if size <= 127:
        return size + 1
    if size < 16383:
        return size + 2
    if size < 2097151:
        return size + 3
    return size + (4 if size < 268435455 else 5)


def _signed(number: int) -> int:
    """A difference of two 64-bit numbers folded into 64 signed bits."""
    return (number + (1 << 63)) % (1 << 64) - (1 << 63)


def _key_bytes(key: StreamId) -> int:
    return key[0] << 64 | key[1]


class Stream:
    """A Redis stream: entries ordered by id, and consumer groups.

    An id is a tuple (milliseconds, sequence), an entry a flat tuple (field, value, field, value, ...).

    ``last_id`` is the greatest id ever added, ``max_deleted_id`` the greatest that XDEL removed, ``entries_added``
    counts all entries ever added, ``groups`` maps names to :class:`Group`.  The methods do not touch
    ``max_deleted_id``, and ``entries_added`` only grows when entries are added.
    """

    __slots__ = ("_length", "_nodes", "_tail", "entries_added", "groups", "last_id", "max_deleted_id")

    def __init__(self) -> None:
        self._nodes: Any = SortedDict()  # key of a node to the node; never an empty node
        self._tail: _Node | None = None
        self._length = 0
        self.last_id: StreamId = MIN_STREAM_ID
        self.max_deleted_id: StreamId = MIN_STREAM_ID
        self.entries_added = 0
        self.groups: dict[bytes, Group] = {}

    @property
    def first_id(self) -> StreamId:
        """The id of the oldest entry, (0, 0) when there is none."""
        if not self._length:
            return MIN_STREAM_ID
        found: StreamId = self._nodes.peekitem(0)[1].ids[0]
        return found

    @property
    def top_id(self) -> StreamId:
        """The id of the newest entry that is still there, (0, 0) when there is none."""
        return MIN_STREAM_ID if self._tail is None else self._tail.ids[-1]

    def __len__(self) -> int:
        return self._length

    def __contains__(self, entry_id: object) -> bool:
        return self.get(entry_id) is not None  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[tuple[StreamId, Fields]]:
        """Iterate over (id, fields), oldest first.  The stream must not change meanwhile."""
        for node in self._nodes.values():
            yield from zip(node.ids, node.fields, strict=True)

    # -- nodes

    @property
    def node_count(self) -> int:
        """The number of nodes."""
        return len(self._nodes)

    def nodes(self) -> Iterator[tuple[StreamId, Fields, list[tuple[StreamId, Fields]]]]:
        """Iterate over the nodes as (first id ever, the field names of that entry, entries)."""
        for node in self._nodes.values():
            yield node.key, node.shared, list(zip(node.ids, node.fields, strict=True))

    def tree_size(self) -> int:
        """How many nodes the radix tree of Redis would have over the keys of ours; estimated for long streams."""
        keys = [_key_bytes(key) for key in self._nodes.islice(0, _TREE_SAMPLE)]
        if not keys:
            return 1
        # The depths (in bytes) at which neighbours part; each key is a leaf at depth 16.
        size = len(keys)
        path: list[int] = []  # depths of the branches on the way to the last key
        for first, second in pairwise(keys):
            depth = (128 - (first ^ second).bit_length()) // 8
            bottom = 16
            while path and path[-1] > depth:
                size += bottom > path[-1] + 1  # characters between a branch and what is below it are a node
                bottom = path.pop()
                size += 1
            if path and path[-1] == depth:
                size += bottom > depth + 1
            else:
                size += bottom > depth + 1
                path.append(depth)
        bottom = 16
        while path:
            size += bottom > path[-1] + 1
            bottom = path.pop()
            size += 1
        size += bottom > 0
        return size * len(self._nodes) // len(keys)

    def _node_of(self, entry_id: StreamId) -> _Node | None:
        """The node where ``entry_id`` is or would be."""
        tail = self._tail
        if tail is not None and entry_id >= tail.key:
            return tail
        for key in self._nodes.irange(None, entry_id, reverse=True):
            found: _Node = self._nodes[key]
            return found
        return None

    def _drop(self, node: _Node) -> None:
        """Remove a node whose entries are gone."""
        del self._nodes[node.key]
        if node is self._tail:
            self._tail = self._nodes.peekitem(-1)[1] if self._nodes else None

    # -- entries

    def get(self, entry_id: StreamId) -> Fields | None:
        """Return the fields of an entry, None when it does not exist."""
        node = self._node_of(entry_id)
        if node is None:
            return None
        ids = node.ids
        index = bisect_left(ids, entry_id)
        return node.fields[index] if index < len(ids) and ids[index] == entry_id else None

    def append(
        self, entry_id: StreamId, fields: Fields, node_bytes: int = NODE_BYTES, node_entries: int = NODE_ENTRIES
    ) -> None:
        """Add an entry; its id must be above ``last_id`` (ValueError otherwise).

        ``node_bytes`` and ``node_entries`` are the directives stream-node-max-*; 0 is no limit.
        """
        if entry_id <= self.last_id:
            raise ValueError("stream ids must grow")
        node = self._tail
        if node is not None:
            living = len(node.ids)
            size = node.size + _integer_size(living) + _integer_size(node.deleted)
            limit = node_bytes if 0 < node_bytes <= _MOST_NODE_BYTES else _MOST_NODE_BYTES
            full = node_entries and living + node.deleted >= node_entries
            if full or size + sum(map(len, fields)) >= limit:
                node = None
        if node is None:
            node = self._tail = self._nodes[entry_id] = _Node(entry_id, fields[::2])
        key = node.key
        if fields[::2] == node.shared:
            parts, count = fields[1::2], len(fields) // 2 + 3
            size = 2
        else:
            parts, count = fields, len(fields) + 4
            size = 2 + _integer_size(len(fields) // 2)
        node.size += (
            size
            + _integer_size(_signed(entry_id[0] - key[0]))
            + _integer_size(_signed(entry_id[1] - key[1]))
            + _integer_size(count)
            + sum(map(_text_size, parts))
        )
        node.ids.append(entry_id)
        node.last = entry_id
        node.fields.append(fields)
        self._length += 1
        self.last_id = entry_id
        self.entries_added += 1

    def append_node(
        self,
        key: StreamId,
        shared: Fields,
        entries: list[tuple[StreamId, Fields]],
        deleted: int,
        size: int,
        newest: StreamId = MIN_STREAM_ID,
    ) -> None:
        """Add a node as a snapshot holds it: living ``entries``, the number of ``deleted`` ones that still take place, its
        ``size`` in bytes, the greatest id (``newest``) of a deleted one.  Raises ValueError when the ids do not grow."""
        last = self.last_id
        if self._tail is not None and key < self._tail.key:
            raise ValueError("stream nodes must grow")
        for entry_id, _ in entries:
            if entry_id <= last:
                raise ValueError("stream ids must grow")
            last = entry_id
        if not entries:
            return
        if key > entries[0][0] or key in self._nodes:
            raise ValueError("stream node begins behind its entries")
        node = self._tail = self._nodes[key] = _Node.__new__(_Node)
        node.key, node.shared, node.deleted = key, shared, deleted
        node.last = max(last, newest)
        node.ids = [entry_id for entry_id, _ in entries]
        node.fields = [fields for _, fields in entries]
        node.size = size - _integer_size(len(entries)) - _integer_size(deleted)
        self._length += len(entries)
        self.entries_added += len(entries)
        self.last_id = last

    def delete(self, entry_id: StreamId) -> bool:
        """Remove one entry; return whether it was there."""
        node = self._node_of(entry_id)
        if node is None:
            return False
        ids = node.ids
        index = bisect_left(ids, entry_id)
        if index == len(ids) or ids[index] != entry_id:
            return False
        del ids[index]
        del node.fields[index]
        node.deleted += 1
        self._length -= 1
        if not ids:
            self._drop(node)
        return True

    def trim(
        self, max_length: int | None, min_id: StreamId = MIN_STREAM_ID, *, whole_nodes: bool = False, limit: int = 0
    ) -> tuple[int, Remains]:
        """Remove the oldest entries: all but ``max_length``, or, when that is None, those below ``min_id``.

        With ``whole_nodes`` only as many as fill nodes, and only while ``limit`` (0: none) is not exceeded.  Returns the
        number of removed entries and what the caller may leave to the trash.
        """
        removed = 0
        nodes = self._nodes
        cut: list[_Node] = []
        if max_length == 0 and not whole_nodes and self._length:
            removed = self._length
            cut = list(nodes.values())
            self._nodes = SortedDict()
            nodes = self._nodes
            self._length = 0
        while nodes and (max_length is None or self._length > max_length):
            node: _Node = nodes.peekitem(0)[1]
            living = len(node.ids)
            if limit and removed + living > limit:
                break
            if self._length - living >= max_length if max_length is not None else node.last < min_id:
                nodes.popitem(0)
                cut.append(node)
                count = living
            elif whole_nodes:
                break
            else:
                if max_length is not None:
                    count = self._length - max_length
                else:
                    count = bisect_left(node.ids, min_id)
                del node.ids[:count]
                del node.fields[:count]
                node.deleted += count
                removed += count
                self._length -= count
                if not node.ids:  # of the entries below ``min_id`` only deleted ones come after them
                    self._drop(node)
                break
            removed += count
            self._length -= count
        if not nodes:
            self._tail = None
        return removed, Remains(cut)

    def trim_first(self, count: int) -> int:
        """Remove up to ``count`` of the oldest entries; return how many were removed."""
        return self.trim(max(self._length - max(count, 0), 0))[0]

    def parts(self) -> list[Any]:
        """What the stream is made of, to be freed piece by piece; the stream is of no use afterwards."""
        parts = Remains(list(self._nodes.values())).parts()
        for group in self.groups.values():
            parts += group.parts()
        self._nodes = SortedDict()
        self._tail = None
        self._length = 0
        return parts

    def range(
        self,
        start: StreamId = MIN_STREAM_ID,
        end: StreamId = MAX_STREAM_ID,
        count: int | None = None,
        reverse: bool = False,
    ) -> list[tuple[StreamId, Fields]]:
        """Return up to ``count`` entries with ``start`` <= id <= ``end``, oldest first, newest first when
        ``reverse``."""
        found: list[tuple[StreamId, Fields]] = []
        left = self._length if count is None else min(count, self._length)
        if left <= 0 or start > end:
            return found
        nodes = self._nodes
        first = self._node_of(start)
        for key in nodes.irange(None if first is None else first.key, end, reverse=reverse):
            node = nodes[key]
            ids = node.ids
            low = bisect_left(ids, start) if start > ids[0] else 0
            high = bisect_right(ids, end) if end < ids[-1] else len(ids)
            if high - low > left:
                if reverse:
                    low = high - left
                else:
                    high = low + left
            if low < high:
                part = list(zip(ids[low:high], node.fields[low:high], strict=True))
                if reverse:
                    part.reverse()
                found += part
                left -= high - low
                if not left:
                    break
        return found

    def copy(self) -> Stream:
        """Return an independent stream; the immutable entries are shared."""
        new = Stream()
        new._nodes.update({key: node.copy() for key, node in self._nodes.items()})
        new._tail = new._nodes.peekitem(-1)[1] if new._nodes else None
        new._length = self._length
        new.last_id = self.last_id
        new.max_deleted_id = self.max_deleted_id
        new.entries_added = self.entries_added
        new.groups = {name: group.copy() for name, group in self.groups.items()}
        return new

    def __eq__(self, other: object) -> bool:
        if type(other) is not Stream:
            return NotImplemented
        return (
            self._length == other._length
            and self.last_id == other.last_id
            and self.max_deleted_id == other.max_deleted_id
            and self.entries_added == other.entries_added
            and self.groups == other.groups
            and all(mine == theirs for mine, theirs in zip(self, other, strict=True))
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<Stream of {self._length}, last id {self.last_id[0]}-{self.last_id[1]}>"
