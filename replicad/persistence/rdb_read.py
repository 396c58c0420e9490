"""Reading single values of an RDB document from bytes that arrive in pieces.

The readers are generators over a :class:`Source`.  A reader that needs more bytes yields, and goes on where it stopped
when the source has them.  That was chosen over the simpler "try again from the start of the key": a set of a million
members would be read again and again while it arrives, or would have to be read in one go that stops the server.  Every
wait asks for exactly the bytes that are needed next, so a key is complete with its last byte and never later.

Nothing is reserved for what a length claims before the bytes are there.  What is wrong is reported as
:class:`~replicad.persistence.rdb_compact.Corrupt`, near ``source.pos``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator
from struct import Struct
from typing import Any

from ..expiring_hash import ExpiringHash
from ..values import Consumer, Fields, Group, ModuleValue, Pending, SortedSet, Stream, StreamId
from .lzf import decompress
from .rdb_compact import Corrupt, read_intset, read_listpack, read_ziplist, read_zipmap
from .rdb_write import encode_length

_double = Struct("<d").unpack_from
_i64 = Struct("<q").unpack_from
_id = Struct(">QQ").unpack_from

#: No string can be longer: 2**40 bytes are more than any server holds, so a longer one is damage and not worth waiting
#: for.
_MAX_STRING = 2**40
_U64 = 2**64 - 1

#: A reader: yields None to wait for bytes, returns what it read.
Reader = Generator[None, None, Any]


class Source:
    """The bytes that were received and not yet read: ``buf`` from ``pos`` on.

    ``base`` is the position of ``buf[0]`` in the document.  ``needed`` is how many bytes from ``pos`` on the reader
    waits for.
    """

    __slots__ = ("base", "buf", "needed", "pos")

    def __init__(self, buf: bytes = b"") -> None:
        self.buf = buf
        self.pos = 0
        self.base = 0
        self.needed = 0

    def wait(self, count: int) -> Generator[None, None, None]:
        """Wait until ``count`` bytes follow ``pos``."""
        while len(self.buf) - self.pos < count:
            self.needed = count
            yield

    def take(self, count: int) -> Reader:
        """Read ``count`` raw bytes."""
        if len(self.buf) - self.pos < count:
            yield from self.wait(count)
        start = self.pos
        self.pos = start + count
        return self.buf[start : self.pos]

    def length(self) -> Reader:
        """Read a length (or any other number that is coded as one)."""
        number, special = yield from self._coded()
        if special:
            raise Corrupt("special string coding where a length belongs")
        return number

    def short_length(self) -> int:
        """Read a length of one byte if one is there, else return -1; saves the small collections a generator."""
        if self.pos < len(self.buf) and (size := self.buf[self.pos]) < 64:
            self.pos += 1
            return size
        return -1

    def plain_string(self) -> bytes | None:
        """Read a string of up to 16 KB if it is there as it is, else return None."""
        buf, start = self.buf, self.pos
        if start + 1 >= len(buf):
            return None
        size = buf[start]
        if size < 64:
            start += 1
        elif size < 128:
            size = (size & 63) << 8 | buf[start + 1]
            start += 2
        else:
            return None
        stop = start + size
        if stop > len(buf):
            return None
        self.pos = stop
        return buf[start:stop]

    def _coded(self) -> Reader:
        """Read a length or the kind of a special string; return it and whether it is a special string."""
        if self.pos >= len(self.buf):
            yield from self.wait(1)
        first = self.buf[self.pos]
        kind = first >> 6
        if kind == 0 or kind == 3:
            self.pos += 1
            return first & 63, kind == 3
        if kind == 1:
            raw = yield from self.take(2)
            return (raw[0] & 63) << 8 | raw[1], False
        if first == 0x80:
            raw = yield from self.take(5)
        elif first == 0x81:
            raw = yield from self.take(9)
        else:
            raise Corrupt(f"length starts with {first:#04x}")
        return int.from_bytes(raw[1:], "big"), False

    def string(self) -> Reader:
        """Read a string in any of its codings."""
        size, special = yield from self._coded()
        if not special:
            if size > _MAX_STRING:
                raise Corrupt(f"string claims {size} bytes")
            if len(self.buf) - self.pos < size:
                yield from self.wait(size)
            start = self.pos
            self.pos = start + size
            return self.buf[start : self.pos]
        if size < 3:
            raw = yield from self.take(1 << size)
            return b"%d" % int.from_bytes(raw, "little", signed=True)
        if size != 3:
            raise Corrupt(f"unknown string coding {size}")
        packed_size = yield from self.length()
        size = yield from self.length()
        if packed_size > _MAX_STRING:
            raise Corrupt(f"string claims {packed_size} bytes")
        packed = yield from self.take(packed_size)
        try:
            return decompress(packed, size)
        except ValueError as error:
            raise Corrupt(str(error)) from None

    def stream_id(self) -> Reader:
        """Read a stream id that is coded as two lengths."""
        milliseconds = yield from self.length()
        sequence = yield from self.length()
        return milliseconds, sequence


def read_strings(source: Source, count: int, append: Callable[[bytes], object]) -> Generator[None, None, None]:
    """Read ``count`` strings and pass each to ``append``."""
    buf, pos = source.buf, source.pos
    end = len(buf)
    while count:
        count -= 1
        if pos + 1 < end:
            size = buf[pos]
            if size < 64:
                start = pos + 1
                stop = start + size
            elif size < 128:
                start = pos + 2
                stop = start + ((size & 63) << 8 | buf[pos + 1])
            else:
                stop = end + 1
            if stop <= end:
                append(buf[start:stop])
                pos = stop
                continue
        source.pos = pos
        append((yield from source.string()))
        buf, pos = source.buf, source.pos
        end = len(buf)
    source.pos = pos


def parse_score(text: bytes) -> float:
    """Return the score that a decimal text stands for; Corrupt when it is none."""
    try:
        score = float(text)
    except ValueError:
        raise Corrupt("score is not a number") from None
    if score != score:
        raise Corrupt("score is NaN")
    return score


# One function per shape.  The blob readers get the container's elements, the others the source.


def _plain_string(source: Source) -> Reader:
    return (yield from source.string())


def _plain_list(source: Source) -> Reader:
    found: deque[bytes] = deque()
    if (count := source.short_length()) < 0:
        count = yield from source.length()
    yield from read_strings(source, count, found.append)
    return found


def _plain_set(source: Source) -> Reader:
    if (count := source.short_length()) < 0:
        count = yield from source.length()
    found: set[bytes] = set()
    yield from read_strings(source, count, found.add)
    if len(found) != count:
        raise Corrupt("set has a member twice")
    return found


def _plain_hash(source: Source) -> Reader:
    if (count := source.short_length()) < 0:
        count = yield from source.length()
    found: dict[bytes, bytes] = {}
    done = 0
    while done < count:
        # Pairs are read in steps, so that the flat list of a huge hash does not exist beside the hash.
        step = min(count - done, 1024)
        flat: list[bytes] = []
        yield from read_strings(source, step * 2, flat.append)
        found.update(zip(flat[::2], flat[1::2], strict=True))
        done += step
        if len(found) != done:
            raise Corrupt("hash has a field twice")
    return found


def _plain_zset(source: Source) -> Reader:
    """Scores are 8 bytes."""
    if (count := source.short_length()) < 0:
        count = yield from source.length()
    scores: dict[bytes, float] = {}
    for _ in range(count):
        buf, pos = source.buf, source.pos
        try:
            size = buf[pos]
            stop = pos + 1 + size
            if size < 64 and stop + 8 <= len(buf):
                (score,) = _double(buf, stop)
                if score != score:
                    raise Corrupt("score is NaN")
                scores[buf[pos + 1 : stop]] = score
                source.pos = stop + 8
                continue
        except IndexError:
            pass
        member = yield from source.string()
        (score,) = _double((yield from source.take(8)), 0)
        if score != score:
            raise Corrupt("score is NaN")
        scores[member] = score
    return _zset(scores, count)


def _text_zset(source: Source) -> Reader:
    """Scores are text with its length in one byte; three lengths have a meaning of their own."""
    count = yield from source.length()
    scores: dict[bytes, float] = {}
    for _ in range(count):
        member = yield from source.string()
        size = (yield from source.take(1))[0]
        if size == 255:
            score = float("-inf")
        elif size == 254:
            score = float("inf")
        elif size == 253:
            raise Corrupt("score is NaN")
        else:
            score = parse_score((yield from source.take(size)))
        scores[member] = score
    return _zset(scores, count)


def _zset(scores: dict[bytes, float], count: int) -> SortedSet:
    if len(scores) != count:
        raise Corrupt("sorted set has a member twice")
    return SortedSet.from_scores(scores)


def _pairs(elements: list[bytes]) -> dict[bytes, bytes]:
    if len(elements) % 2:
        raise Corrupt("container has an element without its partner")
    found = dict(zip(elements[::2], elements[1::2], strict=True))
    if len(found) * 2 != len(elements):
        raise Corrupt("container has a field or member twice")
    return found


def _to_set(elements: list[bytes]) -> set[bytes]:
    found = set(elements)
    if len(found) != len(elements):
        raise Corrupt("set has a member twice")
    return found


def _to_zset(elements: list[bytes]) -> SortedSet:
    if len(elements) % 2:
        raise Corrupt("container has an element without its partner")
    try:
        scores = dict(zip(elements[::2], map(float, elements[1::2]), strict=True))
    except ValueError:
        raise Corrupt("score is not a number") from None
    # One sum tells for nearly all sets that no score is NaN; opposite infinities have that sum too.
    if (total := sum(scores.values())) != total and any(score != score for score in scores.values()):
        raise Corrupt("score is NaN")
    if len(scores) * 2 != len(elements):
        raise Corrupt("container has a field or member twice")
    return SortedSet.from_scores(scores)


def _to_timed_hash(elements: list[bytes]) -> dict[bytes, bytes]:
    """Triples of a field, its content and its deadline, which is 0 when it has none."""
    if len(elements) % 3:
        raise Corrupt("hash has a field without its partners")
    found = dict(zip(elements[::3], elements[1::3], strict=True))
    if len(found) * 3 != len(elements):
        raise Corrupt("hash has a field twice")
    times: dict[bytes, float] = {}
    for field, text in zip(elements[::3], elements[2::3], strict=True):
        if text != b"0":
            times[field] = _field_time(int(text) if text.isdigit() and len(text) < 20 else -1)
    return _with_times(found, times)


def _field_time(at_ms: int) -> int:
    """The deadline of a hash field, if it can be one."""
    if not 0 < at_ms < 2**63:
        raise Corrupt("hash has a field with an impossible time")
    return at_ms


def _with_times(found: dict[bytes, bytes], times: dict[bytes, float]) -> dict[bytes, bytes]:
    """The hash; without deadlines it is an ordinary one."""
    return ExpiringHash(found, SortedSet.from_scores(times)) if times else found


def _container(reader: Callable[[bytes], list[bytes]], build: Callable[[list[bytes]], Any]) -> Callable[[bytes], Any]:
    """Make a function from a container's bytes to the collection that it holds."""

    def decode(data: bytes) -> Any:
        return build(reader(data))

    return decode


def _blob(decode: Callable[[bytes], Any], skipped: int = 0) -> Callable[[Source], Reader]:
    """Make a reader for a collection that is one container in one string, after ``skipped`` raw bytes."""

    def read(source: Source) -> Reader:
        if skipped:
            yield from source.take(skipped)
        if (data := source.plain_string()) is None:
            data = yield from source.string()
        return decode(data)

    return read


def _timed_hash(relative: bool) -> Callable[[Source], Reader]:
    """Make a reader for a hash with a number before each field, 0 when it has no deadline.

    The number is the deadline, or its distance (plus one) from the first deadline of all, which then stands in front.
    """

    def read(source: Source) -> Reader:
        start = _i64((yield from source.take(8)), 0)[0] - 1 if relative else 0
        count = yield from source.length()
        found: dict[bytes, bytes] = {}
        times: dict[bytes, float] = {}
        for _ in range(count):
            number = yield from source.length()
            field = yield from source.string()
            found[field] = yield from source.string()
            if number:
                times[field] = _field_time(start + number)
        if len(found) != count:
            raise Corrupt("hash has a field twice")
        return _with_times(found, times)

    return read


def _quicklist(source: Source) -> Reader:
    found: deque[bytes] = deque()
    for _ in range((yield from source.length())):
        found.extend(read_ziplist((yield from source.string())))
    return found


def _quicklist2(source: Source) -> Reader:
    found: deque[bytes] = deque()
    for _ in range((yield from source.length())):
        container = yield from source.length()
        data = yield from source.string()
        if container == 1:
            found.append(data)
        elif container == 2:
            found.extend(read_listpack(data))
        else:
            raise Corrupt(f"list has a node of unknown kind {container}")
    return found


def _module(source: Source) -> Reader:
    parts = [encode_length((yield from source.length()))]
    yield from read_module_items(source, parts)
    return ModuleValue(b"".join(parts))


def read_module_items(source: Source, parts: list[bytes]) -> Generator[None, None, None]:
    """Read the tagged items of a module value up to their end and append them to ``parts``."""
    while True:
        tag = yield from source.length()
        parts.append(encode_length(tag))
        if tag == 0:
            return
        if tag == 1 or tag == 2:
            parts.append(encode_length((yield from source.length())))
        elif tag == 3 or tag == 4:
            parts.append((yield from source.take(4 if tag == 3 else 8)))
        elif tag == 5:
            text = yield from source.string()
            parts.append(encode_length(len(text)))
            parts.append(text)
        else:
            raise Corrupt(f"module value has an item of unknown kind {tag}")


def _stream(form: int) -> Callable[[Source], Reader]:
    """Make a reader for one of the three forms of streams."""

    def read(source: Source) -> Reader:
        stream = Stream()
        for _ in range((yield from source.length())):
            node = yield from source.string()
            if len(node) != 16:
                raise Corrupt("stream node has an id of a wrong size")
            listpack = yield from source.string()
            _read_node(stream, _id(node, 0), read_listpack(listpack), len(listpack))
        if (yield from source.length()) != len(stream):
            raise Corrupt("stream has another number of entries than announced")
        last_id = yield from source.stream_id()
        if last_id < stream.last_id:
            raise Corrupt("stream has an entry above its last id")
        stream.last_id = last_id
        if form > 1:
            yield from source.stream_id()  # the first id, which the entries say themselves
            stream.max_deleted_id = yield from source.stream_id()
            stream.entries_added = yield from source.length()
        for _ in range((yield from source.length())):
            name = yield from source.string()
            if name in stream.groups:
                raise Corrupt("stream has a group twice")
            stream.groups[name] = yield from _group(source, stream, form)
        return stream

    return read


def _read_node(stream: Stream, node_id: StreamId, elements: list[bytes], size: int) -> None:
    """Append the living entries of one node of ``size`` bytes to ``stream``."""
    entries: list[tuple[StreamId, Fields]] = []
    try:
        live = int(elements[0])
        total = live + int(elements[1])
        width = int(elements[2])
        shared = elements[3 : 3 + width]
        position = 4 + width
        if width < 0 or elements[position - 1] != b"0":
            raise Corrupt("stream node has a wrong header")
        node_ms, node_seq = newest = node_id
        for _ in range(total):
            flags = int(elements[position])
            entry_id = (node_ms + int(elements[position + 1]) & _U64, node_seq + int(elements[position + 2]) & _U64)
            if flags & 2:
                start = position + 3
                stop = start + width
                fields = tuple(part for pair in zip(shared, elements[start:stop], strict=True) for part in pair)
            else:
                start = position + 4
                stop = start + 2 * int(elements[position + 3])
                fields = tuple(elements[start:stop])
            if stop < start or int(elements[stop]) != stop - position:
                raise Corrupt("stream entry has a wrong size")
            position = stop + 1
            if flags & 1:
                newest = max(newest, entry_id)
            else:
                live -= 1
                entries.append((entry_id, fields))
        stream.append_node(node_id, tuple(shared), entries, total - len(entries), size, newest)
    except (ValueError, IndexError):
        raise Corrupt("stream node does not hold together") from None
    if live or position != len(elements):
        raise Corrupt("stream node has another number of entries than announced")


def _group(source: Source, stream: Stream, form: int) -> Reader:
    group = Group((yield from source.stream_id()))
    if form > 1:
        entries_read = yield from source.length()
        group.entries_read = None if entries_read == _U64 else entries_read
    else:
        group.entries_read = _estimate_read(stream, group.last_delivered)
    free: dict[StreamId, tuple[int, int]] = {}
    for _ in range((yield from source.length())):
        entry_id = _id((yield from source.take(16)), 0)
        (time_ms,) = _i64((yield from source.take(8)), 0)
        if entry_id in free:
            raise Corrupt("stream group has a pending entry twice")
        free[entry_id] = time_ms, (yield from source.length())
    pending: dict[StreamId, Pending] = {}
    for _ in range((yield from source.length())):
        name = yield from source.string()
        if name in group.consumers:
            raise Corrupt("stream group has a consumer twice")
        (seen_ms,) = _i64((yield from source.take(8)), 0)
        active_ms = _i64((yield from source.take(8)), 0)[0] if form > 2 else seen_ms
        group.consumers[name] = Consumer(seen_ms, active_ms)
        for _ in range((yield from source.length())):
            entry_id = _id((yield from source.take(16)), 0)
            if entry_id not in free:
                raise Corrupt("stream consumer has a pending entry that the group has not")
            time_ms, times = free.pop(entry_id)
            pending[entry_id] = Pending(name, time_ms, times)
    if free:
        raise Corrupt("stream group has a pending entry without a consumer")
    group.pending.update(pending)
    return group


def _estimate_read(stream: Stream, entry_id: StreamId) -> int | None:
    """Return how many entries were read up to ``entry_id`` in a stream of the first form, None when that is unknown.

    That form does not say which entries were deleted, so a real server takes it that none were: the number is known at
    both ends of the stream and unknown in between.
    """
    size = len(stream)
    if not size or entry_id == stream.last_id:
        return size
    if entry_id > stream.last_id:
        return None
    if entry_id < stream.first_id:
        return 0
    return 1 if entry_id == stream.first_id else None


_timed_listpack_hash = _container(read_listpack, _to_timed_hash)

#: The types whose value is one container in one string, to the function that makes the collection of it.
CONTAINERS: dict[int, Callable[[bytes], Any]] = {
    9: _container(read_zipmap, _pairs),
    10: _container(read_ziplist, deque),
    11: _container(read_intset, _to_set),
    12: _container(read_ziplist, _to_zset),
    13: _container(read_ziplist, _pairs),
    16: _container(read_listpack, _pairs),
    17: _container(read_listpack, _to_zset),
    20: _container(read_listpack, _to_set),
    23: _timed_listpack_hash,
}

#: A node of a quicklist that is a listpack.
read_list_node = _container(read_listpack, deque)

#: Value type to its reader.
READERS: dict[int, Callable[[Source], Reader]] = {
    0: _plain_string,
    1: _plain_list,
    2: _plain_set,
    3: _text_zset,
    4: _plain_hash,
    5: _plain_zset,
    7: _module,
    14: _quicklist,
    15: _stream(1),
    18: _quicklist2,
    19: _stream(2),
    21: _stream(3),
    22: _timed_hash(relative=False),
    24: _timed_hash(relative=True),
    25: _blob(_timed_listpack_hash, skipped=8),
    **{kind: _blob(decode) for kind, decode in CONTAINERS.items()},
}
