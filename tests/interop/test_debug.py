"""DEBUG beside a real redis-server."""

from __future__ import annotations

import signal
import time
from typing import ClassVar

from twisted.trial.unittest import SynchronousTestCase

from tests.support.connection import Closed, RespError
from tests.support.servers import Node, RealServer, Replicad, need_reference, wait_in_sync, wait_until
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


    def test_accepted_words(self) -> None:
        """What test tools say to a server, with its replies and errors."""
        self.do_all(
            *("DEBUG PAUSE-CRON 0", "DEBUG PAUSE-CRON x", "DEBUG PAUSE-CRON", "DEBUG LEAK abc", "DEBUG LEAK", "DEBUG ERROR"),
            *("DEBUG REPLYBUFFER PEAK-RESET-TIME 100", "DEBUG REPLYBUFFER peak-reset-time NEVER"),
            *("DEBUG REPLYBUFFER RESIZING",),
            *("DEBUG REPLYBUFFER PEAK-RESET-TIME x", "DEBUG REPLYBUFFER peak-reset-time RESET", "DEBUG REPLYBUFFER x 1"),
            *("DEBUG REPLYBUFFER RESIZING 0", "DEBUG REPLYBUFFER RESIZING 1", "DEBUG REPLYBUFFER PEAK-RESET-TIME -5"),
            *("DEBUG SET-DISABLE-DENY-SCRIPTS 1", "DEBUG SET-DISABLE-DENY-SCRIPTS 0", "DEBUG SET-DISABLE-DENY-SCRIPTS"),
            *("DEBUG REPLICATE", "DEBUG HTSTATS", "DEBUG HTSTATS x", "DEBUG HTSTATS 99", "DEBUG HTSTATS -1"),
            *("DEBUG HTSTATS-KEY", "DEBUG HTSTATS-KEY nosuch", "DEBUG SDSLEN", "DEBUG SDSLEN nosuch", "DEBUG LISTPACK"),
            *("DEBUG LISTPACK nosuch", "DEBUG QUICKLIST nosuch", "DEBUG QUICKLIST", "DEBUG ZIPLIST x"),
            *("DEBUG SET-SKIP-CHECKSUM-VALIDATION", "DEBUG AOF-FLUSH-SLEEP 0", "DEBUG CONFIG-REWRITE-FORCE-ALL x"),
        )

    def test_layout(self) -> None:
        self.do_all("SET s abc", "SET n 12", "RPUSH l a b", "HSET h f v", "ZADD z 1 a", "SADD ints 1", "XADD x * f v")
        for key in ("s", "n", "l", "h", "z", "ints", "x"):
            for word in ("LISTPACK", "QUICKLIST", "HTSTATS-KEY"):
                self.do("DEBUG", word, key)
        for key in ("n", "l", "h", "z", "ints", "x"):
            self.do("DEBUG", "SDSLEN", key)
        self.do("SET", "key", "value")
        for reply in self.both("DEBUG", "SDSLEN", "key"):
            self.assertRegex(
                reply,
                rb"^key_sds_len:3, key_sds_avail:\d+, key_zmalloc: \d+, val_sds_len:5, val_sds_avail:\d+, val_zmalloc: \d+$",
            )

    def test_hash_tables(self) -> None:
        """The same lines; the figures are those of our own structures."""
        self.do_all("DEBUG POPULATE 500", "SET volatile 1 EX 1000")
        self.do("SADD", "set", *[f"member{n}" for n in range(600)])
        self.do("HSET", "hash", *[f"field{n}" for n in range(1200)])
        for words in (("HTSTATS", "0"), ("HTSTATS", "5"), ("HTSTATS-KEY", "set"), ("HTSTATS-KEY", "hash")):
            real, ours = (self.lines(reply) for reply in self.both("DEBUG", *words))
            self.assertEqual(ours, real)
        text = self.pair.ours.must("DEBUG", "HTSTATS", "0")
        self.assertIn(b"table size: 4096\n number of elements: 503\n", text)
        self.assertIn(b"table size: 256\n number of elements: 1\n", text)

    @staticmethod
    def lines(text: bytes) -> list[bytes]:
        """The lines without figures; how long chains are is a matter of luck."""
        return [
            line.split(b":")[0] for line in text.split(b"Hash table 1 stats (rehashing target)")[0].strip().split(b"\n")
            if not line.startswith(b"   ") and b"expire" not in line
        ]  # fmt: skip

    def test_checksums(self) -> None:
        self.addCleanup(self.do, "DEBUG", "SET-SKIP-CHECKSUM-VALIDATION", "0")
        payload = b"\x00\x05hello\x0a\x00" + bytes(8)
        self.do("RESTORE", "a", "0", payload)
        self.do("DEBUG", "SET-SKIP-CHECKSUM-VALIDATION", "1")
        self.do("RESTORE", "a", "0", payload)
        self.do("GET", "a")

    def test_stringmatch_len(self) -> None:
        ours = self.pair.ours
        for length, pattern, found in ((5, "a*", 1), (5, "a", 0), (100_000, "a*a*a*a*a*a*a*b", 0), (0, "*", 0)):
            self.assertEqual(ours.must("DEBUG", "STRINGMATCH-LEN", length, pattern), found)

    def test_pause_cron(self) -> None:
        """Time goes on, and nothing else happens by itself."""
        for one in (self.pair.real, self.pair.ours):
            one.must("DEBUG", "PAUSE-CRON", "1")
            self.addCleanup(one.must, "DEBUG", "PAUSE-CRON", "0")
            one.must("SET", "a", "1", "PX", "20")
        time.sleep(0.3)
        self.do_all("DBSIZE", "GET a", "DBSIZE")


class DebugResp3(TwoHeadedTestCase):
    resp: ClassVar[int] = 3

    def test_protocol(self) -> None:
        for kind in "string integer double bignum null array set map verbatim true false xx".split():
            self.do("DEBUG", "PROTOCOL", kind)
        for kind, size in (("attrib", 86), ("push", 81)):
            self.pair.send("DEBUG", "PROTOCOL", kind)
            self.assertEqual(self.pair.ours.recv_raw(size), self.pair.real.recv_raw(size))


class Endings(SynchronousTestCase):
    """DEBUG SEGFAULT and its like: what the process leaves with, and what comes after."""

    def setUp(self) -> None:
        need_reference()

    def test_crashes(self) -> None:
        """The same signal as the real server's; the client gets no reply."""
        for kind, word, number in (
            (RealServer, "SEGFAULT", signal.SIGSEGV),
            (Replicad, "SEGFAULT", signal.SIGSEGV),
            (RealServer, "PANIC", signal.SIGABRT),
            (Replicad, "PANIC", signal.SIGABRT),
            (Replicad, "ASSERT", signal.SIGABRT),
            (Replicad, "OOM", signal.SIGABRT),
        ):
            node = kind(self, {}, name=f"{word}-{kind.kind}").start()
            self.assertRaises(Closed, node.client().call, "DEBUG", word)
            self.assertEqual(node.wait_exit(), -number, f"{word} {kind}")

    def test_restarts(self) -> None:
        """The same process with the same conf: RESTART saves, CRASH-AND-RECOVER does not."""
        for kind in (RealServer, Replicad):
            node = kind(self, {"save": "3600 1"}).start()
            pid = node.pid
            node.call("SET", "a", 1)
            self.assertRaises(Closed, node.client().call, "DEBUG", "RESTART", "10")
            self.again(node)
            self.assertEqual((node.pid, node.call("GET", "a")), (pid, b"1"))
            node.call("SET", "a", 2)
            self.assertRaises(Closed, node.client().call, "DEBUG", "CRASH-AND-RECOVER", "10")
            self.again(node)
            self.assertEqual(node.call("GET", "a"), b"1")
            node.kill()

    def again(self, node: Node) -> None:
        """Wait until the process answers once more."""

        def answers() -> bool:
            try:
                return int(node.info("server")["uptime_in_seconds"]) < 2
            except (OSError, Closed, KeyError):
                return False

        wait_until(answers, 10, "an answer after the restart")

    def test_replicate(self) -> None:
        """The replica gets what its master has not executed."""
        real, ours = RealServer(self).start(), Replicad(self).start()
        for master, replica in ((real, ours), (ours, real)):
            replica.call("REPLICAOF", "127.0.0.1", master.port)
            wait_in_sync(master, replica)
            master.call("DEBUG", "REPLICATE", "SET", "only", "there")
            wait_in_sync(master, replica)
            self.assertEqual((master.call("EXISTS", "only"), replica.call("GET", "only")), (0, b"there"))
            replica.call("REPLICAOF", "NO", "ONE")
            replica.call("FLUSHALL")

    def test_rewriting_everything(self) -> None:
        """The file names every directive, and means what it meant."""
        for kind in (RealServer, Replicad):
            node = kind(self, {"maxclients": "77"}).start()
            before = self.directives(node)
            node.call("DEBUG", "CONFIG-REWRITE-FORCE-ALL")
            conf = next(node.directory.glob("*.conf")).read_text()
            for name in ("maxclients 77", "hash-max-listpack-entries 512", "lazyfree-lazy-expire no"):
                self.assertIn(f"\n{name}\n", conf)
            node.restart_as_is()
            self.assertEqual(self.directives(node), before)
            node.kill()

    def directives(self, node: Node) -> dict[bytes, bytes]:
        """All directives."""
        reply = node.call("CONFIG", "GET", "*")
        return dict(zip(reply[::2], reply[1::2], strict=True))


class Permission(SynchronousTestCase):
    """enable-debug-command and enable-module-command."""

    def setUp(self) -> None:
        need_reference()

    def test_directives(self) -> None:
        """The replies of both kinds of servers under each value; both directives cannot be changed later."""
        for value in ("no", "local", "yes"):
            replies: list[list[object]] = []
            for kind in (RealServer, Replicad):
                node = kind(self, {"enable-debug-command": value, "enable-module-command": value}).start()
                client = node.client()
                replies.append([])
                for line in (
                    "DEBUG DIGEST", "DEBUG x", "CONFIG SET enable-debug-command yes", "CONFIG SET enable-module-command no",
                    "MODULE LOAD /x", "MODULE LOAD /x a b", "MODULE LOADEX /x", "MODULE LOADEX /x CONFIG a b ARGS c",
                    "MODULE UNLOAD x", "MODULE LIST", "MODULE UNLOAD", "MODULE LOAD", "MODULE LOADEX", "MODULE x",
                ):  # fmt: skip
                    reply = client.call(*line.split())
                    replies[-1].append(reply.text if isinstance(reply, RespError) else reply)
                node.kill()
            self.assertEqual(replies[1], replies[0], value)
