"""One attached replica: its state, its image, its place in the history.

Owns: the answer to SYNC and PSYNC, sending the image and the stream, the replica's acknowledgements, the limits after
which it is cut. Does not own what a connection says before (``requests``), the connection (``client``: it is handed
over once PSYNC was read), making the image (``saver``), the bytes of the stream (``history``) or the list of replicas
(``roles``).

A replica has no queue of stream bytes. It is a cursor into the shared history; what it has not taken yet is its lag,
and the output limit is a limit on what of the lag is in memory. A replica that is up to date gets the very bytes that
were just appended, written at once. One that is not becomes a pull producer: each time the transport has sent everything
it asks for the next piece, first of the image, then of the history.

The life of a replica::

    WAIT_BGSAVE --image begins--> SEND_BULK --image sent--> ONLINE       full synchronisation
         (a file is sent when it is complete, so with a disk image the replica waits until its end)
    ONLINE                                                               partial: at once

After an image with an end mark nothing may be sent until the first acknowledgement: a real replica would take the
bytes behind the mark for a part of the image.
"""

from __future__ import annotations

import os
import socket
import sys
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

from twisted.internet.interfaces import IPullProducer
from twisted.protocols.policies import ProtocolWrapper
from zope.interface import implementer

from replicad.command import Argv, Command, lookup
from replicad.errors import ProtocolError, err
from replicad.replication.handshake import show
from replicad.replication.history import Cursor, CursorClosed

if TYPE_CHECKING:
    from replicad.server import Server
    from replicad.session import Client

WAIT_BGSAVE = "wait_bgsave"
SEND_BULK = "send_bulk"
ONLINE = "online"
GONE = "gone"

#: Pieces of the stream and of the image.
_PIECE = 64 * 1024
_IMAGE_PIECE = 256 * 1024
#: Bytes of a streamed image that may wait in one replica.
_ENOUGH = 1024 * 1024

#: Bytes of an unfinished request of a replica; what it may say takes some dozen.
_LONGEST_REQUEST = 16 * 1024

#: Where tcpi_bytes_acked stands in Linux's struct tcp_info.
_BYTES_ACKED = slice(120, 128)

#: Seconds that a replica of ours which is ahead of us waits for an answer before it must copy everything.
_PATIENCE = 5.0

_NO_KEYSPACE = err("Replica can't interact with the keyspace")


def _acknowledged_bytes(transport: Any) -> int:
    """How many bytes the system at the other end has confirmed since the connection was made; -1 when that is not known.

    What the transport hands on says little: it takes pieces of 256 KiB and the kernel megabytes, which a slow line may
    need minutes for.
    """
    try:
        # TLS lies over the transport that has the socket.
        handle = getattr(transport, "transport", transport).getHandle()
        info = handle.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _BYTES_ACKED.stop)
    except (AttributeError, OSError):  # no TCP, no Linux
        return -1
    return int.from_bytes(info[_BYTES_ACKED], sys.byteorder) if len(info) == _BYTES_ACKED.stop else -1


@dataclass(slots=True)
class ReplicaOptions:
    """What a connection said about itself with REPLCONF before it asked for the stream."""

    port: int = 0
    ip: str = ""
    capa_eof: bool = False
    capa_psync2: bool = False
    rdb_only: bool = False
    image_filter: frozenset[str] | None = None


@implementer(IPullProducer)
class Downstream:
    """One replica. ``asked`` is (replid, offset) of its PSYNC, None when it sent SYNC."""

    def __init__(self, server: Server, client: Client, options: ReplicaOptions, asked: tuple[str, int] | None) -> None:
        self.server = server
        self.client = client
        self.options = options
        self.asked = asked
        self.state = WAIT_BGSAVE
        self.ack_offset = 0
        self.stored_offset = -1  #: what the replica said is safe on its disk
        #: The stream flows. False while the image is sent, and after a mark until the first acknowledgement.
        self.streaming = False
        self.cursor: Cursor | None = None
        peer = client.addr.rpartition(":")[0].strip("[]")
        self.ip = options.ip or peer
        self.port = options.port
        self._ack_at = time.monotonic()
        self._progress_at = self._ack_at
        self._acknowledged = -1  # by the replica's system, see _last_progress
        self._soft_since = 0.0
        self._hard = 0
        self._lines: deque[bytes] = deque()
        self._chunks: deque[bytes] = deque()
        self._chunk_bytes = 0
        self._mark = b""
        self._image_given = False
        self._fd = -1
        self._fd_position = 0
        self._fd_size = 0
        self._producing = False
        # The connection of a replica is always one of ours, with a transport.
        self._connection: Any = client.connection
        self._transport: Any = None
        self._write_some: Any = None

    # -- what others see

    @property
    def name(self) -> str:
        """``ip:port`` for the log."""
        return f"{self.ip}:{self.port or '<unknown-replica-port>'}"

    @property
    def capa_eof(self) -> bool:
        """The replica understands an image with an end mark."""
        return self.options.capa_eof

    @property
    def image_filter(self) -> frozenset[str] | None:
        """Which part of the dataset it wants; None: all of it."""
        return self.options.image_filter

    @property
    def online(self) -> bool:
        """The image (if any) was sent."""
        return self.state == ONLINE

    @property
    def lag_seconds(self) -> int:
        """Seconds since the last acknowledgement, 0 before it is online."""
        return int(time.monotonic() - self._ack_at) if self.state == ONLINE else 0

    def info_line(self) -> str:
        """The value of ``slaveN`` in INFO."""
        return f"ip={self.ip},port={self.port},state={self.state},offset={self.ack_offset},lag={self.lag_seconds}"

    # -- the beginning

    def begin(self) -> None:
        """Answer PSYNC or SYNC."""
        if self.state == GONE or self.client.closing:
            return
        if self._connection.busy:
            self.server.call_later(0.005, self.begin)
            return
        server = self.server
        if server.replication.upstream is not None and not server.replication.link_up:
            self._abort()  # since the request we have lost our master or got another one: it asks again
            return
        if self._is_ahead() and time.monotonic() - self._ack_at < _PATIENCE:
            self.server.call_later(0.05, self.begin)
            return
        self._transport = self._connection.transport
        # TLS passes on what it does not know to the socket below: there it would be written in plain text.
        if not isinstance(self._transport, ProtocolWrapper):
            self._write_some = getattr(self._transport, "writeSomeData", None)
        self._connection.take_over(self._received)
        if hasattr(self._transport, "setTcpNoDelay"):
            self._transport.setTcpNoDelay(not server.settings["repl-disable-tcp-nodelay"])
        server.propagation.flush()
        replication, history = server.replication, server.history
        if self.asked is not None:
            replid, offset = self.asked
            decision = history.can_continue(replid, offset, self.name)
            for level, text in decision.reason:
                (server.log.warning if level == "warning" else server.log.notice)(text)
            if decision.accepted:
                replication.sync_partial_ok += 1
                self.cursor = history.cursor_at(offset - 1)
                self._set_online()
                self.streaming = True
                replication.attach(self)
                replid_word = b" " + history.replid.encode() if self.options.capa_psync2 else b""
                self._send(b"+CONTINUE" + replid_word + b"\r\n")
                return
            if not replid.startswith("?"):
                replication.sync_partial_err += 1
        replication.sync_full += 1
        replication.attach(self)
        server.saver.request_image(self)

    def _is_ahead(self) -> bool:
        """It asks for what our master has not sent us yet: we came back from a snapshot and are still catching up."""
        if self.asked is None or self.server.replication.upstream is None:
            return False
        history = self.server.history
        replid, offset = self.asked
        return replid.lower() == history.replid and offset > history.offset + 1

    def _set_online(self) -> None:
        self.state = ONLINE
        self._ack_at = time.monotonic()
        self.server.update_gates()

    # -- the image (called by the saver)

    def image_begins(self, offset: int, target: str) -> None:
        """The dataset stands at ``offset``: announce it, and keep what follows."""
        history = self.server.history
        if not self.options.rdb_only:
            try:
                self.cursor = history.cursor_at(offset)
            except LookupError as error:
                self.server.log.warning(f"Replica {self.name} cannot follow the snapshot: {error}")
                self._abort()
                return
        head = b""
        if self.asked is not None:
            head = b"+FULLRESYNC %b %d\r\n" % (history.replid.encode(), offset)
        if target == "socket":
            self.state = SEND_BULK
            self._mark = os.urandom(20).hex().encode()
            head += b"$EOF:%b\r\n" % self._mark
        self._progress_at = time.monotonic()
        if head:
            self._send(head)

    def image_file(self, fd: int, size: int) -> None:
        """The complete image; we close ``fd``."""
        if self.state == GONE:
            os.close(fd)
            return
        self.state = SEND_BULK
        self._fd, self._fd_position, self._fd_size = fd, 0, size
        self._send(b"$%d\r\n" % size)

    def image_chunk(self, data: bytes) -> None:
        """The next bytes of a streamed image."""
        if self.state == GONE:
            return
        self._chunks.append(data)
        self._chunk_bytes += len(data)
        self._produce()

    def image_ready(self) -> bool:
        """Whether another chunk is welcome."""
        return self.state == GONE or self._chunk_bytes < _ENOUGH

    def image_ended(self) -> None:
        """All chunks were given."""
        if self.state == GONE:
            return
        self._chunks.append(self._mark)
        self._chunk_bytes += len(self._mark)
        self._image_given = True
        self._produce()

    def image_failed(self, reason: str) -> None:
        """There will be no (complete) image."""
        if self.state == GONE:
            return
        self.server.log.warning(f"{reason} (replica {self.name})")
        if self.state == WAIT_BGSAVE and self.cursor is None and self._transport is not None:
            self._lines.append(b"-ERR " + reason.encode() + b"\r\n")
            self.close("")
        else:
            self._abort()

    def _file_sent(self) -> None:
        os.close(self._fd)
        self._fd = -1
        if self._snapshot_only():
            return
        self._set_online()
        self.streaming = True
        self._succeeded()

    def _mark_sent(self) -> None:
        self._image_given = False
        if self._snapshot_only():
            return
        self.server.log.notice(
            f"Streamed RDB transfer with replica {self.name} succeeded (socket). Waiting for REPLCONF ACK from slave to "
            "enable streaming"
        )
        self._set_online()

    def _succeeded(self) -> None:
        self.server.log.notice("Synchronization with slave succeeded")
        self.server.log.notice(f"Synchronization with replica {self.name} succeeded")

    def _snapshot_only(self) -> bool:
        """A client that wants nothing but the snapshot has it now."""
        if not self.options.rdb_only:
            return False
        self.server.log.warning(
            f"RDB transfer completed, rdb only replica ({self.name}) should be disconnected asap"
        )
        self.server.call_later(0, self.close, "")
        return True

    # -- sending

    def grew(self, data: bytes) -> None:
        """The history grew by ``data``."""
        cursor = self.cursor
        if cursor is None or self.state == GONE:
            return
        if self._producing or not self.streaming:
            if self._hard and cursor.memory_lag > self._hard:
                self._check_limits()
            return
        if self._write_some is not None and cursor.lag == len(data):
            taken = self._write_some(data)
            if isinstance(taken, int):  # otherwise the transport is broken; it will notice by itself
                self.server.net_output += taken
                cursor.advance(taken)
                if taken == len(data):
                    return
        self._produce()

    def _send(self, line: bytes) -> None:
        self._lines.append(line)
        self._produce()

    def _produce(self) -> None:
        if not self._producing and self.state != GONE:
            self._producing = True
            # Without streaming the transport asks at once for the first piece.
            self._transport.registerProducer(self, False)

    def resumeProducing(self) -> None:
        """The transport has sent everything: give it the next piece."""
        piece = self._next_piece()
        if piece:
            self._progress_at = time.monotonic()
            self.server.net_output += len(piece)
            self._transport.write(piece)
        elif self._producing:
            self._producing = False
            self._transport.unregisterProducer()

    def stopProducing(self) -> None:
        """The connection is gone; ``lost`` follows."""
        self._producing = False

    def _next_piece(self) -> bytes:
        if self._lines:
            piece = b"".join(self._lines)
            self._lines.clear()
            return piece
        if self._fd >= 0:
            left = self._fd_size - self._fd_position
            if left > 0:
                try:
                    piece = os.pread(self._fd, min(left, _IMAGE_PIECE), self._fd_position)
                except OSError as error:
                    piece = b""
                    self.server.log.warning(f"Read error sending DB to replica: {error.strerror}")
                if not piece:
                    self.server.call_later(0, self._abort)
                    return b""
                self._fd_position += len(piece)
                return piece
            self._file_sent()
        if self._chunks:
            piece = self._chunks.popleft()
            self._chunk_bytes -= len(piece)
            if self._chunk_bytes < _ENOUGH:
                self.server.saver.pull()
            return piece
        if self._image_given:
            self._mark_sent()
        if self.streaming and self.cursor is not None:
            try:
                return self.cursor.read(_PIECE)
            except CursorClosed:
                self.server.call_later(0, self._left_behind)
        return b""

    # -- receiving

    def _received(self, data: bytes) -> None:
        """Bytes from the replica: acknowledgements, newlines, nothing else."""
        if self.state == GONE:
            return
        server, client = self.server, self.client
        server.net_input += len(data)
        client.last_interaction = time.monotonic()
        try:
            commands = self._connection.reader.feed(data)
        except ProtocolError as error:
            server.log.verbose(
                f"Protocol error ({error.text.decode('latin-1')}) from client: {server.describe(client)}"
            )
            self._abort()
            return
        for argv in commands:
            name = argv[0].upper()
            if name == b"REPLCONF" and len(argv) > 2 and argv[1].upper() in (b"ACK", b"GETACK"):
                if argv[1].upper() == b"ACK":
                    self.acked(argv)
            elif name not in (b"PSYNC", b"SYNC"):
                self._disconnect(lookup(argv), argv)
                return
        if self._connection.reader.pending > _LONGEST_REQUEST:
            server.log.warning(f"Closing client that reached max query buffer length: {server.describe(client)}")
            self._abort()

    def check_command(self, cmd: Command, argv: Argv) -> Any:
        """A command of a replica reached the ordinary loop (it came in one piece with PSYNC)."""
        if cmd.name in (b"psync", b"sync"):
            return None
        if cmd.name == b"replconf" and len(argv) > 2 and argv[1].upper() in (b"ACK", b"GETACK"):
            return None
        self._refuse(cmd, argv)

    def _refuse(self, cmd: Command | None, argv: Argv) -> NoReturn:
        self._disconnect(cmd, argv)
        raise _NO_KEYSPACE

    def _disconnect(self, cmd: Command | None, argv: Argv) -> None:
        log, name = self.server.log, show(argv[0].lower())
        if cmd is not None and cmd.key_positions(argv):
            log.warning(
                "== CRITICAL == This master is sending an error to its replica: 'Replica can't interact with the "
                f"keyspace' after processing the command '{name}'"
            )
        log.warning(
            f"Replica generated a reply to command '{name}', disconnecting it: {self.server.describe(self.client)}"
        )
        self._abort()

    def acked(self, argv: Argv) -> None:
        """REPLCONF ACK offset [FACK offset]."""
        if self.state == GONE or not argv[2].isdigit():
            return
        offset = int(argv[2][:20])
        stored = -1
        if len(argv) > 4 and argv[3].upper() == b"FACK" and argv[4].isdigit():
            stored = int(argv[4][:20])
        sent = self.cursor.position if self.cursor is not None else self.server.history.offset
        if max(offset, stored) > sent:
            # Believing it would let WAIT and min-replicas-to-write count what nobody has.
            self.server.log.warning(
                f"Replica {self.name} acknowledges offset {max(offset, stored)}, but only {sent} was sent to it: "
                "disconnecting it"
            )
            self._abort()
            return
        self.stored_offset = max(self.stored_offset, stored)
        self._ack_at = time.monotonic()
        if offset > self.ack_offset:
            self.ack_offset = offset
        if self._image_given and not self._chunks and not self._lines:
            # The replica was faster than our transport's report that everything is sent.
            self._mark_sent()
        if self.state == ONLINE and not self.streaming and not self.options.rdb_only:
            self.streaming = True
            self._succeeded()
            self._produce()
        self.server.replication.ack_arrived()

    # -- limits and time

    def tick(self) -> None:
        """Once a second."""
        server, now = self.server, time.monotonic()
        if self.state == WAIT_BGSAVE and self._transport is not None and not self._producing:
            self._send(b"\n")
        timeout = server.settings["repl-timeout"]
        if self.state == ONLINE and self.asked is not None and now - self._last_seen() > timeout:
            server.log.warning(f"Disconnecting timedout replica (streaming sync): {self.name}")
            self._abort()
        elif self.state == SEND_BULK and self._producing and now - self._last_progress(now) > timeout:
            server.log.warning(f"Disconnecting timedout replica (full sync): {self.name}")
            self._abort()
        else:
            self._check_limits()

    def _last_progress(self, now: float) -> float:
        """When the replica last took something of the image."""
        acknowledged = _acknowledged_bytes(self._transport)
        if acknowledged != self._acknowledged:
            self._acknowledged = acknowledged
            self._progress_at = now
        return self._progress_at

    def _last_seen(self) -> float:
        return max(self._ack_at, self.client.last_interaction)

    def _check_limits(self) -> None:
        """client-output-buffer-limit replica: the hard limit at once, the soft one after its seconds."""
        server, cursor = self.server, self.cursor
        hard, soft, seconds = server.settings["client-output-buffer-limit"]["replica"]
        history = server.history
        # A limit below the backlog would cut replicas that the backlog could serve. With a spill the backlog alone is in
        # memory, so the soft limit is no lower either.
        self._hard = max(hard, history.backlog_size if history.spill is None else history.memory_bound) if hard else 0
        if soft and history.spill is not None:
            soft = max(soft, history.memory_bound)
        if cursor is None or self.state == GONE:
            return
        if cursor.closed:
            self._left_behind()
            return
        lag = cursor.memory_lag
        over = bool(self._hard) and lag > self._hard
        if soft and lag > soft:
            now = time.monotonic()
            if not self._soft_since:
                self._soft_since = now
            over = over or now - self._soft_since > seconds
        else:
            self._soft_since = 0.0
        if over:
            server.log.warning(
                f"Client {server.describe(self.client)} scheduled to be closed ASAP for overcoming of output buffer "
                "limits."
            )
            self._abort()

    def _left_behind(self) -> None:
        """The stream went on for so long that the spill no longer has what it needs next."""
        if self.state != GONE:
            self.server.log.warning(f"Replica {self.name} is further behind than the backlog and its spill reach")
            self._abort()

    # -- the end

    def close(self, reason: str) -> None:
        """Let it go: what was said so far is still sent. ``reason`` goes to the log when there is one."""
        if self.state == GONE:
            return
        if reason:
            self.server.log.notice(f"Closing the connection with replica {self.name}: {reason}")
        lines = b"".join(self._lines)
        self._leave()
        if self._transport is None:
            self._connection.close()
            return
        if self._producing:
            self._producing = False
            self._transport.unregisterProducer()
        if lines:
            self._transport.write(lines)
        self._connection.close()
        # A replica that takes nothing must not keep the connection open for ever.
        self.server.call_later(5, self._connection.abort)

    def finish(self) -> None:
        """The server stops: hand the transport all that is left, then close."""
        if self.state == GONE:
            return
        # What lies in the spill may be more than memory holds, and more than a replica takes in the moment that is left.
        cursor = self.cursor
        if self.streaming and cursor is not None and not self._lines and cursor.lag == cursor.memory_lag:
            rest = cursor.read(max(cursor.lag, 1))
            if rest:
                taken = 0
                if not self._producing and self._write_some is not None:
                    result = self._write_some(rest)
                    taken = result if isinstance(result, int) else 0
                if taken < len(rest):
                    self._lines.append(rest[taken:])
        self.close("")

    def _abort(self) -> None:
        if self.state != GONE:
            self.server.log.warning(f"Connection with replica {self.name} lost.")
            self._leave()
            self._connection.abort()

    def lost(self) -> None:
        """The connection is gone."""
        if self.state != GONE:
            self.server.log.warning(f"Connection with replica {self.name} lost.")
            self._leave()
        # The collector hardly ever looks at what has lived long, so no cycle may stay behind.
        self.client.replica = None
        self._connection.take_over(None)
        self._transport = self._write_some = None

    def _leave(self) -> None:
        self.state = GONE
        self.streaming = False
        if self.cursor is not None:
            self.cursor.close()
            self.cursor = None
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        self._chunks.clear()
        self._chunk_bytes = 0
        self._lines.clear()
        self.server.replication.detach(self)
