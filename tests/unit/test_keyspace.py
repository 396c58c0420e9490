"""Databases: walking while keys come and go, deadlines, freeing, exchanging."""

from __future__ import annotations

import random
from collections import deque
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from replicad.deadlines import Deadlines
from replicad.errors import ReplyError
from replicad.keyspace import SHARDS, Clock, Database, Stats
from replicad.trash import LARGE, Trash
from replicad.values import SortedSet


def make(index: int = 0, now_ms: int = 1000) -> Database:
    clock = Clock()
    clock.now_ms = now_ms
    return Database(index, clock, Stats(), Trash())


class Basics(SynchronousTestCase):
    def test_put_get_delete(self) -> None:
        db = make()
        self.assertIsNone(db.get(b"a"))
        db.put(b"a", b"1")
        self.assertEqual((db.get(b"a"), len(db), b"a" in db), (b"1", 1, True))
        self.assertEqual((db.stats.hits, db.stats.misses), (1, 1))
        self.assertTrue(db.delete(b"a"))
        self.assertFalse(db.delete(b"a"))
        self.assertEqual(len(db), 0)

    def test_types(self) -> None:
        db = make()
        db.put(b"h", {b"f": b"v"})
        self.assertEqual(db.read(b"h", dict), {b"f": b"v"})
        for call in (db.read, db.writable):
            self.assertRaises(ReplyError, call, b"h", set)
            self.assertIsNone(call(b"nosuch", set))

    def test_deadline_goes_with_the_value(self) -> None:
        db = make()
        db.put_with_deadline(b"a", b"1", 5000)
        db.put_keeping(b"a", b"2")
        self.assertEqual(db.deadline(b"a"), 5000)
        db.put(b"a", b"3")
        self.assertIsNone(db.deadline(b"a"))
        db.set_deadline(b"a", 7000)
        self.assertEqual(db.take(b"a"), (b"3", 7000))
        self.assertEqual((db.deadlines.count, len(db)), (0, 0))
        db.put_with_deadline(b"b", b"1", 5000)
        db.remove(b"b")
        self.assertEqual(db.deadlines.count, 0)

    def test_touched(self) -> None:
        db = make()
        seen: list[bytes] = []
        db.on_touched = lambda db, key: seen.append(key)
        db.put(b"quiet", b"1")
        db.observed = True
        db.put(b"a", {b"x": b"y"})
        db.put_keeping(b"a", {b"x": b"z"})
        db.touched(b"a")
        db.set_deadline(b"a", 99)
        db.touched_or_empty(b"a", {b"x": b"z"})
        db.touched_or_empty(b"a", {})
        db.remove(b"nosuch")
        self.assertEqual(seen, [b"a"] * 6)
        self.assertNotIn(b"a", db)
        db.put(b"b", b"1")
        del seen[:]
        db.take(b"b")
        self.assertEqual(seen, [b"b"])

    def test_a_flush_is_told_once_while_the_keys_are_there(self) -> None:
        db = make()
        seen: list[int] = []
        db.on_flush = lambda db: seen.append(len(db))
        db.put(b"a", b"1")
        db.observed = True
        db.on_touched = lambda db, key: self.fail("a flush must not walk the keys")
        self.assertEqual(db.flush(), 1)
        self.assertEqual(db.flush(), 0)
        self.assertEqual(seen, [1])


class Expiry(SynchronousTestCase):
    def test_a_master_deletes(self) -> None:
        db = make(now_ms=1000)
        deleted: list[bytes] = []

        def expire(db: Database, key: bytes) -> None:
            deleted.append(key)
            db.remove(key)

        db.expire = expire
        for at_ms, there in ((999, False), (1000, True), (1001, True)):
            db.put_with_deadline(b"a", b"1", at_ms)
            self.assertEqual(db.get(b"a") is not None, there, at_ms)
        db.clock.now_ms = 1002
        self.assertFalse(db.delete(b"a"))
        self.assertEqual(deleted, [b"a", b"a"])
        self.assertEqual((len(db), db.deadlines.count), (0, 0))

    def test_a_replica_hides(self) -> None:
        db = make(now_ms=1000)
        db.put_with_deadline(b"a", b"1", 500)
        self.assertIsNone(db.get(b"a"))
        self.assertIsNone(db.writable(b"a", bytes))
        self.assertEqual(list(db.keys()), [])
        self.assertEqual(db.scan(0, 10), (0, []))
        self.assertEqual(len(db), 1)
        self.assertEqual(db.random_key(), b"a")
        db.see_expired = True
        self.assertEqual(db.get(b"a"), b"1")
        self.assertEqual(list(db.entries()), [(0, b"a", b"1", 500)])

    def test_due(self) -> None:
        deadlines = Deadlines()
        keys = {b"k%d" % i: (i * 7919) % 1000 for i in range(1000)}
        for key, at_ms in keys.items():
            deadlines.set(key, at_ms)
        self.assertEqual(deadlines.count, 1000)
        self.assertEqual(sorted(deadlines.due(500, 10_000)), sorted(key for key, at_ms in keys.items() if at_ms < 500))
        self.assertEqual(dict(deadlines.items()), keys)

    @settings(max_examples=100, deadline=None, derandomize=True)
    @given(st.lists(st.tuples(st.integers(0, 30), st.one_of(st.none(), st.integers(0, 100)))), st.integers(0, 101))
    def test_moving_deadlines(self, moves: list[tuple[int, int | None]], now_ms: int) -> None:
        """Whatever was set before, what is due is what the last word says."""
        deadlines, model = Deadlines(), {}
        for number, at_ms in moves:
            key = b"%d" % number
            if at_ms is None:
                self.assertEqual(deadlines.discard(key), model.pop(key, None) is not None)
            else:
                deadlines.set(key, at_ms)
                model[key] = at_ms
        self.assertEqual(deadlines.count, len(model))
        self.assertEqual(dict(deadlines.items()), model)
        due = deadlines.due(now_ms, 10_000)
        self.assertEqual(set(due), {key for key, at_ms in model.items() if at_ms < now_ms})

    def test_a_deadline_set_again_and_again(self) -> None:
        """The heap of a lane stays in proportion to its keys."""
        deadlines = Deadlines()
        for at_ms in range(10_000):
            deadlines.set(b"a", at_ms)
        self.assertLess(sum(map(len, deadlines._heaps)), 100)
        self.assertEqual(deadlines.due(10_000, 10), [b"a"])

    def test_due_in_parts(self) -> None:
        """A caller that takes a few at a time and deletes them gets all of them."""
        deadlines = Deadlines()
        for i in range(500):
            deadlines.set(b"%d" % i, 10)
        seen: list[bytes] = []
        while due := deadlines.due(11, 7):
            self.assertTrue(len(due) <= 7)
            for key in due:
                deadlines.discard(key)
            seen += due
        self.assertEqual((len(seen), len(set(seen)), deadlines.count), (500, 500, 0))


class Walking(SynchronousTestCase):
    def test_scan_guarantee(self) -> None:
        """A key that is there from the first to the last step is returned, whatever else happens meanwhile."""
        source = random.Random(5)
        for count in (1, 10, 1000):
            db = make()
            stable = {b"stable:%d" % i for i in range(500)}
            for key in stable:
                db.put(key, b"")
            passing: list[bytes] = []
            seen: set[bytes] = set()
            ever = set(stable)
            cursor, steps = 0, 0
            while True:
                cursor, keys = db.scan(cursor, count)
                seen.update(keys)
                self.assertLessEqual(set(keys), ever)
                steps += 1
                if not cursor:
                    break
                for _ in range(source.randrange(20)):
                    if passing and source.random() < 0.5:
                        db.delete(passing.pop(source.randrange(len(passing))))
                    else:
                        key = b"passing:%d" % source.getrandbits(32)
                        db.put(key, b"")
                        ever.add(key)
                        passing.append(key)
            self.assertLessEqual(stable, seen)
            self.assertLess(steps, SHARDS + 2)

    def test_scan_of_an_empty_database(self) -> None:
        self.assertEqual(make().scan(0, 10), (0, []))
        self.assertEqual(make().scan(SHARDS + 5, 10), (0, []))

    def test_entries_and_keys(self) -> None:
        db = make(3)
        for i in range(100):
            db.put_with_deadline(b"%d" % i, b"v%d" % i, 10_000 + i if i % 2 else None)
        wanted = sorted((3, b"%d" % i, b"v%d" % i, 10_000 + i if i % 2 else None) for i in range(100))
        self.assertEqual(sorted(db.entries(), key=lambda entry: entry[1]), sorted(wanted, key=lambda entry: entry[1]))
        self.assertEqual(sorted(db.keys()), sorted(b"%d" % i for i in range(100)))

    def test_random_key(self) -> None:
        db = make()
        self.assertIsNone(db.random_key())
        for i in range(20):
            db.put(b"%d" % i, b"")
        self.assertEqual({db.random_key() for _ in range(2000)}, {b"%d" % i for i in range(20)})

    def test_random_key_avoids_expired(self) -> None:
        db = make(now_ms=1000)
        db.expire = lambda db, key: db.remove(key)
        for i in range(50):
            db.put_with_deadline(b"old%d" % i, b"", 1)
        db.put(b"new", b"")
        self.assertEqual({db.random_key() for _ in range(20)}, {b"new"})


class Freeing(SynchronousTestCase):
    def reclaim(self, trash: Trash, step: int = 1000) -> int:
        turns = 0
        while trash.reclaim(step):
            turns += 1
            self.assertLess(turns, 100_000)
        self.assertEqual(len(trash), 0)
        return turns

    def test_every_kind(self) -> None:
        for value in (
            {b"%d" % i: b"" for i in range(LARGE + 1)},
            {b"%d" % i for i in range(LARGE + 1)},
            deque(b"%d" % i for i in range(LARGE + 1)),
            SortedSet.from_pairs((b"%d" % i, float(i)) for i in range(LARGE + 1)),
        ):
            db = make()
            kind: Any = type(value)
            db.put(b"big", value)
            db.put(b"small", b"1")
            db.delete(b"small")
            self.assertEqual(len(db.trash), 0)
            db.delete(b"big")
            self.assertEqual(len(db.trash), 1, kind)
            turns = self.reclaim(db.trash)
            self.assertGreater(turns, 5, kind)
            self.assertEqual(len(value), 0, kind)

    def test_overwritten(self) -> None:
        db = make()
        db.put(b"big", {b"%d" % i for i in range(LARGE + 1)})
        db.put(b"big", b"1")
        self.assertEqual(len(db.trash), 1)
        self.reclaim(db.trash)

    def test_flush(self) -> None:
        db = make()
        inner = {b"%d" % i for i in range(LARGE + 1)}
        for i in range(5000):
            db.put_with_deadline(b"%d" % i, b"", 99_999)
        db.put(b"big", inner)
        shards = db.shards
        self.assertEqual(db.flush(), 5001)
        self.assertEqual((len(db), db.deadlines.count, db.scan(0, 10)), (0, 0, (0, [])))
        db.put(b"a", b"1")
        self.reclaim(db.trash)
        self.assertEqual((len(inner), len(shards)), (0, 0))
        self.assertEqual(list(db.keys()), [b"a"])
        self.assertEqual(make().flush(), 0)

    def test_step_is_bounded(self) -> None:
        """One call frees about as many elements as it was told."""
        trash = Trash()
        value = set(range(100_000))
        trash.throw(value)
        trash.reclaim(1000)
        self.assertGreater(len(value), 98_000)


VERBS = ("put", "delete", "keep", "deadline", "take", "swap", "flush")


class Exchanging(SynchronousTestCase):
    def test_swap(self) -> None:
        first, second = make(0), make(1)
        first.put_with_deadline(b"a", b"1", 5000)
        second.put(b"b", b"2")
        first.swap(second)
        self.assertEqual((list(first.entries()), list(second.entries())), ([(0, b"b", b"2", None)], [(1, b"a", b"1", 5000)]))
        self.assertEqual((first.deadlines.count, second.deadlines.count), (0, 1))

    @settings(max_examples=60, deadline=None, derandomize=True)
    @given(st.lists(st.tuples(st.sampled_from(VERBS), st.integers(0, 5), st.integers(0, 9))))
    def test_model(self, steps: list[tuple[str, int, int]]) -> None:
        """Two databases against two dicts."""
        dbs, models = [make(0), make(1)], [{}, {}]  # type: ignore[var-annotated]
        for verb, number, value in steps:
            db, model, key, data = dbs[number % 2], models[number % 2], b"k%d" % number, b"%d" % value
            if verb == "put":
                db.put(key, data)
                model[key] = (data, None)
            elif verb == "keep":
                db.put_keeping(key, data)
                model[key] = (data, model.get(key, (None, None))[1])
            elif verb == "delete":
                self.assertEqual(db.delete(key), model.pop(key, None) is not None)
            elif verb == "deadline" and key in model:
                at_ms = 5000 + value if value else None
                db.set_deadline(key, at_ms)
                model[key] = (model[key][0], at_ms)
            elif verb == "take":
                self.assertEqual(db.take(key), model.pop(key, (None, None)))
            elif verb == "swap":
                dbs[0].swap(dbs[1])
                models.reverse()
            elif verb == "flush":
                self.assertEqual(db.flush(), len(model))
                model.clear()
            for db, model in zip(dbs, models, strict=True):
                self.assertEqual({key: (value, at_ms) for _, key, value, at_ms in db.entries()}, model)
                self.assertEqual(db.deadlines.count, sum(at_ms is not None for _, at_ms in model.values()))
