"""Words of later versions that a server of 7.0 does not know, so that no real one can be asked here.  No sockets."""

from __future__ import annotations

import io

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from replicad.config import load
from replicad.dispatch import run
from replicad.server import Server
from replicad.session import Client
from tests.unit.law_samples import words


class LaterWords(SynchronousTestCase):
    def setUp(self) -> None:
        self.server = Server(load(None, [("save", "")]), Clock())
        self.server.log.stream = io.StringIO()
        self.client = Client(self.server)

    def do(self, line: str) -> str:
        """The reply in RESP2 with blanks in place of line ends."""
        return run(self.client, [words(line)]).replace(b"\r\n", b" ").strip().decode()

    def test_xread_of_the_last_entry(self) -> None:
        """Redis 7.4: ``+`` reads the last entry that is there, whatever was deleted behind it."""
        self.assertEqual(self.do("XREAD STREAMS x +"), "*-1")
        self.do("XADD x 1-0 a b")
        self.do("XADD x 5-0 a c")
        last = "*1 *2 $1 x *1 *2 $3 5-0 *2 $1 a $1 c"
        self.assertEqual(self.do("XREAD STREAMS x +"), last)
        self.assertEqual(self.do("XREAD COUNT 9 STREAMS x nosuch + +"), last)
        self.assertEqual(self.do("XREAD STREAMS x y 1-0 +"), last)
        self.do("XDEL x 5-0")
        self.assertEqual(self.do("XREAD STREAMS x +"), "*1 *2 $1 x *1 *2 $3 1-0 *2 $1 a $1 b")
        self.do("XDEL x 1-0")
        self.assertEqual(self.do("XREAD STREAMS x +"), "*-1")
        self.do("XADD x 5-7 a d")
        self.assertEqual(self.do("XREAD STREAMS x +"), "*1 *2 $1 x *1 *2 $3 5-7 *2 $1 a $1 d")
        self.do("XGROUP CREATE x g 0")
        self.assertTrue(self.do("XREADGROUP GROUP g c STREAMS x +").startswith("-ERR"))

    def test_rank_with_score(self) -> None:
        """Redis 7.2: nothing found is a null array there."""
        self.do("ZADD z 1 a 2.5 b")
        self.assertEqual(self.do("ZRANK z b withscore"), "*2 :1 $3 2.5")
        self.assertEqual(self.do("ZREVRANK z b WITHSCORE"), "*2 :0 $3 2.5")
        self.assertEqual(self.do("ZRANK z x WITHSCORE"), "*-1")
        self.assertEqual(self.do("ZREVRANK nosuch x WITHSCORE"), "*-1")
        self.assertEqual(self.do("ZRANK z x"), "$-1")

    def test_capabilities_of_a_client(self) -> None:
        """Valkey 8."""
        self.assertEqual(self.do("CLIENT CAPA redirect nosuch"), "+OK")
        self.assertTrue(self.do("CLIENT CAPA").startswith("-ERR wrong number"))
