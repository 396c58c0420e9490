"""The stored types, against plain models."""

from __future__ import annotations

from collections import deque
from math import inf
from random import Random
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from replicad.values import (
    Consumer,
    Group,
    ModuleValue,
    Pending,
    SortedSet,
    Stream,
    copy_value,
    memory_usage,
    type_name,
)


class SortedSetTest(SynchronousTestCase):
    """A sorted set agrees with a dictionary that is sorted for every question."""

    def agrees(self, found: SortedSet, model: dict[bytes, float]) -> None:
        """Compare everything that can be asked, at all ranks of a small set and at some of a large one."""
        order = sorted(model.items(), key=lambda pair: (pair[1], pair[0]))
        size = len(order)
        self.assertEqual(list(found), order)
        self.assertEqual(len(found), size)
        self.assertEqual(found.scores, model)
        self.assertEqual(list(found.unordered()), order[::-1])
        for rank in range(0, size, max(1, size // 20)):
            member, score = order[rank]
            self.assertEqual(found.rank(member), rank)
            self.assertEqual(found.score(member), score)
            self.assertEqual(found.slice(rank, rank + 3), order[rank : rank + 3])
            self.assertEqual(found.slice_desc(rank, rank + 3), order[::-1][rank : rank + 3])
            self.assertEqual(found.bisect_score(score, False), sum(other < score for _, other in order))
            self.assertEqual(found.bisect_score(score, True), sum(other <= score for _, other in order))
        self.assertEqual(found.bisect_score(inf, True), size)
        self.assertEqual(found.bisect_score(-inf, False), 0)

    def test_random_changes(self) -> None:
        """Sets that grow over the size where the order changes its form and shrink again."""
        random = Random(1)
        for top in (5, 60, 900):
            found, model = SortedSet(), {}
            for step in range(top * 3):
                member = b"%d" % random.randrange(top)
                if random.random() < (0.25 if step < top * 2 else 0.75):
                    self.assertEqual(found.remove(member), model.pop(member, None) is not None)
                else:
                    score = random.choice((inf, -inf, 0.0, -0.0, 1.5, float(random.randrange(9))))
                    found.set(member, score)
                    model[member] = score
                if step % (top // 4 or 1) == 0:
                    self.agrees(found, model)
            self.agrees(found, model)

    def test_bulk(self) -> None:
        """Built from pairs, small and large, the last score of a member wins."""
        for size in (0, 1, 256, 257, 2000):
            pairs = [(b"%d" % (number % 1500), float(number % 7)) for number in range(size)]
            self.agrees(SortedSet.from_pairs(iter(pairs)), dict(pairs))

    def test_unordered(self) -> None:
        """A small set that nobody has asked for its order gives its members as they came."""
        pairs = [(b"b", 1.0), (b"a", 5.0), (b"c", 3.0)]
        self.assertEqual(list(SortedSet.from_pairs(pairs).unordered()), pairs)

    def test_removing_ranks(self) -> None:
        """Pops and slices take members away from the right end."""
        for size in (10, 1000):
            pairs = [(b"%05d" % number, float(number)) for number in range(size)]
            found = SortedSet.from_pairs(reversed(pairs))
            self.assertEqual(found.pop_first(2), pairs[:2])
            self.assertEqual(found.pop_last(2), pairs[:-3:-1])
            self.assertEqual(found.remove_slice(1, 3), pairs[3:5])
            self.assertEqual(found.remove_slice(5, 5), [])
            rest = pairs[2:3] + pairs[5:-2]
            self.agrees(found, dict(rest))
            self.assertEqual(found.pop_last(10**9), rest[::-1])
            self.assertEqual(found.pop_first(1), [])
            self.assertEqual(len(found), 0)

    def test_bounds_are_clamped(self) -> None:
        """Ranks outside of the set are no error."""
        found = SortedSet.from_pairs([(b"a", 1.0), (b"b", 2.0)])
        self.assertEqual(found.slice(-5, 1), [(b"a", 1.0)])
        self.assertEqual(found.slice(1, 99), [(b"b", 2.0)])
        self.assertEqual(found.slice(0, -1), [])
        self.assertEqual(found.slice_desc(-3, 1), [(b"b", 2.0)])
        self.assertEqual(found.slice_desc(1, 99), [(b"a", 1.0)])
        self.assertEqual(found.slice_desc(0, -1), [])
        self.assertIsNone(found.rank(b"c"))
        self.assertIsNone(found.score(b"c"))
        self.assertNotIn(b"c", found)
        self.assertIn(b"a", found)

    def test_lex(self) -> None:
        """Positions by member, at and between members."""
        for size in (3, 400):
            members = [b"m%04d" % (number * 2) for number in range(size)]
            found = SortedSet.from_pairs((member, 5.0) for member in members)
            for number, member in enumerate(members):
                self.assertEqual(found.bisect_lex(member, False), number)
                self.assertEqual(found.bisect_lex(member, True), number + 1)
                self.assertEqual(found.bisect_lex(member + b"\0", False), number + 1)
            self.assertEqual(found.bisect_lex(b"", False), 0)
            self.assertEqual(found.bisect_lex(b"z", True), size)
        self.assertEqual(SortedSet().bisect_lex(b"a", True), 0)

    def test_copy(self) -> None:
        """A copy does not follow its origin, with and without an order."""
        for size in (2, 500):
            for asked in (False, True):
                found = SortedSet.from_pairs((b"%d" % number, 1.0) for number in range(size))
                if asked:
                    found.rank(b"1")
                other = found.copy()
                self.assertEqual(found, other)
                found.set(b"1", 7.0)
                found.remove(b"0")
                self.assertNotEqual(found, other)
                self.agrees(other, {b"%d" % number: 1.0 for number in range(size)})


class StreamTest(SynchronousTestCase):
    """A stream agrees with a sorted list of its entries."""

    def test_random_changes(self) -> None:
        """Appends, deletions and trims in any order."""
        random = Random(2)
        stream, model = Stream(), {}
        last = (0, 0)
        for step in range(3000):
            choice = random.random()
            if choice < 0.6:
                last = (last[0] + random.randrange(2), last[1] + 1)
                stream.append(last, (b"f", b"%d" % step))
                model[last] = (b"f", b"%d" % step)
            elif choice < 0.9 and model:
                entry_id = random.choice((*list(model)[:3], *list(model)[-3:], (7, 7), (0, 0)))
                self.assertEqual(stream.delete(entry_id), model.pop(entry_id, None) is not None)
            else:
                count = random.randrange(4)
                gone = list(model)[:count]
                for entry_id in gone:
                    del model[entry_id]
                self.assertEqual(stream.trim_first(count), len(gone))
            if step % 50 == 0:
                entries = list(model.items())
                self.assertEqual(list(stream), entries)
                self.assertEqual(len(stream), len(entries))
                self.assertEqual(stream.first_id, entries[0][0] if entries else (0, 0))
                low, high = sorted(((random.randrange(last[0] + 1), 0), (random.randrange(last[0] + 2), 99999)))
                inside = [entry for entry in entries if low <= entry[0] <= high]
                self.assertEqual(stream.range(low, high), inside)
                self.assertEqual(stream.range(low, high, count=3), inside[:3])
                self.assertEqual(stream.range(low, high, reverse=True), inside[::-1])
                self.assertEqual(stream.range(low, high, count=2, reverse=True), inside[::-1][:2])
                if entries:
                    newest = entries[-1][0]
                    self.assertEqual(stream.top_id, newest)
                    self.assertEqual(stream.get(newest), model[newest])
                    self.assertIn(newest, stream)
        self.assertEqual(stream.last_id, last)
        self.assertGreater(stream.entries_added, 1000)

    def test_ids_grow(self) -> None:
        """An id that is not above the last one is refused, also after the last one was deleted."""
        stream = Stream()
        stream.append((5, 0), ())
        stream.delete((5, 0))
        self.assertRaises(ValueError, stream.append, (5, 0), ())
        self.assertEqual(stream.range(), [])
        self.assertEqual(stream.range(count=0), [])

    def test_pending(self) -> None:
        """Pending entries come in order of their ids, by range, consumer and count."""
        group = Group((3, 0), 3)
        for number, name in ((3, b"a"), (1, b"a"), (2, b"b")):
            group.pending[number, 0] = Pending(name, 1000, 1)
            group.consumers.setdefault(name, Consumer(1000))
        ids = [entry_id for entry_id, _ in group.pending_range()]
        self.assertEqual(ids, [(1, 0), (2, 0), (3, 0)])
        self.assertEqual([entry_id for entry_id, _ in group.pending_range((2, 0))], ids[1:])
        self.assertEqual([entry_id for entry_id, _ in group.pending_range(consumer=b"a")], [(1, 0), (3, 0)])
        self.assertEqual([entry_id for entry_id, _ in group.pending_range(count=1)], [(1, 0)])
        self.assertEqual(group.pending_range(count=0), [])

    def test_copy(self) -> None:
        """No change of the origin reaches a copy."""
        stream = Stream()
        for number in range(1, 5):
            stream.append((number, 0), (b"f", b"v"))
        stream.trim_first(1)
        group = stream.groups[b"g"] = Group((2, 0))
        group.consumers[b"c"] = Consumer(5)
        group.pending[2, 0] = Pending(b"c", 5, 1)
        other = stream.copy()
        self.assertEqual(other, stream)
        changes: list[Any] = [
            lambda: stream.append((9, 9), ()),
            lambda: group.consumers.update({b"d": Consumer(6)}),
            lambda: setattr(group.pending[2, 0], "delivery_count", 9),
            lambda: setattr(group.consumers[b"c"], "seen_time_ms", 9),
        ]
        for change in changes:
            before = stream.copy()
            change()
            self.assertNotEqual(stream, before)
        self.assertEqual(list(other), [((number, 0), (b"f", b"v")) for number in (2, 3, 4)])
        self.assertEqual(other.groups[b"g"].pending[2, 0], Pending(b"c", 5, 1))
        self.assertEqual(other.groups[b"g"].consumers, {b"c": Consumer(5)})


class AnyValueTest(SynchronousTestCase):
    """What is the same for all types."""

    VALUES: tuple[tuple[bytes, Any], ...] = (
        (b"string", b"text"),
        (b"list", deque([b"a"])),
        (b"set", {b"a"}),
        (b"hash", {b"f": b"v"}),
        (b"zset", SortedSet.from_pairs([(b"a", 1.0)])),
        (b"stream", Stream()),
        (b"my-type-1", ModuleValue(bytes.fromhex("819b2fadca97bed40300"))),
    )

    def test_names(self) -> None:
        """TYPE's words; a module value has the name that its id spells."""
        for name, value in self.VALUES:
            self.assertEqual(type_name(value), name)

    def test_copies(self) -> None:
        """Equal and of the same type; what can change is another object."""
        for _, value in self.VALUES:
            other = copy_value(value)
            self.assertIs(type(other), type(value))
            self.assertEqual(other, value)
            self.assertEqual(other is value, type(value) in (bytes, ModuleValue))

    def test_memory(self) -> None:
        """More elements need more memory, and a sample of equal elements tells as much as all of them."""
        for _, value in self.VALUES:
            self.assertGreater(memory_usage(value), 0)
        small = {b"%04d" % number: b"v" * 50 for number in range(100)}
        large = {b"%04d" % number: b"v" * 50 for number in range(1000)}
        self.assertGreater(memory_usage(large), 5 * memory_usage(small))
        self.assertEqual(memory_usage(large, 5), memory_usage(large, 0))
        self.assertRaises(TypeError, memory_usage, 5)
