"""Promotion and demotion, in trees of replicad and of real servers: who continues, who must copy."""

from __future__ import annotations

import time
from random import randbytes

from twisted.trial.unittest import SynchronousTestCase

from tests.support.proxy import Proxy
from tests.support.servers import KINDS, Node, Replicad, digest, link_up, report, wait_in_sync, wait_until


class RoleChanges(SynchronousTestCase):
    """A master with two replicas; the role goes round."""

    def counters(self, node: Node) -> tuple[int, int]:
        """Return (full, partial) synchronisations that the node has served."""
        stats = node.info("stats")
        return int(stats["sync_full"]), int(stats["sync_partial_ok"])

    def follow(self, node: Node, master: Node) -> None:
        """Make ``node`` a replica of ``master`` and wait for the link."""
        self.assertEqual(node.call("REPLICAOF", "127.0.0.1", master.port), b"OK")
        wait_until(lambda: link_up(node), 10, f"{node.name} follows {master.name}")

    def same(self, *nodes: Node) -> None:
        """All have the same data, offset and history."""
        wait_in_sync(*nodes)
        self.assertEqual(len({digest(node) for node in nodes}), 1, report(*nodes))
        self.assertEqual(len({node.info("replication")["master_replid"] for node in nodes}), 1, report(*nodes))

    def go_round(self, *kinds: str) -> None:
        """First -> second becomes the master, the others continue with it, and so on."""
        directives = {"repl-ping-replica-period": 3600}
        first, second, third = (
            KINDS[kind](self, directives, name=f"{place}-{kind}")
            for place, kind in zip(("first", "second", "third"), kinds, strict=True)
        )
        for node in (first, second, third):
            node.start(wait=False)
        for node in (first, second, third):
            node.wait_ready()
        first.call("SET", "x", "1")
        self.follow(second, first)
        self.follow(third, first)
        first.call("SET", "a", "1")
        self.same(first, second, third)

        second.call("REPLICAOF", "NO", "ONE")
        promoted = second.info("replication")
        self.assertEqual(promoted["master_replid2"], first.info("replication")["master_replid"])
        self.assertEqual(int(promoted["second_repl_offset"]), int(promoted["master_repl_offset"]) + 1)
        self.follow(third, second)
        second.call("SET", "b", "2")
        self.follow(first, second)
        self.same(second, first, third)
        self.assertEqual(self.counters(first), (2, 0), report(first, second, third))
        self.assertEqual(self.counters(second), (0, 2), report(first, second, third))

        # A chain: third below first below second. It has the bytes already.
        self.follow(third, first)
        second.call("SET", "c", "3")
        self.same(second, first, third)
        self.assertEqual(self.counters(first), (2, 1), report(first, second, third))

        # The middle is promoted: what hangs below it continues under the new id.
        first.call("REPLICAOF", "NO", "ONE")
        wait_until(lambda: self.counters(first) == (2, 2), 10, "the return of the third")
        wait_until(lambda: link_up(third), 10, "the link of the third")
        first.call("SET", "d", "4")
        self.same(first, third)

        # The second has gone on alone: it must copy.
        second.call("SET", "e", "5")
        self.follow(second, first)
        self.same(first, second, third)
        self.assertEqual(self.counters(first), (3, 2), report(first, second, third))

    def test_ours(self) -> None:
        self.go_round("ours", "ours", "ours")

    def test_real_in_the_middle(self) -> None:
        self.go_round("ours", "real", "ours")

    def test_ours_between_real_ones(self) -> None:
        self.go_round("real", "ours", "real")


class Interruptions(SynchronousTestCase):
    """Changes of mind at bad moments."""

    def pair(self, **directives: object) -> tuple[Replicad, Replicad, Proxy]:
        """Start a master with some megabytes, an empty server, and a slow way between them."""
        master = Replicad(self, {"repl-diskless-sync": "yes"}, name="master").start(wait=False)
        replica = Replicad(self, directives, name="replica").start(wait=False)
        master.wait_ready()
        replica.wait_ready()
        for number in range(20):
            master.call("SET", f"k{number}", randbytes(100_000))
        replica.call("SET", "own", "1")
        proxy = Proxy(self, master)
        return master, replica, proxy

    def test_promoted_during_the_transfer(self) -> None:
        for load in ("disabled", "swapdb"):
            _, replica, proxy = self.pair(**{"repl-diskless-load": load})
            proxy.pause_after(500_000)
            replica.call("REPLICAOF", "127.0.0.1", proxy.port)
            wait_until(lambda: proxy.paused, 10, "the middle of the transfer")  # noqa: B023
            self.assertEqual(replica.info("replication")["master_sync_in_progress"], "1")
            self.assertEqual(replica.call("ROLE")[3], b"sync")
            self.assertEqual(replica.call("REPLICAOF", "NO", "ONE"), b"OK")
            self.assertEqual(replica.info("replication")["role"], "master")
            self.assertEqual(replica.call("GET", "own"), b"1")
            self.assertEqual(replica.call("SET", "own", "2"), b"OK")
            self.assertEqual(replica.info("persistence")["loading"], "0")

    def test_another_master_during_the_transfer(self) -> None:
        master, replica, proxy = self.pair()
        proxy.pause_after(500_000)
        replica.call("REPLICAOF", "127.0.0.1", proxy.port)
        wait_until(lambda: proxy.paused, 10, "the middle of the transfer")
        replica.call("REPLICAOF", "127.0.0.1", master.port)
        wait_in_sync(master, replica)
        self.assertEqual(digest(master), digest(replica))

    def test_killed_link_comes_back_at_once(self) -> None:
        master, replica, _ = self.pair()
        replica.call("REPLICAOF", "127.0.0.1", master.port)
        wait_in_sync(master, replica)
        self.assertIn(" flags=M ", replica.call("CLIENT", "LIST").decode())
        began = time.monotonic()
        self.assertEqual(replica.call("CLIENT", "KILL", "TYPE", "master"), 1)
        wait_until(lambda: master.info("stats")["sync_partial_ok"] == "1", 10, "the return")
        self.assertTrue(time.monotonic() - began < 0.9)
        self.assertEqual(master.call("CLIENT", "KILL", "TYPE", "replica"), 1)
        wait_until(lambda: master.info("stats")["sync_partial_ok"] == "2", 10, "the return")
        master.call("SET", "a", "1")
        wait_in_sync(master, replica)

    def test_follows_nobody_any_more(self) -> None:
        _, replica, proxy = self.pair()
        proxy.refuse()
        replica.call("REPLICAOF", "127.0.0.1", proxy.port)
        replica.wait_log("Connecting to MASTER")
        replica.call("REPLICAOF", "NO", "ONE")
        attempts = replica.log().count("Connecting to MASTER")
        time.sleep(1.5)
        self.assertEqual(replica.log().count("Connecting to MASTER"), attempts)
        self.assertNotIn("Traceback", replica.log())
