"""Glob patterns as Redis matches them: ``*``, ``?``, ``[abc]``, ``[^a-z]``, ``\\x``.

Patterns come from the network.  Each is turned into a regular expression once (cached); the expression uses possessive
quantifiers where that keeps a pattern like ``a*a*a*a*b`` from taking exponential time.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import lru_cache

_MAX_CACHED = 256
_LONGEST_CACHED = 4096


def match(pattern: bytes, text: bytes, nocase: bool = False) -> bool:
    """Whether all of ``text`` matches ``pattern``.

    An empty text matches only an empty pattern, not ``*``, as in Redis (which takes a lone ``*`` for all keys in KEYS and
    SCAN without asking).
    """
    if not text:
        return not pattern
    if len(pattern) > _LONGEST_CACHED:
        return bool(_compile.__wrapped__(pattern, nocase)(text))
    return _compile(pattern, nocase)(text)


def matching(pattern: bytes, texts: Iterable[bytes]) -> list[bytes]:
    """Those of ``texts`` that match; the pattern is looked up, or compiled when it is too long to be kept, only once."""
    found = (_compile if len(pattern) <= _LONGEST_CACHED else _compile.__wrapped__)(pattern, False)
    return [text for text in texts if (found(text) if text else not pattern)]


def matcher(pattern: bytes) -> Callable[[bytes], bool]:
    """A function that tells whether all of a text matches ``pattern``, for a pattern that stays for long."""
    found: Callable[[bytes], bool] = _compile.__wrapped__(pattern, False)
    return lambda text: found(text) if text else not pattern


@lru_cache(_MAX_CACHED)
def _compile(pattern: bytes, nocase: bool) -> Callable[[bytes], bool]:
    if pattern == b"*":
        return lambda text: True
    if not any(c in pattern for c in b"*?[\\") and not nocase:
        return pattern.__eq__
    flags = re.DOTALL | (re.IGNORECASE if nocase else 0)
    # The text between two stars is matched lazily and, once found, never given back: an atomic group for each piece.
    # That is complete for globs: the leftmost place of a piece is always as good as a later one.
    pieces = _pieces(pattern)
    if len(pieces) == 1:
        compiled = re.compile(pieces[0], flags)
        return lambda text: compiled.fullmatch(text) is not None
    head, *middle, tail = pieces
    source = head + b"".join(b"(?>.*?" + piece + b")" for piece in middle if piece)
    front = re.compile(source, flags)
    back = re.compile(tail, flags)
    width = _width(tail, pattern)

    def matcher(text: bytes) -> bool:
        found = front.match(text)
        if found is None:
            return False
        start = len(text) - width
        return start >= found.end() and back.fullmatch(text, start) is not None

    return matcher


def _tokens(pattern: bytes) -> list[bytes | None]:
    """The pattern as regular expressions for one character each; None is a star."""
    out: list[bytes | None] = []
    i, n = 0, len(pattern)
    while i < n:
        c = pattern[i : i + 1]
        i += 1
        if c == b"*":
            if not out or out[-1] is not None:
                out.append(None)
        elif c == b"?":
            out.append(b".")
        elif c == b"[":
            negate = pattern[i : i + 1] == b"^"
            if negate:
                i += 1
            ranges: list[bytes] = []
            while i < n and pattern[i : i + 1] != b"]":
                if pattern[i : i + 1] == b"\\" and i + 1 < n:
                    ranges.append(re.escape(pattern[i + 1 : i + 2]))
                    i += 2
                elif pattern[i + 1 : i + 2] == b"-" and i + 2 < n:
                    low, high = sorted((pattern[i : i + 1], pattern[i + 2 : i + 3]))
                    ranges.append(re.escape(low) + b"-" + re.escape(high))
                    i += 3
                else:
                    ranges.append(re.escape(pattern[i : i + 1]))
                    i += 1
            i += 1
            if ranges:
                out.append((b"[^" if negate else b"[") + b"".join(ranges) + b"]")
            else:
                out.append(b"." if negate else b"(?!)")
        elif c == b"\\" and i < n:
            out.append(re.escape(pattern[i : i + 1]))
            i += 1
        else:
            out.append(re.escape(c))
    return out


def _pieces(pattern: bytes) -> list[bytes]:
    pieces = [b""]
    for token in _tokens(pattern):
        if token is None:
            pieces.append(b"")
        else:
            pieces[-1] += token
    return pieces


def _width(tail: bytes, pattern: bytes) -> int:
    """How many characters the piece behind the last star matches."""
    count = 0
    for token in _tokens(pattern):
        count = 0 if token is None else count + 1
    return count
