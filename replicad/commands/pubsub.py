"""Publish and subscribe: SUBSCRIBE, PSUBSCRIBE, SSUBSCRIBE and their opposites, PUBLISH, SPUBLISH, PUBSUB.

Owns: the replies to subscriptions and their counts, and what of a message is propagated.  Does not own the registry of
listeners nor the delivery (``replicad.pubsub``), nor which commands a subscribed client may send (``dispatch.gate``).

A master passes every PUBLISH on to its replicas, whose own clients listen too; a message published on a replica stays
there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from replicad.command import command
from replicad.commands.help import help_of
from replicad.errors import err, unknown_subcommand
from replicad.glob import matching
from replicad.resp import Push, Replies

if TYPE_CHECKING:
    from replicad.pubsub import Subscribers
    from replicad.session import Client

_SUBSCRIBE = "pubsub noscript loading stale"
_ASK = "pubsub loading stale"


def _registry(client: Client, kind: str) -> Subscribers:
    """Who listens to what of this kind: ``channels``, ``patterns`` or ``shard_channels``."""
    pubsub = client.server.pubsub
    return pubsub.shards if kind == "shard_channels" else getattr(pubsub, kind)


def _count(client: Client, kind: str) -> int:
    """The number in the reply: channels and patterns together, shard channels alone."""
    if kind == "shard_channels":
        return len(client.shard_channels or ())
    return len(client.channels or ()) + len(client.patterns or ())


def _subscribe(client: Client, argv: list[bytes], kind: str, verb: bytes) -> Replies:
    registry = _registry(client, kind)
    names = getattr(client, kind)
    if names is None:
        names = {}
        setattr(client, kind, names)
    replies = Replies()
    for name in argv[1:]:
        if name not in names:
            names[name] = None
            client.server.pubsub.add(registry, name, client)
        replies.append(Push([verb, name, _count(client, kind)]))
    client.update_gate()
    return replies


def _unsubscribe(client: Client, argv: list[bytes], kind: str, verb: bytes) -> Replies:
    registry = _registry(client, kind)
    names = getattr(client, kind) or {}
    replies = Replies()
    for name in argv[1:] or list(names):
        if name in names:
            del names[name]
            client.server.pubsub.discard(registry, name, client)
        replies.append(Push([verb, name, _count(client, kind)]))
    if not replies:
        replies.append(Push([verb, None, _count(client, kind)]))
    client.update_gate()
    return replies


@command(b"SUBSCRIBE", arity=-2, flags=_SUBSCRIBE, group="pubsub", since="2.0.0")
def subscribe(client: Client, argv: list[bytes]) -> Any:
    """Listens to channels.

    SUBSCRIBE channel [channel ...]
    """
    return _subscribe(client, argv, "channels", b"subscribe")


@command(b"UNSUBSCRIBE", arity=-1, flags=_SUBSCRIBE, group="pubsub", since="2.0.0")
def unsubscribe(client: Client, argv: list[bytes]) -> Any:
    """Stops listening to channels, to all of them when none is named.

    UNSUBSCRIBE [channel [channel ...]]
    """
    return _unsubscribe(client, argv, "channels", b"unsubscribe")


@command(b"PSUBSCRIBE", arity=-2, flags=_SUBSCRIBE, group="pubsub", since="2.0.0")
def psubscribe(client: Client, argv: list[bytes]) -> Any:
    """Listens to all channels whose names match a pattern.

    PSUBSCRIBE pattern [pattern ...]
    """
    return _subscribe(client, argv, "patterns", b"psubscribe")


@command(b"PUNSUBSCRIBE", arity=-1, flags=_SUBSCRIBE, group="pubsub", since="2.0.0")
def punsubscribe(client: Client, argv: list[bytes]) -> Any:
    """Stops listening to patterns, to all of them when none is named.

    PUNSUBSCRIBE [pattern [pattern ...]]
    """
    return _unsubscribe(client, argv, "patterns", b"punsubscribe")


@command(b"SSUBSCRIBE", arity=-2, flags=_SUBSCRIBE, keys=(1, -1, 1), group="pubsub", since="7.0.0")
def ssubscribe(client: Client, argv: list[bytes]) -> Any:
    """Listens to shard channels, which are channels of their own.

    SSUBSCRIBE shardchannel [shardchannel ...]
    """
    if client.in_exec:
        raise err("SSUBSCRIBE isn't allowed for a DENY BLOCKING client")
    return _subscribe(client, argv, "shard_channels", b"ssubscribe")


@command(b"SUNSUBSCRIBE", arity=-1, flags=_SUBSCRIBE, keys=(1, -1, 1), group="pubsub", since="7.0.0")
def sunsubscribe(client: Client, argv: list[bytes]) -> Any:
    """Stops listening to shard channels, to all of them when none is named.

    SUNSUBSCRIBE [shardchannel [shardchannel ...]]
    """
    return _unsubscribe(client, argv, "shard_channels", b"sunsubscribe")


def _publish(client: Client, argv: list[bytes], shard: bool) -> Any:
    client.server.propagation.also(client.db.index, *argv)
    own, count = client.server.pubsub.publish(argv[1], argv[2], shard, publisher=client)
    # What a client says to itself stands in front of the reply, behind the replies to what it sent before.
    return Replies([*own, count]) if own else count


@command(b"PUBLISH", arity=3, flags="pubsub loading stale fast may_replicate", group="pubsub", since="2.0.0")
def publish(client: Client, argv: list[bytes]) -> Any:
    """Sends a message to the listeners of a channel and returns how many got it.

    PUBLISH channel message
    """
    return _publish(client, argv, False)


@command(
    b"SPUBLISH",
    arity=3,
    flags="pubsub loading stale fast may_replicate",
    keys=(1, 1, 1),
    group="pubsub",
    since="7.0.0",
)
def spublish(client: Client, argv: list[bytes]) -> Any:
    """Sends a message to the listeners of a shard channel and returns how many got it.

    SPUBLISH shardchannel message
    """
    return _publish(client, argv, True)


# -- PUBSUB


@command(b"PUBSUB", arity=-2, group="pubsub", since="2.8.0")
def pubsub(client: Client, argv: list[bytes]) -> Any:
    """Tells who listens to what.

    PUBSUB
    """
    raise unknown_subcommand(b"PUBSUB", argv[1])


def _names(registry: Subscribers, argv: list[bytes]) -> Any:
    if len(argv) > 3:
        raise err(
            b"unknown subcommand or wrong number of arguments for '%b'. Try PUBSUB HELP." % argv[1][:128]
        )
    if len(argv) == 2:
        return tuple(registry)
    pattern = argv[2]
    return tuple(matching(pattern, registry))


def _listeners(registry: Subscribers, argv: list[bytes]) -> list[Any]:
    return [item for name in argv[2:] for item in (name, len(registry.get(name, ())))]


@command(b"PUBSUB|CHANNELS", arity=-2, flags=_ASK, group="pubsub", since="2.8.0")
def pubsub_channels(client: Client, argv: list[bytes]) -> Any:
    """Returns the channels that somebody listens to.

    PUBSUB CHANNELS [pattern]
    """
    return _names(client.server.pubsub.channels, argv)


@command(b"PUBSUB|NUMPAT", arity=2, flags=_ASK, group="pubsub", since="2.8.0")
def pubsub_numpat(client: Client, argv: list[bytes]) -> int:
    """Returns how many different patterns somebody listens to.

    PUBSUB NUMPAT
    """
    return len(client.server.pubsub.patterns)


@command(b"PUBSUB|NUMSUB", arity=-2, flags=_ASK, group="pubsub", since="2.8.0")
def pubsub_numsub(client: Client, argv: list[bytes]) -> Any:
    """Returns how many clients listen to each channel, patterns not counted.

    PUBSUB NUMSUB [channel [channel ...]]
    """
    return _listeners(client.server.pubsub.channels, argv)


@command(b"PUBSUB|SHARDCHANNELS", arity=-2, flags=_ASK, group="pubsub", since="7.0.0")
def pubsub_shardchannels(client: Client, argv: list[bytes]) -> Any:
    """Returns the shard channels that somebody listens to.

    PUBSUB SHARDCHANNELS [pattern]
    """
    return _names(client.server.pubsub.shards, argv)


@command(b"PUBSUB|SHARDNUMSUB", arity=-2, flags=_ASK, group="pubsub", since="7.0.0")
def pubsub_shardnumsub(client: Client, argv: list[bytes]) -> Any:
    """Returns how many clients listen to each shard channel.

    PUBSUB SHARDNUMSUB [shardchannel [shardchannel ...]]
    """
    return _listeners(client.server.pubsub.shards, argv)


@command(b"PUBSUB|HELP", arity=2, flags="loading stale", group="pubsub", since="6.2.0")
def pubsub_help(client: Client, argv: list[bytes]) -> Any:
    """Lists the subcommands.

    PUBSUB HELP
    """
    return help_of(b"PUBSUB")
