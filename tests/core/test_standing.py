"""Which gaps count: what a run fails on, what a baseline had, what is under quarantine and until when; and objectives."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import pytest

from harness.core.appraise import appraised, breaches, compared
from harness.core.record import is_green, remembered
from harness.core.standing import exit_code, line_of, standing
from harness.model.changes import Comparison, GapStanding, Trend, Trends
from harness.model.intent import Objective, Quarantine
from harness.model.report import Report
from harness.model.verdicts import Outcome, Verdict
from tests.reports import sample_reports as sample

DAY = date(2027, 1, 31)
FIRST = sample.clean().verdicts[0]
MISSED = replace(FIRST, outcome=Outcome.MISSED)
LOST = next(verdict for verdict in sample.outage().verdicts if verdict.outcome is Outcome.INCONCLUSIVE)
HAD = Comparison(baseline="b", known=(line_of(MISSED),))
HAD_NOT = Comparison(baseline="b")
NONE = Comparison(baseline="", missing="no earlier run was green")


def quarantined(until: date, outcome: Outcome = Outcome.MISSED) -> Verdict:
    quarantine = Quarantine(until=until, reason="being mended")
    return replace(FIRST, outcome=outcome, expectation=replace(FIRST.expectation, quarantine=quarantine))


@pytest.mark.parametrize(
    ("verdict", "fail_on", "comparison", "code"),
    [
        pytest.param(MISSED, "gap", None, 1, id="a gap"),
        pytest.param(MISSED, "gap", HAD, 1, id="a known gap counts where gaps do"),
        pytest.param(MISSED, "new", HAD, 0, id="a known gap"),
        pytest.param(MISSED, "new", HAD_NOT, 1, id="a new gap"),
        pytest.param(MISSED, "new", NONE, 1, id="no baseline: all count"),
        pytest.param(MISSED, "new", None, 1, id="none asked for: all count"),
        pytest.param(MISSED, "missed", HAD, 1, id="by its outcome"),
        pytest.param(MISSED, "late noisy", None, 0, id="other outcomes"),
        pytest.param(MISSED, "never", None, 0, id="never"),
        pytest.param(LOST, "gap", None, 3, id="inconclusive"),
        pytest.param(LOST, "inconclusive", None, 1, id="inconclusive counts"),
        pytest.param(LOST, "never", None, 3, id="never is no word for what could not be judged"),
        pytest.param(quarantined(DAY), "gap", None, 0, id="on the last day of its quarantine"),
        pytest.param(quarantined(DAY), "missed", None, 0, id="the same by its outcome"),
        pytest.param(quarantined(DAY - timedelta(days=1)), "gap", None, 1, id="the day after"),
        pytest.param(quarantined(DAY - timedelta(days=1)), "new", HAD, 1, id="an expired one counts although it was known"),
        pytest.param(quarantined(DAY, Outcome.DETECTED), "gap", None, 0, id="detected under quarantine"),
    ],
)
def test_what_counts(verdict: Verdict, fail_on: str, comparison: Comparison | None, code: int) -> None:
    assert exit_code([verdict, FIRST], interrupted=False, day=DAY, fail_on=fail_on.split(), comparison=comparison) == code
    assert exit_code([verdict, FIRST], interrupted=True, day=DAY, fail_on=fail_on.split(), comparison=comparison) == 130


def test_how_a_gap_stands() -> None:
    assert standing(FIRST, DAY, HAD) is None
    assert standing(MISSED, DAY, None) is None
    assert standing(MISSED, DAY, NONE) is None
    assert standing(MISSED, DAY, HAD) is GapStanding.KNOWN
    assert standing(MISSED, DAY, HAD_NOT) is GapStanding.NEW
    assert standing(quarantined(DAY), DAY, HAD) is GapStanding.QUARANTINED
    assert standing(quarantined(DAY), DAY + timedelta(days=1), HAD) is GapStanding.EXPIRED


def with_first(verdict: Verdict) -> Report:
    report = sample.clean()
    return replace(report, verdicts=(verdict, *report.verdicts[1:]))


def test_a_run_against_its_baseline() -> None:
    baseline = remembered(sample.clean())
    report = with_first(MISSED)
    comparison = compared(report, baseline, "", None)
    found = appraised(report, fail_on=("new",), comparison=comparison, trends=None)
    assert (found.exit_code, found.fail_on, comparison.baseline, comparison.known) == (1, ("new",), "7c1f02", ())
    assert [change.line for change in comparison.changes] == [line_of(MISSED)]
    again = compared(report, remembered(report), "", None)
    assert appraised(report, fail_on=("new",), comparison=again, trends=None).exit_code == 0


@pytest.mark.parametrize(
    ("fail_on", "code", "green"),
    [(("gap",), 0, True), (("new",), 0, True), (("never",), 0, False), (("late",), 0, False), (("gap",), 1, False), (("gap",), 3, False)],
)
def test_only_what_would_have_failed_is_green(fail_on: tuple[str, ...], code: int, green: bool) -> None:
    assert is_green(replace(sample.clean(), fail_on=fail_on, exit_code=code)) is green


def aiming(objective: Objective) -> Report:
    """The first expectation, detected after 0.63 s, with an objective."""
    return with_first(replace(FIRST, expectation=replace(FIRST.expectation, objective=objective)))


def took(*seconds: float | None) -> Trends:
    planned, rule, fires = line_of(FIRST)
    times = tuple(None if each is None else timedelta(seconds=each) for each in seconds)
    line = Trend(planned=planned, rule=rule, fires=fires, outcomes=tuple(Outcome.DETECTED for _ in times), took=times)
    return Trends(runs=tuple("r" for _ in times), ended=tuple(sample.START for _ in times), lines=(line,))


@pytest.mark.parametrize(
    ("objective", "trends", "measured"),
    [
        pytest.param(Objective(within=timedelta(seconds=0.5)), None, 0.63, id="each: this one was later"),
        pytest.param(Objective(within=timedelta(seconds=1)), took(9, 9, 0.63), None, id="each: earlier runs do not matter"),
        pytest.param(Objective(within=timedelta(seconds=1), p95=True), took(*[0.5] * 19, 0.63), None, id="p95: kept"),
        pytest.param(Objective(within=timedelta(seconds=1), p95=True), took(*[0.5] * 18, 7, 9), 7, id="p95: two of twenty"),
        pytest.param(Objective(within=timedelta(seconds=1), p95=True), took(*[0.5] * 19, 9), None, id="p95: one of twenty"),
        pytest.param(Objective(within=timedelta(seconds=0.5), p95=True), None, 0.63, id="p95 without a history: this run"),
    ],
)
def test_objectives(objective: Objective, trends: Trends | None, measured: float | None) -> None:
    report = aiming(objective)
    found = breaches(report, trends)
    assert [breach.measured.total_seconds() for breach in found] == ([] if measured is None else [measured])
    codes = [appraised(report, fail_on=words, comparison=None, trends=trends).exit_code for words in (("gap",), ("gap", "objective"))]
    assert codes == [0, 1 if found else 0]
