"""The difference of two runs: each cause is made to happen, and named first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from harness.core.changes import changes
from harness.model.changes import ChangeKind
from harness.model.facts import Failure, FailureKind
from harness.model.intent import InvokeCommand
from harness.model.report import Report
from harness.model.verdicts import Inconclusive, Outcome, Verdict
from tests.reports import sample_reports as sample

OLD = sample.clean()
FIRST = OLD.verdicts[0]


def now(verdict: Verdict, **rest: object) -> Report:
    return replace(OLD, verdicts=(verdict, *OLD.verdicts[1:]), **rest)  # type: ignore[arg-type]


def missed(cause: str = "telemetry arrived and the rule ran without matching") -> Verdict:
    return replace(FIRST, outcome=Outcome.MISSED, sightings=(), cause=cause)


def with_rule_text() -> Report:
    changed = tuple(
        replace(item, definition=item.definition + "port: 1234\n") if item.id == FIRST.expectation.rule else item for item in OLD.rules
    )
    return now(missed(), rules=changed)


def with_another_step() -> Report:
    assert FIRST.detonation is not None
    planned = FIRST.detonation.planned
    step = replace(planned.step, action=InvokeCommand(script="x"))
    return now(replace(missed(), detonation=replace(FIRST.detonation, planned=replace(planned, step=step))))


def with_a_dead_target() -> Report:
    assert FIRST.detonation is not None
    dead = replace(FIRST.detonation, outcome=Failure(kind=FailureKind.CONNECT, message="refused the connection"))
    verdict = replace(missed(), outcome=Outcome.INCONCLUSIVE, inconclusive=Inconclusive.NOT_EXECUTED, detonation=dead)
    # The rule's text changed too: what was never run cannot have been changed by it.
    return replace(with_rule_text(), verdicts=(verdict, *OLD.verdicts[1:]))


@pytest.mark.parametrize(
    ("make", "first"),
    [
        (with_rule_text, "the rule's text changed (rules/of the lab/winrm.yml): +port: 1234"),
        (with_another_step, "the scenario changed: the step sends something else"),
        (with_a_dead_target, "the target ws5: refused the connection"),
        (lambda: now(replace(missed("no 5156 arrived"), outcome=Outcome.BLIND)), "no 5156 arrived"),
        (
            lambda: now(replace(missed("the rule is disabled"), outcome=Outcome.INCONCLUSIVE, inconclusive=Inconclusive.NOT_DEPLOYED)),
            "the rule is disabled",
        ),
        (lambda: now(missed(), environment=replace(OLD.environment, siem="elastic 9")), "the SIEM was embedded, now elastic 9"),
        (
            lambda: now(replace(missed(), outcome=Outcome.LATE, expectation=replace(FIRST.expectation, within=timedelta(seconds=1)))),
            "the expectation changed: within was None, now 0:00:01",
        ),
        (lambda: now(missed()), "telemetry arrived and the rule ran without matching"),
    ],
)
def test_what_broke_is_told_with_its_cause_first(make: Callable[[], Report], first: str) -> None:
    (change,) = changes(OLD, make())
    assert (change.kind, change.causes[0]) == (ChangeKind.BROKEN, first)


def test_nothing_changed_between_a_run_and_itself() -> None:
    for report in (sample.clean(), sample.gap(), sample.outage()):
        assert changes(report, replace(report, run_id="again")) == ()


def test_what_broke_one_way_was_mended_the_other() -> None:
    there, back = changes(OLD, sample.gap()), changes(sample.gap(), OLD)
    opposite = {ChangeKind.NEW: ChangeKind.GONE, ChangeKind.GONE: ChangeKind.NEW, ChangeKind.BROKEN: ChangeKind.MENDED}
    assert sorted(opposite[change.kind] for change in there) == sorted(change.kind for change in back)
    assert there


@pytest.mark.parametrize(("took", "kind"), [(0.63, None), (2.0, None), (2.63, ChangeKind.SLOWER), (60, ChangeKind.SLOWER)])
def test_what_got_slower(took: float, kind: ChangeKind | None) -> None:
    (sighting,) = FIRST.sightings
    slower = replace(FIRST, sightings=(replace(sighting, time_to_detect=timedelta(seconds=took)),))
    assert [change.kind for change in changes(OLD, now(slower))] == ([kind] if kind else [])


def test_another_failure_is_a_change_and_the_gravest_stands_first() -> None:
    old = now(replace(missed(), outcome=Outcome.LATE))
    broken = replace(OLD.verdicts[1], outcome=Outcome.MISSED)
    report = replace(OLD, verdicts=(missed(), broken, *OLD.verdicts[2:]))
    assert [change.kind for change in changes(old, report)] == [ChangeKind.BROKEN, ChangeKind.CHANGED]
