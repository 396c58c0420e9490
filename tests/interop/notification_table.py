"""What ``test_notifications`` tries beside the samples of the law.

Scripts with slashes between them; a script is some commands with semicolons between them.
"""

from __future__ import annotations

from replicad.command import lookup
from tests.support.connection import Connection
from tests.unit.law_samples import Row, rows
from tests.unit.test_propagation_law import collect


def scripts(text: str) -> list[Row]:
    """A row for each script."""
    return rows(*" ".join(text.split()).split(" / "))


def samples_for(server: Connection) -> list[Row]:
    """The samples of the law, and the silent ones, whose commands this server has, all of them."""
    samples, silent = collect()
    found = [*(row for name in sorted(samples) for row in samples[name]), *silent]
    names = sorted({_name(argv) for setup, last in found for argv in (*setup, last)})
    infos = server.must("COMMAND", "INFO", *names)
    known = {name for name, info in zip(names, infos, strict=True) if info is not None}
    return [(setup, last) for setup, last in found if known.issuperset(map(_name, (*setup, last)))]


def _name(argv: list[bytes]) -> bytes:
    cmd = lookup(argv)
    return argv[0] if cmd is None else cmd.name


STRINGS = scripts(
    """
    SET a 1; SET a 2 NX / SET a 1 XX / SET a 1; SET a 2 XX GET / SET a 1 EX 100 NX / SET a 1 EX 9; SET a 2 KEEPTTL /
    SET a 1 PXAT 1 / SET a 1; SET a 2 PXAT 1 / SETNX a 1; SETNX a 2 / SETEX a 10 x; PSETEX a 9999 y / SETEX a 0 x /
    GETSET a 1; GETSET a 2 / RPUSH a 1; GETSET a 2 / GETDEL a / SET a 1; GETDEL a / RPUSH a 1; GETDEL a / SET a 1;
    GETEX a / SET a 1; GETEX a EX 10; GETEX a PERSIST; GETEX a PERSIST / SET a 1; GETEX a EXAT 1 / GETEX a EX 5 /
    MSET a 1 b 2 a 3 / MSET a 1 b / MSETNX a 1 b 2; MSETNX b 1 c 2 / MSETNX a 1 a 2 / SET a x; INCR a / INCR a; DECR
    a; INCRBY a 5; DECRBY a 5; INCRBYFLOAT a 1.5 / SET a x; INCRBYFLOAT a 1 / APPEND a x; APPEND a y; APPEND a '' /
    APPEND a '' / SETRANGE a 3 x; SETRANGE a 0 ''; SETRANGE a 1 y / SETRANGE a 0 '' / RPUSH a 1; SET a 1 / RPUSH a
    1; INCR a / RPUSH a 1; APPEND a 1 / SETBIT a 7 1; SETBIT a 7 1; SETBIT a 7 0; SETBIT a 90 0 / BITFIELD a SET u8
    0 0 INCRBY u8 8 1 / BITFIELD a GET u8 0 / SET a x; BITFIELD a SET u8 0 120; BITFIELD a OVERFLOW FAIL INCRBY u8 0
    200 / BITFIELD_RO a GET u8 0 / SET a x; BITOP NOT b a; BITOP AND b c d; BITOP AND b c d / PFADD h; PFADD h;
    PFADD h a; PFADD h a; PFCOUNT h; PFCOUNT h g / PFADD h a; PFMERGE g h; PFMERGE g h; PFMERGE g / PFMERGE g /
    PFADD h a; PFDEBUG TODENSE h; PFDEBUG GETREG h / SUBSTR a 0 1 / GETRANGE a 0 1 / STRLEN a / GET a / MGET a b /
    SET a 1; MGET a b a / BITCOUNT a / BITPOS a 1 / GETBIT a 1 / LCS a b / SET a x; LCS a b / PFCOUNT a / PFCOUNT a
    b
    """
)

KEYS = scripts(
    """
    SET a 1; RPUSH b 1; DEL a b c a / SET a 1; UNLINK a a / DEL a / SET a 1; RENAME a a / SET a 1; RENAME a b / SET
    a 1; SET b 1; RENAME a b / RENAME a b / SET a 1; RENAMENX a b / SET a 1; SET b 1; RENAMENX a b / SET a 1; MOVE a
    1 / SET a 1; SELECT 1; SET a 1; MOVE a 0 / MOVE a 1 / COPY a b / SET a 1 EX 9; COPY a b DB 2 / SET a 1; SET b 1;
    COPY a b; COPY a b REPLACE / SET a 1; EXPIRE a 9; PEXPIRE a 9000; PERSIST a; PERSIST a / SET a 1; EXPIREAT a
    9999999999 / SET a 1; EXPIRE a -1 / SET a 1; EXPIREAT a 1 / SET a 1; EXPIRE a 5 XX / EXPIRE a 5 / PERSIST a /
    SET a 1; PERSIST a / SET a 1; PEXPIREAT a 1; GET a / RPUSH a 2 1; SORT a STORE b; SORT c STORE b; SORT c STORE
    b; SORT c / SORT_RO c / RPUSH a 1; SORT a BY w_* GET v_* / RPUSH a 1; SORT a BY w_*->f GET # GET nostar / SET a
    1; RPUSH b 1; SORT b STORE a / EXISTS a b / TOUCH a b / TYPE a / TTL a / PTTL a / EXPIRETIME a / PEXPIRETIME a /
    OBJECT ENCODING a / OBJECT IDLETIME a / OBJECT REFCOUNT a / OBJECT FREQ a / DUMP a / SET a 1; SCAN 0 TYPE string
    / KEYS * / RANDOMKEY / SET a 1; RANDOMKEY / SET a 1; DUMP a / RESTORE a 0 x / SET a 1; FLUSHDB / SET a 1;
    FLUSHALL / SET a 1; SELECT 1; SET b 1; SWAPDB 0 1 / DBSIZE / MEMORY USAGE a / WATCH a; UNWATCH / DEBUG OBJECT a
    / MULTI; SET a 1; LPUSH b x y; DEL a; LPOP b 2; EXEC / MULTI; SET a 1; LPUSH a x; EXEC / MULTI; SET a 1; DISCARD
    / MULTI; BLPOP a 0; GET b; EXEC
    """
)

COLLECTIONS = scripts(
    """
    LPUSH a 1; RPUSH a 2; LPUSHX a 3; RPUSHX a 4; LPUSHX b 1; RPUSHX b 1 / RPUSH a 1 2 3; LPOP a; RPOP a; LPOP a;
    LPOP a / RPUSH a 1 2 3; LPOP a 2; RPOP a 9; LPOP a 1 / RPUSH a 1; LPOP a 0 / RPUSH a x; LINSERT a BEFORE x y;
    LINSERT a AFTER z y / LINSERT a BEFORE x y / RPUSH a 1; LSET a 0 x; LSET a 5 x / LSET a 0 x / RPUSH a x y x;
    LREM a 1 x; LREM a 0 z; LREM a 0 x / RPUSH a y; LREM a 0 y / RPUSH a 1 2 3; LTRIM a 0 -1; LTRIM a 1 1; LTRIM a 5
    9 / LTRIM a 0 1 / LMOVE a b LEFT LEFT / RPUSH a 1 2; LMOVE a b LEFT RIGHT; LMOVE a b RIGHT LEFT / RPUSH a 1;
    LMOVE a a LEFT RIGHT / RPUSH a 1 2; RPOPLPUSH a a / RPUSH a 1 2; RPOPLPUSH a b; BRPOPLPUSH a b 1; BLMOVE b a
    LEFT LEFT 1 / RPUSH a 1; SET b x; LMOVE a b LEFT LEFT / RPUSH b 1 2 3; LMPOP 2 a b LEFT; BLMPOP 1 2 a b RIGHT
    COUNT 5 / LMPOP 1 a LEFT / RPUSH b 1 2; BLPOP a b 1; BRPOP a b 1 / LLEN a / LRANGE a 0 1 / LINDEX a 0 / LPOS a x
    / HSET a f v g w; HSET a f x; HMSET a f y; HSETNX a f z; HSETNX a h z / HINCRBY a f 1; HINCRBY a f 1;
    HINCRBYFLOAT a f 0.5; HINCRBY a f 1 / HSET a f v g w; HDEL a x; HDEL a f; HDEL a f g / HDEL a f / HGET a f /
    HMGET a f / HGETALL a / HKEYS a / HVALS a / HLEN a / HEXISTS a f / HSTRLEN a f / HRANDFIELD a / HRANDFIELD a 2 /
    HSCAN a 0 / SADD a 1 2; SADD a 1; SADD a 1 3 / SADD a 1 2; SREM a 9; SREM a 1; SREM a 2 / SREM a 1 / SADD a 1;
    SMOVE a b 1; SMOVE b b 1 / SADD a 1 2; SADD b 1; SMOVE a b 1; SMOVE a b 9; SMOVE c b 9; SMOVE a b 2 / SADD a 1 2
    3 4; SPOP a; SPOP a 2; SPOP a 9; SPOP a / SADD a 1; SPOP a / SADD a 1; SPOP a 0 / SADD a 1; SUNIONSTORE a b /
    SADD a 1; SINTERSTORE b a; SUNIONSTORE b a; SDIFFSTORE b a; SDIFFSTORE b a a / SET b 1; SINTERSTORE b x y /
    SINTERSTORE b x y / SADD a 1; SET b 1; SUNIONSTORE b a x / SADD a 1; SINTERSTORE a a / SMEMBERS a / SCARD a /
    SISMEMBER a x / SMISMEMBER a x / SRANDMEMBER a / SRANDMEMBER a 2 / SSCAN a 0 / SINTER a b / SUNION a b / SDIFF a
    b / SINTERCARD 2 a b / SADD a x; SINTER a b / SADD a x; SINTER b a / SADD a x; SDIFF a b / SADD a x; SDIFF b a c
    / ZADD a 1 x; ZADD a 1 x; ZADD a 2 x; ZADD a NX 5 x; ZADD a XX 1 y 2 x; ZADD a GT CH 1 x; ZADD a INCR 2 x; ZADD
    a XX INCR 2 z / ZADD a XX 1 x / ZINCRBY a 1 x; ZINCRBY a 0 x; ZINCRBY a 1 x / ZADD a 1 x 2 y; ZREM a z; ZREM a
    x; ZREM a y / ZREM a x / ZADD a 1 x 2 y 3 z; ZPOPMIN a; ZPOPMAX a; ZPOPMIN a 5; ZPOPMIN a / ZADD a 1 x; ZPOPMIN
    a 0 / ZMPOP 1 a MIN / ZPOPMAX a 1 / ZADD b 1 x 2 y 3 z; ZMPOP 2 a b MIN; BZMPOP 1 1 b MAX; BZPOPMIN a b 1 / ZADD
    b 1 x 2 y; BZPOPMAX b 1; BZPOPMIN b 1 / ZADD a 1 x 2 y 3 z; ZREMRANGEBYRANK a 9 9; ZREMRANGEBYRANK a 0 0;
    ZREMRANGEBYSCORE a 2 2; ZREMRANGEBYLEX a - + / ZREMRANGEBYRANK a 0 0 / ZADD a 1 x; ZRANGESTORE b a 0 -1;
    ZRANGESTORE b a 5 9; ZRANGESTORE b a 5 9 / ZRANGESTORE b a 0 1 / ZADD a 1 x; ZUNIONSTORE b 1 a; ZINTERSTORE b 2
    a c; ZDIFFSTORE b 1 a; ZDIFFSTORE b 2 a a; ZINTERSTORE b 1 c / ZUNION 2 a b / ZINTER 2 a b / ZDIFF 2 a b /
    ZINTERCARD 2 a b / ZSCORE a x / ZMSCORE a x / ZCARD a / ZRANK a x / ZREVRANK a x / ZSCAN a 0 / ZRANGE a 0 1 /
    ZRANGEBYSCORE a 0 1 / ZRANGEBYLEX a - + / ZREVRANGE a 0 1 / ZCOUNT a 0 1 / ZLEXCOUNT a - + / ZRANDMEMBER a /
    ZRANDMEMBER a 2 / ZADD a 1 x; SADD b x; ZUNIONSTORE a 2 a b / ZADD a 1 x; ZUNION 2 a b / GEOADD g 1 1 x; GEOADD
    g 1 1 x; GEOADD g 2 2 x; GEOPOS g x; GEOPOS h x / GEOSEARCH g FROMLONLAT 1 1 BYRADIUS 9 km / GEOADD g 1 1 x;
    GEOSEARCHSTORE b g FROMLONLAT 1 1 BYRADIUS 900 km / GEOSEARCHSTORE b g FROMLONLAT 1 1 BYRADIUS 9 km / GEOADD g 1
    1 x; GEORADIUS g 1 1 500 km STORE b; GEORADIUS g 50 50 1 m STOREDIST b; GEORADIUSBYMEMBER g x 1 m STORE c /
    GEODIST g a b / GEOHASH g a / GEORADIUS_RO g 1 1 1 m / GEORADIUSBYMEMBER_RO g x 1 m / GEORADIUS g 1 1 1 m STORE
    b / SET a 1; ZADD a 1 x / SET a 1; SADD a x / SET a 1; HSET a f v / SET a 1; LPUSH a f / SET a 1; GEOADD a 1 1 x
    """
)

STREAMS = scripts(
    """
    XADD s 1 f v; XADD s 1 f v; XADD s 2 f v; XDEL s 9; XDEL s 1; XDEL s 2; XLEN s / XADD s NOMKSTREAM 1 f v / XDEL
    s 1 / XADD s 1 f v; XADD s MAXLEN 1 2 f v; XADD s MAXLEN 5 3 f v; XADD s MAXLEN ~ 1 4 f v; XADD s MINID 9 5 f v
    / XADD s MAXLEN 0 6 f v / XADD s 1 f v; XADD s 2 f v; XTRIM s MAXLEN 5; XTRIM s MAXLEN 1; XTRIM s MAXLEN 0 /
    XTRIM s MAXLEN 1 / XSETID s 5 / XADD s 1 f v; XSETID s 5; XSETID s 5 ENTRIESADDED 8 MAXDELETEDID 2-0 / XGROUP
    CREATE s g $ / XGROUP CREATE s g $ MKSTREAM / XADD s 1 f v; XGROUP CREATE s g 0; XGROUP CREATE s g 0 / XGROUP
    CREATE s g 0 MKSTREAM; XGROUP SETID s g 1; XGROUP SETID s h 1; XGROUP CREATECONSUMER s g c / XGROUP CREATE s g 0
    MKSTREAM; XGROUP CREATECONSUMER s g c; XGROUP CREATECONSUMER s g c; XGROUP DELCONSUMER s g c / XGROUP CREATE s g
    0 MKSTREAM; XGROUP DELCONSUMER s g c; XGROUP DESTROY s h; XGROUP DESTROY s g; XGROUP SETID s g 0 / XADD s 1 f v;
    XGROUP CREATE s g 0; XREADGROUP GROUP g c STREAMS s >; XREADGROUP GROUP g c STREAMS s >; XACK s g 1 / XADD s 1 f
    v; XGROUP CREATE s g 0; XREADGROUP GROUP g c NOACK STREAMS s >; XREADGROUP GROUP g d STREAMS s 0; XACK s g 1 /
    XADD s 1 f v; XGROUP CREATE s g 0; XREADGROUP GROUP g c STREAMS s >; XCLAIM s g d 0 1; XCLAIM s g d 0 9 FORCE /
    XADD s 1 f v; XGROUP CREATE s g 0; XREADGROUP GROUP g c STREAMS s >; XCLAIM s g d 0 7; XCLAIM s g d 0 1 LASTID 5
    / XADD s 1 f v; XADD s 2 f v; XGROUP CREATE s g 0; XREADGROUP GROUP g c STREAMS s >; XDEL s 1; XAUTOCLAIM s g d
    0 0 / XADD s 1 f v; XGROUP CREATE s g 0; XREADGROUP GROUP g c STREAMS s >; XDEL s 1; XCLAIM s g d 0 1;
    XAUTOCLAIM s g e 0 0 / XGROUP CREATE s g 0 MKSTREAM; XAUTOCLAIM s g d 0 0; XCLAIM s g d 0 1; XREADGROUP GROUP g
    c STREAMS s > / XGROUP CREATE s g 0 MKSTREAM; XREADGROUP GROUP g c STREAMS s s2 > > / XREAD STREAMS s 0 / XREAD
    STREAMS s $ / XRANGE s - + / XREVRANGE s + - / XLEN s / XINFO STREAM s / XINFO GROUPS s / XINFO CONSUMERS s g /
    XPENDING s g / XACK s g 1 / XREADGROUP GROUP g c STREAMS s > / XCLAIM s g d 0 1 / XAUTOCLAIM s g d 0 0 / SET s
    1; XADD s 1 f v
    """
)
