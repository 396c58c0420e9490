"""How Redis reads the arguments of its commands: integers, floats, timeouts, expiry options.

Owns: the parsers that several families share, each with Redis's error text.  Called by the commands.
"""

from __future__ import annotations

import math
import re

from replicad.errors import (
    NOT_FLOAT,
    NOT_INTEGER,
    SYNTAX,
    TIMEOUT_NEGATIVE,
    TIMEOUT_NOT_FLOAT,
    ReplyError,
    err,
)

INT64_MIN, INT64_MAX = -(1 << 63), (1 << 63) - 1
_FLOAT = re.compile(
    rb"[+-]?(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|inf(?:inity)?|nan|0[xX][0-9a-fA-F]+)", re.IGNORECASE
)


def integer(text: bytes, error: ReplyError = NOT_INTEGER) -> int:
    """A 64-bit signed integer in its canonical decimal form (no blanks, no plus sign, no leading zero)."""
    size = len(text)
    if size < 19 and text.isdigit():
        if text[0] != 48 or size == 1:
            return int(text)
        raise error
    if size > 20 or size < 2 or text[0] != 45 and not text.isdigit() or not text[1:].isdigit():
        raise error
    if text[0] == 48 or (text[0] == 45 and text[1] == 48):
        raise error
    value = int(text)
    if not INT64_MIN <= value <= INT64_MAX:
        raise error
    return value


def is_integer(text: bytes) -> bool:
    """Whether ``text`` is the canonical form of a 64-bit signed integer."""
    try:
        integer(text)
    except ReplyError:
        return False
    return True


def number(text: bytes, error: ReplyError = NOT_FLOAT) -> float:
    """A double as C's strtod reads the whole of ``text``; NaN is refused."""
    if not _FLOAT.fullmatch(text):
        raise error
    lower = text.lower()
    value = float.fromhex(text.decode()) if b"0x" in lower else float(text)
    if math.isnan(value):
        raise error
    return value


def timeout_ms(text: bytes, now_ms: int = 0) -> int:
    """The timeout of a blocking command, given in seconds with a fraction, as milliseconds rounded up; 0 is for ever."""
    seconds = number(text, TIMEOUT_NOT_FLOAT)
    if math.isinf(seconds) or seconds * 1000 > INT64_MAX:
        raise err("timeout is out of range") if seconds > 0 else TIMEOUT_NEGATIVE
    if seconds < 0:
        raise TIMEOUT_NEGATIVE
    return math.ceil(seconds * 1000)


def expiry_ms(verb: bytes, text: bytes, now_ms: int, command: bytes) -> int:
    """An absolute deadline in milliseconds from one of EX, PX, EXAT, PXAT (upper case) and its argument.

    Raises ``ERR invalid expire time in 'COMMAND' command`` for zero, negative and overflowing values.
    """
    value = integer(text)
    invalid = err(b"invalid expire time in '%b' command" % command)
    if value <= 0:
        raise invalid
    if verb in (b"EX", b"EXAT"):
        if value > INT64_MAX // 1000:
            raise invalid
        value *= 1000
    if verb in (b"EX", b"PX"):
        value += now_ms
    if value > INT64_MAX:
        raise invalid
    return value


def pairs_after(argv: list[bytes], start: int) -> None:
    """Raise the syntax error when the arguments from ``start`` on are not pairs."""
    if (len(argv) - start) % 2:
        raise SYNTAX
