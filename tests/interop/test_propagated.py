"""What is propagated, beside a real redis-server: the same commands, to the letter, for every sample of the law.

The real server is asked with SYNC; ours runs in this process.  Moments near now may differ by a few seconds.
"""

from __future__ import annotations

import re
import time

from replicad.dispatch import run
from replicad.resp import RequestReader
from replicad.session import Client
from tests.interop.test_introspection import LATER
from tests.support.connection import Connection
from tests.support.servers import RealServer
from tests.support.twohead import TwoHeadedTestCase, shared
from tests.unit.test_propagation_law import collect, here

#: The result of chance is propagated, so the streams need not be equal.
BY_CHANCE = {b"SPOP"}

_MOMENT = re.compile(rb"\d{13}(?=-|\Z)")


class RealStream:
    """The replication stream of the shared real server, read as a replica would."""

    def __init__(self) -> None:
        self.client = Connection(shared(RealServer).port)
        self.connection = Connection(shared(RealServer).port)
        self.reader = RequestReader()
        self.commands: list[list[bytes]] = []
        self.connection.send("SYNC")
        data = b""
        while b"\r\n" not in (data := (data + self.connection.socket.recv(65536)).lstrip(b"\n")):
            pass
        header, _, data = data.partition(b"\r\n")
        size = int(header[1:])
        while len(data) < size:
            data += self.connection.socket.recv(65536)
        self._feed(data[size:])

    def _feed(self, data: bytes) -> None:
        if data:
            self.commands += [argv for argv in self.reader.feed(data) if argv[0].upper() not in (b"PING", b"REPLCONF")]

    def next(self) -> list[list[bytes]]:
        """Everything propagated since the last call."""
        end = [b"PUBLISH", b"end", b"end"]
        self.client.must(*end)
        while end not in self.commands:
            self._feed(self.connection.socket.recv(65536))
        where = self.commands.index(end)
        found, self.commands = self.commands[:where], self.commands[where + 1 :]
        return found

    def close(self) -> None:
        """Close both connections."""
        self.client.close()
        self.connection.close()


def comparable(commands: list[list[bytes]], now_ms: int) -> list[list[bytes]]:
    """Without SELECT, and with moments near now as the seconds from now, roughly."""

    def rough(found: re.Match[bytes]) -> bytes:
        distance = int(found[0]) - now_ms
        return found[0] if abs(distance) > 10**8 else b"now+%ds" % round(distance / 1000 / 10)

    return [
        [_MOMENT.sub(rough, word) if len(word) < 40 else word for word in argv] for argv in commands if argv[0] != b"SELECT"
    ]


class Propagated(TwoHeadedTestCase):
    """Real server and ours execute the samples of all families."""

    def test_the_streams_are_equal(self) -> None:
        samples, silent = collect()
        server = here()
        server.history.create_backlog()
        server.update_gates()
        real = RealStream()
        self.addCleanup(real.close)
        # Expired keys must be met by the commands, not found before them.
        real.client.must("DEBUG", "SET-ACTIVE-EXPIRE", 0)
        self.addCleanup(self.pair.real.call, "DEBUG", "SET-ACTIVE-EXPIRE", 1)
        now_ms = int(time.time() * 1000)
        problems = []
        everything = [row for name in sorted(samples) if name not in BY_CHANCE for row in samples[name]]
        for setup, argv in [*everything, *silent]:
            if not LATER.keys().isdisjoint(one[0].lower() for one in (*setup, argv)):
                continue
            client = Client(server)
            real.client.must("SELECT", 0)
            for preparing in ([b"FLUSHALL"], *setup):
                real.client.call(*preparing)
                run(client, [list(preparing)])
            real.next()
            position = server.history.offset
            reply = real.client.call(*argv)
            run(client, [list(argv)])
            theirs = comparable(real.next(), now_ms)
            stream = server.history.since(position)
            ours = comparable(RequestReader().feed(stream) if stream else [], now_ms)
            if ours != theirs:
                problems.append(f"{setup} {argv} -> {reply!r}\n    real {theirs}\n    ours {ours}")
            while server.trash.reclaim():
                pass
        self.assertEqual(problems, [], "\n" + "\n".join(problems))
