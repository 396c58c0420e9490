"""LCS: the longest common subsequence of two strings.

Owns: the command and its algorithm.  Redis fills a table with a cell for each pair of letters; in Python that would take a
minute where Redis takes a quarter of a second.  Here a row of the table, with a column for each letter of the longer
string, is one integer: bit i tells whether the length grows from the first i letters to the first i+1.  A step to the next
row is one addition and a few bit operations on all columns at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from replicad.command import command
from replicad.commands.arguments import integer
from replicad.errors import SYNTAX, err

if TYPE_CHECKING:
    from replicad.session import Client

#: The way back through the table takes a step for each letter, so that endless strings would stop the server.
_LONGEST = 1 << 20

_NO_STRINGS = err("The specified keys must contain string values")
_TOO_LARGE = err("Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len")
_BOTH = err("If you want both the length and indexes, please just use IDX.")

#: A part that both strings have: (position in the first, position in the second, length).
Run = tuple[int, int, int]


@command(b"LCS", -3, "readonly", (1, 2, 1), group="string", since="7.0.0")
def lcs(client: Client, argv: list[bytes]) -> Any:
    """Finds the longest common subsequence of two strings: itself, its length, or where its parts lie.

    LCS key1 key2 [LEN] [IDX] [MINMATCHLEN min-match-len] [WITHMATCHLEN]
    """
    db = client.db
    a, b = (b"" if value is None else value for value in (db.get(argv[1]), db.get(argv[2])))
    if type(a) is not bytes or type(b) is not bytes:
        raise _NO_STRINGS
    length_only = positions = with_length = False
    least = 0
    i = 3
    while i < len(argv):
        option = argv[i].upper()
        if option == b"IDX":
            positions = True
        elif option == b"LEN":
            length_only = True
        elif option == b"WITHMATCHLEN":
            with_length = True
        elif option == b"MINMATCHLEN" and i + 1 < len(argv):
            i += 1
            least = max(integer(argv[i]), 0)
        else:
            raise SYNTAX
        i += 1
    if length_only and positions:
        raise _BOTH
    # Redis's limit on its table of 4-byte cells also bounds the work here.
    cells = (len(a) + 1) * (len(b) + 1)
    if 4 * cells > client.server.settings["proto-max-bulk-len"] or max(len(a), len(b)) > _LONGEST:
        raise _TOO_LARGE
    if length_only:
        return length(a, b)
    runs = parts(a, b)
    if not positions:
        return b"".join([a[at_a : at_a + size] for at_a, _, size in reversed(runs)])
    shown: list[Any] = []
    for at_a, at_b, size in runs:
        if size >= least:
            row: list[Any] = [[at_a, at_a + size - 1], [at_b, at_b + size - 1]]
            shown.append([*row, size] if with_length else row)
    return {b"matches": shown, b"len": sum(size for _, _, size in runs)}


class _Rows:
    """Computes the rows one after another: ``row`` has a 0 bit where the length grows."""

    def __init__(self, columns: bytes) -> None:
        self._columns = columns[::-1]
        self._places: dict[int, int] = {}
        self.full = self.row = (1 << len(columns)) - 1

    def add(self, letter: int) -> None:
        """Go on to the row behind ``letter`` of the other string."""
        places = self._places.get(letter)
        if places is None:
            digits = bytearray(b"0" * 256)
            digits[letter] = 49
            places = self._places[letter] = int(b"0" + self._columns.translate(digits), 2)
        common = self.row & places
        self.row = ((self.row + common) | (self.row - common)) & self.full


def length(a: bytes, b: bytes) -> int:
    """The length of the longest common subsequence."""
    if len(a) < len(b):
        a, b = b, a
    rows = _Rows(a)
    for letter in b:
        rows.add(letter)
    return len(a) - rows.row.bit_count()


def _count(row: bytes, columns: int) -> int:
    """How many of the first ``columns`` bits are set."""
    whole, rest = columns >> 3, columns & 7
    count = int.from_bytes(row[:whole], "little").bit_count()
    return count + (row[whole] & ((1 << rest) - 1)).bit_count() if rest else count


def parts(a: bytes, b: bytes) -> list[Run]:
    """The common parts that make up a longest common subsequence, the last one first.

    Where several subsequences are longest, Redis's choice is made: on the way back from the ends a letter of ``b`` is left
    out unless only a letter of ``a`` can be.
    """
    swapped = len(a) < len(b)
    x, y = (b, a) if swapped else (a, b)
    columns = _Rows(x)
    width = (len(x) + 7) // 8
    rows = [bytes(width)]
    for letter in y:
        columns.add(letter)
        rows.append((columns.full ^ columns.row).to_bytes(width, "little"))
    runs: list[Run] = []
    i, j, size = len(x), len(y), 0
    here = _count(rows[j], i)
    below = -1  # the length without the letter of y, computed when it is needed
    while i and j:
        if x[i - 1] == y[j - 1]:
            i -= 1
            j -= 1
            size += 1
            here -= 1
            below = -1
            continue
        if size:
            runs.append((j, i, size) if swapped else (i, j, size))
            size = 0
        if below < 0:
            below = _count(rows[j - 1], i)
        at, bit = (i - 1) >> 3, (i - 1) & 7
        left = here - (rows[j][at] >> bit & 1)
        if left > below or (swapped and left == below):
            i -= 1
            here = left
            below -= rows[j - 1][at] >> bit & 1
        else:
            j -= 1
            here, below = below, -1
    if size:
        runs.append((j, i, size) if swapped else (i, j, size))
    return runs
