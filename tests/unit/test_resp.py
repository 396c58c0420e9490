"""Requests in pieces, their limits and errors; replies in both protocol versions."""

from __future__ import annotations

from itertools import pairwise
from random import Random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from replicad.errors import ProtocolError, err
from replicad.resp import (
    NO_REPLY,
    NULL_ARRAY,
    OK,
    Push,
    Replies,
    RequestReader,
    Simple,
    Verbatim,
    encode,
    encode_command,
    encoded_length,
    format_double,
    split_line,
)
from tests.support.connection import Connection
from tests.support.servers import RealServer, need_reference
from tests.support.twohead import shared

Argv = list[bytes]

ODD = st.sampled_from([b"", b"\r\n", b"*1\r\n", b"$3\r\n", b":1"])
ARGUMENTS = st.lists(st.one_of(st.binary(max_size=20), ODD), min_size=1, max_size=6)
INLINE = st.sampled_from([b"PING\r\n", b"\r\n", b"\n", b"SET a 'b c'\n", b"*0\r\n", b"*-1\r\n", b'ECHO "\\x41"\r\n'])
SETTINGS = settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])


def fed(pieces: list[bytes], reader: RequestReader | None = None) -> list[Argv]:
    """Everything that comes out of a reader that gets ``pieces``."""
    reader = reader or RequestReader()
    return [argv for piece in pieces if piece for argv in reader.feed(piece)]


def each_byte(data: bytes) -> list[bytes]:
    return [data[i : i + 1] for i in range(len(data))]


class Pieces(SynchronousTestCase):
    """However the bytes are cut, the same commands come out."""

    @SETTINGS
    @given(st.lists(ARGUMENTS, max_size=5))
    def test_whole_and_byte_by_byte(self, commands: list[Argv]) -> None:
        data = b"".join(map(encode_command, commands))
        if data:
            self.assertEqual(fed([data]), commands)
        self.assertEqual(fed(each_byte(data)), commands)

    @SETTINGS
    @given(st.lists(ARGUMENTS, min_size=1, max_size=5), st.lists(st.integers(1, 40), max_size=12))
    def test_any_cuts(self, commands: list[Argv], sizes: list[int]) -> None:
        data = b"".join(map(encode_command, commands))
        pieces = []
        for size in sizes:
            pieces.append(data[:size])
            data = data[size:]
        reader = RequestReader()
        self.assertEqual(fed([*pieces, data], reader), commands)
        self.assertEqual(reader.pending, 0)

    @SETTINGS
    @given(ARGUMENTS, st.integers(1, 60))
    def test_trailing_part(self, argv: Argv, cut: int) -> None:
        """A command and the beginning of the next: the first comes at once, the rest is pending."""
        data = encode_command(argv)
        cut = min(cut, len(data) - 1)
        reader = RequestReader()
        self.assertEqual(reader.feed(data + data[:cut]), [argv])
        self.assertEqual(fed([data[cut:]], reader), [argv])

    @SETTINGS
    @given(st.lists(st.one_of(ARGUMENTS.map(encode_command), INLINE), max_size=8))
    def test_mixed_with_inline(self, parts: list[bytes]) -> None:
        data = b"".join(parts)
        if data:
            self.assertEqual(fed([data]), fed(each_byte(data)))

    def test_inline_between_arrays(self) -> None:
        data = b"PING\r\n*1\r\n$4\r\nPING\r\n\r\nSET a \"b\\r\\n\"\r\n*2\r\n$3\r\nGET\r\n$1\r\na\r\nQUIT\n"
        wanted = [[b"PING"], [b"PING"], [b"SET", b"a", b"b\r\n"], [b"GET", b"a"], [b"QUIT"]]
        self.assertEqual(fed([data]), wanted)
        self.assertEqual(fed(each_byte(data)), wanted)

    def test_pending(self) -> None:
        reader = RequestReader()
        reader.feed(b"*2\r\n$4\r\nECHO\r\n$100000\r\n")
        for _ in range(9):
            self.assertEqual(reader.feed(b"x" * 10000), [])
        self.assertGreater(reader.pending, 90000)
        self.assertEqual(reader.feed(b"x" * 10000 + b"\r\n"), [[b"ECHO", b"x" * 100000]])
        self.assertEqual(reader.pending, 0)

    def test_odd_lengths(self) -> None:
        """As in Redis any two bytes may stand behind a payload."""
        self.assertEqual(fed([b"*1\r\n$4\r\nPINGxx*1\r\n$4\r\nPONG\r\n"]), [[b"PING"], [b"PONG"]])

    def test_empty_argument_list(self) -> None:
        self.assertEqual(fed([b"*0\r\n*-5\r\n*1\r\n$0\r\n\r\n"]), [[b""]])


#: Pieces of requests, of replies, of nonsense.
FRAGMENTS = st.sampled_from(
    b"*1|*2|*3\r\n$3\r\nSET|$1\r\na|$4\r\nPING|PING||*-1|*0|$-1|:1|+OK|-ERR x|_|#t|%1|~1|>1|(12|,1.5|=5\r\ntxt:a".split(b"|")
    + b"!3\r\nabc/*1048577/$5/*1\r\n*1/%1\r\n*1/~1\r\n*1/*?/$?/GET a/*2\r\n$4\r\nECHO\r\n$3\r\nabc/|1".split(b"/")
).map(lambda line: line + b"\r\n")
ODD_ENDS = st.one_of(st.sampled_from([b"*", b"$", b"\n", b"\r", b"1"]), st.binary(max_size=3))


class Hostile(SynchronousTestCase):
    """Whatever comes, the answer is commands or a ProtocolError, and the cuts do not matter."""

    def outcome(self, pieces: list[bytes], restricted: bool) -> tuple[list[Argv], bytes]:
        reader = RequestReader(restricted=restricted)
        commands: list[Argv] = []
        try:
            for piece in pieces:
                commands += reader.feed(piece)
                while more := reader.more():
                    commands += more
        except ProtocolError as error:
            return commands + error.commands, error.text
        return commands, b""

    @settings(max_examples=500, deadline=None, derandomize=True)
    @given(st.lists(FRAGMENTS, max_size=8), ODD_ENDS, st.lists(FRAGMENTS, max_size=2), st.booleans())
    def test_anything(self, parts: list[bytes], odd: bytes, rest: list[bytes], restricted: bool) -> None:
        data = b"".join([*parts, odd, *rest])
        if data:
            whole = self.outcome([data], restricted)
            self.assertEqual(self.outcome(each_byte(data), restricted), whole, data)
            half = len(data) // 2
            self.assertEqual(self.outcome([piece for piece in (data[:half], data[half:]) if piece], restricted), whole)
            self.assertTrue(all(type(arg) is bytes for argv in whole[0] for arg in argv))


class Lines(SynchronousTestCase):
    """Inline commands and configuration lines."""

    def test_words(self) -> None:
        for line, words in (
            (b"a  b\tc", [b"a", b"b", b"c"]),
            (b"", []),
            (b'"a b" \'c d\'', [b"a b", b"c d"]),
            (b'"\\x41\\n\\"\\q" \'\\\'\\n\'', [b'A\n"q', b"'\\n"]),
            (b'a""b', None),
            (b'"a', None),
            (b"'a", None),
            (b'"a"b', None),
            (b'x"a"', [b"xa"]),
            (b'""', [b""]),
        ):
            self.assertEqual(split_line(line), words, line)


#: Bytes that break the protocol, before and after authentication.
BROKEN = (
    *(b"*a\r\n", b"*1\n$4\nPING\r\n", b"*1\r\n$4\nPING\r\n", b"*2147483648\r\n", b"*99999999999999999999\r\n"),
    *(b"*1\r\n*1\r\n", b"*1\r\n:1\r\n", b"*1\r\n$a\r\n", b"*1\r\n$-1\r\n", b"*1\r\n$536870913\r\n"),
    *(b"*1\r\n$99999999999999999999\r\n", b"*1\r\n+a\r\n", b"*1\r\n\r\n", b'SET "a b\r\n', b"SET 'a\r\n"),
    *(b'SET "a"b c\r\n', b"*1\r\n$ 4\r\nPING\r\n", b"*+1\r\n$4\r\nPING\r\n", b"*01\r\n$4\r\nPING\r\n"),
    *(b"*1\r\n$04\r\nPING\r\n", b"*1 \r\n$4\r\nPING\r\n", b"*\r\n", b"*1\r\n$\r\n", b"*1\r\nPING\r\n"),
    *(b"*1\r\n=3\r\n", b"*2\r\n$4\r\nECHO\r\n(1\r\n", b"*2\r\n$4\r\nECHO\r\n*-1\r\n"),
    *(b"x" * 70000, b"*" + b"1" * 70000, b"*1\r\n$" + b"1" * 70000, b"*1\r\n" + b"x" * 70000),
)


class Errors(SynchronousTestCase):
    """The text of every protocol error is that of a real server."""

    def real(self, data: bytes, replies: int = 1) -> bytes:
        """The first answers of a real server; it closes the connection a little later."""
        with Connection(shared(RealServer).port) as connection:
            connection.send_raw(data)
            return b"".join(connection.read_reply_raw()[1] for _ in range(replies))

    def ours(self, pieces: list[bytes], restricted: bool = False) -> tuple[bytes, list[Argv]]:
        reader = RequestReader(restricted=restricted)
        commands: list[Argv] = []
        try:
            for piece in pieces:
                commands += reader.feed(piece)
        except ProtocolError as error:
            return b"-ERR Protocol error: " + error.text + b"\r\n", commands + error.commands
        self.fail(f"accepted: {pieces[0][:50]!r}")

    def test_texts(self) -> None:
        for data in BROKEN:
            real = self.real(data)
            self.assertEqual(self.ours([data]), (real, []), data[:60])
            if len(data) < 100:
                self.assertEqual(self.ours(each_byte(data)), (real, []), data)
            else:
                self.assertEqual(self.ours([data[:7], data[7:30000], data[30000:]])[0], real, data[:60])

    def test_too_many_arguments(self) -> None:
        """The limit is lower than that of 7.0, which would reserve gigabytes for such a header."""
        self.assertEqual(self.ours([b"*1048577\r\n"])[0], b"-ERR Protocol error: invalid multibulk length\r\n")
        self.assertEqual(RequestReader().feed(b"*1048576\r\n"), [])

    def test_commands_before(self) -> None:
        """What was complete before the break is executed."""
        good = encode_command([b"PING"])
        for data in BROKEN[:19]:
            text, commands = self.ours([good + good + data])
            self.assertEqual(commands, [[b"PING"]] * 2)
            self.assertEqual(self.real(good + good + data, 3), b"+PONG\r\n" * 2 + text, data)

    def test_before_authentication(self) -> None:
        need_reference()
        control = shared(RealServer).client()
        control.must("CONFIG", "SET", "requirepass", "x")
        self.addCleanup(control.close)
        self.addCleanup(control.must, "CONFIG", "SET", "requirepass", "")
        control.must("AUTH", "x")
        for data in (b"*11\r\n", b"*1\r\n$16385\r\n", b"*1048577\r\n", *BROKEN[:19]):
            real = self.real(data)
            self.assertEqual(self.ours([data], restricted=True), (real, []), data)
            self.assertEqual(self.ours(each_byte(data), restricted=True), (real, []), data)
        reader = RequestReader(restricted=True)
        self.assertEqual(reader.feed(b"*10\r\n" + b"$1\r\na\r\n" * 10), [[b"a"] * 10])
        self.assertEqual(reader.feed(b"*1\r\n$16384\r\n" + b"x" * 16384 + b"\r\n"), [[b"x" * 16384]])

    def test_restriction_lifted(self) -> None:
        """Restricted readers hand out one command at a time, since it may change the limits."""
        reader = RequestReader(restricted=True)
        big = encode_command([b"ECHO", b"x" * 20000])
        self.assertEqual(reader.feed(encode_command([b"AUTH", b"x"]) + big + big), [[b"AUTH", b"x"]])
        reader.restricted = False
        self.assertEqual(reader.more(), [[b"ECHO", b"x" * 20000]] * 2)
        self.assertEqual(reader.more(), [])

    def test_max_bulk(self) -> None:
        reader = RequestReader(max_bulk=1000)
        self.assertEqual(reader.feed(b"*1\r\n$1000\r\n" + b"x" * 1000 + b"\r\n"), [[b"x" * 1000]])
        with self.assertRaises(ProtocolError) as caught:
            reader.feed(b"*1\r\n$1001\r\n")
        self.assertEqual(caught.exception.text, b"invalid bulk length")


class Replying(SynchronousTestCase):
    """The table of reply types."""

    def test_values(self) -> None:
        for value, resp2, resp3 in (
            (b"ab", b"$2\r\nab\r\n", None),
            (b"", b"$0\r\n\r\n", None),
            (5, b":5\r\n", None),
            (-1, b":-1\r\n", None),
            (None, b"$-1\r\n", b"_\r\n"),
            (NULL_ARRAY, b"*-1\r\n", b"_\r\n"),
            ([], b"*0\r\n", None),
            ((), b"*0\r\n", None),
            ([b"a", [1, None]], b"*2\r\n$1\r\na\r\n*2\r\n:1\r\n$-1\r\n", b"*2\r\n$1\r\na\r\n*2\r\n:1\r\n_\r\n"),
            ((b"a", b""), b"*2\r\n$1\r\na\r\n$0\r\n\r\n", None),
            ({b"a": 1}, b"*2\r\n$1\r\na\r\n:1\r\n", b"%1\r\n$1\r\na\r\n:1\r\n"),
            ({b"a"}, b"*1\r\n$1\r\na\r\n", b"~1\r\n$1\r\na\r\n"),
            (1.5, b"$3\r\n1.5\r\n", b",1.5\r\n"),
            (True, b":1\r\n", b"#t\r\n"),
            (False, b":0\r\n", b"#f\r\n"),
            (Simple(b"x"), b"+x\r\n", None),
            (OK, b"+OK\r\n", None),
            (Push([b"a", 1]), b"*2\r\n$1\r\na\r\n:1\r\n", b">2\r\n$1\r\na\r\n:1\r\n"),
            (Verbatim(b"x"), b"$1\r\nx\r\n", b"=5\r\ntxt:x\r\n"),
            (err("no"), b"-ERR no\r\n", None),
            (Replies([1, b"a"]), b":1\r\n$1\r\na\r\n", None),
            (NO_REPLY, b"", None),
        ):
            self.assertEqual(encode(value, 2), resp2, value)
            self.assertEqual(encode(value, 3), resp2 if resp3 is None else resp3, value)
        with self.assertRaises(TypeError):
            encode(object(), 2)

    def test_long_arrays(self) -> None:
        """As the short ones, whatever the elements' lengths."""
        for lengths in ([3] * 33, range(100), [0] * 50, [1023] * 40, [1] * 40 + [1024], [5] * 2000, [70000, *[1] * 40],
                        [2000] * 40, [3, 4] + [3] * 40, [3] * 40 + [2, 4, 3]):  # fmt: skip
            items = tuple(b"x" * length for length in lengths)
            self.assertEqual(encode(items, 2), encode(list(items), 2))
            self.assertEqual(encode(items, 3), encode(items, 2))

    @SETTINGS
    @given(ARGUMENTS)
    def test_commands(self, argv: Argv) -> None:
        data = encode_command(argv)
        self.assertEqual(data, b"*%d\r\n" % len(argv) + b"".join(b"$%d\r\n%b\r\n" % (len(one), one) for one in argv))
        self.assertEqual(encoded_length(argv), len(data))

    @SETTINGS
    @given(st.floats())
    def test_doubles_read_back(self, value: float) -> None:
        text = format_double(value)
        self.assertEqual(repr(float(text)), repr(value))


class RandomCuts(SynchronousTestCase):
    """The fast way and the exact way agree, wherever the data is cut, whatever odd forms are in it."""

    PIECES = (b"\r\n", b"*1\r\n$4\r\nPING\r\n", b"\n+", b"\n=", b"\n(", b"$3", b":1\r\n", b"*", b"x" * 70, b"")
    ODD = (
        b"PING inline\r\n", b"*0\r\n", b"*-1\r\n", b"\r\n", b"*2\r\n$03\r\nGET\r\n$1\r\nk\r\n",
        b"*2\r\n$3\r\nGET\r\n+k\r\n", b"*2\r\n$3\r\nGET\r\n$-5\r\n", b"*x\r\n",
    )  # fmt: skip

    def outcome(self, pieces: list[bytes], exactly: bool = False) -> list[object]:
        reader = RequestReader()
        out: list[object] = []
        for piece in pieces:
            try:
                out += reader._feed_exactly(piece) if exactly else reader.feed(piece)
            except ProtocolError as error:
                return [*out, *error.commands, error.text]
        return [*out, reader.pending]

    def argument(self, random: Random) -> bytes:
        if random.random() < 0.4:
            return random.randbytes(random.randrange(40))
        return b"".join(random.choices(self.PIECES, k=random.randrange(4)))

    def test_equal(self) -> None:
        random = Random(7)
        for _ in range(1500):
            data = b""
            for _ in range(random.randrange(1, 12)):
                if random.random() < 0.9:
                    data += encode_command([b"SET", *[self.argument(random) for _ in range(random.randrange(5))]])
                else:
                    data += random.choice(self.ODD)
            if random.random() < 0.3:
                data = data[: random.randrange(1, len(data) + 1)]
            cuts = sorted(random.randrange(len(data)) for _ in range(random.randrange(4)))
            pieces = [data[a:b] for a, b in pairwise([0, *cuts, len(data)]) if a < b]
            expected = self.outcome([data], exactly=True)
            self.assertEqual(self.outcome([data]), expected, data)
            if expected and type(expected[-1]) is int:  # after an error what is pending does not matter
                self.assertEqual(self.outcome(pieces), expected, pieces)
