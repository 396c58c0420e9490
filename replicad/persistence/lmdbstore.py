"""The backend ``lmdb``: the snapshot is an LMDB environment with one record per key.

Layout of the directory: ``data.mdb``, the environment, followed by a trailer of ours: eight bytes of magic, the length
of the environment and its CRC64.  LMDB maps the file and follows the page numbers it finds; in a damaged file that ends
the process with a signal instead of an error.  So nothing is opened before the trailer has shown that the file is what
was written.

A save writes a new environment under a temporary name and renames it over the old one.  A transaction inside the old
one was considered: it needs the room for both anyway, LMDB never gives the room back, and when the map is full in the
middle the transaction is lost together with the entries it has consumed.  In an environment that nobody sees, the
entries go in batches, and a batch that finds the map full is simply tried again with a bigger one.

The handle is opened in ``save`` or ``load`` and closed at their end, so none is ever carried over a fork.

Records
-------
Key: 12 bits of the CRC32 of the Redis key (2 bytes, big endian), database index (4 bytes, big endian), then the
Redis key; LMDB allows 511 bytes in all, so a longer Redis key is cut and ended with its SHA-512, which makes exactly
511 bytes, one more than an uncut key may have.  The bits in front spread all keys evenly over 4096 ranges: records are
put in order range by range, each small enough for the processor's cache, which for a million keys takes a third of the
time of sorting them as they are.

Value: one byte of flags; the time of expiry (8 bytes, little endian) if flagged; the length (4 bytes, little endian)
and bytes of the full key if flagged; the value, as its type byte and RDB form if flagged, else a string's own bytes.

The record with the key ``\\0`` (one byte) sorts before all others and holds the snapshot's information as JSON.
"""

from __future__ import annotations

import binascii
import contextlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, fields
from hashlib import sha512
from itertools import chain
from operator import itemgetter
from struct import Struct
from struct import error as struct_error
from typing import Any
from zlib import crc32

import anycrc
import lmdb
from zope.interface import implementer

from ..values import Entry
from .interfaces import DamagedSnapshot, IIncrementalBackend, ISnapshotBackendFactory, NoSnapshot, SnapshotInfo
from .rdb import decode_value, encode_value
from .rdbfile import sync_directory

__all__ = ["LMDBBackend", "LMDBFactory"]

_MAGIC = b"REPLICAD"
_TRAILER = Struct("<8sQQ")
_FORMAT = 1
_INFO_KEY = b"\0"

_LONGEST_NAME = 510
_LONGEST_KEY = _LONGEST_NAME - 6
_EXPIRES, _HAS_KEY, _RDB_CODED = 1, 2, 4
#: The version of the value forms; 11 is the first one that keeps all the times of stream consumers, 12 those of hash fields.
_VALUE_VERSION = 12

_i64 = Struct("<q")
_u32 = Struct("<I")

#: Room in the map beyond what a batch seems to need.
_SPARE_MAP = 16 * 1024 * 1024
#: A batch ends at so many bytes.  The first one is appended, which is several times faster than inserting, and every
#: other one touches most pages again, so batches are as large as a writer may be.
_BATCH_BYTES = 256 * 1024 * 1024
#: How many ranges the keys are spread over; a power of two.
_RANGES = 4096
_RANGE_HEADS = tuple(number.to_bytes(2, "big") for number in range(_RANGES))
#: What a record takes beside its value: key, and the objects that hold both.
_RECORD_BYTES = 180
_PIECE = 4 * 1024 * 1024

#: What LMDB says of a file that is not one of its own, or not of this machine.
_DAMAGES = (lmdb.CorruptedError, lmdb.InvalidError, lmdb.PageNotFoundError, lmdb.VersionMismatchError)

_crc = anycrc.Model("CRC64-REDIS")


def _name(db: int, key: bytes) -> bytes:
    """Return the key of the record for a Redis key."""
    name = _RANGE_HEADS[crc32(key) & (_RANGES - 1)] + db.to_bytes(4, "big") + key
    return name if len(name) <= _LONGEST_NAME else name[: _LONGEST_NAME + 1 - 64] + sha512(key).digest()


def _data(key: bytes, value: Any, expire_at_ms: int | None) -> bytes:
    """Return the value of the record for one entry."""
    flags = 0
    head = b""
    if expire_at_ms is not None:
        flags = _EXPIRES
        head = _i64.pack(expire_at_ms)
    if len(key) > _LONGEST_KEY:
        flags |= _HAS_KEY
        head += _u32.pack(len(key)) + key
    if type(value) is not bytes:
        flags |= _RDB_CODED
        value = encode_value(value, _VALUE_VERSION)
    return b"%c%b%b" % (flags, head, value)


def _entry(name: bytes, data: bytes) -> Entry:
    """Return the entry of one record."""
    flags = data[0]
    position = 1
    db = int.from_bytes(name[2:6], "big")
    key = name[6:]
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
    record["tail"] = binascii.b2a_base64(info.tail, newline=False).decode()
    return json.dumps({"format": _FORMAT, "info": record}).encode()


def _unpack_info(data: bytes) -> SnapshotInfo:
    document = json.loads(data)
    if document["format"] != _FORMAT:
        raise ValueError(f"the format {document['format']} is not known")
    known = {field.name for field in fields(SnapshotInfo)}
    record = {name: value for name, value in document["info"].items() if name in known}
    record["functions"] = tuple(source.encode("latin-1") for source in record["functions"])
    record["tail"] = binascii.a2b_base64(record.get("tail", ""))
    return SnapshotInfo(**record)


@implementer(IIncrementalBackend)
class LMDBBackend:
    """A snapshot in the LMDB environment in the directory ``path``, which is made when it is missing."""

    def __init__(self, path: str) -> None:
        self.directory = path
        self.path = os.path.join(path, "data.mdb")

    def save(self, entries: Iterable[Entry], info: SnapshotInfo) -> None:
        """Replace the environment.  Raises OSError when it cannot be written; the old one then stays."""
        # only the last part: a parent that is gone (a file system that is not mounted) must not become a new place
        with contextlib.suppress(FileExistsError):
            os.mkdir(self.directory)
        with self._replacing() as temporary, _environment(temporary) as environment:
            _put(environment, [[(_INFO_KEY, _pack_info(info))]], 0)
            ranges: list[list[tuple[bytes, bytes]]] = [[] for _ in range(_RANGES)]
            appends = [records.append for records in ranges]
            heads: list[bytes] = []
            size = 0
            selected = -1
            for db, key, value, expire_at_ms in entries:
                if db != selected:
                    selected = db
                    raw_db = db.to_bytes(4, "big")
                    heads = [head + raw_db for head in _RANGE_HEADS]
                number = crc32(key) & (_RANGES - 1)
                if expire_at_ms is None and type(value) is bytes and len(key) <= _LONGEST_KEY:
                    data = b"\0" + value
                    appends[number]((heads[number] + key, data))
                else:
                    data = _data(key, value, expire_at_ms)
                    appends[number]((_name(db, key), data))
                size += len(data) + _RECORD_BYTES
                if size >= _BATCH_BYTES:
                    _put(environment, ranges, size)
                    ranges = [[] for _ in range(_RANGES)]
                    appends = [records.append for records in ranges]
                    size = 0
            _put(environment, ranges, size)

    def apply(self, changes: Iterable[tuple[int, bytes, Any, int | None]], info: SnapshotInfo) -> None:
        """Store the changed keys.  Raises NoSnapshot or DamagedSnapshot when there is nothing to build on, and OSError.

        The file is copied, which is quick work for the machine and none for the interpreter, and changed under its
        temporary name; the old one stays until the new one is complete, as in ``save``.
        """
        length = self._check()
        with self._replacing() as temporary:
            shutil.copyfile(self.path, temporary)
            os.truncate(temporary, length)
            with _environment(temporary, length) as environment:
                batch: list[tuple[bytes, bytes | None]] = [(_INFO_KEY, _pack_info(info))]
                size = 0
                for db, key, value, expire_at_ms in changes:
                    data = None if value is None else _data(key, value, expire_at_ms)
                    batch.append((_name(db, key), data))
                    size += _RECORD_BYTES + (0 if data is None else len(data))
                    if size >= _BATCH_BYTES:
                        _change(environment, batch)
                        batch = []
                        size = 0
                _change(environment, batch)

    @contextlib.contextmanager
    def _replacing(self) -> Iterator[str]:
        """Give the name of a temporary file, which takes the place of the snapshot if all goes well."""
        # One name for all writers: what a killed one left is removed by the next.
        temporary = os.path.join(self.directory, "new.mdb")
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        try:
            yield temporary
            _seal(temporary)
            os.replace(temporary, self.path)
        except BaseException as error:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)
            if isinstance(error, lmdb.Error):
                raise OSError(f"cannot write {temporary}: {error}") from error
            raise
        sync_directory(self.directory)

    def load(self) -> tuple[SnapshotInfo, Iterator[Entry]]:
        """Check the file and open it.  See ``ISnapshotBackend``."""
        entries = self._read(self._check())
        return next(entries), entries

    def _check(self) -> int:
        """Return the length of the environment.  Raises NoSnapshot, or DamagedSnapshot for a file that has changed."""
        try:
            file = open(self.path, "rb")
        except FileNotFoundError:
            raise NoSnapshot(f"there is no file {self.path}") from None
        with file:
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
                lmdb.open(self.path, subdir=False, map_size=length, lock=False, readonly=True, max_dbs=0) as opened,
                opened.begin() as transaction,
            ):
                cursor = transaction.cursor()
                if not cursor.first() or cursor.key() != _INFO_KEY:
                    raise DamagedSnapshot(self.path, None, "the record about the snapshot is missing")
                name, data = cursor.item()
                yield _unpack_info(data)
                raw_db = b""
                db = 0
                # A cursor that went past the last record would start over.
                for name, data in cursor.iternext() if cursor.next() else ():
                    if data[0] == 0:
                        if name[2:6] != raw_db:
                            raw_db = name[2:6]
                            db = int.from_bytes(raw_db, "big")
                        yield db, name[6:], data[1:], None
                    else:
                        yield _entry(name, data)
        except DamagedSnapshot as damage:
            raise DamagedSnapshot(self.path, None, f"{damage.reason} (record {name[:100]!r})") from None
        except (*_DAMAGES, ValueError, KeyError, TypeError, IndexError, struct_error) as error:
            raise DamagedSnapshot(self.path, None, f"{error} (record {name[:100]!r})") from error
        except lmdb.Error as error:
            raise OSError(f"cannot read {self.path}: {error}") from error

    def last_saved(self) -> float | None:
        """Return the time of the file."""
        try:
            return os.stat(self.path).st_mtime
        except OSError:
            return None


def _environment(path: str, size: int = 0) -> Any:
    """Open an environment of ``size`` bytes for writing.

    Neither locks nor the order on disk matter in a file that nobody else opens before it is complete.
    """
    return lmdb.open(
        path, subdir=False, map_size=size + _SPARE_MAP, lock=False, sync=False, metasync=False, max_dbs=0
    )


def _write(environment: Any, size: int, work: Callable[[Any], None]) -> None:
    """Do ``work``, which adds about ``size`` bytes, in one transaction, with a bigger map if that is what it takes."""
    info = environment.info()
    used = info["last_pgno"] * environment.stat()["psize"]
    map_size = max(info["map_size"], used + size + size // 2 + _SPARE_MAP)
    while True:
        environment.set_mapsize(map_size)
        try:
            with environment.begin(write=True) as transaction:
                work(transaction)
            return
        except lmdb.MapFullError:
            # The transaction is over here, as a change of the map demands.
            map_size *= 2


def _put(environment: Any, ranges: list[list[tuple[bytes, bytes]]], size: int) -> None:
    """Write one batch of a save that takes about ``size`` bytes."""
    name = itemgetter(0)
    for records in ranges:
        records.sort(key=name)  # comparing the names alone is faster than comparing pairs

    def work(transaction: Any) -> None:
        # A batch into an environment without keys is in order as a whole.
        transaction.cursor().putmulti(chain.from_iterable(ranges), append=transaction.stat()["entries"] <= 1)

    _write(environment, size, work)


def _change(environment: Any, batch: list[tuple[bytes, bytes | None]]) -> None:
    """Write one batch of an incremental save; None deletes."""

    def work(transaction: Any) -> None:
        for name, data in batch:
            if data is None:
                transaction.delete(name)
            else:
                transaction.put(name, data)

    _write(environment, sum(len(name) + len(data or b"") for name, data in batch), work)


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
    """Makes the backend from the directive lmdb-path, which is relative to ``dir`` and by default ``replicad.lmdb``."""

    name = "lmdb"

    def make(self, settings: Mapping[str, Any]) -> LMDBBackend:
        """Return the backend for these settings."""
        return LMDBBackend(os.path.join(settings.get("dir", "."), settings.get("lmdb-path") or "replicad.lmdb"))
