"""PING, AUTH, HELLO, SELECT, RESET and the CLIENT family, beside a real redis-server."""

from __future__ import annotations

import re
from typing import ClassVar

from twisted.trial.unittest import SynchronousTestCase

from tests.support.connection import Connection
from tests.support.servers import Node, RealServer, Replicad, wait_in_sync, wait_until
from tests.support.twohead import Pair, TwoHeadedTestCase


class Basics(TwoHeadedTestCase):
    def test_ping_echo(self) -> None:
        self.do_all("PING", ("PING", "a b"), "PING a b", "ECHO", ("ECHO", b"\0\xff\r\n"), "ECHO a b", "pInG")
        self.do_all("nosuch", "nosuch a b c", ("nosuch", "x" * 300), ("x" * 300,), ("a\r\nb", "c\r\nd"))
        self.do_all(("no\0such", "a\0b", "c"), ("CLIENT", "a\0b"), ("EXPIRE", "k", "1", "a\0b"))

    def test_select(self) -> None:
        self.do_all("SELECT 5", "SET a 1", "SELECT 0", "GET a", "SELECT 5", "GET a")
        self.do_all("SELECT", "SELECT a", "SELECT 16", "SELECT -1", "SELECT 99999999999", "SELECT 99999999999999999999")
        self.do_all("SELECT 007", "SELECT 1 2", "GET a")

    def test_auth_without_password(self) -> None:
        self.do_all("AUTH x", "AUTH default x", "AUTH foo x", "AUTH a b c", "AUTH", "ACL WHOAMI")

    def test_hello(self) -> None:
        self.do_all("HELLO x", "HELLO 1", "HELLO 4", "HELLO 2 FOO", "HELLO 2 AUTH x", "HELLO 2 AUTH foo bar")
        self.do("HELLO", "99999999999")
        self.do("HELLO", "2", "SETNAME", "a b")
        self.do_all("HELLO 2 SETNAME", "CLIENT GETNAME")
        for words in (("HELLO",), ("HELLO", "3"), ("HELLO",), ("HELLO", "3", "SETNAME", "me"), ("HELLO", "2")):
            real, ours = self.both(*words)
            for reply in (real, ours):
                if isinstance(reply, dict):
                    reply[b"id"] = 0
                else:
                    reply[7] = 0
            self.assertEqual(ours, real, words)
        self.do("CLIENT", "GETNAME")
        self.do("HELLO", "2", "AUTH", "default", "any", "SETNAME", "")  # no password is set: any will do

    def do(self, *args: str | bytes | int) -> object:  # type: ignore[override]
        """As the base class; the id in the reply of HELLO is not compared."""
        if args[0] == "HELLO":
            real, ours = self.both(*args)
            if isinstance(real, list):
                real[7] = ours[7] = 0
            self.assertEqual(ours, real, args)
            return real
        return super().do(*args)

    def test_quit(self) -> None:
        for raw in (b"QUIT\r\n", b"QUIT a b\r\n", b"PING\r\nQUIT\r\nPING\r\n", b"*1\r\n$4\r\nquit\r\n*1\r\n$4\r\nPING\r\n"):
            self.raw(raw)

    def test_reset(self) -> None:
        self.do_all("CLIENT SETNAME me", "SELECT 3", "MULTI", "SET a 1", "RESET", "EXEC", "CLIENT GETNAME", "GET a")
        self.do_all("WATCH a", "RESET", "SUBSCRIBE a", "RESET", "GET a", "RESET x")
        self.pair.send("HELLO", "3")
        self.pair.real.read_reply(), self.pair.ours.read_reply()
        self.do_all("RESET", "CONFIG GET maxmemory")
        self.pair.send("CLIENT", "REPLY", "OFF")
        self.do("RESET")
        self.do("PING")

    def test_subscribed_ping(self) -> None:
        self.do_all("SUBSCRIBE a", "PING", "PING x", "GET a", "PING x y", "UNSUBSCRIBE a", "PING")

    def test_monitored(self) -> None:
        other = self.open_pair()
        other.do("MONITOR")
        self.do_all("SELECT 2", ("SET", "a b", b'x\x00"\n\xff\\\t\a'), "CONFIG GET maxmemory")
        pattern = re.compile(rb'\d+\.\d{6} \[(\d+) 127\.0\.0\.1:\d+\] (.*)', re.DOTALL)
        for db, text in ((b"2", b'"SELECT" "2"'), (b"2", b'"SET" "a b" "x\\x00\\"\\n\\xff\\\\\\t\\a"')):
            for one in (other.real, other.ours):
                match = pattern.fullmatch(one.read_reply())
                assert match is not None
                self.assertEqual((match[1], match[2]), (db, text))
        for words in ("GET a", "SET a 1", "PUBLISH a b", "CONFIG GET maxmemory"):
            other.do(*words.split())
        for kind in (b"PONG", rb'\d+\.\d{6} \[0 127\.0\.0\.1:\d+\] "PING"'):  # it sees what it does itself
            if kind == b"PONG":
                other.send("PING")
            for one in (other.real, other.ours):
                self.assertRegex(one.read_reply(), kind)
        other.do("RESET")
        self.do("GET", "x")
        other.do("PING")


class Clients(TwoHeadedTestCase):
    def test_errors(self) -> None:
        self.do_all(
            *("CLIENT", "CLIENT foo", "CLIENT LIST foo", "CLIENT LIST TYPE zz", "CLIENT LIST TYPE master"),
            *("CLIENT LIST TYPE", "CLIENT LIST TYPE a b", "CLIENT LIST ID", "CLIENT LIST ID x", "CLIENT LIST ID -1"),
            *("CLIENT LIST ID 99999998 99999999", "CLIENT KILL x:1", "CLIENT KILL ID 0", "CLIENT KILL ID x"),
            *("CLIENT KILL ID 99999999 FOO", "CLIENT KILL ID 99999999 FOO x", "CLIENT KILL TYPE zz", "CLIENT KILL"),
            *("CLIENT KILL USER zz", "CLIENT KILL SKIPME zz", "CLIENT KILL ADDR 1:1 LADDR 2:2", "CLIENT KILL ID 99999999"),
            *("CLIENT UNBLOCK x", "CLIENT UNBLOCK 99999999", "CLIENT UNBLOCK 99999999 FOO", "CLIENT UNBLOCK"),
            *("CLIENT UNBLOCK 99999999 ERROR", "CLIENT UNBLOCK 9999999 ERROR X", "CLIENT PAUSE x", "CLIENT PAUSE -1"),
            *("CLIENT PAUSE 1 FOO", "CLIENT PAUSE 1 ALL X", "CLIENT PAUSE 99999999999999999999", "CLIENT PAUSE"),
            *("CLIENT REPLY x", "CLIENT REPLY", "CLIENT NO-EVICT x", "CLIENT NO-EVICT on", "CLIENT NO-EVICT OFF"),
            *("CLIENT TRACKING x", "CLIENT TRACKING off", "CLIENT TRACKINGINFO", "CLIENT GETREDIR"),
            *("CLIENT CACHING yes", "CLIENT UNPAUSE", "CLIENT UNPAUSE x", "CLIENT ID x", "CLIENT INFO x"),
        )

    def test_names(self) -> None:
        self.do("CLIENT", "SETNAME", "a b")
        self.do("CLIENT", "SETNAME", "a\nb")
        self.do("CLIENT", "SETNAME", b"\xc3\xa4")
        self.do_all("CLIENT GETNAME", "CLIENT SETNAME ab", "CLIENT GETNAME", ("CLIENT", "SETNAME", ""), "CLIENT GETNAME")

    def test_setinfo(self) -> None:
        ours = self.pair.ours
        self.assertEqual(ours.must("CLIENT", "SETINFO", "LIB-NAME", "x"), b"OK")
        self.assertEqual(ours.must("CLIENT", "SETINFO", "lib-ver", "1.2"), b"OK")
        self.assertTrue(ours.must("CLIENT", "INFO").endswith(b" lib-name=x lib-ver=1.2\n"))
        self.assertEqual(ours.call("CLIENT", "SETINFO", "foo", "x").text, "ERR Unrecognized option 'foo'")
        self.assertIn("cannot contain spaces", ours.call("CLIENT", "SETINFO", "lib-ver", "a b").text)

    def fields(self, line: bytes) -> dict[str, str]:
        return dict(word.split("=", 1) for word in line.decode().strip().split(" "))

    def test_line(self) -> None:
        """The same fields in the same order; those that do not measure memory have the same values."""
        self.do_all("SELECT 3", "CLIENT SETNAME me", "MULTI", "SET a 1", "CLIENT LIST")
        real, ours = self.both("EXEC")
        for lines in ([real[1], ours[1]], self.both("CLIENT", "INFO"), self.both("CLIENT", "LIST")):
            first, second = self.fields(lines[0]), self.fields(lines[1])
            self.assertEqual(list(first), list(second))
            for name in "name age idle flags db sub psub ssub cmd user redir resp events".split():
                self.assertEqual(second[name], first[name], name)

    def test_list_filters(self) -> None:
        other = self.open_pair()
        other.do("SUBSCRIBE", "a")
        for one in (self.pair.real, self.pair.ours):
            listed = one.must("CLIENT", "LIST", "TYPE", "pubsub").splitlines()
            self.assertEqual([self.fields(line)["flags"] for line in listed], ["P"])
            self.assertEqual(self.fields(listed[0])["sub"], "1")
            number = one.must("CLIENT", "ID")
            listed = one.must("CLIENT", "LIST", "ID", str(number), "99999999", str(number)).splitlines()
            self.assertEqual([self.fields(line)["id"] for line in listed], [str(number)] * 2)
            self.assertEqual(len(one.must("CLIENT", "LIST", "TYPE", "normal").splitlines()), 1)

    def test_reply(self) -> None:
        for data in (
            b"CLIENT REPLY OFF\r\nPING\r\nnosuch\r\nGET\r\nCLIENT REPLY ON\r\nPING\r\n",
            b"CLIENT REPLY SKIP\r\nPING\r\nECHO x\r\n",
            b"CLIENT REPLY SKIP\r\nnosuch\r\nECHO x\r\n",
            b"CLIENT REPLY OFF\r\nCLIENT REPLY SKIP\r\nPING\r\nPING\r\nCLIENT REPLY ON\r\n",
            b"CLIENT REPLY SKIP\r\nCLIENT REPLY SKIP\r\nPING\r\nECHO x\r\n",
            b"CLIENT REPLY SKIP\r\nCLIENT REPLY ON\r\nECHO x\r\n",
            b"CLIENT REPLY OFF\r\nCLIENT REPLY x\r\nCLIENT REPLY ON\r\nCLIENT REPLY ON\r\n",
            b"CLIENT REPLY OFF\r\nMULTI\r\nSET a 1\r\nEXEC\r\nCLIENT REPLY ON\r\nGET a\r\n",
            b"CLIENT REPLY SKIP\r\nMULTI\r\nSET a 1\r\nEXEC\r\nGET a\r\n",
        ):
            self.raw(data + b"QUIT\r\n")

    def test_kill_by_address_and_id(self) -> None:
        for kind in ("address", "ID", "ADDR"):
            other = self.open_pair()
            for killer, victim in ((self.pair.real, other.real), (self.pair.ours, other.ours)):
                fields = self.fields(victim.must("CLIENT", "INFO"))
                words = {"address": [fields["addr"]], "ID": ["ID", fields["id"]], "ADDR": ["ADDR", fields["addr"]]}
                reply = killer.must("CLIENT", "KILL", *words[kind])
                self.assertEqual(reply, b"OK" if kind == "address" else 1)
                self.assertNotIn(f"id={fields['id']} ".encode(), killer.must("CLIENT", "LIST"))
                wait_until(victim.is_closed, 5, "closed")

    def test_kill_by_type(self) -> None:
        """Sentinel's transaction: the killer stays, other clients go."""
        listener, normal, third = self.open_pair(), self.open_pair(), self.open_pair()
        third.do("PING")
        listener.do("SUBSCRIBE", "a")
        normal.do("PING")
        self.do_all("MULTI", "CLIENT KILL TYPE normal", "CLIENT KILL TYPE pubsub", "CLIENT KILL TYPE replica")
        self.assertEqual(self.do("EXEC"), [2, 1, 0])
        for pair in (listener, normal, third):
            for one in (pair.real, pair.ours):
                wait_until(one.is_closed, 5, "closed")
        self.do("PING")

    def test_kill_oneself(self) -> None:
        self.raw(b"CLIENT KILL SKIPME no\r\nPING\r\n")
        self.pair = self.open_pair()
        self.raw(b"CLIENT KILL TYPE normal SKIPME no USER default\r\nPING\r\n")

    def test_unblock(self) -> None:
        for words, blocking in (
            ((), ("BLPOP", "nokey", "0")),
            (("TIMEOUT",), ("BLMOVE", "nokey", "x", "LEFT", "LEFT", "0")),
            (("ERROR",), ("BLPOP", "nokey", "0")),
            (("timeout",), ("BZPOPMIN", "nokey", "0")),
        ):
            other = self.open_pair()
            ids = [other.real.must("CLIENT", "ID"), other.ours.must("CLIENT", "ID")]
            other.send(*blocking)
            self.wait_blocked()
            for one, number in zip((self.pair.real, self.pair.ours), ids, strict=True):
                self.assertEqual(one.must("CLIENT", "UNBLOCK", number, *words), 1)
                self.assertEqual(one.must("CLIENT", "UNBLOCK", number, *words), 0)
            other.read(f"{blocking} {words}")
            other.do("PING")

    def paused(self, pair: Pair) -> tuple[bytes, bytes]:
        return tuple(one.recv_silence(0.1) for one in (pair.real, pair.ours))  # type: ignore[return-value]

    def test_pause_writes(self) -> None:
        other = self.open_pair()
        self.do("CLIENT", "PAUSE", "20000", "WRITE")
        other.do("GET", "a")
        other.send("SET", "a", "1")
        self.assertEqual(self.paused(other), (b"", b""))
        self.do("GET", "a")
        self.do("CLIENT", "UNPAUSE")
        other.read("the held SET")
        self.do("GET", "a")

    def test_pause_everything(self) -> None:
        other = self.open_pair()
        other.do("PING")
        self.do("CLIENT", "PAUSE", "300")
        other.send("PING")
        other.send("ECHO", "x")
        self.assertEqual(self.paused(other), (b"", b""))
        other.read("PING after the pause")
        other.read("ECHO after the pause")

    def test_pause_in_transaction(self) -> None:
        other = self.open_pair()
        other.do("MULTI")
        other.do("SET", "a", "1")
        self.do("CLIENT", "PAUSE", "20000", "WRITE")
        other.send("EXEC")
        self.assertEqual(self.paused(other), (b"", b""))
        self.do("CLIENT", "UNPAUSE")
        other.read("the held EXEC")


class Links(SynchronousTestCase):
    """Connections of replication among the clients."""

    def listed(self, node: Node, kind: str) -> list[dict[str, str]]:
        lines = node.call("CLIENT", "LIST", "TYPE", kind).decode().splitlines()
        return [dict(word.split("=", 1) for word in line.split(" ")) for line in lines]

    def check(self, master: Node, replica: Node) -> None:
        wait_in_sync(master, replica)
        mine, theirs = (replica, "master") if isinstance(replica, Replicad) else (master, "replica")
        link = self.listed(mine, theirs)
        self.assertEqual([row["flags"] for row in link], [{"master": "M", "replica": "S"}[theirs]])
        killer = mine.client()
        killer.must("MULTI")
        killer.must("CLIENT", "KILL", "TYPE", "normal")
        killer.must("CLIENT", "KILL", "TYPE", "pubsub")
        killer.must("EXEC")
        self.assertEqual(self.listed(mine, theirs)[0]["id"], link[0]["id"])
        before = int(master.info("stats")["sync_partial_ok"])
        self.assertEqual(killer.must("CLIENT", "KILL", "TYPE", theirs), 1)
        wait_until(lambda: int(master.info("stats")["sync_partial_ok"]) == before + 1, 10, "a continuation")
        wait_in_sync(master, replica)
        self.assertEqual(master.info("stats")["sync_full"], "1")

    def test_replica_of_ours(self) -> None:
        master = Replicad(self).start()
        self.check(master, RealServer(self, {"replicaof": master.address}).start())

    def test_master_of_ours(self) -> None:
        master = RealServer(self).start()
        self.check(master, Replicad(self, {"replicaof": master.address}).start())


class ClientsResp3(TwoHeadedTestCase):
    resp: ClassVar[int] = 3

    def test_shapes(self) -> None:
        self.do_all("PING", "PING x", "CLIENT GETNAME", "CLIENT TRACKINGINFO", "CLIENT KILL ID 99999999")
        self.do_loosely("CLIENT", "INFO")
        self.do_loosely("HELLO")
        self.do_all("SUBSCRIBE a", "PING", "PING x", "GET a", "UNSUBSCRIBE a")


class Passwords(TwoHeadedTestCase):
    """requirepass, set while the servers run."""

    def setUp(self) -> None:
        super().setUp()
        self.ports = [one.socket.getpeername()[1] for one in (self.pair.real, self.pair.ours)]
        self.do("CONFIG", "SET", "requirepass", "s e\u00e4")
        self.addCleanup(self.remove)

    def remove(self) -> None:
        for port in self.ports:
            with Connection(port) as connection:
                connection.must("AUTH", "s e\u00e4")
                connection.must("CONFIG", "SET", "requirepass", "")

    def test_refused(self) -> None:
        self.pair = self.open_pair()
        self.do_all("PING", "GET a", "nosuch", "GET", "SELECT 1", "CLIENT ID", "MULTI", "INFO", "HELLO", "HELLO 3")
        self.do_all("AUTH x", "AUTH default x", "AUTH foo x", "HELLO 3 AUTH default x", "PING", "RESET", "COMMAND COUNT")
        self.do("AUTH", "s e\u00e4")
        self.do_all("PING", "ACL WHOAMI", "ACL LIST", "ACL GETUSER default", "AUTH x", "PING", "RESET", "PING")
        self.raw(b"QUIT\r\n")

    def test_hello_with_password(self) -> None:
        pair = self.open_pair()
        for words in (("HELLO", "3", "AUTH", "default", "wrong"), ("HELLO", "2", "SETNAME", "x")):
            pair.do(*words)
        for one in (pair.real, pair.ours):
            reply = one.must("HELLO", "3", "AUTH", "default", "s e\u00e4", "SETNAME", "me")
            self.assertEqual(reply[b"proto"], 3)
        pair.do("CLIENT", "GETNAME")

    def test_limits_before_auth(self) -> None:
        """Small requests only: 10 arguments, 16 KB each."""
        self.raw(b"*11\r\n$4\r\nPING\r\n")
        self.raw(b"*2\r\n$4\r\nECHO\r\n$16385\r\n")
        pair = self.open_pair()
        pair.raw(b"*10\r\n" + b"$1\r\na\r\n" * 10, 1)
        pair.do("AUTH", "s e\u00e4")
        pair.do("ECHO", "x" * 20000)
        pair.do("MGET", *map(str, range(20)))

    def test_one_write(self) -> None:
        """AUTH and what follows it arrive together; the limits are lifted in between."""
        auth = b"*2\r\n$4\r\nAUTH\r\n$5\r\ns e\xc3\xa4\r\n"
        big = b"*2\r\n$4\r\nECHO\r\n$20000\r\n" + b"x" * 20000 + b"\r\n"
        self.open_pair().raw(auth + big + b"PING\r\n", 3)
        self.open_pair().raw(b"*1\r\n$4\r\nPING\r\n" + auth + b"PING\r\n" + big, 4)

    def test_password_taken_away(self) -> None:
        pair = self.open_pair()
        pair.do("GET", "a")
        self.do("CONFIG", "SET", "requirepass", "")
        pair.do("GET", "a")
        self.do("CONFIG", "SET", "requirepass", "s e\u00e4")
        self.do("GET", "a")

    def test_slow_log_hides(self) -> None:
        self.do("CONFIG", "SET", "slowlog-log-slower-than", "0")
        self.do("SLOWLOG", "RESET")
        pair = self.open_pair()
        pair.do("AUTH", "s e\u00e4")
        pair.both("HELLO", "3", "AUTH", "default", "s e\u00e4")
        pair.do("CONFIG", "SET", "masterauth", "geheim")
        self.do("CONFIG", "SET", "slowlog-log-slower-than", "10000")
        real, ours = self.both("SLOWLOG", "GET", "10")
        self.assertEqual([entry[3] for entry in ours], [entry[3] for entry in real])
        self.do("CONFIG", "SET", "masterauth", "")
        self.do("SLOWLOG", "RESET")
