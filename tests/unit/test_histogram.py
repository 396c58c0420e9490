"""Histograms of command times."""

from __future__ import annotations

import random

from twisted.trial.unittest import SynchronousTestCase

from replicad.command import TABLE, track_latency
from replicad.commands.latency import age, draw
from replicad.config import load
from replicad.dispatch import run
from replicad.histogram import LONGEST, SLOT_SHIFT, SLOTS, Histogram
from replicad.server import Server
from replicad.session import Client


class HistogramTest(SynchronousTestCase):
    def test_bounds(self) -> None:
        """The numbers under which Redis 7.0 prints times of 1 us to 1 s and more."""
        for nanoseconds, shown in (
            (0, 1), (1023, 1), (1024, 2), (2000, 2), (3000, 4), (20_000, 33), (40_000, 66), (100_000, 132), (200_000, 264),
            (300_000, 528), (600_000, 1056), (1_100_000, 2113), (20_185_000, 33816), (600_000_000, 1073741),
            (90_000_000_000, 1073741),
        ):  # fmt: skip
            histogram = Histogram()
            histogram.add(nanoseconds, 3)
            self.assertEqual(histogram.cumulative(), [(shown, 3)], nanoseconds)

    def test_cumulative(self) -> None:
        """Only bounds at which the number grows are there."""
        histogram = Histogram()
        for nanoseconds, count in ((700, 2), (3000, 1), (3500, 1), (5_000_000, 1)):
            histogram.add(nanoseconds, count)
        self.assertEqual(histogram.cumulative(), [(1, 2), (4, 4), (8454, 5)])
        self.assertEqual(histogram.count, 5)

    def test_percentiles(self) -> None:
        """Each is at or above the true one, by a slot or a 128th at most."""
        source = random.Random(7)
        times = sorted(int(10 ** source.uniform(2, 8.9)) for _ in range(5000))
        histogram = Histogram()
        for one in times:
            histogram.add(one, 1)
        wanted = (0.0, 1.0, 50.0, 99.0, 99.9, 100.0)
        for percentage, found in zip(wanted, histogram.percentiles(wanted), strict=True):
            true = times[max(1, int(percentage / 100 * 5000 + 0.5)) - 1]
            self.assertTrue(true <= found <= true + max(1 << SLOT_SHIFT, true / 128 + 1), (percentage, true, found))

    def test_the_longest(self) -> None:
        """Everything above a second is one part."""
        histogram = Histogram()
        histogram.add(LONGEST, 1)
        histogram.add(1 << 50, 1)
        self.assertEqual([count for _, count in histogram.steps()], [2])

    def test_border_of_the_slots(self) -> None:
        """Nothing gets lost or changes order where the slots end."""
        histogram = Histogram()
        border = SLOTS << SLOT_SHIFT
        histogram.add(border - 1, 1)
        histogram.add(border, 1)
        (first, _), (second, _) = histogram.steps()
        self.assertTrue(border - 1 <= first < border <= second)


class Recording(SynchronousTestCase):
    """What the hot loop does."""

    def setUp(self) -> None:
        self.server = Server(load(None, []))
        self.client = Client(self.server)
        self.cmd = TABLE[b"echo"]
        self.cmd.reset_statistics()
        self.addCleanup(self.cmd.reset_statistics)
        self.addCleanup(track_latency, True)

    def run_echo(self, count: int) -> None:
        run(self.client, [[b"ECHO", b"x"]] * count)

    def test_counts(self) -> None:
        """Every call counts, also in rows, and after a reset from nought."""
        for count in (1, 1, 5, 100):
            self.run_echo(count)
        assert self.cmd.histogram is not None
        self.assertEqual(self.cmd.histogram.count, self.cmd.calls)
        self.assertEqual(self.cmd.calls, 107)
        run(self.client, [[b"ECHO", b"x"], [b"PING"], [b"ECHO", b"x"], [b"ECHO", b"x"]])
        self.assertEqual(self.cmd.histogram.count, 110)
        run(self.client, [[b"CONFIG", b"RESETSTAT"]])
        self.assertIs(self.cmd.histogram, None)
        self.run_echo(2)
        self.assertEqual(self.cmd.histogram.count, 2)

    def test_off(self) -> None:
        """With latency-tracking off the counts stay as they are, and go on later."""
        self.run_echo(3)
        run(self.client, [[b"CONFIG", b"SET", b"latency-tracking", b"no"]])
        self.run_echo(50)
        self.run_echo(1)
        assert self.cmd.histogram is not None
        self.assertEqual(self.cmd.histogram.count, 3)
        run(self.client, [[b"CONFIG", b"SET", b"latency-tracking", b"yes"]])
        self.run_echo(4)
        self.assertEqual(self.cmd.histogram.count, 7)


class Graph(SynchronousTestCase):
    """LATENCY GRAPH as Redis draws it."""

    def test_columns(self) -> None:
        columns = [("5s", 3), ("4s", 20), ("3s", 45), ("2s", 70), ("1s", 90), ("0s", 60)]
        self.assertEqual(
            draw(columns), "   _# \n   ||o\n  #|||\n_#||||\n      \n543210\nssssss\n"
        )

    def test_ages(self) -> None:
        self.assertEqual([age(n) for n in (0, 59, 60, 3599, 3600, 86399, 86400, 900000)],
                         ["0s", "59s", "1m", "59m", "1h", "23h", "1d", "10d"])
