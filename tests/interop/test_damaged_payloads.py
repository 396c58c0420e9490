"""RESTORE of damaged payloads over the wire: payloads that a real server made of each type and encoding."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.support.connection import RespError
from tests.support.damage import damaged, damaged_and_sealed, questions
from tests.support.servers import RealServer, Replicad, need_reference
from tests.support.twohead import shared

#: What is written on the real server: (OBJECT ENCODING, commands; KEY is the key).
FORMS = (
    ("int", "SET KEY 12345"),
    ("embstr", "SET KEY hello"),
    ("raw", f"SET KEY {'abc' * 40}"),
    ("quicklist", "RPUSH KEY a b 3 -70000 5000000000"),
    ("quicklist", f"CONFIG SET list-max-listpack-size 2;RPUSH KEY a b c d e {'x' * 30}"),
    ("intset", "SADD KEY 1 -300 70000"),
    ("intset", "SADD KEY 1 5000000000"),
    ("hashtable", "SADD KEY a b 3"),
    ("listpack", "HSET KEY f v g 12 h -7"),
    ("hashtable", f"HSET KEY f v g {'y' * 70}"),
    ("listpack", "ZADD KEY 1 a 2.5 b -inf c"),
    ("skiplist", f"ZADD KEY 1 a 2.5 {'z' * 70}"),
    ("stream", "XADD KEY 1-1 f v;XADD KEY 1-2 f w g x;XADD KEY 5-0 other 12"),
    (
        "stream",
        "XADD KEY 1-1 f v;XADD KEY 2-2 f w;XADD KEY 3-3 f w;XDEL KEY 2-2;XGROUP CREATE KEY g 0;"
        "XGROUP CREATECONSUMER KEY g idle;XREADGROUP GROUP g me STREAMS KEY >",
    ),
)  # fmt: skip
ERRORS = ("ERR DUMP payload version or checksum are wrong", "ERR Bad data format")


class RealPayloads(SynchronousTestCase):
    def setUp(self) -> None:
        need_reference()
        self.real = shared(RealServer).client()
        self.node = shared(Replicad)
        self.ours = self.node.client(timeout=20)
        self.real.must("FLUSHALL")
        self.ours.must("FLUSHALL")
        self.addCleanup(self.real.must, "CONFIG", "SET", "list-max-listpack-size", "-2")

    def payloads(self) -> list[tuple[str, bytes]]:
        """What the real server answers to DUMP for each form."""
        out = []
        for number, (encoding, script) in enumerate(FORMS):
            key = f"key{number}"
            for line in script.split(";"):
                self.real.must(*(key if word == "KEY" else word for word in line.split()))
            self.assertEqual(self.real.must("OBJECT", "ENCODING", key).decode(), encoding)
            out.append((key, self.real.must("DUMP", key)))
        return out

    def test_every_flip(self) -> None:
        """An error or a value that answers every question, in pipelines; the server lives and logs no defect."""
        restored = 0
        for key, payload in self.payloads():
            wrong = [data for _, data in damaged(payload)]
            for data in wrong:
                self.ours.send("RESTORE", key, 0, data)
            for _ in wrong:
                self.assertEqual(self.ours.read_reply().text, ERRORS[0])
            for _, data in damaged_and_sealed(payload):
                reply = self.ours.call("RESTORE", key, 0, data)
                if isinstance(reply, RespError):
                    self.assertIn(reply.text, ERRORS)
                    continue
                restored += 1
                asked = questions(bytes(self.ours.must("TYPE", key)), key.encode())
                for argv in asked:
                    self.ours.send(*argv)
                for _ in asked:
                    self.ours.read_reply()
                self.assertEqual(self.ours.must("EXISTS", key), 0)
            self.ours.must("RESTORE", key, 0, payload)
        self.assertGreater(restored, 200)
        self.assertEqual(self.ours.must("DEBUG", "DIGEST"), self.real.must("DEBUG", "DIGEST"))
        self.assertNotIn("Defect", self.node.log())
