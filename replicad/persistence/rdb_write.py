"""Writing single values of an RDB document.

Collections are always written in their plain form (types 1, 2, 4 and 5): every real server reads it and makes its own
compact form of it, so there is nothing to gain from choosing one here.  Hashes whose fields expire have a type of their own
(24, the plain one of Redis 7.4), and streams no plain form.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from struct import Struct
from typing import Any

from ..expiring_hash import ExpiringHash
from ..values import Fields, Group, ModuleValue, SortedSet, Stream, StreamId
from .lzf import compress
from .rdb_compact import canonical_integer, listpack_integer, listpack_string, write_listpack

_double = Struct("<d").pack
_i64 = Struct("<q").pack
_id = Struct(">QQ").pack

#: Elements of a collection that are put together before they are handed on; bounds both memory and the time of one
#: step.
_STEP = 512
_UNKNOWN = b"\x81" + b"\xff" * 8


def encode_length(number: int) -> bytes:
    """Return the shortest coding of ``number`` (0 to 2**64 - 1) as a length."""
    if number < 64:
        return bytes((number,))
    if number < 16384:
        return bytes((number >> 8 | 0x40, number & 0xFF))
    if number < 2**32:
        return b"\x80" + number.to_bytes(4, "big")
    return b"\x81" + number.to_bytes(8, "big")


#: Lengths of ordinary strings, ready made.
LENGTHS = tuple(encode_length(number) for number in range(1024))


def encode_integer(number: int) -> bytes | None:
    """Return the special string coding of an integer, None when it does not fit 32 bits."""
    if -128 <= number < 128:
        return b"\xc0" + number.to_bytes(1, "little", signed=True)
    if -(2**15) <= number < 2**15:
        return b"\xc1" + number.to_bytes(2, "little", signed=True)
    if -(2**31) <= number < 2**31:
        return b"\xc2" + number.to_bytes(4, "little", signed=True)
    return None


def encode_string(text: bytes, compressed: bool = False) -> bytes:
    """Return ``text`` as an RDB string: as an integer where it is one, else LZF when asked and worth it, else as it
    is."""
    size = len(text)
    if size < 12:
        number = canonical_integer(text)
        if number is not None:
            coded = encode_integer(number)
            if coded is not None:
                return coded
    elif compressed and size > 20:
        packed = compress(text, size - 4)
        if packed is not None:
            return b"\xc3" + encode_length(len(packed)) + encode_length(size) + packed
    return encode_length(size) + text


def _strings(items: Iterable[bytes], compressed: bool) -> Iterator[bytes]:
    """Yield the codings of ``items``, some hundred together."""
    iterator = iter(items)
    while batch := tuple(islice(iterator, _STEP)):
        yield _joined(batch, compressed, [])


def _joined(items: Iterable[bytes], compressed: bool, parts: list[bytes]) -> bytes:
    """Return ``parts`` and the codings of ``items``.  Elements are not turned into integers: it costs too much time."""
    lengths = LENGTHS
    for text in items:
        size = len(text)
        if compressed and size > 20:
            parts.append(encode_string(text, True))
        else:
            parts += (lengths[size] if size < 1024 else encode_length(size), text)
    return b"".join(parts)


def _string_pieces(value: bytes, _version: int, compressed: bool) -> Iterator[bytes]:
    yield encode_string(value, compressed)


def _plain_pieces(value: deque[bytes] | set[bytes], _version: int, compressed: bool) -> Iterator[bytes]:
    yield encode_length(len(value))
    yield from _strings(value, compressed)


def _hash_pieces(value: dict[bytes, bytes], _version: int, compressed: bool) -> Iterator[bytes]:
    yield encode_length(len(value))
    yield from _strings(chain.from_iterable(value.items()), compressed)


def _expiring_hash_pieces(value: ExpiringHash, version: int, compressed: bool) -> Iterator[bytes]:
    """Each field after the distance of its deadline from the first of all, plus one; 0 stands for none."""
    first = value.earliest()
    if first is None:
        yield from _hash_pieces(value, version, compressed)
        return
    yield _i64(first) + encode_length(len(value))
    deadline = value.deadline
    pairs = iter(value.items())
    while batch := tuple(islice(pairs, _STEP)):
        parts: list[bytes] = []
        for field, content in batch:
            at_ms = deadline(field)
            parts.append(encode_length(0 if at_ms is None else at_ms - first + 1))
            parts += (encode_string(field, compressed), encode_string(content, compressed))
        yield b"".join(parts)


def _zset_pieces(value: SortedSet, version: int, _compressed: bool) -> Iterator[bytes]:
    yield encode_length(len(value))
    lengths = LENGTHS
    pack = _double if version > 7 else _text_score
    iterator = value.unordered()
    while batch := tuple(islice(iterator, _STEP)):
        parts: list[bytes] = []
        for member, score in batch:
            size = len(member)
            parts += (lengths[size] if size < 1024 else encode_length(size), member, pack(score))
        yield b"".join(parts)


def _text_score(score: float) -> bytes:
    if score in (float("inf"), float("-inf")):
        return b"\xfe" if score > 0 else b"\xff"
    text = b"%.17g" % score
    return bytes((len(text),)) + text


def _module_pieces(value: ModuleValue, _version: int, _compressed: bool) -> Iterator[bytes]:
    yield value.payload


def _stream_pieces(value: Stream, version: int, compressed: bool) -> Iterator[bytes]:
    yield encode_length(value.node_count)
    for key, shared, entries in value.nodes():
        yield _node(key, shared, entries, compressed)
    parts = [encode_length(len(value)), _length_id(value.last_id)]
    if version > 9:
        parts += (_length_id(value.first_id), _length_id(value.max_deleted_id), encode_length(value.entries_added))
    parts.append(encode_length(len(value.groups)))
    yield b"".join(parts)
    for name, group in value.groups.items():
        yield from _group(name, group, version)


def _node(key: StreamId, shared: Fields, entries: list[tuple[StreamId, Fields]], compressed: bool) -> bytes:
    """Return the id and the listpack of one node; ``shared`` are field names that entries need not repeat."""
    node_ms, node_seq = key
    width = len(shared)
    integer, text = listpack_integer, listpack_string
    elements = [integer(len(entries)), integer(0), integer(width), *map(text, shared), integer(0)]
    for (milliseconds, sequence), fields in entries:
        same = fields[::2] == shared
        parts = fields[1::2] if same else fields
        elements += (
            integer(2 if same else 0),
            integer(_signed(milliseconds - node_ms)),
            integer(_signed(sequence - node_seq)),
        )
        if not same:
            elements.append(integer(len(fields) // 2))
        elements += map(text, parts)
        elements.append(integer(len(parts) + (3 if same else 4)))
    listpack = write_listpack(elements, len(elements))
    return b"\x10" + _id(node_ms, node_seq) + encode_string(listpack, compressed)


def _signed(number: int) -> int:
    """Fold a difference of two 64-bit numbers into the signed 64 bits that a listpack holds."""
    return (number + 2**63) % 2**64 - 2**63


def _length_id(entry_id: StreamId) -> bytes:
    return encode_length(entry_id[0]) + encode_length(entry_id[1])


def _group(name: bytes, group: Group, version: int) -> Iterator[bytes]:
    parts = [encode_string(name), _length_id(group.last_delivered)]
    if version > 9:
        parts.append(_UNKNOWN if group.entries_read is None else encode_length(group.entries_read))
    parts.append(encode_length(len(group.pending)))
    held: dict[bytes, list[bytes]] = {consumer: [] for consumer in group.consumers}
    for entry_id, item in group.pending.items():
        raw_id = _id(*entry_id)
        parts += (raw_id, _i64(item.delivery_time_ms), encode_length(item.delivery_count))
        held[item.consumer].append(raw_id)
    parts.append(encode_length(len(held)))
    yield b"".join(parts)
    for consumer_name, ids in held.items():
        consumer = group.consumers[consumer_name]
        parts = [encode_string(consumer_name), _i64(consumer.seen_time_ms)]
        if version > 10:
            parts.append(_i64(consumer.active_time_ms))
        parts.append(encode_length(len(ids)))
        parts += ids
        yield b"".join(parts)


#: Python type to (type byte, writer); the types that depend on the version are in :func:`value_type`.
_WRITERS: dict[type, tuple[int, Callable[[Any, int, bool], Iterator[bytes]]]] = {
    bytes: (0, _string_pieces),
    deque: (1, _plain_pieces),
    set: (2, _plain_pieces),
    SortedSet: (5, _zset_pieces),
    dict: (4, _hash_pieces),
    ExpiringHash: (24, _expiring_hash_pieces),
    Stream: (15, _stream_pieces),
    ModuleValue: (7, _module_pieces),
}


def value_type(value: Any, version: int) -> int:
    """Return the type byte of ``value`` in a document of this version."""
    kind = type(value)
    if kind is Stream and version > 9:
        return 19 if version == 10 else 21
    if kind is SortedSet and version < 8:
        return 3
    if kind is ExpiringHash and not value.deadlines:
        return 4
    return _WRITERS[kind][0]


def value_pieces(value: Any, version: int, compressed: bool = False) -> Iterable[bytes]:
    """Return the payload of ``value``, without its type byte, in pieces of some hundred elements."""
    kind = type(value)
    if kind is dict or kind is set or kind is deque:
        size = len(value)
        if size < _STEP:
            items = chain.from_iterable(value.items()) if kind is dict else value
            return (_joined(items, compressed, [encode_length(size)]),)
    return _WRITERS[type(value)][1](value, version, compressed)
