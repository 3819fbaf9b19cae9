"""Schemes, HTTPS, channel binding and encryption as unmodified pypsrp and pywinrm meet them, under the switches of an endpoint."""

from __future__ import annotations

import socket
import ssl
from base64 import b64decode, b64encode
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPSConnection
from pathlib import Path
from typing import Any

import pytest
import requests
import spnego
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pypsrp.exceptions import AuthenticationError, WinRMTransportError
from pypsrp.powershell import PowerShell, RunspacePool
from pypsrp.shell import Process, WinRS
from pypsrp.wsman import WSMan
from requests_credssp.exceptions import AuthenticationException, NTStatusException
from spnego.channel_bindings import GssChannelBindings
from winrm.exceptions import InvalidCredentialsError
from winrm.protocol import Protocol

from lab.machine import CommandIO, CommandLine, PipelineIO, PipelineRequest
from lab.winrm import Access, ChannelBinding, Endpoint, EndpointAccount, Identity, Scheme, fingerprint, make_identity
from lab.winrm.auth import Accounts, Garbled, Refused, SecurityContext
from tests.lab.winrm.small_machine import PASSWORD, PURPLE, SmallMachine, endpoint

ALL = frozenset(Scheme) - {Scheme.KERBEROS}
LONG = "x" * 200_000
"""More than a part of an encrypted body holds, either way."""


def echo(request: PipelineRequest, io: PipelineIO) -> None:
    io.output(request.commands[0].text)


def greet(line: CommandLine, io: CommandIO) -> int:
    io.stdout(line.text)
    return 0


def machine() -> SmallMachine:
    return SmallMachine({LONG: echo}, lines={"greet": greet})


@pytest.fixture(scope="module")
def identity() -> Identity:
    return make_identity("localhost", "127.0.0.1", "::1")


@pytest.fixture(scope="module")
def client_identity() -> Identity:
    return make_identity("purple")


@pytest.fixture(scope="module")
def files(identity: Identity, client_identity: Identity, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What clients read from files: whom they trust, and who they are."""
    place = tmp_path_factory.mktemp("pki")
    texts = {
        "trusted": identity.certificate,
        "certificate": client_identity.certificate,
        "key": client_identity.key,
        "stranger": (stranger := make_identity("stranger")).certificate,
        "stranger_key": stranger.key,
    }
    for name, text in texts.items():
        Path(place / name).write_text(text)
    return {name: str(place / name) for name in texts}


@contextmanager
def secured(identity: Identity, client: Identity | None = None, **access: Any) -> Iterator[Endpoint]:
    accounts = [
        EndpointAccount(account=PURPLE, password=PASSWORD, certificates=frozenset({fingerprint(client.der)}) if client else frozenset())
    ]
    authorities = client.certificate if client else ""
    with endpoint(machine(), accounts=accounts, identity=identity, client_authorities=authorities, access=Access(**access)) as served:
        yield served


@contextmanager
def far(served: Endpoint, *, ssl: bool, **more: Any) -> Iterator[WSMan]:
    given = {"username": "LAB\\purple", "password": PASSWORD} | more
    with WSMan("127.0.0.1", port=served.secure_port if ssl else served.port, ssl=ssl, **given) as connection:
        yield connection


def both_shells(connection: WSMan) -> None:
    with RunspacePool(connection) as pool:
        assert PowerShell(pool).add_script(LONG).invoke() == [LONG]
    with WinRS(connection) as shell:
        process = Process(shell, "greet")
        process.invoke()
        assert (process.stdout, process.rc) == (b"greet", 0)


# --- who is let in ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("auth", ["basic", "ntlm", "negotiate", "credssp"])
def test_every_scheme_over_https(identity: Identity, files: dict[str, str], auth: str) -> None:
    with secured(identity, schemes=ALL - {Scheme.CERTIFICATE}) as served:
        with far(served, ssl=True, auth=auth, cert_validation=files["trusted"]) as connection:
            both_shells(connection)
        assert served.counts().logons == 1


@pytest.mark.parametrize("auth", ["ntlm", "negotiate", "credssp"])
def test_every_encrypting_scheme_over_http(identity: Identity, auth: str) -> None:
    with secured(identity, schemes=ALL - {Scheme.CERTIFICATE}) as served, far(served, ssl=False, auth=auth) as connection:
        both_shells(connection)


@pytest.mark.parametrize("auth", ["basic", "ntlm", "credssp", "ssl"])
@pytest.mark.parametrize("secure", [False, True])
def test_pywinrm_by_every_scheme(identity: Identity, files: dict[str, str], auth: Any, secure: bool) -> None:
    with secured(identity, schemes=ALL - {Scheme.CERTIFICATE}, allow_unencrypted=True) as served:
        place = f"https://localhost:{served.secure_port}/wsman" if secure else f"http://127.0.0.1:{served.port}/wsman"
        known = Protocol(place, auth, "LAB\\purple", PASSWORD, ca_trust_path=files["trusted"])
        shell = known.open_shell()
        command = known.run_command(shell, "greet", ["x" * 20_000])
        assert known.get_command_output(shell, command) == (b"greet " + b"x" * 20_000, b"", 0)
        known.close_shell(shell)
        unknown = Protocol(place, auth, "LAB\\purple", "wrong", ca_trust_path=files["trusted"])
        with pytest.raises((NTStatusException, AuthenticationException) if auth == "credssp" else InvalidCredentialsError):
            unknown.open_shell()
        assert served.counts().shells_opened == 1


@pytest.mark.parametrize("auth", ["basic", "ntlm", "negotiate"])
def test_a_wrong_password_is_refused(identity: Identity, files: dict[str, str], auth: str) -> None:
    with secured(identity, schemes=ALL - {Scheme.CERTIFICATE}) as served:
        for user, password in (("LAB\\purple", "wrong"), ("LAB\\nobody", PASSWORD), ("purple", "")):
            with (
                far(served, ssl=True, auth=auth, username=user, password=password, cert_validation=files["trusted"]) as connection,
                pytest.raises(AuthenticationError),
            ):
                WinRS(connection).open()
        assert served.counts().logons == 0


def test_a_certificate_stands_for_its_account(identity: Identity, client_identity: Identity, files: dict[str, str]) -> None:
    with secured(identity, client_identity, schemes={Scheme.CERTIFICATE}) as served:
        shown = {"certificate_pem": files["certificate"], "certificate_key_pem": files["key"]}
        with far(
            served, ssl=True, auth="certificate", cert_validation=files["trusted"], username=None, password=None, **shown
        ) as connection:
            both_shells(connection)
        place = f"https://localhost:{served.secure_port}/wsman"
        known = Protocol(place, "certificate", cert_pem=files["certificate"], cert_key_pem=files["key"], ca_trust_path=files["trusted"])
        known.close_shell(known.open_shell())
        assert served.counts().refused_logons == 0


def test_a_certificate_of_nobody_is_refused(identity: Identity, client_identity: Identity, files: dict[str, str]) -> None:
    accounts = [EndpointAccount(account=PURPLE, password=PASSWORD)]
    access = Access(schemes=frozenset({Scheme.CERTIFICATE}))
    place: dict[str, Any] = {"ssl": True, "auth": "certificate", "cert_validation": files["trusted"], "username": None, "password": None}
    with endpoint(machine(), accounts=accounts, identity=identity, client_authorities=client_identity.certificate, access=access) as served:
        shown: dict[str, Any] = {"certificate_pem": files["certificate"], "certificate_key_pem": files["key"]}
        with far(served, **place, **shown) as connection, pytest.raises(AuthenticationError):
            WinRS(connection).open()
        shown = {"certificate_pem": files["stranger"], "certificate_key_pem": files["stranger_key"]}
        with far(served, **place, **shown) as connection, pytest.raises(requests.ConnectionError):  # signed by nobody known
            WinRS(connection).open()
        assert served.counts().logons == 0


def test_certificates_without_https_are_a_contradiction(identity: Identity) -> None:
    accounts = [EndpointAccount(account=PURPLE, password=PASSWORD)]
    with pytest.raises(ValueError, match="HTTPS"):
        Endpoint(machine=machine(), accounts=accounts, access=Access(schemes=frozenset({Scheme.CERTIFICATE})))


# --- switches -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("auth", "scheme"), [("basic", Scheme.BASIC), ("negotiate", Scheme.NEGOTIATE)])
def test_a_scheme_that_is_off_is_not_offered_and_not_taken(identity: Identity, files: dict[str, str], auth: str, scheme: Scheme) -> None:
    schemes = ALL - {scheme, Scheme.CERTIFICATE}
    with secured(identity, schemes=schemes) as served:
        with far(served, ssl=True, auth=auth, cert_validation=files["trusted"]) as connection, pytest.raises(AuthenticationError):
            WinRS(connection).open()
        offered = requests.post(f"http://127.0.0.1:{served.port}/wsman", timeout=20).headers["WWW-Authenticate"]
        assert (scheme.value in offered, len(offered.split(","))) == (False, len(schemes))


def test_plain_text_is_taken_where_it_is_allowed_and_over_https_only_elsewhere(identity: Identity, files: dict[str, str]) -> None:
    for allowed in (True, False):
        with secured(identity, schemes={Scheme.BASIC, Scheme.NEGOTIATE}, allow_unencrypted=allowed) as served:
            for auth in ("basic", "ntlm"):
                with far(served, ssl=True, auth=auth, cert_validation=files["trusted"], encryption="never") as connection:
                    both_shells(connection)
                with far(served, ssl=False, auth=auth, encryption="never") as connection:
                    if allowed:
                        both_shells(connection)
                        continue
                    with pytest.raises(WinRMTransportError) as raised:
                        WinRS(connection).open()
                    assert (raised.value.code, raised.value.response_text) == (500, "")


def test_encryption_within_https_is_taken_too(identity: Identity, files: dict[str, str]) -> None:
    settings = {"cert_validation": files["trusted"], "encryption": "always"}
    with secured(identity) as served, far(served, ssl=True, auth="negotiate", **settings) as connection:
        both_shells(connection)


@pytest.mark.parametrize("secure", [False, True])
def test_a_password_is_one_logon_a_connection(identity: Identity, files: dict[str, str], secure: bool) -> None:
    with secured(identity, schemes={Scheme.BASIC}, allow_unencrypted=True) as served:
        with far(served, ssl=secure, auth="basic", encryption="never", cert_validation=files["trusted"]) as connection:
            both_shells(connection)
        counts = served.counts()
        assert (counts.connections, counts.logons) == (1, 1)


# --- the channel ----------------------------------------------------------------------------------------------------------------


def negotiate_over_tls(served: Endpoint, binding: bytes | None) -> int:
    """An exchange that names this channel; the last status."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    connection = HTTPSConnection("127.0.0.1", served.secure_port, timeout=20, context=context)
    bindings = GssChannelBindings(application_data=binding) if binding is not None else None
    client = spnego.client("LAB\\purple", PASSWORD, protocol="ntlm", channel_bindings=bindings)
    token, status = client.step(), 0
    while token:
        connection.request("POST", "/wsman", headers={"Authorization": "Negotiate " + b64encode(token).decode()})
        response = connection.getresponse()
        response.read()
        status = response.status
        offer = (response.headers.get("WWW-Authenticate") or "").removeprefix("Negotiate").strip()
        token = client.step(b64decode(offer)) if offer and not client.complete else None
    connection.close()
    return status


@pytest.mark.parametrize(
    ("level", "right", "none", "wrong"),
    [
        (ChannelBinding.STRICT, 200, 401, 401),
        (ChannelBinding.RELAXED, 200, 200, 401),
        (ChannelBinding.NONE, 200, 200, 200),
    ],
)
def test_an_exchange_is_bound_to_its_channel(identity: Identity, level: ChannelBinding, right: int, none: int, wrong: int) -> None:
    with secured(identity, channel_binding=level) as served:
        assert negotiate_over_tls(served, identity.channel_binding) == right
        assert negotiate_over_tls(served, None) == none
        assert negotiate_over_tls(served, make_identity("another").channel_binding) == wrong


def test_nobody_who_does_not_trust_the_certificate_talks_to_it(identity: Identity) -> None:
    with (
        secured(identity) as served,
        far(served, ssl=True, auth="ntlm", cert_validation=True) as connection,
        pytest.raises(requests.exceptions.SSLError),
    ):
        WinRS(connection).open()


def test_the_key_stays_out_of_sight(identity: Identity) -> None:
    assert "PRIVATE" in identity.key
    assert "PRIVATE" not in repr(identity)


@pytest.mark.parametrize("data", [b"", b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x00\x05aaaaa", bytes(500)])
def test_what_is_no_tls_is_let_go(identity: Identity, files: dict[str, str], caplog: pytest.LogCaptureFixture, data: bytes) -> None:
    with secured(identity) as served:
        with socket.create_connection(("127.0.0.1", served.secure_port), timeout=20) as sock:
            sock.sendall(data)
            sock.shutdown(socket.SHUT_WR)
            with suppress(ConnectionError):
                while sock.recv(65536):
                    pass
        with far(served, ssl=True, auth="ntlm", cert_validation=files["trusted"]) as connection:
            both_shells(connection)
    assert not [record for record in caplog.records if record.name.startswith("lab.")]


# --- hostile ----------------------------------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_any_credssp_token_is_answered_or_refused(token: bytes) -> None:
    context = SecurityContext(Accounts([EndpointAccount(account=PURPLE, password="p")]), Scheme.CREDSSP)
    with suppress(Refused):
        context.step(token)
    assert context.account is None


@given(st.binary(max_size=200), st.booleans())
def test_any_bytes_that_are_no_body_of_credssp_are_garbled(data: bytes, framed: bool) -> None:
    context = SecurityContext(Accounts([EndpointAccount(account=PURPLE, password="p")]), Scheme.CREDSSP)
    body = b"Length=3\r\napplication/octet-stream\r\n" + data + b"--Encrypted Boundary--\r\n" if framed else data
    with pytest.raises(Garbled):
        context.unseal(body)


@given(st.binary(max_size=60))
def test_any_bytes_are_no_password_of_anybody(offered: bytes) -> None:
    with pytest.raises(Refused):
        Accounts([EndpointAccount(account=PURPLE, password=PASSWORD)]).by_password(offered)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.sampled_from(["Basic", "CredSSP", "Negotiate", "Kerberos", "http://schemas.dmtf.org/wbem/wsman/1/wsman/secprofile/https/mutual"]),
    st.binary(max_size=80),
)
def test_any_authorization_is_refused(open_to_all: Endpoint, scheme: str, token: bytes) -> None:
    header = {"Authorization": f"{scheme} {b64encode(token).decode()}".strip()}
    assert requests.post(f"http://127.0.0.1:{open_to_all.port}/wsman", headers=header, timeout=20).status_code == 401


@pytest.fixture(scope="module")
def open_to_all(identity: Identity, client_identity: Identity) -> Iterator[Endpoint]:
    with secured(identity, client_identity, schemes=ALL) as served:
        yield served
