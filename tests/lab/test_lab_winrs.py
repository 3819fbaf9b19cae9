"""The emulated host behind the endpoint, driven by unmodified pywinrm and pypsrp: what a WinRS shell answers, and what it leaves behind."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from pypsrp.client import Client
from pypsrp.shell import Process, SignalCode, WinRS
from pypsrp.wsman import WSMan
from winrm import Session
from winrm.protocol import Protocol

from harness.events.windows import WindowsEvent
from lab.host.machine import EmulatedMachine, emulated_host
from lab.winrm import Endpoint, EndpointAccount
from tests.lab.host.test_machine import of
from tests.lab.winrm.small_machine import PASSWORD, PURPLE

HOME = "C:\\Users\\purple"


class Place:
    """A host, its endpoint and what it logged."""

    def __init__(self) -> None:
        self.records: list[WindowsEvent] = []
        self.machine: EmulatedMachine = emulated_host(
            name="WS6",
            domain="lab.example",
            ip="172.18.39.6",
            seen_from="172.18.39.5",
            accounts=[PURPLE],
            sink=self.records.append,
            now=lambda: datetime.now(UTC),
            seed=11,
        )
        self.endpoint = Endpoint(machine=self.machine, accounts=[EndpointAccount(account=PURPLE, password=PASSWORD)])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.endpoint.port}/wsman"

    def session(self) -> Session:
        return Session(self.url, auth=("LAB\\purple", PASSWORD), transport="ntlm", server_cert_validation="ignore")

    def protocol(self, **more: Any) -> Protocol:
        return Protocol(self.url, "ntlm", "LAB\\purple", PASSWORD, server_cert_validation="ignore", **more)

    @contextmanager
    def shell(self, **settings: Any) -> Iterator[WinRS]:
        place = WSMan("127.0.0.1", port=self.endpoint.port, ssl=False, auth="negotiate", username="LAB\\purple", password=PASSWORD)
        with place, WinRS(place, **settings) as shell:
            yield shell


@pytest.fixture
def place() -> Iterator[Place]:
    made = Place()
    made.endpoint.start()
    yield made
    made.endpoint.stop()


def ran(shell: WinRS, line: str, *arguments: str, no_shell: bool = False) -> tuple[str, str, int | None]:
    process = Process(shell, line, list(arguments), no_shell=no_shell)
    process.invoke()
    process.signal(SignalCode.TERMINATE)
    return process.stdout.decode("cp437"), process.stderr.decode("cp437"), process.rc


def test_pywinrm_runs_a_command(place: Place) -> None:
    answer = place.session().run_cmd("ipconfig", ["/all"])
    assert answer.status_code == 0
    assert b"\r\n   IPv4 Address. . . . . . . . . . . : 172.18.39.6(Preferred)" in answer.std_out
    answer = place.session().run_cmd("nothing-here")
    assert (answer.status_code, answer.std_out) == (1, b"")
    assert answer.std_err.startswith(b"'nothing-here' is not recognized as an internal or external command,\r\n")


def test_pywinrm_runs_powershell(place: Place) -> None:
    answer = place.session().run_ps("Write-Output 'one'; $env:USERNAME; exit 5")
    assert (answer.status_code, answer.std_out, answer.std_err) == (5, b"one\r\npurple\r\n", b"")
    answer = place.session().run_ps("Write-Error 'a <b> & c'; 'after'; throw 'the end'")
    assert (answer.status_code, answer.std_out) == (1, b"after\r\n")
    assert b"a <b> & c" in answer.std_err
    assert b"the end" in answer.std_err
    assert b"CLIXML" not in answer.std_err  # pywinrm read it


def test_errors_of_an_encoded_command_are_objects_on_the_wire(place: Place) -> None:
    far = place.protocol()
    shell = far.open_shell()
    for option, is_clixml in (("-EncodedCommand", True), ("-OutputFormat Text -enc", False)):
        encoded = "bgBvAHAAZQAtAG4AbwB0AGgAaQBuAGcA"  # nope-nothing
        command = far.run_command(shell, f"powershell {option} {encoded}")
        _, errors, code = far.get_command_output(shell, command)
        assert errors.startswith(b'#< CLIXML\r\n<Objs Version="1.1.0.1"') == is_clixml
        assert b"nope-nothing" in errors
        assert code == 1
    far.close_shell(shell)


def test_environment_directory_and_input(place: Place) -> None:
    far = place.protocol()
    shell = far.open_shell(working_directory="C:\\windows\\temp", env_vars={"PATH": "%PATH%;C:\\own", "ZED": "a b"})
    command = far.run_command(shell, "echo %ZED% %PATH:~-6%& cd & powershell $env:zed & sort")
    far.send_command_input(shell, command, "b\r\n")
    far.send_command_input(shell, command, "a\r\n", end=True)
    assert far.get_command_output(shell, command) == (
        b"a b C:\\own\r\nC:\\Windows\\Temp \r\na b\r\na\r\nb\r\n".replace(b"Temp \r", b"Temp\r"),
        b"",
        0,
    )
    far.close_shell(shell)


def test_a_session_of_lines_is_answered_line_by_line(place: Place) -> None:
    with place.shell() as shell:
        process = Process(shell, "cmd.exe")
        process.begin_invoke()
        process.send(b"whoami\r\n", end=False)
        while b"lab\\purple\r\n" not in process.stdout:  # the answer, before there is another line
            process.poll_invoke()
        process.send(b"exit 3\r\n", end=False)
        process.end_invoke()
        assert process.rc == 3


def test_pypsrp_runs_a_command(place: Place) -> None:
    with Client("127.0.0.1", port=place.endpoint.port, ssl=False, auth="ntlm", username="purple", password=PASSWORD) as client:
        assert client.execute_cmd("hostname & whoami", environment={"X": "1"}) == ("WS6\r\nlab\\purple\r\n", "", 0)


def test_a_program_without_cmd(place: Place) -> None:
    with place.shell() as shell:
        assert ran(shell, "C:\\Windows\\System32\\whoami.exe", "/user", no_shell=True)[2] == 0
        assert ran(shell, "hostname.exe", no_shell=True) == ("WS6\r\n", "", 0)
        assert ran(shell, "C:\\nothing.exe", no_shell=True) == ("", "The system cannot find the file specified.\r\n", 2)
        assert ran(shell, "C:\\Windows\\win.ini", no_shell=True)[2] == 193
    assert {one.data["ParentImage"].rpartition("\\")[2] for one in of(place.records, 1, Image="whoami.exe")} == {"winrshost.exe"}


def test_what_the_host_cannot_do_it_says_and_does_not_do(place: Place) -> None:
    with place.shell() as shell:
        assert ran(shell, "start notepad") == ("", "The emulated host does not emulate the program NOTEPAD.EXE.\r\n", 50)
    with place.shell(working_directory="C:\\nowhere") as shell:
        assert ran(shell, "cd") == ("", "The system cannot find the file specified.\r\n", 2)


def test_a_long_command_can_be_polled_and_stopped(place: Place) -> None:
    with place.shell() as shell:
        process = Process(shell, "hostname & powershell Start-Sleep 3600")
        process.begin_invoke()
        process.poll_invoke()
        assert process.stdout == b"WS6\r\n"
        process.poll_invoke(timeout=1)
        assert process.rc is None
        process.signal(SignalCode.CTRL_C)
        process.end_invoke()
        assert process.rc == -1073741510


def test_the_traces_of_a_shell_are_those_of_winrs(place: Place) -> None:
    before = place.machine.host.processes
    place.session().run_cmd("whoami /user")
    records = place.records
    (host,), (shell,), (child,) = (of(records, 1, Image=f"{name}.exe") for name in ("winrshost", "cmd", "whoami"))
    assert host.data["CommandLine"] == "C:\\Windows\\system32\\winrshost.exe -Embedding"
    assert host.data["ParentCommandLine"].endswith("svchost.exe -k DcomLaunch -p")
    assert shell.data["ParentProcessGuid"] == host.data["ProcessGuid"]
    assert shell.data["CommandLine"] == 'C:\\Windows\\system32\\cmd.exe /C "whoami /user"'
    assert shell.data["CurrentDirectory"] == f"{HOME}\\"
    assert child.data["ParentProcessGuid"] == shell.data["ProcessGuid"]
    (console,) = of(records, 1, Image="conhost.exe")
    assert console.data["ParentProcessGuid"] == host.data["ProcessGuid"]
    logon_ids = {one.data["TargetLogonId"] for one in of(records, 4624)}
    assert {one.data["LogonId"] for one in (host, shell, child)} <= logon_ids
    assert {one.data["LogonType"] for one in of(records, 4624)} == {"3"}
    assert len(of(records, 5156)) == len(of(records, 3)) == place.endpoint.counts().connections
    assert len(of(records, 4688)) == len(of(records, 1)) == 4
    assert not [one for one in records if one.event_id in (400, 403, 600, 800, 4103, 4104)]
    assert place.machine.host.processes == before


def test_powershell_in_a_shell_is_an_engine_of_its_own(place: Place) -> None:
    place.session().run_ps("Get-Service WinRM")
    (started,) = of(place.records, 400)
    assert "HostName=ConsoleHost" in started.message
    assert "ServerRemoteHost" not in started.message
    assert len(of(place.records, 403)) == 1
    assert of(place.records, 4104, ScriptBlockText="Get-Service WinRM")
    (process,) = of(place.records, 1, Image="powershell.exe")
    assert process.data["ParentImage"].endswith("\\cmd.exe")


def test_what_a_shell_changes_the_next_one_sees_and_its_variables_it_does_not(place: Place) -> None:
    with place.shell() as shell:
        assert ran(shell, "set ZED=1& echo kept> C:\\Windows\\Temp\\kept.txt") == ("", "", 0)
        assert ran(shell, "set ZED")[2] == 1
    with place.shell() as shell:
        assert ran(shell, "type C:\\Windows\\Temp\\kept.txt") == ("kept\r\n", "", 0)
