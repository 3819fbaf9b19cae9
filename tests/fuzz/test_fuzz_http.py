"""Hostile HTTP: damaged requests at a connection, over a pair of sockets without a network."""

from __future__ import annotations

import logging
import socket
import struct
import threading
from base64 import b64encode

import pytest
from hypothesis import given
from pypsrp.powershell import PowerShell, RunspacePool

from lab.machine import Peer, PipelineIO, PipelineRequest
from lab.winrm import Access, Scheme
from lab.winrm.auth import Accounts, EndpointAccount
from lab.winrm.config import Quotas, Settings
from lab.winrm.http import Connection, Security
from lab.winrm.service import Service, Tally
from tests.fuzz.fuzzing import FUZZ, SOAK, assert_nothing_stays, damaged, in_time, nothing_is_done, samples
from tests.lab.winrm.small_machine import PASSWORD, PURPLE, SmallMachine, endpoint, wsman

BASIC = b"Authorization: Basic " + b64encode(f"purple:{PASSWORD}".encode())
GET = b'<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope"><s:Header/><s:Body/></s:Envelope>'
BODY = b"Content-Length: %d\r\n\r\n%b" % (len(GET), GET)
SEALED = (
    b"--Encrypted Boundary\r\n\tContent-Type: application/HTTP-SPNEGO-session-encrypted\r\n\tOriginalContent: type=application/soap+xml;"
    b"charset=UTF-8;Length=4\r\n--Encrypted Boundary\r\n\tContent-Type: application/octet-stream\r\n" + struct.pack("<i", 16) + bytes(20)
) + b"--Encrypted Boundary--\r\n"
REQUESTS = (
    b"POST /wsman HTTP/1.1\r\nHost: x\r\n" + BODY,
    b"POST /wsman HTTP/1.1\r\nHost: x\r\n" + BASIC + b"\r\n" + BODY,
    b"POST /wsman HTTP/1.1\r\nHost: x\r\n" + BASIC + b"\r\nExpect: 100-continue\r\n" + BODY,
    b"POST /wsman HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n" + BASIC + b"\r\n\r\n4\r\nbody\r\n0\r\n\r\n",
    b"POST /wsman HTTP/1.1\r\nHost: x\r\nWSMANIDENTIFY: unauthenticated\r\n" + BODY,
    b"POST /wsman-anon/identify HTTP/1.1\r\nHost: x\r\n" + BODY,
    b"POST /wsman HTTP/1.1\r\nHost: x\r\nAuthorization: Negotiate TlRMTVNTUAABAAAAN4II4gAAAAAoAAAAAAAAACgAAAAKAGFKAAAADw==\r\n" + BODY,
    b'POST /wsman HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/encrypted;protocol="application/HTTP-SPNEGO-session-encrypted";'
    b'boundary="Encrypted Boundary"\r\n' + BASIC + b"\r\nContent-Length: %d\r\n\r\n%b" % (len(SEALED), SEALED),
    b"GET / HTTP/1.0\r\n\r\n",
)
WORDS = (
    b"\r\n",
    b"\n",
    b"\0",
    b" ",
    b":",
    b"Content-Length: 5\r\n",
    b"Content-Length: -1\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"0\r\n\r\n",
    b"ffffffff\r\n",
    b"HTTP/1.0",
    b"HTTP/9.9",
    b"Connection: close\r\n",
    b"Upgrade: h2c\r\n",
    b"Expect: 100-continue\r\n",
    BASIC,
    b"Basic ",
    b"Negotiate ",
    b"CredSSP ",
    b"Kerberos ",
    b"%00",
    b"../",
    b"\xff\xfe",
    b"A" * 300,
)


class Bare:
    """A connection's other end: what an endpoint gives each, and a pair of sockets instead of the network."""

    def __init__(self) -> None:
        self.access = Access(schemes=frozenset({Scheme.BASIC, Scheme.NEGOTIATE, Scheme.CREDSSP}), allow_unencrypted=True)
        self.accounts = Accounts([EndpointAccount(account=PURPLE, password=PASSWORD)])
        self.machine = SmallMachine()
        settings = Settings(
            schemes=frozenset(self.access.schemes), allow_unencrypted=True, channel_binding="None", idle_timeout=60, quotas=Quotas()
        )
        self.service = Service(name="x", settings=settings, tally=Tally())

    def answer(self, data: bytes) -> bytes:
        """All that is said to somebody who says this and no more."""
        ours, theirs = socket.socketpair()
        with theirs:
            theirs.sendall(data)
            theirs.shutdown(socket.SHUT_WR)
            security = Security(access=self.access, accounts=self.accounts)
            Connection(
                ours, Peer(ip="127.0.0.1", port=1), machine=self.machine, security=security, service=self.service, tally=Tally()
            ).serve()
            answer = b""
            while chunk := theirs.recv(65536):
                answer += chunk
        self.machine.calls.clear()
        return answer


@pytest.fixture(scope="module")
def bare() -> Bare:
    return Bare()


@given(damaged(REQUESTS, WORDS))
@FUZZ
def test_any_request_is_answered_or_dropped(bare: Bare, caplog: pytest.LogCaptureFixture, data: bytes) -> None:
    caplog.clear()
    with in_time(), nothing_is_done():
        answer = bare.answer(data)
    assert answer == b"" or answer.startswith(b"HTTP/1.1 ")
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_nothing_of_them_stays(bare: Bare) -> None:
    def soak(number: int) -> None:
        for data in samples(REQUESTS, WORDS, SOAK, seed=number):
            bare.answer(data)

    assert_nothing_stays(soak)


def hello(request: PipelineRequest, io: PipelineIO) -> None:
    io.output("hello")


def test_the_next_client_is_served_by_the_same_endpoint() -> None:
    with endpoint(SmallMachine({"hello": hello})) as served:
        threads = threading.active_count()
        for data in samples(REQUESTS, WORDS, 500):
            with in_time(), socket.create_connection(("127.0.0.1", served.port), timeout=20) as sock:
                sock.sendall(data)
                sock.shutdown(socket.SHUT_WR)
                while sock.recv(65536):
                    pass
        with wsman(served) as connection, RunspacePool(connection) as pool:
            shell = PowerShell(pool)
            shell.add_script("hello")
            assert shell.invoke() == ["hello"]
        assert threading.active_count() <= threads + 2  # its connection's and its pool's, which are about to end
