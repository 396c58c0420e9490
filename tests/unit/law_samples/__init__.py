"""What the law of propagation is tried with: one module for each family of commands.

A module holds ``SAMPLES``: for the name of each command that writes (upper case, ``XGROUP|CREATE`` for a subcommand) the
rows ``(commands that prepare the keyspace, the command)``.  Each must change something.  It may hold ``SILENT`` too: rows
of the same shape whose command changes nothing, so that Redis propagates nothing.  `rows` makes writing them short.
"""

from __future__ import annotations

Row = tuple[list[list[bytes]], list[bytes]]


def words(line: str) -> list[bytes]:
    """The arguments of a command written as one line; ``''`` stands for an empty argument."""
    return [b"" if word == "''" else word.encode() for word in line.split()]


def rows(*lines: str) -> list[Row]:
    """A row for each line: commands with semicolons between them, the last is the one that is tried."""
    out: list[Row] = []
    for line in lines:
        *setup, last = (words(command) for command in line.split(";"))
        out.append((setup, last))
    return out
