"""Loads entries into databases a few milliseconds at a time, so that the reactor lives.

Owns: the slices, the count of keys, the refusal of what does not fit.  Does not own where the entries come from (a
backend, an image) nor what happens with the filled databases.  Used at start and for the images of a full synchronisation.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from replicad.expiring_hash import ExpiringHash
from replicad.keyspace import SHARD_MASK, Database, Entry
from replicad.persistence.interfaces import DamagedSnapshot

#: How long one slice takes at most, in seconds.
SLICE_SECONDS = 0.008

CallLater = Callable[..., Any]


def check_distinct(databases: Iterable[Database], keys: int) -> None:
    """Raise DamagedSnapshot unless ``databases``, which were empty, hold all ``keys`` entries that were stored in them.

    A key that comes twice is damage, and this finds it for nothing: a set of all keys seen would cost a third of the
    time of decoding, its memory, and a stop of the server each time it grows.
    """
    if sum(map(len, databases)) != keys:
        raise DamagedSnapshot("", None, "a key comes twice in a database")


class Loader:
    """One load.  Calls ``done(keys, expired)`` or ``failed(error)`` in the end, unless ``cancel`` was called.

    ``drop_before_ms``: entries that expired before this Unix time are left out (a master at start); None keeps all (a
    replica keeps what its master has not deleted); ``dropped(database, key)`` is told each of them.  ``keys`` can be watched
    meanwhile.
    """

    def __init__(
        self,
        call_later: CallLater,
        entries: Iterable[Entry],
        databases: Sequence[Database],
        drop_before_ms: int | None,
        done: Callable[[int, int], None],
        failed: Callable[[Exception], None],
        dropped: Callable[[int, bytes], None] | None = None,
    ) -> None:
        self.keys = self.expired = 0
        self._call_later = call_later
        self._entries = iter(entries)
        self._databases = databases
        self._drop_before_ms = drop_before_ms
        self._done = done
        self._failed = failed
        self._dropped = dropped
        self._cancelled = False

    def start(self) -> None:
        """Load the first slice now and the others in later turns of the reactor."""
        for db in self._databases:
            if db.ledger is not None:
                db.ledger.restart()  # the entries bypass it; they are counted in the end
        self._slice()

    def cancel(self) -> None:
        """Load no more and call nobody."""
        self._cancelled = True

    def _slice(self) -> None:
        if self._cancelled:
            return
        until = time.perf_counter() + SLICE_SECONDS
        try:
            while time.perf_counter() < until:
                if self._some(200):
                    check_distinct(self._databases, self.keys)
                    self._done(self.keys, self.expired)
                    return
        except (DamagedSnapshot, OSError) as error:
            self._failed(error)
            return
        self._call_later(0, self._slice)

    def _some(self, count: int) -> bool:
        """Load up to ``count`` entries; True when there are no more."""
        databases, limit = self._databases, self._drop_before_ms
        keys = 0
        entries = self._entries
        selected, shards = -1, databases[0].shards
        for index, key, value, at_ms in entries:
            if index != selected:
                if index >= len(databases):
                    raise DamagedSnapshot("", None, f"it holds database {index}, the server has {len(databases)}")
                selected, shards = index, databases[index].shards
            if at_ms is not None:
                if limit is not None and at_ms < limit:
                    self.expired += 1
                    if self._dropped is not None:
                        self._dropped(index, key)
                    continue
                databases[index].deadlines.set(key, at_ms)
            shards[hash(key) & SHARD_MASK][key] = value
            if type(value) is ExpiringHash:
                databases[index].track_fields(key, value)
            keys += 1
            if keys >= count:
                self.keys += keys
                return False
        self.keys += keys
        return True
