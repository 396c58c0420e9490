"""FAILOVER: the role moves to a replica and back, between replicad and real servers, and nothing is lost."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.support.connection import RespError
from tests.support.servers import KINDS, Node, digest, link_up, need_reference, report, wait_in_sync, wait_until
from tests.support.twohead import TwoHeadedTestCase


class Errors(TwoHeadedTestCase):
    """What is refused at once, in Redis's words."""

    def test_alone(self) -> None:
        for words in (
            "ABORT", "", "TO", "TO a", "TO 127.0.0.1 7302", "TO 127.0.0.1 abc", "FORCE", "TIMEOUT 0", "TIMEOUT -1",
            "TIMEOUT abc", "TIMEOUT 0 FOO", "ABORT FORCE", "FOO", "TO 127.0.0.1 1 FORCE", "TO a 1 TO b 2",
            "TIMEOUT 5 TIMEOUT 6", "TIMEOUT 5 ABORT", "TIMEOUT", "FORCE FORCE", "TIMEOUT 9223372036854775808",
        ):  # fmt: skip
            self.do("FAILOVER", *words.split())


def state(node: Node) -> str:
    """The failover state in INFO."""
    return node.info("replication")["master_failover_state"]


class Handover(SynchronousTestCase):
    """A master and its replica."""

    def pair(self, master_kind: str, replica_kind: str) -> tuple[Node, Node]:
        """Start them, linked, with a key."""
        directives = {"repl-ping-replica-period": 3600, "repl-diskless-sync-delay": 0}
        master = KINDS[master_kind](self, directives, name=f"master-{master_kind}").start(wait=False)
        replica = KINDS[replica_kind](self, directives, name=f"replica-{replica_kind}").start(wait=False)
        master.wait_ready()
        replica.wait_ready()
        master.call("SET", "a", "1")
        replica.call("REPLICAOF", "127.0.0.1", master.port)
        wait_until(lambda: link_up(replica), 10, "the link")
        wait_in_sync(master, replica)
        return master, replica

    def has_moved(self, old: Node, new: Node) -> None:
        """``new`` is the master and ``old`` has continued below it without a copy."""
        wait_until(lambda: state(old) == "no-failover" and old.call("ROLE")[0] == b"slave", 10, "the handover")
        wait_until(lambda: link_up(old), 10, "the new link")
        new.call("SET", "by", new.name)
        wait_in_sync(new, old)
        self.assertEqual(digest(old), digest(new), report(old, new))
        self.assertEqual(new.info("stats")["sync_full"], "0", report(old, new))
        self.assertEqual(new.info("replication")["master_replid2"], old.info("replication")["master_replid2"])

    def there_and_back(self, first: str, second: str) -> None:
        master, replica = self.pair(first, second)
        self.assertEqual(master.call("FAILOVER", "TO", "127.0.0.1", replica.port, "TIMEOUT", "8000"), b"OK")
        self.has_moved(master, replica)
        master.call("CONFIG", "RESETSTAT")
        wait_until(lambda: b"online" in replica.call("INFO", "replication"), 10, "the replica is online")
        self.assertEqual(replica.call("FAILOVER"), b"OK")
        self.has_moved(replica, master)

    def test_ours(self) -> None:
        self.there_and_back("ours", "ours")

    def test_ours_and_real(self) -> None:
        need_reference()
        self.there_and_back("ours", "real")

    def test_real_and_ours(self) -> None:
        need_reference()
        self.there_and_back("real", "ours")

    def test_writes_wait(self) -> None:
        """Writes are held until the role has moved, reads are not; then they learn that they came too late."""
        master, replica = self.pair("ours", "ours")
        wait_until(lambda: b"state=online" in master.call("INFO", "replication"), 10, "online")
        replica.freeze()
        master.call("SET", "late", "1")
        writer, blocked = master.client(), master.client()
        blocked.send("BLPOP", "nothing", "0")
        wait_until(lambda: master.info("clients")["blocked_clients"] == "1", 5, "the blocked client")
        self.assertEqual(master.call("FAILOVER"), b"OK")
        writer.send("SET", "held", "1")
        self.assertEqual(master.call("GET", "a"), b"1")
        self.assertEqual(state(master), "waiting-for-sync")
        refused = master.client()
        self.assertEqual(refused.call("FAILOVER"), RespError("ERR FAILOVER already in progress."))
        self.assertEqual(
            refused.call("REPLICAOF", "NO", "ONE"), RespError("ERR REPLICAOF not allowed while failing over.")
        )
        self.assertEqual(refused.call("PSYNC", "?", "-1"), RespError("NOMASTERLINK Can't SYNC while failing over"))
        master.call("CLIENT", "UNPAUSE")  # another pause than ours
        self.assertEqual(writer.recv_silence(0.2), b"")
        replica.thaw()
        self.assertEqual(writer.read_reply(), RespError("READONLY You can't write against a read only replica."))
        self.assertTrue(str(blocked.read_reply()).startswith("UNBLOCKED "))
        self.has_moved(master, replica)
        self.assertEqual((replica.call("GET", "late"), replica.call("GET", "held")), (b"1", None))

    def test_given_up(self) -> None:
        """When time is up, or at a word, the master stays one and the held writes are executed."""
        master, replica = self.pair("ours", "ours")
        wait_until(lambda: b"state=online" in master.call("INFO", "replication"), 10, "online")
        replica.freeze()
        master.call("SET", "b", "1")
        writer = master.client()
        self.assertEqual(master.call("FAILOVER", "TIMEOUT", "200"), b"OK")
        writer.send("SET", "held", "1")
        master.wait_log("FAILOVER to any replica aborted: Replica never caught up before timeout")
        self.assertEqual(writer.read_reply(), b"OK")
        self.assertEqual(master.call("FAILOVER", "TO", "127.0.0.1", replica.port), b"OK")
        writer.send("SET", "held", "2")
        self.assertEqual(writer.recv_silence(0.1), b"")
        self.assertEqual(master.call("FAILOVER", "ABORT"), b"OK")
        self.assertEqual(writer.read_reply(), b"OK")
        replica.thaw()
        wait_in_sync(master, replica)
        self.assertEqual((digest(master), state(master)), (digest(replica), "no-failover"), report(master, replica))

    def test_by_force_and_back(self) -> None:
        """With FORCE a target that does not answer is waited for as its replica; ABORT ends that under a new id."""
        master, replica = self.pair("ours", "ours")
        wait_until(lambda: b"state=online" in master.call("INFO", "replication"), 10, "online")
        old_id = master.info("replication")["master_replid"]
        replica.freeze()
        master.call("SET", "b", "1")
        target = "TO", "127.0.0.1", replica.port
        self.assertEqual(master.call("FAILOVER", *target, "FORCE", "TIMEOUT", "100"), b"OK")
        wait_until(lambda: state(master) == "failover-in-progress", 5, "the handover")
        self.assertEqual(master.call("ROLE")[0], b"slave")
        self.assertEqual(master.call("FAILOVER", "ABORT"), b"OK")
        self.assertEqual(master.info("replication")["master_replid2"], old_id)
        self.assertEqual(master.call("SET", "c", "1"), b"OK")
        replica.thaw()
        wait_in_sync(master, replica)
        self.assertEqual(digest(master), digest(replica), report(master, replica))
        self.assertEqual(int(master.info("stats")["sync_full"]), 1, report(master, replica))

    def test_refused(self) -> None:
        """A target that is no replica any more refuses; the master stays what it is."""
        master, replica = self.pair("ours", "ours")
        wait_until(lambda: b"state=online" in master.call("INFO", "replication"), 10, "online")
        replica.freeze()
        master.call("SET", "b", "1")
        promotion = replica.client()
        promotion.send("REPLICAOF", "NO", "ONE")
        target = "TO", "127.0.0.1", replica.port
        self.assertEqual(master.call("FAILOVER", *target, "FORCE", "TIMEOUT", "100"), b"OK")
        wait_until(lambda: state(master) == "failover-in-progress", 5, "the handover")
        replica.thaw()
        master.wait_log("aborted: Failover target rejected psync request")
        self.assertEqual((master.call("ROLE")[0], state(master)), (b"master", "no-failover"), report(master, replica))
        self.assertEqual(master.call("SET", "c", "1"), b"OK")
