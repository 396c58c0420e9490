"""The transcripts in docs/replication.md are what goes over the wire between two running servers."""

from __future__ import annotations

import contextlib
import re

from twisted.trial.unittest import SynchronousTestCase

from tests.support.proxy import DOWN, UP, Proxy
from tests.support.servers import PROJECT, Replicad, link_up, report, wait_in_sync, wait_until

#: No pings in the stream, so that each offset is that of the page.
DIRECTIVES = {"repl-ping-replica-period": 3600, "repl-diskless-sync-delay": 0}


def printed(title: str) -> tuple[list[str], list[str]]:
    """The lines under a heading of the page that the replica sends, and those that the master sends."""
    page = (PROJECT / "docs" / "replication.md").read_text()
    section = page.partition(f"### {title}\n")[2].partition("\n##")[0]
    lines = section.splitlines()
    up, down = ([line[2:].strip() for line in lines if line.startswith(arrow)] for arrow in ("->", "<-"))
    return up, down


def commands(data: bytes) -> list[str]:
    """Requests, and what a master sends before and between them, one line each; an image is only named."""
    lines: list[str] = []
    while data:
        line, _, rest = data.partition(b"\r\n")
        if data.startswith(b"\n"):
            data = data[1:]
        elif data.startswith(b"*"):
            words = []
            for _ in range(int(line[1:])):
                length, _, rest = rest.partition(b"\r\n")
                size = int(length[1:])
                words.append(rest[:size].decode())
                rest = rest[size + 2 :]
            lines.append(" ".join(words))
            data = rest
        elif data.startswith(b"$EOF:"):
            image, _, data = rest.partition(line[5:])
            lines += ["$EOF:<mark>", f"<{image[:9].decode()}...>", "<mark>"]
        elif data.startswith(b"$"):
            size = int(line[1:])
            lines += ["$<length>", f"<{rest[:9].decode()}...>"]
            data = rest[size:]
        else:
            lines.append(line.decode())
            data = rest
    return lines


class Transcripts(SynchronousTestCase):
    """Each heading under "On the wire"."""

    def setUp(self) -> None:
        """No server runs yet."""
        self.nodes: list[Replicad] = []

    def node(self, name: str, **directives: object) -> Replicad:
        """Start a server."""
        given = {word.replace("_", "-"): value for word, value in directives.items()}
        self.nodes.append(Replicad(self, {**DIRECTIVES, **given}, name=name).start())
        return self.nodes[-1]

    def compare(self, title: str, proxy: Proxy, *ids: str) -> None:
        """What went through ``proxy`` since the last call is what the page prints; ids are numbered there."""

        def shown(direction: str) -> list[str]:
            lines: list[str] = []
            for line in commands(bytes(proxy.kept[direction])):
                for number, replid in enumerate(ids, 1):
                    line = line.replace(replid, f"<id {number}>")
                line = re.sub(r"(listening-port) \d+", r"\1 6380", line)
                if not (line.startswith("REPLCONF ACK") and line in lines[-1:]):  # it is repeated each second
                    lines.append(line)
            return lines

        up, down = printed(title)
        with contextlib.suppress(AssertionError):  # the comparison says more
            wait_until(lambda: shown(UP)[-1:] == up[-1:], 20)
        self.assertEqual((shown(UP), shown(DOWN)), (up, down), report(*self.nodes))
        for kept in proxy.kept.values():
            kept.clear()

    def replid(self, node: Replicad) -> str:
        """The current replication id."""
        return node.info("replication")["master_replid"]

    def full(self, title: str, **directives: object) -> tuple[Replicad, Replicad, Proxy]:
        """A replica's first synchronisation, and one write after it."""
        master = self.node("master", **directives)
        master.call("SET", "greeting", "hello")
        proxy = Proxy(self, master, keep=True)
        replica = self.node("replica", replicaof=f"127.0.0.1 {proxy.port}")
        wait_until(lambda: link_up(replica), 10, "the link")
        wait_until(lambda: "REPLCONF ACK 0" in commands(bytes(proxy.kept[UP])), 10, "the first acknowledgement")
        master.call("SET", "a", "1")
        self.compare(title, proxy, self.replid(master))
        return master, replica, proxy

    def test_from_disk(self) -> None:
        self.full("Full, from disk", repl_diskless_sync="no")

    def test_the_others(self) -> None:
        """The rest tells one story: a full synchronisation, a cut, a promotion, a handover."""
        master, replica, proxy = self.full("Full, streamed", repl_diskless_sync="yes")
        first = self.replid(master)
        proxy.refuse()
        master.call("SET", "b", "2")
        master.call("SET", "c", "3")
        for kept in proxy.kept.values():
            kept.clear()
        proxy.resume()
        self.compare("Partial", proxy, first)
        other = self.node("other", replicaof=f"127.0.0.1 {master.port}")  # a full one puts a SELECT before the next write
        wait_in_sync(master, replica, other)

        replica.call("REPLICAOF", "NO", "ONE")
        second = self.replid(replica)
        below = Proxy(self, replica, keep=True)
        other.call("REPLICAOF", "127.0.0.1", below.port)
        self.compare("Promotion: partial under a new id", below, first, second)

        upward = Proxy(self, other, keep=True)
        other.call("CONFIG", "SET", "replica-announce-port", upward.port)
        other.call("CLIENT", "KILL", "TYPE", "master")
        wait_until(lambda: f"port={upward.port},state=online" in str(replica.call("INFO", "replication")), 10, "online")
        self.assertEqual(replica.call("FAILOVER", "TO", "127.0.0.1", upward.port, "TIMEOUT", "5000"), b"OK")
        wait_until(lambda: link_up(replica), 10, "the handover")
        self.compare("FAILOVER", upward, first, second, self.replid(other))
