"""Clients that wait for keys, and who is served when a key appears.

Owns: the registry of waiting clients, their timeouts, and the service of ready keys.  Does not own what a command does
when its key is there (``attempt``, given by the command).  Called by ``Client.block``, by the keyspace's hook (``signal``)
and by dispatch after a unit that changed something (``serve``).

As in Redis a client is served after the whole command or transaction that made its key ready, clients in the order in
which they began to wait, and its own change is propagated as a unit behind that one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from replicad.errors import ReplyError
from replicad.resp import BLOCKED

if TYPE_CHECKING:
    from replicad.keyspace import Database
    from replicad.server import Server
    from replicad.session import Client

Place = tuple[int, bytes]


class Waiting:
    """Why and until when one client is blocked.  ``on_timeout`` is the reply when time is up."""

    __slots__ = ("argv", "attempt", "data", "db", "even_gone", "on_timeout", "places", "timer")

    def __init__(
        self, db: Database, places: list[Place], attempt: Callable[[bytes], Any] | None, on_timeout: Any, argv: list[bytes]
    ) -> None:
        self.db = db
        self.places = places
        self.attempt = attempt
        self.on_timeout = on_timeout
        self.argv = argv
        self.timer: Any = None
        self.even_gone = False  #: ``attempt`` wants to know of a deleted key too (XREADGROUP)
        self.data: Any = None  #: WAIT keeps here how to count, and what is enough


class Blocking:
    """All blocked clients of a server."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.clients: dict[Client, Waiting] = {}
        self.by_key: dict[Place, dict[Client, None]] = {}
        self.ready: dict[Place, None] = {}
        self._serving = False

    def add(
        self,
        client: Client,
        db: Database,
        keys: Sequence[bytes],
        timeout_ms: int,
        attempt: Callable[[bytes], Any] | None,
        on_timeout: Any,
    ) -> Waiting:
        """``client`` waits for ``keys``; see ``Client.block``."""
        places = [(db.index, key) for key in dict.fromkeys(keys)]
        waiting = Waiting(db, places, attempt, on_timeout, client.argv)
        for place in places:
            self.by_key.setdefault(place, {})[client] = None
        client.blocked = waiting
        self.clients[client] = waiting
        if timeout_ms > 0:
            waiting.timer = self._server.call_later(timeout_ms / 1000, self._timed_out, client)
        if places:
            self._server.update_observed(db)
        return waiting

    def discard(self, client: Client) -> None:
        """``client`` waits no longer (served, timed out, gone)."""
        waiting = self.clients.pop(client, None)
        if waiting is None:
            return
        client.blocked = None
        if waiting.timer is not None and waiting.timer.active():
            waiting.timer.cancel()
        for place in waiting.places:
            clients = self.by_key.get(place)
            if clients is not None:
                clients.pop(client, None)
                if not clients:
                    del self.by_key[place]
        if waiting.places:
            self._server.update_observed(waiting.db)

    def _timed_out(self, client: Client) -> None:
        waiting = client.blocked
        if waiting is not None:
            value = waiting.on_timeout
            client.unblock(value() if callable(value) else value)

    def signal(self, place: Place) -> None:
        """The key at ``place`` was touched."""
        if place in self.by_key:
            self.ready[place] = None

    def serve(self) -> None:
        """Serve the clients whose keys are ready, until nothing is ready any more."""
        if self._serving:
            return
        server = self._server
        self._serving = True
        try:
            while self.ready:
                ready, self.ready = self.ready, {}
                for place in ready:
                    for client in list(self.by_key.get(place, ())):
                        waiting = client.blocked
                        if waiting is not None and (
                            waiting.even_gone or server.databases[place[0]].peek(place[1]) is not None
                        ):
                            self._attempt(client, place[1])
        finally:
            self._serving = False

    def _attempt(self, client: Client, key: bytes) -> None:
        server = self._server
        waiting = client.blocked
        if waiting is None or waiting.attempt is None:
            return
        dirty = server.dirty
        value: Any
        try:
            value = waiting.attempt(key)
        except ReplyError as error:
            error.release()
            value = error
        if server.dirty != dirty or server.propagation.busy:
            server.propagation.done(waiting.db.index, waiting.argv, server.dirty != dirty)
        if value is not BLOCKED:
            client.write_offset = server.stream_offset()
            client.unblock(value)

    def release_all(self, error: ReplyError) -> None:
        """Unblock everybody with ``error`` (the server's role changed)."""
        for client in list(self.clients):
            client.unblock(error)

    def rekey(self, first: int, second: int) -> None:
        """SWAPDB exchanged two databases: keys that now exist may serve waiting clients, or are gone."""
        for place in self.by_key:
            if place[0] in (first, second):
                self.ready[place] = None
