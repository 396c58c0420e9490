"""Which commands break a WATCH, beside a real server: for every sample of the law, each key alone.

What breaks a WATCH also invalidates what clients cache, and is what ``Database.touched`` must be called for.
"""

from __future__ import annotations

from replicad.command import lookup
from tests.interop.notification_table import COLLECTIONS, KEYS, STREAMS, STRINGS, samples_for
from tests.support.connection import Connection
from tests.support.twohead import TwoHeadedTestCase, describe
from tests.unit.law_samples import Row

Place = tuple[int, bytes]

#: Commands that reach other databases than the first.
FAR = {b"SELECT", b"MOVE", b"COPY", b"SWAPDB", b"FLUSHALL"}

#: Redis tells nobody that these change a value; here they do, because copies and snapshots would be wrong.
BREAK_HERE = {b"PFDEBUG"}


def places(commands: list[list[bytes]]) -> list[Place]:
    """Every key that is named, in every database that may be meant."""
    keys: dict[bytes, None] = {}
    for argv in commands:
        cmd = lookup(argv)
        if cmd is not None:
            keys.update(dict.fromkeys(argv[at] for at in cmd.key_positions(argv)))
    databases = range(4) if any(argv[0].upper() in FAR for argv in commands) else (0,)
    return [(db, key) for db in databases for key in keys]


class WatchedSamples(TwoHeadedTestCase):
    """A row at a time: prepare, watch, run the command, see who may still execute."""

    def setUp(self) -> None:
        """The watching clients are kept from row to row."""
        super().setUp()
        self.watchers: dict[Connection, list[Connection]] = {self.pair.real: [], self.pair.ours: []}

    def broken(self, client: Connection, port: int, setup: list[list[bytes]], last: list[bytes]) -> list[Place]:
        """The places whose WATCH the last command breaks."""
        watched = places([*setup, last])
        watchers = self.watchers[client]
        while len(watchers) < len(watched):
            watchers.append(Connection(port))
            self.addCleanup(watchers[-1].close)
        client.pipeline(("DISCARD",), ("UNWATCH",), ("SELECT", 0), ("FLUSHALL",), *map(tuple, setup))
        for (db, key), watcher in zip(watched, watchers, strict=False):
            watcher.pipeline(("SELECT", db), ("WATCH", key))
        client.call(*last)
        out = []
        for place, watcher in zip(watched, watchers, strict=False):
            if watcher.pipeline(("MULTI",), ("PING",), ("EXEC",))[-1] is None:
                out.append(place)
        return out

    def alike(self, rows: list[Row]) -> None:
        """The same keys are broken."""
        real, ours = self.pair.real, self.pair.ours
        ports: list[int] = [connection.socket.getpeername()[1] for connection in (real, ours)]
        problems = []
        for setup, last in rows:
            expected = self.broken(real, ports[0], setup, last)
            found = self.broken(ours, ports[1], setup, last)
            if expected != found:
                script = "; ".join(describe(argv) for argv in (*setup, last))
                problems.append(f"{script}\n    real {expected}\n    ours {found}")
        self.assertEqual(problems, [], "\n" + "\n".join(problems))

    def test_samples_of_the_law(self) -> None:
        self.alike([row for row in samples_for(self.pair.real) if row[1][0] not in BREAK_HERE])

    def test_other_scripts(self) -> None:
        scripts = [row for table in (STRINGS, KEYS, COLLECTIONS, STREAMS) for row in table]
        self.alike([row for row in scripts if row[1][0] not in BREAK_HERE | {b"EXEC", b"DISCARD"}])
