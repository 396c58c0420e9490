"""Scripts beside a real redis-server: replies, error texts and their places, conversions, gates, statistics."""

from __future__ import annotations

import hashlib
import random
import re
import time
from collections.abc import Iterable
from typing import Any

import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.interop import scripting_table as table
from tests.support.connection import Connection, RespError
from tests.support.servers import Replicad
from tests.support.twohead import TwoHeadedTestCase, shared

GROUPS = (table.SANDBOX, table.ERRORS, table.LUA, table.REDIS, table.CALLS, table.REPLIES, table.SHEBANGS)

#: How a script shows the type of everything in a value.
SHOW = (
    "local function show(v) if type(v) ~= 'table' then return type(v) .. ':' .. tostring(v) end local t = {} "
    "for k, x in pairs(v) do t[#t + 1] = tostring(k) .. '=' .. show(x) end table.sort(t) "
    "return '{' .. table.concat(t, ',') .. '}' end "
)
SHOWN = """
'hgetall','h'|'smembers','st'|'zscore','z','m'|'get','nope'|'zrange','z',0,-1,'withscores'|'exists','s'|'lrange','nope',0,-1
'ping'|'ping','x'|'mget','a','s'|'set','q','1'|'type','s'|'geopos','z','q'|'zmscore','z','m','n'|'zrandmember','z',1
'xadd','x','1-1','a','b'|'xrange','x','-','+'|'xread','streams','x','0'|'xinfo','stream','x'
'hrandfield','h',1,'withvalues'|'zpopmin','zz',2|'lmpop',1,'nope','left'|'incrbyfloat','f',1.5|'sismember','st','a'
'object','encoding','s'|'zadd','z','incr',1,'m'|'zrank','z','nope'|'spop','nope'|'command','getkeys','set','a','b'
"""


class Scripts(TwoHeadedTestCase):
    """Each script of the table on both servers."""

    def prepare(self) -> None:
        for line in ("SET s x", "HSET h a 1", "SADD st a", "ZADD z 1.5 m"):
            self.do(*line.split())

    def run_all(self, scripts: Iterable[str]) -> None:
        self.prepare()
        for script in scripts:
            self.do("EVAL", script, "0")

    def test_the_table(self) -> None:
        for group in GROUPS:
            self.run_all(group)
            self.do("FLUSHALL")

    def test_replies_after_setresp(self) -> None:
        self.run_all(f"redis.setresp(3); {script}" for script in table.REPLIES)

    def test_what_commands_return(self) -> None:
        self.prepare()
        for call in SHOWN.replace("\n", "|").strip("|").split("|"):
            for version in ("", "redis.setresp(3) "):
                self.do("EVAL", f"{SHOW}{version}return show(redis.call({call}))", "0")

    def test_deep_tables(self) -> None:
        for script in (
            "local t = {} t[1] = t return t",
            "local t = {} t.map = {a = t} return t",
            "local t = {} t.set = {[t] = 1} return t",
        ):
            replies = []
            for one in (self.pair.real, self.pair.ours):
                one.send("EVAL", script, "0")
                data = b""
                while not data.endswith(b"limit\r\n"):  # too deep for a parser
                    data += one.recv_raw()
                replies.append(data)
            self.assertEqual(replies[0], replies[1])

    def test_keys_and_arguments(self) -> None:
        show = "return {KEYS, ARGV, #KEYS, #ARGV}"
        for count, args in ((0, ""), (0, "x"), (1, "k"), (1, "kab"), (2, "kla"), (3, "abc")):
            self.do("EVAL", show, count, *args)
        for total in (49, 50, 51, 9000):  # few are passed to Lua in another way than many
            for count in (0, 1, 2, total):
                self.do("EVAL", show, count, *range(total))
        self.do("EVAL", "return {KEYS, ARGV}", 1, b"\0\r\n\xff", b"")

    def test_arguments_of_the_commands(self) -> None:
        sha = hashlib.sha1(b"return 1").hexdigest()
        for args in (
            *(("EVAL",), ("EVAL", "return 1"), ("EVAL", "return 1", "x"), ("EVAL", "return 1", "-1")),
            *(("EVAL", "return 1", "2", "a"), ("EVAL", "return (", "0"), ("EVAL", "return (", "x"), ("EVAL", "", "0")),
            *(("SCRIPT", "FLUSH"), ("EVALSHA", sha, "0"), ("EVALSHA", "x", "0"), ("EVALSHA", sha, "y"), ("EVALSHA",)),
            *(("SCRIPT", "LOAD", "return 1"), ("EVALSHA", sha, "0"), ("EVALSHA", sha.upper(), "0")),
            *(("EVALSHA_RO", sha, "0"), ("EVALSHA", sha, "1"), ("SCRIPT", "EXISTS", sha, "x", sha.upper())),
            *(("SCRIPT", "EXISTS"), ("SCRIPT", "LOAD"), ("SCRIPT", "LOAD", "return ("), ("SCRIPT", "LOAD", "#!lua x\n")),
            *(("SCRIPT", "FLUSH", "x"), ("SCRIPT", "FLUSH", "ASYNC", "x"), ("SCRIPT", "FLUSH", "async")),
            *(("SCRIPT", "EXISTS", sha), ("SCRIPT", "FLUSH", "SYNC"), ("SCRIPT",), ("SCRIPT", "x"), ("SCRIPT", "KILL")),
            *(("SCRIPT", "KILL", "x"), ("SCRIPT", "DEBUG"), ("SCRIPT", "DEBUG", "x"), ("SCRIPT", "DEBUG", "no")),
            *(("EVAL_RO", "return redis.call('set','a','b')", "0"), ("EVAL_RO", "return redis.call('get','a')", "0")),
            *(("EVAL_RO", "#!lua\nreturn 1", "0"), ("EVAL_RO", "#!lua flags=no-writes\nreturn 1", "0")),
            *(("EVAL_RO", "return redis.call('pfcount','a')", "0"),),
            *(("EVAL_RO", "return redis.call('publish','a','b')", "0"),),
        ):
            self.do(*args)

    def test_random_numbers(self) -> None:
        for seed in (0, 1, 5, -7, 123456789, 2**31, 2**32 + 5, 1.9):
            self.do(
                "EVAL",
                f"math.randomseed({seed}) local t = {{}} for i = 1, 20 do t[i] = tostring(math.random()) end "
                "for i = 1, 20 do t[#t + 1] = math.random(1000) t[#t + 1] = math.random(-5, i) end return t",
                "0",
            )

    def test_in_a_transaction(self) -> None:
        named = {"script": "return redis.call('set', KEYS[1], ARGV[1])", "wrong": "return redis.call('incr', 's')"}
        for line in (
            *("MULTI", "EVAL script 1 k v", "EVALSHA nope 0", "EVAL wrong 0", "GET k", "EXEC", "GET k"),
            *("WATCH k", "EVAL script 1 k w", "MULTI", "GET k", "EXEC"),
        ):
            self.do(*(named.get(word, word) for word in line.split()))
        self.same_digest()

    def test_databases(self) -> None:
        for line in (
            "redis.call('select', 2) redis.call('set', 'a', 2) return redis.call('get', 'a')",
            "return redis.call('get', 'a')",
            "redis.call('set', 'a', 0) redis.call('select', 1) return redis.call('get', 'a')",
            "return redis.call('move', 'a', 3)",
            "return redis.call('swapdb', 0, 2)",
            "return redis.call('get', 'a')",
            "return redis.call('select', 99)",
            "redis.call('flushall') return redis.call('dbsize')",
        ):
            self.do("EVAL", line, "0")
        self.same_digest()

    def test_time_stands_still(self) -> None:
        slow = "local i = 0 for j = 1, 1e6 do i = i + 1 end "
        self.do("EVAL", f"redis.call('set', 't', 'v', 'px', 3) {slow} return redis.call('get', 't')", "0")
        time.sleep(0.01)
        self.do("EVAL", "return redis.call('exists', 't')", "0")

    def test_nothing_blocks(self) -> None:
        for call in (
            *("'blpop','l',0", "'brpoplpush','a','b',0", "'blmove','a','b','left','left',0", "'bzpopmin','z',0"),
            *("'wait',1,0",),
            *("'blmpop',0,1,'l','left'", "'bzmpop',0,1,'z','min'", "'xread','block',0,'streams','x','$'"),
            *("'XREADGROUP','group','g','c','block',0,'streams','x','>'", "'xread','block','nope'"),
        ):
            self.do("EVAL", f"return redis.call({call})", "0")

    def test_serves_those_who_wait(self) -> None:
        waiting = self.other()
        waiting.send("BLPOP", "l", "0")
        self.wait_blocked()
        self.do("EVAL", "redis.call('rpush', 'l', 'a', 'b') return redis.call('llen', 'l')", "0")
        waiting.read()
        self.do("LRANGE", "l", "0", "-1")

    def other(self) -> Any:
        """Another pair of connections."""
        return type(self.pair)(self, self.resp, 10.0)


class ScriptsInResp3(Scripts):
    """The same to clients that speak RESP3."""

    resp = 3


class Gates(TwoHeadedTestCase):
    """The state of the server against scripts and their flags."""

    SCRIPTS = (
        *("return 1", "return redis.call('set','a','1')", "return redis.call('get','a')"),
        *("return redis.pcall('set','a','1')",),
        *("#!lua\nreturn 1", "#!lua flags=no-writes\nreturn redis.call('get','a')", "return redis.call('publish','x','y')"),
        *("#!lua flags=allow-oom\nreturn redis.call('set','a','1')",),
        *("redis.call('del','s') return redis.call('set','a','1')",),
        *("#!lua flags=allow-oom,no-writes\nreturn redis.call('get','a')", "#!lua flags=allow-stale\nreturn 1"),
        *("#!lua flags=no-writes,allow-stale\nreturn redis.call('get','a')", "return redis.call('del','a')"),
        *("#!lua flags=no-writes,allow-stale\nreturn redis.call('echo','a')", "return redis.call('echo','a')"),
    )

    def run_all(self) -> None:
        for script in self.SCRIPTS:
            self.do("EVAL", script, "0")
            self.do("EVAL_RO", script, "0")

    def configure(self, **directives: str) -> None:
        for name, value in directives.items():
            old = self.pair.real.must("CONFIG", "GET", name.replace("_", "-"))[1]
            self.do("CONFIG", "SET", name.replace("_", "-"), value)
            self.addCleanup(self.do, "CONFIG", "SET", name.replace("_", "-"), old)

    def test_no_special_state(self) -> None:
        self.run_all()

    def test_out_of_memory(self) -> None:
        self.do("SET", "s", "x")
        self.configure(maxmemory="1")
        self.run_all()

    def test_too_few_replicas(self) -> None:
        self.configure(min_replicas_to_write="1")
        self.run_all()

    def test_a_replica_without_its_master(self) -> None:
        self.addCleanup(self.do, "REPLICAOF", "NO", "ONE")
        self.do("REPLICAOF", "127.0.0.1", "1")
        self.run_all()
        self.configure(replica_serve_stale_data="no")
        self.run_all()
        for line in ("SCRIPT LOAD x=1", "SCRIPT EXISTS x", "SCRIPT FLUSH", "EVALSHA x 0"):
            self.do(*line.split())

    def test_users(self) -> None:
        rules = "on nopass +eval +eval_ro +get +select +publish ~a* &x".split()
        self.do("ACL", "LOG", "RESET")
        self.do("ACL", "SETUSER", "bob", *rules)
        self.addCleanup(self.do, "ACL", "DELUSER", "bob")
        self.addCleanup(self.do, "ACL", "LOG", "RESET")
        pair = type(self.pair)(self, 2, 10.0)
        pair.do("AUTH", "bob", "x")
        for call in (
            *("call('get','a')", "call('get','b')", "call('set','a','1')", "pcall('set','a','1')", "call('select',1)"),
            *("call('publish','x','m')", "call('publish','y','m')", "call('keys','*')", "acl_check_cmd('set','a','1')"),
            *("acl_check_cmd('get','a')", "acl_check_cmd('get','b')", "acl_check_cmd('get')"),
            *("acl_check_cmd('publish','y','')",),
        ):
            pair.do("EVAL", f"return redis.{call}", "0")
        pair.do("EVAL", "return 1", "1", "zz")
        seen = []
        for one in (self.pair.real, self.pair.ours):
            entries = [dict(zip(entry[::2], entry[1::2], strict=True)) for entry in one.must("ACL", "LOG")]
            seen.append([(e[b"count"], e[b"reason"], e[b"context"], e[b"object"], e[b"username"]) for e in entries])
        self.assertEqual(seen[1], seen[0])


class Accounts(TwoHeadedTestCase):
    """What MONITOR, SLOWLOG, commandstats, errorstats and INFO make of scripts."""

    SCRIPTS = (
        "redis.call('set','k','v') redis.pcall('incr','s') redis.pcall('nope') return redis.call('get','k')",
        *("return redis.call('incr','s')", "error('x')", "return {err='MY err'}", "return redis.error_reply('FOO bar')"),
        *("return redis.pcall('incr','s')", "x y", "return redis.call('get')", "return redis.call('blpop','k',0)"),
    )

    def run_all(self) -> None:
        self.do("SET", "s", "x")
        for script in self.SCRIPTS:
            self.do("EVAL", script, "0")
        for line in ("EVALSHA nope 0", "MULTI", "EVALSHA nope 0", "EXEC"):
            self.do(*line.split())
        self.do("EVAL_RO", "return redis.call('set','k','v')", "0")

    def test_statistics(self) -> None:
        self.do("CONFIG", "RESETSTAT")
        self.run_all()
        shown = []
        for one in (self.pair.real, self.pair.ours):
            commands = {
                name: re.sub("usec[^,]*,", "", value)
                for name, value in one.info("commandstats").items()
                if re.fullmatch("cmdstat_(eval|evalsha|eval_ro|set|get|incr|exec|blpop)", name)
            }
            shown.append((commands, one.info("errorstats"), one.info("stats")["total_error_replies"]))
        self.assertEqual(shown[1], shown[0])

    def test_monitor(self) -> None:
        lines = []
        watching = [Connection(one.socket.getpeername()[1]) for one in (self.pair.real, self.pair.ours)]
        for one in watching:
            self.addCleanup(one.close)
            one.must("MONITOR")
        self.run_all()
        self.do("ECHO", "end")
        for one in watching:
            data = b""
            while b'"end"\r\n' not in data:
                data += one.recv_raw()
            lines.append(re.sub(rb"\+\d+\.\d+|127[0-9.:]+", b"", data))
        self.assertEqual(lines[1], lines[0])

    def test_slow_log(self) -> None:
        self.addCleanup(self.do, "CONFIG", "SET", "slowlog-log-slower-than", "10000")
        self.do("CLIENT", "SETNAME", "me")
        self.do("CONFIG", "SET", "slowlog-log-slower-than", "0")
        self.do("SLOWLOG", "RESET")
        self.do("EVAL", "redis.call('set','a','b') redis.pcall('incr','a') return 1", "0")
        shown = []
        for one in (self.pair.real, self.pair.ours):
            one.must("CONFIG", "SET", "slowlog-log-slower-than", "10000")
            shown.append([(entry[3], entry[5]) for entry in one.must("SLOWLOG", "GET")])
        self.assertEqual(shown[1][-4:], shown[0][-4:])

    def test_memory_figures(self) -> None:
        for one in (self.pair.real, self.pair.ours):
            one.must("SCRIPT", "FLUSH")
            for number in range(5):
                one.must("EVAL", f"return {number}", "0")
            memory = one.info("memory")
            self.assertEqual(memory["number_of_cached_scripts"], "5")
            for name in ("used_memory_lua", "used_memory_vm_eval", "used_memory_scripts_eval", "used_memory_scripts"):
                self.assertGreater(int(memory[name]), 0, name)


_values = st.recursive(
    st.one_of(
        *(st.integers(-(2**53), 2**53), st.booleans(), st.text("ab\r\n\0é", max_size=8)),
        st.floats(-1e15, 1e15, allow_nan=False),
    ),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["ok", "err", "a", "double", "map"]), inner),
    max_leaves=12,
)


def lua_literal(value: Any) -> str:
    """``value`` as Lua source."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return '"' + "".join(f"\\{byte:03d}" for byte in value.encode()) + '"'
    if isinstance(value, list):
        return "{" + ",".join(map(lua_literal, value)) + "}"
    if isinstance(value, dict):
        return "{" + ",".join(f"[{lua_literal(key)}]={lua_literal(inner)}" for key, inner in value.items()) + "}"
    return repr(value)


class RandomValues(TwoHeadedTestCase):
    """Any Lua value is the same reply."""

    def test_replies(self) -> None:
        @settings(max_examples=300, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
        @given(_values, st.sampled_from([2, 3]))
        def check(value: Any, version: int) -> None:
            self.do("EVAL", f"redis.setresp({version}) return {lua_literal(value)}", "0")

        check()

    def test_arguments(self) -> None:
        chance = random.Random(11)
        for _ in range(200):
            power = 10.0 ** chance.randrange(-300, 300)
            number = chance.choice([chance.uniform(-1e6, 1e6), chance.randrange(-(2**60), 2**60), power])
            self.do("EVAL", f"return redis.call('echo', {number!r})", "0")


class EverydayFlows(TwoHeadedTestCase):
    """What redis-py makes of scripts: registered ones, locks, pipelines."""

    def setUp(self) -> None:
        super().setUp()
        self.client = redis.Redis(port=shared(Replicad).port)
        self.addCleanup(self.client.close)

    def test_register_script(self) -> None:
        multiply = self.client.register_script("return redis.call('get', KEYS[1]) * ARGV[1]")
        self.client.set("n", 7)
        self.assertEqual(multiply(keys=["n"], args=[6]), 42)
        self.client.script_flush()
        self.assertEqual(multiply(keys=["n"], args=[6]), 42)
        self.client.script_flush()
        pipe = self.client.pipeline()
        pipe.set("n", 5)
        multiply(keys=["n"], args=[2], client=pipe)
        self.assertEqual(pipe.execute(), [True, 10])
        with self.assertRaisesRegex(redis.ResponseError, "user_script:1: attempt to perform arithmetic"):
            multiply(keys=["missing"], args=[[]][0:0] or ["x"])

    def test_lock(self) -> None:
        lock = self.client.lock("resource", timeout=10)
        other = self.client.lock("resource", timeout=10, blocking_timeout=0.05)
        self.assertTrue(lock.acquire())
        self.assertFalse(other.acquire())
        self.assertTrue(lock.extend(5))
        self.assertTrue(lock.reacquire())
        lock.release()
        self.assertTrue(other.acquire())
        other.release()
        with self.assertRaises(redis.exceptions.LockError):
            other.release()
        stolen = self.client.lock("resource", timeout=10)
        stolen.acquire()
        self.client.set("resource", "somebody else")
        with self.assertRaises(redis.exceptions.LockNotOwnedError):
            stolen.release()

    def test_eval_of_redis_py(self) -> None:
        sha = self.client.script_load("return {KEYS[1], ARGV[1], 3, false}")
        self.assertEqual(self.client.script_exists(sha, "0" * 40), [True, False])
        self.assertEqual(self.client.evalsha(sha, 1, "a", "b"), [b"a", b"b", 3, None])
        with self.assertRaises(redis.exceptions.NoScriptError):
            self.client.evalsha("f" * 40, 0)
        self.assertIsInstance(Connection(shared(Replicad).port).call("SCRIPT", "KILL"), RespError)
