"""The RDB codec: entries to bytes and bytes to entries.  It opens no file, forks nothing and waits for nobody.

The same bytes are a snapshot file, the image that a new replica gets, and (one value with a footer) what DUMP answers.

Which version a document has
----------------------------
A replica refuses a document that is newer than itself and does not say how old it is, so
documents get the oldest version that carries the dataset: 9 (Redis 5) for everything but functions and streams with all
their counters, which need 10 (Redis 7), and hashes whose fields expire, which need 12 (Redis 7.4).  The number comes first
and these values come later.  Three ways out were
considered.  Looking through the dataset first is right where the dataset holds still (:func:`required_version`), but a
view of a changing dataset can be read only once.  Writing 10 always shuts out replicas that could have read the image.
A sink that can go back, a file, takes the third: it writes 9, the encoder raises the number when it meets a stream, and
the first nine bytes are replaced at the end (``rewindable=True``, then :attr:`Encoder.magic`); the checksum is made up
of two halves for that purpose.

How a document is read
----------------------
:class:`Decoder` is fed pieces of any size and returns the entries that are complete.  The loop
over plain strings, which most keys are, is written out in one place without a call; everything else goes through the
readers in ``rdb_read``.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable, Iterator, Mapping
from struct import Struct
from typing import Any

import anycrc

from ..expiring_hash import ExpiringHash
from ..values import Entry, ModuleValue, SortedSet, Stream
from .interfaces import DamagedSnapshot, SnapshotInfo
from .lzf import MAX_EXPANSION, expand
from .lzf import compress as compress_string
from .rdb_compact import Corrupt
from .rdb_read import CONTAINERS, READERS, Reader, Source, read_list_node, read_module_items
from .rdb_write import LENGTHS, encode_length, encode_string, value_pieces, value_type

__all__ = [
    "NEWEST_VERSION",
    "Decoder",
    "Encoder",
    "PayloadFooterError",
    "dump_payload",
    "encode_value",
    "load_payload",
    "required_version",
]

#: The newest version that is read.
NEWEST_VERSION = 12
#: The oldest version that is written on our own account; every server since Redis 5.0 reads it.
PLAIN_VERSION = 9
#: The version that carries streams with all their counters, and functions.
STREAM_VERSION = 10
#: The version that carries the deadlines of hash fields.
FIELD_DEADLINES_VERSION = 12

_CHUNK = 128 * 1024
_OP_SLOT_INFO, _OP_FUNCTION2, _OP_FUNCTION_PRE_GA, _OP_MODULE_AUX = 0xF4, 0xF5, 0xF6, 0xF7
_OP_IDLE, _OP_FREQ, _OP_AUX, _OP_RESIZEDB = 0xF8, 0xF9, 0xFA, 0xFB
_OP_EXPIRE_MS, _OP_EXPIRE, _OP_SELECTDB, _OP_EOF = 0xFC, 0xFD, 0xFE, 0xFF

_crc = anycrc.Model("CRC64-REDIS")
_pack_i64 = Struct("<q").pack
_i64 = Struct("<q").unpack_from
_i32 = Struct("<i").unpack_from

_QUICKLIST2 = 18
#: By opcode: what makes the collection of a value that is one string; a quicklist counts when it has one node.
_BUILDERS = [CONTAINERS.get(opcode) for opcode in range(256)]
_BUILDERS[_QUICKLIST2] = read_list_node

#: Type byte and length of a short key in one.
_STRING_HEADS = tuple(b"\x00" + length for length in LENGTHS)


def required_version(entries: Iterable[Entry], info: SnapshotInfo) -> int:
    """Return the oldest version that carries this dataset without loss.

    That is 9, or 10 with functions or streams, or 12 with hashes whose fields expire.
    """
    version = STREAM_VERSION if info.functions else PLAIN_VERSION
    for entry in entries:
        kind = type(entry[2])
        if kind is Stream:
            version = STREAM_VERSION
        elif kind is ExpiringHash and entry[2].deadlines:  # type: ignore[union-attr]
            return FIELD_DEADLINES_VERSION
    return version


class Encoder:
    """Writes one RDB document.

    ``version`` is the version to write (6 to 12), None for the oldest one that will do: 10 with functions, else 9, in
    which streams lose their counters (greatest deleted id, entries added, entries read by groups) and nothing else.
    With ``rewindable`` the version is raised when the first value comes along that needs a newer one, and the sink must
    replace the first nine bytes of the document with ``magic`` after the last chunk.  ``checksum`` off writes 0, which
    readers take as "not computed".  ``compress`` allows LZF for values and elements above 20 bytes.

    After :meth:`encode` has ended, ``version`` and ``magic`` say what was written and ``keys`` how many keys.
    """

    def __init__(
        self, version: int | None = None, *, checksum: bool = True, compress: bool = False, rewindable: bool = False
    ) -> None:
        if version is not None and not 6 <= version <= NEWEST_VERSION:
            raise ValueError(f"RDB version {version} cannot be written")
        self._fixed = version
        self._rewindable = rewindable and version is None
        self._checksum = checksum
        self._compress = compress
        self.version = version or PLAIN_VERSION
        self.keys = 0

    @property
    def magic(self) -> bytes:
        """The nine bytes that a document of this version starts with."""
        return b"REDIS%04d" % self.version

    def encode(
        self, entries: Iterable[Entry], info: SnapshotInfo, sizes: Mapping[int, tuple[int, int]] | None = None
    ) -> Iterator[bytes]:
        """Yield the document in chunks of about 128 KB (a single huge string makes a bigger one).

        ``sizes`` maps database indexes to (keys, keys with expiry) where they are known beforehand; readers use them to
        make room.  A key must not come twice in a database and a collection must not be empty: real servers die of the
        one and drop the other.  Raises ValueError for what the fixed version cannot carry.
        """
        if self._fixed is None:
            self.version = STREAM_VERSION if info.functions else PLAIN_VERSION
        elif self._fixed < STREAM_VERSION and info.functions:
            raise ValueError(f"RDB version {self._fixed} cannot carry functions")
        yield self.magic
        crc = 0
        length = 0
        for chunk in self._body(entries, info, sizes or {}):
            if self._checksum:
                crc = _crc.calc(chunk, crc)
                length += len(chunk)
            yield chunk
        if self._checksum:
            crc = _crc.combine(_crc.calc(self.magic), crc, length)
        yield crc.to_bytes(8, "little") if self._checksum else bytes(8)

    def _body(
        self, entries: Iterable[Entry], info: SnapshotInfo, sizes: Mapping[int, tuple[int, int]]
    ) -> Iterator[bytes]:
        """Yield everything between the magic and the checksum."""
        compressed = self._compress
        heads, lengths = _STRING_HEADS, LENGTHS
        short = len(lengths)
        parts: list[bytes] = self._preamble(info)
        size = 0
        keys = 0
        selected = -1
        for db, key, value, expire_at_ms in entries:
            if db != selected:
                selected = db
                parts.append(b"\xfe" + encode_length(db))
                if db in sizes and self.version > 6:
                    parts.append(b"\xfb" + encode_length(sizes[db][0]) + encode_length(sizes[db][1]))
            if expire_at_ms is not None:
                parts += (b"\xfc", _pack_i64(expire_at_ms))
            keys += 1
            key_size = len(key)
            if type(value) is bytes:
                value_size = len(value)
                size += key_size + value_size + 8
                if key_size < short:
                    parts += (heads[key_size], key)
                else:
                    parts += (b"\x00", encode_length(key_size), key)
                if value_size < 12:
                    parts.append(encode_string(value))
                elif not compressed or value_size < 21 or (packed := compress_string(value, value_size - 4)) is None:
                    parts += (lengths[value_size] if value_size < short else encode_length(value_size), value)
                else:
                    parts += (b"\xc3", encode_length(len(packed)), encode_length(value_size), packed)
                    size += len(packed) - value_size
            else:
                if type(value) is Stream:
                    self._meet_stream()
                elif type(value) is ExpiringHash and value.deadlines:
                    self._meet_field_deadlines()
                parts += (bytes((value_type(value, self.version),)), encode_length(key_size), key)
                size += key_size
                for piece in value_pieces(value, self.version, compressed):
                    parts.append(piece)
                    size += len(piece)
                    if size > _CHUNK:
                        yield b"".join(parts)
                        parts = []
                        size = 0
            if size > _CHUNK:
                yield b"".join(parts)
                parts = []
                size = 0
        self.keys = keys
        parts.append(b"\xff")
        yield b"".join(parts)

    def _meet_stream(self) -> None:
        if self._rewindable:
            self.version = max(self.version, STREAM_VERSION)
        elif self.version < PLAIN_VERSION:
            raise ValueError(f"RDB version {self.version} cannot carry streams")

    def _meet_field_deadlines(self) -> None:
        if self._rewindable:
            self.version = FIELD_DEADLINES_VERSION
        elif self.version < FIELD_DEADLINES_VERSION:
            raise ValueError(f"RDB version {self.version} cannot carry hashes whose fields expire")

    def _preamble(self, info: SnapshotInfo) -> list[bytes]:
        """Return the fields about the document and its functions."""
        if self.version < 7:
            return []
        parts = []
        for name, value in _aux_fields(info):
            parts.append(b"\xfa" + encode_string(name) + encode_string(value))
        for source in info.functions:
            parts.append(b"\xf5" + encode_string(source, self._compress))
        return parts


def _aux_fields(info: SnapshotInfo) -> Iterator[tuple[bytes, bytes]]:
    """Yield the AUX fields, in the order of a real server.

    The second replication id has no field there; readers that do not know its name pass over it.
    """
    if info.redis_version:
        yield b"redis-ver", info.redis_version.encode()
    yield b"redis-bits", b"64"
    yield b"ctime", b"%d" % (info.saved_at or time.time())
    yield b"used-mem", b"%d" % info.used_memory
    if info.replid is not None:
        yield b"repl-stream-db", b"%d" % info.selected_db
        yield b"repl-id", info.replid.encode()
        yield b"repl-offset", b"%d" % info.offset
        if info.second_replid is not None:
            yield b"replicad-second-id", info.second_replid.encode()
            yield b"replicad-second-offset", b"%d" % info.second_offset
    yield b"aof-base", b"0"


class Decoder:
    """Reads one RDB document from pieces of any size.

    Versions 1 to 12 with every type and encoding.  What this server has no place for is left out: idle times and access
    frequencies, data of modules beside the keys, the cluster's slot hints, and scripts of old servers.  Empty collections
    are passed over.  Keys and hash fields that have expired are returned like others.  That no key comes twice in a
    database is for the caller to see, who has them all (``loader.check_distinct``).

    ``bytes_read`` counts the bytes that were understood, ``finished`` is True after the last one, and ``unused`` then
    holds what came after it.  Errors are DamagedSnapshot without a path; afterwards every call raises the same error
    again.
    """

    def __init__(self) -> None:
        self._source = Source()
        self._parser = self._parse()
        self._parts: list[bytes] = []
        self._have = 0
        self._crc = 0
        self._out: list[Entry] = []
        self._error: DamagedSnapshot | None = None
        self._aux: dict[bytes, bytes] = {}
        self._functions: list[bytes] = []
        self.version = 0
        self.finished = False
        self.unused = b""

    @property
    def bytes_read(self) -> int:
        """The length of the part that was read so far."""
        return self._source.base + self._source.pos

    @property
    def info(self) -> SnapshotInfo:
        """What the document says about itself so far; complete when the first entry has been returned.

        Only strange documents have such fields after the first key; ``info`` has those too once they were read.
        """
        aux = self._aux
        replid = _replid(aux, b"repl-id")
        offset = _decimal(aux, b"repl-offset", -1)
        if replid is None or offset < 0:
            replid, offset = None, -1
        second_replid = _replid(aux, b"replicad-second-id") if replid else None
        return SnapshotInfo(
            replid=replid,
            offset=offset,
            selected_db=max(_decimal(aux, b"repl-stream-db", -1), -1),
            second_replid=second_replid,
            second_offset=_decimal(aux, b"replicad-second-offset", -1) if second_replid else -1,
            saved_at=max(_decimal(aux, b"ctime", 0), 0),
            functions=tuple(self._functions),
            redis_version=(aux.get(b"redis-ver") or aux.get(b"valkey-ver") or b"").decode("latin-1"),
            used_memory=max(_decimal(aux, b"used-mem", 0), 0),
        )

    def feed(self, data: bytes) -> list[Entry]:
        """Take the next piece and return the entries that it completes, in the order of the document.

        Raises DamagedSnapshot.
        """
        if self._error is not None:
            raise self._error
        if self.finished:
            self.unused += data
            return []
        source = self._source
        self._parts.append(data)
        self._have += len(data)
        if self._have < source.needed:
            return []
        source.buf = b"".join(self._parts)
        try:
            next(self._parser)
        except StopIteration:
            self.finished = True
            self.unused = source.buf[source.pos :]
            source.base += source.pos
            source.buf = b""
            source.pos = 0
            self._parts.clear()
        except Corrupt as error:
            self._error = DamagedSnapshot("", source.base + source.pos, str(error))
            raise self._error from None
        else:
            read = source.pos
            self._crc = _crc.calc(memoryview(source.buf)[:read], self._crc)
            source.base += read
            source.buf = source.buf[read:]
            source.pos = 0
            self._parts = [source.buf]
            self._have = len(source.buf)
        entries = self._out.copy()
        self._out.clear()
        return entries

    def close(self) -> None:
        """Say that no more bytes will come.  Raises DamagedSnapshot when the document is not complete."""
        if self._error is not None:
            raise self._error
        if not self.finished:
            self._error = DamagedSnapshot("", self._source.base + self._have, "the data ends too early")
            raise self._error

    def _parse(self) -> Generator[None, None, None]:
        """The reader of the whole document; yields when it needs bytes."""
        source = self._source
        self.version = _read_magic((yield from source.take(9)))
        append = self._out.append
        builders = _BUILDERS
        from_bytes = int.from_bytes
        db = 0
        expire: int | None = None
        while True:
            # Fast: strings, and collections that are one string, that lie in the buffer completely.  Whatever does not
            # fit is left to the slow part below, which also finds the words for what is wrong.
            buf, pos = source.buf, source.pos
            end = len(buf)
            try:
                while True:
                    opcode = buf[pos]
                    if opcode:
                        if opcode == 0xFC and pos + 9 <= end:
                            expire = _i64(buf, pos + 1)[0]
                            pos += 9
                            continue
                        build = builders[opcode]
                        if build is None:
                            break
                    size = buf[pos + 1]
                    if size < 64:
                        start = pos + 2
                    elif size < 128:
                        size = (size & 63) << 8 | buf[pos + 2]
                        start = pos + 3
                    else:
                        break
                    stop = start + size
                    key = buf[start:stop]
                    if opcode == _QUICKLIST2:
                        # The number of nodes, and the kind of the first: a listpack.
                        if buf[stop] != 1 or buf[stop + 1] != 2:
                            break
                        stop += 2
                    size = buf[stop]
                    if size < 64:
                        stop += 1
                        start = stop
                        stop += size
                        if stop > end:
                            break
                        value = buf[start:stop]
                    elif size < 128:
                        start = stop + 2
                        stop = start + ((size & 63) << 8 | buf[stop + 1])
                        if stop > end:
                            break
                        value = buf[start:stop]
                    elif size == 0xC3:
                        size = buf[stop + 1]
                        if size < 64:
                            stop += 2
                        elif size < 128:
                            size = (size & 63) << 8 | buf[stop + 2]
                            stop += 3
                        else:
                            break
                        full_size = buf[stop]
                        if full_size < 64:
                            start = stop + 1
                        elif full_size < 128:
                            full_size = (full_size & 63) << 8 | buf[stop + 1]
                            start = stop + 2
                        else:
                            break
                        stop = start + size
                        if stop > end or full_size > size * MAX_EXPANSION or not full_size:
                            break
                        expanded = expand(buf[start:stop], full_size)
                        if expanded is None or len(expanded) != full_size:
                            break
                        value = expanded
                    elif size < 0xC3 and size > 0xBF:
                        start = stop + 1
                        stop = start + (1 << (size & 3))
                        if stop > end:
                            break
                        value = b"%d" % from_bytes(buf[start:stop], "little", signed=True)
                    else:
                        break
                    if not opcode:
                        append((db, key, value, expire))
                    elif collection := build(value):  # type: ignore[misc]
                        append((db, key, collection, expire))
                    expire = None
                    pos = stop
            except (IndexError, ValueError):
                pass
            except Corrupt:
                source.pos = pos
                raise
            source.pos = pos
            # Slow: one thing of any kind, however its bytes arrive.
            if pos == end:
                yield from source.wait(1)
                continue
            opcode = source.buf[pos]
            source.pos = pos + 1
            if opcode < _OP_SLOT_INFO:
                read = READERS.get(opcode)
                if read is None:
                    source.pos = pos
                    raise Corrupt(f"unknown value type {opcode}")
                if (name := source.plain_string()) is None:
                    name = yield from source.string()
                key = name
                value = yield from read(source)
                if value or type(value) in (bytes, Stream):
                    append((db, key, value, expire))
                expire = None
            elif opcode == _OP_SELECTDB:
                db = yield from source.length()
            elif opcode == _OP_EXPIRE_MS:
                expire = _i64((yield from source.take(8)), 0)[0]
            elif opcode == _OP_EXPIRE:
                expire = _i32((yield from source.take(4)), 0)[0] * 1000
            elif opcode == _OP_EOF:
                break
            else:
                yield from self._hint(opcode)
        if self.version >= 5:
            computed = _crc.calc(memoryview(source.buf)[: source.pos], self._crc)
            stored = int.from_bytes((yield from source.take(8)), "little")
            if stored not in (0, computed):
                raise Corrupt(f"checksum is {computed:016x}, the document says {stored:016x}")

    def _hint(self, opcode: int) -> Generator[None, None, None]:
        """Read what is neither a key nor belongs to one."""
        source = self._source
        if opcode == _OP_AUX:
            name = yield from source.string()
            value = yield from source.string()
            if len(name) < 64 and len(value) < 1024:
                self._aux[name.lower()] = value
        elif opcode == _OP_RESIZEDB:
            yield from source.length()
            yield from source.length()
        elif opcode == _OP_FREQ:
            yield from source.take(1)
        elif opcode == _OP_IDLE:
            yield from source.length()
        elif opcode == _OP_FUNCTION2:
            self._functions.append((yield from source.string()))
        elif opcode == _OP_FUNCTION_PRE_GA:
            yield from self._old_function()
        elif opcode == _OP_MODULE_AUX:
            yield from source.length()
            if (yield from source.length()) != 2:
                raise Corrupt("module data does not start with its time")
            yield from source.length()
            yield from read_module_items(source, [])
        else:
            for _ in range(3):
                yield from source.length()

    def _old_function(self) -> Reader:
        """Read a library as the release candidates of Redis 7.0 wrote it, and give it the first line of today."""
        source = self._source
        name = yield from source.string()
        engine = yield from source.string()
        if (yield from source.length()):
            yield from source.string()
        code = yield from source.string()
        self._functions.append(b"#!%b name=%b\n%b" % (engine.lower(), name, code))


def _read_magic(magic: bytes) -> int:
    if magic[:6] == b"VALKEY" and magic[6:].isdigit():
        raise Corrupt(f"Valkey's RDB version {int(magic[6:])} is not supported, the newest is {NEWEST_VERSION}")
    if magic[:5] != b"REDIS" or not magic[5:].isdigit():
        raise Corrupt("this is not an RDB document")
    version = int(magic[5:])
    if not 1 <= version <= NEWEST_VERSION:
        raise Corrupt(f"RDB version {version} is not supported, the newest is {NEWEST_VERSION}")
    return version


def _decimal(aux: Mapping[bytes, bytes], name: bytes, default: int) -> int:
    text = aux.get(name, b"")
    if not 0 < len(text) <= 20 or not text.removeprefix(b"-").isdigit():
        return default
    return int(text)


def _replid(aux: Mapping[bytes, bytes], name: bytes) -> str | None:
    text = aux.get(name, b"")
    if len(text) != 40 or text.strip(b"0123456789abcdefABCDEF"):
        return None
    return text.decode()


class PayloadFooterError(ValueError):
    """The version or the checksum at the end of a DUMP payload is wrong."""


class NotAFunction(ValueError):
    """Something else than a library of functions is in a payload of FUNCTION DUMP."""


def encode_value(value: Any, version: int = STREAM_VERSION, compressed: bool = False) -> bytes:
    """Return the type byte of ``value`` and its RDB form."""
    return b"".join((bytes((value_type(value, version),)), *value_pieces(value, version, compressed)))


def dump_payload(value: Any, version: int | None = None) -> bytes:
    """Return what DUMP answers for ``value``: type, value, version, checksum.

    The version is the lowest that allows the type (readers only demand that it is not above their own), unless it is
    given.
    """
    kind = type(value)
    if version is None:
        version = {Stream: STREAM_VERSION, SortedSet: 8, ModuleValue: 8}.get(kind, 6)
        if kind is ExpiringHash and value.deadlines:
            version = FIELD_DEADLINES_VERSION
    data = encode_value(value, version) + version.to_bytes(2, "little")
    crc: int = _crc.calc(data)
    return data + crc.to_bytes(8, "little")


def load_payload(payload: bytes, checked: bool = True) -> Any:
    """Return the value in a DUMP payload.  With ``checked`` false the checksum may be any.

    Raises PayloadFooterError when version or checksum are wrong, and DamagedSnapshot when the value does not decode, is
    an empty collection, or is followed by more bytes.
    """
    return decode_value(_without_footer(payload, checked))


def _without_footer(payload: bytes, checked: bool = True) -> bytes:
    """What stands before version and checksum of a payload.  Raises PayloadFooterError."""
    if len(payload) < 10:
        raise PayloadFooterError("payload is too short")
    version = int.from_bytes(payload[-10:-8], "little")
    checksum = int.from_bytes(payload[-8:], "little")
    if version > NEWEST_VERSION or (checked and _crc.calc(memoryview(payload)[:-8]) != checksum):
        raise PayloadFooterError("payload has a wrong version or checksum")
    return payload[:-10]


def dump_functions(sources: Iterable[bytes]) -> bytes:
    """Return what FUNCTION DUMP answers for these libraries: their source, version, checksum."""
    data = b"".join([*(bytes((_OP_FUNCTION2,)) + encode_string(source, True) for source in sources),
                     STREAM_VERSION.to_bytes(2, "little")])  # fmt: skip
    crc: int = _crc.calc(data)
    return data + crc.to_bytes(8, "little")


def load_functions(payload: bytes) -> list[bytes]:
    """Return the source of each library in a payload of FUNCTION DUMP.

    Raises PayloadFooterError when version or checksum are wrong, NotAFunction when something else is among the
    libraries, and DamagedSnapshot when one does not decode.
    """
    end = len(_without_footer(payload))
    source = Source(payload)  # with the footer: Redis does not stop a library from reaching into it
    found: list[bytes] = []
    while source.pos < end:
        if source.buf[source.pos] != _OP_FUNCTION2:
            raise NotAFunction
        source.pos += 1
        try:
            next(source.string())
        except StopIteration as stop:
            found.append(stop.value)
        except Corrupt as error:
            raise DamagedSnapshot("", source.pos, str(error)) from None
        else:
            raise DamagedSnapshot("", source.pos, "the data ends too early")
    return found


def decode_value(data: bytes) -> Any:
    """Return the value whose type byte and RDB form is ``data``; the reverse of :func:`encode_value`.

    Raises DamagedSnapshot when it does not decode, is an empty collection, or is followed by more bytes.
    """
    source = Source(data)
    source.pos = 1
    try:
        read = READERS.get(data[0]) if data else None
        if read is None:
            raise Corrupt(f"unknown value type {data[0]}" if data else "there is no value")
        try:
            next(read(source))
        except StopIteration as stop:
            value = stop.value
        else:
            raise Corrupt("the data ends too early")
        if source.pos != len(data):
            raise Corrupt("bytes follow after the value")
        if not value and type(value) not in (bytes, Stream):
            raise Corrupt("the collection is empty")
    except Corrupt as error:
        raise DamagedSnapshot("", source.pos, str(error)) from None
    return value
