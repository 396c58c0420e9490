"""The keyspace: databases, the only place where a key appears, changes, dies or expires.

Owns: ``Database`` (shards, deadlines, watches, the two hooks).  Does not own: when keys expire (``deadlines``), how large
values are freed (``trash``), what a command does with a value, what is propagated, when time passes.  Called by the
commands, by the loaders of snapshots, and by the server's clock.

A database is 4,096 dicts ("shards"); a key lives in ``shards[hash(key) & SHARD_MASK]``.  With a million keys this costs
nothing that can be measured (cache misses dominate) and buys: SCAN with Redis's guarantee and a stateless cursor, no
stall when one huge dict grows (147 ms at 5.6 million keys), walks in slices, and RANDOMKEY.

The two hooks every change goes through:

* before a value changes: ``writable`` and ``put`` (a point-in-time view can save the old state here);
* after it changed: ``touched`` (WATCH, blocked clients, and whoever else set ``observed``).

The rules for commands::

    value = db.read(key, dict)        # for reading: None when missing or expired, WRONGTYPE when it is another type
    value = db.writable(key, dict)    # for changing in place: the same, and the change may start now
    db.put(key, value)                # store a new value, drop any deadline;  db.put_keeping(key, value) keeps it
    db.touched(key)                   # after a change in place;  put, delete and set_deadline call it themselves
    db.touched_or_empty(key, value)   # the same, and deletes the key when the collection became empty
    db.delete(key)                    # -> True when it existed
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Iterator
from typing import Any, TypeVar

from replicad.deadlines import Deadlines
from replicad.errors import WRONG_TYPE
from replicad.expiring_hash import ExpiringHash
from replicad.notifications import GENERIC, KEY_MISS, NEW, Notify
from replicad.trash import LARGE, Trash, weight

SHARD_BITS = 12
SHARDS = 1 << SHARD_BITS
SHARD_MASK = SHARDS - 1
#: Steps below this lead no number of 17 digits out of 64 bits.
_SMALL = 1 << 62

V = TypeVar("V")
Entry = tuple[int, bytes, Any, "int | None"]


class Stats:
    """Counters of the keyspace that INFO stats reports; shared by all databases."""

    __slots__ = ("expired", "expired_fields", "hits", "misses")

    def __init__(self) -> None:
        self.hits = 0
        self.misses = 0
        self.expired = 0
        self.expired_fields = 0


class Clock:
    """The time that commands see: read once per batch, so that one command sees one instant."""

    __slots__ = ("now_ms", "tenths")

    def __init__(self) -> None:
        self.now_ms = 0
        self.tenths = 0  #: tenths of a second, read ten times a second: what accesses to keys are noted with


class Database:
    """One numbered database.

    ``expire`` is called as ``expire(db, key)`` when a read meets an expired key on a server that may delete it
    (a master); when it is None expired keys are hidden but kept (a replica), as Redis does it.
    ``fields_expired(db, key, fields)`` is called when such a server removes fields of a hash whose time has come; ``fields``
    is the hash when it is all of them.
    ``on_touched(db, key)`` is called after each change while ``observed`` is true, ``on_flush(db)`` before all keys go.
    ``notify`` is how keyspace notifications are told, None when nobody wants them.
    """

    __slots__ = (
        "clock", "deadlines", "expire", "field_deadlines", "fields_expired", "frozen", "index", "ledger", "notify",
        "observed", "on_flush", "on_touched", "see_expired", "shards", "stats", "trash",
    )  # fmt: skip

    def __init__(self, index: int, clock: Clock, stats: Stats, trash: Trash) -> None:
        self.index = index
        self.clock = clock
        self.stats = stats
        self.trash = trash
        self.shards: list[dict[bytes, Any]] = [{} for _ in range(SHARDS)]
        self.deadlines = Deadlines()
        #: When the first field of a hash expires, for each hash that has such fields; None until there was one.
        self.field_deadlines: Deadlines | None = None
        self.expire: Callable[[Database, bytes], None] | None = None
        self.fields_expired: Callable[[Database, bytes, Collection[bytes]], None] | None = None
        self.frozen: Callable[[], bool] | None = None
        self.ledger: Any = None  #: the account of sizes and accesses, for the classes of ``ledger``
        #: While the master's stream is applied expired keys are seen as present.
        self.see_expired = False
        self.observed = False
        self.on_touched: Callable[[Database, bytes], None] | None = None
        self.on_flush: Callable[[Database], None] | None = None
        self.notify: Notify | None = None

    # -- reading

    def peek(self, key: bytes) -> Any:
        """The value of ``key`` or None, without counting a hit or a miss; expired keys are absent."""
        value = self.shards[hash(key) & SHARD_MASK].get(key)
        if value is not None and self.deadlines.count and self._expired(key):
            return None
        return value

    def get(self, key: bytes) -> Any:
        """The value of ``key`` or None; expired keys are absent.  Counts keyspace_hits and keyspace_misses."""
        value = self.shards[hash(key) & SHARD_MASK].get(key)
        if value is None or (self.deadlines.count and self._expired(key)):
            self.stats.misses += 1
            if self.notify is not None:
                self.notify(KEY_MISS, b"keymiss", key, self.index)
            return None
        self.stats.hits += 1
        return value

    #: As ``get``, for commands whose look at a key is no use of it (EXISTS, TYPE, TTL): subclasses note uses in ``get``.
    look = get

    def read(self, key: bytes, kind: type[V]) -> V | None:
        """As ``get``, for one type; raises WRONG_TYPE when the key holds another."""
        value = self.get(key)
        if value is not None and type(value) is not kind:
            return self._unlike(key, value, kind, False)
        return value

    def _unlike(self, key: bytes, value: Any, kind: type[V], writing: bool) -> V | None:
        """What a command gets that asked for ``kind`` where ``value``, of another type, is: a hash, or WRONG_TYPE."""
        if kind is dict and type(value) is ExpiringHash:
            return self.live_fields(key, value, writing)  # type: ignore[return-value]
        raise WRONG_TYPE

    def live_fields(self, key: bytes, value: ExpiringHash, writing: bool = False) -> dict[bytes, bytes] | None:
        """The hash under ``key`` without the fields whose time has come; None when no field is left.

        Who may change the dataset deletes those fields now.  For a reader on a replica they are only hidden, in a dict that
        must not be changed; they are deleted when the master says so.  It is the same while ``frozen()``, and when there are
        so many that a reader should not wait: the clock deletes them in slices.
        """
        due = 0 if self.see_expired else value.count_due(self.clock.now_ms)
        if not due:
            return value
        hidden = self.expire is None or LARGE < due < len(value) or (self.frozen is not None and self.frozen())
        if hidden and not writing:
            return value.live(self.clock.now_ms) or None
        return value if self.expire_fields(key, value) else None

    def expire_fields(self, key: bytes, value: ExpiringHash, most: int | None = None) -> bool:
        """Delete fields of the hash under ``key`` whose time has come, at most so many; False when no field is left.

        When it is the time of all of them the hash goes as a whole: a million fields one by one would take seconds.
        """
        now_ms = self.clock.now_ms
        whole = value.all_due(now_ms)
        fields = value if whole else value.take_due(now_ms, most)
        if fields and self.expire is not None and self.fields_expired is not None:
            self.fields_expired(self, key, fields)
        if whole:
            self.remove(key)
            if self.notify is not None:
                self.notify(GENERIC, b"del", key, self.index)
            return False
        self.track_fields(key, value)
        if fields:
            self.touched(key)
        return True

    def track_fields(self, key: bytes, value: ExpiringHash) -> None:
        """Note when the first field of the hash under ``key`` expires; after each change of its field deadlines."""
        at_ms = value.earliest()
        if self.field_deadlines is None:
            if at_ms is None:
                return
            self.field_deadlines = Deadlines()
        self.field_deadlines.discard(key)  # also when it is due: the heap has forgotten it then
        if at_ms is not None:
            self.field_deadlines.set(key, at_ms)

    def _expired(self, key: bytes) -> bool:
        """Whether ``key`` is past its deadline for the caller; deletes it where that is this server's right."""
        at_ms = self.deadlines.get(key)
        if at_ms is None or at_ms >= self.clock.now_ms or self.see_expired:
            return False
        if self.expire is not None:
            self.expire(self, key)
        return True

    def __contains__(self, key: bytes) -> bool:
        return self.peek(key) is not None

    def __len__(self) -> int:
        """The number of keys, expired ones that are not deleted yet included, as DBSIZE counts."""
        return sum(map(len, self.shards))

    def deadline(self, key: bytes) -> int | None:
        """When ``key`` expires, in Unix milliseconds; None when never."""
        return self.deadlines.get(key) if self.deadlines.count else None

    # -- writing

    def writable(self, key: bytes, kind: type[V]) -> V | None:
        """The value of ``key`` for a change in place, or None when it is missing or expired.

        Raises WRONG_TYPE.  The caller changes it and calls ``touched`` or ``touched_or_empty``.
        """
        value = self.shards[hash(key) & SHARD_MASK].get(key)
        if value is None or (self.deadlines.count and self._expired(key)):
            return None
        if type(value) is not kind:
            return self._unlike(key, value, kind, True)
        return value

    def _gone(self, key: bytes, value: Any) -> None:
        """``value``, a collection, is no longer under ``key``."""
        if type(value) is ExpiringHash and self.field_deadlines is not None:
            self.field_deadlines.discard(key)
        if weight(value) > LARGE:
            self.trash.throw(value)

    def put(self, key: bytes, value: Any) -> bool:
        """Store ``value`` under ``key`` and drop its deadline.

        True when changes are observed: SET asks then whether it must notify, where a test each time costs it 10 ns.
        """
        shard = self.shards[hash(key) & SHARD_MASK]
        old = shard.get(key)
        if old is not None:
            if self.deadlines.count and self.deadlines.get(key) is not None:
                if self._expired(key) and self.expire is not None:
                    old = None  # deleted, and the replicas are told, before the new value comes
                else:
                    self.deadlines.discard(key)
            if type(old) is not bytes:
                self._gone(key, old)
        shard[key] = value
        if self.observed:
            if old is None and self.notify is not None:
                self.notify(NEW, b"new", key, self.index)
            self.on_touched(self, key)  # type: ignore[misc]
            return True
        return False

    def put_many(self, keys: list[bytes], values: list[bytes]) -> None:
        """``put`` for each pair of two lists of equal length, strings only (MSET); less than ``put`` would take for each."""
        if self.deadlines.count or self.observed:
            for key, value in zip(keys, values, strict=True):
                self.put(key, value)
            return
        shards = self.shards
        for key, value in zip(keys, values, strict=True):
            shard = shards[hash(key) & SHARD_MASK]
            if type(shard.get(key, value)) is bytes:
                shard[key] = value
            else:
                self.put(key, value)

    def add(self, key: bytes, step: int) -> int | None:
        """Add ``step`` to the number under ``key`` and return the sum, in the simple case; else None, and nothing is done.

        Simple is a string of up to 17 digits, no deadlines, and nobody who observes: INCR with one look at the shard.
        """
        shard = self.shards[hash(key) & SHARD_MASK]
        old = shard.get(key)
        if type(old) is bytes and len(old) < 18 and old.isdigit() and old[0] != 48:
            if not (self.deadlines.count or self.observed) and -_SMALL < step < _SMALL:
                total = int(old) + step
                shard[key] = b"%d" % total
                return total
        return None

    def put_keeping(self, key: bytes, value: Any) -> None:
        """Store ``value`` under ``key`` and keep its deadline (APPEND, INCR, SET KEEPTTL)."""
        self.shards[hash(key) & SHARD_MASK][key] = value
        if self.observed:
            self.on_touched(self, key)  # type: ignore[misc]

    def put_with_deadline(self, key: bytes, value: Any, at_ms: int | None) -> None:
        """Store ``value`` with a deadline, or with none."""
        self.put(key, value)
        if at_ms is not None:
            self.deadlines.set(key, at_ms)
        if type(value) is ExpiringHash:
            self.track_fields(key, value)

    def delete(self, key: bytes) -> bool:
        """Remove ``key``; True when it was there (expired ones count as gone).  Listeners are told of a ``del``."""
        if self.deadlines.count and self._expired(key) and self.expire is not None:
            return False
        return self.drop(key)

    def drop(self, key: bytes) -> bool:
        """As ``delete``, where an expired key counts as there: for commands that find nothing to store under it."""
        if not self.remove(key):
            return False
        if self.notify is not None:
            self.notify(GENERIC, b"del", key, self.index)
        return True

    def remove(self, key: bytes) -> bool:
        """Remove ``key`` whatever its deadline says, and report no event; True when it was there."""
        value = self.shards[hash(key) & SHARD_MASK].pop(key, None)
        if value is None:
            return False
        if self.deadlines.count:
            self.deadlines.discard(key)
        if type(value) is not bytes:
            self._gone(key, value)
        if self.observed:
            self.on_touched(self, key)  # type: ignore[misc]
        return True

    def take(self, key: bytes) -> tuple[Any, int | None]:
        """Remove ``key`` and return (value, deadline), for RENAME and MOVE; the value is not thrown away."""
        at_ms = self.deadline(key)
        value = self.shards[hash(key) & SHARD_MASK].pop(key, None)
        if at_ms is not None:
            self.deadlines.discard(key)
        if type(value) is ExpiringHash and self.field_deadlines is not None:
            self.field_deadlines.discard(key)
        if value is not None and self.observed:
            self.on_touched(self, key)  # type: ignore[misc]
        return value, at_ms

    def touched(self, key: bytes) -> None:
        """Tell that the value of ``key`` changed in place."""
        if self.observed:
            self.on_touched(self, key)  # type: ignore[misc]

    def touched_or_empty(self, key: bytes, value: Any) -> None:
        """As ``touched``; a collection that became empty is deleted, which is told to listeners as ``del``."""
        if value:
            if self.observed:
                self.on_touched(self, key)  # type: ignore[misc]
        else:
            self.drop(key)

    def set_deadline(self, key: bytes, at_ms: int | None) -> None:
        """Let the existing ``key`` expire at ``at_ms`` (Unix milliseconds), or never."""
        if at_ms is None:
            self.deadlines.discard(key)
        else:
            self.deadlines.set(key, at_ms)
        if self.observed:
            self.on_touched(self, key)  # type: ignore[misc]

    def flush(self) -> int:
        """Remove everything, freeing the memory in slices; returns the number of keys there were."""
        count = len(self)
        if count and self.observed:
            self.on_flush(self)  # type: ignore[misc]
        if count:
            self.trash.throw(self.shards)
            self.shards = [{} for _ in range(SHARDS)]
            self.trash.throw(self.deadlines._dicts)
            self.deadlines = Deadlines()
            if self.field_deadlines is not None:
                self.trash.throw(self.field_deadlines._dicts)
                self.field_deadlines = None
        return count

    def swap(self, other: Database) -> None:
        """Exchange the contents of two databases (SWAPDB)."""
        self.shards, other.shards = other.shards, self.shards
        self.deadlines, other.deadlines = other.deadlines, self.deadlines
        self.field_deadlines, other.field_deadlines = other.field_deadlines, self.field_deadlines

    # -- walking

    def entries(self) -> Iterator[Entry]:
        """Every (db, key, value, expire_at_ms).  Not a point-in-time view: use it in a forked child or a pause."""
        index, deadline = self.index, self.deadlines.get
        if self.deadlines.count:
            for shard in self.shards:
                for key, value in shard.items():
                    yield index, key, value, deadline(key)
        else:
            for shard in self.shards:
                for key, value in shard.items():
                    yield index, key, value, None

    def keys(self) -> Iterator[bytes]:
        """Every key that has not expired; nothing is deleted on the way."""
        deadline, now_ms = self.deadlines.get, self.clock.now_ms
        for shard in self.shards:
            for key in list(shard):
                if not self.deadlines.count or self.see_expired or (at_ms := deadline(key)) is None or at_ms >= now_ms:
                    yield key

    def scan(self, cursor: int, count: int) -> tuple[int, list[bytes]]:
        """One step of SCAN: (next cursor, keys).  A key that is there all the time is returned at least once.

        The cursor is the number of the next shard; a shard is returned whole, so ``count`` is a lower bound.
        """
        out: list[bytes] = []
        shards = self.shards
        while cursor < SHARDS:
            shard = shards[cursor]
            cursor += 1
            if shard:
                out.extend(shard)
                if len(out) >= count:
                    break
        if self.deadlines.count:
            out = [key for key in out if self.peek(key) is not None]
        return (cursor if cursor < SHARDS else 0), out

    def random_key(self) -> bytes | None:
        """A key chosen at random (evenly over shards, then within one), or None when the database is empty.

        On a replica with nothing but expired keys one of them is returned, as Redis does it.
        """
        for _ in range(100):
            key = self._any_key()
            if key is None or self.peek(key) is not None:
                return key
        return key if self.expire is None else None

    def _any_key(self) -> bytes | None:
        shards = self.shards
        for _ in range(64):
            shard = shards[random.getrandbits(SHARD_BITS)]
            if shard:
                return random.choice(list(shard))
        full = [shard for shard in shards if shard]
        return random.choice(list(random.choice(full))) if full else None

    def load(self, key: bytes, value: Any, at_ms: int | None) -> None:
        """Store one entry of a snapshot: no hooks, no checks."""
        self.shards[hash(key) & SHARD_MASK][key] = value
        if at_ms is not None:
            self.deadlines.set(key, at_ms)
        if type(value) is ExpiringHash:
            self.track_fields(key, value)
