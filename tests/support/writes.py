"""A dataset of all types and a stream of writes over it, the same for the same seed.

Commands come as tuples for `Connection.pipeline`. They only use what every server since 6.2 knows, and each of them
succeeds: what a test compares afterwards are digests, and what it demands of the replies is that none is an error.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from tests.support.connection import Argument, RespError
from tests.support.servers import Node

Commands = Iterator[tuple[Argument, ...]]


def dataset(seed: int, keys: int = 1000) -> Commands:
    """About 200 bytes for each of `keys` keys in databases 0 and 3; random bytes, so that an image stays large."""
    source = random.Random(seed)
    for db in (3, 0):
        yield ("SELECT", db)
        for number in range(keys // 2):
            kind = number % 5
            if kind == 0:
                yield ("SET", f"s:{number}", source.randbytes(200))
            elif kind == 1:
                yield ("RPUSH", f"l:{number}", *(source.randbytes(40) for _ in range(5)))
            elif kind == 2:
                yield ("HSET", f"h:{number}", *(source.randbytes(33) for _ in range(6)))
            elif kind == 3:
                yield ("SADD", f"e:{number}", *(source.randbytes(50) for _ in range(4)))
            else:
                pairs = [(source.randrange(1000) / 8, source.randbytes(40)) for _ in range(4)]
                yield ("ZADD", f"z:{number}", *(part for pair in pairs for part in pair))
            if number % 10 == 0:
                yield ("PEXPIRE", f"s:{number}", 3_600_000 + number)


def changes(seed: int, count: int, size: int = 40) -> Commands:
    """`count` writes in databases 0 and 3, transactions and relative times among them; values of `size` bytes."""
    source = random.Random(seed)
    yield ("SELECT", 0)
    for number in range(count):
        key = source.randrange(50)
        value = source.randbytes(size)
        choice = source.randrange(14)
        if choice == 0:
            yield ("SELECT", source.choice((0, 3)))
        elif choice == 1:
            yield from (("MULTI",), ("SET", f"m:{key}", value), ("INCR", "counter"), ("EXEC",))
        elif choice == 2:
            yield ("SET", f"t:{key}", value, "EX", 3600)
        elif choice == 3:
            yield ("LPUSH", f"cl:{key}", value, number)
        elif choice == 4:
            yield ("RPOP", f"cl:{key}")
        elif choice == 5:
            yield ("SADD", f"ce:{key}", value, number)
        elif choice == 6:
            yield ("SPOP", f"ce:{key}")
        elif choice == 7:
            yield ("ZINCRBY", f"cz:{key}", source.randrange(100) / 4, value)
        elif choice == 8:
            yield ("HINCRBYFLOAT", f"ch:{key}", "f", "0.25")
        elif choice == 9:
            yield ("DEL", f"c:{key}", f"cz:{key}")
        elif choice == 10:
            yield ("EXPIRE", f"c:{key}", 3600)
        elif choice == 11:
            yield ("ZADD", f"cz:{key}", "NX", number, value)
        else:
            yield ("SET", f"c:{key}", value)


def write(node: Node, commands: Commands) -> None:
    """Send all commands in one pipeline and fail on the first error reply."""
    batch = list(commands)
    with node.client(timeout=30.0) as connection:
        replies = connection.pipeline(*batch)
    for command, reply in zip(batch, replies, strict=True):
        parts = reply if isinstance(reply, list) else [reply]
        if any(isinstance(part, RespError) for part in parts):
            raise AssertionError(f"{command!r:.200} was answered {reply!r}")
