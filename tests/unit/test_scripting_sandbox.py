"""What scripts cannot reach: Python, the system, other scripts' variables, the sandbox's own code."""

from __future__ import annotations

import io
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from replicad.config import load
from replicad.scripting.bytecode import flatten, without_lines
from replicad.scripting.engine import CompileError, Engine, Host
from replicad.server import Server
from replicad.session import Client

#: Everything that can be reached from the environment, by type; one line for each userdata and each odd thing.
WALK = """
local seen, found = {}, {}
local function walk(value, path, depth)
  local kind = type(value)
  if kind == "userdata" then found[#found + 1] = path .. " " .. tostring(value) end
  if kind ~= "table" or seen[value] or depth > 20 then return end
  seen[value] = true
  local metatable = getmetatable(value)
  if type(metatable) == "table" then walk(metatable, path .. "<metatable>", depth + 1) end
  for key, inner in pairs(value) do
    walk(key, path .. "<key>", depth + 1)
    walk(inner, path .. "." .. tostring(key), depth + 1)
  end
  for key, inner in next, value do walk(inner, path .. "!" .. tostring(key), depth + 1) end
end
walk(_G, "_G", 0)
walk(getmetatable(""), "string", 0)
walk(getmetatable(_G), "G", 0)
walk({redis.pcall("get"), redis.pcall("nope"), redis.pcall("ping"), redis.pcall({}), redis.error_reply("x")}, "replies", 0)
local names = {"call", "pcall", "log", "sha1hex", "setresp", "set_repl", "acl_check_cmd", "error_reply", "status_reply"}
local thread = coroutine.create(function() end)
for _, fn in pairs(names) do
  for _, arguments in pairs({{}, {{}}, {function() end}, {thread}, {cjson.null}, {true}, {1, {}}, {1e308}}) do
    walk({pcall(redis[fn], unpack(arguments))}, fn, 0)
    xpcall(function() redis[fn](unpack(arguments)) end, function(err) walk(err, fn .. " handler", 0) end)
    walk({coroutine.resume(coroutine.create(redis[fn]), unpack(arguments))}, fn .. " coroutine", 0)
  end
end
table.sort(found)
return found
"""

#: Each must end with an error, nil, or false: nothing of what it looks for is there.
ATTEMPTS = (
    *("return python", "return os", "return io", "return package", "return require('os')", "return debug", "return module"),
    *("return getfenv(1)", "return setfenv(1, {})", "return dofile('/etc/passwd')", "return loadfile('/etc/passwd')"),
    *("return newproxy(true)", "return _G.python", "return rawget(_G, 'python')", "return rawget(_G, 'debug')"),
    *("return print", "return _G['os']", "return getmetatable(_G).__index(_G, 'os')", "return arg", "return jit"),
    *("return loadstring(string.dump(function() return 1 end))", "return loadstring('\\27Lua')"),
    *("return (load(function() end))()",),
    "local n = 0 return load(function() n = n + 1 return ({'\\27', 'Lua', 'Q'})[n] end)",
    "return load(coroutine.wrap(function() coroutine.yield('\\27Lua') end))",
    *("return loadstring('return getfenv')()", "return loadstring('return os', '=python')()"),
    *("return loadstring('x = 1')()",),
    *("x = 1", "_G.x = 1", "rawset(_G, 'x', 1)", "redis.x = 1", "string.x = 1", "rawset(string, 'rep', nil)", "KEYS = nil"),
    *("getmetatable('').__index = nil", "getmetatable(_G).__index = nil", "setmetatable(_G, nil)"),
    *("setmetatable(redis, {})",),
    *("setmetatable('', {})", "redis.call = nil", "rawset(getmetatable(''), '__index', {})", "cjson.null.x = 1"),
    *("return getmetatable(cjson.null)", "setmetatable(cjson.null, {})", "return cjson.null.x", "return redis.call.x"),
    *("return redis.call.__class__", "return redis.call('get').x", "return redis.sha1hex.__globals__"),
    *("return getmetatable(redis.call)", "return getmetatable(coroutine.create(print))", "return tostring(nil).x.y"),
    *("return string.dump(print)", "return string.dump(string.rep)", "coroutine.wrap(redis.call)({})"),
    *("return ('x'):gsub('x', redis.call)", "table.sort({3, 2, 1}, redis.call)"),
    *("return setmetatable({}, {__index = redis.call}).x",),
    *("return select(2, xpcall(redis.call, function(err) return err.__class__ end))",),
    *("return redis.call(setmetatable({}, {__tostring = redis.call}))",),
    *("return redis.register_function", "return redis.setglobals", "return __redis__err__handler.x"),
    *("return redis.breakpoint.x",),
)
#: Ways to leave something behind for the next script.
LEAVINGS = (
    *("x = 1", "_G.x = 1", "rawset(_G, 'x', 1)", "table.insert(_G, 1)", "table.insert(redis, 1)"),
    *("table.insert(string, 'x')",),
    *("getmetatable('').__index.x = 1", "string.x = 1", "for k in pairs(_G) do _G[k] = nil end", "table.sort(_G)"),
    *("setmetatable(_G, {__index = function() return 1 end})", "collectgarbage('stop')", "redis.setresp(3)"),
    *("cjson.encode_max_depth(2)",),
    *("rawset(getmetatable(_G), '__index', {x = 1})", "table.remove(redis)", "KEYS.x = 1 ARGV.x = 1", "table.setn(_G, 5)"),
)
CHECK = """
local count = 0
for _ in pairs(_G) do count = count + 1 end
return {count, #_G, #redis, #string, type(rawget(_G, 'x')), type(redis.x), type(('').x), ('a'):rep(2), type(KEYS.x), #KEYS,
  redis.call('hgetall', 'h')}
"""


class Sandbox(SynchronousTestCase):
    """Scripts on a server in this process."""

    def setUp(self) -> None:
        self.server = Server(load(None, [("save", "")]), Clock())
        self.server.log.stream = io.StringIO()
        self.client = Client(self.server)

    def eval(self, body: str, client: Client | None = None) -> bytes:
        from replicad.dispatch import run

        return run(client or self.client, [[b"EVAL", body.encode(), b"0"]])

    def test_nothing_of_python_is_in_reach(self) -> None:
        reply = self.eval(WALK)
        values = reply.split(b"\r\n")[2::2]
        self.assertTrue(values, reply)
        for value in values:  # cjson.null, and whoever holds it
            self.assertTrue(value.endswith(b"userdata: (nil)"), value)
        self.assertNotIn("Defect", self.server.log.stream.getvalue())

    def test_attempts(self) -> None:
        for body in ATTEMPTS:
            reply = self.eval(body)
            self.assertTrue(reply.startswith((b"-ERR", b"$-1", b"*0")), f"{body}: {reply!r}")
        self.assertEqual(self.eval("return redis.call('ping')"), b"+PONG\r\n")
        self.assertNotIn("Defect", self.server.log.stream.getvalue())

    def test_nothing_stays_behind(self) -> None:
        before = self.eval(CHECK)
        for body in LEAVINGS:
            self.eval(body)
            self.assertEqual(self.eval(CHECK), before, body)

    def test_a_defect_of_ours_is_no_python_object(self) -> None:
        """Were a function of the host to raise, scripts would get a string."""

        def broken(*args: Any) -> Any:
            raise ValueError("ours")

        engine = Engine(
            Host(
                call=broken, acl_check=broken, log=broken, set_repl=broken, set_resp=broken, tick=lambda: False,
                limit=lambda: 1 << 24,
            )
        )
        for body in (
            "local ok, e = pcall(redis.call, 'x') return type(e) .. tostring(e)",
            "local ok, e = xpcall(function() redis.call('x') end, function(e) return e end) return type(e) .. tostring(e)",
            "local ok, e = coroutine.resume(coroutine.create(function() redis.call('x') end)) return type(e) .. tostring(e)",
            "local ok, e = pcall(coroutine.wrap(function() redis.call('x') end)) return type(e) .. tostring(e)",
            "local ok, e = pcall(string.gsub, 'x', 'x', function() redis.call('x') end) return type(e) .. tostring(e)",
        ):
            outcome = engine.run(engine.compile(body.encode()), (), (), 2)
            self.assertEqual(outcome.value, b"stringinternal error", body)
        outcome = engine.run(engine.compile(b"redis.call('x')"), (), (), 2)
        self.assertIn(b"internal error", outcome.error or b"")

    def test_an_engine_that_was_thrown_away_is_gone(self) -> None:
        engine = self.server.scripting.engine
        self.eval("return 1")
        generation = engine.generation
        engine.close()
        self.assertEqual((engine.generation, engine.memory), (generation + 1, 0))
        self.assertEqual(self.eval("return 1"), b":1\r\n")  # compiled again from the cache

    def test_compile_errors(self) -> None:
        engine = self.server.scripting.engine
        with self.assertRaises(CompileError) as caught:
            engine.compile(b"x x")
        self.assertEqual(caught.exception.text, b"user_script:1: '=' expected near 'x'")


class Bytecode(SynchronousTestCase):
    """Tail calls that are none any more."""

    def setUp(self) -> None:
        from lupa import lua51

        self.lua = lua51.LuaRuntime(encoding=None, register_eval=False)
        self.compile = self.lua.execute(
            b"return function(text, adapt) local code = string.dump(assert(loadstring(text, '=t'))) "
            b"return loadstring(adapt(code)), code end"
        )

    def test_same_results(self) -> None:
        for text, expected in (
            (b"return tostring(5)", b"5"),
            (b"local t = {f = function(...) return select('#', ...) end} return t.f(1, nil, nil)", 3),
            (b"local t = {n = 7} function t:get() return self.n end return t:get()", 7),
            (b"local function sum(n, s) if n == 0 then return s end return sum(n - 1, s + n) end return sum(9, 0)", 45),
            (b"return (function(...) return select(2, ...) end)(1, 'b')", b"b"),
            (b"local s, n = 'x' .. string.rep('y', 3), 2^0.5 return string.len(s) + math.floor(n)", 5),
        ):
            for adapt in (flatten, without_lines):
                self.assertEqual(self.compile(text, adapt)[0](), expected, text)

    def test_own_functions_stay_tail_calls(self) -> None:
        text = b"local function loop(n) if n == 0 then return 'end' end return loop(n - 1) end return loop(1000000)"
        self.assertEqual(self.compile(text, flatten)[0](), b"end")

    def test_frames_are_kept(self) -> None:
        text = (
            b"local info = debug.getinfo\n"
            b"local lib = {f = function() return info(2, 'l').currentline end}\n"
            b"local f = lib.f\n"
            b"local function first()\n return lib.f()\nend\n"
            b"local function second()\n local copy = lib.f\n return copy()\nend\n"
            b"local one, two = first(), second()\n"
            b"return one .. ' ' .. two"
        )
        self.assertEqual(self.compile(text, flatten)[0](), b"5 9")
        self.assertEqual(self.compile(text, lambda code: code)[0](), b"-1 -1")

    def test_without_lines(self) -> None:
        function, _ = self.compile(b"\n\nlocal x = nil + 1", without_lines)
        from lupa.lua51 import LuaError

        with self.assertRaisesRegex(LuaError, r"^t:0: |^attempt|^t:\?"):
            function()
