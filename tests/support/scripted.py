"""The two ends of a replication connection as scripts: a master and a replica that say exactly what a test wants.

``ScriptedMaster`` listens and plays one script per connection; ``ScriptedReplica`` is a connection to a server under
test. Both know the protocol only as bytes.
"""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Callable
from typing import Any

from replicad.persistence.interfaces import SnapshotInfo
from replicad.persistence.rdb import Decoder, Encoder
from tests.support.servers import HasCleanup, Node

REPLID = "c" * 40
MARK = b"m" * 40


def command(*words: str) -> bytes:
    """Return one command as it stands in the stream."""
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word.encode()) for word in words)


def image(**strings: str) -> bytes:
    """Return an RDB document with some strings in database 0."""
    entries: list[Any] = [(0, key.encode(), value.encode(), None) for key, value in strings.items()]
    return b"".join(Encoder().encode(entries, SnapshotInfo(replid=REPLID, offset=0, selected_db=0)))


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

    def __init__(self, case: HasCleanup, *scripts: Script) -> None:
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


class ScriptedReplica:
    """A connection that says what a replica says. ``read`` and ``until`` take bytes from what came."""

    def __init__(self, case: HasCleanup, master: Node) -> None:
        self.sock = socket.create_connection(("127.0.0.1", master.port), 10)
        case.addCleanup(self.sock.close)
        self.buffer = bytearray()

    def say(self, *lines: bytes) -> None:
        """Send raw bytes."""
        self.sock.sendall(b"".join(lines))

    def until(self, text: bytes) -> bytes:
        """Return everything up to and including ``text``."""
        seen = 0
        while (begin := self.buffer.find(text, seen)) < 0:
            seen = max(0, len(self.buffer) - len(text))
            self._more()
        return self._take(begin + len(text))

    def read(self, size: int) -> bytes:
        """Return exactly ``size`` bytes."""
        while len(self.buffer) < size:
            self._more()
        return self._take(size)

    def _take(self, size: int) -> bytes:
        taken = bytes(self.buffer[:size])
        del self.buffer[:size]
        return taken

    def _more(self) -> None:
        data = self.sock.recv(1 << 20)
        if not data:
            raise ConnectionError(f"closed; the last was {bytes(self.buffer[-200:])!r}")
        self.buffer += data

    def closed(self, timeout: float = 5.0) -> bool:
        """Whether the master closes within ``timeout`` seconds; what it still sends is dropped."""
        self.sock.settimeout(timeout)
        try:
            while self.sock.recv(65536):
                pass
        except TimeoutError:
            return False
        except OSError:
            pass
        return True

    def silent(self, seconds: float) -> bool:
        """Whether nothing comes for some time."""
        if self.buffer:
            return False
        self.sock.settimeout(seconds)
        try:
            self.buffer += self.sock.recv(65536)
        except TimeoutError:
            return True
        finally:
            self.sock.settimeout(10)
        return False

    def ack(self, offset: int) -> None:
        """Acknowledge."""
        self.say(command("REPLCONF", "ACK", str(offset)))

    def header(self) -> tuple[str, int]:
        """Read +FULLRESYNC, return its id and offset."""
        words = self.until(b"\r\n").lstrip(b"\n").split()
        assert words[0] == b"+FULLRESYNC" and len(words[1]) == 40, words
        return words[1].decode(), int(words[2])

    def marked_image(self) -> bytes:
        """Read an image with an end mark."""
        line = self.until(b"\r\n").lstrip(b"\n")
        assert re.fullmatch(rb"\$EOF:[0-9a-f]{40}\r\n", line), line
        return self.until(line[5:45])[:-40]

    def counted_image(self) -> bytes:
        """Read an image with its length."""
        line = self.until(b"\r\n").lstrip(b"\n")
        assert re.fullmatch(rb"\$\d+\r\n", line), line
        return self.read(int(line[1:]))


def keys(document: bytes) -> dict[bytes, Any]:
    """Return the keys of an RDB document, which must be whole."""
    decoder = Decoder()
    found = {key: value for _, key, value, _ in decoder.feed(document)}
    decoder.close()
    return found
