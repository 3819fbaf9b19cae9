"""What goes wrong: the ids and categories of records, what ends a statement, what ends a pipeline, what is refused by name."""

from __future__ import annotations

import pytest

from lab.machine import Command, Parameter, PipelineRequest
from tests.lab.host.powershell_bench import Answer, Bench


def command(name: str, *parameters: Parameter) -> PipelineRequest:
    return PipelineRequest(commands=(Command(text=name, is_script=False, parameters=parameters),))


def test_an_unknown_command_in_a_script_is_written_and_the_script_goes_on() -> None:
    answer = Bench().script("nope-nothing; 5")
    assert answer.ended is None
    assert answer.texts == ["5"]
    (record,) = answer.client.errors
    assert record.error_id == "CommandNotFoundException"
    assert record.category == "ObjectNotFound"
    assert record.exception_type == "System.Management.Automation.CommandNotFoundException"
    assert record.target == "nope-nothing"
    assert record.message.startswith(
        "The term 'nope-nothing' is not recognized as the name of a cmdlet, function, script file, or operable program."
    )


def test_an_unknown_command_in_a_command_list_ends_the_pipeline() -> None:
    answer = Bench().request(command("nope-nothing"))
    assert answer.client.errors == []
    assert answer.ended is not None
    assert answer.ended.error_id == "CommandNotFoundException"


@pytest.mark.parametrize(
    ("script", "error_id"),
    [
        ("Get-Item C:\\no", "PathNotFound,Microsoft.PowerShell.Commands.GetItemCommand"),
        ("Get-Content C:\\Windows", "GetContentReaderUnauthorizedAccessError,Microsoft.PowerShell.Commands.GetContentCommand"),
        ("Get-Service nope", "NoServiceFoundForGivenName,Microsoft.PowerShell.Commands.GetServiceCommand"),
        ("Get-Process -Id 3", "NoProcessFoundForGivenId,Microsoft.PowerShell.Commands.GetProcessCommand"),
        ("Get-LocalUser nope", "UserNotFound,Microsoft.PowerShell.Commands.GetLocalUserCommand"),
        ("Get-Service -Foo x", "NamedParameterNotFound,Microsoft.PowerShell.Commands.GetServiceCommand"),
        ("Get-Service a b", "PositionalParameterNotFound,Microsoft.PowerShell.Commands.GetServiceCommand"),
        ("Get-Service -Name", "MissingArgument,Microsoft.PowerShell.Commands.GetServiceCommand"),
        ("Get-Service -Name a -Name b", "ParameterAlreadyBound,Microsoft.PowerShell.Commands.GetServiceCommand"),
        ("Select-Object -Ex a", "AmbiguousParameter,Microsoft.PowerShell.Commands.SelectObjectCommand"),
        ("Get-Content", "MissingMandatoryParameter,Microsoft.PowerShell.Commands.GetContentCommand"),
        (
            "Set-Content -Path $nothing -Value 1",
            "ParameterArgumentValidationErrorNullNotAllowed,Microsoft.PowerShell.Commands.SetContentCommand",
        ),
        ("Remove-Item C:\\Users", "DirectoryNotEmpty,Microsoft.PowerShell.Commands.RemoveItemCommand"),
        ("New-Item C:\\Windows\\win.ini", "NewItemIOError,Microsoft.PowerShell.Commands.NewItemCommand"),
        ("1/0", "RuntimeException"),
        ("[int]'x'", "InvalidCastFromStringToInteger"),
        ("[int]99999999999", "InvalidCastIConvertible"),
        ("$null.Trim()", "InvokeMethodOnNull"),
        ("$null[0]", "NullArray"),
        ("$true = 1", "VariableNotWritable"),
        ("@{a=1;A=2}", "DuplicateKeyInHashLiteral"),
        ("'{1}' -f 0", "FormatError"),
        ("& C:\\Windows\\win.ini", "NativeCommandFailed"),
        (". ''", "BadExpression"),
        ("Write-Error -Message x -ErrorId mine", "mine"),
    ],
)
def test_an_error_that_does_not_end_the_script_has_windows_own_id(script: str, error_id: str) -> None:
    answer = Bench().script(f"{script}\n'after'")
    assert answer.ended is None
    assert answer.error_ids == [error_id]
    assert answer.texts == ["after"]


@pytest.mark.parametrize(
    ("script", "error_id"),
    [
        ("throw 'mine'", "mine"),
        ("throw", "ScriptHalted"),
        ("Get-Item C:\\no -ErrorAction Stop", "PathNotFound,Microsoft.PowerShell.Commands.GetItemCommand"),
        ("$ErrorActionPreference='Stop'; nope", "CommandNotFoundException"),
        ("function f { throw 'deep' }; f", "deep"),
        ("if (1) {", "UnexpectedToken"),
        (")", "UnexpectedToken"),
        ("'open", "UnexpectedToken"),
        ("function r { r }; r", "CallDepthOverflow"),
    ],
)
def test_an_error_that_ends_the_script_is_given_back(script: str, error_id: str) -> None:
    answer = Bench().script(f"{script}\n'after'")
    assert answer.ended is not None
    assert answer.ended.error_id == error_id
    assert answer.client.errors == []
    assert "after" not in answer.texts


def test_a_script_that_cannot_be_parsed_runs_no_statement() -> None:
    bench = Bench()
    assert bench.script("whoami.exe\nif (1) {").texts == []
    assert bench.record.processes == []


NOT_EMULATED = [
    "Get-CimInstance Win32_Thread",
    "Get-ChildItem Cert:\\LocalMachine",
    "[System.Net.Sockets.UdpClient]::new()",
    "whoami.exe /claims",
    "reg.exe save HKLM\\SAM x",
    "nltest.exe /user:x",
    "netstat.exe -anb",
    "vssadmin.exe delete shadows",
    "wevtutil.exe cl Security",
    "wmic.exe process call create x",
    "tasklist.exe /m",
    "New-Object -ComObject Shell.Application",
    "Get-WinEvent -FilterXml '<x/>'",
    "Stop-Service Spooler -Confirm",
    "Get-Service -ComputerName x",
    "Get-Content C:\\Windows\\System32\\whoami.exe",
    "[Reflection.Assembly]::LoadFile('x')",
    "'x'.Foo()",
    "'x' | ForEach-Object Foo",
    "[xml]'<a/>'",
    "'x' -match '(a+)+$'",
    "cmd.exe /x",
    "powershell.exe",
    "schtasks.exe /create",
    "certutil.exe -urlcache -f http://x y",
    "bitsadmin.exe /transfer x http://x y",
    "Invoke-Command -VMName x { 1 }",
]


@pytest.mark.parametrize("script", NOT_EMULATED)
def test_what_windows_has_and_the_host_has_not_is_refused_by_name(script: str) -> None:
    answer = Bench().script(script)
    assert answer.error_ids == ["NotEmulated"]
    assert answer.texts == []
    (record,) = answer.client.errors
    assert record.category == "NotImplemented"
    assert record.target


@pytest.mark.parametrize(
    "script", ["dir && dir", "class A { }", "workflow w { }", "data { 1 }", "using namespace System", "$a = 1 ? 2 : 3"]
)
def test_a_construct_that_is_not_emulated_refuses_the_whole_script(script: str) -> None:
    bench = Bench()
    answer = bench.script(f"whoami.exe\n{script}") if not script.startswith("using") else bench.script(script)
    assert answer.error_ids in (["NotEmulated"], ["UnexpectedToken"], ["InvalidEndOfLine"])
    assert answer.texts == []
    assert bench.record.processes == []


def test_a_refused_program_starts_no_process() -> None:
    bench = Bench()
    bench.script("notepad.exe")
    assert bench.record.processes == []


CAUGHT = [
    ('try { nope } catch { "$($_.Exception.Message.Length -gt 9) $($_.FullyQualifiedErrorId)" }', ["True CommandNotFoundException"]),
    ("try { throw 'a' } catch { \"$_\" } finally { 'f' }", ["a", "f"]),
    ("try { 1 } finally { 'f' }; 2", ["1", "f", "2"]),
    (
        "try { Get-Item C:\\no -ea Stop } catch [System.Management.Automation.ItemNotFoundException] { 'typed' } catch { 'other' }",
        ["typed"],
    ),
    ("try { 1/0 } catch [System.Management.Automation.ItemNotFoundException] { 'typed' } catch { 'other' }", ["other"]),
    ("try { try { throw 'in' } catch { throw } } catch { \"out $_\" }", ["out in"]),
    ("function f { nope; 'never' }; try { f } catch { 'caught' }", ["caught"]),
    ("try { throw [pscustomobject]@{a=1} } catch { 'c' }; 'd'", ["c", "d"]),
    ("foreach ($i in 1,2) { try { if ($i -eq 1) { continue }; $i } finally { 'f' } }", ["f", "2", "f"]),
]


@pytest.mark.parametrize(("script", "expected"), CAUGHT, ids=[script[:50] for script, _ in CAUGHT])
def test_what_is_caught_goes_on(script: str, expected: list[str]) -> None:
    answer = Bench().script(script)
    assert answer.error_ids == []
    assert answer.texts == expected


def test_the_state_of_the_last_command_can_be_asked() -> None:
    bench = Bench()
    assert bench.script("Get-Item C:\\no -ea 0; $?; 1; $?; $Error.Count; $Error[0].FullyQualifiedErrorId").texts == [
        "False",
        "1",
        "True",
        "1",
        "PathNotFound,Microsoft.PowerShell.Commands.GetItemCommand",
    ]
    assert bench.script("Get-Item C:\\no -ea Ignore; $Error.Count").texts == ["1"]


def test_error_redirection() -> None:
    bench = Bench()
    assert bench.script("whoami.exe /bad 2>$null; $LASTEXITCODE").texts == ["1"]
    merged = bench.script('whoami.exe /bad 2>&1 | ForEach-Object { "<$_>" }')
    assert merged.texts[0] == "<ERROR: Invalid argument/option - '/bad'.>"
    assert merged.error_ids == []
    quiet = bench.script("Get-Item C:\\no 2>$null; Get-Item C:\\no *>$null; Get-Item C:\\no 2> C:\\e.txt; Get-Content C:\\e.txt")
    assert quiet.error_ids == []
    assert quiet.texts == ["Cannot find path 'C:\\no' because it does not exist."]


def test_a_programs_error_lines_are_error_records() -> None:
    answer = Bench().script("whoami.exe /bad; $?")
    assert answer.error_ids == ["NativeCommandError", "NativeCommandErrorMessage"]
    assert answer.texts == ["False"]


def merged(bench: Bench) -> Answer:
    commands = (Command(text="Get-Item C:\\no; 1", is_script=True, merge_to_output=True), Command(text="Out-Default", is_script=False))
    return bench.request(PipelineRequest(commands=commands), has_host=True)


def test_errors_that_are_merged_into_the_output_reach_the_screen() -> None:
    answer = merged(Bench())
    assert answer.error_ids == []
    assert answer.client.screen == [
        "Get-Item : Cannot find path 'C:\\no' because it does not exist.",
        "    + CategoryInfo          : ObjectNotFound: (C:\\no:String) [Get-Item], ItemNotFoundException",
        "    + FullyQualifiedErrorId : PathNotFound,Microsoft.PowerShell.Commands.GetItemCommand",
        "1",
    ]
