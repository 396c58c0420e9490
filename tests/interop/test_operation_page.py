"""What docs/operation.md tells operators to write and to type works."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from unittest import SkipTest

import redis
from twisted.trial.unittest import SynchronousTestCase

from tests.interop.test_sentinel import ALLOWED
from tests.support.connection import RespError
from tests.support.servers import PROJECT, Replicad, find_tool, free_port, link_up, wait_in_sync, wait_until


def blocks(heading: str) -> list[str]:
    """The code blocks under a heading of the page."""
    page = (PROJECT / "docs" / "operation.md").read_text()
    section = page.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return [block.partition("\n")[2] for block in section.split("```")[1::2]]


def directives(block: str) -> dict[str, str]:
    """The lines of a conf file."""
    return dict(line.split(" ", 1) for line in block.splitlines() if line and not line.startswith("#"))


class Page(SynchronousTestCase):
    """Section by section."""

    def test_tls(self) -> None:
        """The openssl commands make certificates with which a master and its replica speak TLS as the conf lines say."""
        if shutil.which("openssl") is None:
            raise SkipTest("there is no openssl program")
        making, conf, asking, renewing = blocks("TLS")
        directory = Path(self.mktemp())
        directory.mkdir(parents=True)
        directory = directory.resolve()
        subprocess.run(["sh", "-e"], input=making, text=True, cwd=directory, check=True, capture_output=True, timeout=60)
        lines = directives(conf.replace("/etc/replicad", str(directory)))
        ports = [free_port(), free_port()]
        master, replica = (Replicad(self, {**lines, "tls-port": port}, name=f"on-{port}") for port in ports)
        master.start()
        replica.start({**lines, "tls-port": ports[1], "replicaof": f"127.0.0.1 {ports[0]}"})
        for command in re.findall(r"^\$ redis-cli (--tls .*)", asking, re.MULTILINE):
            words = ["timeout", "20", find_tool("redis-cli"), "-p", str(ports[0]), *command.split()]
            ended = subprocess.run(words, capture_output=True, text=True, cwd=directory, timeout=30)
            self.assertEqual(ended.stdout.strip() == "PONG", "--cert" in command, (command, ended))
        client = redis.Redis(
            port=ports[1], ssl=True, ssl_ca_certs=str(directory / "ca.crt"), ssl_check_hostname=False,
            ssl_certfile=str(directory / "replicad.crt"), ssl_keyfile=str(directory / "replicad.key"),
        )  # fmt: skip
        self.addCleanup(client.close)
        wait_until(lambda: client.info("replication")["master_link_status"] == "up", 15, "the link")
        setting = renewing.partition("CONFIG SET ")[2].splitlines()[0].replace("/etc/replicad", str(directory))
        self.assertEqual(client.execute_command("CONFIG", "SET", *setting.split()), b"OK")

    def test_users(self) -> None:
        """A replica with the user of the page follows, and that user may do nothing else."""
        user, names, watcher = blocks("Users for replicas and Sentinels")
        self.assertIn(ALLOWED, watcher)  # test_sentinel uses it
        master = Replicad(self, user).start()
        replica = Replicad(self, f"{names}replicaof 127.0.0.1 {master.port}\n").start()
        wait_until(lambda: link_up(replica), 10, "the link")
        login = directives(names)
        client = master.client()
        client.must("AUTH", login["masteruser"], login["masterauth"])
        self.assertEqual(client.must("PING"), b"PONG")
        self.assertTrue(str(client.call("GET", "a")).startswith("NOPERM"))

    def test_reading(self) -> None:
        """The replies under "Reading from replicas"."""
        master = Replicad(self).start()
        replica = Replicad(self, {"replicaof": f"127.0.0.1 {master.port}"}).start()
        master.call("RPUSH", "list", 3, 1, 2)
        wait_in_sync(master, replica)
        client = replica.client()
        (session,) = blocks("Reading from replicas")
        for command, reply in re.findall(r"> (.*)\n((?:(?!127).*\n)+)", session):
            answer = client.call(*command.split())
            if isinstance(answer, RespError):
                self.assertEqual(reply, f"(error) {answer}\n")
            else:
                self.assertEqual(reply, "".join(f'{n}) "{item.decode()}"\n' for n, item in enumerate(answer, 1)))
