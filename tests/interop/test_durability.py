"""What WAIT and WAITAOF promise: a count of replicas that have a write, and of disks that hold it."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.support.connection import RespError
from tests.support.servers import Node, RealServer, Replicad, link_up, wait_until


class Stored(SynchronousTestCase):
    """A master without a disk and replicas with and without one."""

    def master(self, **directives: object) -> Replicad:
        """Start a master."""
        return Replicad(self, {"save": "", "repl-diskless-sync-delay": 0, **directives}, name="master").start()

    def replica(self, master: Node, **directives: object) -> Replicad:
        """Start a replica and wait for its link."""
        replica = Replicad(self, {"replicaof": f"127.0.0.1 {master.port}", **directives}, name="replica").start()
        wait_until(lambda: link_up(replica), 10, "the link")
        return replica

    def survives(self, backend: str) -> None:
        """What WAITAOF counted is there after kill -9 of both."""
        master = self.master()
        replica = self.replica(master, save="1 1", **{"snapshot-backend": backend})
        client = master.client()
        client.call("SET", "first", "1")
        self.assertEqual(client.call("WAITAOF", "0", "1", "20000"), [0, 1])
        for number in range(3):
            client.call("SET", "number", str(number))
            self.assertEqual(client.call("WAITAOF", "0", "1", "20000"), [0, 1])
        self.assertEqual(client.call("WAITAOF", "0", "2", "50"), [0, 1])
        master.kill()
        replica.kill()
        replica.start({"snapshot-backend": backend})
        self.assertEqual(replica.call("MGET", "first", "number"), [b"1", b"2"])

    def test_lmdb(self) -> None:
        self.survives("lmdb")

    def test_rdb(self) -> None:
        self.survives("rdb")

    def test_a_replica_that_stores_nothing(self) -> None:
        master = self.master()
        self.replica(master, save="")
        client = master.client()
        client.call("SET", "a", "1")
        self.assertEqual(client.call("WAIT", "1", "5000"), 1)
        self.assertEqual(client.call("WAITAOF", "0", "1", "100"), [0, 0])
        client.send("MULTI")
        client.send("WAITAOF", "0", "1", "0")
        client.send("EXEC")
        self.assertEqual([client.read_reply() for _ in range(3)][-1], [[0, 0]])

    def test_here(self) -> None:
        """Without any replica the own snapshot counts, once there is one."""
        master = self.master(save="1 1")
        client = master.client()
        client.call("SET", "a", "1")
        self.assertEqual(client.call("WAITAOF", "1", "0", "1"), [0, 0])
        self.assertEqual(client.call("WAITAOF", "1", "0", "20000"), [1, 0])
        master.kill()
        master.start()
        self.assertEqual(master.call("GET", "a"), b"1")
        self.assertEqual(master.call("WAITAOF", "1", "0", "0"), [1, 0])

    def test_refused(self) -> None:
        master = self.master()
        replica = self.replica(master)
        client = master.client()
        for words, text in (
            ("2 0 0", "ERR value is out of range, value must between 0 and 1"),
            ("-1 0 0", "ERR value is out of range, value must between 0 and 1"),
            ("0 -1 0", "ERR value is out of range, must be positive"),
            ("0 0 -1", "ERR timeout is negative"),
            ("0 0 x", "ERR timeout is not an integer or out of range"),
            ("x 0 0", "ERR value is not an integer or out of range"),
            ("1 0 0", "ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled."),
            ("0 0", "ERR wrong number of arguments for 'waitaof' command"),
        ):
            self.assertEqual(client.call("WAITAOF", *words.split()), RespError(text), words)
        refusal = replica.client().call("WAITAOF", "0", "0", "0")
        self.assertTrue(str(refusal).startswith("ERR WAITAOF cannot be used with replica instances."), refusal)

    def test_an_older_master_is_not_disturbed(self) -> None:
        """redis-server before 7.2 knows no FACK; it reads the offset and goes on."""
        master = RealServer(self, {"save": ""}, name="master").start()
        replica = self.replica(master, save="1 1")
        master.call("SET", "a", "1")
        wait_until(lambda: replica.call("GET", "a"), 10, "the write")
        wait_until(lambda: replica.info("persistence")["rdb_changes_since_last_save"] == "0", 10, "the snapshot")
        client = master.client()
        client.call("SET", "b", "1")
        self.assertEqual(client.call("WAIT", "1", "5000"), 1)
        self.assertEqual(master.info("stats")["sync_full"], "1")
