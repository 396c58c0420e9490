"""MIGRATE between replicad and real servers: replies, values, propagation, and writes that come in between."""

from __future__ import annotations

import socket
import time
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.support.connection import RespError
from tests.support.servers import (
    KINDS,
    Node,
    RealServer,
    Replicad,
    digest,
    link_up,
    need_reference,
    wait_in_sync,
    wait_until,
)
from tests.support.twohead import TwoHeadedTestCase

#: One value of each type and of each form that matters on the wire.
VALUES = (
    "SET string hello", "SET number 12345", "SET binary \x00\r\n\xff", "SETRANGE long 20000 x", "RPUSH list a b 3",
    "SADD ints 1 2 300000", "SADD set a b c", "HSET hash f v g 2", "ZADD zset 1 a 2.5 b -inf c", "XADD stream 1-1 f v",
    "XADD stream 2-0 f w", "XGROUP CREATE stream g 1-1", "XREADGROUP GROUP g me STREAMS stream >", "PFADD hll a b c",
    "SET volatile x PX 1000000",
)  # fmt: skip
KEYS = sorted({line.split(" ")[2 if line.startswith("XGROUP") else 1] for line in VALUES} - {"GROUP"})


def fill(node: Node) -> None:
    """Write the values."""
    with node.client() as client:
        for line in VALUES:
            client.must(*line.encode("latin-1").split(b" "))
        client.must("RPUSH", "many", *range(5000))


class Replies(TwoHeadedTestCase):
    """Both servers migrate to a third, a real one, and answer alike."""

    def setUp(self) -> None:
        super().setUp()
        self.target = RealServer(self).start()

    def test_errors(self) -> None:
        host, port = self.target.address.split()
        self.do_all("SET a 1", "SET b 2")
        self.target.call("SET", "b", "theirs")
        for line in (
            "", "HOST PORT a 0", "HOST PORT nosuch 0 100", "HOST PORT a x 100", "HOST PORT a 0 x", "HOST 1 a 0 200",
            "HOST PORT a 0 200 KEYS a", "HOST PORT '' 0 200 KEYS", "HOST PORT '' 0 200 KEYS nosuch", "HOST PORT '' 0 200",
            "HOST PORT a 0 200 FOO", "HOST PORT a 0 200 AUTH", "HOST PORT a 0 200 AUTH2 x", "HOST PORT a 0 200 COPY x",
            "HOST PORT a 0 2000 COPY AUTH x", "HOST PORT a 0 2000 COPY AUTH2 x y", "HOST PORT a 111 2000",
            "HOST PORT b 0 2000", "HOST PORT b 0 2000 COPY", "HOST 1 nosuch 0 100 KEYS nosuch",
            "nosuch.invalid PORT a 0 500", "HOST PORT a 99999999999999999999 100", "HOST 1 a 0 -100 copy replace",
        ):  # fmt: skip
            words = [{"HOST": host, "PORT": port, "''": ""}.get(word, word) for word in line.split()]
            self.do("MIGRATE", *words)
        self.do_all("GET a", "GET b", "DBSIZE")
        self.assertEqual(self.target.call("GET", "b"), b"theirs")
        for words in (("a", 1, 1000), ("", 1, 1000, "KEYS", "b", "a", "x"), ("", 1, 1, "COPY"),
                      ("", 1, 1, "AUTH", "KEYS", "KEYS", "a")):
            self.do("COMMAND", "GETKEYS", "MIGRATE", host, port, *words)

    def test_password(self) -> None:
        host, port = self.target.address.split()
        with self.target.client() as client:
            client.must("CONFIG", "SET", "requirepass", "secret")
            for step in (("COPY",), ("COPY", "AUTH", "wrong"), ("COPY", "REPLACE", "AUTH", "secret"),
                         ("COPY", "REPLACE", "AUTH2", "default", "secret"), ("COPY", "REPLACE", "auth2", "x", "secret")):
                self.do("SET", "a", "1")
                self.do("MIGRATE", host, port, "a", "0", "2000", *step)
            self.assertEqual(client.must("GET", "a"), b"1")

    def test_transaction(self) -> None:
        """Nothing may wait inside a transaction here, where Redis stops."""
        ours = self.pair.ours
        host, port = self.target.address.split()
        for words in (("SET", "a", "1"), ("MULTI",), ("MIGRATE", host, port, "nosuch", "0", "100"),
                      ("MIGRATE", host, port, "a", "0", "100")):
            ours.must(*words)
        missing, refused = ours.must("EXEC")
        self.assertEqual(missing, b"NOKEY")
        self.assertIn("not allowed inside a transaction", refused.text)
        self.assertEqual(ours.must("GET", "a"), b"1")


class Moving(SynchronousTestCase):
    """All types, all directions."""

    def setUp(self) -> None:
        need_reference()

    def node(self, kind: str, **directives: Any) -> Node:
        return KINDS[kind](self, directives, name=f"{kind}-{id(directives)}").start()

    def move(self, source_kind: str, target_kind: str, *options: str) -> tuple[Node, Node]:
        source, target = self.node(source_kind), self.node(target_kind)
        fill(source)
        before = digest(source)
        reply = source.call("MIGRATE", "127.0.0.1", target.port, "", 3, 5000, *options, "KEYS", *KEYS, "nosuch", "many")
        self.assertEqual(reply, b"OK")
        self.assertEqual(target.call("DBSIZE"), 0)
        target.call("SWAPDB", 0, 3)
        self.assertEqual(digest(target), before)
        self.assertTrue(900_000 < target.call("PTTL", "volatile") <= 1_000_000)
        return source, target

    def test_directions(self) -> None:
        """The digest of the target is the one the source had; the source is empty."""
        for kinds in (("ours", "real"), ("real", "ours"), ("ours", "ours")):
            source, _ = self.move(*kinds)
            self.assertEqual(source.call("DBSIZE"), 0, kinds)
            source.kill()

    def test_copy(self) -> None:
        """With COPY both have everything, and REPLACE does it again."""
        source, target = self.move("ours", "real", "COPY")
        self.assertEqual(digest(source), digest(target))
        words = ("MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "COPY")
        with self.assertRaises(RespError):
            source.call(*words, "KEYS", "set", "hash")
        self.assertEqual(source.call(*words, "REPLACE", "KEYS", "set", "hash"), b"OK")

    def test_propagation(self) -> None:
        """The replicas of the source delete what left, and those of the target have what came."""
        source, target, below, above = (self.node(kind) for kind in ("ours", "real", "real", "ours"))
        below.call("REPLICAOF", *source.address.split())
        above.call("REPLICAOF", *target.address.split())
        fill(source)
        source.call("SET", "stays", "1")
        wait_in_sync(source, below)
        wait_until(lambda: link_up(above))
        source.call("MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS", *KEYS)
        wait_in_sync(source, below)
        wait_in_sync(target, above)
        self.assertEqual(digest(source), digest(below))
        self.assertEqual(digest(target), digest(above))
        self.assertEqual((below.call("DBSIZE"), above.call("DBSIZE")), (2, len(KEYS)))  # "many" was not named

    def test_busy_keys(self) -> None:
        """What the target refuses stays; the others move."""
        source, target = self.node("ours"), self.node("real")
        source.call("MSET", "a", 1, "b", 2, "c", 3)
        target.call("SET", "b", "theirs")
        with self.assertRaisesRegex(RespError, "Target instance replied with error: BUSYKEY"):
            source.call("MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS", "a", "b", "c")
        self.assertEqual(source.call("KEYS", "*"), [b"b"])
        self.assertEqual(sorted(target.call("KEYS", "*")), [b"a", b"b", b"c"])
        self.assertEqual(target.call("GET", "b"), b"theirs")


class Meanwhile(SynchronousTestCase):
    """The source serves everybody else while the target takes its time."""

    def setUp(self) -> None:
        need_reference()
        self.source = Replicad(self).start()
        self.target = RealServer(self).start()
        self.mover, self.other = self.source.client(), self.source.client()
        self.other.must("MSET", "a", 1, "b", 2)

    def begin(self, *words: Any) -> None:
        """Send a MIGRATE to a target that hangs."""
        self.target.freeze()
        self.mover.send("MIGRATE", "127.0.0.1", self.target.port, *words)
        time.sleep(0.1)

    def test_nobody_waits(self) -> None:
        self.begin("a", 0, 5000)
        started = time.monotonic()
        for _ in range(20):
            self.other.must("PING")
        self.assertLess(time.monotonic() - started, 0.5)
        self.assertEqual(self.other.info("clients")["blocked_clients"], "1")
        self.target.thaw()
        self.assertEqual(self.mover.read_reply(), b"OK")

    def test_writes_are_not_lost(self) -> None:
        """A key that was changed on its way is sent again; one that was deleted is deleted there."""
        self.begin("", 0, 5000, "KEYS", "a", "b")
        self.other.must("APPEND", "a", "23")
        self.other.must("DEL", "b")
        self.target.thaw()
        self.assertEqual(self.mover.read_reply(), b"OK")
        self.assertEqual(self.other.must("DBSIZE"), 0)
        self.assertEqual((self.target.call("GET", "a"), self.target.call("EXISTS", "b")), (b"123", 0))

    def test_deadline_that_changes(self) -> None:
        self.begin("a", 0, 5000)
        self.other.must("EXPIRE", "a", 1000)
        self.target.thaw()
        self.assertEqual(self.mover.read_reply(), b"OK")
        self.assertGreater(self.target.call("TTL", "a"), 900)

    def test_counting_on(self) -> None:
        """A counter that never rests: in the end it is on one side, and no increment got lost."""
        self.mover.send("MIGRATE", "127.0.0.1", self.target.port, "a", 0, 5000)
        done = 1
        while self.other.call("EXISTS", "a"):
            done += 1
            last = self.other.must("INCR", "a")
            if done > 20000:
                break
        reply = self.mover.read_reply()
        if reply == b"OK":
            # an INCR that came after the deletion began a new counter here
            here = int(self.other.call("GET", "a") or 0)
            self.assertEqual(int(self.target.call("GET", "a")) + here, done)
        else:
            self.assertIn("TRYAGAIN", reply.text)
            self.assertEqual(last, done)

    def test_time_is_up(self) -> None:
        self.begin("a", 0, 200)
        reply = self.mover.read_reply()
        self.assertEqual(reply.text, "IOERR error or timeout reading to target instance")
        self.assertEqual(self.other.must("GET", "a"), b"1")
        self.target.thaw()

    def test_client_goes(self) -> None:
        """The migration ends without the client."""
        self.begin("a", 0, 5000)
        self.mover.close()
        time.sleep(0.05)
        self.target.thaw()
        wait_until(lambda: self.target.call("EXISTS", "a") == 1)
        wait_until(lambda: self.other.must("EXISTS", "a") == 0)

    def test_connection_is_kept(self) -> None:
        """The next migration to the same server uses it."""
        self.assertEqual(self.source.call("MIGRATE", "127.0.0.1", self.target.port, "a", 5, 5000), b"OK")
        self.assertEqual(self.source.info("stats")["migrate_cached_sockets"], "1")
        before = int(self.target.info("stats")["total_connections_received"])
        self.assertEqual(self.source.call("MIGRATE", "127.0.0.1", self.target.port, "b", 0, 5000), b"OK")
        self.assertEqual(int(self.target.info("stats")["total_connections_received"]), before + 1)  # this INFO's
        self.assertEqual(self.target.call("GET", "b"), b"2")

    def test_kept_connection_that_broke(self) -> None:
        """The target closed it when it was used again: once more with a new one."""
        listener = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listener.close)
        port = listener.getsockname()[1]
        self.mover.send("MIGRATE", "127.0.0.1", port, "a", 0, 3000)
        peer, _ = listener.accept()
        self.assertIn(b"RESTORE", peer.recv(1000))
        peer.sendall(b"+OK\r\n")
        self.assertEqual(self.mover.read_reply(), b"OK")
        self.mover.send("MIGRATE", "127.0.0.1", port, "b", 0, 3000)
        self.assertIn(b"RESTORE", peer.recv(1000))
        peer.close()
        peer, _ = listener.accept()
        self.assertIn(b"RESTORE", peer.recv(1000))
        peer.close()  # a second time is an error
        self.assertEqual(self.mover.read_reply().text, "IOERR error or timeout reading to target instance")
        self.assertEqual(self.other.must("GET", "b"), b"2")

    def test_nonsense(self) -> None:
        """A target that does not speak Redis."""
        listener = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listener.close)
        for answer in (b"HTTP/1.1 400 Bad Request\r\n\r\n", b"+" * 100_000, b"$1\r\nx\r\n"):
            self.mover.send("MIGRATE", "127.0.0.1", listener.getsockname()[1], "a", 0, 3000)
            peer, _ = listener.accept()
            peer.recv(100)
            peer.sendall(answer)
            self.assertEqual(self.mover.read_reply().text, "IOERR error or timeout reading to target instance")
            peer.close()
        self.assertNotIn("Defect", self.source.log())
