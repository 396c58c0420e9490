"""The ACL command: users, their rights, what was refused.

Owns: the arguments and the replies of the subcommands, and the closing of connections whose user is gone or which listen to
channels they may not hear any more.  Does not own what rules mean (``replicad.acl``), nor the users and their files
(``replicad.accounts``).
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from typing import Any

from replicad.accounts import DEFAULT, FileError
from replicad.acl import Denial, RuleError, Selector, Unmatched, check, has_spaces
from replicad.command import CATEGORIES, Argv, categories_of, command, every_command, lookup
from replicad.commands.arguments import integer
from replicad.commands.clients import kill
from replicad.commands.help import help_of
from replicad.commands.introspection import ordered_set
from replicad.errors import ReplyError, c_string, clean, err, unknown_subcommand
from replicad.resp import OK
from replicad.session import Client

_PLAIN = "noscript loading stale"
_ADMIN = "admin noscript loading stale"
_REDACTED = b"(redacted)"
_BITS = err("ACL GENPASS argument must be the number of bits for the output password, a positive number up to 4096")
_NO_FILE = err(
    "This Redis instance is not configured to use an ACL file. You may want to specify users via the ACL SETUSER "
    "command and then issue a CONFIG REWRITE (assuming you have a Redis configuration file set) in order to store users "
    "in the Redis configuration."
)
_NOT_SAVED = err("There was an error trying to save the ACLs. Please check the server logs for more information")
_NOT_REMOVABLE = err("The 'default' user cannot be removed")
_BAD_NAME = err("Usernames can't contain spaces or null characters")


def _wrong_count(argv: Argv) -> ReplyError:
    return err(clean(b"unknown subcommand or wrong number of arguments for '%b'. Try ACL HELP." % c_string(argv[1])[:128]))


def _close(client: Client, victims: Iterable[Client]) -> None:
    """Close connections; that of ``client`` itself once it has its reply."""
    for victim in list(victims):
        kill(client, victim)


@command(b"ACL", -2, group="server", since="6.0.0")
def acl(client: Client, argv: Argv) -> Any:
    """Commands about users and their rights."""
    raise unknown_subcommand(b"ACL", argv[1])


@command(b"ACL|WHOAMI", 2, _PLAIN, group="server", since="6.0.0")
def acl_whoami(client: Client, argv: Argv) -> bytes:
    """Returns the name of the user of this connection.

    ACL WHOAMI
    """
    return client.user


@command(b"ACL|USERS", 2, _ADMIN, group="server", since="6.0.0")
def acl_users(client: Client, argv: Argv) -> list[bytes]:
    """Returns the names of all users.

    ACL USERS
    """
    return sorted(client.server.acl.users)


@command(b"ACL|LIST", 2, _ADMIN, group="server", since="6.0.0")
def acl_list(client: Client, argv: Argv) -> list[bytes]:
    """Returns the users with their rules.

    ACL LIST
    """
    users = client.server.acl.users
    return [b"user %b %b" % (name, users[name].shown()) for name in sorted(users)]


def _rights(selector: Selector) -> dict[bytes, Any]:
    return {
        b"commands": b" ".join(selector.command_words()),
        b"keys": b" ".join(selector.key_words()),
        b"channels": b" ".join(selector.channel_words()),
    }


@command(b"ACL|GETUSER", 3, _ADMIN, group="server", since="6.0.0")
def acl_getuser(client: Client, argv: Argv) -> Any:
    """Returns the rules of a user.

    ACL GETUSER username
    """
    user = client.server.acl.users.get(argv[2])
    if user is None:
        return None
    root, *others = user.selectors
    return {
        b"flags": ordered_set(user.flags(), client.resp),
        b"passwords": list(user.passwords),
        **_rights(root),
        b"selectors": [_rights(one) for one in others],
    }


@command(b"ACL|SETUSER", -3, _ADMIN, group="server", since="6.0.0")
def acl_setuser(client: Client, argv: Argv) -> Any:
    """Makes a user, or changes one by rules: all of them or, when one is wrong, none.

    ACL SETUSER username [rule [rule ...]]
    """
    name, *rules = argv[2:]
    argv[2:] = [_REDACTED] * (len(argv) - 2)  # passwords are among them: for the slow log
    if has_spaces(name):
        raise _BAD_NAME
    try:
        deaf = client.server.acl.change(name, rules)
    except Unmatched as error:
        raise err(b"Unmatched parenthesis in acl selector starting at '%b'." % c_string(error.rule)) from None
    except RuleError as error:
        raise err(b"Error in ACL SETUSER modifier '%b': %b" % (c_string(error.rule), error.reason)) from None
    _close(client, deaf)
    return OK


@command(b"ACL|DELUSER", -3, _ADMIN, group="server", since="6.0.0")
def acl_deluser(client: Client, argv: Argv) -> Any:
    """Removes users and closes their connections; the user default stays.

    ACL DELUSER username [username ...]
    """
    names = argv[2:]
    if DEFAULT in names:
        raise _NOT_REMOVABLE
    removed = 0
    for name in names:
        clients = client.server.acl.delete(name)
        if clients is not None:
            removed += 1
            _close(client, clients)
    return removed


@command(b"ACL|CAT", -2, _PLAIN, group="server", since="6.0.0")
def acl_cat(client: Client, argv: Argv) -> Any:
    """Returns the categories of commands, or the commands of one.

    ACL CAT [category]
    """
    if len(argv) > 3:
        raise _wrong_count(argv)
    if len(argv) == 2:
        return [name.encode() for name in CATEGORIES]
    wanted = argv[2].decode("latin-1").lower()
    if wanted not in CATEGORIES:
        raise err(clean(b"Unknown category '%b'" % c_string(argv[2])[:128]))
    return [cmd.name for cmd in every_command() if wanted in categories_of(cmd)]


@command(b"ACL|GENPASS", -2, _PLAIN, group="server", since="6.0.0")
def acl_genpass(client: Client, argv: Argv) -> bytes:
    """Returns a random password of hex digits.

    ACL GENPASS [bits]
    """
    if len(argv) > 3:
        raise _wrong_count(argv)
    bits = integer(argv[2]) if len(argv) > 2 else 256
    if not 0 < bits <= 4096:
        raise _BITS
    digits = (bits + 3) // 4
    return secrets.token_hex((digits + 1) // 2)[:digits].encode()


@command(b"ACL|DRYRUN", -4, _ADMIN, group="server", since="7.0.0")
def acl_dryrun(client: Client, argv: Argv) -> Any:
    """Tells whether a user might execute a command.

    ACL DRYRUN username command [arg [arg ...]]
    """
    user = client.server.acl.users.get(argv[2])
    if user is None:
        raise err(b"User '%b' not found" % c_string(argv[2]))
    asked = argv[3:]
    cmd = lookup(asked)
    if cmd is None or (cmd.subcommands and len(asked) > 1):
        raise err(b"Command '%b' not found" % c_string(argv[3]))
    if not cmd.least <= len(asked) <= cmd.most:
        raise err(b"wrong number of arguments for '%b' command" % cmd.name)
    denial: Denial | None = check(user, cmd, asked)
    return OK if denial is None else denial.dry_run()


@command(b"ACL|LOG", -2, _ADMIN, group="server", since="6.0.0")
def acl_log(client: Client, argv: Argv) -> Any:
    """Returns refused commands and logins, the newest first, or forgets them.

    ACL LOG [count | RESET]
    """
    if len(argv) > 3:
        raise _wrong_count(argv)
    log = client.server.acl.log
    if len(argv) > 2 and argv[2].lower() == b"reset":
        log.clear()
        return OK
    return log.shown(integer(argv[2]) if len(argv) > 2 else 10)


@command(b"ACL|LOAD", 2, _ADMIN, group="server", since="6.0.0")
def acl_load(client: Client, argv: Argv) -> Any:
    """Reads the users from the ACL file, all of them or, when a line is wrong, none, and closes the connections of all users
    but default.

    ACL LOAD
    """
    accounts = client.server.acl
    if not client.server.settings["aclfile"]:
        raise _NO_FILE
    try:
        strangers = accounts.load_file()
    except FileError as error:
        raise err(clean(error.text)) from None
    _close(client, strangers)
    return OK


@command(b"ACL|SAVE", 2, _ADMIN, group="server", since="6.0.0")
def acl_save(client: Client, argv: Argv) -> Any:
    """Writes the users to the ACL file.

    ACL SAVE
    """
    server = client.server
    if not server.settings["aclfile"]:
        raise _NO_FILE
    try:
        server.acl.save_file()
    except OSError as error:
        server.log.warning(f"Saving the ACL file: {error.strerror}")
        raise _NOT_SAVED from None
    return OK


@command(b"ACL|HELP", 2, "loading stale", group="server", since="6.0.0")
def acl_help(client: Client, argv: Argv) -> Any:
    """Lists the subcommands.

    ACL HELP
    """
    return help_of(b"ACL")
