"""XREAD and XREADGROUP: reading several streams, waiting for new entries, delivery to consumers.

Owns: the options of both, what is delivered at once, and what when a stream grows later.  Does not own the queue of
waiting clients (``blocking``) nor the other commands of groups (``stream_groups``).

What was delivered is propagated as one XCLAIM for each entry, which says when and how often, and which moves the last
delivered id of the group along.  With NOACK nothing is pending and only that id moves (XGROUP SETID).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from replicad.command import command
from replicad.commands.arguments import integer
from replicad.commands.stream_ids import (
    advance,
    after,
    entries_reply,
    entry_reply,
    format_id,
    group_of,
    no_group,
    parse_id,
)
from replicad.errors import SYNTAX, TIMEOUT_NEGATIVE, ReplyError, err
from replicad.keyspecs import specs_of
from replicad.notifications import STREAM, report
from replicad.resp import BLOCKED, NULL_ARRAY, Wire, encode
from replicad.values import MAX_STREAM_ID, MIN_STREAM_ID, Consumer, Group, Pending, Stream, StreamId

if TYPE_CHECKING:
    from collections.abc import Callable

    from replicad.session import Client

_TIMEOUT = err("timeout is not an integer or out of range")
_UNBALANCED = err("Unbalanced XREAD list of streams: for each stream key an ID or '$' must be specified.")
_NO_DOLLAR = err(
    "The $ ID is meaningless in the context of XREADGROUP: you want to read the history of this consumer by specifying a "
    "proper ID, or use the > ID to get new messages. The $ ID would just return an empty result set."
)
_NO_NEW = err("The > ID can be specified only when calling XREADGROUP using the GROUP <group> <consumer> option.")
_GROUP_GONE = ReplyError(b"NOGROUP the consumer group this client was blocked on no longer exists")
_KEY_GONE = ReplyError(b"UNBLOCKED the stream key no longer exists")


class _Request:
    """The arguments of XREAD or XREADGROUP.  ``timeout_ms`` is None without BLOCK, ``count`` None for all entries."""

    __slots__ = ("consumer", "count", "group", "ids", "keys", "no_ack", "timeout_ms")

    def __init__(self) -> None:
        self.timeout_ms: int | None = None
        self.count: int | None = None
        self.group: bytes | None = None
        self.consumer = b""
        self.no_ack = False
        self.keys: list[bytes] = []
        self.ids: list[bytes] = []


def stream_keys(argv: list[bytes]) -> list[int]:
    """Where the keys of XREAD and XREADGROUP are: the first half of what follows STREAMS."""
    return specs_of(argv[0].lower())[0].positions(argv) or []


def _request(client: Client, argv: list[bytes], grouped: bool) -> _Request:
    found = _Request()
    at, last = 1, len(argv) - 1
    while at <= last:
        option = argv[at].upper()
        if option == b"BLOCK" and at < last:
            if client.in_script:
                raise err(b"%b command is not allowed with BLOCK option from scripts" % argv[0])
            at += 1
            found.timeout_ms = integer(argv[at], _TIMEOUT)
            if found.timeout_ms < 0:
                raise TIMEOUT_NEGATIVE
        elif option == b"COUNT" and at < last:
            at += 1
            count = integer(argv[at])
            found.count = count if count > 0 else None
        elif option == b"STREAMS" and at < last:
            half, odd = divmod(last - at, 2)
            if odd:
                raise _UNBALANCED
            found.keys, found.ids = argv[at + 1 : at + 1 + half], argv[at + 1 + half :]
            break
        elif option == b"GROUP" and last - at >= 2:
            if not grouped:
                raise err("The GROUP option is only supported by XREADGROUP. You called XREAD instead.")
            found.group, found.consumer = argv[at + 1], argv[at + 2]
            at += 2
        elif option == b"NOACK":
            if not grouped:
                raise err("The NOACK option is only supported by XREADGROUP. You called XREAD instead.")
            found.no_ack = True
        else:
            raise SYNTAX
        at += 1
    if not found.keys:
        raise SYNTAX
    if grouped and found.group is None:
        raise err("Missing GROUP option for XREADGROUP")
    return found


def _reply(client: Client, parts: list[tuple[bytes, Wire]]) -> Wire:
    """The reply for (key, entries): a map in RESP3 (a key may come twice), an array of pairs in RESP2."""
    if client.resp == 2:
        body = [b"*%d\r\n" % len(parts)] + [b"*2\r\n" + encode(key, 2) + wire for key, wire in parts]
    else:
        body = [b"%%%d\r\n" % len(parts)] + [encode(key, 3) + wire for key, wire in parts]
    return Wire(b"".join(body))


# -- XREAD


@command(
    b"XREAD", -4, "readonly blocking movablekeys", find_keys=stream_keys, group="stream", since="5.0.0",
)  # fmt: skip
def xread(client: Client, argv: list[bytes]) -> Any:
    """Returns the entries above an id, for several streams, and may wait for some.

    XREAD [COUNT count] [BLOCK milliseconds] STREAMS key [key ...] id [id ...]
    """
    request = _request(client, argv, False)
    db = client.db
    wanted: list[StreamId] = []
    for key, text in zip(request.keys, request.ids, strict=True):
        stream = db.read(key, Stream)
        if text == b"$":
            wanted.append(MIN_STREAM_ID if stream is None else stream.last_id)
        elif text == b"+":
            wanted.append(MIN_STREAM_ID if stream is None else _below_last(stream))
        elif text == b">":
            raise _NO_NEW
        else:
            wanted.append(parse_id(text))
    found = []
    for key, above in zip(request.keys, wanted, strict=True):
        stream = db.get(key)
        if stream is not None and stream.top_id > above:
            found.append((key, entries_reply(stream.range(after(above), count=request.count))))
    if found:
        return _reply(client, found)
    if request.timeout_ms is None:
        return NULL_ARRAY
    place = dict(zip(reversed(request.keys), reversed(wanted), strict=True))  # the first of equal keys counts
    grown = _growth(client, request.keys)

    def attempt(key: bytes) -> Any:
        stream = client.db.peek(key)
        if type(stream) is not Stream or not grown(key, stream) or stream.last_id <= place[key]:
            return BLOCKED
        return _reply(client, [(key, entries_reply(stream.range(after(place[key]), count=request.count)))])

    return client.block(request.keys, request.timeout_ms, attempt)


def _below_last(stream: Stream) -> StreamId:
    """The greatest id below the last entry: what ``+``, the last entry alone, means since Redis 7.4."""
    if not len(stream):
        return stream.last_id
    milliseconds, sequence = stream.top_id
    return (milliseconds, sequence - 1) if sequence else (milliseconds - 1, MAX_STREAM_ID[1])


def _growth(client: Client, keys: list[bytes]) -> Callable[[bytes, Stream], bool]:
    """A function that tells whether a stream got entries, or is another one, since it was asked last."""
    seen: dict[bytes, tuple[Any, int]] = {}
    for key in keys:
        stream = client.db.peek(key)
        if type(stream) is Stream:
            seen[key] = stream, stream.entries_added

    def grown(key: bytes, stream: Stream) -> bool:
        before = seen.get(key)
        seen[key] = stream, stream.entries_added
        return before is None or before[0] is not stream or before[1] != stream.entries_added

    return grown


# -- XREADGROUP


@command(
    b"XREADGROUP", -7, "write blocking movablekeys", find_keys=stream_keys, group="stream", since="5.0.0",
)  # fmt: skip
def xreadgroup(client: Client, argv: list[bytes]) -> Any:
    """Delivers new entries of streams to a consumer of a group, or repeats what it has not acknowledged yet.

    XREADGROUP GROUP group consumer [COUNT count] [BLOCK milliseconds] [NOACK] STREAMS key [key ...] id [id ...]
    """
    request = _request(client, argv, True)
    name = request.group
    assert name is not None
    db = client.db
    wanted: list[StreamId] = []
    streams: list[tuple[Stream, Group]] = []
    for key, text in zip(request.keys, request.ids, strict=True):
        found = group_of(db, key, name)
        if found is None:
            raise no_group(key, name, b" in XREADGROUP with GROUP option")
        if text == b"$":
            raise _NO_DOLLAR
        wanted.append(MAX_STREAM_ID if text == b">" else parse_id(text))
        streams.append(found)
    parts = []
    for key, above, (stream, group) in zip(request.keys, wanted, streams, strict=True):
        db.stats.hits += 1  # Redis looks it up a second time
        if above != MAX_STREAM_ID:
            consumer = _consumer(client, request, key, group)
            client.server.propagation.suppress()
            client.server.dirty += 1
            parts.append((key, _history(client, request, stream, group, consumer, above)))
        elif stream.top_id > group.last_delivered:
            parts.append((key, _deliver(client, request, key, stream, group)))
    if parts:
        return _reply(client, parts)
    if request.timeout_ms is None:
        return NULL_ARRAY
    grown = _growth(client, request.keys)

    def attempt(key: bytes) -> Any:
        stream = client.db.peek(key)
        if type(stream) is not Stream:
            raise _KEY_GONE
        group = stream.groups.get(name)
        if group is None:
            raise _GROUP_GONE
        if not grown(key, stream) or stream.last_id <= group.last_delivered:
            return BLOCKED
        return _reply(client, [(key, _deliver(client, request, key, stream, group))])

    return client.block(request.keys, request.timeout_ms, attempt, even_gone=True)


def _consumer(client: Client, request: _Request, key: bytes, group: Group) -> Consumer:
    """The consumer of the request, made when it is new, seen now."""
    now_ms = client.server.clock.now_ms
    consumer = group.consumers.get(request.consumer)
    if consumer is None:
        consumer = group.consumers[request.consumer] = Consumer(now_ms)
        client.server.dirty += 1
        report(client, STREAM, b"xgroup-createconsumer", key)
        if request.no_ack:
            client.server.propagation.replace(b"XGROUP", b"CREATECONSUMER", key, request.group or b"", request.consumer)
    else:
        consumer.seen_time_ms = now_ms
    return consumer


def _deliver(client: Client, request: _Request, key: bytes, stream: Stream, group: Group) -> Wire:
    """Give new entries to the consumer and tell the replicas."""
    server = client.server
    now_ms = server.clock.now_ms
    propagation = server.propagation
    propagation.suppress()
    consumer = _consumer(client, request, key, group)
    entries = stream.range(after(group.last_delivered), count=request.count)
    name, who = request.group or b"", request.consumer
    if entries:
        consumer.active_time_ms = now_ms
    for entry_id, _ in entries:
        advance(stream, group, entry_id)
        if not request.no_ack:
            item = group.assign(entry_id, who, now_ms, 1)
            if propagation.active:
                propagation.replace(*claim(key, name, entry_id, item, entry_id))
    if request.no_ack and entries:
        propagation.replace(*set_id(key, name, group))
    server.dirty += 1
    return entries_reply(entries)


def claim(key: bytes, group: bytes, entry_id: StreamId, item: Pending, last_id: StreamId) -> tuple[bytes, ...]:
    """The command that tells a replica who holds an entry."""
    return (
        b"XCLAIM", key, group, item.consumer, b"0", format_id(entry_id), b"TIME", b"%d" % item.delivery_time_ms,
        b"RETRYCOUNT", b"%d" % item.delivery_count, b"FORCE", b"JUSTID", b"LASTID", format_id(last_id),
    )  # fmt: skip


def set_id(key: bytes, name: bytes, group: Group) -> tuple[bytes, ...]:
    """The command that tells a replica how far a group has come."""
    read = -1 if group.entries_read is None else group.entries_read
    return b"XGROUP", b"SETID", key, name, format_id(group.last_delivered), b"ENTRIESREAD", b"%d" % read


def _history(client: Client, request: _Request, stream: Stream, group: Group, consumer: Consumer, above: StreamId) -> Any:
    """What the consumer got before and has not acknowledged; a deleted entry is its id and nothing."""
    now_ms = client.server.clock.now_ms
    parts: list[bytes] = []
    for entry_id, item in group.pending_range(after(above), consumer=request.consumer, count=request.count):
        fields = stream.get(entry_id)
        if fields is None:
            parts.append(encode([format_id(entry_id), NULL_ARRAY], client.resp))
            continue
        item.delivery_time_ms = now_ms
        item.delivery_count += 1
        parts.append(entry_reply(entry_id, fields))
    if parts:
        consumer.active_time_ms = now_ms
    return Wire(b"*%d\r\n" % len(parts) + b"".join(parts))
