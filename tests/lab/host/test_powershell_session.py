"""A runspace: its identity and state, the interactive form, what it tells the witness, stops and time."""

from __future__ import annotations

import base64
from datetime import UTC, datetime

import pytest

from lab.host.happenings import Binding
from lab.machine import Account, Command, Parameter, PipelineRequest, PipelineStopped, PSObject, StreamName
from tests.lab.host.powershell_bench import DAWN, PURPLE, Bench

IDENTITY = (
    '"$PID|$($Host.InstanceId)|$([System.Management.Automation.Runspaces.Runspace]::DefaultRunspace.InstanceId)'
    "|$([DateTime]::UtcNow.ToString('o'))|$LASTEXITCODE\""
)


def test_a_line_that_wishes_to_be_remembered_is_in_the_history() -> None:
    bench = Bench()
    out = Command(text="Out-Default", is_script=False, use_local_scope=True)
    for text in ("Get-Date", "throw 'no'"):
        bench.request(PipelineRequest(commands=(Command(text=text, is_script=True), out), add_to_history=True), has_host=True)
    bench.script("'not this one'")
    assert bench.script('Get-History | ForEach-Object { "$($_.Id) $($_.CommandLine)" }').texts == ["1 Get-Date", "2 throw 'no'"]


@pytest.mark.parametrize(
    ("text", "output"),
    [
        ("process { $_ * 2 } end { 'end' }", ["2", "4", "end"]),
        ("begin { 'begin' }\nprocess { $_ } # to its end", ["begin", "1", "2"]),
        ("# what it is\nparam($a = 'a') process { \"$a$_\" }", ["a1", "a2"]),
        ("end { $input | Measure-Object | ForEach-Object Count }", ["2"]),
        ("$input | ForEach-Object { $_ + 1 }", ["2", "3"]),
    ],
    ids=["process", "begin", "parameter", "end", "input"],
)
def test_a_script_has_blocks_for_its_input(text: str, output: list[str]) -> None:
    bench = Bench()
    answer = bench.request(PipelineRequest(commands=(Command(text=text, is_script=True),), input=(1, 2), has_input=True))
    assert (answer.texts, answer.error_ids) == (output, [])
    assert bench.record.scripts == [text]


def test_the_session_tells_the_ids_that_its_telemetry_bears() -> None:
    bench = Bench()
    bench.script("cmd.exe /c exit 7")
    (text,) = bench.script(IDENTITY).texts
    pid, host_id, runspace_id, moment, code = text.split("|")
    assert int(pid) == bench.worker.pid
    assert host_id == str(bench.engine.host_id)
    assert runspace_id == str(bench.engine.runspace_id)
    assert datetime.fromisoformat(moment[:26] + "+00:00") == DAWN.astimezone(UTC)
    assert moment == "2026-03-14T09:26:53.5897930Z"
    assert code == "7"


def test_the_host_object() -> None:
    assert Bench().script("$Host.Name; $Host.Version; $PSVersionTable.PSVersion.Major; [runspace]::DefaultRunspace.Id").texts == [
        "ServerRemoteHost",
        "1.0.0.0",
        "5",
        "1",
    ]


def test_state_lives_from_pipeline_to_pipeline_and_not_in_another_runspace() -> None:
    bench, other = Bench(), Bench()
    bench.script("$x = 41; function add { $args[0] + 1 }; Set-Location C:\\Windows; $env:LAB = 'on'")
    assert bench.script("add $x; (Get-Location).Path; $env:LAB; $pwd.Path").texts == ["42", "C:\\Windows", "on", "C:\\Windows"]
    assert other.script("$null -eq $x; $null -eq $env:LAB").texts == ["True", "True"]


def test_a_runspace_survives_what_ended_a_pipeline() -> None:
    bench = Bench()
    bench.script("$x = 1; function f { $x = 2; throw 'x' }; f")
    assert bench.script("$x; $?; $Error[0].Exception.Message").texts == ["1", "True", "x"]


def test_the_prompt_is_a_command() -> None:
    bench = Bench()
    prompt = PipelineRequest(commands=(Command(text="prompt", is_script=False),))
    assert bench.request(prompt).texts == ["PS C:\\Users\\purple\\Documents> "]
    bench.script("cd \\")
    assert bench.request(prompt).texts == ["PS C:\\> "]


def test_a_prompt_of_ones_own_is_used() -> None:
    bench = Bench()
    bench.script("function prompt { 'lab> ' }")
    assert bench.request(PipelineRequest(commands=(Command(text="prompt", is_script=False),))).texts == ["lab> "]


# --- the interactive form -------------------------------------------------------------------------------------------------


def test_a_typed_cmdlet_is_shown_as_windows_shows_it() -> None:
    answer = Bench().typed("Get-Service WinRM")
    assert answer.client.values == []
    assert answer.client.screen == [
        "",
        "Status   Name               DisplayName",
        "------   ----               -----------",
        "Running  WinRM              Windows Remote Management (WS-Manag...",
        "",
        "",
    ]


def test_a_typed_program_shows_its_lines_as_they_are() -> None:
    assert Bench().typed("hostname.exe").client.screen == ["WS6"]


def test_objects_of_one_kind_stand_in_one_table_and_others_in_their_own() -> None:
    screen = Bench().typed("[pscustomobject]@{A=1;B='x'}; [pscustomobject]@{A=22;B='y'}; 'text'; Get-Location").client.screen
    assert screen == ["", " A B", " - -", " 1 x", "22 y", "", "", "text", "", "Path", "----", "C:\\Users\\purple\\Documents", "", ""]


def test_an_object_of_many_properties_is_a_list() -> None:
    screen = Bench().typed("[pscustomobject]@{A=1;B=2;C=3;D=4;Name='x'}").client.screen
    assert [line for line in screen if line] == ["A    : 1", "B    : 2", "C    : 3", "D    : 4", "Name : x"]


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("Get-Process -Id $PID", "wsmprovhost"),
        ("Get-ChildItem C:\\Windows", "    Directory: C:\\Windows"),
        ("@{a=1}", "a                              1"),
        ("Get-LocalGroupMember Administrators", "User        LAB\\purple                  ActiveDirectory"),
        ("Get-Date", "Saturday, March 14, 2026 9:26:53 AM"),
        ("$PSVersionTable.PSVersion.ToString()", "5.1.19041.1"),
        ("Get-Service WinRM | Format-List Name,Status", "Name   : WinRM"),
        (
            "Get-Command Get-Service",
            "Cmdlet          Get-Service                                        3.1.0.0    Microsoft.PowerShell.Management",
        ),
    ],
)
def test_what_the_screen_shows(line: str, shown: str) -> None:
    screen = Bench().typed(line).client.screen
    assert any(shown in row for row in screen), screen


def test_text_written_to_the_host_is_in_place() -> None:
    answer = Bench().typed("'a'; Write-Host -NoNewline 'b'; Write-Host 'c'; 'd'")
    assert answer.client.screen == ["a", "bc", "d"]
    assert answer.client.records == [(StreamName.INFORMATION, "b"), (StreamName.INFORMATION, "c")]


def test_without_a_host_out_default_gives_the_objects() -> None:
    commands = (Command(text="Get-Service WinRM", is_script=True), Command(text="Out-Default", is_script=False))
    answer = Bench().request(PipelineRequest(commands=commands))
    (value,) = answer.client.values
    assert isinstance(value, PSObject)
    assert value.type_names[0] == "System.ServiceProcess.ServiceController"


def test_exit_ends_what_runs() -> None:
    bench = Bench()
    assert bench.script("1; exit; 2").texts == ["1"]
    assert bench.request(PipelineRequest(commands=(Command(text="Exit-PSSession", is_script=False),))).ended is None


def test_the_other_streams() -> None:
    records = (
        Bench()
        .script("Write-Warning w; Write-Verbose no; Write-Verbose v -Verbose; $VerbosePreference='Continue'; Write-Verbose x")
        .client.records
    )
    assert records == [(StreamName.WARNING, "w"), (StreamName.VERBOSE, "v"), (StreamName.VERBOSE, "x")]


def test_the_probe_of_enter_pssession_finds_what_it_asks_for() -> None:
    found = Bench().interpreter.command_metadata(["Out-Default", "Exit-PSSession", "prompt", "gsv", "Get-Serv*", "nope"])
    assert [(one.name, one.command_type) for one in found] == [
        ("Out-Default", 8),
        ("Exit-PSSession", 8),
        ("prompt", 2),
        ("gsv", 1),
        ("Get-Service", 8),
    ]
    assert "ErrorAction" in found[0].parameters


# --- what the witness is told ---------------------------------------------------------------------------------------------


def test_a_cmdlet_is_logged_with_its_bindings_and_starts_no_process() -> None:
    bench = Bench()
    bench.script("gsv WinRM -ErrorAction Stop")
    (run,) = bench.record.commands
    assert (run.name, run.kind) == ("Get-Service", "Cmdlet")
    assert set(run.bindings) == {Binding(name="Name", value="WinRM"), Binding(name="ErrorAction", value="Stop")}
    assert bench.record.processes == []


def test_a_pipeline_is_logged_once_with_all_its_commands_and_what_flowed() -> None:
    bench = Bench()
    bench.script("1,2 | ForEach-Object {$_ * 2} | Where-Object {$_ -gt 2}; Get-Location")
    assert [[run.name for run in pipeline] for pipeline in bench.record.pipelines] == [["ForEach-Object", "Where-Object"], ["Get-Location"]]
    first, second = bench.record.pipelines[0]
    assert first.bindings == (
        Binding(name="Process", value="$_ * 2"),
        Binding(name="InputObject", value="1"),
        Binding(name="InputObject", value="2"),
    )
    assert second.bindings[0] == Binding(name="FilterScript", value="$_ -gt 2")


def test_pipeline_ids_count_the_requests_of_the_runspace() -> None:
    bench = Bench()
    for _ in range(3):
        bench.script("Get-Location; Get-Location")
    assert [run.pipeline_id for run in bench.record.commands] == [1, 1, 2, 2, 3, 3]


def test_a_typed_line_leaves_out_default_with_what_was_shown() -> None:
    bench = Bench()
    bench.typed("whoami.exe")
    (run,) = bench.record.commands
    assert (run.name, run.bindings) == ("Out-Default", (Binding(name="InputObject", value="lab\\purple"),))


def test_script_text_is_logged_once_for_each_text_and_a_command_list_never() -> None:
    bench = Bench()
    for text in ("1", "2", "1"):
        bench.script(text)
    bench.request(
        PipelineRequest(commands=(Command(text="Get-Service", is_script=False, parameters=(Parameter(name="Name", value="WinRM"),)),))
    )
    assert bench.record.scripts == ["1", "2"]
    assert [run.name for run in bench.record.commands] == ["Get-Service"]


def test_script_text_is_logged_as_it_was_received() -> None:
    bench = Bench()
    text = "function f { param($x) $x } f (1..3)"
    assert bench.script(text).texts == ["1", "2", "3"]
    assert bench.record.scripts == [text]


def test_invoked_text_is_a_script_block_of_its_own() -> None:
    bench = Bench()
    assert bench.script("Invoke-Expression '1+1'").texts == ["2"]
    assert bench.record.scripts == ["Invoke-Expression '1+1'", "1+1"]


def test_a_program_is_a_child_of_the_session_with_its_command_line() -> None:
    bench = Bench()
    bench.script("whoami.exe /groups")
    program, conhost = bench.record.processes
    assert program.parent is bench.worker
    assert program.command_line == '"C:\\Windows\\system32\\whoami.exe" /groups'
    assert program.path == "C:\\Windows\\System32\\whoami.exe"
    assert program.directory == "C:\\Users\\purple\\Documents\\"
    assert program.logon is bench.logon
    assert conhost.parent is program
    assert program not in bench.host.processes
    assert bench.record.commands == []


def test_a_child_powershell_has_an_engine_of_its_own() -> None:
    bench = Bench()
    encoded = base64.b64encode("hostname.exe; $Host.Name; exit 4".encode("utf-16-le")).decode()
    answer = bench.script(f"powershell.exe -NoProfile -EncodedCommand {encoded}; $LASTEXITCODE")
    assert answer.texts == ["WS6", "ConsoleHost", "4"]
    (engine,) = bench.record.started
    assert bench.record.stopped == [engine]
    assert engine.host_name == "ConsoleHost"
    assert engine.process is bench.record.processes[0]
    assert engine.host_id != bench.engine.host_id
    assert [one.image.original_name for one in bench.record.processes] == ["PowerShell.EXE", "CONHOST.EXE", "hostname.exe"]
    assert bench.record.processes[2].parent is engine.process
    assert "hostname.exe; $Host.Name; exit 4" in bench.record.scripts


# --- time and stops -------------------------------------------------------------------------------------------------------


def test_sleep_is_the_clients_time() -> None:
    bench = Bench()
    bench.script("Start-Sleep 2; Start-Sleep -Milliseconds 500")
    assert (bench.clock.now() - DAWN).total_seconds() == 2.5


@pytest.mark.parametrize(
    "text", ["while ($true) { }", "Start-Sleep 5", "1..900000 | ForEach-Object { $_ } | Out-Null", "cmd.exe /c whoami"]
)
def test_a_stop_comes_through(text: str) -> None:
    bench = Bench()
    with pytest.raises(PipelineStopped):
        bench.script(text, stop_after=0)
    assert bench.script("'alive'").texts == ["alive"]
    assert [one for one in bench.host.processes if one.parent is bench.worker] == []


def test_another_account_is_another_user() -> None:
    account = Account(domain="EAST", name="mira", sid="S-1-5-21-9-9-9-1777")
    bench = Bench(account=account, name="SRV9")
    assert bench.script("$env:USERNAME; whoami.exe; (whoami.exe /user)[-1]; (Get-Location).Path; hostname").texts == [
        "mira",
        "east\\mira",
        "",
        "C:\\Users\\mira\\Documents",
        "SRV9",
    ]
    assert PURPLE.name not in bench.worker.logon.account.name
