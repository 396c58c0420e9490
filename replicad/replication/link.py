"""The replica's end of a replication connection, without a socket and without a clock.

A ``Link`` is one connection to a master, from the first PING to its end. Bytes go in (``received``), time goes in
(``tick``), events come out as short lists: send this, log that, here is a piece of the snapshot, these commands
of the stream are complete. It calls nobody, so nothing can re-enter it, and every conversation can be tested byte
by byte. ``upstream`` makes a new Link for each connection and acts on the events.

What the link does not know: the dataset, the offset that was applied (it knows what it handed out), whether the
old state is worth keeping. It only says what it saw.

The conversation: PING waits for its reply. AUTH and the REPLCONFs are written at once and their replies are read
in order. PSYNC follows; its reply leads to a snapshot or straight into the stream. A master without PSYNC gets
SYNC on the same connection. Stream bytes that arrive while the snapshot is being loaded are kept until
``loaded``. Every failure is one ``Failed`` event; after it the link answers nothing more.

Redis gives up a silent handshake after repl-timeout, and a half received line after 5 seconds; so do we.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable

from replicad.replication.handshake import (
    HANDSHAKE_STEPS,
    Continue,
    Event,
    Failed,
    FullResync,
    LinkConfig,
    Log,
    Send,
    SnapshotBytes,
    SnapshotEnd,
    Step,
    Stream,
    TransferStarted,
    encode,
    show,
)
from replicad.replication.stream import StreamError, StreamReader

IDLE = "IDLE"
HANDSHAKE = "HANDSHAKE"
PSYNC_REPLY = "PSYNC_REPLY"
TRANSFER = "TRANSFER"
LOADING = "LOADING"
STREAMING = "STREAMING"
FAILED = "FAILED"

TRANSITIONS: dict[str, frozenset[str]] = {
    IDLE: frozenset((HANDSHAKE, FAILED)),
    HANDSHAKE: frozenset((PSYNC_REPLY, FAILED)),
    PSYNC_REPLY: frozenset((TRANSFER, STREAMING, FAILED)),
    TRANSFER: frozenset((LOADING, FAILED)),
    LOADING: frozenset((STREAMING, FAILED)),
    STREAMING: frozenset((FAILED,)),
    FAILED: frozenset(),
}

LINE_TIMEOUT = 5.0
MAX_LINE = 4096

_REPLID = re.compile(rb"[0-9a-fA-F]{40}")
#: An offset of more digits does not fit into the 64 bits that backends and other servers keep it in.
_OFFSET_DIGITS = 18


def _ignore(data: bytes) -> bytes:
    """What a link that has ended reads."""
    return b""


def _ignore_line(line: bytes) -> None:
    """What a link that has ended does with a line."""


class Link:
    """One connection to a master.

    ``continue_from``: (replid, processed offset) of the state we hold, or None. ``trace(old, new, why)`` is
    called at each change of state. ``acknowledges`` turns False when the master only knows SYNC.
    """

    def __init__(
        self,
        config: LinkConfig,
        continue_from: tuple[str, int] | None = None,
        trace: Callable[[str, str, str], None] | None = None,
    ) -> None:
        self.config = config
        self.continue_from = continue_from
        self.state = IDLE
        self.acknowledges = True
        #: Bytes of the stream received, counted from the beginning of the history.
        self.read_offset = -1
        #: Size of the snapshot (None: unknown) and how much of it came.
        self.transfer_size: int | None = None
        self.transfer_read = 0
        self._trace = trace
        self._events: list[Event] = []
        self._read: Callable[[bytes], bytes] = self._line
        self._on_line: Callable[[bytes], None] = self._handshake_line
        self._buffer = b""
        self._todo: deque[Step] = deque()
        self._asked: deque[Step] = deque()
        self._mark = b""
        self._first_ack = False
        self._left = 0
        self._tail = b""
        self._stream = StreamReader(config.stream_limit)
        self._pending: deque[bytes] = deque()
        self.pending_size = 0
        # When the master last made progress; None: since the last tick.
        self._active_at: float | None = None
        self._newline_at: float | None = None

    # -- the driver's side ------------------------------------------------------------------------------------

    @property
    def offset(self) -> int:
        """Position in the history behind the last command that was handed out."""
        return self.read_offset - self._stream.pending - self.pending_size

    def connected(self) -> list[Event]:
        """The connection stands: begin."""
        self._enter(HANDSHAKE, "connected")
        self._log("notice", "Non blocking connect for SYNC fired the event.")
        self._todo.extend(HANDSHAKE_STEPS)
        self._ask()
        return self._flush()

    def received(self, data: bytes) -> list[Event]:
        """Bytes came from the master."""
        self._active_at = None
        while data and self.state != FAILED:
            data = self._read(data)
        return self._flush()

    def tick(self, now: float) -> list[Event]:
        """Look at the time (in seconds, any origin). Call it once a second or so."""
        if self.state in (IDLE, FAILED):
            return []
        if self.state == LOADING:
            self._active_at = now
            return self.keepalive(now)
        if self._active_at is None:
            self._active_at = now
            return []
        silent = now - self._active_at
        in_line = bool(self._buffer) and self.state in (HANDSHAKE, PSYNC_REPLY)
        if silent > self.config.timeout:
            if self.state == STREAMING:
                self._fail("MASTER timeout: no data nor PING received...")
            elif self.state == TRANSFER:
                self._fail(
                    "Timeout receiving bulk data from MASTER... If the problem persists try to set the "
                    "'repl-timeout' parameter in redis.conf to a larger value."
                )
            else:
                self._fail("Timeout connecting to the MASTER...")
        elif in_line and silent > LINE_TIMEOUT:
            self._log("warning", "Failed to read response from the server: Connection timed out")
            self._fail("Master did not respond to command during SYNC handshake")
        return self._flush()

    def connection_lost(self, reason: str) -> list[Event]:
        """The connection is gone; ``reason`` says why, in words for the log."""
        if self.state == HANDSHAKE:
            self._log("warning", f"Failed to read response from the server: {reason}")
            self._fail("Master did not respond to command during SYNC handshake")
        elif self.state == PSYNC_REPLY:
            self._fail("Master did not reply to PSYNC, will try later")
        elif self.state == TRANSFER:
            self._fail(f"I/O error trying to sync with MASTER: {reason}")
        elif self.state != FAILED:
            self._fail("Connection with master lost.")
        return self._flush()

    def distrust(self, reason: str) -> list[Event]:
        """What the master sent left us in a state of our own: give up, and continue from nothing."""
        if self.state != FAILED:
            self._fail(reason, discard=True)
        return self._flush()

    def keepalive(self, now: float) -> list[Event]:
        """Return the newline that tells the master that we live, while loading, at most once a second."""
        if self.state != LOADING or (self._newline_at is not None and now - self._newline_at < 1.0):
            return []
        self._newline_at = now
        return [Send(b"\n")]

    def loaded(self) -> list[Event]:
        """The snapshot is in use. Returns the first of the stream that came meanwhile; call ``drain`` for more
        while ``pending_size`` is not 0.
        """
        self._enter(STREAMING, "snapshot loaded")
        self._active_at = None
        return self.drain()

    def drain(self) -> list[Event]:
        """Return the events of one more piece of what was received while loading."""
        if self._pending and self.state == STREAMING:
            data = self._pending.popleft()
            self.pending_size -= len(data)
            self._stream_bytes(data)
        return self._flush()

    def ack(self, offset: int, stored: int = -1) -> list[Event]:
        """Return the acknowledgement of ``offset``, and of ``stored`` as what is safe on our disk (-1: nothing is);
        nothing for a master that does not know PSYNC, unless it waits for
        the first one: behind a mark it sends nothing before.
        """
        if self.state != STREAMING or not (self.acknowledges or self._first_ack):
            return []
        self._first_ack = False
        words = [b"REPLCONF", b"ACK", b"%d" % offset]
        if stored >= 0:
            words += [b"FACK", b"%d" % stored]
        return [Send(encode(*words))]

    # -- states -----------------------------------------------------------------------------------------------

    def _enter(self, state: str, why: str) -> None:
        if state not in TRANSITIONS[self.state]:
            raise AssertionError(f"{self.state} -> {state} ({why}) is not a transition of a link")
        old, self.state = self.state, state
        if self._trace is not None:
            self._trace(old, state, why)

    def _flush(self) -> list[Event]:
        events, self._events = self._events, []
        return events

    def _log(self, level: str, text: str) -> None:
        self._events.append(Log(level, text))

    def _fail(self, reason: str, level: str = "warning", *, discard: bool = False, rejected: bool = False) -> None:
        self._log(level, reason)
        self._give_up(Failed(reason, discard, rejected))

    def _give_up(self, failed: Failed) -> None:
        self._enter(FAILED, failed.reason)
        self._events.append(failed)
        self.release()

    def release(self) -> None:
        """This link is used no more: free what it holds, its references to itself too."""
        self._pending.clear()
        self.pending_size = 0
        self._buffer = self._tail = b""
        self._read, self._on_line = _ignore, _ignore_line

    # -- lines: handshake, reply to PSYNC, header of the snapshot ---------------------------------------------

    def _line(self, data: bytes) -> bytes:
        """Take one line; return what follows it."""
        end = data.find(b"\n")
        if end < 0 or len(self._buffer) + end > MAX_LINE:
            self._buffer += data[: MAX_LINE + 1]
            if len(self._buffer) > MAX_LINE:
                self._fail(f"Unexpected long line from MASTER: '{show(self._buffer)}'")
            return b""
        line = self._buffer + data[:end]
        self._buffer = b""
        if line.endswith(b"\r"):
            line = line[:-1]
        # Empty lines only say that the master lives.
        if line:
            self._on_line(line)
        return data[end + 1 :]

    def _ask(self) -> None:
        """Send the next steps, up to and including one that waits; PSYNC when none is left."""
        requests = []
        while self._todo:
            step = self._todo.popleft()
            request = step.request(self.config)
            if request is not None:
                requests.append(request)
                self._asked.append(step)
                if step.waits:
                    break
        if requests:
            self._events.append(Send(b"".join(requests)))
        else:
            self._ask_psync()

    def _handshake_line(self, line: bytes) -> None:
        step = self._asked.popleft()
        for event in step.accept(line):
            if isinstance(event, Failed):
                self._give_up(event)
                return
            self._events.append(event)
        if not self._asked:
            self._ask()

    def _ask_psync(self) -> None:
        self._on_line = self._psync_line
        if self.continue_from is None:
            self._enter(PSYNC_REPLY, "nothing to continue from")
            self._log("notice", "Partial resynchronization not possible (no cached master)")
            words = [b"PSYNC", b"?", b"-1"]
        else:
            replid, offset = self.continue_from
            self._enter(PSYNC_REPLY, f"continue {replid}:{offset + 1}")
            self._log("notice", f"Trying a partial resynchronization (request {replid}:{offset + 1}).")
            words = [b"PSYNC", replid.encode(), b"%d" % (offset + 1)]
            if self.config.failover:
                words.append(b"FAILOVER")
        self._events.append(Send(encode(*words)))

    def _psync_line(self, line: bytes) -> None:
        if line.startswith(b"+FULLRESYNC"):
            self._full_resync(line)
        elif line.startswith(b"+CONTINUE"):
            self._continue(line)
        elif self.config.failover:
            self._fail(f"Failover target rejected psync request: {show(line)}", rejected=True)
        elif line.startswith((b"-NOMASTERLINK", b"-LOADING")):
            text = f"Master is currently unable to PSYNC but should be in the future: {show(line)}"
            self._fail(text, "notice", rejected=True)
        else:
            if line.startswith(b"-ERR"):
                self._log("notice", f"Master does not support PSYNC or is in error state (reply: {show(line)})")
            else:
                self._log("warning", f"Unexpected reply to PSYNC from master: {show(line)}")
            self._log("notice", "Retrying with SYNC...")
            self.acknowledges = False
            self._events.append(Send(b"SYNC\r\n"))
            self._expect_snapshot(FullResync(None, -1), "SYNC")

    def _full_resync(self, line: bytes) -> None:
        words = line.split(b" ")
        if len(words) == 3 and _REPLID.fullmatch(words[1]) and words[2].isdigit() and len(words[2]) <= _OFFSET_DIGITS:
            replid, offset = words[1].decode().lower(), int(words[2])
            self._log("notice", f"Full resync from master: {replid}:{offset}")
            self._expect_snapshot(FullResync(replid, offset), "full resynchronization")
        else:
            # The data will still be right, so go on; but we must not claim a history we do not know.
            self._log("warning", "Master replied with wrong +FULLRESYNC syntax.")
            self._expect_snapshot(FullResync(None, 0), "full resynchronization without identifier")

    def _expect_snapshot(self, event: FullResync, why: str) -> None:
        self._enter(TRANSFER, why)
        self._events.append(event)
        self.read_offset = event.offset
        self._on_line = self._header_line

    def _continue(self, line: bytes) -> None:
        if self.continue_from is None:
            self._fail(f"Master wants to continue, but there is nothing to continue from: {show(line)}")
            return
        replid, offset = self.continue_from
        new = line[10:].strip().lower()
        self._log("notice", "Successful partial resynchronization with master.")
        event = Continue(None)
        if _REPLID.fullmatch(new) and new != replid.lower().encode():
            event.replid = new.decode("ascii", "replace")
            self._log("notice", f"Master replication ID changed to {event.replid}")
        self._enter(STREAMING, "partial resynchronization")
        self._log("notice", "MASTER <-> REPLICA sync: Master accepted a Partial Resynchronization.")
        self._events.append(event)
        self.read_offset = offset
        self._read = self._stream_data

    # -- the snapshot -----------------------------------------------------------------------------------------

    def _header_line(self, line: bytes) -> None:
        if line.startswith(b"-"):
            self._fail(f"MASTER aborted replication with an error: {show(line[1:])}")
            return
        target = "to disk" if self.config.to_disk else "to parser"
        if line.startswith(b"$EOF:") and len(line) == 45:
            self._mark = line[5:]
            self._first_ack = True
            self._read = self._marked_bytes
            self._log("notice", f"MASTER <-> REPLICA sync: receiving streamed RDB from master with EOF {target}")
            self._events.append(TransferStarted(None))
        elif line.startswith(b"$") and line[1:].isdigit() and len(line) < 20:
            self.transfer_size = self._left = int(line[1:])
            self._read = self._counted_bytes
            self._log("notice", f"MASTER <-> REPLICA sync: receiving {self._left} bytes from master {target}")
            self._events.append(TransferStarted(self._left))
            if not self._left:
                self._snapshot_end()
        else:
            self._fail(
                f"Bad protocol from MASTER, the first byte is not '$' (we received '{show(line)}'), "
                "are you sure the host and port are right?"
            )

    def _counted_bytes(self, data: bytes) -> bytes:
        part = data[: self._left]
        self._snapshot_bytes(part)
        self._left -= len(part)
        if self._left:
            return b""
        self._snapshot_end()
        return data[len(part) :]

    def _marked_bytes(self, data: bytes) -> bytes:
        # A real replica only looks at the end of each read. The mark is random, so it may be looked for anywhere.
        if self._tail:
            data = self._tail + data
            self._tail = b""
        mark = self._mark
        end = data.find(mark)
        if end >= 0:
            self._snapshot_bytes(data[:end])
            self._snapshot_end()
            return data[end + len(mark) :]
        # Keep what may be the beginning of the mark.
        begin = data.find(mark[:1], max(0, len(data) - len(mark) + 1))
        while begin >= 0 and not mark.startswith(data[begin:]):
            begin = data.find(mark[:1], begin + 1)
        if begin >= 0:
            self._tail = data[begin:]
            data = data[:begin]
        self._snapshot_bytes(data)
        return b""

    def _snapshot_bytes(self, data: bytes) -> None:
        if data:
            self.transfer_read += len(data)
            self._events.append(SnapshotBytes(data))

    def _snapshot_end(self) -> None:
        self._enter(LOADING, "snapshot received")
        self._events.append(SnapshotEnd())
        self._read = self._stream_data

    # -- the stream -------------------------------------------------------------------------------------------

    def _stream_data(self, data: bytes) -> bytes:
        self.read_offset += len(data)
        if self.state == STREAMING and not self._pending:
            self._stream_bytes(data)
            return b""
        self._pending.append(data)
        self.pending_size += len(data)
        if self.pending_size > self.config.pending_limit:
            self._fail("The master sent more than can be kept while its snapshot is being loaded")
        elif self.state == STREAMING:
            piece = self._pending.popleft()
            self.pending_size -= len(piece)
            self._stream_bytes(piece)
        return b""

    def _stream_bytes(self, data: bytes) -> None:
        try:
            units = self._stream.feed(data)
        except StreamError as error:
            self._fail(f"{error} (from the master)", discard=True)
            return
        if units:
            self._events.append(Stream(units))
