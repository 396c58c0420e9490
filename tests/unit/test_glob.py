"""Glob patterns: the same verdict as a real server, and no pattern takes exponential time."""

from __future__ import annotations

import time

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from replicad.glob import match
from tests.support.servers import RealServer
from tests.support.twohead import shared

#: Few letters, so that patterns and texts meet.
TEXTS = st.text("ab-]^\\*", max_size=6).map(str.encode)
PATTERNS = st.lists(
    st.sampled_from(
        ["a", "b", "*", "?", "**", "[ab]", "[^a]", "[a-b]", "[b-a]", "\\*", "\\", "[", "]", "[a", "[^", "[]", "[]a]",
         "[\\]]", "[a-", "-", "^", "[^]", "[a\\", "[--b]", "[\\a-b]", "a*b", "*a"]
    ),
    max_size=5,
).map(lambda parts: "".join(parts).encode())  # fmt: skip


class BesideRedis(SynchronousTestCase):
    """KEYS of a real server is the judge."""

    def setUp(self) -> None:
        self.client = shared(RealServer).client()
        self.client.must("FLUSHALL")
        self.addCleanup(self.client.close)

    def judge(self, pattern: bytes, texts: list[bytes]) -> None:
        self.client.pipeline(("FLUSHALL",), *(("SET", text, "") for text in texts))
        real = set(self.client.must("KEYS", pattern))
        ours = {text for text in texts if pattern == b"*" or match(pattern, text)}  # KEYS * asks no pattern
        self.assertEqual(ours, real, (pattern, texts))

    @settings(max_examples=400, deadline=None, derandomize=True)
    @given(PATTERNS, st.lists(TEXTS, min_size=1, max_size=30))
    def test_random(self, pattern: bytes, texts: list[bytes]) -> None:
        self.judge(pattern, texts)

    def test_picked(self) -> None:
        texts = [b"", b"a", b"b", b"ab", b"abc", b"a-b", b"]", b"^", b"\\", b"a\\", b"*", b"a*b", b"\n", b"a\nb", b"\xff"]
        for pattern in (
            *(b"", b"*", b"?", b"a*", b"*b", b"a?b", b"[ab]", b"[^ab]", b"[a-b]*", b"[b-a]", b"\\*", b"\\", b"a\\", b"["),
            *(b"[]", b"[^]", b"[]]", b"[^]]", b"[\\]]", b"[a\\-c]", b"[-b]", b"[a-]", b"*\n*", b"[\xfe-\xff]", b"**b"),
            *(b"[\\", b"[a-\\]", b"[^\\", b"\\a\\b", b"*[", b"?*?", b"[*]", b"[?]", b"x[", b"a[^]b", b"[a", b"[^a", b"a[]b"),
        ):
            self.judge(pattern, texts)


class Alone(SynchronousTestCase):
    def test_nocase(self) -> None:
        for pattern, text, wanted in (
            (b"AbC", b"aBc", True),
            (b"a[B-C]*", b"ACx", True),
            (b"a", b"b", False),
            (b"*X", b"abx", True),
        ):
            self.assertEqual(match(pattern, text, nocase=True), wanted)
        self.assertFalse(match(b"A", b"a"))

    def test_hostile_patterns(self) -> None:
        """Many stars against a long text that does not match."""
        started = time.perf_counter()
        for pattern in (b"a*" * 30 + b"b", b"*a" * 30 + b"*b", b"?*" * 30 + b"b", b"[a]*" * 20 + b"x", b"*" * 5000 + b"b"):
            self.assertFalse(match(pattern, b"a" * 5000))
        self.assertTrue(match(b"a*" * 30, b"a" * 5000))
        self.assertLess(time.perf_counter() - started, 2.0)
