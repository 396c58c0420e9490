"""What a script may do to the server: redis.call and the other functions that reach outside of Lua.

Owns: ``Run`` (one execution: who runs it, what it may, what it did), ``Calls`` (the functions behind the Lua library
``redis``), the client in whose name commands of scripts run.  Does not own the Lua side (``engine``), stopping scripts
(``busy``), nor which scripts there are (``scripts``).

Every function here is called by Lua and must not raise: an exception would reach the script as a Python object.

The checks before a command are Redis's, in its order: known, arity, allowed in scripts, stale data, ACL, read-only script,
read-only replica, saving works, enough replicas, memory.  What remains of ``dispatch.gate`` was judged when the script
itself was called.
"""

from __future__ import annotations

from collections.abc import Callable
from math import copysign
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any

from replicad.command import DENY_OOM, MAY_REPLICATE, NOT_STALE, PLAIN, WRITE, Argv, Command, lookup
from replicad.errors import MISCONF, NO_REPLICAS, READ_ONLY, ReplyError
from replicad.resp import OK
from replicad.scripting.conversion import to_lua
from replicad.session import Client

if TYPE_CHECKING:
    from replicad.server import Server

UNKNOWN = b"ERR Unknown Redis command called from script"
WRONG_ARITY = b"ERR Wrong number of args calling Redis command from script"
NOT_ALLOWED = b"ERR This Redis command is not allowed from script"
BAD_ARGUMENTS = b"ERR Lua redis lib command arguments must be strings or integers"
ONLY_READS = b"ERR Write commands are not allowed from read-only scripts."
STALE = b"ERR Can not execute the command on a stale replica"
OUT_OF_MEMORY = b"OOM command not allowed when used memory > 'maxmemory'."
BAD_CHECK = b"ERR Invalid command passed to redis.acl_check_cmd()"
_DEFECT = b"ERR internal error, see the server's log"

#: The bit of redis.set_repl that concerns replicas.
REPLICATE = 2


class Run:
    """One execution of a script or a function.

    ``name``: for errors and the log (the sha1 of a script).  ``is_eval``: SCRIPT KILL may stop it, else FUNCTION KILL.
    """

    __slots__ = ("abandoned", "allow_oom", "allow_stale", "argv", "caller", "is_eval", "killed", "name", "out_of_memory",
                 "read_only", "replicates", "started_ns", "wrote")  # fmt: skip

    def __init__(self, caller: Client, name: bytes, *, read_only: bool, is_eval: bool = True) -> None:
        self.caller = caller
        self.name = name
        self.argv: Argv = caller.argv
        self.is_eval = is_eval
        self.read_only = read_only
        self.allow_oom = False
        self.allow_stale = False
        self.out_of_memory = False  #: what maxmemory said when the script began
        self.replicates = True
        self.wrote = False
        self.killed = False
        self.abandoned = False  #: the process leaves
        self.started_ns = perf_counter_ns()


class Calls:
    """The functions that Lua calls.  ``run`` is set while a script runs."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.run: Run | None = None
        self.client: Client
        #: lupa's ``table_from`` of the interpreter that runs.
        self.table: Callable[..., Any] = dict

    def begin(self, run: Run, table: Callable[..., Any]) -> None:
        """``run`` starts: commands go to its caller's database from now on, in RESP2."""
        if not hasattr(self, "client"):
            self.client = Client(self._server, addr="lua")  # not before a script runs: it takes a number
            self.client.in_exec = self.client.in_script = True  # nothing blocks in a script
        self.run = run
        self.table = table
        client, caller = self.client, run.caller
        client.db = caller.db
        client.resp = 2
        client.account = caller.account
        client.is_master = caller.is_master

    def end(self) -> None:
        """The script has ended."""
        self.run = None

    def call(self, *args: Any) -> Any:
        """redis.call and redis.pcall: the reply as a Lua value, (None, error text, counted), or (None, None, status)."""
        try:
            argv = list(args)
            for index, arg in enumerate(args):
                if type(arg) is not bytes:
                    text = _number(arg)
                    if text is None:
                        return None, BAD_ARGUMENTS
                    argv[index] = text
            cmd: Any = PLAIN.get(argv[0]) or lookup(argv)
            server, client = self._server, self.client
            refusal = self._refusal(cmd, argv)
            if refusal is not None:
                server.count_error(refusal)
                if cmd is not None:
                    cmd.rejected += 1
                return None, refusal, True
            run: Run = self.run  # type: ignore[assignment]
            if cmd.gate & WRITE:
                run.wrote = True
            reply = server.call(client, cmd, argv) if run.replicates else self._unreplicated(cmd, argv)
            if run.caller.tracking is not None and "readonly" in cmd.flags:  # type: ignore[union-attr]
                server.tracking.read_by_script(run.caller)
            if reply is OK:
                return None, None, b"OK"
            if isinstance(reply, ReplyError):
                return None, reply.text, True
            return to_lua(reply, client.resp, self.table)
        except Exception as error:
            self._server.defect(self.client, [b"redis.call"], error)
            return None, _DEFECT

    def _refusal(self, cmd: Command | None, argv: Argv) -> bytes | None:
        """Why ``cmd`` may not run, or None."""
        if cmd is None or (cmd.subcommands and len(argv) > 1):
            return UNKNOWN
        if not cmd.least <= len(argv) <= cmd.most:
            return WRONG_ARITY
        if "noscript" in cmd.flags:
            return NOT_ALLOWED
        run: Run = self.run  # type: ignore[assignment]
        bits, denied = cmd.gate, self._server.deny
        if bits & denied & NOT_STALE:
            return STALE
        account = run.caller.account
        if account is not None and account.restricted:
            accounts = self._server.acl
            denial = accounts.check(self.client, cmd, argv)
            if denial is not None:
                accounts.log.refused(run.caller, denial, b"lua")
                return b"ERR " + denial.in_script()
        if run.read_only and bits & (WRITE | MAY_REPLICATE):
            return ONLY_READS
        if bits & WRITE:
            if denied and not run.caller.is_master:
                return self._write_refusal(bits, denied, run)
        elif bits & DENY_OOM and run.out_of_memory and not run.allow_oom:
            return OUT_OF_MEMORY
        return None

    def _write_refusal(self, bits: int, denied: int, run: Run) -> bytes | None:
        """What stands against a write command in the present state of the server."""
        server = self._server
        if denied & WRITE and server.read_only:
            return READ_ONLY.text
        if server.write_error:
            return MISCONF.text
        if denied & WRITE and server.too_few_replicas():
            return NO_REPLICAS.text
        # a script that has written already may go on to its end
        if bits & DENY_OOM and run.out_of_memory and not run.allow_oom and not run.wrote:
            return OUT_OF_MEMORY
        return None

    def _unreplicated(self, cmd: Any, argv: Argv) -> Any:
        """Run a command after redis.set_repl took the replicas out."""
        propagation = self._server.propagation
        active, propagation.active = propagation.active, False
        try:
            return self._server.call(self.client, cmd, argv)
        finally:
            propagation.active = active

    def acl_check(self, *args: Any) -> Any:
        """redis.acl_check_cmd: whether the user may run a command, or (None, error text)."""
        try:
            argv = [arg if type(arg) is bytes else _number(arg) for arg in args]
            if None in argv:
                return None, BAD_ARGUMENTS
            cmd = lookup(argv)  # type: ignore[arg-type]
            if cmd is None or (cmd.subcommands and len(argv) > 1):
                return None, BAD_CHECK
            return self._server.acl.check(self.client, cmd, argv) is None  # type: ignore[arg-type]
        except Exception as error:
            self._server.defect(self.client, [b"redis.acl_check_cmd"], error)
            return None, _DEFECT

    def log(self, level: int, text: bytes) -> None:
        """redis.log."""
        log = self._server.log
        line = text.decode("utf-8", "replace")
        (log.debug, log.verbose, log.notice, log.warning)[int(level)](line)

    def set_resp(self, version: int) -> None:
        """redis.setresp."""
        self.client.resp = int(version)

    def set_repl(self, flags: int) -> None:
        """redis.set_repl."""
        if self.run is not None:
            self.run.replicates = bool(int(flags) & REPLICATE)


def _number(value: Any) -> bytes | None:
    """A number as Redis passes it to commands: 17 digits; None for what is no number."""
    if type(value) is int:
        return b"%d" % value if -(10**17) < value < 10**17 else b"%.17g" % value
    if type(value) is float:
        if value != value:
            return b"-nan" if copysign(1.0, value) < 0 else b"nan"
        return b"%.17g" % value
    return None


__all__ = ["Calls", "Run"]
