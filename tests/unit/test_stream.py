"""The stream reader: units, boundaries, and what does not belong into a stream."""

import itertools
import random

from twisted.trial.unittest import SynchronousTestCase

from replicad.replication.handshake import encode
from replicad.replication.stream import StreamError, StreamReader, Unit, parse_exactly

NASTY = [
    b"",
    b"\r\n*",
    b"x\r\n*3\r\n$3\r\nSET",
    b"*12345678",
    b"\r",
    b"\n",
    b"\r\n*123456789\r\n",
    b"*" * 50,
    b"$5\r\nab",
    b"\r\n+OK\r\n=\n(",
]


def feed_all(reader: StreamReader, data: bytes, cuts: list[int]) -> list[Unit]:
    """Feed ``data`` in the pieces that ``cuts`` make of it."""
    units = []
    places = [0, *cuts, len(data)]
    for begin, end in itertools.pairwise(places):
        if begin < end:
            units += reader.feed(data[begin:end])
    return units


def merged(units: list[Unit]) -> tuple[bytes, list[list[bytes]]]:
    """Return all bytes and all commands of the units."""
    return b"".join(raw for raw, _ in units), [argv for _, commands in units for argv in commands]


class Units(SynchronousTestCase):
    """What makes a unit."""

    def test_one_read_is_one_unit(self) -> None:
        data = encode(b"SELECT", b"0") + encode(b"SET", b"a", b"1") + encode(b"ping")
        units = StreamReader().feed(data)
        self.assertEqual(units, [(data, [[b"SELECT", b"0"], [b"SET", b"a", b"1"], [b"ping"]])])
        self.assertIs(units[0][0], data)

    def test_group(self) -> None:
        before, group, after = (
            encode(b"SET", b"a", b"1"),
            encode(b"MULTI") + encode(b"INCR", b"a") + encode(b"Exec"),
            encode(b"SET", b"b", b"2"),
        )
        self.assertEqual(
            StreamReader().feed(before + group + after),
            [
                (before, [[b"SET", b"a", b"1"]]),
                (group, [[b"MULTI"], [b"INCR", b"a"], [b"Exec"]]),
                (after, [[b"SET", b"b", b"2"]]),
            ],
        )

    def test_open_group_is_kept(self) -> None:
        reader = StreamReader()
        first = encode(b"MULTI") + encode(b"INCR", b"a")
        self.assertEqual(reader.feed(first), [])
        self.assertEqual(reader.feed(encode(b"INCR", b"b")), [])
        self.assertEqual(reader.pending, len(first) + len(encode(b"INCR", b"b")))
        (unit,) = reader.feed(encode(b"EXEC"))
        self.assertEqual(unit[1], [[b"MULTI"], [b"INCR", b"a"], [b"INCR", b"b"], [b"EXEC"]])
        self.assertEqual(unit[0], first + encode(b"INCR", b"b") + encode(b"EXEC"))
        self.assertEqual(reader.pending, 0)

    def test_getack_stands_alone(self) -> None:
        write, getack = encode(b"SET", b"a", b"1"), encode(b"REPLCONF", b"GETACK", b"*")
        self.assertEqual(
            StreamReader().feed(write + getack + write),
            [
                (write, [[b"SET", b"a", b"1"]]),
                (getack, [[b"REPLCONF", b"GETACK", b"*"]]),
                (write, [[b"SET", b"a", b"1"]]),
            ],
        )

    def test_incomplete_command(self) -> None:
        reader = StreamReader()
        data = encode(b"SET", b"a", b"1")
        self.assertEqual(reader.feed(data + data[:17]), [(data, [[b"SET", b"a", b"1"]])])
        self.assertEqual(reader.pending, 17)
        self.assertEqual(reader.feed(data[17:]), [(data, [[b"SET", b"a", b"1"]])])
        self.assertEqual(reader.pending, 0)

    def test_newlines_are_counted(self) -> None:
        data = b"\n" + encode(b"PING") + b"\n\r\n" + encode(b"SET", b"a", b"1") + b"\n"
        for cut in range(1, len(data)):
            raw, commands = merged(feed_all(StreamReader(), data, [cut]))
            self.assertEqual((raw, commands), (data, [[b"PING"], [b"SET", b"a", b"1"]]))
        self.assertEqual(StreamReader().feed(b"\n"), [(b"\n", [])])

    def test_empty_arrays_are_counted(self) -> None:
        data = b"*0\r\n" + encode(b"PING") + b"*-1\r\n"
        self.assertEqual(merged(StreamReader().feed(data)), (data, [[b"PING"]]))

    def test_zeros_in_headers(self) -> None:
        data = b"*01\r\n$04\r\nPING\r\n*1\r\n$5\r\nMULTI\r\n*1\r\n$04\r\nEXEC\r\n"
        units = StreamReader().feed(data)
        self.assertEqual([raw for raw, _ in units], [data[:16], data[16:]])

    def test_big_value_in_pieces(self) -> None:
        value = random.Random(7).randbytes(3_000_000)
        data = encode(b"SET", b"a", value)
        units = feed_all(StreamReader(), data + data, list(range(65536, 2 * len(data), 65536)))
        self.assertEqual(merged(units), (data + data, [[b"SET", b"a", value]] * 2))

    def test_random_commands_in_random_pieces(self) -> None:
        for seed in range(300):
            rng = random.Random(seed)
            commands = []
            in_group = False
            for _ in range(rng.randint(1, 30)):
                kind = rng.random()
                if kind < 0.1:
                    commands.append([b"EXEC" if in_group else b"MULTI"])
                    in_group = not in_group
                elif kind < 0.15 and not in_group:
                    commands.append([b"REPLCONF", b"GETACK", b"*"])
                else:
                    commands.append(
                        [b"SET"]
                        + [
                            rng.choice([*NASTY, rng.randbytes(rng.choice([1, 30, 3000]))])
                            for _ in range(rng.randint(0, 3))
                        ]
                    )
            if in_group:
                commands.append([b"EXEC"])
            data = b"".join(encode(*argv) for argv in commands)
            cuts = sorted(rng.sample(range(len(data)), min(len(data), rng.choice([0, 1, 5, 40]))))
            reader = StreamReader()
            units = feed_all(reader, data, cuts)
            self.assertEqual(merged(units), (data, commands), f"seed {seed}")
            self.assertEqual(reader.pending, 0, f"seed {seed}")
            for raw, part in units:
                self.assertEqual(raw, b"".join(encode(*argv) for argv in part), f"seed {seed}")
                names = [argv[0] for argv in part]
                self.assertEqual(names.count(b"MULTI"), names.count(b"EXEC"), f"seed {seed}")

    def test_cut_at_every_byte(self) -> None:
        data = b"".join(
            [
                encode(b"SET", b"k", b"\r\n*1\r\n$4\r\nPING\r\n"),
                encode(b"MULTI"),
                encode(b"SET", b"*12345678", b"\r"),
                encode(b"EXEC"),
                encode(b"SET", b"k", b""),
                encode(b"REPLCONF", b"GETACK", b"*"),
            ]
        )
        boundaries = [0]
        for raw, _ in StreamReader().feed(data):
            boundaries.append(boundaries[-1] + len(raw))
        ends = parse_exactly(data)[1]
        for cut in range(len(data) + 1):
            reader = StreamReader()
            raw, _ = merged(reader.feed(data[:cut])) if cut else (b"", [])
            outside = [0] + [end for end in ends if not boundaries[1] < end < boundaries[2]]
            self.assertEqual(len(raw), max(end for end in outside if end <= cut), cut)
            self.assertEqual(reader.pending, cut - len(raw))
            rest, _ = merged(reader.feed(data[cut:])) if cut < len(data) else (b"", [])
            self.assertEqual(raw + rest, data)


class Broken(SynchronousTestCase):
    """What is not a stream."""

    def test_refused(self) -> None:
        for bad in (
            b"PING\r\n",
            b"+OK\r\n",
            b"-ERR x\r\n",
            b":1\r\n",
            b"$4\r\nPING\r\n",
            b"*1\r\n:1\r\n",
            b"*1\r\n*1\r\n$4\r\nPING\r\n",
            b"*1\r\n$-1\r\n",
            b"*x\r\n",
            b"*1\r\n$x\r\n",
            b"*1\r\n$4\r\nPINGPONG\r\n",
            b"*1\r\n_\r\n",
            b"%1\r\n+a\r\n+b\r\n",
            b"*" + b"1" * 30,
        ):
            for data in (bad, encode(b"PING") + bad):
                self.assertRaises(StreamError, StreamReader().feed, data)

    def test_huge_headers_reserve_nothing(self) -> None:
        for bad in (b"*1000000000\r\n", b"*1\r\n*1000000000\r\n$1\r\n", b"*4294967296\r\n$1\r\na\r\n"):
            self.assertRaises(StreamError, StreamReader().feed, bad)
            for cut in range(1, len(bad)):
                reader = StreamReader()
                with self.assertRaises(StreamError):
                    reader.feed(bad[:cut])
                    reader.feed(bad[cut:])
                    # What is still held back must be refused as soon as more arrives.
                    reader.feed(b"$1\r\na\r\n")

    def test_limit(self) -> None:
        reader = StreamReader(limit=1000)
        reader.feed(b"*2\r\n$3\r\nGET\r\n$5000\r\n")
        reader.feed(b"x" * 900)
        self.assertRaises(StreamError, reader.feed, b"x" * 900)
        reader = StreamReader(limit=1000)
        reader.feed(encode(b"MULTI"))
        reader.feed(encode(b"SET", b"a", b"x" * 600))
        self.assertRaises(StreamError, reader.feed, encode(b"SET", b"a", b"x" * 600))

    def test_garbage_is_a_stream_error_or_nothing(self) -> None:
        alphabet = [
            b"*",
            b"$",
            b"1",
            b"2",
            b"\r\n",
            b"\n",
            b"a",
            b"-",
            b"*1\r\n",
            b"$1\r\n",
            b"+",
            b"\r",
            b":",
            b"\x00",
        ]
        for seed in range(2000):
            rng = random.Random(seed)
            reader = StreamReader()
            total = given = 0
            try:
                for _ in range(8):
                    data = b"".join(rng.choice(alphabet) for _ in range(rng.randint(1, 12)))
                    total += len(data)
                    given += len(merged(reader.feed(data))[0])
                    self.assertEqual(given + reader.pending, total, f"seed {seed}")
            except StreamError:
                pass
