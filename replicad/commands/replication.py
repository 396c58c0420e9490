"""Commands about replication: roles, the beginning of a synchronisation, acknowledgements.

Owns: how these commands read their arguments.  The work is done by ``client.server.replication``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from replicad.command import Argv, command
from replicad.commands.arguments import integer
from replicad.errors import NOT_INTEGER, SYNTAX, TIMEOUT_NEGATIVE, err
from replicad.resp import OK, Simple

if TYPE_CHECKING:
    from replicad.session import Client

_TIMEOUT_NOT_INTEGER = err("timeout is not an integer or out of range")
_WAIT_ON_REPLICA = err(
    "WAIT cannot be used with replica instances. Please also note that since Redis 4.0 if a replica is configured to be "
    "writable (which is not the default) writes to replicas are just local and are not propagated."
)
_WAITAOF_ON_REPLICA = err(
    "WAITAOF cannot be used with replica instances. Please also note that writes to replicas are just local and are not "
    "propagated."
)
_NOT_A_HOST = err("Invalid master host: a replica connects over TCP, not to a Unix socket")


def _replicaof(client: Client, argv: Argv) -> Any:
    replication = client.server.replication
    if replication.failover.running:
        raise err("REPLICAOF not allowed while failing over.")
    who = client.server.describe(client)
    if argv[1].lower() == b"no" and argv[2].lower() == b"one":
        replication.promote(who)
        return OK
    if client.replica is not None:
        raise err("Command is not valid when client is a replica.")
    try:
        port = integer(argv[2], NOT_INTEGER)
    except type(NOT_INTEGER):
        raise err("Invalid master port") from None
    if not 0 <= port <= 65535:
        raise err("Invalid master port")
    if b"/" in argv[1]:  # Redis says OK and tries to resolve the name for ever
        raise _NOT_A_HOST
    if not replication.follow(argv[1].decode("utf-8", "surrogateescape"), port, who):
        return Simple(b"OK Already connected to specified master")
    return OK


@command(b"REPLICAOF", 3, "admin noscript stale no_async_loading", group="server", since="5.0.0")
def replicaof(client: Client, argv: Argv) -> Any:
    """Makes this server a replica of another one, or promotes it to a master.

    REPLICAOF host port | NO ONE
    """
    return _replicaof(client, argv)


@command(b"SLAVEOF", 3, "admin noscript stale no_async_loading", group="server", since="1.0.0")
def slaveof(client: Client, argv: Argv) -> Any:
    """The older name of REPLICAOF.

    SLAVEOF host port | NO ONE
    """
    return _replicaof(client, argv)


@command(b"ROLE", 1, "noscript loading stale fast", group="server", since="2.8.12", categories="admin dangerous")
def role(client: Client, argv: Argv) -> Any:
    """Tells whether the server is a master or a replica, and how far its replication is.

    ROLE
    """
    client.write_offset = client.server.stream_offset()
    return client.server.replication.role()


@command(b"FAILOVER", -1, "admin noscript stale", group="server", since="6.2.0")
def failover(client: Client, argv: Argv) -> Any:
    """Hands the role of the master to a replica, in the background, without losing a write.

    FAILOVER [TO host port [FORCE]] [ABORT] [TIMEOUT milliseconds]
    """
    target: tuple[str, int] | None = None
    timeout_ms: int | None = None
    force = False
    handover = client.server.replication.failover
    if len(argv) == 2 and argv[1].lower() == b"abort":
        handover.cancel()
        return OK
    i = 1
    while i < len(argv):
        option, left = argv[i].lower(), len(argv) - i - 1
        if option == b"timeout" and left >= 1 and timeout_ms is None:
            timeout_ms = integer(argv[i + 1], NOT_INTEGER)
            if timeout_ms <= 0:
                raise err("FAILOVER timeout must be greater than 0")
            i += 2
        elif option == b"to" and left >= 2 and target is None:
            target = argv[i + 1].decode("utf-8", "surrogateescape"), integer(argv[i + 2], NOT_INTEGER)
            i += 3
        elif option == b"force" and not force:
            force = True
            i += 1
        else:
            raise SYNTAX
    handover.begin(target, force, timeout_ms)
    return OK


@command(b"WAIT", 3, "noscript", group="generic", since="3.0.0", categories="connection")
def wait(client: Client, argv: Argv) -> Any:
    """Blocks until enough replicas have acknowledged this client's writes, and tells how many have.

    WAIT numreplicas timeout
    """
    replication = client.server.replication
    if replication.upstream is not None:
        raise _WAIT_ON_REPLICA
    wanted = integer(argv[1], NOT_INTEGER)
    timeout_ms = integer(argv[2], _TIMEOUT_NOT_INTEGER)
    if timeout_ms < 0:
        raise TIMEOUT_NEGATIVE
    return replication.wait(client, wanted, timeout_ms)


@command(b"WAITAOF", 4, "noscript", group="generic", since="7.2.0", categories="connection")
def waitaof(client: Client, argv: Argv) -> Any:
    """Blocks until this client's writes are safe on disks, here and at replicas, and tells on how many.

    WAITAOF numlocal numreplicas timeout
    """
    server = client.server
    here = integer(argv[1], NOT_INTEGER)
    if not 0 <= here <= 1:
        raise err("value is out of range, value must between 0 and 1")
    wanted = integer(argv[2], NOT_INTEGER)
    if wanted < 0:
        raise err("value is out of range, must be positive")
    timeout_ms = integer(argv[3], _TIMEOUT_NOT_INTEGER)
    if timeout_ms < 0:
        raise TIMEOUT_NEGATIVE
    if server.replication.upstream is not None:
        raise _WAITAOF_ON_REPLICA
    if here and not server.settings["save"]:
        raise err("WAITAOF cannot be used when numlocal is set but appendonly is disabled.")
    return server.replication.wait_stored(client, here, wanted, timeout_ms)


@command(b"REPLCONF", -1, "admin noscript loading stale allow_busy", group="server", since="3.0.0")
def replconf(client: Client, argv: Argv) -> Any:
    """Says something about the replica on this connection; used between servers.

    REPLCONF [option value ...]
    """
    return client.server.replication.replconf(client, argv)


@command(b"SYNC", 1, "admin noscript no_async_loading no_multi", group="server", since="1.0.0")
def sync(client: Client, argv: Argv) -> Any:
    """Begins a full synchronisation on this connection; used between servers.

    SYNC
    """
    return client.server.replication.sync(client, argv)


@command(b"PSYNC", -3, "admin noscript no_async_loading no_multi", group="server", since="2.8.0")
def psync(client: Client, argv: Argv) -> Any:
    """Begins a partial synchronisation on this connection, or a full one; used between servers.

    PSYNC replid offset
    """
    if len(argv) > 4:
        raise SYNTAX
    return client.server.replication.sync(client, argv)
