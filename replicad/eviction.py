"""maxmemory: when the memory in use is too much, and which keys go then.

Owns: the limit, the sum of the databases' accounts, the eight policies, access times and frequencies for OBJECT, the
deletion of a victim.  Does not own the account of a database (``ledger``) nor the order of checks before a command
(``dispatch.gate``).  The gate calls ``make_room``; the server's clock calls ``tick``.

While maxmemory is 0 nothing here runs and the databases keep no account.  When it is set, each change of a key updates its
database's ledger; the ledger that rises above its ceiling raises an alarm, and from then on, until there is room again,
commands that may need memory pass ``dispatch.gate``.  So a GET never does, and a SET only while the limit is reached.
Redis looks before every command; here a turn of the reactor of its own evicts also when no such command comes.

What counts: the keys and values, the tables that hold them, deadlines and access records, replies that wait for clients.
What does not, as in Redis: the replication backlog.  The interpreter, its libraries and the code do not count either: they
are to this server what its own program text is to Redis.

Victims of the LRU and LFU policies come from a pool of the sixteen best candidates that were met in samples of
maxmemory-samples keys.  volatile-ttl needs no samples: the heaps of deadlines know the key that expires first.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from itertools import islice
from math import inf, pow
from typing import TYPE_CHECKING, Any

from replicad.command import DENY_OOM
from replicad.keyspace import SHARD_BITS, SHARD_MASK, SHARDS, Database
from replicad.ledger import NEW_COUNTER, AccountedDatabase, FrequencyDatabase, Ledger, LfuTuning, RecencyDatabase
from replicad.memory import DEADLINE
from replicad.notifications import EVICTED
from replicad.usage import buffered, resident_memory, startup_memory, tables

if TYPE_CHECKING:
    from replicad.command import Argv, Command
    from replicad.server import Server
    from replicad.session import Client

#: What ``make_room`` found: there is room; there is not yet, but keys are going; there is not, and no key may go.
ROOM, RUNNING, FULL = "room", "running", "full"

_POOL = 16
#: Eviction ends a little below the limit, by this part of it and at most so many bytes: else every SET would need one.
_SLACK_PART, _SLACK_MOST = 1024, 1 << 16
#: Counting the keys that are there takes at most this long in one turn of the reactor.
_SLICE_SECONDS = 0.003
_MINUTES = 0xFFFF
#: Access times that only OBJECT IDLETIME wants are recorded until nobody has asked for so long.
_IDLE_WANTED_SECONDS = 600


class Eviction:
    """The guard of one server's memory."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.limit = 0  #: maxmemory
        self.full = False  #: the limit is reached: DENY_OOM is among the server's gate bits
        self.evicted = 0  #: keys since the start or CONFIG RESETSTAT
        self.baseline = 0  #: resident bytes before there was any data
        self.lfu = LfuTuning()
        self._policy = "noeviction"
        self._kind: type[Database] = Database
        self._fixed = 0  #: what counts besides keys and values, as of the last look
        self._pool: list[tuple[int, int, bytes]] = []
        self._next_db = 0
        self._turn_due = self._counting = False
        self._exceeded_since = self._exceeded_total = 0.0
        self._idle_wanted_until = 0.0
        self._recording_since = 0  #: in tenths of a second: nothing is known of accesses before

    # -- settings

    def start(self) -> None:
        """The server is about to load its data: what the process takes now is no data."""
        self.baseline = max(resident_memory() - startup_memory(self.server.databases), 0)

    def configure(self) -> None:
        """Read the directives; called at the start and after each change."""
        settings = self.server.settings
        before, self.limit = self.limit, settings["maxmemory"]
        self._policy = settings["maxmemory-policy"]
        self.lfu.factor = max(settings["lfu-log-factor"], 0)
        self.lfu.decay_minutes = max(settings["lfu-decay-time"], 0)
        self._pool.clear()
        self._choose()
        if self.limit != before:
            self._ready()

    def _ready(self) -> None:
        """The limit is a new one: evict now if it is exceeded, and tell the log."""
        self._look()
        used = self.counted_memory()
        if self.limit and used > self.limit:
            self.server.log.warning(
                f"maxmemory is {self.limit} bytes and {used} are in use: the maxmemory-policy {self._policy} decides "
                "whether keys are evicted or writes refused."
            )
            self.alarm()
        elif self.full:
            self._clear()

    def _choose(self) -> None:
        """Give the databases the class that keeps what the policy, or OBJECT, needs, and no more."""
        kind: type[Database] = AccountedDatabase if self.limit else Database
        if self._policy.endswith("lfu"):
            kind = FrequencyDatabase
        elif (self.limit and self._policy.endswith("lru")) or self._idle_wanted_until:
            kind = RecencyDatabase
        if kind is self._kind:
            return
        self._kind = kind
        self.server.clock.tenths = self._recording_since = self.server.clock.now_ms // 100
        for db in self.server.databases:
            if kind is Database:
                db.__class__ = kind
                db.ledger = None
                continue
            if db.ledger is None:
                db.ledger = Ledger(self.alarm, self.lfu)
            else:
                db.ledger.restart()
            db.ledger.record_accesses(kind)
            db.__class__ = kind
        self._count_slice()

    @property
    def accounting(self) -> bool:
        """Whether the databases keep accounts."""
        return self._kind is not Database

    @property
    def recording(self) -> bool:
        """Whether accesses are recorded."""
        return self._kind is RecencyDatabase or self._kind is FrequencyDatabase

    @property
    def uses_lfu(self) -> bool:
        """Whether the policy goes by frequency."""
        return self._policy.endswith("lfu")

    # -- how much is in use

    def counted_memory(self) -> int:
        """The bytes that maxmemory is compared with."""
        total = self._fixed
        for db in self.server.databases:
            ledger = db.ledger
            if ledger is not None:
                total += ledger.bytes if ledger.counted == SHARDS else ledger.estimate()
                total += DEADLINE * db.deadlines.count
        return total

    def used_memory(self) -> int:
        """INFO's used_memory: the same and the backlog; without accounts what the process has taken since its start."""
        server = self.server
        resident = resident_memory()
        if self.accounting and self._counted():
            used = min(self.counted_memory() + server.history.histlen, max(resident, 1))
        else:
            used = max(resident - self.baseline, startup_memory(server.databases))
        server.peak_memory = max(server.peak_memory, used)
        return used

    def _counted(self) -> bool:
        return all(db.ledger is not None and db.ledger.counted for db in self.server.databases)

    def _look(self) -> None:
        """Read anew what is not counted change by change: it takes some tenths of a millisecond."""
        self._fixed = tables(self.server.databases) + buffered(self.server)
        if self.accounting:
            self._share_room()

    def _share_room(self) -> None:
        """Give each ledger its ceiling: what there is of it and all that is free."""
        databases = self.server.databases
        room = self.limit - self.counted_memory() if self.limit else 1 << 62
        for db in databases:
            db.ledger.ceiling = db.ledger.bytes + room

    def _count_slice(self) -> None:
        """Count keys that were there before the account for a few milliseconds; come back when some are left."""
        self._counting = False
        server = self.server
        if server.loading or not self.accounting:
            return
        until = time.perf_counter() + _SLICE_SECONDS
        incomplete = [db for db in server.databases if not db.ledger.complete]
        for db in incomplete:
            if not db.ledger.counted and not len(db):
                db.ledger.counted = SHARDS
        for db in incomplete:
            while not db.ledger.complete:
                db.ledger.count(db, 4)
                if time.perf_counter() > until:
                    self._counting = True
                    server.call_later(2 * _SLICE_SECONDS, self._count_slice)
                    self._share_room()
                    return
        self._ready()

    def tick(self) -> None:
        """Ten times a second: look at the sum, and go on counting after a load."""
        server = self.server
        if self._idle_wanted_until and time.monotonic() > self._idle_wanted_until:
            self._idle_wanted_until = 0.0
            self._choose()
        if not self.accounting:
            return
        if not self._counting and any(db.ledger.counted < SHARDS for db in server.databases):
            self._count_slice()
        self._look()
        if self.limit and self.counted_memory() > self.limit:
            self.alarm()
        elif self.full:
            self._clear()

    # -- making room

    def alarm(self) -> None:
        """The limit is exceeded: look before each command that may need memory, and evict in the next turn."""
        if not self.limit:
            return
        if not self.full:
            self.full = True
            self.server.deny |= DENY_OOM
        if not self._turn_due and self._policy != "noeviction":
            self._turn_due = True
            self.server.call_later(0, self._turn)

    def _clear(self) -> None:
        self.full = False
        self.server.deny &= ~DENY_OOM
        if self._exceeded_since:
            self._exceeded_total += time.monotonic() - self._exceeded_since
            self._exceeded_since = 0.0

    def _turn(self) -> None:
        self._turn_due = False
        state = self.make_room()
        self.server.propagation.flush()
        if state is RUNNING:
            self._turn_due = True
            self.server.call_later(0, self._turn)

    def make_room(self) -> str:
        """Evict keys until the limit is kept or the time is over; ROOM, RUNNING or FULL.

        Nothing is evicted, and there is room, while the dataset is loaded, during CLIENT PAUSE, and on a replica that
        leaves this to its master.
        """
        server = self.server
        if not self.limit:
            return ROOM
        if not self._safe():
            for db in server.databases:
                db.ledger.ceiling = 1 << 62  # no alarm until the next tick
            return ROOM
        excess = self.counted_memory() - self.limit
        if excess <= 0:
            self._share_room()
            if self.full:
                self._clear()
            return ROOM
        if not self._exceeded_since:
            self._exceeded_since = time.monotonic()
        if self._policy == "noeviction":
            return FULL
        started = time.perf_counter()
        state = self._evict(excess + min(self.limit // _SLACK_PART, _SLACK_MOST), started + self._patience())
        server.watch_latency(b"eviction-cycle", int((time.perf_counter() - started) * 1e9))
        if state is not RUNNING:
            self._share_room()
            if self.counted_memory() <= self.limit:
                self._clear()
                return ROOM
        return state

    def out_of_memory(self) -> bool:
        """Whether a command that may need memory must be refused now: for scripts, before their first write."""
        return self.full and self.make_room() is FULL

    def _safe(self) -> bool:
        server = self.server
        if server.loading or server.paused(True):
            return False
        return server.replication.upstream is None or not server.settings["replica-ignore-maxmemory"]

    def _patience(self) -> float:
        """The seconds that maxmemory-eviction-tenacity allows, as Redis computes them."""
        tenacity: int = self.server.settings["maxmemory-eviction-tenacity"]
        if tenacity >= 100:
            return inf
        return 50e-6 * tenacity if tenacity <= 10 else 500e-6 * pow(1.15, tenacity - 10.0)

    def _evict(self, excess: int, until: float) -> str:
        """Delete victims until ``excess`` bytes are free, or until the time ``until``, which is looked at now and then:
        some keys go in any case, as in Redis.
        """
        server = self.server
        freed = 0
        for number, (db, key) in enumerate(self._victims(), 1):
            ledger, deadlines = db.ledger, db.deadlines
            before = ledger.estimate() + DEADLINE * deadlines.count
            db.remove(key)
            freed += before - ledger.estimate() - DEADLINE * deadlines.count
            self.evicted += 1
            server.saver.changes += 1
            if server.notifying:
                server.notify(EVICTED, b"evicted", key, db.index)
            server.propagation.also(db.index, b"UNLINK" if server.settings["lazyfree-lazy-eviction"] else b"DEL", key)
            server.propagation.done(db.index, (), False)
            if freed >= excess:
                return ROOM
            if not number & 15 and time.perf_counter() > until:
                return RUNNING
        return FULL

    # -- choosing victims

    def _victims(self) -> Iterator[tuple[Database, bytes]]:
        """The keys to delete, one after the other, each in place when it is yielded; ends when no key may go."""
        scope, _, order = self._policy.partition("-")
        volatile = scope == "volatile"
        if order == "ttl":
            return self._expiring_first()
        return self._at_random(volatile) if order == "random" else self._from_pool(volatile)

    def _at_random(self, volatile: bool) -> Iterator[tuple[Database, bytes]]:
        databases = self.server.databases
        empty = 0
        while empty < len(databases):  # one of each database in turn
            self._next_db = (self._next_db + 1) % len(databases)
            db = databases[self._next_db]
            keys = _sample(db, volatile, 1) if _has_candidates(db, volatile) else []
            empty = 0 if keys else empty + 1
            for key in keys:
                yield db, key

    def _expiring_first(self) -> Iterator[tuple[Database, bytes]]:
        queues = [(db, db.deadlines.soonest()) for db in self.server.databases if db.deadlines.count]
        heads = [(*head, db.index, queue) for db, queue in queues if (head := next(queue, None)) is not None]
        while heads:
            heads.sort(key=_deadline_of)
            _, key, index, queue = heads[0]
            yield self.server.databases[index], key
            following = next(queue, None)
            heads[:1] = [] if following is None else [(*following, index, queue)]

    def _from_pool(self, volatile: bool) -> Iterator[tuple[Database, bytes]]:
        databases, pool = self.server.databases, self._pool
        samples = self.server.settings["maxmemory-samples"]
        sampled = [db for db in databases if _has_candidates(db, volatile)]
        while sampled:
            for db in sampled:
                if not self._fill(db, volatile, samples):
                    sampled = [other for other in sampled if other is not db]
            while pool:
                _, index, key = pool.pop()
                db = databases[index]
                if key in db.shards[hash(key) & SHARD_MASK] and not (volatile and db.deadlines.get(key) is None):
                    yield db, key
                    break

    def _fill(self, db: Database, volatile: bool, samples: int) -> int:
        """Put a sample of keys into the pool, worst candidates first; returns how many there were."""
        clock, lfu, accesses = self.server.clock, self.lfu, db.ledger.accesses
        pool, index = self._pool, db.index
        by_frequency = self.uses_lfu
        minute = clock.tenths // 600 & _MINUTES
        unknown = minute << 8 | NEW_COUNTER if by_frequency else self._recording_since
        keys = _sample(db, volatile, samples)
        for key in keys:
            record = accesses[hash(key) & SHARD_MASK].get(key, unknown)
            score = 255 - lfu.decayed(record, minute) if by_frequency else clock.tenths - record
            candidate = (score, index, key)
            if candidate not in pool:
                pool.append(candidate)
        pool.sort()
        del pool[:-_POOL]
        return len(keys)

    # -- OBJECT, RESTORE, NO-TOUCH

    def frequency(self, db: Database, key: bytes) -> int:
        """OBJECT FREQ; the policy is one of the LFU ones."""
        minute = self.server.clock.tenths // 600 & _MINUTES
        record = db.ledger.accesses[hash(key) & SHARD_MASK].get(key, minute << 8 | NEW_COUNTER)
        return self.lfu.decayed(record, minute)

    def idle_seconds(self, db: Database, key: bytes) -> int:
        """OBJECT IDLETIME.  Unless the policy is an LRU one, accesses are recorded from the first question on."""
        self._want_idle_times()
        record: int = db.ledger.accesses[hash(key) & SHARD_MASK].get(key, self._recording_since)
        return max(self.server.clock.tenths - record, 0) // 10

    def set_idle_seconds(self, db: Database, key: bytes, seconds: int) -> None:
        """RESTORE IDLETIME: ``key`` was used last so many seconds ago."""
        if not self.uses_lfu:
            self._want_idle_times()
            db.ledger.accesses[hash(key) & SHARD_MASK][key] = self.server.clock.tenths - 10 * seconds

    def set_frequency(self, db: Database, key: bytes, counter: int) -> None:
        """RESTORE FREQ: the counter of ``key``."""
        if self.uses_lfu:
            minute = self.server.clock.tenths // 600 & _MINUTES
            db.ledger.accesses[hash(key) & SHARD_MASK][key] = minute << 8 | counter

    def _want_idle_times(self) -> None:
        self._idle_wanted_until = time.monotonic() + _IDLE_WANTED_SECONDS
        self._choose()

    def unrecorded(self, client: Client, cmd: Command, argv: Argv) -> Any:
        """Run a command of a client that said CLIENT NO-TOUCH ON: it leaves no access behind."""
        server = self.server
        kind = self._kind
        for db in server.databases:
            db.__class__ = _Untouched if kind is RecencyDatabase else _Uncounted
        try:
            reply = server.call(client, cmd, argv)
        finally:
            for db in server.databases:
                db.__class__ = self._kind
        if server.blocking.ready:
            server.blocking.serve()
        return reply

    # -- figures

    def exceeded_ms(self) -> tuple[int, int]:
        """How long the limit has been exceeded, in milliseconds: in all, and this time."""
        current = time.monotonic() - self._exceeded_since if self._exceeded_since else 0.0
        return int((self._exceeded_total + current) * 1000), int(current * 1000)

    def reset_statistics(self) -> None:
        """CONFIG RESETSTAT."""
        self.evicted = 0
        self._exceeded_total = 0.0
        self._exceeded_since = 0.0


def _deadline_of(head: tuple[int, bytes, int, Any]) -> int:
    return head[0]


class _Untouched(RecencyDatabase):
    """Reading leaves the times of access as they are."""

    __slots__ = ()
    get = Database.get
    writable = Database.writable


class _Uncounted(FrequencyDatabase):
    """Reading leaves the counters as they are."""

    __slots__ = ()
    get = Database.get
    writable = Database.writable


def _has_candidates(db: Database, volatile: bool) -> bool:
    """Whether ``db`` can have keys that may go; a look into all of its shards would take long.

    While its keys are still being counted it can: what was counted so far may be nothing.
    """
    return bool(db.deadlines.count if volatile else db.ledger.bytes or not db.ledger.complete)


def _sample(db: Database, volatile: bool, count: int) -> list[bytes]:
    """Some keys of ``db``, with a deadline if ``volatile``; [] only when there is none."""
    if volatile:
        return db.deadlines.sample(count)
    found: list[bytes] = []
    shards, first = db.shards, random.getrandbits(SHARD_BITS)
    for place in range(first, first + SHARDS):
        shard = shards[place & SHARD_MASK]
        if shard:
            found += keys_among(shard, count - len(found))
            if len(found) >= count:
                break
    return found


def keys_among(shard: dict[bytes, Any], count: int) -> list[bytes]:
    """Up to ``count`` keys of one shard, evenly spread: neighbours in a dict came at about the same time."""
    step = len(shard) // count or 1
    return list(islice(shard, random.getrandbits(16) % step, None, step))[:count]
