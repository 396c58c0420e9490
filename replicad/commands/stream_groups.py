"""The commands of consumer groups other than reading.

Owns: XGROUP, XACK, XPENDING, XCLAIM, XAUTOCLAIM.  Does not own XREADGROUP (``stream_reading``) nor XINFO
(``stream_info``).

A claimed entry is propagated as an XCLAIM that says the result: when, how often, the last delivered id of the group.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

from replicad.command import command
from replicad.commands.arguments import INT64_MAX, integer
from replicad.commands.help import help_of
from replicad.commands.stream_ids import (
    advance,
    entry_reply,
    format_id,
    group_of,
    no_group,
    parse_end,
    parse_id,
    parse_start,
)
from replicad.commands.stream_reading import claim, set_id
from replicad.errors import SYNTAX, WRONG_TYPE, ReplyError, c_string, err, unknown_subcommand
from replicad.notifications import STREAM, report
from replicad.resp import NULL_ARRAY, OK, Simple
from replicad.trash import LARGE
from replicad.values import MAX_STREAM_ID, MIN_STREAM_ID, Consumer, Group, Stream, StreamId

if TYPE_CHECKING:
    from replicad.session import Client

_KEY = (2, 2, 1)
_NO_KEY = err(
    "The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to use the MKSTREAM option to "
    "create an empty stream automatically."
)
_ENDS = {b"-": MIN_STREAM_ID, b"+": MAX_STREAM_ID}
_BUSY_GROUP = ReplyError(b"BUSYGROUP Consumer Group name already exists")


def no_such_group(key: bytes, name: bytes) -> ReplyError:
    """The error of XGROUP and XINFO for a group that is missing."""
    return ReplyError(b"NOGROUP No such consumer group '%b' for key name '%b'" % (c_string(name), c_string(key)))


# -- XGROUP


@command(b"XGROUP", -2, group="stream", since="5.0.0")
def xgroup(client: Client, argv: list[bytes]) -> Any:
    """Commands that make, change and remove consumer groups."""
    raise unknown_subcommand(b"XGROUP", argv[1])


def _wrong_use(argv: list[bytes]) -> ReplyError:
    return err(b"unknown subcommand or wrong number of arguments for '%b'. Try XGROUP HELP." % argv[1][:128])


def _options(argv: list[bytes], creating: bool) -> tuple[bool, int | None]:
    """MKSTREAM and ENTRIESREAD."""
    make = False
    read: int | None = None
    at = 5
    while at < len(argv):
        option = argv[at].upper()
        if creating and option == b"MKSTREAM":
            make = True
        elif option == b"ENTRIESREAD" and at + 1 < len(argv):
            at += 1
            read = integer(argv[at])
            if read < -1:
                raise err("value for ENTRIESREAD must be positive or -1")
            if read == -1:
                read = None
        else:
            raise _wrong_use(argv)
        at += 1
    return make, read


def _existing(client: Client, argv: list[bytes]) -> tuple[Stream, Group]:
    """The stream and the group that a subcommand names."""
    stream = client.db.writable(argv[2], Stream)
    if stream is None:
        raise _NO_KEY
    group = stream.groups.get(argv[3])
    if group is None:
        raise no_such_group(argv[2], argv[3])
    return stream, group


@command(b"XGROUP|CREATE", -5, "write denyoom", _KEY, group="stream", since="5.0.0")
def xgroup_create(client: Client, argv: list[bytes]) -> bytes:
    """Makes a group that reads what comes behind an id.

    XGROUP CREATE key group (id | $) [MKSTREAM] [ENTRIESREAD entries-read]
    """
    make, read = _options(argv, True)
    db, key, name = client.db, argv[2], argv[3]
    stream = db.writable(key, Stream)
    if stream is None and not make:
        raise _NO_KEY
    if len(argv) > 8:  # an option twice
        raise _wrong_use(argv)
    if argv[4] == b"$":
        last_id = MIN_STREAM_ID if stream is None else stream.last_id
    else:
        last_id = parse_id(argv[4])
    if stream is None:
        stream = Stream()
        db.put(key, stream)
    elif name in stream.groups:
        raise _BUSY_GROUP
    stream.groups[name] = Group(last_id, read)
    client.server.dirty += 1
    report(client, STREAM, b"xgroup-create", key)
    return OK


@command(b"XGROUP|SETID", -5, "write", _KEY, group="stream", since="5.0.0")
def xgroup_setid(client: Client, argv: list[bytes]) -> bytes:
    """Lets a group go on behind another id.

    XGROUP SETID key group (id | $) [ENTRIESREAD entries-read]
    """
    _, read = _options(argv, False)
    stream, group = _existing(client, argv)
    if len(argv) > 7:
        raise _wrong_use(argv)
    if argv[4] == b"$":
        group.last_delivered = stream.last_id
    else:  # unlike CREATE, it takes the words for both ends of a stream too
        group.last_delivered = _ENDS.get(argv[4]) or parse_id(argv[4])
    group.entries_read = read
    client.server.dirty += 1
    report(client, STREAM, b"xgroup-setid", argv[2])
    return OK


@command(b"XGROUP|DESTROY", 4, "write", _KEY, group="stream", since="5.0.0")
def xgroup_destroy(client: Client, argv: list[bytes]) -> int:
    """Removes a group with its consumers and pending entries.

    XGROUP DESTROY key group
    """
    stream = client.db.writable(argv[2], Stream)
    if stream is None:
        raise _NO_KEY
    group = stream.groups.pop(argv[3], None)
    if group is None:
        return 0
    if len(group) > LARGE:
        client.db.trash.throw(group)
    server = client.server
    server.dirty += 1
    report(client, STREAM, b"xgroup-destroy", argv[2])
    server.blocking.signal((client.db.index, argv[2]))  # who waits in the group is told; WATCH is not broken
    return 1


@command(b"XGROUP|CREATECONSUMER", 5, "write denyoom", _KEY, group="stream", since="6.2.0")
def xgroup_createconsumer(client: Client, argv: list[bytes]) -> int:
    """Makes a consumer in a group.

    XGROUP CREATECONSUMER key group consumer
    """
    _, group = _existing(client, argv)
    if argv[4] in group.consumers:
        return 0
    group.consumers[argv[4]] = Consumer(client.server.clock.now_ms)
    client.server.dirty += 1
    report(client, STREAM, b"xgroup-createconsumer", argv[2])
    return 1


@command(b"XGROUP|DELCONSUMER", 5, "write", _KEY, group="stream", since="5.0.0")
def xgroup_delconsumer(client: Client, argv: list[bytes]) -> int:
    """Removes a consumer from a group and returns how many entries were pending for it.

    XGROUP DELCONSUMER key group consumer
    """
    _, group = _existing(client, argv)
    if argv[4] not in group.consumers:
        return 0
    client.server.dirty += 1
    report(client, STREAM, b"xgroup-delconsumer", argv[2])
    removed, remains = group.remove_consumer(argv[4])
    if removed > LARGE:
        client.db.trash.throw(remains)
    return removed


@command(b"XGROUP|HELP", 2, "loading stale", group="stream", since="5.0.0")
def xgroup_help(client: Client, argv: list[bytes]) -> list[Simple]:
    """Lists the subcommands.

    XGROUP HELP
    """
    return help_of(b"XGROUP")


# -- acknowledging and asking


@command(b"XACK", -4, "write fast", (1, 1, 1), group="stream", since="5.0.0")
def xack(client: Client, argv: list[bytes]) -> int:
    """Acknowledges entries, so that they are pending no longer, and returns how many were.

    XACK key group id [id ...]
    """
    found = group_of(client.db, argv[1], argv[2])
    if found is None:
        return 0
    group = found[1]
    released = sum([group.release(entry_id) for entry_id in [parse_id(text) for text in argv[3:]]])
    client.server.dirty += released
    return released


@command(b"XPENDING", -3, "readonly", (1, 1, 1), group="stream", since="5.0.0")
def xpending(client: Client, argv: list[bytes]) -> Any:
    """Returns how many entries are pending and for whom, or who holds which of them for how long.

    XPENDING key group [[IDLE min-idle-time] start end count [consumer]]
    """
    size = len(argv)
    if size != 3 and not 6 <= size <= 9:
        raise SYNTAX
    at, least_ms, count = 3, 0, 0
    start = end = MIN_STREAM_ID
    if size > 3:
        if argv[3].upper() == b"IDLE":
            least_ms = integer(argv[4])
            if size < 8:
                raise SYNTAX
            at = 5
        count = max(integer(argv[at + 2]), 0)
        start, end = parse_start(argv[at]), parse_end(argv[at + 1])
    found = group_of(client.db, argv[1], argv[2])
    if found is None:
        raise no_group(argv[1], argv[2])
    group = found[1]
    if size == 3:
        return _summary(group)
    consumer = argv[at + 3] if at + 3 < size else None
    now_ms = client.server.clock.now_ms
    rows: list[Any] = []
    if not count or (consumer is not None and consumer not in group.consumers):
        return rows
    # without a minimal idle time the range itself can be counted
    for entry_id, item in group.pending_range(start, end, consumer, None if least_ms else count):
        idle_ms = max(now_ms - item.delivery_time_ms, 0)
        if least_ms and idle_ms < least_ms:
            continue
        rows.append([format_id(entry_id), item.consumer, idle_ms, item.delivery_count])
        if len(rows) == count:
            break
    return rows


def _summary(group: Group) -> list[Any]:
    pending = group.pending
    if not pending:
        return [0, None, None, NULL_ARRAY]
    held = [(name, len(group.held_by(name))) for name in sorted(group.consumers)]
    return [
        len(pending),
        format_id(pending.peekitem(0)[0]),
        format_id(pending.peekitem(-1)[0]),
        [(name, b"%d" % count) for name, count in held if count],
    ]


# -- claiming


class _Claimant:
    """Hands entries of one group over to one consumer and tells the replicas.

    The consumer is made when it gets the first entry.
    """

    def __init__(self, client: Client, key: bytes, name: bytes, group: Group, consumer: bytes) -> None:
        self.client = client
        self.key = key
        self.name = name
        self.group = group
        self.consumer = consumer
        self.now_ms = client.server.clock.now_ms
        known = group.consumers.get(consumer)
        if known is not None:
            known.seen_time_ms = self.now_ms

    def take(self, entry_id: StreamId, time_ms: int, count: int, text: bytes = b"") -> None:
        """The consumer holds the entry from now on; ``text`` is its id as the client wrote it."""
        group = self.group
        consumer = group.consumers.get(self.consumer)
        if consumer is None:
            consumer = group.consumers[self.consumer] = Consumer(self.now_ms)
            self.client.server.dirty += 1
            report(self.client, STREAM, b"xgroup-createconsumer", self.key)
        consumer.active_time_ms = self.now_ms
        group.assign(entry_id, self.consumer, time_ms, count)
        self.tell(entry_id, text)

    def drop(self, entry_id: StreamId, text: bytes = b"") -> None:
        """The entry does not exist any more: nobody holds it."""
        self.tell(entry_id, text)
        self.group.release(entry_id)

    def tell(self, entry_id: StreamId, text: bytes) -> None:
        """Propagate what is known of a pending entry."""
        group = self.group
        server = self.client.server
        if server.propagation.active:
            told = claim(self.key, self.name, entry_id, group.pending[entry_id], group.last_delivered)
            server.propagation.replace(*told[:5], text or told[5], *told[6:])
        server.dirty += 1


def _option_number(text: bytes, option: bytes) -> int:
    return integer(text, err(b"Invalid %b option argument for XCLAIM" % option))


@command(b"XCLAIM", -6, "write fast", (1, 1, 1), group="stream", since="5.0.0")
def xclaim(client: Client, argv: list[bytes]) -> Any:
    """Hands pending entries over to another consumer, if they were idle for so long.

    XCLAIM key group consumer min-idle-time id [id ...] [IDLE ms] [TIME unix-time-milliseconds] [RETRYCOUNT count]
    [FORCE] [JUSTID] [LASTID lastid]
    """
    key, name = argv[1], argv[2]
    found = group_of(client.db, key, name)
    if found is None:
        raise no_group(key, name)
    stream, group = found
    least_ms = integer(argv[4], err("Invalid min-idle-time argument for XCLAIM"))
    ids: list[StreamId] = []
    at = 5
    while at < len(argv):
        try:
            ids.append(parse_id(argv[at]))
        except ReplyError as error:
            error.release()
            break  # the options begin
        at += 1
    server = client.server
    now_ms = server.clock.now_ms
    time_ms, retries = now_ms, -1
    force = only_ids = moved = False
    last_id = MIN_STREAM_ID
    while at < len(argv):
        option = argv[at].upper()
        more = at + 1 < len(argv)
        if option == b"FORCE":
            force = True
        elif option == b"JUSTID":
            only_ids = True
        elif option in (b"IDLE", b"TIME", b"RETRYCOUNT") and more:
            at += 1
            number = _option_number(argv[at], option)
            if option == b"IDLE":
                time_ms = now_ms - number
            elif option == b"TIME":
                time_ms = number
            else:
                retries = number
        elif option == b"LASTID" and more:
            at += 1
            last_id = parse_id(argv[at])
        else:
            raise err(b"Unrecognized XCLAIM option '%b'" % argv[at])
        at += 1
    server.propagation.suppress()
    if last_id > group.last_delivered:
        moved = True
        if client.is_master and ids == [last_id]:
            advance(stream, group, last_id)  # a delivery by XREADGROUP: it counts here as it did on the master
        else:
            group.last_delivered = last_id
    if not 0 <= time_ms <= now_ms:
        time_ms = now_ms
    claimant = _Claimant(client, key, name, group, argv[3])
    reply: list[Any] = []
    told = False
    for entry_id, text in zip(ids, argv[5:], strict=False):
        item = group.pending.get(entry_id)
        fields = stream.get(entry_id)
        if fields is None:
            if item is not None:
                claimant.drop(entry_id, text)
                told = True
            continue
        if item is None:
            if not force:
                continue
            count = 1
        else:
            if least_ms > 0 and now_ms - item.delivery_time_ms < least_ms:
                continue
            count = item.delivery_count
        if retries >= 0:
            count = retries
        elif not only_ids:
            count += 1
        claimant.take(entry_id, time_ms, count, text)
        told = True
        reply.append(format_id(entry_id) if only_ids else entry_reply(entry_id, fields))
    if moved and not told:
        server.propagation.replace(*set_id(key, name, group))
        server.dirty += 1
    return reply


@command(b"XAUTOCLAIM", -6, "write fast", (1, 1, 1), group="stream", since="6.2.0")
def xautoclaim(client: Client, argv: list[bytes]) -> Any:
    """Hands over pending entries that were idle for so long, whoever holds them; returns where to go on.

    XAUTOCLAIM key group consumer min-idle-time start [COUNT count] [JUSTID]
    """
    key, name = argv[1], argv[2]
    stream = client.db.get(key)  # the look counts although wrong options are told first
    least_ms = integer(argv[4], err("Invalid min-idle-time argument for XAUTOCLAIM"))
    start = parse_start(argv[5])
    count, only_ids = 100, False
    at = 6
    while at < len(argv):
        option = argv[at].upper()
        if option == b"COUNT" and at + 1 < len(argv):
            at += 1
            count = integer(argv[at], err("COUNT must be > 0"))
            if not 0 < count <= INT64_MAX // 16:
                raise err("COUNT must be > 0")
        elif option == b"JUSTID":
            only_ids = True
        else:
            raise SYNTAX
        at += 1
    if stream is None:
        raise no_group(key, name)
    if type(stream) is not Stream:
        raise WRONG_TYPE
    group = stream.groups.get(name)
    if group is None:
        raise no_group(key, name)
    client.server.propagation.suppress()
    claimant = _Claimant(client, key, name, group, argv[3])
    now_ms = claimant.now_ms
    reply: list[Any] = []
    gone: list[bytes] = []
    left, attempts = count, count * 10
    cursor = MIN_STREAM_ID
    # a copy: entries that are not there any more are taken out on the way
    for entry_id in list(islice(group.pending.irange(start), min(attempts, len(group.pending)) + 1)):
        if not left or not attempts:
            cursor = entry_id
            break
        attempts -= 1
        item = group.pending[entry_id]
        fields = stream.get(entry_id)
        if fields is None:
            claimant.drop(entry_id)
            gone.append(format_id(entry_id))
            left -= 1
            continue
        if least_ms > 0 and now_ms - item.delivery_time_ms < least_ms:
            continue
        claimant.take(entry_id, now_ms, item.delivery_count + (not only_ids))
        reply.append(format_id(entry_id) if only_ids else entry_reply(entry_id, fields))
        left -= 1
    return [format_id(cursor), reply, gone]
