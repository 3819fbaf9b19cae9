"""Faults that a tree proves, and that nothing is said where it does not."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.logic.lint import Fault, contradiction, lint
from harness.logic.match import matcher
from harness.model.intent import Rule
from harness.model.tree import FieldName, Node, Not, Op, Or
from harness.rules.catalog import load_catalog
from harness.rules.elastic import ElasticRules
from harness.rules.languages import rule_sources
from harness.rules.sigma import SigmaRules
from tests.logic.tree_builders import SYSMON, both, event, is_, of_kind, rule
from tests.needs import DATA, needs_recordings
from tests.rules.sigma_data import upstream_rules


def any_of(*items: Node, label: str = "") -> Or:
    return Or(items=items, label=label)


def faults(logic: Node) -> list[Fault]:
    return [finding.fault for finding in lint([rule(logic)])]


A, B = is_("A", "1"), is_("B", "2")
FILTER = any_of(both(A, B, label="filter_one"), label="1 of filter_*")

IMPOSSIBLE = [
    both(A, is_("A", "2")),
    both(any_of(is_("A", "1"), is_("A", "2")), any_of(is_("a", "3"), is_("A", "4"))),
    both(A, Not(item=A)),
    both(A, B, Not(item=FILTER)),
    both(both(A, B, label="selection"), Not(item=both(A, B, label="filter"))),
    both(is_("A", "cmd.exe"), is_("A", "power", Op.STARTS_WITH)),
    both(is_("A", "5"), is_("A", 4, Op.LESS)),
    both(is_("A", 5, Op.GREATER), is_("A", 4, Op.LESS)),
    both(is_("A", 5, Op.GREATER_OR_EQUAL), is_("A", 5, Op.LESS)),
    both(is_("A", None, Op.IS_NULL), is_("A", "x", Op.CONTAINS)),
    both(is_("A", False, Op.EXISTS), is_("A", "x", Op.ENDS_WITH)),
    both(any_of(A, B), any_of(both(A, Not(item=A)), both(B, is_("B", "3")))),
    any_of(both(A, Not(item=A)), both(B, is_("B", "3"))),
    any_of(),
    Not(item=both()),
    both(is_("EventID", 1), is_("EventID", 3)),
]
POSSIBLE = [
    A,
    both(),
    both(A, is_("A", 1)),
    both(A, B, Not(item=both(A, is_("B", "3")))),
    both(A, Not(item=both(A, B))),
    both(any_of(A, is_("A", "2")), any_of(is_("A", "2"), is_("A", "3"))),
    both(is_("A", "x"), is_("A", "X")),
    both(is_("A", "x", cased=True), is_("A", "X", Op.CONTAINS)),
    both(is_("A", 5, Op.GREATER_OR_EQUAL), is_("A", 5, Op.LESS_OR_EQUAL)),
    both(is_("Data", "one"), is_("Data", "two")),  # a field of several values
    both(is_("A", "x", Op.CONTAINS), is_("A", "y", Op.CONTAINS)),
    both(is_("A", "x"), is_("A", "(a+)+$", Op.REGEX)),
    both(is_("A", FieldName(name="B")), A),
    both(is_(None, "x", Op.CONTAINS), A),
    any_of(both(A, is_("A", "2")), B),
    Not(item=A),
]


@pytest.mark.parametrize("logic", IMPOSSIBLE, ids=str)
def test_what_can_never_match_is_found(logic: Node) -> None:
    assert Fault.NEVER in faults(logic)


@pytest.mark.parametrize("logic", POSSIBLE, ids=str)
def test_what_may_match_is_not(logic: Node) -> None:
    assert faults(logic) == []


def test_a_rule_of_many_values_takes_no_time_by_their_square() -> None:
    """By the square it would be 400 million comparisons: the test would not end in minutes."""
    many = [is_("A", f"v{number}", Op.CONTAINS) for number in range(20_000)]
    listed = [is_("A", f"v{number}") for number in range(20_000)]
    assert faults(both(any_of(*listed), any_of(*listed, label="again"))) == []
    assert faults(both(*many, Not(item=any_of(*many)))) == [Fault.NEVER]


def test_one_impossible_variant_of_two_is_named() -> None:
    good, bad = both(is_("EventID", 1), A, label="Sysmon 1"), both(is_("EventID", 4688), A, Not(item=A), label="Security 4688")
    (finding,) = lint([rule(any_of(good, bad))])
    assert "Security 4688" in finding.what


VALUES = ["", "1", "2", "12"]
leaves = st.one_of(
    st.builds(is_, st.sampled_from("AB"), st.sampled_from(VALUES), st.sampled_from([Op.EQUALS, Op.CONTAINS, Op.STARTS_WITH])),
    st.builds(is_, st.sampled_from("AB"), st.integers(0, 3), st.sampled_from([Op.LESS, Op.GREATER_OR_EQUAL])),
    st.builds(lambda name: is_(name, None, Op.IS_NULL), st.sampled_from("AB")),
)
trees = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.builds(lambda item: Not(item=item), inner),
        st.builds(lambda items: both(*items), st.lists(inner, max_size=3)),
        st.builds(lambda items: any_of(*items), st.lists(inner, max_size=3)),
    ),
    max_leaves=10,
)
events = st.dictionaries(st.sampled_from(["a", "b"]), st.sampled_from([*VALUES, "0", "3", "x"]))


@given(trees, events)
def test_what_is_said_never_to_match_matches_nothing(logic: Node, fields: dict[str, str]) -> None:
    if contradiction(logic) is not None:
        assert not matcher(logic)(event(**fields))


def test_a_field_that_no_kind_of_event_of_the_rule_has() -> None:
    (finding,) = lint([rule(of_kind(SYSMON, 11, is_("CommandLine", "x"), is_("TargetFilename", "x"), is_("Computer", "x")))])
    assert (finding.fault, finding.value) == (Fault.UNKNOWN_FIELD, "CommandLine")
    assert "Sysmon 11" in finding.what


def test_a_field_of_one_of_the_rules_kinds_is_known() -> None:
    sysmon, audit = of_kind(SYSMON, 1, is_("Hashes", "x")), of_kind("Security", 4688, is_("Hashes", "x"))
    assert faults(any_of(sysmon, audit)) == []
    assert faults(audit) == [Fault.UNKNOWN_FIELD]


def test_nothing_is_said_of_the_fields_of_an_unknown_kind() -> None:
    assert faults(of_kind("Some-Vendor/Log", 1, is_("Whatever", "x"))) == []
    assert faults(any_of(of_kind(SYSMON, 3, is_("Whatever", "x")), of_kind("Some-Vendor/Log", 1))) == []


@pytest.mark.parametrize(
    ("logic", "expected"),
    [
        (is_("ContextInfo", " = ServerRemoteHost ", Op.CONTAINS), [Fault.LINE_END]),
        (is_("ContextInfo", " = ServerRemoteHost", Op.CONTAINS), []),
        (is_("ContextInfo", " -enc ", Op.CONTAINS), []),
        (is_("CommandLine", "a=b ", Op.CONTAINS), []),
        (is_("CommandLine", "x ", Op.ENDS_WITH), [Fault.BLANK]),
        (is_("CommandLine", "x "), [Fault.BLANK]),
        (is_("CommandLine", "x ", Op.STARTS_WITH), []),
        (is_("Message", "one\ntwo", Op.CONTAINS), [Fault.LINE_END]),
        (is_("Message", "one\r\ntwo", Op.CONTAINS), []),
        (is_("Message", "x ", Op.REGEX), []),
    ],
)
def test_blanks_and_line_ends(logic: Node, expected: list[Fault]) -> None:
    assert faults(logic) == expected


def test_an_id_that_two_rules_share() -> None:
    first, second = rule(A), replace(rule(B), source="other")
    (finding,) = lint([first, second])
    assert (finding.fault, finding.rule) == (Fault.SAME_ID, second)
    assert "s as well" in finding.what


@needs_recordings
def test_upstream_rules() -> None:
    """What is found in SigmaHQ's own rules: each was looked at, and is so."""
    names = ("posh_pm_remote_powershell_session", "win_system_eventlog_cleared")
    chosen = {path: text for path, text in upstream_rules().items() if path.rpartition("/")[2].removesuffix(".yml") in names}
    found = {
        (finding.rule.id[:8], finding.fault) for path, text in chosen.items() for finding in lint(list(SigmaRules().parse(text, path)))
    }
    assert ("96b9f619", Fault.LINE_END) in found
    # Its log source ties it to the channel System, which is among the channels that it leaves to another rule.
    assert ("a62b37e0", Fault.NEVER) in found


def eql(query: str, **elastic: object) -> Rule:
    """An Elastic rule with this query."""
    lines = "\n".join(f"{name} = {value!r}" for name, value in elastic.items())
    text = f"[rule]\nrule_id = '1'\nname = 'x'\ntype = 'eql'\nseverity = 'low'\n{lines}\nquery = '''{query}'''\n"
    (found,) = ElasticRules().parse(text, "r.toml")
    return found


def told(rule: Rule) -> list[tuple[Fault, str]]:
    return [(finding.fault, finding.what) for finding in lint([rule])]


@pytest.mark.parametrize(
    "query",
    [
        'process where process.name : "a.exe" and process.name : "?.exe"',
        'network where event.type == "start" and event.type == "connection"',  # an array may hold both
        'process where process.args : "a" and process.args : "b"',
        "network where destination.port == 5985 and destination.port > 5000",
        'process where not process.name : "a.exe"',
        'process where process.pe.original_file_name == "a.exe" or process.code_signature.trusted == true',
        "sequence by host.id [network where true] [process where true]",
        'any where event.code == "4662" and winlog.event_data.Properties : "*x*"',
        'process where process.command_line == "a.exe  /f "',
    ],
)
def test_nothing_is_wrong_with_a_rule_on_the_ecs_view(query: str) -> None:
    assert told(eql(query)) == []


@pytest.mark.parametrize(
    ("query", "what"),
    [
        ('process where process.name : "a.exe" and process.name : "b.exe"', "no value of process.name satisfies everything"),
        ("network where destination.port > 6000 and destination.port < 5000", "no number is what it asks destination.port to be"),
        (
            'process where event.code == "1" and event.type == "info" and event.code == "2"',
            "no event is of the kinds that it asks for all at once",
        ),
        ('file where event.code == "4688"', "no event is of the kinds that it asks for all at once"),
        (
            'sequence by host.id [network where true] [process where user.name : "a" and user.name : "b"]',
            "in event 2, no value of user.name",
        ),
    ],
)
def test_what_never_matches_on_the_ecs_view(query: str, what: str) -> None:
    ((fault, said),) = told(eql(query))
    assert fault is Fault.NEVER
    assert said.startswith(what)


def test_a_field_that_no_event_of_its_kinds_tells_is_said_with_the_kinds() -> None:
    query = 'network where network.direction == "ingress" and network.protocol == "http"'
    ((fault, what),) = told(eql(query, index=["winlogbeat-*", "logs-endpoint.events.*"]))
    assert fault is Fault.UNTOLD
    which = "none of the Windows events that it reads tells (Sysmon 3, Sysmon 22, Security auditing 5140, Security auditing 5145)"
    assert what == f"it wants network.protocol equals (with regard to case) http, which {which}"
    (finding,) = lint([eql(query, index=["winlogbeat-*", "logs-endpoint.events.*"])])
    assert finding.fix == "it can fire on logs-endpoint.events.* alone"
    assert told(eql(query)) == [(fault, what)]


def test_a_rule_for_another_sensor_alone_is_not_held_against_windows_events() -> None:
    assert told(eql('file where event.action == "rename"', index=["logs-endpoint.events.file-*"])) == []
    assert told(eql('file where event.action == "rename"', index=["winlogbeat-*"])) != []


@pytest.mark.parametrize(
    ("schedule", "query", "what"),
    [
        (
            {"from": "now-5m", "interval": "10m"},
            "process where true",
            "it runs every 10m and looks back 5m: what happens in between is never looked at",
        ),
        (
            {"from": "now-9m"},
            "sequence with maxspan=1h [file where true] [process where true]",
            "its events may lie 1h apart, and it looks back 9m only",
        ),
    ],
)
def test_a_schedule_with_a_hole(schedule: dict[str, str], query: str, what: str) -> None:
    assert told(eql(query, **schedule)) == [(Fault.SCHEDULE, what)]


def test_nothing_is_said_of_a_rule_that_is_not_evaluated() -> None:
    text = "[rule]\nrule_id = '1'\nname = 'x'\ntype = 'esql'\nlanguage = 'esql'\nseverity = 'low'\nquery = 'from x'\n"
    assert [finding for rule in ElasticRules().parse(text, "r.toml") for finding in lint([rule])] == []


@needs_recordings
def test_nothing_is_wrong_with_elastics_own() -> None:
    """Each finding on these was looked at by hand: none is left."""
    catalog = load_catalog([DATA / "elastic"], rule_sources())
    assert len(catalog.rules) == 36
    assert [(finding.rule.title, finding.fault, finding.what) for finding in lint(catalog.rules)] == []
