"""Five nodes whose tree changes at random while clients write.

Any node but the root may get any other node as its master that is not below it; in the second test the root changes too.
When the writing ends, all links stand and all digests are equal. With a fixed root and only replicad in the tree nobody
ever copies the dataset again: wherever a node goes, it continues.

``REPLICAD_SECONDS`` says how long, 3 if not given; ``REPLICAD_SEED`` repeats a run's choices.
"""

from __future__ import annotations

import os
import random
import threading
import time

from twisted.trial.unittest import SynchronousTestCase

from tests.support.connection import Closed, Connection, NoReply, RespError
from tests.support.servers import KINDS, Node, digest, link_up, offset, report, wait_in_sync
from tests.support.writes import changes, dataset, write

SECONDS = float(os.environ.get("REPLICAD_SECONDS", "3"))
SEED = int(os.environ.get("REPLICAD_SEED", str(random.randrange(1_000_000))))

TROUBLE = (Closed, NoReply, OSError, RespError)


class Tree:
    """Nodes and who follows whom."""

    def __init__(self, nodes: list[Node], choice: random.Random) -> None:
        self.nodes = nodes
        self.root = nodes[0]
        self.choice = choice
        self.master_of: dict[Node, Node] = dict.fromkeys(nodes[1:], nodes[0])
        self.moves = 0

    def above(self, node: Node) -> list[Node]:
        """Its master, that one's master, and so on."""
        found = []
        while node is not self.root:
            node = self.master_of[node]
            found.append(node)
        return found

    def from_the_top(self) -> list[Node]:
        """All nodes, each behind its master."""
        return sorted(self.nodes, key=lambda node: len(self.above(node)))

    def move(self) -> None:
        """Give a node another master. One that loads refuses, and stays where it is."""
        node = self.choice.choice([node for node in self.nodes if node is not self.root])
        others = [other for other in self.nodes if other is not node and node not in self.above(other)]
        master = self.choice.choice(others)
        try:
            node.call("REPLICAOF", "127.0.0.1", master.port)
        except RespError:
            return
        self.master_of[node] = master
        self.moves += 1

    def change_root(self) -> None:
        """Promote a node that has its data; the old root goes below it."""
        node = self.choice.choice([node for node in self.nodes if node is not self.root and is_up(node)] or [self.root])
        if node is self.root:
            return
        try:
            node.call("REPLICAOF", "NO", "ONE")
        except RespError:
            return
        old, self.root = self.root, node
        del self.master_of[node]
        old.call("REPLICAOF", "127.0.0.1", node.port)
        self.master_of[old] = node
        self.moves += 1


class Rechaining(SynchronousTestCase):
    """Trees of five."""

    def tree(self, *kinds: str) -> Tree:
        """Start the nodes, all below the first."""
        common = {"repl-backlog-size": "32mb", "repl-ping-replica-period": 1, "repl-diskless-load": "swapdb"}
        nodes = [KINDS[kind](self, common, name=f"{number}-{kind}") for number, kind in enumerate(kinds)]
        nodes[0].start(wait=False)
        for node in nodes[1:]:
            assert isinstance(node.directives, dict)
            node.start({**node.directives, "replicaof": nodes[0].address}, wait=False)
        for node in nodes:
            node.wait_ready()
        write(nodes[0], dataset(1, 200))
        wait_in_sync(*nodes)
        return Tree(nodes, random.Random(SEED))

    def rechain(self, tree: Tree, *, roots: bool) -> None:
        """Move nodes about under load and compare all at the end."""
        over = threading.Event()

        def load() -> None:
            source = random.Random(SEED)
            while not over.is_set():
                try:
                    with Connection(tree.root.port, timeout=5) as client:
                        while not over.is_set():
                            for reply in client.pipeline(*changes(source.randrange(1 << 30), 20)):
                                if isinstance(reply, RespError):
                                    raise reply
                            time.sleep(0.002)
                except TROUBLE:
                    time.sleep(0.01)

        writers = [threading.Thread(target=load, daemon=True) for _ in range(2)]
        for writer in writers:
            writer.start()
        until = time.monotonic() + SECONDS
        while time.monotonic() < until:
            if roots and tree.choice.random() < 0.1:
                tree.change_root()
            else:
                tree.move()
            time.sleep(tree.choice.choice((0, 0.01, 0.1, 0.4)))
        over.set()
        for writer in writers:
            writer.join()
        self.compare(tree)

    def compare(self, tree: Tree) -> None:
        """All links stand, all data is equal."""
        nodes = tree.from_the_top()
        try:
            wait_in_sync(*nodes, timeout=30)
        except AssertionError as error:
            self.fail(f"seed {SEED}, tree {describe(tree)}: {error}")
        expected = digest(tree.root)
        for node in nodes:
            self.assertEqual(digest(node), expected, f"seed {SEED}, {node.name} in {describe(tree)}\n{report(*nodes)}")
            for text in ("Defect", "Traceback", "Unhandled"):
                self.assertNotIn(text, node.log())
        self.assertTrue(tree.moves > SECONDS, tree.moves)
        self.assertTrue(offset(tree.root) > 20_000 * SECONDS, "too few writes")

    def test_nobody_copies_again(self) -> None:
        tree = self.tree("ours", "ours", "ours", "ours", "ours")
        self.rechain(tree, roots=False)
        counted = [int(node.info("stats")["sync_full"]) for node in tree.nodes]
        self.assertEqual(sum(counted), 4, f"seed {SEED}, {counted}, {tree.moves} moves\n{report(*tree.nodes)}")

    def test_mixed(self) -> None:
        self.rechain(self.tree("ours", "real", "ours", "real", "ours"), roots=True)


def is_up(node: Node) -> bool:
    """Whether the node follows its master."""
    try:
        return link_up(node)
    except TROUBLE:
        return False


def describe(tree: Tree) -> str:
    """Who follows whom, for the text of a failure."""
    return ", ".join(f"{node.name} < {tree.master_of[node].name}" for node in tree.master_of)
