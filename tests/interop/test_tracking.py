"""Client-side caching beside a real server, on the wire: who is told what, and where it stands among the replies.

A fence (a command whose reply is known) stands behind whatever is said: what a connection has got up to that reply must be
equal on both servers to the byte.  Numbers of clients are replaced by names before.
"""

from __future__ import annotations

import time
from typing import Any

import redis
from hypothesis import given, settings
from hypothesis import strategies as st
from redis.cache import CacheConfig
from redis.connection import CacheProxyConnection
from twisted.trial.unittest import SynchronousTestCase

from tests.support.connection import Connection, Push, encode_command
from tests.support.servers import Node, RealServer, Replicad, need_reference, wait_in_sync, wait_until
from tests.support.twohead import Pair, TwoHeadedTestCase, shared

CHANNEL = "__redis__:invalidate"
NO_DELAY = {"repl-diskless-sync-delay": 0}

#: One reply each on one connection: options, contradictions, states and their texts.
TABLE = """
CLIENT CACHING YES
CLIENT TRACKING
CLIENT TRACKING foo
CLIENT TRACKING ON foo
CLIENT TRACKING ON REDIRECT
CLIENT TRACKING ON REDIRECT x
CLIENT TRACKING ON REDIRECT 9999999
CLIENT TRACKING ON REDIRECT 0
CLIENT TRACKING ON REDIRECT -1
CLIENT TRACKING ON PREFIX
CLIENT TRACKING ON PREFIX a
CLIENT TRACKING ON BCAST PREFIX ab PREFIX a
CLIENT TRACKING ON BCAST PREFIX a PREFIX ab
CLIENT TRACKING ON BCAST PREFIX a PREFIX a
CLIENT TRACKING ON BCAST OPTIN
CLIENT TRACKING ON OPTIN OPTOUT
CLIENT TRACKING OFF foo
CLIENT TRACKING OFF REDIRECT 9999999
CLIENT TRACKING OFF PREFIX a
CLIENT TRACKINGINFO
CLIENT GETREDIR
CLIENT TRACKING ON OPTIN
CLIENT CACHING NO
CLIENT CACHING foo
CLIENT CACHING
CLIENT CACHING YES
CLIENT TRACKINGINFO
CLIENT TRACKING ON OPTOUT
CLIENT TRACKING ON BCAST
CLIENT TRACKING ON
CLIENT TRACKINGINFO
CLIENT TRACKING ON optout noloop
CLIENT CACHING yes
CLIENT CACHING no
CLIENT TRACKINGINFO
CLIENT GETREDIR
CLIENT TRACKING OFF
CLIENT TRACKING ON BCAST PREFIX foo PREFIX bar
CLIENT TRACKING ON BCAST PREFIX foo
CLIENT TRACKING ON BCAST PREFIX fo
CLIENT TRACKING ON BCAST PREFIX food
CLIENT TRACKING ON BCAST PREFIX baz NOLOOP
CLIENT TRACKINGINFO
CLIENT TRACKING ON
CLIENT CACHING YES
CLIENT TRACKING ON BCAST
CLIENT TRACKING ON BCAST PREFIX zz
CLIENT TRACKINGINFO
RESET
CLIENT TRACKINGINFO
CLIENT GETREDIR
CLIENT TRACKINGINFO x
CLIENT GETREDIR x
"""

#: Reads, good and bad, and commands that are none; all their keys are changed afterwards.
READS = """
EXISTS k1 k2 k1
SINTERCARD 2 s1 s2
SINTERCARD 9 s3
TTL k3
OBJECT ENCODING k4
XLEN k5
MEMORY USAGE k6
WATCH k7
SORT_RO k8
GETRANGE k9 0 1
TYPE k10
DUMP k11
LCS k12 k13
SCAN 0
KEYS *
RANDOMKEY
LPUSH k14 1
GET k15
SET k16 1 GET
GETEX k17
HGET k18 a
PFCOUNT k19 k20
XREAD COUNT 1 STREAMS k21 k22 0 0
ZUNION 2 k23 k24
ZDIFF 1 k25
GEOSEARCH k26 FROMLONLAT 1 1 BYRADIUS 1 m
MGET k27 k28
TOUCH k29
BITCOUNT k30
GET
"""


class Conversation(TwoHeadedTestCase):
    """What the tests say and hear; ``pair`` is a client that does not track."""

    resp = 3

    def setUp(self) -> None:
        """Empty servers without traces of earlier tests."""
        super().setUp()
        self.names: dict[int, bytes] = {}
        self.do("CONFIG", "SET", "tracking-table-max-keys", "1000000")

    def numbers(self, pair: Pair) -> tuple[int, int]:
        """The numbers of the pair's clients, which from now on are shown as a name."""
        real, ours = pair.real.must("CLIENT", "ID"), pair.ours.must("CLIENT", "ID")
        self.names[real] = self.names[ours] = b"#%d" % len(self.names)
        return real, ours

    def leave(self, pair: Pair, numbers: tuple[int, int]) -> None:
        """Close a pair and wait until both servers know."""
        pair.close()
        for node, number in zip((shared(RealServer), shared(Replicad)), numbers, strict=True):
            listed = b"id=%d " % number
            wait_until(lambda: listed not in node.call("CLIENT", "LIST"), 5, "it has gone")  # noqa: B023

    def tracker(self, *options: str, resp: int = 3, redirect: tuple[int, int] = (0, 0)) -> Pair:
        """A client with tracking on, redirected to the client with these numbers."""
        pair = self.open_pair(resp)
        for connection, number in zip((pair.real, pair.ours), redirect, strict=True):
            words = ["REDIRECT", str(number)] if number else []
            connection.must("CLIENT", "TRACKING", "ON", *options, *words)
        return pair

    def say(self, pair: Pair, *lines: str) -> bytes:
        """Send the commands in one write; returns what both servers answer up to the fence behind them."""
        data = b"".join(encode_command(*line.split()) for line in lines) + encode_command("PING", "fence")
        answers = []
        for connection in (pair.real, pair.ours):
            connection.send_raw(data)
            answers.append(self.up_to_fence(connection))
        self.assertEqual(answers[0], answers[1], lines)
        return answers[0]

    def up_to_fence(self, connection: Connection) -> bytes:
        """The bytes before the fence's reply."""
        parts = []
        while True:
            reply, raw = connection.read_reply_raw()
            if reply in (b"fence", [b"pong", b"fence"]):
                answer = b"".join(parts)
                for number, name in self.names.items():
                    answer = answer.replace(b":%d\r\n" % number, b":" + name + b"\r\n")
                return answer
            parts.append(raw)

    def hear(self, pair: Pair) -> bytes:
        """What has come since."""
        return self.say(pair)


def told(*keys: str) -> bytes:
    """The message about these keys, a push."""
    return b">2\r\n$10\r\ninvalidate\r\n" + encode_command(*keys)


ALL_GONE = b">2\r\n$10\r\ninvalidate\r\n_\r\n"


class Modes(Conversation):
    """Options and their errors."""

    def test_table(self) -> None:
        """Every option and contradiction, in RESP3 and RESP2."""
        for resp in (3, 2):
            pair = self.open_pair(resp)
            for line in TABLE.strip().splitlines():
                self.say(pair, line)

    def test_redirect_twice(self) -> None:
        """Only one REDIRECT is allowed, and the number must be that of a client."""
        pair, target = self.open_pair(), self.open_pair()
        replies = []
        for connection, other in ((pair.real, target.real), (pair.ours, target.ours)):
            number = other.must("CLIENT", "ID")
            words = ("REDIRECT", number) * 2
            replies.append(connection.call("CLIENT", "TRACKING", "ON", *words))
        self.assertEqual(replies[0], replies[1])

    def test_caching_word(self) -> None:
        """CLIENT CACHING holds for one command or transaction, whether it works or not, but not for the CLIENT family."""
        batches = [
            ("CLIENT CACHING YES", "GET a", "GET b"),
            ("CLIENT CACHING YES", "CLIENT ID x", "GET a", "GET b"),
            ("CLIENT CACHING YES", "CLIENT FOO", "GET a"),
            ("CLIENT CACHING YES", "NOSUCH", "GET a"),
            ("CLIENT CACHING YES", "GET", "GET a"),
            ("CLIENT CACHING YES", "CLIENT GETNAME", "GET a"),
            ("CLIENT CACHING YES", "MULTI", "GET a", "GET b", "EXEC", "GET c"),
            ("MULTI", "CLIENT CACHING YES", "GET a", "EXEC", "GET c"),
            ("CLIENT CACHING YES", "MULTI", "DISCARD", "GET a"),
            ("CLIENT CACHING YES", "MULTI", "GET", "EXEC", "GET a"),
        ]
        optin = self.tracker("OPTIN")
        for batch in batches:
            self.say(optin, *batch)
            self.say(self.pair, "MSET a 1 b 1 c 1")
            self.hear(optin)
        optout = self.tracker("OPTOUT")
        for batch in batches:
            self.say(optout, *[line.replace("YES", "NO") for line in batch])
            self.say(self.pair, "MSET a 1 b 1 c 1")
            self.hear(optout)

    def test_info(self) -> None:
        """CLIENT LIST and INFO show who tracks what."""
        ordinary, everything = self.tracker(), self.tracker("BCAST", "PREFIX", "a", "PREFIX", "b")
        target = self.open_pair()
        numbers = self.numbers(target)
        redirected = self.tracker(redirect=numbers)
        self.say(ordinary, "MGET x y z")
        self.say(redirected, "GET x")
        fields = []
        for node in (shared(RealServer), shared(Replicad)):
            info = node.info("clients") | node.info("stats")
            fields.append({name: value for name, value in info.items() if name.startswith("tracking_")})
        self.assertEqual(fields[0], fields[1])
        self.assertEqual(fields[1]["tracking_total_items"], "4")
        self.leave(target, numbers)
        self.say(self.pair, "SET x 1")
        for pair, flags in ((ordinary, b"t"), (everything, b"tB"), (redirected, b"tR")):
            self.hear(pair)
            for line in pair.both("CLIENT", "INFO"):
                self.assertIn(b" flags=" + flags + b" ", line)
                self.assertEqual(b" redir=0 " in line, flags != b"tR")
        self.say(redirected, "CLIENT TRACKINGINFO", "CLIENT GETREDIR")


class Messages(Conversation):
    """Who is told what, and when."""

    def test_others(self) -> None:
        """A key is told once, by its name, whatever the database."""
        one, two = self.tracker(), self.tracker()
        self.say(one, "GET k", "GET l")
        self.say(two, "GET k", "GET k")
        self.say(self.pair, "SET k 1", "SET k 2", "SET other 1")
        self.assertEqual(self.hear(one), told("k"))
        self.assertEqual(self.hear(two), told("k"))
        self.say(self.pair, "SELECT 3", "SET l 1", "SELECT 0")
        self.assertEqual(self.hear(one), told("l"))
        self.say(one, "GET k")
        self.say(self.pair, "SWAPDB 0 3", "SWAPDB 0 3", "RENAME k l", "DEL l")
        self.hear(one)

    def test_own_changes(self) -> None:
        """They are told behind the reply, in a transaction behind the whole of it."""
        pair = self.tracker()
        self.assertEqual(self.say(pair, "GET k", "SET k 1"), b"_\r\n+OK\r\n" + told("k"))
        self.say(pair, "GET k", "GET l", "MSET k 1 l 2", "GET m", "MULTI", "SET k 5", "GET k", "INCR k", "EXEC", "GET k")
        self.say(pair, "GET k", "MULTI", "FLUSHALL", "SET k 1", "GET k", "SET k 2", "EXEC", "GET k")
        self.numbers(pair)  # HELLO tells them
        for inside in ("CLIENT TRACKING OFF", "CLIENT TRACKING OFF;CLIENT TRACKING ON", "HELLO 2"):
            self.say(pair, "GET k", "MULTI", "SET k 1", *inside.split(";"), "EXEC", "HELLO 3", "CLIENT TRACKING ON")
        late = self.open_pair()
        self.say(late, "MULTI", "CLIENT TRACKING ON", "GET k", "SET k 1", "EXEC", "GET k", "SET k 2", "RESET", "PING")
        self.say(pair, "CLIENT TRACKING ON", "GET k", "DEBUG RELOAD", "GET k", "INCR k", "GET k", "HGET k f", "RENAME k l")
        self.say(pair, "GET k", "LPUSH k 1", "GET k", "DEL k", "DEL k", "EXPIRE k 10", "GETDEL k")

    def test_reads(self) -> None:
        """Which commands count as reads, and which of their words are keys."""
        pair = self.tracker()
        self.say(pair, *READS.strip().splitlines())
        keys = [f"k{number}" for number in range(1, 31)] + ["s1", "s2", "s3"]
        self.say(self.pair, "MSET " + " ".join(f"{key} v" for key in keys))
        heard = self.hear(pair)
        self.assertIn(told("k1"), heard)
        self.assertNotIn(told("k7"), heard)

    def test_flush(self) -> None:
        """FLUSHALL and FLUSHDB tell everybody who tracks, even when there was nothing."""
        pairs = [self.tracker(), self.tracker("BCAST"), self.tracker("NOLOOP"), self.tracker("OPTIN")]
        self.say(self.pair, "FLUSHALL", "FLUSHDB", "FLUSHALL ASYNC")
        for pair in pairs:
            self.assertEqual(self.hear(pair), 3 * ALL_GONE)
        self.assertEqual(self.say(pairs[0], "FLUSHDB SYNC"), b"+OK\r\n" + ALL_GONE)
        for pair in pairs[1:]:
            self.assertEqual(self.hear(pair), ALL_GONE)

    def test_noloop(self) -> None:
        """Own changes are not told, and forgotten all the same."""
        pair = self.tracker("NOLOOP")
        self.say(pair, "GET k", "SET k 1")
        self.say(self.pair, "SET k 1")
        self.assertEqual(self.hear(pair), b"")
        self.say(pair, "GET k", "MULTI", "SET k 1", "EXEC", "GET k")
        self.say(self.pair, "SET k 1")
        self.assertEqual(self.hear(pair), told("k"))

    def test_broadcast(self) -> None:
        """The keys of one turn come together, sorted, behind the replies, to all but those with NOLOOP who changed them."""
        pair, quiet, part = self.tracker("BCAST"), self.tracker("BCAST", "NOLOOP"), self.tracker("BCAST", "PREFIX", "k")
        self.assertEqual(self.say(pair, "SET k1 1", "SET k0 1", "GET k1", "SET k1 2", "SET z 1").count(b"+OK"), 4)
        self.assertEqual(self.hear(pair), told("k0", "k1", "z"))
        self.assertEqual(self.hear(quiet), told("k0", "k1", "z"))
        self.assertEqual(self.hear(part), told("k0", "k1"))
        self.say(quiet, "SET k1 1", "SET k2 1")
        self.assertEqual(self.hear(quiet), b"")
        self.say(quiet, "MULTI", "SET k1 1", "EXEC")
        self.assertEqual(self.hear(quiet), b"")
        self.assertEqual(self.hear(part), told("k1", "k2") + told("k1"))
        self.say(self.pair, "FLUSHALL", "SET a 1")
        self.assertEqual(self.hear(pair), told("k1", "k2") + told("k1") + ALL_GONE + told("a"))
        self.say(part, "CLIENT TRACKING ON BCAST PREFIX a PREFIX b")
        self.say(self.pair, "MSET b1 1 k1 1 a1 1 c1 1")
        self.hear(part)

    def test_changes(self) -> None:
        """Commands that change something are told, those that change nothing are not."""
        pair = self.tracker("BCAST")
        for line in """
            SET x 1; DEL nothing; EXPIRE x 100; PERSIST x; PERSIST x; RENAME x y; LPUSH l 1; LPOP l; LPOP l; GETDEL y
            SETEX v 10 v; GETEX v PERSIST; GETEX v; SADD s 1; SADD s 1; SREM s 9; HSET h a 1; HDEL h z; XADD st 1-1 a b
            XGROUP CREATE st g 0; XREADGROUP GROUP g c STREAMS st >; XACK st g 1-1; XTRIM st MAXLEN 5; COPY h h2
            SORT s STORE sd; TOUCH h; SETBIT bb 1 1; PFADD pf a; PFADD pf a; PFCOUNT pf; GEOADD geo 1 1 x; GEOADD geo 1 1 x
            MOVE h 4; SUNIONSTORE d s; SINTERSTORE d s none; ZADD z 1 a; ZADD z 1 a; ZADD z XX 1 b; ZPOPMIN z; SETRANGE n 0 a
            APPEND ap a; SMOVE s s9 1
            LMOVE l l2 LEFT LEFT; RPUSH l a b; LMOVE l l2 LEFT LEFT; LTRIM l 0 -1; LINSERT l BEFORE q w
            MSETNX a1 1 a2 2; MSETNX a1 1 a3 2; SETNX a1 2; INCR cnt
            HINCRBY h2 q 1; UNLINK h2; BITOP AND bo bb; ZUNIONSTORE zu 1 s9
        """.replace("\n", ";").split(";"):
            if line.strip():
                self.say(self.pair, line.strip())
                self.hear(pair)

    def test_expiry(self) -> None:
        """An expired key is told when it is deleted: by the next read of anybody, or by itself."""
        self.do("DEBUG", "SET-ACTIVE-EXPIRE", "0")
        try:
            pair = self.tracker()
            self.say(self.pair, "SET own 1 PX 30", "SET others 1 PX 30")
            self.say(pair, "GET own", "GET others")
            time.sleep(0.05)
            self.assertEqual(self.hear(pair), b"")
            self.assertEqual(self.say(pair, "GET own"), b"_\r\n" + told("own"))
            self.say(self.pair, "GET others")
            self.assertEqual(self.hear(pair), told("others"))
        finally:
            self.do("DEBUG", "SET-ACTIVE-EXPIRE", "1")
        self.say(self.pair, "SET k 1 PX 30")
        self.say(pair, "GET k")
        for connection in (pair.real, pair.ours):
            self.assertEqual(connection.read_reply(), Push([b"invalidate", [b"k"]]))

    def test_blocked(self) -> None:
        """A blocked client that is served is told of the push before its reply, of its own pop not at all."""
        pair = self.tracker()
        self.say(pair, "LRANGE l 0 -1")
        pair.send("BLPOP", "l", "0")
        self.wait_blocked()
        self.say(self.pair, "RPUSH l a")
        self.assertEqual(pair.read(), [b"invalidate", [b"l"]])
        self.assertEqual(pair.read(), [b"l", b"a"])
        pair.send("XREAD", "BLOCK", "0", "STREAMS", "st", "$")
        self.wait_blocked()
        self.say(self.pair, "XADD st 1-1 a b", "XADD st 1-2 a b")
        self.assertEqual(pair.read(), [b"invalidate", [b"st"]])
        pair.read()
        self.assertEqual(self.hear(pair), b"")

    def test_replies_off(self) -> None:
        """CLIENT REPLY OFF and SKIP stop replies, not messages."""
        pair = self.tracker()
        pair.send_raw(encode_command("CLIENT", "REPLY", "OFF") + encode_command("GET", "k"))
        self.wait_keys(1)
        self.say(self.pair, "SET k 1")
        self.assertEqual(pair.read(), [b"invalidate", [b"k"]])
        pair.send_raw(encode_command("GET", "k") + encode_command("SET", "k", "2"))
        self.assertEqual(pair.read(), [b"invalidate", [b"k"]])
        self.say(pair, "CLIENT REPLY ON", "GET k", "CLIENT REPLY SKIP", "SET k 3", "GET k")

    def wait_keys(self, count: int) -> None:
        """Until so many keys are tracked on both servers."""
        for connection in (self.pair.real, self.pair.ours):
            wait_until(
                lambda: connection.info("stats")["tracking_total_keys"] == str(count), 5, "tracked keys"  # noqa: B023
            )

    def script(self, pair: Pair, name: str, text: str, *keys: str) -> None:
        """Run a script; what the tracking client and the others hear of it must be equal."""
        data = encode_command(name, text, len(keys), *keys) + encode_command("PING", "fence")
        answers = []
        for connection in (pair.real, pair.ours):
            connection.send_raw(data)
            answers.append(self.up_to_fence(connection))
        self.assertEqual(answers[0], answers[1], text)

    def test_scripts(self) -> None:
        """A script that reads anything has read all the keys that it declared, and no other."""
        pair = self.tracker()
        for name in ("EVAL", "EVAL_RO"):
            for text, keys in (
                ("return redis.call('get', 'k')", ()),
                ("return redis.call('get', KEYS[1])", ("k",)),
                ("return redis.call('get', KEYS[1])", ("k", "l")),
                ("return redis.call('get', 'l')", ("k",)),
                ("return 1", ("k",)),
            ):
                self.script(pair, name, text, *keys)
                self.say(self.pair, "MSET k 1 l 1")
                self.hear(pair)
        self.script(pair, "EVAL", "redis.call('get', 'k') redis.call('set', 'k', 2) return redis.call('get', 'k')", "k")
        self.hear(pair)

    def test_versions_of_the_protocol(self) -> None:
        """RESP2 hears nothing; what it has read is told when it speaks RESP3."""
        pair = self.tracker(resp=2)
        self.say(pair, "GET k", "SET k 1", "GET k")
        pair.real.must("HELLO", "3")
        pair.ours.must("HELLO", "3")
        self.assertEqual(self.say(pair, "SET k 1"), b"+OK\r\n" + told("k"))
        self.say(pair, "GET k", "RESET")
        self.say(self.pair, "SET k 1")
        self.assertEqual(self.hear(pair), b"")

    def test_off_and_on(self) -> None:
        """What was read before OFF is still told after ON, but not to a client that turned to BCAST."""
        pair = self.tracker()
        self.say(pair, "GET k", "GET l", "CLIENT TRACKING OFF", "CLIENT TRACKING ON")
        self.say(self.pair, "SET k 1")
        self.assertEqual(self.hear(pair), told("k"))
        self.say(pair, "CLIENT TRACKING OFF", "CLIENT TRACKING ON BCAST PREFIX x")
        self.say(self.pair, "SET l 1")
        self.assertEqual(self.hear(pair), b"")

    def test_subscriber(self) -> None:
        """A client may listen to channels too."""
        pair = self.tracker()
        self.say(pair, "SUBSCRIBE q", "GET k", "PUBLISH q hi", "SET k 1", "GET k")
        self.say(self.pair, "PUBLISH q there", "SET k 1", "PUBLISH q again")
        self.hear(pair)

    def test_limit(self) -> None:
        """tracking-table-max-keys: keys above it are told as if they had changed."""
        pair = self.tracker()
        self.do("CONFIG", "SET", "tracking-table-max-keys", "3")
        self.say(pair, "MGET a b c")
        for connection in (pair.real, pair.ours):
            connection.send("MGET", "d", "e")
            connection.send("PING")
            replies = [connection.read_reply() for _ in range(4)]
            self.assertEqual(replies[0], [None, None])
            evicted = {reply[1][0] for reply in replies if isinstance(reply, Push)}
            self.assertEqual(len(evicted), 2)
            self.assertLessEqual(evicted, set(b"a b c d e".split()))
            self.assertEqual(connection.info("stats")["tracking_total_keys"], "3")
        self.do("CONFIG", "SET", "tracking-table-max-keys", "1")
        self.assertEqual(self.pair.ours.info("stats")["tracking_total_keys"], "1")


class Redirection(Conversation):
    """Messages that another connection gets."""

    def test_subscriber(self) -> None:
        """A RESP2 connection in the subscribed mode, whatever it is subscribed to."""
        target = self.open_pair(2)
        numbers = self.numbers(target)
        self.say(target, f"SUBSCRIBE {CHANNEL}")
        pair = self.tracker(resp=2, redirect=numbers)
        self.say(pair, "GET k", "GET l", "CLIENT GETREDIR")
        self.say(self.pair, "MSET k 1 l 1")
        message = b"*3\r\n$7\r\nmessage\r\n$20\r\n__redis__:invalidate\r\n"
        self.assertEqual(self.hear(target), message + encode_command("k") + message + encode_command("l"))
        self.say(pair, "GET k", "SET k 1")
        self.assertEqual(self.hear(target), message + encode_command("k"))
        self.say(pair, "FLUSHALL")
        self.assertEqual(self.hear(target), message + b"$-1\r\n")
        for line in ("SUBSCRIBE other", f"UNSUBSCRIBE {CHANNEL}", "PSUBSCRIBE x*", "UNSUBSCRIBE other", "SSUBSCRIBE s",
                     "PUNSUBSCRIBE x*", "SUNSUBSCRIBE s"):  # fmt: skip
            self.say(target, line)
            self.say(pair, "GET k")
            self.say(self.pair, "SET k 1")
            self.hear(target)

    def test_pushes(self) -> None:
        """A RESP3 connection gets pushes for one that speaks RESP2; a client may name itself."""
        target = self.open_pair()
        pair = self.tracker(resp=2, redirect=self.numbers(target))
        self.say(pair, "GET k")
        self.say(self.pair, "SET k 1")
        self.assertEqual(self.hear(target), told("k"))
        broadcast = self.tracker("BCAST", redirect=self.numbers(target))
        self.say(self.pair, "SET k 1")
        self.assertEqual(self.hear(target), told("k"))
        self.assertEqual(self.hear(broadcast), b"")
        own = self.open_pair()
        for connection, number in zip((own.real, own.ours), self.numbers(own), strict=True):
            connection.must("CLIENT", "TRACKING", "ON", "REDIRECT", number)
        self.say(own, "GET k", "SET k 1", "GET k")

    def test_broken(self) -> None:
        """When the other connection is gone a RESP3 client is told so, each time."""
        target = self.open_pair(2)
        numbers = self.numbers(target)
        pair = self.tracker(redirect=numbers)
        self.say(target, f"SUBSCRIBE {CHANNEL}")
        self.say(pair, "MGET k l m n", "CLIENT TRACKINGINFO")
        self.leave(target, numbers)
        self.say(self.pair, "SET k 1")
        self.assertIn(b"tracking-redir-broken", self.hear(pair))
        self.say(pair, "SET l 1", "CLIENT TRACKINGINFO", "MULTI", "SET m 1", "SET n 1", "EXEC")
        self.say(pair, "CLIENT TRACKING ON", "CLIENT TRACKINGINFO", "GET k", "SET k 1")


class RandomConversations(Conversation):
    """Any mixture of modes, reads and changes sounds the same on both servers."""

    modes = ("", "NOLOOP", "BCAST", "BCAST NOLOOP", "BCAST PREFIX a", "OPTIN", "OPTOUT NOLOOP")
    key = st.sampled_from(["a", "ab", "b", "c"])
    plain = st.one_of(
        st.builds("{} {}".format, st.sampled_from(["GET", "DEL", "INCR", "TYPE", "STRLEN"]), key),
        st.builds("{} a {}".format, st.sampled_from(["RENAME", "COPY", "MGET", "SET"]), key),
        st.sampled_from("CLIENT CACHING YES;CLIENT CACHING NO;FLUSHALL;SELECT 1;SELECT 0;GET;NOSUCH".split(";")),
    )
    unit = st.one_of(plain.map(lambda line: [line]), st.lists(plain, max_size=4).map(lambda some: ["MULTI", *some, "EXEC"]))

    @settings(derandomize=True, deadline=None, max_examples=40, database=None)
    @given(
        st.tuples(st.sampled_from(modes), st.sampled_from(modes)),
        st.lists(st.tuples(st.integers(0, 2), st.lists(unit, min_size=1, max_size=5)), max_size=12),
    )
    def test_conversation(self, modes: tuple[str, str], batches: list[tuple[int, list[list[str]]]]) -> None:
        """Three clients, two of which track."""
        pairs = [self.tracker(*mode.split()) for mode in modes] + [self.open_pair()]
        for number, units in batches:
            self.say(pairs[number], *[line for unit in units for line in unit])
            for pair in pairs:
                self.hear(pair)
        for pair in pairs:
            pair.close()
        self.say(self.pair, "FLUSHALL")


class Replicas(SynchronousTestCase):
    """What the master changes is told by the replica, too."""

    def test_stream_and_resync(self) -> None:
        """Changes and expiry arrive as messages; a full resynchronization says that everything is gone."""
        need_reference()
        master: Node = RealServer(self, NO_DELAY).start()
        replica = Replicad(self).start()
        replica.call("REPLICAOF", "127.0.0.1", master.port)
        wait_in_sync(master, replica)
        one = replica.client(resp=3)
        one.must("CLIENT", "TRACKING", "ON")
        everything = replica.client(resp=3)
        everything.must("CLIENT", "TRACKING", "ON", "BCAST")
        one.must("GET", "k")
        master.call("SET", "k", "1")
        self.assertEqual(one.read_reply(), Push([b"invalidate", [b"k"]]))
        self.assertEqual(everything.read_reply(), Push([b"invalidate", [b"k"]]))
        master.call("SET", "e", "1", "PX", "1")
        self.assertEqual(everything.read_reply(), Push([b"invalidate", [b"e"]]))
        self.assertEqual(everything.read_reply(), Push([b"invalidate", [b"e"]]))
        master.call("FLUSHALL")
        self.assertEqual(one.read_reply(), Push([b"invalidate", None]))
        other: Node = RealServer(self, NO_DELAY).start()
        replica.call("REPLICAOF", "127.0.0.1", other.port)
        self.assertEqual(one.read_reply(), Push([b"invalidate", None]))


class Evicted(SynchronousTestCase):
    """Keys that maxmemory takes away."""

    def test_evicted_keys(self) -> None:
        """They are told like deleted ones, and reads and changes are noted while memory is counted."""
        node = Replicad(self, {"maxmemory-policy": "allkeys-lru", "maxmemory": "1gb"}).start()
        one, everything, other = (node.client(resp=3) for _ in range(3))
        one.must("CLIENT", "TRACKING", "ON")
        everything.must("CLIENT", "TRACKING", "ON", "BCAST")
        for number in range(50):
            other.must("SET", f"k{number}", "x" * 2000)
        one.must("MGET", *[f"k{number}" for number in range(50)])
        other.must("SET", "k0", "v")
        self.assertEqual(one.read_reply(), Push([b"invalidate", [b"k0"]]))
        other.must("CONFIG", "SET", "maxmemory", "1")
        other.call("SET", "k", "v")
        wait_until(lambda: other.must("DBSIZE") == 0, 5, "all keys are gone")
        gone = [one.read_reply()[1][0] for _ in range(49)]
        self.assertEqual(sorted(gone), sorted(b"k%d" % number for number in range(1, 50)))


class RedisPyCache(SynchronousTestCase):
    """The cache of redis-py, as its users turn it on."""

    def connect(self, **options: Any) -> Any:
        """A client that is closed at the end."""
        client = redis.Redis(port=shared(Replicad).port, protocol=3, decode_responses=True, socket_timeout=10, **options)
        self.addCleanup(client.close)
        return client

    def test_cache(self) -> None:
        """A second read asks nobody; a change by somebody else is seen by the next one."""
        # redis-py asks for the version that HELLO names; Redis has had all it needs since 6.0.
        self.patch(CacheProxyConnection, "MIN_ALLOWED_VERSION", "7.0.0")
        other = self.connect()
        other.flushall()
        cached = self.connect(cache_config=CacheConfig())
        other.set("k", "1")
        self.assertEqual([cached.get("k") for _ in range(3)], ["1"] * 3)
        other.config_resetstat()
        self.assertEqual(cached.get("k"), "1")
        self.assertNotIn("cmdstat_get", other.info("commandstats"))
        other.set("k", "2")
        self.assertEqual(cached.get("k"), "2")
        self.assertEqual(other.info("commandstats")["cmdstat_get"]["calls"], 1)
        cached.set("k", "3")
        self.assertEqual(cached.get("k"), "3")
        other.hset("h", mapping={"a": "1"})
        self.assertEqual(cached.hgetall("h"), {"a": "1"})
        other.hset("h", "a", "2")
        self.assertEqual(cached.hgetall("h"), {"a": "2"})
        other.flushall()
        self.assertEqual(cached.get("k"), None)
        other.set("k", "4")
        self.assertEqual(cached.get("k"), "4")
        self.assertEqual(cached.get_cache().size, 1)
