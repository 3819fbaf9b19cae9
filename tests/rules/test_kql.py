"""KQL: what it matches by the type of a field, after Kibana's and Elasticsearch's reference; what it refuses, where and by which name."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.logic.match import matcher
from harness.logic.needs import kinds
from harness.model.facts import Event
from harness.model.tree import And, Op, Test, ViewName
from harness.rules.grammar import QueryError, Unsupported
from harness.rules.kql import parse_kql
from tests.logic.tree_builders import SYSMON, event

WHOAMI = event(
    SYSMON,
    1,
    image="C:\\Windows\\System32\\whoami.exe",
    commandline='"C:\\Windows\\System32\\whoami.exe" /groups /fo "a b"',
    processid="4",
    user="LAB\\Anna",
    two="foo bar",
    colon="a:b",
    tab="a\tb",
    star="a*b",
    many=["one", "Two"],
    text="own",
    message="Process Create:\r\nfoo.bar said: don't 1.5 run-me, x_y",
)
SCRIPT = event(
    "Microsoft-Windows-PowerShell/Operational",
    4104,
    scriptblocktext="function Do-It { $x = [Kernel32]::VirtualProtect(1); Set-MpPreference -DisableX $true }",
)
CONNECTION = event(SYSMON, 3, sourceip="10.1.2.3", destinationip="fe80::1", destinationport="5985", initiated="true")
LOADED = event(SYSMON, 7, imageloaded="C:\\x.dll", signed="true", signaturestatus="Valid")


def holds(query: str, seen: Event = WHOAMI) -> bool:
    """`$x` is a field of the event's own."""
    return matcher(parse_kql(query.replace("$", "winlog.event_data.")))(seen)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        # keywords: whole, case and all
        ('process.name : "whoami.exe"', True),
        ("process.name:whoami.exe", True),
        ('process.name : "WHOAMI.exe"', False),
        ('process.name.caseless : "WHOAMI.exe"', True),
        ("process.name.caseless : WHO*", True),
        ("process.name : who", False),
        ("process.name : whoami*", True),
        ("process.name : *hoami*", True),
        ("process.name : WHO*", False),
        ("process.name : who?mi.exe", False),
        ('process.name : "who*"', False),
        ('$star : "a*b"', True),
        ("$star : a\\*b", True),
        ("$star : a\\**", True),
        ("$two : foo bar", True),
        ("$two : (foo or bar)", False),
        ("$two : fo* b*", True),
        ("$colon : a\\:b", True),
        ('$tab : "a\\tb"', True),
        ("$tab : a\\tb", True),
        ("$tab : a\\u0009b", True),
        ('process.executable : "C:\\\\Windows\\\\System32\\\\whoami.exe"', True),
        ("process.executable : C\\:\\\\Windows\\\\*", True),
        ("process.executable : *\\\\whoami.exe", True),
        ("process.args : /groups", True),
        ('process.args : "a b"', True),
        ("$many : Two", True),
        ("$many : two", False),
        # presence
        ("process.name : *", True),
        ("no.such : *", False),
        ("not no.such : *", True),
        ("* : *", True),
        ("*", True),
        ("", True),
        ("  ", True),
        ('not no.such : "x"', True),
        # numbers
        ("process.pid : 4", True),
        ('process.pid : "4.0"', True),
        ("process.pid >= 4 and process.pid < 5", True),
        ("process.pid>4", False),
        ("process.pid <= -1e3", False),
        ("process.args_count : (1 or 4)", True),
        # operators
        ("process.pid : 5 or process.pid : 4 and process.pid : 4", True),
        ("(process.pid : 4 or process.pid : 4) and process.pid : 5", False),
        ("not process.pid : 5 and process.pid : 4", True),
        ("not (process.pid : 4 or process.pid : 5)", False),
        ("NOT process.pid : 4 OR process.pid : 4", True),
        ("process.pid : (4 and not 5)", True),
        ("process.pid : (not 4)", False),
        ('process.name : ("x" or (whoami* and not (*.com or y)))', True),
        ("not(process.pid : 5)", True),
        # words that begin like operators
        ("process.name : (android or notes or oracle or whoami.exe)", True),
        ('process.name : ("or" or whoami.exe)', True),
        ("process.name : \\or or process.name : who*", True),
        # texts
        ("message : create", True),
        ("message : CREATE", True),
        ("message : creat", False),
        ("message : creat*", True),
        ("message : *eat*", True),
        ('message : "process create"', True),
        ('message : "create process"', False),
        ("message : create process", True),
        ("message : nothing process", True),
        ('message : "create foo"', False),
        ('message : "create foo.bar"', True),
        ("message : foo", False),
        ("message : bar", False),
        ("message : foo.bar", True),
        ("message : fo*", True),
        ("message : don't", True),
        ("message : don", False),
        ("message : 1.5", True),
        ('message : "1"', False),
        ("message : run", True),
        ('message : "run-me"', True),
        ("message : x", False),
        ("message : x_y", True),
        ('message : "!!"', False),
        ("message : *", True),
        ("process.command_line.text : groups", True),
        ('process.command_line.text : "groups fo"', True),
        ("process.command_line : groups", False),
        ("$text : own", True),
        ("$text.caseless : OWN", True),
        ('message.keyword : "create"', False),
        # without a field
        ("whoami.exe", True),
        ('"a b"', True),
        ("whoami", False),
        ("create", True),
        ("*hoami*", True),
        ("4", True),
    ],
)
def test_what_a_query_matches(query: str, expected: bool) -> None:
    assert holds(query) is expected


@pytest.mark.parametrize(
    ("query", "seen", "expected"),
    [
        ("powershell.file.script_block_text : VirtualProtect", SCRIPT, True),
        ("powershell.file.script_block_text : virtualprotect", SCRIPT, True),
        ("powershell.file.script_block_text : Virtual", SCRIPT, False),
        ("powershell.file.script_block_text : Virtual*", SCRIPT, True),
        ('powershell.file.script_block_text : "Set-MpPreference"', SCRIPT, True),
        ('powershell.file.script_block_text : "MpPreference"', SCRIPT, False),
        ('powershell.file.script_block_text : "function do-it"', SCRIPT, True),
        ('powershell.file.script_block_text : "Kernel32 VirtualProtect"', SCRIPT, True),
        ('powershell.file.script_block_text : "[Kernel32]::VirtualProtect("', SCRIPT, True),
        ('powershell.file.script_block_text : ("x" or ("function" and "Set-MpPreference"))', SCRIPT, True),
        ("powershell.file.script_block_text : *Kernel32]*", SCRIPT, False),
        ("source.ip : 10.1.2.3", CONNECTION, True),
        ("source.ip : 10.0.0.0/8", CONNECTION, True),
        ('source.ip : ("192.168.0.0/16" or "::1")', CONNECTION, False),
        ('destination.ip : "fe80::/10"', CONNECTION, True),
        ('destination.ip : "FE80:0::1"', CONNECTION, True),
        ("source.ip > 10.1.2.2 and source.ip <= 10.1.2.3", CONNECTION, True),
        ("source.ip < 10.1.2.3", CONNECTION, False),
        ("source.ip >= 10.1.2.4", CONNECTION, False),
        ("source.ip < 0.0.0.0", CONNECTION, False),
        ('source.ip > "::"', CONNECTION, False),
        ("destination.port : 5985", CONNECTION, True),
        ("destination.port : (80 or 443)", CONNECTION, False),
        ("file.code_signature.exists : true", LOADED, True),
        ("file.code_signature.valid : false", LOADED, False),
    ],
)
def test_what_a_query_matches_on_other_types(query: str, seen: Event, expected: bool) -> None:
    assert holds(query, seen) is expected


@pytest.mark.parametrize(
    ("query", "line", "column", "what"),
    [
        ("a : {b : c}", 1, 1, "nested fields"),
        ("a :\n b* : c", 2, 5, "cannot stand"),
        ("b* : c", 1, 1, "a pattern of field names"),
        ("a.*>5", 1, 1, "a pattern of field names"),
        ("@timestamp > now", 1, 14, "@timestamp is a date"),
        ('@timestamp : "2020"', 1, 14, "is a date"),
        ("a : null", 1, 5, "null is no value (ask for what is absent by: not field : *)"),
        ("process.pid : x", 1, 15, "no number"),
        ("process.pid : (4 or 4*)", 1, 21, "wildcards fit texts alone"),
        ("source.ip : 10.*", 1, 13, "wildcards fit texts alone"),
        ("source.ip : 10.1.2.300", 1, 13, "no address"),
        ("source.ip > x", 1, 13, "no address"),
        ("file.code_signature.exists : yes", 1, 30, "true or false"),
        ("process.name.caseless >= b", 1, 26, "ranges are read here of numbers"),
        ("no.such > b", 1, 11, "no number"),
        (f'message : "{"a " * 1001}"', 1, 11, "more than 1000 words"),
        (f"message : {'?' * 1001}*", 1, 11, "more than 1000 words"),
    ],
)
def test_what_is_not_read_is_named(query: str, line: int, column: int, what: str) -> None:
    with pytest.raises(QueryError) as error:
        parse_kql(query)
    assert (error.value.line, error.value.column) == (line, column)
    assert what in str(error.value)
    assert isinstance(error.value, Unsupported) or what == "cannot stand"


@pytest.mark.parametrize(
    ("query", "line", "column", "what"),
    [
        ("a :", 1, 4, "ends too early"),
        ("a : b and", 1, 10, "ends too early"),
        ("(a : b", 1, 7, "ends too early"),
        ("a : b)", 1, 6, "')' cannot stand here"),
        ("a : C\\q", 1, 6, "a backslash is"),
        ('a : "x', 1, 5, "cannot stand here"),
        ("a : (b c or)", 1, 12, "cannot stand here"),
        ("or a", 1, 1, "cannot stand here"),
        ("a >= (1 or 2)", 1, 6, "cannot stand here"),
        ("(" * 5000 + "a", 1, 61, "nested more than 60"),
        ("not " * 5000 + "a", 1, 241, "nested more than 60"),
        ("x" * 100_001, 1, 1, "longer than"),
    ],
)
def test_what_is_refused_and_where(query: str, line: int, column: int, what: str) -> None:
    with pytest.raises(QueryError) as error:
        parse_kql(query)
    assert (error.value.line, error.value.column) == (line, column)
    assert what in str(error.value)
    assert not isinstance(error.value, Unsupported)


TOKENS = 'a b.c : ( ) and or not AND < >= "x y" * a* \\: \\ { } 5 process.pid source.ip message null true'
WORDS = st.sampled_from(TOKENS.split(" "))


@given(st.one_of(st.lists(WORDS, max_size=15).map(" ".join), st.text(max_size=40)))
def test_any_text_is_a_query_or_an_error_with_a_place(text: str) -> None:
    try:
        matcher(parse_kql(text))(WHOAMI)
    except QueryError as error:
        assert error.line >= 1  # noqa: PT017 - either outcome is right; any other exception is the failure
        assert error.column >= 1  # noqa: PT017


def test_a_query_is_as_wide_as_a_rule_may_be() -> None:
    assert holds(f"process.name : ({' or '.join(f'x{number}.exe' for number in range(5000))} or whoami.exe)")


def test_the_kinds_of_event_are_read_off_it() -> None:
    assert kinds(parse_kql('event.code : ("4104" or 4103) and host.os.type : windows')) == {("*", 4104), ("*", 4103)}
    assert (SYSMON.lower(), 1) in kinds(parse_kql("event.category : process and process.name : *"))


def test_the_tree() -> None:
    tests = [("a", Op.EQUALS, "b"), ("c", Op.STARTS_WITH, "d")]
    items = tuple(Test(field=field, op=op, value=value, cased=True, view=ViewName.ECS) for field, op, value in tests)
    assert parse_kql("a : b and c : d*") == And(items=items)
