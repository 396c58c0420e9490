"""Users in conf files and ACL files, read and written by both kinds of servers; users for links and for Sentinel."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.interop.test_acl import comparable
from tests.support.connection import RespError
from tests.support.servers import (
    KINDS,
    Node,
    RealServer,
    Replicad,
    digest,
    find_tool,
    link_up,
    need_reference,
    report,
    wait_in_sync,
    wait_until,
)

USERS = """\
user alice on >secret ~a* %R~b &news:* +@all -@dangerous +config|get

  user bob on nopass (~x +get) (+@read %R~y)
user carol off
"""
BROKEN = """\
user alice on nonsense #abc
# a comment
userx bob on

user carol +@nope +no
user
user dave on
user dave off
user erin (+get
user frank (+get ~x) more (+x) +@y
  user   grace on
user\theidi on
"""


class AclFiles(SynchronousTestCase):
    """The directive aclfile, ACL LOAD and ACL SAVE."""

    def setUp(self) -> None:
        need_reference()

    def node(self, kind: str, content: str, **directives: Any) -> Node:
        """A running server with this ACL file."""
        node = KINDS[kind](self, {"aclfile": "users.acl", **directives})
        (node.directory / "users.acl").write_text(content)
        return node.start()

    def both(self, content: str) -> tuple[Node, Node]:
        """One of each kind."""
        return self.node("real", content), self.node("ours", content)

    def file_of(self, node: Node) -> Path:
        """Its ACL file."""
        return node.directory / "users.acl"

    def same(self, real: Node, ours: Node, *words: str) -> Any:
        """Equal replies; returns that of the real server."""
        with real.client() as one, ours.client() as other:
            theirs, mine = one.call(*words), other.call(*words)
        self.assertEqual(comparable(mine), comparable(theirs), words)
        return theirs

    def test_load_and_save(self) -> None:
        real, ours = self.both(USERS)
        self.same(real, ours, "ACL", "LIST")
        before = self.same(real, ours, "ACL", "LIST")
        for node in (real, ours):
            self.file_of(node).write_text(BROKEN)
        self.assertIsInstance(self.same(real, ours, "ACL", "LOAD"), RespError)
        self.assertEqual(self.same(real, ours, "ACL", "LIST"), before)
        for content in (
            "",
            "user default on nopass +get\nuser x on\n",
            "user default on nopass ~* &* +@all\nuser y on (+get)\n",
        ):
            for node in (real, ours):
                self.file_of(node).write_text(content)
            with real.client() as one, ours.client() as other:
                one.call("ACL", "LOAD")
                other.call("ACL", "LOAD")
            self.same(real, ours, "ACL", "LIST")
            if "+get" in content and "(+get)" not in content:
                real.close_clients()
                real, ours = self.both("user default on nopass ~* &* +@all\n")
        self.same(real, ours, "ACL", "SETUSER", "z", "on", ">p", "~k", "&c", "+@read", "(+set ~q)")
        self.assertEqual(self.same(real, ours, "ACL", "SAVE"), b"OK")
        written = [self.file_of(node).read_bytes().splitlines() for node in (real, ours)]
        self.assertEqual(comparable(written[1]), comparable(written[0]))
        # each reads the other's file
        self.file_of(real).write_bytes(b"\n".join(written[1]))
        self.file_of(ours).write_bytes(b"\n".join(written[0]))
        self.assertEqual(self.same(real, ours, "ACL", "LOAD"), b"OK")
        self.same(real, ours, "ACL", "LIST")
        for node in (real, ours):
            self.file_of(node).unlink()
        self.assertIsInstance(self.same(real, ours, "ACL", "LOAD"), RespError)
        for node in (real, ours):
            self.file_of(node).mkdir()
        self.assertIsInstance(self.same(real, ours, "ACL", "SAVE"), RespError)
        self.assertNotIn("p z", ours.log())

    def test_load_closes_the_connections_of_users(self) -> None:
        for node in self.both("user default on nopass ~* &* +@all\nuser x on nopass +@all ~*\n"):
            stays, goes = node.client(), node.client()
            goes.must("AUTH", "x", "x")
            self.assertEqual(stays.must("ACL", "LOAD"), b"OK")
            self.assertEqual(goes.recv_until_closed(), b"")
            self.assertEqual(stays.must("PING"), b"PONG")
            stays.must("AUTH", "x", "x")
            self.assertEqual(stays.must("ACL", "LOAD"), b"OK")
            self.assertEqual(stays.recv_until_closed(), b"")

    def test_a_broken_file_stops_the_start(self) -> None:
        real, ours = RealServer(self, {"aclfile": "users.acl"}), Replicad(self, {"aclfile": "users.acl"})
        for node in (real, ours):
            self.file_of(node).write_text(BROKEN)
            node.start(wait=False)
            self.assertEqual(node.wait_exit(), 1)
        reason = real.log().partition("Aborting Redis startup because of ACL errors: ")[2].splitlines()[0]
        self.assertIn("users.acl:5: Error in applying operation '+no'", reason)
        self.assertIn(reason, ours.log())

    def test_both_sources_are_refused(self) -> None:
        texts = []
        for kind in (RealServer, Replicad):
            node = kind(self, "aclfile users.acl\nuser x on\n")
            self.file_of(node).write_text(USERS)
            node.start(wait=False)
            self.assertEqual(node.wait_exit(), 1)
            texts.append(
                "Configuring Redis with users defined" + node.log().partition("Configuring Redis with users defined")[2]
            )
        self.assertEqual(texts[1].splitlines()[0], texts[0].splitlines()[0])


class UserLines(SynchronousTestCase):
    """Users in the conf file, CONFIG REWRITE."""

    def test_rewritten_and_read_again(self) -> None:
        need_reference()
        lists = []
        for kind in (RealServer, Replicad):
            node = kind(self, USERS.replace("\n\n", "\n") + "# the end\n").start()
            with node.client() as client:
                shown = [client.must("ACL", "LIST")]
                client.must("ACL", "SETUSER", "dora", "on", ">pw", "~k", "(+get %R~z)")
                client.must("ACL", "DELUSER", "carol")
                client.must("CONFIG", "REWRITE")
                shown.append(client.must("ACL", "LIST"))
            node.restart_as_is()
            with node.client() as client:
                # the line for the user default resets it first, which is shown
                shown.append([line.replace(b"sanitize-payload ", b"") for line in client.must("ACL", "LIST")])
                client.must("AUTH", "alice", "secret")
            self.assertEqual(comparable(shown[2]), comparable(shown[1]))
            lists.append(shown)
            conf = next(node.directory.glob("*.conf")).read_text()
            self.assertNotIn("secret", conf)
            self.assertIn("# the end", conf)
            # the other kind reads it
            other = (Replicad if kind is RealServer else RealServer)(self, conf.replace(f"port {node.port}", "")).start()
            self.assertEqual(
                comparable([line.replace(b"sanitize-payload ", b"") for line in other.client().must("ACL", "LIST")]),
                comparable(shown[2]),
            )
        self.assertEqual(comparable(lists[1]), comparable(lists[0]))


class Sentinel(Node):
    """A real redis-sentinel."""

    kind = "sentinel"

    def defaults(self) -> dict[str, Any]:
        """See `Node.defaults`."""
        return {"bind": "127.0.0.1", "port": self.port, "dir": self.directory}

    def command(self, conf: Path) -> list[str]:
        """See `Node.command`."""
        return [find_tool("redis-sentinel"), str(conf)]


class Links(SynchronousTestCase):
    """A replica logs in as a user that may do nothing else."""

    def test_a_user_for_replicas(self) -> None:
        for kinds in (("real", "ours"), ("ours", "real")):
            master = KINDS[kinds[0]](self, "user replicas on >link +psync +replconf +ping\n").start()
            link = {"masteruser": "replicas", "masterauth": "link", "replicaof": f"127.0.0.1 {master.port}"}
            replica = KINDS[kinds[1]](self, link).start()
            master.call("SET", "k", "v")
            wait_in_sync(master, replica)
            self.assertEqual(digest(replica), digest(master), report(master, replica))
            with master.client() as client:
                self.assertIn(b" user=replicas ", client.must("CLIENT", "LIST", "TYPE", "replica"))
                self.assertEqual(client.must("ACL", "LOG"), [])
            with replica.client() as client:
                self.assertIn(b" user=(superuser) ", client.must("CLIENT", "LIST", "TYPE", "master"))

    def test_without_the_right(self) -> None:
        """The link fails with the master's words, and comes up when the user has got the right."""
        master = Replicad(self, "user replicas on >link +ping +replconf\n").start()
        link = {"masteruser": "replicas", "masterauth": "link", "replicaof": f"127.0.0.1 {master.port}"}
        replica = Replicad(self, link).start()
        replica.wait_log("NOPERM")
        self.assertFalse(link_up(replica))
        master.call("ACL", "SETUSER", "replicas", "+psync")
        wait_until(lambda: link_up(replica), 10, "the link", every=0.05)

    def test_the_stream_is_not_judged(self) -> None:
        """A replica applies everything, whatever its own user default may do."""
        master = RealServer(self, {}).start()
        limited = f"user default on nopass ~x &* +@all -set -@write\nreplicaof 127.0.0.1 {master.port}\n"
        replica = Replicad(self, limited).start()
        for words in (("SET", "a", "1"), ("LPUSH", "b", "1"), ("EVAL", "return redis.call('set','c','1')", "0")):
            master.call(*words)
        with master.client() as client:
            for words in (("MULTI",), ("SET", "d", "1"), ("INCR", "d"), ("EXEC",)):
                client.must(*words)
        wait_in_sync(master, replica)
        self.assertEqual(digest(replica), digest(master), report(master, replica))
        with replica.client() as client:
            self.assertIn("NOPERM", client.call("SET", "x", "1").text)

    def test_a_user_for_sentinel(self) -> None:
        """The rights that a Sentinel needs suffice with ours."""
        sentinel_rights = (
            "user sentinel on >watch allchannels +multi +slaveof +ping +exec +subscribe +config|rewrite +role +publish "
            "+info +client|setname +client|kill +script|kill\n"
        )
        master = Replicad(self, sentinel_rights).start()

        sentinel = Sentinel(
            self,
            f"sentinel monitor ours 127.0.0.1 {master.port} 1\nsentinel auth-user ours sentinel\n"
            "sentinel auth-pass ours watch\nsentinel down-after-milliseconds ours 1000\n",
        )
        sentinel.start()

        def seen() -> bool:
            reply = sentinel.call("SENTINEL", "MASTER", "ours")
            state = dict(zip(reply[::2], reply[1::2], strict=True))
            return state[b"flags"] == b"master" and state[b"runid"] == master.info("server")["run_id"].encode()

        wait_until(seen, 15, "Sentinel sees the master", every=0.05)
        with master.client() as client:
            wait_until(
                lambda: client.must("CLIENT", "LIST").count(b" user=sentinel ") == 2, 10, "both connections of the Sentinel"
            )
            self.assertEqual(client.must("ACL", "LOG"), [])
