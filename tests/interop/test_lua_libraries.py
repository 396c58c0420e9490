"""cjson, cmsgpack, struct and bit beside a real redis-server: the same Lua on both, results and errors to the byte.

The tables are in ``tests/data/lua``: one call in each line, an expression or, behind "!", statements.  A result comes
back as text that tells all numbers, types and nested tables apart; keys are sorted in it, because the order of a table
with tables or long strings as keys depends on addresses and on the hash of the build.
"""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.support.sequences import sequences
from tests.support.twohead import TwoHeadedTestCase

TABLES = Path(__file__).parents[1] / "data" / "lua"
CALLS_AT_ONCE = 25

SHOW = r"""
local function show(value)
  local kind = type(value)
  if kind == "string" then return string.format("%q", value) end
  if kind == "number" then return string.format("%.17g", value) end
  if kind == "table" then
    local items = {}
    for key, item in pairs(value) do items[#items + 1] = "[" .. show(key) .. "]=" .. show(item) end
    table.sort(items)
    return "{" .. table.concat(items, ",") .. "}"
  end
  return kind == "function" and kind or tostring(value)
end
local function shown(ok, ...)
  if not ok then return "ERR " .. tostring((...)) end
  local items = {}
  for index = 1, select("#", ...) do items[index] = show((select(index, ...))) end
  return select("#", ...) .. ": " .. table.concat(items, "; ")
end
local results = {}
"""

ROUND_TRIP = (
    b"local v = %b local a, b = pcall(cjson.encode, v) local c, d = pcall(cmsgpack.pack, v) "
    b"return a, b, c, d, c and cmsgpack.unpack(d), a and cjson.decode(b)"
)


def script(calls: list[bytes]) -> bytes:
    """A script that does each call in a line of its own and returns what came of it."""
    lines = [SHOW.encode()]
    for call in calls:
        body = call[1:] if call.startswith(b"!") else b"return " + call
        lines.append(b"results[#results + 1] = shown(pcall(function() %b end))" % body)
    return b"\n".join([*lines, b"return results"])


def literal(data: bytes) -> bytes:
    """A Lua string."""
    return b'"%b"' % b"".join(b"\\%03d" % byte for byte in data)


numbers = st.one_of(
    st.sampled_from(["0", "-0", "1/0", "-1/0", "0/0", "-(0/0)", "2^31", "2^53", "2^63", "-2^63", "2^64", "1e300", "5e-324"]),
    st.integers(-300, 300).map(str),
    st.integers(-(2**70), 2**70).map(str),
    st.builds("{}2^{}{:+}".format, st.sampled_from(["", "-"]), st.integers(0, 66), st.integers(-2, 2)),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.floats(width=32, allow_nan=False, allow_infinity=False).map(repr),
).map(str.encode)
texts = st.one_of(st.binary(max_size=8), st.sampled_from([b"x" * 31, b"x" * 32, b"/" * 256, b'"\\\x7f\0'])).map(literal)
scalars = st.one_of(numbers, texts, st.sampled_from([b"true", b"false", b"cjson.null", b"tostring"]))
keys = st.one_of(
    st.binary(max_size=8).map(literal),
    st.integers(-1, 20).map(lambda number: b"%d" % number),
    st.sampled_from([b"true", b"1.5", b"2^31", b"2^31-1", b"2^32+1", b"1e300", b"1/0", b"-0"]),
)


def tables(inner: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    """Tables of what ``inner`` makes: lists, and with keys."""
    pairs = st.builds(lambda key, value: b"[%b]=%b" % (key, value), keys, inner)
    return st.lists(st.one_of(inner, pairs), max_size=18).map(lambda items: b"{%b}" % b",".join(items))


values = st.recursive(scalars, tables, max_leaves=20)

plain = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**63), 2**64 - 1), st.floats(allow_nan=False), st.text(max_size=5)),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=3), inner, max_size=4)),
    max_leaves=8,
)
TOKENS = (
    '{ } [ ] , : "a" "\\u00e9" "\\ud83d\\ude00" "\\ud83d" 1 - 0 01 0x1F 0x 1e5 1e .5 -.5 inf -inf nan nan(1) NaN( true '
    "false null nul tr +1 + +inf +0x3 1.5E+3 1. -0 \" \\ 0x1p4 0x.8 0X1. -- infinity Infinit"
).split()
json_tokens = st.lists(st.sampled_from([*TOKENS, " ", "\n", "\v", "\0"]), min_size=1, max_size=6).map("".join)
json_texts = st.one_of(plain.map(json.dumps), json_tokens).map(str.encode)


def pack(value: Any) -> bytes:
    """MessagePack, in the longest forms: the short ones come from ``cmsgpack.pack``."""
    if value is None or isinstance(value, bool):
        return {None: b"\xc0", False: b"\xc2", True: b"\xc3"}[value]
    if isinstance(value, int):
        return struct.pack(">Bq", 0xD3, value) if value < 2**63 else struct.pack(">BQ", 0xCF, value)
    if isinstance(value, float):
        return struct.pack(">Bd", 0xCB, value)
    if isinstance(value, str):
        data = value.encode("utf-8", "surrogatepass")
        return struct.pack(">BI", 0xDB, len(data)) + data
    if isinstance(value, list):
        return struct.pack(">BI", 0xDD, len(value)) + b"".join(map(pack, value))
    return struct.pack(">BI", 0xDF, len(value)) + b"".join(pack(key) + pack(item) for key, item in value.items())


messages = st.one_of(plain.map(pack), st.binary(max_size=12))


@st.composite
def damaged(draw: st.DrawFn, source: st.SearchStrategy[bytes]) -> bytes:
    """What ``source`` makes, often with a byte changed, lost or put in."""
    data = draw(source)
    at = draw(st.integers(0, len(data)))
    byte = bytes([draw(st.integers(0, 255))])
    before, behind = data[:at], data[at:]
    return draw(st.sampled_from([data, before + byte + behind[1:], before + behind[1:], before + byte + behind]))


formats = st.lists(
    st.sampled_from([*"bBhHlLTfdsxciI<>! Zs", *"c0 c3 i1 i2 i3 I5 i7 i8 i9 i12 i16 i32 i33 i0 !2 !3 !4 !8 !16".split()]),
    min_size=1,
    max_size=6,
).map(lambda options: literal("".join(options).encode()))


def call(name: bytes, *arguments: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    """A call of a library function."""
    return st.tuples(*arguments).map(lambda given: b"%b(%b)" % (name, b",".join(given)))


struct_calls = st.one_of(
    call(b"struct.size", formats),
    call(b"struct.pack", formats, st.lists(st.one_of(numbers, texts), min_size=1, max_size=6).map(b",".join)),
    call(b"struct.unpack", formats, st.binary(max_size=60).map(literal), st.sampled_from([b"1", b"1", b"2", b"5", b"0"])),
)
bit_calls = st.sampled_from(b"tobit tohex bnot band bor bxor lshift rshift arshift rol ror bswap".split()).flatmap(
    lambda name: call(b"bit." + name, st.lists(numbers, min_size=1, max_size=3).map(b",".join))
)
structures = values.map(lambda value: b"!" + ROUND_TRIP.replace(b"%b", value))
decode_calls = damaged(json_texts).map(lambda data: b"cjson.decode(%b)" % literal(data))
unpack_calls = st.one_of(
    damaged(messages).map(lambda data: b"cmsgpack.unpack(%b)" % literal(data)),
    call(b"cmsgpack.unpack_limit", damaged(messages).map(literal), numbers, st.integers(-1, 9).map(lambda n: b"%d" % n)),
)
some_calls = st.lists(st.one_of(structures, decode_calls, unpack_calls, struct_calls, bit_calls), min_size=8, max_size=8)


class LuaLibraries(TwoHeadedTestCase):
    """What scripts do with the libraries."""

    def compare(self, calls: list[bytes]) -> None:
        """Run the calls on both servers; on a difference tell which one it was."""
        real, ours = self.both("EVAL", script(calls), 0)
        if real == ours:
            return
        if not isinstance(real, list) or not isinstance(ours, list):
            self.fail(f"{real!r}\n{ours!r}")
        for one, expected, got in zip(calls, real, ours, strict=True):
            self.assertEqual(got, expected, one)

    def run_table(self, name: str) -> None:
        """Every call of the table; settings that a call changes are those of both servers."""
        calls = (TABLES / f"{name}.txt").read_bytes().splitlines()
        self.assertGreater(len(calls), 50)
        for start in range(0, len(calls), CALLS_AT_ONCE):
            self.compare(calls[start : start + CALLS_AT_ONCE])

    def test_cjson(self) -> None:
        self.run_table("cjson")

    def test_cmsgpack(self) -> None:
        self.run_table("cmsgpack")

    def test_struct(self) -> None:
        self.run_table("struct")

    def test_bit(self) -> None:
        self.run_table("bit")

    def test_contents(self) -> None:
        """The same names and constants in every library."""
        for name in (b"cjson", b"cmsgpack", b"struct", b"bit"):
            self.compare([name])

    def test_errors_name_the_line(self) -> None:
        """An error that nobody caught: the whole reply, also when the call was the last thing a script did."""
        for body in ("return cjson.encode()", "\nlocal x = cjson.decode('x')\nreturn x", "return cmsgpack.unpack('\\193')",
                     "return {struct.pack('b')}", "\n\nreturn bit.band('x')", "return cmsgpack.unpack('\\129\\192\\1')",
                     "local t = {} t[1] = t return cjson.encode(t)", "return pcall(cjson.encode)"):  # fmt: skip
            self.do("EVAL", body, 0)

    def test_libraries_cannot_be_changed(self) -> None:
        for name in ("cjson.encode", "cjson.new", "cmsgpack.x", "struct.pack", "bit.band", "cjson"):
            self.do("EVAL", f"{name} = 1", 0)
        self.do("EVAL", "return cjson.encode({1})", 0)

    def test_huge_results_end(self) -> None:
        """What would need gigabytes is refused or stopped, and the server goes on."""
        ours = self.pair.ours
        ours.call("EVAL", "local c = cjson.new() c.encode_sparse_array(false, 0) return #c.encode({[2^31 - 1] = 1})", 0)
        ours.call("EVAL", "local s = string.rep('\\0', 2^27) return #cjson.encode({s, s, s, s, s, s, s, s})", 0)
        self.do("EVAL", "return cjson.encode({1})", 0)

    @sequences(60)
    @given(some_calls)
    def test_random(self, calls: list[bytes]) -> None:
        self.compare(calls)
