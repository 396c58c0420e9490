"""LATENCY: what took long, and how the times of commands are distributed.

Owns: the commands and the drawing of LATENCY GRAPH.  Does not own the events (``observe``) nor the histograms
(``histogram``, fed in ``dispatch``).

The histograms are not quite those of Redis.  The hot loop measures a row of equal commands of one batch at once, so each of
them counts with the mean time of its row: of a pipeline of a hundred GETs one that was slow does not stand out (the slow
log names it).  Commands that clients send one by one, in transactions and in the stream of a master, are measured each.
"""

from __future__ import annotations

import time
from typing import Any

from replicad.command import Argv, Command, command, every_command, lookup
from replicad.commands.help import help_of
from replicad.errors import c_string, clean, err, unknown_subcommand
from replicad.resp import Replies, Verbatim, Wire
from replicad.session import Client

_ADMIN = "admin noscript loading stale"
_COLUMNS = 80
_ROWS = 4
#: The upper end of a column, by thirds of a row.
_TOPS = "_o#"


@command(b"LATENCY", -2, group="server", since="2.8.13")
def latency(client: Client, argv: Argv) -> Any:
    """Commands about latency: its monitor, and the times of commands."""
    raise unknown_subcommand(b"LATENCY", argv[1])


@command(b"LATENCY|LATEST", 2, _ADMIN, group="server", since="2.8.13")
def latency_latest(client: Client, argv: Argv) -> list[Any]:
    """Returns of each class of events the latest sample (Unix time, milliseconds) and the worst.

    LATENCY LATEST
    """
    events = client.server.latency
    return [[event, *samples[-1], events.worst[event]] for event, samples in events.samples.items()]


@command(b"LATENCY|HISTORY", 3, _ADMIN, group="server", since="2.8.13")
def latency_history(client: Client, argv: Argv) -> list[Any]:
    """Returns the samples of a class of events, oldest first.

    LATENCY HISTORY event
    """
    return [list(sample) for sample in client.server.latency.samples.get(argv[2], ())]


@command(b"LATENCY|GRAPH", 3, _ADMIN, group="server", since="2.8.13")
def latency_graph(client: Client, argv: Argv) -> Any:
    """Draws the samples of a class of events, a column for each, and how long ago it was below.

    LATENCY GRAPH event
    """
    events = client.server.latency
    samples = events.samples.get(argv[2])
    if not samples:
        raise err(clean(b"No samples available for event '%b'" % c_string(argv[2])))
    values = [value for _, value in samples]
    title = b"%b - high %d ms, low %d ms (all time high %d ms)\n%b\n" % (
        argv[2],
        max(values),
        min(values),
        events.worst[argv[2]],
        b"-" * _COLUMNS,
    )
    now = int(time.time())
    return Verbatim(title + draw([(age(now - at), value) for at, value in samples]).encode())


def age(seconds: int) -> str:
    """A number of seconds in the largest whole unit."""
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= size:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def draw(columns: list[tuple[str, int]]) -> str:
    """Columns (label, value) as lines of text, the labels written downwards; so many columns to a strip."""
    values = [value for _, value in columns]
    low, span = min(values), max(values) - min(values)
    steps = _ROWS * len(_TOPS)
    heights = [min((value - low) * steps // span, steps - 1) if span else 0 for value in values]
    out = []
    for first in range(0, len(columns), _COLUMNS):
        if first:
            out.append("")
        strip = heights[first : first + _COLUMNS]
        labels = [label for label, _ in columns[first : first + _COLUMNS]]
        for row in range(_ROWS - 1, -1, -1):
            out.append("".join([_cell(height - row * len(_TOPS)) for height in strip]))
        out.append(" " * len(strip))
        for line in range(max(map(len, labels))):
            out.append("".join([label[line : line + 1] or " " for label in labels]))
    return "\n".join(out) + "\n"


def _cell(above: int) -> str:
    """A column where it reaches ``above`` thirds over the bottom of this row."""
    return " " if above < 0 else _TOPS[above] if above < len(_TOPS) else "|"


@command(b"LATENCY|RESET", -2, _ADMIN, group="server", since="2.8.13")
def latency_reset(client: Client, argv: Argv) -> int:
    """Forgets samples, of all classes or of the named; returns the number of classes that had any.

    LATENCY RESET [event [event ...]]
    """
    return client.server.latency.forget(argv[2:])


@command(b"LATENCY|DOCTOR", 2, _ADMIN, group="server", since="2.8.13")
def latency_doctor(client: Client, argv: Argv) -> Verbatim:
    """Says what it thinks of the latency.

    LATENCY DOCTOR
    """
    server = client.server
    lines = []
    if not server.settings["latency-monitor-threshold"]:
        lines.append("Latency events are not recorded: the directive latency-monitor-threshold is 0.")
    for event, samples in server.latency.samples.items():
        values = [value for _, value in samples]
        mean = sum(values) / len(values)
        deviation = sum(abs(value - mean) for value in values) / len(values)
        seconds = (int(time.time()) - samples[0][0]) / len(values)
        lines.append(
            f"{event.decode()}: {len(values)} samples, one each {seconds:.1f} seconds, mean {mean:.0f} ms with a mean "
            f"deviation of {deviation:.0f} ms, worst of all times {server.latency.worst[event]} ms. {_ADVICE.get(event, '')}"
        )
    if not lines:
        lines.append("No event reached the directive latency-monitor-threshold.")
    lines.append("INFO latencystats shows the times of each command, LATENCY HISTOGRAM their distribution.")
    return Verbatim("\n".join(map(str.rstrip, lines)).encode() + b"\n")


_ADVICE = {
    b"command": "SLOWLOG GET shows which commands are slow.",
    b"fast-command": "These commands are quick by nature: look for other processes on this machine, and for swapping.",
    b"fork": "Forking takes longer the more memory the process has; save less often, or only on a replica.",
}


# -- the times of commands


@command(b"LATENCY|HISTOGRAM", -2, _ADMIN, group="server", since="7.0.0")
def latency_histogram(client: Client, argv: Argv) -> Replies:
    """Returns how many calls of commands took up to each power of two of microseconds.

    LATENCY HISTOGRAM [command [command ...]]
    """
    rows = [cmd for cmd in (_named(argv[2:]) if len(argv) > 2 else every_command()) if cmd.histogram is not None]
    out: list[Any] = [_map_head(client, len(rows))]
    for cmd in rows:
        assert cmd.histogram is not None
        out += (cmd.name, {b"calls": cmd.histogram.count, b"histogram_usec": dict(cmd.histogram.cumulative())})
    return Replies(out)


def _named(names: list[bytes]) -> list[Command]:
    """The commands of these names as often as they are named, a container as its subcommands; unknown names are ignored."""
    out: list[Command] = []
    for name in names:
        cmd = lookup(name.split(b"|", 1))
        if cmd is None or (b"|" in name and cmd.container is None):
            continue
        out += {id(sub): sub for sub in cmd.subcommands.values()}.values() if cmd.subcommands else [cmd]
    return out


def _map_head(client: Client, count: int) -> Wire:
    """The beginning of a map in which a key may come twice, as no dict could have it."""
    return Wire(b"%%%d\r\n" % count if client.resp == 3 else b"*%d\r\n" % (2 * count))


@command(b"LATENCY|HELP", 2, "loading stale", group="server", since="2.8.13")
def latency_help(client: Client, argv: Argv) -> Any:
    """Lists the subcommands.

    LATENCY HELP
    """
    return help_of(b"LATENCY")
