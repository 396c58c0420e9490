"""What nodes say of themselves and of their link: announced addresses, priorities, ROLE in each state; whom they follow."""

from __future__ import annotations

import socket
from unittest import SkipTest

from twisted.trial.unittest import SynchronousTestCase

from tests.support.connection import Connection, RespError
from tests.support.servers import KINDS, Node, digest, free_port, link_up, need_reference, report, wait_in_sync, wait_until
from tests.support.together import together

PAIRS = (("ours", "ours"), ("ours", "real"), ("real", "ours"))


def attached(master: Node) -> str:
    """The master's line about its first replica, once that is online."""

    def online() -> str:
        line = master.info("replication").get("slave0", "")
        return line if "state=online" in line else ""

    return wait_until(online, 10, "the replica is online")


class Announced(SynchronousTestCase):
    """replica-announce-ip, replica-announce-port, replica-announced and replica-priority."""

    def announced(self, master_kind: str, replica_kind: str) -> None:
        """What the replica says is what the master shows, in INFO and in ROLE."""
        master = KINDS[master_kind](self, name="master").start()
        replica = KINDS[replica_kind](
            self,
            {
                "replica-announce-ip": "10.1.2.3",
                "replica-announce-port": 7777,
                "replica-priority": 42,
                "replicaof": f"127.0.0.1 {master.port}",
            },
            name="replica",
        ).start()
        wait_until(lambda: link_up(replica), 10, "the link")
        self.assertTrue(attached(master).startswith("ip=10.1.2.3,port=7777,state=online,offset="), attached(master))
        self.assertEqual(master.call("ROLE")[2][0][:2], [b"10.1.2.3", b"7777"])
        self.assertEqual(self.spoken(replica), ("42", "1"))
        replica.call("CONFIG", "SET", "replica-announced", "no", "replica-priority", "0")
        self.assertEqual(self.spoken(replica), ("0", "0"))
        self.assertEqual(master.info("replication")["connected_slaves"], "1")  # it hides from Sentinel's clients only
        # A changed address is told with the next connection; host names are passed on as they are.
        replica.call("CONFIG", "SET", "replica-announce-ip", "replica.example")
        replica.call("CONFIG", "SET", "replica-announce-port", "0")
        self.assertTrue(attached(master).startswith("ip=10.1.2.3,port=7777,"))
        self.assertEqual(replica.call("CLIENT", "KILL", "TYPE", "master"), 1)
        wait_until(lambda: f"ip=replica.example,port={replica.port}," in attached(master), 10, "the new address")
        self.assertEqual(master.call("ROLE")[2][0][:2], [b"replica.example", b"%d" % replica.port])
        replica.call("CONFIG", "SET", "replica-announce-ip", "")
        for word in ("replica", "slave"):
            wait_until(lambda: link_up(replica), 10, "the link")
            self.assertEqual(master.call("CLIENT", "KILL", "TYPE", word), 1)
            wait_until(lambda: f"ip=127.0.0.1,port={replica.port}," in attached(master), 10, "the true address")
        wait_in_sync(master, replica)
        self.assertEqual(digest(master), digest(replica), report(master, replica))
        stats = master.info("stats")
        self.assertEqual((stats["sync_full"], stats["sync_partial_ok"]), ("1", "3"), report(master, replica))

    def spoken(self, replica: Node) -> tuple[str, str]:
        """The two fields that Sentinel reads."""
        fields = replica.info("replication")
        return fields["slave_priority"], fields["replica_announced"]

    def test_announced(self) -> None:
        together(*(lambda kinds=kinds: self.announced(*kinds) for kinds in PAIRS))


class Listening:
    """A master's port on which nothing good happens: ``script`` are the answers to the requests, in order."""

    def __init__(self, case: SynchronousTestCase, script: tuple[bytes, ...] = ()) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=0)
        self._socket.settimeout(10)
        self._script = script
        self.port: int = self._socket.getsockname()[1]
        self._peers: list[socket.socket] = []
        self._fillers: list[socket.socket] = []
        case.addCleanup(self.close)

    def fill(self) -> None:
        """Take all places in the queue of connections: who comes now gets no answer, not even to his SYN."""
        for _ in range(3):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", self.port))
            self._fillers.append(filler)

    def serve(self) -> None:
        """Accept one connection, give the answers, then stay silent with the connection open."""
        peer, _ = self._socket.accept()
        peer.settimeout(10)
        self._peers.append(peer)
        for answer in self._script:
            peer.recv(65536)
            peer.sendall(answer)

    def close(self) -> None:
        """Close everything."""
        for one in (self._socket, *self._peers, *self._fillers):
            one.close()


_HANDSHAKE = (b"+PONG\r\n", b"+OK\r\n+OK\r\n")
_FULLRESYNC = b"+FULLRESYNC " + b"a" * 40 + b" 100\r\n"


class Role(SynchronousTestCase):
    """ROLE and INFO of a replica in each state of its link, beside a real one."""

    def setUp(self) -> None:
        """Start a server of each kind."""
        need_reference()
        self.nodes = [KINDS[kind](self, name=kind) for kind in ("real", "ours")]
        for node in self.nodes:
            node.start(wait=False)
        for node in self.nodes:
            node.wait_ready()

    def says(self, node: Node, port: int, state: bytes) -> dict[str, str]:
        """Wait until ROLE names the state; return what INFO says of the link."""
        expected = [b"slave", b"127.0.0.1", port, state, -1]
        wait_until(lambda: node.call("ROLE") == expected, 10, f"{node.name}: {state!r}, not {node.call('ROLE')}")
        fields = node.info("replication")
        names = ("master_link_status", "master_last_io_seconds_ago", "master_sync_in_progress", "role", "connected_slaves")
        return {name: fields[name] for name in names}

    def in_both(self, state: bytes, *script: bytes, full: bool = False) -> dict[str, str]:
        """Both follow such a master, one that does not even accept if ``full``, and say the same."""
        said = []
        for node in self.nodes:
            master = Listening(self, script)
            if full:
                master.fill()
            node.call("REPLICAOF", "127.0.0.1", master.port)
            if not full:
                master.serve()
            said.append(self.says(node, master.port, state))
            node.call("REPLICAOF", "NO", "ONE")
            self.assertEqual(node.call("ROLE"), [b"master", 0, []])
        self.assertEqual(said[1], said[0])
        return said[1]

    def test_connect(self) -> None:
        """Nobody listens: it tries again each second."""
        port = free_port()
        said = []
        for node in self.nodes:
            node.call("REPLICAOF", "127.0.0.1", port)
            node.wait_log("Error condition on socket for SYNC: Connection refused")
            said.append(self.says(node, port, b"connect"))
        self.assertEqual(said[1], said[0])

    def test_connecting(self) -> None:
        """The network gives no answer."""
        self.assertEqual(self.in_both(b"connecting", full=True)["master_link_status"], "down")

    def test_handshake(self) -> None:
        """No answer to PING; none to REPLCONF; none to PSYNC."""
        for answered in range(3):
            self.in_both(b"handshake", *_HANDSHAKE[:answered])

    def test_sync(self) -> None:
        """An image is promised; it is announced with and without its length; some of it is there."""
        for promise in (b"", b"$1000\r\n", b"$1000\r\nREDIS0010", b"$EOF:" + b"m" * 40 + b"\r\nREDIS0010"):
            fields = self.in_both(b"sync", *_HANDSHAKE, _FULLRESYNC + promise)
            self.assertEqual(fields["master_sync_in_progress"], "1", promise)

    def test_connected(self) -> None:
        """The stream runs: the offset is the master's."""
        master = KINDS["real"](self, name="master").start()
        for node in self.nodes:
            node.call("REPLICAOF", "127.0.0.1", master.port)
        master.call("SET", "a", "1")
        wait_in_sync(master, *self.nodes)
        for node in self.nodes:

            def connected(node: Node = node) -> bool:
                expected = int(master.info("replication")["master_repl_offset"])
                return bool(node.call("ROLE") == [b"slave", b"127.0.0.1", master.port, b"connected", expected])

            wait_until(connected, 10, "ROLE of a connected replica")


class Whom(SynchronousTestCase):
    """The host in REPLICAOF: a name, an IPv6 address, and what is none."""

    def test_a_name_and_ipv6(self) -> None:
        """Both ways, in a chain with a real server at each end."""
        try:
            socket.create_server(("::1", 0), family=socket.AF_INET6).close()
        except OSError as error:
            raise SkipTest(f"this machine has no IPv6 loopback: {error}") from None
        need_reference()
        both = {"bind": "127.0.0.1 ::1"}
        top, middle, bottom = (
            KINDS[kind](self, both, name=name)
            for kind, name in (("real", "top"), ("ours", "middle"), ("real", "bottom"))
        )
        for node in (top, middle, bottom):
            node.start(wait=False)
        for node in (top, middle, bottom):
            node.wait_ready()
        top.call("SET", "a", "1")
        for host in ("::1", "localhost"):
            middle.call("REPLICAOF", host, top.port)
            bottom.call("REPLICAOF", host, middle.port)
            wait_in_sync(top, middle, bottom)
            top.call("SET", "by", host)
            wait_in_sync(top, middle, bottom)
            self.assertEqual(len({digest(node) for node in (top, middle, bottom)}), 1, report(top, middle, bottom))
            self.assertEqual(middle.call("ROLE")[1:3], [host.encode(), top.port])
            self.assertEqual(middle.info("replication")["master_host"], host)
            self.assertIn(attached(middle).split(",")[0], {"::1": ("ip=::1",)}.get(host, ("ip=::1", "ip=127.0.0.1")))
        self.assertEqual(middle.info("stats")["sync_full"], "1", report(top, middle, bottom))

    def test_a_unix_socket_is_refused(self) -> None:
        """With words, at once; the role stays. (A real server says OK and looks for such a host name for ever.)"""
        node = KINDS["ours"](self).start()
        refusal = RespError("ERR Invalid master host: a replica connects over TCP, not to a Unix socket")
        with Connection(node.port) as client:
            for host in ("/run/redis/redis.sock", "unix:/run/redis.sock", "./redis.sock"):
                for command in ("REPLICAOF", "SLAVEOF"):
                    self.assertEqual(client.call(command, host, "0"), refusal)
            self.assertEqual(client.call("REPLICAOF", "/run/redis.sock", "x"), RespError("ERR Invalid master port"))
            self.assertEqual(client.call("ROLE"), [b"master", 0, []])
        node.stop()
        node.start({"replicaof": "/run/redis.sock 0"}, wait=False)
        self.assertEqual(node.wait_exit(), 1)
        self.assertIn("a replica connects over TCP, not to a Unix socket", node.log())

    def test_unknown_names(self) -> None:
        """A name that nobody knows is tried for ever, as in Redis, and the log says why."""
        node = KINDS["ours"](self).start()
        self.assertEqual(node.call("REPLICAOF", "nowhere.invalid", "1"), b"OK")
        node.wait_log("Unable to connect to MASTER: DNS lookup failed")
        self.assertEqual(node.call("ROLE"), [b"slave", b"nowhere.invalid", 1, b"connect", -1])
        self.assertEqual(node.call("REPLICAOF", "NO", "ONE"), b"OK")
