"""The subcommands of DEBUG that look at how values are held.

Owns: these handlers.  Called by ``debug``.

Test tools read the replies of Redis here, so their form is kept; the figures are those of this server's own structures.  A
database has 4,096 shards and 256 lanes of deadlines: these are its slots.  Members of a value are counted by the hash that
they would be looked up by.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable
from sys import getsizeof
from typing import Any

from replicad.command import Argv
from replicad.commands.arguments import integer
from replicad.commands.debug_words import Row
from replicad.commands.objects import encoding
from replicad.deadlines import LANES
from replicad.errors import NO_SUCH_KEY, err
from replicad.glob import match
from replicad.resp import Simple, Verbatim
from replicad.session import Client
from replicad.values import SortedSet

_OUT_OF_RANGE = err("Out of range database")
_NO_TABLE = err("The value stored at the specified key is not represented using an hash table")
_NO_STRING = err("Not an sds encoded string.")
_NO_LISTPACK = err("Not a listpack encoded object.")
_NO_QUICKLIST = err("Not a quicklist encoded object.")


def table_stats(lengths: list[int]) -> str:
    """What HTSTATS says of a table whose slots hold so many elements each."""
    elements = sum(lengths)
    head = "Hash table 0 stats (main hash table):\n"
    if not elements:
        return head + "No stats available for empty dictionaries\n"
    chains = Counter(lengths)
    used = len(lengths) - chains[0]
    lines = [
        f" table size: {len(lengths)}",
        f" number of elements: {elements}",
        f" different slots: {used}",
        f" max chain length: {max(lengths)}",
        f" avg chain length (counted): {elements / used:.2f}",
        f" avg chain length (computed): {elements / used:.2f}",
        " Chain length distribution:",
        *[f"   {length}: {chains[length]} ({100 * chains[length] / len(lengths):.2f}%)" for length in sorted(chains)],
    ]
    return head + "\n".join(lines) + "\n"


def _htstats(client: Client, argv: Argv) -> Verbatim:
    index = integer(argv[2])
    databases = client.server.databases
    if not 0 <= index < len(databases):
        raise _OUT_OF_RANGE
    db = databases[index]
    lanes = [0] * LANES
    for key, _ in db.deadlines.items():
        lanes[hash(key) % LANES] += 1
    text = f"[Dictionary HT]\n{table_stats([len(shard) for shard in db.shards])}[Expires HT]\n{table_stats(lanes)}"
    return Verbatim(text.encode())


def _htstats_key(client: Client, argv: Argv) -> Verbatim:
    value = _value(client, argv[2])
    if encoding(client.server.settings, value) not in (b"hashtable", b"skiplist"):
        raise _NO_TABLE
    members: Iterable[bytes] = value.scores if type(value) is SortedSet else value
    size = 4
    while size < len(value):
        size *= 2
    lengths = [0] * size
    for member in members:
        lengths[hash(member) & (size - 1)] += 1
    return Verbatim(table_stats(lengths).encode())


def _value(client: Client, key: bytes) -> Any:
    value = client.db.peek(key)
    if value is None:
        raise NO_SUCH_KEY
    return value


def _sdslen(client: Client, argv: Argv) -> Simple:
    key = argv[2]
    value = _value(client, key)
    if type(value) is not bytes or encoding(client.server.settings, value) == b"int":
        raise _NO_STRING
    return Simple(
        b"key_sds_len:%d, key_sds_avail:0, key_zmalloc: %d, val_sds_len:%d, val_sds_avail:0, val_zmalloc: %d"
        % (len(key), getsizeof(key), len(value), getsizeof(value))
    )


def _listpack(client: Client, argv: Argv) -> Simple:
    value = _value(client, argv[2])
    if encoding(client.server.settings, value) != b"listpack":
        raise _NO_LISTPACK
    return _printed(client, "Listpack", argv[2], value)


def _quicklist(client: Client, argv: Argv) -> Simple:
    value = _value(client, argv[2])
    if type(value) is not deque:
        raise _NO_QUICKLIST
    return _printed(client, "Quicklist", argv[2], value)


def _printed(client: Client, form: str, key: bytes, value: Any) -> Simple:
    client.server.log.warning(f"DEBUG: {form.lower()} at {key!r}: a {type(value).__name__} of {len(value)} elements")
    return Simple(f"{form} structure printed on stdout".encode())


def _stringmatch_len(client: Client, argv: Argv) -> int:
    return int(match(argv[3], b"a" * min(max(0, integer(argv[2])), 1 << 20)))


ROWS: dict[bytes, Row] = {
    b"HTSTATS": (_htstats, 3, 3, ("<dbid>", "Show how the keys of a database are spread over its shards.")),
    b"HTSTATS-KEY": (_htstats_key, 3, 3, ("<key>", "The same for the members of a large hash, set or sorted set.")),
    b"LISTPACK": (_listpack, 3, 3, ("<key>", "The same for what Redis would hold in a listpack.")),
    b"QUICKLIST": (_quicklist, 3, 4, ("<key> [<0|1>]", "Write to the log how a list is held.")),
    b"SDSLEN": (_sdslen, 3, 3, ("<key>", "Show the sizes of a key and its string.")),
    b"STRINGMATCH-LEN": (
        _stringmatch_len,
        4,
        4,
        ("<length> <pattern>", "Whether a string of so many letters a matches the pattern (a million at most)."),
    ),
}
