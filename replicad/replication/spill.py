"""Where bytes of the stream go that the backlog in memory has no room for: a file without a name, up to a limit.

With ``repl-backlog-spill`` a replica whose image takes long, or that was away for long, still finds the bytes it needs,
and memory stays bounded however slow it is. Without it the history keeps those bytes in memory as long as an attached
replica needs them, and forgets them when none does.

Owns: the file and what of the stream lies where in it. Does not own what goes into it and who reads it (``history``), the
directive and the log (``roles``).

The file is an array of slots of 64 KiB. A chunk of the stream is collected in memory and written when it is complete, into
a free slot or that of the oldest chunk. So a write always replaces whole pages: it goes to the page cache and never waits
for the disk to read an old page first. A chunk that is read back comes from the page cache too unless it was pushed out.

Rejected: a file that is appended to and freed at its front by punching holes (the file system first writes the dirty pages
of the hole to disk, and stops us for that long); one file for each so many megabytes (closing one frees all its pages at
once); a ring addressed by the position modulo the size (it could not grow without losing what it holds).
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable

CHUNK = 64 * 1024


class Spill:
    """A contiguous part of the stream on disk, the last ``limit`` bytes (rounded to chunks) of what was appended.

    ``open_file`` returns the descriptor of a new file for reading and writing, or raises OSError; it is called when the
    first chunk is complete. ``discard`` gets a descriptor that is not needed any more: freeing a large file takes long.
    Positions are those of the history.
    """

    def __init__(self, open_file: Callable[[], int], discard: Callable[[int], None], limit: int) -> None:
        self._open_file = open_file
        self._discard = discard
        self._fd = -1
        self._slots: deque[int] = deque()
        self._used = 0  # slots that the file has
        self._partial = bytearray()
        self.start = 0  #: the position before the first byte held
        self._capacity = 1
        self.limit = 0
        self.resize(limit)

    @property
    def size(self) -> int:
        """Number of bytes held."""
        return len(self._slots) * CHUNK + len(self._partial)

    @property
    def end(self) -> int:
        """The position behind the last byte held."""
        return self.start + self.size

    def resize(self, limit: int) -> None:
        """Hold ``limit`` bytes from now on. A smaller spill begins anew, so that the disk has its room back."""
        self.limit = limit
        capacity = max(limit // CHUNK, 1)
        if capacity < self._used:
            self.clear()
        self._capacity = capacity

    def append(self, position: int, data: bytes | bytearray) -> None:
        """Add the bytes after ``position``; what is held is dropped when they do not follow it. Raises OSError."""
        if position != self.end:
            self.clear()
            self.start = position
        rest = memoryview(data)
        if self._partial:
            missing = CHUNK - len(self._partial)
            self._partial += rest[:missing]
            rest = rest[missing:]
            if len(self._partial) == CHUNK:
                full, self._partial = self._partial, bytearray()
                self._write(memoryview(full))
        while len(rest) >= CHUNK:
            self._write(rest[:CHUNK])
            rest = rest[CHUNK:]
        self._partial += rest

    def _write(self, chunk: memoryview) -> None:
        if self._fd < 0:
            self._fd = self._open_file()
        if self._used < self._capacity:
            slot = self._used
            self._used += 1
        else:
            slot = self._slots.popleft()
            self.start += CHUNK
        place = slot * CHUNK
        while chunk:
            written = os.pwrite(self._fd, chunk, place)
            place += written
            chunk = chunk[written:]
        self._slots.append(slot)

    def read(self, position: int, limit: int) -> bytes:
        """Return the bytes after ``position``, at most ``limit``. Raises LookupError outside of what is held, OSError."""
        if not self.start <= position <= self.end:
            raise LookupError(f"position {position} is not in the spill ({self.start} to {self.end})")
        number, begin = divmod(position - self.start, CHUNK)
        parts = []
        while limit > 0 and number < len(self._slots):
            wanted = min(limit, CHUNK - begin)
            part = os.pread(self._fd, wanted, self._slots[number] * CHUNK + begin)
            if len(part) < wanted:
                raise OSError("the file is shorter than what was written")
            parts.append(part)
            limit -= wanted
            number, begin = number + 1, 0
        if limit > 0:
            parts.append(bytes(self._partial[begin : begin + limit]))
        return b"".join(parts)

    def clear(self) -> None:
        """Drop what is held, and the file."""
        self.start = self.end
        self._slots.clear()
        self._partial.clear()
        self._used = 0
        fd, self._fd = self._fd, -1
        if fd >= 0:
            self._discard(fd)
