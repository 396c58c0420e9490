"""The text of INFO and the lines of CLIENT LIST: what operators and their tools read.

Owns: ``info_text`` and ``client_line``.  Does not own the figures: each comes from the object it is about.  The order
of sections and fields is that of Redis 7.0, because some tools read by position.  Figures about things that this server
does not have (AOF, cluster, an allocator of its own) are there with the values of a Redis that does not use them.

With maxmemory used_memory is the account of keys, values and buffers, else what the process has taken since its start;
used_memory_rss is what the operating system says.
"""

from __future__ import annotations

import os
import platform
import resource
import sys
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from replicad import REDIS_VERSION, __version__, client_memory
from replicad.command import Argv, every_command, lookup
from replicad.usage import measure

if TYPE_CHECKING:
    from replicad.server import Server
    from replicad.session import Client

Fields = list[tuple[str, object]]

# At import, because the server changes its directory later.
_PROGRAM = os.path.abspath(sys.argv[0] or sys.executable)

#: Sections that INFO shows only when they are asked for, or with ``all`` and ``everything``.
_ON_REQUEST = frozenset(["commandstats", "latencystats"])


def human(size: int) -> str:
    """A number of bytes as the ``_human`` fields show it."""
    if size < 1024:
        return f"{size}B"
    value, power = size / 1024, 0
    while value >= 1024 and power < 4:
        value /= 1024
        power += 1
    return f"{value:.2f}{'KMGTP'[power]}"


def total_memory() -> int:
    """The memory of the machine in bytes; 0 where the system does not tell."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):
        return 0


def _server(server: Server) -> Fields:
    settings = server.settings
    now = time.time()
    uptime = int(now - server.started_at)
    system = os.uname()
    return [
        ("redis_version", REDIS_VERSION),
        ("redis_git_sha1", "00000000"),
        ("redis_git_dirty", 0),
        ("redis_build_id", "0"),
        ("replicad_version", __version__),
        ("redis_mode", "standalone"),
        ("os", f"{system.sysname} {system.release} {system.machine}"),
        ("arch_bits", 64 if sys.maxsize > 1 << 32 else 32),
        ("monotonic_clock", "POSIX clock_gettime"),
        ("multiplexing_api", type(server.reactor).__name__.removesuffix("Reactor").lower()),
        ("python_version", platform.python_version()),
        ("process_id", os.getpid()),
        ("process_supervised", "no"),
        ("run_id", server.run_id),
        ("tcp_port", settings["port"] or settings["tls-port"]),
        ("server_time_usec", int(now * 1e6)),
        ("uptime_in_seconds", uptime),
        ("uptime_in_days", uptime // 86400),
        ("hz", 10),
        ("configured_hz", settings["hz"]),
        ("lru_clock", int(now) & 0xFFFFFF),
        ("executable", _PROGRAM),
        ("config_file", settings.path or ""),
        ("io_threads_active", 0),
    ]


def _clients(server: Server) -> Fields:
    ordinary = [one for one in server.clients.values() if one.replica is None and not one.is_master]
    biggest_input = max((client_memory.unread(one) for one in ordinary), default=0)
    biggest_output = max((one.connection.queued for one in ordinary), default=0)
    return [
        ("connected_clients", len(ordinary) + int(server.replication.link_up)),  # the master's link counts, as in Redis
        ("cluster_connections", 0),
        ("maxclients", server.settings["maxclients"]),
        ("client_recent_max_input_buffer", biggest_input),
        ("client_recent_max_output_buffer", biggest_output),
        ("blocked_clients", len(server.blocking.clients) + len(server.held)),
        ("tracking_clients", len(server.tracking.clients)),
        ("clients_in_timeout_table", sum(1 for one in server.blocking.clients.values() if one.timer is not None)),
    ]


def _memory(server: Server) -> Fields:
    usage, total = measure(server), total_memory()
    limit = server.settings["maxmemory"]
    scripting, libraries = server.scripting, server.libraries
    lua_memory = scripting.engine.memory + libraries.engine_memory
    return [
        ("used_memory", usage.used),
        ("used_memory_human", human(usage.used)),
        ("used_memory_rss", usage.resident),
        ("used_memory_rss_human", human(usage.resident)),
        ("used_memory_peak", usage.peak),
        ("used_memory_peak_human", human(usage.peak)),
        ("used_memory_peak_perc", f"{usage.peak_percentage:.2f}%"),
        ("used_memory_overhead", usage.overhead),
        ("used_memory_startup", usage.startup),
        ("used_memory_dataset", usage.dataset),
        ("used_memory_dataset_perc", f"{usage.dataset_percentage:.2f}%"),
        ("allocator_allocated", usage.used),
        ("allocator_active", usage.used),
        ("allocator_resident", usage.resident),
        ("total_system_memory", total),
        ("total_system_memory_human", human(total)),
        ("used_memory_lua", scripting.engine.memory),
        ("used_memory_vm_eval", scripting.engine.memory),
        ("used_memory_lua_human", human(scripting.engine.memory)),
        ("used_memory_scripts_eval", scripting.cached_bytes),
        ("number_of_cached_scripts", len(scripting)),
        ("number_of_functions", libraries.function_count),
        ("number_of_libraries", len(libraries.by_name)),
        ("used_memory_vm_functions", libraries.engine_memory),
        ("used_memory_vm_total", lua_memory),
        ("used_memory_vm_total_human", human(lua_memory)),
        ("used_memory_functions", libraries.memory),
        ("used_memory_scripts", scripting.cached_bytes + libraries.memory),
        ("used_memory_scripts_human", human(scripting.cached_bytes + libraries.memory)),
        ("maxmemory", limit),
        ("maxmemory_human", human(limit)),
        ("maxmemory_policy", server.settings["maxmemory-policy"]),
        ("allocator_frag_ratio", "1.00"),
        ("allocator_frag_bytes", 0),
        ("allocator_rss_ratio", f"{usage.fragmentation:.2f}"),
        ("allocator_rss_bytes", usage.resident - usage.used),
        ("rss_overhead_ratio", "1.00"),
        ("rss_overhead_bytes", 0),
        ("mem_fragmentation_ratio", f"{usage.fragmentation:.2f}"),
        ("mem_fragmentation_bytes", usage.resident - usage.used),
        ("mem_not_counted_for_evict", usage.backlog),
        ("mem_replication_backlog", usage.backlog),
        ("mem_total_replication_buffers", usage.backlog),
        ("mem_clients_slaves", usage.clients_replicas),
        ("mem_clients_normal", usage.clients_normal),
        ("mem_cluster_links", 0),
        ("mem_aof_buffer", 0),
        ("mem_allocator", "libc"),
        ("active_defrag_running", 0),
        ("lazyfree_pending_objects", len(server.trash)),
        ("lazyfreed_objects", 0),
    ]


def _persistence(server: Server) -> Fields:
    saver = server.saver
    fields: Fields = [
        ("loading", int(server.loading and not server.async_loading)),
        ("async_loading", int(server.loading and server.async_loading)),
        ("current_cow_peak", 0),
        ("current_cow_size", 0),
        ("current_cow_size_age", 0),
        ("current_fork_perc", "0.00"),
        ("current_save_keys_processed", 0),
        ("current_save_keys_total", sum(map(len, server.databases)) if saver.saving else 0),
        ("rdb_changes_since_last_save", saver.dirty),
        ("rdb_bgsave_in_progress", int(saver.saving)),
        ("rdb_last_save_time", saver.last_save),
        ("rdb_last_bgsave_status", "err" if saver.failed else "ok"),
        ("rdb_last_bgsave_time_sec", saver.last_seconds),
        ("rdb_current_bgsave_time_sec", saver.seconds),
        ("rdb_saves", saver.saves),
        ("rdb_last_cow_size", 0),
        ("rdb_last_load_keys_expired", server.load_progress.get("expired", 0)),
        ("rdb_last_load_keys_loaded", server.load_progress.get("keys", 0)),
        ("aof_enabled", 0),
        ("aof_rewrite_in_progress", 0),
        ("aof_rewrite_scheduled", 0),
        ("aof_last_rewrite_time_sec", -1),
        ("aof_current_rewrite_time_sec", -1),
        ("aof_last_bgrewrite_status", "ok"),
        ("aof_rewrites", 0),
        ("aof_rewrites_consecutive_failures", 0),
        ("aof_last_write_status", "ok"),
        ("aof_last_cow_size", 0),
        ("module_fork_in_progress", 0),
        ("module_fork_last_cow_size", 0),
    ]
    if server.loading:
        progress = server.load_progress
        started = progress.get("start", int(server.started_at))
        total, loaded = progress.get("total", 0), progress.get("loaded", 0)
        elapsed = max(time.time() - started, 0)
        remaining = elapsed * (total - loaded) / loaded if loaded and total > loaded else 1
        fields += [
            ("loading_start_time", started),
            ("loading_total_bytes", total),
            ("loading_rdb_used_mem", 0),
            ("loading_loaded_bytes", loaded),
            ("loading_loaded_perc", f"{100 * loaded / total:.2f}" if total else "0.00"),
            ("loading_eta_seconds", int(remaining)),
        ]
    return fields


def _stats(server: Server) -> Fields:
    rate, received, sent = server.ops.rates()
    stats, replication, pubsub = server.stats, server.replication, server.pubsub
    error_replies = sum(server.errors.values())
    exceeded_ms, exceeded_now_ms = server.eviction.exceeded_ms()
    return [
        ("total_connections_received", server.connections_received),
        ("total_commands_processed", server.commands_processed),
        ("instantaneous_ops_per_sec", rate),
        ("total_net_input_bytes", server.net_input),
        ("total_net_output_bytes", server.net_output),
        ("total_net_repl_input_bytes", 0),
        ("total_net_repl_output_bytes", 0),
        ("instantaneous_input_kbps", f"{received:.2f}"),
        ("instantaneous_output_kbps", f"{sent:.2f}"),
        ("instantaneous_input_repl_kbps", "0.00"),
        ("instantaneous_output_repl_kbps", "0.00"),
        ("rejected_connections", server.connections_refused),
        ("sync_full", replication.sync_full),
        ("sync_partial_ok", replication.sync_partial_ok),
        ("sync_partial_err", replication.sync_partial_err),
        ("expired_keys", stats.expired),
        ("expired_subkeys", stats.expired_fields),
        ("expired_stale_perc", "0.00"),
        ("expired_time_cap_reached_count", 0),
        ("expire_cycle_cpu_milliseconds", 0),
        ("evicted_keys", server.eviction.evicted),
        ("evicted_clients", server.client_memory.evicted),
        ("total_eviction_exceeded_time", exceeded_ms),
        ("current_eviction_exceeded_time", exceeded_now_ms),
        ("keyspace_hits", stats.hits),
        ("keyspace_misses", stats.misses),
        ("pubsub_channels", len(pubsub.channels)),
        ("pubsub_patterns", len(pubsub.patterns)),
        ("pubsubshard_channels", len(pubsub.shards)),
        ("latest_fork_usec", server.saver.last_fork_usec),
        ("total_forks", server.saver.forks),
        ("migrate_cached_sockets", server.migrations.cached),
        ("slave_expires_tracked_keys", 0),
        ("active_defrag_hits", 0),
        ("active_defrag_misses", 0),
        ("active_defrag_key_hits", 0),
        ("active_defrag_key_misses", 0),
        ("total_active_defrag_time", 0),
        ("current_active_defrag_time", 0),
        ("tracking_total_keys", server.tracking.table.keys),
        ("tracking_total_items", server.tracking.table.items),
        ("tracking_total_prefixes", len(server.tracking.prefixes)),
        ("unexpected_error_replies", 0),
        ("total_error_replies", error_replies),
        ("dump_payload_sanitizations", 0),
        ("total_reads_processed", server.commands_processed),
        ("total_writes_processed", server.commands_processed),
        ("io_threaded_reads_processed", 0),
        ("io_threaded_writes_processed", 0),
        ("reply_buffer_shrinks", 0),
        ("reply_buffer_expands", 0),
    ]


def _replication(server: Server) -> Fields:
    return list(server.replication.info_fields())


def _cpu(server: Server) -> Fields:
    own = resource.getrusage(resource.RUSAGE_SELF)
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    thread = resource.getrusage(resource.RUSAGE_THREAD) if hasattr(resource, "RUSAGE_THREAD") else own
    return [
        ("used_cpu_sys", f"{own.ru_stime:.6f}"),
        ("used_cpu_user", f"{own.ru_utime:.6f}"),
        ("used_cpu_sys_children", f"{children.ru_stime:.6f}"),
        ("used_cpu_user_children", f"{children.ru_utime:.6f}"),
        ("used_cpu_sys_main_thread", f"{thread.ru_stime:.6f}"),
        ("used_cpu_user_main_thread", f"{thread.ru_utime:.6f}"),
    ]


def _modules(server: Server) -> Fields:
    return []


def _commandstats(server: Server) -> Fields:
    return [
        (
            f"cmdstat_{cmd.name.decode()}",
            f"calls={cmd.calls},usec={cmd.nanoseconds // 1000},"
            f"usec_per_call={cmd.nanoseconds / 1000 / cmd.calls if cmd.calls else 0:.2f},"
            f"rejected_calls={cmd.rejected},failed_calls={cmd.failed}",
        )
        for cmd in every_command()
        if cmd.calls or cmd.rejected or cmd.failed
    ]


def _errorstats(server: Server) -> Fields:
    return [
        (f"errorstat_{code.decode('latin-1')}", f"count={count}") for code, count in sorted(server.errors.items())
    ]


def _latencystats(server: Server) -> Fields:
    settings = server.settings
    if not settings["latency-tracking"]:
        return []
    wanted = settings["latency-tracking-info-percentiles"]
    names = [f"p{number:.6f}".rstrip("0").rstrip(".") for number in wanted]
    return [
        (
            f"latency_percentiles_usec_{cmd.name.decode()}",
            ",".join(
                f"{name}={value / 1000:.3f}"
                for name, value in zip(names, cmd.histogram.percentiles(wanted), strict=True)
            ),
        )
        for cmd in every_command()
        if cmd.histogram is not None
    ]


def _cluster(server: Server) -> Fields:
    return [("cluster_enabled", 0)]


def _keyspace(server: Server) -> Fields:
    fields: Fields = []
    now_ms = server.clock.now_ms
    for db in server.databases:
        keys = len(db)
        if keys:  # tools divide by it
            expires = db.deadlines.count
            fields.append((f"db{db.index}", f"keys={keys},expires={expires},avg_ttl={_average_ttl(db, now_ms)}"))
    return fields


def _average_ttl(db: object, now_ms: int) -> int:
    """The mean time to live in milliseconds over the first keys that have one: an estimate, as in Redis."""
    total = count = 0
    for _, at_ms in db.deadlines.items():  # type: ignore[attr-defined]
        total += max(at_ms - now_ms, 0)
        count += 1
        if count >= 100:
            break
    return total // count if count else 0


_SECTIONS: dict[str, tuple[str, Callable[[Server], Fields]]] = {
    "server": ("Server", _server),
    "clients": ("Clients", _clients),
    "memory": ("Memory", _memory),
    "persistence": ("Persistence", _persistence),
    "stats": ("Stats", _stats),
    "replication": ("Replication", _replication),
    "cpu": ("CPU", _cpu),
    "modules": ("Modules", _modules),
    "commandstats": ("Commandstats", _commandstats),
    "errorstats": ("Errorstats", _errorstats),
    "latencystats": ("Latencystats", _latencystats),
    "cluster": ("Cluster", _cluster),
    "keyspace": ("Keyspace", _keyspace),
}


def info_text(server: Server, sections: Sequence[str] = ()) -> str:
    """The reply of INFO with these arguments (any letter case); unknown sections are ignored, as Redis does.

    Without arguments, or with ``default``, the usual sections; with ``all`` or ``everything`` all of them.
    """
    wanted: set[str] = set()
    for word in map(str.lower, sections or ("default",)):
        if word in ("all", "everything"):
            wanted.update(_SECTIONS)
        elif word == "default":
            wanted.update(_SECTIONS.keys() - _ON_REQUEST)
        else:
            wanted.add(word)
    parts = []
    for name, (title, build) in _SECTIONS.items():
        if name in wanted:
            lines = "".join([f"{field}:{value}\r\n" for field, value in build(server)])
            parts.append(f"# {title}\r\n{lines}")
    return "\r\n".join(parts)


# -- CLIENT LIST


def _descriptor(client: Client) -> int:
    transport = getattr(client.connection, "transport", None)
    try:
        return transport.fileno() if transport is not None else -1
    except (AttributeError, OSError, ValueError):
        return -1


def _command_name(client: Client, argv: Argv) -> str:
    """The command that runs or waits (``argv``), else the latest one; NULL when that was none."""
    if client.in_exec:
        return "exec"
    cmd = lookup(argv) if argv else client.last_command
    return "NULL" if cmd is None or cmd.subcommands else cmd.name.decode()


def client_line(server: Server, client: Client, running: bool = False) -> str:
    """The line of CLIENT LIST about ``client``, without a line end: ``key=value`` words in the order of Redis 7.0.

    ``running`` tells that it is a command of this client that asks.  ``lib-name`` and ``lib-ver`` come behind the rest when
    the client told them.  There are no reply buffers of a fixed size, so that ``rbs``, ``rbp`` and ``obl`` are always 0.
    """
    now = time.monotonic()
    connection = client.connection
    queued = connection.queued
    # who is idle still has the latest arguments, but nothing depends on them
    if running or client.blocked is not None:
        argv = client.argv
    else:
        argv = client.queue[0] if client.paused and client.queue else []
    in_multi = -1 if client.multi is None else len(client.multi)
    line = (
        f"id={client.id} addr={client.addr} laddr={client.laddr} fd={_descriptor(client)} "
        f"name={client.name.decode('latin-1')} age={int(now - client.created)} "
        f"idle={int(now - client.last_interaction)} flags={client.flags} db={client.db.index} "
        f"sub={len(client.channels or ())} psub={len(client.patterns or ())} ssub={len(client.shard_channels or ())} "
        f"multi={in_multi} qbuf={client_memory.unread(client)} qbuf-free=0 argv-mem={sum(map(len, argv))} "
        f"multi-mem={client_memory.queued_arguments(client)} rbs=0 rbp=0 obl=0 "
        f"oll={getattr(connection, 'pieces', 0)} omem={queued} tot-mem={client_memory.total(client)} "
        f"events={'rw' if queued else 'r'} cmd={_command_name(client, argv)} user={client.user.decode('latin-1')} "
        f"redir={client.tracking.redirect if client.tracking is not None else -1} resp={client.resp}"
    )
    if client.lib_name or client.lib_ver:
        line += f" lib-name={client.lib_name.decode('latin-1')} lib-ver={client.lib_ver.decode('latin-1')}"
    return line
