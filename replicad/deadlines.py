"""When keys expire.

Owns: ``Deadlines``, one for the keys of a database and one for its hashes with fields that expire.  Does not own what
happens to what is due (``keyspace``, ``timekeeping``).

Expiry is exact, not sampled: 256 lanes, each a dict key -> deadline and a heap of (deadline, key).  A key whose deadline
moves leaves a stale heap entry behind; a lane is rebuilt when more than half of its heap is stale, which is a small
piece of work because a lane holds a 256th of the keys.  Rejected: one heap (its rebuild stalls), and sets of keys per
time slice (216 bytes for each distinct second).
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from heapq import heapify, heappop, heappush

LANES = 256
LANE_MASK = LANES - 1


class Deadlines:
    """When keys expire: one of the 256 lanes is chosen by the key's hash."""

    __slots__ = ("_dicts", "_heaps", "count")

    def __init__(self) -> None:
        self._dicts: list[dict[bytes, int]] = [{} for _ in range(LANES)]
        self._heaps: list[list[tuple[int, bytes]]] = [[] for _ in range(LANES)]
        self.count = 0

    def get(self, key: bytes) -> int | None:
        """The deadline of ``key`` in Unix milliseconds."""
        return self._dicts[hash(key) & LANE_MASK].get(key)

    def set(self, key: bytes, at_ms: int) -> None:
        """Give ``key`` the deadline ``at_ms``."""
        lane = hash(key) & LANE_MASK
        deadlines = self._dicts[lane]
        if key not in deadlines:
            self.count += 1
        elif deadlines[key] == at_ms:
            return
        deadlines[key] = at_ms
        heap = self._heaps[lane]
        heappush(heap, (at_ms, key))
        if len(heap) > 2 * len(deadlines) + 16:
            heap[:] = [(deadline, k) for k, deadline in deadlines.items()]
            heapify(heap)

    def discard(self, key: bytes) -> bool:
        """Forget the deadline of ``key``; True when there was one."""
        if self._dicts[hash(key) & LANE_MASK].pop(key, None) is None:
            return False
        self.count -= 1
        return True

    def due(self, now_ms: int, limit: int) -> list[bytes]:
        """Up to ``limit`` keys whose deadline lies before ``now_ms``, and forget nothing but stale heap entries.

        The caller deletes the keys.
        """
        out: list[bytes] = []
        for heap, deadlines in zip(self._heaps, self._dicts, strict=True):
            while heap and heap[0][0] < now_ms and len(out) < limit:
                at_ms, key = heappop(heap)
                if deadlines.get(key) == at_ms:
                    out.append(key)
        return out

    def soonest(self) -> Iterator[tuple[int, bytes]]:
        """(deadline, key) in order, the next to expire first; the caller removes each key before it asks for another."""
        heads: list[tuple[int, bytes, int]] = []

        def head_of(lane: int) -> None:
            heap, deadlines = self._heaps[lane], self._dicts[lane]
            while heap and deadlines.get(heap[0][1]) != heap[0][0]:
                heappop(heap)
            if heap:
                heappush(heads, (*heap[0], lane))

        for lane in range(LANES):
            head_of(lane)
        while heads:
            at_ms, key, lane = heappop(heads)
            yield at_ms, key
            head_of(lane)

    def sample(self, count: int) -> list[bytes]:
        """Up to ``count`` keys that have a deadline, chosen at random; [] only when there is none."""
        found: dict[bytes, None] = {}
        if self.count:
            for _ in range(count):
                lane = random.randrange(LANES)
                while not self._dicts[lane]:
                    lane = (lane + 1) & LANE_MASK
                heap, deadlines = self._heaps[lane], self._dicts[lane]
                at_ms, key = random.choice(heap)
                while deadlines.get(key) != at_ms:  # a stale entry; at most half of them are, and some more
                    at_ms, key = random.choice(heap)
                found[key] = None
        return list(found)

    def items(self) -> Iterator[tuple[bytes, int]]:
        """Every (key, deadline)."""
        for deadlines in self._dicts:
            yield from deadlines.items()
