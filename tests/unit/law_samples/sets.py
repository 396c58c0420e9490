"""Samples of the set commands."""

from __future__ import annotations

from tests.unit.law_samples import rows

_MANY = " ".join(f"m{n}" for n in range(600))

SAMPLES = {
    b"SADD": rows("SADD s a b b", "SADD s a; SADD s a c", "SADD s a; PEXPIRE s 100000; SADD s b"),
    b"SREM": rows("SADD s a b c; SREM s a x", "SADD s a b; SREM s a b b"),
    b"SMOVE": rows("SADD s a b; SMOVE s t a", "SADD s a; SADD t b; SMOVE s t a", "SADD s a b; SADD t a; SMOVE s t a"),
    b"SPOP": rows(
        "SADD s a b c d; SPOP s",
        "SADD s a; SPOP s",
        "SADD s a b c d; SPOP s 1",
        "SADD s a b c d; SPOP s 3",
        "SADD s a b c d; SPOP s 4",
        "SADD s a b c d; SPOP s 10",
        "SELECT 1; SADD s 1 2 3 4 5; PEXPIRE s 100000; spop s 2",
        f"SADD s {_MANY}; SPOP s",
        f"SADD s {_MANY}; SRANDMEMBER s; SREM s m1 m2; SADD s m1 new; SPOP s 60",
    ),
    b"SINTERSTORE": rows(
        "SADD a x y; SADD b y z; SINTERSTORE d a b",
        "SADD a x; SADD d q; SINTERSTORE d a b",
        "SADD a x y; SADD b y; PEXPIRE a 100000; SINTERSTORE a a b",
        "SADD a x; SET d text; SINTERSTORE d a a",
    ),
    b"SUNIONSTORE": rows(
        "SADD a x y; SADD b y z; SUNIONSTORE d a b",
        "SADD d q; SUNIONSTORE d a b",
        "SADD a x; SUNIONSTORE a a",
        "SADD a x; SET d text; SUNIONSTORE d a",
        "SADD a x; SET d text PXAT 1; SUNIONSTORE d a",
    ),
    b"SDIFFSTORE": rows("SADD a x y; SADD b y; SDIFFSTORE d a b", "SADD a x; SADD d q; SDIFFSTORE d a a"),
}

SILENT = rows(
    "SADD s a; SADD s a",
    "SREM s a",
    "SADD s a; SREM s b",
    "SADD s a; SMOVE s t b",
    "SADD s a; SMOVE s s a",
    "SPOP s",
    "SADD s a; SPOP s 0",
    "SPOP s 3",
    "SINTERSTORE d a b",
    "SUNIONSTORE d a b",
    "SDIFFSTORE d a b",
    "SADD s a b; SRANDMEMBER s 1",
)
