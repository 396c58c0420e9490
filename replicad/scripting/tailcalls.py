"""Tail calls out of compiled Lua.

Owns: ``without_tail_calls``, which the engine applies to each function it compiles from a script.

``return redis.call(...)`` is a tail call: Lua drops the frame of the script before it enters the callee.  A callee in C
is no Lua frame and the script's line stays known, so the real server's errors read "user_script:1: ...".  Our functions
are Lua closures, before whose errors stands no line once the frame is gone, and the name of the function in "bad argument
#1 to 'encode'" is lost with it.  Of the two ways out, rewriting the source needs a parser of Lua; rewriting the compiled
code needs to change one instruction.  TAILCALL A B 0 is always followed by RETURN A 0, and CALL A B 0 before that RETURN
returns the same values.  All that is lost is tail recursion without end, which now ends in "stack overflow".

Only what ``string.dump`` made of a source in this process may be given here and loaded again: Lua does not check
compiled code.
"""

from __future__ import annotations

import struct

_HEADER = 12
_OPCODE_BITS, _CALL, _TAILCALL, _CLOSURE_FIELDS = 6, 28, 29, 4
_NIL, _BOOLEAN, _NUMBER, _STRING = 0, 1, 3, 4


def without_tail_calls(code: bytes) -> bytes:
    """Return ``code`` (``string.dump`` of Lua 5.1 on this machine) with plain calls in place of tail calls.

    Raises ``ValueError`` for code with another layout of numbers than this reader knows.
    """
    if code[:4] != b"\x1bLua" or code[4] != 0x51 or code[6:_HEADER] != b"\x01\x04\x08\x04\x08\x00":
        raise ValueError("compiled Lua of an unknown layout")
    out = bytearray(code)
    if _patch_function(out, _HEADER) != len(out):
        raise ValueError("compiled Lua of an unknown layout")
    return bytes(out)


def _u32(code: bytearray, at: int) -> int:
    value: int = struct.unpack_from("<I", code, at)[0]
    return value


def _after_string(code: bytearray, at: int) -> int:
    length: int = struct.unpack_from("<Q", code, at)[0]
    return at + 8 + length


def _patch_function(code: bytearray, at: int) -> int:
    """Patch the function whose dump begins at ``at``, and those inside it; return the position behind it."""
    at = _after_string(code, at) + 4 + 4 + _CLOSURE_FIELDS
    count = _u32(code, at)
    at += 4
    for place in range(at, at + 4 * count, 4):
        if code[place] & 0x3F == _TAILCALL:
            code[place] = code[place] & 0xC0 | _CALL
    at += 4 * count
    at = _after_constants(code, at)
    count = _u32(code, at)
    at += 4
    for _ in range(count):
        at = _patch_function(code, at)
    return _after_debug(code, at)


def _after_constants(code: bytearray, at: int) -> int:
    count = _u32(code, at)
    at += 4
    for _ in range(count):
        kind = code[at]
        at += 1
        if kind == _BOOLEAN:
            at += 1
        elif kind == _NUMBER:
            at += 8
        elif kind == _STRING:
            at = _after_string(code, at)
        elif kind != _NIL:
            raise ValueError("compiled Lua with an unknown constant")
    return at


def _after_debug(code: bytearray, at: int) -> int:
    at += 4 + 4 * _u32(code, at)  # lines
    count = _u32(code, at)
    at += 4
    for _ in range(count):  # locals
        at = _after_string(code, at) + 8
    count = _u32(code, at)
    at += 4
    for _ in range(count):  # names of upvalues
        at = _after_string(code, at)
    return at
