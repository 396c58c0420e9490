"""Looking at a running server: SLOWLOG, MONITOR.

Owns: the commands.  Does not own the slow log and the list of monitors (``observe``).
"""

from __future__ import annotations

from typing import Any

from replicad.command import Argv, command
from replicad.commands.arguments import integer
from replicad.commands.help import help_of
from replicad.errors import clean, err, unknown_subcommand
from replicad.resp import OK
from replicad.session import Client

_ADMIN = "admin noscript loading stale"
_COUNT = err("count should be greater than or equal to -1")


# -- SLOWLOG


@command(b"SLOWLOG", -2, group="server", since="2.2.12")
def slowlog(client: Client, argv: Argv) -> Any:
    """Commands about the slow log."""
    raise unknown_subcommand(b"SLOWLOG", argv[1])


@command(b"SLOWLOG|GET", -2, "admin loading stale", group="server", since="2.2.12")
def slowlog_get(client: Client, argv: Argv) -> Any:
    """Returns the newest entries: number, Unix time, microseconds, arguments, client address and name.

    SLOWLOG GET [count]
    """
    if len(argv) > 3:
        raise err(b"unknown subcommand or wrong number of arguments for '%b'. Try SLOWLOG HELP." % clean(argv[1]))
    count = 10
    if len(argv) == 3:
        count = integer(argv[2], _COUNT)
        if count < -1:
            raise _COUNT
    return client.server.slowlog.get(count)


@command(b"SLOWLOG|LEN", 2, "admin loading stale", group="server", since="2.2.12")
def slowlog_len(client: Client, argv: Argv) -> int:
    """Returns the number of entries.

    SLOWLOG LEN
    """
    return len(client.server.slowlog)


@command(b"SLOWLOG|RESET", 2, "admin loading stale", group="server", since="2.2.12")
def slowlog_reset(client: Client, argv: Argv) -> Any:
    """Forgets all entries.

    SLOWLOG RESET
    """
    client.server.slowlog.reset()
    return OK


@command(b"SLOWLOG|HELP", 2, "loading stale", group="server", since="6.2.0")
def slowlog_help(client: Client, argv: Argv) -> Any:
    """Lists the subcommands.

    SLOWLOG HELP
    """
    return help_of(b"SLOWLOG")


@command(b"MONITOR", 1, _ADMIN, group="server")
def monitor(client: Client, argv: Argv) -> Any:
    """Shows every command that the server executes, until the connection ends.

    MONITOR
    """
    if client.in_exec:
        raise err("MONITOR isn't allowed for DENY BLOCKING client")
    if client.replica is None and not client.is_master:
        client.server.monitors.add(client)
    return OK
