"""The subcommands of DEBUG that end the process, or replace it.

Owns: these handlers.  Called by ``debug``.

A crash that a tool asks for is a real one: the process dies by the signal that Redis would die by, nothing is saved, and
nothing is said to the clients.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from typing import Any, NoReturn

from replicad.command import Argv
from replicad.commands.debug_words import Row, number_at_the_start
from replicad.directive_kinds import ConfigError
from replicad.errors import err
from replicad.session import Client

_NOT_RESTARTED = err("failed to restart the server. Check server logs.")
#: The server goes to its own directory later; paths on the command line may be relative to this one.
_START_DIRECTORY = os.getcwd()


def _die(client: Client, argv: Argv, number: int) -> NoReturn:
    word = argv[1].decode("latin-1").upper()
    client.server.log.warning(f"=== DEBUG {word} asked for the end of this process: {signal.Signals(number).name}")
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    os._exit(128 + number)  # should the signal be blocked


def _segfault(client: Client, argv: Argv) -> Any:
    _die(client, argv, signal.SIGSEGV)


def _abort(client: Client, argv: Argv) -> Any:
    _die(client, argv, signal.SIGABRT)


def _restart(client: Client, argv: Argv) -> Any:
    """Write the conf file, save when there are save points, begin anew."""
    server = client.server
    server.propagation.flush()
    try:
        server.settings.rewrite()
        if server.settings["save"]:
            server.saver.save()
    except (ConfigError, OSError) as error:
        server.log.warning(f"Can't restart: {error}")
        raise _NOT_RESTARTED from None
    _begin_anew(client, argv)


def _crash_and_recover(client: Client, argv: Argv) -> Any:
    """Begin anew with what is stored."""
    if client.server.settings.path is None:
        client.server.log.warning("Can't restart: this process was not started using a configuration file.")
        raise _NOT_RESTARTED
    _begin_anew(client, argv)


def _begin_anew(client: Client, argv: Argv) -> NoReturn:
    """Replace the process by one with the same command line; all connections break."""
    log = client.server.log
    log.warning(f"Restarting as DEBUG {argv[1].decode('latin-1').upper()} says")
    client.server.saver.abandon()
    time.sleep(max(0, number_at_the_start(argv[2])) / 1000 if len(argv) > 2 else 0)
    os.chdir(_START_DIRECTORY)
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


_MANY = 1 << 30

ROWS: dict[bytes, Row] = {
    b"ASSERT": (_abort, 2, _MANY, ("", "End the process as a failed assertion does.")),
    b"CRASH-AND-RECOVER": (_crash_and_recover, 2, 3, ("[<milliseconds>]", "Restart, now or so much later, unsaved.")),
    b"OOM": (_abort, 2, _MANY, ("", "End the process as it ends when there is no memory.")),
    b"PANIC": (_abort, 2, _MANY, ("", "End the process as an internal error does.")),
    b"RESTART": (_restart, 2, 3, ("[<milliseconds>]", "Write the conf file, save, and restart.")),
    b"SEGFAULT": (_segfault, 2, _MANY, ("", "End the process by SIGSEGV.")),
}
