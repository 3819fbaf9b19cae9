"""The script of the realm: what it starts, what it says where it cannot, and that no secret is anywhere but in its owner's files."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from servers import kdc, machine
from servers.machine import Place, ServerError
from tests.needs import needs_kerberos

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the servers' scripts are for Linux")


@needs_kerberos
def test_a_realm_gives_tickets_and_its_secrets_are_its_owners(realm: Place) -> None:
    found = subprocess.run(["kinit", "purple"], input=realm.secrets["purple"], text=True, capture_output=True, check=False)
    assert found.returncode == 0, found.stderr
    password = Path(realm.files["purple.password"])
    assert password.read_text() == realm.secrets["purple"]
    for path in (password, Path(realm.files["keytab"])):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(password.parent.stat().st_mode) == 0o700
    listed = subprocess.run(["klist", "-k", realm.files["keytab"]], capture_output=True, text=True, check=True).stdout
    assert all(f"{service}/{host}@{kdc.REALM}" in listed for service in kdc.SERVICES for host in kdc.HOSTS)


@needs_kerberos
def test_a_realm_that_runs_is_found_and_one_that_was_ended_is_gone(capsys: pytest.CaptureFixture[str]) -> None:
    name = f"ended-{os.getpid()}"
    assert kdc.main(["status", "--name", name]) == 1
    assert kdc.main(["start", "--name", name, "--user", "other", "--host", "localhost"]) == 0
    place = kdc.find(name)
    assert place is not None
    assert kdc.start(name) == place
    assert kdc.main(["status", "--name", name]) == 0
    said = capsys.readouterr()
    assert f"KRB5_CONFIG={place.files['config']}" in said.out
    assert place.secrets["other"] not in said.out + said.err
    assert kdc.main(["stop", "--name", name]) == 0
    assert kdc.find(name) is None
    assert not Path(place.files["config"]).exists()
    assert not machine.alive(place)
    assert not kdc.stop(name)


def test_what_is_missing_is_named_with_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(kdc, "_SBIN", ())
    monkeypatch.setattr(machine, "directory", lambda: tmp_path)
    assert kdc.absent() == "krb5kdc is not installed: apt-get install krb5-kdc"
    with pytest.raises(ServerError, match="apt-get install krb5-kdc"):
        kdc.start("never")
