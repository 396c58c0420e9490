"""Consumer groups beside a real server: every command, option and error; waiting; RESP3; the replication stream."""

from __future__ import annotations

import time
from typing import Any

from tests.interop.test_streams import words
from tests.support.servers import RealServer, Replicad
from tests.support.tap import Tap
from tests.support.twohead import Pair, TwoHeadedTestCase, shared

MOST = 2**64 - 1
INT64 = 2**63 - 1

#: The commands that ``test_table`` sends in order; ``stream`` has the entries 1-1 to 5-4.
TABLE = f"""
XGROUP
XGROUP X
XGROUP CREATE
XGROUP CREATE stream g
XGROUP CREATE missing g 0
XGROUP CREATE missing g x
XGROUP CREATE missing g $
XGROUP CREATE missing g x MKSTREAM
EXISTS missing
XGROUP CREATE string g 0
XGROUP CREATE string g x
XGROUP CREATE string g 0 MKSTREAM
XGROUP CREATE stream g x
XGROUP CREATE stream g -
XGROUP CREATE stream g +
XGROUP CREATE stream g >
XGROUP CREATE stream g 0 X
XGROUP CREATE stream g 0 MKSTREAM X
XGROUP CREATE stream g 0 ENTRIESREAD
XGROUP CREATE stream g 0 ENTRIESREAD x
XGROUP CREATE stream g 0 ENTRIESREAD -2
XGROUP CREATE missing g 0 ENTRIESREAD -2
XGROUP CREATE string g 0 X
XGROUP CREATE stream g 0
XGROUP CREATE stream g 0
XGROUP CREATE stream g x
XGROUP CREATE stream g 0 MKSTREAM
XGROUP CREATE stream end $
XGROUP CREATE stream middle 3-2
XGROUP CREATE stream first 1-1
XGROUP CREATE stream before 0-5
XGROUP CREATE stream after 9
XGROUP CREATE stream counted 3-2 ENTRIESREAD 10
XGROUP CREATE stream uncounted 3-2 ENTRIESREAD -1
XGROUP CREATE stream wrong 3-2 ENTRIESREAD 1000
XGROUP CREATE stream zero 0 ENTRIESREAD 0
XGROUP CREATE made g $ MKSTREAM
XGROUP CREATE made h 5 mkstream entriesread 3
XGROUP CREATE made i 0
XINFO GROUPS stream
XINFO GROUPS made
XINFO STREAM made
XGROUP SETID
XGROUP SETID stream g
XGROUP SETID missing g 0
XGROUP SETID stream nothing 0
XGROUP SETID string g 0
XGROUP SETID stream g x
XGROUP SETID stream g 0 MKSTREAM
XGROUP SETID stream g 0 ENTRIESREAD x
XGROUP SETID stream g 0 ENTRIESREAD -2
XGROUP SETID stream g 0 ENTRIESREAD 1 X
XGROUP SETID missing g 0 X
XGROUP SETID stream after $
XGROUP SETID stream before 2-2 ENTRIESREAD 6
XGROUP SETID stream first 5-4 ENTRIESREAD -1
XGROUP SETID made g 7
XGROUP SETID made h $
XINFO GROUPS stream
XINFO GROUPS made
XGROUP DESTROY
XGROUP DESTROY stream
XGROUP DESTROY missing g
XGROUP DESTROY string g
XGROUP DESTROY stream nothing
XGROUP DESTROY stream wrong
XGROUP DESTROY stream wrong
XGROUP DESTROY stream g x
XGROUP CREATECONSUMER stream g
XGROUP CREATECONSUMER stream g c x
XGROUP CREATECONSUMER missing g c
XGROUP CREATECONSUMER string g c
XGROUP CREATECONSUMER stream nothing c
XGROUP CREATECONSUMER stream g early
XGROUP CREATECONSUMER stream g early
XGROUP CREATECONSUMER stream g ''
XGROUP DELCONSUMER stream g
XGROUP DELCONSUMER missing g c
XGROUP DELCONSUMER string g c
XGROUP DELCONSUMER stream nothing c
XGROUP DELCONSUMER stream g nobody
XGROUP DELCONSUMER stream g early
XREADGROUP GROUP g alice COUNT 3 STREAMS stream >
XREADGROUP GROUP g bob COUNT 2 STREAMS stream >
XREADGROUP GROUP g '' COUNT 1 STREAMS stream >
XREADGROUP GROUP g alice STREAMS stream 0
XREADGROUP GROUP g alice COUNT 2 STREAMS stream 0
XREADGROUP GROUP g alice COUNT 2 STREAMS stream 1-1
XREADGROUP GROUP g alice COUNT 2 STREAMS stream 1-3
XREADGROUP GROUP g carol STREAMS stream 0
XREADGROUP GROUP g carol COUNT 0 STREAMS stream 0
XREADGROUP GROUP g bob COUNT -1 STREAMS stream 0
XDEL stream 1-2 1-4
XREADGROUP GROUP g alice STREAMS stream 0
XREADGROUP GROUP g bob NOACK STREAMS stream 0
XREADGROUP GROUP g alice NOACK COUNT 2 STREAMS stream >
XREADGROUP GROUP g new NOACK COUNT 1 STREAMS stream >
XREADGROUP GROUP end alice STREAMS stream >
XREADGROUP GROUP end alice NOACK STREAMS stream >
XREADGROUP GROUP end alice BLOCK 1 STREAMS stream >
XREADGROUP GROUP end alice COUNT 1 BLOCK 1 NOACK STREAMS stream >
XREADGROUP GROUP end alice BLOCK 0 STREAMS stream 0
XREADGROUP GROUP end alice BLOCK x STREAMS stream 0
XREADGROUP GROUP end alice BLOCK -1 STREAMS stream 0
XREADGROUP GROUP g alice STREAMS stream made > >
XREADGROUP GROUP nothing alice STREAMS stream >
XREADGROUP GROUP g alice STREAMS missing >
XREADGROUP GROUP g alice STREAMS missing x
XREADGROUP GROUP g alice STREAMS string >
XREADGROUP GROUP g alice STREAMS stream string > >
XREADGROUP GROUP g alice STREAMS stream x
XREADGROUP GROUP g alice STREAMS stream $
XREADGROUP GROUP g alice STREAMS nothing $
XREADGROUP GROUP g alice STREAMS stream -
XREADGROUP GROUP g alice STREAMS stream +
XREADGROUP GROUP g alice STREAMS stream {MOST}-{MOST}
XREADGROUP GROUP g alice STREAMS stream {MOST}
XREADGROUP GROUP g alice STREAMS stream
XREADGROUP GROUP g alice STREAMS stream made >
XREADGROUP GROUP g alice COUNT x STREAMS stream >
XREADGROUP GROUP g alice X STREAMS stream >
XREADGROUP GROUP g STREAMS stream > > >
XREADGROUP COUNT 1 NOACK STREAMS stream made > >
XREADGROUP COUNT 1 BLOCK 1 STREAMS stream >
XREADGROUP GROUP g alice COUNT 1 NOACK stream
XREADGROUP
XREADGROUP GROUP middle alice STREAMS stream stream > >
XREADGROUP GROUP middle alice COUNT 1 STREAMS stream stream 0 3
XINFO GROUPS stream
XPENDING stream middle
XPENDING stream g
XPENDING stream end
XPENDING stream nothing
XPENDING missing g
XPENDING string g
XPENDING stream
XPENDING stream g -
XPENDING stream g - +
XPENDING missing g - + 0
XPENDING stream middle - + 0
XPENDING stream middle - + -1
XPENDING stream middle - + x
XPENDING stream middle x + 1
XPENDING stream middle - x 1
XPENDING stream middle (+ + 1
XPENDING stream middle - (0-0 1
XPENDING stream middle ({MOST}-{MOST} + 1
XPENDING stream middle + - 10
XPENDING stream middle - + 10 nobody
XPENDING stream nothing - + 10
XPENDING stream nothing x + 10
XPENDING stream end - + 10
XPENDING stream middle - + 0 alice x
XPENDING stream middle - + 0 alice x y
XPENDING stream middle - + 0 alice x y z
XPENDING stream middle IDLE 0
XPENDING stream middle IDLE 0 -
XPENDING stream middle IDLE 0 - +
XPENDING stream middle IDLE x - + 10
XPENDING stream middle IDLE 100000 - + 10
XPENDING stream middle IDLE 100000 - + 10 alice
XPENDING stream middle IDLE 100000 - + 10 alice x
XPENDING stream middle idle 100000 - + x
XACK stream g 1-1
XACK stream g 1-1 1-2 9-9
XACK stream g 1-1 x
XACK stream g 1-3 x
XACK stream g -
XACK stream nothing 1-1
XACK stream nothing x
XACK missing g 1-1
XACK missing g x
XACK string g 1-1
XACK string g x
XACK stream g
XPENDING stream g
XREADGROUP GROUP g alice STREAMS stream 0
XREADGROUP GROUP g alice STREAMS stream >
XPENDING stream g
XCLAIM stream g bob 0 1-3
XCLAIM stream g bob 0 2-3 2-4 JUSTID
XCLAIM stream g dave 0 9-9
XCLAIM stream g dave 100000 2-3
XCLAIM stream g dave -5 2-3
XCLAIM stream g dave 0 2-1
XCLAIM stream g dave 0 2-1 FORCE
XCLAIM stream g dave 0 9-9 FORCE
XCLAIM stream g dave 0 1-4
XCLAIM stream g dave 0 1-4
XCLAIM stream g bob 0 3-1 3-1 3-2 RETRYCOUNT 7
XCLAIM stream g bob 0 3-1 RETRYCOUNT -7
XCLAIM stream g bob 0 3-1 RETRYCOUNT x
XCLAIM stream g bob 0 3-1 RETRYCOUNT
XCLAIM stream g bob 0 3-1 IDLE x
XCLAIM stream g bob 0 3-1 TIME x
XCLAIM stream g bob 0 3-1 IDLE
XCLAIM stream g bob 0 3-1 LASTID x
XCLAIM stream g bob 0 3-1 LASTID
XCLAIM stream g bob 0 3-1 X
XCLAIM stream g bob 0 X
XCLAIM stream g bob 0 X 3-1
XCLAIM stream g bob 0 3-1 FORCE 3-2
XCLAIM stream g bob 0 -
XCLAIM stream g bob x 3-1
XCLAIM stream g bob x X
XCLAIM stream g bob 0
XCLAIM stream nothing bob 0 3-1
XCLAIM missing g bob 0 3-1
XCLAIM missing g bob x X
XCLAIM string g bob 0 3-1
XCLAIM stream g bob 0 3-1 LASTID 1
XCLAIM stream g bob 0 3-1 LASTID 77
XCLAIM stream g bob 0 9-9 LASTID 88
XCLAIM stream g erin 0 4-1 4-2 TIME 1000 JUSTID RETRYCOUNT 3
XCLAIM stream g erin 0 4-3 4-4 TIME 99999999999999
XCLAIM stream g erin 0 4-3 TIME -5
XCLAIM stream g erin 0 4-3 IDLE -5
XCLAIM stream g erin 0 4-3 IDLE {INT64}
XCLAIM stream g frank 1000000 4-1 4-3
XPENDING stream g
XPENDING stream g IDLE 100000000 - + 10 frank
XINFO GROUPS stream
XAUTOCLAIM stream g bob 0 0
XAUTOCLAIM stream g bob 0 0 COUNT 2
XAUTOCLAIM stream g bob 0 (2-4 COUNT 2 JUSTID
XAUTOCLAIM stream g bob 0 - COUNT 100
XAUTOCLAIM stream g bob 0 + COUNT 100
XAUTOCLAIM stream g bob 0 99 COUNT 100
XAUTOCLAIM stream g ghost 100000 0
XAUTOCLAIM stream g ghost 100000 0 COUNT 1
XAUTOCLAIM stream g ghost -9 3-3 COUNT 1
XAUTOCLAIM stream g bob 0 0 COUNT 0
XAUTOCLAIM stream g bob 0 0 COUNT -1
XAUTOCLAIM stream g bob 0 0 COUNT x
XAUTOCLAIM stream g bob 0 0 COUNT
XAUTOCLAIM stream g bob 0 0 COUNT {INT64}
XAUTOCLAIM stream g bob 0 0 COUNT {INT64 // 8}
XAUTOCLAIM stream g bob 0 0 X
XAUTOCLAIM stream g bob 0 0 FORCE
XAUTOCLAIM stream g bob 0 x
XAUTOCLAIM stream g bob 0 (+
XAUTOCLAIM stream g bob x 0
XAUTOCLAIM stream g bob 0
XAUTOCLAIM stream nothing bob 0 0
XAUTOCLAIM stream nothing bob x x
XAUTOCLAIM stream nothing bob 0 0 X
XAUTOCLAIM missing g bob 0 0
XAUTOCLAIM string g bob 0 0
XDEL stream 2-3 3-1 3-3
XAUTOCLAIM stream g bob 100000 0 COUNT 4
XAUTOCLAIM stream g bob 0 0 COUNT 2
XAUTOCLAIM stream g bob 0 0
XTRIM stream MAXLEN 0
XREADGROUP GROUP g erin STREAMS stream 0
XAUTOCLAIM stream g bob 0 0 COUNT 3
XPENDING stream g
XINFO GROUPS stream
XGROUP DELCONSUMER stream g bob
XGROUP DELCONSUMER stream g erin
XPENDING stream g
XINFO CONSUMERS stream
XINFO CONSUMERS stream nothing
XINFO CONSUMERS missing g
XINFO CONSUMERS string g
XINFO CONSUMERS stream g x
XINFO CONSUMERS made g
"""

GROUP = ("XGROUP CREATE s g $ MKSTREAM",)
READ = "XREADGROUP GROUP g c BLOCK 0 STREAMS s >"
READ_ONE = "XREADGROUP GROUP g c COUNT 1 BLOCK 0 NOACK STREAMS s >"
READ_TWO = "XREADGROUP GROUP g c BLOCK 0 STREAMS s t > >"
#: (commands before, blocking command, commands that may end the waiting, whether they do)
WAITING: list[tuple[tuple[str, ...], str, tuple[str, ...], bool]] = [
    (GROUP, READ, ("XADD s 1-1 a b",), True),
    (GROUP, READ, ("MULTI", "XADD s 1-1 a b", "XADD s 1-2 a b", "EXEC"), True),
    (GROUP, READ_ONE, ("MULTI", "XADD s 1-1 a b", "XADD s 1-2 a b", "EXEC"), True),
    (GROUP, READ, ("DEL s",), True),
    (GROUP, READ, ("UNLINK s",), True),
    (GROUP, READ, ("SET s x",), True),
    (GROUP, READ, ("RENAME s t",), True),
    (GROUP, READ, ("MOVE s 1",), True),
    (GROUP, READ, ("SWAPDB 0 1",), True),
    (GROUP, READ, ("FLUSHALL",), True),
    (GROUP, READ, ("FLUSHDB",), True),
    (GROUP, READ, ("PEXPIRE s 1",), True),
    (GROUP, READ, ("SUNIONSTORE s nothing",), True),
    (GROUP, READ, ("SADD t a", "SUNIONSTORE s t"), True),
    (GROUP, READ, ("XGROUP DESTROY s g",), True),
    (GROUP, READ, ("MULTI", "DEL s", "XADD s 1-1 a b", "EXEC"), True),
    (GROUP, READ, ("MULTI", "DEL s", "SET s x", "EXEC"), True),
    (GROUP, READ, ("MULTI", "DEL s", "XGROUP CREATE s g $ MKSTREAM", "EXEC"), False),
    (GROUP, READ, ("MULTI", "XGROUP DESTROY s g", "XGROUP CREATE s g $", "EXEC"), False),
    (GROUP, READ, ("MULTI", "SET s x", "DEL s", "XGROUP CREATE s g $ MKSTREAM", "XADD s 9-9 a b", "EXEC"), True),
    (GROUP, READ, ("XADD t 1-1 a b", "RENAME t s"), True),
    (GROUP, READ, ("XADD t 1-1 a b", "XGROUP CREATE t g 0", "RENAME t s"), True),
    (GROUP, READ, ("XADD t 1-1 a b", "COPY t s REPLACE"), True),
    (GROUP, READ, ("MULTI", "XADD s 5-5 a b", "XREADGROUP GROUP g d STREAMS s >", "EXEC"), False),
    (GROUP, READ, ("MULTI", "XADD s 5-5 a b", "XDEL s 5-5", "EXEC"), True),
    (GROUP, READ, ("XSETID s 9-9",), False),
    (GROUP, READ, ("XGROUP DELCONSUMER s g c", "XADD s 7-7 a b"), True),
    ((*GROUP, "XADD s 1-1 a b", "XGROUP SETID s g $"), READ, ("XGROUP SETID s g 0",), False),
    ((*GROUP, "XADD s 1-1 a b", "XGROUP SETID s g $"), READ, ("XGROUP SETID s g 0", "XADD s 2-2 a b"), True),
    (("XADD t 1-1 a b", "XGROUP CREATE t g $", *GROUP), READ_TWO, ("XADD t 2-2 a b",), True),
    (("XADD t 1-1 a b", "XGROUP CREATE t g $", *GROUP), READ_TWO, ("DEL t",), True),
    ((), "XREAD BLOCK 0 STREAMS s t $ 5", ("XADD s 1-1 a b",), True),
    ((), "XREAD BLOCK 0 STREAMS s t $ 5", ("XADD t 4-4 a b",), False),
    ((), "XREAD BLOCK 0 STREAMS s t $ 5", ("XADD t 4-4 a b", "XADD t 5-1 a b"), True),
    ((), "XREAD BLOCK 0 STREAMS s t $ 5", ("DEL s", "SET s x"), False),
    ((), "XREAD BLOCK 0 STREAMS s t $ 5", ("SET s x", "XADD t 6-6 a b"), True),
    ((), "XREAD BLOCK 0 STREAMS s t $ 5", ("MULTI", "XADD s 1-1 a b", "DEL s", "EXEC"), False),
    ((), "XREAD BLOCK 0 STREAMS s t $ 5", ("MULTI", "XADD t 9-9 a b", "XADD s 9-9 a b", "EXEC"), True),
    ((), "XREAD BLOCK 0 STREAMS s t $ 5", ("XADD u 9-9 a b", "RENAME u s"), True),
    ((), "XREAD BLOCK 0 STREAMS s t $ 5", ("XADD u 9-9 a b", "COPY u s"), True),
    ((), "XREAD BLOCK 0 STREAMS s t $ 5", ("XADD s MAXLEN 0 9-9 a b",), True),
    ((), "XREAD COUNT 1 BLOCK 0 STREAMS s 0-0", ("MULTI", "XADD s 1-1 a b", "XADD s 1-2 a b", "EXEC"), True),
    ((), "XREAD BLOCK 0 STREAMS s s 5 0", ("XADD s 1-1 a b",), False),
    ((), "XREAD BLOCK 0 STREAMS s s 0 5", ("XADD s 1-1 a b",), True),
    (("XADD s 5-5 a b", "XDEL s 5-5"), "XREAD BLOCK 0 STREAMS s 3-3", ("XGROUP CREATE s g 0", "XSETID s 6-6"), False),
    (("XADD s 5-5 a b", "XADD s 6-6 a b"), "XREAD BLOCK 0 STREAMS s $", ("XDEL s 6-6", "XTRIM s MAXLEN 0"), False),
    (("XADD s 5-5 a b", "XADD s 6-6 a b"), "XREAD BLOCK 0 STREAMS s $", ("DEL s", "XADD s 1-1 a b"), False),
    (("XADD s 5-5 a b", "XADD s 6-6 a b"), "XREAD BLOCK 0 STREAMS s $", ("DEL s", "XADD s 7-1 a b"), True),
]  # fmt: skip


class StreamGroups(TwoHeadedTestCase):
    """RESP2."""

    def fill(self) -> None:
        """Make ``stream`` with 20 entries, the ids 1-1 to 5-4."""
        for number in range(20):
            self.do("XADD", "stream", f"{number // 4 + 1}-{number % 4 + 1}", "field", number)

    def test_table(self) -> None:
        """The commands of the table."""
        self.do("SET", "string", "value")
        self.fill()
        for line in TABLE.strip().splitlines():
            self.do(*words(line))
        self.same_digest()

    def test_times(self) -> None:
        """What depends on the time: nearly equal, and shaped alike."""
        self.fill()
        self.do_all("XGROUP CREATE stream g 0", "XGROUP CREATECONSUMER stream g idle")
        self.do_all("XREADGROUP GROUP g bob COUNT 3 STREAMS stream >", "XREADGROUP GROUP g alice COUNT 2 STREAMS stream >")
        for line in (
            *("XPENDING stream g - + 10", "XPENDING stream g - + 2 bob", "XPENDING stream g (1-2 2-1 10 alice"),
            *(
                "XPENDING stream g - + 10 bob x",
                "XPENDING stream g IDLE 0 - + 10",
                "XPENDING stream g IDLE -1 - + 10 bob",
                "XPENDING stream g + - 10",
            ),
            *("XINFO CONSUMERS stream g", "XINFO STREAM stream FULL", "XINFO STREAM stream FULL COUNT 2"),
        ):
            self.do_approx(*line.split(), delta=500)
        time.sleep(0.03)
        self.do("XCLAIM", "stream", "g", "alice", 20, "1-1", "1-2", "2-2", "IDLE", 60_000)
        self.do("XREADGROUP", "GROUP", "g", "bob", "STREAMS", "stream", 0)
        for line in (
            *("XPENDING stream g IDLE 50000 - + 10", "XPENDING stream g IDLE 50000 - + 1", "XPENDING stream g - + 10 bob"),
            *("XINFO CONSUMERS stream g", "XINFO STREAM stream FULL COUNT 0"),
        ):
            self.do_approx(*line.split(), delta=500)
        self.do("XCLAIM", "stream", "g", "bob", 50_000, "1-1", "1-3")
        self.do("XAUTOCLAIM", "stream", "g", "new", 50_000, 0)

    def test_lag(self) -> None:
        """The counters of a group in every state of a stream that they know."""
        for number in range(1, 7):
            self.do("XADD", "s", f"{number}-1", "a", "b")
        for at in ("0", "1-0", "1-1", "2-5", "3-1", "6-1", "9-9", "$"):
            self.do("XGROUP", "CREATE", "s", f"at {at}", at)
        changes = (
            *(
                "XDEL s 4-1",
                "XDEL s 1-1",
                "XTRIM s MAXLEN 3",
                "XADD s 7-1 a b",
                "XDEL s 7-1",
                "XADD s 8-1 a b",
                "XTRIM s MAXLEN 2",
            ),
            *("XSETID s 20-1 ENTRIESADDED 20", "XADD s 21-1 a b", "XTRIM s MAXLEN 0", "XADD s 22-1 a b", "XDEL s 22-1"),
        )
        for change in changes:
            self.do("XINFO", "GROUPS", "s")
            self.do("XREADGROUP", "GROUP", "at 0", "c", "COUNT", 1, "STREAMS", "s", ">")
            self.do("XREADGROUP", "GROUP", "at 2-5", "c", "COUNT", 1, "NOACK", "STREAMS", "s", ">")
            self.do(*change.split())
        for at in ("0", "1-1", "3-1", "9-9"):
            self.do("XREADGROUP", "GROUP", f"at {at}", "c", "STREAMS", "s", ">")
        self.do("XINFO", "GROUPS", "s")

    def test_watch(self) -> None:
        """Which commands break a WATCH."""
        for line in (
            *("XADD s * a b", "XDEL s 1-1", "XDEL s 9-9", "XTRIM s MAXLEN 1", "XTRIM s MAXLEN 9", "XGROUP CREATE s h 0"),
            *(
                "XGROUP SETID s g 0",
                "XGROUP DESTROY s g",
                "XGROUP CREATECONSUMER s g d",
                "XGROUP DELCONSUMER s g c",
                "XACK s g 1-1",
            ),
            *("XREADGROUP GROUP g c STREAMS s >", "XCLAIM s g d 0 1-1", "XAUTOCLAIM s g d 0 0", "XSETID s 99999999999999-9"),
            "XGROUP CREATE t g $ MKSTREAM",
        ):
            self.do_all("DEL s t", "XADD s 1-1 a b", "XADD s 2-1 a b", "XGROUP CREATE s g 0")
            self.do_all("XREADGROUP GROUP g c COUNT 1 STREAMS s >", "WATCH s t")
            self.both(*line.split())
            self.do_all("MULTI", "PING", "EXEC")


class StreamGroups3(StreamGroups):
    """RESP3: maps, one kind of null."""

    resp = 3


class WaitingForStreams(TwoHeadedTestCase):
    """XREAD and XREADGROUP with BLOCK."""

    def blocked(self, *commands: str) -> list[Pair]:
        """A pair of connections for each command, blocked in this order on both servers."""
        pairs = []
        for number, line in enumerate(commands, 1):
            pair = self.open_pair()
            pair.send(*line.split())
            pairs.append(pair)
            self.wait_blocked(number)
        return pairs

    def test_what_ends_it(self) -> None:
        """New entries, and what happens to key and group."""
        for before, line, changes, ends in WAITING:
            self.do_all("FLUSHALL", *before)
            (pair,) = self.blocked(line)
            for change in changes:
                self.both(*change.split())
            if ends:
                pair.read(f"{before} {line} {changes}")
            else:
                self.do("PING")
                self.wait_blocked(1)
            pair.close()
            self.wait_blocked(0)
        self.do("FLUSHALL")

    def test_timeouts(self) -> None:
        """No reply before the time is up."""
        self.do_all("XGROUP CREATE s g $ MKSTREAM")
        for line in ("XREAD BLOCK 60 STREAMS s t 0 $", "XREADGROUP GROUP g c BLOCK 60 STREAMS s >"):
            started = time.monotonic()
            self.do(*line.split())
            self.assertGreater(time.monotonic() - started, 0.055)

    def test_in_turn(self) -> None:
        """Readers all get an entry, of the consumers of a group one gets it."""
        self.do_all("XGROUP CREATE s g $ MKSTREAM", "XGROUP CREATE s h $")
        readers = self.blocked(
            "XREAD BLOCK 0 STREAMS s $",
            READ,
            READ.replace(" c ", " d "),
            READ.replace(" g ", " h "),
            "XREAD BLOCK 0 STREAMS s $",
        )
        self.do("XADD", "s", "1-1", "a", "b")
        for pair in (readers[0], readers[1], readers[3], readers[4]):
            pair.read()
        self.wait_blocked(1)
        self.do("XADD", "s", "1-2", "a", "b")
        readers[2].read()
        self.do("XPENDING", "s", "g")
        self.do("XINFO", "GROUPS", "s")

    def test_in_transaction(self) -> None:
        """Nothing waits in a transaction."""
        self.do_all(
            "XGROUP CREATE s g $ MKSTREAM", "MULTI", "XREAD BLOCK 0 STREAMS s $", READ, "XADD s 1-1 a b", READ, "EXEC"
        )

    def test_resp3(self) -> None:
        """The late reply is a map there."""
        self.do_all("XGROUP CREATE s g $ MKSTREAM")
        pairs = [self.open_pair(resp=3) for _ in range(2)]
        pairs[0].send(*READ.split())
        self.wait_blocked(1)
        pairs[1].send("XREAD", "BLOCK", 0, "STREAMS", "s", "$")
        self.wait_blocked(2)
        self.do("XADD", "s", "1-1", "a", "b")
        for pair in pairs:
            pair.read()

    def test_unblock(self) -> None:
        """A client may be released."""
        pair = self.open_pair()
        numbers = pair.both("CLIENT", "ID")
        pair.send("XREAD", "BLOCK", 0, "STREAMS", "s", "$")
        self.wait_blocked(1)
        for conn, number in zip((self.pair.real, self.pair.ours), numbers, strict=True):
            self.assertEqual(conn.must("CLIENT", "UNBLOCK", number), 1)
        pair.read()


class WaitingForStreams3(WaitingForStreams):
    """RESP3."""

    resp = 3


class StreamsInTheStream(TwoHeadedTestCase):
    """What replicas are told, beyond the samples of the law of propagation."""

    def test_waiting(self) -> None:
        """A delivery that came late is a unit behind what made it possible."""
        taps = [Tap(self, shared(kind).port) for kind in (RealServer, Replicad)]

        def compare(what: Any) -> None:
            real, ours = ([self.rough(line) for line in tap.commands()] for tap in taps)
            self.assertEqual(ours, real, what)

        self.do("PING")
        compare("start")
        for before, line, changes, ends in WAITING:
            if any("PEXPIRE" in change or "SWAPDB" in change for change in changes) or not ends:
                continue
            self.do_all("FLUSHALL", *before)
            pair = self.open_pair()
            pair.send(*line.split())
            self.wait_blocked(1)
            for change in changes:
                self.both(*change.split())
            pair.read()
            pair.close()
            compare((line, changes))

    def test_history(self) -> None:
        """What changes only counters of a delivery is not told."""
        taps = [Tap(self, shared(kind).port) for kind in (RealServer, Replicad)]
        for line in (
            *(
                "XADD s 1-1 a b",
                "XADD s 2-1 a b",
                "XADD s 3-1 a b",
                "XGROUP CREATE s g 0",
                "XREADGROUP GROUP g c COUNT 2 STREAMS s >",
            ),
            *(
                "XREADGROUP GROUP g c STREAMS s 0",
                "XREADGROUP GROUP g new STREAMS s 0",
                "XREADGROUP GROUP g newer NOACK STREAMS s 0",
            ),
            *("XCLAIM s g c 0 1-1 LASTID 1", "XCLAIM s g d 0 7-7 LASTID 2-5", "XCLAIM s g e 0 1-1 IDLE 100000000 JUSTID"),
            *("MULTI", "XADD s 9-1 a b", "XREADGROUP GROUP g c STREAMS s >", "EXEC"),
        ):
            self.do(*line.split())
            real, ours = ([self.rough(one) for one in tap.commands()] for tap in taps)
            self.assertEqual(ours, real, line)

    @staticmethod
    def rough(line: str) -> str:
        """The command with its moments replaced."""
        return " ".join("moment" if len(word) == 13 and word.isdigit() else word for word in line.split(" "))
