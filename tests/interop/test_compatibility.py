"""The list of Redis's commands that docs/compatibility.md is made from, beside a real redis-server."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.support.servers import RealServer, Replicad, need_reference

LIST = Path(__file__).resolve().parents[2] / "docs" / "redis-7.0-commands.txt"


class CommandList(SynchronousTestCase):
    def test_reference(self) -> None:
        """The file holds COMMAND LIST of the real server, with the group that COMMAND DOCS tells."""
        need_reference()
        client = RealServer(self).start().client(resp=3)
        docs = client.must("COMMAND", "DOCS")
        names = [name.decode() for name in client.must("COMMAND", "LIST")]
        wanted = {f"{docs[name.partition('|')[0].encode()][b'group'].decode()} {name}" for name in names}
        listed = [line for line in LIST.read_text().splitlines() if not line.startswith("#")]
        self.assertEqual(sorted(wanted), listed)

    def test_ours(self) -> None:
        """What replicad's COMMAND LIST says is what the page calls there: nothing is counted that cannot be called."""
        client = Replicad(self).start().client()
        ours = {name.decode() for name in client.must("COMMAND", "LIST")}
        listed = {line.split()[1] for line in LIST.read_text().splitlines() if not line.startswith("#")}
        self.assertGreater(len(ours & listed), 250)
        for name in sorted(listed - ours):
            reply = client.call(*name.split("|"))
            self.assertRegex(getattr(reply, "text", ""), r"^ERR unknown (command|subcommand)|^ERR wrong number", name)
