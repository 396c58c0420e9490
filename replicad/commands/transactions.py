"""Transactions: MULTI, EXEC, DISCARD, WATCH, UNWATCH.

Owns: executing the queue, and when a watched key breaks a transaction.  Does not own the queueing and the checks before it
(``dispatch.gate``), the registry of watched keys (``Server.watch``), nor how the unit is written to the stream
(``propagation``).

EXEC is one unit: the replicas get its changes between MULTI and EXEC (bare when it is one command), and clients that wait
for a key are served after it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from replicad.acl import check
from replicad.command import command
from replicad.errors import EXEC_ABORT, err
from replicad.resp import NO_REPLY, NULL_ARRAY, OK, Replies, Wire, encode

if TYPE_CHECKING:
    from replicad.session import Client

_NESTED = err("MULTI calls can not be nested")
_NO_MULTI_EXEC = err("EXEC without MULTI")
_NO_MULTI_DISCARD = err("DISCARD without MULTI")
_WATCH_INSIDE = err("WATCH inside MULTI is not allowed")
#: From so many bytes on dispatch is told that the reply is a large one.
_LARGE_REPLY = 1 << 16


@command(b"MULTI", arity=1, flags="noscript loading stale fast allow_busy", group="transactions", since="1.2.0")
def multi(client: Client, argv: list[bytes]) -> Any:
    """Begins a transaction: the commands that follow are queued until EXEC.

    MULTI
    """
    if client.multi is not None:
        raise _NESTED
    client.multi = []
    client.multi_error = False
    client.update_gate()
    return OK


def end_transaction(client: Client) -> None:
    """Leave the transaction, whatever became of it, and watch nothing any more."""
    client.multi = None
    client.multi_error = False
    client.update_gate()
    if client.watched:
        client.server.unwatch(client)
    client.watch_broken = False
    client.extra.pop("watched_stale", None)


@command(b"EXEC", arity=1, flags="noscript loading stale skip_slowlog", group="transactions", since="1.2.0")
def exec_(client: Client, argv: list[bytes]) -> Any:
    """Executes the queued commands without anything in between, or nothing at all when a watched key has changed.

    EXEC
    """
    queued = client.multi
    if queued is None:
        raise _NO_MULTI_EXEC
    failed = client.multi_error
    broken = client.watch_broken or (client.watched is not None and _expired(client))
    end_transaction(client)
    if failed:
        raise EXEC_ABORT
    server = client.server
    if broken:
        return NULL_ARRAY
    # Each reply is encoded at once: a later command may change the protocol version, or the value that was returned.
    replies = [b"*%d\r\n" % len(queued)]
    propagation = server.propagation
    dirty = server.dirty
    size = 0
    most = server.output_limit(client)[0]
    propagation.enter()
    client.in_exec = True
    try:
        for cmd, queued_argv in queued:
            account = client.account  # each time: the transaction itself may change users
            denial = check(account, cmd, queued_argv) if account is not None and account.restricted else None
            closing = client.closing  # CLIENT KILL of itself is still answered
            if denial is None:
                reply = server.call(client, cmd, queued_argv)
            else:
                server.acl.log.refused(client, denial)
                reply = denial.in_exec()
                server.count_error(reply.text)
            if reply is not NO_REPLY and not closing:
                encoded = encode(reply, client.resp)
                replies.append(encoded)
                size += len(encoded)
                if 0 < most < size:  # the rest is executed all the same, for nobody
                    server.cut_off(client)
                    replies.clear()
    finally:
        client.in_exec = False
        propagation.leave()
        if server.dirty != dirty:
            propagation.suppress()  # EXEC itself: the unit is complete
    whole = Wire(b"".join(replies))
    return Replies([whole]) if size > _LARGE_REPLY else whole


def _expired(client: Client) -> bool:
    """Whether a key that was there when it was watched has reached its deadline since."""
    databases, now_ms = client.server.databases, client.server.clock.now_ms
    stale = client.extra.get("watched_stale", ())
    for place in client.watched or ():
        at_ms = databases[place[0]].deadline(place[1])
        if at_ms is not None and at_ms < now_ms and place not in stale:
            return True
    return False


@command(b"DISCARD", arity=1, flags="noscript loading stale fast allow_busy", group="transactions", since="2.0.0")
def discard(client: Client, argv: list[bytes]) -> Any:
    """Forgets the queued commands and the watched keys.

    DISCARD
    """
    if client.multi is None:
        raise _NO_MULTI_DISCARD
    end_transaction(client)
    return OK


@command(
    b"WATCH",
    arity=-2,
    flags="noscript loading stale fast allow_busy",
    keys=(1, -1, 1),
    group="transactions",
    since="2.2.0",
)
def watch(client: Client, argv: list[bytes]) -> Any:
    """Lets the next EXEC execute nothing when one of the keys has changed until then.

    WATCH key [key ...]
    """
    if client.multi is not None:
        raise _WATCH_INSIDE
    server, db = client.server, client.db
    now_ms = server.clock.now_ms
    for key in argv[1:]:
        # A master deletes an expired key here, so that its deletion later breaks nothing; a replica only hides it.
        if db.peek(key) is None:
            at_ms = db.deadline(key)
            if at_ms is not None and at_ms < now_ms:
                client.extra.setdefault("watched_stale", set()).add((db.index, key))
        server.watch(client, key)
    return OK


@command(b"UNWATCH", arity=1, flags="noscript loading stale fast allow_busy", group="transactions", since="2.2.0")
def unwatch(client: Client, argv: list[bytes]) -> Any:
    """Forgets the watched keys.

    UNWATCH
    """
    client.server.unwatch(client)
    client.extra.pop("watched_stale", None)
    return OK
