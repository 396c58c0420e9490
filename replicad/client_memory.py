"""How much memory each client takes, and who must go when all together take too much (maxmemory-clients).

Owns: the figures ``qbuf``, ``argv-mem``, ``multi-mem``, ``omem`` and ``tot-mem`` of CLIENT LIST; client eviction.  Does not
own the limits of a single client (client-query-buffer-limit, client-output-buffer-limit): those are its connection's.

Replicas and the master are never counted nor closed, and CLIENT NO-EVICT protects a client though it is counted.  Redis
looks before every command; here the clock does, ten times a second and so many clients at a time that nobody waits for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from replicad.server import Server
    from replicad.session import Client

#: What a connection costs without any data: measured, 3,000 idle ones.
CONNECTION = 4900

#: A smaller maxmemory-clients means this: nobody could talk to the server to mend it.
LEAST_LIMIT = 128 * 1024

#: So many clients are looked at in one tick, which takes 2 ms.
_SLICE = 2000

#: Of a longer transaction only so many commands are measured; the others are taken to be like them.
_SAMPLE = 1000


def unread(client: Client) -> int:
    """Bytes that the client sent and that have not been executed: half a command, or those behind a blocking one."""
    size: int = getattr(client.connection, "unread", 0)
    return size


def queued_arguments(client: Client) -> int:
    """Bytes of the commands that wait for EXEC."""
    multi = client.multi
    if not multi:
        return 0
    size = sum(sum(map(len, argv)) for _, argv in multi[:_SAMPLE])
    return size if len(multi) <= _SAMPLE else size * len(multi) // _SAMPLE


def total(client: Client) -> int:
    """All that the client takes, in bytes."""
    arguments = sum(map(len, client.argv)) if client.blocked is not None else 0
    return CONNECTION + unread(client) + arguments + queued_arguments(client) + client.connection.queued


class ClientMemory:
    """Keeps the clients below maxmemory-clients."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._pass: Iterator[Client] | None = None
        self._sizes: dict[Client, int] = {}
        self.evicted = 0

    @property
    def limit(self) -> int:
        """maxmemory-clients in bytes; 0 when there is none.  A percentage is one of maxmemory."""
        settings = self._server.settings
        limit: int = settings["maxmemory-clients"]
        if limit < 0:
            limit = -limit * settings["maxmemory"] // 100
        return max(limit, LEAST_LIMIT) if limit else 0

    def tick(self) -> None:
        """Look at the next clients; when all have been seen and take too much, close the largest ones."""
        limit = self.limit
        if not limit:
            return
        if self._pass is None:
            self._pass = iter(list(self._server.clients.values()))
            self._sizes = {}
        sizes = self._sizes
        looked_at = 0
        for client in islice(self._pass, _SLICE):
            looked_at += 1
            if client.replica is None and not client.is_master and not client.closing:
                sizes[client] = total(client)
        if looked_at < _SLICE:
            self._pass, self._sizes = None, {}
            self._evict(sizes, sum(sizes.values()) - limit)

    def _evict(self, sizes: dict[Client, int], excess: int) -> None:
        if excess < 0:
            return
        server = self._server
        for client in sorted(sizes, key=sizes.__getitem__, reverse=True):
            if excess < 0:
                break
            if client.no_evict or client.closing:
                continue
            excess -= sizes[client]
            self.evicted += 1
            server.log.notice(f"Evicting client: {server.describe(client)}")
            client.connection.abort()
