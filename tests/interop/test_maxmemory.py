"""maxmemory beside a real redis-server: replies, which keys may go, what replicas get, how much stays."""

from __future__ import annotations

from collections.abc import Iterable

from twisted.trial.unittest import SynchronousTestCase

from tests.support.connection import Argument, Connection
from tests.support.servers import Node, RealServer, Replicad, digest, need_reference, wait_in_sync, wait_until
from tests.support.together import together
from tests.support.twohead import TwoHeadedTestCase

OFF = ("CONFIG", "SET", "maxmemory", "0", "maxmemory-policy", "noeviction")


def pipeline(connection: Connection, commands: Iterable[tuple[Argument, ...]], batch: int = 500) -> list[object]:
    """Send many commands; returns their replies."""
    replies: list[object] = []
    waiting = 0
    for command in commands:
        connection.send(*command)
        waiting += 1
        if waiting == batch:
            replies += [connection.read_reply() for _ in range(waiting)]
            waiting = 0
    return replies + [connection.read_reply() for _ in range(waiting)]


def used(node: Node) -> int:
    """used_memory of INFO."""
    return int(node.info("memory")["used_memory"])


def counted(node: Node) -> int:
    """What is compared with maxmemory."""
    fields = node.info("memory")
    return int(fields["used_memory"]) - int(fields["mem_not_counted_for_evict"])


class Replies(TwoHeadedTestCase):
    """The same words as the real server's."""

    def setUp(self) -> None:
        super().setUp()
        self.addCleanup(lambda: self.do(*OFF))

    def test_out_of_memory(self) -> None:
        self.do_all("SET k v", "RPUSH l a b", "HSET h f v", "CONFIG SET maxmemory 1")
        self.do_all(
            "SET a b", "APPEND k v", "SETRANGE k 1 z", "RPUSH l c", "LPUSHX nosuch c", "HSET h g v", "SADD s m",
            "ZADD z 1 m", "XADD x * f v", "INCR n", "BITFIELD b GET u8 0", "COPY k c", "PFADD p a", "SORT l STORE m",
            "GETSET k w", "MSET a b c d", "SETBIT b 1 1", "SUNIONSTORE d s", "GEOADD g 1 1 m", "SET", "SET a",
        )  # fmt: skip
        self.do_all(
            "GET k", "LRANGE l 0 -1", "LPOP l", "RPOPLPUSH l l", "HDEL h f", "EXPIRE k 100", "PERSIST k", "RENAME k kk",
            "DEL kk", "GETDEL kk", "PING", "DBSIZE", "SUBSCRIBE a", "UNSUBSCRIBE a", "WATCH a", "UNWATCH",
        )  # fmt: skip
        self.do_all("CONFIG SET maxmemory 0", "SET a b")
        self.same_digest()

    def test_transactions(self) -> None:
        self.do_all("SET k v", "CONFIG SET maxmemory 1", "MULTI", "GET k", "EXEC")
        self.do_all("MULTI", "SET a b", "DISCARD", "MULTI", "EXEC", "MULTI", "PING", "RESET", "MULTI", "FOO", "EXEC")
        self.do_all("CONFIG SET maxmemory 0", "MULTI", "SET a b", "GET a")
        other = self.open_pair()
        other.do("CONFIG", "SET", "maxmemory", "1")
        self.do_all("EXEC", "GET a")
        other.do("CONFIG", "SET", "maxmemory", "0")
        self.do_all("MULTI", "GET k", "DEL k")
        other.do("CONFIG", "SET", "maxmemory", "1")
        self.do_all("EXEC", "GET k")

    def test_nothing_may_go(self) -> None:
        for policy in ("volatile-lru", "volatile-lfu", "volatile-ttl", "volatile-random"):
            self.do_all("CONFIG SET maxmemory 0", "SET k v", f"CONFIG SET maxmemory 1 maxmemory-policy {policy}")
            self.do_all("SET a b", "GET k", "DBSIZE")

    def test_everything_may_go(self) -> None:
        for policy in ("allkeys-lru", "allkeys-lfu", "allkeys-random"):
            self.do_all("CONFIG SET maxmemory 0", "SET k v", "SET l v", f"CONFIG SET maxmemory 1 maxmemory-policy {policy}")
            self.do_all("SET a b", "DBSIZE", "GET k", "SET a b")

    def test_only_volatile_keys_go(self) -> None:
        for policy in ("volatile-lru", "volatile-lfu", "volatile-ttl", "volatile-random"):
            self.do_all("CONFIG SET maxmemory 0", "SET k v", "SET e v EX 100", "SELECT 3", "SET e v EX 1000", "SELECT 0")
            self.do_all(f"CONFIG SET maxmemory 1 maxmemory-policy {policy}", "SET a b", "DBSIZE", "GET k", "EXISTS e")
            self.do_all("SELECT 3", "DBSIZE", "SELECT 0")

    def test_settings(self) -> None:
        self.do_all("CONFIG SET maxmemory-policy foo", "CONFIG SET maxmemory -1", "CONFIG SET maxmemory x",
                    "CONFIG SET maxmemory-samples 0", "CONFIG SET maxmemory-eviction-tenacity 101")  # fmt: skip
        for pattern in ("maxmemory*", "lfu-*", "replica-ignore-maxmemory"):
            self.do_pairs("CONFIG", "GET", pattern)

    def test_object(self) -> None:
        self.do_all("SET k v", "OBJECT FREQ k", "OBJECT IDLETIME k", "OBJECT FREQ nosuch", "OBJECT IDLETIME nosuch")
        self.do("CONFIG", "SET", "maxmemory-policy", "allkeys-lfu")
        self.do_all("SET n text", "OBJECT FREQ n", "OBJECT IDLETIME n", "OBJECT FREQ nosuch", "OBJECT IDLETIME nosuch",
                    "OBJECT FREQ", "OBJECT IDLETIME a b")  # fmt: skip
        payload = self.pair.real.must("DUMP", "n")
        for options in (("FREQ", "200"), ("FREQ", "0"), ("FREQ", "255"), ("FREQ", "256"), ("FREQ", "-1"), ("FREQ", "x"),
                        ("FREQ",), ("IDLETIME", "-1"), ("IDLETIME", "x"), ("FREQ", "1", "IDLETIME", "1"),
                        ("IDLETIME", "1", "FREQ", "1")):  # fmt: skip
            self.do("RESTORE", "r", "0", payload, "REPLACE", *options)
            self.do("OBJECT", "FREQ", "r")
        self.do("RESTORE", "r", "0", payload, "REPLACE", "FREQ", "200")
        self.do_all("SET r other", "OBJECT FREQ r", "DEL r", "SET r other", "OBJECT FREQ r")

    def test_what_is_a_use(self) -> None:
        self.do("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
        self.do("HSET", "k", "f", "1")
        payload = self.pair.real.must("DUMP", "k")
        for command in ("EXISTS k", "TYPE k", "TTL k", "EXPIRETIME k", "OBJECT ENCODING k", "OBJECT REFCOUNT k", "SCAN 0",
                        "RANDOMKEY", "KEYS *", "HGET k f", "HGETALL k", "HSCAN k 0", "HSET k f 2", "HDEL k nosuch",
                        "EXPIRE k 100", "TOUCH k", "COPY k c REPLACE", "HLEN k", "STRLEN k", "DEBUG OBJECT k"):  # fmt: skip
            self.do("RESTORE", "k", "0", payload, "REPLACE", "IDLETIME", "1000")
            self.both(*command.split())
            real, ours = self.both("OBJECT", "IDLETIME", "k")
            self.assertEqual(real >= 1000, ours >= 1000, command)
        self.do("RESTORE", "k", "0", payload, "REPLACE", "IDLETIME", "1000")
        self.do_all("RENAME k r", "OBJECT IDLETIME r")

    def test_memory(self) -> None:
        self.do_all("SET k v", "MEMORY USAGE nosuch", "MEMORY USAGE k SAMPLES", "MEMORY USAGE k SAMPLES -1",
                    "MEMORY USAGE k SAMPLES x", "MEMORY USAGE k FOO 1", "MEMORY USAGE", "MEMORY FOO", "MEMORY PURGE",
                    "MEMORY USAGE nosuch SAMPLES x", "MEMORY DOCTOR x", "MEMORY STATS x")  # fmt: skip
        for command in ("MEMORY USAGE k", "MEMORY USAGE k SAMPLES 0", "MEMORY USAGE k SAMPLES 5 SAMPLES 2",
                        "MEMORY DOCTOR", "MEMORY MALLOC-STATS"):  # fmt: skip
            self.do_loosely(*command.split())
        for resp in (2, 3):
            pair = self.open_pair(resp)
            real, ours = pair.both("MEMORY", "STATS")
            if resp == 2:
                real, ours = dict(zip(real[::2], real[1::2], strict=True)), dict(zip(ours[::2], ours[1::2], strict=True))
            self.assertEqual(list(real), list(ours))
            for name, value in real.items():
                self.assertIs(type(ours[name]), type(value), name)


class Stream(SynchronousTestCase):
    """50 MB of writes through a limit of 20 MB."""

    def test_the_limit_is_kept(self) -> None:
        scenarios = []
        for policy in ("allkeys-lru", "allkeys-random", "volatile-ttl"):
            scenarios.append(self.scenario(Replicad(self, {"maxmemory": "20mb", "maxmemory-policy": policy}), policy))
        together(*scenarios)

    def scenario(self, node: Node, policy: str) -> object:
        """Write and watch."""

        def run() -> None:
            client = node.start().client()
            value = b"x" * 5000
            most = 0
            for start in range(0, 10_000, 500):
                options = ("EX", "1000") if policy == "volatile-ttl" else ()
                replies = pipeline(client, [("SET", f"key:{n}", value, *options) for n in range(start, start + 500)])
                assert set(replies) == {b"OK"}, replies[:3]
                most = max(most, used(node))
            assert most < 1.02 * (20 << 20), most
            client.must("MULTI")
            client.must("DBSIZE")
            client.must("INFO", "stats")
            left, stats = client.must("EXEC")
            assert 1500 < left < 4000, left
            assert b"\r\nevicted_keys:%d\r\n" % (10_000 - left) in stats, (left, stats)
            memory = node.info("memory")
            assert memory["maxmemory"] == str(20 << 20)
            assert memory["maxmemory_policy"] == policy

        run.__name__ = policy
        return run


class Replicas(SynchronousTestCase):
    """Evictions in the stream of replication."""

    def setUp(self) -> None:
        need_reference()

    def fill(self, node: Node, count: int) -> None:
        """Strings, lists and hashes, some with deadlines."""
        def commands() -> Iterable[tuple[Argument, ...]]:
            for n in range(count):
                if n % 3 == 0:
                    yield "SET", f"string:{n}", b"x" * 3000, "EX", 10_000 + n
                elif n % 3 == 1:
                    yield "RPUSH", f"list:{n}", *[b"x" * 300] * 10
                else:
                    yield "HSET", f"hash:{n}", *[b"%0300d" % m for m in range(10)]

        pipeline(node.client(), commands())

    def test_digests(self) -> None:
        """A master of ours that evicts, with a replica of each kind."""
        directives = {"maxmemory": "12mb", "maxmemory-policy": "allkeys-random", "repl-diskless-sync-delay": "0"}
        master = Replicad(self, directives, name="master").start()
        own = {"replicaof": master.address, "maxmemory": "6mb", "maxmemory-policy": "allkeys-random"}
        replicas: list[Node] = [
            Replicad(self, own, name="ours").start(), RealServer(self, own, name="real").start(),
        ]  # fmt: skip
        wait_in_sync(master, *replicas)
        self.fill(master, 5000)
        wait_in_sync(master, *replicas)
        self.assertGreater(int(master.info("stats")["evicted_keys"]), 500)
        # eviction goes on in later turns, while we look
        wait_until(lambda: len({digest(node) for node in (master, *replicas)}) == 1, 10, "equal digests")
        for replica in replicas:
            self.assertEqual(replica.info("stats")["evicted_keys"], "0")
            self.assertGreater(used(replica), 6 << 20)

    def test_a_real_master_evicts(self) -> None:
        master = RealServer(self, {"maxmemory": "8mb", "maxmemory-policy": "allkeys-lru",
                                   "repl-diskless-sync-delay": "0"}).start()  # fmt: skip
        replica = Replicad(self, {"replicaof": master.address, "maxmemory": "1mb"}).start()
        wait_in_sync(master, replica)
        self.fill(master, 5000)
        wait_in_sync(master, replica)
        self.assertGreater(int(master.info("stats")["evicted_keys"]), 500)
        self.assertEqual(digest(replica), digest(master))

    def test_a_replica_that_does_not_ignore(self) -> None:
        """It evicts by itself, and what it evicts goes nowhere."""
        master = Replicad(self, {"repl-diskless-sync-delay": "0"}, name="master").start()
        replica = Replicad(self, {"replicaof": master.address, "maxmemory": "10mb", "maxmemory-policy": "allkeys-random",
                                  "replica-ignore-maxmemory": "no"}).start()  # fmt: skip
        wait_in_sync(master, replica)
        self.fill(master, 4000)
        wait_in_sync(master, replica)
        wait_until(lambda: counted(replica) <= 10 << 20, 5, "eviction on the replica")
        self.assertGreater(int(replica.info("stats")["evicted_keys"]), 500)
        self.assertEqual(master.client().must("DBSIZE"), 4000)

    def test_an_image_is_counted(self) -> None:
        """After a full synchronisation, and after a start from a file, the account is complete."""
        master = Replicad(self, {"repl-diskless-sync-delay": "0"}, name="master").start()
        self.fill(master, 2000)
        replica = Replicad(self, {"replicaof": master.address, "maxmemory": "1gb"}).start()
        wait_in_sync(master, replica)
        client = master.client()
        client.must("CONFIG", "SET", "maxmemory", "1gb")
        wait_until(lambda: abs(counted(replica) - counted(master)) < 0.1 * counted(master), 5, "the same account")
        before = counted(replica)
        self.assertGreater(before, 11 << 20)
        client = replica.client()
        client.must("REPLICAOF", "NO", "ONE")
        client.must("SAVE")
        client.must("DEBUG", "RELOAD")
        self.assertTrue(0.9 < counted(replica) / before < 1.1, (counted(replica), before))
        replica.restart({"maxmemory": "1gb"})
        wait_until(lambda: 0.9 < counted(replica) / before < 1.1, 5, "the same account after a restart")
        client = replica.client()
        client.must("FLUSHALL")
        self.assertLess(used(replica), 7 << 20)
