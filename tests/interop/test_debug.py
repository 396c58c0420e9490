"""DEBUG beside a real redis-server."""

from __future__ import annotations

import time
from typing import ClassVar

from twisted.trial.unittest import SynchronousTestCase

from tests.support.connection import RespError
from tests.support.servers import Node, RealServer, Replicad, need_reference
from tests.support.twohead import TwoHeadedTestCase


class Debug(TwoHeadedTestCase):
    def test_errors(self) -> None:
        self.do_all(
            *("DEBUG", "DEBUG x", "DEBUG OBJECT nosuch", "DEBUG OBJECT", "DEBUG JMAP", "DEBUG RELOAD x", "DEBUG SLEEP"),
            *("DEBUG QUICKLIST-PACKED-THRESHOLD x", "DEBUG QUICKLIST-PACKED-THRESHOLD 100b", "DEBUG POPULATE x"),
            *("DEBUG QUICKLIST-PACKED-THRESHOLD 5gb", "DEBUG QUICKLIST-PACKED-THRESHOLD -1", "DEBUG POPULATE -1"),
            *("DEBUG QUICKLIST-PACKED-THRESHOLD 0", "DEBUG SLEEP x", "DEBUG SET-ACTIVE-EXPIRE", "DEBUG DIGEST x"),
            *("DEBUG ERROR x y", "DEBUG LOG", "DEBUG DIGEST-VALUE"),
        )
        self.do("DEBUG", "ERROR", "FOO bar baz")
        self.do("DEBUG", "ERROR", "foo\r\nbar")
        self.do("DEBUG", "x" * 200)

    def test_populate(self) -> None:
        self.do_all("SET key:1 mine", "DEBUG POPULATE 3", "DEBUG POPULATE 3 p 10", "DEBUG POPULATE 12 q 3")
        self.do_all("GET key:0", "GET key:1", "GET p:2", "GET q:11", "DBSIZE", "DEBUG POPULATE 0")
        self.same_digest()

    def test_digests(self) -> None:
        self.same_digest()
        self.do_all("SET a 1", "RPUSH l a b c", "SADD s a b c", "HSET h a b c d", "SELECT 4", "SET x y", "SELECT 0")
        self.do_all("PEXPIREAT a 99999999999999", "DEBUG DIGEST-VALUE a l s h nosuch", "DEBUG DIGEST-VALUE x")
        self.same_digest()

    def test_sleep(self) -> None:
        started = time.monotonic()
        self.do("DEBUG", "SLEEP", "0.1")
        self.assertGreater(time.monotonic() - started, 0.09)
        other = self.open_pair()
        started = time.monotonic()
        self.pair.ours.send("DEBUG", "SLEEP", "0.3")
        time.sleep(0.05)
        other.ours.must("PING")
        self.assertGreater(time.monotonic() - started, 0.2)
        self.pair.ours.read_reply()

    def test_reload(self) -> None:
        self.do_all("SET a 1", "SET t 1 PX 100000", "RPUSH l a b", "SELECT 3", "SADD s a", "DEBUG RELOAD", "SELECT 0")
        self.do_all("GET a", "LRANGE l 0 -1", "DBSIZE")
        self.do_approx("PTTL", "t", delta=2000)
        digest = self.same_digest()
        self.do_all("SET a 2", "SET b 3", "DEBUG RELOAD NOSAVE")
        self.assertEqual(self.same_digest(), digest)
        self.do_all("SET a 2", "SET b 3", "DEBUG RELOAD NOSAVE NOFLUSH MERGE", "GET a", "GET b", "DBSIZE")
        self.same_digest()

    def test_active_expire(self) -> None:
        self.addCleanup(self.pair.ours.must, "DEBUG", "SET-ACTIVE-EXPIRE", "1")
        self.addCleanup(self.pair.real.must, "DEBUG", "SET-ACTIVE-EXPIRE", "1")
        self.do_all("DEBUG SET-ACTIVE-EXPIRE 0", "SET a 1 PX 20")
        time.sleep(0.3)
        self.do("DBSIZE")
        self.do("DEBUG", "SET-ACTIVE-EXPIRE", "1")
        time.sleep(0.3)
        self.do("DBSIZE")

    def test_object(self) -> None:
        self.do("SET", "a", "12345")
        self.do("SET", "b", "hello")
        self.do("SET", "c", "x" * 1000)
        self.addCleanup(self.do, "CONFIG", "SET", "rdbcompression", "yes")
        self.do("CONFIG", "SET", "rdbcompression", "no")  # ours needs the extra lzf for it, which may be missing
        for key in "abc":
            real, ours = (
                dict(word.split(b":", 1) for word in reply.split()[1:]) for reply in self.both("DEBUG", "OBJECT", key)
            )
            self.assertEqual(list(ours), list(real))
            for name in (b"refcount", b"encoding", b"serializedlength"):
                if key != "a" or name != b"refcount":  # a real server shares small integers
                    self.assertEqual(ours[name], real[name], (key, name))

    def test_log_and_ids(self) -> None:
        self.do("DEBUG", "LOG", "a word")
        before = self.pair.ours.info("replication")["master_replid"]
        self.do("DEBUG", "CHANGE-REPL-ID")
        after = self.pair.ours.info("replication")
        self.assertNotEqual(after["master_replid"], before)
        self.assertEqual((after["master_replid2"], after["second_repl_offset"]), ("0" * 40, "-1"))

    def test_protocol(self) -> None:
        for kind in "string integer double bignum null array set map attrib push verbatim true false xx".split():
            self.do("DEBUG", "PROTOCOL", kind)


class DebugResp3(TwoHeadedTestCase):
    resp: ClassVar[int] = 3

    def test_protocol(self) -> None:
        for kind in "string integer double bignum null array set map verbatim true false xx".split():
            self.do("DEBUG", "PROTOCOL", kind)
        for kind, size in (("attrib", 86), ("push", 81)):
            self.pair.send("DEBUG", "PROTOCOL", kind)
            self.assertEqual(self.pair.ours.recv_raw(size), self.pair.real.recv_raw(size))


class Permission(SynchronousTestCase):
    """enable-debug-command."""

    def setUp(self) -> None:
        need_reference()

    def test_directive(self) -> None:
        for value in ("no", "local", "yes"):
            replies = []
            for kind in (RealServer, Replicad):
                node: Node = kind(self, {"enable-debug-command": value}).start()
                client = node.client()
                reply = client.call("DEBUG", "DIGEST")
                replies.append(reply.text if isinstance(reply, RespError) else reply)
                self.assertIn("immutable", client.call("CONFIG", "SET", "enable-debug-command", "yes").text)
                node.stop()
            self.assertEqual(replies[1], replies[0], value)
