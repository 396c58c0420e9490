"""Limits of clients, buffers and requests, and the sockets that a server listens on."""

from __future__ import annotations

import os
import socket
import stat
import time
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from replicad.config import load
from replicad.server import PROTECTED_MODE, Server
from replicad.session import Client
from tests.support.connection import Closed, Connection, NoReply, encode_command
from tests.support.servers import Node, RealServer, Replicad, wait_until
from tests.support.twohead import TwoHeadedTestCase

BOTH: tuple[type[Node], ...] = (RealServer, Replicad)


class Admission(SynchronousTestCase):
    def test_maxclients(self) -> None:
        answers = []
        for kind in BOTH:
            node = kind(self, {"maxclients": 2}).start()
            # the probe of the start may not be forgotten yet
            wait_until(lambda: node.info("clients")["connected_clients"] == "1", 5, "one client")  # noqa: B023
            first, second = node.client(), node.client()
            wait_until(lambda: _pings(first), 5, "first")  # noqa: B023
            wait_until(lambda: _pings(second), 5, "second")  # noqa: B023
            third = node.client()
            answers.append(third.recv_until_closed())
            self.assertEqual(first.info("stats")["rejected_connections"], "1")
            second.close()
            wait_until(lambda: first.info("clients")["connected_clients"] == "1", 5, "one client")  # noqa: B023
            self.assertEqual(node.client().must("PING"), b"PONG")
            node.stop()
        self.assertEqual(answers[1], answers[0])
        self.assertEqual(answers[0], b"-ERR max number of clients reached\r\n")

    def refusal(self, host: str | None, *directives: list[str]) -> bytes | None:
        server = Server(load(None, list(directives)), Clock())

        class Transport:
            def getPeer(self) -> Any:
                return type("Peer", (), {} if host is None else {"host": host})()

            def setTcpNoDelay(self, on: bool) -> None:
                pass

            def setTcpKeepAlive(self, on: bool) -> None:
                pass

            def getHandle(self) -> socket.socket:
                return handle

        with socket.socket() as handle:
            return server.client_connected(Client(server), Transport())

    def test_protected_mode(self) -> None:
        """Only the loopback interface and Unix sockets, unless there is a password or the mode is off."""
        for host in ("127.0.0.1", "127.1.2.3", "::1", "::ffff:127.0.0.1", None):
            self.assertIsNone(self.refusal(host), host)
        for host in ("10.0.0.1", "192.168.1.5", "fe80::1", "8.8.8.8"):
            self.assertEqual(self.refusal(host), PROTECTED_MODE, host)
            self.assertIsNone(self.refusal(host, ["protected-mode", "no"]))
            self.assertIsNone(self.refusal(host, ["requirepass", "x"]))


def _pings(client: Connection) -> bool:
    try:
        return bool(client.must("PING") == b"PONG")
    except (Closed, NoReply):
        return False


class Buffers(SynchronousTestCase):
    def setUp(self) -> None:
        self.node = Replicad(self, {"client-output-buffer-limit": ["normal 3mb 0 0", "pubsub 0 100kb 1"]}).start()
        self.client = self.node.client()
        self.client.must("SET", "big", b"x" * 500_000)

    def wait_gone(self, victim: Connection, seconds: float = 5) -> None:
        """The server forgets the victim; what its socket holds is not looked at."""
        wait_until(lambda: self.client.info("clients")["connected_clients"] == "1", seconds, "closed", 0.02)

    def test_hard_limit_cuts_a_slow_reader(self) -> None:
        slow = self.node.client()
        slow.must("PING")
        slow.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        for _ in range(40):  # 20 MB of replies
            slow.send("GET", "big")
        self.wait_gone(slow)
        self.assertIn("scheduled to be closed ASAP for overcoming of output buffer limits.", self.node.log())
        self.assertEqual(self.client.must("PING"), b"PONG")

    def test_a_reader_is_not_cut(self) -> None:
        quick = self.node.client()
        for _ in range(20):
            self.assertEqual([len(reply) for reply in quick.pipeline(*[("GET", "big")] * 4)], [500_000] * 4)

    def test_soft_limit(self) -> None:
        listener = self.node.client()
        listener.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        listener.must("SUBSCRIBE", "a")
        started = time.monotonic()
        while self.client.info("clients")["connected_clients"] == "2":
            self.client.must("PUBLISH", "a", b"x" * 200_000)
            self.assertLess(time.monotonic() - started, 8)
            time.sleep(0.05)
        self.assertGreater(time.monotonic() - started, 0.9)
        self.assertIn("overcoming of output buffer limits.", self.node.log())

    def most_memory(self) -> int:
        """The largest resident size that the server has had, in bytes."""
        with open(f"/proc/{self.node.pid}/status") as status:
            return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))

    def test_one_batch(self) -> None:
        """Requests of one read, or of one transaction, that ask for gigabytes are cut off in the middle."""
        for requests in (
            [("GET", "big")] * 2000,
            [("LRANGE", "list", "0", "-1")] * 2000,
            [("MULTI",), *[("GET", "big")] * 2000, ("EXEC",)],
            [("MULTI",), ("GET", "big"), ("GET", "big"), ("EXEC",)] * 500,
        ):
            self.client.must("DEL", "list")
            self.client.must("RPUSH", "list", *[b"y" * 50_000] * 10)
            before = self.most_memory()
            slow = self.node.client()
            slow.must("PING")
            slow.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            slow.send_raw(b"".join(encode_command(*request) for request in requests))
            self.wait_gone(slow, 10)
            self.assertLess(self.most_memory() - before, 100_000_000, requests[:3])
        self.assertEqual(self.node.log().count("overcoming of output buffer limits."), 4)

    def test_behind_a_blocking_command(self) -> None:
        """What waits behind it counts as query buffer."""
        self.client.must("CONFIG", "SET", "client-query-buffer-limit", "1mb")
        patient = self.node.client()
        patient.send("BLPOP", "nokey", "0")
        patient.send("SET", "a", b"x" * 900_000)
        patient.send("STRLEN", "a")
        victim = self.node.client()
        victim.send("BLPOP", "nokey", "0")
        try:
            for _ in range(40):
                victim.send("SET", "a", b"x" * 50_000)
        except ConnectionError:
            pass  # cut in the middle, as it should be
        self.client.must("PING")
        wait_until(lambda: self.client.info("clients")["connected_clients"] == "2", 5, "closed", 0.02)
        self.assertIn("Closing client that reached max query buffer length", self.node.log())
        self.client.must("RPUSH", "nokey", "x")
        self.assertEqual([patient.read_reply() for _ in range(3)], [[b"nokey", b"x"], b"OK", 900_000])

    def test_query_buffer(self) -> None:
        self.client.must("CONFIG", "SET", "client-query-buffer-limit", "1mb")
        victim = self.node.client()
        victim.must("PING")
        victim.send_raw(b"*2\r\n$3\r\nGET\r\n$5000000\r\n")
        try:
            for _ in range(40):
                victim.send_raw(b"x" * 50_000)
        except ConnectionError:
            pass  # cut in the middle, as it should be
        self.wait_gone(victim)
        self.assertIn("Closing client that reached max query buffer length", self.node.log())
        self.client.must("SET", "b", b"x" * 900_000)
        self.assertEqual(self.client.must("STRLEN", "b"), 900_000)


class ProtoMaxBulkLen(SynchronousTestCase):
    def test_both(self) -> None:
        answers = []
        for kind in BOTH:
            node = kind(self, {"proto-max-bulk-len": "1mb"}).start()
            client = node.client()
            client.must("SET", "a", b"x" * (1 << 20))
            replies = [
                str(client.call(*words))
                for words in (
                    ("APPEND", "a", "x"),
                    ("SETRANGE", "a", str(1 << 20), "x"),
                    ("SETRANGE", "b", "5000000", "x"),
                    ("STRLEN", "a"),
                )
            ]
            broken = node.client()
            broken.send_raw(b"PING\r\n*2\r\n$3\r\nGET\r\n$1048577\r\n")
            answers.append([*replies, broken.recv_until_closed()])
            node.stop()
        self.assertEqual(answers[1], answers[0])


    def test_at_run_time(self) -> None:
        """The limit of connections that are open changes too."""
        client = Replicad(self).start().client()
        self.assertEqual(len(client.must("ECHO", b"x" * 1_100_000)), 1_100_000)
        client.must("CONFIG", "SET", "proto-max-bulk-len", "1mb")
        client.send_raw(b"*2\r\n$4\r\nECHO\r\n$1100000\r\n")
        self.assertEqual(client.recv_until_closed(), b"-ERR Protocol error: invalid bulk length\r\n")


class Idle(SynchronousTestCase):
    def test_timeout(self) -> None:
        """Idle clients are closed; those that listen or wait are not."""
        node = Replicad(self, {"timeout": 1}).start()
        idle, listener, blocked, busy = (node.client() for _ in range(4))
        idle.must("PING")
        listener.must("SUBSCRIBE", "a")
        blocked.send("BLPOP", "nokey", "0")
        started = time.monotonic()
        while not idle.is_closed():
            busy.must("PING")
            self.assertLess(time.monotonic() - started, 6)
            time.sleep(0.05)
        self.assertGreater(time.monotonic() - started, 0.9)
        self.assertFalse(busy.is_closed() or listener.is_closed() or blocked.is_closed())
        busy.must("RPUSH", "nokey", "x")
        self.assertEqual(blocked.read_reply(), [b"nokey", b"x"])


class Sockets(SynchronousTestCase):
    def test_unix_socket(self) -> None:
        for kind in BOTH:
            node = kind(self)
            path = str(node.directory / "s.sock")
            node.start({"unixsocket": path, "unixsocketperm": "700"})
            mode = os.stat(path).st_mode
            self.assertTrue(stat.S_ISSOCK(mode))
            self.assertEqual(stat.S_IMODE(mode), 0o700)
            with socket.socket(socket.AF_UNIX) as raw:
                raw.settimeout(5)
                raw.connect(path)
                raw.sendall(b"CLIENT INFO\r\n")
                line = raw.recv(4096)
                self.assertIn(f" addr={path}:0 laddr={path}:0 ".encode(), line, node.name)
                raw.sendall(f"CLIENT KILL {path}:0\r\n".encode())
                self.assertEqual(raw.recv(100), b"+OK\r\n")
            node.stop()
            self.assertFalse(os.path.exists(path), node.name)

    def test_unix_socket_alone(self) -> None:
        """Without a TCP port, and over what a crash left behind."""
        node = Replicad(self)
        path = str(node.directory / "s.sock")
        with socket.socket(socket.AF_UNIX) as left_over:
            left_over.bind(path)
        node.start({"port": 0, "unixsocket": path})
        with socket.socket(socket.AF_UNIX) as raw:
            raw.settimeout(5)
            raw.connect(path)
            raw.sendall(b"PING\r\n")
            self.assertEqual(raw.recv(100), b"+PONG\r\n")

    def test_two_addresses(self) -> None:
        """Both are heard; one with a minus sign may be missing from the machine."""
        node = Replicad(self, {"bind": "127.0.0.1 ::1 -203.0.113.7"}).start()
        for host in ("127.0.0.1", "::1"):
            with socket.create_connection((host, node.port), 5) as raw:
                raw.sendall(b"CLIENT INFO\r\n")
                shown = f"[{host}]" if ":" in host else host
                self.assertIn(f"laddr={shown}:{node.port} ".encode(), raw.recv(4096))

    def test_missing_address(self) -> None:
        node = Replicad(self, {"bind": "203.0.113.7"}).start(wait=False)
        self.assertNotEqual(node.wait_exit(), 0)
        self.assertIn("203.0.113.7", node.log())

    def test_port_in_use(self) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            statuses = []
            for kind in BOTH:
                node = kind(self, {"port": taken.getsockname()[1]}).start(wait=False)
                statuses.append(node.wait_exit())
                self.assertIn("Address already in use", node.log())
            self.assertEqual(statuses[1], statuses[0])


class Inline(TwoHeadedTestCase):
    def test_inline(self) -> None:
        for data in (
            b"PING\r\nSET a 'b c'\nGET a\r\n\r\n\n  \r\nECHO \"\\x41\\n\"\r\nSTRLEN a\r\nQUIT\r\n",
            b"ECHO ''\r\nECHO \"\"\r\nEXISTS a b\tc\r\nQUIT\r\n",
            b"   PING   \r\n\tPING\r\nQUIT\r\n",
            b"GET\r\nnosuch a b\r\nQUIT\r\n",
            b"*1\r\n$4\r\nPING\r\nPING\r\n*1\r\n$4\r\nQUIT\r\n",
            b"SET \"a\r\n",
            b"x" * 70_000,
            b"QUIT\r\n*x\r\n",
            b"BLPOP nokey 0.05\r\nPING\r\n*x\r\n",
            b"BLPOP nokey 0.05\r\n*x\r\nPING\r\n",
            b"BLPOP nokey 0.05\r\n*1\r\n$x\r\n",
            b"CLIENT PAUSE 50\r\nPING\r\n*x\r\n",
        ):
            self.raw(data)
