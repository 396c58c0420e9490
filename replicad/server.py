"""The server: it owns databases, clients, history and timers, and it is the one place where everything is wired.

Owns: start, stop, the clock, listening ports, the gates that depend on the server's state.  Does not own what a command
does, how replication works (``replication.roles``), how a snapshot is taken (``persistence.saver``), what INFO shows
(``info``).  Built by ``tap.makeService`` and by tests; commands reach it through ``client.server``.
"""

from __future__ import annotations

import atexit
import gc
import os
import resource
import secrets
import time
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.application.service import Service
from twisted.internet import task
from twisted.internet.defer import Deferred

import replicad.commands  # noqa: F401  (registers every command)
from replicad import REDIS_VERSION, __version__
from replicad.blocking import Blocking
from replicad.command import ANY, NOT_LOADING, NOT_STALE, TABLE, WRITE, Argv, Command, all_commands
from replicad.directive_kinds import ConfigError
from replicad.errors import PROTECTED_MODE, err
from replicad.keyspace import Clock, Database, Stats, Trash
from replicad.listening import CannotListen, Listeners, set_keepalive
from replicad.log import Log
from replicad.observe import Monitors, OpsMeter, SlowLog
from replicad.persistence.interfaces import DamagedSnapshot, NoSnapshot
from replicad.persistence.loader import Loader
from replicad.persistence.saver import Saver, make_backend
from replicad.propagation import Propagation
from replicad.pubsub import PubSub
from replicad.replication.history import History
from replicad.replication.roles import Replication
from replicad.session import Client

if TYPE_CHECKING:
    from replicad.config import Settings

#: Deleting expired keys, freeing memory and loading take at most this long in one turn of the reactor.
SLICE_SECONDS = 0.003

#: Descriptors that are not for clients: listening sockets, the log, snapshots, the link to a master.
RESERVED_DESCRIPTORS = 32


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
        self.stats = Stats()
        self.trash = Trash()
        self.databases = [self.new_database(index) for index in range(settings["databases"])]
        self.dirty = 0  #: changes since the start; ``saver`` remembers the value of the last save
        self.functions: tuple[bytes, ...] = ()  #: function libraries of the snapshot, kept for the next one

        self.clients: dict[int, Client] = {}
        self._client_ids = 0
        self.blocking = Blocking(self)
        self.pubsub = PubSub()
        self.watched: dict[tuple[int, bytes], dict[Client, None]] = {}
        self.monitors = Monitors(self)
        self.slowlog = SlowLog(self)
        self.held: list[Client] = []
        self.pause_until_ms = 0
        self.pause_all = False

        self.history = History(backlog_size=settings["repl-backlog-size"])
        self.propagation = Propagation(self.history, self._deliver)
        self.replication = Replication(self)
        self.backend = make_backend(settings)
        self.saver = Saver(self)

        self.deny = 0  #: gate bits refused or looked at more closely, see ``command``
        self.loading = False
        self.async_loading = False
        self.load_progress: dict[str, int] = {}
        self.read_only = False
        self.write_error = False
        self.active_expire = True  #: DEBUG SET-ACTIVE-EXPIRE
        self.slow_ns = 0
        self.query_buffer_limit = 0
        self.net_input = self.net_output = 0
        self.connections_received = self.connections_refused = 0
        self.peak_clients = 0
        self.errors: dict[bytes, int] = {}
        self.peak_memory = 0
        self.ops = OpsMeter()
        self.listeners = Listeners(self)
        self._cron: task.LoopingCall | None = None
        self._ticks = 0
        self._expiring = False
        self._reclaiming = False
        self._stopping = False
        self._save_at_stop: bool | None = None  # SHUTDOWN SAVE / NOSAVE; None means: as the save points say
        self.exit_status = 0
        self.executable = "twistd"
        self._apply_settings()

    # -- wiring helpers

    def _log_role(self) -> str:
        return "S" if self.replication.upstream is not None else "M"

    def new_database(self, index: int) -> Database:
        """An empty database with this server's hooks (also for a dataset that is loaded aside)."""
        db = Database(index, self.clock, self.stats, self.trash)
        db.expire = self._expire_found
        db.on_touched = self._touched
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

    # -- start and stop

    def startService(self) -> None:
        """Listen, then load the dataset in slices while clients are told LOADING, then follow a master if configured."""
        super().startService()  # type: ignore[no-untyped-call]
        self.log.warning("oO0OoO0OoO0Oo Redis is starting oO0OoO0OoO0Oo")
        self.log.warning(
            f"Redis version={REDIS_VERSION}, bits=64, commit=00000000, modified=0, pid={os.getpid()}, just started "
            f"(replicad {__version__})"
        )
        if self.settings.path is None:
            self.log.warning("Warning: no config file specified, using the default config.")
        else:
            self.log.warning("Configuration loaded")
        self.log.notice(f"PID: {os.getpid()}")
        os.chdir(self.settings["dir"])
        self._limit_clients()
        try:
            self.listeners.open()
        except CannotListen:
            raise SystemExit(1) from None
        # A generation-2 collection walks every container of the dataset and stops the server for its length; the dataset
        # has no cycles, and what does have them dies young.
        gc.freeze()
        gc.set_threshold(10_000, 10, 1_000_000)
        self.log.warning(f"Server started, Redis version {REDIS_VERSION}")
        self._warn_overcommit()
        atexit.register(self._exit)
        self.reactor.addSystemEventTrigger("before", "shutdown", self._shutdown)
        self._cron = task.LoopingCall(self.cron)
        self._cron.clock = self.reactor
        self._cron.start(0.1, now=False).addErrback(self._cron_failed)
        self._load()

    def _exit(self) -> None:
        """twistd always leaves with 0 when the reactor was stopped; a refused start must not look like success."""
        if self.exit_status:
            os._exit(self.exit_status)

    def _limit_clients(self) -> None:
        """Allow as many descriptors as maxclients needs; lower maxclients when the system does not."""
        wanted = self.settings["maxclients"] + RESERVED_DESCRIPTORS
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft == resource.RLIM_INFINITY or soft >= wanted:
            return
        possible = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (possible, hard))
        if possible < wanted:
            self.settings.set_internal("maxclients", max(possible - RESERVED_DESCRIPTORS, 1))
            self.log.warning(
                f"You requested maxclients of {wanted - RESERVED_DESCRIPTORS} requiring at least {wanted} max file "
                f"descriptors. Current maximum open files is {possible}. maxclients has been reduced to "
                f"{self.settings['maxclients']} to compensate for low ulimit."
            )

    def _warn_overcommit(self) -> None:
        try:
            with open("/proc/sys/vm/overcommit_memory") as file:
                if file.read().strip() == "0":
                    self.log.warning(
                        "WARNING overcommit_memory is set to 0! Background save may fail under low memory condition. To "
                        "fix this issue add 'vm.overcommit_memory = 1' to /etc/sysctl.conf and then reboot or run the "
                        "command 'sysctl vm.overcommit_memory=1' for this to take effect."
                    )
        except OSError:
            pass

    def _load(self) -> None:
        try:
            info, entries = self.backend.load()
        except NoSnapshot:
            self._ready()
            return
        except (DamagedSnapshot, OSError) as error:
            self._refuse(error)
            return
        self.loading = True
        self.load_progress = {"start": int(time.time())}
        self.update_gates()
        started = time.perf_counter()
        replica = self.settings["replicaof"] is not None

        def done(keys: int, expired: int) -> None:
            self.loading = False
            self.functions = info.functions
            self.log.notice(f"Done loading RDB, keys loaded: {keys}, keys expired: {expired}.")
            self.log.notice(f"DB loaded from disk: {time.perf_counter() - started:.3f} seconds")
            gc.freeze()
            self.replication.restore(info, replica)
            self._ready()

        now_ms = int(time.time() * 1000)
        loader = Loader(self.call_later, entries, self.databases, None if replica else now_ms, done, self._refuse)
        loader.start()

    def _refuse(self, error: Exception) -> None:
        """Do not start on a snapshot that cannot be read, and do not touch it either."""
        self.log.warning(f"Fatal error loading the DB: {error}. Exiting.")
        self._save_at_stop = False
        self.exit_status = 1
        self.call_later(0, self.reactor.stop)

    def _ready(self) -> None:
        self.update_gates()
        self.saver.loaded()
        if self.settings["port"]:
            self.log.notice(f"The server is now ready to accept connections on port {self.settings['port']}")
        if self.settings["unixsocket"]:
            self.log.notice(f"The server is now ready to accept connections at {self.settings['unixsocket']}")
        self.log.notice("Ready to accept connections")
        self.replication.start()

    def shutdown(self, save: bool | None) -> None:
        """SHUTDOWN [SAVE|NOSAVE]: save as asked, then stop the process.  Raises OSError when the save failed."""
        self.log.warning("User requested shutdown...")
        self._save_for_stop(save)
        self._save_at_stop = False
        self.reactor.stop()

    def _save_for_stop(self, save: bool | None) -> None:
        wanted = bool(self.settings["save"]) if save is None else save
        self.saver.abandon()
        if wanted and not self.loading:
            self.log.notice("Saving the final RDB snapshot before exiting.")
            self.saver.save()

    def _shutdown(self) -> Deferred[None] | None:
        """Before the reactor stops (SIGTERM, SIGINT, SHUTDOWN): save, tell the replicas everything, close."""
        if self._stopping:
            return None
        self._stopping = True
        if self._save_at_stop is None:
            self.log.warning("Received SIGTERM scheduling shutdown...")
            try:
                self._save_for_stop(None)
            except OSError as error:
                self.log.warning(f"Error trying to save the DB, but shutting down all the same: {error}")
                self.exit_status = 1
        self.propagation.flush()
        self.replication.stop()
        if self._cron is not None and self._cron.running:
            self._cron.stop()
        self.listeners.close()
        self.log.warning("Redis is now ready to exit, bye bye...")
        return None

    def _cron_failed(self, failure: Any) -> None:
        self.log.warning(f"Defect in the clock, the server goes on without it: {failure.getTraceback()}")

    # -- the clock

    def cron(self) -> None:
        """Ten times a second: time, expiry, memory; once a second: clients, replication, save points."""
        self.clock.now_ms = int(time.time() * 1000)
        self._ticks += 1
        if not self._expiring:
            self._expire_slice()
        self.reclaim()
        if self.pause_until_ms and self.clock.now_ms >= self.pause_until_ms:
            self.unpause()
        self.ops.sample(self.clock.now_ms, self.commands_processed, self.net_input, self.net_output)
        self.saver.tick()
        if self._ticks % 10 == 0:
            self.replication.tick()
            self._check_clients()
        if self._ticks % 50 == 0 and self.log.level <= 1:
            replicas = len(self.replication.downstreams)
            normal = len(self.clients) - replicas
            for db in self.databases:
                if size := len(db):
                    self.log.verbose(f"DB {db.index}: {size} keys ({db.deadlines.count} volatile)")
            self.log.verbose(f"{normal} clients connected ({replicas} slaves), {self.memory()} bytes in use")
        self.propagation.flush()

    def _expire_slice(self) -> None:
        """Delete keys whose time has come, for a few milliseconds, and come back at once when more are due."""
        self._expiring = False
        if not self.active_expire or self.replication.upstream is not None or self.loading or self.paused(True):
            return
        self.clock.now_ms = int(time.time() * 1000)
        until = time.perf_counter() + SLICE_SECONDS
        for db in self.databases:
            if not db.deadlines.count:
                continue
            while due := db.deadlines.due(self.clock.now_ms, 64):
                for key in due:
                    self._expire_found(db, key)
                    self.propagation.done(db.index, (), False)
                if time.perf_counter() > until:
                    self._expiring = True
                    break
        self.propagation.flush()
        if self.blocking.ready:
            self.blocking.serve()
        if self._expiring:
            self.call_later(0.001, self._expire_slice)

    def _expire_found(self, db: Database, key: bytes) -> None:
        """An expired key was met: a master deletes it and tells its replicas."""
        if db.remove(key):
            self.stats.expired += 1
            verb = b"UNLINK" if self.settings["lazyfree-lazy-expire"] else b"DEL"
            self.propagation.also(db.index, verb, key)
            self.saver.changes += 1

    def reclaim(self) -> None:
        """Free dead collections in slices."""
        self._reclaiming = False
        if len(self.trash):
            until = time.perf_counter() + SLICE_SECONDS
            while self.trash.reclaim(2000):
                if time.perf_counter() > until:
                    if not self._reclaiming:
                        self._reclaiming = True
                        self.call_later(0.001, self.reclaim)
                    return

    def _check_clients(self) -> None:
        timeout = self.settings["timeout"]
        now = time.monotonic()
        for client in list(self.clients.values()):
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
                self.log.verbose("Closing idle client")
                client.connection.abort()

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
        password = settings["requirepass"]
        host = getattr(transport.getPeer(), "host", None)
        if settings["protected-mode"] and not password and host is not None and not _is_loopback(host):
            self.connections_refused += 1
            return PROTECTED_MODE
        if host is not None:
            transport.setTcpNoDelay(True)
            if settings["tcp-keepalive"]:
                set_keepalive(transport, settings["tcp-keepalive"])
        client.authenticated = not password
        client.update_gate()
        self.clients[client.id] = client
        self.peak_clients = max(self.peak_clients, len(self.clients))
        return None

    def client_lost(self, client: Client) -> None:
        """Forget a client whose connection is gone."""
        self.clients.pop(client.id, None)
        self.blocking.discard(client)
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

    def describe(self, client: Client) -> str:
        """One line about a client, as CLIENT INFO shows it."""
        from replicad.info import client_line

        return client_line(self, client)

    def output_limit(self, client: Client) -> tuple[int, int, int]:
        """(hard, soft, soft seconds) of client-output-buffer-limit for this kind of client."""
        kind = "pubsub" if client.subscriptions else "normal"
        limits: dict[str, tuple[int, int, int]] = self.settings["client-output-buffer-limit"]
        return limits[kind]

    # -- keyspace hooks

    def _touched(self, db: Database, key: bytes) -> None:
        place = (db.index, key)
        watchers = self.watched.get(place)
        if watchers:
            for client in watchers:
                client.watch_broken = True
        if self.blocking.by_key:
            self.blocking.signal(place)

    def update_observed(self, db: Database) -> None:
        """Whether changes in ``db`` must be told to anybody; called when a watch or a blocked client comes or goes."""
        observed = bool(self.watched) or bool(self.blocking.by_key)
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
        if self.loading and not self.async_loading:
            deny |= NOT_LOADING
        if self.read_only or self.too_few_replicas():
            deny |= WRITE
        if following and not replication.link_up and not settings["replica-serve-stale-data"]:
            deny |= NOT_STALE
        if self.write_error or len(self.monitors) or self.pause_until_ms:
            deny |= ANY
        self.deny = deny
        for db in self.databases:
            db.expire = None if following else self._expire_found
        self.propagation.active = self.history.active and not following

    def too_few_replicas(self) -> bool:
        """min-replicas-to-write and min-replicas-max-lag."""
        return self.replication.too_few()

    def paused(self, write: bool) -> bool:
        """Whether CLIENT PAUSE holds this kind of command back now."""
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
        """INFO errorstats: count by the first word."""
        code = text.split(b" ", 1)[0][:64]
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
        """A command took longer than slowlog-log-slower-than."""
        self.slowlog.add(client, cmd, argv, elapsed_ns // 1000)

    def feed_monitors(self, client: Client, argv: Argv) -> None:
        """Show a command to MONITOR clients."""
        self.monitors.feed(client, argv)

    def memory(self) -> int:
        """Resident memory of the process in bytes."""
        try:
            with open("/proc/self/statm") as file:
                used = int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")
        except OSError:
            used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        self.peak_memory = max(self.peak_memory, used)
        return used

    def flush_all(self) -> int:
        """Remove every key of every database; returns how many there were."""
        return sum(db.flush() for db in self.databases)

    # -- settings that are read on the hot path or change something when set

    def _apply_settings(self) -> None:
        settings = self.settings
        self._hot_settings()
        for name in ("slowlog-log-slower-than", "client-query-buffer-limit"):
            settings.on_change(name, lambda value: self._hot_settings())
        for name in ("replica-read-only", "replica-serve-stale-data", "stop-writes-on-bgsave-error", "save",
                     "min-replicas-to-write", "min-replicas-max-lag"):  # fmt: skip
            settings.on_change(name, lambda value: self.update_gates())

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
                self._limit_clients()
                if settings["maxclients"] != value:
                    raise ConfigError(
                        "The operating system is not able to handle the specified number of clients, try with "
                        f"{settings['maxclients']}"
                    )

        def logfile(value: str) -> None:
            self.log.path = value

        settings.on_change("repl-backlog-size", backlog)
        settings.on_change("loglevel", loglevel)
        settings.on_change("dir", directory)
        settings.on_change("logfile", logfile)
        settings.on_change("maxclients", maxclients)
        for name in ("dbfilename", "rdbcompression", "rdbchecksum", "lmdb-path", "snapshot-backend"):
            settings.on_change(name, storage)
        for name in ("port", "bind"):
            settings.on_change(name, lambda value: self.listeners.reopen())
        for old, new in settings["rename-command"] or ():
            cmd = TABLE.pop(old.upper().encode(), None)
            TABLE.pop(old.lower().encode(), None)
            if cmd is None:
                raise SystemExit(f"replicad: rename-command {old}: no such command")
            if new:
                if new.upper().encode() in TABLE:
                    raise SystemExit(f"replicad: rename-command {old} {new}: there is a command of that name")
                TABLE[new.upper().encode()] = TABLE[new.lower().encode()] = cmd

    def _hot_settings(self) -> None:
        slower = self.settings["slowlog-log-slower-than"]
        self.slow_ns = slower * 1000 if slower >= 0 else 1 << 62
        self.query_buffer_limit = self.settings["client-query-buffer-limit"]


def every_command() -> list[Command]:
    """Every command and subcommand."""
    out = []
    for cmd in all_commands():
        out.append(cmd)
        out.extend({id(sub): sub for sub in cmd.subcommands.values()}.values())
    return out


def _is_loopback(host: str) -> bool:
    return host.startswith("127.") or host in ("::1", "::ffff:127.0.0.1")
