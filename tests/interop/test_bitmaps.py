"""Bits and bit fields beside a real redis-server."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from tests.support.connection import Argument
from tests.support.sequences import sequences
from tests.support.twohead import TwoHeadedTestCase

BIG = str(2**63 - 1)
SMALL = str(-(2**63))
ODD = ("", "x", "1.5", "+1", "01", "-0", " 1", "-1", BIG, SMALL, "9223372036854775808", "4294967296")


class Bitmaps(TwoHeadedTestCase):
    """Good calls, each option, wrong types, wrong arity, missing keys, limits."""

    def changes(self) -> list[int]:
        """The counters of changes, of the real server and of ours."""
        return [int(one.info("persistence")["rdb_changes_since_last_save"]) for one in (self.pair.real, self.pair.ours)]

    def test_bits(self) -> None:
        self.do_all(
            "SETBIT", "SETBIT k", "SETBIT k 1", "SETBIT k 1 1 1", "GETBIT", "GETBIT k", "GETBIT k 1 2", "SETBIT k 7 1",
            "GET k", "SETBIT k 7 1", "SETBIT k 7 0", "SETBIT k 0 1", "GET k", "GETBIT k 0", "GETBIT k 1", "GETBIT k 8",
            "GETBIT missing 0", "GETBIT k 4294967295", "SETBIT k 23 0", "STRLEN k", "SETBIT new 16 0", "GET new",
            "SETBIT k 100000 1", "BITCOUNT k", "STRLEN k", "SETBIT k 100001 1", "SETBIT k 90000 1", "RPUSH l a",
            "SETBIT l 0 1", "SETBIT l x 2", "SETBIT l 0 2", "GETBIT l 0", "GETBIT l x", "SET n 12345", "SETBIT n 6 1",
            "GET n", "GETBIT n 3", "SET e v EX 100", "SETBIT e 5 1", "TTL e", "SET e v PXAT 1", "SETBIT e 5 1",
            "GET e", "TTL e",
        )  # fmt: skip
        for text in ODD:
            self.do("SETBIT", "k", text, "1")
            self.do("SETBIT", "j", "0", text)
            self.do("GETBIT", "k", text)
        self.do("SETBIT", b"\x00\xff\r\n", 3, 1)
        self.same_digest()

    def test_every_bit(self) -> None:
        for offset in (*range(20), 15, 4, 9):
            self.do("SETBIT", "k", offset, (offset * 7) & 1)
            self.do("GET", "k")
        for offset in range(26):
            self.do("GETBIT", "k", offset)
        self.same_digest()

    def test_count(self) -> None:
        self.do_all(
            "BITCOUNT", "BITCOUNT missing", "BITCOUNT missing 0", "BITCOUNT missing x y", "BITCOUNT missing 0 1 FOO",
            "SET k foobar", "BITCOUNT k", "BITCOUNT k 0", "BITCOUNT k 0 0", "BITCOUNT k 1 1", "BITCOUNT k 0 -5",
            "BITCOUNT k 1 1 BYTE", "BITCOUNT k 5 30 BIT", "BITCOUNT k 5 30 bit", "BITCOUNT k 5 30 FOO",
            "BITCOUNT k x 30 FOO", "BITCOUNT k 1 x FOO", "BITCOUNT k 0 1 BIT x", "BITCOUNT k -1 -2", "BITCOUNT k 3 1",
            f"BITCOUNT k {SMALL} {BIG}", f"BITCOUNT k {SMALL} {BIG} BIT", f"BITCOUNT k {SMALL} {SMALL}",
            f"BITCOUNT k {BIG} {BIG}", "RPUSH l a", "BITCOUNT l", "BITCOUNT l x", "SET n 123456", "BITCOUNT n",
        )  # fmt: skip
        self.do("SET", "e", "")
        self.do_all("BITCOUNT e", "BITCOUNT e 0 -1", "BITCOUNT e 0 0 BIT", "BITCOUNT e -1 -1")
        self.do("SET", "b", b"\xa5\x00\xff\x81\x7e")
        for first in range(-43, 44, 3):
            for last in range(-43, 44):
                self.do("BITCOUNT", "b", first, last, "BIT")
                if abs(first) < 8 and abs(last) < 8:
                    self.do("BITCOUNT", "b", first, last)

    def test_find(self) -> None:
        self.do_all(
            "BITPOS", "BITPOS k", "BITPOS missing 0", "BITPOS missing 1", "BITPOS missing 2", "BITPOS missing x",
            "BITPOS missing 0 x", "BITPOS missing 0 0 x FOO", "BITPOS missing 1 0 1 BIT BIT", "SET k foobar",
            "BITPOS k 2", "BITPOS k -1", "BITPOS k x", "BITPOS k 1 x", "BITPOS k 1 0 x", "BITPOS k 1 0 1 FOO",
            "BITPOS k 1 0 x FOO", "BITPOS k 1 x 0 FOO", "BITPOS k 1 0 1 BIT x", "BITPOS k 1 0 BIT", "RPUSH l a",
            "BITPOS l 0", "BITPOS l 2", "BITPOS l 0 x", f"BITPOS k 1 {SMALL} {BIG}", f"BITPOS k 0 {SMALL} {BIG} BIT",
            f"BITPOS k 0 {BIG}", f"BITPOS k 0 {BIG} {BIG}", f"BITPOS k 0 {SMALL} {SMALL}",
        )  # fmt: skip
        for value in (
            b"",
            b"\xff\xff\xff",
            b"\0\0\0",
            b"\xff\xf0\x00",
            b"\x00\xff\xf0",
            b"\x00\x00\x01",
            b"\xff\xff\xfe\xff",
        ):
            self.do("SET", "b", value)
            for bit in (0, 1):
                self.do("BITPOS", "b", bit)
                for first in range(-5, 6):
                    self.do("BITPOS", "b", bit, first)
                    for last in range(-5, 6):
                        self.do("BITPOS", "b", bit, first, last)
                for first in range(-26, 27, 3):
                    for last in range(-26, 27, 2):
                        self.do("BITPOS", "b", bit, first, last, "BIT")

    def test_long_strings(self) -> None:
        """Strings above the sizes where the work is done in slices."""
        size = 300_000
        for value in (bytes(size), b"\xff" * size, random.Random(1).randbytes(size)):
            self.do("SET", "k", value)
            for at in (0, 65535 * 8 + 3, 65536 * 8, 131072 * 8 + 7, size * 8 - 1, size * 8 + 100):
                self.do("SETBIT", "k", at, 1 - value[0] % 2)
                self.do("BITFIELD", "k", "GET", "i57", at, "INCRBY", "u33", at + 5, 12345678901, "GET", "u9", "0")
                for bit in (0, 1):
                    self.do("BITPOS", "k", bit)
                    self.do("BITPOS", "k", bit, 1)
                    self.do("BITPOS", "k", bit, 65535)
                    self.do("BITPOS", "k", bit, at + 1, -1, "BIT")
                    self.do("BITPOS", "k", bit, 0, at, "BIT")
                self.do("BITCOUNT", "k")
                self.do("BITCOUNT", "k", 3, at)
                self.do("BITCOUNT", "k", 3, at, "BIT")
            self.do("BITOP", "XOR", "x", "k", "x")
            self.do("BITOP", "NOT", "n", "x")
            self.do("BITOP", "AND", "a", "n", "k", "x")
            self.do("BITOP", "OR", "o", "n", "k", "missing")
        self.same_digest()

    def test_combine(self) -> None:
        self.do_all(
            "BITOP", "BITOP AND", "BITOP AND d", "BITOP FOO d k", "BITOP NOT d k l", "BITOP not d missing",
            "RPUSH l a", "BITOP AND d l", "BITOP AND d missing l", "BITOP NOT d l", "BITOP FOO d l", "SET a foobar",
            "SET b abc EX 100", "BITOP AND d a b", "GET d", "BITOP OR d a b", "GET d", "BITOP xor d a b", "GET d",
            "BITOP NOT d a", "GET d", "BITOP AND d a", "GET d", "BITOP AND d a missing", "GET d", "BITOP OR l a",
            "TYPE l", "BITOP OR b b", "TTL b", "BITOP XOR a a a", "GET a", "BITOP AND d missing", "EXISTS d",
            "BITOP AND d missing", "SET n 12", "SET m 345", "BITOP OR d n m", "GET d",
        )  # fmt: skip
        self.do("SET", "e", "")
        self.do_all("BITOP NOT m e", "EXISTS m", "BITOP OR e e e", "EXISTS e")
        chance = random.Random(2)
        for name in "pqrs":
            self.do("SET", name, chance.randbytes(chance.randrange(1, 40)))
        for operation in ("AND", "OR", "XOR"):
            for count in range(1, 8):
                self.do("BITOP", operation, "d", *[chance.choice("pqrst") for _ in range(count)])
                self.do("GET", "d")
        self.same_digest()

    def test_fields(self) -> None:
        self.do_all(
            "BITFIELD", "BITFIELD k", "BITFIELD_RO", "BITFIELD_RO k", "BITFIELD k SET i8 0 10 INCRBY u8 4 1 GET i4 0",
            "GET k", "BITFIELD k GET", "BITFIELD k GET u8", "BITFIELD k SET u8 0", "BITFIELD k INCRBY u8 0",
            "BITFIELD k OVERFLOW", "BITFIELD k OVERFLOW FOO", "BITFIELD k FOO u8 0 1", "BITFIELD k GET u0 0",
            "BITFIELD k GET u64 0", "BITFIELD k GET i64 0", "BITFIELD k GET i65 0", "BITFIELD k GET u63 3",
            "BITFIELD k GET 8 0", "BITFIELD k GET U8 0", "BITFIELD k GET I8 0", "BITFIELD k GET u 0",
            "BITFIELD k GET u-1 0", "BITFIELD k GET u8x 0", "BITFIELD k GET u8 x", "BITFIELD k GET u8 -1",
            "BITFIELD k GET u8 #", "BITFIELD k GET u8 #-1", "BITFIELD k GET u8 #x", "BITFIELD k GET u8 #1",
            "BITFIELD k GET u9 #1", f"BITFIELD k GET u8 #{BIG}", f"BITFIELD k GET u16 #{BIG}",
            "BITFIELD k GET u4 #4611686018427387904", f"BITFIELD k GET u8 {BIG}", "BITFIELD k GET u8 4294967295",
            "BITFIELD k GET u8 4294967296", "BITFIELD k SET u8 0 x", "BITFIELD k INCRBY u8 0 x",
            "BITFIELD k SET u8 0 1 GET u8 x", "GET k", "BITFIELD k SET u8 0 1 FOO", "GET k",
            f"BITFIELD k SET u8 0 {BIG}9", "bitfield k get u8 0 overflow sat set u8 0 300 get u8 0",
            "BITFIELD k GET u8 100 SET u8 8 7 GET u8 8", "STRLEN k", "BITFIELD new GET u8 0", "EXISTS new",
            "BITFIELD new OVERFLOW SAT", "BITFIELD new SET u8 100 0", "STRLEN new", "BITFIELD new INCRBY u3 110 0",
            "STRLEN new", "BITFIELD new SET i64 160 -1 GET u8 800", "STRLEN new", "GET new", "SET t 0 EX 100",
            "BITFIELD t SET u8 0 65", "GET t", "TTL t", "RPUSH l a", "BITFIELD l", "BITFIELD l GET u8 0",
            "BITFIELD l SET u8 0 1", "BITFIELD l OVERFLOW SAT", "BITFIELD l GET u8 x", "BITFIELD l FOO",
            "BITFIELD_RO k GET u8 0", "BITFIELD_RO k GET u8 0 GET i3 #3 get u8 0", "BITFIELD_RO k SET u8 0 1",
            "BITFIELD_RO k SET u8 0 x", "BITFIELD_RO k SET u8 x 1", "BITFIELD_RO k SET u99 0 1",
            "BITFIELD_RO k SET u8", "BITFIELD_RO k GET u8 0 INCRBY u8 0 1", "BITFIELD_RO k OVERFLOW SAT",
            "BITFIELD_RO l GET u8 0", "BITFIELD_RO missing GET u8 0", "BITFIELD_RO k SET u8 0 1 GET u8 x",
            "BITFIELD_RO l SET u8 0 1",
        )  # fmt: skip
        self.same_digest()

    def test_overflow(self) -> None:
        for kind in ("u1", "i1", "u2", "i2", "u8", "i8", "u63", "i63", "i64"):
            bits = int(kind[1:])
            edges = {0, 1, -1, 2, 100, -100, 2**63 - 1, -(2**63), 2**62, -(2**62), 2**bits - 1, 2**bits, -(2 ** (bits - 1))}
            edges |= {2 ** (bits - 1) - 1, 2 ** (bits - 1), -(2 ** (bits - 1)) - 1, 127 - 2**63, 128 - 2**63}
            numbers = sorted(number for number in edges if -(2**63) <= number < 2**63)
            for overflow in ("WRAP", "SAT", "FAIL"):
                for first in numbers:
                    self.do("BITFIELD", "k", "OVERFLOW", overflow, "SET", kind, 3, first, "GET", kind, 3)
                    ways = [part for step in numbers for part in ("INCRBY", kind, 3, step)]
                    self.do("BITFIELD", "k", "OVERFLOW", overflow, *ways, "GET", "u8", 0)
        self.same_digest()

    def test_failing_fields(self) -> None:
        """A string that is too short grows although all fields fail."""
        self.do_all(
            "BITFIELD n OVERFLOW FAIL INCRBY u8 0 256", "STRLEN n",
            "BITFIELD n OVERFLOW FAIL INCRBY u8 80 256 SET u8 88 -1", "STRLEN n",
            "BITFIELD n OVERFLOW FAIL SET u8 0 300 OVERFLOW WRAP SET u8 0 300", "GET n",
            "BITFIELD n OVERFLOW FAIL SET u8 400 300 GET u8 400", "STRLEN n",
        )  # fmt: skip
        self.same_digest()

    def test_changes(self) -> None:
        """Each write counts as many changes as in Redis."""
        base = self.changes()
        for line in (
            "SETBIT k 0 0|SETBIT k 0 0|SETBIT k 0 1|SETBIT k 0 1|SETBIT k 9 0|BITFIELD k SET u8 0 1|BITFIELD k SET u8 0 1|"
            "BITFIELD k SET u8 0 2 SET u8 8 9 INCRBY u8 0 0|BITFIELD k SET u8 80 0 INCRBY u8 88 0 SET u8 0 2|"
            "BITFIELD k GET u8 0 INCRBY u8 0 0|BITFIELD k OVERFLOW FAIL SET u8 0 999 SET u8 0 3|BITOP NOT d k|"
            "BITOP AND d none|BITOP AND d none|BITOP OR k k"
        ).split("|"):
            self.do(*line.split())
            now = self.changes()
            self.assertEqual(now[0] - base[0], now[1] - base[1], line)
        self.same_digest()

    def test_resp3(self) -> None:
        pair = self.open_pair(resp=3)
        for line in ("BITFIELD k OVERFLOW FAIL SET u8 0 256 SET u8 0 1 GET u8 0", "BITCOUNT k", "BITPOS k 1", "GETBIT m 1"):
            pair.do(*line.split())

    @sequences(150)
    @given(st.data())
    def test_random_sequences(self, data: st.DataObject) -> None:
        self.do("FLUSHALL")
        key = st.sampled_from(["a", "b", "c"])
        bit = st.integers(0, 1)
        offset = st.one_of(st.integers(0, 70), st.integers(0, 9).map(lambda at: f"#{at}"))
        kind = st.one_of(st.integers(1, 64).map(lambda bits: f"i{bits}"), st.integers(1, 63).map(lambda bits: f"u{bits}"))
        number = st.one_of(st.integers(-300, 300), st.integers(-(2**63), 2**63 - 1))
        index = st.integers(-80, 80)
        field = st.one_of(
            st.tuples(st.just("GET"), kind, offset),
            st.tuples(st.sampled_from(["SET", "INCRBY"]), kind, offset, number),
            st.tuples(st.just("OVERFLOW"), st.sampled_from(["WRAP", "SAT", "FAIL"])),
        )
        command: st.SearchStrategy[tuple[Argument, ...]] = st.one_of(
            st.tuples(st.just("SETBIT"), key, st.integers(0, 100), bit),
            st.tuples(st.just("SET"), key, st.binary(max_size=12)),
            st.tuples(st.just("GETBIT"), key, st.integers(0, 100)),
            st.tuples(st.just("BITCOUNT"), key, index, index, st.sampled_from(["BIT", "BYTE"])),
            st.tuples(st.just("BITPOS"), key, bit, index, index, st.sampled_from(["BIT", "BYTE"])),
            st.tuples(st.just("BITPOS"), key, bit, index),
            st.tuples(st.just("BITOP"), st.sampled_from(["AND", "OR", "XOR"]), key, key, key),
            st.tuples(st.just("BITOP"), st.just("NOT"), key, key),
            st.tuples(st.sampled_from(["GET", "BITCOUNT", "DEL"]), key),
            st.tuples(key, st.lists(field, min_size=1, max_size=6)).map(
                lambda pair: ("BITFIELD", pair[0], *[word for part in pair[1] for word in part])
            ),
        )
        for args in data.draw(st.lists(command, min_size=1, max_size=30)):
            self.do(*args)
        self.same_digest()
