"""TLS: OpenSSL contexts from the ``tls-*`` directives.

Owns: reading certificates and keys, protocol versions, ciphers, who must show a certificate; the two objects that Twisted
asks for a connection's end.  Does not own ports (``listening``), connections (``client``) or the link (``upstream``).

Both contexts are built together, at the start and after CONFIG SET of any of the directives; connections that exist keep
theirs.  As in Redis a peer's certificate must be signed by the configured authority; names in it are not compared.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from OpenSSL import SSL, crypto
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator, IOpenSSLServerConnectionCreator
from zope.interface import implementer

if TYPE_CHECKING:
    from replicad.server import Server

_VERSIONS = {
    "TLSv1": SSL.OP_NO_TLSv1,
    "TLSv1.1": SSL.OP_NO_TLSv1_1,
    "TLSv1.2": SSL.OP_NO_TLSv1_2,
    "TLSv1.3": SSL.OP_NO_TLSv1_3,
}
_BAD_VERSIONS = (
    "Invalid tls-protocols specified. Use a combination of 'TLSv1', 'TLSv1.1', 'TLSv1.2' and 'TLSv1.3'."
)
_NO_AUTHORITY = (
    "Either tls-ca-cert-file or tls-ca-cert-dir must be specified when tls-cluster, tls-replication or tls-auth-clients are "
    "enabled!"
)

#: The directives that the contexts are made of; ``tls-port`` and ``tls-replication`` tell whether they are needed.
DIRECTIVES = (
    "tls-cert-file", "tls-key-file", "tls-key-file-pass", "tls-client-cert-file", "tls-client-key-file",
    "tls-client-key-file-pass", "tls-dh-params-file", "tls-ca-cert-file", "tls-ca-cert-dir", "tls-protocols", "tls-ciphers",
    "tls-ciphersuites", "tls-auth-clients", "tls-prefer-server-ciphers", "tls-session-caching", "tls-session-cache-size",
    "tls-session-cache-timeout", "tls-replication",
)  # fmt: skip


class TLSError(Exception):
    """The directives do not make a usable context; the text is for the log."""


def wanted(settings: Mapping[str, Any]) -> bool:
    """Whether anything is to speak TLS."""
    return bool(settings["tls-port"] or settings["tls-replication"])


def server_context(settings: Mapping[str, Any]) -> SSL.Context:
    """The context of the port that clients connect to.  Raises TLSError."""
    context = _context(settings, "tls-cert-file", "tls-key-file", "tls-key-file-pass")
    if settings["tls-prefer-server-ciphers"]:
        context.set_options(SSL.OP_CIPHER_SERVER_PREFERENCE)
    if settings["tls-session-caching"]:
        context.set_session_cache_mode(SSL.SESS_CACHE_SERVER)
        context.set_timeout(settings["tls-session-cache-timeout"])
        context.set_session_id(b"replicad")
    else:
        context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    path = settings["tls-dh-params-file"]
    if path:
        try:
            context.load_tmp_dh(path.encode())
        except SSL.Error as error:
            raise TLSError(f"Failed to load DH params file: {path}: {_reason(error)}") from None
    verify = {"no": SSL.VERIFY_NONE, "optional": SSL.VERIFY_PEER}.get(
        settings["tls-auth-clients"], SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT
    )
    context.set_verify(verify)
    return context


def client_context(settings: Mapping[str, Any]) -> SSL.Context:
    """The context of the link to a master.  Raises TLSError."""
    if settings["tls-client-cert-file"]:
        context = _context(settings, "tls-client-cert-file", "tls-client-key-file", "tls-client-key-file-pass")
    else:
        context = _context(settings, "tls-cert-file", "tls-key-file", "tls-key-file-pass")
    context.set_verify(SSL.VERIFY_PEER)
    return context


def _context(settings: Mapping[str, Any], certificate: str, key: str, password: str) -> SSL.Context:
    """What both have in common.  The order of the complaints is Redis's."""
    for name in (certificate, key):
        if not settings[name]:
            raise TLSError(f"No {name} configured!")
    authority, directory = settings["tls-ca-cert-file"], settings["tls-ca-cert-dir"]
    if not authority and not directory and (settings["tls-replication"] or settings["tls-auth-clients"] != "no"):
        raise TLSError(_NO_AUTHORITY)
    context = SSL.Context(SSL.TLS_METHOD)
    context.set_options(SSL.OP_NO_COMPRESSION | SSL.OP_SINGLE_DH_USE | _excluded(settings["tls-protocols"]))
    context.set_mode(SSL.MODE_RELEASE_BUFFERS)
    secret = settings[password].encode("utf-8", "surrogateescape")
    context.set_passwd_cb(lambda length, twice, data: secret[:length])
    try:
        context.use_certificate_chain_file(settings[certificate])
    except SSL.Error as error:
        raise TLSError(f"Failed to load certificate: {settings[certificate]}: {_reason(error)}") from None
    try:
        context.use_privatekey_file(settings[key], crypto.FILETYPE_PEM)
        context.check_privatekey()
    except SSL.Error as error:
        raise TLSError(f"Failed to load private key: {settings[key]}: {_reason(error)}") from None
    if authority or directory:
        try:
            context.load_verify_locations(authority or None, directory or None)
            if authority:
                context.load_client_ca(authority.encode())
        except SSL.Error as error:
            raise TLSError(f"Failed to configure CA certificate(s) file/directory: {_reason(error)}") from None
    for name, setter, what in (
        ("tls-ciphers", context.set_cipher_list, "ciphers"),
        ("tls-ciphersuites", getattr(context, "set_tls13_ciphersuites", None), "ciphersuites"),
    ):
        if settings[name]:
            if setter is None:
                raise TLSError(f"Failed to configure {what}: this pyOpenSSL cannot set them")
            try:
                setter(settings[name].encode())
            except SSL.Error:
                raise TLSError(f"Failed to configure {what}: {settings[name]}") from None
    return context


def _excluded(protocols: str) -> int:
    """The options that leave only ``protocols``, by default TLS 1.2 and 1.3."""
    chosen = protocols.split() or ["TLSv1.2", "TLSv1.3"]
    names = {name.lower(): name for name in _VERSIONS}
    if not all(word.lower() in names for word in chosen):
        raise TLSError(_BAD_VERSIONS)
    kept = {names[word.lower()] for word in chosen}
    options: int = SSL.OP_NO_SSLv2 | SSL.OP_NO_SSLv3
    for name, option in _VERSIONS.items():
        if name not in kept:
            options |= option
    return options


def _reason(error: SSL.Error) -> str:
    """OpenSSL's complaint, or the operating system's."""
    details = error.args[0] if error.args and isinstance(error.args[0], list) else []
    return "; ".join(": ".join(part for part in detail if part) for detail in details) or str(error) or "unknown error"


@implementer(IOpenSSLServerConnectionCreator, IOpenSSLClientConnectionCreator)
class Contexts:
    """The contexts of one server, in the form in which Twisted asks for them; ``build`` replaces both."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._for_clients: SSL.Context | None = None
        self._for_masters: SSL.Context | None = None

    def build(self) -> None:
        """Read everything anew; new connections use it.  Raises TLSError, and then nothing has changed."""
        settings = self._server.settings
        if wanted(settings):
            self._for_clients, self._for_masters = server_context(settings), client_context(settings)

    def serverConnectionForTLS(self, protocol: Any) -> SSL.Connection:
        """Twisted wants our end of a connection that a client opened."""
        assert self._for_clients is not None
        return SSL.Connection(self._for_clients, None)

    def clientConnectionForTLS(self, protocol: Any) -> SSL.Connection:
        """Twisted wants our end of a connection to a master."""
        assert self._for_masters is not None
        return SSL.Connection(self._for_masters, None)
