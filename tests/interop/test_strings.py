"""The string commands beside a real redis-server."""

from __future__ import annotations

import random
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from tests.support.connection import Argument
from tests.support.sequences import sequences
from tests.support.twohead import TwoHeadedTestCase

BIG = str(2**63 - 1)
SMALL = str(-(2**63))
WORDS = [b"", b"0", b"-1", b"1.5", b"abc", b"\x00\xff\r\n", b"x" * 45, BIG.encode(), SMALL.encode(), b"01", b" 1", b"1 "]


class Strings(TwoHeadedTestCase):
    """Every command: good calls, each option, wrong types, wrong arity, missing keys, limits."""

    def test_set_and_get(self) -> None:
        for value in WORDS:
            self.do("SET", b"k\x00\xff", value)
            self.do("GET", b"k\x00\xff")
            self.do("STRLEN", b"k\x00\xff")
            self.do("OBJECT", "ENCODING", b"k\x00\xff")
        self.do_all("GET missing", "SET", "SET k", "GET", "GET a b", "RPUSH l a", "GET l", "SET l string", "GET l")
        self.same_digest()

    def test_set_conditions(self) -> None:
        self.do_all(
            "SET k v NX", "SET k w NX", "SET m v XX", "SET k w XX", "GET k", "EXISTS m",
            "SET k x GET", "SET new x GET", "SET k y NX GET", "SET fresh y NX GET", "SET k z XX GET",
            "SET none z XX GET",
            "RPUSH l a", "SET l v GET", "SET l v NX GET", "SET l v NX", "TYPE l", "SET l v XX", "TYPE l",
            "set k v get GET gEt", "SET k v nx XX", "SET k v XX NX", "SET k v NX NX", "SET k v FOO",
            "SET k v PERSIST",
        )  # fmt: skip
        self.same_digest()

    def test_set_times(self) -> None:
        self.do_all(
            "SET k v EX 100", "TTL k", "SET k v", "TTL k", "SET k v PX 100000", "TTL k", "SET k w KEEPTTL", "TTL k",
            "SET k v EXAT 4102444800", "EXPIRETIME k", "SET k v PXAT 4102444800123", "PEXPIRETIME k",
            "SET k v PXAT 1", "GET k", "EXISTS k", "SET k v EXAT 1 GET", "GET k", "SET k v KEEPTTL", "TTL k",
            "SET k v EX 0", "SET k v EX -1", "SET k v EX x", "SET k v EX", "SET k v PX 0", "SET k v EX 1.5",
            "SET k v EX 10 PX 10", "SET k v EX 10 EX 20", "TTL k", "SET k v EX 10 KEEPTTL", "SET k v KEEPTTL EX 10",
            "SET k v KEEPTTL KEEPTTL", f"SET k v EX {BIG}", f"SET k v PX {BIG}", f"SET k v EXAT {BIG}",
            f"SET k v PXAT {BIG}", "PEXPIRETIME k", "SET k v EX 9223372036854775", "SET k v EXAT 9223372036854775",
            "EXPIRETIME k", "SET k v EX 99999999999999999999", "SET k v NX EX 0", "SET l v XX EX 0",
            "SET k v NX EX 10",
            "SET k2 v NX EX 100 GET", "TTL k2", "SET k2 v XX PX 200000", "TTL k2",
        )  # fmt: skip
        self.same_digest()

    def test_setnx_setex_getset_getdel(self) -> None:
        self.do_all(
            "SETNX k v", "SETNX k w", "GET k", "SETNX", "SETNX k", "RPUSH l a", "SETNX l v",
            "SETEX k 100 v", "TTL k", "SETEX k 0 v", "SETEX k -5 v", "SETEX k x v", f"SETEX k {BIG} v", "SETEX k 10",
            "PSETEX k 100000 v", "TTL k", "PSETEX k 0 v", f"PSETEX k {BIG} v", "SETEX l 100 v", "TYPE l",
            "GETSET k w", "TTL k", "GETSET new w", "RPUSH l2 a", "GETSET l2 v", "GETSET k", "GETDEL k", "GETDEL k",
            "GETDEL l2", "GETDEL", "EXISTS k l2",
        )  # fmt: skip
        self.same_digest()

    def test_getex(self) -> None:
        self.do_all(
            "GETEX k", "GETEX k EX 10", "SET k v", "GETEX k", "TTL k", "GETEX k EX 100", "TTL k", "GETEX k PERSIST",
            "TTL k", "GETEX k PX 100000", "TTL k", "GETEX k EXAT 4102444800", "EXPIRETIME k",
            "GETEX k PXAT 4102444800123", "PEXPIRETIME k", "GETEX k EX 0", "GETEX k EX x", "GETEX k EX",
            "GETEX k KEEPTTL",
            "GETEX k EX 10 PX 10", "GETEX k EX 10 PERSIST", "GETEX k PERSIST EX 10", "GETEX k PERSIST PERSIST",
            "GETEX k EX 10 EX 20", "TTL k", f"GETEX k EX {BIG}", "GETEX missing EX 0", "GETEX missing EX x", "GETEX",
            "GETEX k NX", "GETEX k GET", "GETEX k EXAT 1", "EXISTS k", "RPUSH l a", "GETEX l", "GETEX l EX 0",
            "SET k v",
            "GETEX k PXAT 1", "EXISTS k",
        )  # fmt: skip
        self.same_digest()

    def test_many(self) -> None:
        self.do_all(
            "MSET a 1 b 2", "MGET a b c", "MGET a a", "MSET a 1 b", "MSET", "MSET a", "MGET", "MSET a 3 a 4", "GET a",
            "MSETNX a 1 n 2", "EXISTS n", "MSETNX n 1 m 2", "MSETNX n", "MSETNX p 1 q", "MSETNX x 1 x 2", "GET x",
            "RPUSH l x", "MGET l a", "MSETNX l 1", "MSET l 1", "GET l", "SET a 1 EX 100", "MSET a 2", "TTL a",
        )  # fmt: skip
        self.same_digest()

    def test_counters(self) -> None:
        self.do_all(
            "INCR n", "INCR n", "DECR n", "INCRBY n 10", "DECRBY n 3", "INCRBY n -20", "DECRBY n -20", "GET n",
            "INCRBY n x", "INCRBY n 1.5", "INCRBY n 99999999999999999999", "INCRBY n +1", "INCRBY n -0", "INCRBY n",
            f"SET n {BIG}", "INCR n", f"INCRBY n {BIG}", "DECR n", f"SET n {SMALL}", "DECR n", "INCR n",
            f"DECRBY n {SMALL}", f"DECRBY n {BIG}", "SET n 0", f"DECRBY n {SMALL}", f"INCRBY n {SMALL}", "RPUSH l a",
            "INCR l", "INCRBY l x", "DECRBY l 1", "SET n 5 EX 100", "INCR n", "TTL n", "INCR", "INCR n 1",
            "DECR missing",
            "DECRBY missing2 5", "INCRBY missing3 -5",
        )  # fmt: skip
        for value in WORDS:
            self.do("SET", "n", value)
            self.do("INCR", "n")
            self.do("DECRBY", "n", 2)
        self.same_digest()

    def test_append_and_ranges(self) -> None:
        self.do_all(
            "APPEND k abc", "APPEND k def", "GET k", "APPEND k", "STRLEN k", "STRLEN missing", "RPUSH l a",
            "APPEND l x",
            "STRLEN l", "GETRANGE l 0 1", "SETRANGE l 0 x", "SETRANGE k 2 XX", "GET k", "SETRANGE k 10 end", "GET k",
            "SETRANGE new 3 x", "GET new", "SETRANGE k -1 x", "SETRANGE k x y", "SETRANGE k 1",
            "SETRANGE k 536870912 x",
            "SETRANGE k 536870911 xy", f"SETRANGE k {BIG} x", "SET k 0123456789 EX 100", "SETRANGE k 2 X",
            "APPEND k z",
            "TTL k", "GETRANGE k", "GETRANGE k 0", "GETRANGE k x 1", "GETRANGE k 0 x", "GETRANGE missing 0 -1",
            "SUBSTR k 0 3", "SUBSTR k -3 -1", f"GETRANGE k {SMALL} {BIG}", f"GETRANGE k {BIG} {BIG}",
        )  # fmt: skip
        self.do("APPEND", "k", "")
        self.do("APPEND", "empty", "")
        self.do("EXISTS", "empty")
        self.do("SETRANGE", "k", 3, "")
        self.do("SETRANGE", "nothing", 3, "")
        self.do("SETRANGE", "nothing", 999999999999, "")
        self.do("EXISTS", "nothing")
        for first in range(-13, 14):
            for last in range(-13, 14):
                self.do("GETRANGE", "k", first, last)
        self.do("SET", "e", "")
        self.do("GETRANGE", "e", 0, -1)
        self.same_digest()

    def test_incrbyfloat(self) -> None:
        chance = random.Random(7)
        numbers: list[str] = [
            "3.0", "0.1", "1e-17", "5e-18", "-5e-18", "1.5e-17", "1e5000", "1e-5000", "1e4932", "-1e4932", "inf",
            "-inf",
            "nan", "0x1p-3", "0X.8P4", "-0.0", "-0", "", " 1", "1 ", "1e", ".", "5.", ".5", "+5", "3.0e3", BIG,
            "18446744073709551616", "36893488147419103233", "1e400", "0x", "infinity", "1_0",
        ]  # fmt: skip
        for _ in range(300):
            numbers.append(f"{chance.randint(-1000, 1000)}.{chance.randint(0, 9999)}")
            numbers.append(f"{chance.uniform(-1, 1) * 10 ** chance.randint(-25, 25)!r}")
        chance.shuffle(numbers)
        for first, second in pairwise(numbers):
            self.do("SET", "f", first)
            self.do("INCRBYFLOAT", "f", second)
        self.do_all("SET f 1 EX 100", "INCRBYFLOAT f 0.5", "TTL f", "RPUSH l a", "INCRBYFLOAT l 1", "INCRBYFLOAT l x")
        self.do_all("INCRBYFLOAT f", "INCRBYFLOAT missing 1.5", "GET missing")
        self.same_digest()

    def test_lcs(self) -> None:
        self.do_all(
            "MSET a ohmytext b mynewtext", "LCS a b", "LCS a b LEN", "LCS a b IDX", "LCS a b IDX MINMATCHLEN 4",
            "LCS a b IDX WITHMATCHLEN", "LCS a b IDX MINMATCHLEN 4 WITHMATCHLEN", "LCS a b IDX MINMATCHLEN -1",
            "LCS a b WITHMATCHLEN", "LCS a b LEN WITHMATCHLEN", "LCS a b LEN IDX", "LCS a b FOO",
            "LCS a b MINMATCHLEN",
            "LCS a b MINMATCHLEN x", "LCS a", "LCS a missing", "LCS a missing IDX", "LCS x y LEN", "RPUSH l a",
            "LCS l a",
            "LCS a l FOO", "LCS a a IDX",
        )  # fmt: skip
        chance = random.Random(5)
        for size in (3, 10, 40, 200):
            for _ in range(12):
                for key in "ab":
                    letters = "ab" if chance.random() < 0.5 else "abcdef"
                    self.do("SET", key, "".join(chance.choice(letters) for _ in range(chance.randint(0, size))))
                self.do("LCS", "a", "b")
                self.do("LCS", "a", "b", "LEN")
                self.do("LCS", "a", "b", "IDX", "WITHMATCHLEN", "MINMATCHLEN", chance.randint(0, 3))
        self.do("MSET", "a", "x" * 11585, "b", "x" * 11584)
        self.do("LCS", "a", "b", "LEN")

    def test_resp3_shapes(self) -> None:
        pair = self.open_pair(resp=3)
        pair.do("MSET", "a", "ohmytext", "b", "mynewtext")
        for line in ("GET missing", "MGET a missing", "SET a v XX GET", "SET n v NX GET", "SET missing2 v XX",
                     "GETDEL none",
                     "LCS a b IDX", "LCS a b IDX WITHMATCHLEN", "INCRBYFLOAT f 1.5", "GETEX none",
                     "SETNX a 1"):  # fmt: skip
            pair.do(*line.split())

    def test_transactions_and_expired_keys(self) -> None:
        self.do_all(
            "SET k old PXAT 1", "SETNX k new", "SET k old PXAT 1", "SET k new XX", "SET k old PXAT 1", "INCR k",
            "SET k old PXAT 1", "APPEND k x", "SET k old PXAT 1", "SETRANGE k 1 x", "SET k 5 PXAT 1",
            "INCRBYFLOAT k 1",
            "TTL k", "SET k old PXAT 1", "GETSET k new", "SET k old PXAT 1", "GETDEL k", "SET k old PXAT 1", "MGET k",
            "SET k old PXAT 1", "SET k v KEEPTTL", "TTL k", "SET k old PXAT 1", "MSETNX k v", "STRLEN k", "DBSIZE",
        )  # fmt: skip
        self.same_digest()

    @sequences(200)
    @given(st.data())
    def test_random_sequences(self, data: st.DataObject) -> None:
        self.do("FLUSHALL")
        key = st.sampled_from(["a", "b", "c"])
        value = st.one_of(st.sampled_from(WORDS), st.integers(-5, 300).map(str), st.binary(max_size=8))
        index = st.integers(-12, 12)
        command: st.SearchStrategy[tuple[Argument, ...]] = st.one_of(
            st.tuples(st.just("SET"), key, value),
            st.tuples(st.just("SET"), key, value, st.sampled_from(["NX", "XX", "GET", "KEEPTTL"])),
            st.tuples(st.sampled_from(["GET", "INCR", "DECR", "STRLEN", "GETDEL", "TTL"]), key),
            st.tuples(st.sampled_from(["APPEND", "GETSET", "SETNX", "INCRBY", "DECRBY", "INCRBYFLOAT"]), key, value),
            st.tuples(st.just("GETRANGE"), key, index, index),
            st.tuples(st.just("SETRANGE"), key, index, value),
            st.tuples(st.sampled_from(["MSET", "MSETNX"]), key, value, key, value),
            st.tuples(st.just("SETEX"), key, st.sampled_from([100, 0, -1]), value),
            st.tuples(st.just("GETEX"), key, st.sampled_from(["PERSIST", "EX"])),
            st.tuples(st.just("LCS"), key, key, st.sampled_from(["LEN", "IDX"])),
            st.tuples(st.just("DEL"), key),
        )
        for args in data.draw(st.lists(command, min_size=1, max_size=40)):
            self.do(*args)
        self.same_digest()
