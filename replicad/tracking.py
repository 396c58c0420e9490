"""Client-side caching: which client may hold a copy of which key, and the messages that end such copies.

Owns: the table of keys that clients have read (the ordinary mode), the prefixes of clients that want to hear of every
change (BCAST), the state of CLIENT TRACKING of each client, and the invalidation messages.  Does not own the subcommands
(``commands/tracking``) nor when a key changes: the keyspace's hook ends in ``touched``, dispatch tells the reads.

As in Redis a key is tracked by its name, whatever its database, and only until the first message about it.  The table
holds numbers of clients, not clients: who has gone leaves entries behind that the next change of the key removes.

Order on the wire.  A client hears of its own changes behind the reply of its command (or of its EXEC, or its script),
of those of others at once.  BCAST collects the keys of one turn of the reactor and tells them, sorted, behind all
replies of that turn.

Cost.  A server without tracking clients does not come here: ``Database.observed`` is off, and only clients that track
have a gate bit.  Rejected: a set of clients per key (216 bytes; most keys are held by one client, and an integer that
others share costs nothing), and one dict for all keys: to take the oldest key out of a large dict again and again, as
tracking-table-max-keys needs it, walks over the holes of those taken before.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from replicad.command import Argv, Command, lookup
from replicad.errors import ReplyError
from replicad.resp import Wire, pack

if TYPE_CHECKING:
    from replicad.server import Server
    from replicad.session import Client

#: The channel on which a RESP2 client hears of the keys that a client redirected to it holds.
_MESSAGE = b"*3\r\n$7\r\nmessage\r\n$20\r\n__redis__:invalidate\r\n"
_PUSH = b">2\r\n$10\r\ninvalidate\r\n"
_BROKEN = b">2\r\n$21\r\ntracking-redir-broken\r\n:%d\r\n"

_SHARDS = 1024
#: Where most reads have their key.
_FIRST_WORD = (1, 1, 1)
#: A script's reads are remembered by the keys that it declared, so running it is no read by itself.
_SCRIPTS = frozenset([b"eval_ro", b"evalsha_ro", b"fcall_ro"])


class Tracked:
    """What CLIENT TRACKING ON said about one client."""

    __slots__ = ("bcast", "broken", "caching", "noloop", "optin", "optout", "prefixes", "redirect")

    def __init__(self) -> None:
        self.bcast = self.optin = self.optout = self.noloop = False
        self.redirect = 0  #: the number of the client that gets the messages; 0 is the client itself
        self.broken = False  #: a message found that client gone
        self.caching = False  #: CLIENT CACHING was said for the next command or transaction
        self.prefixes: dict[bytes, None] = {}

    @property
    def flags(self) -> list[bytes]:
        """The words of CLIENT TRACKINGINFO."""
        words = [b"on"]
        if self.bcast:
            words.append(b"bcast")
        if self.optin:
            words += [b"optin", b"caching-yes"] if self.caching else [b"optin"]
        if self.optout:
            words += [b"optout", b"caching-no"] if self.caching else [b"optout"]
        if self.noloop:
            words.append(b"noloop")
        if self.broken:
            words.append(b"broken_redirect")
        return words


class KeyTable:
    """By key the numbers of the clients that may hold it; ``keys`` and ``items`` count keys and pairs."""

    def __init__(self) -> None:
        self._shards: list[dict[bytes, int | set[int]]] = [{} for _ in range(_SHARDS)]
        self.keys = 0
        self.items = 0

    def add(self, key: bytes, client_id: int) -> None:
        """The client may hold ``key``."""
        shard = self._shards[hash(key) & (_SHARDS - 1)]
        ids = shard.get(key)
        if ids is None:
            shard[key] = client_id
            self.keys += 1
            self.items += 1
        elif isinstance(ids, set):
            self.items += client_id not in ids
            ids.add(client_id)
        elif ids != client_id:
            shard[key] = {ids, client_id}
            self.items += 1

    def take(self, key: bytes) -> tuple[int, ...]:
        """Forget ``key``; returns who may hold it."""
        ids = self._shards[hash(key) & (_SHARDS - 1)].pop(key, None)
        if ids is None:
            return ()
        holders = tuple(ids) if isinstance(ids, set) else (ids,)
        self.keys -= 1
        self.items -= len(holders)
        return holders

    def any_key(self) -> bytes:
        """Some key, chosen nearly at random; there must be one."""
        number = random.randrange(_SHARDS)
        while not self._shards[number]:
            number = (number + 1) % _SHARDS
        return next(iter(self._shards[number]))

    def clear(self) -> list[dict[bytes, int | set[int]]]:
        """Forget all; returns what must be freed."""
        old, self._shards = self._shards, [{} for _ in range(_SHARDS)]
        self.keys = self.items = 0
        return old


class Tracking:
    """Client-side caching of one server."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.clients: dict[int, Client] = {}  #: those with tracking on, by number
        self.table = KeyTable()
        self.prefixes: dict[bytes, dict[Client, None]] = {}  #: who wants to hear of which prefix
        #: By prefix the keys that changed in this turn, and the tracking client that changed each of them last.
        self._changed: dict[bytes, dict[bytes, Client | None]] = {}
        self._due = False
        self._most_keys = 1 << 62
        #: The tracking client whose command runs now, or any client in EXEC.
        self.current: Client | None = None
        #: By number of such a client what it will be told of behind the reply: a key, or None for all keys.
        self._own: dict[int, list[bytes | None]] = {}

    @property
    def active(self) -> bool:
        """Whether changes of keys must be told here."""
        return bool(self.clients) or self.table.keys > 0

    # -- who tracks

    def enable(self, client: Client, state: Tracked, prefixes: list[bytes]) -> None:
        """CLIENT TRACKING ON: replaces the options of the client; its prefixes come to those it has."""
        if client.tracking is not None:
            state.prefixes = client.tracking.prefixes
            state.caching = client.tracking.caching
        client.tracking = state
        self.clients[client.id] = client
        if state.bcast:
            for prefix in prefixes or [b""]:
                state.prefixes[prefix] = None
                self.prefixes.setdefault(prefix, {})[client] = None
                self._changed.setdefault(prefix, {})
        client.update_gate()
        self._server.update_observed(client.db)

    def disable(self, client: Client) -> None:
        """CLIENT TRACKING OFF.  What the client has read stays in the table, as in Redis."""
        state = client.tracking
        if state is None:
            return
        client.tracking = None
        for prefix in state.prefixes:
            listeners = self.prefixes[prefix]
            del listeners[client]
            if not listeners:
                del self.prefixes[prefix], self._changed[prefix]
        del self.clients[client.id]
        client.update_gate()
        self._server.update_observed(client.db)

    def lost(self, client: Client) -> None:
        """The connection is gone.  Behind the last one that tracks nothing is left to remember."""
        self.disable(client)
        self._own.pop(client.id, None)
        if not self.clients:
            self._forget_table()
            self._server.update_observed(client.db)

    def _forget_table(self) -> None:
        if self.table.keys:
            self._server.trash.throw(self.table.clear())

    # -- commands of clients that track

    def read(self, client: Client, cmd: Command, argv: Argv) -> None:
        """``client`` has executed a read-only command: it may keep what it got."""
        if cmd.name not in _SCRIPTS:
            self._remember(client, cmd, argv)

    def read_by_script(self, client: Client) -> None:
        """A script of ``client`` reads: as in Redis 7.0 that is a read of all keys that the script declared."""
        cmd = lookup(client.argv)
        if cmd is not None:
            self._remember(client, cmd, client.argv)

    def _remember(self, client: Client, cmd: Command, argv: Argv) -> None:
        state = client.tracking
        if state is None or state.bcast:
            return
        if (state.optin and not state.caching) or (state.optout and state.caching):
            return
        table = self.table
        if cmd.keys == _FIRST_WORD and cmd.find_keys is None:
            table.add(argv[1], client.id)
        else:
            try:
                positions = cmd.key_positions(argv)
            except ReplyError as error:
                error.release()
                return
            for position in positions:
                table.add(argv[position], client.id)
        if table.keys > self._most_keys:
            self._drop()

    def set_limit(self, most: int) -> None:
        """tracking-table-max-keys; 0 is no limit.  Keys above it are told as if they had changed."""
        self._most_keys = most or 1 << 62
        self._drop()

    def _drop(self) -> None:
        table = self.table
        while table.keys > self._most_keys:
            key = table.any_key()
            self._tell_holders(key, table.take(key), evicted=True)

    def ended(self, client: Client, cmd: Command, argv: Argv) -> list[Wire]:
        """A command of a tracking client has run; returns the messages that go out behind its reply."""
        if "readonly" in cmd.flags:
            self.read(client, cmd, argv)
        self.forget_caching(client, cmd)
        self.current = None
        messages = []
        for key in self._own.pop(client.id, ()):  # also when the transaction has switched tracking off
            target, data = self._message(client, None if key is None else pack((key,)))
            if target is client:
                messages.append(Wire(data))
            elif target is not None:
                target.send(data)
        return messages

    @staticmethod
    def forget_caching(client: Client, cmd: Command | None) -> None:
        """CLIENT CACHING was about the command that ended now, unless that one was of the CLIENT family or queued."""
        state = client.tracking
        if state is not None and state.caching and client.multi is None:
            container = cmd.container if cmd is not None else None
            if container is None or container.name != b"client":
                state.caching = False

    # -- changes

    def touched(self, key: bytes) -> None:
        """``key`` has changed, in whichever database, or is gone."""
        if self.prefixes:
            self._collect(key)
        if self.table.keys:
            holders = self.table.take(key)
            if holders:
                self._tell_holders(key, holders)

    def flushed(self) -> None:
        """All keys of a database, or of all, are gone: every tracking client drops everything."""
        for client in list(self.clients.values()):
            if client is self.current:
                self._own.setdefault(client.id, []).append(None)
            else:
                self._tell(client, None)
        self._forget_table()

    def _tell_holders(self, key: bytes, holders: tuple[int, ...], evicted: bool = False) -> None:
        body = b""
        for client_id in holders:
            client = self.clients.get(client_id)
            if client is None or client.tracking is None or client.tracking.bcast:
                continue
            if client is self.current:
                if evicted or not client.tracking.noloop:
                    self._own.setdefault(client.id, []).append(key)
                continue
            body = body or pack((key,))
            self._tell(client, body)

    def _collect(self, key: bytes) -> None:
        for prefix, keys in self._changed.items():
            if key.startswith(prefix):
                keys[key] = self.current
                if not self._due:
                    self._announce()

    def _announce(self) -> None:
        self._due = True
        readiness = self._server.readiness
        if readiness.serving:
            readiness.writers.append(self)  # ``flush`` is called at the end of the turn
        else:
            self._server.call_later(0, self.flush)

    def flush(self) -> None:
        """Tell the BCAST clients what changed in this turn, behind everything that they are to get of it."""
        self._due = False
        for prefix in sorted(self._changed):
            keys = self._changed.get(prefix)  # a client whose output is too large may go, with its prefix, on the way
            if not keys:
                continue
            self._changed[prefix] = {}
            names = tuple(sorted(keys))
            body = pack(names)
            for client in list(self.prefixes.get(prefix, ())):
                part = body
                if client.tracking is not None and client.tracking.noloop:
                    others = tuple([name for name in names if keys[name] is not client])
                    if not others:
                        continue
                    part = pack(others)
                self._tell(client, part)

    # -- messages

    def _tell(self, client: Client, body: bytes | None) -> None:
        target, data = self._message(client, body)
        if target is not None:
            if not self._server.readiness.serving:
                target.connection.flush()  # the replies of this turn go first
            target.send(data)

    def _message(self, client: Client, body: bytes | None) -> tuple[Client | None, bytes]:
        """Who is told for ``client``, and the message: ``body`` is an encoded array of keys, None stands for all keys.

        RESP2 knows no messages between replies: such a client hears nothing, unless it is in the subscribed mode and
        another client is redirected to it.
        """
        state = client.tracking
        target: Client | None = client
        redirected = state is not None and state.redirect != 0
        if state is not None and redirected:
            target = self._server.clients.get(state.redirect)
            if target is None:
                state.broken = True
                return (client if client.resp == 3 else None), _BROKEN % state.redirect
        assert target is not None
        if target.resp == 3:
            return target, _PUSH + (b"_\r\n" if body is None else body)
        if redirected and target.subscriptions:
            return target, _MESSAGE + (b"$-1\r\n" if body is None else body)
        return None, b""
