"""Random members of collections, with and without an index."""

from __future__ import annotations

import random
from collections import Counter

from twisted.trial.unittest import SynchronousTestCase

from replicad.commands import sampling
from replicad.commands.sampling import SMALL, indexes, joined, left, pick, pick_again, pick_many, sweep, take
from replicad.trash import Trash

LARGE = 4 * SMALL


class SamplingTests(SynchronousTestCase):
    """A set and a dict of each size, changed as the commands change them."""

    def setUp(self) -> None:
        self.trash = Trash()
        indexes.clear()
        self.addCleanup(indexes.clear)

    def members(self, size: int) -> list[bytes]:
        return [b"m%d" % number for number in range(size)]

    def test_only_large_collections_have_an_index(self) -> None:
        for size, expected in ((SMALL, 0), (SMALL + 1, 1)):
            value = set(self.members(size))
            self.assertIn(pick(value, 0, self.trash), value)
            self.assertEqual(len(indexes), expected)

    def test_every_member_with_the_same_probability(self) -> None:
        random.seed(7)
        for value in (set(self.members(8)), dict.fromkeys(self.members(8), b""), set(self.members(LARGE))):
            rounds = 50 * len(value)
            counts = Counter(pick(value, 0, self.trash) for _ in range(rounds))
            self.assertEqual(set(counts), set(value))
            # 50 expected for each; seven standard deviations
            self.assertLess(max(counts.values()), 100)
            self.assertLess(max(Counter(pick_again(value, rounds, 0, self.trash)).values()), 100)

    def test_index_follows_changes(self) -> None:
        random.seed(8)
        value = dict.fromkeys(self.members(LARGE), b"")
        pick(value, 0, self.trash)
        index = indexes[id(value)]
        for number in range(3000):
            name = b"m%d" % random.randrange(2 * LARGE)
            if name in value:
                del value[name]
                left(value, (name,))
            else:
                value[name] = b""
                joined(value, (name,))
            if number % 50 == 0:
                self.assertIn(pick(value, 0, self.trash), value)
        self.assertIs(indexes[id(value)], index)
        self.assertEqual(sorted(set(index.members) - index.gone), sorted(value))
        self.assertEqual(len(index.members), len(set(index.members)), "each member stands in the list once")

    def test_take_removes(self) -> None:
        for size in (20, LARGE):
            value = set(self.members(size))
            taken: list[bytes] = []
            while len(value) > 1:
                taken += take(value, min(3, len(value) - 1), 0, self.trash)
                self.assertEqual(len(value) + len(taken), size)
            self.assertEqual(len(set(taken)), len(taken))

    def test_different_members(self) -> None:
        for size in (20, LARGE):
            value = set(self.members(size))
            for count in (1, size // 10, size // 2, size - 1):
                chosen = pick_many(value, count, 0, self.trash)
                self.assertEqual(len(set(chosen)), count)
                self.assertLessEqual(set(chosen), value)
            self.assertEqual(len(value), size)

    def test_change_behind_the_back_is_noticed(self) -> None:
        value = set(self.members(LARGE))
        pick(value, 0, self.trash)
        value.clear()
        value.update(b"n%d" % number for number in range(SMALL + 5))
        self.assertIn(pick(value, 0, self.trash), value)

    def test_sweep(self) -> None:
        value, other = set(self.members(LARGE)), set(self.members(LARGE + 1))
        pick(value, 1_000, self.trash)
        pick(other, 1_000 + sampling.REST_MS, self.trash)
        sweep(1_001 + sampling.REST_MS, self.trash)
        self.assertEqual([index.collection for index in indexes.values()], [other])
        other.clear()
        sweep(1_001 + sampling.REST_MS, self.trash)
        self.assertEqual(indexes, {})

    def test_least_used_index_makes_room(self) -> None:
        self.patch(sampling, "MOST_INDEXED", 3 * LARGE)
        values = [set(self.members(LARGE)) for _ in range(4)]
        for value in values[:3]:
            pick(value, 0, self.trash)
        pick(values[0], 0, self.trash)
        pick(values[3], 0, self.trash)
        self.assertEqual(set(indexes), {id(values[0]), id(values[2]), id(values[3])})
