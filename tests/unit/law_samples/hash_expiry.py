"""Samples of the commands about the deadlines of hash fields, and of others on hashes that have some."""

from __future__ import annotations

from tests.unit.law_samples import rows

_SOON = "HSET h a 1 b 2 c 3; HEXPIRE h 1000 FIELDS 2 a b"

SAMPLES = {
    b"HEXPIRE": rows(
        "HSET h a 1 b 2; HEXPIRE h 100 FIELDS 2 a x",
        "HSET h a 1 b 2; HEXPIRE h 0 FIELDS 2 a x",
        "HSET h a 1; HEXPIRE h 0 FIELDS 1 a",
        f"{_SOON}; HEXPIRE h 0 FIELDS 3 a b c",
        f"{_SOON}; HEXPIRE h 2000 GT FIELDS 3 a b c",
        f"{_SOON}; HEXPIRE h 500 LT FIELDS 3 a b c",
        f"{_SOON}; HEXPIRE h 500 NX FIELDS 3 a c c",
        f"SELECT 1; {_SOON}; HEXPIRE h 500 XX FIELDS 3 a c x",
    ),
    b"HPEXPIRE": rows("HSET h a 1; HPEXPIRE h 123456 FIELDS 1 a", "HSET h a 1 b 2; HPEXPIRE h 0 FIELDS 1 a"),
    b"HEXPIREAT": rows("HSET h a 1; HEXPIREAT h 4102444800 FIELDS 1 a", "HSET h a 1 b 2; HEXPIREAT h 1 FIELDS 1 a"),
    b"HPEXPIREAT": rows("HSET h a 1; HPEXPIREAT h 4102444800001 FIELDS 1 a", "HSET h a 1; HPEXPIREAT h 1 NX FIELDS 1 a"),
    b"HPERSIST": rows(f"{_SOON}; HPERSIST h FIELDS 1 a", f"{_SOON}; HPERSIST h FIELDS 4 b x a a"),
    b"HGETDEL": rows(
        f"{_SOON}; HGETDEL h FIELDS 3 a x a", f"{_SOON}; HGETDEL h FIELDS 3 a b c", "HSET h a 1; HGETDEL h FIELDS 1 a"
    ),
    b"HGETEX": rows(
        "HSET h a 1; HGETEX h EX 100 FIELDS 2 a a",
        "HSET h a 1; HGETEX h PXAT 1 FIELDS 1 a",
        f"{_SOON}; HGETEX h PERSIST FIELDS 4 a c x a",
        f"{_SOON}; HGETEX h EXAT 4102444800 FIELDS 2 a c",
    ),
    b"HSETEX": rows(
        "HSETEX h FIELDS 1 a 1",
        "HSETEX h EX 100 FIELDS 2 a 1 b 2",
        "HSETEX h FNX PX 100000 FIELDS 3 a 1 b 2 a 3",
        f"{_SOON}; HSETEX h FXX FIELDS 1 a 9",
        f"{_SOON}; HSETEX h KEEPTTL FIELDS 3 a 9 c 8 d 7",
        f"{_SOON}; HSETEX h EXAT 1 FIELDS 2 a 9 x 8",
        f"{_SOON}; HSETEX h EXAT 4102444800 FIELDS 2 c 9 x 8",
    ),
    b"HSET": rows(f"{_SOON}; HSET h a 5", f"{_SOON}; HSET h a 5 d 6 b 7"),
    b"HDEL": rows(f"{_SOON}; HDEL h a", f"{_SOON}; HDEL h a b c"),
    b"HINCRBY": rows(f"{_SOON}; HINCRBY h a 5", f"{_SOON}; HINCRBY h c 5"),
    b"HINCRBYFLOAT": rows(f"{_SOON}; HINCRBYFLOAT h a 5.5", f"{_SOON}; HINCRBYFLOAT h d 5.5"),
    b"HSETNX": rows(f"{_SOON}; HSETNX h d 5"),
    b"COPY": rows(f"{_SOON}; COPY h h2", f"{_SOON}; COPY h h DB 2"),
    b"RENAME": rows(f"{_SOON}; RENAME h h2"),
    b"MOVE": rows(f"{_SOON}; MOVE h 3"),
    b"DEL": rows(f"{_SOON}; DEL h"),
    b"SET": rows(f"{_SOON}; SET h x"),
    b"PEXPIRE": rows(f"{_SOON}; PEXPIRE h 100000"),
}

SILENT = rows(
    "HEXPIRE h 100 FIELDS 1 a",
    "HSET h a 1; HEXPIRE h 100 XX FIELDS 2 a b",
    f"{_SOON}; HEXPIRE h 10 GT FIELDS 3 a b c",
    f"{_SOON}; HPERSIST h FIELDS 2 c x",
    f"{_SOON}; HTTL h FIELDS 2 c x",
    f"{_SOON}; HGETEX h FIELDS 2 a x",
    f"{_SOON}; HGETEX h PERSIST FIELDS 2 c x",
    f"{_SOON}; HGETDEL h FIELDS 2 x y",
    f"{_SOON}; HSETEX h FNX EX 10 FIELDS 2 a 1 x 2",
    f"{_SOON}; HSETEX h FXX EX 10 FIELDS 2 a 1 x 2",
    f"{_SOON}; HSETEX h PXAT 1 FIELDS 2 y 1 x 2",
    "HSETEX h PXAT 1 FIELDS 2 y 1 x 2",
)
