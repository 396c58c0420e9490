"""The Twisted side of a client: bytes in, bytes out, limits, idle time.

Owns: ``ClientConnection`` (one per TCP or Unix connection) and its output queue, ``SecureConnection``, ``ClientFactory``.
Does not own what the bytes mean (``resp``, ``dispatch``) nor the client's state (``session``).

Output.  ``transport.write`` queues until the next reactor turn and costs two more epoll_ctl calls per reply.  So a reply
is given to the socket at once while nothing is queued; what the socket does not take stays in our own queue,
whose size is the figure that client-output-buffer-limit is about, and the transport asks for more as from any pull
producer.

A TLS connection encrypts what it is given at once and keeps it in the transport, which tells when that is too much
(``SecureConnection``).  The reactor reads it, not ``readiness``.
"""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, Any

from OpenSSL import SSL
from twisted.internet.interfaces import IPullProducer, IPushProducer
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from replicad.dispatch import run
from replicad.errors import ProtocolError
from replicad.resp import RequestReader
from replicad.session import Client

if TYPE_CHECKING:
    from replicad.server import Server

#: Replies are handed to the transport in pieces of this size.
PIECE = 256 * 1024


@implementer(IPullProducer)
class ClientConnection(Protocol):
    """One connection.  It is the ``Connection`` of its ``Client``."""

    client: Client
    transport: Any  #: TCP, Unix or TLS; all of them can register producers

    def __init__(self, server: Server) -> None:
        self.server = server
        self.reader = RequestReader(server.settings["proto-max-bulk-len"])
        self._output: deque[bytes | memoryview] = deque()
        self.queued = 0
        self._producing = False
        self._lost = False
        self._soft_since = 0.0
        self._send: Any = None
        self._resuming = False
        self._taken_over: Any = None
        self._fd = -1
        self._held: list[bytes] = []
        self._behind = 0  #: bytes of the commands that came while the client was blocked or paused
        self._broken: ProtocolError | None = None  #: what to say when the commands before it have been executed

    # -- Twisted's side

    def connectionMade(self) -> None:
        transport = self.transport
        self._begin_output()
        own, peer = _address(transport.getHost()), _address(transport.getPeer())
        # the far end of a Unix socket has no name: both ends are shown as the socket, as in Redis
        self.client = Client(self.server, self, own if peer == ":0" else peer, own)
        refusal = self.server.client_connected(self.client, transport)
        if refusal is not None:
            self._refuse(refusal)
            return
        self.reader.restricted = self.client.must_log_in
        self._watch()

    def _refuse(self, text: bytes) -> None:
        """Say why there is no place for this connection, and end it."""
        self.transport.write(b"-" + text + b"\r\n")
        self.transport.loseConnection()
        self._lost = True

    def _begin_output(self) -> None:
        if hasattr(self.transport, "writeSomeData"):
            self._send = self.transport.getHandle().send

    def _watch(self) -> None:
        self._fd = self.server.readiness.watch(self.transport, self.dataReceived)

    def dataReceived(self, data: bytes) -> None:
        if self._taken_over is not None:
            self._taken_over(data)
            return
        client = self.client
        self.server.net_input += len(data)
        if client.closing or self._lost or self._broken is not None:
            return
        client.last_interaction = time.monotonic()
        incomplete = self.reader.pending
        try:
            commands = self.reader.feed(data)
        except ProtocolError as error:
            self._execute(error.commands)
            self._protocol_error(error)
            return
        if client.blocked is None and not client.paused and not client.queue:
            if commands:
                out = run(client, commands, data if self.reader.exact else None)
                if out:
                    self.write(out)
                if client.closing:
                    self.close()
                    return
        else:
            client.queue.extend(commands)
            self._behind += incomplete + len(data) - self.reader.pending
        if self.reader.restricted:
            self._lift_restriction()
        if self.reader.pending + self._behind > self.server.query_buffer_limit:
            self.server.log.warning(
                f"Closing client that reached max query buffer length: {self.server.describe(client)}"
            )
            self.abort()

    def _execute(self, commands: list[list[bytes]]) -> None:
        client = self.client
        if client.blocked is not None or client.paused or client.queue:
            client.queue.extend(commands)
        elif commands:
            out = run(client, commands)
            if out:
                self.write(out)

    def _lift_restriction(self) -> None:
        """A client that has not authenticated is read command by command, because AUTH changes its limits."""
        reader, client = self.reader, self.client
        while True:
            reader.restricted = client.must_log_in
            try:
                commands = reader.more()
            except ProtocolError as error:
                self._execute(error.commands)
                self._protocol_error(error)
                return
            if not commands:
                return
            self._execute(commands)
            if client.closing:
                self.close()
                return

    def _protocol_error(self, error: ProtocolError) -> None:
        """Tell the client and close; later when it is blocked, and silently when it wanted to go anyway."""
        client = self.client
        if client.closing:
            self.close()
            return
        if client.blocked is not None or client.paused or client.queue:
            self._broken = error
            return
        self.server.log.verbose(
            f"Protocol error ({error.text.decode('latin-1')}) from client: {self.server.describe(self.client)}"
        )
        self.server.count_error(b"ERR")
        self.write(b"-ERR Protocol error: " + error.text + b"\r\n")
        self.close()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.server.readiness.forget(self._fd)
        self._lost = True
        self._output.clear()
        self.queued = 0
        if hasattr(self, "client"):
            self.server.client_lost(self.client)

    # -- Connection for the Client

    def write(self, data: bytes) -> None:
        if self._lost:
            return
        readiness = self.server.readiness
        if readiness.serving:
            if not self._held:
                readiness.writers.append(self)
            self._held.append(data)
        else:
            self._write(data)

    def flush(self) -> None:
        """Write what was held back while other clients of the same turn were served."""
        held = self._held
        if held:
            data = held[0] if len(held) == 1 else b"".join(held)
            held.clear()
            if not self._lost:
                self._write(data)

    def _write(self, data: bytes) -> None:
        if self._taken_over is not None:  # a subscriber or MONITOR that became a replica gets nothing but the stream
            return
        self.server.net_output += len(data)
        if not self._producing:
            if self._send is not None:
                try:
                    taken = self._send(data)
                except OSError:  # it takes nothing now, or it is dead, which the reactor will notice
                    taken = 0
                if taken == len(data):
                    return
                data = data[taken:]
            self._output.append(data)
            self.queued += len(data)
            self._producing = True
            self.transport.registerProducer(self, False)  # calls resumeProducing at once
        else:
            self._output.append(data)
            self.queued += len(data)
        if self.queued > 65536:
            self._check_limits()

    def resumeProducing(self) -> None:
        """The transport's buffer is empty: hand it the next piece of the queue."""
        transport = self.transport
        if not self._output:
            self._producing = False
            transport.unregisterProducer()
            return
        size = 0
        pieces: list[bytes | memoryview] = []
        while self._output and size < PIECE:
            piece = self._output.popleft()
            if len(piece) > PIECE:
                view = memoryview(piece)  # a slice of bytes would copy the rest each time
                self._output.appendleft(view[PIECE:])
                piece = view[:PIECE]
            pieces.append(piece)
            size += len(piece)
        self.queued -= size
        transport.write(b"".join(pieces))

    def stopProducing(self) -> None:
        self._output.clear()
        self.queued = 0

    def _check_limits(self) -> None:
        """client-output-buffer-limit: the hard limit at once, the soft one after its seconds."""
        hard, soft, seconds = self.server.output_limit(self.client)
        over = bool(hard) and self.queued > hard
        if soft and self.queued > soft:
            now = time.monotonic()
            if not self._soft_since:
                self._soft_since = now
            over = over or now - self._soft_since > seconds
        else:
            self._soft_since = 0.0
        if over:
            self.server.cut_off(self.client)

    def check_soft_limit(self) -> None:
        """Called once a second for clients with a queue."""
        if self.queued:
            self._check_limits()

    def close(self) -> None:
        self.client.closing = True
        self.flush()
        if self.transport is not None and not self._lost:
            if self._output:
                self.transport.write(b"".join(self._output))
                self._output.clear()
                self.queued = 0
            if self._producing:
                self._producing = False
                self.transport.unregisterProducer()
            self.transport.loseConnection()

    def abort(self) -> None:
        self.client.closing = True
        if self.transport is not None and not self._lost:
            self._lost = True
            self._output.clear()
            self.queued = 0
            self.transport.abortConnection()

    def resume(self) -> None:
        if (self.client.queue or self.client.closing or self._broken is not None) and not self._resuming:
            self._resuming = True
            self.server.call_later(0, self._go_on)

    def stop_reading(self) -> None:
        if self._fd >= 0:
            self.server.readiness.forget(self._fd)
        elif not self._lost:
            self.transport.pauseProducing()

    def go_on_reading(self) -> None:
        if self._lost:
            return
        if self._fd >= 0:
            self._watch()
        else:
            self.transport.resumeProducing()

    def _go_on(self) -> None:
        self._resuming = False
        client = self.client
        if self._lost or client.blocked is not None or client.paused:
            return
        waiting = list(client.queue)
        client.queue.clear()
        if waiting:
            out = run(client, waiting)
            if out:
                self.write(out)
            self._behind = self._behind * len(client.queue) // len(waiting)
        if self._broken is not None:
            self._protocol_error(self._broken)
        elif client.closing:
            self.close()

    @property
    def unread(self) -> int:
        """Bytes received of commands that have not been executed."""
        return self.reader.pending + self._behind

    @property
    def pieces(self) -> int:
        """Replies, or parts of them, in the output queue."""
        return len(self._output)

    @property
    def busy(self) -> bool:
        """Replies are on their way: somebody else must not register as the transport's producer yet."""
        return self._producing or self.queued > 0 or bool(self._held)

    def take_over(self, receive: Any) -> None:
        """From now on bytes go to ``receive`` instead of the command loop, and only its owner writes to the transport."""
        self._taken_over = receive


@implementer(IPushProducer)
class SecureConnection(ClientConnection):
    """A connection over TLS.  It stays registered as a push producer: the transport says when it has too much."""

    def __init__(self, server: Server) -> None:
        super().__init__(server)
        self._full = False
        self._heard = False

    def dataReceived(self, data: bytes) -> None:
        """Something came, decrypted."""
        self._heard = True
        super().dataReceived(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Twisted's side; a handshake that failed goes to the log."""
        error = reason.value
        if not self._heard and isinstance(error, SSL.Error):
            details = error.args[0] if error.args else ()
            text = "; ".join(detail[-1] for detail in details if detail) or "the handshake failed"
            self.server.log.warning(f"Error accepting a client connection: {text}")
        super().connectionLost(reason)

    def _refuse(self, text: bytes) -> None:
        """Nothing can be said before the handshake, and who has no place shall not take the time for it."""
        self._lost = True
        self.transport.abortConnection()

    def close(self) -> None:
        """See ``ClientConnection``.  The peer is told, but its own end of TLS is not waited for: it may never come."""
        super().close()
        lower = getattr(self.transport, "transport", None)
        if lower is not None and not self._lost:
            lower.loseConnection()

    def _begin_output(self) -> None:
        self.transport.registerProducer(self, True)
        self._producing = True

    def _watch(self) -> None:
        """The reactor reads, and gives TLS what it reads."""

    def _write(self, data: bytes) -> None:
        if self._taken_over is not None:
            return
        self.server.net_output += len(data)
        if self._full or self._output:
            self._output.append(data)
            self.queued += len(data)
            if self.queued > 65536:
                self._check_limits()
        else:
            self.transport.write(data)

    def pauseProducing(self) -> None:
        """The transport has enough."""
        self._full = True

    def resumeProducing(self) -> None:
        """The transport has sent what it had."""
        self._full = False
        while self._output and not self._full:
            data = self._output.popleft()
            self.queued -= len(data)
            self.transport.write(bytes(data))

    @property
    def busy(self) -> bool:
        """See ``ClientConnection``."""
        return self._full or self.queued > 0 or bool(self._held)

    def take_over(self, receive: Any) -> None:
        """See ``ClientConnection``; the new owner registers itself when it has something to send."""
        if self._producing and receive is not None:
            self._producing = False
            self.transport.unregisterProducer()
        super().take_over(receive)


class ClientFactory(Factory):
    """Builds a connection of the class ``kind`` for each one that is accepted."""

    noisy = False

    def __init__(self, server: Server, kind: type[ClientConnection] = ClientConnection) -> None:
        self.server = server
        self._kind = kind

    def buildProtocol(self, addr: Any) -> ClientConnection:
        return self._kind(self.server)


def _address(address: Any) -> str:
    """``host:port`` as Redis prints it; a Unix socket is ``path:0``."""
    host = getattr(address, "host", None)
    if host is None:
        name = getattr(address, "name", None) or b""
        return f"{name.decode(errors='replace') if isinstance(name, bytes) else name}:0"
    return f"[{host}]:{address.port}" if ":" in host else f"{host}:{address.port}"
