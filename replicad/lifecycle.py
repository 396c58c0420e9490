"""How a server starts and how it stops.

Owns: listening and loading at start, the refusal of a damaged snapshot, signals, SHUTDOWN, the exit status.  Does not own
what is loaded or saved (``persistence``) nor the role (``replication.roles``).
"""

from __future__ import annotations

import atexit
import gc
import os
import resource
import signal
import time
from typing import TYPE_CHECKING, Any

from replicad import REDIS_VERSION, __version__
from replicad.errors import err
from replicad.listening import CannotListen
from replicad.persistence.interfaces import DamagedSnapshot, NoSnapshot, SnapshotInfo
from replicad.persistence.loader import Loader

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

    from replicad.server import Server
    from replicad.session import Client

#: Descriptors that are not for clients: listening sockets, the log, snapshots, the link to a master.
RESERVED_DESCRIPTORS = 32


class Lifecycle:
    """Start and stop of one server."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self._saved_for_stop = False
        self._stop_timer: Any = None
        self._signals = 0
        self._exit_status = 0

    def start(self) -> None:
        """Listen, then load the dataset in slices while clients are told LOADING, then follow a master if configured."""
        server = self.server
        server.log.warning("oO0OoO0OoO0Oo Redis is starting oO0OoO0OoO0Oo")
        server.log.warning(
            f"Redis version={REDIS_VERSION}, bits=64, commit=00000000, modified=0, pid={os.getpid()}, just started "
            f"(replicad {__version__})"
        )
        if server.settings.path is None:
            server.log.warning("Warning: no config file specified, using the default config.")
        else:
            server.log.warning("Configuration loaded")
        server.log.notice(f"PID: {os.getpid()}")
        os.chdir(server.settings["dir"])
        self.limit_clients()
        server.eviction.start()
        try:
            server.listeners.open()
        except CannotListen:
            raise SystemExit(1) from None
        # A generation-2 collection walks every container of the dataset and stops the server for its length; the dataset
        # has no cycles, and what does have them dies young.
        # One of generation 1 walks what the last ones of generation 0 left: 14 ms after ten of them, 3 after two, and the
        # work in total is the same.
        gc.freeze()
        gc.set_threshold(10_000, 2, 1_000_000)
        server.log.warning(f"Server started, Redis version {REDIS_VERSION}")
        self._warn_overcommit()
        atexit.register(self._exit)
        server.reactor.addSystemEventTrigger("before", "shutdown", self._shutdown)
        server.reactor.callWhenRunning(self._take_signals)
        server.timekeeper.start()
        self._load()

    def _exit(self) -> None:
        """twistd always leaves with 0 when the reactor was stopped; a refused start must not look like success."""
        if self._exit_status:
            os._exit(self._exit_status)

    def limit_clients(self) -> None:
        """Allow as many descriptors as maxclients needs; lower maxclients when the system does not."""
        server = self.server
        wanted = server.settings["maxclients"] + RESERVED_DESCRIPTORS
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft == resource.RLIM_INFINITY or soft >= wanted:
            return
        possible = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (possible, hard))
        if possible < wanted:
            server.settings.set_internal("maxclients", max(possible - RESERVED_DESCRIPTORS, 1))
            server.log.warning(
                f"You requested maxclients of {wanted - RESERVED_DESCRIPTORS} requiring at least {wanted} max file "
                f"descriptors. Current maximum open files is {possible}. maxclients has been reduced to "
                f"{server.settings['maxclients']} to compensate for low ulimit."
            )

    def _warn_overcommit(self) -> None:
        try:
            with open("/proc/sys/vm/overcommit_memory") as file:
                if file.read().strip() == "0":
                    self.server.log.warning(
                        "WARNING overcommit_memory is set to 0! Background save may fail under low memory condition. To "
                        "fix this issue add 'vm.overcommit_memory = 1' to /etc/sysctl.conf and then reboot or run the "
                        "command 'sysctl vm.overcommit_memory=1' for this to take effect."
                    )
        except OSError:
            pass

    def _load(self) -> None:
        server = self.server
        try:
            info, entries = server.backend.load()
        except NoSnapshot:
            self._ready()
            return
        except (DamagedSnapshot, OSError) as error:
            self._refuse(error)
            return
        server.loading = True
        server.load_progress = {"start": int(time.time())}
        server.update_gates()
        started = time.perf_counter()
        replica = server.settings["replicaof"] is not None

        def done(keys: int, expired: int) -> None:
            server.loading = False
            server.load_progress = {"keys": keys, "expired": expired}
            server.functions = info.functions
            server.log.notice(f"Done loading RDB, keys loaded: {keys}, keys expired: {expired}.")
            server.log.notice(f"DB loaded from disk: {time.perf_counter() - started:.3f} seconds")
            gc.freeze()
            self._ready(info)

        now_ms = int(time.time() * 1000)
        # Before the data: what expired meanwhile is deleted in the stream of the new history.
        server.replication.restore(info, replica)
        drop_before_ms, dropped = (None, None) if replica else (now_ms, server.replication.expired_at_load)
        loader = Loader(server.call_later, entries, server.databases, drop_before_ms, done, self._refuse, dropped)
        loader.start()

    def _refuse(self, error: Exception) -> None:
        """Do not start on a snapshot that cannot be read, and do not touch it either."""
        server = self.server
        server.log.warning(f"Fatal error loading the DB: {error}. Exiting.")
        self._saved_for_stop = True  # nothing may replace what could not be read
        self._exit_status = 1
        server.call_later(0, server.reactor.stop)

    def _ready(self, info: SnapshotInfo | None = None) -> None:
        server = self.server
        server.update_gates()
        server.saver.loaded(info)
        if server.settings["port"]:
            server.log.notice(f"The server is now ready to accept connections on port {server.settings['port']}")
        if server.settings["unixsocket"]:
            server.log.notice(f"The server is now ready to accept connections at {server.settings['unixsocket']}")
        server.log.notice("Ready to accept connections")
        server.replication.start()

    def shutdown(self, save: bool | None, now: bool = False, force: bool = False, client: Client | None = None) -> None:
        """Stop the process in Redis's order: let the replicas catch up, save, leave.

        ``save`` as in SHUTDOWN SAVE / NOSAVE, None for what the save points say.  ``now`` does not wait for replicas,
        ``force`` leaves although the save failed.  When it fails otherwise, everything goes on and ``client`` is told.
        """
        server = self.server
        if self._stop_timer is not None:
            return
        deadline = time.monotonic() + (0 if now else server.settings["shutdown-timeout"])
        server.replication.ask_for_acks()
        server.pause(server.clock.now_ms + 1000 * server.settings["shutdown-timeout"] + 1000, False)

        def look() -> None:
            self._stop_timer = None
            behind = server.replication.behind()
            if behind and time.monotonic() < deadline:
                self._stop_timer = server.call_later(0.01, look)
                return
            total = len(server.replication.downstreams)
            if total:
                server.log.notice(f"{total - behind} of {total} replicas are in sync when shutting down.")
            try:
                self._save_for_stop(save)
            except OSError:
                if not force:
                    server.log.warning("Error trying to save the DB, can't exit.")
                    server.log.warning("Errors trying to shut down the server. Check the logs for more information.")
                    server.unpause()
                    if client is not None:
                        client.reply(err("Errors trying to SHUTDOWN. Check logs."))
                    return
            self._saved_for_stop = True
            server.reactor.stop()

        look()

    def abort_shutdown(self) -> bool:
        """SHUTDOWN ABORT: go on; False when no shutdown waits."""
        server = self.server
        if self._stop_timer is None:
            return False
        self._stop_timer.cancel()
        self._stop_timer = None
        server.unpause()
        server.log.notice("Shutdown manually aborted.")
        return True

    def _save_for_stop(self, save: bool | None) -> None:
        server = self.server
        wanted = bool(server.settings["save"]) if save is None else save
        server.saver.abandon()
        if wanted and not server.loading:
            server.log.notice("Saving the final RDB snapshot before exiting.")
            server.saver.save()

    def _take_signals(self) -> None:
        """SIGTERM and SIGINT stop as SHUTDOWN does; a second SIGINT leaves at once and SIGHUP is ignored, as in Redis."""

        def received(number: int, frame: Any) -> None:
            self.server.reactor.callFromThread(self._signalled, number)

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, received)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    def _signalled(self, number: int) -> None:
        server = self.server
        self._signals += 1
        if number == signal.SIGINT and self._signals > 1:
            server.log.warning("You insist... exiting now.")
            os._exit(1)
        name = "SIGINT" if number == signal.SIGINT else "SIGTERM"
        server.log.warning(f"Received {name} scheduling shutdown...")
        if server.loading:
            self._exit_status = self._exit_status or 0
            self._saved_for_stop = True
            server.reactor.stop()
            return
        server.log.warning("User requested shutdown...")
        words = server.settings[f"shutdown-on-{name.lower()}"].split()
        save = True if "save" in words else False if "nosave" in words else None
        self.shutdown(save, "now" in words, "force" in words)

    def _shutdown(self) -> Deferred[Any]:
        """Before the reactor stops: close everything.  A stop that did not come through ``shutdown`` saves here."""
        server = self.server
        if not self._saved_for_stop:
            try:
                self._save_for_stop(None)
            except OSError as error:
                server.log.warning(f"Error trying to save the DB: {error}")
                self._exit_status = 1
        server.propagation.flush()
        server.replication.stop()
        server.migrations.stop()
        server.timekeeper.stop()
        closed = server.listeners.close()
        server.log.warning("Redis is now ready to exit, bye bye...")
        return closed
