"""What all stream commands share: ids as text, ids that limit a range, entries as replies, the counters of groups.

Owns: the parsers of ids with Redis's error texts, ``entries_reply``, ``advance`` and ``lag`` (the logical read counter of a
consumer group).  Called by the stream commands.
"""

from __future__ import annotations

import re

from replicad.errors import ReplyError, c_string, err
from replicad.keyspace import Database
from replicad.resp import Wire, pack
from replicad.values import MAX_STREAM_ID, MIN_STREAM_ID, Fields, Group, Stream, StreamId

INVALID_ID = err("Invalid stream ID specified as stream command argument")
MOST = 2**64 - 1
_LONGEST = 127
# What C's strtoull takes; the canonical form is tried before, and there a minus sign is refused.
_UNSIGNED = re.compile(rb"[ \t\n\v\f\r]*([+-]?)([0-9]+)")


def format_id(entry_id: StreamId) -> bytes:
    """An id as text."""
    return b"%d-%d" % entry_id


def _number(text: bytes) -> int:
    """One half of an id: 64 bits without a sign.  Raises INVALID_ID."""
    if text.isdigit() and len(text) < 20:
        return int(text)
    found = _UNSIGNED.fullmatch(text)
    if found is None:
        raise INVALID_ID
    number = int(found[2]) if len(found[2]) < 4000 else MOST + 1
    if number > MOST:
        raise INVALID_ID
    if found[1] == b"-":
        if text[0] == 45 and (text[1] != 48) and number <= 1 << 63:
            raise INVALID_ID
        return -number & MOST
    return number


def parse_id(text: bytes, missing: int = 0) -> StreamId:
    """A complete id, or one without its second half, which is ``missing`` then.  Raises INVALID_ID."""
    milliseconds, dash, sequence = text.partition(b"-")
    if dash and milliseconds.isdigit() and sequence.isdigit() and len(text) < 20:
        return int(milliseconds), int(sequence)
    if len(text) > _LONGEST:
        raise INVALID_ID
    milliseconds, dash, sequence = text.partition(b"\0")[0].partition(b"-")
    if not dash:
        return _number(milliseconds), missing
    return _number(milliseconds), _number(sequence)


def parse_bound(text: bytes, missing: int) -> tuple[StreamId, bool]:
    """An end of a range: ``-``, ``+``, an id, or an id behind ``(``; and whether that end itself is left out."""
    if text == b"-":
        return MIN_STREAM_ID, False
    if text == b"+":
        return MAX_STREAM_ID, False
    if text[:1] == b"(" and len(text) > 1:
        return parse_id(text[1:], missing), True
    return parse_id(text, missing), False


def parse_start(text: bytes) -> StreamId:
    """The lower end of a range, as the first id that belongs to it."""
    found, excluded = parse_bound(text, 0)
    if excluded:
        if found == MAX_STREAM_ID:
            raise err("invalid start ID for the interval")
        return after(found)
    return found


def parse_end(text: bytes) -> StreamId:
    """The upper end of a range, as the last id that belongs to it."""
    found, excluded = parse_bound(text, MOST)
    if excluded:
        if found == MIN_STREAM_ID:
            raise err("invalid end ID for the interval")
        milliseconds, sequence = found
        return (milliseconds, sequence - 1) if sequence else (milliseconds - 1, MOST)
    return found


def after(entry_id: StreamId) -> StreamId:
    """The next id; behind the greatest one comes 0-0 again."""
    milliseconds, sequence = entry_id
    if sequence < MOST:
        return milliseconds, sequence + 1
    return (milliseconds + 1, 0) if milliseconds < MOST else MIN_STREAM_ID


def entry_reply(entry_id: StreamId, fields: Fields) -> Wire:
    """One entry as an array of its id and its fields, encoded."""
    text = b"%d-%d" % entry_id
    return Wire(b"*2\r\n$%d\r\n%b\r\n%b" % (len(text), text, pack(fields) if fields else b"*0\r\n"))


def entries_reply(entries: list[tuple[StreamId, Fields]]) -> Wire:
    """An array of entries, encoded."""
    parts = [b"*%d\r\n" % len(entries)]
    for entry_id, fields in entries:
        text = b"%d-%d" % entry_id
        parts.append(b"*2\r\n$%d\r\n%b\r\n%b" % (len(text), text, pack(fields) if fields else b"*0\r\n"))
    return Wire(b"".join(parts))


def no_group(key: bytes, group: bytes, where: bytes = b"") -> ReplyError:
    """The error for a key or a group that is missing."""
    return ReplyError(b"NOGROUP No such key '%b' or consumer group '%b'%b" % (c_string(key), c_string(group), where))


def group_of(db: Database, key: bytes, name: bytes) -> tuple[Stream, Group] | None:
    """The stream under ``key`` and its group ``name``; None when either is missing.  Raises WRONG_TYPE."""
    stream = db.read(key, Stream)
    if stream is None:
        return None
    group = stream.groups.get(name)
    return None if group is None else (stream, group)


# -- counting what a group has read


def _deleted_from(stream: Stream, start: StreamId) -> bool:
    """Whether an entry from ``start`` on may have been deleted, so that ids and counters no longer go together."""
    return bool(len(stream)) and stream.max_deleted_id != MIN_STREAM_ID and start <= stream.max_deleted_id


def _distance(stream: Stream, entry_id: StreamId) -> int | None:
    """How many entries were ever added up to ``entry_id``; None when that cannot be told."""
    added = stream.entries_added
    if not added:
        return 0
    size = len(stream)
    if not size and entry_id <= stream.last_id:
        return added
    if entry_id >= stream.last_id:
        return added if entry_id == stream.last_id else None
    first = stream.first_id
    if stream.max_deleted_id == MIN_STREAM_ID or stream.max_deleted_id < first:
        if entry_id < first:
            return added - size
        if entry_id == first:
            return added - size + 1
    return None


def advance(stream: Stream, group: Group, entry_id: StreamId) -> None:
    """``entry_id`` is delivered: when it is new, it becomes the last one and counts as read."""
    if entry_id <= group.last_delivered:
        return
    if group.entries_read is not None and not _deleted_from(stream, entry_id):
        group.entries_read += 1
    elif stream.entries_added:
        group.entries_read = _distance(stream, entry_id)
    group.last_delivered = entry_id


def lag(stream: Stream, group: Group) -> int | None:
    """How many entries the group has not read yet; None when that cannot be told."""
    if not stream.entries_added:
        return 0
    if group.entries_read is not None and not _deleted_from(stream, group.last_delivered):
        return stream.entries_added - group.entries_read
    read = _distance(stream, group.last_delivered)
    return None if read is None else stream.entries_added - read
