"""The replica's conversation with a master: transcripts, cuts, garbage, time, and a real master."""

import random
import socket
import time
from collections.abc import Callable

from twisted.trial.unittest import SynchronousTestCase

from replicad.replication.handshake import (
    Continue,
    Event,
    Failed,
    FullResync,
    LinkConfig,
    Log,
    Send,
    SnapshotBytes,
    SnapshotEnd,
    Stream,
    TransferStarted,
    encode,
)
from replicad.replication.link import (
    FAILED,
    HANDSHAKE,
    LOADING,
    MAX_LINE,
    PSYNC_REPLY,
    STREAMING,
    TRANSFER,
    TRANSITIONS,
    Link,
)
from tests.support.connection import Connection
from tests.support.servers import RealServer

ID = "a62dabc125d5bb4689877d0dcfafcdfd5ab1bcf4"
OLD = "c89e40afe130d8ab7a1e7fd409b27b863a6e74f6"
MARK = b"6541d6541db59f600c7f0c0e34ac0f7eb065dfe4"
RDB = b"REDIS0010" + bytes(range(256)) + MARK[:20] + b"\n$EOF:"
WRITES = (
    b"*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n*3\r\n$3\r\nSET\r\n$1\r\nb\r\n$1\r\n2\r\n"
    b"*2\r\n$6\r\nSELECT\r\n$1\r\n1\r\n*5\r\n$3\r\nSET\r\n$1\r\nc\r\n$1\r\n3\r\n$4\r\nPXAT\r\n$13\r\n1795177159274\r\n"
)
GROUP = encode(b"MULTI") + encode(b"INCR", b"n") + encode(b"INCR", b"n") + encode(b"EXEC")
TAIL = encode(b"REPLCONF", b"GETACK", b"*") + encode(b"ping")
STREAM = WRITES + GROUP + TAIL

CONFIG = LinkConfig(port=17012)


class Driver:
    """Feeds a link, does what its events say, and remembers what came of it."""

    def __init__(self, config: LinkConfig = CONFIG, continue_from: tuple[str, int] | None = None) -> None:
        self.states: list[str] = []
        self.link = Link(config, continue_from, trace=lambda old, new, why: self.states.append(new))
        self.sent: list[bytes] = []
        self.carried = 0
        self.logs: list[str] = []
        self.image = b""
        self.image_done = False
        self.raw = b""
        self.commands: list[list[bytes]] = []
        self.others: list[Event] = []
        self.failed: Failed | None = None
        self.replid, self.offset = continue_from if continue_from is not None else ("", -1)
        self.load_at_once = True
        self.act(self.link.connected())

    def act(self, events: list[Event]) -> None:
        """Carry out events."""
        for event in events:
            if isinstance(event, Send):
                self.sent.append(event.data)
            elif isinstance(event, Log):
                self.logs.append(event.text)
            elif isinstance(event, SnapshotBytes):
                self.image += event.data
            elif isinstance(event, Stream):
                for raw, commands in event.units:
                    self.raw += raw
                    self.offset += len(raw)
                    self.commands += commands
            elif isinstance(event, Failed):
                self.failed = event
            else:
                self.others.append(event)
                if isinstance(event, FullResync):
                    self.replid, self.offset = event.replid or "", event.offset
                elif isinstance(event, Continue):
                    self.replid = event.replid or self.replid
                elif isinstance(event, SnapshotEnd):
                    self.image_done = True
                    if self.load_at_once:
                        self.act(self.link.loaded())
        while self.link.pending_size and self.link.state == STREAMING:
            self.act(self.link.drain())

    def feed(self, data: bytes, size: int = 1 << 30) -> None:
        """Give the link the bytes in pieces of ``size``."""
        for begin in range(0, len(data), size):
            self.act(self.link.received(data[begin : begin + size]))


MARKED = b"+PONG\r\n+OK\r\n+OK\r\n\n\n+FULLRESYNC " + ID.encode() + b" 0\r\n\n$EOF:" + MARK + b"\r\n" + RDB + MARK
COUNTED = b"+PONG\r\n+OK\r\n+OK\r\n+FULLRESYNC %b 1000\r\n\n\n$%d\r\n" % (ID.encode(), len(RDB)) + RDB


class Transcripts(SynchronousTestCase):
    """Whole conversations, as they were seen on the wire."""

    def test_mark(self) -> None:
        for size in (1 << 30, 1, 2, 7, 39, 41):
            driver = Driver()
            driver.feed(MARKED + STREAM, size)
            self.assertIsNone(driver.failed)
            self.assertEqual(driver.states, [HANDSHAKE, PSYNC_REPLY, TRANSFER, LOADING, STREAMING])
            self.assertEqual(
                driver.others, [FullResync(ID, 0), TransferStarted(None), SnapshotEnd()], f"pieces of {size}"
            )
            self.assertEqual(driver.image, RDB)
            self.assertEqual((driver.raw, driver.offset), (STREAM, len(STREAM)))
            self.assertEqual(driver.link.offset, len(STREAM))
            self.assertEqual(driver.commands[3], [b"SET", b"c", b"3", b"PXAT", b"1795177159274"])
            self.assertEqual(
                driver.sent,
                [
                    b"*1\r\n$4\r\nPING\r\n",
                    b"*3\r\n$8\r\nREPLCONF\r\n$14\r\nlistening-port\r\n$5\r\n17012\r\n"
                    b"*5\r\n$8\r\nREPLCONF\r\n$4\r\ncapa\r\n$3\r\neof\r\n$4\r\ncapa\r\n$6\r\npsync2\r\n",
                    b"*3\r\n$5\r\nPSYNC\r\n$1\r\n?\r\n$2\r\n-1\r\n",
                ],
            )
            self.assertEqual(
                driver.logs,
                [
                    "Non blocking connect for SYNC fired the event.",
                    "Master replied to PING, replication can continue...",
                    "Partial resynchronization not possible (no cached master)",
                    f"Full resync from master: {ID}:0",
                    "MASTER <-> REPLICA sync: receiving streamed RDB from master with EOF to disk",
                ],
            )

    def test_length(self) -> None:
        for size in (1 << 30, 1, 3, 50):
            driver = Driver()
            driver.feed(COUNTED + STREAM, size)
            self.assertEqual(driver.others, [FullResync(ID, 1000), TransferStarted(len(RDB)), SnapshotEnd()])
            self.assertEqual((driver.image, driver.raw, driver.offset), (RDB, STREAM, 1000 + len(STREAM)))

    def test_password_address_and_request(self) -> None:
        config = LinkConfig(port=1, username=b"default", password=b"sekret", announce_ip=b"10.0.0.9", to_disk=False)
        driver = Driver(config, (OLD, 0))
        driver.feed(b"-NOAUTH Authentication required.\r\n")
        self.assertEqual(
            driver.sent[1:],
            [
                encode(b"AUTH", b"default", b"sekret")
                + encode(b"REPLCONF", b"listening-port", b"1")
                + encode(b"REPLCONF", b"ip-address", b"10.0.0.9")
                + encode(b"REPLCONF", b"capa", b"eof", b"capa", b"psync2")
            ],
        )
        driver.feed(b"+OK\r\n+OK\r\n-ERR unknown option\r\n+OK\r\n")
        self.assertEqual(driver.sent[2], encode(b"PSYNC", OLD.encode(), b"1"))
        self.assertIn("(Non critical) Master does not understand REPLCONF ip-address: -ERR unknown option", driver.logs)
        self.assertIn(f"Trying a partial resynchronization (request {OLD}:1).", driver.logs)
        driver.feed(b"+FULLRESYNC " + ID.encode() + b" 7\r\n$3\r\nabc")
        self.assertIn("MASTER <-> REPLICA sync: receiving 3 bytes from master to parser", driver.logs)

    def test_continue(self) -> None:
        driver = Driver(continue_from=(ID, 64))
        driver.feed(b"+PONG\r\n+OK\r\n+OK\r\n+CONTINUE\r\n" + STREAM, 5)
        self.assertEqual(driver.sent[2], encode(b"PSYNC", ID.encode(), b"65"))
        self.assertEqual(driver.others, [Continue(None)])
        self.assertEqual((driver.raw, driver.offset, driver.replid), (STREAM, 64 + len(STREAM), ID))
        self.assertEqual(
            driver.logs[-2:],
            [
                "Successful partial resynchronization with master.",
                "MASTER <-> REPLICA sync: Master accepted a Partial Resynchronization.",
            ],
        )
        self.assertEqual(driver.link.ack(114), [Send(b"*3\r\n$8\r\nREPLCONF\r\n$3\r\nACK\r\n$3\r\n114\r\n")])
        stored = driver.link.ack(114, 99)[0]
        self.assertEqual(stored, Send(b"*5\r\n$8\r\nREPLCONF\r\n$3\r\nACK\r\n$3\r\n114\r\n$4\r\nFACK\r\n$2\r\n99\r\n"))

    def test_continue_under_a_new_id(self) -> None:
        driver = Driver(continue_from=(OLD, 64))
        driver.feed(b"+PONG\r\n+OK\r\n+OK\r\n+CONTINUE " + ID.encode() + b"\r\n")
        self.assertEqual(driver.others, [Continue(ID)])
        self.assertIn(f"Master replication ID changed to {ID}", driver.logs)

    def test_continue_under_the_same_id(self) -> None:
        driver = Driver(continue_from=(ID, 64))
        driver.feed(b"+PONG\r\n+OK\r\n+OK\r\n+CONTINUE " + ID.encode() + b"\r\n")
        self.assertEqual(driver.others, [Continue(None)])

    def test_sync(self) -> None:
        for size in (1 << 30, 1):
            driver = Driver()
            driver.feed(b"+PONG\r\n+OK\r\n-ERR no\r\n-ERR unknown command 'PSYNC'\r\n\n$4\r\nRDB!" + WRITES, size)
            self.assertEqual(driver.sent[-1], b"SYNC\r\n")
            self.assertEqual(driver.others, [FullResync(None, -1), TransferStarted(4), SnapshotEnd()])
            self.assertEqual((driver.image, driver.raw), (b"RDB!", WRITES))
            self.assertEqual(driver.link.ack(5), [])
            self.assertIn(
                "Master does not support PSYNC or is in error state (reply: -ERR unknown command 'PSYNC')", driver.logs
            )
            self.assertIn("Retrying with SYNC...", driver.logs)

    def test_stream_waits_while_loading(self) -> None:
        driver = Driver()
        driver.load_at_once = False
        driver.feed(MARKED + STREAM[:100])
        driver.feed(STREAM[100:], 11)
        self.assertEqual((driver.raw, driver.link.state), (b"", LOADING))
        self.assertEqual(driver.link.pending_size, len(STREAM))
        self.assertEqual((driver.link.read_offset, driver.link.offset), (len(STREAM), 0))
        events = driver.link.loaded()
        self.assertEqual(len(events), 1)
        # More may come before the driver has taken all that waits; the order stays.
        events += driver.link.received(WRITES)
        driver.act(events)
        self.assertEqual(driver.raw, STREAM + WRITES)
        self.assertEqual(driver.link.offset, driver.offset)

    def test_transactions_hold_the_offset(self) -> None:
        driver = Driver(continue_from=(ID, 0))
        driver.feed(b"+PONG\r\n+OK\r\n+OK\r\n+CONTINUE\r\n")
        driver.feed(WRITES + GROUP[:-1])
        self.assertEqual((driver.offset, driver.link.offset), (len(WRITES), len(WRITES)))
        self.assertEqual(driver.link.read_offset, len(WRITES + GROUP) - 1)
        driver.feed(GROUP[-1:])
        self.assertEqual(driver.offset, len(WRITES + GROUP))


class Cut(SynchronousTestCase):
    """The connection breaks after every single byte; the next one continues."""

    def resumed(self, driver: Driver) -> None:
        """Continue where the first connection stopped, and see that nothing is lost and nothing is doubled."""
        again = Driver(continue_from=(ID, driver.offset))
        again.feed(b"+PONG\r\n+OK\r\n+OK\r\n+CONTINUE " + ID.encode() + b"\r\n")
        base = driver.offset - len(driver.raw)
        again.feed(STREAM[driver.offset - base :])
        self.assertEqual(driver.raw + again.raw, STREAM)
        whole = Driver(continue_from=(ID, 0))
        whole.feed(b"+PONG\r\n+OK\r\n+OK\r\n+CONTINUE\r\n" + STREAM)
        self.assertEqual(driver.commands + again.commands, whole.commands)

    def test_everywhere(self) -> None:
        for script in (MARKED, COUNTED):
            whole = script + STREAM
            for cut in range(len(whole)):
                driver = Driver()
                driver.feed(whole[:cut])
                state = driver.link.state
                driver.act(driver.link.connection_lost("Connection reset by peer"))
                self.assertIsNotNone(driver.failed)
                self.assertEqual(driver.link.state, FAILED)
                self.assertEqual(driver.image_done, cut >= len(script))
                self.assertEqual(state == STREAMING, cut >= len(script))
                if driver.image_done:
                    self.assertEqual(driver.image, RDB)
                    self.resumed(driver)

    def test_words(self) -> None:
        for data, text in (
            (b"", "Master did not respond to command during SYNC handshake"),
            (b"+PONG\r\n+OK\r\n+OK\r\n", "Master did not reply to PSYNC, will try later"),
            (MARKED[:-1], "I/O error trying to sync with MASTER: gone"),
            (MARKED, "Connection with master lost."),
        ):
            driver = Driver()
            driver.feed(data)
            driver.act(driver.link.connection_lost("gone"))
            self.assertEqual(driver.failed, Failed(text))
            self.assertEqual(driver.logs[-1], text)


class Refusals(SynchronousTestCase):
    """Masters that do not want, cannot, or talk nonsense."""

    def expect(self, data: bytes, text: str, **more: object) -> Driver:
        """Feed ``data``, expect a failure with ``text`` in the log."""
        driver = Driver(continue_from=(ID, 10))
        driver.feed(data)
        self.assertIsNotNone(driver.failed, data)
        assert driver.failed is not None
        self.assertIn(text, driver.logs)
        self.assertEqual(driver.link.received(b"+PONG\r\n"), [])
        self.assertEqual(driver.link.tick(1e9), [])
        return driver

    def test_ping(self) -> None:
        self.expect(
            b"-LOADING Redis is loading the dataset in memory\r\n",
            "Error reply to PING from master: '-LOADING Redis is loading the dataset in memory'",
        )
        self.expect(b"HTTP/1.1 400 Bad\x1b[31m\r\n", "Error reply to PING from master: 'HTTP/1.1 400 Bad\\x1b[31m'")
        for reply in (b"-NOPERM x", b"-ERR operation not permitted", b"+whatever"):
            driver = Driver()
            driver.feed(reply + b"\r\n")
            self.assertIsNone(driver.failed)

    def test_auth(self) -> None:
        driver = Driver(LinkConfig(port=1, password=b"x"))
        self.assertEqual(driver.sent, [encode(b"PING")])
        driver.feed(b"-NOAUTH Authentication required.\r\n-WRONGPASS invalid\r\n")
        self.assertTrue(driver.sent[1].startswith(encode(b"AUTH", b"x")))
        self.assertIn("Unable to AUTH to MASTER: -WRONGPASS invalid", driver.logs)
        self.assertIsNotNone(driver.failed)

    def test_not_now(self) -> None:
        for reply in ("-NOMASTERLINK Can't SYNC while not connected with my master", "-LOADING x"):
            driver = self.expect(
                b"+PONG\r\n+OK\r\n+OK\r\n\n" + reply.encode() + b"\r\n",
                f"Master is currently unable to PSYNC but should be in the future: {reply}",
            )
            assert driver.failed is not None
            self.assertTrue(driver.failed.rejected)
            self.assertFalse(driver.failed.discard_cached_master)

    def test_continue_of_nothing(self) -> None:
        driver = Driver()
        driver.feed(b"+PONG\r\n+OK\r\n+OK\r\n+CONTINUE\r\n")
        self.assertIsNotNone(driver.failed)

    def test_continue_under_no_id(self) -> None:
        """What is no id is not adopted; the history goes on under its own."""
        for word in (b"Z" * 40, b"c" * 39, b"c" * 41):
            driver = Driver(continue_from=(ID, 5))
            driver.feed(b"+PONG\r\n+OK\r\n+OK\r\n+CONTINUE " + word + b"\r\n")
            self.assertEqual(driver.others, [Continue(None)])

    def test_distrust(self) -> None:
        driver = Driver(continue_from=(ID, 5))
        driver.feed(b"+PONG\r\n+OK\r\n+OK\r\n+CONTINUE\r\n" + WRITES)
        driver.act(driver.link.distrust("a script ran for too long"))
        self.assertEqual(driver.failed, Failed("a script ran for too long", True, False))
        self.assertEqual(driver.link.distrust("again"), [])

    def test_odd_full_resync(self) -> None:
        known = b"+FULLRESYNC " + ID.encode()
        not_hex = b"+FULLRESYNC " + b"Z" * 40 + b" 1"
        for line in (b"+FULLRESYNC", b"+FULLRESYNC abc 1", known + b" x", known + b" -1", known + b" " + b"9" * 19, not_hex):
            driver = Driver()
            driver.feed(b"+PONG\r\n+OK\r\n+OK\r\n" + line + b"\r\n$1\r\nx")
            self.assertIn("Master replied with wrong +FULLRESYNC syntax.", driver.logs)
            self.assertEqual(driver.others[0], FullResync(None, 0))
            self.assertTrue(driver.image_done)

    def test_unexpected_reply(self) -> None:
        driver = Driver()
        driver.feed(b"+PONG\r\n+OK\r\n+OK\r\n+DUALCHANNELSYNC\r\n")
        self.assertIn("Unexpected reply to PSYNC from master: +DUALCHANNELSYNC", driver.logs)
        self.assertEqual(driver.sent[-1], b"SYNC\r\n")

    def test_failover(self) -> None:
        driver = Driver(LinkConfig(port=1, failover=True), (ID, 5))
        driver.feed(b"+PONG\r\n+OK\r\n+OK\r\n")
        self.assertEqual(driver.sent[-1], encode(b"PSYNC", ID.encode(), b"6", b"FAILOVER"))
        driver.feed(b"-ERR PSYNC FAILOVER can't be sent to a master.\r\n")
        assert driver.failed is not None
        self.assertTrue(driver.failed.rejected)

    def test_snapshot_header(self) -> None:
        begin = b"+PONG\r\n+OK\r\n+OK\r\n+FULLRESYNC " + ID.encode() + b" 0\r\n\n"
        self.expect(
            begin + b"-ERR BGSAVE failed, replication can't continue\r\n",
            "MASTER aborted replication with an error: ERR BGSAVE failed, replication can't continue",
        )
        for line in (b"REDIS0010", b"$abc", b"$", b"$-1", b"$EOF:short", b"$99999999999999999999999"):
            self.expect(
                begin + line + b"\r\n",
                f"Bad protocol from MASTER, the first byte is not '$' (we received '{line.decode()}'), "
                "are you sure the host and port are right?",
            )

    def test_endless_line(self) -> None:
        hello = b"+PONG\r\n+OK\r\n+OK\r\n"
        for begin in (b"", hello, hello + b"+FULLRESYNC " + ID.encode() + b" 0\r\n"):
            driver = Driver()
            driver.feed(begin)
            driver.feed(b"x" * (MAX_LINE + 10), 1000)
            self.assertIsNotNone(driver.failed)
            for end in (b"", b"\n"):  # all of it in one read
                driver = Driver()
                driver.feed(begin)
                driver.feed(b"x" * 100_000 + end)
                self.assertIsNotNone(driver.failed)

    def test_broken_stream(self) -> None:
        driver = Driver(continue_from=(ID, 0))
        driver.feed(b"+PONG\r\n+OK\r\n+OK\r\n+CONTINUE\r\n" + WRITES)
        driver.feed(b"SET a b\r\n")
        assert driver.failed is not None
        self.assertTrue(driver.failed.discard_cached_master)
        self.assertEqual(driver.raw, WRITES)

    def test_too_much_while_loading(self) -> None:
        driver = Driver(LinkConfig(port=1, pending_limit=1000))
        driver.load_at_once = False
        driver.feed(COUNTED + b"x" * 1000)
        self.assertIsNone(driver.failed)
        driver.feed(b"x")
        self.assertIsNotNone(driver.failed)

    def test_garbage(self) -> None:
        """Whatever a master says, the worst is a Failed."""
        words = [
            b"+PONG\r\n",
            b"+OK\r\n",
            b"\n",
            b"\r\n",
            b"-ERR x\r\n",
            b"+FULLRESYNC " + ID.encode() + b" 5\r\n",
            b"+CONTINUE\r\n",
            b"$5\r\n",
            b"$EOF:" + MARK + b"\r\n",
            MARK,
            MARK[:17],
            WRITES,
            GROUP[:30],
            b"\x00\xff",
            b"*",
            b"$",
        ]
        ends = set()
        for seed in range(3000):
            rng = random.Random(seed)
            driver = Driver(continue_from=(ID, 0) if rng.random() < 0.5 else None)
            if rng.random() < 0.7:
                driver.feed(b"+PONG\r\n+OK\r\n+OK\r\n")
            for _ in range(10):
                data = rng.choice(words) if rng.random() < 0.9 else rng.randbytes(20)
                driver.feed(data, rng.choice([1, 3, 1000]))
                driver.act(driver.link.tick(rng.random() * 100))
            ends.add(driver.link.state)
        self.assertEqual(ends, {HANDSHAKE, PSYNC_REPLY, TRANSFER, STREAMING, FAILED})


class Time(SynchronousTestCase):
    """Silence, and signs of life."""

    def quiet_after(self, data: bytes, load: bool = True) -> tuple[float, str]:
        """Feed ``data``, then let the time go by; return when and why the link gave up."""
        driver = Driver(LinkConfig(port=1, timeout=60))
        driver.load_at_once = load
        driver.feed(data)
        for second in range(100):
            driver.act(driver.link.tick(1000.0 + second))
            if driver.failed is not None:
                return second, driver.failed.reason
        return -1, ""

    def test_silence(self) -> None:
        self.assertEqual(self.quiet_after(b""), (61, "Timeout connecting to the MASTER..."))
        self.assertEqual(self.quiet_after(b"+PON"), (6, "Master did not respond to command during SYNC handshake"))
        self.assertEqual(self.quiet_after(b"+PONG\r\n+OK\r\n+OK\r\n"), (61, "Timeout connecting to the MASTER..."))
        self.assertEqual(self.quiet_after(MARKED[:-5])[0], 61)
        self.assertTrue(self.quiet_after(MARKED[:-5])[1].startswith("Timeout receiving bulk data from MASTER..."))
        self.assertEqual(self.quiet_after(MARKED), (61, "MASTER timeout: no data nor PING received..."))
        self.assertEqual(self.quiet_after(MARKED, load=False), (-1, ""))

    def test_newlines_are_signs_of_life(self) -> None:
        driver = Driver()
        driver.feed(b"+PONG\r\n+OK\r\n+OK\r\n")
        for second in range(200):
            driver.act(driver.link.tick(float(second)))
            if second % 30 == 0:
                driver.feed(b"\n")
        self.assertIsNone(driver.failed)

    def test_loading_sends_newlines(self) -> None:
        driver = Driver()
        driver.load_at_once = False
        self.assertEqual(driver.link.keepalive(5.0), [])
        driver.feed(MARKED)
        sent = [len(driver.link.keepalive(100 + tenth / 10)) for tenth in range(25)]
        self.assertEqual(sum(sent), 3)
        self.assertEqual(driver.link.keepalive(200.0), [Send(b"\n")])
        driver.link.loaded()
        self.assertEqual(driver.link.keepalive(300.0), [])


class Table(SynchronousTestCase):
    """The table of states."""

    def test_every_state_can_fail_and_failed_is_the_end(self) -> None:
        for state, following in TRANSITIONS.items():
            self.assertEqual(FAILED in following, state != FAILED)
            self.assertTrue(following <= set(TRANSITIONS))

    def test_no_other_way(self) -> None:
        driver = Driver()
        self.assertRaises(AssertionError, driver.link.loaded)


class RealMaster(SynchronousTestCase):
    """The link against a real redis-server, on a blocking socket."""

    def converse(self, driver: Driver, sock: socket.socket, until: Callable[[], bool]) -> None:
        """Carry bytes both ways until ``until`` says so."""
        deadline = time.monotonic() + 10
        sock.settimeout(0.05)
        while not until():
            self.assertTrue(time.monotonic() < deadline, f"too late: {driver.states} {driver.logs}")
            for data in driver.sent[driver.carried :]:
                sock.sendall(data)
            driver.carried = len(driver.sent)
            try:
                data = sock.recv(65536)
            except TimeoutError:
                driver.act(driver.link.ack(driver.offset))
                continue
            self.assertTrue(data, driver.logs)
            driver.feed(data)
            self.assertIsNone(driver.failed, driver.logs)

    def test_diskless(self) -> None:
        self.full_then_partial("yes")

    def test_disk_based(self) -> None:
        self.full_then_partial("no")

    def full_then_partial(self, diskless: str) -> None:
        """A full synchronisation, some stream, a new connection that continues."""
        master = RealServer(
            self,
            {"repl-diskless-sync": diskless, "repl-diskless-sync-delay": "0", "requirepass": "sekret"},
        ).start()
        client = master.client()
        client.must("AUTH", "sekret")
        client.must("MSET", "a", "1", "b", "x" * 300_000)
        config = LinkConfig(port=7000, password=b"sekret")
        driver = Driver(config)
        with socket.create_connection(("127.0.0.1", master.port)) as sock:
            self.converse(driver, sock, lambda: driver.link.state == STREAMING)
            self.assertTrue(driver.image.startswith((b"REDIS0009", b"REDIS0010")))
            client.must("SET", "k", "v" * 100_000)
            client.must("EVAL", "redis.call('incr', 'n'); redis.call('incr', 'n')", "0")
            self.converse(driver, sock, lambda: driver.offset == self.master_offset(client) > 100_000)
            self.assertEqual(driver.commands[-1], [b"EXEC"])
        client.must("SET", "k", "w")
        again = Driver(config, (driver.replid, driver.offset))
        with socket.create_connection(("127.0.0.1", master.port)) as sock:
            self.converse(again, sock, lambda: [b"SET", b"k", b"w"] in again.commands)
            self.assertEqual(again.others, [Continue(None)])
            client.must("SET", "k", "x")
            self.converse(again, sock, lambda: [b"SET", b"k", b"x"] in again.commands)
            acknowledged = b"state=online,offset=%d," % again.offset
            self.converse(again, sock, lambda: acknowledged in client.must("INFO", "replication"))

    def master_offset(self, client: Connection) -> int:
        """Return the offset that the master reports."""
        text: bytes = client.must("INFO", "replication")
        return int(text.split(b"master_repl_offset:")[1].split(b"\r")[0])
