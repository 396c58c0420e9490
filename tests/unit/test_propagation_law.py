"""The law of replication, for every command that writes: a replica that executes what was propagated holds the same data.

The commands are taken from the command table, so that a new one is tried or the test fails and names it.  The samples
are in ``law_samples``.  A master and a replica run in this process, without sockets; what the master put into its history
is applied by the code that applies a real master's stream.
"""

from __future__ import annotations

import importlib
import io
import pkgutil
import random
from copy import deepcopy
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from replicad.command import Command
from replicad.config import load
from replicad.digest import dataset_digest
from replicad.dispatch import run
from replicad.replication.applier import Applier
from replicad.replication.stream import StreamReader
from replicad.replication.upstream import Upstream
from replicad.server import Server, every_command
from replicad.session import Client
from replicad.values import Stream
from tests.unit import law_samples
from tests.unit.law_samples import Row

#: May be propagated, but change no data.
NO_DATA = {b"publish", b"spublish"}

#: Are no writes themselves; what they execute is propagated.
RUN_OTHERS = {b"EVAL"}


def collect() -> tuple[dict[bytes, list[Row]], list[Row]]:
    """The samples of all families: (by command, silent ones)."""
    samples: dict[bytes, list[Row]] = {}
    silent: list[Row] = []
    for found in pkgutil.iter_modules(law_samples.__path__):
        module = importlib.import_module(f"{law_samples.__name__}.{found.name}")
        for name, rows in module.SAMPLES.items():
            samples.setdefault(name.upper(), []).extend(rows)
        silent += getattr(module, "SILENT", [])
    return samples, silent


def writes(cmd: Command) -> bool:
    """Whether the law applies to the command itself (the container of subcommands does nothing)."""
    return bool({"write", "may_replicate"} & cmd.flags) and not cmd.subcommands and cmd.name not in NO_DATA


def here() -> Server:
    """A server with four databases that does not listen, save or log."""
    server = Server(load(None, [("databases", "4"), ("save", "")]), Clock())
    server.log.stream = io.StringIO()
    return server


def dataset(server: Server) -> list[Any]:
    """Every entry with its deadline, in a fixed order; also of expired keys that are not deleted yet.

    When a consumer of a stream was seen last is left out: each server has its own clock for that.
    """
    found = sorted((entry for db in server.databases for entry in db.entries()), key=lambda entry: entry[:2])
    return [(db, key, timeless(value), at_ms) for db, key, value, at_ms in found]


def timeless(value: Any) -> Any:
    """The value; of a stream a copy whose consumers were never seen."""
    if type(value) is not Stream:
        return value
    value = value.copy()
    for group in value.groups.values():
        for consumer in group.consumers.values():
            consumer.seen_time_ms = consumer.active_time_ms = 0
    return value


class LawTests(SynchronousTestCase):
    """``master`` executes, ``replica`` is fed with the stream; both are emptied before each sample, by the stream too."""

    def setUp(self) -> None:
        self.master, self.replica = here(), here()
        self.master.history.create_backlog()
        self.master.update_gates()
        self.client = Client(self.master)
        upstream = self.replica.replication.upstream = Upstream(self.replica, "127.0.0.1", 1, 0)
        self.applier = Applier(self.replica, upstream.client, lambda: None)
        self.replica.history.create_backlog(new_id=False)
        self.replica.update_gates()
        self.reader = StreamReader()
        self.position = 0

    def execute(self, argv: list[bytes]) -> bytes:
        return run(self.client, [list(argv)])

    def propagated(self) -> bytes:
        """What came into the history since the last call; the replica has applied it."""
        data = self.master.history.since(self.position)
        self.position = self.master.history.offset
        if data:
            self.applier.apply(self.reader.feed(data))
        return data

    def prepare(self, setup: list[list[bytes]]) -> None:
        self.client = Client(self.master)
        for argv in ([b"FLUSHALL"], *setup):
            reply = self.execute(argv)
            self.assertFalse(reply.startswith(b"-"), f"{argv}: {reply!r}")
        self.propagated()
        for server in (self.master, self.replica):
            server.errors.clear()
            while server.trash.reclaim():
                pass

    def problem(self, setup: list[list[bytes]], argv: list[bytes]) -> str | None:
        """What is wrong after the sample, in words; None when the law holds."""
        self.prepare(setup)
        return self.verdict(argv)

    def verdict(self, argv: list[bytes]) -> str | None:
        """As `problem`, without any preparation."""
        reply = self.execute(argv)
        if self.master.errors:
            return f"the reply is {reply[:200]!r}"
        stream = self.propagated()
        if not stream:
            return "nothing was propagated"
        if self.replica.errors:
            return f"the replica answers {self.replica.errors} to {stream[:500]!r}"
        ours, theirs = dataset(self.master), dataset(self.replica)
        if ours != theirs or dataset_digest(ours) != dataset_digest(theirs):
            return f"stream {stream[:500]!r}\n    master  {ours}\n    replica {theirs}"
        if self.master.functions != self.replica.functions:
            return f"stream {stream[:500]!r}\n    master  {self.master.functions}\n    replica {self.replica.functions}"
        if self.replica.history.since(self.position - len(stream)) != stream:
            return "the replica does not pass the stream on as it came"
        return None

    def test_every_command_that_writes_has_samples(self) -> None:
        samples, _ = collect()
        missing = [cmd.name.upper() for cmd in every_command() if writes(cmd) and not samples.get(cmd.name.upper())]
        self.assertEqual(missing, [], "commands without samples in tests/unit/law_samples")

    def test_samples_are_of_commands_that_write(self) -> None:
        samples, _ = collect()
        known = {cmd.name.upper() for cmd in every_command() if writes(cmd)} | RUN_OTHERS
        self.assertEqual(sorted(set(samples) - known), [], "samples of unknown or reading commands")
        for name, rows in samples.items():
            for _, argv in rows:
                self.assertTrue(b"|".join(argv[:2]).upper().startswith(name), f"{argv} is a sample of {name!r}")

    def test_the_replica_holds_what_the_master_holds(self) -> None:
        samples, _ = collect()
        problems = []
        for name in sorted(samples):
            for setup, argv in samples[name]:
                given = deepcopy(argv)
                found = self.problem(setup, argv)
                if found is not None:
                    problems.append(f"{setup} {given}: {found}")
        self.assertEqual(problems, [], "\n" + "\n".join(problems))

    def test_it_holds_in_any_order(self) -> None:
        """All commands of all samples, shuffled, without emptying in between: many meet a key of another type."""
        samples, silent = collect()
        commands = [argv for rows in (*samples.values(), silent) for setup, last in rows for argv in (*setup, last)]
        chance = random.Random(2024)
        for _ in range(4):
            chance.shuffle(commands)
            self.client = Client(self.master)
            self.client.in_exec = True  # nothing waits
            for number, argv in enumerate(commands):
                self.execute(argv)
                if self.client.multi is not None or number % 20 == 0:
                    self.client = Client(self.master)
                    self.client.in_exec = True
                stream = self.propagated()
                self.assertEqual(self.replica.errors, {}, f"{argv}: {stream[:500]!r}")
                if number % 25 == 0:
                    self.assertEqual(dataset(self.replica), dataset(self.master), f"after {commands[number - 25 : number]}")

    def test_what_changes_nothing_is_not_propagated(self) -> None:
        _, silent = collect()
        for setup, argv in silent:
            self.prepare(setup)
            before, dirty = dataset(self.master), self.master.dirty
            self.execute(argv)
            self.assertEqual(self.propagated(), b"", f"{setup} {argv}")
            self.assertEqual(self.master.dirty, dirty, f"{setup} {argv}")
            self.assertEqual(dataset(self.master), before, f"{setup} {argv}")
            self.assertEqual(self.master.errors, {}, f"{setup} {argv}")

    def test_the_law_is_not_blind(self) -> None:
        self.prepare([])
        self.master.databases[0].put(b"only on the master", b"1")
        self.assertIn("only on the master", self.verdict([b"SET", b"k", b"v"]) or "")
