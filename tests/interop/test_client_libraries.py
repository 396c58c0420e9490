"""What everyday programs do through redis-py and txredisapi, against replicad."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator
from typing import Any

import redis
import txredisapi
from redis.exceptions import LockError, NoScriptError, ResponseError, WatchError
from twisted.internet.defer import Deferred, gatherResults, inlineCallbacks
from twisted.trial.unittest import SynchronousTestCase, TestCase

from tests.support.servers import Replicad, wait_until
from tests.support.twohead import shared


class RedisPy(SynchronousTestCase):
    """redis-py with RESP2; strings are decoded as most programs want it."""

    protocol = 2

    def setUp(self) -> None:
        self.port = shared(Replicad).port
        self.r = self.connect()
        self.r.flushall()

    def connect(self, **options: Any) -> redis.Redis:
        client = redis.Redis(port=self.port, decode_responses=True, protocol=self.protocol, socket_timeout=10, **options)
        self.addCleanup(client.close)
        return client

    def test_pipeline(self) -> None:
        """Many commands in one go, with and without a transaction; an error in the middle."""
        for transaction in (False, True):
            self.r.flushall()
            pipe = self.r.pipeline(transaction=transaction)
            pipe.set("a", 1).incr("a").rpush("l", "x", "y").lrange("l", 0, -1).hset("h", mapping={"f": "v"}).hgetall("h")
            self.assertEqual(pipe.execute(), [True, 2, 2, ["x", "y"], 1, {"f": "v"}])
            with self.assertRaisesRegex(ResponseError, "WRONGTYPE"):
                self.r.pipeline(transaction=transaction).incr("l").set("after", 1).execute()
            self.assertEqual(self.r.get("after"), "1")
            replies = self.r.pipeline(transaction=transaction).get("a").lpop("a").get("a").execute(raise_on_error=False)
            self.assertEqual((replies[0], type(replies[1]), replies[2]), ("2", ResponseError, "2"))
        with self.r.pipeline(transaction=False) as large:
            for i in range(5000):
                large.set(f"k{i}", i)
            self.assertEqual(large.execute(), [True] * 5000)

    def test_watch(self) -> None:
        """Optimistic locking: a change in between is noticed, and the usual loop gets its turn."""
        self.r.set("balance", 10)
        other = self.connect()
        with self.r.pipeline() as pipe:
            pipe.watch("balance")
            other.incr("balance")
            pipe.multi()
            pipe.set("balance", 0)
            self.assertRaises(WatchError, pipe.execute)
        attempts = []

        def transfer(pipe: Any) -> None:
            attempts.append(1)
            amount = int(pipe.get("balance"))
            if len(attempts) == 1:
                other.incrby("balance", 100)
            pipe.multi()
            pipe.set("balance", amount - 5)
            pipe.incrby("savings", 5)

        self.assertEqual(self.r.transaction(transfer, "balance"), [True, 5])
        self.assertEqual((len(attempts), self.r.mget("balance", "savings")), (2, ["106", "5"]))

    def test_publish_and_subscribe(self) -> None:
        """Channels, patterns, a thread with handlers, unsubscribing."""
        with self.r.pubsub() as listener:
            listener.subscribe("news")
            listener.psubscribe("log.*")
            confirmed = [listener.get_message(timeout=5) for _ in range(2)]
            self.assertEqual([message["type"] for message in confirmed if message], ["subscribe", "psubscribe"])
            self.assertEqual(self.r.publish("news", "hello"), 1)
            self.assertEqual(self.r.publish("log.web", "line"), 1)
            first, second = (listener.get_message(timeout=5) for _ in range(2))
            assert first and second
            self.assertEqual((first["channel"], first["data"]), ("news", "hello"))
            self.assertEqual((second["pattern"], second["channel"], second["data"]), ("log.*", "log.web", "line"))
            self.assertEqual(self.r.pubsub_numsub("news"), [("news", 1)])
            self.assertEqual(self.r.pubsub_channels("*"), ["news"])
            listener.unsubscribe("news")
            message = listener.get_message(timeout=5)
            assert message
            self.assertEqual((message["type"], message["data"]), ("unsubscribe", 1))
            if self.protocol == 2:  # with RESP3 the library does not understand the reply, a plain string
                listener.ping("still there")
                pong = listener.get_message(timeout=5)
                assert pong
                self.assertEqual((pong["type"], pong["data"]), ("pong", "still there"))
        heard: list[str] = []
        listener = self.r.pubsub(ignore_subscribe_messages=True)
        listener.subscribe(jobs=lambda message: heard.append(message["data"]))
        thread = listener.run_in_thread(sleep_time=0.01)
        try:
            wait_until(lambda: self.r.pubsub_numsub("jobs") == [("jobs", 1)])
            for n in range(3):
                self.r.publish("jobs", n)
            wait_until(lambda: heard == ["0", "1", "2"])
        finally:
            thread.stop()
            thread.join(5)

    def test_consumer_group(self) -> None:
        """Two workers share a stream; one dies, the other takes over; entries are acknowledged and trimmed."""
        r = self.r
        self.assertTrue(r.xgroup_create("tasks", "workers", id="0", mkstream=True))
        with self.assertRaisesRegex(ResponseError, "BUSYGROUP"):
            r.xgroup_create("tasks", "workers", id="0")
        ids = [r.xadd("tasks", {"n": n}, maxlen=1000, approximate=True) for n in range(6)]
        first = self.flat(r.xreadgroup("workers", "alice", {"tasks": ">"}, count=4))
        second = self.flat(r.xreadgroup("workers", "bob", {"tasks": ">"}, count=4))
        self.assertEqual(first + second, [(one, {"n": str(n)}) for n, one in enumerate(ids)])
        self.assertEqual(r.xack("tasks", "workers", ids[0], ids[1]), 2)
        pending = r.xpending("tasks", "workers")
        self.assertEqual((pending["pending"], pending["min"]), (4, ids[2]))
        self.assertEqual({one["name"]: one["pending"] for one in pending["consumers"]}, {"alice": 2, "bob": 2})
        rows = r.xpending_range("tasks", "workers", "-", "+", 10, consumername="alice")
        self.assertEqual([row["message_id"] for row in rows], ids[2:4])
        claimed = r.xautoclaim("tasks", "workers", "bob", 0, start_id="0-0", count=3)
        self.assertEqual([one for one, _ in claimed[1]], ids[2:5])
        self.assertEqual([one for one, _ in r.xclaim("tasks", "workers", "alice", 0, [ids[5]])], [ids[5]])
        self.assertEqual(r.xinfo_groups("tasks")[0]["consumers"], 2)
        self.assertEqual(r.xinfo_stream("tasks")["length"], 6)
        self.assertEqual(r.xreadgroup("workers", "alice", {"tasks": ">"}, block=20), {} if self.protocol == 3 else [])
        threading.Timer(0.1, r.xadd, ("tasks", {"n": 6})).start()
        self.assertEqual(len(self.flat(r.xreadgroup("workers", "alice", {"tasks": ">"}, block=5000))), 1)
        self.assertEqual(r.xtrim("tasks", maxlen=2, approximate=False), 5)
        self.assertEqual([fields["n"] for _, fields in r.xrange("tasks")], ["5", "6"])

    @staticmethod
    def flat(reply: Any) -> list[tuple[str, dict[str, str]]]:
        """The entries of one stream in a reply of XREADGROUP: RESP2 gives lists of pairs, RESP3 a map."""
        if isinstance(reply, dict):
            return [tuple(entry) for batch in reply["tasks"] for entry in batch]
        return list(reply[0][1])

    def test_scans(self) -> None:
        """Iterators over keys and collections see everything."""
        with self.r.pipeline(transaction=False) as pipe:
            for i in range(3000):
                pipe.set(f"user:{i}", i)
                pipe.hset("hash", f"f{i}", i)
                pipe.sadd("set", i)
                pipe.zadd("zset", {f"m{i}": i})
            pipe.execute()
        self.assertEqual(set(self.r.scan_iter("user:*", count=100)), {f"user:{i}" for i in range(3000)})
        self.assertEqual(dict(self.r.hscan_iter("hash", count=100)), {f"f{i}": str(i) for i in range(3000)})
        self.assertEqual(set(self.r.sscan_iter("set", match="1*")), {str(i) for i in range(3000) if str(i)[0] == "1"})
        self.assertEqual(dict(self.r.zscan_iter("zset")), {f"m{i}": float(i) for i in range(3000)})
        self.assertEqual(set(self.r.scan_iter(_type="zset")), {"zset"})

    def test_leaderboard(self) -> None:
        r = self.r
        self.assertEqual(r.zadd("scores", {"ann": 30, "bob": 20.5, "cid": 25}), 3)
        self.assertEqual(r.zincrby("scores", 10, "bob"), 30.5)
        self.assertEqual(r.zadd("scores", {"ann": 10}, gt=True), 0)
        self.assertEqual(r.zadd("scores", {"eve": 1}, nx=True, incr=True), 1.0)
        top = r.zrevrange("scores", 0, 1, withscores=True)
        self.assertEqual([tuple(row) for row in top], [("bob", 30.5), ("ann", 30.0)])
        self.assertEqual((r.zrevrank("scores", "cid"), r.zrank("scores", "nobody")), (2, None))
        self.assertEqual(r.zcount("scores", 20, "+inf"), 3)
        self.assertEqual(r.zrange("scores", 20, 30, byscore=True, offset=0, num=1), ["cid"])
        lowest = r.zpopmin("scores")
        self.assertEqual(tuple(lowest if self.protocol == 3 else lowest[0]), ("eve", 1.0))
        self.assertEqual(r.zmscore("scores", ["ann", "nobody"]), [30.0, None])
        r.zadd("old", {"ann": 1})
        self.assertEqual(r.zunionstore("all", {"scores": 1, "old": 10}, aggregate="MAX"), 3)
        self.assertEqual(r.zscore("all", "ann"), 30.0)

    def test_expiry(self) -> None:
        r = self.r
        self.assertTrue(r.set("session", "data", ex=100))
        self.assertTrue(98 <= r.ttl("session") <= 100)
        self.assertTrue(r.set("session", "more", keepttl=True))
        self.assertGreater(r.pttl("session"), 90_000)
        self.assertIsNone(r.set("session", "no", nx=True))
        self.assertEqual(r.set("session", "new", get=True), "more")
        self.assertEqual(r.ttl("session"), -1)
        self.assertTrue(r.expire("session", 50, nx=True))
        self.assertFalse(r.expire("session", 60, lt=True))
        self.assertTrue(r.expireat("session", int(time.time()) + 200))
        self.assertEqual(r.getex("session", persist=True), "new")
        self.assertTrue(r.psetex("brief", 30, "x"))
        wait_until(lambda: r.get("brief") is None)
        self.assertEqual(r.ttl("brief"), -2)

    def test_objects_in_hashes(self) -> None:
        """A record with fields, counters in it, some fields read."""
        r = self.r
        record = {"name": "Ann", "mail": "ann@example.com", "visits": 0, "note": "ä\r\n☃"}
        self.assertEqual(r.hset("user:1", mapping=record), 4)
        self.assertEqual(r.hincrby("user:1", "visits"), 1)
        self.assertEqual(r.hincrbyfloat("user:1", "balance", 0.1), 0.1)
        self.assertEqual(r.hmget("user:1", "name", "nothing", "visits"), ["Ann", None, "1"])
        self.assertEqual(r.hgetall("user:1")["note"], "ä\r\n☃")
        self.assertEqual((r.hexists("user:1", "mail"), r.hdel("user:1", "mail", "x"), r.hlen("user:1")), (True, 1, 4))
        self.assertTrue(r.hsetnx("user:1", "mail", "new"))
        self.assertEqual(sorted(r.hkeys("user:1")), ["balance", "mail", "name", "note", "visits"])

    def test_queue(self) -> None:
        """A producer and a consumer that waits, with a list of what is in work."""
        r = self.r
        threading.Timer(0.1, r.lpush, ("jobs", "a", "b")).start()
        self.assertEqual(r.blmove("jobs", "working", 5, "RIGHT", "LEFT"), "a")
        self.assertEqual(tuple(r.brpop("jobs", 5)), ("jobs", "b"))
        self.assertIsNone(r.blpop("jobs", 0.05))
        self.assertEqual(r.lrem("working", 1, "a"), 1)
        self.assertEqual(r.lpos("jobs", "x"), None)

    def test_scripts(self) -> None:
        """register_script sends the text once; after SCRIPT FLUSH it does so again by itself."""
        script = self.r.register_script("local n = redis.call('INCRBY', KEYS[1], ARGV[1]); return {n, 'ok', KEYS[1]}")
        self.assertEqual(script(keys=["counter"], args=[5]), [5, "ok", "counter"])
        self.r.script_flush()
        self.assertRaises(NoScriptError, self.r.evalsha, script.sha, 1, "counter", 1)
        self.assertEqual(script(keys=["counter"], args=[2])[0], 7)
        with self.r.pipeline() as pipe:
            script(keys=["counter"], args=[3], client=pipe)
            pipe.get("counter")
            self.assertEqual(pipe.execute(), [[10, "ok", "counter"], "10"])
        self.assertEqual(self.r.eval("return redis.call('MGET', unpack(KEYS))", 2, "counter", "nothing"), ["10", None])
        with self.assertRaisesRegex(ResponseError, "WRONGTYPE"):
            self.r.eval("return redis.call('LPUSH', KEYS[1], 1)", 1, "counter")
        self.assertEqual(self.r.script_exists(script.sha, "0" * 40), [True, False])

    def test_lock(self) -> None:
        """The lock of redis-py: one holder, extension, release by its owner only, expiry."""
        lock, other = self.r.lock("lock", timeout=10), self.connect().lock("lock", timeout=10, blocking=False)
        self.assertTrue(lock.acquire())
        self.assertFalse(other.acquire())
        self.assertTrue(lock.extend(20) and lock.reacquire() and lock.owned())
        self.assertRaises(LockError, other.release)
        lock.release()
        self.assertTrue(other.acquire())
        other.release()
        brief = self.r.lock("brief", timeout=0.05)
        self.assertTrue(brief.acquire())
        self.assertTrue(self.connect().lock("brief", timeout=5).acquire(blocking_timeout=5))
        self.assertRaises(LockError, brief.release)  # it ran out, and is another's now
        with self.r.lock("held", timeout=5):
            self.assertEqual(self.r.exists("held"), 1)
        self.assertEqual(self.r.exists("held"), 0)


class RedisPy3(RedisPy):
    """The same with RESP3."""

    protocol = 3


class Txredisapi(TestCase):
    """txredisapi, which speaks RESP2 on Twisted's reactor."""

    timeout = 20

    @inlineCallbacks
    def setUp(self) -> Generator[Any, Any, None]:
        self.port = shared(Replicad).port
        self.r = yield txredisapi.Connection("127.0.0.1", self.port, reconnect=False)
        self.addCleanup(self.r.disconnect)
        yield self.r.flushall()

    @inlineCallbacks
    def test_values(self) -> Generator[Any, Any, None]:
        """Strings, lists, hashes, sets, sorted sets, expiry."""
        r = self.r
        yield r.set("a", "text", expire=100)
        self.assertEqual((yield r.get("a")), "text")
        self.assertGreater((yield r.ttl("a")), 90)
        self.assertEqual((yield r.setnx("a", "x")), 0)
        self.assertEqual((yield r.incr("n", 5)), 5)
        yield r.mset({"x": 1, "y": 2})
        self.assertEqual((yield r.mget(["x", "y", "z"])), [1, 2, None])
        self.assertEqual((yield r.push("l", ["a", "b"], tail=True)), 2)
        self.assertEqual((yield r.lrange("l", 0, -1)), ["a", "b"])
        self.assertEqual((yield r.pop("l")), "a")
        yield r.hmset("h", {"f": "v", "n": 1})
        self.assertEqual((yield r.hgetall("h")), {"f": "v", "n": 1})
        self.assertEqual((yield r.hincrby("h", "n", 4)), 5)
        self.assertEqual((yield r.sadd("s", ["a", "b"])), 2)
        self.assertEqual((yield r.smembers("s")), {"a", "b"})
        yield r.zadd("z", 1.5, "m", 3, "n")
        self.assertEqual((yield r.zrange("z", 0, -1, True)), [("m", 1.5), ("n", 3)])
        self.assertEqual((yield r.zrank("z", "n")), 1)
        self.assertEqual(sorted((yield r.keys("[xy]"))), ["x", "y"])

    @inlineCallbacks
    def test_transaction(self) -> Generator[Any, Any, None]:
        """MULTI by the library's own object, and WATCH that breaks."""
        t = yield self.r.multi()
        yield t.set("a", 1)
        yield t.incr("a")
        self.assertEqual((yield t.commit()), ["OK", 2])
        t = yield self.r.multi("a")
        other = yield txredisapi.Connection("127.0.0.1", self.port, reconnect=False)
        self.addCleanup(other.disconnect)
        yield other.set("a", 7)
        yield t.set("a", 2)
        yield self.assertFailure(t.commit(), txredisapi.WatchError)
        self.assertEqual((yield self.r.get("a")), 7)
        t = yield self.r.multi()
        yield t.set("a", 3)
        yield t.discard()
        self.assertEqual((yield self.r.get("a")), 7)

    @inlineCallbacks
    def test_pipeline(self) -> Generator[Any, Any, None]:
        p = yield self.r.pipeline()
        for i in range(1000):
            p.set(f"k{i}", i)
        p.get("k999")
        replies = yield p.execute_pipeline()
        self.assertEqual((len(replies), replies[0], replies[-1]), (1001, "OK", 999))

    @inlineCallbacks
    def test_subscriber(self) -> Generator[Any, Any, None]:
        """A SubscriberProtocol with channels and patterns."""
        from twisted.internet import endpoints, protocol, reactor

        heard: Deferred[tuple[Any, ...]] = Deferred()
        ready: Deferred[None] = Deferred()

        class Subscriber(txredisapi.SubscriberProtocol):
            def connectionMade(self) -> None:
                self.subscribe(["news"])
                self.psubscribe(["log.*"])

            def messageReceived(self, pattern: Any, channel: Any, message: Any) -> None:
                if message == "probe":
                    if not ready.called:
                        ready.callback(None)
                else:
                    heard.callback((pattern, channel, message))

        class Subscribers(protocol.Factory):
            noisy = False
            continueTrying = maxRetries = 0

            def buildProtocol(self, addr: Any) -> Any:
                found = Subscriber()
                found.factory = self
                return found

        factory: Any = Subscribers()
        subscriber = yield endpoints.TCP4ClientEndpoint(reactor, "127.0.0.1", self.port).connect(factory)
        self.addCleanup(subscriber.transport.abortConnection)
        for _ in range(200):
            if (yield self.r.publish("log.x", "probe")):
                break
        yield ready
        self.assertEqual((yield self.r.publish("log.web", "line")), 1)
        self.assertEqual((yield heard), ("log.*", "log.web", "line"))

    @inlineCallbacks
    def test_blocking_pop(self) -> Generator[Any, Any, None]:
        """A consumer that waits on a connection of its own."""
        worker = yield txredisapi.Connection("127.0.0.1", self.port, reconnect=False)
        self.addCleanup(worker.disconnect)
        waiting = worker.brpop(["jobs"], 5)
        yield self.r.lpush("jobs", "a")
        self.assertEqual((yield waiting), ["jobs", "a"])
        self.assertIs((yield worker.brpop(["jobs"], 0.05)), None)

    @inlineCallbacks
    def test_script(self) -> Generator[Any, Any, None]:
        """eval goes by EVALSHA once the server knows the text."""
        for expected in (1, 2):
            self.assertEqual((yield self.r.eval("return redis.call('INCR', KEYS[1])", ["n"], [])), expected)
        yield self.r.script_flush()
        self.assertEqual((yield self.r.eval("return redis.call('INCR', KEYS[1])", ["n"], [])), 3)

    @inlineCallbacks
    def test_pool(self) -> Generator[Any, Any, None]:
        """Several connections side by side."""
        pool = yield txredisapi.ConnectionPool("127.0.0.1", self.port, poolsize=4, reconnect=False)
        self.addCleanup(pool.disconnect)
        yield gatherResults([pool.incr("n") for _ in range(100)])
        self.assertEqual((yield pool.get("n")), 100)
