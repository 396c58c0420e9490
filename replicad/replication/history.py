"""The replication history: who we are, how far we got, and the most recent bytes of the stream.

A history is an identifier (``replid``) and a number of bytes (``offset``). Two servers with the same identifier
and the same offset hold the same data. The history owns both, the previous identifier (``replid2``) under which
we can still answer, and the backlog: the last bytes of the stream, kept so that a replica that lost its
connection can continue where it stopped.

It does not know commands, sockets or clocks. Propagation (or the upstream link) appends bytes, downstream
replicas read them through cursors, PSYNC asks ``can_continue``.

Numbers. An *offset* or *position* counts bytes from the beginning of the history; byte number N is the one that
brings the offset to N. A replica at offset N asks PSYNC for byte N + 1, and reads with a cursor at position N.

The bytes are a chain of blocks. A small append is copied into the open block at the end, a big one becomes a
block of its own without a copy. Whole blocks are dropped at the front when the rest is still at least
``backlog_size`` and no cursor needs them, so the backlog grows beyond its size while a slow replica reads, and
what it holds then is good for partial resynchronisation too, as in Redis 7. With a ``spill`` they are dropped
regardless of cursors, into a file, and a cursor that is so far behind reads them from there.

Rejected: one queue per replica (memory times the number of replicas, and no shared truth); one bytearray trimmed
at the front (each time it grows it is copied as a whole, which stops the server for 30 ms at 256 MiB); a ring of
fixed size (a replica that takes its image slowly would be overrun).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import NamedTuple

from replicad.replication.spill import Spill

NO_REPLID = "0" * 40
NO_DB = -1

MIN_BACKLOG_SIZE = 16 * 1024
DEFAULT_BACKLOG_SIZE = 1024 * 1024

_SMALLEST_BLOCK = 1024
_LARGEST_BLOCK = 64 * 1024
_LARGEST_PIECE = 1024 * 1024
#: Bytes that go to the spill at once: some milliseconds. The rest follows with the next append or ``tidy``.
_MOVED_AT_ONCE = 2 * 1024 * 1024


def new_replid() -> str:
    """Return a new random replication identifier: 40 lower-case hex characters."""
    return os.urandom(20).hex()


class Decision(NamedTuple):
    """The answer to PSYNC: continue or not, and what to log as ``(level, text)``."""

    accepted: bool
    reason: tuple[tuple[str, str], ...]


class _Block:
    """A run of stream bytes. ``start`` is the position before its first byte."""

    __slots__ = ("data", "next", "open", "start")

    def __init__(self, start: int, data: bytes | bytearray, is_open: bool) -> None:
        self.start = start
        self.data = data
        self.next: _Block | None = None
        self.open = is_open

    @property
    def end(self) -> int:
        return self.start + len(self.data)


class CursorClosed(Exception):
    """A cursor was used after it was closed, after the history it read was replaced, or after the spill lost its bytes."""


class Cursor:
    """A reader's place in the history. The bytes after ``position`` stay in memory, or with a spill on disk as long as its
    limit allows, until the cursor is closed.
    """

    # _block is None while the position lies in the spill.
    __slots__ = ("_block", "_history", "position")

    def __init__(self, history: History, position: int, block: _Block | None) -> None:
        self.position = position
        self._history: History | None = history
        self._block: _Block | None = block

    @property
    def closed(self) -> bool:
        """True when the cursor was closed, its history was reset, its backlog freed, or the spill lost its bytes."""
        return self._history is None

    @property
    def lag(self) -> int:
        """Number of bytes between this cursor and the end of the history; 0 when it is closed."""
        return 0 if self._history is None else self._history.offset - self.position

    @property
    def memory_lag(self) -> int:
        """How many of these bytes are in memory; without a spill all of them."""
        history = self._history
        return 0 if history is None else history.offset - max(self.position, history._head.start)

    def read(self, limit: int = 65536) -> bytes:
        """Return the next bytes, at most ``limit``, and move behind them. Empty when nothing is left.

        Raises CursorClosed when the cursor is closed.
        """
        self._settle()
        block = self._block
        parts: list[bytes | bytearray] = []
        position = self.position
        if block is None:
            parts.append(self._read_back(limit))
            position += len(parts[0])
            limit -= len(parts[0])
            assert self._history is not None
            block = self._history._head
        while block is not None and limit > 0:
            begin = position - block.start
            part = block.data[begin : begin + limit]
            if part:
                parts.append(part)
                position += len(part)
                limit -= len(part)
            if limit > 0:
                block = block.next
        self._move(position)
        # A whole sealed block comes out of the slice and of bytes() as the very object that was appended.
        return bytes(parts[0]) if len(parts) == 1 else b"".join(parts)

    def advance(self, count: int) -> None:
        """Move behind ``count`` bytes that the reader got in another way (the live path hands them on as they
        are appended). Raises CursorClosed when the cursor is closed, ValueError beyond the end.
        """
        self._settle()
        if count > self.lag or count < 0:
            raise ValueError("a cursor cannot leave the history")
        self._move(self.position + count)

    def close(self) -> None:
        """Let go of the bytes. A second call does nothing."""
        history, self._history = self._history, None
        if history is not None:
            history._forget(self)

    def _settle(self) -> None:
        if self._history is None:
            raise CursorClosed("the cursor is closed")

    def _read_back(self, limit: int) -> bytes:
        """The next bytes from the spill. Raises CursorClosed when they cannot be read."""
        history = self._history
        assert history is not None and history.spill is not None
        try:
            return history.spill.read(self.position, min(limit, history._head.start - self.position))
        except OSError as error:
            history._spill_failed(error)
            raise CursorClosed("the spill cannot be read") from error

    def _move(self, position: int) -> None:
        self.position = position
        block = self._block
        moved = False
        if block is None:
            assert self._history is not None
            block = self._history._head
            if position < block.start:
                return
            self._block = block
        while position >= block.end and block.next is not None:
            block = block.next
            moved = True
        if moved:
            self._block = block
            assert self._history is not None
            self._history._trim()


def _nobody(error: OSError) -> None:
    """Nobody wants to know."""


class History:
    """Identifiers, offset and backlog of one server.

    ``replid``, ``replid2``: str of 40 hex characters. ``second_offset``: first byte number for which replid2 is
    no longer valid, -1 when there is none. ``offset``: bytes produced. ``active``: a backlog exists.
    ``selected_db``: database selected at the end of the stream, ``NO_DB`` when the next command needs a SELECT.
    """

    def __init__(self, replid: str | None = None, backlog_size: int = DEFAULT_BACKLOG_SIZE) -> None:
        self.replid = replid if replid is not None else new_replid()
        self.replid2 = NO_REPLID
        self.second_offset = -1
        self.offset = 0
        self.active = False
        self.selected_db = NO_DB
        #: Where bytes go that memory has no room for (see ``set_spill``), and who is told when that broke.
        self.spill: Spill | None = None
        self.spill_broke: Callable[[OSError], None] = _nobody
        self._restored = False  # what a snapshot knew is here, and nobody counts on from there yet
        self._cursors: set[Cursor] = set()
        self._head = self._tail = _Block(0, b"", False)
        self._backlog_size = MIN_BACKLOG_SIZE
        self._block_size = self._piece_size = _SMALLEST_BLOCK
        self.backlog_size = backlog_size

    # -- the backlog ------------------------------------------------------------------------------------------

    @property
    def backlog_size(self) -> int:
        """Bytes that the backlog keeps at least (when so many exist). Values below 16 KiB are raised to it."""
        return self._backlog_size

    @backlog_size.setter
    def backlog_size(self, size: int) -> None:
        self._backlog_size = max(size, MIN_BACKLOG_SIZE)
        self._block_size = min(max(self._backlog_size // 16, _SMALLEST_BLOCK), _LARGEST_BLOCK)
        # A big append is cut into pieces of this size: whole blocks are dropped, so one must not be a large part of
        # the backlog.
        self._piece_size = min(self._backlog_size // 4, _LARGEST_PIECE)
        self._trim()

    @property
    def histlen(self) -> int:
        """Number of bytes held in memory; 0 without a backlog."""
        return self.offset - self._head.start if self.active else 0

    @property
    def first_byte_offset(self) -> int:
        """Number of the first byte held in memory (of the next byte when there is none); 0 without a backlog."""
        return self._head.start + 1 if self.active else 0

    @property
    def start(self) -> int:
        """The lowest position from which the history can be read. Equal to ``offset`` when nothing is held."""
        spill = self.spill
        return self._head.start if spill is None or not spill.size else spill.start

    @property
    def memory_bound(self) -> int:
        """With a spill: the most bytes that are held in memory, but for moments."""
        return self._backlog_size + max(self._piece_size, self._block_size)

    def create_backlog(self, new_id: bool = True) -> bool:
        """Begin to record. A master also takes a new replid, because it did not count what it wrote before; a
        replica keeps the one of its master (``new_id=False``), and the bytes that were restored with it. Return False
        when a backlog existed already.
        """
        if self.active:
            return False
        self.active = True
        if new_id:
            self._rename(new_replid())
            self._clear()
        self._restored = False
        return True

    def free_backlog(self) -> None:
        """Stop recording and take a new replid: nobody counts the writes from now on, so nobody may continue
        under the old one.
        """
        self._clear()
        self.active = self._restored = False
        self._rename(new_replid())

    def append(self, data: bytes) -> None:
        """Add stream bytes. Without a backlog nothing is kept and the offset stands still, as in Redis."""
        size = len(data)
        if not size or not self.active:
            return
        tail = self._tail
        self.offset += size
        if size < self._block_size:
            if not tail.open:
                tail = self._seal_and_add(_Block(self.offset - size, bytearray(), True))
            tail.data += data
            if len(tail.data) >= self._block_size:
                tail.open = False
                self._trim()
            return
        position = self.offset - size
        if size <= self._piece_size:
            self._seal_and_add(_Block(position, data, False))
        else:
            piece = self._piece_size
            for begin in range(0, size, piece):
                self._seal_and_add(_Block(position + begin, data[begin : begin + piece], False))
        self._trim()

    def since(self, position: int) -> bytes:
        """Return all bytes after ``position``. Raises LookupError when they are not held."""
        cursor = self.cursor_at(position)
        try:
            return cursor.read(self.offset - position)
        finally:
            cursor.close()

    def tail(self, limit: int) -> bytes:
        """Return the last bytes of the stream, at most ``limit``, also those restored and not in use yet."""
        begin = max(self.offset - limit, self._head.start)
        block: _Block | None = self._head
        parts = []
        while block is not None:
            if block.end > begin:
                parts.append(block.data[max(begin - block.start, 0) :])
            block = block.next
        return b"".join(parts)

    def cursor_at(self, position: int) -> Cursor:
        """Return a new cursor that reads the bytes after ``position`` and keeps them in memory.

        Raises LookupError when there is no backlog, or the position lies outside of it.
        """
        if not self.active or not self.start <= position <= self.offset:
            raise LookupError(f"position {position} is not in the backlog ({self.start} to {self.offset})")
        block = self._head
        while position >= block.end and block.next is not None:
            block = block.next
        cursor = Cursor(self, position, block if position >= block.start else None)
        self._cursors.add(cursor)
        return cursor

    def has(self, replid: str, offset: int) -> bool:
        """Whether what was at ``offset`` of the history ``replid`` is a part of ours."""
        if replid == self.replid:
            return offset <= self.offset
        return replid == self.replid2 and offset < self.second_offset

    # -- PSYNC ------------------------------------------------------------------------------------------------

    def can_continue(self, replid: str, requested_offset: int, replica: str = "") -> Decision:
        """Decide about ``PSYNC replid requested_offset``. ``replica`` is the name for the log lines."""
        asked = replid.lower()
        second = asked == self.replid2.lower()
        if asked != self.replid.lower() and not (second and requested_offset <= self.second_offset):
            if asked[:1] == "?":
                text = f"Full resync requested by replica {replica}"
            elif not second:
                text = (
                    "Partial resynchronization not accepted: Replication ID mismatch (Replica asked for "
                    f"'{replid}', my replication IDs are '{self.replid}' and '{self.replid2}')"
                )
            else:
                text = (
                    "Partial resynchronization not accepted: Requested offset for second ID was "
                    f"{requested_offset}, but I can reply up to {self.second_offset}"
                )
            return Decision(False, (("notice", text),))
        if not self.active or not self.start < requested_offset <= self.offset + 1:
            lack = (
                f"Unable to partial resync with replica {replica} for lack of backlog "
                f"(Replica request was: {requested_offset})."
            )
            if requested_offset > self.offset:
                ahead = (
                    f"Warning: replica {replica} tried to PSYNC with an offset that is greater than the master "
                    "replication offset."
                )
                return Decision(False, (("notice", lack), ("warning", ahead)))
            return Decision(False, (("notice", lack),))
        missing = self.offset - requested_offset + 1
        accepted = (
            f"Partial resynchronization request from {replica} accepted. Sending {missing} bytes of backlog "
            f"starting from offset {requested_offset}."
        )
        return Decision(True, (("notice", accepted),))

    # -- changes of role --------------------------------------------------------------------------------------

    def shift(self, replid: str | None = None) -> None:
        """A replica becomes a master: a new replid, and the old one stays valid up to here. The next command
        needs a SELECT. One that came back from its snapshot and never reached its master records from here: the others
        may continue with it.
        """
        self.adopt(replid if replid is not None else new_replid())
        self.selected_db = NO_DB
        if self._restored:
            self.create_backlog(new_id=False)

    def adopt(self, replid: str) -> None:
        """Go on under another replid (``+CONTINUE <id>`` of a promoted master); the old one stays valid up to
        here.
        """
        self.replid2 = self.replid
        self.second_offset = self.offset + 1
        self.replid = replid

    def reset(self, replid: str, offset: int) -> None:
        """Start over after a full resynchronisation: ids and offset of the master, an empty backlog, all cursors
        closed.
        """
        self._rename(replid)
        self.offset = offset
        self.active = True
        self._restored = False
        self.selected_db = NO_DB
        self._clear()

    def restore(
        self,
        replid: str,
        offset: int,
        selected_db: int = NO_DB,
        *,
        as_master: bool,
        tail: bytes = b"",
        second: tuple[str, int] | None = None,
    ) -> None:
        """Take over the state stored with a snapshot, at start. ``tail``: the bytes that end at ``offset``; ``second``:
        replid2 and its ``second_offset``.

        A master takes a new replid, because its last run may have written more than was saved, and answers under
        the stored one up to the stored offset. A replica keeps the stored ones, the first to ask its master with.
        """
        self._rename(replid)
        self.offset = offset
        self.active = as_master
        self._restored = not as_master
        self.selected_db = NO_DB if as_master else selected_db
        if as_master:
            self.adopt(new_replid())
        elif second is not None:
            self.replid2, self.second_offset = second[0], min(second[1], offset + 1)
        self._clear()
        if 0 < len(tail) <= offset:
            self._head = self._tail = _Block(offset - len(tail), tail, False)

    # -- inside -----------------------------------------------------------------------------------------------

    def _rename(self, replid: str) -> None:
        self.replid = replid
        self.replid2 = NO_REPLID
        self.second_offset = -1

    def _clear(self) -> None:
        for cursor in self._cursors:
            cursor._history = None
        self._cursors.clear()
        self._head = self._tail = _Block(self.offset, b"", False)
        if self.spill is not None:
            self.spill.clear()

    def _seal_and_add(self, block: _Block) -> _Block:
        self._tail.open = False
        self._tail.next = block
        self._tail = block
        return block

    def _forget(self, cursor: Cursor) -> None:
        self._cursors.discard(cursor)
        self._trim()

    def _trim(self) -> None:
        head = self._head
        limit = self.offset - self._backlog_size
        following = head.next
        if following is None or following.start > limit:
            return
        if self.spill is not None:
            self._move_out(self.spill, limit)
            return
        if self._cursors:
            limit = min(limit, min(cursor.position for cursor in self._cursors))
        while following is not None and following.start <= limit:
            head = following
            following = head.next
        self._head = head

    # -- the spill --------------------------------------------------------------------------------------------

    def set_spill(self, spill: Spill | None) -> None:
        """Use ``spill`` from now on, or none. Readers of the one before lose what only it has."""
        old, self.spill = self.spill, spill
        if old is not None:
            old.clear()
            self._close_below(self._head.start)
        self._trim()

    def resize_spill(self, limit: int) -> None:
        """Let the spill hold ``limit`` bytes. A smaller one begins anew, and its readers lose what only it had."""
        if self.spill is not None:
            self.spill.resize(limit)
            if not self.spill.size:
                self._close_below(self._head.start)

    def tidy(self) -> None:
        """Move on what did not go to the spill at once. For every second or so."""
        if self.spill is not None:
            self._trim()

    def _move_out(self, spill: Spill, limit: int) -> None:
        """Give blocks up to the position ``limit`` to the spill, also those that cursors need."""
        head = self._head
        following = head.next
        until = head.start + _MOVED_AT_ONCE
        try:
            while following is not None and following.start <= limit and head.start < until:
                spill.append(head.start, head.data)
                head = following
                following = head.next
        except OSError as error:
            self._spill_failed(error)
            return
        self._head = head
        self._close_below(spill.start)
        for cursor in self._cursors:
            block = cursor._block
            if block is not None and block.start < head.start:
                # The chain of blocks must not be held by a reader that is behind.
                cursor._block = head if cursor.position >= head.start else None

    def _spill_failed(self, error: OSError) -> None:
        """Go on without: readers of what only the spill had are closed, the others hold their bytes in memory."""
        self.set_spill(None)
        self.spill_broke(error)

    def _close_below(self, position: int) -> None:
        for cursor in [cursor for cursor in self._cursors if cursor.position < position]:
            cursor._history = None
            self._cursors.discard(cursor)
