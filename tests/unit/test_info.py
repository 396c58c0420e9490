"""The text of INFO and the lines of CLIENT LIST, from a server that is not started."""

from __future__ import annotations

import time

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from replicad.client_memory import CONNECTION
from replicad.command import TABLE
from replicad.config import load
from replicad.info import client_line, human, info_text
from replicad.server import Server
from replicad.session import Client


class InfoText(SynchronousTestCase):
    def setUp(self) -> None:
        self.server = Server(load(None, [["port", "7777"], ["databases", "4"]]), Clock())
        self.server.clock.now_ms = int(time.time() * 1000)

    def fields(self, *sections: str) -> dict[str, str]:
        lines = info_text(self.server, sections).split("\r\n")
        return dict(line.split(":", 1) for line in lines if ":" in line)

    def titles(self, *sections: str) -> list[str]:
        return [line[2:] for line in info_text(self.server, sections).split("\r\n") if line.startswith("# ")]

    def test_sections(self) -> None:
        usual = "Server Clients Memory Persistence Stats Replication CPU Modules Errorstats Cluster Keyspace".split()
        self.assertEqual(self.titles(), usual)
        self.assertEqual(self.titles("DEFAULT"), usual)
        everything = [*usual[:8], "Commandstats", "Errorstats", "Latencystats", *usual[9:]]
        self.assertEqual(self.titles("all"), everything)
        self.assertEqual(self.titles("everything"), everything)
        self.assertEqual(self.titles("keyspace", "nosuch", "Memory", "keyspace"), ["Memory", "Keyspace"])
        self.assertEqual(self.titles("commandstats", "default"), [*usual[:8], "Commandstats", *usual[8:]])
        self.assertEqual(info_text(self.server, ["nosuch"]), "")

    def test_layout(self) -> None:
        self.assertEqual(
            info_text(self.server, ["cluster", "modules", "keyspace"]),
            "# Modules\r\n\r\n# Cluster\r\ncluster_enabled:0\r\n\r\n# Keyspace\r\n",
        )
        for line in info_text(self.server, ["everything"]).split("\r\n"):
            self.assertTrue(not line or line.startswith("# ") or ":" in line, line)
            self.assertNotIn("\n", line)

    def test_identity(self) -> None:
        fields = self.fields("server")
        self.assertEqual(fields["run_id"], self.server.run_id)
        self.assertEqual((len(fields["run_id"]), fields["tcp_port"], fields["config_file"]), (40, "7777", ""))
        self.server.started_at = time.time() - 90_000
        fields = self.fields("server")
        self.assertEqual((fields["uptime_in_seconds"][:2], fields["uptime_in_days"]), ("90", "1"))

    def test_keyspace_leaves_empty_databases_out(self) -> None:
        now_ms = self.server.clock.now_ms
        self.server.databases[2].put_with_deadline(b"a", b"1", now_ms + 5000)
        self.server.databases[2].put(b"b", b"1")
        self.assertEqual(self.fields("keyspace"), {"db2": "keys=2,expires=1,avg_ttl=5000"})

    def test_loading(self) -> None:
        self.assertNotIn("loading_start_time", self.fields("persistence"))
        self.server.loading = True
        self.server.load_progress = {"start": int(time.time()) - 10, "total": 200, "loaded": 50}
        fields = self.fields("persistence")
        self.assertEqual((fields["loading"], fields["loading_total_bytes"]), ("1", "200"))
        self.assertEqual((fields["loading_loaded_bytes"], fields["loading_loaded_perc"]), ("50", "25.00"))
        self.assertIn(int(fields["loading_eta_seconds"]), (30, 31, 32))
        self.server.load_progress = {"start": int(time.time()), "total": 0, "loaded": 0}
        self.assertEqual(self.fields("persistence")["loading_loaded_perc"], "0.00")

    def test_persistence(self) -> None:
        self.server.dirty += 7
        self.server.saver.changes += 1
        self.server.saver.failed = True
        fields = self.fields("persistence")
        self.assertEqual((fields["rdb_changes_since_last_save"], fields["rdb_last_bgsave_status"]), ("8", "err"))
        self.assertEqual((fields["rdb_bgsave_in_progress"], fields["rdb_current_bgsave_time_sec"]), ("0", "-1"))

    def test_commandstats(self) -> None:
        cmd, sub = TABLE[b"PING"], TABLE[b"CLIENT"].subcommands[b"id"]
        saved = [(one, one.calls, one.nanoseconds, one.rejected, one.failed) for one in (cmd, sub)]
        try:
            cmd.calls, cmd.nanoseconds, cmd.rejected, cmd.failed = 4, 10_000, 1, 2
            sub.calls, sub.nanoseconds, sub.rejected, sub.failed = 0, 0, 1, 0
            fields = self.fields("commandstats")
        finally:
            for one, *figures in saved:
                one.calls, one.nanoseconds, one.rejected, one.failed = figures
        self.assertEqual(fields["cmdstat_ping"], "calls=4,usec=10,usec_per_call=2.50,rejected_calls=1,failed_calls=2")
        self.assertEqual(
            fields["cmdstat_client|id"], "calls=0,usec=0,usec_per_call=0.00,rejected_calls=1,failed_calls=0"
        )

    def test_errorstats(self) -> None:
        for text in (b"ERR a", b"ERR b", b"WRONGTYPE x"):
            self.server.count_error(text)
        self.assertEqual(self.fields("errorstats"), {"errorstat_ERR": "count=2", "errorstat_WRONGTYPE": "count=1"})
        self.assertEqual(self.fields("stats")["total_error_replies"], "3")

    def test_human(self) -> None:
        for size, text in (
            (0, "0B"),
            (1023, "1023B"),
            (1024, "1.00K"),
            (916344, "894.87K"),
            (1 << 20, "1.00M"),
            (25276510208, "23.54G"),
            (3 << 40, "3.00T"),
            (5 << 60, "5120.00P"),
        ):
            self.assertEqual(human(size), text)


class ClientLine(SynchronousTestCase):
    def setUp(self) -> None:
        self.server = Server(load(None, []), Clock())

    def fields(self, client: Client) -> dict[str, str]:
        line = client_line(self.server, client)
        self.assertNotIn("\n", line)
        return dict(word.split("=", 1) for word in line.split(" "))

    def test_order(self) -> None:
        client = Client(self.server, None, "1.2.3.4:5", "127.0.0.1:6379")
        names = "id addr laddr fd name age idle flags db sub psub ssub multi qbuf qbuf-free argv-mem multi-mem rbs rbp obl "
        names += "oll omem tot-mem events cmd user redir resp"
        self.assertEqual(list(self.fields(client)), names.split())

    def test_values(self) -> None:
        client = Client(self.server, None, "1.2.3.4:5", "127.0.0.1:6379")
        fields = self.fields(client)
        self.assertEqual((fields["cmd"], fields["flags"], fields["multi"], fields["name"]), ("NULL", "N", "-1", ""))
        client.db = self.server.databases[3]
        client.channels = {b"a": None, b"b": None}
        client.patterns = {b"*": None}
        client.multi = [(TABLE[b"PING"], [b"PING", b"abc"])]
        client.argv = [b"CONFIG", b"get", b"x"]
        client.name = b"me"
        client.created -= 100
        client.last_interaction -= 50
        client.resp = 3
        self.assertEqual(self.fields(client)["cmd"], "NULL")  # it has run, and no other is known
        fields = dict(word.split("=", 1) for word in client_line(self.server, client, running=True).split(" "))
        for name, value in (
            *(("argv-mem", "10"), ("tot-mem", str(CONNECTION + 7))),
            *(("addr", "1.2.3.4:5"), ("db", "3"), ("sub", "2"), ("psub", "1"), ("multi", "1"), ("cmd", "config|get")),
            *(("name", "me"), ("resp", "3"), ("flags", "Px"), ("multi-mem", "7"), ("age", "100"), ("idle", "50")),
        ):
            self.assertEqual(fields[name], value, name)

    def test_library(self) -> None:
        client = Client(self.server)
        client.lib_name = b"x"
        self.assertTrue(client_line(self.server, client).endswith(" resp=2 lib-name=x lib-ver="))
