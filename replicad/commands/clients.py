"""What one client can learn of the others, and do to them: the CLIENT family.

Owns: CLIENT and its subcommands but those of client-side caching (``tracking``).  The lines themselves come
from ``info.client_line``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from replicad.command import Argv, command
from replicad.commands.arguments import INT64_MAX, integer
from replicad.commands.connection import check_name
from replicad.commands.help import help_of
from replicad.errors import NOT_INTEGER, SYNTAX, ReplyError, c_string, clean, err, unknown_subcommand
from replicad.resp import NO_REPLY, OK, Verbatim
from replicad.session import Client

if TYPE_CHECKING:
    from replicad.server import Server

_BAD_ID = err("client-id should be greater than 0")
_UNBLOCKED = ReplyError(b"UNBLOCKED client unblocked via CLIENT UNBLOCK")
_LIB_NAME = err("lib-name cannot contain spaces, newlines or special characters.")
_LIB_VER = err("lib-ver cannot contain spaces, newlines or special characters.")

_KINDS = {b"NORMAL": "normal", b"MASTER": "master", b"REPLICA": "replica", b"SLAVE": "replica", b"PUBSUB": "pubsub"}


def kind_of(client: Client) -> str:
    """``normal``, ``master``, ``replica`` or ``pubsub``, the classes of CLIENT LIST TYPE."""
    if client.is_master:
        return "master"
    if client.replica is not None:
        return "replica"
    return "pubsub" if client.subscriptions else "normal"


def _everybody(server: Server) -> dict[int, Client]:
    """All connections by number, the link to the master too while it streams."""
    upstream = server.replication.upstream
    if upstream is None or not upstream.up:
        return server.clients
    return server.clients | {upstream.client.id: upstream.client}


def _kind(word: bytes) -> str:
    kind = _KINDS.get(word.upper())
    if kind is None:
        raise err(clean(b"Unknown client type '%b'" % c_string(word)))
    return kind


def _wrong_use(subcommand: bytes) -> ReplyError:
    return err(clean(b"unknown subcommand or wrong number of arguments for '%b'. Try CLIENT HELP." % subcommand))


@command(b"CLIENT", -2, group="connection", since="2.4.0")
def client_(client: Client, argv: Argv) -> Any:
    """Commands about client connections."""
    raise unknown_subcommand(b"CLIENT", argv[1])


_PLAIN = "noscript loading stale"
_ADMIN = "admin noscript loading stale"


@command(b"CLIENT|ID", 2, _PLAIN, group="connection", since="5.0.0")
def client_id(client: Client, argv: Argv) -> int:
    """Returns the number of this connection; numbers rise and are never used again.

    CLIENT ID
    """
    return client.id


@command(b"CLIENT|INFO", 2, _PLAIN, group="connection", since="6.2.0")
def client_info(client: Client, argv: Argv) -> Verbatim:
    """Returns the line of CLIENT LIST about this connection.

    CLIENT INFO
    """
    return Verbatim(_line(client, client) + b"\n")


def _line(client: Client, asking: Client) -> bytes:
    return client.server.describe(client, client is asking).encode("utf-8", "surrogateescape")


@command(b"CLIENT|LIST", -2, _ADMIN, group="connection", since="2.4.0")
def client_list(client: Client, argv: Argv) -> Verbatim:
    """Returns one line about each connection.

    CLIENT LIST [TYPE NORMAL | MASTER | REPLICA | PUBSUB] [ID client-id [client-id ...]]
    """
    clients = _everybody(client.server)
    listed = list(clients.values())
    if len(argv) == 4 and argv[2].upper() == b"TYPE":
        kind = _kind(argv[3])
        listed = [one for one in listed if kind_of(one) == kind]
    elif len(argv) > 3 and argv[2].upper() == b"ID":
        ids = [integer(text, err("Invalid client ID")) for text in argv[3:]]
        listed = [clients[number] for number in ids if number in clients]
    elif len(argv) != 2:
        raise SYNTAX
    return Verbatim(b"".join(_line(one, client) + b"\n" for one in listed))


@command(b"CLIENT|KILL", -3, _ADMIN, group="connection", since="2.4.0")
def client_kill(client: Client, argv: Argv) -> Any:
    """Closes connections: the one from an address, or all that meet every given condition.

    CLIENT KILL ip:port | [ID client-id] [TYPE NORMAL | MASTER | REPLICA | PUBSUB] [USER username] [ADDR ip:port]
    [LADDR ip:port] [SKIPME yes/no]
    """
    everybody = list(_everybody(client.server).values())
    if len(argv) == 3:
        address = argv[2].decode("utf-8", "surrogateescape")
        for one in everybody:
            if one.addr == address:
                kill(client, one)
                return OK
        raise err("No such client")
    skip_me = True
    tests: list[Callable[[Client], bool]] = []
    for i in range(2, len(argv), 2):
        if i + 1 >= len(argv):
            raise SYNTAX
        option, value = argv[i].upper(), argv[i + 1]
        if option == b"ID":
            number = integer(value, _BAD_ID)
            if number < 1:
                raise _BAD_ID
            tests.append(lambda one, number=number: one.id == number)  # type: ignore[misc]
        elif option == b"TYPE":
            kind = _kind(value)
            tests.append(lambda one, kind=kind: kind_of(one) == kind)  # type: ignore[misc]
        elif option in (b"ADDR", b"LADDR"):
            name, text = option.lower().decode(), value.decode("utf-8", "surrogateescape")
            tests.append(lambda one, name=name, text=text: getattr(one, name) == text)  # type: ignore[misc]
        elif option == b"USER":
            if value not in client.server.acl.users:
                raise err(clean(b"No such user '%b'" % c_string(value)))
            tests.append(lambda one, user=value: one.user == user)  # type: ignore[misc]
        elif option == b"SKIPME":
            if value.lower() not in (b"yes", b"no"):
                raise SYNTAX
            skip_me = value.lower() == b"yes"
        else:
            raise SYNTAX
    killed = 0
    for one in everybody:
        if (one is client and skip_me) or not all(test(one) for test in tests):
            continue
        kill(client, one)
        killed += 1
    return killed


def kill(killer: Client, victim: Client) -> None:
    """Close ``victim``; who kills itself gets the reply first, and unsent replies of others are not waited for."""
    if victim is killer:
        victim.close_after_reply()
        return
    victim.server.clients.pop(victim.id, None)
    if victim.connection.queued:
        victim.connection.abort()
    else:
        victim.connection.close()


@command(b"CLIENT|SETNAME", 3, _PLAIN, group="connection", since="2.6.9")
def client_setname(client: Client, argv: Argv) -> Any:
    """Gives the connection a name; an empty one takes it away.

    CLIENT SETNAME connection-name
    """
    check_name(argv[2])
    client.name = argv[2]
    return OK


@command(b"CLIENT|GETNAME", 2, _PLAIN, group="connection", since="2.6.9")
def client_getname(client: Client, argv: Argv) -> bytes | None:
    """Returns the name of the connection.

    CLIENT GETNAME
    """
    return client.name or None


@command(b"CLIENT|SETINFO", 4, _PLAIN, group="connection", since="7.2.0")
def client_setinfo(client: Client, argv: Argv) -> Any:
    """Tells which client library uses the connection.

    CLIENT SETINFO LIB-NAME libname | LIB-VER libver
    """
    option, value = argv[2].lower(), argv[3]
    valid = all(33 <= c <= 126 for c in value)
    if option == b"lib-name":
        if not valid:
            raise _LIB_NAME
        client.lib_name = value
    elif option == b"lib-ver":
        if not valid:
            raise _LIB_VER
        client.lib_ver = value
    else:
        raise err(clean(b"Unrecognized option '%b'" % argv[2]))
    return OK


@command(b"CLIENT|REPLY", 3, _PLAIN, group="connection", since="3.2.0")
def client_reply(client: Client, argv: Argv) -> Any:
    """Switches replies off and on, or leaves the next one out.

    CLIENT REPLY ON | OFF | SKIP
    """
    mode = argv[2].lower()
    if mode == b"on":
        client.reply_mode = "on"
        client.update_gate()
        return OK
    if mode == b"off":
        client.reply_mode = "off"
    elif mode == b"skip":
        if client.reply_mode != "off":
            client.reply_mode = "skip"
    else:
        raise SYNTAX
    client.update_gate()
    return NO_REPLY


@command(b"CLIENT|PAUSE", -3, _ADMIN, group="connection", since="2.9.50")
def client_pause(client: Client, argv: Argv) -> Any:
    """Holds the commands of all clients back for a time, or only those that may change data.

    CLIENT PAUSE timeout [WRITE | ALL]
    """
    everything = True
    if len(argv) > 4:
        raise _wrong_use(argv[1])
    if len(argv) == 4:
        mode = argv[3].lower()
        if mode not in (b"write", b"all"):
            raise err("CLIENT PAUSE mode must be WRITE or ALL")
        everything = mode == b"all"
    timeout_ms = integer(argv[2], err("timeout is not an integer or out of range"))
    if timeout_ms < 0:
        raise err("timeout is negative")
    now_ms = client.server.clock.now_ms
    if timeout_ms <= INT64_MAX - now_ms:  # beyond, Redis's sum overflows and lies in the past
        client.server.pause(now_ms + timeout_ms, everything)
    return OK


@command(b"CLIENT|UNPAUSE", 2, _ADMIN, group="connection", since="6.2.0")
def client_unpause(client: Client, argv: Argv) -> Any:
    """Ends CLIENT PAUSE.

    CLIENT UNPAUSE
    """
    client.server.unpause()
    return OK


@command(b"CLIENT|UNBLOCK", -3, _ADMIN, group="connection", since="5.0.0")
def client_unblock(client: Client, argv: Argv) -> int:
    """Ends the waiting of a client in a blocking command, as its timeout would or with an error.

    CLIENT UNBLOCK client-id [TIMEOUT | ERROR]
    """
    if len(argv) > 4:
        raise _wrong_use(argv[1])
    with_error = False
    if len(argv) == 4:
        reason = argv[3].lower()
        if reason not in (b"timeout", b"error"):
            raise err("CLIENT UNBLOCK reason should be TIMEOUT or ERROR")
        with_error = reason == b"error"
    target = client.server.clients.get(integer(argv[2], NOT_INTEGER))
    if target is None or target.blocked is None:
        return 0
    value = target.blocked.on_timeout
    target.unblock(_UNBLOCKED if with_error else value() if callable(value) else value)
    return 1


def _on_or_off(word: bytes) -> bool:
    if word.lower() not in (b"on", b"off"):
        raise SYNTAX
    return word.lower() == b"on"


@command(b"CLIENT|NO-EVICT", 3, _ADMIN, group="connection", since="7.0.0")
def client_no_evict(client: Client, argv: Argv) -> Any:
    """Marks the connection as one that must not be closed to free memory.

    CLIENT NO-EVICT ON | OFF
    """
    client.no_evict = _on_or_off(argv[2])
    return OK


@command(b"CLIENT|NO-TOUCH", 3, _PLAIN, group="connection", since="7.2.0")
def client_no_touch(client: Client, argv: Argv) -> Any:
    """Asks that the commands of the connection do not count as use of their keys.

    CLIENT NO-TOUCH ON | OFF
    """
    client.no_touch = _on_or_off(argv[2])
    client.update_gate()
    return OK


@command(b"CLIENT|CAPA", -3, _PLAIN, group="connection", since="8.0.0")
def client_capa(client: Client, argv: Argv) -> Any:
    """Takes note of what the client is capable of: nothing here depends on it (Valkey redirects such clients).

    CLIENT CAPA capability [capability ...]
    """
    return OK


@command(b"CLIENT|HELP", 2, "loading stale", group="connection", since="5.0.0")
def client_help(client: Client, argv: Argv) -> Any:
    """Lists the subcommands.

    CLIENT HELP
    """
    return help_of(b"CLIENT")
