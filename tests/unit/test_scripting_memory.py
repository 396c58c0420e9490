"""Scripts that allocate without end: an error for the script, and the process lives on."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from replicad.config import load
from replicad.server import Server
from replicad.session import Client

PROJECT = Path(__file__).resolve().parents[2]
MB = 1 << 20


class Limit(SynchronousTestCase):
    """One server whose scripts may use 8 MB."""

    def setUp(self) -> None:
        self.server = Server(load(None, [("save", ""), ("script-memory-limit", "8mb")]), Clock())
        self.client = Client(self.server)

    def eval(self, body: str) -> bytes:
        from replicad.dispatch import run

        return run(self.client, [[b"EVAL", body.encode(), b"0"]])

    def test_errors(self) -> None:
        for body in (
            "local s = 'x' while true do s = s .. s end",
            "return string.rep('x', 1e9)",
            "local t = {} for i = 1, 1e8 do t[i] = i end",
            "local t = {} while true do t = {t} end",
            "return string.rep('x', 1e5):gsub('.', string.rep('y', 1e4))",
            "local t = {} for i = 1, 1e4 do t[i] = string.rep('x', 1e4) end return table.concat(t)",
            "local s = string.rep('x', 1e6) return {s, s, s, s, s, s, s, s, s, s}",
            "collectgarbage('stop') local t = {} while true do t = {t} end",
        ):
            self.assertTrue(self.eval(body).startswith(b"-ERR not enough memory"), body)
            self.assertEqual(self.eval("return redis.call('ping')"), b"+PONG\r\n")

    def test_stacks(self) -> None:
        for body, text in (
            ("local function f() return 1 + f() end return f()", b"stack overflow"),
            ("local function f() return pcall(f) end return f()", b":1"),
            ("return unpack({}, 1, 1e6)", b"too many results to unpack"),
            ("return string.rep('x', 100):find(('x?'):rep(1e6))", b"pattern too complex"),
            ("return loadstring('return ' .. ('('):rep(1e5))", b"$-1"),
            ("local function f() return coroutine.wrap(f)() end return f()", b"C stack overflow"),
        ):
            self.assertIn(text, self.eval(body), body)
            self.assertEqual(self.eval("return redis.call('ping')"), b"+PONG\r\n")

    def test_a_script_can_catch_it_and_end(self) -> None:
        self.assertEqual(
            self.eval(
                "local ok, e = pcall(string.rep, 'x', 1e9) redis.call('set', 'k', tostring(ok)) return {tostring(ok), e}"
            ),
            b"*2\r\n$5\r\nfalse\r\n$17\r\nnot enough memory\r\n",
        )

    def test_garbage_is_not_counted(self) -> None:
        """Ten times the limit in all, but never more than a little at once."""
        self.assertEqual(self.eval("for i = 1, 20000 do local s = string.rep('x', 4096) .. i end return 1"), b":1\r\n")
        self.assertEqual(self.eval("local t for i = 1, 5e5 do t = {i, i} end return 1"), b":1\r\n")

    def test_the_next_script_has_all_of_it(self) -> None:
        for _ in range(20):
            self.assertEqual(self.eval("return #string.rep('x', 2e6)"), b":2000000\r\n")

    def test_memory_is_given_back(self) -> None:
        self.eval("KEEP = string.rep('x', 5e6)")
        self.eval("local t = {} for i = 1, 1e5 do t[i] = i end return 1")
        self.assertLess(self.server.scripting.engine.memory, 2 * MB)

    def test_large_replies_of_commands(self) -> None:
        self.client.db.put(b"big", b"x" * (20 * MB))
        self.assertEqual(self.eval("local t = redis.call('get', 'big') return t .. 'y'"), b"-ERR not enough memory\r\n")
        self.assertEqual(self.eval("return #redis.call('getrange', 'big', 0, 99)"), b":100\r\n")

    def test_the_limit_can_be_changed(self) -> None:
        self.server.settings.set_internal("script-memory-limit", 64 * MB)
        self.assertEqual(self.eval("return #string.rep('x', 2e7)"), b":20000000\r\n")


class Stress(SynchronousTestCase):
    """Hundreds of hostile scripts in a child process, which must not die."""

    def test_hostile_scripts(self) -> None:
        children = [
            subprocess.Popen(
                [sys.executable, "-X", "faulthandler", "-m", "tests.support.script_stress", str(seed), "300", limit, "4"],
                cwd=PROJECT,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
            )
            for seed, limit in ((1, "2"), (2, "8"))
        ]
        for child in children:
            output, _ = child.communicate(timeout=60)
            self.assertEqual(child.returncode, 0, output[-3000:])
            self.assertGreater(int(output), 10)
