"""The hot loop: complete commands in, reply bytes out.

Owns: ``run`` (the loop), ``gate`` (the checks that only special states need), ``call`` (one command outside the loop, for
EXEC and the master's stream).  Does not own parsing (``resp``), nor what commands do.

The loop is one function on purpose: layering it (parser object, command object, reply methods) measured 1.7-1.9x slower.
A command in an ordinary state costs one table lookup, one arity test, one gate test and the handler's call.
"""

from __future__ import annotations

from time import perf_counter_ns, time
from typing import Any

from replicad.acl import check
from replicad.command import (
    ANY,
    DENY_OOM,
    MAY_REPLICATE,
    NOT_ASYNC_LOADING,
    NOT_LOADING,
    NOT_STALE,
    PLAIN,
    TRACKS,
    WRITE,
    Argv,
    Command,
    lookup,
)
from replicad.commands.transactions import end_transaction
from replicad.errors import (
    LOADING,
    MASTER_DOWN,
    MISCONF,
    NO_AUTH,
    NO_REPLICAS,
    OUT_OF_MEMORY,
    READ_ONLY,
    ReplyError,
    err,
    unknown_command,
    unknown_subcommand,
    wrong_arity,
)
from replicad.eviction import FULL
from replicad.resp import BLOCKED, NO_REPLY, QUEUED, Push, Replies, Wire, encode
from replicad.session import Client

_lookup_exact = PLAIN.get

#: Commands that run although a transaction is open; everything else is queued.
_NEVER_QUEUED = frozenset([b"exec", b"discard", b"multi", b"watch", b"quit", b"reset"])
_IN_SUBSCRIBED_MODE = frozenset(
    [b"subscribe", b"unsubscribe", b"psubscribe", b"punsubscribe", b"ssubscribe", b"sunsubscribe", b"ping", b"quit",
     b"reset"]
)  # fmt: skip
_KEYSPACE = frozenset(["write", "readonly", "may_replicate"])
_MONITORS_ONLY_WATCH = err("Replica can't interact with the keyspace")  # to Redis a MONITOR client is a kind of replica
_REPLIES_AGAIN = frozenset([b"client|reply", b"reset"])
#: Why a reply needs ``attend``: the client wants none, or it tracks keys.
_QUIET = 1
_CACHES = 2
_ENDS_TRANSACTION = frozenset([b"exec", b"discard", b"quit", b"reset"])
_NOT_MONITORED = frozenset(["admin", "skip_monitor"])
#: The first line of a bulk string by its length.
_HEADS_COUNT = 1024
_HEADS = [b"$%d\r\n" % length for length in range(_HEADS_COUNT)]
#: The replies of commands that count a little: half the time of formatting.
_INTEGERS_COUNT = 1024
_INTEGERS = [b":%d\r\n" % value for value in range(_INTEGERS_COUNT)]
#: While the slow log wants nothing shorter than this, commands that take next to no time are timed sixteen at once: a
#: reading of the clock for each is a tenth of what a SET costs.  If such a group is slow, a stall hit one of them, and the
#: last of the group is logged.
_BRIEF_NS = 2_000_000
#: Large replies of one batch are handed to the connection when they come to so many bytes: a read of 64 KB can ask for
#: gigabytes, and only what the connection holds is counted against client-output-buffer-limit.
_MOST_HELD = 1 << 20

_PASS = object()
_HOLD = object()


def run(client: Client, commands: list[Argv], raw: bytes | None = None) -> bytes:
    """Execute ``commands`` in order and return their encoded replies.

    ``raw`` is what the client sent, when that is these commands and nothing else (see ``Propagation.flush``).
    Stops early when the client blocks, is paused or closes; what was not executed waits in ``client.queue``.
    """
    server = client.server
    if not server.readiness.serving:  # else it was read at the beginning of this turn, for all clients
        server.clock.now_ms = int(time() * 1000)
    propagation = server.propagation
    out: list[bytes] = []
    append = out.append
    queue = iter(commands)
    cmd: Command | None = None
    # calls and time (nanoseconds; INFO divides) are added up for a row of equal commands, which saves 60 ns a command;
    # its histogram gets the mean time of the row, once for each of them
    counted: Command | None = None
    count = since = large = 0
    brief = False
    started = perf_counter_ns()
    for argv in queue:
        cmd = _lookup_exact(argv[0])
        if cmd is None:  # another spelling, or a container
            cmd = lookup(argv)
        special: int = 0
        try:
            if cmd is None:
                raise unknown_command(argv)
            if len(argv) != cmd.arity and not cmd.least <= len(argv) <= cmd.most:
                raise wrong_arity(cmd.name)
            if (client.deny or server.deny) and cmd.gate & (client.deny | server.deny):
                special = _QUIET if client.reply_mode != "on" else 0
                reply = gate(client, cmd, argv)
                if reply is not _PASS:
                    if reply is _HOLD:
                        client.queue.append(argv)
                        client.queue.extend(queue)
                        break
                    if not special:
                        append(encode(reply, client.resp))
                    continue
                if server.tracking.current is client:
                    special |= _CACHES
                if server.notifying and out and client.resp == 3:  # it may be told of its own changes, in order
                    client.connection.write(b"".join(out))
                    out.clear()
        except ReplyError as error:
            error.release()
            error = reject(client, cmd, error)
            if client.reply_mode != "on":
                special = _QUIET
                end_skip(client)
            if not special:
                append(b"-%b\r\n" % error.text)
            continue
        if cmd is not counted:
            if counted is not None:
                if brief:
                    started = end_group(client, counted, started)
                counted.account(count, started - since)
            counted, count, since = cmd, 0, started
            brief = cmd.brief and server.slow_ns > _BRIEF_NS
        count += 1
        dirty = server.dirty
        client.argv = argv
        try:
            reply = cmd.fn(client, argv)
        except ReplyError as error:
            error.release()
            cmd.failed += 1
            server.count_error(error.text)
            reply = error
        except Exception as error:  # our defect must not take the connection, nor other clients, down
            cmd.failed += 1
            reply = server.defect(client, argv, error)
        if server.dirty != dirty:
            if propagation.active or propagation.busy:  # the call alone takes 60 ns
                propagation.done(client.db.index, argv, True)
            if server.blocking.ready:
                server.blocking.serve()
        elif propagation.busy:
            propagation.done(client.db.index, argv, False)
            if server.blocking.ready:
                server.blocking.serve()
        if not brief or not count & 15:
            ended = perf_counter_ns()
            if ended - started > server.slow_ns:
                server.slow_command(client, cmd, argv, ended - started)
            started = ended
        if special:
            reply = attend(client, cmd, argv, reply, special & _QUIET != 0)
        kind = type(reply)
        if kind is Wire:
            append(reply)
        elif kind is bytes:
            if len(reply) < _HEADS_COUNT:  # 72 ns instead of 114 for formatting
                out += (_HEADS[len(reply)], reply, b"\r\n")
            else:
                append(b"$%d\r\n%b\r\n" % (len(reply), reply))
                large += len(reply)
                if large > _MOST_HELD:
                    large = hand_over(client, out)
        elif kind is int:
            append(_INTEGERS[reply] if 0 <= reply < _INTEGERS_COUNT else b":%d\r\n" % reply)
        elif reply is BLOCKED:
            client.queue.extend(queue)
            break
        elif reply is not NO_REPLY:
            encoded = encode(reply, client.resp)
            append(encoded)
            large += len(encoded)
            if large > _MOST_HELD:
                large = hand_over(client, out)
        if client.closing:
            break
    if counted is not None:
        if brief:
            started = end_group(client, counted, started)
        counted.account(count, started - since)
    if server.monitors.waiting:
        append(server.monitors.flush())
    propagation.flush(raw, commands)
    client.write_offset = server.history.offset
    client.last_command = cmd
    return b"".join(out) if len(out) != 1 else out[0]


def end_group(client: Client, cmd: Command, started: int) -> int:
    """Brief commands, the last of them ``cmd``, have run since ``started``; returns what the time (ns) is now."""
    ended = perf_counter_ns()
    if ended - started > client.server.slow_ns:
        client.server.slow_command(client, cmd, client.argv, ended - started)
    return ended


def hand_over(client: Client, out: list[bytes]) -> int:
    """Send the replies collected so far, which may close the client by its output limit; returns 0, what is held now."""
    client.connection.write(b"".join(out))
    client.connection.flush()
    out.clear()
    return 0


def reject(client: Client, cmd: Command | None, error: ReplyError) -> ReplyError:
    """Account for a command that was refused before it ran; returns the error to answer.

    Inside MULTI the transaction is lost; when EXEC itself is refused it ends at once and the error tells why.
    """
    if cmd is not None:
        cmd.rejected += 1
        if cmd.name == b"exec":
            end_transaction(client)
            error = ReplyError(b"EXECABORT Transaction discarded because of: " + error.text.removeprefix(b"ERR "))
    if client.multi is not None:
        client.multi_error = True
    if client.tracking is not None:
        client.server.tracking.forget_caching(client, cmd)
    client.server.count_error(error.text)
    return error


def attend(client: Client, cmd: Command, argv: Argv, reply: Any, quiet: bool) -> Any:
    """What is sent for ``reply`` to a client that wants no replies (CLIENT REPLY) or that caches (CLIENT TRACKING).

    Subscriptions and messages are no replies: CLIENT REPLY OFF does not stop them.
    """
    if quiet and reply is not BLOCKED and not (client.reply_mode == "on" and cmd.name in _REPLIES_AGAIN):
        reply = Replies([one for one in reply if type(one) is Push] if type(reply) is Replies else [])
    tracking = client.server.tracking
    if tracking.current is client:
        messages = tracking.ended(client, cmd, argv)
        if messages and reply is BLOCKED:
            client.send(b"".join(messages))
        elif messages:
            reply = Replies([reply, *messages])
    return reply


def end_skip(client: Client) -> None:
    """CLIENT REPLY SKIP leaves one reply out; that was this command's."""
    if client.reply_mode == "skip":
        client.reply_mode = "on"
        client.update_gate()


def gate(client: Client, cmd: Command, argv: Argv) -> Any:
    """The checks for a server or a client in a special state, in the order in which Redis 7.0 makes them.

    Returns ``_PASS`` to run the command, ``_HOLD`` to keep it for later (CLIENT PAUSE), or a reply.  Raises ReplyError.
    """
    server = client.server
    flags = cmd.flags
    denied = server.deny
    bits = cmd.gate
    if client.deny == TRACKS and not bits & denied:
        server.tracking.current = client
        return _PASS
    if client.multi and cmd.name == b"exec":  # what was queued is judged again: the server's role may have changed
        for queued, _ in client.multi:
            bits |= queued.gate
    end_skip(client)
    if client.must_log_in and "no_auth" not in flags:
        raise NO_AUTH
    if client.multi is not None and "no_multi" in flags:
        raise err("Command not allowed inside a transaction")
    if client.account is not None and client.account.restricted:
        judge(client, cmd, argv)
    if client.replica is not None:
        return client.replica.check_command(cmd, argv) or _PASS
    if denied & DENY_OOM and server.eviction.make_room() is FULL:
        # a transaction may need any amount of memory for its queue
        if bits & DENY_OOM or (client.multi is not None and cmd.name not in _ENDS_TRANSACTION):
            raise OUT_OF_MEMORY
    if server.write_error and not client.is_master and (bits & WRITE or cmd.name == b"ping"):
        raise MISCONF
    if bits & WRITE and denied & WRITE and not client.is_master:
        if server.too_few_replicas():
            raise NO_REPLICAS
        if server.read_only:
            raise READ_ONLY
    if client.resp == 2 and client.subscriptions and cmd.name not in _IN_SUBSCRIBED_MODE:
        raise err(
            b"Can't execute '%b': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this "
            b"context" % cmd.name
        )
    if bits & denied & NOT_STALE:
        raise MASTER_DOWN
    if bits & denied & (NOT_LOADING | NOT_ASYNC_LOADING):
        raise LOADING
    late = server.scripting.watch.late
    if late is not None and "allow_busy" not in flags and not client.is_master:
        raise server.scripting.watch.refusal
    if client.monitor and not flags.isdisjoint(_KEYSPACE):
        raise _MONITORS_ONLY_WATCH
    if server.paused(bits & (WRITE | MAY_REPLICATE) != 0) and not client.is_master:
        client.paused = True
        server.hold(client)
        return _HOLD
    if client.multi is not None and cmd.name not in _NEVER_QUEUED:
        if cmd.subcommands and len(argv) > 1:  # a container, so there is no such subcommand
            raise unknown_subcommand(cmd.name.upper(), argv[1])
        client.multi.append((cmd, argv))
        return QUEUED
    if server.monitors and flags.isdisjoint(_NOT_MONITORED):
        server.monitors.note(client, argv)
    if client.no_touch and server.eviction.recording and _leaves_no_access(client, cmd):
        reply = server.eviction.unrecorded(client, cmd, argv)
        server.tracking.forget_caching(client, cmd)
        return reply
    if client.tracking is not None or cmd.name == b"exec":  # a transaction may begin to track
        server.tracking.current = client
    return _PASS


def _leaves_no_access(client: Client, cmd: Command) -> bool:
    """Whether CLIENT NO-TOUCH is about this command: one that reads, but for TOUCH itself; EXEC runs such commands."""
    name = cmd.name
    if name == b"exec":
        return client.tracking is None  # else its reply needs ``attend``
    return "readonly" in cmd.flags and "blocking" not in cmd.flags and name != b"touch"


def judge(client: Client, cmd: Command, argv: Argv) -> None:
    """Raise NOPERM, and note it in ACL LOG, when the user of ``client`` has no right to the command."""
    if cmd.subcommands and len(argv) > 1:  # a container, so there is no such subcommand
        raise unknown_subcommand(cmd.name.upper(), argv[1])
    denial = check(client.account, cmd, argv)
    if denial is not None:
        client.argv = argv
        client.server.acl.log.refused(client, denial)
        raise denial.reply()


def call(client: Client, cmd: Command, argv: Argv) -> Any:
    """Run one command of a unit (EXEC, the master's stream) and account for it; returns its value.

    A ReplyError is returned, not raised.
    """
    server = client.server
    dirty = server.dirty
    started = perf_counter_ns()
    client.argv = argv
    try:
        reply = cmd.fn(client, argv)
    except ReplyError as error:
        error.release()
        cmd.failed += 1
        server.count_error(error.text)
        reply = error
    except Exception as error:
        cmd.failed += 1
        reply = server.defect(client, argv, error)
    if server.dirty != dirty or server.propagation.busy:
        server.propagation.done(client.db.index, argv, server.dirty != dirty)
    if client.tracking is not None and "readonly" in cmd.flags:
        server.tracking.read(client, cmd, argv)
    elapsed = perf_counter_ns() - started
    cmd.account(1, elapsed)
    if elapsed > server.slow_ns:
        server.slow_command(client, cmd, argv, elapsed)
    if server.monitors and cmd.flags.isdisjoint(_NOT_MONITORED):
        server.feed_monitors(client, argv)
    return reply


__all__ = ["ANY", "call", "gate", "reject", "run"]
