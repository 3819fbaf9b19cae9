"""Foreign exceptions and what becomes of them."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from http.client import BadStatusLine, IncompleteRead, RemoteDisconnected
from struct import error as StructError

import pytest
import requests
from pypsrp.complex_objects import RunspacePoolState
from pypsrp.exceptions import (
    AuthenticationError,
    FragmentError,
    InvalidPSRPOperation,
    InvalidRunspacePoolStateError,
    SerializationError,
    WinRMError,
    WinRMTransportError,
    WSManFaultError,
)
from spnego.exceptions import BadMICError, InvalidTokenError
from urllib3.exceptions import MaxRetryError, ProtocolError

from harness.errors import AuthenticationFailed, ConnectFailed, ConnectionLost, ProtocolFailure, Refused, StepTimeout, TransportError
from harness.transports.credential import Credential
from harness.transports.errors import foreign_errors, mapped

SECRET = "hunter2-correct-horse"


def fault(code: int, reason: str = "no") -> WSManFaultError:
    return WSManFaultError(code, "ws6", reason, None, None, None)


def wrapped(cause: Exception) -> requests.ConnectionError:
    """As requests hands out what urllib3 made of a socket's error."""
    return requests.ConnectionError(ProtocolError("Connection aborted.", cause))


def no_socket(cause: OSError) -> requests.ConnectionError:
    try:
        raise RuntimeError("new connection") from cause
    except RuntimeError as error:
        return requests.ConnectionError(MaxRetryError(None, "/wsman", error))  # type: ignore[arg-type]  # no pool at hand


NOTHING, CONNECTED, OPEN = (False, False), (True, False), (True, True)

TABLE: list[tuple[Exception, tuple[bool, bool], type[TransportError], str]] = [
    (
        AuthenticationError("Failed to authenticate the user u with ntlm"),
        CONNECTED,
        AuthenticationFailed,
        "Failed to authenticate the user u",
    ),
    (BadMICError(context_msg="x"), CONNECTED, AuthenticationFailed, ""),
    (InvalidTokenError(context_msg="x"), CONNECTED, AuthenticationFailed, ""),
    (InvalidTokenError(context_msg="x"), OPEN, ProtocolFailure, ""),
    (ImportError("requests-credssp"), NOTHING, AuthenticationFailed, "requests-credssp"),
    (WinRMTransportError("http", 401, ""), CONNECTED, AuthenticationFailed, "401"),
    (WinRMTransportError("http", 500, ""), CONNECTED, Refused, "HTTP 500"),
    (WinRMTransportError("http", 404, "<html>\n not here"), CONNECTED, Refused, "HTTP 404 <html> not here"),
    (fault(2150859173, "too many shells"), CONNECTED, Refused, "WSMan fault 2150859173: too many shells"),
    (fault(5, "Access is denied."), CONNECTED, Refused, "Access is denied."),
    (fault(2150858843), OPEN, ConnectionLost, "2150858843"),
    (fault(2150858843), CONNECTED, Refused, "2150858843"),
    (fault(2150858793), CONNECTED, StepTimeout, "2150858793"),
    (InvalidPSRPOperation("Received a broken RunspacePoolState message: x"), CONNECTED, Refused, "broken"),
    (
        requests.exceptions.SSLError(ProtocolError("tls", OSError("certificate verify failed"))),
        NOTHING,
        ConnectFailed,
        "certificate verify failed",
    ),
    (requests.TooManyRedirects("Exceeded 0 redirects."), CONNECTED, Refused, "redirect"),
    (no_socket(ConnectionRefusedError(111, "Connection refused")), NOTHING, ConnectFailed, "Connection refused"),
    (requests.ConnectTimeout("timed out"), NOTHING, ConnectFailed, "timed out"),
    (wrapped(ConnectionResetError(104, "Connection reset by peer")), CONNECTED, ConnectionLost, "Connection reset by peer"),
    (wrapped(RemoteDisconnected("Remote end closed connection without response")), OPEN, ConnectionLost, "closed connection"),
    (requests.exceptions.ChunkedEncodingError(ProtocolError("broken", IncompleteRead(b"", 9))), OPEN, ConnectionLost, ""),
    (wrapped(BadStatusLine("SSH-2.0-OpenSSH")), CONNECTED, ProtocolFailure, "SSH-2.0-OpenSSH"),
    (requests.ReadTimeout("Read timed out."), OPEN, StepTimeout, "Read timed out."),
    (BrokenPipeError(32, "Broken pipe"), OPEN, ConnectionLost, "Broken pipe"),
    (OSError(113, "No route to host"), NOTHING, ConnectFailed, "No route to host"),
    (WinRMError("Received related id does not match"), OPEN, ProtocolFailure, "related id"),
    (FragmentError("Fragment Id: 3"), OPEN, ProtocolFailure, "Fragment"),
    (SerializationError("Mandatory return value"), OPEN, ProtocolFailure, "Mandatory"),
    (InvalidRunspacePoolStateError(RunspacePoolState.CLOSED, RunspacePoolState.OPENED, "x"), OPEN, ProtocolFailure, ""),
    (ET.ParseError("no element found"), CONNECTED, ProtocolFailure, "ParseError: no element found"),
    (KeyError("Name"), OPEN, ProtocolFailure, "KeyError"),
    (AttributeError("'NoneType' object has no attribute 'group'"), CONNECTED, ProtocolFailure, "AttributeError"),
    (StructError("unpack requires a buffer of 8 bytes"), OPEN, ProtocolFailure, "unpack"),
    (RecursionError("maximum recursion depth exceeded"), OPEN, ProtocolFailure, "RecursionError"),
    (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"), OPEN, ProtocolFailure, "invalid start byte"),
]


@pytest.mark.parametrize(("error", "phase", "kind", "says"), TABLE, ids=[f"{type(row[0]).__name__}-{row[2].__name__}" for row in TABLE])
def test_each_foreign_error_becomes_the_right_one_of_ours(
    error: Exception, phase: tuple[bool, bool], kind: type[TransportError], says: str
) -> None:
    connected, authenticated = phase
    ours = mapped(error, "ws6 (ws6:5985)", connected=connected, authenticated=authenticated, scrub=str)
    assert type(ours) is kind
    assert says in str(ours)
    assert str(ours).startswith("ws6 (ws6:5985): ")
    assert "\n" not in str(ours)


class Phase:
    connected = True
    authenticated = True


@pytest.mark.parametrize("row", TABLE, ids=[type(row[0]).__name__ for row in TABLE])
def test_everything_in_the_table_is_caught(row: tuple[Exception, object, object, object]) -> None:
    with pytest.raises(TransportError) as caught, foreign_errors("ws6", Phase(), str):
        raise row[0]
    assert caught.value.__suppress_context__


def test_our_own_time_out_passes_with_the_place() -> None:
    with pytest.raises(StepTimeout, match=r"^ws6: no end within 3 s$"), foreign_errors("ws6", Phase(), str):
        raise StepTimeout("no end within 3 s")


def test_an_error_of_an_extra_that_cannot_be_imported_here_is_told_by_its_module() -> None:
    Krb5Error = type("Krb5Error", (Exception,), {"__module__": "krb5._exceptions"})
    with pytest.raises(AuthenticationFailed, match="Preauthentication failed"), foreign_errors("ws6", Phase(), str):
        raise Krb5Error("Preauthentication failed")


def test_what_is_foreign_to_the_libraries_too_is_not_hidden() -> None:
    class Surprise(Exception):
        pass

    with pytest.raises(Surprise), foreign_errors("ws6", Phase(), str):
        raise Surprise


def test_no_error_bears_the_password_whoever_repeats_it() -> None:
    credential = Credential(user="LAB\\purple", password=SECRET)
    assert SECRET not in repr(credential)
    assert SECRET not in str(credential)
    for make in (AuthenticationError, ValueError, OSError, WinRMError):
        ours = mapped(make(f"bad {SECRET}!"), f"at {SECRET}", connected=True, authenticated=True, scrub=credential.scrub)
        assert SECRET not in str(ours)
        assert SECRET not in repr(ours)


def test_a_long_answer_is_cut_after_it_was_scrubbed() -> None:
    """Cutting first could leave half of the password behind."""
    credential = Credential(user="u", password=SECRET)
    for lead in range(440, 505):
        ours = mapped(ValueError("x" * lead + SECRET), "p", connected=True, authenticated=True, scrub=credential.scrub)
        assert SECRET[:8] not in str(ours)
        assert len(str(ours)) <= 500
