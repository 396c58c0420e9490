"""The cursors and options that SCAN, HSCAN, SSCAN and ZSCAN share.

Owns: reading the arguments, and walking one large collection in steps.  Does not own the walk over a database
(``Database.scan``) nor the shape of the replies.  Called by the commands::

    cursor = scan_cursor(argv[2])
    value = client.db.read(argv[1], dict)
    if value is None:
        return [b"0", []]
    cursor_text, fields = scan_collection(client, value, cursor, argv)

The promise of a scan: an element that is there from the first step to the last is returned at least once.  A collection
of up to ``WHOLE`` elements is returned at once.  A larger one is listed at the first step (10 to 40 ms for a million
elements, and 8 bytes each until the scan ends) and the cursor tells the list and the place in it.  Only a few lists are
kept.  A cursor whose list is gone starts over with a new list.  One that loses its lists again and again, because too many
scans run at once, goes on in the order of the elements' hashes, where the cursor is a threshold and nothing has to be
remembered: so every scan ends.  That costs a walk over the whole collection for each step, so the steps are larger.
Rejected: hash order alone with an index kept for each collection (a stall of several 100 ms to build it for a million).

Cursors stay below 2**53 because some clients read them as floating-point numbers.
"""

from __future__ import annotations

import re
import time
from collections import OrderedDict
from collections.abc import Collection
from typing import TYPE_CHECKING

from replicad.commands.arguments import integer
from replicad.errors import SYNTAX, err
from replicad.glob import matching

if TYPE_CHECKING:
    from replicad.session import Client

#: Collections up to this many elements are returned whole.
WHOLE = 1024
#: At most so many lists are kept, and each so many seconds after its last use.
LISTS = 16
LIST_SECONDS = 60.0

INVALID_CURSOR = err("invalid cursor")

_CURSOR = re.compile(rb"([+-]?)([0-9]*)")
# A cursor into a list: the flag, how many lists were lost before (2 bits), the list's number (18), the place (32).
_LISTED = 1 << 52
_LOST_SHIFT, _MOST_LOST = 50, 3
_NUMBER_SHIFT, _NUMBER_MASK = 32, (1 << 18) - 1
_PLACE_MASK = (1 << 32) - 1
_HASH_BITS = 40
_HASH_MASK = (1 << _HASH_BITS) - 1
_FALLBACK_STEPS = 64


def scan_cursor(text: bytes) -> int:
    """The cursor of a scan command, an unsigned 64-bit number; raises ``ERR invalid cursor``."""
    text = text.partition(b"\0")[0]  # Redis reads it as a C string
    found = _CURSOR.fullmatch(text) if len(text) < 64 else None
    if found is None or (found[1] and not found[2]):
        raise INVALID_CURSOR
    value = int(found[2] or b"0")
    if value >= 1 << 64:
        raise INVALID_CURSOR
    return -value % (1 << 64) if found[1] == b"-" else value


def scan_options(argv: list[bytes], start: int, typed: bool = False) -> tuple[bytes | None, int, bytes | None]:
    """MATCH, COUNT and, when ``typed``, TYPE from ``argv[start:]``: (pattern or None, count, lower-case type or None).

    A pattern that matches everything is None.  Raises the syntax error, or the integer error for COUNT.
    """
    pattern: bytes | None = None
    kind: bytes | None = None
    count = 10
    for i in range(start, len(argv) - 1, 2):
        option = argv[i].upper()
        if option == b"COUNT":
            count = integer(argv[i + 1])
            if count < 1:
                raise SYNTAX
        elif option == b"MATCH":
            pattern = None if argv[i + 1] == b"*" else argv[i + 1]
        elif option == b"TYPE" and typed:
            kind = argv[i + 1].lower()
        else:
            raise SYNTAX
    if (len(argv) - start) % 2:
        raise SYNTAX
    return pattern, count, kind


class _Lists:
    """The element lists of scans under way, least recently used first."""

    def __init__(self) -> None:
        self._lists: OrderedDict[int, tuple[float, list[bytes]]] = OrderedDict()
        self._next = int(time.time()) & _NUMBER_MASK  # so that a cursor from before a restart meets no list

    def add(self, client: Client, members: list[bytes]) -> int:
        self._next = (self._next + 1) & _NUMBER_MASK
        self._lists[self._next] = (time.monotonic(), members)
        while len(self._lists) > LISTS:
            client.server.trash.throw(self._lists.popitem(last=False)[1][1])
        return self._next

    def get(self, client: Client, number: int) -> list[bytes] | None:
        now = time.monotonic()
        while self._lists:
            oldest = next(iter(self._lists))
            if self._lists[oldest][0] > now - LIST_SECONDS:
                break
            client.server.trash.throw(self._lists.pop(oldest)[1])
        found = self._lists.get(number)
        if found is None:
            return None
        self._lists[number] = (now, found[1])
        self._lists.move_to_end(number)
        return found[1]

    def discard(self, client: Client, number: int) -> None:
        found = self._lists.pop(number, None)
        if found is not None:
            client.server.trash.throw(found[1])


_LISTS = _Lists()


def _step(client: Client, members: Collection[bytes], cursor: int, count: int) -> tuple[int, list[bytes]]:
    size = len(members)
    if size <= WHOLE:
        return 0, list(members)
    lost = -1
    if cursor & _LISTED:
        number, place = (cursor >> _NUMBER_SHIFT) & _NUMBER_MASK, cursor & _PLACE_MASK
        kept = _LISTS.get(client, number)
        if kept is not None:
            found = [member for member in kept[place : place + count] if member in members]
            if place + count < len(kept):
                return cursor + count, found
            _LISTS.discard(client, number)
            return 0, found
        lost = (cursor >> _LOST_SHIFT) & 3
        cursor = 0
    if cursor == 0 and lost < _MOST_LOST:
        listed = list(members)
        if count >= size:
            return 0, listed
        number = _LISTS.add(client, listed)
        return _LISTED | (lost + 1) << _LOST_SHIFT | number << _NUMBER_SHIFT | count, listed[:count]
    width = max(1, (_HASH_MASK + 1) * max(count, size // _FALLBACK_STEPS) // size)
    until = cursor + width
    found = [member for member in members if cursor <= hash(member) & _HASH_MASK < until]
    return (until if until <= _HASH_MASK else 0), found


def scan_collection(client: Client, members: Collection[bytes], cursor: int, argv: list[bytes]) -> tuple[bytes, list[bytes]]:
    """One step over a hash, a set or the ``scores`` of a sorted set: (the next cursor as text, the members found).

    ``members`` must be a dict or a set (membership is tested); options are read from ``argv[3:]``.
    """
    pattern, count, _ = scan_options(argv, 3)
    cursor, found = _step(client, members, cursor, min(count, _PLACE_MASK >> 1))
    if pattern is not None:
        found = matching(pattern, found)
    return b"%d" % cursor, found
