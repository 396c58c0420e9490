"""Snapshots of running servers: save points, restarts, kills, damage, full disks, a third party's backend."""

from __future__ import annotations

import os
import subprocess
import textwrap
import time
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.support.connection import RespError
from tests.support.servers import RealServer, Replicad, digest, find_tool, wait_in_sync, wait_until


def fill(node: Any, keys: int = 200) -> None:
    """A little of every type."""
    client = node.client()
    for i in range(keys):
        client.send("SET", f"s{i}", f"value-{i}" * 4)
    client.send("RPUSH", "list", *range(300))
    client.send("HSET", "hash", *[x for i in range(300) for x in (f"f{i}", i)])
    client.send("SADD", "set", *range(50), "word")
    client.send("ZADD", "zset", *[x for i in range(300) for x in (i / 3, f"m{i}")])
    client.send("SET", "mortal", "x", "EX", "1000")
    for _ in range(keys + 5):
        client.read_reply()
    client.must("SELECT", "5")
    client.must("SET", b"\x00\xff" * 400, "a long binary key")


class BackendCases:
    """What holds for every backend; a subclass names it."""

    backend = ""

    def start(self, **more: Any) -> Replicad:
        directives = {"snapshot-backend": self.backend, **more}
        return Replicad(self, directives).start()  # type: ignore[arg-type]

    def test_saved_on_sigterm_and_loaded(self) -> None:
        node = self.start(save="3600 1")
        fill(node)
        before = digest(node)
        node.restart()
        self.assertEqual(digest(node), before)  # type: ignore[attr-defined]
        self.assertIn("Done loading RDB, keys loaded: 206, keys expired: 0.", node.log())  # type: ignore[attr-defined]
        self.assertEqual(node.info()["rdb_changes_since_last_save"], "0")  # type: ignore[attr-defined]

    def test_save_point(self) -> None:
        node = self.start(save="1 10")
        fill(node)
        node.wait_log("10 changes in 1 seconds. Saving...", timeout=5)
        node.wait_log("Background saving terminated with success")
        before = digest(node)
        node.restart(how="kill")
        self.assertEqual(digest(node), before)  # type: ignore[attr-defined]

    def test_kill_during_save_leaves_the_last_good_snapshot(self) -> None:
        node = self.start()
        fill(node)
        node.call("SAVE")
        good = digest(node)
        node.call("DEBUG", "POPULATE", "60000", "junk", "100")
        for wait in (0.0, 0.02, 0.05, 0.1):
            node.call("BGSAVE")
            time.sleep(wait)
            node.kill()
            node.start()
            if digest(node) != good:  # a whole new snapshot is the only other thing allowed
                self.assertEqual(node.call("DBSIZE"), 60205)  # type: ignore[attr-defined]
                return
            node.call("DEBUG", "POPULATE", "60000", "junk", "100")

    def test_expired_keys_are_not_loaded_by_a_master(self) -> None:
        node = self.start(save="3600 1")
        node.call("SET", "short", "x", "PX", "300")
        node.call("SET", "long", "x", "EX", "300")
        node.call("SAVE")
        node.kill()
        time.sleep(0.4)
        node.start()
        self.assertEqual(node.call("KEYS", "*"), [b"long"])  # type: ignore[attr-defined]

    def test_failed_save_keeps_the_old_one_and_stops_writes(self) -> None:
        node = self.start(save="3600 1")
        node.call("SET", "a", "1")
        node.call("SAVE")
        good = digest(node)
        hidden = node.directory.with_name(node.directory.name + "-away")
        os.rename(node.directory, hidden)
        try:
            node.call("SET", "b", "1")
            self.assertEqual(node.call("BGSAVE"), b"Background saving started")  # type: ignore[attr-defined]
            wait_until(lambda: node.info()["rdb_last_bgsave_status"] == "err", what="the save to fail")
            client = node.client()
            reply = client.call("SET", "c", "1")
            self.assertIsInstance(reply, RespError)  # type: ignore[attr-defined]
            self.assertTrue(str(reply).startswith("MISCONF Redis is configured to save RDB snapshots"))  # type: ignore[attr-defined]
            self.assertIsInstance(client.call("PING"), RespError)  # type: ignore[attr-defined]
            self.assertEqual(node.call("GET", "b"), b"1")  # type: ignore[attr-defined]
            node.call("CONFIG", "SET", "stop-writes-on-bgsave-error", "no")
            self.assertEqual(node.call("SET", "c", "1"), b"OK")  # type: ignore[attr-defined]
            node.call("CONFIG", "SET", "stop-writes-on-bgsave-error", "yes")
        finally:
            os.rename(hidden, node.directory)
        node.call("BGSAVE")
        wait_until(lambda: node.info()["rdb_last_bgsave_status"] == "ok", what="the save to succeed")
        self.assertEqual(node.call("SET", "d", "1"), b"OK")  # type: ignore[attr-defined]
        node.kill()
        node.start()
        self.assertNotEqual(digest(node), good)  # type: ignore[attr-defined]
        self.assertEqual(node.call("GET", "c"), b"1")  # type: ignore[attr-defined]

    def test_clients_are_served_while_a_save_runs(self) -> None:
        node = self.start()
        node.call("DEBUG", "POPULATE", "100000", "key", "200")
        node.call("BGSAVE")
        worst = 0.0
        client = node.client()
        while node.info()["rdb_bgsave_in_progress"] == "1":
            started = time.perf_counter()
            client.must("SET", "probe", "x")
            worst = max(worst, time.perf_counter() - started)
        self.assertLess(worst, 0.5)  # type: ignore[attr-defined]
        self.assertEqual(node.info()["rdb_last_bgsave_status"], "ok")  # type: ignore[attr-defined]

    def test_replication_goes_on_where_the_snapshot_stopped(self) -> None:
        master = Replicad(self).start()  # type: ignore[arg-type]
        replica = self.start(save="3600 1", replicaof=f"127.0.0.1 {master.port}")
        master.call("SELECT", "0")
        fill(master)
        wait_in_sync(master, replica)
        replica.stop()
        master.call("SET", "meanwhile", "1")
        replica.start()
        wait_in_sync(master, replica)
        self.assertEqual(digest(master), digest(replica))  # type: ignore[attr-defined]
        stats = master.info()
        self.assertEqual((stats["sync_full"], stats["sync_partial_ok"]), ("1", "1"))  # type: ignore[attr-defined]


class RDBTests(BackendCases, SynchronousTestCase):
    """The RDB file."""

    backend = "rdb"

    def test_real_tools_and_servers_accept_the_file(self) -> None:
        node = self.start()
        fill(node)
        node.call("SAVE")
        path = node.directory / "dump.rdb"
        checked = subprocess.run([find_tool("redis-check-rdb"), str(path)], capture_output=True, text=True, check=False)
        self.assertEqual(checked.returncode, 0, checked.stdout)
        self.assertIn("RDB looks OK!", checked.stdout)
        real = RealServer(self, {}, directory=node.directory, name="reader")
        real.start()
        self.assertEqual(digest(real), digest(node))

    def test_a_file_of_a_real_server_is_loaded(self) -> None:
        real = RealServer(self).start()
        fill(real)
        real.call("SAVE")
        node = Replicad(self, {}, directory=real.directory, name="reader").start()
        self.assertEqual(digest(node), digest(real))

    def test_a_damaged_file_stops_the_start_and_is_not_touched(self) -> None:
        node = self.start()
        fill(node)
        node.call("SAVE")
        node.kill()
        path = node.directory / "dump.rdb"
        good = path.read_bytes()
        flipped = bytes([good[len(good) // 2] ^ 0x55])
        for what, data in (
            ("truncated", good[: len(good) // 2]),
            ("flipped", good[: len(good) // 2] + flipped + good[len(good) // 2 + 1 :]),
            ("foreign", b"PNG\r\n" + good),
            ("empty", b""),
        ):
            path.write_bytes(data)
            node.start(wait=False)
            self.assertEqual(node.wait_exit(), 1, what)
            self.assertIn(f"{path} is damaged at byte", node.log().splitlines()[-3] + node.log(), what)
            self.assertEqual(path.read_bytes(), data, what)

    def test_nothing_is_written_without_persistence(self) -> None:
        master = self.start()
        before = sorted(os.listdir(master.directory))
        for diskless in ("yes", "no"):
            master.call("CONFIG", "SET", "repl-diskless-sync", diskless)
            replica = RealServer(self, {"replicaof": f"127.0.0.1 {master.port}"}).start()
            master.call("SET", "k", diskless)
            wait_in_sync(master, replica)
            self.assertEqual(sorted(os.listdir(master.directory)), before)
            replica.stop()
        master.stop()
        self.assertEqual(sorted(os.listdir(master.directory)), before)


class LMDBTests(BackendCases, SynchronousTestCase):
    """The LMDB store."""

    backend = "lmdb"

    def test_a_damaged_store_stops_the_start(self) -> None:
        node = self.start()
        fill(node)
        node.call("SAVE")
        node.kill()
        files = [path for path in Path(node.directory).rglob("data.mdb*") if path.is_file()]
        self.assertTrue(files)
        for path in files:
            data = path.read_bytes()
            path.write_bytes(b"\x99" * len(data))
        node.start(wait=False)
        self.assertEqual(node.wait_exit(), 1)
        self.assertIn("is damaged", node.log())


PLUGIN = '''
from zope.interface import implementer
from twisted.plugin import IPlugin
from replicad.persistence.interfaces import ISnapshotBackendFactory
from pickle_store import PickleBackend

@implementer(IPlugin, ISnapshotBackendFactory)
class Factory:
    name = "pickle"
    def make(self, settings):
        return PickleBackend(settings["dir"] + "/data.pickle")

factory = Factory()
'''

BACKEND = '''
import os, pickle
from zope.interface import implementer
from replicad.persistence.interfaces import ISnapshotBackend, NoSnapshot

@implementer(ISnapshotBackend)
class PickleBackend:
    def __init__(self, path):
        self.path = path
    def save(self, entries, info):
        with open(self.path + ".new", "wb") as file:
            pickle.dump((info, list(entries)), file)
            file.flush()
            os.fsync(file.fileno())
        os.rename(self.path + ".new", self.path)
    def load(self):
        try:
            with open(self.path, "rb") as file:
                info, entries = pickle.load(file)
        except FileNotFoundError:
            raise NoSnapshot from None
        return info, iter(entries)
    def last_saved(self):
        return os.path.getmtime(self.path) if os.path.exists(self.path) else None
'''


class WithPlugin(Replicad):
    """A server that finds a third party's plugin on its path."""

    def environment(self) -> dict[str, str]:
        environment = super().environment()
        environment["PYTHONPATH"] = f"{self.directory}{os.pathsep}{environment['PYTHONPATH']}"
        return environment


class PluginTests(BackendCases, SynchronousTestCase):
    """A third backend, found through twisted.plugin, passes what the others pass."""

    backend = "pickle"

    def start(self, **more: Any) -> Replicad:
        node = WithPlugin(self, {"snapshot-backend": self.backend, **more})
        plugins = node.directory / "twisted" / "plugins"
        plugins.mkdir(parents=True)
        (plugins / "pickle_plugin.py").write_text(textwrap.dedent(PLUGIN))
        (node.directory / "pickle_store.py").write_text(textwrap.dedent(BACKEND))
        return node.start()

    def test_an_unknown_word_stops_the_start(self) -> None:
        node = Replicad(self, {"snapshot-backend": "nonsense"}).start(wait=False)
        self.assertNotEqual(node.wait_exit(), 0)
        self.assertIn("no snapshot backend is called 'nonsense'", node.log())


