"""A small blocking RESP2 and RESP3 client that hides nothing.

It has its own parser on purpose: a test that read replies with the parser of the server would not see its mistakes.
Every reply is available as a Python value and as the bytes that came over the wire. Used by everything in
``tests.support`` and by the interop tests; knows nothing of processes.

Python values of replies:

==================  ===========================================================
simple string       `Status` (a ``bytes``)
bulk string         ``bytes``
verbatim string     `Verbatim` (a ``bytes`` with the three letters of its format)
error               `RespError` (returned; raised only by `Connection.must`)
integer             ``int``
double              ``float``
boolean             ``bool``
null                ``None``
array               ``list``
push                `Push` (a ``list``)
map                 ``dict`` if the keys are hashable, else a list of pairs
set                 ``set`` if the members are hashable, else ``list``
==================  ===========================================================
"""

from __future__ import annotations

import socket
import time
from types import TracebackType
from typing import Any, Self


class Status(bytes):
    """A simple string such as ``+OK``; equal to the same bytes."""

    def __repr__(self) -> str:
        return f"+{self.decode(errors='backslashreplace')}"


class Verbatim(bytes):
    """A RESP3 verbatim string; the format, for example ``txt:``, stays in front."""


class Push(list[Any]):
    """A RESP3 out of band message."""


class RespError(Exception):
    """An error reply. ``text`` is the line without the minus sign. Two errors with the same text are equal."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RespError) and other.text == self.text

    def __hash__(self) -> int:
        return hash(self.text)

    def __repr__(self) -> str:
        return f"RespError({self.text!r})"


class Closed(Exception):
    """The server closed the connection."""


class NoReply(Exception):
    """The server sent nothing, or only a part of a reply, within the timeout."""


Argument = bytes | str | int | float


def as_bytes(argument: Argument) -> bytes:
    """An argument as it goes over the wire: text as UTF-8, numbers in their shortest decimal form."""
    if isinstance(argument, bytes):
        return argument
    if isinstance(argument, str):
        return argument.encode()
    return repr(argument).encode()


def encode_command(*args: Argument) -> bytes:
    """The array of bulk strings that carries one command."""
    parts = [b"*%d\r\n" % len(args)]
    for argument in args:
        data = as_bytes(argument)
        parts.append(b"$%d\r\n%s\r\n" % (len(data), data))
    return b"".join(parts)


class Connection:
    """One blocking connection.

    `timeout` (seconds) holds for every single wait; `resp` 3 sends ``HELLO 3`` first; `db` other than 0 is selected.
    """

    def __init__(
        self,
        port: int,
        host: str = "127.0.0.1",
        *,
        timeout: float = 10.0,
        resp: int = 2,
        db: int = 0,
        unix: str | None = None,
    ) -> None:
        self.timeout = timeout
        self._buffer = bytearray()
        self._pos = 0
        if unix is None:
            self.socket = socket.create_connection((host, port), timeout)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        else:
            self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self.socket.settimeout(timeout)
            self.socket.connect(unix)
        self.pushes: list[Push] = []
        if resp == 3:
            self.must("HELLO", "3")
        if db:
            self.must("SELECT", db)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the socket; harmless when done twice."""
        self.socket.close()

    # commands

    def call(self, *args: Argument) -> Any:
        """Send one command and return its reply; an error comes back as a `RespError` object."""
        self.send(*args)
        return self.read_reply()

    def call_raw(self, *args: Argument) -> tuple[Any, bytes]:
        """Like `call`, and the bytes of the reply."""
        self.send(*args)
        return self.read_reply_raw()

    def must(self, *args: Argument) -> Any:
        """Like `call`, but an error reply is raised."""
        reply = self.call(*args)
        if isinstance(reply, RespError):
            raise reply
        return reply

    def pipeline(self, *commands: tuple[Argument, ...]) -> list[Any]:
        """Send all commands in one write, then read as many replies."""
        self.send_raw(b"".join(encode_command(*command) for command in commands))
        return [self.read_reply() for _ in commands]

    def info(self, *sections: str) -> dict[str, str]:
        """INFO as a flat dictionary."""
        return parse_info(self.must("INFO", *sections))

    def send(self, *args: Argument) -> None:
        """Send one command and do not wait."""
        self.socket.sendall(encode_command(*args))

    def send_raw(self, data: bytes) -> None:
        """Send these very bytes."""
        self.socket.sendall(data)

    # replies

    def read_reply(self) -> Any:
        """The next reply. Raises `NoReply` after the timeout and `Closed` at the end of the stream."""
        return self.read_reply_raw()[0]

    def read_reply_raw(self) -> tuple[Any, bytes]:
        """The next reply and its bytes. Push messages are collected in `pushes` when a command waits (RESP3)."""
        del self._buffer[: self._pos]
        self._pos = 0
        try:
            value = self._parse()
        except (NoReply, Closed):
            self._pos = 0
            raise
        return value, bytes(self._buffer[: self._pos])

    def read_answer(self) -> Any:
        """The next reply that is not a push message; those go to `pushes`."""
        while True:
            reply = self.read_reply()
            if not isinstance(reply, Push):
                return reply
            self.pushes.append(reply)

    def recv_raw(self, count: int | None = None) -> bytes:
        """`count` bytes exactly, or without `count` whatever is there, at least one byte."""
        if count is None:
            if self._pos == len(self._buffer):
                self._fill()
            count = len(self._buffer) - self._pos
        return bytes(self._exactly(count))

    def recv_until_closed(self) -> bytes:
        """Everything up to the end of the stream; `NoReply` when the peer leaves it open."""
        deadline = time.monotonic() + self.timeout
        while True:
            try:
                self._fill()
            except Closed:
                data = bytes(self._buffer[self._pos :])
                self._pos = len(self._buffer)
                return data
            if time.monotonic() > deadline:
                raise NoReply(f"the peer goes on sending after {self.timeout} s")

    def recv_silence(self, seconds: float) -> bytes:
        """What came within `seconds`; empty when the peer kept silent. The end of the stream raises `Closed`."""
        if self._pos == len(self._buffer):
            self.socket.settimeout(seconds)
            try:
                self._fill()
            except NoReply:
                return b""
            finally:
                self.socket.settimeout(self.timeout)
        return self.recv_raw()

    def is_closed(self) -> bool:
        """Whether the peer closed the connection by now; does not wait and keeps what was received."""
        self.socket.setblocking(False)
        try:
            while True:
                data = self.socket.recv(65536)
                if not data:
                    return True
                self._buffer += data
        except BlockingIOError:
            return False
        except OSError:
            return True
        finally:
            self.socket.settimeout(self.timeout)

    # parser

    def _fill(self) -> None:
        try:
            data = self.socket.recv(262144)
        except TimeoutError:
            pending = bytes(self._buffer[self._pos :][:200])
            raise NoReply(f"no complete reply within {self.timeout} s, pending: {pending!r}") from None
        except ConnectionError as error:
            raise Closed(str(error)) from None
        if not data:
            raise Closed(f"closed by the server, pending: {bytes(self._buffer[self._pos :][:200])!r}")
        self._buffer += data

    def _line(self) -> bytes:
        start = self._pos
        while True:
            end = self._buffer.find(b"\r\n", start)
            if end >= 0:
                line = bytes(self._buffer[self._pos : end])
                self._pos = end + 2
                return line
            start = max(self._pos, len(self._buffer) - 1)
            self._fill()

    def _exactly(self, count: int) -> bytearray:
        while len(self._buffer) - self._pos < count:
            self._fill()
        data = self._buffer[self._pos : self._pos + count]
        self._pos += count
        return data

    def _bulk(self, length: int) -> bytes:
        data = bytes(self._exactly(length))
        if bytes(self._exactly(2)) != b"\r\n":
            raise AssertionError(f"a string of {length} bytes is not followed by CRLF")
        return data

    def _parse(self) -> Any:
        line = self._line()
        kind, rest = line[:1], line[1:]
        if kind == b"+":
            return Status(rest)
        if kind == b"-":
            return RespError(rest.decode("utf-8", "backslashreplace"))
        if kind in (b":", b"("):
            return int(rest)
        if kind == b"$":
            return None if rest == b"-1" else self._bulk(int(rest))
        if kind == b"*":
            return None if rest == b"-1" else [self._parse() for _ in range(int(rest))]
        if kind == b"_":
            return None
        if kind == b"#":
            return {b"t": True, b"f": False}[rest]
        if kind == b",":
            return float(rest)
        if kind == b"=":
            return Verbatim(self._bulk(int(rest)))
        if kind == b"!":
            return RespError(self._bulk(int(rest)).decode("utf-8", "backslashreplace"))
        if kind == b">":
            return Push(self._parse() for _ in range(int(rest)))
        if kind == b"%":
            pairs = [(self._parse(), self._parse()) for _ in range(int(rest))]
            try:
                return dict(pairs)
            except TypeError:
                return pairs
        if kind == b"~":
            members = [self._parse() for _ in range(int(rest))]
            try:
                return set(members)
            except TypeError:
                return members
        if kind == b"|":
            for _ in range(2 * int(rest)):
                self._parse()
            return self._parse()
        raise AssertionError(f"not a RESP reply: {line[:200]!r}")


def parse_info(text: bytes) -> dict[str, str]:
    """The lines ``name:value`` of an INFO reply; section headers are left out."""
    fields = {}
    for line in text.decode("utf-8", "backslashreplace").split("\r\n"):
        name, colon, value = line.partition(":")
        if colon and not line.startswith("#"):
            fields[name] = value
    return fields
