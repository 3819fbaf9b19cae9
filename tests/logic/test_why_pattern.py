"""What stopped a pattern: how far it came, which event was nearest to being the next, and why it was not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.logic.sequence import find_all
from harness.logic.why_pattern import PatternSearch, Stopped, stopped
from harness.model.facts import Event, FlatValue
from harness.model.tree import Pattern
from harness.rules.eql import parse_eql
from tests.logic.tree_builders import SYSMON, event


def pattern(query: str) -> Pattern:
    found = parse_eql(query).pattern
    assert found is not None
    return found


def network(seconds: float, host: str = "a", **flat: FlatValue) -> Event:
    return at(event(SYSMON, 3, initiated="false", sourceip="10.0.0.1", destinationport="5985", **flat), seconds, host)


def process(seconds: float, host: str = "a", parent: str = "wsmprovhost.exe") -> Event:
    return at(event(SYSMON, 1, image=r"C:\x\a.exe", parentimage=rf"C:\x\{parent}"), seconds, host)


def at(seen: Event, seconds: float, host: str) -> Event:
    return replace(seen, id=f"{seen.event_id}@{seconds:g}{host}", host=host, time=seen.time + timedelta(seconds=seconds))


TWO = """sequence by host.id with maxspan=30s
  [network where network.direction == "ingress" and destination.port == 5985]
  [process where event.type == "start" and process.parent.name : "wsmprovhost.exe"]"""


def told(query: str, *events: Event) -> tuple[list[str], int, str, tuple[str, ...]]:
    found = stopped(pattern(query), events)
    assert found is not None
    return [each.id for each in found.reached], found.missing, found.event.id if found.event else "", found.clauses


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([], ([], 1, "", ())),
        ([process(1)], ([], 1, "", ())),
        ([network(1, destinationhostname="x")], (["3@1a"], 2, "", ())),
        (
            [at(event(SYSMON, 3, initiated="true", destinationport="80"), 1, "a")],
            ([], 1, "3@1a", ("network.direction is egress, the rule wants ingress", "destination.port is 80, the rule wants 5985")),
        ),
        ([network(1), process(2, "b")], (["3@1a"], 2, "1@2b", ("host.id is b, that of event 1 is a",))),
        ([network(1), process(40)], (["3@1a"], 2, "1@40a", ("it came 39s after event 1, the pattern allows 30s",))),
        ([network(3), process(1.5)], (["3@3a"], 2, "1@1.5a", ("it came 1500ms before event 1, not after it",))),
        (
            [network(1), process(1)],
            (["3@1a"], 2, "1@1a", ("it has the same millisecond as event 1: which came first is not known",)),
        ),
        (
            [network(1), process(2, parent="cmd.exe")],
            (["3@1a"], 2, "1@2a", ("process.parent.name is cmd.exe, the rule wants wsmprovhost.exe",)),
        ),
        (  # of two that each lack one thing, the nearer in time
            [network(1), process(25, parent="cmd.exe"), process(3, "b")],
            (["3@1a"], 2, "1@3b", ("host.id is b, that of event 1 is a",)),
        ),
        (  # the fewest clauses come before the nearest in time
            [network(1), process(2, "b", "cmd.exe"), process(20, "b")],
            (["3@1a"], 2, "1@20b", ("host.id is b, that of event 1 is a",)),
        ),
    ],
)
def test_what_stopped_a_sequence(events: Sequence[Event], expected: tuple[list[str], int, str, tuple[str, ...]]) -> None:
    assert told(TWO, *events) == expected


def test_what_matches_was_not_stopped() -> None:
    assert stopped(pattern(TWO), [process(2), network(1)]) is None


def test_an_event_without_its_join_key() -> None:
    query = "sequence by user.name [network where true] [process where true]"
    assert told(query, network(1, user="x"), process(2)) == (["3@1a"], 2, "1@2a", ("user.name is absent, and so joins nothing",))
    assert told(query, network(1)) == ([], 1, "3@1a", ("user.name is absent, and so joins nothing",))


def test_a_key_under_another_name() -> None:
    query = "sequence [network where true] by source.ip [process where true] by process.name"
    assert told(query, network(1), process(2))[3] == ("process.name is a.exe, source.ip of event 1 is 10.0.0.1",)


def test_until_ended_it() -> None:
    query = f"{TWO} until [file where true]"
    ender = at(event(SYSMON, 11, targetfilename=r"C:\x"), 2, "a")
    reached, missing, seen, clauses = told(query, network(1), ender, process(3))
    assert (reached, missing, seen) == (["3@1a"], 2, "1@3a")
    assert clauses == (f"{SYSMON} 11 (11@2a) came first: it ended what was under way (until)",)


@pytest.mark.parametrize(
    ("query", "seconds", "clause"),
    [
        ("[network where true] ![file where true] [process where true]", 1.5, ""),
        (
            "![file where true] [network where true] [process where true]",
            0.5,
            "it stands before event 1, where the pattern wants no such event",
        ),
        (
            "[network where true] [process where true] ![file where true]",
            3,
            "it stands after event 2, where the pattern wants no such event",
        ),
    ],
)
def test_an_event_that_must_be_missing_is_there(query: str, seconds: float, clause: str) -> None:
    unwelcome = at(event(SYSMON, 11, targetfilename=r"C:\x"), seconds, "a")
    reached, missing, seen, clauses = told(f"sequence by host.id with maxspan=10s {query}", network(1), process(2), unwelcome)
    if clause:
        assert (reached, missing, seen, clauses) == (["3@1a", "1@2a"], 0, unwelcome.id, (clause,))
    else:
        assert (reached, missing, seen) == (["3@1a"], 2, "1@2a")
        assert clauses == (f"{SYSMON} 11 ({unwelcome.id}) came first: it stands after event 1, where the pattern wants no such event",)


def test_a_sample_knows_no_order_and_no_span() -> None:
    query = "sample by host.id [network where true] [process where true]"
    assert stopped(pattern(query), [process(1), network(500)]) is None
    assert told(query, process(1), network(500, "b"))[3] == ("host.id is a, that of event 1 is b",)


def test_one_event_with_a_pipe() -> None:
    assert told('process where process.name == "b.exe" | head 1', process(1)) == (
        [],
        1,
        "1@1a",
        ("process.name is a.exe, the rule wants b.exe",),
    )


def test_a_stream_out_of_order_is_put_in_order() -> None:
    search = PatternSearch(pattern(TWO), timedelta(seconds=10))
    for seen in (process(2), network(1)):
        search.see(seen)
    assert search.result() is None


def test_what_is_kept_is_bounded_and_the_nearest_is_still_told() -> None:
    events = [network(number, host=f"h{number}") for number in range(2000)] + [process(2000, "other")]
    found = stopped(pattern(TWO), events)
    assert found is not None
    assert (found.missing, found.reached[0].host, found.clauses) == (2, "h1999", ("host.id is other, that of event 1 is h1999",))


EVENTS = st.lists(
    st.builds(
        lambda connects, seconds, host: network(seconds, host) if connects else process(seconds, host),
        st.booleans(),
        st.integers(min_value=0, max_value=60).map(float),
        st.sampled_from("ab"),
    ),
    max_size=8,
    unique_by=lambda made: made.id,
)


@given(EVENTS)
def test_a_pattern_is_either_found_or_stopped_for_a_reason(events: list[Event]) -> None:
    asked = pattern(TWO)
    found: Stopped | None = stopped(asked, events)
    assert (found is None) == bool(list(find_all(asked, events)))
    if found is not None:
        assert bool(found.event) == bool(found.clauses)
        assert len(found.reached) == found.missing - 1
