"""The language: what scripts write, as a table; what Windows PowerShell 5.1 answers to each is the right column."""

from __future__ import annotations

import pytest

from lab.machine import Command, Parameter, PipelineRequest, PSObject
from tests.lab.host.powershell_bench import Bench

TABLE: list[tuple[str, list[str]]] = [
    # literals, strings
    ("'it''s'", ["it's"]),
    ('"a`tb`$x ""q"""', ['a\tb$x "q"']),
    ('$x=3; "$x ${x}y $($x+1) $env:COMPUTERNAME"', ["3 3y 4 WS6"]),
    ('$a=1,2; "$a[0] $($a[0])"', ["1 2[0] 1"]),
    ('@"\na $(1+1) "q"\n"@', ['a 2 "q"']),
    ("@'\n$x `n\n'@", ["$x `n"]),
    ("0x1F; 1kb; 2.50; 1e3; -5; 3L", ["31", "1024", "2.5", "1000", "-5", "3"]),
    # arithmetic and conversion
    ("1 + 2 * 3 % 2; (1+2)*3; 7/2; 6/2; 10%4; 2.5*2", ["1", "9", "3.5", "3", "2", "5"]),
    ("'5'+4; 5+'4'; [int]'3'+4; [string]5+1; 'ab'*3", ["54", "9", "7", "51", "ababab"]),
    ("[int]2.5; [int]3.5; [bool]''; [bool]'x'; [char]65; [int]::MaxValue+1", ["2", "4", "False", "True", "A", "2147483648"]),
    ("'12' -as [int]; $null -eq ('x' -as [int]); [datetime]'2026-01-02' -is [datetime]", ["12", "True", "True"]),
    # arrays, ranges, hashtables, objects
    ("1..3; 3..1", ["1", "2", "3", "3", "2", "1"]),
    ("$n=3; 0..($n-1); (1..$n).Count", ["0", "1", "2", "3"]),
    ("@(1,2,3)[-1]; (1,2)+3; @().Count; ,1 -is [array]; (,(1,2)).Count", ["3", "1", "2", "3", "0", "True", "1"]),
    ("$a=1..5; $a[1..2]; $a[9] -eq $null", ["2", "3", "True"]),
    ("$h=@{a=1;'b c'=2}; $h.A; $h['b c']; $h.c=3; $h.Count; $h.ContainsKey('C')", ["1", "2", "3", "True"]),
    ("$o=[pscustomobject]@{A=1;B='x'}; $o.a; $o.B='y'; $o.b; \"$o\"", ["1", "y", "@{A=1; B=y}"]),
    ("$h=@{}; $h.Add('k',1); $h.Remove('k'); $h.Count", ["0"]),
    ("$a,$b,$c=1,2,3,4; $b; $c.Count; $x=$y=7; $x+$y", ["2", "2", "14"]),
    ("$x=1; $x+=2; $x*=5; $x-=3; $x/=4; $x", ["3"]),
    ("$i=0; $i++; ++$i; $i--; $i; ($i++); $i", ["1", "1", "2"]),
    # comparison
    ("1 -eq 1.0; 'A' -eq 'a'; 'A' -ceq 'a'; 1 -lt 2; 'b' -gt 'a'; $null -eq $null", ["True", "True", "False", "True", "True", "True"]),
    ("1,2,3 -gt 1; 'a','b' -contains 'B'; 3 -in 1,3; 'x' -notin 'y'", ["2", "3", "True", "True", "True"]),
    ("'whoami.exe' -like '*.E?E'; 'abc' -clike 'A*'; 'a[b' -like 'a`[b'; '' -like '*'", ["True", "False", "True", "True"]),
    ("'ab12' -match '([a-z]+)(?<n>\\d+)'; $Matches[1]; $Matches.n; $Matches[0]", ["True", "ab", "12", "ab12"]),
    ("'a.b.c' -replace '\\.','-'; '2024-01' -replace '(\\d+)-(\\d+)','$2/$1'; 'x' -creplace 'X','y'", ["a-b-c", "01/2024", "x"]),
    (
        "'a,b,c' -split ','; ('a,b,c' -split ',',2)[1]; -split ' x  y '; (1,2,3) -join '+'; -join ('a','b')",
        ["a", "b", "c", "b,c", "x", "y", "1+2+3", "ab"],
    ),
    ("$true -and $false; $true -or (1/0); -not 0; !$true; $true -xor $true", ["False", "True", "True", "False", "False"]),
    ("'{0:x2} {1,5}|{1,-5}|{2:N2} {3:D4}' -f 255,'ab',1234.5,7", ["ff    ab|ab   |1,234.50 0007"]),
    ("6 -band 3; 6 -bor 1; 1 -shl 4; -bnot 0", ["2", "7", "16", "-1"]),
    # statements
    ("if (0) {1} elseif ('x') {2} else {3}", ["2"]),
    ("$x = if ($false) {1} else {2}; $x", ["2"]),
    ("foreach ($i in 1,2,3) { if ($i -eq 2) { continue } $i }", ["1", "3"]),
    ("for ($i=0; $i -lt 3; $i++) { $i }", ["0", "1", "2"]),
    ("$i=0; while ($true) { $i++; if ($i -gt 3) { break } }; $i", ["4"]),
    ("$i=0; do { $i++ } until ($i -ge 2); $i; do { $i-- } while ($i); $i", ["2", "0"]),
    ("switch (3) { 1 {'a'} 3 {'c'} default {'d'} }", ["c"]),
    ("switch -wildcard ('abc') { 'x*' {1} 'a*' {2} '*c' {3} }", ["2", "3"]),
    ("switch ('q') { 'p' {1} default {2} }; switch (1,2) { 1 {'one'} 2 {'two'} }", ["2", "one", "two"]),
    # functions and script blocks
    ("function f { param($x) $x } f 3", ["3"]),
    ('function f($a,$b=2) { "$a-$b" }; f 1; f -b 5 -a 4; f 1 9', ["1-2", "4-5", "1-9"]),
    ("function f { param([int]$n,[switch]$S) $n+1; $S }; f '4' -S", ["5", "True"]),
    ("function f { begin {'b'} process { $_*2 } end {'e'} }; 1,2 | f", ["b", "2", "4", "e"]),
    ("function f { $args.Count; $args[1] }; f a b", ["2", "b"]),
    ("function f { return 1; 2 }; f; filter d { $_*2 }; 3 | d", ["1", "6"]),
    ("$x=1; function f { $x=2; $x }; f; $x; function g { $global:x=5 }; g; $x", ["2", "1", "5"]),
    ('& { param($a,$b) "$a$b" } 1 2; $s={ 7 }; & $s; $s.Invoke()', ["12", "7", "7"]),
    (". { $y = 4 }; $y; & { $z = 4 }; $null -eq $z", ["4", "True"]),
    ("$s=0; 1..3 | ForEach-Object { $s += $_ }; $s", ["6"]),
    ("$p=@{First=2}; 1..9 | Select-Object @p; $v='a','b'; Write-Output @v", ["1", "2", "a", "b"]),
    # members
    ("'abc'.Length; 'abc'.Substring(1).ToUpper(); 'a,b'.Split(',')[1]; ' x '.Trim(); 'abc'.Contains('b')", ["3", "BC", "b", "x", "True"]),
    ("[math]::Max(1,2); [math]::Floor(2.7); [Math]::Round(2.5); [math]::Abs(-3)", ["2", "2", "2", "3"]),
    ("[string]::Join('-',(1,2)); [string]::IsNullOrEmpty(''); [guid]::Empty", ["1-2", "True", "00000000-0000-0000-0000-000000000000"]),
    ("([guid]::NewGuid()).ToString().Length; (1..5).Where({ $_ -gt 3 })", ["36", "4", "5"]),
    (
        "[System.Environment]::MachineName; [Environment]::UserName; [environment]::GetEnvironmentVariable('os')",
        ["WS6", "purple", "Windows_NT"],
    ),
    (
        "$d=[datetime]'2026-03-14T01:02:03'; $d.AddDays(1).ToString('yyyy-MM-dd'); $d.Ticks; $d.DayOfWeek",
        ["2026-03-15", "639090469230000000", "Saturday"],
    ),
    ("(1).GetType().Name; 'x'.GetType().FullName; $null.Count", ["Int32", "System.String", "0"]),
    # pipelines
    ("1..10 | Where-Object { $_ % 2 } | Select-Object -First 2", ["1", "3"]),
    ("1..3 | % { $_*2 } | measure -Sum | % Sum", ["12"]),
    ("'b','a','B' | sort -Unique; 3,1,2 | sort -Descending", ["a", "b", "3", "2", "1"]),
    ("$x = 1; $null = 5; [void](6); $x > $null", []),
]


@pytest.mark.parametrize(("script", "expected"), TABLE, ids=[script[:60] for script, _ in TABLE])
def test_scripts_write_what_windows_writes(script: str, expected: list[str]) -> None:
    answer = Bench().script(script)
    assert answer.error_ids == []
    assert answer.texts == expected


def test_arguments_are_bound_to_a_scripts_parameters() -> None:
    bench = Bench()
    text = 'param($Path, [int]$Times = 2, [switch]$Loud) "$Path $Times $Loud"'
    parameters = (Parameter(name="Times", value="5"), Parameter(name=None, value="C:\\x"), Parameter(name="Loud", value=True))
    command = Command(text=text, is_script=True, parameters=parameters)
    assert bench.request(PipelineRequest(commands=(command,))).texts == ["C:\\x 5 True"]


def test_a_true_that_is_given_to_an_untyped_parameter_is_its_value() -> None:
    command = Command(text='param($Flag, $Rest) "$Flag $Rest"', is_script=True, parameters=(Parameter(name="Flag", value=True),))
    assert Bench().request(PipelineRequest(commands=(command,))).texts == ["True "]


def test_objects_given_as_arguments_stay_objects() -> None:
    bench = Bench()
    thing = PSObject(type_names=("System.Management.Automation.PSCustomObject",), properties={"Name": "n", "Values": [1, 2]})
    command = Command(text="param($o) $o.name; $o.Values.Count", is_script=True, parameters=(Parameter(name="o", value=thing),))
    assert bench.request(PipelineRequest(commands=(command,))).texts == ["n", "2"]


def test_what_the_client_pipes_in_is_input() -> None:
    bench = Bench()
    script = Command(text="process { $_ * 2 }", is_script=True)
    block = Command(text="& { process { $_ * 2 } }", is_script=True)
    assert script.text != block.text
    command = Command(text="ForEach-Object", is_script=False, parameters=(Parameter(name="MemberName", value="Length"),))
    assert bench.request(PipelineRequest(commands=(command,), input=("ab", "c"))).texts == ["2", "1"]


def test_statements_of_one_request_come_one_after_the_other() -> None:
    bench = Bench()
    commands = (
        Command(text="Write-Output", is_script=False, parameters=(Parameter(name=None, value="a"),), end_of_statement=True),
        Command(text="Write-Output", is_script=False, parameters=(Parameter(name=None, value="b"),)),
    )
    assert bench.request(PipelineRequest(commands=commands)).texts == ["a", "b"]


def test_a_script_in_local_scope_leaves_no_variables() -> None:
    bench = Bench()
    bench.request(PipelineRequest(commands=(Command(text="$inner = 1", is_script=True, use_local_scope=True),)))
    bench.request(PipelineRequest(commands=(Command(text="$outer = 1", is_script=True),)))
    assert bench.script("$null -eq $inner; $outer").texts == ["True", "1"]
