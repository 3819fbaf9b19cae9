"""What is not a well-behaved client: garbage, floods, half-closed and killed connections. Nothing of it may hurt the next client."""

from __future__ import annotations

import logging
import socket
import struct
import subprocess
import sys
from base64 import b64decode, b64encode
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection

import pytest
import requests
import spnego
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pypsrp.exceptions import WinRMTransportError, WSManFaultError
from pypsrp.powershell import PowerShell, RunspacePool
from pypsrp.shell import WinRS
from pypsrp.wsman import SelectorSet

from lab.machine import PipelineIO, PipelineRequest
from lab.winrm import Endpoint
from tests.lab.winrm.small_machine import PASSWORD, SmallMachine, endpoint, wsman

POST = b"POST /wsman HTTP/1.1\r\nHost: x\r\n"


def hello(request: PipelineRequest, io: PipelineIO) -> None:
    io.output("hello")


def wait_long(request: PipelineRequest, io: PipelineIO) -> None:
    io.output("waiting")
    io.wait(3600)


@pytest.fixture(scope="module")
def machine() -> SmallMachine:
    return SmallMachine({"hello": hello, "wait": wait_long})


@pytest.fixture(scope="module")
def served(machine: SmallMachine) -> Iterator[Endpoint]:
    with endpoint(machine) as started:
        yield started


@pytest.fixture(autouse=True)
def _nobody_was_hurt(served: Endpoint, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    caplog.set_level(logging.WARNING, "lab")
    yield
    assert [record.getMessage() for record in caplog.records if record.name.startswith("lab.")] == []
    with wsman(served) as connection, RunspacePool(connection) as pool:
        shell = PowerShell(pool)
        shell.add_script("hello")
        assert shell.invoke() == ["hello"]


def converse(served: Endpoint, data: bytes) -> bytes:
    """Send everything, say that there is no more, and read to the end."""
    with socket.create_connection(("127.0.0.1", served.port), timeout=20) as sock:
        answer = b""
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
        while chunk := sock.recv(65536):
            answer += chunk
        return answer


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"garbage\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200), 400),  # a TLS client
        (b"GET /wsman HTTP/1.1\r\nHost: x\r\n\r\n", 405),
        (b"POST /elsewhere HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", 404),
        (POST + b"Content-Length: 0\r\n\r\n", 401),
        (POST + b"Content-Length: 4\r\n\r\nbody", 401),
        (POST + b"Content-Length: -4\r\n\r\n", 400),
        (POST + b"Content-Length: 99999999999999999999\r\n\r\n", 413),
        (POST + b"Content-Length: 600000\r\n\r\n" + bytes(600_000), 413),
        (POST + b"Transfer-Encoding: chunked\r\n\r\n" + (b"10000\r\n" + bytes(65536) + b"\r\n") * 10 + b"0\r\n\r\n", 413),
        (POST + b"X: " + b"y" * 100_000 + b"\r\n\r\n", 431),
        (POST + b"Authorization: Negotiate !!!\r\nContent-Length: 0\r\n\r\n", 401),
        (POST + b"Authorization: Negotiate\r\nContent-Length: 0\r\n\r\n", 401),
        (POST + b"Authorization: Negotiate AAAA\r\nContent-Length: 0\r\n\r\n", 401),
        (POST + b"Authorization: Negotiate TlRMTVNTUAADAAAA\r\nContent-Length: 0\r\n\r\n", 401),
        (POST + b"Authorization: Basic cHVycGxlOng=\r\nContent-Length: 0\r\n\r\n", 401),
    ],
)
def test_a_wrong_request_gets_its_status(served: Endpoint, data: bytes, expected: int) -> None:
    answer = converse(served, data)
    assert status(answer) == expected
    if expected == 401:
        assert b"WWW-Authenticate: Negotiate\r\n" in answer


def test_a_client_that_asks_first_is_told_to_go_on(served: Endpoint) -> None:
    with socket.create_connection(("127.0.0.1", served.port), timeout=20) as sock:
        sock.sendall(POST + b"Expect: 100-continue\r\nContent-Length: 4\r\n\r\n")
        assert sock.recv(65536).startswith(b"HTTP/1.1 100")
        sock.sendall(b"body")
        assert status(sock.recv(65536)) == 401


@pytest.mark.parametrize("data", [b"", b"POST /ws", POST, POST + b"Content-Length: 10\r\n\r\nhalf"])
def test_half_a_request_gets_no_answer(served: Endpoint, data: bytes) -> None:
    assert b"200" not in converse(served, data)[:20]


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_end_in_an_answer_or_a_close(served: Endpoint, data: bytes) -> None:
    answer = converse(served, data)
    assert answer == b"" or 400 <= status(answer) < 500


def log_on(connection: HTTPConnection, password: str) -> int:
    """The whole exchange on a connection that stays open; the last status."""
    client = spnego.client("LAB\\purple", password, protocol="ntlm")
    token = client.step()
    while token:
        connection.request("POST", "/wsman", headers={"Authorization": "Negotiate " + b64encode(token).decode()})
        response = connection.getresponse()
        response.read()
        offer = response.headers.get("WWW-Authenticate", "").removeprefix("Negotiate").strip()
        token = client.step(b64decode(offer)) if offer else None
    return response.status


def test_a_new_exchange_on_a_connection_is_a_new_logon() -> None:
    machine = SmallMachine()
    with endpoint(machine) as own, closing(HTTPConnection("127.0.0.1", own.port, timeout=20)) as connection:
        assert log_on(connection, PASSWORD) == 200
        assert log_on(connection, PASSWORD) == 200
        assert log_on(connection, "wrong") == 401
        assert log_on(connection, PASSWORD) == 200
        assert (own.counts().connections, own.counts().logons, own.counts().refused_logons) == (1, 3, 1)
    once = ["log_on LAB\\purple NTLM", "log_off"]
    assert machine.calls == ["connected 127.0.0.1", *once, *once, "log_on_refused LAB\\purple NTLM known", *once]


def test_what_is_sealed_with_another_key_is_thrown_out(served: Endpoint) -> None:
    with wsman(served) as connection, wsman(served) as other:
        pool, others = RunspacePool(connection), RunspacePool(other)
        pool.open()
        others.open()
        connection.transport.encryption = other.transport.encryption
        with pytest.raises(WinRMTransportError) as raised:
            connection.transport.send(b"<x/>")
        assert raised.value.code == 400


@pytest.mark.parametrize("envelope", [b"<", b"<!DOCTYPE x [<!ENTITY a 'aaaa'>]><x>&a;</x>", b"\xff\xfe<\0", b"<a>" * 5000, b"<x/>", b"\0"])
def test_a_sealed_body_that_is_no_request_gets_a_fault(served: Endpoint, envelope: bytes) -> None:
    with wsman(served) as connection, RunspacePool(connection):
        with pytest.raises(WinRMTransportError) as raised:
            connection.transport.send(envelope)
        assert connection._parse_wsman_fault(raised.value.response_text).code in (2150858819, 2150858765)


CLIENT = """
import sys
from pypsrp.powershell import PowerShell, RunspacePool
from pypsrp.wsman import WSMan
password = sys.stdin.readline().strip()
pool = RunspacePool(WSMan("127.0.0.1", port=int(sys.argv[1]), ssl=False, auth="ntlm", username="purple", password=password))
pool.open()
shell = PowerShell(pool)
shell.add_script("wait")
shell.begin_invoke()
shell.poll_invoke()
print(pool.shell.id, flush=True)
shell.poll_invoke()
"""


def test_a_client_killed_while_it_waits_leaves_its_shell_to_others() -> None:
    machine = SmallMachine({"wait": wait_long})
    with endpoint(machine) as own:
        command = [sys.executable, "-c", CLIENT, str(own.port)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as client:
            assert client.stdin is not None
            assert client.stdout is not None
            client.stdin.write(PASSWORD + "\n")
            client.stdin.flush()
            shell_id = client.stdout.readline().strip()
            assert "log_off" not in machine.calls
            client.kill()
        machine.await_call("log_off")  # noticed while the poll had long to go
        with wsman(own) as connection:
            shell = WinRS(connection, resource_uri="http://schemas.microsoft.com/powershell/Microsoft.PowerShell", id=shell_id)
            shell._selector_set = SelectorSet()
            shell._selector_set.add_option("ShellId", shell_id)
            shell.opened = True
            assert "stopped wait" not in machine.calls
            shell.close()
            assert machine.calls[-2:] == ["stopped wait", "close"]


def test_a_flood_of_silent_connections_does_not_keep_anybody_out(served: Endpoint) -> None:
    silent = [socket.create_connection(("127.0.0.1", served.port), timeout=20) for _ in range(100)]
    try:
        with wsman(served) as connection, RunspacePool(connection) as pool:
            shell = PowerShell(pool)
            shell.add_script("hello")
            assert shell.invoke() == ["hello"]
    finally:
        for number, sock in enumerate(silent):
            if number % 2:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # half of them end in a reset
            sock.close()


def test_a_fault_is_sealed_like_everything_else(served: Endpoint) -> None:
    with wsman(served) as connection, RunspacePool(connection) as pool:
        assert connection.transport.session is not None
        seen: list[requests.Response] = []
        connection.transport.session.hooks["response"].append(lambda response, **_: seen.append(response))
        with pytest.raises(WSManFaultError):
            pool.shell.receive("stdout", command_id="00000000-0000-0000-0000-000000000001", timeout=1)
        assert seen[-1].status_code == 500
        assert seen[-1].headers["Content-Type"].startswith("multipart/encrypted")
        assert b"Envelope" not in seen[-1].content
