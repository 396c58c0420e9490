"""A master and its replica on two machines, as far as the kernel can pretend, and a network between them that fails.

Unlike a proxy that stops forwarding, a cable that is pulled leaves both ends without any answer: nothing is acknowledged,
connects get no reply, and only timeouts tell.
"""

from __future__ import annotations

import time

from twisted.trial.unittest import SynchronousTestCase

from tests.support.connection import RespError
from tests.support.namespaces import KINDS_INSIDE, Namespaces, need_namespaces
from tests.support.servers import Node, digest, report, wait_in_sync, wait_until
from tests.support.together import together
from tests.support.writes import changes, dataset, write

DIRECTIVES = {
    "repl-timeout": 2,
    "repl-ping-replica-period": 1,
    "repl-backlog-size": "8mb",
    "min-replicas-max-lag": 1,
    "min-replicas-to-write": 0,
}


class Partitions(SynchronousTestCase):
    """The cable is pulled, or one side hears nothing."""

    def pair(self, master: str, replica: str) -> tuple[Namespaces, Node, Node]:
        """Start both, each in its namespace, with data, in sync."""
        namespaces = Namespaces(self)
        one = KINDS_INSIDE[master](self, namespaces, 0, DIRECTIVES, f"master-{master}")
        directives = {**DIRECTIVES, "replicaof": f"{one.host} {one.port}"}
        other = KINDS_INSIDE[replica](self, namespaces, 1, directives, f"replica-{replica}")
        one.start(wait=False)
        other.start(wait=False)
        one.wait_ready()
        other.wait_ready()
        write(one, dataset(1, 100))
        wait_in_sync(one, other)
        return namespaces, one, other

    def equal(self, master: Node, replica: Node, partial: int) -> None:
        """They meet again, without another copy of the dataset, and with ``partial`` continuations."""
        write(master, changes(7, 50))
        wait_in_sync(master, replica)
        self.assertEqual(digest(master), digest(replica), report(master, replica))
        stats = master.info("stats")
        self.assertEqual((stats["sync_full"], stats["sync_partial_ok"]), ("1", str(partial)), report(master, replica))

    def pulled(self, *kinds: str) -> None:
        """Both ends give up after repl-timeout, and continue."""
        namespaces, master, replica = self.pair(*kinds)
        master.call("CONFIG", "SET", "min-replicas-to-write", 1)
        namespaces.unplug()
        self.assertEqual(waits(master), 0)
        wait_until(lambda: refuses(master), 10, "NOREPLICAS")
        replica.wait_log("MASTER timeout: no data nor PING received...")
        master.wait_log("Disconnecting timedout replica (streaming sync)")
        self.assertEqual(replica.info("replication")["master_link_status"], "down")
        master.call("CONFIG", "SET", "min-replicas-to-write", 0)
        write(master, changes(3, 200))
        namespaces.plug()
        self.equal(master, replica, partial=1)
        self.assertEqual(replica.call("GET", "a"), b"1")

    def blinked(self, *kinds: str) -> None:
        """Less than repl-timeout: the connection lives on."""
        namespaces, master, replica = self.pair(*kinds)
        namespaces.unplug()
        write(master, changes(3, 50))
        time.sleep(0.3)
        namespaces.plug()
        self.equal(master, replica, partial=0)

    def deaf_replica(self, *kinds: str) -> None:
        """The replica hears nothing, though what it says arrives: it gives up, tries again, and continues."""
        namespaces, master, replica = self.pair(*kinds)
        namespaces.deafen(1)
        write(master, changes(3, 50))
        replica.wait_log("MASTER timeout: no data nor PING received...")
        namespaces.plug()
        self.equal(master, replica, partial=1)

    def deaf_master(self, *kinds: str) -> None:
        """The master hears no acknowledgement and cuts the replica, which does not know yet."""
        namespaces, master, replica = self.pair(*kinds)
        namespaces.deafen(0)
        write(master, changes(3, 50))
        self.assertEqual(waits(master), 0)
        master.wait_log("Disconnecting timedout replica (streaming sync)")
        namespaces.plug()
        self.equal(master, replica, partial=1)

    def test_pulled(self) -> None:
        need_namespaces()
        together(
            lambda: self.pulled("ours", "ours"), lambda: self.pulled("ours", "real"), lambda: self.pulled("real", "ours")
        )

    def test_one_way(self) -> None:
        need_namespaces()
        together(
            lambda: self.blinked("ours", "ours"),
            lambda: self.deaf_replica("real", "ours"),
            lambda: self.deaf_master("ours", "ours"),
        )


def waits(master: Node) -> int:
    """How many replicas acknowledge a write."""
    with master.client() as client:
        client.must("SET", "a", "1")
        return int(client.must("WAIT", 1, 200))


def refuses(master: Node) -> bool:
    """Whether the master takes no writes for lack of replicas."""
    try:
        master.call("SET", "b", "1")
    except RespError as error:
        return error.text.startswith("NOREPLICAS")
    return False
