"""Publish and subscribe beside a real server: replies, messages, what a subscriber may say, introspection, replicas."""

from __future__ import annotations

from tests.support.connection import Argument
from tests.support.servers import RealServer, Replicad, wait_until
from tests.support.tap import Tap
from tests.support.twohead import Pair, TwoHeadedTestCase, shared

BINARY = b"\x00\r\n\xff"

#: Commands with one reply each, on a connection that subscribes to nothing.
TABLE = """
SUBSCRIBE
PSUBSCRIBE
SSUBSCRIBE
PUBLISH
PUBLISH a
PUBLISH a b
PUBLISH a b c
SPUBLISH a
SPUBLISH a b
UNSUBSCRIBE
UNSUBSCRIBE a
PUNSUBSCRIBE
PUNSUBSCRIBE a
SUNSUBSCRIBE
SUNSUBSCRIBE a
PUBSUB
PUBSUB nosuch
PUBSUB nosuch a b
PUBSUB CHANNELS
PUBSUB channels a*
PUBSUB CHANNELS a b
PUBSUB NUMSUB
PUBSUB NUMSUB a b a
PUBSUB NUMPAT
PUBSUB NUMPAT a
PUBSUB SHARDCHANNELS
PUBSUB SHARDCHANNELS a
PUBSUB SHARDCHANNELS a b
PUBSUB SHARDNUMSUB
PUBSUB SHARDNUMSUB a b
PUBSUB HELP x
"""

NAMES = "SUBSCRIBE UNSUBSCRIBE PSUBSCRIBE PUNSUBSCRIBE SSUBSCRIBE SUNSUBSCRIBE PUBLISH SPUBLISH PUBSUB"
NAMES += " MULTI EXEC DISCARD WATCH UNWATCH"


class PubSub(TwoHeadedTestCase):
    """RESP2."""

    def say(self, pair: Pair, line: str, replies: int = 1) -> list[object]:
        """Send a command that has several replies."""
        pair.send(*line.split())
        return [pair.read(f"{line} ({number})") for number in range(replies)]

    def publish(self, command: str, *args: Argument, to: tuple[Pair, ...] = ()) -> None:
        """Publish; each pair in ``to`` gets one message."""
        self.do(command, *args)
        for pair in to:
            pair.read(f"message of {command} {args}")

    def test_table(self) -> None:
        """Arguments good and bad, without subscriptions."""
        for line in TABLE.strip().splitlines():
            self.do(*line.split())

    def test_arity_and_flags(self) -> None:
        """Arity, flags, key positions and categories are Redis's, those of transactions too."""
        for name in NAMES.split():
            real, ours = self.both("COMMAND", "INFO", name)
            for column in (0, 1, 3, 4, 5):
                self.assertEqual(real[0][column], ours[0][column], name)
            for column in (2, 6):
                self.assertEqual(set(real[0][column]), set(ours[0][column]), name)

    def test_counts(self) -> None:
        """The replies to subscriptions count channels and patterns together, shard channels apart."""
        pair = self.open_pair()
        for line, replies in (
            ("SUBSCRIBE a b a", 3),
            ("SUBSCRIBE a c", 2),
            ("PSUBSCRIBE a* b* a*", 3),
            ("SSUBSCRIBE a s s", 3),
            ("UNSUBSCRIBE b nosuch b", 3),
            ("PUNSUBSCRIBE nosuch a*", 2),
            ("SUNSUBSCRIBE nosuch s", 2),
            ("UNSUBSCRIBE a c", 2),
            ("UNSUBSCRIBE", 1),
            ("PUNSUBSCRIBE", 1),
            ("PUNSUBSCRIBE", 1),
            ("SUNSUBSCRIBE", 1),
            ("SUNSUBSCRIBE", 1),
            ("PING", 1),
            ("GET a", 1),
        ):
            self.say(pair, line, replies)

    def test_unsubscribe_from_all(self) -> None:
        """Without arguments everything goes, one reply for each, in any order."""
        pair = self.open_pair()
        for subscribe in ("SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE"):
            unsubscribe = subscribe.replace("SUB", "UNSUB")
            self.say(pair, f"{subscribe} a b c d", 4)
            pair.send(unsubscribe)
            replies = [[one.read_reply() for _ in range(4)] for one in (pair.real, pair.ours)]
            for some in replies:
                self.assertEqual([reply[2] for reply in some], [3, 2, 1, 0])
                self.assertEqual(sorted(reply[1] for reply in some), [b"a", b"b", b"c", b"d"])
                self.assertEqual({reply[0] for reply in some}, {unsubscribe.lower().encode()})
            pair.do("PING")

    def test_messages(self) -> None:
        """Channels, patterns, shard channels; any bytes; several listeners; nobody."""
        first, second = self.open_pair(), self.open_pair()
        self.say(first, "SUBSCRIBE news other", 2)
        self.say(second, "SUBSCRIBE news", 1)
        self.publish("PUBLISH", "news", "hello", to=(first, second))
        self.publish("PUBLISH", "other", "", to=(first,))
        self.publish("PUBLISH", "nobody", "x")
        self.publish("SPUBLISH", "news", "x")
        first.do("SUBSCRIBE", BINARY)
        self.publish("PUBLISH", BINARY, BINARY, to=(first,))
        self.publish("publish", "news", "x" * 100_000, to=(first, second))
        second.do("SSUBSCRIBE", "news")
        self.publish("SPUBLISH", "news", "shard", to=(second,))
        self.publish("PUBLISH", "news", "channel", to=(first, second))
        self.say(first, "UNSUBSCRIBE news", 1)
        self.publish("PUBLISH", "news", "again", to=(second,))

    def test_patterns(self) -> None:
        """A message comes once for the channel, then once for each pattern, in any order."""
        pair = self.open_pair()
        self.say(pair, "PSUBSCRIBE n* *s ne?s [m-o]ews n[^a]ws nosuch* n\\ews", 7)
        self.say(pair, "SUBSCRIBE news", 1)
        for channel, patterns in (("news", 6), ("naws", 2), ("new", 1), ("n\\ews", 2), ("xyz", 0)):
            self.do("PUBLISH", channel, "x")
            if channel == "news":
                pair.read("message")
            real, ours = ([one.read_reply() for _ in range(patterns)] for one in (pair.real, pair.ours))
            self.assertEqual(sorted(real), sorted(ours), channel)
        self.do("SPUBLISH", "news", "x")
        self.do("PUBLISH", "", "x")
        pair.do("PING")

    def test_many_patterns(self) -> None:
        """Hundreds of patterns, of which a few match; patterns that were given up match no more."""
        pair = self.open_pair()
        patterns = [f"{letter}*{number}?" for letter in "abcd" for number in range(150)]
        for one in (pair.real, pair.ours):
            one.send("PSUBSCRIBE", *patterns)
            for _ in patterns:
                one.read_reply()
        self.do("PUBSUB", "NUMPAT")
        self.assertEqual(self.do("PUBLISH", "b-77x", "m"), 2)
        for one in (pair.real, pair.ours):
            self.assertEqual({one.read_reply()[1] for _ in range(2)}, {b"b*7?", b"b*77?"})
            one.must("PUNSUBSCRIBE", "b*77?")
        self.assertEqual(self.do("PUBLISH", "b-77x", "m"), 1)
        pair.read()

    def test_may_say(self) -> None:
        """In RESP2 a subscriber may say little; in RESP3 anything."""
        pair = self.open_pair()
        for kind, back in (("SUBSCRIBE", "UNSUBSCRIBE"), ("PSUBSCRIBE", "PUNSUBSCRIBE"), ("SSUBSCRIBE", "SUNSUBSCRIBE")):
            pair.do(kind, "a")
            for line in (
                "GET a|get a|PING|PING x|PING x y|nosuch|GET|PUBLISH b c|MULTI|EXEC|WATCH a|SELECT 1|CONFIG GET databases|"
                "PUBSUB NUMPAT|PUBSUB|CLIENT GETNAME|SELECT 0|DISCARD|UNWATCH|ECHO x"
            ).split("|"):
                pair.do(*line.split())
            pair.do(back, "a")
            pair.do("GET", "a")
        pair.do("SUBSCRIBE", "a")
        pair.do("RESET")
        pair.do("GET", "a")
        self.do("PUBLISH", "a", "x")
        self.raw(b"SUBSCRIBE a\r\nQUIT\r\nPING\r\n")

    def test_own_message(self) -> None:
        """A client of RESP3 gets what it says to itself in front of the reply, behind the replies before."""
        pair = self.open_pair(3)
        self.say(pair, "SUBSCRIBE a", 1)
        self.say(pair, "PSUBSCRIBE *", 1)
        self.say(pair, "PUBLISH a x", 3)
        pair.send_raw(b"PING\r\nPUBLISH a 1\r\nPING\r\nSET k 1\r\nPUBLISH b 2\r\nSPUBLISH a 3\r\n")
        for number in range(9):
            pair.read(f"reply {number}")
        self.say(pair, "SSUBSCRIBE a", 1)
        self.say(pair, "SPUBLISH a x", 2)

    def test_reply_off(self) -> None:
        """CLIENT REPLY stops replies, but neither subscriptions nor messages."""
        pair = self.open_pair()
        pair.send_raw(b"CLIENT REPLY OFF\r\nGET a\r\nSUBSCRIBE a b\r\n")
        for _ in range(2):
            pair.read()
        self.publish("PUBLISH", "b", "x", to=(pair,))
        pair.send_raw(b"UNSUBSCRIBE a b\r\nGET a\r\nCLIENT REPLY ON\r\n")
        for _ in range(3):
            pair.read()
        pair = self.open_pair(3)
        pair.send_raw(b"CLIENT REPLY SKIP\r\nSUBSCRIBE a\r\nCLIENT REPLY OFF\r\nPUBLISH a x\r\nCLIENT REPLY ON\r\nPING\r\n")
        for _ in range(4):
            pair.read()

    def test_mixed_versions(self) -> None:
        """Each listener gets a message in its own version; HELLO changes the version of a subscriber."""
        old, new = self.open_pair(2), self.open_pair(3)
        self.say(old, "PSUBSCRIBE *", 1)
        self.say(new, "PSUBSCRIBE *", 1)
        self.publish("PUBLISH", "a", "x", to=(old, new))
        new.both("HELLO", 2)
        self.publish("PUBLISH", "a", "x", to=(old, new))
        new.do("GET", "a")

    def test_introspection(self) -> None:
        """PUBSUB sees what there is, each channel and pattern once."""
        pairs = [self.open_pair() for _ in range(3)]
        self.say(pairs[0], "SUBSCRIBE a b news.x", 3)
        self.say(pairs[1], "SUBSCRIBE a", 1)
        self.say(pairs[1], "PSUBSCRIBE n* m*", 2)
        self.say(pairs[2], "PSUBSCRIBE n*", 1)
        self.say(pairs[2], "SSUBSCRIBE a shard", 2)

        def look() -> None:
            self.do_sorted("PUBSUB", "CHANNELS")
            self.do_sorted("PUBSUB", "CHANNELS", "news.*")
            self.do_sorted("PUBSUB", "CHANNELS", "[ab]")
            self.do("PUBSUB", "NUMSUB", "a", "b", "nobody", "a")
            self.do("PUBSUB", "NUMPAT")
            self.do_sorted("PUBSUB", "SHARDCHANNELS")
            self.do_sorted("PUBSUB", "SHARDCHANNELS", "s*")
            self.do("PUBSUB", "SHARDNUMSUB", "a", "shard", "b")
            for section in ("pubsub_channels", "pubsub_patterns"):
                real, ours = (one.info("stats")[section] for one in (self.pair.real, self.pair.ours))
                self.assertEqual(real, ours, section)

        look()
        self.say(pairs[0], "UNSUBSCRIBE b", 1)
        self.say(pairs[1], "PUNSUBSCRIBE m*", 1)
        look()
        pairs[2].close()
        for one in (self.pair.real, self.pair.ours):
            wait_until(lambda: one.must("PUBSUB", "SHARDCHANNELS") == [], 5, "the client to be gone")  # noqa: B023
        look()
        pairs[1].do("RESET")
        look()

    def test_killed(self) -> None:
        """A subscriber that is killed hears nothing more and counts no more."""
        pair = self.open_pair()
        for one in (pair.real, pair.ours):
            number = one.must("CLIENT", "ID")
            one.must("SUBSCRIBE", "a")
            killer = self.pair.real if one is pair.real else self.pair.ours
            self.assertEqual(killer.must("CLIENT", "KILL", "ID", number), 1)
            wait_until(lambda: killer.must("PUBLISH", "a", "x") == 0, 5, "the client to be gone")  # noqa: B023
        self.do("PUBSUB", "CHANNELS")

    def test_in_transaction(self) -> None:
        """Messages published in a transaction come in order, and only when it is executed."""
        pair = self.open_pair()
        self.say(pair, "SUBSCRIBE a", 1)
        self.do_all("MULTI", "PUBLISH a 1", "SET x y", "PUBLISH a 2", "SPUBLISH a 3")
        self.do("EXEC")
        for _ in range(2):
            pair.read()
        self.do_all("MULTI", "PUBLISH a 4", "DISCARD", "PUBLISH a 5")
        pair.read()

    def test_help(self) -> None:
        """PUBSUB HELP names the subcommands."""
        real, ours = self.both("PUBSUB", "HELP")
        self.assertEqual([ours[0], ours[-2:]], [real[0], real[-2:]])
        for line in real:
            if not line.startswith(b"  ") and line.split()[0].isupper():
                self.assertTrue(any(other.split()[0] == line.split()[0] for other in ours), line)


class PubSub3(PubSub):
    """RESP3: messages are pushes."""

    resp = 3


class PubSubStream(TwoHeadedTestCase):
    """Replicas hear what is published on their master."""

    def test_stream(self) -> None:
        """PUBLISH and SPUBLISH are propagated as they came, whether anybody listens or not."""
        taps = [Tap(self, shared(kind).port) for kind in (RealServer, Replicad)]
        for line in "PUBLISH a b|publish a b|SPUBLISH a b|SELECT 3|PUBLISH c d|SELECT 0|PUBLISH a|SET a 1".split("|"):
            self.do(*line.split())
            real, ours = (tap.commands() for tap in taps)
            self.assertEqual(real, ours, line)

    def test_through_a_replica(self) -> None:
        """Who listens at a replica hears its master's messages and the replica's own; the master does not hear those."""
        for master_kind, replica_kind in ((RealServer, Replicad), (Replicad, RealServer)):
            master = master_kind(self).start()
            replica = replica_kind(self, {"replicaof": f"127.0.0.1 {master.port}"}).start()
            wait_until(lambda: replica.client().info("replication").get("master_link_status") == "up", 10, "the link")  # noqa: B023
            listener, far = replica.client(), master.client()
            listener.must("SUBSCRIBE", "a")
            listener.must("PSUBSCRIBE", "b*")
            far.must("SUBSCRIBE", "a")
            self.assertEqual(master.client().must("PUBLISH", "a", "1"), 1)
            self.assertEqual(listener.read_reply(), [b"message", b"a", b"1"])
            self.assertEqual(far.read_reply(), [b"message", b"a", b"1"])
            master.client().must("PUBLISH", "bc", "2")
            self.assertEqual(listener.read_reply(), [b"pmessage", b"b*", b"bc", b"2"])
            self.assertEqual(replica.client().must("PUBLISH", "a", "3"), 1)
            self.assertEqual(listener.read_reply(), [b"message", b"a", b"3"])
            self.assertEqual(far.recv_silence(0.05), b"")
