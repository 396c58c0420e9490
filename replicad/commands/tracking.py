"""Client-side caching as clients ask for it: CLIENT TRACKING, CACHING, TRACKINGINFO, GETREDIR.

Owns: the options, their contradictions and the error texts.  Does not own what is tracked nor the messages
(``replicad.tracking``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from replicad.command import Argv, command
from replicad.commands import clients  # noqa: F401  (CLIENT itself must be registered first)
from replicad.commands.arguments import integer
from replicad.errors import SYNTAX, c_string, err
from replicad.resp import OK, Wire, encode
from replicad.tracking import Tracked

if TYPE_CHECKING:
    from replicad.session import Client

_PLAIN = "noscript loading stale"

_NO_SUCH_CLIENT = err("The client ID you want redirect to does not exist")
_REDIRECTED_TWICE = err("A client can only redirect to a single other client")
_PREFIX_WITHOUT_BCAST = err("PREFIX option requires BCAST mode to be enabled")
_OTHER_BCAST = err(
    "You can't switch BCAST mode on/off before disabling tracking for this client, and then re-enabling it with a "
    "different mode."
)
_OTHER_OPT = err(
    "You can't switch OPTIN/OPTOUT mode before disabling tracking for this client, and then re-enabling it with a "
    "different mode."
)
_BCAST_AND_OPT = err("OPTIN and OPTOUT are not compatible with BCAST")
_BOTH_OPTS = err("You can't specify both OPTIN mode and OPTOUT mode")
_NO_CACHING = err(
    "CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT mode enabled"
)
_NOT_OPTIN = err("CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode.")
_NOT_OPTOUT = err("CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode.")


@command(b"CLIENT|TRACKING", -3, _PLAIN, group="connection", since="6.0.0")
def client_tracking(client: Client, argv: Argv) -> Any:
    """Switches client-side caching on or off: the server tells when a key that the client has read changes.

    CLIENT TRACKING ON | OFF [REDIRECT client-id] [PREFIX prefix [PREFIX prefix ...]] [BCAST] [OPTIN] [OPTOUT] [NOLOOP]
    """
    state, prefixes = _options(client, argv)
    mode = argv[2].lower()
    if mode == b"on":
        _check_modes(client, state, prefixes)
        if state.bcast:
            _check_overlaps(client, prefixes)
        client.server.tracking.enable(client, state, prefixes)
    elif mode == b"off":
        client.server.tracking.disable(client)
    else:
        raise SYNTAX
    return OK


def _options(client: Client, argv: Argv) -> tuple[Tracked, list[bytes]]:
    state = Tracked()
    prefixes = []
    i = 3
    while i < len(argv):
        option, more = argv[i].upper(), i + 1 < len(argv)
        if option == b"REDIRECT" and more:
            i += 1
            if state.redirect:
                raise _REDIRECTED_TWICE
            state.redirect = integer(argv[i])
            if state.redirect not in client.server.clients:
                raise _NO_SUCH_CLIENT
        elif option == b"PREFIX" and more:
            i += 1
            prefixes.append(argv[i])
        elif option == b"BCAST":
            state.bcast = True
        elif option == b"OPTIN":
            state.optin = True
        elif option == b"OPTOUT":
            state.optout = True
        elif option == b"NOLOOP":
            state.noloop = True
        else:
            raise SYNTAX
        i += 1
    return state, prefixes


def _check_modes(client: Client, wanted: Tracked, prefixes: list[bytes]) -> None:
    """The contradictions among the options, and with those that the client uses, in Redis's order."""
    if prefixes and not wanted.bcast:
        raise _PREFIX_WITHOUT_BCAST
    now = client.tracking
    if now is not None and now.bcast != wanted.bcast:
        raise _OTHER_BCAST
    if wanted.bcast and (wanted.optin or wanted.optout):
        raise _BCAST_AND_OPT
    if wanted.optin and wanted.optout:
        raise _BOTH_OPTS
    if now is not None and ((wanted.optin and now.optout) or (wanted.optout and now.optin)):
        raise _OTHER_OPT


def _check_overlaps(client: Client, prefixes: list[bytes]) -> None:
    """A key must never be told twice to one client, so none of its prefixes may begin another."""
    known = sorted(client.tracking.prefixes) if client.tracking is not None else []
    involved = _overlapping([*known, *prefixes])
    for i, prefix in enumerate(prefixes):
        if prefix not in involved:
            continue
        for other in known:
            if prefix.startswith(other) or other.startswith(prefix):
                raise _overlap(prefix, b"an existing", other)
        for other in prefixes[i + 1 :]:
            if prefix.startswith(other) or other.startswith(prefix):
                raise _overlap(prefix, b"another provided", other)


def _overlapping(prefixes: list[bytes]) -> set[bytes]:
    """Those that begin another or begin with another.  To compare each with each takes a minute for 20,000."""
    found: set[bytes] = set()
    above: list[bytes] = []  # each begins the next, and the last one may begin what comes
    for prefix in sorted(prefixes):
        while above and not prefix.startswith(above[-1]):
            above.pop()
        if above:
            found |= {prefix, above[-1]}
        above.append(prefix)
    return found


def _overlap(prefix: bytes, which: bytes, other: bytes) -> Exception:
    return err(
        b"Prefix '%b' overlaps with %b prefix '%b'. Prefixes for a single client must not overlap."
        % (c_string(prefix), which, c_string(other))
    )


@command(b"CLIENT|CACHING", 3, _PLAIN, group="connection", since="6.0.0")
def client_caching(client: Client, argv: Argv) -> Any:
    """Includes the next command or transaction in tracking (OPTIN), or leaves it out (OPTOUT).

    CLIENT CACHING YES | NO
    """
    state = client.tracking
    if state is None:
        raise _NO_CACHING
    word = argv[2].lower()
    if word == b"yes":
        if not state.optin:
            raise _NOT_OPTIN
    elif word == b"no":
        if not state.optout:
            raise _NOT_OPTOUT
    else:
        raise SYNTAX
    state.caching = True
    return OK


@command(b"CLIENT|TRACKINGINFO", 2, _PLAIN, group="connection", since="6.2.0")
def client_trackinginfo(client: Client, argv: Argv) -> Any:
    """Tells the mode of client-side caching of this connection.

    CLIENT TRACKINGINFO
    """
    state = client.tracking
    if state is None:
        return {b"flags": {b"off"}, b"redirect": -1, b"prefixes": []}
    flags = encode(state.flags, client.resp)
    return {
        b"flags": Wire(b"~" + flags[1:]) if client.resp == 3 else Wire(flags),  # a set whose order is Redis's
        b"redirect": state.redirect,
        b"prefixes": sorted(state.prefixes),
    }


@command(b"CLIENT|GETREDIR", 2, _PLAIN, group="connection", since="6.0.0")
def client_getredir(client: Client, argv: Argv) -> int:
    """Returns the number of the client that gets the messages of this one: 0 is itself, -1 without tracking.

    CLIENT GETREDIR
    """
    return -1 if client.tracking is None else client.tracking.redirect
