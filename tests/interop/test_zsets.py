"""Sorted-set commands beside a real server: every command, option and error; scores; RESP3; chance."""

from __future__ import annotations

import math
import random
import struct

from hypothesis import given
from hypothesis import strategies as st

from tests.interop.zset_table import TABLE
from tests.support.sequences import sequences
from tests.support.twohead import TwoHeadedTestCase
from tests.unit.law_samples import words

BINARY = b"\x00\r\n\xff key"

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

    @sequences(250)
    @given(st.lists(_STEPS, min_size=5, max_size=40))
    def test_sequences(self, steps: list[tuple[object, ...]]) -> None:
        """Equal replies at every step, and equal data at the end."""
        for connection in (self.pair.real, self.pair.ours):
            connection.must("FLUSHALL")
        self.do("SET", "string", "x")
        for step in steps:
            self.do(*step)  # type: ignore[arg-type]
        self.same_digest()
