"""Hostile tokens: damaged messages of NTLM, SPNEGO and CredSSP at every point of an exchange, and damaged encrypted bodies after it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

import pytest
import spnego
from hypothesis import given
from hypothesis import strategies as st

from lab.winrm.auth import Accounts, EndpointAccount, Garbled, Refused, Scheme, SecurityContext
from tests.fuzz.fuzzing import FUZZ, SOAK, assert_nothing_stays, damaged, in_time, samples
from tests.lab.winrm.small_machine import PASSWORD, PURPLE

BOGUS = bytes.fromhex("4e544c4d535350000200000000000000380000003382898a" + "00" * 40)
WORDS = (
    b"NTLMSSP\0",
    b"\x60\x82",
    b"\x30\x82\xff\xff",
    b"\xa1\x03",
    b"\x06\x06\x2b\x06\x01\x05\x05\x02",
    b"\0",
    b"\xff" * 8,
    b"\x30\x80",
    b"\x04\x84\xff\xff\xff\xff",
    b"\x0a\x00\x10\x00",
    b"\x16\x03\x01\x02\x00",
    b"\x17\x03\x03",
    b"\x80\0\0\0",
)


def tokens(protocol: str) -> list[bytes]:
    """What a client says first, and what it says to a challenge."""
    client = spnego.client("LAB\\purple", PASSWORD, protocol=protocol, options=spnego.NegotiateOptions.use_negotiate)
    first = client.step()
    server = spnego.server(protocol="negotiate", options=spnego.NegotiateOptions.use_negotiate)
    challenge = server.step(first)
    second = client.step(challenge)
    assert first is not None
    assert second is not None
    return [first, second]


@pytest.fixture(scope="module")
def accounts() -> Iterator[Accounts]:
    held = Accounts([EndpointAccount(account=PURPLE, password=PASSWORD)])
    held.open()
    yield held
    held.close()


def _tokens() -> list[bytes]:
    held = Accounts([EndpointAccount(account=PURPLE, password=PASSWORD)])
    held.open()
    try:
        return [*tokens("ntlm"), *tokens("negotiate"), BOGUS]
    finally:
        held.close()


GOOD = _tokens()


@given(damaged(GOOD, WORDS), st.booleans(), st.sampled_from([Scheme.NEGOTIATE, Scheme.CREDSSP]))
@FUZZ
def test_any_token_is_taken_a_step_further_or_refused(accounts: Accounts, token: bytes, begun: bool, scheme: Scheme) -> None:
    context = SecurityContext(accounts, scheme)
    with in_time():
        if begun and scheme is Scheme.NEGOTIATE:
            context.step(GOOD[0])
        with suppress(Refused):
            context.step(token)
            assert context.account is None  # nobody knows the challenge's answer by damage


def test_nothing_of_them_stays(accounts: Accounts) -> None:
    def soak(number: int) -> None:
        for token in samples(GOOD, WORDS, SOAK // 3, seed=number):
            context = SecurityContext(accounts, Scheme.NEGOTIATE)
            with suppress(Refused):
                context.step(GOOD[0])
                context.step(token)

    assert_nothing_stays(soak)


class Pair:
    """Both ends of an exchange that succeeded."""

    def __init__(self, accounts: Accounts) -> None:
        self.server = SecurityContext(accounts, Scheme.NEGOTIATE)
        client = spnego.client("LAB\\purple", PASSWORD, protocol="ntlm")
        token = client.step()
        while token is not None and (answer := self.server.step(token)) is not None:
            token = client.step(answer)
        assert self.server.account == PURPLE


BODIES = (
    b"--Encrypted Boundary\r\n\tContent-Type: application/HTTP-SPNEGO-session-encrypted\r\n\tOriginalContent: type=application/soap+xml;"
    b"charset=UTF-8;Length=4\r\n--Encrypted Boundary\r\n\tContent-Type: application/octet-stream\r\n\x10\0\0\0"
    + bytes(20)
    + b"--Encrypted Boundary--\r\n",
)


@pytest.fixture(scope="module")
def pair(accounts: Accounts) -> Pair:
    return Pair(accounts)


@given(
    damaged(BODIES, (b"Length=", b"\r\n", b"--Encrypted Boundary--\r\n", b"application/octet-stream\r\n", b"\xff\xff\xff\xff", b"9" * 12))
)
@FUZZ
def test_any_body_is_garbled(pair: Pair, body: bytes) -> None:
    with in_time(), pytest.raises(Garbled):
        pair.server.unseal(body)
