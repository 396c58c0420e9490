"""HyperLogLog strings without a server: the hash, both forms, damaged strings."""

from __future__ import annotations

import random

from twisted.trial.unittest import SynchronousTestCase

from replicad import hll

LIMIT = 3000


class Hash(SynchronousTestCase):
    def test_known_values(self) -> None:
        for element, number, register, value in (
            (b"", 0xD8DFEA6585BC9732, 5938, 2),
            (b"a", 0x53D2470A9B43B1A7, 12711, 2),
            (b"abc", 0x77EC90AEB374E502, 9474, 1),
            (b"12345678", 0x95EBB86389132953, 10579, 3),
            (b"hello world", 0xA919BC3051F624B7, 9399, 4),
        ):
            self.assertEqual(hll.hash64(element), number)
            self.assertEqual(hll.register_of(element), (register, value))


class Strings(SynchronousTestCase):
    def test_known_bytes(self) -> None:
        header = b"HYLL\x01" + bytes(10) + b"\x80"
        one, _ = hll.add(hll.EMPTY, [b"a"], LIMIT)
        self.assertEqual(one, header + bytes.fromhex("71a6844e57"))
        three, changes = hll.add(one, [b"b", b"c", b"a"], LIMIT)
        self.assertEqual(three, header + bytes.fromhex("60f38050b1844bfb80425a"))
        self.assertEqual(changes, 2)
        self.assertIsNone(hll.cached(three))
        self.assertEqual(hll.estimate(hll.registers_of(three)), 3)
        self.assertEqual(hll.cached(hll.with_cached(three, 3)), 3)

    def test_one_by_one_is_all_at_once(self) -> None:
        elements = [b"%d" % random.Random(1).randrange(10**9) * 3 + b"%d" % number for number in range(2000)]
        whole, _ = hll.add(hll.EMPTY, elements, LIMIT)
        steps = hll.EMPTY
        changes = 0
        for element in elements:
            steps, changed = hll.add(steps, [element], LIMIT)
            changes += changed
        self.assertEqual(steps, whole)
        self.assertFalse(hll.is_sparse(whole))
        self.assertEqual(hll.add(whole, elements, LIMIT), (whole, 0))
        self.assertGreater(changes, 1800)

    def test_both_forms_hold_the_same(self) -> None:
        elements = [b"%d" % number for number in range(800)]
        sparse, _ = hll.add(hll.EMPTY, elements, LIMIT)
        self.assertTrue(hll.is_sparse(sparse))
        dense = hll.to_dense(sparse)
        registers = hll.registers_of(sparse)
        self.assertEqual(hll.registers_of(dense), registers)
        expected = bytearray(hll.REGISTERS)
        for index, value in map(hll.register_of, elements):
            expected[index] = max(expected[index], value)
        self.assertEqual(registers, expected)
        self.assertEqual(hll.merged(hll.EMPTY, registers, False, LIMIT)[hll.HEADER :], sparse[hll.HEADER :])

    def test_registers_survive_packing(self) -> None:
        chance = random.Random(2)
        packed = b"HYLL" + bytes(12) + chance.randbytes(hll.DENSE_SIZE - hll.HEADER)
        registers = hll.registers_of(packed)
        number = int.from_bytes(packed[hll.HEADER :], "little")
        self.assertEqual(list(registers), [number >> 6 * at & 63 for at in range(hll.REGISTERS)])
        self.assertEqual(hll.merged(packed, registers, True, LIMIT), hll.stale(packed))

    def test_greater(self) -> None:
        chance = random.Random(3)
        one, other = (bytes(chance.randrange(64) for _ in range(hll.REGISTERS)) for _ in range(2))
        self.assertEqual(hll.greater(one, other), bytes(map(max, one, other)))

    def test_damaged(self) -> None:
        header = hll.EMPTY[: hll.HEADER]
        for runs in (b"", b"\x7f\xfe", b"\x7f\xff\x00", b"\x7f", b"\x00" * 40000, b"\x7f\xff\x7f\xff"):
            with self.assertRaises(hll.Corrupt):
                hll.registers_of(header + runs)
        self.assertFalse(hll.is_valid(b"HYLL" + bytes(12)))
        self.assertFalse(hll.is_valid(b"HYLL\x02" + bytes(20)))
        self.assertFalse(hll.is_valid(b"hyll\x01" + bytes(20)))
        self.assertTrue(hll.is_valid(header))

    def test_flipped_bytes(self) -> None:
        """Every byte of a sparse string changed: a valid string or Corrupt."""
        good, _ = hll.add(hll.EMPTY, [b"%d" % number for number in range(200)], LIMIT)
        for at in range(len(good)):
            for flip in (1, 0x40, 0x80, 0xFF):
                value = good[:at] + bytes([good[at] ^ flip]) + good[at + 1 :]
                if hll.is_valid(value):
                    try:
                        added, _ = hll.add(value, [b"new"], LIMIT)
                        self.assertTrue(hll.is_valid(added))
                        self.assertEqual(len(hll.registers_of(value)), hll.REGISTERS)
                    except hll.Corrupt:
                        pass
