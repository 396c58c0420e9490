"""The backend ``rdb``: the snapshot is an RDB file, which real servers and their tools read too.

The file is written beside its place under a temporary name and renamed over the old one when it is complete and on
disk, so there is always one whole file, whenever the machine stops.  A side file ``<name>.tail`` holds the end of the
replication stream (``tailfile``).
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, BinaryIO

from zope.interface import implementer

from ..values import Entry
from .interfaces import DamagedSnapshot, ISnapshotBackend, ISnapshotBackendFactory, NoSnapshot, SnapshotInfo
from .rdb import Decoder, Encoder
from .tailfile import read_tail, remove_tail, write_tail

__all__ = ["RDBFileBackend", "RDBFileFactory", "sync_directory"]

_PIECE = 128 * 1024
_TEMPORARY = re.compile(r"temp-\d+\.(rdb|tail)")
#: A temporary file that nobody wrote to for so long (seconds) was left by a writer that died.
_ABANDONED = 3600.0


def sync_directory(path: str) -> None:
    """Make a rename inside the directory ``path`` survive a loss of power."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@implementer(ISnapshotBackend)
class RDBFileBackend:
    """A snapshot in one RDB file ``filename`` in ``directory``."""

    def __init__(self, directory: str, filename: str, *, compress: bool = True, checksum: bool = True) -> None:
        self.directory = directory
        self.path = os.path.join(directory, filename)
        self.tail_path = self.path + ".tail"
        self._compress = compress
        self._checksum = checksum

    def save(self, entries: Iterable[Entry], info: SnapshotInfo) -> None:
        """Replace the file.  Raises OSError when it cannot be written; the old file then stays."""
        self._remove_abandoned()
        temporary = os.path.join(self.directory, f"temp-{os.getpid()}.rdb")
        encoder = Encoder(compress=self._compress, checksum=self._checksum, rewindable=True)
        try:
            with open(temporary, "wb") as file:
                for chunk in encoder.encode(entries, info):
                    file.write(chunk)
                file.seek(0)
                file.write(encoder.magic)
                file.flush()
                os.fsync(file.fileno())
            self._save_tail(info)
            os.replace(temporary, self.path)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)
            raise
        sync_directory(self.directory)

    def _save_tail(self, info: SnapshotInfo) -> None:
        """Replace the side file.  Without one the snapshot is as good, so a disk that is full by now fails nothing."""
        if info.replid is None or not info.tail:
            remove_tail(self.tail_path)
            return
        temporary = os.path.join(self.directory, f"temp-{os.getpid()}.tail")
        try:
            write_tail(temporary, info)
            os.replace(temporary, self.tail_path)
        except OSError:
            remove_tail(temporary)

    def _remove_abandoned(self) -> None:
        """Delete what killed writers left, or a server that is killed during every save would fill the disk."""
        newest = time.time() - _ABANDONED
        for name in os.listdir(self.directory):
            if _TEMPORARY.fullmatch(name):
                path = os.path.join(self.directory, name)
                with contextlib.suppress(OSError):
                    if os.stat(path).st_mtime < newest:
                        os.unlink(path)

    def load(self) -> tuple[SnapshotInfo, Iterator[Entry]]:
        """Open the file and read up to the first key.  See :class:`ISnapshotBackend`."""
        try:
            file = open(self.path, "rb")
        except FileNotFoundError:
            raise NoSnapshot(f"there is no file {self.path}") from None
        entries = self._read(file)
        try:
            info = next(entries)
            info = dataclasses.replace(info, tail=read_tail(self.tail_path, info))
        except BaseException:
            file.close()
            raise
        return info, entries

    def _read(self, file: BinaryIO) -> Iterator[Any]:
        """Yield the info and then the entries."""
        decoder = Decoder()
        with file:
            try:
                found: list[Entry] = []
                while not found and (data := file.read(_PIECE)):
                    found = decoder.feed(data)
                yield decoder.info
                yield from found
                while data := file.read(_PIECE):
                    yield from decoder.feed(data)
                decoder.close()
                if decoder.unused:
                    raise DamagedSnapshot("", decoder.bytes_read, "bytes follow after the end of the data")
            except DamagedSnapshot as damage:
                raise DamagedSnapshot(self.path, damage.offset, damage.reason) from None

    def last_saved(self) -> float | None:
        """Return the time of the file."""
        try:
            return os.stat(self.path).st_mtime
        except OSError:
            return None


@implementer(ISnapshotBackendFactory)
class RDBFileFactory:
    """Makes the backend from the directives dir, dbfilename, rdbcompression and rdbchecksum."""

    name = "rdb"

    def make(self, settings: Mapping[str, Any]) -> RDBFileBackend:
        """Return the backend for these settings."""
        return RDBFileBackend(
            settings.get("dir", "."),
            settings.get("dbfilename", "dump.rdb"),
            compress=settings.get("rdbcompression", True),
            checksum=settings.get("rdbchecksum", True),
        )
