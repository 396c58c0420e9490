"""Listens to what a master propagates, as a replica that understands nothing would.

::

    stream = Tap(case, node.port)
    connection.must("SPOP", "s")
    self.assertEqual(stream.commands(), ["SREM s a"])
"""

from __future__ import annotations

from tests.support.connection import Connection
from tests.support.servers import HasCleanup

MARK = b"the-end-of-the-tap"


class Tap:
    """One replica connection by SYNC, the snapshot thrown away; it sends no acknowledgements."""

    def __init__(self, case: HasCleanup, port: int) -> None:
        self.stream = Connection(port)
        self.client = Connection(port)
        case.addCleanup(self.stream.close)
        case.addCleanup(self.client.close)
        self.stream.send("SYNC")
        data = b""
        while b"\r\n" not in data.lstrip(b"\n"):
            data += self.stream.recv_raw()
        header, _, rest = data.lstrip(b"\n").partition(b"\r\n")
        assert header[:1] == b"$", header
        if header.startswith(b"$EOF:"):
            mark = header[5:]
            while mark not in rest:
                rest += self.stream.recv_raw()
            rest = rest.partition(mark)[2]
        else:
            size = int(header[1:])
            while len(rest) < size:
                rest += self.stream.recv_raw()
            rest = rest[size:]
        self.stream._buffer += rest  # nothing before the first command is lost

    def commands(self) -> list[str]:
        """The commands since the last call as text, without PING and SELECT."""
        self.client.must("PUBLISH", MARK, b"")
        found = []
        while True:
            argv = self.stream.read_reply()
            if not isinstance(argv, list) or argv[0].upper() in (b"PING", b"SELECT", b"REPLCONF"):
                continue
            if MARK in argv:
                return found
            found.append(b" ".join(argv).decode("utf-8", "backslashreplace"))
