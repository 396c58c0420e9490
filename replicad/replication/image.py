"""A snapshot on its way from a master into the server.

Owns: the dataset aside that a new image is decoded into, the file without a name that holds it until then, and the
exchange with the running dataset. Does not own the connection it comes from (``upstream``).

An image of more bytes than this process can ever have as memory is given up: no dataset comes out of it, and a master
that sends without end must not fill the disk.

The running dataset is not touched before a whole image, checksum included, has been decoded. So a truncated or
damaged image costs nothing but time. Redis flushes first, which needs half the memory at the peak; a replica that
loses its data to a broken transfer was judged the worse of the two.

``repl-diskless-load`` decides where the bytes go. ``disabled``: into a file without a name, from which they are decoded
at our own pace, so that a replica that is slow at decoding does not hold up the master's transfer; nothing shows of
that before the image is complete. ``on-empty-db`` (when nothing is stored) and ``swapdb``: decoded as they come, no
disk needed.
"""

from __future__ import annotations

import contextlib
import gc
import os
import resource
import tempfile
import time
from collections.abc import Callable
from typing import IO, TYPE_CHECKING

from replicad.keyspace import SHARD_MASK
from replicad.persistence.interfaces import DamagedSnapshot, SnapshotInfo
from replicad.persistence.loader import check_distinct
from replicad.persistence.rdb import Decoder

if TYPE_CHECKING:
    from replicad.server import Server

_PIECE = 16 * 1024
#: Decoding takes at most this long in one turn of the reactor.
_SLICE_SECONDS = 0.004


TOO_LARGE = "no memory for a dataset of this size"

_CGROUP_LIMIT = "/sys/fs/cgroup/memory.max"


def memory_limit() -> int:
    """The bytes of memory that this process can have at most: the machine's, its control group's or its own limit."""
    limits = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    limits += [soft for soft, _ in map(resource.getrlimit, (resource.RLIMIT_AS, resource.RLIMIT_DATA)) if soft > 0]
    with contextlib.suppress(OSError, ValueError), open(_CGROUP_LIMIT) as file:
        limits.append(int(file.read()))  # "max" is none
    return min(limits)


def _nobody(error: Exception | None) -> None:
    """Nobody waits yet."""


class Image:
    """One image. ``direct``: decode the bytes as they come. Raises OSError when there is no place for the file."""

    def __init__(self, server: Server, *, direct: bool) -> None:
        self._server = server
        self._decoder = Decoder()
        self._file: IO[bytes] | None = None
        self._position = 0
        self._running = False
        self._error: Exception | None = None
        self._done: Callable[[Exception | None], None] = _nobody
        self._each_slice: Callable[[], None] | None = None
        self.direct = direct
        self.databases = [server.new_database(db.index) for db in server.databases]
        self.keys = 0
        self.size = 0
        #: All bytes were received; what is left is our own work.
        self.complete = False
        self._abandoned = False
        self._announced = False
        if not direct:
            self._file = tempfile.TemporaryFile(prefix="temp-sync-", dir=os.curdir, buffering=0)

    @property
    def info(self) -> SnapshotInfo:
        """What the image says about itself."""
        return self._decoder.info

    @property
    def loaded_bytes(self) -> int:
        """How much of the image is decoded."""
        return self._decoder.bytes_read

    def received(self, data: bytes) -> None:
        """Take the next bytes. Raises OSError (the file) or DamagedSnapshot (what was decoded so far)."""
        self.size += len(data)
        if self._file is None:
            self._decode(data)
            return
        if self._error is not None:
            raise self._error
        view = memoryview(data)
        while view:
            view = view[self._file.write(view) :]
        self._run()

    def load(self, done: Callable[[Exception | None], None], each_slice: Callable[[], None]) -> None:
        """All bytes are here: decode the rest in slices, then call ``done`` with None or what is wrong.

        ``each_slice`` is called after each slice. Neither is called after ``abandon``.
        """
        self.complete = True
        self._done, self._each_slice = done, each_slice
        if self._file is None:
            self._finish()
        elif self._error is not None:
            done(self._error)
        else:
            if self.keys and not self._announced:
                self._announce()
            self._run()

    def _run(self) -> None:
        if not self._running:
            self._running = True
            self._server.call_later(0, self._slice)

    def _slice(self) -> None:
        """Decode a few milliseconds of what is in the file."""
        self._running = False
        if self._abandoned or self._file is None:
            return
        until = time.perf_counter() + _SLICE_SECONDS
        try:
            while time.perf_counter() < until:
                data = os.pread(self._file.fileno(), _PIECE, self._position)
                if not data:
                    if self.complete:
                        self._finish()
                    return
                self._position += len(data)
                self._decode(data)
        except (DamagedSnapshot, OSError, MemoryError) as error:
            self._error = error
            if self.complete:
                self._done(error)
            return
        if self._each_slice is not None:
            self._each_slice()
        self._run()

    def _decode(self, data: bytes) -> None:
        databases = self.databases
        try:
            entries = self._decoder.feed(data)
        except (DamagedSnapshot, MemoryError):
            raise
        except Exception as error:  # our defect: without this the loading would stand still for ever
            raise DamagedSnapshot("", self._decoder.bytes_read, f"{type(error).__name__}: {error}") from error
        selected = -1
        shards: list[dict[bytes, object]] = []
        for index, key, value, at_ms in entries:
            if index != selected:
                if index >= len(databases):
                    raise DamagedSnapshot(
                        "",
                        self._decoder.bytes_read,
                        f"it holds database {index}, this server has {len(databases)} databases",
                    )
                selected = index
                shards = databases[index].shards
            if at_ms is None:
                shards[hash(key) & SHARD_MASK][key] = value  # Database.load, without the call
            else:
                databases[index].load(key, value, at_ms)
        self.keys += len(entries)
        if entries and not self._announced and (self.direct or self.complete):
            self._announce()

    def _announce(self) -> None:
        """The lines that Redis logs when it has read the head of a snapshot."""
        self._announced = True
        info, log = self._decoder.info, self._server.log
        if info.redis_version:
            log.notice(f"Loading RDB produced by version {info.redis_version}")
        if info.saved_at:
            log.notice(f"RDB age {max(int(time.time() - info.saved_at), 0)} seconds")
        if info.used_memory:
            log.notice(f"RDB memory usage when created {info.used_memory / 1048576:.2f} Mb")

    def _finish(self) -> None:
        try:
            self._decoder.close()
            if self._decoder.unused:
                raise DamagedSnapshot("", self._decoder.bytes_read, "there are bytes behind its end")
            check_distinct(self.databases, self.keys)
        except DamagedSnapshot as error:
            self._done(error)
            return
        if not self._announced:
            self._announce()
        self._done(None)

    def exchange(self) -> None:
        """Put the new dataset into the place of the running one, which is freed in slices."""
        server = self._server
        # Who watches or waits for a key that is in the old or the new dataset must learn that it changed.
        places = [*server.watched, *server.blocking.by_key]
        touched = {place for place in places if server.databases[place[0]].peek(place[1]) is not None}
        for running, new in zip(server.databases, self.databases, strict=True):
            running.swap(new)
        server.tracking.flushed()
        touched |= {place for place in places if server.databases[place[0]].peek(place[1]) is not None}
        for index, key in touched:
            server.databases[index].touched(key)
        self.abandon()
        # The new containers live long; the collector need not look at them again.
        gc.freeze()
        if server.blocking.ready:
            server.blocking.serve()

    def abandon(self) -> None:
        """Free what the image holds; nothing more is called."""
        self._abandoned = True
        if self._file is not None:
            self._file.close()
            self._file = None
        for db in self.databases:
            db.flush()
