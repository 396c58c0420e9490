"""The HyperLogLog commands: PFADD, PFCOUNT, PFMERGE, PFDEBUG, PFSELFTEST.

Owns: keys, errors, what is cached and counted as a change.  Does not own the strings themselves (``hll``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from replicad import hll
from replicad.command import command
from replicad.errors import ReplyError, err
from replicad.notifications import STRING, report
from replicad.resp import OK, Simple

if TYPE_CHECKING:
    from replicad.session import Client

_ONE = (1, 1, 1)
_NOT_HLL = ReplyError(b"WRONGTYPE Key is not a valid HyperLogLog string value.")
_CORRUPT = ReplyError(b"INVALIDOBJ Corrupted HLL object detected")
_NO_KEY = err("The specified key does not exist")
_NOT_SPARSE = err("HLL encoding is not sparse")
_BROKEN = ReplyError(b"TESTFAILED The HyperLogLog registers do not survive packing")
_IMPRECISE = ReplyError(b"TESTFAILED Too big error")


def _checked(value: bytes | None) -> bytes | None:
    if value is not None and not hll.is_valid(value):
        raise _NOT_HLL
    return value


@command(b"PFADD", -2, "write denyoom fast", _ONE, group="hyperloglog", since="2.8.9")
def pfadd(client: Client, argv: list[bytes]) -> int:
    """Adds elements to a HyperLogLog and returns 1 when that changed it.

    PFADD key [element [element ...]]
    """
    server, db, key = client.server, client.db, argv[1]
    old = _checked(db.writable(key, bytes))
    try:
        new, changes = hll.add(old or hll.EMPTY, argv[2:], server.settings["hll-sparse-max-bytes"])
    except hll.Corrupt:
        raise _CORRUPT from None
    if old is None:
        db.put(key, hll.stale(new))
        changes += 1
    elif changes:
        db.put_keeping(key, new)
    else:
        return 0
    server.dirty += changes
    report(client, STRING, b"pfadd", key)
    return 1


def _union(client: Client, keys: list[bytes]) -> tuple[bytes, bool]:
    """The greatest of each register of some keys, a byte for each, and whether one of them is dense."""
    db = client.db
    total = bytes(hll.REGISTERS)
    dense = False
    for key in keys:
        value = _checked(db.read(key, bytes))
        if value is None:
            continue
        dense = dense or not hll.is_sparse(value)
        try:
            total = hll.greater(total, hll.registers_of(value))
        except hll.Corrupt:
            raise _CORRUPT from None
    return total, dense


@command(b"PFCOUNT", -2, "readonly may_replicate", (1, -1, 1), group="hyperloglog", since="2.8.9")
def pfcount(client: Client, argv: list[bytes]) -> int:
    """Returns about how many different elements were added to a HyperLogLog, or to several together.

    PFCOUNT key [key ...]

    The result for one key is kept in its string, so PFCOUNT may write; on a replica it writes only what the master says.
    """
    if len(argv) > 2:
        return hll.estimate(_union(client, argv[1:])[0])
    db, key = client.db, argv[1]
    value = _checked(db.read(key, bytes))
    if value is None:
        return 0
    known = hll.cached(value)
    if known is not None:
        return known
    try:
        known = hll.estimate(hll.registers_of(value))
    except hll.Corrupt:
        raise _CORRUPT from None
    if db.expire is not None or client.is_master:
        db.put_keeping(key, hll.with_cached(value, known))
        client.server.dirty += 1
    return known


@command(b"PFMERGE", -2, "write denyoom", (1, -1, 1), group="hyperloglog", since="2.8.9")
def pfmerge(client: Client, argv: list[bytes]) -> Any:
    """Adds what several HyperLogLogs hold to the one under the first key.

    PFMERGE destkey [sourcekey [sourcekey ...]]
    """
    server, db, key = client.server, client.db, argv[1]
    registers, dense = _union(client, argv[1:])
    old = db.writable(key, bytes)
    try:
        new = hll.merged(old or hll.EMPTY, registers, dense, server.settings["hll-sparse-max-bytes"])
    except hll.Corrupt:
        raise _CORRUPT from None
    if old is None:
        db.put(key, new)
    else:
        db.put_keeping(key, new)
    server.dirty += 1
    report(client, STRING, b"pfadd", key)
    return OK


@command(b"PFDEBUG", 3, "write denyoom admin", (2, 2, 1), group="hyperloglog", since="2.8.9")
def pfdebug(client: Client, argv: list[bytes]) -> Any:
    """Shows the registers (GETREG), the runs (DECODE) or the form (ENCODING) of a HyperLogLog, or makes it dense (TODENSE).

    PFDEBUG subcommand key
    """
    server, db, key = client.server, client.db, argv[2]
    value = _checked(db.writable(key, bytes))
    if value is None:
        raise _NO_KEY
    word = argv[1].upper()
    if word == b"ENCODING":
        return Simple(b"sparse" if hll.is_sparse(value) else b"dense")
    if word == b"DECODE":
        if not hll.is_sparse(value):
            raise _NOT_SPARSE
        return hll.described(value)
    if word not in (b"GETREG", b"TODENSE"):
        raise err(b"Unknown PFDEBUG subcommand '%b'" % argv[1])
    try:
        dense = hll.to_dense(value)
    except hll.Corrupt:
        raise _CORRUPT from None
    if dense is not value:
        db.put_keeping(key, dense)
        server.dirty += 1
    return list(hll.registers_of(dense)) if word == b"GETREG" else int(dense is not value)


@command(b"PFSELFTEST", 1, "admin", group="hyperloglog", since="2.8.9")
def pfselftest(client: Client, argv: list[bytes]) -> Any:
    """Checks that both forms of a HyperLogLog agree and that the estimate is as good as it must be; a few milliseconds.

    PFSELFTEST
    """
    sparse = hll.EMPTY
    dense = hll.to_dense(sparse)
    for count in (10, 100, 1000):
        elements = [b"%d" % number for number in range(count)]
        dense, sparse = hll.add(dense, elements, 0)[0], hll.add(sparse, elements, hll.DENSE_SIZE)[0]
        registers = hll.registers_of(sparse)
        if registers != hll.registers_of(dense):
            raise _BROKEN
        if abs(hll.estimate(registers) - count) > 0.05 * count:
            raise _IMPRECISE
    return OK
