"""The types of directives: how the arguments of a directive become a Python value and how a value is written again.

Owns: the kinds, quoting, ``ConfigError``.  Does not own: which directives there are (``directives``), files and current
values (``config``).  Called by those two only.

==================  ==========================================================================================
yes/no              ``bool``
numbers, sizes      ``int`` (bytes, seconds or milliseconds, as the directive's Redis documentation says);
                    ``maxmemory-clients 5%`` is ``-5``
text, enum          ``str`` (bytes that are not UTF-8 become lone surrogates, so that nothing is lost)
bind                ``tuple[str, ...]``
save                ``tuple[tuple[int, int], ...]``: (seconds, changes)
replicaof           ``tuple[str, int] | None``
output limits       ``dict`` of ``normal``, ``replica``, ``pubsub`` to (hard bytes, soft bytes, soft seconds)
event classes       ``frozenset[str]`` of single letters, ``A`` spelled out
rename-command      ``tuple[tuple[str, str], ...]``: (old name, new name or "")
==================  ==========================================================================================

The texts of refusals are those of Redis 7.0; a test compares them with a real server.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

INT_MAX = (1 << 31) - 1
UINT_MAX = (1 << 32) - 1
LONG_MAX = (1 << 63) - 1
ULONG_MAX = (1 << 64) - 1


class ConfigError(Exception):
    """A directive or a value was refused.  ``reason`` is Redis's text without the leading ``ERR ``."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def text(raw: bytes) -> str:
    """The ``str`` form of configuration bytes; ``raw_bytes`` is the way back, also for bytes that are not UTF-8."""
    return raw.decode("utf-8", "surrogateescape")


def raw_bytes(value: str) -> bytes:
    """The bytes that ``text`` was given."""
    return value.encode("utf-8", "surrogateescape")


_PLAIN = re.compile(rb"[\x20\x21\x23-\x5b\x5d-\x7e]*")
_NAMED = {10: b"\\n", 13: b"\\r", 9: b"\\t", 7: b"\\a", 8: b"\\b", 34: b'\\"', 92: b"\\\\"}


def quote(raw: bytes) -> bytes:
    """``raw`` in double quotes, such that the configuration parser reads exactly ``raw`` again."""
    if _PLAIN.fullmatch(raw):
        return b'"' + raw + b'"'
    body = (_NAMED.get(c) or (bytes((c,)) if 32 <= c < 127 else b"\\x%02x" % c) for c in raw)
    return b'"' + b"".join(body) + b'"'


# kinds


class Kind(ABC):
    """How one type of directive is read and shown.

    ``multi`` kinds take any number of arguments; the others exactly one, which the caller has checked.
    """

    multi = False

    @abstractmethod
    def parse(self, args: Sequence[bytes], old: Any) -> Any:
        """The value that ``args`` mean; ``old`` is the value so far.  Raises ConfigError with Redis's reason."""

    def show(self, value: Any) -> bytes:
        """The text that CONFIG GET answers."""
        return raw_bytes(str(value))

    def write(self, value: Any) -> bytes:
        """The arguments for a line of a conf file."""
        return self.show(value)


class Bool(Kind):
    """``yes`` or ``no``."""

    def parse(self, args: Sequence[bytes], old: Any) -> bool:
        word = args[0].lower()
        if word not in (b"yes", b"no"):
            raise ConfigError("argument must be 'yes' or 'no'")
        return word == b"yes"

    def show(self, value: Any) -> bytes:
        return b"yes" if value else b"no"


_INTEGER = re.compile(rb"0|-?[1-9][0-9]{0,18}")


class Int(Kind):
    """A decimal number from ``low`` to ``high``; numbers outside ``clamp`` are moved to its ends, as Redis does."""

    def __init__(self, low: int = 0, high: int = INT_MAX, clamp: tuple[int, int] | None = None) -> None:
        self.low, self.high, self.clamp = low, high, clamp

    def parse(self, args: Sequence[bytes], old: Any) -> int:
        if not _INTEGER.fullmatch(args[0]) or not -LONG_MAX - 1 <= int(args[0]) <= LONG_MAX:
            raise ConfigError("argument couldn't be parsed into an integer")
        return self.within(int(args[0]))

    def within(self, number: int) -> int:
        """``number`` if it is in the range, clamped where Redis clamps."""
        if not self.low <= number <= self.high:
            raise ConfigError(f"argument must be between {self.low} and {self.high} inclusive")
        if self.clamp:
            number = min(max(number, self.clamp[0]), self.clamp[1])
        return number


class Octal(Kind):
    """A file mode such as ``770``."""

    def parse(self, args: Sequence[bytes], old: Any) -> int:
        if not re.fullmatch(rb"-?[0-7]+", args[0]):
            raise ConfigError("argument couldn't be parsed as an octal number")
        mode = int(args[0], 8)
        if not 0 <= mode <= 0o777:
            raise ConfigError("argument must be between 0 and 777 inclusive")
        return mode

    def show(self, value: Any) -> bytes:
        return b"%o" % value


_UNITS = {b"": 1, b"b": 1, b"k": 1000, b"kb": 1 << 10, b"m": 10**6, b"mb": 1 << 20, b"g": 10**9, b"gb": 1 << 30}


def memory_size(raw: bytes) -> int | None:
    """The bytes that ``1gb``, ``10K`` or ``512`` mean (1k is 1000, 1kb is 1024), or None.

    A number too big for 64 bits counts as the biggest one.  As in Redis, no digits at all are zero.
    """
    match = re.fullmatch(rb"([0-9]{0,127})([a-z]*)", raw.lower())
    if match is None or match.group(2) not in _UNITS:
        return None
    return min(int(match.group(1) or b"0") * _UNITS[match.group(2)], ULONG_MAX)


class Memory(Int):
    """A size in bytes with an optional unit, or, where ``percent`` is allowed, ``5%``, kept as ``-5``."""

    def __init__(
        self, low: int = 0, high: int = LONG_MAX, percent: bool = False, clamp: tuple[int, int] | None = None
    ) -> None:
        super().__init__(low, high, clamp)
        self.percent = percent

    def parse(self, args: Sequence[bytes], old: Any) -> int:
        if self.percent and re.fullmatch(rb"[0-9]+%", args[0]):
            share = int(args[0][:-1])
            if share > 100:
                raise ConfigError("percentage argument must be less or equal to 100")
            return -share
        size = memory_size(args[0])
        if size is None:
            raise ConfigError(f"argument must be a memory {'or percent ' if self.percent else ''}value")
        if self.percent and size > LONG_MAX:  # Redis takes the top bit for the mark of a percentage
            raise ConfigError("percentage argument must be less or equal to 100")
        return self.within(size)

    def show(self, value: Any) -> bytes:
        return b"%d%%" % -value if value < 0 else b"%d" % value

    def write(self, value: Any) -> bytes:
        for unit in (b"gb", b"mb", b"kb"):
            if value > 0 and value % _UNITS[unit] == 0:
                return b"%d%s" % (value // _UNITS[unit], unit)
        return self.show(value)


class Room(Memory):
    """A size in bytes, at least ``low``, or ``off``, kept as 0."""

    def parse(self, args: Sequence[bytes], old: Any) -> int:
        return 0 if args[0].lower() in (b"off", b"0") else super().parse(args, old)

    def show(self, value: Any) -> bytes:
        return super().show(value) if value else b"off"


class Enum(Kind):
    """One of ``words``, in any case; the value is the word as listed."""

    def __init__(self, words: str) -> None:
        self.words = words.split()

    def parse(self, args: Sequence[bytes], old: Any) -> str:
        word = text(args[0]).lower()
        if word not in self.words:
            raise ConfigError(f"argument(s) must be one of the following: {', '.join(self.words)}")
        return word


class ShutdownFlags(Enum):
    """The words of shutdown-on-sigterm: any of save, nosave, now, force, kept in that order; or default."""

    multi = True

    def parse(self, args: Sequence[bytes], old: Any) -> str:
        given = {super(ShutdownFlags, self).parse([word], old) for word in args or [b""]}
        if {"save", "nosave"} <= given:
            raise ConfigError("shutdown options SAVE and NOSAVE can't be used simultaneously")
        return " ".join(word for word in self.words[1:] if word in given) or self.words[0]


class Text(Kind):
    """Any text; ``check`` returns the reason for a refusal, or None."""

    def __init__(self, check: Callable[[str], str | None] | None = None) -> None:
        self.check = check

    def parse(self, args: Sequence[bytes], old: Any) -> str:
        value = text(args[0])
        reason = self.check(value) if self.check else None
        if reason:
            raise ConfigError(reason)
        return value

    def write(self, value: Any) -> bytes:
        return quote(raw_bytes(value))


class Words(Kind):
    """A list of at most ``limit`` words."""

    multi = True

    def __init__(self, limit: int, too_many: str) -> None:
        self.limit, self.too_many = limit, too_many

    def parse(self, args: Sequence[bytes], old: Any) -> tuple[str, ...]:
        if len(args) > self.limit:
            raise ConfigError(self.too_many)
        return tuple(text(word) for word in args if word)

    def show(self, value: Any) -> bytes:
        return raw_bytes(" ".join(value))

    def write(self, value: Any) -> bytes:
        return self.show(value) or b'""'


class SavePoints(Kind):
    """``save <seconds> <changes> ...``."""

    multi = True

    def parse(self, args: Sequence[bytes], old: Any) -> tuple[tuple[int, int], ...]:
        # An empty word counts as zero, as in Redis.
        numbers = [int(word or b"0") if _INTEGER.fullmatch(word or b"0") else -1 for word in args]
        if len(numbers) % 2:
            raise ConfigError("Invalid save parameters")
        points = tuple(zip(numbers[::2], numbers[1::2], strict=True))
        if any(not 1 <= seconds <= LONG_MAX or not 0 <= changes <= INT_MAX for seconds, changes in points):
            raise ConfigError("Invalid save parameters")
        return points

    def show(self, value: Any) -> bytes:
        return b" ".join(b"%d %d" % point for point in value)


class Address(Kind):
    """``replicaof <host> <port>`` or ``replicaof no one``."""

    multi = True

    def parse(self, args: Sequence[bytes], old: Any) -> tuple[str, int] | None:
        if len(args) != 2:
            raise ConfigError("wrong number of arguments")
        if args[0].lower() == b"no" and args[1].lower() == b"one":
            return None
        if not re.fullmatch(rb"[0-9]{1,5}", args[1]) or int(args[1]) > 65535:
            raise ConfigError("Invalid master port")
        if b"/" in args[0]:
            raise ConfigError("Invalid master host: a replica connects over TCP, not to a Unix socket")
        return text(args[0]), int(args[1])

    def show(self, value: Any) -> bytes:
        return raw_bytes(f"{value[0]} {value[1]}") if value else b""

    def write(self, value: Any) -> bytes:
        return self.show(value) or b"no one"


CLIENT_CLASSES = ("normal", "replica", "pubsub")


class OutputLimits(Kind):
    """``client-output-buffer-limit <class> <hard> <soft> <soft seconds>``, for one or more classes at once."""

    multi = True

    def parse(self, args: Sequence[bytes], old: Any) -> dict[str, tuple[int, int, int]]:
        limits: dict[str, tuple[int, int, int]] = dict(old or {})
        if len(args) % 4:
            raise ConfigError("Wrong number of arguments in buffer limit configuration.")
        for at in range(0, len(args), 4):
            name = text(args[at]).lower().replace("slave", "replica")
            if name not in CLIENT_CLASSES:
                raise ConfigError("Invalid client class specified in buffer limit configuration.")
            hard, soft = memory_size(args[at + 1]), memory_size(args[at + 2])
            seconds = int(args[at + 3]) if _INTEGER.fullmatch(args[at + 3]) else -1
            if hard is None or soft is None or not 0 <= seconds <= LONG_MAX:
                raise ConfigError("Error in hard, soft or soft_seconds setting in buffer limit configuration.")
            limits[name] = (hard, soft, seconds)
        return limits

    def show(self, value: Any) -> bytes:
        # Redis keeps the old word here, whatever the conf file says.
        return b" ".join(
            b"%s %d %d %d" % (b"slave" if name == "replica" else name.encode(), *value[name]) for name in CLIENT_CLASSES
        )

    def one(self, name: str, limit: tuple[int, int, int]) -> bytes:
        """The arguments of the line for one class."""
        size = Memory().write
        return b"%s %s %s %d" % (name.encode(), size(limit[0]), size(limit[1]), limit[2])


class ScoreAdjustments(Kind):
    """The three numbers of oom-score-adj-values."""

    multi = True

    def parse(self, args: Sequence[bytes], old: Any) -> tuple[int, ...]:
        if len(args) != 3:
            raise ConfigError("wrong number of arguments")
        if not all(_INTEGER.fullmatch(word) and -2000 <= int(word) <= 2000 for word in args):
            raise ConfigError("Invalid oom-score-adj-values, elements must be between -2000 and 2000.")
        return tuple(int(word) for word in args)

    def show(self, value: Any) -> bytes:
        return b" ".join(b"%d" % number for number in value)


class Percentiles(Kind):
    """The numbers of latency-tracking-info-percentiles."""

    multi = True

    def parse(self, args: Sequence[bytes], old: Any) -> tuple[float, ...]:
        numbers = []
        for word in args:
            if not re.fullmatch(rb"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)(e[-+]?[0-9]+)?", word.lower()):
                raise ConfigError("Invalid latency-tracking-info-percentiles parameters")
            numbers.append(float(word))
        if not all(0 <= number <= 100 for number in numbers):
            raise ConfigError("latency-tracking-info-percentiles parameters should sit between [0.0,100.0]")
        return tuple(numbers)

    def show(self, value: Any) -> bytes:
        return " ".join(f"{number:.6f}".rstrip("0").rstrip(".") for number in value).encode()

    def write(self, value: Any) -> bytes:
        return self.show(value) or b'""'


ALL_EVENTS = "g$lshzxetd"


class EventClasses(Kind):
    """The letters of notify-keyspace-events."""

    def parse(self, args: Sequence[bytes], old: Any) -> frozenset[str]:
        letters = text(args[0].partition(b"\0")[0])
        if not set(letters) <= set("AKEmn" + ALL_EVENTS):
            raise ConfigError("Invalid event class character. Use 'Ag$lshzxeKEtmdn'.")
        return frozenset(letters.replace("A", ALL_EVENTS))

    def show(self, value: Any) -> bytes:
        every = value >= set(ALL_EVENTS)  # then Redis shows A, and no n beside it
        classes = ["A"] if every else [letter for letter in ALL_EVENTS + "n" if letter in value]
        return "".join([*classes, *(letter for letter in "KEm" if letter in value)]).encode()

    def write(self, value: Any) -> bytes:
        hidden = b"n" if value >= set(ALL_EVENTS) and "n" in value else b""
        return quote(self.show(value) + hidden)


class Renames(Kind):
    """``rename-command <name> <new name or "">``; each line adds one."""

    multi = True

    def parse(self, args: Sequence[bytes], old: Any) -> tuple[tuple[str, str], ...]:
        if len(args) != 2:
            raise ConfigError("Bad directive or wrong number of arguments")
        return (*(old or ()), (text(args[0]).lower(), text(args[1]).lower()))

    def show(self, value: Any) -> bytes:
        return raw_bytes(" ".join(f"{old} {new}" for old, new in value))
