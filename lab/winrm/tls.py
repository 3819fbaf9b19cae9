"""The endpoint's own certificate and its TLS: made at start, for this process alone. Knows no HTTP and no accounts."""

from __future__ import annotations

import os
import ssl
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_USER_PRINCIPAL_NAME: Final = x509.ObjectIdentifier("1.3.6.1.4.1.311.20.2.3")  # by which Windows maps a certificate to a user
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Authority:
    """Who vouches for certificates: its own (PEM), and its key."""

    certificate: str
    _key: ec.EllipticCurvePrivateKey = field(repr=False)
    _subject: x509.Name = field(repr=False)

    def issue(self, name: str, *others: str) -> Identity:
        """A new certificate for a name, and for other names and addresses; good for both ends of TLS and for thirty days."""
        return _identity(name, others, self)


def make_authority(name: str) -> Authority:
    """A new authority, for thirty days."""
    key, subject = ec.generate_private_key(ec.SECP256R1()), _named(name)
    usage = x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
    made = (
        _certificate(subject, subject, key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return Authority(certificate=made.public_bytes(serialization.Encoding.PEM).decode(), _key=key, _subject=subject)


def make_identity(name: str, *addresses: str) -> Identity:
    """A new self-signed certificate for a name and addresses, good for both ends of TLS and for thirty days."""
    return _identity(name, addresses, None)


def _identity(name: str, others: Sequence[str], authority: Authority | None) -> Identity:
    key, subject = ec.generate_private_key(ec.SECP256R1()), _named(name)
    builder = (
        _certificate(subject, subject if authority is None else authority._subject, key.public_key())
        .add_extension(x509.SubjectAlternativeName([_general(other) for other in (name, *others)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=authority is None, path_length=0 if authority is None else None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
    )
    if authority is not None:
        by = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority._key.public_key())
        builder = builder.add_extension(by, critical=False)
    made = builder.sign(key if authority is None else authority._key, hashes.SHA256())
    text = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return Identity(
        certificate=made.public_bytes(serialization.Encoding.PEM).decode(),
        key=text.decode(),
        der=made.public_bytes(serialization.Encoding.DER),
    )


def _certificate(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .not_valid_after(now + _VALID)
    )


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _general(name: str) -> x509.GeneralName:
    """What a certificate calls an address, a user principal name (user@domain) or a host."""
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        pass
    if "@" in name:
        text = name.encode()
        return x509.OtherName(_USER_PRINCIPAL_NAME, b"\x0c" + bytes([len(text)]) + text)  # a DER UTF8String
    return x509.DNSName(name)


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
