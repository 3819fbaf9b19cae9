"""Expectations of rules that nothing runs, judged by the SIEM's answers to their queries: told as such, and never as detections."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from harness.core.cover import cover
from harness.core.standing import exit_code
from harness.model.facts import Probe, RuleState, SiemStatus
from harness.model.intent import Expectation
from harness.model.verdicts import CoverageStatus, GateKind, GateState, Inconclusive, Outcome, Probed, Verdict
from harness.reports.ladder import ladder, outcome_word
from tests.builders import T0, alert, at, observed, status
from tests.core.test_ledger import ONE, RULES, TWO, Story, state, telemetry

PASSED, FAILED, UNREACHED = GateState.PASSED, GateState.FAILED, GateState.UNREACHED
CHILD_ID = ONE.child_process().id
NOTHING = timedelta(0)


def siem(*probed: str, deployed: bool = False, refusal: str = "") -> SiemStatus:
    """A SIEM in which nothing runs these rules; their queries can be asked, unless there is a refusal."""
    rules = {
        rule: RuleState(
            rule=rule, deployed=deployed, enabled=False, interval=NOTHING, look_back=NOTHING, probed=not refusal, not_probed=refusal
        )
        for rule in probed
    }
    return replace(status("port"), rules=rules, schedule_running=False)


def probe(*ids: str, rule: str = "child", asked: float, since: float = -5, refused: str = "") -> Probe:
    return Probe(rule=rule, since=at(since), asked_at=at(asked), found=(frozenset(ids),), refused=refused)


def check(verdict: Verdict, probed: Probed, query: GateState) -> None:
    """What holds of every such verdict: it is no detection, no miss, no coverage, and says that it is a probe."""
    assert (verdict.outcome, verdict.inconclusive, verdict.probed) == (Outcome.INCONCLUSIVE, Inconclusive.NOT_DEPLOYED, probed)
    assert state(verdict)[2:] == [query, UNREACHED]
    assert verdict.cause.startswith("a probe, no alert: ")
    assert "nothing would raise an alert" in verdict.cause
    assert "a probe" in outcome_word(verdict)
    assert not verdict.sightings
    assert verdict.proof is None
    (row,) = (row for row in cover([verdict], {name: rule.title for name, rule in RULES.items()}) if row.rule == verdict.expectation.rule)
    assert row.status is CoverageStatus.INCONCLUSIVE
    assert "a probe" in row.reason
    assert exit_code([verdict], interrupted=False, day=T0.date()) == 3


def test_a_match_is_told_at_once() -> None:
    story = Story(Expectation(rule="child"), siem=siem("child")).detonated()
    verdict = story.saw(*telemetry(), probe(CHILD_ID, asked=1.2), now=1.2, running=False).only()
    check(verdict, Probed.MATCHES, PASSED)
    assert CHILD_ID in verdict.cause
    assert any(CHILD_ID in line for line in verdict.gates[2].evidence)
    assert verdict.gates[2].at == at(0.5)


def test_nothing_found_is_told_once_everything_was_asked() -> None:
    story = Story(Expectation(rule="child"), siem=siem("child")).detonated()
    story.saw(*telemetry(), probe(asked=1.2), now=1.2, running=False)
    assert story.ledger.open == 1, "more may arrive"
    assert story.ledger.watches([])[0].rules == {"child"}
    verdict = story.saw(probe(asked=1.6), now=1.6, running=False).only()
    check(verdict, Probed.FINDS_NOTHING, FAILED)
    assert "our own engine matches it" in verdict.cause
    assert any("otherwise" in line for line in ladder(verdict))


def test_the_clause_that_killed_it_is_named() -> None:
    story = Story(Expectation(rule="wrong"), siem=siem("wrong")).detonated()
    verdict = story.saw(*telemetry(), probe(rule="wrong", asked=1.6), now=1.6, running=False).only()
    check(verdict, Probed.FINDS_NOTHING, FAILED)
    assert "DestPort is 5985, the rule wants 1234" in verdict.cause


@pytest.mark.parametrize(
    ("asked", "since"), [(1.4, -5.0), (1.6, 0.3)], ids=["before all had arrived", "of a later time than the first event's"]
)
def test_a_probe_that_was_not_asked_of_everything_proves_nothing(asked: float, since: float) -> None:
    story = Story(Expectation(rule="child"), siem=siem("child")).detonated()
    story.saw(*telemetry(), probe(asked=asked, since=since), now=2.4, running=False)
    assert story.ledger.open == 1
    check(story.saw(now=2.6, running=False).only(), Probed.UNKNOWN, UNREACHED)


def test_what_the_query_finds_of_others_is_not_ours() -> None:
    story = Story(Expectation(rule="child"), siem=siem("child")).detonated()
    theirs = [observed(one) for one in TWO.telemetry()]
    verdict = story.saw(*telemetry(), *theirs, probe(TWO.child_process().id, asked=1.6), now=1.6, running=False).only()
    check(verdict, Probed.FINDS_NOTHING, FAILED)


def test_a_sequence_is_put_together_from_its_stages() -> None:
    def answer(*stages: str) -> Probe:
        return Probe(rule="port-child", since=at(-5), asked_at=at(1.6), found=tuple(frozenset({each}) for each in stages))

    for rule, stages, probed in (
        ("port-child", (ONE.connection().id, CHILD_ID), Probed.MATCHES),
        ("port-child", (CHILD_ID, ONE.connection().id), Probed.FINDS_NOTHING),
    ):
        story = Story(Expectation(rule=rule), siem=siem(rule)).detonated()
        verdict = story.saw(*telemetry(), answer(*stages), now=1.6, running=False).only()
        check(verdict, probed, PASSED if probed is Probed.MATCHES else FAILED)


def test_what_should_stay_quiet() -> None:
    quiet = Expectation(rule="child", fires=False)
    story = Story(quiet, siem=siem("child")).detonated()
    assert "though it should stay quiet" in story.saw(*telemetry(), probe(CHILD_ID, asked=1.2), now=1.2, running=False).only().cause
    story = Story(replace(quiet, rule="wrong"), siem=siem("wrong")).detonated()
    verdict = story.saw(*telemetry(), probe(rule="wrong", asked=1.6), now=1.6, running=False).only()
    check(verdict, Probed.FINDS_NOTHING, FAILED)
    assert "as it should" in verdict.cause


def test_no_telemetry_and_a_refusal_say_so() -> None:
    story = Story(Expectation(rule="child"), siem=siem("child")).detonated()
    verdict = story.saw(observed(ONE.connection()), probe(asked=2.6), now=2.6, running=False).only()
    check(verdict, Probed.UNKNOWN, UNREACHED)
    assert "there was nothing to match: no event of" in verdict.cause
    story = Story(Expectation(rule="child"), siem=siem("child")).detonated()
    verdict = story.saw(*telemetry(), probe(asked=1.2, refused="(400) too long"), now=2.6, running=False).only()
    check(verdict, Probed.UNKNOWN, UNREACHED)
    assert "refused the rule's query: (400) too long" in verdict.cause


def test_a_rule_that_cannot_be_probed_is_known_before_anything_is_sent() -> None:
    verdict = Story(Expectation(rule="child"), siem=siem("child", refusal="it computes values")).only()
    assert (verdict.inconclusive, verdict.probed, verdict.detonation) == (Inconclusive.NOT_DEPLOYED, None, None)
    assert "it computes values" in verdict.cause


def test_a_disabled_rule_is_probed_as_one_that_is_not_there() -> None:
    story = Story(Expectation(rule="child"), siem=siem("child", deployed=True)).detonated()
    verdict = story.saw(*telemetry(), probe(CHILD_ID, asked=1.2), now=1.2, running=False).only()
    check(verdict, Probed.MATCHES, PASSED)
    assert "is disabled in the SIEM" in verdict.cause


def test_an_alert_is_more_than_a_probe() -> None:
    story = Story(Expectation(rule="child"), siem=siem("child")).detonated()
    raised = alert("a", "child", ONE.child_process(), raised=1.2)
    verdict = story.saw(*telemetry(), raised, probe(CHILD_ID, asked=1.2), now=1.3).only()
    assert (verdict.outcome, verdict.probed) == (Outcome.DETECTED, None)


def test_interrupted_and_lost() -> None:
    story = Story(Expectation(rule="child"), siem=siem("child")).detonated().saw(*telemetry(), probe(asked=1.1), now=1.2)
    (verdict,) = story.ledger.settle(interrupted=True)
    check(verdict, Probed.UNKNOWN, UNREACHED)
    story = Story(Expectation(rule="child"), siem=siem("child")).detonated().saw(*telemetry(), now=1.2)
    story.ledger.lose_siem("gone")
    (verdict,) = story.ledger.settle()
    assert verdict.inconclusive is Inconclusive.SIEM_LOST


def test_every_gate_is_there() -> None:
    story = Story(Expectation(rule="child"), siem=siem("child")).detonated()
    verdict = story.saw(*telemetry(), probe(CHILD_ID, asked=1.2), now=1.2, running=False).only()
    assert [gate.kind for gate in verdict.gates] == list(GateKind)
