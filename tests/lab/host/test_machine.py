"""The machine as its endpoint drives it: what a session leaves in the logs, and that sessions keep apart.

The interpreter, the host's model and the telemetry are the real ones; the endpoint's part is played by calls.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import count
from threading import Barrier, Thread

import pytest

from harness.events.windows import WindowsEvent
from lab.host.machine import EmulatedMachine, emulated_host
from lab.machine import (
    Account,
    Command,
    CommandLine,
    ErrorRecord,
    HostFailed,
    Logon,
    Package,
    Parameter,
    Peer,
    PipelineRequest,
    PipelineStopped,
    Progress,
    PSValue,
    Question,
    Runspace,
    ShellName,
    StreamName,
)

PURPLE = Account(domain="LAB", name="purple", sid="S-1-5-21-1-2-3-1104")
SHELL = ShellName(
    resource_uri="http://schemas.microsoft.com/powershell/Microsoft.PowerShell", shell_id="6F2B1A3C-0C58-4D47-9E1B-3E6C1F6A7B10"
)
COMMAND_SHELL = ShellName(resource_uri="http://schemas.microsoft.com/wbem/wsman/1/windows/shell/cmd", shell_id="0C584D47")
PEER = Peer(ip="127.0.0.1", port=51234)


class Recorder:
    """The client's side of a pipeline, kept in lists."""

    has_host = False

    def __init__(self) -> None:
        self.outputs: list[PSValue] = []
        self.errors: list[ErrorRecord] = []

    def output(self, value: PSValue) -> None:
        self.outputs.append(value)

    def error(self, record: ErrorRecord) -> None:
        self.errors.append(record)

    def record(self, stream: StreamName, text: str) -> None:
        pass

    def progress(self, record: Progress) -> None:
        pass

    def ask(self, question: Question) -> PSValue:
        raise HostFailed("nobody to ask")

    def host_write_line(self, text: str) -> None:
        self.outputs.append(text)

    def host_write(self, text: str) -> None:
        self.outputs.append(text)

    def host_write_error_line(self, text: str) -> None:
        self.outputs.append(text)

    def wait(self, seconds: float) -> None:
        pass


class Lines:
    """The client's side of a command line, which says nothing and hears nothing."""

    def stdout(self, text: str) -> None:
        pass

    def stderr(self, text: str) -> None:
        pass

    def read_line(self) -> str | None:
        return None

    def wait(self, seconds: float) -> None:
        pass


def machine(seed: int = 5) -> tuple[EmulatedMachine, list[WindowsEvent]]:
    """A host whose clock goes on by a millisecond whenever it is read, and the list that its records go to."""
    records: list[WindowsEvent] = []
    readings = count()
    made = emulated_host(
        name="WS6",
        domain="lab.example",
        ip="172.18.39.6",
        seen_from="172.18.39.5",
        accounts=[PURPLE],
        sink=records.append,
        now=lambda: datetime(2026, 3, 2, 9, 0, tzinfo=UTC) + timedelta(milliseconds=next(readings)),
        seed=seed,
    )
    return made, records


def log_on(target: EmulatedMachine, peer: Peer = PEER) -> Logon:
    target.connected(peer)
    return target.log_on(peer, PURPLE, Package.NTLM)


def script(text: str) -> PipelineRequest:
    return PipelineRequest(commands=(Command(text=text, is_script=True),))


def run(runspace: Runspace, text: str) -> Recorder:
    io = Recorder()
    assert runspace.run(script(text), io) is None
    assert io.errors == []
    return io


def of(records: list[WindowsEvent], event_id: int, **contains: str) -> list[WindowsEvent]:
    """The records of this id whose named values contain these texts, without regard to case."""
    return [one for one in records if one.event_id == event_id and all(v.lower() in one.data[k].lower() for k, v in contains.items())]


def identity(records: list[WindowsEvent]) -> dict[str, str]:
    """HostId and RunspaceId as the classic log told them when the (only) engine started."""
    (started,) = of(records, 400)
    return dict(line.strip().split("=", 1) for line in started.message.splitlines() if "=" in line)


def test_the_classic_log_names_the_line_in_which_a_pipeline_begins() -> None:
    target, records = machine()
    runspace = log_on(target).open_runspace(SHELL)
    run(runspace, "$a = 1; if ($a) {\r\n  1..2 | ForEach-Object {\r\n    Get-Date | Out-Null } }")
    listed = Command(text="Get-Service", is_script=False, parameters=(Parameter(name="Name", value="WinRM"),))
    runspace.run(PipelineRequest(commands=(listed,)), Recorder())
    lines = [one.strings[0] for one in of(records, 800)]
    assert lines == ["    Get-Date | Out-Null } }"] * 2 + ["  1..2 | ForEach-Object {", ""]
    assert all(f"\tCommandLine={line}" in one.strings[1].split("\r\n") for line, one in zip(lines, of(records, 800), strict=True))
    run(runspace, f"Get-Date | Out-Null # {'x' * 33_000}")
    assert len(of(records, 800)) == 4  # a record cannot hold such a line, and PowerShell passes over it


def test_booting_leaves_no_events() -> None:
    _, records = machine()
    assert records == []


def test_a_null_session_leaves_its_life_in_every_log_in_order() -> None:
    target, records = machine()
    runspace = log_on(target).open_runspace(SHELL)
    runspace.close()
    assert [one.event_id for one in records] == [5156, 3, 4672, 4624, 91, 1, 4688] + [600] * 6 + [400, 53504, 403, 4689, 5]
    assert {one.computer for one in records} == {"WS6.lab.example"}


@pytest.mark.parametrize(("ip", "shown"), [("127.0.0.1", "172.18.39.5"), ("127.8.8.8", "172.18.39.5"), ("10.1.2.3", "10.1.2.3")])
def test_a_loopback_peer_is_shown_as_the_drivers_address(ip: str, shown: str) -> None:
    target, records = machine()
    target.connected(Peer(ip=ip, port=40001))
    (audited,) = of(records, 5156)
    assert (audited.data["SourceAddress"], audited.data["SourcePort"]) == (shown, "40001")
    assert (audited.data["DestAddress"], audited.data["DestPort"]) == ("172.18.39.6", "5985")


def test_wsmprovhost_runs_under_the_logon_of_the_connection_that_opened_it() -> None:
    target, records = machine()
    log_on(target)
    opening = log_on(target, Peer(ip="127.0.0.1", port=51235))
    log_on(target, Peer(ip="127.0.0.1", port=51236))
    opening.open_runspace(SHELL)
    logons = [one.data["TargetLogonId"] for one in of(records, 4624)]
    assert len(set(logons)) == 3
    (audited,) = of(records, 4688, NewProcessName="wsmprovhost.exe")
    (traced,) = of(records, 1, Image="wsmprovhost.exe")
    assert audited.data["TargetLogonId"] == traced.data["LogonId"] == logons[1]
    assert audited.data["ParentProcessName"].endswith("\\svchost.exe")
    assert traced.data["ParentCommandLine"].endswith("svchost.exe -k DcomLaunch -p")


def test_a_child_is_tied_to_its_session_in_every_log() -> None:
    target, records = machine()
    runspace = log_on(target).open_runspace(SHELL)
    run(runspace, "whoami.exe /groups")
    runspace.close()
    (host,), (child,) = of(records, 1, Image="wsmprovhost.exe"), of(records, 1, Image="whoami.exe")
    assert child.data["ParentProcessGuid"] == host.data["ProcessGuid"]
    assert child.data["ParentImage"] == host.data["Image"] == "C:\\Windows\\System32\\wsmprovhost.exe"
    assert child.data["LogonId"] == host.data["LogonId"]
    audited = next(one for one in of(records, 4688) if int(one.data["NewProcessId"], 16) == int(child.data["ProcessId"]))
    assert int(audited.data["ProcessId"], 16) == int(host.data["ProcessId"])
    assert audited.data["SubjectLogonId"] == host.data["LogonId"]
    assert audited.data["CommandLine"] == child.data["CommandLine"]


def test_module_logging_names_the_engine_and_the_process() -> None:
    target, records = machine()
    runspace = log_on(target).open_runspace(SHELL)
    run(runspace, "Get-Service -Name WinRM")
    runspace.close()
    engine = identity(records)
    (host,) = of(records, 1, Image="wsmprovhost.exe")
    logged = of(records, 4103, Payload="CommandInvocation(Get-Service)")
    assert len(logged) == 1
    context = logged[0].data["ContextInfo"]
    assert f"Host ID = {engine['HostId']}\r\n" in context
    assert f"Runspace ID = {engine['RunspaceId']}\r\n" in context
    assert logged[0].process_id == int(host.data["ProcessId"])
    (stopped,) = of(records, 403)
    assert engine["HostId"] in stopped.message
    assert engine["RunspaceId"] in stopped.message


def test_what_a_session_reads_of_itself_is_what_the_logs_say() -> None:
    target, records = machine()
    runspace = log_on(target).open_runspace(SHELL)
    io = run(runspace, '"$PID|$($Host.InstanceId)|$([System.Management.Automation.Runspaces.Runspace]::DefaultRunspace.InstanceId)"')
    engine = identity(records)
    (host,) = of(records, 1, Image="wsmprovhost.exe")
    assert io.outputs == [f"{host.data['ProcessId']}|{engine['HostId']}|{engine['RunspaceId']}"]


def test_the_probe_of_an_interactive_session_is_logged_as_windows_logs_it() -> None:
    target, records = machine()
    runspace = log_on(target).open_runspace(SHELL)
    found = runspace.command_metadata(["Out-Default", "Exit-PSSession"])
    assert {"Out-Default", "Exit-PSSession"} <= {one.name for one in found}
    payloads = [one.data["Payload"] for one in of(records, 4103)]
    invoked = [[line.partition("(")[2].partition(")")[0] for line in p.splitlines() if line.startswith("CommandInv")] for p in payloads]
    assert invoked == [["Get-Command", "Measure-Object", "Select-Object"], ["Get-Command", "Select-Object"]]
    assert 'name="Name"; value="Out-Default, Exit-PSSession"' in payloads[0]


def test_two_sessions_at_once_do_not_mix() -> None:
    target, records = machine()
    together = Barrier(2, timeout=30)

    def session(port: int, program: str) -> None:
        runspace = log_on(target, Peer(ip="127.0.0.1", port=port)).open_runspace(SHELL)
        together.wait()
        for _ in range(5):
            run(runspace, program)
        together.wait()
        runspace.close()

    threads = [Thread(target=session, args=(50_001, "whoami.exe")), Thread(target=session, args=(50_002, "hostname.exe"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    logon_of = {one.data["ProcessGuid"]: one.data["LogonId"] for one in of(records, 1, Image="wsmprovhost.exe")}
    assert len(logon_of) == len(set(logon_of.values())) == 2
    parents: dict[str, set[str]] = {"whoami.exe": set(), "HOSTNAME.EXE": set()}
    for one in of(records, 1):
        name = one.data["Image"].rpartition("\\")[2]
        if name in parents:
            parents[name].add(one.data["ParentProcessGuid"])
            assert one.data["LogonId"] == logon_of[one.data["ParentProcessGuid"]]
    assert all(len(guids) == 1 for guids in parents.values())
    assert parents["whoami.exe"] != parents["HOSTNAME.EXE"]
    assert len(of(records, 400)) == len(of(records, 403)) == 2


def test_nothing_outlives_its_session() -> None:
    target, records = machine()
    before = target.host.processes
    runspace = log_on(target).open_runspace(SHELL)
    (host,) = (process for process in target.host.processes if process.path.endswith("wsmprovhost.exe"))
    notepad = "C:\\Windows\\System32\\notepad.exe"
    child = target.host.start_process(parent=host, path=notepad, command_line=notepad, logon=host.logon, directory="C:\\")
    assert child in target.host.processes
    runspace.close()
    assert target.host.processes == before
    runspace.close()
    assert len(of(records, 403)) == 1


def test_a_runspace_outlives_the_connection_that_opened_it() -> None:
    target, records = machine()
    logon = log_on(target)
    runspace = logon.open_runspace(SHELL)
    logon.log_off()
    assert run(runspace, "'still here'").outputs == ["still here"]
    assert of(records, 403) == []


def test_a_logon_ends_with_its_connection_and_the_last_process_under_it() -> None:
    target, records = machine()
    idle = log_on(target)
    idle.log_off()
    logon = log_on(target, Peer(ip="127.0.0.1", port=51235))
    runspace = logon.open_runspace(SHELL)
    first, second = (one.data["TargetLogonId"] for one in of(records, 4624))
    logon.log_off()
    assert [one.data["TargetLogonId"] for one in of(records, 4634)] == [first]
    runspace.close()
    assert [one.data["TargetLogonId"] for one in of(records, 4634)] == [first, second]
    assert records[-1].event_id == 4634


def test_a_process_ends_in_both_logs_with_its_exit_code() -> None:
    target, records = machine()
    shell = log_on(target).open_command_shell(COMMAND_SHELL, {}, "")
    assert shell.run(CommandLine(text="exit 3"), Lines()) == 3
    shell.close()
    (audited,), (created,) = of(records, 4689, ProcessName="cmd.exe"), of(records, 1, Image="cmd.exe")
    assert (audited.data["Status"], int(audited.data["ProcessId"], 16)) == ("0x3", int(created.data["ProcessId"]))
    assert audited.data["SubjectLogonId"] == created.data["LogonId"]
    starts = [one.data["ProcessGuid"] for one in of(records, 1)]
    assert sorted(one.data["ProcessGuid"] for one in of(records, 5)) == sorted(starts)


def test_a_file_is_told_as_the_doing_of_the_process_that_made_it() -> None:
    target, records = machine()
    runspace = log_on(target).open_runspace(SHELL)
    run(runspace, "Set-Content C:\\Windows\\Temp\\one.txt x; Add-Content C:\\Windows\\Temp\\one.txt y")
    run(runspace, "cmd.exe /c echo x> C:\\Windows\\Temp\\two.txt")
    told = [(one.data["TargetFilename"], one.data["Image"], one.data["ProcessGuid"]) for one in of(records, 11)]
    guids = {one.data["Image"]: one.data["ProcessGuid"] for one in of(records, 1)}
    host, shell = "C:\\Windows\\System32\\wsmprovhost.exe", "C:\\Windows\\System32\\cmd.exe"
    assert told == [("C:\\Windows\\Temp\\one.txt", host, guids[host]), ("C:\\Windows\\Temp\\two.txt", shell, guids[shell])]


def test_a_shell_is_told_with_its_client() -> None:
    target, records = machine()
    logon = log_on(target)
    logon.open_runspace(SHELL)
    logon.open_command_shell(COMMAND_SHELL, {}, "")
    assert [(one.data["resourceUri"], one.data["shellId"]) for one in of(records, 91)] == [
        (f"{SHELL.resource_uri} (LAB\\purple clientIP: 172.18.39.5)", SHELL.shell_id),
        (f"{COMMAND_SHELL.resource_uri} (LAB\\purple clientIP: 172.18.39.5)", COMMAND_SHELL.shell_id),
    ]


def test_a_closed_runspace_runs_nothing() -> None:
    target, records = machine()
    runspace = log_on(target).open_runspace(SHELL)
    runspace.close()
    last = len(records)
    with pytest.raises(PipelineStopped):
        runspace.run(script("whoami.exe"), Recorder())
    assert runspace.command_metadata(["*"]) == ()
    assert len(records) == last


def test_a_command_list_runs_as_the_client_sent_it() -> None:
    target, records = machine()
    runspace = log_on(target).open_runspace(SHELL)
    command = Command(text="Get-Service", is_script=False, parameters=(Parameter(name="Name", value="WinRM"),))
    assert runspace.run(PipelineRequest(commands=(command,)), Recorder()) is None
    assert len(of(records, 4103, Payload='ParameterBinding(Get-Service): name="Name"; value="WinRM"')) == 1
    assert of(records, 4104) == []


def test_a_script_is_logged_as_a_script() -> None:
    target, records = machine()
    runspace = log_on(target).open_runspace(SHELL)
    run(runspace, "Get-Service WinRM | Out-Null")
    assert "Get-Service WinRM | Out-Null" in [one.data["ScriptBlockText"] for one in of(records, 4104)]


def test_the_same_seed_gives_the_same_host() -> None:
    def story(seed: int) -> list[WindowsEvent]:
        target, records = machine(seed)
        log_on(target).open_runspace(SHELL).close()
        return records

    assert story(1) == story(1)
    assert story(1) != story(2)


def test_sysmons_own_process_is_one_of_the_hosts() -> None:
    target, records = machine()
    target.connected(PEER)
    (traced,) = of(records, 3)
    (sysmon,) = (process for process in target.host.processes if process.pid == traced.process_id)
    assert sysmon.path == "C:\\Windows\\Sysmon64.exe"
    assert sysmon.parent is target.host.service_control
