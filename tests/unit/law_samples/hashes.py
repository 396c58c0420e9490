"""Samples of the hash commands."""

from __future__ import annotations

from tests.unit.law_samples import rows

SAMPLES = {
    b"HSET": rows(
        "HSET h a 1", "HSET h a 1 b 2 a 3", "HSET h a 1; HSET h a 1", "HSET h a 1; PEXPIRE h 100000; HSET h b 2 c 3"
    ),
    b"HMSET": rows("HMSET h a 1", "SELECT 2; HSET h a 1; HMSET h b 2 a 3"),
    b"HSETNX": rows("HSETNX h a 1", "HSET h a 1; HSETNX h b 1"),
    b"HDEL": rows("HSET h a 1 b 2; HDEL h a x", "HSET h a 1 b 2; HDEL h a b b"),
    b"HINCRBY": rows("HINCRBY h a 5", "HSET h a 1; HINCRBY h a -5", "HSET h a 1; HINCRBY h a 0"),
    b"HINCRBYFLOAT": rows(
        "HINCRBYFLOAT h a 0.1",
        "HSET h a 3.0; HINCRBYFLOAT h a 1e-3",
        "HSET h a 1e15; PEXPIRE h 100000; HINCRBYFLOAT h a 0.3",
    ),
}

SILENT = rows(
    "HSET h a 1; HSETNX h a 2",
    "HDEL h a",
    "HSET h a 1; HDEL h b",
    "HSET h a 1; HGETALL h",
)
