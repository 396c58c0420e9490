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
MAX_EXPANSION = 88

#: Up to this many bytes on both sides the Python reader works on ``bytes``.
_SMALL = 512


def _do_not_compress(data: bytes, longest: int) -> bytes | None:
    return None


#: ``compress(data, longest)`` returns ``data`` compressed to at most ``longest`` bytes, None when that is not possible
#: or the extension is not installed.  It is the extension's own function, because it is called for nearly every value.
compress: Callable[[bytes, int], bytes | None] = _do_not_compress if _extension is None else _extension.compress


def decompress(data: bytes, size: int) -> bytes:
    """Return the ``size`` bytes that ``data`` expands to.  Raises ValueError when it is not exactly that."""
    if size > len(data) * MAX_EXPANSION:
        raise ValueError("compressed string claims an impossible length")
    if not size or not data:
        raise ValueError("empty compressed string")
    found: bytes | None = decompress_python(data, size) if _extension is None else _extension.decompress(data, size)
    if found is None or len(found) != size:
        raise ValueError("compressed string has another length than announced")
    return found


def decompress_python(data: bytes, size: int) -> bytes:
    """Like :func:`decompress`, always in Python.

    A step costs 0.1-0.2 us whatever its length: nothing is done byte by byte.  Up to a few hundred bytes, which is what
    most values and small collections are, adding to ``bytes`` is faster than to a bytearray; above, it would copy all
    that is there each time.
    """
    out: Any = b"" if size <= _SMALL else bytearray()
    position, end, done = 0, len(data), 0
    try:
        while position < end:
            control = data[position]
            if control < 32:
                start = position + 1
                position = start + control + 1
                out += data[start:position]
                done += control + 1
                continue
            if control < 224:
                length = (control >> 5) + 2
                start = done - ((control & 31) << 8 | data[position + 1]) - 1
                position += 2
            else:
                length = data[position + 1] + 9
                start = done - ((control & 31) << 8 | data[position + 2]) - 1
                position += 3
            if start < 0:
                raise ValueError("compressed string refers to bytes before its start")
            stop = start + length
            if stop <= done:
                out += out[start:stop]
            else:
                # Source and target overlap: the bytes between them repeat.
                out += (out[start:] * (length // (done - start) + 1))[:length]
            done += length
            if done > size:
                break
    except IndexError:
        raise ValueError("compressed string ends inside a reference") from None
    if position > end:
        raise ValueError("compressed string ends inside a literal run")
    if done != size:
        raise ValueError("compressed string has another length than announced")
    return bytes(out)


#: ``expand(data, size)`` returns what :func:`decompress` does, but leaves the checks to the caller: ``size`` must be
#: above 0 and at most ``MAX_EXPANSION`` times the length of ``data``, and the result, which may be None, must have that
#: length.  Raises ValueError.  For the hot loop of the decoder.
expand: Callable[[bytes, int], bytes | None] = decompress_python if _extension is None else _extension.decompress
