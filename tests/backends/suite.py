"""What every snapshot backend must do, as a mixin: one class per backend runs it.

A backend of another package runs the same suite::

    class MyBackendTest(BackendSuite, SynchronousTestCase):
        def make(self, directory: str) -> Any:
            return MyFactory().make({"dir": directory})

        def stored(self, directory: str) -> list[str]:
            return [os.path.join(directory, "my.file")]

With ``keeps_tail = False`` for one that has no place for the end of the replication stream.
"""

from __future__ import annotations

import dataclasses
import os
import resource
import shutil
import signal
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from zope.interface.verify import verifyObject

from replicad.expiring_hash import ExpiringHash
from replicad.persistence.interfaces import DamagedSnapshot, IIncrementalBackend, ISnapshotBackend, NoSnapshot, SnapshotInfo
from replicad.values import Consumer, Entry, Group, ModuleValue, Pending, SortedSet, Stream

OLD = SnapshotInfo(replid="0" * 40, offset=100, selected_db=2, saved_at=1_700_000_000)
NEW = SnapshotInfo(
    replid="0123456789abcdef0123456789abcdef01234567",
    offset=987654321012,
    selected_db=0,
    second_replid="f" * 40,
    second_offset=55,
    saved_at=1_700_000_001,
    functions=(b"#!lua name=lib\nreturn '\xff\x00'", b"#!lua name=other\n"),
    redis_version="7.0.15",
    used_memory=123456,
)


def stream() -> Stream:
    """A stream with groups, consumers and pending entries."""
    found = Stream()
    for number in range(1, 251):
        found.append((number, number), (b"f", b"%d" % number))
    found.delete((7, 7))
    found.max_deleted_id = (7, 7)
    group = found.groups[b"g"] = Group((100, 100), 100)
    group.consumers[b"c"] = Consumer(1_700_000_000_000, 1_700_000_000_000)
    group.pending[99, 99] = Pending(b"c", 1_700_000_000_000, 3)
    return found


def every_kind() -> list[Entry]:
    """A dataset with every type, edge of size and database."""
    return [
        (0, b"text", b"hello", None),
        (0, b"number", b"-12", 1893456000000),
        (0, b"", b"", None),
        (0, b"expired", b"x", 1),
        (0, b"bin\0\xff\r\n", bytes(range(256)), None),
        *((0, b"L" * size, b"%d" % size, None) for size in (497, 503, 504, 505, 506, 507, 510, 511, 512, 5000, 100000)),
        (0, b"L" * 5000 + b"M", b"same start", 77),
        (1, b"L" * 5000, deque([b"other database"]), None),
        (1, b"big", b"v" * 300000, None),
        (1, b"list", deque([b"a", b"", b"b" * 500]), None),
        (2, b"set", {b"x", b"y", b"7"}, 7),
        (2, b"many", {b"member:%d" % number for number in range(3000)}, None),
        (15, b"zset", SortedSet.from_pairs([(b"a", 1.5), (b"b", float("-inf"))]), None),
        (15, b"hash", {b"f": b"v", b"g": b"w" * 30}, None),
        (200, b"stream", stream(), 99),
        (200, b"empty stream", Stream(), None),
        (15, b"text", b"in a database of before", None),
        (2**31 - 1, b"module", ModuleValue(bytes.fromhex("819b2fadca97bed403028100000001000000" "0000")), None),
    ]


def by_key(entries: Any) -> dict[tuple[int, bytes], tuple[Any, int | None]]:
    """Entries as a mapping, because backends may change their order; no key may come twice."""
    found: dict[tuple[int, bytes], tuple[Any, int | None]] = {}
    for db, key, value, expire_at_ms in entries:
        assert (db, key) not in found
        found[db, key] = value, expire_at_ms
    return found


class BackendSuite:
    """The tests.  Mixed into a trial test case."""

    keeps_tail = True  #: what ``SnapshotInfo.tail`` says is stored

    def make(self, directory: str) -> Any:
        """Return the backend, with its files in ``directory``."""
        raise NotImplementedError

    def stored(self, directory: str) -> list[str]:
        """Return the files that hold the snapshot."""
        raise NotImplementedError

    def setUp(self) -> None:
        self.directory = tempfile.mkdtemp(prefix="replicad-backend-")
        self.addCleanup(shutil.rmtree, self.directory, ignore_errors=True)
        self.backend = self.make(self.directory)

    def loaded(self) -> tuple[SnapshotInfo, dict[tuple[int, bytes], tuple[Any, int | None]]]:
        """Load everything with a fresh backend."""
        info, entries = self.make(self.directory).load()
        return info, by_key(entries)

    def in_child(self, work: Callable[[], None]) -> int:
        """Do ``work`` in a child process and return its wait status; 0 means that nothing was raised."""
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                work()
                status = 0
            finally:
                os._exit(status)
        return os.waitpid(pid, 0)[1]

    def files(self) -> set[str]:
        """All files below the directory."""
        return {os.path.join(path, name) for path, _, names in os.walk(self.directory) for name in names}

    def test_interface(self) -> None:
        """It provides what it says."""
        self.assertTrue(verifyObject(ISnapshotBackend, self.backend))
        if IIncrementalBackend.providedBy(self.backend):
            self.assertTrue(verifyObject(IIncrementalBackend, self.backend))

    def test_nothing_stored(self) -> None:
        """A fresh place says so, and stays as it is."""
        self.assertRaises(NoSnapshot, self.backend.load)
        self.assertIsNone(self.backend.last_saved())
        self.assertEqual(self.files(), set())

    def test_round_trip(self) -> None:
        """All types, databases, times and keys come back, and the information with them."""
        self.backend.save(iter(every_kind()), NEW)
        info, found = self.loaded()
        self.assertEqual(info, NEW)
        expected = by_key(every_kind())
        self.assertEqual(found.keys(), expected.keys())
        for key, (value, expire_at_ms) in expected.items():
            self.assertIs(type(found[key][0]), type(value), key)
            self.assertEqual(found[key], (value, expire_at_ms), key)

    def test_field_deadlines(self) -> None:
        """Hashes keep the deadlines of fields, beside that of the key; real servers before 7.4 know no such thing."""
        value = ExpiringHash({b"f": b"v", b"g": b"w"}, SortedSet.from_scores({b"f": 1893456000123}))
        entries = [(0, b"a", value, None), (3, b"a", value, 2**42)]
        self.backend.save(iter([*entries, *every_kind()]), NEW)
        self.assertEqual(self.loaded()[1], by_key([*entries, *every_kind()]))

    def test_empty_dataset(self) -> None:
        """No keys are a snapshot too."""
        self.backend.save([], OLD)
        self.assertEqual(self.loaded(), (OLD, {}))

    def test_no_replication_state(self) -> None:
        """A server without history stores none."""
        self.backend.save([], SnapshotInfo(saved_at=5))
        self.assertEqual(self.loaded()[0], SnapshotInfo(saved_at=5))

    def test_end_of_the_stream(self) -> None:
        """It is stored and replaced with the snapshot, and none is found with a snapshot that had none."""
        infos = [dataclasses.replace(NEW, tail=bytes(range(256)) * 1024), dataclasses.replace(OLD, tail=b"*1"), OLD]
        for info in infos:
            self.backend.save([(0, b"a", b"b", None)], info)
            self.assertEqual(self.loaded()[0], info if self.keeps_tail else dataclasses.replace(info, tail=b""))
        self.assertEqual(self.files(), set(self.stored(self.directory)))

    def test_replaced(self) -> None:
        """A save leaves nothing of the one before, and no more files than it needs."""
        for number in range(3):
            self.backend.save([(0, b"%d" % number, b"x" * 100000, None)], OLD)
            self.assertEqual(list(self.loaded()[1]), [(0, b"%d" % number)])
            self.assertEqual(self.files(), set(self.stored(self.directory)))

    def test_last_saved(self) -> None:
        """The time of the last save."""
        before = time.time() - 1
        self.backend.save([], OLD)
        found = self.backend.last_saved()
        self.assertTrue(before <= found <= time.time() + 1, found)

    def test_many_keys(self) -> None:
        """More than fit into one piece of anything."""
        count = 30000
        entries: list[Entry] = [
            (number % 3, b"key:%d" % number, b"value:%d" % number * 20, number if number % 5 == 0 else None)
            for number in range(count)
        ]
        self.backend.save(iter(entries), NEW)
        self.assertEqual(self.loaded()[1], by_key(entries))

    def test_load_goes_along(self) -> None:
        """Entries come one by one, and a reader may stop in the middle."""
        self.backend.save(((0, b"%d" % number, b"x" * 1000, None) for number in range(5000)), OLD)
        _, first = self.backend.load()
        key = next(first)[1]
        self.assertEqual(len(by_key(first)), 4999)
        _, second = self.backend.load()
        next(second)
        # A save may come while a reader is not at its end, which reads the old snapshot on.
        self.backend.save([(1, key, b"new", None)], NEW)
        self.assertEqual(len(by_key(second)), 4999)
        self.backend.save([(1, key, b"new", None)], NEW)
        self.assertEqual(self.loaded(), (NEW, {(1, key): (b"new", None)}))

    def test_entries_raise(self) -> None:
        """When the dataset ends in an error the old snapshot stays, without rubbish beside it."""
        self.backend.save([(0, b"old", b"x", None)], OLD)

        def entries() -> Iterator[Entry]:
            for number in range(3000):
                yield 0, b"%d" % number, b"y" * 100, None
            raise ZeroDivisionError

        self.assertRaises(ZeroDivisionError, self.backend.save, entries(), NEW)
        self.assertEqual(self.loaded(), (OLD, {(0, b"old"): (b"x", None)}))
        self.assertEqual(self.files(), set(self.stored(self.directory)))

    def test_killed(self) -> None:
        """SIGKILL at any moment of a save leaves the old snapshot or the new one, and the next save works."""
        self.backend.save([(0, b"old", b"x", None)], OLD)
        entries = [(0, b"%d" % number, b"y" * 1000, None) for number in range(2000)]

        def killed_after(count: int) -> Callable[[], None]:
            def several() -> Iterator[Entry]:
                for number, entry in enumerate(entries):
                    if number == count:
                        os.kill(os.getpid(), signal.SIGKILL)
                    yield entry

            return lambda: self.make(self.directory).save(several(), NEW)

        for count in (0, 1, 300, 1999):
            self.assertEqual(self.in_child(killed_after(count)), signal.SIGKILL)
            self.assertEqual(self.loaded(), (OLD, {(0, b"old"): (b"x", None)}))

        def killed_at(name: str) -> Callable[[], None]:
            def work() -> None:
                def die(*args: Any) -> None:
                    os.kill(os.getpid(), signal.SIGKILL)

                setattr(os, name, die)
                self.make(self.directory).save(iter(entries), NEW)

            return work

        for name in ("fsync", "replace"):
            self.assertEqual(self.in_child(killed_at(name)), signal.SIGKILL)
            self.assertEqual(self.loaded()[0], OLD)
        self.assertEqual(self.in_child(lambda: self.make(self.directory).save(iter(entries), NEW)), 0)
        self.assertEqual(self.loaded(), (NEW, by_key(entries)))

    def test_killed_by_the_clock(self) -> None:
        """The same at moments that nobody chose."""
        entries = [(0, b"%d" % number, b"y" * 1000, None) for number in range(3000)]
        self.backend.save([(0, b"old", b"x", None)], OLD)

        def save() -> None:
            while True:
                self.make(self.directory).save(iter(entries), NEW)

        for delay in (0.001, 0.004, 0.009, 0.016, 0.025, 0.04):
            pid = os.fork()
            if pid == 0:
                try:
                    save()
                finally:
                    os._exit(1)
            time.sleep(delay)
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            info, found = self.loaded()
            self.assertIn(info.offset, (OLD.offset, NEW.offset))
            self.assertEqual(len(found), 1 if info.offset == OLD.offset else 3000)

    def test_no_room(self) -> None:
        """A file that may not grow is an OSError, and the old snapshot stays alone."""
        self.backend.save([(0, b"old", b"x", None)], OLD)
        before = self.files()

        def work() -> None:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
            backend = self.make(self.directory)
            try:
                backend.save(((0, b"%d" % number, os.urandom(1000), None) for number in range(3000)), NEW)
            except OSError:
                return
            raise AssertionError("no error")

        self.assertEqual(self.in_child(work), 0)
        self.assertEqual(self.loaded(), (OLD, {(0, b"old"): (b"x", None)}))
        self.assertEqual(self.files(), before)

    def test_no_directory(self) -> None:
        """A place that cannot be a directory is an OSError."""
        path = os.path.join(self.directory, "file")
        with open(path, "wb"):
            pass
        backend = self.make(os.path.join(path, "below"))
        self.assertRaises(OSError, backend.save, [], OLD)

    def test_damaged(self) -> None:
        """A file that was cut short, changed or replaced by something else is damaged, and the text names it."""
        self.backend.save(every_kind(), NEW)
        for path in self.stored(self.directory):
            with open(path, "rb") as file:
                good = file.read()
            size = len(good)
            wrongs = [b"", b"x", good[:50], good[: size // 2], good[:-1], b"x" * size, good + b"x", bytes(size)]
            for position in range(0, size, max(1, size // 150)):
                wrongs.append(good[:position] + bytes((good[position] ^ 0x55,)) + good[position + 1 :])
            for wrong in wrongs:
                with open(path, "wb") as file:
                    file.write(wrong)
                try:
                    self.loaded()
                except DamagedSnapshot as damage:
                    self.assertEqual(damage.path, path)
                    self.assertIn(path, str(damage))
                else:
                    raise AssertionError(f"loaded {wrong[:100]!r}")
            with open(path, "wb") as file:
                file.write(good)
        self.assertEqual(self.loaded()[0], NEW)


class IncrementalSuite(BackendSuite):
    """The tests of backends that take differences."""

    def test_changes(self) -> None:
        """New, changed and deleted keys of all kinds; the others stay."""
        entries = every_kind()
        self.backend.save(entries, OLD)
        expected = by_key(entries)
        changes: list[tuple[int, bytes, Any, int | None]] = [
            (0, b"text", deque([b"now a list"]), 5),
            (0, b"number", None, None),
            (0, b"L" * 5000, b"changed", None),
            (0, b"L" * 100000, None, None),
            (0, b"never was", None, None),
            (7, b"new", b"x" * 100000, None),
            (200, b"stream", Stream(), None),
        ]
        for db, key, value, expire_at_ms in changes:
            if value is None:
                expected.pop((db, key), None)
            else:
                expected[db, key] = value, expire_at_ms
        self.backend.apply(iter(changes), NEW)
        self.assertEqual(self.loaded(), (NEW, expected))
        self.assertEqual(self.files(), set(self.stored(self.directory)))
        for number in range(20):
            self.backend.apply([(0, b"again", b"%d" % number * 1000, None)], OLD)
        expected[0, b"again"] = b"19" * 1000, None
        self.assertEqual(self.loaded(), (OLD, expected))

    def test_end_of_the_stream_with_changes(self) -> None:
        """A difference brings the end of the stream at its own offset."""
        self.backend.save([], dataclasses.replace(OLD, tail=b"old"))
        info = dataclasses.replace(NEW, tail=b"new")
        self.backend.apply([(0, b"a", b"b", None)], info)
        self.assertEqual(self.loaded()[0], info if self.keeps_tail else NEW)

    def test_changes_of_nothing(self) -> None:
        """There must be a snapshot, and a sound one."""
        self.assertRaises(NoSnapshot, self.backend.apply, [], OLD)
        self.backend.save([], OLD)
        path = self.stored(self.directory)[0]
        os.truncate(path, os.stat(path).st_size - 1)
        self.assertRaises(DamagedSnapshot, self.backend.apply, [], NEW)

    def test_changes_killed(self) -> None:
        """SIGKILL leaves the state before or after."""
        entries = [(0, b"%d" % number, b"y" * 1000, None) for number in range(1000)]
        self.backend.save(entries, OLD)

        def changes() -> Iterator[Entry]:
            for number in range(500):
                yield 0, b"%d" % number, b"z", None
            os.kill(os.getpid(), signal.SIGKILL)

        self.assertEqual(self.in_child(lambda: self.make(self.directory).apply(changes(), NEW)), signal.SIGKILL)
        self.assertEqual(self.loaded(), (OLD, by_key(entries)))
        self.backend.apply([(0, b"0", None, None)], NEW)
        self.assertEqual(len(self.loaded()[1]), 999)
