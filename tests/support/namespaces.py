"""Two network namespaces with a cable between them, and servers in each: what a proxy cannot do, the kernel does here.

Needs Linux, ``unshare`` and ``nsenter`` (util-linux), ``ip`` (iproute2), and a kernel that lets this user make namespaces;
`need_namespaces` skips the test and says so when one is missing. Tests reach the servers through Unix sockets, which
namespaces do not part.
"""

from __future__ import annotations

import functools
import shutil
import subprocess
from pathlib import Path
from typing import Any
from unittest import SkipTest

from tests.support.connection import Argument, Closed, Connection, NoReply, RespError
from tests.support.servers import HasCleanup, Node, RealServer, Replicad

ADDRESSES = ("10.77.0.1", "10.77.0.2")
_CABLE = ("left", "right")
#: Hardware addresses, so that one can be got wrong on purpose.
_NOBODY = "02:00:00:00:00:99"


@functools.cache
def obstacle() -> str:
    """Why there can be no namespaces here; empty when there can."""
    for tool in ("unshare", "nsenter", "setpriv", "ip"):
        if shutil.which(tool) is None:
            return f"there is no {tool}"
    probe = ["unshare", "-rn", "ip", "link", "add", "name", "left", "type", "veth", "peer", "name", "right"]
    done = subprocess.run(probe, capture_output=True, text=True, timeout=20, check=False)
    return "" if done.returncode == 0 else f"no network namespaces: {done.stderr.strip()}"


def need_namespaces() -> None:
    """Raise SkipTest when this machine lets us make no namespaces, in CI too: that is the runner's matter."""
    why = obstacle()
    if why:
        raise SkipTest(why)


class Namespaces:
    """Two namespaces, 0 and 1, with ``ADDRESSES`` and a cable. They go when the test case ends."""

    def __init__(self, case: HasCleanup) -> None:
        need_namespaces()
        self._case = case
        self._holders: list[subprocess.Popen[bytes]] = []
        self._hold(["unshare", "-rn"])
        self._hold([*self.enter(0), "unshare", "-n"])
        far_end = ("peer", "name", _CABLE[1], "netns", self._holders[1].pid)
        self._ip(0, "link", "add", "name", _CABLE[0], "type", "veth", *far_end)
        for side in (0, 1):
            self._ip(side, "address", "add", f"{ADDRESSES[side]}/24", "dev", _CABLE[side])
            self._ip(side, "link", "set", "lo", "up")
            self._ip(side, "link", "set", _CABLE[side], "up")

    def _hold(self, command: list[str]) -> None:
        # cat ends when this process does, and the namespace with it
        holder = subprocess.Popen(
            [*command, "sh", "-c", "echo; exec cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        self._holders.append(holder)
        self._case.addCleanup(_end, holder)
        assert holder.stdout is not None
        if holder.stdout.readline() != b"\n":
            raise AssertionError(f"{command} failed: {holder.communicate()[1]!r}")

    def enter(self, side: int) -> list[str]:
        """The words in front of a command that is to run in namespace ``side``."""
        target = ["nsenter", "-t", str(self._holders[side].pid), "-U", "-n", "--preserve-credentials"]
        return [*target, "setpriv", "--pdeathsig", "KILL", "--"]

    def _ip(self, side: int, *words: object) -> None:
        command = [*self.enter(side), "ip", *map(str, words)]
        subprocess.run(command, check=True, capture_output=True, timeout=20)

    def unplug(self) -> None:
        """Nothing passes, and nobody is told."""
        # the far end of a cable goes down with the near one; its own setting stays
        self._ip(0, "link", "set", _CABLE[0], "down")

    def plug(self) -> None:
        """Everything passes again."""
        self._ip(0, "link", "set", _CABLE[0], "up")
        for side in (0, 1):
            self._ip(side, "neighbour", "flush", "dev", _CABLE[side], "nud", "permanent")

    def deafen(self, side: int) -> None:
        """What namespace ``side`` is sent is lost, in silence; what it sends itself arrives."""
        other = 1 - side
        self._ip(
            other, "neighbour", "replace", ADDRESSES[side], "lladdr", _NOBODY, "dev", _CABLE[other], "nud", "permanent"
        )


def _end(holder: subprocess.Popen[bytes]) -> None:
    holder.kill()
    holder.wait()
    for pipe in (holder.stdin, holder.stdout, holder.stderr):
        if pipe is not None:
            pipe.close()


class _Inside(Node):
    """A node in a namespace; tests talk to it through its Unix socket."""

    def __init__(self, case: HasCleanup, namespaces: Namespaces, side: int, directives: dict[str, Any], name: str) -> None:
        super().__init__(case, directives, name=name)
        self._enter = namespaces.enter(side)
        self.host = ADDRESSES[side]

    @property
    def _socket(self) -> str:
        return str(self.directory / "socket")

    def defaults(self) -> dict[str, Any]:
        """See `Node.defaults`."""
        return {**super().defaults(), "bind": self.host, "unixsocket": self._socket, "protected-mode": "no"}

    def command(self, conf: Path) -> list[str]:
        """See `Node.command`."""
        return [*self._enter, *super().command(conf)]

    def client(self, *, timeout: float = 10.0, resp: int = 2, db: int = 0) -> Connection:
        """See `Node.client`."""
        connection = Connection(0, timeout=timeout, resp=resp, db=db, unix=self._socket)
        self._clients.append(connection)
        return connection

    def call(self, *args: Argument) -> Any:
        """See `Node.call`."""
        with Connection(0, unix=self._socket) as connection:
            return connection.must(*args)

    def info(self, *sections: str) -> dict[str, str]:
        """See `Node.info`."""
        with Connection(0, unix=self._socket) as connection:
            return connection.info(*sections)

    def _answers(self) -> bool:
        try:
            self.call("PING")
        except (OSError, Closed, NoReply, RespError):
            return False
        return True


class ReplicadInside(_Inside, Replicad):
    """replicad in a namespace."""


class RealServerInside(_Inside, RealServer):
    """redis-server in a namespace."""


KINDS_INSIDE: dict[str, type[_Inside]] = {"ours": ReplicadInside, "real": RealServerInside}
