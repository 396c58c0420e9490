"""Set commands beside a real server: every command, option and error; RESP3; chance; random sequences."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.support.sequences import sequences
from tests.support.twohead import TwoHeadedTestCase

BINARY = b"\x00\r\n\xff key"

#: Compared to the byte.
TABLE = """
SET string value
SADD s a
SADD s a b c c
SADD s a b
SADD string a
SADD s
SADD
SREM s a
SREM s a b nothing b
SREM s c
EXISTS s
SREM s a
SREM missing a
SREM string a
SREM s
SADD s a b c d e
SCARD s
SCARD missing
SCARD string
SCARD s x
SISMEMBER s a
SISMEMBER s x
SISMEMBER missing a
SISMEMBER string a
SISMEMBER s
SMISMEMBER s a x b
SMISMEMBER missing a b
SMISMEMBER string a
SMISMEMBER s
SMEMBERS missing
SMEMBERS string
SMEMBERS
SMOVE s t a
SMOVE s t a
SMOVE s t nothing
SMOVE s s b
SMOVE s s nothing
SMOVE s string b
SMOVE s string nothing
SMOVE string s b
SMOVE missing string b
SMOVE missing t b
SMOVE missing missing b
SADD t b
SMOVE s t b
SMOVE s t
SADD one x
SMOVE one t x
EXISTS one
SINTER missing
SINTER s missing
SINTER missing s
SINTER s string
SINTER missing string
SINTER string missing
SINTER
SUNION missing
SUNION missing missing
SUNION s string
SUNION string
SDIFF missing
SDIFF missing s
SDIFF s s
SDIFF s string
SDIFF missing string
SDIFF
SINTERSTORE d s missing
SINTERSTORE d s string
SINTERSTORE d missing string
SINTERSTORE d
SUNIONSTORE d missing
SUNIONSTORE d s string
SUNIONSTORE d s t
SUNIONSTORE d missing
EXISTS d
SUNIONSTORE d s t
SINTERSTORE d s missing
EXISTS d
SDIFFSTORE d s missing
SDIFFSTORE d missing s
EXISTS d
SDIFFSTORE d s string
SINTERSTORE s s s
SUNIONSTORE s s t
SDIFFSTORE s s t
SINTERSTORE string s s
SUNIONSTORE string s
TYPE string
SET string value
SINTERSTORE string missing
EXISTS string
SET string value
SADD x a b c d
SADD y b c d e
SADD z c d e f
SINTERCARD 1 x
SINTERCARD 2 x y
SINTERCARD 3 x y z
SINTERCARD 3 x y z LIMIT 1
SINTERCARD 3 x y z limit 2
SINTERCARD 3 x y z LIMIT 10
SINTERCARD 3 x y z LIMIT 0
SINTERCARD 3 x y z LIMIT 5 LIMIT 1
SINTERCARD 2 x missing
SINTERCARD 2 x missing LIMIT 1
SINTERCARD 1 missing
SINTERCARD 2 x string
SINTERCARD 2 missing string
SINTERCARD 2 missing string LIMIT 1
SINTERCARD 0 x
SINTERCARD -1 x
SINTERCARD a x
SINTERCARD 2 x
SINTERCARD 9223372036854775808 x
SINTERCARD 9223372036854775807 x
SINTERCARD 1 x y
SINTERCARD 1 x LIMIT
SINTERCARD 1 x LIMIT -1
SINTERCARD 1 x LIMIT a
SINTERCARD 1 x LIMIT 1 y
SINTERCARD 1
COMMAND GETKEYS SINTERCARD 2 a b LIMIT 1
COMMAND GETKEYS SMOVE a b c
COMMAND GETKEYS SINTERSTORE a b c
SPOP missing
SPOP missing 0
SPOP missing 3
SPOP missing -1
SPOP missing x
SPOP string
SPOP string 0
SPOP string 1
SPOP string x
SPOP x 0
SPOP x -1
SPOP x x
SPOP x 9223372036854775808
SPOP x 1 2
SPOP
SADD single m
SRANDMEMBER single
SRANDMEMBER single 1
SRANDMEMBER single 10
SRANDMEMBER single 0
SRANDMEMBER single -3
SRANDMEMBER missing
SRANDMEMBER missing 3
SRANDMEMBER missing 0
SRANDMEMBER missing -3
SRANDMEMBER missing x
SRANDMEMBER string
SRANDMEMBER string 1
SRANDMEMBER string x
SRANDMEMBER single x
SRANDMEMBER single 9223372036854775807
SRANDMEMBER single 9223372036854775808
SRANDMEMBER missing -9223372036854775807
SRANDMEMBER missing -9223372036854775808
SRANDMEMBER single -9223372036854775808
SRANDMEMBER single 1 2
SRANDMEMBER single x 2
SRANDMEMBER
SPOP single
EXISTS single
SADD single m
SPOP single 1
EXISTS single
SADD single m
SPOP single 100
EXISTS single
SSCAN missing 0
SSCAN missing x
SSCAN missing 0 COUNT 0
SSCAN string 0
SSCAN x 0 COUNT 0
SSCAN x 0 COUNT x
SSCAN x 0 COUNT
SSCAN x 0 MATCH nothing
SSCAN x 0 MATCH a*
SSCAN x 0 TYPE string
SSCAN x x
SSCAN x
"""

#: Small sets of integers: sorted by both (RESP2).
INTEGERS = """
SADD i 3 1 2 -5 10 100 -9223372036854775808 9223372036854775807
SMEMBERS i
SSCAN i 0
SSCAN i 0 MATCH 1*
SADD j 2 3 4 100
SINTER i j
SUNION i j
SDIFF i j
SDIFF i missing
SINTER i
SUNIONSTORE k i j
SMEMBERS k
SRANDMEMBER k 100
SADD l 1 2 3
SPOP l 3
"""

#: The order of the members means nothing.
UNORDERED = """
SMEMBERS x
SINTER x
SINTER x y
SINTER x y z
SUNION x
SUNION x y z missing
SUNION x x
SDIFF x
SDIFF x y
SDIFF x missing z
SSCAN x 0
SSCAN x 0 COUNT 100 MATCH *
SRANDMEMBER x 4
SRANDMEMBER x 100
SMEMBERS mixed
SMEMBERS text
SPOP x 4
EXISTS x
SPOP y 100
EXISTS y
"""

NAMES = (
    "SADD SREM SMOVE SISMEMBER SMISMEMBER SCARD SPOP SRANDMEMBER SINTER SINTERCARD SINTERSTORE SUNION SUNIONSTORE SDIFF "
    "SDIFFSTORE SMEMBERS SSCAN"
)


class Sets(TwoHeadedTestCase):
    """RESP2."""

    def test_table(self) -> None:
        """Every command with good and bad arguments answers alike."""
        self.do_all(*TABLE.strip().splitlines())
        self.same_digest()

    def test_unordered(self) -> None:
        """Replies with many members, compared without their order."""
        _unordered(self)

    def test_integers(self) -> None:
        """Small sets of integers come back sorted; anything else in the set ends that."""
        self.do_all(*INTEGERS.strip().splitlines())
        self.do("SADD", "n", *range(600, 88, -1))
        self.do("SMEMBERS", "n")
        self.do("SADD", "n", 1)
        self.do_sorted("SMEMBERS", "n")
        for member in ("01", "+1", "-0", " 1", "9223372036854775808", "1.0", ""):
            self.do("SADD", f"odd{member}", 3, 2, 1, member)
            self.do_sorted("SMEMBERS", f"odd{member}")
        self.same_digest()

    def test_arity_and_flags(self) -> None:
        """Arity, flags, key positions and categories are Redis's."""
        for name in NAMES.split():
            real, ours = self.both("COMMAND", "INFO", name)
            for column in (0, 1, 3, 4, 5):
                self.assertEqual(real[0][column], ours[0][column], name)
            for column in (2, 6):
                self.assertEqual(set(real[0][column]), set(ours[0][column]), name)

    def test_binary(self) -> None:
        """Keys and members are bytes of any value, empty ones too."""
        self.do("SADD", BINARY, b"", b"\x00", b"\r\n", BINARY)
        self.do_sorted("SMEMBERS", BINARY)
        self.do("SISMEMBER", BINARY, b"")
        self.do("SMOVE", BINARY, b"", b"")
        self.do("SREM", BINARY, b"\r\n", b"\x00\x00")
        self.do("SUNIONSTORE", b"\xff", b"", BINARY)
        self.same_digest()

    def test_deadline(self) -> None:
        """Changes in place keep the deadline of a set; a stored result has none."""
        self.do("SADD", "s", "a", "b", "c")
        self.do("SADD", "t", "x")
        self.do("PEXPIREAT", "s", 4_000_000_000_000)
        for words in ("SADD s x", "SREM s a", "SMOVE t s y", "SMOVE s t b", "SUNIONSTORE s s t", "SADD s q"):
            self.do(*words.split())
            self.do("PEXPIRETIME", "s")
        self.same_digest()

    def test_dirty(self) -> None:
        """Each write counts as many changes as in Redis."""
        base: list[int] | None = None
        for line in (
            "SADD s a b c d e|SADD s a|SREM s a zz|SREM s zz|SMOVE s t b|SADD s b|SMOVE s t b|SMOVE s s c|SPOP s|SPOP s 0|"
            "SADD s 1 2 3|SPOP s 2|SPOP s 10|SPOP s 10|SADD s 1 2 3|SUNIONSTORE u s|SINTERSTORE u s no|SINTERSTORE u s no|"
            "SDIFFSTORE u s|SPOP u 1"
        ).split("|"):
            self.do_loosely(*line.split())
            now = [int(one.info("persistence")["rdb_changes_since_last_save"]) for one in (self.pair.real, self.pair.ours)]
            base = base or now
            self.assertEqual(now[0] - base[0], now[1] - base[1], line)

    def test_algebra_of_many(self) -> None:
        """Intersections, unions and differences of sets of very different sizes."""
        self.do("SADD", "big", *range(2000))
        self.do("SADD", "even", *range(0, 3000, 2))
        self.do("SADD", "few", *range(-5, 5))
        self.do("SADD", "text", *[f"member-{n}" for n in range(100)], 4, 1998)
        keys = ["big", "even", "few", "text", "missing"]
        for first in keys:
            for second in keys:
                for name in ("SINTER", "SUNION", "SDIFF"):
                    self.do_sorted(name, first, second)
                    self.do_sorted(name, first, second, "few")
                    self.do(f"{name}STORE", "result", first, second, "even")
                    self.do("SCARD", "result")
                self.do("SINTERCARD", 2, first, second, "LIMIT", 7)
        self.same_digest()


def _unordered(case: TwoHeadedTestCase) -> None:
    case.do_all("SADD x a b c d", "SADD y b c d e", "SADD z c d e f", "SADD mixed 3 1 2 a", "SADD text b a c")
    for line in UNORDERED.strip().splitlines():
        words = line.split()
        if words[0] == "SSCAN":
            real, ours = case.both(*words)
            case.assertEqual((real[0], sorted(real[1])), (ours[0], sorted(ours[1])), line)
        else:
            case.do_sorted(*words)
    case.same_digest()


class Sets3(TwoHeadedTestCase):
    """RESP3: sets are sets, but what is chosen at random is an array."""

    resp = 3

    def test_table(self) -> None:
        """The same table."""
        self.do_all(*TABLE.strip().splitlines())
        self.same_digest()

    def test_unordered(self) -> None:
        """Replies with many members, compared without their order; the types on the wire are equal."""
        _unordered(self)

    def test_pop_types(self) -> None:
        """SPOP with a count is a set in RESP3, SRANDMEMBER an array."""
        self.do("SADD", "s", *range(20))
        for line in ("SPOP s 3", "SRANDMEMBER s 3", "SRANDMEMBER s -3", "SPOP s", "SRANDMEMBER s"):
            self.do_loosely(*line.split())

    def test_reply_is_a_copy(self) -> None:
        """Replies collected in a transaction show the set as it was at their time."""
        self.do_all("SADD s 1", "MULTI", "SMEMBERS s", "SADD s 2", "SUNION s s", "SPOP s 5", "SADD s 3")
        real, ours = self.both("EXEC")
        self.assertEqual(real, [{b"1"}, 1, {b"1", b"2"}, {b"1", b"2"}, 1])
        self.assertEqual(real, ours)


class Chance(TwoHeadedTestCase):
    """SPOP and SRANDMEMBER choose among the members, different ones where that is promised, and all in the end."""

    def test_pop(self) -> None:
        """All members come out of sets of all sizes, each once."""
        for size in (1, 5, 300, 700, 3000):
            members = {b"m%d" % n for n in range(size)}
            for count in (None, 7, size // 2 + 1):
                self.pair.ours.must("SADD", "s", *members)
                popped: list[bytes] = []
                while len(popped) < size:
                    found = self.pair.ours.must("SPOP", "s", *([] if count is None else [count]))
                    self.assertEqual(self.pair.ours.must("SCARD", "s"), size - len(popped) - _len(found))
                    popped.extend(found if isinstance(found, list) else [found])
                self.assertEqual(sorted(popped), sorted(members))
                self.assertEqual(self.pair.ours.must("EXISTS", "s"), 0)

    def test_sample(self) -> None:
        """SRANDMEMBER with a count: different members, or repeated ones; the set does not change."""
        ours = self.pair.ours
        for size in (5, 300, 700, 3000):
            members = {b"m%d" % n for n in range(size)}
            ours.must("SADD", "s", *members)
            for count in (1, 4, size // 5, size // 2, size - 1):
                found = ours.must("SRANDMEMBER", "s", count)
                self.assertEqual(len(found), count)
                self.assertEqual(len(set(found)), count)
                self.assertLessEqual(set(found), members)
            self.assertEqual(set(ours.must("SRANDMEMBER", "s", size)), members)
            found = ours.must("SRANDMEMBER", "s", -4 * size)
            self.assertEqual(len(found), 4 * size)
            self.assertLess(len(set(found)), size + 1)
            self.assertGreater(len(set(found)), size // 2)
            self.assertEqual(ours.must("SCARD", "s"), size)
            ours.must("DEL", "s")

    def test_even(self) -> None:
        """Every member of a small and of a large set comes up, also those that came or returned later."""
        ours = self.pair.ours
        for size in (10, 1000):
            ours.must("SADD", "s", *range(size))
            ours.must("SRANDMEMBER", "s")
            ours.must("SREM", "s", *range(0, size, 2))
            ours.must("SADD", "s", *range(0, size, 4))
            ours.must("SADD", "s", *[f"late{n}" for n in range(size // 4)])
            ours.must("SMOVE", "s", "elsewhere", 1)
            expected = set(ours.must("SMEMBERS", "s"))
            counts: dict[bytes, int] = {}
            for member in ours.must("SRANDMEMBER", "s", -40 * len(expected)):
                counts[member] = counts.get(member, 0) + 1
            self.assertEqual(set(counts), expected)
            self.assertLess(max(counts.values()), 40 * 2.5)
            ours.must("DEL", "s", "elsewhere")

    def test_first_pop_differs(self) -> None:
        """The same small set, made again and again, does not give the same member each time."""
        ours = self.pair.ours
        found = set()
        for _ in range(60):
            ours.must("SADD", "s", "a", "b", "c")
            found.add(ours.must("SPOP", "s"))
            ours.must("DEL", "s")
        self.assertEqual(found, {b"a", b"b", b"c"})

    def test_large_scan(self) -> None:
        """A scan of a large set gives every member."""
        for connection in (self.pair.real, self.pair.ours):
            connection.must("SADD", "s", *range(5000))
            found: set[bytes] = set()
            cursor: Any = b"0"
            while True:
                cursor, page = connection.must("SSCAN", "s", cursor, "COUNT", 200)
                found.update(page)
                if cursor == b"0":
                    break
            self.assertEqual(len(found), 5000)


def _len(found: Any) -> int:
    return len(found) if isinstance(found, list) else 1


KEYS = st.sampled_from([b"a", b"b", b"c"])
MEMBERS = st.sampled_from([b"1", b"2", b"3", b"x", b"yy", b"z"])
STEP = st.one_of(
    st.tuples(st.sampled_from([b"SADD", b"SREM"]), KEYS, MEMBERS, MEMBERS, MEMBERS),
    st.tuples(st.just(b"SMOVE"), KEYS, KEYS, MEMBERS),
    st.tuples(st.sampled_from([b"SISMEMBER", b"SMISMEMBER"]), KEYS, MEMBERS),
    st.tuples(st.sampled_from([b"SINTER", b"SUNION", b"SDIFF"]), KEYS, KEYS),
    st.tuples(st.sampled_from([b"SINTERSTORE", b"SUNIONSTORE", b"SDIFFSTORE"]), KEYS, KEYS, KEYS),
    st.tuples(st.sampled_from([b"SCARD", b"SMEMBERS"]), KEYS),
    st.tuples(st.just(b"SINTERCARD"), st.just(2), KEYS, KEYS, st.just(b"LIMIT"), st.integers(0, 3)),
    st.tuples(st.sampled_from([b"SPOP", b"SRANDMEMBER"]), KEYS, st.just(9)),
)


class RandomSets(TwoHeadedTestCase):
    """Random sequences of commands on three keys."""

    def test_sequences(self) -> None:
        """The replies (without order) and in the end the digests are equal."""

        @sequences(60)
        @given(st.lists(STEP, min_size=10, max_size=60))
        def run(steps: list[tuple[bytes | int, ...]]) -> None:
            self.do("FLUSHALL")
            for step in steps:
                self.do_sorted(*step)
            self.same_digest()

        run()
