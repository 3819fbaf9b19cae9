"""EQL from a Sigma rule's tree: the project's own reader takes it, and the matcher finds with it what it finds with the rule."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.logic.match import matcher
from harness.model.facts import Event, FlatValue
from harness.model.intent import Rule
from harness.model.tree import And, Op, Or, Test, ViewName
from harness.rules.eql import parse_eql
from harness.translate.eql import eql, quoted
from harness.translate.refusal import NotExpressible
from tests.logic.tree_builders import SYSMON, event, is_
from tests.needs import needs_recordings
from tests.translate.rules import hits, hits_of, on, sample, sigma, upstream


def said(rule: Rule) -> str:
    text, _, _ = eql(rule)
    parse_eql(text)
    return text


def finds(rule: Rule, seen: Event) -> bool:
    found = matcher(parse_eql(said(rule)).logic)(seen)
    assert found == matcher(rule.logic)(seen)
    return found


def network(**fields: FlatValue) -> Event:
    return event(SYSMON, 3, **fields)


@settings(deadline=None)  # the first query builds the parser
@given(st.text(st.characters(codec="utf-8"), max_size=12))
def test_a_quoted_text_is_read_as_it_was(text: str) -> None:
    condition = parse_eql(f"any where ?x == {quoted(text)}").logic
    assert condition == Test(field="x", op=Op.EQUALS, value=text, cased=True, view=ViewName.ECS)


@pytest.mark.parametrize(
    ("selection", "seen", "expected"),
    [
        ({"Initiated": "true"}, {"initiated": "true"}, True),
        ({"Initiated": "true"}, {"initiated": "false"}, False),
        ({"DestinationPort": [5985, 5986]}, {"destinationport": "5986"}, True),
        ({"DestinationPort|gte": 5986}, {"destinationport": "5985"}, False),
        ({"DestinationIp": "10.1.2.3"}, {"destinationip": "10.1.2.3"}, True),
        ({"DestinationIp|startswith": "10."}, {"destinationip": "10.1.2.3"}, True),
        ({"DestinationIp|startswith": "10."}, {"destinationip": "101.1.2.3"}, False),
        ({"DestinationIp|cidr": ["10.0.0.0/8", "fe80::/10"]}, {"destinationip": "fe80::1"}, True),
        ({"User": "LAB\\anna"}, {"user": "lab\\Anna"}, True),
        ({"User|contains": ["AUTHORI", "AUTORI"]}, {"user": "NT AUTHORITY\\SYSTEM"}, True),
        ({"User|startswith": "NT AUTHORITY\\"}, {"user": "NT AUTHORITY\\SYSTEM"}, True),
        ({"User|endswith": "\\SYSTEM"}, {"user": "NT AUTHORITY\\SYSTEM"}, True),
        ({"User|contains": "ity\\sys"}, {"user": "NT AUTHORITY\\SYSTEM"}, True),
        ({"User|contains": "ty\\sysadm"}, {"user": "NT AUTHORITY\\SYSTEM"}, False),
        ({"Image|contains": "*"}, {"image": "C:\\a.exe"}, True),
        ({"Image|contains": "a\\*b"}, {"image": "C:\\A*B.exe"}, True),
        ({"Image|contains": "a\\*b"}, {"image": "C:\\axb.exe"}, False),
        ({"Image": "C:\\\\?.exe"}, {"image": "C:\\A.exe"}, True),
        ({"Image|cased": "C:\\a.exe"}, {"image": "C:\\A.exe"}, False),
        ({"Image|re": "\\\\[ab]\\.exe$"}, {"image": "C:\\a.exe"}, True),
        ({"Image|re": "\\\\[AB]\\.exe$"}, {"image": "C:\\a.exe"}, False),
        ({"Image|re|i": "\\\\[AB]\\.EXE$"}, {"image": "C:\\a.exe"}, True),
        ({"Image": None}, {"user": "x"}, True),
        ({"Image|exists": True}, {"image": "x"}, True),
        ({"Odd|gt": 5}, {"odd": "7"}, True),
        ({"Odd|cidr": "10.0.0.0/8"}, {"odd": "10.0.0.1"}, True),
        ({"SourceHostname": "-"}, {"image": "x", "sourcehostname": ""}, None),
    ],
)
def test_single_tests(selection: dict[str, object], seen: dict[str, FlatValue], expected: bool | None) -> None:
    rule = sigma(selection, logsource={"product": "windows", "category": "network_connection"})
    if expected is None:
        assert "== null" in said(rule)
    else:
        assert finds(rule, network(**seen)) is expected


def test_a_hash_is_the_one_that_ecs_keeps() -> None:
    rule = sigma({"Hashes|contains": "IMPHASH=ABCDEF0123"})
    assert finds(rule, event(SYSMON, 1, hashes="MD5=00,IMPHASH=ABCDEF0123")) is True
    assert '?process.pe.imphash : "abcdef0123"' in said(rule)


def test_a_negated_comparison_holds_where_the_field_is_absent() -> None:
    rule = sigma({"Image": "*"}, selections={"big": {"Odd|gt": 5}}, condition="selection and not big")
    assert finds(rule, event(SYSMON, 1, image="C:\\a.exe")) is True


def test_what_winlogbeat_leaves_unmapped_is_asked_in_both_places() -> None:
    rule = sigma({"EventID": 5156, "DestPort": [5985, 5986]}, logsource={"product": "windows", "service": "security"})
    assert '(?destination.port in (5985, 5986) or ?winlog.event_data.DestPort : ("5985", "5986"))' in said(rule)


def nested(rule: Rule, levels: int) -> Rule:
    """The rule with its condition so deep in others: no language of rules lets anyone write that."""
    logic = rule.logic
    for _ in range(levels):
        logic = Or(items=(is_("B", "y"), And(items=(is_("C", "z"), logic))))
    return replace(rule, logic=logic)


def test_events_whose_fields_are_named_otherwise_are_asked_apart() -> None:
    rule = sigma({"ProcessName|endswith": "x.exe", "EventID": [4624, 5156]}, logsource={"product": "windows", "service": "security"})
    assert said(rule).count("winlog.channel") == 2


@pytest.mark.parametrize(
    ("rule", "named"),
    [
        (on("System", {"A|fieldref": "B"}), "compares the fields"),
        (on("System", {"A|re": "a(?=b)"}), "look-ahead"),
        (on("System", {"A|re": "(a)\\1"}), "back-reference"),
        (on("System", {"EventID": 1}, selections={"b": {"EventID": 2}}, condition="selection and b"), "no event"),
        (nested(on("System", {"A": "x"}), 70), "nested"),
        (on("System", {"A|contains": ["x" * 999 + str(number) for number in range(120)]}), "characters"),
    ],
)
def test_what_eql_cannot_say_is_named(rule: Rule, named: str) -> None:
    with pytest.raises(NotExpressible, match=named):
        eql(rule)


def test_keywords_are_asked_of_the_message_and_that_is_said() -> None:
    text, notes, names = eql(on("System", {}, selections={"words": ["abc"]}, condition="selection and words"))
    assert '?message : "*abc*"' in text
    assert any("keyword" in note for note in notes)
    assert "message" in names


@needs_recordings
def test_recordings() -> None:
    translated = []
    for rule in [rule for rule in upstream() if rule.id in hits()] + sample(150, seed=31):
        try:
            text, _, _ = eql(rule)
        except NotExpressible:
            continue
        translated.append(replace(rule, logic=parse_eql(text).logic))
    assert len(translated) > 150
    found = hits_of(tuple({rule.id: rule for rule in translated}.values()))
    for rule in translated:
        assert found.get(rule.id, frozenset()) == hits().get(rule.id, frozenset()), rule.id
