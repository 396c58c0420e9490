"""Scripts that run for too long: BUSY, SCRIPT KILL, SHUTDOWN NOSAVE, and the peers that must survive them."""

from __future__ import annotations

import time
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.support.connection import Closed, Connection, RespError
from tests.support.servers import RealServer, Replicad, offset, wait_in_sync, wait_until
from tests.support.twohead import Pair, TwoHeadedTestCase

#: Loops that end only when they are stopped; each looks for another way out.
LOOPS = (
    "while true do end",
    "while true do pcall(function() while true do end end) end",
    "coroutine.wrap(function() while true do end end)()",
    "local co = coroutine.create(function() while true do end end) while true do coroutine.resume(co) end",
    "while true do redis.call('get', 'k') end",
    "for i = 1, 1e12 do pcall(error) end",
    "while true do redis.pcall('nope') end",
    "local function f() return f() end f()",
    "while true do xpcall(error, function() while true do end end) end",
)
ENDLESS = "redis.call('set', 'w', '1') while true do end"


def is_busy(one: Connection) -> bool:
    """Whether a script runs for too long there."""
    reply = one.call("PING")
    return isinstance(reply, RespError) and reply.text.startswith("BUSY")


class Busy(TwoHeadedTestCase):
    """Both servers with a threshold of 20 ms."""

    def setUp(self) -> None:
        super().setUp()
        self.do("CONFIG", "SET", "busy-reply-threshold", "20")
        self.addCleanup(self.do, "CONFIG", "SET", "busy-reply-threshold", "5000")
        self.running = Pair(self, 2, 10.0)

    def wait_busy(self) -> None:
        for one in (self.pair.real, self.pair.ours):
            wait_until(lambda: is_busy(one), 10, "BUSY")  # noqa: B023

    def test_loops_are_stopped(self) -> None:
        for body in LOOPS:
            if "xpcall" in body or "resume" in body or "error" in body:  # the real server needs seconds, or never comes back
                self.stop_ours(body)
                continue
            self.running.send("EVAL", body, "0")
            self.running.send("ECHO", "behind")
            self.wait_busy()
            self.do("GET", "k")
            self.do("SCRIPT", "KILL")
            self.running.read(body)
            self.running.read()
            self.do("SCRIPT", "KILL")

    def stop_ours(self, body: str) -> None:
        """Without comparison."""
        ours, running = self.pair.ours, self.running.ours
        running.send("EVAL", body, "0")
        wait_until(lambda: is_busy(ours), 10, "BUSY")
        ours.must("SCRIPT", "KILL")
        reply = running.read_reply()
        self.assertIn("Script killed by user with SCRIPT KILL", reply.text)

    def test_what_is_allowed_meanwhile(self) -> None:
        self.running.send("EVAL", LOOPS[0], "0")
        self.wait_busy()
        third = Pair(self, 2, 10.0)  # new connections are accepted
        for line in (
            *("PING", "GET k", "SET k v", "INFO", "EVAL x 0", "EVALSHA x 0", "SCRIPT LOAD x", "SCRIPT FLUSH", "CLIENT LIST"),
            *("CONFIG GET port", "MULTI", "SET k v", "EXEC", "WATCH k", "UNWATCH", "MULTI", "DISCARD", "SUBSCRIBE c"),
            *("SHUTDOWN", "SHUTDOWN SAVE", "DEBUG SLEEP 0", "AUTH x", "nosuch", "GET", "PUBLISH c m", "RESET"),
        ):
            third.do(*line.split())
        self.do("SCRIPT", "KILL")
        self.running.read()
        third.do("GET", "k")

    def test_a_script_that_has_written(self) -> None:
        body = "redis.call('set', 'w', '1') for i = 1, 4e7 do local x = i end return 'end'"
        for other, one in ((self.pair.real, self.running.real), (self.pair.ours, self.running.ours)):
            one.send("EVAL", body, "0")
            wait_until(lambda: is_busy(other), 5, "BUSY")  # noqa: B023
            self.assertIn("UNKILLABLE Sorry the script already executed write commands", other.call("SCRIPT", "KILL").text)
            self.assertEqual(one.read_reply(), b"end")
        self.same_digest()

    def test_in_a_transaction(self) -> None:
        for line in (("MULTI",), ("SET", "k", "v"), ("EVAL", LOOPS[0], "0"), ("GET", "k")):
            self.running.do(*line)
        self.running.send("EXEC")
        self.wait_busy()
        self.do("SCRIPT", "KILL")  # the transaction has written, the script has not
        self.running.read()
        self.do("GET", "k")

    def test_the_client_goes_away(self) -> None:
        """Its script goes on; nothing breaks when it ends."""
        self.running.send("EVAL", LOOPS[0], "0")
        self.wait_busy()
        self.running.close()
        self.do("SCRIPT", "KILL")
        for one in (self.pair.real, self.pair.ours):
            wait_until(lambda: not is_busy(one), 10, "the end")  # noqa: B023
        self.do("PING")

    def test_many_clients_are_answered(self) -> None:
        self.running.ours.send("EVAL", LOOPS[0], "0")
        wait_until(lambda: is_busy(self.pair.ours), 10, "BUSY")
        port = self.pair.ours.socket.getpeername()[1]
        clients = [Connection(port) for _ in range(50)]
        for client in clients:
            client.send_raw(b"PING\r\n" * 100)
        for client in clients:
            for _ in range(100):
                self.assertTrue(client.read_reply().text.startswith("BUSY"))
            client.close()
        self.pair.ours.must("SCRIPT", "KILL")
        self.assertIn("killed", self.running.ours.read_reply().text)
        self.assertEqual(self.pair.ours.must("PING"), b"PONG")


class Ends(SynchronousTestCase):
    """Servers of their own, which end or lose their peers."""

    def node(self, **directives: Any) -> Replicad:
        node = Replicad(self, {"busy-reply-threshold": 20, **{name.replace("_", "-"): v for name, v in directives.items()}})
        node.start()
        return node

    def test_shutdown_nosave(self) -> None:
        node = self.node()
        running, other = Connection(node.port), Connection(node.port)
        for one in (running, other):
            self.addCleanup(one.close)
        running.send("EVAL", ENDLESS, "0")
        wait_until(lambda: is_busy(other), 10, "BUSY")
        self.assertTrue(is_busy(other))
        other.send("SHUTDOWN", "NOSAVE")
        with self.assertRaises(Closed):
            other.read_reply()
        wait_until(lambda: not node.running, 10, "the end")

    def test_replicas_get_all_or_nothing(self) -> None:
        """Effects are seen when the script has ended, in one piece; the links outlive it."""
        master = self.node()
        replica = RealServer(self, {"replicaof": f"127.0.0.1 {master.port}"})
        replica.start()
        wait_in_sync(master, replica)
        running = Connection(master.port)
        self.addCleanup(running.close)
        running.send("EVAL", "redis.call('set', 'a', 1) for i = 1, 3e7 do local x = i end redis.call('set', 'b', 2)", "0")
        with Connection(master.port) as other:
            wait_until(lambda: is_busy(other), 10, "BUSY")
        self.assertEqual(replica.call("EXISTS", "a"), 0)
        self.assertIsNone(running.read_reply())
        wait_in_sync(master, replica)
        self.assertEqual([replica.call("GET", name) for name in "ab"], [b"1", b"2"])
        self.assertEqual(replica.info("replication")["master_link_status"], "up")
        self.assertEqual(master.info("stats")["sync_full"], "1")

    def test_a_replica_runs_a_long_script(self) -> None:
        """What the master sends meanwhile comes after the script."""
        master = RealServer(self, {"repl-diskless-sync-delay": 0})
        master.start()
        replica = self.node(replicaof=f"127.0.0.1 {master.port}")
        wait_in_sync(master, replica)
        running, other = Connection(replica.port), Connection(replica.port)
        for one in (running, other):
            self.addCleanup(one.close)
        get = "redis.call('get', 'n')"
        body = f"local before = {get} for i = 1, 3e7 do local x = i end return {{before, {get}}}"
        running.send("EVAL", body, "0")
        wait_until(lambda: is_busy(other), 10, "BUSY")
        master.call("SET", "n", "1")
        self.assertEqual(running.read_reply(), [None, None])
        wait_in_sync(master, replica)
        self.assertEqual(replica.call("GET", "n"), b"1")
        self.assertEqual(offset(replica), offset(master))
        self.assertEqual(master.info("stats")["sync_full"], "1")

    def test_timers_go_on_afterwards(self) -> None:
        node = self.node()
        with Connection(node.port) as one:
            one.must("SET", "k", "v", "PX", "50")
            one.must("EVAL", "for i = 1, 2e7 do local x = i end return 1", "0")
            wait_until(lambda: node.info("stats")["expired_keys"] == "1", 5, "the expired key")
        started = time.monotonic()
        with Connection(node.port) as one:
            one.must("BLPOP", "l", "0.05")
        self.assertLess(time.monotonic() - started, 2)
