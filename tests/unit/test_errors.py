"""Errors are constants: nothing may stay behind when one is raised."""

from __future__ import annotations

import ast
import gc
from pathlib import Path

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from replicad.command import all_commands
from replicad.config import load
from replicad.dispatch import run
from replicad.errors import ReplyError, err
from replicad.server import Server
from replicad.session import Client

PACKAGE = Path(__file__).resolve().parents[2] / "replicad"

#: Commands that would stop this process or write to its directory.
LEFT_OUT = frozenset([b"shutdown", b"save", b"bgsave", b"replicaof", b"slaveof", b"sync", b"psync", b"failover", b"debug"])


def handlers(source: str) -> list[tuple[int, bool]]:
    """Each place that catches a ReplyError: (line, whether it releases the error)."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ExceptHandler) and node.type is not None and "ReplyError" in ast.unparse(node.type):
            found.append((node.lineno, ast.unparse(node.body[0]) == f"{node.name}.release()"))
    return found


class Texts(SynchronousTestCase):
    def test_one_line(self) -> None:
        """Whatever a client sent stays within the line of the error."""
        self.assertEqual(ReplyError(b"ERR a\r\nb\nc").text, b"ERR a  b c")
        self.assertEqual(err("a\r\n+OK").text, b"ERR a  +OK")


class Tracebacks(SynchronousTestCase):
    def test_who_catches_releases(self) -> None:
        self.assertEqual(handlers("try: x\nexcept ReplyError as e: return e"), [(2, False)])
        forgetful, count = [], 0
        for path in sorted(PACKAGE.rglob("*.py")):
            for line, releases in handlers(path.read_text()):
                count += 1
                if not releases:
                    forgetful.append(f"{path.name}:{line}")
        self.assertEqual(forgetful, [])
        self.assertGreater(count, 5)

    def test_nothing_stays_behind(self) -> None:
        """Every command with arguments that it does not like, alone and in a transaction."""
        for error in gc.get_objects():  # other tests in this process may have raised and kept some
            if isinstance(error, ReplyError):
                error.release()
        server = Server(load(None, []), Clock())
        client = Client(server)
        for line in (b"SET s text", b"RPUSH l a", b"HSET h f text", b"ZADD z 1 m"):
            run(client, [line.split()])
        refused = 0
        for cmd in all_commands():
            if cmd.name in LEFT_OUT:
                continue
            for key in (b"s", b"l", b"h", b"z", b"missing"):
                for rest in ([b"x"] * max(cmd.least - 2, 0), [b"f", b"x", b"y", b"z"], [b"0", b"1.5"], []):
                    other = Client(server)
                    argv = [cmd.name, key, *rest]
                    out = run(other, [argv, [b"MULTI"], argv, argv[:-1], [b"EXEC"], [b"UNSUBSCRIBE"]])
                    refused += out.count(b"-")
                    server.client_lost(other)
        self.assertGreater(refused, 1000)
        left = [error.text for error in gc.get_objects() if isinstance(error, ReplyError) and error.__traceback__]
        self.assertEqual(left, [])
