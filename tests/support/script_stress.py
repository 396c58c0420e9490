"""Scripts that go to the limits of memory, stack and time, thousands of them, in a process of its own.

Run as ``python -m tests.support.script_stress <seed> <count> <limit in MB> <seconds>``.  It ends with status 0 when every
script had a reply and the interpreter still worked after it; a panic of Lua or a crash is another status.
"""

from __future__ import annotations

import io
import random
import sys
import time
from typing import Any

from twisted.internet.task import Clock

from replicad.config import load
from replicad.server import Server
from replicad.session import Client

#: %(n)d, %(m)d and %(k)d are numbers by chance.
BODIES = (
    "local s = 'x' while true do s = s .. s end",
    "local s = string.rep('x', %(n)d) local t = {} for i = 1, 1e7 do t[i] = s .. i end",
    "local t = {} for i = 1, 1e8 do t[i] = i end",
    "local t = {} for i = 1, 1e8 do t['k' .. i] = {} end",
    "return string.rep('x', 1e9)",
    "return string.rep('ab', %(n)d * 100):gsub('.', string.rep('y', %(n)d))",
    "local function f() return 1 + f() end f()",
    "local function f(a) f({a}) end f()",
    "local t = {} for i = 1, 1e5 do t[i] = string.rep('x', %(n)d) end return table.concat(t)",
    "return unpack({}, 1, 1e7)",
    "local t = {} for i = 1, 7000 do t[i] = i end return {unpack(t)}",
    "redis.call('set', 'big', string.rep('x', %(n)d * 50)) "
    "local t = {} while true do t[#t + 1] = redis.call('get', 'big') .. #t end",
    "for i = 1, 1e6 do redis.call('rpush', 'l', string.rep('x', 100)) "
    "if i %% 1000 == 0 then redis.call('lrange', 'l', 0, -1) end end",
    "local t = {} while true do local ok = pcall(function() while true do t[#t + 1] = string.rep('x', 1000) .. #t end end) "
    "pcall(redis.call, 'set', 'k', string.rep('z', %(n)d)) redis.pcall('get', 'k') if #t > %(n)d then t = {} end "
    "if not ok then break end end return #t",
    "local hold = {} pcall(function() while true do hold[#hold + 1] = string.rep('x', 50000) .. #hold end end) "
    "for i = 1, %(m)d do pcall(function() hold[#hold + 1] = string.rep('y', 100) .. i end) end "
    "for i = 1, 100 do redis.pcall('get', 'k' .. i) redis.pcall('incr', 'big') pcall(redis.call, 'lrange', 'l', 0, 50) "
    "redis.pcall({}, {}, {}) pcall(redis.call, function() end) end return redis.pcall('ping')",
    "local hold = {} for size = 3, 0, -1 do pcall(function() while true do "
    "hold[#hold + 1] = string.rep('x', 10 ^ size) .. #hold end end) end "
    "return redis.sha1hex('x') .. tostring(pcall(redis.log, 1, 'x'))",
    "local hold = {} pcall(function() while true do hold[#hold + 1] = {} end end) local e = redis.pcall('nope') "
    "e = redis.pcall('get') redis.setresp(3) return {hold, redis.pcall('hgetall', 'h')}",
    "local hold = {} pcall(function() while true do hold = {hold} end end) return hold",
    "local all = {} for i = 1, 1e6 do local co = coroutine.create(function() coroutine.yield(string.rep('x', 100)) end) "
    "coroutine.resume(co) all[i] = co end",
    "local function f(n) return coroutine.wrap(function() return f(n + 1) end)() end f(1)",
    "local t = setmetatable({}, {__index = function(t, k) return t[k + 1] end}) return t[1]",
    "local s = 'return ' for i = 1, 16 do s = s .. s end return loadstring(s)",
    "return loadstring('return ' .. string.rep('(', 10000))",
    "return loadstring('x=' .. string.rep('{', 10000))",
    "return loadstring('local a=' .. string.rep('1 ..', 100000) .. '1')",
    "local p = pcall for i = 1, 250 do local q = p p = function(...) return q(p, ...) end end return p(error)",
    "local function f() return pcall(f) end return f()",
    "local function f() local ok = pcall(f) return f2 end return f()",
    "return xpcall(function() local s = 'x' while true do s = s .. s end end, "
    "function(e) local s = 'x' while true do s = s .. s end end)",
    "return xpcall(function() error('x') end, function(e) error(e) end)",
    "return string.format('%%s%%s', string.rep('x', 1e7), string.rep('x', %(n)d))",
    "return ('x'):rep(1e6):find(('x?'):rep(%(n)d) .. ('x'):rep(10))",
    "return ('x'):rep(1e6):find(('(x)'):rep(%(n)d))",
    "local t = {} for i = 1, %(n)d do t[i] = tostring(i) .. 'x' end "
    "table.sort(t, function(a, b) return a < b end) return #t",
    "local t = {} for i = 1, 2000 do t[i] = i end "
    "table.sort(t, function(a, b) local s = {} for i = 1, 50 do s[i] = i end return true end)",
    "return cjson.encode(cjson.decode('[' .. string.rep('[', 900) .. string.rep(']', 900) .. ']'))",
    "local t = {} for i = 1, %(n)d do t[i] = {a = i, b = tostring(i)} end return #cmsgpack.pack(t)",
    "local t = {} for i = 1, %(n)d do t[i] = ('x'):rep(100) .. i end return cjson.encode(t)",
    "while true do cmsgpack.unpack(cmsgpack.pack({string.rep('x', %(n)d), {}})) redis.call('get', 'big') "
    "local s = string.rep('z', 2 ^ %(k)d) end",
    "collectgarbage('stop') local t for i = 1, 1e7 do t = {i} end",
    "collectgarbage('setpause', 1000) local t for i = 1, 1e6 do t = {i, t} end",
    "error({err = string.rep('x', %(n)d * 1000)})",
    "error(string.rep('x', %(n)d * 1000))",
    "return {string.rep('x', %(n)d * 20), {ok = string.rep('y', %(n)d)}, string.rep('z', %(n)d * 20)}",
    "local s = string.rep('x', %(n)d * 200) return {s, s, s, s, s, s, s, s}",
    "local t = {} t[1] = t t[2] = t return t",
    "return redis.call('set', 'k', unpack({}, 1, 7990))",
    "local a = {} for i = 1, 7900 do a[i] = 'x' end return redis.call('rpush', 'l2', unpack(a))",
    "while true do pcall(function() while true do end end) end",
    "redis.call('set', 'k', 'v') while true do redis.pcall('incr', 'k') end",
)
WRAPPED = "local ok, e = pcall(function() %s end) return {tostring(ok), tostring(e):sub(1, 50), redis.pcall('get', 'big')}"
#: A script is stopped after so many seconds.
PATIENCE = 0.02


class Reactor(Clock):
    """Where a late script lets the reactor look at its sockets this one stops it."""

    server: Server

    def doIteration(self, delay: float) -> None:
        """See ``PATIENCE``."""
        run = self.server.scripting.calls.run
        if run is not None:
            run.killed = True


def main(seed: int, count: int, limit_mb: int, seconds: float) -> int:
    """Run ``count`` scripts, or as many as fit into ``seconds``."""
    from replicad.dispatch import run  # behind the server's modules, which it needs

    reactor = Reactor()
    overrides: list[Any] = [
        *(("save", ""), ("script-memory-limit", f"{limit_mb}mb"), ("busy-reply-threshold", str(int(PATIENCE * 1000)))),
        ("proto-max-bulk-len", "64mb"),
    ]
    reactor.server = server = Server(load(None, overrides), reactor)
    server.log.stream = io.StringIO()
    client = Client(server)
    chance = random.Random(seed)
    end = time.monotonic() + seconds
    done = 0
    while done < count and time.monotonic() < end:
        n = chance.choice([1, 10, 100, 1000, 3000, chance.randrange(20000)])
        body = chance.choice(BODIES) % {"n": n, "m": chance.randrange(500), "k": chance.randrange(24)}
        if chance.random() < 0.3:
            body = WRAPPED % body
        arguments = [b"1", b"k", b"v" * chance.randrange(100_000)] if chance.random() < 0.2 else [b"0"]
        reply = run(client, [[b"EVAL", body.encode(), *arguments]])
        after = run(client, [[b"EVAL", b"local t = {} for i = 1, 100 do t[i] = i end return redis.call('echo', #t)", b"0"]])
        if not reply or after != b"$3\r\n100\r\n":
            print(f"after {body!r} -> {reply[:200]!r}: {after[:200]!r}")
            return 1
        if "Defect" in server.log.stream.getvalue():
            print(f"{body!r}: {server.log.stream.getvalue()[:3000]}")
            return 2
        if done % 20 == 0:
            run(client, [[b"FLUSHALL"], [b"SCRIPT", b"FLUSH"]] if done % 100 == 0 else [[b"FLUSHALL"]])
            server.log.stream.truncate(0)
        done += 1
    print(done)
    return 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])))
