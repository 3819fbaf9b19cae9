"""Hostile text: damaged scripts and damaged command lines on the emulated host, which runs them and nothing else."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given

from lab.host.machine import EmulatedMachine, emulated_host
from lab.machine import (
    Account,
    Command,
    CommandLine,
    ErrorRecord,
    HostFailed,
    Package,
    Peer,
    PipelineRequest,
    PipelineStopped,
    Progress,
    PSValue,
    Question,
    ShellName,
    StreamName,
)
from tests.fuzz.fuzzing import FUZZ, assert_nothing_stays, damaged, in_time, nothing_is_done, samples

PURPLE = Account(domain="LAB", name="purple", sid="S-1-5-21-1-2-3-1105")
SHELL = ShellName(resource_uri="x", shell_id="0B29FC40-CA47-1067-B31D-00DD010662DA")
TRAP = "/tmp/purple-harness-was-here"
EVIL = (
    f"Set-Content -Path {TRAP} -Value x",
    f"[System.IO.File]::WriteAllText('{TRAP}', 'x')",
    f"cmd /c echo x > {TRAP}",
    f"sh -c 'touch {TRAP}'",
    f"Start-Process touch -ArgumentList {TRAP}",
    f"& '/usr/bin/touch' {TRAP}",
    f"Invoke-Expression 'touch {TRAP}'",
    "Remove-Item -Recurse -Force /etc, C:\\*",
    "Get-Content /etc/passwd; type ..\\..\\..\\..\\etc\\passwd",
    "Invoke-WebRequest http://127.0.0.1:1/; (New-Object Net.WebClient).DownloadString('http://127.0.0.1:1/')",
    "__import__('os').system('id'); {0.__class__}; %(x)s {x!r}",
    "Add-Type 'class A {}'; [Reflection.Assembly]::LoadFile('/lib/libc.so.6')",
    "[Diagnostics.Process]::Start('id')",
)
SCRIPTS = tuple(
    text.encode()
    for text in (
        *EVIL,
        "Get-Service WinRM | Where-Object { $_.Status -eq 'Running' } | Format-Table Name, Status -AutoSize",
        "$x = 1..5 | ForEach-Object { $_ * 2 }; if ($x[1] -gt 3) { \"big $($x.Count)\" } else { 'small' }",
        'function Get-It { param([string]$Name, [int]$Count = 3) for ($i = 0; $i -lt $Count; $i++) { "$Name-$i" } } Get-It -Name a',
        "try { Get-Item C:\\nope -ErrorAction Stop } catch { $_.Exception.Message } finally { whoami.exe /groups }",
        "switch -Wildcard ('abc') { 'a*' { 1 } default { 2 } }; while ($true) { break }; @{a = 1; b = @(1, 2)} | ConvertTo-Json",
        "'{0:N2}' -f 1.5; 'a,b' -split ','; 'x' -replace '(x+)+$', '$1'; [datetime]::Now.ToString('yyyy'); $Host.UI.WriteLine('x')",
    )
)
LINES = tuple(
    text.encode()
    for text in (
        f"echo x > {TRAP}",
        f"type /etc/passwd & copy C:\\Windows\\win.ini {TRAP}",
        "whoami /all && ipconfig /all || net user & if exist C:\\Windows (echo yes) else echo no",
        "for /f \"tokens=1,2 delims=,\" %i in ('echo a,b') do @echo %j",
        "set A=1&& set /a B=A+2 & echo %A:~0,1% ^& %PATH%",
        'powershell -NoProfile -Command "Get-Process | select -First 1"',
        "reg query HKLM\\Software /s & sc query & tasklist /v & netstat -ano",
    )
)
_SIGNS = "( ) { } [ ] @( @{ $( \" ' ` ; | & && $ $_ % ^ > >> 2>&1 < # <# #> \0 --% .. :: /? %% \u2019 \u2013 \U0001f600 \ufffd"
_PHRASES = (
    "\n",
    "@'\n",
    "\n'@",
    "-f",
    "-join",
    "-match '(a+)+$'",
    "1..999999999",
    "99999999999999999999",
    "* 1000000",
    "'x' * 999999999",
    "[int]",
    "while (1) {}",
    "for (;;) {",
    "function a { a } a",
    "throw",
    "exit",
    "return",
    "Start-Sleep 99999",
    "goto :eof",
    "(" * 200,
    "{" * 200,
)
WORDS = tuple(word.encode() for word in (*_SIGNS.split(" "), *_PHRASES))


class Silent:
    """A client that hears everything and says nothing, and loses patience."""

    def __init__(self, patience: float = 0.2) -> None:
        self._until = time.monotonic() + patience

    @property
    def has_host(self) -> bool:
        return True

    def output(self, value: PSValue) -> None:
        self.wait(0)

    def error(self, record: ErrorRecord) -> None:
        assert "MachineBroke" not in record.error_id
        assert "internal fault" not in record.message
        self.wait(0)

    def record(self, stream: StreamName, text: str) -> None:
        self.wait(0)

    def progress(self, record: Progress) -> None:
        self.wait(0)

    def ask(self, question: Question) -> PSValue:
        raise HostFailed("nobody to ask")

    def host_write_line(self, text: str) -> None:
        self.wait(0)

    def host_write(self, text: str) -> None:
        self.wait(0)

    def host_write_error_line(self, text: str) -> None:
        self.wait(0)

    def stdout(self, text: str) -> None:
        self.wait(0)

    def stderr(self, text: str) -> None:
        self.wait(0)

    def read_line(self) -> str | None:
        self.wait(0)
        return None

    def wait(self, seconds: float) -> None:
        if time.monotonic() > self._until:
            raise PipelineStopped


class Target:
    """An emulated host and a client's runspace and command shell on it, new ones after a while."""

    def __init__(self) -> None:
        self._machine: EmulatedMachine = emulated_host(
            name="WS1",
            domain="lab.example",
            ip="10.77.0.11",
            seen_from="10.77.0.5",
            accounts=[PURPLE],
            sink=lambda document: None,
            now=lambda: datetime.now(UTC),
            seed=random.Random(1).getrandbits(32),
        )
        self._logon = self._machine.log_on(Peer(ip="127.0.0.1", port=1), PURPLE, Package.NTLM)
        self._nothing: Mapping[str, str] = {}
        self._used = 0
        self._open()

    def _open(self) -> None:
        self._runspace = self._logon.open_runspace(SHELL)
        self._shell = self._logon.open_command_shell(SHELL, self._nothing, "")

    def _count(self) -> None:
        self._used += 1
        if self._used % 50 == 0:
            self._runspace.close()
            self._shell.close()
            self._open()

    def script(self, text: str) -> None:
        self._count()
        commands = (Command(text=text, is_script=True), Command(text="Out-Default", is_script=False))
        try:
            failure = self._runspace.run(PipelineRequest(commands=commands), Silent())
        except PipelineStopped:
            return
        if failure is not None:
            assert "internal fault" not in failure.message

    def line(self, text: str) -> None:
        self._count()
        try:
            code = self._shell.run(CommandLine(text=text), Silent())
        except PipelineStopped:
            return
        assert -(2**31) <= code < 2**32


@pytest.fixture(scope="module")
def target() -> Target:
    return Target()


@given(damaged(SCRIPTS, WORDS))
@FUZZ
def test_any_script_ends_in_records_and_does_nothing(target: Target, text: bytes) -> None:
    with in_time(), nothing_is_done():
        target.script(text.decode("utf-8", "replace"))


@given(damaged(LINES, WORDS))
@FUZZ
def test_any_line_ends_with_a_code_and_does_nothing(target: Target, text: bytes) -> None:
    with in_time(), nothing_is_done():
        target.line(text.decode("utf-8", "replace"))


@pytest.mark.parametrize("text", EVIL, ids=range(len(EVIL)))
def test_what_would_leave_the_emulation_does_nothing(target: Target, text: str) -> None:
    with in_time(), nothing_is_done():
        target.script(text)
        target.line(text)
    assert not Path(TRAP).exists()


def test_nothing_of_them_stays(target: Target) -> None:
    def soak(number: int) -> None:
        for text in samples(SCRIPTS, WORDS, 300, seed=number):
            target.script(text.decode("utf-8", "replace"))

    assert_nothing_stays(soak)
