"""The COMMAND family beside a real redis-server, and what redis-cli makes of it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time
from typing import Any, ClassVar

from tests.support.servers import find_tool
from tests.support.twohead import TwoHeadedTestCase


def by_name(details: list[Any]) -> dict[bytes, Any]:
    """COMMAND INFO elements by the name of the command, subcommands too."""
    out = {}
    for row in details:
        out[row[0]] = row
        out.update(by_name(row[9]))
    return out


def without_notes(specs: Any) -> Any:
    """Key specifications without Redis's remarks for readers."""
    if isinstance(specs, list):
        if b"notes" in specs:
            at = specs.index(b"notes")
            specs = specs[:at] + specs[at + 2 :]
        return [without_notes(one) for one in specs]
    if isinstance(specs, dict):
        return {key: without_notes(value) for key, value in specs.items() if key != b"notes"}
    return specs


_HASH_READ = "@fast @hash @read"
_HASH_WRITE = "@fast @hash @write"
#: Commands of versions after 7.0: arity, flags, categories.
LATER: dict[bytes, tuple[int, str, str]] = {
    b"client|capa": (-3, "loading noscript stale", "@connection @slow"),  # of Valkey
    b"client|no-touch": (3, "loading noscript stale", "@connection @slow"),
    b"client|setinfo": (4, "loading noscript stale", "@connection @slow"),
    b"hexpire": (-6, "fast write", _HASH_WRITE),
    b"hexpireat": (-6, "fast write", _HASH_WRITE),
    b"hpexpire": (-6, "fast write", _HASH_WRITE),
    b"hpexpireat": (-6, "fast write", _HASH_WRITE),
    b"hpersist": (-5, "fast write", _HASH_WRITE),
    b"httl": (-5, "fast readonly", _HASH_READ),
    b"hpttl": (-5, "fast readonly", _HASH_READ),
    b"hexpiretime": (-5, "fast readonly", _HASH_READ),
    b"hpexpiretime": (-5, "fast readonly", _HASH_READ),
    b"hgetdel": (-5, "fast write", _HASH_WRITE),
    b"hgetex": (-5, "fast write", _HASH_WRITE),
    b"hsetex": (-6, "denyoom fast write", _HASH_WRITE),
    b"waitaof": (4, "noscript", "@connection @slow"),  # as in 7.2
}


class Commands(TwoHeadedTestCase):
    def test_errors(self) -> None:
        self.do_all(
            *("COMMAND COUNT x", "COMMAND x", "COMMAND INFO nosuch", "COMMAND INFO config|x", "COMMAND DOCS nosuch"),
            *("COMMAND LIST x", "COMMAND LIST FILTERBY x y", "COMMAND LIST FILTERBY ACLCAT zz", "COMMAND LIST FILTERBY"),
            *("COMMAND LIST FILTERBY MODULE x", "COMMAND LIST FILTERBY PATTERN zzz*", "COMMAND GETKEYS"),
        )

    def test_every_command(self) -> None:
        """Each command of ours is described as a real server describes it."""
        real = by_name(self.pair.real.must("COMMAND"))
        ours = by_name(self.pair.ours.must("COMMAND"))
        self.assertGreater(len(ours.keys() & real.keys()), 100)
        wrong = {}
        for name in sorted(ours.keys() & real.keys()):
            first, second = real[name], ours[name]
            for field, at in (("arity", 1), ("first", 3), ("last", 4), ("step", 5), ("tips", 7)):
                if second[at] != first[at]:
                    wrong[name, field] = (first[at], second[at])
            for field, at in (("flags", 2), ("categories", 6)):
                if sorted(second[at]) != sorted(first[at]):
                    wrong[name, field] = (first[at], second[at])
            if second[8] != without_notes(first[8]):
                wrong[name, "key specs"] = (first[8], second[8])
        self.assertEqual(wrong, {})

    def test_later_commands(self) -> None:
        """Those that a server of 7.0 does not know are described as their documentation says."""
        ours = by_name(self.pair.ours.must("COMMAND"))
        found = {}
        for name in LATER:
            row = ours[name]
            flags, categories = (" ".join(sorted(str(word, "ascii") for word in row[at])) for at in (2, 6))
            found[name] = (row[1], flags, categories)
        self.assertEqual(found, LATER)
        unknown = [name for name in LATER if b"|" not in name]
        self.assertEqual(self.pair.real.must("COMMAND", "INFO", *unknown), [None] * len(unknown))

    def test_order_of_flags(self) -> None:
        for name in ("get", "append", "auth", "config|get", "save", "monitor", "hset"):
            self.do("COMMAND", "INFO", name)

    def test_count_and_list(self) -> None:
        ours = self.pair.ours
        names = ours.must("COMMAND", "LIST")
        top = [name for name in names if b"|" not in name]  # the list names subcommands too, the count does not count them
        self.assertEqual(len(top), ours.must("COMMAND", "COUNT"))
        self.assertEqual(sorted(top), sorted(row[0] for row in ours.must("COMMAND")))
        real_names = self.pair.real.must("COMMAND", "LIST")
        self.assertEqual(set(names) - LATER.keys() - set(real_names), set())
        self.assertLessEqual({name for name in real_names if name.startswith(b"config|")}, set(names))
        self.do_sorted("COMMAND", "LIST", "FILTERBY", "PATTERN", "config*")
        self.do_sorted("COMMAND", "LIST", "FILTERBY", "PATTERN", "SLOWLOG|?E*")
        real, mine = self.both("COMMAND", "LIST", "FILTERBY", "ACLCAT", "string")
        self.assertEqual(sorted(mine), sorted(real))

    def test_getkeys(self) -> None:
        for words in (
            *("nosuch x", "ping x", "get x y", "get x", "set a b", "mset a b c d", "mget a b c", "del a b", "config get x"),
            *("memory usage k", "object encoding k", "lmove a b LEFT RIGHT", "sort a STORE b", "ECHO x"),
            *("set a b GET", "rename a b", "blpop a b 0", "copy a b", "rpoplpush a b", "lmpop 2 a b LEFT", "smove a b c"),
            *("sdiffstore d a b", "sintercard 2 a b", "hset h a b", "append a b", "lcs a b", "sort a BY x"),
        ):
            self.do("COMMAND", "GETKEYS", *words.split())
            self.do("COMMAND", "GETKEYSANDFLAGS", *words.split())

    def test_docs(self) -> None:
        """Shape and facts; the words are our own."""
        for names in ((), ("config|get", "GET", "nosuch", "config")):
            flat = self.pair.ours.must("COMMAND", "DOCS", *names)
            docs = dict(zip(flat[::2], flat[1::2], strict=True))
            flat = self.pair.real.must("COMMAND", "DOCS", *names)
            real = dict(zip(flat[::2], flat[1::2], strict=True))
            for name, rows in docs.items():
                fields = dict(zip(rows[::2], rows[1::2], strict=True))
                self.assertTrue(fields[b"summary"], name)
                if name in real:
                    facts = dict(zip(real[name][::2], real[name][1::2], strict=True))
                    self.assertEqual(fields[b"group"], facts[b"group"], name)
                    self.assertEqual(fields[b"since"], facts[b"since"], name)
                    self.assertEqual(b"subcommands" in fields, b"subcommands" in facts, name)
        self.assertEqual(sorted(docs), [b"config", b"config|get", b"get"])

    def test_arguments(self) -> None:
        """The arguments of a command as clients find them: for SET those of a real server, but for the histories."""

        def bare(arguments: list[Any]) -> list[Any]:
            out = []
            for rows in arguments:
                fields = dict(zip(rows[::2], rows[1::2], strict=True))
                inner = bare(fields.get(b"arguments", []))
                out.append([fields.get(b"token"), fields[b"type"], sorted(fields.get(b"flags", [])), inner])
            return out

        for name in ("get", "set", "append", "config|get", "getex", "lpush", "setrange"):
            found = []
            for one in (self.pair.real, self.pair.ours):
                flat = one.must("COMMAND", "DOCS", name)[1]
                found.append(bare(dict(zip(flat[::2], flat[1::2], strict=True))[b"arguments"]))
            if name == "config|get":
                self.assertEqual(found[1], [[None, b"string", [b"multiple"], []]])
            else:
                self.assertEqual(found[1], found[0], name)


class CommandsResp3(TwoHeadedTestCase):
    resp: ClassVar[int] = 3

    def test_shapes(self) -> None:
        self.do_all("COMMAND INFO get ping config|get append nosuch", "COMMAND GETKEYSANDFLAGS set a b", "COMMAND INFO mset")
        self.do_loosely("COMMAND", "LIST", "FILTERBY", "PATTERN", "config|*")
        ours = self.pair.ours.must("COMMAND", "DOCS", "set", "config")
        self.assertEqual(list(ours), [b"set", b"config"])
        self.assertEqual(ours[b"set"][b"arguments"][2][b"flags"], {b"optional"})
        self.assertIn(b"config|get", ours[b"config"][b"subcommands"])


class RedisCli(TwoHeadedTestCase):
    """redis-cli aborts on an assertion when COMMAND DOCS does not have the shape that it expects."""

    def interact(self, *keys: bytes, arguments: tuple[str, ...] = ()) -> tuple[str, int]:
        """Type ``keys`` into an interactive redis-cli; what the screen got, and the exit status."""
        port = self.pair.ours.socket.getpeername()[1]
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("4H", 50, 200, 0, 0))
        environment = {**os.environ, "TERM": "xterm", "HOME": "/nonexistent"}
        process = subprocess.Popen(
            [find_tool("redis-cli"), "-p", str(port), *arguments],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=environment,
            start_new_session=True,
        )
        os.close(slave)
        screen = b""

        def read(seconds: float) -> None:
            nonlocal screen
            until = time.monotonic() + seconds
            while time.monotonic() < until:
                ready, _, _ = select.select([master], [], [], 0.05)
                if ready:
                    try:
                        screen += os.read(master, 65536)
                    except OSError:
                        return
                elif screen:
                    return

        try:
            read(5)
            for key in keys:
                os.write(master, key)
                read(1)
            os.write(master, b"\x15quit\r")
            read(1)
            status = process.wait(5)
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            process.wait()
            os.close(master)
        return re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", screen.decode(errors="replace")), status

    def test_hints(self) -> None:
        for arguments in ((), ("-3",)):
            screen, status = self.interact(
                *(b"set ", b"\x15", b"config get ", b"\x15", b"client pause ", b"\x15", b"get a\r"), arguments=arguments
            )
            self.assertEqual(status, 0, screen)
            self.assertNotIn("ssertion", screen)
            self.assertIn("key value [NX|XX] [GET]", screen)
            self.assertIn("parameter [parameter ...]", screen)
            self.assertIn("timeout [WRITE|ALL]", screen)
            self.assertIn("(nil)", screen)

    def test_help(self) -> None:
        screen, status = self.interact(b"help set\r", b"help @string\r", b"help config get\r", b"help @server\r")
        self.assertEqual(status, 0, screen)
        self.assertIn("SET key value", screen)
        self.assertIn("CONFIG GET parameter", screen)

    def run_cli(self, *arguments: str, text: str = "") -> subprocess.CompletedProcess[str]:
        port = self.pair.ours.socket.getpeername()[1]
        return subprocess.run(
            [find_tool("redis-cli"), "-p", str(port), *arguments], input=text, capture_output=True, text=True, timeout=10
        )

    def test_modes(self) -> None:
        for key in range(30):
            self.pair.ours.must("SET", f"key:{key}", "x" * key)
        scanned = self.run_cli("--scan", "--pattern", "key:?").stdout.split()
        self.assertEqual(sorted(scanned), [f"key:{number}" for number in range(10)])
        self.assertIn("Biggest string found", self.run_cli("--bigkeys").stdout)
        self.assertIn("Biggest string found", self.run_cli("--memkeys").stdout)
        piped = self.run_cli("--pipe", text="SET p 1\r\n*3\r\n$3\r\nSET\r\n$1\r\nq\r\n$1\r\n2\r\n")
        self.assertIn("errors: 0, replies: 2", piped.stdout)
        address = f"127.0.0.1:{self.pair.ours.socket.getpeername()[1]}"
        told = self.run_cli("--cluster", "info", address)
        self.assertIn("is not configured as a cluster node", told.stdout + told.stderr)
        self.assertEqual(self.run_cli("get", "p").stdout, "1\n")
