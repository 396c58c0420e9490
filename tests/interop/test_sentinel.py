"""Real Sentinels run trios of replicad, of real servers, and of both."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import redis
import txredisapi
from redis.sentinel import Sentinel as RedisPySentinel
from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.threads import blockingCallFromThread, deferToThread
from twisted.trial.unittest import TestCase

from tests.support.connection import Closed, RespError
from tests.support.proxy import Proxy
from tests.support.sentinels import NAME, Sentinels
from tests.support.servers import KINDS, Node, digest, link_up, report, wait_in_sync, wait_until
from tests.support.together import together

#: What the user of a Sentinel has to be allowed.
ALLOWED = (
    "allchannels +ping +info +role +publish +subscribe +multi +exec +slaveof +config|rewrite +client|setname +client|kill "
    "+script|kill"
)

DIRECTIVES = {
    "repl-diskless-sync-delay": 0,
    "repl-ping-replica-period": 1,
    "repl-timeout": 6,
    "user": f"watcher on >watch {ALLOWED}",
}


class TxRedisApi:
    """txredisapi's Sentinel client, for a thread: it lives in the reactor's."""

    def __init__(self, sentinels: Sentinels) -> None:
        def connect() -> None:
            self._sentinel = txredisapi.Sentinel(sentinels.addresses)
            self._sentinel.discovery_timeout = 1.0
            self._master = self._sentinel.master_for(NAME, poolsize=2)
            self._replica = self._sentinel.slave_for(NAME)

        blockingCallFromThread(reactor, connect)

    def set(self, key: str, value: str) -> bool:
        """SET at the master; False while there is none to be found."""
        return self._try(lambda: self._master.set(key, value)) == "OK"

    def replica_role(self) -> Any:
        """The first word of ROLE at the one that is for reading."""
        return (self._try(self._replica.role) or [None])[0]

    def read(self, key: str) -> Any:
        """GET at a replica."""
        return self._try(lambda: self._replica.get(key))

    def _try(self, call: Callable[[], Any]) -> Any:
        try:
            return blockingCallFromThread(reactor, call)
        except (txredisapi.ConnectionError, txredisapi.ResponseError):
            return None

    def close(self) -> None:
        """Close all connections."""
        for ends in ((self._master, self._replica), (self._sentinel,)):
            blockingCallFromThread(reactor, lambda ends=ends: gatherResults([end.disconnect() for end in ends]))
            time.sleep(self._sentinel.discovery_timeout)  # a search for the master that found none ends by its timeout only


class Trios(TestCase):
    """A master, two replicas and three Sentinels; then something happens to the master.

    The scenarios block, so they run in threads; the reactor is for the client that needs one.
    """

    def setUp(self) -> None:
        """Nobody is there yet."""
        self.doors: dict[Node, Node | Proxy] = {}  #: what the others reach a node by: itself, or its proxy

    def trio(
        self, *kinds: str, priorities: tuple[int, int] = (100, 100), announced: str = "yes", proxies: bool = False
    ) -> tuple[list[Node], Sentinels]:
        """Start them and wait until everybody knows everybody; with ``proxies`` only by the addresses of these.

        ``announced`` is what the second one says of itself.
        """
        nodes = [
            KINDS[kind](self, {**DIRECTIVES, "replica-priority": priority}, name=f"{place}-{kind}")
            for place, kind, priority in zip(("first", "second", "third"), kinds, (100, *priorities), strict=True)
        ]
        master, *replicas = nodes
        doors: dict[Node, Node | Proxy] = {node: Proxy(self, node) if proxies else node for node in nodes}
        self.doors.update(doors)
        for node in nodes:
            assert isinstance(node.directives, dict)
            directives = {**node.directives, "replica-announce-port": doors[node].port if proxies else 0}
            if node is replicas[0]:
                directives["replica-announced"] = announced
            if node is not master:
                directives["replicaof"] = f"127.0.0.1 {doors[master].port}"
            node.start(directives, wait=False)
        for node in nodes:
            node.wait_ready()
        for number in range(100):
            master.call("SET", f"key:{number}", number)
        for replica in replicas:
            wait_until(lambda replica=replica: link_up(replica), 10, "the link")
        # A busy machine must not make a Sentinel think that a replica is down.
        options = {"auth_user": "watcher", "auth_pass": "watch", "down_after_milliseconds": 2000}
        sentinels = Sentinels(self, doors[master], **options)
        sentinels.wait_complete()
        return nodes, sentinels

    def follow(self, nodes: list[Node], master: Node) -> None:
        """Everybody else becomes a replica of ``master``, and has the same data."""
        others = [node for node in nodes if node is not master]
        for node in others:

            def follows(node: Node = node) -> bool:
                try:
                    return node.call("ROLE")[:3] == [b"slave", b"127.0.0.1", self.doors[master].port] and link_up(node)
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
        port = sentinels.wait_master(second.port, third.port)
        self.assertEqual(port, third.port, "".join(node.log() for node in sentinels.nodes))
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
        other = TxRedisApi(sentinels)
        self.addCleanup(deferToThread, other.close)
        wait_until(lambda: other.set("by-other", "1"), 20, "txredisapi finds the master", every=0.1)
        wait_until(lambda: other.replica_role() == "slave", 20, "txredisapi finds a replica", every=0.1)
        self.assertEqual(sentinels.nodes[1].call("SENTINEL", "FAILOVER", NAME), b"OK")
        self.assertEqual(sentinels.wait_master(second.port), second.port)
        self.follow(nodes, second)

        def written() -> bool:
            try:
                return bool(client.set("by-client", "2"))
            except (redis.ReadOnlyError, redis.ConnectionError):
                return False

        wait_until(written, 20, "redis-py finds the new master", every=0.2)
        wait_until(lambda: other.set("by-other", "2"), 20, "txredisapi finds the new master", every=0.2)
        self.assertEqual(second.call("MGET", "by-client", "by-other"), [b"2", b"2"])
        wait_until(lambda: other.read("by-other") == 2, 20, "txredisapi reads on", every=0.2)
        client.close()

    def parted(self, *kinds: str) -> None:
        """A master that only a client reaches: it stops taking writes, and what it took alone is given up."""
        nodes, sentinels = self.trio(*kinds, proxies=True)
        first, second, third = nodes
        first.call("CONFIG", "SET", "min-replicas-to-write", "1", "min-replicas-max-lag", "2")
        door = self.doors[first]
        assert isinstance(door, Proxy)
        door.pause()
        first.call("SET", "alone", "1")
        port = sentinels.wait_master(*(self.doors[node].port for node in (second, third)))
        promoted = next(node for node in (second, third) if self.doors[node].port == port)
        promoted.call("SET", "meanwhile", "1")
        client = first.client()
        refusal = RespError("NOREPLICAS Not enough good replicas to write.")
        wait_until(lambda: client.call("SET", "alone", "2") == refusal, 10, "the lost master refuses writes", every=0.1)
        door.resume()
        self.follow(nodes, promoted)
        self.assertEqual(first.call("MGET", "alone", "meanwhile"), [None, b"1"], report(*nodes))
        self.assertEqual(self.configured(first), [f"127.0.0.1 {port}"])

    def hidden(self, *kinds: str) -> None:
        """A replica that is not announced is known but not shown; one of priority 0 is never promoted."""
        nodes, sentinels = self.trio(*kinds, priorities=(0, 100), announced="no")
        first, _, third = nodes
        self.assertEqual((sentinels.master()["num-slaves"], list(sentinels.replicas())), ("2", [third.port]))
        third.freeze()
        wait_until(lambda: "s_down" in sentinels.replicas()[third.port]["flags"], 20, "the good one is down", every=0.2)
        refusal = sentinels.nodes[0].client().call("SENTINEL", "FAILOVER", NAME)
        self.assertEqual(refusal, RespError("NOGOODSLAVE No suitable replica to promote"))
        self.assertEqual(sentinels.master_port(), first.port)

    def run_together(self, *scenarios: Callable[[], None]) -> Deferred[None]:
        """Each in a thread, and the reactor goes on."""
        return deferToThread(together, *scenarios)

    def test_ours_killed(self) -> Deferred[None]:
        return self.run_together(lambda: self.killed("ours", "ours", "ours"), lambda: self.killed("real", "ours", "ours"))

    def test_mixed_killed(self) -> Deferred[None]:
        return self.run_together(lambda: self.killed("ours", "ours", "real"), lambda: self.killed("ours", "real", "ours"))

    def test_frozen(self) -> Deferred[None]:
        return self.run_together(lambda: self.frozen("ours", "ours", "ours"), lambda: self.frozen("ours", "real", "ours"))

    def test_asked(self) -> Deferred[None]:
        return self.run_together(lambda: self.asked("ours", "ours", "ours"), lambda: self.asked("real", "ours", "real"))

    def test_parted(self) -> Deferred[None]:
        return self.run_together(
            lambda: self.parted("ours", "ours", "ours"), lambda: self.parted("ours", "real", "ours")
        )

    def test_hidden(self) -> Deferred[None]:
        return self.run_together(lambda: self.hidden("ours", "ours", "ours"), lambda: self.hidden("real", "ours", "ours"))
