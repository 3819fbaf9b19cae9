"""Who is at the other end of a connection: accounts, the Negotiate exchange, and the message encryption that it yields.

[MS-WSMV 2.2.9.1] for the encrypted bodies, [MS-NLMP] and [RFC 4559] for the exchange, both by pyspnego. No sockets here, no HTTP.
"""

from __future__ import annotations

import os
import shutil
import struct
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import spnego

# The NT hash has no public name in pyspnego, and OpenSSL 3 no longer brings MD4 itself.
from spnego._ntlm_raw.crypto import ntowfv1
from spnego.exceptions import SpnegoError

from lab.machine import Account, Package

_BOUNDARY: Final = b"Encrypted Boundary"
_PROTOCOL: Final = "application/HTTP-SPNEGO-session-encrypted"
_CONTENT_TYPE: Final = f'multipart/encrypted;protocol="{_PROTOCOL}";boundary="{_BOUNDARY.decode()}"'
_CLOSING: Final = b"--" + _BOUNDARY + b"--\r\n"
_PACKAGES: Final = {"ntlm": Package.NTLM, "kerberos": Package.KERBEROS}

# What pyspnego lets through where a token is not what it claims to be: its parsers slice and unpack without looking first.
_MALFORMED = (SpnegoError, ValueError, struct.error, LookupError, TypeError, AttributeError, ArithmeticError, NotImplementedError)


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointAccount:
    """An account that may log on here, and its password."""

    account: Account
    password: str = field(repr=False)


class Refused(Exception):
    """The exchange failed: no such account, wrong password, or not a token at all."""


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


_USER_FILE: Final = _UserFile()


class Accounts:
    """The accounts of one endpoint. `open` before the first logon, `close` after the last.

    Raises ValueError for a name that the account file cannot hold, or two accounts of one name.
    """

    def __init__(self, accounts: Sequence[EndpointAccount]) -> None:
        self._by_principal: dict[str, Account] = {}
        self._lines: dict[str, str] = {}
        for entry in accounts:
            account = entry.account
            if any(mark in account.domain + account.name for mark in ":\\@\r\n") or not account.name:
                raise ValueError(f"an account cannot be named {account.domain}\\{account.name}")
            nt_hash = ntowfv1(entry.password).hex().upper()
            for spelling in (account.name, f"{account.domain}\\{account.name}", f"{account.name}@{account.domain}"):
                principal = spelling.upper()
                if self._by_principal.setdefault(principal, account) != account:
                    raise ValueError(f"two accounts answer to {spelling}")
                self._lines[principal] = f"{spelling}:1000:{'0' * 32}:{nt_hash}:[U]:LCT-00000000"

    def open(self) -> None:
        """Make the accounts known to pyspnego. Raises ValueError where they contradict another endpoint's."""
        _USER_FILE.add(self, self._lines)

    def close(self) -> None:
        """Take them back."""
        _USER_FILE.remove(self)

    def find(self, principal: str) -> Account | None:
        """The account of a principal as pyspnego spells it: name, DOMAIN\\name or name@DOMAIN."""
        return self._by_principal.get(principal.upper())


class SecurityContext:
    """The acceptor's side of one exchange, then the keys of one connection. Not shared between threads."""

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts
        # The pure Python SPNEGO, whatever GSSAPI is installed: it takes bare NTLM tokens too, and asks no KDC.
        self._context: Any = spnego.server(protocol="negotiate", options=spnego.NegotiateOptions.use_negotiate)
        self.account: Account | None = None
        self.package = Package.NTLM

    def step(self, token: bytes) -> bytes | None:
        """The answer to a client's token. `account` is set once the exchange is complete. Raises `Refused`."""
        try:
            answer: bytes | None = self._context.step(token)
            if self._context.complete:
                account = self._accounts.find(self._context.client_principal or "")
                if account is None:
                    raise Refused("not an account of this endpoint")
                self.account = account
                self.package = _PACKAGES.get(self._context.negotiated_protocol, Package.NEGOTIATE)
        except _MALFORMED as error:
            raise Refused(type(error).__name__) from None
        return answer

    def seal(self, message: bytes) -> tuple[str, bytes]:
        """Content type and body of an encrypted message."""
        header, sealed, padding = self._context.wrap_winrm(message)
        return _CONTENT_TYPE, b"".join(
            (
                b"--%b\r\n\tContent-Type: %b\r\n" % (_BOUNDARY, _PROTOCOL.encode()),
                b"\tOriginalContent: type=application/soap+xml;charset=UTF-8;Length=%d\r\n" % (len(message) + padding),
                b"--%b\r\n\tContent-Type: application/octet-stream\r\n" % _BOUNDARY,
                struct.pack("<i", len(header)),
                header,
                sealed,
                _CLOSING,
            )
        )

    def unseal(self, body: bytes) -> bytes:
        """The message in an encrypted body. Raises `Garbled`."""
        header, sealed, length = _split(body)
        try:
            message: bytes = self._context.unwrap_winrm(header, sealed)
        except _MALFORMED as error:
            raise Garbled(type(error).__name__) from None
        if len(message) != length:
            raise Garbled("not as long as announced")
        return message


def is_encrypted(content_type: str) -> bool:
    """Whether a Content-Type announces the message encryption that this endpoint speaks."""
    return content_type.lower().startswith("multipart/encrypted") and _PROTOCOL.lower() in content_type.lower()


def _split(body: bytes) -> tuple[bytes, bytes, int]:
    """Signature, sealed bytes and announced length of an encrypted body.

    The sealed bytes may hold anything, the boundary too: they are cut by length, never by search [MS-WSMV 2.2.9.1.1].
    """
    opening, found, binary = body.partition(b"application/octet-stream\r\n")
    if not found or not binary.endswith(_CLOSING) or len(binary) < 4 + len(_CLOSING):
        raise Garbled("not an encrypted body")
    _, found, announced = opening.partition(b"Length=")
    digits = announced.partition(b"\r\n")[0].strip()
    if not found or not digits.isdigit() or len(digits) > 9:
        raise Garbled("no length announced")
    (header_length,) = struct.unpack_from("<i", binary)
    binary = binary[4 : -len(_CLOSING)]
    if not 0 <= header_length <= len(binary):
        raise Garbled("the signature is longer than the body")
    return binary[:header_length], binary[header_length:], int(digits)
