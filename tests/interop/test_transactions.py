"""MULTI, EXEC, DISCARD, WATCH beside a real server: replies, errors, what breaks a watch, the gates, the stream."""

from __future__ import annotations

import time

from tests.support.servers import RealServer, Replicad, free_port
from tests.support.tap import Tap
from tests.support.twohead import TwoHeadedTestCase, shared

#: Each line is a conversation of its own, on one connection.
CONVERSATIONS = """
EXEC|DISCARD|UNWATCH|WATCH|MULTI x|EXEC|DISCARD x|UNWATCH x
MULTI|EXEC|EXEC
MULTI|SET a 1|GET a|DISCARD|EXEC|GET a
MULTI|SET a 1|GET a|INCR a|LRANGE none 0 -1|EXEC|GET a
MULTI|MULTI|SET a 1|EXEC|GET a
MULTI|WATCH a|SET a 1|EXEC|GET a
MULTI|UNWATCH|SET a 1|EXEC
MULTI|DISCARD x|SET a 1|EXEC
MULTI|nosuch|SET a 1|EXEC|GET a|EXEC
MULTI|GET|SET a 1|EXEC|GET a
MULTI|GET|DISCARD|MULTI|SET a 2|EXEC
MULTI|EXEC x|EXEC
EXEC x|EXEC
MULTI|SET a x|INCR a|LPUSH a 1|GET a|SELECT 99|SELECT 1|GET a|SET a 1|SELECT 0|GET a|EXEC
MULTI|SELECT 3|EXEC|SET other 1|SELECT 0|EXISTS other|SELECT 3|EXISTS other|SELECT 0
MULTI|CONFIG GET maxmemory-policy|CLIENT GETNAME|PING|PING hello|ECHO x|TIME x|COMMAND COUNT x|EXEC
MULTI|RPUSH l a b c|BLPOP l 0|BLPOP none 0|LPOP l|LPOP l|BLMOVE l l LEFT RIGHT 0|EXEC
MULTI|EXPIRE none 10|SET k v PX 100000|PERSIST k|TTL k|EXEC
MULTI|SUBSCRIBE a|PSUBSCRIBE c|GET a|EXEC|UNSUBSCRIBE a|PUNSUBSCRIBE|GET a
MULTI|SSUBSCRIBE a|SUNSUBSCRIBE|PUBLISH a b|EXEC
MULTI|SAVE|EXEC
MULTI|SYNC|EXEC
MULTI|DEBUG SLEEP 0|CONFIG|CONFIG nosuch|EXEC
MULTI|REPLCONF ACK|PSYNC|EXEC
MULTI|FLUSHALL|DBSIZE|EXEC
MULTI|HSET h a 1|HGETALL h|HSET h b 2|HGETALL h|SADD s 1|SMEMBERS s|SADD s 2|EXEC
WATCH a|MULTI|SET a 1|EXEC|GET a
WATCH a|SET a 1|MULTI|SET a 2|EXEC|GET a|MULTI|SET a 3|EXEC
WATCH a|SET a 1|UNWATCH|MULTI|SET a 2|EXEC|GET a
WATCH a|SET a 1|MULTI|DISCARD|MULTI|SET a 2|EXEC|GET a
WATCH a|SET a 1|MULTI|nosuch|EXEC|MULTI|SET a 2|EXEC
WATCH a|SET a 1|MULTI|EXEC
WATCH a b c|SET d 1|MULTI|SET a 2|EXEC
WATCH a b c|SET c 1|MULTI|SET a 2|EXEC
WATCH a|WATCH b|SET a 1|MULTI|SET a 2|EXEC
WATCH a|SELECT 2|SET a 1|MULTI|SET a 2|EXEC|SELECT 0
WATCH a|SELECT 2|WATCH a|SET a 1|SELECT 0|MULTI|SET a 2|EXEC
SET a 1|WATCH a|SET a 1|MULTI|GET a|EXEC
SET a 1|WATCH a|GET a|STRLEN a|MULTI|GET a|EXEC
SET a 1|WATCH a|DEL a|MULTI|GET a|EXEC
WATCH a|DEL a|MULTI|GET a|EXEC
SET a 1|WATCH a|EXPIRE a 100|MULTI|GET a|EXEC
SET a 1 EX 100|WATCH a|PERSIST a|MULTI|GET a|EXEC
SET a 1|WATCH a|PERSIST a|MULTI|GET a|EXEC
SET a 1|WATCH a|RENAME a b|MULTI|GET a|EXEC
SET a 1|WATCH b|RENAME a b|MULTI|GET a|EXEC
SET a 1|WATCH a|TOUCH a|MULTI|GET a|EXEC
SET a 1|WATCH a|APPEND a 1|MULTI|GET a|EXEC
SET a 1|WATCH a|SETRANGE a 0 1|MULTI|GET a|EXEC
SADD a 1|WATCH a|SADD a 1|MULTI|TYPE a|EXEC
SADD a 1|WATCH a|SREM a 2|MULTI|TYPE a|EXEC
SADD a 1|WATCH a|SREM a 1|MULTI|TYPE a|EXEC
HSET a f 1|WATCH a|HSET a f 1|MULTI|TYPE a|EXEC
HSET a f 1|WATCH a|HDEL a g|MULTI|TYPE a|EXEC
ZADD a 1 m|WATCH a|ZADD a 1 m|MULTI|TYPE a|EXEC
ZADD a 1 m|WATCH a|ZADD a 2 m|MULTI|TYPE a|EXEC
ZADD a 1 m|WATCH a|ZINCRBY a 0 m|MULTI|TYPE a|EXEC
ZADD a 1 m|WATCH a|ZPOPMIN a|MULTI|TYPE a|EXEC
ZADD a 1 m|WATCH a|ZREMRANGEBYSCORE a 2 3|MULTI|TYPE a|EXEC
ZADD a 1 m|WATCH b|ZUNIONSTORE b 1 a|MULTI|TYPE a|EXEC
ZADD a 1 m|WATCH b|ZUNIONSTORE b 1 none|MULTI|TYPE a|EXEC
RPUSH a 1|WATCH a|LTRIM a 0 -1|MULTI|TYPE a|EXEC
RPUSH a 1|WATCH a|LREM a 0 x|MULTI|TYPE a|EXEC
RPUSH a 1|WATCH a|LSET a 0 1|MULTI|TYPE a|EXEC
SET a 1|WATCH a|FLUSHDB|MULTI|PING|EXEC
WATCH a|FLUSHDB|MULTI|PING|EXEC
SET a 1|WATCH a|FLUSHALL|MULTI|PING|EXEC
WATCH a|FLUSHALL|MULTI|PING|EXEC
SET a 1|WATCH a|SWAPDB 0 1|MULTI|PING|EXEC|SWAPDB 0 1
WATCH a|SWAPDB 0 1|MULTI|PING|EXEC|SWAPDB 0 1
SET a 1|WATCH a|MOVE a 1|MULTI|PING|EXEC
SET a 1|WATCH a|COPY a b|MULTI|PING|EXEC
SET a 1|WATCH b|COPY a b|MULTI|PING|EXEC
SET a 1|WATCH a|MULTI|SET a 2|EXEC|MULTI|GET a|EXEC
WATCH a|RESET|SET a 1|MULTI|PING|EXEC
"""


class Transactions(TwoHeadedTestCase):
    """RESP2."""

    def test_conversations(self) -> None:
        """Every step of every conversation answers alike."""
        for line in CONVERSATIONS.strip().splitlines():
            for step in line.split("|"):
                self.do(*step.split())
            self.same_digest()
            self.do("RESET")
            if self.resp == 3:
                self.both("HELLO", 3)
            self.do("FLUSHALL")

    def test_change_of_protocol(self) -> None:
        """Each reply is in the protocol version of its moment."""
        self.do("HSET", "h", "a", "1")
        self.do_all("MULTI", "HGETALL h", "GET none", "RESET", "HGETALL h")
        pair = self.open_pair()
        pair.do("MULTI")
        for step in ("HGETALL h", "HELLO 3", "HGETALL h", "GET none", "HELLO 2", "HGETALL h"):
            pair.do(*step.split())
        real, ours = pair.both("EXEC")
        self.assertEqual(len(real), len(ours))
        for number in (0, 2, 3, 5):
            self.assertEqual(real[number], ours[number])
            self.assertIs(type(real[number]), type(ours[number]))

    def test_pipeline(self) -> None:
        """A whole transaction in one packet, with inline commands and other letters."""
        self.raw(b"multi\r\nset a 1\r\nIncr a\r\nExec\r\nGET a\r\n", 5)
        self.raw(b"*1\r\n$5\r\nMULTI\r\n*2\r\n$3\r\nGET\r\n$1\r\na\r\nPING\r\n*1\r\n$4\r\nEXEC\r\n", 4)
        self.raw(b"MULTI\r\nDISCARD\r\nEXEC\r\n", 3)
        self.raw(b"MULTI\r\nSET a 5\r\nQUIT\r\nEXEC\r\n")
        self.do("GET", "a")

    def test_watch_by_another(self) -> None:
        """Another client's change breaks it, one within a transaction too; a change undone also counts."""
        other = self.open_pair()
        for change in ("SET a 2", "MULTI|INCR b|SET a 3|EXEC", "SET a x|DEL a", "SELECT 1|SET a 2|SELECT 0", "GET a"):
            self.do_all("SET a 1", "WATCH a b", "MULTI", "GET a")
            for step in change.split("|"):
                other.do(*step.split())
            self.do("EXEC")
        self.do_all("WATCH a", "MULTI", "SET a mine", "EXEC", "GET a")

    def test_two_watch(self) -> None:
        """Of two clients with the same watch the first wins."""
        other = self.open_pair()
        for pair in (self.pair, other):
            pair.do("WATCH", "a")
        for pair in (self.pair, other):
            pair.do("MULTI")
            pair.do("INCR", "a")
        for pair in (self.pair, other):
            pair.do("EXEC")
        self.do("GET", "a")

    def test_watch_and_expiry(self) -> None:
        """A key that expires breaks a watch; one that had expired before, or comes and goes unseen, does not."""
        self.do_all("SET a 1 PX 150", "WATCH a")
        time.sleep(0.17)
        self.do_all("MULTI", "SET b 1", "EXEC", "SET a 1 PX 5")
        time.sleep(0.02)
        self.do_all("WATCH a", "MULTI", "SET b 1", "EXEC")
        self.do_all("SET a 1 PX 5")
        time.sleep(0.02)
        self.do_all("WATCH a", "SET a 2", "MULTI", "SET b 1", "EXEC")
        self.do_all("SET a 1 PX 5")
        time.sleep(0.02)
        self.do_all("WATCH a", "DEL a", "MULTI", "SET b 1", "EXEC")
        self.do_all("DEBUG SET-ACTIVE-EXPIRE 0", "SET a 1 PX 150", "WATCH a")
        time.sleep(0.17)
        self.do_all("MULTI", "SET b 1", "EXEC", "DEBUG SET-ACTIVE-EXPIRE 1")

    def test_role_change(self) -> None:
        """What was queued is judged again by EXEC: a server that became a replica refuses writes, not reads."""
        other = self.open_pair()
        self.do_all("SET a 1", "MULTI", "SET a 2", "GET a")
        other.do("REPLICAOF", "127.0.0.1", free_port())
        try:
            self.do_all("EXEC", "EXEC", "MULTI", "GET a", "EXEC", "MULTI", "SET a 1", "EXEC")
            self.do_all("MULTI", "PUBLISH a b", "EXEC", "WATCH a", "MULTI", "EXEC")
        finally:
            other.do("REPLICAOF", "NO", "ONE")
        self.do_all("MULTI", "SET a 2", "EXEC", "GET a")

    def test_stale_replica(self) -> None:
        """With replica-serve-stale-data no even reads are refused, by EXEC as well."""
        other = self.open_pair()
        self.do_all("SET a 1", "MULTI", "GET a")
        other.do("CONFIG", "SET", "replica-serve-stale-data", "no")
        other.do("REPLICAOF", "127.0.0.1", free_port())
        try:
            self.do_all("EXEC", "MULTI", "GET a", "EXEC", "MULTI", "PUBLISH a b", "EXEC")
            self.do_all("MULTI", "EXEC", "WATCH a", "UNWATCH")
        finally:
            other.do("REPLICAOF", "NO", "ONE")
            other.do("CONFIG", "SET", "replica-serve-stale-data", "yes")

    def test_too_few_replicas(self) -> None:
        """min-replicas-to-write stops a transaction that was queued before."""
        other = self.open_pair()
        self.do_all("MULTI", "SET a 2")
        other.do("CONFIG", "SET", "min-replicas-to-write", 9)
        try:
            self.do_all("EXEC", "MULTI", "SET a 1", "GET a", "EXEC", "MULTI", "GET a", "EXEC")
        finally:
            other.do("CONFIG", "SET", "min-replicas-to-write", 0)

    def test_pause(self) -> None:
        """CLIENT PAUSE WRITE holds EXEC back when something queued may write, and only then."""
        other = self.open_pair()
        reads, publishes = self.open_pair(), self.open_pair()
        for pair, step in ((self.pair, "SET a 1"), (reads, "GET a"), (publishes, "PUBLISH a b")):
            pair.do("MULTI")
            pair.do(*step.split())
        other.do("CLIENT", "PAUSE", 300, "WRITE")
        started = time.monotonic()
        reads.do("EXEC")
        self.assertLess(time.monotonic() - started, 0.25)
        self.pair.send("EXEC")
        publishes.do("EXEC")
        self.pair.read()
        self.assertGreater(time.monotonic() - started, 0.25)

    def test_gone(self) -> None:
        """What a client had queued goes with it; what it watched is forgotten."""
        other = self.open_pair()
        other.do("WATCH", "a")
        other.do("MULTI")
        other.do("SET", "a", "never")
        other.close()
        self.do_all("SET b 1", "GET a", "SET a 1")

    def test_long(self) -> None:
        """A thousand commands."""
        self.do("MULTI")
        for number in range(1000):
            self.pair.send("RPUSH", "l", number)
        for _ in range(1000):
            self.pair.read()
        self.do("EXEC")
        self.same_digest()


class Transactions3(Transactions):
    """RESP3: one kind of null."""

    resp = 3


class TransactionStream(TwoHeadedTestCase):
    """What replicas are told."""

    def test_stream(self) -> None:
        """One group for each transaction, bare when it is one command, nothing when there was no change."""
        taps = [Tap(self, shared(kind).port) for kind in (RealServer, Replicad)]
        for tap in taps:
            tap.client.must("SELECT", 0)
        for line in (
            "MULTI|SET a 1|EXEC",
            "MULTI|SET a 1|INCR a|GET a|EXEC",
            "MULTI|GET a|EXEC",
            "MULTI|EXEC",
            "MULTI|SET a 1|nosuch|EXEC",
            "MULTI|SET a 1|DISCARD",
            "MULTI|SET a x|INCR a|EXEC",
            "multi|set a 1|lpush a 1|exec",
            "MULTI|SELECT 3|SET a 1|SELECT 0|SET a 2|SELECT 5|EXEC|SET a 3|SELECT 0",
            "SELECT 4|MULTI|SET a 1|SET b 1|EXEC|SELECT 0|SET a 1",
            "MULTI|SET a 1 EX 4000000|SPOP none|DEL none|PEXPIREAT a 4000000000000|EXEC",
            "MULTI|SADD s a|SPOP s|EXEC",
            "MULTI|PUBLISH a b|EXEC",
            "MULTI|PUBLISH a b|SET a 1|SPUBLISH x y|EXEC",
            "MULTI|ZADD z 1 a 2 b|BZPOPMIN z 0|ZMPOP 1 z MAX|EXEC",
            "WATCH a|SET a 5|MULTI|SET a 6|EXEC",
            "MULTI|FLUSHALL|EXEC",
            "MULTI|MULTI|SET a 1|WATCH a|EXEC",
            "DEBUG SET-ACTIVE-EXPIRE 0|SET x 1 PXAT 4000000000000|PEXPIREAT x 1",
        ):
            for step in line.split("|"):
                self.pair.both(*step.split())
            real, ours = (_with_databases(tap) for tap in taps)
            for words in (real, ours):
                words[:] = [w.rpartition(" PXAT ")[0] or w for w in words]
            self.assertEqual(real, ours, line)
        self.do("DEBUG", "SET-ACTIVE-EXPIRE", 1)

    def test_expired_inside(self) -> None:
        """Keys that are found expired in a transaction are deleted within its group."""
        taps = [Tap(self, shared(kind).port) for kind in (RealServer, Replicad)]
        self.do("DEBUG", "SET-ACTIVE-EXPIRE", 0)
        for line in ("GET a|GET b", "APPEND a 1|GET b", "GET none|GET a", "WATCH a|GETDEL b", "DEL a b", "INCR a"):
            # a real server that is held up for so long inside of PEXPIRE would delete the key there and then
            self.do_all("SET a 1 PXAT 4000000000000", "SET b 1 PXAT 4000000000000", "PEXPIRE a 30", "PEXPIRE b 30")
            time.sleep(0.04)
            for tap in taps:
                tap.commands()
            self.do("MULTI")
            for step in line.split("|"):
                self.do(*step.split())
            self.do("EXEC")
            real, ours = (tap.commands() for tap in taps)
            self.assertEqual(real, ours, line)
            self.do("FLUSHALL")
        self.do("DEBUG", "SET-ACTIVE-EXPIRE", 1)


def _with_databases(tap: Tap) -> list[str]:
    """The commands since the last call, SELECT included, up to a mark that is published in database 15."""
    tap.client.must("SELECT", 15)
    tap.client.must("PUBLISH", "mark", "")
    found = []
    while True:
        argv = tap.stream.read_reply()
        if not isinstance(argv, list) or argv[0].upper() in (b"PING", b"REPLCONF"):
            continue
        if argv[0].upper() == b"PUBLISH" and argv[1] == b"mark":
            return found
        found.append(b" ".join(argv).decode("utf-8", "backslashreplace"))
