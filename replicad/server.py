"""The server: it owns databases, clients, history and timers, and it is the one place where everything is wired.

Owns: start, stop, the clock, listening ports, the gates that depend on the server's state.  Does not own what a command
does, how replication works (``replication.roles``), how a snapshot is taken (``persistence.saver``), what INFO shows
(``info``).  Built by ``tap.makeService`` and by tests; commands reach it through ``client.server``.
"""

from __future__ import annotations

import os
import resource
import secrets
import time
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.application.service import Service

import replicad.commands  # noqa: F401  (registers every command)
from replicad import tls
from replicad.accounts import Accounts
from replicad.blocking import Blocking
from replicad.client_memory import ClientMemory
from replicad.command import (
    ANY,
    DENY_OOM,
    NOT_ASYNC_LOADING,
    NOT_LOADING,
    NOT_STALE,
    WRITE,
    Argv,
    Command,
    every_command,
    rename,
    track_latency,
)
from replicad.directive_kinds import ConfigError
from replicad.dispatch import call
from replicad.errors import PROTECTED_MODE, err
from replicad.eviction import Eviction
from replicad.keyspace import Clock, Database, Stats
from replicad.lifecycle import RESERVED_DESCRIPTORS, Lifecycle
from replicad.listening import Listeners, set_keepalive
from replicad.log import Log
from replicad.migration import Migrations
from replicad.notifications import Notifications, mask_of
from replicad.observe import LatencyEvents, Monitors, OpsMeter, SlowLog
from replicad.persistence.saver import Saver, make_backend
from replicad.propagation import Propagation
from replicad.pubsub import PubSub
from replicad.readiness import Readiness
from replicad.replication.history import History
from replicad.replication.roles import Replication
from replicad.scripting.libraries import Libraries
from replicad.scripting.scripts import Scripting
from replicad.session import NOWHERE, Client
from replicad.timekeeping import Timekeeper
from replicad.tracking import Tracking
from replicad.trash import Trash

if TYPE_CHECKING:
    from replicad.config import Settings


class Server(Service):
    """One replicad process.  ``settings`` is the parsed configuration; ``reactor`` is Twisted's by default."""

    def __init__(self, settings: Settings, reactor: Any = None) -> None:
        if reactor is None:
            from twisted.internet import reactor
        self.reactor = reactor
        self.settings = settings
        self.run_id = secrets.token_hex(20)
        self.log = Log(settings["loglevel"], settings["logfile"], self._log_role)
        self.started_at = time.time()

        self.clock = Clock()
        self.clock.now_ms = int(time.time() * 1000)
        self.timekeeper = Timekeeper(self)
        self.stats = Stats()
        self.trash = Trash()
        self.databases = [self.new_database(index) for index in range(settings["databases"])]
        self.dirty = 0  #: changes since the start; ``saver`` remembers the value of the last save

        self.clients: dict[int, Client] = {}
        self._client_ids = 0
        self.blocking = Blocking(self)
        self.pubsub = PubSub()
        self.tracking = Tracking(self)
        self.client_memory = ClientMemory(self)
        self.notifying = 0  #: what keyspace notifications tell, see ``notifications``
        self.notifications = Notifications(self.pubsub)
        self.notify = self.notifications.notify
        self.watched: dict[tuple[int, bytes], dict[Client, None]] = {}
        self.monitors = Monitors(self)
        self.slowlog = SlowLog(self)
        self.latency = LatencyEvents()
        self.held: list[Client] = []
        self.pause_until_ms = 0
        self.pause_all = False

        self.history = History(backlog_size=settings["repl-backlog-size"])
        self.propagation = Propagation(self.history, self._deliver)
        self.replication = Replication(self)
        self.backend = make_backend(settings)
        self.saver = Saver(self)
        self.acl = Accounts(self)
        self.scripting = Scripting(self)
        self.libraries = Libraries(self, self.scripting)

        self.deny = 0  #: gate bits refused or looked at more closely, see ``command``
        self.loading = False
        self.async_loading = False
        self.load_progress: dict[str, int] = {}
        self.read_only = False
        self.write_error = False
        self.active_expire = True  #: DEBUG SET-ACTIVE-EXPIRE
        self.skip_checksums = False  #: DEBUG SET-SKIP-CHECKSUM-VALIDATION
        self.slow_ns = self._slowlog_ns = 0
        self.query_buffer_limit = 0
        self.net_input = self.net_output = 0
        self.connections_received = self.connections_refused = 0
        self.peak_clients = 0
        self.errors: dict[bytes, int] = {}
        self.peak_memory = 0
        self.ops = OpsMeter()
        self.listeners = Listeners(self)
        self.readiness = Readiness(self.reactor, self.clock)
        self.eviction = Eviction(self)
        self.lifecycle = Lifecycle(self)
        self.migrations = Migrations(self)
        self.call = call  #: runs one command for EXEC: the commands lie below dispatch and reach it here
        self._apply_settings()

    # -- wiring helpers

    def _log_role(self) -> str:
        return "S" if self.replication.upstream is not None else "M"

    def new_database(self, index: int) -> Database:
        """An empty database with this server's hooks (also for a dataset that is loaded aside)."""
        db = Database(index, self.clock, self.stats, self.trash)
        db.expire = self.timekeeper.expire_found
        db.fields_expired = self.timekeeper.fields_found
        db.frozen = self.timekeeper.stands_still
        db.on_touched = self._touched
        db.on_flush = self._flushing
        return db

    def call_later(self, seconds: float, fn: Callable[..., Any], *args: Any) -> Any:
        """``reactor.callLater``; returns the delayed call."""
        return self.reactor.callLater(seconds, fn, *args)

    def _deliver(self, data: bytes) -> None:
        self.history.append(data)
        self.replication.wake(data)

    def stream_offset(self) -> int:
        """The history offset with everything that has been executed."""
        self.propagation.flush()
        return self.history.offset

    @property
    def functions(self) -> tuple[bytes, ...]:
        """The code of all function libraries, which snapshots keep; setting it loads these in place of the present ones."""
        return self.libraries.codes

    @functions.setter
    def functions(self, codes: tuple[bytes, ...]) -> None:
        self.libraries.replace_all(codes)

    # -- start and stop

    def startService(self) -> None:
        """Twisted starts the service."""
        super().startService()  # type: ignore[no-untyped-call]
        self.lifecycle.start()

    def shutdown(self, save: bool | None, now: bool = False, force: bool = False, client: Client | None = None) -> None:
        """SHUTDOWN, see ``Lifecycle.shutdown``."""
        self.lifecycle.shutdown(save, now, force, client)

    # -- clients

    def next_client_id(self) -> int:
        """Client ids rise and are never used twice."""
        self._client_ids += 1
        return self._client_ids

    def client_connected(self, client: Client, transport: Any) -> bytes | None:
        """Register a connection; returns the error text when it is refused."""
        self.connections_received += 1
        if len(self.clients) >= self.settings["maxclients"]:
            self.connections_refused += 1
            return b"ERR max number of clients reached"
        settings = self.settings
        host = getattr(transport.getPeer(), "host", None)
        if settings["protected-mode"] and self.acl.default.no_password and host is not None and not _is_loopback(host):
            self.connections_refused += 1
            return PROTECTED_MODE
        if host is not None:
            transport.setTcpNoDelay(True)
            if settings["tcp-keepalive"]:
                set_keepalive(transport, settings["tcp-keepalive"])
        self.acl.welcome(client)
        self.clients[client.id] = client
        self.peak_clients = max(self.peak_clients, len(self.clients))
        return None

    def client_lost(self, client: Client) -> None:
        """Forget a client whose connection is gone."""
        self.clients.pop(client.id, None)
        self.blocking.discard(client)
        if client.tracking is not None:
            self.tracking.lost(client)
        client.queue.clear()
        self.unwatch(client)
        if client in self.held:
            self.held.remove(client)
        for registry, names in (
            (self.pubsub.channels, client.channels),
            (self.pubsub.patterns, client.patterns),
            (self.pubsub.shards, client.shard_channels),
        ):
            for name in names or ():
                self.pubsub.discard(registry, name, client)
        self.monitors.discard(client)
        if client.replica is not None:
            client.replica.lost()
        client.connection = NOWHERE  # the two know each other: a cycle, which the collector would not look for

    def describe(self, client: Client, running: bool = False) -> str:
        """One line about a client, as CLIENT INFO shows it."""
        from replicad.info import client_line

        return client_line(self, client, running)

    def output_limit(self, client: Client) -> tuple[int, int, int]:
        """(hard, soft, soft seconds) of client-output-buffer-limit for this kind of client."""
        kind = "pubsub" if client.subscriptions else "normal"
        limits: dict[str, tuple[int, int, int]] = self.settings["client-output-buffer-limit"]
        return limits[kind]

    def cut_off(self, client: Client) -> None:
        """Close a client that overcame its output limit."""
        self.log.warning(
            f"Client {self.describe(client)} scheduled to be closed ASAP for overcoming of output buffer limits."
        )
        client.connection.abort()

    # -- keyspace hooks

    def _touched(self, db: Database, key: bytes) -> None:
        if self.watched or self.blocking.by_key:
            self._signal((db.index, key))
        if self.tracking.active:
            self.tracking.touched(key)

    def _signal(self, place: tuple[int, bytes]) -> None:
        """Tell those who watch the key at ``place`` or wait for it."""
        watchers = self.watched.get(place)
        if watchers:
            for client in watchers:
                client.watch_broken = True
        if self.blocking.by_key:
            self.blocking.signal(place)

    def _flushing(self, db: Database) -> None:
        """Every key of ``db`` is about to go: those among them that somebody watches or waits for change."""
        for place in [*self.watched, *self.blocking.by_key]:
            if place[0] == db.index and db.peek(place[1]) is not None:
                self._signal(place)

    def update_observed(self, db: Database) -> None:
        """Whether changes in ``db`` are told to anybody; called when a watch, a blocked or tracking client comes or goes."""
        observed = bool(self.watched or self.blocking.by_key or self.notifying or self.tracking.active)
        for each in self.databases:
            each.observed = observed

    def watch(self, client: Client, key: bytes) -> None:
        """WATCH one key of the client's database."""
        place = (client.db.index, key)
        if client.watched is None:
            client.watched = set()
        if place not in client.watched:
            client.watched.add(place)
            self.watched.setdefault(place, {})[client] = None
            self.update_observed(client.db)

    def unwatch(self, client: Client) -> None:
        """Forget what the client watches."""
        client.watch_broken = False
        if client.watched:
            for place in client.watched:
                watchers = self.watched.get(place)
                if watchers is not None:
                    watchers.pop(client, None)
                    if not watchers:
                        del self.watched[place]
            client.watched = None
            self.update_observed(client.db)

    # -- gates

    def update_gates(self) -> None:
        """Recompute ``deny`` after a change of role, link, loading, settings, saves or monitors."""
        replication, settings = self.replication, self.settings
        following = replication.upstream is not None
        self.read_only = following and settings["replica-read-only"]
        self.write_error = (
            self.saver.failed
            and settings["stop-writes-on-bgsave-error"]
            and bool(settings["save"])
            and not following
        )
        deny = 0
        if self.loading:
            deny |= NOT_ASYNC_LOADING if self.async_loading else NOT_LOADING
        if self.read_only or self.too_few_replicas():
            deny |= WRITE
        if following and not replication.link_up and not settings["replica-serve-stale-data"]:
            deny |= NOT_STALE
        late = self.scripting.watch.late is not None
        if self.write_error or len(self.monitors) or self.pause_until_ms or replication.failover.running or late:
            deny |= ANY
        if self.eviction.full:
            deny |= DENY_OOM
        self.deny = deny
        for db in self.databases:
            db.expire = None if following else self.timekeeper.expire_found
        self.propagation.active = self.history.active and not following

    def too_few_replicas(self) -> bool:
        """min-replicas-to-write and min-replicas-max-lag."""
        return self.replication.too_few()

    def paused(self, write: bool) -> bool:
        """Whether CLIENT PAUSE holds this kind of command back now."""
        if write and self.replication.failover.running:
            return True
        return bool(self.pause_until_ms) and (write or self.pause_all) and self.pause_until_ms > self.clock.now_ms

    def hold(self, client: Client) -> None:
        """Remember a client whose command waits for the end of CLIENT PAUSE."""
        self.held.append(client)

    def pause(self, until_ms: int, everything: bool) -> None:
        """CLIENT PAUSE; a longer or stricter pause that is under way is kept."""
        self.pause_until_ms = max(self.pause_until_ms, until_ms)
        self.pause_all = self.pause_all or everything
        self.update_gates()

    def unpause(self) -> None:
        """CLIENT UNPAUSE, or time is up: everybody goes on."""
        self.pause_until_ms = 0
        self.pause_all = False
        self.release_held()

    def release_held(self) -> None:
        """A pause or a failover is over: whoever was held goes on, or meets what still holds it."""
        self.update_gates()
        held, self.held = self.held, []
        for client in held:
            client.paused = False
            client.connection.resume()

    # -- bookkeeping

    @property
    def commands_processed(self) -> int:
        """Commands executed since the start or CONFIG RESETSTAT."""
        return sum(cmd.calls for cmd in every_command())

    def count_error(self, text: bytes) -> None:
        """INFO errorstats: count by the first word; a text of one word has no code and counts as ERR."""
        code, space, _ = text.partition(b" ")
        code = code[:64] if space else b"ERR"
        if code in self.errors or len(self.errors) < 128:
            self.errors[code] = self.errors.get(code, 0) + 1

    def defect(self, client: Client, argv: Argv, error: Exception) -> Exception:
        """A handler failed in a way that is our fault: log it whole, answer something, live on."""
        self.log.warning(
            f"Defect while executing {argv[0][:64].decode('latin-1')!r} for {client.addr or 'the master'}: "
            + "".join(traceback.format_exception(error)).replace("\n", " | ")
        )
        return err("internal error, see the server's log")

    def slow_command(self, client: Client, cmd: Command, argv: Argv, elapsed_ns: int) -> None:
        """A command took longer than slowlog-log-slower-than, or than the threshold of the latency monitor."""
        if elapsed_ns > self._slowlog_ns:
            self.slowlog.add(client, cmd, argv, elapsed_ns // 1000)
        self.watch_latency(b"fast-command" if "fast" in cmd.flags else b"command", elapsed_ns)

    def watch_latency(self, event: bytes, elapsed_ns: int) -> None:
        """Record an event that stopped the server, when latency-monitor-threshold says so."""
        threshold_ms = self.settings["latency-monitor-threshold"]
        if threshold_ms and elapsed_ns >= threshold_ms * 1_000_000:
            self.latency.add(event, elapsed_ns // 1_000_000)

    def feed_monitors(self, client: Client, argv: Argv) -> None:
        """Show a command to MONITOR clients."""
        self.monitors.feed(client, argv)

    def memory(self) -> int:
        """The memory in use, in bytes, as INFO's used_memory shows it."""
        return self.eviction.used_memory()

    def out_of_memory(self) -> bool:
        """Whether a command that may need memory must be refused now, after what could be evicted is; for scripts."""
        return self.eviction.out_of_memory()

    def flush_all(self) -> int:
        """Remove every key of every database; returns how many there were."""
        count = sum(db.flush() for db in self.databases)
        self.tracking.flushed()
        return count

    # -- settings that are read on the hot path or change something when set

    def _apply_settings(self) -> None:
        settings = self.settings
        self._hot_settings()
        for name in ("slowlog-log-slower-than", "latency-monitor-threshold", "client-query-buffer-limit"):
            settings.on_change(name, lambda value: self._hot_settings())
        for name in ("replica-read-only", "replica-serve-stale-data", "stop-writes-on-bgsave-error", "save",
                     "min-replicas-to-write", "min-replicas-max-lag"):  # fmt: skip
            settings.on_change(name, lambda value: self.update_gates())

        settings.on_change("latency-tracking", track_latency)
        track_latency(settings["latency-tracking"])

        def longest_bulk(value: int) -> None:
            for client in self.clients.values():
                reader = getattr(client.connection, "reader", None)
                if reader is not None:
                    reader.max_bulk = value

        def backlog(value: int) -> None:
            self.history.backlog_size = value

        def loglevel(value: str) -> None:
            self.log.level = Log(value).level

        def directory(value: str) -> None:
            try:
                os.chdir(value)
            except OSError as error:
                raise ConfigError(error.strerror or "cannot be entered") from None
            storage(value)

        def storage(value: Any) -> None:
            self.backend = make_backend(settings)

        def maxclients(value: int) -> None:
            soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
            if soft != resource.RLIM_INFINITY and value + RESERVED_DESCRIPTORS > soft:
                self.lifecycle.limit_clients()
                if settings["maxclients"] != value:
                    raise ConfigError(
                        "The operating system is not able to handle the specified number of clients, try with "
                        f"{settings['maxclients']}"
                    )

        def logfile(value: str) -> None:
            self.log.path = value

        def events(value: frozenset[str]) -> None:
            self.notifying = self.notifications.mask = mask_of(value)
            for db in self.databases:
                db.notify = self.notify if self.notifying else None
            self.update_observed(self.databases[0])

        self.tracking.set_limit(settings["tracking-table-max-keys"])
        settings.on_change("tracking-table-max-keys", self.tracking.set_limit)
        settings.on_change("proto-max-bulk-len", longest_bulk)
        settings.on_change("repl-backlog-size", backlog)
        settings.on_change("repl-backlog-spill", self.replication.set_spill)
        self.replication.set_spill(settings["repl-backlog-spill"])
        settings.on_change("loglevel", loglevel)
        settings.on_change("dir", directory)
        settings.on_change("logfile", logfile)
        settings.on_change("notify-keyspace-events", events)
        events(settings["notify-keyspace-events"])
        settings.on_change("maxclients", maxclients)
        for name in ("dbfilename", "rdbcompression", "rdbchecksum", "lmdb-path", "snapshot-backend"):
            settings.on_change(name, storage)
        for name in ("maxmemory", "maxmemory-policy", "lfu-log-factor", "lfu-decay-time"):
            settings.on_change(name, lambda value: self.eviction.configure())
        self.eviction.configure()
        for name in tls.DIRECTIVES:
            settings.on_change(name, lambda value: self.listeners.renew_contexts())
        settings.on_change("tls-port", lambda value: self.listeners.renew_contexts())
        for name in ("port", "tls-port", "bind"):
            settings.on_change(name, lambda value: self.listeners.reopen())
        for old, new in settings["rename-command"] or ():
            try:
                rename(old.encode(), new.encode())
            except KeyError:
                raise SystemExit(f"replicad: rename-command {old}: no such command") from None
            except ValueError:
                raise SystemExit(f"replicad: rename-command {old} {new}: there is a command of that name") from None

    def _hot_settings(self) -> None:
        slower = self.settings["slowlog-log-slower-than"]
        self._slowlog_ns = slower * 1000 if slower >= 0 else 1 << 62
        threshold_ms = self.settings["latency-monitor-threshold"]
        self.slow_ns = min(self._slowlog_ns, threshold_ms * 1_000_000 - 1 if threshold_ms else 1 << 62)
        self.query_buffer_limit = self.settings["client-query-buffer-limit"]


def _is_loopback(host: str) -> bool:
    return host.startswith("127.") or host in ("::1", "::ffff:127.0.0.1")
