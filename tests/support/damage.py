"""Damaged DUMP payloads, and everything that a server can be asked about a value that came out of one.

``damaged`` yields what a flip makes of a payload.  Usually each byte is changed once and each bit of some; with
``REPLICAD_FLIPS=all`` in the environment each byte takes every other value.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import anycrc

_CRC = anycrc.Model("CRC64-REDIS")
EXHAUSTIVE = os.environ.get("REPLICAD_FLIPS") == "all"

#: What is asked by type, KEY standing for the key: all of its forms, then changes.
QUESTIONS = {
    b"string": (
        "GET KEY; STRLEN KEY; GETRANGE KEY 0 -1; BITCOUNT KEY; BITPOS KEY 1; PFCOUNT KEY; INCR KEY; INCRBYFLOAT KEY "
        "1; APPEND KEY x; SETRANGE KEY 3 y; PFADD KEY a; SETBIT KEY 77 1"
    ),
    b"list": (
        "LRANGE KEY 0 -1; LLEN KEY; LINDEX KEY -1; LPOS KEY a; SORT KEY ALPHA; LPUSH KEY a; LINSERT KEY AFTER a b; "
        "LREM KEY 0 a; LSET KEY 0 z; LTRIM KEY 0 1; RPOP KEY"
    ),
    b"hash": (
        "HGETALL KEY; HLEN KEY; HSCAN KEY 0; HRANDFIELD KEY 3 WITHVALUES; HSTRLEN KEY f; HSET KEY f 1; HINCRBY KEY f "
        "1; HDEL KEY f a"
    ),
    b"set": (
        "SMEMBERS KEY; SCARD KEY; SSCAN KEY 0; SRANDMEMBER KEY 3; SINTER KEY KEY; SADD KEY 9 x; SREM KEY 9; SPOP KEY"
    ),
    b"zset": (
        "ZRANGE KEY 0 -1 WITHSCORES; ZCARD KEY; ZRANGEBYSCORE KEY -inf +inf; ZRANGEBYLEX KEY - +; ZRANK KEY a; ZSCAN "
        "KEY 0; ZREVRANGE KEY 0 -1; ZRANDMEMBER KEY 3; ZCOUNT KEY 0 5; ZADD KEY 1 x; ZINCRBY KEY 1 a; ZPOPMIN KEY; "
        "ZREMRANGEBYRANK KEY 0 0; GEOPOS KEY a"
    ),
    b"stream": (
        "XRANGE KEY - +; XREVRANGE KEY + -; XLEN KEY; XINFO STREAM KEY FULL; XINFO GROUPS KEY; XINFO CONSUMERS KEY g; "
        "XPENDING KEY g; XPENDING KEY g - + 10; XREADGROUP GROUP g me COUNT 5 STREAMS KEY >; XREADGROUP GROUP g me "
        "STREAMS KEY 0; XAUTOCLAIM KEY g you 0 0; XACK KEY g 1-1; XADD KEY * f v; XDEL KEY 1-1; XTRIM KEY MAXLEN 1; "
        "XGROUP DELCONSUMER KEY g me; XGROUP DESTROY KEY g"
    ),
}
#: Asked of every value.
ALWAYS = (
    "TYPE KEY; OBJECT ENCODING KEY; MEMORY USAGE KEY; DEBUG DIGEST-VALUE KEY; "
    "COPY KEY copy REPLACE; DEL copy"
)


def questions(kind: bytes, key: bytes) -> list[list[bytes]]:
    """The commands for a value of the type that TYPE answered."""
    lines = f"{ALWAYS}; {QUESTIONS.get(kind, 'TYPE KEY')}; DEL KEY".split(";")
    return [[key if word == "KEY" else word.encode() for word in line.split()] for line in lines]


def sealed(body: bytes) -> bytes:
    """``body``, a payload up to its version, with the right checksum."""
    checksum: int = _CRC.calc(body)
    return body + checksum.to_bytes(8, "little")


def damaged(payload: bytes) -> Iterator[tuple[int, bytes]]:
    """(position, payload with the byte there changed); checksums are as they were."""
    for position, byte in enumerate(payload):
        if EXHAUSTIVE:
            changes: set[int] = set(range(256))
        else:
            changes = {byte ^ 1 << position % 8, byte ^ 0xFF if position % 3 else byte + 1 & 0xFF}
        for other in sorted(changes - {byte}):
            yield position, payload[:position] + bytes((other,)) + payload[position + 1 :]


def damaged_and_sealed(payload: bytes) -> Iterator[tuple[int, bytes]]:
    """As ``damaged``, with the checksum made right, so that the decoder itself sees the damage; also cut short."""
    for position, data in damaged(payload[:-8]):
        yield position, sealed(data)
    for length in range(len(payload) - 10):
        yield length, sealed(payload[:length] + payload[-10:-8])
