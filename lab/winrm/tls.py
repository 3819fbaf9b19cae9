"""The endpoint's own certificate and its TLS: made at start, for this process alone. Knows no HTTP and no accounts."""

from __future__ import annotations

import os
import ssl
import tempfile
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_VALID: Final = timedelta(days=30)
_SKEW: Final = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """A certificate with its key, both PEM. `der` is the certificate alone."""

    certificate: str
    key: str = field(repr=False)
    der: bytes = field(repr=False)

    @property
    def channel_binding(self) -> bytes:
        """The tls-server-end-point binding of a channel to this certificate [RFC 5929]."""
        digest = hashes.Hash(hashes.SHA256())  # the certificate is signed with SHA-256
        digest.update(self.der)
        return b"tls-server-end-point:" + digest.finalize()


def make_identity(name: str, *addresses: str) -> Identity:
    """A new self-signed certificate for a name and addresses, good for both ends of TLS and for thirty days."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    names: list[x509.GeneralName] = [x509.DNSName(name), *(x509.IPAddress(ip_address(address)) for address in addresses)]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .not_valid_after(now + _VALID)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    text = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return Identity(
        certificate=certificate.public_bytes(serialization.Encoding.PEM).decode(),
        key=text.decode(),
        der=certificate.public_bytes(serialization.Encoding.DER),
    )


def server_context(identity: Identity, client_authorities: str = "") -> ssl.SSLContext:
    """TLS as a server with this identity.

    Clients may show a certificate where `client_authorities` (PEM) has who signed it; one of nobody there ends the handshake.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    with tempfile.TemporaryDirectory(prefix="winrm-tls-") as directory:  # 0700; OpenSSL reads keys from files only
        path = Path(directory) / "identity.pem"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(identity.key + identity.certificate)
        context.load_cert_chain(path)
    if client_authorities:
        context.load_verify_locations(cadata=client_authorities)
        context.verify_mode = ssl.CERT_OPTIONAL
    return context
