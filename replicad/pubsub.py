"""Who listens to which channel, and the delivery of messages.

Owns: the registry of channel, pattern and shard-channel subscriptions.  Does not own the commands (``commands/pubsub``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from replicad.glob import matcher
from replicad.resp import Push, encode

if TYPE_CHECKING:
    from replicad.session import Client

Subscribers = dict[bytes, dict["Client", None]]


class PubSub:
    """Three registries; each keeps its clients in the order of their subscription."""

    def __init__(self) -> None:
        self.channels: Subscribers = {}
        self.patterns: Subscribers = {}
        self.shards: Subscribers = {}
        # Compiled patterns live as long as somebody listens to them: thousands would thrash any cache.
        self._matchers: dict[bytes, Callable[[bytes], bool]] = {}

    def add(self, registry: Subscribers, name: bytes, client: Client) -> None:
        """``client`` listens to ``name`` from now on."""
        if registry is self.patterns and name not in registry:
            self._matchers[name] = matcher(name)
        registry.setdefault(name, {})[client] = None

    def discard(self, registry: Subscribers, name: bytes, client: Client) -> None:
        """``client`` listens to ``name`` no longer."""
        clients = registry.get(name)
        if clients is not None:
            clients.pop(client, None)
            if not clients:
                del registry[name]
                if registry is self.patterns:
                    del self._matchers[name]

    def publish(
        self, channel: bytes, message: bytes, shard: bool = False, publisher: Client | None = None
    ) -> tuple[list[Push], int]:
        """Deliver ``message``; returns what ``publisher`` itself listens to, and the number of deliveries.

        The publisher's own messages are not sent: the caller puts them in order between its replies.
        """
        count = 0
        own: list[Push] = []
        registry, kind = (self.shards, b"smessage") if shard else (self.channels, b"message")
        listeners = registry.get(channel)
        if listeners:
            count += self._deliver(listeners, Push([kind, channel, message]), publisher, own)
        if not shard and self.patterns:
            for pattern in [pattern for pattern, matches in self._matchers.items() if matches(channel)]:
                clients = self.patterns[pattern]
                count += self._deliver(clients, Push([b"pmessage", pattern, channel, message]), publisher, own)
        return own, count

    @staticmethod
    def _deliver(clients: dict[Client, None], message: Push, publisher: Client | None, own: list[Push]) -> int:
        encoded: dict[int, bytes] = {}
        for client in list(clients):
            if client is publisher:
                own.append(message)
                continue
            data = encoded.get(client.resp)
            if data is None:
                data = encoded[client.resp] = encode(message, client.resp)
            client.send(data)
        return len(clients)
