"""Trends: flaky is what goes both ways with no known cause, not what broke and stayed so."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.core.trend import Series, by_rule, percentile, trends
from harness.model.changes import Flaky, Line
from harness.model.verdicts import Outcome
from tests.reports import sample_reports as sample

LINE: Line = ("s/1@ws1", "rule", True)
OUTCOME = {"+": Outcome.DETECTED, "M": Outcome.MISSED, "?": Outcome.INCONCLUSIVE, "o": Outcome.KNOWN_GAP, "c": Outcome.GAP_CLOSED}


def over(strip: str, *, explained: bool = False, flaky: Flaky | None = None) -> tuple[int, bool]:
    """Turns, and whether it is flaky, of such a strip of outcomes; a blank is a run without the expectation."""
    seen = [OUTCOME.get(mark) for mark in strip], [None] * len(strip)
    ended = [sample.after(place) for place in range(len(strip))]
    found = trends([str(place) for place in range(len(strip))], ended, {LINE: seen}, flaky or Flaky(), lambda *_: explained)
    (line,) = found.lines
    return line.turns, line.flaky


@pytest.mark.parametrize(
    ("strip", "turns", "flaky"),
    [
        ("++++++++++", 0, False),
        ("+++++MMMMM", 1, False),
        ("+++++M++++", 2, True),
        ("+M+M+M+M+M", 9, True),
        ("M+++++++++++++M", 1, False),
        ("+M++++++++++++", 0, False),
        ("+++?++??+", 0, False),
        ("+++?M?+", 2, True),
        ("+ M +", 2, True),
        ("ococ", 3, True),
        ("+", 0, False),
    ],
)
def test_flaky_by_two_turns_in_ten_runs(strip: str, turns: int, flaky: bool) -> None:
    assert over(strip) == (turns, flaky)


def test_a_turn_with_a_cause_is_none() -> None:
    assert over("+++++M++++", explained=True) == (0, False)


def test_how_many_is_a_setting() -> None:
    assert over("+M+M+", flaky=Flaky(turns=5, runs=6)) == (4, False)
    assert over("+M+M+M", flaky=Flaky(turns=5, runs=6)) == (5, True)


@given(st.lists(st.integers(0, 1000), min_size=1), st.sampled_from([0.5, 0.95]))
def test_a_percentile_is_one_of_the_times_and_enough_are_no_larger(seconds: list[int], share: float) -> None:
    times = [timedelta(seconds=each) for each in seconds]
    found = percentile(times, share)
    assert found in times
    assert found is not None
    assert sum(time <= found for time in times) >= share * len(times)


def test_rules_are_counted_over_their_expectations() -> None:
    other: Line = ("s/2@ws1", "rule", True)
    seen: dict[Line, Series] = {
        LINE: ([Outcome.DETECTED, Outcome.MISSED], [timedelta(seconds=1), None]),
        other: ([None, Outcome.DETECTED], [None, timedelta(seconds=3)]),
    }
    (rule,) = by_rule(trends(["a", "b"], [sample.START, sample.after(1)], seen, Flaky(), lambda *_: False))
    assert (rule.expectations, rule.met, rule.judged) == (2, (1, 1), (1, 2))
    assert (rule.p50, rule.p95, rule.flaky_rate) == (timedelta(seconds=1), timedelta(seconds=3), 0.0)
