"""The log in the form that operators and tools know: ``pid:role time level message``.

Owns: the line format, the levels, where the lines go.  ``role`` is M (master), S (replica) or C (a child that saves).
Levels from ``loglevel``: debug ``.``, verbose ``-``, notice ``*``, warning ``#``.  Called by everybody who has the server.

Twisted's own log stays what twistd makes of it; errors that Twisted catches come here as warnings through
``server.py``'s observer.  A line holds no line breaks: bytes from the network are shown escaped.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from typing import IO

DEBUG, VERBOSE, NOTICE, WARNING = range(4)
LEVELS = {"debug": DEBUG, "verbose": VERBOSE, "notice": NOTICE, "warning": WARNING, "nothing": 4}
_MARKS = ".-*#"


def _standard_output() -> IO[str] | None:
    """Standard output; in a daemon, whose descriptor 1 is /dev/null, what twistd put into its place: its own log."""
    try:
        if os.fstat(1).st_rdev == os.stat(os.devnull).st_rdev:
            return sys.stdout
    except OSError:
        return sys.stdout
    return sys.__stdout__


class Log:
    """Writes lines to ``path`` (opened for each line, so that rotation needs no signal) or to standard output."""

    def __init__(self, level: str = "notice", path: str = "", role: Callable[[], str] = lambda: "M") -> None:
        self.level = LEVELS[level]
        self.path = path
        self.role = role
        self.stream: IO[str] | None = None  #: chosen at the first line: standard output, or twistd's log in a daemon

    def write(self, level: int, message: str) -> None:
        """One line at ``level``, dropped when below the configured one."""
        if level < self.level:
            return
        now = time.time()
        stamp = time.strftime("%d %b %Y %H:%M:%S", time.localtime(now))
        if "\n" in message or "\r" in message:
            message = message.replace("\r", "\\r").replace("\n", "\\n")
        line = f"{os.getpid()}:{self.role()} {stamp}.{int(now * 1000) % 1000:03d} {_MARKS[level]} {message}\n"
        try:
            if self.path:
                with open(self.path, "a", encoding="utf-8", errors="backslashreplace") as file:
                    file.write(line)
            else:
                if self.stream is None:
                    self.stream = _standard_output()
                stream = self.stream
                if stream is not None:
                    stream.write(line)
                    stream.flush()
        except (OSError, ValueError):
            pass  # a full disk under the log must not stop the server; there is nowhere to tell it

    def debug(self, message: str) -> None:
        """For people who debug replicad."""
        self.write(DEBUG, message)

    def verbose(self, message: str) -> None:
        """Frequent events that seldom matter."""
        self.write(VERBOSE, message)

    def notice(self, message: str) -> None:
        """What an operator wants to know."""
        self.write(NOTICE, message)

    def warning(self, message: str) -> None:
        """What an operator must know."""
        self.write(WARNING, message)
