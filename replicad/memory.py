"""How many bytes a value takes in this process: an estimate, from the sizes that CPython's objects really have.

Owns: ``value_size`` and what it is made of.  Does not own who adds the sizes up (``ledger``), nor what INFO and MEMORY
say.  Called for MEMORY USAGE, and by the account that maxmemory needs.

An object costs what ``sys.getsizeof`` says, rounded up to 16 bytes: both pymalloc and glibc hand out memory in such steps.
Of a large collection some elements from both of its ends are measured and stand for the rest.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from itertools import islice
from sys import getsizeof
from typing import Any

from replicad.expiring_hash import ExpiringHash
from replicad.values import SortedSet, Stream

#: Mean cost of a bytes object above its length: 33 bytes of header and, on the average, half a step of rounding.
_TEXT = 40
#: So many strings tell how much the rounding is; in one collection they often have one length.
_ROUNDED = 8
#: A float that is somebody's score, rounded up.
_FLOAT = 32
#: The pair (score, member) in the order of a sorted set, and its place in a list that is not quite full.
_PAIR = 64 + 10
#: The id of a stream's entry (a pair and its milliseconds), the tuple around the fields, and two places in lists.
_STREAM_ENTRY = 64 + 32 + 44 + 20
#: The node of a stream, besides its entries.
_STREAM_NODE = 800
#: One deadline: the number, the pair in the heap and its place there, the entry of a dict.
DEADLINE = 32 + 64 + 12 + 52


def _scaled(measured: int, part: int, count: int) -> int:
    return measured * count // part if part else 0


def text_size(length: int) -> int:
    """The bytes of a ``bytes`` object of this length."""
    return length + 48 & -16


def _texts(items: Collection[bytes]) -> int:
    """The bytes of the strings together."""
    count, plain = len(items), sum(map(len, items))
    if count <= _ROUNDED:
        rounded, part = sum([len(text) + 48 & -16 for text in items]) - plain, count
    else:
        some = list(islice(items, _ROUNDED))
        rounded, part = sum([(len(text) + 48 & -16) - len(text) for text in some]), _ROUNDED
    return plain + _scaled(rounded, part, count)


def _ends(items: Any, count: int, samples: int) -> list[Any]:
    """Up to ``samples`` of the ``count`` items: all, or the first and the last; of a set, which has no order, the first."""
    if not 0 < samples < count:
        return list(items)
    if type(items) is set or samples < 2:
        return list(islice(items, samples))
    half = samples // 2
    return [*islice(items, samples - half), *islice(reversed(items), half)]


def value_size(value: Any, samples: int = 5) -> int:
    """About how many bytes ``value`` takes; ``samples`` of its elements are measured, with 0 all of them."""
    kind = type(value)
    if kind is bytes:
        return len(value) + 48 & -16
    if kind is dict or kind is ExpiringHash:
        return _hash_size(value, samples)
    if kind is deque or kind is set:
        count = len(value)
        items = _ends(value, count, samples)
        return getsizeof(value) + _scaled(_texts(items), len(items), count)
    if kind is SortedSet:
        return _sorted_set_size(value, samples)
    if kind is Stream:
        return _stream_size(value, samples)
    return getsizeof(value) + text_size(len(value.payload))  # of a module


def _hash_size(value: Any, samples: int) -> int:
    count = len(value)
    if 0 < samples < count:
        pairs = _ends(value.items(), count, samples)
        measured = _scaled(_texts([text for pair in pairs for text in pair]), len(pairs), count)
    else:
        measured = _texts(value) + _texts(value.values())
    if type(value) is ExpiringHash:
        measured += DEADLINE * len(value.deadlines)
    return getsizeof(value) + measured


def _sorted_set_size(value: SortedSet, samples: int) -> int:
    scores = value.scores
    count = len(scores)
    members = _ends(scores, count, samples)
    each = _FLOAT + (_PAIR if value.ordered else 0)
    size = getsizeof(value) + getsizeof(scores) + each * count
    return size + _scaled(_texts(members), len(members), count)


def _stream_size(value: Stream, samples: int) -> int:
    count = len(value)
    if not 0 < samples < count:
        entries = [fields for _, fields in value]
    else:
        half = samples // 2
        entries = [fields for _, fields in value.range(count=samples - half)]
        entries += [fields for _, fields in value.range(count=half, reverse=True)]
    measured = sum(_STREAM_ENTRY + 8 * len(fields) + _texts(fields) for fields in entries)
    size = getsizeof(value) + _STREAM_NODE * value.node_count + _scaled(measured, len(entries), count)
    for name, group in value.groups.items():
        size += text_size(len(name)) + 1000 + 250 * len(group.pending) + 300 * len(group.consumers)
    return size


def newest_size(value: Any) -> int | None:
    """The bytes of the element that came last, its place in the collection left out; None where that is not known."""
    kind = type(value)
    if kind is dict or kind is ExpiringHash:
        field = next(reversed(value))
        return len(field) + len(value[field]) + 2 * _TEXT
    if kind is deque:  # at one of the ends, or in the middle, which is rare
        return max(len(value[0]), len(value[-1])) + _TEXT
    if kind is SortedSet:
        return len(next(reversed(value.scores))) + _TEXT + _FLOAT + _PAIR
    return None


def container_size(value: Any) -> int:
    """The bytes of the table or the blocks that hold the elements; a table grows by leaps."""
    kind = type(value)
    return getsizeof(value.scores) if kind is SortedSet else 0 if kind is Stream else getsizeof(value)
