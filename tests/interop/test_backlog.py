"""The backlog as an operator meets it: its size, its end, and the part of it that lies on disk."""

from __future__ import annotations

import random
import resource
import threading
import time
from functools import partial

from twisted.trial.unittest import SynchronousTestCase

from tests.support.connection import Argument
from tests.support.proxy import Proxy
from tests.support.servers import KINDS, Node, RealServer, Replicad, digest, link_up, report, wait_in_sync, wait_until
from tests.support.together import together
from tests.support.writes import changes, write


class Writer:
    """Writes megabytes for as long as it runs, in a thread; ``written`` counts them."""

    def __init__(self, node: Node, megabytes_per_second: float) -> None:
        self.written = 0
        self._pause = 1 / megabytes_per_second
        self._client = node.client(timeout=30)
        self._going = True
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        source = random.Random(3)
        values = [source.randbytes(20_000) for _ in range(50)]
        began = time.monotonic()
        while self._going:
            batch: list[tuple[Argument, ...]] = [("SET", f"w:{number}", value) for number, value in enumerate(values)]
            self._client.pipeline(*batch, ("INCR", "rounds"))
            self.written += 1
            time.sleep(max(began + self.written * self._pause - time.monotonic(), 0))

    def stop(self) -> None:
        """End it."""
        self._going = False
        self._thread.join()


def synced(node: Node) -> tuple[int, int]:
    """Return (full, partial) synchronisations that the node has served."""
    stats = node.info("stats")
    return int(stats["sync_full"]), int(stats["sync_partial_ok"])


class OnDisk(SynchronousTestCase):
    """A small backlog, heavy writes, and replicas that are slow or away."""

    def master(self, spill: str) -> Replicad:
        """Start a master with some megabytes."""
        master = Replicad(
            self,
            {
                "repl-backlog-size": "1mb",
                "repl-backlog-spill": spill,
                "client-output-buffer-limit": "replica 2mb 0 0",
                "repl-diskless-sync-delay": 0,
            },
            name=f"master-spill-{spill}",
        ).start()
        source = random.Random(1)
        with master.client() as client:
            client.pipeline(*(("SET", f"k:{number}", source.randbytes(100_000)) for number in range(40)))
        return master

    def test_a_slow_replica_of_a_busy_master(self) -> None:
        """Without the spill it begins again and again; with it one copy is enough, and memory stays bounded."""
        together(self.without, lambda: self.slow("ours"), lambda: self.slow("real"))

    def under_way(self, master: Node, replica: Node) -> tuple[Writer, Proxy]:
        """Begin to write faster than the way to the replica allows."""
        proxy = Proxy(self, master)
        proxy.slow(4_000_000)
        writer = Writer(master, 15)
        replica.call("REPLICAOF", "127.0.0.1", proxy.port)
        return writer, proxy

    def without(self) -> None:
        master = self.master("off")
        self.assertNotIn("replicad_backlog_spill_active", master.info("replication"))
        replica = Replicad(self, name="cut").start()
        writer = self.under_way(master, replica)[0]
        wait_until(lambda: synced(master)[0] >= 2, 30, "the second copy")
        writer.stop()
        master.wait_log("scheduled to be closed ASAP for overcoming of output buffer limits.")
        self.assertEqual(replica.info("replication")["master_link_status"], "down")

    def slow(self, kind: str) -> None:
        master = self.master("256mb")
        replica = KINDS[kind](self, name=f"slow-{kind}").start()
        writer, proxy = self.under_way(master, replica)
        most = behind = 0
        while writer.written < 40:
            fields = master.info("replication")
            most = max(most, int(fields["repl_backlog_histlen"]))
            behind = int(fields["replicad_backlog_spill_histlen"])
            time.sleep(0.1)
        writer.stop()
        proxy.slow(None)
        wait_in_sync(master, replica)
        self.assertEqual(synced(master), (1, 0), report(master, replica))
        self.assertEqual(digest(master), digest(replica))
        self.assertTrue(most < 3_400_000, f"{most} bytes were in memory")  # one batch of the writer is a megabyte
        self.assertTrue(behind > 20_000_000, behind)

    def test_away_for_long(self) -> None:
        """A replica that was cut off continues from the file, up to its size and not beyond."""
        master = self.master("20mb")
        proxy = Proxy(self, master)
        replica = Replicad(self, {"replicaof": f"127.0.0.1 {proxy.port}"}, name="replica").start()
        wait_until(lambda: link_up(replica), 10, "the link")
        for size, expected in ((20_000, (1, 1)), (100_000, (2, 1))):
            proxy.refuse()
            write(master, changes(size, 500, size=size))
            proxy.resume()
            wait_in_sync(master, replica)
            self.assertEqual(synced(master), expected, report(master, replica))
            self.assertEqual(digest(master), digest(replica))
        held = int(master.info("replication")["replicad_backlog_spill_histlen"])
        self.assertTrue(19_000_000 < held < 21_100_000, held)
        # Less of it begins anew; off gives the disk its room back.
        for value, active, size in (("1mb", "1", "1048576"), ("off", None, None), ("3mb", "1", "3145728")):
            master.call("CONFIG", "SET", "repl-backlog-spill", value)
            fields = master.info("replication")
            found = fields.get("replicad_backlog_spill_active"), fields.get("replicad_backlog_spill_size")
            self.assertEqual(found, (active, size))
            shown = master.call("CONFIG", "GET", "repl-backlog-spill")[1].decode()
            self.assertEqual(shown, value if value == "off" else size)
        write(master, changes(5, 500, size=5000))
        wait_in_sync(master, replica)
        self.assertEqual(synced(master), (2, 1))

    def test_one_that_is_too_far_behind(self) -> None:
        """When even the file has lost what a replica needs, it is told to go, and the log says why."""
        master = self.master("1mb")
        proxy = Proxy(self, master)
        replica = Replicad(self, {"replicaof": f"127.0.0.1 {proxy.port}"}, name="replica").start()
        wait_until(lambda: link_up(replica), 10, "the link")
        proxy.pause()
        for seed in range(12):  # the kernel takes some megabytes
            write(master, changes(seed, 300, size=20_000))
        master.wait_log("is further behind than the backlog and its spill reach")
        proxy.cut()
        proxy.resume()
        wait_in_sync(master, replica)
        self.assertEqual(synced(master), (2, 0), report(master, replica))
        self.assertEqual(digest(master), digest(replica))

    def test_full_disk(self) -> None:
        """The file may not grow: one line in the log, and the backlog is what it was without it."""
        master = self.master("off")
        master.call("CONFIG", "SET", "repl-backlog-spill", "64mb")
        limit_files(master.pid, 3_000_000)
        replica = Replicad(self, {"replicaof": master.address}, name="replica").start()
        wait_until(lambda: link_up(replica), 10, "the link")
        write(master, changes(1, 600, size=20_000))
        master.wait_log("The backlog's spill is turned off: File too large.")
        wait_in_sync(master, replica)
        self.assertEqual(synced(master), (1, 0))
        self.assertEqual(digest(master), digest(replica))
        self.assertEqual(master.info("replication")["replicad_backlog_spill_active"], "0")
        self.assertEqual(master.log().count("spill is turned off"), 1)


def limit_files(pid: int, size: int) -> None:
    """No file of the process may grow beyond ``size`` bytes."""
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, size))


class InMemory(SynchronousTestCase):
    """Size and end of the backlog, beside a real server."""

    def pair(self, kind: type[Node], **directives: object) -> tuple[Node, Node]:
        """Start a master of ``kind`` and a replica of ours."""
        master = kind(self, {"repl-diskless-sync-delay": 0, "repl-ping-replica-period": 3600, **directives}).start()
        replica = Replicad(self, {"replicaof": master.address}, name="replica").start()
        wait_until(lambda: link_up(replica), 10, "the link")
        return master, replica

    def test_size_changed_at_run_time_and_its_end(self) -> None:
        kinds = RealServer, Replicad
        together(
            *(partial(self.resized, kind) for kind in kinds), *(partial(self.freed, kind) for kind in kinds), self.kept
        )

    def resized(self, kind: type[Node]) -> None:
        """A larger one fills up, a smaller one lets go of what is too old; replicas stay."""
        master, replica = self.pair(kind, **{"repl-backlog-size": "1mb"})
        for size, most, least in (
            (1 << 20, 1_400_000, 1 << 20),
            (4 << 20, 6_000_000, 4 << 20),
            (100_000, 200_000, 100_000),
            (1, 40_000, 16_384),
        ):
            master.call("CONFIG", "SET", "repl-backlog-size", size)
            write(master, changes(size, 500, size=20_000))
            wait_in_sync(master, replica)
            write(master, changes(size, 50))
            wait_in_sync(master, replica)
            fields = master.info("replication")
            held = int(fields["repl_backlog_histlen"])
            self.assertEqual(int(fields["repl_backlog_size"]), max(size, 16384))
            self.assertTrue(held >= least, f"{held} of {size} in {kind}")
            self.assertEqual(
                int(fields["repl_backlog_first_byte_offset"]), int(fields["master_repl_offset"]) - held + 1, kind
            )
            if kind is Replicad:
                self.assertTrue(held <= most, f"{held} of {size}")
        self.assertEqual(synced(master), (1, 0))
        self.assertEqual(digest(master), digest(replica))

    def freed(self, kind: type[Node]) -> None:
        """The backlog, and the id with it, ends repl-backlog-ttl seconds after the last replica left, not before."""
        master, replica = self.pair(kind, **{"repl-backlog-ttl": 3600})
        before = master.info("replication")
        replica.stop()
        time.sleep(1.2)
        fields = master.info("replication")
        self.assertEqual((fields["repl_backlog_active"], fields["master_replid"]), ("1", before["master_replid"]))
        master.call("CONFIG", "SET", "repl-backlog-ttl", 1)
        wait_until(lambda: master.info("replication")["repl_backlog_active"] == "0", 10, "the end of the backlog")
        fields = master.info("replication")
        self.assertNotEqual(fields["master_replid"], before["master_replid"])
        self.assertEqual(fields["master_replid2"], "0" * 40)
        self.assertEqual(
            {name: fields[name] for name in fields if name.startswith(("repl_backlog", "second"))},
            {
                "second_repl_offset": "-1",
                "repl_backlog_active": "0",
                "repl_backlog_size": "1048576",
                "repl_backlog_first_byte_offset": "0",
                "repl_backlog_histlen": "0",
            },
        )
        # Nobody counts these; a replica that comes back must copy everything.
        write(master, changes(1, 50))
        self.assertEqual(master.info("replication")["master_repl_offset"], fields["master_repl_offset"])
        replica.start()
        wait_in_sync(master, replica)
        self.assertEqual((synced(master), digest(replica)), ((2, 0), digest(master)))

    def kept(self) -> None:
        """A ttl of 0; and one that is attached keeps it too, however long it is silent."""
        master, replica = self.pair(Replicad, **{"repl-backlog-ttl": 1})
        time.sleep(2.2)
        self.assertEqual(master.info("replication")["repl_backlog_active"], "1")
        master.call("CONFIG", "SET", "repl-backlog-ttl", 0)
        replica.stop()
        time.sleep(2.2)
        self.assertEqual(master.info("replication")["repl_backlog_active"], "1")
