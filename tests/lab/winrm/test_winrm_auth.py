"""Accounts, the exchange with pyspnego's client at the other end, and sealed bodies as pypsrp seals them."""

from __future__ import annotations

import os
import socket
import stat
import struct
from contextlib import suppress
from pathlib import Path

import pytest
import spnego
from hypothesis import given
from hypothesis import strategies as st
from pypsrp.encryption import WinRMEncryption
from spnego._ntlm_raw.messages import AvId, Challenge, NegotiateFlags

from lab.machine import Account, Package
from lab.winrm import Computer, EndpointAccount, Scheme
from lab.winrm.auth import Accounts, Garbled, Refused, SecurityContext

PURPLE = Account(domain="LAB", name="purple", sid="S-1-5-21-1")
OTHER = Account(domain="LAB", name="other", sid="S-1-5-21-2")


def accounts(*pairs: tuple[Account, str]) -> Accounts:
    return Accounts([EndpointAccount(account=account, password=password) for account, password in pairs])


def logged_on(users: Accounts, user: str, password: str, protocol: str) -> tuple[SecurityContext, spnego.ContextProxy]:
    client = spnego.client(user, password, protocol=protocol, options=spnego.NegotiateOptions.wrapping_winrm)
    server = SecurityContext(users)
    token = client.step()
    while token:
        answer = server.step(token)
        if answer is None:
            break
        token = client.step(answer)
    return server, client


@pytest.mark.parametrize("protocol", ["ntlm", "negotiate"])
@pytest.mark.parametrize("user", ["purple", "LAB\\purple", "purple@LAB", "lab\\PURPLE"])
def test_an_account_answers_to_all_its_spellings(user: str, protocol: str) -> None:
    users = accounts((PURPLE, "a:b wörd"))
    users.open()
    try:
        server, client = logged_on(users, user, "a:b wörd", protocol)
        assert server.account == PURPLE
        assert server.package is Package.NTLM
        assert client.complete
    finally:
        users.close()


def test_a_wrong_password_is_refused() -> None:
    users = accounts((PURPLE, "right"))
    users.open()
    try:
        with pytest.raises(Refused):
            logged_on(users, "purple", "wrong", "ntlm")
    finally:
        users.close()


def test_another_endpoints_account_is_refused_though_the_file_has_it() -> None:
    ours, theirs = accounts((PURPLE, "one")), accounts((OTHER, "two"))
    ours.open()
    theirs.open()
    try:
        assert logged_on(theirs, "other", "two", "ntlm")[0].account == OTHER
        with pytest.raises(Refused):
            logged_on(ours, "other", "two", "ntlm")
    finally:
        ours.close()
        theirs.close()


def test_the_file_is_private_and_goes_with_the_last_endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NTLM_USER_FILE", "/before")
    one, two = accounts((PURPLE, "one")), accounts((OTHER, "two"))
    one.open()
    two.open()
    path = Path(os.environ["NTLM_USER_FILE"])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert "one" not in path.read_text()
    assert path.read_text().count("other") == 3
    two.close()
    assert "other" not in path.read_text()
    one.close()
    one.close()
    assert not path.parent.exists()
    assert os.environ["NTLM_USER_FILE"] == "/before"


def test_two_passwords_for_one_principal_are_a_contradiction() -> None:
    one = accounts((PURPLE, "one"))
    one.open()
    try:
        accounts_again = accounts((PURPLE, "two"))
        with pytest.raises(ValueError, match="another password"):
            accounts_again.open()
        accounts_again.close()
        assert logged_on(one, "purple", "one", "ntlm")[0].account == PURPLE
    finally:
        one.close()


@pytest.mark.parametrize("name", ["a:b", "a\\b", "a@b", "a\nb", ""])
def test_a_name_that_the_file_cannot_hold_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="cannot be named"):
        accounts((Account(domain="LAB", name=name, sid="S"), "p"))


def test_an_account_does_not_show_its_password() -> None:
    assert "hunter2" not in repr(EndpointAccount(account=PURPLE, password="hunter2"))


@given(st.binary(max_size=200), st.booleans())
def test_any_token_is_answered_or_refused(token: bytes, as_ntlm: bool) -> None:
    context = SecurityContext(accounts((PURPLE, "p")))
    with suppress(Refused):
        context.step(b"NTLMSSP\0" + token if as_ntlm else token)
    assert context.account is None


@given(st.data())
def test_a_damaged_authenticate_message_is_refused(data: st.DataObject) -> None:
    users = accounts((PURPLE, "p"))
    users.open()
    try:
        client = spnego.client("LAB\\purple", "p", protocol="ntlm")
        server = SecurityContext(users)
        challenge = server.step(client.step() or b"")
        token = bytearray(client.step(challenge) or b"")
        # Signature, and length and offset of response, domain and user [MS-NLMP 2.2.1.3]: not the MaxLen, which nobody reads.
        at = data.draw(st.sampled_from([*range(8), *(field + byte for field in (20, 28, 36) for byte in (0, 1, 4, 5, 6, 7))]))
        token[at] ^= data.draw(st.integers(1, 255))
        with pytest.raises(Refused):
            server.step(bytes(token))
        assert server.account is None
    finally:
        users.close()


@pytest.mark.parametrize("message", [b"", b"x", b"--Encrypted Boundary--\r\n" * 3, bytes(range(256)) * 300])
def test_bodies_open_at_either_end(message: bytes) -> None:
    users = accounts((PURPLE, "p"))
    users.open()
    try:
        server, client = logged_on(users, "purple", "p", "negotiate")
        theirs = WinRMEncryption(client, WinRMEncryption.SPNEGO)
        for _ in range(2):
            _, body = theirs.wrap_message(message)
            assert server.unseal(body) == message
        if b"Boundary" not in message:  # pypsrp itself searches the binary for the boundary
            content_type, body = server.seal(message)
            assert server.is_encrypted(content_type)
            assert theirs.unwrap_message(body, "Encrypted Boundary") == message
    finally:
        users.close()


def test_an_empty_lm_response_opens_nothing() -> None:
    # What pyspnego's acceptor lets in by default: no NT response at all, and 24 zero bytes for the LM response.
    users = accounts((PURPLE, "p"))
    users.open()
    try:
        client = spnego.client("LAB\\purple", "not known", protocol="ntlm")
        server = SecurityContext(users)
        token = bytearray(client.step(server.step(client.step() or b"")) or b"")
        lm_length, lm_offset = struct.unpack_from("<HxxI", token, 12)
        assert token[lm_offset : lm_offset + lm_length] == bytes(24)
        struct.pack_into("<HHI", token, 20, 0, 0, len(token))
        with pytest.raises(Refused):
            server.step(bytes(token))
    finally:
        users.close()


@given(st.data())
def test_a_damaged_body_does_not_open(data: st.DataObject) -> None:
    users = accounts((PURPLE, "p"))
    users.open()
    try:
        server, client = logged_on(users, "purple", "p", "ntlm")
        _, body = WinRMEncryption(client, WinRMEncryption.SPNEGO).wrap_message(b"some message")
        binary = body.index(b"octet-stream\r\n") + len(b"octet-stream\r\n")
        at = data.draw(st.integers(binary, len(body) - 1))
        damaged = bytearray(body)
        damaged[at] ^= data.draw(st.integers(1, 255))
        cut = data.draw(st.booleans())
        with pytest.raises(Garbled):
            server.unseal(body[:at] if cut else bytes(damaged))
    finally:
        users.close()


@given(st.binary(max_size=120))
def test_any_bytes_that_are_no_encrypted_body_are_garbled(data: bytes) -> None:
    context = SecurityContext(accounts((PURPLE, "p")))
    for body in (data, b"Length=3\r\napplication/octet-stream\r\n" + data + b"--Encrypted Boundary--\r\n"):
        with pytest.raises(Garbled):
            context.unseal(body)


def test_the_challenge_names_the_emulated_computer_and_no_other() -> None:
    users = Accounts([EndpointAccount(account=PURPLE, password="p")], computer=Computer(name="WS7", domain="LAB", dns_domain="lab.example"))
    users.open()
    try:
        token = spnego.client("purple", "p", protocol="ntlm").step()
        assert token is not None
        answer = SecurityContext(users).step(token)
        assert answer is not None
        challenge = Challenge.unpack(answer)
        names = challenge.target_info
        assert names is not None
        assert challenge.target_name == "LAB"
        assert challenge.flags & NegotiateFlags.target_type_domain
        assert not challenge.flags & NegotiateFlags.target_type_server
        del names[AvId.timestamp], names[AvId.eol]
        assert list(names.items()) == [
            (AvId.nb_domain_name, "LAB"),
            (AvId.nb_computer_name, "WS7"),
            (AvId.dns_domain_name, "lab.example"),
            (AvId.dns_computer_name, "ws7.lab.example"),
            (AvId.dns_tree_name, "lab.example"),
        ]
    finally:
        users.close()


@pytest.mark.parametrize("scheme", [Scheme.NEGOTIATE, Scheme.CREDSSP])
def test_no_answer_tells_the_name_of_the_machine_below(scheme: Scheme, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "a-name-that-nobody-may-see")
    users = accounts((PURPLE, "p"))
    users.open()
    try:
        client = spnego.client("purple", "p", protocol="credssp" if scheme is Scheme.CREDSSP else "negotiate")
        server, said, token = SecurityContext(users, scheme), b"", client.step()
        while token and (answer := server.step(token)):
            said += answer
            token = client.step(answer)
        assert server.account == PURPLE
        assert b"a-name-that-nobody-may-see".upper() not in said.replace(b"\0", b"").upper()
    finally:
        users.close()


@pytest.mark.parametrize("user", ["lab.example\\purple", "LAB\\purple", "purple@lab.example"])
def test_a_domain_has_two_names(user: str) -> None:
    users = Accounts([EndpointAccount(account=PURPLE, password="p", realm="LAB.EXAMPLE")])
    users.open()
    try:
        assert logged_on(users, user, "p", "ntlm")[0].account == PURPLE
    finally:
        users.close()
