"""LZF, the compression of strings in RDB documents.

Reading must always work, so there is a Python reader for machines without the extension ``python-lzf``.  Writing
compressed is a choice: without the extension nothing is compressed.
"""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable
from typing import Any

_extension: Any = None
# An optional extra, because it has no ready-made wheels.
with contextlib.suppress(ImportError):
    _extension = importlib.import_module("lzf")

#: Three input bytes expand to at most 264; nothing that claims more needs to be tried, or memory be reserved for it.
_MAX_EXPANSION = 88


def _do_not_compress(data: bytes, longest: int) -> bytes | None:
    return None


#: ``compress(data, longest)`` returns ``data`` compressed to at most ``longest`` bytes, None when that is not possible
#: or the extension is not installed.  It is the extension's own function, because it is called for nearly every value.
compress: Callable[[bytes, int], bytes | None] = _do_not_compress if _extension is None else _extension.compress


def decompress(data: bytes, size: int) -> bytes:
    """Return the ``size`` bytes that ``data`` expands to.  Raises ValueError when it is not exactly that."""
    if size > len(data) * _MAX_EXPANSION:
        raise ValueError("compressed string claims an impossible length")
    if not size or not data:
        raise ValueError("empty compressed string")
    found: bytes | None = decompress_python(data, size) if _extension is None else _extension.decompress(data, size)
    if found is None or len(found) != size:
        raise ValueError("compressed string has another length than announced")
    return found


def decompress_python(data: bytes, size: int) -> bytes:
    """Like :func:`decompress`, always in Python."""
    out = bytearray()
    position, end = 0, len(data)
    while position < end:
        control = data[position]
        position += 1
        if control < 32:
            stop = position + control + 1
            if stop > end:
                raise ValueError("compressed string ends inside a literal run")
            out += data[position:stop]
            position = stop
        else:
            length = control >> 5
            if length == 7:
                if position >= end:
                    raise ValueError("compressed string ends inside a reference")
                length += data[position]
                position += 1
            if position >= end:
                raise ValueError("compressed string ends inside a reference")
            start = len(out) - ((control & 31) << 8 | data[position]) - 1
            position += 1
            if start < 0:
                raise ValueError("compressed string refers to bytes before its start")
            length += 2
            # Source and target may overlap: the bytes between them repeat.
            period = out[start : start + length]
            if len(period) < length:
                period *= length // len(period) + 1
            out += period[:length]
        if len(out) > size:
            break
    if len(out) != size:
        raise ValueError("compressed string has another length than announced")
    return bytes(out)
