"""The drawings in docs/replication.md say what the code does."""

from __future__ import annotations

import re

from twisted.trial.unittest import SynchronousTestCase

from replicad.replication import failover, link
from tests.support.servers import PROJECT

#: One state or several with commas, an arrow with a reason on it, the next state.
_ARROW = re.compile(r"([\w-]+(?:, [\w-]+)*) --[^>]*--> (?=([\w-]+))")


def drawn(first_state: str) -> dict[str, set[str]]:
    """The arrows of the drawing that begins with ``first_state``: where each state may go."""
    page = (PROJECT / "docs" / "replication.md").read_text()
    drawing = next(block for block in page.split("```")[1::2] if block.strip().startswith(f"{first_state} --"))
    arrows: dict[str, set[str]] = {}
    for states, target in _ARROW.findall(drawing):
        for state in states.split(", "):
            arrows.setdefault(state, set()).add(target)
    return arrows


class Drawings(SynchronousTestCase):
    """Each arrow is a transition, each transition an arrow."""

    def same(self, transitions: dict[str, frozenset[str]], first_state: str) -> None:
        """Compare one drawing with one table."""
        expected = {state: set(following) for state, following in transitions.items() if following}
        self.assertEqual(drawn(first_state), expected)

    def test_link(self) -> None:
        self.same(link.TRANSITIONS, link.IDLE)

    def test_failover(self) -> None:
        self.same(failover.TRANSITIONS, failover.NO_FAILOVER)
