"""The account of a database: what it says after any row of changes is what counting anew says."""

from __future__ import annotations

import random
from collections import deque
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from replicad.keyspace import SHARDS, Clock, Database, Stats
from replicad.ledger import NEW_COUNTER, AccountedDatabase, FrequencyDatabase, Ledger, LfuTuning, RecencyDatabase
from replicad.memory import text_size, value_size
from replicad.trash import Trash
from replicad.values import SortedSet


def make(kind: type[Database] = AccountedDatabase, counted: bool = True) -> Any:
    """A database with an account; everything is counted unless told otherwise."""
    clock = Clock()
    clock.now_ms = 100_000_000
    clock.tenths = 1_000_000
    db: Any = Database(0, clock, Stats(), Trash())
    db.ledger = Ledger(lambda: None, LfuTuning())
    db.ledger.record_accesses(kind)
    db.__class__ = kind
    if counted:
        db.ledger.count(db, SHARDS)
    return db


def counted_anew(db: Any) -> int:
    """The sizes of all keys and values, in samples as large as the ledger's."""
    total = 0
    for shard in db.shards:
        for key, value in shard.items():
            total += text_size(len(key))
            total += value_size(value, 1000 if type(value) is not bytes and len(value) > 2000 else 0)
    return total


class Account(SynchronousTestCase):
    """``AccountedDatabase``."""

    def test_strings_are_exact(self) -> None:
        db = make()
        db.put(b"a", b"x" * 100)
        self.assertEqual(db.ledger.bytes, text_size(1) + text_size(100))
        db.put(b"a", b"x" * 10)
        db.put_keeping(b"a", b"x" * 1000)
        self.assertEqual(db.ledger.bytes, counted_anew(db))
        db.put_with_deadline(b"b", b"v", db.clock.now_ms + 1000)
        db.load(b"c", b"v" * 50, None)
        self.assertEqual(db.ledger.bytes, counted_anew(db))
        db.put(b"d", *db.take(b"b")[:1])
        db.remove(b"c")
        db.delete(b"nosuch")
        self.assertEqual(db.ledger.bytes, counted_anew(db))
        for key in (b"a", b"d"):
            db.delete(key)
        self.assertEqual(db.ledger.bytes, 0)

    def test_expired_keys_leave(self) -> None:
        db = make()
        db.expire = lambda db, key: db.remove(key)
        for use in (lambda: db.get(b"a"), lambda: db.put(b"a", b"new"), lambda: db.delete(b"a"), lambda: b"a" in db):
            db.put_with_deadline(b"a", b"old" * 100, db.clock.now_ms - 1)
            use()
            self.assertEqual(db.ledger.bytes, counted_anew(db))

    def test_a_replica_hides_expired_keys(self) -> None:
        db = make()
        db.put_with_deadline(b"a", b"old" * 100, db.clock.now_ms - 1)
        self.assertIsNone(db.get(b"a"))
        self.assertEqual(db.ledger.bytes, counted_anew(db))
        db.put(b"a", b"new")
        self.assertEqual(db.ledger.bytes, counted_anew(db))

    def test_random_changes(self) -> None:
        chance = random.Random(5)
        db = make()
        for _ in range(3000):
            key = b"key:%d" % chance.randrange(20)
            self.change(db, key, chance)
        anew = counted_anew(db)
        self.assertTrue(abs(db.ledger.bytes - anew) < 0.05 * anew, (db.ledger.bytes, anew))
        for shard in db.shards:
            for key in list(shard):
                db.remove(key)
        self.assertEqual((db.ledger.bytes, sum(map(len, db.ledger.sizes))), (0, 0))

    def change(self, db: Any, key: bytes, chance: random.Random) -> None:
        """One change as commands make it."""
        value = db.peek(key)
        if value is None or chance.random() < 0.02:
            new: Any = chance.choice([b"v" * chance.randrange(300), deque([b"x"]), {b"f": b"v"}, {b"m"}])
            if chance.random() < 0.2:
                new = SortedSet.from_pairs([(b"m", 1.0)])
            db.put(key, new)
        elif chance.random() < 0.01:
            db.remove(key)
        elif type(value) is bytes:
            db.put_keeping(key, value + b"more")
        elif type(value) is SortedSet:
            value.set(b"m%d" % chance.randrange(500), chance.random())
            db.touched(key)
        else:
            item = b"%0*d" % (chance.randrange(5, 60), chance.randrange(1000))
            if type(value) is dict:
                value[item] = item
            elif type(value) is set:
                value.add(item)
            else:
                value.append(item)
                if chance.random() < 0.3:
                    value.popleft()
            db.touched_or_empty(key, value)

    def test_growth_of_a_large_collection_is_noticed_at_once(self) -> None:
        db = make()
        db.put(b"h", {b"f%d" % n: b"small" for n in range(1000)})
        for n in range(50):
            fields = db.writable(b"h", dict)
            fields[b"large%d" % n] = b"x" * 100_000
            db.touched(b"h")
            self.assertTrue((n + 1) * 100_000 < db.ledger.bytes < (n + 1) * 101_000 + 200_000)

    def test_a_large_collection_shrinks(self) -> None:
        for value in (deque([b"x" * 50] * 3000), {b"%050d" % n for n in range(3000)}):
            db = make()
            db.put(b"k", value)
            while value:
                value.pop()
                db.touched_or_empty(b"k", value)
            self.assertEqual((db.ledger.bytes, len(db)), (0, 0))

    def test_alarm(self) -> None:
        db = make()
        rung = []
        db.ledger.alarm = lambda: rung.append(db.ledger.bytes)
        db.ledger.ceiling = 1000
        db.put(b"a", b"x" * 500)
        self.assertEqual(rung, [])
        db.put(b"b", deque([b"x" * 500]))
        self.assertEqual(len(rung), 1)
        db.writable(b"b", deque).append(b"y")
        db.touched(b"b")
        self.assertEqual(len(rung), 2)

    def test_flush_and_swap(self) -> None:
        db, other, plain = make(RecencyDatabase), make(RecencyDatabase), Database(1, Clock(), Stats(), Trash())
        db.put(b"a", b"x" * 100)
        other.put(b"l", deque([b"x"]))
        sums = (db.ledger.bytes, other.ledger.bytes)
        db.swap(other)
        self.assertEqual((other.ledger.bytes, db.ledger.bytes), sums)
        db.remove(b"l")
        self.assertEqual(db.ledger.bytes, 0)
        other.flush()
        self.assertEqual((other.ledger.bytes, other.ledger.complete), (0, True))
        plain.put(b"k", b"v")
        db.swap(plain)
        self.assertFalse(db.ledger.complete)
        db.ledger.count(db, SHARDS)
        self.assertEqual(db.ledger.bytes, counted_anew(db))


class Counting(SynchronousTestCase):
    """An account that begins with keys in place."""

    def test_changes_while_it_counts(self) -> None:
        chance = random.Random(7)
        db = make(counted=False)
        for n in range(3000):
            db.put(b"key:%d" % n, b"v" * chance.randrange(200) if n % 3 else deque([b"x"] * 5))
        self.assertEqual(db.ledger.bytes, 0)
        for _ in range(8):
            db.ledger.count(db, SHARDS // 8)
            for _ in range(300):
                key = b"key:%d" % chance.randrange(3000)
                value = db.peek(key)
                if type(value) is deque:
                    value.append(b"more")
                    db.touched(key)
                elif chance.random() < 0.3:
                    db.delete(key)
                else:
                    db.put(key, b"other" * 10)
        self.assertTrue(db.ledger.complete)
        self.assertEqual(db.ledger.bytes, counted_anew(db))

    def test_extrapolates(self) -> None:
        db = make(counted=False)
        self.assertEqual(db.ledger.estimate(), 0)
        for n in range(20_000):
            db.put(b"key:%d" % n, b"v" * 100)
        db.ledger.count(db, SHARDS // 16)
        part = db.ledger.estimate()
        db.ledger.count(db, SHARDS)
        self.assertTrue(0.85 < part / db.ledger.estimate() < 1.15)


class Accesses(SynchronousTestCase):
    """``RecencyDatabase`` and ``FrequencyDatabase``."""

    def record(self, db: Any, key: bytes) -> int | None:
        """What is noted of ``key``."""
        found = [shard[key] for shard in db.ledger.accesses if key in shard]
        return found[0] if found else None

    def test_recency(self) -> None:
        db = make(RecencyDatabase)
        db.put(b"a", {b"f": b"v"})
        uses = [lambda: db.get(b"a"), lambda: db.read(b"a", dict), lambda: db.writable(b"a", dict),
                lambda: db.put(b"a", {b"f": b"v"})]  # fmt: skip
        for use in uses:
            db.clock.tenths += 10
            use()
            self.assertEqual(self.record(db, b"a"), db.clock.tenths)
        at = db.clock.tenths
        db.clock.tenths += 10
        for look in (db.peek, db.look, db.deadline, db.touched):
            look(b"a")
        db.get(b"nosuch")
        self.assertEqual((self.record(db, b"a"), self.record(db, b"nosuch")), (at, None))
        db.delete(b"a")
        self.assertIsNone(self.record(db, b"a"))

    def test_keys_that_were_there_before(self) -> None:
        for kind, record in ((RecencyDatabase, 1_000_000), (FrequencyDatabase, 1666 << 8 | NEW_COUNTER)):
            db = make(kind, counted=False)
            Database.put(db, b"old", b"v")
            db.ledger.count(db, SHARDS)
            self.assertEqual(self.record(db, b"old"), record)

    def test_frequency(self) -> None:
        db = make(FrequencyDatabase)
        db.put(b"a", b"v")
        self.assertEqual((self.record(db, b"a") or 0) & 255, NEW_COUNTER)
        for _ in range(2000):
            db.get(b"a")
        self.assertTrue(10 < (self.record(db, b"a") or 0) & 255 < 60)
        db.put(b"a", b"other")
        self.assertGreater((self.record(db, b"a") or 0) & 255, 10)


class Counter(SynchronousTestCase):
    """``LfuTuning``: Redis's logarithmic counter."""

    def test_rises_ever_slower(self) -> None:
        lfu = LfuTuning()
        record, reached = NEW_COUNTER, {}
        for uses in range(1, 100_001):
            record = lfu.used(record, 0)
            if uses in (100, 1000, 100_000):
                reached[uses] = record
        self.assertTrue(7 <= reached[100] <= 20, reached)
        self.assertTrue(14 <= reached[1000] <= 30, reached)
        self.assertTrue(120 <= reached[100_000] <= 170, reached)

    def test_without_factor_each_use_counts(self) -> None:
        lfu = LfuTuning()
        lfu.factor = 0
        record = 0
        for _ in range(300):
            record = lfu.used(record, 0)
        self.assertEqual(record, 255)

    def test_decays(self) -> None:
        lfu = LfuTuning()
        record = 10 << 8 | 100
        self.assertEqual([lfu.decayed(record, minute) for minute in (10, 11, 60, 200)], [100, 99, 50, 0])
        self.assertEqual(lfu.decayed(65535 << 8 | 100, 1), 98)  # the minutes have begun anew
        lfu.decay_minutes = 10
        self.assertEqual(lfu.decayed(record, 60), 95)
        lfu.decay_minutes = 0
        self.assertEqual(lfu.decayed(record, 200), 100)
