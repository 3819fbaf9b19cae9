"""EQL: what it matches, after the published reference; what it refuses, where and by which name; and that hostile texts do no harm."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import RuleTooSlow
from harness.logic import match
from harness.logic.match import BadValue, matcher
from harness.logic.needs import ANY_CHANNEL, kinds
from harness.logic.why import nearest
from harness.model.facts import Event, FlatValue
from harness.model.tree import Function
from harness.rules.eql import _FUNCTIONS, parse_eql
from harness.rules.grammar import QueryError
from harness.rules.lucene_regex import python_regex
from tests.logic.tree_builders import SYSMON, event

WHOAMI = event(
    SYSMON,
    1,
    image="C:\\Windows\\System32\\whoami.exe",
    commandline='"C:\\Windows\\System32\\whoami.exe" /groups /fo "a b"',
    parentimage="C:\\Windows\\System32\\wsmprovhost.exe",
    processid="4",
    user="LAB\\Anna",
    word="Text",
    many=["one", "Two"],
    numbers="0x1F",
    empty=None,
    boolean=True,
    **{"odd`name": "odd"},
)


def holds(condition: str, seen: Event = WHOAMI) -> bool:
    """`$x` is a field of the event's own, as text."""
    return matcher(parse_eql(f"any where {condition}".replace("$", "winlog.event_data.")).logic)(seen)


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("true", True),
        ("false", False),
        ('process.name == "whoami.exe"', True),
        ('process.name == "WHOAMI.EXE"', False),
        ('process.name : "WHOAMI.EXE"', True),
        ('process.name == "whoami.*"', False),
        ('process.name : "whoami.*"', True),
        ('process.name : ("x", "who?mi.exe")', True),
        ('process.name : "*"', True),
        ('process.name : "who"', False),
        ('process.executable : "?:\\\\Windows\\\\System32\\\\*"', True),
        ('process.executable : """?:\\Windows\\*"""', True),
        ('process.name like "who*"', True),
        ('process.name like "WHO*"', False),
        ('process.name like~ ("WHO*", "x")', True),
        ('process.name regex "who[a-z]+\\\\.exe"', True),
        ('process.name regex "hoami.*"', False),
        ('process.name regex~ """WHOAMI\\.(EXE|com)"""', True),
        ('process.name in ("a", "whoami.exe")', True),
        ('process.name in ("WHOAMI.EXE")', False),
        ('process.name in~ ("WHOAMI.EXE")', True),
        ('process.name not in ("a", "b")', True),
        ('process.name not in~ ("WHOAMI.EXE")', False),
        ("process.pid == 4", True),
        ("4 == process.pid", True),
        ("process.pid != 4", False),
        ("process.pid >= 4 and process.pid < 5", True),
        ("3 < process.pid", True),
        ("5 <= process.pid", False),
        ('process.args : "/GROUPS"', True),
        ('process.args == "a b"', True),
        ('not process.args : "/groups"', False),
        ('process.args != "/groups"', False),
        ("process.args_count == 4", True),
        ('event.type == "start" and event.category == "process"', True),
        ('process.name.caseless == "WHOAMI.EXE"', True),
        ('`process`.`name` == "whoami.exe"', True),
        ('?process.name == "whoami.exe"', True),
        ('process.name.caseless in ("WHOAMI.EXE")', True),
        ('endsWith(process.name.caseless, ".EXE")', True),
        ('stringContains(process.name.caseless, "AMI") and length(process.name.caseless) == 10', True),
        ('substring(process.name.caseless, 0, 3) == "who"', True),
        ("process.name.caseless != null", True),
        ('process.name.caseless == concat("WHOAMI", ".EXE")', True),
        ('`winlog.event_data`.`odd``name` == "odd"', True),
        ('`winlog.event_data.odd``name` == "odd"', True),
        ("$boolean", True),
        ("not $boolean", False),
        ("$boolean == true and $boolean != false", True),
        ('$word < "Texu" and $word >= "Text" and "A" < $word', True),
        ("+4 == process.pid and process.pid == 4. and process.pid > -.5", True),
        # what is absent
        ("?no.such == null", True),
        ("no.such != null", False),
        ("process.name != null", True),
        ('no.such == "x"', False),
        ('no.such != "x"', True),
        ('not no.such : "x"', True),
        ("length(no.such) > 0", False),
        ("not length(no.such) > 0", False),
        ("not (length(no.such) > 0 or false)", False),
        ("length(no.such) == null", True),
        ("length(no.such) != null", False),
        ('indexOf(process.name, "zzz") == null', True),
        ("winlog.event_data.empty == null", True),
        # precedence
        ("true or false and false", True),
        ("(true or false) and false", False),
        ("not true or true", True),
        ("not (true or true)", False),
        ("not not true", True),
        # comments
        ("true // and false", True),
        ("true /* and\n false */ and true", True),
        # characters
        ('"\\u{41}" == string("A")', True),
        ('concat("a\\t", """b\\t""") == "a\\tb\\\\t"', True),
        ('"a" < string("b")', True),
        ('string(1) == "1"', True),
        ('string(true) == "true"', True),
        ("string(1) == 1", False),
        ('length("a") < "b"', False),
    ],
)
def test_what_a_condition_matches(condition: str, expected: bool) -> None:
    assert holds(condition) is expected


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("add(1, 2) == 3", True),
        ("1 + 2 * 3 == 7", True),
        ("(1 + 2) * 3 - -1 == 10", True),
        ("subtract(1, 2) == -1", True),
        ("multiply(2, 2.5) == 5", True),
        ("divide(4, 3) == 1", True),
        ("4 / 2.0 == 2", True),
        ("1 / 0 == null", True),
        ("modulo(10, 3) == 1", True),
        ("-10 % 3 == -1", True),
        ("9223372036854775807 + 1 == null", True),
        ('"a" + 1 == null', True),
        ('between($word, "T", "t") == "ex"', True),
        ('between($word, "t", "T") == ""', True),
        ('between~($word, "t", "T") == "ex"', True),
        ('between("axbxc", "a", "x") == ""', True),
        ('between("a1x2x3", "a", "x") == "1"', True),
        ('between("a1x2x3", "a", "x", true) == "1x2"', True),
        ('cidrMatch("10.1.2.3", "10.0.0.0/8")', True),
        ('cidrMatch("10.1.2.3", "10.9.9.9/8")', True),
        ('true == (process.name in ("whoami.exe", "x")) and (process.name in ("x", "y")) != true', True),
        ('(process.name : "w*" or process.pid < 0) == false or false != (process.name : "x")', False),
        ('cidrMatch(source.ip, "10.0.0.0/8")', False),
        ('not cidrMatch(source.ip, "10.0.0.0/8")', True),
        ('concat(process.name, "!", 1, true) == "whoami.exe!1true"', True),
        ('concat(process.name, null) == "x"', False),
        ('endsWith(process.name, ".exe")', True),
        ('endsWith(process.name, ".EXE")', False),
        ('endsWith~(process.name, ".EXE")', True),
        ('ENDSWITH~(process.name, ".EXE")', True),
        ('endsWith(no.such, "x") or not endsWith(no.such, "x")', False),
        ('indexOf($word, "t") == 3', True),
        ('indexOf~($word, "t") == 0', True),
        ('indexOf~($word, "t", 1) == 3', True),
        ("length($word) == 4", True),
        ("number($numbers) == 31", True),
        ('number("1f", 16) == 31', True),
        ('number("1.5") == 1.5', True),
        ('number("x") == null', True),
        ('startsWith(process.name, "who")', True),
        ('startsWith~(process.name, "WHO")', True),
        ('startsWith(process.name, substring("xwho", 1))', True),
        ('stringContains(process.name, "AMI")', False),
        ('stringContains~(process.name, "AMI")', True),
        ("string(process.pid) == $processid", None),
        ('substring($word, 1, 3) == "ex"', True),
        ('substring($word, -2) == "xt"', True),
        ('substring($word, 0, -1) == "Tex"', True),
        ("length($many) == 3", True),
        ('length($word) in (3, 4) and substring($word, 0, 1) in~ ("t")', True),
        ('substring($word, 0, 2) : "t?" and substring($word, 0, 2) like "T*"', True),
        ('substring($word, 0, 2) regex~ "te" and not substring($word, 0, 2) regex "te"', True),
        ('concat("C:", "\\\\x") like "C:\\\\*"', True),
        # the reference's own examples
        ("add(4, 0.5) == 4.5 and add(-2, -2) == -4 and add(null, 4) == null", True),
        ("divide(-4, -2) == 2 and divide(-4, 3) == -1 and divide(4, 0.5) == 8 and divide(4, null) == null", True),
        ("modulo(10, -6) == 4 and modulo(-10, -6) == -4 and modulo(10, 0.5) == 0", True),
        ("multiply(0.25, 2) == 0.5 and subtract(10.5, 0.5) == 10 and subtract(2, null) == null", True),
        ('between("", "a", "b") == "" and between("", "", "") == "" and between(null, "a", "b") == null', True),
        ('between("C:\\\\a\\\\b\\\\c", "\\\\", "\\\\", false) == "a" and between("/a/b/c", "/", "/", true) == "a/b"', True),
        ('concat("regsvr32.exe", " ", 42.5) == "regsvr32.exe 42.5" and concat("x") == "x"', True),
        ('endsWith("", "") and startsWith("", "")', True),
        ('endsWith("a", null) == null and startsWith(null, null) == null', True),
        ('indexOf("a.b.c", ".") == 1 and indexOf("a.b.c", ".", 2) == 3 and indexOf("a.b.c", ".", -6) == 1', True),
        ('indexOf("", "") == 0 and indexOf("abc", "", 2) == 2 and indexOf("abc", "", -6) == 0', True),
        ('indexOf("a.b", ".", 30) == null and indexOf("a.b", ".", null) == null', True),
        ('length("") == 0 and length(null) == null', True),
        ('number("1337") == 1337 and number("42.5") == 42.5 and number("deadbeef", 16) == 3735928559', True),
        ('number("0xdeadbeef") == 3735928559 and number("0xdeadbeef", 16) == 3735928559', True),
        ('number("+1337") == 1337 and number("-1337") == -1337 and number("  1337  ") == 1337', True),
        ('number("0xff", null) == 255 and number("10", null) == 10 and number(null, 16) == null', True),
        ('number("1_000") == null and number("") == null and number("nan") == null and number("zz", 99) == null', True),
        ('string(42) == "42" and string(42.5) == "42.5" and string(null) == null', True),
        ('stringContains("", "") or stringContains("a", "")', False),
        ('substring("start regsvr32.exe", 6, 14) == "regsvr32" and substring("x.exe", -4, -1) == ".ex"', True),
        ('substring("abc", 5) == "" and substring("abc", 2, 1) == ""', True),
        ('startsWith(process.name, "who") == true and endsWith(process.name, "x") == false', True),
        ('cidrMatch("10.1.2.3", "192.168.0.0/16", "10.0.0.0/8") == true', True),
        ('length(process.name) == length("whoami.exe")', True),
        ("process.args_count * 2 == 8 and (5 / process.args_count) == 1 and 5.0 / process.args_count != 1", True),
    ],
)
def test_functions_and_operators(condition: str, expected: bool | None) -> None:
    if expected is None:
        with pytest.raises(QueryError, match="a field is compared with a field"):
            holds(condition)
    else:
        assert holds(condition) is expected


def test_a_missing_event_may_have_runs_as_any_other() -> None:
    query = "sequence with maxspan=1m [any where a == 1] ![any where b == 1] with runs=2 [any where c == 1]"
    pattern = parse_eql(query).pattern
    assert pattern is not None
    assert [stage.missing for stage in pattern.stages] == [False, True, True, False]
    assert pattern.stages[1] == pattern.stages[2]


def test_every_function_of_the_reference_is_tried_above() -> None:
    tried = {name for name in _FUNCTIONS if any(name in str(case) for case in _cases(test_functions_and_operators))}
    assert tried == set(_FUNCTIONS) <= set(Function)


def _cases(test: object) -> list[object]:
    return [case for mark in test.pytestmark for case in mark.args[1]]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("query", "line", "column", "what"),
    [
        ("process where a = 1", 1, 17, "equality is == or"),
        ("process where a == 'x'", 1, 20, "double quotes"),
        ('process where a == ?"x"', 1, 21, "three double quotes"),
        ("process where a ==", 1, 19, "ends too early"),
        ("process where\n  wildcard(a, 1)", 2, 3, "no function wildcard (field"),
        ("process where lenth(a) == 1", 1, 15, "did you mean length"),
        ("process where length~(a) == 1", 1, 15, "no form length~"),
        ("process where length(a, b) == 1", 1, 15, "takes 1 arguments, not 2"),
        ("process where a == b", 1, 15, "compared with a field"),
        ("process where a < null", 1, 15, "null has no order"),
        ("process where a : 5", 1, 19, "compares with strings"),
        ('process where a : (5, "x")', 1, 20, "compares with strings"),
        ("process where length(a) == length(b)", 1, 15, "compared with a field"),
        ("process where a < 2 < 3", 1, 21, "comparisons are not chained"),
        ("process where child of [process where true]", 1, 21, "does not ask for lineage"),
        ("process where descendant of [process where true]", 1, 26, "does not ask for lineage"),
        ("join [process where true] [process where true]", 1, 6, "Elasticsearch has no join"),
        ('process where match(a, "x")', 1, 15, "no function match"),
        ("process where arrayContains(a, 1)", 1, 15, "is true where any element is"),
        ("process where a == 1e999", 1, 20, "too large"),
        ("any where true | sort a", 1, 18, "pipe 'sort' is not read"),
        ("any where true | unique a", 1, 18, "pipe 'unique' is not read"),
        ("any where true | filter true", 1, 18, "pipe 'filter' is not read"),
        ("any where true | unique_count a", 1, 18, "pipe 'unique_count' is not read"),
        ('process where "x"', 1, 15, "a value, where a condition"),
        ("process where (a == 1) == 2", 1, 16, "a condition is no value"),
        ("process where a in (1, b)", 1, 15, "list literals alone"),
        ('process where a == "\\d"', 1, 20, "no escape \\d"),
        ('process where a == "\\u{110000}"', 1, 20, "no character"),
        ('process where a regex "a~b"', 1, 23, "operator ~"),
        ('process where a regex "' + "(" * 20_000 + "a" + ")" * 20_000 + '"', 1, 23, "nested more than 60"),
        ('process where a regex "(("', 1, 1, "not a regular expression"),
        ('process where cidrMatch(a, "10.0.0.0/99")', 1, 15, "not a network"),
        ("process where cidrMatch(a, b)", 1, 15, "must be literals"),
        ("process where a == 1 | count", 1, 24, "pipe 'count' is not read"),
        ("process where a == 1 | head -1", 1, 24, "one whole number"),
        ("process where a == 1 | head", 1, 24, "one whole number"),
        ("process where a == 1 | head 1, 2", 1, 24, "one whole number"),
        ("sequence [any where true]", 1, 1, "at least two events"),
        ("sequence with maxspan=0s [any where true] [any where true]", 1, 23, "longer than nothing"),
        ("sequence with maxspan=5 [any where true] [any where true]", 1, 23, "no span of time"),
        ("sequence with maxspan=1w [any where true] [any where true]", 1, 23, "no span of time"),
        ("sequence with minspan=1s [any where true] [any where true]", 1, 15, "no 'minspan'"),
        ("sequence [any where true] with runs=0 [any where true]", 1, 37, "from 1 to 100"),
        ("sequence [any where true] with runs=60 [any where true] with runs=60", 1, 1, "more than 100"),
        ("sequence [any where true] by a [any where true]", 1, 32, "as many join keys"),
        ("sequence [any where true] ![any where true]", 1, 1, "needs a maxspan"),
        ("sequence with maxspan=1s ![any where true] ![any where true]", 1, 1, "every event of it is a missing"),
        ("sample [any where true] [any where true]", 1, 1, "must name join keys"),
        ("sample by a [any where true] with runs=2 [any where true]", 1, 13, "neither missing events nor runs"),
        ("", 1, 1, "ends too early"),
        ("process where " + "(" * 5000 + "true", 1, 75, "nested more than 60"),
        ("process where " + "not " * 5000 + "true", 1, 255, "nested more than 60"),
        ("process where a == " + "9" * 5000, 1, 20, "too long"),
        ("process where 1" + " + 1" * 5000 + " == a", 1, 15, "in one row"),
        ("x" * 100_001, 1, 1, "longer than"),
    ],
)
def test_what_is_refused_and_where(query: str, line: int, column: int, what: str) -> None:
    with pytest.raises(QueryError) as error:
        parse_eql(query)
    assert (error.value.line, error.value.column) == (line, column)
    assert what in str(error.value)


TOKENS = (
    'any where process sequence by with maxspan = 1s [ ![ ] ( ) and or not in like~ == : a.b ?a `x` "s*" """r""" 1 null true length( '
    "endsWith~( , | head until sample - * + < regex runs 5"
)
WORDS = st.sampled_from(TOKENS.split(" "))


@given(st.one_of(st.lists(WORDS, max_size=20).map(" ".join), st.text(max_size=60)))
def test_any_text_is_a_query_or_an_error_with_a_place(text: str) -> None:
    try:
        parse_eql(text)
    except QueryError as error:
        assert error.line >= 1  # noqa: PT017 - either outcome is right; any other exception is the failure
        assert error.column >= 1  # noqa: PT017


@pytest.mark.parametrize(
    ("pattern", "value", "fits"),
    [
        ("a.c", "a\nc", True),
        ("ab", "xab", False),
        ('"a.c"', "abc", False),
        ('"a.c"', "a.c", True),
        ("a^$", "a^$", True),
        ("[^a-c]+", "xyz", True),
        ("[\\]x]+", "]x", True),
        ("[a&&b]+", "&ab", True),
        ("a{2,3}", "aaaa", False),
        ("@", "anything", True),
        ("\\d+\\e", "12e", True),
        ("a|b", "ab", False),
        ("(ab)*", "abab", True),
        (".*?", "x", True),
    ],
)
def test_lucenes_regular_expressions(pattern: str, value: str, fits: bool) -> None:
    query = f"any where winlog.event_data.word regex {_quoted(pattern)}"
    assert matcher(parse_eql(query).logic)(event(word=value)) is fits


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


@pytest.mark.parametrize("pattern", ["a~b", "a&b", "<1-3>", "#", "a**", "*a", "(+a)", "a{x}", "[a", "a\\", '"a', "a{1"])
def test_what_lucenes_regular_expressions_say_that_is_not_read(pattern: str) -> None:
    with pytest.raises(BadValue):
        python_regex(pattern)


def test_a_regular_expression_that_backtracks_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(match, "REGEX_SECONDS", 0.05)
    with pytest.raises(RuleTooSlow):
        holds('$word regex "(a|aa)+"', event(word="a" * 60 + "b"))


def test_fields_with_very_many_values_are_not_combined_for_ever() -> None:
    many: FlatValue = [str(number) for number in range(1000)]
    with pytest.raises(RuleTooSlow, match="ways"):
        holds('concat($one, $two) == "x"', event(one=many, two=many))


def test_the_category_says_which_kinds_of_event_are_read() -> None:
    assert (SYSMON.lower(), 3) in kinds(parse_eql("network where destination.port == 5985").logic)
    assert kinds(parse_eql('authentication where event.code == "4769"').logic) == {("security", 4769)}
    assert kinds(parse_eql('any where event.code in ("1", "2")').logic) == {(ANY_CHANNEL, 1), (ANY_CHANNEL, 2)}


@pytest.mark.parametrize("category", ["process", '"process"', '"""process"""', "`process`"])
def test_a_category_is_a_name_or_a_string(category: str) -> None:
    assert matcher(parse_eql(f"{category} where true").logic)(WHOAMI)
    assert not matcher(parse_eql('"6 odd-one" where true').logic)(WHOAMI)
    assert not matcher(parse_eql('"any" where true').logic)(WHOAMI)


def test_why_names_the_clause_its_value_and_the_events() -> None:
    logic = parse_eql('process where process.name : "x.exe" and length(process.name) > 20 and not endsWith(user.name, "a")').logic
    killed = nearest(logic, [WHOAMI])
    assert killed is not None
    assert killed.clauses == (
        "process.name is whoami.exe, the rule wants x.exe",
        "length(process.name) > 20 does not hold: process.name is whoami.exe",
        "not endsWith(user.name, a) does not hold: user.name is Anna",
    )
