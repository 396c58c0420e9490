"""Real Sentinels run trios of replicad, of real servers, and of both."""

from __future__ import annotations

import redis
from redis.sentinel import Sentinel as RedisPySentinel
from twisted.trial.unittest import SynchronousTestCase

from tests.support.connection import Closed
from tests.support.sentinels import NAME, Sentinels
from tests.support.servers import KINDS, Node, digest, link_up, report, wait_in_sync, wait_until
from tests.support.together import together

DIRECTIVES = {"repl-diskless-sync-delay": 0, "repl-ping-replica-period": 1, "repl-timeout": 6}


class Trios(SynchronousTestCase):
    """A master, two replicas and three Sentinels; then something happens to the master."""

    def trio(self, *kinds: str, priorities: tuple[int, int] = (100, 100)) -> tuple[list[Node], Sentinels]:
        """Start them and wait until everybody knows everybody."""
        master, *replicas = (
            KINDS[kind](self, {**DIRECTIVES, "replica-priority": priority}, name=f"{place}-{kind}")
            for place, kind, priority in zip(("first", "second", "third"), kinds, (100, *priorities), strict=True)
        )
        master.start(wait=False)
        for replica in replicas:
            assert isinstance(replica.directives, dict)
            replica.start({**replica.directives, "replicaof": f"127.0.0.1 {master.port}"}, wait=False)
        nodes = [master, *replicas]
        for node in nodes:
            node.wait_ready()
        for number in range(100):
            master.call("SET", f"key:{number}", number)
        for replica in replicas:
            wait_until(lambda replica=replica: link_up(replica), 10, "the link")
        sentinels = Sentinels(self, master)
        sentinels.wait_complete()
        return nodes, sentinels

    def follow(self, nodes: list[Node], master: Node) -> None:
        """Everybody else becomes a replica of ``master``, and has the same data."""
        others = [node for node in nodes if node is not master]
        for node in others:

            def follows(node: Node = node) -> bool:
                try:
                    return node.call("ROLE")[:3] == [b"slave", b"127.0.0.1", master.port] and link_up(node)
                except (Closed, ConnectionError):  # Sentinel kills the clients of a node whose role it changes
                    return False

            try:
                wait_until(follows, 60, f"{node.name} follows {master.name}", every=0.1)
            except AssertionError as error:
                error.add_note(report(*nodes))
                raise
        master.call("SET", "after", master.name)
        wait_in_sync(master, *others)
        self.assertEqual(len({digest(node) for node in nodes}), 1, report(*nodes))

    def configured(self, node: Node) -> list[str]:
        """The replicaof lines that CONFIG REWRITE has left in the conf file."""
        lines = (node.directory / f"{node.name}.conf").read_text().splitlines()
        return [line.partition(" ")[2] for line in lines if line.startswith("replicaof ")]

    def killed(self, *kinds: str) -> None:
        """kill -9: a replica with the better priority takes over, the other continues, the old master comes back below."""
        nodes, sentinels = self.trio(*kinds, priorities=(50, 10))
        first, second, third = nodes
        full = int(third.info("stats")["sync_full"])
        first.kill()
        self.assertEqual(sentinels.wait_master(second.port, third.port), third.port)
        self.follow([second, third], third)
        self.assertEqual(int(third.info("stats")["sync_full"]), full, report(second, third))
        self.assertEqual((self.configured(third), self.configured(second)), ([], [f"127.0.0.1 {third.port}"]))
        first.restart_as_is()
        self.follow(nodes, third)

    def frozen(self, *kinds: str) -> None:
        """A master that hangs is replaced; when it wakes up it is told, and gives up what it knew alone."""
        nodes, sentinels = self.trio(*kinds)
        first, second, third = nodes
        first.freeze()
        port = sentinels.wait_master(second.port, third.port)
        first.thaw()
        self.follow(nodes, next(node for node in nodes if node.port == port))

    def asked(self, *kinds: str) -> None:
        """SENTINEL FAILOVER, and clients that ask Sentinel find the new master."""
        nodes, sentinels = self.trio(*kinds, priorities=(10, 50))
        second = nodes[1]
        client = RedisPySentinel(sentinels.addresses, socket_timeout=5).master_for(NAME, socket_timeout=5)
        client.set("by-client", "1")
        self.assertEqual(sentinels.nodes[1].call("SENTINEL", "FAILOVER", NAME), b"OK")
        self.assertEqual(sentinels.wait_master(second.port), second.port)
        self.follow(nodes, second)

        def written() -> bool:
            try:
                return bool(client.set("by-client", "2"))
            except (redis.ReadOnlyError, redis.ConnectionError):
                return False

        wait_until(written, 20, "redis-py finds the new master", every=0.2)
        self.assertEqual(second.call("GET", "by-client"), b"2")
        client.close()

    def test_ours_killed(self) -> None:
        together(lambda: self.killed("ours", "ours", "ours"), lambda: self.killed("real", "ours", "ours"))

    def test_mixed_killed(self) -> None:
        together(lambda: self.killed("ours", "ours", "real"), lambda: self.killed("ours", "real", "ours"))

    def test_frozen(self) -> None:
        together(lambda: self.frozen("ours", "ours", "ours"), lambda: self.frozen("ours", "real", "ours"))

    def test_asked(self) -> None:
        together(lambda: self.asked("ours", "ours", "ours"), lambda: self.asked("real", "ours", "real"))
