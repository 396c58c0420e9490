"""Blocking list commands beside a real server: at once, served later, in turn, timeouts, transactions, the stream."""

from __future__ import annotations

import time

from tests.support.servers import RealServer, Replicad
from tests.support.tap import Tap
from tests.support.twohead import Pair, TwoHeadedTestCase, shared

#: Everything here is answered at once.
TABLE = """
SET string value
BLPOP list 0
BRPOP list 1
BLPOP missing list 0
BLPOP list missing 0.001
BLPOP missing string 0
BLPOP string list 0
BLPOP list string 0
BLMOVE list moved LEFT RIGHT 0
BLMOVE list moved right left 0.5
BLMOVE list list LEFT RIGHT 0
BRPOPLPUSH list moved 0
BRPOPLPUSH list list 0
BLMPOP 0 1 list LEFT
BLMPOP 0 2 missing list RIGHT COUNT 2
BLMPOP 0 2 missing string RIGHT COUNT 2
LRANGE list 0 -1
LRANGE moved 0 -1
BLPOP missing -1
BLPOP missing -0.1
BLPOP missing x
BLPOP missing nan
BLPOP missing inf
BLPOP missing -inf
BLPOP missing 1e400
BLPOP missing 1e16
BLPOP missing 9223372036854775807
BLPOP missing 9223372036854775808
BLPOP string x
BLPOP missing
BLPOP
BRPOP missing x
BRPOP missing -1
BLMOVE missing string LEFT RIGHT x
BLMOVE missing string LEFT RIGHT -1
BLMOVE missing string UP RIGHT x
BLMOVE missing string LEFT UP x
BLMOVE string moved LEFT RIGHT 0
BLMOVE moved string LEFT RIGHT 0
BLMOVE missing string LEFT RIGHT
BRPOPLPUSH missing string x
BRPOPLPUSH missing string -1
BRPOPLPUSH string moved 0
BRPOPLPUSH moved string 0
BRPOPLPUSH missing string
BLMPOP x 1 missing LEFT
BLMPOP -1 1 missing LEFT
BLMPOP x 0 missing LEFT
BLMPOP x 1 missing UP
BLMPOP x 2 missing LEFT
BLMPOP 0 0 missing LEFT
BLMPOP 0 -1 missing LEFT
BLMPOP 0 x missing LEFT
BLMPOP 0 1 list LEFT COUNT 0
BLMPOP 0 1 list LEFT COUNT -1
BLMPOP 0 1 list LEFT COUNT x
BLMPOP 0 1 list LEFT COUNT
BLMPOP 0 1 list LEFT COUNT 1 COUNT 1
BLMPOP 0 1 list
BLMPOP 0.01 1 missing LEFT
BLPOP missing 0.01
BRPOP missing other 0.01
BLPOP missing 0.00001
BLMOVE missing other LEFT RIGHT 0.01
BLMOVE missing string LEFT RIGHT 0.01
BRPOPLPUSH missing other 0.01
LRANGE list 0 -1
LRANGE moved 0 -1
"""


class BlockingLists(TwoHeadedTestCase):
    """RESP2."""

    def blocked(self, *commands: str) -> list[Pair]:
        """A pair of connections for each command, blocked in this order on both servers."""
        pairs = []
        for number, line in enumerate(commands, 1):
            pair = self.open_pair()
            pair.send(*line.split())
            pairs.append(pair)
            self.wait_blocked(number)
        return pairs

    def test_at_once(self) -> None:
        """With elements there, with bad arguments, and with short timeouts."""
        self.do("RPUSH", "list", *"abcdefghijklmno")
        self.do_all(*TABLE.strip().splitlines())
        self.same_digest()

    def test_served(self) -> None:
        """Each command, served by a push."""
        for line, push in (
            ("BLPOP k 0", "RPUSH k a b c"),
            ("BRPOP k 0", "RPUSH k a b c"),
            ("BLPOP no k other 5", "LPUSH k a b c"),
            ("BLMOVE k to LEFT RIGHT 0", "RPUSH k a b c"),
            ("BLMOVE k to RIGHT LEFT 0", "RPUSH k a b c"),
            ("BLMOVE k k RIGHT LEFT 0", "RPUSH k a b c"),
            ("BRPOPLPUSH k to 0", "RPUSH k a b c"),
            ("BRPOPLPUSH k k 0", "RPUSH k a b c"),
            ("BLMPOP 0 2 no k LEFT COUNT 2", "RPUSH k a b c"),
            ("BLMPOP 0 2 k k RIGHT COUNT 9", "RPUSH k a b c"),
            ("BLMPOP 0 1 k RIGHT", "RPUSH k a"),
        ):
            self.do("DEL", "k")
            (pair,) = self.blocked(line)
            self.do(*push.split())
            pair.read(line)
            self.do("LRANGE", "k", 0, -1)
            self.do("LRANGE", "to", 0, -1)
        self.same_digest()

    def test_other_ways_to_make_a_list(self) -> None:
        """LINSERT needs a list, but RENAME, LMOVE, COPY, RESTORE and SORT STORE may bring one."""
        self.do_all("RPUSH source 3 1 2", "RPUSH spare z")
        for command in ("LMOVE spare k LEFT LEFT", "COPY source k", "SORT source STORE k", "RENAME source k"):
            (pair,) = self.blocked("BLPOP k 5")
            self.do(*command.split())
            pair.read(command)
            self.do("DEL", "k")

    def test_turns(self) -> None:
        """Who waits longest is served first, as long as there are elements; the others go on waiting."""
        pairs = self.blocked("BLPOP k 0", "BRPOP k 0", "BLMPOP 0 1 k LEFT COUNT 2", "BLPOP k 0", "BLPOP k 0")
        self.do("RPUSH", "k", "a", "b", "c", "d")
        for pair in pairs[:3]:
            pair.read()
        self.wait_blocked(2)
        self.do("EXISTS", "k")
        self.do("RPUSH", "k", "e")
        pairs[3].read()
        self.do("LPUSH", "k", "f", "g")
        pairs[4].read()
        self.do("LRANGE", "k", 0, -1)
        self.same_digest()

    def test_order_of_keys(self) -> None:
        """Of several keys that came in one transaction the one that was made first counts."""
        (first, second) = self.blocked("BLPOP a b 0", "BLPOP b a 0")
        self.do_all("MULTI", "RPUSH b 1", "RPUSH a 2", "EXEC")
        first.read()
        second.read()
        self.do_all("EXISTS a b")

    def test_after_the_transaction(self) -> None:
        """A client is served after the whole transaction, with what is left then."""
        (pair,) = self.blocked("BLPOP k 0")
        self.do_all("MULTI", "RPUSH k a", "RPUSH k b", "LPOP k", "EXEC")
        pair.read()
        (pair,) = self.blocked("BLPOP k 0")
        self.do_all("MULTI", "RPUSH k a", "DEL k", "EXEC")
        self.do_all("MULTI", "RPUSH k a", "DEL k", "SET k x", "EXEC")
        self.wait_blocked(1)
        self.do_all("DEL k", "RPUSH k at-last")
        pair.read()

    def test_other_type(self) -> None:
        """A key that appears with another type does not end the waiting."""
        for line in ("BLPOP k 0", "BLMOVE k to LEFT RIGHT 0", "BRPOPLPUSH k to 0", "BLMPOP 0 1 k LEFT"):
            (pair,) = self.blocked(line)
            for make in ("SET k x", "DEL k", "HSET k a 1", "DEL k", "SADD k a", "DEL k", "ZADD k 1 a", "DEL k"):
                self.do(*make.split())
            self.wait_blocked(1)
            self.do("RPUSH", "k", "a")
            pair.read(line)

    def test_target_of_other_type(self) -> None:
        """A target of another type is found out when the source appears; the element stays."""
        self.do("SET", "to", "x")
        for line in ("BLMOVE k to LEFT RIGHT 0", "BRPOPLPUSH k to 0"):
            (pair,) = self.blocked(line)
            self.do("RPUSH", "k", "a", "b")
            pair.read(line)
            self.do("LRANGE", "k", 0, -1)
            self.do("DEL", "k")

    def test_chain(self) -> None:
        """What a served client moves can serve the next one."""
        pairs = self.blocked("BLPOP c 0", "BLMOVE b c LEFT RIGHT 0", "BRPOPLPUSH a b 0")
        self.do("RPUSH", "a", "x")
        for pair in pairs:
            pair.read()
        self.do("EXISTS", "a", "b", "c")

    def test_circle(self) -> None:
        """Two clients that move elements to each other's list end."""
        pairs = self.blocked("BRPOPLPUSH a b 0", "BRPOPLPUSH b a 0")
        self.do("RPUSH", "a", "x")
        for pair in pairs:
            pair.read()
        self.do("LRANGE", "a", 0, -1)
        self.do("EXISTS", "b")

    def test_in_transaction(self) -> None:
        """Nothing waits in a transaction."""
        self.do("RPUSH", "l", "a", "b")
        lines = ("BLPOP k 0", "BRPOP k 0", "BLMOVE k to LEFT RIGHT 0", "BRPOPLPUSH k to 0", "BLMPOP 0 1 k LEFT", "BLPOP l 0")
        self.do_all("MULTI", *lines, "BLPOP k x", "EXEC")

    def test_timeouts(self) -> None:
        """The reply comes after the time, not before; 0 does not end, nor what is rounded up to 0."""
        endless = self.blocked("BLPOP k 0", "BLPOP k -0.0004", "BLPOP k 9223372036854775")
        for line in ("BLPOP x 0.1", "BRPOPLPUSH x y 0.1", "BLMOVE x y LEFT LEFT 0.1", "BLMPOP 0.1 1 x LEFT"):
            started = time.monotonic()
            self.do(*line.split())
            self.assertGreater(time.monotonic() - started, 0.095)
        self.wait_blocked(3)
        self.do("RPUSH", "x", "late")
        self.do("LRANGE", "x", 0, -1)
        self.do("RPUSH", "k", "a", "b", "c")
        for pair in endless:
            pair.read()

    def test_gone(self) -> None:
        """A client that went away takes no element with it."""
        first, second = self.blocked("BLPOP k 0", "BLPOP k 0")
        first.close()
        self.wait_blocked(1)
        self.do("RPUSH", "k", "a")
        second.read()

    def test_pipeline(self) -> None:
        """Commands behind a blocking one wait for it, on the same connection."""
        pair = self.open_pair()
        pair.send("BLPOP", "k", 0)
        pair.send("RPUSH", "k", "mine")
        pair.send("BLPOP", "k", "other", 0)
        pair.send("BLPOP", "k", 0.01)
        self.wait_blocked(1)
        self.do("RPUSH", "k", "a")
        for _ in range(4):
            pair.read()

    def test_other_database(self) -> None:
        """A key of another database serves nobody, until SWAPDB brings it."""
        (pair,) = self.blocked("BLPOP k 0")
        self.do_all("SELECT 1", "RPUSH k a", "SELECT 0")
        self.wait_blocked(1)
        self.do("SWAPDB", 0, 1)
        pair.read()
        self.do_all("EXISTS k", "SELECT 1", "EXISTS k", "SELECT 0")

    def test_expired(self) -> None:
        """A list that has expired is not there."""
        self.do_all("RPUSH k a", "PEXPIRE k 1")
        time.sleep(0.01)
        (pair,) = self.blocked("BLPOP k 0")
        self.do("RPUSH", "k", "b")
        pair.read()


class BlockingLists3(BlockingLists):
    """RESP3: one kind of null."""

    resp = 3


class ListStream(TwoHeadedTestCase):
    """What replicas are told."""

    def test_stream(self) -> None:
        """The commands in the stream, and their order, are those of the real server."""
        taps = [Tap(self, shared(kind).port) for kind in (RealServer, Replicad)]

        def compare(what: str) -> list[str]:
            real, ours = (tap.commands() for tap in taps)
            self.assertEqual(real, ours, what)
            return real

        compare("start")
        for line in (
            "RPUSH l a b c d e f g h i j k l m n o p",
            "BLPOP l 0",
            "brpop x l 0",
            "BLMOVE l m Left right 0",
            "brpoplpush l m 0",
            "BLMPOP 0 2 x l LEFT COUNT 3",
            "lmpop 1 l right",
            "LPOP l 2",
            "LTRIM l 0 -1",
            "LREM l 0 zz",
            "LINSERT l BEFORE zz x",
            "LPUSHX x a",
            "LMOVE x l LEFT LEFT",
            "LPOP x",
            "LPOP l 0",
            "BLPOP x 0.001",
            "SADD s a b c",
            "SADD s a",
            "SREM s x",
            "SMOVE s s a",
            "SMOVE s t x",
            "SPOP s 0",
            "SPOP s 3",
            "SADD s a",
            "SPOP s",
            "SADD s a",
            "spop s 1",
            "SADD s a b",
            "sunionstore u s",
            "SINTERSTORE u x",
            "SINTERSTORE u x",
            "HSET h a 1 b 2",
            "HSETNX h a 1",
            "HINCRBYFLOAT h a 0.5",
            "HINCRBY h a 1",
            "HDEL h x",
        ):
            self.do_sorted(*line.split())
            compare(line)
        for line, pushes in (
            ("BLPOP k 0", ["RPUSH k a b"]),
            ("BRPOP x k 0", ["RPUSH k a"]),
            ("BLMOVE k to LEFT Right 0", ["RPUSH k a b"]),
            ("BRPOPLPUSH k to 0", ["RPUSH k a b"]),
            ("BLMPOP 0 2 x k LEFT COUNT 3", ["RPUSH k a b"]),
            ("BLPOP k 0", ["MULTI", "RPUSH k a", "RPUSH k b", "EXEC"]),
            ("BRPOPLPUSH k string 0", ["SET string x", "RPUSH k a b"]),
        ):
            self.do("DEL", "k")
            pair = self.open_pair()
            pair.send(*line.split())
            self.wait_blocked(1)
            self.do_all(*pushes)
            pair.read(line)
            compare(line)

    def test_random_choice(self) -> None:
        """SPOP is told as the removal of what it chose, one SREM for each member."""
        tap = Tap(self, shared(Replicad).port)
        ours = self.pair.ours
        for size in (20, 2000):
            ours.must("SADD", "s", *range(size))
            tap.commands()
            member = ours.must("SPOP", "s")
            self.assertEqual(tap.commands(), [f"SREM s {member.decode()}"])
            members = sorted(member.decode() for member in ours.must("SPOP", "s", 5))
            stream = tap.commands()
            self.assertEqual((stream[0], stream[-1]), ("MULTI", "EXEC"))
            self.assertEqual(sorted(stream[1:-1]), [f"SREM s {member}" for member in members])
            ours.must("DEL", "s")
