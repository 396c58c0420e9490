"""Hash fields that expire, among servers: replicas of ours, restarts, and real replicas that know no such thing.

The real server here is of 7.0; what later servers answer is in ``tests/unit/test_hash_expiry.py``, from their documentation.
"""

from __future__ import annotations

from twisted.trial.unittest import TestCase

from tests.support.servers import RealServer, Replicad, digest, need_reference, wait_in_sync, wait_until

FAR = 4_102_444_800_123
REFUSED = "replicas older than Redis 7.4"


class AmongOurs(TestCase):
    def fill(self, node: Replicad) -> None:
        client = node.client()
        client.must("HSET", "h", "a", 1, "b", 2, "c", 3)
        client.must("HPEXPIREAT", "h", FAR, "FIELDS", 2, "a", "b")
        client.must("HSET", "plain", "a", 1)

    def deadlines(self, node: Replicad) -> list[int]:
        found: list[int] = node.call("HPEXPIRETIME", "h", "FIELDS", 4, "a", "b", "c", "x")
        return found

    def test_image_stream_and_chain(self) -> None:
        """Master, replica and its replica: an image first, the stream after it."""
        master = Replicad(self, {"repl-diskless-sync-delay": 0}).start()
        self.fill(master)
        middle = Replicad(self, {"replicaof": f"127.0.0.1 {master.port}"}).start()
        last = Replicad(self, {"replicaof": f"127.0.0.1 {middle.port}"}).start()
        wait_in_sync(master, middle, last)
        for node in (middle, last):
            self.assertEqual(self.deadlines(node), [FAR, FAR, -1, -2])
        master.call("HINCRBYFLOAT", "h", "a", "1.5")
        master.call("HSET", "h", "b", 9)
        master.call("HSETEX", "g", "PX", 50, "FIELDS", 2, "x", 1, "y", 2)
        master.call("HEXPIRE", "h", 1000, "FIELDS", 1, "c")
        wait_until(lambda: master.call("EXISTS", "g") == 0, what="the fields expire")
        wait_in_sync(master, middle, last)
        expected = self.deadlines(master)
        self.assertEqual(expected[:2], [FAR, -1])
        for node in (middle, last):
            self.assertEqual(self.deadlines(node), expected)
            self.assertEqual(node.call("KEYS", "g"), [])
            self.assertEqual(digest(node), digest(master))
        self.assertEqual(master.info("stats")["expired_subkeys"], "2")
        self.assertEqual(middle.info("stats")["sync_full"], "1")

    def test_restart(self) -> None:
        for backend in ("rdb", "lmdb"):
            node = Replicad(self, {"snapshot-backend": backend, "save": "3600 100000"}).start()
            self.fill(node)
            before = digest(node)
            node.restart()
            self.assertEqual(self.deadlines(node), [FAR, FAR, -1, -2], backend)
            self.assertEqual(digest(node), before)
            node.call("DEBUG", "RELOAD")
            self.assertEqual(self.deadlines(node), [FAR, FAR, -1, -2], backend)
        node.call("HPEXPIRE", "h", 30, "FIELDS", 3, "a", "b", "c")
        node.restart()
        wait_until(lambda: node.call("EXISTS", "h") == 0, what="what expired meanwhile is gone")

    def test_notifications(self) -> None:
        node = Replicad(self, {"notify-keyspace-events": "Khg"}).start()
        listener = node.client()
        listener.must("SUBSCRIBE", "__keyspace@0__:h")
        client = node.client()
        for line in (
            "HSET h a 1 b 2 c 3 d 4", "HEXPIRE h 100 FIELDS 2 a b", "HPERSIST h FIELDS 1 a", "HEXPIRE h 0 FIELDS 1 a",
            "HGETEX h PERSIST FIELDS 1 b", "HGETDEL h FIELDS 1 b", "HSETEX h EX 9 FIELDS 1 c 1", "HPEXPIRE h 1 FIELDS 2 c d",
        ):  # fmt: skip
            client.must(*line.split())
        events = [listener.read_reply()[2].decode() for _ in range(11)]
        expected = "hset hexpire hpersist hdel hpersist hdel hset hexpire hexpire hexpired del"
        self.assertEqual(events, expected.split())


class RealReplicas(TestCase):
    def setUp(self) -> None:
        need_reference()
        self.master = Replicad(self, {"repl-diskless-sync-delay": 0}).start()

    def test_one_that_follows_already(self) -> None:
        """It knows no HPEXPIREAT, and is told when a field has to go."""
        replica = RealServer(self, {"replicaof": f"127.0.0.1 {self.master.port}"}).start()
        wait_in_sync(self.master, replica)
        self.master.call("HSET", "h", "a", 1, "b", 2)
        self.master.call("HPEXPIRE", "h", 50, "FIELDS", 1, "a")
        replica.wait_log("unknown command 'HPEXPIREAT'")
        wait_until(lambda: self.master.call("HLEN", "h") == 1, what="the field expires")
        wait_in_sync(self.master, replica)
        self.assertEqual(replica.call("HGETALL", "h"), [b"b", b"2"])
        self.assertEqual(digest(replica), digest(self.master))
        self.assertNotIn(REFUSED, self.master.log())

    def test_one_that_needs_an_image(self) -> None:
        """It refuses the image while there are such fields, and the master's log says so once."""
        self.master.call("HSET", "h", "a", 1, "b", 2)
        self.master.call("HEXPIRE", "h", 1000, "FIELDS", 1, "a")
        replica = RealServer(self, {"replicaof": f"127.0.0.1 {self.master.port}"}).start()
        replica.wait_log("Can't handle RDB format version 12", count=2)
        self.assertEqual(self.master.log().count(REFUSED), 1)
        self.master.call("HPERSIST", "h", "FIELDS", 1, "a")
        wait_in_sync(self.master, replica)
        self.assertEqual(digest(replica), digest(self.master))

    def test_payloads(self) -> None:
        """RESTORE on such a server takes a hash only without deadlines."""
        real = RealServer(self).start()
        self.master.call("HSET", "h", "a", 1, "b", 2)
        self.master.call("HEXPIRE", "h", 1000, "FIELDS", 1, "a")
        refused = real.client().call("RESTORE", "h", 0, self.master.call("DUMP", "h"))
        self.assertEqual(str(refused), "ERR DUMP payload version or checksum are wrong")
        self.master.call("HPERSIST", "h", "FIELDS", 1, "a")
        real.call("RESTORE", "h", 0, self.master.call("DUMP", "h"))
        self.assertEqual(digest(real), digest(self.master))
