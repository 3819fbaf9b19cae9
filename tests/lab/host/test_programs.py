"""The native programs: their lines and exit codes, the processes they make, and what a copy under another name is."""

from __future__ import annotations

import base64
import hashlib
import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.host.images import executables
from lab.host.programs.base import PROGRAMS, after_program, command_line, quote_argument, split_arguments
from lab.machine import Account
from tests.lab.host.powershell_bench import Bench

NAMES = st.text(string.ascii_lowercase + string.digits, min_size=3, max_size=12)


@given(NAMES, st.sampled_from(["/groups", "/user", "/priv", "/all"]), NAMES, st.sampled_from(["C:\\Windows\\Temp", "C:\\Users\\Public"]))
@settings(max_examples=25, deadline=None)
def test_a_copy_runs_under_its_own_name_and_keeps_its_identity(name: str, argument: str, user: str, place: str) -> None:
    bench = Bench(account=Account(domain="LAB", name=user, sid="S-1-5-21-1-2-3-1500"))
    path = f"{place}\\{name}.exe"
    answer = bench.script(f"Copy-Item C:\\Windows\\System32\\whoami.exe {path}; & {path} {argument}; $LASTEXITCODE")
    assert answer.error_ids == []
    assert answer.texts[-1] == "0"
    process, conhost = bench.record.processes
    assert process.path == path
    assert process.command_line == f'"{path}" {argument}'
    assert process.image == executables()["C:\\Windows\\System32\\whoami.exe"].image
    assert process.logon.account.name == user
    assert process.parent is bench.worker
    assert conhost.parent is process


def test_a_copy_can_be_run_from_the_current_directory_and_not_without_saying_so() -> None:
    bench = Bench()
    bench.script("Set-Location C:\\Windows\\Temp; Copy-Item C:\\Windows\\System32\\hostname.exe q7x.exe")
    assert bench.script(".\\q7x.exe; .\\q7x").texts == ["WS6", "WS6"]
    assert bench.script("q7x.exe").error_ids == ["CommandNotFoundException"]
    assert [one.path for one in bench.record.processes if one.image.original_name == "hostname.exe"] == ["C:\\Windows\\Temp\\q7x.exe"] * 2


LINES: list[tuple[str, str]] = [
    ("whoami.exe", "lab\\purple"),
    ("whoami.exe /groups", "Mandatory Label\\High Mandatory Level"),
    ("whoami.exe /priv /fo csv", '"SeDebugPrivilege","Debug programs","Enabled"'),
    ("whoami.exe /user /fo list", "SID:       S-1-5-21-1004336348-1177238915-682003330-1105"),
    ("hostname.exe", "WS6"),
    ("ipconfig.exe", "   IPv4 Address. . . . . . . . . . . : 10.10.5.6"),
    ("ipconfig.exe /all", "   Host Name . . . . . . . . . . . . : WS6"),
    ("systeminfo.exe", "OS Name:                   Microsoft Windows 10 Enterprise"),
    ("tasklist.exe /fo csv /nh", '"System","4","Services","0","3,904 K"'),
    ("net.exe user", "Administrator            DefaultAccount           Guest                    "),
    ("net.exe localgroup Administrators", "LAB\\purple"),
    ("net.exe start", "   Windows Remote Management (WS-Management)"),
    ("sc.exe query WinRM", "        STATE              : 4  RUNNING "),
    ("sc.exe qc WinRM", "        START_TYPE         : 2   AUTO_START"),
    ("arp.exe -a", "Interface: 10.10.5.6 --- 0xc"),
    ("netstat.exe -ano", "  TCP    0.0.0.0:5985           0.0.0.0:0              LISTENING       4"),
    ("schtasks.exe /query /fo csv", '"TaskName","Next Run Time","Status"'),
    ("reg.exe query 'HKLM\\SOFTWARE\\Microsoft\\Windows NT\\CurrentVersion' /v CurrentBuild", "    CurrentBuild    REG_SZ    19045"),
    ("bitsadmin.exe /list", "Listed 0 job(s)."),
    ("where.exe whoami", "C:\\Windows\\system32\\whoami.exe"),
    ("systeminfo.exe | findstr.exe /c:'Host Name'", "Host Name:                 WS6"),
    ("cmd.exe /c ver", "Microsoft Windows [Version 10.0.19045.3803]"),
    ("cmd.exe /c set USERDOMAIN", "USERDOMAIN=LAB"),
    ("cmd.exe /c dir C:\\Windows", " Directory of C:\\Windows"),
    ("cmd.exe /c echo hello world", "hello world"),
    ("cmd.exe /c 'echo %COMPUTERNAME%'", "WS6"),
    ("cmd.exe /c cd", "C:\\Users\\purple\\Documents"),
    ("cmd.exe /c type C:\\Windows\\win.ini", "[fonts]"),
    ("powershell.exe -NoProfile -Command 'Write-Output 5'", "5"),
    ("powershell.exe 1+1", "2"),
]


@pytest.mark.parametrize(("script", "line"), LINES, ids=[script[:50] for script, _ in LINES])
def test_a_program_writes_what_windows_writes(script: str, line: str) -> None:
    answer = Bench().script(script)
    assert answer.error_ids == []
    assert any(text.startswith(line) for text in answer.texts), answer.texts


CODES: list[tuple[str, int]] = [
    ("whoami.exe", 0),
    ("whoami.exe /bad", 1),
    ("cmd.exe /c exit 9", 9),
    ("cmd.exe /c 'exit /b -3'", -3),
    ("cmd.exe /c nope-nothing", 1),
    ("cmd.exe /c 'nope-nothing || hostname'", 0),
    ("cmd.exe /c 'nope-nothing && hostname'", 1),
    ("cmd.exe /c 'nope-nothing & hostname'", 0),
    ("cmd.exe /c 'whoami /bad'", 1),
    ("powershell.exe -Command 'exit 3'", 3),
    ("powershell.exe -Command 'nope-nothing'", 1),
    ("powershell.exe -Command 'throw 1'", 1),
    ("powershell.exe -Command 'cmd /c exit 6; exit $LASTEXITCODE'", 6),
    ("powershell.exe -EncodedCommand !!!", 1),
    ("sc.exe query nope", 1060),
    ("net.exe user nope", 2),
    ("reg.exe query HKLM\\nope", 1),
    ("findstr.exe nothing C:\\Windows\\win.ini", 1),
    ("where.exe nope", 1),
    ("quser.exe", 1),
    ("certutil.exe -hashfile C:\\no", -2147024894),
]


@pytest.mark.parametrize(("script", "code"), CODES)
def test_a_program_ends_with_its_code(script: str, code: int) -> None:
    assert Bench().script(f"{script} 2>$null | Out-Null; $LASTEXITCODE").texts == [str(code)]


def test_a_shells_programs_are_the_shells_children() -> None:
    bench = Bench()
    bench.script("cmd.exe /c 'whoami /user && cmd /c hostname'")
    shell, console, whoami, inner, hostname = bench.record.processes
    assert [one.image.original_name for one in (shell, console, whoami, inner, hostname)] == [
        "Cmd.Exe",
        "CONHOST.EXE",
        "whoami.exe",
        "Cmd.Exe",
        "hostname.exe",
    ]
    assert whoami.parent is shell
    assert whoami.command_line == "whoami /user"
    assert inner.parent is shell
    assert hostname.parent is inner


def test_net_hands_on_to_net1() -> None:
    bench = Bench()
    bench.script("net.exe localgroup administrators")
    net, _, net1 = bench.record.processes
    assert net1.parent is net
    assert net1.command_line == "C:\\Windows\\system32\\net1 localgroup administrators"


def test_certutil_and_the_telemetry_tell_the_same_hash() -> None:
    bench = Bench()
    digest = bench.script("certutil.exe -hashfile C:\\Windows\\System32\\whoami.exe SHA256").texts[1]
    content = bench.host.files.read("C:\\Windows\\System32\\whoami.exe").content
    assert digest == hashlib.sha256(content).hexdigest()
    assert digest.upper() == bench.host.executable("C:\\Windows\\System32\\whoami.exe").hashes["SHA256"]


def test_a_programs_changes_to_the_environment_stay_its_own() -> None:
    bench = Bench()
    assert bench.script("cmd.exe /c 'set LAB=1 & set LAB'; $null -eq $env:LAB").texts == ["LAB=1 ", "True"]
    assert bench.script("$env:LAB='x'; cmd.exe /c 'set LAB'; powershell.exe -c '$env:LAB'").texts == ["LAB=x", "x"]


def test_a_chain_of_programs_without_end_is_refused() -> None:
    inner = "hostname.exe"
    for _ in range(14):
        inner = f"cmd /c {inner}"
    answer = Bench().script(inner)
    assert answer.error_ids == ["NotEmulated"]


def test_every_program_belongs_to_an_executable_of_the_disk() -> None:
    held = {one.image.original_name.lower() for one in executables().values()}
    assert set(PROGRAMS) <= held


# --- command lines --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ("whoami.exe", '"C:\\Windows\\system32\\whoami.exe"'),
        ("whoami /groups", '"C:\\Windows\\system32\\whoami.exe" /groups'),
        ("& 'C:\\Windows\\System32\\whoami.exe' \"/fo\" csv", '"C:\\Windows\\System32\\whoami.exe" /fo csv'),
        ('& "$env:windir\\system32\\whoami.exe" /user', '"C:\\Windows\\system32\\whoami.exe" /user'),
        ("whoami.exe 'a b' c", '"C:\\Windows\\system32\\whoami.exe" "a b" c'),
        ("whoami.exe 007 1kb -5 0x1F", '"C:\\Windows\\system32\\whoami.exe" 007 1kb -5 0x1F'),
        ("whoami.exe -x:y -flag $true", '"C:\\Windows\\system32\\whoami.exe" -x:y -flag True'),
        ("$a='p','q r'; whoami.exe $a", '"C:\\Windows\\system32\\whoami.exe" p "q r"'),
        ('whoami.exe --% %USERDOMAIN% "x', '"C:\\Windows\\system32\\whoami.exe" LAB "x'),
        ("whoami.exe '' x", '"C:\\Windows\\system32\\whoami.exe" x'),
        ("WHOAMI", '"C:\\Windows\\system32\\whoami.exe"'),
    ],
)
def test_command_lines_are_built_as_windows_powershell_builds_them(given: str, line: str) -> None:
    bench = Bench()
    bench.script(given)
    assert bench.record.processes[0].command_line == line


@given(st.lists(st.text(string.ascii_letters + string.digits + " .-/:=,", min_size=1, max_size=12), max_size=6))
def test_arguments_come_back_out_of_a_command_line(arguments: list[str]) -> None:
    line = command_line("C:\\a b\\x.exe", [quote_argument(one) for one in arguments])
    assert split_arguments(after_program(line)) == arguments


@given(st.text(max_size=80))
def test_any_text_splits_into_arguments(text: str) -> None:
    found = split_arguments(text)
    assert sum(len(one) for one in found) <= len(text)


@pytest.mark.parametrize(
    ("text", "arguments"),
    [
        ('a "b c" d', ["a", "b c", "d"]),
        ('a\\"b', ['a"b']),
        ('"a\\\\" b', ["a\\", "b"]),
        ("a\\b c\\", ["a\\b", "c\\"]),
        ('""', [""]),
        ('x"y z"w', ["xy zw"]),
    ],
)
def test_the_c_runtimes_rules(text: str, arguments: list[str]) -> None:
    assert split_arguments(text) == arguments


def test_a_quoted_argument_keeps_its_quotes() -> None:
    assert quote_argument('"a b"') == '"a b"'
    assert quote_argument("C:\\a b\\") == '"C:\\a b\\\\"'


def test_encoded_commands_of_any_case_and_length_of_option() -> None:
    bench = Bench()
    encoded = base64.b64encode("hostname".encode("utf-16-le")).decode()
    for option in ("-e", "-enc", "-EncodedCommand", "/ec", "-ENCOD"):
        assert bench.script(f"powershell.exe -nop -w hidden {option} {encoded}").texts == ["WS6"], option
