"""FAILOVER: a master hands its role to one of its replicas, and nothing that was acknowledged is lost.

Owns: the states of such a handover and when it goes on or ends.  Does not own the change of roles itself (``roles``), nor
the conversation with the target (``link``, told by ``LinkConfig.failover`` to add the word FAILOVER to its PSYNC).

::

    no-failover --FAILOVER--> waiting-for-sync --target has everything--> failover-in-progress --it agrees--> no-failover
                                     |  time is up, ABORT                         |  it refuses, ABORT
                                     +----------------> no-failover (a master) <--+

While it waits, the writes of clients are held back, so that the offset stands still and the target can catch up.  From
``failover-in-progress`` on this server is a replica; an abort makes it a master again, under a new id.  Then the held
clients go on: they write, or learn READONLY.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from replicad.errors import err

if TYPE_CHECKING:
    from replicad.replication.downstream import Downstream
    from replicad.replication.roles import Replication

NO_FAILOVER = "no-failover"
WAITING = "waiting-for-sync"
IN_PROGRESS = "failover-in-progress"

TRANSITIONS: dict[str, frozenset[str]] = {
    NO_FAILOVER: frozenset((WAITING,)),
    WAITING: frozenset((IN_PROGRESS, NO_FAILOVER)),
    IN_PROGRESS: frozenset((NO_FAILOVER,)),
}

_NOT_RUNNING = err("No failover in progress.")
_ON_REPLICA = err("FAILOVER is not valid when server is a replica.")
_NO_REPLICAS_CONNECTED = err("FAILOVER requires connected replicas.")
_FORCE_NEEDS_MORE = err("FAILOVER with force option requires both a timeout and target HOST and IP.")
_NOT_A_REPLICA = err("FAILOVER target HOST and PORT is not a replica.")
_NOT_ONLINE = err("FAILOVER target replica is not online.")
_ALREADY = err("FAILOVER already in progress.")

#: Seconds between two looks at the target; acknowledgements that arrive are looked at as they come.
_LOOK_SECONDS = 0.1


class Failover:
    """The handover of one server's role; there is at most one at a time."""

    def __init__(self, replication: Replication) -> None:
        self._replication = replication
        self.state = NO_FAILOVER
        self._target: tuple[str, int] | None = None
        self._force = False
        self._until = 0.0  #: monotonic time at which waiting ends; 0: never

    @property
    def running(self) -> bool:
        """Whether a handover is under way."""
        return self.state != NO_FAILOVER

    @property
    def quiet(self) -> bool:
        """Whether the stream must stand still: a failover with a deadline sends no pings meanwhile."""
        return self.state == WAITING and bool(self._until)

    def begin(self, target: tuple[str, int] | None, force: bool, timeout_ms: int | None) -> None:
        """FAILOVER: hand over to ``target`` (ip, port), or to the first replica that has everything.

        ``timeout_ms`` bounds the wait; then it is given up, or with ``force`` done all the same.  Raises ReplyError.
        """
        replication = self._replication
        if self.running:
            raise _ALREADY
        if replication.upstream is not None:
            raise _ON_REPLICA
        if not replication.downstreams:
            raise _NO_REPLICAS_CONNECTED
        if force and (timeout_ms is None or target is None):
            raise _FORCE_NEEDS_MORE
        if target is not None:
            replica = self._find(target)
            if replica is None:
                raise _NOT_A_REPLICA
            if not replica.online:
                raise _NOT_ONLINE
        self._enter(WAITING)
        self._target, self._force = target, force
        self._until = time.monotonic() + timeout_ms / 1000 if timeout_ms is not None else 0.0
        server = replication.server
        server.log.notice(f"FAILOVER requested to {self._name()}.")
        server.update_gates()
        server.call_later(0, self._look)

    def cancel(self) -> None:
        """FAILOVER ABORT.  Raises ReplyError when there is nothing to abort."""
        if not self.running:
            raise _NOT_RUNNING
        self.abort("Failover manually aborted")

    def abort(self, why: str) -> None:
        """Stay, or become again, the master."""
        if not self.running:
            return
        replication = self._replication
        replication.server.log.notice(f"FAILOVER to {self._name()} aborted: {why}")
        if self.state == IN_PROGRESS:
            replication.become_master()
        self._end()

    def agreed(self) -> None:
        """The target has taken the role over and lets us continue as its replica."""
        if self.state == IN_PROGRESS:
            self._end()

    def check(self) -> None:
        """A replica acknowledged something, or time passed: go on when the target has everything."""
        if self.state != WAITING:
            return
        replication = self._replication
        server = replication.server
        if self._until and time.monotonic() >= self._until:
            if not self._force:
                self.abort("Replica never caught up before timeout")
                return
            server.log.notice(f"FAILOVER to {self._name()} time out exceeded, failing over.")
            self._hand_over()
            return
        offset = server.stream_offset()
        candidates = replication.downstreams if self._target is None else [self._find(self._target)]
        for replica in candidates:
            if replica is not None and replica.online and replica.ack_offset == offset:
                self._target = (replica.ip, replica.port)
                server.log.notice(f"Failover target {self._name()} is synced, failing over.")
                self._hand_over()
                return

    def _look(self) -> None:
        self.check()
        if self.state == WAITING:
            self._replication.server.call_later(_LOOK_SECONDS, self._look)

    def _hand_over(self) -> None:
        assert self._target is not None  # FORCE demands one, and a replica that has everything is one
        self._enter(IN_PROGRESS)
        self._replication.hand_over(*self._target)

    def _end(self) -> None:
        self._enter(NO_FAILOVER)
        self._target, self._force, self._until = None, False, 0.0
        self._replication.server.release_held()

    def _enter(self, state: str) -> None:
        if state not in TRANSITIONS[self.state]:
            raise AssertionError(f"{self.state} -> {state} is not a transition of a failover")
        self.state = state

    def _find(self, target: tuple[str, int]) -> Downstream | None:
        for replica in self._replication.downstreams:
            if (replica.ip.lower(), replica.port) == (target[0].lower(), target[1]):
                return replica
        return None

    def _name(self) -> str:
        return "any replica" if self._target is None else f"{self._target[0]}:{self._target[1]}"
