"""kill -9 of a master or of its replica, at random moments, while clients write and wait.

After each round both have the same data, and whatever ``WAIT 1`` acknowledged while the other side lived is there. When
the master is killed its replica is promoted and the old master comes back below it, with what its disk holds (perhaps
nothing). A replica may be killed again while it synchronises.

``REPLICAD_ROUNDS`` says how many rounds, 5 if not given; ``REPLICAD_SEED`` repeats a run's choices. What the clients
managed to write in between differs.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from twisted.trial.unittest import SynchronousTestCase

from tests.support.connection import Closed, Connection, NoReply, RespError
from tests.support.servers import KINDS, Node, digest, link_up, offset, report, wait_in_sync, wait_until
from tests.support.together import together
from tests.support.writes import changes

ROUNDS = int(os.environ.get("REPLICAD_ROUNDS", "5"))
SEED = int(os.environ.get("REPLICAD_SEED", str(random.randrange(1_000_000))))
WRITERS = 3
#: Keys of each writer; they are written again and again.
KEYS = 300

#: What a client meets when its server is killed, comes back, or is no master any more.
TROUBLE = (Closed, NoReply, OSError, RespError)


class Load:
    """Clients of whoever is the master at the moment.

    Each writer counts in its own keys and notes what WAIT acknowledged; one more client sends random changes of all types.
    """

    def __init__(self, master: Node, seed: int) -> None:
        self.master = master
        self.acknowledged: dict[str, int] = {}
        self._written = [0] * WRITERS
        self._go = threading.Event()
        self._idle = threading.Semaphore(0)
        self._over = False
        self._source = random.Random(seed)
        self._threads = [threading.Thread(target=self._run, args=(self._write, n), daemon=True) for n in range(WRITERS)]
        self._threads.append(threading.Thread(target=self._run, args=(self._change, 0), daemon=True))
        for thread in self._threads:
            thread.start()

    @property
    def writes(self) -> int:
        """How many writes the writers have tried."""
        return sum(self._written)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Write meanwhile; nobody writes any more when the block ends."""
        self._go.set()
        try:
            yield
        finally:
            self._go.clear()
            for _ in self._threads:
                self._idle.acquire()

    def stop(self) -> None:
        """End the threads."""
        self._over = True
        self._go.set()
        for thread in self._threads:
            thread.join()

    def _run(self, act: object, number: int) -> None:
        assert callable(act)
        while self._go.wait() and not self._over:
            while self._go.is_set() and not self._over:
                try:
                    with Connection(self.master.port, timeout=5) as client:
                        act(client, number)
                except TROUBLE:
                    time.sleep(0.01)
            self._idle.release()
            while not self._go.is_set() and not self._over:
                time.sleep(0.001)

    def _write(self, client: Connection, writer: int) -> None:
        while self._go.is_set():
            self._written[writer] += 1
            value = self._written[writer]
            key = f"w{writer}:{value % KEYS}"
            client.must("SET", key, value)
            if client.must("WAIT", 1, 200) >= 1:
                self.acknowledged[key] = value

    def _change(self, client: Connection, _: int) -> None:
        while self._go.is_set():
            for reply in client.pipeline(*changes(self._source.randrange(1 << 30), 30)):
                if isinstance(reply, RespError):
                    raise reply
            time.sleep(0.002)


class Kills(SynchronousTestCase):
    """Pairs of servers with different stores."""

    def rounds(self, count: int, seed: int, kinds: tuple[str, str], stores: tuple[dict[str, str], dict[str, str]]) -> None:
        """Let ``count`` rounds happen to two servers."""
        choice = random.Random(seed)
        common = {"repl-backlog-size": "256kb", "repl-diskless-sync": choice.choice(("yes", "no")), "repl-timeout": 10}
        nodes = [
            KINDS[kind](self, {**common, **store}, name=f"{name}-{kind}")
            for name, kind, store in zip(("first", "second"), kinds, stores, strict=True)
        ]
        master, replica = nodes
        master.start()
        start_below(replica, master)
        wait_in_sync(master, replica)
        load = Load(master, seed)
        self.addCleanup(load.stop)
        done: list[str] = []
        try:
            for number in range(count):
                with load.running():
                    master, replica = self.one_round(choice, load, master, replica, done)
                compare(load, master, replica)
                self.assertTrue(load.writes > number, "nothing was written")
        except AssertionError as error:
            self.fail(f"seed {seed}, rounds {done[-5:]} of {len(done)}: {error}\n{report(*nodes)}")
        self.assertTrue(load.acknowledged, "nothing was acknowledged")
        for node in nodes:
            for text in ("Defect", "Traceback", "Unhandled"):
                self.assertNotIn(text, node.log())

    def one_round(
        self, choice: random.Random, load: Load, master: Node, replica: Node, done: list[str]
    ) -> tuple[Node, Node]:
        """Kill one of both, bring it back, return (master, replica)."""
        time.sleep(choice.uniform(0, 0.3))
        if choice.random() < 0.5:
            done.append(f"{replica.name} killed")
            replica.kill()
        else:
            done.append(f"{master.name} killed, {replica.name} promoted")
            master.kill()
            # Nobody can acknowledge anything now.
            promised = dict(load.acknowledged)
            replica.call("REPLICAOF", "NO", "ONE")
            check(promised, replica)
            load.master = replica
            master, replica = replica, master
        time.sleep(choice.uniform(0, 0.1))
        start_below(replica, master)
        while choice.random() < 0.3:
            done[-1] += ", and again"
            time.sleep(choice.uniform(0, 0.3))
            replica.kill()
            start_below(replica, master)
        wait_until(lambda: is_up(replica), 30, "the link")
        return master, replica

    def test_rounds(self) -> None:
        nothing = {"save": ""}
        file = {"save": "1 1"}
        lmdb = {"save": "1 1", "snapshot-backend": "lmdb"}
        few = max(2, ROUNDS // 2)
        together(
            lambda: self.rounds(ROUNDS, SEED, ("ours", "ours"), (nothing, lmdb)),
            lambda: self.rounds(few, SEED + 1, ("ours", "ours"), (file, lmdb)),
            lambda: self.rounds(few, SEED + 2, ("ours", "real"), (file, file)),
        )

    def test_chain(self) -> None:
        few = max(2, ROUNDS // 2)
        together(lambda: self.chain(few, SEED, "ours"), lambda: self.chain(few, SEED + 1, "real"))

    def chain(self, count: int, seed: int, last: str) -> None:
        """Master, middle, leaf: the middle is killed or stopped again and again, and nobody ever copies anything again."""
        choice = random.Random(seed)
        common = {"repl-backlog-size": "64mb", "repl-timeout": 10}
        stored = {**common, "save": "1 1"}
        master = KINDS["ours"](self, common, name="master").start()
        middle = KINDS["ours"](self, {**stored, "snapshot-backend": choice.choice(("rdb", "lmdb"))}, name="middle")
        leaf = KINDS[last](self, stored, name=f"leaf-{last}")
        start_below(middle, master)
        wait_in_sync(master, middle)
        start_below(leaf, middle)
        wait_in_sync(master, middle, leaf)
        load = Load(master, seed)
        self.addCleanup(load.stop)
        done: list[str] = []
        try:
            with load.running():
                for node in (middle, leaf):
                    saved = node.call("LASTSAVE")
                    wait_until(lambda: node.call("LASTSAVE") > saved, 10, "a snapshot")  # noqa: B023
                for _ in range(count):
                    time.sleep(choice.uniform(0, 0.3))
                    done.append(choice.choice(("kill", "stop")))
                    if done[-1] == "kill":
                        middle.kill()
                    else:
                        middle.stop()
                    time.sleep(choice.uniform(0, 0.3))
                    start_below(middle, master)
                    # A restarted node continues with whoever is not further behind than the stored end of its stream.
                    wait_until(lambda: follows_closely(middle, leaf), 30, "the links")
            wait_in_sync(master, middle, leaf)
            self.assertEqual(len({digest(node) for node in (master, middle, leaf)}), 1, "digests")
            for node in (middle, leaf):
                self.assertEqual(node.log().count("Full resync from master"), 1, f"full synchronisations of {node.name}")
                check(load.acknowledged, node)
        except AssertionError as error:
            text = f"seed {seed}, ends of the middle: {done[-5:]} of {len(done)}: {error}"
            self.fail(f"{text}\n{report(master, middle, leaf)}")


def start_below(replica: Node, master: Node) -> None:
    """Start a replica and do not wait until it has loaded."""
    assert isinstance(replica.directives, dict)
    replica.start({**replica.directives, "replicaof": master.address}, wait=False)


def is_up(replica: Node) -> bool:
    """Whether the link stands; it may not even listen yet."""
    try:
        return link_up(replica)
    except TROUBLE:
        return False


def follows_closely(middle: Node, leaf: Node) -> bool:
    """Whether both are up and the leaf is nearly as far as the middle."""
    return is_up(middle) and is_up(leaf) and offset(middle) - offset(leaf) < 50_000


def check(promised: dict[str, int], node: Node) -> None:
    """What was acknowledged is there, or something newer."""
    if promised:
        with node.client() as client:
            found = client.must("MGET", *promised)
        for (key, value), there in zip(promised.items(), found, strict=True):
            if there is None or int(there) < value:
                raise AssertionError(f"{key} = {value} was acknowledged, {node.name} has {there!r}")


def compare(load: Load, master: Node, replica: Node) -> None:
    """Both have the same, and what was acknowledged."""
    wait_in_sync(master, replica)
    if digest(master) != digest(replica):
        raise AssertionError("the digests differ")
    for node in (master, replica):
        check(load.acknowledged, node)
