"""Users who want what their rights do not give them, and secrets where others could read them."""

from __future__ import annotations

import time

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from replicad.config import load
from replicad.dispatch import run
from replicad.server import Server
from replicad.session import Client

_NOPERM = b"-NOPERM this user has no permissions to access one of the keys used as arguments\r\n"


class Users(SynchronousTestCase):
    def setUp(self) -> None:
        self.server = Server(load(None, [("save", ""), ("slowlog-log-slower-than", "0")]), Clock())
        self.client = Client(self.server)
        self.do(self.client, "ACL SETUSER u on nopass ~a:* +@all")
        self.user = Client(self.server)
        self.do(self.user, "AUTH u x")

    def do(self, client: Client, line: str) -> bytes:
        return run(client, [[word.encode() for word in line.split()]])

    def test_the_last_store_counts(self) -> None:
        self.do(self.client, "GEOADD a:g 10 10 m")
        for line in (
            "GEORADIUS a:g 10 10 100 km STORE a:d STORE b:d",
            "GEORADIUS a:g 10 10 100 km STOREDIST a:d StoreDist b:d",
            "GEORADIUSBYMEMBER a:g m 100 km STORE a:d STORE a:e STORE b:d",
        ):
            self.assertEqual(self.do(self.user, line), _NOPERM, line)
            self.assertEqual(self.do(self.client, "EXISTS b:d"), b":0\r\n")
        self.assertEqual(self.do(self.user, "GEORADIUSBYMEMBER a:g m 100 km STORE a:d STORE a:e"), b":1\r\n")

    def test_many_prefixes(self) -> None:
        """Also when only the last two overlap."""
        self.do(self.client, "HELLO 3")
        words = " ".join(f"PREFIX p{number:05}" for number in range(20_000))
        started = time.monotonic()
        reply = self.do(self.client, f"CLIENT TRACKING ON BCAST {words} PREFIX q PREFIX qq")
        self.assertIn(b"Prefix 'q' overlaps with another provided prefix 'qq'.", reply)
        self.assertEqual(self.do(self.client, f"CLIENT TRACKING ON BCAST {words}"), b"+OK\r\n")
        reply = self.do(self.client, "CLIENT TRACKING ON BCAST PREFIX q PREFIX p")
        self.assertIn(b"Prefix 'p' overlaps with an existing prefix 'p00000'.", reply)
        self.assertLess(time.monotonic() - started, 3)
        self.do(self.client, "CLIENT TRACKING OFF")

    def test_migrate_keeps_its_secrets(self) -> None:
        for line in (
            "MIGRATE 127.0.0.1 1 k 0 10 AUTH hush1",
            "MIGRATE 127.0.0.1 1 k 0 10 AUTH2 hush2 hush3",
            "MIGRATE 127.0.0.1 1 k 0 10 AUTH2 hush2 hush3 NONSENSE",
        ):
            self.do(self.client, line)
        shown = self.do(self.client, "SLOWLOG GET -1")
        self.assertNotIn(b"hush", shown)
        self.assertIn(b"AUTH2\r\n$10\r\n(redacted)\r\n$10\r\n(redacted)\r\n", shown)
