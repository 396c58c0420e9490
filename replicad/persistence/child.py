"""The forked child that makes a snapshot or an image, and the pipes to it.

Owns: the fork, what a child may do, its report, and reading an image from it.  Does not own what the child writes
(``saver``).

The child.  ``fork`` gives a point-in-time view for the price of one system call (5-8 ms per 370 MB), and the second
core does the work.  The child only encodes and writes; it calls no reactor, closes every descriptor that is not its own
(else a client of a killed parent would hang on the child's copy of the socket) and leaves by ``os._exit``.  It reports
through a pipe, whose end of file is also how the parent learns that it died.  One child runs at a time, as in Redis.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import gc
import os
import signal
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from replicad.persistence.saver import Saver
    from replicad.server import Server

CHUNK = 256 * 1024

_prctl: Any = getattr(ctypes.CDLL(None), "prctl", None)  # Linux; looked up here because a child should not


class Child:
    """A forked child that runs ``work`` and reports in one line: ``ok`` or the reason of the failure."""

    def __init__(self, server: Server, work: Any, keep: list[int], done: Any) -> None:
        self._server = server
        self._done = done
        self._report = b""
        self.started = time.time()
        self._read_fd, write_fd = os.pipe()
        self._parent = os.getpid()
        before = time.perf_counter()
        gc.collect(0)
        try:
            self.pid = os.fork()
        except OSError:
            os.close(self._read_fd)
            os.close(write_fd)
            raise
        if self.pid == 0:
            self._in_child(work, write_fd, keep)
        self.fork_usec = int((time.perf_counter() - before) * 1e6)
        os.close(write_fd)
        os.set_blocking(self._read_fd, False)
        server.reactor.addReader(self)

    def _in_child(self, work: Any, write_fd: int, keep: list[int]) -> None:
        report, status = b"ok", 0
        try:
            _die_with(self._parent)
            gc.disable()
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD):
                signal.signal(number, signal.SIG_DFL)
            signal.set_wakeup_fd(-1)
            open_fds = sorted({0, 1, 2, write_fd, *keep})
            for low, high in zip(open_fds, [*open_fds[1:], os.sysconf("SC_OPEN_MAX")], strict=True):
                os.closerange(low + 1, high)
            self._server.log.role = lambda: "C"
            work()
        except BaseException as error:
            report, status = f"{type(error).__name__}: {error}".encode()[:4000] or b"failed", 1
        try:
            os.write(write_fd, report)
        finally:
            os._exit(status)

    # IReadDescriptor

    def fileno(self) -> int:
        return self._read_fd

    def logPrefix(self) -> str:
        return "saver"

    def doRead(self) -> None:
        try:
            data = os.read(self._read_fd, 4096)
        except BlockingIOError:
            return
        if data:
            self._report += data
        else:
            self._finish()

    def connectionLost(self, reason: Any) -> None:
        """The other end was closed (a hang-up without data does not come as doRead), or the reactor stops."""
        self.doRead()

    def _finish(self) -> None:
        self._server.reactor.removeReader(self)
        os.close(self._read_fd)
        try:
            _, status = os.waitpid(self.pid, 0)
        except ChildProcessError:
            status = 0 if self._report == b"ok" else 1
        if self._report == b"ok":
            self._done(None)
        elif os.WIFSIGNALED(status):
            self._done(f"terminated by signal {os.WTERMSIG(status)}")
        else:
            self._done(self._report.decode(errors="replace") or "the child left without a word")

    def kill(self) -> None:
        """End the child; ``done`` is not called."""
        self._done = lambda failure: None
        try:
            os.kill(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


class ImagePipe:
    """The parent's end of a socket image: reads chunks while every participant can take more."""

    def __init__(self, saver: Saver, fd: int) -> None:
        self._saver = saver
        self._fd = fd
        self._reading = False
        self.ended = False
        os.set_blocking(fd, False)

    def fileno(self) -> int:
        return self._fd

    def logPrefix(self) -> str:
        return "image"

    def read(self, on: bool) -> None:
        """Read or hold."""
        if self.ended or on == self._reading:
            return
        self._reading = on
        (self._saver.server.reactor.addReader if on else self._saver.server.reactor.removeReader)(self)

    def doRead(self) -> None:
        try:
            data = os.read(self._fd, CHUNK)
        except BlockingIOError:
            return
        if data:
            self._saver.image_data(data)
        else:
            self.close()
            self._saver.pipe_ended()

    def connectionLost(self, reason: Any) -> None:
        """The other end was closed (a hang-up without data does not come as doRead), or the reactor stops."""
        self.doRead()

    def close(self) -> None:
        """No more is read."""
        if not self.ended:
            self.read(False)
            self.ended = True
            os.close(self._fd)


def _die_with(parent: int) -> None:
    """End this child when ``parent`` is killed: an orphan would replace what the next server saves by something older."""
    if _prctl is not None:
        _prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    if os.getppid() != parent:
        os._exit(1)


def unnamed_file(directory: str) -> int:
    """A descriptor of a new file without a name: it is gone with its last reader."""
    try:
        return os.open(directory, os.O_TMPFILE | os.O_RDWR, 0o600)
    except (OSError, AttributeError):
        import tempfile

        fd, path = tempfile.mkstemp(prefix="temp-sync-", dir=directory)
        os.unlink(path)
        return fd


def wide_pipe() -> tuple[int, int]:
    """A pipe that holds a chunk, where the system can widen it: fewer turns between the child and the sockets."""
    ends = os.pipe()
    with contextlib.suppress(AttributeError, OSError):
        fcntl.fcntl(ends[1], fcntl.F_SETPIPE_SZ, CHUNK)
    return ends


def write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
