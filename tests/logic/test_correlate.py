"""Correlations against a brute-force oracle written from the specification, in whatever order events come; and their bounds."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from itertools import combinations, count, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import RuleTooSlow
from harness.logic import correlate
from harness.logic.correlate import rising
from harness.logic.sequence import PatternMatcher, find_all
from harness.model.facts import Event, FlatValue
from harness.model.tree import And, Correlation, FieldName, Measure, Node, Not, Op, Or, Part, Pattern, PatternKind, Stage
from tests.logic.tree_builders import event, is_

NAMES = "abc"
NUMBERS = count()


def at(time: int, kind: str, **flat: FlatValue) -> Event:
    """An event at this many milliseconds."""
    seen = event(kind=kind, **flat)
    return replace(seen, id=f"{time:04}-{kind}-{next(NUMBERS)}", time=seen.time + timedelta(milliseconds=time))


def pattern(measure: Measure, condition: Node, span: int, names: str = NAMES, percentile: int = 0) -> Pattern:
    """A pattern of events of these kinds, grouped by `u`, that measures `v`."""
    measured = measure not in (Measure.EVENTS, Measure.RULES, Measure.RULES_IN_ORDER)
    field = ((FieldName(name="v"),),) if measured else ()
    correlation = Correlation(
        measure=measure,
        parts=tuple(Part(name=name, of=number, keys=((FieldName(name="u"),),), fields=field) for number, name in enumerate(names)),
        span=timedelta(milliseconds=span),
        condition=condition,
        keys=("u",),
        fields=("v",) if measured else (),
        percentile=percentile,
    )
    stages = tuple(Stage(condition=is_("kind", name)) for name in names)
    return Pattern(kind=PatternKind.CORRELATION, stages=stages, max_span=correlation.span, correlation=correlation)


def bound(measure: Measure, op: Op, number: int) -> Node:
    return is_(measure, number, op)


# --- the oracle -------------------------------------------------------------------------------------------------------------


def time_of(seen: Event) -> int:
    return int(seen.id[:4])


def oracle(events: Sequence[Event], span: int, holds: Callable[[Sequence[Event]], bool], *, at_once: bool) -> list[set[str]]:
    """Frame after frame over whole lists: at once, the first event with which a frame has what it takes; else the first full frame.

    What is found is gone, with everything before it.
    """
    left = sorted(events, key=lambda seen: (time_of(seen), seen.id))
    matches: list[set[str]] = []
    while True:
        if at_once:
            frames = [[seen for seen in left[: end + 1] if time_of(left[end]) - time_of(seen) <= span] for end in range(len(left))]
        else:
            each = [[seen for seen in left[start:] if time_of(seen) - time_of(left[start]) <= span] for start in range(len(left))]
            frames = [frame for place, frame in enumerate(each) if place == 0 or frame[-1] is not each[place - 1][-1]]
        fitting = next((frame for frame in frames if holds(frame)), None)
        if fitting is None:
            return matches
        matches.append({seen.id for seen in fitting})
        left = left[left.index(fitting[-1]) + 1 :]


def value_of(measure: Measure, frame: Sequence[Event], percentile: int) -> float:
    numbers = sorted(int(str(seen.flat["v"])) for seen in frame)
    match measure:
        case Measure.EVENTS:
            return len(frame)
        case Measure.VALUES:
            return len(set(numbers))
        case Measure.SUM:
            return sum(numbers)
        case Measure.AVERAGE:
            return sum(numbers) / len(numbers)
        case Measure.MEDIAN:
            middle = len(numbers) // 2
            return numbers[middle] if len(numbers) % 2 else (numbers[middle - 1] + numbers[middle]) / 2
        case Measure.PERCENTILE:
            return next(number for number in numbers if 100 * sum(other <= number for other in numbers) >= percentile * len(numbers))
        case Measure.RULES:
            return len({seen.flat["kind"] for seen in frame})
        case Measure.RULES_IN_ORDER:
            return max(size for size in range(1, 4) if any(in_order(chain) for chain in combinations(frame, size)))


def in_order(chain: Sequence[Event]) -> bool:
    return all(time_of(one) < time_of(after) and str(one.flat["kind"]) < str(after.flat["kind"]) for one, after in pairwise(chain))


COMPARE: dict[Op, Callable[[float, float], bool]] = {
    Op.GREATER: lambda one, other: one > other,
    Op.GREATER_OR_EQUAL: lambda one, other: one >= other,
    Op.LESS: lambda one, other: one < other,
    Op.LESS_OR_EQUAL: lambda one, other: one <= other,
    Op.EQUALS: lambda one, other: one == other,
}
DRAWN = st.lists(st.tuples(st.integers(0, 25), st.sampled_from(NAMES), st.sampled_from("xy"), st.integers(-2, 4)), max_size=12)
LATE = (Measure.AVERAGE, Measure.MEDIAN, Measure.PERCENTILE)


@given(
    DRAWN,
    st.sampled_from(list(Measure)),
    st.sampled_from(list(COMPARE)),
    st.booleans(),
    st.integers(0, 4),
    st.integers(1, 12),
    st.sampled_from([0, 1, 50, 90, 100]),
    st.randoms(use_true_random=False),
)
def test_what_is_measured_is_what_the_oracle_finds(
    drawn: list[tuple[int, str, str, int]],
    measure: Measure,
    op: Op,
    negated: bool,
    number: int,
    span: int,
    percentile: int,
    order: random.Random,
) -> None:
    events = [at(time, kind, u=user, v=value) for time, kind, user, value in drawn]
    test = bound(measure, op, number)
    condition: Node = Not(item=test) if negated else test

    def holds(frame: Sequence[Event]) -> bool:
        return COMPARE[op](value_of(measure, frame, percentile), number) is not negated

    at_once = op in (Op.GREATER, Op.GREATER_OR_EQUAL) and not negated and measure not in LATE
    groups = [[seen for seen in events if seen.flat["u"] == user] for user in "xy"]
    expected = [match for group in groups for match in oracle(group, span, holds, at_once=at_once)]
    order.shuffle(events)
    found = [{seen.id for seen in match} for match in find_all(pattern(measure, condition, span, percentile=percentile), events)]
    if measure is Measure.RULES_IN_ORDER:  # the evidence is a chain of the frame, of as many as were counted
        assert len(found) == len(expected)
        assert all(any(chain <= frame for frame in expected) for chain in found)
    else:
        assert sorted(map(sorted, found)) == sorted(map(sorted, expected))


def of(name: str, *, any_: bool = False) -> Node:
    return is_(f"any {name}" if any_ else name, True, Op.EXISTS)


EXPRESSIONS: dict[str, tuple[Node, Callable[[frozenset[str], frozenset[str]], bool]]] = {
    "a and b": (And(items=(of("a"), of("b"))), lambda chain, _: {"a", "b"} <= chain),
    "a and (b or c)": (And(items=(of("a"), Or(items=(of("b"), of("c"))))), lambda chain, _: "a" in chain and bool(chain & {"b", "c"})),
    "b and not a": (And(items=(of("b"), Not(item=of("a", any_=True)))), lambda chain, frame: "b" in chain and "a" not in frame),
}


@given(DRAWN, st.sampled_from(list(EXPRESSIONS)), st.integers(1, 12))
def test_expressions_over_an_order_hold_for_some_chain(drawn: list[tuple[int, str, str, int]], name: str, span: int) -> None:
    condition, true_of = EXPRESSIONS[name]
    events = [at(time, kind, u="x") for time, kind, _, _ in drawn]

    def holds(frame: Sequence[Event]) -> bool:
        chains = (chain for size in range(1, 4) for chain in combinations(frame, size) if in_order(chain))
        there = frozenset(str(seen.flat["kind"]) for seen in frame)
        return any(true_of(frozenset(str(seen.flat["kind"]) for seen in chain), there) for chain in chains)

    expected = oracle(events, span, holds, at_once=rising(condition))
    found = [{seen.id for seen in match} for match in find_all(pattern(Measure.RULES_IN_ORDER, condition, span), events)]
    assert len(found) == len(expected)
    assert all(any(chain <= frame for frame in expected) for chain in found)


# --- bounds -----------------------------------------------------------------------------------------------------------------

MANY = bound(Measure.EVENTS, Op.GREATER_OR_EQUAL, 1000)


def test_groups_whose_span_has_passed_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(correlate, "GROUPS", 20)
    matcher = PatternMatcher(pattern(Measure.EVENTS, MANY, 5))
    assert not [found for time in range(500) for found in matcher.push(at(time, "a", u=str(time)))]
    with pytest.raises(RuleTooSlow, match="groups under way"):
        list(find_all(pattern(Measure.EVENTS, MANY, 5000), [at(time, "a", u=str(time)) for time in range(500)]))


def test_the_nearest_of_a_long_frame_is_its_latest_evidence() -> None:
    """Each match comes nearer than the one before: were the frame walked for each, this would take minutes."""
    matcher = PatternMatcher(pattern(Measure.EVENTS, bound(Measure.EVENTS, Op.GREATER, 10**6), 10**6))
    for time in range(30_000):
        assert not list(matcher.push(at(time, "a", u="x")))
    assert not list(matcher.finish())
    nearest = matcher.nearest()
    assert nearest is not None
    assert nearest.measured == {"numberofevents": 30_000}
    assert (nearest.first.id.split("-")[0], nearest.last.id.split("-")[0]) == ("29000", "29999")


def test_what_is_held_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(correlate, "HELD", 50)
    with pytest.raises(RuleTooSlow, match="holds more than 50 events"):
        list(find_all(pattern(Measure.EVENTS, MANY, 5000), [at(time, "a", u="x") for time in range(60)]))
    monkeypatch.setattr(correlate, "EVIDENCE", 10)
    (match,) = find_all(pattern(Measure.EVENTS, MANY, 5000), [at(time, "a", u="x") for time in range(1000)])
    assert [time_of(seen) for seen in match] == list(range(990, 1000))
    monkeypatch.setattr(correlate, "COUNTED", 100)
    with pytest.raises(RuleTooSlow, match="100 matches"):
        list(find_all(pattern(Measure.EVENTS, MANY, 5000), [at(time, "a", u="x") for time in range(200)]))


def test_an_event_of_too_many_groups_is_refused() -> None:
    users: list[str] = [str(number) for number in range(2000)]
    with pytest.raises(RuleTooSlow, match="more than 1000 groups"):
        list(find_all(pattern(Measure.EVENTS, MANY, 5), [at(1, "a", u=users)]))


def test_more_rules_in_order_than_choices_are_followed() -> None:
    names = "abcdefghijkl"
    wanted = pattern(Measure.RULES_IN_ORDER, bound(Measure.RULES_IN_ORDER, Op.GREATER_OR_EQUAL, 12), 100, names)
    (match,) = find_all(wanted, [at(time, name, u="x") for time, name in enumerate("bab" + names[2:])])
    assert [seen.flat["kind"] for seen in match] == list(names)
    assert not list(find_all(wanted, [at(time, name, u="x") for time, name in enumerate(names[:-1])]))


def test_the_frame_that_came_nearest_is_kept() -> None:
    matcher = PatternMatcher(pattern(Measure.EVENTS, bound(Measure.EVENTS, Op.GREATER_OR_EQUAL, 3), 5))
    assert matcher.nearest() is None
    for time, user in ((1, "x"), (10, "y"), (12, "y"), (30, "x")):
        assert not list(matcher.push(at(time, "a", u=user)))
    assert not list(matcher.finish())
    nearest = matcher.nearest()
    assert nearest is not None
    assert (nearest.group, time_of(nearest.first), time_of(nearest.last)) == (("y",), 10, 12)
    assert nearest.measured == {"numberofevents": 2}
