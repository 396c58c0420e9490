"""Hash commands beside a real server: every command, option and error; RESP3; random sequences."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.support.sequences import sequences
from tests.support.twohead import TwoHeadedTestCase

BINARY = b"\x00\r\n\xff key"

#: Small hashes come back in the order of insertion from both servers, so all of it can be compared to the byte.
TABLE = """
SET string value
HSET h a 1
HSET h a 2
HSET h b 1 c 2 a 3
HSET h d 1 d 2
HGETALL h
HSET h
HSET h a
HSET h a 1 b
HSET string a 1
HSET string a 1 b
HMSET h e 5
HMSET h e 6 f 7
HMSET h e 6 f
HMSET h e
HMSET string a 1
HMSET made a 1 b 2
HSETNX h a x
HSETNX h new x
HSETNX made2 new x
HSETNX string a x
HSETNX h a
HGET h a
HGET h nothing
HGET missing a
HGET string a
HGET h
HGET h a b
HMGET h a b nothing c
HMGET missing a b
HMGET string a
HMGET h
HGETALL missing
HGETALL string
HGETALL
HKEYS h
HKEYS missing
HKEYS string
HVALS h
HVALS missing
HVALS string
HLEN h
HLEN missing
HLEN string
HLEN h x
HEXISTS h a
HEXISTS h nothing
HEXISTS missing a
HEXISTS string a
HEXISTS h
HSTRLEN h a
HSTRLEN h nothing
HSTRLEN missing a
HSTRLEN string a
HSTRLEN h
HDEL h a
HDEL h a b nothing b
HDEL missing a
HDEL string a
HDEL h
HDEL made a b
EXISTS made
HINCRBY n a 5
HINCRBY n a -7
HINCRBY n a 0
HINCRBY n a 9223372036854775807
HINCRBY n a 9223372036854775807
HINCRBY n a -9223372036854775808
HINCRBY n a -9223372036854775808
HINCRBY n a -9223372036854775808
HINCRBY n a 9223372036854775808
HINCRBY n a 1.5
HINCRBY n a x
HINCRBY n a +1
HINCRBY n a 01
HINCRBY string a 1
HINCRBY string a x
HINCRBY n a
HSET n text abc space 1\x00 float 1.5 zeros 007 exp 3e2
HINCRBY n text 1
HINCRBY n float 1
HINCRBY n zeros 1
HINCRBY n exp 1
HINCRBYFLOAT n new 0.1
HINCRBYFLOAT n new 0.2
HINCRBYFLOAT n new -0.3
HINCRBYFLOAT n float 1e3
HINCRBYFLOAT n float -1.5
HINCRBYFLOAT n exp 1
HINCRBYFLOAT n zeros 1
HINCRBYFLOAT n big 1e300
HINCRBYFLOAT n third 0.3333333333333333333333
HINCRBYFLOAT n third 100000000000
HINCRBYFLOAT n tiny 1e-10
HINCRBYFLOAT n tiny 1e-18
HINCRBYFLOAT n text 1
HINCRBYFLOAT n text x
HINCRBYFLOAT n a inf
HINCRBYFLOAT n a -inf
HINCRBYFLOAT n a nan
HINCRBYFLOAT n a x
HINCRBYFLOAT n a 1e5000
HINCRBYFLOAT string a 1
HINCRBYFLOAT string a x
HINCRBYFLOAT string a inf
HINCRBYFLOAT n a
HSET inf v inf w -inf
HINCRBYFLOAT inf v 1
HINCRBYFLOAT inf w 1
HRANDFIELD single
HSET single f v
HRANDFIELD single
HRANDFIELD single 1
HRANDFIELD single 5
HRANDFIELD single -3
HRANDFIELD single 0
HRANDFIELD single 1 WITHVALUES
HRANDFIELD single 5 withvalues
HRANDFIELD single -3 WITHVALUES
HRANDFIELD single 0 WITHVALUES
HRANDFIELD h 100
HRANDFIELD h 100 WITHVALUES
HRANDFIELD h 9223372036854775807
HRANDFIELD single 9223372036854775807 WITHVALUES
HRANDFIELD single -9223372036854775807 WITHVALUES
HRANDFIELD single 4611686018427387903 WITHVALUES
HRANDFIELD single 4611686018427387904 WITHVALUES
HRANDFIELD single -9223372036854775808
HRANDFIELD single -9223372036854775808 x
HRANDFIELD single 9223372036854775808
HRANDFIELD single x
HRANDFIELD single 1 VALUES
HRANDFIELD single 1 WITHVALUES x
HRANDFIELD missing
HRANDFIELD missing 1
HRANDFIELD missing -1 WITHVALUES
HRANDFIELD missing x
HRANDFIELD string
HRANDFIELD string 1
HRANDFIELD string x
HRANDFIELD
HSCAN h 0
HSCAN h 0 MATCH a*
HSCAN h 0 MATCH * COUNT 100
HSCAN h 0 COUNT 0
HSCAN h 0 COUNT x
HSCAN h 0 COUNT
HSCAN h 0 TYPE string
HSCAN h x
HSCAN missing 0
HSCAN missing x
HSCAN missing 0 COUNT 0
HSCAN string 0
HSCAN h
"""

NAMES = "HSET HMSET HSETNX HGET HMGET HGETALL HDEL HEXISTS HLEN HKEYS HVALS HINCRBY HINCRBYFLOAT HSTRLEN HRANDFIELD HSCAN"


class Hashes(TwoHeadedTestCase):
    """RESP2."""

    def test_table(self) -> None:
        """Every command with good and bad arguments answers alike."""
        self.do_all(*TABLE.strip().splitlines())
        self.do_pairs("HGETALL", "n")
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
        """Keys, fields and values are bytes of any value, empty ones too."""
        self.do("HSET", BINARY, b"", b"", BINARY, b"\x00" * 100)
        self.do_pairs("HGETALL", BINARY)
        self.do("HGET", BINARY, b"")
        self.do("HSTRLEN", BINARY, BINARY)
        self.do("HINCRBY", BINARY, b"", 1)
        self.do("HINCRBYFLOAT", BINARY, BINARY, 1)
        self.do("HSET", b"", b" 1", b" 1", b"1 ", b"1 ")
        self.do("HINCRBY", b"", b" 1", 1)
        self.do("HINCRBYFLOAT", b"", b" 1", 1)
        self.do("HINCRBYFLOAT", b"", b"1 ", 1)
        self.do("HDEL", BINARY, b"")
        self.same_digest()

    def test_deadline(self) -> None:
        """Changes keep the deadline; a hash that was emptied and made anew has none."""
        self.do("HSET", "h", "a", 1, "b", 2)
        self.do("PEXPIREAT", "h", 4_000_000_000_000)
        for words in ("HSET h c 1", "HINCRBY h c 1", "HINCRBYFLOAT h c 1", "HDEL h a b", "HSETNX h d 1", "HMSET h d 2"):
            self.do(*words.split())
            self.do("PEXPIRETIME", "h")
        self.do("HDEL", "h", "c", "d")
        self.do("HSET", "h", "a", 1)
        self.do("PEXPIRETIME", "h")

    def test_dirty(self) -> None:
        """Each write counts as many changes as in Redis."""
        base: list[int] | None = None
        for line in (
            "HSET h a 1 b 2 a 3|HMSET h a 3|HSETNX h a 4|HSETNX h c 4|HDEL h a zz|HDEL h zz|HINCRBY h b 3|"
            "HINCRBYFLOAT h b 0.5|HINCRBY h b x|HDEL h a b c"
        ).split("|"):
            self.do(*line.split())
            now = [int(one.info("persistence")["rdb_changes_since_last_save"]) for one in (self.pair.real, self.pair.ours)]
            base = base or now
            self.assertEqual(now[0] - base[0], now[1] - base[1], line)

    def test_large_hash(self) -> None:
        """More fields than fit a compact encoding: random fields, scans, removals."""
        for start in range(0, 3000, 500):
            self.do("HSET", "h", *[b"%d" % n for field in range(start, start + 500) for n in (field, field * field)])
        self.do_pairs("HGETALL", "h")
        self.do_sorted("HKEYS", "h")
        self.do_sorted("HVALS", "h")
        for count in (1, 10, 600, 2999, -10, -3000):
            real, ours = self.do_loosely("HRANDFIELD", "h", count)
            self.assertTrue(all(0 <= int(field) < 3000 for field in ours))
            if count > 0:
                self.assertEqual(len(set(ours)), len(set(real)))
            real, ours = self.do_loosely("HRANDFIELD", "h", count, "WITHVALUES")
            self.assertTrue(all(int(a) ** 2 == int(b) for a, b in zip(ours[::2], ours[1::2], strict=True)))
        self.do_sorted("HRANDFIELD", "h", 3000)
        self.do("HDEL", "h", *range(0, 3000, 2))
        self.do("HSET", "h", *range(5000, 5100))
        real, ours = self.do_loosely("HRANDFIELD", "h", -2000)
        self.assertTrue(all(int(field) % 2 or int(field) >= 5000 for field in ours))
        self.assertTrue(any(int(field) >= 5000 for field in ours), "new fields must be found too")
        for connection in (self.pair.real, self.pair.ours):
            found: set[bytes] = set()
            cursor = b"0"
            while True:
                cursor, page = connection.must("HSCAN", "h", cursor, "COUNT", 100)
                found.update(page[::2])
                if cursor == b"0":
                    break
            self.assertEqual(len(found), 1550)
        self.same_digest()


class Hashes3(TwoHeadedTestCase):
    """RESP3."""

    resp = 3

    def test_table(self) -> None:
        """The same table: HGETALL is a map, HRANDFIELD WITHVALUES an array of pairs."""
        self.do_all(*TABLE.strip().splitlines())
        self.same_digest()

    def test_reply_is_a_copy(self) -> None:
        """Replies collected in a transaction show the hash as it was at their time."""
        self.do_all("HSET h a 1", "MULTI", "HGETALL h", "HSET h b 2", "HGETALL h", "HDEL h a b", "EXEC")


KEYS = st.sampled_from([b"a", b"b"])
FIELDS = st.sampled_from([b"f", b"g", b"h", b"i"])
VALUES: Any = st.sampled_from([b"1", b"-7", b"1.5", b"x", b"9223372036854775807", b"1e3", b""])
STEP = st.one_of(
    st.tuples(st.sampled_from([b"HSET", b"HMSET"]), KEYS, FIELDS, VALUES, FIELDS, VALUES),
    st.tuples(st.sampled_from([b"HSET", b"HSETNX"]), KEYS, FIELDS, VALUES),
    st.tuples(st.sampled_from([b"HINCRBY", b"HINCRBYFLOAT"]), KEYS, FIELDS, VALUES),
    st.tuples(st.sampled_from([b"HDEL", b"HMGET"]), KEYS, FIELDS, FIELDS),
    st.tuples(st.sampled_from([b"HGET", b"HEXISTS", b"HSTRLEN"]), KEYS, FIELDS),
    st.tuples(st.sampled_from([b"HLEN", b"HGETALL", b"HKEYS", b"HVALS"]), KEYS),
)


class RandomHashes(TwoHeadedTestCase):
    """Random sequences of commands on two keys."""

    def test_sequences(self) -> None:
        """The replies and in the end the digests are equal."""

        @sequences(60)
        @given(st.lists(STEP, min_size=10, max_size=60))
        def run(steps: list[tuple[bytes, ...]]) -> None:
            self.do("FLUSHALL")
            for step in steps:
                if step[0] in (b"HGETALL", b"HKEYS", b"HVALS"):
                    self.do_sorted(*step)
                else:
                    self.do(*step)
            self.same_digest()

        run()
