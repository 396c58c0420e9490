"""maxmemory without a socket: who goes, how much, when nothing may go, and what the replicas are told."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from replicad.config import load
from replicad.dispatch import run
from replicad.keyspace import Database
from replicad.ledger import AccountedDatabase, FrequencyDatabase, RecencyDatabase
from replicad.server import Server
from replicad.session import Client

OOM = b"-OOM command not allowed when used memory > 'maxmemory'.\r\n"
MEGABYTE = 1 << 20


class EvictionCase(SynchronousTestCase):
    """A server without a reactor: its timers run when the test says so."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.server = Server(load(None, []), self.clock)
        self.client = Client(self.server)
        self.eviction = self.server.eviction

    def do(self, *argv: Any) -> bytes:
        """One command; returns the encoded reply."""
        return run(self.client, [[word if isinstance(word, bytes) else str(word).encode() for word in argv]])

    def limit(self, policy: str, data: int = 3 * MEGABYTE, **directives: Any) -> None:
        """Leave room for so many bytes of keys and values, beside the tables that are there."""
        words = [b"maxmemory-policy", policy.encode()]
        for name, value in directives.items():
            words += [name.replace("_", "-").encode(), str(value).encode()]
        self.assertEqual(self.do("CONFIG", "SET", "maxmemory", "100gb", *words), b"+OK\r\n")
        warm = [b"warm:%d" % n for n in range(16_000)]  # tables grow, and stay
        self.do("MSET", *[word for key in warm for word in (key, b"")])
        self.do("DEL", *warm)
        for _ in range(1000):
            self.settle(0.1)
            if all(db.ledger.complete for db in self.server.databases):
                break
        self.settle(0.2)
        tables = self.eviction.counted_memory() - sum(db.ledger.bytes for db in self.server.databases)
        self.assertEqual(self.do("CONFIG", "SET", "maxmemory", tables + data), b"+OK\r\n")

    def keys(self) -> set[bytes]:
        """Every key of database 0."""
        return {key for shard in self.server.databases[0].shards for key in shard}

    def settle(self, seconds: float = 2.0) -> None:
        """Let timers and the server's clock run."""
        for _ in range(int(seconds * 10)):
            self.clock.advance(0.1)
            self.eviction.tick()


class Limits(EvictionCase):
    """How much there may be."""

    def test_off_costs_nothing(self) -> None:
        self.do("SET", "k", "v")
        for db in self.server.databases:
            self.assertIs(type(db), Database)
            self.assertIsNone(db.ledger)
        self.assertEqual(self.server.deny, 0)

    def test_the_class_follows_the_policy(self) -> None:
        for policy, kind in (("noeviction", AccountedDatabase), ("allkeys-lru", RecencyDatabase),
                             ("volatile-lfu", FrequencyDatabase), ("volatile-ttl", AccountedDatabase),
                             ("allkeys-random", AccountedDatabase)):  # fmt: skip
            self.limit(policy)
            self.assertEqual({type(db) for db in self.server.databases}, {kind})
        self.do("CONFIG", "SET", "maxmemory", "0")
        self.assertEqual({type(db) for db in self.server.databases}, {Database})

    def test_a_stream_of_writes_stays_below(self) -> None:
        for policy in ("allkeys-lru", "allkeys-lfu", "allkeys-random"):
            self.do("FLUSHALL")
            self.limit(policy)
            most = 0
            for n in range(10_000):
                self.do("SET", f"key:{n}", b"x" * 300)
                if n % 500 == 0:
                    self.settle(0.2)
                most = max(most, self.eviction.counted_memory())
            self.assertTrue(most <= self.eviction.limit + 200_000, (policy, most - self.eviction.limit))
            self.assertTrue(1000 < len(self.keys()) < 9000)
            self.assertEqual(self.eviction.evicted, 10_000 - len(self.keys()))
            self.eviction.reset_statistics()

    def test_noeviction(self) -> None:
        self.limit("noeviction")
        refused = 0
        for n in range(5000):
            refused += self.do("SET", f"key:{n}", b"x" * 1000) == OOM
        self.assertTrue(1000 < refused < 4500, refused)
        self.assertEqual(self.eviction.evicted, 0)
        self.assertEqual(self.do("GET", "key:1"), b"$1000\r\n" + b"x" * 1000 + b"\r\n")
        self.do("MULTI")
        self.assertEqual(self.do("GET", "key:1"), OOM)
        self.assertIn(b"EXECABORT", self.do("EXEC"))
        self.do("DEL", *[f"key:{n}" for n in range(500)])
        self.assertEqual(self.do("SET", "key:1", "v"), b"+OK\r\n")
        self.assertFalse(self.eviction.full)
        self.assertEqual(self.server.deny, 0)

    def test_a_lower_limit_evicts_what_is_there(self) -> None:
        for n in range(10_000):
            self.do("SET", f"key:{n}", b"x" * 300)
        self.limit("allkeys-random", 500_000)
        for _ in range(1000):  # in short turns
            if self.eviction.counted_memory() <= self.eviction.limit:
                break
            self.settle(0.1)
        self.assertTrue(0 < len(self.keys()) < 1500, len(self.keys()))
        self.assertLessEqual(self.eviction.counted_memory(), self.eviction.limit)

    def test_collections(self) -> None:
        self.limit("allkeys-random")
        for n in range(400):
            self.do("RPUSH", f"list:{n}", *[b"x" * 100] * 50)
            self.do("HSET", f"hash:{n}", *[f"{m:0100}" for m in range(20)])
            self.assertTrue(self.eviction.counted_memory() < self.eviction.limit + 50_000)
        self.assertGreater(self.eviction.evicted, 100)

    def test_several_databases(self) -> None:
        self.limit("allkeys-lru")
        for n in range(6000):
            self.do("SELECT", n % 3)
            self.do("SET", f"key:{n}", b"x" * 300)
        sizes = [len(db) for db in self.server.databases[:3]]
        self.assertTrue(min(sizes) > 300, sizes)
        self.assertTrue(self.eviction.counted_memory() < self.eviction.limit + 200_000)

    def test_one_key_larger_than_the_limit(self) -> None:
        self.limit("allkeys-lru")
        self.do("SET", "small", "v")
        self.do("SET", "large", b"x" * 2 * MEGABYTE)
        self.settle()
        self.assertEqual(self.do("SET", "k", "v"), b"+OK\r\n")
        self.assertNotIn(b"large", self.keys())

    def test_tenacity_bounds_one_turn(self) -> None:
        for n in range(20_000):
            self.do("SET", f"key:{n}", b"x" * 300)
        self.limit("allkeys-random", 100_000, maxmemory_eviction_tenacity=1)
        self.do("SET", "k", "v")
        self.assertTrue(0 < self.eviction.evicted < 5000, self.eviction.evicted)
        self.do("CONFIG", "SET", "maxmemory-eviction-tenacity", "100")
        self.do("SET", "k", "v")
        self.assertLessEqual(self.eviction.counted_memory(), self.eviction.limit)

    def test_pause_and_loading_stop_eviction(self) -> None:
        for n in range(5000):
            self.do("SET", f"key:{n}", b"x" * 300)
        self.limit("noeviction", 100_000)
        self.server.loading = True
        self.do("CONFIG", "SET", "maxmemory-policy", "allkeys-random")
        self.settle(1)
        self.assertEqual(self.eviction.evicted, 0)
        self.server.loading = False
        self.server.pause(self.server.clock.now_ms + 100_000, False)
        self.settle(1)
        self.assertEqual(self.eviction.evicted, 0)
        self.server.unpause()
        self.settle(1)
        self.assertGreater(self.eviction.evicted, 0)


class Victims(EvictionCase):
    """Who goes."""

    def fill(self, count: int = 1000) -> None:
        """Half of the keys have deadlines, of which the next to expire is that of the highest number."""
        for n in range(count):
            self.do("SET", f"plain:{n}", b"x" * 200)
            self.do("SET", f"volatile:{n}", b"x" * 200, "EX", 100_000 - n)

    def test_volatile_policies_spare_the_others(self) -> None:
        for policy in ("volatile-lru", "volatile-lfu", "volatile-random", "volatile-ttl"):
            self.do("FLUSHALL")
            self.do("CONFIG", "SET", "maxmemory", "0")
            self.fill()
            self.limit(policy, 400_000, maxmemory_eviction_tenacity=100)
            self.settle()
            left = self.keys()
            self.assertEqual(sum(key.startswith(b"plain") for key in left), 1000, policy)
            self.assertTrue(200 < len(left) - 1000 < 900, (policy, len(left)))
            self.limit(policy, 100_000)
            self.settle()
            self.assertEqual(len(self.keys()), 1000)
            self.assertEqual(self.do("SET", "k", "v"), OOM)
            self.assertEqual(len(self.keys()), 1000)

    def test_ttl_takes_the_soonest(self) -> None:
        self.do("SELECT", 1)
        for n in range(0, 1000, 2):
            self.do("SET", f"volatile:{n}", b"x" * 200, "EX", 100_000 - n)
        self.do("SELECT", 0)
        for n in range(1, 1000, 2):
            self.do("SET", f"volatile:{n}", b"x" * 200, "EX", 100_000 - n)
        self.limit("volatile-ttl", 200_000, maxmemory_eviction_tenacity=100)
        self.settle()
        left = {int(key[9:]) for db in self.server.databases for shard in db.shards for key in shard}
        self.assertTrue(100 < len(left) < 900)
        self.assertEqual(left, set(range(len(left))))

    def test_lru_keeps_what_is_used(self) -> None:
        self.limit("allkeys-lru", 400_000)
        for n in range(500):
            self.do("SET", f"key:{n}", b"x" * 200)
        for n in range(500, 4000):
            if n % 50 == 0:
                self.server.clock.tenths += 10
                for hot in range(100):
                    self.do("GET", f"key:{hot}")
            self.do("SET", f"key:{n}", b"x" * 200)
        left = self.keys()
        self.assertGreaterEqual(sum(b"key:%d" % n in left for n in range(100)), 90)
        self.assertLess(sum(b"key:%d" % n in left for n in range(100, 500)), 40)

    def test_lfu_keeps_what_is_used_often(self) -> None:
        self.limit("allkeys-lfu", 400_000)
        for n in range(500):
            self.do("SET", f"key:{n}", b"x" * 200)
        for _ in range(60):
            for hot in range(100):
                self.do("GET", f"key:{hot}")
        for n in range(500, 4000):
            self.do("SET", f"key:{n}", b"x" * 200)
        left = self.keys()
        self.assertGreaterEqual(sum(b"key:%d" % n in left for n in range(100)), 90)

    def test_random_touches_all(self) -> None:
        for n in range(2000):
            self.do("SET", f"key:{n}", b"x" * 200)
        self.limit("allkeys-random", 300_000, maxmemory_eviction_tenacity=100)
        self.settle()
        left = [int(key[4:]) for key in self.keys()]
        self.assertTrue(300 < len(left) < 1500)
        self.assertTrue(850 < sum(left) / len(left) < 1150)


class Counting(EvictionCase):
    """A limit that is set while the keys are not counted yet."""

    def test_not_too_many_go(self) -> None:
        for n in range(20_000):
            self.do("SET", f"key:{n}", b"x" * 200)
        self.limit("allkeys-random", 3 * MEGABYTE)
        self.do("CONFIG", "SET", "maxmemory", "0")
        self.eviction._count_slice = lambda: None  # type: ignore[method-assign]
        self.do("CONFIG", "SET", "maxmemory", self.eviction_limit(3 * MEGABYTE), "maxmemory-eviction-tenacity", "100")
        for db in self.server.databases:
            db.ledger.count(db, 400 if db.index == 0 else 4096)
        self.settle(1)
        left = len(self.keys())
        self.assertTrue(7000 < left < 14_000, left)

    def test_keys_that_are_not_counted_yet_may_go(self) -> None:
        """On a slow machine the first command comes before the first key is counted."""
        self.eviction._count_slice = lambda: None  # type: ignore[method-assign]
        for policy in ("allkeys-lru", "allkeys-lfu", "allkeys-random"):
            self.do("CONFIG", "SET", "maxmemory", "0", "maxmemory-policy", policy)
            self.do("MSET", "k", "v", "l", "v")
            self.do("CONFIG", "SET", "maxmemory", "1")
            self.assertTrue(self.do("SET", "a", "b").startswith(b"-OOM"))
            self.assertEqual(self.keys(), set(), policy)

    def eviction_limit(self, data: int) -> int:
        """The limit that leaves ``data`` bytes for keys and values."""
        return self.eviction._fixed + data


class Told(EvictionCase):
    """What others learn of an eviction."""

    def setUp(self) -> None:
        super().setUp()
        for n in range(50):
            self.do("SET", f"key:{n}", b"x" * 1000)

    def evict(self, lazy: str = "no") -> bytes:
        """Evict some keys; returns the stream of replication."""
        stream: list[bytes] = []
        self.limit("noeviction", 30_000, lazyfree_lazy_eviction=lazy)
        self.server.history.create_backlog()
        self.server.update_gates()
        self.server.propagation._deliver = stream.append
        self.before()
        self.do("CONFIG", "SET", "maxmemory-policy", "allkeys-random")
        self.settle()
        self.assertTrue(0 < self.eviction.evicted < 50)
        return b"".join(stream)

    def before(self) -> None:
        """What a test wants to do before the first key goes."""

    def test_replicas(self) -> None:
        stream = self.evict()
        self.assertEqual(stream.count(b"DEL\r\n"), self.eviction.evicted)
        self.assertNotIn(b"MULTI", stream)
        for n in range(50):
            self.assertEqual(b"key:%d\r\n" % n in stream, b"key:%d" % n not in self.keys())

    def test_replicas_lazily(self) -> None:
        self.assertEqual(self.evict("yes").count(b"UNLINK\r\n"), self.eviction.evicted)

    def test_watch_and_unsaved_changes(self) -> None:
        self.do("WATCH", *[f"key:{n}" for n in range(50)])
        dirty: list[int] = []
        self.before = lambda: dirty.append(self.server.saver.dirty)  # type: ignore[method-assign]
        self.evict()
        self.assertEqual(self.server.saver.dirty - dirty[0], self.eviction.evicted)
        self.do("MULTI")
        self.do("PING")
        self.assertEqual(self.do("EXEC"), b"*-1\r\n")

    def test_notification(self) -> None:
        told: list[tuple[Any, ...]] = []
        self.server.notify = lambda *event: told.append(event)

        def listen() -> None:
            self.server.notifying = 1

        self.before = listen  # type: ignore[method-assign]
        self.evict()
        self.assertEqual([event[1] for event in told], [b"evicted"] * self.eviction.evicted)

    def test_info(self) -> None:
        self.evict()
        stats = self.do("INFO", "stats").decode()
        self.assertIn(f"evicted_keys:{self.eviction.evicted}\r\n", stats)
        self.do("CONFIG", "RESETSTAT")
        self.assertIn("evicted_keys:0\r\n", self.do("INFO", "stats").decode())


class NoTouch(EvictionCase):
    """CLIENT NO-TOUCH."""

    def test_leaves_no_access(self) -> None:
        self.limit("allkeys-lru")
        self.do("SET", "k", "v")
        self.server.clock.tenths += 100
        self.do("CLIENT", "NO-TOUCH", "ON")
        self.assertEqual(self.do("GET", "k"), b"$1\r\nv\r\n")
        self.do("MULTI")
        self.do("GET", "k")
        self.assertEqual(self.do("EXEC"), b"*1\r\n$1\r\nv\r\n")
        self.assertEqual(self.do("OBJECT", "IDLETIME", "k"), b":10\r\n")
        self.do("TOUCH", "k")
        self.assertEqual(self.do("OBJECT", "IDLETIME", "k"), b":0\r\n")
        self.server.clock.tenths += 100
        self.do("CLIENT", "NO-TOUCH", "OFF")
        self.do("GET", "k")
        self.assertEqual(self.do("OBJECT", "IDLETIME", "k"), b":0\r\n")

    def test_idle_times_are_recorded_on_demand(self) -> None:
        self.do("SET", "k", "v")
        self.assertEqual(self.do("OBJECT", "IDLETIME", "k"), b":0\r\n")
        self.server.clock.tenths += 100
        self.assertEqual(self.do("OBJECT", "IDLETIME", "k"), b":10\r\n")
        self.eviction._idle_wanted_until = 0.001
        self.eviction.tick()
        self.assertIs(type(self.server.databases[0]), Database)
