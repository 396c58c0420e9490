"""Single values: what DUMP answered on real servers of many versions, and what is written for each type."""

from __future__ import annotations

from collections import deque
from math import inf
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from replicad.expiring_hash import ExpiringHash
from replicad.persistence import lzf
from replicad.persistence.interfaces import DamagedSnapshot
from replicad.persistence.rdb import PayloadFooterError, decode_value, dump_payload, encode_value, load_payload
from replicad.persistence.rdb_compact import (
    Corrupt,
    canonical_integer,
    listpack_integer,
    listpack_string,
    read_intset,
    read_listpack,
    read_ziplist,
    read_zipmap,
    write_listpack,
)
from replicad.persistence.rdb_write import encode_length, encode_string
from replicad.values import Consumer, Group, ModuleValue, Pending, SortedSet, Stream


def zset(**scores: float) -> SortedSet:
    """A sorted set with these members."""
    return SortedSet.from_pairs((member.encode(), score) for member, score in scores.items())


def timed(fields: dict[bytes, bytes], deadlines: dict[bytes, float]) -> ExpiringHash:
    """A hash some of whose fields expire."""
    return ExpiringHash(fields, SortedSet.from_scores(deadlines))


#: DUMP payloads of real servers, with their footers.
PAYLOADS: tuple[tuple[str, Any], ...] = (
    ("00 0568656c6c6f 0a00 6372df766534200a", b"hello"),
    ("00 c00c 0a00 3c2af8515c04bcd5", b"12"),
    ("00 00 0a00 5d9b5c400f7fa2da", b""),
    ("00 c3091e016161e01100016161 0a00 45737cbb2b647bbb", b"a" * 30),
    ("01 02 0161 c00c 0600 8e4bb83edab18880", deque([b"a", b"12"])),
    ("02 01 0161 0a00 6296e97e44d21a6d", {b"a"}),
    ("02 03 c007 0162 0161 0a00 039469d4e73b803f", {b"7", b"b", b"a"}),
    (
        "03 04 0161 0131 0163 ff 0162 03322e35 0164 13302e3130303030303030303030303030303031 0600 2b71a4f45b71cd05",
        zset(a=1.0, c=-inf, b=2.5, d=0.1),
    ),
    (
        "05 04 0164 000000000000f07f 0162 0000000000000440 0161 000000000000f03f 0163 000000000000f0ff"
        " 0a00 e520124218be26e8",
        zset(d=inf, b=2.5, a=1.0, c=-inf),
    ),
    ("04 02 026632 c02a 026631 027631 0a00 92fcea93f875394e", {b"f2": b"42", b"f1": b"v1"}),
    (
        "0a 39 390000002b000000080000016103fd02fefb03c02c0104f0a0860105d08096980006e000f2052a010000000a0b"
        "68656c6c6f20776f726c64ff 0600 d1c0ea36531e6bcc",
        deque([b"a", b"12", b"-5", b"300", b"100000", b"10000000", b"5000000000", b"hello world"]),
    ),
    ("0c 18 1800000012000000040000016103f20201620303322e35ff 0600 caba751d613a9224", zset(a=1.0, b=2.5)),
    (
        "0d 1a 1a00000016000000040000026631040276310402663204fe2aff 0600 d61043d180619f30",
        {b"f1": b"v1", b"f2": b"42"},
    ),
    ("0b 0e 02000000 03000000 0100 0200 0300 0a00 a5025ce26d6e4d1b", {b"1", b"2", b"3"}),
    ("0e 01 10 100000000d000000020000016103fdff 0700 16526b2c6a325d93", deque([b"a", b"12"])),
    (
        "0e 01 407f 7f000000 7b000000 0d00 00f1 02fd 02fe0d 03feff 03fe7f 03c08000 04f0ff7fff 05f0ffff7f 05d000008000"
        " 06e00000008000000000 0a0161 034040" + "78" * 64 + "43017a ff 0900 c47aa7643b94b751",
        deque(
            b"0 12 13 -1 127 128 -32769 8388607 8388608 2147483648 a".split() + [b"x" * 64, b"z"],
        ),
    ),
    (
        "12 03 02 0d0d0000000200816102816202ff 02 0d0d0000000200816302816402ff 02 0a0a0000000100816502ff"
        " 0a00 ec5236a76020a1db",
        deque([b"a", b"b", b"c", b"d", b"e"]),
    ),
    (
        "12 01 02 23 230000000600 8161 02 8162 02 0c 01 dffb 02 f18813 03 8b68656c6c6f20776f726c64 0c ff"
        " 0a00 a705443828c5265c",
        deque([b"a", b"b", b"12", b"-5", b"5000", b"hello world"]),
    ),
    ("10 15 150000000400 82663103 82763103 82663203 2a01 ff 0a00 7deda33169822b2d", {b"f1": b"v1", b"f2": b"42"}),
    (
        "11 1d 1d0000000600 816302 842d696e6605 816102 0101 816202 83322e3504 ff 0a00 3992339be11f323d",
        zset(c=-inf, a=1.0, b=2.5),
    ),
    ("14 0f 0f0000000300 816102 816202 0701 ff 0b00 6a750918eeda17da", {b"a", b"b", b"7"}),
    (
        "19 00b4c5dab8010000 32 320000000900 82663203 2a01 f400b4c5dab801000009 82663103 82763103 f488c7c5dab801000009"
        " 82663303 8178 02 0001 ff 0c00 a48cf603835f6cff",
        timed({b"f2": b"42", b"f1": b"v1", b"f3": b"x"}, {b"f2": 1893456000000, b"f1": 1893456005000}),
    ),
    (
        "18 00b4c5dab8010000 03 01 026632 c02a 5389 026631 027631 00 026633 0178 0c00 ac18d30626082075",
        timed({b"f2": b"42", b"f1": b"v1", b"f3": b"x"}, {b"f2": 1893456000000, b"f1": 1893456005000}),
    ),
)

STREAM_NODE = (
    "01 10 00000000000000010000000000000001 c3383d"
    "123d00000019000201010102018161028162020020090000200140110205010360090203010420"
    "0b401301dfff202b0781630205010601ff"
)
STREAM_PAYLOAD = f"13 {STREAM_NODE} 020200 0101010203 00 0a00 6b6afa8faf590be2"


def known_stream() -> Stream:
    """The stream in the payload above."""
    stream = Stream()
    stream.append((1, 1), (b"a", b"1", b"b", b"2"))
    stream.append((2, 0), (b"c", b"5"))
    stream.max_deleted_id = (1, 2)
    stream.entries_added = 3
    return stream


def with_group(entries_read: int | None, seen_ms: int, active_ms: int) -> Stream:
    """The same stream with a group whose consumer holds one entry."""
    stream = known_stream()
    group = stream.groups[b"g"] = Group((1, 1), entries_read)
    group.consumers[b"alice"] = Consumer(seen_ms, active_ms)
    group.pending[1, 1] = Pending(b"alice", 1000, 1)
    return stream


def full_stream() -> Stream:
    """A stream with everything, over several nodes, with numbers at the edges of their ranges."""
    stream = Stream()
    for number in range(1, 351):
        fields = (b"f", b"%d" % number) if number % 7 else (b"other", b"x" * number, b"n", b"-%d" % number)
        stream.append((number // 3, number), fields)
    stream.append((2**64 - 1, 0), (b"f", b"last"))
    stream.append((2**64 - 1, 2**64 - 1), ())
    stream.delete((10, 30))
    stream.max_deleted_id = (10, 30)
    group = stream.groups[b"g"] = Group((40, 120), 120)
    for name in (b"a", b"b", b"nothing"):
        group.consumers[name] = Consumer(1_700_000_000_000, -1 if name == b"nothing" else 1_700_000_000_001)
    for number in range(100, 120):
        group.pending[number // 3, number] = Pending(b"a" if number % 2 else b"b", 1_700_000_000_002, number)
    stream.groups[b"unknown"] = Group((2, 7), None)
    return stream


class PayloadTest(SynchronousTestCase):
    """Payloads of real servers, and ours."""

    def test_real_payloads(self) -> None:
        """Each decodes to the value that was dumped."""
        for text, value in (*PAYLOADS, (STREAM_PAYLOAD, known_stream())):
            found = load_payload(bytes.fromhex(text))
            self.assertIs(type(found), type(value))
            self.assertEqual(found, value)

    def test_zipmap(self) -> None:
        """The hash form of 2.4, which had no DUMP."""
        self.assertEqual(
            decode_value(bytes.fromhex("09 10 02 026631 0200 7631 026632 0200 3432 ff")), {b"f1": b"v1", b"f2": b"42"}
        )

    def test_plain_list_nodes(self) -> None:
        """Lists of 7.4 and of Valkey 8 have nodes that are one big element."""
        big = b"b" * 9000
        node = "02 0a 0a0000000100 8161 02 ff"
        data = bytes.fromhex(f"12 02 {node}01 6328") + big
        self.assertEqual(decode_value(data), deque([b"a", big]))

    def test_stream_forms(self) -> None:
        """All three, with a group: the older ones leave out what newer ones say."""
        raw_id = "0000000000000001 0000000000000001"
        pending = f"01 {raw_id} e803000000000000 01"
        consumer = "01 05616c696365 d007000000000000"
        first = decode_value(
            bytes.fromhex(f"0f {STREAM_NODE} 020200 01 0167 0101 {pending} {consumer} 01 {raw_id}")
        )
        expected = with_group(1, 2000, 2000)
        expected.max_deleted_id = (0, 0)
        expected.entries_added = 2
        self.assertEqual(first, expected)
        counters = "020200 0101 0102 03"
        unknown = "81ffffffffffffffff"
        second = decode_value(
            bytes.fromhex(f"13 {STREAM_NODE} {counters} 01 0167 0101 {unknown} {pending} {consumer} 01 {raw_id}")
        )
        self.assertEqual(second, with_group(None, 2000, 2000))
        active = "b80b000000000000"
        third = decode_value(
            bytes.fromhex(f"15 {STREAM_NODE} {counters} 01 0167 0101 01 {pending} {consumer} {active} 01 {raw_id}")
        )
        self.assertEqual(third, with_group(1, 2000, 3000))

    def test_entries_read_of_old_streams(self) -> None:
        """Where a stream of the first form does not tell, the number is known at both ends only."""
        for last_delivered, entries_read in (("0000", 0), ("0101", 1), ("0102", None), ("0200", 2), ("0300", None)):
            stream = decode_value(bytes.fromhex(f"0f {STREAM_NODE} 020200 01 0167 {last_delivered} 00 00"))
            self.assertEqual(stream.groups[b"g"].entries_read, entries_read)

    def test_module_value(self) -> None:
        """Kept byte by byte, and written back."""
        payload = bytes.fromhex("819b2fadca97bed403 0207 0181fffffffffffffffb 030000c03f 040000000000000440 0503616263 00")
        value = decode_value(b"\x07" + payload)
        self.assertEqual(value, ModuleValue(payload))
        self.assertEqual(value.name, b"my-type-1")
        self.assertEqual(load_payload(dump_payload(value)), value)

    def test_field_expiry_of_pre_releases(self) -> None:
        """Types 22 and 23 are as 24 and 25 without the time in front."""
        found = decode_value(bytes.fromhex("16 02 00 0161 0131 05 0162 0132"))
        self.assertEqual(found, timed({b"a": b"1", b"b": b"2"}, {b"b": 5}))
        elements = [listpack_string(b"a"), listpack_string(b"1"), listpack_integer(7)]
        self.assertEqual(decode_value(b"\x17" + encode_string(write_listpack(elements, 3))), timed({b"a": b"1"}, {b"a": 7}))
        elements[2] = listpack_integer(0)
        self.assertIs(type(decode_value(b"\x17" + encode_string(write_listpack(elements, 3)))), dict)

    def test_impossible_field_times(self) -> None:
        """Times that are no time, or none that 64 bits hold."""
        for text in (b"-1", b"x", b"9" * 19, b"1" * 30, b""):
            elements = [listpack_string(b"a"), listpack_string(b"1"), listpack_string(text)]
            self.assertRaises(DamagedSnapshot, decode_value, b"\x17" + encode_string(write_listpack(elements, 3)))
        self.assertRaises(DamagedSnapshot, decode_value, bytes.fromhex("18 fffffffffffffff7 01 01 0161 0131"))
        self.assertRaises(DamagedSnapshot, decode_value, bytes.fromhex("18 ffffffffffffff7f 01 02 0161 0131"))
        self.assertRaises(DamagedSnapshot, decode_value, bytes.fromhex("18 0100000000000000 02 01 0161 0131 00 0161 0132"))

    def test_field_deadlines_are_written(self) -> None:
        """In the form and the version of Redis 7.4; without deadlines as any hash."""
        value = timed({b"f2": b"42", b"f1": b"v1", b"f3": b"x"}, {b"f2": 1893456000000, b"f1": 1893456005000})
        payload = "18 00b4c5dab8010000 03 01 026632 c02a 5389 026631 027631 00 026633 0178 0c00 ac18d30626082075"
        self.assertEqual(dump_payload(value), bytes.fromhex(payload))
        self.assertEqual(dump_payload(timed({b"a": b"1"}, {})), dump_payload({b"a": b"1"}))

    def test_round_trip(self) -> None:
        """What is written is read back, for all types, sizes and forms."""
        numbers = [b"%d" % number for number in range(3000)]
        long = [b"k" * 63, b"k" * 64, b"k" * 16383, b"k" * 16384, b"ab" * 50000, b"", b"007", b"-0", b"2147483648"]
        values: tuple[Any, ...] = (
            *numbers[:300:50],
            *long,
            b"-2147483648",
            deque(numbers),
            deque(long),
            set(numbers),
            set(long),
            {number: number[::-1] for number in numbers},
            {text: text for text in long},
            timed({number: number for number in numbers}, {number: 2**40 + int(number) ** 3 for number in numbers[::3]}),
            SortedSet.from_pairs((number, float(number) / 7 - 100) for number in numbers),
            zset(a=inf, b=-inf, c=-0.0, d=5e-324, e=1.7976931348623157e308),
            known_stream(),
            Stream(),
            full_stream(),
        )
        for value in values:
            for version in (10, 11, 12):
                for compressed in (False, True):
                    found = decode_value(encode_value(value, version, compressed))
                    self.assertIs(type(found), type(value))
                    if type(value) is Stream and version == 10:
                        for group in value.groups.values():
                            for consumer in group.consumers.values():
                                consumer.active_time_ms = consumer.seen_time_ms
                    self.assertEqual(found, value)
            self.assertEqual(load_payload(dump_payload(value)), value)

    def test_old_versions(self) -> None:
        """Version 6 has sorted sets with scores as text, version 9 streams without counters."""
        value = zset(a=inf, b=-inf, c=0.1, d=3.0)
        data = encode_value(value, 6)
        self.assertEqual(data[0], 3)
        self.assertEqual(decode_value(data), value)
        data = encode_value(full_stream(), 9)
        self.assertEqual(data[0], 15)
        self.assertEqual(list(decode_value(data)), list(full_stream()))
        self.assertEqual(decode_value(data).groups[b"g"].pending, full_stream().groups[b"g"].pending)

    def test_footer(self) -> None:
        """Wrong checksum, newer version, too short: no value is even looked at."""
        payload = dump_payload(b"hello")
        self.assertEqual(payload.hex(), "000568656c6c6f0600" + payload[-8:].hex())
        for wrong in (b"", payload[:9], payload[:-1], payload + b"x", b"\xff" + payload[1:]):
            self.assertRaises(PayloadFooterError, load_payload, wrong)
        self.assertRaises(PayloadFooterError, load_payload, dump_payload(b"hello", 13))
        self.assertEqual(load_payload(dump_payload(b"hello", 12)), b"hello")

    def test_damaged_values(self) -> None:
        """Refused with DamagedSnapshot, whatever is wrong."""
        huge = "81 7fffffffffffffff"
        listpack = {name: write_listpack(map(listpack_string, items), len(items)) for name, items in {
            "odd": [b"a"], "twice": [b"a", b"1", b"a", b"2"], "nan": [b"a", b"nan"], "word": [b"a", b"word"],
            "members": [b"a", b"a"],
        }.items()}  # fmt: skip
        for text in (
            "",
            "06 00",
            "08 00",
            "1a 00",
            "ff",
            "00",
            "00 05 61",
            "00 01 61 61",
            "00 80 00",
            "00 82",
            "00 c4",
            "00 c3 01 05 00",
            "00 c3 04 05 2061",
            f"00 {huge}",
            f"00 c3 04 {huge} 01616161",
            f"00 c3 {huge} 04 01616161",
            "01 00",
            f"01 {huge} 0161",
            "01 c005",
            "02 02 0161 0161",
            "03 01 0161 fd",
            "03 01 0161 03 6e616e",
            "03 01 0161 01 78",
            "03 02 0161 0131 0161 0132",
            "04 01 0161",
            "04 02 0161 0131 0161 0132",
            "05 01 0161 000000000000f87f",
            "05 01 4001 61 000000000000f87f",
            "05 02 0161 0000000000000000 0161 000000000000f03f",
            "05 01 0161 0000",
            "07 819b2fadca97bed403 06",
            "0e 00",
            "0e 01 00",
            "12 01 03 0161",
            "12 01 02 0161",
            "16 02 00 0161 0131 00 0161 0132",
            "10" + encode_string(listpack["odd"]).hex(),
            "10" + encode_string(listpack["twice"]).hex(),
            "11" + encode_string(listpack["nan"]).hex(),
            "11" + encode_string(listpack["word"]).hex(),
            "14" + encode_string(listpack["members"]).hex(),
            "17" + encode_string(listpack["odd"]).hex(),
        ):
            with self.subTest(text):
                self.assertRaises(DamagedSnapshot, decode_value, bytes.fromhex(text))

    def test_damaged_streams(self) -> None:
        """What does not hold together is refused."""
        node_id = "0000000000000001 0000000000000001"
        tail = "0101 0101 0000 01 00"
        cut = lambda *items: encode_string(write_listpack(map(listpack_string, items), len(items))).hex()
        good = (b"1", b"0", b"1", b"f", b"0", b"2", b"0", b"0", b"v", b"4")
        self.assertEqual(
            list(decode_value(bytes.fromhex(f"13 01 10{node_id} {cut(*good)} 01 {tail}"))), [((1, 1), (b"f", b"v"))]
        )
        for index, word in ((0, b"2"), (0, b"0"), (1, b"1"), (2, b"9"), (2, b"-1"), (4, b"1"), (8, b"-5"), (9, b"5")):
            if index == 8:
                wrong: tuple[bytes, ...] = (b"1", b"0", b"1", b"f", b"0", b"0", b"0", b"0", word, b"0")
            else:
                wrong = (*good[:index], word, *good[index + 1 :])
            with self.subTest(wrong):
                data = bytes.fromhex(f"13 01 10{node_id} {cut(*wrong)} 01 {tail}")
                self.assertRaises(DamagedSnapshot, decode_value, data)
        group = "02 0167 0101 00 00 00 0167 0101 00 00 00"
        pending = f"01 0167 0101 00 02 {node_id} 0000000000000000 01 {node_id} 0000000000000000 01"
        for name, text in {
            "another number of entries": f"13 01 10{node_id} {cut(*good)} 02 {tail}",
            "short id": f"13 01 08{node_id[:16]} {cut(*good)} 01 {tail}",
            "node twice": f"13 02 10{node_id} {cut(*good)} 10{node_id} {cut(*good)} 02 {tail}",
            "last id below": f"13 01 10{node_id} {cut(*good)} 01 0000 0101 0000 01 00",
            "group twice": f"13 00 00 0505 0000 0000 00 {group}",
            "pending twice": f"13 00 00 0505 0000 0000 00 {pending} 00",
            "pending without consumer": f"13 00 00 0505 0000 0000 00 01 0167 0101 00 01 {node_id} 0000000000000000 01 00",
            "consumer holds another": f"13 00 00 0505 0000 0000 00 01 0167 0101 00 00 01 0161 0000000000000000 01 {node_id}",
            "consumer twice": "13 00 00 0505 0000 0000 00 01 0167 0101 00 00 02 0161 0000000000000000 00 0161"
            " 0000000000000000 00",
        }.items():
            with self.subTest(name):
                self.assertRaises(DamagedSnapshot, decode_value, bytes.fromhex(text))

    def test_every_flip(self) -> None:
        """Any single wrong bit gives another value or DamagedSnapshot, never anything else."""
        for text, _ in (*PAYLOADS, (STREAM_PAYLOAD, None)):
            good = bytes.fromhex(text)[:-10]
            for position in range(len(good)):
                for bit in range(8):
                    data = bytearray(good)
                    data[position] ^= 1 << bit
                    try:
                        decode_value(bytes(data))
                    except DamagedSnapshot as damage:
                        self.assertIn("is damaged at byte", str(damage))


class PieceTest(SynchronousTestCase):
    """The parts that values are made of."""

    def test_lengths(self) -> None:
        """The shortest form, at all edges."""
        for number, text in (
            (0, "00"),
            (63, "3f"),
            (64, "4040"),
            (16383, "7fff"),
            (16384, "8000004000"),
            (2**32 - 1, "80ffffffff"),
            (2**32, "810000000100000000"),
            (2**64 - 1, "81ffffffffffffffff"),
        ):
            self.assertEqual(encode_length(number).hex(), text)

    def test_strings(self) -> None:
        """Integers where the text is canonical, else raw."""
        for text, coded in (
            (b"hello", "0568656c6c6f"),
            (b"12", "c00c"),
            (b"-1", "c0ff"),
            (b"300", "c12c01"),
            (b"70000", "c270110100"),
            (b"2147483648", "0a32313437343833363438"),
            (b"007", "03303037"),
            (b"-0", "022d30"),
            (b"+1", "022b31"),
            (b"\xb2", "01b2"),
            (b"", "00"),
            (b"a" * 20, "14" + "61" * 20),
        ):
            self.assertEqual(encode_string(text, True).hex(), coded)
            self.assertEqual(decode_value(bytes.fromhex("00" + coded)), text)
        for packed, text in (
            ("c306 15 016161e00a00", b"a" * 21),
            ("c309 1e 016161e01100016161", b"a" * 30),
            ("c312 4046 0a3031323334353637383930e03009013839", b"0123456789" * 7),
        ):
            self.assertEqual(decode_value(bytes.fromhex("00" + packed)), text)

    def test_lengths_need_not_be_short(self) -> None:
        """A reader takes every form of a length."""
        for length in ("05", "4005", "8000000005", "810000000000000005"):
            self.assertEqual(decode_value(bytes.fromhex(f"00{length}68656c6c6f")), b"hello")
            self.assertEqual(decode_value(bytes.fromhex(f"0101{length}68656c6c6f")), deque([b"hello"]))

    def test_lzf(self) -> None:
        """What is packed, both readers unpack; what is broken, both refuse. The extension may not be installed."""
        self.assertIsNone(lzf.compress(bytes(range(64)), 60))
        for text, known in (
            (b"a" * 100, "016161e05700016161"),
            (b"abcabcabd" * 100, "0361626361400200646005200be0ff08210a2002e1ff0d210a2002e1ff0d210a2002e13e0d016264"),
            (bytes(2000), "010000e0ff00e0ff00e0ff00e0ff00e0ff00e0ff00e0ff00e08b00010000"),
            (b"0123456789" * 7, "0a3031323334353637383930e03009013839"),
        ):
            for packed in {bytes.fromhex(known), lzf.compress(text, len(text) - 4) or bytes.fromhex(known)}:
                self.assertLess(len(packed), len(text) - 3)
                for reader in (lzf.decompress, lzf.decompress_python):
                    self.assertEqual(reader(packed, len(text)), text)
                    for wrong, size in ((packed, len(text) - 1), (packed, len(text) + 1), (packed[:-1], len(text))):
                        self.assertRaises(ValueError, reader, wrong, size)
        for wrong in (b"\xe0\x00\x00", b"\x05ab", b"\xe0", b"\x20", b"\x00a\x20\x01", b"\x00a\xe0\x00"):
            for reader in (lzf.decompress, lzf.decompress_python):
                self.assertRaises(ValueError, reader, wrong, 9)
        self.assertRaises(ValueError, lzf.decompress, b"\x00a", 10**15)
        self.assertRaises(ValueError, lzf.decompress, b"", 0)

    def test_canonical_integers(self) -> None:
        """Only what 64 bits print."""
        for number in (0, 1, -1, 2**63 - 1, -(2**63)):
            self.assertEqual(canonical_integer(b"%d" % number), number)
        for text in (b"", b"-", b"00", b"-0", b"+1", b" 1", b"1 ", b"1_0", b"9223372036854775808", b"1" * 30):
            self.assertIsNone(canonical_integer(text))

    def test_listpack_elements(self) -> None:
        """Each form, written and read, with its length behind."""
        for text, coded in (
            (b"0", "00 01"),
            (b"127", "7f 01"),
            (b"128", "c080 02"),
            (b"-1", "dfff 02"),
            (b"4095", "cfff 02"),
            (b"-4096", "d000 02"),
            (b"4096", "f10010 03"),
            (b"-4097", "f1ffef 03"),
            (b"32768", "f2008000 04"),
            (b"-8388608", "f2000080 04"),
            (b"8388608", "f300008000 05"),
            (b"2147483648", "f40000008000000000 09"),
            (b"-9223372036854775808", "f40000000000000080 09"),
            (b"9223372036854775808", "93" + b"9223372036854775808".hex() + "14"),
            (b"00", "823030 03"),
            (b"x" * 63, "bf" + "78" * 63 + "40"),
            (b"x" * 64, "e040" + "78" * 64 + "42"),
            (b"x" * 127, "e07f" + "78" * 127 + "0181"),
            (b"y" * 4096, "f000100000" + "79" * 4096 + "2085"),
        ):
            element = listpack_string(text)
            self.assertEqual(element, bytes.fromhex(coded))
            self.assertEqual(read_listpack(write_listpack([element, element], 2)), [text, text])

    def test_listpack_lengths(self) -> None:
        """Elements around the sizes where their length needs one more byte."""
        for size in (16377, 16378, 16379, 2097145, 2097146, 2097147):
            text = b"z" * size
            listpack = write_listpack([listpack_string(text), listpack_string(b"end")], 2)
            self.assertEqual(read_listpack(listpack), [text, b"end"])

    def test_many_elements(self) -> None:
        """The count has 16 bits; above that containers are walked."""
        items = [b"%d" % (number % 10) for number in range(70000)]
        listpack = write_listpack(map(listpack_string, items), len(items))
        self.assertEqual(listpack[4:6], b"\xff\xff")
        self.assertEqual(read_listpack(listpack), items)

    def test_ziplist_with_long_lengths(self) -> None:
        """An entry behind one of 303 bytes, and the long form where the short one would do."""
        body = b"\x00\x41\x2c" + b"x" * 300 + bytes.fromhex("fe 2f010000 0162")
        self.assertEqual(read_ziplist(self.ziplist(body, 2)), [b"x" * 300, b"b"])
        body = bytes.fromhex("fe 00000000 0161 fe 07000000 8000000001 62 0b fdfe")[:-1]
        self.assertEqual(read_ziplist(self.ziplist(body, 3)), [b"a", b"b", b"12"])

    @staticmethod
    def ziplist(body: bytes, count: int) -> bytes:
        """A ziplist of these entries."""
        return (len(body) + 11).to_bytes(4, "little") + bytes(4) + count.to_bytes(2, "little") + body + b"\xff"

    def test_intset(self) -> None:
        """All widths; order and size are checked."""
        self.assertEqual(read_intset(bytes.fromhex("0400000002000000ffffffff70110100")), [b"-1", b"70000"])
        self.assertEqual(
            read_intset(bytes.fromhex("0800000002000000010000000000000000f2052a01000000")), [b"1", b"5000000000"]
        )
        for text in ("", "0300000000000000", "020000000200000001000100", "0200000001000000", "02000000000000000100"):
            self.assertRaises(Corrupt, read_intset, bytes.fromhex(text))

    def test_zipmap(self) -> None:
        """Free bytes behind a value, and long lengths."""
        self.assertEqual(read_zipmap(bytes.fromhex("01 0161 0103 62 000000 ff")), [b"a", b"b"])
        self.assertEqual(read_zipmap(bytes.fromhex("fe fe01000000 61 fe01000000 00 62 ff")), [b"a", b"b"])
        for text in ("", "00", "01 0161 ff", "02 0161 0100 62 ff", "01 0161 0500 62 ff", "01 ff 0100 62 ff"):
            self.assertRaises(Corrupt, read_zipmap, bytes.fromhex(text))
