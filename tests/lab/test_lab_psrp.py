"""Whole sessions of unmodified pypsrp on an emulated host: what people do with one beyond running a script."""

from __future__ import annotations

import random
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pypsrp.client import Client
from pypsrp.complex_objects import ObjectMeta, PSCredential, RunspacePoolState
from pypsrp.exceptions import WinRMError
from pypsrp.host import PSHost, PSHostUserInterface
from pypsrp.powershell import PowerShell, RunspacePool
from pypsrp.wsman import WSMan

from lab.host.machine import emulated_host
from lab.machine import Account
from lab.winrm import Endpoint, EndpointAccount

PURPLE = Account(domain="LAB", name="purple", sid="S-1-5-21-1-2-3-1105")
PASSWORD = "Pa55wörd"


@pytest.fixture(scope="module")
def served() -> Iterator[Endpoint]:
    machine = emulated_host(
        name="WS1",
        domain="lab.example",
        ip="10.77.0.11",
        seen_from="10.77.0.5",
        accounts=[PURPLE],
        sink=lambda document: None,
        now=lambda: datetime.now(UTC),
        seed=1,
    )
    endpoint = Endpoint(machine=machine, accounts=[EndpointAccount(account=PURPLE, password=PASSWORD)])
    endpoint.start()
    yield endpoint
    endpoint.stop()


def connection(served: Endpoint) -> WSMan:
    return WSMan("127.0.0.1", port=served.port, ssl=False, auth="ntlm", username="LAB\\purple", password=PASSWORD)


class Somebody(PSHostUserInterface):
    """Whoever sits at the client."""

    def ReadLine(self, runspace: Any, pipeline: Any) -> str:
        return "typed"

    def ReadLineAsSecureString(self, runspace: Any, pipeline: Any) -> Any:
        return runspace.serialize("s3cret", ObjectMeta("SS"))

    def Prompt(self, runspace: Any, pipeline: Any, caption: str, message: str, fields: list[Any]) -> dict[str, str]:
        return {field.extended_properties["name"]: f"<{field.extended_properties['name']}>" for field in fields}

    def PromptForChoice(self, runspace: Any, pipeline: Any, caption: str, message: str, choices: list[Any], default: int) -> int:
        assert [choice.extended_properties["label"] for choice in choices] == ["&Yes", "&No"]
        return default

    def PromptForCredential1(self, runspace: Any, pipeline: Any, caption: str, message: str, user: str, target: str) -> PSCredential:
        return PSCredential(username=user or "LAB\\bob", password="pa55")  # type: ignore[no-untyped-call]


@pytest.fixture(scope="module")
def pool(served: Endpoint) -> Iterator[RunspacePool]:
    host = PSHost(None, None, False, "ConsoleHost", None, Somebody(), "5.1")
    with connection(served) as wsman, RunspacePool(wsman, host=host, max_runspaces=2) as opened:
        opened.exchange_keys()
        yield opened


def output(pool: RunspacePool, script: str, *arguments: object) -> list[Any]:
    shell = PowerShell(pool)
    shell.add_script(script)
    for argument in arguments:
        shell.add_argument(argument)
    said: list[Any] = shell.invoke()
    assert [str(error) for error in shell.streams.error] == []
    return said


_OPENED = "[Runtime.InteropServices.Marshal]::PtrToStringAuto([Runtime.InteropServices.Marshal]::SecureStringToBSTR($s))"


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("Read-Host", ["typed"]),
        ("Read-Host 'Your name'", ["<Your name>"]),
        (f"$s = Read-Host -AsSecureString; $s.Length; {_OPENED}", [6, "s3cret"]),
        ("$Host.UI.PromptForChoice('c', 'm', [System.Management.Automation.Host.ChoiceDescription[]]('&Yes', '&No'), 1)", [1]),
        ("$Host.UI.Prompt('c', 'm', @('a', 'b'))['b']", ["<b>"]),
        ("$c = Get-Credential -Message m; $c.UserName; $c.GetNetworkCredential().Password", ["LAB\\bob", "pa55"]),
        ("(Get-Credential alice).UserName", ["alice"]),
        ("$Host.UI.ReadLine()", ["typed"]),
        ("ConvertTo-SecureString hunter2 -AsPlainText -Force", ["hunter2"]),
        ("$PSSenderInfo.UserInfo.Identity.Name", ["LAB\\purple"]),
    ],
)
def test_scripts_ask_whoever_sits_at_the_client(pool: RunspacePool, script: str, said: list[object]) -> None:
    assert output(pool, script) == said


def test_a_secret_is_an_argument(pool: RunspacePool) -> None:
    secret = pool.serialize("hunter2", ObjectMeta("SS"))
    assert output(pool, f"param($s) $s.GetType().Name; {_OPENED}", secret) == ["SecureString", "hunter2"]


def test_without_anybody_there_a_question_is_an_error(served: Endpoint) -> None:
    with connection(served) as wsman, RunspacePool(wsman) as alone:
        shell = PowerShell(alone)
        shell.add_script("Read-Host")
        shell.invoke()
        assert [error.fq_error for error in shell.streams.error] == ["HostFunctionNotImplemented"]


def test_a_reset_forgets_what_was_set(pool: RunspacePool) -> None:
    output(pool, "$x = 5")
    pool.reset_runspace_state()
    assert output(pool, "$null -eq $x") == [True]


def test_a_session_is_left_and_another_client_takes_it_over(served: Endpoint) -> None:
    with connection(served) as wsman, connection(served) as other:
        mine = RunspacePool(wsman)
        mine.open()
        output(mine, "$x = 5")
        shell = PowerShell(mine)
        shell.add_script("'begun'; Start-Sleep -Milliseconds 200; $x")
        shell.begin_invoke()
        mine.disconnect()
        mine.state = RunspacePoolState.CLOSED  # for this client it is
        (theirs,) = [one for one in RunspacePool.get_runspace_pools(other) if one.id == mine.id]
        theirs.connect()
        (running,) = theirs.create_disconnected_power_shells()
        assert running.connect() == ["begun", 5]  # type: ignore[no-untyped-call]
        assert output(theirs, "$x + 1") == [6]
        theirs.close()


@pytest.mark.parametrize("size", [0, 1, 1_000_000, 20_000_000])
def test_a_file_goes_there_and_back(served: Endpoint, tmp_path: Path, size: int) -> None:
    there, back = tmp_path / "there", tmp_path / "back"
    there.write_bytes(random.Random(size).randbytes(size))
    with Client("127.0.0.1", port=served.port, ssl=False, auth="ntlm", username="purple", password=PASSWORD) as client:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert client.copy(str(there), "%TEMP%\\file.bin", expand_variables=True).endswith("\\file.bin")
        client.fetch("%TEMP%\\file.bin", str(back), expand_variables=True)
    assert back.read_bytes() == there.read_bytes()


def test_a_file_that_is_not_there_is_not_fetched(served: Endpoint, tmp_path: Path) -> None:
    with Client("127.0.0.1", port=served.port, ssl=False, auth="ntlm", username="purple", password=PASSWORD) as client:
        with pytest.raises(WinRMError, match="does not exist"):
            client.fetch("C:\\nope.bin", str(tmp_path / "x"))
        with pytest.raises(WinRMError, match="is a directory"):
            client.fetch("C:\\Windows", str(tmp_path / "x"))


@pytest.mark.parametrize("script", ["Remove-Item C:\\Windows -Recurse -Force", "Remove-Item C:\\Windows\\System32\\whoami.exe"])
def test_programs_of_windows_stay(pool: RunspacePool, script: str) -> None:
    shell = PowerShell(pool)
    shell.add_script(script)
    shell.invoke()
    assert "is denied." in str(shell.streams.error[0])
    assert output(pool, "whoami.exe") == ["lab\\purple"]
