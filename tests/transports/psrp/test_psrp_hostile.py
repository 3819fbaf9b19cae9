"""Whatever listens at a target's port: an answer that is none becomes one of our errors, soon, and nothing is left open."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from harness.errors import AuthenticationFailed, ConnectFailed, ConnectionLost, ProtocolFailure, Refused, StepTimeout, TransportError
from harness.model.intent import Channel, Connect, Remoting
from harness.transports.credential import Timeouts
from tests.transports.psrp.scripted_machine import PASSWORD, target, transport

Serve = Callable[[socket.socket], None]
HASTY = Timeouts(connect=2.0, open=0.5, stop=0.5, close=0.5)


@contextmanager
def listening(serve: Serve) -> Iterator[int]:
    """A server that does this with every connection, on a thread; the port."""
    listener = socket.create_server(("127.0.0.1", 0))
    opened: list[socket.socket] = []

    def accept() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                opened.append(connection)
                with suppress(OSError):
                    serve(connection)
                    connection.shutdown(socket.SHUT_RDWR)

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        for one in (listener, *opened):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        thread.join(10)


def answers(answer: bytes) -> Serve:
    """A server that hears a request out and then says its piece: one that hung up with the request half read would reset it."""

    def serve(connection: socket.socket) -> None:
        heard = b""
        while b"\r\n\r\n" not in heard and (chunk := connection.recv(65536)):
            heard += chunk
        head, _, body = heard.partition(b"\r\n\r\n")
        length = next((int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0)
        while len(body) < length and (chunk := connection.recv(65536)):
            body += chunk
        connection.sendall(answer)

    return serve


def http(status: str, body: bytes = b"", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def silence(connection: socket.socket) -> None:
    while connection.recv(65536):
        pass


def drip(connection: socket.socket) -> None:
    connection.recv(65536)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    pause = threading.Event()
    while not pause.wait(0.02):
        connection.sendall(b"x")


@pytest.mark.parametrize(
    ("serve", "kind"),
    [
        (answers(b"SSH-2.0-OpenSSH_9.6\r\n"), ProtocolFailure),
        (answers(b"\x00\xff\x16\x03\r\n\r\n"), ProtocolFailure),
        (answers(b"HTTP/1.1 " + b"9" * 100_000), ProtocolFailure),
        (answers(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 500), ProtocolFailure),
        (answers(b""), ConnectionLost),
        (answers(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"), ConnectionLost),
        (answers(http("200 OK")), ProtocolFailure),
        (answers(http("404 Not Found", b"<html>nothing here</html>")), Refused),
        (answers(http("503 Service Unavailable", b"", "Retry-After: 3600")), Refused),
        (answers(http("401 Unauthorized", b"", "WWW-Authenticate: Basic")), AuthenticationFailed),
        (answers(http("401 Unauthorized", b"", "WWW-Authenticate: Negotiate !not-base64!")), TransportError),
        (answers(http("302 Found", b"", "Location: http://127.0.0.1:9/")), Refused),
        (answers(http("307 Temporary Redirect", b"", "Location: /elsewhere")), Refused),
        (silence, StepTimeout),
        (drip, StepTimeout),
    ],
)
@pytest.mark.parametrize("action", [Connect(), Connect(transport=Remoting.WINRS)], ids=["psrp", "winrs"])
def test_what_is_no_winrm_endpoint_is_told_as_what_it_is(serve: Serve, kind: type[TransportError], action: Connect) -> None:
    timeouts = HASTY if kind is StepTimeout else None
    with listening(serve) as port, pytest.raises(kind) as caught:
        transport(timeouts=timeouts).open(target(port), action)
    assert PASSWORD not in str(caught.value)
    assert len(str(caught.value)) <= 500


def test_a_redirect_takes_nothing_elsewhere() -> None:
    """What is outside the scope must not be reached through what is inside."""
    visitors: list[socket.socket] = []
    with listening(visitors.append) as elsewhere:
        redirect = answers(http("307 Temporary Redirect", b"", f"Location: http://127.0.0.1:{elsewhere}/wsman"))
        with listening(redirect) as port, pytest.raises(Refused):
            transport().open(target(port), Connect())
    assert visitors == []


def test_a_proxy_of_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    visitors: list[socket.socket] = []
    with listening(visitors.append) as proxy, listening(answers(http("404 Not Found"))) as port:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy}")
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy}")
        with pytest.raises(Refused):
            transport().open(target(port, host="localhost"), Connect())
    assert visitors == []


# --- TLS ---------------------------------------------------------------------------------------------------------------------


def certificate(directory: Path) -> Path:
    """A self-signed certificate of localhost, with its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    path = directory / "localhost.pem"
    path.write_bytes(
        made.public_bytes(pem) + key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
    )
    return path


def over_tls(path: Path, serve: Serve) -> Serve:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)

    def wrapped(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as secure:
            serve(secure)

    return wrapped


def test_over_tls_the_same_answers_are_told_and_the_socket_is_known(tmp_path: Path) -> None:
    path = certificate(tmp_path)
    own = transport(channel=Channel(ca_file=str(path)))
    with listening(over_tls(path, answers(http("404 Not Found", b"nothing")))) as port, pytest.raises(Refused, match="HTTP 404") as caught:
        own.open(target(port, host="localhost", tls=True), Connect())
    assert len(caught.value.identity.sockets) == 1  # type: ignore[attr-defined]


def test_over_tls_silence_ends_in_time_too(tmp_path: Path) -> None:
    path = certificate(tmp_path)
    own = transport(timeouts=HASTY, channel=Channel(ca_file=str(path)))
    with listening(over_tls(path, silence)) as port, pytest.raises(StepTimeout):
        own.open(target(port, host="localhost", tls=True), Connect())


def test_a_certificate_that_nobody_vouches_for_is_no_connection(tmp_path: Path) -> None:
    path = certificate(tmp_path)
    with listening(over_tls(path, silence)) as port, pytest.raises(ConnectFailed, match="TLS"):
        transport().open(target(port, host="localhost", tls=True), Connect())
