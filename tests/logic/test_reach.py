"""What a PowerShell text may set going: certain, or anything."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.logic.reach import Reach, looking_program, reach


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Get-Service WinRM",
        "get-service -Name 'WinRM' | Select-Object Name, Status",
        "Get-Process | Where-Object { $_.Id -eq 4 } | ForEach-Object { $_.Name }",
        "param($Path) Set-Content -Path $Path -Value lab",
        "param([string]$Path, [int] $Count = 3)\nRemove-Item -Path $Path -Force",
        "$files = Get-ChildItem C:\\Windows\n$files | Sort-Object Length",
        "(Get-Service WinRM).Status",
        "(Get-ChildItem)[0]",
        "if (Test-Path C:\\x) { 'yes' } else { return 'no' }",
        "foreach ($s in Get-Service) { $s.Name }",
        "try { Get-Item C:\\x } catch { exit 3 }",
        'Write-Output "user is $env:USERNAME" # a comment with calc.exe; in it',
        "[int]$n = 5; 1..$n",
        "@{ Name = 'x'; Path = 'y' } | Out-String",
        "Write-Output a#b",
        "exit 3",
        "$x = $y = 5",
        "Get-Content C:\\a.txt > C:\\b.txt 2>&1",
    ],
)
def test_texts_that_stay_in_their_own_process(text: str) -> None:
    assert reach([text]) is Reach.ITSELF


@pytest.mark.parametrize(
    "text",
    [
        "whoami",
        "whoami.exe /groups",
        "& whoami.exe",
        "C:\\Windows\\System32\\HOSTNAME.EXE",
        "& 'C:\\Windows\\System32\\whoami.exe' /all",
        "hostname.exe | Out-String",
        "ipconfig /all",
        "net user",
        "$who = whoami",
        "& { whoami }",
        "Measure-Command { whoami }",
        "(hostname).Length",
    ],
)
def test_programs_that_only_look(text: str) -> None:
    assert reach([text]) is Reach.CHILD


@pytest.mark.parametrize(
    "text",
    [
        "& C:\\Windows\\Temp\\x.exe",
        "C:\\Windows\\Temp\\whoami.exe",
        "cmd.exe /c whoami",
        "powershell.exe -Command Get-Date",
        "Start-Process whoami.exe",
        "Start-Job { Get-Date }",
        "Invoke-WebRequest http://example.org",
        "Invoke-Command -ComputerName ws5 { Get-Date }",
        "Get-Service -ComputerName ws5",
        "Get-Process -Comp ws5",
        "Get-Service @remote",
        "Get-Content \\\\ws5\\share\\x",
        "Invoke-Expression $text",
        "& $program",
        "& ($program)",
        ". C:\\x.ps1",
        "$(calc.exe)",
        'Write-Output "$(calc.exe)"',
        "[System.Diagnostics.Process]::Start('calc')",
        "$client.DownloadString('x')",
        "(New-Object Net.WebClient).DownloadString('x')",
        "New-Object -ComObject WScript.Shell",
        "[wmiclass]'win32_process'",
        "Get-CimInstance Win32_Process",
        "Add-Type -TypeDefinition $code",
        "foreach ($s in calc.exe) { $s }",
        "if (calc.exe) { 1 }",
        "process-thing",
        "calc = 1",
        "7z.exe x",
        "Write-Output a#b; calc.exe",
        "Write-`Output x",
        "Write-Output @'\ncalc\n'@",
        "Write-Output 'unfinished",
        "net use x:",
        "net user /domain",
        "ipconfig /renew",
        "tasklist /S ws5",
    ],
)
def test_whatever_is_not_certain_may_do_anything(text: str) -> None:
    assert reach([text]) is Reach.ANYTHING


def test_the_farthest_of_several_texts_counts() -> None:
    assert reach([]) is Reach.ITSELF
    assert reach(["Get-Date", "whoami"]) is Reach.CHILD
    assert reach(["Get-Date", "calc", "whoami"]) is Reach.ANYTHING


@given(st.text("Get-Date$(){}|;&'\"#@.=[]:\n x", max_size=40), st.sampled_from(["\ncalc.exe\n", ";calc.exe;", "\n& calc.exe\n"]))
def test_a_program_on_a_line_of_its_own_is_never_overlooked(before: str, program: str) -> None:
    # Whatever stands before it, unless it opens a string or a comment that takes it in.
    opened = any(sign in before for sign in "'\"#")
    assert opened or reach([before + program]) is Reach.ANYTHING


@pytest.mark.parametrize(
    ("line", "program"),
    [
        ("ipconfig.exe /all", "ipconfig"),
        ("C:\\Windows\\System32\\WHOAMI.EXE /groups", "whoami"),
        ("%SystemRoot%\\system32\\hostname", "hostname"),
        ("echo lab", ""),
        ("ver", ""),
        ("ipconfig & calc", None),
        ("echo %PATH%", None),
        ("net use \\\\other\\share", None),
        ("powershell.exe -c 1", None),
        ("C:\\Temp\\whoami.exe", None),
        ("", None),
    ],
)
def test_what_a_line_for_cmd_starts(line: str, program: str | None) -> None:
    assert looking_program(line) == program
