"""Strings as rows of bits: SETBIT, GETBIT, BITCOUNT, BITPOS, BITOP.

Owns: single bits, counting, searching and combining, and ``splice``.  Does not own bit fields (``bitfields``).  Bit 0 is the
most significant bit of the first byte.

Whole strings are never walked bit by bit: counting, searching and combining run in slices that fit the processor's cache,
each slice one operation of CPython's C code.

A string is ``bytes``, so a change of one bit copies it, where a real server needs a microsecond: 10 us up to 100 KB, 0.1 ms
at a megabyte, 1 to 10 ms at 10 MB, 100 ms at 100 MB (the memory is new each time, and its pages cost more than the copy).
Rejected: a second, mutable kind of string for those that are written often.  Every place that asks for ``bytes`` would have
to know it, GET would copy instead, and a snapshot taken in slices would see half of a change.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from replicad.command import command
from replicad.commands.arguments import integer
from replicad.errors import SYNTAX, ReplyError, err
from replicad.notifications import STRING, report

if TYPE_CHECKING:
    from replicad.session import Client

_ONE = (1, 1, 1)
_SLICE = 1 << 16

BAD_OFFSET = err("bit offset is not an integer or out of range")
_BAD_BIT = err("bit is not an integer or out of range")
_BAD_SEARCH = err("The bit argument must be 1 or 0.")
_ONE_SOURCE = err("BITOP NOT must be called with a single source key.")

_COMPLEMENT = bytes(255 - byte for byte in range(256))
_EMPTY_SLICES = {0: bytes(_SLICE), 1: b"\xff" * _SLICE}  #: by the bit they are full of
_UNITS = {b"BYTE": False, b"BIT": True}


def splice(old: bytes, at: int, patch: bytes | bytearray) -> bytes:
    """``old`` with ``patch`` written over it from byte ``at`` on; grows with zero bytes where needed.  Copies once."""
    end = at + len(patch)
    if len(old) < 4096:
        return old[:at].ljust(at, b"\0") + patch + old[end:]
    view = memoryview(old)
    return b"".join((view[:at], bytes(max(at - len(old), 0)), patch, view[end:]))


def bit_offset(client: Client, text: bytes, error: ReplyError = BAD_OFFSET) -> int:
    """The position of a bit: not negative, and inside the longest string allowed (which only a master may exceed)."""
    offset = integer(text, error)
    if offset < 0 or (offset >> 3 >= client.server.settings["proto-max-bulk-len"] and not client.is_master):
        raise error
    return offset


@command(b"SETBIT", 4, "write denyoom", _ONE, group="bitmap", since="2.2.0")
def setbit(client: Client, argv: list[bytes]) -> int:
    """Sets or clears one bit of a string, which grows as needed, and returns the bit that was there before.

    SETBIT key offset value
    """
    offset = bit_offset(client, argv[2])
    bit = integer(argv[3], _BAD_BIT)
    if bit != 0 and bit != 1:
        raise _BAD_BIT
    db, key = client.db, argv[1]
    value = db.writable(key, bytes)
    at, mask = offset >> 3, 128 >> (offset & 7)
    if value is None:
        db.put(key, bytes(at) + (b"%c" % (mask if bit else 0)))
        client.server.dirty += 1
        report(client, STRING, b"setbit", key)
        return 0
    byte = value[at] if at < len(value) else 0
    old = 1 if byte & mask else 0
    if old != bit or at >= len(value):
        db.put_keeping(key, splice(value, at, b"%c" % (byte ^ mask if old != bit else byte)))
        client.server.dirty += 1
        report(client, STRING, b"setbit", key)
    return old


@command(b"GETBIT", 3, "readonly fast", _ONE, group="bitmap", since="2.2.0")
def getbit(client: Client, argv: list[bytes]) -> int:
    """Returns one bit of a string; 0 beyond its end.

    GETBIT key offset
    """
    offset = bit_offset(client, argv[2])
    value = client.db.read(argv[1], bytes)
    if value is None or offset >> 3 >= len(value):
        return 0
    return value[offset >> 3] >> (7 - (offset & 7)) & 1


def _clamped(start: int, end: int, size: int) -> tuple[int, int]:
    """The first and the last unit of a range in which negative ones count from the end."""
    if start < 0:
        start = max(start + size, 0)
    if end < 0:
        end = max(end + size, 0)
    return start, min(end, size - 1)


def _unit(text: bytes) -> bool:
    """Whether a range is in bits."""
    in_bits = _UNITS.get(text.upper())
    if in_bits is None:
        raise SYNTAX
    return in_bits


def _ones(value: bytes, first: int, stop: int) -> int:
    """The number of one bits in the bytes from ``first`` up to ``stop``."""
    number = int.from_bytes
    if stop - first <= _SLICE:
        return number(value[first:stop], "little").bit_count()
    return sum([number(value[at : min(at + _SLICE, stop)], "little").bit_count() for at in range(first, stop, _SLICE)])


@command(b"BITCOUNT", -2, "readonly", _ONE, group="bitmap", since="2.6.0")
def bitcount(client: Client, argv: list[bytes]) -> int:
    """Counts the one bits of a string or of a part of it, given in bytes or in bits.

    BITCOUNT key [start end [BYTE | BIT]]
    """
    value = client.db.read(argv[1], bytes)
    if value is None:
        return 0
    if len(argv) == 2:
        return _ones(value, 0, len(value))
    if len(argv) not in (4, 5):
        raise SYNTAX
    start, end = integer(argv[2]), integer(argv[3])
    in_bits = len(argv) == 5 and _unit(argv[4])
    if start < 0 and end < 0 and start > end:
        return 0
    start, end = _clamped(start, end, len(value) << 3 if in_bits else len(value))
    if start > end:
        return 0
    if not in_bits:
        return _ones(value, start, end + 1)
    first, last = start >> 3, end >> 3
    before = value[first] >> (8 - (start & 7))
    behind = value[last] & (127 >> (end & 7))
    return _ones(value, first, last + 1) - before.bit_count() - behind.bit_count()


@command(b"BITPOS", -3, "readonly", _ONE, group="bitmap", since="2.8.7")
def bitpos(client: Client, argv: list[bytes]) -> int:
    """Returns the position of the first bit that is 1 or 0, in a string or in a part of it; -1 when there is none.

    BITPOS key bit [start [end [BYTE | BIT]]]

    Without an end a string is followed by zeros without end.
    """
    bit = integer(argv[2])
    if bit != 0 and bit != 1:
        raise _BAD_SEARCH
    value = client.db.read(argv[1], bytes)
    if value is None:
        return -1 if bit else 0
    size = len(value)
    start, end = 0, size - 1
    has_end = in_bits = False
    if len(argv) > 3:
        if len(argv) > 6:
            raise SYNTAX
        start = integer(argv[3])
        if len(argv) == 6:
            in_bits = _unit(argv[5])
        has_end = len(argv) > 4
        length = size << 3 if in_bits else size
        start, end = _clamped(start, integer(argv[4]) if has_end else length - 1, length)
    if start > end:
        return -1
    if not in_bits:
        start, end = start << 3, (end << 3) + 7
    found = _first(value, bit, start, end)
    if found < 0 and not bit and not has_end:
        return size << 3
    return found


def _first(value: bytes, bit: int, start: int, end: int) -> int:
    """The first bit from ``start`` to ``end`` (both included) that equals ``bit``; -1 when there is none."""
    at, last = start >> 3, end >> 3
    flip = 0 if bit else 255
    byte = (value[at] ^ flip) & (255 >> (start & 7))
    if not byte:
        empty = _EMPTY_SLICES[1 - bit]
        at += 1
        while at + _SLICE <= last and value[at : at + _SLICE] == empty:
            at += _SLICE
        part = value[at : min(at + _SLICE, last + 1)]
        rest = part.lstrip(b"\xff" if flip else b"\0")
        if not rest:
            return -1
        at += len(part) - len(rest)
        byte = value[at] ^ flip
    found = (at << 3) + 8 - byte.bit_length()
    return found if found <= end else -1


def _combined(operation: bytes, values: list[bytes]) -> bytes:
    """The bitwise combination; shorter strings go on with zeros up to the longest."""
    if operation == b"NOT":
        return values[0].translate(_COMPLEMENT)
    if len(values) == 1:
        return values[0]
    size = max(map(len, values))
    number = int.from_bytes
    out = []
    for at in range(0, size, _SLICE):
        stop = min(at + _SLICE, size)
        total = number(values[0][at:stop], "little")
        if operation == b"AND":
            for value in values[1:]:
                total &= number(value[at:stop], "little")
        elif operation == b"OR":
            for value in values[1:]:
                total |= number(value[at:stop], "little")
        else:
            for value in values[1:]:
                total ^= number(value[at:stop], "little")
        out.append(total.to_bytes(stop - at, "little"))
    return b"".join(out)


@command(b"BITOP", -4, "write denyoom", (2, -1, 1), group="bitmap", since="2.6.0")
def bitop(client: Client, argv: list[bytes]) -> int:
    """Combines strings bit by bit, stores the result under another key and returns its length.

    BITOP operation destkey key [key ...]
    """
    operation = argv[1].upper()
    if operation not in (b"AND", b"OR", b"XOR", b"NOT"):
        raise SYNTAX
    if operation == b"NOT" and len(argv) != 4:
        raise _ONE_SOURCE
    db = client.db
    result = _combined(operation, [db.read(key, bytes) or b"" for key in argv[3:]])
    if result:
        db.put(argv[2], result)
        client.server.dirty += 1
        report(client, STRING, b"set", argv[2])
    elif db.drop(argv[2]):
        client.server.dirty += 1
    return len(result)
