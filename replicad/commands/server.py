"""The server as a whole: INFO, CONFIG, saving, stopping, and the small words that clients ask at their start.

Owns: INFO, CONFIG, TIME, SAVE, BGSAVE, LASTSAVE, BGREWRITEAOF, SHUTDOWN, LOLWUT, and the refusals of CLUSTER.
Does not own the figures of INFO (``info``), the directives (``config``), nor how a snapshot is made
(``persistence.saver``).
"""

from __future__ import annotations

import time
from typing import Any

from replicad import REDIS_VERSION, __version__
from replicad.command import Argv, command, every_command
from replicad.commands.arguments import integer
from replicad.commands.help import help_of
from replicad.directive_kinds import ConfigError, text
from replicad.directives import find
from replicad.errors import SYNTAX, ReplyError, clean, err, unknown_subcommand
from replicad.info import info_text
from replicad.resp import NO_REPLY, OK, Simple, Verbatim
from replicad.session import Client

_ADMIN = "admin noscript loading stale"
_SAVING = err("Background save already in progress")
_NO_AOF = err("this server keeps no append only file; BGSAVE stores the dataset")
_NO_CLUSTER = err("This instance has cluster support disabled")
_NO_SHUTDOWN = err("No shutdown in progress.")


def is_local(client: Client) -> bool:
    """Whether the client is on this machine: the loopback interface or a Unix socket."""
    return client.addr.startswith(("127.", "[::1]:", "::1:", "/")) or client.addr in ("", ":0")


@command(b"INFO", -1, "loading stale", group="server", categories="dangerous")
def info(client: Client, argv: Argv) -> Verbatim:
    """Returns figures about the server, by sections.

    INFO [section [section ...]]
    """
    server = client.server
    server.clock.now_ms = int(time.time() * 1000)
    client.write_offset = server.stream_offset()  # as behind any command; a WAIT in the same pipeline looks at it
    shown = info_text(server, [word.decode("latin-1") for word in argv[1:]])
    return Verbatim(shown.encode("utf-8", "surrogateescape"))


# -- CONFIG


@command(b"CONFIG", -2, group="server", since="2.0.0")
def config(client: Client, argv: Argv) -> Any:
    """Commands about the directives of the server."""
    raise unknown_subcommand(b"CONFIG", argv[1])


@command(b"CONFIG|GET", -3, _ADMIN, group="server", since="2.0.0")
def config_get(client: Client, argv: Argv) -> Any:
    """Returns the directives that match a pattern, with their values.

    CONFIG GET parameter [parameter ...]
    """
    return dict(client.server.settings.get_matching(argv[2:]))


@command(b"CONFIG|SET", -4, _ADMIN, group="server", since="2.0.0")
def config_set(client: Client, argv: Argv) -> Any:
    """Changes directives: all of those given, or none when one is refused.

    CONFIG SET parameter value [parameter value ...]
    """
    if len(argv) % 2:
        raise SYNTAX
    server = client.server
    pairs = list(zip(argv[2::2], argv[3::2], strict=True))
    for i in range(2, len(argv), 2):
        directive = find(text(argv[i]))
        if directive is not None and directive.secret:
            argv[i + 1] = b"(redacted)"  # for the slow log
    try:
        server.settings.set_many(pairs, local=is_local(client))
    except ConfigError as error:
        raise _refused(error) from None
    server.update_gates()
    return OK


def _refused(error: ConfigError) -> ReplyError:
    return err(clean(error.reason.encode("utf-8", "surrogateescape")))


@command(b"CONFIG|REWRITE", 2, _ADMIN, group="server", since="2.8.0")
def config_rewrite(client: Client, argv: Argv) -> Any:
    """Writes the conf file anew so that it means the directives as they are now.

    CONFIG REWRITE
    """
    server = client.server
    try:
        server.settings.rewrite()
    except ConfigError as error:
        if server.settings.path is not None:
            server.log.warning(f"CONFIG REWRITE failed: {error.reason}")
        raise _refused(error) from None
    server.log.notice("CONFIG REWRITE executed with success.")
    return OK


@command(b"CONFIG|RESETSTAT", 2, _ADMIN, group="server", since="2.0.0")
def config_resetstat(client: Client, argv: Argv) -> Any:
    """Sets the counters of INFO back to zero.

    CONFIG RESETSTAT
    """
    server = client.server
    for cmd in every_command():
        cmd.reset_statistics()
    stats, replication = server.stats, server.replication
    stats.hits = stats.misses = stats.expired = stats.expired_fields = 0
    replication.sync_full = replication.sync_partial_ok = replication.sync_partial_err = 0
    server.errors.clear()
    server.connections_received = server.connections_refused = 0
    server.net_input = server.net_output = 0
    server.ops = type(server.ops)()
    server.eviction.reset_statistics()
    server.client_memory.evicted = 0
    server.saver.last_fork_usec = 0
    server.saver.saves = 0
    return OK


@command(b"CONFIG|HELP", 2, "loading stale", group="server", since="5.0.0")
def config_help(client: Client, argv: Argv) -> Any:
    """Lists the subcommands.

    CONFIG HELP
    """
    return help_of(b"CONFIG")


# -- saving and stopping


@command(b"TIME", 1, "loading stale fast", group="server", since="2.6.0")
def time_(client: Client, argv: Argv) -> tuple[bytes, bytes]:
    """Returns the time of the server: Unix seconds, and the microseconds within that second.

    TIME
    """
    seconds, rest = divmod(time.time_ns(), 1_000_000_000)
    return b"%d" % seconds, b"%d" % (rest // 1000)


@command(b"SAVE", 1, "admin noscript no_async_loading no_multi", group="server")
def save(client: Client, argv: Argv) -> Any:
    """Stores a snapshot while everybody waits.

    SAVE
    """
    saver = client.server.saver
    if saver.saving:
        raise _SAVING
    client.write_offset = client.server.stream_offset()
    try:
        saver.save()
    except OSError:
        raise ReplyError(b"ERR") from None
    return OK


@command(b"BGSAVE", -1, "admin noscript no_async_loading", group="server")
def bgsave(client: Client, argv: Argv) -> Any:
    """Stores a snapshot in the background.

    BGSAVE [SCHEDULE]
    """
    if len(argv) > 2 or (len(argv) == 2 and argv[1].lower() != b"schedule"):
        raise SYNTAX
    saver = client.server.saver
    if saver.saving:
        raise _SAVING
    if client.in_exec:  # a fork in the middle of a transaction would store half of it
        saver.schedule()
        return Simple(b"Background saving scheduled")
    client.write_offset = client.server.stream_offset()
    saver.bgsave()
    if not saver.saving and saver.failed:
        raise ReplyError(b"ERR")
    return Simple(b"Background saving started")


@command(b"LASTSAVE", 1, "loading stale fast", group="server", categories="admin dangerous")
def lastsave(client: Client, argv: Argv) -> int:
    """Returns when the dataset was stored last, in Unix seconds.

    LASTSAVE
    """
    return client.server.saver.last_save


@command(b"BGREWRITEAOF", 1, "admin noscript no_async_loading", group="server")
def bgrewriteaof(client: Client, argv: Argv) -> Any:
    """Refused: there is no append only file.

    BGREWRITEAOF
    """
    raise _NO_AOF


@command(b"SHUTDOWN", -1, "admin noscript loading stale no_multi allow_busy", group="server")
def shutdown(client: Client, argv: Argv) -> Any:
    """Stops the server; there is no reply when that works.

    SHUTDOWN [NOSAVE | SAVE] [NOW] [FORCE] [ABORT]
    """
    words = {word.upper() for word in argv[1:]}
    if not words <= {b"SAVE", b"NOSAVE", b"NOW", b"FORCE", b"ABORT"} or {b"SAVE", b"NOSAVE"} <= words:
        raise SYNTAX
    if b"ABORT" in words:
        if len(words) > 1:
            raise SYNTAX
        if not client.server.lifecycle.abort_shutdown():
            raise _NO_SHUTDOWN
        return OK
    watch = client.server.scripting.watch
    if watch.late is not None:
        if b"NOSAVE" not in words:
            raise watch.refusal
        watch.abandon()
    wanted = True if b"SAVE" in words else False if b"NOSAVE" in words else None
    client.server.shutdown(wanted, b"NOW" in words, b"FORCE" in words, client)
    return NO_REPLY


# -- words that clients ask


@command(b"LOLWUT", -1, "readonly fast", group="server", since="5.0.0")
def lolwut(client: Client, argv: Argv) -> Verbatim:
    """Tells the version.

    LOLWUT [VERSION version]
    """
    if len(argv) > 2 and argv[1].upper() == b"VERSION":
        integer(argv[2])
    return Verbatim(f"Redis ver. {REDIS_VERSION} (replicad {__version__})\n".encode())


@command(b"CLUSTER", -2, group="cluster", since="3.0.0")
def cluster(client: Client, argv: Argv) -> Any:
    """Commands of a cluster node, which this server is not."""
    raise unknown_subcommand(b"CLUSTER", argv[1])


#: Subcommand, arity, flags: clients tell a server without cluster support by the error that each answers.
_CLUSTER = (
    *(("INFO", 2, "stale"), ("NODES", 2, "stale"), ("SLOTS", 2, "stale"), ("SHARDS", 2, "stale")),
    *(("MYID", 2, "stale"), ("LINKS", 2, "stale"), ("KEYSLOT", 3, "stale"), ("COUNTKEYSINSLOT", 3, "stale")),
    *(("GETKEYSINSLOT", 4, "stale"), ("HELP", 2, "loading stale"), ("REPLICAS", 3, "admin stale")),
    *(("SLAVES", 3, "admin stale"), ("COUNT-FAILURE-REPORTS", 3, "admin stale"), ("RESET", -2, "admin noscript stale")),
    *(("MEET", -4, "admin stale no_async_loading"), ("FORGET", 3, "admin stale no_async_loading")),
    *(("REPLICATE", 3, "admin stale no_async_loading"), ("FAILOVER", -2, "admin stale no_async_loading")),
    *(("ADDSLOTS", -3, "admin stale no_async_loading"), ("DELSLOTS", -3, "admin stale no_async_loading")),
    *(("ADDSLOTSRANGE", -4, "admin stale no_async_loading"), ("DELSLOTSRANGE", -4, "admin stale no_async_loading")),
    *(("SETSLOT", -4, "admin stale no_async_loading"), ("FLUSHSLOTS", 2, "admin stale no_async_loading")),
    *(("SAVECONFIG", 2, "admin stale no_async_loading"), ("BUMPEPOCH", 2, "admin stale no_async_loading")),
    ("SET-CONFIG-EPOCH", 3, "admin stale no_async_loading"),
)


def no_cluster(client: Client, argv: Argv) -> Any:
    """Refused: this server is not a node of a cluster."""
    raise _NO_CLUSTER


_CLUSTER_7_0 = ("SHARDS", "LINKS", "ADDSLOTSRANGE", "DELSLOTSRANGE")
for _name, _arity, _flags in _CLUSTER:
    _since = "7.0.0" if _name in _CLUSTER_7_0 else "5.0.0" if _name in ("REPLICAS", "HELP") else "3.0.0"
    command(b"CLUSTER|" + _name.encode(), _arity, _flags, group="cluster", since=_since)(no_cluster)
for _name, _since in (("READONLY", "3.0.0"), ("READWRITE", "3.0.0")):
    command(_name.encode(), 1, "loading stale fast", group="cluster", since=_since, categories="connection")(no_cluster)
command(b"ASKING", 1, "fast", group="cluster", since="3.0.0", categories="connection")(no_cluster)
