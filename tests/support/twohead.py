"""A test case that sends each command to replicad and to a real redis-server and demands equal replies.

::

    class Strings(TwoHeadedTestCase):
        def test_append(self) -> None:
            self.do("APPEND", "k", "v")
            self.assertEqual(self.do("GET", "k"), b"v")
            self.same_digest()

One server of each kind serves all tests of a process; both are emptied before each test. A test that changes
the configuration or the role of the servers must put it back. ``resp = 3`` in the class makes all connections speak
RESP3. The reference is redis-server 7.0: with another version the tests are skipped and say so (and fail in CI).
"""

from __future__ import annotations

import atexit
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from twisted.trial.unittest import SynchronousTestCase

from tests.support.connection import Argument, Closed, Connection, NoReply, RespError
from tests.support.servers import Node, RealServer, Replicad, need_reference, wait_until

_shared: dict[type[Node], Node] = {}


def shared(kind: type[Node]) -> Node:
    """The server of this kind that all tests of the process use; started when needed, also after it was killed."""
    node = _shared.get(kind)
    if node is None:
        node = _shared[kind] = kind(None, {}, name=f"shared-{kind.kind}")
        atexit.register(node.clean_up)
    if not node.running:
        node.start()
    return node


class Pair:
    """A connection to each of the two servers, used in step. `case` makes the assertions."""

    def __init__(self, case: TwoHeadedTestCase, resp: int, timeout: float) -> None:
        self.case = case
        self.real = Connection(shared(RealServer).port, resp=resp, timeout=timeout)
        self.ours = Connection(shared(Replicad).port, resp=resp, timeout=timeout)
        case.addCleanup(self.close)

    def close(self) -> None:
        """Close both connections."""
        self.real.close()
        self.ours.close()

    def send(self, *args: Argument) -> None:
        """Send a command to both and read nothing; `read` compares later."""
        self.real.send(*args)
        self.ours.send(*args)

    def send_raw(self, data: bytes) -> None:
        """Send these bytes to both and read nothing."""
        self.real.send_raw(data)
        self.ours.send_raw(data)

    def read(self, what: str = "the next reply") -> Any:
        """One reply of each, equal to the byte; returns its value."""
        real, real_raw = self.real.read_reply_raw()
        ours, ours_raw = self._ours(self.ours.read_reply_raw, what, real)
        if real_raw != ours_raw:
            self._differ(what, real, ours, real_raw, ours_raw)
        return real

    def do(self, *args: Argument) -> Any:
        """Send a command to both; the replies must be equal to the byte, error texts too. Returns the value."""
        self.send(*args)
        return self.read(describe(args))

    def both(self, *args: Argument) -> tuple[Any, Any]:
        """Send a command to both and compare nothing: (reply of the real server, our reply)."""
        self.send(*args)
        real = self.real.read_reply()
        return real, self._ours(self.ours.read_reply, describe(args), real)

    def do_sorted(self, *args: Argument) -> Any:
        """Equal arrays in any order; returns the sorted array."""
        return self._compare(args, _sorted)

    def do_pairs(self, *args: Argument) -> Any:
        """Equal flat arrays of pairs (field, value, field, value) in any order of the pairs."""
        return self._compare(args, _pairs)

    def do_loosely(self, *args: Argument) -> tuple[Any, Any]:
        """The types must be equal, down to the elements of arrays of equal length; returns both replies."""
        real, ours = self.both(*args)
        if _shape(real) != _shape(ours):
            self._differ(describe(args), real, ours)
        return real, ours

    def do_approx(self, *args: Argument, delta: float = 1.0) -> tuple[Any, Any]:
        """Equal up to `delta` in each number, also in numbers sent as strings; returns both replies."""
        real, ours = self.both(*args)
        if not _near(real, ours, delta):
            self._differ(describe(args), real, ours)
        return real, ours

    def raw(self, data: bytes, replies: int | None = None) -> bytes:
        """Send these very bytes; the raw answers must be equal.

        With `replies` so many replies are read; without, both servers must answer and close the connection.
        Returns the bytes of the answer.
        """
        self.send_raw(data)
        what = f"raw {data[:200]!r}"
        if replies is None:
            real = self.real.recv_until_closed()
            ours = self._ours(self.ours.recv_until_closed, what, real)
        else:
            real = b"".join(self.real.read_reply_raw()[1] for _ in range(replies))
            ours = b"".join(self._ours(self.ours.read_reply_raw, what, real)[1] for _ in range(replies))
        if real != ours:
            self._differ(what, real, ours)
        return real

    def same_digest(self) -> str:
        """DEBUG DIGEST of both must be equal; returns it."""
        return bytes(self.do("DEBUG", "DIGEST")).decode()

    def _compare(self, args: Sequence[Argument], order: Callable[[Any], Any]) -> Any:
        real, ours = self.both(*args)
        if type(real) is not type(ours) or _shape_of_all(order(real)) != _shape_of_all(order(ours)):
            self._differ(describe(args), order(real), order(ours))
        return order(real)

    def _ours(self, read: Callable[[], Any], what: str, real: Any) -> Any:
        try:
            return read()
        except (Closed, NoReply) as error:
            text = f"{what}\n  real: {real!r}\n  ours: {error!r}"
            if not shared_running():
                text += f"\nreplicad is gone:\n{_shared[Replicad].log()[-4000:]}"
            self.case.fail(text)

    def _differ(self, what: str, real: Any, ours: Any, real_raw: bytes = b"", ours_raw: bytes = b"") -> None:
        text = f"{what}\n  real: {_short(real)}\n  ours: {_short(ours)}"
        if real == ours:
            text += f"\n  real on the wire: {real_raw[:500]!r}\n  ours on the wire: {ours_raw[:500]!r}"
        self.case.fail(text)


class TwoHeadedTestCase(SynchronousTestCase):
    """Base class; `pair` is the first pair of connections, `open_pair` makes more."""

    resp: ClassVar[int] = 2
    reply_timeout: ClassVar[float] = 10.0
    pair: Pair

    def setUp(self) -> None:
        """Connect with both servers and empty them."""
        need_reference()
        self.pair = self.open_pair()
        for connection in (self.pair.real, self.pair.ours):
            connection.must("FLUSHALL")
            connection.must("FUNCTION", "FLUSH")

    def open_pair(self, resp: int | None = None) -> Pair:
        """One more connection to each server."""
        return Pair(self, self.resp if resp is None else resp, self.reply_timeout)

    def do(self, *args: Argument) -> Any:
        """See `Pair.do`."""
        return self.pair.do(*args)

    def do_all(self, *commands: str | tuple[Argument, ...]) -> list[Any]:
        """`do` for several commands; one without spaces in its arguments may be given as text."""
        return [self.pair.do(*(one.split() if isinstance(one, str) else one)) for one in commands]

    def do_sorted(self, *args: Argument) -> Any:
        """See `Pair.do_sorted`."""
        return self.pair.do_sorted(*args)

    def do_pairs(self, *args: Argument) -> Any:
        """See `Pair.do_pairs`."""
        return self.pair.do_pairs(*args)

    def do_loosely(self, *args: Argument) -> tuple[Any, Any]:
        """See `Pair.do_loosely`."""
        return self.pair.do_loosely(*args)

    def do_approx(self, *args: Argument, delta: float = 1.0) -> tuple[Any, Any]:
        """See `Pair.do_approx`."""
        return self.pair.do_approx(*args, delta=delta)

    def both(self, *args: Argument) -> tuple[Any, Any]:
        """See `Pair.both`."""
        return self.pair.both(*args)

    def raw(self, data: bytes, replies: int | None = None) -> bytes:
        """See `Pair.raw`; without `replies` on connections of its own, because they are closed by it."""
        return (self.pair if replies is not None else self.open_pair()).raw(data, replies)

    def same_digest(self) -> str:
        """See `Pair.same_digest`."""
        return self.pair.same_digest()

    def wait_blocked(self, count: int = 1) -> None:
        """Wait until both servers have `count` clients that wait in a blocking command."""
        for one in (self.pair.real, self.pair.ours):
            wait_until(lambda: one.info("clients")["blocked_clients"] == str(count), 5, "blocked clients")  # noqa: B023


def shared_running() -> bool:
    """Whether the shared replicad still lives."""
    node = _shared.get(Replicad)
    return node is not None and node.running


def describe(args: Sequence[Argument]) -> str:
    """A command as it may stand in the text of a failure."""
    return " ".join(_short(one, 80) if isinstance(one, bytes) else str(one)[:80] for one in args)


def _short(value: Any, limit: int = 2000) -> str:
    text = repr(value)
    return text if len(text) <= limit else f"{text[:limit]}... ({len(text)} characters)"


def _sorted(value: Any) -> Any:
    return sorted(value, key=repr) if isinstance(value, (list, set)) else value


def _pairs(value: Any) -> Any:
    if isinstance(value, list) and value and not isinstance(value[0], list):
        value = [list(pair) for pair in zip(value[::2], value[1::2], strict=True)]
    return _sorted(value)


def _shape(value: Any) -> Any:
    if isinstance(value, (list, set)):
        return type(value).__name__, [_shape(one) for one in _sorted(value)] if isinstance(value, list) else len(value)
    if isinstance(value, dict):
        return "dict", sorted((repr(key), repr(_shape(one))) for key, one in value.items())
    return type(value).__name__


def _shape_of_all(value: Any) -> Any:
    """The value with the type beside each element: 1 and True, a status and a bulk string differ on the wire."""
    if isinstance(value, (list, tuple)):
        return type(value).__name__, [_shape_of_all(one) for one in value]
    if isinstance(value, dict):
        return "dict", sorted((repr(key), repr(_shape_of_all(one))) for key, one in value.items())
    return type(value).__name__, value


def _near(real: Any, ours: Any, delta: float) -> bool:
    if type(real) is not type(ours):
        return False
    if isinstance(real, (list, tuple)):
        return len(real) == len(ours) and all(_near(a, b, delta) for a, b in zip(real, ours, strict=True))
    if isinstance(real, dict):
        return real.keys() == ours.keys() and all(_near(real[key], ours[key], delta) for key in real)
    if real == ours:
        return True
    if isinstance(real, (set, RespError)) or real is None:
        return False
    try:
        return abs(float(real) - float(ours)) <= delta
    except ValueError:
        return False
