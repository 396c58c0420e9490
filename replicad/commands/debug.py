"""DEBUG: what tests and developers do to a server.

Owns: DEBUG, the table of its subcommands, and those that deal with the dataset and the server as a whole.  Does not own
those about the layout of values (``debug_layout``) nor those that end the process (``debug_endings``).

It is refused unless the directive enable-debug-command allows it (``yes``, or ``local`` for clients on this machine).
Subcommands about what this server does not have (cluster packets, jemalloc) do not exist.
"""

from __future__ import annotations

import time
from typing import Any

from replicad.command import Argv, command
from replicad.commands import debug_endings, debug_layout
from replicad.commands.arguments import integer, number
from replicad.commands.debug_words import Row, number_at_the_start
from replicad.commands.help import help_lines
from replicad.commands.server import is_local
from replicad.digest import dataset_digest, value_digest
from replicad.directive_kinds import ConfigError, memory_size
from replicad.errors import MUST_BE_POSITIVE, NO_SUCH_KEY, ReplyError, c_string, clean, err
from replicad.persistence.interfaces import DamagedSnapshot, NoSnapshot
from replicad.persistence.rdb import encode_value
from replicad.replication.history import NO_REPLID, new_replid
from replicad.resp import OK, Push, Replies, Simple, Verbatim, Wire
from replicad.session import Client

_NOT_ALLOWED = err(
    'DEBUG command not allowed. If the enable-debug-command option is set to "local", you can run it from a local '
    "connection, otherwise you need to set this option in the configuration file, and then restart the server."
)
_RELOAD_FAILED = err("Error trying to load the RDB dump, check server logs.")
_RELOAD_OPTIONS = err("DEBUG RELOAD only supports the MERGE, NOFLUSH and NOSAVE options.")
_NO_AOF = err("this server keeps no append only file")
_NO_FILE = err("CONFIG-REWRITE-FORCE-ALL failed: Bad address")
_THRESHOLD = err("argument must be a memory value bigger than 1 and smaller than 4gb")
_PROTOCOL_TYPES = err(
    "Wrong protocol type name. Please use one of the following: "
    "string|integer|double|bignum|null|array|set|map|attrib|push|verbatim|true|false"
)


@command(b"DEBUG", -2, "admin noscript loading stale", group="server")
def debug(client: Client, argv: Argv) -> Any:
    """Commands for tests.

    DEBUG subcommand [argument [argument ...]]
    """
    allowed = client.server.settings["enable-debug-command"]
    if not (allowed == "yes" or (allowed == "local" and is_local(client)) or client.is_master):
        raise _NOT_ALLOWED
    row = _SUBCOMMANDS.get(argv[1].upper())
    if row is not None:
        handler, least, most, _ = row
        if least <= len(argv) <= most:
            return handler(client, argv)
    raise _unknown(argv)


def _unknown(argv: Argv) -> ReplyError:
    return err(clean(b"unknown subcommand or wrong number of arguments for '%b'. Try DEBUG HELP." % c_string(argv[1])[:128]))


def _sleep(client: Client, argv: Argv) -> Any:
    try:
        seconds = number(argv[2])
    except ReplyError as error:
        error.release()
        seconds = 0.0
    time.sleep(max(0.0, seconds))  # it is meant to stop the server
    return OK


def _digest(client: Client, argv: Argv) -> Simple:
    return Simple(dataset_digest(client.server.saver.entries()).encode())


def _digest_value(client: Client, argv: Argv) -> list[Simple]:
    out = []
    for key in argv[2:]:
        value = client.db.peek(key)
        digest = bytes(20) if value is None else value_digest(value, client.db.deadline(key))
        out.append(Simple(digest.hex().encode()))
    return out


def _object(client: Client, argv: Argv) -> Simple:
    from replicad.commands.objects import encoding

    value = client.db.peek(argv[2])
    if value is None:
        raise NO_SUCH_KEY
    settings = client.server.settings
    form = encoding(settings, value)
    size = len(encode_value(value, compressed=settings["rdbcompression"])) - 1
    return Simple(
        b"Value at:0x%x refcount:1 encoding:%b serializedlength:%d lru:%d lru_seconds_idle:0"
        % (id(value), form, size, int(time.time()) & 0xFFFFFF)
    )


def _reload(client: Client, argv: Argv) -> Any:
    options = {word.upper() for word in argv[2:]}
    if not options <= {b"MERGE", b"NOFLUSH", b"NOSAVE"}:
        raise _RELOAD_OPTIONS
    server = client.server
    server.propagation.flush()
    if b"NOSAVE" not in options:
        try:
            server.saver.save()
        except OSError:
            raise ReplyError(b"ERR") from None
    try:
        info, entries = server.backend.load()
        loaded = list(entries)  # nothing is thrown away before the whole snapshot has proved to be good
    except NoSnapshot:
        raise _RELOAD_FAILED from None
    except (DamagedSnapshot, OSError) as error:
        server.log.warning(f"DEBUG RELOAD: {error}")
        raise _RELOAD_FAILED from None
    if any(index >= len(server.databases) for index, *_ in loaded):
        raise _RELOAD_FAILED
    if b"NOFLUSH" not in options:
        server.flush_all()
    elif b"MERGE" not in options and any(key in server.databases[index] for index, key, *_ in loaded):
        raise _RELOAD_FAILED
    now_ms = int(time.time() * 1000)
    master = server.replication.upstream is None
    for index, key, value, at_ms in loaded:
        db = server.databases[index]
        if at_ms is not None and at_ms < now_ms and master:
            continue
        db.remove(key)
        db.load(key, value, at_ms)
    server.functions = info.functions
    server.saver.loaded()
    server.log.warning("DB reloaded by DEBUG RELOAD")
    return OK


def _load_aof(client: Client, argv: Argv) -> Any:
    raise _NO_AOF


def _set_active_expire(client: Client, argv: Argv) -> Any:
    client.server.active_expire = number_at_the_start(argv[2]) != 0
    return OK


def _quicklist_threshold(client: Client, argv: Argv) -> Any:
    size = memory_size(argv[2])
    if size is None or size < 0 or size > 1 << 32:
        raise _THRESHOLD
    return OK


def _populate(client: Client, argv: Argv) -> Any:
    count = _positive(argv[2])
    prefix = argv[3] if len(argv) > 3 else b"key"
    size = _positive(argv[4]) if len(argv) > 4 else 0
    db = client.db
    for i in range(count):
        key = b"%b:%d" % (prefix, i)
        if db.peek(key) is None:
            value = b"value:%d" % i
            db.put(key, value[:size].ljust(size, b"\0") if size else value)
    return OK


def _positive(text: bytes) -> int:
    if not text.isdigit() or len(text) > 18 or (text[:1] == b"0" and len(text) > 1):
        raise MUST_BE_POSITIVE
    return int(text)


def _change_repl_id(client: Client, argv: Argv) -> Any:
    server = client.server
    server.log.warning("Changing replication IDs after receiving change-repl-id")
    server.propagation.flush()
    history = server.history
    history.replid, history.replid2, history.second_offset = new_replid(), NO_REPLID, -1
    return OK


def _error(client: Client, argv: Argv) -> Any:
    raise ReplyError(clean(argv[2]))


def _replicate(client: Client, argv: Argv) -> Any:
    client.server.propagation.also(client.db.index, *argv[2:])
    return OK


def _rewrite_all(client: Client, argv: Argv) -> Any:
    settings = client.server.settings
    if settings.path is None:
        raise _NO_FILE
    try:
        settings.rewrite(everything=True)
    except ConfigError as error:
        raise err(clean(b"CONFIG-REWRITE-FORCE-ALL failed: " + error.reason.encode())) from None
    return OK


def _pause_cron(client: Client, argv: Argv) -> Any:
    client.server.timekeeper.paused = number_at_the_start(argv[2]) != 0
    return OK


def _skip_checksums(client: Client, argv: Argv) -> Any:
    client.server.skip_checksums = number_at_the_start(argv[2]) != 0
    return OK


def _reply_buffer(client: Client, argv: Argv) -> Any:
    word = argv[2].upper()
    if word == b"PEAK-RESET-TIME":
        if argv[3].upper() not in (b"NEVER", b"RESET"):
            integer(argv[3])
    elif word != b"RESIZING":
        raise _unknown(argv)
    return OK


def _accepted(client: Client, argv: Argv) -> Any:
    return OK


_leaked: list[bytes] = []


def _leak(client: Client, argv: Argv) -> Any:
    _leaked.append(argv[2])
    return OK


def _log(client: Client, argv: Argv) -> Any:
    client.server.log.warning(f"DEBUG LOG: {argv[2].decode('utf-8', 'backslashreplace')}")
    return OK


def _protocol(client: Client, argv: Argv) -> Any:
    kind, resp = argv[2].lower(), client.resp
    if kind == b"map":
        return {0: False, 1: True, 2: False}
    if kind == b"set":
        return [0, 1, 2] if resp == 2 else Replies([Wire(b"~3\r\n"), 0, 1, 2])
    if kind == b"bignum":
        digits = b"1234567999999999999999999999999999999"
        return digits if resp == 2 else Wire(b"(" + digits + b"\r\n")
    if kind == b"attrib":
        text = b"Some real reply following the attribute"
        return text if resp == 2 else Replies([Wire(b"|1\r\n"), b"key-popularity", [b"key:123", 90], text])
    if kind == b"push":
        if resp == 2:
            raise err("RESP2 is not supported by this command")
        return Replies([Push([b"server-cpu-usage", 42]), b"Some real reply following the push reply"])
    if kind not in _SAMPLES:
        raise _PROTOCOL_TYPES
    return _SAMPLES[kind]


_SAMPLES: dict[bytes, Any] = {
    b"string": b"Hello World",
    b"integer": 12345,
    b"double": 3.141,
    b"null": None,
    b"array": [0, 1, 2],
    b"verbatim": Verbatim(b"This is a verbatim\nstring"),
    b"true": True,
    b"false": False,
}


def _help(client: Client, argv: Argv) -> Any:
    entries = [(f"{name.decode()} {row[3][0]}".rstrip(), row[3][1]) for name, row in sorted(_SUBCOMMANDS.items())]
    return help_lines("DEBUG", [entry for entry in entries if entry[0] != "HELP"])


_MANY = 1 << 30

_SUBCOMMANDS: dict[bytes, Row] = {
    **debug_endings.ROWS,
    **debug_layout.ROWS,
    b"AOF-FLUSH-SLEEP": (_accepted, 3, 3, ("<microsec>", "Accepted and without effect: there is no append only file.")),
    b"CHANGE-REPL-ID": (_change_repl_id, 2, 2, ("", "Take a new replication id, as if the history had broken.")),
    b"CONFIG-REWRITE-FORCE-ALL": (_rewrite_all, 2, 2, ("", "CONFIG REWRITE that names all directives.")),
    b"DIGEST": (_digest, 2, 2, ("", "Return 40 hex digits that stand for the whole dataset.")),
    b"DIGEST-VALUE": (_digest_value, 2, _MANY, ("<key> [<key> ...]", "Return 40 hex digits for each value.")),
    b"ERROR": (_error, 3, 3, ("<string>", "Answer this error.")),
    b"LEAK": (_leak, 3, 3, ("<string>", "Keep the string for ever.")),
    b"LOADAOF": (_load_aof, 2, 2, ("", "Refused: there is no append only file.")),
    b"LOG": (_log, 3, 3, ("<message>", "Write the message to the log of the server.")),
    b"OBJECT": (_object, 3, 4, ("<key>", "Show the encoding and the serialized size of a value.")),
    b"PAUSE-CRON": (_pause_cron, 3, 3, ("<0|1>", "Whether the work that recurs with time rests.")),
    b"POPULATE": (
        _populate,
        3,
        5,
        ("<count> [<prefix>] [<size>]", "Create keys <prefix>:<n>; existing ones stay, and replicas get nothing."),
    ),
    b"PROTOCOL": (_protocol, 3, 3, ("<type>", "Answer a sample of this protocol type.")),
    b"QUICKLIST-PACKED-THRESHOLD": (_quicklist_threshold, 3, 3, ("<size>", "Accepted and without effect.")),
    b"RELOAD": (
        _reload,
        2,
        _MANY,
        (
            "[NOSAVE] [NOFLUSH] [MERGE]",
            "Save the dataset and load it again. NOSAVE loads what is stored; NOFLUSH keeps the keys of memory too, "
            "and then MERGE lets the stored value win where both have a key.",
        ),
    ),
    b"REPLICATE": (_replicate, 3, _MANY, ("<command> [<arg> ...]", "Send this to the replicas, and do not execute it.")),
    b"REPLYBUFFER": (
        _reply_buffer,
        4,
        4,
        ("<PEAK-RESET-TIME|RESIZING> <value>", "Accepted and without effect: replies have no buffer of a size."),
    ),
    b"SET-ACTIVE-EXPIRE": (_set_active_expire, 3, 3, ("<0|1>", "Whether expired keys are deleted unasked.")),
    b"SET-DISABLE-DENY-SCRIPTS": (_accepted, 3, 3, ("<0|1>", "Accepted and without effect.")),
    b"SET-SKIP-CHECKSUM-VALIDATION": (
        _skip_checksums,
        3,
        3,
        ("<0|1>", "Whether RESTORE takes payloads with a wrong checksum."),
    ),
    b"SLEEP": (_sleep, 3, 3, ("<seconds>", "Stop the whole server for this time.")),
    b"HELP": (_help, 2, 2, ("", "")),
}
