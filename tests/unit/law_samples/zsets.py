"""Samples of the sorted-set commands."""

from __future__ import annotations

from tests.unit.law_samples import rows

SAMPLES = {
    b"ZADD": rows(
        "ZADD z 1 a",
        "ZADD z 1 a 2.5 b inf c -inf d",
        "zadd z 0.1 a",
        "ZADD z -0 a",
        "ZADD z 1 a; ZADD z 2 a",
        "ZADD z 1 a; ZADD z 1 a 1 b",
        "ZADD z 1 a; ZADD z NX 5 a 5 b",
        "ZADD z 1 a; ZADD z XX 5 a 5 b",
        "ZADD z 1 a 9 b; ZADD z GT CH 5 a 5 b 5 c",
        "ZADD z 1 a 9 b; ZADD z LT 5 a 5 b 5 c",
        "ZADD z 1 a; ZADD z INCR 1.5 a",
        "ZADD z NX INCR 1.5 a",
        "ZADD z 1 a; PEXPIRE z 100000; ZADD z 2 b",
        "ZADD z 1 a; PEXPIREAT z 1; ZADD z 2 b",
        "SELECT 3; ZADD z 1 a",
        "ZADD z 1 a 2 b 1 a 3 a",
    ),
    b"ZINCRBY": rows("ZINCRBY z 1.5 a", "ZADD z 0.1 a; ZINCRBY z 0.2 a", "ZADD z 1 a; ZINCRBY z -inf a"),
    b"ZREM": rows("ZADD z 1 a 2 b; ZREM z a none", "ZADD z 1 a; ZREM z a"),
    b"ZREMRANGEBYRANK": rows("ZADD z 1 a 2 b 3 c; ZREMRANGEBYRANK z 0 1", "ZADD z 1 a; ZREMRANGEBYRANK z 0 -1"),
    b"ZREMRANGEBYSCORE": rows("ZADD z 1 a 2 b 3 c; ZREMRANGEBYSCORE z (1 2", "ZADD z 1 a; ZREMRANGEBYSCORE z -inf +inf"),
    b"ZREMRANGEBYLEX": rows("ZADD z 0 a 0 b 0 c; ZREMRANGEBYLEX z [b +", "ZADD z 0 a; ZREMRANGEBYLEX z - +"),
    b"ZPOPMIN": rows("ZADD z 1 a 2 b; ZPOPMIN z", "ZADD z 1 a 1 b 2 c; ZPOPMIN z 2", "ZADD z 1 a; ZPOPMIN z 9"),
    b"ZPOPMAX": rows("ZADD z 1 a 2 b; ZPOPMAX z", "ZADD z 1 a 1 b 0 c; ZPOPMAX z 2", "ZADD z 1 a; ZPOPMAX z 9"),
    b"ZMPOP": rows(
        "ZADD z 1 a 2 b 3 c; ZMPOP 2 none z MIN COUNT 2",
        "ZADD z 1 a 2 b; zmpop 1 z max",
        "ZADD z 1 a; ZMPOP 1 z MIN COUNT 9",
    ),
    b"BZPOPMIN": rows("ZADD z 1 a 2 b; BZPOPMIN none z 0", "ZADD z 1 a; bzpopmin z 1"),
    b"BZPOPMAX": rows("ZADD z 1 a 2 b; BZPOPMAX none z 0", "ZADD z 1 a; bzpopmax z 1"),
    b"BZMPOP": rows("ZADD z 1 a 2 b 3 c; BZMPOP 0 2 none z MIN COUNT 2", "ZADD z 1 a; bzmpop 1 1 z max"),
    b"ZRANGESTORE": rows(
        "ZADD z 1 a 2 b 3 c; ZRANGESTORE t z 0 1",
        "ZADD z 1 a 2 b 3 c; ZRANGESTORE z z (1 +inf BYSCORE",
        "ZADD z 0 a 0 b 0 c; ZRANGESTORE t z + - BYLEX REV LIMIT 1 1",
        "ZADD t 1 a; ZRANGESTORE t none 0 1",
        "SET t x; ZADD z 1 a; ZRANGESTORE t z 0 1",
        "SET t x; PEXPIRE t 100000; ZADD z 1 a; ZRANGESTORE t z 0 1",
    ),
    b"ZUNIONSTORE": rows(
        "ZADD z 1 a 2 b; ZADD y 3 b 4 c; ZUNIONSTORE t 2 z y",
        "ZADD z 1 a 0.1 b; SADD s b c; ZUNIONSTORE t 2 z s WEIGHTS 2 0.2 AGGREGATE MAX",
        "ZADD z 0 a; ZUNIONSTORE t 1 z WEIGHTS -1",
        "ZADD z inf a; ZUNIONSTORE t 1 z WEIGHTS 0",
        "SET t x; ZUNIONSTORE t 1 none",
        "ZADD z 1 a; SET t x PXAT 1; ZUNIONSTORE t 1 z",
        "ZADD z 1 a; ZUNIONSTORE z 2 z z",
    ),
    b"ZINTERSTORE": rows(
        "ZADD z 1 a 2 b; ZADD y 3 b 4 c; ZINTERSTORE t 2 z y",
        "ZADD z 1 a 2 b; SADD s b c; ZINTERSTORE t 2 s z WEIGHTS 2 3 AGGREGATE MIN",
        "SET t x; ZINTERSTORE t 1 none",
    ),
    b"ZDIFFSTORE": rows(
        "ZADD z 1 a 2 b; ZADD y 3 b 4 c; ZDIFFSTORE t 2 z y",
        "SADD s a b; ZDIFFSTORE t 1 s",
        "SET t x; ZDIFFSTORE t 1 none",
    ),
}

SILENT = rows(
    "ZADD z 1 a; ZADD z 1 a",
    "ZADD z 1 a; ZADD z NX 2 a",
    "ZADD z 1 a; ZADD z XX INCR 2 b",
    "ZADD z XX 1 a",
    "ZADD z 1 a; ZINCRBY z 0 a",
    "ZADD z 1 a; ZREM z none",
    "ZADD z 1 a; ZPOPMIN z 0",
    "ZPOPMIN none",
    "ZMPOP 1 none MIN",
    "ZADD z 1 a; ZREMRANGEBYRANK z 5 9",
    "ZADD z 1 a; ZREMRANGEBYSCORE z 5 9",
    "ZRANGESTORE t none 0 1",
    "ZUNIONSTORE t 1 none",
    "ZADD z 1 a; ZDIFFSTORE t 2 z z",
)
