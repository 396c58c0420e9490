"""What operators look at while the server runs: MONITOR, the slow log, latency events.

Owns: the list of MONITOR clients and the lines they get; the slow log; the samples of LATENCY.  Called by dispatch, the
commands and the server.
"""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING

from replicad.command import Argv, Command

if TYPE_CHECKING:
    from replicad.server import Server
    from replicad.session import Client

_MAX_ARGUMENTS = 32
_MAX_LENGTH = 128


def quoted(text: bytes) -> bytes:
    """``text`` in double quotes with escapes, as MONITOR shows arguments."""
    out = bytearray(b'"')
    for c in text:
        if c in (34, 92):
            out += b"\\" + bytes([c])
        elif c == 10:
            out += b"\\n"
        elif c == 13:
            out += b"\\r"
        elif c == 9:
            out += b"\\t"
        elif c == 7:
            out += b"\\a"
        elif c == 8:
            out += b"\\b"
        elif 32 <= c < 127:
            out.append(c)
        else:
            out += b"\\x%02x" % c
    return bytes(out + b'"')


class Monitors:
    """Clients that said MONITOR."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._clients: dict[Client, None] = {}
        self.waiting: tuple[Client, Argv] | None = None
        self._own = b""

    def __len__(self) -> int:
        return len(self._clients)

    def note(self, client: Client, argv: Argv) -> None:
        """Show ``argv`` once it has run: with the passwords taken out, and behind what EXEC executes."""
        self._own = self.flush()
        self.waiting = (client, argv)

    def flush(self) -> bytes:
        """Show the command that was noted.  Returns what the client that sent it gets behind its replies, if it watches."""
        if self.waiting is not None:
            noted, self.waiting = self.waiting, None
            self.feed(*noted)
        own, self._own = self._own, b""
        return own

    def add(self, client: Client) -> None:
        """``client`` sees every command from now on."""
        client.monitor = True
        client.update_gate()
        self._clients[client] = None
        self._server.update_gates()

    def discard(self, client: Client) -> None:
        """``client`` sees no more commands."""
        if client in self._clients:
            del self._clients[client]
            client.monitor = False
            client.update_gate()
            self._server.update_gates()

    def feed(self, client: Client, argv: Argv) -> None:
        """Show ``argv``, which ``client`` has executed."""
        now = time.time()
        line = b"+%d.%06d [%d %b] %b\r\n" % (
            int(now),
            int(now * 1e6) % 1_000_000,
            client.db.index,
            client.addr.encode(),
            b" ".join(map(quoted, argv)),
        )
        for monitor in list(self._clients):
            if monitor is client:
                self._own += line
            else:
                monitor.send(line)


class SlowLog:
    """The latest commands that took longer than slowlog-log-slower-than."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._entries: deque[tuple[int, int, int, list[bytes], bytes, bytes]] = deque()
        self._next_id = 0

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, client: Client, cmd: Command, argv: Argv, elapsed_us: int) -> None:
        """Record one execution; long arguments are shortened as Redis does it."""
        if "skip_slowlog" in cmd.flags:
            return
        shown = []
        for arg in argv[: _MAX_ARGUMENTS - 1 if len(argv) > _MAX_ARGUMENTS else _MAX_ARGUMENTS]:
            if len(arg) > _MAX_LENGTH:
                arg = arg[:_MAX_LENGTH] + b"... (%d more bytes)" % (len(arg) - _MAX_LENGTH)
            shown.append(arg)
        if len(argv) > _MAX_ARGUMENTS:
            shown.append(b"... (%d more arguments)" % (len(argv) - _MAX_ARGUMENTS + 1))
        self._entries.appendleft(
            (self._next_id, int(time.time()), elapsed_us, shown, client.addr.encode(), client.name)
        )
        self._next_id += 1
        limit = self._server.settings["slowlog-max-len"]
        while len(self._entries) > limit:
            self._entries.pop()

    def get(self, count: int) -> list[list[object]]:
        """The newest ``count`` entries as SLOWLOG GET answers them (all when negative)."""
        entries = list(self._entries)
        return [list(entry) for entry in (entries if count < 0 else entries[:count])]

    def reset(self) -> None:
        """Forget all entries."""
        self._entries.clear()


class OpsMeter:
    """instantaneous_ops_per_sec and its network companions: the mean over the last 16 samples of 100 ms."""

    def __init__(self) -> None:
        self._samples: list[tuple[int, int, int, int]] = []

    def sample(self, now_ms: int, commands: int, received: int, sent: int) -> None:
        """Take a sample."""
        self._samples.append((now_ms, commands, received, sent))
        del self._samples[:-17]

    def rates(self) -> tuple[int, float, float]:
        """(commands per second, input KiB/s, output KiB/s)."""
        if len(self._samples) < 2:
            return 0, 0.0, 0.0
        first, last = self._samples[0], self._samples[-1]
        seconds = max(last[0] - first[0], 1) / 1000
        return (
            max(0, int((last[1] - first[1]) / seconds)),
            max(0.0, (last[2] - first[2]) / 1024 / seconds),
            max(0.0, (last[3] - first[3]) / 1024 / seconds),
        )


class LatencyEvents:
    """What LATENCY shows: for each class of events the samples that reached latency-monitor-threshold.

    One sample a second is kept, the worst, and 160 of them, as in Redis.  The classes are ``command``, ``fast-command`` and
    ``fork``.
    """

    def __init__(self) -> None:
        self.samples: dict[bytes, deque[tuple[int, int]]] = {}  #: class: (Unix time in seconds, milliseconds)
        self.worst: dict[bytes, int] = {}

    def add(self, event: bytes, elapsed_ms: int) -> None:
        """Record one sample."""
        now = int(time.time())
        samples = self.samples.setdefault(event, deque(maxlen=160))
        if samples and samples[-1][0] == now:
            samples[-1] = now, max(samples[-1][1], elapsed_ms)
        else:
            samples.append((now, elapsed_ms))
        self.worst[event] = max(self.worst.get(event, 0), elapsed_ms)

    def forget(self, events: list[bytes]) -> int:
        """Drop these classes, or all; returns how many there were."""
        known = [event for event in dict.fromkeys(events or list(self.samples)) if event in self.samples]
        for event in known:
            del self.samples[event], self.worst[event]
        return len(known)
