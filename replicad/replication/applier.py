"""Executes the stream of a master and passes it on.

Owns: running the master's commands with the ordinary handlers, the order "execute, append, wake". Does not own where the
units come from (``upstream``) nor the bytes afterwards (``history``).

There are no gates here: no ACL, no read-only check, no reply. A handler's error is logged loudly and changes nothing
else, as in Redis: the offset must go on.

One thing Redis does not do: what has no place in a stream (SHUTDOWN, CONFIG, REPLICAOF, SUBSCRIBE, ...) is not run. A
master is trusted with the dataset, not with the process. Commands that only read are harmless and run, as in Redis.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from time import perf_counter_ns
from typing import TYPE_CHECKING

from replicad.command import TABLE, Argv, Command, lookup
from replicad.errors import ReplyError, err, unknown_command, wrong_arity
from replicad.replication.handshake import show
from replicad.replication.stream import Unit

if TYPE_CHECKING:
    from replicad.server import Server
    from replicad.session import Client


NOT_IN_A_STREAM = err("a master may not send this command")

#: What masters send beside commands that write or are propagated by nature. Scripts come from masters before Redis 5.
_OTHERS = frozenset((b"ping", b"select", b"multi", b"exec", b"discard", b"replconf", b"eval", b"evalsha", b"fcall",
                     b"script|load", b"script|flush"))  # fmt: skip


def may_come(cmd: Command) -> bool:
    """Whether ``cmd`` is run when a master sends it."""
    # MIGRATE connects to others; what it did comes as DEL.
    flags = cmd.flags
    return cmd.name in _OTHERS or (not flags.isdisjoint(("write", "readonly", "may_replicate")) and cmd.name != b"migrate")


class Applier:
    """Applies units as ``client``. ``acknowledge`` is called for GETACK. ``stopped`` ends the work at the next unit."""

    def __init__(self, server: Server, client: Client, acknowledge: Callable[[], None]) -> None:
        self._server = server
        self._client = client
        self._acknowledge = acknowledge
        self._known = {name: cmd for name, cmd in TABLE.items() if may_come(cmd) and not cmd.subcommands}
        self.stopped = False

    def apply(self, units: list[Unit]) -> None:
        """Execute units of the stream and append them to the history."""
        server = self._server
        history, wake, blocking = server.history, server.replication.wake, server.blocking
        server.clock.now_ms = int(time.time() * 1000)
        for db in server.databases:
            db.see_expired = True
        try:
            for raw, commands in units:
                if self.stopped:
                    break
                first = commands[0][0].upper() if commands else b""
                if first == b"MULTI":
                    if commands[-1][0].upper() == b"EXEC":
                        self._run(commands[1:-1])
                elif first == b"REPLCONF":
                    # The answer must not count the question, so it goes out before the bytes are appended.
                    if len(commands[0]) > 1 and commands[0][1].upper() == b"GETACK":
                        self._acknowledge()
                else:
                    self._run(commands)
                history.append(raw)
                wake(raw)
                if blocking.ready:
                    blocking.serve()
        finally:
            for db in server.databases:
                db.see_expired = False

    def _run(self, commands: list[Argv]) -> None:
        client, server = self._client, self._server
        propagation = server.propagation
        find = self._known.get
        watched = bool(server.monitors)
        # calls and time are added up for a row of equal commands, as dispatch does it: a stream has long ones
        counted: Command | None = None
        count = 0
        started = perf_counter_ns()
        for argv in commands:
            cmd = find(argv[0])
            if cmd is None:
                cmd = lookup(argv)
                if cmd is None:
                    self._complain(argv, unknown_command(argv))
                    continue
                if not may_come(cmd):
                    self._complain(argv, NOT_IN_A_STREAM)
                    continue
            if len(argv) != cmd.arity and not cmd.least <= len(argv) <= cmd.most:
                self._complain(argv, wrong_arity(cmd.name))
                continue
            if watched:
                server.feed_monitors(client, argv)
            if cmd is not counted:
                if counted is not None:
                    ended = perf_counter_ns()
                    counted.account(count, ended - started)
                    started = ended
                counted, count = cmd, 0
            count += 1
            client.argv = argv
            try:
                reply = cmd.fn(client, argv)
                if type(reply) is ReplyError:  # returned, not raised: of a script
                    self._complain(argv, reply)
            except ReplyError as error:
                error.release()
                cmd.failed += 1
                self._complain(argv, error)
            except Exception as error:  # our defect: the link must live on, the log must tell
                cmd.failed += 1
                self._complain(argv, server.defect(client, argv, error))
            if propagation.busy:
                propagation.done(client.db.index, argv, False)
        if counted is not None:
            counted.account(count, perf_counter_ns() - started)

    def _complain(self, argv: Argv, error: Exception) -> None:
        text = error.text if isinstance(error, ReplyError) else str(error).encode()
        self._server.count_error(text)
        self._server.log.warning(
            f"== CRITICAL == This replica is sending an error to its master: '{show(text)}' after processing the command "
            f"'{show(argv[0].lower())}'"
        )
