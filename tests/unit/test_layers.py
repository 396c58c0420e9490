"""Who may import whom: the layers that ``docs/architecture.md`` draws, read from the sources with `ast`.

A module may import modules of its own layer and of the layers below. Imports for type checkers only (under ``if
TYPE_CHECKING``) are no arrows: they are gone when the program runs.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from fnmatch import fnmatchcase
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

PROJECT = Path(__file__).resolve().parents[2]

#: From the bottom to the top; names are without the leading ``replicad.``, the first pattern that matches counts.
LAYERS = [
    ["", "errors"],
    ["resp", "consumer_group", "stream_value", "values", "glob", "histogram", "log", "directive*", "geohash",
     "hll", "notifications", "persistence", "persistence.interfaces", "replication", "scripting",
     "scripting.lua_libraries", "scripting.bytecode", "scripting.engine"],
    ["expiring_hash", "memory", "ledger", "digest", "persistence.lzf", "persistence.rdb", "persistence.rdb_*", "config",
     "keyspace", "cut", "trash", "deadlines", "replication.spill", "replication.history"],
    ["replication.stream", "persistence.loader"],
    ["keyspecs", "command", "acl", "accounts", "session", "propagation", "pubsub", "blocking", "observe",
     "tracking", "client_memory", "usage", "eviction", "info", "scripting.*"],
    ["commands", "commands.*"],
    ["dispatch"],
    ["replication.handshake"],
    ["replication.link", "replication.image", "replication.applier", "persistence.tailfile", "persistence.rdbfile",
     "persistence.lmdbstore"],
    ["readiness", "tls", "client", "migration", "replication.upstream",
     "replication.downstream", "replication.requests", "replication.failover",
     "replication.roles", "persistence.child", "persistence.saver"],
    ["listening", "lifecycle", "timekeeping"],
    ["server"],
    ["tap"],
]

#: The modules that touch sockets, timers or processes. ``log`` is where Twisted's own log lines arrive.
TWISTED = {
    *("client", "tls", "listening", "readiness", "log", "migration", "persistence.saver"),
    *("replication.downstream", "replication.upstream"),
    *("lifecycle", "server", "tap", "timekeeping"),
}

#: What the replica's side of the protocol is made of.
PURE_REPLICATION = {"replication.handshake", "replication.history", "replication.stream"}

#: What commands may know of replication and persistence.
DATA = ["persistence.rdb", "persistence.rdb_*", "persistence.interfaces", "replication.history"]

BACKENDS = {"persistence.rdbfile", "persistence.lmdbstore"}


def layer_of(module: str) -> int | None:
    """The number of the layer, counted from the bottom; None when no layer names the module."""
    for number, patterns in enumerate(LAYERS):
        if any(fnmatchcase(module, pattern) for pattern in patterns):
            return number
    return None


def imported(source: str, module: str, is_package: bool = False) -> Iterator[str]:
    """The full names that a module imports when it runs, also inside functions.

    ``from package import name`` yields ``package.name``: the caller decides whether that is a module.
    """
    package = module if is_package else module.rpartition(".")[0]
    pending: list[ast.AST] = [ast.parse(source)]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            pending.extend(node.orelse)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package.split(".")
                parents = parents[: len(parents) - node.level + 1]
                base = ".".join([*parents, *filter(None, [base])])
            yield from (f"{base}.{alias.name}" for alias in node.names)
        else:
            pending.extend(ast.iter_child_nodes(node))


def sources() -> dict[str, Path]:
    """Every module of the package by its name without ``replicad.``; the package itself is the empty name."""
    found = {}
    for path in sorted((PROJECT / "replicad").rglob("*.py")):
        parts = list(path.relative_to(PROJECT / "replicad").with_suffix("").parts)
        if parts[-1] == "__init__":
            parts.pop()
        found[".".join(parts)] = path
    return found


def read_arrows() -> dict[str, tuple[set[str], set[str]]]:
    """For every module: the modules of the package and the outside packages that it imports."""
    modules = sources()
    arrows = {}
    for module, path in modules.items():
        full_name = f"replicad.{module}" if module else "replicad"
        inside, outside = set(), set()
        for name in imported(path.read_text(), full_name, path.name == "__init__.py"):
            top, _, rest = name.partition(".")
            if top == "replicad":
                inside.add(rest if rest in modules else rest.rpartition(".")[0])
            else:
                outside.add(top)
        inside.discard(module)
        arrows[module] = (inside, outside)
    return arrows


class Layers(SynchronousTestCase):
    """The arrows of the package as it is."""

    def setUp(self) -> None:
        """Read all sources."""
        self.arrows = read_arrows()
        self.assertGreater(len(self.arrows), 10)

    def test_every_module_has_a_layer(self) -> None:
        """A new module must be given its place in the list."""
        self.assertEqual([module for module in self.arrows if layer_of(module) is None], [])

    def test_imports_point_downwards(self) -> None:
        """Nothing imports a module of a layer above its own."""
        wrong = []
        for module, (inside, _) in self.arrows.items():
            here = layer_of(module)
            for name in inside:
                there = layer_of(name)
                if here is not None and there is not None and there > here:
                    wrong.append(f"replicad.{module} imports replicad.{name}, which is in a layer above")
        self.assertEqual(wrong, [])

    def test_no_cycles(self) -> None:
        """Modules of one layer do not import each other in a circle."""
        graph = {module: inside - {""} for module, (inside, _) in self.arrows.items()}
        try:
            TopologicalSorter(graph).prepare()
        except CycleError as error:
            self.fail(f"import cycle: {' <- '.join(error.args[1])}")

    def test_twisted_stays_at_the_edge(self) -> None:
        """Protocol logic, commands, keyspace and codecs know no reactor."""
        wrong = [name for name, (_, outside) in self.arrows.items() if "twisted" in outside and name not in TWISTED]
        self.assertEqual(wrong, [])

    def test_zope_interface_is_for_persistence_and_the_edge(self) -> None:
        """The pure modules need no interfaces."""
        wrong = []
        for module, (_, outside) in self.arrows.items():
            if "zope" in outside and module not in TWISTED and not module.startswith("persistence."):
                wrong.append(module)
        self.assertEqual(wrong, [])

    def test_only_tap_imports_server(self) -> None:
        """The wiring place is imported by the one who starts it."""
        users = {module for module, (inside, _) in self.arrows.items() if "server" in inside}
        self.assertEqual(users - {"tap"}, set())

    def test_commands_reach_the_rest_through_the_client(self) -> None:
        """A command file imports no server and nothing that acts; codec, history and their words are data."""
        wrong = []
        for module, (inside, _) in self.arrows.items():
            if not module.startswith("commands"):
                continue
            for name in inside:
                data = any(fnmatchcase(name, pattern) for pattern in DATA)
                if name.split(".")[0] in ("server", "replication", "persistence", "client") and not data:
                    wrong.append(f"replicad.{module} imports replicad.{name}")
        self.assertEqual(wrong, [])

    def test_backends_know_interfaces_and_codec_only(self) -> None:
        """A backend of ours stands where a third party's would stand."""
        for module in BACKENDS & self.arrows.keys():
            allowed = {name for name in self.arrows if name.startswith("persistence")} | {"", "errors", "values"}
            self.assertEqual(self.arrows[module][0] - allowed - {"persistence.saver"}, set(), module)
            self.assertNotIn("persistence.saver", self.arrows[module][0])

    def test_the_link_is_pure(self) -> None:
        """The replica's side of the protocol uses the wire format and the history and nothing else of the package."""
        if "replication.link" in self.arrows:
            inside, _ = self.arrows["replication.link"]
            self.assertEqual(inside - {"", "replication", "errors", "resp"} - PURE_REPLICATION, set())


class Reader(SynchronousTestCase):
    """The reader of imports sees all forms."""

    def test_forms(self) -> None:
        """Absolute, relative, inside a function; not for type checkers only."""
        source = """
import os.path
from replicad.errors import ReplyError
from . import history
from ..resp import encode
if TYPE_CHECKING:
    from replicad.server import Server
else:
    from twisted.internet import defer
def f():
    import replicad.tap
"""
        names = set(imported(source, "replicad.replication.link"))
        expected = {"os.path", "replicad.errors.ReplyError", "replicad.replication.history", "replicad.resp.encode"}
        self.assertEqual(names, expected | {"twisted.internet.defer", "replicad.tap"})

    def test_package(self) -> None:
        """One dot in a package's own file is the package."""
        names = list(imported("from .rdb import load", "replicad.persistence", True))
        self.assertEqual(names, ["replicad.persistence.rdb.load"])
