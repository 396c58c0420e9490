"""Which role the server plays, and the ties to both sides.

Owns: the change of roles (REPLICAOF, promotion), the list of attached replicas, the ping in the stream, WAIT's count, the
life of the backlog, what INFO and ROLE say about replication.  Does not own the protocol to a master (``link``,
``upstream``) or to a replica (``downstream``), nor the bytes (``history``).

A server can be both: it follows ``upstream`` and feeds ``downstreams`` the very same bytes under the same id and offset.
The rules for ids are those of PSYNC2, see docs/replication.md; ``History`` carries them out.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from replicad.errors import UNBLOCKED
from replicad.persistence.child import unnamed_file
from replicad.replication import requests
from replicad.replication.failover import Failover
from replicad.replication.history import NO_DB, NO_REPLID
from replicad.replication.spill import Spill

if TYPE_CHECKING:
    from replicad.command import Argv
    from replicad.persistence.interfaces import SnapshotInfo
    from replicad.replication.downstream import Downstream
    from replicad.replication.upstream import Upstream
    from replicad.server import Server
    from replicad.session import Client

PING = b"*1\r\n$4\r\nping\r\n"
#: Bytes of a file that are freed in one turn of the reactor.
_FREED_AT_ONCE = 8 * 1024 * 1024
GETACK = b"*3\r\n$8\r\nREPLCONF\r\n$6\r\nGETACK\r\n$1\r\n*\r\n"


class Replication:
    """The replication state of one server."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.upstream: Upstream | None = None  #: set while the server is a replica
        self.downstreams: list[Downstream] = []
        self.failover = Failover(self)
        self.sync_full = self.sync_partial_ok = self.sync_partial_err = 0
        self._last_ping = time.monotonic()
        self._last_replica_left = time.monotonic()
        self._getack_asked = False
        #: The history was restored from a snapshot or inherited: a master may be asked to continue from it.
        self.can_resume = False

    # -- start and stop

    def start(self) -> None:
        """The dataset is loaded: follow the configured master."""
        master = self.server.settings["replicaof"]
        if master is not None:
            self._follow(*master)
        self.server.update_gates()

    def stop(self) -> None:
        """The server stops: close the link and let the replicas have what is written."""
        if self.upstream is not None:
            self.upstream.stop()
        for replica in list(self.downstreams):
            replica.finish()

    def restore(self, info: SnapshotInfo, as_replica: bool) -> None:
        """Take over the replication state that was stored with the dataset."""
        history = self.server.history
        if info.replid is None or info.offset < 0:
            return
        second = None if info.second_replid is None else (info.second_replid, info.second_offset)
        history.restore(
            info.replid, info.offset, info.selected_db, as_master=not as_replica, tail=info.tail, second=second
        )
        self.can_resume = as_replica
        self._last_replica_left = time.monotonic()
        self.server.update_gates()

    def expired_at_load(self, db: int, key: bytes) -> None:
        """A master did not load ``key`` because it has expired: a replica that continues must delete it."""
        propagation = self.server.propagation
        if propagation.active:
            propagation.also(db, b"DEL", key)
            propagation.done(db, (), False)

    def stream_state(self) -> tuple[str, int, int]:
        """(replid, offset, selected database) of the stream that our own replicas get: what belongs into their image."""
        history = self.server.history
        db = self.upstream.selected_db if self.upstream is not None else max(history.selected_db, 0)
        return history.replid, history.offset, db

    def snapshot_state(self) -> tuple[str | None, int, int]:
        """(replid, offset, selected database) to store with the dataset; (None, -1, -1) when there is nothing to keep."""
        history = self.server.history
        if self.upstream is not None:
            if self.upstream.resumable:
                return history.replid, history.offset, self.upstream.selected_db
            return None, -1, -1
        if history.active:
            return history.replid, history.offset, max(history.selected_db, 0)
        return None, -1, -1

    # -- roles

    def follow(self, host: str, port: int, who: str) -> bool:
        """REPLICAOF host port.  False when that is the master already."""
        server = self.server
        if self.upstream is not None and (self.upstream.host.lower(), self.upstream.port) == (host.lower(), port):
            server.log.notice(
                "REPLICAOF would result into synchronization with the master we are already connected with. No operation "
                "performed."
            )
            return False
        self._become_replica(host, port)
        server.log.notice(f"REPLICAOF {host}:{port} enabled (user request from '{who}')")
        return True

    def hand_over(self, host: str, port: int) -> None:
        """FAILOVER: follow a replica of ours and ask it to be the master."""
        self._become_replica(host, port, failover=True)

    def _become_replica(self, host: str, port: int, failover: bool = False) -> None:
        server = self.server
        server.propagation.flush()
        if self.upstream is None:
            server.blocking.release_all(UNBLOCKED)
            # Also when nobody ever followed us: our id is our own then, and every master refuses it, as Redis sees it.
            server.log.notice(
                "Before turning into a replica, using my own master parameters to synthesize a cached master: I may be able "
                "to synchronize with the new master with just a partial transfer."
            )
            self.can_resume = True
        server.settings.set_internal("replicaof", (host, port))
        self._follow(host, port, failover)

    def _follow(self, host: str, port: int, failover: bool = False) -> None:
        from replicad.replication.upstream import Upstream

        server = self.server
        selected_db = server.history.selected_db
        if self.upstream is not None:
            selected_db = self.upstream.selected_db
            self.can_resume = self.upstream.resumable
            self.upstream.stop()
        self.upstream = Upstream(server, host, port, selected_db if selected_db != NO_DB else 0, failover)
        server.update_gates()
        self.upstream.start()

    def promote(self, who: str, why: str = "user") -> None:
        """REPLICAOF NO ONE: become a master under a new id; the old one stays valid up to here.  ``why``: who asked for it,
        "user" or "failover", for the log.
        """
        if self.upstream is not None:
            self.become_master()
            self.server.log.notice(f"MASTER MODE enabled ({why} request from '{who}')")

    def become_master(self) -> None:
        """Leave the master under which we are; the history goes on under a new id."""
        server = self.server
        assert self.upstream is not None
        upstream, self.upstream = self.upstream, None
        upstream.stop()
        server.settings.set_internal("replicaof", None)
        server.history.shift()
        self.can_resume = False
        self._last_replica_left = time.monotonic()
        self.drop_replicas()
        server.update_gates()
        server.log.notice(
            f"Setting secondary replication ID to {server.history.replid2}, valid up to offset: "
            f"{server.history.second_offset}. New replication ID is {server.history.replid}"
        )

    def drop_replicas(self) -> None:
        """Disconnect every replica: the id or the data changed under them.  They come back and ask to continue."""
        for replica in list(self.downstreams):
            replica.close("")
        # An image under way is of the old history: nobody may join it now.
        self.server.saver.drop_image()

    @property
    def link_up(self) -> bool:
        """Whether the link to the master streams."""
        return self.upstream is not None and self.upstream.up

    # -- replicas

    def attach(self, replica: Downstream) -> None:
        """A connection became a replica (SYNC, PSYNC); a master begins its backlog with the first one."""
        server = self.server
        self.downstreams.append(replica)
        if self.upstream is None and server.history.create_backlog():
            server.log.notice(
                f"Replication backlog created, my new replication IDs are '{server.history.replid}' and '{NO_REPLID}'"
            )
        server.update_gates()

    def detach(self, replica: Downstream) -> None:
        """A replica is gone."""
        if replica in self.downstreams:
            self.downstreams.remove(replica)
        self.server.saver.forget(replica)
        if not self.downstreams:
            self._last_replica_left = time.monotonic()
        self.server.update_gates()

    def wake(self, data: bytes) -> None:
        """The history grew by ``data``: every replica that is up to date can have these very bytes."""
        for replica in (*self.downstreams,):  # one that is cut leaves the list
            replica.grew(data)

    # -- the backlog on disk

    def set_spill(self, size: int) -> None:
        """repl-backlog-spill: keep so many bytes of the stream, older than the backlog in memory, in a file; 0: none."""
        history = self.server.history
        if not size:
            history.set_spill(None)
        elif history.spill is not None:
            history.resize_spill(size)
        else:
            history.spill_broke = self._spill_broke
            history.set_spill(Spill(self._spill_file, self._free, size))

    def _spill_file(self) -> int:
        try:
            return unnamed_file(self.server.settings["dir"])
        except OSError:  # a master that persists nothing may live in a directory that it cannot write to
            return unnamed_file(tempfile.gettempdir())

    def _spill_broke(self, error: OSError) -> None:
        self.server.log.warning(
            f"The backlog's spill is turned off: {error.strerror or error}. CONFIG SET repl-backlog-spill turns it on again."
        )

    def _free(self, fd: int) -> None:
        """Close the descriptor of a large file without a name, which is freed from its end in small steps."""
        left = os.fstat(fd).st_size - _FREED_AT_ONCE
        if left <= 0:
            os.close(fd)
            return
        os.ftruncate(fd, left)
        self.server.call_later(0.005, self._free, fd)

    # -- the clock

    def tick(self) -> None:
        """Once a second."""
        server, settings = self.server, self.server.settings
        now = time.monotonic()
        if self.upstream is not None:
            self.upstream.tick()
        for replica in list(self.downstreams):
            replica.tick()
        server.history.tidy()
        if self.upstream is None:
            period = settings["repl-ping-replica-period"]
            if self.downstreams and not self.failover.quiet and now - self._last_ping >= period:
                self._last_ping = now
                server.propagation.write(PING)
                server.propagation.flush()
            ttl = settings["repl-backlog-ttl"]
            if server.history.active and not self.downstreams and ttl and now - self._last_replica_left > ttl:
                server.log.notice(f"Replication backlog freed after {ttl} seconds without connected replicas.")
                server.history.free_backlog()
        server.update_gates()

    # -- acknowledgement

    def too_few(self) -> bool:
        """Whether min-replicas-to-write is not met."""
        settings = self.server.settings
        wanted, max_lag = settings["min-replicas-to-write"], settings["min-replicas-max-lag"]
        return self.upstream is None and bool(wanted and max_lag) and self.good_replicas() < wanted

    def good_replicas(self) -> int:
        """Online replicas whose last acknowledgement is at most min-replicas-max-lag seconds old."""
        max_lag = self.server.settings["min-replicas-max-lag"]
        return sum(1 for replica in self.downstreams if replica.online and replica.lag_seconds <= max_lag)

    def stored_by(self, offset: int) -> int:
        """How many online replicas have ``offset`` on their disks."""
        return sum(1 for replica in self.downstreams if replica.online and replica.stored_offset >= offset)

    def stored(self) -> None:
        """Our own snapshot is complete and synced: our master wants to know, and clients in WAITAOF too."""
        if self.upstream is not None:
            self.upstream.acknowledge()
        self._serve_waiting()

    def acknowledged(self, offset: int) -> int:
        """How many online replicas have acknowledged ``offset``."""
        return sum(1 for replica in self.downstreams if replica.online and replica.ack_offset >= offset)

    def behind(self) -> int:
        """How many online replicas have not acknowledged everything yet."""
        if self.upstream is not None:
            return 0
        offset = self.server.stream_offset()
        return sum(1 for replica in self.downstreams if replica.online and replica.ack_offset < offset)

    def ask_for_acks(self) -> None:
        """Put one GETACK into the stream, in the next turn of the reactor, for all clients that began to wait by then."""
        if self._getack_asked or not any(replica.online for replica in self.downstreams):
            return
        self._getack_asked = True
        self.server.call_later(0, self._getack)

    def _getack(self) -> None:
        self._getack_asked = False
        self.server.propagation.write(GETACK)
        self.server.propagation.flush()

    def ack_arrived(self) -> None:
        """A replica acknowledged more: clients in WAIT may be satisfied, and a failover may go on."""
        if self.failover.running:
            self.failover.check()
        self._serve_waiting()

    def _serve_waiting(self) -> None:
        for client, waiting in list(self.server.blocking.clients.items()):
            if waiting.data is not None:
                count, enough = waiting.data
                reached = count()
                if enough(reached):
                    client.unblock(reached)

    def wait(self, client: Client, wanted: int, timeout_ms: int) -> Any:
        """WAIT: the number of replicas that have this client's writes, at once or when enough have come that far."""
        offset = self._writes_of(client)
        return self._wait_for(
            client, timeout_ms, lambda: self.acknowledged(offset), lambda reached: bool(reached >= wanted)
        )

    def wait_stored(self, client: Client, here: int, wanted: int, timeout_ms: int) -> Any:
        """WAITAOF: whether this client's writes are on our disk (0 or 1), and on those of how many replicas."""
        offset = self._writes_of(client)
        saver = self.server.saver
        version = saver.version  # a master that nobody ever followed has no history: there it is all changes up to now

        def count() -> list[int]:
            here = saver.durable_offset >= offset if self.server.history.active else saver.has_stored(version)
            return [int(here), self.stored_by(offset)]

        return self._wait_for(client, timeout_ms, count, lambda reached: reached[0] >= here and reached[1] >= wanted)

    def _writes_of(self, client: Client) -> int:
        """The offset behind the writes of ``client``."""
        before = self.server.history.offset
        offset = self.server.stream_offset()  # writes of the same pipeline are in the stream from now on
        if offset == before:  # none, or an earlier command of the pipeline has put them there and told the client
            return client.write_offset
        return offset

    def _wait_for(
        self, client: Client, timeout_ms: int, count: Callable[[], Any], enough: Callable[[Any], bool]
    ) -> Any:
        reached = count()
        if enough(reached) or client.in_exec:
            return reached
        value = client.block((), timeout_ms, None, count)
        if client.blocked is not None:
            client.blocked.data = (count, enough)
            self.ask_for_acks()
        return value

    # -- what others see

    def replconf(self, client: Client, argv: Argv) -> Any:
        """The command REPLCONF."""
        return requests.replconf(client, argv)

    def sync(self, client: Client, argv: Argv) -> Any:
        """The commands SYNC and PSYNC: the connection becomes a replica."""
        return requests.sync(client, argv)

    def role(self) -> list[Any]:
        """The reply of the command ROLE."""
        offset = self.server.stream_offset()
        upstream = self.upstream
        if upstream is not None:
            state = upstream.role_state.encode()
            host = upstream.host.encode("utf-8", "surrogateescape")
            return [b"slave", host, upstream.port, state, offset if state == b"connected" else -1]
        replicas = [
            [replica.ip.encode(), b"%d" % replica.port, b"%d" % replica.ack_offset]
            for replica in self.downstreams
            if replica.online
        ]
        return [b"master", offset, replicas]

    def info_fields(self) -> list[tuple[str, object]]:
        """The lines of INFO replication, in order of Redis 7.0."""
        server, history = self.server, self.server.history
        server.propagation.flush()
        fields: list[tuple[str, object]] = [("role", "slave" if self.upstream is not None else "master")]
        if self.upstream is not None:
            fields += self.upstream.info_fields()
        fields.append(("connected_slaves", len(self.downstreams)))
        settings = server.settings
        if self.upstream is None and settings["min-replicas-to-write"] and settings["min-replicas-max-lag"]:
            fields.append(("min_slaves_good_slaves", self.good_replicas()))
        for number, replica in enumerate(self.downstreams):
            fields.append((f"slave{number}", replica.info_line()))
        fields += [
            ("master_failover_state", self.failover.state),
            ("master_replid", history.replid),
            ("master_replid2", history.replid2),
            ("master_repl_offset", history.offset),
            ("second_repl_offset", history.second_offset),
            ("repl_backlog_active", int(history.active)),
            ("repl_backlog_size", history.backlog_size),
            ("repl_backlog_first_byte_offset", history.first_byte_offset),
            ("repl_backlog_histlen", history.histlen),
        ]
        if settings["repl-backlog-spill"]:
            spill = history.spill
            held = spill is not None and spill.size > 0
            fields += [
                ("replicad_backlog_spill_active", int(spill is not None)),
                ("replicad_backlog_spill_size", settings["repl-backlog-spill"]),
                ("replicad_backlog_spill_first_byte_offset", history.start + 1 if held else 0),
                ("replicad_backlog_spill_histlen", spill.size if spill is not None else 0),
            ]
        return fields
