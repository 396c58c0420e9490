"""Samples of scripts: what goes out are their effects, as one unit, never the script."""

from __future__ import annotations

from tests.unit.law_samples import Row, words


def _script(body: str, setup: str = "", keys: str = "", args: str = "") -> Row:
    prepared = [words(command) for command in setup.split(";")] if setup else []
    names = words(keys)
    return prepared, [b"EVAL", body.encode(), b"%d" % len(names), *names, *words(args)]


SAMPLES = {
    b"EVAL": [
        _script("return redis.call('set', KEYS[1], ARGV[1])", keys="k", args="v"),
        _script("redis.call('set', 'a', 1) redis.call('INCR', 'a') redis.call('rPush', 'l', 'x', 'y')"),
        _script("redis.call('set', 'a', 1) redis.call('get', 'a') redis.call('del', 'nothing')"),
        _script("redis.call('set', 'a', 'b', 'ex', 100) redis.call('expire', 'a', 200)"),
        _script("redis.call('spop', 's') redis.call('incrbyfloat', 'f', 0.1)", "SADD s only"),
        _script("return redis.call('get', 'k') or redis.call('set', 'other', 1)", "SET k v; PEXPIREAT k 1"),
        _script("redis.call('select', 1) redis.call('set', 'a', 1) redis.call('select', 0) redis.call('set', 'b', 1)"),
        _script("redis.call('select', 2) redis.call('set', 'a', 1)"),
        _script("redis.call('set', 'a', 1.5) redis.call('set', 'b', 3) redis.call('set', 'c', 1e300)"),
        _script("redis.set_repl(redis.REPL_ALL) redis.call('set', 'b', 1)"),
        _script("redis.call('publish', 'c', 'm') redis.call('set', 'a', 1)"),
        _script("redis.call('publish', 'c', 'm')"),
        _script("redis.call('lpop', 'l')", "RPUSH l a b"),
        _script("redis.call('xadd', 'x', '1-1', 'f', 'v') redis.call('xgroup', 'create', 'x', 'g', '0')"),
        _script("redis.call('sort', 's', 'store', 'd')", "RPUSH s 3 1 2"),
        _script("redis.call('sort', 's', 'by', 'nosort', 'store', 'd')", "SADD s 3 1 2"),
        _script("redis.call('flushdb') redis.call('set', 'a', 1)", "SET b 1"),
        _script("#!lua\nredis.call('set', 'a', 1)"),
        _script("for i = 1, 50 do redis.call('set', 'k' .. i, i) end"),
        _script("redis.call('set', KEYS[1], '\\0\\r\\n')", keys="k"),
    ],
}

SILENT = [
    _script("return 1"),
    _script("return redis.call('get', 'k')", "SET k v"),
    _script("return redis.call('del', 'k')"),
    _script("#!lua flags=no-writes\nreturn redis.call('get', 'k')"),
    ([], [b"EVAL_RO", b"return redis.call('get', 'k')", b"0"]),
]
