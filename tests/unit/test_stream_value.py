"""Streams in nodes, and who holds what in a group, against plain models."""

from __future__ import annotations

from random import Random

import anycrc
from twisted.trial.unittest import SynchronousTestCase

from replicad.persistence.interfaces import DamagedSnapshot
from replicad.persistence.rdb import dump_payload, load_payload
from replicad.trash import Trash
from replicad.values import Consumer, Group, Stream, copy_value


def stream_of(count: int, entries: int = 10) -> Stream:
    """A stream with the ids 1-0, 2-0 and so on, in nodes of so many entries."""
    stream = Stream()
    for number in range(1, count + 1):
        stream.append((number, 0), (b"f", b"%d" % number), 4096, entries)
    return stream


class NodesTest(SynchronousTestCase):
    """How entries share nodes, and trimming by nodes."""

    def test_limits(self) -> None:
        """A node is closed by its number of entries or by its size; 0 is no limit."""
        self.assertEqual(stream_of(95).node_count, 10)
        self.assertEqual(stream_of(95, 0).node_count, 1)
        stream = Stream()
        for number in range(1, 11):
            stream.append((number, 0), (b"f", b"x" * 1000), 0, 0)
        self.assertEqual(stream.node_count, 1)
        stream = Stream()
        for number in range(1, 11):
            stream.append((number, 0), (b"f", b"x" * 5000), 4096, 100)
        self.assertEqual(stream.node_count, 10)

    def test_deleted_entries_take_their_place(self) -> None:
        """A node is as full as it was; it goes with its last entry."""
        stream = stream_of(10)
        for number in range(2, 11):
            stream.delete((number, 0))
        stream.append((11, 0), (b"f", b"v"), 4096, 10)
        self.assertEqual((stream.node_count, len(stream), stream.first_id, stream.top_id), (2, 2, (1, 0), (11, 0)))
        stream.delete((11, 0))
        self.assertEqual((stream.node_count, stream.top_id, stream.last_id), (1, (1, 0), (11, 0)))
        stream.append((12, 0), (b"f", b"v"), 4096, 10)
        self.assertEqual([entry_id for entry_id, _ in stream], [(1, 0), (12, 0)])

    def test_trim(self) -> None:
        """By length and by id, exactly and in whole nodes, with a limit."""
        for arguments, left in (
            ((42, (0, 0), False, 0), 42),
            ((42, (0, 0), True, 0), 50),
            ((42, (0, 0), True, 25), 80),
            ((0, (0, 0), False, 0), 0),
            ((0, (0, 0), True, 0), 0),
            ((100, (0, 0), False, 0), 100),
            ((None, (42, 0), False, 0), 59),
            ((None, (42, 1), False, 0), 58),
            ((None, (42, 0), True, 0), 60),
            ((None, (1000, 0), False, 0), 0),
            ((None, (1000, 0), True, 0), 0),
            ((None, (0, 0), False, 0), 100),
        ):
            stream = stream_of(100)
            length, least, whole, limit = arguments
            removed, remains = stream.trim(length, least, whole_nodes=whole, limit=limit)
            self.assertEqual((removed, len(stream)), (100 - left, left), arguments)
            self.assertEqual([entry_id[0] for entry_id, _ in stream], list(range(101 - left, 101)))
            self.assertEqual(len(remains), removed // 10)
            stream.append((200, 0), (b"f", b"v"))
            self.assertEqual(stream.range()[-1], ((200, 0), (b"f", b"v")))

    def test_size_of_the_tree(self) -> None:
        """One node for each part of the keys that they share or do not."""
        self.assertEqual(Stream().tree_size(), 1)
        self.assertEqual(stream_of(1).tree_size(), 2)
        self.assertEqual(stream_of(2, 1).tree_size(), 6)
        self.assertGreater(stream_of(5000, 1).tree_size(), 5000)

    def test_a_copy_has_the_same_nodes(self) -> None:
        """Also one that went through a payload."""
        stream = stream_of(25)
        stream.delete((1, 0))
        for other in (copy_value(stream), load_payload(dump_payload(stream))):
            self.assertEqual(other, stream)
            self.assertEqual([node[0] for node in other.nodes()], [(1, 0), (11, 0), (21, 0)])
            other.append((30, 0), (b"f", b"v"))
            self.assertNotEqual(other, stream)

    def test_trash(self) -> None:
        """A large stream is freed in slices, its pending entries too."""
        stream = stream_of(20_000)
        group = stream.groups[b"g"] = Group()
        for number in range(1, 12_001):
            group.assign((number, 0), b"c", 1, 1)
        trash = Trash()
        trash.throw(stream)
        trash.throw(stream_of(30_000).trim(0)[1])
        slices = 1
        while trash.reclaim(2000):
            slices += 1
        self.assertGreater(slices, 50)
        self.assertEqual((len(stream), len(group)), (0, 0))


class GroupTest(SynchronousTestCase):
    """The index by consumer agrees with the records."""

    def check(self, group: Group) -> None:
        for name in (b"a", b"b", b"c"):
            expected = [entry_id for entry_id, item in group.pending.items() if item.consumer == name]
            self.assertEqual(list(group.held_by(name)), expected)
            self.assertEqual([entry_id for entry_id, _ in group.pending_range(consumer=name)], expected)

    def test_random_changes(self) -> None:
        """Deliveries, acknowledgements, claims and the end of consumers in any order."""
        random = Random(7)
        group = Group()
        for step in range(3000):
            name, entry_id = random.choice((b"a", b"b", b"c")), (random.randrange(60), 0)
            choice = random.random()
            if choice < 0.6:
                group.consumers.setdefault(name, Consumer(1))
                item = group.assign(entry_id, name, step, 1)
                self.assertEqual((item.consumer, item.delivery_time_ms), (name, step))
            elif choice < 0.95:
                held = entry_id in group.pending
                self.assertEqual(group.release(entry_id), held)
                self.assertNotIn(entry_id, group.pending)
            else:
                count = len(group.held_by(name))
                self.assertEqual(group.remove_consumer(name)[0], count)
                self.assertNotIn(name, group.consumers)
            if step % 20 == 0:
                self.check(group)
                group = group.copy() if step % 100 == 0 else group


class DamagedStreamTest(SynchronousTestCase):
    """A payload with any byte changed is refused, or is a stream that works."""

    def test_every_byte(self) -> None:
        """The check sum is made anew: what it would find is not the question."""
        stream = stream_of(25)
        stream.append((26, 5), (b"other", b"1", b"more", b"x" * 70))
        stream.delete((3, 0))
        group = stream.groups[b"g"] = Group((20, 0), 20)
        for number in range(1, 21):
            name = b"alice" if number % 2 else b"bob"
            group.consumers.setdefault(name, Consumer(1000))
            group.assign((number, 0), name, 1000, 1)
        good = dump_payload(stream)
        crc = anycrc.Model("CRC64-REDIS")
        found = 0
        for position in range(len(good) - 10):
            for flip in (1, 0x80, 0xFF):
                bad = bytearray(good)
                bad[position] ^= flip
                bad[-8:] = crc.calc(bytes(bad[:-8])).to_bytes(8, "little")
                try:
                    value = load_payload(bytes(bad))
                except DamagedSnapshot:
                    continue
                if type(value) is not Stream:
                    continue
                found += 1
                entries = list(value)
                self.assertEqual(len(entries), len(value))
                self.assertEqual([entry_id for entry_id, _ in entries], sorted({entry_id for entry_id, _ in entries}))
                self.assertEqual(value.range(), entries)
                self.assertEqual(value.copy(), value)
                for group in value.groups.values():
                    self.assertEqual(sum(len(group.held_by(name)) for name in group.consumers), len(group))
                if entries:
                    self.assertTrue(value.delete(entries[0][0]))
                value.trim(1)
        self.assertGreater(found, 100)
