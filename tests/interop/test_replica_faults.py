"""What a master may put into the stream, and how a stream may end.

The master is a script: for each connection a list of what to read and what to write. It runs in a thread. One replica
follows one such master after the other. What masters must not do is in ``test_rogue_masters``.
"""

from __future__ import annotations

import socket
import threading

from twisted.trial.unittest import SynchronousTestCase

from tests.support.scripted import MARK, REPLID, Script, ScriptedMaster, Session, command, image
from tests.support.servers import Replicad, link_up, wait_until


class TheStream(SynchronousTestCase):
    """Scripted masters in turn."""

    def setUp(self) -> None:
        """Start the replica that follows them all."""
        self.replica = Replicad(self).start()

    def follow(self, *scripts: Script, **directives: str) -> tuple[Replicad, ScriptedMaster]:
        """Let the replica follow a scripted master, and wait for the link."""
        replica, master = self.replica, ScriptedMaster(self, *scripts)
        for name, value in {"repl-timeout": "60", **directives}.items():
            replica.call("CONFIG", "SET", name, value)
        replica.call("REPLICAOF", "NO", "ONE")
        replica.call("FLUSHALL")
        replica.call("REPLICAOF", "127.0.0.1", master.port)
        wait_until(lambda: link_up(replica), 10, "the link")
        return replica, master

    def offset(self, replica: Replicad) -> int:
        """Return the offset that the replica applied."""
        return int(replica.info("replication")["slave_repl_offset"])

    def test_what_is_applied(self) -> None:
        self.transactions_are_applied_whole_and_acknowledged_whole()
        self.getack_is_answered_without_itself()
        self.errors_do_not_end_the_link()
        self.lost_link_continues()

    def test_bad_ends(self) -> None:
        self.broken_stream_discards_the_state()
        self.master_without_psync()
        self.master_without_psync_that_waits()
        self.bytes_glued_to_the_mark_and_a_master_that_is_silent_later()
        self.refused_connection()

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
        replica = self.replica
        replica.call("REPLICAOF", "127.0.0.1", port)
        replica.wait_log("Error condition on socket for SYNC: Connection refused", count=2)
        fields = replica.info("replication")
        self.assertEqual((fields["master_link_status"], fields["master_link_down_since_seconds"]), ("down", "-1"))
