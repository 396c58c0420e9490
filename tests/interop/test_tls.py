"""TLS on client connections and on the replication link, beside the TLS of a real redis-server."""

from __future__ import annotations

import datetime
import ssl
from pathlib import Path

import redis
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from twisted.trial.unittest import SynchronousTestCase

from tests.support.servers import (
    KINDS,
    Node,
    RealServer,
    Replicad,
    digest,
    free_port,
    link_up,
    need_reference,
    wait_in_sync,
    wait_until,
)


def certificate(directory: Path, name: str, issuer: str = "") -> None:
    """Write ``name.crt`` and ``name.key``, signed by ``issuer`` of the same directory or by itself, as an authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    signer, signed_by = key, subject
    if issuer:
        signer = serialization.load_pem_private_key((directory / f"{issuer}.key").read_bytes(), None)  # type: ignore[assignment]
        signed_by = x509.load_pem_x509_certificate((directory / f"{issuer}.crt").read_bytes()).subject
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(signed_by)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=2))
        .add_extension(x509.BasicConstraints(ca=not issuer, path_length=None), critical=True)
        .sign(signer, hashes.SHA256())
    )
    (directory / f"{name}.crt").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (directory / f"{name}.key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )


class Secure(SynchronousTestCase):
    """One directory with an authority, a certificate for servers, and one of a stranger."""

    def setUp(self) -> None:
        """Make the certificates."""
        self.directory = Path(self.mktemp())
        self.directory.mkdir(parents=True)
        self.directory = self.directory.resolve()
        for name, issuer in (("ca", ""), ("server", "ca"), ("client", "ca"), ("stranger", "")):
            certificate(self.directory, name, issuer)

    def path(self, name: str) -> str:
        """The absolute name of a file."""
        return str(self.directory / name)

    def directives(self, **more: object) -> dict[str, object]:
        """What turns TLS on."""
        return {
            "tls-port": free_port(),
            "tls-cert-file": self.path("server.crt"),
            "tls-key-file": self.path("server.key"),
            "tls-ca-cert-file": self.path("ca.crt"),
            **{name.replace("_", "-"): value for name, value in more.items()},
        }

    def node(self, kind: str = "ours", name: str | None = None, **more: object) -> Node:
        """A server with both kinds of ports."""
        return KINDS[kind](self, self.directives(**more), name=name).start()

    def client(self, node: Node, own: str = "client") -> redis.Redis:
        """A redis-py client over TLS that shows the certificate ``own``."""
        assert isinstance(node.directives, dict)
        shown = {"ssl_certfile": self.path(f"{own}.crt"), "ssl_keyfile": self.path(f"{own}.key")} if own else {}
        client = redis.Redis(
            port=node.directives["tls-port"], ssl=True, ssl_ca_certs=self.path("ca.crt"), ssl_check_hostname=False,
            socket_timeout=10, **shown,
        )  # fmt: skip
        self.addCleanup(client.close)
        return client

    def refused(self, node: Node, own: str) -> bool:
        try:
            self.client(node, own).ping()
        except (redis.ConnectionError, ssl.SSLError):
            return True
        return False

    def test_clients(self) -> None:
        """Commands, pipelines, messages, replies of megabytes."""
        node = self.node()
        client = self.client(node)
        self.assertTrue(client.set("a", b"x" * 5_000_000))
        self.assertEqual(client.get("a"), b"x" * 5_000_000)
        pipeline = client.pipeline(transaction=False)
        for number in range(2000):
            pipeline.set(f"k{number}", number)
            pipeline.get(f"k{number}")
        self.assertEqual(pipeline.execute()[1::2], [b"%d" % number for number in range(2000)])
        self.assertEqual(len(client.mget(["a"] * 10)), 10)
        subscriber = self.client(node).pubsub(ignore_subscribe_messages=True)
        subscriber.subscribe("news")
        subscriber.get_message(timeout=1)
        node.call("PUBLISH", "news", "hello")
        wait_until(lambda: (subscriber.get_message(timeout=1) or {}).get("data") == b"hello", 5, "the message")
        self.assertEqual(client.blpop("nothing", 0.05), None)
        self.assertEqual(node.call("CLIENT", "KILL", "TYPE", "pubsub"), 1)

    def test_who_may_come(self) -> None:
        """tls-auth-clients as in Redis, also after CONFIG SET."""
        need_reference()
        for kind in ("real", "ours"):
            node = self.node(kind)
            answers = {}
            for mode in ("yes", "optional", "no"):
                node.call("CONFIG", "SET", "tls-auth-clients", mode)
                answers[mode] = [self.refused(node, own) for own in ("client", "", "stranger")]
            self.assertEqual(
                answers, {"yes": [False, True, True], "optional": [False, False, True], "no": [False] * 3}, kind
            )
            self.assertTrue(isinstance(node.call("INFO"), bytes))

    def test_a_certificate_is_renewed(self) -> None:
        """CONFIG SET reads the files anew; what cannot be used changes nothing."""
        node = self.node()
        client = self.client(node)
        client.ping()
        certificate(self.directory, "server", "stranger")
        self.assertFalse(self.refused(node, "client"))
        node.call("CONFIG", "SET", "tls-cert-file", self.path("server.crt"), "tls-key-file", self.path("server.key"))
        self.assertTrue(self.refused(node, "client"))
        client.ping()  # an open connection keeps what it has
        refusal = node.client().call("CONFIG", "SET", "tls-cert-file", self.path("nothing.crt"))
        self.assertIn("Unable to update TLS configuration. Check server logs.", str(refusal))
        self.assertEqual(node.call("CONFIG", "GET", "tls-cert-file")[1].decode(), self.path("server.crt"))
        port = free_port()
        node.call("CONFIG", "SET", "tls-port", port)
        node.directives = {**self.directives(), "tls-port": port}
        certificate(self.directory, "server", "ca")
        node.call("CONFIG", "SET", "tls-cert-file", self.path("server.crt"))
        self.assertFalse(self.refused(node, "client"))

    def test_mistakes(self) -> None:
        """Each mistake stops the start, with the words of a real server in the log."""
        need_reference()
        for more in (
            {"tls_cert_file": ""},
            {"tls_key_file": ""},
            {"tls_ca_cert_file": ""},
            {"tls_protocols": "TLSv1.7"},
            {"tls_ciphers": "nonsense"},
            {"tls_ciphersuites": "nonsense"},
            {"tls_port": 0, "tls_replication": "yes", "tls_cert_file": ""},
            {"tls_cert_file": self.path("nothing.crt")},
            {"tls_key_file": self.path("ca.key")},
        ):
            lines = []
            for kind in (RealServer, Replicad):
                node = kind(self, self.directives(**more)).start(wait=False)
                self.assertEqual(node.wait_exit(), 1, (kind, more))
                log = node.log().splitlines()
                last = next(i for i, line in enumerate(log) if "Failed to configure TLS. Check logs" in line)
                lines.append(log[last - 1].partition("# ")[2].split(": error:")[0].split(": system")[0].split(": x509")[0])
            self.assertEqual(lines[1].split(": ")[:2], lines[0].split(": ")[:2])

    def test_replication(self) -> None:
        """The link speaks TLS: every pair, full and partial synchronisation."""
        need_reference()
        for master_kind, replica_kind in (("ours", "ours"), ("real", "ours"), ("ours", "real")):
            common = {"tls_replication": "yes", "repl_diskless_sync_delay": 0}
            master = self.node(master_kind, "master", **common)
            for number in range(2000):
                master.call("SET", f"key:{number}", "v" * 200)
            assert isinstance(master.directives, dict)
            replica = self.node(replica_kind, "replica", replicaof=f"127.0.0.1 {master.directives['tls-port']}", **common)
            assert isinstance(replica.directives, dict)
            wait_until(lambda replica=replica: link_up(replica), 20, "the link")
            for number in range(500):
                master.call("SET", f"late:{number}", "v" * 2000)
            wait_in_sync(master, replica)
            self.assertEqual(digest(master), digest(replica), (master_kind, replica_kind))
            self.assertIn(f"port={replica.directives['tls-port']}", str(master.call("INFO", "replication")))
            master.call("CLIENT", "KILL", "TYPE", "replica")
            master.call("SET", "after", "1")
            wait_until(lambda replica=replica: link_up(replica) and replica.call("GET", "after"), 20, "the link again")
            self.assertEqual(master.info("stats")["sync_partial_ok"], "1")

    def test_an_unknown_master(self) -> None:
        """A replica does not follow a master whose certificate somebody else has signed."""
        master = self.node("ours", "master")
        assert isinstance(master.directives, dict)
        replica = Replicad(
            self,
            self.directives(tls_replication="yes", tls_ca_cert_file=self.path("stranger.crt")),
            name="replica",
        ).start()
        replica.call("SET", "own", "1")
        replica.call("REPLICAOF", "127.0.0.1", master.directives["tls-port"])
        replica.wait_log("certificate verify failed")
        self.assertEqual((link_up(replica), replica.call("GET", "own")), (False, b"1"))
