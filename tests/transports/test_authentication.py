"""Both kinds of session under every authentication against a real endpoint, and what everything that goes wrong comes out as."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from socketserver import StreamRequestHandler, ThreadingTCPServer
from threading import Event, Thread
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import pytest
from cryptography.hazmat.primitives import serialization

from harness.clock import SystemClock
from harness.errors import AuthenticationFailed, ConnectFailed, ConnectionLost, Refused, TransportError, Untrusted
from harness.model.facts import Execution
from harness.model.intent import Action, Auth, Channel, Connect, Encryption, InvokeCommand, Remoting, Target, WinRS
from harness.ports import Session
from harness.transports.credential import Credential
from harness.transports.psrp.identity import EXPRESSION
from harness.transports.winrm import WinrmTransport
from lab.machine import Account, CommandIO, CommandLine, Logon, Package, Peer, PipelineIO, PipelineRequest
from lab.machine import Credential as Delegated
from lab.winrm import Access, Authority, Endpoint, EndpointAccount, Identity, Scheme, fingerprint, make_authority
from lab.winrm.config import Quotas
from servers.kdc import REALM
from servers.machine import Place
from tests.lab.winrm.small_machine import PASSWORD, PURPLE, SmallMachine, endpoint
from tests.needs import needs_kerberos

USER = "LAB\\purple"
KEY_PASSWORD = "Schlüssel-Wort"
ACTIONS = [pytest.param(InvokeCommand(script="greet"), id="psrp"), pytest.param(WinRS(command="greet"), id="winrs")]
EMPTY = [pytest.param(Connect(), id="psrp"), pytest.param(Connect(transport=Remoting.WINRS), id="winrs")]
EVERY = frozenset(Scheme) - {Scheme.KERBEROS, Scheme.CERTIFICATE}


class Greeter(SmallMachine):
    """Greets in both kinds of shell, and remembers who came how."""

    def __init__(self) -> None:
        super().__init__({"greet": _greet, EXPRESSION: _identify}, lines={"greet": _greet_in_text})
        self.packages: list[Package] = []
        self.ports: list[int] = []

    def connected(self, peer: Peer) -> None:
        self.ports.append(peer.port)
        super().connected(peer)

    def log_on(self, peer: Peer, account: Account, package: Package, delegated: Delegated | None = None) -> Logon:
        self.packages.append(package)
        return super().log_on(peer, account, package, delegated)


def _greet(request: PipelineRequest, io: PipelineIO) -> None:
    io.output("good day")


def _identify(request: PipelineRequest, io: PipelineIO) -> None:
    io.output(f"4712|{UUID(int=1)}|{UUID(int=2)}|2026-11-21T10:11:12.1234567Z|")


def _greet_in_text(line: CommandLine, io: CommandIO) -> int:
    io.stdout("good day\r\n")
    return 0


class Pki:
    """An authority with what it signed, in files as clients read them."""

    def __init__(self, directory: Path) -> None:
        self.authority: Authority = make_authority("tests")
        self.server: Identity = self.authority.issue("localhost", "127.0.0.1", "::1")
        self.client: Identity = self.authority.issue("purple@lab.example")
        self.unmapped: Identity = self.authority.issue("other@lab.example")
        self.ca_file = self._write(directory / "ca.pem", self.authority.certificate)
        self.other_ca = self._write(directory / "other.pem", make_authority("others").certificate)
        self.certificate = self._write(directory / "client.pem", self.client.certificate)
        self.key = self._write(directory / "client.key", self.client.key)
        locked = serialization.load_pem_private_key(self.client.key.encode(), None).private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(KEY_PASSWORD.encode())
        )
        self.locked_key = self._write(directory / "locked.key", locked.decode())
        self.unmapped_certificate = self._write(directory / "unmapped.pem", self.unmapped.certificate)
        self.unmapped_key = self._write(directory / "unmapped.key", self.unmapped.key)

    @staticmethod
    def _write(path: Path, text: str) -> str:
        path.write_text(text)
        return str(path)


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki(tmp_path_factory.mktemp("pki"))


@contextmanager
def serving(pki: Pki, machine: SmallMachine, *schemes: Scheme, allow_unencrypted: bool = False, **more: Any) -> Iterator[Endpoint]:
    account = EndpointAccount(account=PURPLE, password=PASSWORD, realm=REALM, certificates=frozenset({fingerprint(pki.client.der)}))
    access = Access(schemes=frozenset(schemes) or EVERY, allow_unencrypted=allow_unencrypted)
    authorities = pki.authority.certificate
    with endpoint(machine, accounts=[account], identity=pki.server, client_authorities=authorities, access=access, **more) as served:
        yield served


def opened(
    served: Endpoint,
    action: Action,
    auth: Auth,
    channel: Channel,
    *,
    tls: bool = True,
    user: str = USER,
    password: str = PASSWORD,
    key_password: str = "",
    host: str = "localhost",
    address: str = "127.0.0.1",
    port: int = 0,
) -> Session:
    target = Target(name="ws6", host=host, port=port or (served.secure_port if tls else served.port), tls=tls, auth=auth, user=user)
    transport = WinrmTransport(
        credentials={"ws6": Credential(user=user, password=password, key_password=key_password)},
        channels={"ws6": channel},
        addresses={"ws6": address},
        clock=SystemClock(),
    )
    return transport.open(target, action)


def ran(*given: Any, **more: Any) -> tuple[Execution, Session]:
    session = opened(*given, **more)
    try:
        execution = session.run(20, Event())
        session.identify()
    finally:
        session.close()
    return execution, session


def refused(kind: type[TransportError], *given: Any, **more: Any) -> str:
    with pytest.raises(kind) as caught:
        opened(*given, **more)
    assert PASSWORD not in str(caught.value)
    assert not more.get("password") or more["password"] not in str(caught.value)
    assert str(caught.value).startswith("ws6 (")
    return str(caught.value)


# --- what works -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("auth", [Auth.BASIC, Auth.NTLM, Auth.NEGOTIATE, Auth.CREDSSP])
def test_over_https_the_target_is_verified_and_everybody_let_in(pki: Pki, auth: Auth, action: Action) -> None:
    machine = Greeter()
    with serving(pki, machine) as served:
        execution, session = ran(served, action, auth, Channel(ca_file=pki.ca_file))
        assert execution.output == ("good day",)
        assert [socket.port for socket in session.identity.sockets] == machine.ports
        assert served.counts().shells_open == 0


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("auth", [Auth.NTLM, Auth.NEGOTIATE, Auth.CREDSSP])
@pytest.mark.parametrize("encryption", [Encryption.AUTO, Encryption.ALWAYS])
def test_over_http_messages_are_encrypted(pki: Pki, auth: Auth, encryption: Encryption, action: Action) -> None:
    with serving(pki, Greeter()) as served:
        assert ran(served, action, auth, Channel(encryption=encryption), tls=False)[0].output == ("good day",)


@pytest.mark.parametrize("action", ACTIONS)
def test_messages_are_encrypted_over_https_too_where_it_is_asked(pki: Pki, action: Action) -> None:
    with serving(pki, Greeter()) as served:
        channel = Channel(ca_file=pki.ca_file, encryption=Encryption.ALWAYS)
        assert ran(served, action, Auth.NTLM, channel)[0].output == ("good day",)


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("auth", [Auth.BASIC, Auth.NTLM])
def test_in_the_clear_where_both_sides_say_so(pki: Pki, auth: Auth, action: Action) -> None:
    with serving(pki, Greeter(), allow_unencrypted=True) as served:
        assert ran(served, action, auth, Channel(encryption=Encryption.NEVER), tls=False)[0].output == ("good day",)


@pytest.mark.parametrize("action", ACTIONS)
def test_a_certificate_stands_for_its_account(pki: Pki, action: Action) -> None:
    with serving(pki, Greeter(), Scheme.CERTIFICATE) as served:
        channel = Channel(ca_file=pki.ca_file, certificate=pki.certificate, certificate_key=pki.key)
        assert ran(served, action, Auth.CERTIFICATE, channel, password="")[0].output == ("good day",)


@pytest.mark.parametrize("action", ACTIONS)
def test_a_key_that_is_locked_opens_with_its_password(pki: Pki, action: Action) -> None:
    with serving(pki, Greeter(), Scheme.CERTIFICATE) as served:
        channel = Channel(ca_file=pki.ca_file, certificate=pki.certificate, certificate_key=pki.locked_key)
        assert ran(served, action, Auth.CERTIFICATE, channel, password="", key_password=KEY_PASSWORD)[0].output == ("good day",)


@pytest.mark.parametrize("action", ACTIONS)
def test_an_unverified_target_is_taken_only_where_that_is_said(pki: Pki, action: Action) -> None:
    with serving(pki, Greeter()) as served:
        assert ran(served, action, Auth.NTLM, Channel(verify=False))[0].output == ("good day",)
        assert "certificate verify failed" in refused(Untrusted, served, action, Auth.NTLM, Channel())
        assert "certificate verify failed" in refused(Untrusted, served, action, Auth.NTLM, Channel(ca_file=pki.other_ca))
        wrong_name = refused(Untrusted, served, action, Auth.NTLM, Channel(ca_file=pki.ca_file), host="ws6.lab.example")
        assert "ws6.lab.example" in wrong_name
        assert served.counts().logons == 1


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("tls", [True, False], ids=["https", "http"])
@pytest.mark.parametrize("auth", [Auth.NTLM, Auth.CREDSSP])
def test_a_target_by_its_address_of_version_6(pki: Pki, action: Action, tls: bool, auth: Auth) -> None:
    machine = Greeter()
    with serving(pki, machine, address="::1") as served:
        _, session = ran(served, action, auth, Channel(ca_file=pki.ca_file if tls else ""), tls=tls, host="::1", address="::1")
        assert [(socket.ip, socket.port) for socket in session.identity.sockets] == [("::1", port) for port in machine.ports]
        port = served.port
    assert f"[::1]:{port}" in refused(ConnectFailed, served, action, auth, Channel(), tls=False, host="::1", address="::1", port=port)


@needs_kerberos
@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("tls", [True, False], ids=["https", "http"])
@pytest.mark.parametrize("schemes", [(Scheme.NEGOTIATE,), (Scheme.KERBEROS,)], ids=["negotiate", "kerberos"])
def test_kerberos_by_password(pki: Pki, realm: Place, action: Action, tls: bool, schemes: tuple[Scheme, ...]) -> None:
    machine = Greeter()
    with serving(pki, machine, *schemes, keytab=Path(realm.files["keytab"])) as served:
        for user in (f"purple@{REALM}", "purple", USER, f"{REALM}\\purple"):
            channel = Channel(ca_file=pki.ca_file if tls else "")
            execution, _ = ran(served, action, Auth.KERBEROS, channel, tls=tls, user=user, password=realm.secrets["purple"])
            assert execution.output == ("good day",)
        assert machine.packages == [Package.KERBEROS] * 4


@needs_kerberos
@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("auth", [Auth.NEGOTIATE, Auth.CREDSSP])
def test_what_may_become_kerberos_does(pki: Pki, realm: Place, action: Action, auth: Auth) -> None:
    machine = Greeter()
    with serving(pki, machine, keytab=Path(realm.files["keytab"])) as served:
        ran(served, action, auth, Channel(), tls=False, user=f"purple@{REALM}", password=realm.secrets["purple"])
        assert machine.packages == [Package.KERBEROS]


@needs_kerberos
@pytest.mark.parametrize("action", ACTIONS)
def test_the_service_principal_can_be_named(pki: Pki, realm: Place, action: Action) -> None:
    """Of a target that is known by its address alone."""
    given: Mapping[str, Any] = {"tls": False, "user": f"purple@{REALM}", "password": realm.secrets["purple"], "host": "127.0.0.1"}
    with serving(pki, Greeter(), Scheme.NEGOTIATE, keytab=Path(realm.files["keytab"])) as served:
        for spn in ("HTTP/localhost", "WSMAN/localhost"):
            assert ran(served, action, Auth.KERBEROS, Channel(spn=spn, delegate=True), **given)[0].output == ("good day",)
        assert "127.0.0.1" in refused(AuthenticationFailed, served, action, Auth.KERBEROS, Channel(), **given)


# --- what does not ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("action", EMPTY)
@pytest.mark.parametrize("auth", [Auth.BASIC, Auth.NTLM, Auth.NEGOTIATE, Auth.CREDSSP])
def test_a_wrong_password_is_told_as_one(pki: Pki, auth: Auth, action: Action) -> None:
    machine = Greeter()
    with serving(pki, machine) as served:
        refused(AuthenticationFailed, served, action, auth, Channel(ca_file=pki.ca_file), password="not-it-at-all")
        assert served.counts().logons == 0
        package = Package.BASIC if auth is Auth.BASIC else Package.NTLM
        assert {call for call in machine.calls if call.startswith("log_on_refused")} == {f"log_on_refused {USER} {package} known"}


@needs_kerberos
@pytest.mark.parametrize("action", EMPTY)
def test_what_kerberos_refuses_says_why(pki: Pki, realm: Place, action: Action, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(pki, Greeter(), Scheme.NEGOTIATE, keytab=Path(realm.files["keytab"])) as served:
        given: Mapping[str, Any] = {"tls": False, "user": f"purple@{REALM}"}
        refused(AuthenticationFailed, served, action, Auth.KERBEROS, Channel(), password="not-it-at-all", **given)
        nobody: Mapping[str, Any] = {"tls": False, "user": f"nobody@{REALM}", "password": "x-y-z"}
        assert "not found" in refused(AuthenticationFailed, served, action, Auth.KERBEROS, Channel(), **nobody)
        no_ticket = refused(AuthenticationFailed, served, action, Auth.KERBEROS, Channel(), tls=False, user="", password="")
        assert "kinit" in no_ticket
        monkeypatch.setenv("KRB5_CONFIG", "/nowhere/krb5.conf")
        assert "krb5.conf" in refused(AuthenticationFailed, served, action, Auth.KERBEROS, Channel(), password="x-y-z", **given)
        assert served.counts().logons == 0


@pytest.mark.parametrize("action", EMPTY)
def test_a_certificate_that_is_nobodys_is_told_as_such(pki: Pki, action: Action) -> None:
    with serving(pki, Greeter(), Scheme.CERTIFICATE) as served:
        channel = Channel(ca_file=pki.ca_file, certificate=pki.unmapped_certificate, certificate_key=pki.unmapped_key)
        refused(AuthenticationFailed, served, action, Auth.CERTIFICATE, channel, password="")


@pytest.mark.parametrize("action", EMPTY)
def test_files_that_are_not_there_are_told_by_name(pki: Pki, action: Action) -> None:
    with serving(pki, Greeter(), Scheme.CERTIFICATE, Scheme.NEGOTIATE) as served:
        assert "/nowhere/ca.pem" in refused(TransportError, served, action, Auth.NTLM, Channel(ca_file="/nowhere/ca.pem"))
        channel = Channel(ca_file=pki.ca_file, certificate="/nowhere/c.pem", certificate_key=pki.key)
        assert "/nowhere/c.pem" in refused(TransportError, served, action, Auth.CERTIFICATE, channel, password="")
        assert served.counts().logons == 0


@pytest.mark.parametrize("action", EMPTY)
@pytest.mark.parametrize("auth", [Auth.BASIC, Auth.NTLM])
def test_messages_in_the_clear_are_refused_as_windows_does(pki: Pki, auth: Auth, action: Action) -> None:
    with serving(pki, Greeter()) as served:
        said = refused(Refused, served, action, auth, Channel(encryption=Encryption.NEVER), tls=False)
        assert "not encrypted" in said
        assert served.counts().shells_opened == 0


@pytest.mark.parametrize("action", EMPTY)
@pytest.mark.parametrize(
    ("auth", "scheme"),
    [
        (Auth.BASIC, Scheme.NEGOTIATE),
        (Auth.NTLM, Scheme.BASIC),
        (Auth.NEGOTIATE, Scheme.CREDSSP),
        (Auth.CREDSSP, Scheme.BASIC),
    ],
)
def test_a_scheme_that_is_off_is_no_wrong_password_but_no_session_either(pki: Pki, auth: Auth, scheme: Scheme, action: Action) -> None:
    with serving(pki, Greeter(), scheme) as served:
        refused(AuthenticationFailed, served, action, auth, Channel(ca_file=pki.ca_file))


@pytest.mark.parametrize("action", EMPTY)
@pytest.mark.parametrize(
    ("auth", "channel", "tls"),
    [
        (Auth.BASIC, Channel(), False),
        (Auth.BASIC, Channel(encryption=Encryption.ALWAYS), True),
        (Auth.CERTIFICATE, Channel(certificate="c", certificate_key="k"), False),
        (Auth.CERTIFICATE, Channel(), True),
    ],
    ids=["basic in the clear", "basic encrypted", "certificate without tls", "no certificate"],
)
def test_what_cannot_be_safe_is_refused_before_a_packet(pki: Pki, action: Action, auth: Auth, channel: Channel, tls: bool) -> None:
    with serving(pki, Greeter()) as served:
        refused(AuthenticationFailed, served, action, auth, channel, tls=tls)
        assert served.counts().connections == 0


@pytest.mark.parametrize("action", EMPTY)
def test_a_closed_port_is_no_connection(pki: Pki, action: Action) -> None:
    with serving(pki, Greeter()) as served:
        port = served.port
    assert "refused" in refused(ConnectFailed, served, action, Auth.NTLM, Channel(), tls=False, port=port)


@pytest.mark.parametrize("action", EMPTY)
def test_a_quota_is_told_with_its_code(pki: Pki, action: Action) -> None:
    with serving(pki, Greeter(), quotas=Quotas(max_shells=1)) as served:
        first = opened(served, action, Auth.NTLM, Channel(), tls=False)
        assert "2150859173" in refused(Refused, served, action, Auth.NTLM, Channel(), tls=False)
        first.close()
        opened(served, action, Auth.NTLM, Channel(), tls=False).close()


@pytest.mark.parametrize("action", ACTIONS)
def test_a_shell_that_is_gone_is_a_lost_connection(pki: Pki, action: Action) -> None:
    with serving(pki, Greeter(), idle_timeout=0.2) as served:
        session = opened(served, action, Auth.NTLM, Channel(), tls=False)
        give_up = time.monotonic() + 10
        while served.counts().shells_open:
            assert time.monotonic() < give_up
            Event().wait(0.02)
        with pytest.raises(ConnectionLost, match="the session is gone"):
            session.run(10, Event())
        session.close()


# --- by way of a proxy ------------------------------------------------------------------------------------------------------


class _Forwarder(StreamRequestHandler):
    """An HTTP proxy: CONNECT for HTTPS, and plain requests, which all go where the first one goes."""

    def handle(self) -> None:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            line = self.rfile.readline()
            if not line:
                return
            head += line
        method, target, _ = head.split(b" ", 2)
        self.server.asked.append(f"{method.decode()} {target.decode()}")  # type: ignore[attr-defined]
        parts = urlsplit(target.decode() if method != b"CONNECT" else f"//{target.decode()}")
        assert parts.port is not None
        with socket.create_connection(("127.0.0.1", parts.port)) as upstream:
            if method == b"CONNECT":
                self.connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            else:
                upstream.sendall(head)
            answers = Thread(target=_pump, args=(upstream, self.connection))
            answers.start()
            while chunk := self.rfile.read1(65536):
                upstream.sendall(chunk)
            upstream.shutdown(socket.SHUT_WR)
            answers.join()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while chunk := source.recv(65536):
            sink.sendall(chunk)


@contextmanager
def forwarding() -> Iterator[ThreadingTCPServer]:
    with ThreadingTCPServer(("127.0.0.1", 0), _Forwarder) as proxy:
        proxy.asked = []  # type: ignore[attr-defined]
        proxy.daemon_threads = True
        running = Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.05})
        running.start()
        try:
            yield proxy
        finally:
            proxy.shutdown()
            running.join()


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("tls", [True, False], ids=["https", "http"])
def test_a_proxy_that_is_named_is_used_and_none_of_our_sockets_is_the_targets(pki: Pki, action: Action, tls: bool) -> None:
    with serving(pki, Greeter()) as served, forwarding() as proxy:
        channel = Channel(ca_file=pki.ca_file if tls else "", proxy=f"http://127.0.0.1:{proxy.server_address[1]}")
        execution, session = ran(served, action, Auth.NTLM, channel, tls=tls)
        assert execution.output == ("good day",)
        assert session.identity.sockets == ()
        asked = proxy.asked[0]  # type: ignore[attr-defined]
        assert asked.startswith(f"CONNECT localhost:{served.secure_port}" if tls else f"POST http://localhost:{served.port}/wsman")
