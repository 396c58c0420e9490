"""What a place for snapshots has to offer, and what may go wrong there.

A *snapshot* is a dataset at one instant together with the replication state it belongs to.  Data and state are stored
in one step: a server that restarts from a snapshot asks its master to continue at exactly that offset, and an offset
that does not fit the data would silently corrupt the replica.

A backend is found by name through ``twisted.plugin``: a plugin module holds an object that provides
:class:`ISnapshotBackendFactory`, and the word in the directive ``snapshot-backend`` selects it.

Backends may block.  They never run in the reactor thread of a busy server: the saver calls ``save`` in a child process
or a thread, and no backend may rely on anything of the process except what it opens itself during the call.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from zope.interface import Attribute, Interface

from ..values import Entry

__all__ = [
    "DamagedSnapshot",
    "IIncrementalBackend",
    "ISnapshotBackend",
    "ISnapshotBackendFactory",
    "NoSnapshot",
    "SnapshotInfo",
]


@dataclass(frozen=True, slots=True)
class SnapshotInfo:
    """What is stored with the data of a snapshot.

    ``replid`` (40 hex digits) and ``offset`` say which point of which replication history the data is; None and -1 when
    there is none.  ``selected_db`` is the database that the replication stream has selected at that point, -1 when none
    is.  ``second_replid`` is the history this one continued; ``second_offset`` is the number of the first byte that is not
    of it any more.  ``saved_at`` is Unix time in seconds, ``functions`` the source of each function library,
    ``redis_version`` and ``used_memory`` (bytes) describe the writer.  ``tail`` are the last bytes of the stream, which end
    at ``offset``, some 100 KB at most: a server that was started again serves replicas that are behind its snapshot from
    them.  A backend without a place for the tail may drop it: those replicas then copy everything.
    """

    replid: str | None = None
    offset: int = -1
    selected_db: int = -1
    second_replid: str | None = None
    second_offset: int = -1
    saved_at: float = 0
    functions: tuple[bytes, ...] = ()
    redis_version: str = ""
    used_memory: int = 0
    tail: bytes = field(default=b"", repr=False)


class NoSnapshot(Exception):
    """Nothing is stored yet; the server starts empty."""


class DamagedSnapshot(Exception):
    """What is stored cannot be read completely, so nothing of it may be used.

    ``path`` names the file (empty when the bytes came from elsewhere), ``offset`` is the position in bytes where
    reading went wrong (None when there is no such thing), ``reason`` says why.  The text has all three.
    """

    def __init__(self, path: str, offset: int | None, reason: str) -> None:
        super().__init__(path, offset, reason)
        self.path = path
        self.offset = offset
        self.reason = reason

    def __str__(self) -> str:
        place = "" if self.offset is None else f" at byte {self.offset}"
        return f"{self.path or 'snapshot'} is damaged{place}: {self.reason}"


class ISnapshotBackend(Interface):
    """A place that holds one snapshot."""

    def save(entries: Iterable[Entry], info: SnapshotInfo) -> None:
        """Replace the stored snapshot by ``entries`` and ``info``, in one step.

        ``entries`` is an iterable of (db, key, value, expire_at_ms), no key twice in a database, in any order; ``info``
        a :class:`SnapshotInfo`.  Until the new snapshot is complete and safe on disk the old one stays as it was, also
        when the machine stops or ``entries`` raises.  May block.  Raises OSError when it cannot be stored.
        """

    def load() -> tuple[SnapshotInfo, Iterator[Entry]]:
        """Return ``(info, entries)`` of the stored snapshot.

        ``entries`` is an iterator over (db, key, value, expire_at_ms), those already expired included; it should hold
        only a part of the data in memory.  Raises :class:`NoSnapshot` when nothing is stored and
        :class:`DamagedSnapshot` when it cannot be read; the iterator may raise DamagedSnapshot at any time, and the
        caller then drops what it got before.  Only one iterator is in use at a time.  May block.
        """

    def last_saved() -> float | None:
        """Return the Unix time of the stored snapshot in seconds, None when there is none.  Does not block."""


class IIncrementalBackend(ISnapshotBackend):
    """A place that can take the difference to the stored snapshot instead of the whole."""

    def apply(changes: Iterable[tuple[int, bytes, Any, int | None]], info: SnapshotInfo) -> None:
        """Bring the stored snapshot up to date, in one step.

        ``changes`` is an iterable of (db, key, value, expire_at_ms) where the value None means that the key is gone;
        ``info`` replaces the stored one.  The promises of ``save`` hold.
        """


class ISnapshotBackendFactory(Interface):
    """What a plugin offers: it makes backends from the server's configuration.

    A class that implements this must implement ``twisted.plugin.IPlugin`` too, or its instances are not found.
    """

    name = Attribute("The word for the directive ``snapshot-backend`` (str).")

    def make(settings: Mapping[str, Any]) -> ISnapshotBackend:
        """Return an object that provides :class:`ISnapshotBackend`.

        ``settings`` maps directive names (str) to parsed values; a missing name means the default of the directive.
        """
