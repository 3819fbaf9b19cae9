"""Coverage statuses and exit codes, each row of judging.md's tables."""

from __future__ import annotations

from datetime import date, timedelta
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.core.cover import GAPS, cover
from harness.core.standing import exit_code
from harness.model.intent import Expectation
from harness.model.verdicts import CoverageStatus, Inconclusive, Outcome, Verdict

S = CoverageStatus
DAY = date(2026, 11, 21)


def verdict(outcome: Outcome, rule_id: str = "r", cause: str = "because") -> Verdict:
    return Verdict(
        planned="s/1@ws1",
        target="ws1",
        scenario="s",
        expectation=Expectation(rule=rule_id),
        outcome=outcome,
        gates=(),
        cause=cause,
        inconclusive=Inconclusive.SIEM_LOST if outcome is Outcome.INCONCLUSIVE else None,
    )


@pytest.mark.parametrize(
    ("outcomes", "status"),
    [
        ([Outcome.DETECTED], S.VALIDATED),
        ([Outcome.DETECTED, Outcome.QUIET, Outcome.INCONCLUSIVE, Outcome.KNOWN_GAP, Outcome.NOT_EXERCISABLE], S.VALIDATED),
        ([Outcome.DETECTED, Outcome.MISSED], S.PARTIAL),
        ([Outcome.DETECTED, Outcome.NOISY], S.PARTIAL),
        ([Outcome.DETECTED, Outcome.LATE], S.PARTIAL),
        ([Outcome.MISSED], S.FAILING),
        ([Outcome.BLIND, Outcome.QUIET], S.FAILING),
        ([Outcome.MISGRADED, Outcome.INCONCLUSIVE], S.FAILING),
        ([Outcome.NOISY], S.FAILING),
        ([Outcome.INCONCLUSIVE, Outcome.QUIET], S.INCONCLUSIVE),
        ([Outcome.QUIET], S.UNTESTED),
        ([Outcome.KNOWN_GAP, Outcome.GAP_CLOSED, Outcome.NOT_EXERCISABLE], S.UNTESTED),
        ([], S.UNTESTED),
    ],
)
def test_status(outcomes: list[Outcome], status: CoverageStatus) -> None:
    (row,) = cover([verdict(outcome) for outcome in outcomes], {"r": "r title"})
    assert row.status is status
    assert bool(row.reason) is (status is not S.VALIDATED)


def test_a_rule_that_only_the_siem_knows_has_a_row_too() -> None:
    rows = cover([verdict(Outcome.DETECTED, "foreign")], {"r": "r title"})
    assert [(row.rule, row.status) for row in rows] == [("foreign", S.VALIDATED), ("r", S.UNTESTED)]


@pytest.mark.parametrize(
    ("outcomes", "code"),
    [
        ([], 0),
        ([Outcome.DETECTED, Outcome.KNOWN_GAP, Outcome.GAP_CLOSED, Outcome.QUIET, Outcome.NOT_EXERCISABLE], 0),
        ([Outcome.NOT_EXERCISABLE], 5),
        ([Outcome.INCONCLUSIVE, Outcome.DETECTED], 3),
        *(([gap, Outcome.INCONCLUSIVE, Outcome.DETECTED], 1) for gap in sorted(GAPS)),
    ],
)
def test_exit_code(outcomes: list[Outcome], code: int) -> None:
    assert exit_code([verdict(outcome) for outcome in outcomes], interrupted=False, day=DAY) == code
    assert exit_code([verdict(outcome) for outcome in outcomes], interrupted=True, day=DAY) == 130


@given(st.lists(st.sampled_from(Outcome), max_size=8))
def test_a_run_that_ends_with_0_has_no_failing_rule(outcomes: list[Outcome]) -> None:
    verdicts = [verdict(outcome) for outcome in outcomes]
    if exit_code(verdicts, interrupted=False, day=DAY) == 0:
        statuses = {row.status for row in cover(verdicts, {})}
        assert not statuses & {S.FAILING, S.PARTIAL, S.INCONCLUSIVE} or Outcome.INCONCLUSIVE in outcomes


def test_all_pairs_have_a_status_and_the_order_does_not_matter() -> None:
    for one, other in product(Outcome, Outcome):
        forward = cover([verdict(one), verdict(other)], {})[0].status
        assert forward is cover([verdict(other), verdict(one)], {})[0].status


def test_time_to_detect_is_none_without_a_sighting() -> None:
    (row,) = cover([verdict(Outcome.DETECTED)], {})
    assert (row.fastest, row.slowest) == (None, None)
    assert timedelta(0) not in (row.fastest, row.slowest)


def test_a_part_of_a_plan_may_have_nothing_that_can_be_exercised() -> None:
    nothing = [verdict(Outcome.NOT_EXERCISABLE)]
    assert exit_code(nothing, interrupted=False, day=DAY) == 5
    assert exit_code(nothing, interrupted=False, day=DAY, whole=False) == 0
