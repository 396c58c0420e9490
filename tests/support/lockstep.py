"""Sends long rows of commands to a real server and to replicad and finds the first reply that differs.

Replies are compared as bytes first.  Where Redis itself gives no order or a moment of time (members of large sets,
TTL, XINFO's idle times) the rule of the command in `LOOSE` makes both replies comparable.  A row is pipelined, so
that both servers see it within milliseconds.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from tests.support.connection import Closed, Connection, NoReply, encode_command

Line = tuple[bytes, ...]

#: A reply as a tree of tuples: the type byte, then a value or the list of parts (of pairs in a map).
Tree = tuple[bytes, Any]


def parse(raw: bytes) -> Tree:
    """The tree of one reply; unlike values of `Connection` it keeps every difference of type."""
    tree, end = _parse(raw, 0)
    assert end == len(raw), raw[end:]
    return tree


def _parse(raw: bytes, start: int) -> tuple[Tree, int]:
    line_end = raw.index(b"\r\n", start)
    kind, text, place = raw[start : start + 1], raw[start + 1 : line_end], line_end + 2
    if kind in b"$=!":
        if text == b"-1":
            return (kind, None), place
        end = place + int(text)
        return (kind, raw[place:end]), end + 2
    if kind in b"*~>%":
        if text == b"-1":
            return (kind, None), place
        parts: list[Any] = []
        for _ in range(int(text)):
            part, place = _parse(raw, place)
            if kind == b"%":
                value, place = _parse(raw, place)
                parts.append((part, value))
            else:
                parts.append(part)
        return (kind, parts), place
    return (kind, int(text) if kind == b":" else text), place


# Rules: whether the replies of the real server and of ours mean the same for this command line.

Rule = Callable[[Tree, Tree, Line], bool]


def equal_as(view: Callable[[Tree, Line], Any]) -> Rule:
    """A rule that compares what `view` leaves of both replies."""
    return lambda real, ours, line: bool(view(real, line) == view(ours, line))


def unordered(tree: Tree, line: Line) -> Any:
    """An array or set in any order."""
    kind, parts = tree
    return (kind, sorted(parts, key=repr)) if isinstance(parts, list) else tree


def pairs(tree: Tree, line: Line) -> Any:
    """A map, or an array of fields and values, in any order."""
    kind, parts = tree
    if kind == b"*" and parts and len(parts) % 2 == 0:
        parts = list(zip(parts[::2], parts[1::2], strict=True))
    return (kind, sorted(parts, key=repr)) if isinstance(parts, list) else tree


def shape(tree: Tree, line: Line) -> Any:
    """The types and lengths; errors word for word."""
    kind, parts = tree
    if isinstance(parts, list) and kind != b"%":
        return kind, [shape(part, line) for part in parts]
    return tree if kind in b"-+" else (kind, parts is None)


def near(real: Tree, ours: Tree, line: Line) -> bool:
    """Times that were asked for at nearly the same moment."""
    return real[0] == ours[0] == b":" and min(real[1], ours[1]) >= 0 and abs(real[1] - ours[1]) < 30_000


def scanned(real: Tree, ours: Tree, line: Line) -> bool:
    """A step of a scan: equal in any order when both returned all in one step, else nothing is promised."""
    if real[0] != b"*" or ours[0] != b"*":
        return False
    if real[1][0][1] != b"0" or ours[1][0][1] != b"0" or b"0" not in line[1:3]:
        return True
    view = unordered if line[0].upper() in (b"SCAN", b"SSCAN") else pairs
    return bool(view(real[1][1], line) == view(ours[1][1], line))


def sorted_by(real: Tree, ours: Tree, line: Line) -> bool:
    """SORT BY leaves elements whose weights are equal, and all of a set BY nosort, in any order."""
    words = set(map(bytes.upper, line))
    view = shape if b"LIMIT" in words else unordered
    return b"BY" in words and bool(view(real, line) == view(ours, line))


#: Encodings that Redis keeps although the value as it is now would get another.
_KEPT = {
    (b"raw", b"embstr"), (b"raw", b"int"), (b"embstr", b"int"), (b"hashtable", b"listpack"), (b"hashtable", b"intset"),
    (b"skiplist", b"listpack"),
}  # fmt: skip


def kept(real: Tree, ours: Tree, line: Line) -> bool:
    """The encoding of a value that has shrunk; after DEBUG RELOAD both must agree."""
    return (real[1], ours[1]) in _KEPT


def timeless(tree: Tree, line: Line) -> Any:
    """Without what tells the moment of a delivery or the layout of a radix tree."""
    kind, parts = tree
    if not isinstance(parts, list):
        return (b":", "time") if kind == b":" and abs(parts - time.time() * 1000) < 3_600_000 else tree
    flat = [part for pair in parts for part in pair] if kind == b"%" else parts
    rest: list[Any] = []
    for part in flat:
        masked = rest and rest[-1] in ((b"$", b"idle"), (b"$", b"radix-tree-keys"), (b"$", b"radix-tree-nodes"))
        rest.append((b":", "masked") if masked else timeless(part, line))
    if len(flat) == 4 and [part[0] for part in flat] == [b"$", b"$", b":", b":"]:
        rest[2] = (b":", "idle")  # a row of XPENDING
    return kind, rest


#: The commands whose replies need not be equal to the byte.
LOOSE: dict[str, Rule] = {
    **dict.fromkeys(("SMEMBERS", "SUNION", "SINTER", "SDIFF", "KEYS", "HKEYS", "HVALS"), equal_as(unordered)),
    **dict.fromkeys(("PUBSUB CHANNELS", "PUBSUB SHARDCHANNELS", "FUNCTION LIST"), equal_as(unordered)),
    **dict.fromkeys(("HGETALL",), equal_as(pairs)),
    **dict.fromkeys(("SRANDMEMBER", "HRANDFIELD", "ZRANDMEMBER", "SPOP", "RANDOMKEY", "DUMP"), equal_as(shape)),
    **dict.fromkeys(("TTL", "PTTL", "EXPIRETIME", "PEXPIRETIME", "OBJECT IDLETIME"), near),
    **dict.fromkeys(("SCAN", "SSCAN", "HSCAN", "ZSCAN"), scanned),
    **dict.fromkeys(("XINFO STREAM", "XINFO GROUPS", "XINFO CONSUMERS", "XPENDING"), equal_as(timeless)),
    "OBJECT ENCODING": kept,
    "OBJECT REFCOUNT": equal_as(shape),  # a transaction holds its arguments
    **dict.fromkeys(("SORT", "SORT_RO"), sorted_by),
}


def rule_of(line: Line) -> Rule | None:
    """The rule for the replies of a command line, or None when they must be equal."""
    words = [word.decode("latin-1").upper() for word in line[:2]]
    return LOOSE.get(" ".join(words)) or LOOSE.get(words[0])


@dataclass(frozen=True)
class Step:
    """What is sent; `inner` is the command whose reply comes back, when a script calls it."""

    line: Line
    inner: Line | None = None


def same(step: Step, queued: Sequence[Line], real: bytes, ours: bytes) -> bool:
    """Whether two raw replies mean the same; `queued` are the commands that EXEC executed."""
    if real == ours:
        return True
    left, right = parse(real), parse(ours)
    if step.line[0] != b"EXEC":
        return _same(left, right, step.inner or step.line)
    if left[0] != b"*" or right[0] != b"*" or not left[1] or not right[1]:
        return False
    return len(left[1]) == len(right[1]) == len(queued) and all(map(_same, left[1], right[1], queued))


def _same(left: Tree, right: Tree, line: Line) -> bool:
    rule = rule_of(line)
    return left == right or (rule is not None and rule(left, right, line))


def plain(line: Line) -> list[Step]:
    """One command; a key that lost random members is deleted, because the servers differ from then on."""
    return [Step(line), *_mend(line)]


def from_script(line: Line, resp: int, call: str = "pcall") -> list[Step]:
    """A command that EVAL calls, with its own protocol version."""
    script = f"redis.setresp({resp}) return redis.{call}(unpack(ARGV))".encode()
    return [Step((b"EVAL", script, b"0", *line), line), *_mend(line)]


def transaction(lines: Sequence[Line]) -> list[Step]:
    """Commands between MULTI and EXEC."""
    steps = [Step((b"MULTI",)), *(Step(line) for line in lines), Step((b"EXEC",))]
    return steps + [step for line in lines for step in _mend(line)]


def _mend(line: Line) -> list[Step]:
    return [Step((b"DEL", line[1]))] if line[0].upper() == b"SPOP" and len(line) > 1 else []


@dataclass
class Difference:
    """The first reply that is not the same, and where it stands."""

    place: int
    steps: Sequence[Step]
    real: bytes
    ours: bytes

    def __str__(self) -> str:
        step = self.steps[self.place]
        return f"{show(step.line)}\n  real: {self.real[:600]!r}\n  ours: {self.ours[:600]!r}"


class Follower:
    """Reads the replication stream of a server as a replica of the oldest kind would: SYNC, and never a word back."""

    def __init__(self, port: int, timeout: float = 20.0) -> None:
        self._connection = Connection(port, timeout=timeout)
        self._connection.send("SYNC")
        header = b""
        while not header.endswith(b"\r\n"):
            header = (header + self._connection.recv_raw(1)).lstrip(b"\n")
        self._connection.recv_raw(int(header[1:]))  # the image
        self._db = b""

    def until(self, last: Line) -> list[Line]:
        """The commands that come before `last`, each with its database in front."""
        found: list[Line] = []
        while True:
            argv = tuple(self._connection.read_reply())
            if argv == last:
                return found
            name = argv[0].upper()
            if name == b"SELECT":
                self._db = argv[1]
            elif name not in (b"PING", b"REPLCONF"):
                found.append((self._db, *argv))

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


def same_stream(real: Sequence[Line], ours: Sequence[Line]) -> bool:
    """Whether two streams are equal but for moments, which may be some seconds apart."""
    return len(real) == len(ours) and all(
        left == right or (len(left) == len(right) and all(map(_same_word, left, right)))
        for left, right in zip(real, ours, strict=True)
    )


def _same_word(real: bytes, ours: bytes) -> bool:
    if real == ours:
        return True
    moments = real.isdigit() and ours.isdigit() and 13 <= len(real) < 20 and 13 <= len(ours) < 20
    return moments and abs(int(real) - int(ours)) < 30_000


def show(line: Iterable[bytes]) -> str:
    """A command line to read and to paste."""
    return " ".join(repr(part)[1:] if len(part) < 200 else f"{part[:20]!r}*({len(part)} bytes)" for part in line)


def run(real: Connection, ours: Connection, steps: Sequence[Step]) -> Difference | None:
    """Send all steps to both; the first difference, if any. The connections are of no more use after one."""
    data = b"".join(encode_command(*step.line) for step in steps)
    real.send_raw(data)
    ours.send_raw(data)
    found: Difference | None = None
    queued: list[Line] = []
    for place, step in enumerate(steps):
        try:
            wanted = real.read_reply_raw()[1]
        except NoReply as error:
            raise AssertionError(f"the real server hangs in {show(step.line)}") from error
        try:
            got = ours.read_reply_raw()[1]
        except (Closed, NoReply) as error:
            return found or Difference(place, steps, wanted, repr(error).encode())
        if found is None and not same(step, queued, wanted, got):
            found = Difference(place, steps, wanted, got)
        if wanted == b"+QUEUED\r\n":
            queued.append(step.line)
        elif step.line[0] in (b"EXEC", b"DISCARD"):
            queued.clear()
    return found


def shrink(steps: Sequence[Step], differs: Callable[[Sequence[Step]], Difference | None]) -> Difference | None:
    """A short row of `steps` that still differs; `differs` runs a row from the beginning."""
    found = differs(steps)
    if found is None:
        return None
    kept = list(steps[: found.place + 1])
    size = len(kept) // 2
    while size:
        start = 0
        while start < len(kept) - 1:
            shorter = kept[:start] + kept[min(start + size, len(kept) - 1) :]
            again = differs(shorter)
            if again is not None:
                kept, found = shorter[: again.place + 1], again
            else:
                start += size
        size //= 2
    return found
