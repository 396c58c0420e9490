"""Client-side caching without sockets: the table of keys, whom a change is told, and what the server forgets."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from replicad.config import load
from replicad.dispatch import run
from replicad.resp import encode_command
from replicad.server import Server
from replicad.session import NOWHERE, Client
from replicad.tracking import KeyTable


class Wire(type(NOWHERE)):  # type: ignore[misc]
    """A connection that keeps what is written."""

    def __init__(self) -> None:
        self.data = b""

    def write(self, data: bytes) -> None:
        self.data += data

    def take(self) -> bytes:
        """What has come since the last call."""
        data, self.data = self.data, b""
        return data


def told(*keys: bytes) -> bytes:
    """The message about these keys."""
    return b">2\r\n$10\r\ninvalidate\r\n" + encode_command(keys)


class Table(SynchronousTestCase):
    """Keys and the numbers of their holders."""

    def test_counts(self) -> None:
        """Pairs are counted once, whether a key has one holder or many."""
        table = KeyTable()
        for key, number in ((b"a", 1), (b"a", 1), (b"a", 2), (b"a", 3), (b"a", 2), (b"b", 1)):
            table.add(key, number)
        self.assertEqual((table.keys, table.items), (2, 4))
        self.assertEqual(sorted(table.take(b"a")), [1, 2, 3])
        self.assertEqual(table.take(b"a"), ())
        self.assertEqual(table.take(b"b"), (1,))
        self.assertEqual((table.keys, table.items), (0, 0))

    def test_any_key(self) -> None:
        """Every key can be taken out one after another."""
        table = KeyTable()
        names = {b"k%d" % number for number in range(3000)}
        for name in names:
            table.add(name, 7)
        taken = set()
        while table.keys:
            key = table.any_key()
            taken.add(key)
            table.take(key)
        self.assertEqual(taken, names)

    def test_clear(self) -> None:
        """What was in it is handed out to be freed in slices."""
        table = KeyTable()
        table.add(b"a", 1)
        old = table.clear()
        self.assertEqual((table.keys, table.items, table.take(b"a")), (0, 0, ()))
        self.assertEqual(sum(map(len, old)), 1)


class Registry(SynchronousTestCase):
    """A server with clients that are no connections."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.server = Server(load(None, []), self.clock)
        self.one, self.two = self.client(), self.client()

    def client(self) -> Client:
        """A client that speaks RESP3."""
        client = Client(self.server, Wire())  # type: ignore[arg-type]  # as much of a connection as is needed
        client.resp = 3
        self.server.clients[client.id] = client
        return client

    def say(self, client: Client, *lines: str) -> bytes:
        """Run a batch; returns the replies."""
        return run(client, [line.encode().split() for line in lines])

    def heard(self, client: Client) -> bytes:
        """The messages since the last call."""
        self.clock.advance(0)
        return client.connection.take()  # type: ignore[attr-defined, no-any-return]

    def test_nobody_observes(self) -> None:
        """Without tracking clients a change is told to nobody; the last one that goes takes the table along."""
        self.assertFalse(self.server.databases[0].observed)
        self.say(self.one, "CLIENT TRACKING ON", "GET k")
        self.assertTrue(self.server.databases[5].observed)
        self.say(self.two, "CLIENT TRACKING ON", "GET k")
        self.server.client_lost(self.one)
        self.assertEqual(self.server.tracking.table.items, 2)
        self.server.client_lost(self.two)
        self.assertEqual(self.server.tracking.table.items, 0)
        self.assertFalse(self.server.databases[0].observed)
        self.assertEqual(self.server.tracking.clients, {})

    def test_table_stays_after_off(self) -> None:
        """OFF leaves the reads where they are; the next change of the key removes them, and then nobody observes."""
        self.say(self.one, "CLIENT TRACKING ON", "GET k", "CLIENT TRACKING OFF")
        self.assertEqual(self.server.tracking.table.keys, 1)
        self.say(self.two, "SET k 1")
        self.assertEqual((self.server.tracking.table.keys, self.heard(self.one)), (0, b""))

    def test_prefixes_go_with_their_clients(self) -> None:
        """A prefix lives as long as a client wants it, and what changed before that is not told later."""
        self.say(self.one, "CLIENT TRACKING ON BCAST PREFIX a PREFIX b")
        self.say(self.two, "CLIENT TRACKING ON BCAST PREFIX a")
        self.say(self.two, "SET a1 1", "SET b1 1")
        self.say(self.one, "RESET")
        self.assertEqual(list(self.server.tracking.prefixes), [b"a"])
        self.assertEqual((self.heard(self.one), self.heard(self.two)), (b"", told(b"a1")))
        self.server.client_lost(self.two)
        self.assertEqual(self.server.tracking.prefixes, {})

    def test_large_broadcast(self) -> None:
        """Many keys of one turn come in one message, each once."""
        self.say(self.one, "CLIENT TRACKING ON BCAST")
        self.say(self.two, *[f"SET k{number % 1000:03} 1" for number in range(3000)])
        self.assertEqual(self.heard(self.one), told(*[b"k%03d" % number for number in range(1000)]))

    def test_own_and_others(self) -> None:
        """A client's own changes stand behind its replies, and nothing of them is left for the next command."""
        self.say(self.one, "CLIENT TRACKING ON", "GET k")
        self.say(self.two, "CLIENT TRACKING ON", "GET k")
        self.assertEqual(self.say(self.one, "SET k 1", "GET k"), b"+OK\r\n" + told(b"k") + b"$1\r\n1\r\n")
        self.assertEqual((self.heard(self.one), self.heard(self.two)), (b"", told(b"k")))
        self.assertIs(self.server.tracking.current, None)
        self.assertEqual(self.say(self.one, "CLIENT TRACKING OFF"), b"+OK\r\n")
        self.assertEqual(self.say(self.one, "SET k 2"), b"+OK\r\n")

    def test_evicted_in_noloop(self) -> None:
        """A key that only the limit drops is told with NOLOOP too: the client would keep it for ever."""
        self.server.settings.set_many([(b"tracking-table-max-keys", b"1")])
        self.say(self.one, "CLIENT TRACKING ON NOLOOP", "GET a")
        self.assertIn(self.say(self.one, "GET b"), [b"_\r\n" + told(b"a"), b"_\r\n" + told(b"b")])

    def test_expired_key(self) -> None:
        """A key that expires is told like one that is deleted."""
        self.say(self.one, "SET k 1 PX 1", "CLIENT TRACKING ON", "GET k")
        self.server.clock.now_ms += 60_000
        self.server.timekeeper.expire_found(self.server.databases[0], b"k")
        self.assertEqual(self.heard(self.one), told(b"k"))
