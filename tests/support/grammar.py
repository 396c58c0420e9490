"""Random command lines made from the argument descriptions of COMMAND DOCS.

`Grammar` is fed with the documentation that a running server gives and yields command lines, most of them right,
some broken on purpose: too few or too many arguments, another type's key, numbers no integer can hold.  The values
come from the small pools below, so that commands meet each other's keys, members and stream ids.

A line depends on the `random.Random` alone.  What would make two equal servers answer differently, block or
allocate gigabytes is taken out by `tame`.  Which commands take part is the business of the caller.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

Line = tuple[bytes, ...]


def _pool(text: str, *more: bytes) -> tuple[bytes, ...]:
    return (*(word.encode() for word in text.split()), *more)


#: Integers that are valid, at a limit, over it, and written as no integer of Redis is.
INTEGERS = _pool(
    "0 1 2 3 5 7 10 100 -1 -2 -3 -100 0 1 2 3 -1 2147483647 2147483648 -2147483648 4294967295 4294967296 "
    "9223372036854775807 9223372036854775808 -9223372036854775808 -9223372036854775809 18446744073709551615 "
    "18446744073709551616 -9223372036854775807 +1 01 -0 1.0 0x10 1e3 abc --1 99999999999999999999999",
    b"", b" 1", b"1 ", b"1\x00", b"\x001",
)  # fmt: skip

SMALL_INTEGERS = _pool("0 1 2 3 4 5 8 -1 -2 -3 10 20 100")

#: Floats likewise.
FLOATS = _pool(
    "0 1 2 3.5 -1 -2.25 0.1 1e5 1e-5 100 3.0 1e400 -1e400 nan inf -inf +inf Infinity -0 0x10 1e-400 1e308 4.9e-324 "
    "1.7976931348623157e308 9007199254740993 123456789012345678 0.30000000000000004 1e17 1e21 5e-7 +1 .5 5. 1e abc "
    "1_0 NaN -nan 1e22 3.1415926535897932384626 17179869184.5",
    b"", b" 1", b"1 ", b"1\x00",
)  # fmt: skip

#: Members, fields and elements: few, so that they meet.
MEMBERS = _pool("a b c d e f g 1 2 3 4 10 -1 abc A", b"", b"\x00\xff\r\n", b"m" * 70, b"k k", b"9223372036854775807")

VALUES = _pool(
    "a b hello foobar 0 1 10 -1 3.5 1e5 9223372036854775807 -9223372036854775808 9223372036854775808 0x10 1e400 nan inf",
    b"", b" 1", b"+1", b"-0", b"01", b"\x00\xff\r\n", b"v" * 44, b"v" * 45, b"w" * 65, b"z" * 5000, b"\x80" * 12,
)  # fmt: skip

IDS = _pool(
    "- + 0 0-0 0-1 1-1 1-2 2-1 3 5 5-3 7-* 9-1 (1-1 (5 ( (- (+ $ > * 1000-0 18446744073709551615 -1 1- -1-1 1-1-1 abc "
    "18446744073709551615-18446744073709551615 18446744073709551616-0 1-18446744073709551616 01-01 ~ =",
    b"", b"1 -1",
)  # fmt: skip

SCORE_LIMITS = _pool("-inf +inf inf 0 1 2 3 (1 (2 (inf 1.5 -1 (-inf nan (nan 1e400 abc ( [a (a - + (1e400", b"", b" 1")
LEX_LIMITS = _pool("- + [a [b [c (a (b [ ( a 1 [zz (zz -x +x [1", b"", b"[\xff")

SCRIPTS = (
    b"return 1",
    b"return {1,2,'a',{3}}",
    b"return redis.call('get','str:a')",
    b"return redis.call('incr',KEYS[1])",
    b"return redis.pcall('lpush',KEYS[1],ARGV[1])",
    b"this is no Lua (",
    b"return redis.error_reply('MY own')",
    b"return redis.status_reply('fine')",
    b"return {ok='yes'}",
    b"return {err='no'}",
    b"error('boom')",
    b"error({err='TABLE of mine'})",
    b"return KEYS",
    b"return ARGV",
    b"return 3.99",
    b"return nil",
    b"return {1,nil,2}",
    b"return true",
    b"return false",
    b"return redis.call('nosuch')",
    b"return redis.call()",
    b"return undefined_name",
    b"redis.setresp(3); return redis.call('zscore','zset:b','a')",
    b"return {map={a=1}}",
    b"return {double=3.5}",
    b"return {set={a=true}}",
    b"return {big_number='123'}",
    b"return {verbatim_string={format='txt',string='x'}}",
    b"redis.setresp(3); return redis.call('set','str:c','1','nx')",
    b"return redis.setresp(4)",
    b"return redis.sha1hex('x')",
    b"return {tostring(1e15), tostring(0.1), 1e15, -1.5, '1e400'}",
    b"return cjson.encode({1,'a',true,cjson.null,1.5})",
    b"return redis.pcall('incr','hash:a')",
    b"return redis.pcall('get')",
    b"return redis.pcall('nosuch')['err']",
    b"local t = redis.call('time') return #t",
    b"#!lua flags=no-writes\nreturn redis.call('set','str:b','1')",
    b"#!lua flags=nosuch\nreturn 1",
    b"#!js\nreturn 1",
)

LIBRARIES = (
    b"#!lua name=one\nredis.register_function('f1', function(keys, args) return {keys, args} end)",
    b"#!lua name=two\nredis.register_function{function_name='f2', flags={'no-writes'}, "
    b"callback=function(keys, args) return redis.call('get', keys[1]) end}",
    b"#!lua name=two\nredis.register_function('f3', function(keys) return redis.call('set', keys[1], 'f3') end)",
    b"#!lua name=bad\nredis.register_function('f1', 1)",
    b"#!lua\nreturn 1",
    b"#!lua name=empty\nreturn 1",
    b"#!js name=x\n1",
    b"nothing",
    b"",
)

#: The keys by the type they begin with; ``ttl`` ones expire in some hours.  Commands change types all the time.
KEYS: dict[str, tuple[bytes, ...]] = {
    "string": _pool("str:a str:b str:c str:ttl num:a num:b", b"str:\x00\xff"),
    "hyperloglog": _pool("hll:a hll:b"),
    "list": _pool("list:a list:b list:ttl"),
    "hash": _pool("hash:a hash:b hash:ttl"),
    "set": _pool("set:a set:b set:ints set:ttl"),
    "sorted-set": _pool("zset:a zset:b zset:ttl"),
    "geo": _pool("geo:a geo:b"),
    "stream": _pool("stream:a stream:b"),
    "missing": _pool("none:a none:b none:c", b""),
}
KEYS["bitmap"] = KEYS["string"]
ALL_KEYS = tuple(dict.fromkeys(key for keys in KEYS.values() for key in keys))

#: Values by the name that COMMAND DOCS gives to the argument, first by ``command name``, then by the name alone.
NAMED: dict[str, tuple[bytes, ...]] = {
    "element": MEMBERS,
    "member": MEMBERS,
    "member1": MEMBERS,
    "member2": MEMBERS,
    "field": MEMBERS,
    "pivot": MEMBERS,
    "value": VALUES,
    "message": VALUES,
    "arg": VALUES,
    "group": _pool("g1 g2 g3"),
    "groupname": _pool("g1 g2 g3"),
    "consumer": _pool("alice bob"),
    "consumername": _pool("alice bob carol"),
    "id": IDS,
    "last-id": IDS,
    "threshold": (*IDS, *INTEGERS),
    "max_deleted_entry_id": IDS,
    "min-idle-time": _pool("0 -1 abc 99999999999999 9223372036854775808"),
    "ms": _pool("0 1 1000 -1 abc"),
    "encoding": _pool("u8 i5 u1 i64 u63 u64 i65 u0 i1 U8 i8 u16 x8 u i -8", b""),
    "operation": _pool("AND OR XOR NOT and nor"),
    "script": SCRIPTS,
    "sha1": (*(hashlib.sha1(script).hexdigest().encode() for script in SCRIPTS), b"0" * 40, b"abc", b""),
    "function-code": LIBRARIES,
    "function": _pool("f1 f2 f3 nosuch"),
    "library-name": _pool("one two nosuch"),
    "library-name-pattern": _pool("* one t* nosuch"),
    "channel": _pool("ch1 ch2 news.x", b""),
    "shardchannel": _pool("sh1 sh2"),
    "connection-name": _pool("me you", b"", b"with space", b"\xff"),
    "subcommand": _pool("GETREG ENCODING TODENSE DECODE nosuch"),
    "pattern": _pool("* h* str:? [a-c]* [^a]* \\* list:* *:a none *a*b ch*", b"", b"[a", b"\\"),
    "type": _pool("string list hash set zset stream nosuch ZSET", b""),
    "category": _pool("read write @read hash nosuch"),
    "categoryname": _pool("read dangerous hyperloglog geo nosuch"),
    "username": _pool("u1 u2 nosuch", b"with space", b""),
    "acl|getuser username": _pool("default u1 u2 nosuch"),
    "rule": _pool(
        "on off nopass resetpass reset >pw <pw +get -get +@all -@all +@read -@write allkeys resetkeys ~a* %R~b* %W~c* "
        "%RW~d* %X~a &ch* allchannels resetchannels +config|get -config|set +select|0 clearselectors (+get~a*) nosuch #abc "
        "sanitize-payload skip-sanitize-payload allcommands nocommands +nosuch -@nosuch !abc +get|x",
        b"", b"(+get ~a*)", b"(+get", b"+@all extra",
    ),
    "command": _pool("get set hset config|get nosuch"),
    "command-name": _pool("get nosuch"),
    "weight": FLOATS,
    "zincrby increment": FLOATS,
    "bit": _pool("0 1 2 -1 abc 1"),
    "setbit value": _pool("0 1 2 -1 abc 1"),
    "offset": (*SMALL_INTEGERS, *SMALL_INTEGERS, *INTEGERS, *_pool("#0 #1 #5 # #-1")),
    "timeout": _pool("0.001 0.01 -1 abc", b""),
    "cursor": _pool("0 0 0 0 1 5 -1 abc 18446744073709551615 18446744073709551616", b"", b" 0"),
    "longitude": _pool("13.361389 15.087269 0 -180 180 180.01 2.35 abc nan -122.4"),
    "latitude": _pool("38.115556 37.502669 0 -85.05112878 85.05112878 85.06 48.85 abc inf 37.7"),
    "radius": _pool("0 1 100 200 5000 100000 1e10 -1 abc nan 1e400"),
    "width": _pool("0 1 100 400 100000 1e10 -1 abc"),
    "height": _pool("0 1 100 400 100000 1e10 -1 abc"),
    "index1": _pool("0 1 2 15 16 -1 abc"),
    "index2": _pool("0 1 2 15 16 -1 abc"),
    "select index": _pool("0 0 0 0 1 16 -1 abc"),
    "move db": _pool("0 1 2 16 -1 abc"),
    "destination-db": _pool("0 1 2 16 -1 abc"),
    "frequency": _pool("0 1 255 256 -1 abc"),
    "restore seconds": _pool("0 1 1000 -1 abc"),
    "restore-asking seconds": _pool("0 1 1000 -1 abc"),
    "restore ttl": _pool("0 0 0 1000000 -1 abc"),
    "seconds": _pool("1000000 2000000 0 -1 abc 9223372036854775807 9223372036854775 -9223372036854775808 99999999999", b""),
    "milliseconds": _pool("100000000 0 -1 abc 9223372036854775807 -9223372036854775808 1.5", b""),
    "unix-time-seconds": _pool("0 1 1000 -1 9999999999 abc 9223372036854775807 9223372036854775 -9223372036854775808"),
    "unix-time-milliseconds": _pool("0 1 1000 -1 9999999999000 abc 9223372036854775807 -9223372036854775808"),
    "xread milliseconds": _pool("1 10 -1 abc"),
    "xreadgroup milliseconds": _pool("1 10 -1 abc"),
    "numreplicas": _pool("0 0 1 -1 abc 9223372036854775807"),
    "count": (*SMALL_INTEGERS, *SMALL_INTEGERS, *INTEGERS),
    "protover": _pool("2 3 4 abc"),
}  # fmt: skip

#: ``min``, ``max``, ``start``, ``stop`` and ``end`` mean something else in each family.
RANGES: dict[str, tuple[bytes, ...]] = {
    "stream": IDS,
    "zlexcount": LEX_LIMITS,
    "zrangebylex": LEX_LIMITS,
    "zrevrangebylex": LEX_LIMITS,
    "zremrangebylex": LEX_LIMITS,
    "zcount": SCORE_LIMITS,
    "zrangebyscore": SCORE_LIMITS,
    "zrevrangebyscore": SCORE_LIMITS,
    "zremrangebyscore": SCORE_LIMITS,
    "zrange": (*SMALL_INTEGERS, *SCORE_LIMITS, *LEX_LIMITS),
    "zrangestore": (*SMALL_INTEGERS, *SCORE_LIMITS, *LEX_LIMITS),
}
RANGE_NAMES = {"min", "max", "start", "stop", "end"}

#: What a broken argument is replaced by.
NASTY = (
    *INTEGERS, *FLOATS, *VALUES, *MEMBERS,
    *_pool("LIMIT COUNT NX XX GT LT CH WITHSCORES WITHVALUES STORE BY GET KEYS MATCH BYSCORE BYLEX REV ASC EX PX KEEPTTL"),
)  # fmt: skip


@dataclass
class Argument:
    """One argument of COMMAND DOCS."""

    name: str
    kind: str
    token: bytes | None = None
    optional: bool = False
    multiple: bool = False
    multiple_token: bool = False
    children: list[Argument] = field(default_factory=list)


@dataclass
class Form:
    """One command or subcommand: the words it begins with, its family and its arguments."""

    name: str
    group: str
    arguments: list[Argument]

    @property
    def words(self) -> list[bytes]:
        """``CONFIG``, ``GET``."""
        return [word.encode() for word in self.name.upper().split("|")]


def _mapping(reply: Any) -> dict[bytes, Any]:
    return reply if isinstance(reply, dict) else dict(zip(reply[::2], reply[1::2], strict=True))


def _argument(reply: Any) -> Argument:
    fields = _mapping(reply)
    flags = {bytes(flag) for flag in fields.get(b"flags", ())}
    return Argument(
        name=fields[b"name"].decode(),
        kind=fields[b"type"].decode(),
        token=fields.get(b"token"),
        optional=b"optional" in flags,
        multiple=b"multiple" in flags,
        multiple_token=b"multiple_token" in flags,
        children=[_argument(child) for child in fields.get(b"arguments", ())],
    )


def forms(docs: Any) -> Iterator[Form]:
    """The forms that a reply of COMMAND DOCS describes; containers give their subcommands."""
    for name, reply in _mapping(docs).items():
        fields = _mapping(reply)
        subcommands = fields.get(b"subcommands")
        if subcommands:
            yield from forms(subcommands)
        else:
            arguments = [_argument(one) for one in fields.get(b"arguments", ())]
            yield Form(name.decode(), fields[b"group"].decode(), arguments)


class Grammar:
    """Makes random command lines of `forms`. `payloads` are values of RESTORE."""

    def __init__(self, forms: Sequence[Form], payloads: Sequence[bytes] = (b"",), broken: float = 0.15) -> None:
        self.forms = list(forms)
        self.payloads = tuple(payloads)
        self.broken = broken  #: the share of lines that are broken on purpose

    def line(self, random: Random, *, blocks: bool = True, form: Form | None = None) -> Line:
        """A command line. With `blocks` false it may have any timeout, for places where nothing blocks."""
        form = random.choice(self.forms) if form is None else form
        words = form.words
        if random.random() < 0.1:
            words[0] = words[0].lower()
        argv = words + [part for one in form.arguments for part in self._argument(random, form, one)]
        if "numkeys" in {one.name for one in form.arguments}:
            argv = _counted(random, argv)
        argv = [part if isinstance(part, bytes) else bytes(part.value) for part in argv]
        while random.random() < self.broken:
            _break(random, argv, len(words))
        return tuple(tame(argv, blocks=blocks))

    def _argument(self, random: Random, form: Form, one: Argument) -> list[Any]:
        if one.optional and random.random() < 0.6:
            return []
        parts: list[Any] = []
        for turn in range(random.choice((1, 1, 1, 2, 3)) if one.multiple else 1):
            if one.token is not None and (turn == 0 or one.multiple_token):
                token = bytes(one.token)
                parts.append(token.lower() if random.random() < 0.2 else token)
            if one.kind == "oneof":
                parts += self._argument(random, form, random.choice(one.children))
            elif one.kind == "block":
                parts += [part for child in one.children for part in self._argument(random, form, child)]
            elif one.kind != "pure-token":
                parts.append(self._value(random, form, one))
        return parts

    def _value(self, random: Random, form: Form, one: Argument) -> Any:
        if one.kind == "key":
            return _Key(self._key(random, form))
        if one.name == "numkeys":
            return _Count(b"1")
        if one.name == "serialized-value":
            return random.choice(self.payloads)
        if one.name in RANGE_NAMES:
            pool = RANGES.get(form.name) or RANGES.get(form.group)
            if pool:
                return random.choice(pool)
        pool = NAMED.get(f"{form.name} {one.name}") or NAMED.get(one.name)
        if pool is None:
            if one.kind == "double":
                pool = FLOATS
            elif one.kind == "string":
                pool = VALUES
            else:
                pool = SMALL_INTEGERS if random.random() < 0.6 else INTEGERS
        return random.choice(pool)

    @staticmethod
    def _key(random: Random, form: Form) -> bytes:
        draw = random.random()
        own = KEYS.get(form.group)
        if own is not None and draw < 0.75:
            return random.choice(own)
        return random.choice(KEYS["missing"] if draw < 0.85 else ALL_KEYS)


@dataclass
class _Key:
    value: bytes


@dataclass
class _Count:
    value: bytes


def _counted(random: Random, argv: list[Any]) -> list[Any]:
    """Put the number of keys that follow into the count, wrong now and then."""
    for place, part in enumerate(argv):
        if isinstance(part, _Count):
            count = 0
            while place + 1 + count < len(argv) and isinstance(argv[place + 1 + count], _Key):
                count += 1
            draw = random.random()
            part.value = str(count).encode() if draw < 0.9 else random.choice(INTEGERS)
    return argv


def _break(random: Random, argv: list[bytes], head: int) -> None:
    """Do something to `argv` that makes most commands refuse it; the first `head` words stay."""
    places = range(head, len(argv))
    how = random.randrange(6)
    if how == 0 or not places:
        argv.append(random.choice(NASTY))
    elif how == 1:
        argv.pop()
    elif how == 2:
        argv[random.choice(places)] = random.choice(NASTY)
    elif how == 3:
        place = random.choice(places)
        argv.insert(place, argv[place])
    elif how == 4:
        a, b = random.choice(places), random.choice(places)
        argv[a], argv[b] = argv[b], argv[a]
    else:
        del argv[random.choice(places) :]


# What must not happen


def tame(argv: list[bytes], *, blocks: bool = True) -> list[bytes]:
    """Take out of a line what depends on the moment, needs gigabytes or blocks for long; lines stay as long."""
    name = argv[0].upper().decode("latin-1")
    repair = _TAMED.get(name)
    if repair is not None:
        repair(argv)
    if blocks and name in _TIMEOUTS and len(argv) > 2:
        place = _TIMEOUTS[name]
        if argv[place] not in NAMED["timeout"]:
            argv[place] = b"0.01"
    if blocks and name in ("XREAD", "XREADGROUP"):
        _after(argv, b"BLOCK", lambda value: value if value in NAMED["xread milliseconds"] else b"10")
    if blocks and name == "WAIT" and len(argv) > 2:
        argv[2] = b"10"
    return argv


#: The place of the timeout in blocking commands.
_TIMEOUTS = {
    **dict.fromkeys(("BLPOP", "BRPOP", "BLMOVE", "BRPOPLPUSH", "BZPOPMIN", "BZPOPMAX"), -1),
    **dict.fromkeys(("BLMPOP", "BZMPOP"), 1),
}


def _integer(value: bytes) -> int | None:
    try:
        return int(value)
    except ValueError:
        return None


def _after(argv: list[bytes], token: bytes, repair: Callable[[bytes], bytes]) -> None:
    for place in range(1, len(argv) - 1):
        if argv[place].upper() == token:
            argv[place + 1] = repair(argv[place + 1])


def _at(place: int, repair: Callable[[bytes], bytes]) -> Callable[[list[bytes]], None]:
    def apply(argv: list[bytes]) -> None:
        if len(argv) > place:
            argv[place] = repair(argv[place])

    return apply


def _long_lived(value: bytes) -> bytes:
    """A time to live that does not end while the test runs."""
    number = _integer(value)
    return b"%d" % (number + 1_000_000) if number is not None and 0 < number < 1_000_000 else value


def _near(value: bytes) -> bytes:
    """An offset that needs no hundreds of megabytes; those over the limit of strings stay."""
    number = _integer(value.lstrip(b"#"))
    return b"1000" if number is not None and 100_000 < number < 1 << 34 else value


def _few(value: bytes) -> bytes:
    """No array with billions of random members."""
    number = _integer(value)
    return b"-7" if number is not None and -(1 << 63) < number < -100 else value


def _never_or_always(value: bytes) -> bytes:
    """An idle time that does not depend on the milliseconds between two commands."""
    number = _integer(value)
    return b"0" if number is not None and 0 < number < 10**13 else value


def _options_expire(argv: list[bytes]) -> None:
    for token in (b"EX", b"PX"):
        _after(argv, token, _long_lived)


def _offsets(argv: list[bytes]) -> None:
    argv[2:] = [_near(value) for value in argv[2:]]


def _chosen_ids(argv: list[bytes]) -> None:
    argv[2:] = [b"77-*" if value == b"*" else value for value in argv[2:]]


_TAMED: dict[str, Callable[[list[bytes]], None]] = {
    "SET": _options_expire,
    "GETEX": _options_expire,
    "SETEX": _at(2, _long_lived),
    "PSETEX": _at(2, _long_lived),
    "EXPIRE": _at(2, _long_lived),
    "PEXPIRE": _at(2, _long_lived),
    "RESTORE": _at(2, _long_lived),
    "RESTORE-ASKING": _at(2, _long_lived),
    "SETRANGE": _offsets,
    "SETBIT": _offsets,
    "BITFIELD": _offsets,
    "SRANDMEMBER": _at(2, _few),
    "HRANDFIELD": _at(2, _few),
    "ZRANDMEMBER": _at(2, _few),
    "XADD": _chosen_ids,
    "XCLAIM": _at(4, _never_or_always),
    "XAUTOCLAIM": _at(4, _never_or_always),
    "XPENDING": lambda argv: _after(argv, b"IDLE", _never_or_always),
}
