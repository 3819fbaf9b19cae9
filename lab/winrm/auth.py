"""Who is at the other end of a connection: accounts, the schemes by which they log on, and the message encryption that two of them yield.

[MS-WSMV 2.2.9.1] for the encrypted bodies, [MS-NLMP], [MS-CSSP] and [RFC 4559] for the exchanges, by pyspnego. No sockets here, no HTTP.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import struct
import tempfile
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from hmac import compare_digest
from pathlib import Path
from typing import Any, Final

import spnego
import spnego.channel_bindings
from spnego import _gss

# The NT hash has no public name in pyspnego, and OpenSSL 3 no longer brings MD4 itself.
from spnego._ntlm_raw.crypto import ntowfv1
from spnego._ntlm_raw.messages import Authenticate
from spnego.exceptions import SpnegoError

from lab.machine import Account, Claim, Credential, Package
from lab.winrm.ntlm import Computer, negotiation

_BOUNDARY: Final = b"Encrypted Boundary"
_CLOSING: Final = b"--" + _BOUNDARY + b"--\r\n"
_CREDSSP_PART: Final = 16_384  # bytes of a message in one part: what a TLS record holds [MS-WSMV 2.2.9.1.3]
_MAX_PARTS: Final = 64
_TLS_DATA: Final = 0x17

# What an NTLM authenticate message has where it binds itself to a channel: MsvAvChannelBindings, 16 bytes [MS-NLMP 2.2.2.1].
_NTLM_BINDING: Final = b"\x0a\x00\x10\x00"
_NTLM: Final = b"NTLMSSP\0"
_NTLM_NEGOTIATE: Final = _NTLM + b"\x01"
_NTLM_AUTHENTICATE: Final = _NTLM + b"\x03\0\0\0"
_GSSAPI: Final = b"\x60"
_NOBODY: Final = "ANONYMOUS LOGON"
_CHANNEL_BOUND: Final = 0x800  # GSS_C_CHANNEL_BOUND_FLAG, of MIT krb5 1.19 on
_PACKAGES: Final = {"ntlm": Package.NTLM, "kerberos": Package.KERBEROS}

# What pyspnego lets through where a token is not what it claims to be: its parsers slice and unpack without looking first.
_MALFORMED = (
    SpnegoError,
    ValueError,
    struct.error,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    NotImplementedError,
    StopIteration,
)


class Scheme(StrEnum):
    """How a client may log on: the switches below WSMan:\\localhost\\Service\\Auth."""

    BASIC = "Basic"
    NEGOTIATE = "Negotiate"
    KERBEROS = "Kerberos"
    CREDSSP = "CredSSP"
    CERTIFICATE = "Certificate"


_PROTOCOLS: Final = {Scheme.CREDSSP: "CredSSP", Scheme.KERBEROS: "Kerberos"}


class ChannelBinding(StrEnum):
    """CbtHardeningLevel: whether an exchange over TLS must name the certificate that it came by. Relaxed takes none, but no wrong one."""

    NONE = "None"
    RELAXED = "Relaxed"
    STRICT = "Strict"


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """What an endpoint lets in; the defaults are Windows', without Kerberos, which needs a keytab."""

    schemes: frozenset[Scheme] = frozenset({Scheme.NEGOTIATE})
    allow_unencrypted: bool = False
    channel_binding: ChannelBinding = ChannelBinding.RELAXED


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointAccount:
    """An account that may log on here, its password, and the SHA-256 fingerprints of the certificates that stand for it.

    `realm` is the Kerberos realm of its domain, which is also the suffix of its user principal name; "" where it has none.
    """

    account: Account
    password: str = field(repr=False)
    realm: str = ""
    certificates: frozenset[str] = frozenset()


class Refused(Exception):
    """The exchange failed: no such account, wrong password, or not a token at all.

    `claim` is who the client said to be, where it named an account and failed to show that it is theirs; `answer` what the scheme tells it.
    """

    def __init__(self, why: str, claim: Claim | None = None, answer: bytes | None = None) -> None:
        super().__init__(why)
        self.claim = claim
        self.answer = answer


class Garbled(Exception):
    """An encrypted body that is not one, or does not open. The security context is out of step for good."""


class _UserFile:
    """The accounts of all endpoints of this process in one file, where pyspnego's NTLM looks for them.

    pyspnego takes an acceptor's credentials from the file that NTLM_USER_FILE names, process wide, and reads it at every logon. So the
    file is the union of all endpoints' accounts, and each endpoint checks by itself whether who logged on is one of its own.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lines: dict[object, dict[str, str]] = {}
        self._directory: Path | None = None
        self._before: dict[str, str | None] = {}

    def add(self, owner: object, lines: dict[str, str]) -> None:
        """Take an endpoint's lines, by principal. Raises ValueError where another endpoint has a principal with another password."""
        with self._lock:
            for taken in self._lines.values():
                for principal, line in lines.items():
                    if taken.get(principal, line) != line:
                        raise ValueError(f"another endpoint of this process has {principal} with another password")
            self._lines[owner] = lines
            if self._directory is None:
                self._directory = Path(tempfile.mkdtemp(prefix="winrm-accounts-"))  # 0700
                self._write(self._directory)
                # Level 5 (NTLMv2 only, on either side): below it pyspnego's acceptor takes an authenticate message without NT
                # response whose LM response is all zero, from anybody.
                settings = {"NTLM_USER_FILE": str(self._directory / "users"), "LM_COMPAT_LEVEL": "5"}
                self._before = {name: os.environ.get(name) for name in settings}
                os.environ.update(settings)
            else:
                self._write(self._directory)

    def remove(self, owner: object) -> None:
        """Forget an endpoint's lines; with the last of them the file and the directory go."""
        with self._lock:
            if self._lines.pop(owner, None) is None or self._directory is None:
                return
            if self._lines:
                self._write(self._directory)
                return
            for name, value in self._before.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value
            shutil.rmtree(self._directory, ignore_errors=True)
            self._directory = None

    def _write(self, directory: Path) -> None:
        # Replaced in one step: a logon of another endpoint may be reading just now.
        descriptor, name = tempfile.mkstemp(dir=directory)  # 0600
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.writelines(sorted({line + "\n" for lines in self._lines.values() for line in lines.values()}))
        Path(name).replace(directory / "users")


class _Keytab:
    """The keytab of all endpoints of this process: MIT's acceptor takes the one that KRB5_KTNAME names, process wide."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._owners: set[object] = set()
        self._path = ""
        self._before: str | None = None

    def add(self, owner: object, path: str) -> None:
        """Take an endpoint's keytab. Raises ValueError where another endpoint has another."""
        with self._lock:
            if self._owners and path != self._path:
                raise ValueError("another endpoint of this process has another keytab")
            if not self._owners:
                self._before, self._path = os.environ.get("KRB5_KTNAME"), path
                os.environ["KRB5_KTNAME"] = f"FILE:{path}"
            self._owners.add(owner)

    def remove(self, owner: object) -> None:
        """Forget an endpoint; with the last of them all is as before."""
        with self._lock:
            if owner not in self._owners:
                return
            self._owners.remove(owner)
            if self._owners:
                return
            if self._before is None:
                del os.environ["KRB5_KTNAME"]
            else:
                os.environ["KRB5_KTNAME"] = self._before


_USER_FILE: Final = _UserFile()
_KEYTAB: Final = _Keytab()


def no_kerberos() -> str:
    """Why there can be no Kerberos on this machine, or nothing."""
    if not _gss.HAS_GSSAPI:
        return f"Kerberos needs the extra purple-harness[kerberos] and MIT's libraries: {_gss.GSSAPI_IMP_ERR}"
    return ""


class Accounts:
    """The accounts of one endpoint. `open` before the first logon, `close` after the last.

    `computer` is what it calls itself to those who log on. Raises ValueError for a name that the account file cannot hold, or two accounts
    of one name.
    """

    def __init__(self, accounts: Sequence[EndpointAccount], keytab: Path | None = None, *, computer: Computer | None = None) -> None:
        self.computer = computer if computer is not None else Computer()
        self._keytab = keytab
        self._by_principal: dict[str, Account] = {}
        self._lines: dict[str, str] = {}
        self._hashes: dict[str, bytes] = {}
        self._certificates: dict[str, Account] = {}
        for entry in accounts:
            account = entry.account
            self._certificates |= dict.fromkeys(entry.certificates, account)
            if any(mark in account.domain + account.name for mark in ":\\@\r\n") or not account.name:
                raise ValueError(f"an account cannot be named {account.domain}\\{account.name}")
            nt_hash = ntowfv1(entry.password)
            spellings = [account.name, f"{account.domain}\\{account.name}", f"{account.name}@{account.domain}"]
            if entry.realm:
                spellings += [f"{account.name}@{entry.realm}", f"{entry.realm}\\{account.name}"]
            for spelling in spellings:
                principal = spelling.upper()
                if self._by_principal.setdefault(principal, account) != account:
                    raise ValueError(f"two accounts answer to {spelling}")
                self._hashes[principal] = nt_hash
                self._lines[principal] = f"{spelling}:1000:{'0' * 32}:{nt_hash.hex().upper()}:[U]:LCT-00000000"

    def open(self) -> None:
        """Make the accounts known to pyspnego. Raises ValueError where they contradict another endpoint's."""
        if self._keytab is not None:
            _KEYTAB.add(self, str(self._keytab))
        try:
            _USER_FILE.add(self, self._lines)
        except ValueError:
            _KEYTAB.remove(self)
            raise

    def close(self) -> None:
        """Take them back."""
        _USER_FILE.remove(self)
        _KEYTAB.remove(self)

    def find(self, principal: str) -> Account | None:
        """The account of a principal as pyspnego spells it: name, DOMAIN\\name or name@DOMAIN."""
        return self._by_principal.get(principal.upper())

    def by_password(self, offered: bytes) -> Account:
        """Who "user:password" is, as Basic sends it [RFC 7617]: in UTF-8, or as many clients do in Latin-1. Raises `Refused`."""
        try:
            text = offered.decode("utf-8")
        except UnicodeDecodeError:
            text = offered.decode("latin-1")
        user, colon, password = text.partition(":")
        account = self.find(user)
        known = self._hashes.get(user.upper())
        if not colon or account is None or known is None or not compare_digest(known, ntowfv1(password)):
            raise Refused("not an account of this endpoint, or not its password", self.claim(user))
        return account

    def claim(self, principal: str) -> Claim:
        """Who somebody says to be: DOMAIN\\name, or a name as it is (name@DOMAIN is one, without a domain, as Windows audits it)."""
        domain, _, name = principal.rpartition("\\")
        return Claim(domain=domain, name=name, known=self.find(principal) is not None)

    def by_certificate(self, certificate: bytes | None) -> Account:
        """Whose certificate (DER) this is. Raises `Refused`."""
        account = self._certificates.get(fingerprint(certificate)) if certificate else None
        if account is None:
            raise Refused("no certificate of an account of this endpoint")
        return account


def fingerprint(certificate: bytes) -> str:
    """A certificate's (DER) SHA-256 in lower-case digits."""
    return hashlib.sha256(certificate).hexdigest()


def begins_exchange(token: bytes) -> bool:
    """Whether a token of Negotiate or Kerberos is an exchange's first: one of GSS-API [RFC 2743 3.1], or NTLM's negotiate message."""
    return token.startswith((_GSSAPI, _NTLM_NEGOTIATE))


class SecurityContext:
    """The acceptor's side of one exchange, then the keys of one connection. Not shared between threads.

    `binding` names the TLS channel that the exchange came by, None where there is none or nobody cares; see `ChannelBinding`.
    """

    def __init__(
        self,
        accounts: Accounts,
        scheme: Scheme = Scheme.NEGOTIATE,
        *,
        binding: bytes | None = None,
        level: ChannelBinding = ChannelBinding.RELAXED,
    ) -> None:
        self._accounts = accounts
        self._credssp = scheme is Scheme.CREDSSP
        self._level = level
        self._binding = spnego.channel_bindings.GssChannelBindings(application_data=binding) if binding is not None else None
        if scheme is Scheme.KERBEROS:
            self._context: Any = spnego.server(protocol="kerberos")
        else:
            self._context = negotiation(accounts.computer)
        if self._credssp:
            # What goes on inside of CredSSP's TLS is seen by nobody but the context that it is handed to.
            self._context.step = self._noting(self._context.step)
            self._context = spnego.server(protocol="credssp", credssp_negotiate_context=self._context)
        self._protocol = f"application/HTTP-{_PROTOCOLS.get(scheme, 'SPNEGO')}-session-encrypted"
        self._claim: Claim | None = None
        self._inner_failed = False
        self.account: Account | None = None
        self.package = Package.NTLM
        self.delegated: Credential | None = None

    def step(self, token: bytes) -> bytes | None:
        """The answer to a client's token. `account` is set once the exchange is complete. Raises `Refused`."""
        try:
            if not self._credssp:
                self._claim = self._claim_in(token)
            answer: bytes | None = self._context.step(token, channel_bindings=self._binding_of(token))
            if self._inner_failed:
                raise Refused("refused inside of CredSSP", self._claim, answer)
            if self._context.complete:
                account = self._accounts.find(self._context.client_principal or "")
                if account is None:
                    raise Refused("not an account of this endpoint")
                if self._binding is not None and self._level is ChannelBinding.STRICT and not self._is_bound():
                    raise Refused("not bound to the channel that it came by")
                self.account = account
                self.package = _PACKAGES.get(self._context.negotiated_protocol, Package.NEGOTIATE)
                self.delegated = self._delegation() if self._credssp else None
        except _MALFORMED as error:
            raise Refused(type(error).__name__, self._claim) from None
        return answer

    def _noting(self, step: Callable[..., bytes | None]) -> Callable[..., bytes | None]:
        """The negotiation inside of CredSSP, whose failure pyspnego tells the client and nobody else."""

        def noted(token: bytes | None = None, **more: Any) -> bytes | None:
            self._claim = self._claim_in(token or b"")
            try:
                return step(token, **more)
            except SpnegoError:
                self._inner_failed = True
                raise

        return noted

    def _claim_in(self, token: bytes) -> Claim | None:
        """Who an NTLM client says to be in its last message [MS-NLMP 2.2.1.3]; None for any other token, and for nobody."""
        at = token.find(_NTLM_AUTHENTICATE)
        if at < 0:
            return None
        try:
            said = Authenticate.unpack(token[at:])
        except _MALFORMED:
            return None
        if not said.user_name or said.user_name == _NOBODY:
            return None
        return self._accounts.claim(f"{said.domain_name}\\{said.user_name}" if said.domain_name else said.user_name)

    def _delegation(self) -> Credential | None:
        """What a client of CredSSP gave away for this [MS-CSSP 2.2.1.2]: a name and a password, or nothing that we could use."""
        given = self._context.get_extra_info("client_credential")
        if given is None or not getattr(given, "password", None):
            return None
        return Credential(user=f"{given.domain_name}\\{given.username}" if given.domain_name else given.username, password=given.password)

    def _binding_of(self, token: bytes) -> Any:
        # CredSSP has its own TLS and binds to that one's key.
        if self._binding is None or self._credssp or self._level is ChannelBinding.NONE:
            return None
        # Kerberos itself lets in who names no channel, and nobody who names a wrong one.
        named = _NTLM_BINDING in token or _NTLM not in token
        return self._binding if self._level is ChannelBinding.STRICT or named else None

    def _is_bound(self) -> bool:
        """Whether a Kerberos exchange named its channel: MIT tells it by a flag that pyspnego keeps to itself. NTLM is refused without."""
        context = self._context
        while context is not None and not isinstance(context, _gss.GSSAPIProxy):
            context = getattr(context, "_context", None)
        return context is None or bool(context._context_attr & _CHANNEL_BOUND)

    def seal(self, message: bytes, encoding: str = "UTF-8") -> tuple[str, bytes]:
        """Content type and body of an encrypted message, whose text is in this encoding."""
        size = _CREDSSP_PART if self._credssp else max(len(message), 1)
        parts = [message[start : start + size] for start in range(0, max(len(message), 1), size)]
        kind = "x-multi-encrypted" if len(parts) > 1 else "encrypted"
        content_type = f'multipart/{kind};protocol="{self._protocol}";boundary="{_BOUNDARY.decode()}"'
        return content_type, b"".join([*(self._seal_part(part, encoding) for part in parts), _CLOSING])

    def _seal_part(self, message: bytes, encoding: str) -> bytes:
        header, sealed, padding = self._context.wrap_winrm(message)
        return b"".join(
            (
                b"--%b\r\n\tContent-Type: %b\r\n" % (_BOUNDARY, self._protocol.encode()),
                b"\tOriginalContent: type=application/soap+xml;charset=%b;Length=%d\r\n" % (encoding.encode(), len(message) + padding),
                b"--%b\r\n\tContent-Type: application/octet-stream\r\n" % _BOUNDARY,
                struct.pack("<i", len(header)),
                header,
                sealed,
            )
        )

    def unseal(self, body: bytes) -> bytes:
        """The message in an encrypted body. Raises `Garbled`."""
        parts = _split_credssp(body) if self._credssp else [_split(body)]
        messages: list[bytes] = []
        for header, sealed, length in parts:
            try:
                message: bytes = self._context.unwrap_winrm(header, sealed)
            except _MALFORMED as error:
                raise Garbled(type(error).__name__) from None
            if len(message) != length:
                raise Garbled("not as long as announced")
            messages.append(message)
        return b"".join(messages)

    def is_encrypted(self, content_type: str) -> bool:
        """Whether a Content-Type announces the message encryption that this exchange yields."""
        low = content_type.lower()
        return low.startswith(("multipart/encrypted", "multipart/x-multi-encrypted")) and self._protocol.lower() in low


_Part = tuple[bytes, bytes, int]
"""Signature, sealed bytes and announced length of a part of an encrypted body."""


def _split(body: bytes) -> _Part:
    """The one part of a body.

    The sealed bytes may hold anything, the boundary too: they are cut by length, never by search [MS-WSMV 2.2.9.1.1].
    """
    length, at = _announced(body, 0)
    if not body.endswith(_CLOSING) or len(body) < at + 4 + len(_CLOSING):
        raise Garbled("not an encrypted body")
    (header_length,) = struct.unpack_from("<i", body, at)
    binary = body[at + 4 : -len(_CLOSING)]
    if not 0 <= header_length <= len(binary):
        raise Garbled("the signature is longer than the body")
    return binary[:header_length], binary[header_length:], length


def _split_credssp(body: bytes) -> list[_Part]:
    """The parts of a body whose sealed bytes are TLS records, cut by the records' own lengths [MS-WSMV 2.2.9.1.3]."""
    parts: list[_Part] = []
    at = 0
    while body[at:] != _CLOSING:
        if len(parts) == _MAX_PARTS:
            raise Garbled("more parts than an envelope has")
        length, start = _announced(body, at)
        start += 4  # the length of the trailer, which TLS knows by itself
        at = start
        while at + 5 <= len(body) and body[at] == _TLS_DATA:
            at += 5 + int.from_bytes(body[at + 3 : at + 5], "big")
        if at == start or at > len(body):
            raise Garbled("not TLS records")
        parts.append((b"", body[start:at], length))
    if not parts:
        raise Garbled("not an encrypted body")
    return parts


def _announced(body: bytes, start: int) -> tuple[int, int]:
    """The length that a part announces, and where its binary begins. Raises `Garbled`."""
    mark = b"application/octet-stream\r\n"
    end = body.find(mark, start, start + 1024)
    if end < 0:
        raise Garbled("not an encrypted body")
    _, found, announced = body[start:end].partition(b"Length=")
    digits = announced.partition(b"\r\n")[0].strip()
    if not found or not digits.isdigit() or len(digits) > 9:
        raise Garbled("no length announced")
    return int(digits), end + len(mark)
