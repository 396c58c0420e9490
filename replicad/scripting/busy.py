"""Scripts that run for too long.

Owns: ``Watch``: looks at the clock while a script runs, serves other clients once it is late, and stops it when asked to.
Does not own the hook (``lua/sandbox.lua``) nor what a late script's clients are told (``dispatch.gate``).
"""

from __future__ import annotations

from time import perf_counter_ns
from typing import TYPE_CHECKING

from replicad.errors import ReplyError

if TYPE_CHECKING:
    from replicad.scripting.calls import Calls, Run
    from replicad.server import Server

NOT_BUSY = ReplyError(b"NOTBUSY No scripts in execution right now.")


class Watch:
    """The clock of scripts."""

    def __init__(self, server: Server, calls: Calls) -> None:
        self._server = server
        self._calls = calls

    def tick(self) -> bool:
        """Called by Lua every now and then; true to stop the script."""
        run = self._calls.run
        return run is None or run.killed

    def ended(self, run: Run) -> None:
        """The script has ended."""

    def kill(self, is_eval: bool) -> None:
        """SCRIPT KILL or FUNCTION KILL.  Raises ReplyError."""
        raise NOT_BUSY
