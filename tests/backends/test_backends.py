"""The backends that come with the package, each under the whole suite, and what is particular to one."""

from __future__ import annotations

import dataclasses
import json
import os
import time
from importlib.util import find_spec
from typing import Any

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from replicad.expiring_hash import ExpiringHash
from replicad.persistence import lmdbstore
from replicad.persistence.interfaces import DamagedSnapshot, ISnapshotBackendFactory, SnapshotInfo
from replicad.persistence.lmdbstore import LMDBBackend, LMDBFactory
from replicad.persistence.rdbfile import RDBFileBackend, RDBFileFactory
from replicad.persistence.tailfile import read_tail
from replicad.values import Consumer, Group, SortedSet, Stream

from .suite import NEW, OLD, BackendSuite, IncrementalSuite, by_key


class RDBFileTest(BackendSuite, SynchronousTestCase):
    """An RDB file."""

    def make(self, directory: str) -> RDBFileBackend:
        return RDBFileBackend(directory, "dump.rdb")

    def stored(self, directory: str) -> list[str]:
        return [os.path.join(directory, "dump.rdb")]

    def test_version(self) -> None:
        """The oldest that will do, found while writing; the checksum fits the final number."""
        for entries, info, magic in (
            ([(0, b"a", b"b", None)], OLD, b"REDIS0009"),
            ([(0, b"a", Stream(), None)], OLD, b"REDIS0010"),
            ([(0, b"a", b"b", None)], NEW, b"REDIS0010"),
            ([(0, b"a", ExpiringHash({b"f": b"v"}, SortedSet.from_scores({b"f": 5})), None)], OLD, b"REDIS0012"),
        ):
            for checksum in (True, False):
                backend = RDBFileBackend(self.directory, "dump.rdb", checksum=checksum)
                backend.save(entries, info)
                with open(backend.path, "rb") as file:
                    data = file.read()
                self.assertEqual(data[:9], magic)
                self.assertEqual(data[-8:] == bytes(8), not checksum)
                self.assertEqual(self.loaded(), (info, by_key(entries)))

    def test_compression(self) -> None:
        """It saves room when the extra ``lzf`` is installed; without it nothing changes."""
        entries = [(0, b"a", b"again and again " * 1000, None)]
        sizes = []
        for compress in (False, True):
            backend = RDBFileBackend(self.directory, "dump.rdb", compress=compress)
            backend.save(entries, OLD)
            sizes.append(os.stat(backend.path).st_size)
            self.assertEqual(self.loaded()[1], by_key(entries))
        if find_spec("lzf"):
            self.assertGreater(sizes[0], 10 * sizes[1])
        else:
            self.assertEqual(sizes[0], sizes[1])

    def test_side_file_that_does_not_fit(self) -> None:
        """The end of the stream is found when it leads to the snapshot; whatever else is there is ignored."""
        info = dataclasses.replace(NEW, tail=b"0123456789")
        self.backend.save([], info)
        with open(self.backend.tail_path, "rb") as file:
            good = file.read()
        self.assertEqual(read_tail(self.backend.tail_path, info), info.tail)
        # A crash between the two renames: the side file is of the snapshot that did not come.
        older = dataclasses.replace(info, offset=info.offset - 3)
        self.assertEqual(read_tail(self.backend.tail_path, older), b"0123456")
        for change in ({"offset": info.offset + 1}, {"offset": info.offset - 10}, {"replid": "e" * 40}, {"replid": None}):
            other: Any = dataclasses.replace(info, **change)
            self.assertEqual(read_tail(self.backend.tail_path, other), b"", change)
        wrongs = [b"", b"x", good[:-1], good + b"x", bytes(len(good)), good[:30], good * 2]
        wrongs += [good[:place] + bytes((good[place] ^ 1,)) + good[place + 1 :] for place in range(len(good))]
        for wrong in wrongs:
            with open(self.backend.tail_path, "wb") as file:
                file.write(wrong)
            self.assertEqual(self.loaded(), (NEW, {}), wrong)
        os.unlink(self.backend.tail_path)
        os.mkdir(self.backend.tail_path)
        self.assertEqual(self.loaded(), (NEW, {}))
        self.backend.save([], info)  # it cannot be replaced, and the snapshot is saved all the same
        self.assertEqual(self.loaded(), (NEW, {}))
        self.assertEqual(sorted(os.listdir(self.directory)), ["dump.rdb", "dump.rdb.tail"])

    def test_the_rdb_file_is_clean(self) -> None:
        """The end of the stream is not in it: it is for those who do not read our side file."""
        self.backend.save([], dataclasses.replace(OLD, tail=b"end of the stream" * 10_000))
        self.assertLess(os.stat(self.backend.path).st_size, 300)

    def test_files_of_dead_writers(self) -> None:
        """They are removed when they are old; younger ones and other files are left alone."""
        now = time.time()
        found = ("temp-1.rdb", 4000), ("temp-1.tail", 4000), ("temp-2.rdb", 10), ("temp-x.rdb", 4000), ("other.rdb", 4000)
        for name, age in found:
            path = os.path.join(self.directory, name)
            with open(path, "wb"):
                pass
            os.utime(path, (now - age, now - age))
        self.backend.save([], OLD)
        self.assertEqual(sorted(os.listdir(self.directory)), ["dump.rdb", "other.rdb", "temp-2.rdb", "temp-x.rdb"])

    def test_settings(self) -> None:
        """The factory reads the directives of redis.conf."""
        factory = RDBFileFactory()
        self.assertTrue(verifyObject(ISnapshotBackendFactory, factory))
        backend = factory.make(
            {"dir": self.directory, "dbfilename": "x.rdb", "rdbcompression": False, "rdbchecksum": False}
        )
        backend.save([(0, b"a", b"a" * 1000, None)], OLD)
        with open(os.path.join(self.directory, "x.rdb"), "rb") as file:
            data = file.read()
        self.assertIn(b"a" * 1000, data)
        self.assertEqual(data[-8:], bytes(8))
        self.assertEqual(factory.make({}).path, os.path.join(".", "dump.rdb"))

    def test_place_of_damage(self) -> None:
        """The text names the byte."""
        self.backend.save([(0, b"a", b"b", None), (0, b"c", b"d", None)], SnapshotInfo(saved_at=1))
        with open(self.backend.path, "r+b") as file:
            data = file.read()
            place = data.index(b"\0\x01c\x01d")
            file.seek(place)
            file.write(b"\x08")
        damage = self.assertRaises(DamagedSnapshot, self.loaded)
        self.assertEqual(str(damage), f"{self.backend.path} is damaged at byte {place}: unknown value type 8")


class LMDBTest(IncrementalSuite, SynchronousTestCase):
    """An LMDB environment."""

    def make(self, directory: str) -> LMDBBackend:
        return LMDBBackend(os.path.join(directory, "replicad.lmdb"))

    def stored(self, directory: str) -> list[str]:
        return [os.path.join(directory, "replicad.lmdb", "data.mdb")]

    def test_times_of_consumers(self) -> None:
        """Both are kept: also the one of its last success, which RDB files of Redis 7.0 have no place for."""
        stream = Stream()
        stream.groups[b"g"] = Group((0, 0), None)
        stream.groups[b"g"].consumers[b"c"] = Consumer(1_700_000_000_000, 1_600_000_000_000)
        stream.groups[b"g"].consumers[b"idle"] = Consumer(1_700_000_000_000)
        entries = [(0, b"s", stream, None)]
        self.backend.save(entries, OLD)
        self.assertEqual(self.loaded()[1], by_key(entries))

    def test_map_grows(self) -> None:
        """More than was reckoned: values that need a page for little more than half a page."""
        self.patch(lmdbstore, "_SPARE_MAP", 1024 * 1024)
        entries = [(0, b"%d" % number, b"x" * 2100, None) for number in range(4000)]
        self.backend.save(iter(entries), NEW)
        self.assertEqual(self.loaded(), (NEW, by_key(entries)))
        more = [(1, b"%d" % number, b"x" * 2100, None) for number in range(4000)]
        self.backend.apply(iter(more), OLD)
        self.assertEqual(self.loaded(), (OLD, by_key(entries + more)))

    def test_batches(self) -> None:
        """Several batches make one snapshot."""
        self.patch(lmdbstore, "_BATCH_BYTES", 100_000)
        entries = [(number % 2, b"%d" % number, b"x" * 200, None) for number in range(2000)]
        self.backend.save(iter(entries), NEW)
        self.assertEqual(self.loaded(), (NEW, by_key(entries)))
        self.backend.apply(((0, b"%d" % number, None, None) for number in range(0, 2000, 2)), NEW)
        self.assertEqual(self.loaded(), (NEW, by_key(entries[1::2])))

    def test_no_descriptor_stays(self) -> None:
        """After a save and after a load nothing is open that a fork could carry over."""

        def descriptors() -> set[str]:
            found = set()
            for number in os.listdir("/proc/self/fd"):
                try:
                    found.add(os.readlink(f"/proc/self/fd/{number}"))
                except FileNotFoundError:
                    pass  # the descriptor of this very listing
            return {path for path in found if self.directory in path}

        self.backend.save([(0, b"a", b"b", None)], OLD)
        self.backend.apply([(0, b"a", b"c", None)], OLD)
        self.assertEqual(self.loaded()[1], {(0, b"a"): (b"c", None)})
        self.assertEqual(descriptors(), set())

    def test_one_reader(self) -> None:
        """LMDB allows one handle on a file; a second reader gets an OSError and the first one goes on."""
        self.backend.save([(0, b"a", b"b", None)], OLD)
        _, entries = self.backend.load()
        self.assertRaises(OSError, self.backend.load)
        self.assertEqual(list(entries), [(0, b"a", b"b", None)])
        self.assertEqual(self.loaded()[0], OLD)

    def test_newer_format(self) -> None:
        """A file of a later release is refused with its number."""
        self.patch(json, "dumps", lambda value, dumps=json.dumps: dumps({**value, "format": 2}))
        self.backend.save([], OLD)
        self.assertIn("format 2 is not known", str(self.assertRaises(DamagedSnapshot, self.loaded)))

    def test_settings(self) -> None:
        """The factory reads lmdb-path, and has a place below dir."""
        factory = LMDBFactory()
        self.assertTrue(verifyObject(ISnapshotBackendFactory, factory))
        self.assertEqual(factory.make({"dir": "/a"}).directory, "/a/replicad.lmdb")
        self.assertEqual(factory.make({"dir": "/a", "lmdb-path": ""}).directory, "/a/replicad.lmdb")
        self.assertEqual(factory.make({"dir": "/a", "lmdb-path": "b"}).directory, "/a/b")
        self.assertEqual(factory.make({"dir": "/a", "lmdb-path": "/b/c"}).directory, "/b/c")
