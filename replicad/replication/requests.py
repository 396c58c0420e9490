"""What a connection says to become a replica: REPLCONF, SYNC and PSYNC.

Owns: the options that REPLCONF sets, the refusals. Does not own what follows once it is a replica (``downstream``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from replicad.command import Argv
from replicad.errors import NOT_INTEGER, SYNTAX, ReplyError, clean, err
from replicad.replication.downstream import Downstream, ReplicaOptions
from replicad.replication.handshake import show
from replicad.resp import NO_REPLY, OK

if TYPE_CHECKING:
    from replicad.session import Client

_NO_LINK = ReplyError(b"NOMASTERLINK Can't SYNC while not connected with my master")
_FAILING_OVER = ReplyError(b"NOMASTERLINK Can't SYNC while failing over")
_NO_EOF = err("Filtered replica requires EOF capability")
_FAILOVER_MASTER = err("PSYNC FAILOVER can't be sent to a master.")
_FAILOVER_REPLID = err("PSYNC FAILOVER replid must match my replid.")
_NOT_A_FLAG = err("value is out of range, value must between 0 and 1")


def options_of(client: Client) -> ReplicaOptions:
    """Return the options of a connection; the same object each time."""
    found: ReplicaOptions = client.extra.setdefault("replica", ReplicaOptions())
    return found


def replconf(client: Client, argv: Argv) -> Any:
    """The command REPLCONF, from a future replica, a replica or anybody. Raises ReplyError."""
    if len(argv) % 2 == 0:
        raise SYNTAX
    options = options_of(client)
    for name, value in zip(argv[1::2], argv[2::2], strict=True):
        option = name.lower()
        if option == b"listening-port":
            options.port = _integer(value)
        elif option == b"ip-address":
            if len(value) >= 256:
                raise err(b"REPLCONF ip-address provided by replica instance is too long: %d bytes" % len(value))
            options.ip = show(value)
        elif option == b"capa":
            if value.lower() == b"eof":
                options.capa_eof = True
            elif value.lower() == b"psync2":
                options.capa_psync2 = True
        elif option == b"ack":
            if client.replica is not None:
                client.replica.acked(argv)
            return NO_REPLY
        elif option == b"getack":
            return NO_REPLY
        elif option == b"rdb-only":
            number = _integer(value)
            if number not in (0, 1):
                raise _NOT_A_FLAG
            options.rdb_only = bool(number)
        elif option == b"rdb-filter-only":
            words = value.split()
            for word in words:
                if word.lower() != b"functions":
                    raise err(clean(b"Unsupported rdb-filter-only option: %b" % word))
            options.image_filter = frozenset(word.decode().lower() for word in words)
        else:
            raise err(clean(b"Unrecognized REPLCONF option: %b" % name))
    return OK


def sync(client: Client, argv: Argv) -> Any:
    """The commands SYNC and PSYNC: the connection becomes a replica. Raises ReplyError.

    The answer is written in the next turn of the reactor, behind the replies to commands that came in one piece with
    this one.
    """
    server = client.server
    if client.replica is not None or client.is_master:
        return NO_REPLY
    asked: tuple[str, int] | None = None
    if argv[0].upper() == b"PSYNC":
        asked = (show(argv[1]), _integer(argv[2]))
        if len(argv) > 3 and argv[3].upper() == b"FAILOVER":
            _take_over_role(client, asked[0])
    if server.replication.failover.running:
        raise _FAILING_OVER
    if server.replication.upstream is not None and not server.replication.link_up:
        raise _NO_LINK
    options = options_of(client)
    if options.image_filter is not None and not options.capa_eof:
        raise _NO_EOF
    replica = Downstream(server, client, options, asked)
    client.replica = replica
    client.update_gate()
    # Twice: in the words that documents and old tools know, and in those of Redis 7.
    server.log.notice("Slave ask for synchronization")
    server.log.notice(f"Replica {replica.name} asks for synchronization")
    server.call_later(0, replica.begin)
    return NO_REPLY


def _take_over_role(client: Client, replid: str) -> None:
    """PSYNC ... FAILOVER: our master hands its role to us."""
    server = client.server
    if server.replication.upstream is None:
        raise _FAILOVER_MASTER
    if replid.lower() != server.history.replid:
        raise _FAILOVER_REPLID
    server.log.notice(f"Failover request received for replid {replid}.")
    server.replication.promote(server.describe(client), "failover")


def _integer(value: bytes) -> int:
    digits = value[1:] if value[:1] == b"-" else value
    if not digits.isdigit() or len(digits) > 19:
        raise NOT_INTEGER
    return int(value)
