"""The table of directives and the texts of CONFIG beside a real redis-server, and twistd's command line."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import TestCase

from replicad.config import ConfigError, ConfigFileError, load
from tests.support.connection import RespError
from tests.support.servers import PROJECT, RealServer, find_redis_server, need_reference

#: What only replicad has.
OWN = {b"repl-backlog-spill", b"snapshot-backend", b"snapshot-method", b"lmdb-path", b"script-memory-limit"}

#: Directives whose value a real server takes from its surroundings: where it runs and how the test started it.
FROM_SURROUNDINGS = {
    *(b"dir", b"port", b"save", b"bind", b"loglevel", b"enable-debug-command", b"repl-diskless-sync-delay"),
}

#: Values that a real 7.0 judges by things that replicad does not have or does differently, with the reason.
NOT_COMPARED = {
    "appendonly": "replicad refuses yes and names what to use instead",
    "tls-port": "replicad has no TLS and says so, Redis looks for a certificate",
    "tls-replication": "as tls-port",
    "tls-cluster": "as tls-port",
    "activedefrag": "depends on the memory allocator that Redis was built with",
    "port": "the test would lose its connection",
    "bind": "the test would lose its connection",
    "requirepass": "the test would lose its connection",
    "logfile": "immutable, and the file of the test",
    "maxclients": "Redis compares with the limit of open files; the server does that, not the table",
    "bind-source-addr": "without effect on the answer",
}

PROBES = (
    *("", "@bogus@", "-99999999999999", "-1", "0", "1", "5", "99", "101", "70000", "3000000000", "9223372036854775808"),
    *("yes", "NO", "no", "1kb", "1.5gb", "5%", "101%", "1 2", "1 2 3", "a/b", "+5", "007", "0x10", "5 "),
    *("normal 1 2 3", "slave 1k 2kb 3", "normal 1 2", "master 1 2 3", "normal 1 2 x", "KEA", "Elg", "AKEn", "Kn"),
    *(
        "save now",
        "save nosave",
        "default",
        "always",
        "VERBOSE",
        "allkeys-lru",
        "swapdb",
        "a {title} b",
        "a {foo}",
        "x y",
    ),
)


class BesideRedis(TestCase):
    """One real server; what it says about each directive is what our table says."""

    def setUp(self) -> None:
        need_reference()
        self.server = RealServer(self, {"loglevel": "notice", "enable-debug-command": "no"}).start()
        self.real = self.server.client()
        self.ours = load()

    def real_values(self, *patterns: str) -> dict[bytes, bytes]:
        """CONFIG GET of the real server."""
        flat = self.real.must("CONFIG", "GET", *patterns)
        return dict(zip(flat[::2], flat[1::2], strict=True))

    def our_values(self, *patterns: str) -> dict[bytes, bytes]:
        """CONFIG GET of ours."""
        return dict(self.ours.get_matching([pattern.encode() for pattern in patterns]))

    def both_set(self, *words: str) -> tuple[str, str]:
        """The answers of the real server and of our table to one CONFIG SET."""
        reply = self.real.call("CONFIG", "SET", *words)
        raw = [word.encode() for word in words]
        try:
            self.ours.set_many(list(zip(raw[::2], raw[1::2], strict=True)), local=True)
            ours = "OK"
        except ConfigError as error:
            ours = f"ERR {error.reason}"
        return reply.text if isinstance(reply, RespError) else reply.decode(), ours

    def assert_same_values(self, but: set[bytes]) -> None:
        """CONFIG GET * of both sides is equal but for these names."""
        real, ours = self.real_values("*"), self.our_values("*")
        self.assertEqual(
            {name: (real[name], ours[name]) for name in real if real[name] != ours[name] and name not in but}, {}
        )

    def test_names_and_defaults(self) -> None:
        """CONFIG GET * lists the same names; every default has the same text."""
        real, ours = self.real_values("*"), self.our_values("*")
        self.assertEqual(set(real), set(ours) - OWN)
        self.assertTrue(set(ours) >= OWN)
        self.assert_same_values(FROM_SURROUNDINGS)

    def test_patterns(self) -> None:
        for patterns in (
            *(["port*x"], ["PORT"], ["MAXMEMORY", "maxmemory"], ["POR?", "nosuch"], ["sla[uv]eof", "*of"], [""]),
            *(["key-load-delay"], ["key-load-dela?"], ["rename-command"], ["\\hz"], ["h\\z*"], ["[^a-y]set-max*"]),
            *(["slave-*", "replica-*"], ["min-*"], ["*ziplist*"], ["include"], ["user"], ["list-max-ziplist-entries"]),
        ):
            if patterns == ["PORT"] or "port" in patterns:
                self.ours.set_internal("port", self.server.port)
            self.assertEqual(self.our_values(*patterns), self.real_values(*patterns), patterns)

    def test_each_directive_with_many_values(self) -> None:
        """CONFIG SET of all sorts of values: the same texts, and CONFIG GET shows the same afterwards."""
        for name in sorted(self.real_values("*", "key-load-delay", "rdb-key-save-delay", "use-exit-on-panic")):
            word = name.decode()
            if word in NOT_COMPARED:
                continue
            for probe in PROBES:
                if (word, probe) == ("latency-tracking-info-percentiles", "0x10"):
                    continue  # Redis takes hexadecimal fractions there
                real, ours = self.both_set(word, probe)
                self.assertEqual(ours, real, (word, probe))
                if name not in FROM_SURROUNDINGS:
                    self.assertEqual(self.our_values(word), self.real_values(word), (word, probe))

    def test_several_and_wrong_pairs(self) -> None:
        for words in (
            ("maxmemory", "1", "nosuch", "2"),
            ("timeout", "-1", "nosuch", "3"),
            ("timeout", "-1", "timeout", "2"),
            ("hz", "5", "HZ", "6"),
            ("Nosuch", "1", "nosuch", "2"),
            ("databases", "1", "databases", "2"),
            ("DATABASES", "1"),
            ("DIR", "/tmp"),
            ("TIMEOUT", "x"),
            ("maxmemory", "5", "dir", "x"),
            ("REPL-ping-slave-period", "0"),
            ("replica-priority", "7", "slave-priority", "5"),
            ("slave-priority", "8", "replica-priority", "9"),
            ("rename-command", "a b"),
            ("include", "x"),
            ("slaveof", "a 1"),
            ("maxmemory", "1", "maxmemory-clients", "5%", "loglevel", "nosuch"),
            ("maxmemory", "2kb", "maxmemory-clients", "5%"),
        ):
            real, ours = self.both_set(*words)
            self.assertEqual(ours, real, words)
            for pattern in ("maxmemory*", "*priority", "hz", "timeout"):
                self.assertEqual(self.our_values(pattern), self.real_values(pattern), words)

    def test_protected(self) -> None:
        """With enable-protected-configs: what dir and dbfilename accept."""
        directory = str(self.server.directory)
        self.server.stop()
        self.server.start({"enable-protected-configs": "local"})
        self.real = self.server.client()
        self.ours = load(None, [["enable-protected-configs", "local"]])
        for words in (("dbfilename", "a/b"), ("dbfilename", "x.rdb"), ("dir", "/nonexistent"), ("dir", directory)):
            real, ours = self.both_set(*words)
            self.assertEqual(ours, real, words)
        self.assertEqual(self.our_values("dir", "dbfilename"), self.real_values("dir", "dbfilename"))

    def test_rewrite_without_file(self) -> None:
        """The same refusal as a server that was started without a conf file."""
        port = str(self.server.port)
        self.server.stop()
        run = [find_redis_server(), "--port", port, "--bind", "127.0.0.1", "--save", "", "--loglevel", "warning"]
        process = subprocess.Popen(run, cwd=self.server.directory, stdout=subprocess.DEVNULL)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        self.server.process = process  # type: ignore[assignment]
        self.server.wait_ready()
        reply = self.server.client().call("CONFIG", "REWRITE")
        error = self.assertRaises(ConfigError, load().rewrite)
        self.assertEqual(reply, RespError(f"ERR {error.reason}"))

    def test_start_errors(self) -> None:
        """A conf line that stops a real server stops us with the same reason, and the other way round."""
        for line in (
            *("foo 1", "port", "port 1 2", "port abc", 'masterauth "abc', "maxmemory 5q", "save 900", "save a b"),
            *("save 0 1", "slaveof foo", "slaveof foo 99999", "slaveof a b", "client-output-buffer-limit normal 1"),
            *(
                "unixsocketperm 999",
                "unixsocketperm 1000",
                "appendonly maybe",
                "databases 0",
                "x: 1",
                "rename-command a",
            ),
            *("oom-score-adj-values 1 2", "dir /nonexistent", "dbfilename a/b", "slave-announced no", "loglevel loud"),
            *("appendfilename a/b", "appenddirname a/b", 'appendfilename ""', "databases 2 # x", "include a b"),
            *("enable-debug-command maybe", "supervised maybe", "io-threads 129", "requirepass", "syslog-facility x"),
        ):
            path = self.server.directory / "one.conf"
            path.write_text(line + "\n")
            run = subprocess.run(
                [find_redis_server(), str(path), "--port", "0"], capture_output=True, text=True, check=False, timeout=10
            )
            reason = (run.stdout + run.stderr).strip().splitlines()[-1]
            error = self.assertRaises(ConfigFileError, load, str(path), [["port", "0"]])
            self.assertEqual(error.reason, reason, line)

    def test_values_of_a_file(self) -> None:
        """The same conf file gives the same values on both sides."""
        lines = (
            'SAVE 900 1\nsave 300 10 60 5\nmaxmemory 1gb\nRequirepass ""\nmasteruser "x\\x41\\n"\n'
            "masterauth 'a\\'b\\n'\n"
            "client-output-buffer-limit normal 1k 2kb 3 slave 1 1 1\nclient-output-buffer-limit pubsub 1 2 3\n"
            "slave-priority 5\nmin-slaves-to-write 0\nnotify-keyspace-events Elg\nhz 9999\nunixsocketperm 07\n"
            "shutdown-on-sigterm now save\nlatency-tracking-info-percentiles 50 99.123456789 1e1 100\n"
            "repl-backlog-size 20000\nmaxmemory-clients 5%\nlua-time-limit 7\nlua-replicate-commands yes\n"
        )
        self.server.stop()
        self.server.start(lines)
        self.real = self.server.client()
        path = self.server.directory / "ours.conf"
        path.write_text(lines)
        self.ours = load(str(path))
        self.assert_same_values(FROM_SURROUNDINGS - {b"save"})

    def test_rewritten_file_of_a_real_server(self) -> None:
        """We read what a real server's CONFIG REWRITE wrote, and it means the same, its users too."""
        self.real.must("CONFIG", "SET", "masterauth", 'a "b\n', "maxmemory", "3gb", "save", "5 5 6 6", "hz", "20")
        self.real.must("CONFIG", "REWRITE")
        path = self.server.directory / "theirs.conf"
        path.write_text(next(self.server.directory.glob("real*.conf")).read_text())
        self.ours = load(str(path))
        self.assertEqual([line.text for line in self.ours.user_lines], ["user default on nopass ~* &* +@all"])
        self.assert_same_values(set())

    def test_our_rewritten_file_in_a_real_server(self) -> None:
        """A real server reads what our CONFIG REWRITE wrote, and it means the same."""
        path = self.server.directory / "ours.conf"
        path.write_text(f"# mine\nport {self.server.port}\nbind 127.0.0.1\ndir {self.server.directory}\nsave 9 9\n")
        self.ours = load(str(path))
        for words in (
            (
                "masterauth",
                'a "b\r\n\x07\x7fé\\',
                "maxmemory",
                "3gb",
                "save",
                "5 5 6 6",
                "notify-keyspace-events",
                "AKEn",
            ),
            ("client-output-buffer-limit", "pubsub 1mb 1500 5", "oom-score-adj-values", "1 2 3", "slave-priority", "3"),
            (
                "shutdown-on-sigint",
                "nosave now",
                "maxmemory-clients",
                "7%",
                "latency-tracking-info-percentiles",
                "5 99.9",
            ),
        ):
            raw = [word.encode() for word in words]
            self.ours.set_many(list(zip(raw[::2], raw[1::2], strict=True)))
        self.ours.rewrite()
        self.server.stop()
        self.server.start(path.read_text())
        self.real = self.server.client()
        # what is left out was added by the test's server
        self.assert_same_values({b"loglevel", b"enable-debug-command", b"repl-diskless-sync-delay"})


class Twistd(TestCase):
    """``twistd replicad`` as a process: what it prints and with which status it ends."""

    def run_twistd(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run it in an empty directory until it ends."""
        directory = self.mktemp()
        os.makedirs(directory)
        (Path(directory) / "bad.conf").write_text("port 0\n\nPort abc\n")
        code = "import sys; sys.argv[0] = 'twistd'; from twisted.scripts.twistd import run; run()"
        return subprocess.run(
            [sys.executable, "-c", code, "--pidfile=", "-n", "replicad", *arguments],
            cwd=directory,
            env={**os.environ, "PYTHONPATH": str(PROJECT)},
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )

    def test_configuration_error(self) -> None:
        got = self.run_twistd("-c", "bad.conf")
        self.assertEqual(got.returncode, 1)
        last = got.stdout.strip().splitlines()[-1]
        self.assertIn("bad.conf, line 3: 'Port abc': argument couldn't be parsed into an integer", last)

    def test_append_only_file(self) -> None:
        got = self.run_twistd("--appendonly", "yes")
        self.assertEqual(got.returncode, 1)
        self.assertIn("'snapshot-backend lmdb' with 'save 1 1'", got.stdout)

    def test_help(self) -> None:
        got = self.run_twistd("--help")
        self.assertEqual(got.returncode, 0)
        self.assertIn("--slaveof localhost 6379", got.stdout)
