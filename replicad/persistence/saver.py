"""When and how to save, and the image that all waiting replicas share.

Owns: SAVE, BGSAVE, save points, the forked child, and the full-synchronisation images.  Does not own the formats (``rdb``)
nor the places (backends), nor what a replica is told (``replication.downstream``).

Saves and images are made by a forked child (``child``); one runs at a time, as in Redis.

One image for many.  A replica that needs a full synchronisation is handed to ``request_image``.  All replicas that wait when
an image starts share it.  The image is the dataset at the offset of that instant; the replica's cursor into the history
stands there, so the writes that come meanwhile are buffered once, for all of them.  Two targets, as in Redis: *disk* (the
child writes a file, which is sent with its length when it is complete; the file has no name, so nothing is left behind on a
master that persists nothing) and *socket* (the child writes into a pipe and the parent passes the bytes on as they come; the
slowest participant sets the pace).

What a participant (``Downstream``) must offer::

    capa_eof: bool; image_filter: frozenset[str] | None (REPLCONF rdb-filter-only; None: everything)
    image_begins(offset, target)       # the instant: say +FULLRESYNC, pin a cursor at offset; target "disk" or "socket"
    image_file(fd, size)               # disk: the complete image; the participant reads it by os.pread and closes its fd
    image_chunk(data)                  # socket: pass it on
    image_ready() -> bool              # socket: whether it can take another chunk now; when not, it calls saver.pull() later
    image_ended()                      # socket: all chunks were given
    image_failed(reason)               # nothing more comes: close the link
"""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from replicad import REDIS_VERSION
from replicad.persistence import rdb
from replicad.persistence.child import Child, ImagePipe, unnamed_file, wide_pipe, write_all
from replicad.persistence.interfaces import ISnapshotBackend, ISnapshotBackendFactory, SnapshotInfo

if TYPE_CHECKING:
    from replicad.config import Settings
    from replicad.server import Server

#: Most bytes of the end of the stream that are stored with a snapshot.
_TAIL_BYTES = 256 * 1024
#: Seconds until a background save that failed is tried again without being asked for.
_PAUSE_AFTER_FAILURE = 5


def make_backend(settings: Settings) -> Any:
    """The snapshot backend that the directive ``snapshot-backend`` names: ours, or a third party's plugin."""
    from twisted.plugin import getPlugins

    name = settings["snapshot-backend"]
    from replicad.persistence.lmdbstore import LMDBFactory
    from replicad.persistence.rdbfile import RDBFileFactory

    ours: list[Any] = [RDBFileFactory(), LMDBFactory()]
    for factory in ours:  # without looking through all plugins, which takes 0.1 s
        if factory.name == name:
            return factory.make(settings)
    for factory in getPlugins(ISnapshotBackendFactory):
        if factory.name == name:
            return ISnapshotBackend(factory.make(settings))
    raise SystemExit(f"replicad: no snapshot backend is called '{name}' (directive snapshot-backend)")


class Saver:
    """Snapshots of one server."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.changes = 0  #: changes to the dataset that moved no ``dirty`` (expiry)
        self._saved_version = 0
        self.last_save = int(time.time())
        self.last_try = 0.0
        self.failed = False  #: the last save failed
        self.last_seconds = -1
        self.last_fork_usec = 0
        self.saves = 0
        self.forks = 0
        self._stored: SnapshotInfo | None = None  #: what the stored snapshot is a snapshot of
        self._child: Child | None = None
        self._scheduled = False
        self._told_of_version = False
        self.waiting: list[Any] = []  #: replicas that wait for an image to begin
        self.participants: list[Any] = []  #: replicas that take part in the image under way
        self._waiting_since = 0.0
        self._image: str | None = None  #: "disk" or "socket" while an image is made
        self._image_fd = -1
        self._image_filter: Any = None
        self._pipe: ImagePipe | None = None
        self._pipe_failure: str | None = None
        self._mark = 0

    # -- state for INFO

    @property
    def dirty(self) -> int:
        """Changes since the last save."""
        return self.version - self._saved_version

    @property
    def saving(self) -> bool:
        """A background save or image is under way."""
        return self._child is not None

    @property
    def seconds(self) -> int:
        """How long the current background save has run, -1 when none does."""
        return int(time.time() - self._child.started) if self._child else -1

    @property
    def image_running(self) -> str | None:
        """``disk`` or ``socket`` while an image for replicas is made."""
        return self._image

    @property
    def version(self) -> int:
        """Stands for the dataset as it is now, see ``has_stored``."""
        return self.server.dirty + self.changes

    def has_stored(self, version: int) -> bool:
        """Whether the stored snapshot has every change up to ``version``."""
        return bool(self.server.settings["save"]) and self._saved_version >= version

    @property
    def durable_offset(self) -> int:
        """The history is stored and synced up to here; -1 when nothing of it is, or nothing is to be stored."""
        info = self._stored
        server = self.server
        if info is None or info.replid is None or not server.settings["save"]:
            return -1
        return info.offset if server.history.has(info.replid, info.offset) else -1

    def loaded(self, info: SnapshotInfo | None = None) -> None:
        """The dataset was loaded from the snapshot ``info``: nothing is unsaved."""
        if info is not None:
            self._stored = dataclasses.replace(info, tail=b"")
        self._saved_version = self.version
        saved_at = self.server.backend.last_saved()
        if saved_at is not None:
            self.last_save = int(saved_at)

    def info(self) -> SnapshotInfo:
        """What is stored with the dataset as it is at this instant: the replication state, with the end of the stream."""
        server, history = self.server, self.server.history
        server.propagation.flush()
        replid, offset, selected = server.replication.snapshot_state()
        info = self._description(replid, offset, selected)
        if replid is None:
            return info
        second = (history.replid2, history.second_offset) if history.second_offset >= 0 else (None, -1)
        return dataclasses.replace(info, second_replid=second[0], second_offset=second[1], tail=history.tail(_TAIL_BYTES))

    def _description(self, replid: str | None, offset: int, selected: int) -> SnapshotInfo:
        """What a snapshot and an image say of themselves."""
        server = self.server
        return SnapshotInfo(
            replid=replid,
            offset=offset,
            selected_db=selected,
            saved_at=time.time(),
            functions=server.functions,
            redis_version=REDIS_VERSION,
            used_memory=server.memory(),
        )

    def entries(self) -> Iterator[tuple[int, bytes, Any, int | None]]:
        """Every entry of every database."""
        for db in self.server.databases:
            yield from db.entries()

    # -- saves

    def save(self) -> None:
        """SAVE: in the foreground.  Raises OSError."""
        server = self.server
        started = time.time()
        self.last_try = started
        info = self.info()
        try:
            server.backend.save(self.entries(), info)
        except Exception as error:
            server.log.warning(f"Error saving the DB: {type(error).__name__}: {error}")
            self._save_failed()
            raise OSError(str(error)) from error
        self._save_succeeded(self.version, info)
        self.last_seconds = int(time.time() - started)
        server.log.notice("DB saved on disk")

    def bgsave(self) -> bool:
        """BGSAVE: in a child.  False when another child is running (the caller decides to schedule)."""
        if self._child is not None:
            return False
        server = self.server
        info = self.info()
        version = self.version
        self.last_try = time.time()

        def work() -> None:
            server.backend.save(self.entries(), info)
            server.log.notice("DB saved on disk")

        def done(failure: str | None) -> None:
            self._child_gone()
            if failure is None:
                server.log.notice("Background saving terminated with success")
                self._save_succeeded(version, info)
            else:
                server.log.warning(f"Background saving error: {failure}")
                self._save_failed()
            self.tick()

        child = self._fork(work, [], done)
        if child is not None:
            server.log.notice(f"Background saving started by pid {child.pid}")
        return True

    def schedule(self) -> None:
        """Save as soon as the running child has ended (BGSAVE SCHEDULE)."""
        self._scheduled = True

    def abandon(self) -> None:
        """The server stops: end the running child."""
        if self._child is not None:
            self.server.log.warning("There is a child saving an .rdb. Killing it!")
            self._child.kill()
            self._child = None

    def _fork(self, work: Any, keep: list[int], done: Any) -> Child | None:
        """Start a child; None when there can be none, and then ``done`` has been told."""
        try:
            child = self._child = Child(self.server, work, keep, done)
        except OSError as error:
            self.server.log.warning(f"Can't save in background: fork: {error.strerror}")
            self._save_failed()
            done(f"fork: {error.strerror}")
            return None
        self.last_fork_usec = child.fork_usec
        self.forks += 1
        self.server.watch_latency(b"fork", child.fork_usec * 1000)
        self._scheduled = False
        return child

    def _child_gone(self) -> None:
        if self._child is not None:
            self.last_seconds = int(time.time() - self._child.started)
        self._child = None

    def _save_succeeded(self, version: int, info: SnapshotInfo) -> None:
        self._saved_version = version
        self._stored = dataclasses.replace(info, tail=b"")
        self.last_save = int(time.time())
        self.failed = False
        self.saves += 1
        self.server.update_gates()
        self.server.replication.stored()

    def _save_failed(self) -> None:
        self.failed = True
        self.server.update_gates()

    def tick(self) -> None:
        """Ten times a second: save points, scheduled saves, images for waiting replicas."""
        if self._child is not None or self.server.loading:
            return
        if self.waiting and self._image is None:
            self._maybe_start_image()
            if self._child is not None:
                return
        now = time.time()
        if self.failed and now - self.last_try < _PAUSE_AFTER_FAILURE:
            return
        if self._scheduled:
            self.bgsave()
            return
        dirty = self.dirty
        if not dirty:
            return
        for seconds, changes in self.server.settings["save"]:
            if dirty >= changes and now - self.last_save > seconds:
                self.server.log.notice(f"{changes} changes in {seconds} seconds. Saving...")
                self.bgsave()
                return

    # -- images

    def request_image(self, replica: Any) -> None:
        """``replica`` needs a full synchronisation: it joins the image under way when it may, or waits for the next."""
        log = self.server.log
        if self._image == "disk" and self._may_join(replica):
            log.notice("Waiting for end of BGSAVE for SYNC")
            self.participants.append(replica)
            replica.image_begins(self._mark, "disk")
            return
        if not self.waiting:
            self._waiting_since = time.monotonic()
        self.waiting.append(replica)
        if self._image == "socket":
            log.notice("Current BGSAVE has socket target. Waiting for next BGSAVE for SYNC")
        elif self._image == "disk":
            log.notice("Can't attach the replica to the current BGSAVE. Waiting for next BGSAVE for SYNC")
        elif self._child is not None:
            # the only other child there is, a plain BGSAVE: nobody keeps what was written since it began
            log.notice("Can't attach the replica to the current BGSAVE. Waiting for next BGSAVE for SYNC")
        else:
            settings = self.server.settings
            if settings["repl-diskless-sync"] and settings["repl-diskless-sync-delay"] and replica.capa_eof:
                log.notice("Delay next BGSAVE for diskless SYNC")
            self._maybe_start_image()

    def _may_join(self, replica: Any) -> bool:
        """A disk image under way is shared by a replica whose writes since then are still in the history."""
        if replica.image_filter != self._image_filter:
            return False
        return self.server.history.start <= self._mark

    def forget(self, replica: Any) -> None:
        """``replica`` is gone."""
        if replica in self.waiting:
            self.waiting.remove(replica)
        if replica in self.participants:
            self.participants.remove(replica)
            if not self.participants and self._image == "socket" and self._image_is_written:
                self.server.log.warning("Diskless rdb transfer, last replica dropped, killing fork child.")
                self._kill_image_child()
                self._image_over()
            else:
                self.pull()

    def _maybe_start_image(self) -> None:
        settings = self.server.settings
        first = self.waiting[0]
        together = [r for r in self.waiting if r.image_filter == first.image_filter]
        filtered = first.image_filter is not None
        socket = (settings["repl-diskless-sync"] or filtered) and all(r.capa_eof for r in together)
        if socket and settings["repl-diskless-sync"]:
            enough = settings["repl-diskless-sync-max-replicas"]
            waited = time.monotonic() - self._waiting_since
            if waited < settings["repl-diskless-sync-delay"] and not (enough and len(together) >= enough):
                return
        self._start_image(together, "socket" if socket else "disk")

    def _tell_of_version(self) -> None:
        """An old replica does not tell its master why it refuses an image; the log says beforehand, once, that it will."""
        fields = (db.field_deadlines for db in self.server.databases)
        if not self._told_of_version and any(deadlines is not None and deadlines.count for deadlines in fields):
            self._told_of_version = True
            self.server.log.warning(
                "There are hashes with fields that expire. They need RDB version 12: replicas older than Redis 7.4 cannot "
                "load the image."
            )

    def _start_image(self, replicas: list[Any], target: str) -> None:
        server = self.server
        server.log.notice(f"Starting BGSAVE for SYNC with target: {'replicas sockets' if target == 'socket' else 'disk'}")
        self._tell_of_version()
        self.waiting = [r for r in self.waiting if r not in replicas]
        self._waiting_since = time.monotonic()
        image_filter = replicas[0].image_filter
        try:
            if target == "disk":
                fd = out_fd = unnamed_file(server.settings["dir"])
            else:
                fd, out_fd = wide_pipe()
        except OSError as error:
            server.log.warning(f"BGSAVE for replication failed: {error.strerror}")
            for replica in replicas:
                replica.image_failed("BGSAVE failed, replication can't continue")
            return
        server.propagation.flush()
        info = self._description(*server.replication.stream_state())
        checksum, compress = server.settings["rdbchecksum"], server.settings["rdbcompression"]

        def work() -> None:
            # the dataset holds still in the child, so the oldest version that carries it can be looked up first
            content, state = (self.entries, info) if image_filter is None else (_nothing, _filtered(info, image_filter))
            encoder = rdb.Encoder(rdb.required_version(content(), state), checksum=checksum, compress=compress)
            sizes = {db.index: (len(db), db.deadlines.count) for db in server.databases} if image_filter is None else {}
            for chunk in encoder.encode(content(), state, sizes):
                write_all(out_fd, chunk)
            if target == "disk":
                server.log.notice("DB saved on disk")

        def done(failure: str | None) -> None:
            self._child_gone()
            if target == "socket" and self._pipe is not None and not self._pipe.ended:
                self._pipe_failure = failure or ""  # wait until the pipe is drained
                self.pull()
                return
            self._image_done(failure)

        self._image = target
        self._image_filter = image_filter
        self._image_fd = fd
        self._mark = server.history.offset
        self._pipe_failure = None
        self.participants = list(replicas)
        child = self._fork(work, [out_fd], done)
        if child is None:
            if target == "socket":
                os.close(fd)
                os.close(out_fd)
            return
        if target == "disk":
            server.log.notice(f"Background saving started by pid {child.pid}")
        else:
            server.log.notice(f"Background RDB transfer started by pid {child.pid}")
            os.close(out_fd)
            self._pipe = ImagePipe(self, fd)
        # the stream of every replica starts over with a SELECT, as after each +FULLRESYNC
        if server.replication.upstream is None:
            server.history.selected_db = -1
        for replica in list(self.participants):
            replica.image_begins(self._mark, target)
        self.pull()

    def pull(self) -> None:
        """Read more of a socket image when every participant can take it."""
        if self._pipe is not None:
            self._pipe.read(all(r.image_ready() for r in self.participants))

    def image_data(self, data: bytes) -> None:
        """A chunk of a socket image came out of the pipe."""
        for replica in list(self.participants):
            replica.image_chunk(data)
        self.pull()

    def pipe_ended(self) -> None:
        """The child has written everything, or died."""
        self._pipe = None
        self.server.log.notice(
            f"Diskless rdb transfer, done reading from pipe, {len(self.participants)} replicas still up."
        )
        if not self._image_is_written:
            self._image_done(self._pipe_failure or None)

    def _image_done(self, failure: str | None) -> None:
        server, target = self.server, self._image
        participants, fd = self.participants, self._image_fd
        if failure is not None:
            server.log.warning(f"Background transfer error: {failure}")
            self._image_over()
            for replica in participants:
                replica.image_failed("SYNC failed. BGSAVE child returned an error")
        elif target == "disk":
            server.log.notice("Background saving terminated with success")
            size = os.fstat(fd).st_size
            shared = [(replica, os.dup(fd)) for replica in participants]
            self._image_over()
            for replica, own_fd in shared:
                replica.image_file(own_fd, size)
        else:
            server.log.notice("Background RDB transfer terminated with success")
            self._image_over()
            for replica in participants:
                replica.image_ended()
        self.tick()

    def drop_image(self) -> None:
        """The history that the image under way belongs to is over, and so is the image."""
        if self._image is None:
            return
        if self._image_is_written:
            self._kill_image_child()
        participants = self.participants
        self._image_over()
        for replica in participants:
            replica.image_failed("SYNC failed: the replication history has changed")

    @property
    def _image_is_written(self) -> bool:
        """The image under way has a child that has not ended.

        Behind a socket image that is still read from the pipe a plain save may have begun: that child is another one.
        """
        return self._child is not None and self._pipe_failure is None

    def _kill_image_child(self) -> None:
        assert self._child is not None
        self._child.kill()
        self._child_gone()

    def _image_over(self) -> None:
        if self._pipe is not None:
            self._pipe.close()
            self._pipe = None
        if self._image == "disk" and self._image_fd >= 0:
            os.close(self._image_fd)
        self._image_fd = -1
        self._image = None
        self.participants = []


def _nothing() -> Iterator[tuple[int, bytes, Any, int | None]]:
    return iter(())


def _filtered(info: SnapshotInfo, image_filter: frozenset[str]) -> SnapshotInfo:
    """What of ``info`` goes into an image without keys: functions when they were asked for."""
    return info if "functions" in image_filter else dataclasses.replace(info, functions=())
