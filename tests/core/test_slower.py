"""Slower is told from several runs, by a test that knows chance, and never from a difference that nobody would care about."""

from __future__ import annotations

import random
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.core.slower import chance_of, slower

TIMES = st.lists(st.floats(0, 100), min_size=1, max_size=12)


def spans(*seconds: float) -> list[timedelta]:
    return [timedelta(seconds=each) for each in seconds]


@pytest.mark.parametrize(
    ("earlier", "later", "is_slower"),
    [
        pytest.param((), (60,), False, id="nothing before"),
        pytest.param((1,), (60,), True, id="one run each: a difference is all there is"),
        pytest.param((1,), (2.9,), False, id="less than two seconds"),
        pytest.param((60,), (70,), False, id="less than half as much again"),
        pytest.param((1, 1.1, 0.9, 1), (9,), True, id="far from a steady median"),
        pytest.param((1, 9, 2, 14, 3), (9,), False, id="near enough to a restless one"),
        pytest.param((1, 1.2, 1.1, 1, 0.9, 1.3), (4, 4.2, 4.1, 3.9, 4.4), True, id="every later run"),
        pytest.param((1, 12, 1.1, 11, 0.9, 13), (1, 12, 6, 11.5, 10, 13), False, id="as before, some fast and some slow"),
    ],
)
def test_slower(earlier: tuple[float, ...], later: tuple[float, ...], is_slower: bool) -> None:
    assert bool(slower(spans(*earlier), spans(*later))) is is_slower


@given(TIMES, TIMES)
def test_never_both_ways(one: list[float], other: list[float]) -> None:
    assert not (slower(spans(*one), spans(*other)) and slower(spans(*other), spans(*one)))


@given(TIMES)
def test_nothing_is_slower_than_itself(times: list[float]) -> None:
    assert slower(spans(*times), spans(*times)) == ""


@pytest.mark.parametrize(
    ("old", "new", "chance"),
    [
        # Worked by hand: U = 25 of 25, mean 12.5, deviation sqrt(25 * 11 / 12); with the correction for continuity z = 2.507.
        ((1, 2, 3, 4, 5), (6, 7, 8, 9, 10), 0.0061),
        # All tied: nothing can be told.
        ((1, 1, 1, 1, 1), (1, 1, 1, 1, 1), 1.0),
    ],
    ids=["apart", "tied"],
)
def test_the_chance_is_mann_and_whitneys(old: tuple[float, ...], new: tuple[float, ...], chance: float) -> None:
    assert chance_of(old, new) == pytest.approx(chance, abs=0.0002)


def test_where_nothing_moved_it_is_seldom_told() -> None:
    chance = random.Random(5)
    told = sum(chance_of([chance.gauss(5, 1) for _ in range(8)], [chance.gauss(5, 1) for _ in range(8)]) < 0.01 for _ in range(1000))
    assert told < 25
