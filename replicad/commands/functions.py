"""Functions: FUNCTION, FCALL, FCALL_RO.

Owns: the arguments and replies of these commands.  Does not own the libraries (``replicad.scripting.libraries``).
"""

from __future__ import annotations

from time import perf_counter_ns
from typing import TYPE_CHECKING, Any

from replicad.command import command
from replicad.commands.arguments import integer
from replicad.commands.help import help_of
from replicad.commands.scripting import keys_and_args, script_keys
from replicad.errors import BUSY_SCRIPT, ReplyError, c_string, clean, err, unknown_subcommand
from replicad.glob import match
from replicad.persistence.interfaces import DamagedSnapshot
from replicad.persistence.rdb import NotAFunction, PayloadFooterError, dump_functions, load_functions
from replicad.resp import OK, Wire

if TYPE_CHECKING:
    from replicad.scripting.libraries import Library
    from replicad.session import Client

_FLAGS = "noscript stale skip_monitor no_mandatory_keys movablekeys"
_BAD_KEYS = err("Bad number of keys provided")
_BAD_FOOTER = err("DUMP payload version or checksum are wrong")
_BAD_PAYLOAD = err("Failed loading library payload")
_NOT_A_FUNCTION = err("given type is not a function")
_BAD_POLICY = err("Wrong restore policy given, value should be either FLUSH, APPEND or REPLACE.")
_BAD_FLUSH = err("FUNCTION FLUSH only supports SYNC|ASYNC option")
_NO_PATTERN = err("library name argument was not given")
_POLICIES = (b"FLUSH", b"APPEND", b"REPLACE")


def _wrong_syntax(argv: list[bytes]) -> ReplyError:
    return err(clean(b"unknown subcommand or wrong number of arguments for '%b'. Try FUNCTION HELP." % argv[1][:128]))


def _fcall(client: Client, argv: list[bytes], read_only: bool) -> Any:
    libraries = client.server.libraries
    client.server.scripting.show(client)
    libraries.find(argv[1])
    integer(argv[2], _BAD_KEYS)
    keys, args = keys_and_args(argv)
    return libraries.call(client, argv[1], keys, args, read_only)


@command(b"FCALL", arity=-3, flags=_FLAGS, find_keys=script_keys, group="scripting", since="7.0.0")
def fcall(client: Client, argv: list[bytes]) -> Any:
    """Calls a function of a library.

    FCALL function numkeys [key [key ...]] [arg [arg ...]]
    """
    return _fcall(client, argv, False)


@command(b"FCALL_RO", arity=-3, flags=f"{_FLAGS} readonly", find_keys=script_keys, group="scripting", since="7.0.0")
def fcall_ro(client: Client, argv: list[bytes]) -> Any:
    """Calls a function that only reads.

    FCALL_RO function numkeys [key [key ...]] [arg [arg ...]]
    """
    return _fcall(client, argv, True)


@command(b"FUNCTION", arity=-2, group="scripting", since="7.0.0")
def function(client: Client, argv: list[bytes]) -> Any:
    """Libraries of functions.

    FUNCTION
    """
    raise unknown_subcommand(b"FUNCTION", argv[1])


@command(b"FUNCTION|LOAD", arity=-3, flags="write denyoom noscript", group="scripting", since="7.0.0")
def function_load(client: Client, argv: list[bytes]) -> Any:
    """Creates a library; answers its name.

    FUNCTION LOAD [REPLACE] function-code
    """
    for word in argv[2:-1]:
        if word.upper() != b"REPLACE":
            raise err(b"Unknown option given: " + clean(c_string(word)))
    name = client.server.libraries.load(argv[-1], replaced=len(argv) > 3, trusted=client.is_master)
    client.server.dirty += 1
    return name


@command(b"FUNCTION|DELETE", arity=3, flags="write noscript", group="scripting", since="7.0.0")
def function_delete(client: Client, argv: list[bytes]) -> Any:
    """Deletes a library and all its functions.

    FUNCTION DELETE library-name
    """
    client.server.libraries.delete(argv[2])
    client.server.dirty += 1
    return OK


@command(b"FUNCTION|FLUSH", arity=-2, flags="write noscript", group="scripting", since="7.0.0")
def function_flush(client: Client, argv: list[bytes]) -> Any:
    """Deletes all libraries.

    FUNCTION FLUSH [ASYNC|SYNC]
    """
    if len(argv) > 3:
        raise _wrong_syntax(argv)
    if len(argv) == 3 and argv[2].upper() not in (b"ASYNC", b"SYNC"):
        raise _BAD_FLUSH
    client.server.libraries.flush()
    client.server.dirty += 1
    return OK


@command(b"FUNCTION|LIST", arity=-2, flags="noscript", group="scripting", since="7.0.0")
def function_list(client: Client, argv: list[bytes]) -> Any:
    """Tells which libraries there are and what functions they have.

    FUNCTION LIST [LIBRARYNAME library-name-pattern] [WITHCODE]
    """
    pattern, with_code = _list_options(argv)
    libraries = client.server.libraries.by_name.values()
    shown = [one for one in libraries if pattern is None or match(pattern, one.name, nocase=True)]
    return [_described(one, with_code, client.resp) for one in shown]


def _list_options(argv: list[bytes]) -> tuple[bytes | None, bool]:
    """The pattern of LIBRARYNAME and whether WITHCODE was given.  Raises ReplyError."""
    pattern, with_code = None, False
    words = iter(argv[2:])
    for word in words:
        option = word.upper()
        if option == b"WITHCODE" and not with_code:
            with_code = True
        elif option == b"LIBRARYNAME" and pattern is None:
            pattern = next(words, None)
            if pattern is None:
                raise _NO_PATTERN
        else:
            raise err(b"Unknown argument " + clean(c_string(word)))
    return pattern, with_code


def _described(library: Library, with_code: bool, resp: int) -> dict[bytes, Any]:
    reply: dict[bytes, Any] = {
        b"library_name": library.name,
        b"engine": b"LUA",
        b"functions": [
            {b"name": one.name, b"description": one.description, b"flags": _status_set(one.flags, resp)}
            for one in library.functions.values()
        ],
    }
    if with_code:
        reply[b"library_code"] = library.code
    return reply


def _status_set(words: tuple[bytes, ...], resp: int) -> Wire:
    """A set of simple strings that keeps its order."""
    head = b"~%d\r\n" if resp == 3 else b"*%d\r\n"
    return Wire(b"".join([head % len(words), *(b"+%b\r\n" % word for word in words)]))


@command(b"FUNCTION|STATS", arity=2, flags="noscript allow_busy", group="scripting", since="7.0.0")
def function_stats(client: Client, argv: list[bytes]) -> Any:
    """Tells which function runs, and how many there are.

    FUNCTION STATS
    """
    libraries, run = client.server.libraries, client.server.scripting.calls.run
    running: dict[bytes, Any] | None = None
    if run is not None:
        if run.is_eval:
            raise BUSY_SCRIPT
        running = {
            b"name": run.name,
            b"command": list(run.argv),
            b"duration_ms": (perf_counter_ns() - run.started_ns) // 1_000_000,
        }
    counts = {b"libraries_count": len(libraries.by_name), b"functions_count": libraries.function_count}
    return {b"running_script": running, b"engines": {b"LUA": counts}}


@command(b"FUNCTION|KILL", arity=2, flags="noscript allow_busy", group="scripting", since="7.0.0")
def function_kill(client: Client, argv: list[bytes]) -> Any:
    """Stops the function that runs, unless it has written.

    FUNCTION KILL
    """
    client.server.scripting.watch.kill(is_eval=False)
    return OK


@command(b"FUNCTION|DUMP", arity=2, flags="noscript", group="scripting", since="7.0.0")
def function_dump(client: Client, argv: list[bytes]) -> Any:
    """Answers all libraries as one string for FUNCTION RESTORE.

    FUNCTION DUMP
    """
    return dump_functions(client.server.libraries.codes)


@command(b"FUNCTION|RESTORE", arity=-3, flags="write denyoom noscript", group="scripting", since="7.0.0")
def function_restore(client: Client, argv: list[bytes]) -> Any:
    """Creates the libraries of a string that FUNCTION DUMP made.

    FUNCTION RESTORE serialized-value [FLUSH|APPEND|REPLACE]
    """
    if len(argv) > 4:
        raise _wrong_syntax(argv)
    policy = argv[3].upper() if len(argv) == 4 else b"APPEND"
    if policy not in _POLICIES:
        raise _BAD_POLICY
    try:
        codes = load_functions(argv[2])
    except PayloadFooterError:
        raise _BAD_FOOTER from None
    except NotAFunction:
        raise _NOT_A_FUNCTION from None
    except DamagedSnapshot:
        raise _BAD_PAYLOAD from None
    client.server.libraries.restore(codes, policy)
    client.server.dirty += 1
    return OK


@command(b"FUNCTION|HELP", arity=2, flags="loading stale", group="scripting", since="7.0.0")
def function_help(client: Client, argv: list[bytes]) -> Any:
    """Shows the subcommands.

    FUNCTION HELP
    """
    return help_of(b"FUNCTION")
