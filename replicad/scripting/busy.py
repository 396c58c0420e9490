"""Scripts that run for too long.

Owns: ``Watch``: looks at the clock while a script runs, serves other clients once it is late, and stops it when asked to.
Does not own the hook (``lua/sandbox.lua``, every 10,000 instructions) nor which commands are refused meanwhile
(``dispatch.gate``).

A script runs on the reactor's thread, inside the turn that read its command.  From busy-reply-threshold on the hook lets the
reactor look at its descriptors once each time, without its timers.  So new connections are accepted, requests are read, and
replies go out, as in Redis; everything else waits, the time included.  Two peers are not read: the client that runs the
script, whose next commands must stay behind it, and our master, whose writes must not come into the middle of it.

Rejected: a second thread for the script (the keyspace has no locks), a loop of our own over the clients' epoll object (it
knows neither listening ports nor writers).
"""

from __future__ import annotations

from time import perf_counter_ns
from typing import TYPE_CHECKING

from replicad.errors import BUSY_FUNCTION, BUSY_SCRIPT, ReplyError

if TYPE_CHECKING:
    from replicad.scripting.calls import Calls, Run
    from replicad.server import Server

NOT_BUSY = ReplyError(b"NOTBUSY No scripts in execution right now.")
FROM_MASTER = ReplyError(
    b"UNKILLABLE The busy script was sent by a master instance in the context of replication and cannot be killed."
)
HAS_WRITTEN = ReplyError(
    b"UNKILLABLE Sorry the script already executed write commands against the dataset. You can either wait the script "
    b"termination or kill the server in a hard way using the SHUTDOWN NOSAVE command."
)


class Watch:
    """The clock of scripts.  ``late`` is the run that other clients must be told of."""

    def __init__(self, server: Server, calls: Calls) -> None:
        self._server = server
        self._calls = calls
        self.late: Run | None = None

    @property
    def refusal(self) -> ReplyError:
        """What a client is answered while a script is late."""
        late = self.late
        return BUSY_FUNCTION if late is not None and not late.is_eval else BUSY_SCRIPT

    def tick(self) -> bool:
        """Called by Lua every now and then; true to stop the script.  Must not raise."""
        run = self._calls.run
        if run is None:  # Lua code of the server's own runs
            return False
        server = self._server
        try:
            if self.late is None:
                elapsed_ms = (perf_counter_ns() - run.started_ns) // 1_000_000
                if elapsed_ms >= server.settings["busy-reply-threshold"]:
                    self._begin(run, elapsed_ms)
            if self.late is not None:
                self._breathe()
                if run.caller.is_master and not run.killed:
                    self._check_master(run)
        except Exception as error:
            server.defect(run.caller, [b"script"], error)
        return run.killed

    def _begin(self, run: Run, elapsed_ms: int) -> None:
        server = self._server
        word = "SCRIPT" if run.is_eval else "FUNCTION"
        server.log.warning(
            f"Slow script detected: still in execution after {elapsed_ms} milliseconds. You can try killing the script "
            f"using the {word} KILL command. Script name is: {run.name.decode('latin-1')}."
        )
        self.late = run
        server.update_gates()
        server.readiness.flush()  # the replies of this turn, whose end is far
        run.caller.connection.stop_reading()
        if server.replication.upstream is not None:
            server.replication.upstream.stop_reading()

    def _check_master(self, run: Run) -> None:
        """Stop a script of our master that takes longer than the master may be silent: half of it is done, so copy anew."""
        server = self._server
        upstream = server.replication.upstream
        if (perf_counter_ns() - run.started_ns) // 1_000_000_000 >= server.settings["repl-timeout"]:
            run.killed = True
            if upstream is not None:
                server.call_later(0, upstream.distrust, "A script of the master ran for too long and was stopped")

    def _breathe(self) -> None:
        """Let the reactor serve whoever is ready.  The time that the script sees stands still."""
        server = self._server
        clock, tracking = server.clock, server.tracking
        now_ms, tenths, current = clock.now_ms, clock.tenths, tracking.current
        server.reactor.doIteration(0)
        clock.now_ms, clock.tenths, tracking.current = now_ms, tenths, current

    def ended(self, run: Run) -> None:
        """The script has ended."""
        if self.late is None:
            return
        self.late = None
        server = self._server
        server.update_gates()
        run.caller.connection.go_on_reading()
        if server.replication.upstream is not None:
            server.replication.upstream.go_on_reading()

    def kill(self, is_eval: bool) -> None:
        """SCRIPT KILL (``is_eval``) or FUNCTION KILL.  Raises ReplyError when nothing runs, or when it must go on."""
        run = self._calls.run
        if run is None:
            raise NOT_BUSY
        if run.caller.is_master:
            raise FROM_MASTER
        if run.wrote:
            raise HAS_WRITTEN
        if run.is_eval != is_eval:
            raise self.refusal
        run.killed = True

    def abandon(self) -> None:
        """SHUTDOWN NOSAVE: stop the script whatever it has written; nobody shall get what it did."""
        run = self._calls.run
        if run is not None:
            run.killed = run.abandoned = True
