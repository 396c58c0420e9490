"""RESP: requests in, replies out, commands for the replication stream.

Owns: ``RequestReader`` (bytes to argument lists, with Redis's limits and error texts), the reply encoders for RESP2 and
RESP3, ``encode_command``.  Does not own sockets or what a command means.  Called by dispatch, client, propagation, link.

Requests.  hiredis parses a command in 0.1-0.2 us, a Python parser in 1.4 us, so hiredis does the work.  It is a reply
parser, though: it knows no inline commands, accepts integers and nested arrays as arguments, knows no limits, and does
not tell positions.  So ``feed`` lets it run over everything that looks ordinary, checks what came out, and turns to the
small exact scanner below only when something is odd: a line that is no array, an argument that is no bulk string, or a
command that is not complete yet.  The scanner produces Redis's error texts and enforces its limits.  Rejected: checking
before hiredis (a Python pass over every command), and a lenient server (clients and tests look at these errors).

Replies.  A handler returns a plain Python value, encoded thus:

====================  ==========================  =================================
value                 RESP2                       RESP3
====================  ==========================  =================================
bytes                 bulk string                 bulk string
int                   integer                     integer
None                  null bulk string            null
NULL_ARRAY            null array                  null
list                  array                       array
tuple of bytes only   array of bulk strings       the same (the fast way)
dict                  flat array                  map
set, frozenset        array                       set
float                 bulk string                 double
bool                  integer 1 / 0               boolean
Simple                simple string               simple string
Wire (OK, ...)        its bytes as they are       its bytes as they are
Push                  array                       push
Verbatim              bulk string                 verbatim string (txt)
ReplyError            error (inside EXEC)         error
Replies               its elements one after another, no frame (SUBSCRIBE a b)
====================  ==========================  =================================
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any

import hiredis

from replicad.errors import ProtocolError, ReplyError, clean

MAX_ARGUMENTS = 1024 * 1024
MAX_INLINE = 64 * 1024
UNAUTHENTICATED_ARGUMENTS = 10
UNAUTHENTICATED_BULK = 16384

# hiredis does not tell whether it stands between two commands: has_data() is also false in the middle of an array.  So
# an integer follows each read; it comes out as a reply of its own exactly when nothing is incomplete before it.
_MARK_VALUE = int.from_bytes(os.urandom(7), "big")
_MARK = b":%d\r\n" % _MARK_VALUE


class Wire(bytes):
    """A reply that is already encoded, equal in both protocol versions."""


class Simple(bytes):
    """A simple string reply (``+text``)."""


class Verbatim(bytes):
    """Text for people: a verbatim string in RESP3, a bulk string in RESP2 (INFO, CLIENT LIST)."""


class Push(list):  # type: ignore[type-arg]
    """An out-of-band message: push in RESP3, array in RESP2."""


class Replies(list):  # type: ignore[type-arg]
    """Several replies to one command, in order, without a frame around them."""


class NullArray:
    """The type of ``NULL_ARRAY``."""


class NoReply:
    """The type of ``NO_REPLY`` and ``BLOCKED``."""


OK = Wire(b"+OK\r\n")
PONG = Wire(b"+PONG\r\n")
QUEUED = Wire(b"+QUEUED\r\n")
NULL_ARRAY = NullArray()
#: The command has no reply at all (REPLCONF ACK).
NO_REPLY = NoReply()
#: The client waits; its reply comes later through ``client.unblock``.
BLOCKED = NoReply()

#: A tuple of bytes as an array of bulk strings, in C.
pack: Callable[[tuple[Any, ...]], bytes] = hiredis.pack_command

_NULL2 = b"$-1\r\n"
_NULL3 = b"_\r\n"


def encode_command(argv: Sequence[bytes]) -> bytes:
    """``argv`` as an array of bulk strings, the form of the replication stream."""
    if len(argv) == 3:  # 185 ns instead of 255: every plain SET comes this way
        a, b, c = argv
        return b"*3\r\n$%d\r\n%b\r\n$%d\r\n%b\r\n$%d\r\n%b\r\n" % (len(a), a, len(b), b, len(c), c)
    return pack(tuple(argv))


def encoded_length(argv: Sequence[bytes]) -> int:
    """The number of bytes of ``encode_command(argv)``."""
    total = 3 + len(str(len(argv)))
    for arg in argv:
        n = len(arg)
        total += 5 + n + len(str(n))
    return total


#: The bytes of an array header and of a bulk string by count and length, for the usual ones.
_HEADER_LENGTHS = [3 + len(str(count)) for count in range(64)]
_BULK_LENGTHS = [5 + length + len(str(length)) for length in range(1024)]


def total_length(commands: list[list[bytes]]) -> int:
    """The sum of ``encoded_length`` over ``commands``; a loop in C, six times as fast, when nothing is large."""
    try:
        bulks = sum(map(_BULK_LENGTHS.__getitem__, map(len, chain.from_iterable(commands))))
        return bulks + sum(map(_HEADER_LENGTHS.__getitem__, map(len, commands)))
    except IndexError:
        return sum(map(encoded_length, commands))


def format_double(value: float) -> bytes:
    """``value`` as Redis 7.0 prints a score: 17 significant digits, no trailing zeros, integers below 1e17 in full."""
    return b"%.17g" % value


def encode_error(text: bytes) -> bytes:
    """An error line."""
    return b"-%b\r\n" % text


#: The end of a bulk string and the header of the next one by its length.
_BETWEEN = [b"\r\n$%d\r\n" % length for length in range(1024)]


def bulks(value: tuple[bytes, ...]) -> bytes:
    """``value`` as an array of bulk strings, from some thirty elements on faster than ``pack``, twice at hundreds.

    The headers are looked up in a loop in C and put between the elements by one assignment to a slice.  Elements of one
    length (numbers, ids, hashes) share their header, so one join does it in half the time.
    """
    count = len(value)
    length = len(value[0])
    if length == len(value[-1]) == len(value[count >> 1]) and set(map(len, value)) == {length}:
        head = b"$%d\r\n" % length
        return b"*%d\r\n%b%b\r\n" % (count, head, (b"\r\n" + head).join(value))
    out = [b"*%d" % count] * (2 * count + 2)
    try:
        out[1:-1:2] = map(_BETWEEN.__getitem__, map(len, value))
    except IndexError:  # a long element
        return pack(value)
    out[2:-1:2] = value
    out[-1] = b"\r\n"
    return b"".join(out)


def encode(value: Any, resp: int) -> bytes:
    """One reply as bytes for protocol version ``resp`` (2 or 3); the table in the module docstring is the rule."""
    kind = type(value)
    if kind is bytes:
        return b"$%d\r\n%b\r\n" % (len(value), value)
    if kind is Wire:
        return bytes(value)
    if kind is int:
        return b":%d\r\n" % value
    if value is None:
        return _NULL2 if resp == 2 else _NULL3
    if kind is tuple:
        return bulks(value) if len(value) > 32 else pack(value) if value else b"*0\r\n"
    if kind is list:
        return b"*%d\r\n" % len(value) + b"".join([encode(item, resp) for item in value])
    return _encode_rare(value, kind, resp)


def _encode_rare(value: Any, kind: type, resp: int) -> bytes:
    if kind is dict:
        items = b"".join([encode(x, resp) for pair in value.items() for x in pair])
        return (b"*%d\r\n" % (2 * len(value)) if resp == 2 else b"%%%d\r\n" % len(value)) + items
    if kind is Simple:
        return b"+%b\r\n" % value
    if kind is NullArray:
        return b"*-1\r\n" if resp == 2 else _NULL3
    if kind is set or kind is frozenset:
        head = b"*%d\r\n" if resp == 2 else b"~%d\r\n"
        return head % len(value) + b"".join([encode(item, resp) for item in value])
    if kind is float:
        text = format_double(value)
        return b"$%d\r\n%b\r\n" % (len(text), text) if resp == 2 else b",%b\r\n" % text
    if kind is bool:
        if resp == 2:
            return b":1\r\n" if value else b":0\r\n"
        return b"#t\r\n" if value else b"#f\r\n"
    if kind is Verbatim:
        return b"$%d\r\n%b\r\n" % (len(value), value) if resp == 2 else b"=%d\r\ntxt:%b\r\n" % (len(value) + 4, value)
    if kind is Push:
        head = b"*%d\r\n" if resp == 2 else b">%d\r\n"
        return head % len(value) + b"".join([encode(item, resp) for item in value])
    if kind is Replies:
        return b"".join([encode(item, resp) for item in value])
    if isinstance(value, ReplyError):
        return encode_error(value.text)
    if kind is NoReply:
        return b""
    raise TypeError(f"no RESP form for {kind.__name__}")


class RequestReader:
    """Turns what a client sends into argument lists; sans-IO.

    ``max_bulk`` is proto-max-bulk-len.  While ``restricted`` is true the limits for clients that have not
    authenticated hold (10 arguments of 16 KB).  ``pending`` is the number of bytes of the command that is not complete.
    """

    __slots__ = ("_reader", "_scan", "_tail", "exact", "max_bulk", "pending", "restricted")

    def __init__(self, max_bulk: int = 512 * 1024 * 1024, restricted: bool = False) -> None:
        self._reader = hiredis.Reader()
        self._tail = b""  # an incomplete line, or the start of a command whose header is incomplete
        self._scan: _Scanner | None = None  # watches over the command that hiredis holds a part of
        self.max_bulk = max_bulk
        self.restricted = restricted
        self.pending = 0
        #: What was fed last was nothing but whole commands, and probably in canonical form.
        self.exact = False

    def feed(self, data: bytes) -> list[list[bytes]]:
        """The commands that ``data`` completes, in order.

        Raises ProtocolError with Redis's text; its ``commands`` came before the break.
        """
        self.exact = False
        if self._scan is None and not self._tail and data[0] == 42 and not self.restricted:  # "*"
            reader = self._reader
            reader.feed(data)
            reader.feed(_MARK)
            gets = reader.gets
            commands: list[list[bytes]] = []
            try:
                while type(argv := gets()) is list:
                    commands.append(argv)
                    for arg in argv:
                        if type(arg) is not bytes:
                            commands.pop()
                            raise hiredis.ProtocolError
            except (hiredis.HiredisError, MemoryError, TypeError, ValueError):
                # Broken, or the mark fell into a header or behind a payload: the scanner tells which.  TypeError and
                # ValueError come from forms of RESP3: a map whose key is a list cannot become a dict.
                argv = None
            # a status (+) or verbatim argument also comes out as bytes; Redis refuses it, so look closer
            # (one byte is found by memchr in 15 ns, two bytes take 100 ns)
            odd = (43 in data and b"\n+" in data) or (61 in data and b"\n=" in data) or (40 in data and b"\n(" in data)
            if not all(commands):
                return self._again(data)
            if argv == _MARK_VALUE:
                # random data holds such a pair every 20 KB; only real bulk strings have this length
                if odd and total_length(commands) != len(data):
                    return self._again(data)
                self.exact = not odd
                return commands
            # the last command is incomplete and has swallowed the mark
            consumed = total_length(commands)
            if consumed > len(data):  # it looks complete: its last payload ends with the mark
                consumed -= encoded_length(commands.pop())
            rest = data[consumed:]
            if rest[:1] != b"*" or (consumed and data[consumed - 1] != 10):
                # lengths were not written canonically, or an inline command follows
                return self._again(data)
            scan = _Scanner(self.max_bulk)
            try:
                end = scan.advance(rest, 0)
            except ProtocolError as error:
                error.commands = commands
                raise
            if end >= 0:
                return self._again(data)
            self._reader = hiredis.Reader()
            self._reader.feed(rest)
            self._scan = scan
            self.pending = len(rest)
            return commands
        if self._scan is None and not self._tail and not self.restricted and self._plain_lines(data):
            return [words for line in data.split(b"\n") if (words := line.split())]
        return self._feed_exactly(data)

    @staticmethod
    def _plain_lines(data: bytes) -> bool:
        """Whether ``data`` is nothing but whole inline commands without quotes (redis-benchmark's PING, people)."""
        return (
            data[-1] == 10
            and len(data) <= MAX_INLINE
            and 42 not in data  # "*" may begin an array
            and 34 not in data
            and 39 not in data
            and 0 not in data
        )

    def _again(self, data: bytes) -> list[list[bytes]]:
        """Start over with ``data``, which began at a command boundary, by the exact way."""
        self._reader = hiredis.Reader()
        self._scan = None
        return self._feed_exactly(data)

    def _feed_exactly(self, data: bytes) -> list[list[bytes]]:
        """Command by command: inline lines, unusual forms, unauthenticated clients, parts of commands."""
        commands: list[list[bytes]] = []
        position = 0
        carried = self._scan is not None
        if self._tail:
            data = self._tail + data
            self._tail = b""
        try:
            while position < len(data) or self._scan is not None:
                scan = self._scan
                if scan is None:
                    if data[position] != 42:
                        end = data.find(b"\n", position)
                        if end < 0:
                            if len(data) - position > MAX_INLINE:
                                raise ProtocolError(b"too big inline request")
                            self._tail = data[position:]
                            break
                        if end - position > MAX_INLINE:
                            raise ProtocolError(b"too big inline request")
                        argv = split_line(data[position:end])
                        if argv is None:
                            raise ProtocolError(b"unbalanced quotes in request")
                        if argv:
                            commands.append(argv)
                        position = end + 1
                        continue
                    scan = _Scanner(self.max_bulk, self.restricted)
                    self._scan = scan
                    self.pending = 0
                    self._reader = hiredis.Reader()
                end = scan.advance(data, position)
                piece = data[position:] if end < 0 else data[position:end]
                if scan.count > 0 or end < 0:
                    self._reader.feed(piece)
                if end < 0:
                    self.pending += len(piece)
                    break
                position = end
                self._scan = None
                self.pending = 0
                if scan.count > 0:
                    commands.append(self._reader.gets())
                if self.restricted and commands:
                    # AUTH may lift the restriction: the caller executes, then feeds the rest
                    self._tail = data[position:]
                    break
                if carried and position < len(data):
                    # the last read ended inside of a command; behind its end the fast way is open again
                    self._reader = hiredis.Reader()
                    return commands + self.feed(data[position:])
                carried = False
        except ProtocolError as error:
            error.commands = commands + error.commands
            raise
        if not self._tail and self._scan is None:
            self._reader = hiredis.Reader()
        return commands

    def more(self) -> list[list[bytes]]:
        """The next commands out of bytes that were fed while ``restricted``; [] when there are none."""
        if not self._tail:
            return []
        data, self._tail = self._tail, b""
        return self.feed(data)


class _Scanner:
    """Follows one array of bulk strings exactly, over any number of pieces, and enforces the limits.

    ``advance`` returns the position behind the command, or -1 when all of the data belongs to it.  Only headers are
    looked at; payloads are skipped.  ``count`` is the number of arguments, 0 or less for an empty command.  What it lets
    pass hiredis reads too: canonical numbers, lines that end with CRLF.
    """

    __slots__ = ("_line", "_max_bulk", "_skip", "_unauthenticated", "count", "left")

    def __init__(self, max_bulk: int, unauthenticated: bool = False) -> None:
        self._max_bulk = max_bulk
        self._unauthenticated = unauthenticated
        self._line = b""
        self._skip = 0
        self.count = -1
        self.left = -1  # arguments still to come, -1 before the array header

    def advance(self, data: bytes, position: int) -> int:
        end = len(data)
        while True:
            if self._skip:
                step = min(self._skip, end - position)
                self._skip -= step
                position += step
                if self._skip:
                    return -1
                continue
            if self.left == 0:
                return position
            newline = data.find(b"\n", position)
            if newline < 0:
                self._line += data[position:]
                if len(self._line) > MAX_INLINE:
                    raise ProtocolError(
                        b"too big mbulk count string" if self.left < 0 else b"too big bulk count string"
                    )
                return -1
            line = self._line + data[position : newline + 1]
            self._line = b""
            position = newline + 1
            if self.left < 0:
                self._array_header(line)
            else:
                self._bulk_header(line)

    def _array_header(self, line: bytes) -> None:
        number = _integer(line[1:-2]) if line.endswith(b"\r\n") else None
        if number is None or number > 2147483647:
            raise ProtocolError(b"invalid multibulk length")
        if self._unauthenticated and number > UNAUTHENTICATED_ARGUMENTS:
            raise ProtocolError(b"unauthenticated multibulk length")
        if number > MAX_ARGUMENTS:
            raise ProtocolError(b"invalid multibulk length")
        self.count = number
        self.left = max(number, 0)

    def _bulk_header(self, line: bytes) -> None:
        if line[:1] != b"$":
            raise ProtocolError(b"expected '$', got '%b'" % clean(line[:1]))
        number = _integer(line[1:-2]) if line.endswith(b"\r\n") else None
        if number is None or not 0 <= number <= self._max_bulk:
            raise ProtocolError(b"invalid bulk length")
        if self._unauthenticated and number > UNAUTHENTICATED_BULK:
            raise ProtocolError(b"unauthenticated bulk length")
        self._skip = number + 2
        self.left -= 1


def _integer(text: bytes) -> int | None:
    """``text`` as a canonical decimal 64-bit integer, or None (Redis's string2ll)."""
    if len(text) > 20 or not text or (text[:1] == b"0" and len(text) > 1) or not text.lstrip(b"-").isdigit():
        return None
    if text.count(b"-") > 1 or text[:2] == b"-0":
        return None
    number = int(text)
    return number if -(1 << 63) <= number < 1 << 63 else None


_ESCAPES = {110: b"\n", 114: b"\r", 116: b"\t", 98: b"\b", 97: b"\a"}
_HEX = b"0123456789abcdefABCDEF"
_BLANK = b" \t\n\r\v\f\0"


def split_line(line: bytes) -> list[bytes] | None:
    """The words of an inline command or a configuration line: blanks separate, quotes and escapes as in Redis.

    Returns None when quotes are unbalanced or a closing quote is not followed by a blank.
    """
    if b'"' not in line and b"'" not in line:
        return line.replace(b"\0", b" ").split()
    out: list[bytes] = []
    i, n = 0, len(line)
    while True:
        while i < n and line[i] in _BLANK:
            i += 1
        if i >= n:
            return out
        word = bytearray()
        quote = 0
        while True:
            if i >= n:
                if quote:
                    return None
                break
            c = line[i]
            if quote == 34:
                if c == 92 and i + 3 < n and line[i + 1] == 120 and line[i + 2] in _HEX and line[i + 3] in _HEX:
                    word.append(int(line[i + 2 : i + 4], 16))
                    i += 3
                elif c == 92 and i + 1 < n:
                    i += 1
                    word += _ESCAPES.get(line[i], line[i : i + 1])
                elif c == 34:
                    if i + 1 < n and line[i + 1] not in _BLANK:
                        return None
                    i += 1
                    break
                else:
                    word.append(c)
            elif quote == 39:
                if c == 92 and i + 1 < n and line[i + 1] == 39:
                    i += 1
                    word.append(39)
                elif c == 39:
                    if i + 1 < n and line[i + 1] not in _BLANK:
                        return None
                    i += 1
                    break
                else:
                    word.append(c)
            elif c in _BLANK:
                break
            elif c in (34, 39):
                quote = c
            else:
                word.append(c)
            i += 1
        out.append(bytes(word))
