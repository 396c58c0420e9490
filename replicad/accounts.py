"""The users of one server: where they come from, where they are stored, who is who, and what was refused.

Owns: ``Accounts`` (the users by name, their start from ``user`` lines or the ACL file, ACL LOAD and SAVE, requirepass,
logging in) and ``AccessLog`` (ACL LOG).  Does not own what rules mean and whether a command is allowed (``acl``), nor the
replies and the closing of connections (``commands/acl``).  ``server.acl`` is the one instance.

A ``User`` object lives as long as its name is known: clients hold it (``Client.account``), and a change is made on a copy
first, then taken over in one step, so that a wrong rule changes nothing and clients see the new rights with their next
command.  ACL LOAD is atomic in the same way: it makes all users anew.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from replicad.acl import REASONS, UNKNOWN_NAME, Denial, RuleError, Unmatched, User, check, has_spaces, merged
from replicad.config import ConfigFileError, Line, replace_file
from replicad.directive_kinds import quote, raw_bytes, text

if TYPE_CHECKING:
    from replicad.command import Argv, Command
    from replicad.server import Server
    from replicad.session import Client

DEFAULT = b"default"
_BOTH_SOURCES = (
    "Configuring Redis with users defined in redis.conf and at the same setting an ACL file path is invalid. This setup is "
    "very likely to lead to configuration errors and security holes, please define either an ACL file or declare users "
    "directly in your redis.conf, but not both."
)
_NOTHING_CHANGED = b"WARNING: ACL errors detected, no change to the previously active ACL rules was performed"
_NEEDS_QUOTES = frozenset(b" \t\"'\\")
#: Equal refusals within this time are one entry of the log; so many of the newest entries are looked at.
_SAME_WITHIN_MS = 60_000
_COMPARED = 10


class FileError(Exception):
    """The ACL file cannot be used; ``text`` names each wrong line as Redis does, without an error code."""

    def __init__(self, text: bytes) -> None:
        super().__init__(text)
        self.text = text


class Accounts:
    """The users of ``server``.  Raises SystemExit when the configuration of the start is wrong."""

    def __init__(self, server: Server) -> None:
        self.server = server
        settings = server.settings
        self.default = _almighty()
        self.users: dict[bytes, User] = {DEFAULT: self.default}
        self.log = AccessLog(server)
        if settings["aclfile"] and settings.user_lines:
            raise SystemExit(f"replicad: {_BOTH_SOURCES}")
        try:
            self._take_over(self._users_of(settings.user_lines))
        except ConfigFileError as error:
            raise SystemExit(f"replicad: {error}") from None
        for line in settings.user_lines:
            if not self.users[line.args[0]].enabled:
                server.log.notice(
                    f"The user '{text(line.args[0])}' is disabled (there is no 'on' modifier in the user description). "
                    "Make sure this is not a configuration error."
                )
        settings.on_change("requirepass", self._require)
        settings.user_writer = self.conf_lines
        if settings["aclfile"]:
            try:
                self.load_file()
            except FileError as error:
                raise SystemExit(f"replicad: Aborting Redis startup because of ACL errors: {text(error.text)}") from None

    def check(self, client: Client, cmd: Command, argv: Argv) -> Denial | None:
        """What forbids the user of ``client`` a command; None when it is allowed.  For callers that know no ``acl``."""
        return check(client.account, cmd, argv)

    # -- who is who

    @property
    def must_log_in(self) -> bool:
        """Whether a new connection has to authenticate before anything else."""
        return not (self.default.no_password and self.default.enabled)

    def welcome(self, client: Client) -> None:
        """Make ``client`` one that has just come: the user default, logged in when that needs no password."""
        client.account = self.default
        client.authenticated = not self.must_log_in
        client.update_gate()

    def log_in(self, client: Client, name: bytes, password: bytes) -> bool:
        """Make ``client`` the user ``name`` when the password is right."""
        user = self.users.get(name)
        right = user.accepts(password) if user is not None else _nobody.accepts(password)
        if not right or user is None:
            return False
        client.account = user
        client.authenticated = True
        client.update_gate()
        return True

    def clients_of(self, user: User) -> list[Client]:
        """The connections of a user."""
        return [client for client in self.server.clients.values() if client.account is user]

    # -- changes

    def change(self, name: bytes, rules: Sequence[bytes]) -> list[Client]:
        """ACL SETUSER: make or change a user.  Raises RuleError, and nothing is changed.

        Returns the clients that listen to channels which they may not hear any more; the caller closes them.
        """
        open_channels = self._open_channels()
        user = self.users.get(name)
        changed = User(name, open_channels) if user is None else user.copy(open_channels)
        changed.apply_all(rules)
        if user is None:
            user = self.users[name] = User(name)
        user.become(changed)
        return self._changed(user)

    def delete(self, name: bytes) -> list[Client] | None:
        """ACL DELUSER: forget a user; returns its clients, to be closed, or None when there is no such user."""
        user = self.users.pop(name, None)
        return None if user is None else self.clients_of(user)

    def _changed(self, user: User) -> list[Client]:
        clients = self.clients_of(user)
        for client in clients:
            client.update_gate()
        return [client for client in clients if not _may_listen(client, user)]

    def _require(self, password: str) -> None:
        """requirepass is the password of the user default; an empty one means that it needs none."""
        if password:
            self.default.apply_all([b"resetpass", b">" + raw_bytes(password)])
        else:
            self.default.apply(b"nopass")
        self._changed(self.default)

    def _open_channels(self) -> bool:
        return bool(self.server.settings["acl-pubsub-default"] == "allchannels")

    def _take_over(self, users: dict[bytes, User]) -> None:
        """Replace all users.  The object of the user default stays: it is whom connections without a login belong to."""
        self.default.become(users[DEFAULT])
        self.users = {**users, DEFAULT: self.default}

    # -- user lines of the conf file

    def _users_of(self, lines: Sequence[Line]) -> dict[bytes, User]:
        """The users that a start with these lines has.  Raises ConfigFileError."""
        settings = self.server.settings
        default = _almighty()
        if settings["requirepass"]:
            default.apply_all([b"resetpass", b">" + raw_bytes(settings["requirepass"])])
        users = {DEFAULT: default}
        for line in lines:
            name, *rules = line.args
            if has_spaces(name):
                raise line.error("Spaces not allowed in ACL usernames")
            user = User(name, self._open_channels())
            try:
                user.apply_all([b"reset", *rules] if name == DEFAULT else rules)
            except RuleError as error:
                rule = b"<(redacted)" if error.rule[:1] == b"<" else error.rule
                raise line.error(f"Error in user declaration '{text(rule)}': {text(error.reason)}") from None
            users[name] = user
        return users

    def conf_lines(self, lines: Sequence[Line]) -> list[bytes] | None:
        """What CONFIG REWRITE writes for ``lines``, the ``user`` lines of the file; None when they are right as they are."""
        if self.server.settings["aclfile"]:
            return None
        try:
            written = self._users_of(lines)
        except ConfigFileError:
            written = {}
        if self._described(written) == self._described(self.users):
            return None
        return [
            b" ".join([b"user", _quoted(name), *map(_quoted_again, self.users[name].words(_quoted))])
            for name in sorted(self.users)
        ]

    @staticmethod
    def _described(users: dict[bytes, User]) -> dict[bytes, bytes]:
        return {name: user.shown() for name, user in users.items()}

    # -- the ACL file

    def load_file(self) -> list[Client]:
        """ACL LOAD: replace all users by those of the ACL file.  Raises FileError, and nothing is changed.

        Returns the clients of all users but default, whose users are gone; the caller closes them.
        """
        name = self.server.settings["aclfile"]
        try:
            with open(self._path(), "rb") as file:
                content = file.read()
        except IsADirectoryError:
            content = b""  # Redis reads nothing from it, and goes on
        except OSError as error:
            raise FileError(raw_bytes(f"Error loading ACLs, opening file '{name}': {error.strerror}")) from None
        users = parse_file(content, raw_bytes(name), self._open_channels())
        strangers = [one for one in self.server.clients.values() if one.account not in (None, self.default)]
        self._take_over(users)
        self._changed(self.default)
        return strangers

    def save_file(self) -> None:
        """ACL SAVE: write the users to the ACL file in one step.  Raises OSError."""
        lines = [b" ".join([b"user", name, *self.users[name].words(_quoted)]) + b"\n" for name in sorted(self.users)]
        replace_file(self._path(), b"".join(lines))

    def _path(self) -> str:
        settings = self.server.settings
        name: str = settings["aclfile"]
        return os.path.join(settings["dir"], name)


def parse_file(content: bytes, name: bytes, open_channels: bool = False) -> dict[bytes, User]:
    """The users of an ACL file; ``name`` is shown in errors.  Raises FileError, which blames every wrong line.

    Words are parted by single blanks and cannot be quoted.  The user default may do everything unless there is a line
    for it, which then begins with no rights at all.
    """
    users: dict[bytes, User] = {}
    errors: list[bytes] = []
    for number, line in enumerate(content.split(b"\n"), 1):
        line = line.strip(b" \t\r\n")
        if not line:
            continue
        place = b"%b:%d" % (name, number)
        words = line.split(b" ")
        if words[0] != b"user" or len(words) < 2:
            errors.append(b"%b should start with user keyword followed by the username. " % place)
        elif words[1] in users:
            errors.append(b"WARNING: Duplicate user '%b' found on line %d. " % (words[1], number))
        elif has_spaces(words[1]):
            errors.append(b"'%b' contains spaces in the username" % place)
        else:
            users[words[1]] = user = User(words[1], open_channels)
            errors += _apply_line(user, words[2:], place)
    if errors:
        raise FileError(b"".join(errors) + _NOTHING_CHANGED)
    users.setdefault(DEFAULT, _almighty())
    return users


def _apply_line(user: User, rules: list[bytes], place: bytes) -> list[bytes]:
    """Apply all the rules that can be; returns what was wrong: each unknown name, and the first error of another kind."""
    errors: list[bytes] = []
    other = False
    try:
        whole = list(merged(rules))
    except Unmatched as error:
        return [b"%b: %b" % (place, error.reason)]
    for rule in whole:
        try:
            user.apply(rule)
        except RuleError as error:
            if error.reason == UNKNOWN_NAME:
                errors.append(b"%b: Error in applying operation '%b': %b. " % (place, rule, error.reason))
            elif not other:
                other = True
                errors.append(b"%b: %b. " % (place, error.reason))
    return errors


def _almighty() -> User:
    """The user default of a server without any configuration."""
    user = User(DEFAULT)
    user.apply_all([b"+@all", b"~*", b"&*", b"on", b"nopass"])
    return user


#: Who is asked for the password of a user that does not exist, so that names cannot be told by the time it takes.
_nobody = User(b"")


def _quoted(word: bytes) -> bytes:
    """``word`` as it may stand in a line whose quotes are understood."""
    plain = word and not any(c in _NEEDS_QUOTES or not 32 < c < 127 for c in word)
    return word if plain else quote(word)


def _quoted_again(rule: bytes) -> bytes:
    """A rule for the conf file, which takes quotes away before selectors are put together and their own are read."""
    return rule if rule[:1] == b"(" and not _NEEDS_QUOTES & {*rule.replace(b" ", b"")} else _quoted(rule)


def _may_listen(client: Client, user: User) -> bool:
    """Whether all subscriptions of ``client`` are within the rights of ``user``."""
    channels = [*(client.channels or ()), *(client.shard_channels or ())]
    return all(user.allows_channel(channel, False) for channel in channels) and all(
        user.allows_channel(pattern, True) for pattern in client.patterns or ()
    )


@dataclass(slots=True)
class Refusal:
    """One entry of the log; ``at_ms`` is when it happened last, ``client`` the line of CLIENT INFO then."""

    count: int
    reason: bytes
    context: bytes
    what: bytes
    name: bytes
    at_ms: int
    client: bytes


class AccessLog:
    """What ACL LOG shows: refused commands and logins, the newest first, equal ones counted."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._entries: deque[Refusal] = deque()

    def refused(self, client: Client, denial: Denial, context: bytes | None = None) -> None:
        """Note a refused command.  ``context`` is ``b"lua"`` for a script; otherwise it is found by itself."""
        if context is None:
            context = b"multi" if client.multi is not None or client.in_exec else b"toplevel"
        self.add(client, REASONS[denial.kind], context, denial.what, client.user)

    def add(self, client: Client, reason: bytes, context: bytes, what: bytes, name: bytes) -> None:
        """Note one refusal."""
        now_ms = self._server.clock.now_ms
        description = self._server.describe(client, running=True).encode("utf-8", "surrogateescape")
        new = Refusal(1, reason, context, what, name, now_ms, description)
        for place, old in enumerate(self._entries):
            if place == _COMPARED:
                break
            same = (old.reason, old.context, old.what, old.name) == (reason, context, what, name)
            if same and now_ms - old.at_ms <= _SAME_WITHIN_MS:
                new.count += old.count
                del self._entries[place]
                break
        self._entries.appendleft(new)
        most = self._server.settings["acllog-max-len"]
        while len(self._entries) > most:
            self._entries.pop()

    def shown(self, count: int) -> list[dict[bytes, Any]]:
        """The newest ``count`` entries as ACL LOG answers them."""
        now_ms = self._server.clock.now_ms
        return [
            {
                b"count": one.count,
                b"reason": one.reason,
                b"context": one.context,
                b"object": one.what,
                b"username": one.name,
                b"age-seconds": (now_ms - one.at_ms) / 1000,
                b"client-info": one.client,
            }
            for one in list(self._entries)[: max(count, 0)]
        ]

    def clear(self) -> None:
        """ACL LOG RESET."""
        self._entries.clear()


__all__ = ["DEFAULT", "AccessLog", "Accounts", "FileError", "parse_file"]
