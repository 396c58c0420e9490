"""How Redis reads the arguments of its commands: integers, floats, timeouts, expiry options.

Owns: the parsers that several families share, each with Redis's error text.  Called by the commands.
"""

from __future__ import annotations

import math
import re

from replicad.errors import (
    NAN_RESULT,
    NOT_FLOAT,
    NOT_INTEGER,
    SYNTAX,
    TIMEOUT_NEGATIVE,
    TIMEOUT_NOT_FLOAT,
    ReplyError,
    err,
)

_NUMKEYS = err("numkeys should be greater than 0")
_COUNT = err("count should be greater than 0")
INT64_MIN, INT64_MAX = -(1 << 63), (1 << 63) - 1
_FLOAT = re.compile(
    rb"([+-]?)(?:0x(?=\.?[0-9a-f])([0-9a-f]*)\.?([0-9a-f]*)(?:p([+-]?[0-9]+))?"
    rb"|(?=\.?[0-9])([0-9]*)\.?([0-9]*)(?:e([+-]?[0-9]+))?|(inf(?:inity)?)|nan)",
    re.IGNORECASE,
)


def integer(text: bytes, error: ReplyError = NOT_INTEGER) -> int:
    """A 64-bit signed integer in its canonical decimal form (no blanks, no plus sign, no leading zero)."""
    size = len(text)
    if size < 19 and text.isdigit():
        if text[0] != 48 or size == 1:
            return int(text)
        raise error
    if size > 20 or size < 2 or (text[0] != 45 and not text.isdigit()) or not text[1:].isdigit():
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
    except ReplyError as error:
        error.release()
        return False
    return True


def number(text: bytes, error: ReplyError = NOT_FLOAT) -> float:
    """A double as C's strtod reads the whole of ``text``.

    NaN is refused, and so are numbers too large or too small for a double; ``inf`` is an answer.
    """
    parts = _FLOAT.fullmatch(text)
    if parts is None:
        raise error
    if parts[5] is not None:
        value = float(text)
        if (value == 0.0 and (parts[5] + parts[6]).strip(b"0")) or math.isinf(value):
            raise error
        return value
    if parts[8] is not None:
        return -math.inf if parts[1] == b"-" else math.inf
    if parts[2] is None:  # nan
        raise error
    try:
        value = float.fromhex(text.decode())
    except OverflowError:
        raise error from None
    if value == 0.0 and (parts[2] + parts[3]).strip(b"0"):
        raise error
    return value


# The 80-bit long double of x86, in which INCRBYFLOAT and HINCRBYFLOAT compute, as (mantissa, exponent): the value is
# mantissa * 2**exponent, the mantissa has at most 64 bits.
LongDouble = tuple[int, int]
_LD_BITS, _LD_LEAST, _LD_MOST = 64, -16445, 16384
_DIGITS = 4000  #: more digits than these of one number do not change how it is rounded


def _rounded(sign: int, numerator: int, denominator: int, exponent: int = 0) -> LongDouble | None:
    """``sign * numerator / denominator * 2**exponent`` as the nearest long double, ties to even; None when too large."""
    if not numerator:
        return 0, 0
    # Scale so that the quotient has one bit more than needed or two; the remainder only decides ties.
    shift = _LD_BITS + 2 - (numerator.bit_length() - denominator.bit_length())
    shift = min(shift, exponent - _LD_LEAST + 1)
    if shift >= 0:
        quotient, rest = divmod(numerator << shift, denominator)
    else:
        quotient, rest = divmod(numerator, denominator << -shift)
    exponent -= shift
    drop = max(quotient.bit_length() - _LD_BITS, _LD_LEAST - exponent, 0)
    if drop:
        low, half = quotient & ((1 << drop) - 1), 1 << (drop - 1)
        quotient >>= drop
        exponent += drop
        if low > half or (low == half and (rest or quotient & 1)):
            quotient += 1
    if quotient.bit_length() + exponent > _LD_MOST:
        return None
    return (sign * quotient, exponent) if quotient else (0, 0)


def _long_double(text: bytes) -> LongDouble | float:
    """``text`` as strtold reads it; a float stands for an infinity.  Raises NOT_FLOAT."""
    if len(text) < 19 and text.isdigit():
        return int(text), 0
    parts = _FLOAT.fullmatch(text)
    if parts is None:
        raise NOT_FLOAT
    sign = -1 if parts[1] == b"-" else 1
    if parts[8] is not None:
        return sign * math.inf
    if parts[5] is None and parts[2] is None:  # nan
        raise NOT_FLOAT
    is_hex = parts[2] is not None
    whole, fraction, power = (parts[2], parts[3], parts[4]) if is_hex else (parts[5], parts[6], parts[7])
    digits = (whole + fraction).lstrip(b"0")
    scale = -len(fraction)
    if not digits:
        return 0, 0
    if len(digits) > _DIGITS:
        scale += len(digits) - _DIGITS
        digits = digits[: _DIGITS - 1] + (b"1" if digits[_DIGITS - 1 :].strip(b"0") else b"0")
    exponent = int(power[:12]) if power else 0
    found: LongDouble | None = None
    if is_hex:
        exponent += 4 * scale
        if abs(exponent) < 100_000:
            found = _rounded(sign, int(digits, 16), 1, exponent)
    else:
        exponent += scale
        if -20_000 < exponent < 10_000:
            tens = 10 ** abs(exponent)
            found = _rounded(sign, int(digits) * tens, 1) if exponent >= 0 else _rounded(sign, int(digits), tens)
    if found is None or not found[0]:
        raise NOT_FLOAT
    return found


def _decimal(number: int) -> str:
    """The digits of a number that is not negative and may have more of them than ``str`` converts."""
    if number.bit_length() < 3 * _DIGITS:
        return str(number)
    high, low = divmod(number, 10**_DIGITS)
    return f"{high}{low:0{_DIGITS}d}" if high else str(low)


def long_double_sum(first: bytes, second: bytes) -> bytes:
    """``first + second``, computed and printed as Redis does for INCRBYFLOAT: 80-bit floats, at most 17 decimals.

    Raises ``value is not a valid float`` and ``increment would produce NaN or Infinity``.
    """
    a, b = _long_double(first), _long_double(second)
    if type(a) is float or type(b) is float:
        raise NAN_RESULT
    (am, ae), (bm, be) = a, b  # type: ignore[misc]
    exponent = min(ae, be)
    total = (am << (ae - exponent)) + (bm << (be - exponent))
    found = _rounded(-1 if total < 0 else 1, abs(total), 1, exponent)
    if found is None:
        raise NAN_RESULT
    mantissa, exponent = found
    sign = "-" if mantissa < 0 else ""
    mantissa = abs(mantissa)
    if exponent >= 0:
        return (sign + _decimal(mantissa << exponent)).encode()
    scaled = mantissa * 10**17
    shown = scaled >> -exponent
    rest, half = scaled & ((1 << -exponent) - 1), 1 << (-exponent - 1)
    if rest > half or (rest == half and shown & 1):
        shown += 1
    if not shown:
        return b"0"
    digits = _decimal(shown).zfill(18)
    fraction = digits[-17:].rstrip("0")
    return (sign + digits[:-17] + ("." + fraction if fraction else "")).encode()


def timeout_ms(text: bytes, now_ms: int = 0) -> int:
    """The timeout of a blocking command, given in seconds with a fraction, as milliseconds rounded up; 0 is for ever.

    Redis computes it as a long double; what does not fit into 64 bits overflows there and counts as negative.
    """
    try:
        seconds = _long_double(text)
    except ReplyError as error:
        error.release()
        raise TIMEOUT_NOT_FLOAT from None
    if isinstance(seconds, float):
        raise TIMEOUT_NEGATIVE
    mantissa, exponent = seconds
    scaled = mantissa * 1000
    value = scaled << exponent if exponent >= 0 else -(-scaled >> -exponent)
    if not 0 <= value <= INT64_MAX:
        raise TIMEOUT_NEGATIVE
    return value


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


def numbered_keys(argv: list[bytes], at: int) -> list[int]:
    """The positions of the keys behind a number of keys at ``argv[at]``; [] when the number does not fit."""
    if at >= len(argv):
        return []
    try:
        numkeys = integer(argv[at])
    except ReplyError as error:
        error.release()
        return []
    return list(range(at + 1, at + 1 + numkeys)) if 0 < numkeys < len(argv) - at else []


def pop_arguments(argv: list[bytes], at: int, low: bytes, high: bytes) -> tuple[list[bytes], bool, int]:
    """LMPOP's and ZMPOP's ``numkeys key [key ...] <LOW | HIGH> [COUNT count]``, which begins at ``argv[at]``.

    ``low`` and ``high`` are the two words for the ends, in upper case.  Returns (keys, whether it is the low end, count).
    """
    numkeys = integer(argv[at], _NUMKEYS)
    if numkeys < 1:
        raise _NUMKEYS
    where = at + 1 + numkeys
    if where >= len(argv):
        raise SYNTAX
    word = argv[where].upper()
    if word not in (low, high):
        raise SYNTAX
    count = 0
    for i in range(where + 1, len(argv), 2):
        if count or argv[i].upper() != b"COUNT" or i + 1 == len(argv):
            raise SYNTAX
        count = integer(argv[i + 1], _COUNT)
        if count < 1:
            raise _COUNT
    return argv[at + 1 : where], word == low, count or 1
