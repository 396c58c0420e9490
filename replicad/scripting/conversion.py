"""Replies of commands as the Lua values that a script gets.

Owns: ``to_lua``.  The way back, a Lua value as a reply, is in ``lua/sandbox.lua``.  Called by ``calls`` for what
``redis.call`` returns.

====================  =============================  =======================================
reply                 RESP2 (the default)            RESP3 (after redis.setresp(3))
====================  =============================  =======================================
bulk string, integer  string, number                 the same
null                  false                          nil
array                 table                          table
status                {ok=...}                       {ok=...}
error                 {err=...}                      {err=...}
map                   flat table                     {map={...}}
set                   table                          {set={member=true, ...}}
double                string                         {double=...}
boolean               number                         boolean
verbatim string       string                         {verbatim_string={format=..., string=...}}
big number            string                         {big_number=...}
====================  =============================  =======================================
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from replicad.errors import ReplyError
from replicad.resp import OK, NoReply, NullArray, Push, Replies, Simple, Verbatim, Wire, encode, format_double

MakeTable = Callable[..., Any]


def to_lua(reply: Any, resp: int, table: MakeTable) -> Any:
    """``reply`` as bytes, a number, a boolean, None, or a table made by ``table`` (lupa's ``table_from``)."""
    kind = type(reply)
    if kind is bytes or kind is int:
        return reply
    if kind is tuple:
        return table(reply)
    if reply is OK:
        return table({b"ok": b"OK"})
    value = _plain(reply, kind, resp)
    kind = type(value)
    return table(value, recursive=True) if kind is list or kind is dict else value


def _plain(reply: Any, kind: type, resp: int) -> Any:
    """``reply`` made of bytes, numbers, booleans, None, lists and dicts."""
    if kind is bytes or kind is int:
        return reply
    if reply is None or kind is NullArray or kind is NoReply:
        return False if resp == 2 else None
    if kind is Replies and reply and type(reply[0]) is Wire:  # the head of a collection, then its elements
        return _plain(*_typed(_Wire(encode(reply, resp)).value()), resp)
    if kind is list or kind is tuple or kind is Push or kind is Replies:
        return _sequence(reply, resp)
    if kind is Simple:
        return {b"ok": bytes(reply)}
    if kind is Wire:
        return _plain(*_typed(_Wire(reply).value()), resp)
    if isinstance(reply, ReplyError):
        return {b"err": reply.text}
    if kind is dict:
        if resp == 2:
            return _sequence([x for pair in reply.items() for x in pair], resp)
        return {b"map": {_key(key, resp): _plain(*_typed(value), resp) for key, value in reply.items()}}
    if kind is set or kind is frozenset:
        return _sequence(list(reply), resp) if resp == 2 else {b"set": {_key(member, resp): True for member in reply}}
    if kind is float:
        return format_double(reply) if resp == 2 else {b"double": reply}
    if kind is bool:
        return int(reply) if resp == 2 else reply
    if kind is Verbatim:
        return bytes(reply) if resp == 2 else {b"verbatim_string": {b"format": b"txt", b"string": bytes(reply)}}
    if kind is _Ready:
        return reply.value
    raise TypeError(f"no Lua form for {kind.__name__}")


def _typed(value: Any) -> tuple[Any, type]:
    return value, type(value)


def _sequence(items: Any, resp: int) -> Any:
    """A list; with a hole for each null of RESP3, which a list of Lua's cannot tell otherwise."""
    values = [_plain(item, type(item), resp) for item in items]
    if None in values:
        return {index: value for index, value in enumerate(values, 1) if value is not None}
    return values


def _key(value: Any, resp: int) -> Any:
    """A key of a map or a member of a set, which must be hashable here."""
    plain = _plain(value, type(value), resp)
    if type(plain) is dict and b"ok" in plain:
        return plain[b"ok"]  # with Redis a table, which nobody could look up
    return repr(plain).encode() if type(plain) in (list, dict) else plain


class _Ready:
    """A value that is in its Lua form already."""

    def __init__(self, value: Any) -> None:
        self.value = value


class _Wire:
    """Reads a reply that a handler encoded itself (COMMAND, ranges of streams)."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def value(self) -> Any:
        """The next value in the form that handlers return."""
        data = self._data
        end = data.index(b"\r\n", self._at)
        kind, line = data[self._at], data[self._at + 1 : end]
        self._at = end + 2
        if kind == 36:  # $
            return self._text(int(line))
        if kind == 58:  # :
            return int(line)
        if kind == 42:  # *
            count = int(line)
            return None if count < 0 else [self.value() for _ in range(count)]
        if kind == 43:  # +
            return Simple(line)
        if kind == 45:  # -
            return ReplyError(line)
        if kind == 37:  # %
            return {_hashable(self.value()): self.value() for _ in range(int(line))}
        if kind == 126:  # ~
            return {_hashable(self.value()) for _ in range(int(line))}
        if kind == 44:  # ,
            return float(line)
        if kind == 35:  # #
            return line == b"t"
        if kind == 61:  # =
            return Verbatim((self._text(int(line)) or b"")[4:])
        if kind == 40:  # (
            return _Ready({b"big_number": line})
        return None  # _

    def _text(self, length: int) -> bytes | None:
        if length < 0:
            return None
        start = self._at
        self._at = start + length + 2
        return self._data[start : start + length]


def _hashable(value: Any) -> Any:
    return tuple(value) if type(value) is list else value
