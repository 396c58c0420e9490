"""The spill against a plain bytes model, alone and under a history."""

from __future__ import annotations

import errno
import os
import random
import tempfile

from twisted.trial.unittest import SynchronousTestCase

from replicad.replication.history import MIN_BACKLOG_SIZE, Cursor, CursorClosed, History
from replicad.replication.spill import CHUNK, Spill

ID = "a" * 40
MIB = 1024 * 1024


class WithFiles(SynchronousTestCase):
    """Counts the files that are open."""

    def setUp(self) -> None:
        self.open: set[int] = set()
        self.addCleanup(lambda: [os.close(fd) for fd in self.open])

    def new_file(self) -> int:
        """Open a file without a name."""
        file = tempfile.TemporaryFile()
        self.open.add(fd := os.dup(file.fileno()))
        file.close()
        return fd

    def discard(self, fd: int) -> None:
        """Close one."""
        self.open.remove(fd)
        os.close(fd)

    def spill(self, limit: int) -> Spill:
        """Return a new one."""
        return Spill(self.new_file, self.discard, limit)


class Alone(WithFiles):
    """What is kept, and what is not."""

    def test_nothing(self) -> None:
        spill = self.spill(MIB)
        self.assertEqual((spill.size, spill.start, spill.end, self.open), (0, 0, 0, set()))
        self.assertRaises(LookupError, spill.read, 5, 10)

    def test_a_beginning_needs_no_file(self) -> None:
        spill = self.spill(MIB)
        spill.append(100, b"abc")
        spill.append(103, b"def")
        self.assertEqual((spill.start, spill.end, spill.read(101, 4), self.open), (100, 106, b"bcde", set()))

    def test_a_gap_begins_anew(self) -> None:
        spill = self.spill(MIB)
        spill.append(0, bytes(2 * CHUNK))
        self.assertEqual(len(self.open), 1)
        spill.append(2 * CHUNK + 1, b"abc")
        self.assertEqual((spill.start, spill.end, self.open), (2 * CHUNK + 1, 2 * CHUNK + 4, set()))

    def test_against_a_plain_model(self) -> None:
        """Random appends, reads and new limits; the file never grows beyond the limit."""
        for seed in range(20):
            rng = random.Random(seed)
            origin = rng.choice([0, 77_777])
            limit = rng.choice([4, 10]) * CHUNK
            spill = self.spill(limit)
            model = bytearray()
            for _ in range(150):
                action = rng.random()
                if action < 0.6:
                    data = rng.randbytes(rng.choice([1, 100, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 7]))
                    spill.append(origin + len(model), data)
                    model += data
                elif action < 0.98 and spill.size:
                    position = rng.randint(spill.start, spill.end)
                    wanted = rng.choice([1, 100, CHUNK, 5 * CHUNK])
                    self.assertEqual(
                        spill.read(position, wanted), model[position - origin : position - origin + wanted], f"seed {seed}"
                    )
                else:
                    held = spill.size
                    limit = rng.choice([4, 10, 20]) * CHUNK
                    spill.resize(limit)
                    self.assertIn(spill.size, (0, held), f"seed {seed}")
                if model and spill.size:
                    self.assertEqual(spill.end, origin + len(model), f"seed {seed}")
                self.assertTrue(spill.size < limit + CHUNK, f"seed {seed}")
                for fd in self.open:
                    self.assertTrue(os.fstat(fd).st_size <= limit, f"seed {seed}")
            spill.clear()
            self.assertEqual((spill.size, self.open), (0, set()))


class UnderAHistory(WithFiles):
    """Readers that are behind what memory holds."""

    def recording(self, limit: int, backlog: int = 4 * CHUNK) -> History:
        """Return a history that records, with a spill."""
        history = History(ID, backlog)
        history.reset(ID, 0)
        history.set_spill(self.spill(limit))
        return history

    def test_a_slow_reader_holds_no_memory(self) -> None:
        history = self.recording(20 * MIB)
        slow, fast = history.cursor_at(0), history.cursor_at(0)
        expected = bytearray()
        for number in range(10_000):
            data = b"%01000d" % number
            history.append(data)
            fast.advance(len(data))
            expected += data
        self.assertTrue(history.histlen <= history.memory_bound, history.histlen)
        self.assertEqual((history.start, history.first_byte_offset > 9_000_000), (0, True))
        self.assertEqual((slow.lag, slow.memory_lag), (len(expected), history.histlen))
        self.assertTrue(history.can_continue(ID, 1).accepted)
        got = bytearray()
        while piece := slow.read(50_000):
            got += piece
        self.assertEqual(got, expected)
        self.assertEqual((slow.lag, fast.lag), (0, 0))
        history.append(b"live")
        self.assertEqual((slow.read(), fast.read()), (b"live", b"live"))
        self.assertEqual(history.since(5_000_000), expected[5_000_000:] + b"live")

    def test_one_that_is_too_slow(self) -> None:
        history = self.recording(MIB)
        slow, slower = history.cursor_at(0), history.cursor_at(0)
        slow.read(0)
        for _ in range(1000):
            history.append(bytes(1000))
        slow.read(600_000)
        for _ in range(600):
            history.append(bytes(1000))
        self.assertTrue(slower.closed)
        self.assertFalse(slow.closed)
        self.assertRaises(CursorClosed, slower.read)
        self.assertEqual(len(slow.read(10_000_000)), 1_000_000)
        self.assertFalse(history.can_continue(ID, 1).accepted)
        self.assertTrue(history.can_continue(ID, history.start + 1).accepted)
        self.assertRaises(LookupError, history.cursor_at, history.start - 1)

    def test_it_goes_with_its_history(self) -> None:
        for end in ("reset", "free", "off"):
            history = self.recording(MIB)
            behind = history.cursor_at(0)
            history.append(bytes(700_000))
            history.append(b"x" * 100_000)
            self.assertEqual(len(self.open), 1)
            live = history.cursor_at(history.offset)
            if end == "reset":
                history.reset(ID, 5)
            elif end == "free":
                history.free_backlog()
            else:
                history.set_spill(None)
            self.assertEqual((behind.closed, live.closed, self.open), (True, end != "off", set()), end)
            self.assertTrue(history.histlen <= history.memory_bound)

    def test_turned_on_while_memory_is_full(self) -> None:
        history = History(ID, MIN_BACKLOG_SIZE)
        history.reset(ID, 0)
        slow = history.cursor_at(0)
        data = random.Random(1).randbytes(7 * MIB)
        history.append(data)
        history.set_spill(self.spill(20 * MIB))
        self.assertTrue(history.histlen > 4 * MIB)  # not all at once
        for _ in range(4):
            history.tidy()
        self.assertTrue(history.histlen <= history.memory_bound, history.histlen)
        self.assertEqual(slow.read(len(data)), data)

    def test_full_disk(self) -> None:
        """The spill is turned off once; who needs what was lost is closed, the others hold memory again."""
        for left in (0, 3):
            writes = []

            def full(fd: int, data: bytes, place: int, left: int = left, writes: list[int] = writes) -> int:
                writes.append(place)
                if len(writes) > left:
                    raise OSError(errno.ENOSPC, "No space left on device")
                return len(data)

            patch = self.patch(os, "pwrite", full)
            history = self.recording(MIB)
            broken: list[OSError] = []
            history.spill_broke = broken.append
            behind, live = history.cursor_at(0), history.cursor_at(0)
            while history.spill is not None:
                history.append(bytes(1000))
                live.advance(1000)
            self.assertEqual([error.errno for error in broken], [errno.ENOSPC])
            self.assertEqual((behind.closed, live.closed, self.open), (True, False, set()))
            for _ in range(1000):
                history.append(bytes(1000))
            self.assertEqual(len(live.read(2_000_000)), 1_000_000)
            patch.restore()

    def test_no_place_for_a_file(self) -> None:
        def refused() -> int:
            raise OSError(errno.EACCES, "Permission denied")

        history = self.recording(MIB)
        broken: list[OSError] = []
        history.spill_broke = broken.append
        history.set_spill(Spill(refused, self.discard, MIB))
        for _ in range(1000):
            history.append(bytes(1000))
        self.assertEqual(len(broken), 1)
        self.assertTrue(history.histlen <= history.memory_bound)

    def test_unreadable(self) -> None:
        history = self.recording(MIB)
        broken: list[OSError] = []
        history.spill_broke = broken.append
        slow = history.cursor_at(0)
        for _ in range(1000):
            history.append(bytes(1000))
        for fd in self.open:
            os.ftruncate(fd, 10)
        self.assertRaises(CursorClosed, slow.read)
        self.assertTrue(slow.closed)
        self.assertEqual((len(broken), history.spill), (1, None))

    def test_against_a_plain_model(self) -> None:
        """Random appends, reads, limits: a reader gets every byte in order, or is told that it is too late."""
        for seed in range(30):
            rng = random.Random(seed)
            history = self.recording(MIB, MIN_BACKLOG_SIZE)
            model = bytearray()
            cursors: list[Cursor] = []
            for _ in range(250):
                action = rng.random()
                if action < 0.5:
                    data = rng.randbytes(rng.choice([1, 100, 1000, 5000, 70_000]))
                    before = history.offset
                    history.append(data)
                    model += data
                    for cursor in cursors:
                        if cursor.position == before and not cursor.closed and rng.random() < 0.5:
                            cursor.advance(len(data))
                elif action < 0.8 and cursors:
                    cursor = rng.choice(cursors)
                    if cursor.closed:
                        self.assertRaises(CursorClosed, cursor.read)
                        cursors.remove(cursor)
                        continue
                    begin = cursor.position
                    got = cursor.read(rng.choice([1, 100, 65536, 300_000]))
                    self.assertEqual(got, model[begin : begin + len(got)], f"seed {seed}")
                    self.assertTrue(got or cursor.lag == 0, f"seed {seed}")
                elif action < 0.85:
                    history.backlog_size = rng.choice([1, 20_000, 100_000, 400_000])
                elif action < 0.88:
                    history.resize_spill(rng.choice([1, 2, 4]) * MIB)
                elif action < 0.90:
                    history.set_spill(rng.choice([None, self.spill(MIB)]))
                elif action < 0.93 and cursors:
                    cursors.pop(rng.randrange(len(cursors))).close()
                else:
                    cursors.append(history.cursor_at(rng.randint(history.start, history.offset)))
                self.assertEqual(history.offset, len(model), f"seed {seed}")
                for cursor in cursors:
                    self.assertTrue(cursor.closed or cursor.position >= history.start, f"seed {seed}")
                if history.spill is not None:
                    # A block may be as large as those of a larger backlog before were.
                    self.assertTrue(history.histlen <= history.memory_bound + 70_000, f"seed {seed}")
                    self.assertTrue(len(self.open) <= 1, f"seed {seed}")
            self.assertEqual(history.since(history.start), model[history.start :], f"seed {seed}")
            history.set_spill(None)
            self.assertEqual(self.open, set())
