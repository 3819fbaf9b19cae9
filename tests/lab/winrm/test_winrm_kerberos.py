"""Kerberos at an endpoint, against a real KDC: as unmodified pypsrp and pywinrm ask for it, and what is refused."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import spnego
from pypsrp.exceptions import AuthenticationError
from pypsrp.powershell import PowerShell, RunspacePool
from pypsrp.wsman import WSMan
from winrm.exceptions import InvalidCredentialsError
from winrm.protocol import Protocol

from lab.machine import Account, Logon, Package, Peer, PipelineIO, PipelineRequest
from lab.machine import Credential as Delegated
from lab.winrm import Access, ChannelBinding, Endpoint, EndpointAccount, Identity, Scheme, make_authority
from lab.winrm.auth import Accounts, Refused, SecurityContext, no_kerberos
from servers.kdc import REALM
from servers.machine import Place
from tests.lab.winrm.small_machine import PASSWORD, PURPLE, SmallMachine, endpoint
from tests.needs import needs_kerberos

pytestmark = needs_kerberos
PRINCIPAL = f"purple@{REALM}"
LONG = "x" * 200_000


class Noting(SmallMachine):
    """Remembers by which package each logon came."""

    def __init__(self) -> None:
        super().__init__({LONG: _echo})
        self.packages: list[Package] = []

    def log_on(self, peer: Peer, account: Account, package: Package, delegated: Delegated | None = None) -> Logon:
        self.packages.append(package)
        return super().log_on(peer, account, package, delegated)


def _echo(request: PipelineRequest, io: PipelineIO) -> None:
    io.output(request.commands[0].text)


@pytest.fixture(scope="module")
def identity(tmp_path_factory: pytest.TempPathFactory) -> tuple[Identity, str]:
    """The endpoint's certificate, and the file of who vouches for it."""
    authority = make_authority("tests")
    path = tmp_path_factory.mktemp("ca") / "ca.pem"
    path.write_text(authority.certificate)
    return authority.issue("localhost", "127.0.0.1"), str(path)


@contextmanager
def serving(realm: Place, *schemes: Scheme, **more: Any) -> Iterator[tuple[Endpoint, Noting]]:
    machine = Noting()
    account = EndpointAccount(account=PURPLE, password=PASSWORD, realm=REALM)
    keytab = Path(realm.files["keytab"])
    access = Access(schemes=frozenset(schemes), channel_binding=more.pop("channel_binding", ChannelBinding.RELAXED))
    with endpoint(machine, accounts=[account], keytab=keytab, access=access, **more) as served:
        yield served, machine


def call(served: Endpoint, **given: Any) -> None:
    tls = given.get("ssl", False)
    with (
        WSMan("localhost", port=served.secure_port if tls else served.port, **({"ssl": False} | given)) as connection,
        RunspacePool(connection) as pool,
    ):
        assert PowerShell(pool).add_script(LONG).invoke() == [LONG]


def kinit(realm: Place) -> None:
    subprocess.run(["kinit", "purple"], input=realm.secrets["purple"], text=True, check=True, capture_output=True)


@pytest.mark.parametrize("service", ["host", "HTTP", "WSMAN"])
@pytest.mark.parametrize(
    "schemes", [(Scheme.NEGOTIATE,), (Scheme.KERBEROS,), (Scheme.NEGOTIATE, Scheme.KERBEROS)], ids=["negotiate", "kerberos", "both"]
)
def test_a_password_becomes_a_ticket_for_any_service_name(realm: Place, schemes: tuple[Scheme, ...], service: str) -> None:
    with serving(realm, *schemes) as (served, machine):
        call(served, auth="kerberos", username=PRINCIPAL, password=realm.secrets["purple"], negotiate_service=service)
        assert machine.packages == [Package.KERBEROS]


def test_negotiate_becomes_kerberos_where_there_is_a_realm(realm: Place) -> None:
    """Also for a name without one: it is the default realm's."""
    with serving(realm, Scheme.NEGOTIATE) as (served, machine):
        for user in (PRINCIPAL, "purple"):
            call(served, auth="negotiate", username=user, password=realm.secrets["purple"])
        assert machine.packages == [Package.KERBEROS] * 2


def test_negotiate_stays_ntlm_for_the_endpoints_own_password(realm: Place) -> None:
    with serving(realm, Scheme.NEGOTIATE) as (served, machine):
        call(served, auth="ntlm", username="LAB\\purple", password=PASSWORD)
        call(served, auth="ntlm", username=PRINCIPAL, password=PASSWORD)
        assert machine.packages == [Package.NTLM] * 2


@pytest.mark.parametrize("auth", ["kerberos", "negotiate"])
def test_a_ticket_from_the_cache_needs_no_password(realm: Place, auth: str) -> None:
    kinit(realm)
    with serving(realm, Scheme.NEGOTIATE) as (served, machine):
        call(served, auth=auth)
        assert machine.packages == [Package.KERBEROS]


def test_credssp_goes_over_kerberos(realm: Place) -> None:
    with serving(realm, Scheme.CREDSSP) as (served, machine):
        call(served, auth="credssp", username=PRINCIPAL, password=realm.secrets["purple"], credssp_auth_mechanism="kerberos")
        assert machine.packages == [Package.KERBEROS]


@pytest.mark.parametrize("level", list(ChannelBinding))
@pytest.mark.parametrize("bound", [True, False], ids=["bound", "unbound"])
def test_over_https_a_ticket_is_bound_to_the_channel(
    realm: Place, identity: tuple[Identity, str], level: ChannelBinding, bound: bool
) -> None:
    given = {"auth": "kerberos", "username": PRINCIPAL, "password": realm.secrets["purple"], "ssl": True, "cert_validation": identity[1]}
    with serving(realm, Scheme.NEGOTIATE, identity=identity[0], channel_binding=level) as (served, machine):
        if level is ChannelBinding.STRICT and not bound:
            with pytest.raises(AuthenticationError):
                call(served, negotiate_send_cbt=False, **given)
        else:
            call(served, negotiate_send_cbt=bound, **given)
            assert machine.packages == [Package.KERBEROS]


def test_a_ticket_bound_to_another_channel_is_refused(realm: Place) -> None:
    users = Accounts([EndpointAccount(account=PURPLE, password=PASSWORD, realm=REALM)], Path(realm.files["keytab"]))
    users.open()
    try:
        client = spnego.client(
            PRINCIPAL,
            realm.secrets["purple"],
            hostname="localhost",
            service="HTTP",
            protocol="kerberos",
            channel_bindings=spnego.channel_bindings.GssChannelBindings(application_data=b"tls-server-end-point:other"),
        )
        token = client.step()
        assert token is not None
        with pytest.raises(Refused):
            SecurityContext(users, Scheme.KERBEROS, binding=b"tls-server-end-point:ours").step(token)
    finally:
        users.close()


def test_pywinrm_takes_its_ticket_from_the_cache(realm: Place) -> None:
    pytest.importorskip("kerberos", reason="pywinrm's own Kerberos needs pykerberos")
    kinit(realm)
    with serving(realm, Scheme.NEGOTIATE) as (served, machine):
        protocol = Protocol(f"http://localhost:{served.port}/wsman", "kerberos", PRINCIPAL, proxy=None, server_cert_validation="ignore")
        shell = protocol.open_shell()
        protocol.close_shell(shell)
        assert machine.packages == [Package.KERBEROS]


def test_a_ticket_of_somebody_else_is_refused(realm: Place) -> None:
    """The realm vouches for him; he is no account of this endpoint."""
    kinit(realm)
    other = EndpointAccount(account=Account(domain="LAB", name="other", sid="S-1-5-21-2"), password=PASSWORD, realm=REALM)
    with endpoint(Noting(), accounts=[other], keytab=Path(realm.files["keytab"])) as served:
        with pytest.raises(AuthenticationError):
            call(served, auth="kerberos")
        pytest.importorskip("kerberos", reason="pywinrm's own Kerberos needs pykerberos")
        with pytest.raises(InvalidCredentialsError):
            Protocol(
                f"http://localhost:{served.port}/wsman", "kerberos", PRINCIPAL, proxy=None, server_cert_validation="ignore"
            ).open_shell()
        assert served.counts().logons == 0


def test_an_endpoint_without_a_keytab_offers_no_kerberos(realm: Place) -> None:
    assert not no_kerberos()
    with pytest.raises(ValueError, match="keytab"):
        Endpoint(machine=SmallMachine(), accounts=[], access=Access(schemes=frozenset({Scheme.KERBEROS})))
    with endpoint(Noting()) as served, pytest.raises(AuthenticationError):
        call(served, auth="kerberos", username=PRINCIPAL, password=realm.secrets["purple"])


def test_two_keytabs_in_one_process_are_a_contradiction(realm: Place, tmp_path: Path) -> None:
    other = Accounts([], tmp_path / "other")
    with serving(realm, Scheme.NEGOTIATE), pytest.raises(ValueError, match="another keytab"):
        other.open()
