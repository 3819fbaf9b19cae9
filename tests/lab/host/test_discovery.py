"""What purple teams type to look round: lines with what they give, on one host whose state several commands and programs share."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lab.host.programs.cmd_blocks import Arithmetic
from lab.host.programs.cmd_line import LineFault
from lab.host.wql import WqlFault, condition
from lab.machine import Account, Package
from tests.lab.host.powershell_bench import PURPLE, Bench

# A line, and a line of what it writes.
SHOWN: list[tuple[str, str]] = [
    ("net localgroup administrators", "LAB\\purple"),
    ("net accounts", "Computer role:                                        WORKSTATION"),
    ("net share", "ADMIN$       C:\\Windows                      Remote Admin"),
    ("net view \\\\localhost /all", "ADMIN$      Disk           Remote Admin"),
    ("query session", " services                                    0  Disc                        "),
    ("wmic os get Caption,Version /value", "Caption=Microsoft Windows 10 Enterprise"),
    ("wmic useraccount where \"name='Guest'\" get name,disabled", "TRUE      Guest  "),
    ("wmic process get name,processid /format:csv", "WS6,System,4"),
    ('systeminfo | findstr /B /C:"OS Name"', "OS Name:                   Microsoft Windows 10 Enterprise"),
    ('tasklist /svc /fo csv /fi "imagename eq lsass.exe" /nh', '"lsass.exe","3028","SamSs"'),
    ("netstat -ano | findstr :5985", "  TCP    0.0.0.0:5985           0.0.0.0:0              LISTENING       4"),
    ("route print", "          0.0.0.0          0.0.0.0        10.10.5.1        10.10.5.6    281"),
    ("arp -a", "  10.10.5.1             00-50-56-c0-00-01     dynamic   "),
    ("nltest /domain_trusts", "    0: LAB lab.example (NT 5) (Forest Tree Root) (Primary Domain) (Native)"),
    ("schtasks /query /tn SR", "ERROR: The system cannot find the file specified."),
    ("driverquery /fo csv /nh", '"Ntfs","Ntfs","File System ",""'),
    (
        "reg query HKLM\\SOFTWARE\\Microsoft\\Windows\\CurrentVersion\\Run",
        "    SecurityHealth    REG_EXPAND_SZ    %windir%\\system32\\SecurityHealthSystray.exe",
    ),
    ("reg query HKLM\\Software /f CurrentBuild /s /e /v", "ERROR: Invalid syntax."),
    ('cmd /c "for /l %i in (1,1,3) do @echo %i"', "3"),
    ('cmd /c "for /f ""tokens=2 delims=@"" %a in (""u@h"") do @echo %a"', "h"),
    ('cmd /c "if not exist C:\\nope (echo none) else (echo some)"', "none"),
    ('cmd /v:on /c "set X=1& echo !X!"', "1"),
    ("wevtutil gl Security", "  logFileName: %SystemRoot%\\System32\\Winevt\\Logs\\Security.evtx"),
    ('auditpol /get /subcategory:"Process Creation"', "  Process Creation                        Success"),
    (
        'auditpol /get "/subcategory:{0cce922b-69ae-11d9-bed3-505054503030}" /r',
        "WS6,System,Process Creation,{0CCE922B-69AE-11D9-BED3-505054503030},Success,",
    ),
    (
        'auditpol /backup "/file:C:\\Windows\\Temp\\a.csv"; Get-Content C:\\Windows\\Temp\\a.csv',
        "WS6,System,Logon,{0CCE9215-69AE-11D9-BED3-505054503030},Success and Failure,,3",
    ),
    ("Get-NetTCPConnection -State Listen | ft LocalPort,OwningProcess -HideTableHeaders", "    47001             4"),
    (
        "Get-ChildItem HKLM:\\Software\\Policies\\Microsoft\\Windows\\PowerShell",
        "ScriptBlockLogging             EnableScriptBlockLogging : 1",
    ),
    ("Get-CimInstance Win32_BIOS | Format-List Manufacturer", "Manufacturer : VMware, Inc."),
    ("Get-Service WinRM | Format-List RequiredServices", "RequiredServices : {RPCSS, HTTP}"),
    ("Get-HotFix KB5033372", "WS6           Security Update  KB5033372     NT AUTHORITY\\SYSTEM  2/13/2024 12:00:00 AM"),
]


@pytest.mark.parametrize(("line", "shown"), SHOWN, ids=[line[:50] for line, _ in SHOWN])
def test_a_line_shows_what_windows_shows(line: str, shown: str) -> None:
    screen = Bench().typed(line)
    assert shown.rstrip() in [one.rstrip() for one in (*screen.client.screen, *(record.message for record in screen.client.errors))]


# A script, and its output as text.
GIVEN: list[tuple[str, list[str]]] = [
    ("(Get-ItemProperty 'HKLM:\\SOFTWARE\\Microsoft\\Windows NT\\CurrentVersion').ProductName", ["Windows 10 Enterprise"]),
    (
        "(Get-ItemProperty HKLM:\\Software\\Microsoft\\Windows\\CurrentVersion\\Uninstall\\* | ? DisplayName -like 'VMware*').Publisher",
        ["VMware, Inc."],
    ),
    ("Test-Path HKLM:\\Software; Test-Path HKCU:\\Nope; Test-Path Env:Path; Test-Path Function:nope", ["True", "False", "True", "False"]),
    (
        "cd HKLM:\\Software\\Microsoft; (pwd).Path; (gci .\\Cryptography -ea 0).Count; cd C:\\; (pwd).Path",
        ["HKLM:\\Software\\Microsoft", "0", "C:\\"],
    ),
    (
        '(gcim Win32_Service -Filter "Name=\'WinRM\'").StartMode; (gwmi -Query "select * from Win32_Process where Handle=4").Name',
        ["Auto", "System"],
    ),
    ("(Get-CimInstance -Namespace root/SecurityCenter2 -ClassName AntiVirusProduct).displayName", ["Windows Defender"]),
    (':a foreach ($i in 1..3) { foreach ($j in 1..3) { if ($j -eq 2) { continue a }; "$i$j" } }', ["11", "21", "31"]),
    (
        "function f { [CmdletBinding()] param([Parameter(ValueFromPipeline)]$N) process { $N * 2 } }; 1,2 | f -OutVariable o; $o.Count",
        ["2", "4", "2"],
    ),
    ("trap { 'trapped'; continue }; throw 'x'; 'after'", ["trapped", "after"]),
    ("Get-Item C:\\no -ErrorVariable e -ErrorAction SilentlyContinue; $e.Count; $e[0].CategoryInfo.Category", ["1", "ObjectNotFound"]),
    ("1,2,3 | % -PipelineVariable p { $_ } | % { $p }", ["1", "2", "3"]),
    ('Write-Warning w 3>&1 | % { "<$_>" }; Write-Verbose v -Verbose 4>&1 | % { "[$_]" }', ["<w>", "[v]"]),
    ("'a,b', '1,2' | ConvertFrom-Csv | % b; '{\"x\":[1,2]}' | ConvertFrom-Json | % { $_.x[1] }", ["2", "2"]),
    ("$l = [Collections.Generic.List[string]]::new(); $l.Add('x'); $l.Count; ([Collections.ArrayList]@(1)).Add(2)", ["1", "1"]),
    ("([Security.Principal.WindowsPrincipal][Security.Principal.WindowsIdentity]::GetCurrent()).IsInRole('Administrators')", ["True"]),
    ("[regex]::Match('ab12', '\\d+').Value; [Text.Encoding]::UTF8.GetString([Text.Encoding]::UTF8.GetBytes('ü'))", ["12", "ü"]),
    ('Compare-Object (1,2) (2,3) | % { "$($_.InputObject)$($_.SideIndicator)" }', ["3=>", "1<="]),
    (
        "'x' | Out-File C:\\t.txt; Select-String x C:\\t.txt | % LineNumber; (Get-FileHash C:\\t.txt -Algorithm MD5).Hash.Length",
        ["1", "32"],
    ),
    ("Set-Content C:\\a.ps1 'param($n) \"hi $n\"'; C:\\a.ps1 bob; powershell.exe -File C:\\a.ps1 eve", ["hi bob", "hi eve"]),
]


@pytest.mark.parametrize(("script", "texts"), GIVEN, ids=[script[:50] for script, _ in GIVEN])
def test_a_script_gives_what_windows_gives(script: str, texts: list[str]) -> None:
    answer = Bench().script(script)
    assert answer.error_ids == []
    assert answer.texts == texts


FAILS: list[tuple[str, str]] = [
    ("Get-Item HKLM:\\Nope", "PathNotFound,Microsoft.PowerShell.Commands.GetItemCommand"),
    ("Get-ChildItem X:\\", "PathNotFound,Microsoft.PowerShell.Commands.GetChildItemCommand"),
    ("Get-ChildItem Nope:\\", "DriveNotFound,Microsoft.PowerShell.Commands.GetChildItemCommand"),
    ("Get-LocalUser nobody", "UserNotFound,Microsoft.PowerShell.Commands.GetLocalUserCommand"),
    ("New-LocalUser Guest -NoPassword", "UserExists,Microsoft.PowerShell.Commands.NewLocalUserCommand"),
    ("Stop-Service RpcSs", "ServiceHasDependentServices,Microsoft.PowerShell.Commands.StopServiceCommand"),
    ("Start-Service RemoteRegistry", "CouldNotStartService,Microsoft.PowerShell.Commands.StartServiceCommand"),
    ("Stop-Process -Name lsass", "CouldNotStopProcess,Microsoft.PowerShell.Commands.StopProcessCommand"),
    ("Get-CimInstance NoSuchClass", "HRESULT 0x80041010,Microsoft.Management.Infrastructure.CimCmdlets.GetCimInstanceCommand"),
    ("Invoke-WebRequest http://example.com", "WebCmdletWebResponseException,Microsoft.PowerShell.Commands.InvokeWebRequestCommand"),
    ("Get-WinEvent -LogName Nope", "NoMatchingLogsFound,Microsoft.PowerShell.Commands.GetWinEventCommand"),
    ("function f { [CmdletBinding()] param([ValidateSet('a')]$x) }; f -x b", "ParameterArgumentValidationError,f"),
    ("function f { [CmdletBinding()] param($x) }; f -y 1", "NamedParameterNotFound,f"),
    ("[int]$n = 1; $n = 'x'", "InvalidCastFromStringToInteger"),
    ("Set-StrictMode -Version 2; $nope", "VariableIsUndefined"),
]


@pytest.mark.parametrize(("script", "error_id"), FAILS, ids=[script[:50] for script, _ in FAILS])
def test_an_error_has_the_id_that_windows_gives(script: str, error_id: str) -> None:
    assert Bench().script(script).error_ids == [error_id]


# --- state ----------------------------------------------------------------------------------------------------------------


def test_a_service_that_one_stops_is_stopped_for_all() -> None:
    bench = Bench()
    before = {one.pid for one in bench.host.processes if one.path.endswith("spoolsv.exe")}
    bench.script("Stop-Service Spooler")
    assert "        STATE              : 1  STOPPED" in [one.rstrip() for one in bench.script("sc.exe query Spooler").texts]
    assert not before & {one.pid for one in bench.host.processes}
    assert bench.script("net start Spooler; (Get-CimInstance Win32_Service -Filter \"Name='Spooler'\").State").texts[-1] == "Running"
    assert [one.path for one in bench.record.processes if one.path.endswith("spoolsv.exe")] == ["C:\\Windows\\System32\\spoolsv.exe"]


def test_a_user_that_a_program_makes_is_there_for_cmdlets_until_it_is_removed() -> None:
    bench = Bench()
    bench.script("net user eve Secret123 /add /comment:'lab user'; net localgroup Administrators eve /add")
    assert bench.script("(Get-LocalUser eve).Description; (Get-LocalGroupMember Administrators).Name").texts[-1] == "WS6\\eve"
    bench.script("Remove-LocalUser eve")
    assert bench.script("net user").error_ids == []
    assert not any("eve" in one for one in bench.script("net localgroup Administrators; net user").texts)


def test_a_value_that_a_cmdlet_writes_is_read_by_a_program_in_the_users_own_hive() -> None:
    bench = Bench()
    bench.script(
        "New-Item HKCU:\\Software\\Lab | Out-Null; New-ItemProperty HKCU:\\Software\\Lab -Name n -Value 16 -PropertyType DWord | Out-Null"
    )
    assert "    n    REG_DWORD    0x10" in bench.script("reg.exe query HKCU\\Software\\Lab").texts
    other = bench.host.new_logon(Account(domain="LAB", name="other", sid="S-1-5-21-1-2-3-1999"), Package.NTLM)
    assert bench.host.registry.find(f"HKEY_USERS\\{other.account.sid}\\Software\\Lab") is None
    bench.script("reg.exe delete HKCU\\Software\\Lab /f")
    assert bench.script("Test-Path HKCU:\\Software\\Lab").texts == ["False"]
    assert bench.host.registry.find(f"HKEY_USERS\\{PURPLE.sid}\\Software") is not None


def test_what_would_be_done_is_not_done() -> None:
    bench = Bench()
    screen = bench.typed("Stop-Service Spooler -WhatIf; Remove-Item C:\\Windows\\win.ini -WhatIf").client.screen
    assert screen[0] == 'What if: Performing the operation "Stop-Service" on target "Print Spooler (Spooler)".'
    assert bench.script("(Get-Service Spooler).Status; Test-Path C:\\Windows\\win.ini").texts == ["Running", "True"]


def test_a_process_made_by_wmi_is_a_child_of_the_provider_host() -> None:
    bench = Bench()
    (result,) = bench.script(
        "(Invoke-CimMethod Win32_Process -MethodName Create -Arguments @{CommandLine='hostname.exe'}).ReturnValue"
    ).texts
    assert result == "0"
    (made,) = [one for one in bench.record.processes if one.path.endswith("HOSTNAME.EXE")]
    assert made.parent is not None
    assert made.parent.path == "C:\\Windows\\System32\\wbem\\WmiPrvSE.exe"


def test_a_batch_file_runs_with_arguments_labels_and_subroutines() -> None:
    bench = Bench()
    lines = [
        "@echo off",
        "set N=%1",
        ":again",
        "echo %N%",
        "set /a N-=1",
        "if %N% gtr 0 goto again",
        "call :sub x",
        "exit /b 7",
        ":sub",
        "echo sub %1",
    ]
    text = "`r`n".join(lines).replace('"', '`"').replace("%", "%")
    bench.script(f'Set-Content C:\\b.bat "{text}"')
    assert bench.script("C:\\b.bat 2; $LASTEXITCODE").texts == ["2", "1", "sub x", "7"]


def test_a_password_stays_with_whoever_typed_it() -> None:
    bench = Bench()
    bench.script("net user eve Secret123 /add; $s = ConvertTo-SecureString 'Secret123' -AsPlainText -Force; Set-LocalUser eve -Password $s")
    assert "Secret123" not in repr(bench.host.sam.user("eve"))


# --- texts that nobody wrote for us ---------------------------------------------------------------------------------------


@given(st.text(st.sampled_from("0123456789+-*/%()&|^~!<>= xyab,"), max_size=40))
@example("((((((((((1")
@example("1<<31>>31")
@settings(max_examples=300, deadline=None)
def test_set_a_takes_any_text(text: str) -> None:
    try:
        found = Arithmetic(text, lambda _: "3", lambda _, __: None).value()
    except LineFault:
        return
    assert -(2**31) <= found < 2**31


@given(st.text(st.sampled_from("Name='%_[]ab ()ANDORNTLIKES<>1\""), max_size=60))
@example("Name LIKE '%a%a%a%a%a%a%a%a%a%a%b'")
@settings(max_examples=300, deadline=None)
def test_a_wql_condition_takes_any_text(text: str) -> None:
    try:
        holds = condition(text)
    except WqlFault:
        return
    assert holds({"Name": "a" * 4000}) in (True, False)
