"""Users and their rights: what the rules of ACL SETUSER mean, how they are shown, and whether a command is allowed.

Owns: ``User`` and ``Selector``, the reader of rules, the rule string of ACL LIST, and ``check``.  Does not own which users
there are, the files they come from and the log of refusals (``accounts``), nor the commands (``commands/acl``).  Called by
``dispatch`` before a command runs, by EXEC, by scripts, and by ACL DRYRUN::

    denial = check(client.account, cmd, argv)   # None: allowed
    if denial is not None:
        raise denial.reply()                    # or .in_exec(), .in_script(), .dry_run()

A selector is a set of commands, of key patterns and of channel patterns.  A command is allowed when one selector of the
user allows all of it; the first selector is the one that rules outside of parentheses change.

Commands are bits of an integer, see ``Catalogue``.  Redis 7.0 does not remember the rules that were given: what it shows is
found anew from the commands that are allowed now.  It begins with +@all or -@all (the highest bit tells, it stands for the
commands of later versions), adds the category that fits best until none fits, and mends the rest command by command.
We show the same text, up to the order of the single commands: with Redis that is the order of a hash table with a
random seed.  Keeping the rules as text was rejected: the same rights would be shown differently by the two servers.

Users without any limit are told by ``User.restricted`` and cost nothing: their clients do not pass the gate.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import NamedTuple

from replicad.command import CATEGORIES, Argv, Command, categories_of, every_command
from replicad.errors import ReplyError, c_string
from replicad.glob import matcher
from replicad.keyspecs import uses_of
from replicad.resp import split_line

READ, WRITE = 1, 2

#: What stands in the way, in the order of importance: of several selectors the one that came farthest gives the reason.
COMMAND, KEY, AUTHENTICATION, CHANNEL = 1, 2, 3, 4
REASONS = {COMMAND: b"command", KEY: b"key", AUTHENTICATION: b"auth", CHANNEL: b"channel"}

_REPLIES = {
    KEY: ReplyError(b"NOPERM this user has no permissions to access one of the keys used as arguments"),
    CHANNEL: ReplyError(b"NOPERM this user has no permissions to access one of the channels used as arguments"),
}
_IN_EXEC = {
    kind: ReplyError(
        b"NOPERM ACLs rules changed between the moment the transaction was accumulated and the EXEC call. This command is "
        b"no longer allowed for the following reason: " + reason
    )
    for kind, reason in (
        (COMMAND, b"no permission to execute the command or subcommand"),
        (KEY, b"no permission to touch the specified keys"),
        (CHANNEL, b"no permission to access one of the channels used as arguments"),
    )
}
_IN_SCRIPT = {
    COMMAND: b"The user executing the script can't run this command or subcommand",
    KEY: b"The user executing the script can't access at least one of the keys mentioned in the command arguments",
    CHANNEL: b"The user executing the script can't publish to the channel mentioned in the command",
}
#: The arguments that name channels: first, one behind the last (None: to the end), and whether they are patterns.
_CHANNELS: dict[bytes, tuple[int, int | None, bool]] = {
    b"publish": (1, 2, False),
    b"spublish": (1, 2, False),
    b"subscribe": (1, None, False),
    b"ssubscribe": (1, None, False),
    b"psubscribe": (1, None, True),
}
#: They store where their last STORE or STOREDIST says, and their key specifications tell of the first: with Redis 7.0 one
#: can write a forbidden key behind an allowed one.
_WITH_TARGETS = frozenset([b"georadius", b"georadiusbymember"])
_TARGET_WORDS = frozenset([b"STORE", b"STOREDIST"])
_KEY_PREFIXES = {READ: b"%R~", WRITE: b"%W~", READ | WRITE: b"~"}
_SPACES = b" \t\n\v\f\r\0"
_HASH_DIGITS = frozenset(b"0123456789abcdef")

UNKNOWN_NAME = b"Unknown command or category name in ACL"
_SYNTAX = b"Syntax error"
_NO_SUCH_PASSWORD = b"The password you are trying to remove from the user does not exist"
_NOT_A_HASH = b"The password hash must be exactly 64 characters and contain only lowercase hexadecimal characters"
_SUBCOMMAND_ARGUMENT = b"Allowing first-arg of a subcommand is not supported"
_BEHIND_ALL = (
    b"Adding a pattern after the * pattern (or the 'all%b' flag) is not valid and does not have any effect. Try 'reset%b' "
    b"to start with an empty list of %b"
)


class RuleError(Exception):
    """A rule that cannot be applied.  ``reason`` is Redis's text; ``rule`` is the rule to blame."""

    def __init__(self, reason: bytes, rule: bytes = b"") -> None:
        super().__init__(reason)
        self.reason = reason
        self.rule = rule


class Unmatched(RuleError):
    """A parenthesis that is not closed; ``rule`` is the argument where it opens."""


class Catalogue:
    """All commands and subcommands as bits, in the order of the table, and the categories as sets of them.

    ``names`` and ``places``: full names by the number of the bit, and back.  ``spans``: name to the bits that a rule with
    this name changes, those of a container and all its subcommands.  ``members`` and ``reach``: category to the bits of its
    commands, and to those that a rule changes.  ``counted``: the commands of Redis 7.0, which alone decide which category
    fits best, so that the later ones we have do not change what is shown.
    """

    def __init__(self) -> None:
        self.names = [cmd.name for cmd in every_command()]
        self.places = {name: number for number, name in enumerate(self.names)}
        self.spans: dict[bytes, int] = {}
        self.members = dict.fromkeys((name.encode() for name in CATEGORIES), 0)
        self.reach = dict(self.members)
        self.names_in: dict[bytes, list[bytes]] = {name: [] for name in self.members}
        self.counted = 0
        for number, cmd in enumerate(every_command()):
            self.spans[cmd.name] = 1 << number
            if cmd.container is not None:
                self.spans[cmd.container.name] |= 1 << number
            if tuple(map(int, cmd.since.split(".")[:2])) <= (7, 0):
                self.counted |= 1 << number
            for category in categories_of(cmd):
                self.names_in[category.encode()].append(cmd.name)
        for name, members in self.names_in.items():
            for member in members:
                self.members[name] |= 1 << self.places[member]
                self.reach[name] |= self.spans[member]
        self.future = 1 << len(self.places)  #: commands that do not exist yet: only +@all allows them
        self.all = (self.future << 1) - 1


@lru_cache(1)
def catalogue() -> Catalogue:
    """The catalogue of the table; the table does not change any more once it is asked for."""
    return Catalogue()


class Denial(NamedTuple):
    """Why a command is refused: ``kind`` (COMMAND, KEY, CHANNEL), the index of the argument to blame, and what it is: the
    name of the command, the key or the channel."""

    kind: int
    place: int
    what: bytes

    def reply(self) -> ReplyError:
        """The error for a client."""
        if self.kind == COMMAND:
            return ReplyError(b"NOPERM this user has no permissions to run the '%b' command" % self.what)
        return _REPLIES[self.kind]

    def in_exec(self) -> ReplyError:
        """The error for a command that was allowed when it was queued."""
        return _IN_EXEC[self.kind]

    def in_script(self) -> bytes:
        """The text for a script, without an error code."""
        return _IN_SCRIPT[self.kind]

    def dry_run(self) -> bytes:
        """What ACL DRYRUN answers."""
        if self.kind == COMMAND:
            return b"This user has no permissions to run the '%b' command" % self.what
        thing = b"key" if self.kind == KEY else b"channel"
        return b"This user has no permissions to access the '%b' %b" % (c_string(self.what), thing)


class Selector:
    """Commands, keys and channels that go together."""

    __slots__ = ("all_channels", "all_keys", "channels", "commands", "first_args", "keys")

    def __init__(self, all_channels: bool = False) -> None:
        self.commands = 0
        self.first_args: dict[bytes, list[bytes]] = {}  #: command to the first arguments with which it is allowed
        self.all_keys = False
        self.keys: dict[bytes, tuple[int, Callable[[bytes], bool]]] = {}  #: pattern to READ and WRITE, and its matcher
        self.all_channels = all_channels
        self.channels: dict[bytes, Callable[[bytes], bool]] = {}

    def copy(self) -> Selector:
        """Another selector with the same rights."""
        other = Selector(self.all_channels)
        other.commands, other.all_keys = self.commands, self.all_keys
        other.first_args = {name: list(args) for name, args in self.first_args.items()}
        other.keys, other.channels = dict(self.keys), dict(self.channels)
        return other

    @property
    def unlimited(self) -> bool:
        """Whether everything is allowed."""
        return self.all_keys and self.all_channels and self.commands == catalogue().all

    # -- rules

    def apply(self, rule: bytes) -> None:
        """Change the rights by one rule.  Raises RuleError."""
        word = c_string(rule).lower()
        if word in (b"allkeys", b"~*"):
            self.all_keys = True
            self.keys.clear()
        elif word == b"resetkeys":
            self.all_keys = False
            self.keys.clear()
        elif word in (b"allchannels", b"&*"):
            self.all_channels = True
            self.channels.clear()
        elif word == b"resetchannels":
            self.all_channels = False
            self.channels.clear()
        elif word in (b"allcommands", b"+@all"):
            self.commands = catalogue().all
            self.first_args.clear()
        elif word in (b"nocommands", b"-@all"):
            self.commands = 0
            self.first_args.clear()
        elif word[:1] in (b"~", b"%"):
            self._add_keys(rule)
        elif word[:1] == b"&":
            self._add_channels(rule)
        elif word[:2] in (b"+@", b"-@"):
            self._change_category(word[2:], word[:1] == b"+")
        elif word[:1] == b"+":
            self._add_command(c_string(rule)[1:])
        elif word[:1] == b"-":
            if word[1:] not in catalogue().spans:
                raise RuleError(UNKNOWN_NAME)
            self._change(word[1:], False)
        else:
            raise RuleError(_SYNTAX)

    def _add_keys(self, rule: bytes) -> None:
        if self.all_keys:
            raise RuleError(_BEHIND_ALL % (b"keys", b"keys", b"patterns"))
        rights, pattern = READ | WRITE, rule[1:]
        if rule[:1] == b"%":
            letters, _, pattern = rule[1:].partition(b"~")
            rights = 0
            for letter in letters.upper():
                right = {ord("R"): READ, ord("W"): WRITE}.get(letter, 0)
                if not right or rights & right:
                    raise RuleError(_SYNTAX)
                rights |= right
            if not rights:
                raise RuleError(_SYNTAX)
        if has_spaces(pattern):
            raise RuleError(_SYNTAX)
        known = self.keys.get(pattern)
        self.keys[pattern] = (rights, _matcher(pattern)) if known is None else (known[0] | rights, known[1])

    def _add_channels(self, rule: bytes) -> None:
        if self.all_channels:
            raise RuleError(_BEHIND_ALL % (b"channels", b"channels", b"channels"))
        pattern = rule[1:]
        if has_spaces(pattern):
            raise RuleError(_SYNTAX)
        self.channels.setdefault(pattern, _matcher(pattern))

    def _change_category(self, name: bytes, allow: bool) -> None:
        known = catalogue()
        reach = known.reach.get(name)
        if reach is None:
            raise RuleError(UNKNOWN_NAME)
        self.commands = self.commands | reach if allow else self.commands & ~reach
        for member in known.names_in[name]:
            self.first_args.pop(member, None)

    def _change(self, name: bytes, allow: bool) -> None:
        span = catalogue().spans[name]
        self.commands = self.commands | span if allow else self.commands & ~span
        self.first_args.pop(name, None)

    def _add_command(self, given: bytes) -> None:
        known = catalogue()
        if given.lower() in known.spans:
            self._change(given.lower(), True)
            return
        parent, bar, argument = given.rpartition(b"|")
        parent = parent.lower()
        if not bar or parent not in known.spans:
            raise RuleError(UNKNOWN_NAME)
        if b"|" in parent:
            raise RuleError(_SUBCOMMAND_ARGUMENT)
        if not argument:
            raise RuleError(_SYNTAX)
        if known.spans[parent].bit_count() > 1:  # a container: there is no such subcommand
            raise RuleError(UNKNOWN_NAME)
        arguments = self.first_args.setdefault(parent, [])
        if argument.lower() not in [one.lower() for one in arguments]:
            arguments.append(argument)

    # -- rights

    def check(self, cmd: Command, argv: Argv) -> Denial | None:
        """What forbids ``argv``, None when it is allowed."""
        if not self.allows(cmd, argv):
            return Denial(COMMAND, 0, cmd.name)
        if not self.all_keys:
            for place, flags in uses_of(cmd, argv):
                if not self.allows_key(argv[place], rights_needed(flags)):
                    return Denial(KEY, place, argv[place])
            if cmd.name in _WITH_TARGETS:
                for place, word in enumerate(argv[:-1], 1):
                    if place > 5 and word.upper() in _TARGET_WORDS and not self.allows_key(argv[place], WRITE):
                        return Denial(KEY, place, argv[place])
        if not self.all_channels and cmd.name in _CHANNELS:
            first, end, is_pattern = _CHANNELS[cmd.name]
            for place, channel in enumerate(argv[first:end], first):
                if not self.allows_channel(channel, is_pattern):
                    return Denial(CHANNEL, place, channel)
        return None

    def allows(self, cmd: Command, argv: Argv) -> bool:
        """Whether the command itself may run, whatever keys and channels it names."""
        place = catalogue().places.get(cmd.name)
        if (place is not None and self.commands >> place & 1) or "no_auth" in cmd.flags:
            return True
        arguments = self.first_args.get(cmd.name)
        return bool(arguments) and len(argv) > 1 and argv[1].lower() in [one.lower() for one in arguments or ()]

    def allows_key(self, key: bytes, needed: int) -> bool:
        """Whether ``key`` may be used with the rights READ and WRITE that are ``needed`` (0: either will do)."""
        if self.all_keys:
            return True
        for rights, matches in self.keys.values():  # any() with a generator takes twice as long
            if rights & needed == needed and matches(key):
                return True
        return False

    def allows_channel(self, channel: bytes, is_pattern: bool = False) -> bool:
        """Whether one may publish or subscribe to ``channel``; a pattern must be the very pattern that is allowed."""
        if self.all_channels:
            return True
        if is_pattern:
            return channel in self.channels
        return any(matches(channel) for matches in self.channels.values())

    @property
    def reads_all_keys(self) -> bool:
        """Whether every key may be read."""
        return self.all_keys or bool(self.keys.get(b"*", (0,))[0] & READ)

    # -- what is shown

    def command_words(self) -> list[bytes]:
        """The commands as rules."""
        words, shown = _categories_that_fit(self.commands)
        known = catalogue()
        while different := self.commands ^ shown:
            bit = different & -different  # the first one: a container comes before its subcommands
            name = known.names[bit.bit_length() - 1]
            allow = bool(self.commands & bit)
            words.append((b"+" if allow else b"-") + name)
            shown = shown | known.spans[name] if allow else shown & ~known.spans[name]
        for name, arguments in self.first_args.items():
            if not self.commands >> known.places[name] & 1:
                words += [b"+%b|%b" % (name, argument) for argument in arguments]
        return words

    def key_words(self) -> list[bytes]:
        """The key patterns as rules."""
        if self.all_keys:
            return [b"~*"]
        return [_KEY_PREFIXES[rights] + pattern for pattern, (rights, _) in self.keys.items()]

    def channel_words(self) -> list[bytes]:
        """The channel patterns as rules."""
        return [b"&*"] if self.all_channels else [b"&" + pattern for pattern in self.channels]

    def words(self) -> list[bytes]:
        """All of it as rules that make the same selector from a new one."""
        reset = [] if self.all_channels else [b"resetchannels"]
        return [*self.key_words(), *reset, *self.channel_words(), *self.command_words()]


@lru_cache(64)
def _cover(commands: int) -> tuple[tuple[bytes, ...], int]:
    known = catalogue()
    adding = not commands & known.future
    words, shown = ([b"-@all"], 0) if adding else ([b"+@all"], known.all)
    rest = commands
    left = list(known.members)
    while True:
        best, fewest, most = b"", 1 << 30, 0
        for name in left:
            members = known.members[name] & known.counted
            on = (members & rest).bit_count()
            off = members.bit_count() - on
            same, different = (on, off) if adding else (off, on)
            if same > different and (different < fewest or (different == fewest and same > most)):
                best, fewest, most = name, different, same
        if not best:
            return tuple(words), shown
        left.remove(best)
        reach = known.reach[best]
        words.append((b"+@" if adding else b"-@") + best)
        shown, rest = (shown | reach, rest & ~reach) if adding else (shown & ~reach, rest | reach)


def _categories_that_fit(commands: int) -> tuple[list[bytes], int]:
    """The rules about categories to begin with, and the commands that these would allow."""
    words, shown = _cover(commands)
    return list(words), shown


class User:
    """One user.  ``selectors[0]`` is the one outside of parentheses; ``restricted`` whether anything is forbidden.

    ``enabled``: may log in.  ``passwords`` are SHA-256 sums in hex digits; with ``no_password`` any password will do.
    """

    __slots__ = ("enabled", "name", "no_password", "open_channels", "passwords", "restricted", "sanitize", "selectors")

    def __init__(self, name: bytes, open_channels: bool = False) -> None:
        self.name = name
        self.open_channels = open_channels  #: acl-pubsub-default: a new selector allows all channels
        self.enabled = False
        self.no_password = False
        self.sanitize = b""  #: the word about payloads that was given last; nothing depends on it
        self.passwords: list[bytes] = []
        self.selectors = [Selector(open_channels)]
        self.restricted = True

    def become(self, other: User) -> None:
        """Take over everything but the name."""
        self.enabled, self.no_password, self.sanitize = other.enabled, other.no_password, other.sanitize
        self.passwords = list(other.passwords)
        self.selectors = [selector.copy() for selector in other.selectors]
        self.restricted = not any(selector.unlimited for selector in self.selectors)

    def copy(self, open_channels: bool) -> User:
        """A user that can be changed without anybody noticing."""
        other = User(self.name, open_channels)
        other.become(self)
        return other

    def apply_all(self, rules: Iterable[bytes]) -> None:
        """Apply rules in order; selectors may be spread over several.  Raises RuleError with ``rule`` set."""
        for rule in merged(rules):
            try:
                self.apply(rule)
            except RuleError as error:
                raise RuleError(error.reason, rule) from None

    def apply(self, rule: bytes) -> None:
        """Apply one rule.  Raises RuleError."""
        word = c_string(rule).lower()
        first = word[:1]
        if word in (b"on", b"off"):
            self.enabled = word == b"on"
        elif word in (b"nopass", b"resetpass"):
            self.no_password = word == b"nopass"
            self.passwords.clear()
        elif word in (b"sanitize-payload", b"skip-sanitize-payload"):
            self.sanitize = word
        elif first in (b">", b"#"):
            digest = sum_of(rule[1:]) if first == b">" else _checked_sum(rule[1:])
            if digest not in self.passwords:
                self.passwords.append(digest)
            self.no_password = False
        elif first in (b"<", b"!"):
            digest = sum_of(rule[1:]) if first == b"<" else _checked_sum(rule[1:])
            if digest not in self.passwords:
                raise RuleError(_NO_SUCH_PASSWORD)
            self.passwords.remove(digest)
        elif first == b"(" and rule.endswith(b")"):
            selector = Selector(self.open_channels)
            for part in split_line(c_string(rule[1:-1])) or ():
                selector.apply(part)
            self.selectors.append(selector)
        elif word == b"clearselectors":
            del self.selectors[1:]
        elif word == b"reset":
            fresh = User(self.name, self.open_channels)
            fresh.sanitize = b"sanitize-payload"
            self.become(fresh)
        elif rule:
            self.selectors[0].apply(rule)
        self.restricted = not any(selector.unlimited for selector in self.selectors)

    def accepts(self, password: bytes) -> bool:
        """Whether one may log in with ``password``.  Takes the same time for any password."""
        digest = sum_of(password)
        found = self.no_password
        for one in self.passwords:
            found |= hmac.compare_digest(one, digest)
        return found and self.enabled

    def allows_channel(self, channel: bytes, is_pattern: bool) -> bool:
        """Whether some selector allows the channel, whatever commands it allows."""
        return any(selector.allows_channel(channel, is_pattern) for selector in self.selectors)

    def may_read_all_keys(self, cmd: Command, argv: Argv) -> bool:
        """Whether ``cmd`` may read keys that its arguments do not name (SORT with BY and GET)."""
        return any(one.reads_all_keys and one.allows(cmd, argv) for one in self.selectors)

    def flags(self) -> list[bytes]:
        """The words of ACL GETUSER that are no rights."""
        words = [b"on" if self.enabled else b"off"]
        if self.no_password:
            words.append(b"nopass")
        return [*words, self.sanitize] if self.sanitize else words

    def words(self, quote: Callable[[bytes], bytes]) -> list[bytes]:
        """The user as rules; ``quote`` is applied to each rule inside of parentheses, where quotes are understood."""
        root, *others = self.selectors
        selectors = [b"(%b)" % b" ".join(map(quote, one.words())) for one in others]
        return [*self.flags(), *(b"#" + one for one in self.passwords), *root.words(), *selectors]

    def shown(self) -> bytes:
        """The user as in ACL LIST behind the name."""
        return b" ".join(self.words(lambda word: word))


def _matcher(pattern: bytes) -> Callable[[bytes], bool]:
    """``glob.matcher``, but a plain beginning, which most patterns are, is looked for without a regular expression."""
    beginning = pattern[:-1]
    if beginning and pattern[-1:] == b"*" and not any(c in beginning for c in b"*?[\\"):
        return lambda text: text.startswith(beginning)
    return matcher(pattern)


def has_spaces(text: bytes) -> bool:
    """Whether there is a blank or a zero byte in it, which names and patterns must not have."""
    return any(c in _SPACES for c in text)


def sum_of(password: bytes) -> bytes:
    """The SHA-256 sum of a password in hex digits."""
    return hashlib.sha256(password).hexdigest().encode()


def _checked_sum(text: bytes) -> bytes:
    if len(text) != 64 or not _HASH_DIGITS.issuperset(text):
        raise RuleError(_NOT_A_HASH)
    return text


def merged(rules: Iterable[bytes]) -> Iterator[bytes]:
    """The rules with each selector in one piece.  Raises Unmatched before the first is given out."""
    out: list[bytes] = []
    opened: list[bytes] = []
    for rule in rules:
        if opened or (rule[:1] == b"(" and rule[-1:] != b")"):
            opened.append(rule)
            if rule[-1:] == b")":
                out.append(b" ".join(opened))
                opened = []
        else:
            out.append(rule)
    if opened:
        raise Unmatched(b"Unmatched parenthesis in selector definition.", opened[0])
    return iter(out)


@lru_cache(None)
def rights_needed(flags: tuple[bytes, ...]) -> int:
    """READ and WRITE as the flags of a key specification ask for them."""
    needed = READ if b"access" in flags else 0
    if b"insert" in flags or b"delete" in flags or b"update" in flags:
        needed |= WRITE
    return needed


def check(user: User | None, cmd: Command, argv: Argv) -> Denial | None:
    """What forbids ``user`` the command ``argv``; None when it is allowed.  No user (our master) may do everything.

    ``cmd`` is what ``lookup(argv)`` finds, with the right number of arguments.
    """
    if user is None or not user.restricted:
        return None
    worst: Denial | None = None
    for selector in user.selectors:
        denial = selector.check(cmd, argv)
        if denial is None:
            return None
        if worst is None or denial[:2] > worst[:2]:
            worst = denial
    return worst


__all__ = ["Catalogue", "Denial", "RuleError", "Selector", "Unmatched", "User", "catalogue", "check"]
