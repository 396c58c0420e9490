"""Sorted-set commands beside a real server: every command, option and error; scores; RESP3; the stream; random sequences."""

from __future__ import annotations

import math
import random
import struct
import time

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.servers import RealServer, Replicad
from tests.support.tap import Tap
from tests.support.twohead import Pair, TwoHeadedTestCase, shared
from tests.unit.law_samples import words

BINARY = b"\x00\r\n\xff key"

#: Compared to the byte; ``''`` is an empty argument.
TABLE = """
SET string value
ZADD z 1 a
ZADD z 1 a
ZADD z 2 a
ZADD z 1 a 2 b 3 c 2 b
ZADD z 1 d 2 d 3 d
ZADD new 1 d 2 d 3 d 1 e
ZADD new2 CH 1 d 2 d 3 d 1 e
ZADD new3 CH NX 1 d 2 d 3 d 1 e
ZADD new4 CH GT 5 d 2 d 9 d 1 e
ZADD new5 LT 5 d 2 d 9 d 1 e
ZADD new6 LT CH 5 d 2 d 9 d 1 e
ZRANGE new 0 -1 WITHSCORES
ZRANGE new2 0 -1 WITHSCORES
ZRANGE new3 0 -1 WITHSCORES
ZRANGE new4 0 -1 WITHSCORES
ZRANGE new5 0 -1 WITHSCORES
ZRANGE new6 0 -1 WITHSCORES
ZADD string 1 a
ZADD string NX 1 a
ZADD string x a
ZADD string NX x a
ZADD
ZADD z
ZADD z 1
ZADD z NX 1
ZADD z NX a
ZADD z INCR a
ZADD z NX XX
ZADD z nx
ZADD z NX XX 1 a
ZADD z GT LT 1 a
ZADD z GT NX 1 a
ZADD z LT NX 1 a
ZADD z LT GT NX XX 1 a
ZADD z INCR 1 a 2 b
ZADD z INCR NX XX 1 a 2 b
ZADD z 1 a x b
ZADD z 1 a 2
ZADD z 1 a NX 2
ZADD z 1 NX
ZADD z x a
ZADD z '' a
ZADD z NX 7 a 8 new
ZADD z XX 7 a 8 newer
ZADD z xx ch 8 a 8 newer 9 b
ZADD z GT CH 7 a 10 b 11 fresh
ZADD z LT CH 9 a 3 b 12 fresher
ZADD z XX GT CH 100 a 100 none
ZADD z XX LT CH 50 a 1 none
ZADD z NX CH INCR 3 a
ZADD z XX INCR 3 a
ZADD z XX INCR 3 none
ZADD z NX INCR 3 none
ZADD z GT INCR -3 none
ZADD z GT INCR 3 none
ZADD z LT INCR 3 none
ZADD z LT INCR -3 none
ZADD z GT INCR 0 none
ZADD z INCR 0 none
ZADD z INCR x none
ZADD z INCR -0 minuszero
ZADD z -0 minuszero2 -0.0 minuszero3
ZADD z NX NX CH CH XX 1 a
ZADD missing XX 1 a
ZADD missing XX INCR 1 a
EXISTS missing
ZRANGE z 0 -1 WITHSCORES
ZINCRBY z 1.5 a
ZINCRBY z -1e300 a
ZINCRBY z 0 a
ZINCRBY z x a
ZINCRBY z nan a
ZINCRBY z inf a
ZINCRBY z -inf a
ZADD z INCR -inf a
ZADD z GT INCR -inf a
ZINCRBY string 1 a
ZINCRBY string x a
ZINCRBY z 1
ZINCRBY z 1 a b
ZINCRBY fresh -inf a
ZREM z a
ZREM z a b nothing b
ZREM missing a
ZREM string a
ZREM z
ZREM fresh a
EXISTS fresh
ZSCORE z c
ZSCORE z nothing
ZSCORE missing c
ZSCORE string c
ZSCORE z
ZSCORE z a b
ZMSCORE z c nothing d
ZMSCORE missing c d
ZMSCORE string c
ZMSCORE z
ZCARD z
ZCARD missing
ZCARD string
ZCARD
ZRANK z c
ZRANK z nothing
ZRANK missing c
ZRANK string c
ZRANK z
ZRANK z c d
ZRANK z c d e
ZREVRANK z c
ZREVRANK z nothing
ZREVRANK missing c
ZREVRANK string c
ZREVRANK z c x
DEL r
ZADD r -inf low -2.5 a -1 b -1 bb 0 c 1 d 1 dd 1 ddd 2.5 e 1e10 f inf high
ZCOUNT r -inf +inf
ZCOUNT r -inf inf
ZCOUNT r (-inf (+inf
ZCOUNT r 1 1
ZCOUNT r (1 1
ZCOUNT r 1 (1
ZCOUNT r (1 (1
ZCOUNT r 2 1
ZCOUNT r (0 (2.5
ZCOUNT r 0x1 0X1p3
ZCOUNT r '' 5
ZCOUNT r ( 5
ZCOUNT r ((1 5
ZCOUNT r x 5
ZCOUNT r 1 x
ZCOUNT r nan 5
ZCOUNT r (nan 5
ZCOUNT r 1_0 5
ZCOUNT r 1e400 1e500
ZCOUNT r -1e400 1e-400
ZCOUNT missing x 1
ZCOUNT missing 1 2
ZCOUNT string 1 2
ZCOUNT string x 2
ZCOUNT r 1
ZCOUNT r 1 2 3
ZLEXCOUNT missing - +
ZLEXCOUNT string - +
ZLEXCOUNT string x +
ZRANGE r 0 -1
ZRANGE r 0 0
ZRANGE r -1 -1
ZRANGE r 2 4
ZRANGE r 4 2
ZRANGE r -3 -2
ZRANGE r -100 1
ZRANGE r 9 100
ZRANGE r 100 200
ZRANGE r -200 -100
ZRANGE r 9223372036854775807 9223372036854775807
ZRANGE r -9223372036854775808 9223372036854775807
ZRANGE r 9223372036854775808 1
ZRANGE r 0 1.5
ZRANGE r a 1
ZRANGE r 0 (1
ZRANGE missing 0 -1
ZRANGE missing a -1
ZRANGE string 0 -1
ZRANGE string a -1
ZRANGE r 0
ZRANGE r 0 -1 WITHSCORES
ZRANGE r 0 -1 withscores WITHSCORES
ZRANGE r 0 3 REV
ZRANGE r -3 -1 REV WITHSCORES
ZRANGE r 0 3 REV REV
ZRANGE r 0 -1 LIMIT 0 1
ZRANGE r 0 -1 LIMIT 0 -1
ZRANGE r 0 -1 LIMIT 5 -1
ZRANGE r 0 -1 LIMIT 5 -2
ZRANGE r 0 -1 LIMIT 0
ZRANGE r 0 -1 LIMIT
ZRANGE r 0 -1 FOO
ZRANGE r 0 -1 BYSCORE
ZRANGE r -1 1 BYSCORE
ZRANGE r (-1 (1 BYSCORE WITHSCORES
ZRANGE r 1 -1 BYSCORE
ZRANGE r 1 -1 BYSCORE REV
ZRANGE r (1 (-1 BYSCORE REV WITHSCORES
ZRANGE r -inf +inf BYSCORE LIMIT 2 3
ZRANGE r +inf -inf BYSCORE REV LIMIT 2 3
ZRANGE r -inf +inf BYSCORE LIMIT 2 -1
ZRANGE r -inf +inf BYSCORE LIMIT 2 -7
ZRANGE r -inf +inf BYSCORE LIMIT 2 0
ZRANGE r -inf +inf BYSCORE LIMIT 0 0
ZRANGE r -inf +inf BYSCORE LIMIT -1 3
ZRANGE r -inf +inf BYSCORE LIMIT -1 -1
ZRANGE r -inf +inf BYSCORE LIMIT 100 3
ZRANGE r +inf -inf BYSCORE REV LIMIT 100 3
ZRANGE r -inf +inf BYSCORE LIMIT 9223372036854775807 9223372036854775807
ZRANGE r -inf +inf BYSCORE LIMIT 1 9223372036854775807
ZRANGE r -inf +inf BYSCORE LIMIT 9223372036854775808 1
ZRANGE r -inf +inf BYSCORE LIMIT a b
ZRANGE r -inf +inf BYSCORE LIMIT 0 b
ZRANGE r -inf +inf BYSCORE LIMIT 1 2 LIMIT 0 1
ZRANGE r -inf +inf BYSCORE BYLEX
ZRANGE r -inf +inf BYLEX BYSCORE
ZRANGE r -inf +inf BYSCORE BYSCORE
ZRANGE r x y BYSCORE
ZRANGE r x y BYLEX
ZRANGE r x y BYSCORE FOO
ZRANGE r - + BYLEX WITHSCORES
ZRANGE missing x y BYSCORE
ZRANGE missing - + BYLEX
ZRANGE string 0 1 BYSCORE
ZREVRANGE r 0 -1
ZREVRANGE r 0 -1 WITHSCORES
ZREVRANGE r 0 -1 REV
ZREVRANGE r 0 -1 BYSCORE
ZREVRANGE r 0 -1 LIMIT 0 1
ZREVRANGE r 0 -1 LIMIT 0 -1
ZREVRANGE r 0 -1 LIMIT x -1
ZREVRANGE r 1 3
ZREVRANGE r -2 -1
ZREVRANGE r 5 1
ZREVRANGE r 50 100
ZREVRANGE missing 0 -1
ZREVRANGE string 0 -1
ZREVRANGE r 0
ZREVRANGE r x 1
ZRANGEBYSCORE r -inf +inf
ZRANGEBYSCORE r (-2.5 2.5 WITHSCORES
ZRANGEBYSCORE r -1 1 LIMIT 1 2
ZRANGEBYSCORE r -1 1 LIMIT 1 2 WITHSCORES
ZRANGEBYSCORE r -1 1 WITHSCORES LIMIT 1 2
ZRANGEBYSCORE r -1 1 LIMIT 1
ZRANGEBYSCORE r -1 1 LIMIT
ZRANGEBYSCORE r -1 1 LIMIT 1 x
ZRANGEBYSCORE r -1 1 REV
ZRANGEBYSCORE r -1 1 BYSCORE
ZRANGEBYSCORE r 1 -1
ZRANGEBYSCORE r x 1
ZRANGEBYSCORE r x 1 FOO
ZRANGEBYSCORE missing 0 1
ZRANGEBYSCORE string 0 1
ZRANGEBYSCORE r 0
ZREVRANGEBYSCORE r +inf -inf
ZREVRANGEBYSCORE r 1 -1 WITHSCORES
ZREVRANGEBYSCORE r (1 (-1 WITHSCORES
ZREVRANGEBYSCORE r 1 -1 LIMIT 1 2
ZREVRANGEBYSCORE r 1 -1 LIMIT -1 2
ZREVRANGEBYSCORE r 1 -1 LIMIT 1 -2
ZREVRANGEBYSCORE r -1 1
ZREVRANGEBYSCORE missing 1 0
ZREVRANGEBYSCORE string 1 0
ZREVRANGEBYSCORE r x 0
ZADD l 0 a 0 aa 0 b 0 c 0 cc 0 d 0 A 0 z
ZADD l 0 ''
ZRANGEBYLEX l - +
ZRANGEBYLEX l + -
ZRANGEBYLEX l - -
ZRANGEBYLEX l + +
ZRANGEBYLEX l [a [c
ZRANGEBYLEX l (a (c
ZRANGEBYLEX l (a [a
ZRANGEBYLEX l [a [a
ZRANGEBYLEX l [ (
ZRANGEBYLEX l ( [b
ZRANGEBYLEX l [ [
ZRANGEBYLEX l [c [a
ZRANGEBYLEX l [a +
ZRANGEBYLEX l - (aa
ZRANGEBYLEX l [bb [cb
ZRANGEBYLEX l a b
ZRANGEBYLEX l '' +
ZRANGEBYLEX l -x +
ZRANGEBYLEX l - ++
ZRANGEBYLEX l - + LIMIT 2 3
ZRANGEBYLEX l - + LIMIT 2 -1
ZRANGEBYLEX l - + LIMIT -2 3
ZRANGEBYLEX l - + WITHSCORES
ZRANGEBYLEX l - + BYLEX
ZRANGEBYLEX missing - +
ZRANGEBYLEX missing x +
ZRANGEBYLEX string - +
ZREVRANGEBYLEX l + -
ZREVRANGEBYLEX l - +
ZREVRANGEBYLEX l (c [a
ZREVRANGEBYLEX l + [b LIMIT 1 2
ZREVRANGEBYLEX l x y
ZREVRANGEBYLEX missing + -
ZREVRANGEBYLEX string + -
ZRANGE l [a [c BYLEX
ZRANGE l [c [a BYLEX REV
ZRANGE l + - BYLEX REV LIMIT 1 3
ZRANGE l - + BYLEX LIMIT 1 3
ZLEXCOUNT l - +
ZLEXCOUNT l + -
ZLEXCOUNT l [a (d
ZLEXCOUNT l x +
ZLEXCOUNT l - y
ZRANGESTORE t r 0 3
ZRANGE t 0 -1 WITHSCORES
ZRANGESTORE t r -1 1 BYSCORE
ZRANGE t 0 -1 WITHSCORES
ZRANGESTORE t l - + BYLEX LIMIT 2 3
ZRANGE t 0 -1 WITHSCORES
ZRANGESTORE t r 0 3 REV
ZRANGE t 0 -1 WITHSCORES
ZRANGESTORE t r 1 -1 BYSCORE REV LIMIT 1 2
ZRANGE t 0 -1 WITHSCORES
ZRANGESTORE t r 0 3 WITHSCORES
ZRANGESTORE t r 0 3 LIMIT 1 2
ZRANGESTORE t r x 3
ZRANGESTORE t string 0 1
ZRANGESTORE t t 1 1
ZRANGE t 0 -1
ZRANGESTORE string r 0 1
TYPE string
SET string value
ZRANGESTORE string missing 0 1
EXISTS string
SET string value
ZRANGESTORE t r 100 200
EXISTS t
ZRANGESTORE t r 0
ZRANGESTORE t r 0 3 FOO
DEL m
ZADD m 1 a 2 b 3 c 4 d 5 e 6 f 7 g 8 h
ZREMRANGEBYRANK m 0 0
ZREMRANGEBYRANK m -1 -1
ZREMRANGEBYRANK m 5 3
ZREMRANGEBYRANK m 100 200
ZREMRANGEBYRANK m x 1
ZREMRANGEBYRANK missing 0 -1
ZREMRANGEBYRANK missing x -1
ZREMRANGEBYRANK string 0 -1
ZREMRANGEBYRANK m 0
ZREMRANGEBYSCORE m (2 3
ZREMRANGEBYSCORE m x 3
ZREMRANGEBYSCORE m 10 20
ZREMRANGEBYSCORE m 20 10
ZREMRANGEBYSCORE missing 0 1
ZREMRANGEBYSCORE string 0 1
ZRANGE m 0 -1
ZREMRANGEBYSCORE m -inf +inf
EXISTS m
ZREMRANGEBYLEX l [a (b
ZREMRANGEBYLEX l x +
ZREMRANGEBYLEX l + -
ZREMRANGEBYLEX missing - +
ZREMRANGEBYLEX string - +
ZRANGE l 0 -1
ZREMRANGEBYLEX l - +
EXISTS l
ZADD p 1 a 2 b 3 c 4 d 5 e 6 f 7 g 8 h
ZPOPMIN p
ZPOPMAX p
ZPOPMIN p 2
ZPOPMAX p 2
ZPOPMIN p 1
ZPOPMIN p 0
ZPOPMIN p -1
ZPOPMIN p x
ZPOPMIN p 1 2
ZPOPMIN p 9223372036854775808
ZPOPMAX p 9223372036854775807
ZPOPMIN p
ZPOPMIN p 3
ZPOPMIN p x
ZPOPMIN p -1
ZPOPMAX missing 0
EXISTS p
ZPOPMIN string
ZPOPMIN string x
ZPOPMIN string -1
ZPOPMIN string 0
ZPOPMIN
ZADD p 1 a 2 b 3 c 4 d 5 e 6 f 7 g 8 h
ZMPOP 1 p MIN
ZMPOP 1 p max
ZMPOP 2 missing p MIN COUNT 2
ZMPOP 1 p MAX COUNT 2
ZMPOP 1 p MIN COUNT 0
ZMPOP 1 p MIN COUNT -1
ZMPOP 1 p MIN COUNT x
ZMPOP 1 p MIN COUNT
ZMPOP 1 p MIN COUNT 1 COUNT 1
ZMPOP 1 p MIN COUNT 1 FOO
ZMPOP 1 p UP
ZMPOP 2 p MIN
ZMPOP 0 p MIN
ZMPOP -1 p MIN
ZMPOP x p MIN
ZMPOP 9223372036854775807 p MIN
ZMPOP 1 p
ZMPOP 1 string MIN
ZMPOP 2 string p MIN
ZMPOP 2 p string MIN
ZMPOP 1 p MIN COUNT 100
ZMPOP 1 p MIN
ZMPOP 2 missing missing MAX COUNT 3
EXISTS p
ZADD p 1 a 2 b 3 c 4 d 5 e 6 f 7 g 8 h 9 i 10 j
BZPOPMIN p 0
BZPOPMAX missing p 1.5
BZPOPMIN missing string 0
BZPOPMIN string p 0
BZPOPMIN p string 0
BZPOPMIN p x
BZPOPMIN p -1
BZPOPMIN string x
BZPOPMIN missing 0.01
BZPOPMAX missing 0.01
BZPOPMIN p
BZMPOP 0 1 p MIN
BZMPOP 0 2 missing p MAX COUNT 2
BZMPOP x 1 p MIN
BZMPOP -1 1 p MIN
BZMPOP x 0 p MIN
BZMPOP x 1 p UP
BZMPOP 0 0 p MIN
BZMPOP 0 x p MIN
BZMPOP 0 1 p MIN COUNT 0
BZMPOP 0 1 p MIN COUNT 1 COUNT 1
BZMPOP 0 1 p MIN FOO
BZMPOP 0 1 p
BZMPOP 0 1 string MIN
BZMPOP 0.01 1 missing MIN
ZRANGE p 0 -1 WITHSCORES
DEL a b c s
ZADD a 1 one 2 two 3 three 0 zero inf inf
ZADD b 10 one 20 two 40 four -inf inf
ZADD c -1 one 0.1 two 5 five 0.2 zero
SADD s one two six
ZUNION 1 a
ZUNION 2 a b
ZUNION 2 a b WITHSCORES
ZUNION 4 a b c s WITHSCORES
ZUNION 2 a missing WITHSCORES
ZUNION 2 missing missing WITHSCORES
ZUNION 2 a a WITHSCORES
ZUNION 2 a b WEIGHTS 2 3 WITHSCORES
ZUNION 2 a b WITHSCORES WEIGHTS 2 3 AGGREGATE MAX
ZUNION 2 a b AGGREGATE MIN WITHSCORES
ZUNION 2 a b AGGREGATE sum WITHSCORES
ZUNION 2 a b AGGREGATE FOO WITHSCORES
ZUNION 2 a b AGGREGATE
ZUNION 2 a b WEIGHTS 1
ZUNION 2 a b WEIGHTS 1 x
ZUNION 2 a b WEIGHTS 1 nan
ZUNION 2 a b WEIGHTS inf 1 WITHSCORES
ZUNION 2 a b WEIGHTS 0 0 WITHSCORES
ZUNION 1 a WEIGHTS -1 WITHSCORES
ZUNION 2 s c WEIGHTS 3 1 AGGREGATE MAX WITHSCORES
ZUNION 2 s s WITHSCORES
ZUNION 2 a b FOO
ZUNION 2 a b LIMIT 1
ZUNION 0 a
ZUNION -1 a
ZUNION x a
ZUNION 3 a b
ZUNION 9223372036854775807 a b
ZUNION 2 a string
ZUNION 2 string a FOO
ZUNION 1
ZINTER 1 a WITHSCORES
ZINTER 2 a b WITHSCORES
ZINTER 3 a c s WITHSCORES
ZINTER 4 a b c s WITHSCORES
ZINTER 2 a missing
ZINTER 2 a a WITHSCORES
ZINTER 2 a b WEIGHTS 2 3 AGGREGATE MIN WITHSCORES
ZINTER 2 a b WEIGHTS 0 inf AGGREGATE MAX WITHSCORES
ZINTER 2 a b WEIGHTS inf 0 AGGREGATE MIN WITHSCORES
ZINTER 2 b a WEIGHTS 0 0 AGGREGATE MIN WITHSCORES
ZINTER 2 a b WEIGHTS inf inf WITHSCORES
ZINTER 2 s s WEIGHTS 2 3 WITHSCORES
ZINTER 2 a string
ZINTER 0 a
ZINTER 2 a
ZDIFF 1 a WITHSCORES
ZDIFF 2 a b WITHSCORES
ZDIFF 2 a b
ZDIFF 2 a missing WITHSCORES
ZDIFF 2 missing a WITHSCORES
ZDIFF 2 a a
ZDIFF 3 a s c WITHSCORES
ZDIFF 2 s a WITHSCORES
ZDIFF 2 a b WEIGHTS 1 2
ZDIFF 2 a b AGGREGATE SUM
ZDIFF 2 a string
ZDIFF 0 a
ZDIFF 3 a b
ZINTERCARD 1 a
ZINTERCARD 2 a b
ZINTERCARD 2 a b LIMIT 0
ZINTERCARD 2 a b LIMIT 1
ZINTERCARD 2 a b LIMIT 100
ZINTERCARD 2 a b LIMIT -1
ZINTERCARD 2 a b LIMIT x
ZINTERCARD 2 a b LIMIT
ZINTERCARD 2 a b LIMIT 1 LIMIT 2
ZINTERCARD 2 a b WITHSCORES
ZINTERCARD 2 a b WEIGHTS 1 2
ZINTERCARD 2 a b AGGREGATE SUM
ZINTERCARD 2 a string
ZINTERCARD 2 a missing
ZINTERCARD 3 a b s
ZINTERCARD 0 a
ZINTERCARD x a
ZINTERCARD 3 a b
ZUNIONSTORE t 2 a b
ZRANGE t 0 -1 WITHSCORES
ZUNIONSTORE t 3 a c s WEIGHTS 1 -1 0.5 AGGREGATE MAX
ZRANGE t 0 -1 WITHSCORES
ZUNIONSTORE t 1 a WEIGHTS -1
ZRANGE t 0 -1 WITHSCORES
ZUNIONSTORE t 2 t a
ZRANGE t 0 -1 WITHSCORES
ZUNIONSTORE t 2 a b WITHSCORES
ZUNIONSTORE t 0 a
ZUNIONSTORE t x a
ZUNIONSTORE t 3 a b
ZUNIONSTORE t 1 string
ZUNIONSTORE t 2 a b WEIGHTS 1
ZUNIONSTORE string 1 a
TYPE string
ZUNIONSTORE string 1 missing
EXISTS string
SET string value
ZINTERSTORE t 2 a b
ZRANGE t 0 -1 WITHSCORES
ZINTERSTORE t 2 a s WEIGHTS 2 10 AGGREGATE MIN
ZRANGE t 0 -1 WITHSCORES
ZINTERSTORE t 2 a missing
EXISTS t
ZINTERSTORE t 0 a
ZINTERSTORE t 1 string
ZDIFFSTORE t 2 a b
ZRANGE t 0 -1 WITHSCORES
ZDIFFSTORE t 2 a a
EXISTS t
ZDIFFSTORE t 1 s
ZRANGE t 0 -1 WITHSCORES
ZDIFFSTORE t 1 a WEIGHTS 1
ZDIFFSTORE t 0 a
ZDIFFSTORE t 1 string
ZDIFFSTORE t
ZRANDMEMBER missing
ZRANDMEMBER missing 3
ZRANDMEMBER missing x
ZRANDMEMBER string
ZRANDMEMBER string 3
ZRANDMEMBER a 0
ZRANDMEMBER a x
ZRANDMEMBER a 1 FOO
ZRANDMEMBER a 1 WITHSCORES FOO
ZRANDMEMBER a 9223372036854775808
ZRANDMEMBER a -9223372036854775808
ZRANDMEMBER a -9223372036854775807 WITHSCORES
ZRANDMEMBER a 9223372036854775807 WITHSCORES
ZRANDMEMBER missing 9223372036854775807 WITHSCORES
ZRANDMEMBER missing -9223372036854775807
ZSCAN a 0
ZSCAN a 0 MATCH t*
ZSCAN a 0 COUNT 2
ZSCAN a 0 COUNT x
ZSCAN a 0 COUNT 0
ZSCAN a 0 FOO
ZSCAN a x
ZSCAN missing 0
ZSCAN missing x
ZSCAN string 0
ZSCAN a
"""

NAMES = """
ZADD ZINCRBY ZREM ZSCORE ZMSCORE ZCARD ZCOUNT ZLEXCOUNT ZRANK ZREVRANK ZRANGE ZRANGEBYSCORE ZREVRANGEBYSCORE
ZRANGEBYLEX ZREVRANGEBYLEX ZREVRANGE ZRANGESTORE ZREMRANGEBYRANK ZREMRANGEBYSCORE ZREMRANGEBYLEX ZPOPMIN ZPOPMAX ZMPOP
BZPOPMIN BZPOPMAX BZMPOP ZUNION ZINTER ZDIFF ZINTERCARD ZUNIONSTORE ZINTERSTORE ZDIFFSTORE ZRANDMEMBER ZSCAN
"""


class SortedSets(TwoHeadedTestCase):
    """RESP2."""

    def test_table(self) -> None:
        """Every command with good and bad arguments answers alike."""
        for line in TABLE.strip().splitlines():
            self.do(*words(line))
        self.same_digest()

    def test_arity_and_flags(self) -> None:
        """Arity, flags, key positions and categories are Redis's."""
        for name in NAMES.split():
            real, ours = self.both("COMMAND", "INFO", name)
            for column in (0, 1, 3, 4, 5):
                self.assertEqual(real[0][column], ours[0][column], name)
            for column in (2, 6):
                self.assertEqual(set(real[0][column]), set(ours[0][column]), name)

    def test_key_positions(self) -> None:
        """COMMAND GETKEYS finds the keys behind their number."""
        for line in (
            "ZUNIONSTORE d 2 a b WEIGHTS 1 2",
            "ZDIFFSTORE d 1 a",
            "ZINTER 2 a b",
            "ZINTERCARD 2 a b LIMIT 1",
            "ZMPOP 2 a b MIN",
            "BZMPOP 0 2 a b MIN",
            "BZPOPMIN a b c 0",
            "ZRANGESTORE a b 0 1",
        ):
            self.do("COMMAND", "GETKEYS", *line.split())

    def test_rank_with_score(self) -> None:
        """WITHSCORE, a word of Redis 7.2, is understood."""
        ours = self.pair.ours
        ours.must("ZADD", "z", 1, "a", 2.5, "b")
        score = 2.5 if self.resp == 3 else b"2.5"
        self.assertEqual(ours.must("ZRANK", "z", "b", "WITHSCORE"), [1, score])
        self.assertEqual(ours.must("ZREVRANK", "z", "b", "withscore"), [0, score])
        self.assertIsNone(ours.must("ZRANK", "z", "c", "WITHSCORE"))

    def test_binary(self) -> None:
        """Keys and members are bytes of any value, empty ones too."""
        self.do("ZADD", BINARY, 0, b"", 0, b"\x00", 0, b"\r\n", 0, BINARY, 0, b"\xff\xff")
        self.do("ZRANGE", BINARY, 0, -1)
        self.do("ZRANGEBYLEX", BINARY, b"[\x00", b"(\xff\xff")
        self.do("ZRANGEBYLEX", BINARY, b"(\x00", b"[\xff\xff\xff")
        self.do("ZSCORE", BINARY, b"")
        self.do("ZCOUNT", BINARY, b"-1\x00rubbish", b" \t1")
        self.do("ZADD", BINARY, b"1\x00", b"a")
        self.do("ZREM", BINARY, b"\r\n", b"\x00\x00")
        self.do("ZUNIONSTORE", b"\xff", 1, BINARY)
        self.same_digest()

    def test_score_texts(self) -> None:
        """Scores are read as strtod reads them, and written with 17 digits."""
        for text in (
            "1e17 1e16 1e21 -1e17 99999999999999990 123456789012345678 0.1 -0.0 0 3 -3 1.5e300 5e-324 -5e-324 1e-320 "
            "2.2250738585072011e-308 1e-5 0.0001 100000 1e400 1e-400 0x10 0x1p4 0x1.8p-2 0x 1. .5 -.5 . 1e 1e+5 +5 --1 1_0 "
            "nan NaN nan(1) inf +inf -inf INF infinity Infinityy in 9007199254740991 9007199254740993 -9007199254740993"
        ).split():
            self.do("DEL", "z")
            self.do("ZADD", "z", text, "a")
            self.do("ZSCORE", "z", "a")
            self.do("ZINCRBY", "z", text, "b")
        for odd in (b" 1", b"1 ", b"", b"\n1", b"1\x00", b"\xff"):
            self.do("ZADD", "z", odd, "a")

    def test_scores_as_printed(self) -> None:
        """Thousands of doubles of all sizes look alike, on the wire and sorted."""
        chance = random.Random(70015)
        scores = [chance.uniform(-1000, 1000) for _ in range(500)]
        scores += [round(chance.uniform(-1000, 1000), chance.randrange(6)) for _ in range(500)]
        scores += [float(2**53 + chance.randrange(-40, 40)) * chance.choice((-2, -1, 1, 2)) for _ in range(200)]
        scores += [float(10**n + chance.randrange(3)) for n in range(24) for _ in range(5)]
        scores += [struct.unpack("<d", chance.randbytes(8))[0] for _ in range(2500)]
        scores = [score for score in scores if not math.isnan(score)]
        for start in range(0, len(scores), 500):
            some = scores[start : start + 500]
            self.do("ZADD", "z", *[part for n, score in enumerate(some, start) for part in (repr(score), f"m{n}")])
            self.do("ZMSCORE", "z", *[f"m{n}" for n in range(start, start + len(some))])
        self.do("ZRANGE", "z", 0, -1, "WITHSCORES")
        self.do("ZREVRANGEBYSCORE", "z", "(1", "(-1e-300", "WITHSCORES")
        self.same_digest()

    def test_large(self) -> None:
        """Sets above the sizes where representations change: ranges, counts, ranks, pops and removals."""
        chance = random.Random(3)
        members = [(chance.randrange(500), f"m{n:05}") for n in range(3000)]
        for start in range(0, 3000, 250):
            self.do("ZADD", "z", *[part for pair in members[start : start + 250] for part in pair])
            self.do("ZRANGE", "z", 100, 110, "WITHSCORES")
        for _ in range(60):
            low, high = chance.randrange(-10, 510), chance.randrange(-10, 510)
            self.do("ZCOUNT", "z", low, f"({high}")
            self.do("ZRANGE", "z", f"({low}", high, "BYSCORE", "LIMIT", chance.randrange(5), chance.randrange(-1, 20))
            self.do("ZRANGE", "z", high, low, "BYSCORE", "REV", "LIMIT", chance.randrange(5), chance.randrange(9))
            self.do("ZRANK", "z", f"m{chance.randrange(3000):05}")
            self.do("ZREVRANK", "z", f"m{chance.randrange(3000):05}")
            self.do("ZRANGE", "z", chance.randrange(-3100, 3100), chance.randrange(-3100, 3100), "REV")
            self.do("ZINCRBY", "z", chance.randrange(-9, 9), f"m{chance.randrange(3000):05}")
        self.do("ZPOPMIN", "z", 700)
        self.do("ZPOPMAX", "z", 700)
        self.do("ZREMRANGEBYRANK", "z", 100, -300)
        self.do("ZREMRANGEBYSCORE", "z", "(200", 250)
        self.do("ZRANGESTORE", "y", "z", 10, 300, "BYSCORE")
        self.do("ZADD", "lex", *[part for _, member in members[:1000] for part in (7, member)])
        self.do("ZLEXCOUNT", "lex", "[m00100", "(m00900")
        self.do("ZREVRANGEBYLEX", "lex", "[m005", "(m004", "LIMIT", 3, 50)
        self.do("ZREMRANGEBYLEX", "lex", "[m00100", "[m00899")
        self.same_digest()

    def test_algebra(self) -> None:
        """Unions, intersections and differences of sets of different sizes, with fractions whose sums are inexact."""
        chance = random.Random(5)
        keys = ["big", "even", "few", "text", "missing", "set"]
        for key, size in (("big", 800), ("even", 300), ("few", 7), ("text", 60)):
            self.do("ZADD", key, *[part for _ in range(size) for part in (chance.random(), chance.randrange(size * 2))])
        self.do("SADD", "set", *range(0, 200, 3))
        for first in keys:
            for second in keys:
                self.do("ZUNION", 3, first, second, "text", "WITHSCORES")
                self.do("ZINTER", 3, first, second, "big", "WEIGHTS", 0.1, 3, -1.7, "WITHSCORES")
                self.do("ZDIFF", 3, "big", first, second, "WITHSCORES")
                self.do("ZUNIONSTORE", "u", 3, "even", first, second, "WEIGHTS", 0.3, 1e10, 1e-10)
                self.do("ZINTERCARD", 2, first, second, "LIMIT", 9)
                self.do("ZDIFFSTORE", "d", 2, first, second)
        self.same_digest()

    def test_deadline(self) -> None:
        """Changes in place keep the deadline of a sorted set; a stored result has none."""
        self.do_all("ZADD z 1 a 2 b 3 c 4 d", "ZADD y 1 x", "PEXPIREAT z 4000000000000")
        for line in (
            "ZADD z 5 e|ZADD z XX 6 e|ZINCRBY z 1 a|ZREM z b|ZPOPMIN z|ZREMRANGEBYRANK z 0 0|ZRANGESTORE z z 0 -1|"
            "PEXPIREAT z 4000000000000|ZUNIONSTORE z 2 y z|PEXPIREAT z 4000000000000|ZDIFFSTORE z 1 z"
        ).split("|"):
            self.do(*line.split())
            self.do("PEXPIRETIME", "z")
        self.same_digest()

    def test_dirty(self) -> None:
        """Each write counts as many changes as in Redis."""
        base: list[int] | None = None
        for line in (
            "ZADD z 1 a 2 b 3 c 4 d 5 e 6 f 7 g 8 h 9 i|ZADD z 1 a 3 b|ZADD z CH 5 b|ZADD z 5 b|ZINCRBY z 1 a|ZINCRBY z 0 a|"
            "ZADD z XX INCR 1 none|ZREM z a b none|ZREM z none|ZREMRANGEBYRANK z 0 1|ZREMRANGEBYSCORE z 0 5|ZPOPMIN z|"
            "ZPOPMAX z 2|ZPOPMIN none|ZADD z 1 a 2 b 3 c 4 d 5 e 6 f 7 g|ZMPOP 1 z MIN COUNT 2|BZPOPMAX z 0|"
            "BZMPOP 0 1 z MAX|"
            "ZUNIONSTORE t 1 z|ZINTERSTORE t 2 z none|ZINTERSTORE t 2 z none|ZRANGESTORE t z 0 -1|ZRANGESTORE t none 0 -1|"
            "ZRANGESTORE t none 0 -1|ZDIFFSTORE t 1 z|ZADD z 9 x 8 x 7 x|ZPOPMIN z 0|ZADD n XX 1 a|ZREMRANGEBYLEX z - +"
        ).split("|"):
            self.do(*line.split())
            now = [int(one.info("persistence")["rdb_changes_since_last_save"]) for one in (self.pair.real, self.pair.ours)]
            base = base or now
            self.assertEqual(now[0] - base[0], now[1] - base[1], line)

    def test_random_members(self) -> None:
        """ZRANDMEMBER: the shapes of Redis, and all members come up."""
        self.do("ZADD", "z", *[part for n in range(20) for part in (n / 4, f"m{n}")])
        for line in ("ZRANDMEMBER z", "ZRANDMEMBER z 5", "ZRANDMEMBER z -30", "ZRANDMEMBER z 5 WITHSCORES"):
            self.do_loosely(*line.split())
        self.do_loosely("ZRANDMEMBER", "z", -30, "WITHSCORES")
        self.do_pairs("ZRANDMEMBER", "z", 100, "WITHSCORES")
        ours = self.pair.ours
        ours.must("ZADD", "large", *[part for n in range(900) for part in (n, f"m{n}")])
        for key, size in (("z", 20), ("large", 900)):
            expected = set(ours.must("ZRANGE", key, 0, -1))
            self.assertEqual(set(ours.must("ZRANDMEMBER", key, -20 * size)), expected)
            found = ours.must("ZRANDMEMBER", key, size - 1)
            self.assertEqual(len(set(found)), size - 1)
            self.assertLessEqual(set(found), expected)

    def test_scan(self) -> None:
        """A scan over a large sorted set yields every member with its score."""
        self.do("ZADD", "z", *[part for n in range(4000) for part in (n / 8, f"m{n}")])
        for one in (self.pair.real, self.pair.ours):
            cursor = b"0"
            seen: dict[bytes, bytes] = {}
            while True:
                cursor, found = one.must("ZSCAN", "z", cursor, "COUNT", 300, "MATCH", "m?*")
                seen.update(zip(found[::2], found[1::2], strict=True))
                if cursor == b"0":
                    break
            self.assertEqual(seen, {b"m%d" % n: b"%.17g" % (n / 8) for n in range(4000)})


class SortedSets3(SortedSets):
    """RESP3: scores are doubles, and members with scores are pairs."""

    resp = 3


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


_KEYS = st.sampled_from(["z", "y", "x", "set", "string"])
_MEMBERS = st.sampled_from(["a", "b", "c", "d", "e", "aa", "ab", ""])
_SCORES = st.one_of(
    st.integers(-4, 4), st.sampled_from(["inf", "-inf", "0.5", "-0", "1e300", "x", "0.1"]), st.floats(allow_nan=False)
)
_BOUNDS = st.one_of(_SCORES.map(str), _SCORES.map(lambda score: f"({score}"))
_RANKS = st.integers(-9, 9)
_STEPS = st.one_of(
    st.tuples(st.just("ZADD"), _KEYS, _SCORES, _MEMBERS),
    st.tuples(st.just("ZADD"), _KEYS, _SCORES, _MEMBERS, _SCORES, _MEMBERS),
    st.tuples(
        st.just("ZADD"), _KEYS, st.sampled_from(["NX", "XX", "GT", "LT", "INCR"]), st.just("CH"), _SCORES, _MEMBERS
    ),
    st.tuples(st.just("ZINCRBY"), _KEYS, _SCORES, _MEMBERS),
    st.tuples(st.sampled_from(["ZREM", "ZSCORE", "ZRANK", "ZREVRANK"]), _KEYS, _MEMBERS),
    st.tuples(st.sampled_from(["ZRANGE", "ZREVRANGE"]), _KEYS, _RANKS, _RANKS, st.just("WITHSCORES")),
    st.tuples(st.sampled_from(["ZRANGEBYSCORE", "ZREVRANGEBYSCORE", "ZCOUNT"]), _KEYS, _BOUNDS, _BOUNDS),
    st.tuples(st.just("ZRANGEBYSCORE"), _KEYS, _BOUNDS, _BOUNDS, st.just("LIMIT"), _RANKS, _RANKS),
    st.tuples(st.just("ZRANGESTORE"), _KEYS, _KEYS, _BOUNDS, _BOUNDS, st.just("BYSCORE")),
    st.tuples(st.sampled_from(["ZPOPMIN", "ZPOPMAX"]), _KEYS, _RANKS),
    st.tuples(st.just("ZREMRANGEBYRANK"), _KEYS, _RANKS, _RANKS),
    st.tuples(st.just("ZREMRANGEBYSCORE"), _KEYS, _BOUNDS, _BOUNDS),
    st.tuples(st.sampled_from(["ZUNIONSTORE", "ZINTERSTORE", "ZDIFFSTORE"]), _KEYS, st.just(2), _KEYS, _KEYS),
    st.tuples(st.sampled_from(["ZUNION", "ZINTER", "ZDIFF"]), st.just(2), _KEYS, _KEYS, st.just("WITHSCORES")),
    st.tuples(
        st.sampled_from(["ZUNION", "ZINTER"]), st.just(2), _KEYS, _KEYS, st.just("WEIGHTS"), _SCORES, _SCORES,
        st.just("AGGREGATE"), st.sampled_from(["SUM", "MIN", "MAX"]), st.just("WITHSCORES"),
    ),
    st.tuples(st.sampled_from(["SADD", "SREM"]), st.just("set"), _MEMBERS),
    st.tuples(st.just("DEL"), _KEYS),
)  # fmt: skip


class RandomSequences(TwoHeadedTestCase):
    """Sequences that nobody thought of."""

    @settings(max_examples=250, deadline=None, derandomize=True, database=None)
    @given(st.lists(_STEPS, min_size=5, max_size=40))
    def test_sequences(self, steps: list[tuple[object, ...]]) -> None:
        """Equal replies at every step, and equal data at the end."""
        for connection in (self.pair.real, self.pair.ours):
            connection.must("FLUSHALL")
        self.do("SET", "string", "x")
        for step in steps:
            self.do(*step)  # type: ignore[arg-type]
        self.same_digest()
