"""The compact containers that real servers keep small collections in: byte strings inside an RDB document.

Readers for ziplist, listpack, intset and zipmap, which return plain lists of bytes (an integer element is its decimal
text), and a writer for listpacks, because streams have no other form.  A reader refuses whatever does not fit together
with :class:`Corrupt`; it takes a complete container and never reads outside of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from struct import Struct, unpack_from
from struct import error as struct_error

_u16 = Struct("<H").unpack_from
_u32 = Struct("<I").unpack_from
_i16 = Struct("<h").unpack_from
_i32 = Struct("<i").unpack_from
_i64 = Struct("<q").unpack_from

#: Decimal texts of the 7-bit integers, by far the most frequent ones.
_SMALL_TEXTS = tuple(b"%d" % number for number in range(128))
#: Those of the 13-bit integers, by their bits.
_MEDIUM_TEXTS = tuple(b"%d" % (number - 8192 if number >= 4096 else number) for number in range(8192))


class Corrupt(Exception):
    """The bytes do not follow the format; the text says in what."""


def _guarded(reader: Callable[[bytes], list[bytes]]) -> Callable[[bytes], list[bytes]]:
    """Turn what reading past the end of a container raises into Corrupt."""

    def read(data: bytes) -> list[bytes]:
        try:
            return reader(data)
        except (IndexError, struct_error):
            raise Corrupt(f"{reader.__name__.removeprefix('read_')} ends too early") from None

    read.__doc__ = reader.__doc__
    return read


@_guarded
def read_listpack(data: bytes) -> list[bytes]:
    """Return the elements of a listpack."""
    (total,) = _u32(data, 0)
    (count,) = _u16(data, 4)
    last = len(data) - 1
    if total != last + 1 or data[last] != 0xFF or last < 6:
        raise Corrupt("listpack has a wrong size or end")
    found: list[bytes] = []
    append = found.append
    small, medium = _SMALL_TEXTS, _MEDIUM_TEXTS
    position = 6
    while True:
        first = data[position]
        if first < 0x80:
            append(small[first])
            position += 2
            continue
        if first < 0xC0:
            stop = position + first - 0x7F
            append(data[position + 1 : stop])
            position = stop + 1
            continue
        if first < 0xE0:
            append(medium[(first & 0x1F) << 8 | data[position + 1]])
            position += 3
            continue
        if first == 0xF1:
            append(b"%d" % _i16(data, position + 1)[0])
            position += 4
            continue
        if first == 0xF2:
            stop = position + 4
            append(b"%d" % int.from_bytes(data[position + 1 : stop], "little", signed=True))
            position = stop + 1
            continue
        if first == 0xFF:
            break
        if first < 0xF0:
            start = position + 2
            stop = start + ((first & 0x0F) << 8 | data[position + 1])
            append(data[start:stop])
        elif first == 0xF0:
            start = position + 5
            stop = start + _u32(data, position + 1)[0]
            append(data[start:stop])
        elif first == 0xF3:
            stop = position + 5
            append(b"%d" % _i32(data, position + 1)[0])
        elif first == 0xF4:
            stop = position + 9
            append(b"%d" % _i64(data, position + 1)[0])
        else:
            raise Corrupt("listpack has an element of an unknown kind")
        size = stop - position
        # The length of the element follows it, in as many bytes as it needs.
        if size <= 127:
            position = stop + 1
        elif size < 16383:
            position = stop + 2
        elif size < 2097151:
            position = stop + 3
        else:
            position = stop + (4 if size < 268435455 else 5)
    if position != last:
        raise Corrupt("listpack element reaches past the end")
    if count not in (0xFFFF, len(found)):
        raise Corrupt("listpack has another number of elements than announced")
    return found


@_guarded
def read_ziplist(data: bytes) -> list[bytes]:
    """Return the entries of a ziplist."""
    (total,) = _u32(data, 0)
    (count,) = _u16(data, 8)
    last = len(data) - 1
    if total != last + 1 or last < 10 or data[last] != 0xFF:
        raise Corrupt("ziplist has a wrong size or end")
    found: list[bytes] = []
    append = found.append
    position = 10
    previous = 0
    while position < last:
        entry = position
        if data[position] == 0xFE:
            claimed = _u32(data, position + 1)[0]
            position += 5
        else:
            claimed = data[position]
            position += 1
        if claimed != previous:
            raise Corrupt("ziplist entry has a wrong length of the entry before")
        first = data[position]
        if first < 0xC0:
            if first < 0x40:
                start = position + 1
                position = start + first
            elif first < 0x80:
                start = position + 2
                position = start + ((first & 0x3F) << 8 | data[position + 1])
            elif first == 0x80:
                start = position + 5
                position = start + int.from_bytes(data[position + 1 : start], "big")
            else:
                raise Corrupt("ziplist has an entry of an unknown kind")
            append(data[start:position])
        elif first == 0xC0:
            append(b"%d" % _i16(data, position + 1)[0])
            position += 3
        elif first == 0xD0:
            append(b"%d" % _i32(data, position + 1)[0])
            position += 5
        elif first == 0xE0:
            append(b"%d" % _i64(data, position + 1)[0])
            position += 9
        elif first == 0xF0:
            append(b"%d" % int.from_bytes(data[position + 1 : position + 4], "little", signed=True))
            position += 4
        elif first == 0xFE:
            number = data[position + 1]
            append(b"%d" % (number - 256 if number > 127 else number))
            position += 2
        elif 0xF1 <= first <= 0xFD:
            append(_SMALL_TEXTS[(first & 0x0F) - 1])
            position += 1
        else:
            raise Corrupt("ziplist has an entry of an unknown kind")
        previous = position - entry
    if position != last:
        raise Corrupt("ziplist entry reaches past the end")
    if count not in (0xFFFF, len(found)):
        raise Corrupt("ziplist has another number of entries than announced")
    return found


@_guarded
def read_intset(data: bytes) -> list[bytes]:
    """Return the members of an intset."""
    (width,) = _u32(data, 0)
    (count,) = _u32(data, 4)
    letter = {2: "h", 4: "i", 8: "q"}.get(width)
    if letter is None:
        raise Corrupt("intset has an unknown width")
    if len(data) != 8 + width * count:
        raise Corrupt("intset has a wrong size")
    numbers = unpack_from(f"<{count}{letter}", data, 8)
    if sorted(set(numbers)) != list(numbers):
        raise Corrupt("intset is not in order")
    texts: list[bytes] = (b"%d " * count % numbers).split()
    return texts


@_guarded
def read_zipmap(data: bytes) -> list[bytes]:
    """Return field, value, field, value, ... of a zipmap."""
    count = data[0]
    last = len(data) - 1
    if last < 1 or data[last] != 0xFF:
        raise Corrupt("zipmap has a wrong end")
    found: list[bytes] = []
    position = 1
    is_value = False
    while position < last:
        size = data[position]
        position += 1
        if size == 0xFE:
            (size,) = _u32(data, position)
            position += 4
        elif size == 0xFF:
            raise Corrupt("zipmap ends too early")
        free = 0
        if is_value:
            free = data[position]
            position += 1
        found.append(data[position : position + size])
        position += size + free
        is_value = not is_value
    if position != last or is_value:
        raise Corrupt("zipmap element reaches past the end")
    if count < 254 and count * 2 != len(found):
        raise Corrupt("zipmap has another number of pairs than announced")
    return found


def canonical_integer(text: bytes) -> int | None:
    """Return the integer whose decimal text is exactly ``text`` and that fits 64 bits signed, else None."""
    if not 0 < len(text) <= 20 or not (text.isdigit() or (text[:1] == b"-" and text[1:].isdigit())):
        return None
    number = int(text)
    if -(2**63) <= number < 2**63 and b"%d" % number == text:
        return number
    return None


def _back_length(size: int) -> bytes:
    if size <= 127:
        return bytes((size,))
    if size < 16383:
        return bytes((size >> 7, size & 127 | 128))
    if size < 2097151:
        return bytes((size >> 14, size >> 7 & 127 | 128, size & 127 | 128))
    if size < 268435455:
        return bytes((size >> 21, size >> 14 & 127 | 128, size >> 7 & 127 | 128, size & 127 | 128))
    return bytes((size >> 28, size >> 21 & 127 | 128, size >> 14 & 127 | 128, size >> 7 & 127 | 128, size & 127 | 128))


def listpack_integer(number: int) -> bytes:
    """Return one listpack element that holds ``number``, a 64-bit signed integer."""
    if 0 <= number < 128:
        return bytes((number, 1))
    if -4096 <= number < 4096:
        return bytes((0xC0 | number >> 8 & 0x1F, number & 0xFF, 2))
    if -(2**15) <= number < 2**15:
        return b"\xf1" + number.to_bytes(2, "little", signed=True) + b"\x03"
    if -(2**23) <= number < 2**23:
        return b"\xf2" + number.to_bytes(3, "little", signed=True) + b"\x04"
    if -(2**31) <= number < 2**31:
        return b"\xf3" + number.to_bytes(4, "little", signed=True) + b"\x05"
    return b"\xf4" + number.to_bytes(8, "little", signed=True) + b"\x09"


def listpack_string(text: bytes) -> bytes:
    """Return one listpack element that holds ``text``, as an integer when it is the canonical text of one."""
    number = canonical_integer(text)
    if number is not None:
        return listpack_integer(number)
    size = len(text)
    if size < 64:
        return b"%c%b%c" % (0x80 | size, text, size + 1)
    if size < 4096:
        return b"%c%c%b%b" % (0xE0 | size >> 8, size & 0xFF, text, _back_length(size + 2))
    return b"\xf0%b%b%b" % (size.to_bytes(4, "little"), text, _back_length(size + 5))


def write_listpack(elements: Iterable[bytes], count: int) -> bytes:
    """Return a listpack of ``count`` elements that were made by the two functions above."""
    body = b"".join(elements)
    return (len(body) + 7).to_bytes(4, "little") + min(count, 0xFFFF).to_bytes(2, "little") + body + b"\xff"
