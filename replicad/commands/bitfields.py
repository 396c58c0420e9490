"""BITFIELD and BITFIELD_RO: integers of any width at any bit of a string.

Owns: the types, the three ways to overflow, reading and writing fields.  One command makes one copy of the string however
many fields it writes (``bitmaps`` tells what that costs).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from replicad.command import command
from replicad.commands.arguments import integer
from replicad.commands.bitmaps import BAD_OFFSET, splice
from replicad.errors import SYNTAX, err
from replicad.notifications import STRING, report

if TYPE_CHECKING:
    from replicad.session import Client

_BAD_TYPE = err("Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.")
_BAD_OVERFLOW = err("Invalid OVERFLOW type specified")
_ONLY_GET = err("BITFIELD_RO only supports the GET subcommand")

_2_63, _2_64 = 1 << 63, 1 << 64


class _Field(NamedTuple):
    """One GET, SET or INCRBY: the field's place and kind, the number given and the way of overflow that holds for it."""

    operation: bytes
    signed: bool
    bits: int
    offset: int
    number: int
    overflow: bytes

    @property
    def last_byte(self) -> int:
        """The last byte that the field touches."""
        return (self.offset + self.bits - 1) >> 3


def _int64(number: int) -> int:
    """``number`` as 64 bits with a sign hold it."""
    return (number + _2_63) % _2_64 - _2_63


def _kind(text: bytes) -> tuple[bool, int]:
    """Whether a type such as ``i16`` has a sign, and its width."""
    bits = integer(text[1:], _BAD_TYPE)
    signed = text[:1] == b"i"
    if not (signed or text[:1] == b"u") or not 1 <= bits <= (64 if signed else 63):
        raise _BAD_TYPE
    return signed, bits


def _place(client: Client, text: bytes, bits: int) -> int:
    """A bit offset; ``#3`` is the place of the fourth field of this width, computed in 64 bits as Redis does."""
    if text[:1] == b"#":
        offset = _int64(integer(text[1:], BAD_OFFSET) * bits)
    else:
        offset = integer(text, BAD_OFFSET)
    if offset < 0 or (offset >> 3 >= client.server.settings["proto-max-bulk-len"] and not client.is_master):
        raise BAD_OFFSET
    return offset


def _parse(client: Client, argv: list[bytes], only_get: bool) -> list[_Field]:
    fields = []
    overflow = b"WRAP"
    i, size = 2, len(argv)
    while i < size:
        word = argv[i].upper()
        left = size - i - 1
        if word == b"GET" and left >= 2:
            operands = 2
        elif word in (b"SET", b"INCRBY") and left >= 3:
            operands = 3
        elif word == b"OVERFLOW" and left >= 1:
            overflow = argv[i + 1].upper()
            if overflow not in (b"WRAP", b"SAT", b"FAIL"):
                raise _BAD_OVERFLOW
            i += 2
            continue
        else:
            raise SYNTAX
        signed, bits = _kind(argv[i + 1])
        offset = _place(client, argv[i + 2], bits)
        number = integer(argv[i + 3]) if operands == 3 else 0
        fields.append(_Field(word, signed, bits, offset, number, overflow))
        i += operands + 1
    if only_get and any(field.operation != b"GET" for field in fields):
        raise _ONLY_GET
    return fields


def _read(window: bytes | bytearray, field: _Field, base: int) -> int:
    """The number in a field; ``window`` begins at byte ``base`` of the string, behind its end there are zeros."""
    first, last = (field.offset >> 3) - base, field.last_byte - base
    part = window[first : last + 1]
    number = int.from_bytes(part, "big") << 8 * (last + 1 - first - len(part))
    number = number >> (7 - (field.offset + field.bits - 1) % 8) & ((1 << field.bits) - 1)
    if field.signed and number >> (field.bits - 1):
        number -= 1 << field.bits
    return number


def _write(window: bytearray, field: _Field, base: int, number: int) -> None:
    """Store ``number`` in a field that lies inside ``window``."""
    first, stop = (field.offset >> 3) - base, field.last_byte - base + 1
    shift = 7 - (field.offset + field.bits - 1) % 8
    mask = (1 << field.bits) - 1
    around = int.from_bytes(window[first:stop], "big") & ~(mask << shift)
    window[first:stop] = (around | (number & mask) << shift).to_bytes(stop - first, "big")


def _fit(field: _Field, value: int, step: int) -> int | None:
    """``value + step`` as the field can hold it; None when it does not fit and FAIL was asked for.

    Redis computes in 64 bits, which shows in one place: a signed SET of numbers near the least one saturates upwards.
    """
    bits = field.bits
    if field.signed:
        most, least = (1 << (bits - 1)) - 1, -(1 << (bits - 1))
        room = _int64(most - value)
        over = value > most or (step > room and (bits != 64 or (value >= 0 and step > 0)))
    else:
        most, least = (1 << bits) - 1, 0
        value %= _2_64
        over = value + step > most if step > 0 else value > most
    total = value + step
    if over or total < least:
        if field.overflow == b"FAIL":
            return None
        if field.overflow == b"SAT":
            return most if over else least
        total &= (1 << bits) - 1
        if field.signed and total >> (bits - 1):
            total -= 1 << bits
    return total


def _bitfield(client: Client, argv: list[bytes], only_get: bool) -> list[int | None]:
    fields = _parse(client, argv, only_get)
    db, key = client.db, argv[1]
    written = [field.last_byte for field in fields if field.operation != b"GET"]
    if not written:
        known = db.read(key, bytes) or b""
        return [_read(known, field, 0) for field in fields]
    old = db.writable(key, bytes)
    value = old or b""
    size = max(written) + 1
    base = min(field.offset >> 3 for field in fields)
    window = bytearray(value[base : max(field.last_byte for field in fields) + 1])
    grown = size > len(value)
    if grown:
        window += bytes(size - base - len(window))
    changes = 0
    out: list[int | None] = []
    for field in fields:
        before = _read(window, field, base)
        if field.operation == b"GET":
            out.append(before)
            continue
        if field.operation == b"SET":
            after = _fit(field, field.number, 0)
        else:
            after = _fit(field, before, field.number)
        if after is None:
            out.append(None)
            continue
        out.append(before if field.operation == b"SET" else after)
        if grown or after != before:
            _write(window, field, base, after)
            changes += 1
    if changes or grown:
        value = splice(value, base, window)
        if old is None:
            db.put(key, value)
        else:
            db.put_keeping(key, value)
        # Redis 7.0 counts nothing when the string only grew because all fields failed: its replicas then lack the key.
        client.server.dirty += changes or 1
        if changes:
            report(client, STRING, b"setbit", key)
    return out


@command(b"BITFIELD", -2, "write denyoom", (1, 1, 1), group="bitmap", since="3.2.0")
def bitfield(client: Client, argv: list[bytes]) -> list[int | None]:
    """Reads, sets and increments integers of any width inside of a string, several in one command.

    BITFIELD key [GET encoding offset | [OVERFLOW WRAP | SAT | FAIL] SET encoding offset value | INCRBY encoding offset
    increment ...]
    """
    return _bitfield(client, argv, False)


@command(b"BITFIELD_RO", -2, "readonly fast", (1, 1, 1), group="bitmap", since="6.0.0")
def bitfield_ro(client: Client, argv: list[bytes]) -> list[int | None]:
    """Reads integers of any width inside of a string.

    BITFIELD_RO key [GET encoding offset [GET encoding offset ...]]
    """
    return _bitfield(client, argv, True)
