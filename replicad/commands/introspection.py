"""What the server tells about its commands: the COMMAND family.

Owns: COMMAND and its subcommands.  Does not own the table and its categories (``command``), the arguments of COMMAND DOCS
(``syntax``), nor the key specifications (``keyspecs``).
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from replicad.command import Argv, Command, all_commands, categories_of, command, every_command, lookup
from replicad.commands.help import help_of
from replicad.commands.syntax import arguments_of
from replicad.errors import SYNTAX, err, unknown_subcommand
from replicad.glob import match
from replicad.keyspecs import KeySpec, specs_of, tips_of, uses_of
from replicad.resp import Replies, Simple, Wire, encode
from replicad.session import Client

_FLAGS = (
    "write readonly denyoom admin pubsub noscript blocking loading stale skip_monitor skip_slowlog asking fast no_auth "
    "no_mandatory_keys no_async_loading no_multi movablekeys allow_busy"
).split()

_NOT_A_COMMAND = err("Invalid command specified")
_NO_KEYS = err("The command has no key arguments")
_WRONG_COUNT = err("Invalid number of arguments specified for command")
_WRONG_ARGUMENTS = err("Invalid arguments specified for command")


def subcommands_of(cmd: Command) -> list[Command]:
    """Each subcommand once."""
    return list({id(sub): sub for sub in cmd.subcommands.values()}.values())


def flags_of(cmd: Command) -> list[bytes]:
    """The flags that clients are told."""
    return [word.encode() for word in _FLAGS if word in cmd.flags]


def ordered_set(items: list[Any], resp: int) -> Any:
    """A set in RESP3 whose elements may be anything, in the order given."""
    return items if resp == 2 else Replies([Wire(b"~%d\r\n" % len(items)), *items])


def _details(cmd: Command, resp: int) -> list[Any]:
    """The ten elements of COMMAND INFO."""
    return [
        cmd.name,
        cmd.arity,
        ordered_set([Simple(flag) for flag in flags_of(cmd)], resp),
        *cmd.keys,
        ordered_set([Simple(b"@" + name.encode()) for name in categories_of(cmd)], resp),
        ordered_set(list(tips_of(cmd.name)), resp),
        ordered_set([_spec(spec, resp) for spec in specs_of(cmd.name)], resp),
        ordered_set([_details(sub, resp) for sub in subcommands_of(cmd)], resp),
    ]


def _spec(spec: KeySpec, resp: int) -> dict[bytes, Any]:
    begin: dict[bytes, Any]
    find: dict[bytes, Any]
    if spec.start is None:
        begin = find = {b"type": b"unknown", b"spec": {}}
    else:
        if spec.keyword is None:
            begin = {b"type": b"index", b"spec": {b"index": spec.start}}
        else:
            begin = {b"type": b"keyword", b"spec": {b"keyword": spec.keyword, b"startfrom": spec.start}}
        if spec.keynum:
            find = {b"type": b"keynum", b"spec": {b"keynumidx": 0, b"firstkey": 1, b"keystep": 1}}
        else:
            run = {b"lastkey": spec.last, b"keystep": spec.step, b"limit": spec.limit}
            find = {b"type": b"range", b"spec": run}
    return {b"flags": ordered_set([Simple(flag) for flag in spec.flags], resp), b"begin_search": begin, b"find_keys": find}


# The table does not change while the server runs, and building these replies takes a hundred times as long as sending them.


@lru_cache(2)
def _all_details(resp: int) -> Wire:
    return Wire(encode([_details(cmd, resp) for cmd in all_commands()], resp))


@lru_cache(2)
def _all_docs(resp: int) -> Wire:
    return Wire(encode({cmd.name: _docs(cmd) for cmd in all_commands()}, resp))


@command(b"COMMAND", -1, "loading stale", group="server", since="2.8.13", categories="connection")
def command_(client: Client, argv: Argv) -> Any:
    """Returns details about every command.

    COMMAND
    """
    if len(argv) > 1:
        raise unknown_subcommand(b"COMMAND", argv[1])
    return _all_details(client.resp)


_PLAIN = "loading stale"


@command(b"COMMAND|COUNT", 2, _PLAIN, group="server", since="2.8.13", categories="connection")
def command_count(client: Client, argv: Argv) -> int:
    """Returns the number of commands.

    COMMAND COUNT
    """
    return len(all_commands())


def _named(name: bytes) -> Command | None:
    """A command by its full name, ``container|sub`` for a subcommand."""
    container, _, sub = name.partition(b"|")
    cmd = lookup([container, sub] if sub else [container])
    return cmd if cmd is not None and bool(cmd.container) == bool(sub) else None


@command(b"COMMAND|INFO", -2, _PLAIN, group="server", since="2.8.13", categories="connection")
def command_info(client: Client, argv: Argv) -> Any:
    """Returns details about the named commands, or about all.

    COMMAND INFO [command-name [command-name ...]]
    """
    if len(argv) == 2:
        return _all_details(client.resp)
    found = [_named(name) for name in argv[2:]]
    return [_details(cmd, client.resp) if cmd is not None else None for cmd in found]


@lru_cache(None)
def _docs(cmd: Command) -> dict[bytes, Any]:
    docs: dict[bytes, Any] = {
        b"summary": cmd.summary.encode(),
        b"since": cmd.since.encode(),
        b"group": cmd.group.encode(),
    }
    if cmd.subcommands:
        docs[b"subcommands"] = {sub.name: _docs(sub) for sub in subcommands_of(cmd)}
    else:
        arguments = arguments_of(cmd.name, cmd.syntax, bool(cmd.keys[0] or cmd.find_keys))
        if arguments:
            docs[b"arguments"] = arguments
    return docs


@command(b"COMMAND|DOCS", -2, _PLAIN, group="server", since="7.0.0", categories="connection")
def command_docs(client: Client, argv: Argv) -> Any:
    """Returns what the named commands do and which arguments they take; of all commands when none is named.

    COMMAND DOCS [command-name [command-name ...]]
    """
    if len(argv) == 2:
        return _all_docs(client.resp)
    return {cmd.name: _docs(cmd) for name in argv[2:] if (cmd := _named(name)) is not None}


@command(b"COMMAND|LIST", -2, _PLAIN, group="server", since="7.0.0", categories="connection")
def command_list(client: Client, argv: Argv) -> Any:
    """Returns the names of the commands, of all or of those that a filter picks.

    COMMAND LIST [FILTERBY MODULE module-name | ACLCAT category | PATTERN pattern]
    """
    if len(argv) == 2:
        return [cmd.name for cmd in every_command()]
    if len(argv) != 5 or argv[2].lower() != b"filterby":
        raise SYNTAX
    how, what = argv[3].lower(), argv[4]
    if how == b"module":
        return []
    if how == b"aclcat":
        wanted = what.decode("latin-1").lower()
        return [cmd.name for cmd in every_command() if wanted in categories_of(cmd)]
    if how == b"pattern":
        return [cmd.name for cmd in every_command() if match(what, cmd.name, nocase=True)]
    raise SYNTAX


def _keys_with_flags(argv: Argv) -> list[tuple[bytes, tuple[bytes, ...]]]:
    """The keys of a whole command, each with the flags of its use.  Raises the errors of COMMAND GETKEYS."""
    cmd = lookup(argv)
    if cmd is None:
        raise _NOT_A_COMMAND
    specs = specs_of(cmd.name)
    if (not specs and not cmd.keys[0] and cmd.find_keys is None) or any(b"not_key" in spec.flags for spec in specs):
        raise _NO_KEYS
    if not cmd.least <= len(argv) <= cmd.most:
        raise _WRONG_COUNT
    found = uses_of(cmd, argv)
    if not found and "no_mandatory_keys" not in cmd.flags:
        raise _WRONG_ARGUMENTS
    return [(argv[place], flags) for place, flags in found]


@command(b"COMMAND|GETKEYS", -4, _PLAIN, group="server", since="2.8.13", categories="connection")
def command_getkeys(client: Client, argv: Argv) -> list[bytes]:
    """Returns the keys in a whole command.

    COMMAND GETKEYS command [arg [arg ...]]
    """
    return [key for key, _ in _keys_with_flags(argv[2:])]


@command(b"COMMAND|GETKEYSANDFLAGS", -4, _PLAIN, group="server", since="7.0.0", categories="connection")
def command_getkeysandflags(client: Client, argv: Argv) -> Any:
    """Returns the keys in a whole command, and how it uses each.

    COMMAND GETKEYSANDFLAGS command [arg [arg ...]]
    """
    return [
        [key, ordered_set([Simple(flag) for flag in flags], client.resp)] for key, flags in _keys_with_flags(argv[2:])
    ]


@command(b"COMMAND|HELP", 2, _PLAIN, group="server", since="5.0.0", categories="connection")
def command_help(client: Client, argv: Argv) -> Any:
    """Lists the subcommands.

    COMMAND HELP
    """
    return help_of(b"COMMAND")
