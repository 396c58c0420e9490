"""MODULE: Redis's modules are C libraries, and none of them can be loaded here.

Owns: the commands, which answer as a Redis does that finds no such file.  Values of modules in snapshots and in the stream
of a master are kept as they are (``values.ModuleValue``).
"""

from __future__ import annotations

from typing import Any

from replicad.command import Argv, command
from replicad.commands.help import help_of
from replicad.commands.server import is_local
from replicad.errors import err, unknown_subcommand
from replicad.session import Client

_NOT_ALLOWED = err(
    'MODULE command not allowed. If the enable-module-command option is set to "local", you can run it from a local '
    "connection, otherwise you need to set this option in the configuration file, and then restart the server."
)
_NOT_LOADED = err("Error loading the extension. Please check the server logs.")
_NO_SUCH_MODULE = err("Error unloading module: no such module with that name")


def _check(client: Client) -> None:
    """The directive enable-module-command.  Raises ReplyError."""
    allowed = client.server.settings["enable-module-command"]
    if not (allowed == "yes" or (allowed == "local" and is_local(client))):
        raise _NOT_ALLOWED


@command(b"MODULE", -2, group="server", since="4.0.0")
def module(client: Client, argv: Argv) -> Any:
    """Commands about modules, of which there are none."""
    raise unknown_subcommand(b"MODULE", argv[1])


@command(b"MODULE|LIST", 2, "admin noscript", group="server", since="4.0.0")
def module_list(client: Client, argv: Argv) -> list[Any]:
    """Returns the loaded modules: an empty list.

    MODULE LIST
    """
    return []


def _refuse(client: Client, argv: Argv) -> Any:
    _check(client)
    client.server.log.warning(f"Module {argv[2].decode('utf-8', 'backslashreplace')} failed to load")
    raise _NOT_LOADED


@command(b"MODULE|LOAD", -3, "admin noscript no_async_loading", group="server", since="4.0.0")
def module_load(client: Client, argv: Argv) -> Any:
    """Refused: modules of Redis cannot be loaded.

    MODULE LOAD path [arg [arg ...]]
    """
    return _refuse(client, argv)


@command(b"MODULE|LOADEX", -3, "admin noscript no_async_loading", group="server", since="7.0.0")
def module_loadex(client: Client, argv: Argv) -> Any:
    """Refused: modules of Redis cannot be loaded, with or without directives of their own.

    MODULE LOADEX path [CONFIG name value [CONFIG name value ...]] [ARGS arg [arg ...]]
    """
    return _refuse(client, argv)


@command(b"MODULE|UNLOAD", 3, "admin noscript no_async_loading", group="server", since="4.0.0")
def module_unload(client: Client, argv: Argv) -> Any:
    """Refused: no module is loaded.

    MODULE UNLOAD name
    """
    _check(client)
    raise _NO_SUCH_MODULE


@command(b"MODULE|HELP", 2, "loading stale", group="server", since="5.0.0")
def module_help(client: Client, argv: Argv) -> Any:
    """Lists the subcommands.

    MODULE HELP
    """
    return help_of(b"MODULE")
