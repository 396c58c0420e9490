"""The arguments of COMMAND DOCS out of the syntax lines of the docstrings."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from replicad.command import TABLE, all_commands
from replicad.commands.introspection import subcommands_of
from replicad.commands.syntax import arguments_of
from replicad.keyspecs import specs_of


def shown(arguments: list[dict[bytes, Any]]) -> str:
    """Arguments as redis-cli shows them."""
    return " ".join(map(_shown, arguments))


def _shown(argument: dict[bytes, Any]) -> str:
    kind, flags = argument[b"type"], argument.get(b"flags", set())
    inner = argument.get(b"arguments", [])
    if kind == b"oneof":
        text = "|".join(map(_shown, inner))
    elif kind == b"block":
        text = " ".join(map(_shown, inner))
    elif kind == b"pure-token":
        text = argument[b"token"].decode()
    else:
        text = argument[b"name"].decode()
        if b"token" in argument:
            text = f"{argument[b'token'].decode()} {text}"
    if b"multiple" in flags:
        text = f"{text} [{text} ...]"
    return f"[{text}]" if b"optional" in flags else text


class Syntax(SynchronousTestCase):
    def test_lines(self) -> None:
        for line, text in (
            ("GET key", "key"),
            ("PING", ""),
            ("MGET key [key ...]", "key [key ...]"),
            ("MSET key value [key value ...]", "key value [key value ...]"),
            ("SET key value [NX | XX] [GET] [EX seconds | KEEPTTL]", "key value [NX|XX] [GET] [EX seconds|KEEPTTL]"),
            ("LINSERT key BEFORE | AFTER pivot element", "key BEFORE|AFTER pivot element"),
            ("LMOVE source destination LEFT | RIGHT LEFT | RIGHT", "source destination LEFT|RIGHT LEFT|RIGHT"),
            ("SORT key [BY pattern] [GET pattern [GET pattern ...]]", "key [BY pattern] [GET pattern [GET pattern ...]]"),
            ("ZADD key [NX | XX] [CH] score member [score member ...]", "key [NX|XX] [CH] score member [score member ...]"),
            ("SCAN cursor [MATCH pattern] [COUNT count]", "cursor [MATCH pattern] [COUNT count]"),
            ("X [LIMIT offset count]", "[LIMIT offset count]"),
            ("X [field [field ...]]", "[field [field ...]]"),
        ):
            name = line.split()[0].lower().encode()
            self.assertEqual(shown(arguments_of(name, line, True)), text, line)

    def test_subcommand(self) -> None:
        arguments = arguments_of(b"config|get", "CONFIG GET parameter [parameter ...]", False)
        self.assertEqual(shown(arguments), "parameter [parameter ...]")

    def test_types(self) -> None:
        (key, count, pattern, when) = arguments_of(b"x", "X key count pattern unix-time-seconds", True)
        self.assertEqual((key[b"type"], key[b"key_spec_index"]), (b"key", 0))
        self.assertEqual((count[b"type"], pattern[b"type"], when[b"type"]), (b"integer", b"pattern", b"unix-time"))
        self.assertEqual(arguments_of(b"x", "X key", False)[0][b"type"], b"string")


class EveryCommand(SynchronousTestCase):
    """Rules for the docstrings of all handlers."""

    def test_docstrings(self) -> None:
        for cmd in all_commands():
            for one in (cmd, *subcommands_of(cmd)):
                self.assertTrue(one.summary, one.name)
                self.assertTrue(one.summary.endswith("."), one.name)
                if not one.subcommands and one.syntax:
                    words = one.name.upper().decode().split("|")
                    self.assertEqual(one.syntax.split()[: len(words)], words, one.name)
                    arguments_of(one.name, one.syntax, True)

    def test_keys_agree(self) -> None:
        """First, last and step are those of the first key specification."""
        for cmd in all_commands():
            for one in (cmd, *subcommands_of(cmd)):
                starts = [spec.start for spec in specs_of(one.name) if spec.start is not None and spec.keyword is None]
                if one.keys[0]:
                    self.assertEqual(one.keys[0], min(starts), one.name)
        self.assertIn(b"GET", TABLE)
