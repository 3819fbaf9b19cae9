"""Patterns of several events: Elasticsearch's reference examples, a brute-force oracle, ties, late events, and every bound."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import RuleTooSlow
from harness.logic import sequence
from harness.logic.sequence import PatternMatcher, Reorder, find_all, milliseconds
from harness.model.facts import Event, FlatValue
from harness.model.tree import JoinKey, Op, Pattern, PatternKind, Stage, Test, ViewName
from harness.rules.eql import parse_eql

START = datetime(2026, 1, 1, tzinfo=UTC)


def at(time: int, name: str = "", /, **data: FlatValue) -> Event:
    """An event at a millisecond, of a name (its number where none is given), with these fields of its own."""
    flat: dict[str, FlatValue] = {"id": time, "kind": name, **data}
    when = START + timedelta(milliseconds=time)
    number = f"{time:06}{name}{random.Random(str(sorted(data.items()))).random()}"
    return Event(id=number, channel="C", event_id=1, host="ws1", time=when, provider="", flat=flat, raw={})


def eql(text: str) -> Pattern:
    """A pattern, its fields written short: `id`, `kind` and so on are values of the event's own."""
    pattern = parse_eql(text.replace("$", "winlog.event_data.")).pattern
    assert pattern is not None
    return pattern


def found(text: str, events: Sequence[Event]) -> list[tuple[object, ...]]:
    return [tuple(event.flat["id"] for event in match) for match in find_all(eql(text), events)]


NUMBERS = [at(number) for number in range(1, 6)]
A, B, C, U = "[any where $kind == 'a']", "[any where $kind == 'b']", "[any where $kind == 'c']", "until [any where $kind == 'u']"
A, B, C, U = (text.replace("'", '"') for text in (A, B, C, U))


def row(names: str) -> list[Event]:
    """An event a letter, ten milliseconds apart from 10 on; a dot is nothing."""
    return [at(10 * place, name) for place, name in enumerate(names, 1) if name != "."]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("sequence [any where $id < 5] [any where $id == 5]", [(4, 5)]),
        ("sequence [any where $id <= 3] [any where true] [any where true]", [(1, 2, 3), (2, 3, 4), (3, 4, 5)]),
        ("sequence [any where true] with runs=3", [(1, 2, 3), (2, 3, 4), (3, 4, 5)]),
    ],
)
def test_the_examples_of_the_reference(query: str, expected: list[tuple[int, ...]]) -> None:
    assert found(query, NUMBERS) == expected


@pytest.mark.parametrize(
    ("query", "events", "expected"),
    [
        (f"sequence {A} {B}", "ab", [(10, 20)]),
        (f"sequence {A} {B}", "ba", []),
        (f"sequence {A} {B}", "aab", [(20, 30)]),
        (f"sequence {A} {B}", "abb", [(10, 20)]),
        (f"sequence {A} {B} {C}", "abbc", [(10, 20, 40)]),
        (f"sequence {A} {B} {C}", "ababc", [(30, 40, 50)]),
        (f"sequence with maxspan=20ms {A} {B}", "a.b", [(10, 30)]),
        (f"sequence with maxspan=19ms {A} {B}", "a.b", []),
        (f"sequence {A} {B} {U}", "aub", []),
        (f"sequence {A} {B} {U}", "uab", [(20, 30)]),
        (f"sequence {A} {B} {U}", "abu", [(10, 20)]),
        (f"sequence with maxspan=50ms {A} !{B} {C}", "abc", []),
        (f"sequence with maxspan=50ms {A} !{B} {C}", "bac", [(20, 30)]),
        (f"sequence with maxspan=50ms {A} !{B} {C}", "abac", [(30, 40)]),
        (f"sequence with maxspan=50ms !{A} {B}", "ab", []),
        (f"sequence with maxspan=50ms !{A} {B}", "ba", [(10,)]),
        (f"sequence with maxspan=50ms !{A} {B}", "a......b", [(80,)]),
        (f"sequence with maxspan=50ms !{A} {B} {C}", "ab....c", [(20, 70)]),
        (f"sequence with maxspan=50ms {A} !{B}", "ab", []),
        (f"sequence with maxspan=50ms {A} !{B}", "a", [(10,)]),
        (f"sequence with maxspan=50ms {A} !{B}", "a......b", [(10,)]),
        (f"sequence with maxspan=50ms {A} {B} !{C}", "ab...c", []),
        (f"sequence with maxspan=50ms {A} {B} !{C}", "ab....c", [(10, 20)]),
        (f"sequence {A} {B} | head 1", "abab", [(10, 20)]),
        (f"sequence {A} {B} | tail 1", "abab", [(30, 40)]),
        (f"sequence {A} {B} | tail 2 | head 1", "ababab", [(30, 40)]),
        (f"sequence {A} {B} | head 2 | tail 1", "ababab", [(30, 40)]),
        (f"sequence {A} {B} | head 0", "abab", []),
        ('any where $kind == "a" | tail 2', "abaa", [(30,), (40,)]),
    ],
)
def test_what_a_pattern_finds(query: str, events: str, expected: list[tuple[int, ...]]) -> None:
    assert found(query, row(events)) == expected


def test_events_are_joined_by_their_keys_and_by_no_null() -> None:
    events = [at(1, "a", u="x"), at(2, "a", u="y"), at(3, "b", u="x"), at(4, "b", v="y"), at(5, "a"), at(6, "b")]
    assert found(f"sequence by $u {A} {B}", events) == [(1, 3)]
    assert found(f"sequence {A} by $u {B} by $v", events) == [(2, 4)]


def test_a_key_of_several_values_joins_by_any_of_them() -> None:
    assert found(f"sequence by $u {A} {B}", [at(1, "a", u=["x", "y"]), at(2, "b", u="y")]) == [(1, 2)]


def test_until_ends_its_own_key_alone() -> None:
    events = [at(1, "a", u="x"), at(2, "a", u="y"), at(3, "u", u="x"), at(4, "b", u="x"), at(5, "b", u="y")]
    assert found(f"sequence by $u {A} {B} {U}", events) == [(2, 5)]


def test_events_of_one_millisecond_follow_nothing_of_that_millisecond() -> None:
    assert found(f"sequence {A} {B}", [at(1, "a"), at(1, "b")]) == []
    assert found(f"sequence {A} {B}", [at(1, "a"), at(2, "b"), at(2, "a")]) == [(1, 2)]


def test_a_sample_has_no_order_and_no_event_twice() -> None:
    sample = f'sample by $u {A} {B} [any where $kind in ("a", "b")]'
    assert found(sample, [at(1, "b", u="x"), at(2, "a", u="x")]) == []
    [match] = found(sample, [at(1, "b", u="x"), at(2, "a", u="x"), at(3, "a", u="y"), at(4, "b", u="x"), at(5, "a", u="x")])
    assert sorted(str(number) for number in match) == ["1", "2", "4"]


@pytest.mark.parametrize(
    ("span", "kept"),
    [(19, [(10,), (21,), (30,)]), (20, [(21,), (30,)]), (5, [(10,), (21,), (30,)])],
)
def test_a_pattern_between_two_missing_events_is_none_where_both_ends_are_there_within_the_span(span: int, kept: list[tuple[int]]) -> None:
    events = [at(0, "b"), at(10, "a"), at(20, "b"), at(21, "a"), at(30, "a")]
    assert found(f"sequence with maxspan={span}ms !{B} {A} !{B}", events) == kept


# --- against a brute-force oracle ---------------------------------------------------------------------------------------------


def oracle(stages: Sequence[Sequence[Event]], span: int | None) -> list[tuple[Event, ...]]:
    """Stage by stage over whole lists, as Elasticsearch's documentation tells it: of the candidates of the stage before, an event takes the
    latest that is earlier than itself; that one and all before it are gone."""

    def order(event: Event) -> tuple[int, str]:
        return milliseconds(event), event.id

    candidates = [(event,) for event in sorted(stages[0], key=order)]
    under_way: list[tuple[Event, ...]] = list(candidates)
    for fitting in stages[1:]:
        grown: list[tuple[Event, ...]] = []
        for event in sorted(fitting, key=order):
            earlier = [chain for chain in under_way if milliseconds(chain[-1]) < milliseconds(event)]
            if not earlier:
                continue
            latest = earlier[-1]
            under_way = under_way[under_way.index(latest) + 1 :]
            if span is None or milliseconds(event) - milliseconds(latest[0]) <= span:
                grown.append((*latest, event))
        under_way = grown
    return under_way


EVENTS = st.lists(st.tuples(st.integers(0, 25), st.sampled_from("abc"), st.sampled_from("xy")), max_size=14, unique=True)
STAGES = st.lists(st.sampled_from(["a", "b", "c", "ab", "abc"]), min_size=2, max_size=4)


@given(EVENTS, STAGES, st.one_of(st.none(), st.integers(1, 20)), st.randoms(use_true_random=False))
def test_sequences_are_what_the_oracle_finds_in_whatever_order_events_come(
    drawn: list[tuple[int, str, str]], names: list[str], span: int | None, order: random.Random
) -> None:
    events = [at(time, kind, u=user) for time, kind, user in drawn]
    order.shuffle(events)
    text = " ".join("[any where $kind in ({})]".format(", ".join(f'"{letter}"' for letter in name)) for name in names)
    limit = f" with maxspan={span}ms" if span else ""
    expected = []
    for user in "xy":
        stages = [[event for event in events if event.flat["kind"] in tuple(name) and event.flat["u"] == user] for name in names]
        expected += oracle(stages, span)
    matches = [tuple(event.id for event in match) for match in find_all(eql(f"sequence by $u{limit} {text}"), events)]
    assert sorted(matches) == sorted(tuple(event.id for event in match) for match in expected)


def test_an_optional_key_joins_what_lacks_it() -> None:
    events = [at(1, "a", u="x", v="1"), at(2, "b", u="x"), at(3, "a"), at(4, "b", v="2"), at(5, "b")]
    joined = {keys: found(f"sequence by {keys} {A} {B}", events) for keys in ("$u", "?$u", "?$u, ?$v", "$u, ?$v")}
    assert joined == {"$u": [(1, 2)], "?$u": [(1, 2), (3, 4)], "?$u, ?$v": [(3, 5)], "$u, ?$v": []}


# --- live streams -----------------------------------------------------------------------------------------------------------------


def test_a_stream_is_put_in_order_as_far_as_its_lateness_goes() -> None:
    buffer = Reorder(timedelta(milliseconds=10))
    passed = [event for time in (5, 3, 20, 4, 9, 40) for event in buffer.push(at(time))]
    assert [event.flat["id"] for event in passed] == [3, 5, 9, 20]
    assert buffer.late == 1  # the 4, which came when the 5 had gone on; the 9 is later than that and still in time
    assert [event.flat["id"] for event in buffer.finish()] == [40]


@given(st.lists(st.integers(0, 50), max_size=30), st.integers(0, 20))
def test_what_goes_on_is_in_order_and_what_does_not_is_counted(times: list[int], lateness: int) -> None:
    buffer = Reorder(timedelta(milliseconds=lateness))
    passed = [event for time in times for event in buffer.push(at(time))] + [*buffer.finish()]
    assert [milliseconds(event) for event in passed] == sorted(milliseconds(event) for event in passed)
    assert len(passed) + buffer.late == len(times)
    newest = [max(times[: place + 1]) for place in range(len(times))]
    if all(time > high - lateness for time, high in zip(times, newest, strict=True)):
        assert buffer.late == 0


def test_a_flood_of_events_is_passed_on_early(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sequence, "BUFFERED", 5)
    buffer = Reorder(timedelta(days=1))
    passed = [event for time in range(100) for event in buffer.push(at(time))]
    assert len(passed) == 95


def test_a_span_forgets_the_keys_that_have_passed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sequence, "KEYS", 50)
    spanned = PatternMatcher(eql(f"sequence by $u with maxspan=5ms {A} {B}"))
    for time in range(500):
        assert not list(spanned.push(at(time, "a", u=str(time))))
    endless = PatternMatcher(eql(f"sequence by $u {A} {B}"))
    flood = (found for time in range(500) for found in endless.push(at(time, "a", u=str(time))))
    with pytest.raises(RuleTooSlow, match="join keys"):
        list(flood)


def test_too_many_keys_of_one_event_are_refused() -> None:
    many: list[str] = [str(number) for number in range(100)]
    key = (JoinKey(name="winlog.event_data.u"), JoinKey(name="winlog.event_data.u"))
    stage = Stage(condition=Test(field="event.code", op=Op.EXISTS, value=True, view=ViewName.ECS), keys=key)
    with pytest.raises(RuleTooSlow, match="1000 join keys"):
        list(find_all(Pattern(kind=PatternKind.SEQUENCE, stages=(stage, stage)), [at(1, u=many)]))
