"""Samples of the list commands."""

from __future__ import annotations

from tests.unit.law_samples import rows

SAMPLES = {
    b"LPUSH": rows(
        "LPUSH l a b c", "RPUSH l x; LPUSH l a", "SELECT 3; LPUSH l a", "RPUSH l x; PEXPIRE l 100000; LPUSH l a b"
    ),
    b"RPUSH": rows("RPUSH l a b c", "RPUSH l x; RPUSH l a", "RPUSH l x; PEXPIREAT l 1; RPUSH l a"),
    b"LPUSHX": rows("RPUSH l x; LPUSHX l a b"),
    b"RPUSHX": rows("RPUSH l x; RPUSHX l a b"),
    b"LPOP": rows("RPUSH l a b c; LPOP l", "RPUSH l a b c; LPOP l 2", "RPUSH l a; LPOP l", "RPUSH l a b; LPOP l 9"),
    b"RPOP": rows("RPUSH l a b c; RPOP l", "RPUSH l a b c; RPOP l 2", "RPUSH l a; RPOP l 1", "RPUSH l a b; RPOP l 9"),
    b"LSET": rows("RPUSH l a b c; LSET l 1 x", "RPUSH l a b c; LSET l -1 x"),
    b"LINSERT": rows("RPUSH l a b c; LINSERT l BEFORE b x", "RPUSH l a b c; linsert l after c x"),
    b"LREM": rows(
        "RPUSH l a b a b a; LREM l 0 a",
        "RPUSH l a b a b a; LREM l 2 a",
        "RPUSH l a b a b a; LREM l -1 a",
        "RPUSH l a b a b a; LREM l -2 a",
        "RPUSH l a a; LREM l 5 a",
    ),
    b"LTRIM": rows(
        "RPUSH l a b c d e; LTRIM l 1 -2",
        "RPUSH l a b c d e; LTRIM l 3 3",
        "RPUSH l a b c d e; LTRIM l 9 10",
        "RPUSH l a b c d e; PEXPIRE l 100000; LTRIM l 0 0",
    ),
    b"LMOVE": rows(
        "RPUSH l a b c; LMOVE l m LEFT RIGHT",
        "RPUSH l a b c; RPUSH m x; LMOVE l m right left",
        "RPUSH l a b c; LMOVE l l LEFT RIGHT",
        "RPUSH l a; PEXPIRE l 100000; LMOVE l l LEFT RIGHT",
        "RPUSH l a; LMOVE l m LEFT LEFT",
    ),
    b"RPOPLPUSH": rows("RPUSH l a b; RPOPLPUSH l m", "RPUSH l a b; RPOPLPUSH l l", "RPUSH l a; RPUSH m b; RPOPLPUSH l m"),
    b"LMPOP": rows(
        "RPUSH l a b c; LMPOP 2 k l LEFT", "RPUSH l a b c; LMPOP 2 k l RIGHT COUNT 9", "RPUSH l a; lmpop 1 l left"
    ),
    b"BLPOP": rows("RPUSH l a b; BLPOP l 0", "RPUSH l a; BLPOP k l 1"),
    b"BRPOP": rows("RPUSH l a b; BRPOP l 0", "RPUSH l a; BRPOP k l 1"),
    b"BLMOVE": rows("RPUSH l a b; BLMOVE l m LEFT RIGHT 0", "RPUSH l a b; BLMOVE l l Right left 0"),
    b"BRPOPLPUSH": rows("RPUSH l a b; BRPOPLPUSH l m 0", "RPUSH l a; BRPOPLPUSH l m 0"),
    b"BLMPOP": rows("RPUSH l a b c; BLMPOP 0 2 k l LEFT", "RPUSH l a b c; BLMPOP 1 1 l RIGHT COUNT 2"),
}

SILENT = rows(
    "LPUSHX l a",
    "RPUSHX l a",
    "LPOP l",
    "RPUSH l a; LPOP l 0",
    "RPUSH l a; LREM l 0 x",
    "RPUSH l a; LTRIM l 0 -1",
    "LTRIM l 0 1",
    "RPUSH l a; LINSERT l BEFORE x y",
    "LINSERT l BEFORE x y",
    "LMOVE l m LEFT RIGHT",
    "RPOPLPUSH l m",
    "LMPOP 1 l LEFT",
    "RPUSH l a; LRANGE l 0 -1",
)
