"""Keyspace notifications: messages about what happened to keys, for whoever listens to the channels.

Owns: the classes of events (the letters of ``notify-keyspace-events``), the names of the channels, whether an event is told.
Does not own what happens to keys: handlers report it after the change, ``keyspace`` what no single command does (a new key,
a missed one, a deletion).  Delivery is that of PUBLISH (``pubsub``), but nothing goes to the replicas: they report the same
events when they execute the same commands.

How handlers report::

    if server.notifying:
        server.notify(GENERIC, b"expire", key, db.index)

or, where one call more does not matter, ``report(client, GENERIC, b"expire", key)``.  ``server.notifying`` is 0 when nothing
is to be told, so that an event which nobody wants costs one test.  The keyspace itself tells what no handler knows best:
``del`` in ``Database.delete`` and ``Database.touched_or_empty``, ``new`` in ``put``, ``keymiss`` in ``get``.

Rejected: a table from commands to events that dispatch looks up (many commands report several events, or none when nothing
changed), and telling from ``touched`` (it does not know what happened, and blocked clients are served without dispatch).
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from replicad.pubsub import PubSub
    from replicad.session import Client

#: The class of an event, one bit each.
(GENERIC, STRING, LIST, SET, HASH, ZSET, EXPIRED, EVICTED, STREAM, MODULE, KEY_MISS, NEW) = (1 << bit for bit in range(12))
#: Which channels are used: ``__keyspace@<db>__:<key>`` and ``__keyevent@<db>__:<event>``.
KEYSPACE, KEYEVENT = 1 << 12, 1 << 13

#: The bits by their letters in ``notify-keyspace-events`` (``A`` is taken apart by the directive).
LETTERS = {
    "g": GENERIC, "$": STRING, "l": LIST, "s": SET, "h": HASH, "z": ZSET, "x": EXPIRED, "e": EVICTED, "t": STREAM,
    "d": MODULE, "m": KEY_MISS, "n": NEW, "K": KEYSPACE, "E": KEYEVENT,
}  # fmt: skip

#: ``notify(event class, event, key, number of the database)``
Notify = Callable[[int, bytes, bytes, int], None]


def mask_of(letters: Collection[str]) -> int:
    """The bits of the letters; 0 when no channel or no class of events is among them."""
    mask = sum(LETTERS[letter] for letter in letters)
    channels = KEYSPACE | KEYEVENT
    return mask if mask & channels and mask & ~channels else 0


class Notifications:
    """What is told, and the telling; ``mask`` holds the bits in force, 0 for silence."""

    __slots__ = ("_pubsub", "mask")

    def __init__(self, pubsub: PubSub) -> None:
        self._pubsub = pubsub
        self.mask = 0

    def notify(self, kind: int, event: bytes, key: bytes, db: int) -> None:
        """Tell that ``event``, which is of the class ``kind``, happened to ``key`` of the database with that number."""
        mask, pubsub = self.mask, self._pubsub
        if not mask & kind or not (pubsub.channels or pubsub.patterns):
            return
        if mask & KEYSPACE:
            pubsub.publish(b"__keyspace@%d__:%b" % (db, key), event)
        if mask & KEYEVENT:
            pubsub.publish(b"__keyevent@%d__:%b" % (db, event), key)


def report(client: Client, kind: int, event: bytes, key: bytes) -> None:
    """Tell what a command of ``client`` did to ``key``, for handlers that are not hot."""
    server = client.server
    if server.notifying:
        server.notify(kind, event, key, client.db.index)
