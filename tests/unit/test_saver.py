"""Background saves and images when the system refuses: no child, no descriptor, no disk."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Callable
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from replicad.config import load
from replicad.server import Server


class Participant:
    """What the saver knows of a replica."""

    image_filter = None

    def __init__(self, capa_eof: bool) -> None:
        self.capa_eof = capa_eof
        self.ready = True
        self.heard: list[str] = []
        self.size = -1

    def image_begins(self, offset: int, target: str) -> None:
        self.heard.append(f"begins {offset} {target}")

    def image_file(self, fd: int, size: int) -> None:
        os.close(fd)
        self.size = size
        self.heard.append("file")

    def image_chunk(self, data: bytes) -> None:
        self.size += len(data)

    def image_ready(self) -> bool:
        return self.ready

    def image_ended(self) -> None:
        self.heard.append("ended")

    def image_failed(self, reason: str) -> None:
        self.heard.append(reason)


def descriptors() -> int:
    """How many descriptors this process has."""
    return len(os.listdir("/proc/self/fd"))


class Refusals(TestCase):
    """A server in this process whose system calls fail when told so."""

    def setUp(self) -> None:
        self.directory = tempfile.mkdtemp(prefix="replicad-test-")
        self.addCleanup(shutil.rmtree, self.directory, ignore_errors=True)
        overrides = [["dir", self.directory], ["save", ""], ["repl-diskless-sync-delay", "0"], ["logfile", os.devnull]]
        self.server = Server(load(None, overrides))
        self.server.databases[0].put(b"k", b"v")
        self.saver = self.server.saver

    def refuse(self, name: str) -> Any:
        """Let the function ``name`` of ``os`` fail as on an exhausted system."""

        def refused(*args: Any, **kwargs: Any) -> Any:
            raise OSError(errno.EAGAIN, "Resource temporarily unavailable")

        return self.patch(os, name, refused)

    def wait(self, seconds: float) -> Deferred[None]:
        """Let the reactor run."""
        done: Deferred[None] = Deferred()
        reactor.callLater(seconds, done.callback, None)  # type: ignore[attr-defined]
        return done

    def test_no_child(self) -> None:
        self.refuse("fork")
        before = descriptors()
        self.saver.schedule()
        self.saver.tick()  # tries, fails, and does not try again at once
        self.assertEqual((self.saver.failed, self.saver.saving, self.saver.forks), (True, False, 0))
        self.saver.bgsave()
        for settings, capa_eof in (("yes", True), ("no", True), ("yes", False)):
            self.server.settings.set_many([(b"repl-diskless-sync", settings.encode())])
            replica = Participant(capa_eof)
            self.saver.request_image(replica)
            self.assertEqual(replica.heard, ["SYNC failed. BGSAVE child returned an error"])
            self.assertEqual((self.saver.waiting, self.saver.participants, self.saver.image_running), ([], [], None))
        self.assertEqual(descriptors(), before)

    def test_no_pipe(self) -> None:
        self.refuse("pipe")
        before = descriptors()
        replica = Participant(True)
        self.saver.request_image(replica)
        self.assertEqual(replica.heard, ["BGSAVE failed, replication can't continue"])
        self.saver.bgsave()
        self.assertTrue(self.saver.failed)
        self.assertEqual(descriptors(), before)

    def test_no_place_for_the_file(self) -> None:
        self.server.settings.set_many([(b"repl-diskless-sync", b"no")])
        os.rmdir(self.directory)
        replica = Participant(True)
        self.saver.request_image(replica)
        self.assertEqual(replica.heard, ["BGSAVE failed, replication can't continue"])

    async def test_an_image_is_dropped_with_its_history(self) -> None:
        await self.wait(0)  # the reactor has opened its own
        before = descriptors()
        for settings in (b"yes", b"no"):
            self.server.settings.set_many([(b"repl-diskless-sync", settings)])
            replica = Participant(True)
            self.saver.request_image(replica)
            target = self.saver.image_running
            self.saver.drop_image()
            text = "SYNC failed: the replication history has changed"
            self.assertEqual(replica.heard, [f"begins 0 {target}", text])
            # The next one may begin at once.
            other = Participant(True)
            self.saver.request_image(other)
            for _ in range(200):
                if len(other.heard) > 1:
                    break
                await self.wait(0.02)
            self.assertEqual(other.heard, [f"begins 0 {target}", "ended" if target == "socket" else "file"])
            self.assertTrue(other.size > 20)
            self.assertEqual(len(replica.heard), 2)
        await self.wait(0.1)
        self.assertEqual(descriptors(), before)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Let the reactor run until something has happened."""
        for _ in range(200):
            if condition():
                return
            await self.wait(0.02)
        self.fail("it did not happen")

    async def test_a_save_begins_while_an_image_is_read_slowly(self) -> None:
        """The image's child has ended, its bytes are in the pipe: a save may run, and neither ends the other."""
        self.server.databases[0].put(b"big", os.urandom(100_000))  # more than one read, less than a pipe
        await self.wait(0)
        before = descriptors()
        for leaves in (False, True):
            slow = Participant(True)
            slow.ready = False
            self.saver.request_image(slow)
            await self.until(lambda: not self.saver.saving)
            self.assertEqual(self.saver.image_running, "socket")
            self.assertTrue(self.saver.bgsave())
            if leaves:
                self.saver.forget(slow)
            else:
                slow.ready = True
                self.saver.pull()
            await self.until(lambda: self.saver.image_running is None)
            await self.until(lambda: not self.saver.saving)
            self.assertFalse(self.saver.failed)
            self.assertEqual(self.saver.saves, 1 + leaves)
            self.assertEqual(slow.heard[1:], [] if leaves else ["ended"])
        await self.wait(0.1)
        self.assertEqual(descriptors(), before)
