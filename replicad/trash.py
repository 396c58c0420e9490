"""Memory given back in slices, so that no deletion stops the reactor.

Owns: ``Trash``, and from which size on something is thrown there.  Does not own when it is emptied (``timekeeping``).
Called by the keyspace and by commands that throw large collections away.
"""

from __future__ import annotations

from typing import Any

from replicad.expiring_hash import ExpiringHash

#: A collection above this many elements is not freed at once but handed to the trash.
LARGE = 10_000


class Trash:
    """Large dead collections, freed a slice at a time so that no deletion stops the reactor."""

    def __init__(self) -> None:
        self._dead: list[Any] = []

    def __len__(self) -> int:
        return len(self._dead)

    def throw(self, value: Any) -> None:
        """Take ``value``; the caller must hold no other reference that lives on."""
        self._dead.append(value)

    def reclaim(self, elements: int = 5000) -> bool:
        """Free about ``elements`` elements; True while there is more."""
        while self._dead and elements > 0:
            value = self._dead[-1]
            kind = type(value)
            if kind is ExpiringHash and value.deadlines:
                self._dead += value.deadlines.parts()
                continue
            if kind is dict or kind is ExpiringHash:
                step = min(elements, len(value))
                for _ in range(step):
                    inner = value.popitem()[1]
                    if type(inner) is not bytes and weight(inner) > LARGE:
                        self._dead.insert(0, inner)
            elif kind is set:
                step = min(elements, len(value))
                for _ in range(step):
                    value.pop()
            elif kind is list:
                step = min(elements, len(value))
                for _ in range(step):
                    inner = value.pop()
                    if weight(inner) > LARGE or (type(inner) is dict and inner):
                        self._dead.insert(0, inner)
                step = max(step, 1)
            elif hasattr(value, "popleft"):
                step = min(elements, len(value))
                for _ in range(step):
                    value.popleft()
            elif hasattr(value, "parts"):  # a sorted set; taking members out of it in order costs ten times as much
                self._dead[-1:] = value.parts()
                continue
            elif hasattr(value, "pop"):  # the order of a sorted set
                step = min(elements, len(value))
                for _ in range(step):
                    value.pop()
            else:
                step = 1
                self._dead.pop()
                elements -= step
                continue
            if not value and self._dead and self._dead[-1] is value:
                self._dead.pop()
            elif not value:
                self._dead.remove(value)
            elements -= max(step, 1)
        return bool(self._dead)


def weight(value: Any) -> int:
    return 0 if type(value) is bytes else len(value) if hasattr(value, "__len__") else 0
