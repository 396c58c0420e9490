"""What of a command's work goes to the replicas, and when.

Owns: the execution unit (collect, rewrite, wrap in MULTI/EXEC) and the encoding with SELECT.  Does not own the stream
itself (``replication.history``) nor who receives it.  Called by dispatch after each command, and by the commands through
their four verbs.

The rule is Redis 7.0's: a command that moved ``server.dirty`` is propagated as the client
wrote it, unless its handler said otherwise with one of

* nothing: the arguments verbatim;
* ``replace(*argv)``: this command instead (SET EX becomes SET PXAT);
* ``also(db, *argv)``: this one too, in front of the command;
* ``suppress()``: nothing for this command.

A unit is one client command, one MULTI/EXEC, or one service of a blocked client.  If it yields two or more commands
they are wrapped in MULTI and EXEC.  Keys found expired on the way put their DEL in front of the command.

Outside of a unit (``depth == 0``) a finished command is encoded at once and appended to ``sink``; one ``flush`` per
batch hands the bytes to the history and wakes the replicas, so that a pipeline of 100 SETs costs one wake-up.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from replicad.replication.history import History
from replicad.resp import encode_command, total_length

_MULTI = b"*1\r\n$5\r\nMULTI\r\n"
_EXEC = b"*1\r\n$4\r\nEXEC\r\n"
_SELECT = [encode_command([b"SELECT", b"%d" % index]) for index in range(16)]

Argv = Sequence[bytes]


class Propagation:
    """The collector.  ``deliver(data)`` gets the stream bytes of a batch; ``active`` tells whether anybody wants them.

    While inactive (no backlog, no replica) nothing is encoded: the offset of a Redis master stands still then.
    """

    __slots__ = ("_batch", "_deliver", "_pending", "_replaced", "_unit", "active", "busy", "depth", "history")

    def __init__(self, history: History, deliver: Callable[[bytes], None]) -> None:
        self.history = history  #: knows which database the stream stands in
        self._deliver = deliver
        self._unit: list[tuple[int, Argv]] = []
        self._pending: list[bytes] = []
        #: Commands that go out as they came, behind what is pending and not encoded yet.
        self._batch: list[list[bytes]] = []
        self._replaced: list[Argv] | None = None
        self.active = False
        #: A verb was used: ``done`` must be called although ``dirty`` may not have moved.
        self.busy = False
        self.depth = 0  #: > 0 inside EXEC: the unit ends with the outermost ``leave``

    # -- the verbs of the commands

    def replace(self, *argv: bytes) -> None:
        """Propagate ``argv`` in place of the command that is running (in its database)."""
        if self._replaced is None:
            self._replaced = []
        self._replaced.append(argv)
        self.busy = True

    def also(self, db: int, *argv: bytes) -> None:
        """Propagate ``argv`` in database ``db`` before the running command (DEL of an expired key)."""
        if self.active:
            self._unit.append((db, argv))
            self.busy = True

    def suppress(self) -> None:
        """Propagate nothing for the command that is running."""
        if self._replaced is None:
            self._replaced = []
        self.busy = True

    # -- the execution unit

    def enter(self) -> None:
        """Begin a unit of several commands (EXEC)."""
        self.depth += 1

    def leave(self) -> None:
        """End a unit."""
        self.depth -= 1
        if not self.depth and self._unit:
            self._close()

    def forget(self) -> None:
        """Drop what the present unit holds: the process leaves, and its own data with it."""
        self._unit.clear()

    def done(self, db: int, argv: Argv, changed: bool) -> None:
        """The command ``argv`` has run in ``db``; ``changed`` tells whether it moved ``dirty``."""
        replaced, self._replaced, self.busy = self._replaced, None, False
        if not self.active:
            return
        if changed:
            if replaced is None:
                if not self.depth and not self._unit:  # the usual case: one command, nothing else
                    if db != self.history.selected_db:
                        self._select(db)
                    self._batch.append(argv)  # type: ignore[arg-type]
                    return
                self._unit.append((db, argv))
            else:
                for other in replaced:
                    self._unit.append((db, other))
        if not self.depth and self._unit:
            self._close()

    def _encode_batch(self) -> None:
        self._pending += map(encode_command, self._batch)
        self._batch.clear()

    def _select(self, db: int) -> None:
        self._encode_batch()
        self._pending.append(_SELECT[db] if db < len(_SELECT) else encode_command([b"SELECT", b"%d" % db]))
        self.history.selected_db = db

    def _close(self) -> None:
        """Encode the unit.  SELECT goes before MULTI when the first command needs it, as Redis 7.0 does."""
        unit, self._unit = self._unit, []
        self._encode_batch()
        pending = self._pending
        if unit[0][0] != self.history.selected_db:
            self._select(unit[0][0])
        if len(unit) > 1:
            pending.append(_MULTI)
        for db, argv in unit:
            if db != self.history.selected_db:
                self._select(db)
            pending.append(encode_command(argv))
        if len(unit) > 1:
            pending.append(_EXEC)

    def flush(self, raw: bytes | None = None, commands: list[list[bytes]] | None = None) -> None:
        """Hand over what there is; at the end of a batch, and before anything reads the offset.

        ``raw`` is the request of ``commands`` that has just been executed, when it may be in the stream's own form.  If they
        all go out as they came and nothing else does, and it is as long as they are in that form, its bytes are passed on:
        encoding them again takes as long as executing them.
        """
        batch = self._batch
        if batch:
            if raw is not None and batch == commands and not self._pending and total_length(batch) == len(raw):
                batch.clear()
                self._deliver(raw)
                return
            self._encode_batch()
        if self._pending:
            data = b"".join(self._pending)
            self._pending.clear()
            self._deliver(data)

    def write(self, data: bytes) -> None:
        """Put stream bytes that are no change of the dataset (PING, REPLCONF GETACK) in order behind the rest."""
        if self.active:
            self._encode_batch()
            self._pending.append(data)
