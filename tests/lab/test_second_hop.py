"""From one emulated host to another, over real connections: what works, what Windows refuses, what both hosts log, what ends it.

Two hosts and their endpoints as `lab.service` puts them together; the client of the first one is an unmodified pypsrp.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pypsrp.complex_objects import PSCredential
from pypsrp.powershell import PowerShell, RunspacePool
from pypsrp.shell import Process, WinRS
from pypsrp.wsman import WSMan

from harness.events.windows import WindowsEvent
from lab.host.machine import EmulatedMachine, emulated_host
from lab.host.remote_client import MAX_DEPTH
from lab.machine import Neighbour
from lab.network import Door, LabNetwork
from lab.remote import PypsrpClient
from lab.winrm.auth import Access, EndpointAccount, Scheme
from lab.winrm.endpoint import Endpoint
from tests.lab.host.test_machine import of
from tests.lab.winrm.small_machine import PURPLE

PASSWORD = "opensesame-4711"
ADDRESSES = {"WS1": "10.77.0.11", "WS2": "10.77.0.12"}


class Two:
    """Two hosts that know each other; `records` are what each has logged, by its name."""

    def __init__(self) -> None:
        self.network = LabNetwork(PypsrpClient)
        self.records: dict[str, list[WindowsEvent]] = {name: [] for name in ADDRESSES}
        self.machines: dict[str, EmulatedMachine] = {}
        self.endpoints: dict[str, Endpoint] = {}
        for seed, (name, ip) in enumerate(ADDRESSES.items()):
            machine = self.machines[name] = emulated_host(
                name=name,
                domain="lab.example",
                ip=ip,
                seen_from="10.77.0.5",
                accounts=[PURPLE],
                sink=self.records[name].append,
                now=lambda: datetime.now(UTC),
                seed=seed,
                network=self.network,
            )
            access = Access(schemes=frozenset({Scheme.NEGOTIATE, Scheme.CREDSSP}))
            accounts = [EndpointAccount(account=PURPLE, password=PASSWORD)]
            endpoint = self.endpoints[name] = Endpoint(machine=machine, accounts=accounts, access=access)
            endpoint.start()
            here = Neighbour(name=name, fqdn=machine.host.fqdn, ip=ip)
            self.network.join(here, Door(address="127.0.0.1", port=endpoint.port))

    def stop(self) -> None:
        for endpoint in self.endpoints.values():
            endpoint.stop()

    def wsman(self, auth: str = "negotiate") -> WSMan:
        port = self.endpoints["WS1"].port
        return WSMan("127.0.0.1", port=port, ssl=False, auth=auth, username="LAB\\purple", password=PASSWORD)

    def run(self, script: str, *, auth: str = "negotiate", credential: bool = True) -> tuple[list[str], list[Any]]:
        """A script on WS1, with $c a credential that was handed over as a secret; what it gave and its errors."""
        with RunspacePool(self.wsman(auth)) as pool:
            shell = PowerShell(pool)
            shell.add_script(f"param($c) {script}")
            if credential:
                pool.exchange_keys()
                shell.add_parameter("c", PSCredential(username="LAB\\purple", password=PASSWORD))  # type: ignore[no-untyped-call]
            return [str(one) for one in shell.invoke()], list(shell.streams.error)

    def ids(self, script: str, **more: Any) -> list[str]:
        """The ids of a script's errors."""
        return [one.fq_error for one in self.run(script, **more)[1]]


@pytest.fixture
def two() -> Iterator[Two]:
    made = Two()
    yield made
    made.stop()


def test_a_session_of_ntlm_has_nothing_to_be_somebody_elsewhere_with(two: Two) -> None:
    output, (error,) = two.run("Invoke-Command -ComputerName ws2 -ScriptBlock { hostname }; 'after'", credential=False)
    assert output == ["after"]
    assert error.fq_error == "AccessDenied,PSSessionStateBroken"
    assert str(error).startswith("[ws2] Connecting to remote server ws2 failed with the following error message : Access is denied.")
    assert two.endpoints["WS2"].counts().refused_logons == 1
    assert of(two.records["WS2"], 5156)  # it was asked, over a connection of its own
    assert not of(two.records["WS2"], 4624)


def test_a_credential_that_was_given_is_somebody(two: Two) -> None:
    output, errors = two.run("Invoke-Command -ComputerName WS2.lab.example -Credential $c -ScriptBlock { hostname; whoami }")
    assert (output, errors) == (["WS2", "lab\\purple"], [])


def test_credssp_lets_a_session_be_the_same_elsewhere(two: Two) -> None:
    output, errors = two.run("Invoke-Command ws2 { hostname }", auth="credssp", credential=False)
    assert (output, errors) == (["WS2"], [])
    assert not of(two.records["WS1"], 4648)  # nobody named an account


def test_one_that_may_delegate_does_so_once_more(two: Two) -> None:
    inner = "Invoke-Command ws1 { $env:COMPUTERNAME }"
    assert two.ids(f"Invoke-Command ws2 {{ {inner} }}", auth="credssp", credential=False) == ["AccessDenied,PSSessionStateBroken"]
    script = f"Invoke-Command ws2 -Authentication Credssp -Credential $c {{ {inner} }}"
    assert two.run(script) == (["WS1"], [])


def test_both_hosts_log_the_same_connection(two: Two) -> None:
    two.run("Invoke-Command ws2 -Credential $c { whoami.exe }")
    first, second = two.records["WS1"], two.records["WS2"]
    (host,) = of(first, 1, Image="wsmprovhost.exe")
    (opened,) = of(first, 3, Initiated="true")
    assert opened.data["ProcessGuid"] == host.data["ProcessGuid"]
    assert (opened.data["Image"], opened.data["User"]) == ("C:\\Windows\\System32\\wsmprovhost.exe", "LAB\\purple")
    assert (opened.data["SourceIp"], opened.data["DestinationIp"], opened.data["DestinationPort"]) == ("10.77.0.11", "10.77.0.12", "5985")
    (out,) = of(first, 5156, Direction="%%14593")
    (into,) = of(second, 5156)
    (accepted,) = of(second, 3)
    assert accepted.data["Initiated"] == "false"
    assert {one.data["SourcePort"] for one in (opened, out, into, accepted)} == {opened.data["SourcePort"]}
    assert {one.data["SourceAddress"] for one in (out, into)} == {"10.77.0.11"}
    assert out.data["ProcessID"] == str(int(host.data["ProcessId"]))
    (used,) = of(first, 4648)
    assert used.data["TargetUserName"] == "purple"
    assert (used.data["TargetServerName"], used.data["TargetInfo"]) == ("ws2", "HTTP/ws2")
    assert int(used.data["ProcessId"], 0) == int(host.data["ProcessId"])
    assert [one.data["LogonType"] for one in of(second, 4624)] == ["3"]
    (child,) = of(second, 1, Image="whoami.exe")
    (far,) = of(second, 1, Image="wsmprovhost.exe")
    assert child.data["ParentProcessGuid"] == far.data["ProcessGuid"]
    assert len(of(second, 400)) == len(of(second, 403)) == 1


def test_a_secret_is_in_no_record_of_either_host(two: Two) -> None:
    two.run('$s = New-PSSession ws2 -Credential $c; Invoke-Command -Session $s { param($p) "$($p.UserName)" } -ArgumentList $c; "$c"')
    for records in two.records.values():
        assert records
        assert PASSWORD not in repr(records)


@pytest.mark.parametrize(
    ("script", "error"),
    [
        ("Invoke-Command nowhere { 1 }", "ComputerNotFound,PSSessionStateBroken"),
        ("Invoke-Command 127.0.0.2 { 1 }", "CannotUseIPAddress,PSSessionStateBroken"),
        ("Invoke-Command 10.77.0.12 -Credential $c { 1 }", "CannotUseIPAddress,PSSessionStateBroken"),
        ("Invoke-Command ws2 -Credential $c -Port 80 { 1 }", "CannotConnect,PSSessionStateBroken"),
        ("Invoke-Command ws2 -Credential $c -UseSSL { 1 }", "CannotConnect,PSSessionStateBroken"),
        ("Invoke-Command ws2 -Credential $c -Authentication Basic { 1 }", "UnencryptedTrafficDisabled,PSSessionStateBroken"),
        ("Invoke-Command ws2 -Credential $c -Authentication Digest { 1 }", "NotEmulated"),
        ("New-PSSession nowhere", "ComputerNotFound,PSSessionOpenFailed"),
        ("New-PSSession ws2", "AccessDenied,PSSessionOpenFailed"),
        ("Enter-PSSession ws2 -Credential $c", "RemoteHostDoesNotSupportPushRunspace,Microsoft.PowerShell.Commands.EnterPSSessionCommand"),
        ("Test-WSMan nowhere", "WsManError,Microsoft.WSMan.Management.TestWSManCommand"),
        (
            "$w = New-Object PSCredential 'LAB\\purple', (ConvertTo-SecureString wrong -AsPlainText -Force); "
            "Invoke-Command ws2 -Credential $w { 1 }",
            "LogonFailure,PSSessionStateBroken",
        ),
        ("Invoke-Command -Session 5 { 1 }", "CannotConvertArgumentNoMessage,Microsoft.PowerShell.Commands.InvokeCommandCommand"),
        ("$s = New-PSSession ws2 -Credential $c; Remove-PSSession $s; Invoke-Command -Session $s { 1 }", "InvalidRunspaceState"),
    ],
)
def test_what_windows_refuses_is_refused_in_its_words(two: Two, script: str, error: str) -> None:
    output, errors = two.run(script)
    assert output == []
    assert [one.fq_error for one in errors] == [error]


def test_what_is_piped_in_goes_through_the_blocks_of_the_script_there(two: Two) -> None:
    script = '1..2 | Invoke-Command ws2 -Credential $c { param($a) process { "$a$_" } end { $env:COMPUTERNAME } } -ArgumentList x'
    assert two.run(script) == (["x1", "x2", "WS2"], [])


def test_a_host_that_is_down_cannot_be_connected_to(two: Two) -> None:
    two.endpoints["WS2"].stop()
    _, (error,) = two.run("Invoke-Command ws2 -Credential $c { 1 }")
    assert error.fq_error == "CannotConnect,PSSessionStateBroken"
    assert "The client cannot connect to the destination specified in the request." in str(error)
    assert not of(two.records["WS1"], 3, Initiated="true")


def test_a_host_that_goes_down_breaks_the_session(two: Two) -> None:
    with RunspacePool(two.wsman()) as pool:
        pool.exchange_keys()
        opening, using = PowerShell(pool), PowerShell(pool)
        opening.add_script("param($c) $s = New-PSSession ws2 -Credential $c; $s.State")
        opening.add_parameter("c", PSCredential(username="LAB\\purple", password=PASSWORD))  # type: ignore[no-untyped-call]
        assert [str(one) for one in opening.invoke()] == ["Opened"]
        two.endpoints["WS2"].stop()
        using.add_script("Invoke-Command -Session $s { 1 }; $s.State")
        assert [str(one) for one in using.invoke()] == ["Broken"]
    assert [one.fq_error for one in using.streams.error] == ["WinRMOperationAborted,PSSessionStateBroken"]


def test_names_that_are_not_the_labs_lead_nowhere(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing but the lab's endpoints is ever connected to: not a listener that is there, not a name that could be looked up."""
    asked: list[object] = []
    monkeypatch.setattr(socket, "getaddrinfo", lambda *found, **_: asked.append(found))
    with socket.create_server(("127.0.0.1", 0)) as other:
        other.settimeout(0.2)
        port = other.getsockname()[1]
        for name in (
            "localhost",
            f"localhost:{port}",
            f"127.0.0.1:{port}",
            f"http://127.0.0.1:{port}/",
            "example.com",
            "0x7f000001",
            "2130706433",
        ):
            for more in ("", f"-Port {port}", "-UseSSL", f"-UseSSL -Port {port}"):
                script = f"Invoke-Command '{name}' -Credential $c {more} {{ 1 }}; Test-WSMan '{name}' {more}"
                allowed = name == "localhost" and more == ""
                machine = two.machines["WS1"].host
                assert len(_ran(two, machine.name, script)) == (0 if allowed else 2), script
        with pytest.raises(TimeoutError):
            other.accept()
    assert asked == []


def _ran(two: Two, name: str, script: str) -> list[str]:
    """The errors of a script that is run on a host without any client: nothing here needs a name looked up."""
    from lab.machine import Command, Package, Parameter, Peer, PipelineRequest, PSObject, SecureString
    from tests.lab.host.test_machine import SHELL, Recorder

    credential = PSObject(
        type_names=("System.Management.Automation.PSCredential", "System.Object"),
        properties={"UserName": "LAB\\purple", "Password": SecureString(PASSWORD)},
    )
    runspace = two.machines[name].log_on(Peer(ip="127.0.0.1", port=1), PURPLE, Package.NTLM).open_runspace(SHELL)
    io = Recorder()
    command = Command(text=f"param($c) {script}", is_script=True, parameters=(Parameter(name="c", value=credential),))
    ended = runspace.run(PipelineRequest(commands=(command,)), io)
    runspace.close()
    return [one.error_id for one in [*io.errors, *([ended] if ended is not None else [])]]


@settings(max_examples=60, deadline=None)
@given(name=st.text(min_size=1, max_size=40))
def test_no_text_is_the_name_of_a_host_that_is_not_there(name: str) -> None:
    network = LabNetwork(PypsrpClient)
    here = Neighbour(name="WS1", fqdn="WS1.lab.example", ip="10.77.0.11")
    network.join(here, Door(address="127.0.0.1", port=1))
    assert network.find(name) == (here if name.lower().rstrip(".") in ("ws1", "ws1.lab.example", "10.77.0.11") else None)


def test_loops_end(two: Two) -> None:
    script = "1"
    for number in range(MAX_DEPTH + 2):
        script = f"$env:COMPUTERNAME; Invoke-Command ws{number % 2 + 1} -Credential $c {{ param($c) {script} }} -ArgumentList $c"
    output, errors = two.run(script)
    assert len(output) == MAX_DEPTH + 1
    assert [one.fq_error for one in errors] == ["NotEmulated"]
    assert f"a chain of more than {MAX_DEPTH} remote sessions" in str(errors[0])


def test_what_comes_back_says_where_it_was(two: Two) -> None:
    script = (
        "$o = Invoke-Command ws2 -Credential $c { Get-Service WinRM; Get-Item C:\\nope -ErrorAction SilentlyContinue }; "
        "$o.PSComputerName; $o.Name; $o.PSObject.TypeNames[0]; $o.RunspaceId -is [guid]; $o.PSShowComputerName; "
        "Invoke-Command ws2 -Credential $c { Get-Item C:\\nope } -ErrorAction SilentlyContinue; $Error[0].OriginInfo.PSComputerName"
    )
    output, errors = two.run(script)
    assert output == ["ws2", "WinRM", "Deserialized.System.ServiceProcess.ServiceController", "True", "True", "ws2"]
    assert errors == []


def test_errors_of_the_other_host_are_errors_here(two: Two) -> None:
    output, errors = two.run("Invoke-Command ws2 -Credential $c { Get-Item C:\\nope; 'on'; throw 'the end'; 'never' }; 'after'")
    assert output == ["on", "after"]
    assert [one.fq_error for one in errors] == ["PathNotFound,Microsoft.PowerShell.Commands.GetItemCommand", "the end"]


def test_arguments_and_variables_go_along(two: Two) -> None:
    script = (
        '$x = 40; Invoke-Command ws2 -Credential $c { param($a, [int] $b) "$a $($b + $using:x) ${using:x}" } -ArgumentList one, 2; '
        "Invoke-Command ws2, WS2.lab.example -Credential $c { $env:COMPUTERNAME }"
    )
    output, errors = two.run(script)
    assert (output, errors) == (["one 42 40", "WS2", "WS2"], [])


def test_a_session_keeps_what_was_set_in_it_and_ends_with_its_runspace(two: Two) -> None:
    script = (
        "$s = New-PSSession ws2 -Credential $c -Name far; Invoke-Command -Session $s { $v = 7 }; Invoke-Command -Session $s { $v }; "
        "$t = New-PSSession -ComputerName ws2 -Credential $c; (Get-PSSession).Count; (Get-PSSession -Name fa*).ComputerName; "
        'Remove-PSSession $t; Get-PSSession | ForEach-Object { "$($_.Id) $($_.State) $($_.Availability)" }; $t.State'
    )
    output, errors = two.run(script)
    assert (output, errors) == (["7", "2", "ws2", "1 Opened Available", "Closed"], [])
    assert two.endpoints["WS2"].counts().shells_open == 0
    assert not [process for process in two.machines["WS2"].host.processes if process.path.endswith("wsmprovhost.exe")]


def test_who_has_had_enough_stops_what_runs_elsewhere(two: Two) -> None:
    with RunspacePool(two.wsman()) as pool:
        pool.exchange_keys()
        shell = PowerShell(pool)
        shell.add_script("param($c) Invoke-Command ws2 -Credential $c { 'begun'; Start-Sleep 3600 }")
        shell.add_parameter("c", PSCredential(username="LAB\\purple", password=PASSWORD))  # type: ignore[no-untyped-call]
        shell.begin_invoke()
        while two.endpoints["WS2"].counts().pipelines == 0:
            shell.poll_invoke(timeout=1)
        shell.stop()
    assert two.endpoints["WS2"].counts().shells_open == 0


def test_from_the_same_host_it_is_loopback(two: Two) -> None:
    assert two.run("Invoke-Command localhost -Credential $c { $env:COMPUTERNAME }") == (["WS1"], [])
    (opened,) = of(two.records["WS1"], 3, Initiated="true")
    assert (opened.data["SourceIp"], opened.data["DestinationIp"], opened.data["SourceIsIpv6"]) == ("::1", "::1", "true")
    inbound = [one.data["SourceIp"] for one in of(two.records["WS1"], 3, Initiated="false")]
    assert sorted(set(inbound)) == ["10.77.0.5", "::1"]


def test_who_is_asked_who_it_is_need_not_know_who_asks(two: Two) -> None:
    output, errors = two.run("(Test-WSMan ws2).ProductVendor; (Test-WSMan).ProductVersion", credential=False)
    assert (output, errors) == (["Microsoft Corporation", "OS: 0.0.0 SP: 0.0 Stack: 3.0"], [])
    assert not of(two.records["WS2"], 4624)


@pytest.mark.parametrize("quote", ['"', "'"], ids=["double", "single"])
def test_winrs_runs_a_line_on_the_other_host(two: Two, quote: str) -> None:
    script = f"winrs.exe -r:ws2 -u:LAB\\purple -p:{PASSWORD} {quote}hostname & echo two>&2 & exit 7{quote}; $LASTEXITCODE"
    output, errors = two.run(script, credential=False)
    assert output == ["WS2", "7"]
    assert [str(one).strip() for one in errors] == ["two"]
    (opened,) = of(two.records["WS1"], 3, Initiated="true")
    assert opened.data["Image"] == "C:\\Windows\\System32\\winrs.exe"
    assert of(two.records["WS2"], 1, Image="winrshost.exe")


def test_winrs_says_what_is_wrong(two: Two) -> None:
    with two.wsman() as place, WinRS(place) as shell:
        for line, said, code in (
            ("winrs -r:ws2 hostname", "Winrs error:Access is denied.", 5),
            ("winrs -r:http://nowhere:5985 hostname", "Winrs error:The WinRM client cannot process the request because", -2144108526),
            ("winrs -r:ws2 -u:purple -p:wrong hostname", "Winrs error:The user name or password is incorrect.", 1326),
            ("winrs -r:ws2", "The emulated host does not emulate winrs.exe without a command", 50),
            ("winrs -r:ws2 -zz hostname", "The emulated host does not emulate winrs.exe -zz", 50),
        ):
            process = Process(shell, line)
            process.invoke()
            assert process.stderr.decode().startswith(said), line
            assert process.rc == code


def test_twenty_clients_hop_at_once_and_leave_nothing(two: Two) -> None:
    threads = threading.active_count()
    with ThreadPoolExecutor(20) as pool:
        found = list(pool.map(lambda _: two.run("Invoke-Command ws2 -Credential $c { $env:COMPUTERNAME }"), range(20)))
    assert found == [(["WS2"], [])] * 20
    for endpoint in two.endpoints.values():
        assert endpoint.counts().shells_open == 0
    two.stop()
    assert threading.active_count() <= threads
