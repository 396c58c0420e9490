"""What the server knows of one client, without a socket.

Owns: ``Client``: its database, protocol version, transaction, subscriptions, blocking state, and the queue of commands
that wait.  Does not own the connection (``client.py``, or whatever calls ``attach``).  The master of a replica is a Client
too (``is_master``), and so is each attached replica (``replica`` is set).

Commands reach everything else through ``client.server``.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from replicad.command import ANY, TRACKS, Argv, Command
from replicad.resp import BLOCKED, NULL_ARRAY, encode

if TYPE_CHECKING:
    from replicad.acl import User
    from replicad.blocking import Waiting
    from replicad.keyspace import Database
    from replicad.server import Server
    from replicad.tracking import Tracked


class Connection(Protocol):
    """What a Client needs of its connection."""

    def write(self, data: bytes) -> None:
        """Send ``data`` behind everything sent before; never blocks."""

    def flush(self) -> None:
        """Send now what ``write`` keeps back until the end of the turn."""

    def close(self) -> None:
        """Send what is queued, then close."""

    def abort(self) -> None:
        """Close at once."""

    def resume(self) -> None:
        """The client is no longer blocked or paused: go on with the commands that wait."""

    def stop_reading(self) -> None:
        """Take nothing more from the peer; its command runs for long."""

    def go_on_reading(self) -> None:
        """The end of ``stop_reading``."""

    @property
    def queued(self) -> int:
        """Bytes of replies that the peer has not taken yet."""


class _Nowhere:
    """The connection of a client that has none (tests, the master's pseudo client)."""

    queued = 0

    def write(self, data: bytes) -> None:
        pass

    def flush(self) -> None:
        pass

    def close(self) -> None:
        pass

    def abort(self) -> None:
        pass

    def resume(self) -> None:
        pass

    def stop_reading(self) -> None:
        pass

    def go_on_reading(self) -> None:
        pass


NOWHERE = _Nowhere()


class Client:
    """One client.  ``deny`` holds gate bits (see ``command``): non-zero sends each command through ``dispatch.gate``."""

    __slots__ = (
        "__weakref__",
        "account",
        "addr",
        "argv",
        "authenticated",
        "blocked",
        "channels",
        "closing",
        "connection",
        "created",
        "db",
        "deny",
        "extra",
        "id",
        "in_exec",
        "in_script",
        "is_master",
        "laddr",
        "last_command",
        "last_interaction",
        "lib_name",
        "lib_ver",
        "monitor",
        "multi",
        "multi_error",
        "name",
        "no_evict",
        "no_touch",
        "patterns",
        "paused",
        "queue",
        "replica",
        "reply_mode",
        "resp",
        "server",
        "shard_channels",
        "tracking",
        "watch_broken",
        "watched",
        "write_offset",
    )  # fmt: skip

    def __init__(self, server: Server, connection: Connection | None = None, addr: str = "", laddr: str = "") -> None:
        self.server = server
        self.connection: Connection = connection or NOWHERE
        self.id = server.next_client_id()
        self.addr = addr
        self.laddr = laddr
        self.db: Database = server.databases[0]
        self.resp = 2
        self.name = b""
        self.lib_name = b""
        self.lib_ver = b""
        self.account: User | None = server.acl.default  #: whose rights count; None for our master
        self.authenticated = True
        self.deny = 0
        self.multi: list[tuple[Command, Argv]] | None = None  #: the queue of a transaction
        self.multi_error = False  #: a command was refused while queueing: EXEC answers EXECABORT
        self.in_exec = False  #: a queued command runs: nothing may block
        self.in_script = False  #: it runs the commands of scripts
        self.watched: set[tuple[int, bytes]] | None = None
        self.watch_broken = False
        self.channels: dict[bytes, None] | None = None
        self.patterns: dict[bytes, None] | None = None
        self.shard_channels: dict[bytes, None] | None = None
        self.blocked: Waiting | None = None
        self.paused = False  #: CLIENT PAUSE holds a command of this client back
        self.queue: deque[Argv] = deque()  #: complete commands that wait behind a blocking one
        self.argv: Argv = []  #: the command that runs, for a Waiting
        self.monitor = False
        self.tracking: Tracked | None = None  #: CLIENT TRACKING is on
        self.replica: Any = None  #: the Downstream when this client is a replica
        self.is_master = False
        self.reply_mode = "on"  #: on, off, skip (the next command's reply)
        self.closing = False
        self.no_evict = False
        self.no_touch = False
        self.created = time.monotonic()
        self.last_interaction = self.created
        self.last_command: Command | None = None
        self.write_offset = 0  #: the history offset after this client's last command, for WAIT
        self.extra: dict[str, Any] = {}  #: REPLCONF values before the client becomes a replica

    # -- output

    def send(self, data: bytes) -> None:
        """Write encoded bytes that are not the reply to the running command (messages, MONITOR lines)."""
        self.connection.write(data)

    def reply(self, value: Any) -> None:
        """Encode and write a reply that comes late (a blocked client)."""
        if self.reply_mode == "on":
            self.connection.write(encode(value, self.resp))

    def close_after_reply(self) -> None:
        """Close the connection once everything written so far is sent."""
        self.closing = True

    # -- gates

    def update_gate(self) -> None:
        """Recompute ``deny`` from the states that need a closer look at each command."""
        account = self.account
        special = (
            (account is not None and account.restricted)
            or self.must_log_in
            or self.multi is not None
            or self.reply_mode != "on"
            or self.replica is not None
            or self.subscriptions > 0  # with RESP2 it may say little, with RESP3 messages stand between its replies
            or self.monitor
            or self.no_touch
        )
        self.deny = ANY if special else TRACKS if self.tracking is not None else 0

    @property
    def user(self) -> bytes:
        """The name of the user."""
        return b"(superuser)" if self.account is None else self.account.name

    @property
    def must_log_in(self) -> bool:
        """Whether the client has to authenticate first; not so once the user default needs no password any more."""
        return not self.authenticated and self.server.acl.must_log_in

    @property
    def subscriptions(self) -> int:
        """How many channels, patterns and shard channels the client listens to."""
        return len(self.channels or ()) + len(self.patterns or ()) + len(self.shard_channels or ())

    # -- blocking

    def block(
        self,
        keys: Sequence[bytes],
        timeout_ms: int,
        attempt: Callable[[bytes], Any] | None,
        on_timeout: Any = NULL_ARRAY,
        even_gone: bool = False,
    ) -> Any:
        """Wait for one of ``keys`` (of the current database); a command returns what this returns.

        ``attempt(key)`` is called when a key was touched, in the order in which clients began to wait; it returns the
        reply, or BLOCKED to go on waiting.  With ``even_gone`` it is called also for a key that was deleted.
        ``timeout_ms`` 0 waits for ever.  Inside EXEC nothing waits: the reply is
        ``on_timeout`` at once.
        """
        if self.in_exec or self.is_master:
            return on_timeout
        self.server.blocking.add(self, self.db, keys, timeout_ms, attempt, on_timeout).even_gone = even_gone
        return BLOCKED

    def unblock(self, value: Any) -> None:
        """End the waiting with the reply ``value`` and go on with the commands behind."""
        self.server.blocking.discard(self)
        self.reply(value)
        self.connection.resume()

    # -- description

    @property
    def flags(self) -> str:
        """The flags of CLIENT LIST."""
        out = ""
        if self.is_master:
            out += "M"
        if self.replica is not None:
            out += "S"
        if self.monitor:
            out += "O"
        if self.subscriptions:
            out += "P"
        if self.multi is not None or self.in_exec:
            out += "x"
        if self.blocked is not None or self.paused:
            out += "b"
        if self.tracking is not None:
            out += "t" + "R" * self.tracking.broken + "B" * self.tracking.bcast
        if self.watch_broken:
            out += "d"
        if self.closing:
            out += "c"
        if self.no_evict:
            out += "e"
        if self.no_touch:
            out += "T"
        return out or "N"
