"""The newest verdict on a rule at a step, for each target."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from itertools import permutations

import pytest

from harness.core.latest import is_blind, latest
from harness.model.report import Report
from harness.model.verdicts import Outcome
from tests.reports import sample_reports as sample

FIRST = sample.clean().verdicts[0]
RULE = FIRST.expectation.rule


def report(run: str, hours: float, *outcomes: tuple[str, str, Outcome]) -> Report:
    """A run's report with a verdict for each (planned step, target, outcome)."""
    verdicts = tuple(replace(FIRST, planned=f"{step}@{target}", target=target, outcome=outcome) for step, target, outcome in outcomes)
    base = sample.clean()
    return replace(base, run_id=run, finished_at=base.finished_at + timedelta(hours=hours), verdicts=verdicts)


OLD = report("old", 0, ("s/1", "a", Outcome.DETECTED), ("s/1", "b", Outcome.MISSED), ("s/2", "a", Outcome.LATE))
NEW = report("new", 1, ("s/1", "a", Outcome.BLIND), ("s/11", "a", Outcome.NOISY))


@pytest.mark.parametrize("order", list(permutations([OLD, NEW])))
def test_the_newest_for_each_target_in_whatever_order_reports_come(order: tuple[Report, ...]) -> None:
    found = latest(order, "s", 1, RULE)
    assert [(last.verdict.target, last.verdict.outcome, last.run_id) for last in found] == [
        ("a", Outcome.BLIND, "new"),
        ("b", Outcome.MISSED, "old"),
    ]
    assert found[0].at == NEW.finished_at


def test_only_that_step_and_that_rule() -> None:
    assert [last.verdict.outcome for last in latest([OLD, NEW], "s", 11, RULE)] == [Outcome.NOISY]
    assert latest([OLD, NEW], "s", 1, "another") == ()
    assert latest([OLD, NEW], "other", 1, RULE) == ()
    assert latest([], "s", 1, RULE) == ()


def test_every_outcome_says_blind_or_seeing_or_neither() -> None:
    said = {outcome: is_blind(outcome) for outcome in Outcome}
    assert [outcome for outcome, blind in said.items() if blind is None] == [Outcome.NOT_EXERCISABLE, Outcome.INCONCLUSIVE]
    assert said[Outcome.QUIET] is True
    assert said[Outcome.GAP_CLOSED] is False
