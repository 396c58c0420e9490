"""Peers of a TLS port who do not finish their handshakes, do not read, or do not answer."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import time
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.interop.test_tls import certificate
from tests.support.servers import Node, Replicad, free_port, wait_until


class Peers(SynchronousTestCase):
    """A server that lets anybody come, but not many."""

    def setUp(self) -> None:
        directory = Path(self.mktemp())
        directory.mkdir(parents=True)
        directory = directory.resolve()
        for name, issuer in (("ca", ""), ("server", "ca")):
            certificate(directory, name, issuer)
        self.port = free_port()
        self.node: Node = Replicad(
            self,
            {
                "tls-port": self.port,
                "tls-cert-file": str(directory / "server.crt"),
                "tls-key-file": str(directory / "server.key"),
                "tls-auth-clients": "no",
                "maxclients": 6,
            },
        ).start()
        self.context = ssl.create_default_context(cafile=str(directory / "ca.crt"))
        self.context.check_hostname = False

    def raw(self) -> socket.socket:
        """A TCP connection to the TLS port."""
        one = socket.create_connection(("127.0.0.1", self.port), timeout=5)
        self.addCleanup(one.close)
        return one

    def secure(self) -> ssl.SSLSocket:
        """A TLS connection."""
        one = self.context.wrap_socket(self.raw())
        self.addCleanup(one.close)
        return one

    def files(self) -> int:
        """The open files of the server."""
        return len(os.listdir(f"/proc/{self.node.process.pid}/fd"))

    def test_handshakes_that_do_not_end(self) -> None:
        """They count as clients, those that are too many are dropped at once, and the others when time is up."""
        self.node.call("PING")
        before = self.files()
        operator = self.node.client()
        silent = [self.raw() for _ in range(20)]
        for one in silent[::2]:
            with contextlib.suppress(OSError):  # it may be gone already
                one.sendall(b"\x16\x03\x01")
        wait_until(lambda: self.files() <= before + 7, 3, "those that are too many are gone")
        operator.must("CONFIG", "SET", "timeout", "1")
        wait_until(lambda: operator.must("PING") and self.files() <= before + 1, 5, "all are gone")
        operator.must("CONFIG", "SET", "timeout", "0")

    def test_too_many(self) -> None:
        """One that knows TLS and comes too late is dropped, too."""
        operator = self.node.client()
        wait_until(lambda: operator.info("clients")["connected_clients"] == "1", 5, "nobody else is there")
        kept = [self.secure() for _ in range(5)]
        before = self.files()
        with contextlib.suppress(OSError):  # it may be reset before it is connected
            late = self.context.wrap_socket(self.raw(), do_handshake_on_connect=False)
            late.do_handshake()
            late.recv(100)
        wait_until(lambda: self.files() <= before, 3, "it is gone")
        kept[0].sendall(b"PING\r\n")
        self.assertEqual(kept[0].recv(100), b"+PONG\r\n")

    def test_one_that_is_killed_and_does_not_answer(self) -> None:
        """The peer's part of the end of TLS is not waited for."""
        self.node.call("PING")
        before = self.files()
        one = self.secure()
        one.sendall(b"CLIENT ID\r\n")
        number = one.recv(100)[1:-2].decode()
        self.assertEqual(self.node.call("CLIENT", "KILL", "ID", number), 1)
        wait_until(lambda: self.files() <= before, 5, "its socket is closed")
        one = self.secure()
        one.sendall(b"QUIT\r\n")
        wait_until(lambda: self.files() <= before, 5, "its socket is closed")
        self.assertEqual(one.recv(100), b"+OK\r\n")

    def test_one_that_does_not_read(self) -> None:
        """client-output-buffer-limit holds."""
        self.node.call("SET", "k", "x" * 1_000_000)
        self.node.call("CONFIG", "SET", "client-output-buffer-limit", "normal 8mb 0 0")
        before = self.files()
        one = self.secure()
        one.sendall(b"GET k\r\n" * 100)
        wait_until(lambda: self.files() <= before, 5, "it is cut off")

    def test_garbage(self) -> None:
        """Neither a plain command, nor anything that is no TLS, harms others."""
        self.node.call("PING")
        before = self.files()
        for data in (b"PING\r\n", b"\x00" * 1000, b"\x16\x03\x01\xff\xff" + b"\xff" * 70000, b"GET / HTTP/1.1\r\n\r\n"):
            one = self.raw()
            with contextlib.suppress(OSError):
                one.sendall(data)
                self.assertNotIn(b"PONG", one.recv(1000))
            one.close()
        time.sleep(0.1)
        wait_until(lambda: self.files() <= before, 5, "all are gone")
        self.assertEqual(self.node.call("ECHO", "x"), b"x")
