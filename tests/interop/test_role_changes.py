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
        _, replica, proxy = self.pair(**{"repl-diskless-load": "disabled"})
        self.in_the_transfer(replica, proxy)
        self.assertEqual(replica.call("REPLICAOF", "NO", "ONE"), b"OK")
        self.is_a_master_with_its_data(replica)

    def test_promoted_while_a_new_dataset_is_loaded(self) -> None:
        _, replica, proxy = self.pair(**{"repl-diskless-load": "swapdb"})
        self.in_the_transfer(replica, proxy)
        self.assertEqual(replica.info("persistence")["async_loading"], "1")
        self.assertEqual(replica.call("GET", "own"), b"1")
        client = replica.client()
        for words in (["REPLICAOF", "NO", "ONE"], ["SLAVEOF", "127.0.0.1", "1"], ["SAVE"], ["BGSAVE"], ["PSYNC", "?", "-1"]):
            self.assertEqual(str(client.call(*words)), "LOADING Redis is loading the dataset in memory", words)
        # When the transfer breaks off it is a replica with its old data, which can be promoted.
        proxy.refuse()
        wait_until(lambda: replica.info("persistence")["async_loading"] == "0", 10, "the end of the transfer")
        self.assertEqual(replica.call("REPLICAOF", "NO", "ONE"), b"OK")
        self.is_a_master_with_its_data(replica)

    def in_the_transfer(self, replica: Replicad, proxy: Proxy) -> None:
        """Stop in the middle of a full synchronisation."""
        proxy.pause_after(500_000)
        replica.call("REPLICAOF", "127.0.0.1", proxy.port)
        wait_until(lambda: proxy.paused, 10, "the middle of the transfer")
        self.assertEqual(replica.info("replication")["master_sync_in_progress"], "1")
        self.assertEqual(replica.call("ROLE")[3], b"sync")

    def is_a_master_with_its_data(self, replica: Replicad) -> None:
        """It kept what it had, and takes writes."""
        self.assertEqual(replica.info("replication")["role"], "master")
        self.assertEqual(replica.call("GET", "own"), b"1")
        self.assertEqual(replica.call("SET", "own", "2"), b"OK")
        self.assertEqual(replica.info("persistence")["loading"], "0")

    def test_who_waits_goes_on_waiting_after_a_promotion(self) -> None:
        _, replica, proxy = self.pair(**{"replica-read-only": "no"})
        proxy.refuse()
        replica.call("REPLICAOF", "127.0.0.1", proxy.port)
        client = replica.client()
        client.send("BLPOP", "q", "0")
        wait_until(lambda: replica.info("clients")["blocked_clients"] == "1", 10, "the blocked client")
        replica.call("REPLICAOF", "NO", "ONE")
        replica.call("RPUSH", "q", "v")
        self.assertEqual(client.read_reply(), [b"q", b"v"])

    def test_nobody_joins_an_image_of_an_old_history(self) -> None:
        _, middle, _ = self.pair(**{"repl-diskless-sync": "no"})
        other = Replicad(self, name="other").start()
        middle.call("DEBUG", "POPULATE", 100_000, "x", 64)
        middle.call("REPLICAOF", "NO", "ONE")
        lower = Replicad(self, {"replicaof": middle.address}, name="lower").start()
        middle.wait_log("Starting BGSAVE for SYNC")
        # While the image is written its dataset is replaced.
        other.call("SET", "k", "of the other")
        middle.call("REPLICAOF", "127.0.0.1", other.port)
        wait_in_sync(other, middle, lower)
        self.assertEqual({digest(node) for node in (middle, lower)}, {digest(other)})
        self.assertNotIn("Defect", middle.log())
        self.assertNotIn("Traceback", middle.log())

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
        self.assertNotIn("Scheduling retry", replica.log())  # twistd's log gets no line for each attempt
        self.assertNotIn("Traceback", replica.log())


class Restarts(SynchronousTestCase):
    """A master that comes back with its snapshot."""

    def test_keys_that_expired_meanwhile_are_deleted_on_the_replicas(self) -> None:
        for kind in KINDS:
            master = Replicad(self, {"save": "3600 1", "repl-ping-replica-period": 3600}, name="master").start(wait=False)
            replica = KINDS[kind](self, {"replicaof": master.address}).start()
            master.wait_ready()
            wait_until(lambda: link_up(replica), 10, "the link")  # noqa: B023
            with master.client() as client:
                client.must("SET", "stays", "1")
                client.must("SELECT", "3")
                for key in ("a", "b"):
                    client.must("SET", key, "1", "PX", 500)
                client.must("SAVE")
            wait_in_sync(master, replica)
            saved = int(master.info("replication")["master_repl_offset"])
            master.kill()
            time.sleep(0.6)
            master.start()
            fields = master.info("replication")
            # SELECT 3, DEL a, DEL b
            self.assertEqual(int(fields["master_repl_offset"]), saved + 23 + 20 + 20)
            self.assertEqual(int(fields["second_repl_offset"]), saved + 1)
            wait_in_sync(master, replica)
            self.assertEqual(master.info("stats")["sync_partial_ok"], "1", report(master, replica))
            self.assertEqual(replica.info("keyspace").keys(), {"db0"})
            self.assertEqual(digest(master), digest(replica))

    def test_a_chained_replica_of_a_master_without_ids(self) -> None:
        """A master that only knows SYNC names no history; the image for a chained replica still names the database."""
        for kind in KINDS:
            directives = {"rename-command": "PSYNC XSYNC", "repl-diskless-sync": "yes", "repl-diskless-sync-delay": 0}
            master = KINDS[kind](self, directives, name="master").start()
            middle = Replicad(self, {"replicaof": master.address}, name="middle").start()
            wait_until(lambda: link_up(middle), 10, "the link")  # noqa: B023
            client = master.client(db=5)
            client.must("SET", "a", "1")
            check = middle.client(db=5)
            wait_until(lambda: check.must("GET", "a") == b"1", 10, "the stream")  # noqa: B023
            lower = Replicad(self, {"replicaof": middle.address}, name="lower").start()
            wait_until(lambda: link_up(lower), 10, "the link of the lower one")  # noqa: B023
            client.must("SET", "b", "1")
            wait_until(lambda: check.must("GET", "b") == b"1", 10, "the stream")  # noqa: B023
            wait_in_sync(middle, lower)
            self.assertEqual(lower.client(db=5).must("GET", "b"), b"1")
            self.assertEqual(digest(lower), digest(middle))


class Chains(SynchronousTestCase):
    """The middle of a chain comes back."""

    def test_a_replica_that_is_ahead(self) -> None:
        """A restarted middle that has not caught up yet lets its replica wait, instead of copying everything to it."""
        directives = {"repl-ping-replica-period": 3600}
        master = Replicad(self, directives, name="master").start()
        proxy = Proxy(self, master)
        middle = Replicad(self, directives, name="middle").start()
        leaf = Replicad(self, directives, name="leaf").start()
        for node, port in ((middle, proxy.port), (leaf, master.port)):
            node.call("REPLICAOF", "127.0.0.1", port)
            wait_until(lambda node=node: link_up(node), 10, "the link")
        wait_in_sync(master, middle, leaf)
        proxy.pause()
        master.call("SET", "a", "1")
        wait_until(lambda: leaf.call("GET", "a"), 10, "the leaf has it")
        leaf.call("REPLICAOF", "127.0.0.1", middle.port)
        middle.wait_log("asks for synchronization")
        self.assertIsNone(middle.call("GET", "a"))
        proxy.resume()
        wait_until(lambda: link_up(leaf), 10, "the leaf follows the middle")
        stats = middle.info("stats")
        self.assertEqual((stats["sync_full"], stats["sync_partial_ok"]), ("0", "1"), report(master, middle, leaf))
        master.call("SET", "b", "1")
        wait_in_sync(master, middle, leaf)
        self.assertEqual(digest(leaf), digest(master))
