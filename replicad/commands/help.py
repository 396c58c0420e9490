"""The HELP subcommands: made from the docstrings of the commands, so that they cannot fall behind.

Owns: ``help_of``.  Called by the HELP handler of each container.
"""

from __future__ import annotations

import textwrap

from replicad.command import all_commands
from replicad.resp import Simple


def help_of(container: bytes) -> list[Simple]:
    """What ``<container> HELP`` answers: a line with the syntax of each subcommand, then what it does, indented."""
    name = container.decode()
    # by its own name: rename-command may have put it under another one
    row = next(cmd for cmd in all_commands() if cmd.name == container.lower())
    seen = {id(cmd): cmd for cmd in row.subcommands.values()}
    entries = [
        (cmd.syntax.removeprefix(f"{name} ") or cmd.name.partition(b"|")[2].decode().upper(), cmd.summary)
        for cmd in seen.values()
        if not cmd.name.endswith(b"|help")
    ]
    return help_lines(name, entries)


def help_lines(name: str, entries: list[tuple[str, str]]) -> list[Simple]:
    """The reply of HELP for pairs (syntax, description)."""
    lines = [f"{name} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"]
    for syntax, summary in [*entries, ("HELP", "Prints this help.")]:
        lines.append(syntax)
        lines += textwrap.wrap(summary, 76, initial_indent="    ", subsequent_indent="    ")
    return [Simple(line.encode()) for line in lines]
