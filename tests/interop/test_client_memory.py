"""What CLIENT LIST says of a client's state and memory, and maxmemory-clients, beside a real server."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.support.connection import Closed, Connection, encode_command
from tests.support.servers import Node, RealServer, Replicad, need_reference, wait_until
from tests.support.twohead import Pair, TwoHeadedTestCase


def line_of(asking: Connection, client: Connection | int) -> dict[str, str]:
    """The fields of CLIENT LIST about one client, asked for by another."""
    number = client if isinstance(client, int) else client.must("CLIENT", "ID")
    line = asking.must("CLIENT", "LIST", "ID", number).decode().strip()
    return dict(word.split("=", 1) for word in line.split(" "))


class Lines(TwoHeadedTestCase):
    """Fields that must be equal: what a client does, in which mode, with which arguments."""

    def numbers(self, pair: Pair) -> tuple[int, int]:
        """The numbers of the pair's clients."""
        return pair.real.must("CLIENT", "ID"), pair.ours.must("CLIENT", "ID")

    def same(self, numbers: tuple[int, int], *names: str) -> dict[str, str]:
        """These fields of both clients, as others see them."""
        real = line_of(self.pair.real, numbers[0])
        ours = line_of(self.pair.ours, numbers[1])
        self.assertEqual({name: real[name] for name in names}, {name: ours[name] for name in names})
        return ours

    def test_latest_command(self) -> None:
        """The latest command, also a refused or a queued one; none when it does not exist. Arguments are let go."""
        pair = self.open_pair()
        numbers = self.numbers(pair)
        for line in ("PING", "GET", "NOSUCH", "CLIENT FOO", "CONFIG GET save", "MULTI", "GET x", "DISCARD", "HELLO 3"):
            pair.both(*line.split())
            self.same(numbers, "cmd", "argv-mem", "flags", "resp", "events", "redir", "user", "db")
        for connection in (pair.real, pair.ours):
            connection.must("SUBSCRIBE", "a")
        self.same(numbers, "cmd", "sub", "psub", "ssub", "flags")

    def test_blocked_and_paused(self) -> None:
        """Who waits keeps its arguments; a client that CLIENT PAUSE holds back is blocked too."""
        pair = self.open_pair()
        numbers = self.numbers(pair)
        pair.send("BLPOP", "nokey", "0")
        self.wait_blocked()
        self.same(numbers, "cmd", "argv-mem", "flags")
        for connection, number in zip((self.pair.real, self.pair.ours), numbers, strict=True):
            connection.must("CLIENT", "UNBLOCK", number)
        pair.read()
        self.do("CLIENT", "PAUSE", "20000", "WRITE")
        try:
            pair.send("SET", "k", "value")
            self.wait_blocked()
            self.same(numbers, "cmd", "flags")
        finally:
            self.do("CLIENT", "UNPAUSE")
        pair.read()

    def test_blocked_without_replies(self) -> None:
        """CLIENT REPLY OFF does not let a client run ahead of its own blocking command."""
        pair = self.open_pair()
        batch = (("CLIENT", "REPLY", "OFF"), ("BLPOP", "queue", "0"), ("SET", "behind", "1"), ("CLIENT", "REPLY", "ON"))
        pair.send_raw(b"".join(encode_command(*words) for words in batch))
        self.wait_blocked()
        self.assertEqual(self.do("GET", "behind"), None)
        self.do("RPUSH", "queue", "a")
        self.assertEqual(pair.read(), b"OK")
        self.assertEqual(self.do("GET", "behind"), b"1")

    def test_reset_and_no_evict(self) -> None:
        """RESET leaves NO-EVICT on."""
        pair = self.open_pair()
        numbers = self.numbers(pair)
        pair.do("CLIENT", "NO-EVICT", "ON")
        self.assertEqual(self.same(numbers, "flags")["flags"], "e")
        pair.do("RESET")
        self.assertEqual(self.same(numbers, "flags")["flags"], "e")

    def test_killer_in_a_transaction(self) -> None:
        """Who kills itself in a transaction gets the replies up to that one."""
        pair = self.open_pair()
        for connection in (pair.real, pair.ours):
            number = connection.must("CLIENT", "ID")
            kill = ("CLIENT", "KILL", "SKIPME", "no", "ID", number)
            words = (("MULTI",), ("PING",), kill, ("PING",), ("EXEC",))
            connection.send_raw(b"".join(encode_command(*one) for one in words))
        self.assertEqual(pair.real.recv_until_closed(), pair.ours.recv_until_closed())

    def test_endless_pause(self) -> None:
        """A pause beyond the end of time is accepted and does not hold anybody."""
        self.do("CLIENT", "PAUSE", "9223372036854775807")
        self.do("SET", "k", "v")
        self.do("CLIENT", "UNPAUSE")

    def test_input(self) -> None:
        """Half a command and a queued transaction count as memory of the client."""
        pair = self.open_pair()
        numbers = self.numbers(pair)
        before = self.same(numbers, "multi-mem", "multi")
        for connection in (pair.real, pair.ours):
            connection.must("MULTI")
            connection.must("SET", "k", "x" * 5000)
            connection.send_raw(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$40000\r\n" + b"x" * 30000)
        wait_until(lambda: int(line_of(self.pair.ours, numbers[1])["qbuf"]) > 30000, 5, "the bytes")
        fields = self.same(numbers, "multi", "omem", "oll")
        self.assertEqual(fields["multi-mem"], "5004")
        self.assertGreater(int(fields["tot-mem"]), int(before["tot-mem"]) + 35000)


class Eviction(SynchronousTestCase):
    """maxmemory-clients: the largest clients are closed until the rest fits."""

    def scenario(self, node: Node) -> Any:
        """Three clients with 100, 300 and 900 KB of input, the largest protected; returns who is left and the count."""
        need_reference()
        node.start()
        asking = node.client()
        sizes = (100_000, 300_000, 900_000)
        clients = [node.client() for _ in sizes]
        clients[2].must("CLIENT", "NO-EVICT", "ON")
        numbers = [client.must("CLIENT", "ID") for client in clients]
        for client, size in zip(clients, sizes, strict=True):
            client.send_raw(b"*2\r\n$3\r\nGET\r\n$%d\r\n" % (size + 10) + b"x" * size)
        wait_until(lambda: int(line_of(asking, numbers[2])["tot-mem"]) > 900_000, 5, "all has arrived")
        asking.must("CONFIG", "SET", "maxmemory-clients", "2000000")
        self.assertEqual(asking.info("stats")["evicted_clients"], "0")
        asking.must("CONFIG", "SET", "maxmemory-clients", "1200000")
        wait_until(lambda: asking.info("stats")["evicted_clients"] == "1", 5, "one is closed")
        self.assertRaises(Closed, clients[1].read_reply)
        node.wait_log("Evicting client: id=")
        left = asking.must("CLIENT", "LIST").decode()
        asking.must("CONFIG", "RESETSTAT")
        return [f"id={number} " in left for number in numbers], asking.info("stats")["evicted_clients"]

    def test_both(self) -> None:
        """The same clients survive."""
        real, ours = self.scenario(RealServer(self)), self.scenario(Replicad(self))
        self.assertEqual(real, ours)
        self.assertEqual(ours, ([True, False, True], "0"))
