"""The installation that replicad is made for, through a bad day.

::

    master, ours, nothing on disk --+-- proxy -- replica, ours, LMDB -- proxy -- chained, ours, RDB file
                                    |
                                    +-- proxy -- replica, a real redis-server

Writes go on while each link is cut and each node is restarted in turn; after each step all digests and offsets are
equal and the counters say whether data was copied again or only continued.
"""

from __future__ import annotations

import os

from twisted.trial.unittest import SynchronousTestCase

from tests.support.proxy import Proxy
from tests.support.servers import Node, RealServer, Replicad, digest, report, wait_in_sync, wait_until
from tests.support.writes import changes, dataset, write


class Scenario(SynchronousTestCase):
    """Each test starts with the tree above, in sync."""

    def setUp(self) -> None:
        """Start the tree with data and wait until it is in sync."""
        self.seed = 0
        self.master = Replicad(self, {"save": ""}, name="master").start(wait=False)
        self.to_replica = Proxy(self, self.master)
        self.to_real = Proxy(self, self.master)
        self.master.wait_ready()
        write(self.master, dataset(1, 500))
        directives = {"replicaof": self.to_replica.address, "snapshot-backend": "lmdb", "save": "1 1"}
        self.replica = Replicad(self, directives, name="lmdb").start(wait=False)
        directives = {"replicaof": self.to_real.address, "save": "3600 1"}
        self.real = RealServer(self, directives, name="real").start(wait=False)
        self.replica.wait_ready()
        self.to_chained = Proxy(self, self.replica)
        directives = {"replicaof": self.to_chained.address, "snapshot-backend": "rdb", "save": "3600 1"}
        self.chained = Replicad(self, directives, name="chained").start()
        self.nodes = (self.master, self.replica, self.chained, self.real)
        self.all_equal("at the start")

    def write(self, count: int = 60) -> None:
        """Some more writes on the master."""
        self.seed += 1
        write(self.master, changes(self.seed, count))

    def all_equal(self, when: str) -> None:
        """Offsets and digests of all four are equal."""
        wait_in_sync(*self.nodes)
        expected = digest(self.master)
        for node in self.nodes[1:]:
            self.assertEqual(digest(node), expected, f"{node.name} {when}\n{report(*self.nodes)}")

    def assert_syncs(self, node: Node, full: int, partial: int, when: str) -> None:
        """The counters of a node since it was started."""
        stats = node.info("stats")
        counted = (int(stats["sync_full"]), int(stats["sync_partial_ok"]))
        text = f"sync_full, sync_partial_ok of {node.name} {when}"
        self.assertEqual(counted, (full, partial), f"{text}\n{report(*self.nodes)}")

    def test_cuts(self) -> None:
        """A cut link continues where it was, and what hangs below it notices nothing."""
        self.assert_syncs(self.master, 2, 0, "at the start")
        self.assert_syncs(self.replica, 1, 0, "at the start")
        links = {"master and LMDB replica": self.to_replica, "LMDB and chained replica": self.to_chained}
        links["master and real replica"] = self.to_real
        for what, proxy in links.items():
            before = proxy.connections
            proxy.cut()
            self.write()
            wait_until(lambda: proxy.connections > before, 10, f"a new connection between {what}")  # noqa: B023
            self.all_equal(f"after a cut between {what}")
        self.assert_syncs(self.master, 2, 2, "after the cuts")
        self.assert_syncs(self.replica, 1, 1, "after the cuts")

    def test_restarts(self) -> None:
        """Replicas continue from what they have stored; the master comes back empty and they follow it."""
        self.write()
        self.all_equal("before the restarts")
        self.replica.stop()
        self.write()
        self.replica.start()
        self.all_equal("after a restart of the LMDB replica")
        self.assert_syncs(self.master, 2, 1, "after a restart of the LMDB replica")
        self.assert_syncs(self.replica, 0, 1, "after its own restart")
        self.chained.stop()
        self.write()
        self.chained.start()
        self.all_equal("after a restart of the chained replica")
        self.assert_syncs(self.replica, 0, 2, "after a restart of the chained replica")
        self.real.stop()
        self.write()
        self.real.start()
        self.all_equal("after a restart of the real replica")
        self.assert_syncs(self.master, 2, 2, "after a restart of the real replica")

    def test_restart_of_the_master(self) -> None:
        """A master without a disk comes back empty, with a new history; the tree copies that."""
        self.write()
        self.all_equal("before the restart")
        self.assertEqual(self.stored_files(), [], "files of the master")
        self.master.restart()
        self.write()
        self.all_equal("after a restart of the master")
        self.assert_syncs(self.master, 2, 0, "after its restart")
        self.assertEqual(self.stored_files(), [], "files of the master")

    def test_promotion_before_the_restart_of_the_master(self) -> None:
        """The way to keep the data: a replica takes over and the empty master joins below it."""
        self.write()
        self.all_equal("before the promotion")
        kept = digest(self.master)
        self.master.kill()
        self.replica.call("REPLICAOF", "NO", "ONE")
        self.real.call("REPLICAOF", "127.0.0.1", self.replica.port)
        self.master.start({"save": "", "replicaof": self.replica.address})
        wait_in_sync(self.replica, self.master, self.real, self.chained)
        for node in self.nodes:
            self.assertEqual(digest(node), kept, f"{node.name} after the promotion\n{report(*self.nodes)}")
        # the chained and the real replica knew the old history, the fresh master did not
        self.assert_syncs(self.replica, 2, 2, "after its promotion")

    def test_kill_of_the_replica(self) -> None:
        """kill -9: the LMDB replica starts from its last snapshot and gets the rest from the backlog."""
        self.write()
        self.all_equal("before the kill")
        wait_until(lambda: self.replica.info("persistence")["rdb_changes_since_last_save"] == "0", 10, "a snapshot")
        self.write(20)
        self.replica.kill()
        self.write()
        self.replica.start()
        self.all_equal("after kill -9 of the LMDB replica")
        self.assert_syncs(self.master, 2, 1, "after kill -9 of the LMDB replica")

    def stored_files(self) -> list[str]:
        """What the master has written into its directory, apart from the test's own conf file and log."""
        return sorted(set(os.listdir(self.master.directory)) - {"master.conf", "master.log"})
