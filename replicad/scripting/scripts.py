"""The scripts of EVAL: their cache, their shebang lines, and running one as a unit.

Owns: ``Scripting``, the one object of the server for everything that runs Lua (the engine, the calls, what is running),
and the cache of EVAL's scripts.  Does not own the commands (``commands.scripting``), nor libraries of functions, which use
``execute`` as well.

A script is one execution unit: its effects go to the replicas, in MULTI and EXEC when they are several, never itself.  The
clock stands still while it runs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from replicad.command import DENY_OOM, NOT_STALE, lookup
from replicad.errors import (
    MASTER_DOWN,
    MISCONF,
    NO_REPLICAS,
    NO_SCRIPT,
    OUT_OF_MEMORY,
    READ_ONLY,
    ReplyError,
    c_string,
    err,
)
from replicad.resp import Wire, split_line
from replicad.scripting.busy import Watch
from replicad.scripting.calls import Calls, Run
from replicad.scripting.engine import CompileError, Engine, Host, Outcome

if TYPE_CHECKING:
    from replicad.server import Server
    from replicad.session import Client

#: The words of ``flags=`` in a shebang line.
FLAGS = frozenset([b"no-writes", b"allow-stale", b"allow-oom", b"no-cluster", b"allow-cross-slot-keys"])

_READ_ONLY_COMMAND = err("Can not execute a script with write flag using *_ro command.")
#: What a cached script costs beside its text, for INFO.
_SCRIPT_OVERHEAD = 144


class Script:
    """One script of the cache.  ``flags`` is None without a shebang line: the rules of before Redis 7.0 hold."""

    __slots__ = ("body", "flags", "function", "generation", "name")

    def __init__(self, name: bytes, body: bytes) -> None:
        self.name = name
        self.body = body
        self.flags, self.function, self.generation = None, None, -1
        self.flags = shebang(body)

    def code(self) -> bytes:
        """The body without its shebang line, whose line end stays so that lines keep their numbers."""
        return self.body[self.body.index(b"\n") :] if self.flags is not None else self.body


def shebang(body: bytes) -> frozenset[bytes] | None:
    """The flags of ``#!lua flags=a,b``, None when there is no such line.  Raises ReplyError."""
    if body[:2] != b"#!":
        return None
    line, newline, _ = body.partition(b"\n")
    if not newline or b"\0" in line:
        raise err("Invalid script shebang")
    words = split_line(line)
    if words is None or not words:
        raise err("Invalid engine in script shebang")
    if words[0] != b"#!lua":
        raise err(b"Unexpected engine in script shebang: " + words[0])
    flags: set[bytes] = set()
    for word in words[1:]:
        if not word.startswith(b"flags="):
            raise err(b"Unknown lua shebang option: " + word)
        for flag in word[6:].split(b",") if word[6:] else ():
            if flag not in FLAGS:
                raise err(b"Unexpected flag in script shebang: " + flag)
            flags.add(flag)
    return frozenset(flags)


class Scripting:
    """Everything about Lua of one server."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.calls = Calls(server)
        self.watch = Watch(server, self.calls)
        calls = self.calls
        #: What each engine gets, that of functions with a clock of its own.
        self.host = Host(
            call=calls.call,
            acl_check=calls.acl_check,
            log=calls.log,
            set_repl=calls.set_repl,
            set_resp=calls.set_resp,
            tick=self.watch.tick,
            limit=lambda: server.settings["script-memory-limit"],
        )
        self.engine = Engine(self.host)
        self._generation = self.engine.generation
        self._scripts: dict[bytes, Script] = {}

    # -- the cache

    def __len__(self) -> int:
        return len(self._scripts)

    def __contains__(self, sha: bytes) -> bool:
        return sha.lower() in self._scripts

    @property
    def cached_bytes(self) -> int:
        """What the cache holds, for INFO used_memory_scripts."""
        return sum(len(script.body) + _SCRIPT_OVERHEAD for script in self._scripts.values())

    def load(self, body: bytes) -> Script:
        """The script with this text, compiled and cached.  Raises ReplyError when it cannot be compiled."""
        sha = hashlib.sha1(body).hexdigest().encode()
        script = self._scripts.get(sha)
        if script is None:
            script = Script(sha, body)
            self._compile(script)
            self._scripts[sha] = script
        return script

    def find(self, sha: bytes) -> Script:
        """The cached script of this SHA1 in any letter case.  Raises NOSCRIPT."""
        script = self._scripts.get(sha) or self._scripts.get(sha.lower())
        if script is None:
            raise NO_SCRIPT
        return script

    def flush(self) -> None:
        """SCRIPT FLUSH: forget all scripts and begin with a new interpreter."""
        self._scripts.clear()
        self.engine.close()

    def _let_go(self) -> None:
        """The interpreter was thrown away: the scripts that were compiled in it would keep it, and what it holds."""
        self._generation = self.engine.generation
        for script in self._scripts.values():
            if script.generation != self._generation:
                script.function = None

    def _compile(self, script: Script) -> Any:
        try:
            script.function = self.engine.compile(script.code())
        except CompileError as error:
            raise err(b"Error compiling script (new function): " + error.text) from None
        script.generation = self.engine.generation
        return script.function

    # -- running

    def run(self, client: Client, script: Script, keys: Sequence[bytes], args: Sequence[bytes], read_only: bool) -> Any:
        """EVAL and its kin: returns the reply.  Raises ReplyError."""
        run = Run(client, script.name, read_only=read_only)
        self.admit(client, script.flags, run)
        function = script.function
        if script.generation != self.engine.generation:
            function = self._compile(script)
        return self.execute(run, self.engine, function, keys, args)

    def admit(self, client: Client, flags: frozenset[bytes] | None, run: Run) -> None:
        """The checks before a script starts, in the order of ``dispatch.gate``: as if the script were a command that
        writes and may need memory, unless its flags say otherwise.  Raises ReplyError.
        """
        server = self._server
        denied = server.deny
        if denied & DENY_OOM:
            run.out_of_memory = server.out_of_memory()
        if flags is None:
            if denied & NOT_STALE:
                raise MASTER_DOWN
            return
        run.allow_oom = b"allow-oom" in flags
        read_only = b"no-writes" in flags
        if denied and not client.is_master:
            if run.out_of_memory and not run.allow_oom and not read_only:
                raise OUT_OF_MEMORY
            if not read_only:
                self._admit_writes()
            if denied & NOT_STALE and b"allow-stale" not in flags:
                raise MASTER_DOWN
        if read_only:
            run.read_only = True
        elif run.read_only:
            raise _READ_ONLY_COMMAND

    def _admit_writes(self) -> None:
        server = self._server
        if server.write_error:
            raise MISCONF
        if server.too_few_replicas():
            raise NO_REPLICAS
        if server.read_only:
            raise READ_ONLY

    def execute(self, run: Run, engine: Engine, function: Any, keys: Sequence[bytes], args: Sequence[bytes]) -> Any:
        """Run code compiled by ``engine`` as one unit; return the reply: bytes, int, or encoded.  Raises ReplyError."""
        server, client = self._server, run.caller
        propagation = server.propagation
        self.calls.begin(run, engine.table)
        dirty = server.dirty
        propagation.enter()
        try:
            outcome = engine.run(function, keys, args, client.resp)
        finally:
            self.calls.end()
            self.watch.ended(run)
            if self.engine.generation != self._generation:
                self._let_go()
            if run.abandoned:
                propagation.forget()
            propagation.leave()
            if server.dirty != dirty:
                propagation.suppress()  # the script itself: its effects are what the replicas get
        return self._reply(run, outcome)

    def show(self, client: Client) -> None:
        """Tell MONITOR of EVAL or FCALL before it runs, so that its commands come behind it."""
        if self._server.monitors:
            self._server.feed_monitors(client, client.argv)

    def _reply(self, run: Run, outcome: Outcome) -> Any:
        """What the client is answered.  Errors are counted once, where they came up."""
        text = outcome.error
        if text is None:
            encoded = outcome.encoded
            if encoded is None:
                value = outcome.value
                return value if type(value) is bytes or type(value) is int else _truncated(value)
            if encoded[:1] == b"-":  # the script returned an error
                lookup(run.argv).failed += 1  # type: ignore[union-attr]
                if not outcome.counted:
                    self._server.count_error(encoded[1:-2])
            return Wire(encoded)
        text = c_string(text)
        if outcome.line is not None and outcome.source is not None:
            text += b" script: %b, on %b:%d." % (run.name, outcome.source, outcome.line)
        error = ReplyError(text)
        if not outcome.counted:
            raise error
        lookup(run.argv).failed += 1  # type: ignore[union-attr]
        return error


def _truncated(value: Any) -> int:
    """A Lua number as a 64-bit integer, as a C cast does it on usual machines."""
    if value != value or not -(2.0**63) <= value < 2.0**63:
        return -(1 << 63)
    return int(value)
