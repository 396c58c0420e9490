"""The syntax line of a command, as people write it, turned into the arguments of COMMAND DOCS.

Owns: ``arguments_of``.  ``SET key value [NX | XX] [EX seconds | PX milliseconds]``: words in capitals are written as
they stand, others are values, brackets hold what may be left out, ``|`` separates alternatives and ``...`` means once more.
"""

from __future__ import annotations

import re
from typing import Any

from replicad.resp import Simple

_TOKEN = re.compile(r"\.\.\.|[\[\]()|]|[^\s\[\]()|]+")
_INTEGERS = frozenset(
    "count numkeys index start stop end offset seconds milliseconds timeout increment decrement length maxlen limit "
    "rank bit numreplicas port cursor db protover samples size threshold".split()
)

Argument = dict[bytes, Any]
_MULTIPLE, _OPTIONAL, _TOKEN_TOO = Simple(b"multiple"), Simple(b"optional"), Simple(b"multiple_token")


def arguments_of(name: bytes, syntax: str, has_keys: bool) -> list[Argument]:
    """The arguments in the syntax line of the command ``name``; [] when there are none."""
    words = _TOKEN.findall(syntax)
    del words[: name.count(b"|") + 1]
    reader = _Reader(words, has_keys)
    return reader.sequence(top=True)


class _Reader:
    """Reads one syntax line by recursive descent."""

    def __init__(self, words: list[str], has_keys: bool) -> None:
        self._words = words
        self._at = 0
        self._has_keys = has_keys
        self._keys = 0

    def _peek(self) -> str:
        return self._words[self._at] if self._at < len(self._words) else ""

    def sequence(self, top: bool = False) -> list[Argument]:
        """Everything up to the closing bracket or the end.

        In brackets ``|`` separates whole sides, one ``oneof`` comes out.  Outside it joins only the two things beside
        it: ``LINSERT key BEFORE | AFTER pivot element``.
        """
        branches: list[list[Argument]] = [[]]
        while (word := self._peek()) and word not in ("]", ")"):
            if word != "|":
                self._item(branches[-1])
                continue
            self._at += 1
            if not top:
                branches.append([])
            elif branches[-1] and self._peek():
                before = branches[-1].pop()
                after: list[Argument] = []
                self._item(after)
                earlier = before[b"arguments"] if before[b"type"] == b"oneof" else [before]
                branches[-1].append(_group(b"oneof", [*earlier, *after]))
        if len(branches) == 1:
            return branches[0]
        return [_group(b"oneof", [_one(branch) for branch in branches if branch])]

    def _item(self, into: list[Argument]) -> None:
        word = self._words[self._at]
        self._at += 1
        if word in ("[", "("):
            inner = self.sequence()
            self._at += 1  # the closing bracket
            if inner and _repeats(into, inner):
                return
            if not inner:
                return
            argument = _one(inner)
            if word == "[":
                _flag(argument, _OPTIONAL)
            into.append(argument)
        elif word == "...":
            if into:
                _flag(into[-1], _MULTIPLE)
        elif _is_literal(word):
            into.append(self._literal(word))
        else:
            into.append(self._value(word))

    def _literal(self, word: str) -> Argument:
        """A fixed word, with the value behind it if there is one."""
        following = self._peek()
        if following and following not in ("]", ")", "|", "[", "(", "...") and not _is_literal(following):
            self._at += 1
            argument = self._value(following)
            return {b"name": argument.pop(b"name"), b"type": argument.pop(b"type"), b"token": word.encode()} | argument
        return {b"name": word.lower().encode(), b"type": b"pure-token", b"token": word.encode()}

    def _value(self, word: str) -> Argument:
        name = word.strip("<>").lower()
        if self._has_keys and (name in ("key", "destination", "source", "destkey", "newkey") or name.endswith("key")):
            argument: Argument = {b"name": name.encode(), b"type": b"key", b"key_spec_index": self._keys}
            self._keys += 1
            return argument
        if name == "pattern":
            kind = b"pattern"
        elif name.startswith("unix-time"):
            kind = b"unix-time"
        else:
            kind = b"integer" if name in _INTEGERS or name.startswith("num") else b"string"
        return {b"name": name.encode(), b"type": kind}


def _is_literal(word: str) -> bool:
    return (word == word.upper() and any(map(str.isalpha, word))) or word in ("=", "~", "*", "$", "+", "-")


def _group(kind: bytes, inner: list[Argument]) -> Argument:
    name = inner[0][b"name"]
    return {b"name": name, b"type": kind, b"arguments": inner}


def _one(arguments: list[Argument]) -> Argument:
    return arguments[0] if len(arguments) == 1 else _group(b"block", arguments)


def _flag(argument: Argument, flag: Simple) -> None:
    flags = argument.setdefault(b"flags", set())
    flags.add(flag)


def _repeats(before: list[Argument], inner: list[Argument]) -> bool:
    """``key [key ...]`` and ``field value [field value ...]``: the bracket only says that the things before it may come
    again.  Then they are marked, and true is returned."""
    count = len(inner)
    if _MULTIPLE not in inner[-1].get(b"flags", ()) or len(before) < count:
        return False
    tail = before[-count:]
    if [(one[b"name"], one.get(b"token")) for one in tail] != [(one[b"name"], one.get(b"token")) for one in inner]:
        return False
    if count == 1:
        flags = tail[0].setdefault(b"flags", set())
        flags.add(_MULTIPLE)
        if b"token" in tail[0] and b"token" in inner[0]:
            flags.add(_TOKEN_TOO)
    else:
        block = _group(b"block", tail)
        _flag(block, _MULTIPLE)
        before[-count:] = [block]
    return True
