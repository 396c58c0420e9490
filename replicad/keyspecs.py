"""What Redis 7.0 tells clients about the keys and the routing of each command, beyond first, last and step.

Owns: the two tables behind the key specifications and the tips of COMMAND INFO and the flags of COMMAND
GETKEYSANDFLAGS, ``specs_of`` and ``tips_of``, and ``uses_of``, which finds the keys in a whole command.  The tables are
facts about the commands' contract; commands that are not listed have no keys and no tips.

A specification is written ``<flags> <place>``.  The place is ``@n`` (the key stands at argument n), ``WORD@n`` (behind
the word WORD, looked for from argument n on, from the end when negative) or ``?`` (cannot be told), followed by
``:keynum`` (a number of keys stands there, then the keys) or ``:last/step/limit`` (a run of keys).
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from replicad.command import Command

_KEYS = {
    "RO access @1": (
        "bitcount bitfield_ro bitpos dump expiretime geodist geohash geopos georadius_ro georadiusbymember_ro geosearch "
        "get getbit getrange hget hgetall hkeys hmget hrandfield hscan hvals lindex lpos lrange pexpiretime pttl smembers "
        "smismember srandmember sscan substr ttl xpending xrange xrevrange zcount zlexcount zmscore zrandmember zrange "
        "zrangebylex zrangebyscore zrank zrevrange zrevrangebylex zrevrangebyscore zrevrank zscan zscore "
        "hexpiretime hpexpiretime hpttl httl"
    ),
    "RW update @1": (
        "expire expireat geoadd hmset hset lset persist pexpire pexpireat setrange xack xadd xclaim xsetid zadd "
        "hexpire hexpireat hpersist hpexpire hpexpireat hsetex"
    ),
    "RW access update @1": (
        "decr decrby getex getset hgetex hincrby hincrbyfloat incr incrby incrbyfloat move setbit zincrby"
    ),
    "RW delete @1": (
        "hdel lrem ltrim srem xautoclaim xdel xtrim zrem zremrangebylex zremrangebyrank zremrangebyscore"
    ),
    "RO @1": "hexists hlen hstrlen llen scard sismember strlen type xlen zcard",
    "RW insert @1": "append hsetnx linsert lpush lpushx pfadd rpush rpushx sadd",
    "RW access delete @1": "getdel hgetdel lpop rpop spop zpopmax zpopmin",
    "RO access @1:keynum": "sintercard zdiff zinter zintercard zunion",
    "RO @2": "memory|usage object|encoding object|freq object|idletime object|refcount",
    "RW access delete @1, RW insert @2": "blmove brpoplpush lmove rpoplpush smove",
    "OW update @1": "psetex restore restore-asking setex",
    "RO access @1:-1/1/0": "mget sdiff sinter sunion",
    "RW access delete @1:-2/1/0": "blpop brpop bzpopmax bzpopmin",
    "RO access @2:keynum": "eval_ro evalsha_ro fcall_ro",
    "OW update @1, RO access @2:keynum": "zdiffstore zinterstore zunionstore",
    "RW access update @2:keynum": "eval evalsha fcall",
    "RO @1:-1/1/0": "exists touch watch",
    "RO access @2": "xinfo|consumers xinfo|groups xinfo|stream",
    "OW update @1, RO access @2": "geosearchstore zrangestore",
    "RW access delete @1:keynum": "lmpop zmpop",
    "RW access update variable_flags @1": "bitfield set",
    "not_key @1:-1/1/0": "ssubscribe sunsubscribe",
    "RW access delete @2:keynum": "blmpop bzmpop",
    "OW update @1, RO access @2:-1/1/0": "sdiffstore sunionstore",
    "RM delete @1:-1/1/0": "del unlink",
    "RW delete @2": "xgroup|delconsumer xgroup|destroy",
    "RW insert @2": "xgroup|create xgroup|createconsumer",
    "RO access @1, OW update STORE@5, OW update STOREDIST@5": "georadiusbymember",
    "RO access @1, RO access ?": "sort_ro",
    "RO access @1, OW update STORE@6, OW update STOREDIST@6": "georadius",
    "RW access delete @1, OW update @2": "rename",
    "RW access @1:-1/1/0": "pfcount",
    "RW access @2": "pfdebug",
    "RW access delete @3, RW access delete incomplete KEYS@-2:-1/1/0": "migrate",
    "RO access STREAMS@4:-1/1/2": "xreadgroup",
    "RW access insert @1, RO access @2:-1/1/0": "pfmerge",
    "RO access STREAMS@1:-1/1/2": "xread",
    "OW update @1:-1/2/0": "mset",
    "RW access delete @1, OW insert @2": "renamenx",
    "not_key @1": "spublish",
    "RW update @1, RO access @2:-1/1/0": "sinterstore",
    "RW update @2": "xgroup|setid",
    "OW insert @1": "setnx",
    "RO access @1:1/1/0": "lcs",
    "RO access @1, RO access ?, OW update ?": "sort",
    "OW insert @1:-1/2/0": "msetnx",
    "RO access @1, OW update @2": "copy",
    "OW update @2, RO access @3:-1/1/0": "bitop",
}

_TIPS = {
    "nondeterministic_output": (
        "client|info client|list cluster|bumpepoch cluster|count-failure-reports cluster|getkeysinslot cluster|info "
        "cluster|links cluster|nodes cluster|replicas cluster|shards cluster|slaves cluster|slots dump hrandfield "
        "hscan lastsave migrate object|encoding object|freq object|idletime object|refcount pttl spop srandmember sscan "
        "time ttl xadd xautoclaim xclaim xinfo|consumers xpending xtrim zrandmember zscan"
    ),
    "nondeterministic_output_order": (
        "command command|docs command|info command|list function|list hgetall hkeys hvals module|list sdiff sinter "
        "smembers sunion"
    ),
    "request_policy:all_shards response_policy:all_succeeded": (
        "flushall flushdb function|delete function|flush function|load function|restore memory|purge ping"
    ),
    "nondeterministic_output request_policy:all_nodes response_policy:special": (
        "latency|doctor latency|graph latency|histogram latency|history latency|latest"
    ),
    "request_policy:all_nodes response_policy:all_succeeded": (
        "config|set latency|reset script|flush script|load slowlog|reset"
    ),
    "nondeterministic_output request_policy:all_shards response_policy:special": (
        "function|stats info memory|doctor memory|malloc-stats memory|stats"
    ),
    "request_policy:multi_shard response_policy:agg_sum": "del exists touch unlink",
    "request_policy:all_shards response_policy:one_succeeded": "function|kill script|kill",
    "request_policy:all_shards response_policy:agg_min": "wait",
    "request_policy:all_nodes nondeterministic_output": "slowlog|get",
    "request_policy:all_nodes response_policy:agg_sum nondeterministic_output": "slowlog|len",
    "request_policy:all_shards response_policy:agg_logical_and": "script|exists",
    "nondeterministic_output request_policy:special": "scan",
    "request_policy:multi_shard response_policy:all_succeeded": "mset",
    "request_policy:multi_shard": "mget",
    "request_policy:all_shards nondeterministic_output": "randomkey",
    "request_policy:all_shards response_policy:agg_sum": "dbsize",
    "request_policy:multi_shard response_policy:agg_min": "msetnx",
    "request_policy:all_shards nondeterministic_output_order": "keys",
}


class KeySpec(NamedTuple):
    """One specification.  ``start`` or ``keyword`` (with ``start`` where the search begins) say where the run of
    keys begins, neither when it cannot be told; ``keynum`` or ``last``, ``step``, ``limit`` how far it goes."""

    flags: tuple[bytes, ...]
    start: int | None
    keyword: bytes | None
    keynum: bool
    last: int
    step: int
    limit: int

    def positions(self, argv: list[bytes]) -> list[int] | None:
        """The indexes into ``argv`` of the keys; None when this specification cannot tell."""
        if self.start is None:
            return None
        begin, count = self.start, len(argv)
        if self.keyword is not None:
            found = _find(argv, self.keyword, begin)
            if found is None:
                return []
            begin = found + 1
        if begin >= count:
            return []
        if self.keynum:
            number = int(argv[begin]) if _COUNT.fullmatch(argv[begin]) else 0
            number = _as_int(number) if number < 1 << 63 else 0
            return _run(begin, number, count) or None
        end = begin + self.last if self.last >= 0 else count + self.last
        if self.limit > 1:
            end = begin + (count - begin) // self.limit - 1
        return list(range(begin, min(end, count - 1) + 1, self.step))


#: A number of keys as it must be, and as the C library reads the beginning of a text.
_COUNT = re.compile(rb"[1-9][0-9]{0,18}")
_C_NUMBER = re.compile(rb"[ \t\n\v\f\r]*([+-]?[0-9]{1,4000})")


def _as_int(number: int) -> int:
    """What a 64-bit number is in a C int."""
    return (number + (1 << 31)) % (1 << 32) - (1 << 31)


def _run(begin: int, number: int, count: int) -> list[int]:
    """The places of ``number`` keys behind ``begin``; [] when there are not so many among ``count`` arguments."""
    return list(range(begin + 1, begin + number + 1)) if 0 < number < count - begin else []


def _loosely(specs: tuple[KeySpec, ...], argv: list[bytes]) -> list[tuple[int, tuple[bytes, ...]]]:
    """The keys of a command whose number of keys is no proper number.

    The command will refuse it, but Redis tells keys all the same, those of the beginning of the text, without flags and
    the target last.
    """
    counting = next(spec.start for spec in specs if spec.keynum)
    assert counting is not None
    found = _C_NUMBER.match(argv[counting])
    number = _as_int(max(-(1 << 63), min(int(found[1]), (1 << 63) - 1))) if found else 0
    places = _run(counting, number, len(argv))
    if places:
        places += [spec.start for spec in specs if not spec.keynum and spec.start is not None]
    return [(place, ()) for place in places]


def _find(argv: list[bytes], word: bytes, start: int) -> int | None:
    places = range(start, len(argv)) if start >= 0 else range(len(argv) + start, 0, -1)
    for place in places:
        if argv[place].upper() == word:
            return place
    return None


def _parse(text: str) -> KeySpec:
    *flags, place = text.split()
    where, _, how = place.partition(":")
    keyword, at, index = where.partition("@")
    last, step, limit = map(int, how.split("/")) if how and how != "keynum" else (0, 1, 0)
    return KeySpec(
        tuple(flag.encode() for flag in flags),
        int(index) if at else None,
        keyword.encode() if at and keyword else None,
        how == "keynum",
        last,
        step,
        limit,
    )


@lru_cache(1)
def _by_command() -> dict[str, tuple[KeySpec, ...]]:
    return {
        name: tuple(_parse(part) for part in text.split(", "))
        for text, names in _KEYS.items()
        for name in names.split()
    }


@lru_cache(1)
def _tips() -> dict[str, tuple[bytes, ...]]:
    return {
        name: tuple(tip.encode() for tip in text.split()) for text, names in _TIPS.items() for name in names.split()
    }


def specs_of(name: bytes) -> tuple[KeySpec, ...]:
    """The key specifications of a command (lower case, ``container|sub``); empty when it has no keys."""
    return _by_command().get(name.decode(), ())


def uses_of(cmd: Command, argv: list[bytes]) -> list[tuple[int, tuple[bytes, ...]]]:
    """The keys in a whole command: their indexes into ``argv``, and the flags of their use.

    Empty also when the arguments are wrong in a way that hides the keys: the command itself will say so.
    """
    single = _single(cmd.name)
    if single is not None and len(argv) > single[0]:
        return [(single[0], _actual(cmd, argv, single[1]))]
    specs = specs_of(cmd.name)
    if len(argv) < cmd.least or any(b"not_key" in spec.flags for spec in specs):
        return []
    flags: dict[int, tuple[bytes, ...]] = {}
    whole = bool(specs)  # whether the specifications tell everything
    for spec in specs:
        places = spec.positions(argv)
        if spec.start is None or b"incomplete" in spec.flags:
            whole = False
        elif places is None:
            return _loosely(specs, argv)
        for place in places or ():
            flags[place] = _actual(cmd, argv, spec.flags)
    if whole:
        return list(flags.items())
    rest = specs[-1].flags if specs else (b"RO", b"access") if "readonly" in cmd.flags else (b"RW", b"access", b"update")
    found = [(place, flags.get(place, rest)) for place in cmd.key_positions(argv)]
    return [(place, tuple(flag for flag in use if flag != b"incomplete")) for place, use in found]


@lru_cache(None)
def _single(name: bytes) -> tuple[int, tuple[bytes, ...]] | None:
    """The place and the flags of the key, when it is always the same argument and there is no other."""
    specs = specs_of(name)
    if len(specs) != 1:
        return None
    (spec,) = specs
    plain = spec.keyword is None and not spec.keynum and spec.last == 0
    if spec.start is None or not plain or b"not_key" in spec.flags or b"incomplete" in spec.flags:
        return None
    return spec.start, spec.flags


def _actual(cmd: Command, argv: list[bytes], flags: tuple[bytes, ...]) -> tuple[bytes, ...]:
    """What SET and BITFIELD do depends on their arguments."""
    if b"variable_flags" not in flags:
        return flags
    if cmd.name == b"set":
        if len(argv) == 3:
            return (b"OW", b"update")
        return (b"RW", b"access", b"update") if b"GET" in {word.upper() for word in argv[3:]} else (b"OW", b"update")
    return (b"RO", b"access") if _only_gets(argv[2:]) else (b"RW", b"access", b"update")


def _only_gets(words: list[bytes]) -> bool:
    """Whether the operations of BITFIELD change nothing; those that are wrong count as changes."""
    i = 0
    while i < len(words):
        word, left = words[i].upper(), len(words) - i - 1
        if word == b"GET" and left >= 2:
            i += 3
        elif word == b"OVERFLOW" and left >= 1:
            i += 2
        else:
            return False
    return True


def tips_of(name: bytes) -> tuple[bytes, ...]:
    """The tips for proxies and cluster clients."""
    return _tips().get(name.decode(), ())
