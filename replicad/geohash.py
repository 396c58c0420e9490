"""Geohashes of 52 bits: places on earth as numbers, distances, and the ranges of numbers that cover an area.

Owns: the arithmetic, in the order of operations of Redis, because results must agree to the last digit.  Does not own
members and replies (``commands/geo``).  Pure.

A hash interleaves 26 bits of latitude (even positions) with 26 bits of longitude (odd positions).  Longitude goes from
-180 to 180, latitude from -85.05112878 to 85.05112878, where the Mercator projection is a square.  A hash of fewer steps
is a cell of the map.  Angles are in degrees, distances in metres.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Sequence
from math import asin, cos, pi, sin, sqrt
from typing import NamedTuple

LONGITUDE_MIN, LONGITUDE_MAX = -180.0, 180.0
LATITUDE_MIN, LATITUDE_MAX = -85.05112878, 85.05112878

_WIDTH, _HEIGHT = LONGITUDE_MAX - LONGITUDE_MIN, LATITUDE_MAX - LATITUDE_MIN
_STEPS = 26
_CELLS = 1 << _STEPS
_RADIUS = 6372797.560856  #: of the earth
_HALF_EQUATOR = 20037726.37  #: of the Mercator projection
_RADIANS = pi / 180.0
_ALPHABET = b"0123456789bcdefghjkmnpqrstuvwxyz"


def _interleaved(latitude: int, longitude: int) -> int:
    """Binary digits read to the base of four stand at the even positions."""
    return int(f"{latitude:b}", 4) | int(f"{longitude:b}", 4) << 1


def _cell(longitude: float, latitude: float, steps: int, south: float, north: float) -> tuple[int, int]:
    """The indexes (latitude, longitude) of the cell around a place, cells counted from the south-west."""
    y = (latitude - south) / (north - south)
    x = (longitude - LONGITUDE_MIN) / _WIDTH
    return int(y * (1 << steps)), int(x * (1 << steps))


def encode(longitude: float, latitude: float) -> int:
    """The hash of a place, the score of its member in a sorted set."""
    return _interleaved(*_cell(longitude, latitude, _STEPS, LATITUDE_MIN, LATITUDE_MAX))


def standard(longitude: float, latitude: float) -> bytes:
    """The textual geohash as other programs know it: eleven letters, latitudes from pole to pole.

    52 bits are worth ten letters; the eleventh is always 0.
    """
    bits = _interleaved(*_cell(longitude, latitude, _STEPS, -90.0, 90.0))
    return bytes([_ALPHABET[bits >> shift & 31] for shift in range(47, 1, -5)]) + b"0"


def bits_of(score: float) -> int:
    """The hash that a score stands for.  Any score may be there: out of range it is what an x86 processor makes of it."""
    if -9223372036854775808.0 <= score < 18446744073709551616.0:
        return int(score) & 0xFFFFFFFFFFFFFFFF
    return 1 << 63 if score < 0 else 0


def decode(score: float) -> tuple[float, float]:
    """The middle (longitude, latitude) of the cell that a score names, moved to the edge of the map if it lies outside."""
    digits = f"{bits_of(score):064b}"
    column, row = int(digits[0::2], 2), int(digits[1::2], 2)
    west = LONGITUDE_MIN + (column / _CELLS) * _WIDTH
    east = LONGITUDE_MIN + ((column + 1) / _CELLS) * _WIDTH
    south = LATITUDE_MIN + (row / _CELLS) * _HEIGHT
    north = LATITUDE_MIN + ((row + 1) / _CELLS) * _HEIGHT
    longitude, latitude = (west + east) / 2, (south + north) / 2
    # No cell reaches beyond the map in the west or the south.
    return (
        longitude if longitude <= LONGITUDE_MAX else LONGITUDE_MAX,
        latitude if latitude <= LATITUDE_MAX else LATITUDE_MAX,
    )


def distance(longitude1: float, latitude1: float, longitude2: float, latitude2: float) -> float:
    """The distance of two places along the surface of a sphere (haversine)."""
    y1, y2 = latitude1 * _RADIANS, latitude2 * _RADIANS
    u = sin((y2 - y1) / 2)
    v = sin((longitude2 * _RADIANS - longitude1 * _RADIANS) / 2)
    if v == 0.0:  # due north or south, where Redis has an exact formula
        return _RADIUS * abs(y2 - y1)
    a = u * u + cos(y1) * cos(y2) * v * v
    return 2.0 * _RADIUS * asin(sqrt(a if a < 1.0 else 1.0))


#: How the even bits of 64 move together: shift, and the mask of what stays.
_GATHER = [(1 << n, ((1 << 64) - 1) // ((1 << (2 << n)) + 1)) for n in range(5)]


def _cells_of(scores: Sequence[float]) -> tuple[array[int], array[int]]:
    """The (latitude, longitude) indexes of many scores, taken apart all at once in one large integer."""
    try:
        packed = array("Q", map(int, scores))
    except OverflowError:
        packed = array("Q", map(bits_of, scores))
    size = 8 * len(packed)
    whole = int.from_bytes(packed.tobytes(), sys.byteorder)
    ones = int.from_bytes(b"\1\0\0\0\0\0\0\0" * len(packed), "little")
    out = []
    for number in (whole, whole >> 1):
        number &= ones * 0x5555555555555555
        for shift, mask in _GATHER:
            number = (number | number >> shift) & ones * mask
        indexes = array("Q")
        indexes.frombytes(number.to_bytes(size, sys.byteorder))
        out.append(indexes)
    return out[0], out[1]


class Area(NamedTuple):
    """A circle (``height`` is None, ``width`` its radius) or a box around a place; in metres, but for the sizes, which are
    in the ``unit`` given."""

    longitude: float
    latitude: float
    width: float
    height: float | None
    unit: float

    def distance_to(self, longitude: float, latitude: float) -> float | None:
        """How far a place is from the middle, in metres; None when it is outside."""
        if self.height is None:
            found = distance(self.longitude, self.latitude, longitude, latitude)
            return found if found <= self.width * self.unit else None
        if distance(longitude, latitude, self.longitude, latitude) > self.width * self.unit / 2:
            return None
        if distance(longitude, latitude, longitude, self.latitude) > self.height * self.unit / 2:
            return None
        return distance(self.longitude, self.latitude, longitude, latitude)

    def inside(self, pairs: Sequence[tuple[bytes, float]]) -> list[tuple[float, bytes, float]]:
        """Those of many (member, score) that are inside, as (distance in the unit of the area, member, score).

        The same arithmetic as in ``decode`` and ``distance``, written out here: this loop is what a search consists of.
        """
        out = []
        rows, columns = _cells_of([score for _, score in pairs])
        unit, circle = self.unit, self.height is None
        reach = self.width * unit
        x1, y1 = self.longitude * _RADIANS, self.latitude * _RADIANS
        cos1 = cos(y1)
        for (member, score), row, column in zip(pairs, rows, columns, strict=True):
            longitude = ((column / _CELLS * _WIDTH - 180.0) + ((column + 1) / _CELLS * _WIDTH - 180.0)) / 2
            latitude = ((LATITUDE_MIN + row / _CELLS * _HEIGHT) + (LATITUDE_MIN + (row + 1) / _CELLS * _HEIGHT)) / 2
            if longitude > LONGITUDE_MAX:
                longitude = LONGITUDE_MAX
            if latitude > LATITUDE_MAX:
                latitude = LATITUDE_MAX
            if circle:
                y2 = latitude * _RADIANS
                v = sin((longitude * _RADIANS - x1) / 2)
                if v == 0.0:
                    found = _RADIUS * abs(y2 - y1)
                else:
                    u = sin((y2 - y1) / 2)
                    a = u * u + cos1 * cos(y2) * v * v
                    found = 2.0 * _RADIUS * asin(sqrt(a if a < 1.0 else 1.0))
                if found <= reach:
                    out.append((found / unit, member, score))
            elif (in_box := self.distance_to(longitude, latitude)) is not None:
                out.append((in_box / unit, member, score))
        return out

    def ranges(self) -> list[tuple[int, int]]:
        """The ranges of hashes (first, one behind the last) that cover the area, in the order in which Redis searches: the
        cell in the middle, then those around it."""
        if self.height is None:
            reach = self.width * self.unit
        else:
            reach = sqrt((self.width / 2) * (self.width / 2) + (self.height / 2) * (self.height / 2)) * self.unit
        steps = _steps(reach, self.latitude)
        around = _CELLS_AROUND
        if steps > 1:
            west, south, east, north = self._bounds()
            row, column = _cell(self.longitude, self.latitude, steps, LATITUDE_MIN, LATITUDE_MAX)
            cells = 1 << steps
            if (
                _edges((row + 1) % cells, steps, LATITUDE_MIN, _HEIGHT)[1] < north
                or _edges((row - 1) % cells, steps, LATITUDE_MIN, _HEIGHT)[0] > south
                or _edges((column + 1) % cells, steps, LONGITUDE_MIN, _WIDTH)[1] < east
                or _edges((column - 1) % cells, steps, LONGITUDE_MIN, _WIDTH)[0] > west
            ):
                steps -= 1
        row, column = _cell(self.longitude, self.latitude, steps, LATITUDE_MIN, LATITUDE_MAX)
        if steps > 1:
            # Sides of the middle cell that the area does not reach need no neighbours.
            low, high = _edges(row, steps, LATITUDE_MIN, _HEIGHT)
            left, right = _edges(column, steps, LONGITUDE_MIN, _WIDTH)
            around = [
                (y, x)
                for y, x in around
                if not (y < 0 and low < south)
                and not (y > 0 and high > north)
                and not (x < 0 and left < west)
                and not (x > 0 and right > east)
            ]
        cells, shift = 1 << steps, 2 * (_STEPS - steps)
        found: list[int] = []
        for y, x in around:
            cell = _interleaved((row + y) % cells if y else row, (column + x) % cells if x else column)
            # With one step there are four cells, and a neighbour is met twice.  Redis looks only at the one before, and
            # never at the middle.
            if len(found) < 2 or cell != found[-1]:
                found.append(cell)
        return [(cell << shift, cell + 1 << shift) for cell in found]

    def _bounds(self) -> tuple[float, float, float, float]:
        """The least and the greatest longitude and latitude, as (west, south, east, north)."""
        if self.height is None:
            width = height = self.width * self.unit
        else:
            width, height = self.width / 2 * self.unit, self.height / 2 * self.unit
        dy = height / _RADIUS / _RADIANS
        nearer_pole = self.latitude - dy if self.latitude < 0 else self.latitude + dy
        dx = width / _RADIUS / cos(nearer_pole * _RADIANS) / _RADIANS
        return self.longitude - dx, self.latitude - dy, self.longitude + dx, self.latitude + dy


#: Offsets (north, east) of the middle, of its neighbours in the four directions, and of those at its corners.
_CELLS_AROUND = [(0, 0), (1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (1, -1), (-1, 1), (-1, -1)]


def _edges(index: int, steps: int, start: float, length: float) -> tuple[float, float]:
    cells = 1 << steps
    return start + (index / cells) * length, start + ((index + 1) / cells) * length


def _steps(reach: float, latitude: float) -> int:
    """How fine the map must be so that the nine cells around a place hold everything within ``reach``; 1 to 26."""
    if reach == 0:
        return _STEPS
    steps = 1
    while reach < _HALF_EQUATOR:
        reach *= 2
        steps += 1
    steps -= 2  # the range may lie across the border of two cells
    if latitude > 66 or latitude < -66:  # cells are narrower towards the poles
        steps -= 1
        if latitude > 80 or latitude < -80:
            steps -= 1
    return min(max(steps, 1), _STEPS)
