"""Tests for replicad.commands.arguments: numbers as Redis reads and prints them."""

from __future__ import annotations

import math
from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from replicad.commands.arguments import expiry_ms, integer, is_integer, long_double_sum, number, timeout_ms
from replicad.errors import NAN_RESULT, NOT_FLOAT, NOT_INTEGER, ReplyError


class Numbers(SynchronousTestCase):
    """What is a number, and what is not."""

    def refuses(self, error: ReplyError, fn: object, *args: object) -> None:
        with self.assertRaises(ReplyError) as caught:
            fn(*args)  # type: ignore[operator]
        self.assertEqual(caught.exception.text, error.text, str(args))

    def test_integers(self) -> None:
        for value in (0, 1, -1, 10, 2**63 - 1, -(2**63), 999999999999999999, 1000000000000000000):
            self.assertEqual(integer(b"%d" % value), value)
        for text in (b"", b"-", b"+1", b"01", b"-0", b"00", b" 1", b"1 ", b"1.0", b"1e3", b"0x1", b"1_0",
                     b"9223372036854775808", b"-9223372036854775809", b"9" * 5000, "\u0663".encode()):  # fmt: skip
            self.refuses(NOT_INTEGER, integer, text)
            self.assertFalse(is_integer(text))

    def test_doubles(self) -> None:
        for text, value in (
            (b"1", 1.0), (b"-1.5", -1.5), (b"+.5", 0.5), (b"5.", 5.0), (b"1e3", 1000.0), (b"0x10", 16.0), (b"0x.8p1", 1.0),
            (b"inf", math.inf), (b"-INFinity", -math.inf), (b"1e-310", 1e-310), (b"0" * 5000 + b"7", 7.0),
            (b"0e999999", 0.0),
        ):  # fmt: skip
            self.assertEqual(number(text), value)
        for text in (b"", b".", b"nan", b"-nan", b"1e", b"0x", b"0xp1", b" 1", b"1 ", b"1e400", b"-1e400", b"1e-400", b"1_0",
                     b"0x1p99999", b"infinit", b"1\x00"):  # fmt: skip
            self.refuses(NOT_FLOAT, number, text)

    def test_sums_of_long_doubles(self) -> None:
        for first, second, total in (
            (b"3.0", b"0.1", b"3.1"), (b"0.1", b"0.2", b"0.3"), (b"10.50", b"0.1", b"10.6"), (b"5.0e3", b"2.0e2", b"5200"),
            (b"1", b"-1", b"0"), (b"0", b"-0.0", b"0"), (b"-5e-18", b"0", b"0"), (b"1e17", b"1", b"100000000000000001"),
            (b"18446744073709551615", b"1", b"18446744073709551616"),
            (b"36893488147419103232", b"1", b"36893488147419103232"),
            (b"0x10", b"0x.8", b"16.5"), (b"1e20", b"1e-20", b"100000000000000000000"), (b"1e4932", b"-1e4932", b"0"),
        ):  # fmt: skip
            self.assertEqual(long_double_sum(first, second), total)
        for digits in (3610, 3700, 3999, 4000, 4001, 4932):
            self.assertEqual(len(long_double_sum(b"1.1e%d" % digits, b"0")), digits + 1)
        for text in (b"", b"x", b"nan", b" 1", b"1e5000", b"1e-5000", b"1e999999999999999999", b"0x1p99999"):
            self.refuses(NOT_FLOAT, long_double_sum, b"1", text)
            self.refuses(NOT_FLOAT, long_double_sum, text, b"1")
        for first, second in ((b"inf", b"1"), (b"inf", b"-inf"), (b"1", b"-inf"), (b"1.18e4932", b"1.18e4932")):
            self.refuses(NAN_RESULT, long_double_sum, first, second)

    @settings(max_examples=300, deadline=None, derandomize=True, database=None)
    @given(st.integers(-(10**25), 10**25), st.integers(-(10**25), 10**25), st.integers(0, 20), st.integers(0, 20))
    def test_a_sum_is_as_near_as_64_bits_allow(self, a: int, b: int, a_places: int, b_places: int) -> None:
        exact = Fraction(a, 10**a_places) + Fraction(b, 10**b_places)
        found = Fraction(long_double_sum(b"%de-%d" % (a, a_places), b"%de-%d" % (b, b_places)).decode())
        largest = max(abs(Fraction(a, 10**a_places)), abs(Fraction(b, 10**b_places)), abs(exact))
        self.assertLessEqual(abs(found - exact), largest * Fraction(3, 2**64) + Fraction(1, 2 * 10**17))

    def test_moments(self) -> None:
        self.assertEqual(expiry_ms(b"EX", b"10", 1000, b"set"), 11000)
        self.assertEqual(expiry_ms(b"PX", b"10", 1000, b"set"), 1010)
        self.assertEqual(expiry_ms(b"EXAT", b"10", 1000, b"set"), 10000)
        self.assertEqual(expiry_ms(b"PXAT", b"10", 1000, b"set"), 10)
        for verb, text in ((b"EX", b"0"), (b"PX", b"-1"), (b"EX", b"9223372036854776"), (b"PX", b"9223372036854775807")):
            self.refuses(ReplyError(b"ERR invalid expire time in 'set' command"), expiry_ms, verb, text, 1000, b"set")
        self.refuses(NOT_INTEGER, expiry_ms, b"EX", b"x", 0, b"set")
        self.assertEqual(timeout_ms(b"0.0015"), 2)
        self.assertEqual(timeout_ms(b"0"), 0)
