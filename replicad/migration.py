"""The conversations behind MIGRATE: keys go to another server and leave this one when it has them.

Owns: the connections to the targets (kept for ten seconds after their last use), what is asked of them, and the decision
when a key may be deleted here.  Does not own the command and its arguments (``commands.migrate``), nor how a value is
written (``persistence.rdb``).  Called through ``server.migrations``.

Redis stops for the length of a MIGRATE, so that nothing can change meanwhile.  Here everybody but the client that asked is
served on, and a key may be written between its RESTORE and the answer.  What must not happen is that such a write is lost,
so a key is deleted only if value and deadline still are what the target was given: when the answer is there the value is
written once more and its hash compared with the one of what was sent.  A key that differs is sent again, now with REPLACE,
for it is ours there; one that was deleted meanwhile is deleted on the target too.  After ``_ROUNDS`` rounds it stays
here and the client is told so.  In short: when the reply is OK every key is on one of the two servers with its last value.

Rejected: holding back all writes to the keys (each command that names one would need a look at it, in the hot loop), and
marking keys as touched (it costs every write of the database as long as a migration runs; the comparison costs the
migration).

AUTH and SELECT are answered before the first key goes out: Redis sends all of them at once, and where SELECT is refused its
keys land in another database.
"""

from __future__ import annotations

import hashlib
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.endpoints import HostnameEndpoint, TCP4ClientEndpoint, TCP6ClientEndpoint
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

from replicad.commands.migrate import NOKEY, Order
from replicad.errors import UNBLOCKED, ReplyError, clean
from replicad.persistence.rdb import dump_payload
from replicad.resp import BLOCKED, OK, encode_command
from replicad.session import Client

if TYPE_CHECKING:
    from replicad.blocking import Waiting
    from replicad.keyspace import Database
    from replicad.server import Server

#: An unused connection is kept so long.
IDLE_SECONDS = 10.0
#: A key that changes all the time is sent so often at most.
_ROUNDS = 16
_SLICE_SECONDS = 0.003
_LONGEST_REPLY = 65536

_CONNECTING = ReplyError(b"IOERR error or timeout connecting to the client")
_WRITING = ReplyError(b"IOERR error or timeout writing to target instance")
_READING = ReplyError(b"IOERR error or timeout reading to target instance")
_CHANGING = ReplyError(b"TRYAGAIN Some keys changed all the time while they were migrated; these are here still")

Answer = Callable[[bytes], object]


class _Target(Protocol):
    """One connection to a target.  Replies are single lines, given to the callbacks in the order of the requests."""

    transport: Any

    def __init__(self) -> None:
        self.selected = 0  #: the database that it stands in
        self.used = False  #: it has served a migration before
        self.lost = False
        self.on_lost: Callable[[], None] | None = None
        self.on_batch: Callable[[], None] | None = None
        self.expiry: Any = None
        self._answers: deque[Answer] = deque()
        self._rest = b""

    def ask(self, argv: Sequence[bytes], answer: Answer) -> None:
        """Send a command; ``answer`` gets the line of the reply."""
        self._answers.append(answer)
        self.transport.write(encode_command(argv))

    @property
    def waiting(self) -> int:
        """How many answers are not there yet."""
        return len(self._answers)

    def dataReceived(self, data: bytes) -> None:
        lines = (self._rest + data).split(b"\r\n")
        self._rest = lines.pop()
        for line in lines:
            if not self._answers or line[:1] not in (b"+", b"-", b":"):
                self.transport.abortConnection()  # that is no Redis
                return
            self._answers.popleft()(line)
        if len(self._rest) > _LONGEST_REPLY:
            self.transport.abortConnection()
        if self.on_batch is not None:
            self.on_batch()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost = True
        self._answers.clear()
        if self.on_lost is not None:
            self.on_lost()


class _TargetFactory(Factory):
    noisy = False
    protocol = _Target


class Migrations:
    """All migrations of a server and the connections they left."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.idle: dict[tuple[str, int], list[_Target]] = {}
        self.running: set[Migration] = set()

    @property
    def cached(self) -> int:
        """How many connections wait for another migration (INFO's migrate_cached_sockets)."""
        return sum(map(len, self.idle.values()))

    def begin(self, client: Client, order: Order) -> Any:
        """Let ``client`` wait for the migration of ``order``; what the command returns."""
        reply = client.block([], 0, None, UNBLOCKED)
        if reply is BLOCKED:
            migration = Migration(self, client, order)
            self.running.add(migration)
            migration.start()
        return reply

    def take(self, host: str, port: int) -> _Target | None:
        """A connection that an earlier migration left."""
        targets = self.idle.get((host, port))
        if not targets:
            return None
        target = targets.pop()
        target.expiry.cancel()
        target.expiry = target.on_lost = None
        if not targets:
            del self.idle[host, port]
        return target

    def give(self, host: str, port: int, target: _Target) -> None:
        """Keep a connection for the next migration."""
        if target.lost:
            return
        target.used = True
        target.on_batch = None
        target.on_lost = lambda: self._forget(host, port, target)
        target.expiry = self.server.call_later(IDLE_SECONDS, target.transport.loseConnection)
        self.idle.setdefault((host, port), []).append(target)

    def _forget(self, host: str, port: int, target: _Target) -> None:
        targets = self.idle.get((host, port), [])
        if target in targets:
            targets.remove(target)
            if not targets:
                del self.idle[host, port]
        if target.expiry is not None and target.expiry.active():
            target.expiry.cancel()
        target.on_lost = target.expiry = None

    def stop(self) -> None:
        """The server ends: no key is deleted any more."""
        for migration in list(self.running):
            migration.finish(_READING)
        for targets in list(self.idle.values()):
            for target in list(targets):
                target.transport.abortConnection()


class Migration:
    """One MIGRATE under way."""

    def __init__(self, home: Migrations, client: Client, order: Order) -> None:
        self._home = home
        self._server = home.server
        self._client = client
        self._waiting: Waiting | None = client.blocked
        self._argv = client.argv
        self._db: Database = client.db
        self._order = order
        self._target: _Target | None = None
        self._connecting: Any = None
        self._timer: Any = None
        self._pending = deque(order.keys)  #: to be sent
        self._again: deque[bytes] = deque()  #: to be sent in the next round
        self._gone: list[bytes] = []  #: to be deleted on the target in the next round
        self._ours: set[bytes] = set()  #: the target has a state of them that we gave it
        self._sent = self._answered = self._introducing = False
        self._rounds = 0
        self._refused: bytes | None = None  #: the first error of the target

    # -- the connection

    def start(self) -> None:
        """Use a connection that is there, or make one."""
        self._rounds += 1
        target = self._home.take(self._order.host, self._order.port)
        self._set_timer()
        if target is not None:
            self._connected(target)
        else:
            self._connect()

    def _connect(self) -> None:
        host, port = self._order.host, self._order.port
        seconds = self._order.timeout_ms / 1000
        kind: Any = HostnameEndpoint
        if isIPAddress(host):  # needs no resolver, and so no thread
            kind = TCP4ClientEndpoint
        elif isIPv6Address(host):
            kind = TCP6ClientEndpoint
        elif not host.isascii() or not port:
            self._server.call_later(0, self.finish, _CONNECTING)
            return
        try:
            self._connecting = kind(self._server.reactor, host, port, seconds).connect(_TargetFactory())
        except Exception as error:  # a name that cannot be one
            self._server.log.debug(f"MIGRATE: {error}")
            self._server.call_later(0, self.finish, _CONNECTING)
            return
        self._connecting.addCallbacks(self._connected, self._not_connected)

    def _not_connected(self, failure: Failure) -> None:
        self._connecting = None
        resolved = isIPAddress(self._order.host) or isIPv6Address(self._order.host)
        self.finish(_WRITING if resolved else _CONNECTING)  # Redis learns of a refusal when it writes

    def _connected(self, target: _Target) -> None:
        self._connecting = None
        self._target = target
        target.on_lost, target.on_batch = self._lost, self._batch_done
        if not target.used:
            target.transport.setTcpNoDelay(True)
        self._introduce()

    def _set_timer(self) -> None:
        """The time-out is the longest wait for a sign of the target."""
        if self._timer is None:
            self._timer = self._server.call_later(self._order.timeout_ms / 1000, self._timed_out)
        else:
            self._timer.reset(self._order.timeout_ms / 1000)

    def _timed_out(self) -> None:
        self._timer = None
        self.finish(_READING if self._sent else _WRITING)

    def _lost(self) -> None:
        """The connection broke.  One that was kept may have been closed by the target long ago: once more with a new one."""
        target, self._target = self._target, None
        if target is not None and target.used and not self._answered:
            self._sent = False
            self._pending = deque(self._order.keys)
            self._set_timer()
            self._connect()
        else:
            self.finish(_READING if self._sent else _WRITING)

    # -- the conversation

    def _introduce(self) -> None:
        """AUTH and SELECT; the keys when both are answered."""
        target, order = self._target, self._order
        assert target is not None
        if order.auth:
            target.ask([b"AUTH", *order.auth], self._note)
        if order.db != target.selected:
            target.ask([b"SELECT", b"%d" % order.db], self._selected)
        self._sent = self._introducing = target.waiting > 0
        if not self._introducing:
            self._send()

    def _selected(self, line: bytes) -> None:
        if self._note(line) and self._target is not None:
            self._target.selected = self._order.db

    def _note(self, line: bytes) -> bool:
        """Remember the first error of the target; True when ``line`` is none."""
        self._answered = True
        if line[:1] != b"-":
            return True
        if self._refused is None:
            self._refused = line[1:]
        return False

    def _send(self) -> None:
        """Send keys for a few milliseconds, then let others run."""
        target = self._target
        if target is None or self._introducing:  # the connection broke, perhaps there is a new one
            return
        until = time.perf_counter() + _SLICE_SECONDS
        self._sent = True
        for key in self._gone:
            target.ask([b"DEL", key], self._note)
        self._gone = []
        while self._pending:
            self._send_key(target, self._pending.popleft())
            if time.perf_counter() > until and self._pending:
                self._server.call_later(0, self._send)
                return
        if not target.waiting:
            self._round_done()

    def _send_key(self, target: _Target, key: bytes) -> None:
        db, order = self._db, self._order
        value = db.peek(key)
        if value is None:
            return
        payload, at_ms = dump_payload(value), db.deadline(key)
        ttl_ms = 0 if at_ms is None else max(1, at_ms - self._server.clock.now_ms)
        argv = [b"RESTORE", key, b"%d" % ttl_ms, payload]
        if order.replace or key in self._ours:
            argv.append(b"REPLACE")
        mark = _mark(payload, at_ms)
        target.ask(argv, lambda line: self._restored(key, mark, line))

    def _restored(self, key: bytes, mark: bytes, line: bytes) -> None:
        """The target answered to the RESTORE of ``key``; what it was given has this ``mark``."""
        if not self._note(line):
            return
        self._ours.add(key)
        if self._order.copy or self._server.replication.upstream is not None:
            return  # a replica deletes nothing: what it has belongs to its master
        value = self._db.peek(key)
        if value is None:
            self._gone.append(key)
        elif _mark(dump_payload(value), self._db.deadline(key)) == mark:
            self._delete(key)
        else:
            self._again.append(key)

    def _delete(self, key: bytes) -> None:
        """The target has all of ``key``.  Nothing runs between the comparison and this."""
        server, db = self._server, self._db
        db.delete(key)
        server.dirty += 1
        server.propagation.replace(b"DEL", key)
        server.propagation.done(db.index, self._argv, True)

    def _batch_done(self) -> None:
        """The target sent something."""
        server, target = self._server, self._target
        server.propagation.flush()
        if server.blocking.ready:
            server.blocking.serve()
        self._set_timer()
        if target is None or target.waiting:
            return
        if self._introducing:
            self._introducing = False
            if self._refused is None:
                self._send()
            else:
                self._conclude()
        elif not self._pending:
            self._round_done()

    def _round_done(self) -> None:
        """Everything that was sent is answered: send what changed once more, or end."""
        if self._gone or (self._again and self._refused is None and self._rounds < _ROUNDS):
            self._rounds += 1
            if self._refused is None and self._rounds <= _ROUNDS:
                self._pending, self._again = self._again, deque()
            self._send()
        else:
            self._conclude()

    def _conclude(self) -> None:
        if self._again:
            self.finish(_CHANGING)
        elif self._refused is not None:
            self.finish(ReplyError(clean(b"ERR Target instance replied with error: " + self._refused)))
        else:
            self.finish(OK if self._ours else NOKEY)

    # -- the end

    def finish(self, reply: Any) -> None:
        """Tell the client, if it still waits, and keep the connection if it is sound."""
        if self not in self._home.running:
            return
        self._home.running.discard(self)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        target, self._target = self._target, None
        if self._connecting is not None:
            self._connecting.cancel()
        if target is not None:
            target.on_lost = target.on_batch = None
            if target.waiting or self._refused is not None:
                target.transport.abortConnection()
            else:
                self._home.give(self._order.host, self._order.port, target)
        client = self._client
        if client.blocked is not None and client.blocked is self._waiting:
            client.write_offset = self._server.stream_offset()
            client.unblock(reply)


def _mark(payload: bytes, at_ms: int | None) -> bytes:
    """Stands for a value and its deadline."""
    return hashlib.blake2b(payload + b"%d" % (at_ms or 0), digest_size=16).digest()
