"""Keyspace notifications beside a real server: the same events in the same order, for every command that writes."""

from __future__ import annotations

import random
import time

from replicad.command import lookup
from replicad.server import every_command
from tests.interop.notification_table import COLLECTIONS, KEYS, STREAMS, STRINGS, samples_for
from tests.support.connection import Argument, Connection, RespError
from tests.support.servers import RealServer, Replicad, wait_in_sync
from tests.support.twohead import TwoHeadedTestCase, describe
from tests.unit.law_samples import Row, rows
from tests.unit.test_propagation_law import collect

#: All classes of events, those that ``A`` leaves out too, on both kinds of channels.
EVERYTHING = "AKEnm"
MARK = b"the end of a step"

#: Commands that write and tell nothing, whatever they are given.
QUIET = {
    *(b"FLUSHALL", b"FLUSHDB", b"PFDEBUG", b"SWAPDB", b"XACK"),
    *(b"FUNCTION|DELETE", b"FUNCTION|FLUSH", b"FUNCTION|LOAD", b"FUNCTION|RESTORE"),
}

#: Not for random sequences: transactions, what chooses or walks in an order of its own, what takes its time, and what
#: finds out elsewhere that a key has expired (later, or with MEMORY and WATCH earlier, than Redis does).
OF_THEIR_OWN = {
    *(b"multi", b"exec", b"discard", b"spop", b"randomkey", b"sort", b"sort_ro", b"scan", b"zremrangebylex"),
    *(b"migrate", b"debug", b"smove", b"memory|usage", b"watch", b"flushall", b"flushdb"),
}

Step = tuple[Argument, ...]


class Listener:
    """A subscriber of all events of one server, and the client that causes them."""

    def __init__(self, client: Connection, subscriber: Connection) -> None:
        self.client = client
        self.subscriber = subscriber
        subscriber.must("PSUBSCRIBE", "__key*__:*")
        subscriber.must("SUBSCRIBE", MARK)

    def until_mark(self) -> list[bytes]:
        """``channel message`` of each event up to the next mark."""
        events: list[bytes] = []
        while True:
            message = self.subscriber.read_reply()
            if message[1] == MARK:
                return events
            events.append(b"%b %b" % (message[2], message[3]))

    def steps(self, commands: list[Step]) -> list[tuple[bool, list[bytes]]]:
        """For each command, a transaction being one: was the reply an error, and what was told."""
        marked: list[Step] = []
        ends = []
        queueing = False
        for command in commands:
            marked.append(command)
            queueing = command[0] == b"MULTI" or (queueing and command[0] not in (b"EXEC", b"DISCARD"))
            if not queueing:
                ends.append(len(marked) - 1)
                marked.append(("PUBLISH", MARK, ""))
        replies = self.client.pipeline(*marked)
        return [(isinstance(replies[end], RespError), self.until_mark()) for end in ends]


class NotificationTestCase(TwoHeadedTestCase):
    """Both servers tell everything while a test runs."""

    def setUp(self) -> None:
        """Switch it on and listen."""
        super().setUp()
        self.listen_to(EVERYTHING)
        subscriber = self.open_pair()
        self.addCleanup(self.listen_to, "")
        self.real = Listener(self.pair.real, subscriber.real)
        self.ours = Listener(self.pair.ours, subscriber.ours)

    def listen_to(self, letters: str) -> None:
        """Set the directive on both."""
        self.do("CONFIG", "SET", "notify-keyspace-events", letters)

    def differences(self, commands: list[Step]) -> list[str]:
        """What the servers do not tell alike, in words."""
        steps = enumerate(zip(self.real.steps(commands), self.ours.steps(commands), strict=True))
        return [f"step {number}\n    real {one}\n    ours {other}" for number, (one, other) in steps if one != other]

    def alike(self, scripts: list[Row]) -> None:
        """Each script, begun with empty databases, tells the same."""
        problems = []
        for setup, last in scripts:
            commands: list[Step] = [tuple(argv) for argv in (*setup, last)]
            for problem in self.differences([("SELECT", 0), ("FLUSHALL",), *commands]):
                problems.append(f"{'; '.join(map(describe, commands))}: {problem}")
        if problems:
            self.fail("\n" + "\n".join(problems))


class TableTests(NotificationTestCase):
    """Every command that writes, and what the reading ones tell of missing keys."""

    def setUp(self) -> None:
        """Keys expire only when somebody meets them, so that nothing is told in between."""
        super().setUp()
        self.do("DEBUG", "SET-ACTIVE-EXPIRE", 0)
        self.addCleanup(self.do, "DEBUG", "SET-ACTIVE-EXPIRE", 1)

    def test_samples_of_the_law(self) -> None:
        self.alike(samples_for(self.pair.real))

    def test_every_command_that_writes_is_covered(self) -> None:
        """Those that never tell anything are exactly the ones known for it."""
        samples, _ = collect()
        writing = [cmd.name.upper() for cmd in every_command() if "write" in cmd.flags and not cmd.subcommands]
        telling = set()
        for name in writing:
            for setup, last in samples.get(name, ()):
                commands: list[Step] = [tuple(argv) for argv in (*setup, last)]
                if self.ours.steps([("SELECT", 0), ("FLUSHALL",), *commands])[-1][1]:
                    telling.add(name)
                    break
        self.assertEqual(set(writing) - telling, QUIET)

    def test_strings(self) -> None:
        self.alike(STRINGS)

    def test_keys(self) -> None:
        self.alike(KEYS)

    def test_collections(self) -> None:
        self.alike(COLLECTIONS)

    def test_streams(self) -> None:
        self.alike(STREAMS)

    def test_in_any_order(self) -> None:
        """All commands that neither wait nor choose, shuffled: many meet keys of other types, or expired ones."""
        scripts = [*samples_for(self.pair.real), *STRINGS, *KEYS, *COLLECTIONS, *STREAMS]
        commands: list[Step] = []
        for argv in (argv for setup, last in scripts for argv in (*setup, last)):
            cmd = lookup(argv)
            if cmd is not None and "blocking" not in cmd.flags and cmd.name not in OF_THEIR_OWN:
                commands.append(tuple(argv))
        chance = random.Random(2024)
        for _ in range(2):
            chance.shuffle(commands)
            steps = zip(commands, self.real.steps(commands), self.ours.steps(commands), strict=True)
            for command, real, ours in steps:
                self.assertEqual(real, ours, describe(command))

    def test_binary_keys(self) -> None:
        key = b"\x00\r\n\xff"
        self.assertEqual(self.differences([("SET", key, b"\x00"), ("DEL", key), ("SET", "", ""), ("RENAME", "", key)]), [])

    def test_expired_keys(self) -> None:
        """Met by a reader or a writer after their time: the deletion is told first."""
        setup: list[Step] = [("UNWATCH",), ("FLUSHALL",), ("SADD", "c", "x"), ("RPUSH", "l", 1), ("SET", "b", 1, "EX", 100)]
        lines = (
            "GET a", "SET a 2", "SETNX a 2", "DEL a", "EXISTS a", "INCR a", "LPUSH a x", "RENAME b a", "RENAMENX b a",
            "COPY b a", "COPY b a REPLACE", "MSET a 1", "TTL a", "TYPE a", "GETDEL a", "EXPIRE a 5", "SUNIONSTORE a c",
            "SMOVE c a x", "LMOVE l a LEFT LEFT", "PERSIST a", "SCAN 0", "KEYS *", "MOVE a 1", "SORT l STORE a",
            "ZUNIONSTORE a 1 c", "GETEX a", "XADD a 1 f v", "OBJECT ENCODING a", "DUMP a", "SET a 2 KEEPTTL", "SET a 2 GET",
        )  # fmt: skip
        problems = []
        for line in lines:
            for listener in (self.real, self.ours):
                listener.steps([*setup, ("SET", "a", 1, "PX", 1)])
            time.sleep(0.004)
            problems += [f"{line}: {problem}" for problem in self.differences([tuple(line.split())])]
        self.assertEqual(problems, [], "\n" + "\n".join(problems))


class DeliveryTests(NotificationTestCase):
    """Who is told, when, and of what."""

    def told(self) -> list[bytes]:
        """What both servers told until now, the same."""
        self.do("PUBLISH", MARK, "")
        real, ours = self.real.until_mark(), self.ours.until_mark()
        self.assertEqual(real, ours)
        return real

    def test_letters(self) -> None:
        """Each class alone, on each kind of channel."""
        script = rows(
            "SET a 1 EX 9; LPUSH b 1; SADD c 1; HSET d f v; ZADD e 1 x; XADD f 1 f v; GET missing; RENAME a g; LPOP b; "
            "PEXPIREAT g 1; GEOADD i 1 1 x; PFADD j x"
        )
        for letters in (*"Kg Eg K$ E$ Kl Es Kh Ez Kt Kx Ke Km Kn Kd EA KA AKEmn AmK AEn K KE g A gx Eg$l".split(), ""):
            self.listen_to(letters)
            self.do("CONFIG", "GET", "notify-keyspace-events")
            self.alike(script)

    def test_the_directive(self) -> None:
        names = "A", "KEA", "KEg$lshzxetd", "KEg$lshzxetdmn", "n", "nm", "mK", "eK", "gKEx", "AAKK", "KE", "tdzshl$gKE"
        for letters in ("", *names, "Q", "KEa", "A ", "k", "KE,g", "0", "\x00", "Kn", "KEAn", "g$lshzxetdn"):
            self.do("CONFIG", "SET", "notify-keyspace-events", letters)
            self.do("CONFIG", "GET", "notify-keyspace-events")

    def test_off(self) -> None:
        self.do("SET", "a", 1)
        self.assertEqual(len(self.told()), 4)
        self.listen_to("")
        for line in ("SET b 1", "GET x", "LPUSH l 1", "LPOP l", "DEL a", "SET c 1 PX 1", "RENAME b c"):
            self.do(*line.split())
        self.assertEqual(self.told(), [])

    def test_blocked_clients(self) -> None:
        for blocking, *commands in (
            ("BLPOP l 0", "RPUSH l a"),
            ("BLPOP l 0", "RPUSH l a b"),
            ("BLMOVE l m LEFT RIGHT 0", "RPUSH l a b"),
            ("BRPOPLPUSH l l 0", "RPUSH l a b"),
            ("BLMPOP 0 1 l LEFT COUNT 2", "RPUSH l a b c"),
            ("BZPOPMIN z 0", "ZADD z 1 x"),
            ("BZMPOP 0 1 z MAX COUNT 2", "ZADD z 1 x 2 y 3 z"),
            ("XREAD BLOCK 0 STREAMS s $", "XADD s 1 f v"),
            ("BLPOP l 0", "MULTI", "RPUSH l a", "SET b 1", "EXEC"),
        ):
            self.do("FLUSHALL")
            waiting = self.open_pair()
            waiting.send(*blocking.split())
            self.wait_blocked()
            self.do_all(*commands)
            waiting.read(blocking)
            self.assertNotEqual(self.told(), [])
            waiting.close()

    def test_a_waiting_reader_of_a_group(self) -> None:
        self.do_all("XGROUP CREATE s g $ MKSTREAM")
        waiting = self.open_pair()
        waiting.send(*"XREADGROUP GROUP g c BLOCK 0 STREAMS s >".split())
        self.wait_blocked()
        self.do("XADD", "s", "1", "f", "v")
        waiting.read()
        self.assertIn(b"__keyspace@0__:s xgroup-createconsumer", self.told())

    def test_scripts(self) -> None:
        script = "redis.call('set', KEYS[1], 1) redis.call('incr', KEYS[1]) redis.pcall('lpush', KEYS[1], 1)"
        self.do("EVAL", f"{script} redis.call('get', 'missing') return redis.call('del', KEYS[1])", 1, "k")
        self.assertEqual(len(self.told()), 10)

    def test_a_key_that_migrates(self) -> None:
        """From each server to the other: told at both ends."""
        told = []
        for source, target in ((self.real, self.ours), (self.ours, self.real)):
            port = target.client.socket.getpeername()[1]
            steps = source.steps([("FLUSHALL",), ("SET", "k", 1), ("MIGRATE", "127.0.0.1", port, "k", 0, 5000, "COPY")])
            target.client.must("FLUSHALL")
            steps += source.steps([("MIGRATE", "127.0.0.1", port, "k", 0, 5000)])
            target.client.must("PUBLISH", MARK, "")
            told.append((steps, target.until_mark()))
        self.assertEqual(told[0], told[1])
        self.assertIn(b"__keyspace@0__:k del", told[0][0][-1][1])

    def test_who_listens_to_its_own_changes(self) -> None:
        """In RESP3 one connection may do both: messages stand in order between the replies."""
        pair = self.open_pair(resp=3)
        pair.do("SUBSCRIBE", "__keyspace@0__:a", "__keyevent@0__:del")
        pair.read()
        pair.raw(b"SET a 1\r\nPING\r\nINCR a\r\nDEL a b\r\nPING\r\nGET a\r\n", replies=12)

    def test_messages_on_the_wire(self) -> None:
        """Plain channels and patterns, in both protocol versions, of the database that is meant."""
        for resp in (2, 3):
            pair = self.open_pair(resp)
            pair.do("SUBSCRIBE", "__keyspace@1__:a")
            pair.do("PSUBSCRIBE", "__keyevent@1__:*")
            self.do_all("SELECT 1", "SET a 1", "SELECT 0", "SET a 1")
            for _ in range(4):
                pair.read()
            pair.do("RESET")
            self.do("FLUSHALL")

    def test_keys_expire_unasked(self) -> None:
        self.do_all("SET a 1 PX 30", "SELECT 3", "SET b 1 PX 20", "SELECT 0")
        self.told()
        for listener in (self.real, self.ours):
            told = [listener.subscriber.read_reply()[2:] for _ in range(4)]
            self.assertIn([b"__keyevent@0__:expired", b"a"], told)
            self.assertIn([b"__keyspace@3__:b", b"expired"], told)


class ReplicaTests(NotificationTestCase):
    """A replica tells what its master's stream does, by its own directive; nothing goes over the stream."""

    def test_what_replicas_tell(self) -> None:
        master = RealServer(self, {"notify-keyspace-events": "AKE"}, name="master").start()
        told = []
        for kind in (RealServer, Replicad):
            replica = kind(self, {"notify-keyspace-events": EVERYTHING, "replicaof": f"127.0.0.1 {master.port}"})
            replica.start()
            wait_in_sync(master, replica)
            listener = Listener(master.client(), replica.client())
            for line in (
                "SET a 1 EX 100", "GETEX a PERSIST", "RPUSH l 1 2", "LMPOP 1 l LEFT COUNT 2", "SADD s 1", "SPOP s", "INCR a",
                "MULTI", "SET b 1", "DEL b", "EXEC", "EXPIRE a -1", "GET missing", "SET c 1 PX 20", "XADD x 1 f v",
                "XGROUP CREATE x g 0", "XREADGROUP GROUP g c STREAMS x >", "COPY x y", "MOVE x 2", "HINCRBYFLOAT h f 1",
            ):  # fmt: skip
                listener.client.must(*line.split())
            time.sleep(0.2)  # c expires on the master
            listener.client.must("PUBLISH", MARK, "")  # is propagated
            told.append(listener.until_mark())
            self.assertIn(b"__keyspace@0__:c del", told[-1])
            replica.call("GET", "missing")
            self.assertEqual(listener.subscriber.read_reply()[2:], [b"__keyspace@0__:missing", b"keymiss"])
            replica.call("CONFIG", "SET", "notify-keyspace-events", "")
            listener.client.must("SET", "d", 1)
            listener.client.must("FLUSHALL")
            listener.client.must("PUBLISH", MARK, "")
            self.assertEqual(listener.until_mark()[1:], [])  # the second message of the missing key
            replica.stop()
        self.assertEqual(*told)
