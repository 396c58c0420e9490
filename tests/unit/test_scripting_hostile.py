"""Scripts of somebody who wishes the server, or the scripts of others, ill."""

from __future__ import annotations

import gc
import time
import weakref
from collections import deque
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from replicad.config import load
from replicad.dispatch import run
from replicad.scripting.bytecode import flatten
from replicad.scripting.engine import CompileError, Engine, Host
from replicad.server import Server
from replicad.session import Client

MB = 1 << 20
BYTECODE = b"return string.dump(loadstring('return 77'))"


class Sandbox(SynchronousTestCase):
    def setUp(self) -> None:
        self.server = Server(load(None, [("save", ""), ("script-memory-limit", "8mb")]), Clock())
        self.client = Client(self.server)

    def eval(self, body: str | bytes) -> bytes:
        return run(self.client, [[b"EVAL", body.encode() if isinstance(body, str) else body, b"0"]])

    def test_bytecode_is_no_script(self) -> None:
        """The virtual machine trusts it blindly: who may send it owns the process."""
        code = self.eval(BYTECODE).partition(b"\r\n")[2][:-2]
        self.assertTrue(code.startswith(b"\x1bLua"))
        error = b"-ERR Error compiling script (new function): user_script:1: unexpected symbol near 'char(27)'\r\n"
        self.assertEqual(self.eval(code), error)
        self.assertEqual(run(self.client, [[b"SCRIPT", b"LOAD", code]]), error)
        self.assertEqual(run(self.client, [[b"FUNCTION", b"LOAD", b"#!lua name=l\n" + code]])[:1], b"-")

    def test_pairs_does_not_hand_out_what_is_behind(self) -> None:
        for library in ("redis", "_G", "string", "table", "math", "coroutine", "cjson", "cmsgpack", "struct", "bit"):
            body = f"local _, t = pairs({library}) local ok = pcall(function() t.stolen = 1 end) return tostring(ok)"
            self.assertEqual(self.eval(body), b"$5\r\nfalse\r\n", library)
            body = f"local n = 0 for k, v in pairs({library}) do assert({library}[k] == v) n = n + 1 end return n > 2"
            self.assertEqual(self.eval(body), b":1\r\n", library)
        self.assertIn(b"nonexistent global variable 'stolen'", self.eval("return stolen"))

    def test_replies_count_against_the_limit(self) -> None:
        """Replies arrive while nothing limits memory, and this script lets nobody collect what it has had."""
        self.client.db.put(b"list", deque([b"x" * 100] * 20_000))
        engine = self.server.scripting.engine
        self.eval("return 1")
        most = 0
        original = self.server.scripting.calls.call

        def call(*args: Any) -> Any:
            nonlocal most
            most = max(most, engine.memory)
            return original(*args)

        engine._host = Host(**{name: getattr(engine._host, name) for name in Host.__slots__} | {"call": call})
        engine.close()
        reply = self.eval(
            "for i = 1, 60 do collectgarbage('stop') pcall(redis.call, 'lrange', 'list', '0', '-1') end return 'end'"
        )
        self.assertEqual(reply, b"$3\r\nend\r\n")
        self.assertLess(most, 16 * MB)
        body = "local t = {} for i = 1, 60 do t[i] = redis.call('lrange', 'list', '0', '-1') .. '' end"
        self.assertTrue(self.eval(body.replace(" .. ''", "")).startswith(b"-ERR not enough memory"))

    def test_cached_scripts_do_not_keep_a_dead_interpreter(self) -> None:
        self.eval("return 1")
        scripting = self.server.scripting
        dead = weakref.ref(scripting.engine._limits)  # the functions of an interpreter hold them
        scripting.engine.close()
        self.eval("return 2")
        gc.collect()
        self.assertIsNone(dead())
        self.assertEqual(self.eval("return 1"), b":1\r\n")


class Compiler(SynchronousTestCase):
    """The change of compiled functions takes time that grows with their length, no more."""

    def setUp(self) -> None:
        nothing = lambda *_: None
        self.engine = Engine(Host(nothing, nothing, nothing, nothing, nothing, lambda: False, lambda: 0))

    def test_many_tail_calls(self) -> None:
        started = time.monotonic()
        self.engine.compile(b"local function f(p) " + b"do return p() end " * 20_000 + b"end")
        self.assertLess(time.monotonic() - started, 2)

    def test_copies_of_copies(self) -> None:
        copies = b"a = b b = a " * 5000
        body = b"local function f(p) local a, b = p, p " + copies + b"return a() end return f(function() return 7 end)"
        self.assertEqual(self.engine.run(self.engine.compile(body), (), (), 2).value, 7)

    def test_other_shapes_are_left_alone(self) -> None:
        for sizes in (b"", b"\x00\x00\x04\x08\x04\x08\x00rest", b"\x00\x01\x04\x04\x04\x08\x00rest"):
            code = b"\x1bLua\x51" + sizes
            self.assertEqual(flatten(code), code)

    def test_bytecode(self) -> None:
        with self.assertRaises(CompileError):
            self.engine.compile(b"\x1bLua")


class Stopping(SynchronousTestCase):
    """A script that is stopped ends, whatever it catches and wherever it runs."""

    def test_while_its_result_is_encoded(self) -> None:
        nothing = lambda *_: None
        answers = iter([False, False, True])
        engine = Engine(Host(nothing, nothing, nothing, nothing, nothing, lambda: next(answers), lambda: 64 * MB))
        outcome = engine.run(engine.compile(b"local t = {} t[1] = t t[2] = t return t"), (), (), 2)
        self.assertEqual(outcome.error, b"ERR Script killed by user with SCRIPT KILL...")
        self.assertEqual(engine.generation, 0)  # the interpreter is sound

    def test_nested(self) -> None:
        for wrapped in (
            "coroutine.resume(coroutine.create(%s))",
            "pcall(coroutine.wrap(%s))",
            "pcall(%s)",
            "xpcall(%s, function() while true do end end)",
        ):
            body = "while true do end"
            for _ in range(6):
                body = f"while true do {wrapped % f'function() {body} end'} end"
            ticks = 0

            def tick() -> bool:
                nonlocal ticks
                ticks += 1
                if ticks > 2000:
                    raise AssertionError("it goes on")
                return ticks > 3

            nothing = lambda *_: None
            engine = Engine(Host(nothing, nothing, nothing, nothing, nothing, tick, lambda: 0))
            outcome = engine.run(engine.compile(body.encode()), (), (), 2)
            self.assertIn(b"Script killed by user", outcome.error or b"", wrapped)
            self.assertLess(ticks, 100)
            ticks = -100
            self.assertEqual(engine.run(engine.compile(b"return pcall(error) and 1 or 2"), (), (), 2).value, 2)
