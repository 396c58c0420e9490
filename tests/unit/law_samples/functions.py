"""Samples of the FUNCTION commands that write.  What functions do to keys is tested beside real servers."""

from __future__ import annotations

from replicad.persistence.rdb import dump_functions
from tests.unit.law_samples import Row


def library(name: str, function: str, body: str = "return 1") -> bytes:
    """The code of a library with one function."""
    return f"#!lua name={name}\nredis.register_function('{function}', function() {body} end)".encode()


ONE, OTHER, TWO = library("one", "f"), library("one", "g", "return 2"), library("two", "h")
_EMPTY = [b"FUNCTION", b"FLUSH"]
_LOADED = [_EMPTY, [b"FUNCTION", b"LOAD", ONE]]


def _restored(setup: list[list[bytes]], *argv: bytes) -> Row:
    return setup, [b"FUNCTION", b"RESTORE", *argv]


SAMPLES = {
    b"FUNCTION|LOAD": [
        ([_EMPTY], [b"FUNCTION", b"LOAD", ONE]),
        (_LOADED, [b"FUNCTION", b"LOAD", TWO]),
        (_LOADED, [b"FUNCTION", b"LOAD", b"REPLACE", OTHER]),
    ],
    b"FUNCTION|DELETE": [(_LOADED, [b"FUNCTION", b"DELETE", b"one"])],
    b"FUNCTION|FLUSH": [
        (_LOADED, [b"FUNCTION", b"FLUSH"]),
        ([_EMPTY], [b"FUNCTION", b"FLUSH", b"ASYNC"]),
    ],
    b"FUNCTION|RESTORE": [
        _restored([_EMPTY], dump_functions([ONE, TWO])),
        _restored(_LOADED, dump_functions([TWO]), b"FLUSH"),
        _restored(_LOADED, dump_functions([OTHER, TWO]), b"REPLACE"),
    ],
}

SILENT: list[Row] = [
    (_LOADED, [b"FUNCTION", b"LIST"]),
    (_LOADED, [b"FCALL", b"f", b"0"]),
]
