"""The one table of directives: every word of redis.conf that replicad knows, its type, default and rights.

Owns: ``DIRECTIVES`` (in the order of ``CONFIG GET *``) and ``find``.  Does not own: the types (``directive_kinds``),
files, current values and callbacks (``config``).  Read by ``config``, the documentation and --help.

Names and defaults are those of Redis 7.0, then those of later releases and of Valkey, accepted so that their conf files
load, then replicad's own.  To add a directive: one row here, and the code that reads it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from replicad.directive_kinds import (
    INT_MAX,
    LONG_MAX,
    UINT_MAX,
    ULONG_MAX,
    Address,
    Bool,
    ConfigError,
    Enum,
    EventClasses,
    Int,
    Kind,
    Memory,
    Octal,
    OutputLimits,
    Percentiles,
    Renames,
    Room,
    SavePoints,
    ScoreAdjustments,
    ShutdownFlags,
    Text,
    Words,
)


@dataclass(frozen=True, slots=True)
class Directive:
    """One directive.

    ``aliases`` are further names that CONFIG GET lists too; ``hidden_aliases`` are only understood.
    ``mutable``: CONFIG SET may change it.  ``protected``: only when enable-protected-configs allows it.
    ``hidden``: CONFIG GET answers the exact name only.  ``file_only``: CONFIG GET and SET do not know it.
    ``secret``: the value does not belong in logs.  ``acting``: replicad does what it says, rather than accept the word.
    ``volatile``: the value stands for something else, a file: CONFIG SET of the same value reads that anew.
    ``refuse`` returns why replicad cannot do what a value asks for, or None.
    """

    name: str
    kind: Kind
    default: Any
    aliases: tuple[str, ...] = ()
    hidden_aliases: tuple[str, ...] = ()
    mutable: bool = True
    protected: bool = False
    hidden: bool = False
    file_only: bool = False
    secret: bool = False
    acting: bool = False
    volatile: bool = False
    refuse: Callable[[Any], str | None] | None = None

    def value_of(self, args: Sequence[bytes], old: Any) -> Any:
        """The value that ``args`` give, checked for what replicad can do.  Raises ConfigError."""
        if self.kind.multi:
            if len(args) == 1:  # one quoted argument may hold all of them
                args = args[0].split(b" ") if args[0] else []
        elif len(args) != 1:
            raise ConfigError("wrong number of arguments")
        value = self.kind.parse(args, old)
        reason = self.refuse(value) if self.refuse else None
        if reason:
            raise ConfigError(reason)
        return value


# reasons for refusals

NO_APPEND_ONLY_FILE = (
    "replicad has no append only file; use 'snapshot-backend lmdb' with 'save 1 1' instead: "
    "each save then stores what changed within the last second"
)


def _unless(wanted: Any, reason: str) -> Callable[[Any], str | None]:
    return lambda value: None if value == wanted else reason


_no_cluster = "replicad has no cluster mode"


def _file_name(directive: str, thing: str = "filename") -> Callable[[str], str | None]:
    def check(value: str) -> str | None:
        if "/" in value:
            return f"{directive} can't be a path, just a {thing}"
        if not value and directive != "dbfilename":
            return f"{directive} can't be empty"
        return None

    return check


def _host_name(value: str) -> str | None:
    if len(value) >= 256:
        return "Hostnames must be less than 256 characters"
    if not re.fullmatch(r"[A-Za-z0-9.-]*", value):
        return "Hostnames may only contain alphanumeric characters, hyphens or dots"
    return None


_TITLE_WORDS = r"\{(title|listen-addr|server-mode|port|tls-port|unixsocket|config-file)\}"


def _title_template(value: str) -> str | None:
    if not value.strip() or "{" in re.sub(_TITLE_WORDS, "", value):
        return "template format is invalid or contains unknown variables"
    return None


# the table

_int, _port, _long, _yes_no, _text = Int(), Int(0, 65535), Int(0, LONG_MAX), Bool(), Text()
_size = Memory()
_access = Enum("no yes local")


def _row(name: str, kind: Kind, default: Any, flags: str = "", **more: Any) -> Directive:
    """A row; ``flags`` are the words immutable, protected, hidden, file_only, secret, acting, volatile."""
    words = flags.split()
    more["mutable"] = "immutable" not in words
    for word in words:
        if word != "immutable":
            more[word] = True
    return Directive(name, kind, default, **more)


_NETWORK = [
    _row("bind", Words(16, "Too many bind addresses specified."), ("*", "-::*"), "acting"),
    _row("bind-source-addr", _text, "", "acting"),
    _row("port", _port, 6379, "acting"),
    _row("protected-mode", _yes_no, True, "acting"),
    _row("enable-protected-configs", _access, "no", "acting immutable"),
    _row("enable-debug-command", _access, "no", "acting immutable"),
    _row("enable-module-command", _access, "no", "acting immutable"),
    _row("tcp-backlog", _int, 511, "acting immutable"),
    _row("unixsocket", _text, "", "acting immutable"),
    _row("unixsocketperm", Octal(), 0, "acting immutable"),
    _row("timeout", _int, 0, "acting"),
    _row("tcp-keepalive", _int, 300, "acting"),
    _row("socket-mark-id", Int(0, UINT_MAX), 0, "immutable"),
    _row("maxclients", Int(1, UINT_MAX), 10000, "acting"),
    _row(
        "client-output-buffer-limit",
        OutputLimits(),
        {"normal": (0, 0, 0), "replica": (256 << 20, 64 << 20, 60), "pubsub": (32 << 20, 8 << 20, 60)},
        "acting",
    ),
    _row("client-query-buffer-limit", Memory(1 << 20), 1 << 30, "acting"),
    _row("proto-max-bulk-len", Memory(1 << 20), 512 << 20, "acting"),
    _row("maxmemory-clients", Memory(0, ULONG_MAX, percent=True), 0, "acting"),
]

_TLS = [
    _row("tls-port", _port, 0, "acting"),
    _row("tls-replication", _yes_no, False, "acting"),
    _row("tls-cluster", _yes_no, False),
    *(
        _row(f"tls-{name}", _text, "", "acting volatile secret" if name.endswith("pass") else "acting volatile")
        for name in (
            *("cert-file", "key-file", "key-file-pass", "client-cert-file", "client-key-file", "client-key-file-pass"),
            *("dh-params-file", "ca-cert-file", "ca-cert-dir", "protocols", "ciphers", "ciphersuites"),
        )
    ),
    _row("tls-auth-clients", Enum("no yes optional"), "yes", "acting"),
    _row("tls-prefer-server-ciphers", _yes_no, False, "acting"),
    _row("tls-session-caching", _yes_no, True, "acting"),
    _row("tls-session-cache-size", _int, 20480),
    _row("tls-session-cache-timeout", _int, 300, "acting"),
]

_GENERAL = [
    _row("daemonize", _yes_no, False, "immutable"),
    _row("supervised", Enum("upstart systemd auto no"), "no", "immutable"),
    _row("pidfile", _text, "", "immutable"),
    _row("loglevel", Enum("debug verbose notice warning"), "notice", "acting"),
    _row("logfile", _text, "", "acting immutable"),
    _row("syslog-enabled", _yes_no, False, "immutable"),
    _row("syslog-ident", _text, "redis", "immutable"),
    _row(
        "syslog-facility",
        Enum("user local0 local1 local2 local3 local4 local5 local6 local7"),
        "local0",
        "immutable",
    ),
    _row("crash-log-enabled", _yes_no, True),
    _row("crash-memcheck-enabled", _yes_no, True),
    _row("databases", Int(1), 16, "acting immutable"),
    _row("always-show-logo", _yes_no, False, "immutable"),
    _row("set-proc-title", _yes_no, True, "immutable"),
    _row("proc-title-template", Text(_title_template), "{title} {listen-addr} {server-mode}"),
    _row("ignore-warnings", _text, ""),
    _row("dir", _text, ".", "acting protected"),
    _row("hz", Int(clamp=(1, 500)), 10),
    _row("dynamic-hz", _yes_no, True),
    _row("io-threads", Int(1, 128), 1, "immutable"),
    _row("io-threads-do-reads", _yes_no, False, "immutable"),
    *(_row(f"{name}_cpulist", _text, "", "immutable") for name in ("server", "bio", "aof_rewrite", "bgsave")),
    _row("oom-score-adj", Enum("no yes relative absolute"), "no"),
    _row("oom-score-adj-values", ScoreAdjustments(), (0, 200, 800)),
    _row("disable-thp", _yes_no, True, "immutable"),
    _row("jemalloc-bg-thread", _yes_no, True),
    _row("use-exit-on-panic", _yes_no, False, "hidden"),
    _row(
        "shutdown-timeout",
        _int,
        10,
        "acting",
    ),
    _row("shutdown-on-sigint", ShutdownFlags("default save nosave now force"), "default", "acting"),
    _row("shutdown-on-sigterm", ShutdownFlags("default save nosave now force"), "default", "acting"),
    _row("rename-command", Renames(), (), "acting file_only"),
]

_SNAPSHOTS = [
    _row("save", SavePoints(), ((3600, 1), (300, 100), (60, 10000)), "acting"),
    _row("dbfilename", Text(_file_name("dbfilename")), "dump.rdb", "acting protected"),
    _row("stop-writes-on-bgsave-error", _yes_no, True, "acting"),
    _row("rdbcompression", _yes_no, True, "acting"),
    _row("rdbchecksum", _yes_no, True, "acting immutable"),
    _row("sanitize-dump-payload", Enum("no yes clients"), "no"),
    _row("rdb-del-sync-files", _yes_no, False),
    _row("rdb-save-incremental-fsync", _yes_no, True),
    _row("rdb-key-save-delay", Int(-INT_MAX - 1), 0, "hidden"),
    _row("key-load-delay", Int(-INT_MAX - 1), 0, "hidden"),
    _row("appendonly", _yes_no, False, refuse=_unless(False, NO_APPEND_ONLY_FILE)),
    _row("appendfilename", Text(_file_name("appendfilename")), "appendonly.aof", "immutable"),
    _row("appenddirname", Text(_file_name("appenddirname", "dirname")), "appendonlydir", "immutable"),
    _row("appendfsync", Enum("everysec always no"), "everysec"),
    _row("no-appendfsync-on-rewrite", _yes_no, False),
    _row("auto-aof-rewrite-percentage", _int, 100),
    _row("auto-aof-rewrite-min-size", _size, 64 << 20),
    _row("aof-load-truncated", _yes_no, True),
    _row("aof-use-rdb-preamble", _yes_no, True),
    _row("aof-timestamp-enabled", _yes_no, False),
    _row("aof-disable-auto-gc", _yes_no, False),
    _row("aof-rewrite-incremental-fsync", _yes_no, True),
]

_REPLICATION = [
    _row("replicaof", Address(), None, "acting immutable", aliases=("slaveof",)),
    _row("masteruser", _text, "", "acting", hidden_aliases=("primaryuser",)),
    _row("masterauth", _text, "", "acting secret", hidden_aliases=("primaryauth",)),
    *(
        _row(f"replica-{name}", kind, default, flags, aliases=(f"slave-{name}",))
        for name, kind, default, flags in (
            ("serve-stale-data", _yes_no, True, "acting"),
            ("read-only", _yes_no, True, "acting"),
            ("priority", _int, 100, "acting"),
            ("announce-ip", _text, "", "acting"),
            ("announce-port", _port, 0, "acting"),
            ("ignore-maxmemory", _yes_no, True, "acting"),
            ("lazy-flush", _yes_no, False, ""),
        )
    ),
    _row("replica-announced", _yes_no, True, "acting"),
    _row("replica-ignore-disk-write-errors", _yes_no, False),
    _row("repl-diskless-sync", _yes_no, True, "acting"),
    _row("repl-diskless-sync-delay", _int, 5, "acting"),
    _row("repl-diskless-sync-max-replicas", _int, 0, "acting"),
    _row("repl-diskless-load", Enum("disabled on-empty-db swapdb"), "disabled", "acting"),
    _row("repl-ping-replica-period", Int(1), 10, "acting", aliases=("repl-ping-slave-period",)),
    _row("repl-timeout", Int(1), 60, "acting"),
    _row("repl-disable-tcp-nodelay", _yes_no, False, "acting"),
    _row("repl-backlog-size", Memory(1, clamp=(16384, LONG_MAX)), 1 << 20, "acting"),
    _row("repl-backlog-ttl", _long, 3600, "acting"),
    _row("min-replicas-to-write", _int, 0, "acting", aliases=("min-slaves-to-write",)),
    _row("min-replicas-max-lag", _int, 10, "acting", aliases=("min-slaves-max-lag",)),
    _row("propagation-error-behavior", Enum("ignore panic panic-on-replicas"), "ignore"),
]

_SECURITY = [
    _row("requirepass", _text, "", "acting secret"),
    _row("aclfile", _text, "", "acting immutable"),
    _row("acllog-max-len", _long, 128, "acting"),
    _row("acl-pubsub-default", Enum("allchannels resetchannels"), "resetchannels", "acting"),
]

_MEMORY = [
    _row("maxmemory", Memory(0, ULONG_MAX), 0, "acting"),
    _row(
        "maxmemory-policy",
        Enum("volatile-lru volatile-lfu volatile-random volatile-ttl allkeys-lru allkeys-lfu allkeys-random noeviction"),
        "noeviction",
        "acting",
    ),
    _row("maxmemory-samples", Int(1), 5, "acting"),
    _row("maxmemory-eviction-tenacity", Int(0, 100), 10, "acting"),
    _row("active-expire-effort", Int(1, 10), 1),
    *(
        _row(f"lazyfree-lazy-{name}", _yes_no, False)
        for name in ("eviction", "expire", "server-del", "user-del", "user-flush")
    ),
    _row("lfu-log-factor", _int, 10, "acting"),
    _row("lfu-decay-time", _int, 1, "acting"),
    _row("activerehashing", _yes_no, True),
    _row("activedefrag", _yes_no, False),
    _row("active-defrag-ignore-bytes", Memory(1), 100 << 20),
    _row("active-defrag-threshold-lower", Int(0, 1000), 10),
    _row("active-defrag-threshold-upper", Int(0, 1000), 100),
    _row("active-defrag-cycle-min", Int(1, 99), 1),
    _row("active-defrag-cycle-max", Int(1, 99), 25),
    _row("active-defrag-max-scan-fields", Int(1, LONG_MAX), 1000),
    _row("tracking-table-max-keys", _long, 1000000, "acting"),
]

_ENCODINGS = [
    _row("hash-max-listpack-entries", _long, 512, "acting", aliases=("hash-max-ziplist-entries",)),
    _row("hash-max-listpack-value", _size, 64, "acting", aliases=("hash-max-ziplist-value",)),
    _row("list-max-listpack-size", Int(-INT_MAX - 1), -2, aliases=("list-max-ziplist-size",)),
    _row("list-compress-depth", _int, 0),
    _row("set-max-intset-entries", _long, 512, "acting"),
    _row("zset-max-listpack-entries", _long, 128, "acting", aliases=("zset-max-ziplist-entries",)),
    _row("zset-max-listpack-value", _size, 64, "acting", aliases=("zset-max-ziplist-value",)),
    _row("hll-sparse-max-bytes", _size, 3000, "acting"),
    _row("stream-node-max-bytes", _size, 4096, "acting"),
    _row("stream-node-max-entries", _long, 100, "acting"),
]

_OBSERVATION = [
    _row("slowlog-log-slower-than", Int(-1, LONG_MAX), 10000, "acting"),
    _row("slowlog-max-len", _long, 128, "acting"),
    _row("latency-monitor-threshold", _long, 0, "acting"),
    _row("latency-tracking", _yes_no, True, "acting"),
    _row("latency-tracking-info-percentiles", Percentiles(), (50.0, 99.0, 99.9), "acting"),
    _row("notify-keyspace-events", EventClasses(), frozenset(), "acting"),
    _row("busy-reply-threshold", _long, 5000, "acting", aliases=("lua-time-limit",)),
]

_CLUSTER = [
    _row("cluster-enabled", _yes_no, False, "immutable", refuse=_unless(False, _no_cluster)),
    _row("cluster-config-file", _text, "nodes.conf", "immutable"),
    _row("cluster-port", _port, 0, "immutable"),
    _row("cluster-node-timeout", _long, 15000),
    _row("cluster-migration-barrier", _int, 1),
    _row("cluster-replica-validity-factor", _int, 10, aliases=("cluster-slave-validity-factor",)),
    _row("cluster-replica-no-failover", _yes_no, False, aliases=("cluster-slave-no-failover",)),
    _row("cluster-require-full-coverage", _yes_no, True),
    _row("cluster-allow-reads-when-down", _yes_no, False),
    _row("cluster-allow-pubsubshard-when-down", _yes_no, True),
    _row("cluster-allow-replica-migration", _yes_no, True),
    _row("cluster-link-sendbuf-limit", Memory(0, ULONG_MAX), 0),
    _row("cluster-announce-ip", _text, ""),
    _row("cluster-announce-hostname", Text(_host_name), ""),
    _row("cluster-announce-port", _port, 0),
    _row("cluster-announce-bus-port", _port, 0),
    _row("cluster-announce-tls-port", _port, 0),
    _row("cluster-preferred-endpoint-type", Enum("ip hostname unknown-endpoint"), "ip"),
]

#: Words of Redis 7.2 and later and of Valkey.  They are hidden, so that `CONFIG GET *` lists what Redis 7.0 lists.
_LATER = [
    _row("set-max-listpack-entries", _long, 128, "hidden"),
    _row("set-max-listpack-value", _size, 64, "hidden"),
    _row("locale-collate", _text, "", "hidden"),
    _row("cluster-announce-human-nodename", _text, "", "hidden"),
    _row("hide-user-data-from-log", _yes_no, False, "hidden"),
    _row("max-new-connections-per-cycle", Int(1, 1000), 10, "hidden"),
    _row("max-new-tls-connections-per-cycle", Int(1, 1000), 1, "hidden"),
    _row("replica-full-sync-buffer-limit", _size, 0, "hidden"),
    _row("dual-channel-replication-enabled", _yes_no, False, "hidden"),
    _row("rdb-version-check", Enum("strict relaxed"), "strict", "hidden"),
    _row("extended-redis-compatibility", _yes_no, False, "hidden"),
    _row("availability-zone", _text, "", "hidden"),
    _row("import-mode", _yes_no, False, "hidden"),
]

_OWN = [
    _row("repl-backlog-spill", Room(1, clamp=(1 << 20, LONG_MAX)), 0, "acting"),
    _row("snapshot-backend", Text(lambda value: None if value else "a word is needed"), "rdb", "acting immutable"),
    _row("snapshot-method", Enum("fork"), "fork", "acting"),
    _row("script-memory-limit", Memory(1 << 20), 256 << 20, "acting"),
    _row("lmdb-path", Text(lambda value: None if value else "a path is needed"), "replicad.lmdb", "acting immutable"),
]

DIRECTIVES: dict[str, Directive] = {
    row.name: row
    for table in (
        *(_NETWORK, _TLS, _GENERAL, _SNAPSHOTS, _REPLICATION, _SECURITY, _MEMORY),
        *(_ENCODINGS, _OBSERVATION, _CLUSTER, _LATER, _OWN),
    )
    for row in table
}

_BY_ANY_NAME: dict[str, Directive] = {
    name: row for row in DIRECTIVES.values() for name in (row.name, *row.aliases, *row.hidden_aliases)
}

#: Words of conf files that replicad cannot follow, with the reason.
REFUSED: dict[str, str] = {
    "loadmodule": "replicad cannot load Redis modules",
}

#: Words without effect that Redis 7.0 still accepts in conf files, and only there.
IGNORED = frozenset({"list-max-ziplist-entries", "list-max-ziplist-value", "lua-replicate-commands"})


def find(name: str) -> Directive | None:
    """The directive that ``name`` (any case, any spelling) means, or None."""
    return _BY_ANY_NAME.get(name.lower())
