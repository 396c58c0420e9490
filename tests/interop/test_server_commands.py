"""INFO, CONFIG, SAVE, SLOWLOG, LATENCY, MEMORY, ACL, MODULE and CLUSTER, beside a real redis-server."""

from __future__ import annotations

import time
from typing import ClassVar

from twisted.trial.unittest import SynchronousTestCase

from tests.support.connection import RespError
from tests.support.servers import RealServer, Replicad, wait_until
from tests.support.twohead import TwoHeadedTestCase

#: Fields of a real 7.0 that say how that program was built.
BUILD = {"atomicvar_api", "gcc_version"}
#: Fields that only replicad has, and one of Redis 7.4.
OWN = {"replicad_version", "python_version", "expired_subkeys"}


def sections(text: bytes) -> dict[str, list[str]]:
    """Section title: field names, in order."""
    out: dict[str, list[str]] = {}
    current: list[str] = []
    for line in text.decode().split("\r\n"):
        if line.startswith("# "):
            current = out.setdefault(line[2:], [])
        elif line:
            current.append(line.partition(":")[0])
    return out


class Info(TwoHeadedTestCase):
    def test_sections_and_fields(self) -> None:
        """The same sections and fields in the same order."""
        for words in ((), ("default",), ("all",), ("everything",), ("ALL",), ("keyspace", "Server"), ("stats", "stats")):
            real, ours = map(sections, self.both("INFO", *words))
            self.assertEqual(list(ours), list(real), words)
            for title in real.keys() - {"Commandstats", "Errorstats", "Latencystats", "Keyspace"}:
                wanted = [name for name in real[title] if name not in BUILD]
                self.assertEqual([name for name in ours[title] if name not in OWN], wanted, title)

    def test_layout(self) -> None:
        self.do_all("INFO nosuch", "INFO cluster", "INFO Cluster modules", "INFO modules", "INFO nosuch cluster nosuch")
        self.do("SET", "a", "1")
        self.do_all("INFO keyspace", "INFO keyspace cluster")
        for one in self.both("INFO"):
            self.assertTrue(one.startswith(b"# Server\r\n"))
            self.assertIn(b"\r\n\r\n# Clients\r\n", one)

    def test_keyspace(self) -> None:
        self.do_all("INFO keyspace", "SET a 1", "SELECT 3", "MSET b 1 c 1", "INFO keyspace", "DEL b c", "INFO keyspace")
        self.do_all("EXPIRE a 100", "SELECT 0", "EXPIRE a 100")
        for one in self.both("INFO", "keyspace"):
            fields = dict(part.split("=") for part in one.decode().strip().splitlines()[1].partition(":")[2].split(","))
            self.assertEqual(list(fields), ["keys", "expires", "avg_ttl"])
            self.assertEqual((fields["keys"], fields["expires"]), ("1", "1"))
        ours = self.pair.ours.info("keyspace")["db0"]
        self.assertApproximates(int(ours.rpartition("=")[2]), 100_000, 2000)

    def test_commandstats(self) -> None:
        self.do_all("CONFIG RESETSTAT", "SET a 1", "SET a 2", "GET", "LPUSH a 1", "CLIENT GETNAME", "nosuch")
        lines = []
        for one in (self.pair.real, self.pair.ours):
            fields = one.info("commandstats", "errorstats")
            stats = {}
            for name, value in fields.items():
                parts = dict(part.split("=") for part in value.split(","))
                if name.startswith("cmdstat_"):
                    self.assertEqual(list(parts), ["calls", "usec", "usec_per_call", "rejected_calls", "failed_calls"])
                    parts.pop("usec")
                    parts.pop("usec_per_call")
                stats[name] = parts
            lines.append(stats)
        self.assertEqual(lines[1], lines[0])
        self.do("CONFIG", "RESETSTAT")
        self.assertNotIn("cmdstat_set", self.pair.ours.info("commandstats"))

    def test_counters(self) -> None:
        self.do_all("CONFIG RESETSTAT", "SET a 1", "GET a", "GET b", "GET c", ("SET", "t", "1", "PX", "1"))
        time.sleep(0.02)
        self.do_all("GET t", "nosuch", "PUBLISH a b")
        names = ("keyspace_hits", "keyspace_misses", "expired_keys", "total_error_replies", "total_commands_processed",
                 "sync_full", "sync_partial_ok", "sync_partial_err", "rejected_connections")  # fmt: skip
        real, ours = (one.info("stats") for one in (self.pair.real, self.pair.ours))
        self.assertEqual({name: ours[name] for name in names}, {name: real[name] for name in names})

    def test_values(self) -> None:
        ours = self.pair.ours.info("everything")
        self.assertEqual(len(ours["run_id"]), 40)
        self.assertEqual(ours["redis_version"], "7.0.15")
        self.assertEqual(ours["redis_mode"], "standalone")
        self.assertEqual(int(ours["tcp_port"]), self.pair.ours.socket.getpeername()[1])
        self.assertGreater(int(ours["used_memory"]), 1 << 20)

        def as_many() -> bool:  # connections of earlier tests go at their own pace
            return len({one.info("clients")["connected_clients"] for one in (self.pair.real, self.pair.ours)}) == 1

        wait_until(as_many, 5, "the same number of clients")
        self.assertEqual(ours["loading"], "0")
        self.assertEqual(ours["role"], "master")
        self.assertTrue(ours["config_file"].endswith(".conf"))

    def test_dirty(self) -> None:
        self.do("SAVE")
        self.do_all("SET a 1", "SET a 1", "LPUSH l 1 2 3", "DEL a nosuch", "GET a", "SADD s a", "SADD s a")
        real, ours = (one.info("persistence") for one in (self.pair.real, self.pair.ours))
        self.assertEqual(ours["rdb_changes_since_last_save"], real["rdb_changes_since_last_save"])


class Resp3(TwoHeadedTestCase):
    resp: ClassVar[int] = 3

    def test_shapes(self) -> None:
        self.do_loosely("INFO", "server")
        self.do("SLOWLOG", "RESET")
        self.do_all("INFO nosuch", "CONFIG GET maxmemory", "CONFIG GET nosuch", "SLOWLOG LEN", "LATENCY LATEST")
        self.do_all("ACL GETUSER default", "ACL GETUSER x", "ACL CAT", "ACL LIST", "MODULE LIST")
        self.do_all("LATENCY HISTOGRAM nosuch", "MEMORY USAGE nosuch")
        for words in (("MEMORY", "DOCTOR"), ("LATENCY", "DOCTOR"), ("LOLWUT",), ("MEMORY", "MALLOC-STATS")):
            self.do_loosely(*words)
        real, ours = self.both("MEMORY", "STATS")
        self.assertEqual(list(ours), list(real))
        self.assertEqual([type(value) for value in ours.values()], [type(value) for value in real.values()])


class Small(TwoHeadedTestCase):
    def test_config(self) -> None:
        self.do_all(
            *("CONFIG", "CONFIG x", "CONFIG GET", "CONFIG SET a", "CONFIG SET maxmemory 1 x", "CONFIG SET a 1"),
            *("CONFIG RESETSTAT x", "CONFIG GET maxmemory", "CONFIG GET nosuch"),
            *("CONFIG SET timeout 7 maxmemory-samples 6", "CONFIG GET timeout", "CONFIG SET timeout 5 nosuch 1"),
            *("CONFIG GET timeout", "CONFIG SET timeout x", "CONFIG SET timeout 0 maxmemory-samples 5"),
            *("CONFIG SET databases 3", "CONFIG SET dir /", "CONFIG GET save", "CONFIG GET appendonly"),
        )

        self.do_pairs("CONFIG", "GET", "maxmemory*", "timeout", "*-max-listpack-*")

    def test_time(self) -> None:
        self.do_approx("TIME", delta=1_000_000)
        self.do("TIME", "x")

    def test_saving(self) -> None:
        self.do_all("BGSAVE foo", "BGSAVE SCHEDULE x", "SAVE x", "LASTSAVE x", "MULTI", "SAVE", "EXEC", "SAVE")
        self.do_approx("LASTSAVE", delta=2)
        self.do_all("MULTI", "BGSAVE", "EXEC")
        self.idle()
        self.do("BGSAVE")
        self.idle()
        self.do("BGSAVE", "schedule")
        self.idle()
        for one in (self.pair.real, self.pair.ours):
            fields = one.info("persistence")
            self.assertEqual(fields["rdb_last_bgsave_status"], "ok")
            self.assertEqual(fields["rdb_changes_since_last_save"], "0")
            self.assertGreater(int(one.info("stats")["latest_fork_usec"]), 0)

    def idle(self) -> None:
        """Wait for the end of a background save."""
        for one in (self.pair.real, self.pair.ours):
            wait_until(lambda: one.info("persistence")["rdb_bgsave_in_progress"] == "0", 10, "idle", 0.05)  # noqa: B023

    def test_bgsave_twice(self) -> None:
        """A second one is refused while the first runs."""
        self.pair.real.must("CONFIG", "SET", "rdb-key-save-delay", "10000")
        self.addCleanup(self.pair.real.must, "CONFIG", "SET", "rdb-key-save-delay", "0")
        self.do("DEBUG", "POPULATE", "30000", "k", "20")
        first, again, save = (
            self.pair.ours.call("BGSAVE"),
            self.pair.ours.call("BGSAVE"),
            self.pair.ours.call("SAVE"),
        )
        self.pair.real.call("BGSAVE")
        self.assertEqual(first, b"Background saving started")
        for ours, real in ((again, self.pair.real.call("BGSAVE")), (save, self.pair.real.call("SAVE"))):
            self.assertEqual(ours.text, real.text)
        self.pair.real.must("FLUSHALL")
        self.idle()

    def test_slowlog(self) -> None:
        self.do_all("SLOWLOG", "SLOWLOG x", "SLOWLOG GET -2", "SLOWLOG GET x", "SLOWLOG GET 1 2", "SLOWLOG LEN x")
        self.do_all("SLOWLOG RESET", "SLOWLOG LEN", "SLOWLOG GET", "CLIENT SETNAME me")
        self.do("CONFIG", "SET", "slowlog-log-slower-than", "0")
        self.do("SET", "a", "x" * 200)
        self.do("MSET", *map(str, range(80)))
        self.do_all("CONFIG SET slowlog-log-slower-than 10000", "SLOWLOG LEN")
        for words in (("GET",), ("GET", "-1"), ("GET", "1"), ("GET", "0")):
            real, ours = self.both("SLOWLOG", *words)
            self.assertEqual([entry[3] for entry in ours], [entry[3] for entry in real])
            self.assertEqual([entry[5] for entry in ours], [entry[5] for entry in real])
            for entry in ours:
                self.assertEqual(len(entry), 6)
                self.assertTrue(entry[4].startswith(b"127.0.0.1:"))
                self.assertApproximates(entry[1], time.time(), 5)
        self.do_all("CONFIG SET slowlog-max-len 1", "SLOWLOG RESET", "SLOWLOG LEN", "CONFIG SET slowlog-max-len 128")

    def test_latency(self) -> None:
        self.do_all(
            *("LATENCY", "LATENCY x", "LATENCY LATEST", "LATENCY HISTORY x", "LATENCY GRAPH x", "LATENCY RESET"),
            *("LATENCY RESET a b", "LATENCY HISTOGRAM nosuch", "LATENCY HISTORY", "LATENCY DOCTOR x"),
        )

    def test_latency_events(self) -> None:
        self.do_all("CONFIG SET latency-monitor-threshold 20", "LATENCY RESET", "PING", "LATENCY LATEST")
        self.addCleanup(self.do_all, "CONFIG SET latency-monitor-threshold 0", "LATENCY RESET")
        started = int(time.time())
        self.do_all("DEBUG SLEEP 0.03", "DEBUG SLEEP 0.07")
        for reply in self.both("LATENCY", "LATEST"):
            self.assertEqual([(row[0], len(row)) for row in reply], [(b"command", 4)])
            self.assertGreaterEqual(reply[0][1], started)
            self.assertTrue(70 <= reply[0][2] == reply[0][3] < 1000, reply)
        for reply in self.both("LATENCY", "HISTORY", "command"):
            self.assertTrue(1 <= len(reply) <= 2 and all(len(sample) == 2 for sample in reply))
        for reply in self.both("LATENCY", "GRAPH", "command"):
            self.assertTrue(reply.startswith(b"command - high "))
            self.assertGreater(reply.count(b"\n"), 2)
        self.assertIn(b"command: ", self.pair.ours.must("LATENCY", "DOCTOR"))
        self.do_all("LATENCY RESET nosuch", "LATENCY RESET command command", "LATENCY LATEST", "LATENCY HISTORY command")

    def test_memory(self) -> None:
        self.do_all("MEMORY", "MEMORY x", "MEMORY USAGE", "MEMORY USAGE x", "MEMORY PURGE", "MEMORY PURGE x")
        self.do_all("SET a 1", "MEMORY USAGE a SAMPLES", "MEMORY USAGE a SAMPLES -1", "MEMORY USAGE a FOO 1")
        self.do_all("MEMORY USAGE a SAMPLES x", "SADD s a b", "HSET h a b", "ZADD z 1 a", "RPUSH l a")
        for key in "ashzl":
            for words in ((), ("SAMPLES", "0"), ("SAMPLES", "3")):
                self.assertGreater(self.do_loosely("MEMORY", "USAGE", key, *words)[1], 30)
        before = self.pair.ours.must("MEMORY", "USAGE", "s")
        self.do("SADD", "s", *range(1000))
        self.assertGreater(self.pair.ours.must("MEMORY", "USAGE", "s"), before + 30_000)
        self.do_loosely("MEMORY", "MALLOC-STATS")
        real, ours = self.both("MEMORY", "STATS")
        self.assertEqual(ours[::2], real[::2])

    def test_acl(self) -> None:
        self.do_all(
            *("ACL", "ACL x", "ACL WHOAMI", "ACL USERS", "ACL LIST", "ACL GETUSER default", "ACL GETUSER x", "ACL CAT"),
            *("ACL CAT foo", "ACL CAT a b", "ACL GENPASS 0", "ACL GENPASS x", "ACL GENPASS 4097", "ACL SAVE", "ACL LOAD"),
            *("ACL LOG x", "ACL LOG RESET", "ACL DRYRUN default get", "ACL DRYRUN x get a", "ACL DRYRUN default xx"),
            *("ACL DRYRUN default get a", "ACL DELUSER default", "ACL DELUSER x", "ACL LOG"),
        )
        for bits, size in (((), 64), (("5",), 2), (("32",), 8)):
            self.assertEqual([len(reply) for reply in self.both("ACL", "GENPASS", *bits)], [size] * 2)

    def test_acl_categories(self) -> None:
        """The commands of each category are those that a real server puts there (those that we have)."""
        known = set(self.pair.ours.must("COMMAND", "LIST", "FILTERBY", "PATTERN", "*"))
        everything = set(self.pair.real.must("COMMAND", "LIST", "FILTERBY", "PATTERN", "*"))
        for category in self.do("ACL", "CAT"):
            real, ours = self.both("ACL", "CAT", category)
            # a real server leaves containers out of the categories that only their subcommands have
            self.assertEqual(set(ours) & everything, set(real) & known, category)

    def test_module_and_cluster(self) -> None:
        self.do_all("MODULE", "MODULE x", "MODULE LIST", "MODULE LOAD", "READONLY", "READWRITE", "ASKING", "READONLY x")
        self.do_all("CLUSTER", "CLUSTER x", "CLUSTER INFO", "CLUSTER HELP", "CLUSTER NODES", "CLUSTER MEET a")

    def test_lolwut(self) -> None:
        self.do_all("LOLWUT VERSION x", "LOLWUT VERSION 99999999999999999999")
        self.assertTrue(self.pair.ours.must("LOLWUT").startswith(b"Redis ver. 7.0.15"))

    def test_bgrewriteaof(self) -> None:
        self.assertIn("no append only file", self.pair.ours.call("BGREWRITEAOF").text)

    def test_shutdown_arguments(self) -> None:
        self.do_all("SHUTDOWN foo", "SHUTDOWN ABORT", "SHUTDOWN SAVE NOSAVE", "SHUTDOWN ABORT SAVE", "MULTI", "SHUTDOWN")

    def test_help(self) -> None:
        """Every HELP is a list of status lines that begins and ends as Redis's does."""
        for container in ("CLIENT", "CONFIG", "COMMAND", "DEBUG", "SLOWLOG", "LATENCY", "MEMORY", "ACL", "MODULE"):
            real, ours = self.both(container, "HELP")
            self.assertEqual((ours[0], ours[-2:]), (real[0], real[-2:]), container)
            self.assertEqual({type(line) for line in ours}, {type(line) for line in real})
            self.assertGreater(len(ours), 6)


class Rewriting(SynchronousTestCase):
    """CONFIG REWRITE over the wire."""

    def test_rewrite(self) -> None:
        node = Replicad(self).start()
        client = node.client()
        self.assertEqual(client.must("CONFIG", "SET", "maxmemory", "5mb", "timeout", "99"), b"OK")
        self.assertEqual(client.must("CONFIG", "REWRITE"), b"OK")
        node.restart_as_is()
        self.assertEqual(node.client().must("CONFIG", "GET", "timeout", "maxmemory")[1::2].count(b"99"), 1)
        self.assertIn("CONFIG REWRITE executed with success", node.log())

    def test_without_a_file(self) -> None:
        client = RealServer(self).start().client()
        self.assertFalse(isinstance(client.call("CONFIG", "REWRITE"), RespError))
