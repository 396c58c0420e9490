"""One connection: who speaks, in which protocol version, in which database, and its end.

Owns: PING, ECHO, AUTH, HELLO, SELECT, QUIT, RESET.  Does not own what one client can see of others (``clients``).
"""

from __future__ import annotations

from typing import Any

from replicad import REDIS_VERSION
from replicad.acl import AUTHENTICATION, REASONS
from replicad.command import Argv, command
from replicad.commands.arguments import integer
from replicad.errors import DB_OUT_OF_RANGE, SYNTAX, WRONG_PASS, ReplyError, c_string, err, wrong_arity
from replicad.resp import OK, PONG, Wire
from replicad.session import Client

_NO_PASSWORD = err(
    "AUTH <password> called without any password configured for the default user. Are you sure your configuration is "
    "correct?"
)
_HELLO_NO_AUTH = ReplyError(
    b"NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO AUTH <user> <pass> "
    b"option can be used to authenticate the client and select the RESP protocol version at the same time"
)
_NO_PROTO = ReplyError(b"NOPROTO unsupported protocol version")
_NOT_A_VERSION = err("Protocol version is not an integer or out of range")
BAD_NAME = err("Client names cannot contain spaces, newlines or special characters.")
_RESET = Wire(b"+RESET\r\n")
_REDACTED = b"(redacted)"


@command(b"PING", -1, "fast", group="connection")
def ping(client: Client, argv: Argv) -> Any:
    """Tells that the connection works.

    PING [message]
    """
    if len(argv) == 1:
        return [b"pong", b""] if client.resp == 2 and client.subscriptions else PONG
    if len(argv) > 2:
        raise wrong_arity(b"ping")
    return [b"pong", argv[1]] if client.resp == 2 and client.subscriptions else argv[1]


@command(b"ECHO", 2, "loading stale fast", group="connection")
def echo(client: Client, argv: Argv) -> bytes:
    """Returns its argument.

    ECHO message
    """
    return argv[1]


def authenticate(client: Client, user: bytes, password: bytes, command_name: bytes) -> None:
    """Make ``client`` the ``user`` if the password is right.  ``command_name`` is for ACL LOG.  Raises WRONG_PASS."""
    accounts = client.server.acl
    if not accounts.log_in(client, user, password):
        context = b"multi" if client.in_exec else b"toplevel"
        accounts.log.add(client, REASONS[AUTHENTICATION], context, command_name, user)
        raise WRONG_PASS


@command(b"AUTH", -2, "noscript loading stale fast no_auth allow_busy", group="connection")
def auth(client: Client, argv: Argv) -> Any:
    """Authenticates the connection.

    AUTH [username] password
    """
    if len(argv) > 3:
        raise SYNTAX
    given = argv[1:]
    argv[1:] = [_REDACTED] * len(given)  # what the slow log shows
    if len(given) == 1:
        if client.server.acl.default.no_password:
            raise _NO_PASSWORD
        given.insert(0, b"default")
    authenticate(client, given[0], given[1], argv[0])
    return OK


def check_name(name: bytes) -> None:
    """Raise the error for a client name that would break the lines of CLIENT LIST."""
    if any(not 33 <= c <= 126 for c in name):
        raise BAD_NAME


@command(b"HELLO", -1, "noscript loading stale fast no_auth allow_busy", group="connection", since="6.0.0")
def hello(client: Client, argv: Argv) -> Any:
    """Chooses the protocol version and tells what the server is; may authenticate and name the connection too.

    HELLO [protover [AUTH username password] [SETNAME clientname]]
    """
    resp = client.resp
    credentials = name = None
    if len(argv) > 1:
        resp = integer(argv[1], _NOT_A_VERSION)
        if resp not in (2, 3):
            raise _NO_PROTO
        i = 2
        while i < len(argv):
            option, left = argv[i].upper(), len(argv) - i - 1
            if option == b"AUTH" and left >= 2:
                credentials = argv[i + 1], argv[i + 2]
                argv[i + 1] = argv[i + 2] = _REDACTED
                i += 3
            elif option == b"SETNAME" and left >= 1:
                name = argv[i + 1]
                check_name(name)
                i += 2
            else:
                raise err(b"Syntax error in HELLO option '%b'" % c_string(argv[i]))
    if credentials is not None:
        authenticate(client, *credentials, argv[0])
    if client.must_log_in:
        raise _HELLO_NO_AUTH
    if name is not None:
        client.name = name
    client.resp = resp
    client.update_gate()
    server = client.server
    return {
        b"server": b"redis",
        b"version": REDIS_VERSION.encode(),
        b"proto": resp,
        b"id": client.id,
        b"mode": b"standalone",
        b"role": b"master" if server.replication.upstream is None else b"replica",
        b"modules": [],
    }


@command(b"SELECT", 2, "loading stale fast", group="connection")
def select(client: Client, argv: Argv) -> Any:
    """Changes the database of the connection.

    SELECT index
    """
    index = integer(argv[1])
    databases = client.server.databases
    if not 0 <= index < len(databases):
        if not -(1 << 31) <= index < 1 << 31:
            raise err("value is out of range, value must between -2147483648 and 2147483647")
        raise DB_OUT_OF_RANGE
    client.db = databases[index]
    return OK


@command(b"QUIT", -1, "noscript loading stale fast no_auth allow_busy", group="connection")
def quit_(client: Client, argv: Argv) -> Any:
    """Closes the connection.

    QUIT
    """
    client.close_after_reply()
    return OK


@command(b"RESET", 1, "noscript loading stale fast no_auth allow_busy", group="connection", since="6.2.0")
def reset(client: Client, argv: Argv) -> Any:
    """Puts the connection back into the state of a new one.

    RESET
    """
    server = client.server
    if client.replica is not None or client.is_master:
        raise err("can only reset normal client connections")
    server.monitors.discard(client)
    server.tracking.disable(client)
    forget_subscriptions(client)
    client.multi = None
    client.multi_error = False
    server.unwatch(client)
    client.db = server.databases[0]
    client.resp = 2
    client.name = b""
    client.reply_mode = "on"
    client.no_touch = False  # NO-EVICT stays on in Redis 7.0
    server.acl.welcome(client)
    return _RESET


def forget_subscriptions(client: Client) -> None:
    """End all subscriptions without telling the client."""
    pubsub = client.server.pubsub
    for registry, names in (
        (pubsub.channels, client.channels),
        (pubsub.patterns, client.patterns),
        (pubsub.shards, client.shard_channels),
    ):
        for name in list(names or ()):
            pubsub.discard(registry, name, client)
    client.channels = client.patterns = client.shard_channels = None


__all__ = ["authenticate", "check_name", "forget_subscriptions"]
