"""``ExpiringHash``: a hash some of whose fields have a deadline (HEXPIRE and its family).

Owns: the deadlines of the fields of one hash, in step with the fields.  Does not own when due fields are deleted nor who
is told: that is the keyspace's (``Database.live_fields``) and the server clock's business.  Made by ``commands.hash_expiry``
when the first field of a hash gets a deadline, by the RDB reader, and by COPY.

All other hashes are plain ``dict`` and pay nothing: ``Database.read(key, dict)`` and ``writable`` test the type, and only
when that fails look whether it is one of these.  The commands then use it as a dict.  Setting a field drops its deadline,
as HSET does; what keeps it (HINCRBY) calls ``keep``.  Not every method of dict is ready for deadlines: use those that are
defined here, and the ones that only read.

The deadlines are a ``SortedSet`` (field -> Unix milliseconds): exact order without stale entries, and no step that takes
long, however many fields there are.  Rejected: a heap with stale entries (its rebuild stalls a hash with a million
deadlines), and deadlines beside the values in the keyspace (each HSET and HGET would have to ask for them).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from replicad.values import TYPE_NAMES, SortedSet


class ExpiringHash(dict[bytes, bytes]):
    """A hash with field deadlines in Unix milliseconds; a field without one stays for ever.

    ``fields`` are the pairs to begin with, ``deadlines`` the deadlines of some of them.
    """

    __slots__ = ("_live", "_live_until_ms", "deadlines")

    def __init__(
        self, fields: Mapping[bytes, bytes] | Iterable[tuple[bytes, bytes]] = (), deadlines: SortedSet | None = None
    ) -> None:
        super().__init__(fields)
        self.deadlines = SortedSet() if deadlines is None else deadlines
        self._live: dict[bytes, bytes] | None = None
        self._live_until_ms: int | None = None

    # -- changing fields

    def __setitem__(self, field: bytes, content: bytes) -> None:
        self._live = None
        self.deadlines.remove(field)
        super().__setitem__(field, content)

    def keep(self, field: bytes, content: bytes) -> None:
        """Set a field and keep its deadline."""
        self._live = None
        super().__setitem__(field, content)

    def update(self, pairs: Iterable[tuple[bytes, bytes]]) -> None:  # type: ignore[override]
        """Set several fields, as one after the other."""
        for field, content in pairs:
            self[field] = content

    def pop(self, field: bytes, default: Any = None) -> Any:
        """Remove a field and return its content, or ``default``."""
        self._live = None
        self.deadlines.remove(field)
        return super().pop(field, default)

    def __delitem__(self, field: bytes) -> None:
        self._live = None
        super().__delitem__(field)
        self.deadlines.remove(field)

    # -- deadlines

    def deadline(self, field: bytes) -> int | None:
        """When ``field`` expires; None when never."""
        at_ms = self.deadlines.scores.get(field)
        return None if at_ms is None else int(at_ms)

    def set_deadline(self, field: bytes, at_ms: int) -> None:
        """Let the existing ``field`` expire at ``at_ms``."""
        self._live = None
        self.deadlines.set(field, at_ms)

    def persist(self, field: bytes) -> bool:
        """Let ``field`` stay for ever; True when it had a deadline."""
        self._live = None
        return self.deadlines.remove(field)

    def earliest(self) -> int | None:
        """The first deadline of all; None when no field has one."""
        first = self.deadlines.slice(0, 1)
        return int(first[0][1]) if first else None

    def count_due(self, now_ms: int) -> int:
        """How many fields are past their deadline.  As with keys, one is still there in the millisecond of its deadline."""
        return self.deadlines.bisect_score(now_ms, False)

    def all_due(self, now_ms: int) -> bool:
        """Whether every field is past its deadline."""
        count = len(self.deadlines)
        return count == len(self) and all(at_ms < now_ms for _, at_ms in self.deadlines.slice(count - 1, count))

    def take_due(self, now_ms: int, most: int | None = None) -> list[bytes]:
        """Remove the fields that are past their deadline, at most so many, and return them, the first due first.

        What ``live`` returned stays valid: it does not contain them.
        """
        count = self.count_due(now_ms)
        taken = [field for field, _ in self.deadlines.pop_first(count if most is None else min(count, most))]
        for field in taken:
            super().pop(field)
        return taken

    def live(self, now_ms: int) -> dict[bytes, bytes]:
        """The fields that are not past their deadline, in a dict that must not be changed.

        It is kept for the next question: a replica whose master does not answer may be asked often.
        """
        if self._live is None or (self._live_until_ms is not None and self._live_until_ms < now_ms):
            count = self.count_due(now_ms)
            following = self.deadlines.slice(count, count + 1)
            self._live_until_ms = int(following[0][1]) if following else None
            deadline = self.deadlines.scores.get
            self._live = {field: content for field, content in self.items() if deadline(field, now_ms) >= now_ms}
        return self._live

    # -- as a value

    def copy(self) -> ExpiringHash:
        """A copy with deadlines of its own."""
        return ExpiringHash(self, self.deadlines.copy())

    __copy__ = copy

    def __deepcopy__(self, _memo: Any) -> ExpiringHash:
        return self.copy()

    def __eq__(self, other: object) -> bool:
        """Equal fields and equal deadlines; a plain dict has none."""
        if not isinstance(other, dict):
            return NotImplemented
        theirs = other.deadlines.scores if type(other) is ExpiringHash else {}
        return self.deadlines.scores == theirs and super().__eq__(other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<ExpiringHash of {len(self)}, {len(self.deadlines)} with deadlines>"


TYPE_NAMES[ExpiringHash] = TYPE_NAMES[dict]
