"""What a replica asks before the snapshot, and the words in which the link tells its driver what happens.

Owns: the events, the configuration of a link, the steps of the handshake with what each accepts. Does not own their
order in time (``link``). Everything here is data: a step is a question and a judgement of the answer.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from replicad.replication.stream import DEFAULT_LIMIT, Unit

_SHOWN = 256
_UNPRINTABLE = re.compile(r"[^ -~]")


@dataclass(slots=True)
class Send:
    """Write ``data`` to the master."""

    data: bytes


@dataclass(slots=True)
class Log:
    """Log ``text``; ``level`` is "debug", "verbose", "notice" or "warning"."""

    level: str
    text: str


@dataclass(slots=True)
class FullResync:
    """A snapshot follows, taken at ``offset`` of history ``replid``. A master that only knows SYNC names neither
    (None, -1); one that answered nonsense names no replid.
    """

    replid: str | None
    offset: int


@dataclass(slots=True)
class TransferStarted:
    """The snapshot begins: ``size`` bytes, or None when only a mark will tell its end."""

    size: int | None


@dataclass(slots=True)
class SnapshotBytes:
    """The next bytes of the snapshot."""

    data: bytes


@dataclass(slots=True)
class SnapshotEnd:
    """The snapshot is complete. Load it, then call ``Link.loaded``."""


@dataclass(slots=True)
class Continue:
    """The stream goes on where we asked. ``replid`` is the new identifier if the master has another one now."""

    replid: str | None


@dataclass(slots=True)
class Stream:
    """Complete commands, as units to be applied one after the other (see ``stream``)."""

    units: list[Unit]


@dataclass(slots=True)
class Failed:
    """Close the connection. ``discard_cached_master``: what we know is not good for continuing.
    ``rejected``: the master refused PSYNC for now (a FAILOVER target that does this ends the failover).
    """

    reason: str
    discard_cached_master: bool = False
    rejected: bool = False


Event = Send | Log | FullResync | TransferStarted | SnapshotBytes | SnapshotEnd | Continue | Stream | Failed


@dataclass(frozen=True, slots=True)
class LinkConfig:
    """What a link needs to know. ``port`` is what we announce; ``timeout`` is repl-timeout in seconds;
    ``to_disk`` only chooses the words of a log line. ``stream_limit``: most bytes of an incomplete command or
    transaction; ``pending_limit``: most bytes of stream kept while loading.
    """

    port: int
    username: bytes | None = None
    password: bytes | None = None
    announce_ip: bytes | None = None
    timeout: float = 60.0
    to_disk: bool = True
    failover: bool = False
    stream_limit: int = DEFAULT_LIMIT
    pending_limit: int = DEFAULT_LIMIT


def encode(*words: bytes) -> bytes:
    """Return the words as one RESP command."""
    return b"*%d\r\n" % len(words) + b"".join([b"$%d\r\n%b\r\n" % (len(word), word) for word in words])


def show(line: bytes) -> str:
    """Return bytes from the network in a form that is safe in a log line."""
    text = line[:_SHOWN].decode("utf-8", "backslashreplace")
    return _UNPRINTABLE.sub(lambda match: match.group().encode("unicode_escape").decode(), text)


class Step(NamedTuple):
    """One question of the handshake. ``request`` returns None when it does not apply; ``accept`` gets the reply
    and returns the events for it, a Failed among them when it is not good enough. ``waits``: nothing more is
    sent before the reply is there.
    """

    name: str
    request: Callable[[LinkConfig], bytes | None]
    accept: Callable[[bytes], list[Event]]
    waits: bool = False


def _accept_ping(reply: bytes) -> list[Event]:
    if reply.startswith((b"+", b"-NOAUTH", b"-NOPERM", b"-ERR operation not permitted")):
        return [Log("notice", "Master replied to PING, replication can continue...")]
    text = f"Error reply to PING from master: '{show(reply)}'"
    return [Log("warning", text), Failed(text)]


def _auth(config: LinkConfig) -> bytes | None:
    if config.password is None:
        return None
    return encode(b"AUTH", config.username, config.password) if config.username else encode(b"AUTH", config.password)


def _accept_auth(reply: bytes) -> list[Event]:
    if not reply.startswith(b"-"):
        return []
    text = f"Unable to AUTH to MASTER: {show(reply)}"
    return [Log("warning", text), Failed(text)]


def _tolerant(option: str) -> Callable[[bytes], list[Event]]:
    def accept(reply: bytes) -> list[Event]:
        if not reply.startswith(b"-"):
            return []
        text = f"(Non critical) Master does not understand REPLCONF {option}: {show(reply)}"
        return [Log("notice", text)]

    return accept


HANDSHAKE_STEPS: tuple[Step, ...] = (
    Step("PING", lambda config: encode(b"PING"), _accept_ping, waits=True),
    Step("AUTH", _auth, _accept_auth),
    Step(
        "listening-port",
        lambda config: encode(b"REPLCONF", b"listening-port", b"%d" % config.port),
        _tolerant("listening-port"),
    ),
    Step(
        "ip-address",
        lambda config: encode(b"REPLCONF", b"ip-address", config.announce_ip) if config.announce_ip else None,
        _tolerant("ip-address"),
    ),
    Step(
        "capa",
        lambda config: encode(b"REPLCONF", b"capa", b"eof", b"capa", b"psync2"),
        _tolerant("capa"),
    ),
)
