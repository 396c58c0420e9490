"""HyperLogLog strings, byte for byte those of a real server: reading, adding, merging, estimating.

Owns: the header, the dense and the sparse form, the hash and the estimate.  Does not own keys and commands
(``commands/hyperloglog``).  Pure: bytes in, bytes out.

A string is a header of 16 bytes (magic, form, cached cardinality) and 16384 registers of 6 bits.  The dense form packs
four registers into three bytes, the lowest bits first.  The sparse form is a list of runs::

    00nnnnnn            n + 1 registers are zero
    01nnnnnn nnnnnnnn   n + 1 registers are zero
    1vvvvvnn            n + 1 registers hold v + 1

All 16384 registers are handled as one string of bytes, a register in each: four slices and ``translate`` unpack them, two
large integers give the greater of each pair.  That takes tens of microseconds; a loop over registers takes milliseconds.

How runs are split and joined is a part of the format here, because the strings shall be equal to a real server's: the run
that holds the register falls into up to three, then up to five steps from the run before it join neighbours of equal value.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable
from itertools import accumulate
from math import floor, inf, sqrt
from struct import iter_unpack

REGISTERS = 16384
HEADER = 16
DENSE_SIZE = HEADER + REGISTERS * 6 // 8
MOST_SPARSE = 32  #: the greatest register that the sparse form can hold

_MAGIC = b"HYLL"
_DENSE, _SPARSE = 0, 1
_STALE = 0x80  #: in the last byte of the header: the cached cardinality is not valid

#: A HyperLogLog without elements, its cached cardinality valid and 0.
EMPTY = _MAGIC + bytes([_SPARSE]) + bytes(11) + b"\x7f\xff"


class Corrupt(Exception):
    """The sparse form does not describe exactly 16384 registers."""


# -- the hash

_MASK = (1 << 64) - 1
_MULTIPLIER = 0xC6A4A7935BD1E995
_SEED = 0xADC83B19


def hash64(data: bytes) -> int:
    """MurmurHash64A of ``data`` with the seed that Redis uses.

    Half a microsecond for eight bytes; elements are short.
    """
    size = len(data)
    number = _SEED ^ (size * _MULTIPLIER & _MASK)
    whole = size & ~7
    if whole:
        for (block,) in iter_unpack("<Q", data if whole == size else data[:whole]):
            block = block * _MULTIPLIER & _MASK
            block ^= block >> 47
            number = (number ^ (block * _MULTIPLIER & _MASK)) * _MULTIPLIER & _MASK
    if whole != size:
        number = (number ^ int.from_bytes(data[whole:], "little")) * _MULTIPLIER & _MASK
    number = (number ^ number >> 47) * _MULTIPLIER & _MASK
    return number ^ number >> 47


def register_of(element: bytes) -> tuple[int, int]:
    """The register that ``element`` belongs to, and the least value that it must have then (1 to 51)."""
    number = hash64(element)
    rest = number >> 14 | 1 << 50
    return number & 16383, (rest & -rest).bit_length()


# -- the whole string


def is_valid(value: bytes) -> bool:
    """Whether ``value`` looks like a HyperLogLog; the runs of the sparse form are checked when they are used."""
    if len(value) < HEADER or value[:4] != _MAGIC or value[4] > _SPARSE:
        return False
    return value[4] == _SPARSE or len(value) == DENSE_SIZE


def is_sparse(value: bytes) -> bool:
    """Whether a valid ``value`` has the sparse form."""
    return value[4] == _SPARSE


def cached(value: bytes) -> int | None:
    """The cardinality in the header; None when it is not valid any more."""
    return None if value[15] & _STALE else int.from_bytes(value[8:16], "little")


def with_cached(value: bytes, cardinality: int) -> bytes:
    """``value`` with this cardinality in its header."""
    return value[:8] + (cardinality & _MASK).to_bytes(8, "little") + value[16:]


def stale(value: bytes) -> bytes:
    """``value`` with its cached cardinality marked as not valid."""
    return value[:15] + bytes([value[15] | _STALE]) + value[16:]


# -- registers as bytes


def _table(change: object) -> bytes:
    return bytes([change(byte) & 255 for byte in range(256)])  # type: ignore[operator]


_AND_63, _AND_15_UP_2, _AND_3_UP_4 = (
    _table(lambda b: b & 63),
    _table(lambda b: (b & 15) << 2),
    _table(lambda b: (b & 3) << 4),
)
_DOWN_6, _DOWN_4, _DOWN_2 = _table(lambda b: b >> 6), _table(lambda b: b >> 4), _table(lambda b: b >> 2)
_UP_6, _UP_4, _UP_2 = _table(lambda b: b << 6), _table(lambda b: b << 4), _table(lambda b: b << 2)


def _either(one: bytes, other: bytes) -> bytes:
    """The bitwise or of two strings of equal length."""
    number = int.from_bytes(one, "little") | int.from_bytes(other, "little")
    return number.to_bytes(len(one), "little")


def _unpack(packed: bytes) -> bytes:
    """The registers of the dense form, a byte for each."""
    first, second, third = packed[0::3], packed[1::3], packed[2::3]
    out = bytearray(REGISTERS)
    out[0::4] = first.translate(_AND_63)
    out[1::4] = _either(first.translate(_DOWN_6), second.translate(_AND_15_UP_2))
    out[2::4] = _either(second.translate(_DOWN_4), third.translate(_AND_3_UP_4))
    out[3::4] = third.translate(_DOWN_2)
    return bytes(out)


def _pack(registers: bytes) -> bytes:
    """The dense form of registers, without the header."""
    first, second, third, fourth = (registers[at::4] for at in range(4))
    out = bytearray(DENSE_SIZE - HEADER)
    out[0::3] = _either(first, second.translate(_UP_6))
    out[1::3] = _either(second.translate(_DOWN_2), third.translate(_UP_4))
    out[2::3] = _either(third.translate(_DOWN_4), fourth.translate(_UP_2))
    return bytes(out)


_RUN = re.compile(rb"[\x40-\x7f].|.", re.DOTALL)
#: What a run of one byte stands for, by that byte: the value of its registers and their number (0: of two bytes).
_VALUES = [0] * 128 + [(byte >> 2 & 31) + 1 for byte in range(128)]
_SPANS = [byte + 1 for byte in range(64)] + [0] * 64 + [(byte & 3) + 1 for byte in range(128)]
_EXPANDED = [bytes([value]) * span for value, span in zip(_VALUES, _SPANS, strict=True)]


def _runs(value: bytes) -> list[bytes]:
    """The runs of the sparse form as strings of one or two bytes.  Raises Corrupt when there are too many."""
    if len(value) > HEADER + 2 * REGISTERS:
        raise Corrupt
    return _RUN.findall(value, HEADER)


def _span(run: bytes) -> int:
    """How many registers a run covers."""
    span = _SPANS[run[0]]
    if not span:
        if len(run) < 2:
            raise Corrupt
        span = ((run[0] & 63) << 8 | run[1]) + 1
    return span


def registers_of(value: bytes) -> bytes:
    """All registers, a byte for each.  Raises Corrupt."""
    if not is_sparse(value):
        return _unpack(value[HEADER:])
    runs = _runs(value)
    if sum(map(_span, runs)) != REGISTERS:
        raise Corrupt
    return b"".join([_EXPANDED[run[0]] or bytes(_span(run)) for run in runs])


def to_dense(value: bytes) -> bytes:
    """``value`` in the dense form, its header kept.  Raises Corrupt."""
    return _dense(value, registers_of(value)) if is_sparse(value) else value


def _dense(header: bytes, registers: bytes) -> bytes:
    return header[:4] + bytes([_DENSE]) + header[5:HEADER] + _pack(registers)


_HIGH_BITS = int.from_bytes(b"\x80" * REGISTERS, "little")


def greater(one: bytes, other: bytes) -> bytes:
    """The greater of each pair of registers, both given as bytes."""
    first, second = int.from_bytes(one, "little"), int.from_bytes(other, "little")
    # The high bit of a byte survives the subtraction where first >= second; from there it fills the byte below it.
    chosen = ((first | _HIGH_BITS) - second & _HIGH_BITS) >> 7
    chosen = (chosen << 8) - chosen
    return (second ^ (first ^ second) & chosen).to_bytes(REGISTERS, "little")


# -- the estimate


def _sigma(x: float) -> float:
    if x == 1.0:
        return inf
    y, z, before = 1.0, x, -1.0
    while z != before:
        x *= x
        before = z
        z += x * y
        y += y
    return z


def _tau(x: float) -> float:
    if x == 0.0 or x == 1.0:
        return 0.0
    y, z, before = 1.0, 1 - x, -1.0
    while z != before:
        x = sqrt(x)
        before = z
        y *= 0.5
        z -= (1 - x) ** 2 * y
    return z / 3


def estimate(registers: bytes) -> int:
    """The cardinality that registers (a byte for each) speak of; equal to a real server's answer."""
    counts = [0] * 64
    left = REGISTERS
    for number in range(64):
        counts[number] = registers.count(number)
        left -= counts[number]
        if not left:
            break
    size = float(REGISTERS)
    z = size * _tau((size - counts[51]) / size)
    for number in range(50, 0, -1):
        z = (z + counts[number]) * 0.5
    z += size * _sigma(counts[0] / size)
    # Damaged registers only: C rounds the infinity to the least number.
    return floor(0.721347520444481703680 * size * size / z + 0.5) if z else -(1 << 63)


# -- adding


def _value_run(value: int, span: int) -> bytes:
    return bytes([128 | value - 1 << 2 | span - 1])


def _zero_run(span: int) -> bytes:
    return bytes([span - 1]) if span <= 64 else bytes([64 | span - 1 >> 8, span - 1 & 255])


class _Full(Exception):
    """The sparse form cannot take the change."""


class _Sparse:
    """Consecutive runs of a sparse string, all of them or the few around a register, ready to be changed.

    ``base`` is the first register that they cover, ``room`` how many bytes the string may still grow.
    """

    def __init__(self, runs: list[bytes], base: int, room: int) -> None:
        self.runs = runs
        spans = [_SPANS[run[0]] or _span(run) for run in runs]
        self._starts = list(accumulate(spans, initial=base))
        self._end = self._starts.pop()
        self._room = room

    def set(self, index: int, value: int) -> bool:
        """Let a register have at least this value; False when it has.  Raises Corrupt, and _Full."""
        if value > MOST_SPARSE:
            raise _Full
        if index >= self._end:
            raise Corrupt
        runs, starts = self.runs, self._starts
        at = bisect_right(starts, index) - 1
        run, start = runs[at], starts[at]
        old = _VALUES[run[0]]
        if old >= value:
            return False
        stop = starts[at + 1] if at + 1 < len(starts) else self._end
        before, behind = index - start, stop - index - 1
        new, new_starts = [_value_run(value, 1)], [index]
        if before:
            new.insert(0, _value_run(old, before) if old else _zero_run(before))
            new_starts.insert(0, start)
        if behind:
            new.append(_value_run(old, behind) if old else _zero_run(behind))
            new_starts.append(index + 1)
        growth = sum(map(len, new)) - len(run)
        if growth > 0 and growth > self._room:
            raise _Full
        self._room -= growth
        runs[at : at + 1] = new
        starts[at : at + 1] = new_starts
        self._join(max(at - 1, 0))
        return True

    def _join(self, at: int) -> None:
        runs = self.runs
        for _ in range(5):
            if at + 1 >= len(runs):
                break
            first, second = runs[at][0], runs[at + 1][0]
            if first >= 128 and first >> 2 == second >> 2 and (span := (first & 3) + (second & 3) + 2) <= 4:
                runs[at : at + 2] = [bytes([first & 252 | span - 1])]
                del self._starts[at + 1]
                self._room += 1
            else:
                at += 1


def _around(value: bytes, index: int) -> tuple[int, int, int]:
    """Where in a sparse string the run before the one that holds a register begins (or that one, when it is the first),
    the first register of the run found there, and the value of the register.  Raises Corrupt."""
    at = before = HEADER
    start = before_start = 0
    spans = _SPANS
    size = len(value)
    while at < size:
        byte = value[at]
        span = spans[byte]
        width = 1
        if not span:
            if at + 1 >= size:
                break
            span = ((byte & 63) << 8 | value[at + 1]) + 1
            width = 2
        if start + span > index:
            return before, before_start, _VALUES[byte]
        before, before_start = at, start
        at += width
        start += span
    raise Corrupt


def _add_one(value: bytes, index: int, number: int, limit: int) -> bytes:
    """A sparse ``value`` with one register changed; itself when it need not be.  Raises Corrupt, and _Full."""
    at, start, old = _around(value, index)
    if old >= number:
        return value
    runs = _RUN.findall(value, at, at + 20)[:9]  # more than the change and the joining behind it can reach
    stop = at + sum(map(len, runs))
    part = _Sparse(runs, start, limit - len(value))
    part.set(index, number)
    return stale(value[:at] + b"".join(part.runs) + value[stop:])


def _add_dense(value: bytes, places: Iterable[tuple[int, int]]) -> tuple[bytes, int]:
    """A dense ``value`` with some registers raised, and how many had to be."""
    changed: bytearray | None = None
    source: bytes | bytearray = value
    changes = 0
    for index, number in places:
        at, shift = HEADER + index * 6 // 8, index * 6 % 8
        pair = int.from_bytes(source[at : at + 2], "little")
        if pair >> shift & 63 >= number:
            continue
        if changed is None:
            source = changed = bytearray(value)
        pair = pair & ~(63 << shift) | number << shift
        changed[at : at + 2] = pair.to_bytes(min(2, DENSE_SIZE - at), "little")
        changes += 1
    if changed is None:
        return value, 0
    changed[15] |= _STALE
    return bytes(changed), changes


def add(value: bytes, elements: list[bytes], limit: int) -> tuple[bytes, int]:
    """A valid ``value`` with ``elements`` added, and how many of them changed a register (0: it is the same object).

    ``limit`` is hll-sparse-max-bytes: a sparse string that would become longer turns dense.  Raises Corrupt.
    """
    places = [register_of(element) for element in elements]
    if not is_sparse(value):
        return _add_dense(value, places)
    done = changes = 0
    if len(places) < 4:
        try:
            for index, number in places:
                new = _add_one(value, index, number, limit)
                changes += new is not value
                value = new
                done += 1
            return value, changes
        except _Full:
            dense = to_dense(value)
    else:
        runs = _Sparse(_runs(value), 0, limit - len(value))
        try:
            for index, number in places:
                changes += runs.set(index, number)
                done += 1
            return stale(value[:HEADER] + b"".join(runs.runs)) if changes else value, changes
        except _Full:
            dense = to_dense(value[:HEADER] + b"".join(runs.runs))
    dense, more = _add_dense(dense, places[done:])
    return dense, changes + more


def merged(value: bytes, registers: bytes, dense: bool, limit: int) -> bytes:
    """A valid ``value`` with all its registers raised to ``registers`` (a byte for each), as PFMERGE leaves it.

    ``registers`` are nowhere lower than those of ``value``.  The result is dense when ``dense``, when ``value`` is, or when
    it does not fit otherwise.  Raises Corrupt.
    """
    if dense or not is_sparse(value):
        return stale(_dense(value, registers))
    runs = _Sparse(_runs(value), 0, limit - len(value))
    try:
        for found in re.finditer(rb"[^\0]", registers):
            runs.set(found.start(), registers[found.start()])
    except _Full:
        return stale(_dense(value, registers))
    return stale(value[:HEADER] + b"".join(runs.runs))


def described(value: bytes) -> bytes:
    """The runs of a sparse string as PFDEBUG DECODE writes them."""
    words = []
    for run in _runs(value):
        byte = run[0]
        if byte >= 128:
            words.append(b"v:%d,%d" % (_VALUES[byte], _SPANS[byte]))
        else:
            words.append(b"%b:%d" % (b"z" if byte < 64 else b"Z", _span(run)))
    return b" ".join(words)
