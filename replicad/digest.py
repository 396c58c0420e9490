"""The digests of DEBUG DIGEST and DEBUG DIGEST-VALUE, equal to those of a real redis-server that holds the same data.

They are 160-bit numbers made with two operations on a running digest d:

- *mix* data, for things whose order matters:     d = sha1(d xor sha1(data))
- *xor* data, for things whose order is free:     d = d xor sha1(data)

Encodings do not matter, and neither do the consumer groups of a stream.  Module values are the exception: a real server
asks the module for a digest, here the stored bytes are mixed, so digests are equal between two servers of ours only.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from hashlib import sha1
from typing import Any

from .expiring_hash import ExpiringHash
from .values import Entry, ModuleValue, SortedSet, Stream

#: The number of each type in a real server; four bytes of it are mixed before the value.
_TYPE_NUMBERS: dict[type, bytes] = {
    kind: number.to_bytes(4, "big")
    for number, kind in enumerate((bytes, deque, set, SortedSet, dict, ModuleValue, Stream))
}
_TYPE_NUMBERS[ExpiringHash] = _TYPE_NUMBERS[dict]

_number = int.from_bytes


def _hash(data: bytes) -> int:
    return _number(sha1(data).digest(), "big")


def _mix(digest: int, data: bytes) -> int:
    return _number(sha1((digest ^ _number(sha1(data).digest(), "big")).to_bytes(20, "big")).digest(), "big")


def _value_number(value: Any, expire_at_ms: int | None, digest: int) -> int:
    kind = type(value)
    digest = _mix(digest, _TYPE_NUMBERS[kind])
    if kind is bytes:
        digest = _mix(digest, value)
    elif kind is deque:
        for item in value:
            digest = _mix(digest, item)
    elif kind is set:
        for member in value:
            digest ^= _hash(member)
    elif kind is SortedSet:
        for member, score in value.scores.items():
            pair = _mix(_mix(0, member), b"%.17g" % score)
            digest ^= _hash(pair.to_bytes(20, "big"))
    elif kind is dict or kind is ExpiringHash:
        times = {} if kind is dict else value.deadlines.scores
        for field, item in value.items():
            pair = _mix(_mix(0, field), item)
            if field in times:
                pair ^= _hash(b"!!hexpire!!")
            digest ^= _hash(pair.to_bytes(20, "big"))
    elif kind is Stream:
        for (milliseconds, sequence), fields in value:
            digest = _mix(digest, b"%d.%d" % (milliseconds, sequence))
            for item in fields:
                digest = _mix(digest, item)
    else:
        digest = _mix(digest, value.payload)
    if expire_at_ms is not None:
        digest ^= _hash(b"!!expire!!")
    return digest


def value_digest(value: Any, expire_at_ms: int | None = None, seed: bytes = b"") -> bytes:
    """Return the 20 bytes of DEBUG DIGEST-VALUE of one value.

    Whether the key expires counts, when it does not.  ``seed`` is mixed first; in a dataset that is the key.
    """
    return _value_number(value, expire_at_ms, _mix(0, seed) if seed else 0).to_bytes(20, "big")


class DatasetDigest:
    """The digest of DEBUG DIGEST, built key by key in any order.

    Within one database the digest is the exclusive or over its keys, so keys can also be taken out again.
    """

    def __init__(self) -> None:
        self._databases: dict[int, int] = {}
        self._keys: dict[int, int] = {}

    def add(self, db: int, key: bytes, value: Any, expire_at_ms: int | None) -> None:
        """Count one key."""
        self._count(db, key, value, expire_at_ms, 1)

    def discard(self, db: int, key: bytes, value: Any, expire_at_ms: int | None) -> None:
        """Take out a key that was added with exactly these arguments."""
        self._count(db, key, value, expire_at_ms, -1)

    def _count(self, db: int, key: bytes, value: Any, expire_at_ms: int | None, one: int) -> None:
        digest = _value_number(value, expire_at_ms, _mix(0, key))
        self._databases[db] = self._databases.get(db, 0) ^ _hash(digest.to_bytes(20, "big"))
        self._keys[db] = self._keys.get(db, 0) + one

    def hexdigest(self) -> str:
        """Return the 40 hex digits that DEBUG DIGEST answers; all zeros when there is no key."""
        digest = 0
        for db in sorted(self._databases):
            if self._keys[db]:
                digest = _mix(digest, db.to_bytes(4, "big")) ^ self._databases[db]
        return digest.to_bytes(20, "big").hex()


def dataset_digest(entries: Iterable[Entry]) -> str:
    """Return the 40 hex digits that DEBUG DIGEST answers for a dataset with these entries."""
    digest = DatasetDigest()
    for db, key, value, expire_at_ms in entries:
        digest.add(db, key, value, expire_at_ms)
    return digest.hexdigest()
