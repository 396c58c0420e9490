"""Samples of the string commands."""

from __future__ import annotations

from tests.unit.law_samples import rows

SAMPLES = {
    b"SET": rows(
        "SET k v",
        "SET k v EX 100; SET k w",
        "SET k v EX 100; SET k w KEEPTTL",
        "SET k v NX",
        "SET k old; SET k v XX GET",
        "SET k old; SET k v GET",
        "SET k v EX 100",
        "SET k v PX 100000 NX",
        "SET k old; SET k v EXAT 4102444800 XX GET",
        "SET k v PXAT 4102444800123",
        "SET k v PXAT 1",
        "RPUSH k a; SET k v",
        "SET k v PXAT 1; SET k v NX",
        "SET k v PXAT 1; SET k w",
        "SET k v PXAT 1; SET k w PXAT 4102444800123",
        "SET k v PXAT 1; SET k w KEEPTTL",
        "SELECT 3; SET k v",
    ),
    b"SETNX": rows("SETNX k v", "SET k v PXAT 1; SETNX k w"),
    b"SETEX": rows("SETEX k 100 v", "SADD k a; SETEX k 100 v", "SET k v PXAT 1; SETEX k 100 v"),
    b"PSETEX": rows("PSETEX k 100000 v"),
    b"GETSET": rows("GETSET k v", "SET k v EX 100; GETSET k w", "SET k v PXAT 1; GETSET k w"),
    b"GETDEL": rows("SET k v; GETDEL k"),
    b"GETEX": rows(
        "SET k v; GETEX k EX 100",
        "SET k v; GETEX k PX 100000",
        "SET k v; GETEX k EXAT 4102444800",
        "SET k v; GETEX k PXAT 4102444800123",
        "SET k v; GETEX k PXAT 1",
        "SET k v; GETEX k EXAT 1",
        "SET k v EX 100; GETEX k PERSIST",
    ),
    b"MSET": rows("MSET a 1 b 2 a 3", "SET a 1 EX 100; MSET a 2 b 3", "SET b 1 PXAT 1; MSET a 2 b 3"),
    b"MSETNX": rows("MSETNX a 1 b 2"),
    b"INCR": rows("INCR n", "SET n 41 EX 100; INCR n", "SET n 41 PXAT 1; INCR n"),
    b"DECR": rows("DECR n", "SET n 41; DECR n"),
    b"INCRBY": rows("INCRBY n 5", "SET n 41; INCRBY n -5"),
    b"DECRBY": rows("DECRBY n 5", "SET n 41; DECRBY n -5"),
    b"INCRBYFLOAT": rows("INCRBYFLOAT n 0.1", "SET n 3.0 EX 100; INCRBYFLOAT n 1e-3", "SET n 5 PXAT 1; INCRBYFLOAT n 1"),
    b"APPEND": rows("APPEND k abc", "SET k v EX 100; APPEND k abc", "SET k v; APPEND k ''"),
    b"SETRANGE": rows("SETRANGE k 5 abc", "SET k 0123456789 EX 100; SETRANGE k 5 abc", "SET k 0; SETRANGE k 9 x"),
}

SILENT = rows(
    "SET k v; SET k w NX",
    "SET k v XX",
    "SET k v; SET k w NX GET",
    "SET k v; SETNX k w",
    "SET a 1; MSETNX a 1 b 2",
    "GETDEL k",
    "SET k v; GETEX k",
    "SET k v; GETEX k PERSIST",
    "GETEX k EX 100",
    "SETRANGE k 5 ''",
    "SET k v; GET k",
)
