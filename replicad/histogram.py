"""How the times of a command are distributed: what LATENCY HISTOGRAM and INFO latencystats show.

Owns: ``Histogram``.  Does not own who feeds it (``dispatch`` and the applier of the master's stream, through
``Command.record``) nor the directive latency-tracking (``server``).  Pure.

Redis records microseconds with two significant digits up to one second.  Here a time falls into a slot of 1,024 ns while it
is short, which is as fine as Redis's microseconds, and above ``SLOTS`` slots into one of 128 parts of its power of two,
which is as fine as Redis's two digits.  The first kind is a list that the hot loop adds to itself: a division, a shift, a
comparison and an index for a row of equal commands.  Rejected: the logarithmic index for every time (it costs three
times as much), and collecting the raw times for a later turn (the same work, and memory besides).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

#: Slots of the short times.
SLOTS = 256
#: One slot is ``1 << SLOT_SHIFT`` nanoseconds.
SLOT_SHIFT = 10
#: Longer times count as this many nanoseconds, as in Redis.
LONGEST = 1_000_000_000

_LAST_LEVEL = 1 << 30


class Histogram:
    """Counts of times.  ``slots[n]`` counts those of ``n << SLOT_SHIFT`` nanoseconds and less than one slot more."""

    __slots__ = ("_long", "slots")

    def __init__(self) -> None:
        self.slots = [0] * SLOTS
        self._long: dict[int, int] = {}  # the last nanosecond of a part: how many

    def add(self, nanoseconds: int, count: int) -> None:
        """Count a time ``count`` times."""
        slot = nanoseconds >> SLOT_SHIFT
        if slot < SLOTS:
            self.slots[slot] += count
        else:
            last = _last_of_part(min(nanoseconds, LONGEST))
            self._long[last] = self._long.get(last, 0) + count

    @property
    def count(self) -> int:
        """How many times were recorded."""
        return sum(self.slots) + sum(self._long.values())

    def steps(self) -> Iterator[tuple[int, int]]:
        """(upper end in nanoseconds, count) of everything that counted something, the shortest first."""
        for slot, count in enumerate(self.slots):
            if count:
                yield ((slot + 1) << SLOT_SHIFT) - 1, count
        for last in sorted(self._long):
            yield last, self._long[last]

    def cumulative(self) -> list[tuple[int, int]]:
        """(microseconds, how many took no longer) at the powers of two where the number grows.

        The bounds bear the numbers under which Redis prints them: 1,024 times a power of two in nanoseconds, with the two
        digits that it keeps, cut to microseconds.
        """
        out: list[tuple[int, int]] = []
        level, total = 1 << SLOT_SHIFT, 0
        for last, count in self.steps():
            while last > level:
                level <<= 1
            total += count
            shown = (_LAST_LEVEL - 1 if level >= _LAST_LEVEL else _last_of_part(level)) // 1000
            if out and out[-1][0] == shown:
                out[-1] = shown, total
            else:
                out.append((shown, total))
        return out

    def percentiles(self, wanted: Sequence[float]) -> list[int]:
        """For each percentage the time in nanoseconds that so many of the times do not exceed; something was recorded."""
        steps, total = list(self.steps()), self.count
        out = []
        for percentage in wanted:
            rank = max(1, int(percentage / 100 * total + 0.5))
            seen = 0
            for last, count in steps:
                seen += count
                if seen >= rank:
                    out.append(last)
                    break
        return out


def _last_of_part(nanoseconds: int) -> int:
    """The last nanosecond of the part, one of 128 of its power of two, that a time lies in."""
    shift = nanoseconds.bit_length() - 8
    return ((nanoseconds >> shift) + 1 << shift) - 1
