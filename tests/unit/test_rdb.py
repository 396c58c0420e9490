"""Whole RDB documents: ours, hand-made ones, and files that real servers of ten versions wrote."""

from __future__ import annotations

import gzip
import json
from collections import deque
from pathlib import Path
from random import Random
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from replicad.expiring_hash import ExpiringHash
from replicad.persistence.interfaces import DamagedSnapshot, SnapshotInfo
from replicad.persistence.rdb import Decoder, Encoder, required_version
from replicad.persistence.rdb_compact import listpack_integer, listpack_string, write_listpack
from replicad.persistence.rdb_write import encode_length, encode_string
from replicad.values import Entry, Group, ModuleValue, SortedSet, Stream, StreamId, type_name

from .test_rdb_payloads import full_stream, zset

FILES = Path(__file__).resolve().parents[1] / "data" / "rdb"

AUX = (
    "fa0972656469732d76657206372e302e3135fa0a72656469732d62697473c040fa056374696d65c2b933006bfa08757365642d6d656dc2f8160f00"
    "fa08616f662d62617365c000"
)
#: A document of Redis 7.0 under an LFU policy.
COMPLETE = bytes.fromhex(
    f"524544495330303130{AUX}fe00fb0201fc00b4c5dab8010000f9050001620568656c6c6ff905000161c001fe03fb0100f90512016c"
    "01020a0a0000000100817802ffff8c70463de2655938"
)
COMPLETE_ENTRIES: list[Entry] = [(0, b"b", b"hello", 1893456000000), (0, b"a", b"1", None), (3, b"l", deque([b"x"]), None)]


def sample() -> list[Entry]:
    """A dataset with every type, several databases and times."""
    return [
        (0, b"text", b"hello", None),
        (0, b"number", b"-12", 1893456000000),
        (0, b"", b"", None),
        (0, b"bin\0\xff\r\n", bytes(range(256)), 1),
        (0, b"k" * 70, b"v" * 100, None),
        (0, b"K" * 2000, b"V" * 20000, 5),
        (3, b"text", b"another", None),
        (3, b"list", deque([b"a", b"", b"b" * 500]), None),
        (3, b"set", {b"x", b"y"}, 7),
        (9, b"zset", zset(a=1.5, b=-2.0), None),
        (9, b"hash", {b"f": b"v", b"g": b"w" * 30}, None),
        (9, b"stream", full_stream(), 99),
        (9, b"empty stream", Stream(), None),
        (15, b"module", ModuleValue(bytes.fromhex("819b2fadca97bed40302810000000100000000" "00")), None),
    ]


INFO = SnapshotInfo(
    replid="0123456789abcdef0123456789abcdef01234567",
    offset=987654321012,
    selected_db=3,
    second_replid="f" * 40,
    second_offset=55,
    saved_at=1_700_000_000,
    functions=(b"#!lua name=lib\nredis.register_function('f', function() return 1 end)",),
    redis_version="7.0.15",
    used_memory=123456,
)


def document(entries: list[Entry], info: SnapshotInfo = INFO, **options: Any) -> bytes:
    """The document of these entries; consumers' active times are kept (version 11) unless another version is asked for."""
    return b"".join(Encoder(**{"version": 11, **options}).encode(entries, info))


def decode(data: bytes) -> list[Entry]:
    """The entries of a complete document."""
    decoder = Decoder()
    entries = decoder.feed(data)
    decoder.close()
    assert decoder.unused == b""
    return entries


def printed(entry_id: StreamId) -> str:
    """A stream id as real servers print it."""
    return f"{entry_id[0]}-{entry_id[1]}"


def hand_made(body: str, version: int = 9) -> bytes:
    """A document of these hex digits, with the end and without a checksum."""
    return b"REDIS%04d" % version + bytes.fromhex(body) + b"\xff" + (bytes(8) if version > 4 else b"")


class RealFilesTest(SynchronousTestCase):
    """Files that SAVE wrote on servers from 2.8 to 7.4 and Valkey 8, against what those servers said is in them."""

    def test_all_files(self) -> None:
        """Every key, value, time, group and library."""
        paths = sorted(FILES.glob("*.rdb"))
        self.assertGreaterEqual(len(paths), 10)
        for path in paths:
            with self.subTest(path.name):
                expected = json.loads(gzip.decompress(path.with_suffix(".json.gz").read_bytes()))
                decoder = Decoder()
                found = {(db, key): (value, time_ms) for db, key, value, time_ms in decoder.feed(path.read_bytes())}
                decoder.close()
                self.assertEqual(decoder.version, expected["rdb_version"])
                for db, items in expected["databases"].items():
                    for item in items:
                        value, expire_at_ms = found.pop((int(db), item["key"].encode("latin-1")))
                        self.assertEqual(expire_at_ms, item.get("expire_at_ms"))
                        self.assertEqual(type_name(value).decode(), item["type"])
                        listed = item["value"]
                        if type(value) is SortedSet:
                            listed = [[member, float(score)] for member, score in listed]
                        self.assertEqual(self.as_listed(value), listed, item["key"])
                        self.assertEqual(self.field_times(value), item.get("field_expire_at_ms", {}), item["key"])
                        if type(value) is Stream:
                            self.compare_stream(value, item)
                self.assertEqual(found, {})
                names = [source.split(b"name=")[1].split()[0].decode() for source in decoder.info.functions]
                self.assertEqual(names, expected.get("functions", []))

    def as_listed(self, value: Any) -> Any:
        """The value as the JSON files have it."""
        text = lambda data: data.decode("latin-1")
        if type(value) is bytes:
            return text(value)
        if type(value) is deque:
            return list(map(text, value))
        if type(value) is set:
            return sorted(map(text, value))
        if isinstance(value, dict):
            return {text(field): text(item) for field, item in value.items()}
        if type(value) is SortedSet:
            return [[text(member), score] for member, score in value]
        return [[printed(entry_id), list(map(text, fields))] for entry_id, fields in value]

    def field_times(self, value: Any) -> dict[str, int]:
        """The deadlines of the fields of a hash."""
        times = value.deadlines.scores if type(value) is ExpiringHash else {}
        return {field.decode("latin-1"): at_ms for field, at_ms in times.items()}

    def compare_stream(self, stream: Stream, item: dict[str, Any]) -> None:
        """The counters and groups."""
        self.assertEqual(printed(stream.last_id), item["last_generated_id"])
        if "entries_added" in item:
            self.assertEqual(stream.entries_added, item["entries_added"])
            self.assertEqual(printed(stream.max_deleted_id), item["max_deleted_entry_id"])
        found = [
            {
                "name": name.decode(),
                "last_delivered_id": printed(group.last_delivered),
                "consumers": sorted(consumer.decode() for consumer in group.consumers),
                "pending": [
                    [printed(entry_id), pending.consumer.decode(), pending.delivery_count]
                    for entry_id, pending in group.pending.items()
                ],
                "entries_read": group.entries_read,
            }
            for name, group in sorted(stream.groups.items())
        ]
        expected = [dict(group) for group in item["groups"]]
        for ours, theirs in zip(found, expected, strict=True):
            theirs["consumers"] = sorted(theirs["consumers"])
            if "entries_added" not in item:
                # Servers before 7.0 have no such number.
                ours.pop("entries_read")
                theirs.pop("entries_read", None)
        self.assertEqual(found, expected)


    def test_damaged_files(self) -> None:
        """Changed in any way, they are read or refused with DamagedSnapshot, whatever the checksum would have said."""
        random = Random(4)
        originals = [path.read_bytes() for path in sorted(FILES.glob("*.rdb"))]
        refused = 0
        for _ in range(300):
            data = bytearray(random.choice(originals))
            data[-8:] = bytes(8)
            for _ in range(random.choice((1, 1, 2, 5, 30))):
                place = random.randrange(9, len(data))
                kind = random.randrange(4)
                if kind == 0:
                    data[place] = random.randrange(256)
                elif kind == 1:
                    del data[place : place + random.randrange(1, 20)]
                elif kind == 2:
                    data[place:place] = random.randbytes(random.randrange(1, 10))
                else:
                    data[place : place + 9] = random.choice((b"\x81" + b"\xff" * 8, b"\x80\x7f\xff\xff\xff", b"\x0a" * 9))
            decoder = Decoder()
            try:
                decoder.feed(bytes(data))
                decoder.close()
            except DamagedSnapshot:
                refused += 1
        self.assertGreater(refused, 100)
        self.assertLess(refused, 300)


class DecoderTest(SynchronousTestCase):
    """How documents are read."""

    def test_complete_document(self) -> None:
        """With all opcodes of an ordinary snapshot."""
        decoder = Decoder()
        self.assertEqual(decoder.feed(COMPLETE), COMPLETE_ENTRIES)
        self.assertTrue(decoder.finished)
        self.assertEqual(decoder.bytes_read, len(COMPLETE))
        self.assertEqual(decoder.version, 10)
        self.assertEqual(decoder.info.redis_version, "7.0.15")
        self.assertEqual(decoder.info.used_memory, 0xF16F8)
        self.assertEqual(decoder.info.saved_at, 0x6B0033B9)
        decoder.close()

    def test_pieces(self) -> None:
        """The same entries come out whole, byte by byte and in pieces, and each with its last byte."""
        for data in (COMPLETE, document(sample())):
            expected = decode(data)
            for size in (1, 2, 3, 7, 64, 1000):
                decoder = Decoder()
                found = []
                for start in range(0, len(data), size):
                    self.assertFalse(decoder.finished)
                    found += decoder.feed(data[start : start + size])
                self.assertTrue(decoder.finished)
                self.assertEqual(found, expected)
        decoder = Decoder()
        data = hand_made("00 0161 0162 01 0163 02 0164 0165 00 0166 c005")
        complete = {13: [b"a"], 21: [b"c"], 26: [b"f"]}
        for position, byte in enumerate(data):
            keys = [entry[1] for entry in decoder.feed(bytes((byte,)))]
            self.assertEqual(keys, complete.get(position, []))

    def test_trailing_bytes(self) -> None:
        """What follows is handed back and not looked at."""
        for size in (1, 5, 10**6):
            data = COMPLETE + b"*1\r\n$4\r\nPING\r\n"
            decoder = Decoder()
            found = [entry for start in range(0, len(data), size) for entry in decoder.feed(data[start : start + size])]
            self.assertEqual(found, COMPLETE_ENTRIES)
            self.assertEqual(decoder.unused, b"*1\r\n$4\r\nPING\r\n")
            self.assertEqual(decoder.bytes_read, len(COMPLETE))
            decoder.close()

    def test_every_prefix(self) -> None:
        """A document that ends too early is damaged at its end, at once when it is closed and not before."""
        for data in (COMPLETE, document(sample()[:3] + sample()[6:10])):
            for end in range(len(data)):
                decoder = Decoder()
                decoder.feed(data[:end])
                self.assertFalse(decoder.finished)
                damage = self.assertRaises(DamagedSnapshot, decoder.close)
                self.assertEqual(damage.offset, end)
                self.assertIn("too early", str(damage))

    def test_every_flip(self) -> None:
        """One wrong byte is damage; with the checksum off it may be another dataset, but nothing else."""
        for checksum in (True, False):
            data = document(sample()[:4] + sample()[6:11], SnapshotInfo(saved_at=1), checksum=checksum)
            for position in range(len(data)):
                for change in (0x01, 0x80, 0xFF):
                    wrong = bytearray(data)
                    wrong[position] ^= change
                    try:
                        decode(bytes(wrong))
                    except DamagedSnapshot as damage:
                        assert damage.offset is not None
                        self.assertLessEqual(damage.offset, len(data))
                    except AssertionError:
                        pass  # the end came early; what is left is unused
                    else:
                        # The last eight bytes may become zero only by another change than these.
                        self.assertFalse(checksum, position)

    def test_errors_stay(self) -> None:
        """After an error every call raises it again; it names the place."""
        decoder = Decoder()
        damage = self.assertRaises(DamagedSnapshot, decoder.feed, hand_made("00 0161 0162 08 0163 0164"))
        self.assertEqual((damage.path, damage.offset), ("", 14))
        self.assertEqual(str(damage), "snapshot is damaged at byte 14: unknown value type 8")
        self.assertIs(self.assertRaises(DamagedSnapshot, decoder.feed, b""), damage)
        self.assertIs(self.assertRaises(DamagedSnapshot, decoder.close), damage)

    def test_magic(self) -> None:
        """Versions 1 to 12; foreign ones are named."""
        for version in range(1, 13):
            self.assertEqual(decode(hand_made("fe00 00 0161 0162", version)), [(0, b"a", b"b", None)])
        for magic, word in (
            (b"REDIS0000", "version 0 "),
            (b"REDIS0013", "version 13 "),
            (b"VALKEY080", "Valkey's RDB version 80 "),
            (b"REDISABCD", "not an RDB"),
            (b"GARBAGE!!", "not an RDB"),
            (b"\x1f\x8b\x08......", "not an RDB"),
        ):
            self.assertIn(word, str(self.assertRaises(DamagedSnapshot, Decoder().feed, magic)))

    def test_checksum(self) -> None:
        """Wrong is damage, zero is not looked at, old versions have none."""
        wrong = COMPLETE[:-1] + b"\x39"
        self.assertIn("checksum is 385965e23d46708c", str(self.assertRaises(DamagedSnapshot, decode, wrong)))
        self.assertEqual(decode(COMPLETE[:-8] + bytes(8)), COMPLETE_ENTRIES)
        self.assertEqual(decode(hand_made("00 0161 0162", 4)), [(0, b"a", b"b", None)])

    def test_opcodes(self) -> None:
        """What belongs to one key ends with it, and what is not for us is passed over."""
        self.assertEqual(
            decode(
                hand_made(
                    "fd 01000000 f8 05 f9 07 00 0161 0131"  # seconds, idle, frequency
                    "00 0162 0132"
                    "fc e803000000000000 01 0163 00"  # an empty list takes its time along
                    "00 0164 0133"
                    "fe 02 fb 4001 00 00 0161 0134"
                    "fe 00 00 0165 0135"
                    "f4 4ce4 01 01 00 0166 0136"  # a slot
                    "f7 819b2fadca97bed403 02 01 05 0178 00 00 0167 0137"  # data of a module
                    "fc ffffffffffffffff 00 0168 c000",
                    12,
                )
            ),
            [
                (0, b"a", b"1", 1000),
                (0, b"b", b"2", None),
                (0, b"d", b"3", None),
                (2, b"a", b"4", None),
                (0, b"e", b"5", None),
                (0, b"f", b"6", None),
                (0, b"g", b"7", None),
                (0, b"h", b"0", -1),
            ],
        )

    def test_module_document(self) -> None:
        """A module's data and value, as real tools accept them."""
        data = bytes.fromhex(
            "524544495330303130 f7 819b2fadca97bed403 02 01 05 0178 00 fe00 07 026d6b 819b2fadca97bed403 0207"
            "0181fffffffffffffffb 030000c03f 040000000000000440 0503616263 00 00 0161 0162 ff 46e0ca0bb852664a"
        )
        module, plain = decode(data)
        self.assertEqual(plain, (0, b"a", b"b", None))
        self.assertEqual(module[2].name, b"my-type-1")

    def test_functions(self) -> None:
        """Libraries of 7.0, and those of its release candidates with the first line that they lack."""
        decoder = Decoder()
        decoder.feed(hand_made("f5 03 616263 f6 0161 034c5541 00 0178 f6 0162 036c7561 01 0464657363 0179", 10))
        decoder.close()
        self.assertEqual(decoder.info.functions, (b"abc", b"#!lua name=a\nx", b"#!lua name=b\ny"))

    def test_aux(self) -> None:
        """Replication state counts only when it is complete and looks like it; names are compared without case."""
        replid = b"0123456789abcdef0123456789abcdef01234567"

        def info(*fields: tuple[bytes, bytes]) -> SnapshotInfo:
            body = b"".join(b"\xfa%c%b%c%b" % (len(name), name, len(value), value) for name, value in fields)
            decoder = Decoder()
            decoder.feed(hand_made(body.hex()))
            decoder.close()
            return decoder.info

        found = info((b"Repl-ID", replid), (b"repl-offset", b"12"), (b"repl-stream-db", b"4"), (b"%odd", b"x"))
        self.assertEqual((found.replid, found.offset, found.selected_db), (replid.decode(), 12, 4))
        self.assertEqual(info((b"repl-stream-db", b"-1")).selected_db, -1)
        self.assertEqual(info((b"valkey-ver", b"8.0.1")).redis_version, "8.0.1")
        self.assertEqual(info((b"redis-ver", b"\xff")).redis_version, "\xff")
        for fields in (
            [(b"repl-id", replid)],
            [(b"repl-offset", b"12")],
            [(b"repl-id", replid), (b"repl-offset", b"x")],
            [(b"repl-id", replid), (b"repl-offset", b"-1")],
            [(b"repl-id", replid), (b"repl-offset", b"1" * 50)],
            [(b"repl-id", replid[:-1]), (b"repl-offset", b"12")],
            [(b"repl-id", replid[:-1] + b"g"), (b"repl-offset", b"12")],
        ):
            self.assertEqual(info(*fields), SnapshotInfo())

    def test_info_is_complete_with_the_first_entry(self) -> None:
        """Also when the bytes come one by one."""
        data = document(sample())
        decoder = Decoder()
        for position in range(len(data)):
            if decoder.feed(data[position : position + 1]):
                break
        self.assertEqual(decoder.info, INFO)

    def test_compact_values(self) -> None:
        """Values that are one string, compressed or not, whole in a piece or cut anywhere; empty ones are left out."""
        listpack = write_listpack(map(listpack_string, (b"f", b"1", b"gg", b"-3000")), 4)
        # LZF by hand, because the extension may be missing: a run of literals, then 39 times the byte before
        packed = bytes([len(listpack)]) + listpack + b"\0" + bytes([7 << 5, 39 - 9, 0])
        lzf_string = b"\xc3" + encode_length(len(packed)) + encode_length(len(listpack) + 40) + packed
        for body, value in (
            (b"\x10\x01k" + encode_string(listpack), {b"f": b"1", b"gg": b"-3000"}),
            (b"\x11\x01k" + encode_string(listpack), zset(f=1.0, gg=-3000.0)),
            (b"\x12\x01k\x01\x02" + encode_string(listpack), deque([b"f", b"1", b"gg", b"-3000"])),
            (b"\x12\x01k\x01\x01" + encode_string(b"plain"), deque([b"plain"])),
            (b"\x12\x01k\x02\x02" + encode_string(listpack) * 1 + b"\x01\x01x", deque([b"f", b"1", b"gg", b"-3000", b"x"])),
            (b"\x14\x01k" + encode_string(listpack), {b"f", b"1", b"gg", b"-3000"}),
            (b"\x0b\x01k\x0c" + bytes.fromhex("02000000 02000000 feff 0100"), {b"-2", b"1"}),
            (b"\x00\x01k" + lzf_string, listpack + bytes(40)),
            (b"\x10\x01k" + encode_string(write_listpack((), 0)), None),
        ):
            document = hand_made((body + b"\xfc\x05\0\0\0\0\0\0\0\0\x01z\x01y").hex())
            expected = [] if value is None else [(0, b"k", value, None)]
            self.assertEqual(decode(document), [*expected, (0, b"z", b"y", 5)])
            for cut in range(len(document)):
                decoder = Decoder()
                found = decoder.feed(document[:cut]) + decoder.feed(document[cut:])
                self.assertEqual(found, [*expected, (0, b"z", b"y", 5)])
        for cut in range(1, len(packed)):
            broken = b"\x00\x01k\xc3" + encode_length(len(packed) - cut) + encode_length(len(listpack) + 40) + packed[cut:]
            self.assertRaises(DamagedSnapshot, decode, hand_made(broken.hex()))

    def test_impossible_lengths(self) -> None:
        """A length that nothing can have is refused at once; a large one is waited for, without room being made."""
        for body in ("00 81ffffffffffffffff", "00 0161 81ffffffffffffffff", "01 0161 01 8100000fffffffffff"):
            self.assertRaises(DamagedSnapshot, Decoder().feed, hand_made(body))
        decoder = Decoder()
        self.assertEqual(decoder.feed(hand_made("00 0161 807fffffff")), [])
        self.assertRaises(DamagedSnapshot, decoder.close)
        decoder = Decoder()
        self.assertEqual(decoder.feed(hand_made("02 0161 81ffffffffffffffff 0161 0162")[:-9]), [])
        self.assertRaises(DamagedSnapshot, decoder.close)

    def test_work_is_linear(self) -> None:
        """A huge collection in small pieces is not read again and again: the buffer never grows."""
        members = [b"member:%d" % number for number in range(50000)]
        data = document([(0, b"set", set(members), None)], SnapshotInfo())
        decoder = Decoder()
        found: list[Entry] = []
        for start in range(0, len(data), 1000):
            found += decoder.feed(data[start : start + 1000])
            self.assertLess(decoder._have, 1000)
        self.assertEqual(found[0][2], set(members))

    def test_big_strings(self) -> None:
        """Longer than any piece."""
        text = b"0123456789" * 100000
        data = document([(0, text, text, None), (0, b"after", b"x", None)], SnapshotInfo())
        decoder = Decoder()
        found = [entry for start in range(0, len(data), 4096) for entry in decoder.feed(data[start : start + 4096])]
        self.assertEqual(found, [(0, text, text, None), (0, b"after", b"x", None)])


class EncoderTest(SynchronousTestCase):
    """How documents are written."""

    def test_round_trip(self) -> None:
        """Everything, with all options, and the information with it."""
        for options in ({}, {"checksum": False}, {"compress": True}):
            decoder = Decoder()
            self.assertEqual(decoder.feed(document(sample(), **options)), sample())
            self.assertTrue(decoder.finished)
            self.assertEqual(decoder.info, INFO)

    def test_smallest(self) -> None:
        """Nothing but the fields, and the checksum of a real server for it."""
        info = SnapshotInfo(saved_at=1, redis_version="7.0.15", used_memory=5)
        data = document([], info, version=None)
        self.assertEqual(data[:9], b"REDIS0009")
        self.assertEqual(decode(data), [])
        self.assertEqual(document([], info, version=None, checksum=False), data[:-8] + bytes(8))

    def test_version_is_the_oldest(self) -> None:
        """9 for plain types, 10 with functions; a stream raises it only where the sink can go back."""
        plain: list[Entry] = [(0, b"a", b"b", None), (0, b"z", zset(a=1.0), None)]
        streams: list[Entry] = [*plain, (0, b"x", full_stream(), None)]
        library = SnapshotInfo(functions=(b"#!lua name=x\n",))
        for entries, info, rewindable, version in (
            (plain, SnapshotInfo(), False, 9),
            (plain, SnapshotInfo(), True, 9),
            (plain, library, False, 10),
            (streams, SnapshotInfo(), False, 9),
            (streams, SnapshotInfo(), True, 10),
            (streams, library, True, 10),
        ):
            encoder = Encoder(rewindable=rewindable)
            data = b"".join(encoder.encode(entries, info))
            self.assertEqual((encoder.version, encoder.magic), (version, b"REDIS%04d" % version))
            data = encoder.magic + data[9:]
            found = decode(data)
            self.assertEqual([entry[1] for entry in found], [entry[1] for entry in entries])
            if entries is streams:
                self.assertEqual(found[-1][2].max_deleted_id, (0, 0) if version == 9 else (10, 30))
            self.assertEqual(encoder.keys, len(entries))
        self.assertEqual(required_version(plain, SnapshotInfo()), 9)
        self.assertEqual(required_version(streams, SnapshotInfo()), 10)
        self.assertEqual(required_version(plain, library), 10)
        expiring = ExpiringHash({b"f": b"v"}, SortedSet.from_scores({b"f": 5}))
        mixed = [*plain, *streams, (0, b"expiring", expiring, None), (0, b"later", expiring, None)]
        self.assertEqual(required_version(mixed, SnapshotInfo()), 12)
        encoder = Encoder(rewindable=True)
        data = b"".join(encoder.encode(mixed, SnapshotInfo()))
        self.assertEqual(encoder.magic, b"REDIS0012")
        self.assertEqual(decode(encoder.magic + data[9:])[-1], mixed[-1])
        expiring.persist(b"f")
        self.assertEqual(required_version([(0, b"expiring", expiring, None)], SnapshotInfo()), 9)

    def test_old_version(self) -> None:
        """Version 6 has nothing that a server of that time does not know."""
        entries: list[Entry] = [(0, b"a", b"b", 5), (2, b"z", zset(a=0.1), None)]
        data = b"".join(Encoder(version=6, checksum=False).encode(entries, SnapshotInfo(replid="a" * 40, offset=1)))
        self.assertEqual(
            data.hex(),
            "524544495330303036 fe00 fc0500000000000000 00 0161 0162 fe02 03 017a 01 0161"
            "13302e3130303030303030303030303030303031 ff 0000000000000000".replace(" ", ""),
        )
        self.assertEqual(decode(data), entries)
        for encoder, info in (
            (Encoder(version=6), SnapshotInfo(functions=(b"x",))),
            (Encoder(version=9), SnapshotInfo(functions=(b"x",))),
        ):
            self.assertRaises(ValueError, list, encoder.encode([], info))
        self.assertRaises(ValueError, list, Encoder(version=8).encode([(0, b"x", Stream(), None)], SnapshotInfo()))
        self.assertRaises(ValueError, Encoder, 5)
        self.assertRaises(ValueError, Encoder, 13)
        value = ExpiringHash({b"f": b"v"}, SortedSet.from_scores({b"f": 5}))
        for encoder in (Encoder(), Encoder(version=11)):
            self.assertRaises(ValueError, list, encoder.encode([(0, b"x", value, None)], SnapshotInfo()))

    def test_sizes(self) -> None:
        """Known sizes are told to the reader."""
        entries: list[Entry] = [(0, b"a", b"b", None), (3, b"c", b"d", None)]
        data = b"".join(Encoder().encode(entries, SnapshotInfo(), {0: (1, 0), 3: (70, 1)}))
        self.assertIn(bytes.fromhex("fe00 fb0100 00 0161 0162 fe03 fb404601 00 0163 0164 ff"), data)
        self.assertEqual(decode(data), entries)

    def test_chunks(self) -> None:
        """Neither tiny nor huge, also when one key is huge."""
        numbers = [b"%050d" % number for number in range(20000)]
        many: list[Entry] = [(0, number, number, None) for number in numbers]
        for entries in (
            many,
            [(0, b"k", deque(numbers), None)],
            [(0, b"k", {number: number for number in numbers}, None)],
            [(0, b"k", SortedSet.from_pairs((number, 1.0) for number in numbers), None)],
        ):
            chunks = list(Encoder().encode(entries, SnapshotInfo()))
            self.assertGreater(len(chunks), 5)
            self.assertLess(max(map(len, chunks)), 256 * 1024)
            self.assertGreater(min(map(len, chunks[1:-2])), 64 * 1024)
            self.assertEqual(decode(b"".join(chunks)), entries)

    def test_empty_groups_and_wrapping_ids(self) -> None:
        """Ids at both ends of their range in one node."""
        stream = Stream()
        stream.append((0, 2**64 - 1), (b"a", b"b"))
        stream.append((2**64 - 1, 0), (b"a", b"b"))
        stream.groups[b""] = Group()
        self.assertEqual(decode(document([(0, b"x", stream, None)])), [(0, b"x", stream, None)])
        self.assertEqual(listpack_integer(-(2**63))[0], 0xF4)
