"""Which typed lines become command lists. Expected values follow PowerShell's own parser (about_Parsing), written out by hand."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from harness.transports.psrp.typed_line import TypedArgument, TypedCommand, as_command

Item = str | int | tuple[str, str | int | None]


def command(name: str, *items: Item) -> TypedCommand:
    return TypedCommand(
        name=name,
        arguments=tuple(
            TypedArgument(name=item[0], value=item[1]) if isinstance(item, tuple) else TypedArgument(value=item) for item in items
        ),
    )


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("Get-Service WinRM", command("Get-Service", "WinRM")),
        ("  Get-Service\tWinRM  ", command("Get-Service", "WinRM")),
        ("Get-Service", command("Get-Service")),
        ("whoami.exe /groups", command("whoami.exe", "/groups")),
        (r"C:\Windows\System32\whoami.exe /all", command(r"C:\Windows\System32\whoami.exe", "/all")),
        (r".\tool.exe", command(r".\tool.exe")),
        (r"\\server\share\tool.exe", command(r"\\server\share\tool.exe")),
        (r"~\tool.exe", command(r"~\tool.exe")),
        ("Get-Service -Name WinRM", command("Get-Service", ("-Name", None), "WinRM")),
        ("Get-Service -Name:WinRM", command("Get-Service", ("-Name:", "WinRM"))),
        ("Get-ChildItem -Recurse C:\\Windows", command("Get-ChildItem", ("-Recurse", None), "C:\\Windows")),
        ("ipconfig -all", command("ipconfig", ("-all", None))),
        ("Get-Process -Id 4", command("Get-Process", ("-Id", None), 4)),
        ("Get-Thing -5", command("Get-Thing", -5)),
        ("Get-Thing 2147483647", command("Get-Thing", 2147483647)),
        ("Write-Output 'a b'", command("Write-Output", "a b")),
        ("Write-Output 'it''s $x | y'", command("Write-Output", "it's $x | y")),
        ('Write-Output "say ""hi"""', command("Write-Output", 'say "hi"')),
        ("Write-Output '4'", command("Write-Output", "4")),
        ("Write-Output '-Name'", command("Write-Output", "-Name")),
        ("Write-Output ''", command("Write-Output", "")),
        ("Get-ChildItem *.txt", command("Get-ChildItem", "*.txt")),
        ("net.exe user a=b", command("net.exe", "user", "a=b")),
        ("Get-Content äöü.txt", command("Get-Content", "äöü.txt")),
        ("type file.txt", command("type", "file.txt")),
        ("format-table", command("format-table")),
    ],
)
def test_one_command_with_literal_arguments_is_a_command(line: str, expected: TypedCommand) -> None:
    assert as_command(line) == expected


@pytest.mark.parametrize(
    "line",
    [
        "",
        "   ",
        "$PID",
        "Get-Service $name",
        "Get-Service WinRM | Out-String",
        "Get-Service WinRM; Get-Date",
        "Get-Service && Get-Date",
        "Get-Service > file.txt",
        "Get-Service 2>&1",
        "Get-Service WinRM,Spooler",
        "Get-Service (Get-Name)",
        "Get-Process { $_ }",
        "Write-Output @('a')",
        "Write-Output @args",
        "Get-Service # why",
        "Write-Output `n",
        'Write-Output "$env:PATH"',
        'Write-Output "a`tb"',
        'Write-Output a"b"c',
        "Write-Output 'a'b",
        "Write-Output 'open",
        "'Get-Service' WinRM",
        "& whoami.exe",
        ". profile.ps1",
        "& 'C:\\Program Files\\x.exe'",
        "4 + 4",
        "-join 'a'",
        "!x",
        "[int]4",
        "[Environment]::MachineName",
        "if (1) { 2 }",
        "exit",
        "Exit 3",
        "foreach",
        "throw 'x'",
        "Start-Sleep 0.5",
        "Start-Sleep .5",
        "Get-Thing 0x1F",
        "Get-Thing 1kb",
        "Get-Thing 007",
        "Get-Thing 99999999999",
        "ping 127.0.0.1",
        "cmd.exe --% /c echo %x%",
        "Get-Thing --",
        "Get-Thing -",
        "Get-Thing -a.b",
        "Get-Thing -Force:$true",
        "Get-Thing -Name:",
        "Get-Thing -Count:5",
        "Get-Service\nGet-Date",
        "Get-Service “WinRM”",
        "Get-Service –Name WinRM",
        "Get-Service\u00a0WinRM",
        "Get-Service \x00",
    ],
)
def test_anything_else_is_script(line: str) -> None:
    assert as_command(line) is None


@given(st.text())
@example("\U0001f600")
def test_no_text_makes_it_fail(line: str) -> None:
    as_command(line)


@given(st.lists(st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E))))
def test_what_is_quoted_arrives_as_it_was(arguments: list[str]) -> None:
    quoted = ["'" + argument.replace("'", "''") + "'" for argument in arguments]
    assert as_command(" ".join(["Write-Output", *quoted])) == command("Write-Output", *arguments)


@given(st.text(st.sampled_from("ab-/\\.:=*'\"$|;&(){}<>,`@# \t4")))
def test_a_command_bears_nothing_that_the_parser_would_have_acted_on(line: str) -> None:
    """Metamorphic: without its quoted parts, a line that converts has none of the parser's characters left."""
    if as_command(line) is None:
        return
    bare, quote = "", ""
    for character in line:
        if quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
        else:
            bare += character
    assert not set(bare) & set("$`|&;<>(){},")
