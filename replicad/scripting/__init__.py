"""Lua scripts: the interpreter, its sandbox, and what a script may do to the server.

``engine`` owns the interpreter, ``calls`` what ``redis.call`` does, ``busy`` scripts that run for too long, ``scripts`` the
cache of scripts that EVAL and EVALSHA use, ``conversion`` the values on their way into Lua, ``bytecode`` one change to
compiled scripts, ``libraries`` the libraries of functions, ``lua_libraries`` cjson and its like.  The Lua side is in
``lua/``.  The commands are in ``replicad.commands.scripting`` and ``replicad.commands.functions``.
"""
