"""A replica meets one broken or hostile master after the other: it says why, keeps its data, and tries again.

One replica process meets all masters of a kind, each on a port of its own: REPLICAOF makes it turn to the next one at
once. After each it still serves what it had, and at the end what it has stored is still there.
"""

from __future__ import annotations

import resource
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from replicad.persistence.interfaces import SnapshotInfo
from replicad.persistence.rdb import Encoder
from tests.support.scripted import MARK, REPLID, Script, ScriptedMaster, Session, command, good, image
from tests.support.servers import Replicad, digest, link_up, report, wait_until
from tests.support.together import together

#: The head of a full synchronisation.
FULL = b"+FULLRESYNC %b 0\r\n" % REPLID.encode()
MARKED = FULL + b"$EOF:%b\r\n" % MARK
NOT_DOLLAR = "Bad protocol from MASTER, the first byte is not '$' (we received '"
WRONG_SYNTAX = "Master replied with wrong +FULLRESYNC syntax."
FAILED = "Failed trying to load the MASTER synchronization DB: "
NO_MEMORY = "no memory for a dataset of this size"

#: What a stream must not look like, with the words that the log has for it.
BROKEN_STREAMS = (
    (b"SET b 1\r\n", "Master using the inline protocol. Desync?"),
    (b"*1\r\n*1\r\n$4\r\nPING\r\n", "Protocol error"),
    (b"*1\r\n*-1\r\n", "Protocol error"),
    (b"*1\r\n:1\r\n", "Protocol error"),
    (b"*1\r\n$-1\r\n", "Protocol error"),
    (b"*2\r\n$3\r\nGET\r\n$-7\r\n", "Protocol error"),
    (b"*99999999\r\n", "Protocol error"),
    (b"*" + b"1" * 200, "Protocol error"),
    (b"*1\r\n$4\r\nPINGPONG\r\n", "Protocol error"),
    (b"*1\r\n$4x\r\nPING\r\n", "Protocol error"),
    (b":5\r\n", "Protocol error"),
    (b"-ERR unknown command\r\n", "Protocol error"),
    (FULL, "Protocol error"),
    (b"\x16\x03\x01\x02\x00\x01\x00\x01", "Protocol error"),
)

#: Commands that a client may give to a server but a master has no reason to send.
OUT_OF_PLACE: tuple[tuple[str, ...], ...] = (
    ("SHUTDOWN", "NOSAVE"),
    ("CONFIG", "SET", "maxmemory", "1"),
    ("CONFIG", "SET", "replica-read-only", "no"),
    ("CONFIG", "REWRITE"),
    ("DEBUG", "SLEEP", "30"),
    ("DEBUG", "SEGFAULT"),
    ("DEBUG", "RELOAD"),
    ("REPLICAOF", "NO", "ONE"),
    ("SLAVEOF", "127.0.0.1", "1"),
    ("FAILOVER",),
    ("PSYNC", "?", "-1"),
    ("SYNC",),
    ("MONITOR",),
    ("SUBSCRIBE", "channel"),
    ("WAIT", "1", "0"),
    ("ACL", "SETUSER", "default", "off"),
    ("AUTH", "password"),
    ("HELLO", "3"),
    ("RESET",),
    ("QUIT",),
    ("CLIENT", "KILL", "TYPE", "normal"),
    ("CLIENT", "PAUSE", "100000"),
    ("SAVE",),
    ("BGSAVE",),
    ("SCRIPT", "KILL"),
    ("MODULE", "LOAD", "/tmp/x.so"),
    ("MIGRATE", "127.0.0.1", "1", "old", "0", "100"),
    ("WATCH", "old"),
)


@dataclass
class Rogue:
    """A script and what the log says about it. ``file_size``: bytes that a file may have meanwhile."""

    script: Script
    text: str
    password: bool = False
    file_size: int = resource.RLIM_INFINITY


def says(data: bytes, *, then_leaves: bool = False) -> Script:
    """Return the script of a master that answers PSYNC with ``data``."""

    def play(session: Session) -> None:
        session.handshake()
        session.sock.sendall(data)
        if not then_leaves:
            session.linger()

    return play


def counted(document: bytes) -> bytes:
    """Return a full synchronisation with a length."""
    return FULL + b"$%d\r\n" % len(document) + document


def instead_of_pong(data: bytes) -> Script:
    """Return the script of a master that answers the first PING with ``data``."""

    def play(session: Session) -> None:
        session.until(b"PING\r\n")
        session.sock.sendall(data)
        session.linger()

    return play


def refuses_password(session: Session) -> None:
    """Answer AUTH with an error."""
    session.until(b"PING\r\n")
    session.sock.sendall(b"-NOAUTH Authentication required.\r\n")
    session.until(b"psync2\r\n")
    session.sock.sendall(b"-WRONGPASS invalid username-password pair\r\n+OK\r\n+OK\r\n")
    session.linger()


def knows_nothing(session: Session) -> None:
    """Answer everything behind PING with an error."""
    session.until(b"PING\r\n")
    session.sock.sendall(b"+PONG\r\n")
    session.until(b"psync2\r\n")
    session.sock.sendall(b"-ERR Unrecognized REPLCONF option\r\n-ERR Unrecognized REPLCONF option\r\n")
    session.until(b"PSYNC")
    session.sock.sendall(b"-ERR unknown command 'PSYNC'\r\n")
    session.until(b"SYNC\r\n")
    session.sock.sendall(b"-ERR unknown command 'SYNC'\r\n")
    session.linger()


def leaves_after(text: bytes, *answers: bytes) -> Script:
    """Return the script of a master that gives ``answers``, waits for ``text``, and goes."""

    def play(session: Session) -> None:
        for answer in answers:
            session.until(b"\r\n")
            session.sock.sendall(answer)
        session.until(text)

    return play


def endless_image(session: Session) -> None:
    """Send a sound image that has no end."""
    session.handshake()
    session.sock.sendall(MARKED + image(a="1")[:-9])  # without its end
    number = 0
    while True:
        number += 1
        # 50 strings of 65,536 bytes
        keys = range(number * 50, number * 50 + 50)
        session.sock.sendall(b"".join(b"\x00\x0a%010d\x80\x00\x01\x00\x00%b" % (key, _BLOCK) for key in keys))


_BLOCK = bytes(range(256)) * 256


class RogueMasters(SynchronousTestCase):
    """Each test runs its scenarios at the same time, each with a replica of its own."""

    def replica(self, **directives: object) -> Replicad:
        """Start a server, give it one key from a good master, and store it."""
        replica = Replicad(self, directives).start()
        self.turn_to(replica, good(old="1"))
        wait_until(lambda: link_up(replica), 10, "the first master")
        replica.call("SAVE")
        return replica

    def turn_to(self, replica: Replicad, *scripts: Script) -> ScriptedMaster:
        """Let ``replica`` follow a master with these scripts."""
        master = ScriptedMaster(self, *scripts)
        replica.call("REPLICAOF", "127.0.0.1", master.port)
        return master

    def meet(self, replica: Replicad, rogue: Rogue) -> None:
        """The replica names the reason, will try again, and has what it had."""
        before = len(replica.log())
        replica.call("CONFIG", "SET", "masterauth", "secret" if rogue.password else "")
        resource.prlimit(replica.pid, resource.RLIMIT_FSIZE, (rogue.file_size, resource.RLIM_INFINITY))
        master = self.turn_to(replica, rogue.script)
        again = f"Reconnecting to MASTER 127.0.0.1:{master.port} after failure"
        wait_until(lambda: again in replica.log()[before:], 10, f"{rogue.text}\n{replica.log()[before:]}")
        log = replica.log()[before:]
        self.assertIn(rogue.text, log)
        self.assertIn(rogue.text, log[: log.index(again)])
        self.still_there(replica)
        master.stop()

    def still_there(self, replica: Replicad) -> None:
        """The old data is served."""
        self.assertEqual((replica.call("GET", "old"), replica.call("DBSIZE")), (b"1", 1), replica.log()[-3000:])
        self.assertEqual(replica.info("persistence")["loading"], "0")

    def end(self, replica: Replicad) -> None:
        """A good master is followed; and what was stored before is there after a crash."""
        log = replica.log()
        for text in ("Defect", "Traceback", "Unhandled"):
            self.assertNotIn(text, log)
        self.assertEqual(list(replica.directory.glob("temp-*")), [], "files left behind")
        replica.kill()
        replica.start()
        self.still_there(replica)
        self.turn_to(replica, good(new="1"))
        wait_until(lambda: link_up(replica), 10, "the good master")
        self.assertEqual((replica.call("GET", "old"), replica.call("GET", "new")), (None, b"1"))

    def test_rogues(self) -> None:
        together(
            lambda: self.full_synchronisations("disabled"),
            lambda: self.full_synchronisations("swapdb"),
            self.broken_streams,
            self.silent_masters,
        )

    def full_synchronisations(self, load: str) -> None:
        """Everything up to the end of an image, with ``repl-diskless-load load``."""
        replica = self.replica(**{"repl-diskless-load": load})
        expected = digest(replica)
        for rogue in [*handshakes(), *headers(), *images()]:
            self.meet(replica, rogue)
        if load == "disabled":
            text = "Write error or short write writing to the DB dump file needed for MASTER <-> REPLICA synchronization"
            self.meet(replica, Rogue(endless_image, text, file_size=4_000_000))
        else:
            limit = virtual_bytes(replica.pid) + 64_000_000
            resource.prlimit(replica.pid, resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
            self.meet(replica, Rogue(endless_image, NO_MEMORY))
            resource.prlimit(replica.pid, resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        self.assertEqual(digest(replica), expected)
        self.end(replica)

    def broken_streams(self) -> None:
        """A stream that is none discards the state: the next PSYNC asks for everything. The data stays."""
        replica = self.replica()
        for data, text in BROKEN_STREAMS:
            asked: list[bytes] = []
            before = len(replica.log())
            self.turn_to(replica, *self.then_asked_again(asked, data))
            wait_until(lambda: asked, 10, f"the second connection after {data!r}")  # noqa: B023
            self.assertTrue(asked[0].startswith(b"PSYNC\r\n$1\r\n?\r\n"), (data, asked))
            self.assertIn(text, replica.log()[before:], data)
            self.still_there(replica)
        self.commands_out_of_place(replica)
        self.end(replica)

    def then_asked_again(self, asked: list[bytes], data: bytes) -> tuple[Script, Script]:
        """A good synchronisation with ``data`` behind it, and a second connection that notes its PSYNC."""

        def first(session: Session) -> None:
            session.handshake()
            session.full(image(old="1"), 50)
            session.until(b"ACK")
            session.sock.sendall(data)
            session.linger()

        def second(session: Session) -> None:
            session.handshake()
            asked.append(session.psync)
            session.linger()

        return first, second

    def commands_out_of_place(self, replica: Replicad) -> None:
        """They are not run, the log names them, and the stream goes on behind them, to the byte."""
        stream = b"".join(command(*words) for words in OUT_OF_PLACE)
        stream += command("MULTI") + stream + command("EXEC") + command("SET", "old", "2")

        def script(session: Session) -> None:
            session.handshake()
            session.full(image(old="0"), 50)
            session.until(b"ACK")
            session.sock.sendall(stream)
            session.linger()

        settings = replica.call("CONFIG", "GET", "*")
        master = self.turn_to(replica, script)
        wait_until(lambda: replica.call("GET", "old") == b"2", 10, "the end of the stream")
        fields = replica.info("replication")
        self.assertEqual((fields["slave_repl_offset"], fields["master_port"]), (str(50 + len(stream)), str(master.port)))
        self.assertTrue(link_up(replica), report(replica))
        changed = [b"replicaof", b"slaveof"]
        after = replica.call("CONFIG", "GET", "*")
        for name, old, new in zip(settings[::2], settings[1::2], after[1::2], strict=True):
            self.assertTrue(old == new or name in changed, (name, old, new))
        for words in OUT_OF_PLACE:
            text = f"'ERR a master may not send this command' after processing the command '{words[0].lower()}'"
            self.assertEqual(replica.log().count(text) % 2, 0, text)
            self.assertIn(text, replica.log())

    def silent_masters(self) -> None:
        """Masters that stop in the middle of something, and one whose script has no end."""
        replica = self.replica(**{"busy-reply-threshold": 100})
        replica.call("CONFIG", "SET", "repl-timeout", 1)
        self.meet(replica, Rogue(instead_of_pong(b"+PO"), "Timeout connecting to the MASTER..."))
        self.meet(replica, Rogue(says(MARKED + image(a="1")[:-9]), "Timeout receiving bulk data from MASTER..."))
        asked: list[bytes] = []
        self.turn_to(replica, *self.then_asked_again(asked, command("PING") + b"*2\r\n$3\r\nGET\r\n$99999999999999\r\nabc"))
        wait_until(lambda: asked, 10, "the second connection")
        self.assertEqual(asked[0].split(b"\r\n")[2:5:2], [REPLID.encode(), b"65"])  # behind PING, before the rest
        self.assertIn("MASTER timeout: no data nor PING received...", replica.log())
        self.still_there(replica)
        asked.clear()
        before = len(replica.log())
        self.turn_to(replica, *self.then_asked_again(asked, command("EVAL", "while true do end", "0")))
        replica.wait_log("Slow script detected")
        wait_until(lambda: asked, 10, "the second connection")
        self.assertTrue(asked[0].startswith(b"PSYNC\r\n$1\r\n?\r\n"), asked)
        self.assertIn("A script of the master ran for too long and was stopped", replica.log()[before:])
        self.still_there(replica)
        self.end(replica)


def handshakes() -> Iterator[Rogue]:
    """Nothing comes of it before an image begins."""
    gone = "Master did not respond to command during SYNC handshake"
    yield Rogue(lambda session: None, gone)
    yield Rogue(leaves_after(b"PING\r\n"), gone)
    yield Rogue(leaves_after(b"psync2\r\n", b"+PONG\r\n"), gone)
    for line in (b"-ERR max number of clients reached", b"HTTP/1.1 400 Bad Request", b"*1", b"$4"):
        yield Rogue(instead_of_pong(line + b"\r\n\r\n"), f"Error reply to PING from master: '{line.decode()}'")
    yield Rogue(instead_of_pong(b"\x00\xff\r\n"), "Error reply to PING from master: ")
    yield Rogue(instead_of_pong(b"x" * 10_000), "Unexpected long line from MASTER: 'xxx")
    yield Rogue(refuses_password, "Unable to AUTH to MASTER: -WRONGPASS", password=True)
    yield Rogue(knows_nothing, "MASTER aborted replication with an error: ERR unknown command 'SYNC'")
    for line in (b"-NOMASTERLINK Can't SYNC", b"-LOADING Redis is loading"):
        text = f"Master is currently unable to PSYNC but should be in the future: {line.decode()}"
        yield Rogue(says(line + b"\r\n"), text)
    yield Rogue(says(b"", then_leaves=True), "Master did not reply to PSYNC, will try later")
    yield Rogue(says(b"+CONT" + b"x" * 5000), "Unexpected long line from MASTER")
    yield Rogue(says(b"*2\r\n-ERR no\r\n"), "Unexpected reply to PSYNC from master: *2")


def headers() -> Iterator[Rogue]:
    """The line with the id, and the line before the image."""
    short = b"\r\n$10000\r\nREDIS0009"
    for words in (
        b"",
        b" abc 0",
        b" %b 0" % (b"c" * 39),
        b" %b 0" % (b"c" * 41),
        b" %b 0" % (b"Z" * 40),
        b" %b" % REPLID.encode(),
        b" %b -5" % REPLID.encode(),
        b" %b 99999999999999999999" % REPLID.encode(),
        b" %b 0 0" % REPLID.encode(),
    ):
        yield Rogue(says(b"+FULLRESYNC" + words + short, then_leaves=True), WRONG_SYNTAX)
    marks = (b"$EOF:", b"$EOF:" + b"m" * 39, b"$EOF:" + b"m" * 41)
    for line in (b"+OK", b":5", b"*3", b"$", b"$-1", b"$1e3", b"$" + b"9" * 30, *marks):
        yield Rogue(says(FULL + line + b"\r\n"), NOT_DOLLAR + line.decode() + "'")
    yield Rogue(says(FULL + b"-ERR out of forks\r\n"), "MASTER aborted replication with an error: ERR out of forks")
    yield Rogue(says(FULL + b"$%d\r\n" % 10**17), NO_MEMORY)


def images() -> Iterator[Rogue]:
    """Documents that are none, or end too early, or too late."""
    whole = image(a="1" * 1000, b="2")
    foreign = b"".join(Encoder().encode([(77, b"k", b"v", None)], SnapshotInfo()))
    twice: list[Any] = [(0, b"k", b"v", None), (0, b"k", b"w", None)]
    double = b"".join(Encoder().encode(twice, SnapshotInfo()))
    for document, text in (
        (b"", FAILED),
        (b"\x00\xff" * 50_000, FAILED),
        (whole[:-8] + b"12345678", FAILED),
        (whole[:20] + b"\xff" + whole[21:], FAILED),
        (b"REDIS9999" + whole[9:], FAILED),
        (whole[:-500], "the data ends too early"),
        (whole + b"more", "there are bytes behind its end"),
        (foreign, "it holds database 77, this server has 16 databases"),
        (double, "a key comes twice in a database"),
        (b"REDIS0009\x00\x01k\x81" + b"\x7f" * 8 + b"x", FAILED),  # a string of more bytes than there are
    ):
        yield Rogue(says(counted(document)), text)
    lost = "I/O error trying to sync with MASTER: connection lost"
    yield Rogue(says(FULL + b"$%d\r\n" % len(whole) + whole[:-100], then_leaves=True), lost)
    yield Rogue(says(MARKED + whole + MARK[:-1], then_leaves=True), lost)
    # Larger than announced: what is behind the announced end would be the stream, if the image were whole.
    yield Rogue(says(FULL + b"$%d\r\n" % (len(whole) - 100) + whole), "the data ends too early")
    yield Rogue(says(MARKED + whole[:-500] + MARK), "the data ends too early")
    yield Rogue(says(MARKED + b"x" * 100_000 + MARK), FAILED)


def virtual_bytes(pid: int) -> int:
    """The size of the address space of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[0]) * resource.getpagesize()
