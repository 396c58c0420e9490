"""Sorted-set commands that wait, beside a real server, and what replicas are told of all sorted-set commands."""

from __future__ import annotations

import time

from tests.support.servers import RealServer, Replicad
from tests.support.tap import Tap
from tests.support.twohead import Pair, TwoHeadedTestCase, shared


class BlockingPops(TwoHeadedTestCase):
    """BZPOPMIN, BZPOPMAX and BZMPOP that wait."""

    def blocked(self, *commands: str) -> list[Pair]:
        """A pair of connections for each command, blocked in this order on both servers."""
        pairs = []
        for number, line in enumerate(commands, 1):
            pair = self.open_pair()
            pair.send(*line.split())
            pairs.append(pair)
            self.wait_blocked(number)
        return pairs

    def test_served(self) -> None:
        """Each command, served by several ways to make a sorted set."""
        self.do_all("ZADD source 1 a 2.5 b 3 c", "SADD set x y")
        for line in ("BZPOPMIN k 0", "BZPOPMAX no k other 5", "BZMPOP 0 2 no k MIN COUNT 2", "BZMPOP 0 2 k k MAX"):
            for make in (
                "ZADD k 1 a 2 b 3 c",
                "ZINCRBY k 5 a",
                "ZUNIONSTORE k 2 source set",
                "ZRANGESTORE k source 1 -1",
                "COPY source k",
                "ZDIFFSTORE k 1 source",
            ):
                (pair,) = self.blocked(line)
                self.do(*make.split())
                pair.read(f"{line} {make}")
                self.do("ZRANGE", "k", 0, -1, "WITHSCORES")
                self.do("DEL", "k")
        self.same_digest()

    def test_turns(self) -> None:
        """Who waits longest is served first, as long as there are members; the others go on waiting."""
        pairs = self.blocked("BZPOPMIN k 0", "BZPOPMAX k 0", "BZMPOP 0 1 k MIN COUNT 2", "BZPOPMIN k 0", "BZPOPMIN k 0")
        self.do("ZADD", "k", 1, "a", 2, "b", 3, "c", 4, "d")
        for pair in pairs[:3]:
            pair.read()
        self.wait_blocked(2)
        self.do("EXISTS", "k")
        self.do("ZADD", "k", 5, "e")
        pairs[3].read()
        self.do("ZADD", "k", 6, "f", 7, "g")
        pairs[4].read()
        self.do("ZRANGE", "k", 0, -1)

    def test_other_type(self) -> None:
        """A key that appears with another type does not end the waiting."""
        for line in ("BZPOPMIN k 0", "BZPOPMAX k 0", "BZMPOP 0 1 k MIN"):
            (pair,) = self.blocked(line)
            self.do_all("SET k x", "DEL k", "LPUSH k 1", "DEL k", "SADD k a", "DEL k")
            self.wait_blocked(1)
            self.do("ZADD", "k", 1, "a")
            pair.read(line)

    def test_in_transaction(self) -> None:
        """Nothing waits in a transaction, and who waits is served after it."""
        (pair,) = self.blocked("BZPOPMAX k 0")
        self.do_all("MULTI", "ZADD k 1 a", "ZADD k 2 b", "ZPOPMAX k", "EXEC")
        pair.read()
        self.do_all("MULTI", "BZPOPMIN k 0", "BZPOPMAX k 0", "BZMPOP 0 1 k MIN", "BZPOPMIN k x", "EXEC")

    def test_timeouts(self) -> None:
        """The reply comes after the time, not before."""
        for line in ("BZPOPMIN x 0.05", "BZPOPMAX x 0.05", "BZMPOP 0.05 1 x MIN"):
            started = time.monotonic()
            self.do(*line.split())
            self.assertGreater(time.monotonic() - started, 0.045)


class BlockingPops3(BlockingPops):
    """RESP3: one kind of null, scores are doubles."""

    resp = 3


class SortedSetStream(TwoHeadedTestCase):
    """What replicas are told."""

    def test_stream(self) -> None:
        """The commands in the stream, and their order, are those of the real server."""
        taps = [Tap(self, shared(kind).port) for kind in (RealServer, Replicad)]

        def compare(what: str) -> None:
            real, ours = (tap.commands() for tap in taps)
            self.assertEqual(real, ours, what)

        compare("start")
        for line in (
            "zadd z 1 a 2 b 3 c 4 d 5 e 6 f 7 g 8 h 9 i 10 j 11 k|ZADD z 1 a|ZADD z CH 1 a 9 b|ZADD z NX 3 a|"
            "ZADD z INCR 1 a|ZADD z INCR 0 a|ZINCRBY z 0 a|ZINCRBY z 2 a|ZADD none XX 1 a|ZREM z none|ZREM z a none|"
            "ZPOPMIN z|ZPOPMAX z 2|"
            "ZPOPMIN z 0|ZPOPMIN none|zmpop 2 none z min count 2|ZMPOP 1 none MAX|bzpopmin z 0|BZPOPMAX none z 0|"
            "bzmpop 0 1 z max|BZPOPMIN none 0.001|ZREMRANGEBYRANK z 50 60|ZREMRANGEBYRANK z 0 0|ZUNIONSTORE t 1 none|"
            "ZUNIONSTORE t 1 z|zunionstore t 1 none|ZRANGESTORE t none 0 1|ZRANGESTORE t z 0 1|ZRANGESTORE t none 0 1|"
            "ZINCRBY z x a|ZADD z x a"
        ).split("|"):
            self.do(*line.split())
            compare(line)
        for line, pushes in (
            ("bzpopmin k 0", ["ZADD k 1 a 2 b"]),
            ("BZPOPMAX x k 0", ["ZADD k 1 a"]),
            ("BZMPOP 0 2 x k MAX COUNT 3", ["ZADD k 1 a 2 b"]),
            ("BZPOPMIN k 0", ["MULTI", "ZADD k 1 a", "ZADD k 2 b", "EXEC"]),
        ):
            self.do("DEL", "k")
            pair = self.open_pair()
            pair.send(*line.split())
            self.wait_blocked(1)
            self.do_all(*pushes)
            pair.read(line)
            compare(line)
