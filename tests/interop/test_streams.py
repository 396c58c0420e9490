"""Stream commands beside a real server: every command, option and error; RESP3; trimming; random sequences."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.support.sequences import sequences
from tests.support.servers import RealServer, Replicad, wait_until
from tests.support.twohead import TwoHeadedTestCase, shared

BINARY = b"\x00\r\n\xff key"
MOST = 2**64 - 1

#: The commands that ``test_table`` sends in order; ids are explicit, so that the replies are equal.
TABLE = f"""
XADD new 1-1 a b
XADD new 1-1 a b
XADD new 1-0 a b
XADD new 1 a b
XADD new 1-* a b
XADD new 1-* a b
XADD new 0-* a b
XADD new 3-* a b c d
XADD new 3 a b
XADD new 4 a b
XADD new *-1 a b
XADD new *-* a b
XADD new x a b
XADD new 5- a b
XADD new -5 a b
XADD new 5-x a b
XADD new 5-** a b
XADD new 5-1-* a b
XADD new + a b
XADD new - a b
XADD new '' a b
XADD new 05-007 a b
XADD new +6-+1 a b
XADD new 7--03 a b
XADD new 8--3 a b
XADD new 8-{MOST} a b
XADD new 8-* a b
XADD new 9-{MOST + 1} a b
XADD new {MOST + 1}-1 a b
XADD new 9-1 a
XADD new 9-1
XADD new 9-1 a b c
XADD new 0 a b
XADD zero 0 a b
XADD zero 0-0 a b
XADD zero 0-* a b
XADD zero 0-* a b
XADD zero 0-{MOST} a b
XADD zero 0-* a b
XADD last {MOST}-{MOST} a b
XADD last * a b
XADD last 1-1 a b
XADD last {MOST}-* a b
XADD nearly {MOST}-5 a b
XADD nearly {MOST}-* a b
XADD string 1-1 a b
XADD string NOMKSTREAM 1-1 a b
XADD missing NOMKSTREAM 1-1 a b
XADD missing nomkstream * a b
XADD missing NOMKSTREAM 0-0 a b
XADD missing NOMKSTREAM x a b
XADD missing NOMKSTREAM * a
EXISTS missing
XADD new NOMKSTREAM 9-1 a b
XADD new NOMKSTREAM NOMKSTREAM 9-2 a b
XADD new MAXLEN 3 10-1 a b
XADD new MAXLEN = 2 10-2 a b
XADD new maxlen ~ 1 10-3 a b
XADD new MAXLEN 2 NOMKSTREAM 10-4 a b
XADD new MAXLEN -1 11-1 a b
XADD new MAXLEN x 11-1 a b
XADD new MAXLEN ~ 11-1 a b
XADD new MAXLEN ~ x 11-1 a b
XADD new MAXLEN = -3 11-1 a b
XADD new MAXLEN 5 MAXLEN 4 11-1 a b
XADD new MAXLEN 5 MINID 4 11-1 a b
XADD new MINID 5 MAXLEN 4 11-1 a b
XADD new MAXLEN 5 LIMIT 10 11-1 a b
XADD new MAXLEN = 5 LIMIT 10 11-1 a b
XADD new MAXLEN = 5 LIMIT 0 11-1 a b
XADD new MAXLEN ~ 5 LIMIT 10 12-1 a b
XADD new MAXLEN ~ 5 LIMIT 0 12-2 a b
XADD new MAXLEN ~ 5 LIMIT -1 12-3 a b
XADD new MAXLEN ~ 5 LIMIT x 12-3 a b
XADD new MAXLEN ~ 5 LIMIT 12-3 a b
XADD new LIMIT 5 12-3 a b
XADD new LIMIT 0 12-3 a b
XADD new LIMIT 5 MAXLEN ~ 3 12-4 a b
XADD new MINID 10-4 12-5 a b
XADD new MINID = 12 12-6 a b
XADD new MINID ~ 12-6 12-7 a b
XADD new MINID x 12-8 a b
XADD new MINID - 12-8 a b
XADD new MINID ~ 12-8 a b
XADD new MINID ~ 12-8 LIMIT 5 13-1 a b
XADD new MAXLEN
XADD new MAXLEN 5 a b
XADD new MAXLEN 0 14-1 a b
XRANGE new - +
XADD new MINID 99 14-2 a b
XLEN new
XADD new NOMKSTREAM 15-1 a b
XINFO STREAM new
XADD fresh MAXLEN 0 1-1 a b
XINFO STREAM fresh
XADD
XADD k 1-1 a
XLEN stream
XLEN missing
XLEN string
XLEN
XLEN stream x
XRANGE stream - +
XRANGE stream - + COUNT 2
XRANGE stream - + COUNT 0
XRANGE stream - + COUNT -1
XRANGE stream - + COUNT x
XRANGE stream - + COUNT
XRANGE stream - + COUNT 1 COUNT 3
XRANGE stream - + X 1
XRANGE stream - + COUNT 9223372036854775807
XRANGE stream - + COUNT 9223372036854775808
XRANGE missing - + COUNT 0
XRANGE missing - + COUNT x
XRANGE missing x +
XRANGE missing - x
XRANGE missing - +
XRANGE string - +
XRANGE string x +
XRANGE string - + COUNT x
XRANGE stream 2 4
XRANGE stream 2-2 4-3
XRANGE stream (2-2 4-3
XRANGE stream (2-2 (4-3
XRANGE stream (2 4
XRANGE stream 2 (4
XRANGE stream (2 (4
XRANGE stream 2-2 (4-0
XRANGE stream 2-2 (3-0
XRANGE stream (- +
XRANGE stream - (+
XRANGE stream (+ +
XRANGE stream - (-
XRANGE stream ( +
XRANGE stream (0-0 +
XRANGE stream - (0-0
XRANGE stream - (0
XRANGE stream ({MOST}-{MOST} +
XRANGE stream ({MOST} +
XRANGE stream - ({MOST}-{MOST}
XRANGE stream (2-{MOST} +
XRANGE stream 5 2
XRANGE stream + -
XRANGE stream 99 +
XRANGE stream - 0
XRANGE stream 3-0 3-0
XRANGE stream 3 3
XRANGE stream - +
XRANGE stream -
XRANGE stream 1 {MOST + 1}
XRANGE stream 1 18446744073709551615-18446744073709551616
XREVRANGE stream + -
XREVRANGE stream + - COUNT 2
XREVRANGE stream + - COUNT 0
XREVRANGE stream + - COUNT -5
XREVRANGE stream (4-3 (2-2
XREVRANGE stream 4 2 count 3
XREVRANGE stream - +
XREVRANGE stream x -
XREVRANGE stream + x
XREVRANGE stream (0-0 -
XREVRANGE stream + (+
XREVRANGE missing + -
XREVRANGE string + -
XREVRANGE stream +
XDEL stream 1-1
XDEL stream 1-1
XDEL stream 3-0 4-3 9-9
XDEL stream x
XDEL stream 5-0 x
XDEL stream -
XDEL stream 5
XDEL stream 5-*
XDEL stream
XDEL missing 1-1
XDEL missing x
XDEL string x
XRANGE stream - +
XINFO STREAM stream
XDEL stream 1 2-0 2-1 2-2 2-3 2-4 3-1 3-2 3-3 3-4 4-0 4-1 4-2 4-4 5-1 5-2 5-3 5-4
XLEN stream
EXISTS stream
TYPE stream
OBJECT ENCODING stream
XINFO STREAM stream
XADD stream 5-4 a b
XADD stream 6-1 a b
XTRIM stream MAXLEN 5
XTRIM stream MAXLEN 0
XTRIM stream MAXLEN 0
XINFO STREAM stream
XTRIM other MAXLEN 20
XTRIM other MAXLEN 12
XTRIM other MAXLEN = 10
XTRIM other MAXLEN ~ 5
XTRIM other MAXLEN ~ 0
XTRIM other MAXLEN ~ 5 LIMIT 3
XTRIM other MAXLEN 5 LIMIT 3
XTRIM other LIMIT 3
XTRIM other
XTRIM other MAXLEN
XTRIM other MAXLEN x
XTRIM other MAXLEN -1
XTRIM other MAXLEN ~
XTRIM other X 1
XTRIM other MAXLEN 5 X
XTRIM other MAXLEN 5 6
XTRIM other NOMKSTREAM 5
XTRIM other MAXLEN ~ 5 LIMIT 0
XTRIM other MAXLEN 5 LIMIT 0
XTRIM other MAXLEN ~ ~ 5
XTRIM other MAXLEN 7 MAXLEN 6
XTRIM other MINID 3-2
XTRIM other MINID = 4
XTRIM other MINID ~ 5-1
XTRIM other MINID x
XTRIM other MINID -
XTRIM other MINID 99
XTRIM missing MAXLEN 1
XTRIM missing MAXLEN x
XTRIM string MAXLEN 1
XTRIM string MAXLEN x
XTRIM string X 1
XINFO STREAM other
XSETID other 99-1
XADD other 99-1 a b
XADD other 99-2 a b
XSETID other 50-1
XSETID other 99-2 ENTRIESADDED 100
XSETID other 99-2 ENTRIESADDED 0
XSETID other 99-2 ENTRIESADDED -1
XSETID other 99-2 ENTRIESADDED x
XSETID other 99-2 ENTRIESADDED
XSETID other 99-2 MAXDELETEDID 5-5
XSETID other 99-3 MAXDELETEDID 99-4
XSETID other 99-3 MAXDELETEDID 99-3
XSETID other 99-2
XSETID other 99-4 MAXDELETEDID 0-0
XSETID other 99-5 MAXDELETEDID x
XSETID other 99-5 MAXDELETEDID 1 ENTRIESADDED 55
XSETID other 99-5 X 1
XSETID other 99-5 ENTRIESADDED 56 ENTRIESADDED 57
XSETID other x
XSETID other -
XSETID other 100
XSETID other
XSETID missing 1-1
XSETID missing x
XSETID missing 1-1 ENTRIESADDED x
XSETID string 1-1
XINFO STREAM other
XSETID {MOST}
XINFO STREAM missing
XINFO STREAM string
XINFO STREAM other FULL
XINFO STREAM full FULL
XINFO STREAM full FULL COUNT 2
XINFO STREAM full FULL COUNT 0
XINFO STREAM full FULL COUNT -1
XINFO STREAM full FULL COUNT x
XINFO STREAM full FULL COUNT
XINFO STREAM full FULL X 1
XINFO STREAM full X
XINFO STREAM full COUNT 1
XINFO STREAM full FULL COUNT 1 X
XINFO STREAM missing FULL X
XINFO STREAM
XINFO
XINFO X
XINFO GROUPS missing
XINFO GROUPS string
XINFO GROUPS full
XINFO GROUPS
XINFO HELP X
XREAD STREAMS full 0
XREAD STREAMS full 0-0
XREAD COUNT 2 STREAMS full 2-1
XREAD count 0 streams full 2-1
XREAD COUNT -1 STREAMS full 5
XREAD STREAMS full other full 5 0 5-1
XREAD STREAMS full missing other 5 0 98
XREAD STREAMS full full 5 5-1
XREAD STREAMS full $
XREAD STREAMS full 5-4
XREAD STREAMS full 99
XREAD STREAMS full {MOST}-{MOST}
XREAD STREAMS full -
XREAD STREAMS full >
XREAD STREAMS full (1
XREAD STREAMS full x
XREAD STREAMS missing x
XREAD STREAMS missing $
XREAD STREAMS string $
XREAD STREAMS string x
XREAD STREAMS full string 0 0
XREAD STREAMS full string x 0
XREAD STREAMS full x 0
XREAD STREAMS full
XREAD COUNT 1 STREAMS full
XREAD COUNT 1 BLOCK 1 STREAMS
XREAD COUNT x STREAMS full 0
XREAD COUNT
XREAD BLOCK x STREAMS full 0
XREAD BLOCK -1 STREAMS full 0
XREAD BLOCK 1.5 STREAMS full 0
XREAD BLOCK 9223372036854775808 STREAMS full 0
XREAD BLOCK 0 STREAMS full 0
XREAD BLOCK 1 STREAMS full $
XREAD BLOCK 1 COUNT 2 STREAMS full full $ 5-1
XREAD GROUP g c STREAMS full 0
XREAD NOACK STREAMS full 0
XREAD X STREAMS full 0
XREAD COUNT 1 full 0
"""


def words(line: str) -> list[str]:
    """The arguments of a line of a table; ``''`` stands for an empty argument."""
    return ["" if word == "''" else word for word in line.split()]


class Streams(TwoHeadedTestCase):
    """RESP2."""

    def fill(self, *keys: str) -> None:
        """Make streams with 20 entries, the ids 1-1 to 5-4."""
        for key in keys:
            for number in range(20):
                self.do("XADD", key, f"{number // 4 + 1}-{number % 4 + 1}", "field", number)

    def test_table(self) -> None:
        """The commands of the table; nobody waits longer than a moment."""
        self.do("SET", "string", "value")
        self.fill("stream", "other", "full")
        for line in TABLE.strip().splitlines():
            self.do(*words(line))
        self.same_digest()

    def test_binary(self) -> None:
        """Fields may hold anything, ids what C reads as numbers."""
        for number, value in enumerate((b"", BINARY, b"0", b"-1", b"007", b"-0", b"9" * 20, b"x" * 20000), 1):
            self.do("XADD", BINARY, number, value, BINARY, BINARY, value)
        self.do("XRANGE", BINARY, "-", "+")
        for text in (
            b"99\x00x",
            b" 99",
            b"99 ",
            b"0x5",
            b"-0",
            b"- 5",
            b"5- 3",
            b"\t5",
            b"5\n",
            b"+5-+5",
            b"--5",
            b"1" * 128,
        ):
            self.do("XRANGE", BINARY, text, "+")
            self.do("XRANGE", BINARY, "-", text)
            self.do("XDEL", BINARY, text)
            self.do("XREAD", "STREAMS", BINARY, text)
        self.do("XADD", BINARY, b"99-*\x00", "a", "b")
        self.do("XADD", BINARY, b"0" * 126 + b"9-*", "a", "b")
        self.do("XADD", BINARY, b"0" * 125 + b"9-*", "a", "b")
        self.do("XINFO", "STREAM", BINARY, "FULL", "COUNT", 0)
        self.same_digest()

    def test_automatic_ids(self) -> None:
        """They are the time, and grow in any case."""
        for conn in (self.pair.real, self.pair.ours):
            seconds = conn.must("TIME")
            now_ms = int(seconds[0]) * 1000
            ids = [tuple(map(int, conn.must("XADD", "s", "*", "a", "b").split(b"-"))) for _ in range(50)]
            self.assertEqual(ids, sorted(set(ids)))
            self.assertLess(abs(ids[0][0] - now_ms), 5000)
            later = now_ms + 10**9
            conn.must("XADD", "s", f"{later}-{MOST - 1}", "a", "b")
            self.assertEqual(conn.must("XADD", "s", "*", "a", "b"), b"%d-%d" % (later, MOST))
            self.assertEqual(conn.must("XADD", "s", "*", "a", "b"), b"%d-0" % (later + 1))
            self.assertEqual(conn.must("XADD", "s", f"{later + 1}-*", "a", "b"), b"%d-1" % (later + 1))

    def configure(self, **directives: int) -> None:
        """Set directives for this test on both servers."""
        for name, value in directives.items():
            name = name.replace("_", "-")
            for conn in (self.pair.real, self.pair.ours):
                old = conn.must("CONFIG", "GET", name)
                before = old[name.encode()] if isinstance(old, dict) else old[1]
                self.addCleanup(conn.call, "CONFIG", "SET", name, before)
            self.do("CONFIG", "SET", name, value)

    def test_nodes(self) -> None:
        """Entries share nodes as in Redis, by number and by size."""
        for number in range(1, 1001):
            size = number * 7919 % 90
            names = ["a", "b", "c"] if number % 3 else ["a", str(number)]
            fields: list[Any] = []
            for name in names:
                fields += [name, number * 10 ** (size // 10) if size % 2 else "v" * size]
            self.pair.send(
                "XADD", "s", f"{number // 7 * (1 + size)}-{number}" if number < 3 else f"{number * 1000}-1", *fields
            )
            self.pair.read("XADD")
            if number % 50 == 0:
                self.do("XINFO", "STREAM", "s")
        for number in range(100, 900, 3):
            self.do("XDEL", "s", f"{number * 1000}-1")
        self.do("XINFO", "STREAM", "s")
        for number in range(100, 900):
            self.do("XDEL", "s", f"{number * 1000}-1")
        self.do("XINFO", "STREAM", "s")
        for line in (
            "MAXLEN ~ 150",
            "MAXLEN ~ 100",
            "MINID ~ 950000 LIMIT 10",
            "MINID ~ 950000",
            "MINID 960000",
            "MAXLEN 7",
        ):
            self.do("XTRIM", "s", *line.split())
            self.do("XINFO", "STREAM", "s")

    def test_trimming_of_whole_nodes(self) -> None:
        """What ``~`` removes, for small nodes and by the default limits."""
        for entries, size in ((10, 4096), (0, 300), (3, 100), (0, 0), (100, 4096)):
            self.configure(stream_node_max_entries=entries, stream_node_max_bytes=size)
            self.do("DEL", "s")
            for number in range(1, 331):
                self.pair.send("XADD", "s", "MAXLEN", "~", 200, f"{number}-1", "field", number)
                self.pair.read()
            self.do_all("XLEN s", "XDEL s 250-1 251-1 252-1 300-1", "XINFO STREAM s")
            for line in (
                *("MAXLEN ~ 190", "MAXLEN ~ 150 LIMIT 7", "MAXLEN ~ 150 LIMIT 20", "MAXLEN ~ 150 LIMIT 0"),
                *("MINID ~ 253", "MINID ~ 299", "MINID ~ 301", "MINID 302 ", "MINID ~ 311-1", "MINID ~ 311-2"),
                *("MAXLEN 8", "MAXLEN ~ 3", "MAXLEN ~ 0", "MINID ~ 1000", "MAXLEN 0"),
            ):
                self.do("XTRIM", "s", *line.split())
                self.do("XINFO", "STREAM", "s")
        self.same_digest()

    def test_default_limit(self) -> None:
        """Without LIMIT a trimming with ``~`` stops after a hundred times the entries of a node."""
        self.configure(stream_node_max_entries=2)
        for number in range(1, 502):
            self.pair.send("XADD", "s", number, "f", "v")
            self.pair.read()
        for line in ("XTRIM s MAXLEN ~ 10", "XTRIM s MAXLEN ~ 10 LIMIT 0", "XLEN s"):
            self.do(*line.split())

    def test_memory_and_copies(self) -> None:
        """What the commands for all types do with a stream."""
        self.fill("s")
        self.do_all(
            *(
                "XGROUP CREATE s g 0",
                "XREADGROUP GROUP g c COUNT 5 STREAMS s >",
                "COPY s t",
                "XDEL s 1-1",
                "XRANGE t - + COUNT 1",
            ),
            *(
                "XINFO GROUPS t",
                "RENAME t u",
                "TYPE u",
                "OBJECT ENCODING u",
                "SORT u",
                "GET u",
                "LLEN u",
                "XLEN u",
                "DEBUG DIGEST-VALUE u",
            ),
            *("XTRIM u MAXLEN 0", "COPY u v", "EXISTS u v", "XINFO STREAM v", "EXPIRE v 100", "XADD v 9-9 a b", "TTL v"),
        )
        real, ours = self.both("MEMORY", "USAGE", "s")
        self.assertGreater(ours, real / 4)
        self.same_digest()

    def test_dump_and_restore(self) -> None:
        """A payload of each server is read by the other one, with groups and pending entries."""
        self.configure(stream_node_max_entries=7)
        self.fill("s")
        self.do_all(
            *(
                "XGROUP CREATE s g 0",
                "XREADGROUP GROUP g alice COUNT 5 STREAMS s >",
                "XREADGROUP GROUP g bob COUNT 3 STREAMS s >",
            ),
            *(
                "XACK s g 1-3",
                "XDEL s 1-4 5-1",
                "XGROUP CREATE s empty 3-3",
                "XGROUP CREATECONSUMER s g idle",
                "XADD s 99-1 other x",
            ),
        )
        connections = (self.pair.real, self.pair.ours)
        real, ours = (conn.must("DUMP", "s") for conn in connections)
        for target in (self.pair.real, self.pair.ours):
            target.must("RESTORE", "from-real", 0, real)
            target.must("RESTORE", "from-ours", 0, ours)
        for key in ("s", "from-real", "from-ours"):
            full = [
                self.without_times(conn.must("XINFO", "STREAM", key, "FULL")) for conn in (self.pair.real, self.pair.ours)
            ]
            self.assertEqual(full[0], full[1])
            self.do("XINFO", "GROUPS", key)
            self.do("XRANGE", key, "-", "+")
        self.do("DEBUG", "RELOAD")
        for key in ("s", "from-real", "from-ours"):
            full = [self.without_times(conn.must("XINFO", "STREAM", key, "FULL")) for conn in connections]
            self.assertEqual(full[0], full[1])
        self.do("XADD", "from-ours", "99-2", "other", "y")
        self.do("XADD", "from-real", "99-2", "other", "y")
        self.same_digest()

    @classmethod
    def without_times(cls, value: Any) -> Any:
        """The reply without the moments in it."""
        if isinstance(value, list):
            return [cls.without_times(one) for one in value]
        if isinstance(value, dict):
            return {key: cls.without_times(one) for key, one in value.items()}
        return None if isinstance(value, int) and value > 10**12 else value

    def test_full_sync(self) -> None:
        """Replicas of either kind hold the same streams."""
        for master in (RealServer, Replicad):
            source, target = self.pair.real, self.pair.ours
            if master is Replicad:
                source, target = target, source
            self.do("FLUSHALL")
            self.fill("s", "t")
            self.do_all(
                "XGROUP CREATE s g 0", "XREADGROUP GROUP g alice COUNT 5 STREAMS s >", "XDEL s 1-1 3-3", "XACK s g 1-2"
            )
            target.must("REPLICAOF", "127.0.0.1", shared(master).port)
            self.addCleanup(target.call, "REPLICAOF", "NO", "ONE")
            wait_until(lambda: target.info("replication").get("master_link_status") == "up", 10, "link")  # noqa: B023
            for line in (
                *(
                    "XADD s * a b",
                    "XADD s MAXLEN ~ 10 * a b",
                    "XTRIM t MINID 3",
                    "XREADGROUP GROUP g bob COUNT 4 STREAMS s >",
                ),
                *(
                    "XREADGROUP GROUP g new NOACK COUNT 2 STREAMS s >",
                    "XCLAIM s g bob 0 1-3",
                    "XAUTOCLAIM s g carol 0 0 COUNT 2",
                ),
                *(
                    "XADD u * a b",
                    "XDEL t 4-4",
                    "XGROUP CREATE t h $",
                    "XGROUP DELCONSUMER s g alice",
                    "XSETID u 9999999999999-5",
                ),
            ):
                source.must(*line.split())
            source.must("WAIT", 1, 5000)
            self.same_digest()
            for key in ("s", "t", "u"):
                full = [self.without_times(conn.must("XINFO", "STREAM", key, "FULL")) for conn in (source, target)]
                self.assertEqual(*map(self.comparable, full))
            target.must("REPLICAOF", "NO", "ONE")

    def comparable(self, full: Any) -> Any:
        """XINFO STREAM FULL without what a real replica does not know (7.0 does not tell it what was read)."""
        pairs = full.items() if isinstance(full, dict) else zip(full[::2], full[1::2], strict=True)
        found = {key: value for key, value in pairs if not key.startswith(b"radix")}
        groups = []
        for group in found.pop(b"groups"):
            pairs = group.items() if isinstance(group, dict) else zip(group[::2], group[1::2], strict=True)
            groups.append([(key, value) for key, value in pairs if key not in (b"entries-read", b"lag")])
        return found, groups

    def test_keys_of_commands(self) -> None:
        """Where the keys are, and that looking at them is counted."""
        for line in (
            *(
                "XREAD STREAMS a b 0 0",
                "XREAD COUNT 1 STREAMS a 0",
                "XREAD STREAMS a b 0",
                "XREAD COUNT 1 x 0",
                "XREAD STREAMS",
            ),
            *("XREADGROUP GROUP g c STREAMS a b > >", "XREADGROUP GROUP g c NOACK BLOCK 5 COUNT 2 STREAMS a >"),
            *(
                "XREADGROUP GROUP STREAMS c STREAMS a >",
                "XREADGROUP GROUP g c COUNT 1 X a >",
                "XREAD BLOCK STREAMS STREAMS a 0",
            ),
            *(
                "XREAD X Y STREAMS a 0",
                "XREAD NOACK STREAMS a 0",
                "XADD k MAXLEN 5 * a b",
                "XGROUP CREATE k g 0",
                "XGROUP HELP",
            ),
        ):
            self.do("COMMAND", "GETKEYS", *line.split())
            self.do("COMMAND", "GETKEYSANDFLAGS", *line.split())
        counters = []
        for conn in (self.pair.real, self.pair.ours):
            conn.must("CONFIG", "RESETSTAT")
            for line in (
                *(
                    "XADD s 1-1 a b",
                    "XLEN s",
                    "XRANGE q - +",
                    "XDEL s 9",
                    "XTRIM s MAXLEN 9",
                    "XSETID s 3",
                    "XGROUP CREATE s g 0",
                ),
                *(
                    "XREAD STREAMS s q 0 0",
                    "XREADGROUP GROUP g c STREAMS s >",
                    "XREADGROUP GROUP g c STREAMS s 0",
                    "XACK q g 1",
                ),
                *(
                    "XPENDING s g",
                    "XCLAIM s g d 0 1-1",
                    "XAUTOCLAIM s g d 0 0",
                    "XINFO STREAM s",
                    "XINFO GROUPS q",
                    "XACK s g 1-1",
                ),
            ):
                conn.call(*line.split())
            info = conn.info("stats")
            counters.append((info["keyspace_hits"], info["keyspace_misses"]))
        self.assertEqual(*counters)

    def test_help(self) -> None:
        """The same subcommands, in words of our own."""
        for container in ("XINFO", "XGROUP"):
            real, ours = self.both(container, "HELP")
            names = [{line.split()[0] for line in reply if not line.startswith(b" ")} for reply in (real, ours)]
            self.assertEqual(*names)


class Streams3(Streams):
    """RESP3: maps, one kind of null."""

    resp = 3


class LongStreams(TwoHeadedTestCase):
    """Streams of many nodes; only ours is looked at."""

    def test_long_stream(self) -> None:
        """Adding, looking and deleting in the middle does not depend on the length."""
        ours = self.pair.ours
        for start in range(0, 100_000, 1000):
            ours.pipeline(*(("XADD", "s", number, "f", "v") for number in range(start + 1, start + 1001)))
        self.assertEqual(ours.must("XLEN", "s"), 100_000)
        self.assertEqual(ours.must("XRANGE", "s", "(50000", "+", "COUNT", 1), [[b"50001-0", [b"f", b"v"]]])
        self.assertEqual(ours.must("XREVRANGE", "s", "(50000-0", "-", "COUNT", 1), [[b"49999-0", [b"f", b"v"]]])
        self.assertEqual(ours.must("XDEL", "s", *range(40_000, 60_000, 10)), 2000)
        self.assertEqual(ours.must("XTRIM", "s", "MAXLEN", 90_000), 8000)
        self.assertEqual(ours.must("XTRIM", "s", "MINID", 50_000), 41_999 - 1000)
        self.assertEqual(ours.must("XRANGE", "s", "-", "+", "COUNT", 1), [[b"50001-0", [b"f", b"v"]]])
        self.assertEqual(ours.must("DEL", "s"), 1)


_KEYS = st.sampled_from(["s", "t"])
_IDS = st.builds("{}-{}".format, st.integers(0, 8), st.integers(0, 3))
_BOUNDS = st.one_of(_IDS, _IDS.map("({}".format), st.sampled_from(["-", "+", "0", "3", "(4", "9", "x"]))
_NEW = st.one_of(_IDS, st.integers(1, 8).map("{}-*".format), st.just("9-*"), st.just("99-*"))
_FIELDS = st.sampled_from([["a", "1"], ["a", "2"], ["b", "x" * 30], ["a", "1", "b", "2"], ["a", "1", "a", "2"]])
_TRIM = st.one_of(
    st.tuples(st.just("MAXLEN"), st.sampled_from(["=", "~"]), st.integers(0, 12)),
    st.tuples(st.just("MINID"), st.sampled_from(["=", "~"]), _IDS),
    st.tuples(st.just("MAXLEN"), st.just("~"), st.integers(0, 12), st.just("LIMIT"), st.integers(0, 9)),
)
_COUNT = st.sampled_from([(), ("COUNT", "1"), ("COUNT", "3")])
_WHO = st.sampled_from(["alice", "bob"])
_GROUP = st.sampled_from(["g", "h"])

COMMANDS = st.one_of(
    st.builds(lambda key, new, fields: ["XADD", key, new, *fields], _KEYS, _NEW, _FIELDS),
    st.builds(lambda key, new, fields: ["XADD", key, new, *fields], _KEYS, st.just("99-*"), _FIELDS),
    st.builds(lambda key, trim, fields: ["XADD", key, *trim, "99-*", *fields], _KEYS, _TRIM, _FIELDS),
    st.builds(lambda key, trim: ["XTRIM", key, *trim], _KEYS, _TRIM),
    st.builds(lambda key, ids: ["XDEL", key, *ids], _KEYS, st.lists(_IDS, min_size=1, max_size=4)),
    st.builds(lambda key, last: ["XDEL", key, f"99-{last}"], _KEYS, st.integers(0, 20)),
    st.builds(lambda key, a, b, count: ["XRANGE", key, a, b, *count], _KEYS, _BOUNDS, _BOUNDS, _COUNT),
    st.builds(lambda key, a, b, count: ["XREVRANGE", key, a, b, *count], _KEYS, _BOUNDS, _BOUNDS, _COUNT),
    st.builds(lambda key, above, count: ["XREAD", *count, "STREAMS", key, above], _KEYS, _IDS, _COUNT),
    st.builds(lambda key: ["XINFO", "STREAM", key], _KEYS),
    st.builds(lambda key: ["XINFO", "GROUPS", key], _KEYS),
    st.builds(lambda key, last: ["XSETID", key, last], _KEYS, _IDS),
    st.builds(lambda key, name, at: ["XGROUP", "CREATE", key, name, at], _KEYS, _GROUP, st.one_of(_IDS, st.just("$"))),
    st.builds(lambda key, name, at: ["XGROUP", "SETID", key, name, at], _KEYS, _GROUP, st.one_of(_IDS, st.just("$"))),
    st.builds(lambda key, name: ["XGROUP", "DESTROY", key, name], _KEYS, _GROUP),
    st.builds(lambda key, name, who: ["XGROUP", "DELCONSUMER", key, name, who], _KEYS, _GROUP, _WHO),
    *[
        st.builds(
            lambda key, name, who, count, ack, at: ["XREADGROUP", "GROUP", name, who, *count, *ack, "STREAMS", key, at],
            _KEYS, _GROUP, _WHO, _COUNT, st.sampled_from([(), (), ("NOACK",)]), st.sampled_from([">", ">", ">", "0", "3-1"]),
        )
    ] * 3,
    st.builds(lambda key, name, ids: ["XACK", key, name, *ids], _KEYS, _GROUP, st.lists(_IDS, min_size=1, max_size=3)),
    st.builds(lambda key, name: ["XPENDING", key, name], _KEYS, _GROUP),
    st.builds(
        lambda key, name, who, at, force, only: ["XCLAIM", key, name, who, "0", at, *force, *only],
        _KEYS, _GROUP, _WHO, _IDS, st.sampled_from([(), ("FORCE",)]), st.sampled_from([(), ("JUSTID",)]),
    ),
    st.builds(
        lambda key, name, who, at, count: ["XAUTOCLAIM", key, name, who, "0", at, *count],
        _KEYS, _GROUP, _WHO, _BOUNDS, _COUNT,
    ),
)  # fmt: skip


class DeletedEnds(TwoHeadedTestCase):
    """Nodes whose last entries are deleted."""

    def test_trim(self) -> None:
        """Whether a whole node lies below the limit of MINID is judged by its last entry, also by a deleted one."""
        self.addCleanup(self.do, "CONFIG", "SET", "stream-node-max-entries", 100)
        self.do("CONFIG", "SET", "stream-node-max-entries", 2)
        for how in ("~", "="):
            self.do_all("DEL s", "XADD s 1-1 a b", "XADD s 99-0 a b", "XADD s 99-1 a b", "XDEL s 99-0")
            self.do_all(f"XTRIM s MINID {how} 2-0", "XRANGE s - +", "XTRIM s MINID ~ 99-1", "XLEN s", "XADD s 200-0 c d")
            self.do_all("XTRIM s MINID = 99-2", "XLEN s", "XRANGE s - +", "XTRIM s MAXLEN 0", "XLEN s")
        self.same_digest()


def without_tree(reply: Any) -> Any:
    """XINFO STREAM without the figures of the radix tree.

    A trim by MINID leaves a node of deleted entries behind in Redis, when the id of the last one lies above the limit; here
    a node without entries is gone.
    """
    return reply[:2] + reply[6:] if isinstance(reply, list) else reply


class RandomStreams(TwoHeadedTestCase):
    """Random sequences of commands."""

    @sequences(100)
    @given(st.integers(1, 5), st.lists(COMMANDS, min_size=10, max_size=60))
    def test_sequences(self, entries: int, commands: list[list[Any]]) -> None:
        """Equal replies, and equal data at the end."""
        self.do("FLUSHALL")
        self.do("CONFIG", "SET", "stream-node-max-entries", entries)
        try:
            self.do_all("XADD s 1-1 a b", "XGROUP CREATE s g 0", "XADD t 2-2 a b", "XGROUP CREATE t h $")
            trimmed = False
            for argv in commands:
                trimmed = trimmed or "MINID" in argv
                if trimmed and argv[:2] == ["XINFO", "STREAM"]:
                    self.assertEqual(*map(without_tree, self.both(*argv)))
                else:
                    self.do(*argv)
            for key in ("s", "t"):
                replies = [Streams.without_times(one) for one in self.both("XINFO", "STREAM", key, "FULL", "COUNT", 0)]
                self.assertEqual(*(map(without_tree, replies) if trimmed else replies))
            self.same_digest()
        finally:
            self.do("CONFIG", "SET", "stream-node-max-entries", 100)
