"""List commands beside a real server: every command, option and error; RESP3; random sequences."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.support.sequences import sequences
from tests.support.twohead import TwoHeadedTestCase

BINARY = b"\x00\r\n\xff key"
HUGE = 9223372036854775807

#: Commands that need no data before them but what ``LISTS`` makes; each is sent to both servers in order.
TABLE = """
RPUSH new a
RPUSH new b c
LPUSH new z
LPUSH fresh a b c
LRANGE fresh 0 -1
RPUSHX new d e
LPUSHX new y x
RPUSHX missing a
LPUSHX missing a b
EXISTS missing
RPUSH string a
LPUSH string a
RPUSHX string a
LPUSHX string a
RPUSH new
LPUSH
LLEN new
LLEN missing
LLEN string
LLEN
LLEN new x
LRANGE list 0 -1
LRANGE list 2 5
LRANGE list -3 -1
LRANGE list -100 100
LRANGE list 5 2
LRANGE list 100 200
LRANGE list -1 -3
LRANGE list 0 0
LRANGE list -1 -1
LRANGE list 0 -100
LRANGE list 0 9223372036854775807
LRANGE list -9223372036854775808 9223372036854775807
LRANGE list -9223372036854775808 -9223372036854775808
LRANGE list 0 9223372036854775808
LRANGE list 1.0 2
LRANGE list 01 2
LRANGE list x y
LRANGE missing 0 -1
LRANGE missing x -1
LRANGE string 0 -1
LRANGE string x -1
LRANGE list 0
LINDEX list 0
LINDEX list 3
LINDEX list -1
LINDEX list -10
LINDEX list -11
LINDEX list 9
LINDEX list 10
LINDEX list 9223372036854775807
LINDEX list -9223372036854775808
LINDEX list x
LINDEX missing x
LINDEX missing 0
LINDEX string x
LINDEX list
LSET list 0 A
LSET list -1 J
LSET list 5 F
LSET list 10 x
LSET list -11 x
LSET list x x
LSET missing 0 x
LSET missing x x
LSET string 0 x
LSET list 0
LRANGE list 0 -1
LINSERT list BEFORE A first
LINSERT list after J last
LINSERT list aFtEr b c2
LINSERT list BEFORE nothing x
LINSERT list X A x
LINSERT missing X A x
LINSERT missing BEFORE A x
LINSERT string BEFORE A x
LINSERT list BEFORE A
LRANGE list 0 -1
LREM double 1 a
LRANGE double 0 -1
LREM double -1 a
LRANGE double 0 -1
LREM double -2 b
LRANGE double 0 -1
LREM double 2 b
LRANGE double 0 -1
LREM double 0 a
LRANGE double 0 -1
LREM double 100 c
LREM double -100 b
LREM double 0 c
LREM double 0 nothing
LREM double 9223372036854775807 a
LREM double -9223372036854775808 a
LREM missing 0 a
LREM missing x a
LREM string 0 a
LREM double x a
LREM double 0
LRANGE double 0 -1
EXISTS double
LTRIM list 1 -2
LTRIM list 0 -1
LTRIM list -5 100
LRANGE list 0 -1
LTRIM list 1 1
LRANGE list 0 -1
LTRIM list 5 10
EXISTS list
LTRIM missing 0 1
LTRIM missing x 1
LTRIM string 0 1
LTRIM string 0 x
LTRIM list 0
RPUSH trim a b c d e f
LTRIM trim 3 1
EXISTS trim
RPUSH trim a b c d e f
LTRIM trim -9223372036854775808 9223372036854775807
LTRIM trim 9223372036854775807 9223372036854775807
EXISTS trim
LPOP pops
RPOP pops
LPOP pops 2
RPOP pops 2
LPOP pops 0
RPOP pops 0
LPOP pops -1
LPOP pops x
LPOP pops 9223372036854775808
LPOP pops 1 2
RPOP pops 1 2
LPOP missing
LPOP missing 1
LPOP missing 0
LPOP missing -1
RPOP missing x
LPOP string
LPOP string 1
LPOP string 0
LPOP string x
RPOP pops 9223372036854775807
EXISTS pops
LPOP
LMPOP 1 mpop LEFT
LMPOP 1 mpop RIGHT
LMPOP 2 missing mpop left
LMPOP 2 missing mpop RIGHT COUNT 2
LMPOP 1 mpop LEFT count 9223372036854775807
LMPOP 1 mpop LEFT
LMPOP 2 missing string LEFT
LMPOP 2 mpop2 string LEFT
LMPOP 2 string mpop2 LEFT
LMPOP 0 mpop2 LEFT
LMPOP -1 mpop2 LEFT
LMPOP x mpop2 LEFT
LMPOP 9223372036854775808 mpop2 LEFT
LMPOP 9223372036854775807 mpop2 LEFT
LMPOP 2 mpop2 LEFT
LMPOP 2 mpop2 other
LMPOP 1 mpop2 UP
LMPOP 1 mpop2 LEFT COUNT
LMPOP 1 mpop2 LEFT COUNT 0
LMPOP 1 mpop2 LEFT COUNT -1
LMPOP 1 mpop2 LEFT COUNT x
LMPOP 1 mpop2 LEFT COUNT 1 COUNT 1
LMPOP 1 mpop2 LEFT LIMIT 1
LMPOP 1 mpop2
LPOS positions a
LPOS positions nothing
LPOS positions a RANK 2
LPOS positions a RANK -1
LPOS positions a RANK -2
LPOS positions a RANK 5
LPOS positions a RANK -5
LPOS positions a COUNT 0
LPOS positions a COUNT 2
LPOS positions a COUNT 100
LPOS positions a COUNT 2 RANK 2
LPOS positions a RANK -1 COUNT 0
LPOS positions a rank -2 count 2
LPOS positions a COUNT 0 MAXLEN 4
LPOS positions a MAXLEN 4 RANK -1
LPOS positions a MAXLEN 1
LPOS positions c MAXLEN 2
LPOS positions c MAXLEN 3
LPOS positions c MAXLEN 3 COUNT 0
LPOS positions a MAXLEN 0 COUNT 0
LPOS positions a MAXLEN 9223372036854775807 COUNT 9223372036854775807 RANK 1
LPOS positions nothing COUNT 0
LPOS positions nothing COUNT 1
LPOS positions a RANK 9223372036854775807
LPOS positions a RANK -9223372036854775807
LPOS positions a RANK -9223372036854775808
LPOS positions a RANK 0
LPOS positions a RANK x
LPOS positions a COUNT -1
LPOS positions a COUNT x
LPOS positions a MAXLEN -1
LPOS positions a MAXLEN x
LPOS positions a RANK
LPOS positions a RANK 1 COUNT
LPOS positions a LIMIT 1
LPOS positions a COUNT 1 COUNT 2
LPOS missing a
LPOS missing a COUNT 1
LPOS missing a RANK 0
LPOS string a
LPOS string a RANK x
LPOS positions
LMOVE moves moved LEFT RIGHT
LMOVE moves moved RIGHT LEFT
LMOVE moves moved left left
LMOVE moves moved right right
LRANGE moved 0 -1
LMOVE moved moved LEFT RIGHT
LMOVE moved moved RIGHT LEFT
LMOVE moved moved LEFT LEFT
LRANGE moved 0 -1
RPOPLPUSH moves moved
RPOPLPUSH moved moved
LRANGE moved 0 -1
LMOVE missing moved LEFT RIGHT
LMOVE missing string LEFT RIGHT
LMOVE moved string LEFT RIGHT
LMOVE string moved LEFT RIGHT
LMOVE moved moves UP RIGHT
LMOVE moved moves LEFT DOWN
LMOVE missing moves LEFT DOWN
LMOVE moved moves LEFT
RPOPLPUSH missing moved
RPOPLPUSH moved string
RPOPLPUSH string moved
RPOPLPUSH moved
RPUSH single x
LMOVE single single LEFT RIGHT
LMOVE single other LEFT RIGHT
EXISTS single
RPUSH single x
RPOPLPUSH single single
RPOPLPUSH single other
EXISTS single
COMMAND GETKEYS LMPOP 2 a b LEFT
COMMAND GETKEYS LMPOP 2 a LEFT
COMMAND GETKEYS LMPOP 3 a LEFT
COMMAND GETKEYS LMPOP 0 a LEFT
COMMAND GETKEYS LMPOP x a LEFT
COMMAND GETKEYS LMPOP -1 a LEFT
COMMAND GETKEYS BLMPOP 0 0 a LEFT
COMMAND GETKEYS BLMPOP 0 5 a LEFT
COMMAND GETKEYS BLMPOP 0 2 a b LEFT
COMMAND GETKEYS BLPOP a b 0
COMMAND GETKEYS LMOVE a b LEFT RIGHT
"""

NAMES = (
    "LPUSH RPUSH LPUSHX RPUSHX LPOP RPOP LLEN LRANGE LINDEX LSET LINSERT LREM LTRIM LPOS LMOVE RPOPLPUSH "
    "LMPOP BLPOP BRPOP BLMOVE BRPOPLPUSH BLMPOP"
)

LISTS = """
SET string value
RPUSH list a b c d e f g h i j
RPUSH double a b c a b c a b c a b c
RPUSH pops a b c d e f g
RPUSH mpop a b c d e f g
RPUSH mpop2 a b c
RPUSH positions a b c a b c a
RPUSH moves a b c d e f
"""


class Lists(TwoHeadedTestCase):
    """RESP2."""

    def test_table(self) -> None:
        """Every command with good and bad arguments answers alike."""
        self.do_all(*LISTS.strip().splitlines())
        self.do_all(*TABLE.strip().splitlines())
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
        """Keys and elements are bytes of any value, empty ones too."""
        self.do("RPUSH", BINARY, b"", b"\x00", b"\r\n", BINARY)
        self.do("LRANGE", BINARY, 0, -1)
        self.do("LPOS", BINARY, b"\r\n")
        self.do("LREM", BINARY, 0, b"")
        self.do("LINSERT", BINARY, "BEFORE", BINARY, b"\xff" * 300)
        self.do("LMOVE", BINARY, b"", "LEFT", "RIGHT")
        self.do("LPOP", b"", 9)
        self.same_digest()

    def test_deadline(self) -> None:
        """Changes keep the deadline; a list that was emptied and made anew has none."""
        self.do("RPUSH", "l", "a", "b", "c", "d")
        self.do("PEXPIREAT", "l", HUGE // 1_000_000)
        for words in ("LPUSH l x", "LTRIM l 1 1", "LSET l 0 y", "LMOVE l l LEFT RIGHT"):
            self.do(*words.split())
            self.do("PEXPIRETIME", "l")
        self.do("LPOP", "l")
        self.do("RPUSH", "l", "a")
        self.do("PEXPIRETIME", "l")

    def test_dirty(self) -> None:
        """Each write counts as many changes as in Redis."""
        lines = """RPUSH l a b c d e f a|LPUSHX l x y|RPUSHX no x|LTRIM l 0 -2|LTRIM l 0 -1|LREM l 0 a|LREM l 0 zz|LPOP l 2
            RPOP l|LMPOP 1 l LEFT COUNT 2|LINSERT l BEFORE e z|LSET l 0 q|LMOVE l m LEFT RIGHT|RPOPLPUSH l l|BLPOP l 0
            RPUSH l a b c|BRPOP l 0|BLMOVE l m LEFT RIGHT 0|BRPOPLPUSH l m 0|BLMPOP 0 1 l LEFT COUNT 3|RPUSH l a b c
            LPOP l 5|RPUSH l a b c|LTRIM l 5 6"""
        for line in lines.replace("\n", "|").split("|"):
            self.do(*line.split())
            changes = [one.info("persistence")["rdb_changes_since_last_save"] for one in (self.pair.real, self.pair.ours)]
            first = self.base = getattr(self, "base", [int(each) for each in changes])
            self.assertEqual(int(changes[0]) - first[0], int(changes[1]) - first[1], line)

    def test_long_list(self) -> None:
        """Ranges, positions and changes anywhere in a list of 20,000 elements."""
        size = 20_000
        for start in range(0, size, 1000):
            self.do("RPUSH", "l", *[b"%d" % (number % 777) for number in range(start, start + 1000)])
        for start, stop in ((0, 600), (9_000, 9_600), (15_000, 15_010), (4_096, 4_100), (-600, -1), (-9000, -8000)):
            self.do("LRANGE", "l", start, stop)
        self.do("LRANGE", "l", 0, -1)
        for index in (0, 63, 64, 9_999, 10_000, 19_999, -64, -10_000):
            self.do("LINDEX", "l", index)
            self.do("LSET", "l", index, b"x%d" % index)
        self.do("LPOS", "l", "776", "RANK", 12)
        self.do("LPOS", "l", "776", "RANK", -12, "COUNT", 3)
        self.do("LPOS", "l", "776", "COUNT", 0, "MAXLEN", 15_000)
        self.do("LINSERT", "l", "AFTER", "x9999", "middle")
        self.do("LREM", "l", 3, "5")
        self.do("LREM", "l", -3, "5")
        self.do("LREM", "l", 0, "5")
        self.do("LTRIM", "l", 100, -101)
        self.do("LPOP", "l", 3000)
        self.do("RPOP", "l", 3000)
        self.same_digest()
        self.do("LTRIM", "l", 6_000, 6_100)
        self.do("LRANGE", "l", 0, -1)
        self.do("RPOP", "l", 1_000)
        self.same_digest()


class Lists3(TwoHeadedTestCase):
    """RESP3."""

    resp = 3

    def test_table(self) -> None:
        """The same table: nulls are of one kind now."""
        self.do_all(*LISTS.strip().splitlines())
        self.do_all(*TABLE.strip().splitlines())
        self.same_digest()


KEYS = st.sampled_from([b"a", b"b", b"c"])
ELEMENTS = st.sampled_from([b"1", b"2", b"3", b"x", b"yy"])
INDEXES = st.integers(-8, 8)
SIDES = st.sampled_from([b"LEFT", b"RIGHT"])
STEP = st.one_of(
    st.tuples(st.sampled_from([b"RPUSH", b"LPUSH", b"RPUSHX", b"LPUSHX"]), KEYS, ELEMENTS, ELEMENTS, ELEMENTS),
    st.tuples(st.sampled_from([b"LPOP", b"RPOP"]), KEYS),
    st.tuples(st.sampled_from([b"LPOP", b"RPOP"]), KEYS, st.integers(0, 4)),
    st.tuples(st.sampled_from([b"LRANGE", b"LTRIM"]), KEYS, INDEXES, INDEXES),
    st.tuples(st.just(b"LSET"), KEYS, INDEXES, ELEMENTS),
    st.tuples(st.just(b"LINDEX"), KEYS, INDEXES),
    st.tuples(st.just(b"LREM"), KEYS, st.integers(-3, 3), ELEMENTS),
    st.tuples(st.just(b"LINSERT"), KEYS, st.sampled_from([b"BEFORE", b"AFTER"]), ELEMENTS, ELEMENTS),
    st.tuples(st.just(b"LMOVE"), KEYS, KEYS, SIDES, SIDES),
    st.tuples(st.just(b"RPOPLPUSH"), KEYS, KEYS),
    st.tuples(st.just(b"LMPOP"), st.just(2), KEYS, KEYS, SIDES, st.just(b"COUNT"), st.integers(1, 3)),
    st.tuples(
        st.just(b"LPOS"),
        KEYS,
        ELEMENTS,
        st.just(b"RANK"),
        st.integers(1, 3) | st.integers(-3, -1),
        st.just(b"COUNT"),
        st.integers(0, 3),
        st.just(b"MAXLEN"),
        st.integers(0, 6),
    ),
)


class RandomLists(TwoHeadedTestCase):
    """Random sequences of commands on three keys."""

    def test_sequences(self) -> None:
        """The replies and in the end the digests are equal."""

        @sequences(60)
        @given(st.lists(STEP, min_size=10, max_size=60))
        def run(steps: list[tuple[bytes | int, ...]]) -> None:
            self.do("FLUSHALL")
            for step in steps:
                self.do(*step)
            self.same_digest()

        run()
