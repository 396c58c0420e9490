"""The backend ``lmdb``: the snapshot is an LMDB environment with one record per key.

Layout of the directory: ``data.mdb``, the environment, followed by a trailer of ours: eight bytes of magic, the length of the
environment and its CRC64.  LMDB maps the file and follows the page numbers it finds; in a damaged file that ends the process
with a signal instead of an error.  So nothing is opened before the trailer has shown that the file is what was written.

A save writes a new environment under a temporary name and renames it over the old one.  A transaction inside the old one was
considered: it needs the room for both anyway, LMDB never gives the room back, and when the map is full in the middle the
transaction is lost together with the entries it has consumed.  In an environment that nobody sees, the entries go in batches,
and a batch that finds the map full is simply tried again with a bigger one.

The handle is opened in ``save`` or ``load`` and closed at their end, so none is ever carried over a fork.

Records
-------
Key: database index (4 bytes, big endian), then the Redis key; LMDB allows 511 bytes in all, so a longer Redis key is cut and
ended with its SHA-512, which makes exactly 511 bytes, one more than an uncut key may have.

Value: one byte of flags; the time of expiry (8 bytes, little endian) if flagged; the length (4 bytes, little endian) and bytes of
the full key if flagged; the value, as its type byte and RDB form if flagged, else a string's own bytes.

The record ``\\0`` sorts before all others and holds the snapshot's information as JSON.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, fields
from hashlib import sha512
from struct import Struct, error as struct_error
from typing import Any

import anycrc
import lmdb
from zope.interface import implementer

from ..values import Entry
from .interfaces import DamagedSnapshot, ISnapshotBackend, ISnapshotBackendFactory, NoSnapshot, SnapshotInfo
from .rdb import decode_value, encode_value
from .rdbfile import sync_directory

__all__ = ["LMDBBackend", "LMDBFactory"]

_MAGIC = b"REPLICAD"
_TRAILER = Struct("<8sQQ")
_FORMAT = 1
_INFO_KEY = b"\0"

_LONGEST_KEY = 510
_EXPIRES, _HAS_KEY, _RDB_CODED = 1, 2, 4
#: The version of the value forms; 11 is the first one that keeps all the times of stream consumers.
_VALUE_VERSION = 11

_i64 = Struct("<q")
_u32 = Struct("<I")

#: Room in the map beyond what a batch seems to need.
_SPARE_MAP = 16 * 1024 * 1024
#: A batch ends at so many bytes.  It is sorted, and one that goes behind all others is appended, which is several times faster
#: than inserting; every batch after the first one touches most pages again.  So batches are as large as a writer may be.
_BATCH_BYTES = 256 * 1024 * 1024
#: What a record takes beside its value: key, and the objects that hold both.
_RECORD_BYTES = 180
_PIECE = 4 * 1024 * 1024

_crc = anycrc.Model("CRC64-REDIS")


def _record(key: bytes, value: Any, expire_at_ms: int | None, db_prefix: bytes) -> tuple[bytes, bytes]:
    """Return the record of one entry."""
    flags = 0
    head = b""
    if expire_at_ms is not None:
        flags = _EXPIRES
        head = _i64.pack(expire_at_ms)
    name = db_prefix + key
    if len(name) > _LONGEST_KEY:
        flags |= _HAS_KEY
        head += _u32.pack(len(key)) + key
        name = name[: _LONGEST_KEY + 1 - 64] + sha512(key).digest()
    if type(value) is not bytes:
        flags |= _RDB_CODED
        value = encode_value(value, _VALUE_VERSION)
    return name, b"%c%b%b" % (flags, head, value)


def _entry(name: bytes, data: bytes) -> Entry:
    """Return the entry of one record."""
    flags = data[0]
    position = 1
    db = int.from_bytes(name[:4], "big")
    key = name[4:]
    expire_at_ms = None
    if flags & _EXPIRES:
        (expire_at_ms,) = _i64.unpack_from(data, position)
        position += 8
    if flags & _HAS_KEY:
        start = position + 4
        position = start + _u32.unpack_from(data, position)[0]
        key = data[start:position]
    value = data[position:]
    return db, key, decode_value(value) if flags & _RDB_CODED else value, expire_at_ms


def _pack_info(info: SnapshotInfo) -> bytes:
    record = asdict(info)
    # Library sources are bytes; latin-1 maps each byte to one character and back.
    record["functions"] = [source.decode("latin-1") for source in info.functions]
    return json.dumps({"format": _FORMAT, "info": record}).encode()


def _unpack_info(data: bytes) -> SnapshotInfo:
    document = json.loads(data)
    if document["format"] != _FORMAT:
        raise ValueError(f"the format {document['format']} is not known")
    known = {field.name for field in fields(SnapshotInfo)}
    record = {name: value for name, value in document["info"].items() if name in known}
    record["functions"] = tuple(source.encode("latin-1") for source in record["functions"])
    return SnapshotInfo(**record)


@implementer(ISnapshotBackend)
class LMDBBackend:
    """A snapshot in the LMDB environment in the directory ``path``, which is made when it is missing."""

    def __init__(self, path: str) -> None:
        self.directory = path
        self.path = os.path.join(path, "data.mdb")

    def save(self, entries: Iterable[Entry], info: SnapshotInfo) -> None:
        """Replace the environment.  Raises OSError when it cannot be written; the old one then stays."""
        os.makedirs(self.directory, exist_ok=True)
        # One name for all writers: what a killed one left is overwritten by the next.
        temporary = os.path.join(self.directory, "new.mdb")
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        try:
            self._write(temporary, entries, info)
            _seal(temporary)
            os.replace(temporary, self.path)
        except BaseException as error:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)
            if isinstance(error, lmdb.Error):
                raise OSError(f"cannot write {temporary}: {error}") from error
            raise
        sync_directory(self.directory)

    def _write(self, path: str, entries: Iterable[Entry], info: SnapshotInfo) -> None:
        # Neither locks nor order on disk matter in a file that nobody else opens before it is complete.
        environment = lmdb.open(
            path, subdir=False, map_size=_SPARE_MAP, lock=False, sync=False, metasync=False, max_dbs=0
        )
        with environment:
            batch = [(_INFO_KEY, _pack_info(info))]
            size = 0
            prefix_of = -1
            prefix = b""
            for db, key, value, expire_at_ms in entries:
                if db != prefix_of:
                    prefix_of = db
                    prefix = db.to_bytes(4, "big")
                if expire_at_ms is None and type(value) is bytes and len(key) <= _LONGEST_KEY - 4:
                    record = prefix + key, b"\0" + value
                else:
                    record = _record(key, value, expire_at_ms, prefix)
                batch.append(record)
                size += len(record[1]) + _RECORD_BYTES
                if size >= _BATCH_BYTES:
                    _put(environment, batch)
                    batch = []
                    size = 0
            _put(environment, batch)

    def load(self) -> tuple[SnapshotInfo, Iterator[Entry]]:
        """Check the file and open it.  See :class:`ISnapshotBackend`."""
        try:
            length = self._check()
        except FileNotFoundError:
            raise NoSnapshot(f"there is no file {self.path}") from None
        entries = self._read(length)
        return next(entries), entries

    def _check(self) -> int:
        """Raise DamagedSnapshot unless the file is what a save has written; return the length of the environment."""
        with open(self.path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            length = size - _TRAILER.size
            if length <= 0:
                raise DamagedSnapshot(self.path, size, "the file is too short")
            crc = 0
            left = length
            while left:
                data = file.read(min(_PIECE, left))
                if not data:
                    raise DamagedSnapshot(self.path, length - left, "the file became shorter while it was read")
                crc = _crc.calc(data, crc)
                left -= len(data)
            trailer = file.read()
            if trailer[:8] != _MAGIC:
                raise DamagedSnapshot(self.path, length, "the end of the file is missing")
            if trailer != _TRAILER.pack(_MAGIC, length, crc):
                raise DamagedSnapshot(self.path, length, "length or checksum are wrong")
        return length

    def _read(self, length: int) -> Iterator[Any]:
        """Yield the info and then the entries."""
        name = b""
        try:
            with (
                lmdb.open(self.path, subdir=False, map_size=length, lock=False, readonly=True, max_dbs=0) as environment,
                environment.begin() as transaction,
            ):
                cursor = transaction.cursor()
                if not cursor.first() or cursor.key() != _INFO_KEY:
                    raise DamagedSnapshot(self.path, None, "the record about the snapshot is missing")
                name, data = cursor.item()
                yield _unpack_info(data)
                cursor.next()
                db_prefix = b""
                db = 0
                for name, data in cursor.iternext():
                    if data[0] == 0:
                        if name[:4] != db_prefix:
                            db_prefix = name[:4]
                            db = int.from_bytes(db_prefix, "big")
                        yield db, name[4:], data[1:], None
                    else:
                        yield _entry(name, data)
        except DamagedSnapshot as damage:
            raise DamagedSnapshot(self.path, None, f"{damage.reason} (record {name[:100]!r})") from None
        except (lmdb.Error, ValueError, KeyError, TypeError, IndexError, struct_error) as error:
            raise DamagedSnapshot(self.path, None, f"{error} (record {name[:100]!r})") from error

    def last_saved(self) -> float | None:
        """Return the time of the file."""
        try:
            return os.stat(self.path).st_mtime
        except OSError:
            return None


def _put(environment: Any, batch: list[tuple[bytes, bytes]]) -> None:
    """Write one batch in one transaction, with a bigger map if that is what it takes."""
    batch.sort()
    size = sum(len(name) + len(data) for name, data in batch)
    info = environment.info()
    map_size = max(info["map_size"], info["last_pgno"] * 4096 + size + size // 2 + _SPARE_MAP)
    while True:
        environment.set_mapsize(map_size)
        try:
            with environment.begin(write=True) as transaction:
                cursor = transaction.cursor()
                behind = not batch or not cursor.last() or cursor.key() < batch[0][0]
                cursor.putmulti(batch, append=behind)
            return
        except lmdb.MapFullError:
            # The transaction is over here, as a change of the map demands.
            map_size *= 2


def _seal(path: str) -> None:
    """Append the trailer and bring the file to disk."""
    with open(path, "r+b") as file:
        crc = 0
        length = 0
        while data := file.read(_PIECE):
            crc = _crc.calc(data, crc)
            length += len(data)
        file.write(_TRAILER.pack(_MAGIC, length, crc))
        file.flush()
        os.fsync(file.fileno())


@implementer(ISnapshotBackendFactory)
class LMDBFactory:
    """Makes the backend from the directive lmdb-path, or in ``replicad.lmdb`` under the directory ``dir``."""

    name = "lmdb"

    def make(self, settings: Mapping[str, Any]) -> LMDBBackend:
        """Return the backend for these settings."""
        return LMDBBackend(settings.get("lmdb-path") or os.path.join(settings.get("dir", "."), "replicad.lmdb"))
