"""Tests for replicad.timekeeping: slices of work come back, and never in more than one row."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from replicad.config import load
from replicad.server import Server
from replicad.trash import Trash


class Endless(Trash):
    """Trash that never ends; each slice of it is counted."""

    slices = 0

    def __len__(self) -> int:
        return 1

    def reclaim(self, elements: int = 5000) -> bool:
        self.slices += 1
        return True


class Slices(SynchronousTestCase):
    def test_one_row_of_slices_however_long_it_lasts(self) -> None:
        clock = Clock()
        server = Server(load(None, []), clock)
        server.trash = Endless()
        for _ in range(20):
            server.timekeeper.tick()
            self.assertEqual(len(clock.getDelayedCalls()), 1)
            clock.advance(0.1)
        self.assertEqual(len(clock.getDelayedCalls()), 1)
        self.assertGreater(server.trash.slices, 20)

    def test_memory_comes_back_and_the_row_ends(self) -> None:
        clock = Clock()
        server = Server(load(None, []), clock)
        server.trash.throw({b"%d" % n: b"" for n in range(50_000)})
        for _ in range(1000):
            server.timekeeper.tick()
            clock.advance(0.1)
        self.assertEqual(len(server.trash), 0)
        self.assertEqual(clock.getDelayedCalls(), [])
