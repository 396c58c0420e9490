"""A node that comes back from its snapshot serves replicas that are behind it: the end of the stream is stored too."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable

from twisted.trial.unittest import SynchronousTestCase

from tests.support.proxy import Proxy
from tests.support.servers import KINDS, Node, Replicad, digest, find_tool, link_up, report, wait_in_sync, wait_until
from tests.support.together import together
from tests.support.writes import changes, write


def syncs(node: Node) -> tuple[int, int]:
    """Return (full, partial) synchronisations that the node has served since its start."""
    stats = node.info("stats")
    return int(stats["sync_full"]), int(stats["sync_partial_ok"])


class Returning(SynchronousTestCase):
    """Replicas that were cut off before the snapshot of the node they follow."""

    def quiet(self, **more: object) -> dict[str, object]:
        """Directives for a stream of nothing but writes."""
        return {"save": "3600 1000000", "repl-ping-replica-period": 3600, "repl-diskless-sync-delay": 0, **more}

    def behind_a_master(self, backend: str, how: str, kind: str) -> None:
        """The replica misses writes; they are in the snapshot; the master restarts; the replica continues."""
        master = Replicad(self, self.quiet(**{"snapshot-backend": backend}), name=f"master-{backend}-{how}").start()
        proxy = Proxy(self, master)
        replica = KINDS[kind](self, self.quiet(replicaof=f"127.0.0.1 {proxy.port}"), name=f"replica-{kind}").start()
        wait_until(lambda: link_up(replica), 10, "the link")
        write(master, changes(1, 200))
        wait_in_sync(master, replica)
        proxy.refuse()
        # a master that stops asks the replicas that it knows for an acknowledgement, which is a part of the stream
        wait_until(lambda: master.info("replication")["connected_slaves"] == "0", 10, "the replica is gone")
        write(master, changes(2, 300))
        master.call("SAVE")
        saved = int(master.info("replication")["master_repl_offset"])
        old = master.info("replication")["master_replid"]
        master.restart(how=how)
        state = master.info("replication")
        self.assertEqual((state["master_replid2"], int(state["second_repl_offset"])), (old, saved + 1))
        self.assertNotEqual(state["master_replid"], old)
        self.assertGreater(int(state["repl_backlog_histlen"]), 300 * 40)
        write(master, changes(3, 50))
        proxy.resume()
        wait_in_sync(master, replica)
        self.assertEqual(syncs(master), (0, 1), report(master, replica))
        self.assertEqual(digest(master), digest(replica))

    def test_a_master(self) -> None:
        together(
            lambda: self.behind_a_master("rdb", "stop", "ours"),
            lambda: self.behind_a_master("rdb", "kill", "real"),
            lambda: self.behind_a_master("lmdb", "stop", "real"),
            lambda: self.behind_a_master("lmdb", "kill", "ours"),
        )

    def behind_a_middle(self, backend: str, how: str, kind: str) -> None:
        """The same with the middle of a chain, which continues with its own master first."""
        master = KINDS[kind](self, self.quiet(), name=f"master-{kind}").start()
        directives = self.quiet(**{"snapshot-backend": backend, "replicaof": master.address})
        middle = Replicad(self, directives, name=f"middle-{backend}-{how}").start()
        proxy = Proxy(self, middle)
        wait_until(lambda: link_up(middle), 10, "the link of the middle")
        leaf = KINDS[kind](self, self.quiet(replicaof=f"127.0.0.1 {proxy.port}"), name=f"leaf-{kind}").start()
        wait_until(lambda: link_up(leaf), 10, "the link of the leaf")
        write(master, changes(1, 200))
        wait_in_sync(master, middle, leaf)
        proxy.refuse()
        write(master, changes(2, 300))
        wait_in_sync(master, middle)
        middle.call("SAVE")
        write(master, changes(3, 50))
        wait_in_sync(master, middle)
        middle.restart(how=how)
        wait_until(lambda: link_up(middle), 10, "the middle is back")
        proxy.resume()
        wait_in_sync(master, middle, leaf)
        self.assertEqual((syncs(master), syncs(middle)), ((1, 1), (0, 1)), report(master, middle, leaf))
        self.assertEqual(len({digest(node) for node in (master, middle, leaf)}), 1)

    def test_a_middle(self) -> None:
        together(
            lambda: self.behind_a_middle("rdb", "stop", "real"),
            lambda: self.behind_a_middle("rdb", "kill", "ours"),
            lambda: self.behind_a_middle("lmdb", "kill", "real"),
        )

    def test_promoted_before_it_found_its_master(self) -> None:
        """The master is gone for good; one of its replicas is restarted, promoted, and the other continues with it."""
        master = Replicad(self, self.quiet(), name="master").start()
        first = Replicad(self, self.quiet(replicaof=master.address), name="first").start()
        second = Replicad(self, self.quiet(replicaof=master.address), name="second").start()
        for node in (first, second):
            wait_until(lambda node=node: link_up(node), 10, "the links")
        write(master, changes(1, 100))
        wait_in_sync(master, first, second)
        master.kill()
        first.restart()
        first.call("REPLICAOF", "NO", "ONE")
        write(first, changes(2, 100))
        second.call("REPLICAOF", "127.0.0.1", first.port)
        wait_in_sync(first, second)
        self.assertEqual(syncs(first), (0, 1), report(first, second))
        self.assertEqual(digest(first), digest(second))

    def test_side_file_damaged_or_gone(self) -> None:
        """Then the replica copies everything, and nothing else happens."""

        def damaged(path: str) -> None:
            with open(path, "r+b") as file:
                file.seek(1000)
                file.write(b"something else")

        together(lambda: self.without_the_tail(os.unlink), lambda: self.without_the_tail(damaged))

    def without_the_tail(self, spoil: Callable[[str], None]) -> None:
        """The side file is spoilt while the master is down."""
        master = Replicad(self, self.quiet(), name="master").start()
        proxy = Proxy(self, master)
        replica = Replicad(self, self.quiet(replicaof=f"127.0.0.1 {proxy.port}"), name="replica").start()
        wait_until(lambda: link_up(replica), 10, "the link")
        proxy.refuse()
        write(master, changes(2, 300))
        master.stop()
        spoil(str(master.directory / "dump.rdb.tail"))
        master.start()
        proxy.resume()
        wait_in_sync(master, replica)
        self.assertEqual(syncs(master), (1, 0), report(master, replica))
        self.assertEqual(digest(master), digest(replica))
        for text in ("Defect", "Traceback"):
            self.assertNotIn(text, master.log())

    def test_the_file_is_one_for_real_servers(self) -> None:
        """redis-check-rdb and redis-server read the file of a node that has a long stream and two ids."""
        master = Replicad(self, self.quiet(), name="master").start()
        replica = Replicad(self, self.quiet(replicaof=master.address), name="replica").start()
        wait_until(lambda: link_up(replica), 10, "the link")
        write(master, changes(1, 2000, size=200))
        wait_in_sync(master, replica)
        replica.call("REPLICAOF", "NO", "ONE")
        expected = digest(replica)
        replica.stop()
        self.assertGreater((replica.directory / "dump.rdb.tail").stat().st_size, 200_000)
        path = replica.directory / "dump.rdb"
        checked = subprocess.run(
            [find_tool("redis-check-rdb"), str(path)], capture_output=True, text=True, timeout=60, check=False
        )
        self.assertEqual(checked.returncode, 0, checked.stdout)
        real = KINDS["real"](self, {"save": ""}, directory=replica.directory, name="real").start()
        self.assertEqual(digest(real), expected)
