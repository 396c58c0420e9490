"""LATENCY and INFO latencystats beside a real redis-server."""

from __future__ import annotations

import re
from typing import Any

from tests.support.connection import Connection
from tests.support.twohead import TwoHeadedTestCase

TRAFFIC = ("SET a 1", "SET a 2", "GET a", "GET nosuch", "CONFIG GET hz", "LPUSH a x", "DEBUG SLEEP 0.03", "XINFO STREAM x")


class Histograms(TwoHeadedTestCase):
    """LATENCY HISTOGRAM, latency-tracking and its percentiles."""

    def setUp(self) -> None:
        super().setUp()
        self.addCleanup(self.do_all, "CONFIG SET latency-tracking yes")
        self.addCleanup(self.do, "CONFIG", "SET", "latency-tracking-info-percentiles", "50 99 99.9")
        self.do("CONFIG", "RESETSTAT")

    def both_histograms(self, *names: str) -> list[dict[bytes, Any]]:
        """The replies, RESP2 arrays of pairs as dicts."""
        return [pairs(reply) for reply in self.both("LATENCY", "HISTOGRAM", *names)]

    def test_calls(self) -> None:
        """The same commands with the same numbers of calls, and histograms that end with them."""
        self.do_all(*TRAFFIC)
        real, ours = self.both_histograms()
        self.assertEqual(calls(ours), calls(real))
        self.assertEqual(calls(ours)[b"set"], 2)
        for histograms in (real, ours):
            for rows in histograms.values():
                counts = list(pairs(pairs(rows)[b"histogram_usec"]).values())
                self.assertEqual(counts, sorted(counts))
                self.assertEqual(counts[-1], pairs(rows)[b"calls"])
        slow = [max(pairs(pairs(one[b"debug"])[b"histogram_usec"])) for one in (real, ours)]
        self.assertTrue(all(33816 <= bound <= 67633 for bound in slow), slow)

    def test_names(self) -> None:
        """A container stands for its subcommands, what is unknown or was never called is left out, repetition repeats."""
        self.do_all(*TRAFFIC)
        for names in (
            "get", "GET set", "config", "config|get", "CONFIG|GET nosuch", "nosuch", "get get", "config config|get zadd",
            "xinfo", "config|nosuch", "get|x", "",
        ):  # fmt: skip
            # a real server has the subcommands of a container in the order of a hash table, another in each process
            real, ours = (sorted(reply[::2]) for reply in self.both("LATENCY", "HISTOGRAM", *(names.split() or [""])))
            self.assertEqual(ours, real, names)

    def test_tracking(self) -> None:
        """Off: what was recorded stays, INFO shows nothing."""
        self.do_all("GET a", "CONFIG SET latency-tracking no", "GET a", "GET b")
        real, ours = self.both_histograms("get")
        self.assertEqual((calls(ours), calls(real)), ({b"get": 1}, {b"get": 1}))
        self.assertEqual(*(latencystats(one) for one in (self.pair.real, self.pair.ours)))
        self.do_all("CONFIG SET latency-tracking yes", "GET a")
        real, ours = self.both_histograms("get")
        self.assertEqual((calls(ours), calls(real)), ({b"get": 2}, {b"get": 2}))

    def test_percentiles(self) -> None:
        """The lines and their names; the values are times."""
        self.do_all(*TRAFFIC)
        for wanted in ("50 99 99.9", "0 100 99.999 12.5", "33.333333333", ""):
            self.do("CONFIG", "SET", "latency-tracking-info-percentiles", wanted)
            real, ours = (latencystats(one) for one in (self.pair.real, self.pair.ours))
            self.assertEqual(sorted(map(names_only, ours)), sorted(map(names_only, real)))
        for wrong in ("101", "-1", "x", "50 x", "nan"):
            self.do("CONFIG", "SET", "latency-tracking-info-percentiles", wrong)


class Histograms3(TwoHeadedTestCase):
    """RESP3: maps in a map."""

    resp = 3

    def test_shape(self) -> None:
        self.do("CONFIG", "RESETSTAT")
        self.do("SET", "a", "1")
        self.do_all("LATENCY HISTOGRAM nosuch", "LATENCY LATEST")
        real, ours = self.both("LATENCY", "HISTOGRAM", "set")
        for reply in (real, ours):
            self.assertEqual(list(reply), [b"set"])
            self.assertEqual(list(reply[b"set"]), [b"calls", b"histogram_usec"])
            self.assertEqual(sum(reply[b"set"][b"histogram_usec"].values()), 1)


def pairs(reply: Any) -> dict[Any, Any]:
    """A flat array of pairs as a dict."""
    return dict(zip(reply[::2], reply[1::2], strict=True))


def calls(histograms: dict[bytes, Any]) -> dict[bytes, int]:
    """Of each command the number of calls; what a connection says at its start is not of interest."""
    return {name: pairs(rows)[b"calls"] for name, rows in histograms.items() if name not in (b"latency|histogram", b"info")}


def latencystats(connection: Connection) -> list[str]:
    """The lines of the section."""
    return bytes(connection.must("INFO", "latencystats")).decode().split("\r\n")


def names_only(line: str) -> str:
    """A line without its figures."""
    return re.sub(r"=\d+\.\d{3}", "=", line)
