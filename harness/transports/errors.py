"""Every foreign exception of the client libraries, mapped into our own tree, at one place.

What pypsrp, pywinrm, requests, urllib3 and pyspnego raise was found by trial and by reading them: a garbled answer surfaces as whatever
the line of theirs that met it happens to raise (`ParseError` is a `SyntaxError`). Pure: knows no socket. Foreign exceptions
are not chained to ours: they hold requests with their headers, and a traceback would print their texts as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPException, IncompleteRead, RemoteDisconnected
from ssl import SSLCertVerificationError
from struct import error as StructError
from typing import Protocol

from pypsrp.exceptions import AuthenticationError, InvalidPSRPOperation, WinRMError, WinRMTransportError, WSManFaultError
from requests.exceptions import RequestException, TooManyRedirects
from requests.exceptions import SSLError as RequestsSSLError
from requests.exceptions import Timeout as RequestsTimeout
from spnego.exceptions import SpnegoError
from urllib3.exceptions import HTTPError
from winrm.exceptions import WinRMError as WinrsError
from winrm.exceptions import WinRMTransportError as WinrsTransportError
from winrm.exceptions import WSManFaultError as WinrsFaultError

from harness.errors import (
    AuthenticationFailed,
    ConnectFailed,
    ConnectionLost,
    ProtocolFailure,
    Refused,
    StepTimeout,
    TransportError,
    Untrusted,
)

# WSMan fault codes [MS-WSMV 3.1.4.1.30; winerror.h]
_OPERATION_TIMED_OUT = 2150858793
_SHELL_NOT_FOUND = 2150858843

_HTTP_UNAUTHORIZED = 401
_HTTP_ERROR = 500

# What a garbled answer makes of the parsers it runs into: XML, base64, CLIXML, fragments, encryption headers.
_GARBLED = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    NotImplementedError,
    RecursionError,
    StructError,
    SyntaxError,
    TypeError,
    ValueError,
)
_FOREIGN = (
    WinRMError,
    WinrsError,
    WinrsTransportError,
    SpnegoError,
    RequestException,
    HTTPError,
    HTTPException,
    ImportError,
    OSError,
    *_GARBLED,
)

_LONGEST_TEXT = 500


class Link(Protocol):
    """How far a session came."""

    @property
    def connected(self) -> bool:
        """A connection came about, so something was sent."""

    @property
    def authenticated(self) -> bool:
        """The session was opened."""


@contextmanager
def foreign_errors(place: str, link: Link, scrub: Callable[[str], str]) -> Iterator[None]:
    """What the libraries raise within comes out as `TransportError`, naming the `place`. `link` is read when something is raised."""
    try:
        yield
    except StepTimeout as error:
        raise StepTimeout(scrub(f"{place}: {error}")) from None
    except _FOREIGN as error:
        raise mapped(error, place, connected=link.connected, authenticated=link.authenticated, scrub=scrub) from None
    except Exception as error:
        # Kerberos and CredSSP come with the extras: their exceptions derive from Exception alone and cannot be imported here.
        if type(error).__module__.partition(".")[0] not in ("gssapi", "krb5", "requests_credssp"):
            raise
        raise AuthenticationFailed(scrub(f"{place}: {_with_hint(_text(error))}")[:_LONGEST_TEXT]) from None


def mapped(error: Exception, place: str, *, connected: bool, authenticated: bool, scrub: Callable[[str], str]) -> TransportError:
    """Our own error for a foreign one.

    `connected`: a connection came about, so something was sent. `authenticated`: the session was open.
    """
    kind, text = _kind(error, connected=connected, authenticated=authenticated)
    return kind(scrub(f"{place}: {text}")[:_LONGEST_TEXT])


def _kind(error: Exception, *, connected: bool, authenticated: bool) -> tuple[type[TransportError], str]:
    match error:
        case AuthenticationError():
            return AuthenticationFailed, _text(error)
        case WinRMTransportError() | WinrsTransportError():
            return _http(error.code, _one_line(error.response_text))
        case WSManFaultError():
            return _fault(error.code, error.provider_fault or error.reason or "", authenticated=authenticated)
        case WinrsFaultError():
            return _fault(error.wsman_fault_code or error.wmierror_code, error.reason, authenticated=authenticated)
        case InvalidPSRPOperation():
            return Refused, _text(error)
        case SpnegoError():
            return (ProtocolFailure if authenticated else AuthenticationFailed), _with_hint(_text(error))
        case ImportError():
            return AuthenticationFailed, f"this way to authenticate needs more than is installed: {_text(error)}"
        case RequestsSSLError():
            return _insecure(_root(error), connected=connected)
        case TooManyRedirects():
            return Refused, "the endpoint answered with a redirect, which is not followed"
        case RequestException() | HTTPError() | HTTPException() | OSError():
            return _broken(error, connected=connected)
        case _:
            return ProtocolFailure, f"the answer cannot be read: {type(error).__name__}: {_text(error)}"


# What Kerberos says, in MIT's words, and what mends it.
_HINTS = {
    "No Kerberos credentials available": "get a ticket with kinit, or give user and password",
    "No credentials were supplied": "get a ticket with kinit, or give user and password",
    "Cannot contact any KDC": "is the realm in krb5.conf, or KRB5_CONFIG set?",
    "Cannot find KDC": "is the realm in krb5.conf, or KRB5_CONFIG set?",
    "default realm": "is the realm in krb5.conf, or KRB5_CONFIG set?",
    "configuration file": "is the realm in krb5.conf, or KRB5_CONFIG set?",
    "Server not found in Kerberos database": "name the host as its service principal is named, or give spn",
    "Clock skew": "set the clocks",
}


def _with_hint(text: str) -> str:
    hint = next((mend for sign, mend in _HINTS.items() if sign.lower() in text.lower()), "")
    return f"{text} ({hint})" if hint else text


def _insecure(root: BaseException, *, connected: bool) -> tuple[type[TransportError], str]:
    text = f"TLS: {_text(root)}"
    if isinstance(root, SSLCertVerificationError):
        return Untrusted, f"{text} (ca_file names who vouches for it, verify = false trusts whoever answers)"
    return (ConnectionLost if connected else ConnectFailed), text


def _http(status: int, text: str) -> tuple[type[TransportError], str]:
    if status == _HTTP_UNAUTHORIZED:
        return AuthenticationFailed, "HTTP 401"
    if status == _HTTP_ERROR and not text:
        # What Windows says to messages in the clear while AllowUnencrypted is false: nothing.
        return Refused, "HTTP 500 without a word: it refuses messages that are not encrypted (use tls, or another auth than basic)"
    return Refused, f"HTTP {status} {text}".rstrip()


def _fault(code: int | None, said: str, *, authenticated: bool) -> tuple[type[TransportError], str]:
    reason = _one_line(said)
    text = f"WSMan fault {code}" + (f": {reason}" if reason else "")
    if code == _OPERATION_TIMED_OUT:
        return StepTimeout, text
    if code == _SHELL_NOT_FOUND and authenticated:
        return ConnectionLost, f"the session is gone: {text}"
    return Refused, text


def _broken(error: Exception, *, connected: bool) -> tuple[type[TransportError], str]:
    root = _root(error)
    if not connected:
        return ConnectFailed, _text(root)
    if isinstance(root, HTTPException) and not isinstance(root, RemoteDisconnected | IncompleteRead):
        return ProtocolFailure, f"what answers is not an HTTP server: {type(root).__name__}: {_text(root)}"
    if isinstance(error, RequestsTimeout):
        return StepTimeout, _text(root)
    return ConnectionLost, _text(root)


def _root(error: BaseException) -> BaseException:
    """The exception at the bottom of requests' and urllib3's wrapping: the one that says what happened."""
    while True:
        inner = [argument for argument in error.args if isinstance(argument, BaseException)]
        reason = getattr(error, "reason", None)
        if isinstance(reason, BaseException):
            inner.append(reason)
        if error.__cause__ is not None:
            inner.append(error.__cause__)
        if not inner:
            return error
        error = inner[0]


def _text(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return _one_line(str(error)) or type(error).__name__


def _one_line(text: str) -> str:
    return " ".join(text.split())
