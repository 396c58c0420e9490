"""replicad beside a real redis-server, in one run on one machine: a table of ratios.

``python -m benchmarks.compare`` (or ``python benchmarks/compare.py``) prints Markdown that can stand in
``docs/performance.md``. Both servers run on loopback, are measured in turn and start afresh for each section but the
first; figures are medians. ``--quick`` is a smaller run, ``--only commands,memory,save,sync,stream,lag,failover`` picks
sections, ``--json FILE`` writes all figures too, ``--keys N`` sets the size of the dataset.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

if not __package__:
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.lag import Lag, measure_lag
from benchmarks.measure import Probe, cpu_seconds, fill, pump, resident_bytes, set_commands
from tests.support.connection import Closed, Connection, NoReply, RespError
from tests.support.sentinels import NAME, Sentinels
from tests.support.servers import (
    KINDS,
    Node,
    find_redis_server,
    find_tool,
    link_up,
    offset,
    redis_version,
    stop_all,
    wait_until,
)

SECTIONS = ("commands", "memory", "save", "sync", "stream", "lag", "failover")

#: Writes a second of the section "lag".
LAG_RATE = 20_000

#: The commands of redis-benchmark's default run, by the words of its -t option.
TESTS = [
    *("ping_inline", "ping_mbulk", "set", "get", "incr", "lpush", "rpush", "lpop", "rpop", "sadd", "hset", "spop"),
    *("zadd", "zpopmin", "mset"),
]

#: LRANGE is given as a command, because -t lrange_N fills the list first and would measure that too.
RANGES = {"lrange_100": 99, "lrange_300": 299, "lrange_500": 449, "lrange_600": 599}

PAIRINGS = [("real", "real"), ("ours", "ours"), ("ours", "real"), ("real", "ours")]


@dataclass
class Row:
    """One line of a table. `goal` is what the ratio ours / real must reach, for example ``>= 0.9``."""

    name: str
    real: float
    ours: float
    unit: str
    goal: str = ""

    @property
    def ratio(self) -> float:
        """Our figure by that of the real server."""
        return self.ours / self.real if self.real else float("inf")

    @property
    def verdict(self) -> str:
        """The goal and whether it is met."""
        if not self.goal:
            return ""
        relation, _, limit = self.goal.partition(" ")
        value = self.ours if limit.endswith("ms") else self.ratio
        bound = float(limit.removesuffix(" ms"))
        met = value >= bound if relation == ">=" else value <= bound
        return f"{self.goal}: {'met' if met else 'missed'}"


@dataclass
class Table:
    """Rows under a heading."""

    title: str
    note: str = ""
    rows: list[Row] = field(default_factory=list)

    def markdown(self) -> str:
        """The table as Markdown."""
        lines = [f"### {self.title}", ""]
        if self.note:
            lines += [self.note, ""]
        lines += ["| | redis-server | replicad | unit | replicad / redis-server | goal |", "|---|--:|--:|---|--:|---|"]
        for row in self.rows:
            lines.append(
                f"| {row.name} | {number(row.real)} | {number(row.ours)} | {row.unit} | {row.ratio:.2f} "
                f"| {row.verdict} |"
            )
        return "\n".join([*lines, ""])


def number(value: float) -> str:
    """A figure with three digits that count."""
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def say(text: str) -> None:
    """Progress goes to standard error: standard output is the table."""
    print(text, file=sys.stderr, flush=True)


@contextmanager
def running(*kinds: str, **directives: str) -> Iterator[list[Node]]:
    """Fresh servers; all are stopped at the end, whatever happens."""
    nodes: list[Node] = []
    try:
        for index, kind in enumerate(kinds):
            node = KINDS[kind](None, {"loglevel": "notice", **directives}, name=f"{kind}-{index}")
            nodes.append(node)
            node.start()
        yield nodes
    finally:
        stop_all(nodes)


@dataclass
class Plan:
    """How much is measured."""

    keys: int
    requests: int
    rounds: int
    stream: int
    lag_seconds: float


# commands


def benchmark_commands(plan: Plan) -> list[Table]:
    """redis-benchmark's default commands: requests/s and CPU microseconds per request, pipeline 1 and 16."""
    tables = []
    with running("real", "ours") as nodes:
        for pipeline in (1, 16):
            speed = Table(f"Requests per second, pipeline {pipeline}", "More is better.")
            cost = Table(f"Server CPU per request, pipeline {pipeline}", "Less is better.")
            for node in nodes:
                node.call("FLUSHALL")
            for name in [*TESTS, *RANGES]:
                one_command(plan, nodes, name, pipeline, speed, cost)
            tables += [speed, cost]
    return tables


def one_command(plan: Plan, nodes: list[Node], name: str, pipeline: int, speed: Table, cost: Table) -> None:
    """Measure one command in turn on both servers and add a row to both tables."""
    say(f"{name} at pipeline {pipeline}")
    rates: dict[str, list[float]] = {node.kind: [] for node in nodes}
    costs: dict[str, list[float]] = {node.kind: [] for node in nodes}
    requests = max(1000, plan.requests // 4) if name in RANGES else plan.requests * (2 if pipeline > 1 else 1)
    for turn in range(plan.rounds):
        for node in nodes if turn % 2 == 0 else nodes[::-1]:
            if name == "lrange_100" and turn == 0:
                node.call("DEL", "mylist")
                node.call("RPUSH", "mylist", *(["xxx"] * 1000))
            before = cpu_seconds(node.pid)
            rates[node.kind].append(requests_per_second(node, name, requests, pipeline))
            costs[node.kind].append((cpu_seconds(node.pid) - before) * 1e6 / requests)
    goal = {1: ">= 0.9", 16: ">= 0.5"}[pipeline] if name in ("set", "get") else ""
    real, ours = (statistics.median(rates[kind]) for kind in ("real", "ours"))
    speed.rows.append(Row(name.upper(), real, ours, "requests/s", goal))
    real, ours = (statistics.median(costs[kind]) for kind in ("real", "ours"))
    cost.rows.append(Row(name.upper(), real, ours, "us"))


def requests_per_second(node: Node, name: str, requests: int, pipeline: int) -> float:
    """One run of redis-benchmark with 50 clients."""
    what = ["LRANGE", "mylist", "0", str(RANGES[name])] if name in RANGES else ["-t", name]
    command = [find_tool("redis-benchmark"), "-p", str(node.port), "-q", "--csv", "-c", "50"]
    command += ["-n", str(requests), "-P", str(pipeline), *what]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    rows = [row for row in csv.reader(done.stdout.splitlines()) if len(row) > 1 and row[0] != "test"]
    if done.returncode or len(rows) != 1:
        raise AssertionError(f"redis-benchmark {name}: {done.stdout}{done.stderr}\n{node.log()[-2000:]}")
    return float(rows[0][1])


# memory


def benchmark_memory(plan: Plan) -> list[Table]:
    """Memory per key, and how long a client waits at most while the keys are written."""
    used, seconds, waits = {}, {}, {}
    for kind in ("real", "ours"):
        say(f"memory: {kind}")
        with running(kind) as (node,):
            before = resident_bytes(node.pid)
            with Probe(node) as probe:
                seconds[kind] = fill(node, plan.keys)
            used[kind] = (resident_bytes(node.pid) - before) / plan.keys
            waits[kind] = probe.max_ms
    table = Table(f"{plan.keys:,} keys of 16 bytes with values of 64 bytes", "Less is better.")
    table.rows = [
        Row("resident memory per key", used["real"], used["ours"], "bytes", "<= 2"),
        Row("time to write them, one connection, pipelined", seconds["real"], seconds["ours"], "s"),
        Row("longest wait of another client meanwhile", waits["real"], waits["ours"], "ms"),
    ]
    return [table]


# snapshots


def benchmark_save(plan: Plan) -> list[Table]:
    """SAVE of the dataset and start with it, with both of our backends."""
    stores: dict[str, tuple[str, dict[str, str]]] = {
        "real": ("real", {}),
        "rdb": ("ours", {"snapshot-backend": "rdb"}),
        "lmdb": ("ours", {"snapshot-backend": "lmdb"}),
    }
    saves, loads, starts, waits = {}, {}, {}, {}
    for name, (kind, directives) in stores.items():
        say(f"save and load: {name}")
        with running(kind, **directives) as (node,):
            fill(node, plan.keys)
            saves[name] = statistics.median(seconds_of(lambda: node.call("SAVE"), plan.rounds))
            with Probe(node) as probe:
                node.call("BGSAVE")
                wait_until(lambda: node.info("persistence")["rdb_bgsave_in_progress"] == "0", 300, "BGSAVE")
            waits[name] = probe.max_ms
            times = []
            logged = []
            for _ in range(plan.rounds):
                node.stop()
                times.append(seconds_of(lambda: node.start(wait=False).wait_ready(300), 1)[0])
                if node.call("DBSIZE") != plan.keys:
                    raise AssertionError(f"{node.name} did not load the dataset\n{node.log()[-3000:]}")
                logged += [float(text) for text in re.findall(r"DB loaded from disk: ([\d.]+) seconds", node.log())[-1:]]
            starts[name] = statistics.median(times)
            loads[name] = statistics.median(logged or times)
    tables = []
    for name in ("rdb", "lmdb"):
        table = Table(f"Snapshots of {plan.keys:,} keys, `snapshot-backend {name}`", "Less is better.")
        goal = "<= 2" if name == "rdb" else ""
        table.rows = [
            Row("SAVE", saves["real"], saves[name], "s", goal),
            Row("load at start, as the log says it", loads["real"], loads[name], "s", goal),
            Row("from the start of the process until PING is answered", starts["real"], starts[name], "s"),
            Row("longest wait of a client during BGSAVE", waits["real"], waits[name], "ms"),
        ]
        tables.append(table)
    return tables


def seconds_of(action: Callable[[], object], rounds: int) -> list[float]:
    """How long each of `rounds` calls takes."""
    times = []
    for _ in range(rounds):
        started = time.perf_counter()
        action()
        times.append(time.perf_counter() - started)
    return times


# replication


def benchmark_sync(plan: Plan) -> list[Table]:
    """Full synchronisation in all pairings, and how long the master's clients wait meanwhile."""
    seconds: dict[tuple[str, str], list[float]] = {pairing: [] for pairing in PAIRINGS}
    waits: dict[tuple[str, str], list[float]] = {pairing: [] for pairing in PAIRINGS}
    for pairing in PAIRINGS:
        say(f"full sync: {' -> '.join(pairing)}")
        with running(pairing[0]) as (master,):
            fill(master, plan.keys)
            for _ in range(plan.rounds):
                with running(pairing[1]) as (replica,):
                    with Probe(master) as probe:
                        seconds[pairing].append(full_sync(master, replica))
                    waits[pairing].append(probe.max_ms)
                    if replica.call("DBSIZE") != plan.keys:
                        raise AssertionError(f"{replica.name} did not receive the dataset\n{replica.log()[-3000:]}")
    base = PAIRINGS[0]
    sync = Table(f"Full synchronisation of {plan.keys:,} keys", "REPLICAOF until the link is up. Less is better.")
    wait = Table("Longest wait of a client of the master meanwhile", "A client that asks once a millisecond.")
    for pairing in PAIRINGS[1:]:
        name = " -> ".join("replicad" if kind == "ours" else "redis-server" for kind in pairing)
        sync.rows.append(Row(name, statistics.median(seconds[base]), statistics.median(seconds[pairing]), "s", "<= 2"))
        goal = "<= 50 ms" if pairing[0] == "ours" else ""
        wait.rows.append(Row(name, max(waits[base]), max(waits[pairing]), "ms", goal))
    for table in (sync, wait):
        table.note += " The base is redis-server -> redis-server."
    return [sync, wait]


def full_sync(master: Node, replica: Node) -> float:
    """Make a replica and wait until its link is up; returns the seconds."""
    started = time.perf_counter()
    replica.call("REPLICAOF", "127.0.0.1", master.port)
    wait_until(lambda: synced(replica), 600, "full sync", every=0.02)
    return time.perf_counter() - started


def synced(replica: Node) -> bool:
    """Whether the replica has the data; INFO may be refused or late while it loads."""
    try:
        return link_up(replica)
    except (RespError, Closed, NoReply, OSError) as error:
        say(f"  {replica.name}: {error!r}")
        return False


def benchmark_stream(plan: Plan) -> list[Table]:
    """Writes through a master until the offset of its replica meets its own."""
    rates = {}
    batches = list(set_commands(0, plan.stream))
    for pairing in PAIRINGS:
        say(f"stream: {' -> '.join(pairing)}")
        with running(*pairing) as (master, replica):
            replica.call("REPLICAOF", "127.0.0.1", master.port)
            wait_until(lambda: synced(replica), 30, "the first sync")
            master.call("SET", "key", "value")
            wait_until(lambda: offset(replica) == offset(master), 30, "the stream")
            speeds = []
            for _ in range(plan.rounds):
                started = time.perf_counter()
                pump(master.port, batches, plan.stream)
                wait_until(lambda: offset(replica) == offset(master), 300, "equal offsets")
                speeds.append(plan.stream / (time.perf_counter() - started))
            full = int(master.info("stats")["sync_full"])
            if full != 1:
                raise AssertionError(f"{full} full syncs instead of one\n{master.log()[-3000:]}")
            rates[pairing] = statistics.median(speeds)
    note = "SETs per second from the first write until the offsets meet. The base is redis-server -> redis-server."
    table = Table(f"Replication stream, {plan.stream:,} writes of 64 bytes", f"{note} More is better.")
    for pairing in PAIRINGS[1:]:
        name = " -> ".join("replicad" if kind == "ours" else "redis-server" for kind in pairing)
        table.rows.append(Row(name, rates[PAIRINGS[0]], rates[pairing], "writes/s"))
    return [table]


def benchmark_lag(plan: Plan) -> list[Table]:
    """How far a replica is behind at a fixed rate of writes."""
    measured: dict[str, list[Lag]] = {}
    for kind in ("real", "ours"):
        say(f"lag: {kind} -> {kind}")
        with running(kind, kind) as (master, replica):
            replica.call("REPLICAOF", "127.0.0.1", master.port)
            wait_until(lambda: synced(replica), 30, "the first sync")
            measure_lag(master.port, replica.port, LAG_RATE, 1)
            measured[kind] = [measure_lag(master.port, replica.port, LAG_RATE, plan.lag_seconds) for _ in range(plan.rounds)]
    note = "The age of the oldest write that the replica does not show yet, looked at a thousand times a second."
    table = Table(f"Lag of a replica under {LAG_RATE:,} writes/s", f"{note} Less is better.")
    figures = (("median", "median_ms", ""), ("99th percentile", "p99_ms", "<= 20 ms"), ("most", "most_ms", ""))
    for name, field_name, goal in figures:
        real, ours = (statistics.median(getattr(lag, field_name) for lag in measured[kind]) for kind in ("real", "ours"))
        table.rows.append(Row(name, real, ours, "ms", goal))
    return [table]


class _Cleanups(ExitStack):
    """What nodes need of a test case."""

    def addCleanup(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Call it at the end."""
        self.callback(function, *args, **kwargs)


def benchmark_failover(plan: Plan) -> list[Table]:
    """kill -9 of a master under three real Sentinels until its successor takes a write."""
    seconds = {kind: [failover_seconds(kind) for _ in range(plan.rounds)] for kind in ("real", "ours")}
    real, ours = (statistics.median(seconds[kind]) for kind in ("real", "ours"))
    note = "kill -9 of the master until a replica that was promoted takes a write."
    table = Table("Failover by Sentinel", f"{note} Less is better.")
    table.rows = [
        Row("median, down-after-milliseconds 1000", real, ours, "s"),
        Row("longest", max(seconds["real"]), max(seconds["ours"]), "s"),
    ]
    return [table]


def failover_seconds(kind: str) -> float:
    """One failover of a fresh trio."""
    say(f"failover: {kind}")
    with _Cleanups() as case:
        master = KINDS[kind](case, {"repl-ping-replica-period": 1}, name=f"{kind}-0").start()
        replicas = [KINDS[kind](case, {"replicaof": master.address}, name=f"{kind}-{n}") for n in (1, 2)]
        for node in replicas:
            node.start()
        wait_until(lambda: all(map(synced, replicas)), 30, "the first syncs")
        sentinels = Sentinels(case, master)
        sentinels.wait_complete()
        time.sleep(1)
        master.kill()
        killed = time.perf_counter()
        wait_until(lambda: takes_writes(sentinels, master.port), 60, "a new master", every=0.01)
        return time.perf_counter() - killed


def takes_writes(sentinels: Sentinels, old_port: int) -> bool:
    """Ask a Sentinel for the master, as clients do, and write to it."""
    port = int(sentinels.nodes[0].call("SENTINEL", "GET-MASTER-ADDR-BY-NAME", NAME)[1])
    if port == old_port:
        return False
    try:
        with Connection(port, timeout=1) as client:
            return bool(client.must("SET", "after", "1"))
    except (RespError, Closed, NoReply, OSError):
        return False


# the program


def heading(plan: Plan, arguments: list[str]) -> str:
    """What was measured, on what."""
    version = ".".join(map(str, redis_version(find_redis_server())))
    command = " ".join(["python -m benchmarks.compare", *arguments])
    return (
        f"`{command}`: replicad on {platform.python_implementation()} {platform.python_version()} against redis-server "
        f"{version}, {os.cpu_count()} cores, {platform.system()} {platform.machine()}. Both on loopback in the same run, "
        f"nothing pinned to a core: with two cores the server, its children, its peer and redis-benchmark share them. "
        f"Medians of {plan.rounds}; redis-benchmark with 50 clients and {plan.requests:,} requests.\n"
    )


def main(arguments: list[str]) -> int:
    """Parse the command line, measure, print; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.compare", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="fewer requests, one round, 100,000 keys")
    parser.add_argument("--only", default=",".join(SECTIONS), help=f"sections to run, of {','.join(SECTIONS)}")
    parser.add_argument("--json", metavar="FILE", help="write the figures as JSON too")
    parser.add_argument("--keys", type=int, help="size of the dataset")
    parser.add_argument("--rounds", type=int, help="how often each figure is taken")
    options = parser.parse_args(arguments)
    plan = Plan(100_000, 30_000, 1, 100_000, 3) if options.quick else Plan(1_000_000, 100_000, 3, 500_000, 10)
    plan.keys = options.keys or plan.keys
    plan.rounds = options.rounds or plan.rounds
    chosen = [name.strip() for name in options.only.split(",")]
    unknown = sorted(set(chosen) - set(SECTIONS))
    if unknown:
        parser.error(f"no such section: {', '.join(unknown)}")
    print(heading(plan, arguments))
    tables: list[Table] = []
    functions = {
        "commands": benchmark_commands,
        "memory": benchmark_memory,
        "save": benchmark_save,
        "sync": benchmark_sync,
        "stream": benchmark_stream,
        "lag": benchmark_lag,
        "failover": benchmark_failover,
    }
    failed = False
    for name in SECTIONS:
        if name not in chosen:
            continue
        try:
            done = functions[name](plan)
        except AssertionError as error:
            say(f"{name} failed: {error}")
            failed = True
            continue
        for table in done:
            print(table.markdown(), flush=True)
        tables += done
    if options.json:
        rows = [{"table": table.title, "ratio": row.ratio, **asdict(row)} for table in tables for row in table.rows]
        Path(options.json).write_text(json.dumps({"plan": asdict(plan), "rows": rows}, indent=1) + "\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
