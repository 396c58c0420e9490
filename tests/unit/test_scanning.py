"""Tests for replicad.commands.scanning: the promise of a scan, also when its list was thrown away."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from replicad.commands.scanning import LISTS, WHOLE, scan_collection, scan_cursor, scan_options
from replicad.errors import ReplyError
from replicad.trash import Trash


def client() -> Any:
    """As much of a client as a scan needs: where dead lists go."""
    return SimpleNamespace(server=SimpleNamespace(trash=Trash()))


class Options(SynchronousTestCase):
    """What is read from the arguments."""

    def test_cursors(self) -> None:
        for text, value in (
            (b"0", 0), (b"", 0), (b"+7", 7), (b"007", 7), (b"-1", 2**64 - 1), (b"18446744073709551615", 2**64 - 1),
        ):  # fmt: skip
            self.assertEqual(scan_cursor(text), value)
        for text in (b"x", b"-", b"+", b"1 ", b" 1", b"1.0", b"18446744073709551616", b"9" * 5000):
            self.assertRaises(ReplyError, scan_cursor, text)

    def test_options(self) -> None:
        def read(line: bytes, typed: bool = False) -> Any:
            return scan_options(line.split(), 0, typed)

        self.assertEqual(read(b""), (None, 10, None))
        self.assertEqual(read(b"match a* COUNT 5"), (b"a*", 5, None))
        self.assertEqual(read(b"MATCH *"), (None, 10, None))
        self.assertEqual(read(b"TYPE LIST", typed=True), (None, 10, b"list"))
        for line in (b"TYPE list", b"COUNT", b"COUNT 0", b"FOO 1", b"MATCH a COUNT"):
            with self.assertRaises(ReplyError) as caught:
                read(line)
            self.assertEqual(caught.exception.text, b"ERR syntax error")
        with self.assertRaises(ReplyError) as caught:
            read(b"COUNT x FOO")
        self.assertEqual(caught.exception.text, b"ERR value is not an integer or out of range")


class Collections(SynchronousTestCase):
    """Steps over one collection."""

    def test_small_ones_are_returned_whole(self) -> None:
        members = {b"%d" % number for number in range(WHOLE)}
        for cursor in (0, 1, 2**64 - 1, 1 << 52 | 5 << 32):
            following, found = scan_collection(client(), members, cursor, [b"", b"", b"", b"COUNT", b"1"])
            self.assertEqual((following, set(found)), (b"0", members))

    @settings(max_examples=30, deadline=None, derandomize=True, database=None)
    @given(st.data())
    def test_the_promise(self, data: st.DataObject) -> None:
        who = client()
        stays = {b"%d" % number for number in range(data.draw(st.integers(WHOLE - 10, 3 * WHOLE)))}
        members = set(stays)
        options = [b"", b"", b"", b"COUNT", b"%d" % data.draw(st.integers(50, 900))]
        seen: set[bytes] = set()
        cursor = b"0"
        for step in range(2000):
            cursor, found = scan_collection(who, members, int(cursor), options)
            self.assertLess(int(cursor), 1 << 53)
            seen.update(found)
            self.assertTrue(members.issuperset(found))
            if cursor == b"0":
                break
            for number in range(data.draw(st.integers(0, 20))):
                members.add(b"new%d:%d" % (step, number))
            if data.draw(st.booleans()):
                members -= {member for member in list(members)[:50] if member not in stays}
            if data.draw(st.integers(0, 5)) == 0:
                for _ in range(LISTS):
                    scan_collection(who, members, 0, options)
        self.assertEqual(cursor, b"0")
        self.assertTrue(stays <= seen)

    def test_many_scans_at_once_end_in_few_steps(self) -> None:
        who = client()
        members = {b"%d" % number: None for number in range(5000)}
        options = [b"", b"", b"", b"COUNT", b"100"]
        cursors = [b"0"] * (2 * LISTS)
        seen: list[set[bytes]] = [set() for _ in cursors]
        steps = 0
        running = set(range(len(cursors)))
        while running:
            steps += 1
            self.assertLess(steps, 150)
            for number in sorted(running):
                cursors[number], found = scan_collection(who, members, int(cursors[number]), options)
                seen[number].update(found)
                if cursors[number] == b"0":
                    running.discard(number)
        for found_by_one in seen:
            self.assertEqual(found_by_one, members.keys())

    def test_match(self) -> None:
        members = {b"m%d" % number for number in range(5000)}
        following, found = scan_collection(client(), members, 0, [b"", b"", b"", b"MATCH", b"m77", b"COUNT", b"9999999"])
        self.assertEqual((following, found), (b"0", [b"m77"]))
