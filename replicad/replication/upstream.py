"""The live end of the link to a master: connect, drive ``link``, apply the stream, pass it on.

Owns: the connection (``ClientService`` retries it once a second for as long as this server is a replica), the pseudo
client that the master's commands run as, the image under way. Does not own the conversation (``link``), the image's
bytes (``image``), the identifiers and the offset (``history``), nor whether we are a replica at all (``roles``).

The stream is applied unit by unit (see ``stream``) with the ordinary command handlers, without any of the gates that
stand before clients. After each unit its raw bytes go into the history as they came, and to our own replicas: the
whole tree below a master has the same bytes under the same offsets. So ``history.offset`` is, at every moment between
two units, exactly what has been applied.

While an image is decoded the link keeps what the master sends; when that grows too much we stop reading, and the
master's own limits decide.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.application.internet import ClientService
from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import HostnameEndpoint, TCP4ClientEndpoint, TCP6ClientEndpoint, wrapClientTLS
from twisted.internet.error import ConnectError, ConnectionDone, DNSLookupError
from twisted.internet.error import TimeoutError as ConnectTimeout
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.logger import ILogObserver, Logger
from twisted.python.failure import Failure
from zope.interface import implementer, provider

from replicad.log import LEVELS
from replicad.persistence.interfaces import DamagedSnapshot
from replicad.replication.applier import Applier
from replicad.replication.handshake import (
    Continue,
    Event,
    Failed,
    FullResync,
    LinkConfig,
    Log,
    Send,
    SnapshotBytes,
    SnapshotEnd,
    Stream,
    TransferStarted,
)
from replicad.replication.history import new_replid
from replicad.replication.image import TOO_LARGE, Image, memory_limit
from replicad.replication.link import (
    HANDSHAKE,
    IDLE,
    LOADING,
    PSYNC_REPLY,
    TRANSFER,
    Link,
)
from replicad.session import Client

if TYPE_CHECKING:
    from replicad.server import Server

#: Seconds between two attempts to reach the master.
RETRY_SECONDS = 1.0
#: So many copies in a row may fail before the attempts become rarer, down to one in so many seconds.
_COPIES_AT_ONCE = 5
_LONGEST_PAUSE = 30.0
#: Stream bytes kept while loading before we stop reading from the master.
_ENOUGH = 64 * 1024 * 1024
_SLICE_SECONDS = 0.004


def pause_after(failures: int) -> float:
    """Seconds until the next attempt, after so many failed copies of the dataset in a row.

    Each of them costs the master a child process and the network the whole dataset, so what does not work is not tried
    once a second for ever. The pauses are spread by a quarter, or replicas that failed together would come together.
    """
    if failures < _COPIES_AT_ONCE:
        return RETRY_SECONDS
    seconds = min(RETRY_SECONDS * 2.0 ** min(failures - _COPIES_AT_ONCE + 1, 10), _LONGEST_PAUSE)
    return seconds * random.uniform(0.75, 1.25)


class _MasterConnection(Protocol):
    """The transport's end; everything happens in ``Upstream``."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream

    def connectionMade(self) -> None:
        self._upstream._connected(self)

    def dataReceived(self, data: bytes) -> None:
        self._upstream._received(self, data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._upstream._lost(self, reason)


class _MasterFactory(Factory):
    noisy = False

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream

    def buildProtocol(self, addr: Any) -> _MasterConnection:
        return _MasterConnection(self._upstream)


@implementer(IStreamClientEndpoint)
class _MasterEndpoint:
    """Connects, and logs each attempt and why it failed: ``ClientService`` tells nobody."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream

    def connect(self, factory: Any) -> Deferred[Any]:
        return self._upstream._when_idle().addCallback(lambda _: self._upstream._connect(factory))

    def __repr__(self) -> str:
        return f"<master {self._upstream.host}:{self._upstream.port}>"


@provider(ILogObserver)
def _nobody(event: Any) -> None:
    """Drop a log event."""


class _MasterService(ClientService):
    """Retries for ever. Its own log line for each attempt says less than ours and is for twistd's log, so it is dropped."""

    _log = Logger(observer=_nobody)


class Upstream:
    """The link to one master, for as long as we follow it.

    ``failover`` asks the master, a replica until now, to take our role. ``selected_db`` is the database that the stream
    stands in when it is continued. ``resumable`` tells whether
    ``history`` belongs to the dataset and may be offered to a master.
    """

    def __init__(self, server: Server, host: str, port: int, selected_db: int, failover: bool = False) -> None:
        self.server = server
        self.host = host
        self.port = port
        self.up = False
        self._failover = failover  #: until the master agreed
        self.resumable: bool = server.replication.can_resume
        #: Unix time at which the link went down; None when it never was up.
        self.down_since: float | None = None
        self.client = Client(server, _MasterOutput(self), f"{host}:{port}")
        self.client.is_master = True
        self.client.account = None
        self.client.db = server.databases[min(selected_db, len(server.databases) - 1)]
        self._applier = Applier(server, self.client, self.acknowledge)
        self._link: Link | None = None
        self._connection: _MasterConnection | None = None
        self._image: Image | None = None
        self._image_limit = memory_limit()
        self._target = FullResync(None, -1)
        self._idle_waiters: list[Deferred[None]] = []
        self._last_io = time.monotonic()
        self._retry_seconds = RETRY_SECONDS
        self._copying = False  #: a full synchronisation was agreed on and is not in use yet
        self._failed_copies = 0  #: in a row
        self._connecting = False
        self._paused = False
        self._stopped = False
        self._service = _MasterService(
            _MasterEndpoint(self),
            _MasterFactory(self),
            retryPolicy=lambda attempt: self._retry_seconds,
            clock=server.reactor,
        )

    # -- start and stop

    def start(self) -> None:
        """Connect, now and again and again."""
        self._service.startService()

    def stop(self) -> None:
        """We follow somebody else, or nobody."""
        self._stopped = self._applier.stopped = True
        self.up = False
        connection, self._connection = self._connection, None
        link, self._link = self._link, None
        if link is not None:
            link.release()
        waiters, self._idle_waiters = self._idle_waiters, []
        for waiter in waiters:
            waiter.cancel()
        self._drop_image()
        # The service's own way is to wait for the master to take what is queued.
        if connection is not None and connection.transport is not None:
            connection.transport.abortConnection()  # type: ignore[attr-defined]
        self._service.stopService()
        self._forget_client()

    def close(self, reason: str) -> None:
        """Give up the current connection (CLIENT KILL); it is tried again at once."""
        if self._link is not None and self._connection is not None:
            self._act(self._link.connection_lost(reason))

    # -- what others see

    @property
    def selected_db(self) -> int:
        """Index of the database that the stream stands in."""
        return self.client.db.index

    @property
    def role_state(self) -> str:
        """The word of the ROLE command."""
        link = self._link
        if link is None:
            return "connecting" if self._connecting else "sync" if self._image is not None else "connect"
        if link.state in (IDLE, HANDSHAKE, PSYNC_REPLY):
            return "handshake"
        return "connected" if self.up else "sync"

    def info_fields(self) -> list[tuple[str, object]]:
        """The lines of INFO replication that only a replica has, in order."""
        link, settings, offset = self._link, self.server.settings, self.server.history.offset
        now = time.monotonic()
        syncing = self._image is not None or (link is not None and link.state in (TRANSFER, LOADING))
        fields: list[tuple[str, object]] = [
            ("master_host", self.host),
            ("master_port", self.port),
            ("master_link_status", "up" if self.up else "down"),
            ("master_last_io_seconds_ago", int(now - self._last_io) if self.up else -1),
            ("master_sync_in_progress", int(syncing)),
            ("slave_read_repl_offset", link.read_offset if link is not None and self.up else offset),
            ("slave_repl_offset", offset),
        ]
        if syncing:
            total, read = (link.transfer_size or 0, link.transfer_read) if link is not None else (0, 0)
            fields += [
                ("master_sync_total_bytes", total),
                ("master_sync_read_bytes", read),
                ("master_sync_left_bytes", total - read),
                ("master_sync_perc", f"{read / total * 100 if total else 0:.2f}"),
                ("master_sync_last_io_seconds_ago", int(now - self._last_io)),
            ]
        if not self.up:
            down = -1 if self.down_since is None else int(time.time() - self.down_since)
            fields.append(("master_link_down_since_seconds", down))
        fields += [
            ("slave_priority", settings["replica-priority"]),
            ("slave_read_only", int(settings["replica-read-only"])),
            ("replica_announced", int(settings["replica-announced"])),
        ]
        return fields

    # -- the connection

    def _when_idle(self) -> Deferred[None]:
        """Fires when no image is being loaded: a new connection would only fetch the same again."""
        waiter: Deferred[None] = Deferred()
        if self._image is None:
            waiter.callback(None)
        else:
            self._idle_waiters.append(waiter)
        return waiter

    def _connect(self, factory: Any) -> Deferred[Any]:
        server = self.server
        log, reactor = server.log, server.reactor
        log.notice(f"Connecting to MASTER {self.host}:{self.port}")
        log.notice("MASTER <-> REPLICA sync started")
        self._connecting = True
        self._retry_seconds = RETRY_SECONDS
        timeout = server.settings["repl-timeout"]
        source = server.settings["bind-source-addr"]
        address = (source, 0) if source else None
        # An address needs no resolver, and so no thread.
        kind: Any = HostnameEndpoint
        if isIPAddress(self.host):
            kind = TCP4ClientEndpoint
        elif isIPv6Address(self.host):
            kind = TCP6ClientEndpoint
        endpoint = kind(reactor, self.host, self.port, timeout, address)
        if server.settings["tls-replication"]:
            endpoint = wrapClientTLS(server.listeners.contexts, endpoint)
        attempt: Deferred[Any] = endpoint.connect(factory)
        return attempt.addErrback(self._not_connected)

    def _not_connected(self, failure: Failure) -> Failure:
        self._connecting = False
        if not isinstance(failure.value, CancelledError):
            self.server.log.warning(_connect_error(failure))
        return failure

    def _connected(self, connection: _MasterConnection) -> None:
        self._connecting = False
        if self._stopped:
            connection.transport.abortConnection()  # type: ignore[union-attr]
            return
        transport: Any = connection.transport
        settings, history = self.server.settings, self.server.history
        transport.setTcpNoDelay(True)
        transport.setTcpKeepAlive(True)
        self._connection = connection
        self._paused = False
        self._last_io = time.monotonic()
        own_port = settings["tls-port"] if settings["tls-replication"] else 0
        config = LinkConfig(
            port=settings["replica-announce-port"] or own_port or settings["port"],
            username=_bytes(settings["masteruser"]) or None,
            password=_bytes(settings["masterauth"]) or None,
            announce_ip=_bytes(settings["replica-announce-ip"]) or None,
            timeout=settings["repl-timeout"],
            to_disk=not self._direct(),
            failover=self._failover,
        )
        self._link = Link(config, (history.replid, history.offset) if self.resumable else None, self._trace)
        self._act(self._link.connected())

    def _trace(self, old: str, new: str, why: str) -> None:
        self.server.log.debug(f"[upstream {self.host}:{self.port}] {old} -> {new}: {why}")

    def _received(self, connection: _MasterConnection, data: bytes) -> None:
        link = self._link
        if connection is not self._connection or link is None:
            return
        self._last_io = time.monotonic()
        self.server.net_input += len(data)
        self._act(link.received(data))
        if link.pending_size > _ENOUGH and not self._paused:
            self._paused = True
            connection.transport.pauseProducing()  # type: ignore[union-attr]

    def stop_reading(self) -> None:
        """A script runs for long: what the master sends comes after it."""
        connection = self._connection
        if connection is not None and connection.transport is not None and not self._paused:
            connection.transport.pauseProducing()  # type: ignore[attr-defined]

    def go_on_reading(self) -> None:
        """The end of ``stop_reading``; the silence was ours and does not count against the master."""
        if self._link is not None:
            self._act(self._link.received(b""))
        connection = self._connection
        if connection is not None and connection.transport is not None and not self._paused:
            connection.transport.resumeProducing()  # type: ignore[attr-defined]

    def _lost(self, connection: _MasterConnection, reason: Failure) -> None:
        if connection is not self._connection or self._link is None:
            return
        self._act(self._link.connection_lost(_loss(reason)))

    def distrust(self, reason: str) -> None:
        """The dataset is not what the master's stream makes of it: copy it anew."""
        if self._link is not None:
            self._act(self._link.distrust(reason))

    def tick(self) -> None:
        """Once a second: timeouts and the acknowledgement."""
        link = self._link
        if link is not None:
            self._act(link.tick(time.monotonic()))
            if self.up:
                self.acknowledge()

    def acknowledge(self) -> None:
        """Tell the master how far we are, and how far our snapshot is (FACK, which WAITAOF counts)."""
        if self._link is not None:
            self._act(self._link.ack(self.server.history.offset, self.server.saver.durable_offset))

    # -- the events of the link

    def _act(self, events: list[Event]) -> None:
        for event in events:
            _ACTIONS[type(event)](self, event)

    def _on_send(self, event: Send) -> None:
        if self._connection is not None and self._connection.transport is not None:
            self.server.net_output += len(event.data)
            self._connection.transport.write(event.data)

    def _on_log(self, event: Log) -> None:
        self.server.log.write(LEVELS[event.level], event.text)

    def _on_failed(self, event: Failed) -> None:
        log = self.server.log
        was_up, self.up = self.up, False
        connection, self._connection = self._connection, None
        loading = self._image is not None and self._image.complete
        self._link = None
        if connection is not None and connection.transport is not None:
            connection.transport.abortConnection()  # type: ignore[attr-defined]
        if not loading:
            self._drop_image()
            self._copy_failed()
        if was_up:
            self._retry_seconds = 0.0
            self.down_since = time.time()
            self._forget_client()
        if event.discard_cached_master and self.resumable:
            log.notice("Discarding previously cached master state.")
            self.resumable = False
        elif was_up and self.resumable:
            log.notice("Caching the disconnected master state.")
        log.notice(f"Reconnecting to MASTER {self.host}:{self.port}" + ("" if was_up else " after failure"))
        self.server.update_gates()
        if event.rejected and self._failover:
            self.server.replication.failover.abort("Failover target rejected psync request")

    def _agreed(self) -> None:
        """The master answered PSYNC with yes: if that was a failover, it is over."""
        if self._failover:
            self._failover = False
            self.server.replication.failover.agreed()

    def _on_continue(self, event: Continue) -> None:
        server = self.server
        if event.replid is not None:
            server.replication.drop_replicas()
            server.history.adopt(event.replid)
        server.history.create_backlog(new_id=False)
        self._link_is_up()
        self._agreed()

    def _link_is_up(self) -> None:
        self.up = True
        self.down_since = None
        self.server.clients[self.client.id] = self.client
        self.server.update_gates()
        self.acknowledge()

    # -- full synchronisation

    def _direct(self) -> bool:
        """Whether an image is decoded as it comes (repl-diskless-load)."""
        mode = self.server.settings["repl-diskless-load"]
        return mode == "swapdb" or (mode == "on-empty-db" and not any(map(len, self.server.databases)))

    def _on_full_resync(self, event: FullResync) -> None:
        self._target = event
        self._copying = True
        self._agreed()

    def _on_transfer_started(self, event: TransferStarted) -> None:
        assert self._link is not None
        direct = not self._link.config.to_disk
        if event.size is not None and event.size > self._image_limit:
            self._image_unusable(f"MASTER announced {event.size} bytes: {TOO_LARGE}")
            return
        try:
            self._image = Image(self.server, direct=direct)
        except OSError as error:
            self.server.log.warning(
                "Opening the temp file needed for MASTER <-> REPLICA synchronization: "
                f"{error.strerror}; the snapshot is read into memory"
            )
            self._image = Image(self.server, direct=True)
        if direct:
            self._set_loading(event.size or 0)

    def _set_loading(self, total: int) -> None:
        server = self.server
        server.loading = True
        # With swapdb the old data is served while the new comes; Redis does so only when both are of one history, but
        # ours is as good as it was during the transfer to a file.
        server.async_loading = server.settings["repl-diskless-load"] == "swapdb"
        server.load_progress = {"start": int(time.time()), "total": total, "loaded": 0}
        server.update_gates()
        server.log.notice("MASTER <-> REPLICA sync: Loading DB in memory")

    def _on_snapshot_bytes(self, event: SnapshotBytes) -> None:
        image = self._image
        if image is None:
            return
        try:
            image.received(event.data)
        except OSError as error:
            self._image_unusable(
                "Write error or short write writing to the DB dump file needed for MASTER <-> REPLICA "
                f"synchronization: {error.strerror}"
            )
        except MemoryError:
            self._image_unusable(f"Failed trying to load the MASTER synchronization DB: {TOO_LARGE}")
        except DamagedSnapshot as error:
            self._image_unusable(f"Failed trying to load the MASTER synchronization DB: {error}")
        else:
            if image.size > self._image_limit:
                self._image_unusable(f"MASTER sent {image.size} bytes and goes on: {TOO_LARGE}")
        if image.direct and self.server.loading:
            self.server.load_progress["loaded"] = image.loaded_bytes

    def _on_snapshot_end(self, event: SnapshotEnd) -> None:
        if self._image is None:
            return
        if not self.server.loading:
            self._set_loading(self._image.size)
        self._image.load(self._image_loaded, self._loading_goes_on)

    def _loading_goes_on(self) -> None:
        assert self._image is not None
        self.server.load_progress["loaded"] = self._image.loaded_bytes
        if self._link is not None:
            self._act(self._link.keepalive(time.monotonic()))

    def _image_unusable(self, text: str) -> None:
        """Keep the old data, say why, and try again."""
        self.server.log.warning(text)
        link, self._link = self._link, None
        if link is not None:
            link.release()
            self._on_failed(Failed(text))
        self._copy_failed()
        # Without a link the next connection has waited only for this image, and the usual pause is over.
        self._drop_image(self._retry_seconds if link is None else 0.0)

    def _copy_failed(self) -> None:
        """If a copy was under way it was in vain: after several of these the next attempt waits longer."""
        if not self._copying:
            return
        self._copying = False
        self._failed_copies += 1
        self._retry_seconds = pause_after(self._failed_copies)
        if self._retry_seconds > RETRY_SECONDS:
            self.server.log.notice(
                f"Full synchronisation failed {self._failed_copies} times in a row; the next attempt is in "
                f"{self._retry_seconds:.0f} seconds"
            )

    def _image_loaded(self, error: Exception | None) -> None:
        image, server, log = self._image, self.server, self.server.log
        assert image is not None
        if error is not None:
            self._image_unusable(f"Failed trying to load the MASTER synchronization DB: {error}")
            return
        self._copying, self._failed_copies = False, 0
        log.notice(f"Done loading RDB, keys loaded: {image.keys}, keys expired: 0.")
        if self.resumable:
            log.notice("Discarding previously cached master state.")
        log.notice("MASTER <-> REPLICA sync: Flushing old data")
        info = image.info
        server.replication.drop_replicas()
        image.exchange()
        server.functions = info.functions
        server.history.reset(self._target.replid or new_replid(), max(self._target.offset, 0))
        self.resumable = self._target.replid is not None
        self.client.db = server.databases[max(0, min(info.selected_db, len(server.databases) - 1))]
        server.dirty += image.keys
        if server.settings["save"]:
            # Redis moves the received file to the place of its snapshot: a restart must not fall back behind the sync.
            server.saver.schedule()
        self._drop_image()
        log.notice("MASTER <-> REPLICA sync: Finished with success")
        link = self._link
        if link is None:
            # The connection broke while we loaded: what we have is good, the next one continues.
            self.down_since = time.time()
            return
        self.up = True
        events = link.loaded()
        self._link_is_up()
        self._act(events)
        self._drain()

    def _drain(self) -> None:
        """Apply what came while the image was loaded, some milliseconds at a time."""
        link, connection = self._link, self._connection
        until = time.perf_counter() + _SLICE_SECONDS
        while link is not None and link is self._link and link.pending_size:
            if time.perf_counter() > until:
                self.server.call_later(0, self._drain)
                break
            self._act(link.drain())
        if self._paused and link is not None and link.pending_size < _ENOUGH // 2 and connection is self._connection:
            self._paused = False
            if connection is not None and connection.transport is not None:
                connection.transport.resumeProducing()  # type: ignore[attr-defined]

    def _drop_image(self, pause: float = 0.0) -> None:
        """Forget the image; who waited for its end goes on in ``pause`` seconds."""
        image, self._image = self._image, None
        if image is not None:
            image.abandon()
            if self.server.loading:
                self.server.loading = self.server.async_loading = False
                self.server.update_gates()
            waiters, self._idle_waiters = self._idle_waiters, []
            for waiter in waiters:
                self.server.call_later(pause, waiter.callback, None)

    # -- the stream

    def _on_stream(self, event: Stream) -> None:
        self._applier.apply(event.units)

    def _forget_client(self) -> None:
        self.server.clients.pop(self.client.id, None)


class _MasterOutput:
    """The ``Connection`` of the master's pseudo client: replies go nowhere, closing closes the link."""

    queued = 0

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream

    def write(self, data: bytes) -> None:
        """The master wants no replies."""

    def flush(self) -> None:
        """Nothing is kept back."""

    def close(self) -> None:
        self._upstream.close("closed by a client")

    def abort(self) -> None:
        self._upstream.close("closed by a client")

    def resume(self) -> None:
        """The master's commands never wait."""

    def stop_reading(self) -> None:
        """A script of the master runs for long: the link itself is told, whoever runs the script."""

    def go_on_reading(self) -> None:
        """The end of ``stop_reading``."""


_ACTIONS: dict[type, Callable[[Upstream, Any], None]] = {
    Send: Upstream._on_send,
    Log: Upstream._on_log,
    FullResync: Upstream._on_full_resync,
    TransferStarted: Upstream._on_transfer_started,
    SnapshotBytes: Upstream._on_snapshot_bytes,
    SnapshotEnd: Upstream._on_snapshot_end,
    Continue: Upstream._on_continue,
    Stream: Upstream._on_stream,
    Failed: Upstream._on_failed,
}


def _bytes(text: str) -> bytes:
    """The bytes of a directive's value: a password need not be UTF-8."""
    return text.encode("utf-8", "surrogateescape")


def _connect_error(failure: Failure) -> str:
    """The log line for a connection that was not made."""
    error = failure.value
    if isinstance(error, ConnectTimeout):
        return "Timeout connecting to the MASTER..."
    if isinstance(error, DNSLookupError):
        return f"Unable to connect to MASTER: {error}"
    if isinstance(error, ConnectError) and isinstance(error.osError, int):
        return f"Error condition on socket for SYNC: {os.strerror(error.osError)}"
    return f"Error condition on socket for SYNC: {failure.getErrorMessage()}"


def _loss(reason: Failure) -> str:
    """Why a connection ended, in Redis's words where there are some."""
    return "connection lost" if isinstance(reason.value, ConnectionDone) else reason.getErrorMessage()
