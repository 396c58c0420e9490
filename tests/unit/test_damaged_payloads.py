"""RESTORE of damaged payloads: an error, or a value that every command can handle."""

from __future__ import annotations

import io
import time
from collections import deque
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from replicad.config import load
from replicad.dispatch import run
from replicad.persistence.rdb import dump_payload
from replicad.server import Server
from replicad.session import Client
from replicad.values import SortedSet
from tests.support.damage import EXHAUSTIVE, damaged, damaged_and_sealed, questions
from tests.unit.test_rdb_payloads import PAYLOADS, STREAM_PAYLOAD, full_stream, with_group

#: No single command may take longer, in seconds of CPU: there are no values above some kilobytes here.
_LONGEST = 0.5

BAD = (b"-ERR DUMP payload version or checksum are wrong\r\n", b"-ERR Bad data format\r\n")


def own_values() -> dict[str, Any]:
    """A value for each form that is written."""
    small = full_stream()
    for entry in [entry for entry, _ in small][8:]:
        small.delete(entry)
    return {
        "integer": b"-12345", "text": b"hello world", "long": bytes(range(256)) * 2,
        "list": deque([b"a", b"12", b"-70000", b"x" * 70]), "set": {b"a", b"b", b"cc"}, "intset": {b"1", b"70000", b"-5"},
        "wide intset": {b"5000000000", b"1"}, "hash": {b"f": b"v", b"g": b"22"}, "large hash": {b"f": b"v" * 80, b"g": b"1"},
        "zset": SortedSet.from_pairs([(b"a", 1.0), (b"b", -2.5), (b"c", float("inf"))]),
        "large zset": SortedSet.from_pairs([(b"m" * 70, 0.1), (b"n", 2.0)]),
        "stream": with_group(1, 2000, 3000), "streams": small,
    }  # fmt: skip


class DamagedPayloads(SynchronousTestCase):
    """In this process, without sockets."""

    def setUp(self) -> None:
        self.server = Server(load(None, [("databases", "2"), ("save", ""), ("enable-debug-command", "yes")]), Clock())
        self.log = self.server.log.stream = io.StringIO()
        self.client = Client(self.server)

    def ask(self, *argv: bytes) -> bytes:
        started = time.process_time()
        reply = run(self.client, [list(argv)])
        self.assertLess(time.process_time() - started, _LONGEST, argv)
        return reply

    def examine(self, payload: bytes, position: int) -> bool:
        """RESTORE; True when it gave a value, which then has answered every question."""
        reply = self.ask(b"RESTORE", b"k", b"0", payload)
        if reply != b"+OK\r\n":
            self.assertIn(reply, BAD, (payload.hex(), position))
            self.assertEqual(self.ask(b"EXISTS", b"k"), b":0\r\n")
            return False
        kind = self.ask(b"TYPE", b"k")[1:-2]
        dumped = dump_payload(self.client.db.peek(b"k"))
        self.assertEqual(self.ask(b"RESTORE", b"again", b"0", dumped, b"REPLACE"), b"+OK\r\n", payload.hex())
        first, second = (self.ask(b"DEBUG", b"DIGEST-VALUE", key) for key in (b"k", b"again"))
        self.assertEqual(first, second, f"{payload.hex()} is another value after DUMP and RESTORE")
        for argv in questions(kind, b"k"):
            self.ask(*argv)
        if self.client.blocked is not None:
            self.client.unblock(None)
        self.assertEqual(self.ask(b"EXISTS", b"k"), b":0\r\n")
        return True

    def check(self, name: str, payload: bytes) -> int:
        """All damages of one payload; returns how many gave a value."""
        for position, data in damaged(payload):
            self.assertEqual(self.ask(b"RESTORE", b"k", b"0", data), BAD[0], (name, position))
        values = 0
        for position, data in damaged_and_sealed(payload):
            values += self.examine(data, position)
            self.assertNotIn("Defect", self.log.getvalue(), (name, position, data.hex()))
        self.log.truncate(0)
        self.assertTrue(self.examine(payload, -1), name)
        return values

    def test_payloads_of_real_servers(self) -> None:
        """All types and encodings, of Redis 2.6 to 7.4 and Valkey."""
        values = 0
        for number, (text, _) in enumerate((*PAYLOADS, (STREAM_PAYLOAD, None))):
            values += self.check(f"payload {number}", bytes.fromhex(text))
        self.assertGreater(values, 200, "hardly any damage gave a value, so nothing was examined")

    def test_own_payloads(self) -> None:
        """What DUMP answers here."""
        values = sum(
            self.check(name, dump_payload(value))
            for name, value in own_values().items()
            if name != "streams" or EXHAUSTIVE
        )
        self.assertGreater(values, 200, "hardly any damage gave a value, so nothing was examined")

    def test_the_questions_are_answered(self) -> None:
        """Undamaged values answer most of them without an error: else the examination would be blind."""
        for name, value in own_values().items():
            self.client.db.put(b"k", value)
            kind = self.ask(b"TYPE", b"k")[1:-2]
            replies = [self.ask(*argv) for argv in questions(kind, b"k")]
            errors = [reply for reply in replies if reply.startswith(b"-")]
            self.assertLess(len(errors), len(replies) / 3, (name, errors))
