"""How a server ends: signals, SHUTDOWN, what is saved, the exit status. Beside a real redis-server."""

from __future__ import annotations

import os
import signal

from twisted.trial.unittest import SynchronousTestCase

from tests.support.connection import Closed
from tests.support.servers import Node, RealServer, Replicad, need_reference

BOTH: tuple[type[Node], ...] = (RealServer, Replicad)


class Ending(SynchronousTestCase):
    def end(self, kind: type[Node], how: int | tuple[str, ...], save: str) -> tuple[int, bool]:
        """(exit status, whether there is a snapshot with the data) after the end."""
        node = kind(self, {"save": save}).start()
        client = node.client()
        client.must("SET", "a", "1")
        if isinstance(how, int):
            os.kill(node.pid, how)
        else:
            client.send(*how)
            self.assertRaises(Closed, client.read_reply)
        status = node.wait_exit()
        saved = (node.directory / "dump.rdb").exists()
        if saved and how == signal.SIGTERM:
            node.start()
            self.assertEqual(node.client().must("GET", "a"), b"1")
            node.kill()
        return status, saved

    def compare(self, how: int | tuple[str, ...], save: str, wanted: tuple[int, bool]) -> None:
        for kind in BOTH:
            self.assertEqual(self.end(kind, how, save), wanted, (kind.kind, how, save))

    def test_sigterm_saves(self) -> None:
        self.compare(signal.SIGTERM, "3600 100", (0, True))

    def test_sigterm_without_save_points(self) -> None:
        self.compare(signal.SIGTERM, "", (0, False))

    def test_sigint_saves(self) -> None:
        self.compare(signal.SIGINT, "3600 100", (0, True))

    def test_sighup_is_ignored(self) -> None:
        """The end of the terminal session that started it is no reason to stop."""
        for kind in BOTH:
            node = kind(self).start()
            os.kill(node.pid, signal.SIGHUP)
            self.assertEqual(node.call("PING"), b"PONG", kind.kind)
            self.assertTrue(node.running, kind.kind)

    def test_signals_as_configured(self) -> None:
        """shutdown-on-sigterm and shutdown-on-sigint say what a signal means."""
        need_reference()
        for kind in BOTH:
            for number, name, words, save, wanted in (
                (signal.SIGTERM, "shutdown-on-sigterm", "nosave", "3600 100", False),
                (signal.SIGINT, "shutdown-on-sigint", "save now", "", True),
            ):
                node = kind(self, {"save": save, name: words}).start()
                node.call("SET", "a", "1")
                os.kill(node.pid, number)
                self.assertEqual(node.wait_exit(), 0)
                self.assertEqual((node.directory / "dump.rdb").exists(), wanted, (kind.kind, name, words))

    def test_shutdown(self) -> None:
        self.compare(("SHUTDOWN",), "3600 100", (0, True))

    def test_shutdown_nosave(self) -> None:
        self.compare(("SHUTDOWN", "NOSAVE"), "3600 100", (0, False))

    def test_shutdown_save(self) -> None:
        need_reference()
        self.compare(("SHUTDOWN", "SAVE", "NOW"), "", (0, True))

    def test_shutdown_that_cannot_save(self) -> None:
        """The server stays, says so, and can be forced."""
        node = Replicad(self, {"enable-protected-configs": "yes"}).start()
        client = node.client()
        client.must("CONFIG", "SET", "dbfilename", "d")
        os.mkdir(node.directory / "d")
        self.assertEqual(client.call("SHUTDOWN", "SAVE").text, "ERR Errors trying to SHUTDOWN. Check logs.")
        self.assertEqual(client.must("PING"), b"PONG")
        client.send("SHUTDOWN", "SAVE", "FORCE")
        self.assertEqual(node.wait_exit(), 0)

    def test_a_damaged_snapshot_is_not_started_on(self) -> None:
        node = Replicad(self)
        (node.directory / "dump.rdb").write_bytes(b"REDIS0009 this is no snapshot")
        node.start(wait=False)
        self.assertNotEqual(node.wait_exit(), 0)
        self.assertEqual((node.directory / "dump.rdb").read_bytes(), b"REDIS0009 this is no snapshot")
