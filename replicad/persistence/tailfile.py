"""The side file of an RDB snapshot: the last bytes of the replication stream before it.

An RDB file has room for the id and the offset of the history, not for the bytes that led there. With them a server that
was started again answers ``+CONTINUE`` to replicas that are behind its snapshot. They lie in a file of their own, so that
the RDB file stays what real servers and their tools expect.

Owns: the format, and the judgement whether a file belongs to a snapshot. Does not own when it is written (``rdbfile``)
nor the bytes (``replication.history``).

The file is replaced *before* the snapshot is, and nothing ties the two renames together. So it names the history and the
offset where its bytes end, and is good for every snapshot of that history whose offset lies within them: after a crash
between the renames it is good for the old snapshot too, without the bytes behind it. Whatever does not fit is no error:
the file is ignored, and replicas that would have needed it copy everything.

::

    8 bytes   "RPLTAIL1"
    40 bytes  replication id
    8 bytes   offset of the last byte, little endian
    4 bytes   number of bytes, little endian
    ...       the bytes
    8 bytes   CRC64 of everything before, little endian
"""

from __future__ import annotations

import contextlib
import os
from struct import Struct

import anycrc

from .interfaces import SnapshotInfo

__all__ = ["read_tail", "remove_tail", "write_tail"]

_HEAD = Struct("<8s40sQI")
_CRC = Struct("<Q")
_MAGIC = b"RPLTAIL1"
#: A file that is longer than this (bytes) was not written here.
_LONGEST = 64 * 1024 * 1024

_crc = anycrc.Model("CRC64-REDIS")


def write_tail(path: str, info: SnapshotInfo) -> None:
    """Write the tail in ``info`` to ``path`` and bring it to disk.  Raises OSError."""
    assert info.replid is not None
    data = _HEAD.pack(_MAGIC, info.replid.encode(), info.offset, len(info.tail)) + info.tail
    with open(path, "wb") as file:
        file.write(data)
        file.write(_CRC.pack(_crc.calc(data)))
        file.flush()
        os.fsync(file.fileno())


def remove_tail(path: str) -> None:
    """Delete the file if there is one; what cannot be deleted is ignored, as it would be when it is read."""
    with contextlib.suppress(OSError):
        os.unlink(path)


def read_tail(path: str, info: SnapshotInfo) -> bytes:
    """Return the bytes of the stream that end at the offset of ``info``; empty when the file has none for it."""
    if info.replid is None:
        return b""
    try:
        with open(path, "rb") as file:
            data = file.read(_LONGEST + 1)
    except OSError:
        return b""
    if not _HEAD.size + _CRC.size <= len(data) <= _LONGEST:
        return b""
    magic, replid, end, length = _HEAD.unpack_from(data)
    body = data[: -_CRC.size]
    if magic != _MAGIC or replid != info.replid.encode() or len(body) != _HEAD.size + length:
        return b""
    if data[-_CRC.size :] != _CRC.pack(_crc.calc(body)):
        return b""
    beyond = end - info.offset
    return body[_HEAD.size : len(body) - beyond] if 0 <= beyond < length else b""
