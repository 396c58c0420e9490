"""A replica with a master that misbehaves: it says why in its log, keeps its data, and tries again.

The master is a script: for each connection a list of what to read and what to write. It runs in a thread. A replica
tries again once a second, so several of them meet their masters at the same time.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from replicad.persistence.interfaces import SnapshotInfo
from replicad.persistence.rdb import Encoder
from tests.support.servers import Replicad, link_up, wait_until
from tests.support.together import together

REPLID = "c" * 40
MARK = b"m" * 40


def image(**strings: str) -> bytes:
    """Return an RDB document with some strings in database 0."""
    entries: list[Any] = [(0, key.encode(), value.encode(), None) for key, value in strings.items()]
    return b"".join(Encoder().encode(entries, SnapshotInfo(replid=REPLID, offset=0, selected_db=0)))


def command(*words: str) -> bytes:
    """Return one command as a master sends it."""
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word.encode()) for word in words)


class Session:
    """One connection of the replica, as the scripted master sees it."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.seen = b""
        self.psync = b""

    def until(self, text: bytes) -> None:
        """Read until ``text`` has come."""
        while text not in self.seen:
            data = self.sock.recv(65536)
            if not data:
                raise ConnectionError(f"the replica left; it said {self.seen!r}")
            self.seen += data

    def handshake(self) -> None:
        """Answer everything up to PSYNC."""
        self.until(b"PING\r\n")
        self.sock.sendall(b"+PONG\r\n")
        self.until(b"psync2\r\n")
        self.sock.sendall(b"+OK\r\n+OK\r\n")
        self.until(b"PSYNC")
        self.until(b"\r\n")
        while self.seen[self.seen.index(b"PSYNC") :].count(b"\r\n") < 5:
            self.seen += self.sock.recv(65536)
        self.psync = self.seen[self.seen.index(b"PSYNC") :]

    def full(self, document: bytes, offset: int = 0) -> None:
        """Send a full synchronisation in the form with a length."""
        self.sock.sendall(b"+FULLRESYNC %b %d\r\n$%d\r\n" % (REPLID.encode(), offset, len(document)) + document)

    def linger(self) -> None:
        """Read until the replica closes."""
        while self.sock.recv(65536):
            pass


Script = Callable[[Session], None]


class ScriptedMaster:
    """Plays one script per connection, the last one for all that follow; closes when a script returns."""

    def __init__(self, case: SynchronousTestCase, *scripts: Script) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._scripts = list(scripts)
        self.played = 0
        self._sockets: list[socket.socket] = []
        threading.Thread(target=self._run, daemon=True).start()
        case.addCleanup(self.stop)

    def _run(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self._sockets.append(sock)
            script = self._scripts[min(self.played, len(self._scripts) - 1)]
            threading.Thread(target=self._play, args=(script, sock), daemon=True).start()
            self.played += 1

    def _play(self, script: Script, sock: socket.socket) -> None:
        try:
            script(Session(sock))
        except OSError:
            pass
        finally:
            sock.close()

    def stop(self) -> None:
        """Close everything."""
        self._listener.close()
        for sock in self._sockets:
            sock.close()


def good(**strings: str) -> Script:
    """Return the script of a master that has ``strings``."""

    def play(session: Session) -> None:
        session.handshake()
        session.full(image(**strings))
        session.linger()

    return play


class Faults(SynchronousTestCase):
    """One bad thing after the other, then a good master: the old data is there until the new is complete."""

    def meet(self, bad: list[tuple[Script, str]], **directives: str) -> None:
        """Let a replica with one key meet each of ``bad`` and then a good master; it logs each reason and keeps its key."""
        gate = threading.Event()
        self.addCleanup(gate.set)

        # The first connection gives it data that is worth keeping.
        def first(session: Session) -> None:
            session.handshake()
            session.full(image(old="1"))
            session.until(b"ACK")

        def last(session: Session) -> None:
            gate.wait(10)
            good(new="1")(session)

        master = ScriptedMaster(self, first, *(script for script, _ in bad), last)
        replica = Replicad(self, {"replicaof": f"127.0.0.1 {master.port}", **directives}).start()
        replica.wait_log("Finished with success")
        wait_until(lambda: master.played == len(bad) + 2, 30, "the replica tries again and again")
        self.assertEqual(replica.call("GET", "old"), b"1")
        gate.set()
        wait_until(lambda: link_up(replica), 10, "the good master")
        self.assertEqual((replica.call("GET", "old"), replica.call("GET", "new")), (None, b"1"))
        log = replica.log()
        place = 0
        for _, text in bad:
            place = log.find(text, place)
            self.assertTrue(place >= 0, f"{text!r} is not there, or not in its place, in\n{log}")
            place += len(text)
        for text in ("Defect", "Traceback"):
            self.assertNotIn(text, log)

    def damaged_images(self, load: str) -> None:
        """Try each bad document with ``repl-diskless-load load``."""
        whole = image(a="1" * 1000, b="2")
        failed = "Failed trying to load the MASTER synchronization DB: "
        foreign = b"".join(Encoder().encode([(77, b"k", b"v", None)], SnapshotInfo()))
        double = b"".join(Encoder().encode([(0, b"k", b"v", None), (0, b"k", b"w", None)], SnapshotInfo()))
        bad: list[tuple[Script, str]] = []
        for document, text in (
            (whole[:-8] + b"12345678", failed),
            (b"\x00\xff" * 50_000, failed),
            (whole[:-500], "the data ends too early"),
            (whole + b"more", "there are bytes behind its end"),
            (b"", failed),
            (foreign, "it holds database 77, this server has 16 databases"),
            (double, "a key comes twice in a database"),
        ):

            def script(session: Session, document: bytes = document) -> None:
                session.handshake()
                session.full(document)
                session.linger()

            bad.append((script, text))
        self.meet(bad, **{"repl-diskless-load": load})

    def test_one_bad_master_after_the_other(self) -> None:
        together(
            self.damaged_images_in_a_file,
            self.damaged_images_decoded_as_they_come,
            self.masters_that_do_not_get_that_far,
        )

    def damaged_images_in_a_file(self) -> None:
        self.damaged_images("disabled")

    def damaged_images_decoded_as_they_come(self) -> None:
        self.damaged_images("swapdb")

    def masters_that_do_not_get_that_far(self) -> None:
        header = b"+FULLRESYNC %b 0\r\n" % REPLID.encode()

        def breaks_off(session: Session) -> None:
            session.handshake()
            session.sock.sendall(header + b"$100000\r\nREDIS0009")

        def gives_up(session: Session) -> None:
            session.handshake()
            session.sock.sendall(header + b"-ERR out of forks\r\n")
            session.linger()

        def is_no_redis(session: Session) -> None:
            session.until(b"PING")
            session.sock.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            session.linger()

        def falls_silent(session: Session) -> None:
            session.handshake()
            session.sock.sendall(header + b"$100000\r\nREDIS0009")
            session.linger()

        bad = [
            (breaks_off, "I/O error trying to sync with MASTER: connection lost"),
            (gives_up, "MASTER aborted replication with an error: ERR out of forks"),
            (is_no_redis, "Error reply to PING from master: 'HTTP/1.1 400 Bad Request'"),
            (falls_silent, "Timeout receiving bulk data from MASTER..."),
        ]
        self.meet(bad, **{"repl-timeout": "1"})


class TheStream(SynchronousTestCase):
    """What a master may put into the stream."""

    def follow(self, *scripts: Script, **directives: str) -> tuple[Replicad, ScriptedMaster]:
        """Start a replica of a scripted master and wait for the link."""
        master = ScriptedMaster(self, *scripts)
        replica = Replicad(self, {"replicaof": f"127.0.0.1 {master.port}", **directives}).start()
        wait_until(lambda: link_up(replica), 10, "the link")
        return replica, master

    def offset(self, replica: Replicad) -> int:
        """Return the offset that the replica applied."""
        return int(replica.info("replication")["slave_repl_offset"])

    def test_what_is_applied(self) -> None:
        together(
            self.transactions_are_applied_whole_and_acknowledged_whole,
            self.getack_is_answered_without_itself,
            self.errors_do_not_end_the_link,
            self.lost_link_continues,
        )

    def test_bad_ends(self) -> None:
        together(
            self.broken_stream_discards_the_state,
            self.master_without_psync,
            self.master_without_psync_that_waits,
            self.bytes_glued_to_the_mark_and_a_master_that_is_silent_later,
            self.refused_connection,
        )

    def transactions_are_applied_whole_and_acknowledged_whole(self) -> None:
        group = command("MULTI") + command("SET", "a", "1") + command("SET", "b", "2") + command("EXEC")
        go = threading.Event()

        def script(session: Session) -> None:
            session.handshake()
            session.full(image(old="1"), 100)
            session.until(b"ACK\r\n$3\r\n100\r\n")
            session.sock.sendall(group[:-1])
            go.wait(10)
            session.sock.sendall(group[-1:])
            session.linger()

        replica, _ = self.follow(script)
        wait_until(
            lambda: int(replica.info("replication")["slave_read_repl_offset"]) == 100 + len(group) - 1,
            10,
            "all but the last byte",
        )
        self.assertEqual((replica.call("GET", "a"), replica.call("GET", "b"), self.offset(replica)), (None, None, 100))
        go.set()
        wait_until(lambda: replica.call("GET", "a") == b"1", 10, "the last byte")
        self.assertEqual((replica.call("GET", "b"), self.offset(replica)), (b"2", 100 + len(group)))

    def getack_is_answered_without_itself(self) -> None:
        answers: list[bytes] = []
        write, getack = command("SET", "a", "1"), command("REPLCONF", "GETACK", "*")

        def script(session: Session) -> None:
            session.handshake()
            session.full(image(old="1"), 0)
            session.until(b"ACK\r\n$1\r\n0\r\n")
            session.seen = b""
            session.sock.sendall(write + getack + write)
            session.until(command("REPLCONF", "ACK", str(len(write))))
            session.until(command("REPLCONF", "ACK", str(len(write + getack + write))))
            answers.append(session.seen)
            session.linger()

        self.follow(script)
        wait_until(lambda: bool(answers), 10, "both acknowledgements")

    def errors_do_not_end_the_link(self) -> None:
        def script(session: Session) -> None:
            session.handshake()
            session.full(image(s="x"))
            session.sock.sendall(
                command("NONSENSE", "x")
                + command("LPUSH", "s", "1")
                + command("GET")
                + command("PING")
                + command("SET", "done", "1")
            )
            session.linger()

        replica, _ = self.follow(script)
        wait_until(lambda: replica.call("GET", "done") == b"1", 10, "the end of the stream")
        self.assertIn(
            "== CRITICAL == This replica is sending an error to its master: 'WRONGTYPE Operation against a key holding "
            "the wrong kind of value' after processing the command 'lpush'",
            replica.log(),
        )
        self.assertTrue(link_up(replica))

    def broken_stream_discards_the_state(self) -> None:
        asked: list[bytes] = []

        def script(session: Session) -> None:
            session.handshake()
            session.full(image(s="x"), 50)
            session.until(b"ACK")
            session.sock.sendall(command("SET", "a", "1") + b"SET b 1\r\n")
            session.linger()

        def after(session: Session) -> None:
            session.handshake()
            asked.append(session.psync)
            session.full(image(s="y"), 60)
            session.linger()

        replica, _ = self.follow(script, after)
        wait_until(lambda: replica.call("GET", "s") == b"y", 10, "the second synchronisation")
        self.assertTrue(asked[0].startswith(b"PSYNC\r\n$1\r\n?\r\n$2\r\n-1\r\n"), asked)

    def lost_link_continues(self) -> None:
        write = command("SELECT", "3") + command("SET", "a", "1")
        asked: list[bytes] = []

        def script(session: Session) -> None:
            session.handshake()
            session.full(image(s="x"), 50)
            session.until(b"ACK")
            session.sock.sendall(write + command("SET", "b", "2")[:-4])
            session.until(b"ACK\r\n$%d\r\n%d\r\n" % (len(str(50 + len(write))), 50 + len(write)))

        def after(session: Session) -> None:
            session.handshake()
            asked.append(session.psync)
            session.sock.sendall(b"+CONTINUE\r\n" + command("SET", "b", "2"))
            session.linger()

        replica, _ = self.follow(script, after)
        client = replica.client(db=3)
        wait_until(lambda: client.must("GET", "b") == b"2", 10, "the rest of the stream, in the same database")
        self.assertEqual(asked[0].split(b"\r\n")[2:5:2], [REPLID.encode(), str(51 + len(write)).encode()])
        self.assertEqual(self.offset(replica), 50 + len(write) + len(command("SET", "b", "2")))

    def master_without_psync(self) -> None:
        def script(session: Session) -> None:
            session.handshake()
            session.sock.sendall(b"-ERR unknown command 'PSYNC'\r\n")
            session.until(b"SYNC\r\n")
            document = image(s="x")
            session.sock.sendall(b"\n$%d\r\n" % len(document) + document + command("SET", "a", "1"))
            session.linger()

        replica, _ = self.follow(script)
        wait_until(lambda: replica.call("GET", "a") == b"1", 10, "the stream")
        self.assertEqual(replica.call("GET", "s"), b"x")

    def master_without_psync_that_waits(self) -> None:
        """Behind a mark a master sends nothing before the first acknowledgement, also when it only knows SYNC."""

        def script(session: Session) -> None:
            session.handshake()
            session.sock.sendall(b"-ERR unknown command 'PSYNC'\r\n")
            session.until(b"SYNC\r\n")
            session.sock.sendall(b"$EOF:%b\r\n" % MARK + image(s="x") + MARK)
            session.until(b"REPLCONF\r\n$3\r\nACK\r\n")
            session.sock.sendall(command("SET", "a", "1"))
            session.linger()

        replica, _ = self.follow(script)
        wait_until(lambda: replica.call("GET", "a") == b"1", 10, "the stream")

    def bytes_glued_to_the_mark_and_a_master_that_is_silent_later(self) -> None:
        def script(session: Session) -> None:
            session.handshake()
            session.sock.sendall(
                b"+FULLRESYNC %b 0\r\n$EOF:%b\r\n" % (REPLID.encode(), MARK) + image(s="x") + MARK + command("SET", "a", "1")
            )
            session.linger()

        replica, _ = self.follow(script, **{"repl-timeout": "1"})
        wait_until(lambda: replica.call("GET", "a") == b"1", 10, "the stream")
        replica.wait_log("MASTER timeout: no data nor PING received...")
        replica.wait_log("Caching the disconnected master state.")

    def refused_connection(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as unused:
            port = unused.getsockname()[1]
        replica = Replicad(self, {"replicaof": f"127.0.0.1 {port}"}).start()
        replica.wait_log("Error condition on socket for SYNC: Connection refused", count=2)
        fields = replica.info("replication")
        self.assertEqual((fields["master_link_status"], fields["master_link_down_since_seconds"]), ("down", "-1"))
