"""The digests against the answers of a redis-server 7.0 that held the same data."""

from __future__ import annotations

from collections import deque

from twisted.trial.unittest import SynchronousTestCase

from replicad.digest import DatasetDigest, dataset_digest, value_digest
from replicad.values import Entry, ModuleValue, SortedSet, Stream


def _stream() -> Stream:
    stream = Stream()
    stream.append((1, 1), (b"a", b"1", b"b", b"2"))
    stream.append((2, 5), (b"c", b"3"))
    return stream


#: Key, value, time of expiry, and what DEBUG DIGEST-VALUE answered.
KNOWN = (
    (b"s", b"hello", None, "36b23a1456b2dce2c3ed252c456761301dba8060"),
    (b"l", deque([b"a", b"b", b"c"]), None, "8bf72d812571eea9b927f3c11beb0c4165a6ff89"),
    (b"st", {b"a", b"b", b"7"}, None, "4db2915dc242371e719444ddc8b328e38ac18e1c"),
    (
        b"z",
        SortedSet.from_pairs([(b"a", 1.0), (b"b", 2.5), (b"c", float("-inf")), (b"d", 0.1)]),
        None,
        "e2b86b0e11c99954160d20bd7b671cf3281f9b24",
    ),
    (b"h", {b"f1": b"v1", b"f2": b"42"}, None, "4d8361164042c9775d75c339b94dc863b1886964"),
    (b"x", _stream(), None, "238813dc6b452bc5bad2d0f9297d48de82814fdb"),
    (b"e", b"v", 1893456000000, "311b17018163335616e089f6b951c82c477335ac"),
)
ENTRIES: list[Entry] = [(0, key, value, expire_at_ms) for key, value, expire_at_ms, _ in KNOWN]


class DigestTest(SynchronousTestCase):
    """The numbers of a real server."""

    def test_values(self) -> None:
        """DEBUG DIGEST-VALUE, one of each type; only that a key expires counts, not when."""
        for _, value, expire_at_ms, digest in KNOWN:
            self.assertEqual(value_digest(value, expire_at_ms).hex(), digest)
            if expire_at_ms is not None:
                self.assertEqual(value_digest(value, expire_at_ms + 1).hex(), digest)
                self.assertNotEqual(value_digest(value).hex(), digest)

    def test_dataset(self) -> None:
        """DEBUG DIGEST of all of them, in any order."""
        digest = "bb2e79b6a3879d6dc0476080c43a8755a9c80e8a"
        self.assertEqual(dataset_digest(ENTRIES), digest)
        self.assertEqual(dataset_digest(reversed(ENTRIES)), digest)

    def test_empty(self) -> None:
        """Nothing has the digest zero."""
        self.assertEqual(dataset_digest([]), "0" * 40)

    def test_taking_out(self) -> None:
        """Keys that were added and taken out leave no trace, nor does a database that became empty."""
        digest = DatasetDigest()
        for entry in ENTRIES:
            digest.add(*entry)
        before = digest.hexdigest()
        digest.add(3, b"k", b"v", None)
        digest.add(0, b"k", {b"a"}, 5)
        self.assertNotEqual(digest.hexdigest(), before)
        digest.discard(0, b"k", {b"a"}, 5)
        digest.discard(3, b"k", b"v", None)
        self.assertEqual(digest.hexdigest(), before)

    def test_database_counts(self) -> None:
        """The same key in another database is another dataset."""
        self.assertNotEqual(dataset_digest([(0, b"k", b"v", None)]), dataset_digest([(1, b"k", b"v", None)]))

    def test_seed(self) -> None:
        """A seed changes the digest of a value, and so do the bytes of a module value."""
        self.assertNotEqual(value_digest(b"v", seed=b"k"), value_digest(b"v"))
        self.assertNotEqual(value_digest(ModuleValue(b"a")), value_digest(ModuleValue(b"b")))
