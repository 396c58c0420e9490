"""What maxmemory must know of each key: how much memory it takes, and when or how often it was used.

Owns: ``Ledger`` (the account of one database) and the databases that keep one.  Does not own the sizes (``memory``), nor
what follows from the sum (``eviction``, which turns accounts on and off).

``Database`` itself knows nothing of this, because every SET would pay for it.  An account is turned on by changing the
class of the living databases to one of those below: the same slots, but every change of a key goes through the ledger.
Rejected: the resident size of the process (it does not fall when keys go, so eviction would never end), counters in the
allocator (pymalloc shows none that are cheap to read), and an attribute test in the methods of ``Database``.

* ``AccountedDatabase`` keeps sizes only;
* ``RecencyDatabase`` also the time of the last access, in tenths of a second (the policies ``*-lru``, OBJECT IDLETIME);
* ``FrequencyDatabase`` also how often (``*-lfu``, OBJECT FREQ): Redis's logarithmic counter, in the lower eight bits, and
  the minute when it was last reduced.

Strings are not remembered: their size follows from their length when they go.  For each collection the ledger holds what
it was counted with.  A small one is measured anew after each change; a large one is taken to have grown by as many
elements of the newest one's size, and is measured again after a number of changes.

An account that is turned on with keys in place counts them in slices, shard by shard.  Until it is through a change is
noted only in shards that are counted, and the sum is extrapolated: keys are spread evenly over the shards.
"""

from __future__ import annotations

from collections.abc import Callable
from random import random
from typing import Any, TypeVar

from replicad.deadlines import LANE_MASK, LANES
from replicad.keyspace import SHARD_MASK, SHARDS, Database
from replicad.memory import container_size, newest_size, value_size

V = TypeVar("V")

#: Up to so many elements a collection is measured whole, and after each change.
SMALL = 32
#: So many elements of a larger one are measured.
_SAMPLES = 1000
#: A large collection is measured again at the latest after so many changes.
_PATIENCE = 256
#: The counter of a key that is new; without it new keys would be the next to go.
NEW_COUNTER = 5
_MINUTES = 0xFFFF
#: An integer of its own for each key; times of access are shared.
_INTEGER = 32
#: One tenth of a second is the unit of access times; so many of them are a minute.
_TENTHS_A_MINUTE = 600


class LfuTuning:
    """The directives lfu-log-factor and lfu-decay-time (minutes)."""

    __slots__ = ("decay_minutes", "factor")

    def __init__(self) -> None:
        self.factor = 10
        self.decay_minutes = 1

    def decayed(self, record: int, minute: int) -> int:
        """The counter of ``record`` at the given minute."""
        counter = record & 255
        if self.decay_minutes:
            counter -= (minute - (record >> 8) & _MINUTES) // self.decay_minutes
        return counter if counter > 0 else 0

    def used(self, record: int, minute: int) -> int:
        """The record of a key after one more access.  The higher the counter, the less likely it rises."""
        counter = self.decayed(record, minute)
        if counter < 255 and random() * ((counter - NEW_COUNTER) * self.factor + 1 if counter > NEW_COUNTER else 1) < 1:
            counter += 1
        return minute << 8 | counter


class Ledger:
    """The account of one database.

    ``bytes`` is the estimate for the keys in the shards below ``counted``; when it rises above ``ceiling``, ``alarm`` is
    called.  ``accesses`` holds, shard by shard, an integer for each key that was used: see the databases.
    """

    __slots__ = ("accesses", "alarm", "bytes", "ceiling", "counted", "lfu", "record_size", "sizes")

    def __init__(self, alarm: Callable[[], None], lfu: LfuTuning) -> None:
        self.alarm = alarm
        self.lfu = lfu
        self.ceiling = 1 << 62
        self.accesses: list[dict[bytes, int]] = []
        self.record_size = 0  #: the bytes of one record besides its place in ``accesses``
        self.restart()

    def restart(self) -> None:
        """Nothing is counted: ``count`` begins with the first shard."""
        self.bytes = self.counted = 0
        #: By key, what a collection was counted with: its size, or of a large one [size, elements, container, changes left].
        self.sizes: list[dict[bytes, Any]] = [{} for _ in range(LANES)]

    @property
    def complete(self) -> bool:
        """Whether every key is counted."""
        return self.counted == SHARDS

    def estimate(self) -> int:
        """The bytes of all keys and values of the database."""
        if self.counted == SHARDS:
            return self.bytes
        return self.bytes * SHARDS // self.counted if self.counted else 0

    # -- collections

    def begin(self, key: bytes, value: Any) -> int:
        """Measure the collection that is now under ``key``; returns its size."""
        size = value_size(value, 0 if len(value) <= 2 * _SAMPLES else _SAMPLES)
        count = len(value)
        entry: Any = size
        if count > SMALL:
            entry = [size, count, container_size(value), min(count >> 3, _PATIENCE) + 8]
        self.sizes[hash(key) & LANE_MASK][key] = entry
        return size

    def again(self, key: bytes, value: Any) -> int:
        """The collection under ``key`` has changed; returns by how much it has grown."""
        entry = self.sizes[hash(key) & LANE_MASK].get(key)
        if type(entry) is list:
            size, count, container, left = entry
            now = len(value)
            if left <= 0 or now >= 2 * count or count >= 2 * now:
                return self.begin(key, value) - size  # type: ignore[no-any-return]
            if now == count:  # fields were set anew; their sizes are looked at later
                entry[3] = left - 1
                return 0
            holds = container_size(value)
            each = newest_size(value) if now > count else None
            if each is None:
                each = (size - container) // count
            grown = (now - count) * each + holds - container
            entry[:] = size + grown, now, holds, left - 1
            return grown  # type: ignore[no-any-return]
        return self.begin(key, value) - (entry or 0)

    def end(self, key: bytes) -> int:
        """There is no collection under ``key`` any more; returns the size it was counted with."""
        entry = self.sizes[hash(key) & LANE_MASK].pop(key, 0)
        size: int = entry[0] if type(entry) is list else entry
        return size

    # -- everything

    def count(self, db: AccountedDatabase, shards: int = 1) -> None:
        """Count the keys of the next shards that are not counted yet."""
        for place in range(self.counted, min(self.counted + shards, SHARDS)):
            total = 0
            for key, value in db.shards[place].items():
                size = len(value) + 48 & -16 if type(value) is bytes else self.begin(key, value)
                total += size + (len(key) + 48 & -16)
            if self.accesses:
                first_seen, known = db.new_access(), self.accesses[place]
                for key in db.shards[place]:
                    if key not in known:
                        known[key] = first_seen
            self.bytes += total
            self.counted = place + 1

    def record_accesses(self, kind: type[Database]) -> None:
        """Begin to record, anew, what databases of this class record; nothing for ``AccountedDatabase``."""
        self.accesses = [] if kind is AccountedDatabase else [{} for _ in range(SHARDS)]
        self.record_size = _INTEGER if kind is FrequencyDatabase else 0

    def exchange(self, other: Ledger) -> None:
        """SWAPDB."""
        for name in ("accesses", "bytes", "counted", "sizes"):
            mine, theirs = getattr(self, name), getattr(other, name)
            setattr(self, name, theirs)
            setattr(other, name, mine)


class AccountedDatabase(Database):
    """A database whose keys are counted."""

    __slots__ = ()

    def put(self, key: bytes, value: Any) -> bool:
        """See ``Database.put``."""
        if self.deadlines.count and self.deadlines.get(key) is not None:
            self._expired(key)  # an expired key goes now, and what was counted for it goes with it
        self._count_put(key, value)
        return Database.put(self, key, value)

    def put_many(self, keys: list[bytes], values: list[bytes]) -> None:
        for key, value in zip(keys, values, strict=True):
            self.put(key, value)

    def add(self, key: bytes, step: int) -> int | None:
        """There is no simple case here."""
        return None

    def put_keeping(self, key: bytes, value: Any) -> None:
        """See ``Database.put_keeping``."""
        self._count_put(key, value)
        Database.put_keeping(self, key, value)

    def load(self, key: bytes, value: Any, at_ms: int | None) -> None:
        """See ``Database.load``."""
        self._count_put(key, value)
        Database.load(self, key, value, at_ms)

    def _count_put(self, key: bytes, value: Any) -> None:
        place = hash(key) & SHARD_MASK
        ledger = self.ledger
        if place < ledger.counted:
            old = self.shards[place].get(key)
            if old is None:
                grown = len(key) + 48 & -16
            else:
                grown = -(len(old) + 48 & -16) if type(old) is bytes else -ledger.end(key)
            grown += len(value) + 48 & -16 if type(value) is bytes else ledger.begin(key, value)
            ledger.bytes += grown
            if ledger.bytes > ledger.ceiling:
                ledger.alarm()

    def touched(self, key: bytes) -> None:
        """See ``Database.touched``."""
        place = hash(key) & SHARD_MASK
        ledger = self.ledger
        if place < ledger.counted:
            value = self.shards[place].get(key)
            if value is not None and type(value) is not bytes:
                ledger.bytes += ledger.again(key, value)
                if ledger.bytes > ledger.ceiling:
                    ledger.alarm()
        if self.observed:
            self.on_touched(self, key)  # type: ignore[misc]

    def touched_or_empty(self, key: bytes, value: Any) -> None:
        """See ``Database.touched_or_empty``."""
        if value:
            self.touched(key)
        else:
            Database.touched_or_empty(self, key, value)

    def remove(self, key: bytes) -> bool:
        """See ``Database.remove``."""
        self._count_gone(key)
        return Database.remove(self, key)

    def take(self, key: bytes) -> tuple[Any, int | None]:
        """See ``Database.take``."""
        self._count_gone(key)
        return Database.take(self, key)

    def _count_gone(self, key: bytes) -> None:
        place = hash(key) & SHARD_MASK
        ledger = self.ledger
        if place < ledger.counted:
            value = self.shards[place].get(key)
            if value is not None:
                size = len(value) + 48 & -16 if type(value) is bytes else ledger.end(key)
                ledger.bytes -= size + (len(key) + 48 & -16)
        if ledger.accesses:
            ledger.accesses[place].pop(key, None)

    def flush(self) -> int:
        """See ``Database.flush``."""
        count = Database.flush(self)
        ledger = self.ledger
        if not count and ledger.complete:
            return 0
        self.trash.throw(ledger.sizes)
        if ledger.accesses:
            self.trash.throw(ledger.accesses)
            ledger.record_accesses(type(self))
        ledger.restart()
        ledger.counted = SHARDS
        return count

    def new_access(self) -> int:
        """The record of a key whose accesses are not known; here none is kept."""
        return 0

    def swap(self, other: Database) -> None:
        """See ``Database.swap``."""
        Database.swap(self, other)
        if other.ledger is not None:
            self.ledger.exchange(other.ledger)
        else:  # a dataset that was loaded aside
            self.ledger.restart()
            if self.ledger.accesses:
                self.trash.throw(self.ledger.accesses)
                self.ledger.record_accesses(type(self))


class RecencyDatabase(AccountedDatabase):
    """Records for each key the time of its last access: ``clock.tenths``, an integer that all accesses of a tick share."""

    __slots__ = ()

    def get(self, key: bytes) -> Any:
        """See ``Database.get``."""
        value = Database.get(self, key)
        if value is not None:
            self.ledger.accesses[hash(key) & SHARD_MASK][key] = self.clock.tenths
        return value

    def writable(self, key: bytes, kind: type[V]) -> V | None:
        """See ``Database.writable``."""
        value = Database.writable(self, key, kind)
        if value is not None:
            self.ledger.accesses[hash(key) & SHARD_MASK][key] = self.clock.tenths
        return value

    def put(self, key: bytes, value: Any) -> bool:
        """See ``Database.put``."""
        new = AccountedDatabase.put(self, key, value)
        self.ledger.accesses[hash(key) & SHARD_MASK][key] = self.clock.tenths
        return new

    def put_keeping(self, key: bytes, value: Any) -> None:
        """See ``Database.put_keeping``."""
        AccountedDatabase.put_keeping(self, key, value)
        self.ledger.accesses[hash(key) & SHARD_MASK][key] = self.clock.tenths

    def load(self, key: bytes, value: Any, at_ms: int | None) -> None:
        """See ``Database.load``."""
        AccountedDatabase.load(self, key, value, at_ms)
        self.ledger.accesses[hash(key) & SHARD_MASK][key] = self.clock.tenths

    def set_deadline(self, key: bytes, at_ms: int | None) -> None:
        """See ``Database.set_deadline``; to Redis EXPIRE is a use of the key."""
        self.ledger.accesses[hash(key) & SHARD_MASK][key] = self.clock.tenths
        AccountedDatabase.set_deadline(self, key, at_ms)

    def new_access(self) -> int:
        """The record of a key whose accesses are not known."""
        return self.clock.tenths


class FrequencyDatabase(AccountedDatabase):
    """Records for each key how often it was used lately."""

    __slots__ = ()

    def get(self, key: bytes) -> Any:
        """See ``Database.get``."""
        value = Database.get(self, key)
        if value is not None:
            self._used(key)
        return value

    def writable(self, key: bytes, kind: type[V]) -> V | None:
        """See ``Database.writable``."""
        value = Database.writable(self, key, kind)
        if value is not None:
            self._used(key)
        return value

    def put(self, key: bytes, value: Any) -> bool:
        """See ``Database.put``."""
        new = AccountedDatabase.put(self, key, value)
        self._used(key)
        return new

    def put_keeping(self, key: bytes, value: Any) -> None:
        """See ``Database.put_keeping``."""
        AccountedDatabase.put_keeping(self, key, value)
        self._used(key)

    def load(self, key: bytes, value: Any, at_ms: int | None) -> None:
        """See ``Database.load``."""
        AccountedDatabase.load(self, key, value, at_ms)
        self._used(key)

    def _used(self, key: bytes) -> None:
        accesses = self.ledger.accesses[hash(key) & SHARD_MASK]
        record = accesses.get(key)
        minute = self.clock.tenths // _TENTHS_A_MINUTE & _MINUTES
        accesses[key] = minute << 8 | NEW_COUNTER if record is None else self.ledger.lfu.used(record, minute)

    def new_access(self) -> int:
        """The record of a key whose accesses are not known."""
        return (self.clock.tenths // _TENTHS_A_MINUTE & _MINUTES) << 8 | NEW_COUNTER
