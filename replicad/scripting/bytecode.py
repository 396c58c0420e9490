"""One change to compiled Lua 5.1 functions: calls of library functions are no tail calls.

``return redis.call(...)`` is a tail call, and a tail call of a Lua function forgets the frame of its caller.  Redis's
``redis.call`` is written in C, where nothing is forgotten: its errors name the line of the script.  Ours is a Lua
function, so the instruction becomes an ordinary call.  Calls of a script's own functions stay tail calls, because
scripts may recurse on them without end.

Only ever given what Lua's own compiler made in this process.  Called by the sandbox when it compiles a script.
"""

from __future__ import annotations

import struct

_MOVE, _LOADK, _GETUPVAL, _GETGLOBAL, _GETTABLE, _SELF, _TAILCALL, _CALL, _CLOSURE = 0, 1, 4, 5, 6, 11, 29, 28, 36
#: Instructions that can put the function to call into its register.
_SETTERS = frozenset([_LOADK, _GETUPVAL, _GETGLOBAL, _GETTABLE, _SELF, _CALL, _CLOSURE])
_OF_A_LIBRARY = frozenset([_GETGLOBAL, _GETTABLE, _SELF])
_PARAMETER = -1
#: Lua 5.1's binary format with the sizes of the usual 64-bit machines, least byte first: what is read here.
_SHAPE = b"\x1bLua\x51\x00\x01\x04\x08\x04\x08\x00"


def flatten(dumped: bytes) -> bytes:
    """``dumped`` (from string.dump) with tail calls of functions out of tables or globals made ordinary calls."""
    return _changed(dumped, False)


def without_lines(dumped: bytes) -> bytes:
    """``dumped`` without any tail call, and no instruction has a line: Lua names no place in this function in an error."""
    return _changed(dumped, True)


def _changed(dumped: bytes, no_lines: bool) -> bytes:
    """Other machines dump functions in another shape: then only errors name less."""
    if not dumped.startswith(_SHAPE):
        return dumped
    code = bytearray(dumped)
    _function(code, len(_SHAPE), no_lines)
    return bytes(code)


def _integer(code: bytearray, at: int) -> int:
    return int.from_bytes(code[at : at + 4], "little")


def _skip_text(code: bytearray, at: int) -> int:
    return at + 8 + int.from_bytes(code[at : at + 8], "little")


def _function(code: bytearray, at: int, no_lines: bool) -> int:
    """Change the function that begins at ``at`` and those inside it; returns where it ends."""
    at = _skip_text(code, at) + 8 + 4  # source; two lines; upvalues, parameters, vararg, stack size
    count = _integer(code, at)
    at += 4
    _instructions(code, at, count, no_lines)
    at += 4 * count
    at = _skip_constants(code, at)
    count = _integer(code, at)
    at += 4
    for _ in range(count):
        at = _function(code, at, no_lines)
    lines = 4 * _integer(code, at)
    at += 4
    if no_lines:
        code[at : at + lines] = bytes(lines)
    at += lines
    count = _integer(code, at)
    at += 4
    for _ in range(count):
        at = _skip_text(code, at) + 8
    count = _integer(code, at)
    at += 4
    for _ in range(count):
        at = _skip_text(code, at)
    return at


def _instructions(code: bytearray, at: int, count: int, everything: bool) -> None:
    """One pass: the time must grow with the length of a script only, whose author may wish us ill."""
    words = struct.unpack_from(f"<{count}I", code, at)
    setters: dict[int, int] = {}  # register to the instruction that wrote it last, through copies of locals
    for index, word in enumerate(words):
        operation, register = word & 63, word >> 6 & 255
        if operation == _MOVE:
            setters[register] = setters.get(word >> 23, _PARAMETER)
        elif operation in _SETTERS:
            setters[register] = operation
        elif operation == _TAILCALL and (everything or setters.get(register) in _OF_A_LIBRARY):
            struct.pack_into("<I", code, at + 4 * index, word & ~63 | _CALL)


def _skip_constants(code: bytearray, at: int) -> int:
    count = _integer(code, at)
    at += 4
    for _ in range(count):
        kind = code[at]
        at += 1
        if kind == 1:
            at += 1
        elif kind == 3:
            at += 8
        elif kind == 4:
            at = _skip_text(code, at)
    return at
