"""The interpreter: one Lua 5.1 in this process, its sandbox, its memory limit.

Owns: ``Engine``, ``Outcome``.  Does not own what ``redis.call`` does (``calls``), when a script is stopped (``busy``), nor
which scripts there are (``scripts``).  Used by ``scripts`` for EVAL and by whoever runs other Lua code (FUNCTION).

Safety.  Scripts see nothing of Python: the host's functions are upvalues of Lua closures in ``lua/sandbox.lua``, they
return strings, numbers, booleans, nil or tables of these, and they do not raise.  If one did, the sandbox would replace the
exception before a script can hold it, and ``attribute_filter`` refuses every attribute besides.

Memory.  lupa can limit what Lua allocates, and above the limit Lua raises an error.  Inside a protected call that is an
error like any other; outside it ends the process ("PANIC: unprotected error"), and across a Python frame it would leave
references and the GIL behind.  So the limit is in force only while Lua code runs: ``run`` in the sandbox sets it as its
first act and lifts it as its last, and each call of the host is surrounded by lifting and setting.  When an allocation has
failed, the interpreter is thrown away afterwards and the next script gets a new one (25 us, and 200 us for the sandbox).
Lua 5.1 does not collect garbage when an allocation fails, so ``tick`` does it before, when half of the limit is in use.

Rejected: a process per script (each redis.call would cost two context switches), one without the allocator's limit (a
single string.rep or concatenation allocates gigabytes between two hooks).

The life of a unit of code: ``compile`` once, ``run`` often.  ``generation`` changes when the interpreter was replaced; what
was compiled before is of no use then (``ForeignCode``).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, NamedTuple

from lupa import lua51

from replicad import REDIS_VERSION
from replicad.scripting.bytecode import flatten, without_lines
from replicad.scripting.lua_libraries import load as load_libraries

#: After a script that leaves more than this part of the limit in use the garbage is collected at once: the next script
#: begins with what this one left, and Lua does not collect when an allocation fails.  If there is still more, a new
#: interpreter is made.
_KEPT_PART = 8
#: So many keys and arguments are passed one by one, more in tables.
_FEW = 50


class CompileError(Exception):
    """Lua's compiler refused; ``text`` is its message."""

    def __init__(self, text: bytes) -> None:
        super().__init__(text)
        self.text = text


class Outcome(NamedTuple):
    """What became of a run.  When ``error`` is None exactly one of the others is the result.

    ``value``: bytes or a number (an integer reply, to be truncated); ``encoded``: the bytes of the whole reply.
    ``error``: the text; ``source`` and ``line``: where; ``counted``: the error statistics know it already.
    """

    value: bytes | float | None = None
    encoded: bytes | None = None
    error: bytes | None = None
    source: bytes | None = None
    line: int | None = None
    counted: bool = False


@dataclass(frozen=True, slots=True)
class Host:
    """What the engine asks of its surroundings.  None of these may raise.

    ``call(*args)``: redis.call; returns a value for Lua, (None, error text, whether it was counted), or (None, None,
    status).
    ``acl_check(*args)``: redis.acl_check_cmd; returns a boolean, or (None, error text).
    ``log(level, text)``, ``set_repl(flags)``, ``set_resp(version)``: the functions of that name.
    ``tick()``: called now and then while a script runs; true to stop it.
    ``limit()``: the memory that scripts may use, in bytes.
    """

    call: Callable[..., Any]
    acl_check: Callable[..., Any]
    log: Callable[[int, bytes], None]
    set_repl: Callable[[int], None]
    set_resp: Callable[[int], None]
    tick: Callable[[], bool]
    limit: Callable[[], int]


class _Limits:
    """The runtime's limit as the sandbox moves it.

    It holds the runtime, whose Lua code holds functions made from it: ``cut`` ends the cycle, which the collector would not
    look for.
    """

    def __init__(self, runtime: Any, tick: Callable[[], bool], bytes_allowed: int) -> None:
        self.runtime = runtime
        self._tick = tick
        self.bytes_allowed = bytes_allowed
        self._collected = 0

    def cut(self) -> None:
        """Let go of the runtime."""
        del self.runtime

    def lift(self) -> None:
        """No limit: Python converts values, or nothing runs."""
        self.runtime.set_max_memory(0)

    def restrict(self) -> None:
        """Lua code goes on."""
        self.runtime.set_max_memory(self.bytes_allowed)

    def fits(self) -> bool:
        """Lua code goes on with what the host gave it, but when that is too much: then False, and there is no limit yet."""
        runtime, allowed = self.runtime, self.bytes_allowed
        if runtime.get_memory_used() > allowed:
            return False
        runtime.set_max_memory(allowed)
        return True

    def tick(self) -> bool:
        """The hook: collects garbage when memory is short, then asks the host.  Leaves the limit as it was."""
        runtime = self.runtime
        limited = runtime.get_max_memory() != 0
        runtime.set_max_memory(0)
        try:
            used = runtime.get_memory_used()
            if used > self.bytes_allowed // 2 and used > self._collected + self._collected // 4:
                runtime.gccollect()
                self._collected = runtime.get_memory_used()
            return self._tick()
        finally:
            if limited:
                runtime.set_max_memory(self.bytes_allowed)

    def begin(self, bytes_allowed: int) -> None:
        """A script begins."""
        self.bytes_allowed = bytes_allowed
        self._collected = 0


class Engine:
    """One interpreter.  Not reentrant: a script cannot run a script."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self.generation = 0
        self._runtime: Any = None
        self._limits: _Limits
        self._compile: Any = None
        self._run: Any = None
        #: Makes Lua tables for ``Host.call``: lupa's ``table_from`` of the present interpreter.
        self.table: Any = None

    @property
    def memory(self) -> int:
        """Bytes that Lua uses now."""
        return self._runtime.get_memory_used(total=True) if self._runtime is not None else 0

    def compile(self, body: bytes, name: bytes = b"@user_script") -> Any:
        """A function of the present interpreter.  ``name`` is a chunk name of Lua's.  Raises CompileError."""
        if self._runtime is None:
            self._open()
        function, error = self._compile(body, name)
        if function is None:
            raise CompileError(error)
        return function

    def run(self, function: Any, keys: Sequence[bytes], args: Sequence[bytes], resp: int) -> Outcome:
        """Call what ``compile`` returned with KEYS and ARGV; the result is encoded for RESP version ``resp``."""
        runtime, limits = self._runtime, self._limits
        limits.begin(self._host.limit())
        try:
            if len(keys) + len(args) <= _FEW:
                result = self._run(function, resp, len(keys), *keys, *args)
            else:
                result = self._run(function, resp, None, self.table(keys), self.table(args))
        except lua51.LuaError as error:
            limits.lift()  # before anything else: the next access of the runtime would end the process
            self.close()
            if isinstance(error, lua51.LuaMemoryError):
                return Outcome(error=b"ERR not enough memory")
            return Outcome(error=b"ERR " + str(error).encode("latin-1", "replace"))
        if runtime.get_memory_used() > limits.bytes_allowed // _KEPT_PART:
            self._tidy()
        if result[0]:
            return Outcome(*result[1:])
        return Outcome(None, None, *result[1:])

    def _tidy(self) -> None:
        """A script has used much memory: give it back."""
        self._runtime.gccollect()
        if self._runtime.get_memory_used() > self._limits.bytes_allowed // _KEPT_PART:
            self.close()

    def close(self) -> None:
        """Throw the interpreter away; the next use makes a new one."""
        if self._runtime is not None:
            self.generation += 1
            self._compile = self._run = self.table = None
            self._limits.cut()
            self._runtime = None

    def _open(self) -> None:
        host = self._host
        # The allocator counts only when a limit was given, be it 0: none.
        runtime = lua51.LuaRuntime(
            encoding=None,
            register_eval=False,
            register_builtins=False,
            unpack_returned_tuples=True,
            attribute_filter=_no_attribute,
            max_memory=0,
        )
        self._runtime = runtime
        self._limits = limits = _Limits(runtime, host.tick, host.limit())
        self.table = runtime.table_from
        load = runtime.execute(
            b"local loadstring, dump = loadstring, string.dump\n"
            b"return function(text, name, adapt, ...)\n"
            b"return loadstring(adapt(dump(assert(loadstring(text, name)))), name)(...) end"
        )

        libraries = load_libraries(runtime)
        libraries[b"version"] = REDIS_VERSION.encode()
        libraries[b"version_number"] = _version_number(REDIS_VERSION)
        self._compile, self._run, sandbox_globals, read_only, _ = load(
            *(source_of("sandbox"), b"=sandbox", without_lines),
            *(limits.lift, limits.restrict, limits.fits, limits.tick, host.call, host.acl_check, host.log, _sha1hex),
            *(host.set_repl, host.set_resp, flatten, libraries),
        )
        self._extend(load, sandbox_globals, read_only)
        # lupa asks the globals for `debug` before each call, outside of any protection: they hold nothing at all.
        runtime.execute(b"local all = _G for name in pairs(all) do all[name] = nil end")


    def _extend(self, load: Any, sandbox_globals: Any, read_only: Any) -> None:
        """More of the host's Lua code, for engines that have it: the chance to put it behind the sandbox.

        ``load(text, chunk name, adapt, *arguments)`` runs it; the rest is the sandbox's inside.
        """


def source_of(file: str) -> bytes:
    """The text of a Lua file of the host."""
    return (files("replicad.scripting") / "lua" / f"{file}.lua").read_bytes()


def _no_attribute(obj: object, name: object, is_setting: bool) -> str:
    raise AttributeError("not accessible")


def _sha1hex(text: bytes) -> bytes:
    return hashlib.sha1(text).hexdigest().encode()


def _version_number(version: str) -> int:
    major, minor, patch = (int(part) for part in version.split("."))
    return major << 16 | minor << 8 | patch
