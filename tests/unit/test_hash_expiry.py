"""Hash fields that expire: replies, deadlines, deletion on a master, hiding on a replica.  No sockets."""

from __future__ import annotations

import io
import random
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from replicad.config import load
from replicad.digest import value_digest
from replicad.dispatch import run
from replicad.expiring_hash import ExpiringHash
from replicad.replication.upstream import Upstream
from replicad.resp import RequestReader
from replicad.server import Server
from replicad.session import Client
from replicad.trash import LARGE, Trash
from tests.unit.law_samples import words

FAR = 4_102_444_800_000


def here() -> Server:
    """A server that does not listen, save or log."""
    server = Server(load(None, [("databases", "4"), ("save", "")]), Clock())
    server.log.stream = io.StringIO()
    return server


class HashExpiryTestCase(SynchronousTestCase):
    """One server, whose clock stands still until ``pass_ms``."""

    def setUp(self) -> None:
        self.server = here()
        self.client = Client(self.server)
        self.db = self.server.databases[0]
        self.server.history.create_backlog()
        self.server.update_gates()
        self.server.readiness.serving = True  # the clock is not read by the loop
        self.server.clock.now_ms = 1_700_000_000_000

    def pass_ms(self, milliseconds: int) -> None:
        self.server.clock.now_ms += milliseconds

    def do(self, line: str) -> Any:
        """The reply of the handler as bytes of RESP2, without the line ends."""
        return run(self.client, [words(line)]).replace(b"\r\n", b" ").strip().decode()

    def do_all(self, *rows: tuple[str, str]) -> None:
        for line, reply in rows:
            self.assertEqual(self.do(line), reply, line)

    def stream(self) -> list[list[bytes]]:
        """The commands that were propagated since the last call."""
        start, self.seen = getattr(self, "seen", 0), self.server.history.offset
        data = self.server.history.since(start)
        return [argv for argv in RequestReader().feed(data) if argv[0] != b"SELECT"] if data else []


class Replies(HashExpiryTestCase):
    def test_codes(self) -> None:
        self.do_all(
            ("HEXPIRE h 10 FIELDS 2 a b", "*2 :-2 :-2"),
            ("HTTL h FIELDS 1 a", "*1 :-2"),
            ("HPERSIST h FIELDS 1 a", "*1 :-2"),
            ("HSET h a 1 b 2 c 3", ":3"),
            ("HTTL h FIELDS 2 a x", "*2 :-1 :-2"),
            ("HPERSIST h FIELDS 2 a x", "*2 :-1 :-2"),
            ("HEXPIRE h 10 XX FIELDS 1 a", "*1 :0"),
            ("HEXPIRE h 10 GT FIELDS 1 a", "*1 :0"),
            ("HEXPIRE h 10 NX FIELDS 3 a a x", "*3 :1 :0 :-2"),
            ("hexpire h 20 lt fields 2 a b", "*2 :0 :1"),
            ("HEXPIRE h 5 LT FIELDS 1 a", "*1 :1"),
            ("HEXPIRE h 5 LT FIELDS 1 a", "*1 :0"),
            ("HEXPIRE h 30 GT FIELDS 3 a b c", "*3 :1 :1 :0"),
            ("HTTL h FIELDS 3 a b c", "*3 :30 :30 :-1"),
            ("HPTTL h FIELDS 1 a", "*1 :30000"),
            ("HEXPIRETIME h FIELDS 1 a", "*1 :1700000030"),
            ("HPEXPIRETIME h FIELDS 1 a", "*1 :1700000030000"),
            ("HPEXPIRE h 1500 FIELDS 1 a", "*1 :1"),
            ("HTTL h FIELDS 1 a", "*1 :2"),
            ("HPERSIST h FIELDS 3 a a c", "*3 :1 :-1 :-1"),
            ("HPEXPIREAT h 1700000000001 FIELDS 1 a", "*1 :1"),
            ("HEXPIREAT h 1700000000 FIELDS 2 a a", "*2 :2 :-2"),
            ("HGETALL h", "*4 $1 b $1 2 $1 c $1 3"),
            ("HPEXPIRE h 0 FIELDS 2 b c", "*2 :2 :2"),
            ("EXISTS h", ":0"),
        )

    def test_errors(self) -> None:
        fields = "-ERR Mandatory argument FIELDS is missing or not at the right position"
        mismatch = "-ERR The `numfields` parameter must match the number of arguments"
        wrong_type = "-WRONGTYPE Operation against a key holding the wrong kind of value"
        only_one = "-ERR Only one of EX, PX, EXAT, PXAT or %s arguments can be specified"
        self.do("SET s x")
        self.do("HSET h a 1")
        self.do_all(
            ("HEXPIRE s 1 FIELDS 1 a", wrong_type),
            ("HTTL s FIELDS 1 a", wrong_type),
            ("HPERSIST s FIELDS 1 a", wrong_type),
            ("HGETDEL s FIELDS 1 a", wrong_type),
            ("HGETEX s FIELDS 1 a", wrong_type),
            ("HSETEX s FIELDS 1 a 1", wrong_type),
            ("HEXPIRE h 1 FIELDS 1", "-ERR wrong number of arguments for 'hexpire' command"),
            ("HEXPIRE h x FIELDS 1 a", "-ERR value is not an integer or out of range"),
            ("HEXPIRE h -1 FIELDS 1 a", "-ERR invalid expire time, must be >= 0"),
            ("HPEXPIREAT h -1 FIELDS 1 a", "-ERR invalid expire time, must be >= 0"),
            ("HEXPIRE h 9223372036854775807 FIELDS 1 a", "-ERR invalid expire time in 'hexpire' command"),
            ("HPEXPIREAT h 70368744177664 FIELDS 1 a", "-ERR invalid expire time in 'hpexpireat' command"),
            ("HEXPIRE h 1 FIELD 1 a", fields),
            ("HEXPIRE h 1 NX XX FIELDS 1 a", fields),
            ("HEXPIRE h 1 YY FIELDS 1 a", fields),
            ("HEXPIRE h 1 FIELDS 0 a", "-ERR Parameter `numFields` should be greater than 0"),
            ("HEXPIRE h 1 FIELDS x a", "-ERR Parameter `numFields` should be greater than 0"),
            ("HEXPIRE h 1 FIELDS 2 a", mismatch),
            ("HEXPIRE h 1 FIELDS 1 a b", mismatch),
            ("HEXPIRE nosuch 1 FIELDS 2 a", mismatch),
            ("HTTL h FIELDZ 1 a", fields),
            ("HTTL h FIELDS 0 a", "-ERR Number of fields must be a positive integer"),
            ("HTTL h FIELDS 1 a b", mismatch),
            ("HPERSIST h FIELDS -1 a", "-ERR Number of fields must be a positive integer"),
            ("HGETDEL h FIELDS 3 a b", mismatch),
            ("HGETEX h EX 10 PERSIST FIELDS 1 a", only_one % "PERSIST"),
            ("HGETEX h EX 10 FIELDS", fields),
            ("HGETEX h EX -5 FIELDS 1 a", "-ERR invalid expire time, must be >= 0"),
            ("HGETEX h KEEPTTL FIELDS 1 a", fields),
            ("HSETEX h FNX FXX FIELDS 1 a 1", "-ERR Only one of FXX or FNX arguments can be specified"),
            ("HSETEX h EX 1 KEEPTTL FIELDS 1 a 1", only_one % "KEEPTTL"),
            ("HSETEX h BOGUS FIELDS 1 a 1", "-ERR unknown argument: BOGUS"),
            ("HSETEX h FIELDS 0 a 1", "-ERR invalid number of fields"),
            ("HSETEX h FIELDS 2 a 1", "-ERR wrong number of arguments for 'hsetex' command"),
            ("HSETEX h FNX FNX KEEPTTL EX", "-ERR Only one of FXX or FNX arguments can be specified"),
            ("HGETALL h", "*2 $1 a $1 1"),
        )

    def test_what_keeps_and_what_drops_a_deadline(self) -> None:
        self.do("HSET h a 1 b 2 c 3 d 4 e 5")
        self.do("HEXPIRE h 100 FIELDS 5 a b c d e")
        for line in ("HSET h a 9", "HINCRBY h b 1", "HINCRBYFLOAT h c 0.5", "HSETNX h d 1", "HMSET h e 1", "HSETNX h f 1"):
            self.do(line)
        self.assertEqual(self.do("HTTL h FIELDS 6 a b c d e f"), "*6 :-1 :100 :100 :100 :-1 :-1")
        self.do("HDEL h b")
        self.do("HSET h b 1")
        self.assertEqual(self.do("HTTL h FIELDS 1 b"), "*1 :-1")

    def test_redis_8(self) -> None:
        self.do_all(
            ("HSETEX h FNX EX 100 FIELDS 2 a 1 b 2", ":1"),
            ("HSETEX h FNX EX 100 FIELDS 2 a 7 x 8", ":0"),
            ("HSETEX h FXX FIELDS 2 a 7 x 8", ":0"),
            ("HSETEX h FXX KEEPTTL FIELDS 2 a 7 b 8", ":1"),
            ("HTTL h FIELDS 2 a b", "*2 :100 :100"),
            ("HSETEX h FIELDS 1 a 9", ":1"),
            ("HTTL h FIELDS 2 a b", "*2 :-1 :100"),
            ("HGETEX h FIELDS 3 a b x", "*3 $1 9 $1 8 $-1"),
            ("HGETEX h PX 2000 FIELDS 2 a x", "*2 $1 9 $-1"),
            ("HPTTL h FIELDS 2 a b", "*2 :2000 :100000"),
            ("HGETEX h PERSIST FIELDS 2 a b", "*2 $1 9 $1 8"),
            ("HTTL h FIELDS 2 a b", "*2 :-1 :-1"),
            ("HGETEX h PXAT 1 FIELDS 1 a", "*1 $1 9"),
            ("HGETALL h", "*2 $1 b $1 8"),
            ("HSETEX h PXAT 1 FIELDS 2 b 1 c 1", ":1"),
            ("EXISTS h", ":0"),
            ("HSETEX h PXAT 1 FIELDS 2 b 1 c 1", ":1"),
            ("EXISTS h", ":0"),
            ("HGETDEL h FIELDS 2 a b", "*2 $-1 $-1"),
            ("HSET h a 1 b 2", ":2"),
            ("HGETDEL h FIELDS 3 a x a", "*3 $1 1 $-1 $-1"),
            ("HGETDEL h FIELDS 1 b", "*1 $1 2"),
            ("EXISTS h", ":0"),
        )

    def test_novalues(self) -> None:
        self.do("HSET h novalues 1 b 2")
        self.do_all(
            ("HSCAN h 0 NOVALUES", "*2 $1 0 *2 $8 novalues $1 b"),
            ("HSCAN h 0 MATCH novalues", "*2 $1 0 *2 $8 novalues $1 1"),
            ("HSCAN h 0 MATCH novalues novalues COUNT 5", "*2 $1 0 *1 $8 novalues"),
            ("HSCAN h 0 NOVALUES NOVALUES", "-ERR syntax error"),
        )


class OnAMaster(HashExpiryTestCase):
    def prepare(self) -> None:
        self.do("HSET h a 1 b 2 c 3")
        self.do("HPEXPIRE h 100 FIELDS 2 a b")
        self.do("HPEXPIRE h 200 FIELDS 1 c")
        self.stream()

    def test_a_read_deletes_and_tells(self) -> None:
        self.prepare()
        self.pass_ms(100)
        self.assertEqual(self.do("HGET h a"), "$1 1")  # still there in the millisecond of its deadline
        self.pass_ms(1)
        self.assertEqual(self.do("HGET h a"), "$-1")
        self.assertEqual(self.stream(), [[b"HDEL", b"h", b"a", b"b"]])
        self.assertEqual(self.do("HLEN h"), ":1")
        self.assertEqual(self.server.stats.expired_fields, 2)
        self.pass_ms(100)
        self.assertEqual(self.do("HEXISTS h c"), ":0")
        self.assertEqual(self.stream(), [[b"HDEL", b"h", b"c"]])
        self.assertEqual(self.do("EXISTS h"), ":0")
        self.assertEqual(list(self.db.field_deadlines.items()), [])

    def test_a_write_meets_no_expired_field(self) -> None:
        self.prepare()
        self.pass_ms(101)
        self.assertEqual(self.do("HINCRBY h a 5"), ":5")
        self.assertEqual(self.do("HSETNX h b 7"), ":1")
        expected = [b"MULTI", b"HDEL h a b", b"HINCRBY h a 5", b"EXEC", b"HSETNX h b 7"]
        self.assertEqual([b" ".join(argv) for argv in self.stream()], expected)
        self.assertEqual(self.do("HTTL h FIELDS 2 a b"), "*2 :-1 :-1")

    def test_all_commands_that_read(self) -> None:
        for line, reply in (
            ("HGETALL h", "*2 $1 c $1 3"),
            ("HKEYS h", "*1 $1 c"),
            ("HVALS h", "*1 $1 3"),
            ("HMGET h a c", "*2 $-1 $1 3"),
            ("HSTRLEN h a", ":0"),
            ("HRANDFIELD h", "$1 c"),
            ("HRANDFIELD h 9", "*1 $1 c"),
            ("HSCAN h 0", "*2 $1 0 *2 $1 c $1 3"),
            ("HTTL h FIELDS 1 a", "*1 :-2"),
            ("SORT l BY nosort GET h->a GET *->a GET *->c", "*3 $-1 $-1 $1 3"),
        ):
            self.do("FLUSHALL")
            self.do("RPUSH l h")
            self.prepare()
            self.pass_ms(150)
            self.assertEqual(self.do(line), reply, line)

    def test_the_clock_deletes(self) -> None:
        self.prepare()
        self.do("HSET many keep 1")
        fields = b" ".join(b"f%d" % number for number in range(1000)).split()
        run(self.client, [[b"HSET", b"many", *(word for field in fields for word in (field, b"v"))]])
        run(self.client, [[b"HPEXPIRE", b"many", b"50", b"FIELDS", b"1000", *fields]])
        self.stream()
        timekeeper = self.server.timekeeper
        timekeeper._expire_slice()  # the real time is long past
        while timekeeper._expiring:
            timekeeper._expire_slice()
        self.assertEqual(dict(self.db.peek(b"many")), {b"keep": b"1"})
        self.assertIsNone(self.db.peek(b"h"))
        self.assertEqual(list(self.db.field_deadlines.items()), [])
        removed = [field for argv in self.stream() for field in argv[2:] if argv[:2] == [b"HDEL", b"many"]]
        self.assertEqual(sorted(removed), sorted(fields))

    def test_a_large_hash_goes_as_a_whole(self) -> None:
        fields = b" ".join(b"f%d" % number for number in range(1000)).split()
        run(self.client, [[b"HSET", b"h", *(word for field in fields for word in (field, b"v"))]])
        run(self.client, [[b"HPEXPIRE", b"h", b"50", b"FIELDS", b"1000", *fields]])
        self.stream()
        self.pass_ms(51)
        self.assertEqual(self.do("HLEN h"), ":0")
        self.assertEqual(self.stream(), [[b"DEL", b"h"]])
        self.assertEqual(self.do("EXISTS h"), ":0")
        self.assertEqual(self.server.stats.expired_fields, 1000)

    def test_a_reader_does_not_wait_for_very_many(self) -> None:
        """They are hidden at once and deleted by the clock; a writer deletes them before it writes."""
        fields = [b"f%d" % number for number in range(LARGE + 2)]
        run(self.client, [[b"HSET", b"h", b"keep", b"1", *(word for field in fields for word in (field, b"v"))]])
        run(self.client, [[b"HPEXPIRE", b"h", b"50", b"FIELDS", b"%d" % len(fields), *fields]])
        self.stream()
        self.pass_ms(51)
        self.assertEqual(self.do("HLEN h"), ":1")
        self.assertEqual(self.do("HGET h f1"), "$-1")
        self.assertEqual(self.stream(), [])
        self.assertEqual(len(self.db.peek(b"h")), LARGE + 3)
        self.db.expire_fields(b"h", self.db.peek(b"h"), 10)  # a slice
        self.assertEqual(self.do("HGETALL h"), "*2 $4 keep $1 1")
        self.assertEqual(self.do("HSET h f1 new"), ":1")
        self.assertEqual(dict(self.db.peek(b"h")), {b"keep": b"1", b"f1": b"new"})

    def test_watch(self) -> None:
        self.prepare()
        self.do("WATCH h")
        self.pass_ms(150)
        other = Client(self.server)
        run(other, [words("HGET h a")])
        self.do("MULTI")
        self.do("SET x y")
        self.assertEqual(self.do("EXEC"), "*-1")

    def test_moves(self) -> None:
        """The deadline goes where the hash goes."""
        for lines, db, key in (
            (("RENAME h g",), 0, b"g"),
            (("COPY h g", "DEL h"), 0, b"g"),
            (("MOVE h 2",), 2, b"h"),
            (("SWAPDB 0 1",), 1, b"h"),
            (("COPY h h DB 3", "DEL h"), 3, b"h"),
        ):
            self.do("FLUSHALL")
            self.prepare()
            for line in lines:
                self.do(line)
            tracked = [
                (each.index, *item)
                for each in self.server.databases
                if each.field_deadlines is not None
                for item in each.field_deadlines.items()
            ]
            self.assertEqual(tracked, [(db, key, self.server.clock.now_ms + 100)], lines)
            self.assertEqual(self.server.databases[db].peek(key).deadline(b"c"), self.server.clock.now_ms + 200)

    def test_dump_and_restore(self) -> None:
        self.prepare()
        value = self.db.peek(b"h")
        payload = run(self.client, [[b"DUMP", b"h"]]).split(b"\r\n", 1)[1][:-2]
        self.do("DEL h")
        self.assertEqual(run(self.client, [[b"RESTORE", b"h", b"0", payload]]), b"+OK\r\n")
        self.assertEqual(self.db.peek(b"h"), value)
        self.assertEqual(list(self.db.field_deadlines.items()), [(b"h", value.earliest())])

    def test_encoding_and_digest(self) -> None:
        self.do("HSET h a 1 b 2")
        plain = value_digest(self.db.peek(b"h"))
        self.assertEqual(self.do("OBJECT ENCODING h"), "$8 listpack")
        self.do("HEXPIRE h 100 FIELDS 1 a")
        self.assertEqual(self.do("OBJECT ENCODING h"), "$10 listpackex")
        self.assertNotEqual(value_digest(self.db.peek(b"h")), plain)
        self.assertEqual(self.do("TYPE h"), "+hash")
        self.assertGreater(int(self.do("MEMORY USAGE h")[1:]), 200)
        self.do("HPERSIST h FIELDS 1 a")
        self.assertEqual(value_digest(self.db.peek(b"h")), plain)


class OnAReplica(HashExpiryTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.do("HSET h a 1 b 2 c 3")
        self.do("HPEXPIRE h 100 FIELDS 2 a b")
        self.do("HSET g a 1")
        self.do("HPEXPIRE g 100 FIELDS 1 a")
        self.server.replication.upstream = Upstream(self.server, "127.0.0.1", 1, 0)
        self.server.update_gates()
        self.pass_ms(150)

    def test_expired_fields_are_hidden_and_kept(self) -> None:
        self.do_all(
            ("HGETALL h", "*2 $1 c $1 3"),
            ("HLEN h", ":1"),
            ("HGET h a", "$-1"),
            ("HTTL h FIELDS 2 a c", "*2 :-2 :-1"),
            ("HGETALL g", "*0"),
            ("HTTL g FIELDS 1 a", "*1 :-2"),
        )
        self.server.timekeeper._expire_slice()
        self.assertEqual(len(self.db.peek(b"h")), 3)
        self.assertEqual(len(self.db.peek(b"g")), 1)

    def test_the_master_deletes_them(self) -> None:
        master = self.server.replication.upstream.client
        self.db.see_expired = True
        self.assertEqual(run(master, [words("HINCRBY h a 1")]), b":2\r\n")  # the master says so, whatever our clock says
        self.assertEqual(run(master, [words("HPEXPIREAT h 1 FIELDS 1 c")]), b"*1\r\n:1\r\n")
        run(master, [words("HDEL h a b")])
        self.db.see_expired = False
        self.assertEqual(self.do("HGETALL h"), "*0")
        self.assertEqual(list(self.db.peek(b"h")), [b"c"])

    def test_after_promotion_they_are_deleted(self) -> None:
        self.server.replication.upstream = None
        self.server.update_gates()
        self.server.timekeeper._expire_slice()
        self.assertEqual(list(self.db.peek(b"h")), [b"c"])
        self.assertIsNone(self.db.peek(b"g"))


class AsAValue(SynchronousTestCase):
    def test_against_a_plain_model(self) -> None:
        """Random changes: fields and deadlines are those of two plain dicts."""
        chance = random.Random(7)
        for _ in range(30):
            found, fields, times = ExpiringHash(), {}, {}
            for step in range(300):
                field, at_ms = b"f%d" % chance.randrange(20), chance.randrange(100)
                choice = chance.randrange(9)
                if choice < 2:
                    found[field] = fields[field] = b"%d" % step
                    times.pop(field, None)
                elif choice == 2:
                    found.keep(field, b"%d" % step)
                    fields[field] = b"%d" % step
                elif choice == 3:
                    self.assertEqual(found.pop(field, None), fields.pop(field, None))
                    times.pop(field, None)
                elif choice == 4:
                    self.assertEqual(found.persist(field), times.pop(field, None) is not None)
                elif choice < 7 and field in fields:
                    found.set_deadline(field, at_ms)
                    times[field] = at_ms
                elif choice == 7:
                    due = {name for name, due_ms in times.items() if due_ms < 10}
                    live = {name: content for name, content in fields.items() if name not in due}
                    self.assertEqual(found.live(10), live)
                    most = chance.choice((None, 1))
                    taken = found.take_due(10, most)
                    self.assertLessEqual(set(taken), due)
                    self.assertEqual(len(taken), min(len(due), most or 99))
                    for name in taken:
                        del fields[name], times[name]
                    self.assertEqual(found.live(10), live)
                elif field in fields:
                    del found[field], fields[field]
                    times.pop(field, None)
                self.assertEqual(found.earliest(), min(times.values(), default=None))
                self.assertEqual(dict(found), fields)
                self.assertEqual(found.deadlines.scores, times)
                self.assertEqual(found.count_due(50), sum(due_ms < 50 for due_ms in times.values()))

    def test_equality(self) -> None:
        first, second = ExpiringHash({b"a": b"1"}), ExpiringHash({b"a": b"1"})
        self.assertEqual(first, second)
        self.assertEqual(first, {b"a": b"1"})
        first.set_deadline(b"a", 5)
        self.assertNotEqual(first, second)
        self.assertNotEqual(first, {b"a": b"1"})
        self.assertEqual(first.copy(), first)
        copied = first.copy()
        copied.persist(b"a")
        self.assertEqual(first.deadline(b"a"), 5)
        self.assertNotEqual(first, 5)

    def test_large_ones_are_given_back_in_slices(self) -> None:
        value = ExpiringHash((b"%d" % number, b"x") for number in range(3000))
        for field in value:
            value.set_deadline(field, FAR + len(field))
        trash = Trash()
        trash.throw(value)
        slices = 0
        while trash.reclaim(500):
            slices += 1
        self.assertGreater(slices, 10)
        self.assertEqual((len(value), len(value.deadlines)), (0, 0))
