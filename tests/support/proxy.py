"""A TCP proxy with faults, between a replica and its master or a client and its server.

It runs in a thread of its own on 127.0.0.1. The two directions are named from the side of the one who connects:
``"down"`` is what the target (the master) sends to the client (the replica), ``"up"`` is the way back. All methods may
be called from any thread and have taken effect when they return.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Self

from tests.support.servers import HasCleanup, Node

UP = "up"
DOWN = "down"

_CHUNK = 65536
_TICK = 0.005


class _Flow:
    """One direction of one connection: bytes that were read from `source` and wait for `sink`."""

    def __init__(self, direction: str, source: socket.socket, sink: socket.socket) -> None:
        self.direction = direction
        self.source = source
        self.sink = sink
        self.waiting = bytearray()
        self.ended = False


class _Link:
    """A client's connection and the one to the target."""

    def __init__(self, client: socket.socket, target: socket.socket) -> None:
        self.client = client
        self.target = target
        self.flows = (_Flow(UP, client, target), _Flow(DOWN, target, client))

    def close(self) -> None:
        self.client.close()
        self.target.close()


class Proxy:
    """Listens on `port` and forwards to `target` (a node or a port number; may be changed at any time).

    `bytes` counts what was forwarded in each direction, `connections` the accepted connections, `cuts` how often
    `cut_after` struck. With `keep` true the forwarded bytes are collected in `kept`.
    """

    def __init__(self, case: HasCleanup | None, target: Node | int, *, keep: bool = False) -> None:
        self.target = target
        self.bytes = {UP: 0, DOWN: 0}
        self.connections = 0
        self.cuts = 0
        self.kept = {UP: bytearray(), DOWN: bytearray()}
        self._keep = keep
        self._links: list[_Link] = []
        self._paused = False
        self._refusing = False
        self._rate: float | None = None
        self._allowance = {UP: 0.0, DOWN: 0.0}
        self._refilled = time.monotonic()
        self._triggers: dict[str, tuple[int, Callable[[], None]]] = {}
        self._orders: deque[tuple[Callable[[], None], threading.Event]] = deque()
        self._stopping = False
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self._listener.setblocking(False)
        self.port: int = self._listener.getsockname()[1]
        self._alarm_in, self._alarm_out = socket.socketpair()
        self._alarm_out.setblocking(False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._selector.register(self._alarm_out, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._run, name=f"proxy-{self.port}", daemon=True)
        self._thread.start()
        if case is not None:
            case.addCleanup(self.stop)

    @property
    def address(self) -> str:
        """``127.0.0.1 port``, as ``replicaof`` wants it."""
        return f"127.0.0.1 {self.port}"

    # faults

    def pause(self) -> None:
        """Forward nothing any more; connections stay open and new ones are accepted, as in a network that drops all."""
        self._order(self._pause)

    def resume(self) -> None:
        """End of `pause`, `refuse` and `slow`; a trigger that did not strike yet is forgotten."""

        def order() -> None:
            self._paused = self._refusing = False
            self._rate = None
            self._triggers.clear()

        self._order(order)

    def refuse(self) -> None:
        """Close all connections, and every new one at once, until `resume`."""

        def order() -> None:
            self._refusing = True
            self._close_links()

        self._order(order)

    def cut(self) -> None:
        """Close all connections, with what they still hold; new ones work."""
        self._order(self._close_links)

    def cut_after(self, count: int, direction: str = DOWN) -> None:
        """Close all connections once, as soon as exactly `count` more bytes went in `direction`."""

        def order() -> None:
            self._triggers[direction] = (count, self._cut_once)

        self._order(order)

    def pause_after(self, count: int, direction: str = DOWN) -> None:
        """Like `pause`, as soon as exactly `count` more bytes went in `direction`."""

        def order() -> None:
            self._triggers[direction] = (count, self._pause)

        self._order(order)

    def slow(self, bytes_per_second: float | None) -> None:
        """Forward at most so many bytes a second in each direction; None for no limit."""

        def order() -> None:
            self._rate = bytes_per_second
            self._allowance = {UP: 0.0, DOWN: 0.0}
            self._refilled = time.monotonic()

        self._order(order)

    @property
    def paused(self) -> bool:
        """Whether `pause` holds or `pause_after` has struck."""
        return self._paused

    @property
    def links(self) -> int:
        """The number of open connections."""
        return len(self._links)

    def stop(self) -> None:
        """Close everything and end the thread."""
        if self._thread.is_alive():

            def order() -> None:
                self._stopping = True

            self._order(order)
            self._thread.join(5)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    # the thread

    def _order(self, function: Callable[[], None]) -> None:
        if not self._thread.is_alive():
            raise AssertionError("the proxy is stopped")
        done = threading.Event()
        self._orders.append((function, done))
        with contextlib.suppress(OSError):  # the thread was awake, has obeyed an order to stop and closed it
            self._alarm_in.send(b"!")
        if not done.wait(10):
            raise AssertionError("the proxy hangs")

    def _pause(self) -> None:
        self._paused = True

    def _cut_once(self) -> None:
        self.cuts += 1
        self._close_links()

    def _close_links(self) -> None:
        while self._links:
            self._drop(self._links[-1])

    def _drop(self, link: _Link) -> None:
        if link in self._links:
            self._links.remove(link)
        for side in (link.client, link.target):
            with contextlib.suppress(KeyError, ValueError):
                self._selector.unregister(side)
        link.close()

    def _run(self) -> None:
        try:
            while not self._stopping:
                self._turn()
        finally:
            self._close_links()
            self._selector.close()
            self._listener.close()
            self._alarm_in.close()
            self._alarm_out.close()

    def _turn(self) -> None:
        throttled = self._set_interests()
        for key, events in self._selector.select(_TICK if throttled else 1.0):
            if key.fileobj is self._alarm_out:
                with contextlib.suppress(BlockingIOError):
                    self._alarm_out.recv(4096)
            elif key.fileobj is self._listener:
                self._accept()
            elif key.data in self._links and not self._paused:
                self._serve(key.data, key.fileobj, events)
        while self._orders:
            function, done = self._orders.popleft()
            function()
            done.set()

    def _set_interests(self) -> bool:
        """Tell the selector what each socket waits for; true when a flow waits for its allowance only."""
        throttled = False
        if self._rate is not None:
            now = time.monotonic()
            for direction in self._allowance:
                gained = self._allowance[direction] + self._rate * (now - self._refilled)
                self._allowance[direction] = min(gained, max(self._rate / 20, 1.0))
            self._refilled = now
        for link in self._links:
            wanted = {link.client: 0, link.target: 0}
            for flow in link.flows:
                if self._paused:
                    break
                if not flow.ended and len(flow.waiting) < _CHUNK:
                    wanted[flow.source] |= selectors.EVENT_READ
                if flow.waiting:
                    if self._rate is None or self._allowance[flow.direction] >= 1:
                        wanted[flow.sink] |= selectors.EVENT_WRITE
                    else:
                        throttled = True
            for side, events in wanted.items():
                self._set_interest(side, events, link)
        return throttled

    def _set_interest(self, side: socket.socket, events: int, link: _Link) -> None:
        known = side in self._selector.get_map()
        if events and known:
            if self._selector.get_key(side).events != events:
                self._selector.modify(side, events, link)
        elif events:
            self._selector.register(side, events, link)
        elif known:
            self._selector.unregister(side)

    def _accept(self) -> None:
        try:
            client, _ = self._listener.accept()
        except OSError:
            return
        if self._refusing:
            client.close()
            return
        self.connections += 1
        port = self.target if isinstance(self.target, int) else self.target.port
        try:
            target = socket.create_connection(("127.0.0.1", port), 5)
        except OSError:
            client.close()
            return
        for side in (client, target):
            side.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            side.setblocking(False)
        self._links.append(_Link(client, target))

    def _serve(self, link: _Link, side: object, events: int) -> None:
        try:
            for flow in link.flows:
                if flow.source is side and events & selectors.EVENT_READ:
                    data = flow.source.recv(_CHUNK)
                    flow.ended = not data
                    flow.waiting += data
                if flow.waiting and (flow.sink is side or self._rate is None):
                    self._forward(flow)
                    if link not in self._links or self._paused:
                        return
        except BlockingIOError:
            return
        except OSError:
            self._drop(link)
            return
        if any(flow.ended and not flow.waiting for flow in link.flows):
            self._drop(link)

    def _forward(self, flow: _Flow) -> None:
        count = len(flow.waiting)
        if self._rate is not None:
            count = min(count, int(self._allowance[flow.direction]))
        trigger = self._triggers.get(flow.direction)
        if trigger is not None:
            count = min(count, trigger[0])
        sent = flow.sink.send(flow.waiting[:count]) if count else 0
        if self._keep:
            self.kept[flow.direction] += flow.waiting[:sent]
        del flow.waiting[:sent]
        self.bytes[flow.direction] += sent
        self._allowance[flow.direction] -= sent
        if trigger is not None:
            left = trigger[0] - sent
            self._triggers[flow.direction] = (left, trigger[1])
            if left <= 0:
                del self._triggers[flow.direction]
                trigger[1]()
