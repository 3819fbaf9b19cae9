"""cmd.exe: its grammar as trees, and what its lines write, leave and end with."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lab.host.happenings import Process
from lab.host.programs.base import Console, Input, Unmodelled, World, launch
from lab.host.programs.cmd_line import Chain, Group, LineFault, Node, Redirection, Simple, expanded, parse
from tests.lab.host.powershell_bench import Bench, Client

CMD = "C:\\Windows\\System32\\cmd.exe"


def refuse_powershell(world: World, process: Process, text: str, stdin: Input) -> tuple[list[str], list[str], int]:
    raise AssertionError("no PowerShell here")


class Cmd:
    """One run of cmd.exe on a host of its own."""

    def __init__(self, tail: str, stdin: Input | None = None, *, bench: Bench | None = None, console: Console | None = None) -> None:
        self.bench = bench or Bench()
        host = self.bench.host
        world = World(
            host=host,
            io=Client(self.bench.clock),
            powershell=refuse_powershell,
            environment=host.environment(self.bench.logon.account),
            directory="C:\\Windows\\Temp",
        )
        outcome = launch(world, self.bench.worker, CMD, f"cmd.exe {tail}", stdin=stdin, console=console)
        self.output, self.errors, self.code = outcome.output, outcome.errors, outcome.exit_code

    @property
    def processes(self) -> list[str]:
        return [one.command_line for one in self.bench.record.processes if "conhost" not in one.path]


# --- the grammar ----------------------------------------------------------------------------------------------------------


def simple(text: str, *redirections: Redirection) -> Simple:
    return Simple(text=text, redirections=redirections)


def chain(operator: str, *parts: Node) -> Chain:
    return Chain(operator=operator, parts=parts)


@pytest.mark.parametrize(
    ("line", "tree"),
    [
        ("whoami /all", simple("whoami /all")),
        ("a&b", chain("&", simple("a"), simple("b"))),
        ("a || b && c", chain("||", simple("a "), chain("&&", simple("b "), simple("c")))),
        ("a | b & c", chain("&", chain("|", simple("a "), simple("b ")), simple("c"))),
        ('echo "a & b"', simple('echo "a & b"')),
        ("echo a ^& b", simple("echo a & b")),
        ("@echo x", simple("echo x")),
        ("(a & b) || c", chain("||", Group(body=chain("&", simple("a "), simple("b"))), simple("c"))),
        ("echo (a)", simple("echo (a)")),
        ("a &", simple("a ")),
        ("", None),
        ("   ", None),
        ("a >f", simple("a ", Redirection(handle=1, target="f"))),
        ("a 2>>f", simple("a ", Redirection(handle=2, target="f", appends=True))),
        ("a<f", simple("a", Redirection(handle=0, target="f", reads=True))),
        ("a 2>&1", simple("a ", Redirection(handle=2, target="1", to_handle=True))),
        ("echo a2>f", simple("echo a2", Redirection(handle=1, target="f"))),
        ('echo a > "b c" d', simple("echo a  d", Redirection(handle=1, target="b c"))),
        ("> f echo a", simple("echo a", Redirection(handle=1, target="f"))),
        ("(a)>f", Group(body=simple("a"), redirections=(Redirection(handle=1, target="f"),))),
    ],
)
def test_a_line_is_read_as_cmd_reads_it(line: str, tree: Node | None) -> None:
    assert parse(line) == tree


@pytest.mark.parametrize(
    "line", ["& a", "a & & b", "a | ", "| a", "a && ", "a || || b", "(a", "()", "a >", "(a) b", "x" * 9000, "(" * 60 + "a"]
)
def test_what_is_no_line_is_refused(line: str) -> None:
    with pytest.raises(LineFault):
        parse(line)


@given(st.text(alphabet="ab &|<>()^\"'2%=:@", max_size=60))
@example("(" * 60)
def test_any_text_is_a_tree_or_a_fault(line: str) -> None:
    with suppress(LineFault):
        parse(line)


VALUES = {"name": "value", "empty": "", "programfiles(x86)": "C:\\P"}


@pytest.mark.parametrize(
    ("line", "result"),
    [
        ("%NAME%", "value"),
        ("%nobody%", "%nobody%"),
        ("100% of %name%", "100% of value"),
        ("%name:~1,2%", "al"),
        ("%name:~-2%", "ue"),
        ("%name:~0,-1%", "valu"),
        ("%name:A=oo%", "voolue"),
        ("%name:*l=x%", "xue"),
        ("%ProgramFiles(x86)%", "C:\\P"),
        ("%%", "%%"),
        ("a%", "a%"),
    ],
)
def test_variables_are_replaced_and_the_unknown_stay(line: str, result: str) -> None:
    assert expanded(line, lambda name: VALUES.get(name.lower())) == result


@given(st.text(alphabet="%name:~-1,=*x ", max_size=80))
def test_any_text_expands_or_is_too_long(line: str) -> None:
    assert isinstance(expanded(line, lambda name: VALUES.get(name.lower())), str)


def test_what_grows_too_long_is_refused() -> None:
    with pytest.raises(LineFault):
        expanded("%x%" * 2000, lambda _: "y" * 1000)


# --- what lines do --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "output", "code"),
    [
        ("echo one & echo two", ["one ", "two"], 0),
        ("echo a || echo b && echo c", ["a "], 0),
        ("nothing-here 2>nul || echo b && echo c", ["b ", "c"], 0),
        ("nothing-here 2>nul && echo b", [], 1),
        ("nothing-here 2>nul & echo b", ["b"], 0),
        ("exit 5", [], 5),
        ("echo a & exit /b 7 & echo b", ["a "], 7),
        ("exit 4294967295", [], -1),
        ("set ZED=1&& set ZED&& cmd /c set ZED", ["ZED=1", "ZED=1"], 0),
        ("set A=1& echo %A%", ["%A%"], 0),
        ('set "ZED=b c"& set ZED', ["ZED=b c"], 0),
        ("set ZED=x& set ZED=& set ZED 2>nul", [], 1),
        ("cd C:\\windows\\SYSTEM32 & cd", ["C:\\Windows\\System32"], 0),
        ("cd /d \\ && cd", ["C:\\"], 0),
        ("cd", ["C:\\Windows\\Temp"], 0),
        ("echo %CD% %ERRORLEVEL%", ["C:\\Windows\\Temp 0"], 0),
        ("echo.& echo:x& echo/", ["", "x", ""], 0),
        ("echo", ["ECHO is on."], 0),
        ("echo hi>f.txt& type f.txt", ["hi"], 0),
        ("(echo a& echo b)>f&& echo c>>f&& type f", ["a", "b", "c"], 0),
        ("hostname>nul", [], 0),
        ("nothing-here 2>&1 | find /c \"recognized\"", ["1"], 0),
        ("(echo b& echo a) | sort", ["a ", "b "], 0),
        ("echo b|sort /r", ["b "], 0),
        ("echo x>f& sort<f", ["x"], 0),
        ('systeminfo | findstr /c:"Host Name"', ["Host Name:                 WS6"], 0),
        ("hostname | more | find \"6\" | find /v \"z\"", ["WS6"], 0),
        ("md a\\b & cd a\\b & cd & cd ..\\.. & rd /s /q a & cd a 2>nul", ["C:\\Windows\\Temp\\a\\b"], 1),
        ("echo x>f& copy f g& del f& type g", ["        1 file(s) copied.", "x"], 0),
        ("echo x>f& move f g& type g", ["        1 file(s) moved.", "x"], 0),
        ("echo %USERNAME% is %TIME:~0,2%", ["purple is  9"], 0),
        ("title x & rem y & cls & color 7", [], 0),
        ("whoami /groups > nul 2>&1 && echo fine", ["fine"], 0),
        ("type nothing > f 2>&1 & type f", ["The system cannot find the file specified."], 0),
        ("%COMSPEC:~-7% /c hostname", ["WS6"], 0),
        ('"hostname"', ["WS6"], 0),
        ("type C:\\Windows\\win.ini | find /c \"16-bit\"", ["1"], 0),
        ("C:\\Windows\\System32\\hostname.exe", ["WS6"], 0),
    ],
)  # fmt: skip
def test_a_line_writes_and_ends_as_on_windows(line: str, output: list[str], code: int) -> None:
    ran = Cmd(f'/C "{line}"')
    assert (ran.output, ran.errors, ran.code) == (output, [], code)


def test_who_is_not_known_is_named_on_standard_error() -> None:
    ran = Cmd('/C "nothing-here /x"')
    assert ran.errors == ["'nothing-here' is not recognized as an internal or external command,", "operable program or batch file."]
    assert (ran.output, ran.code) == ([], 1)


@pytest.mark.parametrize(("line", "text"), [("a & & b", "& was unexpected at this time."), ("x" * 8192, "The command line is too long.")])
def test_a_line_that_is_none_says_so(line: str, text: str) -> None:
    ran = Cmd(f'/C "{line}"')
    assert (ran.errors, ran.code) == ([text], 1)


@pytest.mark.parametrize(
    "line", ["start notepad", "start", "for /l %i in (1,0,3) do x", "md *.x", "set /q", "type \\Windows\\System32\\cmd.exe"]
)
def test_what_is_not_emulated_is_refused_by_name(line: str) -> None:
    with pytest.raises(Unmodelled):
        Cmd(f'/C "{line}"')


def test_a_built_in_in_a_pipe_has_a_cmd_of_its_own_and_a_program_has_none() -> None:
    ran = Cmd('/C "echo a^&b | findstr a & hostname | sort"')
    assert ran.output == ["a&b ", "WS6"]
    assert ran.processes == [
        'cmd.exe /C "echo a^&b | findstr a & hostname | sort"',
        'C:\\Windows\\system32\\cmd.exe  /S /D /c" echo a^&b "',
        "findstr a",
        "hostname",
        "sort",
    ]


def test_input_is_shared_by_what_a_line_starts() -> None:
    ran = Cmd('/C "set /p ZED=name? & set ZED& more"', Input.of(["eve", "two", "three"]))
    assert ran.output == ["name? ", "ZED=eve", "two", "three"]


def test_input_is_not_asked_for_where_nobody_reads_it() -> None:
    def ask() -> str | None:
        raise AssertionError("nobody reads")

    assert Cmd('/C "hostname & echo x | find "x" & find "x" <nul"', Input(ask)).code == 1


def test_without_a_line_it_runs_those_of_its_input() -> None:
    ran = Cmd("", Input.of(["set A=1", "echo %A%", "nothing-here", "echo %ERRORLEVEL%", "exit 4", "echo never"]))
    prompt = "C:\\Windows\\Temp>"
    assert ran.output == [
        "Microsoft Windows [Version 10.0.19045.3803]",
        "(c) Microsoft Corporation. All rights reserved.",
        "",
        f"{prompt}set A=1",
        "",
        f"{prompt}echo %A%",
        "1",
        "",
        f"{prompt}nothing-here",
        "",
        f"{prompt}echo %ERRORLEVEL%",
        "9009",
        "",
        f"{prompt}exit 4",
    ]
    assert ran.code == 4


def test_after_k_it_goes_on_with_its_input() -> None:
    ran = Cmd("/q /k cd C:\\Windows", Input.of(["cd"]))
    assert (ran.output, ran.code) == (["C:\\Windows"], 0)


def test_output_is_shown_while_the_line_still_runs() -> None:
    shown: list[list[str]] = []

    class Screen:
        def show(self, output: list[str], errors: list[str]) -> None:
            if output:
                shown.append(list(output))

    Cmd('/C "hostname & whoami"', console=Screen())  # type: ignore[arg-type]
    assert shown == [["WS6"], ["lab\\purple"]]


def test_no_line_runs_commands_without_end() -> None:
    with pytest.raises(Unmodelled):
        Cmd(f'/C "{"rem&" * 300}"')


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            ["echo a", "hostname", "set A=1", "cd ..", "type f", "(", ")", "&", "&&", "||", "|", ">f", "2>&1", "<f", "^", '"', "%A%"]
        ),
        max_size=12,
    )
)
def test_any_line_of_known_words_ends(words: list[str]) -> None:
    bench = Bench()
    with suppress(Unmodelled):  # "type f echo" and the like
        assert isinstance(Cmd(f'/C "{" ".join(words)}"', bench=bench).code, int)
    assert len(bench.record.processes) < 60


def test_one_quoted_program_keeps_its_quotes_and_a_quoted_line_does_not() -> None:
    bench = Bench()
    bench.script("New-Item -ItemType Directory 'C:\\a b' | Out-Null; Copy-Item C:\\Windows\\System32\\hostname.exe 'C:\\a b\\h.exe'")
    assert Cmd('/c "C:\\a b\\h.exe"', bench=bench).output == ["WS6"]
    assert Cmd('/c "type C:\\Windows\\win.ini"').output[0] == "; for 16-bit app support"


def test_no_line_unfolds_into_lines_without_end() -> None:
    bench = Bench()
    outer, inner = "^&".join(["cmd /c %B%"] * 100), "^&".join(["hostname"] * 100)
    with pytest.raises(Unmodelled, match="more than 1000 programs"):
        Cmd("/q", Input.of([f"set A={outer}", f"set B={inner}", "cmd /c %A%"]), bench=bench)
    assert 900 < len(bench.record.processes) < 1_100
