"""Hostile text: nothing received hangs the host, breaks out of the emulation or ends in anything but records."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lab.host.powershell.commands import CMDLETS
from lab.host.powershell.parse import ParseFault, Refused, parse
from lab.host.powershell.values import like
from lab.machine import Command, Parameter, PipelineRequest
from tests.lab.host.powershell_bench import Answer, Bench

ANY = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def sound(answer: Answer) -> None:
    """No fault of the emulation itself is among the records."""
    records = [*answer.client.errors, *([answer.ended] if answer.ended else [])]
    assert [one.message for one in records if "internal fault" in one.message] == []


@given(st.text(max_size=200))
@ANY
def test_any_text_is_parsed_or_refused(text: str) -> None:
    try:
        parse(text)
    except (ParseFault, Refused):
        return


@given(st.text(max_size=120))
@ANY
def test_any_text_ends_in_records(text: str) -> None:
    sound(Bench().script(text))


WORDS = """
    $x $_ $null $Error $Host $env:PATH 1 'a' "b$x" @x ( ) { } @( @{a=1} , ; | + - * / % = .. ! ++ & . > 2>&1 2>$null
    -eq -like -match -f -join -split -replace -is -as -and -not [int] [string] [datetime] [math]::Max(1,2) .Length .ToString() ::Now [0]
    if foreach while switch try catch finally throw return break continue function param($p) default in
    Get-Service Get-Item Get-Process whoami hostname cmd ForEach-Object Where-Object Select-Object Sort-Object Measure-Object Group-Object
    ConvertTo-Json Format-Table Format-List Out-String Write-Host Invoke-Expression -First -Name -ea 0 /c echo C:\\Windows [-1]
"""
PIECES = st.sampled_from([*WORDS.split(), "\n", " ", "& { param($a) $a } 1", "if ($x) { 1 }", "$x | % { $_ }"])


@given(st.lists(PIECES, min_size=1, max_size=14))
@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_soup_of_the_language_ends_in_records(pieces: list[str]) -> None:
    sound(Bench().script("$x = 1,'b',$null; " + " ".join(pieces)))


WIRE = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=12)
    | st.binary(max_size=8)
    | st.datetimes()
    | st.uuids()
    | st.decimals(allow_nan=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)


@given(st.sampled_from(sorted(CMDLETS)), WIRE, WIRE)
@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_argument_and_any_input_of_any_cmdlet_end_in_records(name: str, argument: object, piped: object) -> None:
    if name == "start-sleep":
        return
    parameter = Parameter(name=None, value=argument)  # type: ignore[arg-type]
    command = Command(text=name, is_script=False, parameters=(parameter,))
    sound(Bench().request(PipelineRequest(commands=(command,), input=(piped,)), has_host=True))  # type: ignore[arg-type]


@given(
    st.sampled_from(["$a {} $b", "$b {} $a"]),
    st.sampled_from(["+", "-", "*", "/", "%", "-eq", "-lt", "-like", "-contains", "-in", "-join", "-band", "-f", "-shl", ".."]),
    WIRE,
    WIRE,
)
@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_operator_takes_any_values(form: str, operator: str, left: object, right: object) -> None:
    script = f"param($a, $b) $null = {form.format(operator)}"
    parameters = (Parameter(name="a", value=left), Parameter(name="b", value=right))  # type: ignore[arg-type]
    sound(Bench().request(PipelineRequest(commands=(Command(text=script, is_script=True, parameters=parameters),))))


@given(
    st.sampled_from(
        ["cmd.exe /c", "whoami.exe", "net.exe", "sc.exe", "reg.exe query", "findstr.exe", "powershell.exe -c", "schtasks.exe /query"]
    ),
    st.text(max_size=60),
)
@ANY
def test_any_argument_of_a_program_ends_in_records(program: str, text: str) -> None:
    answer = Bench().request(
        PipelineRequest(commands=(Command(text=f"param($t) {program} $t", is_script=True, parameters=(Parameter(name="t", value=text),)),))
    )
    sound(answer)


BOUNDED = [
    "while ($true) { }",
    "for (;;) { $x++ }",
    "function r { r }; r",
    "& { & $args[0] $args[0] } { & $args[0] $args[0] }",
    "'x' * 1000000000",
    "1..100000000",
    "1..900000 | ForEach-Object { $_ }",
    "$a = @('x' * 4000000); $a = $a + $a; $a = $a + $a; -join $a",
    "$s = 'x' * 4000000; \"$s$s\"",
    "'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!' -match '(a+)+$'",
    "('a' * 5000) -match 'a*a*a*a*b'",
    "('a' * 60000) -match 'a*b'",
    "('a' * 60000) -replace '(a|aa)*b','x'",
    "('ab' * 200000) -like '*a*b*a*b*a*b*c'",
    "$a = @(1..9); 0..8 | % { $a[$_] = $a }; ,$a",
    "$o = [pscustomobject]@{a=1;b=1;c=1}; $o.a=$o; $o.b=$o; $o.c=$o; $o; ConvertTo-Json $o -Depth 50",
    "powershell -c 'powershell -c \"while (1) { }\"'",
    "'{0,999999}' -f 1",
    "'{0:D99}{0:D99}' -f 1",
    "[math]::Pow(10, 9999); 1e308 * 1e308; 9223372036854775807 * 9223372036854775807",
    "[datetime]::MaxValue; (Get-Date).AddDays(1e300)",
    "Start-Sleep 1e300",
    "Start-Sleep -1",
    "$x = 'Get-Service'; 1..300 | % { $x = \"($x)\" }; iex $x",
    "(" * 3000 + "1" + ")" * 3000,
    "'a' " + "+ 'a'" * 5000,
    "@{a=" * 2000,
    "$(" * 3000,
    "{" * 30000,
    "x" * 300_000,
    "if (1) {" * 400 + "}" * 400,
    "a\0b",
    "\ud800",
]


@pytest.mark.parametrize("script", BOUNDED, ids=[script[:40].encode("ascii", "replace").decode().replace("\0", "?") for script in BOUNDED])
def test_what_could_go_on_for_ever_ends_in_records(script: str) -> None:
    bench = Bench()
    sound(bench.script(script))
    assert bench.script("'alive'").texts == ["alive"]


@given(st.text("ab*?[]`-", max_size=12), st.text("ab-", max_size=12))
def test_wildcards_agree_with_their_definition(pattern: str, text: str) -> None:
    plain = not set(pattern) & set("[]`")
    if not plain:
        return

    def matches(wanted: str, given: str) -> bool:
        if not wanted:
            return not given
        if wanted[0] == "*":
            return matches(wanted[1:], given) or (bool(given) and matches(wanted, given[1:]))
        return bool(given) and wanted[0] in ("?", given[0]) and matches(wanted[1:], given[1:])

    assert like(text, pattern) == matches(pattern, text)
