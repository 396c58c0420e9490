"""The estimated sizes of values, beside what CPython's objects really take."""

from __future__ import annotations

from collections import deque
from sys import getsizeof
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from replicad.expiring_hash import ExpiringHash
from replicad.memory import container_size, newest_size, text_size, value_size
from replicad.values import ModuleValue, SortedSet, Stream


def exact(*objects: Any) -> int:
    """What the allocator gives for these objects."""
    return sum(getsizeof(one) + 15 & -16 for one in objects)


def texts(count: int, length: int = 30) -> list[bytes]:
    """Different strings of one length."""
    return [b"%0*d" % (length, number) for number in range(count)]


class Sizes(SynchronousTestCase):
    """``value_size``."""

    def near(self, value: Any, real: int, part: float = 0.1) -> None:
        """The estimates from all and from some elements are near ``real``."""
        for samples in (0, 5, 1000):
            size = value_size(value, samples)
            self.assertTrue(
                abs(size - real) <= part * real, f"{type(value).__name__}, {samples} samples: {size} for {real}"
            )

    def test_strings(self) -> None:
        for length in (0, 1, 14, 15, 16, 31, 400):
            self.assertEqual(value_size(b"x" * length), exact(b"x" * length))
            self.assertEqual(text_size(length), exact(b"x" * length))
        self.assertEqual(value_size(b"x" * 10_000), exact(b"x" * 10_000))

    def test_collections(self) -> None:
        for count in (1, 4, 100, 5000):
            items = texts(count)
            self.near(deque(items), exact(deque(items), *items))
            self.near(set(items), exact(set(items), *items))
            fields = dict(zip(items, texts(count, 50), strict=True))
            self.near(fields, exact(fields, *fields, *fields.values()))

    def test_expiring_hash(self) -> None:
        plain = ExpiringHash(dict.fromkeys(texts(100), b"v"))
        size = value_size(plain)
        plain.deadlines = SortedSet.from_pairs((field, 5e12) for field in texts(50))
        self.assertGreater(value_size(plain), size + 50 * 64)

    def test_sorted_set(self) -> None:
        for count in (3, 200, 5000):
            members = texts(count)
            value = SortedSet.from_pairs((member, float(n)) for n, member in enumerate(members))
            real = exact(value.scores, *members, *value.scores.values())
            if value.ordered:
                real += sum(exact(pair) + 8 for pair in value)
            self.near(value, real)

    def test_an_order_takes_memory(self) -> None:
        value = SortedSet.from_pairs((member, 1.0) for member in texts(100))
        before = value_size(value)
        value.rank(b"nosuch")
        value.slice(0, 1)
        self.assertTrue(value.ordered)
        self.assertGreater(value_size(value), before + 100 * 64)

    def test_stream(self) -> None:
        value = Stream()
        self.assertLess(value_size(value), 2000)
        for number in range(1000):
            value.append((number + 1, 0), (b"temperature", b"%030d" % number))
        entry = exact((1, 0), (b"", b""), 1 << 40, b"temperature", b"%030d" % 1) + 16
        self.near(value, 1000 * entry, 0.25)

    def test_module(self) -> None:
        self.assertGreater(value_size(ModuleValue(b"x" * 1000)), 1000)

    def test_unequal_elements_are_seen_at_both_ends(self) -> None:
        value = deque([b"x"] * 1000 + [b"x" * 10_000] * 1000)
        real = 1000 * text_size(10_000)
        self.assertTrue(0.5 * real < value_size(value, 100) < 1.5 * real)
        value.reverse()
        self.assertTrue(0.5 * real < value_size(value, 100) < 1.5 * real)


class Growth(SynchronousTestCase):
    """What the ledger asks for between two measurements."""

    def test_newest(self) -> None:
        fields = {b"a": b"b"}
        fields[b"new"] = b"x" * 1000
        self.assertTrue(1003 < (newest_size(fields) or 0) < 1150)
        for items in (deque([b"x" * 1000, b"a"]), deque([b"a", b"x" * 1000])):
            self.assertTrue(1000 < (newest_size(items) or 0) < 1100)
        scores = SortedSet.from_pairs([(b"a", 1.0), (b"x" * 1000, 2.0)])
        self.assertTrue(1000 < (newest_size(scores) or 0) < 1200)
        self.assertIsNone(newest_size({b"a"}))

    def test_container(self) -> None:
        self.assertEqual(container_size({b"a"}), getsizeof({b"a"}))
        self.assertEqual(container_size(SortedSet.from_pairs([(b"a", 1.0)])), getsizeof({b"a": 1.0}))
        self.assertEqual(container_size(Stream()), 0)
