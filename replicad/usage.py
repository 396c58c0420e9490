"""Where the memory goes: the figures of INFO memory, MEMORY STATS and MEMORY DOCTOR.

Owns: ``Usage`` and how it is measured.  Does not own the account that maxmemory needs (``ledger``, ``eviction``).
"""

from __future__ import annotations

import os
import resource
from collections.abc import Sequence
from dataclasses import dataclass
from sys import getsizeof
from typing import TYPE_CHECKING

from replicad.deadlines import LANES
from replicad.keyspace import SHARDS, Database
from replicad.memory import DEADLINE

if TYPE_CHECKING:
    from replicad.server import Server

_PAGE = os.sysconf("SC_PAGESIZE")
#: An empty dict.
_EMPTY = getsizeof({})
#: What the ledger remembers of a collection.
_REMEMBERED = 90


def resident_memory() -> int:
    """Resident memory of the process in bytes."""
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * _PAGE
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main_table(db: Database) -> int:
    """The bytes of the tables of keys, without the keys."""
    return sum(map(getsizeof, db.shards))


def tables(databases: Sequence[Database]) -> int:
    """The bytes of the tables of all these databases and of what is recorded beside them; 0 for none."""
    total = startup_memory(databases)
    for db in databases:
        ledger = db.ledger
        if ledger is not None and ledger.complete and not ledger.bytes:
            continue  # it is empty
        total += main_table(db) - _EMPTY * SHARDS
        if ledger is not None:
            total += sum(map(getsizeof, ledger.accesses)) + _REMEMBERED * sum(map(len, ledger.sizes))
            if ledger.record_size:
                total += ledger.record_size * sum(map(len, ledger.accesses))
    return total


def startup_memory(databases: Sequence[Database]) -> int:
    """The bytes that empty databases take."""
    return len(databases) * (_EMPTY * (SHARDS + 2 * LANES) + 8 * SHARDS)


def buffered(server: Server) -> int:
    """The bytes of replies that wait for ordinary clients."""
    return sum(one.connection.queued for one in server.clients.values() if one.replica is None)


@dataclass(frozen=True, slots=True)
class Usage:
    """Bytes in use, all but ``keys`` and the lists; ``overhead`` is part of ``used``, ``startup`` part of ``overhead``."""

    used: int
    peak: int
    resident: int
    startup: int
    overhead: int
    backlog: int
    clients_normal: int
    clients_replicas: int
    keys: int
    #: For each database that has keys: (index, table of keys, deadlines).
    databases: list[tuple[int, int, int]]

    @property
    def dataset(self) -> int:
        """What is neither table, buffer nor there from the start."""
        return max(self.used - self.overhead, 0)

    @property
    def dataset_percentage(self) -> float:
        """The dataset's part of what was not there from the start."""
        return min(100.0 * self.dataset / max(self.used - self.startup, 1), 100.0)

    @property
    def peak_percentage(self) -> float:
        """The memory in use as a part of the most there was."""
        return 100.0 * self.used / max(self.peak, 1)

    @property
    def fragmentation(self) -> float:
        """The resident memory for each byte in use."""
        return self.resident / max(self.used, 1)


def measure(server: Server) -> Usage:
    """Look at everything once; takes well below a millisecond for each database that has keys."""
    used, resident = server.memory(), resident_memory()
    startup = startup_memory(server.databases)
    normal = buffered(server)
    replicas = sum(one.connection.queued for one in server.clients.values() if one.replica is not None)
    keys, per_database, overhead = 0, [], startup + normal + replicas + server.history.histlen
    for db in server.databases:
        if size := len(db):
            keys += size
            row = (db.index, main_table(db), DEADLINE * db.deadlines.count)
            per_database.append(row)
            overhead += row[1] + row[2] - _EMPTY * SHARDS
    return Usage(
        used=used,
        peak=max(server.peak_memory, used),
        resident=resident,
        startup=min(startup, used),
        overhead=min(overhead, used),
        backlog=server.history.histlen,
        clients_normal=normal,
        clients_replicas=replicas,
        keys=keys,
        databases=per_database,
    )
