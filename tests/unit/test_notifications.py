"""What is told and on which channels, without a socket."""

from __future__ import annotations

import io

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from replicad.config import load
from replicad.dispatch import run
from replicad.notifications import GENERIC, KEYEVENT, KEYSPACE, LETTERS, NEW, STRING, mask_of
from replicad.server import Server
from replicad.session import Client


class Heard:
    """A connection that keeps what is sent to it."""

    queued = 0

    def __init__(self) -> None:
        self.sent = b""

    def write(self, data: bytes) -> None:
        """Keep it."""
        self.sent += data


class Masks(SynchronousTestCase):
    """The letters as bits."""

    def test_letters_differ(self) -> None:
        self.assertEqual(len(set(LETTERS.values())), len(LETTERS))
        self.assertEqual(sum(LETTERS.values()), (1 << len(LETTERS)) - 1)

    def test_both_a_channel_and_a_class_are_needed(self) -> None:
        for letters in ("", "K", "E", "KE", "g", "$lshz"):
            self.assertEqual(mask_of(letters), 0, letters)
        self.assertEqual(mask_of("Kg"), KEYSPACE | GENERIC)
        self.assertEqual(mask_of("KE$n"), KEYSPACE | KEYEVENT | STRING | NEW)


class Telling(SynchronousTestCase):
    """A server whose configuration switches notifications on."""

    def heard(self, letters: str, *commands: bytes) -> bytes:
        """What a client that listens to everything is sent."""
        server = Server(load(None, [("save", ""), ("notify-keyspace-events", letters)]), Clock())
        server.log.stream = io.StringIO()
        connection = Heard()
        listener = Client(server, connection)  # type: ignore[arg-type]
        run(listener, [[b"PSUBSCRIBE", b"__key*"]])
        run(Client(server), [command.split() for command in commands])
        return connection.sent

    def test_from_the_start(self) -> None:
        self.assertEqual(
            self.heard("K$", b"SET k v"),
            b"*4\r\n$8\r\npmessage\r\n$6\r\n__key*\r\n$16\r\n__keyspace@0__:k\r\n$3\r\nset\r\n",
        )
        self.assertEqual(
            self.heard("Eg", b"SELECT 7", b"SET k v", b"DEL k"),
            b"*4\r\n$8\r\npmessage\r\n$6\r\n__key*\r\n$18\r\n__keyevent@7__:del\r\n$1\r\nk\r\n",
        )

    def test_silence(self) -> None:
        for letters in ("", "A", "KE", "Kl"):
            self.assertEqual(self.heard(letters, b"SET k v", b"INCR n", b"DEL k", b"GET k"), b"", letters)

    def test_observed_only_when_something_is_told(self) -> None:
        for letters, expected in (("", False), ("KE", False), ("Kx", True)):
            server = Server(load(None, [("save", ""), ("notify-keyspace-events", letters)]), Clock())
            self.assertEqual({db.observed for db in server.databases}, {expected})
            self.assertEqual({db.notify is not None for db in server.databases}, {expected})
