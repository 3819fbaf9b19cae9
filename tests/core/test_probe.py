"""What a probe's answer means, held against the matcher: where the SIEM answers as our own engine would, the matches are the same."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.core.probe import matches
from harness.logic.match import matcher
from harness.logic.sequence import find_all
from harness.model.facts import Event, Probe
from harness.model.intent import Rule
from harness.model.tree import Op, Test
from harness.rules.eql import parse_eql
from tests.builders import SECURITY, T0, event, rule

A, B, C = (f'[any where winlog.event_data.kind == "{name}"]' for name in "abc")
PATTERNS = (
    f"sequence {A} {B}",
    f"sequence by winlog.event_data.key with maxspan=3s {A} [any where true]",
    f"sequence with maxspan=5s {A} !{C} {B}",
    f"sequence {A} [any where true] with runs=2 until {C}",
    f"sample by winlog.event_data.key {A} {B}",
    'any where winlog.event_data.kind == "a" | tail 1',
)


def of(query: str) -> Rule:
    parsed = parse_eql(query)
    assert parsed.pattern is not None
    made = rule("r", SECURITY, 4688)
    return Rule(
        id=made.id,
        title="",
        source="",
        language="eql",
        severity=made.severity,
        techniques=(),
        logic=parsed.logic,
        definition=query,
        pattern=parsed.pattern,
    )


def answered(of_rule: Rule, events: list[Event]) -> Probe:
    """The probe of a SIEM that answers each condition as our own matcher does."""
    conditions = [stage.condition for stage in of_rule.pattern.asked] if of_rule.pattern is not None else [of_rule.logic]
    found = tuple(frozenset(one.id for one in events if matcher(condition)(one)) for condition in conditions)
    return Probe(rule=of_rule.id, since=T0, asked_at=T0, found=found)


@pytest.mark.parametrize("query", PATTERNS, ids=range(len(PATTERNS)))
@settings(deadline=None)
@given(kinds=st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("xy")), max_size=8))
def test_a_pattern_is_found_as_our_own_engine_finds_it(query: str, kinds: list[tuple[str, str]]) -> None:
    events = [event(f"{n}", SECURITY, 4688, float(n), {"kind": kind, "key": key}) for n, (kind, key) in enumerate(kinds)]
    wanted = of(query)
    assert wanted.pattern is not None
    assert matches(wanted, answered(wanted, events), events) == [tuple(found) for found in find_all(wanted.pattern, events)]


def test_the_siems_word_counts_and_not_ours() -> None:
    wanted = rule("r", SECURITY, 4688, Test(field="kind", op=Op.EQUALS, value="a"))
    events = [event("1", SECURITY, 4688, 1.0, {"kind": "a"}), event("2", SECURITY, 4688, 2.0, {"kind": "b"})]
    probe = Probe(rule="r", since=T0, asked_at=T0 + timedelta(seconds=5), found=(frozenset({"2", "not ours"}),))
    assert matches(wanted, probe, events) == [(events[1],)]
    stages = of(PATTERNS[0])
    turned = Probe(rule="r", since=T0, asked_at=T0, found=(frozenset({"2"}), frozenset({"1"})))
    assert matches(stages, turned, events) == []
    assert matches(stages, Probe(rule="r", since=T0, asked_at=T0, found=(frozenset({"1"}), frozenset({"2"}))), events) == [tuple(events)]


def test_what_was_refused_is_no_match() -> None:
    probe = Probe(rule="r", since=T0, asked_at=T0, found=(), refused="no")
    assert matches(rule("r", SECURITY, 4688), probe, [event("1", SECURITY, 4688, 1.0, {})]) == []
