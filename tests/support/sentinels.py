"""Three real Sentinels on loopback that watch one master."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.support.proxy import Proxy
from tests.support.servers import HasCleanup, Node, find_redis_server, wait_until

#: The name of the watched master, as clients ask for it.
NAME = "mymaster"


class Sentinel(Node):
    """One redis-sentinel process; it writes into its own conf file."""

    kind = "sentinel"

    def defaults(self) -> dict[str, Any]:
        """See `Node.defaults`."""
        return {"bind": "127.0.0.1", "port": self.port, "dir": self.directory}

    def command(self, conf: Path) -> list[str]:
        """See `Node.command`: the server is its own Sentinel, so there need be no second program."""
        return [find_redis_server(), str(conf), "--sentinel"]


class Sentinels:
    """Three of them, quorum 2. ``options`` are ``sentinel <option> mymaster <value>`` lines."""

    def __init__(self, case: HasCleanup, master: Node | Proxy, **options: object) -> None:
        values = {"down-after-milliseconds": 1000, "failover-timeout": 20000, "parallel-syncs": 1, **options}
        lines = [f"sentinel monitor {NAME} 127.0.0.1 {master.port} 2"]
        lines += [f"sentinel {option.replace('_', '-')} {NAME} {value}" for option, value in values.items()]
        self.nodes = [Sentinel(case, "\n".join(lines), name=f"sentinel-{number}") for number in (1, 2, 3)]
        for node in self.nodes:
            node.start(wait=False)
        for node in self.nodes:
            node.wait_ready()

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """Where clients find them."""
        return [("127.0.0.1", node.port) for node in self.nodes]

    def master_port(self) -> int:
        """The port of the master as the first Sentinel knows it."""
        return int(self.nodes[0].call("SENTINEL", "GET-MASTER-ADDR-BY-NAME", NAME)[1])

    def master(self, node: Node | None = None) -> dict[str, str]:
        """What a Sentinel, the first if not given, says about the master."""
        return _pairs((node or self.nodes[0]).call("SENTINEL", "MASTER", NAME))

    def replicas(self) -> dict[int, dict[str, str]]:
        """What the first Sentinel says about the replicas, by port."""
        found = [_pairs(reply) for reply in self.nodes[0].call("SENTINEL", "REPLICAS", NAME)]
        return {int(fields["port"]): fields for fields in found}

    def wait_complete(self, replicas: int = 2) -> None:
        """Until each knows the others and every replica."""

        def complete() -> bool:
            for node in self.nodes:
                fields = self.master(node)
                if (fields["num-slaves"], fields["num-other-sentinels"], fields["flags"]) != (str(replicas), "2", "master"):
                    return False
            return all(
                fields["master-link-status"] == "ok" and int(fields["slave-repl-offset"]) > 0
                for fields in self.replicas().values()
            )

        try:
            wait_until(complete, 60, "the Sentinels know everybody", every=0.1)
        except AssertionError as error:
            for node in self.nodes:
                error.add_note(f"--- {node.name} of {self.master(node)}, replicas {self.replicas()}\n{node.log()}")
            raise

    def wait_master(self, *ports: int, timeout: float = 40) -> int:
        """Until all name the same master, one of ``ports``, and no failover is under way; returns its port."""

        def agreed() -> int:
            named = {int(node.call("SENTINEL", "GET-MASTER-ADDR-BY-NAME", NAME)[1]) for node in self.nodes}
            quiet = all("failover_in_progress" not in self.master(node)["flags"] for node in self.nodes)
            return named.pop() if quiet and len(named) == 1 and named <= set(ports) else 0

        return wait_until(agreed, timeout, f"the Sentinels name one of {ports} the master", every=0.1)


def _pairs(reply: Sequence[bytes]) -> dict[str, str]:
    words = [word.decode() for word in reply]
    return dict(zip(words[::2], words[1::2], strict=True))
