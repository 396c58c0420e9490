"""What happens by itself as time passes.

Owns: the clock tick (ten times a second), the deletion of expired keys, the return of memory, idle clients.  Each piece of
work is a slice of a few milliseconds; when more is left it comes back in a later turn of the reactor.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from twisted.internet import task

from replicad.commands.sampling import sweep
from replicad.expiring_hash import ExpiringHash
from replicad.keyspace import Database
from replicad.notifications import EXPIRED, HASH

if TYPE_CHECKING:
    from replicad.server import Server

#: Deleting expired keys and freeing memory take at most this long in one turn of the reactor.
SLICE_SECONDS = 0.003
#: So many expired fields of one hash are deleted in a row, and named in one HDEL.
FIELDS_AT_ONCE = 128


class Timekeeper:
    """The recurring work of one server."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self._loop = task.LoopingCall(self.tick)
        self._loop.clock = server.reactor
        self._ticks = 0
        self.paused = False  #: DEBUG PAUSE-CRON: nothing but the clock goes on
        self._expiring = False
        self._reclaiming = False

    def start(self) -> None:
        """Begin to tick."""
        self._loop.start(0.1, now=False).addErrback(self._failed)

    def stop(self) -> None:
        """Tick no more."""
        if self._loop.running:
            self._loop.stop()

    def _failed(self, failure: Any) -> None:
        """A defect in one tick must not end all the others."""
        server = self.server
        server.log.warning(f"Defect in the clock: {failure.getTraceback()}")
        server.call_later(1, self.start)

    def tick(self) -> None:
        """Ten times a second: time, expiry, memory; once a second: clients, replication, save points."""
        server = self.server
        server.clock.now_ms = int(time.time() * 1000)
        server.clock.tenths = server.clock.now_ms // 100
        self._ticks += 1
        if self.paused:
            return
        if not self._expiring:
            self._expire_slice()
        if not self._reclaiming:  # else a slice is due already; each tick would begin one more row of them
            self.reclaim()
        if server.pause_until_ms and server.clock.now_ms >= server.pause_until_ms:
            server.unpause()
        server.eviction.tick()
        server.client_memory.tick()
        server.ops.sample(server.clock.now_ms, server.commands_processed, server.net_input, server.net_output)
        server.saver.tick()
        if self._ticks % 10 == 0:
            server.replication.tick()
            self._check_clients()
            sweep(server.clock.now_ms, server.trash)
        if self._ticks % 50 == 0 and server.log.level <= 1:
            replicas = len(server.replication.downstreams)
            normal = len(server.clients) - replicas
            for db in server.databases:
                if size := len(db):
                    server.log.verbose(f"DB {db.index}: {size} keys ({db.deadlines.count} volatile)")
            server.log.verbose(f"{normal} clients connected ({replicas} slaves), {server.memory()} bytes in use")
        server.propagation.flush()

    def _expire_slice(self) -> None:
        """Delete keys whose time has come, for a few milliseconds, and come back at once when more are due."""
        server = self.server
        self._expiring = False
        if not server.active_expire or server.replication.upstream is not None or server.loading or self.stands_still():
            return
        server.clock.now_ms = int(time.time() * 1000)
        until = time.perf_counter() + SLICE_SECONDS
        for db in server.databases:
            while db.deadlines.count and (due := db.deadlines.due(server.clock.now_ms, 64)):
                for key in due:
                    self.expire_found(db, key)
                    server.propagation.done(db.index, (), False)
                if time.perf_counter() > until:
                    self._expiring = True
                    break
            while db.field_deadlines is not None and (due := db.field_deadlines.due(server.clock.now_ms, 4)):
                for key in due:
                    self._expire_fields(db, key)
                    server.propagation.done(db.index, (), False)
                if time.perf_counter() > until:
                    self._expiring = True
                    break
        server.propagation.flush()
        if server.blocking.ready:
            server.blocking.serve()
        if self._expiring:
            server.call_later(2 * SLICE_SECONDS, self._expire_slice)

    def stands_still(self) -> bool:
        """Whether writes are paused, so that nothing may be deleted that replicas would have to be told of."""
        return self.server.paused(True)

    def expire_found(self, db: Database, key: bytes) -> None:
        """An expired key was met: a master deletes it and tells its replicas.

        While writes are paused it is only hidden: the stream must stand still.
        """
        server = self.server
        if self.stands_still():
            return
        if db.remove(key):
            server.stats.expired += 1
            if server.notifying:
                server.notify(EXPIRED, b"expired", key, db.index)
            verb = b"UNLINK" if server.settings["lazyfree-lazy-expire"] else b"DEL"
            server.propagation.also(db.index, verb, key)
            server.saver.changes += 1

    def _expire_fields(self, db: Database, key: bytes) -> None:
        """Delete some fields whose time has come of the hash under ``key``; it comes up again when there are more."""
        value = db.peek(key)
        if type(value) is ExpiringHash:
            db.expire_fields(key, value, FIELDS_AT_ONCE)
        elif db.field_deadlines is not None:
            db.field_deadlines.discard(key)

    def fields_found(self, db: Database, key: bytes, fields: Collection[bytes]) -> None:
        """Expired fields of a hash are removed on a master, which tells its replicas."""
        server = self.server
        server.stats.expired_fields += len(fields)
        if server.notifying:
            server.notify(HASH, b"hexpired", key, db.index)
        if len(fields) > FIELDS_AT_ONCE and type(fields) is ExpiringHash:
            server.propagation.also(db.index, b"UNLINK" if server.settings["lazyfree-lazy-expire"] else b"DEL", key)
        else:
            names = list(fields)
            for start in range(0, len(names), FIELDS_AT_ONCE):
                server.propagation.also(db.index, b"HDEL", key, *names[start : start + FIELDS_AT_ONCE])
        server.saver.changes += len(fields)

    def reclaim(self) -> None:
        """Free dead collections in slices."""
        server = self.server
        self._reclaiming = False
        if len(server.trash):
            until = time.perf_counter() + SLICE_SECONDS
            while server.trash.reclaim(500):
                if time.perf_counter() > until:
                    self._reclaiming = True
                    server.call_later(2 * SLICE_SECONDS, self.reclaim)
                    return

    def _check_clients(self) -> None:
        server = self.server
        timeout = server.settings["timeout"]
        now = time.monotonic()
        for client in list(server.clients.values()):
            check = getattr(client.connection, "check_soft_limit", None)
            if check is not None and client.connection.queued:
                check()
            if (
                timeout
                and now - client.last_interaction > timeout
                and client.replica is None
                and not client.is_master
                and client.blocked is None
                and not client.subscriptions
            ):
                server.log.verbose("Closing idle client")
                client.connection.abort()
