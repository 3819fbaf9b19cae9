"""The cmdlets: what they give for the model's state, and what they change in it."""

from __future__ import annotations

import json
from datetime import datetime

import pytest

from lab.host.powershell.aliases import ALIASES, REFUSED
from lab.host.powershell.commands import CMDLETS
from lab.machine import PSObject
from tests.lab.host.powershell_bench import DAWN, Bench

TABLE: list[tuple[str, list[str]]] = [
    ("(Get-Service WinRM).Status; (gsv Spooler).DisplayName; (Get-Service Win*).Count", ["Running", "Print Spooler", "4"]),
    ("Get-Service -DisplayName 'Print*' | % Name; 'WinRM','BITS' | Get-Service | % Status", ["Spooler", "Running", "Stopped"]),
    (
        "(Get-Process -Name wsmprovhost).Id -eq $PID; (gps lsass).Path; (ps -Id 4).ProcessName",
        ["True", "C:\\Windows\\System32\\lsass.exe", "System"],
    ),
    ("(Get-Service | Where-Object Status -eq Stopped | Measure-Object).Count -gt 3", ["True"]),
    (
        "Test-Path C:\\Windows; Test-Path C:\\no; Test-Path C:\\Windows -PathType Leaf; Test-Path C:\\Win*",
        ["True", "False", "False", "True"],
    ),
    ("(Get-Item C:\\windows\\WIN.INI).FullName; (gi C:\\Windows).PSIsContainer", ["C:\\Windows\\win.ini", "True"]),
    (
        "Get-ChildItem C:\\Windows -Name -File; (ls C:\\Windows\\System32\\who*.exe).Name",
        ["explorer.exe", "regedit.exe", "win.ini", "whoami.exe"],
    ),
    (
        "Split-Path C:\\a\\b.txt; Split-Path C:\\a\\b.txt -Leaf; Join-Path C:\\a\\ b; Split-Path C:\\a -Qualifier",
        ["C:\\a", "b.txt", "C:\\a\\b", "C:"],
    ),
    (
        "cd C:\\Windows\\System32; (pwd).Path; cd ..; (gl).Path; cd; $pwd.Path",
        ["C:\\Windows\\System32", "C:\\Windows", "C:\\Users\\purple"],
    ),
    (
        "Get-Date -Format o; Get-Date -Format 'yyyy/MM/dd HH:mm'; Get-Date -UFormat %Y",
        ["2026-03-14T09:26:53.5897930Z", "2026/03/14 09:26", "2026"],
    ),
    ("Get-Date -Date '2026-01-31' -Format dddd; (Get-Date -Year 2020).Year", ["Saturday", "2020"]),
    ("(Get-Host).Name; (Get-ComputerInfo).CsName; (Get-ComputerInfo CsDomain).CsDomain", ["ServerRemoteHost", "WS6", "lab.example"]),
    ("(Get-CimInstance Win32_OperatingSystem).BuildNumber; (gcim Win32_ComputerSystem).Domain", ["19045", "lab.example"]),
    (
        "(Get-LocalUser Administrator).Enabled; (Get-LocalGroup Adm*).SID; (Get-LocalGroupMember Administrators)[1].Name",
        ["False", "S-1-5-32-544", "LAB\\purple"],
    ),
    (
        "(Get-NetIPAddress -AddressFamily IPv4).IPAddress; (Get-NetTCPConnection -LocalPort 5985)[0].OwningProcess",
        ["10.10.5.6", "127.0.0.1", "4"],
    ),
    ("Set-Variable v 3; Get-Variable v -ValueOnly; (Get-Variable v).Value", ["3", "3"]),
    (
        "(Get-Command whoami).Source; (Get-Command gsv).Definition; (Get-Command prompt).CommandType",
        ["C:\\Windows\\system32\\whoami.exe", "Get-Service", "Function"],
    ),
    ("Write-Output a b; echo (1,2)", ["a", "b", "1", "2"]),
    ("1..5 | Select-Object -Skip 1 -First 2; 1..5 | select -Last 1; 1,1,2 | select -Unique", ["2", "3", "5", "1", "2"]),
    ("Get-Service WinRM | select Name,@{n='S';e={$_.Status}} | % { \"$($_.Name)=$($_.S)\" }", ["WinRM=Running"]),
    ("Get-Service WinRM | Select-Object -ExpandProperty Name; (Get-Service WinRM | select N*).Name", ["WinRM", "WinRM"]),
    ("'bb','a' | Sort-Object Length; Get-Service W* | sort Name -Descending | select -First 1 | % Name", ["a", "bb", "wuauserv"]),
    (
        '$m = 3,1,2 | Measure-Object -Sum -Maximum -Minimum -Average; "$($m.Count) $($m.Sum) $($m.Maximum) $($m.Minimum) $($m.Average)"',
        ["3 6 3 1 2"],
    ),
    ("'a','b','A' | Group-Object | % { \"$($_.Name) $($_.Count)\" }", ["a 2", "b 1"]),
    ("('x' | Out-String) -eq \"x`r`n\"; 1,2 | Out-String -Stream; 1 | Out-Null", ["True", "1", "2"]),
    ("'ab','c' | ForEach-Object Length; 1..2 | % -Begin {'b'} -Process {$_} -End {'e'}", ["2", "1", "b", "1", "2", "e"]),
    ("'a','b' | ForEach-Object ToUpper; @{k=1} | % k", ["A", "B", "1"]),
    ("Invoke-Command -ScriptBlock { param($a) $a*2 } -ArgumentList 4", ["8"]),
    ("Get-Service WinRM | Format-Table Name,Status -HideTableHeaders | % { $_.Trim() } | ? { $_ }", ["WinRM Running"]),
]


@pytest.mark.parametrize(("script", "expected"), TABLE, ids=[script[:50] for script, _ in TABLE])
def test_cmdlets_answer_from_the_model(script: str, expected: list[str]) -> None:
    answer = Bench().script(script)
    assert answer.error_ids == []
    assert answer.texts == expected


def test_a_service_is_an_object_with_its_types_and_properties() -> None:
    (value,) = Bench().script("Get-Service WinRM").client.values
    assert isinstance(value, PSObject)
    assert value.type_names[0] == "System.ServiceProcess.ServiceController"
    assert value.properties["Name"] == "WinRM"
    assert value.properties["ServicesDependedOn"] == ["RPCSS", "HTTP"]


def test_a_date_is_a_date() -> None:
    (value,) = Bench().script("Get-Date").client.values
    assert isinstance(value, datetime)
    assert value == DAWN


def test_files_are_written_read_copied_moved_and_removed() -> None:
    bench = Bench()
    bench.script("New-Item -ItemType Directory C:\\Temp\\in | Out-Null; Set-Content C:\\Temp\\in\\a.txt 'one','two'")
    bench.script("Add-Content C:\\Temp\\in\\a.txt three")
    assert bench.script("Get-Content C:\\Temp\\in\\a.txt; gc C:\\Temp\\in\\a.txt -Tail 1; (gc C:\\Temp\\in\\a.txt -Raw).Length").texts == [
        "one",
        "two",
        "three",
        "three",
        "17",
    ]
    bench.script(
        "Copy-Item C:\\Temp\\in C:\\Temp\\out -Recurse; Move-Item C:\\Temp\\out\\a.txt C:\\Temp\\b.txt; Remove-Item C:\\Temp\\in -Recurse"
    )
    assert bench.script("(Get-ChildItem C:\\Temp -Recurse).FullName").texts == ["C:\\Temp\\out", "C:\\Temp\\b.txt"]


def test_text_into_a_file_by_redirection_is_utf_16_as_windows_writes_it() -> None:
    bench = Bench()
    assert bench.script("'ä' > C:\\x.txt; 'b' >> C:\\x.txt; Get-Content C:\\x.txt").texts == ["ä", "b"]
    assert bench.host.files.read("C:\\x.txt").content == "\ufeffä\r\nb\r\n".encode("utf-16-le")


@pytest.mark.parametrize(("encoding", "content"), [("UTF8", b"\xef\xbb\xbf\xc3\xa4\r\n"), ("ASCII", b"?\r\n"), ("Default", b"\xe4\r\n")])
def test_set_content_writes_the_encoding_asked_for(encoding: str, content: bytes) -> None:
    bench = Bench()
    bench.script(f"'ä' | Set-Content C:\\x.txt -Encoding {encoding}")
    assert bench.host.files.read("C:\\x.txt").content == content


def test_json_is_json() -> None:
    (text,) = Bench().script("ConvertTo-Json @{a=1;b=@(1,'x',$null);c=[pscustomobject]@{d=1.5}} -Compress").texts
    assert json.loads(text) == {"a": 1, "b": [1, "x", None], "c": {"d": 1.5}}


def test_start_process_starts_a_process() -> None:
    bench = Bench()
    answer = bench.script("(Start-Process whoami.exe -ArgumentList '/all','/nh' -WorkingDirectory C:\\Windows -Wait -PassThru).ExitCode")
    assert answer.texts == ["0"]
    assert bench.record.processes[0].command_line == '"C:\\Windows\\system32\\whoami.exe" /all /nh'
    assert bench.record.processes[0].directory == "C:\\Windows\\"
    assert bench.script("Start-Process nope.exe").error_ids == [
        "InvalidOperationException,Microsoft.PowerShell.Commands.StartProcessCommand"
    ]


def test_select_first_stops_what_is_before_it() -> None:
    bench = Bench()
    bench.script("1..9 | ForEach-Object { hostname.exe } | Select-Object -First 1")
    assert [one.image.original_name for one in bench.record.processes].count("hostname.exe") == 1


def test_every_alias_leads_to_a_command_that_is_modelled_or_refused_by_name() -> None:
    known = set(CMDLETS) | REFUSED
    assert [alias for alias, command in ALIASES.items() if command.lower() not in known] == []


def test_every_cmdlet_has_positions_without_gaps() -> None:
    for spec in CMDLETS.values():
        places = sorted(one.position for one in spec.parameters if one.position is not None)
        assert places == list(range(len(places))), spec.name
        names = [one.name.lower() for one in spec.parameters]
        assert len(set(names)) == len(names), spec.name
