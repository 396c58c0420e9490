"""The ports that clients connect to.

Owns: TCP, TLS and Unix listening sockets, their start, their change by CONFIG SET, keepalive options.  Does not own
the connections.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, DeferredList, maybeDeferred
from twisted.internet.error import CannotListenError, ConnectionDone
from twisted.protocols.policies import ProtocolWrapper
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure

from replicad.client import ClientFactory, SecureConnection
from replicad.directive_kinds import ConfigError
from replicad.tls import Contexts, TLSError

if TYPE_CHECKING:
    from replicad.server import Server


class CannotListen(Exception):
    """No address could be bound; the reason is in the log."""


class Listeners:
    """All listening sockets of a server."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._factory = ClientFactory(server)
        self.contexts = Contexts(server)
        self._secure = TLSMemoryBIOFactory(self.contexts, False, ClientFactory(server, SecureConnection))  # type: ignore[no-untyped-call]
        self._secure.noisy = False
        self._tcp: list[Any] = []
        self._tls: list[Any] = []
        self._unix: Any = None

    def open(self) -> None:
        """Listen as the settings say.  Raises CannotListen."""
        settings = self._server.settings
        try:
            self.contexts.build()
        except TLSError as error:
            self._server.log.warning(str(error))
            self._server.log.warning("Failed to configure TLS. Check logs for more info.")
            raise CannotListen("TLS") from None
        self._tcp = self._open_tcp(settings["port"], self._factory, "TCP")
        self._tls = self._open_tcp(settings["tls-port"], self._secure, "TLS")
        path = settings["unixsocket"]
        if path:
            if os.path.exists(path):
                os.unlink(path)  # left behind by a killed process, as redis-server assumes too
            mode = settings["unixsocketperm"] or 0o777 & ~_umask()
            try:
                self._unix = self._server.reactor.listenUNIX(path, self._factory, settings["tcp-backlog"], mode)
            except (CannotListenError, OSError) as error:
                reason = getattr(error, "socketError", error)
                self._server.log.warning(f"Failed opening Unix socket: bind: {reason}")
                raise CannotListen(path) from None

    def reopen(self) -> None:
        """Listen on the addresses that CONFIG SET chose; the old ones go on when that fails (ConfigError)."""
        settings = self._server.settings
        old, self._tcp, self._tls = [*self._tcp, *self._tls], [], []
        for port in old:  # at once: stopListening would keep the numbers in use until the next turn of the reactor
            port.stopReading()
            port.connectionLost(Failure(ConnectionDone()))  # type: ignore[no-untyped-call]
        try:
            self._tcp = self._open_tcp(settings["port"], self._factory, "TCP")
            self._tls = self._open_tcp(settings["tls-port"], self._secure, "TLS")
        except CannotListen:
            raise ConfigError("Unable to listen on this port. Check server logs.") from None

    def renew_contexts(self) -> None:
        """Read certificates and keys anew, as CONFIG SET of a tls directive wants it (ConfigError)."""
        try:
            self.contexts.build()
        except TLSError as error:
            self._server.log.warning(str(error))
            raise ConfigError("Unable to update TLS configuration. Check server logs.") from None

    def close(self) -> Deferred[Any]:
        """Accept nobody any more.  The result comes when all sockets are gone, the name of the Unix socket too."""
        ports = [*self._tcp, *self._tls, *filter(None, [self._unix])]
        self._tcp, self._tls, self._unix = [], [], None
        return DeferredList([maybeDeferred(port.stopListening) for port in ports])

    def _open_tcp(self, port: int, factory: Any, kind: str) -> list[Any]:
        """One socket for each address; those with a leading ``-`` may be missing, as may ``*`` of one protocol.

        ``kind`` is TCP or TLS, for the log.
        """
        log = self._server.log
        addresses: Sequence[str] = self._server.settings["bind"]
        opened: list[Any] = []
        if not port:
            return opened
        for address in addresses or ("*", "::*"):
            name = address.removeprefix("-")
            interface = {"*": "", "::*": "::"}.get(name, name)
            try:
                opened.append(self._listen(port, interface, factory))
            except (CannotListenError, OSError, ValueError) as error:
                reason = getattr(error, "socketError", error)
                optional = address.startswith("-") or (name == "::*" and opened)
                if optional and getattr(reason, "errno", None) != 98:
                    continue
                log.warning(f"Warning: Could not create server TCP listening socket {name}:{port}: bind: {reason}")
                for other in opened:
                    other.stopListening()
                log.warning(f"Failed listening on port {port} ({kind}), aborting.")
                raise CannotListen(f"{name}:{port}") from None
        if not opened:
            log.warning(f"Failed listening on port {port} ({kind}), aborting.")
            raise CannotListen(str(port))
        return opened

    def _listen(self, port: int, interface: str, factory: Any) -> Any:
        """One TCP port.  IPv6 sockets take IPv6 only, so that ``*`` and ``::*`` can have the same number."""
        reactor, backlog = self._server.reactor, self._server.settings["tcp-backlog"]
        if ":" not in interface:
            return reactor.listenTCP(port, factory, backlog, interface)
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as sock:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.setblocking(False)
            sock.bind((interface, port))
            sock.listen(backlog)
            return reactor.adoptStreamPort(sock.fileno(), socket.AF_INET6, factory)


def set_keepalive(transport: Any, seconds: int) -> None:
    """tcp-keepalive: probe an idle peer after ``seconds``, with the probe times that Redis derives from it."""
    transport.setTcpKeepAlive(True)
    while isinstance(transport, ProtocolWrapper):  # TLS around it
        transport = transport.transport
    handle = transport.getHandle()
    for option, value in (("TCP_KEEPIDLE", seconds), ("TCP_KEEPINTVL", max(seconds // 3, 1)), ("TCP_KEEPCNT", 3)):
        if hasattr(socket, option):
            handle.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
