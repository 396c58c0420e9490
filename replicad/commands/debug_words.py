"""What the files of DEBUG share: the form of a row, and numbers as C reads them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from replicad.command import Argv
from replicad.session import Client

#: (handler, least and most arguments with DEBUG itself, (syntax, what it does)).
Row = tuple[Callable[[Client, Argv], Any], int, int, tuple[str, str]]


def number_at_the_start(text: bytes) -> int:
    """The number that ``text`` begins with, 0 when it begins with none: C's atoi."""
    digits = text.lstrip(b" \t")
    sign = digits[:1] if digits[:1] in (b"+", b"-") else b""
    digits = digits[len(sign) :]
    end = 0
    while end < len(digits) and 48 <= digits[end] <= 57:
        end += 1
    return int(sign + digits[:end]) if end else 0
