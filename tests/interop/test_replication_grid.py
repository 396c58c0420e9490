"""Replication between all pairs of servers under faults.

A master, its replica behind a proxy with faults, and a third node chained to the replica; each is replicad or a real
redis-server. The fault strikes in the handshake, during the transfer of the image, or in the stream; the backlog is
large enough for a partial resynchronisation or too small. Afterwards all digests and offsets are equal *and* the
counters of full and partial resynchronisations are the expected ones: a link that heals by copying everything again
would pass the first and not the second.

By default a selection runs that contains every trio of servers and every fault; ``REPLICAD_GRID=full`` runs all.
A failure shows INFO and the merged logs of all nodes.
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass

from twisted.trial.unittest import SynchronousTestCase

from tests.support.proxy import Proxy
from tests.support.servers import KINDS, Node, digest, report, wait_in_sync, wait_until
from tests.support.writes import changes, dataset, write

FULL = os.environ.get("REPLICAD_GRID") == "full"

#: Into the transfer: beyond the handshake, well before the end of the image of about 200 KB.
IN_THE_IMAGE = 60_000

BACKLOG = {"big": "4mb", "tiny": "16kb"}


@dataclass(frozen=True)
class Cell:
    """One combination of the grid."""

    master: str
    replica: str
    chained: str
    fault: str
    phase: str
    backlog: str
    number: int

    @property
    def name(self) -> str:
        """What follows ``test_``."""
        fault = self.fault if self.fault == "none" else f"{self.fault}_in_{self.phase}"
        return f"{self.master}_{self.replica}_{self.chained}_{fault}_{self.backlog}_backlog"

    @property
    def full_syncs(self) -> int:
        """Full resynchronisations that the master must have counted."""
        repeated = self.fault == "cut" and (
            self.phase == "transfer" or (self.phase == "stream" and self.backlog == "tiny")
        )
        return 2 if repeated else 1

    @property
    def partial_syncs(self) -> int:
        """Partial ones."""
        return 1 if (self.fault, self.phase, self.backlog) == ("cut", "stream", "big") else 0

    @property
    def chained_full_syncs(self) -> int:
        """What the replica must have counted for the node chained to it: a full sync above is passed down."""
        return 2 if self.phase == "stream" and self.full_syncs == 2 else 1


def cells() -> Iterator[Cell]:
    """The whole grid, or a selection of it: each fault once, with the trios of servers in turn."""
    trios = list(itertools.product(KINDS, repeat=3))
    faults = [("none", "stream"), *itertools.product(("cut", "pause", "slow"), ("handshake", "transfer", "stream"))]
    hardships = [(*fault, backlog) for fault in faults for backlog in BACKLOG]
    if FULL:
        chosen = list(itertools.product(trios, hardships))
    else:
        trios.remove(("real", "real", "real"))
        chosen = list(zip(itertools.cycle(trios), hardships, strict=False))
    for number, ((master, replica, chained), (fault, phase, backlog)) in enumerate(chosen):
        yield Cell(master, replica, chained, fault, phase, backlog, number)


class ReplicationGrid(SynchronousTestCase):
    """One test for each cell; the methods are made below."""

    def run_cell(self, cell: Cell) -> None:
        """Start the nodes, replicate, let the fault strike, compare."""
        common = {
            "repl-backlog-size": BACKLOG[cell.backlog],
            "repl-ping-replica-period": 1,
            "repl-diskless-sync": "yes" if cell.number % 2 else "no",
            "repl-diskless-load": "swapdb" if cell.number % 3 == 0 else "disabled",
        }
        master = KINDS[cell.master](self, common, name=f"master-{cell.master}")
        replica = KINDS[cell.replica](self, common, name=f"replica-{cell.replica}")
        chained = KINDS[cell.chained](self, common, name=f"chained-{cell.chained}")
        nodes = (master, replica, chained)
        for node in nodes:
            node.start(wait=False)
        for node in nodes:
            node.wait_ready()
        proxy = Proxy(self, master)
        write(master, dataset(cell.number))
        write(replica, changes(cell.number + 1, 10))  # a replica's own data must go
        try:
            self.replicate(cell, master, replica, chained, proxy)
        except AssertionError as error:
            self.fail(f"{cell}\n{error}\n{report(*nodes)}")

    def replicate(self, cell: Cell, master: Node, replica: Node, chained: Node, proxy: Proxy) -> None:
        """The course of a test when the nodes are there."""
        if cell.phase == "handshake":
            fault_in_handshake(cell, master, replica, proxy)
        elif cell.phase == "transfer":
            fault_in_transfer(cell, master, replica, proxy)
        else:
            replica.call("REPLICAOF", "127.0.0.1", proxy.port)
        wait_in_sync(master, replica)
        chained.call("REPLICAOF", "127.0.0.1", replica.port)
        wait_in_sync(master, replica, chained)
        if cell.phase == "stream":
            fault_in_stream(cell, master, proxy)
        write(master, changes(cell.number + 2, 100))
        wait_in_sync(master, replica, chained)
        self.assertEqual(digest(replica), digest(master), "the replica's digest")
        self.assertEqual(digest(chained), digest(master), "the chained node's digest")
        stats = master.info("stats")
        counted = (int(stats["sync_full"]), int(stats["sync_partial_ok"]))
        self.assertEqual(counted, (cell.full_syncs, cell.partial_syncs), "sync_full, sync_partial_ok of the master")
        stats = replica.info("stats")
        counted = (int(stats["sync_full"]), int(stats["sync_partial_ok"]))
        self.assertEqual(counted, (cell.chained_full_syncs, 0), "sync_full, sync_partial_ok of the replica")


def fault_in_handshake(cell: Cell, master: Node, replica: Node, proxy: Proxy) -> None:
    """The fault is there before the replica connects."""
    if cell.fault == "cut":
        proxy.cut_after(10)  # behind the answer to PING, before that to PSYNC
    elif cell.fault == "pause":
        proxy.pause()
    else:
        proxy.slow(100)
    replica.call("REPLICAOF", "127.0.0.1", proxy.port)
    wait_until(lambda: proxy.connections > 0, 10, "a connection of the replica")
    write(master, changes(cell.number + 3, 50))
    if cell.fault == "cut":
        wait_until(lambda: proxy.cuts == 1, 10, "the cut")
    else:
        time.sleep(0.4)
        proxy.resume()


def fault_in_transfer(cell: Cell, master: Node, replica: Node, proxy: Proxy) -> None:
    """The fault strikes in the middle of the image."""
    if cell.fault == "cut":
        proxy.cut_after(IN_THE_IMAGE)
    elif cell.fault == "pause":
        proxy.pause_after(IN_THE_IMAGE)
    else:
        proxy.slow(400_000)
    replica.call("REPLICAOF", "127.0.0.1", proxy.port)
    if cell.fault == "cut":
        wait_until(lambda: proxy.cuts == 1, 10, "the cut")
        write(master, changes(cell.number + 3, 100))
    elif cell.fault == "pause":
        wait_until(lambda: proxy.paused, 10, "the middle of the transfer")
        write(master, changes(cell.number + 3, 100))
        time.sleep(0.3)
        proxy.resume()
    else:
        wait_until(lambda: proxy.bytes["down"] > IN_THE_IMAGE, 10, "the middle of the transfer")
        write(master, changes(cell.number + 3, 100))


def fault_in_stream(cell: Cell, master: Node, proxy: Proxy) -> None:
    """The fault strikes between writes of an established link."""
    write(master, changes(cell.number + 3, 50))
    if cell.fault == "cut":
        proxy.refuse()
        wait_until(lambda: master.info("replication")["connected_slaves"] == "0", 10, "the loss of the replica")
        write(master, changes(cell.number + 4, 100, size=2000))  # more than a tiny backlog holds
        proxy.resume()
    elif cell.fault == "pause":
        proxy.pause()
        write(master, changes(cell.number + 4, 100, size=2000))
        time.sleep(0.3)
        proxy.resume()
    elif cell.fault == "slow":
        proxy.slow(200_000)
        write(master, changes(cell.number + 4, 100, size=2000))


def _add_tests() -> None:
    for cell in cells():

        def test(self: ReplicationGrid, cell: Cell = cell) -> None:
            self.run_cell(cell)

        test.__doc__ = f"{cell.master} -> {cell.replica} -> {cell.chained}: {cell.fault} in {cell.phase}."
        setattr(ReplicationGrid, f"test_{cell.name}", test)


_add_tests()
