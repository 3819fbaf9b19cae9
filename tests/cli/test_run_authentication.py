"""Authentication on the command line: each way into the lab and into targets of harness.toml, and what is refused before a packet."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.model.verdicts import Outcome
from servers.machine import Place
from tests.cli.commands import Ended, harness, write_scenario
from tests.needs import needs_kerberos

SCENARIO = """
    id: both
    title: Both kinds of session
    steps:
      - name: a program in a PowerShell session
        invoke_command: {script: whoami.exe}
        expect:
          - rule: 5cc2cda8-f261-4d88-a2de-e9e193c86716
          - rule: 13acf386-b8c6-4fe0-9a6e-c4756b974698
      - name: a program in a remote shell
        winrs: whoami.exe
        expect:
          - rule: 79df3f68-dccb-48e9-9171-b75cbc37c51d
          - rule: 13acf386-b8c6-4fe0-9a6e-c4756b974698
"""

HOP = """
    id: hop
    title: From one host to another
    via: lab-ws1
    steps:
      - name: a program by way of the jump host
        invoke_command: {script: whoami.exe}
        expect:
          - rule: c539afac-c12a-46ed-b1bd-5a5567c9f045
          - rule: 5cc2cda8-f261-4d88-a2de-e9e193c86716
          - rule: 2772264c-6fb9-4d9d-9014-b416eed21254
"""


def ran(directory: Path, settings: str, *arguments: str, env: dict[str, str] | None = None, scenario: str = SCENARIO) -> Ended:
    (directory / "harness.toml").write_text(settings)
    scenario = str(write_scenario(directory / "both.scenario.yml", scenario))
    return harness("run", *arguments, scenario, cwd=directory, env={"HARNESS_LAB_STATE_FILE": str(directory / "none.json"), **(env or {})})


@pytest.mark.parametrize(
    "settings",
    [
        "[lab]\ntls = true\n",
        "[lab]\nauth = 'basic'\nallow_unencrypted = true\n[lab.access.ws2]\nauth = 'credssp'\ntls = true\n",
        "[lab]\nauth = 'certificate'\ntls = true\nschemes = ['certificate']\n[lab.access.ws2]\nauth = 'credssp'\nschemes = ['credssp']\n",
    ],
    ids=["https", "basic and credssp", "certificate and credssp"],
)
def test_the_lab_is_entered_as_its_settings_say(tmp_path: Path, settings: str) -> None:
    ended = ran(tmp_path, settings, "--lab")
    assert ended.code == 0, ended.said
    assert {verdict.outcome for verdict in ended.full.verdicts} == {Outcome.DETECTED}
    assert {verdict.target for verdict in ended.full.verdicts} == {"lab-ws1", "lab-ws2"}


@needs_kerberos
@pytest.mark.parametrize("auth", ["kerberos", "credssp"])
def test_the_lab_takes_tickets_with_a_keytab(tmp_path: Path, realm: Place, auth: str) -> None:
    settings = f"""
        [lab]
        auth = "{auth}"
        schemes = ["{auth}"]
        tls = true
        keytab = "{realm.files["keytab"]}"
        account_password = "file:{realm.files["purple.password"]}"
    """
    ended = ran(tmp_path, settings, "--lab")
    assert ended.code == 0, ended.said
    assert realm.secrets["purple"] not in ended.said


@needs_kerberos
@pytest.mark.parametrize(("auth", "tls"), [("kerberos", "false"), ("credssp", "false"), ("credssp", "true")])
def test_from_host_to_host_by_ticket(tmp_path: Path, realm: Place, auth: str, tls: str) -> None:
    settings = f"""
        [lab]
        auth = "{auth}"
        schemes = ["{auth}", "negotiate"]
        tls = {tls}
        keytab = "{realm.files["keytab"]}"
        account_password = "file:{realm.files["purple.password"]}"
    """
    ended = ran(tmp_path, settings, "--lab", scenario=HOP)
    assert ended.code == 0, ended.said
    assert {(verdict.outcome, verdict.target) for verdict in ended.full.verdicts} == {(Outcome.DETECTED, "lab-ws2")}


TARGET = """
[scope]
hosts = ["127.0.0.1"]
expires = 2099-12-31
[siem]
kind = "embedded"
path = "siem.sqlite"
[[target]]
name = "w"
host = "127.0.0.1"
port = 9
tls = true
"""


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("auth = 'basic'\nuser = 'u'\npassword = 'env:P'\nca_file = 'gone.pem'\n", "gone.pem holds no certificates: No such file"),
        ("auth = 'basic'\nuser = 'u'\npassword = 'env:P'\nca_file = 'harness.toml'\n", "harness.toml holds no certificates"),
        ("auth = 'certificate'\ncertificate = 'harness.toml'\ncertificate_key = 'harness.toml'\n", "are no certificate with its key"),
    ],
    ids=["absent", "no certificates", "no key"],
)
def test_files_that_cannot_be_read_are_told_before_anything_is_sent(tmp_path: Path, more: str, said: str) -> None:
    (tmp_path / "siem.sqlite").touch()
    ended = ran(tmp_path, TARGET + more, "--target", "w", env={"P": "hunter2"})
    assert ended.code == 2, ended.said
    assert said in ended.said
    assert "hunter2" not in ended.said
