"""SORT and SORT_RO.

Owns: the options, the weights and the order.  Python's sort does the work: one key function, never a comparison callback.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from replicad.command import command, lookup
from replicad.commands.arguments import integer, number
from replicad.errors import SYNTAX, WRONG_TYPE, err
from replicad.expiring_hash import ExpiringHash
from replicad.notifications import LIST, report
from replicad.values import SortedSet

if TYPE_CHECKING:
    from replicad.acl import User
    from replicad.keyspace import Database
    from replicad.session import Client

_BY_DENIED = err("BY option of SORT denied due to insufficient ACL permissions.")
_GET_DENIED = err("GET option of SORT denied due to insufficient ACL permissions.")
_NOT_DOUBLE = err("One or more scores can't be converted into double")
_LEAST_NORMAL = 2.2250738585072014e-308


class _Pattern:
    """A BY or GET pattern: the element takes the place of the first ``*``; ``->field`` reads a hash."""

    def __init__(self, text: bytes) -> None:
        self.is_element = text == b"#"
        self.head, star, tail = text.partition(b"*")
        self.varies = bool(star)
        key_tail, arrow, field = tail.partition(b"->")
        self.tail = key_tail if arrow and field else tail
        self.field: bytes | None = field if arrow and field else None

    def look_up(self, db: Database, element: bytes) -> bytes | None:
        """The string that the pattern names for ``element``, None when there is none of the right type."""
        if self.is_element:
            return element
        if not self.varies:
            return None
        value = db.get(self.head + element + self.tail)
        if self.field is not None:
            if type(value) is ExpiringHash:
                value = db.live_fields(self.head + element + self.tail, value)
            return value.get(self.field) if isinstance(value, dict) else None
        return value if type(value) is bytes else None


def _score(text: bytes | None) -> float:
    """A weight as C's strtod reads it; missing and empty ones are 0."""
    if not text:
        return 0.0
    if text.isdigit() and len(text) < 300:
        return float(text)
    text = text.partition(b"\0")[0].lstrip(b" \t\n\v\f\r")
    if not text:
        raise _NOT_DOUBLE
    value = number(text, _NOT_DOUBLE)
    if value and abs(value) < _LEAST_NORMAL:
        raise _NOT_DOUBLE
    return value


class _Options:
    """What follows the key.  ``reads_all``: BY and GET may name keys, which the command's arguments do not tell."""

    def __init__(self, argv: list[bytes], may_store: bool, reads_all: bool = True) -> None:
        self.descending = self.alpha = False
        self.offset, self.count = 0, -1
        self.by: _Pattern | None = None
        self.get: list[_Pattern] = []
        self.target: bytes | None = None
        i = 2
        while i < len(argv):
            option = argv[i].upper()
            left = len(argv) - i - 1
            if option == b"ASC":
                self.descending = False
            elif option == b"DESC":
                self.descending = True
            elif option == b"ALPHA":
                self.alpha = True
            elif option == b"LIMIT" and left >= 2:
                self.offset, self.count = integer(argv[i + 1]), integer(argv[i + 2])
                i += 2
            elif option == b"STORE" and may_store and left:
                self.target = argv[i + 1]
                i += 1
            elif option == b"BY" and left:
                self.by = _Pattern(argv[i + 1])
                if self.by.varies and not reads_all:
                    raise _BY_DENIED
                i += 1
            elif option == b"GET" and left:
                if not reads_all:
                    raise _GET_DENIED
                self.get.append(_Pattern(argv[i + 1]))
                i += 1
            else:
                raise SYNTAX
            i += 1

    def window(self, size: int) -> tuple[int, int]:
        """The first position and the one behind the last."""
        first = min(max(self.offset, 0), size)
        return first, size if self.count < 0 else min(first + self.count, size)


def _ordered(client: Client, value: Any, options: _Options) -> list[bytes]:
    """The elements in the order asked for, cut by LIMIT."""
    by, descending, alpha = options.by, options.descending, options.alpha
    kind = type(value)
    keep_order = by is not None and not by.varies
    if keep_order and kind is set and options.target is not None:
        # A set has no order of its own, and what is stored must be the same on every replica.
        keep_order, alpha, by = False, True, None
    first, last = options.window(len(value))
    if keep_order:
        if kind is SortedSet:
            pairs = value.slice_desc(first, last) if descending else value.slice(first, last)
            return [member for member, _ in pairs]
        elements = list(value)
        if descending and kind is deque:
            elements.reverse()
        return elements[first:last]
    elements = [member for member, _ in value] if kind is SortedSet else list(value)
    if by is None:
        if alpha:
            elements.sort(reverse=descending)
        else:
            scores = {element: _score(element) for element in elements}
            elements.sort(key=lambda element: (scores[element], element), reverse=descending)
    else:
        weights = {element: by.look_up(client.db, element) for element in elements}
        if alpha:
            # A missing weight comes before an empty one.
            words = {element: (weight is not None, weight or b"") for element, weight in weights.items()}
            elements.sort(key=words.__getitem__, reverse=descending)
        else:
            scores = {element: _score(weight) for element, weight in weights.items()}
            elements.sort(key=lambda element: (scores[element], element), reverse=descending)
    return elements[first:last]


def _reads_all(account: User, argv: list[bytes]) -> bool:
    """Whether the user may read every key with this command."""
    cmd = lookup(argv)
    return cmd is not None and account.may_read_all_keys(cmd, argv)


def _sort(client: Client, argv: list[bytes], may_store: bool) -> Any:
    account = client.account
    options = _Options(argv, may_store, account is None or not account.restricted or _reads_all(account, argv))
    db = client.db
    value = db.get(argv[1])
    if value is not None and type(value) not in (deque, set, SortedSet):
        raise WRONG_TYPE
    elements = [] if value is None else _ordered(client, value, options)
    out: list[bytes | None]
    if options.get:
        out = [pattern.look_up(db, element) for element in elements for pattern in options.get]
    else:
        out = list(elements)
    if options.target is None:
        return out
    if out:
        db.put(options.target, deque(b"" if item is None else item for item in out))
        client.server.dirty += len(out)
        report(client, LIST, b"sortstore", options.target)
    elif db.drop(options.target):
        client.server.dirty += 1
    return len(out)


def _keys_of_sort(argv: list[bytes]) -> list[int]:
    """The key that is sorted, and the target of STORE (the last one counts)."""
    target = 0
    i = 2
    while i < len(argv):
        option = argv[i].upper()
        if option == b"LIMIT":
            i += 2
        elif option in (b"GET", b"BY"):
            i += 1
        elif option == b"STORE" and i + 1 < len(argv):
            i += 1
            target = i
        i += 1
    return [1, target] if target else [1]


@command(
    b"SORT",
    -2,
    "write denyoom movablekeys",
    (1, 1, 1),
    find_keys=_keys_of_sort,
    group="generic",
    since="1.0.0",
    categories="set sortedset list dangerous",
)
def sort(client: Client, argv: list[bytes]) -> Any:
    """Returns or stores the elements of a list, a set or a sorted set in order.

    SORT key [BY pattern] [LIMIT offset count] [GET pattern [GET pattern ...]] [ASC | DESC] [ALPHA] [STORE destination]
    """
    return _sort(client, argv, True)


@command(
    b"SORT_RO",
    -2,
    "readonly movablekeys",
    (1, 1, 1),
    find_keys=lambda argv: [1],
    group="generic",
    since="7.0.0",
    categories="set sortedset list dangerous",
)
def sort_ro(client: Client, argv: list[bytes]) -> Any:
    """Returns the elements of a list, a set or a sorted set in order; never stores.

    SORT_RO key [BY pattern] [LIMIT offset count] [GET pattern [GET pattern ...]] [ASC | DESC] [ALPHA]
    """
    return _sort(client, argv, False)
