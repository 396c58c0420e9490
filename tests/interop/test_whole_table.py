"""The whole command table in random lines against a real server: replies, data, encodings and counters.

Every command that COMMAND DOCS of the real server describes takes part, except those in `LEFT_OUT`, which say why.  A
round begins with the same small dataset on both servers under random listpack limits, runs a row of random lines
(alone, between MULTI and EXEC, from scripts, as an argument of COMMAND GETKEYS), and ends with what must be equal
then: the replication stream, DEBUG DIGEST, the counters, and digest and encodings once more after DEBUG RELOAD.
"""

from __future__ import annotations

from itertools import count
from random import Random
from typing import Any, ClassVar

from hypothesis import given
from hypothesis import strategies as st

from tests.support.connection import Connection, RespError
from tests.support.grammar import ALL_KEYS, Grammar, Line, forms
from tests.support.lockstep import (
    Difference,
    Follower,
    Step,
    from_script,
    plain,
    run,
    same_stream,
    show,
    shrink,
    transaction,
)
from tests.support.sequences import sequences
from tests.support.servers import RealServer, Replicad, digest
from tests.support.twohead import TwoHeadedTestCase, shared

#: Commands that take no part, and why.
LEFT_OUT: dict[str, str] = {
    **dict.fromkeys(("shutdown", "failover", "replicaof", "slaveof"), "end the server or its role"),
    **dict.fromkeys(("psync", "sync", "replconf", "monitor"), "make the connection something else"),
    **dict.fromkeys(("quit", "client|reply", "client|kill"), "end or silence the connection"),
    **dict.fromkeys(("hello", "reset", "auth"), "change the connection under the test; test_connection has them"),
    **dict.fromkeys(("client|pause", "client|unpause", "client|unblock"), "act on all connections"),
    **dict.fromkeys(("client|id", "client|info", "client|list"), "tell of the connection itself"),
    **dict.fromkeys(("client|tracking", "client|no-evict"), "push messages between the replies; test_tracking"),
    **dict.fromkeys(
        ("subscribe", "psubscribe", "ssubscribe", "unsubscribe", "punsubscribe", "sunsubscribe"),
        "their number of replies depends on the arguments",
    ),
    **dict.fromkeys(("migrate", "module|load", "module|loadex", "module|unload"), "look for other hosts and files"),
    **dict.fromkeys(("save", "bgsave", "bgrewriteaof", "acl|save", "acl|load"), "write or read files"),
    **dict.fromkeys(("config|set", "config|get", "config|rewrite", "config|resetstat"), "configuration: test_config"),
    **dict.fromkeys(("time", "lastsave", "info", "role", "lolwut"), "moment, process or build"),
    **dict.fromkeys(("acl|genpass", "acl|log"), "random, or tells of connections and moments"),
    **dict.fromkeys(("memory|doctor", "memory|malloc-stats", "memory|purge", "memory|stats", "memory|usage"), "memory"),
    **dict.fromkeys(
        ("latency|doctor", "latency|graph", "latency|histogram", "latency|history", "latency|latest", "latency|reset"),
        "durations",
    ),
    **dict.fromkeys(("slowlog|get", "slowlog|len", "slowlog|reset"), "durations"),
    **dict.fromkeys(("command|docs", "command|info", "command|list", "command|count"), "test_introspection"),
    **dict.fromkeys(("function|dump", "function|stats"), "bytes of another serializer; the running script"),
    **dict.fromkeys(("function|kill", "script|kill", "script|debug"), "need a running script or a debugger"),
    **dict.fromkeys(("multi", "exec", "discard"), "the test makes the transactions"),
    **dict.fromkeys(("debug", "pfdebug", "pfselftest"), "no public interface; test_debug, test_hyperloglog"),
    **dict.fromkeys(("flushall", "flushdb", "swapdb"), "take away what the other lines need"),
    "acl|cat": "replicad has commands of later releases too; test_introspection compares",
    "eval": "a script may call anything: see the lines that call from scripts",
}

#: The dataset that a round begins with.
DATASET = """
SET str:a hello|SET str:b 12345|SET str:c ""|SET str:ttl x EX 1000000|SET num:a 10|SET num:b 3.5|SETBIT str:\x00 7 1
PFADD hll:a a b c|PFADD hll:b 1 2 3 4|RPUSH list:a a b c 1 2 3|RPUSH list:b x|RPUSH list:ttl a b|EXPIRE list:ttl 1000000
HSET hash:a a 1 b 2 c 3.5 d abc|HSET hash:b 1 1|HSET hash:ttl a b|EXPIRE hash:ttl 1000000
SADD set:a a b c d 1|SADD set:b b c|SADD set:ints 1 2 3 10|SADD set:ttl a|EXPIRE set:ttl 1000000
ZADD zset:a 1 a 2 b 2 c 3.5 d -inf e|ZADD zset:b 0 a 0 b 0 c|ZADD zset:ttl 1 a|EXPIRE zset:ttl 1000000
GEOADD geo:a 13.361389 38.115556 a 15.087269 37.502669 b|GEOADD geo:b 2.35 48.85 c
XADD stream:a 1-1 a 1|XADD stream:a 1-2 b 2|XADD stream:a 5-3 c 3|XGROUP CREATE stream:a g1 0|XGROUP CREATE stream:a g2 $
XREADGROUP GROUP g1 alice COUNT 2 STREAMS stream:a >|XADD stream:b 1000-0 a 1|XGROUP CREATE stream:b g1 0
"""

def unspecified(line: Line) -> bool:
    """Whether the result depends on dice once a sorted set is a skip list, or the sign of a zero in its digest."""
    name, words = line[0].upper(), {word.upper() for word in line}
    by_member = (b"ZRANGEBYLEX", b"ZREVRANGEBYLEX", b"ZREMRANGEBYLEX", b"ZLEXCOUNT", b"ZRANGE", b"ZRANGESTORE")
    return name in by_member or b"-0" in line or b"WEIGHTS" in words


def mistaken(line: Line) -> bool:
    """Whether COMMAND GETKEYS of Redis finds other keys than the command itself uses: a PFMERGE without sources, a SORT
    into a key with the name STORE."""
    words = [word.upper() for word in line]
    return words[0] == b"PFMERGE" or (words[0] == b"SORT" and words.count(b"STORE") > 1)


def tied(line: Line) -> bool:
    """Whether SORT stores what may come in any order: sets, and elements whose weights are equal."""
    words = {word.upper() for word in line}
    return b"SORT" in words and b"STORE" in words and b"BY" in words


def later(line: Line) -> bool:
    """Whether the line is valid in later releases only, and replicad knows them."""
    name = line[0].upper()
    return (name in (b"ZRANK", b"ZREVRANK") and len(line) > 3) or (name == b"XREAD" and b"+" in line)


#: Limits of the compact encodings: usual ones, and such that a handful of members is over them.
LIMITS = {
    "hash-max-listpack-entries": (128, 4, 0),
    "hash-max-listpack-value": (64, 2),
    "zset-max-listpack-entries": (128, 4, 0),
    "zset-max-listpack-value": (8192, 2),
    "set-max-intset-entries": (512, 4),
    "list-max-listpack-size": (-2, 2),
    "stream-node-max-entries": (100, 2),
    "hll-sparse-max-bytes": (3000, 20),
    "proto-max-bulk-len": (536870912,),
}

_rows = count()

#: See `WholeTable.test_what_once_differed`.
FOUND = """
XGROUP SETID stream:a g1 -
XGROUP SETID stream:a g1 +
XGROUP CREATE stream:a g9 $ ENTRIESREAD 1 ENTRIESREAD 1
XAUTOCLAIM stream:a g1 alice abc 0
XAUTOCLAIM str:a g1 alice abc 0
XCLAIM stream:a g1 bob 0 01-01
XADD stream:a 0099 a 1
ZREMRANGEBYLEX zset:a [b [d
ZREVRANGEBYLEX zset:a [zz (a
ZLEXCOUNT zset:a - [c
ZINCRBY zset:a nx a
OBJECT ENCODING none:a
OBJECT FREQ str:a
SPOP set:a 100
COMMAND GETKEYS SINTERCARD 1e3 set:a set:b
COMMAND GETKEYSANDFLAGS ZUNIONSTORE dst 01 zset:a
COMMAND GETKEYS EVAL x 4294967297 a b
FUNCTION LIST <NUL>x
FUNCTION LOAD <NUL>x 7
ACL SETUSER u1 <NUL>on
CLIENT LIST TYPE a<NUL>b
CONFIG SET a<NUL>b 1
"""

#: Lines in one round.
LINES = 120


def dataset() -> list[Line]:
    """The lines of `DATASET`."""
    rows = "|".join(DATASET.strip().splitlines()).split("|")
    return [tuple(b"" if word == '""' else word.encode("latin-1") for word in row.split()) for row in rows]


class WholeTable(TwoHeadedTestCase):
    """See the module."""

    reply_timeout: ClassVar[float] = 20.0

    def setUp(self) -> None:
        """Ask the real server for its table and for payloads of RESTORE."""
        super().setUp()
        found = list(forms(self.pair.real.must("COMMAND", "DOCS")))
        self.assertLessEqual(LEFT_OUT.keys(), {form.name for form in found})
        taking_part = [form for form in found if form.name not in LEFT_OUT and not form.name.endswith("|help")]
        self.assertGreater(len(taking_part), 200)
        self.pair.real.pipeline(*dataset())
        names = ("str:a", "list:a", "hash:b", "set:a", "zset:a", "stream:a")
        payloads = [self.pair.real.must("DUMP", name) for name in names]
        self.grammar = Grammar(taking_part, [*payloads, payloads[0][:-1] + b"\x00", b"", b"bad"])
        self.followers = [Follower(shared(kind).port) for kind in (RealServer, Replicad)]
        for follower in self.followers:
            self.addCleanup(follower.close)
        for one in (self.pair.real, self.pair.ours):
            one.must("DEBUG", "SET-ACTIVE-EXPIRE", 0)  # expired keys are met by commands, in step
            self.addCleanup(one.must, "DEBUG", "SET-ACTIVE-EXPIRE", 1)
            for name in LIMITS:
                value = one.must("CONFIG", "GET", name)[1]
                self.addCleanup(one.must, "CONFIG", "SET", name, value)
            self.addCleanup(one.must, "FUNCTION", "FLUSH")
            self.addCleanup(forget_users, one)

    def _connection(self, kind: Any, resp: int = 2) -> Connection:
        return Connection(shared(kind).port, resp=resp, timeout=self.reply_timeout)

    def line(self, random: Random, limits: dict[str, int], blocks: bool = True) -> Line:
        """A line whose result is the same on equal servers of the same release."""
        skip_lists = limits["zset-max-listpack-entries"] < 128 or limits["zset-max-listpack-value"] < 8192
        while True:
            line = self.grammar.line(random, blocks=blocks)
            if not later(line) and not tied(line) and not (skip_lists and unspecified(line)):
                return line

    def steps(self, random: Random, limits: dict[str, int]) -> list[Step]:
        """The row of a round."""
        steps: list[Step] = []
        for _ in range(LINES):
            draw = random.random()
            if draw < 0.6:
                steps += plain(self.line(random, limits))
            elif draw < 0.75:
                lines = [self.line(random, limits, blocks=False) for _ in range(random.randint(1, 4))]
                steps += transaction([line for line in lines if line[0].upper() != b"SPOP"])  # what follows would differ
            elif draw < 0.9:
                line = self.line(random, limits, blocks=False)
                steps += from_script(line, random.choice((2, 3)), random.choice(("pcall", "call")))
            elif draw < 0.95:
                line = self.line(random, limits)
                if not mistaken(line):
                    steps += plain((b"COMMAND", random.choice((b"GETKEYS", b"GETKEYSANDFLAGS")), *line))
            else:
                key = random.choice(ALL_KEYS)
                steps += plain((random.choice((b"TYPE", b"TTL", b"EXISTS", b"DUMP")), key))
        return steps

    def differs(self, resp: int, limits: dict[str, int], steps: list[Step]) -> Difference | None:
        """Run the steps on both servers from the beginning, then compare what is left behind."""
        begin, end = ((b"PUBLISH", b"row", b"%d" % next(_rows)) for _ in range(2))  # what stands around it in the stream
        beginning = [Step((b"CONFIG", b"SET", name.encode(), str(value).encode())) for name, value in limits.items()]
        beginning += [Step((b"FLUSHALL",)), Step((b"SCRIPT", b"FLUSH")), Step((b"FUNCTION", b"FLUSH"))]
        beginning += [Step(line) for line in dataset()]
        with self._connection(RealServer, resp) as real, self._connection(Replicad, resp) as ours:
            for one in (real, ours):
                forget_users(one)
                one.pipeline(*(step.line for step in beginning))
                one.must("DEBUG", "RELOAD")  # sets the count of changes back
                one.must("CONFIG", "RESETSTAT")
                one.must(*begin)
            row = [*steps, Step((b"DISCARD",)), Step(end)]
            for index in reversed(range(16)):  # SCAN deletes what is expired, and else would stay in the digest for a while
                row += [Step((b"SELECT", b"%d" % index)), Step((b"SCAN", b"0", b"COUNT", b"10000"))]
            row.append(Step((b"DEBUG", b"DIGEST")))
            found = run(real, ours, row) or self._differs_stream(row, begin, end)
            if found is None:
                found = self._differs_after(real, ours, row)
        return found

    def _differs_stream(self, row: list[Step], begin: Line, end: Line) -> Difference | None:
        for follower in self.followers:
            follower.until(begin)
        real, ours = (follower.until(end) for follower in self.followers)
        names = {word.upper() for step in row for word in step.line}
        if b"SPOP" in names or same_stream(real, ours):
            return None
        if not names.isdisjoint((b"SCAN", b"RANDOMKEY")):  # they delete expired keys in the order of the table
            real, ours = ([line for line in lines if line[1] != b"DEL"] for lines in (real, ours))
            if same_stream(real, ours):
                return None
        pairs = enumerate(zip(real, ours, strict=False))
        place = next((place for place, (left, right) in pairs if not same_stream([left], [right])), 0)
        texts = [b"the stream: " + repr(lines[place : place + 6]).encode() for lines in (real, ours)]
        return Difference(row.index(Step(end)), row, *texts)

    def _differs_after(self, real: Connection, ours: Connection, row: list[Step]) -> Difference | None:
        left, right = counters(real, row), counters(ours, row)
        # To replicad an expired key is a change, because its DEL moves the replication offset.
        changes = int(right["rdb_changes_since_last_save"]) - int(right["expired_keys"])
        right["rdb_changes_since_last_save"] = str(changes)
        if left != right:
            changed = sorted(name for name in left.keys() | right.keys() if left.get(name) != right.get(name))
            texts = [repr({name: one.get(name) for name in changed}).encode() for one in (left, right)]
            return Difference(len(row) - 1, row, *texts)
        before = digest(real)
        for one in (real, ours):
            one.must("DEBUG", "RELOAD")
        if not before == digest(real) == digest(ours):
            texts = [f"DIGEST after DEBUG RELOAD {digest(one)}, before {before}".encode() for one in (real, ours)]
            return Difference(len(row) - 1, row, *texts)
        forms_real, forms_ours = encodings(real), encodings(ours)
        other = [key for key in forms_real if forms_real[key] != forms_ours[key]]
        if other:
            texts = [repr({key: found[key] for key in other}).encode() for found in (forms_real, forms_ours)]
            return Difference(len(row) - 1, row, b"after DEBUG RELOAD: " + texts[0], texts[1])
        return None

    def test_what_once_differed(self) -> None:
        """Lines that random rows have found; alone, from scripts and in transactions they are the same by now."""
        lines = [
            tuple(word.encode("latin-1").replace(b"<NUL>", b"\0") for word in row.split())
            for row in FOUND.strip().splitlines()
        ]
        limits = {name: values[0] for name, values in LIMITS.items()}
        for wrap in (plain, lambda line: from_script(line, 2), lambda line: transaction([line])):
            found = self.differs(2, limits, [step for line in lines for step in wrap(line)])
            self.assertIsNone(found, str(found))

    @sequences(6)
    @given(st.integers(0, 1 << 48))
    def test_random_lines(self, beginning: int) -> None:
        """A round for each number; a failure is made short and shown whole."""
        random = Random(beginning)
        resp = random.choice((2, 3))
        limits = {name: random.choice(values) for name, values in LIMITS.items()}
        steps = self.steps(random, limits)
        if self.differs(resp, limits, steps) is not None:
            found = shrink(steps, lambda some: self.differs(resp, limits, list(some)))
            text = "the difference did not come again"
            if found is not None:
                text = "\n".join(show(step.line) for step in found.steps[: found.place]) + f"\n{found}"
            self.fail(f"round {beginning}, RESP{resp}, {limits}:\n{text}")


def forget_users(connection: Connection) -> None:
    """Leave the default user alone."""
    connection.must("ACL", "DELUSER", "nobody", *(name for name in connection.must("ACL", "USERS") if name != b"default"))


def counters(connection: Connection, row: list[Step]) -> dict[str, str]:
    """What INFO counts and no clock moves: hits and misses, calls and failures of each command, errors."""
    kept = {
        "rdb_changes_since_last_save",
        "keyspace_hits",
        "keyspace_misses",
        "total_error_replies",
        "unexpected_error_replies",
        "expired_keys",
    }
    fields = connection.info("stats", "persistence", "commandstats", "errorstats")
    found = {}
    for name, value in fields.items():
        if name in kept or name.startswith("errorstat_"):
            found[name] = value
        elif name.startswith("cmdstat_"):
            counts = dict(part.split("=") for part in value.split(","))
            found[name] = " ".join(counts[one] for one in ("calls", "rejected_calls", "failed_calls"))
    left_out = {"cmdstat_info", "cmdstat_config|resetstat"}
    if any(b"type" == word.lower() for step in row for word in step.line):
        left_out |= {"keyspace_hits", "keyspace_misses"}  # SCAN TYPE counts keys in the order of the table
    for name in left_out:
        found.pop(name, None)
    return found


def encodings(connection: Connection) -> dict[bytes, bytes | None]:
    """OBJECT ENCODING of every key of the pools, None for those that are missing."""
    replies = connection.pipeline(*(("OBJECT", "ENCODING", key) for key in ALL_KEYS))
    return {
        key: None if isinstance(reply, RespError) else reply for key, reply in zip(ALL_KEYS, replies, strict=True)
    }
