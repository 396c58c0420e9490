"""Loading entries in slices."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from twisted.internet.task import Clock as Reactor
from twisted.trial.unittest import SynchronousTestCase

from replicad.keyspace import Clock, Database, Entry, Stats
from replicad.persistence.interfaces import DamagedSnapshot
from replicad.persistence.loader import Loader
from replicad.trash import Trash


class LoaderTest(SynchronousTestCase):
    """What arrives in the databases, and what is refused."""

    def load(self, entries: Iterable[Entry], drop_before_ms: int | None = None) -> tuple[list[Database], object]:
        """Load into two databases; return them and (keys, expired) or the error."""
        databases = [Database(index, Clock(), Stats(), Trash()) for index in range(2)]
        reactor = Reactor()
        ends: list[object] = []
        Loader(
            reactor.callLater, entries, databases, drop_before_ms, lambda *counts: ends.append(counts), ends.append
        ).start()
        for _ in range(1000):
            if ends:
                break
            reactor.advance(1)
        (end,) = ends
        return databases, end

    def test_entries(self) -> None:
        """Values and times are stored, what has expired is counted and left out; a generator may take several slices."""

        def entries() -> Iterator[Entry]:
            for number in range(1000):
                yield number % 2, b"%d" % number, b"v", 5 if number < 10 else 50 if number < 20 else None

        databases, end = self.load(entries(), 40)
        self.assertEqual(end, (990, 10))
        self.assertEqual([len(db) for db in databases], [495, 495])
        self.assertEqual((databases[0].deadline(b"10"), databases[1].deadline(b"21")), (50, None))
        databases, end = self.load(entries())
        self.assertEqual(end, (1000, 0))
        self.assertEqual(databases[0].deadline(b"0"), 5)

    def test_refusals(self) -> None:
        """A key that comes twice in a database, and a database that is not there, are damage."""
        for wrong, text in (
            ([(0, b"a", b"1", None), (1, b"a", b"2", None), (0, b"a", b"3", None)], "comes twice"),
            ([(1, b"a", b"1", None), (2, b"a", b"2", None)], "database 2"),
        ):
            _, end = self.load(wrong)
            assert isinstance(end, DamagedSnapshot)
            self.assertIn(text, str(end))
        self.assertEqual(self.load([(0, b"a", b"1", None), (1, b"a", b"2", None)])[1], (2, 0))
