"""MIGRATE: keys move to another server.

Owns: the command and its arguments.  Does not own the conversation with the other server, nor what happens to keys that
change meanwhile (``replicad.migration``, which the command reaches as ``client.server.migrations``).

Redis stops while it migrates.  Here only the client waits; so MIGRATE is refused where nothing may wait: in a transaction
and in a script.
"""

from __future__ import annotations

from typing import NamedTuple

from replicad.command import Argv, command
from replicad.commands.arguments import integer
from replicad.errors import SYNTAX, err
from replicad.resp import Simple
from replicad.session import Client

#: The reply when none of the keys is there.
NOKEY = Simple(b"NOKEY")

_NOT_HERE = err("MIGRATE is not allowed inside a transaction or a script: this server does not stop for it")
_EMPTY_KEY = err("When using MIGRATE KEYS option, the key argument must be set to the empty string")
_DEFAULT_TIMEOUT_MS = 1000
_REDACTED = b"(redacted)"  #: for MONITOR and the slow log


class Order(NamedTuple):
    """What a MIGRATE asks for.  ``auth`` holds the arguments of AUTH, ``keys`` those that exist."""

    host: str
    port: int
    db: int
    timeout_ms: int
    copy: bool
    replace: bool
    auth: tuple[bytes, ...]
    keys: list[bytes]


def _key_positions(argv: Argv) -> list[int]:
    i = 6
    while i < len(argv):
        word = argv[i].upper()
        if word == b"KEYS":
            if argv[3]:  # one or the other: the command will say so
                return []
            return list(range(i + 1, len(argv)))
        i += {b"AUTH": 2, b"AUTH2": 3}.get(word, 1)
    return [3] if len(argv) > 3 else []


@command(b"MIGRATE", -6, "write movablekeys", (3, 3, 1), find_keys=_key_positions, group="generic", since="2.6.0",
         categories="keyspace dangerous")  # fmt: skip
def migrate(client: Client, argv: Argv) -> object:
    """Moves keys to another server; the client waits, everybody else is served.

    MIGRATE host port (key | "") destination-db timeout [COPY] [REPLACE] [AUTH password |
    AUTH2 username password] [KEYS key [key ...]]
    """
    order = _order(argv)
    present = [key for key in dict.fromkeys(order.keys) if client.db.get(key) is not None]
    if not present:
        return NOKEY
    if client.in_exec or client.is_master:
        raise _NOT_HERE
    return client.server.migrations.begin(client, order._replace(keys=present))


def _order(argv: Argv) -> Order:
    """The arguments, whose secrets are blotted out on the way."""
    copy = replace = False
    auth: tuple[bytes, ...] = ()
    keys = [argv[3]]
    i = 6
    while i < len(argv):
        word, left = argv[i].upper(), len(argv) - i - 1
        if word == b"COPY":
            copy = True
        elif word == b"REPLACE":
            replace = True
        elif word == b"AUTH" and left:
            auth = (argv[i + 1],)
            argv[i + 1] = _REDACTED
            i += 1
        elif word == b"AUTH2" and left > 1:
            auth = tuple(argv[i + 1 : i + 3])
            argv[i + 1 : i + 3] = [_REDACTED, _REDACTED]
            i += 2
        elif word == b"KEYS":
            if argv[3]:
                raise _EMPTY_KEY
            keys = argv[i + 1 :]
            break
        else:
            raise SYNTAX
        i += 1
    timeout_ms, db = integer(argv[5]), integer(argv[4])
    port = int(argv[2]) if argv[2].isdigit() and len(argv[2]) < 6 else 0
    if timeout_ms <= 0:
        timeout_ms = _DEFAULT_TIMEOUT_MS
    return Order(argv[1].decode("latin-1"), port, db, timeout_ms, copy, replace, auth, keys)
