"""The commands on keys and databases beside a real redis-server."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from replicad.commands.scanning import LISTS, WHOLE
from tests.support.connection import Argument, RespError
from tests.support.sequences import sequences
from tests.support.twohead import TwoHeadedTestCase

ONE_OF_EACH = (
    "SET str v", "RPUSH list a b", "SADD set a b", "HSET hash f v", "ZADD zset 1 a",
    "SET int 5",
)  # fmt: skip


class Keys(TwoHeadedTestCase):
    """Keys whatever they hold."""

    def test_delete_exists_touch_type(self) -> None:
        self.do_all(*ONE_OF_EACH)
        for key in ("str", "list", "set", "hash", "zset", "stream", "missing"):
            self.do("TYPE", key)
        self.do_all(
            "EXISTS str list missing str", "TOUCH str missing str", "DEL str str missing", "DEL missing", "DEL",
            "UNLINK list set", "UNLINK", "EXISTS", "TOUCH", "TYPE", "TYPE a b", "DBSIZE", "DBSIZE x",
            "SET k v PXAT 1", "EXISTS k", "SET k v PXAT 1", "DEL k", "SET k v PXAT 1", "TYPE k", "SET k v PXAT 1",
            "TOUCH k",
        )  # fmt: skip
        self.do("SET", b"bin\x00\r\n\xff", "v")
        self.do("EXISTS", b"bin\x00\r\n\xff")
        self.do("DEL", b"bin\x00\r\n\xff")
        self.same_digest()

    def test_rename(self) -> None:
        self.do_all(
            "RENAME a b", "SET a 1 EX 100", "RENAME a b", "TTL b", "GET b", "EXISTS a", "SET c 2", "RENAME c b",
            "TTL b",
            "RENAME b b", "RENAMENX b b", "RENAMENX x y", "RPUSH l a", "RENAMENX l b", "RENAMENX b n",
            "RENAME l n", "TYPE n",
            "RENAME n", "RENAMENX n", "SET x 1 PXAT 1", "RENAME x y", "SET y 1 PXAT 1", "RENAMENX n y",
            "SET t 1 EX 100",
            "SET u 1", "RENAME u t", "TTL t",
        )  # fmt: skip
        self.same_digest()

    def test_move(self) -> None:
        self.do_all(
            "MOVE k 1", "SET k v EX 100", "MOVE k 1", "EXISTS k", "SELECT 1", "TTL k", "GET k", "SELECT 0", "SET k w",
            "MOVE k 1", "MOVE k 0", "MOVE k x", "MOVE k 99", "MOVE k -1", "MOVE k", "MOVE k 99999999999",
            "MOVE k 1.5",
            "SELECT 1", "SET k gone PXAT 1", "SELECT 0", "MOVE k 1", "MOVE missing 0",
        )  # fmt: skip
        self.same_digest()

    def test_copy(self) -> None:
        self.do_all(*ONE_OF_EACH)
        for key in ("str", "list", "set", "hash", "zset", "stream", "missing"):
            self.do("COPY", key, f"{key}2")
        self.do_all(
            "RPUSH list2 more", "LRANGE list 0 -1", "HSET hash2 g w", "HGETALL hash", "SADD set2 c", "SCARD set",
            "COPY str list2", "COPY str list2 REPLACE", "TYPE list2", "COPY str str", "COPY str str DB 0",
            "COPY str str DB 1",
            "COPY str str DB 1", "COPY str str DB 1 REPLACE", "COPY str x DB 99", "COPY str x DB -1",
            "COPY str x DB y",
            "COPY str x DB", "COPY str x FOO", "COPY str", "COPY missing missing", "COPY missing x DB 99",
            "COPY str x replace db 2 REPLACE db 3", "EXPIRE str 100", "COPY str ttl", "TTL ttl",
            "COPY int ttl REPLACE",
            "TTL ttl", "SET gone v PXAT 1", "COPY gone here", "SET gone v PXAT 1", "COPY str gone",
            "COPY str x DB 1.5", "COPY str x DB 99999999999",
        )  # fmt: skip
        self.same_digest()

    def test_keys_and_randomkey(self) -> None:
        self.do_all("RANDOMKEY", "RANDOMKEY x", "KEYS *", "KEYS", "SET only 1", "RANDOMKEY", "KEYS only", "KEYS nothing")
        names = ["hello", "hallo", "hxllo", "hllo", "heeello", "h[llo", "a*b", "a\\b", "h?llo", "", "h-llo", "h^llo"]
        for name in names:
            self.do("SET", name, "v")
        for pattern in ("*", "h?llo", "h*llo", "h[ae]llo", "h[^e]llo", "h[a-b]llo", "h\\?llo", "a\\*b", "h[",
                        "h[]llo", "[",
                        "", "?", "**", "h[b-a]llo", "h[-]llo", "h[a", "\\", "a\\\\b", "h[\\^]llo", "*o*l", "***",
                        "*l*l*o"):  # fmt: skip
            self.do_sorted("KEYS", pattern)
        self.do("SET", "gone", "v", "PXAT", 1)
        self.do_sorted("KEYS", "g*")
        self.assertIn(self.both("RANDOMKEY")[1], [name.encode() for name in [*names, "only"]])

    def scan_all(self, *args: Argument) -> tuple[list[bytes], list[bytes]]:
        """Everything that a scan command returns until its cursor is 0: (real, ours), both sorted."""
        out = []
        for connection in (self.pair.real, self.pair.ours):
            cursor, found = b"0", []
            for _ in range(100_000):
                before = args.index("CURSOR")
                cursor, some = connection.must(*args[:before], cursor, *args[before + 1 :])
                found += some
                if cursor == b"0":
                    break
            out.append(sorted(set(found)))
        return out[0], out[1]

    def test_scan(self) -> None:
        self.do("SCAN", 0)
        for number in range(2000):
            self.pair.both("SET", f"key:{number}", "v")
        self.do_all(*ONE_OF_EACH[1:])
        self.do("SET", "gone", "v", "PXAT", 1)
        for options in ([], ["COUNT", 1], ["COUNT", 1000], ["MATCH", "key:1*"], ["MATCH", "nothing"], ["TYPE",
                        "list"],
                        ["TYPE", "LIST"], ["TYPE", "nosuchtype"], ["MATCH", "*s*", "TYPE", "set", "COUNT", 50],
                        ["TYPE", "string", "MATCH", "[ik]*"], ["COUNT", 2**62], ["MATCH", "a", "MATCH",
                        "*7"]):  # fmt: skip
            real, ours = self.scan_all("SCAN", "CURSOR", *options)
            self.assertEqual(ours, real, str(options))

    def test_scan_errors(self) -> None:
        self.do("SET", "k", "v")
        for args in (["x"], ["99999999999999999999"], ["1.5"], ["0", "COUNT"], ["0", "COUNT", "0"], ["0", "COUNT",
                     "-1"], ["-"],
                     ["0", "COUNT", "x"], ["0", "FOO", "1"], ["0", "COUNT", "x", "FOO"], [" 0"], ["0 "], [], ["+"],
                     ["+0"], ["-0"], ["00"], [""], ["0\0x"], ["\0"], ["0", "MATCH"], ["0", "TYPE"], ["0", "COUNT",
                     "99999999999999999999"]):  # fmt: skip
            self.do("SCAN", *args)
        self.do_all("HSET h f v", "SADD s 1", "ZADD z 1 a")
        for name in ("HSCAN", "SSCAN", "ZSCAN"):
            key = name[0].lower()
            for args in ([], ["0"], ["x"], ["0", "TYPE", "hash"], ["0", "COUNT", "0"], ["0", "COUNT"], ["0",
                         "MATCH", "x"],
                         ["0", "match", "*"]):  # fmt: skip
                self.do(name, key, *args)
            if name != "HSCAN":  # there it is an option since Redis 7.4
                self.do(name, key, "0", "NOVALUES")
            self.do_all(f"{name} missing 0 FOO 1", f"{name} missing x", f"{name} k 0", f"{name} k x", f"{name} missing 0")

    def test_scan_of_large_collections_keeps_its_promise(self) -> None:
        members = [f"m{number}" for number in range(5 * WHOLE)]
        ours = self.pair.ours
        ours.must("SADD", "s", *members)
        ours.must("HSET", "h", *[word for member in members for word in (member, member)])
        ours.must("ZADD", "z", *[word for number, member in enumerate(members) for word in (number, member)])
        for name, key, width in (("SSCAN", "s", 1), ("HSCAN", "h", 2), ("ZSCAN", "z", 2)):
            for forget in (False, True):
                cursor, found, steps = b"0", [], 0
                while steps < 1000:
                    cursor, some = ours.must(name, key, cursor, "COUNT", 200)
                    found += some[::width]
                    steps += 1
                    if forget and steps == 3:  # other scans push this one's list out
                        for _ in range(LISTS):
                            ours.must("SSCAN", "s", 0)
                    if steps == 5:
                        ours.must("SREM", "s", members[-1])
                        ours.must("SADD", "s", "new")
                    if cursor == b"0":
                        break
                self.assertEqual(cursor, b"0")
                self.assertTrue({member.encode() for member in members[:-1]} <= set(found), f"{name} forget={forget}")
                self.assertLess(steps, 100)
                ours.must("SADD", "s", members[-1])
            _, some = ours.must(name, key, 0, "MATCH", "m77", "COUNT", 10**6)
            self.assertEqual(some[::width], [b"m77"])

    def test_databases(self) -> None:
        self.do_all(
            "SET a 1", "SELECT 3", "SET b 2 EX 100", "DBSIZE", "SWAPDB 0 3", "GET a", "SELECT 0", "GET b", "TTL b",
            "SWAPDB x 1",
            "SWAPDB 1 x", "SWAPDB 0 99", "SWAPDB -1 0", "SWAPDB 0 99999999999999", "SWAPDB 1 1", "SWAPDB 0",
            "SWAPDB 0 1 2",
            "FLUSHDB foo", "FLUSHDB ASYNC SYNC", "FLUSHALL foo", "FLUSHALL SYNC x", "FLUSHDB", "DBSIZE",
            "SELECT 3", "DBSIZE",
            "SET x 1", "FLUSHDB async", "DBSIZE", "SET x 1", "SELECT 5", "SET y 1", "FLUSHALL sync", "DBSIZE",
            "SELECT 3",
            "DBSIZE", "FLUSHALL async", "FLUSHALL", "FLUSHDB SYNC",
        )  # fmt: skip
        self.same_digest()

    def test_watched_keys(self) -> None:
        other = self.open_pair()
        for setup, change in (
            ("SET k v", "DEL k"), ("SET k v", "RENAME k other"), ("SET x v", "RENAME x k"), ("SET k v", "MOVE k 1"),
            ("SET k v", "EXPIRE k 100"), ("SET k v", "SWAPDB 0 1"), ("SET j v", "SWAPDB 0 1"), ("SET k v",
            "FLUSHALL"),
            ("SET j v", "FLUSHDB"), ("SET j v", "COPY j k"), ("SET k v EX 100", "PERSIST k"), ("SET k v", "DEL j"),
            ("SET k v", "EXPIRE k -1"), ("SET k v", "PERSIST k"), ("RPUSH l 1", "SORT l STORE k"), ("SET k v",
            "GETEX k EX 100"),
        ):  # fmt: skip
            self.do_all("FLUSHALL", tuple(setup.split()), "WATCH k", "MULTI", "PING")
            other.do(*change.split())
            self.do("EXEC")

    def test_blocked_clients_are_served(self) -> None:
        waiting = self.open_pair()
        self.do_all("RPUSH x a b c")
        payload = self.both("DUMP", "x")[0]
        changes: list[tuple[Argument, ...]] = [
            ("RENAME", "x", "k"), ("RENAMENX", "x", "k"), ("COPY", "x", "k"), ("SWAPDB", 0, 1), ("SORT", "n", "STORE", "k"),
            ("RESTORE", "k", 0, payload),
        ]  # fmt: skip
        for change in changes:
            self.do_all("FLUSHALL", "SELECT 1", "RPUSH k z", "SELECT 0", "RPUSH x a b", "RPUSH n 2 1")
            waiting.send("BLPOP", "k", 5)
            self.wait_blocked()
            self.do(*change)
            waiting.read(str(change))
            self.do_all("LRANGE k 0 -1", "SELECT 1", "LRANGE k 0 -1", "MOVE k 0", "SELECT 0")
            self.same_digest()
        self.do_all("FLUSHALL", "SELECT 1", "RPUSH k z", "SELECT 0")
        waiting.send("BLPOP", "k", 5)
        self.wait_blocked()
        self.do_all("SELECT 1", "MOVE k 0", "SELECT 0", "EXISTS k")
        waiting.read("MOVE")
        self.same_digest()

    def test_object(self) -> None:
        self.do_all(*ONE_OF_EACH)
        self.do("SET", "raw", "x" * 45)
        self.do("SADD", "ints", 1, 2, -3)
        self.do("SADD", "manyints", *range(513))
        self.do("HSET", "wide", "f", "x" * 65)
        self.do("HSET", "long", *range(1026))
        self.do("ZADD", "zwide", 1, "x" * 65)
        self.do("ZADD", "zlong", *range(258))
        self.do("SET", "10000", 10000)
        for key in ("str", "list", "set", "hash", "zset", "stream", "int", "raw", "ints", "manyints", "wide",
                    "long", "zwide",
                    "zlong", "10000", "missing"):  # fmt: skip
            for name in ("ENCODING", "REFCOUNT", "FREQ"):
                self.do("OBJECT", name, key)
            real, ours = self.both("OBJECT", "IDLETIME", key)  # a real server counts the seconds since the last use
            self.assertEqual(ours, None if real is None else 0)
        self.do_all("OBJECT", "OBJECT foo", "OBJECT foo bar", "OBJECT ENCODING", "OBJECT encoding str x", "OBJECT HELP x")
        real, ours = self.both("OBJECT", "HELP")
        self.assertEqual(real[0], ours[0])

    def test_dump_and_restore(self) -> None:
        self.do_all(*ONE_OF_EACH)
        self.do("DUMP", "missing")
        self.do("DUMP")
        for key in ("str", "list", "set", "hash", "zset", "stream", "int"):
            real, ours = self.both("DUMP", key)
            for name, payload in (("real", real), ("ours", ours)):
                self.do("RESTORE", f"{key}:{name}", 0, payload)
                self.do("RESTORE", f"{key}:{name}", 0, payload)
                self.do("RESTORE", f"{key}:{name}", 100000, payload, "REPLACE")
                self.do("TTL", f"{key}:{name}")
        payload = self.both("DUMP", "str")[0]
        for args in ([-1], ["x"], [0, "FOO"], [0, "IDLETIME"], [0, "IDLETIME", -1], [0, "IDLETIME", 5],
                     [0, "FREQ", 256],
                     [0, "REPLACE", "FREQ", 255], [0, "FREQ", 1, "IDLETIME", 1], [0, "IDLETIME", 1, "FREQ", 1], [],
                     [1000, "ABSTTL", "REPLACE"], [1000, "ABSTTL"], [4102444800000, "absttl"], [0, "ABSTTL",
                     "REPLACE"]):  # fmt: skip
            self.do("RESTORE", "target", *args[:1], payload, *args[1:])
            self.do("EXISTS", "target")
            self.do("PEXPIRETIME", "target")
        for damaged in (b"", b"short", payload[:-1], payload[:-9] + b"\xff" + payload[-8:], b"\x01" + payload):
            self.do("RESTORE", "damaged", 0, damaged)
            self.do("RESTORE", "str", 0, damaged)
            self.do("RESTORE", "str", -1, damaged, "REPLACE")
        self.same_digest()

    def test_resp3_shapes(self) -> None:
        pair = self.open_pair(resp=3)
        for line in ("RANDOMKEY", "SET k v", "SCAN 0", "OBJECT ENCODING missing", "DUMP missing", "KEYS *", "TYPE k",
                     "COPY k l", "RANDOMKEY x"):  # fmt: skip
            pair.do(*line.split())

    def test_table(self) -> None:
        """COMMAND INFO of these families: arity, flags, key positions, categories."""
        names = (
            "set get getset getdel getex setex psetex setnx mget mset msetnx incr decr incrby decrby "
            "incrbyfloat append strlen getrange substr setrange lcs del unlink exists touch type rename "
            "renamenx move copy randomkey keys scan dbsize flushdb flushall swapdb dump restore "
            "restore-asking expire pexpire expireat pexpireat ttl pttl expiretime pexpiretime persist sort sort_ro"
        ).split()
        for name in names:
            real, ours = self.both("COMMAND", "INFO", name)
            self.assertNotIsInstance(ours, RespError)
            self.assertEqual(ours[0][:2], real[0][:2], name)
            self.assertEqual(set(ours[0][2]), set(real[0][2]), name)
            self.assertEqual(ours[0][3:6], real[0][3:6], name)
            self.assertEqual(set(ours[0][6]), set(real[0][6]), name)
        for line in ("SORT l BY w_* GET # STORE out", "SORT l STORE a STORE b", "SORT l LIMIT 1 STORE a",
                     "SORT_RO l BY x_*",
                     "SORT l GET STORE STORE b", "MSET a 1 b 2", "DEL a b c", "RENAME a b",
                     "LCS a b LEN"):  # fmt: skip
            self.do("COMMAND", "GETKEYS", *line.split())

    @sequences(150)
    @given(st.data())
    def test_random_sequences(self, data: st.DataObject) -> None:
        self.do("FLUSHALL")
        self.do("SELECT", 0)
        key = st.sampled_from(["a", "b", "c"])
        db = st.sampled_from([0, 1])
        command: st.SearchStrategy[tuple[Argument, ...]] = st.one_of(
            st.tuples(st.just("SET"), key, st.just("v")),
            st.tuples(st.just("SETEX"), key, st.just(100), st.just("v")),
            st.tuples(st.sampled_from(["RPUSH", "SADD"]), key, st.sampled_from("xyz")),
            st.tuples(st.just("SELECT"), db),
            st.tuples(st.sampled_from(["RENAME", "RENAMENX", "COPY", "DEL", "EXISTS"]), key, key),
            st.tuples(st.just("COPY"), key, key, st.just("DB"), db, st.just("REPLACE")),
            st.tuples(st.just("MOVE"), key, db),
            st.tuples(st.just("SWAPDB"), db, db),
            st.tuples(st.sampled_from(["TYPE", "TTL", "PERSIST"]), key),
            st.tuples(st.sampled_from(["DBSIZE", "FLUSHDB"])),
        )
        for args in data.draw(st.lists(command, min_size=1, max_size=40)):
            self.do(*args)
        self.same_digest()
