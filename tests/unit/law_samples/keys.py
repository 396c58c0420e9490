"""Samples of the commands on keys and databases, on expiry, and of SORT."""

from __future__ import annotations

from replicad.persistence.rdb import dump_payload
from replicad.values import SortedSet
from tests.unit.law_samples import Row, rows

_PAYLOADS = [dump_payload(value) for value in (b"text", {b"f": b"v"}, SortedSet.from_pairs([(b"m", 1.5)]))]


def _restore(line: str) -> list[Row]:
    """A row for each payload, which takes the place of the word PAYLOAD."""
    return [
        (setup, [payload if word == b"PAYLOAD" else word for word in argv])
        for payload in _PAYLOADS
        for setup, argv in rows(line)
    ]


def _expire(name: str, soon: str, later: str) -> list[Row]:
    return rows(
        f"SET k v; {name} k {soon}",
        f"SET k v; {name} k {soon} NX",
        f"SET k v EX 10; {name} k {soon} XX",
        f"SET k v EX 10; {name} k {later} GT",
        f"SET k v; {name} k {soon} LT",
        f"SET k v EX 10; {name} k {later} XX GT",
        f"SET k v; {name} k -1",
        f"SELECT 2; RPUSH k a; {name} k {soon}",
    )


SAMPLES = {
    b"DEL": rows("SET a 1; DEL a b a", "RPUSH l 1 2; HSET h f v; DEL h l"),
    b"UNLINK": rows("SET a 1; UNLINK a b"),
    b"RENAME": rows(
        *("SET a 1 EX 100; RENAME a b", "SET a 1; SET b 2 EX 100; RENAME a b", "SADD a x; SET b y; RENAME a b"),
        "SET a 1; SET b 2 PXAT 1; RENAME a b",
    ),
    b"RENAMENX": rows("SET a 1 EX 100; RENAMENX a b"),
    b"MOVE": rows("SET a 1 EX 100; MOVE a 3", "SELECT 2; HSET a f v; MOVE a 0"),
    b"COPY": rows(
        "SET a 1 EX 100; COPY a b",
        "ZADD a 1 x; SET b 1 EX 100; COPY a b REPLACE",
        "RPUSH a 1 2; COPY a a DB 3",
        "SET a 1; SET b 2 PXAT 1; COPY a b",
        "SADD a 1 2; SELECT 3; SET a 1; SELECT 0; COPY a a REPLACE DB 3",
    ),
    b"RESTORE": [
        *_restore("RESTORE k 0 PAYLOAD"),
        *_restore("SET k v EX 100; RESTORE k 0 PAYLOAD REPLACE"),
        *_restore("RESTORE k 100000 PAYLOAD IDLETIME 5"),
        *_restore("RESTORE k 4102444800000 PAYLOAD ABSTTL"),
        *_restore("SET k v; RESTORE k 1 PAYLOAD ABSTTL REPLACE"),
    ],
    b"RESTORE-ASKING": _restore("RESTORE-ASKING k 100000 PAYLOAD"),
    b"FLUSHDB": rows("SET a 1; FLUSHDB", "SELECT 2; SET a 1; SELECT 0; SET b 1; FLUSHDB ASYNC", "SELECT 3; FLUSHDB SYNC"),
    b"FLUSHALL": rows("SET a 1; SELECT 3; SET b 1; FLUSHALL", "FLUSHALL ASYNC"),
    b"SWAPDB": rows("SET a 1 EX 100; SELECT 3; SET b 2; SWAPDB 0 3", "SET a 1; SWAPDB 1 2", "SET a 1; SWAPDB 0 0"),
    b"EXPIRE": _expire("EXPIRE", "100", "1000"),
    b"PEXPIRE": _expire("PEXPIRE", "100000", "1000000"),
    b"EXPIREAT": _expire("EXPIREAT", "4102444800", "4102444801"),
    b"PEXPIREAT": _expire("PEXPIREAT", "4102444800000", "4102444801000"),
    b"PERSIST": rows("SET k v EX 100; PERSIST k"),
    b"SORT": rows(
        "RPUSH l 3 1 2; SORT l STORE out",
        "SADD s b c a; SET w_a 2; SET w_b 1; SORT s BY w_* GET # GET w_* STORE out",
        "SADD s b c a d e f g; SORT s BY nosort DESC STORE out",
        "ZADD z 1 a 2 b 3 c; SORT z BY nosort LIMIT 1 2 STORE out",
        "RPUSH l 1; SET out x EX 100; SORT l STORE out",
        "RPUSH l 1; SET out x PXAT 1; SORT l STORE out",
        "SET out x; SORT missing STORE out",
    ),
}

SILENT = rows(
    "DEL a b",
    "UNLINK a",
    "SET a 1; RENAME a a",
    "SET a 1; SET b 1; RENAMENX a b",
    "MOVE a 3",
    "SET a 1; SELECT 3; SET a 2; MOVE a 0",
    "SET a 1; SET b 2; COPY a b",
    "COPY a b",
    "EXPIRE k 100",
    "SET k v; EXPIRE k 100 XX",
    "SET k v EX 10; EXPIRE k 100 NX",
    "SET k v EX 100; PEXPIRE k 1 GT",
    "SET k v; PERSIST k",
    "PERSIST k",
    "SORT missing STORE out",
    "RPUSH l 2 1; SORT l",
    "SET k v; TOUCH k",
)
SILENT += _restore("RESTORE k 1 PAYLOAD ABSTTL")
