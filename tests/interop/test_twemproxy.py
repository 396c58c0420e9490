"""Several masters behind twemproxy (nutcracker): keys are spread, replicas serve reads and replace lost masters."""

from __future__ import annotations

import inspect
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from unittest import SkipTest

import redis
from twisted.trial.unittest import SynchronousTestCase

from tests.support.sentinels import Sentinels
from tests.support.servers import HasCleanup, Node, Replicad, digest, free_port, link_up, wait_in_sync, wait_until
from tests.support.together import together


def find_nutcracker() -> str:
    """The path of the program; Debian puts it where only root looks. Skips the test without it, fails if CI=true."""
    found = shutil.which("nutcracker", path=f"{os.environ.get('PATH', '')}{os.pathsep}/usr/sbin")
    if found:
        return found
    text = "nutcracker is not installed"
    if os.environ.get("CI", "").lower() == "true":
        raise AssertionError(f"{text}, and CI=true demands it")
    raise SkipTest(text)


_POOL = """
{name}:
  listen: 127.0.0.1:{port}
  redis: true
  hash: fnv1a_64
  distribution: ketama
  hash_tag: "{{}}"
  auto_eject_hosts: false
  timeout: 2000
  server_retry_timeout: 100
  server_failure_limit: 1
  servers:
"""

#: How redis-py is kept from introducing itself, in new and in older releases.
_SAY_NOTHING: dict[str, None] = (
    {"driver_info": None}
    if "driver_info" in inspect.signature(redis.Redis).parameters
    else {"lib_name": None, "lib_version": None}
)


class Twemproxy(Node):
    """One nutcracker process with two pools: the masters on ``port``, their replicas on ``reading_port``."""

    kind = "twemproxy"

    def __init__(self, case: HasCleanup, masters: Mapping[str, int], replicas: Mapping[str, int]) -> None:
        super().__init__(case)
        self.reading_port = free_port()
        self.pools = (("writing", self.port, dict(masters)), ("reading", self.reading_port, dict(replicas)))

    def conf(self) -> str:
        """The text of nutcracker.yml. A key belongs to a name, not to an address: names stay when addresses change."""
        text = ""
        for name, port, shards in self.pools:
            text += _POOL.format(name=name, port=port)
            text += "".join(f"    - 127.0.0.1:{address}:1 {shard}\n" for shard, address in shards.items())
        return text

    def command(self, conf: Path) -> list[str]:
        """See `Node.command`."""
        own = ["-o", str(self.directory / "nutcracker.log"), "-p", str(self.directory / "nutcracker.pid")]
        return [find_nutcracker(), "-c", str(conf), *own, "-a", "127.0.0.1", "-s", str(free_port())]

    @property
    def conf_path(self) -> Path:
        """Where nutcracker.yml is."""
        return self.directory / f"{self.name}.conf"


class Sharding(SynchronousTestCase):
    """Three masters, each with its replica, and a proxy."""

    def setUp(self) -> None:
        """Start all of them."""
        find_nutcracker()
        directives = {"repl-diskless-sync-delay": 0}
        self.masters = [Replicad(self, directives, name=f"master-{shard}").start(wait=False) for shard in "abc"]
        self.replicas = [
            Replicad(self, {**directives, "replicaof": f"127.0.0.1 {master.port}"}, name=f"replica-{shard}")
            for shard, master in zip("abc", self.masters, strict=True)
        ]
        for node in self.replicas:
            node.start(wait=False)
        for node in (*self.masters, *self.replicas):
            node.wait_ready()
        for node in self.replicas:
            wait_until(lambda node=node: link_up(node), 10, "the link")
        self.proxy = Twemproxy(self, *(dict(zip("abc", (node.port for node in nodes), strict=True)) for nodes in self.rows))
        self.proxy.start()

    @property
    def rows(self) -> tuple[list[Replicad], list[Replicad]]:
        """Masters and replicas."""
        return self.masters, self.replicas

    def client(self, port: int | None = None) -> redis.Redis:
        """redis-py that says nothing of itself: twemproxy closes a connection at commands that it does not know."""
        client = redis.Redis(
            port=port or self.proxy.port, decode_responses=True, socket_timeout=10, protocol=2, **_SAY_NOTHING
        )
        self.addCleanup(client.close)
        return client

    def fill(self, client: redis.Redis) -> dict[str, str]:
        """Write 300 keys and wait for the replicas."""
        data = {f"key:{number}": str(number) for number in range(300)}
        with client.pipeline(transaction=False) as pipe:
            for key, value in data.items():
                pipe.set(key, value)
            self.assertEqual(pipe.execute(), [True] * 300)
        together(*(lambda pair=pair: wait_in_sync(*pair) for pair in zip(*self.rows, strict=True)))
        return data

    def test_everyday_commands(self) -> None:
        """Each key lives on one master; commands with several keys are split and put together again."""
        client = self.client()
        data = self.fill(client)
        sizes = [node.call("DBSIZE") for node in self.masters]
        self.assertEqual((sum(sizes), min(sizes) > 30), (300, True), sizes)
        for master, replica in zip(*self.rows, strict=True):
            self.assertEqual(digest(master), digest(replica))
        self.assertEqual(client.mget(list(data)), list(data.values()))
        self.assertEqual(client.delete(*list(data)[:100], "nothing"), 100)
        self.assertEqual(sum(node.call("DBSIZE") for node in self.masters), 200)
        self.assertTrue(client.mset({"m:1": "a", "m:2": "b", "m:3": "c"}))
        self.assertEqual((client.exists("m:1"), client.incr("n"), client.append("m:1", "z")), (1, 1, 2))
        self.assertEqual((client.expire("m:2", 100), client.ttl("m:2") > 90, client.persist("m:2")), (True, True, True))
        self.assertEqual((client.hset("h", mapping={"a": "1", "b": "2"}), client.hgetall("h")), (2, {"a": "1", "b": "2"}))
        self.assertEqual((client.rpush("l", 3, 1, 2), client.lrange("l", 0, -1)), (3, ["3", "1", "2"]))
        self.assertEqual((client.sort("l"), client.lpop("l")), (["1", "2", "3"], "3"))
        self.assertEqual((client.zadd("z", {"a": 1, "b": 2}), client.zrevrange("z", 0, -1)), (2, ["b", "a"]))
        self.assertEqual(client.eval("return redis.call('get', KEYS[1]) .. ARGV[1]", 1, "m:3", "!"), "c!")
        # Keys with the same tag are together, so that commands on several of them work.
        client.sadd("{user:1}:reads", "a", "b")
        client.sadd("{user:1}:likes", "b", "c")
        self.assertEqual(client.sinter("{user:1}:reads", "{user:1}:likes"), {"b"})
        with self.assertRaises(redis.ConnectionError):
            client.keys()

    def test_replicas_serve_reads(self) -> None:
        """The same shards under the second port; writes are refused there. What the proxy cannot pass on goes direct."""
        writer, reader = self.client(), self.client(self.proxy.reading_port)
        data = self.fill(writer)
        self.assertEqual(reader.mget(list(data)), list(data.values()))
        for attempt in (lambda: reader.set("key:1", "x"), lambda: reader.delete("key:1"), lambda: reader.sort("key:1")):
            with self.assertRaisesRegex(redis.ResponseError, "You can't write against a read only replica"):
                attempt()
        writer.rpush("list", 3, 1, 2)
        home = next(node for node in self.masters if node.call("EXISTS", "list"))
        replica = self.replicas[self.masters.index(home)]
        wait_in_sync(home, replica)
        direct = replica.client()
        self.assertEqual(direct.call("SORT_RO", "list", "DESC"), [b"3", b"2", b"1"])
        self.assertEqual(direct.call("EVAL_RO", "return redis.call('SORT_RO', KEYS[1])", 1, "list"), [b"1", b"2", b"3"])
        # A replica that takes writes of its own sorts into a key of its own; it is gone with the next full synchronisation.
        direct.call("CONFIG", "SET", "replica-read-only", "no")
        self.assertEqual(direct.call("SORT", "list", "STORE", "sorted"), 3)
        self.assertEqual((direct.call("LLEN", "sorted"), home.call("EXISTS", "sorted")), (3, 0))

    def lost(self, client: redis.Redis, data: Mapping[str, str]) -> list[str]:
        """The keys that cannot be read now; the others can."""
        missing = []
        for key, value in data.items():
            try:
                self.assertEqual(client.get(key), value)
            except redis.ResponseError as error:
                self.assertRegex(str(error), "Connection refused|Connection reset|Broken pipe")
                missing.append(key)
        return missing

    def is_whole(self, data: dict[str, Any], promoted: Node) -> None:
        """After the proxy's restart every key can be read and written; the promoted one got its share."""
        self.proxy.restart_as_is()
        client = self.client()
        self.assertEqual(client.mget(list(data)), list(data.values()))
        for key in data:
            client.set(key, "new")
        self.assertEqual({bytes(value) for value in promoted.call("MGET", *promoted.call("KEYS", "*"))}, {b"new"})

    def test_a_master_is_replaced_by_hand(self) -> None:
        """The others go on; REPLICAOF NO ONE, a new address under the old name, and the proxy's restart."""
        client = self.client()
        data = self.fill(client)
        size = self.masters[0].call("DBSIZE")
        self.masters[0].kill()
        self.assertEqual(len(self.lost(client, data)), size)
        self.replicas[0].call("REPLICAOF", "NO", "ONE")
        text = self.proxy.conf_path.read_text()
        old, new = self.masters[0].port, self.replicas[0].port
        self.proxy.conf_path.write_text(text.replace(f"127.0.0.1:{old}:1 a", f"127.0.0.1:{new}:1 a"))
        self.is_whole(data, self.replicas[0])

    def test_a_master_is_replaced_by_sentinel(self) -> None:
        """Sentinel promotes the replica, and its client-reconfig-script writes the proxy's conf file."""
        script = self.proxy.directory / "reconfigure"
        script.write_text(f'#!/bin/sh\nsed -i "s/ $4:$5:1 / $6:$7:1 /" {self.proxy.conf_path}\n')
        script.chmod(0o755)
        sentinels = Sentinels(self, self.masters[1], client_reconfig_script=script)
        data = self.fill(self.client())
        sentinels.wait_complete(replicas=1)
        self.masters[1].kill()
        new = self.replicas[1].port
        self.assertEqual(sentinels.wait_master(new), new)
        line = f"127.0.0.1:{new}:1 b"
        wait_until(lambda: self.proxy.conf_path.read_text().count(line) == 2, 10, "the changed conf file")
        self.is_whole(data, self.replicas[1])
