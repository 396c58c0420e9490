"""XINFO: what a stream, its groups and their consumers are like.

Owns: the three reports.  Does not own the counters behind them (``stream_ids``, ``stream_value``).
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

from replicad.command import command
from replicad.commands.arguments import integer
from replicad.commands.help import help_of
from replicad.commands.stream_groups import no_such_group
from replicad.commands.stream_ids import entries_reply, entry_reply, format_id, lag
from replicad.errors import NO_SUCH_KEY, err, unknown_subcommand
from replicad.resp import Simple
from replicad.values import Group, Stream

if TYPE_CHECKING:
    from replicad.session import Client

_KEY = (2, 2, 1)


@command(b"XINFO", -2, group="stream", since="5.0.0")
def xinfo(client: Client, argv: list[bytes]) -> Any:
    """Commands that look into streams and groups."""
    raise unknown_subcommand(b"XINFO", argv[1])


def _stream(client: Client, key: bytes) -> Stream:
    stream = client.db.read(key, Stream)
    if stream is None:
        raise NO_SUCH_KEY
    return stream


@command(b"XINFO|CONSUMERS", 4, "readonly", _KEY, group="stream", since="5.0.0")
def xinfo_consumers(client: Client, argv: list[bytes]) -> list[Any]:
    """Returns the consumers of a group, what is pending for each, and how long they were not seen.

    XINFO CONSUMERS key group
    """
    group = _stream(client, argv[2]).groups.get(argv[3])
    if group is None:
        raise no_such_group(argv[2], argv[3])
    now_ms = client.server.clock.now_ms
    return [
        {
            b"name": name,
            b"pending": len(group.held_by(name)),
            b"idle": max(now_ms - consumer.seen_time_ms, 0),
        }
        for name, consumer in sorted(group.consumers.items(), key=lambda pair: pair[0])
    ]


@command(b"XINFO|GROUPS", 3, "readonly", _KEY, group="stream", since="5.0.0")
def xinfo_groups(client: Client, argv: list[bytes]) -> list[Any]:
    """Returns the groups of a stream and how far each has come.

    XINFO GROUPS key
    """
    stream = _stream(client, argv[2])
    return [
        {
            b"name": name,
            b"consumers": len(group.consumers),
            b"pending": len(group.pending),
            b"last-delivered-id": format_id(group.last_delivered),
            b"entries-read": group.entries_read,
            b"lag": lag(stream, group),
        }
        for name, group in sorted(stream.groups.items(), key=lambda pair: pair[0])
    ]


@command(b"XINFO|STREAM", -3, "readonly", _KEY, group="stream", since="5.0.0")
def xinfo_stream(client: Client, argv: list[bytes]) -> dict[bytes, Any]:
    """Returns the counters of a stream; with FULL also entries, groups, consumers and pending entries.

    XINFO STREAM key [FULL [COUNT count]]
    """
    stream = _stream(client, argv[2])
    full, count = False, 10
    if len(argv) > 3:
        full = argv[3].upper() == b"FULL"
        if not full or len(argv) not in (4, 6) or (len(argv) == 6 and argv[4].upper() != b"COUNT"):
            raise err(b"unknown subcommand or wrong number of arguments for '%b'. Try XINFO HELP." % argv[1][:128])
        if len(argv) == 6:
            count = integer(argv[5])
            if count < 0:
                count = 10
    found: dict[bytes, Any] = {
        b"length": len(stream),
        b"radix-tree-keys": stream.node_count,
        b"radix-tree-nodes": stream.tree_size(),
        b"last-generated-id": format_id(stream.last_id),
        b"max-deleted-entry-id": format_id(stream.max_deleted_id),
        b"entries-added": stream.entries_added,
        b"recorded-first-entry-id": format_id(stream.first_id),
    }
    if full:
        found[b"entries"] = entries_reply(stream.range(count=count or None))
        groups = sorted(stream.groups.items(), key=lambda pair: pair[0])
        found[b"groups"] = [_full_group(stream, name, group, count) for name, group in groups]
        return found
    found[b"groups"] = len(stream.groups)
    for key, newest in ((b"first-entry", False), (b"last-entry", True)):
        ends = stream.range(count=1, reverse=newest)
        found[key] = entry_reply(*ends[0]) if ends else None
    return found


def _full_group(stream: Stream, name: bytes, group: Group, count: int) -> dict[bytes, Any]:
    limit = count or len(group.pending)
    pending = [
        [format_id(entry_id), item.consumer, item.delivery_time_ms, item.delivery_count]
        for entry_id, item in group.pending_range(count=limit)
    ]
    consumers = []
    for consumer_name, consumer in sorted(group.consumers.items(), key=lambda pair: pair[0]):
        ids = group.held_by(consumer_name)
        items = [(entry_id, group.pending[entry_id]) for entry_id in islice(ids, limit)]
        consumers.append(
            {
                b"name": consumer_name,
                b"seen-time": consumer.seen_time_ms,
                b"pel-count": len(ids),
                b"pending": [[format_id(entry_id), item.delivery_time_ms, item.delivery_count] for entry_id, item in items],
            }
        )
    return {
        b"name": name,
        b"last-delivered-id": format_id(group.last_delivered),
        b"entries-read": group.entries_read,
        b"lag": lag(stream, group),
        b"pel-count": len(group.pending),
        b"pending": pending,
        b"consumers": consumers,
    }


@command(b"XINFO|HELP", 2, "loading stale", group="stream", since="5.0.0")
def xinfo_help(client: Client, argv: list[bytes]) -> list[Simple]:
    """Lists the subcommands.

    XINFO HELP
    """
    return help_of(b"XINFO")
