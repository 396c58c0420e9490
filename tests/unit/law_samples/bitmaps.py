"""Samples of the commands on bits."""

from __future__ import annotations

from tests.unit.law_samples import rows

SAMPLES = {
    b"SETBIT": rows(
        "SETBIT k 7 1",
        "SETBIT k 7 0",
        "SET k abc EX 100; SETBIT k 6 1",
        "SET k abc; SETBIT k 100 0",
        "SET k abc PXAT 1; SETBIT k 1 1",
    ),
    b"BITOP": rows(
        "SET a foo; SET b barbaz; BITOP AND d a b",
        "SET a foo; SET d old EX 100; BITOP NOT d a",
        "SET a foo; BITOP XOR a a missing",
        "RPUSH d x; BITOP OR d missing",
    ),
    b"BITFIELD": rows(
        "BITFIELD k SET u8 0 65 GET u8 0",
        "BITFIELD k INCRBY i5 #3 -1",
        "SET k abc EX 100; BITFIELD k OVERFLOW SAT INCRBY u8 8 1000",
        "SET k abc; BITFIELD k OVERFLOW FAIL SET u8 0 300 SET u8 8 1",
        "SET k abc; BITFIELD k SET u8 100 0",
    ),
}

SILENT = rows(
    "SETBIT k 0 1; SETBIT k 0 1",
    "SET k abc; SETBIT k 0 0",
    "BITOP OR d missing",
    "SET k abc; BITFIELD k GET u8 0",
    "BITFIELD k GET u8 0",
    "SET k abc; BITFIELD k SET u8 0 97",
    "SET k abc; BITFIELD k OVERFLOW FAIL INCRBY u8 0 1000",
    "SET k abc; BITCOUNT k",
)
