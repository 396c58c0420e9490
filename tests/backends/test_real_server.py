"""Snapshot files between replicad's backend and a real redis-server, both ways, with equal digests."""

from __future__ import annotations

import os
import subprocess
from random import Random

from twisted.trial.unittest import TestCase

from replicad.digest import dataset_digest, value_digest
from replicad.persistence.interfaces import SnapshotInfo
from replicad.persistence.rdb import Encoder, dump_payload, load_payload
from replicad.persistence.rdbfile import RDBFileBackend
from replicad.values import Entry, Stream
from tests.support.servers import RealServer, digest, find_tool, need_reference

from .suite import every_kind


def loadable(databases: int = 300) -> list[Entry]:
    """The sample for a server with so many databases, which leaves out the module value; times are in the future."""
    return [
        (db, key, value, None if expire_at_ms is None else 4_000_000_000_000 + expire_at_ms)
        for db, key, value, expire_at_ms in every_kind()
        if db < databases
    ]


class RealServerTest(TestCase):
    """A real redis-server on the other side."""

    def test_our_file_there(self) -> None:
        """redis-check-rdb accepts it, the server loads it and has our digest, of all keys and of each."""
        server = RealServer(self, {"databases": 300})
        library = b"#!lua name=lib\nredis.register_function('f', function(keys, args) return args[1] end)"
        entries = loadable()
        for compress, checksum in ((True, True), (False, False)):
            backend = RDBFileBackend(str(server.directory), "dump.rdb", compress=compress, checksum=checksum)
            backend.save(entries, SnapshotInfo(functions=(library,), redis_version="7.0.15"))
            check = subprocess.run([find_tool("redis-check-rdb"), backend.path], capture_output=True, text=True, check=False)
            self.assertEqual(check.returncode, 0, check.stdout)
            self.assertIn("RDB looks OK", check.stdout)
            server.start()
            self.assertEqual(digest(server), dataset_digest(entries))
            self.assertEqual(server.call("FCALL", "f", 0, "yes"), b"yes")
            client = server.client()
            for db, key, value, expire_at_ms in entries:
                client.must("SELECT", db)
                found = client.must("DEBUG", "DIGEST-VALUE", key)[0]
                self.assertEqual(found.decode(), value_digest(value, expire_at_ms).hex(), key)
                self.assertEqual(client.must("PEXPIRETIME", key), -1 if expire_at_ms is None else expire_at_ms)
            client.must("SELECT", 200)
            info = client.must("XINFO", "STREAM", "stream", "FULL")
            fields = dict(zip(info[::2], info[1::2], strict=True))
            self.assertEqual(fields[b"entries-added"], 250)
            self.assertEqual(fields[b"max-deleted-entry-id"], b"7-7")
            self.assertEqual(len(fields[b"groups"]), 1)
            server.stop()

    def test_old_version_there(self) -> None:
        """Documents of the oldest version are loaded too."""
        server = RealServer(self, {"databases": 300})
        entries = [entry for entry in loadable() if type(entry[2]) is not Stream]
        (server.directory / "dump.rdb").write_bytes(b"".join(Encoder(version=6).encode(entries, SnapshotInfo())))
        server.start()
        self.assertEqual(digest(server), dataset_digest(entries))

    def test_their_file_here(self) -> None:
        """What a real server saved is loaded with its digest, small and large collections, and back again there."""
        need_reference()  # the payloads of DUMP go back in the version of 7.0
        server = RealServer(self, {"list-max-ziplist-size": 10}).start()
        random = Random(3)
        commands: list[tuple[object, ...]] = []
        for db in (0, 5):
            commands.append(("SELECT", db))
            for size in (1, 5, 100, 700):
                words = [random.choice((b"%d" % random.randrange(-9999, 2**40), random.randbytes(9))) for _ in range(size)]
                commands += (
                    ("SET", f"string{size}", b"".join(words)),
                    ("RPUSH", f"list{size}", *words),
                    ("SADD", f"set{size}", *words),
                    ("SADD", f"numbers{size}", *range(size)),
                    ("HSET", f"hash{size}", *(part for word in words for part in (word, word[::-1]))),
                    ("ZADD", f"zset{size}", *(part for word in words for part in (random.uniform(-1e9, 1e9), word))),
                    ("ZADD", f"whole{size}", *(part for word in words for part in (random.randrange(-9, 99999), word))),
                )
                for number in range(size):
                    commands.append(("XADD", f"stream{size}", f"{number // 3}-{number + 1}", "a", words[number], "b", "x"))
                commands.append(("XDEL", f"stream{size}", "0-2"))
                commands.append(("XGROUP", "CREATE", f"stream{size}", "g", "0"))
                commands.append(("XREADGROUP", "GROUP", "g", "c", "COUNT", "3", "STREAMS", f"stream{size}", ">"))
            commands += (
                ("SET", "longer", b"abc" * 10000),
                ("RPUSH", "mixed", "a", b"x" * 20000, "b"),
                ("PEXPIREAT", "longer", 4_000_000_000_000),
                ("PFADD", "hll", *range(100)),
                ("SETBIT", "bits", 9999, 1),
            )
        client = server.client()
        for command in commands:
            client.must(*command)
        client.must("SAVE")
        expected = digest(server)
        backend = RDBFileBackend(str(server.directory), "dump.rdb")
        _, loaded = backend.load()
        entries = list(loaded)
        self.assertEqual(dataset_digest(entries), expected)
        for db, key, value, expire_at_ms in entries:
            client.must("SELECT", db)
            self.assertEqual(client.must("DEBUG", "DIGEST-VALUE", key)[0].decode(), value_digest(value, expire_at_ms).hex())
            self.assertEqual(load_payload(client.must("DUMP", key)), value)
            client.must("RESTORE", key, 0, dump_payload(value), "REPLACE")
            self.assertEqual(client.must("DEBUG", "DIGEST-VALUE", key)[0].decode(), value_digest(value).hex())
        server.stop()
        os.unlink(backend.path)
        backend.save(entries, SnapshotInfo())
        server.start()
        self.assertEqual(digest(server), expected)
