"""Scripts: EVAL, EVALSHA, their read-only forms, SCRIPT.

Owns: the arguments of these commands.  Does not own the scripts (``replicad.scripting``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from replicad.command import command
from replicad.commands.arguments import integer, numbered_keys
from replicad.commands.help import help_of
from replicad.errors import NO_SCRIPT, err, unknown_subcommand
from replicad.resp import OK

if TYPE_CHECKING:
    from replicad.session import Client

_TOO_MANY_KEYS = err("Number of keys can't be greater than number of args")
_NEGATIVE_KEYS = err("Number of keys can't be negative")
_FLUSH_MODES = err("SCRIPT FLUSH only support SYNC|ASYNC option")
_DEBUG_MODES = err("Use SCRIPT DEBUG YES/SYNC/NO")
_NO_DEBUGGER = err("replicad has no script debugger")
_FLAGS = "noscript stale skip_monitor no_mandatory_keys movablekeys"


def script_keys(argv: list[bytes]) -> list[int]:
    """Where the keys of EVAL, FCALL and their kin are; [] when their number does not fit."""
    return numbered_keys(argv, 2)


def keys_and_args(argv: list[bytes]) -> tuple[list[bytes], list[bytes]]:
    """KEYS and ARGV out of ``... numkeys [key ...] [arg ...]`` from the third word on.  Raises ReplyError."""
    count = integer(argv[2])
    if count > len(argv) - 3:
        raise _TOO_MANY_KEYS
    if count < 0:
        raise _NEGATIVE_KEYS
    return argv[3 : 3 + count], argv[3 + count :]


def _eval(client: Client, argv: list[bytes], read_only: bool) -> Any:
    client.server.scripting.show(client)
    keys, args = keys_and_args(argv)
    scripting = client.server.scripting
    return scripting.run(client, scripting.load(argv[1]), keys, args, read_only)


def _evalsha(client: Client, argv: list[bytes], read_only: bool) -> Any:
    scripting = client.server.scripting
    scripting.show(client)
    sha = argv[1]
    if len(sha) != 40:  # Redis looks at the length, then at the keys, then for the script
        raise NO_SCRIPT
    keys, args = keys_and_args(argv)
    return scripting.run(client, scripting.find(sha), keys, args, read_only)


@command(b"EVAL", arity=-3, flags=_FLAGS, find_keys=script_keys, group="scripting", since="2.6.0")
def eval_(client: Client, argv: list[bytes]) -> Any:
    """Executes a Lua script on the server.

    EVAL script numkeys [key [key ...]] [arg [arg ...]]
    """
    return _eval(client, argv, False)


@command(b"EVAL_RO", arity=-3, flags=f"{_FLAGS} readonly", find_keys=script_keys, group="scripting", since="7.0.0")
def eval_ro(client: Client, argv: list[bytes]) -> Any:
    """Executes a Lua script that only reads.

    EVAL_RO script numkeys [key [key ...]] [arg [arg ...]]
    """
    return _eval(client, argv, True)


@command(b"EVALSHA", arity=-3, flags=_FLAGS, find_keys=script_keys, group="scripting", since="2.6.0")
def evalsha(client: Client, argv: list[bytes]) -> Any:
    """Executes a Lua script of the cache, named by the SHA1 of its text.

    EVALSHA sha1 numkeys [key [key ...]] [arg [arg ...]]
    """
    return _evalsha(client, argv, False)


@command(b"EVALSHA_RO", arity=-3, flags=f"{_FLAGS} readonly", find_keys=script_keys, group="scripting", since="7.0.0")
def evalsha_ro(client: Client, argv: list[bytes]) -> Any:
    """Executes a Lua script of the cache that only reads.

    EVALSHA_RO sha1 numkeys [key [key ...]] [arg [arg ...]]
    """
    return _evalsha(client, argv, True)


@command(b"SCRIPT", arity=-2, group="scripting", since="2.6.0")
def script(client: Client, argv: list[bytes]) -> Any:
    """The cache of Lua scripts.

    SCRIPT
    """
    raise unknown_subcommand(b"SCRIPT", argv[1])


@command(b"SCRIPT|DEBUG", arity=3, flags="noscript", group="scripting", since="3.2.0")
def script_debug(client: Client, argv: list[bytes]) -> Any:
    """Sets the mode of the script debugger, which replicad does not have: only NO is accepted.

    SCRIPT DEBUG (YES|SYNC|NO)
    """
    mode = argv[2].upper()
    if mode == b"NO":
        return OK
    raise _NO_DEBUGGER if mode in (b"YES", b"SYNC") else _DEBUG_MODES


@command(b"SCRIPT|EXISTS", arity=-3, flags="noscript", group="scripting", since="2.6.0")
def script_exists(client: Client, argv: list[bytes]) -> Any:
    """Tells which of these scripts are in the cache.

    SCRIPT EXISTS sha1 [sha1 ...]
    """
    scripting = client.server.scripting
    return [int(sha in scripting) for sha in argv[2:]]


@command(b"SCRIPT|FLUSH", arity=-2, flags="noscript", group="scripting", since="2.6.0")
def script_flush(client: Client, argv: list[bytes]) -> Any:
    """Removes all scripts from the cache.

    SCRIPT FLUSH [ASYNC|SYNC]
    """
    if len(argv) > 3 or (len(argv) == 3 and argv[2].upper() not in (b"ASYNC", b"SYNC")):
        raise _FLUSH_MODES
    client.server.scripting.flush()
    return OK


@command(b"SCRIPT|HELP", arity=2, flags="loading stale", group="scripting", since="5.0.0")
def script_help(client: Client, argv: list[bytes]) -> Any:
    """Shows the subcommands.

    SCRIPT HELP
    """
    return help_of(b"SCRIPT")


@command(b"SCRIPT|KILL", arity=2, flags="noscript allow_busy", group="scripting", since="2.6.0")
def script_kill(client: Client, argv: list[bytes]) -> Any:
    """Stops the script that runs, unless it has written.

    SCRIPT KILL
    """
    client.server.scripting.watch.kill(is_eval=True)
    return OK


@command(b"SCRIPT|LOAD", arity=3, flags="noscript stale", group="scripting", since="2.6.0")
def script_load(client: Client, argv: list[bytes]) -> Any:
    """Puts a script into the cache without executing it.

    SCRIPT LOAD script
    """
    return client.server.scripting.load(argv[2]).name
