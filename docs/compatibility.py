"""Writes the generated parts of compatibility.md: which commands and directives of Redis 7.0 there are.

``python docs/compatibility.py`` rewrites the file, ``python docs/compatibility.py --check`` exits with 1 when that would
change it.  The commands of Redis stand in redis-7.0-commands.txt (a test compares it with a real server), those of
replicad come from its command table, the directives from its table of directives.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

DOCS = Path(__file__).resolve().parent
PAGE = DOCS / "compatibility.md"
REFERENCE = DOCS / "redis-7.0-commands.txt"

if __name__ == "__main__":
    sys.path.insert(0, str(DOCS.parent))

import replicad.commands  # noqa: E402, F401  (fills the command table)
from replicad.command import all_commands  # noqa: E402
from replicad.directives import DIRECTIVES, REFUSED  # noqa: E402

#: The groups of COMMAND DOCS in the order of the page, and their titles.
TITLES = {
    "generic": "Keys",
    "string": "Strings",
    "list": "Lists",
    "hash": "Hashes",
    "set": "Sets",
    "sorted-set": "Sorted sets",
    "stream": "Streams",
    "bitmap": "Bitmaps",
    "hyperloglog": "HyperLogLog",
    "geo": "Geo",
    "pubsub": "Pub/sub",
    "transactions": "Transactions",
    "scripting": "Scripting",
    "connection": "Connection",
    "server": "Server",
    "cluster": "Cluster",
}


def reference() -> dict[str, str]:
    """The commands and subcommands of Redis 7.0 (lower case, ``config|get``) and the group of each."""
    rows = (line.split() for line in REFERENCE.read_text().splitlines() if not line.startswith("#"))
    return {name: group for group, name in rows}


def present() -> set[str]:
    """The commands and subcommands of replicad, written as in `reference`."""
    rows = [*all_commands(), *(sub for row in all_commands() for sub in row.subcommands.values())]
    return {row.name.decode() for row in rows}


def _names(names: set[str]) -> str:
    """``GET, SET, CONFIG (GET, SET)``, or a dash when there is none."""
    words = []
    for top in sorted({name.partition("|")[0] for name in names}):
        subs = sorted(name.partition("|")[2].upper() for name in names if name.startswith(f"{top}|"))
        words.append(f"{top.upper()} ({', '.join(subs)})" if subs else top.upper())
    return ", ".join(words) or "-"


def commands() -> str:
    """The table of commands."""
    groups, ours = reference(), present()
    lines = ["| Group | There | Not yet |", "|---|---|---|"]
    for group, title in TITLES.items():
        names = {name for name, its_group in groups.items() if its_group == group}
        lines.append(f"| {title} | {_names(names & ours)} | {_names(names - ours)} |")
    added = ours - groups.keys()
    if added:
        lines.append(f"| Not in Redis 7.0 | {_names(added)} | - |")
    have = len(ours & groups.keys())
    return f"{have} of the {len(groups)} commands and subcommands of Redis 7.0:\n\n" + "\n".join(lines)


def directives() -> str:
    """The lists of directives: those that act, those that are only accepted, those with one possible value."""
    rows = list(DIRECTIVES.values())

    def listed(names: list[str]) -> str:
        return ", ".join(f"`{name}`" for name in sorted(names))

    acting = [row.name for row in rows if row.acting]
    fixed = [row.name for row in rows if not row.acting and row.refuse]
    accepted = [row.name for row in rows if not row.acting and not row.refuse]
    return (
        f"**They act** ({len(acting)}): {listed(acting)}.\n\n"
        f"**They are refused** unless they have their default: {listed(fixed)}. Always refused: {listed([*REFUSED])}.\n\n"
        f"**They are accepted**, checked and shown by CONFIG GET, and change nothing ({len(accepted)}): {listed(accepted)}."
    )


def page(text: str) -> str:
    """`text` with its generated parts renewed."""
    for name, make in (("commands", commands), ("directives", directives)):
        begin, end = f"<!-- {name}: made by docs/compatibility.py -->", f"<!-- end of {name} -->"
        pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
        if not pattern.search(text):
            raise ValueError(f"{PAGE.name} has no part {name}")
        part = f"{begin}\n\n{make()}\n\n{end}"
        text = pattern.sub(lambda _, part=part: part, text)
    return text


def main(argv: list[str]) -> int:
    """Rewrite or check the page."""
    old = PAGE.read_text()
    new = page(old)
    if "--check" in argv:
        return int(new != old)
    PAGE.write_text(new)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
