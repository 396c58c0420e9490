"""A master with replicas that a script plays: what it sends them, byte for byte, and when it lets them go.

Most scenarios wait for something that happens once a second, so those of a kind run at the same time.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import time

from twisted.trial.unittest import SynchronousTestCase

from tests.support.scripted import ScriptedReplica, command, keys
from tests.support.servers import Replicad, digest, wait_in_sync, wait_until
from tests.support.together import together

CAPA = b"REPLCONF listening-port 7777 capa eof capa psync2\r\n"
PSYNC = b"PSYNC ? -1\r\n"


class Images(SynchronousTestCase):
    """Full synchronisations."""

    def start(self, **directives: object) -> Replicad:
        """Start a master with one key."""
        master = Replicad(self, {"repl-ping-replica-period": 3600, **directives}).start()
        master.call("SET", "a", "1")
        return master

    def test_forms_and_waits(self) -> None:
        together(
            self.mark, self.length, self.sync, self.newlines_while_it_waits, self.snapshot_only, self.one_image_for_two
        )

    def test_transfers(self) -> None:
        together(
            self.replica_leaves_during_the_transfer,
            self.slow_reader_does_not_grow_the_master,
            self.replies_are_sent_before_the_image,
        )

    def mark(self) -> None:
        master = self.start(**{"repl-diskless-sync": "yes"})
        replica = ScriptedReplica(self, master)
        replica.say(CAPA)
        self.assertEqual(replica.until(b"\r\n"), b"+OK\r\n")
        replica.say(PSYNC)
        replid, offset = replica.header()
        self.assertEqual((replid, offset), (master.info("replication")["master_replid"], 0))
        self.assertEqual(keys(replica.marked_image()), {b"a": b"1"})
        master.call("SET", "b", "2")
        # Not a byte behind the mark before the first acknowledgement.
        self.assertTrue(replica.silent(0.5))
        slave = master.info("replication")["slave0"]
        self.assertTrue(slave.startswith("ip=127.0.0.1,port=7777,state=online,offset=0,"), slave)
        replica.ack(0)
        self.assertEqual(replica.read(50), command("SELECT", "0") + command("SET", "b", "2"))
        replica.ack(50)
        self.assertEqual(master.call("WAIT", 1, 1000), 1)
        master.wait_log("Synchronization with replica 127.0.0.1:7777 succeeded")

    def length(self) -> None:
        master = self.start()
        for diskless in ("no", "yes"):
            master.call("CONFIG", "SET", "repl-diskless-sync", diskless)
            replica = ScriptedReplica(self, master)
            # Without "capa eof" there is no mark, diskless or not; and +OK comes before what answers PSYNC.
            replica.say(b"REPLCONF capa psync2\r\n", PSYNC)
            self.assertEqual(replica.until(b"\r\n"), b"+OK\r\n")
            replica.header()
            self.assertEqual(keys(replica.counted_image())[b"a"], b"1")
            master.call("SET", "b", "2")
            self.assertEqual(replica.read(50), command("SELECT", "0") + command("SET", "b", "2"))

    def sync(self) -> None:
        master = self.start(**{"repl-timeout": 1})
        replica = ScriptedReplica(self, master)
        replica.say(b"SYNC\r\n")
        self.assertEqual(keys(replica.counted_image()), {b"a": b"1"})
        time.sleep(2.5)  # it never acknowledges, and is not cut for that
        master.call("SET", "b", "2")
        self.assertEqual(replica.read(50), command("SELECT", "0") + command("SET", "b", "2"))

    def newlines_while_it_waits(self) -> None:
        master = self.start(**{"repl-diskless-sync": "yes", "repl-diskless-sync-delay": 3})
        replica = ScriptedReplica(self, master)
        replica.say(CAPA, PSYNC)
        head = replica.until(b"+FULLRESYNC")
        self.assertEqual(head.replace(b"\n", b""), b"+OK\r+FULLRESYNC")
        self.assertTrue(3 <= head.count(b"\n") <= 5, head)

    def snapshot_only(self) -> None:
        master = self.start()
        for count, diskless in enumerate(("yes", "no"), 1):
            master.call("CONFIG", "SET", "repl-diskless-sync", diskless)
            replica = ScriptedReplica(self, master)
            replica.say(b"REPLCONF rdb-only 1 capa eof\r\n", PSYNC)
            replica.until(b"+OK\r\n")
            replica.header()
            image = replica.marked_image() if diskless == "yes" else replica.counted_image()
            self.assertEqual(keys(image), {b"a": b"1"})
            self.assertTrue(replica.closed())
            master.wait_log("RDB transfer completed, rdb only replica", count=count)

    def one_image_for_two(self) -> None:
        master = self.start(**{"repl-diskless-sync": "yes", "repl-diskless-sync-delay": 2})
        replicas = [ScriptedReplica(self, master) for _ in range(2)]
        for replica in replicas:
            replica.say(CAPA, PSYNC)
            replica.until(b"+OK\r\n")
        for replica in replicas:
            replica.header()
            self.assertEqual(keys(replica.marked_image()), {b"a": b"1"})
        self.assertEqual(master.log().count("Starting BGSAVE for SYNC"), 1)
        self.assertEqual(master.info("stats")["sync_full"], "2")

    def replica_leaves_during_the_transfer(self) -> None:
        master = self.start(**{"repl-diskless-sync": "yes", "rdbcompression": "no"})
        for number in range(20):
            master.call("SET", f"k{number}", "x" * 1_000_000)
        replica = ScriptedReplica(self, master)
        replica.say(CAPA, PSYNC)
        replica.until(b"$EOF")
        replica.sock.close()
        master.wait_log("Connection with replica 127.0.0.1:7777 lost.")
        again = ScriptedReplica(self, master)
        again.say(CAPA, PSYNC)
        again.until(b"+OK\r\n")
        again.header()
        self.assertEqual(len(keys(again.marked_image())), 21)

    def replies_are_sent_before_the_image(self) -> None:
        """Also replies that the socket did not take at once, and nothing else comes once it is a replica."""
        master = self.start(**{"repl-diskless-sync": "yes"})
        big = "x" * 4_000_000
        master.call("SET", "big", big)
        replica = ScriptedReplica(self, master)
        replica.say(b"HELLO 3\r\nREPLCONF capa eof\r\nSUBSCRIBE channel\r\nGET big\r\n", PSYNC)
        time.sleep(0.3)  # the socket is full by now
        self.assertIn(b"subscribe", replica.until(b"$%d\r\n" % len(big)))
        self.assertEqual(replica.read(len(big) + 2), big.encode() + b"\r\n")
        replica.header()
        master.call("PUBLISH", "channel", "message")
        self.assertEqual(keys(replica.marked_image()), {b"a": b"1", b"big": big.encode()})
        replica.ack(0)
        expected = command("SELECT", "0") + command("PUBLISH", "channel", "message")
        self.assertEqual(replica.read(len(expected)), expected)

    def slow_reader_does_not_grow_the_master(self) -> None:
        master = self.start(**{"repl-diskless-sync": "yes", "rdbcompression": "no", "repl-timeout": 2})
        for number in range(60):
            master.call("SET", f"k{number}", "x" * 1_000_000)
        before = int(master.info("memory")["used_memory_rss"])
        replica = ScriptedReplica(self, master)
        replica.say(CAPA, PSYNC)
        replica.until(b"$EOF")
        time.sleep(1.0)
        grown = int(master.info("memory")["used_memory_rss"]) - before
        self.assertTrue(grown < 30_000_000, grown)
        self.assertEqual(master.call("GET", "a"), b"1")
        # It holds up the transfer for the others too long.
        master.wait_log("Disconnecting timedout replica (full sync): 127.0.0.1:7777")
        master.wait_log("Diskless rdb transfer, last replica dropped, killing fork child.")
        self.assertTrue(replica.closed())
        self.assertEqual(master.info("persistence")["rdb_bgsave_in_progress"], "0")


class Streams(SynchronousTestCase):
    """Online replicas."""

    def attached(self, **directives: object) -> tuple[Replicad, ScriptedReplica, str]:
        """Start a master and attach a replica; returns also the replication id."""
        master = Replicad(self, {"repl-ping-replica-period": 3600, "repl-diskless-sync": "no", **directives}).start()
        replica = ScriptedReplica(self, master)
        replica.say(CAPA, PSYNC)
        replica.until(b"+OK\r\n")
        replid, _ = replica.header()
        replica.counted_image()
        return master, replica, replid

    def test_sessions(self) -> None:
        together(
            self.continues, self.slow_reader_gets_everything, self.acknowledgements, self.shutdown_sends_the_rest, self.wait
        )

    def test_reasons_to_cut(self) -> None:
        together(self.what_a_replica_may_not_say, self.garbage, self.silence, self.output_limit)

    def wait(self) -> None:
        """Two WAITs in one pipeline behind a write: one GETACK, and INFO in between does not hide the write."""
        master, replica, _ = self.attached()
        client = master.client()
        pipeline = [command("SET", "a", "1"), command("INFO", "replication"), *2 * [command("WAIT", "1", "5000")]]
        client.send_raw(b"".join(pipeline))
        expected = command("SELECT", "0") + command("SET", "a", "1")
        self.assertEqual(replica.read(87), expected + command("REPLCONF", "GETACK", "*"))
        self.assertEqual(client.read_reply(), b"OK")
        self.assertIn(b"master_repl_offset:50\r\n", client.read_reply())
        replica.ack(50)  # does not count the question
        self.assertEqual((client.read_reply(), client.read_reply()), (1, 1))
        self.assertTrue(replica.silent(0.2))

    def continues(self) -> None:
        master, replica, replid = self.attached()
        master.call("SET", "a", "1")
        written = replica.read(50)
        replica.sock.close()
        for capa, line in ((CAPA, b"+CONTINUE %b\r\n" % replid.encode()), (b"REPLCONF capa eof\r\n", b"+CONTINUE\r\n")):
            again = ScriptedReplica(self, master)
            again.say(capa, b"PSYNC %b 24\r\n" % replid.encode())
            self.assertEqual(again.until(b"\r\n"), b"+OK\r\n")
            self.assertEqual(again.until(b"\r\n"), line)
            self.assertEqual(again.read(27), written[23:])
        self.assertEqual(master.info("stats")["sync_partial_ok"], "2")

    def what_a_replica_may_not_say(self) -> None:
        master, _, replid = self.attached()
        for words in (["PING"], ["GET", "a"], ["NONSENSE"], ["REPLCONF", "listening-port", "1"], ["INFO"]):
            replica = ScriptedReplica(self, master)
            replica.say(CAPA, b"PSYNC %b 1\r\n" % replid.encode())
            replica.until(b"+CONTINUE %b\r\n" % replid.encode())
            replica.say(command("PSYNC", "?", "-1"), command("SYNC"), b"\n", command("REPLCONF", "GETACK", "*"))
            self.assertTrue(replica.silent(0.1))
            replica.say(command(*words))
            self.assertTrue(replica.closed(), words)
            master.wait_log(f"Replica generated a reply to command '{words[0].lower()}', disconnecting it: id=")
        self.assertIn("'Replica can't interact with the keyspace' after processing the command 'get'", master.log())

    def garbage(self) -> None:
        master, replica, _ = self.attached()
        replica.say(b"*1\r\n$-5\r\n")
        self.assertTrue(replica.closed())
        self.assertEqual(master.call("PING"), b"PONG")

    def silence(self) -> None:
        master, replica, _ = self.attached(**{"repl-timeout": 1})
        for _ in range(4):
            time.sleep(0.6)
            replica.say(b"\n")  # a sign of life, like an acknowledgement
        self.assertEqual(master.info("replication")["connected_slaves"], "1")
        self.assertTrue(replica.closed())
        master.wait_log("Disconnecting timedout replica (streaming sync): 127.0.0.1:7777")

    def output_limit(self) -> None:
        master, replica, _ = self.attached(**{"client-output-buffer-limit": "replica 1mb 0 0", "repl-backlog-size": "100kb"})
        # The kernel takes some megabytes before the master can notice anything.
        client = master.client()
        for number in range(40):
            client.must("SET", f"k{number}", "x" * 500_000)
        master.wait_log("scheduled to be closed ASAP for overcoming of output buffer limits.")
        self.assertTrue(replica.closed())
        self.assertEqual(master.info("replication")["connected_slaves"], "0")
        self.assertTrue(int(master.info("replication")["repl_backlog_histlen"]) < 600_000)

    def slow_reader_gets_everything(self) -> None:
        master, replica, _ = self.attached()
        client = master.client()
        expected = command("SELECT", "0")
        for number in range(40):
            client.must("SET", f"k{number}", "x" * 500_000)
            expected += command("SET", f"k{number}", "x" * 500_000)
        self.assertEqual(replica.read(len(expected)), expected)
        client.must("SET", "a", "1")
        self.assertEqual(replica.read(27), command("SET", "a", "1"))

    def acknowledgements(self) -> None:
        master, replica, _ = self.attached()
        master.call("SET", "a", "1")
        replica.read(50)
        client = master.client()
        client.must("SET", "a", "2")
        replica.read(27)
        replica.ack(77)
        wait_until(lambda: "offset=77,lag=0" in master.info("replication")["slave0"], 5, "the acknowledgement")
        replica.say(b"*3\r\n$8\r\nREPLCONF\r\n$3\r\nACK\r\n$3\r\nabc\r\n")
        replica.ack(50)  # the highest counts
        self.assertIn("offset=77", master.info("replication")["slave0"])
        self.assertEqual(client.must("WAIT", 1, 100), 1)
        # For more than is acknowledged the master asks, and then counts.
        client.must("SET", "a", "3")
        client.send("WAIT", "1", "5000")
        self.assertEqual(replica.read(27 + 37), command("SET", "a", "3") + command("REPLCONF", "GETACK", "*"))
        replica.ack(104)
        self.assertEqual(client.read_reply(), 1)

    def shutdown_sends_the_rest(self) -> None:
        master, replica, _ = self.attached(**{"shutdown-timeout": 1})
        master.call("SET", "a", "1")
        master.stop()
        self.assertEqual(replica.read(50), command("SELECT", "0") + command("SET", "a", "1"))
        self.assertTrue(replica.closed())


class Replconf(SynchronousTestCase):
    """The replies of REPLCONF, the refusals of PSYNC."""

    def test_replconf_and_refusals(self) -> None:
        together(self.replies, self.refusals)

    def replies(self) -> None:
        master = Replicad(self).start()
        long = "x" * 256
        for words, reply in (
            ([], b"+OK"),
            (["listening-port"], b"-ERR syntax error"),
            (["listening-port", "abc"], b"-ERR value is not an integer or out of range"),
            (
                ["ip-address", long],
                b"-ERR REPLCONF ip-address provided by replica instance is too long: 256 bytes",
            ),
            (["capa", "anything", "capa", "eof"], b"+OK"),
            (["rdb-only", "2"], b"-ERR value is out of range, value must between 0 and 1"),
            (["rdb-only", "0"], b"+OK"),
            (["rdb-filter-only", "functions"], b"+OK"),
            (["rdb-filter-only", "a b"], b"-ERR Unsupported rdb-filter-only option: a"),
            (["version", "7.2.0"], b"-ERR Unrecognized REPLCONF option: version"),
        ):
            connection = ScriptedReplica(self, master)
            connection.say(command("REPLCONF", *words))
            self.assertEqual(connection.until(b"\r\n"), reply + b"\r\n", words)
        connection = ScriptedReplica(self, master)
        connection.say(command("REPLCONF", "ACK", "5"), command("REPLCONF", "GETACK", "*"), command("PING"))
        self.assertEqual(connection.until(b"\r\n"), b"+PONG\r\n")

    def refusals(self) -> None:
        master = Replicad(self).start()
        for lines, reply in (
            ([command("PSYNC", "?", "x")], b"-ERR value is not an integer or out of range"),
            ([command("PSYNC", "?")], b"-ERR wrong number of arguments for 'psync' command"),
            (
                [b"REPLCONF rdb-filter-only functions\r\n", command("PSYNC", "?", "-1")],
                b"+OK\r\n-ERR Filtered replica requires EOF capability",
            ),
            ([command("PSYNC", "?", "-1", "FAILOVER")], b"-ERR PSYNC FAILOVER can't be sent to a master."),
        ):
            connection = ScriptedReplica(self, master)
            connection.say(*lines)
            self.assertEqual(connection.until(reply + b"\r\n"), reply + b"\r\n", lines)
        with socket.create_server(("127.0.0.1", 0)) as silent:
            orphan = Replicad(self, {"replicaof": f"127.0.0.1 {silent.getsockname()[1]}"}).start()
            connection = ScriptedReplica(self, orphan)
            connection.say(PSYNC)
            self.assertEqual(connection.until(b"\r\n"), b"-NOMASTERLINK Can't SYNC while not connected with my master\r\n")


class Rogues(SynchronousTestCase):
    """Replicas that lie, flood, or say what no replica says: each is cut with a reason, and nothing of it stays."""

    def setUp(self) -> None:
        """Start a master with some data and an honest replica."""
        directives = {"repl-ping-replica-period": 3600, "repl-diskless-sync": "yes", "save": ""}
        self.master = Replicad(self, directives, name="master").start(wait=False)
        self.honest = Replicad(self, name="honest").start()
        self.master.wait_ready()
        self.master.call("DEBUG", "POPULATE", 1000, "k", 1000)  # which no replica is told
        self.honest.call("REPLICAOF", "127.0.0.1", self.master.port)
        wait_in_sync(self.master, self.honest)
        # Each attempt sees the master as the first one did.
        self.before = (digest(self.master), self.resources())
        self.addCleanup(self.unharmed)

    def resources(self) -> tuple[int, str, str]:
        """Open descriptors, clients, and replicas of the master."""
        pid = self.master.pid
        fields = self.master.info("clients", "replication")
        return len(os.listdir(f"/proc/{pid}/fd")), fields["connected_clients"], fields["connected_slaves"]

    def rogue(self, *lines: bytes) -> ScriptedReplica:
        """A connection that has sent ``lines``."""
        replica = ScriptedReplica(self, self.master)
        replica.say(*lines)
        return replica

    def online(self) -> ScriptedReplica:
        """A replica that has its image."""
        replica = self.rogue(CAPA, PSYNC)
        replica.until(b"+OK\r\n")
        replica.header()
        replica.marked_image()
        replica.ack(self.offset())
        wait_until(lambda: self.master.info("replication")["connected_slaves"] == "2", 5, "the second replica")
        return replica

    def offset(self) -> int:
        """The offset of the master."""
        return int(self.master.info("replication")["master_repl_offset"])

    def cut(self, replica: ScriptedReplica, text: str) -> None:
        """The master closes the connection, and its log says why."""
        self.assertTrue(replica.closed(), text)
        replica.sock.close()
        self.master.wait_log(text)

    def unharmed(self) -> None:
        """The master is as it was and replicates."""
        wait_until(lambda: self.resources() == self.before[1], 10, f"no leftovers {self.before[1]}")
        self.assertEqual(digest(self.master), self.before[0])
        self.master.call("SET", "after", "1")
        self.assertEqual(self.master.call("WAIT", 1, 5000), 1)
        wait_in_sync(self.master, self.honest)
        self.assertEqual(digest(self.honest), digest(self.master))
        for text in ("Defect", "Traceback", "Unhandled"):
            self.assertNotIn(text, self.master.log())
        self.assertEqual(self.master.info("persistence")["rdb_bgsave_in_progress"], "0")

    def test_lies(self) -> None:
        """Acknowledgements of what was never sent end the connection; those that say nothing are nothing."""
        for words in (("ACK", "{ahead}"), ("ACK", "9" * 18), ("ACK", "{now}", "FACK", "{ahead}"), ("ACK", "9" * 400)):
            replica = self.online()
            now = self.offset()
            values = [word.format(now=now, ahead=now + 1) for word in words]
            replica.say(command("REPLCONF", *values))
            self.cut(replica, f"acknowledges offset {values[-1][:20]}, but only {now} was sent to it: disconnecting it")
        early = self.rogue(CAPA, PSYNC)
        early.until(b"$EOF")
        early.say(command("REPLCONF", "ACK", "9" * 18))
        self.cut(early, f"acknowledges offset {'9' * 18}")
        replica = self.online()
        for number in ("-1", "-9223372036854775808", "", "1e9", "0x10", "٣"):
            replica.say(b"*3\r\n$8\r\nREPLCONF\r\n$3\r\nACK\r\n$%d\r\n%b\r\n" % (len(number.encode()), number.encode()))
        self.assertEqual(self.master.call("WAIT", 2, 300), 2)
        replica.sock.close()

    def test_words(self) -> None:
        """What a replica has no reason to say, glued to PSYNC and later."""
        for words in (("SET", "a", "1"), ("FLUSHALL",), ("MULTI",), ("SHUTDOWN", "NOSAVE"), ("REPLCONF", "capa", "eof")):
            name = words[0].lower()
            text = f"Replica generated a reply to command '{name}', disconnecting it"
            self.cut(self.rogue(CAPA, PSYNC, command(*words)), text)
            replica = self.online()
            replica.say(command(*words))
            self.cut(replica, text)
        nested = b"*1\r\n*1\r\n$4\r\nPING\r\n"
        for garbage in (b"\x01" * 100, b"*1\r\n$-5\r\n", b"*-5\r\n$", b"*99999999\r\n", b"x" * 100_000, nested):
            replica = self.online()
            with contextlib.suppress(OSError):
                replica.say(garbage + b"\r\n")
            self.assertTrue(replica.closed(), garbage[:20])
            replica.sock.close()

    def test_floods(self) -> None:
        """Endless requests are cut, acknowledgements without end keep nobody waiting."""
        replica = self.online()
        with contextlib.suppress(OSError):
            replica.say(b"*3\r\n$8\r\nREPLCONF\r\n$3\r\nACK\r\n$100000000\r\n")
            for _ in range(100):
                replica.say(b"1" * 100_000)
        self.cut(replica, "Closing client that reached max query buffer length")
        for noise in (command("REPLCONF", "ACK", str(self.offset())), b"\n", command("REPLCONF", "GETACK", "*"), PSYNC):
            replica = self.online()
            replica.sock.settimeout(0.05)
            client = self.master.client()
            longest, until = 0.0, time.monotonic() + 0.5
            while time.monotonic() < until:
                with contextlib.suppress(TimeoutError):
                    replica.say(noise * (60_000 // len(noise)))
                began = time.monotonic()
                client.must("PING")
                longest = max(longest, time.monotonic() - began)
            client.close()
            replica.sock.close()
            self.assertTrue(longest < 0.3, (noise, longest))

    def test_requests(self) -> None:
        """PSYNC with nonsense gets an error or a full synchronisation, never bytes of the backlog."""
        replid = self.master.info("replication")["master_replid"]
        ahead = str(self.offset() + 2)
        for asked in ((replid, ahead), (replid, "0"), (replid, "-9" + "0" * 17), (replid[:-1], "1"), ("?", "77"), ("", ""),
                      ("x" * 1_000_000, "1"), ("\x00\xff", "1"), (replid.upper(), str(1 << 60))):  # fmt: skip
            replica = self.rogue(CAPA, command("PSYNC", *asked))
            replica.until(b"+OK\r\n")
            line = replica.until(b"\r\n").lstrip(b"\n")
            self.assertTrue(line.startswith((b"+FULLRESYNC ", b"-ERR ")), (asked[0][:50], asked[1], line))
            replica.sock.close()
        self.assertEqual(self.master.info("stats")["sync_partial_ok"], "0")

    def test_thousand_that_vanish(self) -> None:
        """They ask for everything and are gone."""
        client = self.master.client()
        longest = 0.0
        for number in range(50):
            crowd = [self.rogue(CAPA, PSYNC) for _ in range(20)]
            if number % 3 == 0:
                crowd[0].until(b"$EOF")
            for replica in crowd:
                if number % 2:  # a reset, not a polite end
                    replica.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                replica.sock.close()
            began = time.monotonic()
            client.must("PING")
            longest = max(longest, time.monotonic() - began)
        client.close()
        self.assertTrue(longest < 1, longest)
        wait_until(lambda: self.master.info("persistence")["rdb_bgsave_in_progress"] == "0", 10, "the last image")

    def test_never_reads(self) -> None:
        """One that stops reading in the middle of an image from a file is cut after repl-timeout."""
        self.master.call("CONFIG", "SET", "repl-diskless-sync", "no", "repl-timeout", 1, "rdbcompression", "no")
        self.master.call("CONFIG", "SET", "repl-ping-replica-period", 1)
        self.master.call("SET", "big", "x" * 30_000_000)
        replica = self.rogue(CAPA, PSYNC)
        replica.until(b"+FULLRESYNC")
        self.master.wait_log("Disconnecting timedout replica (full sync): 127.0.0.1:7777")
        self.assertTrue(replica.closed())
        replica.sock.close()
        self.master.call("DEL", "big")
        self.master.call("CONFIG", "SET", "repl-timeout", 60)
