"""Libraries of functions: FUNCTION LOAD and its kin, FCALL.

Owns: ``Libraries``, the one object of the server that knows the libraries: their code, what they registered, the
interpreter they live in.  Does not own the commands (``commands.functions``), nor how Lua is run and bounded (``engine``,
``scripts``).  Snapshots take the code from ``Server.functions`` and give it back there.

A library is part of the dataset: it is its code, and running the code once makes its functions.  All libraries share an
interpreter, which is not that of EVAL; what they keep in their variables lasts as long as it does.  When a function needed
more memory than allowed, the interpreter is thrown away, and the libraries are loaded again from their code.

A library of a snapshot or of the master that cannot be loaded here (it needs something that this server lacks, or more time)
is kept, without functions, and goes into the next snapshot: it is data.  The log tells.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any

from replicad.errors import ReplyError, err
from replicad.resp import split_line
from replicad.scripting.bytecode import without_lines
from replicad.scripting.calls import Run
from replicad.scripting.engine import CompileError, Engine, Host, Outcome, source_of

if TYPE_CHECKING:
    from replicad.scripting.scripts import Scripting
    from replicad.server import Server
    from replicad.session import Client

#: How long the code of a library may run when a client loads it, in ms; and when it comes from a snapshot or the master,
#: where refusing it would lose it.
LOAD_TIMEOUT_MS = 500
TRUSTED_TIMEOUT_MS = 5000

_BAD_NAME = err(
    "Library names can only contain letters, numbers, or underscores(_) and must be at least one character long"
)
_NO_METADATA = err("Missing library metadata")
_BAD_METADATA = err("Invalid library metadata")
_NO_NAME = err("Library name was not given")
_NAME_TWICE = err("Invalid metadata value, name argument was given multiple times")
_NO_FUNCTIONS = err("No functions registered")
_NO_LIBRARY = err("Library not found")
_NO_FUNCTION = err("Function not found")
_LETTERS = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_")
#: What a library and a function cost beside the code, for INFO.
_LIBRARY_OVERHEAD, _FUNCTION_OVERHEAD = 192, 136


@dataclass(frozen=True, slots=True)
class Function:
    """What a library registered.  ``flags`` in Redis's order; ``callback`` is a Lua function."""

    name: bytes
    flags: tuple[bytes, ...]
    description: bytes | None
    callback: Any


@dataclass(slots=True)
class Library:
    """``code`` with its first line; ``functions`` in the order of registration, empty when the code did not run."""

    name: bytes
    code: bytes
    functions: dict[bytes, Function] = field(default_factory=dict)


def library_name(code: bytes) -> bytes:
    """The name in the first line of a library, ``#!lua name=...``.  Raises ReplyError when the line is wrong."""
    if code[:2] != b"#!":
        raise _NO_METADATA
    line, newline, _ = code.partition(b"\n")
    words = split_line(line) if newline and b"\0" not in line else None
    if not words:
        raise _BAD_METADATA
    name = None
    for word in words[1:]:
        if word[:5].lower() != b"name=":
            raise err(b"Invalid metadata value given: " + word)
        if name is not None:
            raise _NAME_TWICE
        name = word[5:]
    if name is None:
        raise _NO_NAME
    if not name or not _LETTERS.issuperset(name):
        raise _BAD_NAME
    if words[0][2:].lower() != b"lua":
        raise err(b"Engine '%b' not found" % words[0][2:])
    return name


class FunctionEngine(Engine):
    """An interpreter for libraries: the sandbox and ``lua/functions.lua``."""

    _begin: Any
    _finish: Any
    _bind: Any

    def _extend(self, load: Any, *inside: Any) -> None:
        self._begin, self._finish, self._bind = load(source_of("functions"), b"=sandbox", without_lines, *inside)

    def load(self, code: bytes) -> tuple[Outcome, dict[bytes, Function]]:
        """Run the code of a library (from the end of its first line on): what came of it, and its functions.

        Raises CompileError.
        """
        function = self.compile(code, b"@user_function")
        generation = self.generation
        self._begin()
        outcome = self.run(function, (), (), 2)
        functions: dict[bytes, Function] = {}
        if self.generation == generation:
            registered, count = self._finish()
            for index in range(1, int(count) + 1):
                name, callback, flags, *description = registered(index)
                functions[name] = Function(name, tuple(flags.split()), description[0] if description else None, callback)
        return outcome, functions

    def _tidy(self) -> None:
        """What libraries keep in their variables stays, however much it is."""
        self._runtime.gccollect()

    def bind(self, function: Function, keys: Sequence[bytes], args: Sequence[bytes]) -> Any:
        """What ``run`` takes to call a function with these arguments."""
        return self._bind(function.callback, self.table(keys), self.table(args))


class Libraries:
    """All libraries of one server."""

    def __init__(self, server: Server, scripting: Scripting) -> None:
        self._server = server
        self._scripting = scripting
        host: Host = scripting.host
        self._engine = FunctionEngine(replace(host, tick=self._tick))
        self._deadline_ns = 0
        #: The generation of the interpreter that the functions live in.
        self._generation = self._engine.generation
        self.by_name: dict[bytes, Library] = {}
        self._functions: dict[bytes, Function] = {}

    # -- what there is

    @property
    def codes(self) -> tuple[bytes, ...]:
        """The code of each library, as snapshots keep it."""
        return tuple(library.code for library in self.by_name.values())

    @property
    def function_count(self) -> int:
        """The functions of all libraries."""
        return sum(len(library.functions) for library in self.by_name.values())

    @property
    def memory(self) -> int:
        """Bytes that the libraries take outside of the interpreter, for INFO."""
        return sum(
            len(library.code) + _LIBRARY_OVERHEAD + _FUNCTION_OVERHEAD * len(library.functions)
            for library in self.by_name.values()
        )

    @property
    def engine_memory(self) -> int:
        """Bytes that the interpreter uses now."""
        return self._engine.memory

    # -- changes

    def load(self, code: bytes, replaced: bool = False, trusted: bool = False) -> bytes:
        """FUNCTION LOAD: returns the name of the library.  Raises ReplyError, and then nothing has changed."""
        self._make_ready()
        libraries = dict(self.by_name)
        library = self._load_into(libraries, code, replaced, TRUSTED_TIMEOUT_MS if trusted else LOAD_TIMEOUT_MS)
        self._set(libraries)
        return library.name

    def delete(self, name: bytes) -> None:
        """FUNCTION DELETE.  Raises ReplyError."""
        if name not in self.by_name:
            raise _NO_LIBRARY
        self._set({other: library for other, library in self.by_name.items() if other != name})

    def flush(self) -> None:
        """FUNCTION FLUSH: no library is left, and the interpreter goes."""
        self._set({})
        self._engine.close()
        self._generation = self._engine.generation

    def restore(self, codes: Sequence[bytes], policy: bytes) -> None:
        """FUNCTION RESTORE: ``policy`` is FLUSH, APPEND or REPLACE.  Raises ReplyError, and then nothing has changed."""
        self._make_ready()
        restored: dict[bytes, Library] = {}
        for code in codes:
            self._load_into(restored, code, False, LOAD_TIMEOUT_MS)
        libraries = {} if policy == b"FLUSH" else dict(self.by_name)
        for name in restored:
            if libraries.pop(name, None) is not None and policy == b"APPEND":
                raise err(b"Library %b already exists" % name)
        for library in restored.values():
            self._refuse_known(libraries, library)
        self._set(libraries | restored)

    def replace_all(self, codes: Iterable[bytes]) -> None:
        """These libraries and no others: those of a snapshot, or of the master's image.  Raises nothing."""
        self.flush()
        for code in codes:
            try:
                self.load(code, trusted=True)
            except ReplyError as error:
                error.release()
                self._server.log.warning(f"A function library cannot be loaded: {error.text.decode('utf-8', 'replace')}")
                self._keep(code)

    def _keep(self, code: bytes) -> None:
        try:
            name = library_name(code)
        except ReplyError as error:
            error.release()
            return
        self.by_name.setdefault(name, Library(name, code))

    def _set(self, libraries: dict[bytes, Library]) -> None:
        self.by_name = libraries
        self._functions = {
            function.name.lower(): function for library in libraries.values() for function in library.functions.values()
        }

    def _load_into(self, libraries: dict[bytes, Library], code: bytes, replaced: bool, timeout_ms: int) -> Library:
        """Load a library and put it among others.  Raises ReplyError, and then ``libraries`` has not changed."""
        name = library_name(code)
        if name in libraries and not replaced:
            raise err(b"Library '%b' already exists" % name)
        library = Library(name, code, self._run(code, timeout_ms))
        if not library.functions:
            raise _NO_FUNCTIONS
        self._refuse_known({other: one for other, one in libraries.items() if other != name}, library)
        libraries[name] = library
        return library

    @staticmethod
    def _refuse_known(libraries: dict[bytes, Library], library: Library) -> None:
        known = {name.lower() for other in libraries.values() for name in other.functions}
        for name in library.functions:
            if name.lower() in known:
                raise err(b"Function %b already exists" % name)

    def _run(self, code: bytes, timeout_ms: int) -> dict[bytes, Function]:
        """Run the code of a library and return its functions.  Raises ReplyError."""
        self._deadline_ns = perf_counter_ns() + timeout_ms * 1_000_000
        try:
            outcome, functions = self._engine.load(code[code.index(b"\n") :])
            late = perf_counter_ns() > self._deadline_ns
        except CompileError as error:
            raise err(b"Error compiling function: " + error.text) from None
        finally:
            self._deadline_ns = 0
        if outcome.error is not None:
            raise err(b"Error registering functions: " + (b"ERR FUNCTION LOAD timeout" if late else outcome.error))
        return functions

    def _make_ready(self) -> None:
        """See to it that the functions of all libraries are those of the present interpreter."""
        if self._generation == self._engine.generation:
            return
        self._generation = self._engine.generation
        for library in self.by_name.values():
            try:
                library.functions = self._run(library.code, TRUSTED_TIMEOUT_MS)
            except ReplyError as error:
                error.release()
                library.functions = {}
                self._server.log.warning(f"A function library was lost: {error.text.decode('utf-8', 'replace')}")
        self._set(self.by_name)

    def _tick(self) -> bool:
        if self._deadline_ns:
            return perf_counter_ns() > self._deadline_ns
        return self._scripting.watch.tick()

    # -- calls

    def find(self, name: bytes) -> Function:
        """The function of this name, in any letter case.  Raises ReplyError."""
        function = self._functions.get(name) or self._functions.get(name.lower())
        if function is None:
            raise _NO_FUNCTION
        return function

    def call(self, client: Client, name: bytes, keys: Sequence[bytes], args: Sequence[bytes], read_only: bool) -> Any:
        """FCALL and FCALL_RO: returns the reply.  Raises ReplyError."""
        self._make_ready()
        function = self.find(name)
        run = Run(client, function.name, read_only=read_only, is_eval=False)
        self._scripting.admit(client, frozenset(function.flags), run)
        return self._scripting.execute(run, self._engine, self._engine.bind(function, keys, args), (), ())
