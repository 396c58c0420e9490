"""HyperLogLogs beside a real redis-server: replies, and the strings byte for byte."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from tests.support.connection import Argument
from tests.support.sequences import sequences
from tests.support.twohead import TwoHeadedTestCase

HEADER = b"HYLL\x01\0\0\0" + bytes(8)
#: Strings that begin like a HyperLogLog: form, length, runs.
ODD = [
    b"HYLL",
    b"HYLL\x01\0\0\0" + bytes(7),
    b"hyll\x01\0\0\0" + bytes(8) + b"\x7f\xff",
    b"HYLL\x02\0\0\0" + bytes(8) + b"\x7f\xff",
    b"HYLL\0\0\0\0" + bytes(8),
    b"HYLL\0\0\0\0" + bytes(12289 + 8),
    HEADER,
    HEADER + b"\x7f\xfe",
    HEADER + b"\x7f\xff\x00",
    HEADER + b"\x7f\xff\x80",
    HEADER + b"\x40\x00" * 16384,
    HEADER + b"\x00" * 20000,
    HEADER + b"\xff" * 4096,
    HEADER[:5] + b"abc" + HEADER[8:] + b"\x7f\xff",
    HEADER[:8] + b"\x2a\0\0\0\0\0\0\0" + b"\x7f\xff",
    HEADER[:8] + b"\xff" * 8 + b"\x7f\xff",
    HEADER[:8] + b"\xff" * 7 + b"\x7f" + b"\x7f\xff",
    b"HYLL\0\0\0\0" + bytes(8) + b"\xff" * 12288,
    b"HYLL\0\0\0\0" + bytes(8) + bytes(range(256)) * 48,
]


class HyperLogLogs(TwoHeadedTestCase):
    """Good calls, wrong types, wrong arity, damaged strings, limits."""

    def limit(self, size: int) -> None:
        """Set hll-sparse-max-bytes on both until the end of the test."""
        self.do("CONFIG", "SET", "hll-sparse-max-bytes", size)
        for one in (self.pair.real, self.pair.ours):
            self.addCleanup(one.must, "CONFIG", "SET", "hll-sparse-max-bytes", 3000)

    def test_table(self) -> None:
        self.do_all(
            "PFADD", "PFADD h", "GET h", "PFADD h", "PFCOUNT h", "GET h", "PFADD h a b c", "GET h", "PFADD h a",
            "PFCOUNT h", "GET h", "PFADD h d d d", "GET h", "PFCOUNT h missing h", "GET h", "PFCOUNT",
            "PFCOUNT missing", "PFCOUNT missing none", "EXISTS missing", "PFADD h2 a x", "PFCOUNT h h2", "PFMERGE",
            "PFMERGE m", "GET m", "PFMERGE m h h2", "GET m", "PFCOUNT m", "GET m", "PFMERGE m h", "GET m",
            "PFMERGE m missing", "PFMERGE h2", "RPUSH l a", "SET s x", "SET n 12345678901234567", "PFADD l",
            "PFADD l a", "PFADD s a", "PFADD n a", "PFCOUNT l", "PFCOUNT s", "PFCOUNT h l", "PFCOUNT h s",
            "PFCOUNT missing s", "PFMERGE h l", "PFMERGE l h", "PFMERGE s h", "PFMERGE h s", "PFMERGE missing s",
            "EXISTS missing", "SET t x EX 100", "PFADD e 1", "EXPIRE e 100", "PFADD e 2", "TTL e", "PFCOUNT e",
            "TTL e", "PFMERGE e h", "TTL e", "PEXPIREAT e 1", "PFCOUNT e", "PFADD gone 1", "PEXPIREAT gone 1",
            "PFADD gone 2", "GET gone", "PFDEBUG", "PFDEBUG ENCODING", "PFDEBUG ENCODING missing",
            "PFDEBUG FOO missing", "PFDEBUG FOO h", "PFDEBUG FOO s", "PFDEBUG ENCODING l", "PFDEBUG ENCODING h",
            "PFDEBUG DECODE h", "PFDEBUG decode m", "PFDEBUG ENCODING h x", "PFDEBUG TODENSE h", "PFDEBUG TODENSE h",
            "PFDEBUG DECODE h", "PFDEBUG ENCODING h", "GET h", "PFCOUNT h", "PFADD h z", "PFCOUNT h", "GET h",
            "PFDEBUG GETREG m", "PFDEBUG ENCODING m", "PFSELFTEST", "PFSELFTEST x", "STRLEN h", "OBJECT ENCODING h",
        )  # fmt: skip
        self.do("PFADD", "h", "", b"\0", b"\xff" * 7, b"x" * 5000)
        self.do("GET", "h")
        self.same_digest()

    def test_damaged(self) -> None:
        for number, value in enumerate(ODD):
            for command in (
                ("PFCOUNT", "h"), ("PFCOUNT", "h", "none"), ("PFADD", "h"), ("PFMERGE", "m", "h"), ("PFMERGE", "h"),
                ("PFDEBUG", "ENCODING", "h"), ("PFDEBUG", "TODENSE", "h"), ("PFDEBUG", "GETREG", "h"),
            ):  # fmt: skip
                self.do("SET", "h", value)
                self.do("DEL", "m")
                self.do(*command)
                self.do("GET", "h")
                self.do("GET", "m")
            self.do("SET", "h", value)
            if number not in (6, 7, 8, 9, 10, 11):  # what a damaged run list becomes is of no interest
                self.do("PFADD", "h", "a", "b")
                self.do("PFCOUNT", "h")
                self.do("GET", "h")
        self.same_digest()

    def test_damaged_bytes(self) -> None:
        """Any byte changed: an answer, whatever it is, and the server lives on."""
        ours = self.pair.ours
        ours.must("PFADD", "h", *range(30))
        good = ours.must("GET", "h")
        for at in range(len(good)):
            for flip in (1, 0x40, 0x80, 0xFF):
                ours.must("SET", "h", good[:at] + bytes([good[at] ^ flip]) + good[at + 1 :])
                for command in (("PFADD", "h", "new"), ("PFCOUNT", "h"), ("PFMERGE", "h", "h"), ("PFDEBUG", "DECODE", "h")):
                    ours.call(*command)
        self.assertEqual(ours.must("PING"), b"PONG")

    def test_one_by_one(self) -> None:
        """The bytes after each added element, up to the dense form."""
        chance = random.Random(3)
        for number in range(1200):
            self.do("PFADD", "h", chance.randrange(3000))
            if number % 3 == 0:
                self.do("GET", "h")
            if number % 100 == 0:
                self.do("PFCOUNT", "h")
        self.do("PFDEBUG", "ENCODING", "h")
        self.same_digest()

    def test_many_at_once(self) -> None:
        chance = random.Random(4)
        for size in (1, 3, 4, 5, 30, 200, 500, 1000, 3000, 20000):
            for _ in range(4):
                self.do("PFADD", f"h{size}", *[chance.randrange(10**9) for _ in range(size)])
                self.do("GET", f"h{size}")
                self.do("PFCOUNT", f"h{size}")
        self.do("PFCOUNT", *[f"h{size}" for size in (1, 3, 4, 5, 30, 200, 500, 1000, 3000, 20000)])
        for size in (3, 30, 500, 3000):
            self.do("PFMERGE", "m", f"h{size}", "h4")
            self.do("GET", "m")
            self.do("PFCOUNT", "m")
        self.do("PFMERGE", "h5", "h20000", "h30")
        self.do("GET", "h5")
        self.do("PFMERGE", "h3000", "h5", "h30")
        self.same_digest()

    def test_estimates(self) -> None:
        """Equal to the last unit, from one element to many."""
        for start in range(0, 45_000, 1500):
            self.do("PFADD", "h", *range(start, start + 1500))
            self.do("PFCOUNT", "h")
        self.do("SET", "full", b"HYLL\0\0\0\0" + bytes(7) + b"\x80" + b"\xf3\x3c\xcf" * 4096)
        self.do("PFCOUNT", "full")
        self.same_digest()

    def test_limits(self) -> None:
        """hll-sparse-max-bytes in all sizes."""
        chance = random.Random(5)
        for size in (0, 15, 18, 20, 21, 22, 25, 40, 100, 15000, 20000):
            self.limit(size)
            self.do("DEL", "h", "k")
            for number in range(30):
                self.do("PFADD", "h", chance.randrange(10**9))
                self.do("GET", "h")
                if number % 10 == 0:
                    self.do("PFADD", "k", *[chance.randrange(10**9) for _ in range(number * 30)])
                    self.do("PFDEBUG", "ENCODING", "k")
                    self.do("PFMERGE", "m", "h", "k")
                    self.do("GET", "m")
        self.same_digest()

    def test_large_registers(self) -> None:
        """A value that the sparse form cannot hold.  The runs before and behind are chosen by hand."""
        self.do("SET", "top", HEADER + b"\xff\x7f\xfb")
        self.do("SET", "dense", b"HYLL\0\0\0\0" + bytes(8) + b"\x00" * 9216 + b"\x3f" + b"\x00" * 3071)
        self.do_all("PFCOUNT top", "PFCOUNT dense", "PFCOUNT top dense", "PFMERGE top dense", "GET top", "PFCOUNT top")
        self.same_digest()

    def test_joining(self) -> None:
        """Neighbouring runs of equal value, made by hand from values of a few registers."""
        chance = random.Random(6)
        for _ in range(150):
            runs, left = [], 16384
            while left > 5000:
                if chance.random() < 0.1:
                    span = chance.randrange(2, 700)
                    runs.append(bytes([64 | span - 1 >> 8, span - 1 & 255]) if span > 64 else bytes([span - 1]))
                else:
                    span = chance.randrange(1, 5)
                    runs.append(bytes([128 | chance.randrange(3) << 2 | span - 1]))
                left -= span
            runs.append(bytes([64 | left - 1 >> 8, left - 1 & 255]))
            self.do("SET", "h", HEADER + b"".join(runs))
            self.do("PFADD", "h", *[chance.randrange(10**6) for _ in range(chance.choice((1, 2, 3, 10, 80)))])
            self.do("GET", "h")
        self.same_digest()

    def test_changes(self) -> None:
        """Each write counts as many changes as in Redis."""
        base: list[int] | None = None
        for line in (
            "SET s x|PFADD h a b c|PFADD h a|PFADD h|PFADD new|PFADD h d e|PFCOUNT h|PFCOUNT h|PFCOUNT h new|PFMERGE m h|"
            "PFMERGE m h|PFMERGE m|PFDEBUG ENCODING m|PFDEBUG GETREG m|PFDEBUG GETREG m|PFDEBUG TODENSE h|PFDEBUG TODENSE h|"
            "PFADD h d|PFADD h x y z"
        ).split("|"):
            self.do(*line.split())
            now = [int(one.info("persistence")["rdb_changes_since_last_save"]) for one in (self.pair.real, self.pair.ours)]
            base = base or now
            self.assertEqual(now[0] - base[0], now[1] - base[1], line)

    def test_exchange(self) -> None:
        """A string of the one is the other's: added to on both sides in turn."""
        real, ours = self.pair.real, self.pair.ours
        one, other = real, ours
        for round in range(8):
            elements = [f"{round}:{number}" for number in range(10 << round)]
            one.must("PFADD", "h", *elements)
            count = one.must("PFCOUNT", "h")
            other.must("SET", "h", one.must("GET", "h"))
            other.must("PFADD", "h")
            other.must("SETRANGE", "h", 15, b"\x80")  # forget what is cached
            self.assertEqual(other.must("PFCOUNT", "h"), count)
            one, other = other, one

    @sequences(100)
    @given(st.data())
    def test_random_sequences(self, data: st.DataObject) -> None:
        self.do("FLUSHALL")
        key = st.sampled_from(["a", "b", "c"])
        element = st.one_of(st.integers(0, 50).map(str), st.binary(max_size=20))
        command: st.SearchStrategy[tuple[Argument, ...]] = st.one_of(
            st.tuples(key, st.lists(element, max_size=8)).map(lambda pair: ("PFADD", pair[0], *pair[1])),
            st.tuples(key, st.integers(0, 10**6), st.integers(0, 400)).map(
                lambda row: ("PFADD", row[0], *range(row[1], row[1] + row[2]))
            ),
            st.tuples(st.sampled_from(["PFCOUNT", "GET", "DEL", "STRLEN", "PFMERGE"]), key),
            st.tuples(st.sampled_from(["PFCOUNT", "PFMERGE"]), key, key, key),
            st.tuples(st.just("PFDEBUG"), st.sampled_from(["ENCODING", "DECODE", "TODENSE"]), key),
        )
        for args in data.draw(st.lists(command, min_size=1, max_size=25)):
            self.do(*args)
        self.same_digest()
