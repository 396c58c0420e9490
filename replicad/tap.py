"""``twistd replicad``: the command line and the service.

Owns: how the command line becomes a conf file and options.  Does not own: what directives mean (``config``), the
server.  Called by the plugin in ``twisted/plugins``.

The command line is redis-server's: a conf file, then any directive as an option with its arguments.  That has no
getopt form (``--slaveof localhost 6379`` takes two arguments, ``--save ""`` an empty one), so ``parseOptions`` reads it
by hand.
"""

from __future__ import annotations

import os
import sys
import textwrap
from collections.abc import Sequence

from twisted.application.service import IService
from twisted.python import usage

from replicad import REDIS_VERSION, __version__
from replicad.config import ConfigFileError, Settings, load
from replicad.directives import DIRECTIVES, REFUSED, find

_SYNOPSIS = "twistd [twistd options] replicad [-c] [conf file] [--directive [argument ...] ...]"

_HELP = """\
A Redis-compatible server for replication.

The conf file has the syntax of redis.conf; - reads standard input. Every directive
can also be given as an option after it, as if it stood at the end of the file:

    twistd replicad -c etc/master.conf
    twistd replicad -c etc/master.conf --port 6378 --slaveof localhost 6379
    twistd replicad --save 900 1 --save 300 10 --snapshot-backend lmdb
    twistd --nodaemon --pidfile= replicad --port 7000

With no conf file the defaults of Redis hold, its save points too. A conf file without
a save line switches saving off. twistd's own options (--nodaemon, --pidfile, ...) come
before the word replicad.

  -c, --config <file>   the conf file
  -v, --version         print the version and exit
  -h, --help            print this and exit
"""


class Arguments:
    """The command line taken apart: ``config`` (path or None), ``overrides``, ``wants`` ("", "help" or "version")."""

    def __init__(self) -> None:
        self.config: str | None = None
        self.overrides: list[list[str]] = []
        self.wants = ""


def take_apart(argv: Sequence[str]) -> Arguments:
    """Sort ``argv``.  Raises usage.UsageError for what is neither file, option nor argument of an option."""
    result = Arguments()
    current: list[str] | None = None  # the directive that takes arguments
    rest = list(argv)
    first = True
    while rest:
        word = rest.pop(0)
        # The first argument of a directive may look like an option: a password may start with two dashes.
        is_argument = current is not None and len(current) == 1 and not _is_option(word)
        if not is_argument and word in ("-h", "--help"):
            result.wants = "help"
        elif not is_argument and word in ("-v", "--version"):
            result.wants = "version"
        elif not is_argument and (word in ("-c", "--config") or word.startswith("--config=")):
            if "=" not in word and not rest:
                raise usage.UsageError(f"option {word} needs a file name")
            _set_file(result, word.partition("=")[2] if "=" in word else rest.pop(0))
            current = None
        elif not is_argument and word.startswith("--") and len(word) > 2:
            name, equals, value = word[2:].partition("=")
            if equals and find(name):
                result.overrides.append([name, value])
                current = None
            else:
                current = [word[2:]]
                result.overrides.append(current)
        elif current is not None:
            current.append(word)
        elif first and (word == "-" or not word.startswith("-")):
            _set_file(result, word)
        else:
            raise usage.UsageError(f"unexpected argument {word!r}")
        first = False
    for override in result.overrides:
        if override == ["save"]:
            override.append("")  # a bare --save means no save points, as in redis-server
    return result


def _is_option(word: str) -> bool:
    if word in ("-c", "-h", "--help", "--version") or word.startswith("--config"):
        return True
    name = word[2:].partition("=")[0].lower()
    return word.startswith("--") and (find(name) is not None or name in REFUSED or name in ("include", "user"))


def _set_file(result: Arguments, path: str) -> None:
    if result.config is not None:
        raise usage.UsageError(f"two conf files: {result.config!r} and {path!r}")
    result.config = path


class Options(usage.Options):
    """The options of ``twistd replicad``; ``settings`` is what conf file and options mean together."""

    longdesc = _HELP

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.settings = Settings()
        self._refused = False

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        """Read the command line.  Raises usage.UsageError with file, line number, directive and reason."""
        self._refused = True  # until everything has been accepted
        arguments = take_apart(sys.argv[1:] if options is None else options)
        self._refused = not arguments.wants
        if arguments.wants == "help":
            print(self)
            sys.exit(0)
        if arguments.wants == "version":
            print(f"replicad {__version__} (Redis {REDIS_VERSION})")
            sys.exit(0)
        try:
            self.settings = load(arguments.config, arguments.overrides)
        except ConfigFileError as error:
            raise usage.UsageError(f"configuration error: {error}") from None
        self["config"] = arguments.config
        self._refused = False

    def getSynopsis(self) -> str:
        """The usage line."""
        return f"Usage: {_SYNOPSIS}"

    def getUsage(self, width: int | None = None) -> str:
        """The help text with the names of the directives that act; one line when twistd prints it before an error."""
        if self._refused:
            return "\n'twistd replicad --help' explains the command line.\n"
        columns = width or int(os.environ.get("COLUMNS", "80"))
        names = " ".join(sorted(name for name, row in DIRECTIVES.items() if row.acting and not row.file_only))
        listed = textwrap.fill(
            names, columns, initial_indent="  ", subsequent_indent="  ", break_on_hyphens=False, break_long_words=False
        )
        return f"\n{_HELP}\nDirectives that act (others of redis.conf are accepted):\n{listed}\n"


def makeService(options: Options) -> IService:
    """The server, ready to be started by twistd."""
    from replicad.server import Server  # here, so that --help and errors of the configuration do not wait for it

    server: IService = Server(options.settings)
    return server
