"""The stream commands that need no group: adding, looking, removing.

Owns: XADD, XLEN, XRANGE, XREVRANGE, XDEL, XTRIM, XSETID and the trimming options.  Does not own the data structure
(``stream_value``), nor reading with waiting and groups (``stream_reading``, ``stream_groups``).

An id that the server chose is propagated as chosen.  Trimming with ``~`` is propagated as exactly what it did.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from replicad.command import command
from replicad.commands.arguments import integer
from replicad.commands.stream_ids import (
    MOST,
    after,
    entries_reply,
    format_id,
    parse_end,
    parse_id,
    parse_start,
)
from replicad.errors import NO_SUCH_KEY, SYNTAX, err, wrong_arity
from replicad.notifications import STREAM, report
from replicad.resp import NULL_ARRAY, OK
from replicad.trash import LARGE
from replicad.values import MAX_STREAM_ID, MIN_STREAM_ID, Stream, StreamId

if TYPE_CHECKING:
    from replicad.session import Client

_NOT_ABOVE = err("The ID specified in XADD is equal or smaller than the target stream top item")
_ZERO_ID = err("The ID specified in XADD must be greater than 0-0")
_EXHAUSTED = err("The stream has exhausted the last possible ID, unable to add more items")
_TOO_LARGE = err("Elements are too large to be stored")
_TWO_STRATEGIES = err("syntax error, MAXLEN and MINID options at the same time are not compatible")
_LIMIT_ALONE = err("syntax error, LIMIT cannot be used without specifying a trimming strategy")
_LIMIT_EXACT = err("syntax error, LIMIT cannot be used without the special ~ option")
_NO_STRATEGY = err("syntax error, XTRIM must be called with either MAXLEN or MINID")
_LARGEST_ENTRY = 1 << 30


class _Options:
    """The options of XADD and XTRIM.  ``position`` is the index of the id, ``threshold_at`` that of the number or id
    behind MAXLEN or MINID (0: no trimming)."""

    __slots__ = ("approximate", "limit", "make", "max_length", "min_id", "position", "threshold_at")

    def __init__(self) -> None:
        self.make = True
        self.max_length: int | None = None
        self.min_id = MIN_STREAM_ID
        self.approximate = False
        self.limit = 0
        self.threshold_at = 0
        self.position = 0


def _options(client: Client, argv: list[bytes], adding: bool) -> _Options:
    """Read them; for XADD up to the id, which is left to the caller."""
    found = _Options()
    limit: int | None = None
    at, last = 2, len(argv) - 1
    while at <= last:
        word = argv[at]
        option = word.upper()
        if adding and word == b"*":
            break
        if option in (b"MAXLEN", b"MINID") and at < last:
            if found.threshold_at:
                raise _TWO_STRATEGIES
            found.approximate = False
            if last - at >= 2 and argv[at + 1] in (b"~", b"="):
                at += 1
                found.approximate = argv[at] == b"~"
            at += 1
            found.threshold_at = at
            if option == b"MAXLEN":
                found.max_length = integer(argv[at])
                if found.max_length < 0:
                    raise err("The MAXLEN argument must be >= 0.")
            else:
                found.min_id = parse_id(argv[at])
        elif option == b"LIMIT" and at < last:
            at += 1
            limit = integer(argv[at])
            if limit < 0:
                raise err("The LIMIT argument must be >= 0.")
        elif adding and option == b"NOMKSTREAM":
            found.make = False
        elif adding:
            break
        else:
            raise SYNTAX
        at += 1
    found.position = at
    _judge(client, argv, found, limit, adding)
    return found


def _judge(client: Client, argv: list[bytes], found: _Options, limit: int | None, adding: bool) -> None:
    """Check that the options go together and set the limit of the work."""
    if adding and found.position < len(argv) and argv[found.position] != b"*":
        _chosen_id(argv[found.position])
    if limit and not found.threshold_at:
        raise _LIMIT_ALONE
    if not adding and not found.threshold_at:
        raise _NO_STRATEGY
    if client.is_master:
        return  # what a master says it did is done in full
    if limit is not None:
        if not found.approximate:
            raise _LIMIT_EXACT
        found.limit = limit
    elif found.approximate:
        # Redis looks at so many entries of a long stream at once, and at the rest the next time
        default = 100 * client.server.settings["stream-node-max-entries"]
        found.limit = min(default if default > 0 else 10_000, 1_000_000)


def _trim(client: Client, stream: Stream, options: _Options) -> int:
    removed, remains = stream.trim(options.max_length, options.min_id, whole_nodes=options.approximate, limit=options.limit)
    if removed > LARGE:
        client.db.trash.throw(remains)
    return removed


def _exactly(argv: list[bytes], stream: Stream, options: _Options) -> None:
    """Let ``argv`` say what an approximate trimming did."""
    at = options.threshold_at
    argv[at - 1] = b"="
    if options.max_length is not None:
        argv[at] = b"%d" % len(stream)
    else:
        argv[at] = format_id(stream.first_id if len(stream) else MAX_STREAM_ID)


def _chosen_id(text: bytes) -> tuple[StreamId, bool]:
    """The id that XADD was given, and whether its second half is left to the server."""
    if b"*" in text and len(text) < 128:
        milliseconds, dash, sequence = text.partition(b"\0")[0].partition(b"-")
        if dash and sequence == b"*":
            return parse_id(milliseconds), True
    return parse_id(text), False


@command(b"XADD", -5, "write denyoom fast", (1, 1, 1), group="stream", since="5.0.0")
def xadd(client: Client, argv: list[bytes]) -> Any:
    """Appends an entry to a stream, and may trim the stream.

    XADD key [NOMKSTREAM] [(MAXLEN | MINID) [= | ~] threshold [LIMIT count]] (* | id) field value [field value ...]
    """
    options: _Options | None = None
    at = 2
    given: StreamId | None = None
    open_sequence = False
    first = argv[2]
    if first[:1].isdigit():
        given, open_sequence = _chosen_id(first)
    elif first != b"*":
        options = _options(client, argv, True)
        at = options.position
        if at < len(argv) and argv[at] != b"*":
            given, open_sequence = _chosen_id(argv[at])
    fields = tuple(argv[at + 1 :])
    if len(fields) < 2 or len(fields) % 2:
        raise wrong_arity(b"xadd")
    if given == MIN_STREAM_ID and not open_sequence:
        raise _ZERO_ID
    server, db, key = client.server, client.db, argv[1]
    stream = db.writable(key, Stream)
    fresh = stream is None
    if stream is None:
        if options is not None and not options.make:
            return None
        stream = Stream()
    last = stream.last_id
    if last == MAX_STREAM_ID:
        raise _EXHAUSTED
    if given is None:
        now_ms = server.clock.now_ms
        entry_id = (now_ms, 0) if now_ms > last[0] else after(last)
    elif open_sequence and given[0] == last[0]:
        if last[1] == MOST:
            raise _TOO_LARGE  # so says Redis
        entry_id = (last[0], last[1] + 1)
    else:
        entry_id = given
    if entry_id <= last:
        raise _NOT_ABOVE
    if sum(map(len, fields)) > _LARGEST_ENTRY:
        raise _TOO_LARGE
    settings = server.settings
    stream.append(entry_id, fields, settings["stream-node-max-bytes"], settings["stream-node-max-entries"])
    text = b"%d-%d" % entry_id
    told = [*argv[:at], text if given is None or open_sequence else argv[at], *fields]
    if fresh:
        db.put(key, stream)
    else:
        db.touched(key)
    server.dirty += 1
    if server.notifying:
        server.notify(STREAM, b"xadd", key, db.index)
    if options is not None and options.threshold_at:
        if _trim(client, stream, options):
            report(client, STREAM, b"xtrim", key)
        if options.approximate:
            _exactly(told, stream, options)
    server.propagation.replace(*told)
    return text


@command(b"XLEN", 2, "readonly fast", (1, 1, 1), group="stream", since="5.0.0")
def xlen(client: Client, argv: list[bytes]) -> int:
    """Returns the number of entries of a stream.

    XLEN key
    """
    stream = client.db.read(argv[1], Stream)
    return 0 if stream is None else len(stream)


def _range(client: Client, argv: list[bytes], first: bytes, last: bytes, reverse: bool) -> Any:
    """XRANGE and XREVRANGE."""
    start, end = parse_start(first), parse_end(last)
    count: int | None = None
    for at in range(4, len(argv), 2):
        if argv[at].upper() != b"COUNT" or at + 1 >= len(argv):
            raise SYNTAX
        count = max(integer(argv[at + 1]), 0)
    stream = client.db.read(argv[1], Stream)
    if stream is None:
        return ()
    if count == 0:
        return NULL_ARRAY
    return entries_reply(stream.range(start, end, count, reverse))


@command(b"XRANGE", -4, "readonly", (1, 1, 1), group="stream", since="5.0.0")
def xrange_(client: Client, argv: list[bytes]) -> Any:
    """Returns the entries from one id to another, oldest first.

    XRANGE key start end [COUNT count]
    """
    return _range(client, argv, argv[2], argv[3], False)


@command(b"XREVRANGE", -4, "readonly", (1, 1, 1), group="stream", since="5.0.0")
def xrevrange(client: Client, argv: list[bytes]) -> Any:
    """Returns the entries between two ids, newest first.

    XREVRANGE key end start [COUNT count]
    """
    return _range(client, argv, argv[3], argv[2], True)


@command(b"XDEL", -3, "write fast", (1, 1, 1), group="stream", since="5.0.0")
def xdel(client: Client, argv: list[bytes]) -> int:
    """Removes entries by their ids and returns how many there were.

    XDEL key id [id ...]
    """
    db = client.db
    stream = db.writable(argv[1], Stream)
    if stream is None:
        return 0
    removed = 0
    for entry_id in [parse_id(text) for text in argv[2:]]:
        if stream.delete(entry_id):
            removed += 1
            if entry_id > stream.max_deleted_id:
                stream.max_deleted_id = entry_id
    if removed:
        db.touched(argv[1])
        client.server.dirty += removed
        report(client, STREAM, b"xdel", argv[1])
    return removed


@command(b"XTRIM", -4, "write", (1, 1, 1), group="stream", since="5.0.0")
def xtrim(client: Client, argv: list[bytes]) -> int:
    """Removes the oldest entries: all but so many, or those below an id.

    XTRIM key (MAXLEN | MINID) [= | ~] threshold [LIMIT count]
    """
    options = _options(client, argv, False)
    db = client.db
    stream = db.writable(argv[1], Stream)
    if stream is None:
        return 0
    removed = _trim(client, stream, options)
    if removed:
        db.touched(argv[1])
        client.server.dirty += removed
        report(client, STREAM, b"xtrim", argv[1])
        if options.approximate:
            told = argv.copy()
            _exactly(told, stream, options)
            client.server.propagation.replace(*told)
    return removed


@command(b"XSETID", -3, "write denyoom fast", (1, 1, 1), group="stream", since="5.0.0")
def xsetid(client: Client, argv: list[bytes]) -> bytes:
    """Sets the last id of a stream, which new ids must be above.

    XSETID key last-id [ENTRIESADDED entries-added] [MAXDELETEDID max-deleted-id]
    """
    last_id = parse_id(argv[2])
    added: int | None = None
    max_deleted: StreamId | None = None
    for at in range(3, len(argv), 2):
        option = argv[at].upper()
        if at + 1 >= len(argv):
            raise SYNTAX
        if option == b"ENTRIESADDED":
            added = integer(argv[at + 1])
            if added < 0:
                raise err("entries_added must be positive")
        elif option == b"MAXDELETEDID":
            max_deleted = parse_id(argv[at + 1])
            if last_id < max_deleted:
                raise err("The ID specified in XSETID is smaller than the provided max_deleted_entry_id")
        else:
            raise SYNTAX
    stream = client.db.writable(argv[1], Stream)
    if stream is None:
        raise NO_SUCH_KEY
    if len(stream):
        if last_id < stream.top_id:
            raise err("The ID specified in XSETID is smaller than the target stream top item")
        if added is not None and len(stream) > added:
            raise err("The entries_added specified in XSETID is smaller than the target stream length")
    stream.last_id = last_id
    if added is not None:
        stream.entries_added = added
    if max_deleted is not None and max_deleted != MIN_STREAM_ID:
        stream.max_deleted_id = max_deleted
    client.server.dirty += 1
    report(client, STREAM, b"xsetid", argv[1])
    return OK
