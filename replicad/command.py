"""The command table: what a command is, how it is registered, where its keys are.

Owns: ``Command``, the ``@command`` decorator, ``TABLE``, the flag words, ACL categories and key positions.  Does not own
the commands (``commands/``) nor their execution (``dispatch``).

To add a command, write one function in its family file::

    @command(b"STRLEN", arity=2, flags="readonly fast", keys=(1, 1, 1), group="string", since="2.2.0")
    def strlen(client: Client, argv: list[bytes]) -> Reply:
        '''Returns the length of a string value.

        STRLEN key
        '''

``@command`` returns the bare function: a wrapper would cost as much as the command.  A handler returns a Python value
(``resp`` tells how each is encoded) or raises ``ReplyError``; it never touches a transport.  It adds to
``client.server.dirty`` when data changed.  ``argv[0]`` is the command's name as the client wrote it.  The docstring's
first line is the summary and its second paragraph the syntax: COMMAND DOCS answers from them.

A subcommand is registered as ``b"CONFIG|GET"``; its container ``b"CONFIG"`` is registered like a command (its function
is called when no subcommand is needed or known, and by default answers Redis's error).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from replicad.histogram import SLOT_SHIFT, SLOTS, Histogram

if TYPE_CHECKING:
    from replicad.session import Client

Argv = list[bytes]
Handler = Callable[["Client", Argv], Any]
KeyFinder = Callable[[Argv], list[int]]

#: Gate bits (``Command.gate``): a command runs at once when none of its bits is denied by the server or the client.
WRITE = 1  #: changes the dataset
NOT_LOADING = 2  #: refused while the dataset is loaded
NOT_STALE = 4  #: refused on a stale replica (replica-serve-stale-data no)
ANY = 8  #: every command: AUTH, MULTI, subscriptions, MONITOR and CLIENT PAUSE ask for a closer look
MAY_REPLICATE = 16  #: writes nothing but is propagated (PUBLISH)
NOT_ASYNC_LOADING = 32  #: refused also while a new dataset is loaded beside the one that is served
DENY_OOM = 64  #: may need memory: refused while more than maxmemory is in use
TRACKS = 128  #: every command, of a client that is special in nothing but CLIENT TRACKING

FLAG_WORDS = frozenset(
    "write readonly denyoom admin pubsub noscript blocking loading stale skip_monitor skip_slowlog fast no_auth "
    "may_replicate no_mandatory_keys no_async_loading movablekeys allow_busy no_multi asking".split()
)
#: In the order in which Redis lists them.
CATEGORIES = tuple(
    "keyspace read write set sortedset list hash string bitmap hyperloglog geo stream pubsub admin fast slow blocking "
    "dangerous connection transaction scripting".split()
)
_GROUP_CATEGORY = {"generic": "keyspace", "sorted-set": "sortedset", "transactions": "transaction"}


class Command:
    """One row of the table.  ``calls``, ``nanoseconds``, ``rejected`` and ``failed`` feed INFO commandstats.

    Who runs it tells with ``account``.  ``histogram`` is None until a time was recorded; short times go straight to its
    ``slots``, of which there are ``reach``.
    """

    __slots__ = (
        "arity",
        "brief",
        "calls",
        "categories",
        "container",
        "failed",
        "find_keys",
        "flags",
        "fn",
        "gate",
        "group",
        "histogram",
        "keys",
        "least",
        "most",
        "name",
        "nanoseconds",
        "reach",
        "rejected",
        "since",
        "slots",
        "subcommands",
        "summary",
        "syntax",
    )  # fmt: skip

    def __init__(
        self,
        name: bytes,
        fn: Handler,
        arity: int,
        flags: frozenset[str],
        keys: tuple[int, int, int],
        find_keys: KeyFinder | None,
        group: str,
        since: str,
        categories: frozenset[str],
    ) -> None:
        self.name = name  #: lower case, b"config|get" for a subcommand
        self.fn = fn
        self.arity = arity  #: as in COMMAND: exact when positive, a minimum when negative; the name counts
        self.least = abs(arity)
        self.most = arity if arity > 0 else 1 << 62
        self.flags = flags
        #: Takes so little time that it need not be timed alone; SET is no ``fast`` command to Redis, but to us.
        self.brief = "fast" in flags or name == b"set"
        self.keys = keys  #: first, last (negative: from the end), step; (0, 0, 0) when there is none
        self.find_keys = find_keys
        self.group = group
        self.since = since
        self.categories = categories
        gate = ANY | TRACKS
        if "write" in flags:
            gate |= WRITE
        if "may_replicate" in flags:
            gate |= MAY_REPLICATE
        if "loading" not in flags:
            gate |= NOT_LOADING
        if "stale" not in flags:
            gate |= NOT_STALE
        if "denyoom" in flags:
            gate |= DENY_OOM
        if "no_async_loading" in flags:
            gate |= NOT_ASYNC_LOADING
        self.gate = gate
        self.subcommands: dict[bytes, Command] = {}
        self.container: Command | None = None
        doc = (fn.__doc__ or "").strip().split("\n\n")
        self.summary = " ".join(doc[0].split())
        self.syntax = " ".join(doc[1].split()) if len(doc) > 1 else ""
        self.reset_statistics()

    def reset_statistics(self) -> None:
        """Begin to count anew (CONFIG RESETSTAT)."""
        self.calls = self.nanoseconds = self.rejected = self.failed = 0
        self.histogram: Histogram | None = None
        self.slots = _NOWHERE
        self.reach = 0

    def account(self, count: int, nanoseconds: int) -> None:
        """It has run ``count`` times in a row, which took so long together; its histogram gets their mean."""
        self.calls += count
        self.nanoseconds += nanoseconds
        mean = nanoseconds // count
        slot = mean >> SLOT_SHIFT
        if slot < self.reach:
            self.slots[slot] += count
        else:
            self.record(mean, count)

    def record(self, nanoseconds: int, count: int) -> None:
        """Count a time that is not short, or the first one; with latency-tracking off let short ones go nowhere."""
        if not _tracked:
            self.slots, self.reach = _NOWHERE, SLOTS
            return
        if self.histogram is None:
            self.histogram = Histogram()
        self.slots, self.reach = self.histogram.slots, SLOTS
        self.histogram.add(nanoseconds, count)

    def key_positions(self, argv: Argv) -> list[int]:
        """The indexes into ``argv`` that hold keys; [] when the command has none."""
        if self.find_keys is not None:
            return self.find_keys(argv)
        first, last, step = self.keys
        if not first:
            return []
        if last < 0:
            last += len(argv)
        return [i for i in range(first, last + 1, step) if i < len(argv)]


#: Where short times go while latency-tracking is off, so that the hot loop need not ask.
_NOWHERE = [0] * SLOTS
_tracked = True


#: Name (upper case and lower case, both spellings are looked up without a conversion) to Command.
TABLE: dict[bytes, Command] = {}
#: Those rows of it that are no containers: what is found here needs no look at a second word.
PLAIN: dict[bytes, Command] = {}


def command(
    name: bytes,
    arity: int,
    flags: str = "",
    keys: tuple[int, int, int] = (0, 0, 0),
    *,
    find_keys: KeyFinder | None = None,
    group: str = "generic",
    since: str = "1.0.0",
    categories: str = "",
) -> Callable[[Handler], Handler]:
    """Register the decorated function as the command ``name``.  ``flags`` and ``categories`` are words with blanks."""
    words = frozenset(flags.split())
    if not words <= FLAG_WORDS:
        raise ValueError(f"{name!r}: unknown flags {sorted(words - FLAG_WORDS)}")

    def register(fn: Handler) -> Handler:
        cmd = Command(name.lower(), fn, arity, words, keys, find_keys, group, since, frozenset(categories.split()))
        container, _, sub = name.partition(b"|")
        if sub:
            parent = TABLE[container.upper()]
            if sub.lower() in parent.subcommands:
                raise ValueError(f"{name!r} is registered twice")
            cmd.container = parent
            PLAIN.pop(container.upper(), None)
            PLAIN.pop(container.lower(), None)
            parent.subcommands[sub.lower()] = cmd
            parent.subcommands[sub.upper()] = cmd
        else:
            if name.upper() in TABLE:
                raise ValueError(f"{name!r} is registered twice")
            TABLE[name.upper()] = TABLE[name.lower()] = cmd
            PLAIN[name.upper()] = PLAIN[name.lower()] = cmd
        return fn

    return register


def rename(old: bytes, new: bytes) -> None:
    """Let the command ``old`` be called ``new`` from now on, or by no name when that is empty (rename-command).

    Raises KeyError when there is no such command, ValueError when the new name is taken.
    """
    cmd = TABLE[old.upper()]
    if new.upper() in TABLE and new.upper() != old.upper():
        raise ValueError(new)
    for table in (TABLE, PLAIN):
        table.pop(old.lower(), None)
        if table.pop(old.upper(), None) is not None and new:
            table[new.upper()] = table[new.lower()] = cmd


def lookup(argv: Argv) -> Command | None:
    """The command (or subcommand) that ``argv`` names, in any letter case; None when there is none.

    A container with an unknown or missing subcommand is returned itself.
    """
    cmd = TABLE.get(argv[0]) or TABLE.get(argv[0].upper())
    if cmd is not None and cmd.subcommands and len(argv) > 1:
        return cmd.subcommands.get(argv[1]) or cmd.subcommands.get(argv[1].upper()) or cmd
    return cmd


def all_commands() -> list[Command]:
    """Every top-level command once, by name."""
    return [TABLE[name] for name in sorted(TABLE) if name.islower()]


def every_command() -> list[Command]:
    """Every command and subcommand once, by name; a subcommand behind its container."""
    out = []
    for cmd in all_commands():
        out.append(cmd)
        out.extend({id(sub): sub for sub in cmd.subcommands.values()}.values())
    return out


def track_latency(on: bool) -> None:
    """latency-tracking: whether times are recorded from now on; what was recorded stays."""
    global _tracked
    _tracked = on
    for cmd in every_command():
        cmd.slots, cmd.reach = _NOWHERE, 0  # the next time decides


def categories_of(cmd: Command) -> list[str]:
    """The ACL categories without @: those declared and those that follow from flags and group."""
    found = set(cmd.categories)
    flags = cmd.flags
    if "write" in flags:
        found.add("write")
    if "readonly" in flags and "scripting" not in found and cmd.group != "scripting":
        found.add("read")
    if "admin" in flags:
        found |= {"admin", "dangerous"}
    for word in ("pubsub", "blocking"):
        if word in flags:
            found.add(word)
    found.add("fast" if "fast" in flags else "slow")
    group = _GROUP_CATEGORY.get(cmd.group, cmd.group)
    # SORT belongs to the types it sorts and WAIT to connections, not to the commands about keys; PUBSUB HELP to nothing
    elsewhere = group == "pubsub" or (group == "keyspace" and not found.isdisjoint(("sortedset", "connection")))
    if group in CATEGORIES and not cmd.subcommands and not elsewhere:
        found.add(group)
    return [name for name in CATEGORIES if name in found]
