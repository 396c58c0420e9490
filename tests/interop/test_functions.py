"""FUNCTION and FCALL beside a real redis-server, and libraries on their way through replication and snapshots."""

from __future__ import annotations

import time
from threading import Thread
from typing import Any

import anycrc
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from replicad.config import load
from replicad.persistence.rdb import dump_functions
from replicad.server import Server
from tests.support.connection import Argument
from tests.support.servers import Node, RealServer, Replicad, need_reference, wait_in_sync, wait_until
from tests.support.twohead import TwoHeadedTestCase

HEAD = "#!lua name=lib\n"
REGISTER = "redis.register_function"
DO_NOTHING = f"{REGISTER}('f', function() end)"


NAMES = """_G _VERSION assert bit cjson cmsgpack collectgarbage coroutine error gcinfo print getmetatable setmetatable ipairs
load loadstring math next pairs pcall rawequal os rawget rawset redis select string struct table tonumber tostring type
unpack xpcall KEYS ARGV debug getfenv setfenv newproxy __redis__err__handler io require package"""

RESULTS = """
return 'x'
return 3.99
return -3.99
return true
return false
return nil
return {1, {2}}
return {1, nil, 3}
return 1, 2
return {ok = 'fine'}
return {err = 'MY bad'}
return {double = 3.5}
return {map = {a = 1}}
return redis.error_reply('My bad')
return redis.status_reply('s')
return cjson.encode({keys, args})
return redis.setresp(3)
redis.call('hset', 'h', 'a', 1) return redis.call('hgetall', 'h')
redis.setresp(3) return redis.call('hgetall', 'h')
return redis.pcall('foo')
return redis.sha1hex('')
redis.set_repl(redis.REPL_NONE) return redis.call('incr', 'n')
return redis.acl_check_cmd('get', 'x')
return redis.log(redis.LOG_DEBUG, 'x')
local x = 1
""".strip().split("\n")

ERRORS = """
error('x')
return error({err = 'MY z'})
error()
pcall(error) error('y')
local x = nothing
x = 1
_G.x = 1
redis.foo = 1
string.rep = 1
return KEYS
return ARGV
return __redis__err__handler
return os.time()
return nil .. 'x'
redis.call('foo')
redis.call()
return redis.call('get')
return redis.call('fcall', 'f', 0)
redis.call('function', 'flush')
redis.call('eval', 'return 1', 0)
redis.call('set', 'a', 1) redis.call('lpush', 'a', 1)
return redis.pcall('lpush', 'a', 1)
redis.breakpoint()
redis.debug()
redis.replicate_commands()
return redis.register_function('g', function() end)
return cjson.encode(1, 2)
local function g() return g() + 1 end return g()
""".strip().split("\n")


def library(body: str, name: str = "lib") -> str:
    """The code of a library."""
    return f"#!lua name={name}\n{body}"


def ordered(libraries: Any) -> Any:
    """The reply of FUNCTION LIST with libraries and functions in the order of their names."""
    for one in libraries:
        at = one.index(b"functions") + 1
        one[at] = sorted(one[at], key=lambda function: function[1])
    return sorted(libraries, key=lambda one: one[1])


class FunctionTestCase(TwoHeadedTestCase):
    """No libraries at the start."""

    def setUp(self) -> None:
        super().setUp()
        self.do("FUNCTION", "FLUSH")
        self.addCleanup(self.flush)

    def flush(self) -> None:
        """Other tests shall find no libraries."""
        for connection in (self.pair.real, self.pair.ours):
            connection.call("FUNCTION", "FLUSH")

    def load(self, body: str, *, name: str = "lib") -> None:
        """Load a library on both servers, in place of what is there."""
        self.assertEqual(self.do("FUNCTION", "LOAD", "REPLACE", library(body, name)), name.encode())

    def same_list(self, *options: Argument) -> None:
        """FUNCTION LIST, whose order is that of a hash table in Redis."""
        real, ours = self.both("FUNCTION", "LIST", *options)
        self.assertEqual(ordered(ours), ordered(real))


class Loading(FunctionTestCase):
    """FUNCTION LOAD: first lines, code that fails, what can be registered, collisions."""

    def test_first_line(self) -> None:
        for line in ("", "return 1", "#!lua", "#!", "#!lua name=x", "#!lua name=x\n", "#!\n", "#!lua\n", "#!lua name=\n",
                     "#!foo name=x\n", "#! name=x\n", "#!foo\n", "#!foo name=a-b\n", "#!lua foo\n", "#!lua foo=bar\n",
                     "#!lua name=a name=b\n", "#!lua name=a-b\n", "#!lua name=a.b\n", "#!lua name='q\n",
                     '#!lua name="a b"\n',
                     '#!lua name="ab"\n', "#!lua  name=spaces  \n", "#!LUA name=big\n", "#!lua NAME=word\n",
                     "#!lua name=" + "n" * 200 + "\n", "#!lua name=cr\r\n", "#!lua\tname=tab\n", "#!luaname=x\n",
                     " #!lua name=x\n", "#!lua name=\\x41\n", '#!lua "name=\\x41"\n', "#!lua name=a foo=b\n"):  # fmt: skip
            self.do("FUNCTION", "LOAD", "REPLACE", line + DO_NOTHING)
            self.do("FUNCTION", "FLUSH")

    def test_words(self) -> None:
        self.do_all(
            "FUNCTION", "FUNCTION FOO", "FUNCTION LOAD", "FUNCTION LOAD REPLACE", "FUNCTION LOAD a b",
            "FUNCTION LOAD REPLACE a b", "FUNCTION LOAD replace replace x", "FUNCTION DELETE", "FUNCTION DELETE a b",
            "FUNCTION DELETE none", "FUNCTION FLUSH x", "FUNCTION FLUSH SYNC ASYNC", "FUNCTION FLUSH sync",
            "FUNCTION FLUSH ASYNC", "FUNCTION LIST FOO", "FUNCTION LIST LIBRARYNAME", "FUNCTION LIST WITHCODE WITHCODE",
            "FUNCTION LIST LIBRARYNAME a LIBRARYNAME b", "FUNCTION STATS x", "FUNCTION STATS", "FUNCTION KILL",
            "FUNCTION KILL x", "FUNCTION DUMP x", "FUNCTION RESTORE", "FUNCTION RESTORE x", "FUNCTION RESTORE x FOO",
            "FUNCTION RESTORE x FLUSH y", "FUNCTION HELP x", "FCALL", "FCALL f", "FCALL f 0", "FCALL f x", "FCALL_RO f 0",
        )  # fmt: skip

    def test_code_that_fails(self) -> None:
        for body in ("", "return 1", "x =", "foo()", "x = 1", "local x = KEYS", "local x = ARGV", "error('boo')", "_G.x = 1",
                     "redis.call('get', 'x')", "redis.pcall('get', 'x')", "local x = redis.foo", "redis.foo = 1",
                     f"{REGISTER} = 1", "redis.setresp(3)", "redis.sha1hex('a')", "local x = redis.REPL_ALL",
                     "redis.log()", "redis.log(7, 'x')", "redis.log('x', 'x')", "local x = nil + 1", "\n\n local x = {}.y.z",
                     "local function a() return b.c end a()", "setmetatable(_G, {})", "string.rep('x', 1)", "\x1bLua",
                     "local t = redis; t.register_function('q', function() end)", "return redis.register_function()",
                     "local x = redis.LOG_NOTICE .. redis.REDIS_VERSION .. redis.REDIS_VERSION_NUM", "redis = nil",
                     "local x = ('x'):rep(3)", f"{DO_NOTHING} error", f"{DO_NOTHING} x = 1"):  # fmt: skip
            self.do("FUNCTION", "LOAD", "REPLACE", HEAD + body)
            self.do("FUNCTION", "STATS")

    def test_time_is_limited(self) -> None:
        for body in ("while true do end", "local t = {} while true do t[#t + 1] = 1 end",
                     "local function f() return f() end f()"):  # fmt: skip
            self.do("FUNCTION", "LOAD", HEAD + body)
        self.do("PING")

    def test_arguments(self) -> None:
        f = "function() end"
        for words in ("", "'f'", "1, 2", "'f', 2", "{}", f"'f', {f}, 1", "{}, 1", f"1, {f}", f"nil, {f}", f"'a-b', {f}",
                      f"'', {f}", f"'a b', {f}", f"'{'x' * 300}', {f}", "'f', redis.log", f"'f\\0g', {f}", f"1.5, {f}",
                      "{function_name = 'f'}", f"{{callback = {f}}}", f"{{function_name = 1, callback = {f}}}",
                      f"{{function_name = {{}}, callback = {f}}}", "{function_name = 'f', callback = 1}",
                      "{[{}] = 1}", "{[1] = 1}", "{foo = 1}", f"{{FUNCTION_NAME = 'f', Callback = {f}}}", "{flags = {{}}}",
                      "{description = {}}", "{callback = 1}", "{flags = 1}"):  # fmt: skip
            self.do("FUNCTION", "LOAD", "REPLACE", f"{HEAD}{REGISTER}({words})")
            self.same_list()

    def test_flags_and_description(self) -> None:
        for more in ("flags = 1", "flags = {}", "flags = {1}", "flags = {'foo'}", "flags = {'no-writes', foo = 'bar'}",
                     "flags = {'allow-cross-slot-keys', 'no-cluster', 'allow-stale', 'allow-oom', 'no-writes'}",
                     "flags = {[2] = 'no-writes'}", "flags = {'NO-WRITES', 'no-writes'}", "description = 'd\\0\\n'",
                     "description = 1.5", "description = true", "foo = 1", "[1] = 2"):  # fmt: skip
            self.do("FUNCTION", "LOAD", "REPLACE", f"{HEAD}{REGISTER}{{function_name='f', callback=function() end, {more}}}")
            self.same_list("WITHCODE")

    def test_collisions(self) -> None:
        self.load(f"{DO_NOTHING} {REGISTER}('g', function() end)")
        self.do("FUNCTION", "LOAD", library(DO_NOTHING))
        self.do("FUNCTION", "LOAD", library(DO_NOTHING, "two"))
        self.do("FUNCTION", "LOAD", "REPLACE", library(DO_NOTHING.upper().replace("'F'", "'x'"), "two"))
        self.do("FUNCTION", "LOAD", library(f"{REGISTER}('G', function() end)", "two"))
        self.do("FUNCTION", "LOAD", library(f"{REGISTER}('h', function() end)", "LIB"))
        self.do("FUNCTION", "LOAD", "REPLACE", library(f"{REGISTER}('h', function() end)"))
        self.do("FUNCTION", "LOAD", "REPLACE", library(f"{DO_NOTHING} {DO_NOTHING}"))
        self.same_list("WITHCODE")
        self.do("FUNCTION", "LOAD", "REPLACE", library(DO_NOTHING))
        self.do("FCALL", "g", 0)
        self.same_list("LIBRARYNAME", "L?B")
        self.same_list("withcode", "libraryname", "li[B]")
        self.same_list("LIBRARYNAME", "x*")
        self.do("FUNCTION", "DELETE", "LIB")
        self.do("FUNCTION", "DELETE", "LIB")
        self.do("FUNCTION", "STATS")

    def test_counts(self) -> None:
        self.load(f"{DO_NOTHING} {REGISTER}('g', function() end)")
        for name in ("number_of_functions", "number_of_libraries"):
            self.assertEqual(self.pair.ours.info("memory")[name], self.pair.real.info("memory")[name])

    def test_flushall_keeps_libraries(self) -> None:
        self.load(DO_NOTHING)
        self.do_all("FLUSHALL", "FLUSHDB", "FCALL f 0", "DEBUG RELOAD", "FCALL f 0")
        self.same_list("WITHCODE")


class Calling(FunctionTestCase):
    """FCALL: arguments, results, what a function sees, errors."""

    def call(self, body: str, *argv: Argument) -> Any:
        """The reply of a function with this body, from both servers."""
        self.load(f"{REGISTER}('f', function(keys, args) {body} end)")
        return self.do("FCALL", "f", *(argv or (0,)))

    def test_arguments(self) -> None:
        self.load(f"local n = 0 {REGISTER}('f', function(keys, args) n = n + 1 return {{n, keys, args, #keys}} end)")
        self.do_all("FCALL f 2 a b c", "FCALL f 0", "FCALL F 0 x", "FCALL f", "FCALL f x", "FCALL f -1", "FCALL f 5 1",
                    "FCALL f 1.0 x", "FCALL none 0", "FCALL none x", "FCALL_RO f 0", "FCALL_RO none 0",
                    "fcall f 1 k")  # fmt: skip
        self.call("keys[1] = 'z' return keys", 1, "a")
        self.load(f"{REGISTER}('f', function(...) return select('#', ...) end)")
        self.do("FCALL", "f", 1, "a")

    def test_results(self) -> None:
        for body in RESULTS:
            self.call(body, 1, "key", "arg")
        self.same_digest()

    def test_results_in_resp3(self) -> None:
        self.both("HELLO", 3)
        for body in ("return {double = 3.5}", "return {map = {a = 1}}", "return {set = {a = true}}", "return true",
                     "return nil",
                     "redis.setresp(3) return true",
                     "redis.setresp(3) return redis.call('hgetall', 'none')"):  # fmt: skip
            self.call(body)
        self.load(f"{REGISTER}{{function_name='f', callback=function() end, flags={{'no-writes', 'allow-oom'}}}}")
        self.do("FUNCTION", "LIST", "WITHCODE")
        self.do("FUNCTION", "STATS")

    def test_errors(self) -> None:
        for body in ERRORS:
            self.call(body)
        self.same_digest()

    def test_globals(self) -> None:
        listed = ", ".join(f"'{name}'" for name in NAMES.split())
        self.call(f"local r = {{}} for _, n in ipairs({{{listed}}}) do r[#r + 1] = type(rawget(_G, n)) end return r")
        self.call("local n = 0 for _ in pairs(_G) do n = n + 1 end return n")
        self.call("local r = {} for k in pairs(redis) do r[#r + 1] = k end table.sort(r) return r")
        self.call("return {redis.foo == nil, getmetatable(_G) ~= nil, type(redis.register_function)}")

    def test_what_was_kept_from_loading(self) -> None:
        """The small `redis` of the time of loading stays what it was."""
        for body in (f"local r = redis {REGISTER}('f', function() return r.call('get', 'x') end)",
                     f"local r = redis {REGISTER}('f', function() r.log(1, 2) return redis.foo end)",
                     f"local reg = {REGISTER} reg('f', function() local x = reg('g', function() end) end)",
                     f"{REGISTER}('f', redis.log)"):  # fmt: skip
            self.load(body)
            self.do("FCALL", "f", 0)

    def test_libraries_do_not_see_each_other(self) -> None:
        for name in ("one", "two"):
            self.load(f"local n = 0 {REGISTER}('{name}', function() n = n + 1 return n end)", name=name)
        self.do_all("FCALL one 0", "FCALL one 0", "FCALL two 0", "FCALL one 0")
        self.load(f"local n = 10 {REGISTER}('one', function() n = n + 1 return n end)", name="one")
        self.do_all("FCALL one 0", "FCALL two 0", "EVAL one 0")

    def test_flags(self) -> None:
        write, read = "return redis.call('incr', 'n')", "return redis.call('get', 'n')"
        for flags in ("", "'no-writes'", "'allow-oom'", "'allow-stale', 'no-writes'", "'no-cluster'"):
            for body in (write, read):
                self.load(f"{REGISTER}{{function_name='f', callback=function() {body} end, flags={{{flags}}}}}")
                self.do_all("FCALL f 0", "FCALL_RO f 0", "MULTI", "FCALL f 0", "EXEC")
        self.same_digest()

    def test_admission(self) -> None:
        """A function counts as a command that writes and needs memory, unless its flags say otherwise."""
        self.load("".join(
            f"{REGISTER}{{function_name='f{index}', flags={{{flags}}}, "
            f"callback=function() return redis.call('{word}', 'x') end}}\n"
            for index, (word, flags) in enumerate((
                ("get", ""), ("incr", ""), ("get", "'no-writes'"), ("get", "'allow-oom'"), ("incr", "'allow-oom'"),
                ("get", "'no-writes', 'allow-stale'"), ("get", "'allow-stale'"),
            ))
        ))  # fmt: skip
        states: list[tuple[tuple[Argument, ...], tuple[Argument, ...]]] = [
            (("CONFIG", "SET", "maxmemory", "1"), ("CONFIG", "SET", "maxmemory", "0")),
            (("CONFIG", "SET", "min-replicas-to-write", "1"), ("CONFIG", "SET", "min-replicas-to-write", "0")),
            (("REPLICAOF", "127.0.0.1", "1"), ("PING",)),
            (("CONFIG", "SET", "replica-serve-stale-data", "no"), ("CONFIG", "SET", "replica-serve-stale-data", "yes")),
        ]
        self.addCleanup(self.both, "REPLICAOF", "NO", "ONE")
        for enter, leave in states:
            self.do(*enter)
            for index in range(7):
                self.do("FCALL", f"f{index}", 0)
                self.do("FCALL_RO", f"f{index}", 0)
            self.do("EVAL", "#!lua\nreturn 1", 0)
            self.do("EVAL_RO", "#!lua flags=no-writes\nreturn 1", 0)
            self.do("EVAL", "return 1", 0)
            self.do(*leave)

    def test_positions_of_keys(self) -> None:
        for line in ("FCALL f 2 a b c", "FCALL f 0", "FCALL_RO f 1 a", "FCALL f x", "FCALL f 9 a", "FCALL f -1 a"):
            self.do("COMMAND", "GETKEYS", *line.split())

    def test_memory_is_bounded(self) -> None:
        """A function that needs too much ends; the libraries live on, with the variables of a fresh load."""
        ours = self.pair.ours
        ours.must("FUNCTION", "LOAD", library(
            f"local kept = 5 {REGISTER}('eat', function() local s = 'x' while true do s = s .. s end end) "
            f"{REGISTER}('get', function() return kept end) {REGISTER}('set', function() kept = 6 end)"
        ))  # fmt: skip
        ours.must("FCALL", "set", 0)
        self.assertIn("not enough memory", str(ours.call("FCALL", "eat", 0)))
        self.assertIn(ours.must("FCALL", "get", 0), (5, 6))
        self.assertIn("not enough memory", str(ours.call("FCALL", "eat", 0)))
        self.assertEqual(len(ours.must("FUNCTION", "LIST")), 1)


class DumpAndRestore(FunctionTestCase):
    """Payloads of either server on both."""

    def setUp(self) -> None:
        super().setUp()
        self.load(f"{REGISTER}('f', function() return 'one' end)", name="one")
        self.load(f"{REGISTER}('g', function() return 'two' end) -- {'x' * 500}", name="two")

    def payloads(self) -> list[bytes]:
        """The same libraries, dumped by each."""
        return [bytes(connection.must("FUNCTION", "DUMP")) for connection in (self.pair.real, self.pair.ours)]

    def test_exchange(self) -> None:
        for payload in self.payloads():
            for policy in ((), ("APPEND",), ("REPLACE",), ("flush",)):
                self.both("FUNCTION", "RESTORE", payload, *policy)  # which library collides first is chance
                self.same_list("WITHCODE")
            self.do("FUNCTION", "FLUSH")
            self.do("FUNCTION", "RESTORE", payload)
            self.same_list("WITHCODE")
            self.do_all("FCALL f 0", "FCALL g 0")

    def test_nothing_to_dump(self) -> None:
        self.do("FUNCTION", "FLUSH")
        payload = self.do("FUNCTION", "DUMP")
        self.load(DO_NOTHING)
        for policy in ("APPEND", "REPLACE", "FLUSH"):
            self.do("FUNCTION", "RESTORE", payload, policy)
            self.same_list()

    def test_collisions(self) -> None:
        same_library = dump_functions([library(f"{REGISTER}('x', function() end)", "one").encode()])
        same_function = dump_functions([library(f"{REGISTER}('F', function() end)", "three").encode()])
        twice = dump_functions([library(f"{REGISTER}('{name}', function() end)", "four").encode() for name in "xy"])
        crossed = dump_functions([library(DO_NOTHING, name).encode() for name in ("five", "six")])
        codes = (b"", b"x", b"#!lua name=x\nfoo()", b"#!lua name=x\nx(", b"#!lua name=x\n")
        broken = [dump_functions([code]) for code in codes]
        for payload in (same_library, same_function, twice, crossed, *broken):
            for policy in ("APPEND", "REPLACE", "FLUSH"):
                self.do("FUNCTION", "RESTORE", payload, policy)
                self.same_list()

    def test_damaged(self) -> None:
        """Every byte changed in turn, and cut at every place."""
        self.do("FUNCTION", "FLUSH")
        payload = dump_functions([library(DO_NOTHING).encode()])
        for at in range(len(payload)):
            changed = payload[:at] + bytes([payload[at] ^ 0x41]) + payload[at + 1 :]
            for damaged in (changed, payload[:at]):
                self.do("FUNCTION", "RESTORE", damaged)
        self.same_list()

    def test_wrong_contents(self) -> None:
        """A right checksum around something else."""
        self.do("FUNCTION", "FLUSH")
        code = library(DO_NOTHING).encode()
        text = b"\x00" + bytes([len(code)]) + code
        for data in (text, b"\xff", b"\xf5", b"\xf5\x05abc", b"\xf5\xc3\x05\x05abc", b"\xf5\xc0\x05"):
            self.do("FUNCTION", "RESTORE", with_footer(data))
        self.same_list()


#: Few names, so that they collide; no functions that differ in case alone, which ends the real server.
_codes = st.builds(
    lambda name, names: library("".join(f"{REGISTER}('{one}', function() return '{name}' end) " for one in names), name),
    st.sampled_from(["one", "two", "ONE"]),
    st.lists(st.sampled_from(["f", "g", "h"]), max_size=1),  # of two collisions Redis tells that of either
)
_steps = st.one_of(
    st.builds(lambda code, more: ("LOAD", *more, code), _codes, st.sampled_from([(), ("REPLACE",)])),
    st.sampled_from([("DELETE", "one"), ("DELETE", "two"), ("DELETE", "ONE"), ("FLUSH",), ("STATS",)]),
    st.builds(
        lambda code, policy: ("RESTORE", dump_functions([code.encode()]), policy),
        _codes,
        st.sampled_from(["APPEND", "REPLACE", "FLUSH"]),
    ),
)


class RandomSequences(FunctionTestCase):
    """Whatever the order of changes: the same replies, the same libraries, the same functions."""

    @settings(max_examples=50, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(_steps, min_size=3, max_size=10))
    def test_random(self, steps: list[tuple[Argument, ...]]) -> None:
        self.do("FUNCTION", "FLUSH")
        for step in steps:
            self.do("FUNCTION", *step)
        self.same_list("WITHCODE")
        for name in "fgh":
            self.do("FCALL", name, 0)


def with_footer(data: bytes, version: int = 10) -> bytes:
    """A payload around `data`, whatever that is."""
    data += version.to_bytes(2, "little")
    return data + int(anycrc.Model("CRC64-REDIS").calc(data)).to_bytes(8, "little")


class Travelling(SynchronousTestCase):
    """Libraries in replication and snapshots, between replicad and real servers."""

    counter = library(f"{REGISTER}('count', function(keys) return redis.call('incr', keys[1]) end)")
    more = library(f"{REGISTER}('more', function() return 'more' end)", "second")

    def codes(self, node: Node) -> list[bytes]:
        """The code of every library."""
        return sorted(bytes(one[-1]) for one in node.call("FUNCTION", "LIST", "WITHCODE"))

    def follow(self, master: Node, replica: Node) -> None:
        """Libraries before the image, in the stream, changed, and gone."""
        need_reference()
        master.client().must("FUNCTION", "LOAD", self.counter)
        replica.client().must("FUNCTION", "LOAD", library(f"{REGISTER}('old', function() end)", "old"))
        replica.call("REPLICAOF", "127.0.0.1", master.port)
        wait_in_sync(master, replica)
        self.assertEqual(self.codes(replica), [self.counter.encode()])
        for _ in range(3):
            master.client().must("FCALL", "count", 1, "n")
        steps: list[tuple[Argument, ...]] = [
            ("LOAD", self.more), ("LOAD", "REPLACE", self.more.replace("'more' end", "'less' end")), ("DELETE", "second"),
            ("RESTORE", dump_functions([self.more.encode()])), ("FLUSH",), ("LOAD", self.more),
        ]  # fmt: skip
        for step in steps:
            master.client().must("FUNCTION", *step)
            master.client().must("FLUSHALL" if step[0] == "FLUSH" else "PING")
            wait_in_sync(master, replica)
            self.assertEqual(self.codes(replica), self.codes(master), step)
        for command in ("FCALL", "FCALL_RO"):
            refused = str(replica.client().call(command, "more", 0))
            self.assertEqual(refused, "READONLY You can't write against a read only replica.")

    def test_real_replica(self) -> None:
        self.follow(Replicad(self).start(), RealServer(self).start())

    def test_real_master(self) -> None:
        self.follow(RealServer(self).start(), Replicad(self).start())

    def test_chain(self) -> None:
        need_reference()
        master, middle = RealServer(self).start(), Replicad(self).start()
        last = RealServer(self).start()
        master.client().must("FUNCTION", "LOAD", self.counter)
        middle.call("REPLICAOF", "127.0.0.1", master.port)
        last.call("REPLICAOF", "127.0.0.1", middle.port)
        wait_in_sync(master, middle, last)
        master.client().must("FUNCTION", "LOAD", self.more)
        wait_in_sync(master, middle, last)
        self.assertEqual(self.codes(last), sorted([self.counter.encode(), self.more.encode()]))

    def test_restart(self) -> None:
        for backend in ("rdb", "lmdb"):
            node = Replicad(self, {"snapshot-backend": backend}).start()
            node.client().must("FUNCTION", "LOAD", self.counter)
            node.client().must("FUNCTION", "LOAD", self.more)
            node.client().must("SAVE")
            node.client().must("FUNCTION", "DELETE", "second")
            node.client().must("SAVE")
            node.client().must("FUNCTION", "LOAD", library(DO_NOTHING, "unsaved"))
            node.restart(how="kill")
            self.assertEqual(self.codes(node), [self.counter.encode()])
            self.assertEqual(node.call("FCALL", "count", 1, "n"), 1)

    def test_file_of_the_real_server(self) -> None:
        need_reference()
        real = RealServer(self, {"save": "3600 1"}).start()
        real.client().must("FUNCTION", "LOAD", self.counter)
        real.client().must("SAVE")
        ours = Replicad(self)
        (ours.directory / "dump.rdb").write_bytes((real.directory / "dump.rdb").read_bytes())
        ours.start()
        self.assertEqual(self.codes(ours), [self.counter.encode()])
        self.assertEqual(ours.call("FCALL", "count", 1, "n"), 1)

    def test_busy(self) -> None:
        """A function that does not end: what it is, and its end."""
        node = Replicad(self, {"busy-reply-threshold": 50}).start()
        node.client().must("FUNCTION", "LOAD", library(f"{REGISTER}('loop', function() while true do end end)"))
        replies: list[Any] = []
        worker = Thread(target=lambda: replies.append(node.client().call("FCALL", "loop", 1, "a", "b")))
        worker.start()
        other = node.client()
        wait_until(lambda: str(other.call("PING")).startswith("BUSY"), 5, "BUSY")
        self.assertEqual(
            str(other.call("GET", "x")),
            "BUSY Redis is busy running a script. You can only call FUNCTION KILL or SHUTDOWN NOSAVE.",
        )
        stats = other.must("FUNCTION", "STATS")[1]
        self.assertEqual(stats[:4], [b"name", b"loop", b"command", [b"FCALL", b"loop", b"1", b"a", b"b"]])
        self.assertGreaterEqual(stats[5], 50)
        self.assertTrue(str(other.call("SCRIPT", "KILL")).startswith("BUSY"))
        other.must("FUNCTION", "KILL")
        worker.join(5)
        self.assertIn("Script killed by user", str(replies[0]))
        other.must("PING")


class Kept(SynchronousTestCase):
    """What cannot be loaded is data all the same."""

    def test_a_library_that_cannot_run(self) -> None:
        server = Server(load(None, [("save", ""), ("logfile", "/dev/null")]))
        good, bad = library(DO_NOTHING).encode(), library("something_newer()", "newer").encode()
        server.functions = (bad, good)
        self.assertEqual(set(server.functions), {good, bad})
        self.assertEqual(server.libraries.function_count, 1)
        started = time.monotonic()
        server.functions = ()
        self.assertEqual(server.functions, ())
        self.assertLess(time.monotonic() - started, 1)
