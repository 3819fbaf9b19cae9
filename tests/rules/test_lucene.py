"""Lucene's query language: what it matches, after the reference of `query_string`; what it refuses, where and by which name."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.logic.match import matcher
from harness.model.facts import Event
from harness.rules.grammar import QueryError, Unsupported
from harness.rules.lucene import parse_lucene
from tests.logic.tree_builders import SYSMON, event

WHOAMI = event(
    SYSMON,
    1,
    image="C:\\Windows\\System32\\whoami.exe",
    commandline='"C:\\Windows\\System32\\whoami.exe" /groups',
    processid="4",
    a="1",
    b="2",
    c="3",
    two="foo bar",
    star="a*b",
    sign=">5",
    message="Process Create: foo bar",
)
CONNECTION = event(SYSMON, 3, sourceip="10.1.2.3", destinationport="5985")


def holds(query: str, seen: Event = WHOAMI) -> bool:
    """`$x` is a field of the event's own."""
    return matcher(parse_lucene(query.replace("$", "winlog.event_data.")))(seen)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        # values
        ("process.name:whoami.exe", True),
        ("process.name: whoami.exe", True),
        ("process.name:WHOAMI.exe", False),
        ("process.name.caseless:WHOAMI.exe", True),
        ('process.name:"whoami.exe"', True),
        ('process.name:"who*"', False),
        ("process.name:who*", True),
        ("process.name:who?mi.exe", True),
        ("process.name:*AMI*", False),
        ("process.name:wh*i.e?e", True),
        ("$star:a\\*b", True),
        ("$star:a\\?b", False),
        ("process.executable:C\\:\\\\Windows\\\\System32\\\\whoami.exe", True),
        ("process.executable:*\\\\whoami.exe", True),
        ('process.executable:"C:\\\\Windows\\\\System32\\\\whoami.exe"', True),
        ("process.args:\\/groups", True),
        ("$a:\\u0031", True),
        ("$two:foo\\ bar", True),
        ("$two:(foo bar)", True),
        ("$two:(foo OR bar)", False),
        ("$two:foo AND message:bar", False),
        # presence
        ("_exists_:process.name", True),
        ('_exists_:"process.name"', True),
        ("_exists_:no.such", False),
        ("NOT _exists_:no.such", True),
        ("process.name:*", True),
        ("no.such:*", False),
        ("*:*", True),
        ("*", True),
        ("", False),
        # regular expressions fit whole values
        ("process.name:/who[a-z]+\\.exe/", True),
        ("process.name:/hoami/", False),
        ("process.name:/WHO.*/", False),
        ("process.args:/\\/gr.*/", True),
        # ranges
        ("process.pid:[4 TO 5]", True),
        ("process.pid:{4 TO 5}", False),
        ("process.pid:[4 TO 5}", True),
        ("process.pid:{3 TO 4}", False),
        ("process.pid:{3 TO 4]", True),
        ("process.pid:[5 TO *]", False),
        ("process.pid:{* TO 4]", True),
        ("process.pid:[* TO *]", True),
        ('process.pid:["4" TO "4"]', True),
        ("process.pid:>3", True),
        ("process.pid:>=4", True),
        ("process.pid:<4", False),
        ("process.pid:<=4", True),
        ("process.pid:(>=4 AND <5)", True),
        ("process.pid:(+>=4 +<4)", False),
        ("$sign:\\>5", True),
        # operators: clauses that must hold, may hold, must not
        ("$a:1 AND $b:2", True),
        ("$a:1 && $b:9", False),
        ("$a:9 OR $b:2", True),
        ("$a:9 || $b:9", False),
        ("$a:9 $b:2", True),
        ("NOT $a:9", True),
        ("!$a:1", False),
        ("$a:1 AND NOT $b:9", True),
        ("$a:1 NOT $b:2", False),
        ("$a:1 -$b:9", True),
        ("+$a:1 $b:9", True),
        ("+$a:9 $b:2", False),
        ("$a:9 OR $b:2 AND $c:3", True),
        ("$a:1 OR $b:9 AND $c:3", False),
        ("$a:1 OR ($b:9 AND $c:3)", True),
        ("$a:1 AND $b:9 OR $c:3", False),
        ("($a:1 OR $b:9) AND ($c:3 OR $c:4)", True),
        ("$a:(1 OR 2) AND $b:(NOT 9)", True),
        ("$a:(1 AND $b:2)", True),
        ("(NOT $a:9) AND (NOT $b:9)", True),
        ("$a:(9 1)", False),
        ("$a:(9 OR 1)", True),
        ("$a:(9 1*)", True),
        # words that are operators in capitals alone
        ("$a:9 or $b:9", False),
        ("process.name:(ANDROID OR NOTE OR whoami.exe)", True),
        ("$a:9 and $b:2", True),
        # texts
        ("message:create", True),
        ("message:(nothing create)", True),
        ('message:"foo bar"', True),
        ('message:"bar foo"', False),
        ("message:Creat*", True),
        # without a field
        ("whoami.exe", True),
        ("whoami", False),
        ("*hoami*", True),
        ("create", True),
        ('"foo bar"', True),
    ],
)
def test_what_a_query_matches(query: str, expected: bool) -> None:
    assert holds(query) is expected


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("source.ip:10.0.0.0\\/8", True),
        ('source.ip:"10.0.0.0/8"', True),
        ("source.ip:[10.1.0.0 TO 10.1.255.255]", True),
        ("source.ip:{10.1.2.3 TO 10.1.255.255]", False),
        ("source.ip:[10.2.0.0 TO 10.1.0.0]", False),
        ("destination.port:(5985 OR 5986)", True),
    ],
)
def test_addresses_and_ports(query: str, expected: bool) -> None:
    assert holds(query, CONNECTION) is expected


@pytest.mark.parametrize(
    ("query", "line", "column", "what"),
    [
        ("a:b~", 1, 4, "fuzzy words and distances"),
        ("a:b~1", 1, 4, "fuzzy words and distances"),
        ('a:"b c"~2', 1, 8, "fuzzy words and distances"),
        ("a:b^2", 1, 4, "a boost"),
        ("(a:b)^2", 1, 6, "a boost"),
        ("a:b AND\nbook.\\*:x", 2, 1, "a pattern of field names"),
        ("_exists_:a*", 1, 10, "a pattern of field names"),
        ("[1 TO 2]", 1, 1, "a range over all fields"),
        ("/a/", 1, 1, "a regular expression over all fields"),
        ("message:/a/", 1, 9, "a regular expression over message"),
        ("a:/b~/", 1, 3, "the operator ~"),
        ("@timestamp:[now TO *]", 1, 12, "@timestamp is a date"),
        ("process.pid:4*", 1, 13, "wildcards fit texts alone"),
        ("process.pid:x", 1, 13, "no number"),
        ("process.name:[a TO b]", 1, 14, "no number"),
    ],
)
def test_what_is_not_read_is_named(query: str, line: int, column: int, what: str) -> None:
    with pytest.raises(Unsupported) as error:
        parse_lucene(query)
    assert (error.value.line, error.value.column) == (line, column)
    assert what in str(error.value)


@pytest.mark.parametrize(
    ("query", "line", "column", "what"),
    [
        ("a:", 1, 3, "ends too early"),
        ("a:b AND", 1, 8, "ends too early"),
        ("(a:b", 1, 5, "ends too early"),
        ("a:b)", 1, 4, "cannot stand here"),
        ("AND a:b", 1, 1, "cannot stand here"),
        ("a:b AND OR c", 1, 9, "cannot stand here"),
        ("a:b:c", 1, 4, "a value with a colon"),
        ("a:C:\\\\x", 1, 4, "a value with a colon"),
        ("a:/b", 1, 3, "a slash in a value"),
        ("a:[1 5]", 1, 3, "a range is"),
        ("- a", 1, 1, "cannot stand here"),
        ('a:"b', 1, 3, "cannot stand here"),
        ("(" * 5000 + "a", 1, 61, "nested more than 60"),
        ("x" * 100_001, 1, 1, "longer than"),
    ],
)
def test_what_is_refused_and_where(query: str, line: int, column: int, what: str) -> None:
    with pytest.raises(QueryError) as error:
        parse_lucene(query)
    assert (error.value.line, error.value.column) == (line, column)
    assert what in str(error.value)
    assert not isinstance(error.value, Unsupported)


# --- against the reference's own account of clauses ------------------------------------------------------------------------------

CLAUSES = st.lists(
    st.tuples(
        st.sampled_from(["", "AND ", "OR ", "&& "]),
        st.sampled_from(["", "+", "-", "NOT ", "!"]),
        st.sampled_from(["$a:1", "$a:9", "$b:2", "$b:9"]),
    ),
    min_size=1,
    max_size=6,
)


@given(CLAUSES)
def test_clauses_are_those_that_must_may_and_must_not_hold(clauses: list[tuple[str, str, str]]) -> None:
    """Written without the tree: signs by position, an AND making both its neighbours required."""
    text = "".join(f"{'' if place == 0 else operator}{sign}{test} " for place, (operator, sign, test) in enumerate(clauses))
    signs = ["-" if sign in ("-", "NOT ", "!") else "+" if sign == "+" else "" for _, sign, _ in clauses]
    for place, (operator, _, _) in enumerate(clauses):
        if place and operator in ("AND ", "&& "):
            for each in (place - 1, place):
                signs[each] = signs[each] or "+"
    values = [test in ("$a:1", "$b:2") for _, _, test in clauses]
    must = [value for value, sign in zip(values, signs, strict=True) if sign == "+"]
    may = [value for value, sign in zip(values, signs, strict=True) if not sign]
    must_not = [value for value, sign in zip(values, signs, strict=True) if sign == "-"]
    assert holds(text) is ((all(must) if must else any(may) if may else True) and not any(must_not))


TOKENS = 'a b.c : ( ) AND OR NOT && || ! + - "x y" * a* ? /r/ [1 TO 2] {a TO *} ~ ^2 \\: \\ 5 > message _exists_'
WORDS = st.sampled_from(TOKENS.split(" "))


@given(st.one_of(st.lists(WORDS, max_size=15).map(" ".join), st.lists(WORDS, max_size=8).map("".join), st.text(max_size=40)))
def test_any_text_is_a_query_or_an_error_with_a_place(text: str) -> None:
    try:
        matcher(parse_lucene(text))(WHOAMI)
    except QueryError as error:
        assert error.line >= 1  # noqa: PT017 - either outcome is right; any other exception is the failure
        assert error.column >= 1  # noqa: PT017
