"""ACL for a server with one user.

Owns: the ACL subcommands that clients ask at their start.  There is the user ``default``, who may do everything and
whose password is the directive requirepass; others cannot be made.
"""

from __future__ import annotations

import hashlib
import secrets
from typing import Any

from replicad.command import Argv, command, lookup
from replicad.commands.arguments import integer
from replicad.commands.help import help_of
from replicad.commands.introspection import CATEGORIES, categories_of, every_command, ordered_set
from replicad.errors import clean, err, unknown_subcommand
from replicad.resp import OK
from replicad.session import Client

_PLAIN = "noscript loading stale"
_ADMIN = "admin noscript loading stale"
_BITS = err(
    "ACL GENPASS argument must be the number of bits for the output password, a positive number up to 4096"
)
_NO_FILE = err(
    "This Redis instance is not configured to use an ACL file. You may want to specify users via the ACL SETUSER "
    "command and then issue a CONFIG REWRITE (assuming you have a Redis configuration file set) in order to store users "
    "in the Redis configuration."
)
_ONE_USER = err("this server has one user, 'default'; its password is the directive requirepass")


def _password_hash(client: Client) -> str:
    password = client.server.settings["requirepass"]
    return hashlib.sha256(password.encode("utf-8", "surrogateescape")).hexdigest() if password else ""


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
    return [b"default"]


@command(b"ACL|LIST", 2, _ADMIN, group="server", since="6.0.0")
def acl_list(client: Client, argv: Argv) -> list[bytes]:
    """Returns the users with their rules.

    ACL LIST
    """
    digest = _password_hash(client)
    return [f"user default on {'#' + digest if digest else 'nopass'} ~* &* +@all".encode()]


@command(b"ACL|GETUSER", 3, _ADMIN, group="server", since="6.0.0")
def acl_getuser(client: Client, argv: Argv) -> Any:
    """Returns the rules of a user.

    ACL GETUSER username
    """
    if argv[2] != b"default":
        return None
    digest = _password_hash(client)
    return {
        b"flags": ordered_set([b"on"] if digest else [b"on", b"nopass"], client.resp),
        b"passwords": [digest.encode()] if digest else [],
        b"commands": b"+@all",
        b"keys": b"~*",
        b"channels": b"&*",
        b"selectors": [],
    }


@command(b"ACL|CAT", -2, _PLAIN, group="server", since="6.0.0")
def acl_cat(client: Client, argv: Argv) -> Any:
    """Returns the categories of commands, or the commands of one.

    ACL CAT [category]
    """
    if len(argv) > 3:
        raise err(clean(b"unknown subcommand or wrong number of arguments for '%b'. Try ACL HELP." % argv[1]))
    if len(argv) == 2:
        return [name.encode() for name in CATEGORIES]
    wanted = argv[2].decode("latin-1").lower()
    if wanted not in CATEGORIES:
        raise err(clean(b"Unknown category '%b'" % argv[2]))
    return [cmd.name for cmd in every_command() if wanted in categories_of(cmd)]


@command(b"ACL|GENPASS", -2, _PLAIN, group="server", since="6.0.0")
def acl_genpass(client: Client, argv: Argv) -> bytes:
    """Returns a random password of hex digits.

    ACL GENPASS [bits]
    """
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
    if argv[2] != b"default":
        raise err(clean(b"User '%b' not found" % argv[2]))
    cmd = lookup(argv[3:])
    if cmd is None:
        raise err(clean(b"Command '%b' not found" % argv[3]))
    if not cmd.least <= len(argv) - 3 <= cmd.most:
        raise err(b"wrong number of arguments for '%b' command" % cmd.name)
    return OK


@command(b"ACL|LOG", -2, _ADMIN, group="server", since="6.0.0")
def acl_log(client: Client, argv: Argv) -> Any:
    """Returns refused accesses, which are not recorded here; RESET forgets them.

    ACL LOG [count | RESET]
    """
    if len(argv) > 2 and argv[2].lower() == b"reset":
        return OK
    if len(argv) > 2:
        integer(argv[2])
    return []


@command(b"ACL|LOAD", 2, _ADMIN, group="server", since="6.0.0")
def acl_load(client: Client, argv: Argv) -> Any:
    """Refused: there is no file of users.

    ACL LOAD
    """
    raise _NO_FILE


@command(b"ACL|SAVE", 2, _ADMIN, group="server", since="6.0.0")
def acl_save(client: Client, argv: Argv) -> Any:
    """Refused: there is no file of users.

    ACL SAVE
    """
    raise _NO_FILE


@command(b"ACL|SETUSER", -3, _ADMIN, group="server", since="6.0.0")
def acl_setuser(client: Client, argv: Argv) -> Any:
    """Refused: there is one user.

    ACL SETUSER username [rule [rule ...]]
    """
    raise _ONE_USER


@command(b"ACL|DELUSER", -3, _ADMIN, group="server", since="6.0.0")
def acl_deluser(client: Client, argv: Argv) -> Any:
    """Removes users; the user default stays.

    ACL DELUSER username [username ...]
    """
    if b"default" in argv[2:]:
        raise err("The 'default' user cannot be removed")
    return 0


@command(b"ACL|HELP", 2, "loading stale", group="server", since="6.0.0")
def acl_help(client: Client, argv: Argv) -> Any:
    """Lists the subcommands.

    ACL HELP
    """
    return help_of(b"ACL")
