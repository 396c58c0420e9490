"""The order of members at equal distance, when only the first few are wanted.

Owns: ``nearest``.  GEOSEARCHSTORE ... COUNT goes to the replicas as it came, and each server searches for itself: when some
members are equally far away, all must agree which of them are among the first.  Redis sorts only the part that it needs,
with the quicksort of Bentley and McIlroy ("Engineering a sort function", 1993), which leaves equal elements in an order of
its own.  So the same exchanges are made here, but only when there are equal distances at all.  Distances that were made up
to let a quicksort take quadratic time are noticed by the depth; what is left then is sorted as Python does it.
"""

from __future__ import annotations

from heapq import nsmallest
from typing import TypeVar

T = TypeVar("T")
Row = tuple[float, T]

_SMALL, _LARGE = 7, 40


def nearest(rows: list[Row[T]], count: int) -> list[T]:
    """The first ``count`` of ``rows`` (number, anything) by their numbers, equal ones as Redis leaves them."""
    if count >= len(rows):
        rows = sorted(rows, key=_number)
    elif len({row[0] for row in rows}) == len(rows):
        rows = nsmallest(count, rows, key=_number)
    else:
        rows = rows.copy()
        _sort_part(rows, 0, len(rows), count - 1, 4 * len(rows).bit_length())
    return [row[1] for row in rows[:count]]


def _number(row: Row[T]) -> float:
    return row[0]


def _median(rows: list[Row[T]], one: int, two: int, three: int) -> int:
    """The index of the middle one of three."""
    a, b, c = rows[one][0], rows[two][0], rows[three][0]
    if a < b:
        return two if b < c else three if a < c else one
    return two if b > c else one if a < c else three


def _pivot(rows: list[Row[T]], start: int, size: int) -> int:
    middle = start + size // 2
    if size <= _SMALL:
        return middle
    first, last = start, start + size - 1
    if size > _LARGE:
        step = size // 8
        first = _median(rows, first, first + step, first + 2 * step)
        middle = _median(rows, middle - step, middle, middle + step)
        last = _median(rows, last - 2 * step, last - step, last)
    return _median(rows, first, middle, last)


def _exchange(rows: list[Row[T]], one: int, other: int, size: int) -> None:
    """Exchange two runs that do not overlap."""
    rows[one : one + size], rows[other : other + size] = rows[other : other + size], rows[one : one + size]


def _sort_part(rows: list[Row[T]], start: int, size: int, needed: int, depth: int) -> None:
    """Sort ``size`` rows from ``start`` on, but no part that begins behind the index ``needed``."""
    while size >= _SMALL:
        if not depth:
            rows[start : start + size] = sorted(rows[start : start + size], key=_number)
            return
        depth -= 1
        pivot = _pivot(rows, start, size)
        rows[start], rows[pivot] = rows[pivot], rows[start]
        value = rows[start][0]
        stop = start + size
        # Equal ones gather at both ends: [equal, less, unknown, greater, equal].
        equal_low = low = start + 1
        equal_high = high = stop - 1
        while True:
            while low <= high and (number := rows[low][0]) <= value:
                if number == value:
                    rows[equal_low], rows[low] = rows[low], rows[equal_low]
                    equal_low += 1
                low += 1
            while low <= high and (number := rows[high][0]) >= value:
                if number == value:
                    rows[high], rows[equal_high] = rows[equal_high], rows[high]
                    equal_high -= 1
                high -= 1
            if low > high:
                break
            rows[low], rows[high] = rows[high], rows[low]
            low += 1
            high -= 1
        part = min(equal_low - start, low - equal_low)
        _exchange(rows, start, low - part, part)
        part = min(equal_high - high, stop - equal_high - 1)
        _exchange(rows, low, stop - part, part)
        less, greater = low - equal_low, equal_high - high
        if less > 1 and start <= needed:
            _sort_part(rows, start, less, needed, depth)
        start, size = stop - greater, greater
        if size <= 1 or start > needed:
            return
    for end in range(start + 1, start + size):
        at = end
        while at > start and rows[at - 1][0] > rows[at][0]:
            rows[at - 1], rows[at] = rows[at], rows[at - 1]
            at -= 1
