"""Full synchronisations: who shares one, how long a slow one may take, and what happens after it failed again and again."""

from __future__ import annotations

import random
import re
import socket
import time

from twisted.trial.unittest import SynchronousTestCase

from replicad.replication.upstream import RETRY_SECONDS, pause_after
from tests.support.proxy import Proxy
from tests.support.scripted import REPLID, ScriptedMaster, ScriptedReplica, Session, command, good, image, keys
from tests.support.servers import KINDS, Replicad, digest, link_up, wait_until
from tests.support.together import together

CAPA = b"REPLCONF listening-port 7777 capa eof capa psync2\r\n"
PSYNC = b"PSYNC ? -1\r\n"


class Shared(SynchronousTestCase):
    """repl-diskless-sync-max-replicas: the delay ends when so many replicas wait."""

    def ask(self, replica: ScriptedReplica) -> None:
        """Ask for a copy, in a way that a real master takes too."""
        replica.say(CAPA)
        self.assertEqual(replica.until(b"\r\n"), b"+OK\r\n")
        replica.say(PSYNC)

    def test_as_many_as_were_expected(self) -> None:
        for kind in KINDS.values():
            directives = {"repl-diskless-sync-delay": 3600, "repl-diskless-sync-max-replicas": 2}
            master = kind(self, directives).start()
            master.call("SET", "a", "1")
            first, second = (ScriptedReplica(self, master) for _ in range(2))
            self.ask(first)
            time.sleep(0.3)
            self.assertNotIn("Starting BGSAVE for SYNC", master.log())
            self.ask(second)
            for replica in (first, second):
                replica.header()
                self.assertEqual(keys(replica.marked_image()), {b"a": b"1"})
            self.assertEqual(master.log().count("Starting BGSAVE for SYNC"), 1)
            # One alone waits again, until fewer are enough.
            third = ScriptedReplica(self, master)
            self.ask(third)
            time.sleep(0.3)
            self.assertEqual(master.log().count("Starting BGSAVE for SYNC"), 1)
            master.call("CONFIG", "SET", "repl-diskless-sync-max-replicas", 1)
            third.header()
            self.assertEqual(keys(third.marked_image()), {b"a": b"1"})

    def test_without_a_disk_only(self) -> None:
        """An image by way of the disk waits for nobody, and 0 means that no number ends the delay."""
        together(lambda: self.alone("no", 2, 0), lambda: self.alone("yes", 0, 2))

    def alone(self, diskless: str, most: int, waits: int) -> None:
        directives = {
            "repl-diskless-sync": diskless,
            "repl-diskless-sync-delay": 2,
            "repl-diskless-sync-max-replicas": most,
        }
        master = Replicad(self, directives, name=f"diskless-{diskless}").start()
        replica = ScriptedReplica(self, master)
        began = time.monotonic()
        replica.say(CAPA, PSYNC)
        replica.until(b"+OK\r\n")
        replica.header()
        self.assertTrue(waits <= time.monotonic() - began < waits + 5)


class Slow(SynchronousTestCase):
    """A transfer may take as long as it likes while it goes on."""

    def master(self, diskless: str) -> Replicad:
        """Start a master with some megabytes, which takes silence for the end after 2 seconds."""
        directives = {
            "repl-timeout": 2,
            "repl-diskless-sync": diskless,
            "repl-diskless-sync-delay": 0,
            "repl-ping-replica-period": 3600,
        }
        master = Replicad(self, directives, name=f"master-{diskless}").start()
        source = random.Random(1)
        with master.client() as client:
            client.pipeline(*(("SET", f"k{number}", source.randbytes(1_000_000)) for number in range(12)))
        return master

    def test_transfers(self) -> None:
        together(lambda: self.slow_and_silent("yes"), lambda: self.slow_and_silent("no"), self.slow_for_a_replica)

    def slow_and_silent(self, diskless: str) -> None:
        """A master lets a replica go that takes nothing, not one that takes 100 KB/s of what the kernel holds."""
        master = self.master(diskless)
        replica = ScriptedReplica.__new__(ScriptedReplica)
        replica.sock = socket.socket()
        replica.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32768)
        replica.sock.connect(("127.0.0.1", master.port))
        self.addCleanup(replica.sock.close)
        replica.buffer = bytearray()
        replica.say(CAPA, PSYNC)
        replica.until(b"+OK\r\n")
        replica.header()
        until = time.monotonic() + 4
        while time.monotonic() < until:
            replica.read(20_000)
            time.sleep(0.2)
        state = master.info("replication")
        self.assertEqual(state["connected_slaves"], "1", master.log())
        self.assertIn("state=send_bulk", state["slave0"])
        began = time.monotonic()
        master.wait_log("Disconnecting timedout replica (full sync): 127.0.0.1:7777")
        self.assertTrue(1 < time.monotonic() - began < 5)

    def slow_for_a_replica(self) -> None:
        """The other direction: bytes that come slowly are no silence either."""
        source = Replicad(self, {"repl-diskless-sync-delay": 0}, name="source").start()
        source.call("SET", "a", random.Random(1).randbytes(300_000))
        proxy = Proxy(self, source)
        proxy.slow(80_000)
        replica = Replicad(self, {"repl-timeout": 2, "replicaof": f"127.0.0.1 {proxy.port}"}, name="replica").start()
        replica.wait_log("Finished with success")
        self.assertEqual(source.info("stats")["sync_full"], "1")
        self.assertEqual(replica.log().count("Timeout"), 0)
        self.assertEqual(digest(replica), digest(source))


class Failing(SynchronousTestCase):
    """A replica whose copies fail."""

    def test_pauses(self) -> None:
        """A second as in Redis, then longer ones, which are spread."""
        self.assertEqual([pause_after(failures) for failures in range(5)], [RETRY_SECONDS] * 5)
        for failures, seconds in ((5, 2), (6, 4), (7, 8), (8, 16), (9, 30), (10, 30), (10_000, 30)):
            pauses = [pause_after(failures) for _ in range(50)]
            self.assertTrue(all(0.75 * seconds <= pause <= 1.25 * seconds for pause in pauses), pauses)
            self.assertTrue(max(pauses) - min(pauses) > 0.1 * seconds, pauses)

    def test_again_and_again(self) -> None:
        def breaks_off(session: Session) -> None:
            session.handshake()
            session.sock.sendall(b"+FULLRESYNC %b 0\r\n$100000\r\nREDIS0009" % REPLID.encode())

        def damaged(session: Session) -> None:
            session.handshake()
            session.full(image(a="1")[:-1] + b"x")
            session.linger()

        def once(session: Session) -> None:
            session.handshake()
            session.full(image(a="1"))
            session.until(b"ACK")
            session.sock.sendall(b"no command\r\n")
            session.linger()

        master = ScriptedMaster(self, breaks_off, damaged, breaks_off, damaged, breaks_off, once, breaks_off, good(a="2"))
        replica = Replicad(self, {"replicaof": f"127.0.0.1 {master.port}"}).start()
        text = "Full synchronisation failed 5 times in a row; the next attempt is in [23] seconds"
        wait_until(lambda: re.search(text, replica.log()), 40, text)
        failed = time.monotonic()
        self.assertEqual(master.played, 5)
        wait_until(lambda: master.played == 6, 20, "the next attempt")
        self.assertGreater(time.monotonic() - failed, 1.2)
        # It works, so the next failure is the first again.
        wait_until(lambda: replica.call("GET", "a") == b"2", 10, "the last master")
        self.assertEqual(replica.log().count("times in a row"), 1)


class DualChannel(SynchronousTestCase):
    """What Valkey 8 has beyond the protocol of Redis: a second connection for the image."""

    def test_offered_to_us(self) -> None:
        """A Valkey replica offers it; we take what we know and answer as an older master does."""
        master = Replicad(self, {"repl-diskless-sync-delay": 0}).start()
        master.call("SET", "a", "1")
        replica = ScriptedReplica(self, master)
        replica.say(command("REPLCONF", "capa", "eof", "capa", "psync2", "capa", "dual-channel"))
        self.assertEqual(replica.until(b"\r\n"), b"+OK\r\n")
        replica.say(command("REPLCONF", "version", "8.0.1"))
        self.assertEqual(replica.until(b"\r\n"), b"-ERR Unrecognized REPLCONF option: version\r\n")
        replica.say(PSYNC)
        replica.header()
        self.assertEqual(keys(replica.marked_image()), {b"a": b"1"})
        replica.ack(0)
        master.call("SET", "b", "2")
        self.assertEqual(replica.read(50), command("SELECT", "0") + command("SET", "b", "2"))

    def test_not_offered_by_us(self) -> None:
        """Our words are those of Redis 7; a master that answers with it all the same is asked again without PSYNC."""
        said: list[bytes] = []

        def dual(session: Session) -> None:
            session.handshake()
            session.sock.sendall(b"+DUALCHANNELSYNC\r\n")
            session.until(b"\r\nSYNC\r\n")
            said.append(session.seen)
            document = image(a="1")
            session.sock.sendall(b"$%d\r\n" % len(document) + document)
            session.linger()

        master = ScriptedMaster(self, dual)
        replica = Replicad(self, {"replicaof": f"127.0.0.1 {master.port}"}).start()
        wait_until(lambda: link_up(replica), 10, "the link")
        self.assertEqual(replica.call("GET", "a"), b"1")
        self.assertIn(command("REPLCONF", "capa", "eof", "capa", "psync2"), said[0])
        self.assertNotIn(b"dual-channel", said[0])
        self.assertIn("Unexpected reply to PSYNC from master: +DUALCHANNELSYNC", replica.log())
