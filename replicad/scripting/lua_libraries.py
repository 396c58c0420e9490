"""The Lua libraries that scripts find beside Lua's own: cjson, cmsgpack, struct and bit.

Owns: making them in a Lua state; the engine puts them where scripts see them.  What they do is in ``lua/*.lua``: they are
written in Lua, not in Python behind it, and this is why.

- A script works with Lua values.  A library in Python gets each table as a proxy and every element of it by a call.  For
  a list of 100 records of five fields (ms, in Lua against Python's C modules behind conversions): cjson.encode 0.37 and
  0.40, cjson.decode 0.55 and 0.34, cmsgpack.pack 0.30 and 0.34, cmsgpack.unpack 0.24 and 0.33; ``bit.band`` takes 0.4 us
  and, through Python, 0.25 us before any check of arguments.  So there is little to win.
- The rules differ everywhere: numbers with 14 digits, other escapes, holes in arrays, settings at run time; MessagePack
  in which 1.0 is an integer and the seventeenth level is nil; 64-bit integers out of doubles.  Neither ``json`` nor
  ``msgpack`` nor ``struct`` can be told them, so only the conversion, the slow part, would remain.
- The script's limits hold without another word: what is built is Lua memory, counted as such; the hook that stops a busy
  script stops it here, too; nesting ends at the limits of the C libraries, long before any stack; no Python exception can
  pass through Lua and no Python object can be reached.

Errors name the line of the script that called, as those of C functions do (see ``bytecode``).  Not when a script calls a
library function that it keeps in a variable as the last thing of a function: that stays a tail call, and the line is lost.
"""

from __future__ import annotations

from importlib import resources
from typing import Any

#: The global name of each library and the file that it comes from.
LIBRARIES = {b"cjson": "cjson.lua", b"cmsgpack": "cmsgpack.lua", b"struct": "structs.lua", b"bit": "bits.lua"}


def _source(name: str) -> bytes:
    return (resources.files(__package__) / "lua" / name).read_bytes()


def load(lua: Any) -> Any:
    """Return a Lua table of the four libraries by name, made in ``lua``, a ``lupa.lua51.LuaRuntime`` with ``encoding=None``.

    The state must still have all of Lua's own libraries, ``debug`` and ``newproxy`` too: the libraries keep what they
    need of them.  What a script does to its globals later does not reach them.
    """

    def run(name: str, *args: Any) -> Any:
        return lua.compile(_source(name), name=b"@" + name.encode())(*args)

    shared, floats = run("arguments.lua"), run("floats.lua")
    return lua.table_from({name: run(file, shared, floats) for name, file in LIBRARIES.items()})
