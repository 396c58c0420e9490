"""Samples of the stream commands."""

from __future__ import annotations

from tests.unit.law_samples import rows

#: A stream of three entries; a group that delivered two of them; a third consumer's name is free.
_S = "XADD s 1-1 a b; XADD s 2-1 c d; XADD s 3-1 e f; "
_G = _S + "XGROUP CREATE s g 0; XREADGROUP GROUP g alice COUNT 2 STREAMS s >; "

SAMPLES = {
    b"XADD": rows(
        "XADD s * a b",
        "XADD s 1-1 a b",
        "xadd s 5-* a b c d",
        _S + "XADD s 3-* a b",
        _S + "XADD s * a b",
        "XADD s 99999999999999-5 a b; XADD s * a b",
        _S + "XADD s NOMKSTREAM 9-1 a b",
        _S + "XADD s NOMKSTREAM MAXLEN 2 * a b",
        _S + "XADD s MAXLEN 2 9-1 a b",
        _S + "XADD s MAXLEN = 2 9-* a b",
        _S + "XADD s maxlen ~ 2 9-1 a b",
        _S + "XADD s MAXLEN ~ 2 LIMIT 10 9-1 a b",
        _S + "XADD s LIMIT 0 MAXLEN ~ 2 9-1 a b",
        _S + "XADD s MINID 2-1 9-1 a b",
        _S + "XADD s MINID 2 9-1 a b",
        _S + "XADD s MINID ~ 9-1 9-1 a b",
        _S + "XADD s MAXLEN 0 9-1 a b",
        "XADD s MAXLEN 0 9-1 a b",
        "XADD s MAXLEN ~ 0 9-1 a b",
        "XADD s MINID ~ 99 9-1 a b",
        _S + "PEXPIRE s 100000; XADD s 9-1 a b",
        _S + "PEXPIREAT s 1; XADD s 1-1 a b",
    ),
    b"XDEL": rows(_S + "XDEL s 1-1", _S + "XDEL s 2-1 9-9 3", _S + "XDEL s 1-1 2-1 3-1", _S + "XDEL s 2-1 2-1"),
    b"XTRIM": rows(
        _S + "XTRIM s MAXLEN 1",
        _S + "XTRIM s MAXLEN = 0",
        _S + "XTRIM s MAXLEN ~ 0",
        _S + "XTRIM s maxlen ~ 0 LIMIT 5",
        _S + "XTRIM s LIMIT 0 MAXLEN ~ 0",
        _S + "XTRIM s MINID 2",
        _S + "XTRIM s MINID ~ 9",
        _S + "XTRIM s MINID = 9-9",
    ),
    b"XSETID": rows(
        _S + "XSETID s 9-9",
        _S + "XSETID s 9-9 ENTRIESADDED 20",
        _S + "XSETID s 9-9 MAXDELETEDID 8-8 ENTRIESADDED 20",
        _S + "XSETID s 3-1",
    ),
    b"XGROUP|CREATE": rows(
        _S + "XGROUP CREATE s g 0",
        _S + "XGROUP CREATE s g $",
        _S + "xgroup create s g 2-1 ENTRIESREAD 2",
        "XGROUP CREATE s g $ MKSTREAM",
        "XGROUP CREATE s g 5 mkstream ENTRIESREAD -1",
    ),
    b"XGROUP|SETID": rows(_G + "XGROUP SETID s g 0", _G + "XGROUP SETID s g $ ENTRIESREAD 3", _G + "XGROUP SETID s g 2-1"),
    b"XGROUP|DESTROY": rows(_G + "XGROUP DESTROY s g"),
    b"XGROUP|CREATECONSUMER": rows(_G + "XGROUP CREATECONSUMER s g bob"),
    b"XGROUP|DELCONSUMER": rows(
        _G + "XGROUP DELCONSUMER s g alice", _G + "XGROUP CREATECONSUMER s g x; XGROUP DELCONSUMER s g x"
    ),
    b"XACK": rows(_G + "XACK s g 1-1", _G + "XACK s g 1-1 2-1 3-1 1-1"),
    b"XREADGROUP": rows(
        _G + "XREADGROUP GROUP g alice STREAMS s >",
        _G + "XREADGROUP GROUP g bob STREAMS s >",
        _G + "xreadgroup group g bob noack streams s >",
        _G + "XREADGROUP GROUP g alice NOACK BLOCK 0 STREAMS s >",
        _S + "XGROUP CREATE s g 0; XREADGROUP GROUP g bob COUNT 2 STREAMS s >",
        _S + "XGROUP CREATE s g 0; XREADGROUP GROUP g bob COUNT 2 NOACK STREAMS s >",
        _S + "XGROUP CREATE s g 0; XADD t 5-5 a b; XGROUP CREATE t g 0; XREADGROUP GROUP g bob COUNT 1 STREAMS s t > >",
        _S + "XGROUP CREATE s g 0; XDEL s 2-1; XREADGROUP GROUP g bob STREAMS s >",
        _S + "XDEL s 1-1; XGROUP CREATE s g 0; XREADGROUP GROUP g bob NOACK STREAMS s >",
        _G + "XGROUP SETID s g 0; XREADGROUP GROUP g bob STREAMS s >",
    ),
    b"XCLAIM": rows(
        _G + "XCLAIM s g bob 0 1-1",
        _G + "XCLAIM s g bob 0 1-1 2-1 3-1 9-9",
        _G + "XCLAIM s g alice 0 2-1 JUSTID",
        _G + "xclaim s g bob 0 1-1 TIME 1000 RETRYCOUNT 7",
        _G + "XCLAIM s g bob 0 1-1 IDLE 5000",
        _G + "XCLAIM s g bob 0 3-1 FORCE",
        _G + "XCLAIM s g bob 0 3-1 FORCE JUSTID",
        _G + "XCLAIM s g bob 0 3-1 LASTID 3-1",
        _G + "XCLAIM s g bob 0 1-1 LASTID 9-1",
        _G + "XDEL s 1-1; XCLAIM s g bob 0 1-1",
        _G + "XDEL s 1-1; XCLAIM s g alice 0 1-1 2-1 LASTID 3-1",
    ),
    b"XAUTOCLAIM": rows(
        _G + "XAUTOCLAIM s g bob 0 0",
        _G + "XAUTOCLAIM s g bob 0 - COUNT 1",
        _G + "xautoclaim s g alice 0 (1-1 JUSTID",
        _G + "XDEL s 1-1; XAUTOCLAIM s g bob 0 0",
        _G + "XDEL s 1-1 2-1; XAUTOCLAIM s g bob 0 0 COUNT 5",
    ),
}

SILENT = rows(
    "XADD s NOMKSTREAM * a b",
    "XDEL s 1-1",
    _S + "XDEL s 9-9",
    _S + "XTRIM s MAXLEN 5",
    _S + "XTRIM s MAXLEN ~ 1",
    _S + "XTRIM s MINID ~ 1",
    "XTRIM s MAXLEN 0",
    _G + "XACK s g 3-1",
    _G + "XACK s h 1-1",
    _G + "XGROUP DESTROY s h",
    _G + "XGROUP CREATECONSUMER s g alice",
    _G + "XGROUP DELCONSUMER s g bob",
    _G + "XREADGROUP GROUP g alice STREAMS s >; XREADGROUP GROUP g bob STREAMS s >",
    _G + "XREADGROUP GROUP g alice STREAMS s >; XREADGROUP GROUP g bob NOACK STREAMS s >",
    _G + "XCLAIM s g bob 0 3-1",
    _G + "XCLAIM s g bob 0 9-9 FORCE",
    _G + "XCLAIM s g bob 100000 1-1",
    _G + "XAUTOCLAIM s g bob 100000 0",
    _G + "XAUTOCLAIM s g bob 0 3",
    _S + "XREAD STREAMS s 0",
)
