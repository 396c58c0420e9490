"""Conf files: syntax, values, includes, CONFIG GET / SET and the text of CONFIG REWRITE, without a server."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.python import usage
from twisted.trial.unittest import SynchronousTestCase

from replicad.config import ConfigError, ConfigFileError, Settings, load, parse_text, rewritten
from replicad.directive_kinds import memory_size, quote
from replicad.directives import DIRECTIVES, find
from replicad.resp import split_line
from replicad.tap import Options, take_apart

ETC = Path(__file__).resolve().parents[2] / "etc"


class ConfCase(SynchronousTestCase):
    """A directory for conf files; the test runs in it because ``include`` is relative to the working directory."""

    def setUp(self) -> None:
        self.directory = Path(mkdtemp(dir=self.mktemp_root()))
        self.addCleanup(os.chdir, os.getcwd())
        os.chdir(self.directory)

    def mktemp_root(self) -> str:
        """A place that the test runner cleans or ignores."""
        path = self.mktemp()
        os.makedirs(path)
        return os.path.abspath(path)

    def write(self, content: str | bytes, name: str = "a.conf") -> str:
        """Write a conf file and return its name."""
        (self.directory / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        return name

    def loaded(self, content: str | bytes, *overrides: list[str]) -> Settings:
        """The settings of a conf file with this content."""
        return load(self.write(content), overrides)

    def refused(self, content: str | bytes, *overrides: list[str]) -> ConfigFileError:
        """The error of a conf file with this content."""
        return self.assertRaises(ConfigFileError, load, self.write(content), overrides)


class Syntax(ConfCase):
    def test_lines(self) -> None:
        """Comments and blank lines go; names lose their case; quotes and escapes are resolved; CRLF is accepted."""
        lines = parse_text(
            b"# comment\r\n\r\n  Port\t 6380 \r\n"
            b'masterauth "a \\x41\\n\\"b"\n' + rb"requirepass 'it\'s \n'" + b'\n   # more\nsave ""\n',
            "x.conf",
        )
        self.assertEqual(
            [(line.name, line.args, line.number) for line in lines],
            [
                ("port", (b"6380",), 3),
                ("masterauth", (b'a A\n"b',), 4),
                ("requirepass", (rb"it's \n",), 5),
                ("save", (b"",), 7),
            ],
        )

    def test_unbalanced_quotes(self) -> None:
        error = self.refused('port 1\nmasterauth "abc\n')
        self.assertEqual(str(error), "a.conf, line 2: 'masterauth \"abc': Unbalanced quotes in configuration line")

    def test_errors_name_file_line_directive_reason(self) -> None:
        for content, number, reason in (
            ("port 1\nfoo 1\n", 2, "Bad directive or wrong number of arguments"),
            ("\n\nport abc\n", 3, "argument couldn't be parsed into an integer"),
            ("port 1 2\n", 1, "wrong number of arguments"),
            ("port\n", 1, "wrong number of arguments"),
            ("databases 2 # not a comment\n", 1, "wrong number of arguments"),
            ("port 65536\n", 1, "argument must be between 0 and 65535 inclusive"),
            ("save 900\n", 1, "Invalid save parameters"),
            ("slaveof localhost\n", 1, "wrong number of arguments"),
            ("slaveof localhost 66666\n", 1, "Invalid master port"),
            (
                "replicaof /run/redis.sock 0\n", 1,
                "Invalid master host: a replica connects over TCP, not to a Unix socket",
            ),
            ("dir /does/not/exist\n", 1, "No such file or directory"),
            ("logfile /does/not/exist/a.log\n", 1, "Can't open the log file: No such file or directory"),
            ("dir a.conf\n", 1, "Not a directory"),
            ("unixsocketperm 999\n", 1, "argument couldn't be parsed as an octal number"),
            ("rename-command get\n", 1, "Bad directive or wrong number of arguments"),
            ("include a b\n", 1, "Bad directive or wrong number of arguments"),
            ("slave-announced no\n", 1, "Bad directive or wrong number of arguments"),
        ):
            error = self.refused(content)
            self.assertEqual((error.source, error.number, error.reason), ("a.conf", number, reason), content)
            self.assertIn(error.directive, content)

    def test_what_replicad_cannot_do(self) -> None:
        for line, word in (
            ("appendonly yes", "snapshot-backend lmdb"),
            ("appendonly yes", "save 1 1"),
            ("cluster-enabled yes", "cluster"),
            ("loadmodule /x.so", "modules"),
        ):
            self.assertIn(word, self.refused(line + "\n").reason)
        harmless = self.loaded(
            'appendonly no\ncluster-enabled no\ntls-port 0\naclfile ""\nlua-replicate-commands yes\n'
        )
        self.assertIs(harmless["appendonly"], False)

    def test_missing_file(self) -> None:
        error = self.assertRaises(ConfigFileError, load, "nowhere.conf")
        self.assertEqual(str(error), "nowhere.conf: can't open config file: No such file or directory")

    def test_bytes_that_are_not_utf8(self) -> None:
        got = self.loaded(b'requirepass "\\xff\\x00\xe9"\n')
        self.assertEqual(got.show("requirepass"), b"\xff\x00\xe9")

    @given(st.binary())
    @settings(max_examples=200, deadline=None)
    def test_quote_round_trip(self, raw: bytes) -> None:
        """What is quoted reads back as it was, on one line of printable ASCII."""
        quoted = quote(raw)
        self.assertEqual(split_line(b"requirepass " + quoted), [b"requirepass", raw])
        self.assertTrue(quoted.isascii() and quoted.decode().isprintable())


class Values(ConfCase):
    def test_sizes(self) -> None:
        for word, size in (
            *((b"1k", 1000), (b"1kb", 1024), (b"2M", 2 * 10**6), (b"2Mb", 2 << 20), (b"1g", 10**9), (b"1GB", 1 << 30)),
            *((b"7", 7), (b"7b", 7), (b"", 0), (b"mb", 0), (b"9" * 30, (1 << 64) - 1)),
            *((b"-1", None), (b" 1", None), (b"1.5gb", None), (b"1tb", None), (b"0x1", None), (b"1 gb", None)),
        ):
            self.assertEqual(memory_size(word), size, word)

    def test_each_kind(self) -> None:
        got = self.loaded(
            "maxmemory 1gb\nmaxmemory-clients 5%\nLogLevel VERBOSE\nunixsocketperm 770\nbind 127.0.0.1 -::1\n"
            "client-output-buffer-limit slave 1k 2kb 3 pubsub 4 5 6\nnotify-keyspace-events KEA\nrdbcompression NO\n"
            "shutdown-on-sigterm now save\nlatency-tracking-info-percentiles 50 99.95\nslave-priority 7\n"
            'rename-command GET holen\nrename-command FLUSHALL ""\noom-score-adj-values "1 2 3"\nhz 9999\n'
        )
        for name, value in {
            "maxmemory": 1 << 30,
            "maxmemory-clients": -5,
            "loglevel": "verbose",
            "unixsocketperm": 0o770,
            "bind": ("127.0.0.1", "-::1"),
            "client-output-buffer-limit": {"normal": (0, 0, 0), "replica": (1000, 2048, 3), "pubsub": (4, 5, 6)},
            "notify-keyspace-events": frozenset("KEg$lshzxetd"),
            "rdbcompression": False,
            "shutdown-on-sigterm": "save now",
            "latency-tracking-info-percentiles": (50.0, 99.95),
            "slave-priority": 7,
            "replica-priority": 7,
            "rename-command": (("get", "holen"), ("flushall", "")),
            "oom-score-adj-values": (1, 2, 3),
            "hz": 500,
        }.items():
            self.assertEqual(got[name], value, name)
        self.assertEqual(got.get("repl-timeout"), 60)
        self.assertIn("Slaveof", got)
        self.assertRaises(KeyError, got.__getitem__, "nonsense")

    def test_save_points(self) -> None:
        """No line in a file: off.  Lines and arguments accumulate.  ``save ""`` clears.  No file: Redis's default."""
        default = ((3600, 1), (300, 100), (60, 10000))
        for content, points in (
            ("port 1\n", ()),
            ("save 900 1\nsave 300 10\n", ((900, 1), (300, 10))),
            ("save 900 1 300 10\n", ((900, 1), (300, 10))),
            ('save "900 1 300 10"\n', ((900, 1), (300, 10))),
            ('save 900 1\nsave ""\n', ()),
            ('save ""\nsave 3 1\n', ((3, 1),)),
            ("save\n", ()),
        ):
            self.assertEqual(self.loaded(content)["save"], points, content)
        self.assertEqual(load()["save"], default)
        self.assertEqual(load(None, [["port", "1"]])["save"], default)
        self.assertEqual(load(None, [["save", "5", "1"]])["save"], ((5, 1),))
        self.assertEqual(load(None, [["save", ""]])["save"], ())
        self.assertEqual(self.loaded("save 900 1\n", ["save", "5", "1"])["save"], ((900, 1), (5, 1)))
        self.assertEqual(self.loaded("save 900 1\n", ["save", ""])["save"], ())

    def test_master_address(self) -> None:
        for content, address in (
            ("Slaveof 192.168.1.1 6379\n", ("192.168.1.1", 6379)),
            ('replicaof "localhost 6379"\n', ("localhost", 6379)),
            ("slaveof a 1\nreplicaof NO ONE\n", None),
        ):
            self.assertEqual(self.loaded(content)["replicaof"], address)

    def test_defaults_read_back(self) -> None:
        """Every default, shown and written, means itself."""
        for name, row in DIRECTIVES.items():
            if name in ("rename-command", "dir"):
                continue
            shown = row.kind.show(row.default)
            if shown or not row.kind.multi:
                self.assertEqual(row.value_of([shown], row.default), row.default, name)
            words = split_line(row.kind.write(row.default))
            self.assertEqual(row.value_of(words or [b""], row.default), row.default, name)

    def test_no_name_twice(self) -> None:
        names = [n for row in DIRECTIVES.values() for n in (row.name, *row.aliases, *row.hidden_aliases)]
        self.assertEqual(len(names), len(set(names)))

    def test_shipped_files(self) -> None:
        """Both files of etc/ load; the master saves nothing, the replica does and knows its master."""
        master, replica = load(str(ETC / "master.conf")), load(str(ETC / "replica.conf"))
        self.assertEqual((master["port"], master["save"], master["replicaof"]), (6379, (), None))
        self.assertEqual((replica["port"], replica["replicaof"]), (6380, ("127.0.0.1", 6379)))
        self.assertEqual(replica["save"], ((900, 1), (300, 10), (60, 10000)))

    def test_shipped_files_with_their_commented_lines(self) -> None:
        """What the comments of the shipped files offer loads as well."""
        for name in ("master.conf", "replica.conf"):
            offered = []
            for line in (ETC / name).read_text().splitlines():
                words = line.removeprefix("# ").split()
                if line.startswith("# ") and words and words[0] in DIRECTIVES and len(words) <= 3:
                    offered.append(line.removeprefix("# "))
            self.assertGreaterEqual(len(offered), 5)
            self.loaded("\n".join(offered) + "\n")


class Includes(ConfCase):
    def test_in_place(self) -> None:
        """The lines of the file stand where the include stands: later lines win."""
        self.write("hz 11\ntimeout 11\n", "b.conf")
        got = self.loaded("hz 1\ninclude b.conf\ntimeout 1\n")
        self.assertEqual((got["hz"], got["timeout"]), (11, 1))

    def test_globs(self) -> None:
        (self.directory / "d").mkdir()
        self.write("hz 21\n", "d/2.conf")
        self.write("hz 22\ntimeout 3\n", "d/1.conf")
        got = self.loaded("include d/*.conf\ninclude none/*.conf\n")
        self.assertEqual((got["hz"], got["timeout"]), (21, 3))

    def test_errors_name_the_included_file(self) -> None:
        self.write("\nhz x\n", "b.conf")
        error = self.refused("include b.conf\n")
        self.assertEqual((os.path.basename(error.source), error.number), ("b.conf", 2))

    def test_missing_and_loops(self) -> None:
        self.assertIn("No such file or directory", self.refused("include nowhere.conf\n").reason)
        self.assertIn("includes itself", self.refused("include a.conf\n").reason)
        self.write("include c.conf\n", "b.conf")
        self.write("include ./b.conf\n", "c.conf")
        self.assertIn("includes itself", self.refused("include b.conf\n").reason)

    def test_twice_is_no_loop(self) -> None:
        self.write("hz 11\n", "b.conf")
        self.assertEqual(self.loaded("include b.conf\nhz 5\ninclude b.conf\n")["hz"], 11)

    def test_on_the_command_line(self) -> None:
        self.write("hz 11\n", "b.conf")
        self.assertEqual(load(None, [["include", "b.conf"]])["hz"], 11)


class GetAndSet(ConfCase):
    def setUp(self) -> None:
        super().setUp()
        self.settings = load()

    def set(self, *words: str, local: bool = False) -> None:
        """CONFIG SET with these names and values."""
        raw = [word.encode() for word in words]
        self.settings.set_many(list(zip(raw[::2], raw[1::2], strict=True)), local)

    def refusal(self, *words: str, local: bool = False) -> str:
        """The text with which CONFIG SET refuses these names and values."""
        return self.assertRaises(ConfigError, self.set, *words, local=local).reason

    def test_get(self) -> None:
        get = self.settings.get_matching
        self.assertEqual(get([b"Port", b"port"]), [(b"Port", b"6379")])
        self.assertEqual(get([b"POR?"]), [(b"port", b"6379")])
        self.assertEqual(get([b"nosuch", b""]), [])
        self.assertEqual(get([b"rename-command"]), [])
        self.assertEqual(dict(get([b"*of"])), {b"replicaof": b"", b"slaveof": b""})
        self.assertEqual(get([b"key-load-delay"]), [(b"key-load-delay", b"0")])
        self.assertEqual(get([b"key-load-dela?"]), [])
        self.assertEqual(get([b"appendonly"]), [(b"appendonly", b"no")])
        self.assertEqual(get([b"dir"]), [(b"dir", os.getcwd().encode())])
        names = [name for name, _ in get([b"*", b"port", b"slave*"])]
        self.assertEqual(len(names), len(set(names)))

    def test_all_or_nothing(self) -> None:
        before = self.settings.get_matching([b"*"])
        for words in (
            ("maxmemory", "1", "nosuch", "2"),
            ("maxmemory", "1", "databases", "2"),
            ("maxmemory", "1", "timeout", "x"),
            ("maxmemory", "1", "appendonly", "yes"),
            ("maxmemory", "1", "maxmemory", "2"),
        ):
            self.refusal(*words)
            self.assertEqual(self.settings.get_matching([b"*"]), before)
        self.set("maxmemory", "1kb", "timeout", "5")
        self.assertEqual((self.settings["maxmemory"], self.settings["timeout"]), (1024, 5))

    def test_append_only_file(self) -> None:
        self.assertIn("'snapshot-backend lmdb' with 'save 1 1'", self.refusal("appendonly", "yes"))
        self.set("appendonly", "no")

    def test_protected(self) -> None:
        text = "CONFIG SET failed (possibly related to argument 'dbfilename') - can't set protected config"
        self.assertEqual(self.refusal("dbfilename", "x.rdb", local=True), text)
        self.settings = load(None, [["enable-protected-configs", "local"]])
        self.assertEqual(self.refusal("dbfilename", "x.rdb"), text)
        self.set("dbfilename", "x.rdb", local=True)
        self.settings = load(None, [["enable-protected-configs", "yes"]])
        self.set("dir", "..")
        self.assertEqual(self.settings["dir"], str(self.directory.parent))

    def test_callbacks(self) -> None:
        """They run after all values are set, once for each directive that changed, whatever the spelling."""
        calls: list[Any] = []
        for name in ("slave-priority", "timeout", "hz"):
            self.settings.on_change(name, lambda value, at=name: calls.append((at, value, self.settings["timeout"])))
        self.set("replica-priority", "5", "timeout", "9", "hz", "10")
        self.assertEqual(calls, [("slave-priority", 5, 9), ("timeout", 9, 9)])

    def test_callback_refuses(self) -> None:
        """A refusal takes back the values and what other callbacks did."""
        calls: list[Any] = []

        def refuse(value: Any) -> None:
            raise ConfigError("Unable to listen on this port. Check server logs.")

        self.settings.on_change("maxmemory", calls.append)
        self.settings.on_change("port", refuse)
        self.assertEqual(
            self.refusal("maxmemory", "7", "port", "1", "hz", "20"),
            "CONFIG SET failed (possibly related to argument 'port') - "
            "Unable to listen on this port. Check server logs.",
        )
        self.assertEqual(calls, [7, 0])
        self.assertEqual([self.settings[name] for name in ("maxmemory", "port", "hz")], [0, 6379, 10])

    def test_internal(self) -> None:
        self.settings.set_internal("slaveof", ("h", 1))
        self.assertEqual(self.settings.show("replicaof"), b"h 1")


CONF = """\
# head

port 6379
# our saves
Save 900 1
save 300 10
slaveof 127.0.0.1 1
maxmemory   1gb
rename-command GET holen
client-output-buffer-limit normal 0 0 0
client-output-buffer-limit slave 1 2 3
masterauth "a b"
# tail
"""


class Rewriting(ConfCase):
    def rewritten(self, content: str, *pairs: tuple[str, str], **internal: Any) -> str:
        """The file after CONFIG SET of the pairs and CONFIG REWRITE; it has to mean the settings."""
        current = self.loaded(content)
        current.set_many([(name.encode(), value.encode()) for name, value in pairs])
        for name, value in internal.items():
            current.set_internal(name, value)
        current.rewrite()
        again = load("a.conf")
        self.assertEqual(again.get_matching([b"*"]), current.get_matching([b"*"]))
        self.assertEqual(again["rename-command"], current["rename-command"])
        return Path("a.conf").read_text()

    def test_nothing_changed(self) -> None:
        self.assertEqual(self.rewritten(CONF), CONF)

    def test_changes_stay_in_place(self) -> None:
        got = self.rewritten(
            CONF,
            ("save", "60 1"),
            ("maxmemory", "3mb"),
            ("client-output-buffer-limit", "replica 5mb 1 1"),
            ("masterauth", 'new "one'),
        )
        expected = (
            CONF.replace("Save 900 1\nsave 300 10\n", "save 60 1\n")
            .replace("maxmemory   1gb", "maxmemory 3mb")
            .replace("slave 1 2 3\n", "replica 5mb 1 1\nclient-output-buffer-limit pubsub 32mb 8mb 60\n")
            .replace('"a b"', '"new \\"one"')
        )
        self.assertEqual(got, expected)

    def test_additions(self) -> None:
        """New directives go below a marker, which is written once."""
        first = self.rewritten(CONF, ("timeout", "7"), ("notify-keyspace-events", "Kx"))
        self.assertEqual(first, CONF + '\n# Generated by CONFIG REWRITE\ntimeout 7\nnotify-keyspace-events "xK"\n')
        second = self.rewritten(first, ("timeout", "8"), ("hash-max-ziplist-entries", "9"))
        self.assertEqual(second, first.replace("timeout 7", "timeout 8") + "hash-max-listpack-entries 9\n")
        self.assertEqual(self.rewritten(second, ("timeout", "0")), second.replace("timeout 8", "timeout 0"))

    def test_replicaof(self) -> None:
        gone = self.rewritten(CONF, replicaof=None)
        self.assertEqual(gone, CONF.replace("slaveof 127.0.0.1 1\n", ""))
        back = self.rewritten(gone, replicaof=("::1", 7))
        self.assertEqual(back, gone + "\n# Generated by CONFIG REWRITE\nreplicaof ::1 7\n")
        self.assertIn("replicaof h 2\n", self.rewritten(CONF, replicaof=("h", 2)))

    def test_save_points(self) -> None:
        self.assertIn('# our saves\nsave ""\nslaveof', self.rewritten(CONF, ("save", "")))
        self.assertEqual(self.rewritten("port 1\n"), "port 1\n")
        got = self.rewritten("port 1\n", ("save", "3600 1 300 100 60 10000"))
        self.assertTrue(got.endswith("save 3600 1\nsave 300 100\nsave 60 10000\n"), got)

    def test_include_that_says_otherwise(self) -> None:
        """The include line stays and what its file overrules is said again below it."""
        self.write("hz 20\nsave 5 5\nslaveof x 1\nclient-output-buffer-limit pubsub 1 1 1\n", "b.conf")
        got = self.rewritten(
            "hz 11\nsave 1 1\ninclude b.conf\n",
            ("hz", "12"),
            ("save", "7 7"),
            ("client-output-buffer-limit", "pubsub 32mb 8mb 60"),
            replicaof=None,
        )
        self.assertIn("include b.conf\n", got)
        self.assertIn("replicaof no one\n", got)
        got = self.rewritten("include b.conf\n")
        self.assertEqual(got, "include b.conf\n")

    def test_command_line_is_written(self) -> None:
        current = load(self.write(CONF), [["timeout", "7"], ["port", "0"]])
        current.rewrite()
        self.assertEqual((load("a.conf")["timeout"], load("a.conf")["port"]), (7, 0))

    def test_directory_changed_meanwhile(self) -> None:
        """The file is found and means the same after the server went to its ``dir``."""
        (self.directory / "d").mkdir()
        current = load(self.write("dir d\n"))
        os.chdir("d")
        current.set_internal("timeout", 3)
        current.rewrite()
        os.chdir("..")
        self.assertEqual(Path("a.conf").read_text(), "dir d\n\n# Generated by CONFIG REWRITE\ntimeout 3\n")

    def test_hand_edited_meanwhile(self) -> None:
        """Lines that would not load are kept: the file belongs to the operator."""
        current = self.loaded("port 1\n")
        broken = b'port 1\nfoo bar\nmasterauth "x\n'
        self.assertEqual(rewritten(current, broken), broken)

    def test_file_gone(self) -> None:
        current = self.loaded("port 1\nhz 20\n")
        os.unlink("a.conf")
        current.rewrite()
        self.assertEqual(Path("a.conf").read_text(), "# Generated by CONFIG REWRITE\nport 1\nhz 20\n")

    def test_no_file(self) -> None:
        error = self.assertRaises(ConfigError, load().rewrite)
        self.assertEqual(error.reason, "The server is running without a config file")

    def test_failure_leaves_the_old_file(self) -> None:
        current = self.loaded("port 1\n")
        current.set_internal("hz", 20)
        os.mkdir(f"a.conf-{os.getpid()}.tmp")  # in the way of the new file
        error = self.assertRaises(ConfigError, current.rewrite)
        self.assertEqual(error.reason, "Rewriting config file: Is a directory")
        self.assertEqual(Path("a.conf").read_text(), "port 1\n")

    def test_access_rights_and_links_stay(self) -> None:
        self.write("port 1\n", "real.conf")
        os.chmod("real.conf", 0o640)
        os.symlink("real.conf", "link.conf")
        current = load("link.conf")
        current.set_internal("hz", 20)
        current.rewrite()
        self.assertTrue(os.path.islink("link.conf"))
        self.assertEqual(os.stat("real.conf").st_mode & 0o777, 0o640)
        self.assertIn("hz 20", Path("real.conf").read_text())
        self.assertEqual(sorted(os.listdir()), ["link.conf", "real.conf"])

    @given(st.dictionaries(st.sampled_from(["masterauth", "requirepass", "masteruser"]), st.binary(max_size=20)))
    @settings(max_examples=100, deadline=None)
    def test_any_text_survives(self, texts: dict[str, bytes]) -> None:
        current = Settings("/")
        current.read([], has_file=True)
        current.set_many([(name.encode(), value) for name, value in texts.items()])
        again = current.meant_by(rewritten(current, b"# mine\nmasterauth old\n"))
        for name in ("masterauth", "requirepass", "masteruser"):
            self.assertEqual(again.show(name), texts.get(name, b""))


class CommandLine(ConfCase):
    def overrides(self, *argv: str) -> list[list[str]]:
        """How the options are taken apart."""
        return take_apart(argv).overrides

    def test_options(self) -> None:
        for argv, overrides in (
            (["--port", "1", "--slaveof", "h", "2"], [["port", "1"], ["slaveof", "h", "2"]]),
            (["--slaveof", "h 2"], [["slaveof", "h 2"]]),
            (["--save", ""], [["save", ""]]),
            (["--save", "--port", "1"], [["save", ""], ["port", "1"]]),
            (["--save", "9", "1", "--save", "3", "10"], [["save", "9", "1"], ["save", "3", "10"]]),
            (["--save", "9", "1", "3", "10"], [["save", "9", "1", "3", "10"]]),
            (["--bind", "127.0.0.1", "-::1"], [["bind", "127.0.0.1", "-::1"]]),
            (["--requirepass", "--secret"], [["requirepass", "--secret"]]),
            (["--Port=7"], [["Port", "7"]]),
            (["--port", "--hz", "1"], [["port"], ["hz", "1"]]),
        ):
            self.assertEqual(self.overrides(*argv), overrides)

    def test_file(self) -> None:
        for argv in (["-c", "x"], ["x"], ["--config", "x"], ["--config=x"], ["--port", "1", "-c", "x"]):
            self.assertEqual(take_apart(argv).config, "x")
        self.assertEqual(take_apart(["-"]).config, "-")
        self.assertIsNone(take_apart(["--port", "1"]).config)
        for argv in (["-c"], ["-c", "x", "y"], ["x", "-c", "y"], ["-x"]):
            self.assertRaises(usage.UsageError, take_apart, argv)

    def test_options_win(self) -> None:
        options = Options()
        options.parseOptions([self.write("port 1\nhz 20\n"), "--port", "2", "--slaveof", "localhost 6379"])
        got = options.settings
        self.assertEqual((got["port"], got["hz"], got["replicaof"]), (2, 20, ("localhost", 6379)))

    def test_errors(self) -> None:
        for argv, text in (
            (["--port", "x"], "command line: '--port x': argument couldn't be parsed into an integer"),
            (["--port"], "command line: '--port': wrong number of arguments"),
            (["--foo", "1"], "command line: '--foo 1': Bad directive or wrong number of arguments"),
            ([self.write("\nfoo 1\n")], "a.conf, line 2: 'foo 1': Bad directive or wrong number of arguments"),
            (["no.conf"], "no.conf: can't open config file: No such file or directory"),
        ):
            error = self.assertRaises(usage.UsageError, Options().parseOptions, argv)
            self.assertEqual(str(error), f"configuration error: {text}")

    def test_help_lists_what_acts(self) -> None:
        text = str(Options())
        for name in ("replicaof", "snapshot-backend", "save"):
            self.assertIn(name, text)
            directive = find(name)
            self.assertTrue(directive is not None and directive.acting)
        self.assertNotIn("cluster-enabled", text)
