"""The stream of a master: bytes in, units of whole commands out.

A replica must know its offset exact to the byte, but only at the points where it may stop: behind a command, or
behind EXEC when a MULTI is open. So the reader returns *units*: the raw bytes, for the backlog and for chained
replicas, and the commands in them. A unit is applied as a whole, then its raw bytes are appended, and the offset
is right again. There are three kinds: a run of plain commands (usually all of one read from the socket), a group
from MULTI to EXEC, and a single REPLCONF, because the answer to GETACK must not count the GETACK itself.

Parsing is done by hiredis, which does not tell positions. They are recovered without counting every command. A
command ends in CRLF and the next one starts with ``*``, so each read is cut at its last CRLF-star. The part
before the cut is fed first: when the parser then holds no bytes back, the cut is a boundary. The part behind it
contains no boundary inside, so it is at most one command, complete or not. Only when a value happens to contain
CRLF-star at the wrong place, or for bare newlines (which Redis accepts in a stream and counts), ``parse_exactly``
looks at the bytes one by one.

A master that sends a status, a big number or a verbatim string in the place of an argument is not found out: hiredis
returns bytes for them, and looking for them costs as much as a quarter of the parsing. They are applied like strings.

``Reader.has_data`` alone would not do: it is False between two arguments of an incomplete command.
"""

from __future__ import annotations

import re
from itertools import chain
from operator import itemgetter

import hiredis

Argv = list[bytes]
Unit = tuple[bytes, list[Argv]]

MAX_ARGUMENTS = 1024 * 1024
DEFAULT_LIMIT = 1024 * 1024 * 1024

_GROUP_END = frozenset((b"EXEC", b"DISCARD"))
_SPECIAL = frozenset((b"MULTI", b"EXEC", b"DISCARD", b"REPLCONF"))
_ONLY_BYTES = {bytes}
# hiredis reserves memory for as many elements as a header promises, so headers of 8 digits must not reach it,
# and a header must not reach it in two pieces.
_HUGE = re.compile(rb"\*\d{8}")
_UNFINISHED = re.compile(rb"\r\Z|(?:\A|(?<=\n))\*\d{0,9}\Z")
# Length of "$<n>\r\n...\r\n" without the payload, by payload length.
_BULK_COST = tuple(len(str(size)) + 5 for size in range(1000))


class StreamError(Exception):
    """The master sent something that is not a stream of commands."""


def parse_exactly(data: bytes) -> tuple[list[Argv], list[int], int]:
    """Parse the complete commands at the start of ``data``.

    Returns the commands, the position behind each, and the number of bytes used: bare newlines and empty arrays
    are used but yield no command. Raises StreamError.
    """
    commands: list[Argv] = []
    ends: list[int] = []
    used = pos = 0
    size = len(data)
    while pos < size:
        first = data[pos]
        if first == 10:
            used = pos = pos + 1
            continue
        if first == 13:
            if pos + 1 == size:
                break
            if data[pos + 1] != 10:
                raise StreamError("Protocol error: expected '*'")
            used = pos = pos + 2
            continue
        if first != 42:
            raise StreamError("Protocol error: Master using the inline protocol. Desync?")
        count, pos = _header(data, pos, 42)
        if pos < 0:
            break
        if count > MAX_ARGUMENTS:
            raise StreamError("Protocol error: invalid multibulk length")
        argv: Argv = []
        for _ in range(count):
            if pos >= size:
                pos = -1
                break
            length, pos = _header(data, pos, 36)
            if pos < 0:
                break
            if length < 0:
                raise StreamError("Protocol error: invalid bulk length")
            end = pos + length + 2
            if end > size:
                pos = -1
                break
            if data[end - 2 : end] != b"\r\n":
                raise StreamError("Protocol error: argument longer than announced")
            argv.append(data[pos : end - 2])
            pos = end
        if pos < 0:
            break
        used = pos
        if argv:
            commands.append(argv)
            ends.append(pos)
    return commands, ends, used


def _header(data: bytes, pos: int, kind: int) -> tuple[int, int]:
    """Return (number, position behind the line) of a ``*n`` or ``$n`` line; the position is -1 when it is
    incomplete. Raises StreamError.
    """
    if data[pos] != kind:
        raise StreamError(f"Protocol error: expected '{chr(kind)}', got '{_printable(data[pos])}'")
    end = data.find(b"\r", pos, pos + 24)
    if end < 0:
        if len(data) - pos >= 24:
            raise StreamError("Protocol error: too big header")
        return 0, -1
    digits = data[pos + 1 : end]
    if not (digits.isdigit() or (digits[:1] == b"-" and digits[1:].isdigit())):
        raise StreamError("Protocol error: invalid length")
    if end + 1 == len(data):
        return 0, -1
    if data[end + 1] != 10:
        raise StreamError("Protocol error: invalid length")
    return int(digits), end + 2


def _printable(byte: int) -> str:
    return chr(byte) if 32 <= byte < 127 else f"\\x{byte:02x}"


class StreamReader:
    """Cuts the stream into units. ``limit``: most bytes of unfinished business (an incomplete command or an open
    MULTI) that are kept; more is a StreamError. After a StreamError the reader is unusable.
    """

    def __init__(self, limit: int = DEFAULT_LIMIT) -> None:
        self._limit = limit
        self._reader = hiredis.Reader()
        # Not given to the parser yet: the start of a header whose end has not arrived.
        self._held_back = b""
        # The bytes of an incomplete command; the parser has them too.
        self._partial: list[bytes] = []
        self._partial_size = 0
        # An open MULTI: its commands so far and their bytes.
        self._group: list[Argv] | None = None
        self._group_raw: list[bytes] = []
        self._group_size = 0

    @property
    def pending(self) -> int:
        """Number of bytes received that belong to no unit yet."""
        return self._partial_size + self._group_size + len(self._held_back)

    def feed(self, data: bytes) -> list[Unit]:
        """Return the units that ``data`` completes. Raises StreamError."""
        if self._held_back:
            data = self._held_back + data
            self._held_back = b""
        if data[-1:] != b"\n":
            tail = _UNFINISHED.search(data, max(0, len(data) - 12))
            if tail is not None:
                begin = tail.start()
                self._held_back = data[begin:]
                data = data[:begin]
        if not data:
            return []
        if not self._partial and data[0] != 42:
            return self._exactly(data)
        commands: list[Argv] = []
        cut = data.rfind(b"\r\n*") + 2
        try:
            if cut > 1:
                self._parse(data[:cut], commands)
                at_boundary = not self._reader.has_data()
                before = len(commands)
                self._parse(data[cut:], commands)
            else:
                at_boundary = False
                before = 0
                self._parse(data, commands)
            odd = set(map(type, chain.from_iterable(commands))) != _ONLY_BYTES
            names = set(map(itemgetter(0), commands)) if not odd else set()
        except (hiredis.ProtocolError, TypeError, LookupError, MemoryError):
            return self._exactly(self._joined(data))
        if not commands:
            self._partial.append(data)
            self._partial_size += len(data)
            self._check_limit()
            return []
        buf = self._joined(data)
        if odd:
            return self._exactly(buf)
        if len(commands) > before:
            used = len(buf)
        elif at_boundary:
            used = len(buf) - len(data) + cut
        else:
            return self._exactly(buf)
        self._keep(buf[used:])
        if self._group is None and _SPECIAL.isdisjoint([name.upper() for name in names]):
            return [(buf[:used], commands)]
        ends = _canonical_ends(commands)
        if ends[-1] != used:
            commands, ends, _ = parse_exactly(buf[:used])
        return self._split(buf, commands, ends, used)

    def _parse(self, data: bytes, commands: list[Argv]) -> None:
        reader = self._reader
        if _HUGE.search(data) is not None:
            begin = 0
            for match in _HUGE.finditer(data):
                self._drain(data[begin : match.start()], commands)
                begin = match.start()
                # Inside of a value the parser always holds bytes back; without any, this is a header.
                if not reader.has_data():
                    raise StreamError("Protocol error: invalid multibulk length")
            data = data[begin:]
        self._drain(data, commands)

    def _drain(self, data: bytes, commands: list[Argv]) -> None:
        reader = self._reader
        reader.feed(data)
        get = reader.gets
        while (argv := get()) is not False:
            commands.append(argv)

    def _joined(self, data: bytes) -> bytes:
        if not self._partial:
            return data
        self._partial.append(data)
        return b"".join(self._partial)

    def _keep(self, rest: bytes) -> None:
        self._partial = [rest] if rest else []
        self._partial_size = len(rest)
        self._check_limit()

    def _exactly(self, buf: bytes) -> list[Unit]:
        """Parse what follows the last boundary again, byte by byte, and start a new parser behind it."""
        commands, ends, used = parse_exactly(buf)
        self._reader = hiredis.Reader()
        rest = buf[used:]
        self._keep(rest)
        if rest:
            unfinished: list[Argv] = []
            try:
                self._parse(rest, unfinished)
            except hiredis.ProtocolError as error:
                raise StreamError(str(error)) from error
            if unfinished:
                raise StreamError("Protocol error: unexpected end of command")
        return self._split(buf, commands, ends, used)

    def _split(self, buf: bytes, commands: list[Argv], ends: list[int], used: int) -> list[Unit]:
        units: list[Unit] = []
        run: list[Argv] = []
        begin = before = 0
        for argv, end in zip(commands, ends, strict=True):
            name = argv[0].upper()
            if self._group is not None:
                self._group.append(argv)
                if name in _GROUP_END:
                    self._group_raw.append(buf[begin:end])
                    units.append((b"".join(self._group_raw), self._group))
                    self._group = None
                    self._group_raw = []
                    self._group_size = 0
                    begin = end
            elif name == b"MULTI" or name == b"REPLCONF":
                if run:
                    units.append((buf[begin:before], run))
                    begin = before
                    run = []
                if name == b"MULTI":
                    self._group = [argv]
                else:
                    units.append((buf[begin:end], [argv]))
                    begin = end
            else:
                run.append(argv)
            before = end
        if begin < used:
            if self._group is not None:
                self._group_raw.append(buf[begin:used])
                self._group_size += used - begin
                self._check_limit()
            else:
                units.append((buf[begin:used], run))
        return units

    def _check_limit(self) -> None:
        if self._partial_size + self._group_size > self._limit:
            raise StreamError("Protocol error: unfinished command or transaction of the master is too long")


def _canonical_ends(commands: list[Argv]) -> list[int]:
    """Return the position behind each command, if all are encoded without needless zeros."""
    ends = []
    position = 0
    cost = _BULK_COST
    for argv in commands:
        position += 3 + len(str(len(argv)))
        for argument in argv:
            size = len(argument)
            position += size + (cost[size] if size < 1000 else len(str(size)) + 5)
        ends.append(position)
    return ends
